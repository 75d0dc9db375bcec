//! The watchdog of a BMC (IPMI 2.0, section 27): an operating system that stops renewing it is reset.

use std::time::Duration;

use super::log::WatchdogAction;

/// What the watchdog is set to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Watchdog {
    /// Timer use, action, pre-timeout and cleared flags, as written.
    setting: [u8; 4],
    /// The flags of uses that expired.
    expired: u8,
    /// The initial countdown in tenths of a second; `None` before it was set.
    initial: Option<u16>,
    ends: Option<Duration>,
}

/// Timer use: this expiry is not logged.
const DO_NOT_LOG: u8 = 0x80;
/// Timer use: the timer keeps running while it is set.
const DO_NOT_STOP: u8 = 0x40;

impl Watchdog {
    /// Sets it: use, action, pre-timeout, flags to clear, countdown (section 27.6).
    pub fn set(&mut self, now: Duration, data: [u8; 6]) {
        let [usage, action, early, clear, low, high] = data;
        let keeps = usage & DO_NOT_STOP != 0 && self.ends.is_some();
        self.setting = [usage & !DO_NOT_STOP, action, early, 0];
        self.expired &= !clear;
        self.initial = Some(u16::from_le_bytes([low, high]));
        self.ends = if keeps { self.after(now) } else { None };
    }

    /// Restarts the countdown (section 27.5); fails if nothing was set.
    pub fn reset(&mut self, now: Duration) -> bool {
        self.ends = self.after(now);
        self.ends.is_some()
    }

    fn after(&self, now: Duration) -> Option<Duration> {
        Some(now + Duration::from_millis(u64::from(self.initial?) * 100))
    }

    /// Returns the setting, its flags and the countdown (section 27.7).
    pub fn get(&self, now: Duration) -> [u8; 8] {
        let [usage, action, early, _] = self.setting;
        let running = if self.ends.is_some() { 0x40 } else { 0 };
        let initial = self.initial.unwrap_or(0);
        let left = self.ends.map_or(initial, |ends| {
            u16::try_from(ends.saturating_sub(now).as_millis() / 100).unwrap_or(u16::MAX)
        });
        let ([a, b], [c, d]) = (initial.to_le_bytes(), left.to_le_bytes());
        [usage | running, action, early, self.expired, a, b, c, d]
    }

    /// Stops it, as powering the machine off does.
    pub fn stop(&mut self) {
        self.ends = None;
    }

    /// Returns when it expires.
    pub fn ends(&self) -> Option<Duration> {
        self.ends
    }

    /// Expires if it is time; returns the action and whether it is logged.
    pub fn expire(&mut self, now: Duration) -> Option<(WatchdogAction, bool)> {
        self.ends.filter(|ends| *ends <= now)?;
        self.ends = None;
        let [usage, action, ..] = self.setting;
        self.expired |= 1u8.checked_shl(u32::from(usage & 7)).unwrap_or(0);
        let action = match action & 7 {
            1 => WatchdogAction::Reset,
            2 => WatchdogAction::Off,
            3 => WatchdogAction::Cycle,
            _ => WatchdogAction::Nothing,
        };
        Some((action, usage & DO_NOT_LOG == 0))
    }
}
