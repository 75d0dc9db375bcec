//! DHCP packets: bytes to [`Request`], [`Reply`] to bytes.
//!
//! dhcproto encodes, but its decoder silently stops at the first option that it does
//! not accept and asserts on some lengths. So options are split and parsed one by one
//! here: a malformed option affects only itself.

mod client;
mod lease;

use std::borrow::Cow;
use std::net::Ipv4Addr;
use std::sync::Arc;

use dhcproto::v4::{self, DhcpOption, Message, MessageType, Opcode};
use dhcproto::{Decodable, Decoder, Encodable, Encoder};

use crate::event::DhcpMessage;
use crate::name::Mac;

pub(crate) use client::{Client, HTTP, PXE, architecture};
pub(crate) use lease::{Asked, Asking, Lease, Told};

/// Length of the fixed part of a packet, with the magic cookie.
const HEADER: usize = 240;
const SNAME: std::ops::Range<usize> = 44..108;
const FILE: std::ops::Range<usize> = 108..236;
const PAD: u8 = 0;
const END: u8 = 255;

/// Length of IP and UDP headers, which are included in a client's maximum message size.
const AROUND: usize = 28;
/// The size that every client accepts (RFC 2131, section 2).
const LEAST: usize = 576 - AROUND;
/// The size that fits an Ethernet frame.
const MOST: usize = 1500 - AROUND;
/// The size that a BOOTP client accepts (RFC 951): 64 bytes of options.
const OF_BOOTP: usize = 300;

/// Codes of the options that are read or decided here (RFC 2132, 3004, 3046, 4578).
pub(crate) mod code {
    pub(crate) const SUBNET_MASK: u8 = 1;
    pub(crate) const VENDOR_OPTIONS: u8 = 43;
    pub(crate) const REQUESTED_ADDRESS: u8 = 50;
    pub(crate) const LEASE_TIME: u8 = 51;
    pub(crate) const OVERLOAD: u8 = 52;
    pub(crate) const MESSAGE_TYPE: u8 = 53;
    pub(crate) const SERVER: u8 = 54;
    pub(crate) const WANTED: u8 = 55;
    pub(crate) const LARGEST: u8 = 57;
    pub(crate) const RENEWAL_TIME: u8 = 58;
    pub(crate) const REBINDING_TIME: u8 = 59;
    pub(crate) const VENDOR_CLASS: u8 = 60;
    pub(crate) const CLIENT_ID: u8 = 61;
    pub(crate) const BOOT_SERVER: u8 = 66;
    pub(crate) const BOOT_FILE: u8 = 67;
    pub(crate) const USER_CLASS: u8 = 77;
    pub(crate) const RELAY: u8 = 82;
    pub(crate) const ARCHITECTURE: u8 = 93;
    pub(crate) const MACHINE_ID: u8 = 97;
    pub(crate) const IPXE: u8 = 175;
    /// Sub-option of option 82: the client's subnet, if it is not that of the relay (RFC 3527).
    pub(crate) const RELAY_LINK: u8 = 5;
}

/// The fields of a request that matter to an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Request {
    /// Hardware address of the client.
    pub(crate) mac: Mac,
    /// Transaction ID.
    pub(crate) xid: u32,
    pub(crate) flags: v4::Flags,
    /// The address that the client already uses.
    pub(crate) ciaddr: Ipv4Addr,
    /// The relay that forwarded the request.
    pub(crate) giaddr: Ipv4Addr,
    /// `None`: a BOOTP client.
    pub(crate) kind: Option<MessageType>,
    /// The address that the client requests.
    pub(crate) requested: Option<Ipv4Addr>,
    /// The requested lease time in seconds.
    pub(crate) lease: Option<u32>,
    /// The server that the client chose.
    pub(crate) server: Option<Ipv4Addr>,
    /// Codes of the requested options (parameter request list).
    pub(crate) wanted: Vec<u8>,
    /// The largest reply that the client accepts, in bytes.
    pub(crate) room: usize,
    pub(crate) vendor_class: Vec<u8>,
    pub(crate) client_id: Option<Vec<u8>>,
    pub(crate) user_class: Vec<u8>,
    /// The relay agent information, returned in the reply.
    pub(crate) relay: Option<Vec<u8>>,
    /// Whether it has iPXE's own options.
    pub(crate) ipxe_options: bool,
    /// Architectures of the client, in its order.
    pub(crate) architectures: Vec<u16>,
    pub(crate) machine_id: Option<Vec<u8>>,
}

