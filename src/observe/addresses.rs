//! The known addresses of nodes, folded from events.
//!
//! | known by | when |
//! |---|---|
//! | the plan | from the start: addresses that the lab file sets or reserves, and link-local addresses |
//! | DHCP, DHCPv6 | the node takes a lease of any server |
//! | ARP, the neighbour table | the node uses the address on the wire, and no better source is known |

use std::collections::BTreeMap;
use std::net::IpAddr;

use crate::event::{Known, LearnedBy};
use crate::name::{NetworkName, NodeName};

/// The addresses of the nodes of a lab, by network.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AddressBook {
    networks: BTreeMap<NetworkName, Segment>,
    /// The number of addresses learned so far.
    learned: u64,
}

/// The addresses on one network.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Segment {
    nodes: BTreeMap<IpAddr, Holding>,
    /// Addresses that NICs may use without an event: see [`AddressBook::allow`].
    own: BTreeMap<IpAddr, NodeName>,
    /// The number of NICs of each node on it.
    nics: BTreeMap<NodeName, usize>,
}

/// The owner of an address.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Holding {
    node: NodeName,
    by: LearnedBy,
    /// Whether the plan assigns it; then it stays, whatever leases the node gets.
    reserved: bool,
    /// Increases with each address learned.
    order: u64,
}

impl Holding {
    /// Tells whether it already records a node and how its address was learned.
    fn tells(&self, node: &NodeName, by: &LearnedBy) -> bool {
        self.node == *node && (self.by == *by || by.is_sighting())
    }
}

impl AddressBook {
    /// Records a NIC of a node, with the addresses that the plan assigns.
    pub fn reserve(
        &mut self,
        network: &NetworkName,
        node: &NodeName,
        addresses: impl IntoIterator<Item = IpAddr>,
    ) {
        let segment = self.networks.entry(network.clone()).or_default();
        *segment.nics.entry(node.clone()).or_default() += 1;
        for address in addresses {
            let holding = Holding { node: node.clone(), by: LearnedBy::Plan, reserved: true, order: 0 };
            segment.nodes.insert(address, holding);
        }
    }

    /// Records an address that a node may use without an event: a reservation that the firmware released and still
    /// uses, or one from the prefix of a router advertisement (SLAAC, RFC 4862).
    pub fn allow(&mut self, network: &NetworkName, node: &NodeName, address: IpAddr) {
        self.networks.entry(network.clone()).or_default().own.insert(address, node.clone());
    }

    /// Applies an event with an address of its node. Tells whether it was new.
    pub fn apply(&mut self, node: &NodeName, known: &Known) -> bool {
        known.learned().is_some_and(|(network, address, by)| self.learn(network, node, address, by))
    }

    /// Records the address of a node. Tells whether it was new.
    pub fn learn(&mut self, network: &NetworkName, node: &NodeName, address: IpAddr, by: LearnedBy) -> bool {
        let segment = self.networks.entry(network.clone()).or_default();
        let held = segment.nodes.get(&address);
        if held.is_some_and(|held| held.tells(node, &by)) {
            return false;
        }
        let seen_only = by.is_sighting();
        let is_kin = |old: &IpAddr| old.is_ipv4() == address.is_ipv4() && !is_of_link(*old);
        if seen_only {
            let is_assigned = |held: &Holding| !held.by.is_sighting();
            // An assigned address stays with its node, even if another node uses it. And a node is reached at its
            // assigned address, whatever else it uses (such as a virtual IP that moves between nodes).
            let is_taken = held.is_some_and(|held| held.node != *node && is_assigned(held));
            let mut assigned =
                segment.nodes.iter().filter(|(_, held)| held.node == *node && is_assigned(held));
            if is_taken || assigned.any(|(old, _)| is_kin(old)) {
                return false;
            }
        }
        let reserved = held.is_some_and(|held| held.reserved);
        if segment.nics.get(node).is_none_or(|nics| *nics == 1) {
            // Its only NIC no longer has its previous address.
            segment.nodes.retain(|old, held| held.node != *node || !is_kin(old) || held.reserved);
        }
        self.learned += 1;
        let holding = Holding { node: node.clone(), by, reserved, order: self.learned };
        segment.nodes.insert(address, holding);
        true
    }

