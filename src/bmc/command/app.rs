//! Commands of the BMC itself: device, watchdog, channels, users (IPMI 2.0, sections 20 to 22 and 27).

use super::{Answer, Asker, Channel, bytes};
use crate::bmc::ipmi::completion::Completion as Code;
use crate::bmc::ipmi::privilege::Privilege;
use crate::bmc::users::{MOST, Password, User};
use crate::bmc::{Bmc, Now};

/// The access of the LAN channel, as written: what is in force, and what is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::bmc) struct ChannelAccess {
    settings: u8,
    limit: u8,
}

impl Default for ChannelAccess {
    fn default() -> Self {
        // Always available; no PEF alerts.
        Self { settings: 0x22, limit: 4 }
    }
}

pub(super) fn answer(bmc: &mut Bmc, now: Now, asker: Asker, command: u8, data: &[u8]) -> Answer {
    match command {
        0x01 => Ok(device(bmc)),
        // Self test: passed.
        0x04 => Ok(vec![0x55, 0x00]),
        // ACPI power state: what was set is shown.
        0x06 => {
            let [system, device] = bytes(data)?;
            for (kept, given) in bmc.interface.acpi.iter_mut().zip([system, device]) {
                if given & 0x80 != 0 {
                    *kept = given & 0x7F;
                }
            }
            Ok(Vec::new())
        }
        0x07 => Ok(bmc.interface.acpi.to_vec()),
        0x08 | 0x37 => Ok(bmc.identity.guid().to_vec()),
        0x22 => match bmc.watchdog.reset(now.up) {
            true => Ok(Vec::new()),
            false => Err(Code::Other(0x80)),
        },
        0x24 => {
            bmc.watchdog.set(now.up, bytes(data)?);
            Ok(Vec::new())
        }
        0x25 => Ok(bmc.watchdog.get(now.up).to_vec()),
        0x2E => {
            [bmc.interface.enables] = bytes(data)?;
            Ok(Vec::new())
        }
        0x2F => Ok(vec![bmc.interface.enables]),
        // Clear Message Flags, Get Message Flags: there are no messages and no events for the system.
        0x30 => bytes::<1>(data).map(|_| Vec::new()),
        0x31 => Ok(vec![0]),
        // Get Message, Read Event Message Buffer: empty.
        0x33 | 0x35 => Err(Code::Other(0x80)),
        0x40 => set_channel_access(bmc, asker, data),
        0x41 => channel_access(bmc, asker, data),
        0x42 => channel_info(asker, data),
        0x43 => set_user_access(bmc, asker, data),
        0x44 => user_access(bmc, asker, data),
        0x45 => set_user_name(bmc, data),
        0x46 => {
            let user = user(bmc, data)?;
            let mut name = user.name.clone().into_bytes();
            name.resize(16, 0);
            Ok(name)
        }
        0x47 => set_password(bmc, data),
        0x4C => set_payload_access(bmc, asker, data),
        0x4D => {
            let [channel, id] = bytes(data)?;
            lan(asker, channel)?;
            let user = bmc.users.get(id & 0x3F).ok_or(Code::InvalidField)?;
            Ok(vec![u8::from(user.has_sol) << 1, 0, 0, 0])
        }
        0x57 => system_interface(data),
        // Get System Info Parameters: none.
        0x59 => Err(Code::Other(0x80)),
        _ => Err(Code::InvalidCommand),
    }
}

/// Get Device ID (section 20.1). A client that knows the manufacturer expects its extensions.
fn device(bmc: &Bmc) -> Vec<u8> {
    let (major, minor) = bmc.identity.version;
    let decimal = ((minor / 10) << 4) | (minor % 10);
    let [first, second, third, _] = bmc.traits.manufacturer.to_le_bytes();
    let [low, high] = bmc.traits.product.to_le_bytes();
    vec![0x20, 0x81, major & 0x7F, decimal, 0x02, 0xBF, first, second, third, low, high, 0, 0, 0, 0]
}

/// Get System Interface Capabilities (section 22.9): of KCS, its version, and the longest request.
fn system_interface(data: &[u8]) -> Answer {
    match bytes(data)? {
        [0x01] => Ok(vec![0, 0, 0xFF]),
        [_] => Err(Code::InvalidField),
    }
}

/// The number of a channel in a request; Eh is the one that is asked over.
fn channel(asker: Asker, byte: u8) -> u8 {
    match byte & 0x0F {
        0x0E => asker.channel.number(),
        channel => channel,
    }
}

fn lan(asker: Asker, byte: u8) -> Result<(), Code> {
    match channel(asker, byte) == Channel::Lan.number() {
        true => Ok(()),
        false => Err(Code::InvalidField),
    }
}

/// Get Channel Info (section 22.24).
fn channel_info(asker: Asker, data: &[u8]) -> Answer {
    let [byte] = bytes(data)?;
    // Medium and protocol; IANA's number of IPMI.
    match channel(asker, byte) {
        1 => Ok(vec![1, 0x04, 0x01, 0x80, 0xF2, 0x1B, 0, 0, 0]),
        0x0F => Ok(vec![0x0F, 0x0C, 0x05, 0x00, 0xF2, 0x1B, 0, 0xFF, 0xFF]),
        _ => Err(Code::InvalidField),
    }
}

