//! The dialogues of two runs, and where they part.
//!
//! A dialogue is who asked what and what was answered, boot by boot. It leaves out what differs between two runs of one
//! lab: instants, durations, ports, identifiers, sizes, how often something was repeated, and addresses that a server
//! chose. What a system asks once it is up comes in an order of its own in each run, so it is sorted; requests for
//! names are sorted in any stage. Router advertisements and NTP come when they come, and are left out.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;
use similar::{Algorithm, DiffOp, capture_diff_slices, group_diff_ops};

use super::trace::{Line, Tone};
use crate::event::{DhcpMessage, RunTime, Service, Source, Stage};
use crate::name::NodeName;
use crate::observe::{
    Answer, Boot, DecidedBy, Entries, ExchangeOutcome, NodeTimeline, SeenExchange, Timeline,
};

/// How many equal lines are shown around a difference.
const CONTEXT: usize = 3;

/// How the dialogues of two runs differ.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RunDiff {
    /// Whether no dialogue differs.
    pub same: bool,
    /// The dialogue of each node that is in one of the runs.
    pub nodes: BTreeMap<NodeName, NodeDiff>,
}

/// How the dialogue of a node differs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct NodeDiff {
    /// Whether it does not differ.
    pub same: bool,
    /// The first difference, with some lines before and after it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub first: Vec<DiffLine>,
    /// How many other places differ.
    #[serde(skip_serializing_if = "is_zero")]
    pub more: usize,
}

fn is_zero(number: &usize) -> bool {
    *number == 0
}

/// A line of a dialogue.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct DiffLine {
    /// Which of the runs has it.
    pub of: RunSide,
    /// The line.
    pub text: String,
}

/// Which of two runs has a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum RunSide {
    /// Both.
    Both,
    /// The first.
    First,
    /// The second.
    Second,
}

/// Compares the dialogues of two runs, node by node.
pub fn diff(first: &Timeline, second: &Timeline) -> RunDiff {
    // Without a capture, a run knows less of the same dialogue.
    let wire = has_wire(first) && has_wire(second);
    let [first, second] = [first, second].map(|timeline| dialogues(timeline, wire));
    let names: BTreeSet<&NodeName> = first.keys().chain(second.keys()).collect();
    let nodes: BTreeMap<NodeName, NodeDiff> = names
        .into_iter()
        .map(|name| {
            let of = |dialogues: &BTreeMap<NodeName, Vec<String>>| {
                dialogues.get(name).cloned().unwrap_or_default()
            };
            (name.clone(), NodeDiff::new(&of(&first), &of(&second)))
        })
        .collect();
    RunDiff { same: nodes.values().all(|node| node.same), nodes }
}

fn has_wire(timeline: &Timeline) -> bool {
    let nodes = timeline.nodes.values().flat_map(all);
    nodes.flat_map(|entries| &entries.exchanges).any(|exchange| exchange.sources.contains(&Source::Wire))
}

fn all(node: &NodeTimeline) -> impl Iterator<Item = &Entries> {
    let spans = node.boots.iter().flat_map(|boot| &boot.stages).map(|span| &span.entries);
    [&node.before].into_iter().chain(spans)
}

impl NodeDiff {
    fn new(first: &[String], second: &[String]) -> Self {
        let groups = group_diff_ops(capture_diff_slices(Algorithm::Myers, first, second), CONTEXT);
        let mut lines = Vec::new();
        for op in groups.first().into_iter().flatten() {
            let (old, new) = (&first[op.old_range()], &second[op.new_range()]);
            let line = |of| move |text: &String| DiffLine { of, text: text.clone() };
            match op {
                DiffOp::Equal { .. } => lines.extend(old.iter().map(line(RunSide::Both))),
                DiffOp::Delete { .. } | DiffOp::Insert { .. } | DiffOp::Replace { .. } => {
                    lines.extend(old.iter().map(line(RunSide::First)));
                    lines.extend(new.iter().map(line(RunSide::Second)));
                }
            }
        }
        Self { same: groups.is_empty(), first: lines, more: groups.len().saturating_sub(1) }
    }
}

