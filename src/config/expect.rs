//! Expectations as written in the lab file.

use std::net::IpAddr;

use schemars::{JsonSchema, Schema};
use serde::Deserialize;
use serde_json::json;

use super::alternatives::TableKind;
use super::certificate::RawCertificate;
use super::kubernetes::RawKubernetes;
use super::login::{
    RawCloudInit, RawCmdline, RawIgnitionResult, RawNicNames, RawNodeClock, RawNodeFile, RawUnits,
    RawUnreachable,
};
use super::secret::RawSecret;
use super::value::{Field, Keyed, List, Located, Many, RawJson, Short, Shorthand, Text, words};
use super::word::{Server, Span};
use crate::event::{BootedFrom, Stage};

/// A check that must (`that`) or must never (`never`) succeed.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename = "expect")]
pub struct RawExpect {
    /// The nodes that it applies to; each must meet it. Default: all nodes.
    #[serde(default)]
    pub nodes: List<String>,
    /// The expectation (`expect.NAME` or `NAME`), action (`action.NAME`) or process (`process.NAME`) after which the
    /// timeout of this one starts. Default: none; it starts with the lab.
    #[serde(default)]
    pub after: Field<String>,
    /// Timeout. Default: 5m; for `never`, the end of the run.
    #[serde(default)]
    #[schemars(extend("default" = "5m"))]
    pub within: Field<Text<Span>>,
    /// How long the check must keep succeeding. Default: 0s.
    #[serde(default)]
    #[schemars(extend("default" = "0s"))]
    pub holds: Field<Text<Span>>,
    /// How long a node may make no progress: it sends nothing new, writes nothing to its disks, and shows no new line.
    /// It has then missed at once. Default: none; only `within` limits it.
    #[serde(default)]
    pub progress: Field<Text<Span>>,
    /// How many of the nodes must meet it at the same time: `quorum = 2`. Default: every node, each on its own.
    #[serde(default)]
    #[schemars(range(min = 1))]
    pub quorum: Field<u16>,
    /// Losses after which it must be true again, one after the other. Default: none.
    #[serde(default)]
    pub survives: Field<RawSurvives>,
    /// The check that must succeed; exactly one of `that` and `never`.
    #[serde(default)]
    pub that: Field<RawCheck>,
    /// The check that must never succeed; exactly one of `that` and `never`.
    #[serde(default)]
    pub never: Field<RawCheck>,
}

/// Losses that an expectation survives.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename = "survives", rename_all = "kebab-case")]
pub struct RawSurvives {
    /// The nodes that lose their power and get it back, one after the other: "each" of the expectation, or a list.
    #[schemars(extend("examples" = json!(["each", ["a", "b"]])))]
    pub power_off: Many<String>,
}

