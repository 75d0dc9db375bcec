//! Processes beside the nodes: started in the namespaces of the lab, with their output as events.

use std::borrow::Cow;
use std::collections::{BTreeMap, VecDeque};
use std::ffi::OsString;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::os::unix::ffi::OsStringExt as _;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::process::{ExitStatus, Stdio};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::ChildStdout;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval, timeout};

use super::environment;
use super::strays::end_strays;
use crate::event::{Emitter, Known, Source};
use crate::hint::{Hint, chain};
use crate::lab::{HttpCheck, Ready, Restart};
use crate::name::ProcessName;
use crate::node::host::{Space, SpaceWatch};
use crate::plan::ProcessPlan;
use crate::system::host::{
    EnteredNetwork, GivenFile, ImageRoot, ProgramOrders, Transport, is_below, is_bound, own_root_of,
    root_of_pid,
};
use crate::system::process::{Child, SpawnError, SpawnSpec, Spawner, search_path};

/// The environment variable that marks processes which outlive the supervisor, with run and process.
const MARK: &str = "DRYRACK_RUN_PROCESS";
/// Maximum bytes of a line in an event.
const LINE: usize = 2048;
/// Number of lines that are kept for an error.
const KEPT: usize = 10;
/// Interval of the checks whether a process is ready.
const LOOK: Duration = Duration::from_millis(50);
/// The first pause before a process is started again; each further one is twice as long.
const PAUSE: Duration = Duration::from_millis(200);
/// The longest such pause, and how long a process must have run for the pauses to begin anew.
const LONGEST_PAUSE: Duration = Duration::from_secs(10);
/// How long the end of a host may be seen after that of its processes.
const MOMENT: Duration = Duration::from_millis(500);

/// Why nobody waits for a process any more.
#[derive(Debug, thiserror::Error)]
pub(super) enum NotReadyError {
    /// It has ended.
    #[error("process `{process}` ended before it was ready: {how}")]
    Ended {
        /// Its name.
        process: ProcessName,
        /// How it ended.
        how: String,
    },
    /// It takes too long.
    #[error("process `{process}` was not ready within {seconds} s: {by}, was not seen")]
    Late {
        /// Its name.
        process: ProcessName,
        /// What shows that it is ready.
        by: String,
        /// The time that it had.
        seconds: u64,
    },
}

impl Hint for NotReadyError {
    fn hint(&self) -> Option<Cow<'static, str>> {
        Some("`dryrack logs` shows everything that it printed".into())
    }
}

/// How far a process is.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Readiness {
    Starting,
    Ready,
    Ended(String),
}

/// A process that is started, and started again as the plan says. Dropping it kills it with its process group.
#[derive(Debug)]
pub(super) struct Running {
    process: ProcessName,
    readiness: watch::Receiver<Readiness>,
    tail: Tail,
    _task: JoinSet<()>,
}

impl Running {
    /// Returns what waits until the process is ready.
    pub(super) fn awaited(
        &self,
        by: &str,
        seconds: u64,
    ) -> impl Future<Output = Result<(), NotReadyError>> + use<> {
        let (mut readiness, process, by) = (self.readiness.clone(), self.process.clone(), by.to_owned());
        async move {
            let decided = readiness.wait_for(|now| *now != Readiness::Starting);
            let now = timeout(Duration::from_secs(seconds), decided).await;
            match now.map(|now| now.map(|now| now.clone())) {
                Ok(Ok(Readiness::Ready)) => Ok(()),
                Ok(Ok(Readiness::Ended(how))) => Err(NotReadyError::Ended { process, how }),
                // The sender is gone only while the lab is torn down.
                Ok(Ok(Readiness::Starting) | Err(_)) | Err(_) => {
                    Err(NotReadyError::Late { process, by, seconds })
                }
            }
        }
    }

    /// Returns its last lines.
    pub(super) fn tail(&self) -> Vec<String> {
        self.tail.lines()
    }
}

/// The last lines of a process.
#[derive(Debug, Clone, Default)]
struct Tail(Arc<Mutex<VecDeque<String>>>);

impl Tail {
    fn push(&self, line: String) {
        let mut lines = self.lock();
        if lines.len() == KEPT {
            lines.pop_front();
        }
        lines.push_back(line);
    }

    fn lines(&self) -> Vec<String> {
        self.lock().iter().cloned().collect()
    }