/// Set Channel Access (section 22.22): kept and shown.
fn set_channel_access(bmc: &mut Bmc, asker: Asker, data: &[u8]) -> Answer {
    let [number, settings, limit] = bytes(data)?;
    lan(asker, number)?;
    if settings & 0xC0 != 0 {
        bmc.interface.access.settings = settings & 0x3F;
    }
    if limit & 0xC0 != 0 {
        bmc.interface.access.limit = limit & 0x0F;
    }
    Ok(Vec::new())
}

fn channel_access(bmc: &Bmc, asker: Asker, data: &[u8]) -> Answer {
    let [number, _] = bytes(data)?;
    lan(asker, number)?;
    Ok(vec![bmc.interface.access.settings, bmc.interface.access.limit])
}

fn user<'a>(bmc: &'a Bmc, data: &[u8]) -> Result<&'a User, Code> {
    let [id] = bytes(data)?;
    bmc.users.get(id & 0x3F).ok_or(Code::InvalidField)
}

/// Get User Access (section 22.27).
fn user_access(bmc: &Bmc, asker: Asker, data: &[u8]) -> Answer {
    let [number, id] = bytes(data)?;
    lan(asker, number)?;
    let user = bmc.users.get(id & 0x3F).ok_or(Code::InvalidField)?;
    let state = if user.is_enabled { 0x40 } else { 0x80 };
    let level = user.level.map_or(0x0F, Privilege::level);
    Ok(vec![
        MOST,
        state | bmc.users.enabled(),
        u8::from(bmc.users.has_null()),
        user.settings & 0x60 | u8::from(user.has_messaging) << 4 | level,
    ])
}

/// Set User Access (section 22.26).
fn set_user_access(bmc: &mut Bmc, asker: Asker, data: &[u8]) -> Answer {
    let [settings, id, limit] = bytes(data)?;
    lan(asker, settings)?;
    let level = match limit & 0x0F {
        0x0F | 0 => None,
        level => Some(Privilege::parse(level).ok_or(Code::InvalidField)?),
    };
    let user = bmc.users.get_mut(id & 0x3F).ok_or(Code::InvalidField)?;
    let (level_before, had_messaging) = (user.level, user.has_messaging);
    user.level = level;
    if settings & 0x80 != 0 {
        // Callback and link authentication are kept and shown: there are no lines that they are about.
        user.settings = settings & 0x60;
        user.has_messaging = settings & 0x10 != 0;
    }
    if user.level < level_before || (had_messaging && !user.has_messaging) {
        bmc.ended.push(id & 0x3F);
    }
    Ok(Vec::new())
}

/// Set User Name (section 22.28): 16 bytes, padded with NULs.
fn set_user_name(bmc: &mut Bmc, data: &[u8]) -> Answer {
    let (id, name) = data.split_first().ok_or(Code::InvalidLength)?;
    let id = id & 0x3F;
    let name: [u8; 16] = bytes(name)?;
    let end = name.iter().position(|byte| *byte == 0).unwrap_or(name.len());
    let name = std::str::from_utf8(&name[..end]).map_err(|_| Code::InvalidField)?;
    if bmc.users.named(name.as_bytes()).is_some_and(|(other, _)| other != id) {
        return Err(Code::InvalidField);
    }
    // User 1 has no name.
    let user = bmc.users.get_mut(id).filter(|_| id != 1).ok_or(Code::InvalidField)?;
    if user.name != name {
        // Who had that number before is somebody else.
        name.clone_into(&mut user.name);
        bmc.ended.push(id);
    }
    Ok(Vec::new())
}

/// Set User Password (section 22.30): disable, enable, set, test.
fn set_password(bmc: &mut Bmc, data: &[u8]) -> Answer {
    let [id, operation] = bytes(data)?;
    let given = data.get(2..).unwrap_or(&[]);
    let user = bmc.users.get_mut(id & 0x3F).ok_or(Code::InvalidField)?;
    let length = if id & 0x80 == 0 { 16 } else { Password::LONGEST };
    match operation & 3 {
        0 => {
            user.is_enabled = false;
            bmc.ended.push(id & 0x3F);
        }
        1 => user.is_enabled = true,
        // Sessions stay, because the one that asks may be of this user.
        2 => {
            user.password = Password::new(given.get(..length).ok_or(Code::InvalidLength)?);
            user.must_change = false;
        }
        _ => {
            let given = given.get(..length).ok_or(Code::InvalidLength)?;
            if user.password.bytes().len() > length {
                return Err(Code::Other(0x81));
            }
            if user.password != Password::new(given) {
                return Err(Code::Other(0x80));
            }
        }
    }
    Ok(Vec::new())
}

/// Set User Payload Access (section 24.6): Serial over LAN.
fn set_payload_access(bmc: &mut Bmc, asker: Asker, data: &[u8]) -> Answer {
    let [number, id, standard] = bytes(data)?;
    lan(asker, number)?;
    let user = bmc.users.get_mut(id & 0x3F).ok_or(Code::InvalidField)?;
    if standard & 0x02 != 0 {
        user.has_sol = id & 0x40 == 0;
    }
    Ok(Vec::new())
}
