//! Whose addresses are whose: nodes, our own services, routers.

use std::collections::{HashMap, HashSet};
use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use super::{Hop, Machines, OwnServices, Segment};
use crate::event::{LearnedBy, RateLimit, RunTime};
use crate::name::{Mac, NetworkName, NodeName};

/// Limits of what is remembered.
const MOST_CLIENTS: usize = 4096;
const MOST_ADDRESSES: usize = 16_384;
const MOST_SENDERS: usize = 8192;
/// A hardware address behind which more IPv4 addresses are is a router's.
const MOST_OF_A_HOST: usize = 3;
/// How many new addresses of a node are learned within [`SPAN`]: a node with more makes addresses up.
const BELIEVABLE: u64 = 16;
const SPAN: Duration = Duration::from_secs(10);

/// An address: one of a link is only known on its network.
type Place = (Option<usize>, IpAddr);

/// Who has an address.
#[derive(Debug, Clone, Copy)]
struct Holder {
    mac: Mac,
    /// Whether a DHCP server assigned it.
    leased: bool,
    /// Whether it was reported.
    told: bool,
}

/// The IPv4 addresses that one hardware address sends from.
#[derive(Debug, Default)]
struct Sender {
    addresses: Vec<Ipv4Addr>,
    is_router: bool,
}

/// The networks and the machines on them.
#[derive(Debug)]
pub(super) struct World {
    segments: Vec<Segment>,
    machines: Machines,
    /// The clients of a foreign capture.
    clients: HashMap<Mac, NodeName>,
    addresses: HashMap<Place, Holder>,
    senders: HashMap<Mac, Sender>,
    /// Hardware addresses that answer as servers or routers.
    servers: HashSet<Mac>,
    limit: RateLimit<Mac>,
    since: RunTime,
}

impl World {
    pub(super) fn new(segments: Vec<Segment>, machines: Machines) -> Self {
        Self {
            segments,
            machines,
            clients: HashMap::new(),
            addresses: HashMap::new(),
            senders: HashMap::new(),
            servers: HashSet::new(),
            limit: RateLimit::new(u64::MAX, 0).of_each(BELIEVABLE),
            since: RunTime::START,
        }
    }

    pub(super) fn segments(&self) -> usize {
        self.segments.len()
    }

    pub(super) fn network(&self, segment: usize) -> &NetworkName {
        &self.segments[segment].network
    }

    /// Tells whether every client counts as a node.
    pub(super) fn is_foreign(&self) -> bool {
        matches!(self.machines, Machines::Any)
    }

    /// Returns the node with a hardware address.
    pub(super) fn named(&self, mac: Mac) -> Option<&NodeName> {
        match &self.machines {
            Machines::Named(nodes) => nodes.get(&mac),
            Machines::Any => self.clients.get(&mac),
        }
    }

    /// Returns the node with a hardware address that acts as a client; in a foreign capture it becomes a node by that.
    pub(super) fn client(&mut self, mac: Mac) -> Option<NodeName> {
        if let Some(node) = self.named(mac) {
            return Some(node.clone());
        }
        let is_new = self.is_foreign() && self.clients.len() < MOST_CLIENTS && !mac.is_group();
        if !is_new {
            return None;
        }
        let node = NodeName::new(&mac.hyphenated()).expect("hexadecimal digits and dashes are a name");
        self.clients.insert(mac, node.clone());
        Some(node)
    }

    /// Returns the hardware address of the machine that a packet comes from: the one that has the address, else the
    /// sender of the frame, if it is no router.
    fn machine(&self, segment: usize, address: IpAddr, sender: Option<Mac>) -> Option<Mac> {
        if let Some(holder) = self.addresses.get(&place(segment, address)) {
            return Some(holder.mac);
        }
        let mac = sender?;
        let Segment { ipv4, ipv6, own, .. } = &self.segments[segment];
        let is_here = match address {
            IpAddr::V4(address) => {
                ipv4.is_none_or(|net| net.contains(&address))
                    || address.is_unspecified()
                    || address.is_link_local()
            }
            IpAddr::V6(address) => {
                ipv6.is_none_or(|net| net.contains(&address))
                    || address.is_unspecified()
                    || address.is_unicast_link_local()
            }
        };
        let is_router = self.senders.get(&mac).is_some_and(|sender| sender.is_router);
        (is_here && !is_router && *own != Some(mac)).then_some(mac)
    }

    /// Returns the node that has an address.
    pub(super) fn node(&self, segment: usize, address: IpAddr, sender: Option<Mac>) -> Option<NodeName> {
        self.machine(segment, address, sender).and_then(|mac| self.named(mac)).cloned()
    }

    /// Returns the node that asks from an address; in a foreign capture it becomes a node by that.
    pub(super) fn asker(&mut self, hop: Hop, address: IpAddr) -> Option<NodeName> {
        let mac = self.machine(hop.segment, address, hop.from)?;
        self.client_only(mac)
    }

