//! One VM: QMP, console, firmware variables, disks.
//!
//! A [`Machine`] is a [`Node`](super::Node): it supports power actions, reset, inspection and console input. Only its
//! plan shows that it is a QEMU machine. Everything that happens to it becomes an event, so nothing is polled. Off
//! means that the QEMU process has ended; the console and the endpoint of the screen belong to the machine and stay.

pub mod accel;
pub mod console;
pub mod disk;
mod disk_watch;
mod drives;
mod inspect;
mod media;
mod nbd;
mod next_boot;
mod operate;
pub mod qmp;
mod screen;
mod screen_reader;
mod screen_watch;
pub mod seed;
mod session;
mod shares;
mod system_interface;
pub mod terminal;
mod tpm;
mod uefi_variables;

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;

pub use operate::capabilities;
pub use qmp::QmpError;

use crate::event::{Emitter, Known, PowerCause, Source};
use crate::fault::Faults;
use crate::hint::Hint;
use crate::name::{DiskName, NicName, NodeName};
use crate::node::screen::ScreenReading;
use crate::node::{Attachment, Block, BootOverride, Device, FromSystem, NodeError};
use crate::plan::qemu::{CD, VARIABLES, cd_id, nic_id};
use crate::plan::{NicPlan, NodeKind, NodePlan};
use crate::system::MAKE_ROOM;
use crate::system::file_watch::FileWatches;
use crate::system::process::{SpawnError, Spawner};
use console::Console;
use drives::Media;
use next_boot::{NextBoot, machine_fault};
use qmp::Qmp;
use screen_watch::Screen;
use session::{Intent, Restart, Session, SessionContext};
use system_interface::SystemInterface;

/// How long QEMU may take to exit on request, before it is killed.
const QUIT: Duration = Duration::from_secs(5);

/// One machine. Cheap to clone; dropping the last clone kills its QEMU.
#[derive(Clone)]
pub struct Machine {
    body: Arc<Body>,
}

struct Body {
    plan: NodePlan,
    folder: PathBuf,
    spawner: Spawner,
    events: Emitter,
    faults: Faults,
    console: Arc<Console>,
    watches: FileWatches,
    screen: Arc<Screen>,
    /// Its interface to its BMC, if it has one.
    system_interface: Option<SystemInterface>,
    /// The link states of its NICs. They are kept over power cycles.
    links: Mutex<BTreeMap<NicName, bool>>,
    /// What it boots from at its next start.
    next_boot: Mutex<NextBoot>,
    /// The override in it, for those who watch it.
    overrides: watch::Sender<BootOverride>,
    /// A request to start QEMU again.
    restart: Arc<Restart>,
    /// Tasks that end with the machine.
    tasks: Mutex<JoinSet<()>>,
    /// What is in its drives for media.
    media: Arc<Media>,
    /// The current QEMU, even when it has ended. Locked during a start, so that there are never two.
    session: tokio::sync::Mutex<Option<Session>>,
    screenshots: AtomicU32,
    /// Held while a disk is inspected: QEMU has one export server.
    looking: tokio::sync::Mutex<()>,
    // Holds the task that serves the endpoint of the screen.
    _endpoint: JoinSet<()>,
}

/// How a machine is powered off.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PowerOff {
    /// With the power button: the guest shuts down, if it does so in time.
    Graceful {
        /// The timeout.
        timeout: Duration,
    },
    /// At once.
    Hard,
}

/// The state of a machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum State {
    /// Off.
    Off,
    /// Waiting for power-on.
    Ready,
    /// Running.
    Running,
    /// Stopped by QEMU, with its reason, e.g. `io-error`.
    Stopped(String),
}

