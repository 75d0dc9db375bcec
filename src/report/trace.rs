//! The timeline of a run as text: stages with durations, and under each what was asked and answered.

use std::collections::BTreeMap;

use super::event_list::{TORN, stamp};
use super::paragraph::paragraph;
use crate::event::{Header, Known, RunTime, Service, Source, Stage};
use crate::name::NodeName;
use crate::observe::{
    Boot, BootCause, Decided, Entries, ExchangeOutcome, Happened, Mark, MarkKind, NodeTimeline, SeenExchange,
    StageSpan, Timeline, Took,
};

/// How many exchanges of one protocol are listed in one stage.
const MOST: usize = 12;
/// Steps that take at least this long are listed by themselves.
const LONG: std::time::Duration = std::time::Duration::from_millis(500);

/// A line of a trace, or a wrapped paragraph.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// Its role.
    pub tone: Tone,
    /// Its text, with the newline.
    pub text: String,
}

/// The role of a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tone {
    /// A heading.
    Heading,
    /// A stage.
    Stage,
    /// Something that went well, or is only said.
    Plain,
    /// An expectation that was met.
    Met,
    /// Something that went wrong, which its words say too.
    Trouble,
}

/// Returns the timeline of a run in a number of columns.
pub fn trace(header: &Header, timeline: &Timeline, torn: bool, width: usize) -> Vec<Line> {
    let mut page = Page { lines: Vec::new(), width };
    let lab = timeline.lab.as_deref().unwrap_or("unknown lab");
    let accel = timeline.accel.as_ref().map(|accel| format!(" under {accel}")).unwrap_or_default();
    let started = header.started.strftime("%Y-%m-%d %H:%M:%S UTC");
    let end = match timeline.exit {
        Some(exit) => format!("{}, exit code {exit}", timeline.until),
        None => format!("no end recorded, {} so far", timeline.until),
    };
    let heading = format!("{lab}{accel}, started {started} by dryrack {}: {end}", header.version);
    page.heading(&heading, "  ");
    page.lab(timeline);
    for (name, node) in &timeline.nodes {
        page.node(name.as_str(), node, timeline.end());
    }
    page.decisions(&timeline.decisions);
    if torn {
        page.lines.push(Line { tone: Tone::Trouble, text: TORN.to_owned() });
    }
    page.lines
}

/// Returns the timelines of nodes, under the names that are given.
pub(super) fn nodes<'a>(
    nodes: impl IntoIterator<Item = (&'a str, &'a NodeTimeline)>,
    end: RunTime,
    width: usize,
) -> Vec<Line> {
    let mut page = Page { lines: Vec::new(), width };
    for (name, node) in nodes {
        page.node(name, node, end);
    }
    page.lines
}

struct Page {
    lines: Vec<Line>,
    width: usize,
}

/// A row of a section, with its place in time.
struct Row {
    at: RunTime,
    tone: Tone,
    took: String,
    text: String,
}

impl Page {
    fn heading(&mut self, text: &str, indent: &str) {
        let text = paragraph("", indent, &tame(text), self.width);
        self.lines.push(Line { tone: Tone::Heading, text });
    }

    fn section(&mut self, text: &str) {
        self.lines.push(Line { tone: Tone::Plain, text: "\n".to_owned() });
        self.heading(text, "  ");
    }

    /// Adds a row: when, how long, and what behind an indent.
    fn row(&mut self, tone: Tone, at: RunTime, took: &str, head: &str, text: &str) {
        let head = format!("{:>9}  {took:>7}  {}", stamp(at), tame(head));
        let indent = " ".repeat(head.chars().count());
        self.lines.push(Line { tone, text: paragraph(&head, &indent, &tame(text), self.width) });
    }