    /// Tells whether the address of a node is already recorded.
    pub fn is_known(&self, network: &NetworkName, node: &NodeName, address: IpAddr, by: &LearnedBy) -> bool {
        let held = self.networks.get(network).and_then(|segment| segment.nodes.get(&address));
        held.is_some_and(|held| held.tells(node, by))
    }

    /// Records that an address is free again. Tells whether a node had it.
    pub fn forget(&mut self, network: &NetworkName, address: IpAddr) -> bool {
        let Some(segment) = self.networks.get_mut(network) else { return false };
        let is_lent = segment.nodes.get(&address).is_some_and(|held| !held.reserved);
        is_lent && segment.nodes.remove(&address).is_some()
    }

    /// Returns the node that has or may have an address on a network.
    pub fn node(&self, network: &NetworkName, address: IpAddr) -> Option<&NodeName> {
        let Segment { nodes, own, .. } = self.networks.get(network)?;
        nodes.get(&address).map(|held| &held.node).or_else(|| own.get(&address))
    }

    /// Returns the network and the node that have an address.
    pub fn owner(&self, address: IpAddr) -> Option<(&NetworkName, &NodeName)> {
        self.networks.iter().find_map(|(name, segment)| Some((name, &segment.nodes.get(&address)?.node)))
    }

    /// Returns the addresses of a node on a network, in order, without link-local ones.
    pub fn of<'a>(&'a self, network: &NetworkName, node: &NodeName) -> impl Iterator<Item = IpAddr> + 'a {
        let node = node.clone();
        let nodes = self.networks.get(network).into_iter().flat_map(|segment| &segment.nodes);
        nodes.filter(move |(address, held)| held.node == node && !is_of_link(**address)).map(|(ip, _)| *ip)
    }

    /// Returns the address at which a node is reached: the most recent one, on this network if it has one there.
    ///
    /// IPv4 takes precedence, because the IPv6 address of a firmware is gone when the firmware ends.
    pub fn reach(&self, network: Option<&NetworkName>, node: &NodeName) -> Option<IpAddr> {
        let all = self.networks.iter().flat_map(|(name, segment)| {
            let nodes = segment.nodes.iter();
            nodes.filter(|(address, held)| held.node == *node && !is_of_link(**address)).map(
                move |(address, held)| ((Some(name) == network, address.is_ipv4(), held.order), *address),
            )
        });
        all.max_by_key(|(rank, _)| *rank).map(|(_, address)| address)
    }
}

