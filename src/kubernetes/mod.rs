//! What a Kubernetes cluster says about itself, and whether it is ready.
//!
//! ```text
//! kubeconfig.rs   where a cluster is, and who we are: a kubeconfig read, and written for use elsewhere
//! objects.rs      the few fields of nodes, pods, … that matter; unknown ones are ignored, so any version can be read
//! readiness.rs    the links of the chain from an open port to ready pods, and the first one that is missing
//! ```

pub mod kubeconfig;
pub mod objects;
pub mod readiness;
