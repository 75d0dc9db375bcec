//! The types of a plan: every effect that a lab needs on this host, fully decided, in order.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;

use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use serde::{Deserialize, Serialize};

use crate::event::FileRole;
use crate::lab::options::Octets;
use crate::lab::{DhcpOptions, FileRef, Isolation, Rpc, Service, TftpBackend, UnknownClients, Via};
use crate::matchbox::ignition::Version;
use crate::name::{
    Bytes, DiskName, ExpectName, IfName, ImageName, LabName, Mac, NetworkName, NicName, NodeName, ProcessName,
};

/// Every effect that a lab needs on this host, fully decided, in order.
///
/// Paths that begin with `node/` are relative to the run folder; QEMU is started
/// in `node/NAME` and its arguments name files there (which also keeps socket
/// paths below 108 bytes).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Plan {
    /// Name of the lab.
    pub lab: LabName,
    /// Where its network lives.
    pub isolation: Isolation,
    /// The accelerator of its machines.
    pub accel: Accel,
    /// How many nodes may be on their way up at once; all if `None`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parallel_boots: Option<usize>,
    /// The effects, in order.
    pub steps: Vec<Step>,
}

/// What executes guest code.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Accel {
    /// Hardware virtualisation.
    Kvm,
    /// Emulation.
    Tcg,
}

impl Accel {
    /// Returns QEMU's word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Kvm => "kvm",
            Self::Tcg => "tcg",
        }
    }
}

/// One effect of a plan.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Step {
    /// Builds an image into the cache. Carried out before the place is made.
    BuildImage {
        /// The image.
        image: ImageName,
    },
    /// Makes the namespaces that the rest lives in. Carried out before the supervisor runs.
    MakeNamespaces {
        /// The way out, if a network has `nat`.
        way_out: Option<WayOut>,
    },
    /// Listens on a port of the host's loopback and leads it to a node.
    Publish {
        /// Where the host listens.
        listen: SocketAddr,
        /// The node it leads to; `None` if it leads to the boot services of a network.
        node: Option<NodeName>,
        /// Where connections go.
        to: SocketAddr,
    },
    /// Writes `hosts` and `resolv.conf` of the place (private places only).
    NameFiles {
        /// Lines of `/etc/hosts`.
        hosts: Vec<(IpAddr, String)>,
        /// Name server of the place.
        nameserver: Option<Ipv4Addr>,
        /// Search domain of the place.
        search: Vec<String>,
    },
    /// Makes a bridge and brings it up.
    Bridge(BridgePlan),
    /// Plugs an interface of the host into a bridge.
    Port(PortPlan),
    /// Lets the place forward IPv4.
    Forward {
        /// The value before, to which undo returns.
        was: bool,
    },
    /// Loads a table of our own into nftables.
    Firewall(FirewallPlan),
    /// Adds one rule to a chain of somebody else that drops forwarded traffic.
    ForeignAccept(ForeignAccept),
    /// Starts the boot services of a network.
    Serve(Box<ServicePlan>),
    /// Makes a disk of a node.
    Disk(DiskPlan),
    /// Copies the template of a UEFI node's variables.
    Variables {
        /// The node.
        node: NodeName,
        /// The template.
        template: PathBuf,
        /// Where the copy goes.
        path: PathBuf,
    },
    /// Writes the cloud-init seed of a node.
    Seed(SeedPlan),
    /// Makes a TAP and puts it on its bridge.
    Tap(TapPlan),
    /// Starts a machine, paused.
    Machine(Box<MachinePlan>),
    /// Starts a process beside the nodes.
    Process(ProcessPlan),
    /// Lets a machine run.
    PowerOn {
        /// The node.
        node: NodeName,
        /// The expectation that has to be met before.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        after: Option<ExpectName>,
    },
}

