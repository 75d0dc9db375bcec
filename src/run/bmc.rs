//! The BMCs of a run: each is told what happens to its node, and its orders become commands to it.

mod booted;
mod client;
mod fault;
mod identity;
mod media;
mod node_watch;
mod orders;
#[cfg(test)]
mod peer;
mod push;
mod remote_image;
mod slots;

use std::collections::{BTreeMap, BTreeSet};
use std::fs::OpenOptions;
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures_util::future::BoxFuture;
use tokio::sync::{mpsc, watch};

use self::booted::BootWatch;
use self::client::BmcClient;
use self::identity::identity;
pub(super) use self::media::{MediaError, VirtualMedia};
use self::node_watch::watch_node;
use self::orders::OrderHandler;
use super::authority;
use super::command::RunCommand;
use super::dns::Dns;
use super::environment::BMC_PASSWORD;
use crate::bmc::boot::{BootDevice, Override};
use crate::bmc::ipmi::PORT;
use crate::bmc::log::BootFailure;
use crate::bmc::media::Slot;
use crate::bmc::power::Happening;
use crate::bmc::redfish::settings::Plain;
use crate::bmc::redfish::url::check_address;
use crate::bmc::users::{Password, Users};
use crate::bmc::{Bmc, Learned};
use crate::event::{Emitter, Event, Kind, Known, PowerCause, Service, Source, Stage};
use crate::fault::Faults;
use crate::hint::Hint;
use crate::lab::{LabFile, Redfish};
use crate::name::{DiskName, NicName, NodeName};
use crate::node::{BootOverride, Node};
use crate::plan::{BmcPlan, BootTarget, NodeKind, NodePlan, Plan};
use crate::serve;
use crate::serve::bmc::{BmcInput, BmcParts, RedfishPorts};
use crate::system;
use crate::system::station::Station;

/// The port of Redfish.
const HTTPS: u16 = 443;
/// The port that leads to that one, or has Redfish as well.
const HTTP: u16 = 80;
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
    let path = run_dir.join(BMC_PASSWORD);
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    file.write_all(&password)?;
    Ok(Some(BmcPassword(Password::new(&password))))
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
    /// What goes wrong with them.
    faults: Faults,
}

/// What a BMC needs to start.
pub(super) struct BmcStart<'a> {
    /// The plan of its node.
    pub(super) node: &'a NodePlan,
    /// Its own.
    pub(super) plan: &'a BmcPlan,
    /// What its node can be told to boot.
    pub(super) devices: &'a BTreeSet<BootTarget>,
    /// The password of its administrator.
    pub(super) password: Password,
    /// The certificate of Redfish, if it has that.
    pub(super) certificate: Option<serve::Identity>,
    /// Its network.
    pub(super) station: Station,
    /// Its virtual media.
    pub(super) media: Arc<VirtualMedia>,
    /// Receives the events.
    pub(super) events: Emitter,
}

/// The connection of a BMC to its node.
struct Link {
    inputs: mpsc::UnboundedSender<BmcInput>,
    /// Whether the machine is on. Sent as well when its firmware may have written its variables.
    is_on: watch::Sender<bool>,
    /// The slots of its virtual media, by drive.
    slots: BTreeMap<DiskName, Slot>,
    /// The node, once there is one.
    node: watch::Sender<Option<Arc<dyn Node>>>,
    /// What was seen of its boot.
    boot: BootWatch,
}

impl Bmcs {
    /// Creates them, with the password that was made for the run.
    pub(super) fn new(made: Option<BmcPassword>, commands: mpsc::Sender<RunCommand>, faults: Faults) -> Self {
        Self { links: Mutex::default(), made, commands, faults }
    }