    fn lab(&mut self, timeline: &Timeline) {
        let mut rows = steps(timeline);
        let up = timeline.up.map(|at| Row::new(at, Tone::Plain, "lab is up"));
        rows.extend(up);
        for process in &timeline.processes {
            let took = took(process.began, process.ended, timeline.end());
            let status = process.status.as_deref().unwrap_or("still running");
            let text = format!("process {}: {status}", process.process);
            rows.push(Row { took, ..Row::new(process.began, Tone::Plain, text) });
        }
        let down = timeline.torn_down.as_ref();
        rows.extend(down.map(|down| Row::new(down.at, Tone::Plain, format!("tearing down: {}", down.why))));
        rows.sort_by_key(|row| row.at);
        if rows.is_empty() && timeline.others.is_empty() {
            return;
        }
        self.section("lab");
        for Row { at, tone, took, text } in rows {
            self.row(tone, at, &took, "", &text);
        }
        self.entries(&timeline.others, None);
    }

    fn node(&mut self, name: &str, node: &NodeTimeline, end: RunTime) {
        if node.boots.is_empty() {
            self.section(&format!("{name}: no boot seen"));
        }
        for (index, boot) in node.boots.iter().enumerate() {
            self.section(&boot_heading(name, index, boot, node.boots.len()));
            if index == 0 {
                self.entries(&node.before, None);
            }
            for (place, span) in boot.stages.iter().enumerate() {
                let took = took(span.began, span.ended, end);
                self.row(Tone::Stage, span.began, &took, "", span.stage.as_str());
                let last = place + 1 == boot.stages.len();
                self.entries(&span.entries, stuck(span, last));
            }
        }
        if node.boots.is_empty() {
            self.entries(&node.before, None);
        }
    }

    /// Adds what happened in a stage, equal exchanges once, and a line of a console.
    fn entries(&mut self, entries: &Entries, line: Option<&Mark>) {
        let mut rows = exchanges(&entries.exchanges);
        let marks = entries.marks.iter().filter(|mark| match mark.kind {
            MarkKind::Change | MarkKind::Trouble => true,
            MarkKind::Line | MarkKind::Probe => false,
        });
        rows.extend(marks.chain(line).map(|mark| {
            let tone = if mark.kind == MarkKind::Trouble { Tone::Trouble } else { Tone::Plain };
            let text = match mark.kind {
                // The last change of a screen says what it shows.
                MarkKind::Line if mark.source == Source::Screen => mark.text.clone(),
                MarkKind::Line => format!("last line `{}`", mark.text.trim()),
                MarkKind::Change | MarkKind::Trouble | MarkKind::Probe => mark.text.clone(),
            };
            (mark.topic.clone(), Row::new(mark.at, tone, text))
        }));
        rows.sort_by_key(|(_, row)| row.at);
        for (topic, Row { at, tone, took, text }) in rows {
            self.row(tone, at, &took, &format!("  {topic:<7} "), &text);
        }
    }

    fn decisions(&mut self, decisions: &[Decided]) {
        if decisions.is_empty() {
            return;
        }
        self.section("expectations");
        let same =
            |a: &Decided, b: &Decided| (a.at, &a.expect, a.met, &a.seen) == (b.at, &b.expect, b.met, &b.seen);
        for group in decisions.chunk_by(same) {
            let first = &group[0];
            let nodes: Vec<_> =
                group.iter().flat_map(|decided| &decided.node).map(NodeName::as_str).collect();
            let on = if nodes.is_empty() { String::new() } else { format!(" on {}", nodes.join(", ")) };
            let (tone, word) = if first.met { (Tone::Met, "met") } else { (Tone::Trouble, "missed") };
            self.row(tone, first.at, word, "", &format!("{}{on}: {}", first.expect, first.seen));
        }
    }
}

impl Row {
    fn new(at: RunTime, tone: Tone, text: impl Into<String>) -> Self {
        Self { at, tone, took: String::new(), text: text.into() }
    }
}