/// How a private place reaches the world: pasta, with addresses of our own.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WayOut {
    /// The interface inside the place.
    pub interface: IfName,
    /// Its address.
    pub address: Ipv4Net,
    /// The gateway.
    pub gateway: Ipv4Addr,
    /// An address at which the host's resolver answers.
    pub resolver: Ipv4Addr,
}

/// A bridge.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BridgePlan {
    /// The network it is.
    pub network: NetworkName,
    /// Its name in the kernel.
    pub interface: IfName,
    /// Its full name, kept as the interface's alias.
    pub alias: String,
    /// Its MAC address.
    pub mac: Mac,
    /// Its MTU.
    pub mtu: u16,
    /// Its IPv4 address.
    pub address: Ipv4Net,
    /// Its IPv6 address, beside the link-local one.
    pub ipv6: Option<Ipv6Net>,
    /// Its link-local IPv6 address.
    pub link_local: Ipv6Net,
}

/// An interface of the host that becomes a port of a bridge.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PortPlan {
    /// The network it is plugged into.
    pub network: NetworkName,
    /// The interface.
    pub interface: IfName,
    /// The bridge.
    pub bridge: IfName,
    /// Whether it was up before, to which undo returns.
    pub was_up: bool,
}

/// A TAP on a bridge.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TapPlan {
    /// The node whose NIC it is.
    pub node: NodeName,
    /// The NIC.
    pub nic: NicName,
    /// Its name in the kernel.
    pub interface: IfName,
    /// Its full name, kept as the interface's alias.
    pub alias: String,
    /// The bridge it is put on.
    pub bridge: IfName,
    /// Its MTU.
    pub mtu: u16,
}

/// A table of our own in nftables (family `ip`).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FirewallPlan {
    /// Name of the table.
    pub table: String,
    /// Subnets whose traffic to elsewhere is masqueraded.
    pub masquerade: Vec<Masquerade>,
}

/// One masqueraded subnet.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Masquerade {
    /// The bridge it comes from.
    pub bridge: IfName,
    /// The subnet.
    pub subnet: Ipv4Net,
}

/// One rule in a chain of somebody else.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ForeignAccept {
    /// nftables family.
    pub family: String,
    /// Table.
    pub table: String,
    /// Chain.
    pub chain: String,
    /// Whose it is, for people.
    pub owner: String,
    /// The bridge whose traffic is accepted.
    pub bridge: IfName,
    /// Comment by which undo finds the rule.
    pub comment: String,
}

/// The boot services of one network.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ServicePlan {
    /// The network.
    pub network: NetworkName,
    /// The bridge.
    pub interface: IfName,
    /// The bridge's MAC address.
    pub mac: Mac,
    /// The bridge's address.
    pub address: Ipv4Net,
    /// The bridge's IPv6 address; the services answer there too.
    pub ipv6: Option<Ipv6Net>,
    /// The bridge's link-local IPv6 address.
    pub link_local: Ipv6Addr,
    /// The network's MTU.
    pub mtu: u16,
    /// Its nodes' NICs.
    pub hosts: Vec<HostPlan>,
    /// DHCP; `None` when off.
    pub dhcp: Option<DhcpPlan>,
    /// What becomes of those who ask for IPv6 and are no node of the lab.
    pub ipv6_unknown_clients: UnknownClients,
    /// DHCPv6; `None` where there is no IPv6, or where it is not ours to give addresses.
    pub dhcp6: Option<Dhcp6Plan>,
    /// Who speaks TFTP.
    pub tftp: TftpBackend,
    /// Names.
    pub dns: DnsPlan,
    /// Whom the certificate of HTTPS is for; `None` without HTTPS.
    pub https: Option<HttpsPlan>,
    /// What matchbox answers, beside these names.
    pub matchbox: Option<MatchboxPlan>,
    /// A folder that TFTP and HTTP hand out below these names.
    pub root: Option<RootPlan>,
    /// Milliseconds that NTP is ahead of the host's clock; below zero behind.
    pub clock: i64,
    /// Files by path, for TFTP and HTTP alike; paths have no leading slash.
    pub files: BTreeMap<String, ServedFile>,
    /// Texts by path, for HTTP (scripts, cloud-init seeds); paths have no leading slash.
    pub texts: BTreeMap<String, ServedText>,
}

