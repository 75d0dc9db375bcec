//! Every effect in order, its undo, the QEMU command lines, the boot decisions.
//!
//! Pure: the same lab and host facts give the same plan, byte for byte.

mod model;
mod refusal;

pub use model::*;
pub use refusal::Refusal;
