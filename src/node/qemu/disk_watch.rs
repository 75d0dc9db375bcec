//! Watches how much one machine writes to its disks.
//!
//! An installer may write for minutes and say nothing meanwhile. QEMU counts what is written, but tells nobody.

use std::time::Duration;

use tokio::sync::watch;

use super::qmp::Qmp;
use crate::event::{Emitter, Known};
use crate::name::NodeName;

/// The time between two looks at the counters.
const PAUSE: Duration = Duration::from_secs(2);

/// How much must be written to count: a system that waits still writes to its journal and its log.
const LEAST: u64 = 1 << 20;

/// Watches until QEMU has ended.
pub(super) async fn watch(node: NodeName, qmp: Qmp, events: Emitter, mut ended: watch::Receiver<bool>) {
    let mut told = 0;
    while tokio::time::timeout(PAUSE, ended.wait_for(|ended| *ended)).await.is_err() {
        let bytes = match qmp.written().await {
            Ok(bytes) => bytes,
            Err(error) if error.is_end() => return,
            Err(error) => {
                tracing::warn!(%node, %error, "what it writes to its disks is not known");
                continue;
            }
        };
        if bytes >= told + LEAST {
            told = bytes;
            events.emit_of(&node, Known::DiskWritten { bytes });
        }
    }
}
