//! The lab once it makes sense: who is where, who gets which address.
//!
//! Must never look at the host: what it needs to know of files, images and
//! memory comes in as [`Surroundings`].

mod model;
pub mod options;
mod resolve;
mod secret;
mod surroundings;
mod validate;

pub use model::*;
pub use resolve::{Outcome, resolve};
pub use secret::{Revealed, Secret, SecretError};
pub use surroundings::Surroundings;
pub use validate::validate;

#[cfg(test)]
mod tests;
