//! The shape that all answers of a login share.

use super::status::Status;

/// What an answer says: the message, or why there is none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reply<T> {
    /// The message.
    Accepted(T),
    /// Why the BMC refuses.
    Refused {
        /// The tag of the request.
        tag: u8,
        /// The reason.
        status: Status,
        /// The session id of the console, 0 if the BMC does not know it.
        console: u32,
    },
}

impl<T> Reply<T> {
    /// Parses the common head, and the rest with `accepted` if the status is [`Status::Ok`].
    pub(super) fn parse<'a>(bytes: &'a [u8], accepted: impl FnOnce(&'a [u8]) -> Option<T>) -> Option<Self> {
        let (tag, rest) = bytes.split_first()?;
        let (status, rest) = rest.split_first()?;
        let status = Status::parse(*status);
        if status == Status::Ok {
            return accepted(bytes).map(Self::Accepted);
        }
        // Some BMCs cut refusals short.
        let console = rest.get(2..6).and_then(|id| id.first_chunk()).map_or(0, |id| u32::from_le_bytes(*id));
        Some(Self::Refused { tag: *tag, status, console })
    }

    /// Encodes the message with `accepted`, or the refusal.
    pub(super) fn encode(&self, accepted: impl FnOnce(&T) -> Vec<u8>) -> Vec<u8> {
        match self {
            Self::Accepted(message) => accepted(message),
            Self::Refused { tag, status, console } => head(*tag, *status, *console),
        }
    }
}

/// Encodes tag, status, two zeros and a session id.
pub(super) fn head(tag: u8, status: Status, console: u32) -> Vec<u8> {
    let mut bytes = vec![tag, status.number(), 0, 0];
    bytes.extend_from_slice(&console.to_le_bytes());
    bytes
}
