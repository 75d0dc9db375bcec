//! Why a client failed, and what to do about it.

use super::super::handshake::Status;
use super::super::privilege::Privilege;

/// What the client waited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// The answer to Open Session.
    Open,
    /// RAKP 2.
    Rakp2,
    /// RAKP 4.
    Rakp4,
    /// The answer to a command.
    Command,
    /// The acknowledgement of what was typed.
    Sol,
}

impl std::fmt::Display for Step {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Open => "Open Session",
            Self::Rakp2 => "RAKP message 1",
            Self::Rakp4 => "RAKP message 3",
            Self::Command => "a command",
            Self::Sol => "Serial over LAN",
        })
    }
}

/// Why a client failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Error {
    /// Nothing came back.
    Silent {
        /// For what the client waited.
        step: Step,
    },
    /// The BMC accepts none of the suites.
    NoSuite {
        /// Their numbers.
        tried: Vec<u8>,
    },
    /// The BMC does not know the user.
    UnknownUser,
    /// The BMC has another password: its proof in RAKP 2 does not match.
    WrongPassword,
    /// The user may not have the privilege.
    Privilege {
        /// The privilege that was asked for.
        wanted: Privilege,
    },
    /// The BMC has no room for another session.
    NoResources,
    /// The keys differ after the login: the check value in RAKP 4 is wrong.
    WrongKey,
    /// The BMC refuses the login for another reason.
    Refused {
        /// What it refuses.
        step: Step,
        /// Why.
        status: Status,
    },
}

impl Error {
    /// Returns what to do about it.
    pub fn hint(&self) -> &'static str {
        match self {
            Self::Silent { step: Step::Open } => {
                "check the address, that UDP port 623 is open, and that IPMI over LAN is enabled"
            }
            Self::Silent { step: Step::Rakp2 } => {
                "some BMCs are silent when they do not know the user: check the user name"
            }
            Self::Silent { step: Step::Rakp4 } => {
                "the BMC may be out of sessions: wait a minute and try again"
            }
            Self::Silent { step: Step::Command | Step::Sol } => {
                "the BMC restarted, dropped the session or is out of reach: log in again"
            }
            Self::NoSuite { .. } => {
                "enable cipher suite 17 or 3 in the settings of the BMC, or update its firmware"
            }
            Self::UnknownUser => {
                "check the user name, and that the user is enabled and may use IPMI over LAN on this channel"
            }
            Self::WrongPassword => "check the password; the BMC uses at most 20 bytes of it",
            Self::Privilege { .. } => {
                "ask for a lower privilege, or raise the limit of the user on this channel"
            }
            Self::NoResources => "close other sessions, or wait a minute until they time out",
            Self::WrongKey => "the BMC has a key K_g: give it to the client, or clear it in the BMC",
            Self::Refused { .. } => "look for the session and user limits of the BMC",
        }
    }
}

impl std::fmt::Display for Error {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Silent { step } => write!(f, "the BMC does not answer to {step}"),
            Self::NoSuite { tried } => {
                let tried: Vec<_> = tried.iter().map(u8::to_string).collect();
                write!(f, "the BMC does not accept cipher suite {}", tried.join(" or "))
            }
            Self::UnknownUser => f.write_str("the BMC does not know the user"),
            Self::WrongPassword => f.write_str("wrong password: the HMAC of RAKP message 2 does not match"),
            Self::Privilege { wanted } => write!(f, "the user may not have the privilege {wanted}"),
            Self::NoResources => f.write_str("the BMC has no room for another session"),
            Self::WrongKey => f.write_str("the check value of RAKP message 4 is wrong"),
            Self::Refused { step, status } => write!(f, "the BMC refuses {step}: {status}"),
        }
    }
}

impl std::error::Error for Error {}
