//! What the server asks of the rest of the BMC.

use std::net::SocketAddr;
use std::time::Duration;

use super::super::PORT;
use super::super::message::{Answer, Request};
use super::super::privilege::Privilege;

/// A user.
#[derive(Clone, PartialEq, Eq)]
pub struct User {
    /// The user id, 1 to 63.
    pub id: u8,
    /// The password, at most 20 bytes; zeros at its end mean nothing.
    pub password: Vec<u8>,
    /// The highest privilege of the user on this channel.
    pub limit: Privilege,
    /// Whether the user is enabled and may use IPMI over LAN.
    pub enabled: bool,
}

/// Hides the password.
impl std::fmt::Debug for User {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("User")
            .field("id", &self.id)
            .field("limit", &self.limit)
            .field("enabled", &self.enabled)
            .finish_non_exhaustive()
    }
}

/// Who asks a command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Asker {
    /// The user id.
    pub user: u8,
    /// The user name.
    pub name: Vec<u8>,
    /// The present privilege of the session.
    pub privilege: Privilege,
    /// The session id of the BMC.
    pub session: u32,
    /// The number of the channel.
    pub channel: u8,
    /// Where the packet came from.
    pub from: SocketAddr,
}

/// How Serial over LAN is configured (section 26.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SolTerms {
    /// Whether it can be activated.
    pub enabled: bool,
    /// The privilege that activation needs.
    pub privilege: Privilege,
    /// Whether consoles that ask for no encryption are refused. Everything is encrypted in any case.
    pub force_encryption: bool,
    /// How long to collect characters before a packet that is not full is sent.
    pub accumulate: Duration,
    /// How many characters are sent without collecting more.
    pub threshold: usize,
    /// How often a packet is repeated.
    pub retries: u8,
    /// The time between repetitions.
    pub retry_interval: Duration,
    /// The UDP port that clients use, which is told to them: ipmitool leaves when it differs.
    pub port: u16,
}

impl Default for SolTerms {
    /// Enabled for users; characters are collected for 10 ms, packets repeated 7 times, every 100 ms.
    fn default() -> Self {
        Self {
            enabled: true,
            privilege: Privilege::User,
            force_encryption: false,
            accumulate: Duration::from_millis(10),
            threshold: 200,
            retries: 7,
            retry_interval: Duration::from_millis(100),
            port: PORT,
        }
    }
}

/// The rest of the BMC, as the server sees it.
///
/// The server itself answers the commands of sessions, discovery and payload activation:
/// App 08h, 37h to 3Dh, 48h to 4Bh, 4Eh, 4Fh and 54h.
pub trait World {
    /// Returns the GUID of the system in the order of SMBIOS.
    fn guid(&self) -> [u8; 16];

    /// Returns the key of the BMC for two-key logins, if one is set.
    fn k_g(&self) -> Option<[u8; 20]> {
        None
    }

    /// Returns the user with this name.
    fn user(&self, name: &[u8]) -> Option<User>;

    /// Returns the privilege that a command needs.
    fn needs(&self, request: &Request<'_>) -> Privilege;

    /// Runs a command. A repeated request never gets here twice.
    fn command(&mut self, now: Duration, asker: &Asker, request: &Request<'_>) -> Answer;

    /// Returns how Serial over LAN is configured.
    fn sol(&self) -> SolTerms {
        SolTerms::default()
    }

    /// Tells whether a user may activate Serial over LAN.
    fn may_use_sol(&self, _user: u8) -> bool {
        true
    }

    /// Takes what was typed in Serial over LAN.
    fn typed(&mut self, bytes: &[u8]);

    /// Takes a break of the serial line.
    fn send_break(&mut self);
}
