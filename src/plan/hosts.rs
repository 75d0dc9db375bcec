//! Machines without a VM, as a supervisor makes them.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;

use super::network::Wiring;
use super::{HostMachinePlan, HostNicPlan, NodeRecord};
use crate::lab::{Host, HostNic, Network};
use crate::name::{IfName, NetworkName, NodeName};

impl Wiring<'_> {
    /// Returns the plans of all hosts.
    pub(super) fn hosts(&self) -> BTreeMap<NodeName, HostMachinePlan> {
        let hosts = self.lab().hosts.values();
        hosts.map(|host| (host.name.clone(), self.host(host))).collect()
    }

    fn host(&self, host: &Host) -> HostMachinePlan {
        let lab = self.lab();
        let network = |nic: &HostNic| lab.networks.get(&nic.network);
        let files = lab
            .processes
            .values()
            .filter(|process| process.host.as_ref() == Some(&host.name) && process.is_given_by_host());
        let towards_nat = |nic: &&HostNic| network(nic).is_some_and(|network| network.nat);
        let masquerade = host.nics.iter().filter(towards_nat).map(|nic| nic.interface.clone());
        let mut nics = host.nics.iter();
        let reachable = nics.find(|nic| network(nic).is_some_and(Network::is_reachable));
        HostMachinePlan {
            host: host.name.clone(),
            nics: host.nics.iter().map(|nic| self.host_nic(host, nic)).collect(),
            network: reachable.or(host.nics.first()).map(|nic| nic.network.clone()),
            gateway: self.gateway(host),
            router: host.router,
            masquerade: masquerade.filter(|_| host.router).collect(),
            hosts: self.host_lines(),
            nameserver: host.nics.iter().filter_map(network).find_map(Network::name_server),
            search: self.search(),
            files: files.flat_map(|process| process.files.clone()).collect(),
            power: host.start.clone(),
        }
    }

    fn host_nic(&self, host: &Host, nic: &HostNic) -> HostNicPlan {
        let lab = self.lab();
        HostNicPlan {
            nic: nic.name.clone(),
            interface: nic.interface.clone(),
            mac: nic.mac,
            address: nic.address,
            network: nic.network.clone(),
            bridge: self.bridge_name(&nic.network),
            port: self.port_of_host(&host.name, nic),
            alias: format!("dryrack {} host {} nic {}", lab.name, host.name, nic.name),
            mtu: lab.networks.get(&nic.network).map_or(1500, |network| network.mtu),
        }
    }

    fn port_of_host(&self, host: &NodeName, nic: &HostNic) -> IfName {
        self.interface('h', &[host.as_str(), nic.name.as_str()])
    }

    /// Returns the ports of hosts on a network.
    pub(super) fn ports_of_hosts(&self, network: &NetworkName) -> Vec<IfName> {
        let hosts = self.lab().hosts.values();
        let nics = hosts.flat_map(|host| host.nics.iter().map(move |nic| (&host.name, nic)));
        let here = nics.filter(|(_, nic)| nic.network == *network);
        here.map(|(host, nic)| self.port_of_host(host, nic)).collect()
    }

    /// Returns the default route of a host: by a network with `nat`, or by another host that forwards.
    fn gateway(&self, host: &Host) -> Option<Ipv4Addr> {
        let lab = self.lab();
        let fixed = || host.nics.iter().filter(|nic| nic.address.is_some());
        let nat = fixed().filter_map(|nic| lab.networks.get(&nic.network)).find(|network| network.nat);
        let others = || lab.hosts.values().filter(|other| other.router && other.name != host.name);
        let by_router = || {
            fixed().find_map(|nic| {
                let there = others()
                    .flat_map(|other| &other.nics)
                    .find(|there| there.network == nic.network && there.address.is_some());
                there?.address.map(|address| address.addr())
            })
        };
        // A router does not send to another one what it does not know itself.
        nat.and_then(Network::server).or_else(|| by_router().filter(|_| !host.router))
    }

    /// Returns the names of hosts on a network.
    pub(super) fn records_of_hosts(&self, network: &Network) -> Vec<NodeRecord> {
        let mut records = Vec::new();
        for host in self.lab().hosts.values() {
            let mut nics = host.nics.iter().filter(|nic| nic.network == network.name).peekable();
            if nics.peek().is_some() {
                records.push(NodeRecord {
                    name: format!("{}.{}", host.name, network.dns.domain),
                    network: network.name.clone(),
                    node: host.name.clone(),
                    addresses: nics.filter_map(|nic| nic.address).map(|net| net.addr().into()).collect(),
                });
            }
        }
        records
    }
}
