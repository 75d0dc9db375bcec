//! Several nodes of which some must meet a check at once.

use std::collections::BTreeMap;
use std::time::Duration;

use super::subject::{Subject, is_probed};
use crate::event::RunTime;
use crate::lab::{Expectation, Polarity};
use crate::name::NodeName;
use crate::observe::NodeView;

/// Longer than any run: what the nodes meet one by one decides nothing.
const FOREVER: Duration = Duration::from_secs(1 << 31);

/// The nodes of an expectation with a quorum.
///
/// Each of them has its own state, as if it were alone. The expectation itself has one more, which is true while at
/// least so many nodes meet the check at the same instant; they need not be the same ones all the time.
#[derive(Debug, Clone)]
pub(super) struct Quorum {
    needed: usize,
    /// The expectation of each node, without a time limit.
    of: Expectation,
    members: Vec<Subject>,
}

impl Quorum {
    /// Creates it for an expectation that has one.
    pub(super) fn new(expectation: &Expectation) -> Option<Self> {
        let needed = expectation.quorum?;
        let of = Expectation {
            within: None,
            holds: FOREVER,
            sense: Polarity::Must,
            progress: None,
            quorum: None,
            ..expectation.clone()
        };
        let members = expectation.nodes.iter().map(|node| Subject::new(Some(node.clone())));
        Some(Self { needed, members: members.collect(), of })
    }

    /// Returns the nodes that can still meet the check.
    pub(super) fn open(&self) -> impl Iterator<Item = &NodeName> {
        self.members.iter().filter(|member| member.is_open()).filter_map(|member| member.node.as_ref())
    }

    /// Returns the open state of a node.
    pub(super) fn member(&mut self, node: Option<&NodeName>) -> Option<&mut Subject> {
        self.members.iter_mut().find(|member| member.is_open() && member.node.as_ref() == node)
    }

    /// Records one more occurrence of what is counted.
    pub(super) fn count(&mut self, node: Option<&NodeName>) {
        self.members.iter_mut().filter(|member| member.node.as_ref() == node).for_each(Subject::count);
    }

    /// Applies the result of a node's probe.
    pub(super) fn on_probe(&mut self, node: Option<&NodeName>, at: RunTime, ok: bool, seen: &str) {
        let of = self.of.clone();
        if let Some(member) = self.member(node) {
            member.on_probe(&of, at, ok, seen, &[]);
        }
    }

    /// Compares the state of the nodes with the expected one, and tells `whole` whether enough of them meet the check.
    pub(super) fn settle(
        &mut self,
        whole: &mut Subject,
        expectation: &Expectation,
        now: RunTime,
        nodes: &BTreeMap<NodeName, NodeView>,
    ) {
        for member in self.members.iter_mut().filter(|member| member.is_open()) {
            let Some(view) = member.node.as_ref().and_then(|node| nodes.get(node)) else { continue };
            member.compare(&self.of, now, view);
            if let (true, Some(why)) = (member.is_open(), view.dead.clone()) {
                member.miss(&self.of, now, why, None);
            }
        }
        let summary = self.summary();
        whole.summarize(summary.clone());
        let holding = || self.members.iter().filter(|member| member.is_open() && member.is_holding());
        if holding().count() >= self.needed {
            whole.on_true(now, &summary);
            // Time alone does not show that probes would still succeed, so enough of them have to complete the hold.
            let confirm = whole.confirm_at(expectation).filter(|_| is_probed(&self.of.check));
            if let Some(confirm) = confirm.filter(|confirm| *confirm <= now)
                && holding().filter(|member| member.probed_at() >= Some(confirm)).count() >= self.needed
            {
                whole.held(expectation, now, &summary);
            }
        } else {
            whole.on_false();
        }
        if whole.is_open() && expectation.sense == Polarity::Must && self.open().count() < self.needed {
            whole.miss(expectation, now, summary, None);
        }
    }

    /// Returns why too few nodes can still meet the check, if `hopeless` returns for some why they cannot.
    pub(super) fn hopeless(&self, hopeless: impl Fn(&NodeName) -> Option<String>) -> Option<String> {
        let reasons: Vec<String> = self.open().filter_map(hopeless).collect();
        let possible = self.open().count() - reasons.len();
        (possible < self.needed && !reasons.is_empty()).then(|| reasons.join("; "))
    }

    /// Returns which nodes meet the check, and for each other one what was seen last.
    fn summary(&self) -> String {
        let (met, others): (Vec<_>, Vec<_>) =
            self.members.iter().partition(|member| member.is_open() && member.is_holding());
        let name = |member: &Subject| member.node.as_ref().map(ToString::to_string).unwrap_or_default();
        let mut parts: Vec<String> = Vec::new();
        if !met.is_empty() {
            parts.push(met.iter().map(|member| name(member)).collect::<Vec<_>>().join(", "));
        }
        let not = others.iter().map(|member| match member.last_reason() {
            Some(why) => format!("not {}: {why}", name(member)),
            None => format!("not {}", name(member)),
        });
        parts.extend(not);
        let nodes = if self.members.len() == 1 { "node" } else { "nodes" };
        format!("{} of {} {nodes} met it ({})", met.len(), self.members.len(), parts.join("; "))
    }
}
