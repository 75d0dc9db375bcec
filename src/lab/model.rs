//! The types of a checked lab: everything is decided except what depends on the host.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use ipnet::{Ipv4Net, Ipv6Net};
use serde::{Deserialize, Serialize};

use crate::bmc::personality::Personality;
pub use crate::config::{
    ARCHITECTURES, AccelChoice, Access, Architecture, BootTarget, Bus, Chipset, Firmware, FirmwareDelays,
    Identity, Isolation, Loader, NicModel, PowerAction, RelayAgent, Restart, TableKind, TftpBackend, Tpm,
    UnknownClients, Via,
};
use crate::event::{BootedFrom, Stage};
use crate::lab::options::Octets;
use crate::lab::{
    ContainerImage, DiskFile, Fault, JsonValues, KubeconfigSource, KubernetesCheck, Login, OnNode, Origins,
    Pattern, Secret,
};
use crate::matchbox::ignition::Version;
use crate::name::{
    ActionName, Bytes, DiskName, ExpectName, FaultName, GroupName, IfName, ImageName, LabName, Mac,
    NetworkName, NicName, NodeName, ProcessName, ProfileName, Trigger,
};

/// A lab: one lab file with its overlays, checked as a whole.
#[derive(Debug, Clone)]
pub struct Lab {
    /// Its name.
    pub name: LabName,
    /// The canonical path of its file: with the user, the lab's identity.
    pub file: PathBuf,
    /// The folder that relative paths are relative to.
    pub folder: PathBuf,
    /// Its network isolation.
    pub isolation: Isolation,
    /// The accelerator of its machines.
    pub accel: AccelChoice,
    /// How many nodes may boot in parallel; all if `None`.
    pub parallel_boots: Option<usize>,
    /// What is kept of the frames on its networks; `None` if no frames are read.
    pub capture: Option<Capture>,
    /// Offset of the NTP time from the host's clock, in milliseconds.
    pub clock: i64,
    /// Its networks.
    pub networks: BTreeMap<NetworkName, Network>,
    /// What nodes netboot.
    pub profiles: BTreeMap<ProfileName, Profile>,
    /// Matchbox groups: which machines get which profile.
    pub groups: BTreeMap<GroupName, Group>,
    /// Its machines.
    pub nodes: BTreeMap<NodeName, Node>,
    /// Its machines without a VM. None of them has the name of a node.
    pub hosts: BTreeMap<NodeName, Host>,
    /// Commands that run in its network namespace or on hosts while it is up.
    pub processes: BTreeMap<ProcessName, Process>,
    /// Ports on the host's loopback address that are forwarded to a node.
    pub publish: Vec<Publish>,
    /// Expectations.
    pub expectations: BTreeMap<ExpectName, Expectation>,
    /// What is done to nodes while it is up.
    pub actions: BTreeMap<ActionName, Action>,
    /// What goes wrong on purpose.
    pub faults: BTreeMap<FaultName, Fault>,
    /// Where its values were written.
    pub origins: Origins,
}

/// The file with the frames of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Capture {
    /// Its largest size.
    pub size: Bytes,
    /// Whether the contents of files that are transferred are kept, too.
    pub payload: bool,
}

