//! The types of a plan: every effect that a lab needs on this host, fully decided, in order.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;

use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use serde::{Deserialize, Serialize};

use super::NodePlan;
use crate::event::FileRole;
use crate::lab::options::Octets;
use crate::lab::{
    Action, ContainerImage, DhcpOptions, Dns, Expectation, Fault, FileRef, Identity, Isolation, Origins,
    ProcessFile, Ready, Restart, Rpc, Secret, Service, Start, TftpBackend, UnknownClients, Via,
};
use crate::matchbox::ignition::Version;
use crate::name::{
    ActionName, Bytes, DiskName, ExpectName, FaultName, IfName, ImageName, LabName, Mac, NetworkName,
    NicName, NodeName, ProcessName, Trigger,
};

/// The version of the JSON format of a plan.
pub const SCHEMA: u32 = 1;

/// Every effect of a lab on this host, fully decided, in order, and everything else that a supervisor needs.
///
/// A plan is code: it contains programs and commands, which run with the permissions of the user who executes it.
///
/// Paths that start with `node/` are relative to the run folder; QEMU is started in `node/NAME` and its arguments are
/// relative to that folder (which also keeps socket paths below 108 bytes).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Plan {
    /// The version of its format, [`SCHEMA`].
    pub dryrack_plan: u32,
    /// The version of Dryrack that made it.
    pub version: String,
    /// Name of the lab.
    pub lab: LabName,
    /// The canonical path of the lab file: with the user, the identity of the lab. The file is not read again.
    pub file: PathBuf,
    /// Folders of image recipes, searched in order, before the built-in ones. The caller that knows the folders sets
    /// it.
    pub recipes: Vec<PathBuf>,
    /// Its network isolation.
    pub isolation: Isolation,
    /// The accelerator of its machines.
    pub accel: Accel,
    /// How many nodes may boot in parallel; all if `None`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parallel_boots: Option<usize>,
    /// Its networks.
    pub networks: BTreeMap<NetworkName, NetworkPlan>,
    /// Its nodes.
    pub nodes: BTreeMap<NodeName, NodePlan>,
    /// Its machines without a VM.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub hosts: BTreeMap<NodeName, HostMachinePlan>,
    /// Names of its processes.
    pub processes: BTreeSet<ProcessName>,
    /// What must, or must never, happen.
    pub expectations: BTreeMap<ExpectName, Expectation>,
    /// What is done to nodes while the lab is up.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub actions: BTreeMap<ActionName, Action>,
    /// What goes wrong on purpose.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub faults: BTreeMap<FaultName, Fault>,
    /// The effects, in order.
    pub steps: Vec<Step>,
    /// Where the values of the lab were written.
    pub origins: Origins,
    /// The facts about the host at the time of planning.
    pub host: HostFacts,
}

/// A network, apart from its bridge and services.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NetworkPlan {
    /// Its DNS server; `None` if it is off.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dns: Option<SocketAddr>,
    /// The search domain of names without a dot.
    pub domain: String,
    /// The source of the passphrase of matchbox's key ring.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub passphrase: Option<Secret>,
}

/// The accelerator that executes guest code.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Accel {
    /// Hardware virtualisation.
    Kvm,
    /// Emulation.
    Tcg,
}

