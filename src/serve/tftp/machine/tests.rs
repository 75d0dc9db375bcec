use std::cmp::Reverse;
use std::collections::BinaryHeap;

use proptest::prelude::*;

use super::*;

fn request(options: &[(OptionName, u64)]) -> Request {
    Request { name: b"a".to_vec(), mode: Mode::Octet, options: options.to_vec() }
}

fn windows(block: usize, window: u16) -> Negotiated {
    agree(&request(&[(OptionName::BlockSize, block as u64), (OptionName::Window, window.into())]), 1468, None)
}

/// A machine that sends a file of the given size, and what it sent.
struct Sender {
    machine: Machine,
    length: u64,
    now: u64,
}

impl Sender {
    fn start(terms: Negotiated, length: u64) -> (Self, Vec<u64>) {
        let (machine, first) = Machine::start(terms, 0);
        let mut sender = Self { machine, length, now: 0 };
        let blocks = sender.perform(first);
        (sender, blocks)
    }

    /// Performs an action as the engine does; returns the block numbers, 0 for the OACK.
    fn perform(&mut self, what: Action) -> Vec<u64> {
        let Action::Send { first, most } = what else {
            return if what == Action::Offer { vec![0] } else { Vec::new() };
        };
        let block = self.machine.terms().block as u64;
        let last = self.length / block + 1;
        let until = last.min(first - 1 + u64::from(most));
        let end = (until == last).then_some(self.length);
        self.machine.went(first, (until + 1 - first) as u16, end);
        (first..=until).collect()
    }

    fn ack(&mut self, number: u64) -> Vec<u64> {
        self.now += MILLISECOND;
        let follows = self.machine.on_ack(number as u16, self.now);
        self.perform(follows)
    }

    /// Advances the clock until the machine acts; returns after how many milliseconds, and the action.
    fn silence(&mut self) -> (u64, Action) {
        let before = self.now;
        self.now = self.machine.deadline();
        let follows = self.machine.on_time(self.now);
        self.perform(follows);
        ((self.now - before) / MILLISECOND, follows)
    }
}

