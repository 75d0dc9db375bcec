//! What waits for what in a lab.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::name::{ActionName, ExpectName, NodeName, ProcessName, Trigger};

/// What does not start with the lab, as the plan says, so that a record of events explains by itself what it waited for.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", default)]
pub struct Waits {
    /// How many nodes may boot in parallel; `None` without a limit.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub parallel_boots: Option<usize>,
    /// What a node is powered on after; `None` if it is powered on by hand.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub nodes: BTreeMap<NodeName, Option<Trigger>>,
    /// What a process starts after.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub processes: BTreeMap<ProcessName, Trigger>,
    /// What the time of an expectation starts after.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub expectations: BTreeMap<ExpectName, Trigger>,
    /// What an action comes after.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub actions: BTreeMap<ActionName, Trigger>,
}

impl Waits {
    /// Tells whether everything starts with the lab.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}
