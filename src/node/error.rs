//! Why a node did not do what it was told to.

use std::borrow::Cow;
use std::error::Error;
use std::io;
use std::time::Duration;

use crate::hint::Hint;
use crate::name::{DiskName, NicName, NodeName};

/// Why a node did not do what it was told to.
#[derive(Debug, thiserror::Error)]
pub enum NodeError {
    /// There is no such node, or it was not started.
    #[error("there is no machine `{node}`")]
    Unknown {
        /// The name.
        node: NodeName,
    },
    /// It cannot do that.
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
    /// Its guest did not shut down.
    #[error("`{node}` is still on {} s after its power button was pressed", waited.as_secs())]
    StillOn {
        /// The node.
        node: NodeName,
        /// How long it was waited for.
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
    /// It was tried, and failed.
    #[error("cannot {what} `{node}`")]
    Failed {
        /// What was tried.
        what: &'static str,
        /// The node.
        node: NodeName,
        /// What would help, where that is known.
        hint: Option<String>,
        /// Why.
        #[source]
        source: Box<dyn Error + Send + Sync>,
    },
}

impl NodeError {
    /// Makes the error of something that was tried.
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
            Self::NoSuchNic { .. } => None,
        }
    }
}

/// Why a disk cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum InspectError {
    /// The node does not show its disk.
    #[error("the machine does not show the disk")]
    Hidden(#[source] Box<dyn Error + Send + Sync>),
    /// The node has no such disk.
    #[error("the machine has no disk `{0}`")]
    NoDisk(DiskName),
    /// It cannot be read.
    #[error("cannot read the disk")]
    Read(#[source] io::Error),
    /// There is no `qemu-nbd`.
    #[error("this host has no `qemu-nbd`, which shows disks of machines that are off: install qemu-utils")]
    NoProgram,
    /// It cannot be started.
    #[error("cannot start `qemu-nbd`")]
    Spawn(#[source] crate::system::process::SpawnError),
}