/// One Ethernet segment.
#[derive(Debug, Clone)]
pub struct Network {
    /// Its name.
    pub name: NetworkName,
    /// The bridge's address with its prefix length; the boot services listen on it. `None`: nobody of ours is on the
    /// network.
    pub address: Option<Ipv4Net>,
    /// Its subnet.
    pub subnet: Ipv4Net,
    /// The host from which probes reach nodes, where there is no address.
    pub probe_from: Option<NodeName>,
    /// The name of the bridge; derived if `None`.
    pub bridge: Option<IfName>,
    /// The bridge's IPv6 address, with the prefix length; `None` if the network has no IPv6 beyond the link.
    pub ipv6: Option<Ipv6Net>,
    /// The bridge's MAC address.
    pub mac: Mac,
    /// An interface of the host that is attached to the bridge.
    pub interface: Option<IfName>,
    /// Largest frame payload in bytes.
    pub mtu: u16,
    /// Whether nodes reach the internet through it.
    pub nat: bool,
    /// How DHCP works on it.
    pub dhcp: Dhcp,
    /// Its TFTP server.
    pub tftp: TftpBackend,
    /// Further DHCP options for its clients.
    pub options: DhcpOptions,
    /// A folder served by TFTP and HTTP.
    pub root: Option<PathBuf>,
    /// Single files served by TFTP and HTTP, by path.
    pub files: BTreeMap<String, FileRef>,
    /// Whether HTTP lists its contents.
    pub listing: bool,
    /// The port of HTTP; `None` if it is off.
    pub http: Option<u16>,
    /// Whether NTP is served.
    pub ntp: bool,
    /// Whether syslog messages are received.
    pub syslog: bool,
    /// Whether router advertisements are sent.
    pub ra: bool,
    /// Whether HTTPS is served in addition to HTTP.
    pub https: bool,
    /// Matchbox on it.
    pub matchbox: Option<Matchbox>,
    /// Its DNS.
    pub dns: Dns,
}

impl Network {
    /// Returns the port on which HTTP serves the lab's files: its own, else that of matchbox, which serves them too.
    pub fn files_port(&self) -> Option<u16> {
        self.http.or_else(|| self.matchbox.as_ref().map(|matchbox| matchbox.port))
    }

    /// Returns the address of its DNS server, if that has the port at which a client looks for it.
    pub fn name_server(&self) -> Option<Ipv4Addr> {
        self.server().filter(|_| self.dns.port == Some(Dns::PORT))
    }

    /// Returns the address of its services.
    pub fn server(&self) -> Option<Ipv4Addr> {
        self.address.map(|net| net.addr())
    }

    /// Returns the settings of the lab's DHCP server for it, which may be on another network, behind a relay.
    pub fn leases(&self) -> Option<&DhcpServer> {
        match &self.dhcp {
            Dhcp::Server(server) => Some(server),
            Dhcp::Relay(relay) => relay.server.as_ref(),
            Dhcp::Proxy | Dhcp::Off => None,
        }
    }

    pub(super) fn leases_mut(&mut self) -> Option<&mut DhcpServer> {
        match &mut self.dhcp {
            Dhcp::Server(server) => Some(server),
            Dhcp::Relay(relay) => relay.server.as_mut(),
            Dhcp::Proxy | Dhcp::Off => None,
        }
    }

    /// Tells whether probes, `ssh` and published ports reach its nodes.
    pub fn is_reachable(&self) -> bool {
        self.address.is_some() || self.probe_from.is_some()
    }
}

/// Matchbox on a network.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Matchbox {
    /// The data directory.
    pub data: Option<PathBuf>,
    /// The folder served at `/assets/`.
    pub assets: Option<PathBuf>,
    /// TCP port of its HTTP server.
    pub port: u16,
    /// The OpenPGP key ring that signs.
    pub key_ring: Option<PathBuf>,
    /// The passphrase of the key ring.
    pub passphrase: Option<Secret>,
    /// The newest Ignition config version that is served.
    pub newest: Version,
    /// Its gRPC API.
    pub rpc: Option<Rpc>,
}

/// The gRPC API of matchbox.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Rpc {
    /// The TCP port.
    pub port: u16,
    /// The folder with `ca.crt`, `server.crt` and `server.key`.
    pub tls: PathBuf,
}

/// Matchbox groups: which machines get which profile.
#[derive(Debug, Clone, PartialEq)]
pub struct Group {
    /// Its name.
    pub name: GroupName,
    /// The network it applies to; every one with matchbox if `None`.
    pub network: Option<NetworkName>,
    /// The profile: of the lab, or of a data directory.
    pub profile: String,
    /// Labels that a machine's request must have.
    pub selector: BTreeMap<String, String>,
    /// Variables for the templates.
    pub metadata: Metadata,
}

