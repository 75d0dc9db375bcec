//! Why a command to a node failed.

use std::borrow::Cow;
use std::error::Error;
use std::io;
use std::time::Duration;

use crate::hint::Hint;
use crate::name::{DiskName, NicName, NodeName};

/// Why a command to a node failed.
#[derive(Debug, thiserror::Error)]
pub enum NodeError {
    /// There is no such node, or it was not started.
    #[error("there is no node `{node}`")]
    Unknown {
        /// The name.
        node: NodeName,
    },
    /// It does not support the command.
    #[error("`{node}` does not support `{what}`")]
    Unsupported {
        /// The node.
        node: NodeName,
        /// The command.
        what: String,
        /// Why.
        why: String,
    },
    /// It is off.
    #[error("`{node}` is off")]
    Off {
        /// The node.
        node: NodeName,
    },
    /// Its guest did not shut down in time.
    #[error("`{node}` is still on {} s after its power button was pressed", waited.as_secs())]
    StillOn {
        /// The node.
        node: NodeName,
        /// The timeout.
        waited: Duration,
    },
    /// It has no such NIC.
    #[error("`{node}` has no NIC `{nic}`")]
    NoSuchNic {
        /// The node.
        node: NodeName,
        /// The NIC.
        nic: NicName,
    },
    /// It has no such drive, or several of which none was named.
    #[error("{}", no_such_drive(node, drive.as_ref(), drives))]
    NoSuchDrive {
        /// The node.
        node: NodeName,
        /// The drive that was named.
        drive: Option<DiskName>,
        /// Its drives for media.
        drives: Vec<DiskName>,
    },
    /// The lab file has no image for the drive.
    #[error("the lab file has no image for {drive} of `{node}`")]
    NoMedium {
        /// The node.
        node: NodeName,
        /// The drive.
        drive: DiskName,
    },
    /// The command failed.
    #[error("cannot {what} `{node}`")]
    Failed {
        /// The action.
        what: &'static str,
        /// The node.
        node: NodeName,
        /// The hint, if any.
        hint: Option<String>,
        /// Why.
        #[source]
        source: Box<dyn Error + Send + Sync>,
    },
}

impl NodeError {
    /// Creates the error of a failed action.
    pub fn failed(what: &'static str, node: &NodeName, source: impl Hint + Send + Sync + 'static) -> Self {
        let hint = source.hint().map(Cow::into_owned);
        Self::Failed { what, node: node.clone(), hint, source: Box::new(source) }
    }
}

impl Hint for NodeError {
    fn hint(&self) -> Option<Cow<'static, str>> {
        match self {
            Self::Unknown { .. } => Some("`dryrack status` lists the nodes".into()),
            Self::Unsupported { why, .. } => Some(why.clone().into()),
            Self::Off { .. } => Some("power it on first".into()),
            Self::StillOn { .. } => {
                Some("its guest ignores the power button: use `power off --force`".into())
            }
            Self::Failed { hint, .. } => hint.clone().map(Cow::Owned),
            Self::NoSuchDrive { drives, .. } => {
                let names: Vec<&str> = drives.iter().map(DiskName::as_str).collect();
                Some(format!("name one of its drives with `--drive`: {}", names.join(", ")).into())
            }
            Self::NoMedium { .. } => Some("name a file".into()),
            Self::NoSuchNic { .. } => None,
        }
    }
}

fn no_such_drive(node: &NodeName, drive: Option<&DiskName>, drives: &[DiskName]) -> String {
    match drive {
        Some(drive) => format!("`{node}` has no drive `{drive}`"),
        None => format!("`{node}` has {} drives for media", drives.len()),
    }
}

/// Why a disk cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum InspectError {
    /// The node cannot show its disks.
    #[error("the node does not show the disk")]
    Hidden(#[source] Box<dyn Error + Send + Sync>),
    /// The node has no such disk.
    #[error("the node has no disk `{0}`")]
    NoDisk(DiskName),
    /// It cannot be read.
    #[error("cannot read the disk")]
    Read(#[source] io::Error),
    /// `qemu-nbd` is not installed.
    #[error("this host has no `qemu-nbd`, which shows disks of machines that are off: install qemu-utils")]
    NoProgram,
    /// It cannot be started.
    #[error("cannot start `qemu-nbd`")]
    Spawn(#[source] crate::system::process::SpawnError),
}
