use std::collections::HashMap;
use std::fmt::Write as _;
use std::sync::{Arc, Mutex};

use super::*;
use crate::event::examples::{self, event, lease};
use crate::event::{Event, Exchange, FileRole, Instant, Kind, TftpOutcome};
use crate::expect::{Judge, Outcome};
use crate::lab::{Count, Expectation, Fetched, ObservedCheck, Pattern, Polarity};
use crate::name::{ExpectName, NetworkName};
use crate::observe::{Snapshot, Telling};

const NODE: Mac = Mac([0x52, 0x54, 0, 0, 0, 1]);
/// A boot from a server at 10.0.0.5: milliseconds since the last frame, length, frame.
const DIALOGUE: &[u8] = include_bytes!("../../../tests/fuzz/seeds/frames/dnsmasq");

#[test]
fn of_a_real_segment_only_frames_of_the_lab_and_to_all_are_taken() {
    let (node, bridge, stranger) =
        (Mac([2, 0, 0, 0, 0, 1]), Mac([2, 0, 0, 0, 0, 9]), Mac([2, 7, 7, 7, 7, 7]));
    let stations = BTreeSet::from([node, bridge]);
    let frame = |to: Mac, from: Mac| [&to.0[..], &from.0, &[8, 0, 1]].concat();
    assert!(concerns(&stations, &frame(node, stranger)));
    assert!(concerns(&stations, &frame(stranger, bridge)));
    assert!(concerns(&stations, &frame(Mac([0xff; 6]), stranger)));
    assert!(concerns(&stations, &frame(Mac([0x33, 0x33, 0, 0, 0, 1]), stranger)));
    assert!(!concerns(&stations, &frame(Mac([2, 8, 8, 8, 8, 8]), stranger)));
    assert!(!concerns(&stations, &[0xff; 11]));
}

fn name(text: &str) -> NodeName {
    NodeName::new(text).unwrap()
}

/// The dissector of a lab whose services have the address 10.0.0.5.
fn dissector() -> Dissector {
    let services =
        OwnServices { dhcp: true, dhcp6: true, tftp: true, dns: true, advertisements: true, http: vec![80] };
    let segment = Segment {
        ipv4: Some("10.0.0.5/24".parse().unwrap()),
        ipv6: Some("fd00:83::5/64".parse().unwrap()),
        own: Some(Mac([2, 0, 0, 0, 0, 5])),
        services,
        ..Segment::foreign(NetworkName::new("lan").unwrap())
    };
    Dissector::new(vec![segment], Machines::Named(HashMap::from([(NODE, name("a"))])))
}

/// Reads the dialogue, then lets five minutes pass.
fn dialogue(mut frame: impl FnMut(Duration, &[u8])) -> RunTime {
    let (mut rest, mut at) = (DIALOGUE, Duration::ZERO);
    while let Some(([_, pause, high, low], tail)) = rest.split_first_chunk() {
        let (bytes, tail) = tail.split_at(usize::from(u16::from_be_bytes([*high, *low])));
        at += Duration::from_millis((*pause).into());
        frame(at, bytes);
        rest = tail;
    }
    RunTime::from(at + Duration::from_secs(300))
}

/// All that the frames show.
fn shown() -> Vec<Seen> {
    let (mut dissector, mut seen) = (dissector(), Vec::new());
    let end = dialogue(|at, bytes| {
        let (at, length) = (at.into(), bytes.len());
        dissector
            .frame(Frame { at, number: None, segment: 0, link: Link::Ethernet, bytes, length }, &mut seen);
    });
    dissector.pass(end, &mut seen);
    seen
}

/// What the observer of frames reports of them.
fn reported() -> Vec<Event> {
    let events: Arc<Mutex<Vec<Event>>> = Arc::default();
    let sink = Arc::clone(&events);
    let wall = "2027-01-01T00:00:00Z".parse().unwrap();
    let now = Instant { at: Duration::from_secs(3600).into(), wall };
    let emitter = Emitter::new(move || now, move |event| sink.lock().unwrap().push(event));
    let mut wire = Wire {
        networks: vec![CapturedNetwork {
            network: NetworkName::new("lan").unwrap(),
            interface: crate::name::IfName::new("lan0").unwrap(),
            ports: Vec::new(),
            stations: None,
        }],
        payload: false,
        dissector: dissector(),
        addresses: Addresses::default(),
        events: emitter.of(Source::Wire),
        began: Duration::ZERO,
        seen: Vec::new(),
        problem: None,
    };
    let end = dialogue(|at, data| {
        let frame = SeenFrame { network: 0, at, number: None, data, length: data.len() };
        assert!(wire.frame(&frame).is_some());
    });
    wire.dissector.pass(end, &mut wire.seen);
    wire.tell();
    std::mem::take(&mut events.lock().unwrap())
}

