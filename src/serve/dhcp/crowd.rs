//! Clients that are no node: each is told of, as long as they are few.

/// Events in a second; beyond, they are counted.
const MOST: u64 = 1000;
const SECOND: u64 = 1_000_000_000;

/// Counts what clients that are no node asked, second by second.
#[derive(Debug, Default)]
pub(super) struct Crowd {
    /// When the second began, in nanoseconds on the run's clock.
    began: u64,
    told: u64,
    more: Counts,
}

/// Requests that were counted only.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(super) struct Counts {
    pub(super) replied: u64,
    pub(super) ignored: u64,
}

impl Crowd {
    /// Tells whether one more request has an event of its own; if not, it is counted.
    pub(super) fn admits(&mut self, now: u64, replied: bool) -> bool {
        if self.more == Counts::default() && now.saturating_sub(self.began) >= SECOND {
            *self = Self { began: now, ..Self::default() };
        }
        if self.told < MOST {
            self.told += 1;
            return true;
        }
        match replied {
            true => self.more.replied += 1,
            false => self.more.ignored += 1,
        }
        false
    }

    /// Returns when the counts are to be told, if there are any.
    pub(super) fn due(&self) -> Option<u64> {
        (self.more != Counts::default()).then(|| self.began.saturating_add(SECOND))
    }

    /// Returns the counts, if they are to be told by now, and begins the next second.
    pub(super) fn take(&mut self, now: u64) -> Option<Counts> {
        self.due().filter(|due| *due <= now)?;
        let more = self.more;
        *self = Self { began: now, ..Self::default() };
        Some(more)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn few_are_told_each_and_many_are_counted() {
        let mut crowd = Crowd::default();
        let now = 5 * SECOND;
        let told = (0..3000).filter(|number| crowd.admits(now + number, number % 3 == 0)).count();
        assert_eq!(told, 1000);
        assert_eq!(crowd.take(now + SECOND - 1), None, "the second is not over");
        assert_eq!(crowd.due(), Some(now + SECOND));
        let counts = crowd.take(now + SECOND).unwrap();
        assert_eq!(counts, Counts { replied: 666, ignored: 1334 });
        assert!(crowd.admits(now + SECOND, true), "a new second");
        assert_eq!((crowd.due(), crowd.take(now + 9 * SECOND)), (None, None));
    }

    #[test]
    fn counts_wait_until_they_are_told() {
        let mut crowd = Crowd::default();
        assert_eq!((0..=1000).filter(|_| crowd.admits(0, false)).count(), 1000);
        assert!(!crowd.admits(7 * SECOND, false), "what was counted before is told first");
        assert_eq!(crowd.take(7 * SECOND), Some(Counts { replied: 0, ignored: 2 }));
    }
}
