//! The kernel: facts, namespaces, netlink, nftables, sockets, impaired links, child processes.
//!
//! Does what a plan says and decides nothing. Everything acts in the network
//! namespace of the calling thread, whichever it is.

mod sys;

pub(crate) use self::sys::{random, read_cached, unacknowledged};

pub mod doctor;
pub mod facts;
pub mod file_watch;
pub(crate) mod folder_socket;
pub mod host;
pub mod impaired_link;
pub mod namespace;
pub mod netlink;
pub mod nft;
pub mod process;
pub mod ring;
pub mod sockets;
pub mod station;
pub mod sysctl;

/// The hint for a full disk.
pub(crate) const MAKE_ROOM: &str = "free some disk space, or set DRYRACK_STATE to a folder on another disk";
