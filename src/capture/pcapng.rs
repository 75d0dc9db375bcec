//! Blocks of a pcapng file (draft-ietf-opsawg-pcapng): one section, its interfaces, packets.

use std::time::Duration;

/// Types of blocks.
const SECTION: u32 = 0x0a0d_0d0a;
const INTERFACE: u32 = 1;
const STATISTICS: u32 = 5;
const ENHANCED_PACKET: u32 = 6;

/// Written in our byte order, from which readers learn it.
const BYTE_ORDER: u32 = 0x1a2b_3c4d;
/// The link type of Ethernet.
const ETHERNET: u32 = 1;

/// Options.
const END: u16 = 0;
const COMMENT: u16 = 1;
const USER_APPLICATION: u16 = 4;
const INTERFACE_NAME: u16 = 2;
const TIME_RESOLUTION: u16 = 9;
const PACKET_FLAGS: u16 = 2;
const RECEIVED: u16 = 4;
const DROPPED: u16 = 5;

/// What the interface did with a packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Direction {
    /// It received it.
    Inbound,
    /// It sent it.
    Outbound,
}

/// A packet.
pub(super) struct Packet<'a> {
    /// Number of its interface, in the order of their blocks.
    pub(super) interface: usize,
    /// Since 1970.
    pub(super) at: Duration,
    pub(super) direction: Option<Direction>,
    /// Its length on the wire.
    pub(super) length: usize,
    pub(super) data: &'a [u8],
    pub(super) comments: &'a [String],
}

/// What an interface did until an instant.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Statistics {
    /// Frames that it received and sent.
    pub(super) received: u64,
    /// Those of them that were lost before they could be read.
    pub(super) dropped: u64,
}

/// Returns the block that begins a file.
pub(super) fn section() -> Vec<u8> {
    let mut body = Vec::new();
    body.extend(BYTE_ORDER.to_le_bytes());
    // Version 1.0, and a section of unknown length.
    body.extend([1, 0, 0, 0]);
    body.extend(u64::MAX.to_le_bytes());
    option(&mut body, USER_APPLICATION, concat!("dryrack ", env!("CARGO_PKG_VERSION")).as_bytes());
    option(&mut body, END, &[]);
    block(SECTION, &body)
}

/// Returns the block of an Ethernet interface, whose packets have nanoseconds. Packets are not cut.
pub(super) fn interface(name: &str) -> Vec<u8> {
    cut_interface(name, 0)
}

/// Returns the block of an Ethernet interface, whose packets have nanoseconds, and at most `longest` bytes.
pub(super) fn cut_interface(name: &str, longest: u32) -> Vec<u8> {
    let mut body = Vec::new();
    body.extend(ETHERNET.to_le_bytes());
    body.extend(longest.to_le_bytes());
    option(&mut body, INTERFACE_NAME, name.as_bytes());
    option(&mut body, TIME_RESOLUTION, &[9]);
    option(&mut body, END, &[]);
    block(INTERFACE, &body)
}

/// Returns the block of a packet.
pub(super) fn packet(packet: &Packet<'_>) -> Vec<u8> {
    let Packet { interface, at, direction, length, data, comments } = packet;
    let (high, low) = halves(*at);
    let mut body = Vec::with_capacity(data.len() + 48);
    for field in [number(*interface), high, low, number(data.len()), number(*length)] {
        body.extend(field.to_le_bytes());
    }
    body.extend_from_slice(data);
    pad(&mut body);
    if let Some(direction) = direction {
        let flags: u32 = match direction {
            Direction::Inbound => 1,
            Direction::Outbound => 2,
        };
        option(&mut body, PACKET_FLAGS, &flags.to_le_bytes());
    }
    for comment in *comments {
        option(&mut body, COMMENT, comment.as_bytes());
    }
    if direction.is_some() || !comments.is_empty() {
        option(&mut body, END, &[]);
    }
    block(ENHANCED_PACKET, &body)
}

