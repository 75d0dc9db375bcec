//! Locks users out who give wrong passwords.

use std::collections::BTreeMap;
use std::time::Duration;

/// The rule, and what it counted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lockout {
    /// After how many wrong passwords a user is locked out; 0 for never.
    pub threshold: u32,
    /// For how many seconds; 0 until somebody unlocks the user.
    pub duration: u32,
    /// After how many seconds without a wrong password the count begins again.
    pub reset_after: u32,
    counts: BTreeMap<u8, Count>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Count {
    wrong: u32,
    last: Duration,
    /// Until when the user is locked out; the rule of then counts.
    until: Option<Duration>,
}

impl Default for Lockout {
    fn default() -> Self {
        Self { threshold: 10, duration: 60, reset_after: 60, counts: BTreeMap::new() }
    }
}

impl Lockout {
    /// Returns whether a user is locked out.
    pub fn is_locked(&self, now: Duration, user: u8) -> bool {
        self.counts.get(&user).and_then(|count| count.until).is_some_and(|until| now < until)
    }

    /// Counts a wrong password.
    pub fn failed(&mut self, now: Duration, user: u8) {
        let fresh = Count { wrong: 0, last: now, until: None };
        let count = self.counts.entry(user).or_insert(fresh);
        if now.saturating_sub(count.last) >= Duration::from_secs(self.reset_after.into()) {
            *count = fresh;
        }
        count.wrong = count.wrong.saturating_add(1);
        count.last = now;
        if self.threshold > 0 && count.wrong >= self.threshold {
            let until = match self.duration {
                0 => Duration::MAX,
                seconds => now + Duration::from_secs(seconds.into()),
            };
            (count.until, count.wrong) = (Some(until), 0);
        }
    }

    /// A right password, or somebody unlocks the user.
    pub fn clear(&mut self, user: u8) {
        self.counts.remove(&user);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn a_user_is_locked_out_for_a_time() {
        let mut lockout = Lockout { threshold: 2, ..Lockout::default() };
        lockout.failed(at(0), 2);
        lockout.failed(at(60), 2);
        assert!(!lockout.is_locked(at(60), 2));
        lockout.failed(at(61), 2);
        assert!(lockout.is_locked(at(120), 2));
        assert!(!lockout.is_locked(at(121), 2));
        assert!(!lockout.is_locked(at(61), 3));
        // What is over stays over.
        lockout.duration = 0;
        assert!(!lockout.is_locked(at(121), 2));
        lockout.failed(at(130), 2);
        assert!(!lockout.is_locked(at(130), 2));
    }
}
