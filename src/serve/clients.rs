//! Maps addresses to nodes, and nodes to addresses.

use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard};

use super::allowed_sources::AllowedSources;
use super::boots::Boots;
use crate::event::{FileRole, Known, LearnedBy, LearnedFrom};
use crate::name::{NetworkName, NodeName};
use crate::observe::AddressBook;
use crate::plan::ServicePlan;

/// The addresses of nodes on every network of a lab.
///
/// Services update this before they answer, and emit an event: so the fold over events has the same result.
#[derive(Debug, Clone, Default)]
pub struct Addresses(Arc<AddressTable>);

#[derive(Debug, Default)]
struct AddressTable {
    book: RwLock<AddressBook>,
    changes: AtomicU64,
}

impl Addresses {
    /// The number of changes.
    pub(super) fn changes(&self) -> u64 {
        self.0.changes.load(Ordering::Acquire)
    }

    /// Records the address of a node. Tells whether it was new.
    pub fn learn(&self, network: &NetworkName, node: &NodeName, address: IpAddr, by: LearnedBy) -> bool {
        // Most are not new.
        let is_known = self.book().is_known(network, node, address, &by);
        !is_known && self.change(|book| book.learn(network, node, address, by))
    }

    /// Returns the network and the node that have an address.
    pub(super) fn owner(&self, address: IpAddr) -> Option<(NetworkName, NodeName)> {
        self.book().owner(address).map(|(network, node)| (network.clone(), node.clone()))
    }

    /// Returns the addresses of a node on a network, in order, without link-local ones.
    pub(super) fn of(&self, network: &NetworkName, node: &NodeName) -> Vec<IpAddr> {
        self.book().of(network, node).collect()
    }

    fn book(&self) -> RwLockReadGuard<'_, AddressBook> {
        self.0.book.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Applies a change, and tells whether anything changed.
    fn change(&self, change: impl FnOnce(&mut AddressBook) -> bool) -> bool {
        let changed = change(&mut self.0.book.write().unwrap_or_else(PoisonError::into_inner));
        if changed {
            self.0.changes.fetch_add(1, Ordering::Release);
        }
        changed
    }
}

/// The nodes of one network by address (reserved and leased), and which of them run a boot program that they fetched
/// here.
#[derive(Debug, Clone)]
pub(super) struct Clients {
    all: Addresses,
    network: NetworkName,
    allowed_sources: AllowedSources,
    boots: Boots,
}

impl Clients {
    /// Starts with the addresses in the plan of a single network.
    #[cfg(test)]
    pub(super) fn new(plan: &ServicePlan) -> Self {
        Self::among(plan, Addresses::default(), Boots::default())
    }

    /// Starts empty.
    pub(super) fn nobody() -> Self {
        Self {
            all: Addresses::default(),
            network: NetworkName::new("nobody").expect("it is a name"),
            allowed_sources: AllowedSources::of([]),
            boots: Boots::default(),
        }
    }

    /// Starts with the addresses in the plan of one network among others.
    pub(super) fn among(plan: &ServicePlan, all: Addresses, boots: Boots) -> Self {
        all.change(|book| {
            for host in &plan.hosts {
                let own = plan.ipv6.map(|net| host.mac.within(net));
                for address in host.ipv6.into_iter().chain(own) {
                    book.allow(&plan.network, &host.node, address.into());
                }
                let addresses = [host.address.map(IpAddr::from), Some(host.mac.link_local().into())];
                book.reserve(&plan.network, &host.node, addresses.into_iter().flatten());
            }
            true
        });
        Self { all, network: plan.network.clone(), allowed_sources: AllowedSources::new(plan), boots }
    }

    /// Tells whether a datagram from an address may be answered.
    pub(super) fn may_ask(&self, address: IpAddr) -> bool {
        self.allowed_sources.has(address)
    }

    /// Records the address of a node. Returns the event for it, if it is new.
    pub(super) fn learn(
        &self,
        address: impl Into<IpAddr>,
        node: &NodeName,
        by: LearnedBy,
        from: LearnedFrom,
    ) -> Option<Known> {
        let (network, address) = (&self.network, address.into());
        // A lease is renewed while other threads read.
        let news = self.all.learn(network, node, address, by.clone());
        news.then(|| Known::AddressLearned { network: network.clone(), address, by, from })
    }

    /// Tells whether the address of a node is already recorded.
    pub(super) fn knows(&self, address: IpAddr, node: &NodeName, by: &LearnedBy) -> bool {
        self.all.book().is_known(&self.network, node, address, by)
    }

    /// Records that an address is free again.
    pub(super) fn forget(&self, address: IpAddr) {
        self.all.change(|book| book.forget(&self.network, address));
    }

    /// Records a file that a node has fetched completely.
    pub(super) fn fetched(&self, node: &NodeName, role: &FileRole) {
        match role {
            FileRole::Loader => drop(self.boots.loaded().insert(node.clone(), self.boots.of(node))),
            FileRole::Script => drop(self.boots.loaded().remove(node)),
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

    /// Tells whether a node has fetched a boot program in this boot and now requests its configuration, whatever client
    /// it claims to be.
    pub(super) fn runs_program(&self, node: &NodeName) -> bool {
        self.boots.loaded().get(node) == Some(&self.boots.of(node))
    }

    /// Returns the node that has an address.
    pub(super) fn node(&self, address: IpAddr) -> Option<NodeName> {
        self.all.book().node(&self.network, address.to_canonical()).cloned()
    }
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, Ipv6Addr};

    use super::*;
    use crate::serve::example;

    fn learn(clients: &Clients, address: impl Into<IpAddr>, node: &NodeName) -> Option<Known> {
        clients.learn(address, node, LearnedBy::Dhcp, LearnedFrom::ThisServer)
    }

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
        let known = learn(&clients, Ipv4Addr::new(10, 0, 0, 32), &real).unwrap();
        assert_eq!(known.to_string(), "has address 10.0.0.32 on lan (dhcp, leased by this server)");
        assert_eq!(learn(&clients, Ipv4Addr::new(10, 0, 0, 32), &real), None, "that is no news");
        assert_eq!((of(&real).as_str(), all.changes()), ("10.0.0.32", before + 1));
        learn(&clients, Ipv4Addr::new(10, 0, 0, 33), &real);
        assert_eq!(of(&real), "10.0.0.33");
        assert_eq!(clients.node(Ipv4Addr::new(10, 0, 0, 32).into()), None);
        // A reserved address stays, and an address has one owner.
        learn(&clients, Ipv4Addr::new(10, 0, 0, 33), &disk);
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
        learn(&clients, lent(0x11), &fast);
        learn(&clients, lent(0x12), &fast);
        let of: Vec<String> = all.of(&plan.network, &fast).iter().map(ToString::to_string).collect();
        assert_eq!(of, ["10.0.0.11", "fd00:83::12"]);
        clients.forget(lent(0x12).into());
        clients.forget(Ipv4Addr::new(10, 0, 0, 11).into());
        let of: Vec<String> = all.of(&plan.network, &fast).iter().map(ToString::to_string).collect();
        assert_eq!(of, ["10.0.0.11"], "what is reserved stays");
        // A SLAAC address identifies the client, but gets no name.
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
