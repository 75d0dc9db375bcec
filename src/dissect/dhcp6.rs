//! DHCPv6: what clients ask, and what which server replies.

use std::net::{IpAddr, Ipv6Addr};
use std::time::Duration;

use super::asks::{Ask, Waiting};
use super::bounded::Bounded;
use super::link::Datagram;
use super::news::Topic;
use super::{Context, Hop};
use crate::event::{DhcpClient, DhcpMessage, Exchange, Known, LearnedBy, RunTime, Service};
use crate::name::Mac;
use crate::wire::dhcp6::{Client, Request, ServerReply, hardware};

const CLIENT_PORT: u16 = 546;
const SERVER_PORT: u16 = 547;
/// Clients repeat a solicitation after one second, then after two, and so on (RFC 8415, section 7.6).
const PATIENCE: Duration = Duration::from_secs(8);
/// Transactions that are remembered.
const MOST: usize = 4096;
/// Different servers of one transaction.
const MOST_REPLIES: usize = 16;
/// How much of a vendor class is told.
const LONGEST_CLASS: usize = 64;

/// The transactions, by client and number.
#[derive(Debug)]
pub(super) struct Dhcp6 {
    transactions: Bounded<(Ipv6Addr, [u8; 3]), Transaction>,
}

impl Default for Dhcp6 {
    fn default() -> Self {
        Self { transactions: Bounded::new(MOST) }
    }
}

/// A request with its repetitions, which have the same number.
#[derive(Debug)]
struct Transaction {
    mac: Mac,
    client: DhcpClient,
    message: DhcpMessage,
    last: RunTime,
    /// How often it was seen directly and between relays and servers.
    copies: [u64; 2],
    /// The same for each reply.
    replied: Vec<Replied>,
}

/// A message of a server.
#[derive(Debug)]
struct Replied {
    server: Server,
    message: DhcpMessage,
    copies: [u64; 2],
}

/// A server: its identifier, or the address of one that has none.
#[derive(Debug, PartialEq, Eq)]
enum Server {
    Duid(Vec<u8>),
    Address(IpAddr),
}

/// Counts a copy. Tells whether the message happened once more.
fn count(copies: &mut [u64; 2], relayed: bool) -> bool {
    let before = copies[0].max(copies[1]);
    copies[usize::from(relayed)] += 1;
    copies[0].max(copies[1]) > before
}

impl Dhcp6 {
    /// Tells whether a datagram is DHCPv6's.
    pub(super) fn is_for(datagram: &Datagram<'_>) -> bool {
        matches!(datagram.destination.port(), CLIENT_PORT | SERVER_PORT) && datagram.source.is_ipv6()
    }

    /// Reads a message of a client, relay or server.
    pub(super) fn read(&mut self, context: &mut Context<'_>, hop: Hop, datagram: &Datagram<'_>) {
        if let Some(request) = Request::decode(datagram.payload) {
            self.request(context, hop, datagram, &request);
        } else if let Some(reply) = ServerReply::decode(datagram.payload) {
            self.reply(context, hop, datagram, reply);
        }
    }

