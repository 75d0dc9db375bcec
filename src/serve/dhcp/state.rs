//! The leases of a network by address.
//!
//! Leases of reserved addresses are recorded too, but only addresses of the pool
//! expire.

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;
use std::sync::Arc;

use super::free::Free;
use crate::event::UnixSeconds;
use crate::name::Mac;

/// The leases of a network.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::serve) struct State {
    leases: BTreeMap<Ipv4Addr, Lease>,
    // Invariant: contains exactly the leases with a client.
    by_mac: BTreeSet<(Mac, Ipv4Addr)>,
    /// The pool's addresses that are not leased and never were.
    free: Free,
    // Invariant: exactly the leases of the pool that are offered, by their end.
    offers: BTreeSet<(UnixSeconds, Ipv4Addr)>,
    // Invariant: exactly the other leases of the pool, by their end.
    taken: BTreeSet<(UnixSeconds, Ipv4Addr)>,
    pool: Free,
}

/// A client that leases an address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::serve) struct Lessee {
    pub(super) mac: Mac,
    /// The client identifier of a system, empty if it sends none. `None`: the whole machine, such as its firmware, or
    /// everything behind its MAC address where the client identifier tells nothing apart.
    pub(super) client_id: Option<Arc<[u8]>>,
}

impl Lessee {
    /// Everything behind a MAC address.
    pub(super) fn machine(mac: Mac) -> Self {
        Self { mac, client_id: None }
    }

    /// Tells whether an address of this client may pass to another: a machine hands over from its firmware to its
    /// system, and from its system to its firmware when it restarts. Two systems never share an address.
    pub(super) fn hands_over_to(&self, other: &Self) -> bool {
        let is_machine = self.client_id.is_none() || other.client_id.is_none();
        self == other || (self.mac == other.mac && is_machine)
    }
}

/// An address that is not free.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::serve) struct Lease {
    pub(super) address: Ipv4Addr,
    pub(super) holder: Holder,
    pub(super) until: UnixSeconds,
}

/// Why an address is not free.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::serve) enum Holder {
    /// Offered to a client that has not requested it yet.
    Offered(Lessee),
    /// Leased to a client.
    Lent(Lessee),
    /// A client found it in use by another host (DHCPDECLINE).
    InUse,
}

/// A change that an answer makes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::serve) enum Change {
    None,
    /// Sets a lease.
    Hold(Lease),
    /// Frees an address.
    Free(Ipv4Addr),
}

impl State {
    /// Starts with a pool without leases.
    pub(in crate::serve) fn new(pool: Free) -> Self {
        Self {
            leases: BTreeMap::new(),
            by_mac: BTreeSet::new(),
            free: pool.clone(),
            offers: BTreeSet::new(),
            taken: BTreeSet::new(),
            pool,
        }
    }

    /// Applies a change.
    pub(in crate::serve) fn apply(&mut self, change: Change) {
        match change {
            Change::None => {}
            Change::Hold(lease) => {
                self.forget(lease.address);
                if let Some(before) = lease.holder.client().and_then(|client| self.of(client)) {
                    self.release(before);
                }
                if let Some(client) = lease.holder.client() {
                    self.by_mac.insert((client.mac, lease.address));
                }
                if self.pool.contains(lease.address) {
                    self.free.remove(lease.address);
                    self.ends(&lease.holder).insert((lease.until, lease.address));
                }
                self.leases.insert(lease.address, lease);
            }
            Change::Free(address) => self.release(address),
        }
    }

    /// Removes expired offers, so that a flood of them uses no memory for long.
    pub(in crate::serve) fn expire(&mut self, now: UnixSeconds) {
        while let Some(&(until, address)) = self.offers.first()
            && until <= now
        {
            self.release(address);
        }
    }

    fn release(&mut self, address: Ipv4Addr) {
        self.forget(address);
        if self.pool.contains(address) {
            self.free.insert(address);
        }
    }

    fn forget(&mut self, address: Ipv4Addr) {
        let Some(lease) = self.leases.remove(&address) else { return };
        if let Some(client) = lease.holder.client() {
            self.by_mac.remove(&(client.mac, address));
        }
        self.ends(&lease.holder).remove(&(lease.until, address));
    }

