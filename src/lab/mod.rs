//! The lab once it makes sense: who is where, who gets which address.
//!
//! Must never look at the host: what it needs to know of files, images and
//! memory comes in as [`Surroundings`].

mod model;
mod secret;
mod surroundings;

pub use model::*;
pub use secret::{Revealed, Secret, SecretError};
pub use surroundings::Surroundings;
