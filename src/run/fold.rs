//! Conclusions from events: stages, verdicts, the end of the trial. Uses no clock, file or socket.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::executor::Progress;
use super::machines::{machines, own_addresses};
use crate::diagnose::Diagnosis;
use crate::dialogue::Dialogue;
use crate::event::{Certainty, Event, Finding, Instant, Kind, Known, RunTime, Stage};
use crate::expect::{self, Judge, Outcome, Verdict, WantedProbe};
use crate::lab::{Action, Check, Chosen, ObservedCheck, Restart};
use crate::name::{ActionName, NodeName, ProcessName, Trigger};
use crate::observe::{LabState, NodeView, Power, Snapshot, Telling};
use crate::plan::{NodeKind, Plan, Step};
use crate::report::{ActionReport, NodeReport};

/// How many findings of a node are reported at once.
const MOST_FINDINGS: usize = 3;

/// How long a node has done nothing new until it stands still.
const STILL: Duration = Duration::from_secs(15);

/// A process that failed without an expectation about its end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct FailedProcess {
    pub(super) process: ProcessName,
    /// How it ended.
    pub(super) how: String,
    /// Its last lines.
    pub(super) output: Vec<String>,
}

/// Folds the events of a run into the snapshot and the verdicts.
#[derive(Debug)]
pub(super) struct Fold {
    snapshot: Snapshot,
    judge: Judge,
    judged: bool,
    died: Vec<(NodeName, String)>,
    /// Processes without an expectation about their end.
    unwatched: BTreeSet<ProcessName>,
    failed: Vec<FailedProcess>,
    settled: BTreeSet<NodeName>,
    progress: Progress,
    diagnosis: Diagnosis,
    /// The dialogue of each node in its latest boot.
    dialogues: BTreeMap<NodeName, Dialogue>,
    /// What last moved on each node that was found to stand still.
    stood: BTreeMap<NodeName, RunTime>,
}

impl Fold {
    /// Starts with the plan of a lab in which nothing has happened yet.
    pub(super) fn new(plan: &Plan) -> Self {
        let snapshot = Snapshot::new(plan.nodes.keys().cloned()).with_hosts(plan.hosts.keys().cloned());
        Self {
            snapshot,
            judge: Judge::new(&plan.expectations).with_actions(&plan.actions),
            judged: false,
            died: Vec::new(),
            unwatched: unwatched(plan),
            failed: Vec::new(),
            settled: BTreeSet::new(),
            progress: Progress::default(),
            diagnosis: Diagnosis::new(machines(plan), own_addresses(plan)),
            dialogues: BTreeMap::new(),
            stood: BTreeMap::new(),
        }
    }

    /// Ends the wait for what nothing in the plan can bring about any more: nobody operates the lab by hand.
    pub(super) fn with_prospects(self, plan: &Plan) -> Self {
        Self { judge: self.judge.with_prospects(plan), ..self }
    }

