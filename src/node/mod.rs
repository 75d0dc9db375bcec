//! What can be done to a machine, whatever it is made of.

pub mod qemu;
