//! The fold over events that decides expectations.

use std::collections::BTreeMap;

use super::count;
use super::prospects::{Awaited, Prospects};
use super::quorum::Quorum;
use super::subject::{Subject, is_probed};
use super::{Decision, Outcome, Verdict, WantedProbe};
use crate::event::{Event, Kind, Known, RunTime};
use crate::lab::{Check, Expectation, ObservedCheck, Polarity, ProbedCheck};
use crate::name::{ExpectName, NodeName, ProcessName};
use crate::observe::{NodeView, Snapshot, Telling};
use crate::plan::Plan;

/// Judges the expectations of a lab.
///
/// It reads the snapshot of `observe` and does not fold node state again. Apply every event, ask [`Judge::at`] for
/// decisions (also when [`Judge::next_deadline`] passes without an event), and call [`Judge::finish`] before the lab is
/// torn down.
#[derive(Debug, Clone)]
pub struct Judge {
    items: Vec<Item>,
    /// The latest instant seen.
    now: RunTime,
    /// Whether the lab is being torn down: further events are ignored.
    finished: bool,
    decisions: Vec<Decision>,
    /// What can still start, if nobody operates the lab by hand.
    prospects: Option<Prospects>,
}

/// One expectation.
#[derive(Debug, Clone)]
struct Item {
    expectation: Expectation,
    gate: Gate,
    subjects: Vec<Subject>,
    /// The nodes that are judged together, if some of them are enough.
    quorum: Option<Quorum>,
}

/// Whether the time of an expectation has started.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Gate {
    /// Waits for the item with that index.
    After(usize),
    /// From the start of the run; its time counts from when the lab is up.
    WithLab,
    /// Since that instant.
    Since(RunTime),
}

impl Judge {
    /// Creates the judge of expectations.
    pub fn new(expectations: &BTreeMap<ExpectName, Expectation>) -> Self {
        let position = |name: &ExpectName| expectations.keys().position(|other| other == name);
        let items = expectations.values().map(|expectation| Item {
            gate: expectation.after.as_ref().and_then(position).map_or(Gate::WithLab, Gate::After),
            subjects: subjects(expectation),
            quorum: Quorum::new(expectation),
            expectation: expectation.clone(),
        });
        Self {
            items: items.collect(),
            now: RunTime::START,
            finished: false,
            decisions: Vec::new(),
            prospects: None,
        }
    }

    /// Misses expectations as soon as nothing in the plan can fulfil them any more: nobody operates the lab by hand.
    pub fn with_prospects(self, plan: &Plan) -> Self {
        let exit = |process: &ProcessName| {
            let expected = self.items.iter().find_map(|item| match &item.expectation.check {
                Check::Observed(ObservedCheck::Process { process: of, exit })
                    if of == process && item.expectation.sense == Polarity::Must =>
                {
                    Some(*exit)
                }
                _ => None,
            });
            expected.unwrap_or(0)
        };
        Self { prospects: Some(Prospects::new(plan, exit)), ..self }
    }