impl Request {
    /// Parses a packet; `None` if it is not a request of an Ethernet client.
    pub(crate) fn decode(packet: &[u8]) -> Option<Self> {
        let fixed = packet.get(..HEADER)?;
        // dhcproto would slice the hardware address by this length.
        let ethernet = fixed[1] == 1 && fixed[2] == 6;
        if !ethernet {
            return None;
        }
        let mut header = [END; HEADER + 1];
        header[..HEADER].copy_from_slice(fixed);
        let header = Message::decode(&mut Decoder::new(&header)).ok()?;
        let mac = Mac(header.chaddr().try_into().ok()?);
        if header.opcode() != Opcode::BootRequest || mac.is_group() || mac.0 == [0; 6] {
            return None;
        }
        let options = Options::split(packet);
        let bytes = |code| options.get(code).map(<[u8]>::to_vec);
        let address = |code| options.get(code).and_then(address);
        let number = |code| options.get(code)?.try_into().ok().map(u32::from_be_bytes);
        // If it is present twice, the first one counts.
        let kind = options.get(code::MESSAGE_TYPE).and_then(|value| value.first());
        let kind = kind.map(|kind| MessageType::from(*kind));
        let largest =
            options.get(code::LARGEST).and_then(|value| value.try_into().ok()).map(u16::from_be_bytes);
        Some(Self {
            mac,
            xid: header.xid(),
            flags: header.flags(),
            ciaddr: header.ciaddr(),
            giaddr: header.giaddr(),
            kind,
            requested: address(code::REQUESTED_ADDRESS),
            lease: number(code::LEASE_TIME),
            server: address(code::SERVER),
            wanted: bytes(code::WANTED).unwrap_or_default(),
            room: match (kind, largest) {
                (None, _) => packet.len().clamp(OF_BOOTP, LEAST),
                (_, Some(largest)) => usize::from(largest).saturating_sub(AROUND).clamp(LEAST, MOST),
                (_, None) => LEAST,
            },
            vendor_class: bytes(code::VENDOR_CLASS).unwrap_or_default(),
            client_id: bytes(code::CLIENT_ID).filter(|id| !id.is_empty()),
            user_class: bytes(code::USER_CLASS).unwrap_or_default(),
            relay: bytes(code::RELAY),
            ipxe_options: options.get(code::IPXE).is_some(),
            architectures: options
                .get(code::ARCHITECTURE)
                .unwrap_or_default()
                .chunks_exact(2)
                .map(|pair| u16::from_be_bytes([pair[0], pair[1]]))
                .collect(),
            machine_id: bytes(code::MACHINE_ID),
        })
    }

    /// Returns an address in the client's subnet: the relay's, or the one of the link selection sub-option (RFC
    /// 3527). `None`: the client is on our own link.
    pub(crate) fn link(&self) -> Option<Ipv4Addr> {
        let relay = Some(self.giaddr).filter(|relay| !relay.is_unspecified())?;
        let named = || {
            let mut sub = Options::default();
            sub.add(self.relay.as_deref()?, None);
            sub.get(code::RELAY_LINK).and_then(address)
        };
        Some(named().unwrap_or(relay))
    }

    /// Returns the message type as the event has it.
    pub(crate) fn message(&self) -> DhcpMessage {
        message(self.kind)
    }
}

fn address(value: &[u8]) -> Option<Ipv4Addr> {
    <[u8; 4]>::try_from(value).ok().map(Ipv4Addr::from)
}

/// Converts a message type.
pub(crate) fn message(kind: Option<MessageType>) -> DhcpMessage {
    match kind {
        None => DhcpMessage::Bootp,
        Some(MessageType::Discover) => DhcpMessage::Discover,
        Some(MessageType::Offer) => DhcpMessage::Offer,
        Some(MessageType::Request) => DhcpMessage::Request,
        Some(MessageType::Decline) => DhcpMessage::Decline,
        Some(MessageType::Ack) => DhcpMessage::Ack,
        Some(MessageType::Nak) => DhcpMessage::Nak,
        Some(MessageType::Release) => DhcpMessage::Release,
        Some(MessageType::Inform) => DhcpMessage::Inform,
        Some(other) => DhcpMessage::Other(format!("type {}", u8::from(other))),
    }
}