/// Variables for templates, by name.
pub type Metadata = serde_json::Map<String, serde_json::Value>;

/// How DHCP works on a network.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Dhcp {
    /// Addresses and boot files.
    Server(DhcpServer),
    /// Only boot files, beside another server that assigns addresses (ProxyDHCP).
    Proxy,
    /// No DHCP server.
    Off,
    /// A relay to the server of another network.
    Relay(DhcpRelay),
}

/// How DHCP of a network is relayed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DhcpRelay {
    /// Where requests go.
    pub to: RelayTo,
    /// Whether the lab has the agent.
    pub agent: RelayAgent,
    /// What the lab's own server answers; `None` if another server answers.
    pub server: Option<DhcpServer>,
}

/// Where a relay sends requests.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RelayTo {
    /// To the server of a network of the lab.
    Network(NetworkName),
    /// To the server at this address.
    Server(Ipv4Addr),
}

/// The built-in DHCP server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DhcpServer {
    /// First and last address for clients without a reservation.
    pub pool: Option<(Ipv4Addr, Ipv4Addr)>,
    /// Lease time.
    pub lease_time: Duration,
    /// Whether this is the only server: it refuses (NAK) addresses that it did not assign.
    pub authoritative: bool,
    /// How unknown clients, which are not nodes of the lab, are treated.
    pub unknown_clients: UnknownClients,
    /// What tells clients with the same MAC address apart. `None`: nothing for nodes and reservations, the client
    /// identifier for others.
    pub identity: Option<Identity>,
    /// User classes that are treated as iPXE.
    pub ipxe_classes: Vec<String>,
    /// Reserved addresses of clients that are not nodes of the lab.
    pub reservations: BTreeMap<Mac, Ipv4Addr>,
}

/// DHCP options by their codes.
pub type DhcpOptions = BTreeMap<u8, Octets>;

/// The DNS zone of a network.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Dns {
    /// The port of its server; `None` if it is off.
    pub port: Option<u16>,
    /// The domain of its nodes, without a trailing dot.
    pub domain: String,
    /// Address records by absolute name, without a trailing dot; the first label may be `*`.
    pub records: BTreeMap<String, Vec<IpAddr>>,
    /// Aliases (CNAME records): absolute names without a trailing dot.
    pub aliases: BTreeMap<String, String>,
    /// SRV records by absolute name.
    pub services: BTreeMap<String, Vec<Service>>,
    /// TXT records by absolute name.
    pub texts: BTreeMap<String, Vec<String>>,
    /// Forwarders for other names.
    pub upstream: Upstream,
}

impl Dns {
    /// The usual port of a DNS server.
    pub const PORT: u16 = 53;
}

/// The location of a service (RFC 2782).
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Service {
    /// Lower values are tried first.
    pub priority: u16,
    /// Its share among the services of the same priority.
    pub weight: u16,
    /// Its port.
    pub port: u16,
    /// The host, an absolute name without a trailing dot; empty if the service is declared not available.
    pub target: String,
}

/// Forwarders for names that the lab does not have.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Upstream {
    /// None: such names do not exist.
    #[default]
    None,
    /// The host's own resolver.
    Host,
    /// These servers.
    Servers(Vec<SocketAddr>),
}

/// What a netbooting node boots.
#[derive(Debug, Clone, PartialEq)]
pub struct Profile {
    /// Its name.
    pub name: ProfileName,
    /// The kernel. Without one the loader asks matchbox.
    pub kernel: Option<FileRef>,
    /// Initial RAM disks, in order.
    pub initrd: Vec<FileRef>,
    /// Kernel arguments. iPXE and GRUB expand `${…}` in them.
    pub args: Vec<String>,
    /// The program that fetches and starts the kernel.
    pub loader: Loader,
    /// How the firmware fetches the loader; the firmware's choice if `None`.
    pub via: Option<Via>,
    /// Boot programs to use instead of the loader's, by architecture (option 93, RFC 4578).
    pub programs: BTreeMap<u16, FileRef>,
    /// What matchbox serves at /ignition.
    pub ignition: Option<PathBuf>,
    /// The template that it serves at /cloud.
    pub cloud: Option<PathBuf>,
    /// The template that it serves at /generic.
    pub generic: Option<PathBuf>,
    /// Variables for these templates.
    pub metadata: Metadata,
}

