//! The lab file exactly as written: every key, its type, its default.
//!
//! The JSON Schema is made from these types, so the first line of each field is
//! what an editor shows.

use std::net::Ipv6Addr;

use ipnet::{Ipv4Net, Ipv6Net};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};

use super::alternatives::{
    AccelChoice, Bus, Chipset, Firmware, FirmwareDelays, Isolation, Loader, NicModel, TftpBackend,
    UnknownClients, Via,
};
use super::expect::{RawExpect, RawSecret};
use super::value::{Field, Keyed, List, Located, Many, Text, Word};
use super::word::{Offset, RawAddress, Server, Service, Span};
use crate::matchbox::ignition;
use crate::name::{Bytes, IfName, Mac};

/// A DNS label, for editors.
const LABEL: &str = "^[a-z0-9]([a-z0-9-]*[a-z0-9])?$";

/// Describes a name, for editors.
fn name() -> Value {
    json!({ "pattern": LABEL, "maxLength": 63 })
}

/// Describes the name or number of a DHCP option, for editors.
fn option_name() -> Value {
    json!({ "pattern": "^([a-z][a-z0-9-]*|[0-9]{1,3})$" })
}

/// A lab: networks, what nodes are handed, the nodes, and what must become of them.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename = "lab")]
pub struct RawLab {
    /// Version of this format: 1.
    #[schemars(range(min = 1, max = 1))]
    pub dryrack: Field<i64>,
    /// Name of the lab, a DNS label. Default: the name of its folder.
    #[serde(default)]
    #[schemars(regex(pattern = LABEL), length(max = 63))]
    pub name: Field<String>,
    /// Where the lab's network lives: in namespaces of its own, or in the host's. Default: private.
    #[serde(default)]
    #[schemars(extend("default" = "private"))]
    pub isolation: Field<Isolation>,
    /// What executes the machines: KVM where it boots what a lab boots, KVM only, or emulation. Default: auto.
    #[serde(default)]
    #[schemars(extend("default" = "auto"))]
    pub accel: Field<AccelChoice>,
    /// How many nodes may be on their way up at once; the next is powered on when one is up, is off, or has an
    /// expectation decided. Default: all.
    #[serde(default, rename = "parallel-boots")]
    #[schemars(range(min = 1, max = 1000))]
    pub parallel_boots: Field<i64>,
    /// What time it is in the lab.
    #[serde(default)]
    pub clock: Field<RawClock>,
    /// Ethernet segments by name.
    #[serde(default)]
    #[schemars(extend("propertyNames" = name()))]
    pub network: Keyed<RawNetwork>,
    /// What netbooting nodes are handed, by name.
    #[serde(default)]
    #[schemars(extend("propertyNames" = name()))]
    pub profile: Keyed<RawProfile>,
    /// Which machines matchbox hands which profile, by name; beside the groups of its data directory.
    #[serde(default)]
    #[schemars(extend("propertyNames" = name()))]
    pub group: Keyed<RawGroup>,
    /// Machines by name; the name is also the host name.
    #[serde(default)]
    #[schemars(extend("propertyNames" = name()))]
    pub node: Keyed<RawNode>,
    /// Commands that run in the lab's place while it is up, by name.
    #[serde(default)]
    #[schemars(extend("propertyNames" = name()))]
    pub process: Keyed<RawProcess>,
    /// Ports of the host's loopback that lead to a node: `"2222" = "node1:22"`.
    #[serde(default)]
    #[schemars(extend(
        "propertyNames" = json!({ "pattern": "^[0-9]+$" }),
        "additionalProperties" = json!({ "type": "string", "pattern": "^.+:[0-9]+$" })
    ))]
    pub publish: Keyed<Located<String>>,
    /// What must, or must never, happen, by name.
    #[serde(default)]
    #[schemars(extend("propertyNames" = name()))]
    pub expect: Keyed<RawExpect>,
    /// Only in an overlay: entries of the files below that are taken out, such as `"expect.kubelet"`.
    #[serde(default)]
    pub remove: List<String>,
}

