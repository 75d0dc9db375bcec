//! Raw system calls without a safe wrapper; the only module with unsafe code besides `matchbox/yaml/libyaml.rs`.
//!
//! Every function here is small, does one thing and says why it is sound. What
//! `nix` offers safely is used from there.
#![expect(
    unsafe_code,
    reason = "clone, ioctl, pre_exec and shared memory have no safe wrapper; each block below gives its proof"
)]

use std::ffi::{CString, OsStr, OsString};
use std::fs::{self, File};
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::process::CommandExt;
use std::process::Command;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU32, Ordering};

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

/// The lowest number for descriptors that a child is to get as 0, 1, 2, …
///
/// It keeps sources and targets apart, so that `dup2` never overwrites a descriptor that is yet to be copied.
const PARKED: RawFd = 100;

/// A program with its arguments, environment and descriptors, prepared before the fork.
///
/// The child of a multi-threaded process may only call async-signal-safe functions,
/// and allocation is not one, so everything is prepared here.
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
    /// Prepares a program that gets `fds` as its descriptors 0, 1, 2, … and our environment, with `variables` added.
    #[expect(
        clippy::disallowed_methods,
        reason = "a program inherits the environment whole; nothing is read from it"
    )]
    pub(crate) fn new(
        program: &OsStr,
        args: &[&OsStr],
        fds: &[BorrowedFd<'_>],
        variables: &[(OsString, OsString)],
    ) -> io::Result<Self> {
        let text = |of: &OsStr| CString::new(of.as_bytes()).map_err(io::Error::other);
        let args = args.iter().map(|arg| text(arg)).collect::<io::Result<Vec<_>>>()?;
        let ours = std::env::vars_os().filter(|(key, _)| variables.iter().all(|(added, _)| added != key));
        let environment = ours
            .chain(variables.iter().cloned())
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

    /// Starts the program in a new session, detached from the terminal.
    pub(crate) fn in_new_session(mut self) -> Self {
        self.session = true;
        self
    }
}

/// Duplicates a descriptor to a number that no child uses as a target.
fn park(fd: BorrowedFd<'_>) -> io::Result<OwnedFd> {
    let parked = fcntl(fd, FcntlArg::F_DUPFD_CLOEXEC(PARKED))?;
    // SAFETY: F_DUPFD_CLOEXEC has just created this descriptor, and nothing else owns it.
    Ok(unsafe { OwnedFd::from_raw_fd(parked) })
}

/// Duplicates a descriptor so that every program started from now on inherits it, at a number that none uses as a
/// target.
pub(crate) fn inheritable(fd: BorrowedFd<'_>) -> io::Result<OwnedFd> {
    let parked = park(fd)?;
    fcntl(&parked, FcntlArg::F_SETFD(FdFlag::empty()))?;
    Ok(parked)
}

/// A child in new namespaces that waits for its gate.
#[derive(Debug)]
pub(crate) struct Gated {
    /// Its PID in our PID namespace.
    pub(crate) pid: Pid,
    gate: File,
}

impl Gated {
    /// Lets the child execute its program. If dropped instead, the child exits.
    pub(crate) fn open(mut self) -> io::Result<()> {
        io::Write::write_all(&mut self.gate, b"!")
    }
}

/// Creates a child in new namespaces given by `flags`; it executes `exec` once its gate is opened.
///
/// The gate gives the parent time to write the ID maps of a new user namespace.
/// If the parent dies first, the child exits.
pub(crate) fn clone_exec(flags: CloneFlags, exec: &Exec) -> io::Result<Gated> {
    let (wait, gate) = nix::unistd::pipe2(nix::fcntl::OFlag::O_CLOEXEC)?;
    let flags = flags.bits() as libc::c_long | libc::c_long::from(libc::SIGCHLD);
    // SAFETY: without CLONE_VM and with a null stack this is `fork` with namespaces: the child has a copy of the
    // memory and continues in this frame. All remaining arguments are ignored for these flags.
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
/// Must be called only in a forked child: it closes and replaces descriptors that others own.
unsafe fn run_child(exec: &Exec, wait: RawFd, gate: RawFd) -> ! {
    // SAFETY: only async-signal-safe calls (signal-safety(7)); every pointer comes from `exec`, which outlives them.
    unsafe {
        // Our copy of the writing end would prevent end-of-file at the gate.
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

/// Sets the signal dispositions that programs expect: nothing blocked, SIGPIPE fatal.
fn clear_signals() {
    SigSet::empty().thread_set_mask().ok();
    // SAFETY: SIG_DFL is not a function, so no code of ours can run in signal context.
    unsafe { nix::sys::signal::signal(Signal::SIGPIPE, SigHandler::SigDfl) }.ok();
}

/// The system calls by which a process becomes another user, or gives a file to one.
const OTHER_IDS: &[libc::c_long] = &[
    libc::SYS_setuid,
    libc::SYS_setgid,
    libc::SYS_setreuid,
    libc::SYS_setregid,
    libc::SYS_setresuid,
    libc::SYS_setresgid,
    libc::SYS_setfsuid,
    libc::SYS_setfsgid,
    libc::SYS_setgroups,
    libc::SYS_fchown,
    libc::SYS_fchownat,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_chown,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_lchown,
];

/// Makes the kernel answer "done" where this process, or one that it starts, becomes another user or gives a file to
/// one, without doing it.
///
/// In a user namespace with one ID nothing else would be possible, and servers that give up their privileges at start
/// would end. A program that checks whether it did, such as sshd, still ends.
pub(crate) fn pretend_other_ids() -> io::Result<()> {
    let calls = OTHER_IDS.len();
    let mut filter =
        vec![bpf::load(bpf::ARCHITECTURE), bpf::equal(bpf::OURS, 0, calls + 1), bpf::load(bpf::NUMBER)];
    for (index, call) in OTHER_IDS.iter().enumerate() {
        filter.push(bpf::equal(number(*call)?, calls - index, 0));
    }
    filter.push(bpf::ALLOW);
    // An error of 0 is success.
    filter.push(bpf::fail(0));
    bpf::install(&mut filter)
}

/// Makes the kernel refuse to make a mount writable, to this process and to all that it starts.
///
/// What the lab file gives as read-only is mounted in a namespace that belongs to the host, and whose root could
/// otherwise undo it.
pub(crate) fn keep_read_only() -> io::Result<()> {
    /// `mount` and `mount_setattr` of 32-bit programs, which have the same numbers for x86 and ARM.
    const NARROW: [u32; 2] = [21, 442];
    /// The bit of calls of the x32 ABI.
    const X32: u32 = 0x4000_0000;
    let (mount, attributes) = (number(libc::SYS_mount)?, number(libc::SYS_mount_setattr)?);
    bpf::install(&mut [
        bpf::load(bpf::ARCHITECTURE),
        bpf::equal(bpf::OURS, 4, 0),
        bpf::load(bpf::NUMBER),
        bpf::equal(NARROW[0], 10, 0),
        bpf::equal(NARROW[1], 10, 0),
        bpf::ALLOW,
        bpf::load(bpf::NUMBER),
        bpf::equal(attributes, 7, 0),
        bpf::equal(attributes | X32, 6, 0),
        bpf::equal(mount, 1, 0),
        bpf::equal(mount | X32, 0, 2),
        bpf::load(bpf::argument(3)),
        bpf::any(libc::MS_REMOUNT as u32, 3, 0),
        bpf::ALLOW,
        bpf::fail(libc::EPERM),
        // Programs then use `mount`.
        bpf::fail(libc::ENOSYS),
        bpf::any(libc::MS_RDONLY as u32, 0, 1),
        bpf::ALLOW,
        bpf::fail(libc::EPERM),
    ])
}

fn number(call: libc::c_long) -> io::Result<u32> {
    u32::try_from(call).map_err(io::Error::other)
}

/// Filters of system calls (seccomp(2)).
mod bpf {
    use std::io;

    use nix::libc;

    /// Where `seccomp_data` has the number of the call, and the architecture.
    pub(super) const NUMBER: u32 = 0;
    pub(super) const ARCHITECTURE: u32 = 4;
    #[cfg(target_arch = "x86_64")]
    pub(super) const OURS: u32 = 0xC000_003E;
    #[cfg(target_arch = "aarch64")]
    pub(super) const OURS: u32 = 0xC000_00B7;
    pub(super) const ALLOW: libc::sock_filter =
        statement(libc::BPF_RET | libc::BPF_K, libc::SECCOMP_RET_ALLOW);

    const fn statement(operation: u32, k: u32) -> libc::sock_filter {
        libc::sock_filter { code: operation as u16, jt: 0, jf: 0, k }
    }

    /// Where `seccomp_data` has the lower half of an argument.
    pub(super) const fn argument(index: u32) -> u32 {
        16 + 8 * index
    }

    pub(super) const fn load(from: u32) -> libc::sock_filter {
        statement(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, from)
    }

    /// Skips some instructions if the loaded value equals another one, otherwise others.
    pub(super) const fn equal(to: u32, skip: usize, otherwise: usize) -> libc::sock_filter {
        let code = libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K;
        libc::sock_filter { code: code as u16, jt: skip as u8, jf: otherwise as u8, k: to }
    }

    /// Skips some instructions if the loaded value has one of some bits, otherwise others.
    pub(super) const fn any(of: u32, skip: usize, otherwise: usize) -> libc::sock_filter {
        let code = libc::BPF_JMP | libc::BPF_JSET | libc::BPF_K;
        libc::sock_filter { code: code as u16, jt: skip as u8, jf: otherwise as u8, k: of }
    }

    /// Ends the call with an error.
    pub(super) const fn fail(error: libc::c_int) -> libc::sock_filter {
        statement(libc::BPF_RET | libc::BPF_K, libc::SECCOMP_RET_ERRNO | error as u32)
    }

    pub(super) fn install(filter: &mut [libc::sock_filter]) -> io::Result<()> {
        let program = libc::sock_fprog {
            len: u16::try_from(filter.len()).map_err(io::Error::other)?,
            filter: filter.as_mut_ptr(),
        };
        // SAFETY: the program and its instructions outlive the call, which copies them.
        let done =
            unsafe { libc::prctl(libc::PR_SET_SECCOMP, libc::SECCOMP_MODE_FILTER, &raw const program) };
        if done == -1 { Err(io::Error::last_os_error()) } else { Ok(()) }
    }
}

/// Ignores the terminal's interrupts while a child owns the terminal.
pub(crate) fn ignore_interrupts() {
    set_interrupts(SigHandler::SigIgn);
}

/// Makes standard error the same stream as standard output.
pub(crate) fn join_outputs() -> io::Result<()> {
    // SAFETY: both numbers are only standard streams; whoever uses the second one writes to the first then.
    match unsafe { libc::dup2(libc::STDOUT_FILENO, libc::STDERR_FILENO) } {
        -1 => Err(io::Error::last_os_error()),
        _ => Ok(()),
    }
}

/// Makes the kernel reap the children of this process.
pub(crate) fn ignore_children() {
    // SAFETY: SIG_IGN is not a function, so no code of ours runs in signal context.
    unsafe { nix::sys::signal::signal(Signal::SIGCHLD, SigHandler::SigIgn) }.ok();
}

fn set_interrupts(to: SigHandler) {
    for signal in [Signal::SIGINT, Signal::SIGQUIT] {
        // SAFETY: the two callers pass SIG_DFL and SIG_IGN, so no code of ours runs in signal context.
        unsafe { nix::sys::signal::signal(signal, to) }.ok();
    }
}

/// What a child does between `fork` and `exec`, in addition to `Command`.
#[derive(Debug, Default)]
pub(crate) struct ChildSetup {
    /// The child is killed when the thread that spawned it ends.
    pub(crate) dies_with_thread: bool,
    /// The child leads a new session.
    pub(crate) session: bool,
    /// The child handles the terminal's interrupts although we ignore them.
    pub(crate) interruptible: bool,
    /// Descriptors for the child with their numbers.
    pub(crate) fds: Vec<(RawFd, OwnedFd)>,
}

/// Applies `setup` to the children of `command`.
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

/// Takes ownership of an inherited descriptor.
pub(crate) fn inherited_fd(number: RawFd) -> io::Result<OwnedFd> {
    // SAFETY: the number is only tested; `fcntl` fails with EBADF if it is not open.
    let fd = unsafe { BorrowedFd::borrow_raw(number) };
    fcntl(fd, FcntlArg::F_SETFD(FdFlag::FD_CLOEXEC))?;
    // SAFETY: the descriptor is open (checked above), and the roles that call this own their numbers from 3 on: their
    // parent passed them, and each is taken once, before anything else opens files.
    Ok(unsafe { OwnedFd::from_raw_fd(number) })
}

/// Proof that this process has one thread, as long as its owner starts none.
#[derive(Debug)]
pub(crate) struct OneThread(());

impl OneThread {
    /// Counts the threads. Must be called before another `/proc` is entered, which does not list this process.
    pub(crate) fn prove() -> io::Result<Self> {
        match fs::read_dir("/proc/self/task")?.count() {
            1 => Ok(Self(())),
            _ => Err(io::Error::other("a process with several threads cannot be forked safely")),
        }
    }
}

/// Forks this process.
pub(crate) fn fork(_: OneThread) -> io::Result<ForkResult> {
    // SAFETY: there is one thread (proved above, and the only caller starts none in between), so no other thread can
    // hold a lock in the child.
    Ok(unsafe { nix::unistd::fork() }?)
}

/// Opens a pidfd, which becomes readable when the process exits.
pub(crate) fn pidfd_open(pid: Pid) -> io::Result<OwnedFd> {
    // SAFETY: the call takes two integers and touches no memory of ours.
    let fd = unsafe { libc::syscall(libc::SYS_pidfd_open, pid.as_raw(), 0) };
    if fd == -1 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the kernel has just created this descriptor for us.
    Ok(unsafe { OwnedFd::from_raw_fd(fd as RawFd) })
}

/// Sends a signal to the process of a pidfd; its PID cannot have been reused.
pub(crate) fn pidfd_kill(pidfd: BorrowedFd<'_>, signal: Signal) -> io::Result<()> {
    let info: *const libc::siginfo_t = std::ptr::null();
    // SAFETY: a null `siginfo` asks the kernel to fill in what `kill` would.
    let done =
        unsafe { libc::syscall(libc::SYS_pidfd_send_signal, pidfd.as_raw_fd(), signal as i32, info, 0) };
    if done == -1 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// Registers a descriptor with tokio for readability.
pub(crate) fn watch(fd: OwnedFd) -> io::Result<AsyncFd<OwnedFd>> {
    // SAFETY: the registration owns the `OwnedFd`, which names the same open descriptor until it is dropped.
    unsafe { AsyncFd::register_with_interest(fd, Interest::READABLE) }.map_err(|error| error.into_parts().1)
}

nix::ioctl_write_ptr_bad!(tun_set_iff, libc::TUNSETIFF, libc::ifreq);
nix::ioctl_write_int_bad!(tun_set_persist, libc::TUNSETPERSIST);

/// Creates a persistent TAP in the network namespace of this thread.
pub(crate) fn make_tap(name: &IfName) -> io::Result<()> {
    let tap = open_tap(name, libc::IFF_VNET_HDR)?;
    // SAFETY: TUNSETPERSIST takes an integer.
    unsafe { tun_set_persist(tap.as_raw_fd(), 1) }?;
    Ok(())
}

/// Creates a TAP in the network namespace of this thread that exists until the descriptor is closed.
///
/// Each read takes a frame off it, each write puts one on it; neither blocks. The kernel completes and cuts frames
/// before, because nothing asked it to leave checksums or segments to us.
pub(crate) fn transient_tap(name: &IfName) -> io::Result<File> {
    open_tap(name, 0)
}

fn open_tap(name: &IfName, flags: libc::c_int) -> io::Result<File> {
    let tap = File::options().read(true).write(true).custom_flags(libc::O_NONBLOCK).open("/dev/net/tun")?;
    let flags = flags | libc::IFF_TAP | libc::IFF_NO_PI | libc::IFF_TUN_EXCL;
    // SAFETY: `ifreq` is plain old data, for which all zeros are valid.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    request.ifr_ifru.ifru_flags = flags as libc::c_short;
    // An `IfName` has at most 15 bytes, so the NUL that `zeroed` left at the end stays.
    for (to, from) in request.ifr_name.iter_mut().zip(name.as_str().bytes()) {
        *to = from as libc::c_char;
    }
    // SAFETY: the descriptor is open, and `request` is the `ifreq` that TUNSETIFF reads and writes.
    unsafe { tun_set_iff(tap.as_raw_fd(), &raw const request) }?;
    Ok(tap)
}

/// Reads from an offset of a file what is in the page cache; `WouldBlock` if a disk read is needed.
pub(crate) fn read_cached(file: BorrowedFd<'_>, buffer: &mut [u8], at: u64) -> io::Result<usize> {
    let part = libc::iovec { iov_base: buffer.as_mut_ptr().cast(), iov_len: buffer.len() };
    let at = libc::off_t::try_from(at).map_err(io::Error::other)?;
    // SAFETY: the only part is `buffer`, which is borrowed mutably until the call returns.
    let read = unsafe { libc::preadv2(file.as_raw_fd(), &raw const part, 1, at, libc::RWF_NOWAIT) };
    usize::try_from(read).map_err(|_| io::Error::last_os_error())
}

/// Makes a packet socket return the auxiliary data of each frame, such as the VLAN tag that the kernel took out of it.
pub(crate) fn receive_auxiliary_data(socket: BorrowedFd<'_>) -> io::Result<()> {
    let on: libc::c_int = 1;
    // SAFETY: the value is one integer.
    unsafe { set_packet_option(socket, libc::PACKET_AUXDATA, &on) }
}

/// Makes the interface of a packet socket receive frames for other stations, too, until the socket is closed.
pub(crate) fn receive_for_all(socket: BorrowedFd<'_>, interface: u32) -> io::Result<()> {
    let membership = libc::packet_mreq {
        mr_ifindex: libc::c_int::try_from(interface).map_err(io::Error::other)?,
        mr_type: libc::PACKET_MR_PROMISC as libc::c_ushort,
        mr_alen: 0,
        mr_address: [0; 8],
    };
    // SAFETY: the value is the `packet_mreq` of this option.
    unsafe { set_packet_option(socket, libc::PACKET_ADD_MEMBERSHIP, &membership) }
}

/// Sets an option of a packet socket.
///
/// # Safety
///
/// The value must be the plain data that the kernel expects for the option.
unsafe fn set_packet_option<T>(socket: BorrowedFd<'_>, option: libc::c_int, value: &T) -> io::Result<()> {
    let length = size_of::<T>() as libc::socklen_t;
    // SAFETY: the value is readable for its whole length, during the call only; the rest is up to the caller.
    let done = unsafe {
        let value: *const T = value;
        libc::setsockopt(socket.as_raw_fd(), libc::SOL_PACKET, option, value.cast(), length)
    };
    if done == -1 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// A packet socket with a ring of blocks that it shares with the kernel (packet(7), `TPACKET_V3`).
///
/// The kernel fills block after block with frames, then gives the block to us. Blocks are taken in this order, and
/// given back in this order.
#[derive(Debug)]
pub(crate) struct PacketRing {
    socket: OwnedFd,
    // Invariant: `count` blocks of `size` bytes, mapped until this is dropped.
    map: NonNull<u8>,
    size: usize,
    count: usize,
    // Invariant: the `taken` blocks from `first` on are ours: the kernel does not touch them.
    first: usize,
    taken: usize,
}

// SAFETY: the mapping belongs to the process, not to a thread, and is used only through this owner.
unsafe impl Send for PacketRing {}

impl PacketRing {
    /// Adds a ring to a packet socket, which must not receive anything yet.
    ///
    /// `size` is that of a block, a multiple of a page. A block with frames is given to us after `patience`
    /// milliseconds at the latest.
    pub(crate) fn new(socket: OwnedFd, size: u32, count: u32, patience: u32) -> io::Result<Self> {
        let version = libc::tpacket_versions::TPACKET_V3 as libc::c_int;
        let shape = libc::tpacket_req3 {
            tp_block_size: size,
            tp_block_nr: count,
            // Frames of this version are as large as they are; the kernel only checks that these numbers fit.
            tp_frame_size: size,
            tp_frame_nr: count,
            tp_retire_blk_tov: patience,
            tp_sizeof_priv: 0,
            tp_feature_req_word: 0,
        };
        // SAFETY: the values are the integer and the `tpacket_req3` of these options.
        unsafe {
            set_packet_option(socket.as_fd(), libc::PACKET_VERSION, &version)?;
            set_packet_option(socket.as_fd(), libc::PACKET_RX_RING, &shape)?;
        }
        let (size, count) = (size as usize, count as usize);
        let access = libc::PROT_READ | libc::PROT_WRITE;
        // SAFETY: the kernel chooses the address, so no mapping of ours is replaced.
        let map = unsafe {
            libc::mmap(std::ptr::null_mut(), size * count, access, libc::MAP_SHARED, socket.as_raw_fd(), 0)
        };
        if map == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        let map = NonNull::new(map.cast()).ok_or_else(|| io::Error::other("the ring is at address 0"))?;
        Ok(Self { socket, map, size, count, first: 0, taken: 0 })
    }

    /// Starts to receive frames of an interface, of every protocol.
    pub(crate) fn bind(&self, interface: u32) -> io::Result<()> {
        let address = libc::sockaddr_ll {
            sll_family: libc::AF_PACKET as libc::c_ushort,
            sll_protocol: (libc::ETH_P_ALL as u16).to_be(),
            sll_ifindex: libc::c_int::try_from(interface).map_err(io::Error::other)?,
            sll_hatype: 0,
            sll_pkttype: 0,
            sll_halen: 0,
            sll_addr: [0; 8],
        };
        let length = size_of::<libc::sockaddr_ll>() as libc::socklen_t;
        // SAFETY: the address is a whole `sockaddr_ll`, which is read during the call only.
        let done = unsafe { libc::bind(self.socket.as_raw_fd(), (&raw const address).cast(), length) };
        if done == -1 { Err(io::Error::last_os_error()) } else { Ok(()) }
    }

    /// Takes the next block, if the kernel has given it to us.
    pub(crate) fn take(&mut self) -> bool {
        let next = (self.first + self.taken) % self.count;
        let is_ours =
            self.taken < self.count && self.status(next).load(Ordering::Acquire) & libc::TP_STATUS_USER != 0;
        self.taken += usize::from(is_ours);
        is_ours
    }

    /// Returns the oldest block that was taken.
    pub(crate) fn block(&self) -> Option<&[u8]> {
        // SAFETY: the block is inside the mapping and was taken, so nobody writes it until it is given back, which
        // needs `&mut self`.
        (self.taken > 0).then(|| unsafe {
            std::slice::from_raw_parts(self.map.as_ptr().add(self.first * self.size), self.size)
        })
    }

    /// Gives the oldest block that was taken back to the kernel.
    pub(crate) fn give_back(&mut self) {
        if self.taken > 0 {
            self.status(self.first).store(libc::TP_STATUS_KERNEL, Ordering::Release);
            self.first = (self.first + 1) % self.count;
            self.taken -= 1;
        }
    }

    fn status(&self, block: usize) -> &AtomicU32 {
        let at = block * self.size
            + std::mem::offset_of!(libc::tpacket_block_desc, hdr)
            + std::mem::offset_of!(libc::tpacket_hdr_v1, block_status);
        // SAFETY: the word is inside the mapping, and aligned, because blocks begin at pages. Both sides access it
        // atomically; only a block that was taken is read as bytes, and then nobody writes.
        unsafe { AtomicU32::from_ptr(self.map.as_ptr().add(at).cast()) }
    }

    /// Returns the frames that were received and those of them that were lost since the last call.
    pub(crate) fn statistics(&self) -> io::Result<(u64, u64)> {
        packet_statistics(self.socket.as_fd())
    }
}

impl AsFd for PacketRing {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

impl Drop for PacketRing {
    fn drop(&mut self) {
        // SAFETY: this is the whole mapping, and every slice of it borrowed `self`.
        unsafe { libc::munmap(self.map.as_ptr().cast(), self.size * self.count) };
    }
}

/// Returns the frames that a packet socket received and those of them that were lost since the last call.
pub(crate) fn packet_statistics(socket: BorrowedFd<'_>) -> io::Result<(u64, u64)> {
    let mut counts = libc::tpacket_stats_v3 { tp_packets: 0, tp_drops: 0, tp_freeze_q_cnt: 0 };
    let mut length = size_of_val(&counts) as libc::socklen_t;
    // SAFETY: the kernel writes at most `length` bytes: the first fields, which are the same in every version.
    let done = unsafe {
        let (option, counts) = (libc::PACKET_STATISTICS, &raw mut counts);
        libc::getsockopt(socket.as_raw_fd(), libc::SOL_PACKET, option, counts.cast(), &raw mut length)
    };
    match done {
        -1 => Err(io::Error::last_os_error()),
        _ => Ok((counts.tp_packets.into(), counts.tp_drops.into())),
    }
}

nix::ioctl_read_bad!(out_queue, libc::TIOCOUTQ, libc::c_int);

/// Returns how many bytes written to a TCP socket the peer has not acknowledged.
pub(crate) fn unacknowledged(socket: BorrowedFd<'_>) -> io::Result<u64> {
    let mut bytes: libc::c_int = 0;
    // SAFETY: SIOCOUTQ, which has the number of TIOCOUTQ, writes one integer.
    unsafe { out_queue(socket.as_raw_fd(), &raw mut bytes) }?;
    u64::try_from(bytes).map_err(io::Error::other)
}

/// Fills a slice with random bytes of the kernel (getrandom(2)).
pub(crate) fn random(mut bytes: &mut [u8]) {
    while !bytes.is_empty() {
        // SAFETY: the kernel writes at most as many bytes as the slice has.
        let written = unsafe { libc::getrandom(bytes.as_mut_ptr().cast(), bytes.len(), 0) };
        match usize::try_from(written) {
            Ok(count) => bytes = bytes.get_mut(count..).unwrap_or_default(),
            Err(_) if Errno::last() == Errno::EINTR => {}
            // Keys that can be guessed must not be made.
            Err(_) => panic!("the kernel has no random number generator: {}", io::Error::last_os_error()),
        }
    }
}
