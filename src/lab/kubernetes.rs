//! The check of a Kubernetes cluster.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::lab::Secret;
use crate::name::NodeName;

/// A Kubernetes cluster that is ready.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct KubernetesCheck {
    /// The node or host whose API server is asked.
    pub on: NodeName,
    /// The port of its API server.
    pub port: u16,
    /// The nodes of the cluster, and no others; any if left out.
    pub nodes: Option<Vec<NodeName>>,
    /// The start of the versions of the API server and of the kubelets; any if left out.
    pub version: Option<String>,
    /// The namespaces of which all pods, daemon sets and deployments are ready.
    pub namespaces: Vec<String>,
    /// Where the kubeconfig is; without one, only the API server itself is judged.
    pub kubeconfig: Option<KubeconfigSource>,
    /// Whether the kubeconfig may run programs.
    pub exec_plugins: bool,
}

impl KubernetesCheck {
    /// Returns the nodes without which it cannot be met.
    pub(super) fn needs(&self) -> Vec<NodeName> {
        let mut nodes = self.nodes.clone().unwrap_or_default();
        if !nodes.contains(&self.on) {
            nodes.push(self.on.clone());
        }
        nodes
    }
}

/// Where a kubeconfig is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum KubeconfigSource {
    /// In a file, an absolute path.
    File(PathBuf),
    /// In a file on a host.
    OnHost {
        /// The host.
        host: NodeName,
        /// The absolute path there.
        path: PathBuf,
    },
    /// On the standard output of a command, run by `sh -c` in the lab's network namespace.
    Command(String),
    /// On the node, read over ssh.
    Ssh {
        /// The user.
        user: String,
        /// The port.
        port: u16,
        /// The private key; the run's own key if left out.
        key: Option<Secret>,
        /// The absolute path; the usual places if left out.
        path: Option<PathBuf>,
    },
}