#[test]
fn options_are_agreed_on() {
    let check = |options: &[(OptionName, u64)]| {
        let Negotiated { block, window, timeout, requested_size: _, answer } =
            agree(&request(options), 1468, Some(7_000));
        format!("{options:?}\n  {block} {window} {timeout:?} {answer:?}")
    };
    use OptionName::{BlockSize, Size, Timeout, Window};
    let lines = [
        check(&[]),
        check(&[(Size, 0), (BlockSize, 1468), (Window, 4)]),
        check(&[(BlockSize, 8192), (Timeout, 3), (Size, 0)]),
        check(&[(BlockSize, 7)]),
        check(&[(BlockSize, 8)]),
        check(&[(BlockSize, 70_000)]),
        check(&[(Window, 65_535)]),
        check(&[(Window, 0), (Timeout, 0)]),
        check(&[(Window, 65_536), (Timeout, 256)]),
        check(&[(Size, 99)]),
    ];
    insta::assert_snapshot!(lines.join("\n"), @"
    []
      512 1 None []
    [(Size, 0), (BlockSize, 1468), (Window, 4)]
      1468 4 None [(Size, 7000), (BlockSize, 1468), (Window, 4)]
    [(BlockSize, 8192), (Timeout, 3), (Size, 0)]
      1468 1 Some(3) [(BlockSize, 1468), (Timeout, 3), (Size, 7000)]
    [(BlockSize, 7)]
      512 1 None []
    [(BlockSize, 8)]
      8 1 None [(BlockSize, 8)]
    [(BlockSize, 70000)]
      1468 1 None [(BlockSize, 1468)]
    [(Window, 65535)]
      512 64 None [(Window, 64)]
    [(Window, 0), (Timeout, 0)]
      512 1 None []
    [(Window, 65536), (Timeout, 256)]
      512 1 None []
    [(Size, 99)]
      512 1 None [(Size, 7000)]
    ");
    let text = Request { mode: Mode::Netascii, ..request(&[(Size, 0)]) };
    assert_eq!(agree(&text, 1468, Some(7_000)).answer, [], "the size of a text is not known before");
}

#[test]
fn without_options_each_block_is_acknowledged() {
    let (mut sender, first) = Sender::start(agree(&request(&[]), 1468, None), 1024);
    assert_eq!(first, [1]);
    assert_eq!(sender.ack(0), [0; 0]);
    assert_eq!(sender.ack(1), [2]);
    assert_eq!(sender.ack(1), [0; 0], "an echo");
    assert_eq!(sender.ack(2), [3], "a multiple of the block size ends with an empty block");
    assert_eq!(sender.ack(7), [0; 0], "this block was never sent");
    assert_eq!(sender.machine.on_ack(3, sender.now), Action::Finish(End::Sent));
    assert_eq!((sender.machine.bytes(), sender.machine.retransmits()), (1024, 0));
}

#[test]
fn numbers_begin_anew_after_65535() {
    let (mut sender, _) = Sender::start(windows(8, 1), 70_000 * 8 + 3);
    for block in 0..=70_000 {
        assert_eq!(sender.ack(block), [block + 1]);
    }
    assert_eq!(sender.machine.on_ack(70_001_u64 as u16, sender.now), Action::Finish(End::Sent));
    assert_eq!(sender.machine.bytes(), 560_003);
}

#[test]
fn a_gap_is_filled_at_once() {
    let (mut sender, _) = Sender::start(windows(1468, 4), 100_000);
    assert_eq!(sender.ack(0), [1, 2, 3, 4]);
    assert_eq!(sender.ack(2), [3, 4, 5, 6], "block 3 got lost");
    assert_eq!(sender.ack(2), [0; 0], "once for each block after the gap, as some clients do");
    assert_eq!(sender.ack(2), [0; 0]);
    assert_eq!(sender.ack(6), [7, 8, 9, 10]);
    assert_eq!(sender.machine.retransmits(), 2);
}

#[test]
fn the_first_block_of_a_window_is_sent_again_too() {
    let (mut sender, _) = Sender::start(windows(1468, 4), 100_000);
    assert_eq!(sender.ack(0), [1, 2, 3, 4]);
    assert_eq!(sender.ack(4), [5, 6, 7, 8]);
    assert_eq!(sender.ack(4), [5, 6, 7, 8], "block 5 got lost");
    assert_eq!(sender.ack(4), [0; 0], "the same for block 7");
    assert_eq!(sender.ack(8), [9, 10, 11, 12]);
    assert_eq!(sender.ack(8), [0; 0], "the echo of what was sent twice");
    assert_eq!(sender.ack(12), [13, 14, 15, 16]);
}

#[test]
fn a_silent_client_is_waited_for_and_forgotten() {
    let ask = |options: &[(OptionName, u64)], acks: &[u64]| {
        let (mut sender, _) = Sender::start(agree(&request(options), 1468, Some(100_000)), 100_000);
        for ack in acks {
            sender.ack(*ack);
        }
        let mut said = Vec::new();
        loop {
            let (ms, follows) = sender.silence();
            said.push(ms.to_string());
            if let Action::Finish(end) = follows {
                return format!("{end:?} after {} ms", said.join(" + "));
            }
            assert!(said.len() < 50);
        }
    };
    use OptionName::{BlockSize, Timeout, Window};
    let lines = [
        ask(&[], &[]),
        ask(&[(BlockSize, 1468)], &[]),
        ask(&[(BlockSize, 1468)], &[0, 1]),
        ask(&[(Window, 8)], &[0, 8]),
        ask(&[(Timeout, 3)], &[]),
        ask(&[(Timeout, 3)], &[0]),
        ask(&[(Timeout, 255)], &[]),
        ask(&[(Timeout, 60)], &[0, 1]),
    ];
    insta::assert_snapshot!(lines.join("\n"), @"
    Vanished after 1000 + 2000 + 4000 + 3000 ms
    Vanished after 1000 + 2000 + 4000 + 3000 ms
    Vanished after 250 + 500 + 1000 + 2000 + 4000 + 2250 ms
    Vanished after 250 + 500 + 1000 + 2000 + 4000 + 2250 ms
    Vanished after 1000 + 2000 + 4000 + 3000 ms
    Vanished after 3000 + 3000 + 3000 + 1000 ms
    Vanished after 1000 + 2000 + 4000 + 3000 ms
    Vanished after 60000 + 60000 + 1000 ms
    ");
}

#[test]
fn who_only_wants_the_size_is_no_failure() {
    use OptionName::{BlockSize, Size};
    let end = |options: &[(OptionName, u64)], acks: &[u64]| {
        let (mut sender, _) = Sender::start(agree(&request(options), 1468, Some(100_000)), 100_000);
        for ack in acks {
            sender.ack(*ack);
        }
        sender.machine.on_error()
    };
    assert_eq!(end(&[(Size, 0), (BlockSize, 1468)], &[]), Action::Finish(End::Probed));
    assert_eq!(end(&[(Size, 0), (BlockSize, 1468)], &[0]), Action::Finish(End::Aborted));
    assert_eq!(end(&[(BlockSize, 1468)], &[]), Action::Finish(End::Aborted));
    assert_eq!(end(&[], &[]), Action::Finish(End::Aborted));
}

#[test]
fn a_forged_address_gets_one_packet_and_few_repetitions() {
    for terms in [agree(&request(&[]), 1468, None), windows(1468, 64)] {
        let (mut sender, first) = Sender::start(terms, 1 << 20);
        assert_eq!(first.len(), 1);
        let mut packets = 1;
        while sender.now < 11 * SECOND {
            // The spoofed request is repeated all the time.
            sender.now += 10 * MILLISECOND;
            let follows = match sender.machine.on_same_request(sender.now) {
                Action::Nothing => sender.machine.on_time(sender.now),
                follows => follows,
            };
            packets += sender.perform(follows).len();
            if let Action::Finish(end) = follows {
                assert_eq!(end, End::Vanished);
                assert!(sender.now <= PATIENCE + 20 * MILLISECOND);
                assert!(packets <= 41, "{packets} packets");
                break;
            }
        }
        assert!(sender.now < 11 * SECOND, "it was never forgotten");
    }
}

/// What happens to one packet.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Fate {
    Arrives,
    Lost,
    Twice,
    Late,
}

/// A client that follows RFC 7440: it acknowledges whole windows, and gaps.
struct Receiver {
    block: u64,
    window: u16,
    /// Number of the last block that it received.
    has: u64,
    since_ack: u16,
    bytes: u64,
    done: bool,
    heard: u64,
    /// Whether it acknowledges a gap for each block after it, or once.
    nags: bool,
    told_gap: bool,
}

impl Receiver {
    fn on_block(&mut self, block: u64, length: u64) -> Option<u16> {
        if block as u16 != (self.has + 1) as u16 {
            if self.told_gap && !self.nags {
                return None;
            }
            self.told_gap = true;
            self.since_ack = 0;
            return Some(self.has as u16);
        }
        assert_eq!(block, self.has + 1, "a number that stands for another block");
        self.told_gap = false;
        self.has = block;
        self.bytes += length;
        self.since_ack += 1;
        self.done |= length < self.block;
        if self.done || self.since_ack == self.window {
            self.since_ack = 0;
            return Some(block as u16);
        }
        None
    }
}

/// A packet in flight: a block with its number and length, the OACK as block 0, or an acknowledgement.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Flying {
    Block(u64, u64),
    Ack(u16),
}

