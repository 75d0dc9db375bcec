//! The role `@process`: becomes a process of the lab.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::os::fd::{OwnedFd, RawFd};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use nix::errno::Errno;
use nix::sched::{CloneFlags, setns, unshare};
use nix::sys::prctl;
use nix::sys::resource::{Resource, setrlimit};
use nix::sys::signal::{Signal, raise};
use nix::sys::wait::{WaitStatus, waitpid};
use nix::unistd::{ForkResult, Pid};
use serde::{Deserialize, Serialize};

use super::below::read_below;
use super::files::{GivenFile, give};
use super::image::{ImageRoot, NAME_FILES};
use super::init::LOG;
use super::mounts::{MountPoints, keep_private};
use crate::system::namespace::{NamespaceError, failed, has_other_ids, pipe};
use crate::system::process::{command, search_path};
use crate::system::sys::{self, OneThread};

/// The descriptor from which the orders are read.
const ORDERS: RawFd = 3;
/// The descriptor of its output.
const OUTPUT: RawFd = 1;
/// The exit code of a process that could not be started, as in env(1).
const CANNOT_EXECUTE: u8 = 126;

/// What a process of the lab runs, and what it sees.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ProgramOrders {
    /// The command for `sh -c`; `None` for what the image starts.
    pub run: Option<String>,
    /// Its working directory.
    pub folder: PathBuf,
    /// Files and folders that it is given.
    pub files: BTreeMap<PathBuf, GivenFile>,
    /// A folder of the run for copies.
    pub copies: PathBuf,
    /// The first process of the host on which it runs.
    pub host: Option<i32>,
    /// The folder of the host on which it runs.
    pub host_folder: Option<PathBuf>,
    /// The image whose files it sees, instead of those of its host or of the user's machine.
    pub image: Option<ImageRoot>,
}

impl ProgramOrders {
    /// Tells whether the process needs more than a shell.
    pub fn is_needed(&self) -> bool {
        self.host.is_some() || self.image.is_some() || !self.files.is_empty() || !has_other_ids()
    }

    /// Returns the descriptor that the role reads, with its number.
    pub fn into_pipe(self) -> io::Result<(RawFd, OwnedFd)> {
        let (reader, writer) = nix::unistd::pipe2(nix::fcntl::OFlag::O_CLOEXEC)?;
        let text = serde_json::to_vec(&self)?;
        // The writer is a thread of its own: a long command does not fit into the buffer of a pipe.
        std::thread::Builder::new().name("orders".into()).spawn(move || {
            // A reader that is gone needs no orders.
            File::from(writer).write_all(&text).ok();
        })?;
        Ok((ORDERS, reader))
    }

    /// Returns the arguments of the shell.
    pub fn shell(run: &str) -> [String; 2] {
        // One stream for both, so that lines stay in order.
        ["-c".to_owned(), format!("exec 2>&1\n{run}")]
    }
}

/// Runs the role `@process`, whose errors are part of the output of the process.
///
/// On a host it stays outside, and ends as the process in the host ends: a PID namespace is only for children.
/// Must be called first in the process.
pub fn program_main() -> u8 {
    let orders = sys::inherited_fd(ORDERS).and_then(|fd| io::read_to_string(File::from(fd)));
    let orders = orders.and_then(|text| serde_json::from_str(&text).map_err(io::Error::from));
    let orders = orders.map_err(|error| NamespaceError::new("cannot read the orders of this role", error));
    let error = match orders.and_then(|orders: ProgramOrders| play(&orders)) {
        Ok(code) => return code,
        Err(error) => error,
    };
    if let Ok(output) = sys::inherited_fd(OUTPUT) {
        // Nobody may read it any more.
        writeln!(File::from(output), "dryrack: {}", crate::hint::chain(&error)).ok();
    }
    CANNOT_EXECUTE
}

