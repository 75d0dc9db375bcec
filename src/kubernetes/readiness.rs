//! Judges whether a cluster is ready, and finds the first link that is missing if it is not.
//!
//! The rules for pods are those of `talosctl health`: what is deleted, has failed, or has only containers that ended
//! does not count. Beyond what others check, the set of nodes is exact, and a node is ready only while its kubelet
//! renews its lease: without a controller manager, nobody takes `Ready` away from a node that is gone.

use std::fmt;
use std::net::IpAddr;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::objects::{
    Cluster, Condition, ContainerStatus, DaemonSet, Deployment, Event, Lease, Node, Pod, Workloads, condition,
};

/// How long a lease is good that does not say so: the default of the kubelet.
const LEASE_SECONDS: u32 = 40;
/// How many objects of a kind are named.
const NAMED: usize = 3;
/// How many warnings are evidence.
const WARNINGS: usize = 10;

/// The links of the chain, in the order in which they are tried.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Link {
    /// The port of the API server accepts connections.
    Tcp,
    /// TLS is agreed upon, and the certificate is right.
    Tls,
    /// The API server says that it is ready.
    ApiServer,
    /// The API server has the version.
    Version,
    /// There is a kubeconfig.
    Kubeconfig,
    /// The API server knows the user.
    Authentication,
    /// The user may read what is judged.
    Authorization,
    /// The nodes are those of the lab, and ready.
    Nodes,
    /// The kubelets renew their leases.
    Leases,
    /// All groups of the API are available.
    ApiServices,
    /// The pods are ready.
    Pods,
    /// The daemon sets are complete.
    DaemonSets,
    /// The deployments are complete.
    Deployments,
}

impl Link {
    /// Returns its name in messages.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Tcp => "TCP",
            Self::Tls => "TLS",
            Self::ApiServer => "API server",
            Self::Version => "version",
            Self::Kubeconfig => "kubeconfig",
            Self::Authentication => "authentication",
            Self::Authorization => "authorization",
            Self::Nodes => "nodes",
            Self::Leases => "leases",
            Self::ApiServices => "API services",
            Self::Pods => "pods",
            Self::DaemonSets => "daemon sets",
            Self::Deployments => "deployments",
        }
    }
}

/// The first link that is missing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Missing {
    /// The link.
    pub link: Link,
    /// What is wrong with it.
    pub what: String,
    /// Further facts, line by line.
    pub evidence: Vec<String>,
    /// The names of the objects that are wrong, of which events may tell more; those of nodes also as in the lab.
    pub about: Vec<String>,
}

impl Missing {
    /// Creates it without evidence.
    pub fn new(link: Link, what: impl Into<String>) -> Self {
        Self { link, what: what.into(), evidence: Vec::new(), about: Vec::new() }
    }

    fn with(link: Link, what: String, evidence: Vec<String>, about: Vec<String>) -> Self {
        Self { link, what, evidence, about }
    }

    /// Adds the warnings that are about the objects that are wrong.
    pub fn add_warnings(&mut self, events: &[Event]) {
        let mut concerned: Vec<&Event> =
            events.iter().filter(|event| self.about.contains(&event.involved_object.name)).collect();
        concerned.sort_by_key(|event| event.last_timestamp.or(event.event_time));
        let rest = concerned.len().saturating_sub(WARNINGS);
        self.evidence.extend(concerned[rest..].iter().map(|event| warning(event)));
    }
}

impl fmt::Display for Missing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.link.as_str(), self.what)
    }
}

/// What a cluster should be.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Wanted {
    /// The nodes, and no others; any if left out.
    pub nodes: Option<Vec<WantedNode>>,
    /// The start of the versions of the API server and of the kubelets, such as `1.31`; any if left out.
    pub version: Option<String>,
    /// The namespaces of which all pods, daemon sets and deployments are ready.
    pub namespaces: Vec<String>,
}

/// A node of the lab that should be one of the cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WantedNode {
    /// Its name in the lab.
    pub name: String,
    /// Its addresses, as far as they are known.
    pub addresses: Vec<IpAddr>,
}

