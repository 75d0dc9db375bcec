//! One VM: QMP, console, firmware variables, disks.
//!
//! A [`Machine`] is what a node is to the rest of the house: it can be powered
//! on and off, reset, looked at and typed to. That QEMU is behind it shows only
//! in its plan. What happens to it are events; nothing is to be asked in a loop.

pub mod accel;
pub mod console;
pub mod disk;
mod inspect;
mod nbd;
pub mod partition_table;
pub mod qmp;
pub mod seed;
mod session;
pub mod terminal;

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::watch;

pub use console::Attachment;
pub use inspect::{DiskContents, InspectError};
pub use qmp::{Block, Device, QmpError};

use crate::event::{Emitter, Known};
use crate::hint::Hint;
use crate::name::{NicName, NodeName};
use crate::plan::qemu::nic_id;
use crate::plan::{NicPlan, NodePlan, StartOptions};
use crate::system::MAKE_ROOM;
use crate::system::process::{SpawnError, Spawner};
use console::Console;
use qmp::Qmp;
use session::{Intent, Session, SessionContext};

/// How long a QEMU may take to end once it was asked to, before it is killed.
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
    console: Arc<Console>,
    /// Which cables are plugged in. They stay so over power cycles.
    links: Mutex<BTreeMap<NicName, bool>>,
    /// The QEMU of the moment, also when it has ended. Locked while one is started, so that two never are.
    session: tokio::sync::Mutex<Option<Session>>,
    screenshots: AtomicU32,
    /// Held while a disk is looked at: QEMU has one export server.
    looking: tokio::sync::Mutex<()>,
}

/// How a machine is switched off.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PowerOff {
    /// The power button: the guest shuts down, if it does so in time.
    Graceful {
        /// The time it has.
        timeout: Duration,
    },
    /// The power cord.
    Hard,
}

/// What a machine is doing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum State {
    /// Nothing.
    Off,
    /// It waits to be powered on.
    Ready,
    /// It runs.
    Running,
    /// QEMU stopped it; its word for why, e.g. `io-error`.
    Stopped(String),
}

impl Machine {
    /// Starts a machine, paused, with the cables as planned.
    ///
    /// `folder` is its folder in the run folder, with its disks in it.
    pub async fn start(
        plan: &NodePlan,
        folder: PathBuf,
        spawner: &Spawner,
        events: Emitter,
    ) -> Result<Self, StartError> {
        let console = Console::new(plan.node.clone(), folder.join("console.log"), events.clone());
        let links = plan.nics.iter().map(|nic| (nic.nic.clone(), nic.link_up)).collect();
        let machine = Self {
            body: Arc::new(Body {
                plan: plan.clone(),
                folder,
                spawner: spawner.clone(),
                events,
                console: Arc::new(console),
                links: Mutex::new(links),
                session: tokio::sync::Mutex::new(None),
                screenshots: AtomicU32::new(0),
                looking: tokio::sync::Mutex::new(()),
            }),
        };
        let session = machine.body.start().await?;
        *machine.body.session.lock().await = Some(session);
        Ok(machine)
    }

    /// Returns the node that the machine is.
    pub fn node(&self) -> &NodeName {
        &self.body.plan.node
    }

    /// Lets the machine run: for the first time, after it was off, or after QEMU stopped it.
    pub async fn power_on(&self) -> Result<(), PowerError> {
        let body = &self.body;
        let mut session = body.session.lock().await;
        if session.as_ref().is_none_or(Session::has_ended) {
            let started =
                body.start().await.map_err(|source| PowerError::Start { source: Box::new(source) })?;
            *session = Some(started);
        }
        let session = session.as_ref().ok_or_else(|| body.off())?;
        if !session.power() {
            // Before it runs, or its first line would be there first.
            body.events.emit_of(&body.plan.node, Known::PoweredOn {});
        }
        session.qmp.cont().await.map_err(|source| body.failed("power on", source))
    }

