//! Operations on nodes, independent of their kind.
//!
//! [`Node`] is the interface; today a QEMU machine implements it. The caller does not know the kind of a node:
//! [`Capabilities`] lists what it supports, and [`Capabilities::check`] rejects everything else in advance.

mod capabilities;
mod command;
mod error;
pub mod file_system;
pub mod hardware;
pub mod host;
pub mod keys;
pub mod partition_table;
pub mod qemu;
pub mod screen;

use std::path::PathBuf;
use std::pin::Pin;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use tokio::sync::{broadcast, mpsc, watch};

pub use capabilities::Capabilities;
pub use command::{
    BootOverride, Effect, Export, ExportedImage, FirmwareChange, MediaCommand, MediaImage, NodeCommand, Power,
};
pub use error::{InspectError, NodeError};

use crate::bmc::secure_boot::KeyMode;
use crate::lab::Firmware;
use crate::name::{DiskName, NodeName};
use crate::plan::BootTarget;
use crate::system::file_watch::FileWatch;
use file_system::FileSought;
use partition_table::Layout;
use screen::ScreenReading;

/// An operation on a node. It starts when first polled; dropping it cancels it.
pub type Work<'a, T, E = NodeError> = Pin<Box<dyn Future<Output = Result<T, E>> + Send + 'a>>;

/// A started node, with all operations on it.
///
/// It stays when the node is powered off, and so do its console and the endpoint of its screen.
pub trait Node: Send + Sync {
    /// Returns its name.
    fn name(&self) -> &NodeName;

    /// Returns its capabilities.
    fn capabilities(&self) -> Capabilities;

    /// Executes a command and returns when it is complete.
    fn carry_out(&self, command: NodeCommand) -> Work<'_, Effect>;

    /// Returns the override of its boot order, and from then on each other one.
    fn boot_override(&self) -> watch::Receiver<BootOverride>;

    /// Reads the variables of its firmware; `None` if it has none.
    fn firmware_variables(&self) -> Work<'_, Option<FirmwareVariables>>;

    /// Watches the variables of its firmware, which its firmware and its system write while it is on; `None` if it has
    /// none. What takes their place when it starts is noticed as well, once.
    fn watch_firmware(&self) -> Result<Option<FileWatch>, NodeError> {
        Ok(None)
    }

    /// Attaches to its serial console.
    fn console(&self) -> Result<Attachment, NodeError>;

    /// Returns what its system says to its BMC; `None` if it has no interface for that, or if it was taken before.
    fn system_interface(&self) -> Option<mpsc::UnboundedReceiver<FromSystem>> {
        None
    }

    /// Returns its screen as PNG.
    fn screenshot(&self) -> Work<'_, Vec<u8>>;

    /// Returns the text on its screen; that of the last look if it is off.
    fn screen(&self) -> Work<'_, ScreenReading>;

    /// Returns its PCI devices.
    fn devices(&self) -> Work<'_, Vec<Device>>;

    /// Returns its attached disks.
    fn blocks(&self) -> Work<'_, Vec<Block>>;

    /// Reads the content of a disk; the inner error says why there is no partition table.
    fn inspect(
        &self,
        disk: DiskName,
        firmware: Firmware,
    ) -> Work<'_, Result<DiskContents, String>, InspectError>;

    /// Looks for a file on a disk, by its path within its file system.
    fn find_file(&self, disk: DiskName, path: PathBuf) -> Work<'_, FileSought, InspectError>;

    /// Ends the node for good when the lab is torn down; returns when it is gone.
    fn end(&self) -> Pin<Box<dyn Future<Output = ()> + Send + '_>>;
}

/// A client's connection to a console.
#[derive(Debug)]
pub struct Attachment {
    /// The last few kilobytes of output.
    pub replay: Vec<u8>,
    /// The output from then on, without a gap. A receiver that lags should give up.
    pub output: broadcast::Receiver<Bytes>,
    /// Input for the node. Discarded while it is off.
    pub input: mpsc::Sender<Bytes>,
}

/// What a UEFI firmware has in its variables.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FirmwareVariables {
    /// Its boot entries, in the order in which it tries them.
    pub entries: Vec<FirmwareEntry>,
    /// Whether it is to check signatures, and whether it has a platform key.
    pub secure_boot: Option<(bool, KeyMode)>,
}

/// A boot entry of a UEFI firmware.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FirmwareEntry {
    /// Its number.
    pub number: u16,
    /// Its name.
    pub name: String,
    /// What it boots from.
    pub target: BootTarget,
}

/// Something that the system of a node says to its BMC.
#[derive(Debug)]
pub struct FromSystem {
    /// A piece of the stream of bytes; see [`crate::bmc::in_band`].
    pub bytes: Bytes,
    /// Takes the answer to it. If it is dropped, there is none.
    pub answer: mpsc::OwnedPermit<Bytes>,
}

/// The content of a disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DiskContents {
    /// Its partition table.
    pub layout: Layout,
    /// What the firmware can start there, or what is missing.
    pub bootable: Result<String, String>,
}

/// A PCI device of a running node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Device {
    /// Bus, slot and function.
    pub address: String,
    /// Its ID in QEMU; empty for devices of the chipset.
    pub id: String,
    /// PCI vendor ID.
    pub vendor: u16,
    /// PCI device ID.
    pub device: u16,
    /// Its description.
    pub class: String,
}

/// A disk or medium of a running node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Block {
    /// The ID of its device in QEMU.
    pub device: String,
    /// The name of its block node in QEMU.
    pub node: String,
    /// The file behind it.
    pub file: String,
    /// The size that the guest sees, in bytes.
    pub size: u64,
    /// Whether it is read-only for the guest.
    pub read_only: bool,
    /// `ok`, `failed` or `nospace`, if the device reports it.
    pub status: Option<String>,
}