/// Returns the rows of the steps: long, late and failed ones by themselves, the others together.
fn steps(timeline: &Timeline) -> Vec<Row> {
    let mut rows: Vec<Row> = Vec::new();
    let mut brief: Option<(RunTime, RunTime, usize)> = None;
    let together = |rows: &mut Vec<Row>, brief: &mut Option<(RunTime, RunTime, usize)>| {
        let Some((began, ended, count)) = brief.take() else { return };
        let text = format!("{count} step{}", if count == 1 { "" } else { "s" });
        let took = Took(ended.since(began)).to_string();
        rows.push(Row { took, ..Row::new(began, Tone::Plain, text) });
    };
    for step in &timeline.steps {
        let (began, ended) = (step.began, step.ended);
        // A step after that has waited for something; its own time is not known.
        let late = timeline.up.is_some_and(|up| ended > up);
        match (&step.error, late) {
            (None, false) if ended.since(began) < LONG => {
                let (first, _, count) = brief.unwrap_or((began, ended, 0));
                brief = Some((first, ended, count + 1));
            }
            (error, _) => {
                together(&mut rows, &mut brief);
                let row = match error {
                    Some(error) => Row::new(ended, Tone::Trouble, format!("failed: {}: {error}", step.text)),
                    None if late => Row::new(ended, Tone::Plain, &step.text),
                    None => {
                        let took = Took(ended.since(began)).to_string();
                        Row { took, ..Row::new(began, Tone::Plain, &step.text) }
                    }
                };
                rows.push(row);
            }
        }
    }
    together(&mut rows, &mut brief);
    rows
}

/// Returns the rows of exchanges: equal ones once, and of each protocol not too many unless they went wrong.
fn exchanges(exchanges: &[SeenExchange]) -> Vec<(String, Row)> {
    let mut groups: Vec<(&SeenExchange, String, u64)> = Vec::new();
    for exchange in exchanges {
        let text = words(exchange);
        let same = |(first, known, _): &&mut (&SeenExchange, String, u64)| {
            first.service == exchange.service && *known == text
        };
        let times = times(exchange);
        match groups.iter_mut().find(same) {
            // A record may hold any number.
            Some((_, _, count)) => *count = count.saturating_add(times),
            None => groups.push((exchange, text, times)),
        }
    }
    let mut shown: BTreeMap<&Service, usize> = BTreeMap::new();
    let mut left_out: BTreeMap<&Service, (RunTime, u64)> = BTreeMap::new();
    let mut rows = Vec::new();
    for (exchange, text, count) in groups {
        let of_service = shown.entry(&exchange.service).or_default();
        if *of_service >= MOST && !exchange.is_trouble() {
            let (_, all) = left_out.entry(&exchange.service).or_insert((exchange.began, 0));
            *all = all.saturating_add(count);
            continue;
        }
        *of_service += 1;
        let tone = if exchange.is_trouble() { Tone::Trouble } else { Tone::Plain };
        let text = if count > 1 { format!("{text}, {count} times") } else { text };
        rows.push((exchange.service.to_string(), Row::new(exchange.began, tone, text)));
    }
    for (service, (at, count)) in left_out {
        rows.push((service.to_string(), Row::new(at, Tone::Plain, format!("{count} more"))));
    }
    rows
}

fn words(exchange: &SeenExchange) -> String {
    format!("{} → {}", exchange.request(), exchange.reply())
}

/// Returns how often a request was sent, unless its text says it already.
fn times(exchange: &SeenExchange) -> u64 {
    match exchange.outcome {
        ExchangeOutcome::Unanswered => 1,
        _ => exchange.times.max(1),
    }
}

/// Returns the last line of a console in a stage in which a boot got stuck.
fn stuck(span: &StageSpan, last: bool) -> Option<&Mark> {
    let is_line = |mark: &&Mark| mark.kind == MarkKind::Line && !mark.text.trim().is_empty();
    let under_way = !matches!(span.stage, Stage::Os | Stage::Off);
    span.entries.marks.iter().rfind(is_line).filter(|_| last && under_way)
}

fn took(began: RunTime, ended: Option<RunTime>, end: RunTime) -> String {
    match ended {
        Some(ended) => Took(ended.since(began)).to_string(),
        None => format!("{}…", Took(end.since(began))),
    }
}

fn boot_heading(name: &str, index: usize, boot: &Boot, boots: usize) -> String {
    let cause = match &boot.by {
        BootCause::PoweredOn if index > 0 => Some(Known::PoweredOn {}.to_string()),
        BootCause::Reset(why) => Some(Known::Reset { why: why.clone() }.to_string()),
        BootCause::PoweredOn | BootCause::Seen => None,
    };
    let from = boot.from.map(|from| Known::Booted { from, by: boot.evidence.clone() }.to_string());
    let parts: Vec<String> = cause.into_iter().chain(from).collect();
    let number = if boots > 1 { format!(", boot {}", index + 1) } else { String::new() };
    match parts.is_empty() {
        true => format!("{name}{number}"),
        false => format!("{name}{number}: {}", parts.join(", ")),
    }
}

