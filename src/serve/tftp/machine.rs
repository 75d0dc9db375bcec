//! One transfer as a state machine without sockets, files or clock: it takes inputs and returns actions.
//!
//! ```text
//!            options agreed            ACK 0
//! request ──▶ Offered ───────────────▶ Sending ──▶ last block acknowledged: Sent
//!        │        │ ERROR: Probed, Aborted  │ ERROR: Aborted
//!        │        │ silence: Vanished       │ silence: Vanished
//!        └────────────── no options ───────▶┘
//! ```
//!
//! Block numbers are unbounded in here; only on the wire do they wrap after 65,535.
//! The machine does not know the file size: the caller that sends blocks reports
//! which was the last.

use super::packet::{Mode, OptionName, Request};

const MILLISECOND: u64 = 1_000_000;
const SECOND: u64 = 1000 * MILLISECOND;

/// The default block size.
const BLOCK: usize = 512;
/// Valid block sizes (RFC 2348).
const BLOCKS: std::ops::RangeInclusive<u64> = 8..=65_464;
/// A window that fits a client's socket buffer of ordinary size.
const MOST_WINDOW: u16 = 64;

/// The first retransmission timeout, before the client's round-trip time is known.
const FIRST_WAIT: u64 = SECOND;
/// The minimum retransmission timeout: firmware may be busy.
const LEAST_WAIT: u64 = 250 * MILLISECOND;
/// Timeouts double up to this.
const MOST_WAIT: u64 = 4 * SECOND;
/// How long a client may stay silent or make no progress.
pub(super) const PATIENCE: u64 = 10 * SECOND;
/// For at least this long after a retransmission, an acknowledgement may belong to the first transmission.
const ECHO: u64 = 5 * MILLISECOND;

/// The negotiated options.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Negotiated {
    /// Bytes in a block.
    pub(super) block: usize,
    /// Blocks per acknowledgement.
    pub(super) window: u16,
    /// Seconds until a retransmission, if the client asked for a timeout.
    timeout: Option<u8>,
    /// Whether the client asked for the file's size.
    requested_size: bool,
    /// The options of the OACK; empty if the client sent none that are supported.
    pub(super) answer: Vec<(OptionName, u64)>,
}

/// Negotiates options. `largest` is what fits the path MTU; `size` is the file size, if known beforehand.
pub(super) fn agree(request: &Request, largest: usize, size: Option<u64>) -> Negotiated {
    let mut terms =
        Negotiated { block: BLOCK, window: 1, timeout: None, requested_size: false, answer: Vec::new() };
    for (name, requested) in &request.options {
        let agreed = match name {
            OptionName::BlockSize if *requested >= *BLOCKS.start() => {
                let block = (*requested).min(*BLOCKS.end()).min(largest as u64);
                terms.block = block as usize;
                Some(block)
            }
            OptionName::Window if *requested > 0 => u16::try_from(*requested).ok().map(|window| {
                terms.window = window.min(MOST_WINDOW);
                terms.window.into()
            }),
            OptionName::Timeout if *requested > 0 => u8::try_from(*requested).ok().map(|seconds| {
                terms.timeout = Some(seconds);
                seconds.into()
            }),
            // The size of a text is known only after it was sent.
            OptionName::Size if request.mode == Mode::Octet => {
                terms.requested_size = true;
                size
            }
            OptionName::BlockSize | OptionName::Window | OptionName::Timeout | OptionName::Size => None,
        };
        terms.answer.extend(agreed.map(|value| (*name, value)));
    }
    terms
}

/// How a transfer ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    /// The client has acknowledged the last block.
    Sent,
    /// The client asked only for the size.
    Probed,
    /// The client aborted.
    Aborted,
    /// The client stopped answering.
    Vanished,
}

/// What the engine must do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
pub(super) enum Action {
    /// Nothing.
    Nothing,
    /// Send the OACK.
    Offer,
    /// Send blocks starting with `first`, at most `most`; then report them with [`Machine::went`].
    Send {
        /// The first block, counted from 1.
        first: u64,
        /// The maximum number of blocks.
        most: u16,
    },
    /// End the transfer.
    Finish(End),
}

