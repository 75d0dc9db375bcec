//! The system event log (IPMI 2.0, section 31): what happened to the machine, as its BMC tells it.

use std::collections::VecDeque;
use std::fmt;

use super::power::RestartCause;

/// How many entries fit; the oldest makes room for a new one.
pub const CAPACITY: usize = 512;

/// A record of the log that is not ours: what a client added.
pub type Foreign = [u8; 13];

/// What happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Logged {
    /// The log was cleared.
    Cleared,
    /// The power went off.
    PowerOff,
    /// The power came on.
    PowerOn,
    /// A boot began by a power-on.
    PoweredUp(RestartCause),
    /// The power went off and on by one command.
    PowerCycle {
        /// Whether nobody asked for it but settings that come into force with it.
        for_settings: bool,
    },
    /// A boot began by a reset.
    Restarted {
        /// By whom.
        cause: RestartCause,
        /// Whether the power went off and on for it, because the machine starts differently.
        by_cycle: bool,
    },
    /// PXE was requested for the boot.
    PxeRequested,
    /// An operating system was loaded.
    Booted(Loaded),
    /// A boot failed.
    BootFailed(BootFailure),
    /// The watchdog expired.
    Watchdog(WatchdogAction),
    /// What a client added: the record without its ID.
    Foreign {
        /// Type of the record (byte 3).
        kind: u8,
        /// The rest of it, with its time.
        data: Foreign,
    },
}

impl fmt::Display for Logged {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = match self {
            Self::Cleared => "the log was cleared",
            Self::PowerOff => "power off",
            Self::PowerOn => "power on",
            Self::PoweredUp(cause) => return write!(f, "boot initiated by power-on, by {cause}"),
            Self::PowerCycle { for_settings: false } => "power cycle",
            Self::PowerCycle { for_settings: true } => "power cycle, for new settings of the firmware",
            Self::Restarted { cause, by_cycle } => {
                let how = if *by_cycle { " (a power cycle, for what changes with this start)" } else { "" };
                return write!(f, "boot initiated by reset, by {cause}{how}");
            }
            Self::PxeRequested => "PXE boot requested",
            Self::Booted(Loaded::Disk) => "booted from disk",
            Self::Booted(Loaded::Network) => "booted from the network",
            Self::Booted(Loaded::Cd) => "booted from a CD",
            Self::Booted(Loaded::Unspecified) => "booted from an unknown device",
            Self::BootFailed(BootFailure::NoMedium) => "boot error: no bootable medium",
            Self::BootFailed(BootFailure::NoPxeServer) => "boot error: no PXE server",
            Self::Watchdog(WatchdogAction::Nothing) => "watchdog expired",
            Self::Watchdog(WatchdogAction::Reset) => "watchdog expired: hard reset",
            Self::Watchdog(WatchdogAction::Off) => "watchdog expired: power off",
            Self::Watchdog(WatchdogAction::Cycle) => "watchdog expired: power cycle",
            Self::Foreign { kind, data } => {
                write!(f, "added by a client: type {kind:02x}h, ")?;
                return data.iter().try_for_each(|byte| write!(f, "{byte:02x}"));
            }
        };
        f.write_str(text)
    }
}

/// Where an operating system came from (sensor type 1Fh).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Loaded {
    /// A disk.
    Disk,
    /// The network.
    Network,
    /// A CD.
    Cd,
    /// Nobody knows.
    Unspecified,
}

/// Why a boot failed (sensor type 1Eh).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BootFailure {
    /// No medium to boot from.
    NoMedium,
    /// No PXE server.
    NoPxeServer,
}

/// What the watchdog did (sensor type 23h).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WatchdogAction {
    /// Nothing but this entry.
    Nothing,
    /// A hard reset.
    Reset,
    /// Power off.
    Off,
    /// A power cycle.
    Cycle,
}

/// The sensors that events name; those with readings are in the repository of sensors.
pub mod sensor {
    /// Temperature of the CPU.
    pub const TEMPERATURE: u8 = 1;
    /// Speed of a fan.
    pub const FAN: u8 = 2;
    /// Power consumption.
    pub const CONSUMPTION: u8 = 3;
    /// Power unit.
    pub const POWER_UNIT: u8 = 4;
    /// Watchdog.
    pub const WATCHDOG: u8 = 5;
    /// The boot of a system.
    pub const BOOT: u8 = 6;
    /// The system event log.
    pub const LOG: u8 = 7;
}

/// An entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Entry {
    /// Its number, 1 to FFFEh.
    pub id: u16,
    /// When, in seconds since 1970.
    pub at: u32,
    /// What.
    pub what: Logged,
}