    /// Returns the node with a hardware address, as [`World::client`] does, but makes no node of a server.
    pub(super) fn client_only(&mut self, mac: Mac) -> Option<NodeName> {
        if self.named(mac).is_none() && self.servers.contains(&mac) {
            return None;
        }
        self.client(mac)
    }

    /// Records that a hardware address answers as a server or router.
    pub(super) fn serves(&mut self, hop: Hop) {
        if let Some(mac) = hop.from.filter(|_| self.servers.len() < MOST_SENDERS) {
            self.servers.insert(mac);
        }
    }

    /// Tells whether one of the lab's own services has an address.
    pub(super) fn is_own(&self, address: IpAddr, service: impl Fn(&OwnServices) -> bool) -> bool {
        self.segments.iter().any(|segment| {
            let Segment { ipv4, ipv6, own, services, network: _ } = segment;
            let has = match address {
                IpAddr::V4(address) => ipv4.is_some_and(|net| net.addr() == address),
                IpAddr::V6(address) => {
                    ipv6.is_some_and(|net| net.addr() == address)
                        || own.is_some_and(|own| own.link_local() == address)
                }
            };
            has && own.is_some() && service(services)
        })
    }

    /// Tells whether an address is one of ours, whatever answers there.
    pub(super) fn is_ours(&self, address: IpAddr) -> bool {
        self.is_own(address, |_| true)
    }

    /// Tells whether our own interface sent a frame.
    pub(super) fn is_from_us(&self, hop: Hop) -> bool {
        hop.from.is_some() && self.segments[hop.segment].own == hop.from
    }

    pub(super) fn services(&self, segment: usize) -> &OwnServices {
        &self.segments[segment].services
    }

    /// Records that a frame came from a hardware address with this address: several behind one are a router's.
    pub(super) fn sends(&mut self, hop: Hop, address: IpAddr) {
        let (Some(mac), IpAddr::V4(address)) = (hop.from, address) else { return };
        if address.is_unspecified() || address.is_link_local() || mac.is_group() {
            return;
        }
        if let Some(sender) = self.senders.get_mut(&mac) {
            if sender.is_router || sender.addresses.contains(&address) {
                return;
            }
            sender.addresses.push(address);
            if sender.addresses.len() > MOST_OF_A_HOST {
                *sender = Sender { addresses: Vec::new(), is_router: true };
            }
        } else if self.senders.len() < MOST_SENDERS {
            self.senders.insert(mac, Sender { addresses: vec![address], is_router: false });
        }
    }

    /// Records the address of a machine. Returns the node if the address is news for it.
    pub(super) fn learn(
        &mut self,
        at: RunTime,
        segment: usize,
        mac: Mac,
        address: IpAddr,
        by: &LearnedBy,
    ) -> Option<NodeName> {
        if !self.is_usable(segment, address, by) {
            return None;
        }
        let leased = !by.is_sighting();
        let node = self.named(mac).cloned();
        let key = place(segment, address);
        let known = self.addresses.get(&key).copied();
        let is_told = known.is_some_and(|holder| {
            // An assigned address stays with its machine until it is assigned to another one.
            (holder.mac == mac && (holder.told || node.is_none()) && (holder.leased || !leased))
                || (holder.mac != mac && holder.leased && !leased)
        });
        if is_told {
            return None;
        }
        // A flood of made-up hardware addresses has a window of its own.
        if at.since(self.since) >= SPAN || self.limit.keys() >= MOST_SENDERS {
            self.since = at;
            // Made-up addresses are not reported.
            drop(self.limit.next_window());
        }
        if !leased && !self.limit.admit(mac) {
            return None;
        }
        if self.addresses.len() >= MOST_ADDRESSES && known.is_none() {
            self.addresses.retain(|_, holder| holder.leased);
            if self.addresses.len() >= MOST_ADDRESSES {
                self.addresses.clear();
            }
        }
        self.addresses.insert(key, Holder { mac, leased, told: node.is_some() });
        node
    }

    /// Tells whether a machine can have an address on a network.
    fn is_usable(&self, segment: usize, address: IpAddr, by: &LearnedBy) -> bool {
        if address.is_unspecified()
            || address.is_multicast()
            || address.is_loopback()
            || self.is_ours(address)
        {
            return false;
        }
        let Segment { ipv4, ipv6, .. } = &self.segments[segment];
        match address {
            // A relay's network may be another one.
            _ if !by.is_sighting() => true,
            IpAddr::V4(address) => ipv4.is_none_or(|net| {
                net.contains(&address) && address != net.network() && address != net.broadcast()
            }),
            IpAddr::V6(address) => ipv6.is_none_or(|net| net.contains(&address)),
        }
    }
}

fn place(segment: usize, address: IpAddr) -> Place {
    let of_link = match address {
        IpAddr::V4(address) => address.is_link_local(),
        IpAddr::V6(address) => address.is_unicast_link_local(),
    };
    (of_link.then_some(segment), address)
}
