//! Networks and nodes as a supervisor needs them, apart from the steps that create them.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::boot::Netboots;
use super::{BmcPlan, NetworkPlan, QemuPlan, TapPlan};
use crate::event::{BootServers, BootSources};
use crate::lab::{
    Boot, BootDevice, BootTarget, Bus, Check, Dhcp, DhcpRelay, Firmware, Lab, MachineFault, Network, Node,
    Seed, Start, TftpBackend,
};
use crate::name::{Bytes, DiskName, IfName, Mac, NetworkName, NicName, NodeName};

/// The DHCP option that names a TFTP server (RFC 2132, section 9.4).
const TFTP_SERVER_NAME: u8 = 66;

/// A node: its properties, and its kind.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct NodePlan {
    /// Its name.
    pub node: NodeName,
    /// Its firmware.
    pub firmware: Firmware,
    /// Number of CPUs.
    pub cpus: u8,
    /// Memory.
    pub memory: Bytes,
    /// When it is powered on.
    pub power: Start,
    /// Its NICs, in the order of its firmware.
    pub nics: Vec<NicPlan>,
    /// Its disks, in the order of its firmware.
    pub disks: Vec<NodeDisk>,
    /// Its CD drives, in the order of its firmware.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub cds: Vec<DiskName>,
    /// Its BMC.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bmc: Option<BmcPlan>,
    /// Its kind.
    pub kind: NodeKind,
    /// Its first reserved address, on a network that probes reach if there is one.
    pub address: Option<Ipv4Addr>,
    /// The network of its first NIC, likewise.
    pub network: Option<NetworkName>,
    /// How its firmware gets a kernel over the network, as text; `None` if it does not.
    pub way: Option<String>,
    /// The user with the SSH key of the run, or the one that an expectation logs in as.
    pub user: Option<String>,
    /// What it can boot from.
    pub boot_sources: BootSources,
}

impl NodePlan {
    /// Returns whether a disk of it is a USB stick.
    pub fn is_stick(&self, disk: &DiskName) -> bool {
        let NodeKind::Qemu(qemu) = &self.kind;
        let is_planned = qemu.disks.get(disk).is_some_and(|device| device.bus == Bus::Usb);
        is_planned || qemu.bmc_stick.as_ref().is_some_and(|stick| stick.disk == *disk)
    }

    /// Returns whether the lab powers it on.
    pub fn starts(&self) -> bool {
        self.power != Start::Manual
    }
}

/// The kind of a node.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum NodeKind {
    /// A virtual machine.
    Qemu(Box<QemuPlan>),
}

/// A NIC of a node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NicPlan {
    /// The NIC.
    pub nic: NicName,
    /// Its hardware address.
    pub mac: Mac,
    /// Its connection.
    pub link: LinkPlan,
    /// Link state at power-on.
    pub link_up: bool,
}

/// The connection of a NIC.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LinkPlan {
    /// A TAP on the bridge of a network.
    Tap {
        /// The TAP.
        interface: IfName,
    },
    /// A pair of Unix datagram sockets, one frame in each datagram.
    Datagram {
        /// The socket of the NIC, relative to `node/NAME`.
        local: PathBuf,
        /// The socket at the other end, relative to `node/NAME`.
        remote: PathBuf,
    },
}

/// A disk of a node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeDisk {
    /// The disk.
    pub disk: DiskName,
    /// Its serial number.
    pub serial: String,
    /// Its size.
    pub size: Bytes,
}

/// The settings that may differ from one start of a node to the next.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct StartOptions {
    /// The boot target of its firmware; its own boot order if `None`.
    pub boot: Option<BootTarget>,
    /// How its firmware learns the boot order.
    pub order: OrderBy,
    /// What is in its CD drives and USB ports; a drive that is not named is empty, and a stick is plugged in.
    pub media: BTreeMap<DiskName, Medium>,
    /// What is wrong with it on purpose.
    pub faults: Vec<MachineFault>,
    /// The settings of its firmware.
    pub firmware: FirmwareSettings,
}

/// Settings of a firmware, as a BMC changes them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FirmwareSettings {
    /// How many seconds it waits for a key before it boots.
    pub boot_timeout: u8,
    /// Whether its processors offer virtualization, if the host has it.
    pub virtualization: bool,
}

impl Default for FirmwareSettings {
    fn default() -> Self {
        Self { boot_timeout: 0, virtualization: true }
    }
}

/// How a firmware learns the boot order at a start.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum OrderBy {
    /// By the boot indices of the devices. OVMF then rewrites its own order.
    #[default]
    Indices,
    /// By its own variables.
    Variables,
}

