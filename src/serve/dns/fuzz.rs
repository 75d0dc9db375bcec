//! Fuzzes the DNS service with arbitrary packets from clients and name servers.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::LazyLock;

use hickory_proto::op::{Message, MessageType, Query, ResponseCode};
use hickory_proto::rr::{DNSClass, Name, RecordType};

use super::answer::{Outcome, Reply, answer};
use super::cache::{Cache, Question};
use super::message::{OwnAnswer, Request, Transport};
use super::rule::Rule;
use super::upstream::{EdnsUse, own, read, write};
use super::wire_cache::WireCache;
use super::zones::Zones;
use crate::fuzz::script::Script;
use crate::lab::Service;
use crate::plan::DnsPlan;
use crate::serve::clients::Addresses;

const UPSTREAM: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::new(192, 0, 2, 53)), 53);
const CLIENT: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::new(10, 0, 0, 11)), 40_000);
/// The largest UDP answer that no link fragments, and the default without EDNS.
const LARGEST: usize = 1232;
const PLAIN: usize = 512;
const NOW: u64 = 1_000_000_000;

/// Parses one query.
pub(crate) fn packet(data: &[u8]) {
    for transport in [Transport::Udp, Transport::Tcp] {
        let Ok(request) = Request::decode(data, transport) else { continue };
        assert!(data.len() >= 12 && data[2] & 0x80 == 0, "an answer is no question");
        let own = OwnAnswer::bare(ResponseCode::NoError, Rule::Zone);
        let (bytes, cut) = request.answer(&own, false);
        assert!(!cut, "a bare answer always fits");
        assert_eq!(Message::from_vec(&bytes).expect("what we write can be read").queries, [request.query]);
    }
}

/// Zones with everything that a lab file can define, with and without upstream servers.
static ZONES: LazyLock<[Zones; 2]> = LazyLock::new(|| {
    let name = |name: &str| format!("{name}.lab.test");
    let many = (1..=200).map(|last| Ipv4Addr::new(10, 0, 0, last).into()).collect();
    let service = Service { priority: 1, weight: 2, port: 2380, target: name("a") };
    let mut dns = DnsPlan {
        domain: "lab.test".to_owned(),
        domains: vec!["other.test".to_owned()],
        records: BTreeMap::from([
            (name("a"), vec![Ipv4Addr::new(10, 0, 0, 11).into(), "fd00::11".parse().expect("an address")]),
            (name("many"), many),
            (name("*.wild"), vec![Ipv4Addr::new(10, 0, 0, 12).into()]),
        ]),
        aliases: BTreeMap::from([
            (name("alias"), name("a")),
            (name("away"), "www.example.org".to_owned()),
            (name("*.round"), name("x.y.round")),
        ]),
        services: BTreeMap::from([(name("_etcd._tcp"), vec![service; 3])]),
        texts: BTreeMap::from([(name("note"), vec!["x".repeat(700), String::new()])]),
        reverse: vec!["10.0.0.0/24".parse().expect("a subnet"), "fd00::/64".parse().expect("a prefix")],
        ..DnsPlan::default()
    };
    let zones = |dns: &DnsPlan| Zones::of(dns, Ipv4Addr::new(10, 0, 0, 1).into(), Addresses::default());
    let alone = zones(&dns);
    dns.upstream = vec![UPSTREAM];
    [alone, zones(&dns)]
});

/// Sends queries one after another. Every answer can be parsed, matches its query, and fits the transport.
pub(crate) fn question(data: &[u8]) {
    let mut script = Script::new(data);
    let mut wire_cache = WireCache::default();
    while !script.is_over() {
        let how = script.byte();
        let zones = &ZONES[usize::from(how & 1)];
        let transport = if how & 2 == 0 { Transport::Udp } else { Transport::Tcp };
        let from = match how & 12 {
            12 => SocketAddr::from((Ipv4Addr::from(script.array::<4>()), script.number())),
            _ => CLIENT,
        };
        let packet = script.piece();
        let reply = match answer(zones, packet, from, transport) {
            Outcome::Silence => continue,
            Outcome::Reply(reply) => reply,
            Outcome::Ask(ask) => {
                assert!(how & 1 == 1, "nobody is there to be asked");
                // The upstream answer is whatever comes next in the input.
                let to = write(&ask.question, EdnsUse::With);
                let reply = read(script.piece(), &to);
                let own = reply.map(|reply| own(reply, UPSTREAM));
                ask.finish(
                    own.unwrap_or_else(|| OwnAnswer::bare(ResponseCode::ServFail, Rule::Silence)),
                    NOW + 1,
                )
            }
        };
        check(packet, &reply, from, transport);
        if NOW < reply.until && how & 1 == 0 && transport == Transport::Udp {
            wire_cache.put(packet, 0, reply.until, &reply.bytes, &reply.summary);
            let mut again = Vec::new();
            assert!(wire_cache.get(packet, 0, reply.until, &mut again).is_none(), "it holds no longer");
            let summary = wire_cache.get(packet, 0, NOW, &mut again).cloned();
            assert!(summary.is_none() && packet.len() > PLAIN || again == reply.bytes);
        }
    }
}

