//! Commands to a run.

use tokio::sync::oneshot;

use super::fault::{FaultOrder, FaultRefusal};
use super::no_kubeconfig::NoKubeconfig;
use super::status::Status;
use crate::event::Source;
use crate::name::{ExpectName, FaultName, NodeName};
use crate::node::{Effect, NodeCommand, NodeError};

/// The answer to a command to a node.
pub(super) type NodeReply = oneshot::Sender<Result<Effect, NodeError>>;

/// The answer to an order about faults.
pub(super) type FaultReply = oneshot::Sender<Result<Vec<FaultName>, FaultRefusal>>;

/// A command to a run.
#[derive(Debug)]
pub(super) enum RunCommand {
    /// Return the status.
    Status(oneshot::Sender<Status>),
    /// Return a kubeconfig that works on this machine.
    Kubeconfig {
        /// The expectation that says where it is; the only one if left out.
        expect: Option<ExpectName>,
        /// Receives the text.
        reply: oneshot::Sender<Result<String, NoKubeconfig>>,
    },
    /// Execute a command on a node.
    Node {
        /// The node.
        node: NodeName,
        /// The command.
        command: NodeCommand,
        /// Whose it is: a user's, or a client's of a BMC.
        by: Source,
        /// Receives the result.
        reply: NodeReply,
    },
    /// Begin or end faults of a node.
    Fault {
        /// The node.
        node: NodeName,
        /// The order.
        order: FaultOrder,
        /// Receives the names of the faults that began or ended.
        reply: FaultReply,
    },
    /// End the run.
    Down {
        /// Who or what requested it.
        why: String,
        /// Whether it is an interrupt (Ctrl-C) and not the regular end.
        interrupted: bool,
    },
}
