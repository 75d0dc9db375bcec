//! Commands of sensors (IPMI 2.0, section 35).

use super::{Answer, bytes};
use crate::bmc::Bmc;
use crate::bmc::ipmi::completion::Completion as Code;
use crate::bmc::log::sensor;
use crate::bmc::sensors::{SENSORS, Sensor};

/// Events and scanning are on.
const AVAILABLE: u8 = 0xC0;
/// The same, and there is no reading now.
const UNAVAILABLE: u8 = 0xE0;

pub(super) fn answer(bmc: &mut Bmc, command: u8, data: &[u8]) -> Answer {
    match command {
        // Get Event Receiver: none.
        0x01 => Ok(vec![0xFF, 0x00]),
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
