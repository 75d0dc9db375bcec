//! DHCPv6 packets: bytes to [`Request`], [`Reply`] to bytes.
//!
//! dhcproto encodes, but options are parsed here: its decoder silently stops at the
//! first option that it does not accept, subtracts lengths without checks, and parses
//! the message inside a relay message wrongly. A malformed option affects only itself.

mod client;

use std::net::Ipv6Addr;

use dhcproto::v6::{DhcpOption, MessageType, OptionCode, UnknownOption};
use dhcproto::{Encodable, Encoder};

use crate::event::DhcpMessage;
use crate::name::Mac;

pub(crate) use client::{Client, HTTP};

/// The maximum number of relays (RFC 8415, section 7.6: HOP_COUNT_LIMIT).
const MOST_RELAYS: usize = 8;
/// RFC 8415, section 11.1: a type and at most 128 bytes.
const LONGEST_DUID: usize = 130;
const ETHERNET: [u8; 2] = [0, 1];

/// Codes of the options that are read here (RFC 8415, 5970, 6939).
mod code {
    pub(crate) const CLIENT: u16 = 1;
    pub(crate) const SERVER: u16 = 2;
    pub(crate) const ADDRESSES: u16 = 3;
    pub(crate) const TEMPORARY: u16 = 4;
    pub(crate) const ADDRESS: u16 = 5;
    pub(crate) const WANTED: u16 = 6;
    pub(crate) const RELAYED: u16 = 9;
    pub(crate) const RAPID_COMMIT: u16 = 14;
    pub(crate) const USER_CLASS: u16 = 15;
    pub(crate) const VENDOR_CLASS: u16 = 16;
    pub(crate) const INTERFACE: u16 = 18;
    pub(crate) const PREFIXES: u16 = 25;
    pub(crate) const BOOT_FILE: u16 = 59;
    pub(crate) const ARCHITECTURE: u16 = 61;
    pub(crate) const HARDWARE: u16 = 79;
}

/// The fields of a request that matter to an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Request {
    pub(crate) kind: MessageType,
    /// Transaction ID.
    pub(crate) xid: [u8; 3],
    /// The client identifier (DUID).
    pub(crate) client: Option<Vec<u8>>,
    /// The server identifier (DUID).
    pub(crate) server: Option<Vec<u8>>,
    /// Associations for addresses (IA_NA), each with the addresses that the client has or prefers.
    pub(crate) addresses: Vec<Association>,
    /// Associations for temporary addresses (IA_TA).
    pub(crate) temporary: Vec<u32>,
    /// Associations for delegated prefixes (IA_PD).
    pub(crate) prefixes: Vec<u32>,
    /// Requested options.
    pub(crate) wanted: Vec<u16>,
    pub(crate) rapid_commit: bool,
    pub(crate) user_classes: Vec<Vec<u8>>,
    pub(crate) vendor_classes: Vec<Vec<u8>>,
    /// Architectures of the client, in its order.
    pub(crate) architectures: Vec<u16>,
    /// The relays that forwarded it, the nearest to us first.
    pub(crate) relays: Vec<Relay>,
}

/// One identity association of a client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Association {
    pub(crate) id: u32,
    pub(crate) addresses: Vec<Ipv6Addr>,
}

/// The header that a relay added to a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Relay {
    hops: u8,
    /// The link address: an address of the client's link.
    pub(crate) link: Ipv6Addr,
    /// The peer address: where the relay received the request from.
    pub(crate) peer: Ipv6Addr,
    /// The interface ID.
    interface: Option<Vec<u8>>,
    /// The client's hardware address.
    pub(crate) hardware: Option<Mac>,
}

