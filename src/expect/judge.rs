//! The fold over events that decides expectations.

use std::collections::BTreeMap;

use super::count;
use super::gate::{ActionItem, Gate, Gone, Passage};
use super::prospects::{Awaited, Prospects};
use super::quorum::Quorum;
use super::subject::{Subject, is_probed};
use super::{Decision, Verdict, WantedProbe};
use crate::event::{Event, Kind, Known, RunTime};
use crate::lab::{Action, Check, Expectation, ObservedCheck, Polarity, ProbedCheck};
use crate::name::{ActionName, ExpectName, NodeName, ProcessName, Trigger};
use crate::observe::{NodeView, Snapshot, Telling};
use crate::plan::Plan;

/// Judges the expectations of a lab.
///
/// It reads the snapshot of `observe` and does not fold node state again. Apply every event, ask [`Judge::at`] for
/// decisions (also when [`Judge::next_deadline`] passes without an event), and call [`Judge::finish`] before the lab is
/// torn down.
#[derive(Debug, Clone)]
pub struct Judge {
    pub(super) items: Vec<Item>,
    pub(super) actions: Vec<ActionItem>,
    /// The latest instant seen.
    pub(super) now: RunTime,
    /// Whether the lab is being torn down: further events are ignored.
    finished: bool,
    decisions: Vec<Decision>,
    /// What can still start, if nobody operates the lab by hand.
    pub(super) prospects: Option<Prospects>,
}

/// One expectation.
#[derive(Debug, Clone)]
pub(super) struct Item {
    pub(super) expectation: Expectation,
    pub(super) gate: Gate,
    pub(super) subjects: Vec<Subject>,
    /// The nodes that are judged together, if some of them are enough.
    quorum: Option<Quorum>,
}

impl Judge {
    /// Creates the judge of expectations.
    pub fn new(expectations: &BTreeMap<ExpectName, Expectation>) -> Self {
        let items = expectations.values().map(|expectation| Item {
            gate: expectation.after.clone().map_or(Gate::WithLab, Gate::After),
            subjects: subjects(expectation),
            quorum: Quorum::new(expectation),
            expectation: expectation.clone(),
        });
        Self {
            items: items.collect(),
            actions: Vec::new(),
            now: RunTime::START,
            finished: false,
            decisions: Vec::new(),
            prospects: None,
        }
    }