    fn ends(&mut self, holder: &Holder) -> &mut BTreeSet<(UnixSeconds, Ipv4Addr)> {
        match holder {
            Holder::Offered(_) => &mut self.offers,
            Holder::Lent(_) | Holder::InUse => &mut self.taken,
        }
    }

    /// Returns the current or last address of a client.
    pub(super) fn of(&self, client: &Lessee) -> Option<Ipv4Addr> {
        self.behind(client.mac).find(|(other, _)| *other == client).map(|(_, lease)| lease.address)
    }

    /// Returns the address that the machine of a client had before, by its firmware or another system.
    pub(super) fn inherited_by(&self, client: &Lessee) -> Option<Ipv4Addr> {
        self.behind(client.mac)
            .filter(|(other, _)| *other != client && other.hands_over_to(client))
            .max_by_key(|(_, lease)| lease.until)
            .map(|(_, lease)| lease.address)
    }

    /// Returns the leases of the clients behind a MAC address.
    fn behind(&self, mac: Mac) -> impl Iterator<Item = (&Lessee, &Lease)> {
        let of_mac = (mac, Ipv4Addr::UNSPECIFIED)..=(mac, Ipv4Addr::BROADCAST);
        self.by_mac.range(of_mac).filter_map(|(_, address)| {
            let lease = self.leases.get(address)?;
            Some((lease.holder.client()?, lease))
        })
    }

    /// Returns the lease of an address.
    pub(super) fn lease(&self, address: Ipv4Addr) -> Option<&Lease> {
        self.leases.get(&address)
    }

    /// Tells whether an address of the pool could be leased to a client.
    pub(super) fn is_free_for(&self, address: Ipv4Addr, client: &Lessee, now: UnixSeconds) -> bool {
        let hands_over = |holder: &Lessee| holder.hands_over_to(client);
        self.pool.contains(address)
            && self
                .lease(address)
                .is_none_or(|lease| lease.until <= now || lease.holder.client().is_some_and(hands_over))
    }

    /// Returns a free address of the pool: one that was never leased, else the one whose lease ended longest ago.
    pub(super) fn next_free(&self, now: UnixSeconds) -> Option<Ipv4Addr> {
        let ended = |ends: &BTreeSet<(UnixSeconds, Ipv4Addr)>| {
            ends.first().copied().filter(|(until, _)| *until <= now)
        };
        let ended = [&self.offers, &self.taken].into_iter().filter_map(ended).min();
        self.free.first().or(ended.map(|(_, address)| address))
    }

    /// Returns the address of the oldest offer that was not accepted yet, among clients for which `may_wait` holds.
    pub(super) fn oldest_offer(&self, may_wait: impl Fn(Mac) -> bool) -> Option<Ipv4Addr> {
        let offered = |(_, address): &(UnixSeconds, Ipv4Addr)| {
            self.leases[address].holder.client().is_some_and(|client| may_wait(client.mac))
        };
        self.offers.iter().find(|offer| offered(offer)).map(|(_, address)| *address)
    }

    /// Returns every lease that survives a restart: offers do not.
    pub(super) fn lasting(&self) -> impl Iterator<Item = &Lease> {
        self.leases.values().filter(|lease| !matches!(lease.holder, Holder::Offered(_)))
    }
}