/// What is in a drive for media.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Medium {
    /// Nothing.
    Empty,
    /// An image: raw in a CD drive, qcow2 as a stick.
    File(PathBuf),
    /// A raw image that is exported by NBD.
    Exported {
        /// The socket, relative to `node/NAME`.
        socket: String,
        /// The file that takes what the machine writes, relative to `node/NAME`; it may not write if `None`.
        overlay: Option<PathBuf>,
    },
}

/// Returns a network as a supervisor needs it.
pub(super) fn network(network: &Network) -> NetworkPlan {
    NetworkPlan {
        dns: network.server().zip(network.dns.port).map(SocketAddr::from),
        domain: network.dns.domain.clone(),
        passphrase: network.matchbox.as_ref().and_then(|matchbox| matchbox.passphrase.clone()),
    }
}

/// Returns the plan of a node. `taps` are those of its NICs, in the same order.
pub(super) fn node(netboots: &Netboots<'_>, node: &Node, kind: NodeKind, taps: &[TapPlan]) -> NodePlan {
    let nics = node.nics.iter().zip(taps).map(|(nic, tap)| NicPlan {
        nic: nic.name.clone(),
        mac: nic.mac,
        link: LinkPlan::Tap { interface: tap.interface.clone() },
        link_up: nic.link_up,
    });
    let mut reached_first: Vec<_> = node.nics.iter().collect();
    // A stable sort, so NICs stay in their order otherwise.
    let networks = &netboots.lab.networks;
    reached_first.sort_by_key(|nic| !networks.get(&nic.network).is_none_or(Network::is_reachable));
    let disks = node.disks.iter().map(|disk| NodeDisk {
        disk: disk.name.clone(),
        serial: disk.serial.clone(),
        size: disk.size,
    });
    NodePlan {
        node: node.name.clone(),
        firmware: node.firmware,
        cpus: node.cpus,
        memory: node.memory,
        power: node.start.clone(),
        nics: nics.collect(),
        disks: disks.collect(),
        cds: node.cds.iter().map(|cd| cd.name.clone()).collect(),
        // It is wired with the networks.
        bmc: None,
        kind,
        address: reached_first.iter().find_map(|nic| nic.address),
        network: reached_first.first().map(|nic| nic.network.clone()),
        way: netboots.way(node),
        user: seeded_user(node).or_else(|| expected_user(netboots.lab, &node.name)),
        boot_sources: boot_sources(netboots.lab, node),
    }
}

/// Returns what a node can boot from.
fn boot_sources(lab: &Lab, node: &Node) -> BootSources {
    // An order in variables may come to name NICs at any time.
    let may_boot_from_network = match &node.boot {
        Boot::Nvram => true,
        Boot::Order(devices) => {
            devices.iter().any(|device| matches!(device, BootDevice::Network | BootDevice::OneNic(_)))
        }
    };
    let nics = node.nics.iter().filter(|_| may_boot_from_network);
    let servers = nics.filter_map(|nic| lab.networks.get(&nic.network)).map(|network| match network.dhcp {
        _ if lab.capture.is_some() => BootServers::Captured,
        Dhcp::Off | Dhcp::Relay(DhcpRelay { server: None, .. }) => BootServers::Others,
        Dhcp::Proxy => BootServers::LabAndOthers,
        Dhcp::Server(_) | Dhcp::Relay(_)
            if network.tftp == TftpBackend::Off
                || network.files_port().is_none()
                || names_other_server(network, node) =>
        {
            BootServers::LabAndOthers
        }
        Dhcp::Server(_) | Dhcp::Relay(_) => BootServers::Lab,
    });
    let disk = !node.disks.is_empty() || !node.cds.is_empty();
    BootSources { disk, network: servers.max().unwrap_or(BootServers::Lab) }
}

/// Tells whether a DHCP option of a node names a TFTP server other than its network's.
fn names_other_server(network: &Network, node: &Node) -> bool {
    let own = network.server().map(|server| server.to_string()).unwrap_or_default();
    let named = node.options.get(&TFTP_SERVER_NAME).or_else(|| network.options.get(&TFTP_SERVER_NAME));
    named.is_some_and(|name| name.0 != own.as_bytes())
}

/// Returns the first user that a node's seed gives the key of the run.
fn seeded_user(node: &Node) -> Option<String> {
    match &node.seed {
        Seed::NoCloud { users, .. } => users.first().cloned(),
        Seed::None => None,
    }
}

/// Returns the user that an expectation logs in as.
fn expected_user(lab: &Lab, node: &NodeName) -> Option<String> {
    lab.expectations.values().find_map(|expectation| match &expectation.check {
        Check::Probed(check) if expectation.nodes.contains(node) => {
            check.login().map(|login| login.user.clone())
        }
        Check::Probed(_) | Check::Observed(_) => None,
    })
}
