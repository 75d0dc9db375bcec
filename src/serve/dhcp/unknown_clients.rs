//! Unknown clients: each request is an event, up to a limit per second.

use std::time::Duration;

use crate::event::RateLimit;
use crate::event::RunTime;

/// Events per second; further requests are only counted.
const MOST: u64 = 1000;
const SECOND: Duration = Duration::from_secs(1);

/// Counts the requests of unknown clients per second.
#[derive(Debug)]
pub(super) struct UnknownClients {
    /// Start of the current second.
    began: RunTime,
    /// Keyed by whether the request was answered.
    limit: RateLimit<bool>,
}

/// Requests without an event.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(super) struct Counts {
    pub(super) replied: u64,
    pub(super) ignored: u64,
}

impl Default for UnknownClients {
    fn default() -> Self {
        Self { began: RunTime::START, limit: RateLimit::new(MOST, MOST) }
    }
}

impl UnknownClients {
    /// Tells whether a request gets its own event; if not, it is counted.
    pub(super) fn admits(&mut self, now: RunTime, replied: bool) -> bool {
        if !self.limit.has_omitted() && now.since(self.began) >= SECOND {
            self.next_window(now);
        }
        self.limit.admit(replied)
    }

    /// Returns when the counts are due, if there are any.
    pub(super) fn due(&self) -> Option<RunTime> {
        self.limit.has_omitted().then(|| self.began + SECOND)
    }

    /// Returns the counts if they are due, and starts the next second.
    pub(super) fn take(&mut self, now: RunTime) -> Option<Counts> {
        self.due().filter(|due| *due <= now)?;
        Some(self.next_window(now))
    }

    fn next_window(&mut self, now: RunTime) -> Counts {
        self.began = now;
        let mut counts = Counts::default();
        for (replied, count) in self.limit.next_window() {
            *if replied { &mut counts.replied } else { &mut counts.ignored } = count;
        }
        counts
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn few_are_told_each_and_many_are_counted() {
        let mut unknown_clients = UnknownClients::default();
        let now = RunTime::from(5 * SECOND);
        let admitted = (0..3000)
            .filter(|number| unknown_clients.admits(now + Duration::from_nanos(*number), number % 3 == 0))
            .count();
        assert_eq!(admitted, 1000);
        assert_eq!(
            unknown_clients.take(now + SECOND.saturating_sub(Duration::from_nanos(1))),
            None,
            "the second is not over"
        );
        assert_eq!(unknown_clients.due(), Some(now + SECOND));
        let counts = unknown_clients.take(now + SECOND).unwrap();
        assert_eq!(counts, Counts { replied: 666, ignored: 1334 });
        assert!(unknown_clients.admits(now + SECOND, true), "a new second");
        assert_eq!((unknown_clients.due(), unknown_clients.take(now + 9 * SECOND)), (None, None));
    }

    #[test]
    fn counts_wait_until_they_are_told() {
        let mut unknown_clients = UnknownClients::default();
        assert_eq!((0..=1000).filter(|_| unknown_clients.admits(RunTime::START, false)).count(), 1000);
        assert!(!unknown_clients.admits((7 * SECOND).into(), false), "what was counted before is told first");
        assert_eq!(unknown_clients.take((7 * SECOND).into()), Some(Counts { replied: 0, ignored: 2 }));
    }
}