impl Holder {
    /// Returns the client, if it is one.
    pub(super) fn client(&self) -> Option<&Lessee> {
        match self {
            Self::Offered(client) | Self::Lent(client) => Some(client),
            Self::InUse => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn at(last: u8) -> Ipv4Addr {
        Ipv4Addr::new(10, 0, 0, last)
    }

    fn mac(last: u8) -> Mac {
        Mac([2, 0, 0, 0, 0, last])
    }

    fn machine(last: u8) -> Lessee {
        Lessee::machine(mac(last))
    }

    fn lease(last: u8, holder: Holder, until: u64) -> Change {
        Change::Hold(Lease { address: at(last), holder, until: UnixSeconds(until) })
    }

    #[test]
    fn a_client_has_one_address() {
        let mut state = State::new(Free::new(at(1), at(4)));
        state.apply(lease(1, Holder::Lent(machine(1)), 60));
        state.apply(lease(4, Holder::Lent(machine(1)), 60));
        assert_eq!(state.of(&machine(1)), Some(at(4)));
        assert!(state.is_free_for(at(1), &machine(2), UnixSeconds(0)), "it was free at once");
        assert_eq!(state.next_free(UnixSeconds(0)), Some(at(1)));
    }

    #[test]
    fn a_machine_hands_its_address_over_and_systems_do_not() {
        let system = |id: &[u8]| Lessee { mac: mac(1), client_id: Some(id.into()) };
        let mut state = State::new(Free::new(at(1), at(4)));
        state.apply(lease(1, Holder::Lent(machine(1)), 60));
        let is_free = |state: &State, client: &Lessee| state.is_free_for(at(1), client, UnixSeconds(0));
        assert_eq!(state.inherited_by(&system(b"a")), Some(at(1)));
        assert_eq!(state.inherited_by(&machine(2)), None);
        state.apply(lease(1, Holder::Lent(system(b"a")), 60));
        assert_eq!(state.of(&machine(1)), None, "the firmware is gone");
        assert!(is_free(&state, &system(b"a")) && is_free(&state, &machine(1)));
        assert!(!is_free(&state, &system(b"b")) && !is_free(&state, &system(b"")));
        assert_eq!((state.inherited_by(&system(b"b")), state.inherited_by(&system(b"a"))), (None, None));
        // After a restart, the firmware takes over the lease that lasts longest.
        state.apply(lease(2, Holder::Lent(system(b"b")), 70));
        assert_eq!(state.inherited_by(&machine(1)), Some(at(2)));
    }

    #[test]
    fn an_address_is_set_aside_for_a_while() {
        let mut state = State::new(Free::new(at(1), at(1)));
        state.apply(lease(1, Holder::InUse, 60));
        assert!(
            !state.is_free_for(at(1), &machine(1), UnixSeconds(59))
                && state.next_free(UnixSeconds(59)).is_none()
        );
        assert!(
            state.is_free_for(at(1), &machine(1), UnixSeconds(60))
                && state.next_free(UnixSeconds(60)) == Some(at(1))
        );
    }

    #[test]
    fn offers_are_forgotten_and_leases_remembered() {
        let mut state = State::new(Free::new(at(1), at(3)));
        state.apply(lease(1, Holder::Offered(machine(1)), 60));
        state.apply(lease(2, Holder::Lent(machine(2)), 60));
        state.expire(UnixSeconds(60));
        assert_eq!((state.of(&machine(1)), state.of(&machine(2))), (None, Some(at(2))));
        assert_eq!(state.lasting().count(), 1);
    }

    #[test]
    fn what_is_reserved_never_becomes_the_pools() {
        let mut state = State::new(Free::new(at(1), at(1)));
        state.apply(lease(9, Holder::Lent(machine(9)), 60));
        state.apply(Change::Free(at(9)));
        assert!(!state.is_free_for(at(9), &machine(9), UnixSeconds(99)));
        assert_eq!(state.next_free(UnixSeconds(99)), Some(at(1)));
    }

    proptest! {
        /// After any sequence of changes, each address is either leased once or free, and is found by its client.
        #[test]
        fn the_books_balance(changes in proptest::collection::vec((0..4u8, 1..12u8, 1..6u8, 0..90u64), 0..60)) {
            let mut state = State::new(Free::new(at(1), at(8)));
            for (what, last, client, until) in changes {
                match what {
                    0 => state.apply(lease(last, Holder::Offered(machine(client)), until)),
                    1 => state.apply(lease(last, Holder::Lent(machine(client)), until)),
                    2 => state.apply(lease(last, Holder::InUse, until)),
                    _ => state.apply(Change::Free(at(last))),
                }
                for last in 1..12 {
                    let (pool, held) = (last <= 8, state.lease(at(last)).is_some());
                    prop_assert_eq!(state.free.contains(at(last)), pool && !held);
                    let listed = state.offers.iter().chain(&state.taken).filter(|(_, address)| *address == at(last));
                    prop_assert_eq!(listed.count(), usize::from(pool && held));
                }
                for client in 1..6 {
                    let holds = state.leases.values().filter(|lease| lease.holder.client() == Some(&machine(client)));
                    let holds: Vec<_> = holds.map(|lease| lease.address).collect();
                    prop_assert_eq!(holds, state.of(&machine(client)).into_iter().collect::<Vec<_>>());
                }
            }
        }
    }
}