impl WantedNode {
    /// Whether a node of the cluster is this one: by an address, or by its name with or without a domain.
    fn is(&self, node: &Node) -> bool {
        let name = &node.metadata.name;
        let by_address = node.status.addresses.iter().any(|address| {
            address.kind == "InternalIP"
                && address.address.parse().is_ok_and(|address| self.addresses.contains(&address))
        });
        by_address || *name == self.name || name.split('.').next() == Some(self.name.as_str())
    }
}

/// Whether a version starts as wanted: `1.31` fits `v1.31.2`, but not `v1.3` or `v1.310`.
pub fn is_version(version: &str, wanted: &str) -> bool {
    let (version, wanted) = (version.trim_start_matches('v'), wanted.trim_start_matches('v'));
    version.strip_prefix(wanted).is_some_and(|rest| !rest.starts_with(|next: char| next.is_ascii_digit()))
}

/// Judges a cluster; returns what it is if it is ready.
pub fn judge(cluster: &Cluster, wanted: &Wanted) -> Result<String, Missing> {
    version(cluster, wanted)?;
    nodes(cluster, wanted)?;
    leases(cluster, wanted)?;
    api_services(cluster)?;
    for name in &wanted.namespaces {
        let found = cluster.namespaces.get(name);
        pods(name, found.map(|workloads| &workloads.pods[..]).unwrap_or_default())?;
        if let Some(Workloads { daemon_sets, deployments, .. }) = found {
            workloads(name, Link::DaemonSets, daemon_sets.iter().filter_map(daemon_set))?;
            workloads(name, Link::Deployments, deployments.iter().filter_map(deployment))?;
        }
    }
    let pods = wanted.namespaces.iter().filter_map(|name| {
        let count = cluster.namespaces.get(name)?.pods.iter().filter(|pod| counts(pod)).count();
        Some(format!(", {} in {name}", counted(count, "pod")))
    });
    let pods: String = pods.collect();
    let version = &cluster.version.git_version;
    Ok(format!("Kubernetes {version}, {} ready{pods}", counted(cluster.nodes.len(), "node")))
}

fn version(cluster: &Cluster, wanted: &Wanted) -> Result<(), Missing> {
    let Some(wanted) = &wanted.version else { return Ok(()) };
    let is = &cluster.version.git_version;
    if !is_version(is, wanted) {
        return Err(Missing::new(Link::Version, format!("the API server is {is}, not {wanted}")));
    }
    let other = |node: &&Node| !is_version(&node.status.node_info.kubelet_version, wanted);
    match cluster.nodes.iter().find(other) {
        Some(Node { metadata, status, .. }) => {
            let is = &status.node_info.kubelet_version;
            Err(Missing::new(
                Link::Version,
                format!("the kubelet of `{}` is {is}, not {wanted}", metadata.name),
            ))
        }
        None => Ok(()),
    }
}

