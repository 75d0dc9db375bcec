//! Executes a plan: the journal, the one event loop, the control socket.
//!
//! ```text
//! command                            supervisor (in the lab's namespaces)
//! texts ─ resolve ─ plan (or a file with one) ─ lab lock
//!   └ launch ───── request.json ───▶ supervise
//!                                      executor::up ── journal ──▶ rack (bridges, services, machines)
//!   client ◀──── control socket ────── director ◀── events ──── rack
//!                                      executor::down
//!   report.json ◀──────────────────────┘
//! ```
//!
//! A run reads its request from its folder; a command talks to the run through the control socket. They share nothing
//! else, so a run continues when its command exits.

mod action;
pub mod authority;
mod bmc;
mod capture_points;
pub mod client;
mod command;
mod control;
mod control_socket;
mod director;
mod dns;
mod environment;
pub mod executor;
mod failed_start;
mod fault;
mod fold;
mod guardian;
mod http_connection;
mod in_band;
mod journal;
pub mod kept_disks;
mod lab_lock;
mod lab_sources;
mod launch;
mod machines;
mod no_kubeconfig;
mod plug;
pub mod probe;
mod process;
mod rack;
pub mod reach;
mod record;
mod recover;
mod request;
pub mod ssh;
mod status;
pub mod store;
mod strays;
mod supervise;
mod wire;

use std::path::PathBuf;

pub use environment::variables;
pub use fault::FaultOrder;
pub use guardian::guardian_main;
pub use journal::Journal;
pub use lab_lock::{
    LabLock, LabLockError, RegisteredLab, await_end, forget_ended, lab_argument, lab_lock, registered,
};
pub use lab_sources::{LabSources, LabSourcesError};
pub use launch::{LaunchError, LaunchInputs, Launched, launch};
pub use plug::Plug;
pub use process::AskHttp;
pub use rack::{Rack, RackParts};
pub use recover::recover;
pub use request::{Request, Until};
pub use supervise::supervise;

/// The paths of runs, images and sockets on this host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Locations {
    /// The parent folder of run folders.
    pub state: PathBuf,
    /// The parent folder of images.
    pub cache: PathBuf,
    /// Locks and control sockets; a short path, because a socket path is limited to 107 bytes.
    pub runtime: PathBuf,
}