    /// Switches the machine off. One that is off stays so.
    pub async fn power_off(&self, how: PowerOff) -> Result<(), PowerError> {
        let body = &self.body;
        let (qmp, mut ended) = {
            let session = body.session.lock().await;
            let Some(session) = session.as_ref().filter(|session| !session.has_ended()) else {
                return Ok(());
            };
            session.intend(Intent::Power);
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
                Err(PowerError::StillOn { node: body.plan.node.clone(), waited: timeout })
            }
            PowerOff::Hard => {
                // Disks keep what the guest wrote only if QEMU can write its tables, so it is asked first.
                let asked = qmp.quit().await;
                if asked.is_err() || !wait(&mut ended, QUIT).await {
                    self.end(Intent::Power).await;
                }
                Ok(())
            }
        }
    }

    /// Resets the machine, and lets it run if QEMU had stopped it.
    pub async fn reset(&self) -> Result<(), PowerError> {
        let qmp = self.body.running().await?;
        let failed = |source| self.body.failed("reset", source);
        qmp.reset().await.map_err(failed)?;
        qmp.cont().await.map_err(failed)
    }

    /// Raises a non-maskable interrupt.
    pub async fn nmi(&self) -> Result<(), PowerError> {
        let qmp = self.body.running().await?;
        qmp.nmi().await.map_err(|source| self.body.failed("interrupt", source))
    }

    /// Returns the screen as PNG.
    pub async fn screenshot(&self) -> Result<Vec<u8>, PowerError> {
        let body = &self.body;
        let qmp = body.running().await?;
        let name = format!("screen-{}.png", body.screenshots.fetch_add(1, Ordering::Relaxed));
        qmp.screendump(&name).await.map_err(|source| body.failed("take the screen of", source))?;
        let path = body.folder.join(name);
        let bytes = tokio::fs::read(&path).await;
        // Whether it could be read or not, it has served.
        tokio::fs::remove_file(&path).await.ok();
        bytes.map_err(|source| PowerError::Screenshot { node: body.plan.node.clone(), path, source })
    }

    /// Plugs the cable of a NIC in or out. It stays so when the machine is switched off and on.
    pub async fn set_link(&self, nic: &NicName, up: bool) -> Result<(), PowerError> {
        let body = &self.body;
        let planned = body.plan.nics.iter().find(|planned| planned.nic == *nic);
        let device = planned
            .ok_or_else(|| PowerError::NoSuchNic { node: body.plan.node.clone(), nic: nic.clone() })?;
        body.links.lock().unwrap_or_else(PoisonError::into_inner).insert(nic.clone(), up);
        if let Ok(qmp) = body.running().await {
            qmp.set_link(&nic_id(device), up).await.map_err(|source| body.failed("set a link of", source))?;
        }
        body.events.emit_of(&body.plan.node, Known::LinkSet { nic: nic.to_string(), up });
        Ok(())
    }

    /// Returns its PCI devices.
    pub async fn devices(&self) -> Result<Vec<Device>, PowerError> {
        let qmp = self.body.running().await?;
        qmp.devices().await.map_err(|source| self.body.failed("list the devices of", source))
    }

    /// Returns its disks.
    pub async fn blocks(&self) -> Result<Vec<Block>, PowerError> {
        let qmp = self.body.running().await?;
        qmp.blocks().await.map_err(|source| self.body.failed("list the disks of", source))
    }

    /// Returns what it is doing.
    pub async fn state(&self) -> State {
        let session = self.body.session.lock().await;
        let Some(session) = session.as_ref().filter(|session| !session.has_ended()) else {
            return State::Off;
        };
        match session.qmp.status().await.as_deref() {
            Ok("running") => State::Running,
            Ok("prelaunch" | "paused") if !session.is_powered() => State::Ready,
            Ok(other) => State::Stopped(other.to_owned()),
            Err(_) => State::Off,
        }
    }

    /// Attaches to its serial console.
    pub fn console(&self) -> Attachment {
        self.body.console.attach()
    }

    /// Ends the machine for good, as a lab that is torn down does. Returns when its process is gone.
    pub async fn stop(&self) {
        self.end(Intent::Down).await;
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
    async fn start(&self) -> Result<Session, StartError> {
        let session = Session::start(SessionContext {
            plan: &self.plan,
            start: &StartOptions::default(),
            folder: &self.folder,
            spawner: &self.spawner,
            console: &self.console,
            events: &self.events,
        })
        .await?;
        for nic in self.unplugged() {
            session
                .qmp
                .set_link(&nic_id(nic), false)
                .await
                .map_err(|source| StartError::Qmp { node: self.plan.node.clone(), source })?;
        }
        Ok(session)
    }

    fn unplugged(&self) -> Vec<&NicPlan> {
        let links = self.links.lock().unwrap_or_else(PoisonError::into_inner);
        self.plan.nics.iter().filter(|nic| links.get(&nic.nic) == Some(&false)).collect()
    }

    async fn running(&self) -> Result<Qmp, PowerError> {
        let session = self.session.lock().await;
        let session = session.as_ref().filter(|session| !session.has_ended());
        session.map(|session| session.qmp.clone()).ok_or_else(|| self.off())
    }

    fn off(&self) -> PowerError {
        PowerError::Off { node: self.plan.node.clone() }
    }

    fn failed(&self, what: &'static str, source: QmpError) -> PowerError {
        PowerError::Qmp { what, node: self.plan.node.clone(), source }
    }
}

