//! The settings of a machine's firmware: what is in force, and what the next start will put in force.

use std::collections::BTreeMap;

use super::inventory::{FirmwareKind, Inventory};

/// The value of a setting.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Value {
    /// One of a list.
    Text(String),
    /// A number.
    Number(i64),
}

/// What values a setting takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// One of these.
    Choice(&'static [&'static str]),
    /// A number from the first to the second.
    Range(i64, i64),
}

/// A setting.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Attribute {
    /// Its name.
    pub name: &'static str,
    /// What a setup menu calls it.
    pub display: &'static str,
    /// What it does.
    pub help: &'static str,
    /// Its values.
    pub kind: Kind,
    /// Whether it only tells.
    pub is_read_only: bool,
}

/// The setting: how many seconds the firmware waits before it boots.
pub const BOOT_TIMEOUT: &str = "BootTimeout";
/// The setting: whether the processors offer virtualization.
pub const VIRTUALIZATION: &str = "Virtualization";
/// The value of a switch that is on.
pub const ENABLED: &str = "Enabled";

const SWITCH: Kind = Kind::Choice(&["Disabled", ENABLED]);

/// The settings of every firmware.
pub const ATTRIBUTES: [Attribute; 3] = [
    Attribute {
        name: "BootMode",
        display: "Boot mode",
        help: "Whether the firmware is a BIOS or UEFI.",
        kind: Kind::Choice(&["Bios", "Uefi"]),
        is_read_only: true,
    },
    Attribute {
        name: BOOT_TIMEOUT,
        display: "Boot timeout",
        help: "How many seconds the firmware waits for a key before it boots.",
        kind: Kind::Range(0, 60),
        is_read_only: false,
    },
    Attribute {
        name: VIRTUALIZATION,
        display: "Processor virtualization",
        help: "Whether the processors offer VT-x or AMD-V to the system.",
        kind: SWITCH,
        is_read_only: false,
    },
];

/// The settings by their names.
pub type Values = BTreeMap<&'static str, Value>;

/// Returns the value that an attribute has in a new machine.
pub fn default_of(name: &str, inventory: &Inventory) -> Value {
    match name {
        "BootMode" => Value::Text(
            match inventory.firmware {
                FirmwareKind::Bios => "Bios",
                FirmwareKind::Uefi => "Uefi",
            }
            .to_owned(),
        ),
        BOOT_TIMEOUT => Value::Number(0),
        _ => Value::Text(ENABLED.to_owned()),
    }
}

/// The settings of one machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Firmware {
    current: Values,
    defaults: Values,
    pending: Values,
    /// What comes with the next [`Firmware::set`].
    kept: Values,
    /// Whether the next start resets everything.
    resets: bool,
    /// When settings were put in force last, in seconds since 1970.
    applied: Option<u32>,
}

impl Firmware {
    /// Creates the settings of a new machine.
    pub fn new(inventory: &Inventory) -> Self {
        let defaults: Values = ATTRIBUTES
            .iter()
            .map(|attribute| (attribute.name, default_of(attribute.name, inventory)))
            .collect();
        Self {
            current: defaults.clone(),
            defaults,
            pending: Values::new(),
            kept: Values::new(),
            resets: false,
            applied: None,
        }
    }

    /// Returns what is in force.
    pub fn current(&self) -> &Values {
        &self.current
    }

    /// Returns what the next start puts in force.
    pub fn pending(&self) -> &Values {
        &self.pending
    }

    /// Returns whether the next start resets everything.
    pub fn resets(&self) -> bool {
        self.resets
    }

    /// Returns when settings were put in force last, in seconds since 1970.
    pub fn applied(&self) -> Option<u32> {
        self.applied
    }

    /// Returns what was set, and comes into force with no start yet.
    pub fn kept(&self) -> &Values {
        &self.kept
    }

    /// Sets for the next start, with what was kept.
    pub fn set(&mut self, values: Values) {
        self.pending.extend(std::mem::take(&mut self.kept));
        self.pending.extend(values);
    }

    /// Keeps settings that no start puts in force before [`Firmware::set`].
    pub fn keep(&mut self, values: Values) {
        self.kept.extend(values);
    }

    /// Sets everything for the next start to what a new machine has.
    pub fn reset(&mut self) {
        self.pending = self.defaults.clone();
        self.kept.clear();
        self.resets = true;
    }

    /// The machine starts: puts in force what is pending. Returns everything that is in force if something changes.
    pub fn start(&mut self, unix: u32) -> Option<&Values> {
        if self.pending.is_empty() {
            return None;
        }
        self.applied = Some(unix);
        self.resets = false;
        let pending = std::mem::take(&mut self.pending);
        let before = self.current.clone();
        self.current.extend(pending);
        (self.current != before).then_some(&self.current)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_come_into_force_at_the_next_start() {
        let mut firmware = Firmware::new(&Inventory::default());
        firmware.set(Values::from([("BootTimeout", Value::Number(5))]));
        assert_eq!(firmware.current()["BootTimeout"], Value::Number(0));
        assert_eq!(firmware.start(7).unwrap()["BootTimeout"], Value::Number(5));
        assert_eq!(firmware.current()["BootTimeout"], Value::Number(5));
        assert_eq!((firmware.applied(), firmware.pending().len()), (Some(7), 0));
        assert_eq!(firmware.start(8), None);
        firmware.reset();
        assert_eq!(firmware.start(9).unwrap()["BootTimeout"], Value::Number(0));
    }
}