impl Machine {
    /// Starts a machine, paused, with the planned link states.
    ///
    /// `folder` is its folder in the run folder, and contains its disks. `media` are the images in its CD drives.
    pub async fn start(
        plan: &NodePlan,
        folder: PathBuf,
        media: BTreeMap<DiskName, PathBuf>,
        spawner: &Spawner,
        watches: &FileWatches,
        events: Emitter,
        faults: Faults,
    ) -> Result<Self, StartError> {
        let of_console = events.of(Source::Console);
        let console = Console::new(plan.node.clone(), folder.clone(), watches.clone(), of_console);
        let links = plan.nics.iter().map(|nic| (nic.nic.clone(), nic.link_up)).collect();
        let of_screen = events.of(Source::Screen);
        let screen = Screen::new(plan.node.clone(), folder.clone(), of_screen);
        let endpoint = screen::serve(&folder, plan.node.clone()).map_err(|source| StartError::Prepare {
            node: plan.node.clone(),
            what: "the endpoint of the screen".to_owned(),
            source,
        })?;
        let NodeKind::Qemu(qemu) = &plan.kind;
        let (shared, to) = (qemu.shares.clone(), folder.clone());
        let copied = tokio::task::spawn_blocking(move || shares::copy(&shared, &to)).await;
        copied.map_err(io::Error::other).flatten().map_err(|source| StartError::Prepare {
            node: plan.node.clone(),
            what: "copies of shares".to_owned(),
            source,
        })?;
        let machine = Self {
            body: Arc::new(Body {
                plan: plan.clone(),
                folder,
                spawner: spawner.clone(),
                events: events.of(Source::Qmp),
                faults,
                console: Arc::new(console),
                watches: watches.clone(),
                screen: Arc::new(screen),
                system_interface: (plan.bmc.is_some() && !qemu.lacks_ipmi).then(SystemInterface::new),
                links: Mutex::new(links),
                next_boot: Mutex::default(),
                overrides: watch::Sender::default(),
                restart: Arc::default(),
                tasks: Mutex::default(),
                media: Arc::new(Media::new(plan, media)),
                session: tokio::sync::Mutex::new(None),
                screenshots: AtomicU32::new(0),
                looking: tokio::sync::Mutex::new(()),
                _endpoint: endpoint,
            }),
        };
        let session = machine.body.start().await?;
        *machine.body.session.lock().await = Some(session);
        machine.body.restart_when_due();
        Ok(machine)
    }

    /// Returns the machine as a node.
    pub fn node(&self) -> &NodeName {
        &self.body.plan.node
    }

    /// Resumes the machine: for the first time, after it was off, or after QEMU stopped it.
    pub async fn power_on(&self) -> Result<(), NodeError> {
        let body = &self.body;
        let mut session = body.session.lock().await;
        // It was started before its settings were changed, and never ran.
        if let Some(waiting) =
            session.as_ref().filter(|session| !session.has_ended() && !session.is_powered())
            && !body.is_as_wanted(&waiting.started)
        {
            let mut ended = waiting.ended();
            waiting.intend(Intent::Down);
            waiting.kill();
            // An error means that its task is gone, and the process with it.
            ended.wait_for(|ended| *ended).await.ok();
        }
        if session.as_ref().is_none_or(Session::has_ended) {
            body.restart.take();
            let started = body.start().await;
            *session = Some(started.map_err(|error| NodeError::failed("start", &body.plan.node, error))?);
        }
        let session = session.as_mut().ok_or_else(|| body.off())?;
        body.run(session, Known::PoweredOn {}).await.map_err(|source| body.failed("power on", source))
    }

    /// Powers the machine off. No effect if it is off.
    pub async fn power_off(&self, how: PowerOff) -> Result<(), NodeError> {
        let body = &self.body;
        if body.restart.take() {
            // Between its end at a reset and its next start.
            body.events.emit_of(&body.plan.node, Known::PoweredOff { why: PowerCause::Power });
        }
        let (qmp, mut ended) = {
            let session = body.session.lock().await;
            let Some(session) = session.as_ref().filter(|session| session.is_on()) else {
                return Ok(());
            };
            session.intend(Intent::Power);
            if how == PowerOff::Hard {
                session.quit();
            }
            (session.qmp.clone(), session.ended())
        };
        let failed = |source| body.failed("power off", source);
        match how {
            PowerOff::Graceful { timeout } => {
                qmp.power_button().await.map_err(failed)?;
                if wait(&mut ended, timeout).await {
                    return Ok(());
                }
                if let Some(session) = body.session.lock().await.as_ref() {
                    session.intend(Intent::None);
                }
                Err(NodeError::StillOn { node: body.plan.node.clone(), waited: timeout })
            }
            PowerOff::Hard => {
                self.body.screen.look_last().await;
                // QEMU has to write its metadata for the disks to be complete, so it is asked to quit first.
                let quit = qmp.quit().await;
                if quit.is_err() || !wait(&mut ended, QUIT).await {
                    self.end(Intent::Power).await;
                }
                Ok(())
            }
        }
    }

