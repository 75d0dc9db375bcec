//! Where the NICs of a node are plugged in.

use crate::name::{IfName, NicName, NodeName};
use crate::plan::{Plan, Step};

/// A NIC of a node, and where it is plugged in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plug {
    /// The NIC.
    pub nic: NicName,
    /// Its port on the bridge.
    pub port: IfName,
    /// The bridge.
    pub bridge: IfName,
    /// The MTU of the network.
    pub mtu: u16,
    /// Whether its link is up, if nothing is wrong.
    pub up: bool,
}

/// Returns the NICs of a node that are plugged into networks of the lab.
pub(super) fn plugs(plan: &Plan, node: &NodeName) -> Vec<Plug> {
    let nics = || plan.nodes.get(node).into_iter().flat_map(|node| &node.nics);
    let is_up = |nic: &NicName| nics().any(|planned| planned.nic == *nic && planned.link_up);
    let of_machine = plan.steps.iter().filter_map(|step| match step {
        Step::Tap(tap) if tap.node == *node => Some(Plug {
            nic: tap.nic.clone(),
            port: tap.interface.clone(),
            bridge: tap.bridge.clone(),
            mtu: tap.mtu,
            up: is_up(&tap.nic),
        }),
        _ => None,
    });
    let of_host = plan.hosts.get(node).into_iter().flat_map(|host| &host.nics).map(|nic| Plug {
        nic: nic.nic.clone(),
        port: nic.port.clone(),
        bridge: nic.bridge.clone(),
        mtu: nic.mtu,
        up: true,
    });
    of_machine.chain(of_host).collect()
}
