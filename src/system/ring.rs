//! Frames off an interface, through memory that is shared with the kernel.
//!
//! Between two reads the kernel keeps far more frames here than in the buffer of a socket, whose size the host limits,
//! and no frame costs a system call. Must never interpret a frame.

use std::io;
use std::mem::offset_of;
use std::os::fd::{AsFd, BorrowedFd};
use std::time::Duration;

use nix::libc::{
    TP_STATUS_VLAN_TPID_VALID, TP_STATUS_VLAN_VALID, tpacket_block_desc, tpacket_hdr_v1,
    tpacket_hdr_variant1, tpacket3_hdr,
};

use crate::name::IfName;
use crate::system::sockets;
use crate::system::sys::{self, PacketRing};

/// The size of a block: a frame that the kernel still has to cut into segments has to fit.
const BLOCK: u32 = 128 << 10;

/// The milliseconds after which a block with frames is given to us although it is not full.
const PATIENCE: u32 = 20;

/// How long a frame may be in the ring before it can be read: two timers of the kernel, and their inaccuracy.
pub const LAG: Duration = Duration::from_millis(3 * PATIENCE as u64);

/// The protocol of IEEE 802.1Q tags.
const DOT1Q: u16 = 0x8100;

/// The frames of an interface, in both directions, also those for other stations.
#[derive(Debug)]
pub struct FrameRing {
    ring: PacketRing,
    /// Where the next frame begins in the oldest block, and how many are left in it; `None` before its first.
    cursor: Option<(usize, u32)>,
}

/// A frame in a ring.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RingFrame<'a> {
    /// Since 1970.
    pub at: Duration,
    /// Its bytes, as far as they were kept.
    pub data: &'a [u8],
    /// Its length on the wire.
    pub length: usize,
    /// Protocol and content of the VLAN tag that the kernel took out of it.
    pub tag: Option<(u16, u16)>,
}

impl FrameRing {
    /// Opens an interface. Its frames are kept from then on, up to `memory` bytes of them. Of longer frames than
    /// `longest` only the beginning is kept.
    pub fn open(interface: &IfName, memory: usize, longest: u32) -> io::Result<Self> {
        let socket = sockets::unbound_frames(longest)?;
        let count = u32::try_from(memory).unwrap_or(u32::MAX) / BLOCK;
        let ring = PacketRing::new(socket, BLOCK, count.max(2), PATIENCE)?;
        let index = nix::net::if_::if_nametoindex(interface.as_str())?;
        sys::receive_for_all(ring.as_fd(), index)?;
        ring.bind(index)?;
        Ok(Self { ring, cursor: None })
    }

    /// Takes what the kernel has filled.
    pub fn fill(&mut self) {
        while self.ring.take() {}
    }

    /// Returns the time of the next frame that was taken.
    pub fn peek(&mut self) -> Option<Duration> {
        self.settle();
        self.current().map(|frame| frame.at)
    }

    /// Returns the next frame that was taken.
    pub fn pop(&mut self) -> Option<RingFrame<'_>> {
        self.settle();
        let (at, left) = self.cursor?;
        let block = self.ring.block()?;
        let step = word(block, at + offset_of!(tpacket3_hdr, tp_next_offset)).unwrap_or(0) as usize;
        self.cursor = Some(match step {
            // The last frame of the block has no next one.
            0 => (at, 0),
            step => (at + step, left - 1),
        });
        frame(self.ring.block()?, at)
    }

    /// Returns the frames that were received and those of them that were lost since the last call.
    pub fn statistics(&self) -> io::Result<(u64, u64)> {
        self.ring.statistics()
    }

    fn current(&self) -> Option<RingFrame<'_>> {
        let (at, _) = self.cursor?;
        frame(self.ring.block()?, at)
    }

    /// Gives blocks back that were read, and goes to the first frame of the next.
    fn settle(&mut self) {
        loop {
            match self.cursor {
                Some((_, 0)) => {
                    self.ring.give_back();
                    self.cursor = None;
                }
                // A frame outside of its block cannot be: the rest of the block is of no use.
                Some(_) if self.current().is_none() => self.cursor = Some((0, 0)),
                Some(_) => return,
                None => match self.ring.block().map(first) {
                    None => return,
                    first => self.cursor = first,
                },
            }
        }
    }
}

impl AsFd for FrameRing {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.ring.as_fd()
    }
}

/// Returns where the first frame of a block begins, and the number of its frames.
fn first(block: &[u8]) -> (usize, u32) {
    const HEAD: usize = offset_of!(tpacket_block_desc, hdr);
    let field = |at| word(block, HEAD + at).unwrap_or(0);
    let count = field(offset_of!(tpacket_hdr_v1, num_pkts));
    (field(offset_of!(tpacket_hdr_v1, offset_to_first_pkt)) as usize, count)
}

