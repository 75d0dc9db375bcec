use std::collections::BTreeMap;
use std::net::Ipv4Addr;

use hickory_proto::op::{Edns, Message, MessageType, Query};
use hickory_proto::rr::{DNSClass, RecordType};
use proptest::prelude::*;

use super::*;
use crate::plan::DnsPlan;
use crate::serve::clients::Addresses;

const CLIENT: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::new(10, 0, 0, 11)), 40_000);

fn zones(upstream: bool) -> Zones {
    let many = (1..=200).map(|last| Ipv4Addr::new(10, 0, 0, last).into()).collect();
    let dns = DnsPlan {
        domain: "lab.test".to_owned(),
        records: BTreeMap::from([
            ("a.lab.test".to_owned(), vec![Ipv4Addr::new(10, 0, 0, 11).into()]),
            ("many.lab.test".to_owned(), many),
        ]),
        texts: BTreeMap::from([("note.lab.test".to_owned(), vec!["x".repeat(700)])]),
        reverse: vec!["10.0.0.0/24".parse().unwrap()],
        upstream: if upstream { vec!["192.0.2.53:53".parse().unwrap()] } else { Vec::new() },
        ..DnsPlan::default()
    };
    Zones::of(&dns, Ipv4Addr::new(10, 0, 0, 1).into(), Addresses::default())
}

fn question(name: &str, record: RecordType, payload: Option<u16>) -> Message {
    let mut message = Message::query();
    message.metadata.recursion_desired = true;
    message.add_query(Query::query(Name::from_ascii(name).unwrap(), record));
    message.edns = payload.map(|payload| {
        let mut edns = Edns::new();
        edns.set_max_payload(payload);
        edns
    });
    message
}

fn bytes(message: &Message) -> Vec<u8> {
    message.to_vec().unwrap()
}

fn reply_to(packet: &[u8], transport: Transport) -> Option<Vec<u8>> {
    match answer(&zones(false), packet, CLIENT, transport) {
        Outcome::Silence => None,
        Outcome::Reply(reply) => Some(reply.bytes),
        Outcome::Ask(_) => panic!("nobody else is there to be asked"),
    }
}

/// Answers a message; returns code, flags, answers and size.
fn check(message: &Message, transport: Transport) -> String {
    let Some(bytes) = reply_to(&bytes(message), transport) else { return "silence".to_owned() };
    let reply = Message::from_vec(&bytes).unwrap();
    assert_eq!(reply.metadata.id, message.metadata.id);
    assert_eq!(reply.metadata.message_type, MessageType::Response);
    let flag = |set: bool, name: &'static str| if set { name } else { "--" };
    format!(
        "{} {} {} {} answers, {} bytes, payload {:?}",
        crate::wire::dns::code_name(reply.metadata.response_code),
        flag(reply.metadata.truncation, "tc"),
        flag(reply.metadata.authoritative, "aa"),
        reply.answers.len(),
        bytes.len(),
        reply.edns.map(|edns| edns.max_payload()),
    )
}

