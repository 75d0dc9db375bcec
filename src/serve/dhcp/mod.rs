//! DHCP and ProxyDHCP: a pure `answer`, and the loop that carries its replies.

mod answer;
mod boot;
mod state;
mod wire;

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Mutex, PoisonError};

use etherparse::PacketBuilder;
use tokio::net::UdpSocket;

use self::answer::{Arrival, Decision, Server, answer};
use self::state::State;
use self::wire::{Destination, Reply, Request, kind_name};
use super::clients::Clients;
use super::trouble::Trouble;
use crate::event::{Emitter, Known};
use crate::host::sockets::DhcpSockets;
use crate::name::{Mac, NetworkName};
use crate::plan::ServicePlan;

const SERVER_PORT: u16 = 67;
const CLIENT_PORT: u16 = 68;
const HOPS: u8 = 64;
/// No DHCP packet on Ethernet is longer.
const PACKET: usize = 1500;

/// The DHCP service of one network.
pub(super) struct Dhcp {
    network: NetworkName,
    mac: Mac,
    address: Ipv4Addr,
    server: Server,
    state: Mutex<State>,
    sockets: Open,
    clients: Clients,
    events: Emitter,
}

struct Open {
    server: UdpSocket,
    proxy: Option<UdpSocket>,
    frames: socket2::Socket,
}

impl Dhcp {
    /// Makes the service; `None` when the network has no DHCP.
    pub(super) fn new(
        sockets: Option<DhcpSockets>,
        plan: &ServicePlan,
        clients: Clients,
        events: Emitter,
    ) -> io::Result<Option<Self>> {
        let (Some(sockets), Some(server)) = (sockets, Server::new(plan)) else { return Ok(None) };
        let DhcpSockets { server: socket, proxy, frames } = sockets;
        Ok(Some(Self {
            network: plan.network.clone(),
            mac: plan.mac,
            address: plan.address.addr(),
            server,
            state: Mutex::default(),
            sockets: Open {
                server: UdpSocket::from_std(socket)?,
                proxy: proxy.map(UdpSocket::from_std).transpose()?,
                frames,
            },
            clients,
            events,
        }))
    }

    /// Answers requests for as long as it is polled.
    pub(super) async fn run(self) {
        let proxy = async {
            if let Some(socket) = &self.sockets.proxy {
                self.listen(socket, Arrival::Proxy).await;
            }
        };
        tokio::join!(self.listen(&self.sockets.server, Arrival::Server), proxy);
    }

    async fn listen(&self, socket: &UdpSocket, arrival: Arrival) {
        let mut trouble = Trouble::new("dhcp", &self.events);
        let mut packet = [0; PACKET];
        loop {
            match socket.recv_from(&mut packet).await {
                Err(error) => trouble.pause(&error).await,
                Ok((length, from)) => {
                    let Some(request) = Request::decode(&packet[..length]) else { continue };
                    let sent = self.handle(&request, arrival, from).await;
                    trouble.note(sent);
                }
            }
        }
    }

    async fn handle(&self, request: &Request, arrival: Arrival, from: SocketAddr) -> io::Result<()> {
        let now = self.events.now().at / 1_000_000_000;
        let node = self.server.host(request.mac).map(|host| &host.node);
        let runs_program = node.is_some_and(|node| self.clients.runs_program(node));
        let decision = {
            let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
            let decision = answer(&self.server, &state, request, arrival, runs_program, now);
            state.apply(decision.change);
            decision
        };
        if let (Some(node), Some(address)) = (node, decision.uses) {
            self.clients.learn(address, node);
        }
        let sent = match &decision.reply {
            None => Ok(()),
            Some(reply) => self.send(reply, arrival, from).await,
        };
        self.events.emit_maybe(node, self.event(request, decision));
        sent
    }

    fn event(&self, request: &Request, decision: Decision) -> Known {
        let Decision { reply, change: _, client, uses: _, boot_file, rule } = decision;
        match reply {
            None => Known::DhcpIgnored {
                network: self.network.clone(),
                mac: request.mac,
                request: request.kind_name(),
                rule,
            },
            Some(reply) => Known::DhcpReplied {
                network: self.network.clone(),
                mac: request.mac,
                request: request.kind_name(),
                reply: kind_name(reply.kind),
                address: Some(reply.yiaddr.into()).filter(|_| !reply.yiaddr.is_unspecified()),
                boot_file,
                client: client.to_owned(),
                rule,
            },
        }
    }

    async fn send(&self, reply: &Reply, arrival: Arrival, from: SocketAddr) -> io::Result<()> {
        let packet = reply.encode().map_err(io::Error::other)?;
        let through = match (arrival, &self.sockets.proxy) {
            (Arrival::Proxy, Some(proxy)) => proxy,
            _ => &self.sockets.server,
        };
        match reply.to {
            Destination::Broadcast => self.send_frame(Mac([0xff; 6]), Ipv4Addr::BROADCAST, &packet),
            Destination::Hardware(address) => self.send_frame(reply.mac, address, &packet),
            Destination::Address(address) => through.send_to(&packet, (address, CLIENT_PORT)).await.map(drop),
            Destination::Source => through.send_to(&packet, from).await.map(drop),
        }
    }

    /// Sends to a client that has no address. The frame is whole, its checksums too: some clients read from a packet
    /// socket and drop what a checksum offload left unfinished.
    fn send_frame(&self, mac: Mac, address: Ipv4Addr, packet: &[u8]) -> io::Result<()> {
        let builder = PacketBuilder::ethernet2(self.mac.0, mac.0)
            .ipv4(self.address.octets(), address.octets(), HOPS)
            .udp(SERVER_PORT, CLIENT_PORT);
        let mut frame = Vec::with_capacity(builder.size(packet.len()));
        builder.write(&mut frame, packet).map_err(io::Error::other)?;
        self.sockets.frames.send(&frame).map(drop)
    }
}
