//! Serial over LAN within sessions: activation, deactivation and what the BMC tells about it (section 24).

use std::time::Duration;

use super::super::completion::Completion;
use super::super::message::Answer;
use super::super::packet::PayloadType;
use super::super::privilege::Privilege;
use super::super::sol::Refusal;
use super::super::sol::bmc::{BmcEnd, Rules};
use super::super::sol::packet::HEADER;
use super::discovery::is_here;
use super::settings::Settings;
use super::world::SolTerms;

/// Of Activate Payload: active in another session. Of Deactivate Payload: not active.
const ALREADY: Completion = Refusal::Active.completion();
/// Of both: the payload type is disabled.
pub(super) const DISABLED: Completion = Refusal::Disabled.completion();
/// Of Activate Payload.
const ENCRYPTION_REQUIRED: Completion = Refusal::Unencrypted.completion();
/// 80h of Get Channel Payload Version: not on this channel.
const NOT_ON_CHANNEL: Completion = Completion::Other(0x80);

/// The number of the only instance.
const INSTANCE: u8 = 1;
/// The bits of IPMI and of Serial over LAN among the standard payload types.
const IPMI_BIT: u8 = 0x01;
const SOL_BIT: u8 = 0x02;
/// The bits of Open Session and RAKP 1 to 4 among the payload types of logins.
const LOGIN_BITS: u8 = 0x3f;
/// Version 1.0 of a payload.
const VERSION: u8 = 0x10;

/// The line, while it is active.
#[derive(Debug)]
pub(super) struct Line {
    /// The session that it belongs to.
    pub(super) session: u32,
    pub(super) end: BmcEnd,
}

/// What was asked about a payload.
struct Payload {
    kind: PayloadType,
    instance: u8,
}

impl Payload {
    fn parse(kind: u8, instance: u8) -> Self {
        Self { kind: PayloadType::parse(kind), instance: instance & 0x0f }
    }

    fn is_the_line(&self) -> bool {
        self.kind == PayloadType::Sol && self.instance == INSTANCE
    }
}

/// Activate Payload.
pub(super) fn activate(
    line: &mut Option<Line>,
    now: Duration,
    (session, privilege): (u32, Privilege),
    settings: &Settings,
    terms: &SolTerms,
    data: &[u8],
) -> Answer {
    let [kind, instance, auxiliary, _, _, _] = data else { return Completion::InvalidLength.into() };
    if !Payload::parse(*kind, *instance).is_the_line() {
        return Completion::InvalidField.into();
    }
    let Some(sizes) = settings.sol.filter(|_| terms.enabled) else { return DISABLED.into() };
    if privilege < terms.privilege {
        return Completion::InsufficientPrivilege.into();
    }
    if terms.force_encryption && auxiliary & 0x80 == 0 {
        return ENCRYPTION_REQUIRED.into();
    }
    match line {
        Some(line) if line.session != session => return ALREADY.into(),
        // The client did not get the answer, so it asks again.
        Some(_) => {}
        None => {
            let rules = Rules {
                largest: usize::from(sizes.outbound).saturating_sub(HEADER),
                accumulate: terms.accumulate,
                threshold: terms.threshold,
                retries: terms.retries,
                retry_interval: terms.retry_interval,
                buffer: sizes.buffer,
            };
            *line = Some(Line { session, end: BmcEnd::new(now, settings.sol_order, rules) });
        }
    }
    let mut answer = vec![0; 4];
    answer.extend_from_slice(&sizes.inbound.to_le_bytes());
    answer.extend_from_slice(&sizes.outbound.to_le_bytes());
    answer.extend_from_slice(&terms.port.to_le_bytes());
    // No VLAN.
    answer.extend_from_slice(&[0xff, 0xff]);
    Answer::ok(answer)
}

/// Deactivate Payload: the answer, and the line that ends.
pub(super) fn deactivate(
    line: &mut Option<Line>,
    settings: &Settings,
    data: &[u8],
) -> (Answer, Option<Line>) {
    let refused = |completion: Completion| (completion.into(), None);
    let [kind, instance, _, _, _, _] = data else { return refused(Completion::InvalidLength) };
    if !Payload::parse(*kind, *instance).is_the_line() {
        return refused(Completion::InvalidField);
    }
    if settings.sol.is_none() {
        return refused(DISABLED);
    }
    match line.take() {
        Some(ended) => (Answer::ok([]), Some(ended)),
        None => refused(ALREADY),
    }
}

/// Get Payload Activation Status: the capacity, and a bit for each active instance.
pub(super) fn status(line: Option<&Line>, settings: &Settings, data: &[u8]) -> Answer {
    match data {
        [kind] if PayloadType::parse(*kind) == PayloadType::Sol && settings.sol.is_some() => {
            Answer::ok([1, u8::from(line.is_some()), 0])
        }
        [_] => Completion::InvalidField.into(),
        _ => Completion::InvalidLength.into(),
    }
}

/// Get Payload Instance Info: the session of the instance, or 0.
pub(super) fn instance(line: Option<&Line>, data: &[u8]) -> Answer {
    let [kind, instance] = data else { return Completion::InvalidLength.into() };
    if !Payload::parse(*kind, *instance).is_the_line() {
        return Completion::InvalidField.into();
    }
    let mut answer = line.map_or(0, |line| line.session).to_le_bytes().to_vec();
    // The first byte of the information is the number of the serial port.
    answer.extend_from_slice(&[u8::from(line.is_some()), 0, 0, 0, 0, 0, 0, 0]);
    Answer::ok(answer)
}

/// Get Channel Payload Support.
pub(super) fn support(settings: &Settings, data: &[u8]) -> Answer {
    match data {
        [channel] if is_here(settings, channel & 0x0f) => {
            Answer::ok([IPMI_BIT | sol_bit(settings), 0, LOGIN_BITS, 0, 0, 0, 0, 0])
        }
        [_] => Completion::InvalidField.into(),
        _ => Completion::InvalidLength.into(),
    }
}

/// Get Channel Payload Version.
pub(super) fn version(settings: &Settings, data: &[u8]) -> Answer {
    let [channel, kind] = data else { return Completion::InvalidLength.into() };
    if !is_here(settings, channel & 0x0f) {
        return Completion::InvalidField.into();
    }
    match PayloadType::parse(*kind) {
        PayloadType::Other(_) => NOT_ON_CHANNEL.into(),
        PayloadType::Sol if settings.sol.is_none() => NOT_ON_CHANNEL.into(),
        PayloadType::Sol
        | PayloadType::Ipmi
        | PayloadType::OpenRequest
        | PayloadType::OpenResponse
        | PayloadType::Rakp1
        | PayloadType::Rakp2
        | PayloadType::Rakp3
        | PayloadType::Rakp4 => Answer::ok([VERSION]),
    }
}

fn sol_bit(settings: &Settings) -> u8 {
    if settings.sol.is_some() { SOL_BIT } else { 0 }
}