    /// Applies an event, and returns it with all its conclusions, in order.
    pub(super) fn take(&mut self, event: Event) -> Vec<Event> {
        let now = Instant { at: event.at, wall: event.wall };
        let mut all = Vec::new();
        if let (Kind::Known(known @ Known::MachineDied { .. }), Some(node)) = (&event.kind, &event.node) {
            self.died.push((node.clone(), known.to_string()));
        }
        self.judge.pass(event.at, &self.snapshot);
        let concluded = self.snapshot.apply(&event);
        if let Kind::Known(known @ Known::ProcessEnded { process, exit, .. }) = &event.kind
            && *exit != Some(0)
            && self.unwatched.contains(process)
            && !self.is_on_host_that_is_off(&event)
        {
            let view = self.snapshot.processes.get(process);
            let output = view.into_iter().flat_map(|view| view.output.iter().cloned()).collect();
            self.failed.push(FailedProcess { process: process.clone(), how: known.to_string(), output });
        }
        self.judge.apply(&event, concluded.telling, &self.snapshot);
        // Up, or off: the node has finished booting.
        if let (Some(Stage::Os | Stage::Off), Some(node)) = (concluded.stage, &event.node) {
            self.settled.insert(node.clone());
        }
        match &event.kind {
            Kind::Known(Known::ProcessReady { process, .. }) => {
                self.progress.fired.insert(Trigger::Process(process.clone()));
            }
            Kind::Known(Known::ActionDone { action }) => {
                self.progress.fired.insert(Trigger::Action(action.clone()));
            }
            _ => {}
        }
        let node = event.node.clone();
        let found = self.diagnose(&event, concluded.telling);
        let is_end = matches!(event.kind, Kind::Known(Known::TearDownStarted { .. }));
        all.push(event);
        all.extend(concluded.events().map(|known| Event::of_run(now, node.clone(), known)));
        for (node, finding) in found {
            all.extend(self.find(now, node, finding));
        }
        // What is seen of a node that stands still may explain it.
        if let Some(node) = node.filter(|node| self.stands_still(node)) {
            let found = self.diagnosis.findings(&node);
            all.extend(self.report(now, &node, found));
        }
        if is_end {
            let stuck = self.stuck(now.at);
            all.extend(stuck.into_iter().flat_map(|node| self.explain(now, &node)));
        }
        all.extend(self.decided(now));
        self.progress.settled = self.settled.len();
        all
    }

    /// Lets the diagnosis see an event. Returns the findings that are sure by it.
    fn diagnose(&mut self, event: &Event, telling: Telling) -> Vec<(NodeName, Finding)> {
        if telling == Telling::Again {
            return Vec::new();
        }
        let view = event.node.as_ref().and_then(|node| self.snapshot.nodes.get(node));
        if let (Some(node), Some(_)) = (&event.node, view) {
            let dialogue = self.dialogues.entry(node.clone()).or_default();
            if matches!(event.kind, Kind::Known(Known::PoweredOn {} | Known::Reset { .. })) {
                *dialogue = Dialogue::default();
            }
            dialogue.apply(event);
        }
        let stage = view.map_or(Stage::Off, |view| view.stage);
        let appeared = view.map(|view| view.screen.appeared()).unwrap_or_default();
        self.diagnosis.apply(event, stage, appeared)
    }

    /// Reports a finding.
    fn find(&mut self, now: Instant, node: NodeName, finding: Finding) -> Vec<Event> {
        self.take(Event::of_run(now, Some(node), Known::Diagnosed { finding: Box::new(finding) }))
    }

    /// Reports what explains why a node did not come further.
    fn explain(&mut self, now: Instant, node: &NodeName) -> Vec<Event> {
        let found = self.findings(node);
        self.report(now, node, found)
    }

    /// Reports findings, apart from those that were reported.
    fn report(&mut self, now: Instant, node: &NodeName, found: Vec<Finding>) -> Vec<Event> {
        let found = found.into_iter().take(MOST_FINDINGS);
        let known = self.snapshot.nodes.get(node).map(|view| &view.findings[..]).unwrap_or_default();
        let is_new = |finding: &Finding| {
            !known.iter().any(|known| known.id == finding.id && known.certainty == finding.certainty)
        };
        let new: Vec<Finding> = found.filter(is_new).collect();
        new.into_iter().flat_map(|finding| self.find(now, node.clone(), finding)).collect()
    }

    /// Returns the findings of a node that were reported and still hold, the best first.
    fn reported(&self, node: &NodeName) -> Vec<Finding> {
        let view = self.snapshot.nodes.get(node);
        let was_reported =
            |id: &str| view.is_some_and(|view| view.findings.iter().any(|finding| finding.id == id));
        self.findings(node).into_iter().filter(|finding| was_reported(&finding.id)).collect()
    }

