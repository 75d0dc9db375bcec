//! The raw system calls that no safe wrapper offers; the only module with unsafe code.
//!
//! Every function here is small, does one thing and says why it is sound. What
//! `nix` offers safely is taken from there instead.
#![expect(
    unsafe_code,
    reason = "clone, ioctl and pre_exec have no safe wrapper; each block below gives its proof"
)]

use std::ffi::{CString, OsStr};
use std::fs::{self, File};
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::process::CommandExt;
use std::process::Command;

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, FdFlag, fcntl};
use nix::libc;
use nix::sched::CloneFlags;
use nix::sys::prctl;
use nix::sys::signal::{SigHandler, SigSet, Signal};
use nix::unistd::{ForkResult, Pid};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

use crate::name::IfName;

/// The lowest number that descriptors are kept at before they are handed to a child at 0, 1, 2, …
///
/// It keeps the sources clear of the targets, so that `dup2` never overwrites one that is still to be copied.
const PARKED: RawFd = 100;

/// A program with everything it is started with, made before the child exists.
///
/// The child of a multi-threaded process may only do what is async-signal-safe,
/// and allocating is not, so all of it is prepared here.
#[derive(Debug)]
pub(crate) struct Exec {
    program: CString,
    // Invariant: `argv` and `envp` point into `texts` and end with a null pointer.
    argv: Vec<*const libc::c_char>,
    envp: Vec<*const libc::c_char>,
    _texts: Vec<CString>,
    // Invariant: every number is at least `PARKED`.
    fds: Vec<OwnedFd>,
    session: bool,
}

impl Exec {
    /// Prepares a program that gets `fds` as its descriptors 0, 1, 2, … and the environment of this process.
    #[expect(
        clippy::disallowed_methods,
        reason = "a program inherits the environment whole; nothing is read from it"
    )]
    pub(crate) fn new(program: &OsStr, args: &[&OsStr], fds: &[BorrowedFd<'_>]) -> io::Result<Self> {
        let text = |of: &OsStr| CString::new(of.as_bytes()).map_err(io::Error::other);
        let args = args.iter().map(|arg| text(arg)).collect::<io::Result<Vec<_>>>()?;
        let environment = std::env::vars_os()
            .map(|(key, value)| text(&[key.as_os_str(), &value].join(OsStr::new("="))))
            .collect::<io::Result<Vec<_>>>()?;
        let null_ended = |texts: &[CString]| -> Vec<*const libc::c_char> {
            texts.iter().map(|text| text.as_ptr()).chain([std::ptr::null()]).collect()
        };
        let (argv, envp) = (null_ended(&args), null_ended(&environment));
        let fds = fds.iter().map(|fd| park(*fd)).collect::<io::Result<_>>()?;
        let texts = args.into_iter().chain(environment).collect();
        Ok(Self { program: text(program)?, argv, envp, _texts: texts, fds, session: false })
    }

    /// Puts the program into a session of its own, out of reach of the terminal.
    pub(crate) fn in_new_session(mut self) -> Self {
        self.session = true;
        self
    }
}

/// Copies a descriptor to a number clear of those that children expect theirs at.
fn park(fd: BorrowedFd<'_>) -> io::Result<OwnedFd> {
    let parked = fcntl(fd, FcntlArg::F_DUPFD_CLOEXEC(PARKED))?;
    // SAFETY: F_DUPFD_CLOEXEC has just made this descriptor, and nobody else knows it.
    Ok(unsafe { OwnedFd::from_raw_fd(parked) })
}

/// Copies a descriptor so that every program started from now on inherits it, at a number that none expects its own at.
pub(crate) fn inheritable(fd: BorrowedFd<'_>) -> io::Result<OwnedFd> {
    let parked = park(fd)?;
    fcntl(&parked, FcntlArg::F_SETFD(FdFlag::empty()))?;
    Ok(parked)
}

/// A child that was made in new namespaces and waits to be let go.
#[derive(Debug)]
pub(crate) struct Gated {
    /// The child, as this process numbers it.
    pub(crate) pid: Pid,
    gate: File,
}

impl Gated {
    /// Lets the child execute its program. A child that is dropped instead ends.
    pub(crate) fn open(mut self) -> io::Result<()> {
        io::Write::write_all(&mut self.gate, b"!")
    }
}

/// Makes a child in the namespaces that `flags` name; it executes `exec` once its gate is opened.
///
/// The gate gives the parent time to write the id maps of a new user namespace.
/// If the parent dies first, the child ends.
pub(crate) fn clone_exec(flags: CloneFlags, exec: &Exec) -> io::Result<Gated> {
    let (wait, gate) = nix::unistd::pipe2(nix::fcntl::OFlag::O_CLOEXEC)?;
    let flags = flags.bits() as libc::c_long | libc::c_long::from(libc::SIGCHLD);
    // SAFETY: without CLONE_VM and with a null stack this is `fork` with namespaces: the child has a copy of
    // the memory and runs on in this frame. All remaining arguments are ignored for these flags.
    let pid = unsafe { libc::syscall(libc::SYS_clone, flags, 0, 0, 0, 0) };
    match pid {
        -1 => Err(io::Error::last_os_error()),
        // SAFETY: this is the child of a `fork`, and it calls nothing that could return here.
        0 => unsafe { run_child(exec, wait.as_raw_fd(), gate.as_raw_fd()) },
        pid => Ok(Gated { pid: Pid::from_raw(pid as libc::pid_t), gate: File::from(gate) }),
    }
}

