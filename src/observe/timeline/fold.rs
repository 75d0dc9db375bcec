//! The fold of events into a timeline.

use std::collections::BTreeMap;
use std::time::Duration;

use super::exchange::{Content, Join, Part, ROUTER, content, fetch};
use super::{
    Boot, BootCause, Decided, DecidedBy, Entries, ExchangeOutcome, Mark, MarkKind, NodeTimeline, ProcessSpan,
    SeenExchange, StageSpan, StepSpan, TearDown, Timeline,
};
use crate::event::{BootedFrom, Event, Exchange, Kind, Known, RunTime, Service, Source, Stage};
use crate::name::{NodeName, ProcessName};
use crate::observe::Snapshot;

/// Folds events into a timeline, one by one.
#[derive(Debug)]
pub struct TimelineFold {
    snapshot: Snapshot,
    /// Everything that is not of a node.
    lab: Timeline,
    nodes: BTreeMap<NodeName, NodeFold>,
    others: Entries,
    /// The answers of exchanges, by what identifies them.
    answers: BTreeMap<AnswerKey, Told>,
    /// Requests that more events may tell of.
    requests: BTreeMap<RequestKey, Place>,
    /// The latest event that is no conclusion, and what it is of.
    cause: Option<(RunTime, DecidedBy)>,
}

/// Something that a run did, for who follows it.
#[derive(Debug, Clone, PartialEq)]
pub enum Happened {
    /// A node reached a stage.
    Stage {
        /// The node.
        node: NodeName,
        /// When.
        at: RunTime,
        /// The stage.
        stage: Stage,
        /// The stage before it in the same boot, and how long it took.
        before: Option<(Stage, Duration)>,
    },
    /// The boot source of a node became known.
    Booted {
        /// The node.
        node: NodeName,
        /// When.
        at: RunTime,
        /// The boot source.
        from: BootedFrom,
        /// The evidence.
        by: String,
    },
    /// A request was answered, or its absence of an answer reported.
    Exchange {
        /// The node, if it is known.
        node: Option<NodeName>,
        /// The request with this answer.
        exchange: Box<SeenExchange>,
    },
    /// Anything else.
    Mark {
        /// The node, if it is of one.
        node: Option<NodeName>,
        /// What.
        mark: Mark,
    },
    /// An expectation was decided.
    Decided(Decided),
}

/// An answer of a server in an exchange.
type AnswerKey = (Exchange, String, Option<String>);
/// A request of a node; the identifier of its exchange is missing in format 1.
type RequestKey = (Option<NodeName>, Option<Exchange>, String);

/// Where an exchange is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Place {
    node: Option<NodeName>,
    index: usize,
}

/// How often each source told of an answer, and where each time is kept.
#[derive(Debug, Default)]
struct Told {
    sources: Vec<(Source, usize)>,
    places: Vec<(Place, usize)>,
}

/// A node, before its exchanges are sorted into stages.
#[derive(Debug, Default)]
struct NodeFold {
    boots: Vec<Boot>,
    entries: Entries,
}

impl Default for TimelineFold {
    fn default() -> Self {
        Self {
            snapshot: Snapshot::new([]),
            lab: Timeline::default(),
            nodes: BTreeMap::new(),
            others: Entries::default(),
            answers: BTreeMap::new(),
            requests: BTreeMap::new(),
            cause: None,
        }
    }
}

impl TimelineFold {
    /// Returns the stage of a node; an unknown node is off.
    pub fn stage(&self, node: &NodeName) -> Stage {
        self.snapshot.stage(node)
    }

