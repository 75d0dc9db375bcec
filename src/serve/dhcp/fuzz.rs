//! Fuzzes the DHCP service with arbitrary packets.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::sync::LazyLock;
use std::time::Duration;

use dhcproto::v4::{Message, MessageType, Opcode};
use dhcproto::{Decodable, Decoder};

use super::PACKET;
use super::answer::{Arrival, Decision, answer};
use super::probe::Probe;
use super::server::{KnownBy, OF_A_LEASE, Server, find};
use super::state::{Change, Lessee, State};
use crate::event::UnixSeconds;
use crate::fuzz::script::Script;
use crate::lab::options::Octets;
use crate::lab::{Identity, UnknownClients};
use crate::name::Mac;
use crate::plan::{DhcpRole, ServicePlan};
use crate::serve::example::{DISK, FAST, REAL, STRANGER, plan};
use crate::wire::dhcp::{Client, Destination, Options, Reply, Request, code};

/// The size that replies are padded to, which is a header with the smallest options (RFC 951).
const SMALLEST: usize = 300;
/// What a reply needs beside the options that it repeats: message type, overload, end.
const OWN_WORDS: usize = 3 + 3 + 1;

/// Parses one packet. A request is one of an Ethernet client, and none of our replies parses as a request.
pub(crate) fn packet(data: &[u8]) {
    let data = &data[..data.len().min(PACKET)];
    // The probe for other servers receives whole frames.
    assert_eq!(Probe::new([7; 16]).answered_by(data), Probe::new([7; 16]).answered_by(data));
    let Some(request) = Request::decode(data) else { return };
    assert!(data.len() >= 240 && data[..3] == [1, 1, 6]);
    assert!(request.mac.0 == data[28..34] && !request.mac.is_group());
    assert!((SMALLEST..PACKET).contains(&request.room));
    assert_eq!(request.link().is_none(), request.giaddr.is_unspecified());
    let options = [&request.wanted, &request.vendor_class, &request.user_class];
    let whole: usize = options.iter().map(|option| option.len()).sum();
    assert!(whole <= data.len(), "nothing comes out that did not go in");
}

/// Servers as lab files can configure them.
static SERVERS: LazyLock<Vec<Server>> = LazyLock::new(|| {
    let with = |change: &dyn Fn(&mut ServicePlan)| {
        let mut plan = plan();
        let dhcp = plan.dhcp.as_mut().expect("the example has DHCP");
        dhcp.reserve = BTreeMap::from([(KNOWN, Ipv4Addr::new(10, 0, 0, 77))]);
        change(&mut plan);
        Server::new(&plan).expect("the example has DHCP")
    };
    let dhcp = |change: fn(&mut crate::plan::DhcpPlan)| {
        with(&|plan| plan.dhcp.as_mut().into_iter().for_each(change))
    };
    vec![
        with(&|_| {}),
        dhcp(|dhcp| dhcp.authoritative = false),
        dhcp(|dhcp| dhcp.unknown_clients = UnknownClients::Ignore),
        dhcp(|dhcp| dhcp.pool = None),
        // More options than fit, with a lease time and a boot file set explicitly.
        dhcp(|dhcp| {
            let bytes = |length: usize| Octets(vec![7; length]);
            dhcp.options = [(51, bytes(4)), (67, bytes(200)), (121, bytes(300)), (224, bytes(600))]
                .into_iter()
                .collect();
        }),
        with(&|plan| {
            for host in &mut plan.hosts {
                host.client_id = Some(Octets(vec![host.mac.0[5]]));
            }
        }),
        dhcp(|dhcp| dhcp.identity = Some(Identity::Mac)),
        dhcp(|dhcp| dhcp.identity = Some(Identity::ClientId)),
        with(&|plan| {
            for host in &mut plan.hosts {
                host.client_id = Some(Octets(vec![host.mac.0[5]]));
            }
            plan.dhcp.as_mut().into_iter().for_each(|dhcp| dhcp.identity = Some(Identity::ClientId));
        }),
    ]
});

static PROXY: LazyLock<Server> = LazyLock::new(|| {
    let mut plan = plan();
    let dhcp = plan.dhcp.as_mut().expect("the example has DHCP");
    (dhcp.role, dhcp.pool) = (DhcpRole::Proxy, None);
    Server::new(&plan).expect("the example has DHCP")
});

/// A client with a reservation that is not a node.
const KNOWN: Mac = Mac([2, 0, 0, 0, 0, 7]);

/// One request of a script, as received.
struct Step {
    packet: Vec<u8>,
    arrival: Arrival,
    runs_program: bool,
    now: UnixSeconds,
}

/// Reads the next step: sometimes raw bytes, mostly options behind a valid header, since noise seldom gets that
/// right.
fn step(script: &mut Script<'_>, now: &mut UnixSeconds) -> Step {
    let how = script.byte();
    *now += Duration::from_secs(match how & 3 {
        0 | 1 => 0,
        2 => script.byte().into(),
        _ => script.number().into(),
    });
    let arrival = match how & 0x0c {
        0x0c => Arrival::Proxy(address(script)),
        _ => Arrival::Server,
    };
    let mut packet = if how & 0x80 == 0 { head(script) } else { Vec::new() };
    packet.extend(script.piece());
    packet.truncate(PACKET);
    Step { packet, arrival, runs_program: how & 0x10 != 0, now: *now }
}

