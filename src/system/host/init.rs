//! The role `@host`: the first process of a host, which keeps its namespaces.
//!
//! It builds the root, passes on what programs write to `/dev/log`, and ends with the supervisor. Without it the
//! kernel ends every other process of the host.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{self, BufReader, Read, Write};
use std::os::fd::{AsFd, OwnedFd, RawFd};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sched::CloneFlags;
use nix::sys::prctl;
use nix::sys::signal::Signal;
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;
use serde::{Deserialize, Serialize};
use tokio::io::unix::AsyncFd;

use super::below::own_root;
use super::entered::EnteredNetwork;
use super::files::GivenFile;
use super::mounts::keep_private;
use super::tree::Tree;
use crate::system::namespace::{
    NamespaceError, OURSELVES, Report, failed, hosts_text, map_ids, no_namespaces, null, pipe, resolv_text,
    switch_text,
};
use crate::system::sys::{self, Exec};

/// The descriptors of the role.
mod slot {
    use super::RawFd;

    /// What the log of the host is written to.
    pub(super) const OUTPUT: RawFd = 1;
    /// [`super::HostOrders`] as JSON.
    pub(super) const ORDERS: RawFd = 3;
    /// The pipe for the report.
    pub(super) const REPORT: RawFd = 4;
    /// End-of-file when the supervisor is gone.
    pub(super) const PARENT: RawFd = 5;
}

/// The timeout for making a host; it takes some 100 ms.
const DEADLINE_MS: u16 = 30_000;
/// The socket in the folder of a host that is `/dev/log` there.
pub(super) const LOG: &str = "log";
/// The longest message of syslog.
const MESSAGE: usize = 8192;
/// The role's exit code if it failed.
const UNFIT: u8 = 3;

/// What a host is made of.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct HostOrders {
    /// Its host name.
    pub name: String,
    /// The folder of the host in the run folder.
    pub folder: PathBuf,
    /// Lines of `/etc/hosts`.
    pub hosts: Vec<(std::net::IpAddr, String)>,
    /// The name server.
    pub nameserver: Option<std::net::Ipv4Addr>,
    /// The search domains.
    pub search: Vec<String>,
    /// Files and folders of the user's machine that it is given.
    pub files: BTreeMap<PathBuf, GivenFile>,
}

/// The namespaces of a host that is on. Dropping them ends everything in them.
#[derive(Debug)]
pub struct HostNamespaces {
    pid: Pid,
    pidfd: AsyncFd<OwnedFd>,
    /// Its network.
    pub network: EnteredNetwork,
    // The first process reads end-of-file when this end, the only one, is closed.
    _held: OwnedFd,
    /// It was waited for: its PID may be that of another process.
    is_reaped: AtomicBool,
}

impl HostNamespaces {
    /// Makes the namespaces and the root of a host. Returns them with what its programs log. Blocks for some 100 ms.
    ///
    /// Must be called inside a tokio runtime.
    pub fn make(orders: &HostOrders) -> Result<(Self, File), NamespaceError> {
        let what = "cannot prepare the host";
        let text = serde_json::to_vec(orders).map_err(io::Error::from).map_err(failed(what))?;
        let (order, sender) = pipe()?;
        let (reported, report) = pipe()?;
        let (parent, held) = pipe()?;
        let (log, output) = pipe()?;
        let nowhere = null()?;
        let fds = [&nowhere, &output, &output, &order, &report, &parent].map(AsFd::as_fd);
        let args = [OsStr::new("dryrack"), OsStr::new("@host"), OsStr::new(&orders.name)];
        let exec = Exec::new(OsStr::new(OURSELVES), &args, &fds, &[]).map_err(failed(what))?;
        drop((order, report, parent, output));
        let flags = CloneFlags::CLONE_NEWUSER
            | CloneFlags::CLONE_NEWNET
            | CloneFlags::CLONE_NEWNS
            | CloneFlags::CLONE_NEWPID
            | CloneFlags::CLONE_NEWUTS
            | CloneFlags::CLONE_NEWIPC;
        let child = sys::clone_exec(flags, &exec).map_err(no_namespaces)?;
        drop(exec);
        let pid = child.pid;
        // From here on the child is killed and reaped if something fails.
        let pidfd = sys::pidfd_open(pid).map_err(failed(what))?;
        let number = number_in_proc(&pidfd).map_err(failed(what))?;
        let network = map_ids(Pid::from_raw(number))
            .and_then(|()| EnteredNetwork::of(pidfd.as_fd()).map_err(failed("cannot enter the host")));
        let made = Self {
            pid,
            pidfd: sys::watch(pidfd).map_err(failed(what))?,
            network: network?,
            _held: held,
            is_reaped: AtomicBool::new(false),
        };
        child.open().map_err(failed("cannot start the host"))?;
        // The orders may be longer than the buffer of a pipe, but their reader has started.
        File::from(sender).write_all(&text).map_err(failed(what))?;
        let mut waiting = [PollFd::new(reported.as_fd(), PollFlags::POLLIN)];
        let woken = poll(&mut waiting, PollTimeout::from(DEADLINE_MS)).map_err(|e| failed(what)(e.into()))?;
        if woken == 0 {
            let late = io::Error::from(io::ErrorKind::TimedOut);
            return Err(NamespaceError::new("the host did not start", late));
        }
        match Report::receive(&mut BufReader::new(File::from(reported))).map_err(failed(what))? {
            Some(Report::Ready) => Ok((made, File::from(log))),
            Some(Report::Failed(error)) => Err(error.into()),
            None => {
                let mut words = String::new();
                drop(made);
                File::from(log).read_to_string(&mut words).ok();
                let source = io::Error::other(words.trim().to_owned());
                Err(NamespaceError::new("the host did not start", source))
            }
        }
    }