#[test]
fn what_does_not_fit_is_cut_off_and_comes_by_tcp() {
    use RecordType::{A, TXT};
    let lines = [
        check(&question("many.lab.test.", A, None), Transport::Udp),
        check(&question("many.lab.test.", A, Some(4096)), Transport::Udp),
        check(&question("many.lab.test.", A, None), Transport::Tcp),
        check(&question("note.lab.test.", TXT, None), Transport::Udp),
        check(&question("note.lab.test.", TXT, Some(100)), Transport::Udp),
        check(&question("note.lab.test.", TXT, Some(1000)), Transport::Udp),
    ];
    insta::assert_snapshot!(lines.join("\n"), @r"
    NOERROR tc aa 0 answers, 31 bytes, payload None
    NOERROR tc aa 0 answers, 42 bytes, payload Some(1232)
    NOERROR -- aa 200 answers, 4284 bytes, payload None
    NOERROR tc aa 0 answers, 31 bytes, payload None
    NOERROR tc aa 0 answers, 42 bytes, payload Some(1232)
    NOERROR -- aa 1 answers, 757 bytes, payload Some(1232)
    ");
}

#[test]
fn what_is_no_question_is_refused_shortly() {
    let mut update = question("a.lab.test.", RecordType::A, None);
    update.metadata.op_code = hickory_proto::op::OpCode::Update;
    let mut none = Message::query();
    none.metadata.recursion_desired = true;
    let mut two = question("a.lab.test.", RecordType::A, None);
    two.add_query(two.queries[0].clone());
    let mut future = question("a.lab.test.", RecordType::A, Some(1232));
    future.edns.as_mut().unwrap().set_version(1);
    let mut chaos = question("version.bind.", RecordType::TXT, None);
    chaos.queries[0].set_query_class(DNSClass::CH);
    let mut response = question("a.lab.test.", RecordType::A, None);
    response.metadata.message_type = MessageType::Response;
    let lines: Vec<String> = [update, none, two, future, chaos, response]
        .iter()
        .map(|message| check(message, Transport::Udp))
        .collect();
    insta::assert_snapshot!(lines.join("\n"), @r"
    NOTIMP -- -- 0 answers, 12 bytes, payload None
    FORMERR -- -- 0 answers, 12 bytes, payload None
    FORMERR -- -- 0 answers, 12 bytes, payload None
    BADVERS -- -- 0 answers, 39 bytes, payload Some(1232)
    REFUSED -- -- 0 answers, 30 bytes, payload None
    silence
    ");
}

#[test]
fn nobody_is_answered_who_cannot_have_asked() {
    let packet = bytes(&question("a.lab.test.", RecordType::A, None));
    let answered = |from: &str| {
        !matches!(answer(&zones(false), &packet, from.parse().unwrap(), Transport::Udp), Outcome::Silence)
    };
    for from in ["10.0.0.11:1024", "10.0.0.11:65535", "10.0.0.11:53", "[fe80::1]:5353"] {
        assert!(answered(from), "{from}");
    }
    for from in
        ["10.0.0.11:0", "10.0.0.11:7", "10.0.0.11:19", "10.0.0.11:123", "0.0.0.0:4000", "224.0.0.1:4000"]
    {
        assert!(!answered(from), "{from}");
    }
}

#[test]
fn other_names_are_asked_for_if_the_client_wants_it() {
    let mut packet = question("Example.COM.", RecordType::AAAA, Some(1232));
    let Outcome::Ask(ask) = answer(&zones(true), &bytes(&packet), CLIENT, Transport::Udp) else {
        panic!("it is not a name of the lab")
    };
    assert_eq!(
        (ask.question.name.to_string().as_str(), ask.question.record),
        ("example.com.", RecordType::AAAA)
    );
    let reply = ask.finish(OwnAnswer::bare(ResponseCode::NXDomain, Rule::Cache), 0);
    let reply = Message::from_vec(&reply.bytes).unwrap();
    assert!(reply.metadata.recursion_available && !reply.metadata.authoritative);
    assert_eq!(reply.queries, packet.queries, "letters are as they were asked");

    packet.metadata.recursion_desired = false;
    let Outcome::Reply(reply) = answer(&zones(true), &bytes(&packet), CLIENT, Transport::Udp) else {
        panic!("nobody is asked")
    };
    assert_eq!(Message::from_vec(&reply.bytes).unwrap().metadata.response_code, ResponseCode::Refused);
}

fn transports() -> impl Strategy<Value = Transport> {
    prop_oneof![Just(Transport::Udp), Just(Transport::Tcp)]
}

/// Random bytes, and valid queries with a few bytes changed.
fn packets() -> impl Strategy<Value = Vec<u8>> {
    let names = prop::sample::select(vec![
        "a.lab.test.",
        "many.lab.test.",
        "note.lab.test.",
        ".",
        "11.0.0.10.in-addr.arpa.",
    ]);
    let records = prop::sample::select(vec![
        RecordType::A,
        RecordType::ANY,
        RecordType::TXT,
        RecordType::AXFR,
        RecordType::SOA,
    ]);
    let requested = (names, records, prop::option::of(any::<u16>()))
        .prop_map(|(name, record, payload)| bytes(&question(name, record, payload)));
    let damage = prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..4);
    let damaged = (requested, damage, any::<prop::sample::Index>(), any::<bool>()).prop_map(
        |(mut packet, damage, cut, cuts)| {
            for (index, byte) in damage {
                let index = index.index(packet.len());
                packet[index] = byte;
            }
            packet.truncate(if cuts { cut.index(packet.len() + 1) } else { packet.len() });
            packet
        },
    );
    prop_oneof![prop::collection::vec(any::<u8>(), 0..600), damaged]
}

proptest! {
    #[test]
    fn no_bytes_do_harm(packet in packets(), transport in transports(), port in any::<u16>()) {
        let from = SocketAddr::new(CLIENT.ip(), port);
        let response = packet.get(2).is_some_and(|flags| flags & 0x80 != 0);
        match answer(&zones(true), &packet, from, transport) {
            Outcome::Silence => {}
            Outcome::Reply(Reply { bytes, .. }) => {
                prop_assert!(!response && packet.len() >= 12, "who answers is not answered");
                prop_assert_eq!(&bytes[..2], &packet[..2]);
                prop_assert!(bytes[2] & 0x80 != 0, "it is an answer");
                prop_assert!(transport == Transport::Tcp || bytes.len() <= 1232);
                let edns = Message::from_vec(&packet).ok().and_then(|requested| requested.edns);
                let room = edns.map_or(512, |edns| edns.max_payload().clamp(512, 1232));
                prop_assert!(transport == Transport::Tcp || bytes.len() <= usize::from(room));
                prop_assert!(transport == Transport::Tcp || zones(false).may_answer(from));
            }
            Outcome::Ask(ask) => {
                prop_assert!(!response);
                let reply = ask.finish(OwnAnswer::bare(ResponseCode::ServFail, Rule::Silence), 0);
                prop_assert!(reply.bytes.len() <= packet.len() + 64, "a refusal is no longer than a question");
            }
        }
    }
}
