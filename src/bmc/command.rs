//! The commands of IPMI, answered from the state of a BMC.
//!
//! Over LAN the session was checked before; the system of the machine needs none.

mod app;
mod chassis;
mod sensor;
mod storage;
mod transport;

use std::time::Duration;

use super::identity::Identity;
use super::ipmi::completion::Completion as Code;
use super::ipmi::privilege::Privilege;
use super::{Bmc, Now, fru, sensors};

/// The answer to a command: its data, or why there is none.
pub type Answer = Result<Vec<u8>, Code>;

/// Who asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Asker {
    /// The channel.
    pub channel: Channel,
    /// The level of the session; that of an administrator from within the machine.
    pub level: Privilege,
}

/// The channels of a BMC.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Channel {
    /// The network, channel 1.
    Lan,
    /// The machine itself, channel 15.
    System,
}

impl Channel {
    /// Returns its number.
    pub fn number(self) -> u8 {
        match self {
            Self::Lan => 1,
            Self::System => 0x0F,
        }
    }
}

/// What clients set of the BMC itself, and what it shows them.
#[derive(Debug, Clone)]
pub(super) struct Interface {
    identify: Identify,
    /// Global enables, as written.
    enables: u8,
    lan: transport::LanSettings,
    pub(super) sol: transport::SolSettings,
    access: app::ChannelAccess,
    repository: Vec<Vec<u8>>,
    inventory: Vec<u8>,
    /// The last reservation of the repository of sensors, and of the log.
    reservations: (u16, u16),
    /// The ACPI power states of system and device, as written.
    acpi: [u8; 2],
}

/// The identify light.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum Identify {
    #[default]
    Off,
    Until(Duration),
    On,
}

impl Interface {
    pub(super) fn new(identity: &Identity) -> Self {
        Self {
            identify: Identify::Off,
            enables: 0x09,
            lan: transport::LanSettings::default(),
            sol: transport::SolSettings::default(),
            access: app::ChannelAccess::default(),
            repository: sensors::repository(identity),
            inventory: fru::inventory(identity),
            reservations: (0, 0),
            acpi: [0x2A, 0x2A],
        }
    }

    /// Returns the state of the identify light.
    pub(super) fn identify(&self) -> Identify {
        self.identify
    }

    /// Switches the identify light.
    pub(super) fn set_identify(&mut self, identify: Identify) {
        self.identify = identify;
    }

    pub(super) fn tick(&mut self, now: Now) {
        if matches!(self.identify, Identify::Until(end) if end <= now.up) {
            self.identify = Identify::Off;
        }
    }

    pub(super) fn ends(&self) -> Option<Duration> {
        match self.identify {
            Identify::Until(end) => Some(end),
            Identify::Off | Identify::On => None,
        }
    }
}

/// The level that a command needs (IPMI 2.0, appendix G).
pub fn level(netfn: u8, command: u8) -> Privilege {
    match (netfn, command) {
        // Chassis control, identify, boot options; what changes the power and the next boot.
        (0x00, 0x02 | 0x04 | 0x05 | 0x06 | 0x08) => Privilege::Operator,
        // Resets and sets of the watchdog, events added to the log.
        (0x06, 0x22 | 0x24) | (0x04, 0x02 | 0x26 | 0x28) | (0x0A, 0x44 | 0x46 | 0x47 | 0x49) => {
            Privilege::Operator
        }
        // The BMC itself, its users and channels, its place on the network.
        (0x06, 0x02 | 0x03 | 0x2E | 0x40 | 0x43 | 0x45 | 0x47 | 0x4C | 0x56 | 0x58) => {
            Privilege::Administrator
        }
        (0x0C, 0x01 | 0x21) | (0x00, 0x0A) | (0x0A, 0x12) => Privilege::Administrator,
        // The names of users and their access.
        (0x06, 0x44 | 0x46 | 0x4D) => Privilege::Operator,
        _ => Privilege::User,
    }
}

impl Bmc {
    /// Answers a command.
    pub fn answer(&mut self, now: Now, asker: Asker, netfn: u8, command: u8, data: &[u8]) -> Answer {
        let now = self.faults.clock(now);
        if asker.level < level(netfn, command) {
            return Err(Code::InsufficientPrivilege);
        }
        match netfn {
            0x00 => chassis::answer(self, now, command, data),
            0x04 => sensor::answer(self, now, asker, command, data),
            0x06 => app::answer(self, now, asker, command, data),
            0x0A => storage::answer(self, now, command, data),
            0x0C => transport::answer(self, command, data),
            _ => Err(Code::InvalidCommand),
        }
    }
}

/// Takes the first bytes of a request.
fn bytes<const N: usize>(data: &[u8]) -> Result<[u8; N], Code> {
    data.first_chunk().copied().ok_or(Code::InvalidLength)
}
