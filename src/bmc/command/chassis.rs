//! Commands of the chassis (IPMI 2.0, section 28): power, boot options, identify.

use std::time::Duration;

use super::{Answer, Identify, bytes};
use crate::bmc::boot::SetError;
use crate::bmc::ipmi::completion::Completion as Code;
use crate::bmc::power::{Control, RestartCause, RestorePolicy};
use crate::bmc::{Bmc, Now};

pub(super) fn answer(bmc: &mut Bmc, now: Now, command: u8, data: &[u8]) -> Answer {
    match command {
        // Capabilities: no intrusion, no front panel; FRU, SDR, SEL and management are this BMC.
        0x00 => Ok(vec![0x00, 0x20, 0x20, 0x20, 0x20]),
        0x01 => Ok(status(bmc)),
        0x02 => control(bmc, now, data),
        0x04 => identify(bmc, now, data),
        0x06 => policy(bmc, data),
        0x07 => Ok(vec![bmc.power.restart_cause().number(), 1]),
        0x08 => {
            let (parameter, data) = data.split_first().ok_or(Code::InvalidLength)?;
            // Only the valid bit of the parameter itself is set.
            if data.is_empty() {
                return Ok(Vec::new());
            }
            let refused = |error| match error {
                SetError::Unsupported => Code::Other(0x80),
                SetError::InProgress => Code::Other(0x81),
                SetError::Length => Code::InvalidLength,
            };
            bmc.set_boot_option(now, *parameter, data).map_err(refused).map(|()| Vec::new())
        }
        0x09 => {
            let [parameter, selector, _] = bytes(data)?;
            let value = bmc.boot.get(parameter, selector, bmc.over).ok_or(Code::Other(0x80))?;
            Ok([&[0x01, parameter & 0x7F][..], &value].concat())
        }
        0x0F => {
            // Units of an hour.
            let hours = u32::try_from(bmc.power.hours(now.up).as_secs() / 3600).unwrap_or(u32::MAX);
            Ok([&[60][..], &hours.to_le_bytes()].concat())
        }
        _ => Err(Code::InvalidCommand),
    }
}

/// Get Chassis Status (section 28.2).
fn status(bmc: &Bmc) -> Vec<u8> {
    let power = bmc.power();
    let current = u8::from(power.is_on()) | power.policy.number() << 5;
    let last = u8::from(power.is_on_by_command()) << 4;
    let identify = match bmc.interface.identify {
        Identify::Off => 0,
        Identify::Until(_) => 1,
        Identify::On => 2,
    };
    vec![current, last, 0x40 | identify << 4, 0x00]
}

/// Chassis Control (section 28.3).
fn control(bmc: &mut Bmc, now: Now, data: &[u8]) -> Answer {
    let [byte] = bytes(data)?;
    let control = Control::parse(byte & 0x0F).ok_or(Code::InvalidField)?;
    bmc.control(now, control, RestartCause::Command).map_err(|_| Code::WrongState)?;
    Ok(Vec::new())
}

/// Chassis Identify (section 28.5): for some seconds, 15 if nothing is said, or until it is switched off.
fn identify(bmc: &mut Bmc, now: Now, data: &[u8]) -> Answer {
    let seconds = data.first().copied().unwrap_or(15);
    bmc.interface.identify = match (data.get(1).copied().unwrap_or(0) & 1, seconds) {
        (1, _) => Identify::On,
        (_, 0) => Identify::Off,
        (_, seconds) => Identify::Until(now.up + Duration::from_secs(seconds.into())),
    };
    Ok(Vec::new())
}

/// Set Power Restore Policy (section 28.8): 3 changes nothing. Returns the policies that are supported.
fn policy(bmc: &mut Bmc, data: &[u8]) -> Answer {
    let [byte] = bytes(data)?;
    match byte & 7 {
        3 => {}
        number => bmc.power.policy = RestorePolicy::parse(number).ok_or(Code::InvalidField)?,
    }
    Ok(vec![0x07])
}