/// Returns the dialogue of each node, up to the last expectation that was decided before the end of the run.
fn dialogues(timeline: &Timeline, wire: bool) -> BTreeMap<NodeName, Vec<String>> {
    let decided = timeline.decisions.iter().filter(|decided| decided.by != DecidedBy::End);
    let until = decided.map(|decided| decided.at).max().unwrap_or(timeline.end());
    let nodes = timeline.nodes.iter();
    nodes.map(|(name, node)| (name.clone(), dialogue(node, until, wire))).collect()
}

fn dialogue(node: &NodeTimeline, until: RunTime, wire: bool) -> Vec<String> {
    let mut lines = Vec::new();
    lines.extend(section(&[(Stage::Off, &node.before)], until, wire));
    for (index, boot) in node.boots.iter().enumerate().filter(|(_, boot)| boot.began <= until) {
        lines.push(heading(index, boot));
        let stages: Vec<_> = boot.stages.iter().map(|span| (span.stage, &span.entries)).collect();
        lines.extend(section(&stages, until, wire));
    }
    lines
}

fn heading(index: usize, boot: &Boot) -> String {
    let from = boot.from.map(|from| format!(" from {}", from.with_article())).unwrap_or_default();
    format!("boot {}{from}", index + 1)
}

/// Returns the lines of a boot: in order up to the system, then sorted.
fn section(stages: &[(Stage, &Entries)], until: RunTime, wire: bool) -> Vec<String> {
    let (mut lines, mut sorted) = (Vec::new(), BTreeSet::new());
    for (stage, entries) in stages {
        for exchange in entries.exchanges.iter().filter(|exchange| exchange.began <= until) {
            let only_wire = exchange.sources.iter().all(|source| *source == Source::Wire);
            let Some(rank) = rank(&exchange.service).filter(|_| wire || !only_wire) else { continue };
            let line = line(exchange, wire);
            if rank == Rank::InOrder && !matches!(stage, Stage::Os | Stage::Off) {
                // A repeated request is no other dialogue.
                if lines.last() != Some(&line) {
                    lines.push(line);
                }
            } else {
                sorted.insert((rank, line));
            }
        }
    }
    let rest: Vec<String> =
        sorted.into_iter().map(|(_, line)| line).filter(|line| !lines.contains(line)).collect();
    lines.extend(rest);
    lines
}

/// How the requests of a protocol are ordered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Rank {
    /// As they were asked.
    InOrder,
    /// iPXE configures IPv4 and IPv6 at the same time.
    Aside,
    /// Names are asked for whenever something needs them.
    Names,
}

/// Returns the order of the requests of a protocol; `None` if they say nothing about a dialogue.
fn rank(service: &Service) -> Option<Rank> {
    match service {
        Service::Dhcp
        | Service::Tftp
        | Service::Http
        | Service::Https
        | Service::Grpc
        | Service::Matchbox
        | Service::Tcp
        | Service::Other(_) => Some(Rank::InOrder),
        Service::Dhcpv6 => Some(Rank::Aside),
        Service::Dns => Some(Rank::Names),
        Service::Ra
        | Service::Ntp
        | Service::Syslog
        | Service::Neighbours
        | Service::Probe
        | Service::Port
        | Service::Arp
        | Service::Ndp
        | Service::Capture
        | Service::Screen
        | Service::Bmc => None,
    }
}

fn line(exchange: &SeenExchange, wire: bool) -> String {
    let SeenExchange { service, asked, client, about, answers, outcome, .. } = exchange;
    let client = client.as_ref().map(|client| format!(" as {client}")).unwrap_or_default();
    let about = about.iter().filter(|_| wire);
    let about: String = about.map(|about| format!(", {about}")).collect();
    let mut replies: Vec<String> = answers.iter().map(|answer| reply(service, answer)).collect();
    // Which of two servers is faster is chance.
    replies.sort_unstable();
    replies.dedup();
    let reply = match outcome {
        ExchangeOutcome::Unanswered => "no answer".to_owned(),
        ExchangeOutcome::Open => "no answer seen".to_owned(),
        ExchangeOutcome::Answered
        | ExchangeOutcome::Refused
        | ExchangeOutcome::Aborted
        | ExchangeOutcome::Failed => replies.join("; "),
    };
    let asked = if *service == Service::Other("udp".to_owned()) || *service == Service::Tcp {
        without_port(asked)
    } else {
        asked.clone()
    };
    format!("{:<7} {asked}{client}{about} → {reply}", service.as_str())
}