/// Reads the client and writes the header of a packet.
fn head(script: &mut Script<'_>) -> Vec<u8> {
    let mac = match script.byte() {
        0 => FAST,
        1 => REAL,
        2 => DISK,
        3 => KNOWN,
        4 => STRANGER,
        other => Mac([2, 0, 0, 0, 1, other % 8]),
    };
    let has = script.byte();
    let mut head = vec![0; 240];
    head[..4].copy_from_slice(&[1, 1, 6, 0]);
    head[4..8].copy_from_slice(&0xdead_beef_u32.to_be_bytes());
    head[10] = has & 0x80;
    for (bit, at) in [(1, 12), (2, 16), (4, 20), (8, 24)] {
        if has & bit != 0 {
            head[at..at + 4].copy_from_slice(&address(script).octets());
        }
    }
    head[28..34].copy_from_slice(&mac.0);
    // Without it there are no options: a BOOTP client.
    if has & 0x10 == 0 {
        head[236..240].copy_from_slice(&[99, 130, 83, 99]);
    }
    head
}

/// Reads an address, mostly one of the network.
fn address(script: &mut Script<'_>) -> Ipv4Addr {
    Ipv4Addr::from(match script.byte() {
        255 => script.array(),
        last => [10, 0, 0, last],
    })
}

/// Sends requests to a server. Every reply can be parsed, has the right destination and is no larger than its client
/// accepts; no address is leased twice or outside of the pool.
pub(crate) fn server(data: &[u8]) {
    let mut script = Script::new(data);
    let server = &SERVERS[usize::from(script.byte()) % SERVERS.len()];
    let mut books = Books { server, state: server.state(), lent: BTreeMap::new() };
    let mut now = UnixSeconds(1_000_000);
    while !script.is_over() {
        let step = step(&mut script, &mut now);
        let Some(request) = Request::decode(&step.packet) else { continue };
        let decision = books.ask(&step, &request);
        if !is_of_this_network(server, &request, step.arrival) {
            assert_eq!(decision.reply, None, "{}", decision.rule);
        }
        if let Some(reply) = &decision.reply {
            check_reply(server, &step, &request, reply);
        }
    }
}

/// Sends requests to a ProxyDHCP server. It leases nothing, and sends boot options only to nodes.
pub(crate) fn proxy(data: &[u8]) {
    let mut script = Script::new(data);
    let server = &*PROXY;
    let mut books = Books { server, state: server.state(), lent: BTreeMap::new() };
    let mut now = UnixSeconds(1_000_000);
    while !script.is_over() {
        let step = step(&mut script, &mut now);
        let Some(request) = Request::decode(&step.packet) else { continue };
        let decision = books.ask(&step, &request);
        let Some(reply) = &decision.reply else { continue };
        assert!(is_of_this_network(server, &request, step.arrival));
        check_reply(server, &step, &request, reply);
        let (host, _) = server.host(&request).expect("only nodes are answered");
        let is_pi = find(&reply.options, code::VENDOR_OPTIONS).is_some();
        assert!(host.plan.boot.is_some() && (decision.boot_file.is_some() || is_pi));
        assert!(reply.yiaddr.is_unspecified() && decision.change == Change::None);
        for of_a_lease in OF_A_LEASE {
            assert_eq!(find(&reply.options, of_a_lease), None);
        }
    }
}

/// A server with its leases, and a separate record of the addresses that clients were given.
struct Books<'a> {
    server: &'a Server,
    state: State,
    /// Client and end of the lease by address.
    lent: BTreeMap<Ipv4Addr, (Lessee, UnixSeconds)>,
}

