//! Serial over LAN between both ends.

use std::time::Duration;

use proptest::prelude::*;

use super::super::client::{Event, Settings, WhenTaken};
use super::super::completion::Completion;
use super::super::privilege::Privilege;
use super::super::server::{self, SolSizes};
use super::channel::{Channel, Faults};

/// Activates the line.
fn activate(channel: &mut Channel) -> Option<Event> {
    channel.client.activate_sol(WhenTaken::Refuse);
    let ends = |event: &Event| matches!(event, Event::SolStarted | Event::SolRefused(_));
    channel.run(Duration::from_secs(60), ends).pop()
}

/// Runs until the output has some length; returns it.
fn output(channel: &mut Channel, length: usize, time: Duration) -> Vec<u8> {
    let mut output = Vec::new();
    let until = channel.now + time;
    while output.len() < length && channel.now < until {
        for event in channel.run(until - channel.now, |event| matches!(event, Event::SolOutput(_))) {
            match event {
                Event::SolOutput(part) => output.extend(part),
                Event::Connected { .. } | Event::SolStarted => {}
                other => panic!("{other:?}"),
            }
        }
    }
    output
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn both_directions_arrive_intact(
        seed: u64, loss in 0u32..8, repeats in 0u32..30, delay in 0u64..80,
        parts in proptest::collection::vec((any::<bool>(), proptest::collection::vec(any::<u8>(), 1..600)), 1..12),
    ) {
        let faults = Faults { loss, repeats, delay: Duration::from_millis(delay) };
        let client = Settings { tries: 20, ..Settings::new("admin", "password", Privilege::Administrator) };
        let mut channel = Channel::new(seed, faults, server::Settings::default(), client);
        prop_assert_eq!(activate(&mut channel), Some(Event::SolStarted));
        let (mut printed, mut typed, mut seen) = (Vec::new(), Vec::new(), Vec::new());
        for (down, part) in parts {
            if down {
                channel.server.output(channel.now, &part);
                printed.extend(part);
            } else {
                prop_assert_eq!(channel.client.type_in(channel.now, &part), 0);
                typed.extend(part);
            }
            seen.extend(output(&mut channel, usize::MAX, Duration::from_millis(150)));
        }
        seen.extend(output(&mut channel, usize::MAX, Duration::from_secs(60)));
        prop_assert!(seen == printed, "{} of {} bytes printed", seen.len(), printed.len());
        prop_assert!(channel.world.typed == typed, "{} of {} bytes typed", channel.world.typed.len(), typed.len());
        prop_assert!(channel.client.has_typed_all());
    }
}

#[test]
fn breaks_arrive_once_and_before_later_characters() {
    let mut channel = Channel::new(
        1,
        Faults { loss: 20, repeats: 20, delay: Duration::from_millis(20) },
        server::Settings::default(),
        Settings::new("admin", "password", Privilege::Administrator),
    );
    assert_eq!(activate(&mut channel), Some(Event::SolStarted));
    channel.client.send_break();
    channel.client.type_in(channel.now, b"h");
    output(&mut channel, 1, Duration::from_secs(20));
    assert_eq!((channel.world.breaks, &channel.world.typed[..]), (1, &b"h"[..]));
}

#[test]
fn a_full_buffer_tells_that_characters_were_lost() {
    let sol = Some(SolSizes { inbound: 255, outbound: 24, buffer: 100 });
    let server = server::Settings { sol, ..server::Settings::default() };
    let faults = Faults { loss: 0, repeats: 0, delay: Duration::from_millis(1) };
    let mut channel =
        Channel::new(2, faults, server, Settings::new("admin", "password", Privilege::Administrator));
    assert_eq!(activate(&mut channel), Some(Event::SolStarted));
    assert_eq!(channel.server.output_room(), Some(100));
    channel.server.output(channel.now, &[b'a'; 60]);
    channel.server.output(channel.now, &[b'b'; 60]);
    assert_eq!(channel.server.output_room(), Some(0));
    let events = channel.run(Duration::from_secs(5), |_| false);
    let told = events.iter().any(|event| matches!(event, Event::SolStatus(status) if status.overrun));
    let seen = events.iter().filter_map(|event| match event {
        Event::SolOutput(part) => Some(&part[..]),
        _ => None,
    });
    assert!(told);
    assert_eq!(seen.collect::<Vec<_>>().concat(), [&[b'a'; 40][..], &[b'b'; 60]].concat());
}

#[test]
fn a_line_without_listeners_ends_with_its_session() {
    let mut channel = Channel::honest(3);
    assert_eq!(activate(&mut channel), Some(Event::SolStarted));
    channel.client.close();
    channel.run(Duration::from_secs(5), |_| false);
    assert_eq!(channel.server.output_room(), None);
}

#[test]
fn no_serial_over_lan() {
    let server = server::Settings { sol: None, ..server::Settings::default() };
    let faults = Faults { loss: 0, repeats: 0, delay: Duration::from_millis(1) };
    let mut channel =
        Channel::new(4, faults, server, Settings::new("admin", "password", Privilege::Administrator));
    assert_eq!(activate(&mut channel), Some(Event::SolRefused(Completion::Other(0x81))));
}

#[test]
fn deactivation_ends_it() {
    let mut channel = Channel::honest(5);
    assert_eq!(activate(&mut channel), Some(Event::SolStarted));
    channel.client.deactivate_sol();
    let events = channel.run(Duration::from_secs(1), |event| *event == Event::SolEnded);
    assert_eq!(events.last(), Some(&Event::SolEnded));
    channel.client.deactivate_sol();
    let events = channel.run(Duration::from_secs(1), |event| matches!(event, Event::SolRefused(_)));
    assert_eq!(events.last(), Some(&Event::SolRefused(Completion::Other(0x80))));
}

#[test]
fn whoever_takes_it_over_is_told_and_the_other_too() {
    let mut channel = Channel::honest(6);
    assert_eq!(activate(&mut channel), Some(Event::SolStarted));
    let mut other = channel.other_client();
    other.activate_sol(WhenTaken::Refuse);
    let ends = |event: &Event| matches!(event, Event::SolStarted | Event::SolRefused(_));
    let refused = channel.run_other(&mut other, ends);
    assert_eq!(refused.last(), Some(&Event::SolRefused(Completion::Other(0x80))));
    other.activate_sol(WhenTaken::TakeOver);
    assert_eq!(channel.run_other(&mut other, ends).last(), Some(&Event::SolStarted));
    let told = channel.run(Duration::from_secs(1), |event| *event == Event::SolEnded);
    assert_eq!(told.last(), Some(&Event::SolEnded));
}

#[test]
fn disabling_ends_it() {
    let mut channel = Channel::honest(7);
    assert_eq!(activate(&mut channel), Some(Event::SolStarted));
    channel.world.sol_disabled = true;
    let events = channel.run(Duration::from_secs(1), |event| *event == Event::SolEnded);
    assert_eq!(events.last(), Some(&Event::SolEnded));
    assert_eq!(activate(&mut channel), Some(Event::SolRefused(Completion::Other(0x81))));
}

#[test]
fn sessions_of_a_disabled_user_end() {
    let mut channel = Channel::honest(8);
    assert_eq!(activate(&mut channel), Some(Event::SolStarted));
    channel.server.end_sessions_of(3);
    assert!(channel.server.output_room().is_some());
    channel.server.end_sessions_of(2);
    assert!(channel.server.output_room().is_none());
}