/// Removes a port that a client chose.
fn without_port(socket: &str) -> String {
    match socket.rsplit_once(':') {
        Some((address, port)) if port.parse::<u16>().is_ok_and(|port| port >= 1024) => address.to_owned(),
        _ => socket.to_owned(),
    }
}

fn reply(service: &Service, answer: &Answer) -> String {
    let Answer {
        at: _,
        what,
        server,
        address,
        boot_file,
        details,
        role,
        rule,
        bytes: _,
        total: _,
        retransmits: _,
    } = answer;
    let mut text = vec![what.clone()];
    let reserved = rule.starts_with("reserved");
    if let Some(address) = address {
        let gives = [DhcpMessage::Offer, DhcpMessage::Ack, DhcpMessage::Advertise, DhcpMessage::Reply];
        text.push(match reserved {
            true => format!(" {address}"),
            false if gives.iter().any(|message| message.as_str() == what) => " an address".to_owned(),
            false => String::new(),
        });
    }
    if let Some(server) = server {
        text.push(format!(" from {server}"));
    }
    if let Some(file) = boot_file {
        text.push(format!(", boot file {file}"));
    }
    // The records of other servers rotate.
    if *service != Service::Dns {
        text.extend(details.iter().map(|detail| format!(", {detail}")));
    }
    let rule = match service {
        // The second of two equal questions is answered from the cache.
        Service::Dns if rule == "cache" || rule.starts_with("upstream") => "upstream",
        _ => rule,
    };
    let role = role.as_ref().map(|role| role.as_str());
    let why: Vec<&str> = role.into_iter().chain(Some(rule).filter(|rule| !rule.is_empty())).collect();
    if !why.is_empty() {
        text.push(format!(" ({})", why.join(", ")));
    }
    text.concat()
}

impl RunDiff {
    /// Returns the first difference of each node as lines, after the names of the runs.
    pub fn lines(&self, first: &str, second: &str) -> Vec<Line> {
        let line = |tone, text: String| {
            let tame = |c: char| if c.is_control() { '\u{fffd}' } else { c };
            Line { tone, text: text.chars().map(tame).chain(['\n']).collect() }
        };
        let mut lines = Vec::new();
        if !self.same {
            lines.push(line(Tone::Trouble, format!("--- {first}")));
            lines.push(line(Tone::Met, format!("+++ {second}")));
        }
        for (name, node) in &self.nodes {
            if node.same {
                lines.push(line(Tone::Heading, format!("{name}: same dialogue")));
                continue;
            }
            let more = match node.more {
                0 => String::new(),
                1 => ", and one more further on".to_owned(),
                more => format!(", and {more} more further on"),
            };
            lines.push(line(Tone::Heading, format!("{name}: first difference{more}")));
            lines.extend(node.first.iter().map(|DiffLine { of, text }| match of {
                RunSide::Both => line(Tone::Plain, format!("  {text}")),
                RunSide::First => line(Tone::Trouble, format!("- {text}")),
                RunSide::Second => line(Tone::Met, format!("+ {text}")),
            }));
        }
        lines
    }
}

#[cfg(test)]
mod tests {
    use insta::assert_snapshot;
    use proptest::prelude::*;

    use super::*;
    use crate::event::examples::{any_event, console, event, http, lease, tftp};
    use crate::event::{Event, Exchange, Known, PowerCause};
    use crate::name::Mac;

    fn text(first: &[Event], second: &[Event]) -> String {
        let diff = diff(&Timeline::new(first), &Timeline::new(second));
        diff.lines("one", "two").into_iter().map(|line| line.text).collect()
    }

