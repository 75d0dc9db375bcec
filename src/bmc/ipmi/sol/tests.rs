//! Each end alone, with packets as clients and BMCs send them.

use std::time::Duration;

use super::bmc::{BmcEnd, Heard, Rules, SolOrder};
use super::console::{ConsoleEnd, Lost};

const RULES: Rules = Rules {
    largest: 8,
    accumulate: Duration::from_millis(10),
    threshold: 8,
    retries: 2,
    retry_interval: Duration::from_millis(100),
    buffer: 32,
};

fn at(milliseconds: u64) -> Duration {
    Duration::from_millis(milliseconds)
}

/// An end of a BMC that a console has talked to, so that it may send at once.
fn bmc() -> BmcEnd {
    let mut end = BmcEnd::new(at(0), SolOrder::Any, RULES);
    assert_eq!(end.receive(at(0), 1, &[0, 0, 0, 0]), Heard::default());
    end
}

fn packet(head: [u8; 4], characters: &[u8]) -> Option<Vec<u8>> {
    Some([&head[..], characters].concat())
}

#[test]
fn nothing_is_sent_right_behind_the_answer_to_activate() {
    let mut end = BmcEnd::new(at(1000), SolOrder::Any, RULES);
    end.output(at(1000), b"12345678");
    assert_eq!(end.poll(at(1049)), None);
    assert_eq!(end.due(), Some(at(1050)));
    assert_eq!(end.poll(at(1050)), packet([1, 0, 0, 0], b"12345678"));
}

#[test]
fn characters_are_collected() {
    let mut end = bmc();
    end.output(at(0), b"a");
    end.output(at(5), b"b");
    assert_eq!(end.poll(at(9)), None);
    assert_eq!(end.poll(at(10)), packet([1, 0, 0, 0], b"ab"));
}

#[test]
fn one_packet_at_a_time_is_repeated_unchanged_and_dropped_at_last() {
    let mut end = bmc();
    end.output(at(0), b"12345678");
    let first = packet([1, 0, 0, 0], b"12345678");
    assert_eq!(end.poll(at(0)), first);
    end.output(at(1), b"next");
    assert_eq!(end.poll(at(99)), None);
    assert_eq!(end.poll(at(100)), first);
    assert_eq!(end.poll(at(200)), first);
    // Overrun is told with the next packet.
    assert_eq!(end.poll(at(300)), packet([2, 0, 0, 8], b"next"));
    assert_eq!(end.receive(at(301), 2, &[0, 2, 4, 0]), Heard::default());
    end.output(at(302), b"x");
    assert_eq!(end.poll(at(312)), packet([3, 0, 0, 0], b"x"));
}

#[test]
fn the_rest_of_a_partly_accepted_packet_has_a_new_number() {
    let mut end = bmc();
    end.output(at(0), b"12345678");
    assert_eq!(end.poll(at(0)), packet([1, 0, 0, 0], b"12345678"));
    end.receive(at(1), 2, &[0, 1, 5, 0x40]);
    assert_eq!(end.poll(at(11)), packet([2, 0, 0, 0], b"678"));
    // Nothing accepted: not again before the interval is over.
    end.receive(at(20), 3, &[0, 2, 0, 0x40]);
    assert_eq!(end.poll(at(119)), None);
    assert_eq!(end.poll(at(120)), packet([3, 0, 0, 0], b"678"));
}

#[test]
fn acknowledgements_of_other_packets_are_ignored() {
    let mut end = bmc();
    end.output(at(0), b"12345678");
    assert!(end.poll(at(0)).is_some());
    end.receive(at(1), 2, &[0, 7, 8, 0]);
    assert_eq!(end.poll(at(100)), packet([1, 0, 0, 0], b"12345678"));
}

#[test]
fn a_paused_console_gets_nothing_and_loses_nothing() {
    let mut end = bmc();
    end.receive(at(0), 2, &[0, 0, 0, 0x08]);
    end.output(at(0), b"12345678");
    assert_eq!((end.poll(at(5000)), end.due()), (None, None));
    end.receive(at(5000), 3, &[0, 0, 0, 0]);
    assert_eq!(end.poll(at(5000)), packet([1, 0, 0, 0], b"12345678"));
}

