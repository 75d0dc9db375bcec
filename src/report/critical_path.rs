//! What a run waited for: the chain of stages, transfers and waits that led to the last decided expectation.
//!
//! The chain is followed backwards from the decision. What decided it tells whose time it was: a node, a process, or a
//! probe of the lab, which waits for the node that came last. A node goes back through its stages and boots to its
//! power-on, which waited for the steps of the plan, for an expectation, for other boots, or for somebody. So every
//! moment of the run belongs to exactly one link.

use std::time::Duration;

use serde::Serialize;

use super::event_list::stamp;
use super::text::paragraph;
use super::trace::{Line, Tone};
use crate::event::{RunTime, Service, Size, Stage};
use crate::name::{NodeName, ProcessName};
use crate::observe::{
    BootCause, Decided, DecidedBy, NodeTimeline, ProcessSpan, SeenExchange, StageSpan, Timeline, Took,
};

/// Transfers and steps that take less are part of what surrounds them.
const BRIEF: Duration = Duration::from_millis(20);

/// What a run waited for.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct CriticalPath {
    /// What it led to, in words.
    pub to: String,
    /// The time from the start of the run, in nanoseconds.
    pub total: RunTime,
    /// The links, in order and without gaps.
    pub links: Vec<Link>,
}

/// A part of the time of a run.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Link {
    /// When it began, in nanoseconds since the start of the run.
    pub began: RunTime,
    /// When it ended.
    pub ended: RunTime,
    /// Its share of the total in percent. The shares add up to 100.
    pub percent: f64,
    /// What took the time.
    pub kind: LinkKind,
    /// The node whose time it was.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub node: Option<NodeName>,
    /// The process whose time it was.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub process: Option<ProcessName>,
    /// What it was, in words.
    pub what: String,
}

/// What took the time of a [`Link`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum LinkKind {
    /// Steps of the plan.
    Steps,
    /// A stage of a node.
    Stage,
    /// A transfer to a node.
    Transfer,
    /// A process that ran.
    Process,
    /// Something had to come first, or somebody.
    Wait,
}

/// Returns what a run waited for.
pub fn critical_path(timeline: &Timeline) -> CriticalPath {
    let last = timeline.decisions.iter().rposition(|decided| decided.by != DecidedBy::End);
    let mut walk = Walk { timeline, links: Vec::new() };
    let (to, total) = match last {
        Some(index) => {
            let decided = &timeline.decisions[index];
            walk.run(Point::Decision(decided), decided.at);
            (in_words(decided), decided.at)
        }
        None => {
            let end = timeline.end();
            let point = walk.latest_node(end).map_or(Point::Lab, Point::Node);
            walk.run(point, end);
            ("the end of the run".to_owned(), end)
        }
    };
    let mut links = walk.links;
    links.reverse();
    share(&mut links);
    CriticalPath { to, total, links }
}

fn in_words(decided: &Decided) -> String {
    let on = decided.node.as_ref().map(|node| format!(" on {node}")).unwrap_or_default();
    let word = if decided.met { "met" } else { "missed" };
    format!("`{}`{on} was {word}", decided.expect)
}

