//! How a run stands, as its control API says it.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::fold::Fold;
use super::request::Request;
use crate::event::RunTime;
use crate::expect::Verdict;
use crate::lab::Isolation;
use crate::name::{LabName, NodeName};
use crate::node::Capabilities;
use crate::observe::Snapshot;
use crate::plan::{Accel, Step};

/// How a run stands.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Status {
    /// The lab's name.
    pub lab: LabName,
    /// The canonical path of its file.
    pub file: PathBuf,
    /// Where its network lives.
    pub isolation: Isolation,
    /// What its machines run under.
    pub accel: Accel,
    /// The addresses of its nodes: reserved, or else leased.
    pub addresses: BTreeMap<NodeName, Vec<IpAddr>>,
    /// Its published ports.
    pub published: Vec<Published>,
    /// What can be done to its nodes, as far as they were started.
    pub capabilities: BTreeMap<NodeName, Capabilities>,
    /// How its nodes stand.
    pub snapshot: Snapshot,
    /// How its expectations stand.
    pub verdicts: Vec<Verdict>,
}

/// A published port.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Published {
    /// Where the host listens.
    pub listen: SocketAddr,
    /// The node it leads to; `None` if it leads to the boot services of a network.
    pub node: Option<NodeName>,
    /// Where connections go.
    pub to: SocketAddr,
}

impl Status {
    /// Tells how a run stands at an instant, which may be long after its latest event.
    pub(super) fn new(
        request: &Request,
        fold: &Fold,
        capabilities: BTreeMap<NodeName, Capabilities>,
        now: RunTime,
    ) -> Self {
        let plan = &request.plan;
        let mut addresses: BTreeMap<NodeName, Vec<IpAddr>> = BTreeMap::new();
        let mut published = Vec::new();
        for step in &plan.steps {
            match step {
                Step::Serve(service) => {
                    for host in &service.hosts {
                        addresses
                            .entry(host.node.clone())
                            .or_default()
                            .extend(host.address.map(IpAddr::from));
                    }
                }
                Step::Publish { listen, node, to } => {
                    published.push(Published { listen: *listen, node: node.clone(), to: *to });
                }
                _ => {}
            }
        }
        let mut snapshot = fold.snapshot().clone();
        snapshot.now = snapshot.now.max(now);
        for (node, view) in &snapshot.nodes {
            let known = addresses.entry(node.clone()).or_default();
            known.extend(view.address.filter(|address| !known.contains(address)));
        }
        Self {
            lab: plan.lab.clone(),
            file: request.plan.file.clone(),
            isolation: plan.isolation,
            accel: plan.accel,
            addresses,
            published,
            capabilities,
            snapshot,
            verdicts: fold.verdicts(),
        }
    }
}