/// What time it is in a lab.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename = "clock")]
pub struct RawClock {
    /// How far the time that is told by NTP is ahead of the host's clock, or behind: "-2h", "+30m", "-10y". The
    /// machines' own clocks stay as they are. Default: 0s.
    #[serde(default)]
    #[schemars(extend("default" = "0s"))]
    pub offset: Field<Text<Offset>>,
}

/// One Ethernet segment: one bridge, its address, DHCP, DNS, NAT.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename = "network")]
pub struct RawNetwork {
    /// The bridge's address with its prefix length; the boot services answer there.
    pub address: Field<Text<Ipv4Net>>,
    /// The bridge's IPv6 address with its prefix length, 64: nodes then boot over IPv6 too. Default: none.
    #[serde(default)]
    pub ipv6: Field<Text<Ipv6Net>>,
    /// An interface of the host that is plugged into it, with `isolation = "none"`: the way to machines of metal.
    /// Default: none.
    #[serde(default)]
    pub interface: Field<Text<IfName>>,
    /// Largest packet in bytes, 1280 to 65535. Default: 1500.
    #[serde(default)]
    #[schemars(extend("default" = 1500), range(min = 1280, max = 65535))]
    pub mtu: Field<i64>,
    /// Whether nodes reach the internet through it. Default: false.
    #[serde(default)]
    #[schemars(extend("default" = false))]
    pub nat: Field<bool>,
    /// Whether we give addresses, give boot files beside another server, or keep quiet. Default: server.
    #[serde(default)]
    #[schemars(extend("default" = "server"))]
    pub dhcp: Field<RawDhcp>,
    /// Who speaks TFTP: our own engine, the library async-tftp (another opinion, where a boot fails by one of them), or
    /// nobody of ours. Default: own.
    #[serde(default)]
    #[schemars(extend("default" = "builtin"))]
    pub tftp: Field<TftpBackend>,
    /// Further DHCP options by name or number: `ntp-servers = ["10.0.0.2"]`, `"150" = "hex:0a000002"`.
    #[serde(default)]
    #[schemars(extend("propertyNames" = option_name()))]
    pub options: Keyed<RawOption>,
    /// A folder that TFTP and HTTP hand out below the lab's own names, a path relative to the lab's folder. Links that
    /// lead out of it are not followed. Default: none.
    #[serde(default)]
    pub root: Field<String>,
    /// Single files that TFTP and HTTP hand out, by path: each is `image:NAME/FILE`, or a path relative to the lab's
    /// folder. Default: none.
    #[serde(default)]
    #[schemars(extend(
        "propertyNames" = json!({ "pattern": "^/?[^/\\s?#]+(/[^/\\s?#]+)*$" }),
        "additionalProperties" = json!({ "type": "string" })
    ))]
    pub files: Keyed<Located<String>>,
    /// Whether HTTP lists what is in `root`. Default: false.
    #[serde(default)]
    #[schemars(extend("default" = false))]
    pub listing: Field<bool>,
    /// Whether HTTPS (port 443) answers beside HTTP. Its certificate is signed by an authority of the lab's own, which is
    /// made on first use and stays; `/ca.pem` and `/ca.der` are that authority's certificate. Default: false.
    #[serde(default)]
    #[schemars(extend("default" = false))]
    pub https: Field<bool>,
    /// What matchbox answers on it: groups and profiles of a data directory and of this file, by HTTP and gRPC. Nodes
    /// without a profile then boot what a group says. Default: nothing.
    #[serde(default)]
    pub matchbox: Field<RawMatchbox>,
    /// Names of the network.
    #[serde(default)]
    pub dns: Field<RawDns>,
}

