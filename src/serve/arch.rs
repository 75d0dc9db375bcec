//! Architectures of firmware: their display names, and which boot program each can run.

use std::borrow::Cow;
use std::collections::BTreeMap;

use crate::lab::{ARCHITECTURES, Architecture};

/// Display names, where that of the registry is unclear.
const NAMES: &[(u16, &str)] = &[
    (0, "BIOS"),
    (2, "Itanium UEFI"),
    (9, "x64 UEFI"),
    (10, "32-bit Arm UEFI"),
    (11, "64-bit Arm UEFI"),
    (14, "POWER OPAL"),
    (15, "x86 UEFI over HTTP"),
    (16, "x64 UEFI over HTTP"),
    (17, "x64 UEFI over HTTP"),
    (18, "32-bit Arm UEFI over HTTP"),
    (19, "64-bit Arm UEFI over HTTP"),
    (20, "BIOS over HTTP"),
    (21, "32-bit Arm U-Boot"),
    (22, "64-bit Arm U-Boot"),
    (23, "32-bit Arm U-Boot over HTTP"),
    (24, "64-bit Arm U-Boot over HTTP"),
    (Architecture::RASPBERRY_PI, "a Raspberry Pi"),
];

/// Returns the display name of an architecture.
pub(super) fn name(number: u16) -> Cow<'static, str> {
    let shown = NAMES.iter().find(|(row, _)| *row == number).map(|(_, name)| *name);
    let in_registry = || ARCHITECTURES.iter().find(|row| row.number == number).map(|row| row.iana);
    match shown.or_else(in_registry) {
        Some(name) => name.into(),
        None => format!("architecture {number}").into(),
    }
}

/// Returns the program for an architecture: its own, or a compatible one.
pub(super) fn program(programs: &BTreeMap<u16, String>, number: u16) -> Option<&str> {
    let other = |number: &u16| ARCHITECTURES.iter().find(|row| row.number == *number)?.same_as;
    std::iter::successors(Some(number), other).find_map(|number| programs.get(&number)).map(String::as_str)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_is_found_by_architecture_and_by_kin() {
        let programs = |numbers: &[u16]| -> BTreeMap<u16, String> {
            numbers.iter().map(|number| (*number, number.to_string())).collect()
        };
        let both = programs(&[0, 7]);
        let found = [0, 6, 7, 9, 16, 17, 19, 20, 99].map(|number| program(&both, number));
        assert_eq!(
            found,
            [Some("0"), None, Some("7"), Some("7"), Some("7"), Some("7"), None, Some("0"), None]
        );
        let own = programs(&[7, 16]);
        assert_eq!([9, 16, 17].map(|number| program(&own, number)), [Some("7"), Some("16"), Some("16")]);
    }

    #[test]
    fn every_way_of_kin_ends() {
        for row in ARCHITECTURES {
            let other =
                |number: &u16| ARCHITECTURES.iter().find(|row| row.number == *number).expect("a row").same_as;
            assert!(std::iter::successors(Some(row.number), other).count() < 4, "{}", row.iana);
        }
        let names = [16, 7, 36, 99].map(|number| name(number).into_owned());
        assert_eq!(names, ["x64 UEFI over HTTP", "x64 UEFI", "Sunway 64-bit UEFI", "architecture 99"]);
    }
}
