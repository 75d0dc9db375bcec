//! The timeline of a run: each boot of each node with its stages, and in each stage what was asked and answered.
//!
//! A fold over events alone, of a run that is going on, has ended or was killed, and of a capture. An exchange that
//! several sources report is in it once. Stages and boots are the conclusions of [`Snapshot`](super::Snapshot);
//! recorded ones are ignored.

mod exchange;
mod fold;

use std::collections::BTreeMap;

use serde::{Serialize, Serializer};

pub use exchange::{Answer, ExchangeOutcome, SeenExchange, Took};
pub use fold::{Happened, TimelineFold};

use crate::event::{BootedFrom, Event, PowerCause, RunTime, Source, Stage, Waits};
use crate::name::{ExpectName, NodeName, ProcessName};

/// What happened in a run, in order. Instants are nanoseconds since its start.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Timeline {
    /// The name of the lab.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lab: Option<String>,
    /// The accelerator of its machines.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub accel: Option<String>,
    /// What waits for what.
    pub waits: Waits,
    /// When the last step of the plan took effect that waits for nothing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub up: Option<RunTime>,
    /// When the lab began to be torn down, and why.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub torn_down: Option<TearDown>,
    /// The exit code, once the run has ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub exit: Option<u8>,
    /// The instant of the latest event.
    pub until: RunTime,
    /// The steps of the plan, in order.
    pub steps: Vec<StepSpan>,
    /// The processes, in the order of their starts.
    pub processes: Vec<ProcessSpan>,
    /// The nodes.
    pub nodes: BTreeMap<NodeName, NodeTimeline>,
    /// What concerns no known node.
    pub others: Entries,
    /// The expectations that were decided, in order.
    pub decisions: Vec<Decided>,
}

/// The end of a lab.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct TearDown {
    /// When it began.
    pub at: RunTime,
    /// Who or what requested it.
    pub why: String,
}

/// A step of the plan.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct StepSpan {
    /// When the step before it was done. If it waited for something, that time is included.
    pub began: RunTime,
    /// When it took effect, or failed.
    pub ended: RunTime,
    /// The step as text.
    pub text: String,
    /// The error with its causes, if it failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

/// A process beside the nodes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ProcessSpan {
    /// Its name.
    pub process: ProcessName,
    /// When it was started.
    pub began: RunTime,
    /// When it ended by itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ended: Option<RunTime>,
    /// How it ended, as text.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status: Option<String>,
    /// The lines that it printed.
    pub marks: Vec<Mark>,
}

/// An expectation that was decided.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Decided {
    /// When.
    pub at: RunTime,
    /// The expectation.
    pub expect: ExpectName,
    /// The node; `None` for the lab.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub node: Option<NodeName>,
    /// Whether it was met.
    pub met: bool,
    /// What was seen last.
    pub seen: String,
    /// What decided it.
    pub by: DecidedBy,
}

/// What decided an expectation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum DecidedBy {
    /// Something that a node did, or that was seen of it.
    Node(NodeName),
    /// Something that a process did.
    Process(ProcessName),
    /// A probe of several nodes together, or another event of the lab.
    Lab,
    /// Its time was over, or another expectation was decided.
    Time,
    /// The end of the run.
    End,
}

/// The boots of a node.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct NodeTimeline {
    /// What happened before its first boot.
    #[serde(skip_serializing_if = "Entries::is_empty")]
    pub before: Entries,
    /// Its boots, in order.
    pub boots: Vec<Boot>,
}

/// A boot of a node, until the next one.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Boot {
    /// What it began with.
    pub by: BootCause,
    /// When it began.
    pub began: RunTime,
    /// When the next boot began, or the lab was torn down.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ended: Option<RunTime>,
    /// The boot source, once known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub from: Option<BootedFrom>,
    /// The evidence of the boot source.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub evidence: String,
    /// Its stages, in order.
    pub stages: Vec<StageSpan>,
}

/// What a boot began with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BootCause {
    /// The machine was powered on.
    PoweredOn,
    /// The machine was reset.
    Reset(PowerCause),
    /// Its firmware was seen to ask for something.
    Seen,
}

impl Serialize for BootCause {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(&match self {
            Self::PoweredOn => "powered-on".to_owned(),
            Self::Reset(why) => format!("reset-by-{why}"),
            Self::Seen => "seen".to_owned(),
        })
    }
}

/// A stage of a boot, with what happened in it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct StageSpan {
    /// The stage.
    pub stage: Stage,
    /// When it was reached.
    pub began: RunTime,
    /// When the next stage or boot began, or the lab was torn down.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ended: Option<RunTime>,
    /// What happened in it. An exchange belongs to the stage in which it began, and may have ended the stage.
    #[serde(flatten)]
    pub entries: Entries,
}

/// What happened, in order.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Entries {
    /// Requests with their answers.
    pub exchanges: Vec<SeenExchange>,
    /// Everything else.
    pub marks: Vec<Mark>,
}

impl Entries {
    /// Tells whether nothing happened.
    pub fn is_empty(&self) -> bool {
        self.exchanges.is_empty() && self.marks.is_empty()
    }
}

/// Something that is no exchange.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Mark {
    /// When.
    pub at: RunTime,
    /// Who reports it.
    pub source: Source,
    /// What it is about.
    pub kind: MarkKind,
    /// Its topic in one word: `power`, `console`, `link`.
    pub topic: String,
    /// What happened.
    pub text: String,
}

/// What a [`Mark`] is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum MarkKind {
    /// A line of a console, a screen, syslog or a process.
    Line,
    /// The result of a probe.
    Probe,
    /// A change: power, links, commands, addresses.
    Change,
    /// Something that went wrong.
    Trouble,
}

impl Timeline {
    /// Folds events into a timeline.
    pub fn new<'a>(events: impl IntoIterator<Item = &'a Event>) -> Self {
        let mut fold = TimelineFold::default();
        for event in events {
            fold.apply(event);
        }
        fold.timeline()
    }

    /// Returns the end of what is not over: when the lab was torn down, else the latest event.
    pub fn end(&self) -> RunTime {
        self.torn_down.as_ref().map_or(self.until, |down| down.at)
    }
}

#[cfg(test)]
mod tests;
