//! What only the Redfish service of a BMC has.

use std::collections::BTreeMap;
use std::time::Duration;

use super::settings::Settings;
use crate::bmc::lockout::Lockout;
use crate::bmc::session::Sessions;
use crate::bmc::subscription::Subscriptions;
use crate::bmc::task::Tasks;

/// What only the Redfish service of a BMC has.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct State {
    /// How the service looks and behaves.
    pub settings: Settings,
    /// Who is logged in.
    pub sessions: Sessions,
    /// Who is locked out.
    pub lockout: Lockout,
    /// Work that goes on.
    pub tasks: Tasks,
    /// Who is told of events.
    pub subscriptions: Subscriptions,
    /// Time servers, as set; the clock is that of the lab.
    pub ntp: Ntp,
    /// How often each resource was written; part of its ETag.
    pub(super) revisions: BTreeMap<String, u64>,
    /// How many entries of the event log subscribers were told of.
    pub(super) logged: usize,
    /// How many requests were answered.
    pub(super) requests: u32,
    /// When the machine began to boot last.
    pub(in crate::bmc) booted: Option<Duration>,
}

/// Time servers.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Ntp {
    /// Whether they are used.
    pub is_enabled: bool,
    /// Their names or addresses.
    pub servers: Vec<String>,
}

impl State {
    /// Remembers that a resource was written.
    pub(super) fn written(&mut self, uri: &str) {
        *self.revisions.entry(uri.to_owned()).or_default() += 1;
    }
}
