//! From the bytes of a frame to an IP packet: link headers, VLAN tags, IP headers.

use std::net::{IpAddr, SocketAddr};

use etherparse::{Ipv4HeaderSlice, Ipv6HeaderSlice, UdpHeaderSlice};

use super::{Frame, Link};
use crate::name::Mac;

/// More tags than any network has.
const MOST_TAGS: usize = 4;
/// More extension headers than any packet has.
const MOST_EXTENSIONS: usize = 8;
const FRAGMENT: u8 = 44;
const ETHERNET: usize = 14;
const IPV6: usize = 40;
const UDP: usize = 8;
/// The protocol numbers of IP.
pub(super) const UDP_NUMBER: u8 = 17;

/// A frame without its link header.
#[derive(Debug, Clone, Copy)]
pub(super) struct Opened<'a> {
    pub(super) from: Option<Mac>,
    pub(super) inside: Inside<'a>,
}

/// What a frame contains.
#[derive(Debug, Clone, Copy)]
pub(super) enum Inside<'a> {
    Arp(&'a [u8]),
    Ip(Ip<'a>),
    /// A message of a spanning tree protocol.
    Bpdu(&'a [u8]),
    /// A slow protocol of Ethernet.
    Slow(&'a [u8]),
    Other,
}

/// A packet of IPv4 or IPv6.
#[derive(Debug, Clone, Copy)]
pub(super) struct Ip<'a> {
    pub(super) source: IpAddr,
    pub(super) destination: IpAddr,
    pub(super) protocol: u8,
    /// The captured bytes after the headers.
    pub(super) payload: &'a [u8],
    /// Where they begin in the frame.
    pub(super) start: usize,
    /// How many they were on the wire.
    pub(super) length: usize,
    pub(super) fragment: Option<Fragment>,
}

/// Which part of a packet a fragment is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Fragment {
    pub(super) id: u32,
    /// In bytes.
    pub(super) offset: usize,
    /// Whether others follow.
    pub(super) more: bool,
}

/// A datagram of UDP.
#[derive(Debug, Clone, Copy)]
pub(super) struct Datagram<'a> {
    pub(super) source: SocketAddr,
    pub(super) destination: SocketAddr,
    pub(super) payload: &'a [u8],
    /// Where the payload begins in the frame.
    pub(super) start: usize,
    /// How many bytes it had on the wire.
    pub(super) length: usize,
}

fn number(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_be_bytes(*bytes.get(at..)?.first_chunk()?))
}

fn mac(bytes: &[u8], at: usize) -> Option<Mac> {
    Some(Mac(*bytes.get(at..)?.first_chunk()?))
}

/// Removes the link header of a frame.
pub(super) fn open<'a>(frame: &Frame<'a>) -> Opened<'a> {
    let bytes = frame.bytes;
    let (from, kind, start) = match frame.link {
        Link::Ethernet => (mac(bytes, 6), number(bytes, 12), ETHERNET),
        // The length of the address is 6 for everything that resembles Ethernet.
        Link::LinuxSll => (mac(bytes, 6).filter(|_| bytes[5] == 6), number(bytes, 14), 16),
        Link::LinuxSll2 => (mac(bytes, 12).filter(|_| bytes[11] == 6), number(bytes, 0), 20),
        Link::RawIp => (None, version(bytes, 0), 0),
        Link::Null => (None, version(bytes, 4), 4),
    };
    let inside = kind.and_then(|kind| inside(frame, kind, start)).unwrap_or(Inside::Other);
    Opened { from, inside }
}

/// Returns the Ethernet type of an IP packet.
fn version(bytes: &[u8], at: usize) -> Option<u16> {
    match bytes.get(at)? >> 4 {
        4 => Some(0x0800),
        6 => Some(0x86dd),
        _ => None,
    }
}

fn inside<'a>(frame: &Frame<'a>, mut kind: u16, mut start: usize) -> Option<Inside<'a>> {
    let bytes = frame.bytes;
    for _ in 0..MOST_TAGS {
        // 802.1Q, 802.1ad, and the QinQ of older switches.
        if !matches!(kind, 0x8100 | 0x88a8 | 0x9100) {
            break;
        }
        kind = number(bytes, start + 2)?;
        start += 4;
    }
    match kind {
        0x0806 => Some(Inside::Arp(bytes.get(start..)?)),
        0x0800 => ipv4(frame, start).map(Inside::Ip),
        0x86dd => ipv6(frame, start).map(Inside::Ip),
        0x8809 => Some(Inside::Slow(bytes.get(start..)?)),
        // A length instead of a type, or Linux's number for frames with one.
        0..=1500 => match bytes.get(start..)? {
            [0x42, 0x42, 3, bpdu @ ..] => Some(Inside::Bpdu(bpdu)),
            // Cisco's, one for each VLAN.
            [0xaa, 0xaa, 3, 0, 0, 0x0c, 1, 0x0b, bpdu @ ..] => Some(Inside::Bpdu(bpdu)),
            _ => None,
        },
        _ => None,
    }
}

