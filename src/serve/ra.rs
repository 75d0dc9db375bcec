//! Router advertisements: the prefix of the link, DHCPv6 flags and name servers; never a default route.
//!
//! On a network without IPv6, they announce that there is no router and no prefix.
//! iPXE configures IPv4 and IPv6 together and waits 13 s for an advertisement. One
//! with lifetime 0 and no prefix (RFC 4861, section 4.2) ends that wait, and no host
//! configures an address.
//!
//! On a network with IPv6, they also hold its prefix, the flags that select DHCPv6,
//! the name server (RFC 8106) and the MTU, and are sent periodically. The lifetime
//! stays 0: no host may use the lab as its default router.

use std::io::{self, IoSliceMut};
use std::net::{Ipv6Addr, SocketAddrV6};
use std::os::fd::AsRawFd;
use std::sync::Arc;
use std::time::Duration;

use ipnet::Ipv6Net;
use nix::sys::socket::{ControlMessageOwned, MsgFlags, SockaddrIn6, recvmsg};
use tokio::io::Interest;
use tokio::net::UdpSocket;
use tokio::time::timeout;

use super::failure::FailureLog;
use super::labels;
use crate::event::{Emitter, Known, RunTime, Service};
use crate::lab::UnknownClients;
use crate::name::{Mac, NetworkName, NodeName};
use crate::plan::ServicePlan;
use crate::system::sockets::LinkSocket;

const SOLICITATION: u8 = 133;
const ADVERTISEMENT: u8 = 134;
const USUAL_MTU: u16 = 1500;
/// The hop limit of a packet that crossed no router (RFC 4861, section 6.1.1).
const HOP_LIMIT: i32 = 255;
/// The hop limit for hosts.
const HOPS: u8 = 64;
const ALL_NODES: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1);

/// Codes of the options that are read and written here (RFC 4861, RFC 8106).
mod code {
    pub(super) const SOURCE_ADDRESS: u8 = 1;
    pub(super) const PREFIX: u8 = 3;
    pub(super) const MTU: u8 = 5;
    pub(super) const NAME_SERVERS: u8 = 25;
    pub(super) const SEARCH_LIST: u8 = 31;
}

/// The flags M and O: without them, no firmware uses DHCPv6.
const MANAGED: u8 = 0x80 | 0x40;
/// The flags L (on-link) and A (autonomous address configuration).
const PREFIX_FLAGS: u8 = 0x80 | 0x40;
/// Valid and preferred lifetime of the prefix in seconds (RFC 4861, section 6.2.1).
const VALID: u32 = 2_592_000;
const PREFERRED: u32 = 604_800;
/// Lifetime of the name server in seconds: three times [`INTERVAL`] (RFC 8106, section 5.1).
const NAMES: u32 = 600;

/// Interval of unsolicited advertisements: the least of RFC 4861's defaults.
const INTERVAL: Duration = Duration::from_secs(200);
/// Interval of the initial advertisements (RFC 4861, section 10).
const FIRST_INTERVAL: Duration = Duration::from_secs(16);
const FIRST: u8 = 3;
/// Router lifetime of a transient default route, in seconds.
const TRANSIENT: u16 = 30;
/// The minimum time between multicast advertisements.
const REST: Duration = Duration::from_secs(3);

/// The parameters of advertisements.
#[derive(Debug, Clone)]
pub(super) struct Router {
    network: NetworkName,
    mac: Mac,
    mtu: u16,
    ipv6: Option<Ipv6>,
    hosts: Vec<Host>,
}

/// What a network with IPv6 advertises.
#[derive(Debug, Clone)]
struct Ipv6 {
    address: Ipv6Net,
    /// Whether DHCPv6 assigns addresses.
    managed: bool,
    /// The domain of the network's DNS server, if hosts are told of it.
    domain: Option<String>,
    /// Whether it is multicast to all hosts, or sent to nodes of the lab only.
    to_all: bool,
}

#[derive(Debug, Clone)]
struct Host {
    node: NodeName,
    mac: Mac,
    skip_delays: bool,
}

impl Router {
    /// Takes the parameters from a plan.
    pub(super) fn new(plan: &ServicePlan) -> Self {
        let host = |host: &crate::plan::HostPlan| Host {
            node: host.node.clone(),
            mac: host.mac,
            skip_delays: host.skip_delays,
        };
        Self {
            network: plan.network.clone(),
            mac: plan.mac,
            mtu: plan.mtu,
            ipv6: plan.ipv6.map(|address| Ipv6 {
                address,
                managed: plan.dhcp6.is_some(),
                domain: plan.is_name_server().then(|| plan.dns.domain.clone()),
                to_all: plan.ipv6_unknown_clients == UnknownClients::Answer,
            }),
            hosts: plan.hosts.iter().map(host).collect(),
        }
    }

    /// Returns the advertisement; the kernel fills in its checksum.
    fn advertisement(&self) -> Vec<u8> {
        self.advertisement_for(0)
    }

