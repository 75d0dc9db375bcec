//! From where the lab reaches its machines.
//!
//! That is the namespace with the bridges, in which the supervisor is, but on a network without an address a host.

use std::collections::BTreeMap;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};

use ipnet::Ipv4Net;
use tokio::net::TcpStream;

use crate::name::NodeName;
use crate::node::host::{HostMachine, Space};
use crate::plan::{Plan, Step};

/// The hosts of a run that are prepared.
#[derive(Clone, Default)]
pub struct Hosts(Arc<Mutex<BTreeMap<NodeName, Arc<HostMachine>>>>);

impl Hosts {
    /// Returns a host.
    pub fn get(&self, host: &NodeName) -> Option<Arc<HostMachine>> {
        self.lock().get(host).cloned()
    }

    pub(super) fn insert(&self, host: NodeName, machine: HostMachine) {
        self.lock().insert(host, Arc::new(machine));
    }

    pub(super) fn remove(&self, host: &NodeName) -> Option<Arc<HostMachine>> {
        self.lock().remove(host)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeMap<NodeName, Arc<HostMachine>>> {
        // Every change is a single operation, so a panic leaves nothing half done.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// From where addresses are reached.
#[derive(Clone, Default)]
pub struct Reaching {
    /// The networks without an address that are reached from a host.
    networks: Vec<(Ipv4Net, NodeName)>,
    hosts: Hosts,
}

impl std::fmt::Debug for Reaching {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Reaching").field("networks", &self.networks).finish_non_exhaustive()
    }
}

/// The host from which an address is reached is off.
#[derive(Debug, thiserror::Error)]
#[error("host `{0}`, from which its network is reached, is off")]
pub struct HostOff(NodeName);

impl Reaching {
    /// Returns it for the networks of a plan.
    pub fn new(plan: &Plan, hosts: Hosts) -> Self {
        let network = |step: &Step| match step {
            Step::Serve(service) => Some((service.subnet, service.probe_from.clone()?)),
            _ => None,
        };
        Self { networks: plan.steps.iter().filter_map(network).collect(), hosts }
    }

    /// Returns the hosts of the run.
    pub(super) fn hosts(&self) -> &Hosts {
        &self.hosts
    }

    /// Returns the host from which an address is reached; `None` if it is reached from the bridges.
    pub fn from(&self, address: IpAddr) -> Result<Option<Arc<Space>>, HostOff> {
        let IpAddr::V4(address) = address else { return Ok(None) };
        let Some((_, host)) = self.networks.iter().find(|(subnet, _)| subnet.contains(&address)) else {
            return Ok(None);
        };
        let space = self.hosts.get(host).and_then(|host| host.space().borrow().clone());
        space.map(Some).ok_or_else(|| HostOff(host.clone()))
    }

    /// Connects by TCP.
    pub async fn connect(&self, to: SocketAddr) -> io::Result<TcpStream> {
        match self.from(to.ip()).map_err(io::Error::other)? {
            None => TcpStream::connect(to).await,
            Some(space) => space.network().connect(to).await,
        }
    }
}
