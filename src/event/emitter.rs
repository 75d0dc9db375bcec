//! Stamps events with the time and forwards them.

use std::fmt;
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};

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

    /// Emits an event that happened at an earlier instant, which is the same on both clocks. `frame`: the number of the
    /// frame in the capture that shows it.
    pub fn emit_at(
        &self,
        at: RunTime,
        frame: Option<u64>,
        exchange: Option<Exchange>,
        node: Option<&NodeName>,
        kind: impl Into<Kind>,
    ) {
        let now = (self.clock)();
        let (at, ago) = (at.min(now.at), now.at.since(at));
        let earlier = SignedDuration::try_from(ago).ok().and_then(|ago| now.wall.checked_sub(ago).ok());
        let (wall, node) = (earlier.unwrap_or(now.wall), node.cloned());
        let (source, kind) = (self.source.clone(), kind.into());
        (self.sink)(Event { at, wall, source, node, exchange, frame, kind });
    }

    /// Returns the current instant on the clock of the run.
    pub fn now(&self) -> Instant {
        (self.clock)()
    }

    fn send(&self, node: Option<NodeName>, exchange: Option<Exchange>, kind: Kind) {
        let Instant { at, wall } = (self.clock)();
        (self.sink)(Event { at, wall, source: self.source.clone(), node, exchange, frame: None, kind });
    }
}

impl fmt::Debug for Emitter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Emitter")
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;
    use std::time::Duration;

    use super::*;
    use crate::event::Known;

    #[test]
    fn an_earlier_event_is_earlier_on_both_clocks() {
        let started = Timestamp::from_second(1_800_000_000).unwrap();
        let now = Instant {
            at: RunTime::from(Duration::from_secs(10)),
            wall: started + SignedDuration::from_secs(10),
        };
        let events: Arc<Mutex<Vec<Event>>> = Arc::default();
        let sink = Arc::clone(&events);
        let emitter =
            Emitter::new(move || now, move |event| sink.lock().unwrap().push(event)).of(Source::Wire);
        for at in [Duration::from_millis(8500), Duration::from_secs(60)] {
            emitter.emit_at(at.into(), None, None, None, Known::LabUp {});
        }
        let events = events.lock().unwrap();
        let times: Vec<_> = events.iter().map(|event| (event.at.elapsed(), event.wall)).collect();
        let earlier = (Duration::from_millis(8500), started + SignedDuration::from_millis(8500));
        assert_eq!(times, [earlier, (now.at.elapsed(), now.wall)], "nothing happens later than now");
        assert!(events.iter().all(|event| event.source == Source::Wire));
    }
}
