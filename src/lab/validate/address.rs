//! MAC and IPv4 addresses of NICs.

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;

use ipnet::Ipv4Net;

use super::network::bounds;
use super::node::{Draft, NicDraft};
use super::{Check, Span};
use crate::config::{Located, Text};
use crate::diag::{Code, Diagnostic};
use crate::lab::{Dhcp, DhcpServer, Host, Network, Node};
use crate::name::{Mac, NetworkName, NodeName};

/// Derived addresses begin at this host of a network that is large enough, so that
/// the low ones stay free for addresses written by hand.
const FIRST: u32 = 10;

/// The first use of an address, for the message about a second one.
pub(super) struct AddressUse<'a> {
    pub(super) span: &'a Span,
    pub(super) draft: &'a Draft<'a>,
    pub(super) nic: &'a NicDraft<'a>,
}

impl AddressUse<'_> {
    /// Describes the owner, relative to that node.
    pub(super) fn whose(&self, asking: &Draft<'_>) -> String {
        match self.draft.key == asking.key {
            true => format!("NIC `{}` of the same node", self.nic.name),
            false => format!("`{}`", self.draft.key),
        }
    }

    /// Adds the first use and the fix to a diagnostic.
    pub(super) fn settle(&self, again: Diagnostic, key: &str, help: &str) -> Diagnostic {
        match again.span.as_ref() == Some(self.span) {
            // Nodes of a group share the line.
            true => again.help(format!(
                "the nodes of a group cannot share one `{key}`: remove it, or set one for each node, as in [node.NAME-2]"
            )),
            false => again.related(self.span.clone(), "first used here").help(help),
        }
    }
}