impl Profile {
    /// Returns the profile of a node without one on a network with matchbox: iPXE, which fetches matchbox's script.
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
    /// A file that the lab generates: `lab:ca.pem`.
    Lab(LabFile),
    /// A file that is downloaded into the cache.
    Url {
        /// Its URL.
        url: String,
        /// Its digest.
        sha256: String,
    },
}

/// The lab's CA certificate, in one of its formats.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LabFile {
    /// PEM.
    CaPem,
    /// DER.
    CaDer,
    /// An initial RAM disk that contains the PEM file.
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
            Self::Url { url, sha256: _ } => f.write_str(url),
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
    /// Its CD drives, in the order of the lab file.
    pub cds: Vec<CdDrive>,
    /// The boot order.
    pub boot: Boot,
    /// The profile that it netboots.
    pub profile: Option<ProfileName>,
    /// When it is powered on.
    pub start: Start,
    /// Whether firmware delays are skipped.
    pub firmware_delays: FirmwareDelays,
    /// SMBIOS system UUID.
    pub uuid: uuid::Uuid,
    /// SMBIOS system serial number.
    pub serial: String,
    /// SMBIOS chassis asset tag.
    pub asset_tag: String,
    /// Folders of the host that it mounts, in the order of the lab file.
    pub shares: Vec<Share>,
    /// The version of its TPM.
    pub tpm: Option<Tpm>,
    /// Further arguments of QEMU.
    pub qemu: QemuExtras,
    /// How cloud-init is seeded.
    pub seed: Seed,
    /// DHCP options for it; they override those of the network.
    pub options: DhcpOptions,
    /// Its BMC.
    pub bmc: Option<Bmc>,
}

/// The BMC of a node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bmc {
    /// The network that it is connected to.
    pub network: NetworkName,
    /// Its address.
    pub address: Ipv4Addr,
    /// Its hardware address.
    pub mac: Mac,
    /// Whose BMC it is like.
    pub personality: Personality,
    /// Name of its administrator.
    pub user: String,
    /// The password of its administrator; one is made for the run if `None`.
    pub password: Option<Secret>,
    /// Whether it answers IPMI over LAN.
    pub ipmi: bool,
    /// How it answers Redfish; not at all if `None`.
    pub redfish: Option<Redfish>,
}

/// How a BMC answers Redfish.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Redfish {
    /// By HTTPS; HTTP is redirected there.
    Https,
    /// By HTTPS and HTTP.
    HttpsAndHttp,
}

/// What the lab file has no word for: further arguments of QEMU for a node.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct QemuExtras {
    /// Arguments after those of the plan.
    pub args: Vec<String>,
    /// The CPU, as QEMU names it.
    pub cpu: Option<String>,
}

/// One NIC of a node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Nic {
    /// Its name.
    pub name: NicName,
    /// The network it is connected to.
    pub network: NetworkName,
    /// Its hardware address.
    pub mac: Mac,
    /// DHCP client identifier (option 61), if its clients are known by that.
    pub client_id: Option<Octets>,
    /// Its reserved address; `None` takes one from the pool.
    pub address: Option<Ipv4Addr>,
    /// Its reserved IPv6 address, where the network has IPv6.
    pub ipv6: Option<Ipv6Addr>,
    /// NIC model.
    pub model: NicModel,
    /// Whether it has QEMU's iPXE ROM; without it, UEFI uses its own PXE.
    pub rom: bool,
    /// Link state at power-on.
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
    /// Initial contents; blank if `None`.
    pub source: Option<FileRef>,
    /// Whether it survives the lab.
    pub keep: bool,
}