/// The child's side of [`clone_exec`].
///
/// # Safety
///
/// To be called only in a forked child: it closes and replaces descriptors that others own.
unsafe fn run_child(exec: &Exec, wait: RawFd, gate: RawFd) -> ! {
    // SAFETY: only async-signal-safe calls (signal-safety(7)); every pointer comes from `exec`, which outlives them.
    unsafe {
        // Our copy of the writing end would keep the gate from ever reading end-of-file.
        libc::close(gate);
        let mut byte = 0_u8;
        while libc::read(wait, (&raw mut byte).cast(), 1) != 1 {
            if Errno::last() != Errno::EINTR {
                libc::_exit(127);
            }
            Errno::clear();
        }
        if exec.session {
            libc::setsid();
        }
        for (number, fd) in exec.fds.iter().enumerate() {
            if libc::dup2(fd.as_raw_fd(), number as RawFd) == -1 {
                libc::_exit(127);
            }
        }
        clear_signals();
        libc::execve(exec.program.as_ptr(), exec.argv.as_ptr(), exec.envp.as_ptr());
        libc::_exit(127)
    }
}

/// Gives a child the signal dispositions that programs expect: nothing blocked, SIGPIPE deadly.
fn clear_signals() {
    SigSet::empty().thread_set_mask().ok();
    // SAFETY: SIG_DFL is no function, so no code of ours can run in signal context.
    unsafe { nix::sys::signal::signal(Signal::SIGPIPE, SigHandler::SigDfl) }.ok();
}

/// Leaves the terminal's interrupts to a child that has the terminal.
pub(crate) fn ignore_interrupts() {
    set_interrupts(SigHandler::SigIgn);
}

fn set_interrupts(to: SigHandler) {
    for signal in [Signal::SIGINT, Signal::SIGQUIT] {
        // SAFETY: the two callers pass SIG_DFL and SIG_IGN, so no code of ours runs in signal context.
        unsafe { nix::sys::signal::signal(signal, to) }.ok();
    }
}

/// What a child does between `fork` and `exec`, beyond what `Command` offers.
#[derive(Debug, Default)]
pub(crate) struct ChildSetup {
    /// The child is killed when the thread that spawned it ends.
    pub(crate) dies_with_thread: bool,
    /// The child leads a session of its own.
    pub(crate) session: bool,
    /// The terminal's interrupts reach it although we ignore them.
    pub(crate) interruptible: bool,
    /// Descriptors that it gets, with their numbers.
    pub(crate) fds: Vec<(RawFd, OwnedFd)>,
}

/// Has the children of `command` set themselves up as `setup` says.
pub(crate) fn set_up_child(command: &mut Command, setup: ChildSetup) -> io::Result<()> {
    let fds = setup
        .fds
        .iter()
        .map(|(number, fd)| Ok((*number, park(fd.as_fd())?)))
        .collect::<io::Result<Vec<_>>>()?;
    let ChildSetup { dies_with_thread, session, interruptible, fds: _ } = setup;
    let parent = nix::unistd::getpid();
    // SAFETY: the closure only makes async-signal-safe system calls on values that exist before the fork; it
    // neither allocates nor takes a lock.
    unsafe {
        command.pre_exec(move || {
            if session {
                nix::unistd::setsid()?;
            }
            if dies_with_thread {
                prctl::set_pdeathsig(Signal::SIGKILL)?;
                // The parent may have died before the line above took effect.
                if nix::unistd::getppid() != parent {
                    return Err(Errno::ESRCH.into());
                }
            }
            for (number, fd) in &fds {
                if libc::dup2(fd.as_raw_fd(), *number) == -1 {
                    return Err(io::Error::last_os_error());
                }
            }
            clear_signals();
            if interruptible {
                set_interrupts(SigHandler::SigDfl);
            }
            Ok(())
        });
    }
    Ok(())
}

/// Takes over a descriptor that this process was started with.
pub(crate) fn inherited_fd(number: RawFd) -> io::Result<OwnedFd> {
    // SAFETY: the number is only looked at; `fcntl` fails with EBADF if it is not open.
    let fd = unsafe { BorrowedFd::borrow_raw(number) };
    fcntl(fd, FcntlArg::F_SETFD(FdFlag::FD_CLOEXEC))?;
    // SAFETY: the descriptor is open (checked above), and the roles that call this own their numbers from 3 on:
    // their parent put them there for them, and each is taken once, before anything else opens files.
    Ok(unsafe { OwnedFd::from_raw_fd(number) })
}

