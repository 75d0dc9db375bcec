//! Checks that log in to a node by ssh and look at its system, as written in the lab file.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::secret::RawSecret;
use super::value::{Field, Keyed, List, Located, Short, Shorthand, Text};
use super::word::{Server, Span};

/// How a check logs in to a node.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename = "login")]
pub struct RawLogin {
    /// The user. Default: root.
    #[serde(default)]
    #[schemars(extend("default" = "root"))]
    pub user: Field<String>,
    /// The port. Default: 22.
    #[serde(default)]
    #[schemars(extend("default" = 22), range(min = 1))]
    pub port: Field<u16>,
    /// The private key. Default: the run's own, which the cloud-init seed authorizes.
    #[serde(default)]
    pub key: Field<RawSecret>,
}

impl Shorthand for RawLogin {
    const NAME: &'static str = "$short:user";
    type Value = String;
}

/// A state of cloud-init.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", rename = "cloud-init-status")]
pub enum CloudInitStatus {
    /// All its stages have ended without an error.
    #[default]
    Done,
    /// It is installed, but does not run.
    Disabled,
}

/// What `cloud-init status` says.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename = "cloud-init")]
pub struct RawCloudInit {
    /// The status. Default: done.
    #[serde(default)]
    #[schemars(extend("default" = "done"))]
    pub status: Field<CloudInitStatus>,
    /// Whether errors are accepted from which cloud-init recovered (`degraded done`). Deprecations always are. Default:
    /// false.
    #[serde(default)]
    #[schemars(extend("default" = false))]
    pub degraded: Field<bool>,
    /// How to log in: a user, or a table. Default: root, with the key of the run.
    #[serde(default)]
    pub login: Field<Short<RawLogin>>,
}

impl Shorthand for RawCloudInit {
    const NAME: &'static str = "$short:status";
    type Value = CloudInitStatus;
}

/// The units of systemd.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename = "units", rename_all = "kebab-case")]
pub struct RawUnits {
    /// Units that may have failed. A name without a type is a service. Default: none.
    #[serde(default)]
    pub allow_failed: List<String>,
    /// How to log in: a user, or a table. Default: root, with the key of the run.
    #[serde(default)]
    pub login: Field<Short<RawLogin>>,
}

/// What Ignition left behind.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename = "ignition-result", rename_all = "kebab-case")]
pub struct RawIgnitionResult {
    /// Whether it must have had a config of the user, rather than only that of the system. Default: true.
    #[serde(default)]
    #[schemars(extend("default" = true))]
    pub user_config: Field<bool>,
    /// How to log in: a user, or a table. Default: root, with the key of the run.
    #[serde(default)]
    pub login: Field<Short<RawLogin>>,
}

/// The command line of the running kernel.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename = "cmdline")]
pub struct RawCmdline {
    /// Arguments that it has; one without `=` stands for any value. Default: none.
    #[serde(default)]
    pub has: List<String>,
    /// Arguments that it does not have; one without `=` stands for any value. Default: none.
    #[serde(default)]
    pub without: List<String>,
    /// How to log in: a user, or a table. Default: root, with the key of the run.
    #[serde(default)]
    pub login: Field<Short<RawLogin>>,
}

impl Shorthand for RawCmdline {
    const NAME: &'static str = "$short:has";
    type Value = Vec<String>;
}

/// The names that the system gave to the NICs of a node.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename = "nic-names")]
pub struct RawNicNames {
    /// The name of the interface of each NIC, which is found by its MAC address: `names = { lan = "eno1" }`.
    #[serde(default)]
    pub names: Keyed<Located<String>>,
    /// How to log in: a user, or a table. Default: root, with the key of the run.
    #[serde(default)]
    pub login: Field<Short<RawLogin>>,
}

/// The clock of a node.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename = "node-clock")]
pub struct RawNodeClock {
    /// The largest difference from the clock of this machine. What the measurement leaves open counts as difference.
    #[serde(default)]
    pub offset: Field<Text<Span>>,
    /// How to log in: a user, or a table. Default: root, with the key of the run.
    #[serde(default)]
    pub login: Field<Short<RawLogin>>,
}

impl Shorthand for RawNodeClock {
    const NAME: &'static str = "$short:offset";
    type Value = Text<Span>;
}

/// A file of a running node.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename = "node-file")]
pub struct RawNodeFile {
    /// The absolute path of a file or folder; links are followed.
    #[serde(default)]
    pub path: Field<String>,
    /// Whether it exists. Default: true.
    #[serde(default)]
    #[schemars(extend("default" = true))]
    pub exists: Field<bool>,
    /// A regular expression that the first mebibyte of the file must match. Default: any.
    #[serde(default)]
    pub content: Field<String>,
    /// The mode, in octal: `mode = "0600"`. Default: any.
    #[serde(default)]
    pub mode: Field<String>,
    /// The user and group that own it: `owner = "root:root"`, or the user alone. Default: any.
    #[serde(default)]
    pub owner: Field<String>,
    /// A disk on which the file is looked for from outside, whether the node is on or off: `disk = "root"`. `path` is
    /// then the path within its file system (ext2 to ext4, or FAT), and `owner` is given by numbers. Default: none; the
    /// running node is asked.
    #[serde(default)]
    pub disk: Field<String>,
    /// How to log in: a user, or a table. Default: root, with the key of the run.
    #[serde(default)]
    pub login: Field<Short<RawLogin>>,
}

impl Shorthand for RawNodeFile {
    const NAME: &'static str = "$short:path";
    type Value = String;
}

/// Who must be able to reach a target that a node cannot reach.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", rename = "control")]
pub enum Control {
    /// Dryrack: a target that is down does not meet the check.
    #[default]
    Lab,
    /// Nobody: the target may be down.
    None,
}

/// What a node cannot reach.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename = "unreachable")]
pub struct RawUnreachable {
    /// A TCP port that the node cannot connect to, as in "10.0.9.5:623"; either this or `url`.
    #[serde(default)]
    pub tcp: Field<Text<Server>>,
    /// An HTTP URL that the node cannot fetch: it cannot connect, or gets a status other than 200 to 399.
    #[serde(default)]
    pub url: Field<String>,
    /// Who must be able to connect to the target meanwhile. Default: lab.
    #[serde(default)]
    #[schemars(extend("default" = "lab"))]
    pub control: Field<Control>,
    /// How to log in: a user, or a table. Default: root, with the key of the run.
    #[serde(default)]
    pub login: Field<Short<RawLogin>>,
}
