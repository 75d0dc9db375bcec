//! Frames off the interfaces of a lab, as a pcapng file; captures that others made, frame by frame.
//!
//! [`Recording`] keeps those of a whole run in a file; [`Capture`] follows some interfaces for a user. Must never
//! interpret a frame.

mod file;
mod pcapng;
pub mod read;
mod recording;
mod source;
mod vlan;

pub use recording::{
    FrameObserver, RecordedNetwork, Recording, RecordingNotes, RecordingPlan, SeenFrame, Trouble,
};

use std::borrow::Cow;
use std::io::{self, IoSliceMut};
use std::os::fd::{AsRawFd, OwnedFd};
use std::time::Duration;

use futures_util::future::select_all;
use nix::cmsg_space;
use nix::libc::{PACKET_OUTGOING, tpacket_auxdata};
use nix::sys::socket::{ControlMessageOwned, LinkAddr, MsgFlags, recvmsg};
use nix::sys::time::TimeSpec;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

use crate::hint::Hint;
use crate::name::IfName;
use crate::system::process::watch;
use crate::system::sockets;
use pcapng::{Direction, Packet};
use vlan::Tag;

/// Longer than any frame, even one that the kernel still has to cut into segments.
const LARGEST: usize = 256 << 10;

/// Returned at once at most, so that a busy link does not delay the reader.
const BATCH: usize = 1 << 20;

/// An interface that frames are taken from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CapturePort {
    /// The interface.
    pub interface: IfName,
    /// Its name in the file.
    pub title: String,
    /// Which of its frames are taken.
    pub take: Take,
}

/// Which frames of an interface are taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Take {
    /// Those that this host received there.
    Received,
    /// Those that this host sent there.
    Sent,
    /// Both. The file says for each what the other end of the cable did.
    Both,
}

/// A capture cannot begin.
#[derive(Debug, thiserror::Error)]
#[error("cannot capture frames of {of}")]
pub struct CaptureError {
    of: String,
    #[source]
    source: io::Error,
}

impl Hint for CaptureError {
    fn hint(&self) -> Option<Cow<'static, str>> {
        (self.source.kind() == io::ErrorKind::NotFound).then_some("the lab is still starting".into())
    }
}

/// A capture in progress; it ends when it is dropped.
#[derive(Debug)]
pub struct Capture {
    ports: Vec<(AsyncFd<OwnedFd>, Take)>,
    /// The beginning of the file, until it was returned.
    head: Option<Vec<u8>>,
    /// Why the capture broke off, until it was returned.
    failed: Option<io::Error>,
    buffer: Vec<u8>,
}

/// A frame in the buffer.
#[derive(Debug)]
struct Frame {
    /// Since 1970.
    at: Duration,
    captured: usize,
    length: usize,
    sent: bool,
    /// Index of its interface.
    interface: usize,
    /// The VLAN tag that the kernel took out of it.
    tag: Option<Tag>,
}

impl Capture {
    /// Opens the interfaces. Frames are kept from then on.
    pub fn open(ports: &[CapturePort]) -> Result<Self, CaptureError> {
        let mut head = pcapng::section();
        let mut open = Vec::new();
        for CapturePort { interface, title, take } in ports {
            let failed = |source| CaptureError { of: interface.to_string(), source };
            let socket = sockets::capture(interface).map_err(failed)?;
            open.push((watch(socket).map_err(failed)?, *take));
            head.extend(pcapng::interface(title));
        }
        Ok(Self { ports: open, head: Some(head), failed: None, buffer: vec![0; LARGEST] })
    }

    /// Waits for the next bytes of the file: what all interfaces have now, in the order of the frames' times.
    ///
    /// Cancel safe.
    pub async fn next(&mut self) -> io::Result<Vec<u8>> {
        if let Some(head) = self.head.take() {
            return Ok(head);
        }
        loop {
            if let Some(error) = self.failed.take() {
                return Err(error);
            }
            let waits = self.ports.iter().map(|(socket, _)| Box::pin(socket.readable()));
            drop(select_all(waits).await.0?);
            let bytes = self.round();
            if !bytes.is_empty() {
                return Ok(bytes);
            }
        }
    }

    /// Reads what every interface has, each up to its share, so that a busy one does not hold up the others.
    fn round(&mut self) -> Vec<u8> {
        let Self { ports, head: _, failed, buffer } = self;
        let share = BATCH / ports.len();
        let mut blocks: Vec<(Duration, Vec<u8>)> = Vec::new();
        for (index, (socket, take)) in ports.iter().enumerate() {
            let mut bytes = 0;
            while bytes < share {
                match socket.try_io(Interest::READABLE, |socket| receive(socket, buffer)) {
                    Ok(frame) => {
                        bytes += frame.captured;
                        blocks.extend(block(&frame, index, *take, buffer).map(|block| (frame.at, block)));
                    }
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                    // The interface is down for now.
                    Err(error) if error.kind() == io::ErrorKind::NetworkDown => {}
                    Err(error) => {
                        *failed = Some(error);
                        break;
                    }
                }
            }
        }
        blocks.sort_by_key(|(at, _)| *at);
        blocks.into_iter().flat_map(|(_, block)| block).collect()
    }
}