impl Entry {
    /// Returns the 16 bytes of its record (section 32.1).
    pub fn record(&self) -> [u8; 16] {
        let mut record = [0; 16];
        record[0..2].copy_from_slice(&self.id.to_le_bytes());
        let (kind, number, offset) = match self.what {
            Logged::Foreign { kind, data } => {
                record[2] = kind;
                record[3..].copy_from_slice(&data);
                return record;
            }
            Logged::Cleared => (0x10, sensor::LOG, 2),
            Logged::PowerOff => (0x09, sensor::POWER_UNIT, 0),
            Logged::PowerCycle { for_settings: _ } => (0x09, sensor::POWER_UNIT, 1),
            // Power Unit has no offset for "on"; ACPI power state S0/G0 is what clients show as "working".
            Logged::PowerOn => (0x22, sensor::POWER_UNIT, 0),
            Logged::PoweredUp(_) => (0x1D, sensor::BOOT, 0),
            // A hard reset, or one by the system.
            Logged::Restarted { cause, by_cycle: _ } => {
                (0x1D, sensor::BOOT, if cause == RestartCause::Soft { 2 } else { 1 })
            }
            Logged::PxeRequested => (0x1D, sensor::BOOT, 3),
            Logged::Booted(from) => (
                0x1F,
                sensor::BOOT,
                match from {
                    Loaded::Disk => 1,
                    Loaded::Network => 2,
                    Loaded::Cd => 4,
                    Loaded::Unspecified => 6,
                },
            ),
            Logged::BootFailed(why) => (
                0x1E,
                sensor::BOOT,
                match why {
                    BootFailure::NoMedium => 0,
                    BootFailure::NoPxeServer => 2,
                },
            ),
            Logged::Watchdog(action) => (
                0x23,
                sensor::WATCHDOG,
                match action {
                    WatchdogAction::Nothing => 0,
                    WatchdogAction::Reset => 1,
                    WatchdogAction::Off => 2,
                    WatchdogAction::Cycle => 3,
                },
            ),
        };
        record[2] = 0x02;
        record[3..7].copy_from_slice(&self.at.to_le_bytes());
        record[7..9].copy_from_slice(&[0x20, 0x00]);
        record[9] = 0x04;
        record[10] = kind;
        record[11] = number;
        // Sensor-specific, asserted.
        record[12] = 0x6F;
        record[13] = offset;
        record[14..].copy_from_slice(&[0xFF, 0xFF]);
        record
    }
}

/// The log of one machine.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Log {
    entries: VecDeque<Entry>,
    last: u16,
    total: usize,
    added: Option<u32>,
    cleared: Option<u32>,
    is_overflown: bool,
}

impl Log {
    /// Adds an entry; returns its number.
    pub fn add(&mut self, at: u32, what: Logged) -> u16 {
        if self.entries.len() == CAPACITY {
            self.entries.pop_front();
            self.is_overflown = true;
        }
        self.last = if self.last >= 0xFFFE { 1 } else { self.last + 1 };
        self.added = Some(at);
        self.total += 1;
        self.entries.push_back(Entry { id: self.last, at, what });
        self.last
    }

    /// Clears the log; what remains is the entry that says so.
    pub fn clear(&mut self, at: u32) {
        self.entries.clear();
        self.is_overflown = false;
        self.cleared = Some(at);
        self.add(at, Logged::Cleared);
    }

    /// Removes an entry.
    pub fn remove(&mut self, at: u32, id: u16) -> bool {
        let before = self.entries.len();
        self.entries.retain(|entry| entry.id != id);
        let removed = self.entries.len() < before;
        if removed {
            self.cleared = Some(at);
        }
        removed
    }

    /// Returns the entries, oldest first.
    pub fn entries(&self) -> impl DoubleEndedIterator<Item = &Entry> {
        self.entries.iter()
    }

    /// Returns an entry and the number of the next one; 0 is the first entry, FFFFh the last.
    pub fn get(&self, id: u16) -> Option<(&Entry, u16)> {
        let index = match id {
            0 => 0,
            0xFFFF => self.entries.len().checked_sub(1)?,
            id => self.entries.iter().position(|entry| entry.id == id)?,
        };
        let next = self.entries.get(index + 1).map_or(0xFFFF, |entry| entry.id);
        Some((self.entries.get(index)?, next))
    }

    /// Returns how many entries were ever added.
    pub fn total(&self) -> usize {
        self.total
    }

    /// Returns the number of entries.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Returns whether there are no entries.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Returns whether entries were lost because the log was full.
    pub fn is_overflown(&self) -> bool {
        self.is_overflown
    }

    /// Returns when an entry was added last, and when entries were removed last; FFFFFFFFh is never.
    pub fn changed(&self) -> (u32, u32) {
        (self.added.unwrap_or(u32::MAX), self.cleared.unwrap_or(u32::MAX))
    }
}
