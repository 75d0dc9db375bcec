//! A rate limit for events, per key and in total; what exceeds it is counted.
//!
//! The owner of a limit says when a second is over.

use std::collections::BTreeMap;

/// Admits a number of events per window and counts the others by key.
#[derive(Debug)]
pub(crate) struct RateLimit<K> {
    burst: u64,
    steady: u64,
    of_each: u64,
    /// Events that may still be admitted.
    left: u64,
    counts: BTreeMap<K, Count>,
    /// Whether an event was omitted in this window.
    has_omitted: bool,
}

#[derive(Debug, Default)]
struct Count {
    admitted: u64,
    omitted: u64,
}

impl<K: Ord> RateLimit<K> {
    /// Admits up to `burst` events at once and `steady` more with each window, all keys together.
    pub(crate) fn new(burst: u64, steady: u64) -> Self {
        Self { burst, steady, of_each: u64::MAX, left: burst, counts: BTreeMap::new(), has_omitted: false }
    }

    /// Admits no more than `of_each` events of one key in a window.
    pub(crate) fn of_each(self, of_each: u64) -> Self {
        Self { of_each, ..self }
    }

    /// Tells whether an event is admitted; if not, it is counted.
    pub(crate) fn admit(&mut self, key: K) -> bool {
        let count = self.counts.entry(key).or_default();
        let admitted = self.left > 0 && count.admitted < self.of_each;
        if admitted {
            count.admitted += 1;
            self.left -= 1;
        } else {
            count.omitted += 1;
            self.has_omitted = true;
        }
        admitted
    }

    /// Starts the next window and returns the events omitted in the last one, by key.
    pub(crate) fn next_window(&mut self) -> Vec<(K, u64)> {
        self.left = self.burst.min(self.left.saturating_add(self.steady));
        self.has_omitted = false;
        let counts = std::mem::take(&mut self.counts).into_iter();
        counts.filter(|(_, count)| count.omitted > 0).map(|(key, count)| (key, count.omitted)).collect()
    }

    /// Tells whether events were omitted in this window.
    pub(crate) fn has_omitted(&self) -> bool {
        self.has_omitted
    }

    /// Returns how many keys are counted in this window.
    pub(crate) fn keys(&self) -> usize {
        self.counts.len()
    }

    /// Tells whether nothing was counted and the whole burst is available.
    pub(crate) fn is_idle(&self) -> bool {
        self.counts.is_empty() && self.left == self.burst
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn admitted(limit: &mut RateLimit<char>, key: char, count: usize) -> usize {
        (0..count).filter(|_| limit.admit(key)).count()
    }

    #[test]
    fn a_burst_is_admitted_and_then_a_steady_rate() {
        let mut limit = RateLimit::new(10, 3);
        assert!(limit.is_idle());
        assert_eq!(admitted(&mut limit, 'a', 12), 10);
        assert_eq!(limit.next_window(), [('a', 2)]);
        assert_eq!(admitted(&mut limit, 'a', 3), 3);
        assert!(!limit.has_omitted());
        assert_eq!(admitted(&mut limit, 'b', 4), 0);
        assert!(limit.has_omitted());
        assert_eq!(limit.next_window(), [('b', 4)]);
        for _ in 0..3 {
            assert!(!limit.is_idle(), "not refilled yet");
            assert_eq!(limit.next_window(), []);
        }
        assert!(limit.is_idle());
        assert_eq!(admitted(&mut limit, 'a', 99), 10, "never more than the burst");
    }

    #[test]
    fn one_key_leaves_room_for_others() {
        let mut limit = RateLimit::new(10, 10).of_each(6);
        assert_eq!(admitted(&mut limit, 'a', 9), 6);
        assert_eq!(admitted(&mut limit, 'b', 9), 4);
        assert_eq!(limit.next_window(), [('a', 3), ('b', 5)]);
        assert_eq!(admitted(&mut limit, 'a', 9), 6);
    }
}