/// What an expectation checks.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", rename = "check")]
#[schemars(transform = bare_checks)]
pub enum RawCheck {
    /// A line of the serial console or the screen matches this regular expression.
    Console(Located<String>),
    /// The node has reached at least this stage.
    Stage(Stage),
    /// A TCP port accepts connections: `tcp = 22`.
    Tcp(Short<RawTcp>),
    /// An HTTP GET succeeds.
    Http(Field<RawHttp>),
    /// A TLS server shows a certificate that is valid: `certificate = 6443` names its port.
    Certificate(Field<Short<RawCertificate>>),
    /// A name resolves at the lab's DNS server.
    Dns(Field<RawDnsCheck>),
    /// An ssh login succeeds, and so does a command if one is given.
    Ssh(RawSsh),
    /// The nodes form one healthy etcd cluster with one leader.
    Etcd(Field<RawEtcd>),
    /// A Kubernetes cluster is ready: `kubernetes = "control"` names the node whose API server is asked.
    Kubernetes(Short<RawKubernetes>),
    /// How often and from what the node booted: `boots = ["network", "disk"]` lists all its boots, in order.
    Boots(Short<RawBoots>),
    /// The node fetched a path by HTTP or TFTP: `fetched = "/assets/.*"`.
    Fetched(Short<RawFetched>),
    /// The node got an address by DHCP: `leased = "10.0.2.1"` names the server.
    Leased(Short<RawLeased>),
    /// The diagnosis names this failure for the node: `finding = "no-dhcp-answer"`. `dryrack explain findings` lists all.
    Finding(Located<String>),
    /// A disk of the node holds a system that its firmware can boot, as seen from outside the node.
    Installed(Field<RawInstalled>),
    /// A command in the lab's network namespace has the expected result: `command = "test -e done"`.
    Command(Short<RawCommand>),
    /// A process of the lab has exited as expected: `process = "terraform"`.
    Process(Short<RawEnded>),
    /// cloud-init on the node has finished without errors: `cloud-init = "done"`. By ssh.
    CloudInit(Field<Short<RawCloudInit>>),
    /// systemd on the node has started everything, and no unit has failed. By ssh.
    Units(Field<RawUnits>),
    /// Ignition on the node has finished, with a config of the user. By ssh.
    Ignition(Field<RawIgnitionResult>),
    /// The command line of the node's kernel has these arguments: `cmdline = ["console=ttyS0"]`. By ssh.
    Cmdline(Short<RawCmdline>),
    /// The interfaces of the node have these names: `nics = { names = { lan = "eno1" } }`. By ssh.
    Nics(RawNicNames),
    /// The clock of the node differs from that of this machine by at most so much: `clock = "1s"`. By ssh.
    Clock(Short<RawNodeClock>),
    /// The node has a file: `file = "/etc/motd"`. By ssh, or on a disk from outside.
    File(Short<RawNodeFile>),
    /// The node cannot reach a port or a URL: `unreachable = { tcp = "10.0.9.5:623" }`. By ssh.
    Unreachable(RawUnreachable),
}

/// A TCP port.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename = "tcp")]
pub struct RawTcp {
    /// The port.
    #[schemars(range(min = 1))]
    pub port: Field<u16>,
}

impl Shorthand for RawTcp {
    const NAME: &'static str = "$short:port";
    type Value = u16;
}

/// An HTTP request and its response.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename = "http", rename_all = "kebab-case")]
pub struct RawHttp {
    /// The port. Default: 80, or 443 with `https`.
    #[serde(default)]
    #[schemars(range(min = 1))]
    pub port: Field<u16>,
    /// Whether the request uses TLS. Default: false.
    #[serde(default)]
    #[schemars(extend("default" = false))]
    pub https: Field<bool>,
    /// A PEM file with the certificate authorities that may sign the server's certificate, a path relative to the
    /// lab's folder; the certificate must be for the node's name or address. Default: none; any certificate is accepted.
    #[serde(default)]
    pub ca: Field<String>,
    /// The method. Default: GET, or POST with `request-body`.
    #[serde(default)]
    #[schemars(extend("default" = "GET"))]
    pub method: Field<String>,
    /// Headers of the request, by name. Default: none.
    #[serde(default)]
    pub request_header: Keyed<Located<String>>,
    /// The body of the request. Default: none.
    #[serde(default)]
    pub request_body: Field<String>,
    /// Timeout of one attempt; a failed attempt is repeated. Default: 10s.
    #[serde(default)]
    #[schemars(extend("default" = "10s"))]
    pub timeout: Field<Text<Span>>,
    /// Path and query. Default: /.
    #[serde(default)]
    #[schemars(extend("default" = "/"))]
    pub path: Field<String>,
    /// The status. Default: 200.
    #[serde(default)]
    #[schemars(extend("default" = 200), range(min = 100, max = 599))]
    pub status: Field<u16>,
    /// A regular expression that the body must match. Default: any.
    #[serde(default)]
    pub body: Field<String>,
    /// Regular expressions that headers must match, by name. Default: any.
    #[serde(default)]
    pub header: Keyed<Located<String>>,
    /// Values of the JSON body, by JSON Pointer (RFC 6901) or JSONPath (RFC 9535), as in
    /// `json = { "/status" = "ok", "$.members[*].health" = true }`. A key that begins with `$` is a JSONPath: it must
    /// find at least one value, and every value that it finds must be the expected one. Default: any.
    #[serde(default)]
    pub json: Keyed<RawJson>,
}

