//! Starts programs; the only module that does.
//!
//! Children that must not outlive this process are started by the [`Spawner`]: the kernel's
//! parent-death signal is bound to the *thread* that spawned, so its thread lives as
//! long as the process.

use std::borrow::Cow;
use std::collections::{BTreeSet, VecDeque};
use std::ffi::{OsStr, OsString};
use std::io::{self, Write};
use std::os::fd::{AsFd, OwnedFd, RawFd};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child as StdChild, ChildStdin, ChildStdout, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, mpsc};
use std::time::Duration;

use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use tokio::io::AsyncReadExt;
use tokio::io::unix::AsyncFd;
use tokio::sync::oneshot;
use tokio::task::JoinSet;

use super::sys::{self, ChildSetup};
use crate::hint::Hint;

/// Number of lines of standard error kept for each child.
const TAIL_LINES: usize = 40;
/// Maximum length of such a line in bytes.
const TAIL_LINE_BYTES: usize = 2000;

/// Creates a command to run a program.
#[expect(clippy::disallowed_methods, reason = "this is the place that the others are sent to")]
pub fn command(program: impl AsRef<OsStr>) -> Command {
    Command::new(program)
}

/// Returns the folders of programs: those of `PATH`, and those that a normal user's `PATH` often lacks.
#[expect(clippy::disallowed_methods, reason = "looked up as a shell would, which is where PATH leads")]
fn program_folders() -> Vec<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let usual = ["/usr/local/sbin", "/usr/sbin", "/sbin", "/usr/bin", "/bin"].map(PathBuf::from);
    std::env::split_paths(&path).chain(usual).filter(|folder| folder.is_absolute()).collect()
}

/// Where a host of a lab sees this program.
pub const OURSELVES_ON_HOSTS: &str = "/run/dryrack/dryrack";

/// Returns a `PATH` by which a process of the lab, which is root there, finds servers as root does, and this program.
pub fn search_path() -> OsString {
    let ourselves = [std::env::current_exe().ok(), Some(OURSELVES_ON_HOSTS.into())].into_iter().flatten();
    let folders = ourselves.filter_map(|file| file.parent().map(Path::to_owned));
    // A folder with a colon, in which nothing can be found, is the only reason to fail.
    let usable = folders.filter(|folder| folder.is_absolute() && !folder.to_string_lossy().contains(':'));
    let mut seen = BTreeSet::new();
    // A process of a process would get everything once more.
    let all = program_folders().into_iter().chain(usable).filter(|folder| seen.insert(folder.clone()));
    std::env::join_paths(all).expect("no folder has a colon")
}

/// Finds a program in `PATH`, and in folders that a normal user's `PATH` often lacks.
pub fn find_program(name: &str) -> Option<PathBuf> {
    let usable =
        |file: &PathBuf| file.is_file() && nix::unistd::access(file, nix::unistd::AccessFlags::X_OK).is_ok();
    program_folders().into_iter().map(|folder| folder.join(name)).find(usable)
}

/// Duplicates a descriptor so that every program started while the duplicate exists inherits it.
pub(crate) fn inheritable(fd: impl AsFd) -> io::Result<OwnedFd> {
    sys::inheritable(fd.as_fd())
}

/// Registers a descriptor with tokio for readability.
pub(crate) fn watch(fd: OwnedFd) -> io::Result<AsyncFd<OwnedFd>> {
    sys::watch(fd)
}

/// A program that could not be started.
#[derive(Debug, thiserror::Error)]
#[error("cannot start `{}`", program.display())]
pub struct SpawnError {
    /// The program.
    pub program: PathBuf,
    /// The cause.
    #[source]
    pub source: io::Error,
}

impl Hint for SpawnError {
    fn hint(&self) -> Option<Cow<'static, str>> {
        let hint = match self.source.kind() {
            io::ErrorKind::NotFound => Some("it is not installed: `dryrack doctor` names the package"),
            io::ErrorKind::PermissionDenied => Some("check that the file is executable"),
            _ => None,
        };
        hint.map(Cow::Borrowed)
    }
}

/// What to start, and how.
#[derive(Debug)]
pub struct SpawnSpec {
    /// The program.
    pub program: PathBuf,
    /// Its arguments.
    pub args: Vec<OsString>,
    /// Its working directory; ours if `None`.
    pub cwd: Option<PathBuf>,
    /// Variables added to the environment.
    pub envs: Vec<(OsString, OsString)>,
    /// Its standard input; empty by default.
    pub stdin: Stdio,
    /// Its standard output; discarded by default.
    pub stdout: Stdio,
    /// A file to which its standard error is appended, besides the [`Tail`] that is always kept.
    pub stderr_log: Option<PathBuf>,
    /// Number of bytes of its standard error that are kept from the beginning, besides the [`Tail`].
    pub stderr_limit: usize,
    /// Descriptors that it inherits, with their numbers from 3 on.
    pub fds: Vec<(RawFd, OwnedFd)>,
}

