//! BMCs, as a supervisor makes them.

use std::net::{Ipv4Addr, SocketAddr};

use ipnet::Ipv4Net;
use serde::{Deserialize, Serialize};

use super::network::Wiring;
use super::{HostNicPlan, HttpsPlan};
use crate::bmc::personality::Personality;
use crate::lab::{Node, Redfish, Secret};
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
    /// Whose BMC it is like.
    #[serde(default, skip_serializing_if = "is_own")]
    pub personality: Personality,
    /// The server that resolves names for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dns: Option<SocketAddr>,
    /// The search domain of names without a dot.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub domain: String,
    /// Name of its administrator.
    pub user: String,
    /// The source of the administrator's password; one is made for the run if `None`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub password: Option<Secret>,
    /// Whether it answers IPMI over LAN.
    pub ipmi: bool,
    /// How it answers Redfish.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub redfish: Option<RedfishPlan>,
}

/// How a BMC answers Redfish.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RedfishPlan {
    /// The subject names of its certificate.
    pub https: HttpsPlan,
    /// By which protocols.
    pub by: Redfish,
}

fn is_own(personality: &Personality) -> bool {
    *personality == Personality::Dryrack
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
            personality: bmc.personality,
            dns: network.server().zip(network.dns.port).map(SocketAddr::from),
            domain: network.dns.domain.clone(),
            user: bmc.user.clone(),
            password: bmc.password.clone(),
            ipmi: bmc.ipmi,
            redfish: bmc.redfish.map(|by| RedfishPlan {
                https: HttpsPlan { addresses: vec![bmc.address.into()], names: Vec::new() },
                by,
            }),
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
