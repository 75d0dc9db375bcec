//! Frames off the interfaces of a lab, as a pcapng file; captures that others made, frame by frame.
//!
//! Must never interpret a frame.

mod pcapng;
pub mod read;

use std::borrow::Cow;
use std::io::{self, IoSliceMut};
use std::os::fd::{AsRawFd, OwnedFd};
use std::time::Duration;

use futures_util::future::select_all;
use nix::cmsg_space;
use nix::libc::PACKET_OUTGOING;
use nix::sys::socket::{ControlMessageOwned, LinkAddr, MsgFlags, recvmsg};
use nix::sys::time::TimeSpec;
use tokio::io::unix::AsyncFd;

use crate::hint::Hint;
use crate::name::IfName;
use crate::system::process::watch;
use crate::system::sockets;
use pcapng::{Direction, Packet};

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
#[error("cannot capture frames of {interface}")]
pub struct CaptureError {
    interface: IfName,
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
    buffer: Vec<u8>,
}

/// A frame in the buffer.
struct Frame {
    /// Since 1970.
    at: Duration,
    captured: usize,
    length: usize,
    sent: bool,
}

impl Capture {
    /// Opens the interfaces. Frames are kept from then on.
    pub fn open(ports: &[CapturePort]) -> Result<Self, CaptureError> {
        let mut head = pcapng::section();
        let mut open = Vec::new();
        for CapturePort { interface, title, take } in ports {
            let failed = |source| CaptureError { interface: interface.clone(), source };
            let socket = sockets::capture(interface).map_err(failed)?;
            open.push((watch(socket).map_err(failed)?, *take));
            head.extend(pcapng::interface(title));
        }
        Ok(Self { ports: open, head: Some(head), buffer: vec![0; LARGEST] })
    }

    /// Waits for the next bytes of the file.
    ///
    /// Cancel safe.
    pub async fn next(&mut self) -> io::Result<Vec<u8>> {
        if let Some(head) = self.head.take() {
            return Ok(head);
        }
        let Self { ports, head: _, buffer } = self;
        loop {
            let waits = ports.iter().map(|(socket, _)| Box::pin(socket.readable()));
            let (ready, index, _) = select_all(waits).await;
            let (mut ready, take) = (ready?, ports[index].1);
            let mut bytes = Vec::new();
            while bytes.len() < BATCH {
                match ready.try_io(|socket| receive(socket.get_ref(), buffer)) {
                    Ok(Ok(frame)) => bytes.extend(block(&frame, index, take, buffer)),
                    // The interface is down for now.
                    Ok(Err(error)) if error.kind() == io::ErrorKind::NetworkDown => {}
                    Ok(Err(error)) => return Err(error),
                    Err(_would_block) => break,
                }
            }
            if !bytes.is_empty() {
                return Ok(bytes);
            }
        }
    }
}

/// Returns the block of a frame; nothing if it is not taken.
fn block(frame: &Frame, interface: usize, take: Take, buffer: &[u8]) -> Vec<u8> {
    let direction = match (take, frame.sent) {
        (Take::Received, true) | (Take::Sent, false) => return Vec::new(),
        (Take::Received, false) | (Take::Sent, true) => None,
        // What this host sends there is received at the other end.
        (Take::Both, true) => Some(Direction::Inbound),
        (Take::Both, false) => Some(Direction::Outbound),
    };
    let Frame { at, captured, length, sent: _ } = *frame;
    pcapng::packet(&Packet { interface, at, direction, length, data: &buffer[..captured] })
}

fn receive(socket: &OwnedFd, buffer: &mut [u8]) -> io::Result<Frame> {
    let room = buffer.len();
    let mut control = cmsg_space!(TimeSpec);
    let mut parts = [IoSliceMut::new(buffer)];
    let flags = MsgFlags::MSG_TRUNC | MsgFlags::MSG_DONTWAIT;
    let message = recvmsg::<LinkAddr>(socket.as_raw_fd(), &mut parts, Some(&mut control), flags)?;
    let stamp = message.cmsgs()?.find_map(|control| match control {
        ControlMessageOwned::ScmTimestampns(stamp) => Some(Duration::from(stamp)),
        _ => None,
    });
    Ok(Frame {
        at: stamp.unwrap_or_default(),
        captured: message.bytes.min(room),
        length: message.bytes,
        sent: message.address.is_some_and(|from| from.pkttype() == PACKET_OUTGOING),
    })
}
