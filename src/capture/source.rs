//! The frames of one interface for a recording: through a ring, or from a socket where the kernel has no rings.

use std::borrow::Cow;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Duration;

use super::vlan::{self, Tag};
use super::{Frame, LARGEST, receive};
use crate::name::IfName;
use crate::system::ring::FrameRing;
use crate::system::sockets;

/// An interface whose frames are read.
#[derive(Debug)]
pub(super) enum Source {
    /// Through memory that is shared with the kernel.
    Ring(FrameRing),
    /// From a socket.
    Socket(SocketSource),
}

/// An interface whose frames are read one by one.
#[derive(Debug)]
pub(super) struct SocketSource {
    socket: OwnedFd,
    buffer: Vec<u8>,
    /// What is in the buffer.
    next: Option<Frame>,
    /// Whether there may be more in the socket.
    is_ready: bool,
    /// Of longer frames only the beginning is kept.
    longest: usize,
}

/// A frame, as it was on the wire.
#[derive(Debug)]
pub(super) struct SourceFrame<'a> {
    pub(super) at: Duration,
    pub(super) data: Cow<'a, [u8]>,
    pub(super) length: usize,
    /// Index of its interface, if it was not decided before.
    pub(super) interface: Option<usize>,
}

impl Source {
    /// Opens an interface. Returns also why it has no ring, if so.
    pub(super) fn open(
        interface: &IfName,
        memory: usize,
        longest: u32,
    ) -> io::Result<(Self, Option<io::Error>)> {
        match FrameRing::open(interface, memory, longest) {
            Ok(ring) => Ok((Self::Ring(ring), None)),
            Err(error) => {
                let socket = sockets::capture(interface)?;
                sockets::receive_for_all(&socket, interface)?;
                Ok((Self::Socket(SocketSource::new(socket, LARGEST, longest)), Some(error)))
            }
        }
    }

    /// Opens what bridges keep from their own interfaces, of all interfaces together.
    pub(super) fn link_local() -> io::Result<Vec<Self>> {
        /// No such frame is longer.
        const LONGEST: u32 = 2048;
        let source = |socket| Self::Socket(SocketSource::new(socket, LONGEST as usize, LONGEST));
        Ok(sockets::link_local_frames()?.into_iter().map(source).collect())
    }

    /// Tells whether frames may be in it that cannot be read yet.
    pub(super) fn holds_back(&self) -> bool {
        matches!(self, Self::Ring(_))
    }

    /// Learns that there may be frames.
    pub(super) fn wake(&mut self) {
        if let Self::Socket(socket) = self {
            socket.is_ready = true;
        }
    }

    /// Returns the time of the next frame, if there is one.
    pub(super) fn peek(&mut self) -> io::Result<Option<Duration>> {
        match self {
            Self::Ring(ring) => {
                ring.fill();
                Ok(ring.peek())
            }
            Self::Socket(socket) => socket.peek(),
        }
    }

    /// Returns the next frame, if there is one.
    pub(super) fn next(&mut self) -> Option<SourceFrame<'_>> {
        match self {
            Self::Ring(ring) => {
                let frame = ring.pop()?;
                let tag = frame.tag.map(|(tpid, tci)| Tag::new(tpid, tci));
                Some(SourceFrame::new(frame.at, frame.data, frame.length, tag, None))
            }
            Self::Socket(SocketSource { buffer, next, longest, .. }) => {
                let Frame { at, captured, length, sent: _, interface, tag } = next.take()?;
                let data = &buffer[..captured.min(*longest)];
                Some(SourceFrame::new(at, data, length, tag, Some(interface)))
            }
        }
    }

    /// Returns the frames that were received and those of them that were lost since the last call.
    pub(super) fn statistics(&self) -> io::Result<(u64, u64)> {
        match self {
            Self::Ring(ring) => ring.statistics(),
            Self::Socket(socket) => sockets::statistics(&socket.socket),
        }
    }
}

impl SocketSource {
    fn new(socket: OwnedFd, room: usize, longest: u32) -> Self {
        let longest = usize::try_from(longest).unwrap_or(usize::MAX);
        Self { socket, buffer: vec![0; room], next: None, is_ready: true, longest }
    }

    fn peek(&mut self) -> io::Result<Option<Duration>> {
        if self.next.is_none() && self.is_ready {
            match receive(&self.socket, &mut self.buffer) {
                Ok(frame) => self.next = Some(frame),
                Err(error) => {
                    self.is_ready = false;
                    // The interface is down for now.
                    let is_idle =
                        matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::NetworkDown);
                    return if is_idle { Ok(None) } else { Err(error) };
                }
            }
        }
        Ok(self.next.as_ref().map(|frame| frame.at))
    }
}

impl<'a> SourceFrame<'a> {
    fn new(at: Duration, data: &'a [u8], length: usize, tag: Option<Tag>, interface: Option<usize>) -> Self {
        let tagged = vlan::tagged(data, tag);
        Self { at, length: length + (tagged.len() - data.len()), data: tagged, interface }
    }
}

impl AsFd for Source {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Self::Ring(ring) => ring.as_fd(),
            Self::Socket(socket) => socket.socket.as_fd(),
        }
    }
}