    /// Returns the PID of its first process in our PID namespace.
    pub fn pid(&self) -> i32 {
        self.pid.as_raw()
    }

    /// Tells whether its first process still runs.
    pub fn is_alive(&self) -> bool {
        // A pidfd becomes readable at the end.
        let mut fds = [PollFd::new(self.pidfd.get_ref().as_fd(), PollFlags::POLLIN)];
        matches!(poll(&mut fds, PollTimeout::ZERO), Ok(0))
    }

    /// Returns the path of its root, as seen by us. Links below it lead out of it; see [`super::is_below`].
    pub fn root(&self) -> PathBuf {
        root_of(self.pidfd.get_ref())
    }

    /// Waits until its first process has ended, and returns how. Cancel-safe.
    pub async fn ended(&self) -> io::Result<String> {
        loop {
            let mut ready = self.pidfd.readable().await?;
            let status = waitpid(self.pid, Some(WaitPidFlag::WNOHANG))?;
            if status == WaitStatus::StillAlive {
                ready.clear_ready();
                continue;
            }
            self.is_reaped.store(true, Ordering::Relaxed);
            return Ok(match status {
                WaitStatus::Exited(_, code) => format!("exit code {code}"),
                WaitStatus::Signaled(_, signal, _) => format!("signal {}", signal.as_str()),
                other => format!("{other:?}"),
            });
        }
    }

    /// Kills every process of it. [`HostNamespaces::ended`] returns once they are gone.
    pub fn kill(&self) {
        sys::pidfd_kill(self.pidfd.get_ref().as_fd(), Signal::SIGKILL).ok();
    }
}

impl Drop for HostNamespaces {
    fn drop(&mut self) {
        self.kill();
        if !self.is_reaped.load(Ordering::Relaxed) {
            // The kernel ends the other processes first, which takes some milliseconds.
            waitpid(self.pid, None).ok();
        }
    }
}

/// Returns the path of the root of a process, as seen by us.
pub(super) fn root_of(pidfd: &OwnedFd) -> PathBuf {
    // Without a PID in `/proc` nothing is found there.
    let number = number_in_proc(pidfd).unwrap_or_default();
    PathBuf::from(format!("/proc/{number}/root"))
}

/// Returns the root that a process of the lab sees, as seen by us.
pub fn root_of_pid(pid: i32) -> Option<PathBuf> {
    Some(root_of(&sys::pidfd_open(Pid::from_raw(pid)).ok()?))
}

/// Returns the root that a process of the lab sees, as seen by us, once it is not that of the user's machine.
///
/// `is_parent` says that the process only stands for its child, which is on a host.
pub fn own_root_of(pid: i32, is_parent: bool) -> Option<PathBuf> {
    let number = number_in_proc(&sys::pidfd_open(Pid::from_raw(pid)).ok()?).ok()?;
    let number = match is_parent {
        false => number,
        true => {
            let children = fs::read_to_string(format!("/proc/{number}/task/{number}/children")).ok()?;
            children.split_whitespace().next()?.parse().ok()?
        }
    };
    own_root(Path::new(&format!("/proc/{number}")))
}

/// Returns the PID of a process in the mounted `/proc`, which may be that of another PID namespace.
fn number_in_proc(pidfd: &OwnedFd) -> io::Result<i32> {
    let number = std::os::fd::AsRawFd::as_raw_fd(pidfd);
    let info = fs::read_to_string(format!("/proc/self/fdinfo/{number}"))?;
    let pid = info.lines().find_map(|line| line.strip_prefix("Pid:"));
    pid.and_then(|pid| pid.trim().parse().ok()).ok_or_else(|| io::ErrorKind::InvalidData.into())
}

