//! Packets of one size to one receiver with one call: the kernel cuts them apart (`UDP_SEGMENT`, udp(7)).

use std::io::IoSlice;
use std::os::fd::RawFd;

use nix::errno::Errno;
use nix::sys::socket::{ControlMessage, MsgFlags, SockaddrStorage, sendmsg};

/// The most that one call may send in segments: the largest IP packet, and what every kernel takes.
const SEGMENTS: usize = 64;
const SEGMENTED: usize = 65_000;

/// Sends in segments for as long as the kernel can.
#[derive(Debug)]
pub(super) struct Segments {
    work: bool,
}

impl Segments {
    /// Believes that the kernel can, until it says otherwise.
    pub(super) fn new() -> Self {
        Self { work: true }
    }

    /// Returns how many packets of so many bytes may go at once.
    pub(super) fn most(size: usize) -> usize {
        SEGMENTS.min(SEGMENTED / size.max(1)).max(1)
    }

    /// Sends packets of `size` bytes, of which the last may be shorter. False if they have to be sent one by one; what
    /// the network does not take is as what it loses.
    pub(super) fn send(
        &mut self,
        socket: RawFd,
        pieces: &[IoSlice<'_>],
        size: usize,
        to: &SockaddrStorage,
    ) -> bool {
        let Some(size) = u16::try_from(size).ok().filter(|_| self.work) else { return false };
        let segments = [ControlMessage::UdpGsoSegments(&size)];
        match sendmsg(socket, pieces, &segments, MsgFlags::MSG_DONTWAIT, Some(to)) {
            // This kernel or device cannot, or not so many: never again.
            Err(Errno::EIO | Errno::EINVAL | Errno::EMSGSIZE | Errno::ENOPROTOOPT | Errno::EOPNOTSUPP) => {
                self.work = false;
                false
            }
            _ => true,
        }
    }
}