/// What matchbox answers on a network.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename = "matchbox", rename_all = "kebab-case")]
pub struct RawMatchbox {
    /// The data directory, with `groups/`, `profiles/`, `ignition/`, `cloud/` and `generic/`: a path relative to the lab's
    /// folder. It is read at each request, and written by gRPC. Default: none; with `rpc` an empty one in the run's folder.
    #[serde(default)]
    pub data: Field<String>,
    /// The folder behind `/assets/`, a path relative to the lab's folder. Default: `assets` in the data directory, if it is
    /// there.
    #[serde(default)]
    pub assets: Field<String>,
    /// The TCP port of its HTTP. On port 80 the lab's own names are answered beside it. Default: 80.
    #[serde(default)]
    #[schemars(extend("default" = 80), range(min = 1))]
    pub port: Field<u16>,
    /// An OpenPGP key ring with a secret key, a path relative to the lab's folder: each path has a signature beside it,
    /// `.sig` and `.asc`. Default: none.
    #[serde(default)]
    pub key_ring: Field<String>,
    /// What unlocks the key ring. Default: nothing.
    #[serde(default)]
    pub passphrase: Field<RawSecret>,
    /// The newest version of Ignition configs that is handed out, for clients that know no newer one. Default: 3.4.0.
    #[serde(default)]
    #[schemars(extend("default" = "3.4.0"))]
    pub ignition: Field<Text<ignition::Version>>,
    /// Its gRPC, by which Terraform and `dryrack profile` write into the data directory. Default: none.
    #[serde(default)]
    pub rpc: Field<RawRpc>,
}

/// The gRPC of matchbox.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename = "rpc")]
pub struct RawRpc {
    /// A folder with `ca.crt`, `server.crt` and `server.key`, as `dryrack tls init` makes them: a path relative to the
    /// lab's folder.
    pub tls: Field<String>,
    /// The TCP port. Default: 8081.
    #[serde(default)]
    #[schemars(extend("default" = 8081), range(min = 1))]
    pub port: Field<u16>,
}

/// Which machines matchbox hands which profile.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename = "group")]
pub struct RawGroup {
    /// The network on which it counts. Default: every network with matchbox.
    #[serde(default)]
    pub network: Field<String>,
    /// The profile: of this file, or of the data directory.
    pub profile: Field<String>,
    /// What a machine has to say of itself, such as `{ mac = "52:54:00:12:34:56", os = "installed" }`. Of the groups that
    /// fit, the one with most of it counts. Default: nothing, so that it fits every machine.
    #[serde(default)]
    pub selector: Keyed<Located<String>>,
    /// What templates are filled with. Default: nothing.
    #[serde(default)]
    pub metadata: Keyed<RawJson>,
}

/// A command that runs in the lab's place while it is up.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename = "process")]
pub struct RawProcess {
    /// The command, run by `sh -c` in the lab's folder.
    pub run: Field<String>,
    /// The network whose server, domain and name its environment tells. Default: the only one.
    #[serde(default)]
    pub network: Field<String>,
    /// Another expectation, after which it is started. Default: it starts with the lab, before the nodes are powered on.
    #[serde(default)]
    pub after: Field<String>,
}

/// Any value: a text, a number, true or false, a list or a table of them.
#[derive(Debug, Clone, PartialEq)]
pub struct RawJson(pub Value);

/// How DHCP works on a network.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "kebab-case", rename = "dhcp")]
#[expect(
    clippy::large_enum_variant,
    reason = "there is one for each network, and only while the file is read"
)]
pub enum RawDhcp {
    /// We give addresses and boot files.
    Server(Field<RawDhcpServer>),
    /// Another server gives addresses, we give boot files.
    Proxy,
    /// We do not answer.
    Off,
}

