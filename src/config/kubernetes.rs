//! The check of a Kubernetes cluster as written in the lab file.

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::json;

use super::secret::RawSecret;
use super::value::{Field, Keyed, Located, Many, Short, Shorthand};

/// A Kubernetes cluster that is ready.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename = "kubernetes", rename_all = "kebab-case")]
pub struct RawKubernetes {
    /// The node or host of which the API server is asked.
    pub on: Field<String>,
    /// The port of its API server. Default: 6443.
    #[serde(default)]
    #[schemars(extend("default" = 6443), range(min = 1))]
    pub port: Field<u16>,
    /// The nodes of the cluster: these, all ready, and no others. "lab" means the nodes of this expectation.
    /// Default: any.
    #[serde(default)]
    #[schemars(extend("examples" = json!(["lab", ["control", "worker-1"]])))]
    pub nodes: Many<String>,
    /// The start of the version of the API server and of each kubelet, such as "1.31". Default: any.
    #[serde(default)]
    #[schemars(extend("examples" = json!(["1.31"])))]
    pub version: Field<String>,
    /// Namespaces of which all pods, daemon sets and deployments must be ready: `pods = { kube-system = "ready" }`.
    /// Default: none.
    #[serde(default)]
    pub pods: Keyed<RawPods>,
    /// Where the kubeconfig is. Default: with `nodes` or `pods`, over ssh as root, at the places of kubeadm, k3s, rke2,
    /// k0s and microk8s; else none is needed.
    #[serde(default)]
    pub kubeconfig: Field<RawKubeconfig>,
    /// Whether the kubeconfig may run programs (`exec`) to get credentials. Default: false.
    #[serde(default)]
    #[schemars(extend("default" = false))]
    pub exec_plugins: Field<bool>,
}

impl Shorthand for RawKubernetes {
    const NAME: &'static str = "$short:on";
    type Value = String;
}

/// What must be true for the pods of a namespace.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", rename = "pods")]
pub enum RawPods {
    /// There is at least one, and each is ready.
    Ready,
}

/// Where a kubeconfig is.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", rename = "kubeconfig")]
pub enum RawKubeconfig {
    /// In a file, a path relative to the lab's folder. It may be written while the lab is up.
    File(Located<String>),
    /// In a file that a process writes on its host.
    Process(RawKubeconfigOfProcess),
    /// On the standard output of a command in the lab's network namespace, run by `sh -c`, such as
    /// `talosctl kubeconfig -`.
    Command(Located<String>),
    /// On the node, read over ssh.
    Ssh(Short<RawKubeconfigOverSsh>),
}

/// A kubeconfig that a process writes.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename = "kubeconfig-of-process")]
pub struct RawKubeconfigOfProcess {
    /// The process.
    pub name: Field<String>,
    /// The absolute path of the file.
    pub path: Field<String>,
}

/// A kubeconfig that is read over ssh.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename = "kubeconfig-over-ssh")]
pub struct RawKubeconfigOverSsh {
    /// The user. Files that only root can read are read by `sudo -n`.
    pub user: Field<String>,
    /// The port. Default: 22.
    #[serde(default)]
    #[schemars(extend("default" = 22), range(min = 1))]
    pub port: Field<u16>,
    /// The private key. Default: the run's own, which the cloud-init seed authorizes.
    #[serde(default)]
    pub key: Field<RawSecret>,
    /// The absolute path. Default: the first that exists of the places of kubeadm, k3s, rke2, k0s and microk8s.
    #[serde(default)]
    pub path: Field<String>,
}

impl Shorthand for RawKubeconfigOverSsh {
    const NAME: &'static str = "$short:user";
    type Value = String;
}
