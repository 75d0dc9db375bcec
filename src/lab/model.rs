//! The types of a lab that makes sense: everything is decided but the host.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use ipnet::{Ipv4Net, Ipv6Net};
use regex::Regex;

pub use crate::config::{
    AccelChoice, Bus, Chipset, Firmware, FirmwareDelays, Isolation, Loader, NicModel, TableKind, TftpBackend,
    UnknownClients, Via,
};
use crate::event::{BootedFrom, Stage};
use crate::lab::Secret;
use crate::lab::options::Octets;
use crate::matchbox::ignition::Version;
use crate::name::{
    Bytes, DiskName, ExpectName, GroupName, IfName, ImageName, LabName, Mac, NetworkName, NicName, NodeName,
    ProcessName, ProfileName,
};

/// What one lab file (and its overlays) describes, checked as a whole.
#[derive(Debug, Clone)]
pub struct Lab {
    /// Its name.
    pub name: LabName,
    /// The canonical path of its file: with the user, the lab's identity.
    pub file: PathBuf,
    /// The folder that relative paths start from.
    pub folder: PathBuf,
    /// Where its network lives.
    pub isolation: Isolation,
    /// Which accelerator its machines want.
    pub accel: AccelChoice,
    /// How many nodes may be on their way up at once; all if `None`.
    pub parallel_boots: Option<usize>,
    /// Milliseconds that NTP is ahead of the host's clock; below zero behind.
    pub clock: i64,
    /// Its networks.
    pub networks: BTreeMap<NetworkName, Network>,
    /// What nodes are handed.
    pub profiles: BTreeMap<ProfileName, Profile>,
    /// Which machines matchbox hands which profile.
    pub groups: BTreeMap<GroupName, Group>,
    /// Its machines.
    pub nodes: BTreeMap<NodeName, Node>,
    /// Commands that run in its place while it is up.
    pub processes: BTreeMap<ProcessName, Process>,
    /// Ports of the host's loopback that lead to a node.
    pub publish: Vec<Publish>,
    /// What must, or must never, happen.
    pub expectations: BTreeMap<ExpectName, Expectation>,
}

/// One Ethernet segment.
#[derive(Debug, Clone)]
pub struct Network {
    /// Its name.
    pub name: NetworkName,
    /// The bridge's address, where the boot services answer, with the prefix length.
    pub address: Ipv4Net,
    /// The bridge's IPv6 address, with the prefix length; `None` if the network has no IPv6 beyond the link.
    pub ipv6: Option<Ipv6Net>,
    /// The bridge's MAC address.
    pub mac: Mac,
    /// An interface of the host that is plugged into it.
    pub interface: Option<IfName>,
    /// Largest frame payload in bytes.
    pub mtu: u16,
    /// Whether nodes reach the internet through it.
    pub nat: bool,
    /// How DHCP works on it.
    pub dhcp: Dhcp,
    /// Who speaks TFTP on it.
    pub tftp: TftpBackend,
    /// Further options for its clients.
    pub options: DhcpOptions,
    /// A folder that TFTP and HTTP hand out.
    pub root: Option<PathBuf>,
    /// Single files that TFTP and HTTP hand out, by path.
    pub files: BTreeMap<String, FileRef>,
    /// Whether HTTP lists what is in it.
    pub listing: bool,
    /// Whether HTTPS answers beside HTTP.
    pub https: bool,
    /// What matchbox answers on it.
    pub matchbox: Option<Matchbox>,
    /// Names.
    pub dns: Dns,
}

/// What matchbox answers on a network.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Matchbox {
    /// The data directory.
    pub data: Option<PathBuf>,
    /// The folder behind `/assets/`.
    pub assets: Option<PathBuf>,
    /// The TCP port of its HTTP.
    pub port: u16,
    /// The OpenPGP key ring that signs.
    pub key_ring: Option<PathBuf>,
    /// What unlocks it.
    pub passphrase: Option<Secret>,
    /// The newest version of Ignition configs that is handed out.
    pub newest: Version,
    /// Its gRPC.
    pub rpc: Option<Rpc>,
}

/// The gRPC of matchbox.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Rpc {
    /// The TCP port.
    pub port: u16,
    /// The folder with `ca.crt`, `server.crt` and `server.key`.
    pub tls: PathBuf,
}