/// DHCP by our server.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename = "dhcp-server", rename_all = "kebab-case")]
pub struct RawDhcpServer {
    /// First and last address for clients without a reservation. Default: none, only reservations.
    #[serde(default)]
    #[schemars(length(min = 2, max = 2))]
    pub pool: List<Text<std::net::Ipv4Addr>>,
    /// How long an address is lent. Default: 1h.
    #[serde(default)]
    #[schemars(extend("default" = "1h"))]
    pub lease_time: Field<Text<Span>>,
    /// Whether there is no other DHCP server: nobody is looked for, and clients with addresses that we did not give are
    /// told no. Default: true; false with `interface`.
    #[serde(default)]
    pub authoritative: Field<bool>,
    /// Whether clients that are no node of the lab are given addresses of the pool. Default: answer; ignore with
    /// `interface`.
    #[serde(default)]
    pub unknown_clients: Field<UnknownClients>,
    /// User classes (option 77) that count as iPXE and are told the script, not the loader. Default: none.
    #[serde(default)]
    pub ipxe_classes: List<String>,
    /// Reserved addresses of clients that are no node of the lab, by MAC address. Default: none.
    #[serde(default)]
    #[schemars(extend("propertyNames" = json!({ "pattern": Mac::PATTERN })))]
    pub reservations: Keyed<Located<Text<std::net::Ipv4Addr>>>,
}

/// The value of a DHCP option.
#[derive(Debug, Clone)]
pub enum RawOption {
    /// One value.
    One(RawScalar),
    /// Several.
    Many(List<RawScalar>),
}

/// One value of a DHCP option.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RawScalar {
    /// `true` or `false`.
    Flag(bool),
    /// A whole number.
    Number(i64),
    /// A text.
    Text(String),
}

/// Names of a network.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename = "dns")]
pub struct RawDns {
    /// The domain of its nodes. Default: lab.
    #[serde(default)]
    #[schemars(extend("default" = "lab"))]
    pub domain: Field<String>,
    /// Further names with their addresses; `*.NAME` is every name below that has nothing of its own. A name without
    /// an inner dot belongs to the domain, `*.` and labels that begin with an underscore not counted; one with a dot
    /// at its end is whole.
    #[serde(default)]
    pub records: Keyed<Many<Text<std::net::IpAddr>>>,
    /// Further names of names: `www = "node1"`.
    #[serde(default)]
    pub cname: Keyed<Located<String>>,
    /// Services by name, each with priority, weight, port and target: `"_etcd-server._tcp" = ["0 0 2380 node1"]`.
    #[serde(default)]
    pub srv: Keyed<Many<Text<Service>>>,
    /// Texts by name.
    #[serde(default)]
    pub txt: Keyed<Many<String>>,
    /// Who is asked for other names: the host's resolver, nobody, or a list of servers.
    /// Default: host with `nat = true`, else none.
    #[serde(default)]
    pub upstream: Field<RawUpstream>,
}

/// Who is asked for names that the lab does not know.
#[derive(Debug, Clone)]
pub enum RawUpstream {
    /// The host's own resolver.
    Host,
    /// Nobody.
    None,
    /// These servers.
    Servers(List<Text<Server>>),
}

/// What a netbooting node is handed.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename = "profile")]
pub struct RawProfile {
    /// The kernel: `image:NAME/FILE`, or a path relative to the lab's folder. Default: none; on a network with matchbox the
    /// loader then asks that what to boot.
    #[serde(default)]
    pub kernel: Field<String>,
    /// Initial RAM disks, in order: `image:NAME/FILE`, or paths; `lab:ca.cpio` puts the certificate of the lab's authority
    /// at /etc/ssl/certs/lab-ca.pem. Default: none.
    #[serde(default)]
    pub initrd: Many<String>,
    /// Kernel arguments; iPXE and GRUB expand `${…}` in them. Default: none.
    #[serde(default)]
    pub args: List<String>,
    /// The program that fetches and starts the kernel. Default: ipxe.
    #[serde(default)]
    #[schemars(extend("default" = "ipxe"))]
    pub loader: Field<Loader>,
    /// How the firmware fetches the loader; a UEFI node's other ways are switched off. Default: as it likes.
    #[serde(default)]
    pub via: Field<Via>,
    /// Boot programs in place of the loader's, by architecture: `bios`, `uefi-x86`, `uefi-x64`, `uefi-arm32`,
    /// `uefi-arm64`. Each is `image:NAME/FILE`, or a path. Default: none.
    #[serde(default)]
    #[schemars(extend(
        "propertyNames" = json!({ "enum": ["bios", "uefi-x86", "uefi-x64", "uefi-arm32", "uefi-arm64"] }),
        "additionalProperties" = json!({ "type": "string" })
    ))]
    pub programs: Keyed<Located<String>>,
    /// What matchbox answers at /ignition: an Ignition config as it is (`.ign` or `.ignition`), else a template of a Butane
    /// config; a path relative to the lab's folder. Default: none.
    #[serde(default)]
    pub ignition: Field<String>,
    /// The template of what matchbox answers at /cloud, a cloud-config or a script; a path relative to the lab's folder.
    /// Default: none.
    #[serde(default)]
    pub cloud: Field<String>,
    /// The template of what matchbox answers at /generic; a path relative to the lab's folder. Default: none.
    #[serde(default)]
    pub generic: Field<String>,
    /// What these templates are filled with, where a group has nothing of that name. Default: nothing.
    #[serde(default)]
    pub metadata: Keyed<RawJson>,
}