    /// Adds the actions of the lab.
    #[must_use]
    pub fn with_actions(self, actions: &BTreeMap<ActionName, Action>) -> Self {
        Self { actions: actions.values().cloned().map(ActionItem::new).collect(), ..self }
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

    /// Returns the nodes that an expectation applies to.
    pub fn nodes(&self, name: &ExpectName) -> &[NodeName] {
        let item = self.items.iter().find(|item| item.expectation.name == *name);
        item.map(|item| &item.expectation.nodes[..]).unwrap_or_default()
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
            Known::Probed { expect, ok, seen, output, evidence, leader: _ } => {
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
            | Known::DiskWritten { .. }
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
            | Known::Diagnosed { .. }
            | Known::Judged { .. }
            | Known::ActionStarted { .. }
            | Known::ActionDone { .. }
            | Known::ActionFailed { .. }
            | Known::FaultBegan { .. }
            | Known::FaultStruck { .. }
            | Known::FaultEnded { .. }
            | Known::BmcLogged { .. }
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
        let actions = self.actions.iter().filter_map(|item| item.due(present.up));
        let ready = self.ready_deadlines(present);
        let deadlines = open.flat_map(|item| {
            let subjects = item.subjects.iter().filter(|subject| subject.is_open());
            subjects.flat_map(|subject| {
                let (of, since) = (&item.expectation, item.since(present.up));
                let node = subject.node.as_ref().and_then(|node| present.nodes.get(node));
                subject.deadline(of, since).into_iter().chain(subject.stalls_at(of, since, node))
            })
        });
        deadlines.chain(actions).chain(ready).min()
    }

    /// Tells whether everything is decided except what stays open until the end of the run.
    pub fn done(&self) -> bool {
        let is_decided =
            |index: usize| self.items[index].subjects.iter().all(|s| !s.is_open()) || self.is_endless(index);
        self.finished
            || (0..self.items.len()).all(is_decided) && !self.actions.iter().any(ActionItem::is_open)
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
            let barred = match &self.items[index].gate {
                Gate::After(trigger) => Some(format!("the run ended before {}", Passage(trigger))),
                Gate::WithLab | Gate::Since(_) => None,
            };
            let Item { expectation, subjects, .. } = &mut self.items[index];
            for subject in subjects.iter_mut().filter(|subject| subject.is_open()) {
                match &barred {
                    Some(why) => subject.bar(at, why.clone()),
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
        while self.open_gates(present) | self.decide(present) | self.give_up(present) {}
        self.announce();
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
                    if subject.is_open() {
                        subject.on_stall(expectation, since, *now, node);
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
        let this = Trigger::Expect(self.items[index].expectation.name.clone());
        let awaited = |trigger: &Trigger| match self.passed(trigger, present) {
            Gone::Never(..) => Awaited::Missed,
            Gone::At(_) => Awaited::Possible,
            Gone::NotYet if self.waits_for(trigger, &this) => Awaited::Judged,
            Gone::NotYet => Awaited::Possible,
        };
        // They may power nodes on, too.
        let commands = self.items.iter().any(|item| {
            matches!(item.expectation.check, Check::Probed(ProbedCheck::Command { .. }))
                && item.subjects.iter().any(Subject::is_open)
                && !self.waits_for(&Trigger::Expect(item.expectation.name.clone()), &this)
        });
        let by_hand = |node: &NodeName| {
            commands
                || self.actions.iter().any(|item| {
                    let it = Trigger::Action(item.action.name.clone());
                    item.is_open() && item.may_power_on(node) && !self.waits_for(&it, &this)
                })
        };
        let Item { expectation, quorum, .. } = &self.items[index];
        let powered = |node: &NodeName| prospects.never_powered_on(node, present, by_hand(node), awaited);
        match (&expectation.check, &subject.node) {
            (Check::Observed(ObservedCheck::Process { process, .. }), _) => {
                prospects.never_started(process, present, awaited)
            }
            (_, Some(node)) => powered(node),
            (_, None) => match quorum {
                Some(quorum) => quorum.hopeless(powered),
                None => expectation.nodes.iter().filter_map(powered).nth(spare(expectation)),
            },
        }
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
        let is_endless =
            |item: &Item| item.expectation.sense == Polarity::Never && item.expectation.within.is_none();
        let of = Trigger::Expect(self.items[index].expectation.name.clone());
        // What waits for itself never comes; a checked lab has no such cycle.
        self.is_ring(&of)
            || self.chain(&of).any(|trigger| match trigger {
                Trigger::Expect(name) => self.item(&name).is_some_and(is_endless),
                Trigger::Action(_) | Trigger::Process(_) => false,
            })
    }
}

impl Item {
    /// Tells whether a verdict of it is open.
    pub(super) fn is_open(&self) -> bool {
        self.subjects.iter().any(Subject::is_open)
    }

    /// Returns when its time started, if it has.
    fn since(&self, up: Option<RunTime>) -> Option<RunTime> {
        self.gate.since(up)
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
            | ObservedCheck::Finding(_)
            | ObservedCheck::Leased(_) => false,
        },
        Check::Probed(check) => match check {
            ProbedCheck::Etcd { .. } | ProbedCheck::Kubernetes(_) => true,
            ProbedCheck::Command { .. } | ProbedCheck::Dns { .. } => expectation.nodes.is_empty(),
            ProbedCheck::Installed(_)
            | ProbedCheck::DiskFile(_)
            | ProbedCheck::Tcp { .. }
            | ProbedCheck::Http(_)
            | ProbedCheck::Certificate(_)
            | ProbedCheck::Ssh { .. }
            | ProbedCheck::OnNode(_) => false,
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
        None => {
            let dead = of.nodes.iter().filter_map(|node| {
                let why = nodes.get(node)?.dead.as_ref()?;
                Some(format!("{node}: {why}"))
            });
            dead.clone().nth(spare(of)).and(dead.clone().next())
        }
    }
}

/// Returns how many of the nodes of an expectation it does not need.
fn spare(of: &Expectation) -> usize {
    match &of.check {
        Check::Probed(ProbedCheck::Etcd { healthy: Some(healthy), .. }) => {
            of.nodes.len().saturating_sub(*healthy)
        }
        Check::Probed(_) | Check::Observed(_) => 0,
    }
}
