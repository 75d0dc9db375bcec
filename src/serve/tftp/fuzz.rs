//! Fuzzes the TFTP service with arbitrary packets.

use super::machine::{Action, End, Machine, agree};
use super::packet::{self, HEAD, Packet, Request};
use crate::fuzz::script::Script;

/// The largest block size that fits the path MTU of the tests.
const LARGEST: usize = 1468;
const SECOND: u64 = 1_000_000_000;
/// The longest client timeout: twice the largest `timeout` option (RFC 2349), plus a second.
const LONGEST: u64 = (2 * 255 + 1) * SECOND;

/// Parses one packet.
pub(crate) fn packet(data: &[u8]) {
    match packet::parse(data) {
        Ok(Packet::Read(Request { name, mode: _, options })) => {
            assert!(!name.contains(&0) && name.len() <= data.len());
            assert!(options.len() <= 4, "each option once");
        }
        Ok(Packet::Write(name)) => assert!(!name.contains(&0)),
        Ok(Packet::Error { code: _, text }) => assert!(!text.contains('\0')),
        Ok(Packet::Ack(_) | Packet::Stray) => {}
        Err(malformed) => {
            // The error text must not itself parse as a packet that gets a reply.
            let error = packet::error(packet::ILLEGAL, &malformed.to_string());
            assert!(matches!(packet::parse(&error), Ok(Packet::Error { .. })));
            assert!(error.len() < 64, "{} bytes", error.len());
        }
    }
}

/// A transfer driven as the engine drives it, and what it has sent.
struct Sender {
    machine: Machine,
    length: u64,
    now: u64,
    /// Packets and bytes sent before the client has answered; its address may be spoofed.
    unasked: (usize, usize),
}

impl Sender {
    /// Performs an action; returns the result if the transfer has ended.
    fn perform(&mut self, what: Action) -> Option<End> {
        let terms = self.machine.terms();
        let (block, window) = (terms.block as u64, terms.window);
        let (packets, bytes) = match what {
            Action::Nothing => return None,
            Action::Finish(end) => return Some(end),
            Action::Offer => {
                let offer = packet::options(&terms.answer);
                assert_eq!(packet::parse(&offer), Ok(Packet::Stray), "nobody answers an answer");
                (1, offer.len())
            }
            Action::Send { first, most } => {
                assert!((1..=window).contains(&most), "{most} blocks in a window of {window}");
                let last = self.length / block + 1;
                assert!(first <= last, "block {first} of {last}");
                let until = last.min(first - 1 + u64::from(most));
                let end = (until == last).then_some(self.length);
                let blocks = u16::try_from(until + 1 - first).expect("a window is smaller");
                self.machine.went(first, blocks, end);
                let bytes = usize::from(blocks) * (HEAD + usize::try_from(block).expect("it is small"));
                (usize::from(blocks), bytes)
            }
        };
        if !self.machine.confirmed() {
            self.unasked = (self.unasked.0 + packets, self.unasked.1 + bytes);
        }
        None
    }
}

/// Sends a file to a client that follows a script. A client that has never answered gets few packets, no client gets
/// more than its window at once, and a silent client times out.
pub(crate) fn transfer(data: &[u8]) {
    let mut script = Script::new(data);
    let requested = script.piece();
    let Ok(Packet::Read(request)) = packet::parse(requested) else { return };
    let length = u64::from(script.number()) << script.one_of(&[0, 4, 10, 26]);
    let terms = agree(&request, LARGEST, Some(length));
    assert!((8..=LARGEST).contains(&terms.block) && (1..=64).contains(&terms.window));
    // Each option that was asked for is answered with a number of at most 20 digits.
    assert!(packet::options(&terms.answer).len() <= requested.len() + 4 * 20);
    let (machine, first) = Machine::start(terms, 0);
    let mut sender = Sender { machine, length, now: 0, unasked: (0, 0) };
    assert_eq!(sender.perform(first), None);
    while !script.is_over() {
        let what = script.byte();
        sender.now += u64::from(script.number()) * if what & 0x80 == 0 { 10_000 } else { 1_000_000 };
        // The engine calls `on_time` once the deadline has passed.
        let mut follows = match sender.now >= sender.machine.deadline() {
            true => sender.machine.on_time(sender.now),
            false => Action::Nothing,
        };
        if let Some(end) = sender.perform(follows) {
            return ended(&sender, end);
        }
        follows = match what & 7 {
            // The latest block, the most common acknowledgement.
            0..=3 => {
                let ahead = script.byte().into();
                let number = (sender.machine.bytes() / sender.machine.terms().block as u64) as u16;
                sender.machine.on_ack(number.wrapping_add(ahead), sender.now)
            }
            4 => sender.machine.on_ack(script.number(), sender.now),
            5 => sender.machine.on_same_request(sender.now),
            6 => sender.machine.on_time(sender.now),
            _ => match packet::parse(script.piece()) {
                Ok(Packet::Ack(number)) => sender.machine.on_ack(number, sender.now),
                Ok(Packet::Error { .. }) => sender.machine.on_error(),
                _ => Action::Nothing,
            },
        };
        if let Some(end) = sender.perform(follows) {
            return ended(&sender, end);
        }
        assert!(sender.machine.bytes() <= length);
        let (packets, bytes) = sender.unasked;
        // The first packet, those of timeouts, and one for each quarter of a second in which the request is repeated.
        assert!(packets <= 8 + 40, "{packets} packets to who never answered");
        assert!(
            bytes <= packets * (512 + HEAD).max(requested.len() + 4 * 20),
            "{bytes} bytes to who never answered"
        );
    }
    // From here on, the client is silent.
    let silent = sender.now;
    for _ in 0..10_000 {
        sender.now = sender.machine.deadline().max(sender.now);
        let follows = sender.machine.on_time(sender.now);
        if let Some(end) = sender.perform(follows) {
            assert_eq!(end, End::Vanished);
            assert!(sender.now <= silent + LONGEST, "{} s", (sender.now - silent) / SECOND);
            return;
        }
    }
    panic!("a silent client is never forgotten");
}

fn ended(sender: &Sender, end: End) {
    let Sender { machine, length, .. } = sender;
    match end {
        End::Sent => assert_eq!(machine.bytes(), *length, "the client has all of it"),
        End::Probed | End::Aborted | End::Vanished => assert!(machine.bytes() <= *length),
    }
}