#[test]
fn flushing_forgets_what_was_not_sent() {
    let mut end = bmc();
    end.output(at(0), b"12345678 and more");
    assert!(end.poll(at(0)).is_some());
    end.receive(at(1), 2, &[0, 1, 8, 0x01]);
    assert_eq!((end.poll(at(1000)), end.due()), (None, None));
}

#[test]
fn typed_characters_are_taken_once_with_any_new_number() {
    let mut end = bmc();
    let heard = end.receive(at(1), 2, &[9, 0, 0, 0, b'h', b'i']);
    let reply = packet([0, 9, 2, 0], &[]);
    assert_eq!(heard, Heard { typed: b"hi".to_vec(), send_break: false, reply: reply.clone() });
    assert_eq!(end.receive(at(2), 3, &[9, 0, 0, 0, b'h', b'i']), Heard { reply, ..Heard::default() });
    assert_eq!(end.receive(at(3), 4, &[3, 0, 0, 0, b'!']).typed, b"!");
    // A repetition that the network delayed.
    assert_eq!(end.receive(at(4), 2, &[9, 0, 0, 0, b'h', b'i']), Heard::default());
}

#[test]
fn breaks() {
    let mut end = bmc();
    let reply = packet([0, 4, 0, 0], &[]);
    assert_eq!(end.receive(at(1), 2, &[4, 0, 0, 0x10]), Heard { send_break: true, reply, typed: vec![] });
    assert!(!end.receive(at(1), 3, &[4, 0, 0, 0x10]).send_break);
    // A client that wants no acknowledgement.
    assert!(end.receive(at(1), 4, &[0, 0, 0, 0x10]).send_break);
}

#[test]
fn sequence_numbers_wrap_to_one() {
    let mut end = bmc();
    let mut numbers = Vec::new();
    for round in 0..17 {
        end.output(at(round), b"12345678");
        let sequence = end.poll(at(round)).unwrap()[0];
        numbers.push(sequence);
        end.receive(at(round), 2 + round as u32, &[0, sequence, 8, 0]);
    }
    assert_eq!(numbers, (1..=15).chain([1, 2]).collect::<Vec<_>>());
}

#[test]
fn the_console_shows_only_the_new_tail_of_a_repetition() {
    let mut end = ConsoleEnd::new(RULES);
    assert_eq!(end.receive(at(0), 1, &[1, 0, 0, 0, b'a', b'b']).output, b"ab");
    let grown = end.receive(at(1), 2, &[1, 0, 0, 0, b'a', b'b', b'c']);
    assert_eq!((grown.output, grown.reply), (b"c".to_vec(), packet([0, 1, 3, 0], &[])));
    assert_eq!(end.receive(at(2), 3, &[2, 0, 0, 0, b'a', b'b']).output, b"ab");
    // A repetition that the network delayed.
    assert_eq!(end.receive(at(3), 2, &[1, 0, 0, 0, b'a', b'b', b'c']).reply, None);
}

#[test]
fn a_silent_bmc_is_noticed_when_typing() {
    let mut end = ConsoleEnd::new(RULES);
    assert_eq!(end.type_in(at(0), b"12345678901234567890123456789012345"), 3);
    assert!(!end.is_idle());
    for time in [0, 100, 200] {
        assert_eq!(end.poll(at(time)), Ok(packet([1, 0, 0, 0], b"12345678")));
    }
    assert_eq!(end.poll(at(300)), Err(Lost));
}

#[test]
fn a_strict_bmc_drops_packets_out_of_sequence() {
    let mut end = BmcEnd::new(at(0), SolOrder::Next, RULES);
    assert_eq!(end.receive(at(0), 1, &[14, 0, 0, 0, b'a']).typed, b"a");
    assert_eq!(end.receive(at(1), 2, &[1, 0, 0, 0, b'b']), Heard::default(), "15 comes first");
    assert_eq!(end.receive(at(2), 3, &[15, 0, 0, 0, b'c']).typed, b"c");
    assert_eq!(end.receive(at(3), 4, &[1, 0, 0, 0, b'd']).typed, b"d");
    let again = end.receive(at(4), 5, &[1, 0, 0, 0, b'd']);
    assert!(again.typed.is_empty() && again.reply.is_some(), "a repetition is acknowledged");
}