impl SpawnSpec {
    /// Creates a specification without arguments, input and output.
    pub fn new(program: impl Into<PathBuf>) -> Self {
        Self {
            program: program.into(),
            args: Vec::new(),
            cwd: None,
            envs: Vec::new(),
            stdin: Stdio::null(),
            stdout: Stdio::null(),
            stderr_log: None,
            stderr_limit: 0,
            fds: Vec::new(),
        }
    }

    /// Creates a specification of this program in a hidden role.
    pub fn ourselves(role: &str) -> Self {
        Self::new(super::namespace::OURSELVES).args([role])
    }

    /// Adds arguments.
    pub fn args(mut self, args: impl IntoIterator<Item = impl Into<OsString>>) -> Self {
        self.args.extend(args.into_iter().map(Into::into));
        self
    }

    /// Sets its working directory.
    pub fn cwd(mut self, folder: impl Into<PathBuf>) -> Self {
        self.cwd = Some(folder.into());
        self
    }

    fn spawn(self) -> Result<StdChild, SpawnError> {
        let program = self.program;
        let attempt = || {
            let mut command = command(&program);
            command.args(&self.args).envs(self.envs);
            command.stdin(self.stdin).stdout(self.stdout).stderr(Stdio::piped()).process_group(0);
            if let Some(cwd) = &self.cwd {
                command.current_dir(cwd);
            }
            sys::set_up_child(
                &mut command,
                ChildSetup { dies_with_thread: true, fds: self.fds, ..ChildSetup::default() },
            )?;
            command.spawn()
        };
        attempt().map_err(|source| SpawnError { program: program.clone(), source })
    }
}

enum Job {
    Spawn(Box<SpawnSpec>, oneshot::Sender<Result<StdChild, SpawnError>>),
    /// Wait for a killed child.
    Reap(StdChild),
}

/// A long-lived thread that spawns children, so that they die with this process and not before.
#[derive(Debug, Clone)]
pub struct Spawner {
    jobs: mpsc::Sender<Job>,
}

impl Spawner {
    /// Starts the thread. Children die with the last clone of the spawner.
    pub fn start() -> io::Result<Self> {
        let (jobs, inbox) = mpsc::channel();
        std::thread::Builder::new().name("spawner".into()).spawn(move || serve(&inbox))?;
        Ok(Self { jobs })
    }

    /// Starts a child in its own process group; it is killed when this process ends.
    ///
    /// Must be called inside a tokio runtime, which collects the child's standard error.
    pub async fn spawn(&self, spec: SpawnSpec) -> Result<Child, SpawnError> {
        let program = spec.program.clone();
        let failed = |source| SpawnError { program: program.clone(), source };
        let log = match &spec.stderr_log {
            None => None,
            Some(path) => Some(open_log(path).map_err(failed)?),
        };
        let stderr = Collected { tail: Tail::default(), head: Head::up_to(spec.stderr_limit), log };
        let (reply, answer) = oneshot::channel();
        let gone = || failed(io::Error::other("the spawner thread has ended"));
        self.jobs.send(Job::Spawn(Box::new(spec), reply)).map_err(|_| gone())?;
        let child = answer.await.map_err(|_| gone())??;
        Child::adopt(child, self.jobs.clone(), stderr).map_err(failed)
    }
}

/// Opens a log for appending.
pub(crate) fn open_log(path: &Path) -> io::Result<std::fs::File> {
    std::fs::File::options().create(true).append(true).open(path)
}

fn serve(inbox: &mpsc::Receiver<Job>) {
    let mut killed: Vec<StdChild> = Vec::new();
    loop {
        let job = if killed.is_empty() {
            inbox.recv().map_err(|_| mpsc::RecvTimeoutError::Disconnected)
        } else {
            inbox.recv_timeout(Duration::from_millis(20))
        };
        match job {
            Ok(Job::Spawn(spec, reply)) => {
                // If the caller was cancelled, the child has no owner.
                if let Err(Ok(mut orphan)) = reply.send(spec.spawn()) {
                    orphan.kill().ok();
                    killed.push(orphan);
                }
            }
            Ok(Job::Reap(child)) => killed.push(child),
            Err(mpsc::RecvTimeoutError::Timeout) => {}
            Err(mpsc::RecvTimeoutError::Disconnected) => return,
        }
        killed.retain_mut(|child| matches!(child.try_wait(), Ok(None)));
    }
}

