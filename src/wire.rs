//! Packets, as services and the dissector read and write them: bytes into fields, fields into bytes.
//!
//! Must never decide what is answered.

pub(crate) mod dhcp;
pub(crate) mod dhcp6;
pub(crate) mod dns;
pub(crate) mod format;
pub(crate) mod nbd;