fn check(packet: &[u8], reply: &Reply, from: SocketAddr, transport: Transport) {
    assert!(packet.len() >= 12 && packet[2] & 0x80 == 0, "an answer is answered");
    if transport == Transport::Udp {
        let (ip, port) = (from.ip(), from.port());
        assert!(port == 53 || port >= 1024, "port {port} would answer us");
        let here = match ip {
            IpAddr::V4(v4) => v4.is_loopback() || v4.octets()[..3] == [10, 0, 0],
            IpAddr::V6(_) => false,
        };
        assert!(here, "an answer to {ip} would leave the lab");
    }
    let bytes = &reply.bytes;
    assert!(bytes.len() >= 12 && bytes[..2] == packet[..2] && bytes[2] & 0x80 != 0);
    let read = Message::from_vec(bytes).expect("what we write can be read");
    assert_eq!(read.metadata.message_type, MessageType::Response);
    let Ok(requested) = Message::from_vec(packet) else {
        assert_eq!(bytes.len(), 12, "what cannot be read gets a header");
        return;
    };
    if transport == Transport::Udp {
        let most = if requested.edns.is_some() { LARGEST } else { PLAIN };
        assert!(bytes.len() <= most, "{} bytes where {most} are taken", bytes.len());
    }
    if bytes.len() > 12 {
        assert_eq!(read.queries, requested.queries);
        assert_eq!(read.edns.is_some(), requested.edns.is_some());
    }
}

/// Answers an upstream query with arbitrary packets. Only a matching answer is accepted, and it is cached for its TTL
/// and no longer.
pub(crate) fn upstream(data: &[u8]) {
    let mut script = Script::new(data);
    let how = script.byte();
    let question = Question {
        name: Name::from_ascii(["www.example.org.", "a.", "."][usize::from(how) % 3]).expect("a name"),
        class: DNSClass::IN,
        record: script.one_of(&[RecordType::A, RecordType::AAAA, RecordType::TXT, RecordType::DNSKEY]),
        dnssec: how & 0x80 != 0,
        checking_disabled: how & 0x40 != 0,
    };
    let mut to = write(&question, EdnsUse::With);
    to.metadata.id = 0x1234;
    let mut query = Query::query(question.name.clone(), question.record);
    query.set_query_class(question.class);
    let mut cache = Cache::default();
    let mut now = 0;
    while !script.is_over() {
        let second = 1_000_000_000;
        now += u64::from(script.number()) * second;
        let bytes = script.piece();
        let Some(reply) = read(bytes, &to) else { continue };
        assert!(bytes[..2] == [0x12, 0x34] && bytes[2] & 0x80 != 0, "somebody else's answer is believed");
        assert_eq!(reply.queries, [query.clone()], "an answer to another question is believed");
        let said = own(reply, UPSTREAM);
        let longest = said.answers.iter().map(|record| u64::from(record.ttl)).min();
        cache.put(question.clone(), &said, now);
        if let Some((kept, _)) = cache.get(&question, now) {
            assert!(kept.rule == Rule::Cache && kept.answers.len() <= 1024);
        }
        if let Some(longest) = longest {
            let later = now + (longest + 1) * second;
            let kept = cache.get(&question, later);
            assert!(kept.is_none_or(|(kept, _)| kept.answers != said.answers || said.answers.is_empty()));
        }
        assert!(cache.get(&question, now + 86_401 * second).is_none(), "nothing is believed for longer");
    }
}
