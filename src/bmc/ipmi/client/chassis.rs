//! Typed chassis commands: power and the boot device (section 28).
//!
//! Requests are a command and its data for [`super::Client::command`]; answers are parsed from their data.

use super::super::boot_flags::BootFlags;
use super::super::command::{self, Command};
use crate::bmc::power::{Control, RestorePolicy};

/// A command and its data.
pub type Ask = (Command, Vec<u8>);

/// Parameter 3 of the boot options: when the flags become invalid by themselves.
const KEEP_VALID: u8 = 3;
/// Parameter 5 of the boot options: the flags.
const FLAGS: u8 = 5;

/// The answer to Get Chassis Status.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Status {
    /// Whether the machine is on.
    pub on: bool,
    /// What it does when power comes back, if the BMC knows.
    pub policy: Option<RestorePolicy>,
    /// Whether the power supply had an overload.
    pub overload: bool,
    /// Whether the last power-on was by IPMI.
    pub on_by_ipmi: bool,
}

impl Status {
    /// Asks for it.
    pub fn ask() -> Ask {
        (command::GET_CHASSIS_STATUS, Vec::new())
    }

    /// Parses the data of the answer; `None` if it is too short.
    pub fn parse(data: &[u8]) -> Option<Self> {
        let [power, last, _, ..] = data else { return None };
        let policy = RestorePolicy::parse(power >> 5 & 3);
        Some(Self { on: power & 1 != 0, policy, overload: power & 2 != 0, on_by_ipmi: last & 0x10 != 0 })
    }
}

/// Asks for an action of Chassis Control. The answer has no data; D5h means that the machine is off.
pub fn control(control: Control) -> Ask {
    (command::CHASSIS_CONTROL, vec![control.number()])
}

/// Asks to set the boot flags.
///
/// The first command keeps the flags valid beyond 60 s without a power command; BMCs that do not know it answer 80h,
/// which does no harm.
pub fn set_boot_flags(flags: &BootFlags) -> [Ask; 2] {
    [
        (command::SET_BOOT_OPTIONS, vec![KEEP_VALID, 0x08]),
        (command::SET_BOOT_OPTIONS, [&[FLAGS][..], &flags.bytes()].concat()),
    ]
}

/// Asks for the boot flags.
pub fn boot_flags() -> Ask {
    (command::GET_BOOT_OPTIONS, vec![FLAGS, 0, 0])
}

/// Parses the data of the answer; `None` if it is too short or of another parameter.
pub fn parse_boot_flags(data: &[u8]) -> Option<BootFlags> {
    let [_, parameter, first, second, ..] = data else { return None };
    // The top bit of the parameter says that it is locked.
    (parameter & 0x7f == FLAGS).then(|| BootFlags::parse([*first, *second]))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::bmc::ipmi::boot_flags::{BootMode, BootSelector, Lifetime};

    #[test]
    fn flags_as_clients_send_them() {
        let check = |device, mode, lifetime| {
            let [_, (_, data)] = set_boot_flags(&BootFlags::new(device, mode, lifetime));
            data
        };
        assert_eq!(check(BootSelector::Pxe, BootMode::Efi, Lifetime::Once), [5, 0xa0, 0x04, 0, 0, 0]);
        assert_eq!(check(BootSelector::Disk, BootMode::Efi, Lifetime::Persistent), [5, 0xe0, 0x08, 0, 0, 0]);
        assert_eq!(check(BootSelector::Floppy, BootMode::Legacy, Lifetime::Once), [5, 0x80, 0x3c, 0, 0, 0]);
        let flags = BootFlags::new(BootSelector::Setup, BootMode::Legacy, Lifetime::Persistent);
        let [keep, set] = set_boot_flags(&flags);
        assert_eq!(keep.1, [3, 8]);
        assert_eq!(parse_boot_flags(&[&[1], &set.1[..]].concat()), Some(flags));
    }

    #[test]
    fn status() {
        let status = Status::parse(&[0x61, 0x10, 0x40]).unwrap();
        assert!(status.on && status.on_by_ipmi && !status.overload);
        assert_eq!(status.policy, None);
    }

    proptest! {
        #[test]
        fn any_bytes(bytes: Vec<u8>) {
            let _ = (parse_boot_flags(&bytes), Status::parse(&bytes));
        }
    }
}