/// The state of one transfer. Times are nanoseconds of a monotonic clock.
#[derive(Debug)]
pub(super) struct Machine {
    terms: Negotiated,
    /// Whether the OACK waits for its acknowledgement.
    offered: bool,
    /// Whether the client has answered at all; until then, its address may be spoofed.
    confirmed: bool,
    /// The last acknowledged block.
    // Invariant: acked <= sent <= highest, and sent - acked <= window.
    acked: u64,
    /// The last block in flight.
    sent: u64,
    /// The highest block ever sent.
    highest: u64,
    /// The last block of the file and the size of the file, once sent.
    last: Option<(u64, u64)>,
    /// Whether anything in flight was sent more than once.
    repeated: bool,
    /// Until then, an acknowledgement of less than the whole window may be a duplicate.
    echoes_until: u64,
    /// When the last window or offer was sent.
    sent_at: u64,
    /// When the client last made progress.
    progress_at: u64,
    /// When to retransmit or give up.
    deadline: u64,
    /// Number of consecutive retransmissions.
    attempts: u32,
    /// Smoothed round-trip time in nanoseconds; 0 if unknown.
    answers_in: u64,
    retransmits: u32,
}

impl Machine {
    /// Starts a transfer.
    pub(super) fn start(terms: Negotiated, now: u64) -> (Self, Action) {
        let mut machine = Self {
            offered: !terms.answer.is_empty(),
            terms,
            confirmed: false,
            acked: 0,
            sent: 0,
            highest: 0,
            last: None,
            repeated: false,
            echoes_until: 0,
            sent_at: now,
            progress_at: now,
            deadline: 0,
            attempts: 0,
            answers_in: 0,
            retransmits: 0,
        };
        let first = machine.go_on(now);
        (machine, first)
    }

    /// Returns the negotiated options.
    pub(super) fn terms(&self) -> &Negotiated {
        &self.terms
    }

    /// Returns when [`Machine::on_time`] must be called at the latest.
    pub(super) fn deadline(&self) -> u64 {
        self.deadline
    }

    /// Tells whether the client has answered at all.
    pub(super) fn confirmed(&self) -> bool {
        self.confirmed
    }

    /// Returns how many packets were retransmitted.
    pub(super) fn retransmits(&self) -> u32 {
        self.retransmits
    }

    /// Returns the smoothed round-trip time in nanoseconds; 0 if unknown.
    pub(super) fn answers_in(&self) -> u64 {
        self.answers_in
    }

    /// Returns how many bytes were acknowledged.
    pub(super) fn bytes(&self) -> u64 {
        match self.last {
            Some((block, end)) if block == self.acked => end,
            _ => self.acked * self.terms.block as u64,
        }
    }

    /// Records which blocks were sent for [`Action::Send`]. `end` is the file size, if the last of them ends the
    /// file.
    pub(super) fn went(&mut self, first: u64, blocks: u16, end: Option<u64>) {
        let sent = first - 1 + u64::from(blocks);
        let again = (self.highest + 1).saturating_sub(first).min(blocks.into());
        self.retransmits += again as u32;
        self.sent = sent;
        self.highest = self.highest.max(sent);
        self.last = end.map(|end| (sent, end)).or(self.last);
    }