    /// Applies one event, and returns what happened by it.
    pub fn apply(&mut self, event: &Event) -> Vec<Happened> {
        self.lab.until = self.lab.until.max(event.at);
        let concluded = self.snapshot.apply(event);
        let mut happened = Vec::new();
        match &event.kind {
            Kind::Unknown { .. } => happened.extend(self.mark(event, MarkKind::Change)),
            Kind::Known(known) => {
                self.explain(event, known);
                happened.extend(self.lab(event, known));
                match content(known) {
                    Content::Exchange(part) => happened.extend(self.exchange(event, known, *part)),
                    Content::Mark(kind) => happened.extend(self.mark(event, kind)),
                    // The boots of a node show it; a host does not boot.
                    Content::Nothing if matches!(known, Known::PoweredOn {}) && self.is_host(event) => {
                        happened.extend(self.mark(event, MarkKind::Change));
                    }
                    Content::Nothing => {}
                }
            }
        }
        let Some(name) = &event.node else { return happened };
        if let Some(stage) = concluded.stage {
            let node = self.nodes.entry(name.clone()).or_default();
            let (at, before) = node.reach(event, stage);
            happened.push(Happened::Stage { node: name.clone(), at, stage, before });
        }
        if let Some((from, by)) = concluded.booted {
            let node = self.nodes.entry(name.clone()).or_default();
            if let Some(boot) = node.boots.last_mut() {
                (boot.from, boot.evidence) = (Some(from), by.clone());
            }
            happened.push(Happened::Booted { node: name.clone(), at: event.at, from, by });
        }
        happened
    }

    /// Returns the timeline of the events so far.
    pub fn timeline(&self) -> Timeline {
        let end = self.lab.torn_down.as_ref().map(|down| down.at);
        let mut timeline = self.lab.clone();
        timeline.nodes = self.nodes.iter().map(|(name, node)| (name.clone(), node.timeline(end))).collect();
        timeline.others = self.others.clone();
        sort(&mut timeline.others);
        timeline
    }

    fn is_host(&self, event: &Event) -> bool {
        event.node.as_ref().is_some_and(|node| self.snapshot.hosts.contains_key(node))
    }

    /// Remembers what may decide an expectation at this instant.
    fn explain(&mut self, event: &Event, known: &Known) {
        let by = match (known, &event.node) {
            (
                Known::StageReached { .. }
                | Known::Booted { .. }
                | Known::ExpectationDecided { .. }
                | Known::Diagnosed { .. }
                | Known::Judged { .. },
                _,
            ) => return,
            (Known::TearDownStarted { .. } | Known::RunEnded { .. }, _) => DecidedBy::End,
            (
                Known::ProcessStarted { process }
                | Known::ProcessReady { process, .. }
                | Known::ProcessPrinted { process, .. }
                | Known::ProcessEnded { process, .. },
                _,
            ) => DecidedBy::Process(process.clone()),
            (_, Some(node)) => DecidedBy::Node(node.clone()),
            (_, None) => DecidedBy::Lab,
        };
        self.cause = Some((event.at, by));
    }

