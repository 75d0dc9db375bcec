//! What a DHCP client sends and what it is told (RFC 2131, section 4.4).

use std::net::Ipv4Addr;
use std::time::Duration;

use dhcproto::v4::{Flags, Message, MessageType, Opcode};
use dhcproto::{Encodable, Encoder};
use ipnet::Ipv4Net;

use super::{END, HEADER, Options, Tlv, code};
use crate::name::Mac;

/// Options that are asked for: mask, routers, name servers, domain, lease time.
const WANTED: &[u8] = &[code::SUBNET_MASK, 3, 6, 15, code::LEASE_TIME];
/// A lease without an end.
const ENDLESS: u32 = u32::MAX;

/// What a client asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Asked {
    /// Who has an address?
    Discover,
    /// The address that a server offered.
    Offered {
        /// The address.
        address: Ipv4Addr,
        /// The server.
        server: Ipv4Addr,
    },
    /// The address that the client has, for longer.
    Renewal {
        /// The address.
        address: Ipv4Addr,
    },
}

/// A client with one exchange.
#[derive(Debug, Clone)]
pub(crate) struct Asking<'a> {
    /// Its hardware address.
    pub(crate) mac: Mac,
    /// The number of the exchange.
    pub(crate) xid: u32,
    /// Its host name.
    pub(crate) name: &'a str,
}

/// An answer to a client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Told {
    /// An offer, with the server.
    Offer {
        /// The address.
        address: Ipv4Addr,
        /// The server.
        server: Ipv4Addr,
    },
    /// A lease.
    Lease(Lease),
    /// A refusal.
    Refused,
}

/// A leased address, with what belongs to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Lease {
    /// The address with its prefix length.
    pub(crate) address: Ipv4Net,
    /// The server, if it says who it is.
    pub(crate) server: Option<Ipv4Addr>,
    /// The default route.
    pub(crate) router: Option<Ipv4Addr>,
    /// The name servers.
    pub(crate) nameservers: Vec<Ipv4Addr>,
    /// The search domain.
    pub(crate) domain: Option<String>,
    /// How long it holds; `None` for ever.
    pub(crate) holds: Option<Duration>,
}