/// One machine.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename = "node", rename_all = "kebab-case")]
pub struct RawNode {
    /// Makes that many nodes of this one, NAME-1, NAME-2 and so on. Default: one node, NAME.
    #[serde(default)]
    #[schemars(range(min = 1, max = 250))]
    pub count: Field<i64>,
    /// The firmware. Default: bios.
    #[serde(default)]
    #[schemars(extend("default" = "bios"))]
    pub firmware: Field<Firmware>,
    /// The chip set. Default: q35.
    #[serde(default)]
    #[schemars(extend("default" = "q35"))]
    pub machine: Field<Chipset>,
    /// Number of virtual CPUs, 1 to 64. Default: 1.
    #[serde(default)]
    #[schemars(extend("default" = 1), range(min = 1, max = 64))]
    pub cpus: Field<i64>,
    /// Memory. Default: 512MiB.
    #[serde(default)]
    #[schemars(extend("default" = "512MiB"))]
    pub memory: Field<Text<Bytes>>,
    /// NICs by name. Default: one, on the only network and of its name.
    #[serde(default)]
    #[schemars(extend("propertyNames" = name()))]
    pub nic: Keyed<RawNic>,
    /// Disks by name. Default: none.
    #[serde(default)]
    #[schemars(extend("propertyNames" = name()))]
    pub disk: Keyed<RawDisk>,
    /// What the firmware tries, in order: `disk`, `network`, `disk.NAME`, `nic.NAME`; or "nvram" for what a UEFI
    /// node's own variables say. Default: disk and network if there is a disk, else network.
    #[serde(default)]
    pub boot: Field<RawBoot>,
    /// The profile that it is handed when it netboots. Default: none.
    #[serde(default)]
    pub profile: Field<String>,
    /// Whether it is powered on with the lab, by hand, or once an expectation is met. Default: lab.
    #[serde(default)]
    #[schemars(extend("default" = "auto"))]
    pub start: Field<RawStart>,
    /// Whether firmware waits are cut short, or left in as on metal. Default: fast.
    #[serde(default)]
    #[schemars(extend("default" = "skip"))]
    pub firmware_delays: Field<FirmwareDelays>,
    /// SMBIOS system UUID. Default: derived from lab and node name.
    #[serde(default)]
    pub uuid: Field<Text<uuid::Uuid>>,
    /// SMBIOS system serial number. Default: derived from lab and node name.
    #[serde(default)]
    pub serial: Field<String>,
    /// SMBIOS chassis asset tag. Default: the node's name.
    #[serde(default)]
    pub asset_tag: Field<String>,
    /// How cloud-init is seeded. Default: nocloud if a disk has a source, else none.
    #[serde(default)]
    pub seed: Field<RawSeed>,
    /// DHCP options for it, by name or number; where its network has the same, these count.
    #[serde(default)]
    #[schemars(extend("propertyNames" = option_name()))]
    pub options: Keyed<RawOption>,
}