/// The proof that this process has one thread only, as long as its holder starts none.
#[derive(Debug)]
pub(crate) struct OneThread(());

impl OneThread {
    /// Counts the threads. To be called before another `/proc` is entered, which does not know this process.
    pub(crate) fn prove() -> io::Result<Self> {
        match fs::read_dir("/proc/self/task")?.count() {
            1 => Ok(Self(())),
            _ => Err(io::Error::other("a process with several threads cannot be forked safely")),
        }
    }
}

/// Forks this process.
pub(crate) fn fork(_: OneThread) -> io::Result<ForkResult> {
    // SAFETY: there is one thread (proved above, and the only caller starts none in between), so no lock can be left
    // held by another one in the child.
    Ok(unsafe { nix::unistd::fork() }?)
}

/// Opens a descriptor that stands for a process and becomes readable when it ends.
pub(crate) fn pidfd_open(pid: Pid) -> io::Result<OwnedFd> {
    // SAFETY: the call takes two integers and touches no memory of ours.
    let fd = unsafe { libc::syscall(libc::SYS_pidfd_open, pid.as_raw(), 0) };
    if fd == -1 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the kernel has just made this descriptor for us.
    Ok(unsafe { OwnedFd::from_raw_fd(fd as RawFd) })
}

/// Sends a signal to the process that a pidfd stands for; its number cannot have been reused.
pub(crate) fn pidfd_kill(pidfd: BorrowedFd<'_>, signal: Signal) -> io::Result<()> {
    let info: *const libc::siginfo_t = std::ptr::null();
    // SAFETY: a null `siginfo` asks the kernel to fill in what `kill` would.
    let done =
        unsafe { libc::syscall(libc::SYS_pidfd_send_signal, pidfd.as_raw_fd(), signal as i32, info, 0) };
    if done == -1 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// Has tokio tell when a descriptor becomes readable.
pub(crate) fn watch(fd: OwnedFd) -> io::Result<AsyncFd<OwnedFd>> {
    // SAFETY: an `OwnedFd` names the same open descriptor from now until the registration, which owns it, is dropped.
    unsafe { AsyncFd::register_with_interest(fd, Interest::READABLE) }.map_err(|error| error.into_parts().1)
}

nix::ioctl_write_ptr_bad!(tun_set_iff, libc::TUNSETIFF, libc::ifreq);
nix::ioctl_write_int_bad!(tun_set_persist, libc::TUNSETPERSIST);

/// Makes a TAP that stays when the descriptor is closed, in the network namespace of this thread.
pub(crate) fn make_tap(name: &IfName) -> io::Result<()> {
    let tun = File::options().read(true).write(true).open("/dev/net/tun")?;
    let flags = libc::IFF_TAP | libc::IFF_NO_PI | libc::IFF_VNET_HDR | libc::IFF_TUN_EXCL;
    // SAFETY: `ifreq` is plain old data, for which all zeros is a value.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    request.ifr_ifru.ifru_flags = flags as libc::c_short;
    // An `IfName` has at most 15 bytes, so the NUL that `zeroed` left at the end stays.
    for (to, from) in request.ifr_name.iter_mut().zip(name.as_str().bytes()) {
        *to = from as libc::c_char;
    }
    // SAFETY: the descriptor is open, and `request` is the `ifreq` that TUNSETIFF reads and writes.
    unsafe { tun_set_iff(tun.as_raw_fd(), &raw const request) }?;
    // SAFETY: TUNSETPERSIST takes an integer.
    unsafe { tun_set_persist(tun.as_raw_fd(), 1) }?;
    Ok(())
}

/// Reads from a place in a file what is in memory already; `WouldBlock` if the disk would have to be asked.
pub(crate) fn read_cached(file: BorrowedFd<'_>, buffer: &mut [u8], at: u64) -> io::Result<usize> {
    let part = libc::iovec { iov_base: buffer.as_mut_ptr().cast(), iov_len: buffer.len() };
    let at = libc::off_t::try_from(at).map_err(io::Error::other)?;
    // SAFETY: the one part is `buffer`, which is ours to write and lives until the call returns.
    let read = unsafe { libc::preadv2(file.as_raw_fd(), &raw const part, 1, at, libc::RWF_NOWAIT) };
    usize::try_from(read).map_err(|_| io::Error::last_os_error())
}

nix::ioctl_read_bad!(out_queue, libc::TIOCOUTQ, libc::c_int);

/// Returns how many of the bytes that were written to a TCP socket the other side has not acknowledged.
pub(crate) fn unacknowledged(socket: BorrowedFd<'_>) -> io::Result<u64> {
    let mut bytes: libc::c_int = 0;
    // SAFETY: SIOCOUTQ, which has the number of TIOCOUTQ, writes one integer.
    unsafe { out_queue(socket.as_raw_fd(), &raw mut bytes) }?;
    u64::try_from(bytes).map_err(io::Error::other)
}