/// The last lines of a child's standard error.
#[derive(Debug, Clone, Default)]
pub struct Tail {
    lines: Arc<Mutex<VecDeque<String>>>,
}

impl Tail {
    /// Returns the lines, oldest first.
    pub fn lines(&self) -> Vec<String> {
        self.lock().iter().cloned().collect()
    }

    fn push(&self, line: &[u8]) {
        let mut lines = self.lock();
        if lines.len() == TAIL_LINES {
            lines.pop_front();
        }
        lines.push_back(String::from_utf8_lossy(line).trim_end().to_owned());
    }

    fn lock(&self) -> MutexGuard<'_, VecDeque<String>> {
        // A panic in the middle of a line must not lose the other lines.
        self.lines.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The beginning of a child's standard error.
#[derive(Debug, Clone)]
struct Head {
    bytes: Arc<Mutex<Vec<u8>>>,
    limit: usize,
}

impl Head {
    fn up_to(limit: usize) -> Self {
        Self { bytes: Arc::default(), limit }
    }

    fn push(&self, more: &[u8]) {
        let mut bytes = self.lock();
        let room = self.limit.saturating_sub(bytes.len());
        bytes.extend_from_slice(&more[..more.len().min(room)]);
    }

    fn lock(&self) -> MutexGuard<'_, Vec<u8>> {
        // Bytes are only appended, so those before a panic are right.
        self.bytes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Where a child's standard error goes.
struct Collected {
    tail: Tail,
    head: Head,
    log: Option<std::fs::File>,
}

/// A child of the [`Spawner`]. Dropping it kills it.
#[derive(Debug)]
pub struct Child {
    pid: Pid,
    // Invariant: `None` after its exit status was read, so that a reused PID is never signalled.
    child: Option<StdChild>,
    status: Option<ExitStatus>,
    pidfd: AsyncFd<OwnedFd>,
    tail: Tail,
    head: Head,
    reader: JoinSet<()>,
    reaper: mpsc::Sender<Job>,
}

impl Child {
    fn adopt(mut child: StdChild, reaper: mpsc::Sender<Job>, collected: Collected) -> io::Result<Self> {
        let pid = Pid::from_raw(i32::try_from(child.id()).map_err(io::Error::other)?);
        let (tail, head) = (collected.tail.clone(), collected.head.clone());
        let mut reader = JoinSet::new();
        if let Some(stderr) = child.stderr.take() {
            let stderr = tokio::process::ChildStderr::from_std(stderr)?;
            reader.spawn(collect(stderr, collected));
        }
        let pidfd = sys::watch(sys::pidfd_open(pid)?)?;
        Ok(Self { pid, child: Some(child), status: None, pidfd, tail, head, reader, reaper })
    }

    /// Returns its PID in our PID namespace.
    pub fn pid(&self) -> i32 {
        self.pid.as_raw()
    }

    /// Returns the last lines of its standard error; the handle outlives it.
    pub fn stderr(&self) -> Tail {
        self.tail.clone()
    }

    /// Takes the beginning of its standard error that was read so far, as its [`SpawnSpec::stderr_limit`] allows.
    pub fn take_stderr(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.head.lock())
    }

    /// Takes the pipe of its standard input, if there is one.
    pub fn take_stdin(&mut self) -> Option<ChildStdin> {
        self.child.as_mut()?.stdin.take()
    }

    /// Takes the pipe of its standard output, if there is one.
    pub fn take_stdout(&mut self) -> Option<ChildStdout> {
        self.child.as_mut()?.stdout.take()
    }

    /// Waits until it has exited and its standard error was read. Cancel-safe; may be called again.
    pub async fn wait(&mut self) -> io::Result<ExitStatus> {
        while self.status.is_none() {
            let mut ready = self.pidfd.readable().await?;
            if let Some(child) = &mut self.child {
                self.status = child.try_wait()?;
            }
            if self.status.is_none() {
                ready.clear_ready();
            }
        }
        self.child = None;
        // A grandchild may hold the pipe open; its output is not waited for.
        tokio::time::timeout(Duration::from_millis(200), self.reader.join_next()).await.ok();
        self.status.ok_or_else(|| io::Error::other("the loop above ends with a status"))
    }

    /// Tells whether it has exited.
    pub fn has_ended(&mut self) -> bool {
        if let (None, Some(child)) = (self.status, &mut self.child) {
            self.status = child.try_wait().unwrap_or(None);
        }
        self.status.is_some()
    }

    /// Kills it and its process group, unless it has exited.
    pub fn kill(&mut self) {
        self.signal(Signal::SIGKILL);
    }