    /// Handles an acknowledgement.
    pub(super) fn on_ack(&mut self, number: u16, now: u64) -> Action {
        if self.offered {
            if number != 0 {
                return Action::Nothing;
            }
            self.offered = false;
            self.came_on(now);
            return self.go_on(now);
        }
        // Fewer blocks than a window lie between, so the low 16 bits identify the block.
        let further = u64::from(number.wrapping_sub(self.acked as u16));
        if further > self.sent - self.acked {
            return Action::Nothing;
        }
        if further == 0 {
            // Without windows it is always a duplicate; answering it causes the sorcerer's apprentice syndrome (RFC
            // 1123).
            return if self.terms.window == 1 { Action::Nothing } else { self.on_gap(now) };
        }
        self.acked += further;
        let whole = self.acked == self.sent;
        let clean = !self.repeated;
        self.came_on(now);
        if self.last.is_some_and(|(last, _)| last == self.acked) {
            return Action::Finish(End::Sent);
        }
        if whole {
            // What was sent twice is acknowledged twice. Answering the duplicate would send everything after it
            // twice.
            self.repeated = false;
            self.echoes_until = if clean { 0 } else { now + self.echo() };
            self.go_on(now)
        } else {
            self.on_gap(now)
        }
    }

    /// Handles an acknowledgement of less than the whole window. Either a block was lost, and the client requests
    /// everything after the acknowledged block (RFC 7440), or it is a duplicate.
    fn on_gap(&mut self, now: u64) -> Action {
        if now < self.echoes_until {
            // The client's next window starts here: send what is missing from it, and nothing twice.
            self.deadline = self.deadline.min(self.echoes_until);
            let until =
                self.last.map_or(u64::MAX, |(last, _)| last).min(self.acked + u64::from(self.terms.window));
            return match until.saturating_sub(self.sent) {
                0 => Action::Nothing,
                lacking => Action::Send { first: self.sent + 1, most: lacking as u16 },
            };
        }
        self.again(now)
    }

    /// Handles an error from the client.
    pub(super) fn on_error(&self) -> Action {
        Action::Finish(if self.offered && self.terms.requested_size { End::Probed } else { End::Aborted })
    }

    /// Handles the passing of time.
    pub(super) fn on_time(&mut self, now: u64) -> Action {
        if now < self.deadline {
            return Action::Nothing;
        }
        if now >= self.progress_at + self.patience() {
            return Action::Finish(End::Vanished);
        }
        self.attempts += 1;
        self.again(now)
    }

    /// Handles the same request again: the client has not received the reply.
    pub(super) fn on_same_request(&mut self, now: u64) -> Action {
        // Spoofed requests trigger no more packets than timeouts do.
        if self.confirmed || now < self.sent_at + LEAST_WAIT { Action::Nothing } else { self.again(now) }
    }

    fn came_on(&mut self, now: u64) {
        if !self.repeated {
            let took = (now - self.sent_at).max(1);
            self.answers_in = if self.answers_in == 0 { took } else { (self.answers_in * 7 + took) / 8 };
        }
        self.confirmed = true;
        self.attempts = 0;
        self.progress_at = now;
    }

    fn again(&mut self, now: u64) -> Action {
        self.repeated = true;
        self.echoes_until = now + self.echo();
        if self.offered {
            self.retransmits += 1;
        }
        self.go_on(now)
    }

    fn go_on(&mut self, now: u64) -> Action {
        self.sent_at = now;
        self.deadline = (now + self.wait()).min(self.progress_at + self.patience());
        if self.offered {
            return Action::Offer;
        }
        let left = self.last.map_or(u64::MAX, |(last, _)| last - self.acked);
        Action::Send { first: self.acked + 1, most: u64::from(self.terms.window).min(left) as u16 }
    }

    fn echo(&self) -> u64 {
        ECHO.max(2 * self.answers_in)
    }

    fn wait(&self) -> u64 {
        match self.terms.timeout {
            // The requested timeout applies once the client has acknowledged the OACK.
            Some(seconds) if self.confirmed => u64::from(seconds) * SECOND,
            _ => {
                let first = match self.answers_in {
                    0 => FIRST_WAIT,
                    known => (4 * known).clamp(LEAST_WAIT, FIRST_WAIT),
                };
                (first << self.attempts.min(8)).min(MOST_WAIT)
            }
        }
    }

    fn patience(&self) -> u64 {
        match self.terms.timeout {
            Some(seconds) if self.confirmed => PATIENCE.max(2 * u64::from(seconds) * SECOND + SECOND),
            _ => PATIENCE,
        }
    }
}

#[cfg(test)]
mod tests;