/// A folder of the host that a node mounts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Share {
    /// Its name, which is its mount tag.
    pub name: DiskName,
    /// The folder.
    pub path: PathBuf,
    /// What becomes of changes.
    pub access: Access,
}

/// One CD drive of a node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CdDrive {
    /// Its name.
    pub name: DiskName,
    /// The image in it; empty if `None`.
    pub medium: Option<FileRef>,
}

/// Boot order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Boot {
    /// These entries, given to a BIOS at every start, to UEFI at the first one.
    Order(Vec<BootDevice>),
    /// None is given: UEFI begins with its own.
    Nvram,
}

/// One entry of a boot order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BootDevice {
    /// Every disk but USB sticks, in order.
    Disk,
    /// Every CD drive, in order.
    Cd,
    /// Every USB stick, in order.
    Usb,
    /// Every NIC, in order.
    Network,
    /// One disk.
    OneDisk(DiskName),
    /// One CD drive.
    OneCd(DiskName),
    /// One NIC.
    OneNic(NicName),
}

/// When a node is powered on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Start {
    /// After an expectation, an action or a process.
    After(Trigger),
    /// With the lab.
    WithLab,
    /// By `dryrack power on`.
    Manual,
}

/// How cloud-init on a node is seeded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Seed {
    /// No seed.
    None,
    /// By a volume labelled CIDATA, and by HTTP at `/nocloud/NODE/`.
    NoCloud {
        /// A user-data file, instead of the one that authorizes the run's ssh key.
        user_data: Option<PathBuf>,
        /// A network-config file.
        network_config: Option<PathBuf>,
        /// Users that accept the run's ssh key.
        users: Vec<String>,
        /// Whether there is a seed volume, or the seed is only served by HTTP.
        volume: bool,
    },
}

/// A port on the host's loopback address that is forwarded to a node or to the boot services of a network.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Publish {
    /// Port on 127.0.0.1.
    pub port: u16,
    /// The node; `None` for the boot services of a network.
    pub node: Option<NodeName>,
    /// The address.
    pub address: Ipv4Addr,
    /// The TCP port there.
    pub to: u16,
}

impl Process {
    /// Tells whether it could be a server of a network: it runs where the bridges are, or on a host that is on it.
    pub fn may_answer_on(&self, network: &Network, hosts: &BTreeMap<NodeName, Host>) -> bool {
        match &self.host {
            None => self.network.as_ref().is_none_or(|name| *name == network.name),
            Some(host) => {
                hosts.get(host).is_some_and(|host| host.nics.iter().any(|nic| nic.network == network.name))
            }
        }
    }
}

/// A machine without a VM: namespaces that are plugged into networks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Host {
    /// Its name, also its host name.
    pub name: NodeName,
    /// Its NICs, in the order of the lab file.
    pub nics: Vec<HostNic>,
    /// Whether it forwards IPv4 packets between its NICs.
    pub router: bool,
    /// When it is powered on.
    pub start: Start,
}

/// One NIC of a host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostNic {
    /// Its name.
    pub name: NicName,
    /// The network it is connected to.
    pub network: NetworkName,
    /// Its hardware address.
    pub mac: Mac,
    /// Its address; `None` if a DHCP server assigns it.
    pub address: Option<Ipv4Net>,
    /// The name of its interface on the host.
    pub interface: IfName,
}

/// A command that runs in the lab's network namespace or on a host while the lab is up.
#[derive(Debug, Clone, PartialEq)]
pub struct Process {
    /// Its name.
    pub name: ProcessName,
    /// The host; `None` for the lab's network namespace.
    pub host: Option<NodeName>,
    /// The container image whose files it sees; `None` for those of its host, or of the user's machine.
    pub image: Option<ContainerImage>,
    /// The command, run by `sh -c` in the lab's folder, on a host in `/`; `None` for what the image starts.
    pub run: Option<String>,
    /// The network that its environment describes.
    pub network: Option<NetworkName>,
    /// What it is started after; with the lab if `None`.
    pub after: Option<Trigger>,
    /// Files and folders of the host that it is given, by the path at which it sees them.
    pub files: BTreeMap<PathBuf, ProcessFile>,
    /// What shows that it is ready.
    pub ready: Option<Ready>,
    /// When it is started again after its end.
    pub restart: Restart,
}

