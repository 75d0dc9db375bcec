//! DHCP packets: bytes to [`Request`], [`Reply`] to bytes.
//!
//! The codec is dhcproto's, but its decoder stops without a word at the first
//! option that it dislikes and asserts on some lengths. So options are split here
//! and decoded one by one: what is broken costs itself only.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;

use dhcproto::v4::{self, DhcpOption, Message, MessageType, Opcode};
use dhcproto::{Decodable, Decoder, Encodable, Encoder};

use crate::name::Mac;

/// The fixed part of a packet, up to and with the magic cookie.
const HEADER: usize = 240;
const SNAME: std::ops::Range<usize> = 44..108;
const FILE: std::ops::Range<usize> = 108..236;
const PAD: u8 = 0;
const END: u8 = 255;

/// Names of the options that are read here (RFC 2132, 3004, 4578).
mod code {
    pub(super) const REQUESTED_ADDRESS: u8 = 50;
    pub(super) const OVERLOAD: u8 = 52;
    pub(super) const MESSAGE_TYPE: u8 = 53;
    pub(super) const SERVER: u8 = 54;
    pub(super) const VENDOR_CLASS: u8 = 60;
    pub(super) const USER_CLASS: u8 = 77;
    pub(super) const ARCHITECTURE: u8 = 93;
    pub(super) const MACHINE_ID: u8 = 97;
    pub(super) const IPXE: u8 = 175;
}

/// A request as far as it matters to an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::serve) struct Request {
    /// Hardware address of the client.
    pub(super) mac: Mac,
    /// Transaction.
    pub(super) xid: u32,
    pub(super) secs: u16,
    pub(super) flags: v4::Flags,
    /// The address that the client uses already.
    pub(super) ciaddr: Ipv4Addr,
    /// The relay that the request came by.
    pub(super) giaddr: Ipv4Addr,
    /// `None`: a BOOTP client.
    pub(super) kind: Option<MessageType>,
    /// The address that the client asks for.
    pub(super) requested: Option<Ipv4Addr>,
    /// The server that the client chose.
    pub(super) server: Option<Ipv4Addr>,
    pub(super) vendor_class: Vec<u8>,
    pub(super) user_class: Vec<u8>,
    /// Whether iPXE's own options came with it.
    pub(super) ipxe_options: bool,
    /// Architectures of the client, in its order.
    pub(super) architectures: Vec<u16>,
    pub(super) machine_id: Option<Vec<u8>>,
}

impl Request {
    /// Reads a packet; `None` if it is no request of an Ethernet client.
    pub(in crate::serve) fn decode(packet: &[u8]) -> Option<Self> {
        let fixed = packet.get(..HEADER)?;
        // dhcproto would slice the hardware address by this length.
        let ethernet = fixed[1] == 1 && fixed[2] == 6;
        if !ethernet {
            return None;
        }
        let mut header = fixed.to_vec();
        header.push(END);
        let header = Message::decode(&mut Decoder::new(&header)).ok()?;
        let mac = Mac(header.chaddr().try_into().ok()?);
        if header.opcode() != Opcode::BootRequest || mac.is_group() || mac.0 == [0; 6] {
            return None;
        }
        let options = split(packet);
        let bytes = |code| options.get(&code).cloned();
        Some(Self {
            mac,
            xid: header.xid(),
            secs: header.secs(),
            flags: header.flags(),
            ciaddr: header.ciaddr(),
            giaddr: header.giaddr(),
            kind: match typed(&options, code::MESSAGE_TYPE) {
                Some(DhcpOption::MessageType(kind)) => Some(kind),
                _ => None,
            },
            requested: match typed(&options, code::REQUESTED_ADDRESS) {
                Some(DhcpOption::RequestedIpAddress(address)) => Some(address),
                _ => None,
            },
            server: match typed(&options, code::SERVER) {
                Some(DhcpOption::ServerIdentifier(address)) => Some(address),
                _ => None,
            },
            vendor_class: bytes(code::VENDOR_CLASS).unwrap_or_default(),
            user_class: bytes(code::USER_CLASS).unwrap_or_default(),
            ipxe_options: options.contains_key(&code::IPXE),
            architectures: bytes(code::ARCHITECTURE)
                .unwrap_or_default()
                .chunks_exact(2)
                .map(|pair| u16::from_be_bytes([pair[0], pair[1]]))
                .collect(),
            machine_id: bytes(code::MACHINE_ID),
        })
    }

    /// Names the message type for people.
    pub(super) fn kind_name(&self) -> String {
        kind_name(self.kind)
    }
}