    fn dns(ms: u64, record: &str, rule: &str) -> Event {
        let known = Known::DnsAnswered {
            name: "deb.debian.org.".to_owned(),
            record: record.to_owned(),
            code: "NOERROR".into(),
            rule: rule.to_owned(),
            answer: vec![format!("10.0.0.{}", ms % 100)],
            bytes: ms,
            us: ms,
            count: None,
            server: None,
        };
        event(ms, Some("a"), known)
    }

    /// A boot that is the same dialogue for every pace.
    fn boot(pace: u64, kernel: &str) -> Vec<Event> {
        let a = Some("a");
        let exchange = Exchange::dhcp(Mac([2; 6]), pace as u32);
        let of = |event: Event| Event { exchange: Some(exchange.clone()), ..event };
        let mut events = vec![
            event(100, a, Known::PoweredOn {}),
            of(event(500 * pace, a, lease("ipxe", "offer"))),
            of(event(510 * pace, a, lease("ipxe", "ack"))),
            event(600 * pace, a, tftp("undionly.kpxe", "sent")),
            event(700 * pace, a, http("script", 200, true)),
            event(1800 * pace, a, http(kernel, 200, true)),
            event(2000 * pace, a, console("Linux version 6.1")),
            event(5000 * pace, a, console("a login:")),
        ];
        let names = [dns(6001 * pace, "A", "cache"), dns(6000 * pace, "AAAA", "upstream 10.0.0.1")];
        events.extend(names);
        if pace > 1 {
            // A repeated request, and names in another order.
            events.insert(2, of(event(505 * pace, a, lease("ipxe", "offer"))));
            events.insert(3, dns(507 * pace, "A", "upstream 10.0.0.1"));
            let last = events.len() - 1;
            events.swap(last, last - 1);
        }
        events
    }

    #[test]
    fn two_runs_at_another_pace_are_the_same_dialogue() {
        assert_snapshot!(text(&boot(1, "kernel"), &boot(3, "kernel")), @"a: same dialogue");
    }

    #[test]
    fn the_first_difference_is_shown_with_what_is_around_it() {
        let mut second = boot(2, "other");
        second.push(event(20_000, Some("a"), Known::Reset { why: PowerCause::Guest }));
        second.push(event(20_100, Some("b"), Known::PoweredOn {}));
        assert_snapshot!(text(&boot(1, "kernel"), &second));
    }

    #[test]
    fn an_address_that_the_server_chose_is_no_difference() {
        let with = |last: u8, rule_of: &str| {
            let Known::DhcpReplied {
                network, mac, request, reply, boot_file, client, server, bytes, us, ..
            } = lease("os", "ack")
            else {
                unreachable!("it is one")
            };
            let (address, rule) = (Some([10, 0, 0, last].into()), rule_of.to_owned());
            let known = Known::DhcpReplied {
                network,
                mac,
                request,
                reply,
                address,
                boot_file,
                client,
                rule,
                server,
                bytes,
                us,
            };
            [event(0, Some("a"), Known::PoweredOn {}), event(9, Some("a"), known)]
        };
        assert_snapshot!(text(&with(30, "pool"), &with(31, "pool")), @"a: same dialogue");
        assert!(
            text(&with(30, "reserved"), &with(31, "reserved"))
                .contains("+ dhcp    request as os → ack 10.0.0.31")
        );
    }

    #[test]
    fn ports_of_clients_are_no_difference() {
        assert_eq!(without_port("10.0.0.1:69"), "10.0.0.1:69");
        assert_eq!(without_port("10.0.0.1:32768"), "10.0.0.1");
        assert_eq!(without_port("[fd00::1]:32768"), "[fd00::1]");
        assert_eq!(without_port("fd00::1"), "fd00::1");
    }

    proptest! {
        #[test]
        fn a_run_is_the_same_as_itself(events in prop::collection::vec(any_event(), 0..60)) {
            let timeline = Timeline::new(&events);
            prop_assert!(diff(&timeline, &timeline).same);
        }
    }
}