/// The fields of any server's reply.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ServerReply {
    pub(crate) mac: Mac,
    pub(crate) xid: u32,
    pub(crate) message: DhcpMessage,
    pub(crate) yiaddr: Ipv4Addr,
    /// The next server.
    pub(crate) siaddr: Ipv4Addr,
    pub(crate) giaddr: Ipv4Addr,
    /// The server identifier (option 54).
    pub(crate) server: Option<Ipv4Addr>,
    /// The boot server (option 66, else the header).
    pub(crate) boot_server: Option<String>,
    /// The boot file in the header.
    pub(crate) header_file: Option<String>,
    /// The boot file in option 67.
    pub(crate) option_file: Option<String>,
}

impl ServerReply {
    /// Parses a packet; `None` if no server sent it.
    pub(crate) fn decode(packet: &[u8]) -> Option<Self> {
        let fixed = packet.get(..HEADER)?;
        let is_reply = fixed[0] == 2 && fixed[1] == 1 && fixed[2] == 6;
        let mac = Mac(*fixed[28..].first_chunk()?);
        if !is_reply || mac.is_group() || mac.0 == [0; 6] {
            return None;
        }
        let ipv4 = |at: usize| Some(Ipv4Addr::from(*fixed[at..].first_chunk::<4>()?));
        let options = Options::split(packet);
        let overload = options.get(code::OVERLOAD).and_then(|value| value.first()).copied().unwrap_or(0);
        let field =
            |range: std::ops::Range<usize>, bit: u8| text(&fixed[range]).filter(|_| overload & bit == 0);
        let option = |code| options.get(code).and_then(text);
        let kind = options.get(code::MESSAGE_TYPE).and_then(|value| value.first());
        Some(Self {
            mac,
            xid: u32::from_be_bytes(*fixed[4..].first_chunk()?),
            message: message(kind.map(|kind| MessageType::from(*kind))),
            yiaddr: ipv4(16)?,
            siaddr: ipv4(20)?,
            giaddr: ipv4(24)?,
            server: options.get(code::SERVER).and_then(address),
            boot_server: option(code::BOOT_SERVER).or_else(|| field(SNAME, 2)),
            header_file: field(FILE, 1),
            option_file: option(code::BOOT_FILE),
        })
    }

    /// Returns the boot file that clients use.
    pub(crate) fn boot_file(&self) -> Option<String> {
        self.option_file.clone().or_else(|| self.header_file.clone())
    }
}

/// Returns a text up to its first NUL.
fn text(bytes: &[u8]) -> Option<String> {
    let end = bytes.iter().position(|byte| *byte == 0).unwrap_or(bytes.len());
    Some(String::from_utf8_lossy(&bytes[..end]).into_owned()).filter(|text| !text.is_empty())
}

/// The options of a packet, in its order; fragments are joined.
#[derive(Debug, Default)]
pub(crate) struct Options<'a>(Vec<(u8, Cow<'a, [u8]>)>);

impl<'a> Options<'a> {
    /// Splits the options of a packet, including overloaded header fields, and joins fragments (RFC 3396).
    pub(crate) fn split(packet: &'a [u8]) -> Self {
        let mut options = Self::default();
        if packet.get(HEADER - 4..HEADER) != Some(&v4::MAGIC) {
            return options;
        }
        options.add(&packet[HEADER..], Some(END));
        let overload = options.get(code::OVERLOAD).and_then(|value| value.first()).copied().unwrap_or(0);
        if overload & 1 != 0 {
            options.add(&packet[FILE], Some(END));
        }
        if overload & 2 != 0 {
            options.add(&packet[SNAME], Some(END));
        }
        options
    }

    /// Adds the options of a field. Sub-options have neither padding nor an end.
    fn add(&mut self, mut field: &'a [u8], end: Option<u8>) {
        while let Some((&code, rest)) = field.split_first() {
            field = rest;
            if end.is_some() && code == PAD {
                continue;
            }
            if end == Some(code) {
                return;
            }
            let Some((&length, rest)) = field.split_first() else { return };
            let Some((value, rest)) = rest.split_at_checked(usize::from(length)) else { return };
            match self.0.iter_mut().find(|(known, _)| *known == code) {
                Some((_, before)) => before.to_mut().extend_from_slice(value),
                None => self.0.push((code, Cow::Borrowed(value))),
            }
            field = rest;
        }
    }