    /// Applies an event of the lab as a whole.
    fn lab(&mut self, event: &Event, known: &Known) -> Option<Happened> {
        let Event { at, .. } = *event;
        let lab = &mut self.lab;
        let began = lab.steps.last().map_or(RunTime::START, |step| step.ended);
        match known {
            Known::RunStarted { lab: name, accel, nodes: _, hosts: _, waits } => {
                (lab.lab, lab.accel, lab.waits) =
                    (Some(name.clone()), Some(accel.clone()), (**waits).clone());
            }
            Known::StepDone { step: _, text } => {
                let ended = at.max(began);
                lab.steps.push(StepSpan { began, ended, text: text.clone(), error: None });
            }
            Known::StepFailed { step: _, text, error } => {
                let (text, error) = (text.clone(), Some(error.clone()));
                lab.steps.push(StepSpan { began, ended: at.max(began), text, error });
            }
            Known::LabUp {} => {
                lab.up.get_or_insert(at);
            }
            Known::TearDownStarted { why } => {
                lab.torn_down.get_or_insert_with(|| TearDown { at, why: why.clone() });
            }
            Known::RunEnded { exit } => lab.exit = Some(*exit),
            Known::ProcessStarted { process } => lab.processes.push(ProcessSpan::new(process, at)),
            Known::ProcessEnded { process, status, exit: _ } => {
                let process = lab.process(process, at);
                (process.ended, process.status) = (Some(at.max(process.began)), Some(status.clone()));
            }
            Known::ExpectationDecided { expect, met, seen } => {
                let (expect, node, met, seen) = (expect.clone(), event.node.clone(), *met, seen.clone());
                let by = self.cause.as_ref().filter(|(when, _)| *when == at).map(|(_, by)| by.clone());
                let decided = Decided { at, expect, node, met, seen, by: by.unwrap_or(DecidedBy::Time) };
                lab.decisions.push(decided.clone());
                return Some(Happened::Decided(decided));
            }
            Known::PoweredOn {}
            | Known::PoweredOff { .. }
            | Known::Reset { .. }
            | Known::MachineDied { .. }
            | Known::MachineStopped { .. }
            | Known::GuestPanicked {}
            | Known::ConsoleLine { .. }
            | Known::BannerSkipped {}
            | Known::DiskWritten { .. }
            | Known::LinkSet { .. }
            | Known::MediumSet { .. }
            | Known::DhcpReplied { .. }
            | Known::DhcpIgnored { .. }
            | Known::DhcpOmitted { .. }
            | Known::AddressLearned { .. }
            | Known::RouterAdvertised { .. }
            | Known::TftpServed { .. }
            | Known::Fetching { .. }
            | Known::HttpServed { .. }
            | Known::MatchboxFailed { .. }
            | Known::HttpsFailed { .. }
            | Known::RpcServed { .. }
            | Known::RpcRefused { .. }
            | Known::DnsAnswered { .. }
            | Known::NtpAnswered { .. }
            | Known::SyslogLine { .. }
            | Known::Omitted { .. }
            | Known::CaptureIncomplete { .. }
            | Known::ServiceFailed { .. }
            | Known::BootSeen {}
            | Known::DhcpAsked { .. }
            | Known::RouterSolicited { .. }
            | Known::Unanswered { .. }
            | Known::Unreachable { .. }
            | Known::TlsOffered { .. }
            | Known::TlsAlerted { .. }
            | Known::StpSeen { .. }
            | Known::LacpSeen { .. }
            | Known::ScreenShown { .. }
            | Known::ProcessReady { .. }
            | Known::ProcessPrinted { .. }
            | Known::StageReached { .. }
            | Known::Booted { .. }
            | Known::Probed { .. }
            | Known::Diagnosed { .. }
            | Known::Judged { .. }
            | Known::ActionStarted { .. }
            | Known::ActionDone { .. }
            | Known::ActionFailed { .. }
            | Known::FaultBegan { .. }
            | Known::FaultStruck { .. }
            | Known::FaultEnded { .. }
            | Known::BmcLogged { .. }
            | Known::Commanded { .. } => return None,
        }
        Some(Happened::Mark { node: None, mark: mark_of(event, MarkKind::Change) })
    }

    /// Adds what is no exchange.
    fn mark(&mut self, event: &Event, kind: MarkKind) -> Vec<Happened> {
        let mut marks = vec![mark_of(event, kind)];
        if let Kind::Known(Known::MachineDied { stderr, .. }) = &event.kind {
            let line = |text: &String| {
                let text = Known::ConsoleLine { text: text.clone() }.to_string();
                Mark { topic: "stderr".to_owned(), text, ..mark_of(event, kind) }
            };
            marks.extend(stderr.iter().map(line));
        }
        if let Kind::Known(Known::ProcessPrinted { process, text }) = &event.kind {
            let text = Known::ConsoleLine { text: text.clone() }.to_string();
            self.lab.process(process, event.at).marks.push(Mark { text, ..mark_of(event, kind) });
        } else if let Kind::Known(Known::ProcessReady { process, .. }) = &event.kind {
            self.lab.process(process, event.at).marks.extend(marks.iter().cloned());
        } else {
            self.entries(event.node.as_ref()).marks.extend(marks.iter().cloned());
        }
        let node = &event.node;
        marks.into_iter().map(|mark| Happened::Mark { node: node.clone(), mark }).collect()
    }

