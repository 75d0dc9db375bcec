//! A relay agent: carries DHCP between the clients of a network and a server of another one (RFC 1542, section 4; RFC
//! 3046).
//!
//! A request gets the address of the bridge as `giaddr`, by which the server finds the subnet, and the name of the
//! network as circuit. A reply loses the circuit and goes to its client. The agent keeps no state: the server remembers
//! everything.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};

use etherparse::PacketBuilder;
use socket2::Socket;
use tokio::net::UdpSocket;

use super::{CLIENT_PORT, HOPS, PACKET, SERVER_PORT};
use crate::event::{Emitter, Service};
use crate::name::Mac;
use crate::plan::{RelayPlan, RelayTarget, ServicePlan};
use crate::serve::failure::FailureLog;
use crate::system::sockets::RelaySockets;
use crate::wire::dhcp::code;

const REQUEST: u8 = 1;
const REPLY: u8 = 2;
/// A request that has passed this many relays is in a circle (RFC 1542, section 4.1.1).
const MOST_HOPS: u8 = 16;
/// The length of the fixed part, with the magic cookie.
const HEADER: usize = 240;
/// The length that every BOOTP packet has at least (RFC 951).
const SMALLEST: usize = 300;
/// The largest packet that fits an Ethernet frame, without IP and UDP.
const LARGEST: usize = 1500 - 28;
const COOKIE: [u8; 4] = [99, 130, 83, 99];
const PAD: u8 = 0;
const END: u8 = 255;
/// Sub-option of option 82: where the request came from (RFC 3046, section 3.1).
const CIRCUIT: u8 = 1;

/// What the agent adds to requests.
#[derive(Debug, Clone)]
struct Agent {
    giaddr: Ipv4Addr,
    circuit: Vec<u8>,
}

/// A reply for a client.
#[derive(Debug, PartialEq, Eq)]
struct Delivery {
    packet: Vec<u8>,
    mac: Mac,
    address: Ipv4Addr,
}

impl Agent {
    /// Returns a client's request as it goes to the server; `None` if it is dropped.
    fn request(&self, packet: &[u8]) -> Option<Vec<u8>> {
        let (head, tail) = packet.split_at_checked(HEADER)?;
        if head[0] != REQUEST || head[3] >= MOST_HOPS || head[236..] != COOKIE {
            return None;
        }
        let mut relayed = packet.to_vec();
        relayed[3] += 1;
        let giaddr = Ipv4Addr::new(head[24], head[25], head[26], head[27]);
        if !giaddr.is_unspecified() {
            // Another agent was before us; a request in our own name is made up.
            return (giaddr != self.giaddr).then_some(relayed);
        }
        let options = Options::of(tail);
        if options.find(code::RELAY).is_some() {
            // Only an agent may say where a client is (RFC 3046, section 2.1).
            return None;
        }
        relayed[24..28].copy_from_slice(&self.giaddr.octets());
        let length = u8::try_from(self.circuit.len()).ok()?;
        relayed.truncate(HEADER + options.end);
        if relayed.len() + usize::from(length) + 5 <= LARGEST {
            relayed.extend([code::RELAY, length + 2, CIRCUIT, length]);
            relayed.extend(&self.circuit);
        }
        relayed.push(END);
        relayed.resize(relayed.len().max(SMALLEST), PAD);
        Some(relayed)
    }

    /// Returns a server's reply as it goes to the client; `None` if it is dropped.
    fn reply(&self, packet: &[u8]) -> Option<Delivery> {
        let (head, tail) = packet.split_at_checked(HEADER)?;
        let is_ours = head[0] == REPLY && head[24..28] == self.giaddr.octets() && head[236..] == COOKIE;
        let is_ethernet = head[1] == 1 && head[2] == 6;
        if !is_ours || !is_ethernet {
            return None;
        }
        let mac = Mac(head[28..34].try_into().ok()?);
        let yiaddr = Ipv4Addr::new(head[16], head[17], head[18], head[19]);
        let broadcast = head[10] & 0x80 != 0 || yiaddr.is_unspecified() || mac.is_group();
        let mut delivered = packet.to_vec();
        if let Some((from, to)) = Options::of(tail).find(code::RELAY) {
            delivered.drain(HEADER + from..HEADER + to);
        }
        delivered.resize(delivered.len().max(SMALLEST), PAD);
        Some(match broadcast {
            true => Delivery { packet: delivered, mac: Mac([0xff; 6]), address: Ipv4Addr::BROADCAST },
            false => Delivery { packet: delivered, mac, address: yiaddr },
        })
    }
}

