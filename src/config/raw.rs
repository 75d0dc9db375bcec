//! The lab file exactly as written: every key, its type, its default.
//!
//! The JSON Schema is generated from these types, so the doc comment of each field is
//! what an editor shows.

use std::net::Ipv6Addr;

use ipnet::{Ipv4Net, Ipv6Net};
use schemars::{JsonSchema, Schema};
use serde::Deserialize;
use serde_json::{Value, json};

use super::action::RawAction;
use super::alternatives::{
    AccelChoice, Access, Bus, Chipset, Firmware, FirmwareDelays, Identity, Isolation, Loader, NicModel,
    RawLink, RelayAgent, Restart, Switch, TftpBackend, Tpm, UnknownClients, Via,
};
use super::architecture;
use super::bmc::{RawBmc, RawNetworkBmcs};
use super::expect::{RawExpect, RawHttp};
use super::fault::RawFault;
use super::secret::RawSecret;
use super::value::{Field, Keyed, List, Located, Many, RawJson, Short, Shorthand, Text, Word, words};
use super::word::{Offset, RawAddress, RawHostAddress, Server, Service, Span};
use crate::matchbox::ignition;
use crate::name::{Bytes, IfName, Mac};

/// A DNS label, as a pattern of the schema.
const LABEL: &str = "^[a-z0-9]([a-z0-9-]*[a-z0-9])?$";

/// Describes a name in the schema.
fn name() -> Value {
    json!({ "pattern": LABEL, "maxLength": 63 })
}

/// Describes the name or number of a DHCP option in the schema.
fn option_name() -> Value {
    json!({ "pattern": "^([a-z][a-z0-9-]*|[0-9]{1,3})$" })
}

/// A lab: networks, profiles, nodes and expectations.
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
    /// Network isolation: namespaces of the lab's own, or the host's network namespace. Default: private.
    #[serde(default)]
    #[schemars(extend("default" = "private"))]
    pub isolation: Field<Isolation>,
    /// Accelerator of the machines: KVM if it passes the self-test, KVM only, or emulation (TCG). Default: auto.
    #[serde(default)]
    #[schemars(extend("default" = "auto"))]
    pub accel: Field<AccelChoice>,
    /// How many nodes may boot in parallel. The next node is powered on when a booting node is up, is off, or has a
    /// decided expectation. Default: all.
    #[serde(default, rename = "parallel-boots")]
    #[schemars(range(min = 1, max = 1000))]
    pub parallel_boots: Field<i64>,
    /// What is kept of the frames on the networks, in `capture.pcapng` of the run. Default: on, without file contents.
    #[serde(default)]
    pub capture: Field<RawCapture>,
    /// The lab's clock.
    #[serde(default)]
    pub clock: Field<RawClock>,
    /// Ethernet segments by name.
    #[serde(default)]
    #[schemars(extend("propertyNames" = name()))]
    pub network: Keyed<RawNetwork>,
    /// What netbooting nodes boot, by name.
    #[serde(default)]
    #[schemars(extend("propertyNames" = name()))]
    pub profile: Keyed<RawProfile>,
    /// Matchbox groups by name, in addition to those of its data directory.
    #[serde(default)]
    #[schemars(extend("propertyNames" = name()))]
    pub group: Keyed<RawGroup>,
    /// Machines by name; the name is also the host name.
    #[serde(default)]
    #[schemars(extend("propertyNames" = name()))]
    pub node: Keyed<RawNode>,
    /// Machines without a VM, by name: namespaces that are plugged into networks, in which processes run.
    #[serde(default)]
    #[schemars(extend("propertyNames" = name()))]
    pub host: Keyed<RawHost>,
    /// Commands that run in the lab's network namespace or on a host while the lab is up, by name.
    #[serde(default)]
    #[schemars(extend("propertyNames" = name()))]
    pub process: Keyed<RawProcess>,
    /// Ports on the host's loopback address that are forwarded to a node: `"2222" = "node1:22"`.
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
    /// What is done to nodes while the lab is up, by name.
    #[serde(default)]
    #[schemars(extend("propertyNames" = name()))]
    pub action: Keyed<RawAction>,
    /// What goes wrong on purpose, by name.
    #[serde(default)]
    #[schemars(extend("propertyNames" = name()))]
    pub fault: Keyed<RawFault>,
    /// Only in an overlay: entries of the underlying files to remove, such as `"expect.kubelet"`.
    #[serde(default)]
    pub remove: List<String>,
}