/// Whose time it was before an instant.
#[derive(Debug, Clone, Copy)]
enum Point<'a> {
    /// An expectation was decided at that instant.
    Decision(&'a Decided),
    /// A node, wherever it was.
    Node(&'a NodeName),
    /// A boot of a node was begun at that instant.
    PowerOn(&'a NodeName, usize),
    /// A process ran.
    Process(&'a ProcessSpan),
    /// The steps of the plan.
    Lab,
}

struct Walk<'a> {
    timeline: &'a Timeline,
    /// The latest first.
    links: Vec<Link>,
}

impl<'a> Walk<'a> {
    fn run(&mut self, mut point: Point<'a>, mut at: RunTime) {
        // Several points may have the same instant, but each is left for another kind of point.
        for _ in 0..100_000 {
            let next = match point {
                Point::Decision(decided) => self.decision(decided, at),
                Point::Node(node) => self.node(node, at),
                Point::PowerOn(node, boot) => self.power_on(node, boot, at),
                Point::Process(process) => self.process(process, at),
                Point::Lab => return self.lab(at),
            };
            (point, at) = next;
        }
        self.lab(at);
    }

    fn link(&mut self, began: RunTime, ended: RunTime, kind: LinkKind, what: impl Into<String>) -> &mut Link {
        let (node, process, what) = (None, None, what.into());
        self.links.push(Link { began, ended, percent: 0.0, kind, node, process, what });
        self.links.last_mut().expect("it was just added")
    }

    fn decision(&mut self, decided: &'a Decided, at: RunTime) -> (Point<'a>, RunTime) {
        let point = match &decided.by {
            DecidedBy::Node(node) => Some(Point::Node(node)),
            DecidedBy::Process(name) => {
                self.running(at, |process| process.process == *name).map(Point::Process)
            }
            DecidedBy::Lab | DecidedBy::Time | DecidedBy::End => match &decided.node {
                Some(node) => Some(Point::Node(node)),
                None => self.latest_node(at).map(Point::Node),
            },
        };
        let progress = match point {
            Some(Point::Node(node)) => self.span(node, at).map_or(RunTime::START, |(_, span)| span.began),
            Some(Point::Process(process)) => process.began,
            _ => RunTime::START,
        };
        if let Some(first) = self.gate(decided, at).filter(|first| first.at >= progress) {
            let (expect, after) = (&decided.expect, &first.expect);
            let node = decided.node.clone();
            self.link(first.at, at, LinkKind::Wait, format!("`{expect}` after `{after}`")).node = node;
            return (Point::Decision(first), first.at);
        }
        (point.unwrap_or(Point::Lab), at)
    }

    /// Returns the decision that opened the time of an expectation.
    fn gate(&self, decided: &Decided, at: RunTime) -> Option<&'a Decided> {
        let after = self.timeline.waits.expectations.get(&decided.expect)?;
        let before = |first: &&Decided| first.expect == *after && first.at <= at;
        self.timeline.decisions.iter().filter(before).max_by_key(|first| first.at)
    }

    /// Returns the latest decision of an expectation.
    fn met(&self, expect: &crate::name::ExpectName, at: RunTime) -> Option<&'a Decided> {
        let before = |first: &&Decided| first.expect == *expect && first.at <= at;
        self.timeline.decisions.iter().filter(before).max_by_key(|first| first.at)
    }

    /// Returns the node whose latest stage before an instant began last.
    fn latest_node(&self, at: RunTime) -> Option<&'a NodeName> {
        let began = |node: &NodeTimeline| {
            let spans = node.boots.iter().flat_map(|boot| &boot.stages);
            spans.map(|span| span.began).filter(|began| *began < at).max()
        };
        let nodes = self.timeline.nodes.iter().filter_map(|(name, node)| Some((began(node)?, name)));
        nodes.max_by_key(|(began, _)| *began).map(|(_, name)| name)
    }

    /// Returns the stage of a node just before an instant, with the index of its boot.
    fn span(&self, node: &NodeName, at: RunTime) -> Option<(usize, &'a StageSpan)> {
        let boots = self.timeline.nodes.get(node)?.boots.iter().enumerate();
        let spans = boots.flat_map(|(index, boot)| boot.stages.iter().map(move |span| (index, span)));
        spans.rev().find(|(_, span)| span.began < at)
    }

    fn running(&self, at: RunTime, is_it: impl Fn(&ProcessSpan) -> bool) -> Option<&'a ProcessSpan> {
        let running = |process: &&ProcessSpan| {
            process.began <= at && process.ended.is_none_or(|ended| ended >= at) && is_it(process)
        };
        self.timeline.processes.iter().rfind(running)
    }

    fn node(&mut self, name: &'a NodeName, at: RunTime) -> (Point<'a>, RunTime) {
        let Some((index, span)) = self.span(name, at) else { return (Point::Lab, at) };
        self.stage(name, span, at);
        let boot = &self.timeline.nodes[name].boots[index];
        let first = boot.stages.first().is_some_and(|first| std::ptr::eq(first, span));
        match (&boot.by, first) {
            (BootCause::PoweredOn, true) => (Point::PowerOn(name, index), span.began),
            (BootCause::Seen, true) if index == 0 => (Point::Lab, span.began),
            (BootCause::Reset(_) | BootCause::Seen, true) | (_, false) => (Point::Node(name), span.began),
        }
    }

    /// Splits a stage into its transfers and what is between them.
    fn stage(&mut self, node: &NodeName, span: &StageSpan, until: RunTime) {
        let mut parts: Vec<(RunTime, RunTime, Option<&SeenExchange>)> = Vec::new();
        let mut from = span.began;
        let transfers = span.entries.exchanges.iter().filter(|exchange| is_transfer(exchange));
        for exchange in transfers {
            let (began, ended) = (exchange.began.max(from), exchange.ended.min(until));
            if ended.since(began) < BRIEF {
                continue;
            }
            if began.since(from) < BRIEF {
                parts.push((from, ended, Some(exchange)));
            } else {
                parts.extend([(from, began, None), (began, ended, Some(exchange))]);
            }
            from = ended;
        }
        match parts.last_mut() {
            Some((_, ended, _)) if until.since(from) < BRIEF => *ended = until,
            _ => parts.push((from, until, None)),
        }
        for (began, ended, transfer) in parts.into_iter().rev() {
            let link = match transfer {
                Some(exchange) => {
                    let size = exchange.bytes().map(|bytes| format!(", {}", Size(bytes))).unwrap_or_default();
                    let what = format!("{}: {} by {}{size}", span.stage, exchange.asked, exchange.service);
                    self.link(began, ended, LinkKind::Transfer, what)
                }
                None => self.link(began, ended, LinkKind::Stage, span.stage.as_str()),
            };
            link.node = Some(node.clone());
        }
    }

    fn power_on(&mut self, name: &'a NodeName, boot: usize, at: RunTime) -> (Point<'a>, RunTime) {
        let waits = &self.timeline.waits;
        let by_plan = boot == 0;
        let turn = by_plan.then(|| self.turn(name, at)).flatten();
        match waits.nodes.get(name).filter(|_| by_plan) {
            Some(Some(expect)) => {
                if let Some(first) = self.met(expect, at)
                    && turn.is_none_or(|(settled, _)| settled <= first.at)
                {
                    let what = format!("powered on after `{expect}`");
                    self.link(first.at, at, LinkKind::Wait, what).node = Some(name.clone());
                    return (Point::Decision(first), first.at);
                }
            }
            Some(None) => return self.by_hand(name, at),
            None if !by_plan => return self.by_hand(name, at),
            None => {}
        }
        match (turn, waits.parallel_boots) {
            (Some((settled, point)), Some(most)) => {
                let what = format!("another node had to boot first (parallel-boots = {most})");
                self.link(settled, at, LinkKind::Wait, what).node = Some(name.clone());
                (point, settled)
            }
            _ => (Point::Lab, at),
        }
    }

    /// Returns when the latest of the other nodes finished booting, if the node may have waited for it.
    fn turn(&self, name: &NodeName, at: RunTime) -> Option<(RunTime, Point<'a>)> {
        self.timeline.waits.parallel_boots?;
        self.timeline.up.filter(|up| *up <= at)?;
        let others = self.timeline.nodes.iter().filter(|(other, _)| *other != name);
        let settled = others.filter_map(|(other, node)| {
            let spans = node.boots.iter().flat_map(|boot| &boot.stages);
            let stage = spans
                .filter(|span| matches!(span.stage, Stage::Os | Stage::Off))
                .map(|span| span.began)
                .min();
            let mut decisions = self.timeline.decisions.iter();
            let decided = decisions.find(|decided| decided.node.as_ref() == Some(other));
            match (stage, decided) {
                (Some(stage), decided) if decided.is_none_or(|decided| stage <= decided.at) => {
                    Some((stage, Point::Node(other)))
                }
                (_, decided) => decided.map(|decided| (decided.at, Point::Decision(decided))),
            }
        });
        settled.filter(|(settled, _)| *settled <= at).max_by_key(|(settled, _)| *settled)
    }

    /// Somebody powered a node on: a process that was running, or a user.
    fn by_hand(&mut self, name: &'a NodeName, at: RunTime) -> (Point<'a>, RunTime) {
        if let Some(process) = self.running(at, |process| process.began < at) {
            return (Point::Process(process), at);
        }
        let off = self.span(name, at).map(|(_, span)| span.began);
        let began = off.or(self.timeline.up.filter(|up| *up <= at)).unwrap_or(at);
        let what = if off.is_some() {
            "off, until it was powered on again"
        } else {
            "until it was powered on by hand"
        };
        self.link(began, at, LinkKind::Wait, what).node = Some(name.clone());
        match off {
            Some(_) => (Point::Node(name), began),
            None => (Point::Lab, began),
        }
    }

    fn process(&mut self, process: &'a ProcessSpan, at: RunTime) -> (Point<'a>, RunTime) {
        let name = &process.process;
        let began = process.began.min(at);
        let what = match process.ended {
            Some(ended) if ended <= at => "ran to its end",
            _ => "ran",
        };
        self.link(began, at, LinkKind::Process, what).process = Some(name.clone());
        let after = self.timeline.waits.processes.get(name);
        match after.and_then(|expect| self.met(expect, began)) {
            Some(first) => {
                let what = format!("started after `{}`", first.expect);
                self.link(first.at, began, LinkKind::Wait, what).process = Some(name.clone());
                (Point::Decision(first), first.at)
            }
            None => (Point::Lab, began),
        }
    }

    /// Adds the steps up to an instant, brief ones together.
    fn lab(&mut self, at: RunTime) {
        let steps: Vec<_> = self.timeline.steps.iter().filter(|step| step.began < at).collect();
        let done = steps.last().map_or(RunTime::START, |step| step.ended.min(at));
        if done < at {
            let what =
                if steps.is_empty() { "before the first event" } else { "until something was started" };
            self.link(done, at, LinkKind::Wait, what);
        }
        let mut brief: Option<(RunTime, RunTime, usize)> = None;
        let together = |walk: &mut Self, brief: &mut Option<(RunTime, RunTime, usize)>| {
            if let Some((began, ended, count)) = brief.take() {
                let what = format!("{count} step{}", if count == 1 { "" } else { "s" });
                walk.link(began, ended, LinkKind::Steps, what);
            }
        };
        for step in steps.into_iter().rev() {
            let ended = step.ended.min(at);
            if ended.since(step.began) < BRIEF {
                let (_, last, count) = brief.unwrap_or((step.began, ended, 0));
                brief = Some((step.began, last, count + 1));
                continue;
            }
            together(self, &mut brief);
            self.link(step.began, ended, LinkKind::Steps, &step.text);
        }
        together(self, &mut brief);
    }
}