impl Accel {
    /// Returns the name that QEMU uses.
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
    /// Builds an image into the cache. Executed before the namespaces are created.
    BuildImage {
        /// The image.
        image: ImageName,
    },
    /// Downloads a file into the cache, unless it is there. Executed before the namespaces are created.
    Download {
        /// Its URL.
        url: String,
        /// Its digest.
        sha256: String,
    },
    /// Creates the lab's namespaces. Executed before the supervisor runs.
    MakeNamespaces {
        /// The uplink, if a network has `nat`.
        uplink: Option<Uplink>,
    },
    /// Listens on a port of the host's loopback address and forwards connections to a node.
    Publish {
        /// The address on the host.
        listen: SocketAddr,
        /// The node; `None` for the boot services of a network.
        node: Option<NodeName>,
        /// The target of connections.
        to: SocketAddr,
    },
    /// Writes `hosts` and `resolv.conf` of the lab (private labs only).
    NameFiles {
        /// Lines of `/etc/hosts`.
        hosts: Vec<(IpAddr, String)>,
        /// Name server.
        nameserver: Option<Ipv4Addr>,
        /// Search domain.
        search: Vec<String>,
    },
    /// Creates a bridge and sets it up.
    Bridge(BridgePlan),
    /// Starts to capture the frames of every network into a file.
    Capture(CapturePlan),
    /// Attaches an interface of the host to a bridge.
    Port(PortPlan),
    /// Enables IPv4 forwarding in the lab's network namespace.
    Forward {
        /// The previous value, which undo restores.
        was: bool,
    },
    /// Loads the lab's nftables table.
    Firewall(FirewallPlan),
    /// Adds one rule to a foreign chain that drops forwarded traffic.
    ForeignAccept(ForeignAccept),
    /// Starts the boot services of a network.
    Serve(Box<ServicePlan>),
    /// Creates a disk of a node.
    Disk(DiskPlan),
    /// Inserts an image into a CD drive of a node, before it is started.
    Medium(MediumPlan),
    /// Copies the template of a UEFI node's variables.
    Variables {
        /// The node.
        node: NodeName,
        /// The template.
        template: PathBuf,
        /// The path of the copy.
        path: PathBuf,
    },
    /// Writes the cloud-init seed of a node.
    Seed(SeedPlan),
    /// Creates a TAP and attaches it to its bridge.
    Tap(TapPlan),
    /// Starts the BMC of a node.
    Bmc {
        /// The node.
        node: NodeName,
        /// Its network.
        network: NetworkName,
        /// Its address.
        address: Ipv4Addr,
        /// Its port on the bridge.
        port: IfName,
    },
    /// Starts the machine of a node, paused.
    Machine {
        /// The node.
        node: NodeName,
    },
    /// Prepares a machine without a VM, which is off.
    Host {
        /// The host.
        host: NodeName,
        /// Its ports on bridges, which exist while it is on.
        ports: Vec<IfName>,
    },
    /// Starts a process.
    Process(ProcessPlan),
    /// Waits until a process is ready.
    Ready {
        /// The process.
        process: ProcessName,
        /// What shows that it is ready, as text.
        by: String,
        /// For how many seconds at most.
        seconds: u64,
    },
    /// Resumes a machine.
    PowerOn {
        /// The node.
        node: NodeName,
        /// What it comes after.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        after: Option<Trigger>,
    },
}

/// The internet access of a private lab: pasta, with addresses chosen by Dryrack.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Uplink {
    /// The interface inside the lab's namespace.
    pub interface: IfName,
    /// Its address.
    pub address: Ipv4Net,
    /// The gateway.
    pub gateway: Ipv4Addr,
    /// An address that forwards to the resolver of the host.
    pub resolver: Ipv4Addr,
}

/// A bridge.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BridgePlan {
    /// Its network.
    pub network: NetworkName,
    /// Its interface name.
    pub interface: IfName,
    /// Its full name, stored as the interface's alias.
    pub alias: String,
    /// Its MAC address.
    pub mac: Mac,
    /// Its MTU.
    pub mtu: u16,
    /// Its IPv4 address. Without one, it has no addresses and answers nobody.
    pub address: Option<Ipv4Net>,
    /// Its IPv6 address, apart from the link-local one.
    pub ipv6: Option<Ipv6Net>,
    /// Its link-local IPv6 address.
    pub link_local: Ipv6Net,
}

/// The capture of the frames of a run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CapturePlan {
    /// The file, relative to the run folder.
    pub path: PathBuf,
    /// Its largest size.
    pub size: Bytes,
    /// Whether the contents of files that are transferred are kept, too.
    pub payload: bool,
    /// The networks.
    pub networks: Vec<CapturedNetwork>,
}

