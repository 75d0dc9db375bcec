//! Counts the boots of each node: what it loaded in an earlier boot no longer counts.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use crate::name::NodeName;

/// The number of boots of each node, as reported by the supervisor, and what each has loaded.
#[derive(Debug, Clone, Default)]
pub struct Boots {
    counts: Arc<RwLock<HashMap<NodeName, u64>>>,
    /// Nodes that have fetched a boot program but not its configuration yet, with the boot in which they did. The DHCP
    /// server that must know it may be on another network than the TFTP server that has seen it.
    loaded: Arc<Mutex<HashMap<NodeName, u64>>>,
}

impl Boots {
    /// Records that a machine starts to boot.
    pub fn began(&self, node: &NodeName) {
        let mut boots = self.counts.write().unwrap_or_else(PoisonError::into_inner);
        *boots.entry(node.clone()).or_default() += 1;
    }

    /// Returns the number of the current boot of a node.
    pub(super) fn of(&self, node: &NodeName) -> u64 {
        let boots = self.counts.read().unwrap_or_else(PoisonError::into_inner);
        boots.get(node).copied().unwrap_or(0)
    }

    /// Returns the nodes that have fetched a boot program.
    pub(super) fn loaded(&self) -> MutexGuard<'_, HashMap<NodeName, u64>> {
        self.loaded.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
