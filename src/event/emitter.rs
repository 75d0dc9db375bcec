//! Stamps events with the time and forwards them.

use std::fmt;
use std::sync::Arc;

use jiff::Timestamp;

use super::{Event, Exchange, Kind, RunTime, Source};
use crate::name::NodeName;

/// The instant of an event, read from both clocks at the same time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Instant {
    /// On the clock of the run.
    pub at: RunTime,
    /// Wall-clock time.
    pub wall: Timestamp,
}

/// Stamps events with the clock of the run and forwards them.
///
/// Clock and sink are arguments, so that services and machines read no clock and tests control the time. An emitter
/// also adds the source: each component gets its own emitter from [`Emitter::of`].
#[derive(Clone)]
pub struct Emitter {
    source: Source,
    clock: Arc<dyn Fn() -> Instant + Send + Sync>,
    sink: Arc<dyn Fn(Event) + Send + Sync>,
}

impl Emitter {
    /// Creates the emitter of the run itself from a clock and a sink.
    pub fn new(
        clock: impl Fn() -> Instant + Send + Sync + 'static,
        sink: impl Fn(Event) + Send + Sync + 'static,
    ) -> Self {
        Self { source: Source::Run, clock: Arc::new(clock), sink: Arc::new(sink) }
    }

    /// Returns an emitter for another source.
    #[must_use]
    pub fn of(&self, source: Source) -> Self {
        Self { source, ..self.clone() }
    }

    /// Returns an emitter that passes each event to an observer before it forwards it.
    pub fn tap(&self, look: impl Fn(&Event) + Send + Sync + 'static) -> Self {
        let sink = Arc::clone(&self.sink);
        let sink = move |event: Event| {
            look(&event);
            sink(event);
        };
        Self { source: self.source.clone(), clock: Arc::clone(&self.clock), sink: Arc::new(sink) }
    }

    /// Emits an event of the lab.
    pub fn emit(&self, kind: impl Into<Kind>) {
        self.send(None, None, kind.into());
    }

    /// Emits an event of one node.
    pub fn emit_of(&self, node: &NodeName, kind: impl Into<Kind>) {
        self.send(Some(node.clone()), None, kind.into());
    }

    /// Emits an event of a node, if the node is known.
    pub fn emit_maybe(&self, node: Option<&NodeName>, kind: impl Into<Kind>) {
        self.send(node.cloned(), None, kind.into());
    }

    /// Emits an event of an exchange, and of a node if the node is known.
    pub fn emit_in(&self, exchange: Exchange, node: Option<&NodeName>, kind: impl Into<Kind>) {
        self.send(node.cloned(), Some(exchange), kind.into());
    }

    /// Returns the current instant on the clock of the run.
    pub fn now(&self) -> Instant {
        (self.clock)()
    }

    fn send(&self, node: Option<NodeName>, exchange: Option<Exchange>, kind: Kind) {
        let Instant { at, wall } = (self.clock)();
        (self.sink)(Event { at, wall, source: self.source.clone(), node, exchange, kind });
    }
}

impl fmt::Debug for Emitter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Emitter")
    }
}
