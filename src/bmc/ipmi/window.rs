//! Sequence numbers of a session: counted without gaps, and accepted once within a window (section 6.12.13).
//!
//! Numbers are 1 to FFFFFFFFh; 0 belongs to packets outside of sessions, and after the last comes 1.

/// How many numbers ahead of the highest are accepted.
pub const AHEAD: u32 = 15;
/// How many numbers behind the highest are accepted, once each.
pub const BEHIND: u32 = 16;

/// How many numbers there are.
const NUMBERS: u64 = u32::MAX as u64;

/// The numbers of packets that are sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outbound {
    // Invariant: not 0.
    next: u32,
}

impl Outbound {
    /// Starts at 1, as both FreeIPMI and the specification want it.
    pub fn new() -> Self {
        Self::starting_at(1)
    }

    /// Starts at another number; 0 counts as 1.
    pub fn starting_at(first: u32) -> Self {
        Self { next: first.max(1) }
    }

    /// Returns the number of the next packet. Call it only for packets that are sent: clients refuse gaps.
    pub fn take(&mut self) -> u32 {
        let taken = self.next;
        self.next = taken.checked_add(1).unwrap_or(1);
        taken
    }
}

impl Default for Outbound {
    fn default() -> Self {
        Self::new()
    }
}

/// The numbers of packets that were received.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Inbound {
    /// The highest number so far; 0 before the first packet.
    highest: u32,
    /// Bit n: the number n + 1 below the highest was seen.
    seen: u32,
    first: First,
}

/// Which first number is accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum First {
    /// One that is in the window from 1.
    #[default]
    InWindow,
    /// Any: some BMCs start somewhere.
    Any,
}

impl Inbound {
    /// Starts before the first packet.
    pub fn new() -> Self {
        Self { highest: 0, seen: u32::MAX, first: First::InWindow }
    }

    /// Starts before the first packet, which may have any number.
    pub fn from_any() -> Self {
        Self { highest: 0, seen: 0, first: First::Any }
    }

    /// Accepts a number once; false for repeated ones and those out of the window.
    ///
    /// Call it only for packets whose signature is right.
    pub fn accept(&mut self, number: u32) -> bool {
        if number == 0 || number == self.highest {
            return false;
        }
        if std::mem::take(&mut self.first) == First::Any {
            self.highest = number;
            return true;
        }
        let ahead = distance(self.highest, number);
        if ahead <= AHEAD {
            // The old highest becomes bit `ahead - 1`.
            self.seen = self.seen << ahead | 1 << (ahead - 1);
            self.highest = number;
            return true;
        }
        let behind = distance(number, self.highest);
        if self.highest == 0 || behind > BEHIND {
            return false;
        }
        let bit = 1 << (behind - 1);
        let fresh = self.seen & bit == 0;
        self.seen |= bit;
        fresh
    }
}

/// Tells whether a number comes after another, which is within half of all numbers.
pub fn is_after(number: u32, other: u32) -> bool {
    let steps = u64::from(distance(other, number));
    steps > 0 && steps < NUMBERS / 2
}

/// Returns how many steps lead from one number up to another; `from` may be 0, which is before 1.
fn distance(from: u32, to: u32) -> u32 {
    let (from, to) = (u64::from(from), u64::from(to));
    ((to + NUMBERS - from) % NUMBERS) as u32
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::{Inbound, Outbound};

    #[test]
    fn outbound_counts_without_zero() {
        let mut numbers = Outbound::new();
        assert_eq!([numbers.take(), numbers.take()], [1, 2]);
        let mut numbers = Outbound::starting_at(u32::MAX);
        assert_eq!([numbers.take(), numbers.take()], [u32::MAX, 1]);
    }

    #[test]
    fn window_edges() {
        let mut window = Inbound::new();
        assert!(!window.accept(0));
        assert!(!window.accept(16));
        assert!(window.accept(15));
        assert!(window.accept(1));
        assert!(!window.accept(1));
        assert!(window.accept(30));
        assert!(!window.accept(46));
        assert!(window.accept(14));
        assert!(!window.accept(13));
    }

    #[test]
    fn window_wraps() {
        let mut window = Inbound { highest: u32::MAX - 1, ..Inbound::from_any() };
        window.first = super::First::InWindow;
        assert!(window.accept(2));
        assert!(window.accept(u32::MAX));
        assert!(window.accept(1));
        assert!(!window.accept(u32::MAX - 1));
        assert!(!window.accept(u32::MAX));
        assert!(!window.accept(2));
    }

    #[test]
    fn any_first_number() {
        let mut window = Inbound::from_any();
        assert!(window.accept(1_000_000));
        assert!(window.accept(999_999));
        assert!(!window.accept(1_000_000));
        assert!(!window.accept(999_999));
        assert!(!window.accept(1));
    }

    proptest! {
        #[test]
        fn each_number_at_most_once_and_only_in_the_window(
            steps in proptest::collection::vec(-20i64..20, 1..400), start in prop_oneof![Just(0u32), Just(u32::MAX - 30)],
        ) {
            let mut window = Inbound::new();
            let mut position = i64::from(start);
            if start > 0 {
                window = Inbound { highest: start, ..Inbound::new() };
            }
            let mut highest = position;
            let mut seen = BTreeSet::new();
            for step in steps {
                position = (position + step).max(i64::from(start) + 1);
                // Positions count on where numbers wrap.
                let number = ((position - 1).rem_euclid(i64::from(u32::MAX)) + 1) as u32;
                let fits = position - highest <= 15 && highest - position <= 16;
                prop_assert_eq!(window.accept(number), fits && seen.insert(position));
                if fits {
                    highest = highest.max(position);
                }
            }
        }

        #[test]
        fn any_numbers(numbers: Vec<u32>) {
            let mut window = Inbound::new();
            let mut accepted = Vec::new();
            for number in numbers {
                if window.accept(number) {
                    prop_assert!(!accepted.contains(&number));
                    accepted.push(number);
                }
            }
        }
    }
}
