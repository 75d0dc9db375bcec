//! What a lab leaves to others: from whom an answer is expected where none of its own services gives one.

use super::{Boot, BootDevice, Dhcp, Lab, Network, Node, RelayTo, TftpBackend};
use crate::name::NetworkName;

/// Returns a sentence for each network whose nodes boot over it by servers of others.
///
/// Nobody who could answer at all is a diagnostic of the lab file, not a sentence here.
pub fn expected_of_others(lab: &Lab) -> Vec<String> {
    let mut sentences = Vec::new();
    for network in lab.networks.values() {
        let on = |node: &&Node| node.nics.iter().any(|nic| nic.network == network.name);
        let booting = lab.nodes.values().filter(on).filter(|node| boots_from_network(node)).count();
        let others = match &network.dhcp {
            _ if network.leases().is_some() => None,
            Dhcp::Relay(relay) => match &relay.to {
                RelayTo::Server(server) => Some((format!("relayed to {server}"), Some(server.to_string()))),
                RelayTo::Network(name) => {
                    let target = lab.networks.get(name).and_then(|target| answering(lab, target));
                    Some((format!("relayed to network `{name}`"), target))
                }
            },
            Dhcp::Proxy => Some(("only about boot files".to_owned(), answering(lab, network))),
            Dhcp::Off | Dhcp::Server(_) if network.address.is_none() => {
                Some(("not answered by Dryrack".to_owned(), answering(lab, network)))
            }
            Dhcp::Off | Dhcp::Server(_) => Some(("off".to_owned(), answering(lab, network))),
        };
        if let (true, Some((how, Some(whom)))) = (booting > 0, others) {
            let files = network.tftp == TftpBackend::Off && network.files_port().is_none();
            let what = if files { "addresses and boot files" } else { "addresses" };
            let nodes =
                if booting == 1 { "one node boots".to_owned() } else { format!("{booting} nodes boot") };
            sentences.push(format!(
                "network `{}`: {nodes} over it and DHCP is {how}; {what} are expected from {whom}",
                network.name
            ));
        }
    }
    sentences
}

/// Returns who can answer on a network, other than the lab's own services.
fn answering(lab: &Lab, network: &Network) -> Option<String> {
    let processes = lab.processes.values().filter(|process| process.may_answer_on(network, &lab.hosts));
    let processes = processes.map(|process| format!("process `{}`", process.name));
    let on = |node: &&Node| node.nics.iter().any(|nic| nic.network == network.name);
    // A node with a system of its own, or that boots from another network, may be a server.
    let leases =
        |name: &NetworkName| lab.networks.get(name).is_some_and(|network| network.leases().is_some());
    let serves = |node: &&Node| {
        node.disks.iter().any(|disk| disk.source.is_some())
            || node
                .nics
                .iter()
                .any(|nic| nic.network != network.name && (!boots_from_network(node) || leases(&nic.network)))
    };
    let nodes = lab.nodes.values().filter(on).filter(serves).map(|node| format!("node `{}`", node.name));
    let cable = network.interface.iter().map(|interface| format!("a machine behind {interface}"));
    let all: Vec<String> = processes.chain(nodes).chain(cable).collect();
    (!all.is_empty()).then(|| all.join(" or "))
}

fn boots_from_network(node: &Node) -> bool {
    match &node.boot {
        Boot::Nvram => true,
        Boot::Order(devices) => {
            devices.iter().any(|device| matches!(device, BootDevice::Network | BootDevice::OneNic(_)))
        }
    }
}
