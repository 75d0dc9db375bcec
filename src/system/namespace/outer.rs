//! The outer process: PID 1 of the lab's PID namespace, in the host's network.
//!
//! Single-threaded and without a runtime. It does not touch the host's network,
//! except to start `pasta`; when it ends, for any reason, the lab ends.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{self, BufReader, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::fcntl::{AT_FDCWD, OFlag, openat, readlinkat};
use nix::mount::{MsFlags, mount};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sched::CloneFlags;
use nix::sys::prctl;
use nix::sys::signal::{SigSet, Signal, kill};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use nix::sys::stat::Mode;
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;

use super::handle::exit_code;
use super::handover::{Handover, InheritedFds, Report, pipe};
use super::id_map::map_ids;
use super::identity::{Inside, network_namespace};
use super::start::{log_since, null};
use super::{NamespaceError, NamespaceIds, ProcessId, failed};
use super::{OURSELVES, no_namespaces};
use crate::lab::Isolation;
use crate::plan::Uplink;
use crate::system::process::command;
use crate::system::sys::{self, ChildSetup, Exec};

/// How long the supervisor may take to tear down after the command has exited.
const GRACE: Duration = Duration::from_millis(1200);
/// Exit code if the namespaces could not be created: a problem of the host.
pub(super) const HOST_UNFIT: u8 = 3;
/// Exit code when the supervisor had to be killed.
const INTERRUPTED: u8 = 130;

/// Runs the outer half and returns its exit code.
///
/// Must be called first in the process, if its first argument is `@outer`.
pub fn outer_main() -> u8 {
    prctl::set_name(c"dryrack-outer").ok();
    let started = Handover::inherited().and_then(|handover| {
        let handed = InheritedFds::inherited(&handover)?;
        Ok((handover, handed))
    });
    let (handover, handed) = match started {
        Ok(started) => started,
        Err(error) => {
            note(&error);
            return HOST_UNFIT;
        }
    };
    let mut report = handed.report.try_clone().ok();
    let code = match Outer::start(&handover, handed) {
        Ok(outer) => outer.run(),
        Err(error) => {
            note(&error);
            if let Some(report) = &mut report {
                Report::Failed(error.reported()).send(report);
            }
            HOST_UNFIT
        }
    };
    fs::remove_file(&handover.control_socket).ok();
    code
}

struct Outer {
    signals: SignalFd,
    lifeline: Option<OwnedFd>,
    inner: Pid,
    /// Reports of the inner half, until one was received.
    reports: Option<BufReader<File>>,
    /// The command that waits for the report.
    command: Option<File>,
    pasta: Option<Pid>,
    log: (PathBuf, u64),
    // The inner half reads end-of-file when this end, the only one, is closed.
    _held: OwnedFd,
}

impl Outer {
    fn start(handover: &Handover, handed: InheritedFds) -> Result<Self, NamespaceError> {
        let InheritedFds { report, parent, control, published } = handed;
        let signals = catch_signals()?;
        let log = handover.run_dir.join("supervisor.log");
        let log_start = fs::metadata(&log).map_or(0, |of| of.len());
        let proc = Proc::mount()?;

        let (reported, tell) = pipe()?;
        let (watch, held) = pipe()?;
        let nowhere = null()?;
        let mut fds = vec![nowhere, copy(io::stdout().as_fd())?, copy(io::stderr().as_fd())?];
        fds.extend([handover.clone().into_pipe()?, tell, watch, control]);
        fds.extend(published);
        let fds: Vec<_> = fds.iter().map(AsFd::as_fd).collect();
        let args = [OsStr::new("dryrack"), OsStr::new("@inner"), handover.run_dir.as_os_str()];
        let what = "cannot prepare the inner process";
        let exec = Exec::new(OsStr::new(OURSELVES), &args, &fds, &[]).map_err(failed(what))?;

        let flags = CloneFlags::CLONE_NEWUSER | CloneFlags::CLONE_NEWNET | CloneFlags::CLONE_NEWNS;
        let child = sys::clone_exec(flags, &exec).map_err(no_namespaces)?;
        let inner = child.pid;
        let shown = proc.number_here(inner)?;
        map_ids(Pid::from_raw(shown))?;
        proc.identify(inner)?.write(&handover.run_dir)?;
        child.open().map_err(failed("cannot start the inner process"))?;
        let pasta = match &handover.uplink {
            None => None,
            Some((program, uplink)) => Some(start_pasta(program, uplink, shown)?),
        };
        Ok(Self {
            signals,
            lifeline: Some(parent),
            inner,
            reports: Some(BufReader::new(File::from(reported))),
            command: Some(report),
            pasta,
            log: (log, log_start),
            _held: held,
        })
    }

