//! config.

pub mod recipe;
