//! The command's side: creates the namespaces and waits until the supervisor runs inside.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{self, BufReader};
use std::net::SocketAddr;
use std::os::fd::{AsFd, OwnedFd, RawFd};
use std::os::unix::fs::FileExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sched::CloneFlags;
use nix::unistd::Pid;

use super::handover::{Handover, Report, pipe, slot};
use super::id_map::map_ids;
use super::{NamespaceError, NamespaceHandle, NamespaceIds, OURSELVES, failed, listen, no_namespaces};
use crate::plan::Uplink;
use crate::system::process::{command, find_program, open_log};
use crate::system::sys::{self, ChildSetup, Exec};

/// The timeout for creating the namespaces; it takes some 50 ms.
const DEADLINE_MS: u16 = 20_000;

/// The parameters of new namespaces.
#[derive(Debug, Clone)]
pub struct NamespaceRequest {
    /// The run folder, which exists; `supervisor.log` and `processes.json` are written there.
    pub run_dir: PathBuf,
    /// Ports of the host to listen on.
    pub publish: Vec<SocketAddr>,
    /// The path of the control socket; its folder exists.
    pub control_socket: PathBuf,
    /// The uplink, if the lab has one (private isolation only).
    pub uplink: Option<Uplink>,
    /// Variables added to the environment of the supervisor and of all that it starts.
    pub environment: Vec<(OsString, OsString)>,
}

/// Creates the namespaces of a lab and returns once its supervisor runs in them.
///
/// Blocks for some 50 ms. The process may have any number of threads.
pub fn start_private(request: &NamespaceRequest) -> Result<NamespaceHandle, NamespaceError> {
    let Prepared { fds, log, reported, lifeline, run_dir, log_start } = Prepared::new(request)?;
    let nowhere = null()?;
    let standard = [nowhere.as_fd(), log.as_fd(), log.as_fd()];
    let all: Vec<_> = standard.into_iter().chain(fds.iter().map(AsFd::as_fd)).collect();
    let args = [OsStr::new("dryrack"), OsStr::new("@outer"), run_dir.as_os_str()];
    let exec = Exec::new(OsStr::new(OURSELVES), &args, &all, &request.environment)
        .map_err(failed("cannot prepare the outer process"))?;
    drop(fds);

    let flags = CloneFlags::CLONE_NEWUSER | CloneFlags::CLONE_NEWPID | CloneFlags::CLONE_NEWNS;
    let exec = exec.in_new_session();
    let child = sys::clone_exec(flags, &exec).map_err(no_namespaces)?;
    // Our copies of the descriptors would prevent end-of-file when the outer half dies.
    drop(exec);
    let outer = NamespaceHandle::adopt(child.pid, lifeline)?;
    map_ids(child.pid)?;
    child.open().map_err(failed("cannot start the outer process"))?;
    await_report(outer, reported, &run_dir, log_start)
}

/// Starts a supervisor in the host's own namespaces and returns once it runs.
pub fn start_host(request: &NamespaceRequest) -> Result<NamespaceHandle, NamespaceError> {
    let Prepared { fds, log, reported, lifeline, run_dir, log_start } = Prepared::new(request)?;
    let what = "cannot start the supervisor";
    let mut supervisor = command(OURSELVES);
    supervisor.arg0("dryrack").arg("@supervisor").arg(&run_dir);
    supervisor.envs(request.environment.iter().cloned());
    supervisor.stdin(Stdio::null()).stdout(log.try_clone().map_err(failed(what))?).stderr(log);
    let setup =
        ChildSetup { session: true, fds: (slot::ORDERS..).zip(fds).collect(), ..ChildSetup::default() };
    let started = sys::set_up_child(&mut supervisor, setup).and_then(|()| supervisor.spawn());
    let child = started.map_err(failed(what))?;
    // Its copies of the descriptors would prevent end-of-file when the supervisor dies.
    drop(supervisor);
    let pid = i32::try_from(child.id()).map_err(|e| NamespaceError::new(what, io::Error::other(e)))?;
    let supervisor = NamespaceHandle::adopt(Pid::from_raw(pid), lifeline)?;
    await_report(supervisor, reported, &run_dir, log_start)
}

/// Starts this program in a hidden role, with the given descriptors (numbered from 3).
///
/// With `session` it outlives this process and the terminal; its standard input is empty.
pub fn spawn_hidden(
    role: &str,
    args: &[OsString],
    fds: Vec<(RawFd, OwnedFd)>,
    session: bool,
) -> Result<std::process::Child, NamespaceError> {
    let mut child = command(OURSELVES);
    child.arg0("dryrack").arg(role).args(args).stdin(Stdio::null());
    sys::set_up_child(&mut child, ChildSetup { session, fds, ..ChildSetup::default() })
        .and_then(|()| child.spawn())
        .map_err(failed(format!("cannot start `dryrack {role}`")))
}