impl Process {
    /// Returns whether its files are those of its host, so that all processes there see them.
    pub fn is_given_by_host(&self) -> bool {
        self.host.is_some() && self.image.is_none()
    }
}

/// A file or folder of the host that a process is given.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProcessFile {
    /// The file, or an absolute path of a file or folder.
    pub source: FileRef,
    /// What becomes of changes.
    pub access: Access,
}

/// What shows that a process is ready.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Ready {
    /// A socket of its network namespace is bound to a UDP port.
    Udp(u16),
    /// A socket of its network namespace listens on a TCP port.
    Tcp(u16),
    /// An HTTP request from its own machine gets the expected response.
    Http(Box<HttpCheck>),
    /// It prints a line that matches.
    Log(Pattern),
    /// There is a file or folder at this path, as it sees it.
    File(PathBuf),
}

impl std::fmt::Display for Ready {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Udp(port) => write!(f, "UDP port {port} is bound"),
            Self::Tcp(port) => write!(f, "TCP port {port} accepts connections"),
            Self::Http(http) => {
                write!(f, "{} {} on port {} answers {}", http.method, http.path, http.port, http.status)
            }
            Self::Log(pattern) => write!(f, "it printed /{pattern}/"),
            Self::File(path) => write!(f, "{} exists", path.display()),
        }
    }
}

/// Expectations.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Expectation {
    /// Its name.
    pub name: ExpectName,
    /// The nodes that it applies to; each must meet it. Empty for a check of the lab as a whole (`command`).
    pub nodes: Vec<NodeName>,
    /// What its timeout starts after; the lab's start if `None`.
    pub after: Option<Trigger>,
    /// Timeout. For `never`: how long it is watched (`None`: to the end of the run).
    pub within: Option<Duration>,
    /// How long the check must keep succeeding.
    pub holds: Duration,
    /// How long a node may make no progress; as long as `within` lasts if left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub progress: Option<Duration>,
    /// How many of its nodes must meet it at once; each of them, on its own, if left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quorum: Option<usize>,
    /// Whether the check must or must never succeed.
    pub sense: Polarity,
    /// What is checked.
    pub check: Check,
}

/// Something that is done once, while the lab is up.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Action {
    /// Its name.
    pub name: ActionName,
    /// What it comes after; the lab's start if `None`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<Trigger>,
    /// How long after that.
    #[serde(default, skip_serializing_if = "Duration::is_zero")]
    pub delay: Duration,
    /// To which nodes it is done.
    pub nodes: Chosen,
    /// What is done.
    #[serde(rename = "do")]
    pub deed: Deed,
}

/// The nodes to which an action is done.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Chosen {
    /// These; none for a command in the lab's network namespace.
    Nodes(Vec<NodeName>),
    /// The node that an expectation about a cluster last saw as its leader.
    Leader(ExpectName),
    /// The first ones that are on, in the order of their names.
    Any(usize),
}

/// What an action does.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Deed {
    /// Changes the power state of the nodes.
    Power(PowerAction),
    /// Sets the link of a NIC of each node.
    Link {
        /// The NIC of each node.
        nics: BTreeMap<NodeName, NicName>,
        /// Whether the link is up.
        up: bool,
    },
    /// Inserts a medium, or ejects it.
    Media {
        /// The drive; the only one if left out.
        drive: Option<DiskName>,
        /// The image that is inserted; `None` for that of the lab file.
        file: Option<PathBuf>,
        /// Whether the medium is ejected instead.
        eject: bool,
    },
    /// Sets what the nodes boot from at their next start.
    BootNext(BootTarget),
    /// Boots the nodes from the network once: sets that, and cycles their power.
    Reinstall {
        /// Whether their disks are made anew first.
        wipe: bool,
    },
    /// Runs a command in the lab's network namespace, or on a host.
    Command {
        /// The command.
        run: String,
        /// The host.
        host: Option<NodeName>,
    },
    /// Runs a command on each node over ssh.
    Ssh {
        /// How to log in.
        #[serde(flatten)]
        login: Login,
        /// The command.
        run: String,
    },
}

