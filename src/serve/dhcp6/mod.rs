//! DHCPv6: a pure `answer`, and the loop that carries its replies.

mod answer;
mod boot;
#[cfg(any(test, fuzzing))]
pub(in crate::serve) mod fuzz;
mod senders;
mod state;

use std::io::{self, IoSliceMut};
use std::net::{Ipv6Addr, SocketAddrV6};
use std::os::fd::AsRawFd;

use dhcproto::v6::MessageType;
use nix::sys::socket::{ControlMessageOwned, MsgFlags, SockaddrIn6, recvmsg};
use tokio::io::Interest;
use tokio::net::UdpSocket;

use self::answer::{Arrival, Decision, Server, answer};
use self::senders::Senders;
use self::state::State;
use super::context::Context;
use super::failure::FailureLog;
use super::ra::TransientRoute;
use crate::event::{Exchange, Known, LearnedBy, LearnedFrom, Service};
use crate::name::NetworkName;
use crate::plan::ServicePlan;
use crate::system::sockets::{Dhcp6Sockets, LinkSocket};
use crate::wire::dhcp6::{Request, message};

const CLIENT_PORT: u16 = 546;
const SERVER_PORT: u16 = 547;
/// The maximum size of a client's packet on Ethernet; relays add little.
const PACKET: usize = 2048;

/// The DHCPv6 service of one network.
pub(super) struct Dhcp6 {
    network: NetworkName,
    server: Server,
    state: State,
    socket: UdpSocket,
    senders: Senders,
    /// The scope of link-local addresses.
    interface: u32,
    context: Context,
    transient_route: Option<TransientRoute>,
}

impl Dhcp6 {
    /// Creates the service; `None` if the network has no DHCPv6.
    pub(super) fn new(
        sockets: Option<Dhcp6Sockets>,
        plan: &ServicePlan,
        context: Context,
        transient_route: Option<TransientRoute>,
    ) -> io::Result<Option<Self>> {
        let (Some(Dhcp6Sockets { link, frames }), Some(server)) = (sockets, Server::new(plan)) else {
            return Ok(None);
        };
        let LinkSocket { socket, interface } = link;
        let senders = Senders::new(frames.into())?;
        let (network, socket) = (plan.network.clone(), UdpSocket::from_std(socket)?);
        let state = State::default();
        Ok(Some(Self { network, server, state, socket, senders, interface, context, transient_route }))
    }

    /// Answers requests as long as it is polled.
    pub(super) async fn run(mut self) {
        let events = self.context.events.clone();
        let mut failure = FailureLog::new(Service::Dhcpv6, &events);
        let mut packet = [0; PACKET];
        loop {
            let receiving = self.socket.async_io(Interest::READABLE, || receive(&self.socket, &mut packet));
            match receiving.await {
                Err(error) => failure.pause(&error).await,
                Ok((length, mut arrival)) => {
                    // Of every datagram, so that no frame is left that hides the next one.
                    match self.senders.of(arrival.from, &packet[..length]).await {
                        Ok(mac) => arrival.mac = mac,
                        Err(error) => failure.note(Err(error)),
                    }
                    let Some(request) = Request::decode(&packet[..length]) else { continue };
                    if !request.is_from_client() {
                        arrival.mac = None;
                    }
                    let sent = self.handle(&request, arrival).await;
                    failure.note(sent);
                }
            }
        }
    }

    async fn handle(&mut self, request: &Request, arrival: Arrival) -> io::Result<()> {
        let received = self.context.events.now().at;
        let host = self.server.host(self.server.identify(request, arrival));
        let runs_program = host.is_some_and(|host| self.context.clients.runs_program(&host.node));
        let mut decision = answer(&self.server, &self.state, request, arrival, runs_program, received);
        for change in std::mem::take(&mut decision.changes) {
            self.state.apply(change, received);
        }
        let reply = decision.reply.as_ref().filter(|reply| reply.kind == MessageType::Reply);
        let learned = match (host, decision.address, reply) {
            (Some(host), Some(address), Some(_)) => {
                self.context.clients.learn(address, &host.node, LearnedBy::Dhcpv6, LearnedFrom::ThisServer)
            }
            _ => None,
        };
        for address in &decision.given_up {
            self.context.clients.forget((*address).into());
        }
        let mut bytes = 0;
        let sent = match &decision.reply {
            None => Ok(()),
            Some(reply) => {
                let packet = reply.encode(&request.relays).map_err(io::Error::other)?;
                bytes = packet.len() as u64;
                // RFC 8415, section 7.2: replies go to the fixed port of clients or of relays, not to the source port.
                let port = if request.relays.is_empty() { CLIENT_PORT } else { SERVER_PORT };
                let to = SocketAddrV6::new(arrival.from, port, 0, self.interface);
                self.socket.send_to(&packet, to).await.map(drop)
            }
        };
        let node = host.map(|host| &host.node);
        if let (true, Some(transient_route), true) = (decision.hurries, &self.transient_route, sent.is_ok()) {
            transient_route.tell(arrival.from).await?;
            self.context
                .events
                .emit_maybe(node, Known::RouterAdvertised { network: self.network.clone(), router: None });
        }
        let us = self.context.events.now().at.micros_since(received);
        // Through a relay, too, the exchange is the client's.
        let client = request.relays.last().map_or(arrival.from, |relay| relay.peer);
        let exchange = Exchange::dhcpv6(client, request.xid);
        self.context.events.emit_in(exchange, node, self.event(request, decision, bytes, us));
        if let Some(learned) = learned {
            self.context.events.emit_maybe(node, learned);
        }
        sent
    }

    fn event(&self, request: &Request, decision: Decision, bytes: u64, us: u64) -> Known {
        let Decision { reply, changes: _, given_up: _, hurries: _, mac, client, address, boot_file, rule } =
            decision;
        let (network, request) = (self.network.clone(), request.message());
        match reply {
            None => Known::DhcpIgnored { network, mac, request, rule, us },
            Some(reply) => Known::DhcpReplied {
                server: None,
                network,
                mac,
                request,
                reply: message(reply.kind),
                address: address.map(Into::into),
                boot_file,
                client,
                rule,
                bytes,
                us,
            },
        }
    }
}

fn receive(socket: &UdpSocket, buffer: &mut [u8]) -> io::Result<(usize, Arrival)> {
    let mut control = nix::cmsg_space!(nix::libc::in6_pktinfo);
    let mut parts = [IoSliceMut::new(buffer)];
    let message =
        recvmsg::<SockaddrIn6>(socket.as_raw_fd(), &mut parts, Some(&mut control), MsgFlags::empty())?;
    let multicast = message.cmsgs()?.any(|control| match control {
        ControlMessageOwned::Ipv6PacketInfo(info) => Ipv6Addr::from(info.ipi6_addr.s6_addr).is_multicast(),
        _ => false,
    });
    let from = message.address.map_or(Ipv6Addr::UNSPECIFIED, |address| address.ip());
    Ok((message.bytes, Arrival { from, mac: None, multicast }))
}