fn nodes(cluster: &Cluster, wanted: &Wanted) -> Result<(), Missing> {
    if cluster.nodes.is_empty() {
        return Err(Missing::new(Link::Nodes, "the cluster has no node"));
    }
    if let Some(wanted) = &wanted.nodes {
        let stranger = |node: &&Node| !wanted.iter().any(|wanted| wanted.is(node));
        let strangers: Vec<String> = cluster
            .nodes
            .iter()
            .filter(stranger)
            .map(|node| format!("`{}`{}", node.metadata.name, at(node)))
            .collect();
        if !strangers.is_empty() {
            let what =
                format!("{} {} of the lab", first(&strangers), are(&strangers, "is no node", "are no nodes"));
            let evidence = cluster.nodes.iter().map(described).collect();
            return Err(Missing::with(Link::Nodes, what, evidence, Vec::new()));
        }
        for wanted in wanted {
            let same: Vec<String> = cluster
                .nodes
                .iter()
                .filter(|node| wanted.is(node))
                .map(|node| format!("`{}`{}", node.metadata.name, at(node)))
                .collect();
            if same.len() > 1 {
                let what = format!("{} all are node `{}` of the lab", first(&same), wanted.name);
                return Err(Missing::new(Link::Nodes, what));
            }
        }
        let absent = |wanted: &&WantedNode| !cluster.nodes.iter().any(|node| wanted.is(node));
        let absent: Vec<String> = wanted.iter().filter(absent).map(|wanted| wanted.name.clone()).collect();
        if !absent.is_empty() {
            let names: Vec<String> = absent.iter().map(|name| format!("`{name}`")).collect();
            let what = format!("{} {} not joined", first(&names), are(&names, "has", "have"));
            let evidence = cluster.nodes.iter().map(described).collect();
            return Err(Missing::with(Link::Nodes, what, evidence, absent));
        }
    }
    let ready = |node: &Node| condition(&node.status.conditions, "Ready").is_some_and(Condition::is_true);
    let unready: Vec<&Node> = cluster.nodes.iter().filter(|node| !ready(node)).collect();
    if let Some(node) = unready.first() {
        let why = condition(&node.status.conditions, "Ready").map(Condition::why);
        let why = why.unwrap_or_else(|| "it has no condition `Ready`".to_owned());
        let names: Vec<String> = unready.iter().map(|node| format!("`{}`", node.metadata.name)).collect();
        let what = format!("{} {} not ready: {why}", first(&names), are(&names, "is", "are"));
        let evidence = unready.iter().flat_map(|node| conditions(node)).collect();
        let about = unready.iter().flat_map(|node| names_of(node, wanted)).collect();
        return Err(Missing::with(Link::Nodes, what, evidence, about));
    }
    let cordoned: Vec<String> = cluster
        .nodes
        .iter()
        .filter(|node| node.spec.unschedulable)
        .map(|node| format!("`{}`", node.metadata.name))
        .collect();
    if !cordoned.is_empty() {
        let what =
            format!("{} {} cordoned: no pod is placed there", first(&cordoned), are(&cordoned, "is", "are"));
        return Err(Missing::new(Link::Nodes, what));
    }
    Ok(())
}

fn leases(cluster: &Cluster, wanted: &Wanted) -> Result<(), Missing> {
    let (Some(leases), Some(now)) = (&cluster.leases, cluster.now) else { return Ok(()) };
    let stale = cluster.nodes.iter().filter_map(|node| {
        let name = &node.metadata.name;
        let lease = leases.iter().find(|lease| lease.metadata.name == *name);
        Some((node, staleness(lease, now)?))
    });
    let stale: Vec<(&Node, String)> = stale.collect();
    let Some((node, why)) = stale.first() else { return Ok(()) };
    let name = &node.metadata.name;
    let what = format!("the kubelet of `{name}` has stopped, although the node counts as ready: {why}");
    let evidence = stale.iter().map(|(node, why)| format!("lease {}: {why}", node.metadata.name)).collect();
    let evidence = beyond_the_first(evidence);
    let about = stale.iter().flat_map(|(node, _)| names_of(node, wanted)).collect();
    Err(Missing::with(Link::Leases, what, evidence, about))
}

/// Returns what is wrong with a lease.
fn staleness(lease: Option<&Lease>, now: Timestamp) -> Option<String> {
    let Some(lease) = lease else { return Some("it has no lease".to_owned()) };
    let most = lease.spec.lease_duration_seconds.unwrap_or(LEASE_SECONDS);
    let Some(renewed) = lease.spec.renew_time else { return Some("its lease was never renewed".to_owned()) };
    // Without its age, the text stays the same, and is reported once.
    let is_over = now.duration_since(renewed).as_secs() > i64::from(most);
    is_over.then(|| format!("its lease was last renewed at {renewed:.0}, and is good for {most} s"))
}

fn api_services(cluster: &Cluster) -> Result<(), Missing> {
    let unavailable = cluster.api_services.iter().filter_map(|service| {
        let available = condition(&service.status.conditions, "Available");
        match available {
            Some(condition) if condition.is_true() => None,
            Some(condition) => Some((service.metadata.name.clone(), condition.why())),
            None => Some((service.metadata.name.clone(), "it has no condition `Available`".to_owned())),
        }
    });
    workloads_of(Link::ApiServices, unavailable.map(|(name, why)| (name.clone(), name, why)))
}