/// The capture of frames.
#[derive(Debug, Clone)]
pub enum RawCapture {
    /// No frames are read. What servers other than the lab's do is not seen.
    Off,
    /// Frames are read and kept.
    On(RawCaptureFile),
}

/// The file of a capture.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename = "capture-file")]
pub struct RawCaptureFile {
    /// Largest size of the file, at least 1MiB. Default: 64MiB.
    #[serde(default)]
    #[schemars(extend("default" = "64MiB"))]
    pub size: Field<Text<Bytes>>,
    /// Whether the contents of files that are transferred are kept, too. Default: false, only headers and the messages
    /// of known protocols.
    #[serde(default)]
    #[schemars(extend("default" = false))]
    pub payload: Field<bool>,
}

/// The lab's clock.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename = "clock")]
pub struct RawClock {
    /// Offset of the NTP time from the host's clock: "-2h", "+30m", "-10y". The hardware clocks of the machines are not
    /// changed. Default: 0s.
    #[serde(default)]
    #[schemars(extend("default" = "0s"))]
    pub offset: Field<Text<Offset>>,
}

/// One Ethernet segment: one bridge, its address, DHCP, DNS, NAT.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename = "network", rename_all = "kebab-case")]
pub struct RawNetwork {
    /// The bridge's address with its prefix length; the boot services listen on it. Required, unless there is a `subnet`.
    #[serde(default)]
    pub address: Field<Text<Ipv4Net>>,
    /// Instead of `address`: the subnet of a network on which nobody of Dryrack has an address or serves anything, like a
    /// switch. Default: none.
    #[serde(default)]
    #[schemars(extend("examples" = json!(["10.0.2.0/24"])))]
    pub subnet: Field<Text<Ipv4Net>>,
    /// Host of the lab from which probes, `dryrack ssh` and published ports reach nodes on a network without `address`: it
    /// has a NIC there. Default: nothing reaches them.
    #[serde(default)]
    #[schemars(extend("examples" = json!(["deploy"])))]
    pub probe_from: Field<String>,
    /// Name of the bridge, an interface of the lab's network namespace. Default: the network's name, if that has at most
    /// 15 characters and the lab is private; else a derived name.
    #[serde(default)]
    #[schemars(extend("examples" = json!(["br0"])))]
    pub bridge: Field<Text<IfName>>,
    /// The bridge's IPv6 address with its prefix length, 64: nodes can then boot over IPv6 as well. Default: none.
    #[serde(default)]
    pub ipv6: Field<Text<Ipv6Net>>,
    /// An interface of the host to attach to the bridge, for physical machines; requires `isolation = "none"`.
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
    /// Gives each node a BMC on this network: a management network. Default: none.
    #[serde(default)]
    pub bmc: Field<RawNetworkBmcs>,
    /// Whether services run that no other key of the network speaks of: `"off"` leaves the ports to servers of your own.
    /// A key of a service (`dhcp = "server"`) switches that one on again. Default: on.
    #[serde(default)]
    #[schemars(extend("default" = "on"))]
    pub services: Field<Switch>,
    /// DHCP mode: addresses and boot files, only boot files beside another server (ProxyDHCP), a relay to the server of
    /// another network, or off. Default: server.
    #[serde(default)]
    #[schemars(extend("default" = "server"))]
    pub dhcp: Field<RawDhcp>,
    /// TFTP server: the built-in one, the library async-tftp (a second implementation, to compare with if a boot
    /// fails), or off. Default: builtin.
    #[serde(default)]
    #[schemars(extend("default" = "builtin"))]
    pub tftp: Field<TftpBackend>,
    /// HTTP server: on, off, or on another port. Default: on, port 80.
    #[serde(default)]
    #[schemars(extend("default" = "on"))]
    pub http: Field<RawHttpService>,
    /// Further DHCP options by name or number: `ntp-servers = ["10.0.0.2"]`, `"150" = "hex:0a000002"`.
    #[serde(default)]
    #[schemars(extend("propertyNames" = option_name()))]
    pub options: Keyed<RawOption>,
    /// A folder to serve by TFTP and HTTP, a path relative to the lab's folder. The lab's own files take precedence.
    /// Symbolic links out of the folder are not followed. Default: none.
    #[serde(default)]
    pub root: Field<String>,
    /// Single files to serve by TFTP and HTTP, by path: each is `image:NAME/FILE`, or a path relative to the lab's
    /// folder. Default: none.
    #[serde(default)]
    #[schemars(extend(
        "propertyNames" = json!({ "pattern": "^/?[^/\\s?#]+(/[^/\\s?#]+)*$" }),
        "additionalProperties" = json!({ "type": "string" })
    ))]
    pub files: Keyed<Located<String>>,
    /// Whether HTTP lists the contents of `root`. Default: false.
    #[serde(default)]
    #[schemars(extend("default" = false))]
    pub listing: Field<bool>,
    /// Whether router advertisements are sent. Switch them off if another server that assigns IPv6 addresses sends its
    /// own: clients may follow the first one only. Default: on.
    #[serde(default)]
    #[schemars(extend("default" = "on"))]
    pub ra: Field<Switch>,
    /// NTP server. Default: on.
    #[serde(default)]
    #[schemars(extend("default" = "on"))]
    pub ntp: Field<Switch>,
    /// Syslog server. Default: on.
    #[serde(default)]
    #[schemars(extend("default" = "on"))]
    pub syslog: Field<Switch>,
    /// Whether HTTPS (port 443) is served in addition to HTTP. The certificate is signed by the lab's own CA, which is
    /// created on first use and kept; `/ca.pem` and `/ca.der` serve the CA certificate. Default: false.
    #[serde(default)]
    #[schemars(extend("default" = false))]
    pub https: Field<bool>,
    /// Matchbox on this network: groups and profiles of a data directory and of this file, over HTTP and gRPC. Nodes
    /// without a profile then boot what their matchbox group selects. Default: off.
    #[serde(default)]
    pub matchbox: Field<RawMatchbox>,
    /// DNS server: on, off, or settings. Default: on, port 53.
    #[serde(default)]
    #[schemars(extend("default" = "on"))]
    pub dns: Field<RawDnsService>,
}

