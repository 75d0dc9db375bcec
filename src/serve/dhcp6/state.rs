//! Leases of addresses that are not reserved.
//!
//! An address is derived from the client's identity, so the same client gets the same
//! address in the next run, and an advertised address need not be stored.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::net::Ipv6Addr;

use sha2::{Digest, Sha256};

use crate::event::RunTime;

/// Maximum number of leases, which bounds the memory under a flood.
const MOST: usize = 4096;
/// How many addresses are tried for one client. The pool has 2³² of them.
const TRIES: u32 = 32;

/// An association: the client's DUID, and the IAID of the interface; of a node, the hardware address as a DUID, and the
/// position of the association.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct LeaseKey {
    pub(super) client: Vec<u8>,
    pub(super) association: u32,
}

/// The leases of a network.
#[derive(Debug, Clone, Default)]
pub(in crate::serve) struct State {
    leases: BTreeMap<Ipv6Addr, Lease>,
    // Invariant: contains exactly the leases with a client.
    addresses: HashMap<LeaseKey, Ipv6Addr>,
}

#[derive(Debug, Clone)]
struct Lease {
    /// `None`: it was found in use by another host.
    holder: Option<LeaseKey>,
    until: RunTime,
}

/// A change that an answer makes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::serve) enum Change {
    /// Lease an address.
    Lend { address: Ipv6Addr, to: LeaseKey, until: RunTime },
    /// Set aside an address that another host uses.
    SetAside { address: Ipv6Addr, until: RunTime },
    /// Free an address.
    Free(Ipv6Addr),
}

impl State {
    /// Applies a change.
    pub(in crate::serve) fn apply(&mut self, change: Change, now: RunTime) {
        match change {
            Change::Lend { address, to, until } => {
                self.free(address);
                if let Some(before) = self.addresses.insert(to.clone(), address) {
                    self.leases.remove(&before);
                }
                self.hold(address, Lease { holder: Some(to), until }, now);
            }
            Change::SetAside { address, until } => {
                self.free(address);
                self.hold(address, Lease { holder: None, until }, now);
            }
            Change::Free(address) => self.free(address),
        }
    }

    fn hold(&mut self, address: Ipv6Addr, lease: Lease, now: RunTime) {
        if self.leases.len() >= MOST {
            let ended = self.leases.iter().filter(|(_, lease)| lease.until <= now);
            for address in ended.map(|(address, _)| *address).collect::<Vec<_>>() {
                self.free(address);
            }
        }
        self.leases.insert(address, lease);
    }

    fn free(&mut self, address: Ipv6Addr) {
        let before = self.leases.remove(&address);
        if let Some(identity) = before.and_then(|lease| lease.holder) {
            self.addresses.remove(&identity);
        }
    }

    /// Returns the address that a client has leased.
    pub(super) fn of(&self, identity: &LeaseKey) -> Option<Ipv6Addr> {
        self.addresses.get(identity).copied()
    }

    /// Returns the client that has leased an address.
    pub(super) fn holder(&self, address: Ipv6Addr) -> Option<&LeaseKey> {
        self.leases.get(&address)?.holder.as_ref()
    }

    /// Returns the address for a client; `None` if there are too many clients.
    pub(super) fn address_for(
        &self,
        identity: &LeaseKey,
        pool: Ipv6Addr,
        reserved: &HashSet<Ipv6Addr>,
        now: RunTime,
    ) -> Option<Ipv6Addr> {
        if let Some(held) = self.of(identity) {
            return Some(held);
        }
        if self.leases.len() >= MOST && self.leases.values().all(|lease| lease.until > now) {
            return None;
        }
        let mut hasher = Sha256::new();
        hasher.update(identity.association.to_be_bytes());
        hasher.update(&identity.client);
        let digest = hasher.finalize();
        let first = u32::from_be_bytes([digest[0], digest[1], digest[2], digest[3]]);
        let free = |address: &Ipv6Addr| {
            !reserved.contains(address) && self.leases.get(address).is_none_or(|lease| lease.until <= now)
        };
        (0..TRIES)
            .map(|round| Ipv6Addr::from_bits(pool.to_bits() | u128::from(first.wrapping_add(round))))
            .find(free)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const POOL: Ipv6Addr = Ipv6Addr::new(0xfd00, 0x83, 0, 0, 0, 0xd, 0, 0);

    fn identity(number: u32) -> LeaseKey {
        LeaseKey { client: number.to_be_bytes().to_vec(), association: 1 }
    }

    fn at(seconds: u64) -> RunTime {
        Duration::from_secs(seconds).into()
    }

    fn lend(state: &mut State, number: u32, seconds: u64) -> Option<Ipv6Addr> {
        let now = at(seconds);
        let address = state.address_for(&identity(number), POOL, &HashSet::new(), now)?;
        state.apply(Change::Lend { address, to: identity(number), until: at(seconds + 60) }, now);
        Some(address)
    }

    #[test]
    fn a_client_has_the_same_address_again() {
        let mut state = State::default();
        let first = lend(&mut state, 1, 0).unwrap();
        assert_eq!(State::default().address_for(&identity(1), POOL, &HashSet::new(), at(0)), Some(first));
        assert_eq!(lend(&mut state, 1, 30), Some(first));
        state.apply(Change::Free(first), at(0));
        assert_eq!(state.of(&identity(1)), None);
        assert_eq!(lend(&mut state, 1, 40), Some(first));
        // In use by another host, or reserved: choose another address.
        state.apply(Change::SetAside { address: first, until: at(600) }, at(50));
        assert_eq!(state.of(&identity(1)), None);
        let second = lend(&mut state, 1, 50).unwrap();
        assert_ne!(first, second);
        assert_ne!(
            State::default().address_for(&identity(1), POOL, &HashSet::from([first]), at(0)),
            Some(first)
        );
    }

    #[test]
    fn a_flood_takes_no_more_than_its_share() {
        let mut state = State::default();
        let lent =
            (0..2 * u32::try_from(MOST).unwrap()).filter(|number| lend(&mut state, *number, 0).is_some());
        assert_eq!(lent.count(), MOST);
        assert!(lend(&mut state, 1, 30).is_some(), "who has an address keeps it");
        assert_eq!(lend(&mut state, u32::MAX, 30), None);
        assert!(lend(&mut state, u32::MAX, 61).is_some(), "the others have let theirs expire");
        assert_eq!((state.leases.len(), state.addresses.len()), (2, 2));
    }
}