    /// Returns the virtual media of a BMC in a station. `folder` is that of its node.
    pub(super) fn media(
        &self,
        node: &NodePlan,
        plan: &BmcPlan,
        station: &Station,
        (run_dir, folder): (&Path, &Path),
        events: &Emitter,
    ) -> Arc<VirtualMedia> {
        let dns = plan.dns.map(|server| Dns { server, domain: plan.domain.clone() });
        let client = BmcClient {
            network: Some(station.network().clone()),
            dns,
            authority: authority::path(run_dir, LabFile::CaPem),
            allows: check_address,
        };
        let (commands, events) = (self.commands.clone(), events.of(Source::Bmc));
        Arc::new(VirtualMedia::new(node, folder.to_owned(), client, commands, events))
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
    pub(super) async fn start(&self, start: BmcStart<'_>) -> io::Result<BoxFuture<'static, ()>> {
        let BmcStart { node, plan, devices, password, certificate, station, media, events } = start;
        let ipmi = if plan.ipmi { Some(station.udp(PORT).await?) } else { None };
        let redfish = match certificate {
            Some(identity) => {
                let (https, http) = (station.listen(HTTPS).await?, station.listen(HTTP).await?);
                Some(RedfishPorts { https, http, identity })
            }
            None => None,
        };
        let (inputs, inbox) = mpsc::unbounded_channel();
        let (orders, wanted) = mpsc::unbounded_channel();
        let (there, machine) = watch::channel(None);
        let (is_on, power) = watch::channel(false);
        let link = Link {
            inputs: inputs.clone(),
            is_on,
            slots: media.slots(),
            node: there,
            boot: BootWatch::default(),
        };
        let users = Users::new(&plan.user, password.bytes());
        let mut bmc = Bmc::new(identity(node, plan, devices), users).made_as(plan.personality);
        if plan.redfish.as_ref().is_some_and(|redfish| redfish.by == Redfish::HttpsAndHttp) {
            bmc.redfish.settings.plain = Plain::Serve;
        }
        let (name, events_of_bmc) = (node.node.clone(), events.clone());
        let parts = BmcParts {
            node: name,
            bmc: Box::new(bmc),
            ipmi,
            redfish,
            inputs: inbox,
            orders,
            events: events_of_bmc,
        };
        // A future that is moved is in the new place and in the old one, which counts with hundreds of BMCs.
        let serving = Box::pin(serve::bmc::serve(parts)?);
        let NodeKind::Qemu(qemu) = &node.kind;
        if qemu.lacks_ipmi {
            let program = qemu.program.display();
            let error = format!("the system of the node has no `/dev/ipmi0`: {program} has no IPMI devices");
            events.of(Source::Bmc).emit_of(&node.node, Known::ServiceFailed { service: Service::Bmc, error });
        }
        lock(&self.links).insert(node.node.clone(), link);
        // Those that began before; the events of others come from now on.
        inputs.send(BmcInput::Faults(fault::standing(&self.faults, &node.node))).ok();
        let handler = OrderHandler {
            node: node.node.clone(),
            commands: self.commands.clone(),
            inputs: inputs.clone(),
            machine: machine.clone(),
            media,
            events,
        };
        let (handling, watching) =
            (Box::pin(handler.run(wanted)), Box::pin(watch_node(machine, power, inputs)));
        Ok(Box::pin(async move {
            // The network of the BMC lasts as long as this.
            let _station = station;
            tokio::join!(serving, handling, watching);
        }))
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
        let mut links = lock(&self.links);
        let Some(link) = links.get_mut(name) else { return };
        let loaded = link.boot.note(known);
        match known {
            Known::PoweredOn {} => drop(link.is_on.send_replace(true)),
            Known::PoweredOff { .. } | Known::MachineDied { .. } => drop(link.is_on.send_replace(false)),
            // A firmware writes its variables before it hands over.
            Known::Booted { .. } | Known::Reset { .. } => link.is_on.send_modify(|_| {}),
            _ => {}
        }
        let input = match known {
            // All that is wrong now, not only what this event tells.
            Known::FaultBegan { .. } | Known::FaultEnded { .. } => {
                Some(BmcInput::Faults(fault::standing(&self.faults, name)))
            }
            Known::MediumSet { drive, medium } => {
                // Those of the lab file are named with their kind.
                let name = drive.split_once('.').map_or(drive.as_str(), |(_, name)| name);
                let slot = link.slots.iter().find(|(drive, _)| drive.as_str() == name).map(|(_, slot)| *slot);
                slot.map(|slot| match medium {
                    Some(medium) => BmcInput::Inserted(slot, medium.clone()),
                    None => BmcInput::Emptied(slot),
                })
            }
            known => loaded.map(|from| BmcInput::Learned(Learned::Booted(from))).or_else(|| input(known)),
        };
        let Some(input) = input else { return };
        // The BMC is gone when the services have ended.
        link.inputs.send(input).ok();
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // After a panic the map is still consistent: every change is a single operation.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
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
        Known::LinkSet { nic, up } => BmcInput::Link(NicName::new(nic).ok()?, *up),
        Known::BmcLogged { .. } => BmcInput::Recorded,
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
    let (device, is_persistent) = match over {
        BootOverride::Default => return None,
        BootOverride::Once(target) => (device(target), false),
        BootOverride::Entry(number) => (BootDevice::Option(number), false),
        BootOverride::Always(target) => (device(target), true),
    };
    Some(Override { device, is_persistent })
}

fn device(target: BootTarget) -> BootDevice {
    match target {
        BootTarget::Network => BootDevice::Pxe,
        BootTarget::Disk => BootDevice::Disk,
        BootTarget::Cd => BootDevice::Cd,
        BootTarget::Usb => BootDevice::Usb,
        BootTarget::Setup => BootDevice::Setup,
        BootTarget::Http => BootDevice::Http,
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
        BootDevice::Http => BootTarget::Http,
        BootDevice::Option(number) => return BootOverride::Entry(number),
    };
    if is_persistent { BootOverride::Always(target) } else { BootOverride::Once(target) }
}