    fn signal(&mut self, signal: Signal) {
        // The PID is not reused until the zombie is waited for.
        if !self.has_ended() {
            killpg(self.pid, signal).ok();
            sys::pidfd_kill(self.pidfd.get_ref().as_fd(), signal).ok();
        }
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        self.kill();
        if let Some(child) = self.child.take() {
            self.reaper.send(Job::Reap(child)).ok();
        }
    }
}

async fn collect(mut stderr: tokio::process::ChildStderr, to: Collected) {
    let Collected { tail, head, mut log } = to;
    let mut chunk = vec![0; 8 << 10];
    // The beginning of a line whose end was not read yet; a line may never end.
    let mut line = Vec::new();
    while let Ok(length @ 1..) = stderr.read(&mut chunk).await {
        let chunk = &chunk[..length];
        head.push(chunk);
        // A full disk must not stop the reader, or the child would block on its pipe.
        log.take_if(|file| file.write_all(chunk).is_err());
        for piece in chunk.split_inclusive(|byte| *byte == b'\n') {
            let room = TAIL_LINE_BYTES.saturating_sub(line.len());
            line.extend_from_slice(&piece[..piece.len().min(room)]);
            if piece.ends_with(b"\n") {
                tail.push(&line);
                line.clear();
            }
        }
    }
    if !line.is_empty() {
        tail.push(&line);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str) -> SpawnSpec {
        SpawnSpec::new("/bin/sh").args(["-c", script])
    }

    #[tokio::test]
    async fn a_child_leaves_its_status_and_last_words() {
        let spawner = Spawner::start().unwrap();
        let script = "for i in $(seq 50); do echo line $i >&2; done; exit 7";
        let mut child = spawner.spawn(shell(script)).await.unwrap();
        assert_eq!(child.wait().await.unwrap().code(), Some(7));
        let lines = child.stderr().lines();
        assert_eq!((lines.len(), lines.last().unwrap().as_str()), (TAIL_LINES, "line 50"));
        // A second wait returns the same result instead of blocking.
        assert_eq!(child.wait().await.unwrap().code(), Some(7));
    }

    #[tokio::test]
    async fn a_standard_error_without_end_is_kept_up_to_its_limit() {
        let spawner = Spawner::start().unwrap();
        let mut spec = shell("printf 'first\\n%03000000d' 0 >&2");
        spec.stderr_limit = 1000;
        let mut child = spawner.spawn(spec).await.unwrap();
        child.wait().await.unwrap();
        let head = child.take_stderr();
        assert_eq!((head.len(), &head[..7]), (1000, &b"first\n0"[..]));
        let lines = child.stderr().lines();
        assert_eq!((lines.len(), lines[0].as_str(), lines[1].len()), (2, "first", TAIL_LINE_BYTES));
    }

    #[tokio::test]
    async fn a_dropped_child_is_killed_and_reaped() {
        let spawner = Spawner::start().unwrap();
        let child = spawner.spawn(shell("sleep 100")).await.unwrap();
        let stat = format!("/proc/{}", child.pid());
        assert!(Path::new(&stat).exists());
        drop(child);
        for _ in 0..200 {
            if !Path::new(&stat).exists() {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("{stat} is still there");
    }

    #[tokio::test]
    async fn a_cancelled_wait_can_be_repeated() {
        let spawner = Spawner::start().unwrap();
        let mut child = spawner.spawn(shell("read line; exit 3")).await.unwrap();
        let waited = tokio::time::timeout(Duration::from_millis(1), child.wait()).await;
        child.kill();
        assert!(waited.is_err() || waited.is_ok_and(|status| status.is_ok()));
        child.wait().await.unwrap();
    }

    #[tokio::test]
    async fn a_missing_program_is_named() {
        let spawner = Spawner::start().unwrap();
        let error = spawner.spawn(SpawnSpec::new("/no/such/program")).await.unwrap_err();
        assert_eq!(error.to_string(), "cannot start `/no/such/program`");
        assert!(error.hint().is_some());
    }

    #[tokio::test]
    async fn descriptors_arrive_at_their_numbers() {
        let spawner = Spawner::start().unwrap();
        let mut spec = shell("cat <&3 >&2");
        let (reader, writer) = nix::unistd::pipe2(nix::fcntl::OFlag::O_CLOEXEC).unwrap();
        nix::unistd::write(&writer, b"over here\n").unwrap();
        drop(writer);
        spec.fds.push((3, reader));
        let mut child = spawner.spawn(spec).await.unwrap();
        child.wait().await.unwrap();
        assert_eq!(child.stderr().lines(), ["over here"]);
    }
}