    #[expect(
        clippy::disallowed_methods,
        reason = "the outer half has no director: it is there for when that one hangs"
    )]
    fn run(mut self) -> u8 {
        let mut deadline: Option<Instant> = None;
        loop {
            let left = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
            if left.is_some_and(|left| left.is_zero()) {
                note(&format_args!("the supervisor did not end within {} ms; killing it", GRACE.as_millis()));
                return INTERRUPTED;
            }
            let Woken { report, signal, lost } = self.wait(left);
            if report {
                self.pass_on();
            }
            let lost = lost && !self.untied();
            let mut requested = lost;
            while let (true, Ok(Some(caught))) = (signal, self.signals.read_signal()) {
                requested |= caught.ssi_signo != Signal::SIGCHLD as u32;
            }
            if let Some(code) = self.reap() {
                return code;
            }
            if requested && deadline.is_none() {
                note(&if lost { "the command has ended: tearing down" } else { "terminated: tearing down" });
                self.lifeline = None;
                kill(self.inner, Signal::SIGTERM).ok();
                deadline = Some(Instant::now() + GRACE);
            }
        }
    }

    /// Waits for an event or until the timeout.
    fn wait(&self, left: Option<Duration>) -> Woken {
        let timeout = left.map_or(PollTimeout::NONE, |left| {
            // Rounded up, so that the deadline has passed when this returns.
            PollTimeout::try_from(left.as_millis() + 1).unwrap_or(PollTimeout::MAX)
        });
        let watched = [
            Some(self.signals.as_fd()),
            self.reports.as_ref().map(|reports| reports.get_ref().as_fd()),
            self.lifeline.as_ref().map(AsFd::as_fd),
        ];
        let mut fds: Vec<PollFd<'_>> =
            watched.iter().flatten().map(|fd| PollFd::new(*fd, PollFlags::POLLIN)).collect();
        // An interrupted wait counts as one without an event.
        poll(&mut fds, timeout).ok();
        let mut woken = fds.iter().map(|fd| fd.any().unwrap_or(true));
        let mut happened = watched.map(|fd| fd.is_some() && woken.next().unwrap_or(false)).into_iter();
        let mut next = || happened.next().unwrap_or(false);
        Woken { signal: next(), report: next(), lost: next() }
    }

    /// Tells whether the command has detached the lab, by a byte on the lifeline.
    fn untied(&mut self) -> bool {
        let said = self.lifeline.as_ref().map(|lifeline| nix::unistd::read(lifeline, &mut [0]));
        let untied = matches!(said, Some(Ok(1)));
        if untied {
            self.lifeline = None;
        }
        untied
    }

    /// Forwards the inner half's report to the command.
    fn pass_on(&mut self) {
        let said = self.reports.take().and_then(|mut reports| Report::receive(&mut reports).ok().flatten());
        if let (Some(said), Some(command)) = (said, self.command.take_if(|_| true)) {
            said.send(command);
        }
    }

    /// Reaps children; returns the exit code of the lab when the inner process has ended.
    fn reap(&mut self) -> Option<u8> {
        loop {
            let ended = match waitpid(None, Some(WaitPidFlag::WNOHANG)) {
                Err(Errno::EINTR) => continue,
                Ok(WaitStatus::StillAlive) | Err(_) => return None,
                Ok(ended) => ended,
            };
            let (Some(pid), Some(code)) = (ended.pid(), exit_code(ended)) else { continue };
            if pid == self.inner {
                self.pass_on();
                return Some(code);
            }
            if Some(pid) == self.pasta {
                self.pasta = None;
                let error = NamespaceError::plain("the lab has lost its uplink: pasta ended");
                note(&error);
                // The command still waits for a report that cannot come: the inner half waits for pasta.
                if let (true, Some(command)) = (self.reports.is_some(), self.command.take()) {
                    Report::Failed(no_uplink(&log_since(&self.log.0, self.log.1)).reported()).send(command);
                    return Some(HOST_UNFIT);
                }
            }
        }
    }
}

struct Woken {
    signal: bool,
    report: bool,
    lost: bool,
}

fn no_uplink(words: &str) -> NamespaceError {
    let source = io::Error::other(format!("pasta ended: {words}"));
    NamespaceError::new("the lab has no uplink", source).with_hint(
        "check that this host has an IPv4 default route and may use /dev/net/tun, or set `nat = false`",
    )
}

fn catch_signals() -> Result<SignalFd, NamespaceError> {
    let caught = SigSet::from_iter([Signal::SIGCHLD, Signal::SIGTERM, Signal::SIGINT, Signal::SIGHUP]);
    caught
        .thread_block()
        .and_then(|()| SignalFd::with_flags(&caught, SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK))
        .map_err(|e| NamespaceError::new("cannot catch signals", e.into()))
}

fn copy(fd: std::os::fd::BorrowedFd<'_>) -> Result<OwnedFd, NamespaceError> {
    fd.try_clone_to_owned().map_err(failed("cannot copy a descriptor"))
}

/// The host's `/proc` and our own.
struct Proc {
    host: OwnedFd,
    /// Whether `/proc` is for our PID namespace.
    own: bool,
}

