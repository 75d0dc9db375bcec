//! Runs a program inside the namespaces of a lab, as the calling user.
//!
//! `run_inside` starts this program again as `@join`, because only a single-threaded
//! process may enter a user namespace. `@join` enters the namespaces, forks (a PID
//! namespace is only for children), and the child executes the program.

use std::ffi::{OsStr, OsString};
use std::fs::{self, File};
use std::io::{self, BufReader, Read, Write};
use std::os::fd::{OwnedFd, RawFd};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};

use nix::errno::Errno;
use nix::sched::{CloneFlags, setns, unshare};
use nix::sys::prctl;
use nix::sys::signal::Signal;
use nix::sys::wait::waitpid;
use nix::unistd::{ForkResult, Gid, Pid, Uid};

use super::handle::exit_code;
use super::handover::{Report, pipe};
use super::{NamespaceError, NamespaceIds, ProcessId, failed};
use super::{OURSELVES, no_namespaces};
use crate::lab::Isolation;
use crate::name::NodeName;
use crate::system::process::command;
use crate::system::sys::{self, ChildSetup, OneThread};

/// The environment variable with the folder of the run that a process belongs to. Commands without `--lab` mean its lab.
pub const RUN: &str = "DRYRACK_RUN";

/// The descriptor to which `@join` reports an error.
const REPORT: RawFd = 3;
/// Exit codes for a program that cannot be executed, and for one that is not found, as in env(1).
const CANNOT_EXECUTE: u8 = 126;
const NOT_FOUND: u8 = 127;