fn play(orders: &ProgramOrders) -> Result<u8, NamespaceError> {
    match (orders.host, &orders.image) {
        (None, None) => Err(become_process(orders)),
        (Some(host), None) => Ok(end_like(fork_into(host, || become_process(orders))?)),
        (None, Some(image)) => {
            let names = name_files(Path::new("/"));
            leave_mounts(orders)?;
            Err(become_container(orders, image, &names))
        }
        (Some(host), Some(image)) => {
            let pidfd = sys::pidfd_open(Pid::from_raw(host)).map_err(failed("the host is off"))?;
            let names = name_files(&super::init::root_of(&pidfd));
            // The root of the image is not below that of the host, but in our mounts.
            setns(&pidfd, CloneFlags::CLONE_NEWUSER)
                .map_err(|e| failed("cannot enter the users of the host")(e.into()))?;
            leave_mounts(orders)?;
            let spaces = CloneFlags::CLONE_NEWPID
                | CloneFlags::CLONE_NEWNET
                | CloneFlags::CLONE_NEWUTS
                | CloneFlags::CLONE_NEWIPC;
            let child = fork_through(&pidfd, spaces, || become_container(orders, image, &names))?;
            Ok(end_like(child))
        }
    }
}

/// Returns the files of a root that name hosts.
fn name_files(root: &Path) -> Vec<(&'static str, String)> {
    let text = |name: &&'static str| Some((*name, read_below(root, &Path::new("etc").join(name)).ok()?));
    NAME_FILES.iter().filter_map(text).collect()
}

/// Enters a mount namespace of its own.
fn leave_mounts(orders: &ProgramOrders) -> Result<(), NamespaceError> {
    unshare(CloneFlags::CLONE_NEWNS).map_err(|e| failed("cannot create a mount namespace")(e.into()))?;
    keep_private().map_err(failed("cannot detach the mounts"))?;
    fs::create_dir_all(&orders.copies).map_err(failed("cannot create a folder for the process"))
}

/// Executes what an image starts; returns only on failure.
fn become_container(orders: &ProgramOrders, image: &ImageRoot, names: &[(&str, String)]) -> NamespaceError {
    let what = "cannot tie the program to its parent";
    let prepare = || -> Result<Vec<String>, NamespaceError> {
        let log = orders.host_folder.as_ref().map(|folder| folder.join(LOG));
        image.enter(&orders.files, &orders.copies, names, log.as_deref())?;
        confine()?;
        // The kernel forgets it where a process becomes another user.
        let end = prctl::get_pdeathsig().map_err(|e| failed(what)(e.into()))?;
        image.become_user()?;
        prctl::set_pdeathsig(end).map_err(|e| failed(what)(e.into()))?;
        let folder =
            if image.container.folder.is_absolute() { &image.container.folder } else { Path::new("/") };
        std::env::set_current_dir(folder).map_err(failed("cannot change to the folder of the image"))?;
        // One stream for both, so that lines stay in order.
        sys::join_outputs().map_err(failed("cannot join the outputs"))?;
        image.command(orders.run.as_deref())
    };
    let argv = match prepare() {
        Ok(argv) => argv,
        Err(error) => return error,
    };
    let mut program = command(&argv[0]);
    program
        .args(&argv[1..])
        .env_clear()
        .envs(environment_of_lab())
        .envs(image.container.environment.iter().filter_map(|entry| entry.split_once('=')));
    let source = program.exec();
    NamespaceError::new(format!("cannot run `{}`", argv[0]), source)
}

/// Returns what the lab tells its processes, and nothing of the user's environment.
#[expect(clippy::disallowed_methods, reason = "the environment is what the supervisor made")]
fn environment_of_lab() -> Vec<(OsString, OsString)> {
    std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("DRYRACK_")).collect()
}

/// Moves this thread, the only one, into the network of a host, whose first process this is.
pub fn enter_network(host: i32) -> Result<(), NamespaceError> {
    let pidfd = sys::pidfd_open(Pid::from_raw(host)).map_err(failed("the host is off"))?;
    setns(&pidfd, CloneFlags::CLONE_NEWNET)
        .map_err(|e| failed("cannot enter the network of the host")(e.into()))
}

/// Enters a host, by its first process, and forks: the child does the rest, and returns only on failure.
///
/// The child ends with this process.
pub(in crate::system) fn fork_into(
    host: i32,
    child: impl FnOnce() -> NamespaceError,
) -> Result<Pid, NamespaceError> {
    let pidfd = sys::pidfd_open(Pid::from_raw(host)).map_err(failed("the host is off"))?;
    let all = CloneFlags::CLONE_NEWUSER
        | CloneFlags::CLONE_NEWPID
        | CloneFlags::CLONE_NEWNET
        | CloneFlags::CLONE_NEWNS
        | CloneFlags::CLONE_NEWUTS
        | CloneFlags::CLONE_NEWIPC;
    fork_through(&pidfd, all, child)
}

