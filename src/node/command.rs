//! Commands to a node.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::keys::Chord;
use crate::bmc::secure_boot::SecureBootChange;
pub use crate::lab::PowerAction as Power;
use crate::name::{DiskName, NicName};
use crate::plan::{BootTarget, FirmwareSettings};

/// A command to a node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NodeCommand {
    /// Changes its power state.
    Power(Power),
    /// Overrides what its firmware boots from.
    Boot(BootOverride),
    /// Inserts or ejects a medium.
    Media(MediaCommand),
    /// Sets the link state of a NIC.
    Link {
        /// The NIC.
        nic: NicName,
        /// Whether the link is up.
        up: bool,
    },
    /// Presses keys.
    Keys(Vec<Chord>),
    /// Sends a break on its serial console.
    Break,
    /// Changes what its firmware is told at its next starts.
    Firmware(FirmwareChange),
}

/// What a firmware is told at its next starts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FirmwareChange {
    /// Its settings.
    Settings(FirmwareSettings),
    /// The variables of Secure Boot.
    SecureBoot(SecureBootChange),
    /// What HTTP boot loads; what DHCP says if `None`.
    HttpBoot(Option<String>),
}

impl fmt::Display for NodeCommand {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Power(power) => write!(f, "power {}", power.as_str()),
            Self::Boot(BootOverride::Default) => write!(f, "boot default"),
            Self::Boot(BootOverride::Once(target)) => write!(f, "boot {} once", target.as_str()),
            Self::Boot(BootOverride::Entry(number)) => write!(f, "boot Boot{number:04X} once"),
            Self::Boot(BootOverride::Always(target)) => write!(f, "boot {} always", target.as_str()),
            Self::Media(media) => write!(f, "{media}"),
            Self::Link { nic, up } => write!(f, "link {nic} {}", if *up { "up" } else { "down" }),
            Self::Break => f.write_str("send a break"),
            Self::Firmware(FirmwareChange::Settings(_)) => f.write_str("change the settings of the firmware"),
            Self::Firmware(FirmwareChange::SecureBoot(_)) => f.write_str("change Secure Boot"),
            Self::Firmware(FirmwareChange::HttpBoot(_)) => f.write_str("change what HTTP boot loads"),
            // Not which ones: they may be a password.
            Self::Keys(chords) => write!(f, "press {} keys", chords.len()),
        }
    }
}

/// An override of the boot order of a firmware.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum BootOverride {
    /// No override.
    #[default]
    Default,
    /// The next start only.
    Once(BootTarget),
    /// The next start only, with this boot entry of UEFI.
    Entry(u16),
    /// Every start until the override is changed.
    Always(BootTarget),
}

impl BootOverride {
    /// Returns the boot target of the next start; `None` for the boot order.
    pub fn target(self) -> Option<BootTarget> {
        match self {
            Self::Default | Self::Entry(_) => None,
            Self::Once(target) | Self::Always(target) => Some(target),
        }
    }
}

/// A command to a drive for media of a node: a CD drive, or a USB port with a stick.
///
/// Without the name of a drive it is for the only one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum MediaCommand {
    /// Inserts an image, replacing one that is in the drive.
    Insert {
        /// The drive.
        #[serde(default)]
        drive: Option<DiskName>,
        /// The image; the one of the lab file if `None`.
        #[serde(default)]
        image: Option<MediaImage>,
    },
    /// Ejects the image, if any.
    Eject {
        /// The drive.
        #[serde(default)]
        drive: Option<DiskName>,
    },
}

/// An image for a drive.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum MediaImage {
    /// A file.
    File(PathBuf),
    /// What somebody in the run exports.
    #[serde(skip)]
    Exported(ExportedImage),
}

/// An image that is exported by NBD, read-only.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExportedImage {
    /// The socket, in the folder of the node.
    pub socket: String,
    /// Who serves it.
    pub export: Export,
    /// The size of the image in bytes.
    pub size: u64,
    /// Whether the machine may not write. What it writes stays in the run otherwise.
    pub is_write_protected: bool,
    /// What it is, for people.
    pub label: String,
}

/// Who serves an image: it ends when the last of these is dropped.
#[derive(Clone)]
pub struct Export(Arc<dyn Send + Sync>);

impl Export {
    /// Takes what serves until it is dropped.
    pub fn new(server: impl Send + Sync + 'static) -> Self {
        Self(Arc::new(server))
    }
}

impl fmt::Debug for Export {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Export")
    }
}

impl PartialEq for Export {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl Eq for Export {}

impl fmt::Display for MediaImage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(file) => write!(f, "{}", file.display()),
            Self::Exported(image) => f.write_str(&image.label),
        }
    }
}

impl fmt::Display for MediaCommand {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (verb, drive) = match self {
            Self::Insert { drive, .. } => ("insert", drive),
            Self::Eject { drive } => ("eject", drive),
        };
        f.write_str(verb)?;
        if let Self::Insert { image: Some(image), .. } = self {
            write!(f, " {image}")?;
        }
        drive.as_ref().map_or(Ok(()), |drive| write!(f, " ({drive})"))
    }
}

/// When a command takes effect.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Effect {
    /// It has taken effect already.
    Now,
    /// At the next start of the node: when a command powers it on, cycles or resets it.
    NextStart,
}