    /// Adds a part of an exchange, unless another source has told of it already.
    fn exchange(&mut self, event: &Event, known: &Known, part: Part) -> Option<Happened> {
        let server = part.answer.as_ref().and_then(|answer| answer.server.clone());
        let request = match &part.join {
            Join::Alone => None,
            Join::Exchange => event.exchange.is_some().then_some(&part.asked),
            Join::Open(key) | Join::Close(key) => Some(key),
        };
        let request = request.map(|key| (event.node.clone(), event.exchange.clone(), key.clone()));
        if matches!(known, Known::RouterSolicited { .. }) && self.is_advertised(event) {
            return None;
        }
        let closes = matches!(part.join, Join::Close(_));
        let id = event.exchange.clone();
        let new = SeenExchange::new(event.at, id, event.source.clone(), part);
        let key = event.exchange.clone().zip(known.fact()).map(|(exchange, fact)| (exchange, fact, server));
        if let Some(key) = &key {
            let told = self.answers.entry(key.clone()).or_default();
            let count = match told.sources.iter_mut().find(|(source, _)| *source == event.source) {
                Some((_, count)) => {
                    *count += 1;
                    *count
                }
                None => {
                    told.sources.push((event.source.clone(), 1));
                    1
                }
            };
            if let Some((place, answer)) = told.places.get(count - 1).cloned() {
                self.at(&place)?.complete(answer, new);
                return None;
            }
        }
        if matches!(known, Known::RouterAdvertised { .. }) && event.node.is_none() {
            self.advertise_to_all(&new);
        }
        let place = match request.as_ref().and_then(|request| self.requests.get(request)).cloned() {
            Some(place) => {
                let open = self.at(&place)?;
                if open.service == fetch() {
                    (open.service, open.asked) = (new.service.clone(), new.asked.clone());
                }
                open.extend(new.clone());
                place
            }
            None => {
                let exchanges = &mut self.entries(event.node.as_ref()).exchanges;
                exchanges.push(new.clone());
                Place { node: event.node.clone(), index: exchanges.len() - 1 }
            }
        };
        let answers = self.at(&place).map_or(0, |exchange| exchange.answers.len());
        if let Some(key) = key {
            let told = self.answers.entry(key).or_default();
            told.places.push((place.clone(), answers.saturating_sub(1)));
        }
        if let Some(request) = request {
            match closes {
                true => self.requests.remove(&request),
                false => self.requests.insert(request, place),
            };
        }
        (new.outcome != ExchangeOutcome::Open)
            .then(|| Happened::Exchange { node: event.node.clone(), exchange: Box::new(new) })
    }

    /// Tells whether a router has answered a solicitation already, which is read from the wire after the answer.
    fn is_advertised(&mut self, event: &Event) -> bool {
        let exchanges = &self.entries(event.node.as_ref()).exchanges;
        let last = exchanges.iter().rfind(|exchange| exchange.service == Service::Ra);
        last.is_some_and(|last| last.outcome == ExchangeOutcome::Answered && last.ended >= event.at)
    }

    /// Ends the solicitations of all nodes: an advertisement to all stations answers them.
    fn advertise_to_all(&mut self, answer: &SeenExchange) {
        let is_router = |(_, _, key): &RequestKey| key == ROUTER;
        let asked: Vec<_> = self.requests.keys().filter(|key| is_router(key)).cloned().collect();
        for request in asked {
            if let Some(place) = self.requests.remove(&request)
                && let Some(open) = self.at(&place)
            {
                open.extend(answer.clone());
            }
        }
    }

    fn entries(&mut self, node: Option<&NodeName>) -> &mut Entries {
        match node {
            Some(node) => &mut self.nodes.entry(node.clone()).or_default().entries,
            None => &mut self.others,
        }
    }

    fn at(&mut self, place: &Place) -> Option<&mut SeenExchange> {
        self.entries(place.node.as_ref()).exchanges.get_mut(place.index)
    }
}