    fn request(&mut self, context: &mut Context<'_>, hop: Hop, datagram: &Datagram<'_>, request: &Request) {
        let IpAddr::V6(source) = datagram.source.ip() else { return };
        let relay = request.relays.last();
        let from = relay.map_or(source, |relay| relay.peer);
        let named = || request.client.as_deref().and_then(hardware);
        let mac = match relay {
            None => hop.from.or_else(named),
            Some(relay) => relay.hardware.or_else(named),
        };
        let Some(mac) = mac.filter(|mac| !mac.is_group()) else { return };
        let node = context.world.client(mac);
        let message = request.message();
        let client = Client::of(request, &[]).word();
        let exchange = Exchange::dhcpv6(from, request.xid);
        let key = (from, request.xid);
        let is_first = self.transactions.get(&key).is_none_or(|known| known.message != message);
        if is_first {
            let (client, message) = (client.clone(), message.clone());
            let transaction =
                Transaction { mac, client, message, last: hop.at, copies: [0; 2], replied: Vec::new() };
            self.transactions.insert(key, transaction);
        }
        let Some(transaction) = self.transactions.get_mut(&key) else { return };
        transaction.last = hop.at;
        let is_new = count(&mut transaction.copies, relay.is_some());
        // Who requests an address from a server has its advertisement, even if the capture missed that.
        if message == DhcpMessage::Request {
            context.asks.answered(&Ask::Dhcp6(mac, DhcpMessage::Solicit.to_string()));
        }
        if is_first {
            // The IPv6 stack of EDK2 asks as systems do, beside its PXE client.
            if client != DhcpClient::Os {
                context.booted(hop, node.as_ref(), &client, &message);
            }
            let class = request.vendor_classes.first().map(|class| &class[..class.len().min(LONGEST_CLASS)]);
            let known = Known::DhcpAsked {
                network: context.world.network(hop.segment).clone(),
                mac,
                request: message.clone(),
                client,
                architecture: request.architectures.first().copied(),
                vendor_class: class.map(|class| String::from_utf8_lossy(class).into_owned()),
                relay: relay.map(|_| source.into()),
            };
            context.tell(hop.at, Topic::DhcpAsked, node.clone(), Some(exchange.clone()), known);
            if relay.is_none() {
                context.learn(hop, mac, from.into(), LearnedBy::Ndp);
            }
        }
        if is_new {
            context.ask(Ask::Dhcp6(mac, message.to_string()), hop.at, || Waiting {
                segment: hop.segment,
                node,
                exchange: Some(exchange),
                service: Service::Dhcpv6,
                what: message.to_string(),
                server: None,
                patience: PATIENCE,
                least: 1,
            });
        }
    }

    fn reply(&mut self, context: &mut Context<'_>, hop: Hop, datagram: &Datagram<'_>, reply: ServerReply) {
        let IpAddr::V6(destination) = datagram.destination.ip() else { return };
        let server = datagram.source.ip();
        let relayed = reply.peer.is_some();
        let key = (reply.peer.unwrap_or(destination), reply.xid);
        // Without its request, it tells nobody's hardware address.
        let Some(transaction) = self.transactions.get_mut(&key) else { return };
        let (mac, request) = (transaction.mac, transaction.message.clone());
        context.world.serves(hop);
        context.asks.answered(&Ask::Dhcp6(mac, request.to_string()));
        let by = reply.server.map_or(Server::Address(server), Server::Duid);
        let known =
            transaction.replied.iter_mut().find(|known| known.server == by && known.message == reply.message);
        let is_new = match known {
            Some(known) => count(&mut known.copies, relayed),
            None => {
                let mut copies = [0; 2];
                count(&mut copies, relayed);
                if transaction.replied.len() < MOST_REPLIES {
                    let message = reply.message.clone();
                    transaction.replied.push(Replied { server: by, message, copies });
                }
                true
            }
        };
        if !is_new {
            return;
        }
        let is_own = context.world.is_own(server, |services| services.dhcp6)
            || (context.world.is_from_us(hop) && context.world.services(hop.segment).dhcp6);
        let known = Known::DhcpReplied {
            network: context.world.network(hop.segment).clone(),
            mac,
            request,
            reply: reply.message.clone(),
            address: reply.address.map(IpAddr::from),
            boot_file: reply.boot_file,
            client: transaction.client.clone(),
            rule: String::new(),
            server: Some(server).filter(|_| !is_own),
            bytes: datagram.length as u64,
            us: hop.at.micros_since(transaction.last),
        };
        let exchange = Exchange::dhcpv6(key.0, reply.xid);
        let node = context.world.client(mac);
        context.tell(hop.at, Topic::DhcpReplied, node, Some(exchange), known);
        if let (true, Some(address)) = (reply.message.gives_address(), reply.address) {
            context.leased(hop, mac, address.into(), LearnedBy::Dhcpv6, server, is_own);
        }
    }
}
