//! Expectations, judged by the current state and by events: what must, or must never, happen; and when actions are due.
//!
//! Reads no clock and does no I/O: events and instants come in, decisions come out, and [`Judge::wanted`] lists the
//! probes that the caller should run.
//!
//! ```text
//!            `after` met for all nodes             true long enough
//! closed ───────────────────────────────▶ open ───────────────────────▶ met      (of a `never`: missed)
//!    │ `after` missed                      │ time over, machine died
//!    └──────────────▶ not reached          └──────────────────────────▶ missed   (of a `never`: met)
//! ```
//!
//! * Time runs from the instant at which `after` came (an expectation met for all its nodes, an action done, a process
//!   ready), else from
//!   [`LabUp`](crate::event::Known::LabUp), even for a node with `start = "manual"`. Events count from the start of the
//!   run.
//! * A check has to become true `within` that time, and then has to stay true for `holds`, which may end later. A
//!   console line, once printed, stays true.
//! * Counted checks (boots, fetches) count from the start of the run, whenever the time starts; a number that was
//!   exceeded is missed at once.
//! * An action is due once, when its `after` came and its delay is over; then [`Judge::due`] returns it. A trial is not
//!   over while one is due or in progress.
//! * A machine that ended unexpectedly, or that QEMU stopped for good, can no longer meet anything. One that powers
//!   itself off can: a user may start it again.
//! * With a quorum, there is one verdict for all nodes: the check is true while at least so many of them meet it at the
//!   same instant. A node that died, or that can no longer meet it, counts as one that does not.
//! * In a run that nobody operates, an expectation is missed at once if the nodes or the process that it is about can
//!   no longer start: what they wait for was missed, or a process failed and no other is left that could power on a node
//!   with `start = "manual"`.

mod count;
mod describe;
mod gate;
mod judge;
mod life;
mod prospects;
mod quorum;
mod subject;

use serde::{Deserialize, Serialize};

use crate::event::{Ago, RunTime};
use crate::name::{ExpectName, NodeName};

pub use describe::{deed, describe, describe_action};
pub use judge::Judge;
pub use prospects::Prospects;

/// An expectation was decided for one of its nodes, or for the lab.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decision {
    /// The expectation.
    pub expect: ExpectName,
    /// The node; `None` for a check of several nodes together, or of the lab.
    pub node: Option<NodeName>,
    /// Whether it was met.
    pub met: bool,
    /// The reason, with the last observation.
    pub seen: String,
}

/// A probe that should be running.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct WantedProbe {
    /// The expectation.
    pub expect: ExpectName,
    /// The node; `None` for a check of several nodes together, or of the lab.
    pub node: Option<NodeName>,
    /// If the check has to stay true: the instant from which the first success completes it. A prober that reports only
    /// changes also reports that success.
    pub confirm_at: Option<RunTime>,
}

/// The verdict on an expectation for one of its nodes, or for the lab.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Verdict {
    /// The expectation.
    pub expect: ExpectName,
    /// The node; `None` for a check of several nodes together, or of the lab.
    pub node: Option<NodeName>,
    /// The expectation as text.
    pub what: String,
    /// When its time started; `None` if it never did.
    pub since: Option<RunTime>,
    /// The outcome.
    #[serde(flatten)]
    pub outcome: Outcome,
    /// What explains why it is not met: the name and the title of a finding.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub because: Option<String>,
}

/// The outcome of an expectation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "outcome", rename_all = "kebab-case")]
pub enum Outcome {
    /// Not decided yet.
    Pending {
        /// The last observation.
        seen: Vec<Evidence>,
    },
    /// Met.
    Met {
        /// When.
        at: RunTime,
        /// The evidence.
        why: String,
    },
    /// Missed.
    Missed {
        /// When.
        at: RunTime,
        /// The reason.
        why: String,
        /// The last observation.
        seen: Vec<Evidence>,
        /// Lines that show why: the last ones of the process that failed, or those that a probe collected.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        output: Vec<String>,
    },
    /// Not reached: its time never started, because an expectation before it was missed.
    NotReached {
        /// When that was decided.
        at: RunTime,
        /// The reason.
        why: String,
    },
}

impl Outcome {
    /// Tells whether it counts as met.
    pub fn is_met(&self) -> bool {
        matches!(self, Self::Met { .. })
    }

    /// Returns when it was decided.
    pub fn at(&self) -> Option<RunTime> {
        match self {
            Self::Met { at, .. } | Self::Missed { at, .. } | Self::NotReached { at, .. } => Some(*at),
            Self::Pending { .. } => None,
        }
    }

    /// Returns the lines that show why it was missed: of the process that failed, or of the probe.
    pub fn output(&self) -> &[String] {
        match self {
            Self::Missed { output, .. } => output,
            Self::Pending { .. } | Self::Met { .. } | Self::NotReached { .. } => &[],
        }
    }

    /// Returns the outcome in one word.
    pub fn word(&self) -> &'static str {
        match self {
            Self::Pending { .. } => "pending",
            Self::Met { .. } => "met",
            Self::Missed { .. } => "missed",
            Self::NotReached { .. } => "not reached",
        }
    }

    /// Returns the reason, and the last observation with its age at `now`.
    pub fn explain(&self, now: RunTime) -> String {
        let (first, seen) = match self {
            Self::Met { why, .. } | Self::NotReached { why, .. } => return why.clone(),
            Self::Missed { why, seen, .. } => (Some(why.clone()), seen),
            Self::Pending { seen } => (None, seen),
        };
        let seen = seen.iter().map(|evidence| {
            format!("{} {}, {} ago", evidence.of, evidence.what, Ago(now.since(evidence.at)))
        });
        let parts: Vec<String> = first.into_iter().chain(seen).collect();
        parts.join("; ")
    }
}

/// An observation while an expectation waited.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Evidence {
    /// Its introduction: `last probe saw`, `last seen:`.
    pub of: String,
    /// The observation.
    pub what: String,
    /// When.
    pub at: RunTime,
}

#[cfg(test)]
mod tests;
