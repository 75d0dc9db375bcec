//! Conclusions from events: stages, verdicts, the end of the trial. Uses no clock, file or socket.

use std::collections::{BTreeMap, BTreeSet};

use super::executor::Progress;
use crate::event::{Event, Instant, Kind, Known, RunTime, Stage};
use crate::expect::{Judge, Outcome, Verdict, WantedProbe};
use crate::lab::{Check, ObservedCheck, Restart};
use crate::name::{NodeName, ProcessName};
use crate::observe::{LabState, NodeView, Power, Snapshot};
use crate::plan::{NodeKind, Plan, Step};
use crate::report::NodeReport;

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
}

impl Fold {
    /// Starts with the plan of a lab in which nothing has happened yet.
    pub(super) fn new(plan: &Plan) -> Self {
        let snapshot = Snapshot::new(plan.nodes.keys().cloned()).with_hosts(plan.hosts.keys().cloned());
        Self {
            snapshot,
            judge: Judge::new(&plan.expectations),
            judged: false,
            died: Vec::new(),
            unwatched: unwatched(plan),
            failed: Vec::new(),
            settled: BTreeSet::new(),
            progress: Progress::default(),
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
        let node = event.node.clone();
        all.push(event);
        all.extend(concluded.events().map(|known| Event::of_run(now, node.clone(), known)));
        all.extend(self.decided(now));
        self.progress.settled = self.settled.len();
        all
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
        all.extend(self.decided(now));
        self.progress.settled = self.settled.len();
        all
    }

    /// Returns the next instant at which time alone may decide something.
    pub(super) fn deadline(&self) -> Option<RunTime> {
        self.judge.next_deadline(&self.snapshot).into_iter().chain(self.snapshot.next_deadline()).min()
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
            (node.clone(), if failed(node, view) { report.with_screen(view) } else { report })
        };
        nodes.map(report).collect()
    }

    /// Returns the state of every expectation.
    pub(super) fn verdicts(&self) -> Vec<Verdict> {
        self.judge.verdicts(&self.snapshot)
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
                self.progress.met.insert(expect.clone());
            }
            self.settled.extend(decision.node.clone());
            let known = Known::ExpectationDecided { expect, met, seen };
            all.push(Event::of_run(now, decision.node, known));
        }
        if !self.judged && self.snapshot.lab == LabState::Up && self.judge.done() {
            self.judged = true;
            all.push(Event::of_run(now, None, Known::Judged { met: self.met() }));
        }
        all
    }
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