/// What matchbox answers on a network.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MatchboxPlan {
    /// The data directory. With `rpc` and without one it is the folder `matchbox` among what the network keeps in the run
    /// folder.
    pub data: Option<PathBuf>,
    /// The folder behind `/assets/`.
    pub assets: Option<PathBuf>,
    /// The TCP port of its HTTP; on 80 it shares the listener with the lab's own names.
    pub port: u16,
    /// The OpenPGP key ring that signs. What unlocks it is in no plan.
    pub key_ring: Option<PathBuf>,
    /// The newest version of Ignition configs that is handed out.
    pub newest: Version,
    /// Its gRPC.
    pub rpc: Option<Rpc>,
    /// What the lab file adds to the data directory, by path in it (`groups/ID.json`, `ignition/NAME`); where the
    /// directory has the same, this counts.
    pub entries: BTreeMap<String, DataEntry>,
}

/// What a lab file adds to a data directory.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum DataEntry {
    /// A text.
    Text(String),
    /// A file on the host, read at each request.
    File(PathBuf),
}

/// Whom the certificate of a network's HTTPS is for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HttpsPlan {
    /// The addresses of the bridge.
    pub addresses: Vec<IpAddr>,
    /// The names of the bridge; the first label may be `*`.
    pub names: Vec<String>,
}

/// A folder that a network's services hand out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RootPlan {
    /// Where it is.
    pub folder: PathBuf,
    /// Whether HTTP lists what is in it.
    pub listing: bool,
}

/// A file that a service hands out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServedFile {
    /// Where it is.
    pub source: FileRef,
    /// What it is to the node.
    pub role: FileRole,
}

/// A text that a service hands out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServedText {
    /// The text. `{{ssh-key}}` stands for the run's public key, which no plan holds.
    pub body: String,
    /// What it is to the node.
    pub role: FileRole,
}

/// One NIC as the boot services know it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HostPlan {
    /// The node.
    pub node: NodeName,
    /// The hardware address.
    pub mac: Mac,
    /// The reserved address.
    pub address: Option<Ipv4Addr>,
    /// The reserved IPv6 address.
    pub ipv6: Option<Ipv6Addr>,
    /// What a booting firmware is told; `None` if the node is not netbooted.
    pub boot: Option<BootPlan>,
    /// What its DHCP clients call themselves (option 61), where they are known by that.
    pub client_id: Option<Octets>,
    /// The node's UUID, by which they are known too (option 97).
    pub uuid: uuid::Uuid,
    /// DHCP options for it; where the network has the same, these count.
    pub options: DhcpOptions,
    /// Whether waits of its firmware are cut short: iPXE is told not to wait for ProxyDHCP offers (175.176), and its
    /// router solicitations are answered although the network has no IPv6.
    pub cut_waits: bool,
}

/// What a booting firmware is told.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BootPlan {
    /// URL of the script for iPXE; `None` if iPXE is not what loads the kernel.
    pub script: Option<String>,
    /// Whether an iPXE in the firmware's ROM is handed the program like any other firmware, so that only the iPXE that
    /// it fetched is told the script.
    pub rom_chains: bool,
    /// How the firmware is to fetch its program; in any way if `None`.
    pub via: Option<Via>,
    /// Boot programs by architecture (option 93, RFC 4578), as paths that TFTP and HTTP serve.
    pub programs: BTreeMap<u16, String>,
}

