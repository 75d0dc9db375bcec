//! What somebody wants of a run as a whole.

use tokio::sync::oneshot;

use super::status::Status;

/// What somebody wants of the run as a whole.
#[derive(Debug)]
pub(super) enum RunCommand {
    /// To know how it stands.
    Status(oneshot::Sender<Status>),
    /// That it ends.
    Down {
        /// Who or what asks for it.
        why: String,
        /// Whether it is a Ctrl-C and not the regular end.
        interrupted: bool,
    },
}
