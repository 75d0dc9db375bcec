//! ICMP and ICMPv6: packets that could not be delivered, routers, and neighbour discovery of IPv6.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use etherparse::{Ipv4HeaderSlice, Ipv6HeaderSlice};
use ipnet::Ipv6Net;

use super::asks::{Ask, Waiting};
use super::bounded::Bounded;
use super::link::{Ip, UDP_NUMBER};
use super::news::Topic;
use super::tftp::Tftp;
use super::{Context, Hop};
use crate::event::{Known, LearnedBy, RouterSeen, RunTime, Service, Transport, UnreachableCause};
use crate::name::{Mac, NodeName};

/// The protocol numbers of IP.
pub(super) const ICMP: u8 = 1;
pub(super) const TCP: u8 = 6;
pub(super) const ICMPV6: u8 = 58;

/// How many changes, clients and refusals are remembered.
const MOST: usize = 1024;
/// A refusal, or a client that asks for a router, is reported once within this time.
const AGAIN: Duration = Duration::from_secs(60);
/// Within this time, a router or neighbour answers.
const PATIENCE: Duration = Duration::from_secs(5);
const LEAST: u64 = 3;
/// Prefixes of one router that are told.
const MOST_PREFIXES: usize = 16;

mod kind {
    pub(super) const ROUTER_SOLICITATION: u8 = 133;
    pub(super) const ROUTER_ADVERTISEMENT: u8 = 134;
    pub(super) const NEIGHBOUR_SOLICITATION: u8 = 135;
    pub(super) const NEIGHBOUR_ADVERTISEMENT: u8 = 136;
}

/// What was reported already.
#[derive(Debug)]
pub(super) struct Icmp {
    routers: Bounded<(usize, Ipv6Addr), RouterSeen>,
    solicited: Bounded<(usize, Ipv6Addr), RunTime>,
}

impl Default for Icmp {
    fn default() -> Self {
        Self { routers: Bounded::new(MOST), solicited: Bounded::new(MOST) }
    }
}

impl Icmp {
    /// Reads a message of ICMP.
    pub(super) fn read(context: &mut Context<'_>, tftp: &mut Tftp, hop: Hop, ip: &Ip<'_>) {
        let [kind, code, _, _, rest @ ..] = ip.payload else { return };
        let Some((word, quoted)) = rest.split_first_chunk::<4>() else { return };
        let why = match (*kind, *code) {
            (3, 0 | 6) => UnreachableCause::Network,
            (3, 1 | 7) => UnreachableCause::Host,
            (3, 2) => UnreachableCause::Protocol,
            (3, 3) => UnreachableCause::Port,
            (3, 4) => UnreachableCause::TooBig,
            (3, 9 | 10 | 13) => UnreachableCause::Prohibited,
            (3, _) => UnreachableCause::Other(format!("type 3 code {code}")),
            (11, 0) => UnreachableCause::TimeExceeded,
            _ => return,
        };
        let mtu =
            (why == UnreachableCause::TooBig).then(|| u32::from(u16::from_be_bytes([word[2], word[3]])));
        let Ok(header) = Ipv4HeaderSlice::from_slice(quoted) else { return };
        let (source, destination) = (header.source_addr().into(), header.destination_addr().into());
        let rest = quoted.get(header.slice().len()..).unwrap_or_default();
        let quoted = Quoted { source, destination, protocol: header.protocol().0, rest };
        quoted.tell(context, tftp, hop, ip.source, why, mtu.filter(|mtu| *mtu > 0));
    }

