//! DHCP and ProxyDHCP: a pure `answer`, and the loop that carries its replies.
//!
//! The loop has its own thread and handles all waiting requests as a batch: the leases of the replies are written at
//! once before the first reply is sent.

mod answer;
mod boot;
mod fault;
mod free;
#[cfg(any(test, fuzzing))]
pub(in crate::serve) mod fuzz;
mod lease_store;
mod probe;
mod relay;
mod server;
mod state;
mod unknown_clients;

use std::io::{self, ErrorKind};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};
use std::os::fd::AsFd;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use etherparse::PacketBuilder;
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::eventfd::{EfdFlags, EventFd};

use self::answer::{Arrival, Decision, answer, refusal};
use self::fault::Spoilt;
use self::lease_store::LeaseStore;
pub(super) use self::probe::look_for_others;
pub use self::probe::{LookError, OtherServer};
pub(super) use self::relay::Relay;
use self::server::Server;
use self::state::{Change, State};
use self::unknown_clients::UnknownClients;
use super::context::Context;
use super::failure::{FailureLog, failed};
use crate::event::{Exchange, Known, LearnedBy, LearnedFrom, RunTime, Service, UnixSeconds};
use crate::lab::{DhcpFault, FaultKind};
use crate::name::{Mac, NetworkName, NodeName};
use crate::plan::{DhcpRole, ServicePlan};
use crate::system::sockets::DhcpSockets;
use crate::wire::dhcp::{Destination, Reply, Request, message};

const SERVER_PORT: u16 = 67;
const CLIENT_PORT: u16 = 68;
const HOPS: u8 = 64;
/// The maximum size of a DHCP packet on Ethernet.
const PACKET: usize = 1500;
/// Maximum number of requests in a batch. The first of them waits for the last.
const BATCH: usize = 64;
/// Pause after an error that could repeat immediately.
const REST: Duration = Duration::from_millis(100);

/// The DHCP service of one network.
pub(super) struct Dhcp {
    mac: Mac,
    address: Ipv4Addr,
    /// The network of the server.
    own: Subnet,
    /// The networks behind relays.
    relayed: Vec<Subnet>,
    sockets: DhcpSockets,
    context: Context,
    unknown_clients: UnknownClients,
    /// Answers that are sent later, and when.
    later: Vec<(RunTime, Answered)>,
    /// The start of the run's clock.
    began: UnixSeconds,
    stop: Arc<EventFd>,
}

/// A network for whose clients the server answers.
struct Subnet {
    network: NetworkName,
    server: Server,
    state: State,
    /// `None` beside another server, which has the leases.
    lease_store: Option<LeaseStore>,
    context: Context,
}

impl Subnet {
    /// Starts with the leases in a folder.
    fn open(network: &NetworkName, server: Server, folder: &Path, context: Context) -> io::Result<Self> {
        let mut state = server.state();
        let lease_store = match server.role {
            DhcpRole::Server => Some(LeaseStore::open(folder, &mut state)?),
            DhcpRole::Proxy => None,
        };
        Ok(Self { network: network.clone(), server, state, lease_store, context })
    }
}

/// Stops the service when dropped.
pub(super) struct Stopper(Arc<EventFd>);

impl Drop for Stopper {
    fn drop(&mut self) {
        // A full counter wakes the service as well.
        self.0.write(1).ok();
    }
}

/// A request with its decision, not reported yet.
struct Answered {
    /// Which of the networks behind relays the client is on; `None` for the server's own.
    relayed: Option<usize>,
    request: Request,
    node: Option<NodeName>,
    decision: Decision,
    port: Port,
    from: SocketAddr,
    received: RunTime,
    spoilt: Spoilt,
}

/// A port that receives requests.
#[derive(Debug, Clone, Copy)]
enum Port {
    Server,
    Proxy,
    /// 67 of the server's address, for packets from other networks.
    Routed,
}

impl Dhcp {
    /// Creates the service; `None` if the network has no DHCP. Leases are stored in a folder, those of networks behind
    /// relays in folders beside it. `of_relayed` makes the context of such a network.
    pub(super) fn new(
        sockets: Option<DhcpSockets>,
        plan: &ServicePlan,
        folder: &Path,
        context: Context,
        of_relayed: impl Fn(&ServicePlan) -> Context,
    ) -> io::Result<Option<Self>> {
        let (Some(sockets), Some(server)) = (sockets, Server::new(plan)) else { return Ok(None) };
        let address = server.identifier;
        let own = Subnet::open(&plan.network, server, folder, context.clone())?;
        let relayed = Server::behind_relays(plan).map(|(other, server)| {
            let folder = folder.with_file_name(other.network.as_str());
            Subnet::open(&other.network, server, &folder, of_relayed(other))
        });
        let relayed = relayed.collect::<io::Result<Vec<_>>>()?;
        let now = context.events.now();
        let stop = EventFd::from_flags(EfdFlags::EFD_CLOEXEC | EfdFlags::EFD_NONBLOCK)?;
        Ok(Some(Self {
            mac: plan.mac,
            address,
            own,
            relayed,
            sockets,
            context,
            unknown_clients: UnknownClients::default(),
            later: Vec::new(),
            began: UnixSeconds::from(now.wall).before(now.at.elapsed()),
            stop: Arc::new(stop),
        }))
    }

