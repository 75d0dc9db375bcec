//! Why there is no kubeconfig to hand out.

use std::borrow::Cow;
use std::net::SocketAddr;

use crate::diag::enumerate;
use crate::hint::Hint;
use crate::name::{ExpectName, NodeName};

/// Why there is no kubeconfig to hand out.
#[derive(Debug, thiserror::Error)]
pub(super) enum NoKubeconfig {
    /// No expectation says where one is.
    #[error("no expectation of the lab names a kubeconfig")]
    NoExpectation,
    /// There is no such expectation.
    #[error("expectation `{0}` names no kubeconfig")]
    NotNamed(ExpectName),
    /// Several expectations say where one is.
    #[error("several expectations name a kubeconfig: {}", enumerate(.0.iter().map(ExpectName::as_str)))]
    Several(Vec<ExpectName>),
    /// It cannot be read.
    #[error("there is no kubeconfig: {0}")]
    Unreadable(String),
    /// Its server cannot be reached from this machine.
    #[error("the API server at {to} is not published on this machine")]
    NotPublished {
        /// The node.
        node: NodeName,
        /// The API server in the lab.
        to: SocketAddr,
    },
}

impl Hint for NoKubeconfig {
    fn hint(&self) -> Option<Cow<'static, str>> {
        match self {
            Self::NoExpectation => {
                Some("add one, such as that = { kubernetes = { on = \"control\", nodes = \"lab\" } }".into())
            }
            Self::NotNamed(_) | Self::Several(_) => Some("name one that does with `--expect`".into()),
            Self::Unreadable(_) => None,
            Self::NotPublished { node, to } => {
                let port = to.port();
                Some(format!("add to the lab file: [publish] \"{port}\" = \"{node}:{port}\"").into())
            }
        }
    }
}