    /// Applies one event, with the snapshot after it.
    ///
    /// Call [`Judge::pass`] first: it decides what was due before the event, on the snapshot before it.
    pub fn apply(&mut self, event: &Event, telling: Telling, present: &Snapshot) {
        self.now = self.now.max(event.at);
        let Kind::Known(known) = &event.kind else { return };
        if self.finished {
            return;
        }
        match known {
            Known::TearDownStarted { .. } => self.finish(event.at, present),
            Known::ConsoleLine { text } => self.read(event.node.as_ref(), "console", text),
            Known::ScreenShown { .. } => {
                let node = event.node.as_ref().and_then(|node| present.nodes.get(node));
                for line in node.into_iter().flat_map(|node| node.screen.appeared()) {
                    self.read(event.node.as_ref(), "screen", line);
                }
            }
            Known::HttpServed { .. } | Known::TftpServed { .. } | Known::DhcpReplied { .. }
                if telling == Telling::News =>
            {
                self.count(event.node.as_ref(), known);
            }
            Known::Probed { expect, ok, seen, output, evidence } => {
                let whole = output.as_ref().map(|path| format!(", whole output in {}", path.display()));
                let seen = seen.clone() + &whole.unwrap_or_default();
                self.hear(expect, event.node.as_ref(), *ok, &seen, evidence, present);
            }
            Known::RunStarted { .. }
            | Known::StepDone { .. }
            | Known::StepFailed { .. }
            | Known::LabUp {}
            | Known::RunEnded { .. }
            | Known::PoweredOn {}
            | Known::PoweredOff { .. }
            | Known::Reset { .. }
            | Known::MachineDied { .. }
            | Known::MachineStopped { .. }
            | Known::GuestPanicked {}
            | Known::BannerSkipped {}
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
            | Known::ProcessStarted { .. }
            | Known::ProcessReady { .. }
            | Known::ProcessPrinted { .. }
            | Known::ProcessEnded { .. }
            | Known::StageReached { .. }
            | Known::Booted { .. }
            | Known::ExpectationDecided { .. }
            | Known::Judged { .. }
            | Known::Commanded { .. } => {}
        }
        self.settle(event.at, present);
    }

    /// Advances the time to `now`: decides what is due by then, on the current snapshot.
    pub fn pass(&mut self, now: RunTime, present: &Snapshot) {
        self.settle(now, present);
    }

    /// Advances the time to `now`, and returns the decisions since the last call.
    pub fn at(&mut self, now: RunTime, present: &Snapshot) -> Vec<Decision> {
        self.settle(now, present);
        std::mem::take(&mut self.decisions)
    }

    /// Returns the probes that should be running.
    pub fn wanted(&self, present: &Snapshot) -> Vec<WantedProbe> {
        if self.finished {
            return Vec::new();
        }
        let running = self
            .items
            .iter()
            .filter(|item| is_probed(&item.expectation.check) && item.since(present.up).is_some());
        let wanted = running.flat_map(|item| {
            item.subjects.iter().filter(|subject| subject.is_open()).flat_map(|subject| {
                let nodes = match &item.quorum {
                    Some(quorum) => quorum.open().cloned().map(Some).collect(),
                    None => vec![subject.node.clone()],
                };
                nodes.into_iter().map(|node| WantedProbe {
                    expect: item.expectation.name.clone(),
                    node,
                    confirm_at: subject.confirm_at(&item.expectation),
                })
            })
        });
        wanted.collect()
    }

    /// Returns the next instant at which time alone may decide an expectation.
    pub fn next_deadline(&self, present: &Snapshot) -> Option<RunTime> {
        let open = self.items.iter().filter(|item| !matches!(item.gate, Gate::After(_)));
        let deadlines = open.flat_map(|item| {
            let subjects = item.subjects.iter().filter(|subject| subject.is_open());
            subjects.filter_map(|subject| subject.deadline(&item.expectation, item.since(present.up)))
        });
        deadlines.min()
    }

    /// Tells whether everything is decided except what stays open until the end of the run.
    pub fn done(&self) -> bool {
        self.finished
            || (0..self.items.len()).all(|index| {
                self.items[index].subjects.iter().all(|s| !s.is_open()) || self.is_endless(index)
            })
    }

    /// Returns the state of every expectation, in the order of their names.
    pub fn verdicts(&self, present: &Snapshot) -> Vec<Verdict> {
        let verdicts = self.items.iter().flat_map(|item| {
            item.subjects.iter().map(|subject| {
                let node = subject.node.as_ref().and_then(|node| present.nodes.get(node));
                subject.verdict(&item.expectation, item.since(present.up), node)
            })
        });
        verdicts.collect()
    }