/// Names a message type for people.
pub(super) fn kind_name(kind: Option<MessageType>) -> String {
    match kind {
        None => "bootp".to_owned(),
        Some(MessageType::Discover) => "discover".to_owned(),
        Some(MessageType::Offer) => "offer".to_owned(),
        Some(MessageType::Request) => "request".to_owned(),
        Some(MessageType::Decline) => "decline".to_owned(),
        Some(MessageType::Ack) => "ack".to_owned(),
        Some(MessageType::Nak) => "nak".to_owned(),
        Some(MessageType::Release) => "release".to_owned(),
        Some(MessageType::Inform) => "inform".to_owned(),
        Some(other) => format!("type {}", u8::from(other)),
    }
}

/// Splits the options of a packet, those in overloaded header fields too, and joins long ones (RFC 3396).
fn split(packet: &[u8]) -> BTreeMap<u8, Vec<u8>> {
    let mut options = BTreeMap::new();
    if packet[HEADER - 4..HEADER] != v4::MAGIC {
        return options;
    }
    split_field(&packet[HEADER..], &mut options);
    let overload = options.get(&code::OVERLOAD).and_then(|bytes| bytes.first()).copied().unwrap_or(0);
    if overload & 1 != 0 {
        split_field(&packet[FILE], &mut options);
    }
    if overload & 2 != 0 {
        split_field(&packet[SNAME], &mut options);
    }
    options
}

fn split_field(mut field: &[u8], options: &mut BTreeMap<u8, Vec<u8>>) {
    while let Some((&code, rest)) = field.split_first() {
        field = rest;
        match code {
            PAD => {}
            END => return,
            code => {
                let Some((&length, rest)) = field.split_first() else { return };
                let Some((value, rest)) = rest.split_at_checked(usize::from(length)) else { return };
                options.entry(code).or_default().extend_from_slice(value);
                field = rest;
            }
        }
    }
}

/// Decodes one option alone. Only for codes whose decoder asserts nothing about lengths (80, 81 and 94 do).
fn typed(options: &BTreeMap<u8, Vec<u8>>, code: u8) -> Option<DhcpOption> {
    let value = options.get(&code)?;
    let length = u8::try_from(value.len()).ok()?;
    let bytes = [&[code, length], value.as_slice()].concat();
    DhcpOption::decode(&mut Decoder::new(&bytes)).ok()
}

/// A reply, and where it goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::serve) struct Reply {
    /// `None`: to a BOOTP client.
    pub(super) kind: Option<MessageType>,
    pub(super) xid: u32,
    pub(super) secs: u16,
    pub(super) flags: v4::Flags,
    pub(super) mac: Mac,
    pub(super) ciaddr: Ipv4Addr,
    /// The client's address.
    pub(super) yiaddr: Ipv4Addr,
    /// The server that the boot file is fetched from.
    pub(super) siaddr: Ipv4Addr,
    /// Boot file, for clients that read only the header.
    pub(super) file: Option<String>,
    /// Further options, in the order in which they are sent.
    pub(super) options: Vec<DhcpOption>,
    pub(super) to: Destination,
}

/// Where a reply goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Destination {
    /// To everybody on the link.
    Broadcast,
    /// To the client's hardware address and to the address that it does not have yet.
    Hardware(Ipv4Addr),
    /// To an address that the client has.
    Address(Ipv4Addr),
    /// To where the request came from.
    Source,
}

impl Reply {
    /// Writes the packet, padded to what old BOOTP clients expect.
    pub(in crate::serve) fn encode(&self) -> Result<Vec<u8>, dhcproto::error::EncodeError> {
        let mut header = Message::new_with_id(
            self.xid,
            self.ciaddr,
            self.yiaddr,
            self.siaddr,
            Ipv4Addr::UNSPECIFIED,
            &self.mac.0,
        );
        header.set_opcode(Opcode::BootReply).set_flags(self.flags).set_secs(self.secs);
        if !self.siaddr.is_unspecified() {
            header.set_sname_str(self.siaddr.to_string());
        }
        if let Some(file) = self.file.as_ref().filter(|file| file.len() < FILE.len()) {
            header.set_fname_str(file);
        }
        let mut packet = Vec::with_capacity(v4::MIN_PACKET_SIZE);
        header.encode(&mut Encoder::new(&mut packet))?;
        // Options are added one by one: as a set they would be sorted by their code.
        packet.truncate(HEADER);
        let kind = self.kind.map(DhcpOption::MessageType);
        for option in kind.iter().chain(&self.options) {
            let mut bytes = Vec::new();
            option.encode(&mut Encoder::new(&mut bytes))?;
            packet.extend(bytes);
        }
        packet.push(END);
        packet.resize(packet.len().max(v4::MIN_PACKET_SIZE), PAD);
        Ok(packet)
    }
}
