//! When a packet is sent again, and when the peer counts as silent.

use std::time::Duration;

use super::settings::Settings;

/// The tries of one packet.
#[derive(Debug, Clone)]
pub(super) struct Retry {
    /// How often it was sent.
    sent: u8,
    tries: u8,
    first_wait: Duration,
    /// When to send again or give up.
    pub(super) due: Duration,
}

/// What is due.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Due {
    Nothing,
    Again,
    GiveUp,
}

impl Retry {
    /// Starts when the packet is sent for the first time.
    pub(super) fn new(now: Duration, settings: &Settings) -> Self {
        let first_wait = settings.first_wait;
        Self { sent: 1, tries: settings.tries, first_wait, due: now + first_wait }
    }

    /// Tells what is due, and counts the packet as sent if that is to send it again.
    pub(super) fn poll(&mut self, now: Duration) -> Due {
        if now < self.due {
            Due::Nothing
        } else if self.sent >= self.tries {
            Due::GiveUp
        } else {
            self.due = now + self.first_wait + self.first_wait / 4 * u32::from(self.sent);
            self.sent += 1;
            Due::Again
        }
    }
}
