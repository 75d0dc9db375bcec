//! One QEMU from its start to its end.
//!
//! ```text
//! start ── paused ── cont ── running ⇄ stopped (io-error, internal-error)
//!              └────────────────┴── ended: guest, power, down, or died
//! ```
//!
//! Every message of QEMU becomes an event here. The reason of its end is decided once, when its process is gone and its
//! last output is read.

use std::collections::BTreeMap;
use std::io;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::ExitStatus;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::{Either, select};
use nix::sys::signal::Signal;
use tokio::net::unix::pipe;
use tokio::sync::{Notify, mpsc, oneshot, watch};
use tokio::task::JoinSet;

use super::StartError;
use super::console::{self, Console, Port};
use super::disk_watch;
use super::drives::Media;
use super::qmp::{self, Qmp, RawEvent};
use super::screen_watch::Screen;
use super::system_interface::SystemInterface;
use super::tpm::Tpm;
use crate::event::{Emitter, Known, PowerCause, StopState};
use crate::name::{Bytes, DiskName, NodeName};
use crate::plan::qemu::CONSOLE;
use crate::plan::{NodeKind, NodePlan, StartOptions};
use crate::system::folder_socket::listen;
use crate::system::process::{Child, SpawnSpec, Spawner, Tail};

/// How long QEMU may take to start. It takes a tenth of a second unless the host is very busy.
const PATIENCE: Duration = Duration::from_secs(30);

/// How long a QEMU that closed its control socket may take to exit.
const LAST_WORDS: Duration = Duration::from_secs(2);

/// Who requested the power-off.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Intent {
    /// No one.
    None,
    /// A power command.
    Power,
    /// The teardown of the lab.
    Down,
}

/// What was requested of a QEMU; it decides the meaning of its end.
#[derive(Debug, Clone, Copy)]
struct Requested {
    intent: Intent,
    /// Whether its guest has ever run.
    powered: bool,
    /// Whether QEMU was told to quit, or is about to be.
    quits: bool,
}

/// A started QEMU. Dropping it kills it.
pub(super) struct Session {
    pub(super) qmp: Qmp,
    /// The settings that it was started with, less those withdrawn since.
    pub(super) started: StartOptions,
    /// Its CD drives.
    pub(super) cds: Vec<DiskName>,
    /// The block nodes of the media that were in its CD drives at its start, and are still there.
    pub(super) cd_nodes: BTreeMap<DiskName, String>,
    /// The block nodes of the sticks that are plugged in, in the order in which they are closed.
    pub(super) sticks: BTreeMap<DiskName, Vec<String>>,
    requested: Arc<Mutex<Requested>>,
    kill: Arc<Notify>,
    ended: watch::Receiver<bool>,
    resets: watch::Receiver<u64>,
    // Holds the task that owns the process.
    _task: JoinSet<()>,
}

/// A request to start QEMU again, made when it ended at a reset by the guest.
#[derive(Debug, Default)]
pub(super) struct Restart {
    is_due: AtomicBool,
    due: Notify,
}

impl Restart {
    fn request(&self) {
        self.is_due.store(true, Ordering::SeqCst);
        self.due.notify_one();
    }

    /// Waits for a request, which [`Restart::take`] may find withdrawn.
    pub(super) async fn requested(&self) {
        self.due.notified().await;
    }

    /// Takes the request, and returns whether there was one.
    pub(super) fn take(&self) -> bool {
        self.is_due.swap(false, Ordering::SeqCst)
    }
}

/// The parts of its machine that a session needs.
pub(super) struct SessionContext<'a> {
    pub(super) plan: &'a NodePlan,
    pub(super) start: &'a StartOptions,
    pub(super) folder: &'a Path,
    pub(super) spawner: &'a Spawner,
    pub(super) console: &'a Arc<Console>,
    pub(super) screen: &'a Arc<Screen>,
    pub(super) media: &'a Arc<Media>,
    pub(super) restart: &'a Arc<Restart>,
    pub(super) system_interface: Option<&'a SystemInterface>,
    pub(super) events: &'a Emitter,
}