impl Request {
    /// Parses a packet; `None` if it was not sent by a client or relay.
    pub(crate) fn decode(packet: &[u8]) -> Option<Self> {
        let mut relays = Vec::new();
        let mut packet = packet;
        while MessageType::from(*packet.first()?) == MessageType::RelayForw {
            if relays.len() == MOST_RELAYS {
                return None;
            }
            let (relay, relayed) = relay(packet)?;
            relays.push(relay);
            packet = relayed;
        }
        let (head, options) = packet.split_at_checked(4)?;
        let kind = MessageType::from(head[0]);
        let from_client = matches!(
            kind,
            MessageType::Solicit
                | MessageType::Request
                | MessageType::Confirm
                | MessageType::Renew
                | MessageType::Rebind
                | MessageType::Release
                | MessageType::Decline
                | MessageType::InformationRequest
        );
        if !from_client {
            return None;
        }
        let options = Options::of(options);
        let ids = |code| options.all(code).filter_map(number).collect();
        Some(Self {
            kind,
            xid: [head[1], head[2], head[3]],
            client: options.first(code::CLIENT).filter(|duid| is_duid(duid)).map(<[u8]>::to_vec),
            server: options.first(code::SERVER).map(<[u8]>::to_vec),
            addresses: options.all(code::ADDRESSES).filter_map(association).collect(),
            temporary: ids(code::TEMPORARY),
            prefixes: ids(code::PREFIXES),
            wanted: options.first(code::WANTED).map(numbers).unwrap_or_default(),
            rapid_commit: options.first(code::RAPID_COMMIT).is_some(),
            user_classes: options.all(code::USER_CLASS).flat_map(classes).collect(),
            vendor_classes: options
                .all(code::VENDOR_CLASS)
                .filter_map(|class| class.get(4..))
                .flat_map(classes)
                .collect(),
            architectures: options.first(code::ARCHITECTURE).map(numbers).unwrap_or_default(),
            relays,
        })
    }

    /// Returns the message type as the event has it.
    pub(crate) fn message(&self) -> DhcpMessage {
        message(self.kind)
    }

    /// Tells whether it came from the client itself and not through a relay.
    pub(crate) fn is_from_client(&self) -> bool {
        self.relays.is_empty()
    }

    /// Tells whether the client requests an option.
    pub(crate) fn wants(&self, code: OptionCode) -> bool {
        self.wanted.contains(&u16::from(code))
    }
}

/// Converts a message type.
pub(crate) fn message(kind: MessageType) -> DhcpMessage {
    match kind {
        MessageType::Solicit => DhcpMessage::Solicit,
        MessageType::Advertise => DhcpMessage::Advertise,
        MessageType::Request => DhcpMessage::Request,
        MessageType::Confirm => DhcpMessage::Confirm,
        MessageType::Renew => DhcpMessage::Renew,
        MessageType::Rebind => DhcpMessage::Rebind,
        MessageType::Reply => DhcpMessage::Reply,
        MessageType::Release => DhcpMessage::Release,
        MessageType::Decline => DhcpMessage::Decline,
        MessageType::InformationRequest => DhcpMessage::InformationRequest,
        _ => DhcpMessage::Other("other".to_owned()),
    }
}

/// Options of a message or of another option, in order.
struct Options<'a>(Vec<(u16, &'a [u8])>);

impl<'a> Options<'a> {
    /// Splits bytes into options. Everything after a truncated option is lost.
    fn of(mut bytes: &'a [u8]) -> Self {
        let mut options = Vec::new();
        while let Some((head, rest)) = bytes.split_at_checked(4) {
            let length = usize::from(u16::from_be_bytes([head[2], head[3]]));
            let Some((value, rest)) = rest.split_at_checked(length) else { break };
            options.push((u16::from_be_bytes([head[0], head[1]]), value));
            bytes = rest;
        }
        Self(options)
    }

    fn all(&self, code: u16) -> impl Iterator<Item = &'a [u8]> {
        self.0.iter().filter(move |(known, _)| *known == code).map(|(_, value)| *value)
    }

    fn first(&self, code: u16) -> Option<&'a [u8]> {
        self.all(code).next()
    }
}

/// Splits a relay message into its header and the relayed message.
fn relay(packet: &[u8]) -> Option<(Relay, &[u8])> {
    let (head, options) = packet.split_at_checked(34)?;
    let options = Options::of(options);
    let hardware = || options.first(code::HARDWARE)?.strip_prefix(&ETHERNET)?.try_into().ok().map(Mac);
    let relay = Relay {
        hops: head[1],
        link: address(&head[2..18])?,
        peer: address(&head[18..34])?,
        interface: options.first(code::INTERFACE).map(<[u8]>::to_vec),
        hardware: hardware(),
    };
    Some((relay, options.first(code::RELAYED)?))
}

fn association(option: &[u8]) -> Option<Association> {
    // Between the IAID and the options are T1 and T2, which the server sets.
    let options = Options::of(option.get(12..)?);
    let addresses = options.all(code::ADDRESS).filter_map(|option| address(option.get(..16)?)).collect();
    Some(Association { id: number(option)?, addresses })
}

fn is_duid(bytes: &[u8]) -> bool {
    (3..=LONGEST_DUID).contains(&bytes.len())
}

fn number(bytes: &[u8]) -> Option<u32> {
    Some(u32::from_be_bytes(*bytes.first_chunk()?))
}