/// Tells whether an address is link-local.
fn is_of_link(address: IpAddr) -> bool {
    matches!(address, IpAddr::V6(v6) if v6.is_unicast_link_local())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::LearnedFrom;
    use crate::event::examples::lease;

    fn lan() -> NetworkName {
        NetworkName::new("lan").unwrap()
    }

    fn node(name: &str) -> NodeName {
        NodeName::new(name).unwrap()
    }

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    /// A node `a` without a reserved address, and a node `b` with one.
    fn book() -> AddressBook {
        let mut book = AddressBook::default();
        book.reserve(&lan(), &node("a"), [ip("fe80::1")]);
        book.reserve(&lan(), &node("b"), [ip("10.0.0.11")]);
        book
    }

    fn of(book: &AddressBook, name: &str) -> String {
        book.of(&lan(), &node(name)).map(|address| address.to_string()).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn what_a_node_shows_counts_until_something_better_is_known() {
        let mut book = book();
        let (a, b) = (node("a"), node("b"));
        assert_eq!(book.reach(None, &a), None, "a link-local address reaches nobody");
        assert!(book.learn(&lan(), &a, ip("10.0.0.50"), LearnedBy::Neighbour));
        assert!(!book.learn(&lan(), &a, ip("10.0.0.50"), LearnedBy::Arp), "known already");
        assert!(book.learn(&lan(), &a, ip("10.0.0.51"), LearnedBy::Arp), "its system has another one");
        assert_eq!(of(&book, "a"), "10.0.0.51");
        assert!(!book.learn(&lan(), &a, ip("10.0.0.11"), LearnedBy::Arp), "it is that of b");
        assert!(!book.learn(&lan(), &b, ip("10.0.0.52"), LearnedBy::Arp), "b is reached where the plan says");
        assert!(book.learn(&lan(), &a, ip("fd00::5"), LearnedBy::Neighbour), "IPv6 is beside IPv4");
        assert_eq!(book.reach(None, &a), Some(ip("10.0.0.51")));
        assert!(book.learn(&lan(), &a, ip("10.0.0.53"), LearnedBy::Dhcp));
        assert!(!book.learn(&lan(), &a, ip("10.0.0.200"), LearnedBy::Arp), "an address beside its lease");
        assert_eq!((of(&book, "a").as_str(), of(&book, "b").as_str()), ("10.0.0.53 fd00::5", "10.0.0.11"));
    }

    #[test]
    fn a_node_moves_from_one_lent_address_to_the_next() {
        let mut book = book();
        let (a, b) = (node("a"), node("b"));
        assert!(book.learn(&lan(), &a, ip("10.0.0.32"), LearnedBy::Dhcp));
        assert!(!book.learn(&lan(), &a, ip("10.0.0.32"), LearnedBy::Dhcp));
        assert!(book.learn(&lan(), &a, ip("10.0.0.33"), LearnedBy::Dhcp));
        assert_eq!((of(&book, "a").as_str(), book.node(&lan(), ip("10.0.0.32"))), ("10.0.0.33", None));
        // A reserved address stays, and an address has one owner.
        assert!(book.learn(&lan(), &b, ip("10.0.0.33"), LearnedBy::Dhcp));
        assert_eq!((of(&book, "a"), of(&book, "b")), (String::new(), "10.0.0.11 10.0.0.33".to_owned()));
        assert!(book.forget(&lan(), ip("10.0.0.33")) && !book.forget(&lan(), ip("10.0.0.11")));
        assert_eq!(of(&book, "b"), "10.0.0.11");
    }

    #[test]
    fn a_node_is_reached_on_its_first_network_and_at_its_newest_address() {
        let (mut book, a, wan) = (AddressBook::default(), node("a"), NetworkName::new("wan").unwrap());
        for (network, address) in [(lan(), "10.0.0.5"), (wan.clone(), "10.1.0.5"), (lan(), "10.0.0.6")] {
            book.learn(&network, &a, ip(address), LearnedBy::Dhcp);
        }
        assert_eq!(book.reach(Some(&wan), &a), Some(ip("10.1.0.5")));
        assert_eq!(book.reach(None, &a), Some(ip("10.0.0.6")));
        assert_eq!(book.owner(ip("10.1.0.5")), Some((&wan, &a)));
    }

    #[test]
    fn both_kinds_of_event_tell_of_addresses() {
        let (mut book, a) = (AddressBook::default(), node("a"));
        assert!(!book.apply(&a, &lease("os", "offer")), "an offer is no lease");
        // Records of format 1 contain no other source.
        assert!(book.apply(&a, &lease("os", "ack")));
        let learned = |address: &str, by, from| Known::AddressLearned {
            network: lan(),
            address: ip(address),
            by,
            from,
        };
        assert!(!book.apply(&a, &learned("10.0.0.10", LearnedBy::Dhcp, LearnedFrom::ThisServer)));
        let other = LearnedFrom::AnotherServer(Some(ip("10.0.0.2")));
        assert!(book.apply(&a, &learned("10.0.0.60", LearnedBy::Dhcp, other)));
        assert_eq!(book.reach(None, &a), Some(ip("10.0.0.60")));
    }
}
