//! What was seen becomes an event, unless it is too much.

use std::time::Duration;

use super::Seen;
use crate::event::{Exchange, Known, RateLimit, RunTime, Service};
use crate::name::NodeName;

/// Events at once after a quiet time, and further ones per second, of all nodes together.
const BURST: u64 = 4_000;
const STEADY: u64 = 1_000;
/// Events of one kind of one node per second.
const OF_EACH: u64 = 100;
/// How long omitted events are counted before their number is reported.
const WINDOW: Duration = Duration::from_secs(1);

/// The kinds of events, as far as their number is limited.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Topic {
    Boot,
    Address,
    Unanswered,
    DhcpAsked,
    DhcpReplied,
    Tftp,
    Http,
    Fetching,
    Tls,
    Dns,
    Unreachable,
    Router,
    Switch,
}

/// Passes events on within limits.
#[derive(Debug)]
pub(super) struct News {
    limit: RateLimit<(Option<NodeName>, Topic)>,
    since: RunTime,
    /// The number of the frame that is being read.
    pub(super) frame: Option<u64>,
}

impl Default for News {
    fn default() -> Self {
        Self { limit: RateLimit::new(BURST, STEADY).of_each(OF_EACH), since: RunTime::START, frame: None }
    }
}

impl News {
    /// Passes an event on.
    pub(super) fn tell(
        &mut self,
        seen: &mut Vec<Seen>,
        at: RunTime,
        topic: Topic,
        node: Option<NodeName>,
        exchange: Option<Exchange>,
        known: Known,
    ) {
        self.pass(at, seen);
        if self.limit.admit((node.clone(), topic)) {
            seen.push(Seen { at, node, exchange, frame: self.frame, known });
        }
    }

    /// Reports what was omitted, at the end of each window.
    pub(super) fn pass(&mut self, now: RunTime, seen: &mut Vec<Seen>) {
        if now.since(self.since) < WINDOW {
            return;
        }
        // After a pause the whole burst is available again.
        let windows = now.since(self.since).as_secs().min(BURST / STEADY + 1);
        self.since = now;
        let mut omitted: Vec<(Option<NodeName>, u64)> = Vec::new();
        for ((node, _), count) in (0..windows).flat_map(|_| self.limit.next_window()) {
            match omitted.last_mut() {
                Some((last, sum)) if *last == node => *sum += count,
                _ => omitted.push((node, count)),
            }
        }
        seen.extend(omitted.into_iter().map(|(node, count)| {
            let known = Known::Omitted { service: Service::Capture, count };
            Seen { at: now, node, exchange: None, frame: None, known }
        }));
    }

    pub(super) fn deadline(&self) -> RunTime {
        if self.limit.has_omitted() { self.since + WINDOW } else { RunTime::NEVER }
    }
}