    /// Returns an advertisement with a router lifetime in seconds.
    fn advertisement_for(&self, seconds: u16) -> Vec<u8> {
        let (hops, flags) = match &self.ipv6 {
            None => (0, 0),
            Some(ipv6) => (HOPS, if ipv6.managed { MANAGED } else { 0 }),
        };
        let [high, low] = seconds.to_be_bytes();
        // Type, code, checksum, hop limit, flags, lifetime, unspecified reachable and retransmission times.
        let mut packet = vec![ADVERTISEMENT, 0, 0, 0, hops, flags, high, low, 0, 0, 0, 0, 0, 0, 0, 0];
        option(&mut packet, code::SOURCE_ADDRESS, &[&self.mac.0]);
        if self.mtu != USUAL_MTU || self.ipv6.is_some() {
            option(&mut packet, code::MTU, &[&[0; 2], &u32::from(self.mtu).to_be_bytes()]);
        }
        if let Some(Ipv6 { address, managed: _, domain, to_all: _ }) = &self.ipv6 {
            let head = [address.prefix_len(), PREFIX_FLAGS];
            let lives = [VALID.to_be_bytes(), PREFERRED.to_be_bytes(), [0; 4]].concat();
            option(&mut packet, code::PREFIX, &[&head, &lives, &address.network().octets()]);
            if let Some(domain) = domain {
                let life = NAMES.to_be_bytes();
                option(&mut packet, code::NAME_SERVERS, &[&[0; 2], &life, &address.addr().octets()]);
                option(&mut packet, code::SEARCH_LIST, &[&[0; 2], &life, &labels::encode(domain)]);
            }
        }
        packet
    }

    fn on_link(&self, from: Ipv6Addr) -> bool {
        let of_prefix = self.ipv6.as_ref().is_some_and(|ipv6| ipv6.address.contains(&from));
        from.is_unicast_link_local() || of_prefix
    }
}

/// Advertises a router to one firmware, although there is none.
///
/// EDK2 waits ten seconds for a default route before it uses an address. An advertisement with a short lifetime ends
/// that wait.
#[derive(Debug, Clone)]
pub(super) struct TransientRoute {
    socket: Arc<UdpSocket>,
    interface: u32,
    packet: Vec<u8>,
}

impl TransientRoute {
    /// Sends it to the firmware at a link-local address.
    pub(super) async fn tell(&self, to: Ipv6Addr) -> io::Result<()> {
        send(&self.socket, &self.packet, to, self.interface).await
    }
}

/// Appends an option, padded to a multiple of eight bytes.
fn option(packet: &mut Vec<u8>, code: u8, parts: &[&[u8]]) {
    let body = parts.concat();
    let units = (body.len() + 2).div_ceil(8);
    packet.extend([code, u8::try_from(units).unwrap_or(u8::MAX)]);
    let end = packet.len() - 2 + units * 8;
    packet.extend(body);
    packet.resize(end, 0);
}

/// A received packet.
#[derive(Debug, Clone, Copy)]
struct Received<'a> {
    packet: &'a [u8],
    from: Ipv6Addr,
    hop_limit: Option<i32>,
}

/// A solicitation that is to be answered.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Solicitation {
    /// `None`: the sender has no address, so the answer is multicast.
    by: Option<Ipv6Addr>,
    node: Option<NodeName>,
}

/// Parses a packet; returns a solicitation that is to be answered (RFC 4861, section 6.1.1).
fn requested(router: &Router, received: Received<'_>) -> Option<Solicitation> {
    let Received { packet, from, hop_limit } = received;
    let solicitation = packet.len() >= 8 && packet[0] == SOLICITATION && packet[1] == 0;
    if !solicitation || hop_limit != Some(HOP_LIMIT) {
        return None;
    }
    let by = Some(from).filter(|from| !from.is_unspecified());
    let mac = source_address(&packet[8..])?;
    if by.is_none() && mac.is_some() || by.is_some_and(|from| !router.on_link(from)) {
        return None;
    }
    let is_it = |host: &&Host| mac == Some(host.mac) || host.mac.link_local() == from;
    let host = router.hosts.iter().find(is_it);
    if router.ipv6.as_ref().is_some_and(|ipv6| !ipv6.to_all) && (host.is_none() || by.is_none()) {
        return None;
    }
    let waits = |host: &Host| !host.skip_delays && router.ipv6.is_none();
    // A sender without an address might be any of them, and the answer would reach all hosts.
    let may_wait = by.is_none() && router.hosts.iter().any(waits);
    if host.is_some_and(waits) || may_wait {
        return None;
    }
    Some(Solicitation { by, node: host.map(|host| host.node.clone()) })
}

/// Reads the source link-layer address option; `None` if the options are malformed.
fn source_address(mut options: &[u8]) -> Option<Option<Mac>> {
    let mut found = None;
    while !options.is_empty() {
        let length = usize::from(*options.get(1)?) * 8;
        if length == 0 {
            return None;
        }
        let (option, rest) = options.split_at_checked(length)?;
        if option[0] == code::SOURCE_ADDRESS && length == 8 {
            found = option[2..8].try_into().ok().map(Mac);
        }
        options = rest;
    }
    Some(found)
}