    fn lock(&self) -> MutexGuard<'_, VecDeque<String>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What asks a server by HTTP, from a network namespace.
pub type AskHttp = Arc<
    dyn Fn(SocketAddr, HttpCheck, Option<EnteredNetwork>) -> Pin<Box<dyn Future<Output = bool> + Send>>
        + Send
        + Sync,
>;

/// What processes need.
pub(super) struct ProcessContext<'a> {
    pub(super) run_dir: &'a Path,
    pub(super) spawner: &'a Spawner,
    pub(super) events: &'a Emitter,
    pub(super) ask_http: &'a AskHttp,
    /// The namespaces of the host on which it runs.
    pub(super) host: Option<SpaceWatch>,
    /// The image whose files it sees.
    pub(super) image: Option<ImageRoot>,
    /// The files that it is given.
    pub(super) files: BTreeMap<PathBuf, GivenFile>,
}

/// Starts a process and emits its output, and how it ends. On a host that is off it is started once that is on.
pub(super) async fn start(plan: &ProcessPlan, context: ProcessContext<'_>) -> Result<Running, SpawnError> {
    let (sender, readiness) = watch::channel(Readiness::Starting);
    let tail = Tail::default();
    let mut runner = Runner {
        plan: plan.clone(),
        run_dir: context.run_dir.to_owned(),
        spawner: context.spawner.clone(),
        events: context.events.of(Source::Process),
        ask_http: context.ask_http.clone(),
        host: context.host,
        image: context.image,
        files: context.files,
        space: None,
        readiness: sender,
        tail: tail.clone(),
    };
    let mut task = JoinSet::new();
    if runner.is_possible() {
        let started = runner.spawn().await?;
        task.spawn(runner.run(Some(started)));
    } else {
        task.spawn(runner.run(None));
    }
    Ok(Running { process: plan.process.clone(), readiness, tail, _task: task })
}

/// What runs a process.
struct Runner {
    plan: ProcessPlan,
    run_dir: PathBuf,
    spawner: Spawner,
    events: Emitter,
    ask_http: AskHttp,
    host: Option<SpaceWatch>,
    image: Option<ImageRoot>,
    files: BTreeMap<PathBuf, GivenFile>,
    /// The namespaces in which it was started last.
    space: Option<Arc<Space>>,
    readiness: watch::Sender<Readiness>,
    tail: Tail,
}

/// A process that was started once.
struct Started {
    child: Child,
    stdout: Option<ChildStdout>,
}

impl Runner {
    /// Tells whether its host, if it has one, is on, and remembers the namespaces.
    fn is_possible(&mut self) -> bool {
        let Some(host) = &mut self.host else { return true };
        self.space = host.borrow_and_update().clone();
        self.space.is_some()
    }

    /// Waits until its host is on.
    async fn is_on(&mut self) {
        while !self.is_possible() {
            let Some(host) = &mut self.host else { return };
            if host.changed().await.is_err() {
                // The lab is torn down.
                std::future::pending::<()>().await;
            }
        }
    }

    fn network(&self) -> Option<EnteredNetwork> {
        self.space.as_ref().map(|space| space.network().clone())
    }

    fn emit(&self, known: Known) {
        self.events.emit_maybe(self.plan.host.as_ref(), known);
    }

    /// Starts the process.
    async fn spawn(&self) -> Result<Started, SpawnError> {
        let plan = &self.plan;
        let failed = |source| SpawnError { program: "/bin/sh".into(), source };
        let orders = ProgramOrders {
            run: plan.run.clone(),
            folder: plan.folder.clone(),
            files: self.files.clone(),
            copies: self.run_dir.join("process").join(plan.process.as_str()),
            host: self.space.as_ref().map(|space| space.pid()),
            host_folder: self.space.as_ref().map(|space| space.folder().to_owned()),
            image: self.image.clone(),
        };
        let mut spec = match &plan.run {
            Some(run) if !orders.is_needed() => {
                SpawnSpec::new("/bin/sh").args(ProgramOrders::shell(run)).cwd(&plan.folder)
            }
            Some(_) | None => {
                let mut spec = SpawnSpec::ourselves("@process");
                spec.fds.push(orders.into_pipe().map_err(failed)?);
                spec
            }
        };
        spec.stdout = Stdio::piped();
        spec.envs = plan.environment.iter().map(|(name, value)| (name.into(), value.into())).collect();
        spec.envs.push(("PATH".into(), search_path()));
        spec.envs.push((MARK.into(), mark(&self.run_dir, &plan.process)));
        let files = environment::variables(&self.run_dir, plan.host.is_some()).into_iter();
        spec.envs.extend(files.map(|(name, file)| (name.into(), file.into())));
        let mut child = self.spawner.spawn(spec).await?;
        let stdout = child.take_stdout().map(ChildStdout::from_std).transpose().map_err(failed)?;
        self.emit(Known::ProcessStarted { process: plan.process.clone() });
        Ok(Started { child, stdout })
    }