fn pods(namespace: &str, pods: &[Pod]) -> Result<(), Missing> {
    let judged: Vec<&Pod> = pods.iter().filter(|pod| counts(pod)).collect();
    if judged.is_empty() {
        return Err(Missing::new(Link::Pods, format!("there is no pod in {namespace}")));
    }
    let ready = |pod: &Pod| condition(&pod.status.conditions, "Ready").is_some_and(Condition::is_true);
    let unready: Vec<&Pod> = judged.into_iter().filter(|pod| !ready(pod)).collect();
    let Some(pod) = unready.first() else { return Ok(()) };
    let others = unready.len() - 1;
    let others = if others == 0 { String::new() } else { format!(" (and {others} more)") };
    let what = format!("{namespace}/{} {}{others}", pod.metadata.name, why_not_ready(pod));
    let described = |pod: &&Pod| format!("pod {namespace}/{}: {}", pod.metadata.name, why_not_ready(pod));
    let evidence = beyond_the_first(unready.iter().map(described).collect());
    let about = unready.iter().map(|pod| pod.metadata.name.clone()).collect();
    Err(Missing::with(Link::Pods, what, evidence, about))
}

/// Whether a pod is judged: not one that is deleted, has failed, or has only containers that ended.
fn counts(pod: &Pod) -> bool {
    let containers = &pod.status.container_statuses;
    let ended = !containers.is_empty() && containers.iter().all(|one| one.state.terminated.is_some());
    pod.metadata.deletion_timestamp.is_none()
        && !matches!(pod.status.phase.as_str(), "Failed" | "Succeeded")
        && !ended
}

fn why_not_ready(pod: &Pod) -> String {
    let scheduled = condition(&pod.status.conditions, "PodScheduled");
    if let Some(scheduled) = scheduled.filter(|scheduled| !scheduled.is_true()) {
        return format!("is on no node: {}", scheduled.why());
    }
    let containers = pod.status.init_container_statuses.iter().chain(&pod.status.container_statuses);
    match containers.filter(|one| !one.ready).find_map(container) {
        Some(why) => format!("is not ready: {why}"),
        None => {
            let ready = condition(&pod.status.conditions, "Ready").map(Condition::why);
            let ready = ready.map(|why| format!(": {why}")).unwrap_or_default();
            format!("is not ready, it is {}{ready}", pod.status.phase)
        }
    }
}

/// Returns why a container does not run.
fn container(container: &ContainerStatus) -> Option<String> {
    let ContainerStatus { name, restart_count, state, .. } = container;
    let reason = state.waiting.as_ref().or(state.terminated.as_ref())?;
    // An init container that is done is no reason.
    if state.terminated.is_some() && reason.exit_code == Some(0) {
        return None;
    }
    let message = reason.message.trim();
    let message = if message.is_empty() { String::new() } else { format!(": {message}") };
    let code = reason.exit_code.map(|code| format!(", exit code {code}")).unwrap_or_default();
    let restarts = if *restart_count == 0 { String::new() } else { format!(", {restart_count} restarts") };
    Some(format!("container {name}: {}{code}{restarts}{message}", reason.reason))
}

/// Returns what a daemon set lacks.
fn daemon_set(set: &DaemonSet) -> Option<(String, String)> {
    let DaemonSet { metadata, status } = set;
    let desired = status.desired_number_scheduled;
    let why = if status.observed_generation < metadata.generation {
        "its controller has not seen it yet".to_owned()
    } else if status.updated_number_scheduled < desired {
        format!("{} of {desired} nodes have its current version", status.updated_number_scheduled)
    } else if status.number_ready < desired {
        format!("it is ready on {} of {desired} nodes", status.number_ready)
    } else {
        return None;
    };
    Some((metadata.name.clone(), why))
}

/// Returns what a deployment lacks.
fn deployment(deployment: &Deployment) -> Option<(String, String)> {
    let Deployment { metadata, spec, status } = deployment;
    let replicas = spec.replicas.unwrap_or(1);
    let condition = status.conditions.iter().find(|one| one.kind != "Available" && !one.is_true());
    let because = condition.map(|condition| format!(" ({})", condition.why())).unwrap_or_default();
    let why = if status.observed_generation < metadata.generation {
        "its controller has not seen it yet".to_owned()
    } else if status.updated_replicas < replicas {
        format!("{} of {replicas} pods have its current version{because}", status.updated_replicas)
    } else if status.available_replicas < replicas {
        format!("{} of {replicas} pods are available{because}", status.available_replicas)
    } else {
        return None;
    };
    Some((metadata.name.clone(), why))
}

