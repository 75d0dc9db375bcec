//! Gates: what an expectation or an action waits for, and how far an action is.

use std::fmt;

use crate::event::RunTime;
use crate::lab::{Action, Chosen, Deed, PowerAction};
use crate::name::{NodeName, Trigger};

/// Whether the time of an expectation or an action has started.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Gate {
    /// It waits for that.
    After(Trigger),
    /// From the start of the run; its time counts from when the lab is up.
    WithLab,
    /// Since that instant.
    Since(RunTime),
}

impl Gate {
    /// Returns when the time started, if it has.
    pub(super) fn since(&self, up: Option<RunTime>) -> Option<RunTime> {
        match self {
            Self::After(_) => None,
            Self::WithLab => up,
            Self::Since(at) => Some(*at),
        }
    }
}

/// Whether a trigger has come.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Gone {
    /// It may still come.
    NotYet,
    /// It came at that instant.
    At(RunTime),
    /// It will not come: since when, and why.
    Never(RunTime, String),
}

/// The coming of a trigger, as the end of a sentence.
pub(super) struct Passage<'a>(pub(super) &'a Trigger);

impl fmt::Display for Passage<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Trigger::Expect(name) => write!(f, "`{name}` was met"),
            Trigger::Action(name) => write!(f, "action `{name}` was done"),
            Trigger::Process(name) => write!(f, "process `{name}` was ready"),
        }
    }
}

/// One action.
#[derive(Debug, Clone)]
pub(super) struct ActionItem {
    pub(super) action: Action,
    pub(super) gate: Gate,
    pub(super) state: ActionState,
}

/// How far an action is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum ActionState {
    /// Its time has not come.
    Waiting,
    /// It was started.
    Started,
    /// It has ended, done or failed.
    Ended,
    /// Its time will not come: since when, and why.
    Barred(RunTime, String),
}

impl ActionItem {
    pub(super) fn new(action: Action) -> Self {
        let gate = action.after.clone().map_or(Gate::WithLab, Gate::After);
        Self { action, gate, state: ActionState::Waiting }
    }

    /// Returns when it is started, if that is known and it was not.
    pub(super) fn due(&self, up: Option<RunTime>) -> Option<RunTime> {
        // Nothing is done to a lab that is not up yet.
        let since = self.gate.since(up)?.max(up?);
        (self.state == ActionState::Waiting).then(|| since + self.action.delay)
    }

    /// Tells whether it may still have an effect.
    pub(super) fn is_open(&self) -> bool {
        match self.state {
            ActionState::Waiting | ActionState::Started => true,
            ActionState::Ended | ActionState::Barred(..) => false,
        }
    }

    /// Tells whether it could power on a node.
    pub(super) fn may_power_on(&self, node: &NodeName) -> bool {
        let powers_on = match &self.action.deed {
            Deed::Power(power) => match power {
                PowerAction::On | PowerAction::Cycle => true,
                PowerAction::Off | PowerAction::ForceOff | PowerAction::Reset | PowerAction::Nmi => false,
            },
            Deed::Reinstall { .. } => true,
            // A command can do anything.
            Deed::Command { .. } | Deed::Ssh { .. } => return true,
            Deed::Link { .. } | Deed::Media { .. } | Deed::BootNext(_) => false,
        };
        let is_meant = match &self.action.nodes {
            Chosen::Nodes(nodes) => nodes.contains(node),
            Chosen::Leader(_) => true,
            // They are on already.
            Chosen::Any(_) => false,
        };
        powers_on && is_meant
    }
}