/// Whether a check must or must never succeed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Polarity {
    /// `that`.
    Must,
    /// `never`.
    Never,
}

/// What an expectation checks.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Check {
    /// Something that follows from events.
    Observed(ObservedCheck),
    /// Something that has to be tried.
    Probed(ProbedCheck),
}

impl From<ObservedCheck> for Check {
    fn from(check: ObservedCheck) -> Self {
        Self::Observed(check)
    }
}

impl From<ProbedCheck> for Check {
    fn from(check: ProbedCheck) -> Self {
        Self::Probed(check)
    }
}

/// A check that follows from events.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ObservedCheck {
    /// A line of the serial console matches.
    Console(Pattern),
    /// The node has reached at least this stage.
    Stage(Stage),
    /// The boots of the node.
    Boots(Boots),
    /// What the node fetched.
    Fetched(Fetched),
    /// The lease that the node got.
    Leased(Leased),
    /// What the diagnosis says of the node.
    Finding(String),
    /// A process of the lab has exited.
    Process {
        /// The process.
        process: ProcessName,
        /// The exit code expected.
        exit: i32,
    },
}

/// A check that has to be tried: a connection, a request, a login, a command, a look at a disk.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ProbedCheck {
    /// A TCP port accepts connections.
    Tcp {
        /// The port.
        port: u16,
    },
    /// An HTTP request gets the expected response.
    Http(Box<HttpCheck>),
    /// A TLS server shows the expected certificate.
    Certificate(Box<CertificateCheck>),
    /// A name resolves. With a node: at the lab's DNS server, from the lab's network namespace.
    Dns {
        /// The name; the node's own if left out.
        name: Option<String>,
        /// The expected addresses, in any order; any if left out.
        answer: Option<Vec<IpAddr>>,
        /// The server to ask; the lab's own on the node's network if left out.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        server: Option<SocketAddr>,
    },
    /// A command run over ssh.
    Ssh {
        /// How to log in.
        #[serde(flatten)]
        login: Login,
        /// The command; only the login is checked if left out.
        run: Option<String>,
        /// The exit code expected.
        exit: i32,
        /// Standard output matches.
        output: Option<Pattern>,
        /// Values of standard output, which is JSON.
        #[serde(default, skip_serializing_if = "JsonValues::is_empty")]
        json: JsonValues,
    },
    /// The nodes form one healthy etcd cluster with one leader.
    Etcd {
        /// Client port.
        port: u16,
        /// Number of members; the number of nodes if left out.
        members: usize,
        /// Number of members that must be healthy; all if left out.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        healthy: Option<usize>,
    },
    /// A Kubernetes cluster is ready.
    Kubernetes(Box<KubernetesCheck>),
    /// A disk that the node's firmware can boot from.
    Installed(Installed),
    /// A file on a disk, as seen from outside the node.
    DiskFile(Box<DiskFile>),
    /// A command run by `sh -c` in the lab's network namespace, or on a host.
    Command {
        /// The command.
        run: String,
        /// The host.
        host: Option<NodeName>,
        /// The exit code expected.
        exit: i32,
        /// Standard output matches.
        output: Option<Pattern>,
        /// Values of standard output, which is JSON.
        #[serde(default, skip_serializing_if = "JsonValues::is_empty")]
        json: JsonValues,
    },
    /// A look at the running system of a node, over ssh.
    OnNode(Box<OnNode>),
}

