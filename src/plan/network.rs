//! Bridges, TAPs, forwarding, DNS and the services of each network.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};

use super::{
    BridgePlan, CapturePlan, CapturedNetwork, Dhcp6Plan, DnsPlan, FirewallPlan, ForeignAccept, HostFacts,
    HostLink, HostPlan, HttpsPlan, Masquerade, NodeRecord, PortPlan, Refusal, RootPlan, ServicePlan, Step,
    TapPlan, Uplink, boot::Netboots, dhcp, matchbox,
};
use crate::lab::{
    self, Capture, FirmwareDelays, Isolation, Lab, Network, Nic, Node, UnknownClients, Upstream,
};
use crate::name::{IfName, Mac, NetworkName};

/// Subnets for the uplink of a private lab, by preference: documentation and benchmark ranges, which are not routed
/// (RFC 5737, RFC 2544).
const WAYS_OUT: [Ipv4Addr; 4] = [
    Ipv4Addr::new(192, 0, 2, 0),
    Ipv4Addr::new(198, 51, 100, 0),
    Ipv4Addr::new(203, 0, 113, 0),
    Ipv4Addr::new(198, 18, 0, 0),
];
const DNS_PORT: u16 = 53;
/// The frames of a run, in its folder.
const CAPTURE_FILE: &str = "capture.pcapng";

/// The networks of a lab on this host, as used by every part of the plan.
pub(super) struct Wiring<'a> {
    lab: &'a Lab,
    netboots: &'a Netboots<'a>,
    facts: &'a HostFacts,
    uplink: Option<Uplink>,
}