fn mark_of(event: &Event, kind: MarkKind) -> Mark {
    Mark {
        at: event.at,
        source: event.source.clone(),
        kind,
        topic: event.kind.topic().to_owned(),
        text: event.kind.to_string(),
    }
}

impl ProcessSpan {
    fn new(process: &ProcessName, began: RunTime) -> Self {
        Self { process: process.clone(), began, ended: None, status: None, marks: Vec::new() }
    }
}

impl Timeline {
    /// Returns the latest start of a process.
    fn process(&mut self, name: &ProcessName, at: RunTime) -> &mut ProcessSpan {
        let found = self.processes.iter().rposition(|process| process.process == *name);
        let index = found.unwrap_or_else(|| {
            self.processes.push(ProcessSpan::new(name, at));
            self.processes.len() - 1
        });
        &mut self.processes[index]
    }
}

impl NodeFold {
    /// Begins a stage, and a boot with the first stage. Returns when, and the stage before it in the same boot.
    fn reach(&mut self, event: &Event, stage: Stage) -> (RunTime, Option<(Stage, Duration)>) {
        let latest = self.boots.last().and_then(|boot| boot.stages.last());
        // Events of a capture may be a little late.
        let began = latest.map_or(event.at, |span| event.at.max(span.began));
        let mut before = latest.map(|span| (span.stage, began.since(span.began)));
        if stage == Stage::Firmware || self.boots.is_empty() {
            let by = match &event.kind {
                Kind::Known(Known::PoweredOn {}) => BootCause::PoweredOn,
                Kind::Known(Known::Reset { why }) => BootCause::Reset(why.clone()),
                _ => BootCause::Seen,
            };
            let (from, evidence, stages) = (None, String::new(), Vec::new());
            self.boots.push(Boot { by, began, ended: None, from, evidence, stages });
            before = None;
        }
        if let Some(boot) = self.boots.last_mut() {
            boot.stages.push(StageSpan { stage, began, ended: None, entries: Entries::default() });
        }
        (began, before)
    }

    /// Sorts what happened into stages.
    fn timeline(&self, end: Option<RunTime>) -> NodeTimeline {
        let mut boots = self.boots.clone();
        let begins = boots.iter().flat_map(|boot| &boot.stages).map(|span| span.began);
        // A stage ends when the next one begins.
        let mut next = begins.skip(1).map(Some).collect::<Vec<_>>().into_iter().chain([None]);
        for boot in &mut boots {
            for span in &mut boot.stages {
                span.ended = next.next().flatten().or(end.filter(|end| *end >= span.began));
            }
            boot.ended = boot.stages.last().and_then(|span| span.ended);
        }
        let mut before = Entries::default();
        {
            let mut spans: Vec<&mut StageSpan> = boots.iter_mut().flat_map(|boot| &mut boot.stages).collect();
            for exchange in &self.entries.exchanges {
                // What ended a stage began in it, however short it was.
                let after = spans.partition_point(|span| span.began < exchange.began);
                let into = match (after, spans.first_mut()) {
                    (0, Some(first)) if first.began == exchange.began => &mut first.entries,
                    (0, _) => &mut before,
                    (after, _) => &mut spans[after - 1].entries,
                };
                into.exchanges.push(exchange.clone());
            }
            for mark in &self.entries.marks {
                let into = match spans.partition_point(|span| span.began <= mark.at) {
                    0 => &mut before,
                    after => &mut spans[after - 1].entries,
                };
                into.marks.push(mark.clone());
            }
            spans.iter_mut().for_each(|span| sort(&mut span.entries));
        }
        sort(&mut before);
        NodeTimeline { before, boots }
    }
}

/// Sorts by time; what happened at the same instant stays in the order of the record.
fn sort(entries: &mut Entries) {
    entries.exchanges.sort_by_key(|exchange| exchange.began);
    entries.marks.sort_by_key(|mark| mark.at);
}
