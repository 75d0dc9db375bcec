//! DHCP for IPv4: what clients ask, and what which server replies.

use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use super::asks::{Ask, Waiting};
use super::bounded::Bounded;
use super::link::Datagram;
use super::news::Topic;
use super::{Context, Hop};
use crate::event::{DhcpClient, DhcpMessage, Exchange, Known, LearnedBy, LearnedFrom, RunTime, Service};
use crate::name::{Mac, NodeName};
use crate::wire::dhcp::{Client, Request, ServerReply};

const SERVER_PORT: u16 = 67;
const CLIENT_PORT: u16 = 68;
/// The port of boot servers and proxies (PXE 2.1).
const PROXY_PORT: u16 = 4011;
/// How long servers may take: some first probe whether an address is free.
const PATIENCE: Duration = Duration::from_secs(10);
/// Transactions that are remembered.
const MOST: usize = 4096;
/// Different messages, and different replies, of one transaction.
const MOST_OF_EACH: usize = 16;
/// After this pause, a request with the same number begins another transaction. Clients repeat one within 64 seconds
/// (RFC 2131, section 4.1).
const ANOTHER: Duration = Duration::from_secs(100);
/// How much of a vendor class is told.
const LONGEST_CLASS: usize = 64;

/// The transactions.
#[derive(Debug)]
pub(super) struct Dhcp {
    transactions: Bounded<(Mac, u32), Transaction>,
}

impl Default for Dhcp {
    fn default() -> Self {
        Self { transactions: Bounded::new(MOST) }
    }
}

#[derive(Debug)]
struct Transaction {
    client: DhcpClient,
    asked: Vec<Asked>,
    replied: Vec<Replied>,
}

/// One message of a client.
#[derive(Debug)]
struct Asked {
    message: DhcpMessage,
    proxy: bool,
    last: RunTime,
    copies: Copies,
}

/// One message of a server.
#[derive(Debug)]
struct Replied {
    server: IpAddr,
    message: DhcpMessage,
    request: DhcpMessage,
    copies: Copies,
}

/// How often a message was seen: as the client sends and receives it, and between a relay and a server. If both are
/// captured, it happened once.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
struct Copies {
    direct: u64,
    relayed: u64,
}

impl Copies {
    /// Counts a copy. Tells whether the message happened once more.
    fn add(&mut self, relayed: bool) -> bool {
        let before = self.direct.max(self.relayed);
        *(if relayed { &mut self.relayed } else { &mut self.direct }) += 1;
        self.direct.max(self.relayed) > before
    }
}

impl Dhcp {
    /// Tells whether a datagram is DHCP's.
    pub(super) fn is_for(datagram: &Datagram<'_>) -> bool {
        let ports = [datagram.source.port(), datagram.destination.port()];
        ports.iter().any(|port| matches!(*port, SERVER_PORT | CLIENT_PORT | PROXY_PORT))
    }

    /// Reads a message of a client or server.
    pub(super) fn read(&mut self, context: &mut Context<'_>, hop: Hop, datagram: &Datagram<'_>) {
        match datagram.payload.first() {
            Some(1) => {
                if let Some(request) = Request::decode(datagram.payload) {
                    self.request(context, hop, datagram, &request);
                }
            }
            Some(2) => {
                if let Some(reply) = ServerReply::decode(datagram.payload) {
                    self.reply(context, hop, datagram, &reply);
                }
            }
            _ => {}
        }
    }

