//! Objects of the Kubernetes API, with the fields that readiness is judged by.
//!
//! Every field may be missing, and unknown ones are ignored: what 1.20 answers is read as what 1.37 answers.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::Deserialize;

/// A list of objects (`NodeList`, `PodList`, …).
#[derive(Debug, Clone, Deserialize)]
#[serde(bound = "T: Deserialize<'de>")]
pub struct Objects<T> {
    /// The objects.
    #[serde(default = "Vec::new", deserialize_with = "or_default")]
    pub items: Vec<T>,
}

/// `null` is what Go writes for an empty list.
fn or_default<'de, D: serde::Deserializer<'de>, T: Deserialize<'de> + Default>(
    from: D,
) -> Result<T, D::Error> {
    Ok(Option::<T>::deserialize(from)?.unwrap_or_default())
}

/// `/version`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Version {
    /// Such as `v1.31.2+k3s1`.
    pub git_version: String,
}

/// The answer to a request that failed.
#[derive(Debug, Clone, Default, Deserialize)]
pub struct Status {
    /// The reason as text.
    #[serde(default)]
    pub message: String,
}

/// What all objects have.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Metadata {
    /// The name.
    pub name: String,
    /// The namespace, if it is in one.
    pub namespace: String,
    /// How often its specification changed.
    pub generation: i64,
    /// When its deletion was requested.
    pub deletion_timestamp: Option<Timestamp>,
}

/// One condition of an object.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct Condition {
    /// What it is about, such as `Ready`.
    #[serde(rename = "type")]
    pub kind: String,
    /// `True`, `False` or `Unknown`.
    pub status: String,
    /// The reason in one word.
    pub reason: String,
    /// The reason as text.
    pub message: String,
}

impl Condition {
    /// Whether it is true.
    pub fn is_true(&self) -> bool {
        self.status == "True"
    }

    /// Returns the reason: `KubeletNotReady: container runtime network not ready`.
    pub fn why(&self) -> String {
        match (self.reason.as_str(), self.message.trim()) {
            ("", "") => format!("{} is {}", self.kind, self.status),
            (reason, "") => reason.to_owned(),
            ("", message) => message.to_owned(),
            (reason, message) => format!("{reason}: {message}"),
        }
    }
}

/// Returns the condition of a kind.
pub fn condition<'a>(conditions: &'a [Condition], kind: &str) -> Option<&'a Condition> {
    // The last one counts, as for kind.
    conditions.iter().rev().find(|condition| condition.kind == kind)
}

/// A node.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct Node {
    /// What all objects have.
    pub metadata: Metadata,
    /// What it should be.
    pub spec: NodeSpec,
    /// What it is.
    pub status: NodeStatus,
}

/// What a node should be.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct NodeSpec {
    /// Whether no new pods are placed there.
    pub unschedulable: bool,
}

/// What a node is.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct NodeStatus {
    /// Its conditions.
    #[serde(deserialize_with = "or_default")]
    pub conditions: Vec<Condition>,
    /// Its addresses.
    #[serde(deserialize_with = "or_default")]
    pub addresses: Vec<NodeAddress>,
    /// What it runs.
    pub node_info: NodeInfo,
}

/// An address of a node.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct NodeAddress {
    /// `InternalIP`, `Hostname`, ….
    #[serde(rename = "type")]
    pub kind: String,
    /// The address.
    pub address: String,
}

/// What a node runs.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct NodeInfo {
    /// Such as `v1.31.2`.
    pub kubelet_version: String,
}

/// The sign of life of a kubelet (`coordination.k8s.io/v1`).
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct Lease {
    /// What all objects have; the name is that of the node.
    pub metadata: Metadata,
    /// The lease.
    pub spec: LeaseSpec,
}

/// How long a lease is good.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct LeaseSpec {
    /// In seconds.
    pub lease_duration_seconds: Option<u32>,
    /// When it was renewed.
    pub renew_time: Option<Timestamp>,
}

/// A pod.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct Pod {
    /// What all objects have.
    pub metadata: Metadata,
    /// What it is.
    pub status: PodStatus,
}

