//! Checks that log in to a node by ssh and look at its system.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

pub use crate::config::{CloudInitStatus, Control};
use crate::lab::{Pattern, Secret};
use crate::name::{DiskName, NicName};

/// How a check logs in to a node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Login {
    /// The user.
    pub user: String,
    /// The port.
    pub port: u16,
    /// The private key; the run's own key if left out.
    pub key: Option<Secret>,
}

/// A check of the running system of a node.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct OnNode {
    /// How to log in.
    pub login: Login,
    /// What is checked there.
    pub system: SystemCheck,
}

/// What is checked on a running system.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SystemCheck {
    /// cloud-init has this status.
    CloudInit {
        /// The status.
        status: CloudInitStatus,
        /// Whether errors are accepted from which it recovered.
        degraded: bool,
    },
    /// systemd has started everything, and no unit has failed.
    Units {
        /// Units that may have failed.
        allow_failed: Vec<String>,
    },
    /// Ignition has finished.
    Ignition {
        /// Whether it must have had a config of the user.
        user_config: bool,
    },
    /// The command line of the kernel.
    Cmdline {
        /// Arguments that it has.
        has: Vec<String>,
        /// Arguments that it does not have.
        without: Vec<String>,
    },
    /// The names of interfaces, by NIC.
    NicNames(BTreeMap<NicName, String>),
    /// The clock differs from that of this machine by at most so much.
    Clock(Duration),
    /// A file.
    File(NodeFile),
    /// Something that the node cannot reach.
    Unreachable(Unreachable),
}

/// A file of a running node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeFile {
    /// Its path.
    pub path: PathBuf,
    /// Whether it exists.
    pub exists: bool,
    /// Its content matches.
    pub content: Option<Pattern>,
    /// Its permissions.
    pub mode: Option<u32>,
    /// The user that owns it, and the group if there is a colon.
    pub owner: Option<String>,
}

/// A file on a disk of a node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DiskFile {
    /// The disk.
    pub disk: DiskName,
    /// The file; its path is that within its file system.
    #[serde(flatten)]
    pub file: NodeFile,
}

/// Something that a node cannot reach.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unreachable {
    /// What.
    pub target: Target,
    /// Who can reach it.
    pub control: Control,
}

/// A target that a node tries to reach.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Target {
    /// A TCP port.
    Tcp(SocketAddr),
    /// A URL, and the address and port in it, if it names no host.
    Url {
        /// The URL.
        url: String,
        /// The host in it.
        host: String,
        /// The port in it, or that of its scheme.
        port: u16,
    },
}

impl std::fmt::Display for Target {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Tcp(target) => target.fmt(f),
            Self::Url { url, .. } => f.write_str(url),
        }
    }
}

impl std::fmt::Display for SystemCheck {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::CloudInit { status: CloudInitStatus::Done, degraded: false } => {
                f.write_str("cloud-init done")
            }
            Self::CloudInit { status: CloudInitStatus::Done, degraded: true } => {
                f.write_str("cloud-init done, or degraded done")
            }
            Self::CloudInit { status: CloudInitStatus::Disabled, .. } => f.write_str("cloud-init disabled"),
            Self::Units { allow_failed } if allow_failed.is_empty() => f.write_str("no failed units"),
            Self::Units { allow_failed } => write!(f, "no failed units but {}", allow_failed.join(", ")),
            Self::Ignition { user_config: true } => {
                f.write_str("ignition finished with a config of the user")
            }
            Self::Ignition { user_config: false } => f.write_str("ignition finished"),
            Self::Cmdline { has, without } => {
                let without = without.iter().map(|argument| format!("without {argument}"));
                let parts: Vec<String> = has.iter().cloned().chain(without).collect();
                write!(f, "cmdline {}", parts.join(", "))
            }
            Self::NicNames(names) => {
                let names: Vec<String> = names.iter().map(|(nic, name)| format!("{nic} is {name}")).collect();
                write!(f, "nics: {}", names.join(", "))
            }
            Self::Clock(offset) => write!(f, "clock within {}", crate::event::Ago(*offset)),
            Self::File(file) => file.fmt(f),
            Self::Unreachable(Unreachable { target, .. }) => write!(f, "{target} unreachable"),
        }
    }
}

impl std::fmt::Display for NodeFile {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { path, exists, content, mode, owner } = self;
        if !exists {
            return write!(f, "no file {}", path.display());
        }
        write!(f, "file {}", path.display())?;
        if let Some(mode) = mode {
            write!(f, ", mode {mode:04o}")?;
        }
        if let Some(owner) = owner {
            write!(f, ", owner {owner}")?;
        }
        content.iter().try_for_each(|content| write!(f, ", content /{content}/"))
    }
}
