//! Stamps what happened, and hands it on.

use std::fmt;
use std::sync::Arc;

use jiff::Timestamp;

use super::{Event, Exchange, Kind, RunTime, Source};
use crate::name::NodeName;

/// The instant of an event, read from both clocks at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Instant {
    /// On the run's clock.
    pub at: RunTime,
    /// Wall-clock time.
    pub wall: Timestamp,
}

/// Stamps what happened with the run's clock and hands it on.
///
/// The clock and the sink come from outside, so that services and machines read
/// no clock of their own and tests decide what time it is. It also knows who tells of
/// what it emits: whoever is handed one takes one of its own by [`Emitter::of`].
#[derive(Clone)]
pub struct Emitter {
    source: Source,
    clock: Arc<dyn Fn() -> Instant + Send + Sync>,
    sink: Arc<dyn Fn(Event) + Send + Sync>,
}

impl Emitter {
    /// Makes the emitter of the run itself from a clock and a sink.
    pub fn new(
        clock: impl Fn() -> Instant + Send + Sync + 'static,
        sink: impl Fn(Event) + Send + Sync + 'static,
    ) -> Self {
        Self { source: Source::Run, clock: Arc::new(clock), sink: Arc::new(sink) }
    }

    /// Returns an emitter of what another source tells.
    #[must_use]
    pub fn of(&self, source: Source) -> Self {
        Self { source, ..self.clone() }
    }

    /// Returns an emitter of which each event is shown to somebody before it is handed on.
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

    /// Emits an event of a node if it is known which.
    pub fn emit_maybe(&self, node: Option<&NodeName>, kind: impl Into<Kind>) {
        self.send(node.cloned(), None, kind.into());
    }

    /// Emits an event of an exchange, and of a node if it is known which.
    pub fn emit_in(&self, exchange: Exchange, node: Option<&NodeName>, kind: impl Into<Kind>) {
        self.send(node.cloned(), Some(exchange), kind.into());
    }

    /// Returns the present instant on the run's clock.
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