/// Runs the role `@host` and returns its exit code.
///
/// Must be called first in the process.
pub fn host_main() -> u8 {
    prctl::set_name(c"dryrack-init").ok();
    let take = |number| sys::inherited_fd(number);
    let (Ok(orders), Ok(report), Ok(parent)) = (take(slot::ORDERS), take(slot::REPORT), take(slot::PARENT))
    else {
        return UNFIT;
    };
    let report = File::from(report);
    match become_host(File::from(orders)) {
        Ok(log) => {
            Report::Ready.send(&report);
            drop(report);
            match take(slot::OUTPUT) {
                Ok(output) => pass_on(&log, File::from(output), &parent),
                Err(_) => return UNFIT,
            }
            0
        }
        Err(error) => {
            Report::Failed(error.reported()).send(&report);
            UNFIT
        }
    }
}

/// Builds the host around this process, and returns the socket of its log.
fn become_host(orders: File) -> Result<UnixDatagram, NamespaceError> {
    let orders: HostOrders = io::read_to_string(orders)
        .and_then(|text| serde_json::from_str(&text).map_err(io::Error::from))
        .map_err(failed("cannot read the orders of this role"))?;
    let HostOrders { name, folder, hosts, nameserver, search, files } = &orders;
    // Orphans of the host are ours, and nobody asks how they ended.
    sys::ignore_children();
    keep_private().map_err(failed("cannot detach the mounts"))?;
    nix::unistd::sethostname(name).map_err(|e| failed("cannot set the host name")(e.into()))?;
    let switch = fs::read_to_string("/etc/nsswitch.conf").unwrap_or_default();
    let texts = [
        ("hosts", hosts_text(name, hosts)),
        ("hostname", format!("{name}\n")),
        ("resolv.conf", resolv_text(*nameserver, search)),
        ("nsswitch.conf", switch_text(&switch)),
    ];
    let texts = texts.into_iter().map(|(file, text)| (file.to_owned(), text)).collect();
    let (at, copies, log_path) = (folder.join("root"), folder.join("files"), folder.join(LOG));
    // The table of mounts has paths without links.
    let at = fs::create_dir_all(&at).and_then(|()| fs::canonicalize(&at));
    let at = at.map_err(failed("cannot make the folder of the host"))?;
    // In the folder, so that images on this host get it, too.
    let log = listen(folder).map_err(failed("cannot listen on /dev/log"))?;
    Tree { at: &at, texts: &texts, files, copies: &copies, log: &log_path }.enter()?;
    crate::system::sys::keep_read_only().map_err(failed("cannot keep mounts read-only"))?;
    Ok(log)
}

/// Creates the socket of the log in the folder of the host.
fn listen(folder: &Path) -> io::Result<UnixDatagram> {
    // The path of a socket is short.
    std::env::set_current_dir(folder)?;
    match fs::remove_file(LOG) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        Ok(()) | Err(_) => {}
    }
    let log = UnixDatagram::bind(LOG)?;
    fs::set_permissions(LOG, fs::Permissions::from_mode(0o666))?;
    Ok(log)
}

/// Writes each message of the log as a line to the supervisor, until the supervisor is gone.
fn pass_on(log: &UnixDatagram, mut output: File, parent: &OwnedFd) {
    let mut message = vec![0; MESSAGE];
    loop {
        let mut fds =
            [PollFd::new(log.as_fd(), PollFlags::POLLIN), PollFd::new(parent.as_fd(), PollFlags::POLLIN)];
        // Interrupted by nothing: no signal has a handler.
        if poll(&mut fds, PollTimeout::NONE).is_err() || fds[1].any() != Some(false) {
            return;
        }
        let Ok(length) = log.recv(&mut message) else { continue };
        let text = String::from_utf8_lossy(&message[..length]);
        for line in text.trim_end_matches(['\0', '\n']).lines() {
            // Without its reader the supervisor is gone.
            writeln!(output, "{}", words(line)).ok();
        }
    }
}

/// Returns a message of syslog without its priority and time.
fn words(line: &str) -> &str {
    let rest = match line.strip_prefix('<').and_then(|rest| rest.split_once('>')) {
        Some((priority, rest)) if priority.bytes().all(|byte| byte.is_ascii_digit()) => rest,
        _ => line,
    };
    // `Nov 29 04:12:01 ` of RFC 3164.
    let is_time = rest.len() > 16
        && rest.is_char_boundary(16)
        && rest.as_bytes()[..16].iter().enumerate().all(|(at, byte)| match at {
            0..=2 => byte.is_ascii_alphabetic(),
            3 | 6 | 15 => *byte == b' ',
            9 | 12 => *byte == b':',
            _ => byte.is_ascii_digit() || *byte == b' ',
        });
    if is_time { &rest[16..] } else { rest }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_of_syslog_has_words() {
        for (line, text) in [
            ("<30>Nov 29 04:12:01 dnsmasq-dhcp[12]: DHCP, IP range", "dnsmasq-dhcp[12]: DHCP, IP range"),
            ("<30>plain", "plain"),
            ("no priority", "no priority"),
            ("<a>b", "<a>b"),
            ("<1>Nov  2 04:12:01 ", "Nov  2 04:12:01 "),
        ] {
            assert_eq!(words(line), text);
        }
    }
}
