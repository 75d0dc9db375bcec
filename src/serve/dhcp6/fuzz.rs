//! Fuzzes the DHCPv6 service with arbitrary packets.

use std::collections::BTreeMap;
use std::net::Ipv6Addr;
use std::sync::LazyLock;
use std::time::Duration;

use dhcproto::v6::MessageType;

use super::PACKET;
use super::answer::{Arrival, Decision, Server, answer};
use super::state::State;
use crate::event::RunTime;
use crate::fuzz::script::Script;
use crate::lab::UnknownClients;
use crate::name::Mac;
use crate::plan::{Dhcp6Plan, ServicePlan};
use crate::serve::example::{DISK, FAST, REAL, STRANGER, plan};
use crate::wire::dhcp6::{Request, split, unwrap};

/// Our DUID-LL, of the bridge.
const OURS: [u8; 10] = [0, 3, 0, 1, 2, 0, 0, 0, 0, 1];
/// The size of a reply beside the answers to the request's own options: server identifier, names, boot file.
const OWN_WORDS: usize = 400;
/// The factor by which one option of a request, at least four bytes, may grow in the reply: an association gets an
/// address, or the message that there is none.
const GROWTH: usize = 4;

/// Parses one packet.
pub(crate) fn packet(data: &[u8]) {
    let data = &data[..data.len().min(PACKET)];
    assert!(super::senders::sender(data).is_none_or(|sender| !sender.mac.is_group()));
    let Some(request) = Request::decode(data) else { return };
    assert!(request.relays.len() <= 8);
    assert!(request.client.as_ref().is_none_or(|duid| (3..=130).contains(&duid.len())));
    let classes = request.vendor_classes.iter().chain(&request.user_classes).map(Vec::len).sum::<usize>();
    let numbers = 2 * (request.wanted.len() + request.architectures.len());
    assert!(classes + numbers <= data.len(), "nothing comes out that did not go in");
}

fn with_ipv6(change: fn(&mut ServicePlan)) -> Server {
    let mut plan = plan();
    plan.ipv6 = Some("fd00:83::1/64".parse().expect("an address"));
    for (host, last) in plan.hosts.iter_mut().zip(0x11..) {
        host.ipv6 = (last != 0x12).then_some(Ipv6Addr::new(0xfd00, 0x83, 0, 0, 0, 0, 0, last));
    }
    plan.dhcp6 = Some(Dhcp6Plan {
        pool: Some(POOL.parse().expect("a prefix")),
        lease_seconds: 3600,
        nameserver: Some("fd00:83::1".parse().expect("an address")),
        domain: Some("lab.test".to_owned()),
        ntp: true,
        ipxe_classes: vec!["gateway".to_owned()],
    });
    change(&mut plan);
    Server::new(&plan).expect("the example has DHCPv6 now")
}

const POOL: &str = "fd00:83::d:0:0/96";

/// Servers as lab files can configure them, and whether they lease to unknown clients.
static SERVERS: LazyLock<[Server; 3]> = LazyLock::new(|| {
    [
        with_ipv6(|_| {}),
        with_ipv6(|plan| plan.ipv6_unknown_clients = UnknownClients::Ignore),
        with_ipv6(|plan| plan.dhcp6.iter_mut().for_each(|dhcp| dhcp.pool = None)),
    ]
});

/// One request of a script, as received.
struct Step {
    packet: Vec<u8>,
    arrival: Arrival,
    runs_program: bool,
    now: RunTime,
}

/// Reads the next step. Client and server identifiers and relay headers are added, since noise seldom has them.
fn step(script: &mut Script<'_>, now: &mut RunTime) -> Step {
    let (how, who) = (script.byte(), script.byte());
    *now += Duration::from_secs(match how & 3 {
        0 | 1 => 0,
        2 => script.byte().into(),
        _ => script.number().into(),
    });
    let mac = match who & 7 {
        0 => FAST,
        1 => REAL,
        2 => DISK,
        3 => STRANGER,
        other => Mac([2, 0, 0, 0, 1, other]),
    };
    let from = match who >> 6 {
        0 | 1 => mac.link_local(),
        2 => Ipv6Addr::new(0xfd00, 0x83, 0, 0, 0, 0, 0, u16::from(who)),
        _ => Ipv6Addr::from(script.array::<16>()),
    };
    let piece = script.piece();
    let mut packet = piece[..piece.len().min(PACKET)].to_vec();
    if how & 0x80 == 0 && packet.len() >= 4 {
        packet.extend(option(1, &[&[0, 3, 0, 1], &mac.0[..]].concat()));
    }
    if how & 0x40 == 0 && packet.len() >= 4 {
        packet.extend(option(2, &OURS));
    }
    for hops in 0..(how >> 2 & 3) {
        let link = match script.byte() {
            0 => Ipv6Addr::UNSPECIFIED,
            1 => Ipv6Addr::from(script.array::<16>()),
            last => Ipv6Addr::new(0xfd00, 0x83, 0, 0, 0, 0, 0, last.into()),
        };
        let head = [&[12, hops][..], &link.octets(), &mac.link_local().octets()].concat();
        packet = [head, option(18, b"port"), option(9, &packet)].concat();
    }
    packet.truncate(PACKET);
    let arrival = Arrival { from, mac: None, multicast: how & 0x20 == 0 };
    Step { packet, arrival, runs_program: how & 0x10 != 0, now: *now }
}

