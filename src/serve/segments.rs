//! Sends packets of one size to one receiver with one system call; the kernel segments them (`UDP_SEGMENT`, udp(7)).

use std::io::IoSlice;
use std::os::fd::RawFd;

use nix::errno::Errno;
use nix::sys::socket::{ControlMessage, MsgFlags, SockaddrStorage, sendmsg};

/// The maximum of segments per call: the largest IP packet, and a limit that all kernels support.
const SEGMENTS: usize = 64;
const SEGMENTED: usize = 65_000;

/// Sends in segments for as long as the kernel supports it.
#[derive(Debug)]
pub(super) struct Segments {
    work: bool,
}

impl Segments {
    /// Assumes support until the kernel reports an error.
    pub(super) fn new() -> Self {
        Self { work: true }
    }

    /// Returns how many packets of `size` bytes may be sent at once.
    pub(super) fn most(size: usize) -> usize {
        SEGMENTS.min(SEGMENTED / size.max(1)).max(1)
    }

    /// Sends packets of `size` bytes, of which the last may be shorter. Returns false if they must be sent one by
    /// one; other send errors count as packet loss.
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
            // This kernel or device does not support it, or not as many: do not try again.
            Err(Errno::EIO | Errno::EINVAL | Errno::EMSGSIZE | Errno::ENOPROTOOPT | Errno::EOPNOTSUPP) => {
                self.work = false;
                false
            }
            _ => true,
        }
    }
}
