//! Commands that need no session: what the BMC is and how to log in.

use super::super::command;
use super::super::completion::Completion;
use super::super::message::{Answer, Request};
use super::super::privilege::Privilege;
use super::settings::Settings;
use super::world::World;

/// Means the channel that the request came through.
const THIS_CHANNEL: u8 = 0x0e;
/// How many bytes of suite records an answer holds.
const RECORD_BYTES: usize = 16;

/// Answers a command that needs no session; `None` for all others.
pub(super) fn answer(settings: &Settings, world: &dyn World, request: &Request<'_>) -> Option<Answer> {
    Some(match request.command {
        command::GET_CHANNEL_AUTHENTICATION => authentication(settings, world, request.data),
        command::GET_CIPHER_SUITES => cipher_suites(settings, request.data),
        command::GET_SYSTEM_GUID | command::GET_DEVICE_GUID => match request.data {
            [] => Answer::ok(world.guid()),
            _ => Completion::InvalidLength.into(),
        },
        _ => return None,
    })
}

/// Get Channel Authentication Capabilities (section 22.13).
fn authentication(settings: &Settings, world: &dyn World, data: &[u8]) -> Answer {
    let [channel, privilege] = data else { return Completion::InvalidLength.into() };
    let valid = is_here(settings, channel & 0x0f) && Privilege::parse(privilege & 0x0f).is_some();
    if !valid {
        return Completion::InvalidField.into();
    }
    let extended = channel & 0x80;
    let (versions, key) = match extended {
        0 => (0, 0),
        _ => (0x02, if world.k_g().is_some() { 0x20 } else { 0 }),
    };
    // No logins of IPMI 1.5; users with names, authenticated per user and per message.
    Answer::ok([settings.channel, extended, 0x04 | key, versions, 0, 0, 0, 0])
}

/// Get Channel Cipher Suites (section 22.15).
fn cipher_suites(settings: &Settings, data: &[u8]) -> Answer {
    let [channel, payload, index] = data else { return Completion::InvalidLength.into() };
    if !is_here(settings, channel & 0x0f) || payload & 0x3f > 1 {
        return Completion::InvalidField.into();
    }
    let records: Vec<u8> = if index & 0x80 != 0 {
        settings.offered.iter().flat_map(|suite| suite.record()).collect()
    } else {
        let mut algorithms: Vec<u8> = settings
            .offered
            .iter()
            .flat_map(|suite| {
                let [_, _, algorithms @ ..] = suite.record();
                algorithms
            })
            .collect();
        algorithms.sort_unstable();
        algorithms.dedup();
        algorithms
    };
    let part = records.chunks(RECORD_BYTES).nth(usize::from(index & 0x3f)).unwrap_or_default();
    Answer::ok([&[settings.channel], part].concat())
}

/// Tells whether a channel number means this channel.
pub(super) fn is_here(settings: &Settings, channel: u8) -> bool {
    channel == THIS_CHANNEL || channel == settings.channel
}
