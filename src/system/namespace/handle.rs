//! The command's handle to a lab's namespaces.

use std::fmt;
use std::fs::File;
use std::io::{self, Write};
use std::os::fd::{AsFd, OwnedFd};

use nix::errno::Errno;
use nix::sys::signal::Signal;
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;

use super::{NamespaceError, NamespaceIds, ProcessId, failed};
use crate::system::sys;

/// The namespaces that this process started. Dropping it only closes the lifeline.
#[derive(Debug)]
pub struct NamespaceHandle {
    root: ProcessId,
    pidfd: OwnedFd,
    // Invariant: `Some` until detached.
    lifeline: Option<OwnedFd>,
    // Invariant: `Some` in every handle that is returned to users.
    pub(super) ids: Option<NamespaceIds>,
    status: Option<u8>,
}

impl NamespaceHandle {
    pub(super) fn adopt(child: Pid, lifeline: OwnedFd) -> Result<Self, NamespaceError> {
        let what = "cannot watch the supervisor";
        let root = ProcessId::of(child.as_raw()).map_err(failed(what))?;
        let pidfd = sys::pidfd_open(child).map_err(failed(what))?;
        Ok(Self { root, pidfd, lifeline: Some(lifeline), ids: None, status: None })
    }

    /// Returns the process that ends the lab when it ends: the outer half, or the supervisor without isolation.
    pub fn root(&self) -> ProcessId {
        self.root
    }

    /// Returns the processes of the lab, as stored in `processes.json`.
    pub fn ids(&self) -> Option<&NamespaceIds> {
        self.ids.as_ref()
    }

    /// Waits until the lab has ended and returns the supervisor's exit code (128 + n for a signal n).
    ///
    /// Cancel-safe; may be called again.
    pub async fn wait(&mut self) -> io::Result<u8> {
        let pidfd = sys::watch(self.pidfd.try_clone()?)?;
        loop {
            let mut ready = pidfd.readable().await?;
            if let Some(code) = reap(self.root.pid, &mut self.status, WaitPidFlag::WNOHANG)? {
                return Ok(code);
            }
            ready.clear_ready();
        }
    }

    /// Detaches the lab, so that it survives this process.
    pub fn untie(&mut self) -> io::Result<()> {
        match self.lifeline.take() {
            // A byte, because end-of-file would mean the end.
            Some(lifeline) => File::from(lifeline).write_all(b"!"),
            None => Ok(()),
        }
    }

    /// Asks the supervisor to tear down (SIGTERM), unless it has exited.
    pub fn terminate(&self) {
        sys::pidfd_kill(self.pidfd.as_fd(), Signal::SIGTERM).ok();
    }

    /// Kills the lab, unless it has exited; the kernel kills everything inside its namespaces.
    pub fn kill(&self) {
        sys::pidfd_kill(self.pidfd.as_fd(), Signal::SIGKILL).ok();
    }

    /// Kills the lab, waits for its end and returns how it ended.
    pub(super) fn end(&mut self) -> EndedWith {
        // If it has just ended by itself, that result is returned.
        if let Ok(Some(code)) = reap(self.root.pid, &mut self.status, WaitPidFlag::WNOHANG) {
            return EndedWith(Some(code));
        }
        self.kill();
        EndedWith(reap(self.root.pid, &mut self.status, WaitPidFlag::empty()).ok().flatten())
    }
}

/// How a lab ended.
pub(super) struct EndedWith(Option<u8>);

impl fmt::Display for EndedWith {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(code @ 129..) => write!(f, "signal {}", code - 128),
            Some(code) => write!(f, "exit code {code}"),
            None => f.write_str("unknown status"),
        }
    }
}

fn reap(pid: i32, status: &mut Option<u8>, flags: WaitPidFlag) -> io::Result<Option<u8>> {
    while status.is_none() {
        match waitpid(Pid::from_raw(pid), Some(flags)) {
            Ok(WaitStatus::StillAlive) => return Ok(None),
            Ok(ended) => *status = exit_code(ended),
            Err(Errno::EINTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(*status)
}

/// Converts an exit status to an exit code, as shells do.
pub(super) fn exit_code(status: WaitStatus) -> Option<u8> {
    match status {
        WaitStatus::Exited(_, code) => Some(u8::try_from(code).unwrap_or(u8::MAX)),
        WaitStatus::Signaled(_, signal, _) => Some(128 + signal as u8),
        _ => None,
    }
}