/// Returns the frame whose header is at an offset of a block.
fn frame(block: &[u8], at: usize) -> Option<RingFrame<'_>> {
    const VLAN: usize = offset_of!(tpacket3_hdr, hv1);
    let header = block.get(at..)?;
    let status = word(header, offset_of!(tpacket3_hdr, tp_status))?;
    let (seconds, nanos) =
        (word(header, offset_of!(tpacket3_hdr, tp_sec))?, word(header, offset_of!(tpacket3_hdr, tp_nsec))?);
    let begin = short(header, offset_of!(tpacket3_hdr, tp_mac))?.into();
    let kept = word(header, offset_of!(tpacket3_hdr, tp_snaplen))? as usize;
    let tci = word(header, VLAN + offset_of!(tpacket_hdr_variant1, tp_vlan_tci))? as u16;
    let tpid = match status & TP_STATUS_VLAN_TPID_VALID {
        0 => DOT1Q,
        _ => short(header, VLAN + offset_of!(tpacket_hdr_variant1, tp_vlan_tpid))?,
    };
    Some(RingFrame {
        at: Duration::new(seconds.into(), nanos),
        data: header.get(begin..begin + kept)?,
        length: word(header, offset_of!(tpacket3_hdr, tp_len))? as usize,
        tag: (status & TP_STATUS_VLAN_VALID != 0).then_some((tpid, tci)),
    })
}

fn word(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..)?.first_chunk().map(|word| u32::from_ne_bytes(*word))
}

fn short(bytes: &[u8], at: usize) -> Option<u16> {
    bytes.get(at..)?.first_chunk().map(|short| u16::from_ne_bytes(*short))
}

#[cfg(test)]
mod tests {
    use nix::libc::TPACKET3_HDRLEN;

    use super::*;

    /// Returns a block with frames of this length, as the kernel lays them out: `next` from each to the next.
    fn block(frames: &[(&[u8], u32, Option<u16>)]) -> Vec<u8> {
        let mut block = vec![0; 4096];
        let put =
            |block: &mut [u8], at: usize, bytes: &[u8]| block[at..at + bytes.len()].copy_from_slice(bytes);
        let head = offset_of!(tpacket_block_desc, hdr);
        let count = u32::try_from(frames.len()).unwrap().to_ne_bytes();
        put(&mut block, head + offset_of!(tpacket_hdr_v1, num_pkts), &count);
        put(&mut block, head + offset_of!(tpacket_hdr_v1, offset_to_first_pkt), &48_u32.to_ne_bytes());
        let mut at = 48;
        for (number, (data, length, tag)) in frames.iter().enumerate() {
            let begin = TPACKET3_HDRLEN.next_multiple_of(16) + 2;
            let step = (begin + data.len()).next_multiple_of(8);
            let is_last = number + 1 == frames.len();
            let next = if is_last { 0 } else { u32::try_from(step).unwrap() };
            let status = tag.map_or(1, |_| 1 | TP_STATUS_VLAN_VALID);
            for (field, value) in [
                (offset_of!(tpacket3_hdr, tp_next_offset), next),
                (offset_of!(tpacket3_hdr, tp_sec), 1_800_000_000),
                (offset_of!(tpacket3_hdr, tp_nsec), u32::try_from(number).unwrap()),
                (offset_of!(tpacket3_hdr, tp_snaplen), u32::try_from(data.len()).unwrap()),
                (offset_of!(tpacket3_hdr, tp_len), *length),
                (offset_of!(tpacket3_hdr, tp_status), status),
                (
                    offset_of!(tpacket3_hdr, hv1) + offset_of!(tpacket_hdr_variant1, tp_vlan_tci),
                    tag.unwrap_or(0).into(),
                ),
            ] {
                put(&mut block, at + field, &value.to_ne_bytes());
            }
            let mac = u16::try_from(begin).unwrap().to_ne_bytes();
            put(&mut block, at + offset_of!(tpacket3_hdr, tp_mac), &mac);
            put(&mut block, at + begin, data);
            at += step;
        }
        block
    }

    #[test]
    fn a_block_has_its_frames_one_after_the_other() {
        let block = block(&[(b"first", 5, None), (b"cut", 1500, Some(7))]);
        let (at, count) = first(&block);
        assert_eq!((at, count), (48, 2));
        let one = frame(&block, at).unwrap();
        assert_eq!((one.data, one.length, one.tag), (&b"first"[..], 5, None));
        let next = word(&block, at + offset_of!(tpacket3_hdr, tp_next_offset)).unwrap() as usize;
        let two = frame(&block, at + next).unwrap();
        assert_eq!((two.data, two.length, two.tag), (&b"cut"[..], 1500, Some((DOT1Q, 7))));
        assert_eq!(two.at, Duration::new(1_800_000_000, 1));
    }

    #[test]
    fn a_frame_outside_of_its_block_is_none() {
        let mut block = block(&[(b"first", 5, None)]);
        let kept = 48 + offset_of!(tpacket3_hdr, tp_snaplen);
        block[kept..kept + 4].copy_from_slice(&5000_u32.to_ne_bytes());
        assert_eq!(frame(&block, 48), None);
        assert_eq!(frame(&block, 4090), None);
        assert_eq!(frame(&block, 9999), None);
    }
}