    /// Returns the value of an option.
    pub(crate) fn get(&self, code: u8) -> Option<&[u8]> {
        self.0.iter().find(|(known, _)| *known == code).map(|(_, value)| &**value)
    }
}

/// One option of a reply.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Tlv {
    pub(crate) code: u8,
    pub(crate) value: Arc<[u8]>,
}

impl Tlv {
    /// Creates an option from its bytes.
    pub(crate) fn new(code: u8, value: &[u8]) -> Self {
        Self { code, value: value.into() }
    }

    /// Creates an option from one of dhcproto, which encodes its value.
    pub(crate) fn of(option: &DhcpOption) -> Self {
        let mut bytes = Vec::new();
        option.encode(&mut Encoder::new(&mut bytes)).expect("memory takes every option");
        // Long options are already split.
        let mut joined = Options::default();
        joined.add(&bytes, None);
        match joined.0.pop() {
            Some((code, value)) => Self::new(code, &value),
            None => Self::new(PAD, &[]),
        }
    }

    /// Returns its length in a packet: values longer than 255 bytes are split (RFC 3396).
    fn size(&self) -> usize {
        self.value.len() + 2 * self.value.len().div_ceil(255).max(1) + usize::from(self.is_text_of_old())
    }

    /// Tells whether some clients read it as NUL-terminated text or ignore its length.
    fn is_text_of_old(&self) -> bool {
        matches!(self.code, code::BOOT_SERVER | code::BOOT_FILE)
    }

    /// Ranks the options by need: 0 for a valid lease, 1 for booting, 2 for everything else.
    fn rank(&self) -> u8 {
        use code::{BOOT_FILE, BOOT_SERVER, IPXE, LEASE_TIME, MACHINE_ID, SERVER, SUBNET_MASK};
        use code::{REBINDING_TIME, RENEWAL_TIME, VENDOR_CLASS, VENDOR_OPTIONS};
        match self.code {
            SERVER | LEASE_TIME | RENEWAL_TIME | REBINDING_TIME | SUBNET_MASK => 0,
            VENDOR_CLASS | VENDOR_OPTIONS | BOOT_SERVER | BOOT_FILE | MACHINE_ID | IPXE => 1,
            _ => 2,
        }
    }

    /// Encodes the option.
    pub(crate) fn write(&self, to: &mut Vec<u8>) {
        let mut pieces = self.value.chunks(255);
        let first: &[u8] = pieces.next().unwrap_or_default();
        for piece in std::iter::once(first).chain(pieces) {
            to.extend([self.code, u8::try_from(piece.len()).unwrap_or(u8::MAX)]);
            to.extend(piece);
        }
        if self.is_text_of_old() {
            // A client that ignores the length stops at this NUL.
            to.push(PAD);
        }
    }
}

/// A reply and its destination.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Reply {
    /// `None`: the client uses BOOTP.
    pub(crate) kind: Option<MessageType>,
    pub(crate) xid: u32,
    pub(crate) flags: v4::Flags,
    pub(crate) mac: Mac,
    pub(crate) ciaddr: Ipv4Addr,
    /// The client's address.
    pub(crate) yiaddr: Ipv4Addr,
    /// The server of the boot file.
    pub(crate) siaddr: Ipv4Addr,
    /// Its name for clients that read only the header.
    pub(crate) sname: Option<String>,
    /// The relay that forwards it to the client.
    pub(crate) giaddr: Ipv4Addr,
    /// Boot file for clients that read only the header.
    pub(crate) file: Option<String>,
    /// Further options in the order of sending.
    pub(crate) options: Vec<Tlv>,
    /// The relay agent information of the request.
    pub(crate) relay: Option<Tlv>,
    /// Codes of the options that the client requested.
    pub(crate) wanted: Vec<u8>,
    /// Maximum size in bytes.
    pub(crate) room: usize,
    /// Whether the header fields `sname` and `file` may hold options (RFC 2131, section 4.1).
    pub(crate) overload: bool,
    pub(crate) to: Destination,
}

/// The destination of a reply.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Destination {
    /// Broadcast on the link.
    Broadcast,
    /// To the client's hardware address and its new IP address.
    Hardware(Ipv4Addr),
    /// To the IP address that the client has.
    Address(Ipv4Addr),
    /// To a relay.
    Relay(Ipv4Addr),
    /// To the source of the request.
    Source,
}