fn numbers(bytes: &[u8]) -> Vec<u16> {
    bytes.chunks_exact(2).map(|pair| u16::from_be_bytes([pair[0], pair[1]])).collect()
}

fn address(bytes: &[u8]) -> Option<Ipv6Addr> {
    Some(Ipv6Addr::from(*bytes.first_chunk::<16>()?))
}

/// Splits classes, each with its length. Some clients send one without.
fn classes(bytes: &[u8]) -> Vec<Vec<u8>> {
    let mut classes = Vec::new();
    let mut rest = bytes;
    while let Some((length, tail)) = rest.split_first_chunk() {
        let Some((class, tail)) = tail.split_at_checked(usize::from(u16::from_be_bytes(*length))) else {
            return vec![bytes.to_vec()];
        };
        classes.push(class.to_vec());
        rest = tail;
    }
    classes
}

/// The fields of any server's reply.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ServerReply {
    pub(crate) message: DhcpMessage,
    pub(crate) xid: [u8; 3],
    /// The server identifier (DUID). Relays forward replies under their own address.
    pub(crate) server: Option<Vec<u8>>,
    /// The client, if a relay gets the reply.
    pub(crate) peer: Option<Ipv6Addr>,
    /// The first address (IA_NA).
    pub(crate) address: Option<Ipv6Addr>,
    /// The URL of the boot file (RFC 5970).
    pub(crate) boot_file: Option<String>,
}

impl ServerReply {
    /// Parses a packet; `None` if no server sent it.
    pub(crate) fn decode(mut packet: &[u8]) -> Option<Self> {
        let mut peer = None;
        for _ in 0..MOST_RELAYS {
            if MessageType::from(*packet.first()?) != MessageType::RelayRepl {
                break;
            }
            let (relay, inner) = relay(packet)?;
            peer = Some(relay.peer);
            packet = inner;
        }
        let (head, options) = packet.split_at_checked(4)?;
        let kind = MessageType::from(head[0]);
        if !matches!(kind, MessageType::Advertise | MessageType::Reply) {
            return None;
        }
        let options = Options::of(options);
        let association = options.first(code::ADDRESSES).and_then(association);
        Some(Self {
            message: message(kind),
            xid: [head[1], head[2], head[3]],
            server: options.first(code::SERVER).filter(|duid| is_duid(duid)).map(<[u8]>::to_vec),
            peer,
            address: association.and_then(|association| association.addresses.first().copied()),
            boot_file: options
                .first(code::BOOT_FILE)
                .map(|url| String::from_utf8_lossy(url).into_owned())
                .filter(|url| !url.is_empty()),
        })
    }
}

/// Returns the hardware address in a DUID (RFC 8415, section 11.2 and 11.4).
pub(crate) fn hardware(duid: &[u8]) -> Option<Mac> {
    let ([0, 1, 0, 1, _, _, _, _, link_layer @ ..] | [0, 3, 0, 1, link_layer @ ..]) = duid else {
        return None;
    };
    link_layer.try_into().ok().map(Mac)
}

/// A reply to a client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Reply {
    pub(crate) kind: MessageType,
    pub(crate) xid: [u8; 3],
    /// In the order of sending.
    pub(crate) options: Vec<DhcpOption>,
}

impl Reply {
    /// Encodes the packet, wrapped for the relays that forwarded the request.
    pub(crate) fn encode(&self, relays: &[Relay]) -> Result<Vec<u8>, dhcproto::error::EncodeError> {
        let mut packet = vec![self.kind.into()];
        packet.extend(self.xid);
        write(&mut packet, &self.options)?;
        for relay in relays.iter().rev() {
            let mut wrapped = vec![MessageType::RelayRepl.into(), relay.hops];
            wrapped.extend(relay.link.octets());
            wrapped.extend(relay.peer.octets());
            let interface = relay.interface.clone().map(DhcpOption::InterfaceId);
            let inner = DhcpOption::Unknown(UnknownOption::new(OptionCode::RelayMsg, packet));
            write(&mut wrapped, interface.iter().chain([&inner]))?;
            packet = wrapped;
        }
        Ok(packet)
    }
}

fn write<'a>(
    packet: &mut Vec<u8>,
    options: impl IntoIterator<Item = &'a DhcpOption>,
) -> Result<(), dhcproto::error::EncodeError> {
    for option in options {
        // Separately: the encoder's offsets start at its own first byte.
        let mut bytes = Vec::new();
        option.encode(&mut Encoder::new(&mut bytes))?;
        packet.extend(bytes);
    }
    Ok(())
}