    /// Resets the machine, and resumes it if QEMU had stopped it.
    ///
    /// If a setting such as a boot override needs a new start, this is a power cycle.
    pub async fn reset(&self) -> Result<(), NodeError> {
        let qmp = {
            let session = self.body.session.lock().await;
            let session =
                session.as_ref().filter(|session| session.is_on()).ok_or_else(|| self.body.off())?;
            (!self.body.is_pending(session)).then(|| session.qmp.clone())
        };
        let Some(qmp) = qmp else { return self.cycle().await };
        let failed = |source| self.body.failed("reset", source);
        qmp.reset().await.map_err(failed)?;
        qmp.cont().await.map_err(failed)
    }

    /// Powers a running machine off and on again.
    pub async fn cycle(&self) -> Result<(), NodeError> {
        self.body.running().await?;
        self.power_off(PowerOff::Hard).await?;
        self.power_on().await
    }

    /// Raises a non-maskable interrupt.
    pub async fn nmi(&self) -> Result<(), NodeError> {
        let qmp = self.body.running().await?;
        qmp.nmi().await.map_err(|source| self.body.failed("interrupt", source))
    }

    /// Sends a break on the serial console.
    pub async fn send_break(&self) -> Result<(), NodeError> {
        let qmp = self.body.running().await?;
        qmp.send_break().await.map_err(|source| self.body.failed("send a break to", source))
    }

    /// Returns the text on the screen, or the text that was there last if the machine is off.
    pub async fn screen(&self) -> Result<ScreenReading, NodeError> {
        let body = &self.body;
        let is_on = body.running().await.is_ok();
        if is_on {
            body.screen.look().await;
        }
        let last = body.screen.last().map(|last| ScreenReading { off: !is_on, ..last });
        last.ok_or_else(|| body.off())
    }

    /// Returns the screen as PNG.
    pub async fn screenshot(&self) -> Result<Vec<u8>, NodeError> {
        let body = &self.body;
        let qmp = body.process().await?;
        let name = format!("screen-{}.png", body.screenshots.fetch_add(1, Ordering::Relaxed));
        qmp.screendump(&name).await.map_err(|source| body.failed("take the screen of", source))?;
        let path = body.folder.join(name);
        let bytes = tokio::fs::read(&path).await;
        // No longer needed, whether or not it could be read.
        tokio::fs::remove_file(&path).await.ok();
        bytes
            .map_err(|source| NodeError::failed("read the picture of the screen of", &body.plan.node, source))
    }

    /// Sets the link state of a NIC. It is kept over power cycles.
    pub async fn set_link(&self, nic: &NicName, up: bool) -> Result<(), NodeError> {
        let body = &self.body;
        let planned = body.plan.nics.iter().find(|planned| planned.nic == *nic);
        let device =
            planned.ok_or_else(|| NodeError::NoSuchNic { node: body.plan.node.clone(), nic: nic.clone() })?;
        body.links.lock().unwrap_or_else(PoisonError::into_inner).insert(nic.clone(), up);
        if let Ok(qmp) = body.process().await {
            qmp.set_link(&nic_id(device), up).await.map_err(|source| body.failed("set a link of", source))?;
        }
        body.events.emit_of(&body.plan.node, Known::LinkSet { nic: nic.to_string(), up });
        Ok(())
    }

    /// Returns its PCI devices.
    pub async fn devices(&self) -> Result<Vec<Device>, NodeError> {
        let qmp = self.body.process().await?;
        qmp.devices().await.map_err(|source| self.body.failed("list the devices of", source))
    }