    /// Reads a message of ICMPv6.
    pub(super) fn read_v6(&mut self, context: &mut Context<'_>, tftp: &mut Tftp, hop: Hop, ip: &Ip<'_>) {
        let [kind, code, _, _, rest @ ..] = ip.payload else { return };
        let Some((word, body)) = rest.split_first_chunk::<4>() else { return };
        let IpAddr::V6(source) = ip.source else { return };
        match *kind {
            kind::ROUTER_SOLICITATION => self.solicited(context, hop, source, body),
            kind::ROUTER_ADVERTISEMENT => self.advertised(context, hop, source, *word, body),
            kind::NEIGHBOUR_SOLICITATION => asked(context, hop, source, body),
            kind::NEIGHBOUR_ADVERTISEMENT => answered(context, hop, body),
            1..=3 => {
                let why = match (*kind, *code) {
                    (1, 0) => UnreachableCause::Network,
                    (1, 1 | 5 | 6) => UnreachableCause::Prohibited,
                    (1, 2 | 3) => UnreachableCause::Host,
                    (1, 4) => UnreachableCause::Port,
                    (2, _) => UnreachableCause::TooBig,
                    (3, 0) => UnreachableCause::TimeExceeded,
                    _ => UnreachableCause::Other(format!("type {kind} code {code}")),
                };
                let mtu = (*kind == 2).then(|| u32::from_be_bytes(*word));
                let Ok(header) = Ipv6HeaderSlice::from_slice(body) else { return };
                let (source, destination) = (header.source_addr().into(), header.destination_addr().into());
                let rest = body.get(40..).unwrap_or_default();
                let quoted = Quoted { source, destination, protocol: header.next_header().0, rest };
                quoted.tell(context, tftp, hop, ip.source, why, mtu);
            }
            _ => {}
        }
    }

    fn solicited(&mut self, context: &mut Context<'_>, hop: Hop, source: Ipv6Addr, options: &[u8]) {
        let mac = option(options, 1).and_then(hardware).or(hop.from);
        let node = match mac {
            Some(mac) if !context.world.is_from_us(hop) => context.world.client_only(mac),
            _ => None,
        };
        let Some(node) = node else { return };
        if let (Some(mac), false) = (mac, source.is_unspecified()) {
            context.learn(hop, mac, source.into(), LearnedBy::Ndp);
        }
        let key = (hop.segment, mac.map_or(source, Mac::link_local));
        let before = self.solicited.get(&key).copied();
        if before.is_none_or(|before| hop.at.since(before) >= AGAIN) {
            self.solicited.insert(key, hop.at);
            let known = Known::RouterSolicited { network: context.world.network(hop.segment).clone() };
            context.tell(hop.at, Topic::Router, Some(node.clone()), None, known);
        }
        context.ask(Ask::Router(hop.segment, key.1), hop.at, || Waiting {
            segment: hop.segment,
            node: Some(node),
            exchange: None,
            service: Service::Ra,
            what: "router solicitation".to_owned(),
            server: None,
            patience: PATIENCE,
            least: LEAST,
        });
    }

    fn advertised(
        &mut self,
        context: &mut Context<'_>,
        hop: Hop,
        router: Ipv6Addr,
        word: [u8; 4],
        body: &[u8],
    ) {
        // Between them and the options are two timers.
        let options = body.get(8..).unwrap_or_default();
        let is_here = |ask: &Ask| matches!(ask, Ask::Router(segment, _) if *segment == hop.segment);
        let answers = context.asks.answered_all(is_here);
        if context.world.is_from_us(hop) && context.world.services(hop.segment).advertisements {
            return;
        }
        context.world.serves(hop);
        let prefixes = all_options(options, 3).filter_map(|option| {
            let prefix = Ipv6Addr::from(*option.get(16..)?.first_chunk::<16>()?);
            Ipv6Net::new(prefix, *option.get(2)?).ok()
        });
        let seen = RouterSeen {
            address: router,
            lifetime: u16::from_be_bytes([word[2], word[3]]),
            managed: word[1] & 0x80 != 0,
            other: word[1] & 0x40 != 0,
            prefixes: prefixes.take(MOST_PREFIXES).collect(),
        };
        let key = (hop.segment, router);
        if !answers && self.routers.get(&key) == Some(&seen) {
            return;
        }
        self.routers.insert(key, seen.clone());
        let network = context.world.network(hop.segment).clone();
        let known = Known::RouterAdvertised { network, router: Some(seen) };
        context.tell(hop.at, Topic::Router, None, None, known);
    }
}

/// Reads a neighbour solicitation.
fn asked(context: &mut Context<'_>, hop: Hop, source: Ipv6Addr, body: &[u8]) {
    let Some((target, options)) = body.split_first_chunk::<16>() else { return };
    let target = Ipv6Addr::from(*target);
    let Some(mac) = option(options, 1).and_then(hardware).or(hop.from) else { return };
    // A client that asks from no address checks that nobody has the one that it wants (RFC 4862, section 5.4).
    if source.is_unspecified() || hop.from.is_some_and(|from| from != mac) {
        return;
    }
    context.asks.answered(&Ask::Neighbour(hop.segment, source.into()));
    context.learn(hop, mac, source.into(), LearnedBy::Ndp);
    let Some(node) = context.world.named(mac).cloned() else { return };
    context.ask(Ask::Neighbour(hop.segment, target.into()), hop.at, || Waiting {
        segment: hop.segment,
        node: Some(node),
        exchange: None,
        service: Service::Ndp,
        what: target.to_string(),
        server: None,
        patience: PATIENCE,
        least: LEAST,
    });
}

