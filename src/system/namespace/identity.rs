//! Identifies processes by PID and start time, because PIDs are reused.

use std::fs;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};

use nix::sys::signal::Signal;
use nix::unistd::Pid;
use serde::{Deserialize, Serialize};

use super::{NamespaceError, failed};
use crate::lab::Isolation;
use crate::system::sys;

/// A process, never confused with a later one of the same PID.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProcessId {
    /// Its PID on the host.
    pub pid: i32,
    /// Its start time in clock ticks since the host booted.
    pub started: u64,
}

impl ProcessId {
    /// Identifies a running process.
    pub fn of(pid: i32) -> io::Result<Self> {
        let (started, _) = stat(Path::new("/proc"), pid)?;
        Ok(Self { pid, started })
    }

    /// Identifies a process in a `/proc` that is mounted elsewhere.
    pub(super) fn in_proc(proc: &Path, pid: i32) -> io::Result<Self> {
        Ok(Self { pid, started: stat(proc, pid)?.0 })
    }

    /// Tells whether it still runs (a zombie does not).
    pub fn is_alive(self) -> bool {
        matches!(stat(Path::new("/proc"), self.pid), Ok((started, state)) if started == self.started && !matches!(state, 'Z' | 'X'))
    }

    /// Opens a pidfd, if it still runs.
    pub(super) fn open(self) -> io::Result<OwnedFd> {
        let pidfd = sys::pidfd_open(Pid::from_raw(self.pid))?;
        // Checked after the pidfd was opened, so that both refer to the same process.
        if self.is_alive() { Ok(pidfd) } else { Err(io::Error::from_raw_os_error(nix::libc::ESRCH)) }
    }

    /// Kills it, unless it has exited.
    pub fn kill(self) -> io::Result<()> {
        self.signal(Signal::SIGKILL)
    }

    /// Sends SIGTERM, unless it has exited.
    pub fn terminate(self) -> io::Result<()> {
        self.signal(Signal::SIGTERM)
    }

    fn signal(self, signal: Signal) -> io::Result<()> {
        let done = self.open().and_then(|pidfd| sys::pidfd_kill(pidfd.as_fd(), signal));
        match done {
            Err(error) if error.raw_os_error() == Some(nix::libc::ESRCH) => Ok(()),
            done => done,
        }
    }
}

/// Reads start time and state of a process.
fn stat(proc: &Path, pid: i32) -> io::Result<(u64, char)> {
    let text = fs::read_to_string(proc.join(format!("{pid}/stat")))?;
    let malformed = || io::Error::new(io::ErrorKind::InvalidData, "malformed /proc/PID/stat");
    // The name in parentheses may itself contain spaces and parentheses.
    let (_, rest) = text.rsplit_once(") ").ok_or_else(malformed)?;
    let fields: Vec<&str> = rest.split_ascii_whitespace().collect();
    let state = fields.first().and_then(|field| field.chars().next()).ok_or_else(malformed)?;
    // Field 22 of proc(5), counted from 1; `rest` begins with field 3.
    let started = fields.get(19).and_then(|field| field.parse().ok()).ok_or_else(malformed)?;
    Ok((started, state))
}

/// The processes of a lab, as stored in `processes.json` in the run folder.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NamespaceIds {
    /// The isolation of the lab.
    pub isolation: Isolation,
    /// The outer half, if isolated.
    pub outer: Option<ProcessId>,
    /// The supervisor; if isolated, the inner half.
    pub supervisor: ProcessId,
    /// How the lab looks from inside, if isolated.
    #[serde(default)]
    pub inside: Option<Inside>,
    /// The network in which the lab has its interfaces, if not isolated.
    #[serde(default)]
    pub shared: Option<SharedNetwork>,
}

/// A network namespace that outlives a lab.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SharedNetwork {
    /// Its inode.
    pub network: u64,
    /// The boot of the host in which the inode has a meaning.
    pub boot: String,
}

impl SharedNetwork {
    /// Identifies the network namespace of this process.
    pub(crate) fn ours() -> io::Result<Self> {
        let network = network_namespace(Path::new("/proc/self"))?;
        let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id")?.trim_end().to_owned();
        Ok(Self { network, boot })
    }
}

/// How an isolated lab looks to its own processes, which do not see the PIDs of the host.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Inside {
    /// The supervisor, by its PID in the PID namespace of the lab.
    pub supervisor: ProcessId,
    /// The inode of the lab's network namespace.
    pub network: u64,
}

/// Returns the inode of the network namespace of a process, by its folder in a `/proc`.
pub(super) fn network_namespace(process: &Path) -> io::Result<u64> {
    Ok(std::os::unix::fs::MetadataExt::ino(&fs::metadata(process.join("ns/net"))?))
}

impl NamespaceIds {
    /// Returns the path of the file in a run folder.
    pub fn path(run_dir: &Path) -> PathBuf {
        run_dir.join("processes.json")
    }

    /// Reads them from a run folder.
    pub fn read(run_dir: &Path) -> Result<Self, NamespaceError> {
        let path = Self::path(run_dir);
        let what = || format!("cannot read {}", path.display());
        let text = fs::read(&path).map_err(failed(what()))?;
        serde_json::from_slice(&text).map_err(|e| NamespaceError::new(what(), e.into()))
    }

    /// Writes them to a run folder atomically.
    pub(super) fn write(&self, run_dir: &Path) -> Result<(), NamespaceError> {
        let path = Self::path(run_dir);
        let draft = path.with_extension("json.new");
        let text = serde_json::to_vec(self).map_err(io::Error::from);
        text.and_then(|text| fs::write(&draft, text))
            .and_then(|()| fs::rename(&draft, &path))
            .map_err(failed(format!("cannot write {}", path.display())))
    }

    /// Returns the process that ends the lab when it ends.
    pub fn root(&self) -> ProcessId {
        self.outer.unwrap_or(self.supervisor)
    }

    /// Tells whether the lab is running.
    pub fn is_alive(&self) -> bool {
        self.root().is_alive() || self.contain_us()
    }

    /// Tells whether the interfaces of the lab are, or were, in another network namespace of this host than this
    /// process: what is not found here may still be there.
    pub fn are_elsewhere(&self) -> bool {
        let Some(shared) = &self.shared else { return false };
        SharedNetwork::ours().is_ok_and(|ours| ours.boot == shared.boot && ours.network != shared.network)
    }

    /// Tells whether this process is inside the namespaces of the lab.
    ///
    /// A later lab may have the same inode or the same PID, but not also a supervisor that started at the same time.
    pub(super) fn contain_us(&self) -> bool {
        let Some(inside) = self.inside else { return false };
        // Where a container masks `/proc`, the lab sees the PIDs of the host.
        network_namespace(Path::new("/proc/self")).is_ok_and(|ours| ours == inside.network)
            && (inside.supervisor.is_alive() || self.supervisor.is_alive())
    }
}
