//! Real machines: what is done to them through their BMCs.

pub mod ipmi;