/// Reads a neighbour advertisement.
fn answered(context: &mut Context<'_>, hop: Hop, body: &[u8]) {
    let Some((target, options)) = body.split_first_chunk::<16>() else { return };
    let target = IpAddr::from(Ipv6Addr::from(*target));
    context.asks.answered(&Ask::Neighbour(hop.segment, target));
    let mac = option(options, 2).and_then(hardware).or(hop.from);
    if let Some(mac) = mac.filter(|mac| hop.from.is_none_or(|from| from == *mac)) {
        context.learn(hop, mac, target, LearnedBy::Ndp);
    }
}

/// Returns the options of a kind, with their headers.
fn all_options(mut options: &[u8], kind: u8) -> impl Iterator<Item = &[u8]> {
    std::iter::from_fn(move || {
        let length = usize::from(*options.get(1)?) * 8;
        let (option, rest) = options.split_at_checked(length).filter(|_| length > 0)?;
        options = rest;
        Some(option)
    })
    .filter(move |option| option[0] == kind)
}

fn option(options: &[u8], kind: u8) -> Option<&[u8]> {
    all_options(options, kind).next()
}

fn hardware(option: &[u8]) -> Option<Mac> {
    Some(Mac(*option.get(2..)?.first_chunk()?)).filter(|mac| !mac.is_group())
}

/// A packet that could not be delivered.
struct Quoted<'a> {
    source: IpAddr,
    destination: IpAddr,
    protocol: u8,
    /// Its first bytes after the header of IP.
    rest: &'a [u8],
}

impl Quoted<'_> {
    fn tell(
        &self,
        context: &mut Context<'_>,
        tftp: &mut Tftp,
        hop: Hop,
        by: IpAddr,
        why: UnreachableCause,
        mtu: Option<u32>,
    ) {
        let port =
            |at: usize| self.rest.get(at..at + 2).map_or(0, |port| u16::from_be_bytes([port[0], port[1]]));
        let (protocol, from, to) = match self.protocol {
            TCP => (Transport::Tcp, port(0), port(2)),
            UDP_NUMBER => (Transport::Udp, port(0), port(2)),
            ICMP | ICMPV6 => (Transport::Icmp, 0, 0),
            other => (Transport::Other(format!("protocol {other}")), 0, 0),
        };
        let (source, destination) =
            (SocketAddr::new(self.source, from), SocketAddr::new(self.destination, to));
        let Some(node) = context.world.node(hop.segment, self.source, None) else { return };
        if protocol == Transport::Tcp {
            context.asks.answered(&Ask::Connection(source, destination));
        } else if to == 69 {
            tftp.refused(source, self.destination);
        }
        context.unreachable(hop, Some(node), protocol, destination, by, why, mtu);
    }
}

impl Context<'_> {
    /// Reports that a packet was refused, unless it was reported within a minute.
    #[expect(clippy::too_many_arguments, reason = "the fields of the event")]
    pub(super) fn unreachable(
        &mut self,
        hop: Hop,
        node: Option<NodeName>,
        protocol: Transport,
        destination: SocketAddr,
        by: IpAddr,
        why: UnreachableCause,
        mtu: Option<u32>,
    ) {
        let key = (node.clone(), destination, why.clone());
        let before = self.refusals.get(&key).copied();
        if before.is_some_and(|before| hop.at.since(before) < AGAIN) {
            return;
        }
        self.refusals.insert(key, hop.at);
        let network = self.world.network(hop.segment).clone();
        let known = Known::Unreachable { network, protocol, destination, by, why, mtu };
        self.tell(hop.at, Topic::Unreachable, node, None, known);
    }
}

/// The refusals that were reported.
pub(super) type Refusals = Bounded<(Option<NodeName>, SocketAddr, UnreachableCause), RunTime>;

/// Creates an empty list of refusals.
pub(super) fn refusals() -> Refusals {
    Bounded::new(MOST)
}
