//! IANA's registry of processor architectures: option 93 of DHCPv4 and option 61 of DHCPv6 use its numbers.
//!
//! The table is data (RFC 4578, RFC 5970 and the registry "Processor Architecture Types").

use serde_json::{Value, json};

/// An architecture of firmware.
#[derive(Debug, Clone, Copy)]
pub struct Architecture {
    /// Its number.
    pub number: u16,
    /// Its name in the registry.
    pub iana: &'static str,
    /// The short name that lab files use.
    pub word: Option<&'static str>,
    /// The architecture whose boot programs this one can run too.
    pub same_as: Option<u16>,
}

impl Architecture {
    /// A BIOS.
    pub const BIOS: u16 = 0;
    /// UEFI on x64.
    pub const UEFI_X64: u16 = 7;
    /// U-Boot on 32-bit Arm.
    pub const U_BOOT_ARM32: u16 = 21;
    /// U-Boot on 64-bit Arm.
    pub const U_BOOT_ARM64: u16 = 22;
    /// The network boot of Raspberry Pis.
    pub const RASPBERRY_PI: u16 = 41;
}

const fn row(number: u16, iana: &'static str, same_as: Option<u16>) -> Architecture {
    Architecture { number, iana, word: None, same_as }
}

const fn short(number: u16, iana: &'static str, word: &'static str) -> Architecture {
    Architecture { number, iana, word: Some(word), same_as: None }
}

/// Every row of the registry. x64 firmware sends 7, or 9 as early versions of RFC 4578 had it: both are x64.
pub const ARCHITECTURES: &[Architecture] = &[
    short(0, "x86 BIOS", "bios"),
    row(1, "NEC/PC98", None),
    row(2, "Itanium", None),
    row(3, "DEC Alpha", None),
    row(4, "Arc x86", None),
    row(5, "Intel Lean Client", None),
    short(6, "x86 UEFI", "uefi-x86"),
    short(7, "x64 UEFI", "uefi-x64"),
    row(8, "EFI Xscale", None),
    row(9, "EBC", Some(7)),
    short(10, "ARM 32-bit UEFI", "uefi-arm32"),
    short(11, "ARM 64-bit UEFI", "uefi-arm64"),
    row(12, "PowerPC Open Firmware", None),
    row(13, "PowerPC ePAPR", None),
    row(14, "POWER OPAL v3", None),
    row(15, "x86 uefi boot from http", Some(6)),
    row(16, "x64 uefi boot from http", Some(7)),
    row(17, "ebc boot from http", Some(16)),
    row(18, "arm uefi 32 boot from http", Some(10)),
    row(19, "arm uefi 64 boot from http", Some(11)),
    row(20, "pc/at bios boot from http", Some(0)),
    row(21, "arm 32 uboot", None),
    row(22, "arm 64 uboot", None),
    row(23, "arm uboot 32 boot from http", Some(21)),
    row(24, "arm uboot 64 boot from http", Some(22)),
    row(25, "RISC-V 32-bit UEFI", None),
    row(26, "RISC-V 32-bit UEFI boot from http", Some(25)),
    row(27, "RISC-V 64-bit UEFI", None),
    row(28, "RISC-V 64-bit UEFI boot from http", Some(27)),
    row(29, "RISC-V 128-bit UEFI", None),
    row(30, "RISC-V 128-bit UEFI boot from http", Some(29)),
    row(31, "s390 Basic", None),
    row(32, "s390 Extended", None),
    row(33, "MIPS 32-bit UEFI", None),
    row(34, "MIPS 64-bit UEFI", None),
    row(35, "Sunway 32-bit UEFI", None),
    row(36, "Sunway 64-bit UEFI", None),
    row(37, "LoongArch 32-bit UEFI", None),
    row(38, "LoongArch 32-bit UEFI boot from http", Some(37)),
    row(39, "LoongArch 64-bit UEFI", None),
    row(40, "LoongArch 64-bit UEFI boot from http", Some(39)),
    row(41, "arm rpiboot", None),
];

/// Finds an architecture by its number, its short name or its name in the registry, in which spaces may be hyphens.
/// A number need not be in the registry.
pub fn architecture(key: &str) -> Option<u16> {
    let is_number = !key.is_empty() && key.bytes().all(|digit| digit.is_ascii_digit());
    if is_number {
        return key.parse().ok();
    }
    let is_it = |row: &&Architecture| {
        row.word == Some(key) || row.iana.eq_ignore_ascii_case(key) || hyphenated(row.iana) == key
    };
    ARCHITECTURES.iter().find(is_it).map(|row| row.number)
}

/// Returns the names that a lab file can use, in the form of bare keys.
pub fn architecture_names() -> impl Iterator<Item = String> {
    let short = ARCHITECTURES.iter().filter_map(|row| row.word).map(str::to_owned);
    short.chain(ARCHITECTURES.iter().map(|row| hyphenated(row.iana)))
}

fn hyphenated(name: &str) -> String {
    name.to_lowercase().replace([' ', '/'], "-")
}

/// Describes the keys of `programs` in the schema.
pub(super) fn key_schema() -> Value {
    let names: Vec<String> = architecture_names().collect();
    json!({ "anyOf": [{ "enum": names }, { "pattern": "^[0-9]{1,5}$" }, { "pattern": "^[A-Za-z0-9/ -]+$" }] })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_architecture_has_a_number_a_name_and_perhaps_a_short_one() {
        for (key, number) in [
            ("uefi-x64", Some(7)),
            ("x64 UEFI", Some(7)),
            ("x64-uefi", Some(7)),
            ("arm 64 uboot", Some(22)),
            ("arm-64-uboot", Some(22)),
            ("pc-at-bios-boot-from-http", Some(20)),
            ("22", Some(22)),
            ("41", Some(41)),
            ("65535", Some(65535)),
            ("65536", None),
            ("-1", None),
            ("", None),
            ("arm 65 uboot", None),
        ] {
            assert_eq!(architecture(key), number, "{key}");
        }
    }

    #[test]
    fn the_registry_is_in_order_and_each_name_is_there_once() {
        assert!(ARCHITECTURES.iter().map(|row| usize::from(row.number)).eq(0..ARCHITECTURES.len()));
        for name in architecture_names() {
            let found =
                ARCHITECTURES.iter().filter(|row| hyphenated(row.iana) == name || row.word == Some(&name));
            assert_eq!(found.count(), 1, "{name}");
        }
        for row in ARCHITECTURES {
            assert_eq!(architecture(row.iana), Some(row.number));
        }
    }
}