/// A network whose frames are captured.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CapturedNetwork {
    /// The network.
    pub network: NetworkName,
    /// Its bridge.
    pub interface: IfName,
    /// The ports of the bridge: an interface of the host, and the TAPs.
    pub ports: Vec<IfName>,
    /// On a network with an interface of the host: the hardware addresses of the bridge and the lab's NICs. Of other
    /// stations there, only broadcasts and multicasts are captured.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stations: Option<BTreeSet<Mac>>,
}

/// An interface of the host that becomes a port of a bridge.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PortPlan {
    /// The network that it is attached to.
    pub network: NetworkName,
    /// The interface.
    pub interface: IfName,
    /// The bridge.
    pub bridge: IfName,
    /// Whether it was up before, which undo restores.
    pub was_up: bool,
}

/// A TAP on a bridge.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TapPlan {
    /// The node of the NIC.
    pub node: NodeName,
    /// The NIC.
    pub nic: NicName,
    /// Its interface name.
    pub interface: IfName,
    /// Its full name, stored as the interface's alias.
    pub alias: String,
    /// The bridge that it is attached to.
    pub bridge: IfName,
    /// Its MTU.
    pub mtu: u16,
}

/// The lab's nftables table (family `ip`).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FirewallPlan {
    /// Name of the table.
    pub table: String,
    /// Subnets whose outgoing traffic is masqueraded.
    pub masquerade: Vec<Masquerade>,
}

/// One masqueraded subnet.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Masquerade {
    /// The bridge of the subnet.
    pub bridge: IfName,
    /// The subnet.
    pub subnet: Ipv4Net,
}

/// One rule in a foreign chain.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ForeignAccept {
    /// nftables family.
    pub family: String,
    /// Table.
    pub table: String,
    /// Chain.
    pub chain: String,
    /// Its owner, for messages.
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
    /// The bridge's address; `None` if nobody of ours is on the network.
    pub address: Option<Ipv4Net>,
    /// The network's subnet.
    pub subnet: Ipv4Net,
    /// The host from which nodes on it are reached, if nobody of ours is on the network.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub probe_from: Option<NodeName>,
    /// The IPv6 address of the bridge, also used by the services.
    pub ipv6: Option<Ipv6Net>,
    /// The bridge's link-local IPv6 address.
    pub link_local: Ipv6Addr,
    /// The network's MTU.
    pub mtu: u16,
    /// The NICs of its nodes.
    pub hosts: Vec<HostPlan>,
    /// DHCP; `None` when off.
    pub dhcp: Option<DhcpPlan>,
    /// The relay agent for DHCP of the lab.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub relay: Option<RelayPlan>,
    /// Whether a network of the lab has a relay: sockets of other networks then have the DHCP port, too.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub beside_relays: bool,
    /// The networks whose relayed DHCP requests the DHCP server of this one answers, as far as answers need it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub relayed: Vec<ServicePlan>,
    /// How unknown IPv6 clients, which are not nodes of the lab, are treated.
    pub ipv6_unknown_clients: UnknownClients,
    /// Whether router advertisements are sent.
    pub ra: bool,
    /// DHCPv6; `None` without IPv6, or if another server assigns addresses.
    pub dhcp6: Option<Dhcp6Plan>,
    /// The TFTP server.
    pub tftp: TftpBackend,
    /// The port of HTTP; `None` when off.
    pub http: Option<u16>,
    /// Whether NTP is served.
    pub ntp: bool,
    /// Whether syslog messages are received.
    pub syslog: bool,
    /// DNS.
    pub dns: DnsPlan,
    /// Subject names of the HTTPS certificate; `None` without HTTPS.
    pub https: Option<HttpsPlan>,
    /// Matchbox on this network.
    pub matchbox: Option<MatchboxPlan>,
    /// A folder served by TFTP and HTTP; the files and texts of the plan take precedence.
    pub root: Option<RootPlan>,
    /// Offset of the NTP time from the host's clock, in milliseconds.
    pub clock: i64,
    /// Files by path, for TFTP and HTTP alike; paths have no leading slash.
    pub files: BTreeMap<String, ServedFile>,
    /// Texts by path, for HTTP (scripts, cloud-init seeds); paths have no leading slash.
    pub texts: BTreeMap<String, ServedText>,
}

