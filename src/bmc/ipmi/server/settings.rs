//! What a server is told at its start; the defaults are those of an honest BMC, personalities change them.

use std::time::Duration;

use super::super::privilege::Privilege;
use super::super::sol::bmc::SolOrder;
use super::super::suite::{Cipher, Suite};

/// What Open Session answers when the console asks for the highest privilege.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HighestPrivilege {
    /// The highest level that the channel allows.
    Resolved,
    /// 0, as faulty BMCs do: FreeIPMI fails without `-W opensesspriv`.
    Echoed,
}

/// What RAKP 1 with an unknown user gets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UnknownUser {
    /// A refusal at once.
    Refused,
    /// Nothing, so that clients wait for their time-out.
    Ignored,
}

/// When wrong passwords lock a user out. Failures are counted per user and source address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LockoutRule {
    /// How many failures lock the user out.
    pub failures: usize,
    /// The time within which they count.
    pub window: Duration,
    /// How long logins are refused.
    pub duration: Duration,
}

/// Sizes of Serial over LAN.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SolSizes {
    /// The reported size of payloads to the BMC, header included, in bytes.
    pub inbound: u16,
    /// The reported size of payloads to the console, header included, in bytes; also the largest that is sent.
    pub outbound: u16,
    /// How many bytes of output wait for the console before the oldest are dropped.
    pub buffer: usize,
}

/// All settings of a server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// The suites that Get Channel Cipher Suites lists, in this order.
    pub offered: Vec<Suite>,
    /// The suites that Open Session accepts, best first.
    pub accepted: Vec<Cipher>,
    /// What Open Session answers when the console asks for the highest privilege.
    pub highest_privilege: HighestPrivilege,
    /// What an unknown user gets.
    pub unknown_user: UnknownUser,
    /// The highest privilege on this channel.
    pub privilege_limit: Privilege,
    /// The number of this channel, 1 to 11.
    pub channel: u8,
    /// The first sequence number of a session's packets; FreeIPMI accepts only 1 to 8.
    pub first_sequence: u32,
    /// After how many commands a session vanishes; never if `None`.
    pub commands_per_session: Option<u32>,
    /// Serial over LAN; `None` for a BMC without.
    pub sol: Option<SolSizes>,
    /// Which packets of Serial over LAN are taken.
    pub sol_order: SolOrder,
    /// How many logins may be under way per source address.
    pub half_open_per_source: usize,
    /// How many logins may be under way at all.
    pub half_open: usize,
    /// How long a login may rest.
    pub half_open_timeout: Duration,
    /// How many sessions there may be, 1 to 63.
    pub sessions: usize,
    /// How long a session may be silent.
    pub session_timeout: Duration,
    /// How long an answer is repeated to a repeated request. ipmitool repeats for 6 s.
    pub answers_kept: Duration,
    /// When wrong passwords lock a user out; never if `None`.
    pub lockout: Option<LockoutRule>,
}

impl Default for Settings {
    /// Returns the settings of an honest BMC.
    fn default() -> Self {
        Self {
            offered: vec![Cipher::Sha1.suite(), Cipher::Sha256.suite()],
            accepted: vec![Cipher::Sha256, Cipher::Sha1],
            highest_privilege: HighestPrivilege::Resolved,
            unknown_user: UnknownUser::Refused,
            privilege_limit: Privilege::Administrator,
            channel: 1,
            first_sequence: 1,
            commands_per_session: None,
            sol: Some(SolSizes { inbound: 255, outbound: 255, buffer: 4 << 20 }),
            sol_order: SolOrder::Any,
            half_open_per_source: 8,
            half_open: 64,
            half_open_timeout: Duration::from_secs(10),
            sessions: 16,
            session_timeout: Duration::from_secs(60),
            answers_kept: Duration::from_secs(7),
            lockout: Some(LockoutRule {
                failures: 5,
                window: Duration::from_secs(60),
                duration: Duration::from_secs(60),
            }),
        }
    }
}