/// The HTTP server of a network.
#[derive(Debug, Clone)]
pub enum RawHttpService {
    /// None.
    Off,
    /// On, with these settings.
    On(RawHttpSettings),
}

/// Settings of the HTTP server of a network.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename = "http-service")]
pub struct RawHttpSettings {
    /// Its TCP port. Default: 80.
    #[serde(default)]
    #[schemars(extend("default" = 80), range(min = 1))]
    pub port: Field<u16>,
}

/// The DNS server of a network.
#[derive(Debug, Clone)]
#[expect(
    clippy::large_enum_variant,
    reason = "there is one for each network, and only while the file is read"
)]
pub enum RawDnsService {
    /// None.
    Off,
    /// On, with these settings.
    On(RawDns),
}

/// Matchbox on a network.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename = "matchbox", rename_all = "kebab-case")]
pub struct RawMatchbox {
    /// The data directory, with `groups/`, `profiles/`, `ignition/`, `cloud/` and `generic/`: a path relative to the
    /// lab's folder. It is read at each request, and written by gRPC. Default: none; with `rpc` an empty one in the
    /// run folder.
    #[serde(default)]
    pub data: Field<String>,
    /// The folder served at `/assets/`, a path relative to the lab's folder. Default: `assets` in the data directory,
    /// if it exists.
    #[serde(default)]
    pub assets: Field<String>,
    /// TCP port of its HTTP server, which also serves the lab's own files. Default: the port of `http`; 80 if that is
    /// off.
    #[serde(default)]
    #[schemars(extend("default" = 80), range(min = 1))]
    pub port: Field<u16>,
    /// An OpenPGP key ring with a secret key, a path relative to the lab's folder. Signatures of each path are then
    /// served at `.sig` and `.asc`. Default: none.
    #[serde(default)]
    pub key_ring: Field<String>,
    /// Passphrase of the key ring. Default: none.
    #[serde(default)]
    pub passphrase: Field<RawSecret>,
    /// The newest Ignition config version to serve, for clients that support no newer one. Default: 3.4.0.
    #[serde(default)]
    #[schemars(extend("default" = "3.4.0"))]
    pub ignition: Field<Text<ignition::Version>>,
    /// The gRPC API, through which Terraform and `dryrack profile` write to the data directory. Default: off.
    #[serde(default)]
    pub rpc: Field<RawRpc>,
}

