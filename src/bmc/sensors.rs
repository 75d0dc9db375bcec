//! The sensors of a machine, and the repository that describes them (IPMI 2.0, sections 33 to 35 and 43).
//!
//! A virtual machine has no thermometer. The readings are those of an idle server of its power state: the same each
//! time, so that two runs show the same.

use super::identity::Identity;
use super::log::sensor;

/// A sensor with a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sensor {
    /// Its number.
    pub number: u8,
    /// Its name.
    pub name: &'static str,
    /// What it measures.
    pub kind: SensorKind,
    /// What the raw value is multiplied with.
    pub factor: u8,
    /// The raw value while the machine is on; off, it is unavailable unless it is `standby`.
    pub reading: u8,
    /// The raw value while the machine is off.
    pub standby: Option<u8>,
    /// The thresholds.
    pub thresholds: Thresholds,
}

/// What a sensor measures.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SensorKind {
    /// Degrees Celsius.
    Temperature,
    /// Revolutions per minute.
    Fan,
    /// Watts.
    Power,
}

/// Raw thresholds; 0 is none.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Thresholds {
    /// Upper: non-critical, critical, non-recoverable.
    pub upper: [u8; 3],
    /// Lower: non-critical, critical, non-recoverable.
    pub lower: [u8; 3],
}

/// The sensors with values.
pub const SENSORS: [Sensor; 3] = [
    Sensor {
        number: sensor::TEMPERATURE,
        name: "CPU Temp",
        kind: SensorKind::Temperature,
        factor: 1,
        reading: 42,
        standby: Some(24),
        thresholds: Thresholds { upper: [90, 95, 100], lower: [0; 3] },
    },
    Sensor {
        number: sensor::FAN,
        name: "FAN1",
        kind: SensorKind::Fan,
        factor: 100,
        reading: 48,
        standby: None,
        thresholds: Thresholds { upper: [0; 3], lower: [7, 5, 3] },
    },
    Sensor {
        number: sensor::CONSUMPTION,
        name: "Power Meter",
        kind: SensorKind::Power,
        factor: 4,
        reading: 30,
        standby: Some(3),
        thresholds: Thresholds { upper: [0; 3], lower: [0; 3] },
    },
];

impl Sensor {
    /// Returns its raw value; `None` if it has none now.
    pub fn raw(&self, is_on: bool) -> Option<u8> {
        if is_on { Some(self.reading) } else { self.standby }
    }

    /// Returns its value in its unit; `None` if it has none now.
    pub fn value(&self, is_on: bool) -> Option<u32> {
        self.raw(is_on).map(|raw| u32::from(raw) * u32::from(self.factor))
    }

    /// Returns the bits of thresholds that it has, as in Get Sensor Thresholds (section 35.9).
    pub fn mask(&self) -> u8 {
        let bits = |values: [u8; 3]| {
            values.iter().zip(0..).fold(0, |bits, (value, bit)| bits | u8::from(*value != 0) << bit)
        };
        bits(self.thresholds.lower) | bits(self.thresholds.upper) << 3
    }

    /// Returns its full record (section 43.1), without the header.
    fn record(&self) -> Vec<u8> {
        let (kind, unit) = match self.kind {
            SensorKind::Temperature => (0x01, 0x01),
            SensorKind::Fan => (0x04, 0x12),
            // "Other units-based sensor".
            SensorKind::Power => (0x0B, 0x06),
        };
        let Thresholds { upper, lower } = self.thresholds;
        let entity = if self.kind == SensorKind::Fan { 0x1D } else { 0x03 };
        let mask = self.mask();
        let mut record = vec![0x20, 0x00, self.number, entity, 1, 0x7F, 0x68, kind, 0x01];
        // Events of thresholds, asserted and deasserted, and which thresholds can be read and set.
        record.extend([0x95, 0x7A, 0x95, 0x7A, mask, 0]);
        record.extend([0x00, unit, 0x00, 0x00, self.factor, 0, 0, 0, 0, 0, 0]);
        record.extend([self.reading, 0, 0, 0xFF, 0x00]);
        record.extend([upper[2], upper[1], upper[0], lower[2], lower[1], lower[0]]);
        record.extend([2, 2, 0, 0, 0]);
        named(self.name, &mut record);
        record
    }
}

/// The records of the repository, each with its header.
pub fn repository(identity: &Identity) -> Vec<Vec<u8>> {
    let discrete = |number: u8, entity: u8, kind: u8, name: &str| {
        let mut record = vec![0x20, 0x00, number, entity, 1, 0x67, 0x40, kind, 0x6F];
        record.extend([0, 0, 0, 0, 0xFF, 0, 0xC0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0]);
        named(name, &mut record);
        (0x02, record)
    };
    let mut records: Vec<(u8, Vec<u8>)> = SENSORS
        .iter()
        .filter(|sensor| sensor.kind != SensorKind::Fan || identity.has_fans)
        .map(|sensor| (0x01, sensor.record()))
        .collect();
    records.push(discrete(sensor::POWER_UNIT, 0x13, 0x09, "Power Unit"));
    records.push(discrete(sensor::WATCHDOG, 0x06, 0x23, "Watchdog"));
    let mut fru = vec![0x20, 0x00, 0x80, 0x00, 0x00, 0x10, 0x00, 0x07, 0x01, 0x00];
    named("Builtin FRU", &mut fru);
    records.push((0x11, fru));
    let mut controller = vec![0x20, 0x00, 0x00, 0xBF, 0x00, 0x00, 0x00, 0x2E, 0x01, 0x00];
    named("Dryrack BMC", &mut controller);
    records.push((0x12, controller));
    (1u16..)
        .zip(records)
        .map(|(id, (kind, body))| {
            let [low, high] = id.to_le_bytes();
            let length = u8::try_from(body.len()).unwrap_or(u8::MAX);
            [vec![low, high, 0x51, kind, length], body].concat()
        })
        .collect()
}

/// Adds a name of at most 16 bytes with its length (section 43.15).
fn named(name: &str, record: &mut Vec<u8>) {
    let name: Vec<u8> = name.bytes().take(16).collect();
    record.push(0xC0 | u8::try_from(name.len()).unwrap_or(16));
    record.extend(name);
}
