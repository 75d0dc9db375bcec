//! Client against server over a channel that loses, repeats and reorders packets.

mod channel;
mod login;
mod sol;

use std::collections::BTreeSet;
use std::time::Duration;

use proptest::prelude::*;

use self::channel::{Channel, Faults, MARK};
use super::client::{Event, Settings};
use super::completion::Completion;
use super::message::Answer;
use super::privilege::Privilege;
use super::suite::Cipher;

fn settings(suites: &[Cipher]) -> Settings {
    Settings { suites: suites.to_vec(), ..Settings::new("admin", "password", Privilege::Administrator) }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(192))]

    #[test]
    fn commands_run_at_most_once_and_are_answered_or_fail(
        seed: u64, loss in 0u32..40, repeats in 0u32..40, delay in 0u64..600, strong: bool, count in 1u32..30,
    ) {
        let cipher = if strong { Cipher::Sha256 } else { Cipher::Sha1 };
        let faults = Faults { loss, repeats, delay: Duration::from_millis(delay) };
        let mut channel = Channel::new(seed, faults, super::server::Settings::default(), settings(&[cipher]));
        let tickets: Vec<_> = (0..count).map(|id| channel.client.command(MARK, &id.to_le_bytes())).collect();
        channel.client.close();
        let events = channel.run(Duration::from_secs(600), |_| false);
        let failed = events.iter().any(|event| matches!(event, Event::Failed(_)));
        let mut ran = BTreeSet::new();
        for id in &channel.world.marks {
            prop_assert!(ran.insert(*id), "command {} ran twice", id);
        }
        let mut answers = events.iter().filter_map(|event| match event {
            Event::Answered { ticket, answer } => Some((*ticket, answer.clone())),
            _ => None,
        });
        for (id, ticket) in (0..count).zip(tickets) {
            match answers.next() {
                Some(answered) => prop_assert_eq!(answered, (ticket, Answer::ok(id.to_le_bytes()))),
                None => prop_assert!(failed, "neither answer nor error"),
            }
        }
        prop_assert!(failed || events.last() == Some(&Event::Closed), "{:?}", events);
        prop_assert!(loss > 0 || delay > 400 || !failed, "{:?}", events);
    }

    #[test]
    fn foreign_bytes_harm_nobody(packets: Vec<(bool, Vec<u8>)>, seed: u64) {
        let mut channel = Channel::honest(seed);
        let ticket = channel.client.command(MARK, &[1, 2, 3, 4]);
        for (legacy, packet) in packets {
            let head: &[u8] = if legacy { &[6, 0, 0xff, 7, 0] } else { &[6, 0, 0xff, 7, 6] };
            let packet = [head, &packet].concat();
            channel.give_server(&packet);
            channel.give_client(&packet);
        }
        let events = channel.run(Duration::from_secs(20), |event| matches!(event, Event::Answered { .. }));
        let answer = Answer::ok([1, 2, 3, 4]);
        prop_assert_eq!(events.last(), Some(&Event::Answered { ticket, answer }));
    }
}

#[test]
fn unknown_commands_have_answers() {
    let mut channel = Channel::honest(1);
    let unknown = super::command::Command::new(super::command::NetFn::Storage, 0x27);
    let ticket = channel.client.command(unknown, &[]);
    let events = channel.run(Duration::from_secs(5), |event| matches!(event, Event::Answered { .. }));
    let answer = Completion::InvalidCommand.into();
    assert_eq!(events.last(), Some(&Event::Answered { ticket, answer }));
}