/// The gRPC API of matchbox.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename = "rpc")]
pub struct RawRpc {
    /// A folder with `ca.crt`, `server.crt` and `server.key`, as created by `dryrack tls init`: a path relative to the
    /// lab's folder.
    pub tls: Field<String>,
    /// The TCP port. Default: 8081.
    #[serde(default)]
    #[schemars(extend("default" = 8081), range(min = 1))]
    pub port: Field<u16>,
}

/// A matchbox group: selects a profile for machines.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename = "group")]
pub struct RawGroup {
    /// The network it applies to. Default: every network with matchbox.
    #[serde(default)]
    pub network: Field<String>,
    /// The profile, from this file or from the data directory.
    pub profile: Field<String>,
    /// Labels that a machine's request must have, such as `{ mac = "52:54:00:12:34:56", os = "installed" }`. Of the
    /// groups that match, the one with the most selectors wins. Default: none, which matches every machine.
    #[serde(default)]
    pub selector: Keyed<Located<String>>,
    /// Variables for the templates. Default: none.
    #[serde(default)]
    pub metadata: Keyed<RawJson>,
}

/// A machine without a VM: namespaces that are plugged into networks.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename = "host")]
pub struct RawHost {
    /// NICs by name: the address, or a table. Default: none.
    #[serde(default)]
    #[schemars(extend("propertyNames" = name()))]
    pub nic: Keyed<Short<RawHostNic>>,
    /// Whether it forwards IPv4 packets between its NICs. Towards a network with `nat` it masquerades. Default: false.
    #[serde(default)]
    #[schemars(extend("default" = false))]
    pub router: Field<bool>,
    /// When it is powered on: with the lab, by hand, or once an expectation is met. Default: auto.
    #[serde(default)]
    #[schemars(extend("default" = "auto"))]
    pub start: Field<RawStart>,
}

/// One NIC of a host.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename = "host-nic")]
pub struct RawHostNic {
    /// The network it is connected to. Default: the network with the NIC's name.
    #[serde(default)]
    pub network: Field<String>,
    /// Its address, with the prefix length where it is not that of the network; or "dhcp".
    pub address: Field<Text<RawHostAddress>>,
    /// Hardware address. Default: derived from lab, host and NIC name.
    #[serde(default)]
    pub mac: Field<Text<Mac>>,
    /// The name of its interface on the host. Default: the NIC's name.
    #[serde(default)]
    pub interface: Field<Text<IfName>>,
}

impl Shorthand for RawHostNic {
    const NAME: &'static str = "$short:address";
    type Value = Text<RawHostAddress>;
}

/// A command that runs in the lab's network namespace or on a host while the lab is up.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename = "process")]
pub struct RawProcess {
    /// The host on which it runs. Default: none; it runs in the lab's own network namespace, where the bridges are.
    #[serde(default)]
    pub host: Field<String>,
    /// A container image, whose files it sees instead of this machine's: `oci:FILE` (an archive or a layout),
    /// `oci:REGISTRY/NAME:TAG`, or `image:NAME/FILE`. Default: none; it sees the programs of this machine.
    #[serde(default)]
    #[schemars(regex(pattern = "^(oci|image):."))]
    pub image: Field<String>,
    /// The command, run by `sh -c` in the lab's folder, on a host or with an image in `/`. Default: with `image`, what
    /// the image starts.
    #[serde(default)]
    pub run: Field<String>,
    /// The network whose server, domain and name are set in its environment. Default: the only one.
    #[serde(default)]
    pub network: Field<String>,
    /// The expectation (`expect.NAME` or `NAME`), action (`action.NAME`) or process (`process.NAME`) after which it is
    /// started. Default: none; it starts with the lab, before the nodes are powered on.
    #[serde(default)]
    pub after: Field<String>,
    /// Files and folders that it is given, by the path at which it sees them: `"/etc/dnsmasq.conf" = "dnsmasq.conf"`,
    /// or a table with `path` and `access`. Only this process sees them there, or everything on its host. Default: none.
    #[serde(default)]
    #[schemars(extend("propertyNames" = json!({ "pattern": "^/." })))]
    pub files: Keyed<Short<RawProcessFile>>,
    /// What shows that it is ready; the nodes that start with the lab wait for it. Default: none, nobody waits.
    #[serde(default)]
    pub ready: Field<RawReady>,
    /// When it is started again after its end. Default: never.
    #[serde(default)]
    #[schemars(extend("default" = "never"))]
    pub restart: Field<Restart>,
}