    /// Decides everything that is open, because the run ends at `now`.
    pub fn finish(&mut self, now: RunTime, present: &Snapshot) {
        self.settle(now, present);
        if self.finished {
            return;
        }
        self.finished = true;
        let at = self.now;
        for index in 0..self.items.len() {
            let barred = match self.items[index].gate {
                Gate::After(other) => Some(self.items[other].expectation.name.clone()),
                Gate::WithLab | Gate::Since(_) => None,
            };
            let Item { expectation, subjects, .. } = &mut self.items[index];
            for subject in subjects.iter_mut().filter(|subject| subject.is_open()) {
                match &barred {
                    Some(other) => subject.bar(at, format!("the run ended before `{other}` was met")),
                    None => {
                        let node = subject.node.as_ref().and_then(|node| present.nodes.get(node));
                        subject.finish(expectation, at, node);
                    }
                }
            }
        }
        self.announce();
    }
}

/// The steps of the fold.
impl Judge {
    /// Matches a line of a console.
    fn read(&mut self, node: Option<&NodeName>, channel: &str, line: &str) {
        let now = self.now;
        for item in &mut self.items {
            let Check::Observed(ObservedCheck::Console(regex)) = &item.expectation.check else { continue };
            if matches!(item.gate, Gate::After(_)) || !regex.is_match(line) {
                continue;
            }
            for subject in item.subjects.iter_mut().filter(|s| s.is_open() && s.node.as_ref() == node) {
                subject.on_true(now, &format!("{channel} line `{}`", line.trim()));
            }
            if let Some(member) = item.quorum.as_mut().and_then(|quorum| quorum.member(node)) {
                member.on_true(now, &format!("{channel} line `{}`", line.trim()));
            }
        }
    }

    /// Counts fetches and leases of a node, whether or not the time of the expectation has started.
    fn count(&mut self, node: Option<&NodeName>, known: &Known) {
        for item in &mut self.items {
            let counts = match &item.expectation.check {
                Check::Observed(ObservedCheck::Fetched(fetched)) => count::counts(fetched, known),
                Check::Observed(ObservedCheck::Leased(leased)) => count::is_lease(leased, known),
                Check::Observed(_) | Check::Probed(_) => false,
            };
            if counts {
                let subjects = item.subjects.iter_mut();
                subjects.filter(|subject| subject.node.as_ref() == node).for_each(Subject::count);
                if let Some(quorum) = &mut item.quorum {
                    quorum.count(node);
                }
            }
        }
    }

    /// Applies the result of a probe.
    fn hear(
        &mut self,
        expect: &ExpectName,
        node: Option<&NodeName>,
        ok: bool,
        seen: &str,
        evidence: &[String],
        present: &Snapshot,
    ) {
        let (now, up) = (self.now, present.up);
        for item in self.items.iter_mut().filter(|item| item.expectation.name == *expect) {
            if item.since(up).is_none() || !is_probed(&item.expectation.check) {
                continue;
            }
            if let Some(quorum) = &mut item.quorum {
                quorum.on_probe(node, now, ok, seen);
                continue;
            }
            for subject in item.subjects.iter_mut().filter(|s| s.is_open() && s.node.as_ref() == node) {
                subject.on_probe(&item.expectation, now, ok, seen, evidence);
            }
        }
    }

    /// Decides everything that can be decided at `now`, until nothing changes any more.
    fn settle(&mut self, now: RunTime, present: &Snapshot) {
        self.now = self.now.max(now);
        if self.finished {
            return;
        }
        while self.open_gates() | self.decide(present) | self.give_up(present) {}
        self.announce();
    }

    /// Starts what waited for a met expectation, and cancels what waited for a missed one.
    fn open_gates(&mut self) -> bool {
        let mut changed = false;
        for index in 0..self.items.len() {
            let Gate::After(other) = self.items[index].gate else { continue };
            let Item { expectation: first, subjects, .. } = &self.items[other];
            let outcomes = || subjects.iter().map(Subject::outcome);
            let missed = outcomes().flatten().find(|outcome| !outcome.is_met()).and_then(Outcome::at);
            let why = format!("`{}` was missed", first.name);
            if let Some(at) = missed {
                for subject in self.items[index].subjects.iter_mut().filter(|subject| subject.is_open()) {
                    subject.bar(at, why.clone());
                    changed = true;
                }
            } else if outcomes().all(|outcome| outcome.is_some()) {
                let met = outcomes().flatten().filter_map(Outcome::at).max();
                self.items[index].gate = Gate::Since(met.unwrap_or(self.now));
                changed = true;
            }
        }
        changed
    }