/// A name.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename = "dns-check")]
pub struct RawDnsCheck {
    /// The name. Default: the node's own.
    #[serde(default)]
    pub name: Field<String>,
    /// The expected addresses, in any order. Default: any.
    #[serde(default)]
    pub answer: Many<Text<std::net::IpAddr>>,
    /// The server to ask, as in "10.0.0.2" or "10.0.0.2:5353". Default: the lab's own on the node's network.
    #[serde(default)]
    pub server: Field<Text<Server>>,
}

/// A login over ssh.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename = "ssh")]
pub struct RawSsh {
    /// The user.
    pub user: Field<String>,
    /// The port. Default: 22.
    #[serde(default)]
    #[schemars(extend("default" = 22), range(min = 1))]
    pub port: Field<u16>,
    /// The private key. Default: the run's own, which the cloud-init seed authorizes.
    #[serde(default)]
    pub key: Field<RawSecret>,
    /// The command to run. Default: none, only the login is checked.
    #[serde(default)]
    pub run: Field<String>,
    /// The exit code. Default: 0.
    #[serde(default)]
    #[schemars(extend("default" = 0))]
    pub exit: Field<i32>,
    /// A regular expression that standard output must match. Default: any.
    #[serde(default)]
    pub output: Field<String>,
    /// Values of standard output, by JSON Pointer (RFC 6901) or JSONPath (RFC 9535), as in
    /// `json = { "/status" = "ok", "$.members[*].health" = true }`. A key that begins with `$` is a JSONPath: it must
    /// find at least one value, and every value that it finds must be the expected one. Default: any.
    #[serde(default)]
    pub json: Keyed<RawJson>,
}

/// An etcd cluster.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename = "etcd")]
pub struct RawEtcd {
    /// Client port. Default: 2379.
    #[serde(default)]
    #[schemars(extend("default" = 2379), range(min = 1))]
    pub port: Field<u16>,
    /// Number of members. Default: the number of nodes.
    #[serde(default)]
    #[schemars(range(min = 1))]
    pub members: Field<u16>,
    /// Number of members that must be healthy and agree on the leader. Default: all.
    #[serde(default)]
    #[schemars(range(min = 1))]
    pub healthy: Field<u16>,
}

/// The boots of a node that reached a kernel. A boot is `network` if the node fetched its kernel, else `disk`.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename = "boots")]
pub struct RawBoots {
    /// What the node booted from: all its boots, in order. Default: any.
    #[serde(default)]
    pub order: List<BootedFrom>,
    /// Total number of boots. Default: any.
    #[serde(default)]
    #[schemars(range(min = 1))]
    pub times: Field<u32>,
    /// Number of boots from the network. Default: any.
    #[serde(default)]
    pub network: Field<u32>,
    /// Number of boots from disk. Default: any.
    #[serde(default)]
    pub disk: Field<u32>,
}

impl Shorthand for RawBoots {
    const NAME: &'static str = "$short:order";
    type Value = Vec<BootedFrom>;
}

