//! Whose address it is that a request came from, and which addresses a node has.

use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use super::allowed_sources::AllowedSources;
use super::boots::Boots;
use crate::event::FileRole;
use crate::name::{NetworkName, NodeName};
use crate::plan::ServicePlan;

/// Who has which address, on every network of a lab.
#[derive(Debug, Clone, Default)]
pub struct Addresses(Arc<AddressTable>);

#[derive(Debug, Default)]
struct AddressTable {
    networks: RwLock<BTreeMap<NetworkName, Network>>,
    changes: AtomicU64,
}

/// Who has which address on one network.
#[derive(Debug, Default)]
struct Network {
    nodes: HashMap<IpAddr, NodeName>,
    /// Addresses that do not change.
    reserved: Vec<IpAddr>,
    /// What NICs may have without telling: the reservation that a firmware released and goes on to use, and what they give
    /// themselves from the prefix of a router advertisement (RFC 4862).
    own: HashMap<IpAddr, NodeName>,
    /// How many NICs a node has on it.
    nics: HashMap<NodeName, usize>,
}

impl Addresses {
    /// Counts how often anything has changed.
    pub(super) fn changes(&self) -> u64 {
        self.0.changes.load(Ordering::Acquire)
    }

    /// Returns the node that has an address on a network.
    pub(super) fn node(&self, network: &NetworkName, address: IpAddr) -> Option<NodeName> {
        let networks = self.0.networks.read().unwrap_or_else(PoisonError::into_inner);
        let Network { nodes, own, .. } = networks.get(network)?;
        nodes.get(&address).or_else(|| own.get(&address)).cloned()
    }

    /// Returns the network and the node that have an address.
    pub(super) fn owner(&self, address: IpAddr) -> Option<(NetworkName, NodeName)> {
        let networks = self.0.networks.read().unwrap_or_else(PoisonError::into_inner);
        networks.iter().find_map(|(name, network)| Some((name.clone(), network.nodes.get(&address)?.clone())))
    }

    /// Returns the addresses of a node on a network, in order, without those of the link itself.
    pub(super) fn of(&self, network: &NetworkName, node: &NodeName) -> Vec<IpAddr> {
        let networks = self.0.networks.read().unwrap_or_else(PoisonError::into_inner);
        let Some(network) = networks.get(network) else { return Vec::new() };
        let linked = |address: &IpAddr| matches!(address, IpAddr::V6(v6) if v6.is_unicast_link_local());
        let nodes = network.nodes.iter().filter(|(address, of)| *of == node && !linked(address));
        let mut addresses: Vec<IpAddr> = nodes.map(|(address, _)| *address).collect();
        addresses.sort();
        addresses
    }

    /// Tells whether an address was given to a node, rather than only be one that it may have.
    fn is_given(&self, network: &NetworkName, address: IpAddr, node: &NodeName) -> bool {
        let networks = self.0.networks.read().unwrap_or_else(PoisonError::into_inner);
        networks.get(network).is_some_and(|network| network.nodes.get(&address) == Some(node))
    }

    fn change(&self, network: &NetworkName, change: impl FnOnce(&mut Network)) {
        let mut networks = self.0.networks.write().unwrap_or_else(PoisonError::into_inner);
        change(networks.entry(network.clone()).or_default());
        self.0.changes.fetch_add(1, Ordering::Release);
    }
}

/// Nodes of one network by their addresses (the reserved ones, and what DHCP lends), and which of them run a boot
/// program of ours.
#[derive(Debug, Clone)]
pub(super) struct Clients {
    all: Addresses,
    network: NetworkName,
    allowed_sources: AllowedSources,
    boots: Boots,
    /// Nodes that have fetched a boot program and not yet what it reads, with the boot in which they did.
    loaded: Arc<Mutex<HashMap<NodeName, u64>>>,
}

impl Clients {
    /// Starts with what the plan of a lone network knows.
    #[cfg(test)]
    pub(super) fn new(plan: &ServicePlan) -> Self {
        Self::among(plan, Addresses::default(), Boots::default())
    }

    /// Knows nobody.
    pub(super) fn nobody() -> Self {
        Self {
            all: Addresses::default(),
            network: NetworkName::new("nobody").expect("it is a name"),
            allowed_sources: AllowedSources::of([]),
            boots: Boots::default(),
            loaded: Arc::default(),
        }
    }

    /// Starts with what the plan knows of a network beside others.
    pub(super) fn among(plan: &ServicePlan, all: Addresses, boots: Boots) -> Self {
        all.change(&plan.network, |network| {
            for host in &plan.hosts {
                let own = plan.ipv6.map(|net| host.mac.within(net));
                for address in host.ipv6.into_iter().chain(own) {
                    network.own.insert(address.into(), host.node.clone());
                }
                let addresses = [host.address.map(IpAddr::from), Some(host.mac.link_local().into())];
                for address in addresses.into_iter().flatten() {
                    network.nodes.insert(address, host.node.clone());
                    network.reserved.push(address);
                }
                *network.nics.entry(host.node.clone()).or_default() += 1;
            }
        });
        Self {
            all,
            network: plan.network.clone(),
            allowed_sources: AllowedSources::new(plan),
            boots,
            loaded: Arc::default(),
        }
    }

    /// Tells whether a datagram from an address may be answered.
    pub(super) fn may_ask(&self, address: IpAddr) -> bool {
        self.allowed_sources.has(address)
    }