    /// Returns the guard that stops the service.
    pub(super) fn stopper(&self) -> Stopper {
        Stopper(Arc::clone(&self.stop))
    }

    /// Answers requests until it is stopped. Must be called on its own thread.
    pub(super) fn run(mut self) {
        let events = self.context.events.clone();
        let mut failure = FailureLog::new(Service::Dhcp, &events);
        let mut batch = Vec::with_capacity(BATCH);
        loop {
            let later = self.later.iter().map(|(due, _)| *due);
            let due = later.chain(self.unknown_clients.due()).min();
            let due = due.map(|due| due.since(self.context.events.now().at));
            let ready = match self.wait(due) {
                Ok([_, _, true, _]) => return,
                Ok([server, proxy, false, routed]) => {
                    [(Port::Server, server), (Port::Proxy, proxy), (Port::Routed, routed)]
                }
                Err(error) => {
                    failure.note(Err(error));
                    self.rest();
                    continue;
                }
            };
            for (port, _) in ready.into_iter().filter(|(_, ready)| *ready) {
                if let Err(error) = self.take(port, &mut batch) {
                    failure.note(Err(error));
                    self.rest();
                }
                self.settle(&mut batch);
                self.reply(&mut batch, &mut failure);
            }
            let now = self.context.events.now().at;
            let mut due: Vec<_> =
                self.later.extract_if(.., |(due, _)| *due <= now).map(|(_, answered)| answered).collect();
            self.reply(&mut due, &mut failure);
            self.report_unknown_clients();
        }
    }

    /// Waits for requests at either port, for the stop, or for a timeout.
    fn wait(&self, timeout: Option<Duration>) -> io::Result<[bool; 4]> {
        // Without relays, the stop is there twice.
        let routed = self.sockets.routed.as_ref().map_or(self.stop.as_fd(), |routed| routed.as_fd());
        let fds = [self.sockets.server.as_fd(), self.sockets.proxy.as_fd(), self.stop.as_fd(), routed];
        let mut fds = fds.map(|fd| PollFd::new(fd, PollFlags::POLLIN));
        // Slightly late, never early: otherwise nothing would be due.
        let timeout = timeout.map(|timeout| timeout + Duration::from_millis(1));
        let timeout = timeout
            .map_or(PollTimeout::NONE, |timeout| PollTimeout::try_from(timeout).unwrap_or(PollTimeout::MAX));
        match poll(&mut fds, timeout) {
            Ok(_) => Ok(fds.map(|fd| fd.any().unwrap_or(true))),
            Err(Errno::EINTR) => Ok([false; 4]),
            Err(error) => Err(error.into()),
        }
    }

    /// Waits for a short time, or for the stop.
    fn rest(&self) {
        let mut stop = [PollFd::new(self.stop.as_fd(), PollFlags::POLLIN)];
        // The stop is seen again by the next wait.
        poll(&mut stop, PollTimeout::try_from(REST).unwrap_or(PollTimeout::ZERO)).ok();
    }

    fn socket(&self, port: Port) -> &UdpSocket {
        match port {
            Port::Server => &self.sockets.server,
            Port::Proxy => &self.sockets.proxy,
            Port::Routed => self.sockets.routed.as_ref().unwrap_or(&self.sockets.server),
        }
    }