/// DHCP on one network.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DhcpPlan {
    /// What is given.
    pub role: DhcpRole,
    /// Whether there is no other server: clients with addresses that we did not give are told no.
    pub authoritative: bool,
    /// Whether it looks for another server before it answers anybody, and gives up if there is one.
    pub probe: bool,
    /// What becomes of clients that are no node of the lab.
    pub unknown_clients: UnknownClients,
    /// Addresses for clients without a reservation.
    pub pool: Option<(Ipv4Addr, Ipv4Addr)>,
    /// Seconds that an address is lent.
    pub lease_seconds: u32,
    /// Default route (option 3).
    pub router: Option<Ipv4Addr>,
    /// Name server (option 6).
    pub nameserver: Ipv4Addr,
    /// Domain (option 15).
    pub domain: String,
    /// Further options.
    pub options: DhcpOptions,
    /// User classes that count as iPXE.
    pub ipxe_classes: Vec<String>,
    /// Reserved addresses of clients that are no node of the lab.
    pub reserve: BTreeMap<Mac, Ipv4Addr>,
}

/// What our DHCP gives.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum DhcpRole {
    /// Addresses and boot files.
    Server,
    /// Boot files, beside another server.
    Proxy,
}

/// DHCPv6 on one network.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Dhcp6Plan {
    /// Addresses for clients without a reservation, the last 32 bits of them; `None`: such clients are left out.
    pub pool: Option<Ipv6Net>,
    /// Seconds that an address is lent.
    pub lease_seconds: u32,
    /// Name server (option 23).
    pub nameserver: Ipv6Addr,
    /// Domain (option 24).
    pub domain: String,
    /// User classes (option 15) that count as iPXE.
    pub ipxe_classes: Vec<String>,
}

/// DNS on one network. Names are absolute, in lower case, without a trailing dot.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DnsPlan {
    /// The zone of the network's nodes.
    pub domain: String,
    /// The zones of all networks of the lab, for which nobody else is asked.
    pub domains: Vec<String>,
    /// Names of nodes, also those whose address comes from a pool.
    pub nodes: Vec<NodeRecord>,
    /// Further names with their addresses; the first label may be `*`.
    pub records: BTreeMap<String, Vec<IpAddr>>,
    /// Names of names.
    pub aliases: BTreeMap<String, String>,
    /// Services.
    pub services: BTreeMap<String, Vec<Service>>,
    /// Texts.
    pub texts: BTreeMap<String, Vec<String>>,
    /// Reverse zones that we answer for, as subnets.
    pub reverse: Vec<IpNet>,
    /// Servers for everything else; empty: such names do not exist.
    pub upstream: Vec<SocketAddr>,
}

/// The name of a node on one network.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeRecord {
    /// The name.
    pub name: String,
    /// The network.
    pub network: NetworkName,
    /// The node.
    pub node: NodeName,
    /// Its reserved addresses.
    pub addresses: Vec<IpAddr>,
}

/// A disk.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DiskPlan {
    /// The node.
    pub node: NodeName,
    /// The disk.
    pub disk: DiskName,
    /// The qcow2 file, relative to the run folder.
    pub path: PathBuf,
    /// Virtual size.
    pub size: Bytes,
    /// What lies below it.
    pub backing: Option<FileRef>,
}

/// A cloud-init seed: a FAT volume labelled CIDATA.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SeedPlan {
    /// The node.
    pub node: NodeName,
    /// The volume, relative to the run folder.
    pub path: PathBuf,
    /// Its files by name. `{{ssh-key}}` stands for the run's public key, which no plan holds.
    pub files: BTreeMap<String, String>,
    /// Files that are copied as they are from the host, by name.
    pub copies: BTreeMap<String, PathBuf>,
}

/// One machine.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct MachinePlan {
    /// The node.
    pub node: NodeName,
    /// The QEMU program.
    pub program: PathBuf,
    /// Its arguments.
    pub argv: Vec<String>,
    /// Small files that it reads, by path relative to `node/NAME`.
    pub files: BTreeMap<String, Vec<u8>>,
    /// Whether a key is pressed while iPXE's banner stands.
    pub skip_banner: bool,
    /// Its NICs: QEMU device id by name.
    pub nics: Vec<MachineNic>,
    /// Memory that it takes.
    pub memory: Bytes,
}