    fn request(&mut self, context: &mut Context<'_>, hop: Hop, datagram: &Datagram<'_>, request: &Request) {
        let (mac, message) = (request.mac, request.message());
        let relay = Some(request.giaddr).filter(|relay| !relay.is_unspecified());
        let proxy = datagram.destination.port() == PROXY_PORT;
        let node = context.world.client(mac);
        let client = Client::of(request, &[]).word();
        let exchange = Exchange::dhcp(mac, request.xid);
        let key = (mac, request.xid);
        let before = self
            .transactions
            .get(&key)
            .and_then(|transaction| transaction.asked.iter().map(|asked| asked.last).max());
        // Some firmware begins with the same number at each start.
        if before.is_some_and(|before| hop.at.since(before) >= ANOTHER) {
            self.transactions.remove(&key);
        }
        let transaction = self.transactions.entry(key, || Transaction {
            client: client.clone(),
            asked: Vec::new(),
            replied: Vec::new(),
        });
        transaction.client = client.clone();
        let known =
            transaction.asked.iter_mut().find(|asked| asked.message == message && asked.proxy == proxy);
        let (is_first, is_new) = match known {
            Some(asked) => {
                asked.last = hop.at;
                (false, asked.copies.add(relay.is_some()))
            }
            None => {
                let mut copies = Copies::default();
                copies.add(relay.is_some());
                if transaction.asked.len() < MOST_OF_EACH {
                    transaction.asked.push(Asked { message: message.clone(), proxy, last: hop.at, copies });
                }
                (true, true)
            }
        };
        // Who requests an address was offered it, even if the capture missed the offer.
        let had_offer = message == DhcpMessage::Request
            && (request.server.is_some()
                || transaction.asked.iter().any(|asked| asked.message == DhcpMessage::Discover));
        if had_offer && let Some(kind) = awaits_reply(&DhcpMessage::Discover) {
            context.asks.answered(&Ask::Dhcp(mac, kind, false));
        }
        let network = context.world.network(hop.segment).clone();
        if is_first {
            context.booted(hop, node.as_ref(), &client, &message);
            let known = Known::DhcpAsked {
                network,
                mac,
                request: message.clone(),
                client,
                architecture: request.architectures.first().copied(),
                vendor_class: text(&request.vendor_class),
                relay: relay.map(IpAddr::from),
            };
            context.tell(hop.at, Topic::DhcpAsked, node.clone(), Some(exchange.clone()), known);
        }
        if is_new && let Some(kind) = awaits_reply(&message) {
            let unicast = Some(datagram.destination.ip()).filter(|to| is_unicast(*to) && relay.is_none());
            let server = request.server.map(IpAddr::from).or(unicast);
            context.ask(Ask::Dhcp(mac, kind, proxy), hop.at, || Waiting {
                segment: hop.segment,
                node,
                exchange: Some(exchange),
                service: Service::Dhcp,
                what: message.to_string(),
                server,
                patience: PATIENCE,
                least: 1,
            });
        }
    }

    fn reply(&mut self, context: &mut Context<'_>, hop: Hop, datagram: &Datagram<'_>, reply: &ServerReply) {
        let mac = reply.mac;
        let node = context.world.client(mac);
        let to_relay = datagram.destination.port() == SERVER_PORT;
        let from_relay = !to_relay && !reply.giaddr.is_unspecified();
        let source = datagram.source.ip();
        let server = match reply.server {
            Some(server) if !server.is_unspecified() => server.into(),
            _ => source,
        };
        if !from_relay {
            context.world.serves(hop);
        }
        let proxy = datagram.source.port() == PROXY_PORT;
        let transaction = self.transactions.entry((mac, reply.xid), || Transaction {
            client: DhcpClient::Os,
            asked: Vec::new(),
            replied: Vec::new(),
        });
        let can_answer = |asked: &&Asked| answers(&reply.message, &asked.message);
        let candidates = || transaction.asked.iter().filter(can_answer);
        let of_port = candidates().filter(|asked| asked.proxy == proxy).max_by_key(|asked| asked.last);
        let asked = of_port.or_else(|| candidates().max_by_key(|asked| asked.last));
        let request = asked.map_or_else(|| usual_request(&reply.message), |asked| asked.message.clone());
        let us = asked.map_or(0, |asked| hop.at.micros_since(asked.last));
        if let Some(kind) = awaits_reply(&request) {
            context.asks.answered(&Ask::Dhcp(mac, kind, asked.is_some_and(|asked| asked.proxy)));
        }
        let known = transaction.replied.iter_mut().find(|known| {
            (known.server, &known.message, &known.request) == (server, &reply.message, &request)
        });
        let is_new = match known {
            Some(known) => known.copies.add(to_relay),
            None => {
                let mut copies = Copies::default();
                copies.add(to_relay);
                let (message, request) = (reply.message.clone(), request.clone());
                if transaction.replied.len() < MOST_OF_EACH {
                    transaction.replied.push(Replied { server, message, request, copies });
                }
                true
            }
        };
        if !is_new {
            return;
        }
        let client = transaction.client.clone();
        let is_own = context.world.is_own(server, |services| services.dhcp);
        let known = Known::DhcpReplied {
            network: context.world.network(hop.segment).clone(),
            mac,
            request,
            reply: reply.message.clone(),
            address: Some(reply.yiaddr.into()).filter(|address: &IpAddr| !address.is_unspecified()),
            boot_file: reply.boot_file(),
            client,
            rule: rule(server, reply),
            server: Some(server).filter(|_| !is_own),
            bytes: datagram.length as u64,
            us,
        };
        let exchange = Exchange::dhcp(mac, reply.xid);
        context.tell(hop.at, Topic::DhcpReplied, node, Some(exchange), known);
        if reply.message.gives_address() && !reply.yiaddr.is_unspecified() {
            context.leased(hop, mac, reply.yiaddr.into(), LearnedBy::Dhcp, server, is_own);
        }
    }
}