    /// Returns what explains why a node did not come further, the surest first; nothing if it is up.
    pub(super) fn findings(&self, node: &NodeName) -> Vec<Finding> {
        let Some(view) = self.snapshot.nodes.get(node).filter(|view| view.boots > 0) else {
            return Vec::new();
        };
        let mut found = self.diagnosis.findings(node);
        // What may stop a boot did not stop this one.
        found.retain(|finding| view.stage < Stage::Os || finding.certainty == Certainty::Sure);
        if found.is_empty() && view.stage < Stage::Os {
            let missing = self.dialogues.get(node).and_then(Dialogue::first_missing);
            // A kernel that runs needs neither firmware nor loader any more.
            let missing = missing.filter(|divergence| !view.kernel_spoke || divergence.is_of_system());
            found.extend(missing.map(|divergence| divergence.finding(view.stage)));
        }
        found
    }

    /// Returns the nodes that died, and those that are not up and stand still.
    fn stuck(&self, now: RunTime) -> Vec<NodeName> {
        let stands_still = |view: &NodeView| moved(view).is_some_and(|moved| now.since(moved) >= STILL);
        let is_stuck = |view: &NodeView| view.power == Power::Died || stands_still(view);
        let nodes = self.snapshot.nodes.iter();
        nodes.filter(|(_, view)| is_stuck(view)).map(|(node, _)| node.clone()).collect()
    }

    /// Returns the conditions for power-ons. A node has finished booting once it is up, off, or one of its expectations
    /// is decided.
    pub(super) fn progress(&self) -> &Progress {
        &self.progress
    }

    /// Advances the time, and returns what that decided.
    pub(super) fn at(&mut self, now: Instant) -> Vec<Event> {
        let mut all: Vec<Event> = Vec::new();
        for (node, from, by) in self.snapshot.pass(now.at) {
            all.push(Event::of_run(now, Some(node), Known::Booted { from, by }));
        }
        all.extend(self.still(now));
        all.extend(self.decided(now));
        self.progress.settled = self.settled.len();
        all
    }

    /// Returns the next instant at which time alone may decide something.
    pub(super) fn deadline(&self) -> Option<RunTime> {
        let moves = self.moves().filter(|(node, moved)| self.stood.get(*node) != Some(moved));
        let still = moves.map(|(_, moved)| moved + STILL);
        self.judge
            .next_deadline(&self.snapshot)
            .into_iter()
            .chain(self.snapshot.next_deadline())
            .chain(still)
            .min()
    }

    /// Returns the nodes that are on and not up, with the instants of what last moved them on.
    fn moves(&self) -> impl Iterator<Item = (&NodeName, RunTime)> {
        self.snapshot.nodes.iter().filter_map(|(node, view)| Some((node, moved(view)?)))
    }

    /// Tells whether a node was found to stand still, and has not moved since.
    fn stands_still(&self, node: &NodeName) -> bool {
        let moved = self.snapshot.nodes.get(node).and_then(moved);
        moved.is_some() && self.stood.get(node).copied() == moved
    }

    /// Reports what may explain why a node stands still, once.
    fn still(&mut self, now: Instant) -> Vec<Event> {
        let is_new = |(node, moved): &(&NodeName, RunTime)| {
            now.at.since(*moved) >= STILL && self.stood.get(*node) != Some(moved)
        };
        let nodes: Vec<(NodeName, RunTime)> =
            self.moves().filter(is_new).map(|(node, moved)| (node.clone(), moved)).collect();
        self.stood.extend(nodes.iter().cloned());
        let found: Vec<_> =
            nodes.into_iter().map(|(node, _)| (self.diagnosis.findings(&node), node)).collect();
        found.into_iter().flat_map(|(found, node)| self.report(now, &node, found)).collect()
    }

    /// Returns the probes that should be running.
    pub(super) fn wanted(&self) -> Vec<WantedProbe> {
        self.judge.wanted(&self.snapshot)
    }

