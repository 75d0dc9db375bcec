//! What [matchbox](https://matchbox.psdn.io) answers, decided without files or sockets.
//!
//! A request's query becomes labels, labels select a group, the group names a
//! profile, and the profile says what is rendered. Where the real server is
//! written in Go and its answers show it, it is followed to the byte.

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

#[cfg(any(test, fuzzing))]
pub(crate) mod fuzz;
