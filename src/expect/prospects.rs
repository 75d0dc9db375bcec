//! What can still happen in a run that nobody operates by hand: which nodes can still be powered on, and which
//! processes can still start.
//!
//! A node that waits for `dryrack power on` depends on the processes of the lab. Once one of them has failed and none
//! is left that could do it, its expectations cannot be met. What waits for an expectation cannot bring it about.

use std::collections::BTreeMap;

use crate::event::Stage;
use crate::lab::{Restart, Start};
use crate::name::{NodeName, ProcessName, Trigger};
use crate::observe::{Power, ProcessView, Snapshot};
use crate::plan::{Plan, Step};

/// What starts nodes and processes, by the plan.
#[derive(Debug, Clone)]
pub struct Prospects {
    nodes: BTreeMap<NodeName, Start>,
    processes: BTreeMap<ProcessName, ProcessProspect>,
}

/// When a process starts, and what its end means.
#[derive(Debug, Clone)]
struct ProcessProspect {
    /// What it starts after.
    after: Option<Trigger>,
    /// The exit code that is not a failure.
    exit: i32,
    /// Whether it is started again after a failure.
    restarts: bool,
}

/// How far something is that something else waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Awaited {
    /// It came, or may come without the expectation that is judged.
    Possible,
    /// It is the expectation that is judged, or waits for it.
    Judged,
    /// It will not come.
    Missed,
}

impl Prospects {
    /// Reads them from a plan. `exit` returns the exit code that is expected of a process.
    pub fn new(plan: &Plan, exit: impl Fn(&ProcessName) -> i32) -> Self {
        let nodes = plan.nodes.iter().map(|(name, node)| (name.clone(), node.power.clone()));
        let processes = plan.steps.iter().filter_map(|step| match step {
            Step::Process(process) => {
                let (name, after) = (process.process.clone(), process.after.clone());
                let (exit, restarts) = (exit(&name), process.restart != Restart::Never);
                Some((name, ProcessProspect { after, exit, restarts }))
            }
            _ => None,
        });
        Self { nodes: nodes.collect(), processes: processes.collect() }
    }

    /// Returns what a process starts after.
    pub(super) fn after(&self, name: &ProcessName) -> Option<&Trigger> {
        self.processes.get(name)?.after.as_ref()
    }

    /// Tells whether a process is started again after its end.
    pub(super) fn restarts(&self, name: &ProcessName) -> bool {
        self.processes.get(name).is_some_and(|process| process.restarts)
    }

    /// Returns the reason why a process will never start, if so.
    pub(super) fn never_started(
        &self,
        name: &ProcessName,
        present: &Snapshot,
        awaited: impl Fn(&Trigger) -> Awaited,
    ) -> Option<String> {
        let after = self.processes.get(name)?.after.as_ref()?;
        let waits = !present.processes.contains_key(name) && awaited(after) == Awaited::Missed;
        waits.then(|| format!("`{name}` was never started, because {}", missed(after)))
    }

    /// Returns the reason why a node will never be powered on, if so.
    ///
    /// `commands` tells whether a `command` check or an action is open that does not wait for the expectation that is
    /// judged and that may power on the node, too.
    pub(super) fn never_powered_on(
        &self,
        name: &NodeName,
        present: &Snapshot,
        commands: bool,
        awaited: impl Fn(&Trigger) -> Awaited,
    ) -> Option<String> {
        let was_on = present
            .nodes
            .get(name)
            .is_some_and(|node| node.power != Power::Off || node.boots > 0 || node.stage != Stage::Off);
        if was_on || commands || self.could_act(present, &awaited) {
            return None;
        }
        match self.nodes.get(name)? {
            Start::WithLab => None,
            Start::After(after) => (awaited(after) == Awaited::Missed)
                .then(|| format!("{name} was never powered on, because {}", missed(after))),
            Start::Manual => {
                self.failed(present).map(|how| format!("{name} was never powered on, and {how}"))
            }
        }
    }

    /// Tells whether a process runs, or can start before the expectation that is judged is decided.
    fn could_act(&self, present: &Snapshot, awaited: impl Fn(&Trigger) -> Awaited) -> bool {
        self.processes.iter().any(|(name, prospect)| match present.processes.get(name) {
            Some(process) => process.ended.is_none() || prospect.restarts,
            None => prospect.after.as_ref().is_none_or(|after| awaited(after) == Awaited::Possible),
        })
    }

    /// Returns how the first process that failed ended.
    fn failed(&self, present: &Snapshot) -> Option<String> {
        self.processes.iter().filter(|(_, prospect)| !prospect.restarts).find_map(|(name, prospect)| {
            let ended = present.processes.get(name).and_then(|ProcessView { ended, .. }| ended.as_ref())?;
            (ended.exit != Some(prospect.exit)).then(|| ended.how.clone())
        })
    }
}

/// Returns the reason why something that waits for a trigger does not start, after `because`.
fn missed(trigger: &Trigger) -> String {
    match trigger {
        Trigger::Expect(name) => format!("`{name}` was missed"),
        Trigger::Action(name) => format!("action `{name}` was not done"),
        Trigger::Process(name) => format!("process `{name}` was not ready"),
    }
}