fn is_transfer(exchange: &SeenExchange) -> bool {
    match &exchange.service {
        Service::Tftp | Service::Http | Service::Https => true,
        other => other.as_str() == "fetch",
    }
}

/// Sets the shares, in tenths of a percent that add up to 100 percent.
fn share(links: &mut Vec<Link>) {
    links.retain(|link| link.began < link.ended || link.kind == LinkKind::Wait);
    let nanos = |link: &Link| u128::from(link.ended.as_nanos() - link.began.as_nanos());
    let total: u128 = links.iter().map(nanos).sum();
    if total == 0 {
        return;
    }
    let mut parts: Vec<(usize, u128, u128)> = links
        .iter()
        .enumerate()
        .map(|(index, link)| (index, nanos(link) * 1000 / total, nanos(link) * 1000 % total))
        .collect();
    let missing = 1000 - parts.iter().map(|(_, part, _)| *part).sum::<u128>();
    // The largest remainders are rounded up.
    parts.sort_by_key(|(index, _, rest)| (std::cmp::Reverse(*rest), *index));
    for (place, (index, part, _)) in parts.into_iter().enumerate() {
        let part = part + u128::from((place as u128) < missing);
        links[index].percent = part as f64 / 10.0;
    }
}

impl CriticalPath {
    /// Returns the links in a number of columns.
    pub fn lines(&self, width: usize) -> Vec<Line> {
        let heading = format!("{} from the start of the lab until {}", Took(self.total.elapsed()), self.to);
        let heading = Line { tone: Tone::Heading, text: paragraph("", "  ", &heading, width) };
        let names = self.links.iter().map(|link| link.who().chars().count());
        let name_width = names.max().unwrap_or(0).max("lab".len());
        let row = |link: &Link| {
            let Link { began, ended, percent, kind, .. } = link;
            let took = Took(ended.since(*began)).to_string();
            let who = link.who();
            let head = format!("{:>9}  {took:>7}  {percent:>5.1}%  {who:<name_width$}  ", stamp(*began));
            let indent = " ".repeat(head.chars().count());
            let what: String =
                link.what.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect();
            let what = if *kind == LinkKind::Wait { format!("wait: {what}") } else { what };
            // The largest parts are what there is to gain.
            let tone = if *percent >= 20.0 { Tone::Stage } else { Tone::Plain };
            Line { tone, text: paragraph(&head, &indent, &what, width) }
        };
        let blank = Line { tone: Tone::Plain, text: "\n".to_owned() };
        [heading, blank].into_iter().chain(self.links.iter().map(row)).collect()
    }
}

