use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::bmc::fuzz::bmc;
use crate::bmc::ipmi::server::Settings;

/// A BMC and QEMU's side of its interface.
struct Bench {
    server: Server,
    bmc: Bmc,
    in_band: InBand,
    number: u8,
}

impl Bench {
    fn new() -> Self {
        let server = Server::new(Settings::default());
        Self { server, bmc: bmc(), in_band: InBand::default(), number: 0 }
    }

    fn receive(&mut self, bytes: &[u8]) -> Vec<u8> {
        let now = Now { up: Duration::from_secs(1), unix: 1_700_000_000 };
        self.in_band.receive(&self.server, &mut self.bmc, now, bytes)
    }

    /// Sends a command as QEMU does; returns its completion code and data.
    #[track_caller]
    fn ask(&mut self, function: u8, code: u8, data: &[u8]) -> (u8, Vec<u8>) {
        self.number = self.number.wrapping_add(1);
        let sent = self.receive(&encode([&[self.number, function << 2, code], data].concat()));
        let mut framing = Framing::default();
        let frames: Vec<Frame> = sent.iter().filter_map(|byte| framing.push(*byte)).collect();
        let [frame] = &frames[..] else { panic!("one response: {frames:?}") };
        let response = Message::parse(frame).expect("a response");
        assert_eq!((response.number, response.function, response.code), (self.number, function | 1, code));
        let (completion, data) = response.data.split_first().expect("a completion code");
        (*completion, data.to_vec())
    }

    /// Sends a command that must succeed.
    #[track_caller]
    fn succeeds(&mut self, function: u8, code: u8, data: &[u8]) -> Vec<u8> {
        let (completion, data) = self.ask(function, code, data);
        assert_eq!(completion, 0);
        data
    }
}

/// What QEMU 7.2 sends when it connects: its version, its capabilities.
const GREETING: [u8; 6] = [0xFF, 0x01, 0xA1, 0x08, 0x3F, 0xA1];

#[test]
fn qemu_greets_and_a_system_asks_for_the_device_id() {
    let mut bench = Bench::new();
    assert_eq!(bench.receive(&GREETING), b"");
    let sent = bench.receive(&[0x07, 0x18, 0x01, 0xE0, 0xA0]);
    assert_eq!(sent[..5], [0x07, 0x1C, 0x01, 0x00, 0x20]);
    assert_eq!(sent.last(), Some(&0xA0));
    assert_eq!(sum(&sent[..sent.len() - 1]), 0);
}

#[test]
fn bytes_that_end_something_are_escaped_both_ways() {
    let mut bench = Bench::new();
    // Set ACPI Power State with the bytes A0h and AAh, of which bit 7 says that they are to be kept.
    let request = encode(vec![0xA1, 0x18, 0x06, 0xA0, 0xAA]);
    assert_eq!(request, [0xAA, 0xB1, 0x18, 0x06, 0xAA, 0xB0, 0xAA, 0xBA, 0xF7, 0xA0]);
    assert_eq!(bench.receive(&request), [0xAA, 0xB1, 0x1C, 0x06, 0x00, 0x3D, 0xA0]);
    assert_eq!(bench.succeeds(0x06, 0x07, &[]), [0x20, 0x2A]);
}

#[test]
fn what_a_predecessor_left_incomplete_is_no_part_of_the_next_message() {
    for rest in [&[0x07, 0x18][..], &[0x07, 0xAA], &[0xAA], &[0x00; 400]] {
        let mut bench = Bench::new();
        assert_eq!(bench.receive(rest), b"");
        assert_eq!(bench.receive(&GREETING), b"");
        bench.succeeds(0x06, 0x01, &[]);
    }
}

