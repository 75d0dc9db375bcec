//! Counts the boots of each node: what it loaded in an earlier boot no longer counts.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};

use crate::name::NodeName;

/// The number of boots of each node, as reported by the supervisor.
#[derive(Debug, Clone, Default)]
pub struct Boots(Arc<RwLock<HashMap<NodeName, u64>>>);

impl Boots {
    /// Records that a machine starts to boot.
    pub fn began(&self, node: &NodeName) {
        let mut boots = self.0.write().unwrap_or_else(PoisonError::into_inner);
        *boots.entry(node.clone()).or_default() += 1;
    }

    /// Returns the number of the current boot of a node.
    pub(super) fn of(&self, node: &NodeName) -> u64 {
        let boots = self.0.read().unwrap_or_else(PoisonError::into_inner);
        boots.get(node).copied().unwrap_or(0)
    }
}