impl Session {
    /// Starts QEMU, paused, and connects to it.
    pub(super) async fn start(around: SessionContext<'_>) -> Result<Self, StartError> {
        let SessionContext {
            plan,
            start,
            folder,
            spawner,
            console,
            screen,
            media,
            restart,
            system_interface,
            events,
        } = around;
        let node = &plan.node;
        let NodeKind::Qemu(qemu) = &plan.kind;
        let prepare = |what: &str| {
            let what = what.to_owned();
            move |source| StartError::Prepare { node: node.clone(), what, source }
        };
        for (name, content) in &qemu.files {
            tokio::fs::write(folder.join(name), content).await.map_err(prepare(name))?;
        }
        let qmp_listener = listen(folder, "qmp.sock").map_err(prepare("qmp.sock"))?;
        let (inputs, inbox) = mpsc::unbounded_channel();
        // The inputs end with those of QMP.
        let banners = inputs.downgrade();
        let banner =
            move || banners.upgrade().map(|inputs| drop(inputs.send(Input::Banner))).unwrap_or_default();
        let (port, console_input) = console.open(banner).map_err(prepare("the serial console"))?;
        let port = Arc::new(port);

        let tpm = match &qemu.tpm {
            Some(device) => Some(Tpm::start(device, node, folder, spawner).await?),
            None => None,
        };
        let mut spec = SpawnSpec::new(&qemu.program).args(qemu.arguments(plan, start)).cwd(folder);
        spec.stderr_log = Some(folder.join("qemu.log"));
        let mut child = spawner.spawn(spec).await.map_err(StartError::Spawn)?;
        let up = {
            let connect = std::pin::pin!(tokio::time::timeout(PATIENCE, qmp_listener.accept()));
            let end = std::pin::pin!(child.wait());
            match select(connect, end).await {
                Either::Left((up, _)) => Ok(up),
                Either::Right((status, _)) => Err(status),
            }
        };
        let ended = |status, child: &Child| StartError::Ended {
            node: node.clone(),
            status: describe(status),
            stderr: child.stderr().lines(),
        };
        let (qmp_stream, _) = match up {
            Ok(Ok(accepted)) => accepted.map_err(prepare("the control socket of QEMU"))?,
            Ok(Err(_)) => return Err(StartError::Silent { node: node.clone() }),
            Err(status) => return Err(ended(status, &child)),
        };
        let (reader, writer) = qmp_stream.into_split();
        let (qmp, driver) = match qmp::attach(reader, writer).await {
            Ok(attached) => attached,
            // It spoke no QMP because it was ending: its standard error has the reason.
            Err(source) => match tokio::time::timeout(LAST_WORDS, child.wait()).await {
                Ok(status) => return Err(ended(status, &child)),
                Err(_) => return Err(StartError::Qmp { node: node.clone(), source }),
            },
        };

        // Before the firmware runs, which may ask the BMC something.
        let interface = match system_interface {
            Some(interface) => {
                let connected = interface.connect(folder).await;
                Some(connected.map_err(prepare("the interface to the BMC"))?)
            }
            None => None,
        };

        let requested =
            Arc::new(Mutex::new(Requested { intent: Intent::None, powered: false, quits: false }));
        let kill = Arc::new(Notify::new());
        let (over, ended) = watch::channel(false);
        let (reset, resets) = watch::channel(0);
        let life = SessionTask {
            node: node.clone(),
            folder: folder.to_owned(),
            events: events.clone(),
            port: Arc::clone(&port),
            screen: Arc::clone(screen),
            media: Arc::clone(media),
            skip_banner: qemu.skip_banner,
            qmp: qmp.clone(),
            tail: child.stderr(),
            requested: Arc::clone(&requested),
            kill: Arc::clone(&kill),
            reset,
        };
        let mut task = JoinSet::new();
        let watch = screen.watch(qmp.clone(), Arc::clone(&port));
        let of_guest = Arc::clone(&requested);
        let powered = move || of_guest.lock().unwrap_or_else(PoisonError::into_inner).powered;
        task.spawn(watch.run(ended.clone(), powered));
        if qemu.watch_writes {
            task.spawn(disk_watch::watch(node.clone(), qmp.clone(), events.clone(), ended.clone()));
        }
        if let Some(interface) = interface {
            task.spawn(interface);
        }
        let restart = Arc::clone(restart);
        task.spawn(async move {
            let is_reset = life.run(driver, (inputs, inbox), console_input, child).await;
            if let Some(tpm) = tpm {
                tpm.end().await;
            }
            if is_reset {
                restart.request();
            }
            over.send_replace(true);
        });
        let session = Self {
            qmp,
            started: start.clone(),
            cds: qemu.cds_at(plan, start),
            cd_nodes: qemu.cd_nodes_at(plan, start),
            sticks: qemu.sticks_at(plan, start),
            requested,
            kill,
            ended,
            resets,
            _task: task,
        };
        let connected = session.qmp.connect(CONSOLE, console::LOG, console::INPUT).await;
        connected.map_err(|source| StartError::Qmp { node: node.clone(), source })?;
        port.hide_input().map_err(prepare(console::INPUT))?;
        Ok(session)
    }