/// Everything that is needed to start either kind.
struct Prepared {
    /// In the order of [`slot`], from [`slot::ORDERS`] on.
    fds: Vec<OwnedFd>,
    log: File,
    reported: OwnedFd,
    lifeline: OwnedFd,
    run_dir: PathBuf,
    log_start: u64,
}

impl Prepared {
    fn new(request: &NamespaceRequest) -> Result<Self, NamespaceError> {
        let absolute = |path: &Path| {
            std::path::absolute(path).map_err(failed(format!("cannot find {}", path.display())))
        };
        let run_dir = absolute(&request.run_dir)?;
        let control_socket = absolute(&request.control_socket)?;
        let uplink = match &request.uplink {
            None => None,
            Some(uplink) => Some((pasta()?, uplink.clone())),
        };
        let published = listen::published(&request.publish)?;
        let control = listen::control(&control_socket)?;
        let log_path = run_dir.join("supervisor.log");
        let what = || format!("cannot write {}", log_path.display());
        let log = open_log(&log_path).map_err(failed(what()))?;
        let log_start = log.metadata().map_err(failed(what()))?.len();

        let handover =
            Handover { run_dir: run_dir.clone(), control_socket, published: published.len(), uplink };
        let (reported, report) = pipe()?;
        let (parent, held) = pipe()?;
        let lifeline = held;
        let mut fds = vec![handover.into_pipe()?, report, parent, control];
        fds.extend(published.into_iter().map(OwnedFd::from));
        Ok(Self { fds, log, reported, lifeline, run_dir, log_start })
    }
}

fn pasta() -> Result<PathBuf, NamespaceError> {
    find_program("pasta").ok_or_else(|| {
        NamespaceError::plain("`nat = true` needs the program `pasta`, which is not installed").with_hint(
            "install it (Debian, Ubuntu, Fedora, Arch, openSUSE, Alpine: package `passt`), or set `nat = false`",
        )
    })
}

/// Opens `/dev/null`.
pub(in crate::system) fn null() -> Result<OwnedFd, NamespaceError> {
    let null = File::options().read(true).write(true).open("/dev/null");
    null.map(OwnedFd::from).map_err(failed("cannot open /dev/null"))
}

fn await_report(
    mut handle: NamespaceHandle,
    reported: OwnedFd,
    run_dir: &Path,
    log_start: u64,
) -> Result<NamespaceHandle, NamespaceError> {
    match receive(reported) {
        Ok(Some(Report::Ready)) => {
            handle.ids = Some(NamespaceIds::read(run_dir)?);
            Ok(handle)
        }
        Ok(Some(Report::Failed(reported))) => {
            handle.end();
            Err(reported.into())
        }
        Ok(None) => {
            let status = handle.end();
            let words = log_since(&run_dir.join("supervisor.log"), log_start);
            let source = io::Error::other(format!("it ended with {status}: {words}"));
            Err(NamespaceError::new("the supervisor did not start", source))
        }
        Err(source) => {
            handle.end();
            Err(NamespaceError::new("the supervisor did not start", source))
        }
    }
}

fn receive(reported: OwnedFd) -> io::Result<Option<Report>> {
    let mut waiting = [PollFd::new(reported.as_fd(), PollFlags::POLLIN)];
    if poll(&mut waiting, PollTimeout::from(DEADLINE_MS))? == 0 {
        return Err(io::Error::new(io::ErrorKind::TimedOut, format!("timed out after {DEADLINE_MS} ms")));
    }
    Report::receive(&mut BufReader::new(File::from(reported)))
}

/// Returns what was appended to a log since it had `start` bytes; at most its last 2000 bytes.
pub(super) fn log_since(path: &Path, start: u64) -> String {
    let read = || -> io::Result<String> {
        let file = File::open(path)?;
        let end = file.metadata()?.len();
        let start = start.max(end.saturating_sub(2000));
        let mut bytes = vec![0; usize::try_from(end.saturating_sub(start)).unwrap_or(0)];
        file.read_exact_at(&mut bytes, start)?;
        Ok(String::from_utf8_lossy(&bytes).trim().to_owned())
    };
    read().ok().filter(|text| !text.is_empty()).unwrap_or_else(|| "nothing".into())
}
