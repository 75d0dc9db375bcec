//! Frames that a capture has twice: one that passes a bridge is captured on each interface by `-i any`, and a mirror
//! port that copies both directions shows what passes between two of its ports twice.

use std::collections::VecDeque;
use std::collections::hash_map::DefaultHasher;
use std::hash::{Hash, Hasher};
use std::time::Duration;

use super::Frame;

/// How long after the first a frame may come again. A machine that sends a packet again waits longer.
const WINDOW: Duration = Duration::from_millis(2);
/// How many frames are remembered.
const MOST: usize = 64;
/// How much of a frame is compared: all headers, and what usually differs between two blocks of a file.
const COMPARED: usize = 96;

/// Recognises frames that come again.
#[derive(Debug, Default)]
pub struct Duplicates {
    recent: VecDeque<(Duration, u64)>,
}

impl Duplicates {
    /// Tells whether the same packet was in another frame just before.
    pub fn repeats(&mut self, frame: &Frame<'_>) -> bool {
        let Some(at) = frame.at else { return false };
        while self.recent.front().is_some_and(|(then, _)| at.abs_diff(*then) > WINDOW) {
            self.recent.pop_front();
        }
        let key = key(frame);
        if self.recent.iter().any(|(_, other)| *other == key) {
            return true;
        }
        if self.recent.len() == MOST {
            self.recent.pop_front();
        }
        self.recent.push_back((at, key));
        false
    }
}

/// Identifies the packet in a frame, whatever is in front of it.
fn key(frame: &Frame<'_>) -> u64 {
    let Frame { data, length, link, .. } = *frame;
    let head = match link {
        1 => ethernet(data),
        113 => 16,
        276 => 20,
        0 | 108 => 4,
        _ => 0,
    };
    let packet = data.get(head..).unwrap_or_default();
    let mut hasher = DefaultHasher::new();
    // Short packets are padded on Ethernet, and not elsewhere.
    if packet.len() > 46 {
        (length as usize).saturating_sub(head).hash(&mut hasher);
    }
    packet[..packet.len().min(COMPARED)].hash(&mut hasher);
    packet[packet.len().saturating_sub(8)..].hash(&mut hasher);
    hasher.finish()
}

/// Returns how long the header of a frame is, with its VLAN tags.
fn ethernet(data: &[u8]) -> usize {
    let tagged = |at: usize| matches!(data.get(at..at + 2), Some([0x81, 0x00] | [0x88, 0xa8]));
    match (tagged(12), tagged(16)) {
        (false, _) => 14,
        (true, false) => 18,
        (true, true) => 22,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_packet_that_comes_again_at_once_is_recognised() {
        let mut duplicates = Duplicates::default();
        let mut repeats = |millis, link, head: &[u8], packet: &[u8]| {
            let data = [head, packet].concat();
            let (at, length) = (Some(Duration::from_millis(millis)), u32::try_from(data.len()).unwrap());
            duplicates.repeats(&Frame { at, interface: 0, link, length, data: &data })
        };
        let (ethernet, tagged) = ([[7; 12], [8; 12]], [&[7; 12][..], &[0x81, 0, 0, 5]].concat());
        let packet = |last| [&[8, 0, 0x45][..], &[1; 60], &[last]].concat();
        assert!(!repeats(0, 1, &ethernet[0], &packet(1)));
        assert!(!repeats(0, 1, &ethernet[0], &packet(2)), "another packet");
        assert!(repeats(1, 1, &ethernet[1], &packet(1)), "on another interface");
        assert!(repeats(1, 1, &tagged, &packet(2)), "on a trunk");
        assert!(repeats(2, 276, &[0; 18], &packet(2)), "in another form");
        assert!(!repeats(90, 1, &ethernet[0], &packet(1)), "again, later");
    }
}