impl ServicePlan {
    /// Returns the port on which HTTP serves the lab's files: its own, else that of matchbox, which serves them too.
    pub fn files_port(&self) -> Option<u16> {
        self.http.or_else(|| self.matchbox.as_ref().map(|matchbox| matchbox.port))
    }

    /// Tells whether clients can be told of the DNS server: it is on, at the port at which they look for it.
    pub fn is_name_server(&self) -> bool {
        self.dns.port == Some(Dns::PORT)
    }

    /// Returns the address of the services.
    pub fn server(&self) -> Option<Ipv4Addr> {
        self.address.map(|net| net.addr())
    }

    /// Returns the names of the services that run, in words, and of those that are switched off.
    pub fn services(&self) -> (Vec<Cow<'static, str>>, Vec<&'static str>) {
        let at = |name: &'static str, port: Option<u16>, usual: u16| {
            port.map(|port| match port == usual {
                true => Cow::Borrowed(name),
                false => Cow::Owned(format!("{name} on port {port}")),
            })
        };
        let if_on = |name: &'static str, on: bool| on.then_some(Cow::Borrowed(name));
        let dhcp = self.dhcp.as_ref().map(|dhcp| match (dhcp.role, dhcp.probe) {
            (DhcpRole::Server, false) => Cow::Borrowed("dhcp"),
            (DhcpRole::Server, true) => "dhcp unless there is another server".into(),
            (DhcpRole::Proxy, _) => "proxydhcp".into(),
        });
        let relayed: Vec<&str> = self.relayed.iter().map(|network| network.network.as_str()).collect();
        let dhcp = dhcp.map(|dhcp| match relayed.is_empty() {
            true => dhcp,
            false => format!("{dhcp} also for {}", relayed.join(" and ")).into(),
        });
        let relay = self.relay.as_ref().map(|relay| match &relay.to {
            RelayTarget::Server(server) => format!("dhcp relay to {server}").into(),
            RelayTarget::Broadcast { network, .. } => format!("dhcp relay to {network}").into(),
        });
        let matchbox = self.matchbox.as_ref();
        let own_port = matchbox.map(|matchbox| matchbox.port).filter(|port| Some(*port) != self.http);
        // What is not there by default is not switched off.
        let all = [
            (Some("dhcp"), dhcp.or(relay)),
            (None, if_on("dhcpv6", self.dhcp6.is_some())),
            (Some("tftp"), if_on("tftp", self.tftp != TftpBackend::Off)),
            (Some("http"), at("http", self.http, 80)),
            (None, if_on("https", self.https.is_some())),
            (
                None,
                match own_port {
                    Some(port) => Some(format!("matchbox on port {port}").into()),
                    None => matchbox.map(|_| "matchbox".into()),
                },
            ),
            (None, if_on("grpc", matchbox.is_some_and(|matchbox| matchbox.rpc.is_some()))),
            (Some("dns"), at("dns", self.dns.port, Dns::PORT)),
            (Some("ntp"), if_on("ntp", self.ntp)),
            (Some("syslog"), if_on("syslog", self.syslog)),
            (Some("router advertisements"), if_on("router advertisements", self.ra)),
        ];
        let off = all
            .iter()
            .filter(|_| self.address.is_some())
            .filter(|(_, on)| on.is_none())
            .filter_map(|(name, _)| *name)
            .collect();
        (all.into_iter().filter_map(|(_, on)| on).collect(), off)
    }
}

/// Matchbox on a network.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MatchboxPlan {
    /// The data directory. With `rpc` and no directory, it is the folder `matchbox` of the network in the run folder.
    pub data: Option<PathBuf>,
    /// The folder served at `/assets/`.
    pub assets: Option<PathBuf>,
    /// The TCP port of its HTTP server; that of the network's HTTP, if it is on, is shared with it.
    pub port: u16,
    /// The OpenPGP key ring for signatures. No plan contains its passphrase.
    pub key_ring: Option<PathBuf>,
    /// The newest supported version of Ignition configs.
    pub newest: Version,
    /// Its gRPC API.
    pub rpc: Option<Rpc>,
    /// Entries that the lab file adds to the data directory, by path (`groups/ID.json`, `ignition/NAME`); they override
    /// files of the directory.
    pub entries: BTreeMap<String, DataEntry>,
}

