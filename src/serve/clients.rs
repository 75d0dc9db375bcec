//! Whose address it is that a request came from.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::{Arc, PoisonError, RwLock};

use crate::name::NodeName;
use crate::plan::ServicePlan;

/// Nodes by their addresses: the reserved ones, and what DHCP lends.
#[derive(Debug, Clone)]
pub(super) struct Clients(Arc<RwLock<HashMap<IpAddr, NodeName>>>);

impl Clients {
    /// Starts with what the plan knows.
    pub(super) fn new(plan: &ServicePlan) -> Self {
        let by_address = plan.hosts.iter().flat_map(|host| {
            let addresses = [host.address.map(IpAddr::from), Some(host.mac.link_local().into())];
            addresses.into_iter().flatten().map(|address| (address, host.node.clone()))
        });
        Self(Arc::new(RwLock::new(by_address.collect())))
    }

    /// Notes that an address was given to a node.
    pub(super) fn learn(&self, address: Ipv4Addr, node: &NodeName) {
        let mut clients = self.0.write().unwrap_or_else(PoisonError::into_inner);
        clients.insert(address.into(), node.clone());
    }

    /// Returns the node that has an address.
    pub(super) fn node(&self, address: IpAddr) -> Option<NodeName> {
        let clients = self.0.read().unwrap_or_else(PoisonError::into_inner);
        clients.get(&address.to_canonical()).cloned()
    }
}
