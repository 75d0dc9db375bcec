//! The answers of [matchbox](https://matchbox.psdn.io), without files or sockets.
//!
//! A request's query becomes labels, labels select a group, the group names a
//! profile, and the profile says what is rendered. Where the answers of the real
//! server depend on Go, they are reproduced byte by byte.

pub mod butane;
pub mod content;
pub mod failure;
pub mod go;
pub mod ignition;
pub mod labels;
pub mod model;
pub mod render;
pub mod select;
pub mod template;
pub(crate) mod tree;
pub(crate) mod yaml;

#[cfg(any(test, fuzzing))]
pub(crate) mod fuzz;