/// An entry that a lab file adds to a data directory.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum DataEntry {
    /// A text.
    Text(String),
    /// A file on the host, read at each request.
    File(PathBuf),
}

/// The subject names of a network's HTTPS certificate.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HttpsPlan {
    /// The addresses of the bridge.
    pub addresses: Vec<IpAddr>,
    /// The names of the bridge; the first label may be `*`.
    pub names: Vec<String>,
}

/// A folder that a network's services serve.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RootPlan {
    /// Its path.
    pub folder: PathBuf,
    /// Whether HTTP lists its contents.
    pub listing: bool,
}

/// A file that a service serves.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServedFile {
    /// Its path.
    pub source: FileRef,
    /// Its role for the node.
    pub role: FileRole,
}

/// A text that a service serves.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServedText {
    /// The text. `{{ssh-key}}` stands for the public key of the run, which no plan contains.
    pub body: String,
    /// Its role for the node.
    pub role: FileRole,
}

/// One NIC, as a client of the boot services.
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
    /// Boot settings for the firmware; `None` if the node does not netboot.
    pub boot: Option<BootPlan>,
    /// DHCP client identifier (option 61), if it identifies the client.
    pub client_id: Option<Octets>,
    /// The UUID of the node, which also identifies it (option 97).
    pub uuid: uuid::Uuid,
    /// DHCP options for it; they override those of the network.
    pub options: DhcpOptions,
    /// Whether firmware delays are skipped: iPXE is told not to wait for ProxyDHCP offers (175.176), and its router
    /// solicitations are answered even if the network has no IPv6.
    pub skip_delays: bool,
}

/// Boot settings for a firmware.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BootPlan {
    /// URL of the script for iPXE; `None` if iPXE does not load the kernel.
    pub script: Option<String>,
    /// Whether the iPXE in the ROM of the NIC gets the boot program like any other firmware, so that only the iPXE that
    /// it fetches gets the script.
    pub rom_chains: bool,
    /// How the firmware fetches its program; the firmware's choice if `None`.
    pub via: Option<Via>,
    /// Boot programs by architecture (option 93, RFC 4578), as paths that TFTP and HTTP serve.
    pub programs: BTreeMap<u16, String>,
}

/// DHCP on one network.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DhcpPlan {
    /// What the server assigns.
    pub role: DhcpRole,
    /// Whether this is the only server: it refuses (NAK) addresses that it did not assign.
    pub authoritative: bool,
    /// Whether it probes for another server before it answers, and stops if there is one.
    pub probe: bool,
    /// How unknown clients, which are not nodes of the lab, are treated.
    pub unknown_clients: UnknownClients,
    /// What tells clients with the same MAC address apart. `None`: nothing for nodes and reservations, the client
    /// identifier for others.
    pub identity: Option<Identity>,
    /// Addresses for clients without a reservation.
    pub pool: Option<(Ipv4Addr, Ipv4Addr)>,
    /// Lease time in seconds.
    pub lease_seconds: u32,
    /// Default route (option 3).
    pub router: Option<Ipv4Addr>,
    /// Name server (option 6); `None` if the lab has none that clients can be told of.
    pub nameserver: Option<Ipv4Addr>,
    /// Domain (option 15); `None` without DNS.
    pub domain: Option<String>,
    /// Further options.
    pub options: DhcpOptions,
    /// User classes that are treated as iPXE.
    pub ipxe_classes: Vec<String>,
    /// Reserved addresses of clients that are not nodes of the lab.
    pub reserve: BTreeMap<Mac, Ipv4Addr>,
}

/// What the DHCP server assigns.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum DhcpRole {
    /// Addresses and boot files.
    Server,
    /// Boot files, beside another server.
    Proxy,
}

