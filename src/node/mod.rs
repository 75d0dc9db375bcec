//! What can be done to a node, whatever it is made of.
//!
//! [`Node`] is the seam: a QEMU machine is behind it today. The caller does not know what a node is made
//! of; [`Capabilities`] say what it can do, and [`Capabilities::check`] refuses the rest before it is tried.

mod capabilities;
mod command;
mod error;
pub mod partition_table;
pub mod qemu;

use std::pin::Pin;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use tokio::sync::{broadcast, mpsc};

pub use capabilities::Capabilities;
pub use command::{BootOverride, Effect, MediaCommand, NodeCommand, Power};
pub use error::{InspectError, NodeError};

use crate::lab::Firmware;
use crate::name::{DiskName, NodeName};
use partition_table::Layout;

/// Work on a node that has begun when it is first polled. Dropping it gives it up.
pub type Work<'a, T, E = NodeError> = Pin<Box<dyn Future<Output = Result<T, E>> + Send + 'a>>;

/// A node that was started: everything that can be done to it.
///
/// It outlives being powered off; its console and its screen endpoint stay.
pub trait Node: Send + Sync {
    /// Returns its name.
    fn name(&self) -> &NodeName;

    /// Returns what it can do.
    fn capabilities(&self) -> Capabilities;

    /// Carries a command out; returns when that is done.
    fn carry_out(&self, command: NodeCommand) -> Work<'_, Effect>;

    /// Attaches to its serial console.
    fn console(&self) -> Result<Attachment, NodeError>;

    /// Returns its screen as PNG.
    fn screenshot(&self) -> Work<'_, Vec<u8>>;

    /// Returns its PCI devices.
    fn devices(&self) -> Work<'_, Vec<Device>>;

    /// Returns its disks as they are attached.
    fn blocks(&self) -> Work<'_, Vec<Block>>;

    /// Reads what a disk holds; the inner error says why there is no partition table.
    fn inspect(
        &self,
        disk: DiskName,
        firmware: Firmware,
    ) -> Work<'_, Result<DiskContents, String>, InspectError>;

    /// Ends it for good, when the lab is torn down; returns when it is gone.
    fn end(&self) -> Pin<Box<dyn Future<Output = ()> + Send + '_>>;
}

/// What a client gets that attaches to a console.
#[derive(Debug)]
pub struct Attachment {
    /// The last few kilobytes of output.
    pub replay: Vec<u8>,
    /// The output from then on, without a gap. A receiver that lags should give up.
    pub output: broadcast::Receiver<Bytes>,
    /// Input for the node. Lost while it is off.
    pub input: mpsc::Sender<Bytes>,
}

/// What was found on a disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DiskContents {
    /// Its partition table.
    pub layout: Layout,
    /// What the firmware finds there, or what it misses.
    pub bootable: Result<String, String>,
}

/// A PCI device of a running node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Device {
    /// Bus, slot and function.
    pub address: String,
    /// Its id in QEMU; empty for devices of the chip set.
    pub id: String,
    /// PCI vendor.
    pub vendor: u16,
    /// PCI device.
    pub device: u16,
    /// What it is.
    pub class: String,
}

/// A disk or medium of a running node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Block {
    /// The id of its device in QEMU.
    pub device: String,
    /// The name of its block node in QEMU.
    pub node: String,
    /// The file behind it.
    pub file: String,
    /// Size that the guest sees, in bytes.
    pub size: u64,
    /// Whether the guest may only read.
    pub read_only: bool,
    /// `ok`, `failed` or `nospace`, where the device knows.
    pub status: Option<String>,
}
