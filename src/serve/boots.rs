//! How often each node's machine has begun to boot: what it had loaded before is gone.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};

use crate::name::NodeName;

/// How often each node's machine has begun to boot, as whoever runs the machines tells.
#[derive(Debug, Clone, Default)]
pub struct Boots(Arc<RwLock<HashMap<NodeName, u64>>>);

impl Boots {
    /// Notes that a machine begins to boot.
    pub fn began(&self, node: &NodeName) {
        let mut boots = self.0.write().unwrap_or_else(PoisonError::into_inner);
        *boots.entry(node.clone()).or_default() += 1;
    }

    /// Returns which boot of its machine a node is in.
    pub(super) fn of(&self, node: &NodeName) -> u64 {
        let boots = self.0.read().unwrap_or_else(PoisonError::into_inner);
        boots.get(node).copied().unwrap_or(0)
    }
}