/// A DHCP relay agent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RelayPlan {
    /// Where requests go.
    pub to: RelayTarget,
}

/// Where a relay agent sends requests.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RelayTarget {
    /// To a server.
    Server(Ipv4Addr),
    /// To all hosts of another network.
    Broadcast {
        /// The network.
        network: NetworkName,
        /// Its bridge.
        interface: IfName,
        /// The address of the bridge.
        address: Ipv4Addr,
    },
}

/// DHCPv6 on one network.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Dhcp6Plan {
    /// Addresses for clients without a reservation, the last 32 bits of them; `None`: such clients are ignored.
    pub pool: Option<Ipv6Net>,
    /// Lease time in seconds.
    pub lease_seconds: u32,
    /// Name server (option 23); `None` if the lab has none that clients can be told of.
    pub nameserver: Option<Ipv6Addr>,
    /// Domain (option 24); `None` without DNS.
    pub domain: Option<String>,
    /// Whether clients are told of the NTP server (option 56).
    pub ntp: bool,
    /// User classes (option 15) that are treated as iPXE.
    pub ipxe_classes: Vec<String>,
}

/// DNS on one network. Names are absolute, in lower case, without a trailing dot.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DnsPlan {
    /// The port of the server; `None` when off.
    pub port: Option<u16>,
    /// The zone of the network's nodes.
    pub domain: String,
    /// The zones of all networks of the lab, which are never forwarded.
    pub domains: Vec<String>,
    /// Names of nodes, including those with an address from a pool.
    pub nodes: Vec<NodeRecord>,
    /// Address records; the first label may be `*`.
    pub records: BTreeMap<String, Vec<IpAddr>>,
    /// Aliases (CNAME records).
    pub aliases: BTreeMap<String, String>,
    /// SRV records.
    pub services: BTreeMap<String, Vec<Service>>,
    /// TXT records.
    pub texts: BTreeMap<String, Vec<String>>,
    /// Authoritative reverse zones, as subnets.
    pub reverse: Vec<IpNet>,
    /// Forwarders for everything else; empty: such names do not exist.
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
    /// Its backing file; of a disk that is kept, what it is copied from when it is created.
    pub backing: Option<FileRef>,
    /// Whether it survives the lab: the file is then a link to one in the lab's own folder.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub keep: bool,
}

/// An image in a CD drive.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MediumPlan {
    /// The node.
    pub node: NodeName,
    /// The drive.
    pub cd: DiskName,
    /// The image.
    pub source: FileRef,
}

/// A cloud-init seed: a FAT volume labelled CIDATA.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SeedPlan {
    /// The node.
    pub node: NodeName,
    /// The volume, relative to the run folder.
    pub path: PathBuf,
    /// Its files by name. `{{ssh-key}}` stands for the public key of the run, which no plan contains.
    pub files: BTreeMap<String, String>,
    /// Files that are copied unchanged from the host, by name.
    pub copies: BTreeMap<String, PathBuf>,
}

/// A machine without a VM: namespaces that are plugged into networks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HostMachinePlan {
    /// Its name, also its host name.
    pub host: NodeName,
    /// Its NICs.
    pub nics: Vec<HostNicPlan>,
    /// The network on which probes reach it: the first one that is reachable.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub network: Option<NetworkName>,
    /// Its default route, apart from those that DHCP servers assign.
    pub gateway: Option<Ipv4Addr>,
    /// Whether it forwards IPv4 packets between its NICs.
    pub router: bool,
    /// The interfaces behind which it hides the networks that it forwards for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub masquerade: Vec<IfName>,
    /// Lines of its `/etc/hosts`.
    pub hosts: Vec<(IpAddr, String)>,
    /// Its name server.
    pub nameserver: Option<Ipv4Addr>,
    /// Its search domains.
    pub search: Vec<String>,
    /// Files and folders that it is given, by the path at which it sees them.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub files: BTreeMap<PathBuf, ProcessFile>,
    /// When it is powered on.
    pub power: Start,
}