/// When to multicast next (RFC 4861, sections 6.2.4 and 6.2.6). Times are nanoseconds on the run's clock.
#[derive(Debug, Clone, PartialEq, Eq)]
struct AdvertisementTimer {
    /// `None`: only solicitations are answered.
    next: Option<RunTime>,
    /// The time of the last multicast.
    last: Option<RunTime>,
    /// How many initial advertisements are left.
    first: u8,
    /// Whether unsolicited advertisements are sent.
    unsolicited: bool,
}

impl AdvertisementTimer {
    /// Schedules the first multicast at once, if there are any.
    fn new(ipv6: Option<&Ipv6>, now: RunTime) -> Self {
        let to_all = ipv6.is_none_or(|ipv6| ipv6.to_all);
        Self { next: to_all.then_some(now), last: None, first: FIRST, unsolicited: ipv6.is_some() }
    }

    /// Returns the time until the next multicast.
    fn wait(&self, now: RunTime) -> Duration {
        self.next.unwrap_or(RunTime::NEVER).since(now)
    }

    /// Records a solicitation that is answered by multicast.
    fn send_soon(&mut self, now: RunTime) {
        let soon = self.last.map_or(now, |last| now.max(last + REST));
        self.next = Some(self.next.map_or(soon, |next| next.min(soon)));
    }

    /// Tells whether a multicast is due; if so, schedules the next one.
    fn due(&mut self, now: RunTime) -> bool {
        if self.next.is_none_or(|next| next > now) {
            return false;
        }
        self.last = Some(now);
        self.first = self.first.saturating_sub(1);
        let interval = if self.first > 0 { FIRST_INTERVAL } else { INTERVAL };
        self.next = self.unsolicited.then(|| now + interval);
        true
    }
}

/// A router and its socket.
#[derive(Debug)]
pub(super) struct Advertiser {
    router: Router,
    socket: Arc<UdpSocket>,
    interface: u32,
}

impl Advertiser {
    /// Creates the service, or says why it is not available.
    pub(super) fn new(socket: Option<LinkSocket>, router: Router) -> Result<Self, String> {
        let Some(LinkSocket { socket, interface }) = socket else {
            return Err("the kernel has no IPv6: iPXE will wait for router advertisements".to_owned());
        };
        let socket = UdpSocket::from_std(socket).map_err(|error| error.to_string())?;
        Ok(Self { router, socket: Arc::new(socket), interface })
    }

    /// Returns the transient route for firmware.
    pub(super) fn transient_route(&self) -> TransientRoute {
        let packet = self.router.advertisement_for(TRANSIENT);
        TransientRoute { socket: Arc::clone(&self.socket), interface: self.interface, packet }
    }
}

/// Advertises at start, on solicitation and periodically, for as long as it is polled.
pub(super) async fn run(advertiser: Advertiser, events: Emitter) {
    let Advertiser { router, socket, interface } = advertiser;
    let packet = router.advertisement();
    let mut failure = FailureLog::new(Service::Ra, &events);
    let mut rounds = AdvertisementTimer::new(router.ipv6.as_ref(), events.now().at);
    let mut buffer = [0; 1500];
    loop {
        if rounds.due(events.now().at) {
            failure.note(send(&socket, &packet, ALL_NODES, interface).await);
        }
        let receiving = socket.async_io(Interest::READABLE, || receive(&socket, &mut buffer));
        let (length, from, hop_limit) = match timeout(rounds.wait(events.now().at), receiving).await {
            Err(_) => continue,
            Ok(Ok(received)) => received,
            Ok(Err(error)) => {
                failure.pause(&error).await;
                continue;
            }
        };
        let received = Received { packet: &buffer[..length], from, hop_limit };
        let Some(Solicitation { by, node }) = requested(&router, received) else { continue };
        match by {
            Some(address) => failure.note(send(&socket, &packet, address, interface).await),
            None => rounds.send_soon(events.now().at),
        }
        events.emit_maybe(
            node.as_ref(),
            Known::RouterAdvertised { network: router.network.clone(), router: None },
        );
    }
}

fn receive(socket: &UdpSocket, buffer: &mut [u8]) -> io::Result<(usize, Ipv6Addr, Option<i32>)> {
    let mut control = nix::cmsg_space!(nix::libc::c_int);
    let mut parts = [IoSliceMut::new(buffer)];
    let message =
        recvmsg::<SockaddrIn6>(socket.as_raw_fd(), &mut parts, Some(&mut control), MsgFlags::empty())?;
    let hop_limit = message.cmsgs()?.find_map(|control| match control {
        ControlMessageOwned::Ipv6HopLimit(limit) => Some(limit),
        _ => None,
    });
    let from = message.address.map_or(Ipv6Addr::UNSPECIFIED, |address| address.ip());
    Ok((message.bytes, from, hop_limit))
}

async fn send(socket: &UdpSocket, packet: &[u8], to: Ipv6Addr, interface: u32) -> io::Result<()> {
    socket.send_to(packet, SocketAddrV6::new(to, 0, 0, interface)).await.map(drop)
}

#[cfg(any(test, fuzzing))]
pub(in crate::serve) mod fuzz;

#[cfg(test)]
mod tests;
