//! The hardware addresses of clients: those of the frames that their requests came in.
//!
//! A UDP socket does not tell them, and neither the link-local address nor the DUID of a client must contain them. So
//! a packet socket reads the same requests, and each datagram is looked up among its frames.

use std::collections::VecDeque;
use std::io;
use std::net::Ipv6Addr;
use std::os::fd::OwnedFd;
use std::time::Duration;

use nix::errno::Errno;
use tokio::io::unix::AsyncFd;

use super::{PACKET, SERVER_PORT};
use crate::name::Mac;
use crate::system::process::watch;

/// Ethernet, IPv6 and UDP headers.
const HEADERS: usize = 14 + 40 + 8;
/// How many frames wait for their datagram, at most: more than the kernel queues datagrams.
const MOST: usize = 4096;
/// The kernel delivers a frame and its datagram together, in either order.
const TOGETHER: Duration = Duration::from_millis(5);

/// The senders of the requests that are being received.
#[derive(Debug)]
pub(super) struct Senders {
    frames: AsyncFd<OwnedFd>,
    seen: VecDeque<Sender>,
}

/// The sender of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Sender {
    pub(super) mac: Mac,
    from: Ipv6Addr,
    request: Vec<u8>,
}

impl Senders {
    /// Reads frames from a packet socket.
    pub(super) fn new(frames: OwnedFd) -> io::Result<Self> {
        Ok(Self { frames: watch(frames)?, seen: VecDeque::new() })
    }

    /// Returns the hardware address that a request was sent from; `None` if its frame was not seen, as that of a
    /// request in fragments.
    pub(super) async fn of(&mut self, from: Ipv6Addr, request: &[u8]) -> io::Result<Option<Mac>> {
        self.read()?;
        let mac = self.take(from, request);
        // Both sockets keep the order. So if later frames are here, that of this request is not to come.
        if mac.is_some() || !self.seen.is_empty() {
            return Ok(mac);
        }
        if let Ok(ready) = tokio::time::timeout(TOGETHER, self.frames.readable()).await {
            ready?.clear_ready();
            self.read()?;
        }
        Ok(self.take(from, request))
    }

    fn take(&mut self, from: Ipv6Addr, request: &[u8]) -> Option<Mac> {
        let is_it = |sender: &Sender| sender.from == from && sender.request == request;
        let index = self.seen.iter().position(is_it)?;
        // The datagrams of earlier frames were dropped by the kernel.
        self.seen.drain(..=index).next_back().map(|sender| sender.mac)
    }

    fn read(&mut self) -> io::Result<()> {
        let mut frame = [0; HEADERS + PACKET];
        loop {
            match nix::unistd::read(self.frames.get_ref(), &mut frame) {
                Ok(length) => {
                    if self.seen.len() == MOST {
                        self.seen.pop_front();
                    }
                    self.seen.extend(sender(&frame[..length]));
                }
                Err(Errno::EAGAIN) => return Ok(()),
                Err(error) => return Err(error.into()),
            }
        }
    }
}

/// Returns the sender of an Ethernet frame with a DHCPv6 request.
pub(super) fn sender(frame: &[u8]) -> Option<Sender> {
    const IPV6: [u8; 2] = [0x86, 0xdd];
    const UDP: u8 = 17;
    let (_, rest) = frame.split_first_chunk::<6>()?;
    let (mac, rest) = rest.split_first_chunk::<6>()?;
    let (ip, rest) = rest.strip_prefix(&IPV6)?.split_first_chunk::<40>()?;
    let (udp, rest) = rest.split_first_chunk::<8>()?;
    let is_request = ip[6] == UDP && udp[2..4] == SERVER_PORT.to_be_bytes();
    // A short frame is padded, so the length counts.
    let length = usize::from(u16::from_be_bytes([udp[4], udp[5]])).checked_sub(udp.len())?;
    let request = rest.get(..length).filter(|_| is_request)?.to_vec();
    let from: [u8; 16] = ip[8..24].try_into().ok()?;
    Some(Sender { mac: Mac(*mac), from: from.into(), request }).filter(|sender| !sender.mac.is_group())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_tells_who_sent_its_request() {
        let from: Ipv6Addr = "fe80::5d2:8b1:77aa:1234".parse().unwrap();
        let frame = |next: u8, port: u16, length: u16, request: &[u8]| {
            let ip = [&[0x60, 0, 0, 0, 0, 0, next, 255][..], &from.octets(), &[0xff; 16]].concat();
            let udp = [546_u16, port, length, 0].map(u16::to_be_bytes).concat();
            [&[0x33, 0x33, 0, 1, 0, 2, 2, 0, 0, 0, 0, 9, 0x86, 0xdd][..], &ip, &udp, request].concat()
        };
        let good = frame(17, 547, 12, &[1, 2, 3, 4]);
        let expected = Sender { mac: Mac([2, 0, 0, 0, 0, 9]), from, request: vec![1, 2, 3, 4] };
        assert_eq!(sender(&good), Some(expected.clone()));
        assert_eq!(sender(&[&good[..], &[0; 9]].concat()), Some(expected), "padding");
        assert_eq!(sender(&frame(6, 547, 12, &[1, 2, 3, 4])), None, "TCP");
        assert_eq!(sender(&frame(17, 546, 12, &[1, 2, 3, 4])), None, "for a client");
        assert_eq!(sender(&frame(17, 547, 7, &[1, 2, 3, 4])), None, "shorter than its header");
        assert!((0..good.len()).all(|length| sender(&good[..length]).is_none()), "cut off");
    }
}