impl<'a> Wiring<'a> {
    /// Returns the lab.
    pub(super) fn lab(&self) -> &'a Lab {
        self.lab
    }

    /// Decides how the lab's networks are connected, or returns why they cannot be.
    pub(super) fn new(netboots: &'a Netboots<'a>, facts: &'a HostFacts) -> Result<Self, Refusal> {
        let lab = netboots.lab;
        let mut wiring = Self { lab, netboots, facts, uplink: None };
        let private = lab.isolation == Isolation::Private;
        if private && lab.networks.values().any(|network| network.nat) {
            wiring.uplink = Some(wiring.choose_uplink()?);
        }
        if !private {
            wiring.check_host_subnets()?;
            wiring.check_host_interfaces()?;
        }
        wiring.check_bridge_names()?;
        if lab.networks.values().any(|network| network.nat) && facts.nft.is_none() {
            return Err(Refusal::new(
                "`nat = true` needs the program `nft`, which this host does not have",
                "install the package `nftables`, or set `nat = false`",
            ));
        }
        Ok(wiring)
    }

    /// Returns the uplink of a private lab.
    pub(super) fn uplink(&self) -> Option<Uplink> {
        self.uplink.clone()
    }

    fn choose_uplink(&self) -> Result<Uplink, Refusal> {
        if self.facts.pasta.is_none() {
            return Err(Refusal::new(
                "`nat = true` with `isolation = \"private\"` needs the program `pasta`, which this host does not have",
                "install the package `passt`, or set `nat = false`",
            ));
        }
        let free = |net: &Ipv4Net| {
            let own = self.lab.networks.values().map(|network| network.subnet.into());
            let mut taken = own.chain(self.facts.subnets.iter().copied());
            !taken.any(|other| other.prefix_len() > 0 && overlap((*net).into(), other))
        };
        let net = WAYS_OUT
            .iter()
            .map(|base| Ipv4Net::new(*base, 24).expect("24 is a prefix length"))
            .find(free)
            .ok_or_else(|| {
                Refusal::new(
                    "every subnet for the uplink is in use by the lab or the host",
                    "free one of 192.0.2.0/24, 198.51.100.0/24, 203.0.113.0/24 and 198.18.0.0/24",
                )
            })?;
        let at = |last: u8| {
            let [a, b, c, _] = net.network().octets();
            Ipv4Addr::new(a, b, c, last)
        };
        Ok(Uplink {
            interface: IfName::new("wan").expect("`wan` is an interface name"),
            address: Ipv4Net::new(at(2), 24).expect("24 is a prefix length"),
            gateway: at(1),
            resolver: at(3),
        })
    }

    fn check_host_subnets(&self) -> Result<(), Refusal> {
        for network in self.lab.networks.values() {
            for own in [network.address.map(IpNet::from), network.ipv6.map(IpNet::from)].into_iter().flatten()
            {
                let clash = self.facts.subnets.iter().find(|net| net.prefix_len() > 0 && overlap(**net, own));
                if let Some(net) = clash {
                    return Err(Refusal::new(
                        format!("network {} ({own}) overlaps with {net}, which this host uses", network.name),
                        "give the network another address, or remove `isolation = \"none\"`",
                    ));
                }
            }
        }
        Ok(())
    }

    fn check_host_interfaces(&self) -> Result<(), Refusal> {
        for network in self.lab.networks.values() {
            let Some(interface) = &network.interface else { continue };
            let Some(link) = self.link(interface) else {
                return Err(Refusal::new(
                    format!(
                        "network {} uses the interface {interface}, which this host does not have",
                        network.name
                    ),
                    "use one listed by `ip link`, or remove `interface`",
                ));
            };
            if let Some(master) = &link.master {
                return Err(Refusal::new(
                    format!(
                        "network {} uses the interface {interface}, which is already a port of {master}",
                        network.name
                    ),
                    format!("detach it (`ip link set {interface} nomaster`), or use another"),
                ));
            }
            if let Some(address) = link.addresses.first() {
                return Err(Refusal::new(
                    format!(
                        "network {} uses the interface {interface}, so this host would lose its address {address}",
                        network.name
                    ),
                    format!(
                        "take its addresses away (`ip address flush dev {interface}`), or name an interface that \
                         this host does not need"
                    ),
                ));
            }
            if link.mtu < u32::from(network.mtu) {
                return Err(Refusal::new(
                    format!(
                        "network {} has an MTU of {}, but {interface} has an MTU of {}",
                        network.name, network.mtu, link.mtu
                    ),
                    format!(
                        "raise it (`ip link set {interface} mtu {}`), or lower the network's `mtu`",
                        network.mtu
                    ),
                ));
            }
        }
        Ok(())
    }

    fn link(&self, interface: &IfName) -> Option<&HostLink> {
        self.facts.links.iter().find(|link| link.name == *interface)
    }

    /// The seed of interface names. Two labs of the same name may share the network namespace of the host, so there the
    /// path of the lab file is included.
    fn identity(&self) -> Vec<&str> {
        match self.lab.isolation {
            Isolation::Private => vec![self.lab.name.as_str()],
            Isolation::None => vec![self.lab.name.as_str(), self.lab.file.to_str().unwrap_or_default()],
        }
    }

    pub(super) fn interface(&self, kind: char, of: &[&str]) -> IfName {
        IfName::derive(kind, &[self.identity().as_slice(), of].concat())
    }

    pub(super) fn bridge_name(&self, network: &NetworkName) -> IfName {
        let named = self.lab.networks.get(network).and_then(|network| network.bridge.clone());
        named.unwrap_or_else(|| self.interface('b', &[network.as_str()]))
    }

    /// Checks that no other interface has the name of a bridge.
    fn check_bridge_names(&self) -> Result<(), Refusal> {
        let taps: BTreeSet<IfName> =
            self.lab.nodes.values().flat_map(|node| self.taps(node)).map(|tap| tap.interface).collect();
        for Network { name, .. } in self.lab.networks.values() {
            let bridge = self.bridge_name(name);
            let on_host = self.lab.isolation == Isolation::None && self.link(&bridge).is_some();
            if on_host || taps.contains(&bridge) {
                let whose = if taps.contains(&bridge) { "a NIC of the lab" } else { "this host" };
                return Err(Refusal::new(
                    format!(
                        "the bridge of network {name} would be {bridge}, which is an interface of {whose}"
                    ),
                    format!(
                        "set another name, as in network.{name}.bridge = \"br-{}\"",
                        &bridge.as_str()[..bridge.as_str().len().min(8)]
                    ),
                ));
            }
        }
        Ok(())
    }

    /// Returns the step that writes `hosts` and `resolv.conf` (private labs only).
    pub(super) fn name_files(&self) -> Step {
        let (hosts, search) = (self.host_lines(), self.search());
        Step::NameFiles {
            hosts,
            nameserver: self.lab.networks.values().find_map(Network::name_server),
            search,
        }
    }

    /// Returns the search domains of the lab.
    pub(super) fn search(&self) -> Vec<String> {
        let mut search: Vec<String> = self.lab.networks.values().map(|n| n.dns.domain.clone()).collect();
        search.dedup();
        search
    }

    /// Returns the lines of `/etc/hosts`.
    pub(super) fn host_lines(&self) -> Vec<(IpAddr, String)> {
        let mut hosts: Vec<(IpAddr, String)> = vec![(Ipv4Addr::LOCALHOST.into(), "localhost".to_owned())];
        for NodeRecord { name, addresses, network: _, node: _ } in self.node_records() {
            hosts.extend(addresses.into_iter().map(|address| (address, name.clone())));
        }
        for (name, addresses) in self.merged(|dns| &dns.records) {
            // `/etc/hosts` has no wildcards.
            let addresses = addresses.into_iter().filter(|_| !name.starts_with('*'));
            hosts.extend(addresses.map(|address| (address, name.clone())));
        }
        hosts
    }

    /// Returns the bridge of a network.
    pub(super) fn bridge(&self, network: &Network) -> BridgePlan {
        BridgePlan {
            network: network.name.clone(),
            interface: self.bridge_name(&network.name),
            alias: format!("dryrack {} network {}", self.lab.name, network.name),
            mac: network.mac,
            mtu: network.mtu,
            address: network.address,
            ipv6: network.ipv6,
            link_local: link_local(network.mac),
        }
    }

    /// Returns the capture of every network.
    pub(super) fn capture(&self, capture: Capture) -> CapturePlan {
        let Capture { size, payload } = capture;
        let nics = |network: &Network| {
            let all = self.lab.nodes.values().flat_map(|node| &node.nics);
            let here: Vec<Mac> = all.filter(|nic| nic.network == network.name).map(|nic| nic.mac).collect();
            here
        };
        let taps = |bridge: &IfName| {
            let all = self.lab.nodes.values().flat_map(|node| self.taps(node));
            let here: Vec<IfName> =
                all.filter(|tap| tap.bridge == *bridge).map(|tap| tap.interface).collect();
            here
        };
        let captured = |network: &Network| CapturedNetwork {
            network: network.name.clone(),
            interface: self.bridge_name(&network.name),
            ports: network
                .interface
                .iter()
                .cloned()
                .chain(taps(&self.bridge_name(&network.name)))
                .chain(self.ports_of_hosts(&network.name))
                .chain(self.ports_of_bmcs(&network.name))
                .collect(),
            stations: (network.interface.is_some())
                .then(|| nics(network).into_iter().chain([network.mac]).collect()),
        };
        let networks = self.lab.networks.values().map(captured).collect();
        CapturePlan { path: CAPTURE_FILE.into(), size, payload, networks }
    }

    /// Returns the interface of the host that is attached to a network, if there is one.
    pub(super) fn port(&self, network: &Network) -> Option<PortPlan> {
        let interface = network.interface.clone()?;
        Some(PortPlan {
            network: network.name.clone(),
            bridge: self.bridge_name(&network.name),
            was_up: self.link(&interface).is_some_and(|link| link.up),
            interface,
        })
    }

    /// Returns the TAPs of a node, in the order of its NICs.
    pub(super) fn taps(&self, node: &Node) -> Vec<TapPlan> {
        let tap = |nic: &Nic| TapPlan {
            node: node.name.clone(),
            nic: nic.name.clone(),
            interface: self.interface('t', &[node.name.as_str(), nic.name.as_str()]),
            alias: format!("dryrack {} node {} nic {}", self.lab.name, node.name, nic.name),
            bridge: self.bridge_name(&nic.network),
            mtu: self.lab.networks[&nic.network].mtu,
        };
        node.nics.iter().map(tap).collect()
    }

    /// Returns the steps for internet access, if a network has `nat`, and for routing between networks, if one has a
    /// relay: its clients renew at the server itself.
    pub(super) fn nat(&self) -> Vec<Step> {
        let networks: Vec<&Network> = self.lab.networks.values().filter(|network| network.nat).collect();
        if networks.is_empty() && !self.has_relays() {
            return Vec::new();
        }
        let host = self.lab.isolation == Isolation::None;
        let mut steps = Vec::new();
        if !(host && self.facts.ip_forward) {
            steps.push(Step::Forward { was: false });
        }
        if networks.is_empty() {
            return steps;
        }
        let table = format!("dryrack_{}", &self.interface('n', &[]).as_str()[3..]);
        let masquerade = networks
            .iter()
            .map(|network| Masquerade { bridge: self.bridge_name(&network.name), subnet: network.subnet });
        steps.push(Step::Firewall(FirewallPlan { table: table.clone(), masquerade: masquerade.collect() }));
        if host {
            for drop in &self.facts.forward_drops {
                steps.extend(networks.iter().map(|network| {
                    Step::ForeignAccept(ForeignAccept {
                        family: drop.family.clone(),
                        table: drop.table.clone(),
                        chain: drop.user_chain.clone().unwrap_or_else(|| drop.chain.clone()),
                        owner: drop.owner.clone(),
                        bridge: self.bridge_name(&network.name),
                        comment: format!("{table} {}", network.name),
                    })
                }));
            }
        }
        steps
    }

    /// Returns the boot services of a network, and what its DHCP server answers for others.
    pub(super) fn services(&self, network: &Network) -> ServicePlan {
        let is_relayed = |other: &&Network| {
            let to = match &other.dhcp {
                lab::Dhcp::Relay(relay) if relay.server.is_some() => &relay.to,
                _ => return false,
            };
            matches!(to, lab::RelayTo::Network(name) if *name == network.name)
        };
        let relayed = self.lab.networks.values().filter(is_relayed).map(|other| {
            let services = self.own_services(other);
            ServicePlan {
                dhcp: dhcp::dhcp(other),
                // Its own services have these.
                http: services.files_port(),
                matchbox: None,
                relay: None,
                root: None,
                files: BTreeMap::new(),
                texts: BTreeMap::new(),
                ..services
            }
        });
        ServicePlan { relayed: relayed.collect(), ..self.own_services(network) }
    }

    fn has_relays(&self) -> bool {
        self.lab.networks.values().any(|network| matches!(network.dhcp, lab::Dhcp::Relay(_)))
    }

    fn own_services(&self, network: &Network) -> ServicePlan {
        let attached = |node: &&Node| node.nics.iter().any(|nic| nic.network == network.name);
        let nodes: Vec<&Node> = self.lab.nodes.values().filter(attached).collect();
        let host = |node: &Node, nic: &Nic| HostPlan {
            node: node.name.clone(),
            mac: nic.mac,
            address: nic.address,
            ipv6: nic.ipv6,
            boot: self.netboots.plan(&node.name, network),
            client_id: nic.client_id.clone(),
            uuid: node.uuid,
            options: dhcp::own_options(network, &node.options),
            skip_delays: node.firmware_delays == FirmwareDelays::Skip,
        };
        let hosts = nodes
            .iter()
            .flat_map(|node| node.nics.iter().map(move |nic| (*node, nic)))
            .filter(|(_, nic)| nic.network == network.name)
            .map(|(node, nic)| host(node, nic));
        ServicePlan {
            network: network.name.clone(),
            interface: self.bridge_name(&network.name),
            mac: network.mac,
            address: network.address,
            subnet: network.subnet,
            probe_from: network.probe_from.clone(),
            ipv6: network.ipv6,
            link_local: network.mac.link_local(),
            mtu: network.mtu,
            hosts: hosts.collect(),
            dhcp: dhcp::dhcp(network).filter(|_| !matches!(network.dhcp, lab::Dhcp::Relay(_))),
            relay: dhcp::relay(network, &self.lab.networks, |name| self.bridge_name(name)),
            beside_relays: self.has_relays(),
            relayed: Vec::new(),
            ipv6_unknown_clients: ipv6_unknown_clients(network),
            ra: network.ra,
            dhcp6: dhcp6(network),
            tftp: network.tftp,
            http: network.http,
            ntp: network.ntp,
            syslog: network.syslog,
            dns: self.dns(network),
            https: network.https.then(|| bearer(self.lab, network)),
            matchbox: matchbox::matchbox(self.netboots, network),
            root: network
                .root
                .as_ref()
                .map(|folder| RootPlan { folder: folder.clone(), listing: network.listing }),
            clock: self.lab.clock,
            files: self.netboots.files(network, &nodes),
            texts: self.netboots.texts(network, &nodes),
        }
    }

    fn dns(&self, network: &Network) -> DnsPlan {
        let upstream = match &network.dns.upstream {
            Upstream::None => Vec::new(),
            Upstream::Servers(servers) => servers.clone(),
            Upstream::Host => match &self.uplink {
                Some(way) => vec![SocketAddr::from((way.resolver, DNS_PORT))],
                None => self
                    .facts
                    .resolvers
                    .iter()
                    .map(|address| SocketAddr::from((*address, DNS_PORT)))
                    .collect(),
            },
        };
        let networks = self.lab.networks.values();
        DnsPlan {
            port: network.dns.port,
            domain: network.dns.domain.clone(),
            domains: networks.clone().map(|network| network.dns.domain.clone()).collect(),
            nodes: self.node_records(),
            records: self.merged(|dns| &dns.records),
            aliases: networks.clone().flat_map(|network| network.dns.aliases.clone()).collect(),
            services: self.merged(|dns| &dns.services),
            texts: self.merged(|dns| &dns.texts),
            reverse: networks.flat_map(subnets).collect(),
            upstream,
        }
    }

    /// The name of every node on each of its networks.
    fn node_records(&self) -> Vec<NodeRecord> {
        let mut records = Vec::new();
        for network in self.lab.networks.values() {
            for node in self.lab.nodes.values() {
                let mut nics = node.nics.iter().filter(|nic| nic.network == network.name).peekable();
                if nics.peek().is_some() {
                    records.push(NodeRecord {
                        name: format!("{}.{}", node.name, network.dns.domain),
                        network: network.name.clone(),
                        node: node.name.clone(),
                        addresses: nics.flat_map(|nic| fixed_addresses(network, nic)).collect(),
                    });
                }
            }
            records.extend(self.records_of_hosts(network));
        }
        records
    }

    /// The addresses of each name on all networks.
    fn merged<T: Clone>(
        &self,
        of: impl Fn(&lab::Dns) -> &BTreeMap<String, Vec<T>>,
    ) -> BTreeMap<String, Vec<T>> {
        let mut merged: BTreeMap<String, Vec<T>> = BTreeMap::new();
        for network in self.lab.networks.values() {
            for (name, entries) in of(&network.dns) {
                merged.entry(name.clone()).or_default().extend(entries.iter().cloned());
            }
        }
        merged
    }
}

