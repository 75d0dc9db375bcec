//! The lab once it makes sense: who is where, who gets which address.
//!
//! Must never look at the host: what it needs to know of files, images and
//! memory comes in as [`Surroundings`].

mod model;

pub use model::*;
