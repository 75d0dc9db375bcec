//! The status of a run in its control API.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

use ipnet::Ipv4Net;
use serde::{Deserialize, Serialize};

use super::fold::Fold;
use super::request::Request;
use crate::event::RunTime;
use crate::expect::Verdict;
use crate::lab::Isolation;
use crate::name::{IfName, LabName, NetworkName, NicName, NodeName};
use crate::node::Capabilities;
use crate::observe::Snapshot;
use crate::plan::{Accel, NicPlan, Reach, Step};

/// The status of a run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Status {
    /// The lab's name.
    pub lab: LabName,
    /// The canonical path of its file.
    pub file: PathBuf,
    /// The isolation of its network.
    pub isolation: Isolation,
    /// The accelerator of its machines.
    pub accel: Accel,
    /// Its networks.
    #[serde(default)]
    pub networks: Vec<NetworkName>,
    /// Their boot services.
    #[serde(default)]
    pub services: Vec<NetworkServices>,
    /// The addresses of its nodes: reserved, or else leased.
    pub addresses: BTreeMap<NodeName, Vec<IpAddr>>,
    /// Whether the links of its nodes' NICs are up.
    #[serde(default)]
    pub links: BTreeMap<NodeName, BTreeMap<NicName, bool>>,
    /// What is in the drives for media of its nodes; `None` if a drive is empty.
    #[serde(default)]
    pub media: BTreeMap<NodeName, BTreeMap<String, Option<String>>>,
    /// Its published ports.
    pub published: Vec<Published>,
    /// The capabilities of its started nodes.
    pub capabilities: BTreeMap<NodeName, Capabilities>,
    /// The state of its nodes.
    pub snapshot: Snapshot,
    /// The state of its expectations.
    pub verdicts: Vec<Verdict>,
}

/// The boot services of a network.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NetworkServices {
    /// The network.
    pub network: NetworkName,
    /// Its bridge.
    pub interface: IfName,
    /// The address of the bridge; `None` if nobody of Dryrack is on the network.
    pub address: Option<Ipv4Net>,
    /// The services that run.
    pub on: Vec<String>,
    /// Those that are switched off.
    pub off: Vec<String>,
}

/// A published port.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Published {
    /// The address on the host.
    pub listen: SocketAddr,
    /// The target node; `None` for the boot services of a network.
    pub node: Option<NodeName>,
    /// The target of connections.
    pub to: SocketAddr,
}

impl Status {
    /// Returns the status of a run at an instant, which may be long after its latest event.
    pub(super) fn new(
        request: &Request,
        fold: &Fold,
        capabilities: BTreeMap<NodeName, Capabilities>,
        now: RunTime,
    ) -> Self {
        let plan = &request.plan;
        let mut addresses: BTreeMap<NodeName, Vec<IpAddr>> = BTreeMap::new();
        let (mut published, mut services) = (Vec::new(), Vec::new());
        for step in &plan.steps {
            match step {
                Step::Serve(service) => {
                    let (on, off) = service.services();
                    services.push(NetworkServices {
                        network: service.network.clone(),
                        interface: service.interface.clone(),
                        address: service.address,
                        on: on.into_iter().map(Into::into).collect(),
                        off: off.into_iter().map(Into::into).collect(),
                    });
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
        for (node, view) in &mut snapshot.nodes {
            view.findings = fold.findings(node);
        }
        snapshot.now = snapshot.now.max(now);
        // The address that `ssh` takes comes first.
        for known in addresses.values_mut() {
            known.sort_by_key(|address| matches!(plan.reach(*address), Reach::Nobody(_)));
        }
        for (node, view) in &snapshot.nodes {
            let known = addresses.entry(node.clone()).or_default();
            known.extend(view.address.filter(|address| !known.contains(address)));
        }
        for (host, plan) in &plan.hosts {
            let known = addresses.entry(host.clone()).or_default();
            known.extend(plan.nics.iter().filter_map(|nic| nic.address).map(|net| IpAddr::from(net.addr())));
            let leased = snapshot.hosts.get(host).and_then(|view| view.address);
            known.extend(leased.filter(|address| !known.contains(address)));
        }
        let links_of_hosts = plan.hosts.iter().map(|(host, plan)| {
            let set = snapshot.hosts.get(host).map(|view| &view.links);
            let is_up =
                |nic: &NicName| set.and_then(|links| links.get(nic.as_str()).copied()).unwrap_or(true);
            (host.clone(), plan.nics.iter().map(|nic| (nic.nic.clone(), is_up(&nic.nic))).collect())
        });
        let links = plan.nodes.iter().map(|(node, plan)| {
            let set = snapshot.nodes.get(node).map(|view| &view.links);
            let is_up = |nic: &NicPlan| {
                set.and_then(|links| links.get(nic.nic.as_str()).copied()).unwrap_or(nic.link_up)
            };
            (node.clone(), plan.nics.iter().map(|nic| (nic.nic.clone(), is_up(nic))).collect())
        });
        let mut media: BTreeMap<NodeName, BTreeMap<String, Option<String>>> = BTreeMap::new();
        for (node, plan) in &plan.nodes {
            let drives = media.entry(node.clone()).or_default();
            drives.extend(plan.cds.iter().map(|cd| (format!("cd.{cd}"), None)));
        }
        for step in &plan.steps {
            let (node, drive, medium) = match step {
                Step::Medium(medium) => {
                    (&medium.node, format!("cd.{}", medium.cd), medium.source.to_string())
                }
                Step::Disk(disk)
                    if plan.nodes.get(&disk.node).is_some_and(|node| node.is_stick(&disk.disk)) =>
                {
                    let content = disk.backing.as_ref().map_or("blank".to_owned(), ToString::to_string);
                    (&disk.node, format!("disk.{}", disk.disk), content)
                }
                _ => continue,
            };
            media.entry(node.clone()).or_default().insert(drive, Some(medium));
        }
        for (node, view) in &snapshot.nodes {
            media.entry(node.clone()).or_default().extend(view.media.clone());
        }
        media.retain(|_, drives| !drives.is_empty());
        Self {
            lab: plan.lab.clone(),
            file: request.plan.file.clone(),
            isolation: plan.isolation,
            accel: plan.accel,
            networks: plan.networks.keys().cloned().collect(),
            services,
            addresses,
            links: links.chain(links_of_hosts).collect(),
            media,
            published,
            capabilities,
            snapshot,
            verdicts: fold.verdicts(),
        }
    }
}