    /// Reads the requests waiting at a port, and decides about them.
    fn take(&mut self, port: Port, batch: &mut Vec<Answered>) -> io::Result<()> {
        let mut packet = [0; PACKET];
        for _ in 0..BATCH {
            let (length, from) = match self.socket(port).recv_from(&mut packet) {
                Ok(received) => received,
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) => return Err(error),
            };
            let received = self.context.events.now().at;
            if let Some(request) = Request::decode(&packet[..length]) {
                batch.push(self.decide(request, port, from, received));
            }
        }
        Ok(())
    }

    /// Returns the network behind a relay that a request is from: that of the relay, or of a client that renews.
    fn subnet_of(&self, request: &Request) -> Option<usize> {
        let renewing = Some(request.ciaddr).filter(|address| !address.is_unspecified());
        let link = request.link().or(renewing)?;
        self.relayed.iter().position(|subnet| subnet.server.address.contains(&link))
    }

    fn subnet(&mut self, relayed: Option<usize>) -> &mut Subnet {
        relayed.map_or(&mut self.own, |index| &mut self.relayed[index])
    }

    fn decide(&mut self, request: Request, port: Port, from: SocketAddr, received: RunTime) -> Answered {
        let now = self.began + received.elapsed();
        let arrival = match (port, from.ip()) {
            (Port::Server | Port::Routed, _) => Arrival::Server,
            (Port::Proxy, IpAddr::V4(from)) => Arrival::Proxy(from),
            (Port::Proxy, IpAddr::V6(_)) => Arrival::Proxy(Ipv4Addr::UNSPECIFIED),
        };
        let relayed = self.subnet_of(&request);
        let subnet = self.subnet(relayed);
        let node = subnet.server.host(&request).map(|(host, _)| host.plan.node.clone());
        let runs_program = node.as_ref().is_some_and(|node| subnet.context.clients.runs_program(node));
        subnet.state.expire(now);
        let Subnet { server, state, context, .. } = &*subnet;
        let strike = context.faults.strike(node.as_ref(), |kind| match kind {
            FaultKind::Dhcp(fault) if fault::applies(fault, server, &request) => Some(fault.clone()),
            _ => None,
        });
        let (decision, spoilt) = match strike {
            None => (answer(server, state, &request, arrival, runs_program, now), Spoilt::default()),
            Some(strike) => {
                let read = fault::misread(&strike, server, &request);
                let runs_program = runs_program && strike != DhcpFault::NoUserClass;
                let mut decision = answer(server, state, &read, arrival, runs_program, now);
                let refused = || refusal(server, state, &request, now);
                let spoilt = fault::spoil(&strike, server, &request, &mut decision, refused);
                (decision, spoilt)
            }
        };
        if let Some(lease_store) = &mut subnet.lease_store {
            lease_store.note(&decision.change);
        }
        subnet.state.apply(decision.change.clone());
        Answered { relayed, request, node, decision, port, from, received, spoilt }
    }

    /// Stores the leases of the replies. If that fails, the reply is not sent.
    fn settle(&mut self, batch: &mut [Answered]) {
        for relayed in std::iter::once(None).chain((0..self.relayed.len()).map(Some)) {
            let Subnet { lease_store, state, .. } = self.subnet(relayed);
            let Some(lease_store) = lease_store.as_mut().filter(|lease_store| lease_store.is_behind()) else {
                continue;
            };
            let written = lease_store.flush().and_then(|()| lease_store.compact(state));
            let Err(error) = written else { continue };
            failed(&self.context.events, Service::Dhcp, &format!("cannot write leases: {error}"));
            let here = batch.iter_mut().filter(|answered| answered.relayed == relayed);
            for answered in here.filter(|answered| answered.decision.change != Change::None) {
                answered.decision.reply = None;
                answered.decision.rule = "cannot record the lease".into();
            }
        }
    }

    /// Sends the replies, and emits their events.
    fn reply(&mut self, batch: &mut Vec<Answered>, failure: &mut FailureLog<'_>) {
        let (mut packet, mut frame) = (Vec::with_capacity(PACKET), Vec::with_capacity(PACKET));
        for mut answered in batch.drain(..) {
            let delay = std::mem::take(&mut answered.spoilt.delay);
            if !delay.is_zero() {
                self.later.push((answered.received + delay, answered));
                continue;
            }
            if let Some(second) = answered.spoilt.second.take() {
                failure.note(self.send_of_second_server(&answered, &second, &mut packet, &mut frame));
            }
            if answered.spoilt.lost {
                continue;
            }
            let learned = match (&answered.node, answered.decision.uses) {
                (Some(node), Some(address)) => {
                    let lender = self.lender(&answered.request);
                    let clients = &self.subnet(answered.relayed).context.clients;
                    clients.learn(address, node, LearnedBy::Dhcp, lender)
                }
                _ => None,
            };
            let mut bytes = 0;
            if let Some(reply) = &answered.decision.reply {
                let sent = reply.encode(&mut packet).map_err(io::Error::other).and_then(|left| {
                    bytes = packet.len() as u64;
                    self.send(reply, &packet, &mut frame, answered.port, answered.from).map(|()| left)
                });
                if let Ok(left) = &sent {
                    no_room(&mut answered.decision, left);
                }
                failure.note(sent.map(drop));
            }
            let now = self.context.events.now().at;
            let replied = answered.decision.reply.is_some();
            if answered.node.is_some() || self.unknown_clients.admits(now, replied) {
                let us = now.micros_since(answered.received);
                let node = answered.node.take();
                let exchange = Exchange::dhcp(answered.request.mac, answered.request.xid);
                self.context.events.emit_in(exchange, node.as_ref(), self.event(answered, bytes, us));
                if let Some(learned) = learned {
                    self.context.events.emit_maybe(node.as_ref(), learned);
                }
            }
        }
    }

    /// Returns the source of the address that a client uses.
    fn lender(&self, request: &Request) -> LearnedFrom {
        let other = request.server.filter(|server| *server != self.address).map(IpAddr::from);
        match (self.own.server.role, other) {
            (DhcpRole::Server, None) => LearnedFrom::ThisServer,
            (DhcpRole::Server | DhcpRole::Proxy, other) => LearnedFrom::AnotherServer(other),
        }
    }

    fn event(&self, answered: Answered, bytes: u64, us: u64) -> Known {
        let Answered { relayed, request, decision, .. } = answered;
        let Decision { reply, change: _, client, uses: _, boot_file, rule } = decision;
        let subnet = relayed.map_or(&self.own, |index| &self.relayed[index]);
        let (network, mac, requested) = (subnet.network.clone(), request.mac, request.message());
        match reply {
            None => Known::DhcpIgnored { network, mac, request: requested, rule: rule.into_owned(), us },
            Some(reply) => Known::DhcpReplied {
                server: None,
                network,
                mac,
                request: requested,
                reply: message(reply.kind),
                address: Some(reply.yiaddr.into()).filter(|_| !reply.yiaddr.is_unspecified()),
                boot_file,
                client,
                rule: rule.into_owned(),
                bytes,
                us,
            },
        }
    }

    fn report_unknown_clients(&mut self) {
        if let Some(unknown_clients::Counts { replied, ignored }) =
            self.unknown_clients.take(self.context.events.now().at)
        {
            self.context.events.emit(Known::DhcpOmitted {
                network: self.own.network.clone(),
                replied,
                ignored,
            });
        }
    }

    fn send(
        &self,
        reply: &Reply,
        packet: &[u8],
        frame: &mut Vec<u8>,
        port: Port,
        from: SocketAddr,
    ) -> io::Result<()> {
        // A socket of the device finds no way to other networks.
        let through = match (&reply.to, &self.sockets.routed) {
            (Destination::Relay(_) | Destination::Address(_), Some(routed)) => routed,
            _ => self.socket(port),
        };
        let to = match reply.to {
            Destination::Broadcast => {
                return self.send_frame(Mac([0xff; 6]), Ipv4Addr::BROADCAST, packet, frame);
            }
            Destination::Hardware(address) => return self.send_frame(reply.mac, address, packet, frame),
            Destination::Address(address) => SocketAddr::from((address, CLIENT_PORT)),
            Destination::Relay(address) => SocketAddr::from((address, SERVER_PORT)),
            Destination::Source => from,
        };
        through.send_to(packet, to).map(drop)
    }

    /// Sends a reply of the second server that a fault pretends.
    fn send_of_second_server(
        &self,
        answered: &Answered,
        reply: &Reply,
        packet: &mut Vec<u8>,
        frame: &mut Vec<u8>,
    ) -> io::Result<()> {
        let subnet = answered.relayed.map_or(&self.own, |index| &self.relayed[index]);
        reply.encode(packet).map_err(io::Error::other)?;
        let (mac, address) = match reply.to {
            Destination::Hardware(address) => (reply.mac, address),
            _ => (Mac([0xff; 6]), Ipv4Addr::BROADCAST),
        };
        let (from, from_mac) = fault::second_server(&subnet.server);
        self.send_frame_of((from_mac, from), (mac, address), packet, frame)
    }

    /// Sends to a client without an address. The frame is complete, including checksums: some clients read from a
    /// packet socket and drop packets with checksums left to offloading.
    fn send_frame(&self, mac: Mac, address: Ipv4Addr, packet: &[u8], frame: &mut Vec<u8>) -> io::Result<()> {
        self.send_frame_of((self.mac, self.address), (mac, address), packet, frame)
    }

    fn send_frame_of(
        &self,
        (from_mac, from): (Mac, Ipv4Addr),
        (mac, address): (Mac, Ipv4Addr),
        packet: &[u8],
        frame: &mut Vec<u8>,
    ) -> io::Result<()> {
        let builder = PacketBuilder::ethernet2(from_mac.0, mac.0)
            .ipv4(from.octets(), address.octets(), HOPS)
            .udp(SERVER_PORT, CLIENT_PORT);
        frame.clear();
        builder.write(frame, packet).map_err(io::Error::other)?;
        self.sockets.frames.send(frame).map(drop)
    }
}

/// Adds the omitted options to the rule.
fn no_room(decision: &mut Decision, left: &[u8]) {
    if !left.is_empty() {
        let codes: Vec<String> = left.iter().map(u8::to_string).collect();
        decision.rule = format!("{}, no room for option {}", decision.rule, codes.join(", ")).into();
    }
}
