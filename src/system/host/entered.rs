//! A thread in a network namespace: that of a host, or one of its own.
//!
//! A socket belongs to the network namespace in which it was created, whichever thread uses it, so the thread only
//! opens them for others. What it does otherwise must be short.

use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::mpsc;

use nix::sched::{CloneFlags, setns, unshare};
use nix::unistd::gettid;
use tokio::net::{TcpSocket, TcpStream};
use tokio::sync::oneshot;

type Job = Box<dyn FnOnce() + Send>;

/// A thread that has entered a network namespace. It ends when this is dropped.
#[derive(Debug, Clone)]
pub struct EnteredNetwork {
    jobs: mpsc::Sender<Job>,
}

impl EnteredNetwork {
    /// Enters the network namespace of a process.
    pub(super) fn of(pidfd: BorrowedFd<'_>) -> io::Result<Self> {
        let pidfd = pidfd.as_fd().try_clone_to_owned()?;
        let enter = move || setns(&pidfd, CloneFlags::CLONE_NEWNET).map_err(io::Error::from);
        Self::start(enter).map(|(network, ())| network)
    }

    /// Creates a network namespace; returns the ID of the thread in it as well, by which links are moved there.
    ///
    /// The namespace lasts as long as the thread, or a socket in it.
    pub(in crate::system) fn create() -> io::Result<(Self, i32)> {
        Self::start(|| {
            unshare(CloneFlags::CLONE_NEWNET)?;
            Ok(gettid().as_raw())
        })
    }

    fn start<T: Send + 'static>(
        enter: impl FnOnce() -> io::Result<T> + Send + 'static,
    ) -> io::Result<(Self, T)> {
        let (jobs, inbox) = mpsc::channel::<Job>();
        let (entered, answer) = mpsc::channel();
        std::thread::Builder::new().name("host network".into()).spawn(move || {
            let done = enter();
            let goes_on = done.is_ok();
            if entered.send(done).is_ok() && goes_on {
                for job in inbox {
                    job();
                }
            }
        })?;
        let done =
            answer.recv().map_err(|_| io::Error::other("the thread of a network namespace has ended"))??;
        Ok((Self { jobs }, done))
    }

    /// Connects by TCP from the network namespace.
    pub async fn connect(&self, to: SocketAddr) -> io::Result<TcpStream> {
        let open = move || if to.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() };
        self.run(open).await?.connect(to).await
    }

    /// Does something in the network namespace, and returns the result.
    ///
    /// It runs in the context of the caller's tokio runtime, so that it can open sockets of it.
    pub async fn run<T: Send + 'static>(
        &self,
        what: impl FnOnce() -> io::Result<T> + Send + 'static,
    ) -> io::Result<T> {
        let (reply, answer) = oneshot::channel();
        let runtime = tokio::runtime::Handle::current();
        let gone = || io::Error::other("the thread of a network namespace has ended");
        let job = Box::new(move || {
            let _context = runtime.enter();
            // Nobody may wait for it any more.
            reply.send(what()).ok();
        });
        self.jobs.send(job).map_err(|_| gone())?;
        answer.await.map_err(|_| gone())?
    }
}