/// One NIC of a host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HostNicPlan {
    /// The NIC.
    pub nic: NicName,
    /// Its interface on the host.
    pub interface: IfName,
    /// Its hardware address.
    pub mac: Mac,
    /// Its address; `None` if a DHCP server assigns it.
    pub address: Option<Ipv4Net>,
    /// Its network.
    pub network: NetworkName,
    /// The bridge of the network.
    pub bridge: IfName,
    /// Its other end, a port of the bridge.
    pub port: IfName,
    /// The full name of the port, stored as the interface's alias.
    pub alias: String,
    /// Its MTU.
    pub mtu: u16,
}

/// A process in the network namespace of the lab or on a host.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ProcessPlan {
    /// Its name.
    pub process: ProcessName,
    /// The host; `None` for the network namespace of the lab.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host: Option<NodeName>,
    /// The container image whose files it sees.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image: Option<ContainerImage>,
    /// The command for `sh -c`; `None` for what the image starts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run: Option<String>,
    /// Its working directory.
    pub folder: PathBuf,
    /// Variables added to the environment.
    pub environment: BTreeMap<String, String>,
    /// What it is started after.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<Trigger>,
    /// Files and folders of the host that it is given, by the path at which it sees them.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub files: BTreeMap<PathBuf, ProcessFile>,
    /// What shows that it is ready.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ready: Option<Ready>,
    /// When it is started again after its end.
    #[serde(default)]
    pub restart: Restart,
}

/// The facts about the host that planning needs, passed as an argument.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct HostFacts {
    /// Whether the user is root.
    pub root: bool,
    /// Logical CPUs.
    pub cpus: u32,
    /// Free memory.
    pub free_memory: Bytes,
    /// QEMU, if installed.
    pub qemu: Option<Qemu>,
    /// UEFI firmware listed by QEMU's descriptors, in their order of preference.
    pub firmware: Vec<FirmwareFile>,
    /// The accelerator that passed the self-test.
    pub accel: Accel,
    /// Path of `pasta`, if installed.
    pub pasta: Option<PathBuf>,
    /// Path of `nft`, if installed.
    pub nft: Option<PathBuf>,
    /// Path of `qemu-img`, if installed.
    pub qemu_img: Option<PathBuf>,
    /// Path of `swtpm`, if installed.
    #[serde(default)]
    pub swtpm: Option<PathBuf>,
    /// Whether the host already forwards IPv4.
    pub ip_forward: bool,
    /// Subnets that the host has routes to, IPv4 and IPv6.
    pub subnets: Vec<IpNet>,
    /// The host's interfaces (only for [`Isolation::None`]).
    #[serde(default)]
    pub links: Vec<HostLink>,
    /// Name servers of the host, without those on its loopback.
    pub resolvers: Vec<IpAddr>,
    /// Foreign chains that drop forwarded traffic.
    pub forward_drops: Vec<ForwardDrop>,
    /// Images that are already built.
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
    /// The bridge or bond that it is a port of, if any.
    pub master: Option<IfName>,
    /// Its addresses, without link-local IPv6 addresses.
    pub addresses: Vec<IpAddr>,
}

/// A foreign chain that drops forwarded traffic.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ForwardDrop {
    /// Its owner: `docker`, `ufw`, `firewalld`, or the table's name.
    pub owner: String,
    /// nftables family.
    pub family: String,
    /// Table.
    pub table: String,
    /// The chain with the drop.
    pub chain: String,
    /// The chain that the owner provides for foreign rules (`DOCKER-USER`), if it has one.
    pub user_chain: Option<String>,
}

/// A QEMU installation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Qemu {
    /// Path of `qemu-system-x86_64`.
    pub program: PathBuf,
    /// Its version.
    pub version: (u32, u32, u32),
    /// Whether it was built without IPMI devices. Only labs with BMCs ask.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub lacks_ipmi: bool,
}

/// One UEFI firmware, as described by QEMU's firmware descriptors.
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
    /// Whether it requires system management mode.
    pub requires_smm: bool,
    /// Machine type patterns that it supports (`pc-q35-*`).
    pub machines: Vec<String>,
}