/// What the services of the lab report of the same dialogue.
fn served() -> Vec<(Exchange, Known)> {
    let lease = |reply| {
        let mut known = lease("firmware", reply);
        if let Known::DhcpReplied { address, .. } = &mut known {
            *address = Some([10, 0, 0, 33].into());
        }
        (Exchange::dhcp(NODE, 0x8804_8150), known)
    };
    let client = |port: u16| ([10, 0, 0, 33], port).into();
    let tftp = |port, path: &str, is: TftpOutcome, of: Option<FileRole>| {
        let mut known = examples::tftp(path, "sent");
        if let Known::TftpServed { outcome, role, .. } = &mut known {
            (*outcome, *role) = (is, of);
        }
        (Exchange::tftp(client(port)), known)
    };
    let http = |port, verb: &str, at: &str, status, of: Option<FileRole>| {
        let mut known = examples::http("file", status, true);
        if let Known::HttpServed { method, path, role, .. } = &mut known {
            (*method, *path, *role) = (verb.to_owned(), at.to_owned(), of);
        }
        (Exchange::http(client(port)), known)
    };
    let dns = |port, id, name: &str, code: &str| {
        let known = Known::DnsAnswered {
            name: name.to_owned(),
            record: "A".to_owned(),
            code: code.into(),
            rule: "lab record".to_owned(),
            answer: Vec::new(),
            bytes: 42,
            us: 80,
            count: None,
            server: None,
        };
        (Exchange::dns(client(port), id), known)
    };
    let kernel = || Some(FileRole::Kernel);
    vec![
        lease("offer"),
        lease("offer"),
        lease("ack"),
        tftp(44865, "loader.efi", TftpOutcome::Sent, Some(FileRole::Loader)),
        tftp(41863, "vmlinuz", TftpOutcome::Sent, kernel()),
        tftp(40726, "missing", TftpOutcome::NotFound, None),
        http(54164, "GET", "/boot.ipxe", 200, Some(FileRole::Script)),
        http(54174, "GET", "/vmlinuz", 200, kernel()),
        http(54182, "HEAD", "/vmlinuz", 200, kernel()),
        http(54186, "GET", "/vmlinuz", 200, kernel()),
        http(54192, "GET", "/nothing", 404, None),
        dns(38046, 0xd34e, "boot.lab.", "NOERROR"),
        dns(39537, 0x31ee, "nowhere.example.", "REFUSED"),
    ]
}

/// The same as events, at the instants at which the frames show them.
fn of_services(shown: &[Seen]) -> Vec<Event> {
    let mut left: Vec<&Seen> = shown.iter().collect();
    let place = |(exchange, known): (Exchange, Known)| {
        let fact = known.fact();
        let index = left
            .iter()
            .position(|seen| seen.exchange.as_ref() == Some(&exchange) && seen.known.fact() == fact)
            .unwrap_or_else(|| panic!("the frames show no `{}` in {exchange}", fact.unwrap_or_default()));
        let at = left.remove(index).at;
        Event { at, exchange: Some(exchange), source: Source::Service, ..event(0, Some("a"), known) }
    };
    served().into_iter().map(place).collect()
}