/// When a node is powered on.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "kebab-case", rename = "start")]
pub enum RawStart {
    /// With the lab.
    Auto,
    /// By `dryrack power on`.
    Manual,
    /// Once an expectation is met.
    After(Field<String>),
}

/// One NIC of a node.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename = "nic")]
pub struct RawNic {
    /// The network it is plugged into. Default: the network of the NIC's name.
    #[serde(default)]
    pub network: Field<String>,
    /// Hardware address. Default: derived from lab, node and NIC name.
    #[serde(default)]
    pub mac: Field<Text<Mac>>,
    /// What its DHCP clients call themselves (option 61), `"01:52:54:00:12:34:56"` or a text; whoever says so counts as
    /// this NIC, whatever its MAC address. Default: none.
    #[serde(default, rename = "client-id")]
    pub client_id: Field<String>,
    /// Its reserved address, or "pool". Default: the first free one of the network, where we are the DHCP server.
    #[serde(default)]
    pub address: Field<Text<RawAddress>>,
    /// Its reserved IPv6 address. Default: a free one, where the network has `ipv6` and we are the DHCP server.
    #[serde(default)]
    pub ipv6: Field<Text<Ipv6Addr>>,
    /// What the guest sees. Default: virtio.
    #[serde(default)]
    #[schemars(extend("default" = "virtio"))]
    pub model: Field<NicModel>,
    /// Whether QEMU's iPXE ROM sits on it; without, a UEFI node boots by its own PXE or HTTP Boot. Default: true, but
    /// false for a UEFI node whose profile names another `loader` than ipxe, or `via` or `programs`.
    #[serde(default)]
    pub rom: Field<bool>,
    /// Whether the cable is plugged in at power-on. Default: up.
    #[serde(default)]
    #[schemars(extend("default" = "up"))]
    pub link: Field<RawLink>,
}

/// Whether a cable is plugged in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", rename = "link")]
pub enum RawLink {
    /// Plugged in.
    Up,
    /// Unplugged.
    Down,
}

/// One disk of a node.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename = "disk")]
pub struct RawDisk {
    /// Its size.
    pub size: Field<Text<Bytes>>,
    /// How it is attached. Default: virtio.
    #[serde(default)]
    #[schemars(extend("default" = "virtio"))]
    pub bus: Field<Bus>,
    /// Its serial number, at most 20 ASCII characters. Default: derived from lab, node and disk name.
    #[serde(default)]
    #[schemars(length(min = 1, max = 20))]
    pub serial: Field<String>,
    /// What is on it at first: `image:NAME/FILE`, or a path relative to the lab's folder. Default: blank.
    #[serde(default)]
    pub source: Field<String>,
}

/// What the firmware tries.
#[derive(Debug, Clone)]
pub enum RawBoot {
    /// What a UEFI node's own variables say.
    Nvram,
    /// These, in order.
    Order(List<String>),
}

/// How cloud-init is seeded.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "kebab-case", rename = "seed")]
pub enum RawSeed {
    /// Not at all.
    None,
    /// By a volume labelled CIDATA, and by HTTP.
    Nocloud(Field<RawNoCloud>),
}

/// A cloud-init seed of the NoCloud kind.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename = "nocloud", rename_all = "kebab-case")]
pub struct RawNoCloud {
    /// A user-data file, a path relative to the lab's folder. Default: one that hands over the run's ssh key.
    #[serde(default)]
    pub user_data: Field<String>,
    /// Users that get the run's ssh key. Default: those of the node's ssh expectations.
    #[serde(default)]
    pub users: List<String>,
    /// Whether the node has a volume with it. Without one it is told where to ask by HTTP, by a kernel argument or by
    /// `serial`: "ds=nocloud-net;s=http://SERVER/nocloud/NODE/". Default: true.
    #[serde(default)]
    #[schemars(extend("default" = true))]
    pub volume: Field<bool>,
}
