//! BMCs, as a supervisor makes them.

use std::net::Ipv4Addr;

use ipnet::Ipv4Net;
use serde::{Deserialize, Serialize};

use super::HostNicPlan;
use super::network::Wiring;
use crate::lab::{Node, Secret};
use crate::name::{IfName, NetworkName, NicName, NodeName};

/// The interface of a BMC.
const INTERFACE: &str = "bmc0";

/// The BMC of a node: a station of its own on a network, which is on while the lab is up.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BmcPlan {
    /// Its NIC.
    pub nic: HostNicPlan,
    /// Its address, with the prefix length.
    pub address: Ipv4Net,
    /// Its default gateway.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gateway: Option<Ipv4Addr>,
    /// Name of its administrator.
    pub user: String,
    /// The source of the administrator's password; one is made for the run if `None`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub password: Option<Secret>,
}

impl Wiring<'_> {
    /// Returns the plan of the BMC of a node.
    pub(super) fn bmc(&self, node: &Node) -> Option<BmcPlan> {
        let lab = self.lab();
        let bmc = node.bmc.as_ref()?;
        let network = lab.networks.get(&bmc.network)?;
        // The prefix length of a network is one.
        let address = Ipv4Net::new(bmc.address, network.subnet.prefix_len()).ok()?;
        let nic = HostNicPlan {
            nic: NicName::new("bmc").ok()?,
            interface: INTERFACE.parse().ok()?,
            mac: bmc.mac,
            address: Some(address),
            network: bmc.network.clone(),
            bridge: self.bridge_name(&bmc.network),
            port: self.port_of_bmc(&node.name),
            alias: format!("dryrack {} node {} bmc", lab.name, node.name),
            mtu: network.mtu,
        };
        Some(BmcPlan {
            nic,
            address,
            gateway: network.server(),
            user: bmc.user.clone(),
            password: bmc.password.clone(),
        })
    }

    fn port_of_bmc(&self, node: &NodeName) -> IfName {
        self.interface('c', &[node.as_str()])
    }

    /// Returns the ports of BMCs on a network.
    pub(super) fn ports_of_bmcs(&self, network: &NetworkName) -> Vec<IfName> {
        let nodes = self.lab().nodes.values();
        let here = nodes.filter(|node| node.bmc.as_ref().is_some_and(|bmc| bmc.network == *network));
        here.map(|node| self.port_of_bmc(&node.name)).collect()
    }
}
