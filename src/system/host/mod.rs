//! Processes that see other files than the user does, and machines that are made of namespaces.
//!
//! Must never change a file of the user, except one that the lab file gives with `access = "write"`.

mod below;
mod bound;
mod entered;
mod files;
mod image;
mod init;
mod mounts;
mod program;
mod tree;

pub use below::{is_below, read_below, write_below};
pub use bound::{Transport, is_bound};
pub use entered::EnteredNetwork;
pub use files::GivenFile;
pub use image::{Container, ImageRoot, Owner};
pub use init::{HostNamespaces, HostOrders, host_main, own_root_of, root_of_pid};
pub use mounts::copy_all;
pub use program::{ProgramOrders, enter_network, program_main};
pub(super) use program::{be_root, confine, fork_into};