    /// Tells whether QEMU has ended and all its events were emitted.
    pub(super) fn has_ended(&self) -> bool {
        *self.ended.borrow()
    }

    /// Returns a receiver that becomes true when QEMU has ended.
    pub(super) fn ended(&self) -> watch::Receiver<bool> {
        self.ended.clone()
    }

    /// Returns a receiver that changes at each reset.
    pub(super) fn resets(&self) -> watch::Receiver<u64> {
        self.resets.clone()
    }

    /// Records who requested the power-off, which decides the meaning of its end.
    pub(super) fn intend(&self, intent: Intent) {
        self.requested().intent = intent;
    }

    /// Records that QEMU is going to be told to quit, after which it takes no commands.
    pub(super) fn quit(&self) {
        self.requested().quits = true;
    }

    /// Tells whether QEMU was told to quit and has not ended.
    pub(super) fn quits(&self) -> bool {
        self.requested().quits && !self.has_ended()
    }

    /// Records that its guest runs; tells whether it did before.
    pub(super) fn power(&self) -> bool {
        std::mem::replace(&mut self.requested().powered, true)
    }

    /// Tells whether its guest has ever run.
    pub(super) fn is_powered(&self) -> bool {
        self.requested().powered
    }

    /// Tells whether its guest has run and has not ended.
    pub(super) fn is_on(&self) -> bool {
        self.is_powered() && !self.has_ended()
    }

    fn requested(&self) -> MutexGuard<'_, Requested> {
        self.requested.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Kills QEMU.
    pub(super) fn kill(&self) {
        self.kill.notify_one();
    }
}

/// Returns the text of how a process ended.
fn describe(status: io::Result<ExitStatus>) -> String {
    let status = match status {
        Ok(status) => status,
        Err(error) => return format!("its status is unknown: {error}"),
    };
    match status.signal() {
        Some(number) => {
            let name = Signal::try_from(number).map_or("unknown", Signal::as_str);
            format!("killed by signal {number} ({name})")
        }
        None => format!("exit code {}", status.code().unwrap_or_default()),
    }
}

/// The inputs of a running session.
enum Input {
    Qmp(RawEvent),
    Banner,
}

/// The state of the task of a session.
struct SessionTask {
    node: NodeName,
    folder: PathBuf,
    events: Emitter,
    port: Arc<Port>,
    screen: Arc<Screen>,
    media: Arc<Media>,
    skip_banner: bool,
    qmp: Qmp,
    tail: Tail,
    requested: Arc<Mutex<Requested>>,
    kill: Arc<Notify>,
    /// Counts the resets.
    reset: watch::Sender<u64>,
}

