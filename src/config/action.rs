//! Actions as written in the lab file.

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::json;

use super::alternatives::{BootTarget, PowerAction, RawLink};
use super::secret::RawSecret;
use super::value::{Field, List, Short, Shorthand, Text};
use super::word::Span;

/// Something that is done once, while the lab is up.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename = "action")]
pub struct RawAction {
    /// The expectation (`expect.NAME` or `NAME`), action (`action.NAME`) or process (`process.NAME`) after which it is
    /// done. Default: none; when the lab is up.
    #[serde(default)]
    pub after: Field<String>,
    /// How long after that. Default: 0s.
    #[serde(default)]
    #[schemars(extend("default" = "0s"))]
    pub delay: Field<Text<Span>>,
    /// The nodes to which it is done: a list, or a table with `leader` or `any`. Default: none, for a command only.
    #[serde(default)]
    pub nodes: Field<Short<RawChosen>>,
    /// What is done.
    #[serde(rename = "do")]
    pub deed: Field<RawDeed>,
}

/// The nodes to which an action is done; exactly one of these.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename = "chosen")]
pub struct RawChosen {
    /// These nodes.
    #[serde(default)]
    pub names: List<String>,
    /// The node that this expectation about an etcd cluster last saw as the leader.
    #[serde(default)]
    pub leader: Field<String>,
    /// So many nodes: the first ones that are on, in the order of their names.
    #[serde(default)]
    #[schemars(range(min = 1))]
    pub any: Field<u16>,
}

impl Shorthand for RawChosen {
    const NAME: &'static str = "$short:names";
    type Value = Vec<String>;
}

/// What an action does.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", rename = "deed")]
pub enum RawDeed {
    /// Changes the power state, as `dryrack power` does.
    Power(PowerAction),
    /// Connects or disconnects the cable of a NIC, as `dryrack link` does.
    Link(RawSetLink),
    /// Inserts an image into a drive or ejects it, as `dryrack media` does.
    Media(RawSetMedia),
    /// Sets what the nodes boot from at their next start, as `dryrack boot-next` does.
    BootNext(BootTarget),
    /// Boots the nodes from the network once: sets that for the next start, and cycles the power.
    Reinstall(Field<RawReinstall>),
    /// Runs a command once.
    Run(Box<RawRun>),
}

/// The link of a NIC.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename = "set-link")]
pub struct RawSetLink {
    /// The NIC. Default: the only one of each node.
    #[serde(default)]
    pub nic: Field<String>,
    /// Whether the link is up.
    pub state: Field<RawLink>,
}

/// The medium in a drive.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename = "set-media")]
pub struct RawSetMedia {
    /// What is done.
    pub action: Field<MediaAction>,
    /// The drive. Default: the only one.
    #[serde(default)]
    pub drive: Field<String>,
    /// The image to insert, a path relative to the lab's folder. Default: the one of the drive.
    #[serde(default)]
    pub file: Field<String>,
}

/// What is done with a medium.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", rename = "media-action")]
pub enum MediaAction {
    /// Inserts an image, replacing one that is in the drive.
    Insert,
    /// Ejects the image.
    Eject,
}

/// A second installation.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename = "reinstall")]
pub struct RawReinstall {
    /// Whether the disks of the nodes are as at the start of the run again; USB sticks stay. Default: false.
    #[serde(default)]
    #[schemars(extend("default" = false))]
    pub wipe: Field<bool>,
}

/// A command that runs once: either `command` or `ssh`.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename = "run")]
pub struct RawRun {
    /// A command in the lab's network namespace, run by `sh -c`.
    #[serde(default)]
    pub command: Field<String>,
    /// The host on which `command` runs, as root there. Default: none; it runs where the bridges are.
    #[serde(default, rename = "in")]
    pub host: Field<String>,
    /// A command on each of the nodes, by ssh.
    #[serde(default)]
    pub ssh: Field<RawRunSsh>,
}

/// A command on a node.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename = "run-ssh")]
pub struct RawRunSsh {
    /// The user.
    #[schemars(extend("examples" = json!(["root"])))]
    pub user: Field<String>,
    /// The port. Default: 22.
    #[serde(default)]
    #[schemars(extend("default" = 22), range(min = 1))]
    pub port: Field<u16>,
    /// The private key. Default: the run's own key.
    #[serde(default)]
    pub key: Field<RawSecret>,
    /// The command.
    pub run: Field<String>,
}