fn option(code: u16, value: &[u8]) -> Vec<u8> {
    let length = u16::try_from(value.len()).unwrap_or(u16::MAX);
    [&code.to_be_bytes(), &length.to_be_bytes(), value].concat()
}

/// Sends requests to a server. Every reply can be parsed, returns through the same relays and is not much larger; no
/// address is leased twice or outside of the pool.
pub(crate) fn server(data: &[u8]) {
    let mut script = Script::new(data);
    let server = &SERVERS[usize::from(script.byte()) % SERVERS.len()];
    let mut state = State::default();
    let mut lent = AddressHolders::new();
    let mut now = RunTime::START;
    while !script.is_over() {
        let step = step(&mut script, &mut now);
        let Some(request) = Request::decode(&step.packet) else { continue };
        let mut decision = answer(server, &state, &request, step.arrival, step.runs_program, step.now);
        for change in std::mem::take(&mut decision.changes) {
            state.apply(change, step.now);
        }
        check(server, &step, &request, &decision, &mut lent);
    }
}

/// Association, client and end of the lease by address.
type AddressHolders = BTreeMap<Ipv6Addr, ((Vec<u8>, u32), RunTime)>;

fn check(server: &Server, step: &Step, request: &Request, decision: &Decision, lent: &mut AddressHolders) {
    let Some(reply) = &decision.reply else { return };
    let here = |address: Ipv6Addr| {
        address.is_unicast_link_local() || address.segments()[..4] == [0xfd00, 0x83, 0, 0]
    };
    assert!(here(step.arrival.from), "somebody else's packet is answered");
    for relay in &request.relays {
        assert!(relay.link.is_unspecified() || here(relay.link), "somebody else's relay is answered");
    }
    let chosen = request.server.as_deref().unwrap_or(&OURS);
    assert_eq!(chosen, OURS, "the client asks another server");

    let packet = reply.encode(&request.relays).expect("every reply can be written");
    let most = OWN_WORDS + GROWTH * step.packet.len();
    assert!(packet.len() <= most, "{} bytes for {}", packet.len(), step.packet.len());
    assert_eq!(Request::decode(&packet), None, "a reply is no request");
    let message = unwrap(&packet, request.relays.len()).expect("each relay gets its own back");
    assert_eq!((MessageType::from(message[0]), &message[1..4]), (reply.kind, &request.xid[..]));
    let options = split(&message[4..]).expect("options to the last byte");
    let all = |code| options.iter().filter(move |(known, _)| *known == code).map(|(_, value)| *value);
    assert_eq!(all(2).collect::<Vec<_>>(), [&OURS[..]], "who answers");
    assert_eq!(all(1).next(), request.client.as_deref(), "who asked");

    let own = server.host(decision.mac).and_then(|host| host.ipv6);
    let release = matches!(request.kind, MessageType::Release | MessageType::Decline);
    if release {
        lent.retain(|_, ((client, _), _)| Some(&*client) != request.client.as_ref());
    }
    for association in all(3) {
        let id = u32::from_be_bytes(association[..4].try_into().expect("four bytes"));
        let who = (request.client.clone().expect("it has a name"), id);
        for (code, address) in split(&association[12..]).expect("options to the last byte") {
            if code != 5 || address[20..24] == [0; 4] {
                continue;
            }
            let seconds = u32::from_be_bytes(address[20..24].try_into().expect("four bytes"));
            let address = Ipv6Addr::from(<[u8; 16]>::try_from(&address[..16]).expect("sixteen bytes"));
            if own == Some(address) {
                continue;
            }
            let pool: ipnet::Ipv6Net = POOL.parse().expect("a prefix");
            assert!(pool.contains(&address), "{address} is not of the pool");
            if let Some((holder, until)) = lent.get(&address) {
                assert!(*holder == who || *until <= step.now, "{address} is lent to {holder:?}");
            }
            if reply.kind == MessageType::Reply {
                lent.retain(|_, (holder, _)| *holder != who);
                lent.insert(address, (who.clone(), step.now + Duration::from_secs(seconds.into())));
            }
        }
    }
}
