//! The stages of a boot, and boot sources.

use std::fmt;

use serde::{Deserialize, Serialize};

/// How far a node has come on its way up.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, schemars::JsonSchema,
)]
#[serde(rename_all = "lowercase")]
pub enum Stage {
    /// Not running.
    Off,
    /// Powered on; the firmware has not yet asked for anything.
    Firmware,
    /// The firmware has an address.
    Dhcp,
    /// The firmware fetches or runs a network boot program.
    Nbp,
    /// A boot loader (iPXE with our script, GRUB, …) is at work.
    Loader,
    /// A kernel was handed over or has printed its first line.
    Kernel,
    /// The operating system is up: a login prompt, or its own DHCP client was answered.
    Os,
}

impl Stage {
    /// Every stage, in order.
    pub const ALL: [Self; 7] =
        [Self::Off, Self::Firmware, Self::Dhcp, Self::Nbp, Self::Loader, Self::Kernel, Self::Os];

    /// Returns the value in the lab file.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Off => "off",
            Self::Firmware => "firmware",
            Self::Dhcp => "dhcp",
            Self::Nbp => "nbp",
            Self::Loader => "loader",
            Self::Kernel => "kernel",
            Self::Os => "os",
        }
    }
}

impl fmt::Display for Stage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// What a machine booted from.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, schemars::JsonSchema,
)]
#[serde(rename_all = "lowercase", rename = "booted-from")]
pub enum BootedFrom {
    /// It fetched its kernel.
    Network,
    /// A kernel came up that it had not fetched.
    Disk,
    /// A kernel came up that it may have fetched from other servers than the lab's.
    #[schemars(skip)]
    Unknown,
}

impl BootedFrom {
    /// Returns the value in the lab file.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Network => "network",
            Self::Disk => "disk",
            Self::Unknown => "unknown",
        }
    }

    /// Returns the text that follows "from".
    pub fn with_article(self) -> &'static str {
        match self {
            Self::Network => "the network",
            Self::Disk => "its disk",
            Self::Unknown => "an unknown source",
        }
    }
}

/// What a node can boot from, as far as it is known when the lab starts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct BootSources {
    /// Whether it has a disk.
    pub disk: bool,
    /// Who serves its network boots.
    pub network: BootServers,
}

impl Default for BootSources {
    /// Assumed where a run of an earlier version does not say it.
    fn default() -> Self {
        Self { disk: true, network: BootServers::Lab }
    }
}

/// Who serves the network boots of a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum BootServers {
    /// Only the lab's services, if anybody does.
    Lab,
    /// The lab's services or others, such as beside ProxyDHCP. The lab's DHCP sees the requests of its firmware.
    LabAndOthers,
    /// Others. The lab sees no request of its firmware.
    Others,
    /// The lab's services or others: the capture sees whatever is not encrypted.
    Captured,
}

impl fmt::Display for BootedFrom {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}
