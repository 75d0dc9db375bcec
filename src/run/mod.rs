//! Carries a plan out: the journal, the one event loop, the control socket.
//!
//! ```text
//! command                            supervisor (in the lab's place)
//! texts ─ resolve ─ plan ─ claim
//!   └ launch ───── request.json ───▶ supervise
//!                                      carry::up ── journal ──▶ rack (bridges, services, machines)
//!   client ◀──── control socket ────── director ◀── events ──── rack
//!                                      carry::down
//!   report.json ◀──────────────────────┘
//! ```
//!
//! What a run needs of the command line it finds in its folder; what the command
//! wants of the run it asks through the control socket. Nothing else is shared,
//! so a run goes on when its command leaves.

pub mod authority;
pub mod carry;
mod claim;
pub mod client;
mod control;
mod director;
mod fold;
mod guardian;
mod journal;
mod launch;
mod mend;
pub mod probe;
mod process;
mod rack;
mod record;
mod request;
pub mod ssh;
pub mod store;
mod supervise;
mod texts;

use std::path::PathBuf;

pub use claim::{Claim, ClaimError, Registered, claim, registered};
pub use guardian::guardian_main;
pub use journal::Journal;
pub use launch::{LaunchError, Launched, launch};
pub use mend::mend;
pub use rack::{Rack, RackParts};
pub use request::{Request, Until};
pub use supervise::supervise;
pub use texts::{Texts, TextsError};

/// Where runs, images and sockets lie on this host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Locations {
    /// Run folders are below it.
    pub state: PathBuf,
    /// Images are below it.
    pub cache: PathBuf,
    /// Locks and control sockets; a short path, because a socket's ends at 107 bytes.
    pub runtime: PathBuf,
}

/// Writes an error with its causes, as people read it: `what: why: why that`.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        let words = cause.to_string();
        // A transparent error repeats its source.
        if !text.ends_with(&words) {
            text = format!("{text}: {words}");
        }
        next = cause.source();
    }
    text
}