/// The options of a packet, as far as they are well-formed.
struct Options<'a> {
    bytes: &'a [u8],
    /// Where they end.
    end: usize,
}

impl<'a> Options<'a> {
    fn of(bytes: &'a [u8]) -> Self {
        let mut end = 0;
        while let Some(next) = next(bytes, end) {
            end = next;
        }
        Self { bytes, end }
    }

    /// Returns where the first option of a code begins and ends.
    fn find(&self, code: u8) -> Option<(usize, usize)> {
        let mut at = 0;
        while let Some(next) = next(self.bytes, at) {
            if self.bytes[at] == code {
                return Some((at, next));
            }
            at = next;
        }
        None
    }
}

/// Returns where the option after the one at an offset begins; `None` at the end, or if the option is cut off.
fn next(bytes: &[u8], at: usize) -> Option<usize> {
    match (*bytes.get(at)?, bytes.get(at + 1)) {
        (END, _) => None,
        (PAD, _) => Some(at + 1),
        (_, Some(length)) => Some(at + 2 + usize::from(*length)).filter(|next| *next <= bytes.len()),
        (_, None) => None,
    }
}

/// The relay agent of one network.
pub(in crate::serve) struct Relay {
    agent: Agent,
    mac: Mac,
    clients: UdpSocket,
    server: UdpSocket,
    /// Where requests go, and the socket that sends them.
    to: SocketAddr,
    broadcast: Option<UdpSocket>,
    frames: Socket,
    events: Emitter,
}

impl Relay {
    /// Creates the agent; `None` if the network has none.
    pub(in crate::serve) fn new(
        sockets: Option<RelaySockets>,
        plan: &ServicePlan,
        events: &Emitter,
    ) -> io::Result<Option<Self>> {
        let (Some(sockets), Some(RelayPlan { to }), Some(giaddr)) = (sockets, &plan.relay, plan.server())
        else {
            return Ok(None);
        };
        let RelaySockets { clients, server, broadcast, frames } = sockets;
        let to = match to {
            RelayTarget::Server(address) => *address,
            RelayTarget::Broadcast { .. } => Ipv4Addr::BROADCAST,
        };
        Ok(Some(Self {
            agent: Agent { giaddr, circuit: plan.network.as_str().as_bytes().to_vec() },
            mac: plan.mac,
            clients: UdpSocket::from_std(clients)?,
            server: UdpSocket::from_std(server)?,
            to: SocketAddr::from((to, SERVER_PORT)),
            broadcast: broadcast.map(UdpSocket::from_std).transpose()?,
            frames,
            events: events.clone(),
        }))
    }

    /// Carries packets in both directions as long as it is polled.
    pub(in crate::serve) async fn run(self) {
        tokio::join!(self.requests(), self.replies());
    }

    async fn requests(&self) {
        let mut failure = FailureLog::new(Service::Dhcp, &self.events);
        let mut packet = [0; PACKET];
        loop {
            let length = match self.clients.recv_from(&mut packet).await {
                Ok((length, _)) => length,
                Err(error) => {
                    failure.pause(&error).await;
                    continue;
                }
            };
            if let Some(request) = self.agent.request(&packet[..length]) {
                let through = self.broadcast.as_ref().unwrap_or(&self.server);
                failure.note(through.send_to(&request, self.to).await.map(drop));
            }
        }
    }

    async fn replies(&self) {
        let mut failure = FailureLog::new(Service::Dhcp, &self.events);
        let mut packet = [0; PACKET];
        loop {
            let length = match self.server.recv_from(&mut packet).await {
                Ok((length, _)) => length,
                Err(error) => {
                    failure.pause(&error).await;
                    continue;
                }
            };
            if let Some(reply) = self.agent.reply(&packet[..length]) {
                failure.note(self.deliver(&reply));
            }
        }
    }