    /// Returns the result of the trial, once everything is decided that time can decide.
    pub(super) fn judged(&self) -> Option<bool> {
        self.judged.then(|| self.met())
    }

    /// Returns the snapshot.
    pub(super) fn snapshot(&self) -> &Snapshot {
        &self.snapshot
    }

    /// Returns the results of all nodes, with what the plan says about their boots.
    pub(super) fn node_reports(&self, plan: &Plan) -> BTreeMap<NodeName, NodeReport> {
        let way = |node: &NodeName| plan.nodes.get(node).and_then(|node| node.way.clone());
        let extras = |node: &NodeName| {
            let NodeKind::Qemu(qemu) = &plan.nodes.get(node)?.kind;
            qemu.extras()
        };
        let verdicts = self.verdicts();
        let failed = |node: &NodeName, view: &NodeView| {
            let mut of_node = verdicts.iter().filter(|verdict| verdict.node.as_ref() == Some(node));
            view.stage != Stage::Os || of_node.any(|verdict| !verdict.outcome.is_met())
        };
        let nodes = self.snapshot.nodes.iter();
        let report = |(node, view): (&NodeName, &NodeView)| {
            let report = NodeReport::new(view, way(node)).with_qemu(extras(node));
            let report = NodeReport { findings: self.reported(node), ..report };
            (node.clone(), if failed(node, view) { report.with_screen(view) } else { report })
        };
        nodes.map(report).collect()
    }

    /// Returns the state of every expectation.
    pub(super) fn verdicts(&self) -> Vec<Verdict> {
        let mut verdicts = self.judge.verdicts(&self.snapshot);
        for verdict in &mut verdicts {
            if matches!(verdict.outcome, Outcome::Missed { .. }) {
                let of = verdict.node.as_ref().map(std::slice::from_ref);
                let nodes = of.unwrap_or_else(|| self.judge.nodes(&verdict.expect));
                let best = nodes.iter().filter_map(|node| self.reported(node).into_iter().next());
                let best = best.min_by_key(|best| best.certainty.clone());
                verdict.because = best.as_ref().map(ToString::to_string);
            }
        }
        verdicts
    }

    /// Returns why the first action failed, if one did.
    pub(super) fn failed_action(&self) -> Option<(&ActionName, &str)> {
        let mut actions = self.snapshot.actions.iter();
        actions.find_map(|(name, view)| Some((name, view.failed.as_deref()?)))
    }

    /// Returns the results of all actions.
    pub(super) fn action_reports(&self, plan: &Plan) -> Vec<ActionReport> {
        let report = |action: &Action| {
            let view = self.snapshot.actions.get(&action.name);
            let barred =
                || self.judge.barred().find(|(other, _)| other.name == action.name).map(|(_, why)| why);
            ActionReport {
                action: action.name.clone(),
                what: expect::describe_action(action),
                nodes: view.map(|view| view.nodes.clone()).unwrap_or_default(),
                started: view.map(|view| view.started),
                ended: view.and_then(|view| view.ended),
                failed: view.and_then(|view| view.failed.clone()),
                barred: if view.is_none() { barred().map(str::to_owned) } else { None },
            }
        };
        plan.actions.values().map(report).collect()
    }

    /// Returns the machines that ended unexpectedly, with their last output.
    pub(super) fn died(&self) -> &[(NodeName, String)] {
        &self.died
    }

    /// Returns the processes that failed without an expectation about their end.
    pub(super) fn failed(&self) -> &[FailedProcess] {
        &self.failed
    }

    /// Tells whether an event is of a host that is not on: what ran there did not fail by itself.
    fn is_on_host_that_is_off(&self, event: &Event) -> bool {
        let host = event.node.as_ref().and_then(|node| self.snapshot.hosts.get(node));
        host.is_some_and(|host| host.power != Power::On)
    }