#[test]
fn damaged_messages_get_no_answer_and_long_ones_are_refused() {
    let mut bench = Bench::new();
    for damaged in [
        &[0xA0][..],
        &[0x00, 0xA0],
        &[0x01, 0x18, 0x01, 0xA0],
        &[0x07, 0x18, 0x01, 0xE1, 0xA0],
        // An escape without its byte.
        &[0x07, 0x18, 0x01, 0xE0, 0xAA, 0xA0],
    ] {
        assert_eq!(bench.receive(damaged), b"", "{damaged:02x?}");
    }
    assert_eq!(bench.ask(0x06, 0x01, &[0; 600]), (0xC6, vec![]));
    // The longest that is none too many is an ordinary command.
    assert_eq!(bench.ask(0x06, 0x3F, &[0; LONGEST - 4]), (0xC1, vec![]));
    assert_eq!(bench.ask(0x06, 0x3F, &[0; LONGEST - 3]), (0xC6, vec![]));
}

#[test]
fn responses_and_other_logical_units_are_refused() {
    let mut bench = Bench::new();
    assert_eq!(bench.ask(0x07, 0x01, &[]), (0xC1, vec![]));
    let refused = bench.receive(&encode(vec![1, 0x18 | 2, 0x01]));
    assert_eq!(refused, encode(vec![1, 0x1C | 2, 0x01, 0xC2]));
}

#[test]
fn a_system_needs_no_password_and_shares_the_state_with_the_network() {
    let mut bench = Bench::new();
    // User 4 is named, gets a password, is an operator on the network, and is enabled.
    bench.succeeds(0x06, 0x45, &[&[4], &b"guest\0\0\0\0\0\0\0\0\0\0\0"[..]].concat());
    bench.succeeds(0x06, 0x47, &[&[4, 2], &b"from-the-guest\0\0"[..]].concat());
    bench.succeeds(0x06, 0x43, &[0x91, 4, 3, 0]);
    bench.succeeds(0x06, 0x47, &[4, 1]);
    let (id, user) = bench.bmc.users.named(b"guest").expect("a user");
    assert_eq!(
        (id, user.password.bytes(), user.level),
        (4, &b"from-the-guest"[..], Some(Privilege::Operator))
    );
    assert!(user.is_enabled && user.has_messaging);
    // Sessions on the network end with what they were opened by.
    bench.bmc.take_ended();
    for (function, code, data, ended) in [
        (0x06, 0x43, &[0x91, 4, 4, 0][..], &[][..]),
        (0x06, 0x43, &[0x91, 4, 3, 0], &[4]),
        (0x06, 0x43, &[0x81, 4, 3, 0], &[4]),
        (0x06, 0x43, &[0x91, 4, 3, 0], &[]),
        (0x06, 0x47, &[4, 0], &[4]),
        (0x06, 0x47, &[4, 1], &[]),
        (0x06, 0x45, b"\x04guest\0\0\0\0\0\0\0\0\0\0\0", &[]),
        (0x06, 0x45, b"\x04other\0\0\0\0\0\0\0\0\0\0\0", &[4]),
    ] {
        bench.succeeds(function, code, data);
        assert_eq!(bench.bmc.take_ended(), ended, "{code:02x} {data:02x?}");
    }
    // An entry of the log; the BMC says when.
    let entry = [0, 0, 2, 0, 0, 0, 0, 0x41, 0, 4, 1, 1, 0x01, 0, 0, 0];
    bench.succeeds(0x0A, 0x44, &entry);
    // An event of a sensor, as `ipmitool event 1` and a kernel that panics send it.
    bench.succeeds(0x04, 0x02, &[0x41, 0x04, 0x01, 0x30, 0x01, 0x59, 0x00]);
    let records: Vec<_> = bench.bmc.log.entries().map(|entry| entry.record()[7..].to_vec()).collect();
    assert_eq!(records, [[0x41, 0, 4, 1, 1, 0x01, 0, 0, 0], [0x41, 0, 4, 1, 0x30, 0x01, 0x59, 0, 0xFF]]);
    assert_eq!(bench.ask(0x04, 0x02, &[0x41, 0x04, 0x01, 0x30, 0x01]), (0xC7, vec![]));
    // The network's place.
    assert_eq!(bench.succeeds(0x0C, 0x02, &[1, 3, 0, 0]), [0x11, 10, 0, 3, 11]);
}

