//! Who holds which address of the pool.
//!
//! Reservations are not here: they never change and never run out.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;

use serde::{Deserialize, Serialize};

use crate::name::Mac;

/// The leases of a network.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "Vec<Lease>", into = "Vec<Lease>")]
pub(in crate::serve) struct State {
    leases: BTreeMap<Ipv4Addr, Lease>,
    // Invariant: names exactly the leases that are held by somebody.
    addresses: BTreeMap<Mac, Ipv4Addr>,
}

/// One address that is not free.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::serve) struct Lease {
    pub(super) address: Ipv4Addr,
    pub(super) holder: Holder,
    /// Seconds on the run's clock.
    pub(super) until: u64,
}

/// Why an address is not free.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(in crate::serve) enum Holder {
    /// Offered to a client that has not taken it yet.
    Offered(Mac),
    /// Lent to a client.
    Lent(Mac),
    /// A client found it in use by somebody else.
    InUse,
}

/// What an answer changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::serve) enum Change {
    None,
    /// An address is held from now on.
    Hold(Lease),
    /// An address is free again.
    Free(Ipv4Addr),
}

impl State {
    /// Carries out what an answer decided.
    pub(in crate::serve) fn apply(&mut self, change: Change) {
        match change {
            Change::None => {}
            Change::Hold(lease) => {
                self.free(lease.address);
                if let Some(mac) = lease.holder.mac()
                    && let Some(before) = self.addresses.insert(mac, lease.address)
                {
                    self.leases.remove(&before);
                }
                self.leases.insert(lease.address, lease);
            }
            Change::Free(address) => self.free(address),
        }
    }

    fn free(&mut self, address: Ipv4Addr) {
        let before = self.leases.remove(&address);
        if let Some(mac) = before.and_then(|lease| lease.holder.mac()) {
            self.addresses.remove(&mac);
        }
    }

    /// Returns the address that a client holds or held last.
    pub(super) fn of(&self, mac: Mac) -> Option<Ipv4Addr> {
        self.addresses.get(&mac).copied()
    }

    /// Tells whether a client could be given an address.
    pub(super) fn is_free_for(&self, address: Ipv4Addr, mac: Mac, now: u64) -> bool {
        self.leases.get(&address).is_none_or(|lease| lease.until <= now || lease.holder.mac() == Some(mac))
    }
}

impl Holder {
    fn mac(self) -> Option<Mac> {
        match self {
            Self::Offered(mac) | Self::Lent(mac) => Some(mac),
            Self::InUse => None,
        }
    }
}

impl From<Vec<Lease>> for State {
    fn from(leases: Vec<Lease>) -> Self {
        let mut state = Self::default();
        for lease in leases {
            state.apply(Change::Hold(lease));
        }
        state
    }
}

impl From<State> for Vec<Lease> {
    fn from(state: State) -> Self {
        state.leases.into_values().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_state_survives_being_written_and_read() {
        let mut state = State::default();
        let lease = |last, holder| Lease { address: Ipv4Addr::new(10, 0, 0, last), holder, until: 60 };
        let (a, b) = (Mac([2, 0, 0, 0, 0, 1]), Mac([2, 0, 0, 0, 0, 2]));
        state.apply(Change::Hold(lease(1, Holder::Lent(a))));
        state.apply(Change::Hold(lease(2, Holder::InUse)));
        state.apply(Change::Hold(lease(3, Holder::Offered(b))));
        let text = serde_json::to_string(&state).unwrap();
        assert_eq!(serde_json::from_str::<State>(&text).unwrap(), state, "{text}");
        // A client moves: its old address is free at once.
        state.apply(Change::Hold(lease(4, Holder::Lent(a))));
        assert_eq!(state.of(a), Some(Ipv4Addr::new(10, 0, 0, 4)));
        assert!(state.is_free_for(Ipv4Addr::new(10, 0, 0, 1), b, 0));
        assert!(!state.is_free_for(Ipv4Addr::new(10, 0, 0, 2), b, 0));
        assert!(state.is_free_for(Ipv4Addr::new(10, 0, 0, 2), b, 60));
    }
}