impl Proc {
    /// Detaches our mounts from the host's and mounts a `/proc` for our PID namespace.
    fn mount() -> Result<Self, NamespaceError> {
        // Slave, not private: an unmount on the host must also take effect here.
        mount(None::<&str>, "/", None::<&str>, MsFlags::MS_SLAVE | MsFlags::MS_REC, None::<&str>)
            .map_err(|e| no_namespaces(e.into()))?;
        let flags = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
        let host = openat(AT_FDCWD, "/proc", flags, Mode::empty())
            .map_err(|e| NamespaceError::new("cannot open /proc", e.into()))?;
        let flags = MsFlags::MS_NOSUID | MsFlags::MS_NODEV | MsFlags::MS_NOEXEC;
        let own = match mount(Some("proc"), "/proc", Some("proc"), flags, None::<&str>) {
            Ok(()) => true,
            // Containers mask parts of /proc; the kernel then refuses to mount a complete one.
            Err(error) => {
                note(&format_args!("cannot mount a separate /proc, the host's /proc stays visible: {error}"));
                false
            }
        };
        Ok(Self { host, own })
    }

    /// Returns the PID of a process in the mounted `/proc`.
    fn number_here(&self, process: Pid) -> Result<i32, NamespaceError> {
        if self.own { Ok(process.as_raw()) } else { self.number_on_host(process) }
    }

    /// Returns the PID of a process on the host.
    fn number_on_host(&self, process: Pid) -> Result<i32, NamespaceError> {
        let read = || -> io::Result<i32> {
            let pidfd = sys::pidfd_open(process)?;
            let number = std::os::fd::AsRawFd::as_raw_fd(&pidfd);
            let info = fs::read_to_string(self.host_path().join(format!("self/fdinfo/{number}")))?;
            let pid = info.lines().find_map(|line| line.strip_prefix("Pid:"));
            pid.and_then(|pid| pid.trim().parse().ok()).ok_or_else(|| io::ErrorKind::InvalidData.into())
        };
        read().map_err(failed("cannot determine the host PID of the inner process"))
    }

    /// Identifies both halves by their PIDs on the host.
    fn identify(&self, inner: Pid) -> Result<NamespaceIds, NamespaceError> {
        let what = "cannot identify the processes of the lab";
        let ourselves = readlinkat(&self.host, "self").map_err(|e| NamespaceError::new(what, e.into()))?;
        let ourselves = ourselves.to_string_lossy().parse().map_err(|e| failed(what)(io::Error::other(e)))?;
        let id = |pid| ProcessId::in_proc(&self.host_path(), pid).map_err(failed(what));
        let on_host = self.number_on_host(inner)?;
        let supervisor = id(on_host)?;
        let network = network_namespace(&self.host_path().join(on_host.to_string())).map_err(failed(what))?;
        Ok(NamespaceIds {
            isolation: Isolation::Private,
            outer: Some(id(ourselves)?),
            supervisor,
            inside: Some(Inside {
                supervisor: ProcessId { pid: inner.as_raw(), started: supervisor.started },
                network,
            }),
            shared: None,
        })
    }

    fn host_path(&self) -> PathBuf {
        Path::new("/proc/self/fd").join(std::os::fd::AsRawFd::as_raw_fd(&self.host).to_string())
    }
}

/// Starts pasta between the host's network and that of the inner half.
fn start_pasta(program: &Path, uplink: &Uplink, inner: i32) -> Result<Pid, NamespaceError> {
    let mut pasta = command(program);
    pasta.args(pasta_args(uplink, nix::unistd::geteuid().is_root() && maps_every_id()));
    pasta.arg(inner.to_string());
    sys::set_up_child(&mut pasta, ChildSetup::default())
        .and_then(|()| pasta.spawn())
        .map_err(failed(format!("cannot start {}", program.display())))
        .and_then(|child| {
            let pid =
                i32::try_from(child.id()).map_err(|e| failed("cannot start pasta")(io::Error::other(e)));
            Ok(Pid::from_raw(pid?))
        })
}

/// Tells whether pasta would take us for the host's root and drop to `nobody`, who may not enter the namespaces.
fn maps_every_id() -> bool {
    fs::read_to_string("/proc/self/uid_map").is_ok_and(|map| map.trim_end().ends_with("4294967295"))
}

/// Disables defaults of pasta that a lab must not have: automatic port forwarding in both directions, the host's
/// loopback interface behind the gateway, the host's addresses inside.
fn pasta_args(uplink: &Uplink, as_root: bool) -> Vec<String> {
    let Uplink { interface, address, gateway, resolver } = uplink;
    let fixed = "--foreground --quiet --config-net --no-map-gw -t none -u none -T none -U none --ipv4-only";
    let mut args: Vec<String> = fixed.split(' ').map(str::to_owned).collect();
    for (option, value) in [
        ("--ns-ifname", interface.to_string()),
        ("--address", address.addr().to_string()),
        ("--netmask", address.prefix_len().to_string()),
        ("--gateway", gateway.to_string()),
        ("--dns-forward", resolver.to_string()),
    ] {
        args.extend([option.to_owned(), value]);
    }
    if as_root {
        args.extend(["--runas".to_owned(), "0".to_owned()]);
    }
    args
}

/// Writes a line to the supervisor's log.
pub(super) fn note(text: &dyn std::fmt::Display) {
    writeln!(io::stderr(), "dryrack: {text}").ok();
}