/// Replaces control characters, so that what a guest sends cannot control the terminal.
fn tame(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}

/// Writes what happens in a run line by line.
#[derive(Debug)]
pub struct Follower {
    node_width: usize,
    width: usize,
}

impl Follower {
    /// Creates a follower for a number of columns.
    pub fn new(width: usize) -> Self {
        Self { node_width: 0, width }
    }

    /// Makes room for the names of nodes.
    pub fn expect<'a>(&mut self, nodes: impl IntoIterator<Item = &'a NodeName>) {
        let widths = nodes.into_iter().map(|node| node.as_str().len());
        self.node_width = self.node_width.max(widths.max().unwrap_or(0));
    }

    /// Returns what happened as a line, if it is worth one.
    pub fn line(&mut self, happened: &Happened) -> Option<Line> {
        let (node, at, tone, text) = match happened {
            Happened::Stage { node, at, stage, before } => {
                let before = before.map(|(stage, took)| format!(" ({stage} took {})", Took(took)));
                let text = format!("▶ {stage}{}", before.unwrap_or_default());
                (Some(node), *at, Tone::Stage, text)
            }
            Happened::Booted { node, at, from, by } => {
                let known = Known::Booted { from: *from, by: by.clone() };
                (Some(node), *at, Tone::Stage, format!("▶ {known}"))
            }
            Happened::Exchange { node, exchange } => {
                let tone = if exchange.is_trouble() { Tone::Trouble } else { Tone::Plain };
                let text = format!("{:<7} {}", exchange.service.as_str(), words(exchange));
                (node.as_ref(), exchange.ended, tone, text)
            }
            Happened::Mark { node, mark } => {
                let tone = match mark.kind {
                    MarkKind::Change => Tone::Plain,
                    MarkKind::Trouble => Tone::Trouble,
                    MarkKind::Line | MarkKind::Probe => return None,
                };
                (node.as_ref(), mark.at, tone, format!("{:<7} {}", mark.topic, mark.text))
            }
            Happened::Decided(Decided { at, expect, node, met, seen, by: _ }) => {
                let (tone, word) = if *met { (Tone::Met, "met") } else { (Tone::Trouble, "missed") };
                (node.as_ref(), *at, tone, format!("{word:<7} {expect}: {seen}"))
            }
        };
        self.expect(node);
        let name = node.map(NodeName::as_str).unwrap_or_default();
        let head = format!("{:>9}  {name:<width$}  ", stamp(at), width = self.node_width);
        let indent = " ".repeat(head.chars().count() + 8);
        Some(Line { tone, text: paragraph(&head, &indent, &tame(&text), self.width) })
    }
}

#[cfg(test)]
mod tests {
    use insta::assert_snapshot;
    use proptest::prelude::*;

    use super::*;
    use crate::event::examples::{any_event, console, event, http, lease, tftp};
    use crate::event::{Event, SCHEMA};
    use crate::name::{ExpectName, ProcessName};
    use crate::observe::TimelineFold;
    use crate::report::WIDTH;

    fn header() -> Header {
        let started = "2026-11-21T09:34:03Z".parse().unwrap();
        Header { dryrack_events: SCHEMA, version: "0.1.0".to_owned(), started }
    }

    fn text(events: &[Event], torn: bool, width: usize) -> String {
        let lines = trace(&header(), &Timeline::new(events), torn, width);
        lines.into_iter().map(|line| line.text).collect()
    }

    fn started() -> Known {
        let (lab, accel) = ("etcd".to_owned(), "tcg".to_owned());
        Known::RunStarted {
            lab,
            accel,
            nodes: BTreeMap::new(),
            hosts: std::collections::BTreeSet::new(),
            waits: Box::default(),
        }
    }

    fn decided(expect: &str, met: bool) -> Known {
        Known::ExpectationDecided {
            expect: ExpectName::new(expect).unwrap(),
            met,
            seen: "stage os".to_owned(),
        }
    }

