//! The checked lab: its types, and the checks that produce them.
//!
//! Must never access the host: facts about files, images and memory come in as
//! [`LabEnvironment`].

pub(crate) mod arguments;
mod container_image;
mod environment;
mod expected;
mod fault;
mod json_values;
mod kubernetes;
mod model;
mod on_node;
pub mod options;
mod origin;
mod pattern;
mod resolve;
mod secret;
mod validate;

pub use container_image::{ContainerImage, ContainerImageError};
pub use environment::LabEnvironment;
pub use expected::expected_of_others;
pub use fault::{
    BmcFault, ClockTime, DhcpFault, DnsFault, Fault, FaultKind, HttpFault, LinkFault, MachineFault,
    PayloadFault, TftpFault, TlsFault, out_of_range,
};
pub use json_values::{JsonLocation, JsonLocationError, JsonValues};
pub use kubernetes::{KubeconfigSource, KubernetesCheck};
pub use model::*;
pub use on_node::{
    CloudInitStatus, Control, DiskFile, Login, NodeFile, OnNode, SystemCheck, Target, Unreachable,
};
pub use origin::{Origin, Origins};
pub use pattern::Pattern;
pub use resolve::{Outcome, resolve};
pub use secret::{Revealed, Secret, SecretError};
pub use validate::validate;

#[cfg(test)]
mod tests;