impl Check<'_> {
    /// Checks the MAC addresses of the lab file, then derives one for every other NIC.
    pub(super) fn macs(&mut self, drafts: &mut [Draft<'_>], networks: &BTreeMap<NetworkName, Network>) {
        let mut taken: BTreeSet<Mac> = networks.values().map(|network| network.mac).collect();
        for network in networks.values() {
            taken.extend(self.reserved_for_others(network).into_iter().map(|(mac, ..)| mac));
        }
        taken.extend(self.written_macs(drafts, networks));
        let Some(lab) = self.lab.clone() else { return };
        // In the order of names, so that the order of the file does not matter.
        let mut order: Vec<_> = (0..drafts.len()).collect();
        order.sort_by_key(|index| drafts[*index].key);
        for draft in order {
            let Draft { name, nics, .. } = &mut drafts[draft];
            for nic in nics.iter_mut().filter(|nic| nic.mac.is_none()) {
                let names = [lab.as_str(), name.as_str(), nic.name.as_str()];
                // Three bytes of a hash collide if there are many nodes; take the first free one.
                let again = (2u32..).map(|round| Mac::derive(&[&names[..], &[&round.to_string()]].concat()));
                nic.mac = std::iter::once(Mac::derive(&names)).chain(again).find(|mac| taken.insert(*mac));
            }
        }
    }

    /// Reports invalid and duplicate MAC addresses, and returns those of the lab file.
    fn written_macs(
        &mut self,
        drafts: &[Draft<'_>],
        networks: &BTreeMap<NetworkName, Network>,
    ) -> BTreeSet<Mac> {
        const HELP: &str = "remove `mac`: each NIC then gets its own, the same in every run";
        let mut seen: BTreeMap<Mac, AddressUse<'_>> = BTreeMap::new();
        let others = networks.values().flat_map(|network| self.reserved_for_others(network));
        let others: BTreeMap<Mac, Span> = others.map(|(mac, _, position)| (mac, position.clone())).collect();
        for (draft, nic) in drafts.iter().flat_map(|draft| draft.nics.iter().map(move |nic| (draft, nic))) {
            let Some(Located { value: Text(mac), span }) = nic.raw.and_then(|raw| raw.mac.given()) else {
                continue;
            };
            let taken = |whose: &str| {
                let what = format!("{mac} is already the MAC address of {whose}");
                Diagnostic::new(Code::MacTaken, span.clone(), what)
            };
            if *mac == Mac([0; 6]) {
                let what = format!("{mac} is not a valid address");
                self.report(Diagnostic::new(Code::MacGroup, span.clone(), what).help(HELP));
            } else if mac.is_group() {
                self.report(
                    Diagnostic::new(
                        Code::MacGroup,
                        span.clone(),
                        format!("{mac} is a multicast address, not the address of a NIC"),
                    )
                    .help("the first byte of a NIC's address is even, as in 52:54:00:12:34:56"),
                );
            } else if let Some(first) = seen.get(mac) {
                self.report(first.settle(taken(&first.whose(draft)), "mac", HELP));
            } else if let Some(position) = others.get(mac) {
                let other = taken("a client with a reserved address");
                let other = other.related(position.clone(), "the reservation");
                self.report(other.help("set `address` of the NIC, and remove the reservation"));
            } else if let Some(network) = networks.values().find(|network| network.mac == *mac) {
                self.report(taken(&format!("the bridge of network `{}`", network.name)).help(HELP));
            } else {
                seen.insert(*mac, AddressUse { span, draft, nic });
            }
        }
        seen.into_keys().collect()
    }

    /// Checks the addresses of the lab file, then assigns one to every NIC that needs one.
    pub(super) fn addresses(&mut self, drafts: &mut [Draft<'_>], networks: &BTreeMap<NetworkName, Network>) {
        let mut taken: BTreeMap<NetworkName, BTreeSet<Ipv4Addr>> = BTreeMap::new();
        self.reservations(drafts, networks, &mut taken);
        // In the order of names, so that the order of the file does not matter.
        let mut order: Vec<_> = (0..drafts.len()).collect();
        order.sort_by_key(|index| drafts[*index].key);
        let mut free: BTreeMap<NetworkName, Free> = BTreeMap::new();
        let mut full: BTreeMap<NetworkName, usize> = BTreeMap::new();
        for draft in order {
            for nic in &mut drafts[draft].nics {
                let Some(network) = nic.network.as_ref().and_then(|name| networks.get(name)) else {
                    continue;
                };
                // Without our DHCP server, only the addresses of the lab file are known.
                let Some(&DhcpServer { pool, .. }) = network.leases() else { continue };
                if nic.address.is_some() || nic.written || nic.from_pool {
                    continue;
                }
                let used = taken.entry(network.name.clone()).or_default();
                let free = free.entry(network.name.clone()).or_insert_with(|| Free::new(network, pool));
                match free.next(used) {
                    Some(address) => {
                        used.insert(address);
                        nic.address = Some(address);
                    }
                    None => *full.entry(network.name.clone()).or_default() += 1,
                }
            }
        }
        self.full(full);
    }

    /// Reserves an address for every NIC of a host that asks a DHCP server of ours, as for those of nodes.
    pub(super) fn reserve_for_hosts(
        &mut self,
        hosts: &BTreeMap<NodeName, Host>,
        nodes: &BTreeMap<NodeName, Node>,
        networks: &mut BTreeMap<NetworkName, Network>,
    ) {
        let mut full = BTreeMap::new();
        for network in networks.values_mut() {
            let here =
                || hosts.values().flat_map(|host| &host.nics).filter(|nic| nic.network == network.name);
            let Some(server) = network.leases() else { continue };
            let of_nodes = nodes.values().flat_map(|node| &node.nics).filter_map(|nic| nic.address);
            let fixed = here().filter_map(|nic| nic.address).map(|net| net.addr());
            let reserved = server.reservations.values().copied();
            let mut used: BTreeSet<Ipv4Addr> = of_nodes.chain(fixed).chain(reserved).collect();
            let asking = here().filter(|nic| nic.address.is_none()).map(|nic| nic.mac);
            // Two with one MAC address are an error of their own.
            let mut known: BTreeSet<Mac> = server.reservations.keys().copied().collect();
            let asking: Vec<Mac> = asking.filter(|mac| known.insert(*mac)).collect();
            let mut free = Free::new(network, server.pool);
            let mut found = BTreeMap::new();
            for mac in &asking {
                let Some(address) = free.next(&used) else { break };
                used.insert(address);
                found.insert(*mac, address);
            }
            // The others get theirs from the pool.
            let homeless = if server.pool.is_some() { 0 } else { asking.len() - found.len() };
            if homeless > 0 {
                full.insert(network.name.clone(), homeless);
            }
            if let Some(server) = network.leases_mut() {
                server.reservations.extend(found);
            }
        }
        self.full(full);
    }

    /// Reports networks without an address for so many NICs.
    fn full(&mut self, networks: BTreeMap<NetworkName, usize>) {
        for (name, homeless) in networks {
            let home = self.raw.network.get(name.as_str());
            let nics = if homeless == 1 { "one NIC".to_owned() } else { format!("{homeless} NICs") };
            let what = format!("network `{name}` has no free address for {nics}");
            self.report(
                Diagnostic::new(Code::NetworkFull, home.map(|(key, _)| key.span.clone()), what).help(
                    "use a shorter prefix or a smaller pool, or let nodes get their addresses from the pool",
                ),
            );
        }
    }

    fn reservations(
        &mut self,
        drafts: &[Draft<'_>],
        networks: &BTreeMap<NetworkName, Network>,
        taken: &mut BTreeMap<NetworkName, BTreeSet<Ipv4Addr>>,
    ) {
        let mut seen: BTreeMap<Ipv4Addr, AddressUse<'_>> = BTreeMap::new();
        let others = self.reservations_of_others(networks);
        for (draft, nic) in drafts.iter().flat_map(|draft| draft.nics.iter().map(move |nic| (draft, nic))) {
            let Some(network) = nic.network.as_ref().and_then(|name| networks.get(name)) else { continue };
            let span = nic.raw.and_then(|raw| raw.address.span()).unwrap_or(nic.home);
            if nic.from_pool && network.leases().is_none_or(|server| server.pool.is_none()) {
                self.no_pool(network, span);
            }
            let Some(address) = nic.address else { continue };
            if self.fits(address, span, network) {
                if let Some(first) = seen.get(&address) {
                    let what = format!("{address} is already the address of {}", first.whose(draft));
                    let again = Diagnostic::new(Code::AddressTaken, span.clone(), what);
                    let help = "give each NIC its own address, or remove `address`";
                    self.report(first.settle(again, "address", help));
                } else if let Some(other) = others.get(&address) {
                    let what = format!("{address} is already reserved for another client");
                    let again = Diagnostic::new(Code::AddressTaken, span.clone(), what);
                    let help = "give the node another address, or remove `address`";
                    self.report(again.related(other.clone(), "first used here").help(help));
                }
                if let Some(&DhcpServer { pool: Some((first, last)), .. }) = network.leases()
                    && (first..=last).contains(&address)
                {
                    let pool = self.pool_span(&network.name).cloned();
                    self.pool_holds(address, span, &format!("the address of `{}`", draft.key), pool.as_ref());
                }
            }
            seen.entry(address).or_insert(AddressUse { span, draft, nic });
            taken.entry(network.name.clone()).or_default().insert(address);
        }
        for (address, _) in others {
            let home = networks.values().find(|network| network.subnet.contains(&address));
            if let Some(network) = home {
                taken.entry(network.name.clone()).or_default().insert(address);
            }
        }
    }

    /// Checks the reservations of clients that are not nodes, and returns them with their positions.
    fn reservations_of_others(
        &mut self,
        networks: &BTreeMap<NetworkName, Network>,
    ) -> BTreeMap<Ipv4Addr, Span> {
        let mut seen: BTreeMap<Ipv4Addr, Span> = BTreeMap::new();
        for network in networks.values() {
            let all = self.reserved_for_others(network);
            let all =
                all.into_iter().map(|(mac, address, span)| (format!("reserved for {mac}"), address, span));
            let hosts = self.addresses_of_hosts(network);
            let hosts = hosts
                .into_iter()
                .map(|(host, address, span)| (format!("used by host {host}"), address, span));
            let bmcs = self.addresses_of_bmcs(network);
            let bmcs = bmcs
                .into_iter()
                .map(|(node, address, span)| (format!("used by the BMC of {node}"), address, span));
            let all: Vec<_> = all
                .chain(hosts)
                .chain(bmcs)
                .map(|(whose, address, span)| (whose, address, span.clone()))
                .collect();
            for (whose, address, span) in all {
                if !self.fits(address, &span, network) {
                    continue;
                }
                if let Some(&DhcpServer { pool: Some((first, last)), .. }) = network.leases()
                    && (first..=last).contains(&address)
                {
                    let pool = self.pool_span(&network.name).cloned();
                    self.pool_holds(address, &span, &whose, pool.as_ref());
                }
                if let Some(first) = seen.insert(address, span.clone()) {
                    let what = format!("{address} is already reserved for another client");
                    let again = Diagnostic::new(Code::AddressTaken, span, what);
                    self.report(again.related(first, "first used here").help("reserve another address"));
                }
            }
        }
        seen
    }

    fn no_pool(&mut self, network: &Network, span: &Span) {
        let what = format!("network `{}` has no pool to take an address from", network.name);
        let key = match network.dhcp {
            Dhcp::Relay(_) => "dhcp.relay.server.pool",
            Dhcp::Server(_) | Dhcp::Proxy | Dhcp::Off => "dhcp.server.pool",
        };
        let help = match network.leases() {
            None => "its addresses come from another server: remove `address`".into(),
            Some(_) => {
                let (low, high) = bounds(network.subnet);
                let (low, high) = (u32::from(low), u32::from(high));
                // The upper half, which is used last for derived addresses.
                let (first, last) = (Ipv4Addr::from(low + (high - low) / 2 + 1), Ipv4Addr::from(high));
                format!("add one: network.{}.{key} = [\"{first}\", \"{last}\"]", network.name)
            }
        };
        self.report(Diagnostic::new(Code::NoPool, span.clone(), what).help(help));
    }

    fn fits(&mut self, address: Ipv4Addr, span: &Span, network: &Network) -> bool {
        let net = network.subnet;
        let (low, high) = bounds(net);
        let hosts = format!("its host addresses are {low} to {high}");
        let (code, what) = if !net.contains(&address) {
            (
                Code::AddressOutside,
                format!("{address} lies outside network `{}`, {}", network.name, net.trunc()),
            )
        } else if Some(address) == network.server() {
            (
                Code::AddressReserved,
                format!("{address} is the bridge's own address on network `{}`", network.name),
            )
        } else if address == net.network() || address == net.broadcast() {
            (
                Code::AddressReserved,
                format!("{address} is the network or broadcast address of {}", net.trunc()),
            )
        } else {
            return true;
        };
        let home = self.raw.network.get(network.name.as_str());
        let position = home.and_then(|(_, raw)| {
            let raw = raw.as_ref()?;
            raw.address.span().or(raw.subnet.span()).cloned()
        });
        let diagnostic = Diagnostic::new(code, span.clone(), what).help(hosts);
        self.report(match position {
            Some(position) => diagnostic.related(position, "the network"),
            None => diagnostic,
        });
        false
    }

    fn pool_span(&self, name: &NetworkName) -> Option<&Span> {
        use crate::config::RawDhcp;
        let (_, raw) = self.raw.network.get(name.as_str())?;
        match raw.as_ref()?.dhcp.value()? {
            RawDhcp::Server(server) => server.value()?.pool.span.as_ref(),
            RawDhcp::Relay(relay) => relay.value()?.0.server.value()?.pool.span.as_ref(),
            RawDhcp::Proxy | RawDhcp::Off => None,
        }
    }
}

/// Assigns the free addresses of a network: the lowest from the tenth on, then the lowest of all.
pub(super) struct Free {
    net: Ipv4Net,
    pool: Option<(Ipv4Addr, Ipv4Addr)>,
    /// The ranges still to be searched, as numbers: from, to, in this order.
    left: [(u32, u32); 2],
}

impl Free {
    pub(super) fn new(network: &Network, pool: Option<(Ipv4Addr, Ipv4Addr)>) -> Self {
        let net = network.address.unwrap_or(network.subnet);
        let (low, high) = bounds(net);
        let tenth = u32::from(net.network()).saturating_add(FIRST);
        Self { net, pool, left: [(tenth, u32::from(high)), (u32::from(low), u32::from(high))] }
    }

    pub(super) fn next(&mut self, taken: &BTreeSet<Ipv4Addr>) -> Option<Ipv4Addr> {
        for (from, to) in &mut self.left {
            while *from <= *to {
                let address = Ipv4Addr::from(*from);
                let (skipped, free) = match self.pool {
                    Some((first, last)) if (first..=last).contains(&address) => (u32::from(last), false),
                    _ => (*from, address != self.net.addr() && !taken.contains(&address)),
                };
                // No overflow: the last host of a network is followed by its broadcast address.
                *from = skipped + 1;
                if free {
                    return Some(address);
                }
            }
        }
        None
    }
}
