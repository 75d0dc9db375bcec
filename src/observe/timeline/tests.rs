//! Lists of events, and their timelines.

use insta::assert_snapshot;
use proptest::prelude::*;

use super::*;
use crate::event::examples::{any_event, console, event, http, lease, tftp};
use crate::event::{Exchange, Known, Source};
use crate::name::Mac;

/// Returns the timeline of node `a` as text: a line for each stage, exchange and mark.
fn check(events: &[Event]) -> String {
    let timeline = Timeline::new(events);
    let mut text = String::new();
    write(&mut text, "others ", &timeline.others);
    for node in timeline.nodes.values() {
        write(&mut text, "before ", &node.before);
        for (index, boot) in node.boots.iter().enumerate() {
            let from = boot.from.map(|from| format!(" from {from}")).unwrap_or_default();
            text.extend([format!("boot {} {:?}{from}\n", index + 1, boot.by)]);
            for span in &boot.stages {
                let took = span.ended.map(|ended| format!(" {}", Took(ended.since(span.began))));
                text.extend([format!("  {}{}\n", span.stage, took.unwrap_or_default())]);
                write(&mut text, "    ", &span.entries);
            }
        }
    }
    text
}

fn write(text: &mut String, indent: &str, entries: &Entries) {
    for exchange in &entries.exchanges {
        let SeenExchange { began, service, sources, .. } = exchange;
        let sources: Vec<_> = sources.iter().map(Source::as_str).collect();
        let (asked, reply, sources) = (exchange.request(), exchange.reply(), sources.join("+"));
        text.extend([format!("{indent}{began} {service} {asked} -> {reply} [{sources}]\n")]);
    }
    for mark in &entries.marks {
        text.extend([format!("{indent}{} {}: {}\n", mark.at, mark.topic, mark.text)]);
    }
}

fn of(source: Source, exchange: &Exchange, event: Event) -> Event {
    Event { source, exchange: Some(exchange.clone()), ..event }
}

fn transaction() -> Exchange {
    Exchange::dhcp(Mac([0x52, 0x54, 0, 0, 0, 1]), 0x1a2b)
}

fn asked(request: &str) -> Known {
    Known::DhcpAsked {
        network: crate::name::NetworkName::new("lan").unwrap(),
        mac: Mac([0x52, 0x54, 0, 0, 0, 1]),
        request: request.into(),
        client: "firmware".into(),
        architecture: Some(7),
        vendor_class: None,
        relay: None,
    }
}

#[test]
fn each_exchange_is_in_the_stage_in_which_it_began() {
    let a = Some("a");
    let events = [
        event(100, a, Known::PoweredOn {}),
        event(600, a, lease("ipxe", "offer")),
        event(610, a, lease("ipxe", "ack")),
        event(700, a, tftp("ipxe.efi", "sent")),
        event(800, a, http("script", 200, true)),
        event(1800, a, http("kernel", 200, true)),
        event(1900, a, http("initrd", 404, true)),
        event(2000, a, console("Linux version 6.1")),
        event(5000, a, console("a login:")),
        event(9000, a, Known::Reset { why: PowerCause::Guest }),
        event(9500, a, console("Linux version 6.1")),
        event(9900, None, Known::TearDownStarted { why: "test".to_owned() }),
        event(9950, a, Known::PoweredOff { why: PowerCause::Down }),
    ];
    assert_snapshot!(check(&events));
}

