//! The BMCs of a run: each is told what happens to its node, and its orders become commands to it.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::OpenOptions;
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinSet;

use super::command::RunCommand;
use crate::bmc::boot::{BootDevice, Override};
use crate::bmc::identity::{Identity, Lan};
use crate::bmc::ipmi::PORT;
use crate::bmc::log::{BootFailure, Loaded};
use crate::bmc::power::{Control, Happening};
use crate::bmc::users::{Password, Users};
use crate::bmc::{Bmc, Learned, Order};
use crate::event::{BootedFrom, Emitter, Event, Kind, Known, PowerCause, Service, Source, Stage};
use crate::hint::{Hint, chain};
use crate::name::NodeName;
use crate::node::{Attachment, BootOverride, Effect, Node, NodeCommand, NodeError, Power};
use crate::plan::qemu::MANUFACTURER;
use crate::plan::{BmcPlan, BootTarget, NodeKind, NodePlan, Plan};
use crate::serve::bmc::{BmcInput, BmcOrder, BmcParts, serve};
use crate::system;
use crate::system::station::Station;

/// The file with the password of BMCs, in the run folder.
const PASSWORD_FILE: &str = "bmc-password";
/// The same file, as processes on hosts see it.
pub(super) const PASSWORD_ON_HOSTS: &str = "/run/dryrack/bmc-password";
/// The environment variable with the path of that file.
const PASSWORD_VARIABLE: &str = "DRYRACK_BMC_PASSWORD_FILE";
/// How many pieces of input wait for a machine that does not read them.
const WAITING: usize = 256;
/// The characters of a password that is made, without those that look alike.
const ALPHABET: &[u8; 32] = b"abcdefghijkmnpqrstuvwxyz23456789";

/// A password that was made for the run.
#[derive(Debug, Clone)]
pub(super) struct BmcPassword(Password);

/// Makes the password of BMCs without one in the lab file, and writes it where processes find it.
pub(super) fn password(plan: &Plan, run_dir: &Path) -> io::Result<Option<BmcPassword>> {
    let mut bmcs = plan.nodes.values().filter_map(|node| node.bmc.as_ref());
    if bmcs.all(|bmc| bmc.password.is_some()) {
        return Ok(None);
    }
    let mut random = [0; 16];
    system::random(&mut random);
    let password = random.map(|byte| ALPHABET[usize::from(byte) % ALPHABET.len()]);
    let path = run_dir.join(PASSWORD_FILE);
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    file.write_all(&password)?;
    Ok(Some(BmcPassword(Password::new(&password))))
}

/// Returns the path of the password that was made for the run, if one was.
pub(super) fn password_file(run_dir: &Path) -> Option<PathBuf> {
    Some(run_dir.join(PASSWORD_FILE)).filter(|path| path.exists())
}

/// Returns the environment variable that names the password which was made for the run, for a program in the lab's
/// network or on a host.
pub fn bmc_variable(run_dir: &Path, on_host: bool) -> Option<(&'static str, PathBuf)> {
    let file = password_file(run_dir)?;
    Some((PASSWORD_VARIABLE, if on_host { PASSWORD_ON_HOSTS.into() } else { file }))
}

/// Why the password of a BMC cannot be used.
#[derive(Debug, thiserror::Error)]
pub(super) enum PasswordError {
    /// It could not be fetched.
    #[error("cannot find the password of the BMC")]
    Fetch(#[source] crate::lab::SecretError),
    /// It is not a password of IPMI.
    #[error("the password of the BMC is {}", if *length == 0 { "empty" } else { "longer than 20 bytes" })]
    Length {
        /// Its length in bytes.
        length: usize,
    },
    /// No password was made.
    #[error("no password was made for the BMC")]
    Missing,
}

impl Hint for PasswordError {
    fn hint(&self) -> Option<std::borrow::Cow<'static, str>> {
        match self {
            Self::Fetch(error) => error.hint(),
            Self::Length { .. } => Some("IPMI 2.0 has passwords of 1 to 20 bytes".into()),
            Self::Missing => None,
        }
    }
}

/// The BMCs that are up.
pub(super) struct Bmcs {
    links: Mutex<BTreeMap<NodeName, Link>>,
    /// The password of those without one in the lab file.
    made: Option<BmcPassword>,
    /// Takes commands to nodes.
    commands: mpsc::Sender<RunCommand>,
}