    /// Decides by stages, unexpected ends and the time.
    fn decide(&mut self, present: &Snapshot) -> bool {
        let mut changed = false;
        let Snapshot { nodes, processes, up, .. } = present;
        let Self { items, now, .. } = self;
        for item in items.iter_mut() {
            let since = item.since(*up);
            let Item { expectation, gate, subjects, quorum } = item;
            for subject in subjects.iter_mut().filter(|subject| subject.is_open()) {
                let node = subject.node.as_ref().and_then(|node| nodes.get(node));
                if !matches!(gate, Gate::After(_)) {
                    if let Some(node) = node {
                        subject.compare(expectation, *now, node);
                    }
                    if let Check::Observed(ObservedCheck::Process { process, exit }) = &expectation.check
                        && let Some(ended) = processes.get(process).and_then(|process| process.ended.as_ref())
                    {
                        match ended.exit == Some(*exit) {
                            true => subject.on_true(*now, &ended.how),
                            false if expectation.sense == Polarity::Must => {
                                let output = processes.get(process).map(|process| &process.output);
                                let output = output.into_iter().flatten().cloned().collect();
                                subject.miss_by_process(*now, ended.how.clone(), output);
                            }
                            false => {}
                        }
                    }
                    if let Some(quorum) = quorum {
                        quorum.settle(subject, expectation, *now, nodes);
                    }
                    if subject.is_open() {
                        subject.on_time(expectation, since, *now, node);
                    }
                }
                if subject.is_open()
                    && quorum.is_none()
                    && expectation.sense == Polarity::Must
                    && let Some(why) = death(subject, expectation, nodes)
                {
                    subject.miss(expectation, *now, why, None);
                }
                changed |= !subject.is_open();
            }
        }
        changed
    }

    /// Decides what can no longer change, because what it waits for cannot start any more.
    fn give_up(&mut self, present: &Snapshot) -> bool {
        let Some(prospects) = &self.prospects else { return false };
        // Before that, steps of the plan are still being executed.
        if present.up.is_none() {
            return false;
        }
        let mut given_up = Vec::new();
        for (index, item) in self.items.iter().enumerate() {
            for (at, subject) in item.subjects.iter().enumerate() {
                if subject.is_open()
                    && !subject.is_holding()
                    && !self.is_endless(index)
                    && let Some(why) = self.cannot_be_met(prospects, index, subject, present)
                {
                    given_up.push((index, at, why));
                }
            }
        }
        let changed = !given_up.is_empty();
        for (index, at, why) in given_up {
            let Item { expectation, subjects, .. } = &mut self.items[index];
            let subject = &mut subjects[at];
            let node = subject.node.as_ref().and_then(|node| present.nodes.get(node));
            subject.give_up(expectation, self.now, why, node);
        }
        changed
    }

    /// Returns why an open expectation cannot be met any more, because nothing is left that could start what it is
    /// about.
    fn cannot_be_met(
        &self,
        prospects: &Prospects,
        index: usize,
        subject: &Subject,
        present: &Snapshot,
    ) -> Option<String> {
        let awaited = |name: &ExpectName| {
            let Some(other) = self.items.iter().position(|item| item.expectation.name == *name) else {
                return Awaited::Possible;
            };
            let mut outcomes = self.items[other].subjects.iter().filter_map(Subject::outcome);
            if outcomes.any(|outcome| !outcome.is_met()) {
                Awaited::Missed
            } else if other == index || self.waits_for(other, index) {
                Awaited::Judged
            } else {
                Awaited::Possible
            }
        };
        // They may power nodes on, too.
        let commands = self.items.iter().enumerate().any(|(other, item)| {
            matches!(item.expectation.check, Check::Probed(ProbedCheck::Command { .. }))
                && item.subjects.iter().any(Subject::is_open)
                && !self.waits_for(other, index)
        });
        let Item { expectation, quorum, .. } = &self.items[index];
        let powered = |node: &NodeName| prospects.never_powered_on(node, present, commands, awaited);
        match (&expectation.check, &subject.node) {
            (Check::Observed(ObservedCheck::Process { process, .. }), _) => {
                prospects.never_started(process, present, awaited)
            }
            (_, Some(node)) => powered(node),
            (_, None) => match quorum {
                Some(quorum) => quorum.hopeless(powered),
                None => expectation.nodes.iter().find_map(powered),
            },
        }
    }

