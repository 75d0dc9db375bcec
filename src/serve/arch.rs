//! Architectures of firmware; option 93 of DHCPv4 and option 61 of DHCPv6 use the same numbers.
//!
//! The table is data (IANA's "Processor Architecture Types", RFC 4578 and RFC 5970):
//! the name of each, and whose boot program it can run if it has none of its own.

use std::collections::BTreeMap;

/// A row of the table.
struct Row {
    number: u16,
    name: &'static str,
    /// The architecture whose programs this one can run too.
    same_as: Option<u16>,
}

const fn row(number: u16, name: &'static str, same_as: Option<u16>) -> Row {
    Row { number, name, same_as }
}

/// RFC 4578 calls 7 "EFI BC" and 9 "EFI x86-64", but x64 firmware has always sent 7 (RFC 5970, errata): both are x64.
const TABLE: &[Row] = &[
    row(0, "BIOS", None),
    row(2, "Itanium UEFI", None),
    row(6, "x86 UEFI", None),
    row(7, "x64 UEFI", None),
    row(9, "x64 UEFI", Some(7)),
    row(10, "32-bit Arm UEFI", None),
    row(11, "64-bit Arm UEFI", None),
    row(14, "POWER OPAL", None),
    row(15, "x86 UEFI over HTTP", Some(6)),
    row(16, "x64 UEFI over HTTP", Some(7)),
    row(17, "x64 UEFI over HTTP", Some(16)),
    row(18, "32-bit Arm UEFI over HTTP", Some(10)),
    row(19, "64-bit Arm UEFI over HTTP", Some(11)),
    row(20, "BIOS over HTTP", Some(0)),
    row(21, "32-bit Arm U-Boot", None),
    row(22, "64-bit Arm U-Boot", None),
    row(23, "32-bit Arm U-Boot over HTTP", Some(21)),
    row(24, "64-bit Arm U-Boot over HTTP", Some(22)),
    row(25, "32-bit RISC-V UEFI", None),
    row(26, "32-bit RISC-V UEFI over HTTP", Some(25)),
    row(27, "64-bit RISC-V UEFI", None),
    row(28, "64-bit RISC-V UEFI over HTTP", Some(27)),
    row(41, "a Raspberry Pi", None),
];

fn known(number: u16) -> Option<&'static Row> {
    TABLE.iter().find(|row| row.number == number)
}

/// Returns the display name of an architecture.
pub(super) fn name(number: u16) -> String {
    known(number).map_or_else(|| format!("architecture {number}"), |row| row.name.to_owned())
}

/// Returns the program for an architecture: its own, or a compatible one.
pub(super) fn program(programs: &BTreeMap<u16, String>, number: u16) -> Option<&str> {
    let other = |number: &u16| known(*number)?.same_as;
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
        for row in TABLE {
            let other = |number: &u16| known(*number).expect("kin is in the table").same_as;
            assert!(std::iter::successors(Some(row.number), other).count() < 4, "{}", row.name);
        }
        assert_eq!((name(16).as_str(), name(99).as_str()), ("x64 UEFI over HTTP", "architecture 99"));
    }
}
