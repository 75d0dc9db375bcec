//! Counts wrong passwords per user and source address.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;

use super::settings::LockoutRule;

/// Sources are easily spoofed, so memory has a limit.
const MOST_RECORDS: usize = 1024;

/// Who failed where.
type Key = (Vec<u8>, IpAddr);

/// Failed logins and those that are locked out.
#[derive(Debug)]
pub(super) struct Lockout {
    rule: Option<LockoutRule>,
    records: BTreeMap<Key, Record>,
}

#[derive(Debug, Default)]
struct Record {
    /// When passwords were wrong, oldest first.
    failures: Vec<Duration>,
    locked_until: Duration,
}

impl Lockout {
    pub(super) fn new(rule: Option<LockoutRule>) -> Self {
        Self { rule, records: BTreeMap::new() }
    }

    /// Tells whether logins are refused.
    pub(super) fn is_locked(&self, now: Duration, name: &[u8], source: IpAddr) -> bool {
        self.records.get(&(name.to_vec(), source)).is_some_and(|record| now < record.locked_until)
    }

    /// Counts a wrong password.
    pub(super) fn failed(&mut self, now: Duration, name: &[u8], source: IpAddr) {
        let Some(rule) = self.rule else { return };
        self.expire(now, rule);
        let key = (name.to_vec(), source);
        if self.records.len() >= MOST_RECORDS && !self.records.contains_key(&key) {
            return;
        }
        let record = self.records.entry(key).or_default();
        record.failures.push(now);
        if record.failures.len() >= rule.failures {
            record.failures.clear();
            record.locked_until = now + rule.duration;
        }
    }

    /// Forgets the failures of a user who proved the password.
    pub(super) fn succeeded(&mut self, name: &[u8], source: IpAddr) {
        self.records.remove(&(name.to_vec(), source));
    }

    fn expire(&mut self, now: Duration, rule: LockoutRule) {
        for record in self.records.values_mut() {
            record.failures.retain(|at| now.saturating_sub(*at) < rule.window);
        }
        self.records.retain(|_, record| !record.failures.is_empty() || now < record.locked_until);
    }
}

#[cfg(test)]
mod tests {
    use std::net::{IpAddr, Ipv4Addr};
    use std::time::Duration;

    use super::{Lockout, LockoutRule};

    #[test]
    fn failures_within_the_window_lock_one_user_at_one_source() {
        let rule =
            LockoutRule { failures: 3, window: Duration::from_secs(10), duration: Duration::from_secs(30) };
        let mut lockout = Lockout::new(Some(rule));
        let here = IpAddr::V4(Ipv4Addr::LOCALHOST);
        let at = Duration::from_secs;
        lockout.failed(at(0), b"a", here);
        lockout.failed(at(8), b"a", here);
        lockout.failed(at(11), b"a", here);
        assert!(!lockout.is_locked(at(11), b"a", here));
        lockout.failed(at(12), b"a", here);
        assert!(lockout.is_locked(at(41), b"a", here));
        assert!(!lockout.is_locked(at(42), b"a", here));
        assert!(!lockout.is_locked(at(13), b"b", here));
        assert!(!lockout.is_locked(at(13), b"a", IpAddr::V4(Ipv4Addr::BROADCAST)));
    }
}