#[test]
fn an_exchange_of_two_sources_is_one() {
    use Source::{Service, Wire};
    let a = Some("a");
    let id = transaction();
    let file = Exchange::tftp("10.0.0.10:1024".parse().unwrap());
    let transfer = |ms, retransmits| {
        let Known::TftpServed { path, outcome, bytes, ms: took, mode, blksize, windowsize, server, .. } =
            tftp("ipxe.efi", "sent")
        else {
            unreachable!("it is one")
        };
        let (role, rule) = (None, String::new());
        let known = Known::TftpServed {
            path,
            outcome,
            bytes,
            ms: took,
            role,
            format: None,
            rule,
            mode,
            blksize,
            windowsize,
            retransmits,
            server,
        };
        event(ms, a, known)
    };
    let power = event(0, a, Known::PoweredOn {});
    let service_first = [
        power.clone(),
        of(Wire, &id, event(500, a, asked("discover"))),
        of(Service, &id, event(510, a, lease("firmware", "offer"))),
        of(Wire, &id, event(511, a, lease("firmware", "offer"))),
        of(Wire, &id, event(520, a, asked("request"))),
        of(Service, &id, event(530, a, lease("firmware", "ack"))),
        of(Wire, &id, event(531, a, lease("firmware", "ack"))),
        of(Service, &file, event(700, a, tftp("ipxe.efi", "sent"))),
        of(Wire, &file, transfer(701, 3)),
    ];
    assert_snapshot!(check(&service_first), @"
    boot 1 PoweredOn
      firmware 530 ms
        0.5s dhcp discover as firmware, architecture 7 -> offer 10.0.0.10 (reservation) [wire+service]
        0.5s dhcp request as firmware, architecture 7 -> ack 10.0.0.10 (reservation) [wire+service]
      dhcp 170 ms
        0.6s tftp ipxe.efi -> sent, 1.0 MB in 30 ms, 3 packets again (loader, plan) [service+wire]
      nbp
    ");
    let wire_first = [
        power,
        of(Wire, &file, transfer(699, 3)),
        of(Service, &file, event(700, a, tftp("ipxe.efi", "sent"))),
        // The same file again is another transfer, of another port.
        of(Wire, &Exchange::tftp("10.0.0.10:1025".parse().unwrap()), transfer(900, 0)),
    ];
    assert_snapshot!(check(&wire_first));
}

#[test]
fn two_servers_are_two_answers_and_a_repeated_request_is_one() {
    use Source::{Service, Wire};
    let a = Some("a");
    let id = transaction();
    let other = |ms| {
        let mut event = event(ms, a, lease("firmware", "offer"));
        if let crate::event::Kind::Known(Known::DhcpReplied { server, rule, .. }) = &mut event.kind {
            (*server, *rule) = (Some([10, 0, 0, 2].into()), String::new());
        }
        event
    };
    let events = [
        event(0, a, Known::PoweredOn {}),
        of(Wire, &id, event(500, a, asked("discover"))),
        of(Wire, &id, other(509)),
        of(Service, &id, event(510, a, lease("firmware", "offer"))),
        of(Wire, &id, event(511, a, lease("firmware", "offer"))),
        of(Service, &id, event(900, a, lease("firmware", "offer"))),
        of(Wire, &id, event(901, a, lease("firmware", "offer"))),
    ];
    let timeline = Timeline::new(&events);
    let exchanges = &timeline.nodes.values().next().unwrap().boots[0].stages[0].entries.exchanges;
    assert_eq!(exchanges.len(), 1);
    assert_eq!((exchanges[0].times, exchanges[0].answers.len()), (2, 2));
    assert_snapshot!(exchanges[0].reply(), @"offer 10.0.0.10 from 10.0.0.2; offer 10.0.0.10 (reservation)");
}

#[test]
fn the_version_of_dhcp_is_that_of_the_exchange() {
    let a = Some("a");
    let id = Exchange::dhcpv6("fe80::1".parse().unwrap(), [1, 2, 3]);
    let events = [event(0, a, Known::PoweredOn {}), of(Source::Wire, &id, event(500, a, asked("request")))];
    assert_snapshot!(check(&events), @r"
    boot 1 PoweredOn
      firmware
        0.5s dhcpv6 request as firmware, architecture 7 -> no answer seen [wire]
    ");
}

#[test]
fn a_solicitation_is_answered_by_the_next_advertisement() {
    let a = Some("a");
    let network = || crate::name::NetworkName::new("lan").unwrap();
    let solicited = || Known::RouterSolicited { network: network() };
    let advertised = || Known::RouterAdvertised { network: network(), router: None };
    let events = [
        event(0, a, Known::PoweredOn {}),
        event(500, a, solicited()),
        event(510, a, advertised()),
        event(900, a, advertised()),
        event(950, a, solicited()),
    ];
    assert_snapshot!(check(&events), @r"
    boot 1 PoweredOn
      firmware
        0.5s ra router -> advertised [wire+service]
        0.9s ra router -> advertised [service]
        0.9s ra router -> no answer seen [wire]
    ");
}

#[test]
fn what_was_not_answered_and_what_goes_on_is_said() {
    use Source::{Service, Wire};
    let a = Some("a");
    let id = transaction();
    let unanswered = Known::Unanswered {
        network: crate::name::NetworkName::new("lan").unwrap(),
        service: "dhcp".into(),
        what: "discover".to_owned(),
        server: None,
        times: 4,
    };
    let file = Exchange::http("10.0.0.10:40000".parse().unwrap());
    let progress = |bytes| Known::Fetching { path: "/boot/kernel".to_owned(), bytes, total: Some(8_000_000) };
    let mut events = vec![
        event(0, a, Known::PoweredOn {}),
        of(Wire, &id, event(500, a, asked("discover"))),
        of(Wire, &id, event(9000, a, unanswered)),
        of(Service, &file, event(10_000, a, progress(2_000_000))),
        of(Service, &file, event(11_000, a, progress(4_000_000))),
    ];
    assert_snapshot!(check(&events), @"
    boot 1 PoweredOn
      firmware
        0.5s dhcp discover as firmware, architecture 7 -> no answer, asked 4 times [wire]
        10s fetch /boot/kernel -> sending 4.0 MB of 8.0 MB [service]
    ");
    events.push(of(Service, &file, event(12_000, a, http("kernel", 200, true))));
    let text = check(&events);
    assert!(text.contains("http GET /boot/kernel -> 200, 6.1 MB in 2s (kernel, plan)"), "{text}");
    assert!(!text.contains("fetch"), "{text}");
}

#[test]
fn the_cause_of_a_decision_is_what_happened_at_its_instant() {
    let decided = |expect: &str| Known::ExpectationDecided {
        expect: ExpectName::new(expect).unwrap(),
        met: true,
        seen: String::new(),
    };
    let process = ProcessName::new("apply").unwrap();
    let ended = Known::ProcessEnded { process: process.clone(), exit: Some(0), status: String::new() };
    let events = [
        event(0, None, Known::ProcessStarted { process }),
        event(10, Some("a"), Known::PoweredOn {}),
        event(10, Some("a"), decided("one")),
        event(20, None, ended),
        event(20, None, decided("two")),
        event(30, None, decided("three")),
        event(40, None, Known::TearDownStarted { why: String::new() }),
        event(40, Some("a"), decided("four")),
    ];
    let timeline = Timeline::new(&events);
    let by = timeline.decisions.iter().map(|decided| format!("{:?}", decided.by));
    assert_snapshot!(by.collect::<Vec<_>>().join(", "), @r#"Node(NodeName("a")), Process(ProcessName("apply")), Time, End"#);
    assert_eq!(timeline.processes[0].ended.map(|at| at.as_nanos()), Some(20_000_000));
}

proptest! {
    #[test]
    fn stages_follow_each_other_and_nothing_is_lost(events in prop::collection::vec(any_event(), 0..60)) {
        let timeline = Timeline::new(&events);
        let (mut marks, mut exchanges) = (timeline.others.marks.len(), timeline.others.exchanges.len());
        for node in timeline.nodes.values() {
            let spans: Vec<_> = node.boots.iter().flat_map(|boot| &boot.stages).collect();
            for pair in spans.windows(2) {
                prop_assert_eq!(pair[0].ended, Some(pair[1].began));
            }
            for entries in spans.iter().map(|span| &span.entries).chain([&node.before]) {
                marks += entries.marks.len();
                exchanges += entries.exchanges.len();
            }
        }
        let mut fold = TimelineFold::default();
        let happened: Vec<_> = events.iter().flat_map(|event| fold.apply(event)).collect();
        let of_lab = |mark: &Mark| ["run", "step", "process"].contains(&mark.topic.as_str());
        let told = happened.iter().filter(|one| matches!(one, Happened::Mark { mark, .. } if !of_lab(mark)));
        prop_assert_eq!(told.count(), marks);
        let told = happened.iter().filter(|one| matches!(one, Happened::Exchange { .. })).count();
        // Requests without an answer are not told.
        prop_assert!(told <= exchanges, "{} of {}", told, exchanges);
        drop(serde_json::to_string(&timeline).unwrap());
    }
}