/// Which machines matchbox hands which profile.
#[derive(Debug, Clone, PartialEq)]
pub struct Group {
    /// Its name.
    pub name: GroupName,
    /// The network on which it counts; every one with matchbox if `None`.
    pub network: Option<NetworkName>,
    /// The profile: of the lab, or of a data directory.
    pub profile: String,
    /// What a machine has to say of itself.
    pub selector: BTreeMap<String, String>,
    /// What templates are filled with.
    pub metadata: Metadata,
}

/// What templates are filled with, by name.
pub type Metadata = serde_json::Map<String, serde_json::Value>;

/// How DHCP works on a network.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Dhcp {
    /// We give addresses and boot files.
    Server(DhcpServer),
    /// Somebody else gives addresses, we give boot files.
    Proxy,
    /// We do not answer.
    Off,
}

/// A DHCP server of ours.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DhcpServer {
    /// First and last address for clients without a reservation.
    pub pool: Option<(Ipv4Addr, Ipv4Addr)>,
    /// How long an address is lent.
    pub lease_time: Duration,
    /// Whether there is no other server: clients with addresses that we did not give are told no.
    pub authoritative: bool,
    /// What becomes of clients that are no node of the lab.
    pub unknown_clients: UnknownClients,
    /// User classes that count as iPXE.
    pub ipxe_classes: Vec<String>,
    /// Reserved addresses of clients that are no node of the lab.
    pub reservations: BTreeMap<Mac, Ipv4Addr>,
}

/// DHCP options by their codes.
pub type DhcpOptions = BTreeMap<u8, Octets>;

/// The DNS zone of a network.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Dns {
    /// The domain of its nodes, without a trailing dot.
    pub domain: String,
    /// Further names, absolute, without a trailing dot; the first label may be `*`.
    pub records: BTreeMap<String, Vec<IpAddr>>,
    /// Names of names, all absolute, without a trailing dot.
    pub aliases: BTreeMap<String, String>,
    /// Services by absolute name.
    pub services: BTreeMap<String, Vec<Service>>,
    /// Texts by absolute name.
    pub texts: BTreeMap<String, Vec<String>>,
    /// Where other names are asked for.
    pub upstream: Upstream,
}

/// Where a service is (RFC 2782).
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Service {
    /// The lower, the earlier it is tried.
    pub priority: u16,
    /// Its share among those of one priority.
    pub weight: u16,
    /// Its port.
    pub port: u16,
    /// The host, an absolute name without a trailing dot; empty where there decidedly is no such service.
    pub target: String,
}

/// Where names are looked up that the lab does not know.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Upstream {
    /// Nowhere: they do not exist.
    #[default]
    None,
    /// The host's own resolver.
    Host,
    /// These servers.
    Servers(Vec<SocketAddr>),
}

/// What a netbooting node is handed.
#[derive(Debug, Clone, PartialEq)]
pub struct Profile {
    /// Its name.
    pub name: ProfileName,
    /// The kernel. Without one the loader asks matchbox what to boot.
    pub kernel: Option<FileRef>,
    /// Initial RAM disks, in order.
    pub initrd: Vec<FileRef>,
    /// Kernel arguments. iPXE and GRUB expand `${…}` in them.
    pub args: Vec<String>,
    /// The program that fetches and starts the kernel.
    pub loader: Loader,
    /// How the firmware fetches the loader; in any way that it has if `None`.
    pub via: Option<Via>,
    /// Boot programs in place of the loader's, by architecture (option 93, RFC 4578).
    pub programs: BTreeMap<u16, FileRef>,
    /// What matchbox answers at /ignition.
    pub ignition: Option<PathBuf>,
    /// The template of what it answers at /cloud.
    pub cloud: Option<PathBuf>,
    /// The template of what it answers at /generic.
    pub generic: Option<PathBuf>,
    /// What these templates are filled with.
    pub metadata: Metadata,
}

impl Profile {
    /// Returns what a node without a profile is handed on a network with matchbox: iPXE, which asks that.
    pub fn asking() -> Self {
        Self {
            name: ProfileName::new("matchbox").expect("`matchbox` is a DNS label"),
            kernel: None,
            initrd: Vec::new(),
            args: Vec::new(),
            loader: Loader::Ipxe,
            via: None,
            programs: BTreeMap::new(),
            ignition: None,
            cloud: None,
            generic: None,
            metadata: Metadata::new(),
        }
    }
}

/// A file that a lab uses.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FileRef {
    /// A file of an image: `image:tiny/kernel`.
    Image {
        /// The image.
        image: ImageName,
        /// Name of the file in it.
        file: String,
    },
    /// A file on the host, absolute.
    Path(PathBuf),
    /// A file that the lab makes itself: `lab:ca.pem`.
    Lab(LabFile),
}