/// The addresses of a NIC's name at the start.
///
/// A DHCPv6 address is used only if the system requests it, and many do not: connections to it would then time out. So
/// with DHCPv6 the name gets the address once it is leased.
fn fixed_addresses(network: &Network, nic: &Nic) -> impl Iterator<Item = IpAddr> {
    let lent = matches!(network.dhcp, lab::Dhcp::Server(_));
    let ipv6 = nic.ipv6.filter(|_| !lent);
    nic.address.map(IpAddr::from).into_iter().chain(ipv6.map(IpAddr::from))
}

/// The part of a prefix that DHCPv6 leases from; `lab::validate` keeps reservations out of it.
fn ipv6_pool(net: Ipv6Net) -> Ipv6Net {
    let first = (net.network().to_bits() >> 64 << 64) | 0xd << 32;
    Ipv6Net::new(Ipv6Addr::from_bits(first), 96).expect("96 is a prefix length")
}

fn dhcp6(network: &Network) -> Option<Dhcp6Plan> {
    let (net, lab::Dhcp::Server(server)) = (network.ipv6?, &network.dhcp) else { return None };
    Some(Dhcp6Plan {
        // A lab with addresses for unknown clients has them for IPv6 too.
        pool: server.pool.map(|_| ipv6_pool(net)),
        lease_seconds: u32::try_from(server.lease_time.as_secs()).unwrap_or(u32::MAX),
        nameserver: network.name_server().map(|_| net.addr()),
        domain: network.dns.port.map(|_| network.dns.domain.clone()),
        ntp: network.ntp,
        ipxe_classes: server.ipxe_classes.clone(),
    })
}