    /// Returns its disks.
    pub async fn blocks(&self) -> Result<Vec<Block>, NodeError> {
        let qmp = self.body.process().await?;
        qmp.blocks().await.map_err(|source| self.body.failed("list the disks of", source))
    }

    /// Returns its state.
    pub async fn state(&self) -> State {
        let session = self.body.session.lock().await;
        let Some(session) = session.as_ref().filter(|session| !session.has_ended()) else {
            return State::Off;
        };
        match session.qmp.status().await.as_deref() {
            Ok("running") => State::Running,
            Ok("prelaunch" | "paused") if !session.is_powered() => State::Ready,
            // For the milliseconds in which its screen is read.
            Ok("paused") => State::Running,
            Ok(other) => State::Stopped(other.to_owned()),
            Err(_) => State::Off,
        }
    }

    /// Attaches to its serial console.
    pub fn attach(&self) -> Attachment {
        self.body.console.attach()
    }

    /// Returns what its system says to its BMC; `None` if it has none, or if it was taken before.
    pub fn system_interface(&self) -> Option<mpsc::UnboundedReceiver<FromSystem>> {
        self.body.system_interface.as_ref().and_then(SystemInterface::take)
    }

    /// Ends the machine for good when the lab is torn down. Returns when its process is gone.
    pub async fn stop(&self) {
        self.body.restart.take();
        if self.body.running().await.is_ok() {
            self.body.screen.look_last().await;
        }
        self.end(Intent::Down).await;
        self.body.media.delete();
        for forgotten in [tpm::forget(&self.body.folder), shares::forget(&self.body.folder)] {
            if let Err(error) = forgotten {
                tracing::warn!(node = %self.body.plan.node, %error, "something of it is still in its folder");
            }
        }
    }

    async fn end(&self, intent: Intent) {
        let ended = {
            let session = self.body.session.lock().await;
            session.as_ref().map(|session| {
                session.intend(intent);
                session.kill();
                session.ended()
            })
        };
        if let Some(mut ended) = ended {
            // An error means that its task is gone, and the process with it.
            ended.wait_for(|ended| *ended).await.ok();
        }
    }
}

async fn wait(ended: &mut watch::Receiver<bool>, timeout: Duration) -> bool {
    tokio::time::timeout(timeout, ended.wait_for(|ended| *ended)).await.is_ok()
}

impl Body {
    /// Returns the boot indices of devices that a running machine has.
    fn present(
        &self,
        session: &Session,
        mut indices: Vec<(String, Option<usize>)>,
    ) -> Vec<(String, Option<usize>)> {
        let has_cd = |id: &str| session.cds.iter().any(|cd| cd_id(&self.plan, cd) == id);
        let unplugged = self.media.unplugged();
        let is_unplugged = |id: &str| unplugged.iter().any(|disk| id == format!("disk-{disk}"));
        indices.retain(|(id, _)| if id.starts_with(CD) { has_cd(id) } else { !is_unplugged(id) });
        indices
    }

    /// Starts QEMU, paused, with the settings of the next start.
    async fn start(&self) -> Result<Session, StartError> {
        let start = &self.prepare().await.map_err(|source| StartError::Prepare {
            node: self.plan.node.clone(),
            what: VARIABLES.to_owned(),
            source,
        })?;
        let session = Session::start(SessionContext {
            plan: &self.plan,
            start,
            folder: &self.folder,
            spawner: &self.spawner,
            console: &self.console,
            screen: &self.screen,
            media: &self.media,
            restart: &self.restart,
            system_interface: self.system_interface.as_ref(),
            events: &self.events,
        })
        .await?;
        let failed = |source| StartError::Qmp { node: self.plan.node.clone(), source };
        self.look_for_nic(&session).await.map_err(failed)?;
        for nic in self.unplugged() {
            session.qmp.set_link(&nic_id(nic), false).await.map_err(failed)?;
        }
        Ok(session)
    }

    /// Resumes a machine. If it never ran, its firmware starts, which is an event.
    async fn run(&self, session: &mut Session, event: Known) -> Result<(), QmpError> {
        if !session.is_powered() {
            self.hand_over(session).await?;
        }
        if !session.power() {
            // Before it resumes, otherwise its first line could come first.
            self.events.emit_of(&self.plan.node, event);
            self.faults.strike_all(&self.plan.node, machine_fault);
        }
        session.qmp.cont().await?;
        self.screen.stir();
        Ok(())
    }

