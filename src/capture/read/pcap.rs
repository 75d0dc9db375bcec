//! The format pcap (draft-ietf-opsawg-pcap): a header, then packets, all in the byte order of the machine that wrote it.

use std::io::Read;
use std::time::Duration;

use super::input::Input;
use super::pcapng::{LARGEST, Order};
use super::{Interface, Packet, Problem, Step};

/// How packets are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Kind {
    order: Order,
    nanoseconds: bool,
    /// Alexey Kuznetsov's format has eight bytes more in front of each packet.
    modified: bool,
}

impl Kind {
    /// Recognises a file by its first bytes.
    pub(super) fn of(magic: [u8; 4]) -> Option<Self> {
        let kind = |order, nanoseconds, modified| Some(Self { order, nanoseconds, modified });
        match magic {
            [0xa1, 0xb2, 0xc3, 0xd4] => kind(Order::Big, false, false),
            [0xd4, 0xc3, 0xb2, 0xa1] => kind(Order::Little, false, false),
            [0xa1, 0xb2, 0x3c, 0x4d] => kind(Order::Big, true, false),
            [0x4d, 0x3c, 0xb2, 0xa1] => kind(Order::Little, true, false),
            [0xa1, 0xb2, 0xcd, 0x34] => kind(Order::Big, false, true),
            [0x34, 0xcd, 0xb2, 0xa1] => kind(Order::Little, false, true),
            _ => None,
        }
    }
}

/// The header of a file.
#[derive(Debug)]
pub(super) struct Header {
    kind: Kind,
    /// Before version 2.4, some programs wrote the two lengths of a packet in the other order.
    minor: u16,
}

impl Header {
    pub(super) fn read<R: Read>(input: &mut Input<R>, kind: Kind) -> Result<(Self, Interface), Problem> {
        let range = input.take(24)?;
        let bytes = input.slice(range);
        let Kind { order, .. } = kind;
        let (major, minor) = (order.u16(bytes, 4), order.u16(bytes, 6));
        if major != 2 {
            return Err(Problem::Damaged(format!("version {major}.{minor} of pcap is unknown")));
        }
        let snap_length = Some(order.u32(bytes, 16)).filter(|length| *length != 0);
        // The upper half says how long check sequences are, which follow what the frame says that it has.
        let link = order.u32(bytes, 20) & 0xffff;
        Ok((Self { kind, minor }, Interface { link, name: None, snap_length }))
    }

    /// Reads the next packet.
    pub(super) fn packet<R: Read>(&self, input: &mut Input<R>) -> Result<Step, Problem> {
        let Self { kind: Kind { order, nanoseconds, modified }, minor } = *self;
        if input.is_at_end()? {
            return Ok(Step::End);
        }
        let before = if modified { 24 } else { 16 };
        let bytes = input.peek(before)?;
        let (seconds, fraction) = (order.u32(bytes, 0), order.u32(bytes, 4));
        let (mut captured, mut length) = (order.u32(bytes, 8), order.u32(bytes, 12));
        if minor < 3 || (minor == 3 && captured > length) {
            (captured, length) = (length, captured);
        }
        let captured = captured as usize;
        if captured > LARGEST {
            let problem = format!("a packet of {captured} bytes is longer than any");
            return Err(Problem::Damaged(problem));
        }
        let range = input.take(before + captured)?;
        let unit = if nanoseconds { 1 } else { 1000 };
        let at = Duration::from_secs(seconds.into()) + Duration::from_nanos(u64::from(fraction) * unit);
        Ok(Step::Packet(Packet { at: Some(at), interface: 0, length, data: range.start + before..range.end }))
    }
}