impl Context<'_> {
    /// Records an address that a server assigned; if it is not our server, it is reported.
    pub(super) fn leased(
        &mut self,
        hop: Hop,
        mac: Mac,
        address: IpAddr,
        by: LearnedBy,
        server: IpAddr,
        is_own: bool,
    ) {
        let node: Option<NodeName> = self.world.learn(hop.at, hop.segment, mac, address, &by);
        if let Some(node) = node.filter(|_| !is_own) {
            let network = self.world.network(hop.segment).clone();
            let from = LearnedFrom::AnotherServer(Some(server));
            let known = Known::AddressLearned { network, address, by, from };
            self.tell(hop.at, Topic::Address, Some(node), None, known);
        }
    }
}

/// Tells what a reply says about further servers and files.
fn rule(server: IpAddr, reply: &ServerReply) -> String {
    let mut rule = Vec::new();
    let ServerReply { siaddr, boot_server, header_file, option_file, .. } = reply;
    if !siaddr.is_unspecified() && IpAddr::from(*siaddr) != server {
        rule.push(format!("next server {siaddr}"));
    }
    if let Some(boot_server) =
        boot_server.as_ref().filter(|named| **named != siaddr.to_string() && **named != server.to_string())
    {
        rule.push(format!("boot server {boot_server}"));
    }
    if let (Some(header), Some(option)) = (header_file, option_file)
        && header != option
    {
        rule.push(format!("file {header} in the header"));
    }
    rule.join(", ")
}

fn text(bytes: &[u8]) -> Option<String> {
    let text = String::from_utf8_lossy(&bytes[..bytes.len().min(LONGEST_CLASS)]).into_owned();
    Some(text).filter(|text| !text.is_empty())
}

fn is_unicast(address: IpAddr) -> bool {
    !address.is_multicast() && !address.is_unspecified() && address != IpAddr::V4(Ipv4Addr::BROADCAST)
}

/// Returns a number for each message that a server answers.
fn awaits_reply(message: &DhcpMessage) -> Option<u8> {
    match message {
        DhcpMessage::Bootp => Some(0),
        DhcpMessage::Discover => Some(1),
        DhcpMessage::Request => Some(3),
        DhcpMessage::Inform => Some(8),
        DhcpMessage::Offer
        | DhcpMessage::Decline
        | DhcpMessage::Ack
        | DhcpMessage::Nak
        | DhcpMessage::Release
        | DhcpMessage::Solicit
        | DhcpMessage::Advertise
        | DhcpMessage::Confirm
        | DhcpMessage::Renew
        | DhcpMessage::Rebind
        | DhcpMessage::Reply
        | DhcpMessage::InformationRequest
        | DhcpMessage::Other(_) => None,
    }
}

/// Tells whether a reply can answer a request.
fn answers(reply: &DhcpMessage, request: &DhcpMessage) -> bool {
    matches!(
        (reply, request),
        (DhcpMessage::Offer, DhcpMessage::Discover)
            // DISCOVER: rapid commit (RFC 4039).
            | (DhcpMessage::Ack, DhcpMessage::Request | DhcpMessage::Inform | DhcpMessage::Discover)
            | (DhcpMessage::Nak, DhcpMessage::Request)
            | (DhcpMessage::Bootp, DhcpMessage::Bootp)
    )
}

/// Returns the request that a reply usually answers.
fn usual_request(reply: &DhcpMessage) -> DhcpMessage {
    match reply {
        DhcpMessage::Offer => DhcpMessage::Discover,
        DhcpMessage::Bootp => DhcpMessage::Bootp,
        _ => DhcpMessage::Request,
    }
}