/// Returns the block of the statistics of an interface.
pub(super) fn statistics(interface: usize, at: Duration, statistics: Statistics) -> Vec<u8> {
    let Statistics { received, dropped } = statistics;
    let (high, low) = halves(at);
    let mut body = Vec::new();
    for field in [number(interface), high, low] {
        body.extend(field.to_le_bytes());
    }
    option(&mut body, RECEIVED, &received.to_le_bytes());
    option(&mut body, DROPPED, &dropped.to_le_bytes());
    option(&mut body, END, &[]);
    block(STATISTICS, &body)
}

/// Returns an instant in nanoseconds since 1970, as two halves.
fn halves(at: Duration) -> (u32, u32) {
    let at = u64::try_from(at.as_nanos()).unwrap_or(u64::MAX);
    ((at >> 32) as u32, (at & u64::from(u32::MAX)) as u32)
}

fn number(count: usize) -> u32 {
    u32::try_from(count).unwrap_or(u32::MAX)
}

/// Adds an option, padded to a multiple of four bytes.
fn option(body: &mut Vec<u8>, code: u16, value: &[u8]) {
    body.extend(code.to_le_bytes());
    body.extend(u16::try_from(value.len()).unwrap_or(0).to_le_bytes());
    body.extend_from_slice(value);
    pad(body);
}

fn pad(body: &mut Vec<u8>) {
    body.resize(body.len().next_multiple_of(4), 0);
}

/// Puts a body, a multiple of four bytes, between type and lengths.
fn block(kind: u32, body: &[u8]) -> Vec<u8> {
    let length = number(body.len() + 12).to_le_bytes();
    [&kind.to_le_bytes(), &length, body, &length].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_have_the_bytes_of_the_draft() {
        let at = Duration::new(1_800_000_000, 5);
        let data = [1, 2, 3, 4, 5];
        let bytes = packet(&Packet {
            interface: 1,
            at,
            direction: Some(Direction::Outbound),
            length: 60,
            data: &data,
            comments: &[],
        });
        let nanoseconds = 1_800_000_000_000_000_005_u64;
        let mut wanted = vec![6, 0, 0, 0, 52, 0, 0, 0, 1, 0, 0, 0];
        wanted.extend(u32::try_from(nanoseconds >> 32).unwrap().to_le_bytes());
        wanted.extend(u32::try_from(nanoseconds & 0xffff_ffff).unwrap().to_le_bytes());
        wanted.extend([5, 0, 0, 0, 60, 0, 0, 0, 1, 2, 3, 4, 5, 0, 0, 0]);
        wanted.extend([2, 0, 4, 0, 2, 0, 0, 0, 0, 0, 0, 0, 52, 0, 0, 0]);
        assert_eq!(bytes, wanted);
        let counts = statistics(0, at, Statistics { received: 7, dropped: 1 });
        assert_eq!(
            &counts[20..],
            [4, 0, 8, 0, 7, 0, 0, 0, 0, 0, 0, 0, 5, 0, 8, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 52, 0, 0, 0]
        );
        let comments = ["ab".to_owned()];
        let noted =
            packet(&Packet { interface: 0, at, direction: None, length: 1, data: &[1], comments: &comments });
        assert_eq!(&noted[28..], [1, 0, 0, 0, 1, 0, 2, 0, b'a', b'b', 0, 0, 0, 0, 0, 0, 48, 0, 0, 0]);
        for block in [section(), interface("a lan"), bytes, counts, noted] {
            let length = u32::try_from(block.len()).unwrap().to_le_bytes();
            assert_eq!((&block[4..8], &block[block.len() - 4..]), (&length[..], &length[..]));
            assert_eq!(block.len() % 4, 0);
        }
        assert_eq!(&interface("ab")[8..24], [1, 0, 0, 0, 0, 0, 0, 0, 2, 0, 2, 0, b'a', b'b', 0, 0]);
    }
}
