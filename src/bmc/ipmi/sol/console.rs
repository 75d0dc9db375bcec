//! The end of the console: what is typed to the BMC, output of the machine to the user.

use std::time::Duration;

use super::packet::{Operation, Packet, Status, acknowledgement};
use super::sender::{Sender, Signal};

use super::super::window;
pub use super::sender::Rules;

/// What a packet of the BMC brought.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Shown {
    /// Output of the machine.
    pub output: Vec<u8>,
    /// What else the BMC tells.
    pub status: Status,
    /// The acknowledgement to send.
    pub reply: Option<Vec<u8>>,
}

/// The end of the console.
#[derive(Debug)]
pub struct ConsoleEnd {
    sender: Sender,
    /// The last sequence number that was accepted, and how many characters.
    last: Option<(u8, usize)>,
    /// The session sequence number of the newest packet; older ones were overtaken.
    newest: Option<u32>,
}

impl ConsoleEnd {
    /// Starts when the answer to Activate Payload came.
    pub fn new(rules: Rules) -> Self {
        Self { sender: Sender::new(rules, Duration::ZERO), last: None, newest: None }
    }

    /// Takes characters that were typed; returns how many did not fit and were dropped.
    pub fn type_in(&mut self, now: Duration, characters: &[u8]) -> usize {
        let fitting = characters.len().min(self.sender.room());
        self.sender.push(now, characters.get(..fitting).unwrap_or_default());
        characters.len() - fitting
    }

    /// Sends a break.
    pub fn send_break(&mut self) {
        self.sender.push_break();
    }

    /// Tells whether the BMC has everything that was typed.
    pub fn is_idle(&self) -> bool {
        self.sender.is_idle()
    }

    /// Takes a payload from the BMC; `number` is its sequence number in the session.
    pub fn receive(&mut self, now: Duration, number: u32, payload: &[u8]) -> Shown {
        let mut shown = Shown::default();
        let Some(packet) = Packet::<Status>::parse(payload) else { return shown };
        if self.newest.is_some_and(|newest| !window::is_after(number, newest)) {
            return shown;
        }
        self.newest = Some(number);
        shown.status = packet.flags;
        if packet.acknowledged != 0 {
            self.sender.acknowledged(now, packet.acknowledged, packet.accepted);
        }
        if packet.sequence == 0 {
            return shown;
        }
        // A repetition may have grown: only its tail is new.
        let known = match self.last {
            Some((last, length)) if last == packet.sequence => length,
            Some(_) | None => 0,
        };
        shown.output = packet.characters.get(known..).unwrap_or_default().to_vec();
        self.last = Some((packet.sequence, known.max(packet.characters.len())));
        shown.reply = Some(acknowledgement::<Operation>(packet.sequence, packet.characters.len() as u8));
        shown
    }

    /// Returns the payload that is to be sent now; call until there is none.
    ///
    /// # Errors
    ///
    /// [`Lost`] if the BMC acknowledged none of the repetitions.
    pub fn poll(&mut self, now: Duration) -> Result<Option<Vec<u8>>, Lost> {
        if self.sender.give_up(now) {
            return Err(Lost);
        }
        Ok(self.sender.poll(now).map(|sending| {
            let flags = Operation { send_break: sending.signal == Signal::Break, ..Operation::default() };
            let packet = Packet {
                sequence: sending.sequence,
                acknowledged: 0,
                accepted: 0,
                flags,
                characters: &sending.characters,
            };
            packet.encode()
        }))
    }

    /// Returns when to poll next.
    pub fn due(&self) -> Option<Duration> {
        self.sender.due()
    }
}

/// The BMC acknowledges nothing any more: characters that were typed are lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lost;