/// The certificate of the lab's authority, in one of its forms.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LabFile {
    /// As text.
    CaPem,
    /// As bytes.
    CaDer,
    /// As an initial RAM disk with the text in it.
    CaCpio,
}

impl LabFile {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::CaPem, Self::CaDer, Self::CaCpio];

    /// Returns its name.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::CaPem => "ca.pem",
            Self::CaDer => "ca.der",
            Self::CaCpio => "ca.cpio",
        }
    }
}

impl std::fmt::Display for FileRef {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Image { image, file } => write!(f, "image:{image}/{file}"),
            Self::Path(path) => write!(f, "{}", path.display()),
            Self::Lab(file) => write!(f, "lab:{}", file.as_str()),
        }
    }
}

/// One machine.
#[derive(Debug, Clone)]
pub struct Node {
    /// Its name, also its host name.
    pub name: NodeName,
    /// The firmware that it starts with.
    pub firmware: Firmware,
    /// The chip set.
    pub machine: Chipset,
    /// Number of virtual CPUs.
    pub cpus: u8,
    /// Memory.
    pub memory: Bytes,
    /// Its NICs, in the order of the lab file.
    pub nics: Vec<Nic>,
    /// Its disks, in the order of the lab file.
    pub disks: Vec<Disk>,
    /// What the firmware tries, in order.
    pub boot: Boot,
    /// What it is handed when it netboots.
    pub profile: Option<ProfileName>,
    /// When it is powered on.
    pub start: Start,
    /// Whether firmware waits are cut short.
    pub firmware_delays: FirmwareDelays,
    /// SMBIOS system UUID.
    pub uuid: uuid::Uuid,
    /// SMBIOS system serial number.
    pub serial: String,
    /// SMBIOS chassis asset tag.
    pub asset_tag: String,
    /// How cloud-init is seeded.
    pub seed: Seed,
    /// DHCP options for it; where the network has the same, these count.
    pub options: DhcpOptions,
}

/// One NIC of a node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Nic {
    /// Its name.
    pub name: NicName,
    /// The network it is plugged into.
    pub network: NetworkName,
    /// Its hardware address.
    pub mac: Mac,
    /// What its DHCP clients call themselves (option 61), where they are known by that.
    pub client_id: Option<Octets>,
    /// Its reserved address; `None` takes one from the pool.
    pub address: Option<Ipv4Addr>,
    /// Its reserved IPv6 address, where the network has IPv6.
    pub ipv6: Option<Ipv6Addr>,
    /// What the guest sees.
    pub model: NicModel,
    /// Whether QEMU's iPXE ROM sits on it; without, UEFI boots by its own PXE.
    pub rom: bool,
    /// Whether the cable is plugged in at power-on.
    pub link_up: bool,
}

/// One disk of a node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Disk {
    /// Its name.
    pub name: DiskName,
    /// Its size.
    pub size: Bytes,
    /// How it is attached.
    pub bus: Bus,
    /// Its serial number (at most 20 bytes, the limit of virtio-blk and ATA).
    pub serial: String,
    /// What is on it at first; blank if `None`.
    pub source: Option<FileRef>,
}

/// What the firmware tries.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Boot {
    /// These, given to the firmware at every start.
    Order(Vec<BootDevice>),
    /// What a UEFI node's own variables say.
    Nvram,
}

/// One thing a firmware can boot from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BootDevice {
    /// Every disk, in order.
    Disk,
    /// Every NIC, in order.
    Network,
    /// One disk.
    OneDisk(DiskName),
    /// One NIC.
    OneNic(NicName),
}

/// When a node is powered on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Start {
    /// Once an expectation is met.
    After(ExpectName),
    /// With the lab.
    WithLab,
    /// By `dryrack power on`.
    Manual,
}

/// How cloud-init on a node is seeded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Seed {
    /// Not at all.
    None,
    /// By a volume labelled CIDATA, and by HTTP at `/nocloud/NODE/`.
    NoCloud {
        /// A user-data file instead of the one that hands over the run's ssh key.
        user_data: Option<PathBuf>,
        /// Users that get the run's ssh key.
        users: Vec<String>,
        /// Whether there is a volume with it, or only what HTTP answers.
        volume: bool,
    },
}

/// A port of the host's loopback that leads to a node, or to the boot services of a network.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Publish {
    /// Port on 127.0.0.1.
    pub port: u16,
    /// The node; `None` if it leads to the boot services of a network.
    pub node: Option<NodeName>,
    /// The address.
    pub address: Ipv4Addr,
    /// The TCP port there.
    pub to: u16,
}