/// The connection of a BMC to its node.
struct Link {
    inputs: mpsc::UnboundedSender<BmcInput>,
    /// The node, once there is one.
    node: watch::Sender<Option<Arc<dyn Node>>>,
}

impl Bmcs {
    /// Creates them, with the password that was made for the run.
    pub(super) fn new(made: Option<BmcPassword>, commands: mpsc::Sender<RunCommand>) -> Self {
        Self { links: Mutex::default(), made, commands }
    }

    /// Fetches the password of a BMC.
    #[expect(clippy::disallowed_methods, reason = "a secret is fetched where it is used, and kept nowhere")]
    pub(super) fn password(&self, plan: &BmcPlan) -> Result<Password, PasswordError> {
        let Some(secret) = &plan.password else {
            let made = self.made.as_ref().map(|BmcPassword(password)| password.clone());
            return made.ok_or(PasswordError::Missing);
        };
        let fetched = secret.fetch(|name| std::env::var_os(name), |path| std::fs::read(path));
        let revealed = fetched.map_err(PasswordError::Fetch)?;
        let bytes = revealed.expose();
        let bytes = bytes.strip_suffix(b"\n").unwrap_or(bytes);
        match bytes.len() {
            1..=Password::LONGEST => Ok(Password::new(bytes)),
            length => Err(PasswordError::Length { length }),
        }
    }

