//! Whose address it is that a request came from.

use std::collections::{HashMap, HashSet};
use std::net::{IpAddr, Ipv4Addr};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use crate::name::NodeName;
use crate::plan::ServicePlan;

/// Nodes by their addresses (the reserved ones, and what DHCP lends), and which of them run a boot program of ours.
#[derive(Debug, Clone)]
pub(super) struct Clients(Arc<RwLock<Known>>);

#[derive(Debug)]
struct Known {
    nodes: HashMap<IpAddr, NodeName>,
    /// Nodes that have fetched a boot program and not yet what it reads.
    loaded: HashSet<NodeName>,
}

impl Clients {
    /// Starts with what the plan knows.
    pub(super) fn new(plan: &ServicePlan) -> Self {
        let by_address = plan.hosts.iter().flat_map(|host| {
            let addresses = [host.address.map(IpAddr::from), Some(host.mac.link_local().into())];
            addresses.into_iter().flatten().map(|address| (address, host.node.clone()))
        });
        Self(Arc::new(RwLock::new(Known { nodes: by_address.collect(), loaded: HashSet::new() })))
    }

    /// Notes that an address was given to a node.
    pub(super) fn learn(&self, address: Ipv4Addr, node: &NodeName) {
        self.write().nodes.insert(address.into(), node.clone());
    }

    /// Notes what a node has fetched to the end.
    pub(super) fn fetched(&self, node: &NodeName, role: &str) {
        match role {
            "loader" => drop(self.write().loaded.insert(node.clone())),
            "script" => drop(self.write().loaded.remove(node)),
            _ => {}
        }
    }

    /// Tells whether a node has fetched a boot program and asks for what comes next, whatever it says that it is.
    pub(super) fn runs_program(&self, node: &NodeName) -> bool {
        self.read().loaded.contains(node)
    }

    /// Returns the node that has an address.
    pub(super) fn node(&self, address: IpAddr) -> Option<NodeName> {
        self.read().nodes.get(&address.to_canonical()).cloned()
    }

    fn read(&self) -> RwLockReadGuard<'_, Known> {
        self.0.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Known> {
        self.0.write().unwrap_or_else(PoisonError::into_inner)
    }
}
