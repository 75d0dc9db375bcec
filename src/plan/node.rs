//! What a supervisor has to know of networks and nodes beside the steps that make them.

use super::{NetworkPlan, NodePlan, boot};
use crate::lab::{Check, Lab, Network, Node, Seed, Start};
use crate::name::NodeName;

/// Returns what a supervisor has to know of a network.
pub(super) fn network(network: &Network) -> NetworkPlan {
    NetworkPlan {
        server: network.address.addr(),
        domain: network.dns.domain.clone(),
        passphrase: network.matchbox.as_ref().and_then(|matchbox| matchbox.passphrase.clone()),
    }
}

/// Returns what a supervisor has to know of a node.
pub(super) fn node(lab: &Lab, node: &Node) -> NodePlan {
    NodePlan {
        firmware: node.firmware,
        cpus: node.cpus,
        memory: node.memory,
        starts: node.start != Start::Manual,
        address: node.nics.iter().find_map(|nic| nic.address),
        network: node.nics.first().map(|nic| nic.network.clone()),
        way: boot::way(lab, node),
        user: seeded_user(node).or_else(|| expected_user(lab, &node.name)),
    }
}

/// Returns the first user that a node's seed gives the run's key.
fn seeded_user(node: &Node) -> Option<String> {
    match &node.seed {
        Seed::NoCloud { users, .. } => users.first().cloned(),
        Seed::None => None,
    }
}

/// Returns whom an expectation logs in as.
fn expected_user(lab: &Lab, node: &NodeName) -> Option<String> {
    lab.expectations.values().find_map(|expectation| match &expectation.check {
        Check::Ssh { user, .. } if expectation.nodes.contains(node) => Some(user.clone()),
        _ => None,
    })
}