/// Runs a program in the namespaces of a run and returns its exit status.
///
/// It inherits terminal, environment (with [`RUN`] and `variables`) and working directory, and dies with the lab and with this process. Blocks until
/// it has exited; meanwhile only the program gets the terminal's interrupts.
pub fn run_inside(
    run_dir: &Path,
    argv: &[OsString],
    variables: &[(&'static str, PathBuf)],
) -> Result<ExitStatus, NamespaceError> {
    run(run_dir, None, argv, variables)
}

/// Runs a program on a host of a run, as its root, and returns its exit status. Otherwise as [`run_inside`].
pub fn run_on_host(
    run_dir: &Path,
    host: &NodeName,
    argv: &[OsString],
    variables: &[(&'static str, PathBuf)],
) -> Result<ExitStatus, NamespaceError> {
    run(run_dir, Some(host), argv, variables)
}

fn run(
    run_dir: &Path,
    host: Option<&NodeName>,
    argv: &[OsString],
    variables: &[(&'static str, PathBuf)],
) -> Result<ExitStatus, NamespaceError> {
    let ids = NamespaceIds::read(run_dir)?;
    if !ids.is_alive() {
        return Err(NamespaceError::plain("the lab is not up").with_hint("start it with `dryrack up`"));
    }
    if host.is_none() && (ids.isolation == Isolation::None || ids.contain_us()) {
        return run_here(run_dir, argv, variables);
    }
    sys::ignore_interrupts();
    let (reported, report) = pipe()?;
    let what = "cannot start `dryrack @join`";
    let mut join = command(OURSELVES);
    join.arg0("dryrack").arg("@join").arg(std::path::absolute(run_dir).map_err(failed(what))?);
    join.arg(host.map_or("", NodeName::as_str)).args(argv);
    join.env(RUN, run_dir).envs(variables.iter().cloned());
    let setup = ChildSetup { dies_with_thread: true, fds: vec![(REPORT, report)], ..ChildSetup::default() };
    let started = sys::set_up_child(&mut join, setup).and_then(|()| join.spawn());
    let mut child = started.map_err(failed(what))?;
    drop(join);
    // End-of-file without a report means that the program was executed.
    let failure = Report::receive(&mut BufReader::new(File::from(reported)));
    let status = child.wait().map_err(failed(what))?;
    match failure {
        Ok(Some(Report::Failed(reported))) => Err(reported.into()),
        _ => Ok(status),
    }
}

/// Runs a program where we are and returns its exit status. Otherwise as [`run_inside`].
pub fn run_here(
    run_dir: &Path,
    argv: &[OsString],
    variables: &[(&'static str, PathBuf)],
) -> Result<ExitStatus, NamespaceError> {
    let [program, args @ ..] = argv else { return Err(NamespaceError::plain("no program given")) };
    sys::ignore_interrupts();
    let mut child = command(program);
    child.args(args);
    sys::set_up_child(&mut child, ChildSetup { interruptible: true, ..ChildSetup::default() })
        .map_err(failed("cannot prepare the program"))?;
    child.env(RUN, run_dir).envs(variables.iter().cloned());
    child.status().map_err(failed(format!("cannot run `{}`", program.display())))
}

/// Runs `@join RUN_DIR HOST PROGRAM ARGS…` (HOST may be empty) and returns the program's exit code.
///
/// Must be called first in the process.
pub fn join_main() -> u8 {
    prctl::set_name(c"dryrack-join").ok();
    let Ok(report) = sys::inherited_fd(REPORT).map(File::from) else { return super::outer::HOST_UNFIT };
    let mut args = std::env::args_os().skip(2);
    let run_dir = args.next().map(PathBuf::from);
    let host = args.next().filter(|host| !host.is_empty());
    let argv: Vec<OsString> = args.collect();
    let joined = match (run_dir, argv.is_empty()) {
        (Some(run_dir), false) => join(&run_dir, host.as_deref(), &argv, &report),
        _ => Err(NamespaceError::plain("dryrack starts `@join` itself; do not start it by hand")),
    };
    joined.unwrap_or_else(|error| {
        Report::Failed(error.reported()).send(&report);
        super::outer::HOST_UNFIT
    })
}

fn join(
    run_dir: &Path,
    host: Option<&OsStr>,
    argv: &[OsString],
    report: &File,
) -> Result<u8, NamespaceError> {
    let ids = NamespaceIds::read(run_dir)?;
    if ids.isolation == Isolation::None || ids.contain_us() {
        let host = host.ok_or_else(|| NamespaceError::plain("the program needs no role to run"))?;
        return join_host(run_dir, host, argv, report);
    }
    let folder = std::env::current_dir().unwrap_or_else(|_| "/".into());
    let (uid, gid) = (nix::unistd::getuid(), nix::unistd::getgid());
    let what = "cannot fork into the namespaces";
    let one_thread = OneThread::prove().map_err(failed(what))?;
    enter(&ids)?;
    let (ready, go) = pipe()?;
    match sys::fork(one_thread).map_err(failed(what))? {
        ForkResult::Child => {
            drop(go);
            if let Some(host) = host {
                tie(ready)?;
                return join_host(run_dir, host, argv, report);
            }
            let error = become_program(argv, &folder, (uid, gid), ready);
            let code = match error.source.as_ref().map(io::Error::kind) {
                Some(io::ErrorKind::NotFound) => NOT_FOUND,
                _ => CANNOT_EXECUTE,
            };
            Report::Failed(error.reported()).send(report);
            Ok(code)
        }
        ForkResult::Parent { child } => {
            drop(ready);
            File::from(go).write_all(b"!").map_err(failed(what))?;
            wait(child).map_err(failed("cannot wait for the program"))
        }
    }
}

/// Enters a host from within the lab, forks, and returns the exit code of the program.
fn join_host(run_dir: &Path, host: &OsStr, argv: &[OsString], report: &File) -> Result<u8, NamespaceError> {
    let off = || {
        NamespaceError::plain(format!("host `{}` is off", host.display()))
            .with_hint(format!("`dryrack power on {}` powers it on", host.display()))
    };
    // Its PID inside of the lab, where we are.
    let text = fs::read_to_string(run_dir.join("host").join(host).join("pid")).map_err(|_| off())?;
    let pid = text.trim().parse().map_err(|_| off())?;
    let child = crate::system::host::fork_into(pid, || {
        let what = "cannot change folder";
        if let Err(error) = std::env::set_current_dir("/").map_err(failed(what)) {
            return error;
        }
        if let Err(error) = crate::system::host::confine() {
            return error;
        }
        execute(argv, crate::system::host::be_root)
    });
    match child {
        Ok(child) => wait(child).map_err(failed("cannot wait for the program")),
        Err(error) => {
            // In the child, this is why the program was not executed.
            Report::Failed(error.reported()).send(report);
            Ok(CANNOT_EXECUTE)
        }
    }
}

/// Enters all namespaces; the PID namespace applies to children only.
fn enter(ids: &NamespaceIds) -> Result<(), NamespaceError> {
    let gone = |source| NamespaceError::new("the lab is no longer up", source);
    let outer = ids.outer.ok_or_else(|| NamespaceError::plain("the outer process is missing"))?;
    let namespaces = |of: ProcessId| of.open().map_err(gone);
    let (outer, inner) = (namespaces(outer)?, namespaces(ids.supervisor)?);
    // Outer before inner: the PID namespace belongs to the outer user namespace, and a process in the inner one has
    // no capabilities there. The user namespace comes first each time, because it grants the capabilities for the
    // rest.
    for (half, kind, name) in [
        (&outer, CloneFlags::CLONE_NEWUSER, "user"),
        (&outer, CloneFlags::CLONE_NEWPID, "PID"),
        (&inner, CloneFlags::CLONE_NEWUSER, "user"),
        (&inner, CloneFlags::CLONE_NEWNET, "network"),
        (&inner, CloneFlags::CLONE_NEWNS, "mount"),
    ] {
        setns(half, kind).map_err(|e| {
            NamespaceError::new(format!("cannot enter the lab's {name} namespace"), e.into())
                .with_hint("only the user who started a lab can enter it")
        })?;
    }
    Ok(())
}

/// Makes this process end with its parent.
fn tie(ready: OwnedFd) -> Result<(), NamespaceError> {
    let what = "cannot tie the program to this command";
    prctl::set_pdeathsig(Signal::SIGKILL).map_err(|e| NamespaceError::new(what, e.into()))?;
    // `getppid` does not see our parent, which is in another PID namespace: its byte shows that it is still alive.
    File::from(ready).read_exact(&mut [0]).map_err(failed(what))
}

/// Executes the program; returns only on failure.
fn become_program(argv: &[OsString], folder: &Path, caller: (Uid, Gid), ready: OwnedFd) -> NamespaceError {
    let prepare = || -> Result<(), NamespaceError> {
        tie(ready)?;
        look_like(caller)?;
        std::env::set_current_dir(folder)
            .or_else(|_| std::env::set_current_dir("/"))
            .map_err(failed("cannot change folder"))
    };
    if let Err(error) = prepare() {
        return error;
    }
    execute(argv, |_| {})
}

/// Executes a program; returns only on failure.
fn execute(argv: &[OsString], adapt: impl FnOnce(&mut Command)) -> NamespaceError {
    let program = argv.first().map_or(OsStr::new(""), OsString::as_os_str);
    let mut command = command(program);
    command.args(&argv[1..]);
    adapt(&mut command);
    let setup = ChildSetup { interruptible: true, ..ChildSetup::default() };
    if let Err(source) = sys::set_up_child(&mut command, setup) {
        return NamespaceError::new("cannot prepare the program", source);
    }
    let source = command.exec();
    NamespaceError::new(format!("cannot run `{}`", program.display()), source)
}

/// Restores the caller's IDs: inside, the user is 0, and ssh, for example, would look for root's keys.
fn look_like((uid, gid): (Uid, Gid)) -> Result<(), NamespaceError> {
    if uid.is_root() {
        return Ok(());
    }
    unshare(CloneFlags::CLONE_NEWUSER).map_err(|e| no_namespaces(e.into()))?;
    let write = |file: &str, text: &str| fs::write(format!("/proc/self/{file}"), text).map_err(no_namespaces);
    write("setgroups", "deny")?;
    write("uid_map", &format!("{uid} 0 1"))?;
    write("gid_map", &format!("{gid} 0 1"))
}

fn wait(child: Pid) -> io::Result<u8> {
    loop {
        match waitpid(child, None) {
            Ok(status) => {
                if let Some(code) = exit_code(status) {
                    return Ok(code);
                }
            }
            Err(Errno::EINTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
}