    /// Sends a reply to a client, which may have no address yet, as a whole frame.
    fn deliver(&self, reply: &Delivery) -> io::Result<()> {
        let Delivery { packet, mac, address } = reply;
        let builder = PacketBuilder::ethernet2(self.mac.0, mac.0)
            .ipv4(self.agent.giaddr.octets(), address.octets(), HOPS)
            .udp(SERVER_PORT, CLIENT_PORT);
        let mut frame = Vec::with_capacity(PACKET);
        builder.write(&mut frame, packet).map_err(io::Error::other)?;
        self.frames.send(&frame).map(drop)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const CLIENT: [u8; 6] = [0x52, 0x54, 0, 0, 0, 1];

    fn agent() -> Agent {
        Agent { giaddr: Ipv4Addr::new(10, 0, 1, 1), circuit: b"rack".to_vec() }
    }

    fn packet(op: u8, giaddr: [u8; 4], options: &[u8]) -> Vec<u8> {
        let mut packet = vec![0; HEADER];
        packet[..3].copy_from_slice(&[op, 1, 6]);
        packet[24..28].copy_from_slice(&giaddr);
        packet[28..34].copy_from_slice(&CLIENT);
        packet[236..].copy_from_slice(&COOKIE);
        packet.extend(options);
        packet
    }

    #[test]
    fn a_request_says_where_it_came_from() {
        let relayed = agent().request(&packet(REQUEST, [0; 4], &[53, 1, 1, END])).unwrap();
        assert_eq!((relayed[3], &relayed[24..28]), (1, &[10, 0, 1, 1][..]));
        assert_eq!(relayed[HEADER..HEADER + 12], [53, 1, 1, 82, 6, 1, 4, b'r', b'a', b'c', b'k', END]);
        assert_eq!(relayed.len(), SMALLEST);
        // After another agent only the hops count.
        let other = packet(REQUEST, [10, 0, 1, 9], &[53, 1, 1, END]);
        let relayed = agent().request(&other).unwrap();
        assert_eq!((relayed[3], &relayed[4..]), (1, &other[4..]));
    }

    #[test]
    fn what_no_client_sends_is_dropped() {
        let request = |giaddr, options: &[u8]| agent().request(&packet(REQUEST, giaddr, options));
        assert_eq!(request([10, 0, 1, 1], &[END]), None, "in our name");
        assert_eq!(request([0; 4], &[82, 3, 1, 1, b'x', END]), None, "it says where it is");
        assert_eq!(agent().request(&packet(REPLY, [0; 4], &[END])), None);
        let mut circle = packet(REQUEST, [0; 4], &[END]);
        circle[3] = MOST_HOPS;
        assert_eq!(agent().request(&circle), None);
        assert_eq!(agent().request(&circle[..200]), None);
    }

    #[test]
    fn a_reply_goes_to_its_client_without_the_circuit() {
        let mut reply =
            packet(REPLY, [10, 0, 1, 1], &[53, 1, 2, 82, 6, 1, 4, b'r', b'a', b'c', b'k', 3, 1, 9, END]);
        reply[16..20].copy_from_slice(&[10, 0, 1, 20]);
        let delivery = agent().reply(&reply).unwrap();
        assert_eq!((delivery.mac, delivery.address), (Mac(CLIENT), Ipv4Addr::new(10, 0, 1, 20)));
        assert_eq!(delivery.packet[HEADER..HEADER + 7], [53, 1, 2, 3, 1, 9, END]);
        assert_eq!(delivery.packet.len(), SMALLEST);
        // To all, if the client says so, or has no address.
        reply[10] = 0x80;
        assert_eq!(agent().reply(&reply).unwrap().address, Ipv4Addr::BROADCAST);
        reply[10] = 0;
        reply[16..20].copy_from_slice(&[0; 4]);
        assert_eq!(agent().reply(&reply).unwrap().mac, Mac([0xff; 6]));
        reply[27] = 2;
        assert_eq!(agent().reply(&reply), None, "for another agent");
    }

    proptest! {
        #[test]
        fn no_packet_panics_or_grows_without_bound(options in proptest::collection::vec(any::<u8>(), 0..1400), op in 0..4_u8) {
            let packet = packet(op, if op == REPLY { [10, 0, 1, 1] } else { [0; 4] }, &options);
            if let Some(relayed) = agent().request(&packet) {
                prop_assert!(relayed.len() <= packet.len().max(SMALLEST) + 9);
                let again = Options::of(&relayed[HEADER..]).find(code::RELAY);
                prop_assert!(again.is_some() || relayed.len() + 9 > LARGEST, "it can be read");
            }
            if let Some(reply) = agent().reply(&packet) {
                prop_assert!(reply.packet.len() <= packet.len().max(SMALLEST));
            }
        }
    }
}
