//! Where frames of networks and nodes are captured.

use std::collections::BTreeMap;

use crate::capture::{CapturePort, Take};
use crate::name::{IfName, NetworkName, NodeName};
use crate::plan::{Plan, Step};

/// The interfaces of every network and node.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct CapturePoints {
    networks: BTreeMap<NetworkName, Vec<CapturePort>>,
    nodes: BTreeMap<NodeName, Vec<CapturePort>>,
}

impl CapturePoints {
    /// Reads them from a plan.
    ///
    /// Of a network, each frame is taken once: where it enters the bridge, from a node, an interface of the host, or
    /// the host itself.
    pub(super) fn new(plan: &Plan) -> Self {
        let mut points = Self::default();
        let mut bridges: BTreeMap<&IfName, &NetworkName> = BTreeMap::new();
        let port = |interface: &IfName, title: String, take| CapturePort {
            interface: interface.clone(),
            title,
            take,
        };
        for step in &plan.steps {
            match step {
                Step::Bridge(bridge) => {
                    bridges.insert(&bridge.interface, &bridge.network);
                    let itself = port(&bridge.interface, bridge.network.to_string(), Take::Sent);
                    points.networks.entry(bridge.network.clone()).or_default().push(itself);
                }
                Step::Port(plan) => {
                    let outside = port(&plan.interface, plan.interface.as_str().to_owned(), Take::Received);
                    points.networks.entry(plan.network.clone()).or_default().push(outside);
                }
                Step::Tap(tap) => {
                    let title = format!("{} {}", tap.node, tap.nic);
                    if let Some(network) = bridges.get(&tap.bridge) {
                        let node = port(&tap.interface, title.clone(), Take::Received);
                        points.networks.entry((*network).clone()).or_default().push(node);
                    }
                    points.nodes.entry(tap.node.clone()).or_default().push(port(
                        &tap.interface,
                        title,
                        Take::Both,
                    ));
                }
                _ => {}
            }
        }
        points
    }

    /// Returns the interfaces of a network, or else of a node.
    pub(super) fn find(&self, name: &str) -> Option<&[CapturePort]> {
        let network =
            self.networks.iter().find(|(network, _)| network.as_str() == name).map(|(_, ports)| ports);
        let node = || self.nodes.iter().find(|(node, _)| node.as_str() == name).map(|(_, ports)| ports);
        network.or_else(node).map(Vec::as_slice)
    }
}