/// A network in which the first packets have these fates and all others arrive.
struct Air<'a> {
    fates: std::slice::Iter<'a, Fate>,
    flying: BinaryHeap<Reverse<(u64, u64, Flying)>>,
    /// How many packets were sent.
    count: u64,
}

impl Air<'_> {
    const LATENCY: u64 = MILLISECOND / 10;

    fn fly(&mut self, now: u64, packet: fn(u64, u64) -> Flying, number: u64, length: u64) {
        self.count += 1;
        assert!(self.count < 1_000_000, "endless");
        let arrivals: &[u64] = match self.fates.next().copied().unwrap_or(Fate::Arrives) {
            Fate::Arrives => &[Self::LATENCY],
            Fate::Lost => &[],
            Fate::Twice => &[Self::LATENCY, Self::LATENCY + 1],
            Fate::Late => &[3 * Self::LATENCY],
        };
        for (copy, after) in (0..).zip(arrivals) {
            self.flying.push(Reverse((now + after, 2 * self.count + copy, packet(number, length))));
        }
    }
}

/// Transfers a file over such a network. Returns the end, how many blocks were sent, and what the client received.
fn transfer(terms: Negotiated, length: u64, fates: &[Fate], nags: bool) -> (End, u64, Receiver) {
    let (block, window) = (terms.block as u64, terms.window);
    let (mut sender, mut blocks) = Sender::start(terms, length);
    let mut client = Receiver {
        block,
        window,
        has: 0,
        since_ack: 0,
        bytes: 0,
        done: false,
        heard: 0,
        nags,
        told_gap: false,
    };
    let mut air = Air { fates: fates.iter(), flying: BinaryHeap::new(), count: 0 };
    let mut sent = 0;
    loop {
        sent += blocks.len() as u64;
        for number in std::mem::take(&mut blocks) {
            let length = if number == 0 { 0 } else { block.min(length - (number - 1) * block) };
            air.fly(sender.now, Flying::Block, number, length);
        }
        let next = air.flying.peek().map_or(u64::MAX, |Reverse((at, ..))| *at);
        let client_waits = client.heard + 2 * SECOND;
        let ack = |number, _| Flying::Ack(number as u16);
        let follows = if next <= sender.machine.deadline().min(client_waits) {
            let Some(Reverse((at, _, packet))) = air.flying.pop() else { unreachable!("it was there") };
            sender.now = at;
            match packet {
                Flying::Block(number, length) => {
                    client.heard = at;
                    let answer = match number {
                        0 => (client.has == 0).then_some(0),
                        number => client.on_block(number, length),
                    };
                    answer.into_iter().for_each(|answer| air.fly(at, ack, answer.into(), 0));
                    continue;
                }
                Flying::Ack(number) => sender.machine.on_ack(number, at),
            }
        } else if client_waits < sender.machine.deadline() && !client.done {
            // A client that receives nothing repeats its last acknowledgement.
            client.heard = client_waits;
            client.since_ack = 0;
            air.fly(client_waits, ack, client.has, 0);
            continue;
        } else {
            sender.now = sender.now.max(sender.machine.deadline());
            sender.machine.on_time(sender.now)
        };
        if let Action::Finish(end) = follows {
            return (end, sent, client);
        }
        blocks = sender.perform(follows);
    }
}

