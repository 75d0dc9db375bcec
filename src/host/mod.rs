//! host.
pub mod sockets;
