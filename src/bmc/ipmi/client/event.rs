//! What a client tells its user.

use super::super::completion::Completion;
use super::super::message::Answer;
use super::super::privilege::Privilege;
use super::super::sol::packet::Status;
use super::super::suite::Cipher;
use super::error::Error;

/// Names a command that was asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ticket(pub(super) u64);

/// What to do if Serial over LAN is active in another session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WhenTaken {
    /// Leave it there.
    Refuse,
    /// Deactivate it there.
    TakeOver,
}

/// What happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// The session is there.
    Connected {
        /// The suite that was agreed.
        cipher: Cipher,
        /// The privilege of the session.
        privilege: Privilege,
    },
    /// A command was answered.
    Answered {
        /// Which command.
        ticket: Ticket,
        /// The answer.
        answer: Answer,
    },
    /// Serial over LAN is active.
    SolStarted,
    /// Serial over LAN could not be activated or deactivated; 80h means that it is active elsewhere, or not at all.
    SolRefused(Completion),
    /// The machine printed something.
    SolOutput(Vec<u8>),
    /// The BMC told something about the line, such as lost characters.
    SolStatus(Status),
    /// Serial over LAN ended: deactivated here or in another session.
    SolEnded,
    /// The session was closed, as asked.
    Closed,
    /// The client is of no use any more.
    Failed(Error),
}

/// What comes out of a client.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Progress {
    /// Datagrams to send, in their order.
    pub send: Vec<Vec<u8>>,
    /// What happened, in its order.
    pub events: Vec<Event>,
}