/// What a node has fetched from the lab's services since the run started.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename = "fetched", rename_all = "kebab-case")]
pub struct RawFetched {
    /// A regular expression that path and query must match.
    pub path: Field<String>,
    /// Exactly how often. Default: see `at-least`.
    #[serde(default)]
    #[schemars(range(min = 1))]
    pub times: Field<u32>,
    /// How often at least. Default: 1.
    #[serde(default)]
    #[schemars(extend("default" = 1), range(min = 1))]
    pub at_least: Field<u32>,
    /// The address of the server that it was fetched from, the lab's or another one. Default: any.
    #[serde(default)]
    pub server: Field<Text<IpAddr>>,
    /// The HTTP method, such as HEAD. Default: GET; not used for TFTP.
    #[serde(default)]
    pub method: Field<String>,
    /// The HTTP status. Default: 200 to 299, with the body sent completely.
    #[serde(default)]
    #[schemars(range(min = 100, max = 599))]
    pub status: Field<u16>,
}

/// A lease that a node got.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename = "leased")]
pub struct RawLeased {
    /// The address of the DHCP server, the lab's or another one.
    #[schemars(extend("examples" = json!(["10.0.2.1"])))]
    pub server: Field<Text<IpAddr>>,
    /// The address that it assigned. Default: any.
    #[serde(default)]
    pub address: Field<Text<IpAddr>>,
}

impl Shorthand for RawLeased {
    const NAME: &'static str = "$short:server";
    type Value = Text<IpAddr>;
}

impl Shorthand for RawFetched {
    const NAME: &'static str = "$short:path";
    type Value = String;
}

/// A disk that a node can boot from.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename = "installed")]
pub struct RawInstalled {
    /// The disk. Default: the node's first.
    #[serde(default)]
    pub disk: Field<String>,
    /// The kind of its partition table. Default: either.
    #[serde(default)]
    pub table: Field<TableKind>,
    /// Number of partitions. Default: at least one.
    #[serde(default)]
    #[schemars(range(min = 1, max = 128))]
    pub partitions: Field<u32>,
}

/// A command in the lab's network namespace.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename = "command")]
pub struct RawCommand {
    /// The command, run by `sh -c`.
    pub run: Field<String>,
    /// The host on which it runs, as root there. Default: none; it runs where the bridges are.
    #[serde(default, rename = "in")]
    pub host: Field<String>,
    /// The exit code. Default: 0.
    #[serde(default)]
    #[schemars(extend("default" = 0))]
    pub exit: Field<i32>,
    /// A regular expression that standard output must match. Default: any.
    #[serde(default)]
    pub output: Field<String>,
    /// Values of standard output, by JSON Pointer (RFC 6901) or JSONPath (RFC 9535), as in
    /// `json = { "/status" = "ok", "$.members[*].health" = true }`. A key that begins with `$` is a JSONPath: it must
    /// find at least one value, and every value that it finds must be the expected one. Default: any.
    #[serde(default)]
    pub json: Keyed<RawJson>,
}

/// The end of a process.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename = "ended")]
pub struct RawEnded {
    /// The process.
    pub name: Field<String>,
    /// The exit code. Default: 0.
    #[serde(default)]
    #[schemars(extend("default" = 0))]
    pub exit: Field<i32>,
}

impl Shorthand for RawEnded {
    const NAME: &'static str = "$short:name";
    type Value = String;
}

impl Shorthand for RawCommand {
    const NAME: &'static str = "$short:run";
    type Value = String;
}

/// Adds the checks of which every setting has a default, and which may therefore be written as a word.
fn bare_checks(schema: &mut Schema) {
    if let Some(choices) = schema.get_mut("oneOf").and_then(serde_json::Value::as_array_mut) {
        choices.extend(words(&[
            ("http", "An HTTP GET of / on port 80 answers 200."),
            ("certificate", "The server on port 443 shows a certificate that is valid."),
            ("dns", "The node's own name resolves at the lab's DNS server."),
            ("etcd", "The nodes form one healthy etcd cluster with one leader."),
            ("cloud-init", "cloud-init on the node has finished without errors."),
            ("units", "No unit of systemd on the node has failed."),
            ("ignition", "Ignition on the node has finished, with a config of the user."),
            ("installed", "The node's first disk holds a system that its firmware can boot."),
        ]));
    }
}