fn any_fates() -> impl Strategy<Value = Vec<Fate>> {
    let fate = prop_oneof![
        20 => Just(Fate::Arrives),
        1 => Just(Fate::Lost),
        1 => Just(Fate::Twice),
        1 => Just(Fate::Late),
    ];
    prop::collection::vec(fate, 0..1000)
}

proptest! {
    #[test]
    fn a_file_arrives_over_any_network(
        blocks in 0..300_u64, rest in 0..8_u64, window in 1..=64_u16, fates in any_fates(), nags: bool,
    ) {
        let length = blocks * 8 + rest;
        let (end, sent, client) = transfer(windows(8, window), length, &fates, nags);
        // The last acknowledgement may get lost, and it is never repeated.
        prop_assert!(end == End::Sent || end == End::Vanished && client.done, "{end:?} at {}", client.has);
        prop_assert_eq!(client.bytes, length);
        let needed = blocks + 2;
        // Each disturbed packet costs a few windows at most.
        let disturbed = fates.iter().filter(|fate| **fate != Fate::Arrives).count() as u64;
        let most = needed + disturbed * 3 * u64::from(window);
        prop_assert!(sent <= most, "{sent} packets for {needed} blocks, at most {most}");
    }

    #[test]
    fn nothing_is_sent_twice_where_nothing_gets_lost(
        length in 0..5_000_u64, window in 1..=64_u16, nags: bool,
    ) {
        let (end, sent, client) = transfer(windows(8, window), length, &[], nags);
        prop_assert_eq!(end, End::Sent);
        prop_assert_eq!((client.bytes, sent), (length, length / 8 + 2));
    }

    /// The sorcerer's apprentice: if the network duplicates every packet, the traffic may double but must not grow
    /// further.
    #[test]
    fn doubled_packets_do_not_multiply(length in 0..20_000_u64, window in 1..=64_u16) {
        let (end, sent, client) = transfer(windows(8, window), length, &[Fate::Twice; 30_000], true);
        prop_assert_eq!(end, End::Sent);
        prop_assert_eq!(client.bytes, length);
        prop_assert!(sent <= 2 * (length / 8 + 2) + 2 * u64::from(window), "{sent}");
    }

    #[test]
    fn whatever_comes_in_nothing_runs_away(
        options in prop::collection::vec((0..4_usize, prop_oneof![0..100_u64, any::<u64>()]), 0..4),
        length in prop_oneof![0..100_000_u64, Just(u64::from(u32::MAX) * 8)],
        inputs in prop::collection::vec((0..4_u8, any::<u16>(), 0..3_000_u64), 0..200),
    ) {
        use OptionName::{BlockSize, Size, Timeout, Window};
        let options: Vec<_> =
            options.iter().map(|(name, value)| ([BlockSize, Timeout, Size, Window][*name], *value)).collect();
        let terms = agree(&request(&options), 1468, Some(length));
        prop_assert!((8..=1468).contains(&terms.block) && (1..=MOST_WINDOW).contains(&terms.window));
        let window = usize::from(terms.window);
        let (mut sender, first) = Sender::start(terms, length);
        prop_assert_eq!(first.len(), 1);
        for (which, number, ms) in inputs {
            sender.now += ms * MILLISECOND;
            let follows = match which {
                0 => sender.machine.on_ack(number, sender.now),
                1 => sender.machine.on_ack(sender.machine.sent as u16, sender.now),
                2 => sender.machine.on_same_request(sender.now),
                _ => sender.machine.on_time(sender.now),
            };
            let blocks = sender.perform(follows);
            prop_assert!(blocks.len() <= window);
            let Machine { acked, sent, highest, .. } = sender.machine;
            prop_assert!(acked <= sent && sent <= highest && sent - acked <= window as u64);
            prop_assert!(sender.machine.bytes() <= length);
            if let Action::Finish(_) = follows {
                break;
            }
        }
    }
}