/// A process beside the nodes, in the network of the place.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProcessPlan {
    /// Its name.
    pub process: ProcessName,
    /// What `sh -c` runs.
    pub run: String,
    /// The folder that it runs in.
    pub folder: PathBuf,
    /// Variables that are added to the environment.
    pub environment: BTreeMap<String, String>,
    /// The expectation after which it is started.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<ExpectName>,
}

/// A NIC of a running machine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MachineNic {
    /// The NIC.
    pub nic: NicName,
    /// QEMU's device id, for `set_link`.
    pub id: String,
    /// The TAP.
    pub interface: IfName,
    /// Whether the cable is plugged in at power-on.
    pub link_up: bool,
}

/// What a plan needs to know of the host. Gathered by `host::facts`, given as an argument.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct HostFacts {
    /// Whether we are root.
    pub root: bool,
    /// Logical CPUs.
    pub cpus: u32,
    /// Memory that is free for machines.
    pub free_memory: Bytes,
    /// QEMU, if there is one.
    pub qemu: Option<Qemu>,
    /// UEFI firmware that QEMU's descriptors name, in their order of preference.
    pub firmware: Vec<FirmwareFile>,
    /// The accelerator that passed the self-test.
    pub accel: Accel,
    /// Path of `pasta`, if there is one.
    pub pasta: Option<PathBuf>,
    /// Path of `nft`, if there is one.
    pub nft: Option<PathBuf>,
    /// Path of `qemu-img`, if there is one.
    pub qemu_img: Option<PathBuf>,
    /// Whether the host forwards IPv4 already.
    pub ip_forward: bool,
    /// Subnets that the host has routes to, of IPv4 and IPv6.
    pub subnets: Vec<IpNet>,
    /// The host's interfaces (looked at for [`Isolation::None`] only).
    #[serde(default)]
    pub links: Vec<HostLink>,
    /// Name servers of the host, without those on its loopback.
    pub resolvers: Vec<IpAddr>,
    /// Chains of others that drop forwarded traffic.
    pub forward_drops: Vec<ForwardDrop>,
    /// Images that are built already.
    pub built: Vec<ImageName>,
}

/// An interface of the host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HostLink {
    /// Its name.
    pub name: IfName,
    /// Whether it is administratively up.
    pub up: bool,
    /// Its MTU.
    pub mtu: u32,
    /// Whose port it is, if it is one.
    pub master: Option<IfName>,
    /// Its addresses, without those of IPv6 that belong to the link itself.
    pub addresses: Vec<IpAddr>,
}

/// A chain of somebody else that drops forwarded traffic.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ForwardDrop {
    /// Who keeps it: `docker`, `ufw`, `firewalld`, or the table's name.
    pub owner: String,
    /// nftables family.
    pub family: String,
    /// Table.
    pub table: String,
    /// The chain with the drop.
    pub chain: String,
    /// The chain in which the owner wants rules of others (`DOCKER-USER`), if it has one.
    pub user_chain: Option<String>,
}

/// A QEMU.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Qemu {
    /// Path of `qemu-system-x86_64`.
    pub program: PathBuf,
    /// Its version.
    pub version: (u32, u32, u32),
}

/// One UEFI firmware, as QEMU's firmware descriptors describe it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FirmwareFile {
    /// The code, read-only.
    pub code: PathBuf,
    /// The template of the variable store.
    pub variables: PathBuf,
    /// Whether it has Secure Boot.
    pub secure_boot: bool,
    /// Whether keys are enrolled, so that Secure Boot is on.
    pub enrolled_keys: bool,
    /// Whether it needs system management mode.
    pub requires_smm: bool,
    /// Machine type patterns that it supports (`pc-q35-*`).
    pub machines: Vec<String>,
}