/// Returns the block of a frame; `None` if it is not taken.
fn block(frame: &Frame, interface: usize, take: Take, buffer: &[u8]) -> Option<Vec<u8>> {
    let direction = match (take, frame.sent) {
        (Take::Received, true) | (Take::Sent, false) => return None,
        (Take::Received, false) | (Take::Sent, true) => None,
        // What this host sends there is received at the other end.
        (Take::Both, true) => Some(Direction::Inbound),
        (Take::Both, false) => Some(Direction::Outbound),
    };
    let Frame { at, captured, length, sent: _, interface: _, tag } = *frame;
    let data = vlan::tagged(&buffer[..captured], tag);
    let length = length + (data.len() - captured);
    Some(pcapng::packet(&Packet { interface, at, direction, length, data: &data, comments: &[] }))
}

fn receive(socket: &OwnedFd, buffer: &mut [u8]) -> io::Result<Frame> {
    let room = buffer.len();
    let mut control = cmsg_space!(TimeSpec, tpacket_auxdata);
    let mut parts = [IoSliceMut::new(buffer)];
    let flags = MsgFlags::MSG_TRUNC | MsgFlags::MSG_DONTWAIT;
    let message = recvmsg::<LinkAddr>(socket.as_raw_fd(), &mut parts, Some(&mut control), flags)?;
    let (mut at, mut tag) = (Duration::ZERO, None);
    for control in message.cmsgs()? {
        match control {
            ControlMessageOwned::ScmTimestampns(stamp) => at = stamp.into(),
            ControlMessageOwned::Unknown(other) if vlan::is_auxiliary(&other.cmsg_header) => {
                tag = Tag::read(&other.data_bytes);
            }
            _ => {}
        }
    }
    Ok(Frame {
        at,
        captured: message.bytes.min(room),
        length: message.bytes,
        sent: message.address.is_some_and(|from| from.pkttype() == PACKET_OUTGOING),
        interface: message.address.map_or(0, |from| from.ifindex()),
        tag,
    })
}

#[cfg(test)]
impl Capture {
    /// Creates a capture of open sockets, whose beginning was returned.
    pub(crate) fn of_sockets(sockets: impl IntoIterator<Item = OwnedFd>) -> Self {
        let ports = sockets.into_iter().map(|socket| (watch(socket).unwrap(), Take::Received));
        Self { ports: ports.collect(), head: None, failed: None, buffer: vec![0; LARGEST] }
    }
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::os::unix::net::UnixDatagram;

    use nix::sys::socket::{setsockopt, sockopt};

    use super::*;

    /// Returns a socket to send frames to, and one that they are captured from.
    fn port() -> (UnixDatagram, OwnedFd) {
        let (node, port) = UnixDatagram::pair().unwrap();
        setsockopt(&port, sockopt::ReceiveTimestampns, &true).unwrap();
        (node, port.into())
    }

    /// Returns the first byte of each frame.
    fn frames(mut bytes: &[u8]) -> Vec<u8> {
        let mut frames = Vec::new();
        while !bytes.is_empty() {
            let length = u32::from_le_bytes(bytes[4..8].try_into().unwrap());
            let (block, rest) = bytes.split_at(length as usize);
            frames.push(block[28]);
            bytes = rest;
        }
        frames
    }

    async fn read(capture: &mut Capture, count: usize) -> Vec<u8> {
        let mut read = Vec::new();
        while read.len() < count {
            read.extend(frames(&capture.next().await.unwrap()));
        }
        read
    }

    #[tokio::test]
    async fn frames_of_all_interfaces_are_in_the_order_of_their_times() {
        let ((a, port_a), (b, port_b)) = (port(), port());
        let mut capture = Capture::of_sockets([port_a, port_b]);
        for (node, frame) in [(&b, 1), (&a, 2), (&b, 3), (&a, 4)] {
            node.send(&[frame; 60]).unwrap();
        }
        assert_eq!(read(&mut capture, 4).await, [1, 2, 3, 4]);
    }

    #[tokio::test]
    async fn a_busy_interface_does_not_hold_up_another() {
        let ((busy, port_a), (quiet, port_b)) = (port(), port());
        let mut capture = Capture::of_sockets([port_a, port_b]);
        quiet.send(&[0xff; 60]).unwrap();
        for round in 0..3 {
            // More than its share is left, whenever it is read.
            busy.set_nonblocking(true).unwrap();
            while busy.send(&[1; 100_000]).is_ok() {}
            if read(&mut capture, 1).await.contains(&0xff) {
                return;
            }
            assert!(round < 2, "only the busy interface is read");
        }
    }

    #[tokio::test]
    async fn what_was_read_before_an_error_is_kept() {
        let (node, good) = port();
        let (reader, writer) = nix::unistd::pipe().unwrap();
        io::Write::write_all(&mut File::from(writer), b"x").unwrap();
        let mut capture = Capture::of_sockets([good, reader]);
        node.send(&[7; 60]).unwrap();
        assert_eq!(frames(&capture.next().await.unwrap()), [7]);
        assert_eq!(capture.next().await.unwrap_err().raw_os_error(), Some(nix::libc::ENOTSOCK));
    }
}