impl SessionTask {
    /// Runs until QEMU has ended, and reports the reason. Returns whether it ended at a reset by the guest.
    async fn run(
        self,
        driver: qmp::Driver,
        (inputs, inbox): (mpsc::UnboundedSender<Input>, mpsc::UnboundedReceiver<Input>),
        console_input: pipe::Sender,
        mut child: Child,
    ) -> bool {
        // The receiver lives as long as this sender: both end with QEMU.
        let talk = driver.run(move |event| drop(inputs.send(Input::Qmp(event))));
        let (exited, exit) = oneshot::channel::<()>();
        let end = async {
            let end = end(&mut child, &self.kill).await;
            drop(exited);
            end
        };
        let console = self.port.run(console_input, exit.map(drop));
        let (_, (), shutdown, (status, killed)) = tokio::join!(talk, console, self.react(inbox), end);
        let requested = *self.requested.lock().unwrap_or_else(PoisonError::into_inner);
        let end = verdict(requested, shutdown.as_deref(), killed, describe(status), self.tail.lines());
        let is_reset = matches!(end, Some(Known::Reset { .. }));
        if let Some(end) = end {
            self.emit(end);
        }
        is_reset
    }

    /// Turns messages of QEMU into events; returns the reason that it gave for ending.
    async fn react(&self, mut inbox: mpsc::UnboundedReceiver<Input>) -> Option<String> {
        let mut shutdown = None;
        let mut io_error = None;
        while let Some(input) = inbox.recv().await {
            let event = match input {
                Input::Banner => {
                    self.skip_banner().await;
                    continue;
                }
                Input::Qmp(event) => event,
            };
            // What the machine printed before it comes first.
            self.port.catch_up().await;
            self.screen.stir();
            match event.name.as_str() {
                "SHUTDOWN" => shutdown = event.text("reason").map(str::to_owned),
                "RESET" => {
                    let why = if event.flag("guest") { PowerCause::Guest } else { PowerCause::Power };
                    self.emit(Known::Reset { why });
                    self.reset.send_modify(|count| *count += 1);
                }
                "GUEST_PANICKED" => self.emit(Known::GuestPanicked {}),
                "BLOCK_IO_ERROR" => io_error = Some(event),
                "DEVICE_TRAY_MOVED" if event.flag("tray-open") => self.tray_opened().await,
                "STOP" => self.stopped(io_error.take()).await,
                _ => tracing::debug!(node = %self.node, event = event.name, "QMP event"),
            }
        }
        shutdown
    }

    fn emit(&self, kind: Known) {
        self.events.emit_of(&self.node, kind);
    }

    /// Takes media out of drives that the guest opened. A drive that a command opened is empty already.
    async fn tray_opened(&self) {
        let Ok(open) = self.qmp.open_trays().await else {
            // It has ended since, which is reported elsewhere.
            return;
        };
        for id in open {
            let Some(cd) = self.media.cd(&id) else { continue };
            if self.qmp.eject(&id).await.is_ok() {
                self.emit(self.media.empty(&cd));
            }
        }
    }

    async fn skip_banner(&self) {
        if !self.skip_banner {
            return;
        }
        match self.qmp.press_enter().await {
            Ok(()) => self.emit(Known::BannerSkipped {}),
            Err(error) => tracing::warn!(node = %self.node, %error, "the banner stands for its full time"),
        }
    }

    /// Reports why QEMU stopped the machine, if it did so by itself.
    async fn stopped(&self, io_error: Option<RawEvent>) {
        let Ok(state) = self.qmp.status().await else {
            // It has ended since, which is reported elsewhere.
            return;
        };
        if matches!(state.as_str(), "running" | "paused" | "shutdown") {
            return;
        }
        let state = StopState::from(state.as_str());
        let nospace = io_error.as_ref().is_some_and(|event| event.flag("nospace"));
        let detail = match state {
            StopState::IoError => self.io_error(io_error).await,
            StopState::InternalError
            | StopState::GuestPanicked
            | StopState::Watchdog
            | StopState::Other(_) => self.tail.lines().join("\n"),
        };
        self.emit(Known::MachineStopped { state, detail, nospace });
    }