    /// Runs the process to its end, and again if the plan says so, or if its host is powered on again.
    async fn run(mut self, mut started: Option<Started>) {
        let mut pause = PAUSE;
        loop {
            let began = self.events.now().at;
            let now = match started.take() {
                Some(started) => Ok(started),
                None => {
                    self.is_on().await;
                    self.spawn().await
                }
            };
            let (ended, exit) = match now {
                Ok(started) => {
                    let ended = self.accompany(started).await;
                    let exit = ended.as_ref().ok().and_then(ExitStatus::code);
                    (how(ended), exit)
                }
                Err(error) => (chain(&error), None),
            };
            // The kernel ends a process before its host is known to be off.
            if exit.is_none() && self.host_goes_off().await {
                let (process, status) = (self.plan.process.clone(), "its host is off".to_owned());
                self.emit(Known::ProcessEnded { process, exit: None, status });
                self.readiness.send_replace(Readiness::Starting);
                pause = PAUSE;
                continue;
            }
            let (process, status) = (self.plan.process.clone(), ended.clone());
            self.emit(Known::ProcessEnded { process, exit, status });
            let again = match self.plan.restart {
                Restart::Never => false,
                Restart::OnFailure => exit != Some(0),
                Restart::Always => true,
            };
            if !again {
                // Who waits is told that it was ready, even if it ended at once.
                self.readiness.send_if_modified(|now| {
                    let was_starting = *now == Readiness::Starting;
                    if was_starting {
                        *now = Readiness::Ended(ended);
                    }
                    was_starting
                });
                if !self.host_comes_on().await {
                    return;
                }
                self.readiness.send_replace(Readiness::Starting);
                continue;
            }
            self.readiness.send_replace(Readiness::Starting);
            if self.events.now().at.since(began) >= LONGEST_PAUSE {
                pause = PAUSE;
            }
            self.clear().await;
            timeout(pause, std::future::pending::<()>()).await.ok();
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    /// Tells whether the host on which it ran is off, or is being powered off.
    async fn host_goes_off(&mut self) -> bool {
        let (Some(host), Some(space)) = (&mut self.host, &self.space) else { return false };
        let other = |now: &Option<Arc<Space>>| now.as_ref().is_none_or(|now| !Arc::ptr_eq(now, space));
        // The kernel may end the process some moments before the first process of its host.
        let patience = if space.is_alive() && !other(&host.borrow()) { MOMENT } else { LONGEST_PAUSE };
        timeout(patience, host.wait_for(other)).await.is_ok()
    }

    /// Waits until its host is powered on again; without a host that never happens.
    async fn host_comes_on(&mut self) -> bool {
        let (Some(host), Some(space)) = (&mut self.host, self.space.take()) else { return false };
        // Its namespaces must not be kept by this wait.
        let space = Arc::downgrade(&space);
        let another = |now: &Option<Arc<Space>>| {
            now.as_ref().is_some_and(|now| !std::ptr::eq(Arc::as_ptr(now), space.as_ptr()))
        };
        host.wait_for(another).await.is_ok()
    }

    /// Emits every line that the process prints, and that it is ready, until it ends.
    async fn accompany(&self, started: Started) -> io::Result<ExitStatus> {
        let Started { mut child, stdout } = started;
        let pid = child.pid();
        let read = self.read(stdout);
        let mut read = std::pin::pin!(read);
        let ready = async {
            if let Some(ready) = &self.plan.ready {
                self.becomes(ready, pid).await;
                self.is_ready(ready);
            }
            std::future::pending::<()>().await;
        };
        let mut ready = std::pin::pin!(ready);
        tokio::select! {
            () = &mut ready => child.wait().await,
            () = &mut read => {
                tokio::select! {
                    () = &mut ready => child.wait().await,
                    status = child.wait() => status,
                }
            }
            status = child.wait() => {
                drain(read).await;
                status
            }
        }
    }

    /// Emits the lines of a stream.
    async fn read(&self, stdout: Option<ChildStdout>) {
        let Some(stdout) = stdout else { return };
        let mut awaited = self.plan.ready.as_ref().filter(|ready| matches!(ready, Ready::Log(_)));
        let mut reader = BufReader::new(stdout);
        let mut line = Vec::new();
        // Its children may keep the stream open after its end.
        while let Ok(1..) = reader.read_until(b'\n', &mut line).await {
            let text = String::from_utf8_lossy(&line[..line.len().min(LINE)]);
            let text = text.trim_end_matches(['\r', '\n']).to_owned();
            let is_match = matches!(awaited, Some(Ready::Log(pattern)) if pattern.is_match(&text));
            self.tail.push(text.clone());
            self.emit(Known::ProcessPrinted { process: self.plan.process.clone(), text });
            if let Some(ready) = awaited.take_if(|_| is_match) {
                self.is_ready(ready);
            }
            line.clear();
        }
    }

    /// Tells whether a port is bound where the process runs.
    async fn is_bound(&self, transport: Transport, port: u16) -> bool {
        let seen = match self.network() {
            Some(network) => network.run(move || is_bound(transport, port)).await,
            None => is_bound(transport, port),
        };
        seen.unwrap_or(false)
    }

    /// Tells whether a server answers on one of the addresses of its machine.
    async fn answers(&self, check: &HttpCheck) -> bool {
        let addresses = self.space.iter().flat_map(|space| space.addresses());
        for address in std::iter::once(Ipv4Addr::LOCALHOST).chain(addresses) {
            let to = SocketAddr::from((address, check.port));
            let asked = (self.ask_http)(to, check.clone(), self.network());
            if timeout(check.timeout, asked).await.unwrap_or(false) {
                return true;
            }
        }
        false
    }

    /// Ends what the process left behind, which would be in the way of its next start.
    async fn clear(&self) {
        let mark = mark(&self.run_dir, &self.plan.process);
        let ending = tokio::task::spawn_blocking(move || end_strays(|process| is_marked(process, &mark)));
        let problem = match ending.await {
            Ok(Ok(())) => return,
            Ok(Err(error)) => chain(&*error.error),
            Err(error) => error.to_string(),
        };
        tracing::warn!(process = %self.plan.process, problem, "what a process left behind was not ended");
    }

    /// Tells that the process is ready.
    fn is_ready(&self, ready: &Ready) {
        let (process, by) = (self.plan.process.clone(), ready.to_string());
        self.emit(Known::ProcessReady { process, by });
        self.readiness.send_replace(Readiness::Ready);
    }

    /// Waits until the process is ready.
    async fn becomes(&self, ready: &Ready, pid: i32) {
        let mut look = interval(LOOK);
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            look.tick().await;
            let is_ready = match ready {
                Ready::Udp(port) => self.is_bound(Transport::Udp, *port).await,
                Ready::Tcp(port) => self.is_bound(Transport::Tcp, *port).await,
                Ready::Http(check) => self.answers(check).await,
                // The reader of its output knows.
                Ready::Log(_) => std::future::pending().await,
                Ready::File(path) => {
                    let root = match (&self.space, &self.image) {
                        (Some(space), None) => Some(space.root()),
                        (None, None) => root_of_pid(pid),
                        (on_host, Some(_)) => own_root_of(pid, on_host.is_some()),
                    };
                    root.is_some_and(|root| is_below(&root, path))
                }
            };
            if is_ready {
                return;
            }
        }
    }
}

/// Returns how a process ended, as text.
fn how(ended: io::Result<ExitStatus>) -> String {
    match ended {
        Ok(status) => match status.code() {
            Some(code) => format!("exit code {code}"),
            None => status.to_string(),
        },
        Err(error) => error.to_string(),
    }
}

/// Reads the output from before the end, without waiting for children that may still print.
async fn drain(read: impl Future<Output = ()>) {
    const MOST: std::time::Duration = std::time::Duration::from_millis(200);
    tokio::time::timeout(MOST, read).await.ok();
}

/// Returns the value of the mark of a process.
pub(super) fn mark(run_dir: &Path, process: &ProcessName) -> OsString {
    let mut mark = run_dir.as_os_str().to_owned();
    mark.push("/");
    mark.push(process.as_str());
    mark
}

/// Tells whether a process, given by its folder in `/proc`, has a mark.
pub(super) fn is_marked(process: &Path, mark: &OsString) -> bool {
    let wanted = [MARK.as_bytes(), b"=", &mark.clone().into_vec()].concat();
    std::fs::read(process.join("environ"))
        .is_ok_and(|environ| environ.split(|byte| *byte == 0).any(|entry| entry == wanted))
}
