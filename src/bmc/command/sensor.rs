//! Commands of sensors and events (IPMI 2.0, sections 29 and 35).

use super::{Answer, Asker, Channel, bytes};
use crate::bmc::ipmi::completion::Completion as Code;
use crate::bmc::ipmi::message::CONSOLE_ADDRESS;
use crate::bmc::log::{Logged, sensor};
use crate::bmc::sensors::{SENSORS, Sensor};
use crate::bmc::{Bmc, Now};

/// Events and scanning are on.
const AVAILABLE: u8 = 0xC0;
/// The same, and there is no reading now.
const UNAVAILABLE: u8 = 0xE0;

pub(super) fn answer(bmc: &mut Bmc, now: Now, asker: Asker, command: u8, data: &[u8]) -> Answer {
    match command {
        // Get Event Receiver: none.
        0x01 => Ok(vec![0xFF, 0x00]),
        0x02 => platform_event(bmc, now, asker, data),
        // PEF capabilities: version 1.5, no actions; no OEM filters.
        0x10 => Ok(vec![0x51, 0x00, 0x00]),
        0x27 => {
            let sensor = find(data)?;
            let (upper, lower) = (sensor.thresholds.upper, sensor.thresholds.lower);
            Ok([&[sensor.mask()][..], &lower, &upper].concat())
        }
        // Get Sensor Event Enable: all that it has.
        0x29 => find(data).map(|_| vec![AVAILABLE, 0, 0, 0, 0]),
        0x2D => reading(bmc, data),
        _ => Err(Code::InvalidCommand),
    }
}

/// Platform Event (section 29.3): what the system, or a remote console, tells of a sensor goes to the log.
fn platform_event(bmc: &mut Bmc, now: Now, asker: Asker, data: &[u8]) -> Answer {
    let (generator, event) = match asker.channel {
        Channel::System => data.split_first().map(|(generator, event)| (*generator, event)),
        // A message of the network has its sender's address.
        Channel::Lan => Some((CONSOLE_ADDRESS, data)),
    }
    .ok_or(Code::InvalidLength)?;
    // Revision, type and number of the sensor, type of the event, and one to three bytes of data.
    let (5..=7) = event.len() else { return Err(Code::InvalidLength) };
    let mut record = [0xFF; 13];
    record[..4].copy_from_slice(&now.unix.to_le_bytes());
    record[4..6].copy_from_slice(&[generator, 0]);
    record[6..6 + event.len()].copy_from_slice(event);
    bmc.log.add(now.unix, Logged::Foreign { kind: 0x02, data: record });
    Ok(Vec::new())
}

fn find(data: &[u8]) -> Result<&'static Sensor, Code> {
    let [number] = bytes(data)?;
    SENSORS.iter().find(|sensor| sensor.number == number).ok_or(Code::NotPresent)
}

/// Get Sensor Reading (section 35.14).
fn reading(bmc: &Bmc, data: &[u8]) -> Answer {
    let [number] = bytes(data)?;
    match number {
        // Bit 0: power off. Nothing is asserted while it is on.
        sensor::POWER_UNIT => Ok(vec![0, AVAILABLE, u8::from(!bmc.power().is_on()), 0x80]),
        sensor::WATCHDOG => Ok(vec![0, AVAILABLE, 0, 0x80]),
        _ => match find(data)?.raw(bmc.power().is_on()) {
            Some(value) => Ok(vec![value, AVAILABLE, 0, 0]),
            None => Ok(vec![0, UNAVAILABLE, 0, 0]),
        },
    }
}
