//! What somebody wants of a run.

use tokio::sync::oneshot;

use super::status::Status;
use crate::name::NodeName;
use crate::node::{Effect, NodeCommand, NodeError};

/// The answer to a command to a node.
pub(super) type NodeReply = oneshot::Sender<Result<Effect, NodeError>>;

/// What somebody wants of a run.
#[derive(Debug)]
pub(super) enum RunCommand {
    /// To know how it stands.
    Status(oneshot::Sender<Status>),
    /// That a node does something.
    Node {
        /// The node.
        node: NodeName,
        /// What it is to do.
        command: NodeCommand,
        /// Takes how it turned out.
        reply: NodeReply,
    },
    /// That it ends.
    Down {
        /// Who or what asks for it.
        why: String,
        /// Whether it is a Ctrl-C and not the regular end.
        interrupted: bool,
    },
}
