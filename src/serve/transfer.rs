//! The progress of a transfer, emitted while it runs and when it ends.

use std::time::Duration;

use crate::event::{Emitter, Exchange, Known, RunTime};
use crate::name::NodeName;

/// Time between two reports of a transfer's progress.
const REPORT: Duration = Duration::from_secs(1);

/// One transfer to a client.
#[derive(Debug)]
pub(super) struct Transfer {
    pub(super) events: Emitter,
    exchange: Exchange,
    pub(super) node: Option<NodeName>,
    /// The requested path.
    pub(super) path: String,
    /// Total size in bytes, if known.
    pub(super) total: Option<u64>,
    pub(super) sent: u64,
    started: RunTime,
    reported: RunTime,
}

impl Transfer {
    /// Starts a transfer.
    pub(super) fn new(events: &Emitter, exchange: Exchange, node: Option<NodeName>, path: String) -> Self {
        let now = events.now().at;
        Self {
            events: events.clone(),
            exchange,
            node,
            path,
            total: None,
            sent: 0,
            started: now,
            reported: now,
        }
    }

    /// Counts bytes that were sent.
    pub(super) fn add(&mut self, bytes: u64) {
        self.sent += bytes;
        let now = self.events.now().at;
        if now.since(self.reported) >= REPORT && self.total != Some(self.sent) {
            self.reported = now;
            let fetching = Known::Fetching { path: self.path.clone(), bytes: self.sent, total: self.total };
            self.emit(fetching);
        }
    }

    /// Emits an event of the transfer.
    pub(super) fn emit(&self, known: Known) {
        self.events.emit_in(self.exchange.clone(), self.node.as_ref(), known);
    }

    /// Returns the elapsed time in milliseconds.
    pub(super) fn ms(&self) -> u64 {
        self.events.now().at.micros_since(self.started) / 1_000
    }
}