/// A file or folder of the host that a process is given.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename = "process-file")]
pub struct RawProcessFile {
    /// The file or folder: a path relative to the lab's folder, or `image:NAME/FILE`.
    pub path: Field<String>,
    /// What becomes of changes. Default: read-only.
    #[serde(default)]
    #[schemars(extend("default" = "read-only"))]
    pub access: Field<Access>,
}

impl Shorthand for RawProcessFile {
    const NAME: &'static str = "$short:path";
    type Value = String;
}

/// What shows that a process is ready.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", rename = "ready")]
#[schemars(transform = bare_ready)]
#[expect(
    clippy::large_enum_variant,
    reason = "there is one for each process, and only while the file is read"
)]
pub enum RawReady {
    /// A socket of its network namespace is bound to a UDP port: `udp = 67`.
    Udp(Located<u16>),
    /// A socket of its network namespace listens on a TCP port: `tcp = 8080`.
    Tcp(Located<u16>),
    /// An HTTP request from its own machine succeeds: `http = { port = 8080, path = "/health" }`.
    Http(Field<RawHttp>),
    /// It prints a line that matches this regular expression.
    Log(Located<String>),
    /// There is a file or folder at this path, as it sees it.
    File(Located<String>),
}

/// Adds the condition of which every setting has a default, and which may therefore be written as a word.
fn bare_ready(schema: &mut Schema) {
    if let Some(choices) = schema.get_mut("oneOf").and_then(Value::as_array_mut) {
        choices.extend(words(&[("http", "An HTTP GET of / on port 80 answers 200.")]));
    }
}

/// How DHCP works on a network.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "kebab-case", rename = "dhcp")]
pub enum RawDhcp {
    /// Addresses and boot files.
    Server(Field<RawDhcpServer>),
    /// Only boot files, beside another server that assigns addresses (ProxyDHCP).
    Proxy,
    /// No DHCP server.
    Off,
    /// A relay agent, which carries DHCP to the server of another network.
    Relay(Field<Short<RawDhcpRelay>>),
}

/// A DHCP relay agent.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename = "dhcp-relay")]
pub struct RawDhcpRelay {
    /// The network whose DHCP server answers, the lab's or another one; or the address of a server.
    pub to: Field<String>,
    /// Who relays: the lab ("builtin"), or a relay agent of your own ("off"). Default: builtin.
    #[serde(default)]
    #[schemars(extend("default" = "builtin"))]
    pub agent: Field<RelayAgent>,
    /// Settings for this network, if the lab's own DHCP server answers. Default: as with `dhcp = "server"`.
    #[serde(default)]
    pub server: Field<RawDhcpServer>,
}

impl Shorthand for RawDhcpRelay {
    const NAME: &'static str = "$short:to";
    type Value = String;
}

/// The built-in DHCP server.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename = "dhcp-server", rename_all = "kebab-case")]
pub struct RawDhcpServer {
    /// First and last address of the pool, for clients without a reservation. Default: none, only reservations.
    #[serde(default)]
    #[schemars(length(min = 2, max = 2))]
    pub pool: List<Text<std::net::Ipv4Addr>>,
    /// Lease time. Default: 1h.
    #[serde(default)]
    #[schemars(extend("default" = "1h"))]
    pub lease_time: Field<Text<Span>>,
    /// Whether this is the only DHCP server of the network: the server does not probe for others, and refuses (NAK)
    /// addresses that it did not assign. Default: true; false with `interface`.
    #[serde(default)]
    pub authoritative: Field<bool>,
    /// Whether unknown clients, which are not nodes of the lab, get addresses from the pool. Default: answer; ignore
    /// with `interface`.
    #[serde(default)]
    pub unknown_clients: Field<UnknownClients>,
    /// What distinguishes clients that share a MAC address: `mac` (nothing: they are one client) or `client-id` (option
    /// 61 of DHCP, the DUID of DHCPv6). Default: `mac` for nodes and reservations, `client-id` for other clients.
    #[serde(default)]
    pub identity: Field<Identity>,
    /// User classes (option 77) that are treated as iPXE and get the script instead of the loader. Default: none.
    #[serde(default)]
    pub ipxe_classes: List<String>,
    /// Reserved addresses of clients that are not nodes of the lab, by MAC address. Default: none.
    #[serde(default)]
    #[schemars(extend("propertyNames" = json!({ "pattern": Mac::PATTERN })))]
    pub reservations: Keyed<Located<Text<std::net::Ipv4Addr>>>,
}