fn ipv4<'a>(frame: &Frame<'a>, start: usize) -> Option<Ip<'a>> {
    let header = Ipv4HeaderSlice::from_slice(frame.bytes.get(start..)?).ok()?;
    let size = header.slice().len();
    let total = match usize::from(header.total_len()) {
        // Before the kernel cuts a large packet into segments, its length may be too large for the field.
        0 => frame.length.saturating_sub(start),
        total => total,
    };
    let length = total.checked_sub(size)?;
    let (offset, more) = (usize::from(header.fragments_offset().value()) * 8, header.more_fragments());
    let id = header.identification().into();
    Some(Ip {
        source: header.source_addr().into(),
        destination: header.destination_addr().into(),
        protocol: header.protocol().0,
        payload: part(frame.bytes, start + size, length),
        start: start + size,
        length,
        fragment: (more || offset > 0).then_some(Fragment { id, offset, more }),
    })
}

fn ipv6<'a>(frame: &Frame<'a>, start: usize) -> Option<Ip<'a>> {
    let header = Ipv6HeaderSlice::from_slice(frame.bytes.get(start..)?).ok()?;
    let total = match usize::from(header.payload_length()) {
        // A jumbogram, or as above.
        0 => frame.length.saturating_sub(start + IPV6),
        total => total,
    };
    let inner = part(frame.bytes, start + IPV6, total);
    let (mut protocol, mut before, mut fragment) = (header.next_header().0, 0, None);
    // etherparse reads beyond the end of extension headers that are cut off.
    for _ in 0..MOST_EXTENSIONS {
        let rest = inner.get(before..).unwrap_or_default();
        let length = match (protocol, rest) {
            // Hop-by-hop options, routing, destination options, mobility, HIP, shim6.
            (0 | 43 | 60 | 135 | 139 | 140, [_, length, ..]) => (usize::from(*length) + 1) * 8,
            (FRAGMENT, [_, _, high, low, a, b, c, d, ..]) => {
                let place = u16::from_be_bytes([*high, *low]);
                let (offset, more) = (usize::from(place & !7), place & 1 == 1);
                let id = u32::from_be_bytes([*a, *b, *c, *d]);
                fragment = (more || offset > 0).then_some(Fragment { id, offset, more });
                8
            }
            // Authentication.
            (51, [_, length, ..]) => (usize::from(*length) + 2) * 4,
            _ => break,
        };
        protocol = rest[0];
        before += length;
        // What follows is in the first fragment only.
        if fragment.is_some_and(|fragment| fragment.offset > 0) {
            break;
        }
    }
    let payload = inner.get(before..).unwrap_or_default();
    let before = before.min(inner.len());
    Some(Ip {
        source: header.source_addr().into(),
        destination: header.destination_addr().into(),
        protocol,
        payload,
        start: start + IPV6 + before,
        length: total.saturating_sub(before),
        fragment,
    })
}

/// Returns what was captured of a part of a frame.
fn part(bytes: &[u8], start: usize, length: usize) -> &[u8] {
    let rest = bytes.get(start..).unwrap_or_default();
    &rest[..rest.len().min(length)]
}

impl<'a> Ip<'a> {
    /// Returns the UDP datagram in it.
    pub(super) fn udp(&self) -> Option<Datagram<'a>> {
        if self.protocol != UDP_NUMBER {
            return None;
        }
        let header = UdpHeaderSlice::from_slice(self.payload).ok()?;
        let length = match usize::from(header.length()).checked_sub(UDP) {
            Some(length) => length,
            None => self.length.saturating_sub(UDP),
        };
        Some(Datagram {
            source: SocketAddr::new(self.source, header.source_port()),
            destination: SocketAddr::new(self.destination, header.destination_port()),
            payload: part(self.payload, UDP, length),
            start: self.start + UDP,
            length,
        })
    }
}
