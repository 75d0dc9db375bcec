//! The end of the BMC: output of the machine to the console, what is typed to the machine.

use std::time::Duration;

use super::packet::{Operation, Packet, Status, acknowledgement};
use super::sender::Sender;

use super::super::window;
pub use super::sender::Rules;

/// Clients take the first packet after their Activate Payload for its answer, and networks reorder packets.
const SETTLE: Duration = Duration::from_millis(50);

/// Which packets of the console are taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SolOrder {
    /// Those with another sequence number than the last one.
    Any,
    /// Those with the sequence number after the last one, as faulty BMCs do; others are dropped.
    Next,
}

/// What a packet of the console brought.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Heard {
    /// Characters that were typed.
    pub typed: Vec<u8>,
    /// Whether to send a break to the machine.
    pub send_break: bool,
    /// The acknowledgement to send.
    pub reply: Option<Vec<u8>>,
}

/// The end of the BMC.
#[derive(Debug)]
pub struct BmcEnd {
    sender: Sender,
    order: SolOrder,
    /// The last sequence number that was accepted, and how many characters.
    last: Option<(u8, u8)>,
    /// The session sequence number of the newest packet; older ones were overtaken.
    newest: Option<u32>,
    /// Characters were lost, and the console does not know yet.
    overrun: bool,
}

impl BmcEnd {
    /// Starts when the answer to Activate Payload is sent.
    pub fn new(now: Duration, order: SolOrder, rules: Rules) -> Self {
        Self { sender: Sender::new(rules, now + SETTLE), order, last: None, newest: None, overrun: false }
    }

    /// Returns how many characters of output may come before some are lost.
    pub fn room(&self) -> usize {
        self.sender.room()
    }

    /// Takes output of the machine.
    pub fn output(&mut self, now: Duration, characters: &[u8]) {
        self.overrun |= self.sender.push(now, characters) > 0;
    }

    /// Takes a payload from the console; `number` is its sequence number in the session.
    pub fn receive(&mut self, now: Duration, number: u32, payload: &[u8]) -> Heard {
        let mut heard = Heard::default();
        let Some(packet) = Packet::<Operation>::parse(payload) else { return heard };
        if self.newest.is_some_and(|newest| !window::is_after(number, newest)) {
            return heard;
        }
        self.newest = Some(number);
        self.sender.release(now);
        if packet.acknowledged != 0 {
            self.sender.acknowledged(now, packet.acknowledged, packet.accepted);
        }
        self.sender.pause(packet.flags.pause);
        if packet.flags.flush_outbound {
            self.sender.flush();
        }
        match (packet.sequence, self.last) {
            // Only an acknowledgement, or a break of a client that wants none.
            (0, _) => heard.send_break = packet.flags.send_break,
            (sequence, Some((last, accepted))) if sequence == last => {
                heard.reply = Some(acknowledgement::<Status>(sequence, accepted));
            }
            (sequence, Some((last, _))) if self.order == SolOrder::Next && sequence != last % 15 + 1 => {}
            (sequence, _) => {
                let accepted = packet.characters.len() as u8;
                heard.send_break = packet.flags.send_break;
                heard.typed = packet.characters.to_vec();
                heard.reply = Some(acknowledgement::<Status>(sequence, accepted));
                self.last = Some((sequence, accepted));
            }
        }
        heard
    }

    /// Returns the payload that is to be sent now; call until there is none.
    pub fn poll(&mut self, now: Duration) -> Option<Vec<u8>> {
        self.overrun |= self.sender.give_up(now);
        let sending = self.sender.poll(now)?;
        let flags = Status { overrun: std::mem::take(&mut self.overrun), ..Status::default() };
        let packet = Packet {
            sequence: sending.sequence,
            acknowledged: 0,
            accepted: 0,
            flags,
            characters: &sending.characters,
        };
        Some(packet.encode())
    }

    /// Returns when to poll next.
    pub fn due(&self) -> Option<Duration> {
        self.sender.due()
    }

    /// Encodes the last packet: Serial over LAN was deactivated.
    pub fn inactive() -> Vec<u8> {
        let flags = Status { inactive: true, ..Status::default() };
        Packet { sequence: 0, acknowledged: 0, accepted: 0, flags, characters: &[] }.encode()
    }
}
