//! What waits for what in a lab.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::name::{ExpectName, NodeName, ProcessName};

/// What does not start with the lab, as the plan says, so that a record of events explains by itself what it waited for.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", default)]
pub struct Waits {
    /// How many nodes may boot in parallel; `None` without a limit.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub parallel_boots: Option<usize>,
    /// The expectation that must be met before a node is powered on; `None` if it is powered on by hand.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub nodes: BTreeMap<NodeName, Option<ExpectName>>,
    /// The expectation that must be met before a process starts.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub processes: BTreeMap<ProcessName, ExpectName>,
    /// The expectation that must be met before the time of another one starts.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub expectations: BTreeMap<ExpectName, ExpectName>,
}

impl Waits {
    /// Tells whether everything starts with the lab.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}