/// A command that runs in the lab's place while it is up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Process {
    /// Its name.
    pub name: ProcessName,
    /// The command, run by `sh -c` in the lab's folder.
    pub run: String,
    /// The network that its environment tells of.
    pub network: Option<NetworkName>,
    /// The expectation after which it is started; with the lab if `None`.
    pub after: Option<ExpectName>,
}

/// What must, or must never, happen.
#[derive(Debug, Clone)]
pub struct Expectation {
    /// Its name.
    pub name: ExpectName,
    /// The nodes it holds for; each must meet it. Empty for a check of the lab as a whole (`command`).
    pub nodes: Vec<NodeName>,
    /// The expectation after which its time begins; the lab's start if `None`.
    pub after: Option<ExpectName>,
    /// The time it has. For `never`: how long it is watched (`None`: to the end of the run).
    pub within: Option<Duration>,
    /// How long it must stay true.
    pub holds: Duration,
    /// Whether it must or must never happen.
    pub sense: Polarity,
    /// What is checked.
    pub check: Check,
}

/// Whether a check must or must never succeed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Polarity {
    /// `that`.
    Must,
    /// `never`.
    Never,
}

/// What an expectation checks.
#[derive(Debug, Clone)]
pub enum Check {
    /// A line of the serial console matches.
    Console(Regex),
    /// The node came at least this far.
    Stage(Stage),
    /// A TCP port accepts.
    Tcp {
        /// The port.
        port: u16,
    },
    /// An HTTP GET answers.
    Http {
        /// The port.
        port: u16,
        /// Path and query.
        path: String,
        /// The status expected.
        status: u16,
        /// The body matches.
        body: Option<Regex>,
        /// Headers that must match, by lower-case name.
        headers: BTreeMap<String, Regex>,
    },
    /// A name resolves. With a node: at the lab's DNS server, from the place.
    Dns {
        /// The name; the node's own where left out.
        name: Option<String>,
        /// The addresses expected (as a set); any where left out.
        answer: Option<Vec<IpAddr>>,
    },
    /// A command run over ssh.
    Ssh {
        /// The user.
        user: String,
        /// The port.
        port: u16,
        /// The private key; the run's own key where left out.
        key: Option<Secret>,
        /// The command; only the login where left out.
        run: Option<String>,
        /// The exit code expected.
        exit: i32,
        /// Standard output matches.
        output: Option<Regex>,
    },
    /// The nodes form one healthy etcd cluster with one leader.
    Etcd {
        /// Client port.
        port: u16,
        /// Number of members; the number of nodes where left out.
        members: usize,
    },
    /// The boots of the node.
    Boots(Boots),
    /// What the node fetched.
    Fetched(Fetched),
    /// A disk that the node's firmware can start a system from.
    Installed(Installed),
    /// A process of the lab has ended.
    Process {
        /// The process.
        process: ProcessName,
        /// The exit code expected.
        exit: i32,
    },
    /// A command run in the lab's place by `sh -c`.
    Command {
        /// The command.
        run: String,
        /// The exit code expected.
        exit: i32,
        /// Standard output matches.
        output: Option<Regex>,
    },
}

/// The boots of a node in which a kernel came up.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Boots {
    /// All of them, in order; any where left out.
    pub order: Option<Vec<BootedFrom>>,
    /// How many; any where left out.
    pub times: Option<u32>,
    /// How many from the network; any where left out.
    pub network: Option<u32>,
    /// How many from disk; any where left out.
    pub disk: Option<u32>,
}

/// What a node fetched from the lab's services.
#[derive(Debug, Clone)]
pub struct Fetched {
    /// Path and query match.
    pub path: Regex,
    /// How often.
    pub often: Count,
    /// The method of HTTP; GET, or TFTP, where left out.
    pub method: Option<String>,
    /// The status of HTTP; success where left out.
    pub status: Option<u16>,
}

/// How often something happens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Count {
    /// That often, and no more.
    Exactly(u32),
    /// That often, or more.
    AtLeast(u32),
}

/// A disk that a node can boot from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Installed {
    /// The disk of each node.
    pub disks: BTreeMap<NodeName, DiskName>,
    /// The kind of its partition table; either where left out.
    pub table: Option<TableKind>,
    /// How many partitions it has; at least one where left out.
    pub partitions: Option<u32>,
}