/// What is known of the node after these events, how often it fetched what, and how many answers counted.
fn folded(events: &[&[Event]]) -> String {
    let power = Event { source: Source::Qmp, ..event(0, Some("a"), Known::PoweredOn {}) };
    let mut all: Vec<&Event> = [&power].into_iter().chain(events.iter().copied().flatten()).collect();
    // Those of the same instant stay in the order of the lists.
    all.sort_by_key(|event| event.at);
    let fetched = [
        ("loader.efi$", 1, None, None),
        ("vmlinuz$", 3, None, None),
        ("^/boot.ipxe$", 1, None, None),
        ("^/vmlinuz$", 1, Some("HEAD"), None),
        ("^/nothing$", 1, None, Some(404)),
    ];
    let expectations = fetched.into_iter().enumerate().flat_map(|(index, (path, times, method, status))| {
        // So often, and not once more.
        let senses = [(Polarity::Must, times), (Polarity::Never, times + 1)];
        senses.map(|(sense, times)| {
            let name = ExpectName::new(&format!("e{index}-{times}")).unwrap();
            let (path, method) = (Pattern::new(path).unwrap(), method.map(str::to_owned));
            let fetched = Fetched { path, often: Count::AtLeast(times), method, status, server: None };
            let expectation = Expectation {
                name: name.clone(),
                nodes: vec![self::name("a")],
                after: None,
                within: (sense == Polarity::Must).then_some(Duration::from_secs(600)),
                holds: Duration::ZERO,
                progress: None,
                quorum: None,
                sense,
                check: ObservedCheck::Fetched(fetched).into(),
            };
            (name, expectation)
        })
    });
    let mut judge = Judge::new(&expectations.collect());
    let mut snapshot = Snapshot::new([]);
    let mut counted = 0;
    for event in all {
        let telling = snapshot.apply(event).telling;
        let Kind::Known(known) = &event.kind else { unreachable!("only such were made") };
        counted += usize::from(telling == Telling::News && known.fact().is_some());
        judge.apply(event, telling, &snapshot);
    }
    judge.finish(RunTime::from(Duration::from_secs(600)), &snapshot);
    let view = &snapshot.nodes[&name("a")];
    let mut text = format!("boots {}, {counted} answers, address {:?}\n", view.boots, view.address);
    for (stage, at) in &view.timeline {
        writeln!(text, "{stage} at {} ms", at.elapsed().as_millis()).unwrap();
    }
    for boot in &view.booted {
        writeln!(text, "from {:?}: {}", boot.from, boot.by).unwrap();
    }
    for verdict in judge.verdicts(&snapshot) {
        let (word, why) = match verdict.outcome {
            Outcome::Met { why, .. } => ("met", why),
            Outcome::Missed { why, .. } => ("missed", why),
            other => panic!("it is decided by now: {other:?}"),
        };
        writeln!(text, "{}: {word}: {why}", verdict.what).unwrap();
    }
    text
}

#[test]
fn an_answer_that_a_service_and_the_wire_report_counts_once() {
    let shown = shown();
    let services = of_services(&shown);
    let alone = folded(&[&services]);
    insta::assert_snapshot!(alone, @r"
    boots 1, 13 answers, address Some(10.0.0.33)
    firmware at 0 ms
    dhcp at 1961 ms
    nbp at 2093 ms
    kernel at 2106 ms
    from Some(Network): `vmlinuz` by TFTP
    fetched /loader.efi$/ within 10m: met: it was fetched once
    never fetched /loader.efi$/ at least 2 times: met: it did not happen to the end of the run
    fetched /vmlinuz$/ at least 3 times within 10m: met: it was fetched 3 times
    never fetched /vmlinuz$/ at least 4 times: met: it did not happen to the end of the run
    fetched /^/boot.ipxe$/ within 10m: met: it was fetched once
    never fetched /^/boot.ipxe$/ at least 2 times: met: it did not happen to the end of the run
    fetched HEAD /^/vmlinuz$/ within 10m: met: it was fetched once
    never fetched HEAD /^/vmlinuz$/ at least 2 times: met: it did not happen to the end of the run
    fetched /^/nothing$/ with 404 within 10m: met: it was fetched once
    never fetched /^/nothing$/ with 404 at least 2 times: met: it did not happen to the end of the run
    ");

    // As a run does it: of the lab's own answers, the observer says nothing.
    let wire = reported();
    let is_answer = |event: &&Event| matches!(&event.kind, Kind::Known(known) if known.fact().is_some());
    assert_eq!(wire.iter().filter(is_answer).count(), 0);
    assert!(wire.len() > 5, "but of much else");
    assert_eq!(folded(&[&services, &wire]), alone);
    assert_eq!(folded(&[&wire, &services]), alone);

    // And if another capture reports all of it, the fold knows what it was told already.
    let everything = |exchange: bool| -> Vec<Event> {
        let event = |seen: &Seen| {
            let event = event(0, seen.node.as_ref().map(NodeName::as_str), seen.known.clone());
            let exchange = seen.exchange.clone().filter(|_| exchange);
            Event { at: seen.at, exchange, source: Source::Wire, ..event }
        };
        shown.iter().map(event).collect()
    };
    assert_eq!(folded(&[&services, &everything(true)]), alone);
    assert_eq!(folded(&[&everything(true), &services]), alone);
    assert_eq!(folded(&[&everything(true)]), alone, "and the frames alone tell the same");
    // By nothing but their exchanges.
    let twice = folded(&[&services, &everything(false)]);
    assert!(twice.contains("26 answers"), "{twice}");
    assert_eq!(twice.matches("missed: it happened").count(), 5, "{twice}");
}
