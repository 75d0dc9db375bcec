//! run.

pub mod probe;