/// The fields of a packet that hold the options.
#[derive(Debug, Default)]
struct Layout<'a> {
    options: Vec<&'a Tlv>,
    file: Vec<&'a Tlv>,
    sname: Vec<&'a Tlv>,
    /// Options that did not fit.
    left: Vec<u8>,
}

impl Reply {
    /// Encodes the packet, padded for old BOOTP clients. Returns the codes of the options that did not fit.
    pub(crate) fn encode(&self, packet: &mut Vec<u8>) -> Result<Vec<u8>, dhcproto::error::EncodeError> {
        let mut header =
            Message::new_with_id(self.xid, self.ciaddr, self.yiaddr, self.siaddr, self.giaddr, &self.mac.0);
        header.set_opcode(Opcode::BootReply).set_flags(self.flags);
        if let Some(server) = self.server_name() {
            header.set_sname_str(server);
        }
        if let Some(file) = self.header_file() {
            header.set_fname_str(file);
        }
        packet.clear();
        header.encode(&mut Encoder::new(packet))?;
        // Options are added one by one: dhcproto would sort a set by code.
        packet.truncate(HEADER);
        let layout = self.layout();
        let kind = self.kind.map(|kind| Tlv::new(code::MESSAGE_TYPE, &[kind.into()]));
        let overload = u8::from(!layout.file.is_empty()) | u8::from(!layout.sname.is_empty()) << 1;
        let overload = (overload != 0).then(|| Tlv::new(code::OVERLOAD, &[overload]));
        let before = kind.iter().chain(&overload);
        // Relays expect their option at the end (RFC 3046, section 2.2).
        for option in before.chain(layout.options.iter().copied()).chain(&self.relay) {
            option.write(packet);
        }
        packet.push(END);
        packet.resize(packet.len().max(v4::MIN_PACKET_SIZE), PAD);
        for (field, options) in [(FILE, &layout.file), (SNAME, &layout.sname)] {
            let mut bytes = Vec::new();
            options.iter().for_each(|option| option.write(&mut bytes));
            if !bytes.is_empty() {
                bytes.push(END);
                packet[field.start..field.start + bytes.len()].copy_from_slice(&bytes);
            }
        }
        Ok(layout.left)
    }

    /// Returns the name of the server, if it fits the header.
    fn server_name(&self) -> Option<&String> {
        self.sname.as_ref().filter(|name| name.len() < SNAME.len())
    }

    /// Returns the boot file, if it fits the header.
    fn header_file(&self) -> Option<&String> {
        self.file.as_ref().filter(|file| file.len() < FILE.len())
    }

    /// Assigns each option to a field: first what is needed for a valid lease, then what a client boots from, then
    /// what it requested, then the rest.
    fn layout(&self) -> Layout<'_> {
        let fixed =
            HEADER + 1 + if self.kind.is_some() { 3 } else { 0 } + self.relay.as_ref().map_or(0, Tlv::size);
        let room = self.room.saturating_sub(fixed);
        let mut layout = Layout::default();
        if self.options.iter().map(Tlv::size).sum::<usize>() <= room {
            layout.options = self.options.iter().collect();
            return layout;
        }
        let free = |field: std::ops::Range<usize>, used: bool| match self.overload && !used {
            true => field.len() - 1,
            false => 0,
        };
        let mut rooms = [
            // Option 52 takes three bytes.
            room.saturating_sub(if self.overload { 3 } else { 0 }),
            free(FILE, self.header_file().is_some()),
            free(SNAME, self.server_name().is_some()),
        ];
        let rank = |option: &Tlv| (option.rank(), !self.wanted.contains(&option.code));
        let mut order: Vec<usize> = (0..self.options.len()).collect();
        order.sort_by_key(|index| rank(&self.options[*index]));
        let mut slots = vec![None; self.options.len()];
        for index in order {
            let size = self.options[index].size();
            if let Some(slot) = rooms.iter().position(|room| size <= *room) {
                rooms[slot] -= size;
                slots[index] = Some(slot);
            }
        }
        for (option, slot) in self.options.iter().zip(slots) {
            match slot {
                Some(0) => layout.options.push(option),
                Some(1) => layout.file.push(option),
                Some(_) => layout.sname.push(option),
                None => layout.left.push(option.code),
            }
        }
        layout
    }
}