    /// Tells whether an expectation waits for another one, directly or not.
    fn waits_for(&self, mut index: usize, other: usize) -> bool {
        // A chain of `after` without a cycle is never longer than the number of expectations.
        for _ in 0..=self.items.len() {
            match self.items[index].gate {
                Gate::After(next) if next == other => return true,
                Gate::After(next) => index = next,
                Gate::WithLab | Gate::Since(_) => return false,
            }
        }
        false
    }

    /// Queues the decisions that were not returned yet.
    fn announce(&mut self) {
        for item in &mut self.items {
            for subject in &mut item.subjects {
                if let Some(outcome) = subject.announce() {
                    self.decisions.push(Decision {
                        expect: item.expectation.name.clone(),
                        node: subject.node.clone(),
                        met: outcome.is_met(),
                        seen: outcome.explain(outcome.at().unwrap_or(self.now)),
                    });
                }
            }
        }
    }

    /// Tells whether an expectation is open until the end of the run, or waits for one that is.
    fn is_endless(&self, index: usize) -> bool {
        let mut index = index;
        // A chain of `after` without a cycle is never longer than the number of expectations.
        for _ in 0..=self.items.len() {
            let item = &self.items[index];
            if item.expectation.sense == Polarity::Never && item.expectation.within.is_none() {
                return true;
            }
            match item.gate {
                Gate::After(other) => index = other,
                Gate::WithLab | Gate::Since(_) => return false,
            }
        }
        true
    }
}

impl Item {
    /// Returns when its time started, if it has.
    fn since(&self, up: Option<RunTime>) -> Option<RunTime> {
        match self.gate {
            Gate::After(_) => None,
            Gate::WithLab => up,
            Gate::Since(at) => Some(at),
        }
    }
}

/// Returns the subject of each verdict: one node each, or all of them together.
fn subjects(expectation: &Expectation) -> Vec<Subject> {
    let together = match &expectation.check {
        Check::Observed(check) => match check {
            ObservedCheck::Process { .. } => true,
            ObservedCheck::Console(_)
            | ObservedCheck::Stage(_)
            | ObservedCheck::Boots(_)
            | ObservedCheck::Fetched(_)
            | ObservedCheck::Leased(_) => false,
        },
        Check::Probed(check) => match check {
            ProbedCheck::Etcd { .. } | ProbedCheck::Kubernetes(_) => true,
            ProbedCheck::Command { .. } | ProbedCheck::Dns { .. } => expectation.nodes.is_empty(),
            ProbedCheck::Installed(_)
            | ProbedCheck::Tcp { .. }
            | ProbedCheck::Http(_)
            | ProbedCheck::Ssh { .. } => false,
        },
    };
    if together || expectation.quorum.is_some() {
        return vec![Subject::new(None)];
    }
    expectation.nodes.iter().map(|node| Subject::new(Some(node.clone()))).collect()
}

/// Returns why an expectation can no longer be met, if a machine that it needs has ended.
fn death(subject: &Subject, of: &Expectation, nodes: &BTreeMap<NodeName, NodeView>) -> Option<String> {
    match &subject.node {
        Some(node) => nodes.get(node)?.dead.clone(),
        None => of.nodes.iter().find_map(|node| {
            let why = nodes.get(node)?.dead.as_ref()?;
            Some(format!("{node}: {why}"))
        }),
    }
}