/// Unknown clients are ignored on a network with an interface of the host, even without a DHCP setting for that.
fn ipv6_unknown_clients(network: &Network) -> UnknownClients {
    match (&network.dhcp, &network.interface) {
        (lab::Dhcp::Server(server), _) => server.unknown_clients,
        (_, Some(_)) => UnknownClients::Ignore,
        (_, None) => UnknownClients::Answer,
    }
}

/// Returns the subject names of a network's certificate: all addresses and names of its bridge.
pub fn bearer(lab: &Lab, network: &Network) -> HttpsPlan {
    let mut addresses: Vec<IpAddr> = network.server().map(IpAddr::from).into_iter().collect();
    addresses.extend(network.ipv6.map(|net| IpAddr::from(net.addr())));
    let domain = &network.dns.domain;
    let mut names = BTreeSet::from([domain.clone(), format!("ns.{domain}")]);
    let dns = lab.networks.values().map(|network| &network.dns);
    let records = dns.clone().flat_map(|dns| &dns.records);
    let here = records.filter(|(_, of)| of.iter().any(|address| addresses.contains(address)));
    names.extend(here.map(|(name, _)| name.clone()));
    // An alias may point to another alias.
    let aliases: Vec<(&String, &String)> = dns.flat_map(|dns| &dns.aliases).collect();
    while let Some((name, _)) =
        aliases.iter().find(|(name, target)| names.contains(*target) && !names.contains(*name))
    {
        names.insert((*name).clone());
    }
    HttpsPlan { addresses, names: names.into_iter().collect() }
}

fn subnets(network: &Network) -> impl Iterator<Item = IpNet> {
    [Some(IpNet::V4(network.subnet)), network.ipv6.map(IpNet::V6)]
        .into_iter()
        .flatten()
        .map(|net| net.trunc())
}

fn link_local(mac: Mac) -> Ipv6Net {
    Ipv6Net::new(mac.link_local(), 64).expect("64 is a prefix length")
}

pub(super) fn overlap(one: IpNet, other: IpNet) -> bool {
    let (one, other) = (one.trunc(), other.trunc());
    one.contains(&other) || other.contains(&one)
}