impl Books<'_> {
    fn ask(&mut self, step: &Step, request: &Request) -> Decision {
        let Self { server, state, lent } = self;
        let lessee = lessee(server, request);
        state.expire(step.now);
        let decision = answer(server, state, request, step.arrival, step.runs_program, step.now);
        state.apply(decision.change.clone());
        let elsewhere = request.server.is_some_and(|chosen| chosen != server.identifier);
        if elsewhere || matches!(request.kind, Some(MessageType::Release | MessageType::Decline)) {
            lent.retain(|_, (client, _)| *client != lessee);
        }
        let acked = decision.reply.as_ref().filter(|reply| reply.kind == Some(MessageType::Ack));
        let offered = decision.reply.as_ref().filter(|reply| !reply.yiaddr.is_unspecified());
        if let Some(reply) = offered {
            self.check_address(request, reply.yiaddr, step.now);
        }
        if let Some(reply) = acked.filter(|reply| !reply.yiaddr.is_unspecified()) {
            let seconds = find(&reply.options, code::LEASE_TIME);
            let seconds = seconds.and_then(|bytes| bytes.try_into().ok()).map_or(0, u32::from_be_bytes);
            // An interface has one address; a client that requests another has given up the first.
            self.lent.retain(|_, (client, _)| *client != lessee);
            self.lent.insert(reply.yiaddr, (lessee, step.now + Duration::from_secs(seconds.into())));
        }
        decision
    }

    /// Checks an address that a client is given.
    fn check_address(&self, request: &Request, address: Ipv4Addr, now: UnixSeconds) {
        let Self { server, state: _, lent } = self;
        let net = server.address;
        assert!(net.contains(&address), "{address} is no address of {net}");
        assert!(
            ![net.addr(), net.network(), net.broadcast()].contains(&address),
            "{address} is not to be lent"
        );
        let host = server.host(request);
        let own = host.and_then(|(host, _)| host.plan.address).or(server.reserved_for_stranger(request.mac));
        let lessee = lessee(server, request);
        let by_mac = host.is_none_or(|(_, by)| by == KnownBy::Mac);
        if let Some((holder, until)) = lent.get(&address) {
            let is_gone = own == Some(address) && by_mac && holder.client_id.is_none();
            assert!(
                holder.hands_over_to(&lessee) || is_gone || *until <= now,
                "{address} is lent to {holder:?} until {until:?}"
            );
        }
        if own == Some(address) {
            return;
        }
        assert!(server.has_pool(), "{address} is lent, and there is no pool");
        assert!(server.state().is_free_for(address, &lessee, UnixSeconds(0)), "{address} is not of the pool");
        // A client known by its hardware address gets its reserved address, unless another client uses it.
        if let (Some(own), Some((host, KnownBy::Mac))) = (own, host) {
            let other = |client: &Lessee| !client.hands_over_to(&lessee);
            let in_use = self.state.lease(own).is_some_and(|lease| lease.holder.client().is_none_or(other));
            assert!(in_use || !server.is_reserved_for(host, &lessee));
        }
    }
}

/// Returns the client that a request is from.
fn lessee(server: &Server, request: &Request) -> Lessee {
    let known_by = server.host(request).map(|(_, known_by)| known_by);
    server.lessee(request, Client::of(request, &server.ipxe_classes), known_by)
}

/// Tells whether a request was sent from this network to this server.
fn is_of_this_network(server: &Server, request: &Request, arrival: Arrival) -> bool {
    let net = server.address;
    let is_host = |address: Ipv4Addr| {
        net.contains(&address) && ![net.addr(), net.network(), net.broadcast()].contains(&address)
    };
    let relay = request.giaddr.is_unspecified() || is_host(request.giaddr);
    let link = request.link().is_none_or(|link| net.contains(&link));
    let from = match arrival {
        Arrival::Server => true,
        Arrival::Proxy(from) => is_host(from),
    };
    let known = server.host(request).is_some() || server.reserved_for_stranger(request.mac).is_some();
    let answered = server.unknown_clients == UnknownClients::Answer || known;
    relay && link && from && answered && request.server.is_none_or(|chosen| chosen == net.addr())
}

/// Checks the options of a reply and its encoding.
fn check_reply(server: &Server, step: &Step, request: &Request, reply: &Reply) {
    let mut packet = Vec::new();
    let left = reply.encode(&mut packet).expect("every reply can be written");
    // No larger than the client accepts, or than its request, which relays have forwarded.
    let most = request.room.max(SMALLEST).max(step.packet.len() + OWN_WORDS);
    assert!(packet.len() <= most, "{} bytes where {most} are taken", packet.len());
    assert_eq!(Request::decode(&packet), None, "a reply is no request");

    let header = Message::decode(&mut Decoder::new(&[&packet[..240], &[255]].concat())).expect("a header");
    assert_eq!(header.opcode(), Opcode::BootReply);
    assert_eq!((header.xid(), header.chaddr()), (request.xid, &request.mac.0[..]));
    assert_eq!(
        (header.yiaddr(), header.siaddr(), header.giaddr()),
        (reply.yiaddr, reply.siaddr, request.giaddr)
    );
    let options = Options::split(&packet);
    assert_eq!(options.get(code::MESSAGE_TYPE).map(|kind| MessageType::from(kind[0])), reply.kind);
    assert_eq!(options.get(code::RELAY), request.relay.as_deref(), "relays get back what they added");
    for option in &reply.options {
        let lost = left.contains(&option.code);
        assert_eq!(
            options.get(option.code),
            Some(&*option.value).filter(|_| !lost),
            "option {}",
            option.code
        );
    }
    let relays = request.relay.as_ref().map_or(0, Vec::len);
    // BOOTP has no such option.
    let is_said = !left.contains(&code::SERVER) || reply.kind.is_none();
    assert!(is_said || relays > 200, "who answers is said, unless relays take all room");

    let net = server.address;
    let here = |address: Ipv4Addr| net.contains(&address) && address != net.addr();
    match reply.to {
        Destination::Broadcast => assert!(request.giaddr.is_unspecified()),
        Destination::Hardware(address) | Destination::Address(address) => {
            assert!(here(address) && request.giaddr.is_unspecified());
        }
        Destination::Relay(address) => assert!(here(address) && address == request.giaddr),
        Destination::Source => assert!(matches!(step.arrival, Arrival::Proxy(from) if here(from))),
    }
}