    fn run() -> Vec<Event> {
        let a = Some("node1");
        let step = |step, text: &str| Known::StepDone { step, text: text.to_owned() };
        let dns = |name: &str, count| Known::DnsAnswered {
            name: name.to_owned(),
            record: "A".to_owned(),
            code: "NOERROR".into(),
            rule: "node".to_owned(),
            answer: vec!["10.0.0.10".to_owned()],
            bytes: 51,
            us: 100,
            count,
            server: None,
        };
        let mut events = vec![
            event(0, None, started()),
            event(2, None, step(0, "build image tiny")),
            event(900, None, step(1, "create bridge")),
            event(910, a, Known::PoweredOn {}),
            event(912, None, step(2, "power on node1")),
            event(913, None, Known::LabUp {}),
            event(913, None, Known::ProcessStarted { process: ProcessName::new("apply").unwrap() }),
            event(1500, a, lease("ipxe", "offer")),
            event(1510, a, lease("ipxe", "ack")),
            event(1700, a, tftp("undionly.kpxe", "not-found")),
            event(1800, a, http("script", 200, true)),
            event(2100, a, http("kernel", 200, true)),
            event(2300, a, console("Linux version 6.1.0 \u{1b}[1m")),
            event(9000, a, console("node1 login:")),
            event(9000, a, decided("up", true)),
            event(9100, a, dns("node1.lan.", None)),
            event(9200, a, dns("node1.lan.", Some(7))),
        ];
        events.extend((0..20).map(|n| event(9300 + n, a, dns(&format!("host{n}.lan."), None))));
        events.extend([
            event(20_000, a, Known::Reset { why: crate::event::PowerCause::Guest }),
            event(20_500, a, console("Booting from Hard Disk...")),
            event(61_000, None, decided("later", false)),
            event(61_001, None, Known::TearDownStarted { why: "somebody asked".to_owned() }),
            event(61_002, None, Known::RunEnded { exit: 1 }),
        ]);
        events
    }

    #[test]
    fn a_run_reads_from_top_to_bottom() {
        assert_snapshot!(text(&run(), false, WIDTH));
    }

    #[test]
    fn a_run_that_was_killed_says_so() {
        assert_snapshot!(text(&run()[..13], true, 60));
    }

    #[test]
    fn a_run_of_format_1_is_a_timeline() {
        let recorded = crate::event::read(&include_bytes!("recorded/schema1.jsonl")[..]).unwrap();
        assert_snapshot!(text(&recorded.events, false, WIDTH));
    }

    #[test]
    fn a_follower_sees_stages_and_answers_as_they_happen() {
        let (mut fold, mut follower) = (TimelineFold::default(), Follower::new(80));
        follower.expect([&NodeName::new("node1").unwrap()]);
        let happened = run().into_iter().flat_map(|event| fold.apply(&event)).collect::<Vec<_>>();
        let lines: String =
            happened.iter().filter_map(|one| follower.line(one)).map(|line| line.text).collect();
        assert_snapshot!(lines);
    }

    #[test]
    fn numbers_of_a_record_may_be_as_large_as_they_like() {
        let answered = |ms| {
            let known = Known::DnsAnswered {
                name: "a.lab".to_owned(),
                record: "A".to_owned(),
                code: "NOERROR".into(),
                rule: "node".to_owned(),
                answer: Vec::new(),
                bytes: 0,
                us: 0,
                count: Some(u64::MAX - 1),
                server: None,
            };
            event(ms, None, known)
        };
        let shown = text(&[answered(1), answered(2)], false, WIDTH);
        assert!(shown.contains(&format!("{} times", u64::MAX)), "{shown}");
    }

    proptest! {
        #[test]
        fn no_line_is_wider_than_the_terminal_and_nothing_controls_it(
            events in prop::collection::vec(any_event(), 0..30),
            width in 60..200_usize,
        ) {
            for line in text(&events, false, width).lines() {
                prop_assert!(line.chars().all(|c| !c.is_control()));
                let long_word = line.split_whitespace().any(|word| word.chars().count() > 20);
                prop_assert!(line.chars().count() <= width || long_word, "{}", line);
            }
        }
    }
}