/// The value of a DHCP option.
#[derive(Debug, Clone)]
pub enum RawOption {
    /// One value.
    One(RawScalar),
    /// Several values.
    Many(List<RawScalar>),
}

/// One value of a DHCP option.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RawScalar {
    /// `true` or `false`.
    Flag(bool),
    /// A whole number.
    Number(i64),
    /// A string.
    Text(String),
}

/// DNS of a network.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename = "dns")]
pub struct RawDns {
    /// Its port, UDP and TCP. With another one, no client is told of the server, because neither DHCP nor
    /// `/etc/resolv.conf` can name a port. Default: 53.
    #[serde(default)]
    #[schemars(extend("default" = 53), range(min = 1))]
    pub port: Field<u16>,
    /// The domain of its nodes. Default: lab.
    #[serde(default)]
    #[schemars(extend("default" = "lab"))]
    pub domain: Field<String>,
    /// Address records; `*.NAME` matches every name below NAME that has no record of its own. A name without an inner
    /// dot is relative to the domain (`*.` and labels that begin with an underscore are not counted); a name with a
    /// trailing dot is absolute.
    #[serde(default)]
    pub records: Keyed<Many<Text<std::net::IpAddr>>>,
    /// Aliases (CNAME records): `www = "node1"`.
    #[serde(default)]
    pub cname: Keyed<Located<String>>,
    /// Services (SRV records) by name, each with priority, weight, port and target: `"_etcd-server._tcp" = ["0 0 2380
    /// node1"]`.
    #[serde(default)]
    pub srv: Keyed<Many<Text<Service>>>,
    /// TXT records by name.
    #[serde(default)]
    pub txt: Keyed<Many<String>>,
    /// Forwarders for other names: the host's resolver, none, or a list of servers.
    /// Default: host with `nat = true`, else none.
    #[serde(default)]
    pub upstream: Field<RawUpstream>,
}

/// Forwarders for names that the lab does not have.
#[derive(Debug, Clone)]
pub enum RawUpstream {
    /// The host's own resolver.
    Host,
    /// None.
    None,
    /// These servers.
    Servers(List<Text<Server>>),
}

/// What a netbooting node boots.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename = "profile")]
pub struct RawProfile {
    /// The kernel: `image:NAME/FILE`, or a path relative to the lab's folder. Default: none; on a network with
    /// matchbox the loader then asks matchbox.
    #[serde(default)]
    pub kernel: Field<String>,
    /// Initial RAM disks, in order: `image:NAME/FILE`, or paths; `lab:ca.cpio` adds the lab's CA certificate
    /// as /etc/ssl/certs/lab-ca.pem. Default: none.
    #[serde(default)]
    pub initrd: Many<String>,
    /// Kernel arguments; iPXE and GRUB expand `${…}` in them. Default: none.
    #[serde(default)]
    pub args: List<String>,
    /// The program that fetches and starts the kernel. Default: ipxe.
    #[serde(default)]
    #[schemars(extend("default" = "ipxe"))]
    pub loader: Field<Loader>,
    /// How the firmware fetches the loader; on a UEFI node the other ways are disabled. Default: the firmware's choice.
    #[serde(default)]
    pub via: Field<Via>,
    /// Boot programs to use instead of the loader's, by architecture: `bios`, `uefi-x86`, `uefi-x64`, `uefi-arm32`,
    /// `uefi-arm64`, or any number or name of IANA's registry, such as `22` or `arm-64-uboot`. Each is
    /// `image:NAME/FILE`, or a path. Default: none.
    #[serde(default)]
    #[schemars(extend(
        "propertyNames" = architecture::key_schema(),
        "additionalProperties" = json!({ "type": "string" })
    ))]
    pub programs: Keyed<Located<String>>,
    /// What matchbox serves at /ignition: a plain Ignition config (`.ign` or `.ignition`), or else a template of a
    /// Butane config; a path relative to the lab's folder. Default: none.
    #[serde(default)]
    pub ignition: Field<String>,
    /// The template that matchbox serves at /cloud, a cloud-config or a script; a path relative to the lab's folder.
    /// Default: none.
    #[serde(default)]
    pub cloud: Field<String>,
    /// The template that matchbox serves at /generic; a path relative to the lab's folder. Default: none.
    #[serde(default)]
    pub generic: Field<String>,
    /// Variables for these templates; those of a group take precedence. Default: none.
    #[serde(default)]
    pub metadata: Keyed<RawJson>,
}