/// Splits bytes into options; `None` if bytes are left over.
#[cfg(any(test, fuzzing))]
pub(crate) fn split(bytes: &[u8]) -> Option<Vec<(u16, &[u8])>> {
    let Options(options) = Options::of(bytes);
    let whole: usize = options.iter().map(|(_, value)| 4 + value.len()).sum();
    (whole == bytes.len()).then_some(options)
}

/// Unwraps a reply from this many relay messages.
#[cfg(any(test, fuzzing))]
pub(crate) fn unwrap(packet: &[u8], relays: usize) -> Option<&[u8]> {
    (0..relays).try_fold(packet, |packet, _| {
        let (_, inner) = relay(packet).filter(|_| packet[0] == u8::from(MessageType::RelayRepl))?;
        Some(inner)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn option(code: u16, value: &[u8]) -> Vec<u8> {
        let length = u16::try_from(value.len()).unwrap();
        [&code.to_be_bytes(), &length.to_be_bytes(), value].concat()
    }

    #[test]
    fn a_broken_option_costs_itself_only() {
        let packet = [
            vec![1, 7, 8, 9],
            option(16, &[0, 0]),
            option(13, &[0]),
            option(3, &[0, 0, 0, 1]),
            option(61, &[0, 16, 0]),
            option(1, &[0, 3, 0, 1, 2, 0, 0, 0, 0, 9]),
            vec![0, 2, 0, 200, 1],
        ]
        .concat();
        let request = Request::decode(&packet).unwrap();
        assert_eq!(request.xid, [7, 8, 9]);
        assert_eq!(request.client.as_deref(), Some(&[0, 3, 0, 1, 2, 0, 0, 0, 0, 9][..]));
        assert_eq!(request.architectures, [16]);
        assert_eq!((request.server, request.addresses, request.vendor_classes), (None, vec![], vec![]));
        assert_eq!(Request::decode(&[2, 0, 0, 0]), None, "a message of servers");
        assert_eq!(Request::decode(&[1, 0, 0]), None, "cut off");
        assert_eq!(Request::decode(&[]), None);
        let long = [vec![1, 0, 0, 0], option(1, &[0; 131])].concat();
        assert_eq!(Request::decode(&long).unwrap().client, None, "longer than any name of a client");
    }

    #[test]
    fn classes_come_with_lengths_or_without() {
        assert_eq!(classes(b"\0\x04iPXE\0\x02ab"), [b"iPXE".to_vec(), b"ab".to_vec()]);
        assert_eq!(classes(b"iPXE"), [b"iPXE".to_vec()]);
        assert!(classes(b"").is_empty());
    }

    #[test]
    fn relays_are_unwrapped_and_wrapped_again() {
        let wrap = |hops: u8, interface: &[u8], inner: &[u8]| {
            let mut packet = vec![12, hops];
            packet.extend("fd00:83::7".parse::<Ipv6Addr>().unwrap().octets());
            packet.extend("fe80::9".parse::<Ipv6Addr>().unwrap().octets());
            packet.extend(option(18, interface));
            packet.extend(option(79, &[0, 1, 2, 0, 0, 0, 0, 9]));
            packet.extend(option(9, inner));
            packet
        };
        let packet = wrap(1, b"up", &wrap(0, b"port 1", &[11, 1, 2, 3]));
        let request = Request::decode(&packet).unwrap();
        assert_eq!(request.kind, MessageType::InformationRequest);
        assert_eq!(request.relays.len(), 2);
        assert_eq!(request.relays[1].hardware, Some(Mac([2, 0, 0, 0, 0, 9])));
        let reply =
            Reply { kind: MessageType::Reply, xid: request.xid, options: vec![DhcpOption::Preference(255)] };
        let sent = reply.encode(&request.relays).unwrap();
        // A relay-reply has the same format as the relay-forward that it answers.
        let (outer, inner) = relay(&sent).unwrap();
        let (next, message) = relay(inner).unwrap();
        assert_eq!((sent[0], outer.hops, outer.interface.unwrap().as_slice()), (13, 1, &b"up"[..]));
        assert_eq!((inner[0], next.hops, next.interface.unwrap().as_slice()), (13, 0, &b"port 1"[..]));
        assert_eq!(message, [7, 1, 2, 3, 0, 7, 0, 1, 255]);

        let loops = (0..20).fold(vec![11, 0, 0, 0], |inner, hops| wrap(hops, b"", &inner));
        assert_eq!(Request::decode(&loops), None, "relays that go round in circles");
    }
}
