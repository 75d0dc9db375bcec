//! Machines without a VM.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;

use ipnet::Ipv4Net;

use super::Check;
use super::network::{is_of_kernel, is_plain};
use crate::config::{Field, Located, RawHost, RawHostAddress, RawHostNic, RawStart, Short, Text};
use crate::diag::{Code, Diagnostic, Span};
use crate::lab::{Expectation, Host, HostNic, Network, Node, Start};
use crate::name::{ExpectName, IfName, Mac, NetworkName, NicName, NodeName};

/// More than a hand-written file needs.
const MOST_HOSTS: usize = 100;
const MOST_NICS: usize = 32;

impl Check<'_> {
    /// Checks the hosts of the lab.
    pub(super) fn hosts(
        &mut self,
        networks: &BTreeMap<NetworkName, Network>,
        nodes: &BTreeMap<NodeName, Node>,
        expectations: &BTreeMap<ExpectName, Expectation>,
    ) -> BTreeMap<NodeName, Host> {
        let raw = self.raw;
        let mut hosts = BTreeMap::new();
        if self.too_many("the lab", &raw.host, MOST_HOSTS, "hosts") {
            return hosts;
        }
        for (key, host) in &raw.host.entries {
            let name = self.name::<NodeName>(key);
            let Some(host) = host else { continue };
            if let Some((node, _)) = raw.node.get(&key.value) {
                let what = format!("`{}` is a node, too", key.value);
                let diagnostic = Diagnostic::new(Code::HostIsNode, key.span.clone(), what);
                self.report(diagnostic.related(node.span.clone(), "the node").help("rename one of them"));
                continue;
            }
            if let Some(host) = self.host(name, host, key, networks, expectations) {
                hosts.insert(host.name.clone(), host);
            }
        }
        self.macs_of_hosts(&hosts, nodes, networks);
        hosts
    }

    /// Reports MAC addresses of hosts that somebody else has.
    fn macs_of_hosts(
        &mut self,
        hosts: &BTreeMap<NodeName, Host>,
        nodes: &BTreeMap<NodeName, Node>,
        networks: &BTreeMap<NetworkName, Network>,
    ) {
        let of_networks = networks
            .values()
            .map(|network| (network.mac, format!("the bridge of network `{}`", network.name)));
        let of_nodes =
            nodes.values().flat_map(|node| node.nics.iter().map(|nic| (nic.mac, format!("`{}`", node.name))));
        let mut taken: BTreeMap<Mac, String> = of_networks.chain(of_nodes).collect();
        let raw = self.raw;
        for (key, host) in raw.host.entries.iter().filter_map(|(key, raw)| Some((key, raw.as_ref()?))) {
            let Some(made) = hosts.values().find(|host| host.name.as_str() == key.value) else { continue };
            for nic in &made.nics {
                let Some(whose) = taken.insert(nic.mac, format!("`{}`", made.name)) else { continue };
                let written = host.nic.entries.iter().find(|(key, _)| key.value == nic.name.as_str());
                let span = written.and_then(|(_, raw)| raw.as_ref()?.0.mac.span()).unwrap_or(&key.span);
                let what = format!("{} is already the MAC address of {whose}", nic.mac);
                let help = "remove `mac`: each NIC then gets its own, the same in every run";
                self.report(Diagnostic::new(Code::MacTaken, span.clone(), what).help(help));
            }
        }
    }

    fn host(
        &mut self,
        name: Option<NodeName>,
        raw: &RawHost,
        key: &Located<String>,
        networks: &BTreeMap<NetworkName, Network>,
        expectations: &BTreeMap<ExpectName, Expectation>,
    ) -> Option<Host> {
        let mut nics = Vec::new();
        if self.too_many(&format!("`{}`", key.value), &raw.nic, MOST_NICS, "NICs") {
            return None;
        }
        let mut interfaces: BTreeMap<IfName, &Span> = BTreeMap::new();
        for (nic_key, nic) in &raw.nic.entries {
            let nic_name = self.name::<NicName>(nic_key);
            let Some(Short(nic)) = nic else { continue };
            let (Some(host), Some(nic_name)) = (&name, nic_name) else { continue };
            let Some(nic) = self.host_nic(host, nic_name, nic, nic_key, networks) else { continue };
            if let Some(first) = interfaces.insert(nic.interface.clone(), &nic_key.span) {
                let what = format!("`{}` has two NICs with the interface `{}`", key.value, nic.interface);
                let diagnostic = Diagnostic::new(Code::InterfaceTwice, nic_key.span.clone(), what);
                let diagnostic = diagnostic.related(first.clone(), "the other one");
                self.report(diagnostic.help("give one another `interface`"));
            }
            nics.push(nic);
        }
        let name = name?;
        let start = match raw.start.value() {
            Some(RawStart::Manual) => Start::Manual,
            Some(RawStart::After(Field::Given(word))) => {
                self.starts_after(&name, word, expectations).map_or(Start::Manual, Start::After)
            }
            Some(RawStart::After(Field::Missing | Field::Bad) | RawStart::Auto) | None => Start::WithLab,
        };
        Some(Host { name, nics, router: raw.router.value().copied().unwrap_or(false), start })
    }

    fn host_nic(
        &mut self,
        host: &NodeName,
        name: NicName,
        raw: &RawHostNic,
        key: &Located<String>,
        networks: &BTreeMap<NetworkName, Network>,
    ) -> Option<HostNic> {
        let network = match &raw.network {
            Field::Given(word) => self.network_named(&word.value, &word.span),
            Field::Missing => self.network_named(&key.value, &key.span),
            Field::Bad => None,
        };
        let address = self.needed(&raw.address, "address = \"dhcp\"", &key.span);
        let interface = match &raw.interface {
            Field::Given(Located { value: Text(interface), span }) => {
                if !is_plain(interface) || is_of_kernel(interface) {
                    let help = "use letters, digits, dots, dashes and underscores, as in \"eth0\"";
                    self.malformed(
                        span,
                        format!("`{interface}` is not a name for the interface of a NIC"),
                        help,
                    );
                }
                Some(interface.clone())
            }
            Field::Missing => self.interface_of(&name, &key.span),
            Field::Bad => None,
        };
        if let Some(Located { value: Text(mac), span }) = raw.mac.given().filter(|mac| mac.value.0.is_group())
        {
            let what = format!("{mac} is a multicast address, not the address of a NIC");
            let diagnostic = Diagnostic::new(Code::MacGroup, span.clone(), what);
            self.report(
                diagnostic.help("the first byte of a NIC's address is even, as in 52:54:00:12:34:56"),
            );
        }
        let network = network?;
        let lab = self.lab.clone()?;
        let derived = || Mac::derive(&[lab.as_str(), host.as_str(), name.as_str()]);
        let mac = raw.mac.value().map_or_else(derived, |Text(mac)| *mac);
        let address = match address?.value.0 {
            RawHostAddress::Dhcp => None,
            RawHostAddress::Fixed(address, prefix) => {
                let default = networks.get(&network).map_or(24, |network| network.subnet.prefix_len());
                // A prefix that was written was parsed as one.
                Some(Ipv4Net::new(address, prefix.unwrap_or(default)).ok()?)
            }
        };
        Some(HostNic { name, network, mac, address, interface: interface? })
    }

    /// Returns the interface that is named like its NIC, or reports that no interface can be.
    fn interface_of(&mut self, nic: &NicName, span: &Span) -> Option<IfName> {
        let interface = nic.as_str().parse::<IfName>().ok().filter(|name| !is_of_kernel(name));
        if interface.is_none() {
            let what = format!("`{nic}` cannot be the name of an interface");
            self.malformed(span, what, "set `interface`, a name of at most 15 characters");
        }
        interface
    }

    /// Returns the addresses of hosts on a network as written, with their positions.
    pub(super) fn addresses_of_hosts(&self, network: &Network) -> Vec<(String, Ipv4Addr, &Span)> {
        let mut addresses = Vec::new();
        for (key, host) in &self.raw.host.entries {
            for (nic, raw) in host.iter().flat_map(|host| &host.nic.entries) {
                let Some(Short(raw)) = raw else { continue };
                let of = raw.network.value().map_or(nic.value.as_str(), String::as_str);
                if let (true, Some(Located { value: Text(RawHostAddress::Fixed(address, _)), span })) =
                    (of == network.name.as_str(), raw.address.given())
                {
                    addresses.push((key.value.clone(), *address, span));
                }
            }
        }
        addresses
    }
}