impl Asking<'_> {
    /// Returns a packet of the client.
    pub(crate) fn packet(&self, asked: Asked) -> Vec<u8> {
        let nowhere = Ipv4Addr::UNSPECIFIED;
        let ciaddr = match asked {
            Asked::Renewal { address } => address,
            Asked::Discover | Asked::Offered { .. } => nowhere,
        };
        let mut header = Message::new_with_id(self.xid, ciaddr, nowhere, nowhere, nowhere, &self.mac.0);
        // It has no address to which an answer could be sent.
        header.set_opcode(Opcode::BootRequest).set_flags(Flags::default().set_broadcast());
        let mut packet = Vec::new();
        header.encode(&mut Encoder::new(&mut packet)).expect("memory takes every packet");
        packet.truncate(HEADER);
        let kind = match asked {
            Asked::Discover => MessageType::Discover,
            Asked::Offered { .. } | Asked::Renewal { .. } => MessageType::Request,
        };
        let mut options = vec![Tlv::new(code::MESSAGE_TYPE, &[kind.into()]), Tlv::new(code::WANTED, WANTED)];
        options.push(Tlv::new(12, self.name.as_bytes()));
        if let Asked::Offered { address, server } = asked {
            options.push(Tlv::new(code::REQUESTED_ADDRESS, &address.octets()));
            options.push(Tlv::new(code::SERVER, &server.octets()));
        }
        for option in options {
            option.write(&mut packet);
        }
        packet.push(END);
        // The size of BOOTP, below which some relays drop a packet.
        packet.resize(packet.len().max(300), 0);
        packet
    }

    /// Returns what an answer tells this client; `None` if it is not for it.
    pub(crate) fn told(&self, packet: &[u8]) -> Option<Told> {
        let header = packet.get(..HEADER)?;
        if header[0] != 2 || header[4..8] != self.xid.to_be_bytes() || header[28..34] != self.mac.0 {
            return None;
        }
        let options = Options::split(packet);
        let four = |value: &[u8]| <[u8; 4]>::try_from(value.get(..4)?).ok().map(Ipv4Addr::from);
        let address = four(&header[16..20])?;
        let server = options.get(code::SERVER).and_then(four);
        let kind = *options.get(code::MESSAGE_TYPE)?.first()?;
        if kind == u8::from(MessageType::Nak) {
            return Some(Told::Refused);
        }
        if address.is_unspecified() {
            return None;
        }
        if kind == u8::from(MessageType::Offer) {
            return Some(Told::Offer { address, server: server? });
        }
        if kind != u8::from(MessageType::Ack) {
            return None;
        }
        let mask = options.get(code::SUBNET_MASK).and_then(four);
        let address = match mask.map(|mask| Ipv4Net::with_netmask(address, mask)) {
            Some(Ok(net)) => net,
            // The class of an address is older than masks, and today always wrong.
            Some(Err(_)) | None => Ipv4Net::new(address, 24).ok()?,
        };
        let seconds = options.get(code::LEASE_TIME).and_then(|value| Some(u32::from(four(value)?)));
        let nameservers = options.get(6).unwrap_or_default().chunks_exact(4).filter_map(four).collect();
        let domain =
            options.get(15).map(|text| String::from_utf8_lossy(text).trim_end_matches('\0').to_owned());
        Some(Told::Lease(Lease {
            address,
            server,
            router: options.get(3).and_then(four),
            nameservers,
            domain: domain.filter(|domain| !domain.is_empty() && !domain.contains(char::is_whitespace)),
            holds: seconds
                .filter(|seconds| *seconds != ENDLESS)
                .map(|seconds| Duration::from_secs(seconds.into())),
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::super::Request;
    use super::*;

    const ASKING: Asking<'static> = Asking { mac: Mac([2, 0, 0, 0, 0, 1]), xid: 7, name: "deploy" };

    /// An answer of a server.
    fn answer(kind: MessageType, address: [u8; 4], options: &[(u8, &[u8])]) -> Vec<u8> {
        let mut packet = ASKING.packet(Asked::Discover);
        packet.truncate(HEADER);
        packet[0] = 2;
        packet[16..20].copy_from_slice(&address);
        Tlv::new(code::MESSAGE_TYPE, &[kind.into()]).write(&mut packet);
        for (code, value) in options {
            Tlv::new(*code, value).write(&mut packet);
        }
        packet.push(END);
        packet
    }

    #[test]
    fn servers_understand_what_is_asked() {
        let address = Ipv4Addr::new(10, 0, 0, 9);
        let server = Ipv4Addr::new(10, 0, 0, 1);
        let discover = Request::decode(&ASKING.packet(Asked::Discover)).unwrap();
        assert_eq!((discover.mac, discover.kind), (ASKING.mac, Some(MessageType::Discover)));
        let request = Request::decode(&ASKING.packet(Asked::Offered { address, server })).unwrap();
        assert_eq!((request.requested, request.server), (Some(address), Some(server)));
        assert!(request.ciaddr.is_unspecified());
        let renewal = Request::decode(&ASKING.packet(Asked::Renewal { address })).unwrap();
        assert_eq!((renewal.ciaddr, renewal.requested, renewal.server), (address, None, None));
    }

    #[test]
    fn a_lease_is_read_from_what_is_told() {
        let offer = answer(MessageType::Offer, [10, 0, 0, 9], &[(code::SERVER, &[10, 0, 0, 1])]);
        let offered = Told::Offer { address: Ipv4Addr::new(10, 0, 0, 9), server: Ipv4Addr::new(10, 0, 0, 1) };
        assert_eq!(ASKING.told(&offer), Some(offered));
        let ack = answer(
            MessageType::Ack,
            [10, 0, 0, 9],
            &[
                (code::SUBNET_MASK, &[255, 255, 240, 0]),
                (3, &[10, 0, 0, 1, 10, 0, 0, 2]),
                (6, &[10, 0, 0, 1, 10, 0, 0, 3]),
                (15, b"lab\0"),
                (code::LEASE_TIME, &[0, 0, 14, 16]),
            ],
        );
        let Some(Told::Lease(lease)) = ASKING.told(&ack) else { panic!("no lease") };
        assert_eq!(lease.address.to_string(), "10.0.0.9/20");
        assert_eq!((lease.router, lease.nameservers.len()), (Some(Ipv4Addr::new(10, 0, 0, 1)), 2));
        assert_eq!((lease.domain.as_deref(), lease.holds), (Some("lab"), Some(Duration::from_secs(3600))));
        assert_eq!(ASKING.told(&answer(MessageType::Nak, [0; 4], &[])), Some(Told::Refused));
        let other = Asking { xid: 8, ..ASKING };
        assert_eq!(other.told(&ack), None, "an answer to another client");
        for end in 0..ack.len() {
            // A torn answer is none, or one without its last options.
            ASKING.told(&ack[..end]);
        }
    }
}
