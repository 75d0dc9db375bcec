//! What frames begin with (<https://www.tcpdump.org/linktypes.html>), and the Ethernet frames that they are.

use std::borrow::Cow;
use std::fmt;

use super::Frame;

/// What the frames of an interface begin with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LinkType {
    /// An Ethernet header.
    Ethernet,
    /// The header that Linux gives frames of all interfaces together, `-i any` (version 1).
    Cooked1,
    /// The same, version 2.
    Cooked2,
    /// Nothing: it is a packet of IPv4 or IPv6.
    Ip,
    /// The loopback interface of a BSD: an address family in the byte order of the machine.
    Null,
    /// The loopback interface of OpenBSD: an address family.
    Loop,
    /// Anything else.
    Other(u16),
}

impl fmt::Display for LinkType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ethernet => f.write_str("Ethernet"),
            Self::Cooked1 => f.write_str("Linux cooked v1"),
            Self::Cooked2 => f.write_str("Linux cooked v2"),
            Self::Ip => f.write_str("raw IP"),
            Self::Null | Self::Loop => f.write_str("loopback"),
            Self::Other(105) => f.write_str("IEEE 802.11"),
            Self::Other(127) => f.write_str("IEEE 802.11 with radiotap"),
            Self::Other(189 | 220) => f.write_str("USB"),
            Self::Other(number) => write!(f, "link type {number}"),
        }
    }
}

const IPV4: u16 = 0x0800;
const IPV6: u16 = 0x86dd;
/// The type of an address in ARP that is Ethernet's (ARPHRD_ETHER); that of the loopback interface is alike.
const ETHERNET: u16 = 1;
const LOOPBACK: u16 = 772;
/// What a cooked frame says that it was: a broadcast. (Others: to us, a multicast, to another host, sent by us.)
const BROADCAST: u16 = 1;
/// In front of a frame that has no type but a length (IEEE 802.2), Linux puts this type.
const LLC: u16 = 4;

impl LinkType {
    /// Returns the link type with a number.
    pub(super) fn of(number: u16) -> Self {
        match number {
            0 => Self::Null,
            1 => Self::Ethernet,
            // 12 and 14 are numbers that old programs and BSDs write.
            12 | 14 | 101 | 228 | 229 => Self::Ip,
            108 => Self::Loop,
            113 => Self::Cooked1,
            276 => Self::Cooked2,
            other => Self::Other(other),
        }
    }
}

impl<'a> Frame<'a> {
    /// Returns the frame as it is, or would be, on Ethernet, and its length there. Addresses that the capture does not
    /// have are zero. `None` if it is of another kind or too short to tell.
    pub fn ethernet(&self) -> Option<(Cow<'a, [u8]>, u32)> {
        let Self { link, data, length, .. } = *self;
        let (header, used) = match link {
            LinkType::Ethernet => return Some((Cow::Borrowed(data), length)),
            LinkType::Cooked1 => {
                let (kind, hardware) = (number(data, 0)?, number(data, 2)?);
                (Header::cooked(kind, hardware, number(data, 4)?, data.get(6..14)?, number(data, 14)?), 16)
            }
            LinkType::Cooked2 => {
                let head = data.get(..20)?;
                let (protocol, hardware) = (number(head, 0)?, number(head, 8)?);
                let (kind, address_length) = (u16::from(head[10]), u16::from(head[11]));
                (Header::cooked(kind, hardware, address_length, &head[12..20], protocol), 20)
            }
            LinkType::Ip => (Header::of_ip(data)?, 0),
            LinkType::Null | LinkType::Loop => (Header::of_ip(data.get(4..)?)?, 4),
            LinkType::Other(_) => return None,
        };
        let mut frame = Vec::with_capacity(14 + data.len() - used);
        frame.extend(header.to);
        frame.extend(header.from);
        match header.protocol {
            LLC => frame.extend(u16::try_from(data.len() - used).ok()?.to_be_bytes()),
            protocol => frame.extend(protocol.to_be_bytes()),
        }
        frame.extend_from_slice(&data[used..]);
        Some((Cow::Owned(frame), (length - used as u32).saturating_add(14)))
    }
}

/// The header of an Ethernet frame.
struct Header {
    to: [u8; 6],
    from: [u8; 6],
    protocol: u16,
}

impl Header {
    /// The sender is known, the receiver only of broadcasts.
    fn cooked(kind: u16, hardware: u16, address_length: u16, address: &[u8], protocol: u16) -> Self {
        let known = matches!(hardware, ETHERNET | LOOPBACK) && address_length == 6;
        let from = address[..6].try_into().ok().filter(|_| known).unwrap_or_default();
        let to = if kind == BROADCAST { [0xff; 6] } else { [0; 6] };
        Self { to, from, protocol }
    }

    /// The version of IP tells the type. The loopback interface has the same bits in other byte orders, and numbers of
    /// families that differ between systems.
    fn of_ip(packet: &[u8]) -> Option<Self> {
        let protocol = match packet.first()? >> 4 {
            4 => IPV4,
            6 => IPV6,
            _ => return None,
        };
        Some(Self { to: [0; 6], from: [0; 6], protocol })
    }
}

fn number(bytes: &[u8], at: usize) -> Option<u16> {
    let bytes = bytes.get(at..at + 2)?;
    Some(u16::from_be_bytes(bytes.try_into().ok()?))
}