    async fn io_error(&self, event: Option<RawEvent>) -> String {
        let Some(event) = event else {
            return "a disk could not be read or written".to_owned();
        };
        let blocks = self.qmp.blocks().await.unwrap_or_default();
        let node = event.text("node-name").unwrap_or_default();
        let device = blocks.iter().find(|block| block.node == node).map(|block| block.device.as_str());
        let disk = device.map_or(node, |device| device.strip_prefix("disk-").unwrap_or(device));
        let operation = event.text("operation").unwrap_or("access");
        let why = event.text("reason").unwrap_or("no reason given");
        let detail = format!("disk `{disk}`: {operation} failed: {why}");
        if event.flag("nospace")
            && let Ok(system) = nix::sys::statvfs::statvfs(&self.folder)
        {
            let free = Bytes(system.blocks_available() * system.fragment_size());
            return format!("{detail}; the host has {free} free in {}", self.folder.display());
        }
        detail
    }
}

/// Waits for the end of a process, or kills it; returns which.
async fn end(child: &mut Child, kill: &Notify) -> (io::Result<ExitStatus>, bool) {
    {
        let wait = std::pin::pin!(child.wait());
        let kill = std::pin::pin!(kill.notified());
        if let Either::Left((status, _)) = select(wait, kill).await {
            return (status, false);
        }
    }
    child.kill();
    (child.wait().await, true)
}

/// Decides the meaning of the end of QEMU. `None` if a machine that never ran was removed.
fn verdict(
    requested: Requested,
    shutdown: Option<&str>,
    killed: bool,
    status: String,
    stderr: Vec<String>,
) -> Option<Known> {
    let off = |why| requested.powered.then_some(Known::PoweredOff { why });
    match (requested.intent, shutdown) {
        (Intent::Down, _) => off(PowerCause::Down),
        (Intent::Power, Some(_)) => off(PowerCause::Power),
        (Intent::Power, None) if killed => off(PowerCause::Power),
        (Intent::None, Some("guest-shutdown")) => off(PowerCause::Guest),
        (Intent::None, Some("guest-reset")) => Some(Known::Reset { why: PowerCause::Guest }),
        (Intent::None | Intent::Power, _) => Some(Known::MachineDied { status, stderr }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(intent: Intent, shutdown: Option<&str>, killed: bool) -> String {
        let requested = Requested { intent, powered: true, quits: false };
        match verdict(requested, shutdown, killed, "exit code 1".to_owned(), Vec::new()) {
            Some(Known::PoweredOff { why }) => why.to_string(),
            Some(Known::MachineDied { .. }) => "died".to_owned(),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn the_end_of_qemu_is_judged_by_what_was_asked() {
        assert_eq!(check(Intent::None, Some("guest-shutdown"), false), "guest");
        assert_eq!(check(Intent::Power, Some("guest-shutdown"), false), "power");
        assert_eq!(check(Intent::Power, Some("host-qmp-quit"), false), "power");
        assert_eq!(check(Intent::Power, None, true), "power");
        assert_eq!(check(Intent::Power, None, false), "died");
        assert_eq!(check(Intent::Down, None, true), "down");
        assert_eq!(check(Intent::None, None, false), "died");
        assert_eq!(check(Intent::None, Some("host-signal"), false), "died");
    }

    #[test]
    fn a_machine_that_never_ran_is_put_away_in_silence() {
        let requested = Requested { intent: Intent::Down, powered: false, quits: true };
        assert_eq!(verdict(requested, None, true, String::new(), Vec::new()), None);
    }
}