/// Enters namespaces of a process, and forks as [`fork_into`] does.
fn fork_through(
    pidfd: &OwnedFd,
    spaces: CloneFlags,
    child: impl FnOnce() -> NamespaceError,
) -> Result<Pid, NamespaceError> {
    let what = "cannot enter the host";
    let one_thread = OneThread::prove().map_err(failed(what))?;
    setns(pidfd, spaces).map_err(|e| failed(what)(e.into()))?;
    let (ready, go) = pipe()?;
    match sys::fork(one_thread).map_err(failed(what))? {
        ForkResult::Child => {
            drop(go);
            let tie = || -> io::Result<()> {
                prctl::set_pdeathsig(Signal::SIGKILL)?;
                // Our parent is in another PID namespace: its byte shows that it is still alive.
                File::from(ready).read_exact(&mut [0])
            };
            Err(match tie() {
                Ok(()) => child(),
                Err(source) => NamespaceError::new("cannot tie the program to its parent", source),
            })
        }
        ForkResult::Parent { child } => {
            drop(ready);
            File::from(go).write_all(b"!").map_err(failed(what))?;
            Ok(child)
        }
    }
}

/// Waits for a child, and ends as it did.
fn end_like(child: Pid) -> u8 {
    loop {
        match waitpid(child, None) {
            Ok(WaitStatus::Exited(_, code)) => return u8::try_from(code).unwrap_or(u8::MAX),
            Ok(WaitStatus::Signaled(_, signal, _)) => {
                // The memory of this process is of no interest.
                setrlimit(Resource::RLIMIT_CORE, 0, 0).ok();
                raise(signal).ok();
                return 128 + signal as u8;
            }
            Ok(_) | Err(Errno::EINTR) => {}
            Err(_) => return CANNOT_EXECUTE,
        }
    }
}

/// Executes the command; returns only on failure.
fn become_process(orders: &ProgramOrders) -> NamespaceError {
    let ProgramOrders { run, folder, files, copies, host, host_folder: _, image: _ } = orders;
    let prepare = || -> Result<(), NamespaceError> {
        if !files.is_empty() {
            leave_mounts(orders)?;
            give(files, Path::new("/"), copies, &mut MountPoints::new(copies.clone()))?;
        }
        confine()?;
        std::env::set_current_dir(folder).map_err(failed("cannot change folder"))
    };
    match prepare() {
        Ok(()) => {
            let run = run.as_deref().unwrap_or_default();
            let mut shell = command("/bin/sh");
            shell.args(ProgramOrders::shell(run));
            if host.is_some() {
                be_root(&mut shell);
            }
            let source = shell.exec();
            NamespaceError::new("cannot run /bin/sh", source)
        }
        Err(error) => error,
    }
}

/// Gives a program on a host the environment of root there, and nothing of the user's but the terminal and language.
pub(in crate::system) fn be_root(command: &mut Command) {
    command
        .env_clear()
        .envs(environment_of_lab())
        .env("HOME", "/root")
        .env("USER", "root")
        .env("LOGNAME", "root");
    command.env("PATH", search_path()).envs(environment_of_terminal());
}

#[expect(
    clippy::disallowed_methods,
    reason = "what a terminal can show is known to the user's environment only"
)]
fn environment_of_terminal() -> Vec<(OsString, OsString)> {
    let shown = |name: &OsString| {
        let name = name.to_string_lossy();
        matches!(&*name, "TERM" | "COLORTERM" | "NO_COLOR" | "LANG" | "TZ") || name.starts_with("LC_")
    };
    std::env::vars_os().filter(|(name, _)| shown(name)).collect()
}

/// Takes from a process what nobody may do on a host; makes programs believe that they became other users, where
/// there are none.
pub(in crate::system) fn confine() -> Result<(), NamespaceError> {
    sys::keep_read_only().map_err(failed("cannot keep mounts read-only"))?;
    match has_other_ids() {
        true => Ok(()),
        false => sys::pretend_other_ids().map_err(failed("cannot answer for other users")),
    }
}
