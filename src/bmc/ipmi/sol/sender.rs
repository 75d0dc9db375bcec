//! The sending half of either end: one packet at a time, repeated until it is acknowledged.
//!
//! A repetition has the same sequence number and the same characters. What was accepted only in part goes on with
//! a new number.

use std::collections::VecDeque;
use std::time::Duration;

use super::packet::LAST_SEQUENCE;

/// How an end sends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rules {
    /// The most characters in a packet, 1 to 255.
    pub largest: usize,
    /// How long to collect characters before a packet that is not full is sent.
    pub accumulate: Duration,
    /// How many characters are sent without collecting more.
    pub threshold: usize,
    /// How often a packet is repeated.
    pub retries: u8,
    /// The time between repetitions.
    pub retry_interval: Duration,
    /// How many characters may wait.
    pub buffer: usize,
}

/// A packet to send.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Sending {
    pub(super) sequence: u8,
    pub(super) signal: Signal,
    pub(super) characters: Vec<u8>,
}

/// What a packet carries beside characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Signal {
    None,
    Break,
}

/// Whether the line may send.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Flow {
    Running,
    /// The peer asked to pause.
    Paused,
}

/// The state of the sending half.
#[derive(Debug)]
pub(super) struct Sender {
    rules: Rules,
    /// What is outstanding, and what waits behind it.
    queue: VecDeque<u8>,
    /// Breaks that wait; they go before characters.
    breaks: u32,
    /// Since when characters wait that were not sent yet.
    waiting: Option<Duration>,
    /// Nothing new is sent before.
    held_until: Duration,
    flow: Flow,
    /// The last number that was used; 0 at first.
    sequence: u8,
    outstanding: Option<Outstanding>,
}

#[derive(Debug)]
struct Outstanding {
    /// How many characters at the front of the queue it carries.
    // Invariant: at most the length of the queue.
    length: usize,
    signal: Signal,
    /// When to repeat it.
    repeat_at: Duration,
    repeated: u8,
}

impl Sender {
    pub(super) fn new(rules: Rules, held_until: Duration) -> Self {
        Self {
            rules: Rules { largest: rules.largest.clamp(1, 255), ..rules },
            queue: VecDeque::new(),
            breaks: 0,
            waiting: None,
            held_until,
            flow: Flow::Running,
            sequence: 0,
            outstanding: None,
        }
    }

    /// Returns how many characters may still come.
    pub(super) fn room(&self) -> usize {
        self.rules.buffer.saturating_sub(self.queue.len())
    }

    /// Tells whether everything was acknowledged.
    pub(super) fn is_idle(&self) -> bool {
        self.queue.is_empty() && self.breaks == 0 && self.outstanding.is_none()
    }

    /// Appends characters. If they are too many, the oldest that were not sent are dropped; returns how many.
    pub(super) fn push(&mut self, now: Duration, characters: &[u8]) -> usize {
        if characters.is_empty() {
            return 0;
        }
        self.queue.extend(characters);
        self.waiting.get_or_insert(now);
        let sent = self.outstanding.as_ref().map_or(0, |outstanding| outstanding.length);
        let dropped = self.queue.len().saturating_sub(self.rules.buffer.max(sent));
        self.queue.drain(sent..sent + dropped);
        dropped
    }

    /// Appends a break.
    pub(super) fn push_break(&mut self) {
        self.breaks += 1;
    }

    /// Allows packets from now on, at the latest.
    pub(super) fn release(&mut self, now: Duration) {
        self.held_until = self.held_until.min(now);
    }

    /// Pauses or goes on, as the peer asks.
    pub(super) fn pause(&mut self, paused: bool) {
        self.flow = if paused { Flow::Paused } else { Flow::Running };
    }

    /// Forgets characters that were not sent.
    pub(super) fn flush(&mut self) {
        let sent = self.outstanding.as_ref().map_or(0, |outstanding| outstanding.length);
        self.queue.truncate(sent);
        self.waiting = None;
    }

    /// Takes an acknowledgement; those of other packets are ignored.
    pub(super) fn acknowledged(&mut self, now: Duration, sequence: u8, accepted: u8) {
        if sequence != self.sequence {
            return;
        }
        let Some(outstanding) = self.outstanding.take() else { return };
        let accepted = usize::from(accepted).min(outstanding.length);
        self.queue.drain(..accepted);
        if accepted < outstanding.length {
            self.waiting = Some(now);
            // The peer is full: at once it would be as full.
            if accepted == 0 {
                self.held_until = now + self.rules.retry_interval;
            }
        }
    }

    /// Gives up the outstanding packet if it was repeated often enough; tells whether characters were lost.
    pub(super) fn give_up(&mut self, now: Duration) -> bool {
        if self.flow == Flow::Paused {
            return false;
        }
        match self.outstanding.take() {
            Some(it) if it.repeated >= self.rules.retries && now >= it.repeat_at => {
                self.queue.drain(..it.length);
                it.length > 0
            }
            other => {
                self.outstanding = other;
                false
            }
        }
    }

    /// Returns the packet that is to be sent now.
    pub(super) fn poll(&mut self, now: Duration) -> Option<Sending> {
        if self.due().is_none_or(|due| now < due) {
            return None;
        }
        match &mut self.outstanding {
            Some(outstanding) => {
                if outstanding.repeated >= self.rules.retries {
                    return None;
                }
                outstanding.repeated += 1;
                outstanding.repeat_at = now + self.rules.retry_interval;
            }
            None => {
                let (length, signal) = match self.breaks {
                    0 => (self.queue.len().min(self.rules.largest), Signal::None),
                    _ => (0, Signal::Break),
                };
                self.breaks = self.breaks.saturating_sub(1);
                if length == self.queue.len() {
                    self.waiting = None;
                }
                self.sequence = if self.sequence >= LAST_SEQUENCE { 1 } else { self.sequence + 1 };
                let repeat_at = now + self.rules.retry_interval;
                self.outstanding = Some(Outstanding { length, signal, repeat_at, repeated: 0 });
            }
        }
        let outstanding = self.outstanding.as_ref()?;
        Some(Sending {
            sequence: self.sequence,
            signal: outstanding.signal,
            characters: self.queue.iter().take(outstanding.length).copied().collect(),
        })
    }

    /// Returns when there is something to do next.
    pub(super) fn due(&self) -> Option<Duration> {
        if self.flow == Flow::Paused {
            return None;
        }
        if let Some(outstanding) = &self.outstanding {
            return Some(outstanding.repeat_at);
        }
        let due = match (self.breaks, self.waiting) {
            (1.., _) => Duration::ZERO,
            (0, Some(_)) if self.queue.len() >= self.rules.threshold.min(self.rules.largest) => {
                Duration::ZERO
            }
            (0, Some(since)) => since + self.rules.accumulate,
            (0, None) => return None,
        };
        Some(due.max(self.held_until))
    }
}
