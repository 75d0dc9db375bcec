//! Copies of packets: a capture on any interface has them once for a bridge and once for its port.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::time::Duration;

use crate::event::RunTime;

/// Within this time, the same bytes are a copy. Nobody repeats a request as fast.
const SPAN: Duration = Duration::from_millis(5);
/// How many packets are remembered.
const MOST: usize = 64;

/// The packets that were just seen.
#[derive(Debug, Default)]
pub(super) struct Copies {
    recent: Vec<(RunTime, u64)>,
    /// The place of the oldest.
    oldest: usize,
}

impl Copies {
    /// Tells whether a packet is a copy of one that was just seen.
    pub(super) fn has(&mut self, at: RunTime, packet: &[u8]) -> bool {
        let mut hasher = DefaultHasher::new();
        packet.hash(&mut hasher);
        let hash = hasher.finish();
        if self.recent.iter().any(|(seen, known)| *known == hash && at.since(*seen) <= SPAN) {
            return true;
        }
        if self.recent.len() < MOST {
            self.recent.push((at, hash));
        } else {
            self.recent[self.oldest] = (at, hash);
            self.oldest = (self.oldest + 1) % MOST;
        }
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn copies_follow_at_once() {
        let mut copies = Copies::default();
        let ms = |ms: u64| RunTime::from_nanos(ms * 1_000_000);
        assert!(!copies.has(ms(0), b"a"));
        assert!(copies.has(ms(1), b"a"));
        assert!(!copies.has(ms(1), b"b"));
        assert!(!copies.has(ms(100), b"a"), "repeated");
        for number in 0..100u8 {
            assert!(!copies.has(ms(101), &[number]));
        }
        assert_eq!(copies.recent.len(), MOST);
    }
}
