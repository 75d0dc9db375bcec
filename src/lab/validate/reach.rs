//! Who can reach a network: probes, `ssh` and published ports start from somebody on it.

use std::collections::BTreeMap;

use ipnet::IpNet;

use super::Check;
use crate::diag::{Code, Diagnostic};
use crate::lab::{Check as Checked, Expectation, Host, Network, Node, ProbedCheck};
use crate::name::{ExpectName, NetworkName, NodeName};

/// Returns the first network of a machine, if nothing of the lab can reach it on any of its networks.
pub(super) fn unreachable<'n, 'm>(
    of: impl Iterator<Item = &'m NetworkName>,
    networks: &'n BTreeMap<NetworkName, Network>,
) -> Option<&'n Network> {
    // An invalid network is reported elsewhere.
    let on: Option<Vec<&Network>> = of.map(|network| networks.get(network)).collect();
    let on = on.filter(|on| on.iter().all(|network| !network.is_reachable()))?;
    on.first().copied()
}

/// Returns what makes a network reachable.
pub(super) fn address_help(network: &Network) -> String {
    let first = network.subnet.hosts().next().unwrap_or(network.subnet.addr());
    let name = &network.name;
    format!(
        "name a host of the lab that is on it, as in network.{name}.probe-from = \"deploy\", or give the network an \
         address: network.{name}.address = \"{first}/{}\" in place of `subnet`",
        network.subnet.prefix_len()
    )
}

impl Check<'_> {
    /// Sets the hosts from which networks without an address are reached.
    pub(super) fn probed_from(
        &mut self,
        networks: &mut BTreeMap<NetworkName, Network>,
        hosts: &BTreeMap<NodeName, Host>,
    ) {
        for (key, raw) in &self.raw.network.entries {
            let Some(given) = raw.as_ref().and_then(|raw| raw.probe_from.given()) else { continue };
            let Some(network) = networks.values_mut().find(|network| network.name.as_str() == key.value)
            else {
                continue;
            };
            // What is wrong with it is reported once: nothing else is missing for what it reaches.
            network.probe_from = NodeName::new(&given.value).ok();
            let name = &network.name;
            if network.address.is_some() {
                let what =
                    "`probe-from` is for networks without `address`: others are reached from the bridge";
                let diagnostic = Diagnostic::new(Code::BadSubnet, given.span.clone(), what);
                self.report(diagnostic.help("remove it, or write `subnet` in place of `address`"));
                continue;
            }
            let Some(host) = self.host_named(&given.value, &given.span) else { continue };
            // An invalid host is reported elsewhere.
            let Some(host) = hosts.get(&host) else { continue };
            if host.nics.iter().all(|nic| nic.network != *name) {
                let what = format!("host `{}` has no NIC on network `{name}`", host.name);
                let help = format!("add one, as in host.{}.nic.{name}.address = \"dhcp\"", host.name);
                self.report(Diagnostic::new(Code::Unreachable, given.span.clone(), what).help(help));
            }
        }
    }

    /// Reports checks of nodes that nothing of the lab can reach.
    pub(super) fn probes_reach(
        &mut self,
        networks: &BTreeMap<NetworkName, Network>,
        nodes: &BTreeMap<NodeName, Node>,
        hosts: &BTreeMap<NodeName, Host>,
        expectations: &BTreeMap<ExpectName, Expectation>,
    ) {
        for expectation in expectations.values() {
            let (word, found) = match &expectation.check {
                Checked::Probed(ProbedCheck::Tcp { .. }) => ("tcp", None),
                Checked::Probed(ProbedCheck::Http(_)) => ("http", None),
                Checked::Probed(ProbedCheck::Certificate(_)) => ("certificate", None),
                Checked::Probed(ProbedCheck::Ssh { .. } | ProbedCheck::OnNode(_)) => ("ssh", None),
                Checked::Probed(ProbedCheck::Etcd { .. }) => ("etcd", None),
                Checked::Probed(ProbedCheck::Kubernetes(_)) => ("kubernetes", None),
                Checked::Probed(ProbedCheck::Dns { server: Some(server), .. }) => {
                    let Some(network) = networks.values().find(|network| {
                        !network.is_reachable() && IpNet::V4(network.subnet).contains(&server.ip())
                    }) else {
                        continue;
                    };
                    ("dns", Some((server.ip().to_string(), network)))
                }
                // They ask the lab's own DNS, look at a disk, or are a command of the lab.
                Checked::Probed(
                    ProbedCheck::Dns { server: None, .. }
                    | ProbedCheck::Installed(_)
                    | ProbedCheck::DiskFile(_)
                    | ProbedCheck::Command { .. },
                )
                | Checked::Observed(_) => continue,
            };
            let networks_of = |name: &NodeName| -> Vec<&NetworkName> {
                let node = nodes.get(name).map(|node| node.nics.iter().map(|nic| &nic.network).collect());
                let host = || hosts.get(name).map(|host| host.nics.iter().map(|nic| &nic.network).collect());
                node.or_else(host).unwrap_or_default()
            };
            let reached = |name| unreachable(networks_of(name).into_iter(), networks);
            let on_nodes =
                || expectation.nodes.iter().find_map(|name| Some((name.to_string(), reached(name)?)));
            let Some((whom, network)) = found.or_else(on_nodes) else { continue };
            let raw = self.raw.expect.get(expectation.name.as_str()).and_then(|(_, raw)| raw.as_ref());
            let span = raw.and_then(|raw| raw.that.span().or(raw.never.span())).cloned();
            let what = format!("`{word}` cannot reach `{whom}`: network `{}` has no address", network.name);
            self.report(Diagnostic::new(Code::Unreachable, span, what).help(address_help(network)));
        }
    }
}