    /// Notes that an address was given to a node.
    pub(super) fn learn(&self, address: impl Into<IpAddr>, node: &NodeName) {
        let address = address.into();
        if self.all.is_given(&self.network, address, node) {
            return;
        }
        self.all.change(&self.network, |network| {
            if network.nics.get(node) == Some(&1) {
                // Its only NIC has moved on from what it was lent before.
                let Network { nodes, reserved, .. } = network;
                let kin = |old: &IpAddr| old.is_ipv4() == address.is_ipv4();
                nodes.retain(|old, of| of != node || !kin(old) || reserved.contains(old));
            }
            network.nodes.insert(address, node.clone());
        });
    }

    /// Notes that nobody has an address any more.
    pub(super) fn forget(&self, address: IpAddr) {
        if self.node(address).is_some() {
            self.all.change(&self.network, |network| {
                let Network { nodes, reserved, .. } = network;
                if !reserved.contains(&address) {
                    nodes.remove(&address);
                }
            });
        }
    }

    /// Notes what a node has fetched to the end.
    pub(super) fn fetched(&self, node: &NodeName, role: &FileRole) {
        match role {
            FileRole::Loader => drop(self.loaded().insert(node.clone(), self.boots.of(node))),
            FileRole::Script => drop(self.loaded().remove(node)),
            FileRole::Kernel
            | FileRole::Initrd
            | FileRole::Seed
            | FileRole::Certificate
            | FileRole::Listing
            | FileRole::Signature
            | FileRole::File
            | FileRole::Other(_) => {}
        }
    }

    /// Tells whether a node has fetched a boot program in this boot and asks for what comes next, whatever it says that
    /// it is.
    pub(super) fn runs_program(&self, node: &NodeName) -> bool {
        self.loaded().get(node) == Some(&self.boots.of(node))
    }

    fn loaded(&self) -> MutexGuard<'_, HashMap<NodeName, u64>> {
        self.loaded.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns the node that has an address.
    pub(super) fn node(&self, address: IpAddr) -> Option<NodeName> {
        self.all.node(&self.network, address.to_canonical())
    }
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, Ipv6Addr};

    use super::*;
    use crate::serve::example;

    #[test]
    fn a_node_moves_from_one_lent_address_to_the_next() {
        let plan = example::plan();
        let all = Addresses::default();
        let clients = Clients::among(&plan, all.clone(), Boots::default());
        let (real, disk) = (NodeName::new("real").unwrap(), NodeName::new("disk").unwrap());
        let of =
            |node| all.of(&plan.network, node).iter().map(ToString::to_string).collect::<Vec<_>>().join(" ");
        assert_eq!(of(&real), "");
        let before = all.changes();
        clients.learn(Ipv4Addr::new(10, 0, 0, 32), &real);
        clients.learn(Ipv4Addr::new(10, 0, 0, 32), &real);
        assert_eq!((of(&real).as_str(), all.changes()), ("10.0.0.32", before + 1));
        clients.learn(Ipv4Addr::new(10, 0, 0, 33), &real);
        assert_eq!(of(&real), "10.0.0.33");
        assert_eq!(clients.node(Ipv4Addr::new(10, 0, 0, 32).into()), None);
        // What is reserved stays, and an address has one owner.
        clients.learn(Ipv4Addr::new(10, 0, 0, 33), &disk);
        assert_eq!((of(&real), of(&disk)), (String::new(), "10.0.0.31 10.0.0.33".to_owned()));
    }

    #[test]
    fn addresses_of_ipv6_are_beside_those_of_ipv4() {
        let mut plan = example::plan();
        plan.ipv6 = Some("fd00:83::1/64".parse().unwrap());
        let all = Addresses::default();
        let clients = Clients::among(&plan, all.clone(), Boots::default());
        let fast = NodeName::new("fast").unwrap();
        let lent = |last| Ipv6Addr::new(0xfd00, 0x83, 0, 0, 0, 0, 0, last);
        clients.learn(lent(0x11), &fast);
        clients.learn(lent(0x12), &fast);
        let of: Vec<String> = all.of(&plan.network, &fast).iter().map(ToString::to_string).collect();
        assert_eq!(of, ["10.0.0.11", "fd00:83::12"]);
        clients.forget(lent(0x12).into());
        clients.forget(Ipv4Addr::new(10, 0, 0, 11).into());
        let of: Vec<String> = all.of(&plan.network, &fast).iter().map(ToString::to_string).collect();
        assert_eq!(of, ["10.0.0.11"], "what is reserved stays");
        // What it may have given itself says who asks, and is no name of anybody.
        assert_eq!(clients.node("fd00:83::5054:ff:fe00:1".parse().unwrap()), Some(fast));
    }

    #[test]
    fn a_program_runs_until_it_has_its_script_or_the_machine_boots_again() {
        let boots = Boots::default();
        let clients = Clients::among(&example::plan(), Addresses::default(), boots.clone());
        let node = NodeName::new("fast").unwrap();
        let fetched = |role: &str| {
            clients.fetched(&node, &role.into());
            clients.runs_program(&node)
        };
        assert!(!fetched("kernel"));
        assert!(fetched("loader"));
        assert!(!fetched("script"));
        assert!(fetched("loader"));
        boots.began(&node);
        assert!(!clients.runs_program(&node), "its memory is empty");
        assert!(fetched("loader"));
        assert!(!clients.runs_program(&NodeName::new("real").unwrap()));
    }
}