/// One machine.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename = "node", rename_all = "kebab-case")]
pub struct RawNode {
    /// Number of nodes to create from this entry, named NAME-1, NAME-2 and so on. Default: one node, NAME.
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
    /// NICs by name. Default: one, on the only network and named after it.
    #[serde(default)]
    #[schemars(extend("propertyNames" = name()))]
    pub nic: Keyed<RawNic>,
    /// Disks by name. Default: none.
    #[serde(default)]
    #[schemars(extend("propertyNames" = name()))]
    pub disk: Keyed<RawDisk>,
    /// CD drives by name, each with the image in it: `image:NAME/FILE`, a path relative to the lab's folder, or a table.
    /// Default: none; `dryrack media insert` then adds one.
    #[serde(default)]
    #[schemars(extend("propertyNames" = name()))]
    pub cd: Keyed<Short<RawCd>>,
    /// Folders of the host by name, which the node mounts by 9p under this name: a path relative to the lab's folder, or
    /// a table. Default: none.
    #[serde(default)]
    #[schemars(extend("propertyNames" = name()))]
    pub share: Keyed<Short<RawShare>>,
    /// Boot order: `disk` (all but USB sticks), `cd`, `usb`, `network`, `disk.NAME`, `cd.NAME`, `nic.NAME`. A UEFI node
    /// gets it at its first start and keeps it in its variables; with "nvram" it gets none. Default: disk, cd, usb and
    /// network, those that the node has.
    #[serde(default)]
    pub boot: Field<RawBoot>,
    /// The profile that it netboots. Default: none.
    #[serde(default)]
    pub profile: Field<String>,
    /// When it is powered on: with the lab, by hand, or once an expectation is met. Default: auto.
    #[serde(default)]
    #[schemars(extend("default" = "auto"))]
    pub start: Field<RawStart>,
    /// Whether firmware delays are skipped, or kept as on physical machines. Default: skip.
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
    /// The version of its TPM; needs `swtpm` on the host. Its contents are new in every run. Default: none.
    #[serde(default)]
    pub tpm: Field<Tpm>,
    /// What the lab file has no word for: further arguments of QEMU.
    #[serde(default)]
    pub qemu: Field<RawQemu>,
    /// Its BMC, by which others power it on and off and say what it boots. Default: none, or as `network.NAME.bmc` says.
    #[serde(default)]
    pub bmc: Field<RawBmc>,
    /// How cloud-init is seeded. Default: nocloud if a disk has a source, else none.
    #[serde(default)]
    pub seed: Field<RawSeed>,
    /// DHCP options for this node, by name or number; they override those of its network.
    #[serde(default)]
    #[schemars(extend("propertyNames" = option_name()))]
    pub options: Keyed<RawOption>,
}

/// Further arguments of QEMU for a node.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename = "qemu")]
pub struct RawQemu {
    /// Arguments after those of Dryrack, each an item: `["-device", "edu"]`. Those that Dryrack needs for itself are an
    /// error. Default: none.
    #[serde(default)]
    pub args: List<String>,
    /// The CPU, as QEMU names it: "EPYC", "qemu64,+aes". Default: the CPU of this host, or all that the emulator can do.
    #[serde(default)]
    pub cpu: Field<String>,
}

/// When a node is powered on.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "kebab-case", rename = "start")]
pub enum RawStart {
    /// With the lab.
    Auto,
    /// By `dryrack power on`.
    Manual,
    /// After an expectation, an action or a process.
    After(Field<String>),
}