    /// Opens the ports of a BMC; the future that it returns serves as long as it is polled.
    pub(super) async fn start(
        &self,
        node: &NodePlan,
        plan: &BmcPlan,
        password: &Password,
        devices: &BTreeSet<BootTarget>,
        station: Station,
        events: Emitter,
    ) -> io::Result<impl Future<Output = ()> + Send + 'static> {
        let ipmi = station.udp(PORT).await?;
        let (inputs, inbox) = mpsc::unbounded_channel();
        let (orders, wanted) = mpsc::unbounded_channel();
        let (there, machine) = watch::channel(None);
        let link = Link { inputs: inputs.clone(), node: there };
        lock(&self.links).insert(node.node.clone(), link);
        let bmc = Bmc::new(identity(node, plan, devices), Users::new(&plan.user, password.bytes()));
        let parts =
            BmcParts { node: node.node.clone(), bmc, ipmi, inputs: inbox, orders, events: events.clone() };
        let handler = OrderHandler {
            node: node.node.clone(),
            commands: self.commands.clone(),
            inputs: inputs.clone(),
            machine: machine.clone(),
            events,
        };
        Ok(async move {
            // The network of the BMC lasts as long as this.
            let _station = station;
            tokio::join!(serve(parts), handler.run(wanted), watch_node(machine, inputs));
        })
    }

    /// Connects a node with its BMC, if it has one.
    pub(super) fn attach(&self, node: &Arc<dyn Node>) {
        if let Some(link) = lock(&self.links).get(node.name()) {
            link.node.send_replace(Some(Arc::clone(node)));
        }
    }

    /// Tells a BMC what happened to its node.
    pub(super) fn note(&self, event: &Event) {
        let (Some(name), Kind::Known(known)) = (&event.node, &event.kind) else { return };
        let links = lock(&self.links);
        let Some(link) = links.get(name) else { return };
        let Some(input) = input(known) else { return };
        // The BMC is gone when the services have ended.
        link.inputs.send(input).ok();
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // After a panic the map is still consistent: every change is a single operation.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Returns what a BMC knows of its node.
fn identity(node: &NodePlan, plan: &BmcPlan, devices: &BTreeSet<BootTarget>) -> Identity {
    let NodeKind::Qemu(qemu) = &node.kind;
    let parts: Vec<u8> = env!("CARGO_PKG_VERSION").split('.').filter_map(|part| part.parse().ok()).collect();
    let part = |index: usize| parts.get(index).copied().unwrap_or(0);
    Identity {
        node: node.node.to_string(),
        manufacturer: MANUFACTURER.to_owned(),
        product: qemu.identity.product.to_string(),
        serial: qemu.identity.serial.clone(),
        asset_tag: qemu.identity.asset_tag.clone(),
        uuid: qemu.identity.uuid.into_bytes(),
        version: (part(0), part(1)),
        lan: Lan {
            mac: plan.nic.mac,
            address: plan.address.addr(),
            mask: plan.address.netmask(),
            gateway: plan.gateway.unwrap_or(std::net::Ipv4Addr::UNSPECIFIED),
        },
        has_fans: true,
        devices: devices.iter().copied().map(device).collect(),
    }
}

/// Returns what a BMC learns of an event.
fn input(known: &Known) -> Option<BmcInput> {
    let by_guest = |why: &PowerCause| *why == PowerCause::Guest;
    Some(match known {
        Known::PoweredOn {} => BmcInput::Happened(Happening::PoweredOn),
        Known::PoweredOff { why } => BmcInput::Happened(Happening::PoweredOff { by_guest: by_guest(why) }),
        // A machine that ended by itself has lost its power.
        Known::MachineDied { .. } => BmcInput::Happened(Happening::PoweredOff { by_guest: true }),
        Known::Reset { why } => BmcInput::Happened(Happening::Reset { by_guest: by_guest(why) }),
        Known::Booted { from: BootedFrom::Network, .. } => {
            BmcInput::Learned(Learned::Booted(Loaded::Network))
        }
        Known::Booted { from: BootedFrom::Disk, .. } => BmcInput::Learned(Learned::Booted(Loaded::Disk)),
        Known::Diagnosed { finding } => BmcInput::Learned(Learned::BootFailed(match finding.stage {
            // What comes before a boot program is the business of PXE.
            Stage::Dhcp | Stage::Nbp => BootFailure::NoPxeServer,
            Stage::Firmware => BootFailure::NoMedium,
            Stage::Off | Stage::Loader | Stage::Kernel | Stage::Os => return None,
        })),
        _ => return None,
    })
}

/// Returns the override of a BMC that is the one of a node.
fn of_node(over: BootOverride) -> Option<Override> {
    let (target, is_persistent) = match over {
        BootOverride::Default => return None,
        BootOverride::Once(target) => (target, false),
        BootOverride::Always(target) => (target, true),
    };
    Some(Override { device: device(target), is_persistent })
}

fn device(target: BootTarget) -> BootDevice {
    match target {
        BootTarget::Network => BootDevice::Pxe,
        BootTarget::Disk => BootDevice::Disk,
        BootTarget::Cd => BootDevice::Cd,
        BootTarget::Usb => BootDevice::Usb,
        BootTarget::Setup => BootDevice::Setup,
    }
}

/// Returns the override of a node that is the one of a BMC.
fn of_bmc(over: Option<Override>) -> BootOverride {
    let Some(Override { device, is_persistent }) = over else { return BootOverride::Default };
    let target = match device {
        BootDevice::Pxe => BootTarget::Network,
        BootDevice::Disk => BootTarget::Disk,
        BootDevice::Cd => BootTarget::Cd,
        BootDevice::Usb => BootTarget::Usb,
        BootDevice::Setup => BootTarget::Setup,
    };
    if is_persistent { BootOverride::Always(target) } else { BootOverride::Once(target) }
}

/// Tells a BMC the override of its node and what is printed there, as long as it is polled.
async fn watch_node(
    mut machine: watch::Receiver<Option<Arc<dyn Node>>>,
    inputs: mpsc::UnboundedSender<BmcInput>,
) {
    let Ok(there) = machine.wait_for(Option::is_some).await.map(|node| node.clone()) else { return };
    let Some(node) = there else { return };
    let mut overrides = node.boot_override();
    let told = inputs.clone();
    let boots = async move {
        // It may have been used already.
        loop {
            let over = *overrides.borrow_and_update();
            if told.send(BmcInput::Overridden(of_node(over))).is_err() || overrides.changed().await.is_err() {
                return;
            }
        }
    };
    let prints = async move {
        let Ok(Attachment { replay, mut output, .. }) = node.console() else { return };
        let mut next = Ok(Bytes::from(replay));
        loop {
            match next {
                Ok(bytes) => {
                    if inputs.send(BmcInput::Printed(bytes)).is_err() {
                        return;
                    }
                }
                // What was lost is lost; the log of the console has it.
                Err(RecvError::Lagged(_)) => {}
                Err(RecvError::Closed) => return,
            }
            next = output.recv().await;
        }
    };
    tokio::join!(boots, prints);
}

/// Turns orders of a BMC into commands to its node.
struct OrderHandler {
    node: NodeName,
    commands: mpsc::Sender<RunCommand>,
    inputs: mpsc::UnboundedSender<BmcInput>,
    machine: watch::Receiver<Option<Arc<dyn Node>>>,
    events: Emitter,
}

/// What a client does on the serial console.
enum Keyed {
    Text(Bytes),
    Break,
}

impl OrderHandler {
    /// Carries orders out, as long as it is polled.
    async fn run(self, orders: mpsc::UnboundedReceiver<BmcOrder>) {
        let (keys, keyed) = mpsc::channel(WAITING);
        tokio::join!(self.orders(orders, keys), self.console(keyed));
    }

    async fn orders(&self, mut orders: mpsc::UnboundedReceiver<BmcOrder>, keys: mpsc::Sender<Keyed>) {
        // A shutdown takes its time, and a command that comes later must not wait for it.
        let mut shutdowns = JoinSet::new();
        while let Some(order) = orders.recv().await {
            while shutdowns.try_join_next().is_some() {}
            match order {
                BmcOrder::Machine(order) => {
                    let done = self.carry_out(order).await;
                    match order {
                        Order::Power(Control::Soft) => drop(shutdowns.spawn(done)),
                        Order::Power(_) | Order::Boot(_) => done.await,
                    }
                }
                // A machine that reads nothing loses input, as on a serial line, and delays no power command.
                BmcOrder::Type(bytes) => drop(keys.try_send(Keyed::Text(bytes))),
                BmcOrder::Break => drop(keys.try_send(Keyed::Break)),
            }
        }
    }

    /// Types on the serial console, in order.
    async fn console(&self, mut keyed: mpsc::Receiver<Keyed>) {
        while let Some(keyed) = keyed.recv().await {
            match keyed {
                Keyed::Text(bytes) => {
                    let node = self.machine.borrow().clone();
                    if let Some(Attachment { input, .. }) = node.and_then(|node| node.console().ok()) {
                        // The machine is gone with the lab.
                        input.send(bytes).await.ok();
                    }
                }
                // A machine that is off has no line.
                Keyed::Break => drop(self.command(NodeCommand::Break).await.await),
            }
        }
    }

    /// Begins an order; the future that it returns waits for its end, and tells the BMC.
    async fn carry_out(&self, order: Order) -> impl Future<Output = ()> + Send + 'static {
        let command = match order {
            Order::Power(Control::On) => NodeCommand::Power(Power::On),
            Order::Power(Control::Off) => NodeCommand::Power(Power::ForceOff),
            Order::Power(Control::Cycle) => NodeCommand::Power(Power::Cycle),
            Order::Power(Control::Reset) => NodeCommand::Power(Power::Reset),
            Order::Power(Control::Nmi) => NodeCommand::Power(Power::Nmi),
            Order::Power(Control::Soft) => NodeCommand::Power(Power::Off),
            Order::Boot(over) => NodeCommand::Boot(of_bmc(over)),
        };
        let answer = self.command(command).await;
        let (inputs, events, node) = (self.inputs.clone(), self.events.of(Source::Bmc), self.node.clone());
        let machine = self.machine.clone();
        async move {
            // Without an answer the run ends.
            let Ok(done) = answer.await else { return };
            match &done {
                // A system that does not listen to the power button is no failure of the BMC.
                Ok(_) | Err(NodeError::StillOn { .. }) => {}
                Err(error) => {
                    let failed = Known::ServiceFailed { service: Service::Bmc, error: chain(error) };
                    events.emit_of(&node, failed);
                }
            }
            let input = match (order, done) {
                (Order::Boot(over), done) => {
                    // That of the node, once there is one.
                    let now = machine.borrow().as_ref().map(|node| of_node(*node.boot_override().borrow()));
                    BmcInput::Set(now.unwrap_or(over.filter(|_| done.is_ok())))
                }
                (Order::Power(_), Ok(_)) => return,
                (Order::Power(_), Err(_)) => BmcInput::Failed,
            };
            inputs.send(input).ok();
        }
    }

    async fn command(&self, command: NodeCommand) -> oneshot::Receiver<Result<Effect, NodeError>> {
        let (reply, answer) = oneshot::channel();
        let node = self.node.clone();
        // Without a receiver the run ends, and nobody answers.
        self.commands.send(RunCommand::Node { node, command, by: Source::Bmc, reply }).await.ok();
        answer
    }
}
