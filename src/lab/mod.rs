//! The lab once it makes sense: who is where, who gets which address.
//!
//! Must never look at the host: what it needs to know of files, images and
//! memory comes in as [`LabEnvironment`].

mod environment;
mod model;
pub mod options;
mod resolve;
mod secret;
mod validate;

pub use environment::LabEnvironment;
pub use model::*;
pub use resolve::{Outcome, resolve};
pub use secret::{Revealed, Secret, SecretError};
pub use validate::validate;

#[cfg(test)]
mod tests;
