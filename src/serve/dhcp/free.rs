//! A set of addresses as ranges, so that a large pool takes little memory.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;

/// Addresses as ranges that do not touch.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(in crate::serve) struct Free(
    /// First to last address.
    /// Invariant: there is a gap of at least one address between two ranges.
    BTreeMap<u32, u32>,
);

impl Free {
    /// Creates the set of the addresses from first to last.
    pub(in crate::serve) fn new(first: Ipv4Addr, last: Ipv4Addr) -> Self {
        let (first, last) = (u32::from(first), u32::from(last));
        Self((first <= last).then_some((first, last)).into_iter().collect())
    }

    /// Returns the lowest address.
    pub(super) fn first(&self) -> Option<Ipv4Addr> {
        self.0.first_key_value().map(|(first, _)| Ipv4Addr::from(*first))
    }

    /// Tells whether an address is in the set.
    pub(super) fn contains(&self, address: Ipv4Addr) -> bool {
        self.range_of(u32::from(address)).is_some()
    }

    /// Removes an address.
    pub(super) fn remove(&mut self, address: Ipv4Addr) {
        let address = u32::from(address);
        let Some((first, last)) = self.range_of(address) else { return };
        self.0.remove(&first);
        if first < address {
            self.0.insert(first, address - 1);
        }
        if address < last {
            self.0.insert(address + 1, last);
        }
    }

    /// Inserts an address.
    pub(super) fn insert(&mut self, address: Ipv4Addr) {
        let address = u32::from(address);
        if self.range_of(address).is_some() {
            return;
        }
        let before = address.checked_sub(1).and_then(|before| self.range_of(before));
        let after = address.checked_add(1).and_then(|after| self.range_of(after));
        let (first, last) = (before.map_or(address, |range| range.0), after.map_or(address, |range| range.1));
        if let Some((after, _)) = after {
            self.0.remove(&after);
        }
        self.0.insert(first, last);
    }

    fn range_of(&self, address: u32) -> Option<(u32, u32)> {
        let (first, last) = self.0.range(..=address).next_back()?;
        (address <= *last).then_some((*first, *last))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn ranges_are_a_set(changes in proptest::collection::vec((any::<bool>(), 0..20u32), 0..200)) {
            let (mut free, mut set) = (Free::new(Ipv4Addr::from(5), Ipv4Addr::from(14)), (5..=14).collect::<BTreeSet<_>>());
            for (put, number) in changes {
                if put {
                    free.insert(Ipv4Addr::from(number));
                    set.insert(number);
                } else {
                    free.remove(Ipv4Addr::from(number));
                    set.remove(&number);
                }
                prop_assert_eq!(free.first().map(u32::from), set.first().copied());
                for number in 0..21 {
                    prop_assert_eq!(free.contains(Ipv4Addr::from(number)), set.contains(&number));
                }
            }
        }
    }

    #[test]
    fn the_largest_pool_has_an_end() {
        let mut free = Free::new(Ipv4Addr::UNSPECIFIED, Ipv4Addr::BROADCAST);
        free.remove(Ipv4Addr::BROADCAST);
        free.remove(Ipv4Addr::UNSPECIFIED);
        free.insert(Ipv4Addr::BROADCAST);
        assert_eq!(free.first(), Some(Ipv4Addr::new(0, 0, 0, 1)));
        assert!(free.contains(Ipv4Addr::BROADCAST) && !free.contains(Ipv4Addr::UNSPECIFIED));
    }
}
