//! Expectations judged on the current state and on events: what must, or must never, happen.
//!
//! Reads no clock and asks nobody: events and instants come in, decisions come
//! out, and [`Judge::wanted`] says which probes somebody else should carry out.
//!
//! ```text
//!            `after` met for all nodes             true long enough
//! closed ───────────────────────────────▶ open ───────────────────────▶ met      (of a `never`: missed)
//!    │ `after` missed                      │ time over, machine died
//!    └──────────────▶ not reached          └──────────────────────────▶ missed   (of a `never`: met)
//! ```
//!
//! * Time runs from the instant at which `after` was met for all its nodes, else
//!   from [`LabUp`](crate::event::Known::LabUp); for a node with `start =
//!   "manual"` too. What happens is seen from the run's start on.
//! * What must be true has to become true `within` that time, and then has to stay
//!   true for `holds`, which may end later. A line that was printed stays printed.
//! * What is counted (boots, fetches) counts from the run's start, whenever the time
//!   begins; a number that was passed is missed at once.
//! * A machine that died, or that QEMU gave up, cannot meet anything any more. One
//!   that powers itself off can: somebody may start it again.

mod count;
mod describe;
mod judge;
mod subject;

use serde::{Deserialize, Serialize};

use crate::event::{Ago, RunTime};
use crate::name::{ExpectName, NodeName};

pub use describe::describe;
pub use judge::Judge;

/// An expectation was decided for one of its nodes, or for the lab.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decision {
    /// The expectation.
    pub expect: ExpectName,
    /// The node; `None` for a check of several nodes together, or of the lab.
    pub node: Option<NodeName>,
    /// Whether it was met.
    pub met: bool,
    /// Why, and what was seen last.
    pub seen: String,
}

/// A probe that should be running.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct WantedProbe {
    /// The expectation.
    pub expect: ExpectName,
    /// The node; `None` for a check of several nodes together, or of the lab.
    pub node: Option<NodeName>,
    /// Where it has to stay true: the instant from which on the first success completes it. A prober that reports only
    /// changes reports that success too.
    pub confirm_at: Option<RunTime>,
}

/// How an expectation turned out for one of its nodes, or for the lab.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Verdict {
    /// The expectation.
    pub expect: ExpectName,
    /// The node; `None` for a check of several nodes together, or of the lab.
    pub node: Option<NodeName>,
    /// What it asks for, as people read it.
    pub what: String,
    /// When its time began; `None` if it never did.
    pub since: Option<RunTime>,
    /// How it turned out.
    #[serde(flatten)]
    pub outcome: Outcome,
}

/// How an expectation turned out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "outcome", rename_all = "kebab-case")]
pub enum Outcome {
    /// It is not decided yet.
    Pending {
        /// What was seen last.
        seen: Vec<Evidence>,
    },
    /// It was met.
    Met {
        /// When.
        at: RunTime,
        /// What met it.
        why: String,
    },
    /// It was missed.
    Missed {
        /// When.
        at: RunTime,
        /// Why.
        why: String,
        /// What was seen last.
        seen: Vec<Evidence>,
    },
    /// Its time never began, because something before it was missed.
    NotReached {
        /// When that was clear.
        at: RunTime,
        /// Why.
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

    /// Returns the word for it.
    pub fn word(&self) -> &'static str {
        match self {
            Self::Pending { .. } => "pending",
            Self::Met { .. } => "met",
            Self::Missed { .. } => "missed",
            Self::NotReached { .. } => "not reached",
        }
    }

    /// Returns why, and what was seen last and how long before `now`.
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

/// Something that was seen while an expectation waited.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Evidence {
    /// How it is introduced: `last probe saw`, `last seen:`.
    pub of: String,
    /// What was seen.
    pub what: String,
    /// When.
    pub at: RunTime,
}

#[cfg(test)]
mod tests;