impl Link {
    fn who(&self) -> &str {
        match (&self.node, &self.process) {
            (Some(node), _) => node.as_str(),
            (None, Some(process)) => process.as_str(),
            (None, None) => "lab",
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use insta::assert_snapshot;
    use proptest::prelude::*;

    use super::*;
    use crate::event::examples::{any_event, console, event, http, lease, probed};
    use crate::event::{Event, Known, PowerCause, Waits};
    use crate::name::ExpectName;

    fn expect(name: &str) -> ExpectName {
        ExpectName::new(name).unwrap()
    }

    fn node(name: &str) -> NodeName {
        NodeName::new(name).unwrap()
    }

    fn apply() -> ProcessName {
        ProcessName::new("apply").unwrap()
    }

    fn started(waits: Waits) -> Event {
        let (lab, accel) = ("lab".to_owned(), "tcg".to_owned());
        event(
            0,
            None,
            Known::RunStarted {
                lab,
                accel,
                nodes: BTreeMap::new(),
                hosts: BTreeSet::new(),
                waits: Box::new(waits),
            },
        )
    }

    fn step(ms: u64, text: &str) -> Event {
        event(ms, None, Known::StepDone { step: 0, text: text.to_owned() })
    }

    fn decided(ms: u64, of: Option<&str>, name: &str) -> Event {
        event(ms, of, Known::ExpectationDecided { expect: expect(name), met: true, seen: String::new() })
    }

    fn on(ms: u64, of: &str) -> Event {
        event(ms, Some(of), Known::PoweredOn {})
    }

    /// A boot from the network: 500 ms, 100 ms, a kernel of 40 ms, and a login `os` later.
    fn boot(ms: u64, of: &str, os: u64) -> Vec<Event> {
        let of = Some(of);
        vec![
            event(ms, of, Known::PoweredOn {}),
            event(ms + 500, of, lease("ipxe", "ack")),
            event(ms + 600, of, http("script", 200, true)),
            event(ms + 1000, of, http("kernel", 200, true)),
            event(ms + 1000 + os, of, console("a login:")),
        ]
    }

    fn check(events: &[Event]) -> String {
        let path = critical_path(&Timeline::new(events));
        let total: f64 = path.links.iter().map(|link| link.percent * 10.0).map(f64::round).sum();
        assert_eq!(total, 1000.0, "{path:#?}");
        assert!(path.links.windows(2).all(|pair| pair[0].ended == pair[1].began), "{path:#?}");
        path.lines(120).into_iter().map(|line| line.text).collect()
    }

    #[test]
    fn a_node_is_followed_back_to_the_steps() {
        let mut events =
            vec![started(Waits::default()), step(900, "build image a"), step(910, "create bridge")];
        events.extend(boot(1000, "a", 5000));
        events.insert(4, step(1005, "power on a"));
        events.extend([event(1006, None, Known::LabUp {}), decided(7000, Some("a"), "up")]);
        assert_snapshot!(check(&events));
    }

    #[test]
    fn a_check_of_all_nodes_waits_for_the_last_one() {
        let mut events = vec![started(Waits::default()), step(100, "create bridge")];
        events.extend(boot(100, "a", 2000));
        events.extend(boot(100, "b", 8000));
        events.sort_by_key(|event| event.at);
        let probe = probed("cluster", true, "");
        events.extend([event(20_000, None, probe), decided(20_000, None, "cluster")]);
        // What is decided by the end of the run is not what it waited for.
        events.push(event(20_001, None, Known::TearDownStarted { why: String::new() }));
        events.push(decided(20_001, Some("a"), "no-panic"));
        assert_snapshot!(check(&events));
    }

    #[test]
    fn nodes_and_expectations_that_come_after_others_are_a_chain() {
        let mut waits = Waits::default();
        waits.nodes.insert(node("b"), Some(expect("first")));
        waits.expectations.insert(expect("stays"), expect("second"));
        let mut events = vec![started(waits), step(100, "create bridge")];
        events.extend(boot(100, "a", 2000));
        events.extend([event(101, None, Known::LabUp {}), decided(3100, Some("a"), "first")]);
        events.extend(boot(3110, "b", 4000));
        events.push(decided(8110, Some("b"), "second"));
        let probe = probed("stays", true, "");
        events.extend([event(18_110, Some("b"), probe), decided(18_110, Some("b"), "stays")]);
        assert_snapshot!(check(&events));
    }

    #[test]
    fn a_node_waits_for_a_process() {
        let mut waits = Waits::default();
        waits.processes.insert(apply(), expect("up"));
        waits.nodes.insert(node("b"), Some(expect("applied")));
        let mut events = vec![started(waits), step(100, "create bridge"), event(101, None, Known::LabUp {})];
        events.extend(boot(100, "a", 2000));
        events.push(decided(3100, Some("a"), "up"));
        events.push(event(3105, None, Known::ProcessStarted { process: apply() }));
        let ended = Known::ProcessEnded { process: apply(), exit: Some(0), status: "exit code 0".to_owned() };
        events.extend([event(13_105, None, ended), decided(13_105, None, "applied")]);
        events.extend(boot(13_110, "b", 3000));
        events.push(decided(17_110, Some("b"), "ready"));
        assert_snapshot!(check(&events));
    }

    #[test]
    fn a_process_powers_a_node_on() {
        let mut waits = Waits::default();
        waits.nodes.insert(node("a"), None);
        let mut events = vec![started(waits.clone()), step(100, "create bridge")];
        events.push(event(100, None, Known::LabUp {}));
        events.push(event(110, None, Known::ProcessStarted { process: apply() }));
        events.extend(boot(6000, "a", 1000));
        events.push(decided(8000, Some("a"), "up"));
        assert_snapshot!(check(&events));
        // Without a process, it was somebody.
        events.retain(|event| !event.kind.to_string().contains("apply"));
        assert_snapshot!(check(&events));
    }

    #[test]
    fn a_node_waits_for_its_turn() {
        let waits = Waits { parallel_boots: Some(1), ..Waits::default() };
        let mut events = vec![started(waits), step(100, "power on a")];
        events.extend(boot(100, "a", 2000));
        events.insert(3, event(101, None, Known::LabUp {}));
        events.extend(boot(3103, "b", 2000));
        events.push(decided(6103, Some("b"), "up"));
        assert_snapshot!(check(&events));
    }

    #[test]
    fn an_install_goes_through_both_boots_and_the_time_off() {
        let a = Some("a");
        let mut events = vec![started(Waits::default()), step(100, "power on a")];
        events.extend(boot(100, "a", 2000));
        events.push(event(9000, a, Known::Reset { why: PowerCause::Guest }));
        events.push(event(9900, a, console("Linux version 6.1")));
        events.push(event(12_000, a, Known::PoweredOff { why: PowerCause::Guest }));
        events.push(on(15_000, "a"));
        events.push(event(16_000, a, console("Linux version 6.1")));
        events.push(event(19_000, a, console("a login:")));
        events.push(decided(19_000, a, "installed"));
        assert_snapshot!(check(&events));
    }

    #[test]
    fn a_deadline_is_the_time_of_the_node_that_did_not_come() {
        let mut events = vec![started(Waits::default()), step(100, "power on a"), on(100, "a")];
        events.push(event(700, Some("a"), lease("ipxe", "ack")));
        let missed = Known::ExpectationDecided { expect: expect("up"), met: false, seen: String::new() };
        events.push(event(60_000, Some("a"), missed));
        assert_snapshot!(check(&events), @r"
        1m from the start of the lab until `up` on a was missed

            0.000   100 ms    0.2%  lab  power on a
            0.100   600 ms    1.0%  a    firmware
            0.700      59s   98.8%  a    dhcp
        ");
    }

    proptest! {
        #[test]
        fn the_links_are_the_whole_time(events in prop::collection::vec(any_event(), 0..60)) {
            let timeline = Timeline::new(&events);
            let path = critical_path(&timeline);
            let mut at = RunTime::START;
            for link in &path.links {
                prop_assert!(link.began == at && link.ended >= at, "{:#?}", path);
                at = link.ended;
            }
            prop_assert_eq!(at, path.total);
            let tenths: f64 = path.links.iter().map(|link| (link.percent * 10.0).round()).sum();
            prop_assert!(tenths == 1000.0 || path.total == RunTime::START, "{}", tenths);
        }
    }
}
