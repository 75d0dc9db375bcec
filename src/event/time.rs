//! Instants: on the clock of the run, and in seconds since 1970.

use std::fmt;
use std::ops::{Add, AddAssign};
use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::text::Ago;

/// An instant on the monotonic clock of the run, in nanoseconds since its start.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct RunTime(u64);

impl RunTime {
    /// The start of the run.
    pub const START: Self = Self(0);
    /// Later than the end of any run: 584 years.
    pub const NEVER: Self = Self(u64::MAX);

    /// Creates an instant from nanoseconds since the start of the run.
    pub const fn from_nanos(nanos: u64) -> Self {
        Self(nanos)
    }

    /// Returns the nanoseconds since the start of the run.
    pub const fn as_nanos(self) -> u64 {
        self.0
    }

    /// Returns the time since an earlier instant; zero if that one is later.
    pub const fn since(self, earlier: Self) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }

    /// Returns the whole microseconds since an earlier instant; zero if that one is later.
    pub const fn micros_since(self, earlier: Self) -> u64 {
        self.0.saturating_sub(earlier.0) / 1_000
    }

    /// Returns the time since the start of the run.
    pub const fn elapsed(self) -> Duration {
        self.since(Self::START)
    }
}

impl From<Duration> for RunTime {
    /// Creates an instant from the time since the start of the run.
    fn from(elapsed: Duration) -> Self {
        Self::START + elapsed
    }
}

impl Add<Duration> for RunTime {
    type Output = Self;

    fn add(self, span: Duration) -> Self {
        Self(self.0.saturating_add(u64::try_from(span.as_nanos()).unwrap_or(u64::MAX)))
    }
}

impl AddAssign<Duration> for RunTime {
    fn add_assign(&mut self, span: Duration) {
        *self = *self + span;
    }
}

impl fmt::Display for RunTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Ago(self.elapsed()).fmt(f)
    }
}

/// An instant in whole seconds since 1970, as in leases and certificates.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct UnixSeconds(pub u64);

impl From<Timestamp> for UnixSeconds {
    /// Converts an instant of the wall clock; anything before 1970 becomes 1970.
    fn from(wall: Timestamp) -> Self {
        Self(u64::try_from(wall.as_second()).unwrap_or(0))
    }
}

impl UnixSeconds {
    /// Returns the time since an earlier instant; zero if that one is later.
    pub const fn since(self, earlier: Self) -> Duration {
        Duration::from_secs(self.0.saturating_sub(earlier.0))
    }

    /// Returns the instant earlier by a duration; 1970 at the earliest.
    #[must_use]
    pub const fn before(self, span: Duration) -> Self {
        Self(self.0.saturating_sub(span.as_secs()))
    }
}

impl Add<Duration> for UnixSeconds {
    type Output = Self;

    fn add(self, span: Duration) -> Self {
        Self(self.0.saturating_add(span.as_secs()))
    }
}

impl AddAssign<Duration> for UnixSeconds {
    fn add_assign(&mut self, span: Duration) {
        *self = *self + span;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn instants_neither_wrap_nor_go_back() {
        let second = Duration::from_secs(1);
        assert_eq!(RunTime::NEVER + second, RunTime::NEVER);
        assert_eq!(RunTime::START.since(RunTime::NEVER), Duration::ZERO);
        assert_eq!((RunTime::START + second).as_nanos(), 1_000_000_000);
        assert_eq!((RunTime::START + second * 72).to_string(), "1m 12s");
        assert_eq!(UnixSeconds(5).before(second * 9), UnixSeconds(0));
        assert_eq!(UnixSeconds(u64::MAX) + second, UnixSeconds(u64::MAX));
        assert_eq!(UnixSeconds::from(Timestamp::from_second(-5).unwrap()), UnixSeconds(0));
    }

    #[test]
    fn instants_are_written_as_plain_numbers() {
        assert_eq!(serde_json::to_string(&RunTime::from_nanos(7)).unwrap(), "7");
        assert_eq!(serde_json::from_str::<UnixSeconds>("1795000000").unwrap(), UnixSeconds(1_795_000_000));
    }
}
