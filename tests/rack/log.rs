//! Records all events, and waits for further ones.

use std::sync::Arc;
use std::time::{Duration, Instant};

use dryrack::event::{Emitter, Event, Kind, Known};
use tokio::sync::watch;

/// Timeout for short operations.
const PATIENCE: Duration = Duration::from_secs(60);

/// All events, on one clock.
#[derive(Clone)]
pub(crate) struct Log {
    begin: Instant,
    events: Arc<watch::Sender<Vec<Event>>>,
}

impl Default for Log {
    fn default() -> Self {
        Self { begin: Instant::now(), events: Arc::new(watch::Sender::new(Vec::new())) }
    }
}

impl Log {
    /// Returns the emitter for services and machines.
    pub(crate) fn emitter(&self) -> Emitter {
        let begin = self.begin;
        let clock =
            move || dryrack::event::Instant { at: begin.elapsed().into(), wall: jiff::Timestamp::UNIX_EPOCH };
        let events = Arc::clone(&self.events);
        Emitter::new(clock, move |event| events.send_modify(|events| events.push(event)))
    }

    /// Returns the events so far.
    pub(crate) fn events(&self) -> Vec<Event> {
        self.events.borrow().clone()
    }

    /// Returns the events so far, as `dryrack trace` shows them.
    pub(crate) fn text(&self) -> String {
        let line = |event: &Event| {
            let node = event.node.as_ref().map(ToString::to_string).unwrap_or_default();
            format!("{:8.3} {node:6} {}\n", event.at.elapsed().as_secs_f64(), event.kind)
        };
        self.events().iter().map(line).collect()
    }

    /// Waits for an event and returns it.
    pub(crate) async fn until(&self, what: &str, seconds: u64, is_it: impl Fn(&Known) -> bool) -> Known {
        let find = |events: &Vec<Event>| {
            events.iter().find_map(|event| match &event.kind {
                Kind::Known(known) if is_it(known) => Some(known.clone()),
                _ => None,
            })
        };
        let mut seen = self.events.subscribe();
        let wait = seen.wait_for(|events| find(events).is_some());
        match tokio::time::timeout(Duration::from_secs(seconds), wait).await {
            Ok(events) => find(&events.unwrap()).unwrap(),
            Err(_) => panic!("waited {seconds} s for {what}, saw\n{}", self.text()),
        }
    }

    /// Tells whether an event has occurred.
    pub(crate) fn has(&self, is_it: impl Fn(&Known) -> bool) -> bool {
        self.count(is_it) > 0
    }

    /// Counts matching events.
    pub(crate) fn count(&self, is_it: impl Fn(&Known) -> bool) -> usize {
        let is_it = |event: &&Event| matches!(&event.kind, Kind::Known(known) if is_it(known));
        self.events().iter().filter(is_it).count()
    }

    /// Returns the time of the first matching event.
    pub(crate) fn time(&self, is_it: impl Fn(&Known) -> bool) -> Option<Duration> {
        let is_it = |event: &&Event| matches!(&event.kind, Kind::Known(known) if is_it(known));
        self.events().iter().find(is_it).map(|event| event.at.elapsed())
    }

    /// Waits for a condition that no event reports.
    pub(crate) async fn until_now(&self, what: &str, is_so: impl Fn() -> bool) {
        let begin = Instant::now();
        while !is_so() {
            assert!(begin.elapsed() < PATIENCE, "waited {PATIENCE:?} for {what}, saw\n{}", self.text());
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}