/// What a pod is.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct PodStatus {
    /// `Pending`, `Running`, `Succeeded`, `Failed` or `Unknown`.
    pub phase: String,
    /// Its conditions.
    #[serde(deserialize_with = "or_default")]
    pub conditions: Vec<Condition>,
    /// Its containers.
    #[serde(deserialize_with = "or_default")]
    pub container_statuses: Vec<ContainerStatus>,
    /// What runs before them.
    #[serde(deserialize_with = "or_default")]
    pub init_container_statuses: Vec<ContainerStatus>,
}

/// What a container is.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ContainerStatus {
    /// Its name.
    pub name: String,
    /// Whether it is ready.
    pub ready: bool,
    /// How often it was restarted.
    pub restart_count: u32,
    /// Its state: one key of `waiting`, `running` and `terminated`.
    pub state: ContainerState,
}

/// The state of a container.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct ContainerState {
    /// It waits.
    pub waiting: Option<Reason>,
    /// It has ended.
    pub terminated: Option<Reason>,
}

/// Why a container waits, or has ended.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Reason {
    /// In one word.
    pub reason: String,
    /// As text.
    pub message: String,
    /// The exit code of one that has ended.
    pub exit_code: Option<i32>,
}

/// A daemon set (`apps/v1`).
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct DaemonSet {
    /// What all objects have.
    pub metadata: Metadata,
    /// What it is.
    pub status: DaemonSetStatus,
}

/// What a daemon set is.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct DaemonSetStatus {
    /// The generation that the controller has seen.
    pub observed_generation: i64,
    /// On how many nodes it should run.
    pub desired_number_scheduled: u32,
    /// On how many nodes its current version runs.
    pub updated_number_scheduled: u32,
    /// On how many nodes it is ready.
    pub number_ready: u32,
}

/// A deployment (`apps/v1`).
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct Deployment {
    /// What all objects have.
    pub metadata: Metadata,
    /// What it should be.
    pub spec: DeploymentSpec,
    /// What it is.
    pub status: DeploymentStatus,
}

/// What a deployment should be.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct DeploymentSpec {
    /// How many pods it has; one if left out.
    pub replicas: Option<u32>,
}

/// What a deployment is.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct DeploymentStatus {
    /// The generation that the controller has seen.
    pub observed_generation: i64,
    /// How many pods are of the current version.
    pub updated_replicas: u32,
    /// How many pods are available.
    pub available_replicas: u32,
    /// Its conditions.
    #[serde(deserialize_with = "or_default")]
    pub conditions: Vec<Condition>,
}

/// A group of the API in one version (`apiregistration.k8s.io/v1`).
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct ApiService {
    /// What all objects have.
    pub metadata: Metadata,
    /// What it is.
    pub status: Conditions,
}

/// Conditions alone.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct Conditions {
    /// The conditions.
    #[serde(deserialize_with = "or_default")]
    pub conditions: Vec<Condition>,
}

/// An event of the cluster.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Event {
    /// What it is about.
    pub involved_object: ObjectReference,
    /// The reason in one word.
    pub reason: String,
    /// The reason as text.
    pub message: String,
    /// How often it happened.
    #[serde(deserialize_with = "or_default")]
    pub count: u32,
    /// When it happened last, in the older form.
    pub last_timestamp: Option<Timestamp>,
    /// When it happened, in the newer form.
    pub event_time: Option<Timestamp>,
}

/// The name of an object.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct ObjectReference {
    /// `Pod`, `Node`, ….
    pub kind: String,
    /// The namespace, if it is in one.
    pub namespace: String,
    /// The name.
    pub name: String,
}

/// What a cluster says about the workloads of one namespace.
#[derive(Debug, Clone, Default)]
pub struct Workloads {
    /// Its pods.
    pub pods: Vec<Pod>,
    /// Its daemon sets.
    pub daemon_sets: Vec<DaemonSet>,
    /// Its deployments.
    pub deployments: Vec<Deployment>,
}

/// All that readiness is judged by.
#[derive(Debug, Clone, Default)]
pub struct Cluster {
    /// The version of the API server.
    pub version: Version,
    /// The time of the API server.
    pub now: Option<Timestamp>,
    /// The nodes.
    pub nodes: Vec<Node>,
    /// The leases of the kubelets; `None` if the API has none.
    pub leases: Option<Vec<Lease>>,
    /// The groups of the API.
    pub api_services: Vec<ApiService>,
    /// The workloads by namespace.
    pub namespaces: BTreeMap<String, Workloads>,
}
