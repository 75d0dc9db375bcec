//! One transfer as a machine without sockets, files or clock: what comes in, and what follows from it.
//!
//! ```text
//!            options agreed            ACK 0
//! request ──▶ Offered ───────────────▶ Sending ──▶ last block acknowledged: Sent
//!        │        │ ERROR: Probed, Aborted  │ ERROR: Aborted
//!        │        │ silence: Vanished       │ silence: Vanished
//!        └────────────── no options ───────▶┘
//! ```
//!
//! Blocks have numbers without end in here; only on the wire do they begin anew
//! after 65,535. The machine does not know how long the file is: whoever sends
//! blocks says when one was the last.

use super::packet::{Mode, OptionName, Request};

const MILLISECOND: u64 = 1_000_000;
const SECOND: u64 = 1000 * MILLISECOND;

/// The size of a block for who does not ask for another.
const BLOCK: usize = 512;
/// Bounds of RFC 2348.
const BLOCKS: std::ops::RangeInclusive<u64> = 8..=65_464;
/// What fits a client's socket buffer of ordinary size.
const MOST_WINDOW: u16 = 64;

/// How long an answer is waited for at first, where nothing is known of the client.
const FIRST_WAIT: u64 = SECOND;
/// The least that is waited for an answer: firmware may be busy with something else.
const LEAST_WAIT: u64 = 250 * MILLISECOND;
/// Waits double up to this.
const MOST_WAIT: u64 = 4 * SECOND;
/// How long a client may stay silent, or stay where it is.
pub(super) const PATIENCE: u64 = 10 * SECOND;
/// For how long at least an acknowledgement is taken for an echo after we have repeated ourselves.
const ECHO: u64 = 5 * MILLISECOND;

/// What client and server agreed on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Negotiated {
    /// Bytes in a block.
    pub(super) block: usize,
    /// Blocks between two acknowledgements.
    pub(super) window: u16,
    /// Seconds until we repeat ourselves, if the client has a wish.
    timeout: Option<u8>,
    /// Whether the client asked for the file's size.
    asked_size: bool,
    /// What the client is told; nothing if it asked for nothing that we know.
    pub(super) answer: Vec<(OptionName, u64)>,
}