    fn unplugged(&self) -> Vec<&NicPlan> {
        let links = self.links.lock().unwrap_or_else(PoisonError::into_inner);
        self.plan.nics.iter().filter(|nic| links.get(&nic.nic) == Some(&false)).collect()
    }

    /// Returns the QMP of a machine that is on.
    async fn running(&self) -> Result<Qmp, NodeError> {
        self.qmp_if(Session::is_on).await
    }

    /// Returns the QMP of a machine that has a QEMU, even if it was never powered on.
    async fn process(&self) -> Result<Qmp, NodeError> {
        self.qmp_if(|session| !session.has_ended()).await
    }

    async fn qmp_if(&self, condition: impl Fn(&Session) -> bool) -> Result<Qmp, NodeError> {
        let session = self.session.lock().await;
        let session = session.as_ref().filter(|session| condition(session));
        session.map(|session| session.qmp.clone()).ok_or_else(|| self.off())
    }

    fn off(&self) -> NodeError {
        NodeError::Off { node: self.plan.node.clone() }
    }

    fn failed(&self, what: &'static str, source: QmpError) -> NodeError {
        NodeError::failed(what, &self.plan.node, source)
    }

    fn next_boot(&self) -> MutexGuard<'_, NextBoot> {
        self.next_boot.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Why a machine could not be started.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// Something in its folder could not be created.
    #[error("cannot prepare {what} for the machine of `{node}`")]
    Prepare {
        /// The node.
        node: NodeName,
        /// What could not be created.
        what: String,
        /// The error.
        #[source]
        source: io::Error,
    },
    /// QEMU could not be started.
    #[error(transparent)]
    Spawn(SpawnError),
    /// QEMU ended immediately.
    #[error("QEMU for `{node}` ended at once, {status}{}", last_words(stderr))]
    Ended {
        /// The node.
        node: NodeName,
        /// How its process ended.
        status: String,
        /// The last lines of its standard error.
        stderr: Vec<String>,
    },
    /// QEMU runs but did not connect.
    #[error("QEMU for `{node}` runs, but does not answer")]
    Silent {
        /// The node.
        node: NodeName,
    },
    /// QEMU refused a command.
    #[error("cannot set up the machine of `{node}`")]
    Qmp {
        /// The node.
        node: NodeName,
        /// The error.
        #[source]
        source: QmpError,
    },
}

fn last_words(stderr: &[String]) -> String {
    stderr.iter().map(|line| format!("\n  {line}")).collect()
}

impl Hint for StartError {
    fn hint(&self) -> Option<Cow<'static, str>> {
        let hint = match self {
            Self::Spawn(error) => return error.hint(),
            Self::Prepare { source, .. } if source.kind() == io::ErrorKind::StorageFull => Some(MAKE_ROOM),
            Self::Prepare { .. } | Self::Qmp { .. } => None,
            Self::Silent { .. } => Some("the host may be too busy: stop other labs and try again"),
            Self::Ended { stderr, .. } => HINTS
                .iter()
                .find(|(words, _)| stderr.iter().any(|line| line.contains(words)))
                .map(|(_, hint)| *hint),
        };
        hint.map(Cow::Borrowed)
    }
}

/// Error messages of QEMU at start, with hints.
const HINTS: &[(&str, &str)] = &[
    ("/dev/net/tun", "machines need TAP devices: `dryrack doctor` says how to get at /dev/net/tun"),
    ("failed to find romfile", "a NIC ROM is missing: install `ipxe-qemu` (Fedora: `ipxe-roms-qemu`)"),
    ("Could not access KVM kernel module", "set `accel = \"tcg\"`, or join the group that owns /dev/kvm"),
    (
        "cannot set up guest memory",
        "this host has too little memory: give the nodes less, or stop other labs",
    ),
    ("get \"write\" lock", "another QEMU uses the same disk: run `dryrack down`"),
    ("No space left on device", MAKE_ROOM),
];