/// One NIC of a node.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename = "nic")]
pub struct RawNic {
    /// The network it is connected to. Default: the network with the NIC's name.
    #[serde(default)]
    pub network: Field<String>,
    /// Hardware address. Default: derived from lab, node and NIC name.
    #[serde(default)]
    pub mac: Field<Text<Mac>>,
    /// DHCP client identifier (option 61), `"01:52:54:00:12:34:56"` or a string; a client that sends it is treated as
    /// this NIC, whatever its MAC address. Default: none.
    #[serde(default, rename = "client-id")]
    pub client_id: Field<String>,
    /// Its reserved address, or "pool". Default: the first free one, if the network has the built-in DHCP server.
    #[serde(default)]
    pub address: Field<Text<RawAddress>>,
    /// Its reserved IPv6 address. Default: a free one, if the network has `ipv6` and the built-in DHCP server.
    #[serde(default)]
    pub ipv6: Field<Text<Ipv6Addr>>,
    /// NIC model. Default: virtio.
    #[serde(default)]
    #[schemars(extend("default" = "virtio"))]
    pub model: Field<NicModel>,
    /// Whether it has QEMU's iPXE ROM; without it, a UEFI node uses its own PXE or HTTP Boot. Default: true, but
    /// false for a UEFI node whose profile sets a `loader` other than ipxe, `via` or `programs`.
    #[serde(default)]
    pub rom: Field<bool>,
    /// Link state at power-on. Default: up.
    #[serde(default)]
    #[schemars(extend("default" = "up"))]
    pub link: Field<RawLink>,
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
    /// Initial contents: `image:NAME/FILE`, or a path relative to the lab's folder. Default: blank.
    #[serde(default)]
    pub source: Field<String>,
    /// Whether it survives the lab, and is used again the next time that the lab is up. `source` then counts only when
    /// it is created. Default: false.
    #[serde(default)]
    #[schemars(extend("default" = false))]
    pub keep: Field<bool>,
}

/// A CD drive of a node.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename = "cd")]
pub struct RawCd {
    /// The image in it: `image:NAME/FILE`, or a path relative to the lab's folder. Default: none; with neither `source`
    /// nor `url` the drive is empty.
    #[serde(default)]
    pub source: Field<String>,
    /// The URL that the image is downloaded from, once. Default: none.
    #[serde(default)]
    pub url: Field<String>,
    /// The digest of the download, 64 lower-case hexadecimal digits; needed with `url`.
    #[serde(default)]
    #[schemars(regex(pattern = "^[0-9a-f]{64}$"))]
    pub sha256: Field<String>,
}

impl Shorthand for RawCd {
    const NAME: &'static str = "$short:source";
    type Value = String;
}

/// A folder of the host that a node mounts.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename = "share")]
pub struct RawShare {
    /// The folder, a path relative to the lab's folder.
    pub path: Field<String>,
    /// What becomes of changes. Default: read-only.
    #[serde(default)]
    #[schemars(extend("default" = "read-only"))]
    pub access: Field<Access>,
}

impl Shorthand for RawShare {
    const NAME: &'static str = "$short:path";
    type Value = String;
}

/// Boot order.
#[derive(Debug, Clone)]
pub enum RawBoot {
    /// No order is given: a UEFI node begins with its firmware's own.
    Nvram,
    /// These entries, in order.
    Order(List<String>),
}

/// How cloud-init is seeded.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "kebab-case", rename = "seed")]
#[expect(clippy::large_enum_variant, reason = "there is one for each node, and only while the file is read")]
pub enum RawSeed {
    /// No seed.
    None,
    /// NoCloud: a volume labelled CIDATA, and HTTP.
    Nocloud(Field<RawNoCloud>),
}

/// A cloud-init NoCloud seed.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename = "nocloud", rename_all = "kebab-case")]
pub struct RawNoCloud {
    /// A user-data file, a path relative to the lab's folder. Default: one that authorizes the run's ssh key.
    #[serde(default)]
    pub user_data: Field<String>,
    /// A network-config file (version 1 or 2), a path relative to the lab's folder. Default: none; the system's own
    /// configuration applies.
    #[serde(default)]
    pub network_config: Field<String>,
    /// Users that accept the run's ssh key, beside the default user of the system. Default: those of the node's ssh
    /// expectations.
    #[serde(default)]
    pub users: List<String>,
    /// Whether the node has a seed volume. Without one, give cloud-init the URL of the seed by a kernel argument or by
    /// `serial`: "ds=nocloud-net;s=http://SERVER/nocloud/NODE/". Default: true.
    #[serde(default)]
    #[schemars(extend("default" = true))]
    pub volume: Field<bool>,
}
