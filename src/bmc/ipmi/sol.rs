//! Serial over LAN: the serial line of a machine in packets of a session (section 15).
//!
//! Both ends send one packet at a time and wait for its acknowledgement; [`bmc`] and [`console`] are the two ends.
//!
//! ```text
//! sequence  acknowledged sequence  accepted characters  operation or status  characters …
//! ```

pub mod packet;
mod sender;

pub mod bmc;
pub mod console;

use super::completion::Completion;

/// Why Serial over LAN is not activated (section 24.1). Deactivate Payload has the first two as well (section 24.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// Another session has it. Of Deactivate Payload: nobody has it.
    Active,
    /// It is disabled.
    Disabled,
    /// Too many payloads are active.
    TooMany,
    /// It is not possible with encryption.
    Encrypted,
    /// It is not possible without encryption.
    Unencrypted,
    /// A reason that other commands have as well.
    Other(Completion),
}

impl Refusal {
    /// Reads a completion code of one of these commands.
    pub const fn of(completion: Completion) -> Self {
        match completion {
            Completion::Other(0x80) => Self::Active,
            Completion::Other(0x81) => Self::Disabled,
            Completion::Other(0x82) => Self::TooMany,
            Completion::Other(0x83) => Self::Encrypted,
            Completion::Other(0x84) => Self::Unencrypted,
            other => Self::Other(other),
        }
    }

    /// Returns its completion code.
    pub const fn completion(self) -> Completion {
        match self {
            Self::Active => Completion::Other(0x80),
            Self::Disabled => Completion::Other(0x81),
            Self::TooMany => Completion::Other(0x82),
            Self::Encrypted => Completion::Other(0x83),
            Self::Unencrypted => Completion::Other(0x84),
            Self::Other(other) => other,
        }
    }
}

impl std::fmt::Display for Refusal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Active => "another session has it",
            Self::Disabled => "it is disabled",
            Self::TooMany => "too many sessions have consoles",
            Self::Encrypted => "it is not possible with encryption",
            Self::Unencrypted => "it is not possible without encryption",
            Self::Other(completion) => return completion.fmt(f),
        })
    }
}

#[cfg(test)]
mod tests;
