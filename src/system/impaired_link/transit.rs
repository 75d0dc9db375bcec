//! The frames that are on their way in one direction: a bounded queue, in the order in which they arrive.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::Duration;

/// The bytes of frames that are held at most: a second of more than 100 Mbit/s.
pub(super) const ROOM: usize = 16 << 20;

/// Frames with the times at which they arrive.
#[derive(Debug, Default)]
pub(super) struct Transit {
    /// By time, then in the order in which they were sent.
    frames: BinaryHeap<Reverse<(Duration, u64, Vec<u8>)>>,
    sent: u64,
    // Invariant: the bytes of all these frames.
    bytes: usize,
}

impl Transit {
    /// Holds a frame until it arrives. Drops it if there is no room, as a full queue of a switch does.
    pub(super) fn send(&mut self, frame: &[u8], arrives: Duration) {
        if self.bytes + frame.len() > ROOM {
            return;
        }
        self.bytes += frame.len();
        self.frames.push(Reverse((arrives, self.sent, frame.to_owned())));
        self.sent += 1;
    }

    /// Takes the next frame that has arrived.
    pub(super) fn receive(&mut self, now: Duration) -> Option<Vec<u8>> {
        if self.next().is_none_or(|arrives| arrives > now) {
            return None;
        }
        let Reverse((_, _, frame)) = self.frames.pop()?;
        self.bytes -= frame.len();
        Some(frame)
    }

    /// Returns when the next frame arrives.
    pub(super) fn next(&self) -> Option<Duration> {
        self.frames.peek().map(|Reverse((arrives, ..))| *arrives)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn at(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    #[test]
    fn frames_arrive_by_time_and_otherwise_in_their_order() {
        let mut transit = Transit::default();
        for (frame, arrives) in [(b"c", 20), (b"b", 10), (b"a", 10), (b"d", 20)] {
            transit.send(frame, at(arrives));
        }
        assert_eq!(transit.next(), Some(at(10)));
        assert_eq!(transit.receive(at(9)), None);
        let mut all = Vec::new();
        while let Some(frame) = transit.receive(at(20)) {
            all.extend(frame);
        }
        assert_eq!(all, b"bacd");
        assert_eq!(transit.next(), None);
    }

    #[test]
    fn a_full_queue_drops_the_newest() {
        let mut transit = Transit::default();
        let half = vec![1; ROOM / 2];
        transit.send(&half, at(1));
        transit.send(&half, at(2));
        transit.send(b"x", at(0));
        assert_eq!(transit.next(), Some(at(1)));
        assert!(transit.receive(at(1)).is_some());
        transit.send(b"x", at(0));
        assert_eq!(transit.next(), Some(at(0)));
    }
}