/// Why a machine could not be started.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// Something in its folder could not be made.
    #[error("cannot prepare {what} for the machine of `{node}`")]
    Prepare {
        /// The node.
        node: NodeName,
        /// The thing.
        what: String,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// QEMU could not be started.
    #[error(transparent)]
    Spawn(SpawnError),
    /// QEMU ended at once.
    #[error("QEMU for `{node}` ended at once, {status}{}", last_words(stderr))]
    Ended {
        /// The node.
        node: NodeName,
        /// How its process ended.
        status: String,
        /// The last lines of its standard error.
        stderr: Vec<String>,
    },
    /// QEMU runs but did not call.
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
        /// Why.
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

/// What QEMU says when it cannot start, and what helps.
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

/// Why a machine did not do what it was asked to.
#[derive(Debug, thiserror::Error)]
pub enum PowerError {
    /// It is off.
    #[error("`{node}` is off")]
    Off {
        /// The node.
        node: NodeName,
    },
    /// It could not be started again.
    #[error(transparent)]
    Start {
        /// Why.
        source: Box<StartError>,
    },
    /// Its guest did not shut down.
    #[error("`{node}` is still on {} s after its power button was pressed", waited.as_secs())]
    StillOn {
        /// The node.
        node: NodeName,
        /// How long it was waited for.
        waited: Duration,
    },
    /// QEMU did not do it.
    #[error("cannot {what} `{node}`")]
    Qmp {
        /// What was asked.
        what: &'static str,
        /// The node.
        node: NodeName,
        /// Why.
        #[source]
        source: QmpError,
    },
    /// The picture of its screen could not be read.
    #[error("cannot read {}, the screen of `{node}`", path.display())]
    Screenshot {
        /// The node.
        node: NodeName,
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// It has no such NIC.
    #[error("`{node}` has no NIC `{nic}`")]
    NoSuchNic {
        /// The node.
        node: NodeName,
        /// The NIC.
        nic: NicName,
    },
}

impl Hint for PowerError {
    fn hint(&self) -> Option<Cow<'static, str>> {
        let hint = match self {
            Self::Off { .. } => Some("power it on first"),
            Self::StillOn { .. } => Some("its guest ignores the power button: switch it off hard"),
            Self::Start { source } => return source.hint(),
            Self::Qmp { .. } | Self::Screenshot { .. } | Self::NoSuchNic { .. } => None,
        };
        hint.map(Cow::Borrowed)
    }
}
