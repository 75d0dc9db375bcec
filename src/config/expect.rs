//! Expectations exactly as written.

use schemars::{JsonSchema, Schema};
use serde::Deserialize;

use super::alternatives::TableKind;
use super::value::{Field, Keyed, List, Located, Many, Short, Shorthand, Text, words};
use super::word::Span;
use crate::event::{BootedFrom, Stage};

/// What must (`that`) or must never (`never`) happen.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename = "expect")]
pub struct RawExpect {
    /// The nodes it holds for; each must meet it. Default: all nodes.
    #[serde(default)]
    pub nodes: List<String>,
    /// Another expectation, after which the time of this one begins. Default: the lab's start.
    #[serde(default)]
    pub after: Field<String>,
    /// The time it has. Default: 5m; for `never`, to the end of the run.
    #[serde(default)]
    #[schemars(extend("default" = "5m"))]
    pub within: Field<Text<Span>>,
    /// How long it must stay true. Default: 0s.
    #[serde(default)]
    #[schemars(extend("default" = "0s"))]
    pub holds: Field<Text<Span>>,
    /// What must happen; exactly one of this and `never`.
    #[serde(default)]
    pub that: Field<RawCheck>,
    /// What must never happen; exactly one of this and `that`.
    #[serde(default)]
    pub never: Field<RawCheck>,
}

/// What an expectation checks.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", rename = "check")]
#[schemars(transform = bare_checks)]
pub enum RawCheck {
    /// A line of the serial console matches this regular expression.
    Console(Located<String>),
    /// The node has come at least this far.
    Stage(Stage),
    /// A TCP port accepts connections: `tcp = 22`.
    Tcp(Short<RawTcp>),
    /// An HTTP GET answers.
    Http(Field<RawHttp>),
    /// A name resolves at the lab's DNS server.
    Dns(Field<RawDnsCheck>),
    /// A login over ssh works, and a command with it.
    Ssh(RawSsh),
    /// The nodes form one healthy etcd cluster with one leader.
    Etcd(Field<RawEtcd>),
    /// How often the node booted, and from what: `boots = ["network", "disk"]` is all its boots, in order.
    Boots(Short<RawBoots>),
    /// The node fetched a path by HTTP or TFTP: `fetched = "/assets/.*"`.
    Fetched(Short<RawFetched>),
    /// A disk of the node holds a system that its firmware can start, seen from outside.
    Installed(Field<RawInstalled>),
    /// A command in the lab's place does what it should: `command = "sh text"`.
    Command(Short<RawCommand>),
    /// A process of the lab has ended as it should: `process = "terraform"`.
    Process(Short<RawEnded>),
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

/// An HTTP GET.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename = "http")]
pub struct RawHttp {
    /// The port. Default: 80.
    #[serde(default)]
    #[schemars(extend("default" = 80), range(min = 1))]
    pub port: Field<u16>,
    /// Path and query. Default: /.
    #[serde(default)]
    #[schemars(extend("default" = "/"))]
    pub path: Field<String>,
    /// The status. Default: 200.
    #[serde(default)]
    #[schemars(extend("default" = 200), range(min = 100, max = 599))]
    pub status: Field<u16>,
    /// A regular expression that the body matches. Default: any.
    #[serde(default)]
    pub body: Field<String>,
    /// Regular expressions that headers match, by name. Default: any.
    #[serde(default)]
    pub header: Keyed<Located<String>>,
}

/// A name.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename = "dns-check")]
pub struct RawDnsCheck {
    /// The name. Default: the node's own.
    #[serde(default)]
    pub name: Field<String>,
    /// The addresses, as a set. Default: any.
    #[serde(default)]
    pub answer: Many<Text<std::net::IpAddr>>,
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
    /// The private key. Default: the run's own, which a seed hands to the node.
    #[serde(default)]
    pub key: Field<RawSecret>,
    /// A command. Default: only the login.
    #[serde(default)]
    pub run: Field<String>,
    /// The exit code. Default: 0.
    #[serde(default)]
    #[schemars(extend("default" = 0))]
    pub exit: Field<i32>,
    /// A regular expression that standard output matches. Default: any.
    #[serde(default)]
    pub output: Field<String>,
}

/// Where a secret is to be found; never the secret itself.
#[derive(Clone, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", rename = "secret")]
pub enum RawSecret {
    /// In a variable of the environment.
    Env(Located<String>),
    /// In a file, a path relative to the lab's folder.
    File(Located<String>),
}

impl std::fmt::Debug for RawSecret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Secret")
    }
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
}

/// The boots of a node in which a kernel came up. A boot is `network` where the node fetched its kernel, else `disk`.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename = "boots")]
pub struct RawBoots {
    /// What the node booted from, all its boots in order. Default: any.
    #[serde(default)]
    pub order: List<BootedFrom>,
    /// How many boots there were. Default: any.
    #[serde(default)]
    #[schemars(range(min = 1))]
    pub times: Field<u32>,
    /// How many of them from the network. Default: any.
    #[serde(default)]
    pub network: Field<u32>,
    /// How many of them from disk. Default: any.
    #[serde(default)]
    pub disk: Field<u32>,
}

impl Shorthand for RawBoots {
    const NAME: &'static str = "$short:order";
    type Value = Vec<BootedFrom>;
}

/// What a node fetched from the lab's services since the run's start.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename = "fetched", rename_all = "kebab-case")]
pub struct RawFetched {
    /// A regular expression that path and query match.
    pub path: Field<String>,
    /// Exactly how often. Default: see `at-least`.
    #[serde(default)]
    #[schemars(range(min = 1))]
    pub times: Field<u32>,
    /// How often at least. Default: 1.
    #[serde(default)]
    #[schemars(extend("default" = 1), range(min = 1))]
    pub at_least: Field<u32>,
    /// The method of HTTP, such as HEAD. Default: GET; by TFTP there is none.
    #[serde(default)]
    pub method: Field<String>,
    /// The status of HTTP. Default: any from 200 to 299, and sent to the end.
    #[serde(default)]
    #[schemars(range(min = 100, max = 599))]
    pub status: Field<u16>,
}

impl Shorthand for RawFetched {
    const NAME: &'static str = "$short:path";
    type Value = String;
}

/// A disk that a node can boot from.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename = "installed")]
pub struct RawInstalled {
    /// The disk. Default: the first of the node's.
    #[serde(default)]
    pub disk: Field<String>,
    /// The kind of its partition table. Default: either.
    #[serde(default)]
    pub table: Field<TableKind>,
    /// How many partitions it has. Default: at least one.
    #[serde(default)]
    #[schemars(range(min = 1, max = 128))]
    pub partitions: Field<u32>,
}

/// A command in the lab's place.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename = "command")]
pub struct RawCommand {
    /// The command, run by `sh -c`.
    pub run: Field<String>,
    /// The exit code. Default: 0.
    #[serde(default)]
    #[schemars(extend("default" = 0))]
    pub exit: Field<i32>,
    /// A regular expression that standard output matches. Default: any.
    #[serde(default)]
    pub output: Field<String>,
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
            ("dns", "The node's own name resolves at the lab's DNS server."),
            ("etcd", "The nodes form one healthy etcd cluster with one leader."),
            ("installed", "The node's first disk holds a system that its firmware can start."),
        ]));
    }
}