    /// Returns the nodes to which an action is done now, or why there are none.
    fn choose(&self, nodes: &Chosen) -> Result<Vec<NodeName>, String> {
        match nodes {
            Chosen::Nodes(nodes) => Ok(nodes.clone()),
            Chosen::Leader(expect) => match self.snapshot.leaders.get(expect) {
                Some(leader) => Ok(vec![leader.clone()]),
                None => Err(format!("`{expect}` saw no leader among the nodes of the lab")),
            },
            Chosen::Any(count) => {
                let on = self.snapshot.nodes.iter().filter(|(_, view)| view.power == Power::On);
                let chosen: Vec<_> = on.map(|(node, _)| node.clone()).take(*count).collect();
                match chosen.len() {
                    found if found == *count => Ok(chosen),
                    found => Err(format!("{found} of {count} nodes are on")),
                }
            }
        }
    }

    fn met(&self) -> bool {
        let bad = |verdict: &Verdict| match verdict.outcome {
            Outcome::Missed { .. } | Outcome::NotReached { .. } => true,
            Outcome::Met { .. } | Outcome::Pending { .. } => false,
        };
        !self.verdicts().iter().any(bad)
    }

    fn decided(&mut self, now: Instant) -> Vec<Event> {
        let mut all = Vec::new();
        for decision in self.judge.at(now.at, &self.snapshot) {
            let (expect, met, seen) = (decision.expect, decision.met, decision.seen);
            let is_of_it = |verdict: &&Verdict| verdict.expect == expect;
            if self.verdicts().iter().filter(is_of_it).all(|verdict| verdict.outcome.is_met()) {
                self.progress.fired.insert(Trigger::Expect(expect.clone()));
            }
            if !met {
                // What explains it comes first.
                let of = decision.node.as_ref().map(std::slice::from_ref);
                let nodes = of.unwrap_or_else(|| self.judge.nodes(&expect)).to_vec();
                all.extend(nodes.iter().flat_map(|node| self.explain(now, node)));
            }
            self.settled.extend(decision.node.clone());
            let known = Known::ExpectationDecided { expect, met, seen };
            all.push(Event::of_run(now, decision.node, known));
        }
        if self.snapshot.lab == LabState::Up {
            for action in self.judge.due(now.at, &self.snapshot) {
                let known = match self.choose(&action.nodes) {
                    Ok(nodes) => Known::ActionStarted {
                        action: action.name.clone(),
                        what: expect::deed(&action.deed),
                        nodes,
                    },
                    Err(why) => Known::ActionFailed { action: action.name.clone(), why },
                };
                all.extend(self.take(Event::of_run(now, None, known)));
            }
        }
        if !self.judged && self.snapshot.lab == LabState::Up && self.judge.done() {
            self.judged = true;
            all.push(Event::of_run(now, None, Known::Judged { met: self.met() }));
        }
        all
    }
}

/// Returns when something last moved a node on, if it is on and not up.
fn moved(view: &NodeView) -> Option<RunTime> {
    let is_on_the_way = view.stage > Stage::Off && view.stage < Stage::Os;
    is_on_the_way.then(|| view.progress.last().map_or(view.since, |last| last.at))
}

/// Returns the processes without an expectation about their end, and that are not started again after it.
fn unwatched(plan: &Plan) -> BTreeSet<ProcessName> {
    let watched = |name: &ProcessName| {
        plan.expectations.values().any(
            |expectation| matches!(&expectation.check, Check::Observed(ObservedCheck::Process { process, .. }) if process == name),
        )
    };
    let restarted: BTreeSet<&ProcessName> = plan
        .steps
        .iter()
        .filter_map(|step| match step {
            Step::Process(process) => (process.restart != Restart::Never).then_some(&process.process),
            _ => None,
        })
        .collect();
    let ends = plan.processes.iter().filter(|name| !watched(name) && !restarted.contains(name));
    ends.cloned().collect()
}

#[cfg(test)]
mod tests;
