//! Commands about sessions: privilege, closing, information (section 22.18 to 22.20).

use std::net::IpAddr;

use super::super::completion::Completion;
use super::super::message::Answer;
use super::super::privilege::Privilege;
use super::sessions::{Session, Sessions};
use super::settings::Settings;

/// 80h of Set Session Privilege: the user may not have this level.
const NOT_FOR_USER: Completion = Completion::Other(0x80);
/// 81h of Set Session Privilege: the login asked for less.
const EXCEEDS_LIMIT: Completion = Completion::Other(0x81);
/// 87h of Close Session: there is no session with this id.
const NO_SUCH_SESSION: Completion = Completion::Other(0x87);
/// 88h of Close Session: there is no session with this handle.
const NO_SUCH_HANDLE: Completion = Completion::Other(0x88);

/// Set Session Privilege Level.
pub(super) fn set_privilege(session: &mut Session, data: &[u8]) -> Answer {
    let [level] = data else { return Completion::InvalidLength.into() };
    match (level & 0x0f, Privilege::parse(level & 0x0f)) {
        (0, _) => {}
        (_, None | Some(Privilege::Callback)) => return Completion::InvalidField.into(),
        (_, Some(privilege)) if privilege > session.user.limit => return NOT_FOR_USER.into(),
        (_, Some(privilege)) if privilege > session.limit => return EXCEEDS_LIMIT.into(),
        (_, Some(privilege)) => session.privilege = privilege,
    }
    Answer::ok([session.privilege.level()])
}

/// Close Session: the answer, and the id of the session to close once the answer was sent.
pub(super) fn close(sessions: &Sessions, own: u32, data: &[u8]) -> (Answer, Option<u32>) {
    let (id, handle) = match data {
        [a, b, c, d] => (u32::from_le_bytes([*a, *b, *c, *d]), None),
        [0, 0, 0, 0, handle] => (0, Some(*handle)),
        _ => return (Completion::InvalidLength.into(), None),
    };
    let found = match handle {
        Some(handle) => sessions.by_handle().into_iter().find(|session| session.handle == handle),
        None => sessions.get(id),
    };
    let (Some(found), Some(asker)) = (found, sessions.get(own)) else {
        return (if handle.is_some() { NO_SUCH_HANDLE } else { NO_SUCH_SESSION }.into(), None);
    };
    let allowed = found.bmc == own || asker.privilege >= Privilege::Administrator;
    match allowed {
        true => (Answer::ok([]), Some(found.bmc)),
        false => (Completion::InsufficientPrivilege.into(), None),
    }
}

/// Get Session Info.
pub(super) fn info(sessions: &Sessions, settings: &Settings, own: u32, data: &[u8]) -> Answer {
    let by_handle = sessions.by_handle();
    let found = match data {
        [0x00] => sessions.get(own),
        [0xfe, handle] => by_handle.iter().copied().find(|session| session.handle == *handle),
        [0xff, a, b, c, d] => sessions.get(u32::from_le_bytes([*a, *b, *c, *d])),
        [0xfe | 0xff, ..] | [] => return Completion::InvalidLength.into(),
        [nth] => by_handle.get(usize::from(*nth) - 1).copied(),
        [_, _, ..] => return Completion::InvalidLength.into(),
    };
    let mut answer =
        vec![found.map_or(0, |session| session.handle), sessions.slots() as u8, sessions.count() as u8];
    if let Some(session) = found {
        // The upper half of the last: a session of IPMI 2.0.
        answer.extend_from_slice(&[session.user.id, session.privilege.level(), 0x10 | settings.channel]);
        // The field has room for IPv4 only; the hardware address is not known here.
        let address = match session.peer.ip().to_canonical() {
            IpAddr::V4(address) => address.octets(),
            IpAddr::V6(_) => [0; 4],
        };
        answer.extend_from_slice(&address);
        answer.extend_from_slice(&[0; 6]);
        answer.extend_from_slice(&session.peer.port().to_le_bytes());
    }
    Answer::ok(answer)
}