/// Agrees to a request. `largest` is what fits the path; `size` is that of the file, where it is known beforehand.
pub(super) fn agree(request: &Request, largest: usize, size: Option<u64>) -> Negotiated {
    let mut terms =
        Negotiated { block: BLOCK, window: 1, timeout: None, asked_size: false, answer: Vec::new() };
    for (name, asked) in &request.options {
        let agreed = match name {
            OptionName::BlockSize if *asked >= *BLOCKS.start() => {
                let block = (*asked).min(*BLOCKS.end()).min(largest as u64);
                terms.block = block as usize;
                Some(block)
            }
            OptionName::Window if *asked > 0 => u16::try_from(*asked).ok().map(|window| {
                terms.window = window.min(MOST_WINDOW);
                terms.window.into()
            }),
            OptionName::Timeout if *asked > 0 => u8::try_from(*asked).ok().map(|seconds| {
                terms.timeout = Some(seconds);
                seconds.into()
            }),
            // The size of a text is known only when it has been sent.
            OptionName::Size if request.mode == Mode::Octet => {
                terms.asked_size = true;
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
    /// The client wanted to know the size, and no more.
    Probed,
    /// The client gave up.
    Aborted,
    /// The client fell silent.
    Vanished,
}

/// What follows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
pub(super) enum Action {
    /// Nothing.
    Nothing,
    /// Send what was agreed on.
    Offer,
    /// Send blocks from `first` on, at most so many; then say by [`Machine::went`] what went.
    Send {
        /// The first of them, counted from 1.
        first: u64,
        /// How many.
        most: u16,
    },
    /// Forget the transfer.
    Finish(End),
}

/// The state of one transfer. Times are nanoseconds of any one clock.
#[derive(Debug)]
pub(super) struct Machine {
    terms: Negotiated,
    /// Whether our offer waits for its answer.
    offered: bool,
    /// Whether the client has answered at all: before, it may be anybody's forged address.
    confirmed: bool,
    /// The last block that the client has.
    // Invariant: acked <= sent <= highest, and sent - acked <= window.
    acked: u64,
    /// The last block on its way.
    sent: u64,
    /// The highest block that ever was.
    highest: u64,
    /// The last block of all with the end of the file, once it was sent.
    last: Option<(u64, u64)>,
    /// Whether something on its way was sent more than once.
    repeated: bool,
    /// Until then, an acknowledgement that is not of the whole window may be an echo.
    echoes_until: u64,
    /// When the last window or offer was sent.
    sent_at: u64,
    /// When the client came on last.
    progress_at: u64,
    /// When we repeat ourselves or give up.
    deadline: u64,
    /// How often in a row we have repeated ourselves.
    attempts: u32,
    /// How long the client takes to answer, smoothed; 0 if unknown.
    answers_in: u64,
    retransmits: u32,
}

impl Machine {
    /// Begins a transfer.
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

    /// Returns what was agreed on.
    pub(super) fn terms(&self) -> &Negotiated {
        &self.terms
    }

    /// Returns when [`Machine::on_time`] is to be called at the latest.
    pub(super) fn deadline(&self) -> u64 {
        self.deadline
    }

    /// Tells whether the client has answered at all.
    pub(super) fn confirmed(&self) -> bool {
        self.confirmed
    }

    /// Returns how many packets were sent again.
    pub(super) fn retransmits(&self) -> u32 {
        self.retransmits
    }

    /// Returns how long the client takes to answer, in nanoseconds; 0 if it has not yet.
    pub(super) fn answers_in(&self) -> u64 {
        self.answers_in
    }

    /// Returns how many bytes the client has.
    pub(super) fn bytes(&self) -> u64 {
        match self.last {
            Some((block, end)) if block == self.acked => end,
            _ => self.acked * self.terms.block as u64,
        }
    }

    /// Notes which blocks were sent after [`Action::Send`]. `end` is that of the file, if the last of them ends it.
    pub(super) fn went(&mut self, first: u64, blocks: u16, end: Option<u64>) {
        let sent = first - 1 + u64::from(blocks);
        let again = (self.highest + 1).saturating_sub(first).min(blocks.into());
        self.retransmits += again as u32;
        self.sent = sent;
        self.highest = self.highest.max(sent);
        self.last = end.map(|end| (sent, end)).or(self.last);
    }

    /// Takes an acknowledgement.
    pub(super) fn on_ack(&mut self, number: u16, now: u64) -> Action {
        if self.offered {
            if number != 0 {
                return Action::Nothing;
            }
            self.offered = false;
            self.came_on(now);
            return self.go_on(now);
        }
        // Less than a window lies between, so the low bits tell which block it is.
        let further = u64::from(number.wrapping_sub(self.acked as u16));
        if further > self.sent - self.acked {
            return Action::Nothing;
        }
        if further == 0 {
            // Without windows it is always an echo: whoever answers it becomes the sorcerer's apprentice (RFC 1123).
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
            // What was sent twice is acknowledged twice. Who answers the echo too sends all the rest twice.
            self.repeated = false;
            self.echoes_until = if clean { 0 } else { now + self.echo() };
            self.go_on(now)
        } else {
            self.on_gap(now)
        }
    }

    /// Takes an acknowledgement that is not of the whole window: a block of it got lost, and the client says from where
    /// on it wants them again (RFC 7440). Or it is an echo.
    fn on_gap(&mut self, now: u64) -> Action {
        if now < self.echoes_until {
            // The client counts its next window from here, so what that window lacks goes out, and nothing twice.
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

    /// Takes an error of the client.
    pub(super) fn on_error(&self) -> Action {
        Action::Finish(if self.offered && self.terms.asked_size { End::Probed } else { End::Aborted })
    }

    /// Takes the passing of time.
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

    /// Takes the same request once more: the client has not seen our answer.
    pub(super) fn on_same_request(&mut self, now: u64) -> Action {
        // Whoever forges requests gets no more answers than time allows.
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
            // The client is bound by its wish only once it has seen that we agree.
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
