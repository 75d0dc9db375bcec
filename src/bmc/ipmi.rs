//! IPMI 2.0 over LAN without sockets, clock or randomness: packets, sessions and Serial over LAN, both ends.
//!
//! ```text
//!   server ──┐               ┌── client
//!            ├─▶ sol, packet ◀┤
//!            ├─▶ handshake   ◀┤      packet ─▶ crypto ◀─ rakp
//!            └─▶ message     ◀┘
//! ```
//!
//! Bytes, the time since some start and random bytes come in as arguments; packets to send come out.
//! Bytes of the network never make anything in here panic.
//! The source of all layouts is the IPMI specification, second generation, v2.0, revision 1.1.

pub mod privilege;

/// The UDP port of IPMI over LAN (section 13.1.2).
pub const PORT: u16 = 623;

pub mod boot_flags;
pub mod command;
pub mod completion;
pub mod message;
pub mod rmcp;

pub mod suite;

pub mod crypto;
pub mod handshake;
pub mod packet;
pub mod rakp;
pub mod window;

pub mod sol;

pub mod client;
pub mod server;

#[cfg(test)]
mod tests;
