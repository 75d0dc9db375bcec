//! Who can reach a network: probes, `ssh` and published ports start from somebody on it.

use std::collections::BTreeMap;

use super::Check;
use crate::diag::{Code, Diagnostic};
use crate::lab::{Check as Checked, Expectation, Network, Node, ProbedCheck};
use crate::name::{ExpectName, NetworkName, NodeName};

/// Returns the first network of a node, if nothing of the lab can reach the node on any of its networks.
pub(super) fn unreachable<'n>(
    node: &Node,
    networks: &'n BTreeMap<NetworkName, Network>,
) -> Option<&'n Network> {
    // An invalid network is reported elsewhere.
    let on: Option<Vec<&Network>> = node.nics.iter().map(|nic| networks.get(&nic.network)).collect();
    let on = on.filter(|on| on.iter().all(|network| !network.is_reachable()))?;
    on.first().copied()
}

/// Returns what makes a network reachable.
pub(super) fn address_help(network: &Network) -> String {
    let first = network.subnet.hosts().next().unwrap_or(network.subnet.addr());
    let name = &network.name;
    format!(
        "give the network an address: network.{name}.address = \"{first}/{}\" in place of `subnet`",
        network.subnet.prefix_len()
    )
}

impl Check<'_> {
    /// Reports checks of nodes that nothing of the lab can reach.
    pub(super) fn probes_reach(
        &mut self,
        networks: &BTreeMap<NetworkName, Network>,
        nodes: &BTreeMap<NodeName, Node>,
        expectations: &BTreeMap<ExpectName, Expectation>,
    ) {
        for expectation in expectations.values() {
            let word = match &expectation.check {
                Checked::Probed(ProbedCheck::Tcp { .. }) => "tcp",
                Checked::Probed(ProbedCheck::Http(_)) => "http",
                Checked::Probed(ProbedCheck::Ssh { .. }) => "ssh",
                Checked::Probed(ProbedCheck::Etcd { .. }) => "etcd",
                // They ask the lab's DNS, look at a disk, or are a command of the lab.
                Checked::Probed(
                    ProbedCheck::Dns { .. } | ProbedCheck::Installed(_) | ProbedCheck::Command { .. },
                )
                | Checked::Observed(_) => continue,
            };
            let found = expectation.nodes.iter().filter_map(|node| nodes.get(node));
            let Some((node, network)) =
                found.filter_map(|node| Some((&node.name, unreachable(node, networks)?))).next()
            else {
                continue;
            };
            let raw = self.raw.expect.get(expectation.name.as_str()).and_then(|(_, raw)| raw.as_ref());
            let span = raw.and_then(|raw| raw.that.span().or(raw.never.span())).cloned();
            let what = format!("`{word}` cannot reach `{node}`: network `{}` has no address", network.name);
            self.report(Diagnostic::new(Code::Unreachable, span, what).help(address_help(network)));
        }
    }
}