#[test]
fn channels_are_those_of_the_network_and_of_the_system() {
    let mut bench = Bench::new();
    for channel in 0..=0x0F {
        let (completion, data) = bench.ask(0x06, 0x42, &[channel]);
        let found = (completion, data.first().copied(), data.get(1).copied());
        let wanted = match channel {
            1 => (0, Some(1), Some(0x04)),
            // Eh is the channel that is asked over.
            0x0E | 0x0F => (0, Some(0x0F), Some(0x0C)),
            _ => (0xCC, None, None),
        };
        assert_eq!(found, wanted, "channel {channel:x}");
    }
    // Logins are possible over the network only.
    assert_eq!(bench.succeeds(0x06, 0x38, &[0x81, 4]), [1, 0x80, 4, 2, 0, 0, 0, 0]);
    assert_eq!(bench.ask(0x06, 0x38, &[0x8E, 4]), (0xCC, vec![]));
    assert_eq!(bench.succeeds(0x06, 0x54, &[1, 0, 0x80])[..3], [1, 0xC0, 0x03]);
    assert_eq!(bench.ask(0x06, 0x54, &[0x0F, 0, 0x80]), (0xCC, vec![]));
    assert_eq!(bench.ask(0x06, 0x54, &[]), (0xC7, vec![]));
}

#[test]
fn a_driver_finds_what_it_asks_for_when_it_starts() {
    let mut bench = Bench::new();
    // The interface is KCS, version 1, with messages of any length; there is no other.
    assert_eq!(bench.succeeds(0x06, 0x57, &[1]), [0, 0, 0xFF]);
    assert_eq!(bench.ask(0x06, 0x57, &[0]), (0xCC, vec![]));
    // Linux: enables as written, no messages, no events, no flags.
    assert_eq!(bench.succeeds(0x06, 0x2F, &[]), [0x09]);
    bench.succeeds(0x06, 0x2E, &[0x0C]);
    assert_eq!(bench.succeeds(0x06, 0x2F, &[]), [0x0C]);
    bench.succeeds(0x06, 0x30, &[0x08]);
    assert_eq!(bench.succeeds(0x06, 0x31, &[]), [0]);
    assert_eq!(bench.ask(0x06, 0x33, &[]), (0x80, vec![]));
    assert_eq!(bench.ask(0x06, 0x35, &[]), (0x80, vec![]));
    assert_eq!(bench.succeeds(0x06, 0x08, &[]).len(), 16);
}

proptest! {
    #[test]
    fn messages_survive(data in prop::collection::vec(any::<u8>(), 4..=LONGEST - 1)) {
        let mut framing = Framing::default();
        let encoded = encode(data.clone());
        let (end, rest) = encoded.split_last().expect("an end");
        prop_assert!(rest.iter().all(|byte| framing.push(*byte).is_none()));
        let frame = framing.push(*end).expect("a message");
        prop_assert!(frame.is_whole);
        let (checksum, bytes) = frame.bytes.split_last().expect("a checksum");
        prop_assert_eq!(bytes, &data);
        prop_assert_eq!(checksum.wrapping_add(sum(&data)), 0);
    }

    #[test]
    fn any_bytes_in_any_pieces(bytes: Vec<u8>, at: prop::sample::Index) {
        let (mut whole, mut parts) = (Bench::new(), Bench::new());
        let (first, second) = bytes.split_at(at.index(bytes.len() + 1));
        let sent = [parts.receive(first), parts.receive(second)].concat();
        prop_assert_eq!(whole.receive(&bytes), sent);
        let mut bench = Bench::new();
        fuzz(&bench.server, &mut bench.bmc, &mut bench.in_band, Now::default(), &bytes);
    }
}
