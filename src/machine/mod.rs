//! One VM: QMP, console, firmware variables, disks.

pub mod line;
pub mod qmp;