impl ProbedCheck {
    /// Returns how the check logs in to nodes, if it does.
    pub fn login(&self) -> Option<&Login> {
        match self {
            Self::Ssh { login, .. } => Some(login),
            Self::OnNode(check) => Some(&check.login),
            Self::Kubernetes(check) => match &check.kubeconfig {
                Some(KubeconfigSource::Ssh { login, .. }) => Some(login),
                Some(
                    KubeconfigSource::File(_)
                    | KubeconfigSource::OnHost { .. }
                    | KubeconfigSource::Command(_),
                )
                | None => None,
            },
            Self::Tcp { .. }
            | Self::Http(_)
            | Self::Certificate(_)
            | Self::Dns { .. }
            | Self::Etcd { .. }
            | Self::Installed(_)
            | Self::DiskFile(_)
            | Self::Command { .. } => None,
        }
    }
}

/// An HTTP request and the expected response.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct HttpCheck {
    /// The port.
    pub port: u16,
    /// Path and query.
    pub path: String,
    /// TLS; plain HTTP if left out.
    pub tls: Option<TlsCheck>,
    /// The method.
    pub method: String,
    /// Headers of the request.
    pub request_headers: BTreeMap<String, String>,
    /// Body of the request.
    pub request_body: Option<String>,
    /// Timeout of one attempt.
    pub timeout: Duration,
    /// The status expected.
    pub status: u16,
    /// The body matches.
    pub body: Option<Pattern>,
    /// Headers that must match, by lower-case name.
    pub headers: BTreeMap<String, Pattern>,
    /// Values of the JSON body.
    pub json: JsonValues,
}

/// How the certificate of a server is checked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TlsCheck {
    /// A PEM file of certificate authorities; any certificate is accepted if left out.
    pub ca: Option<PathBuf>,
}

/// What the certificate of a server must be.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct CertificateCheck {
    /// The port.
    pub port: u16,
    /// A PEM file of certificate authorities; anybody may have signed it if left out.
    pub ca: Option<PathBuf>,
    /// The names and addresses that it is for.
    pub names: Vec<String>,
    /// How long it is still valid.
    pub valid_for: Duration,
    /// Its issuer matches.
    pub issuer: Option<Pattern>,
}

/// The boots of a node that reached a kernel.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Boots {
    /// All of them, in order; any if left out.
    pub order: Option<Vec<BootedFrom>>,
    /// How many; any where left out.
    pub times: Option<u32>,
    /// How many from the network; any where left out.
    pub network: Option<u32>,
    /// How many from disk; any where left out.
    pub disk: Option<u32>,
}

/// What a node fetched from the lab's services.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Fetched {
    /// Path and query match.
    pub path: Pattern,
    /// How often.
    pub often: Count,
    /// The method of HTTP; GET, or TFTP, where left out.
    pub method: Option<String>,
    /// The status of HTTP; success where left out.
    pub status: Option<u16>,
    /// The server; any where left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub server: Option<WantedServer>,
}

/// A lease that a node got.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Leased {
    /// The DHCP server.
    pub server: WantedServer,
    /// The address; any where left out.
    pub address: Option<IpAddr>,
}

/// The server from which an answer is expected.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct WantedServer {
    /// Its address.
    pub address: IpAddr,
    /// Whether it is the address of a bridge, at which services of the lab may answer.
    pub is_ours: bool,
}

impl WantedServer {
    /// Tells whether it is the server of an event, which names only servers of others.
    pub fn is(&self, server: Option<IpAddr>) -> bool {
        server.map_or(self.is_ours, |server| server == self.address)
    }
}

/// How often something happens.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Count {
    /// Exactly this many times.
    Exactly(u32),
    /// At least this many times.
    AtLeast(u32),
}

/// A disk that a node can boot from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Installed {
    /// The disk of each node.
    pub disks: BTreeMap<NodeName, DiskName>,
    /// The kind of its partition table; either if left out.
    pub table: Option<TableKind>,
    /// Number of partitions; at least one if left out.
    pub partitions: Option<u32>,
}
