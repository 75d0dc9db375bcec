//! Codes that firmware and iPXE print instead of words.
//!
//! A code of iPXE is a number of four parts (`src/include/errno.h`): the POSIX error in bits 24 to 30, the source file
//! in bits 13 to 23, what tells errors of one file apart in bits 8 to 12, and a byte of the platform. The numbers of
//! source files are those of iPXE as of August 2026; older versions have the same numbers for what they have. A code of
//! PXE firmware means one thing in EDK2 and another in the ROMs of Intel and Broadcom.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use regex::Regex;
use serde::Deserialize;

/// A code that was found in a text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PrintedCode {
    /// As it is usually written: `040ee119`, `PXE-E18`.
    pub code: String,
    /// What it means; for PXE firmware, by the family that prints it.
    pub meanings: Vec<Meaning>,
}

/// What a code means.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Meaning {
    /// Who prints it.
    pub of: &'static str,
    /// In a sentence.
    pub meaning: String,
    /// What to look at.
    pub look: Vec<String>,
    /// The parts of the number, each with what it says.
    pub parts: Vec<(&'static str, String)>,
}

/// The codes of iPXE.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Ipxe {
    class: BTreeMap<String, Class>,
    part: BTreeMap<String, Part>,
    code: BTreeMap<String, Known>,
    efi: BTreeMap<String, String>,
    pxe: BTreeMap<String, String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Class {
    name: String,
    meaning: String,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Part {
    name: String,
    what: String,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Known {
    name: String,
    meaning: String,
    #[serde(default)]
    look: Vec<String>,
}

/// A code of PXE firmware.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Firmware {
    edk2: Option<Printed>,
    legacy: Option<Printed>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Printed {
    line: String,
    meaning: String,
    #[serde(default)]
    look: Vec<String>,
}

static IPXE: LazyLock<Ipxe> =
    LazyLock::new(|| toml::from_str(include_str!("codes/ipxe.toml")).expect("as the tests ensure"));
static PXE: LazyLock<BTreeMap<String, Firmware>> =
    LazyLock::new(|| toml::from_str(include_str!("codes/pxe.toml")).expect("as the tests ensure"));

/// The class of errors that the firmware reports.
const OF_FIRMWARE: u32 = 0x7f;

/// The forms in which people pass codes on.
static FORMS: LazyLock<Regex> = LazyLock::new(|| {
    let forms = r"(?xi)
        (?: https?://)? ipxe\.org / (?: err/ )? (?<url> [0-9a-f]{6} (?: [0-9a-f]{2} )? ) \b
        | \b err: (?<err> [0-9a-f]{6} (?: [0-9a-f]{2} )? ) \b
        | ^ \s* (?: 0x )? (?<bare> [0-9a-f]{6} (?: [0-9a-f]{2} )? ) \s* $
        | \b PXE- (?<pxe> [A-Z][0-9A-F]{2} ) \b";
    Regex::new(forms).expect("a regular expression")
});

/// Returns the codes in a text: alone, in a URL, or in a line of a console.
pub fn decode(text: &str) -> Vec<PrintedCode> {
    let mut codes: Vec<PrintedCode> = Vec::new();
    for found in FORMS.captures_iter(text) {
        let code = match found.name("pxe") {
            Some(pxe) => firmware(&pxe.as_str().to_ascii_uppercase()),
            None => ["url", "err", "bare"]
                .iter()
                .find_map(|name| found.name(name))
                .and_then(|digits| ipxe(&digits.as_str().to_ascii_lowercase())),
        };
        if let Some(code) = code
            && !codes.contains(&code)
        {
            codes.push(code);
        }
    }
    codes
}

/// Decodes a number of iPXE, of six or eight digits.
fn ipxe(digits: &str) -> Option<PrintedCode> {
    let number = u32::from_str_radix(digits, 16).ok()?;
    let platform = (digits.len() == 8).then_some(number & 0xff);
    let number = if digits.len() == 8 { number >> 8 } else { number };
    let key = format!("{number:06x}");
    let is_of_firmware = number >> 16 & 0x7f == OF_FIRMWARE;
    let class = IPXE.class.get(&format!("{:02x}", number >> 16 & 0x7f));
    let file = IPXE.part.get(&format!("{:06x}", number << 8 & 0x00ff_e000));
    let known = IPXE.code.get(&key);
    // An error of the firmware is one only in a part that exists.
    if class.is_none() && known.is_none() && !(is_of_firmware && file.is_some()) {
        return None;
    }
    let mut parts = Vec::new();
    if let Some(known) = known {
        parts.push(("error", known.name.clone()));
    }
    if let Some(Class { name, meaning }) = class {
        parts.push(("class", format!("{name}: {meaning}")));
    } else if is_of_firmware {
        parts.push(("class", "EPLATFORM: the firmware reported an error".to_owned()));
    }
    match file {
        Some(Part { name, what }) => parts.push(("part", format!("{name}: {what}"))),
        None => parts.push(("part", "unknown to this table, which is of August 2026".to_owned())),
    }
    // Elsewhere the byte follows from the class.
    if let Some(byte) = platform.filter(|_| is_of_firmware) {
        let says = match byte & 0x80 {
            0 => IPXE.pxe.get(&format!("{byte:02x}")).map(|says| format!("BIOS: {says}")),
            _ => IPXE.efi.get(&format!("{byte:02x}")).map(|says| format!("UEFI: {says}")),
        };
        parts.extend(says.map(|says| ("platform", format!("{byte:02x}, {says}"))));
    }
    let meaning = known.map(|known| known.meaning.clone()).or_else(|| {
        let class = class.map_or("the firmware reported an error", |class| &class.meaning);
        let meaning = upper(class);
        Some(match file {
            Some(Part { what, .. }) => format!("{meaning}, says {what}."),
            None => format!("{meaning}."),
        })
    })?;
    let look = known.map(|known| known.look.clone()).unwrap_or_default();
    Some(PrintedCode {
        code: digits.to_owned(),
        meanings: vec![Meaning { of: "iPXE", meaning, look, parts }],
    })
}

/// Decodes a code of PXE firmware, such as `E18`.
fn firmware(code: &str) -> Option<PrintedCode> {
    let code = format!("PXE-{code}");
    let Firmware { edk2, legacy } = PXE.get(&code)?;
    let families = [("EDK2 and most UEFI firmware", edk2), ("PXE ROMs for BIOS", legacy)];
    let meanings = families.into_iter().filter_map(|(of, printed)| {
        let Printed { line, meaning, look } = printed.as_ref()?;
        let parts = vec![("line", line.clone())];
        Some(Meaning { of, meaning: meaning.clone(), look: look.clone(), parts })
    });
    let meanings = meanings.collect();
    Some(PrintedCode { code, meanings })
}

fn upper(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map(|first| first.to_uppercase().chain(letters).collect()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str) -> String {
        let parts = |meaning: &Meaning| {
            let parts: Vec<_> = meaning.parts.iter().map(|(name, says)| format!("{name} {says}")).collect();
            format!("{}: {} [{}]", meaning.of, meaning.meaning, parts.join("; "))
        };
        let code = |code: &PrintedCode| {
            format!("{}\n{}\n", code.code, code.meanings.iter().map(parts).collect::<Vec<_>>().join("\n"))
        };
        decode(text).iter().map(code).collect()
    }

    #[test]
    fn codes_are_decoded_in_every_form() {
        insta::assert_snapshot!(check("040ee119"));
        assert_eq!(
            decode("https://ipxe.org/040ee186")[0].meanings[0].meaning,
            decode("040ee1")[0].meanings[0].meaning
        );
        for form in ["http://ipxe.org/err/040ee1", "err:040ee1", "0x040ee1", "ipxe.org/040EE119"] {
            assert_eq!(decode(form).len(), 1, "{form}");
        }
        for none in ["deadbe", "ffffffff", "e18", "a 040ee119 b", "PXE-Z99", "12345"] {
            assert_eq!(decode(none), [], "{none}");
        }
    }

    #[test]
    fn codes_in_a_line_are_found() {
        insta::assert_snapshot!(check(
            "http://10.0.0.1/boot... No such file or directory (https://ipxe.org/2d0c618e)"
        ));
        insta::assert_snapshot!(check("  PXE-E18: Server response timeout."));
    }

    #[test]
    fn a_code_that_is_not_known_exactly_has_class_and_part() {
        insta::assert_snapshot!(check("4c126f92"));
    }
}