fn workloads(
    namespace: &str,
    link: Link,
    lacking: impl Iterator<Item = (String, String)>,
) -> Result<(), Missing> {
    workloads_of(link, lacking.map(|(name, why)| (name.clone(), format!("{namespace}/{name}"), why)))
}

/// Reports what is not complete: the name of each object, its full name, and why.
fn workloads_of(link: Link, lacking: impl Iterator<Item = (String, String, String)>) -> Result<(), Missing> {
    let lacking: Vec<_> = lacking.collect();
    let Some((_, full, why)) = lacking.first() else { return Ok(()) };
    let others = lacking.len() - 1;
    let others = if others == 0 { String::new() } else { format!(" (and {others} more)") };
    let what = format!("{full}: {why}{others}");
    let evidence = beyond_the_first(lacking.iter().map(|(_, full, why)| format!("{full}: {why}")).collect());
    Err(Missing::with(link, what, evidence, lacking.into_iter().map(|(name, _, _)| name).collect()))
}

/// Returns the lines unless there is only one, which the message has already.
fn beyond_the_first(lines: Vec<String>) -> Vec<String> {
    if lines.len() > 1 { lines } else { Vec::new() }
}

/// Returns all conditions of a node that are not as they should be.
fn conditions(node: &Node) -> Vec<String> {
    let wrong = |condition: &&Condition| condition.is_true() != (condition.kind == "Ready");
    let line = |condition: &Condition| {
        format!(
            "node {}: {} is {}: {}",
            node.metadata.name,
            condition.kind,
            condition.status,
            condition.why()
        )
    };
    node.status.conditions.iter().filter(wrong).map(line).collect()
}

/// Returns the name of a node in the cluster, and that in the lab.
fn names_of(node: &Node, wanted: &Wanted) -> Vec<String> {
    let of_lab = wanted.nodes.iter().flatten().find(|wanted| wanted.is(node));
    let of_lab = of_lab.map(|wanted| wanted.name.clone()).filter(|name| *name != node.metadata.name);
    std::iter::once(node.metadata.name.clone()).chain(of_lab).collect()
}

/// Returns a node as one line.
fn described(node: &Node) -> String {
    let ready = condition(&node.status.conditions, "Ready");
    let ready = if ready.is_some_and(Condition::is_true) { "ready" } else { "not ready" };
    format!("node {}{}: {ready}, {}", node.metadata.name, at(node), node.status.node_info.kubelet_version)
}

/// Returns the address of a node in brackets.
fn at(node: &Node) -> String {
    let internal = node.status.addresses.iter().find(|address| address.kind == "InternalIP");
    internal.map(|address| format!(" ({})", address.address)).unwrap_or_default()
}

fn warning(event: &Event) -> String {
    let Event { involved_object, reason, message, count, .. } = event;
    let often = if *count > 1 { format!(" ({count} times)") } else { String::new() };
    let kind = involved_object.kind.to_lowercase();
    format!("event {kind} {}: {reason}: {}{often}", involved_object.name, message.trim())
}

/// Returns the first few names.
fn first(names: &[String]) -> String {
    let rest = names.len().saturating_sub(NAMED);
    let shown = names.iter().take(NAMED).cloned().collect::<Vec<_>>();
    match (rest, shown.split_last()) {
        (0, Some((last, before))) if !before.is_empty() => format!("{} and {last}", before.join(", ")),
        (0, _) => shown.join(", "),
        (rest, _) => format!("{} and {rest} more", shown.join(", ")),
    }
}

fn are<'a>(names: &[String], one: &'a str, many: &'a str) -> &'a str {
    if names.len() == 1 { one } else { many }
}

fn counted(count: usize, what: &str) -> String {
    format!("{count} {what}{}", if count == 1 { "" } else { "s" })
}

#[cfg(test)]
mod tests;
