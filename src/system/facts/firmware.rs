//! UEFI firmware, as found in QEMU's firmware descriptors (`docs/interop/firmware.json` of QEMU).

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use crate::plan::FirmwareFile;

/// The fields of a descriptor that are used.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Descriptor {
    interface_types: Vec<String>,
    mapping: Mapping,
    targets: Vec<Target>,
    #[serde(default)]
    features: Vec<String>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Mapping {
    device: String,
    /// `split` (the default), `combined` or `stateless`.
    mode: Option<String>,
    executable: Option<Blob>,
    nvram_template: Option<Blob>,
}

#[derive(Debug, Deserialize)]
struct Blob {
    filename: PathBuf,
}

#[derive(Debug, Deserialize)]
struct Target {
    architecture: String,
    machines: Vec<String>,
}

/// Returns the folders of descriptors in ascending priority.
///
/// Those of a QEMU that is installed elsewhere (`/usr/local`, `/nix/store/…`) have lower priority than the documented
/// three.
#[expect(clippy::disallowed_methods, reason = "QEMU looks for descriptors where these variables say")]
pub(super) fn folders(qemu: Option<&Path>) -> Vec<PathBuf> {
    let own = qemu.and_then(super::prefix).map(|prefix| prefix.join("share/qemu/firmware"));
    let variable = |name: &str| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let configuration =
        variable("XDG_CONFIG_HOME").or_else(|| variable("HOME").map(|home| home.join(".config")));
    let documented = [
        Some("/usr/share/qemu/firmware".into()),
        Some("/etc/qemu/firmware".into()),
        configuration.map(|folder| folder.join("qemu/firmware")),
    ];
    let mut folders: Vec<PathBuf> = Vec::new();
    for folder in [own].into_iter().chain(documented).flatten() {
        if !folders.contains(&folder) {
            folders.push(folder);
        }
    }
    folders
}

/// Reads the descriptors of all folders and returns the usable firmware in order of preference.
///
/// A file masks files of the same name in folders of lower priority; an empty file only does that.
pub(super) fn find(folders: &[PathBuf]) -> Vec<FirmwareFile> {
    let mut files: BTreeMap<OsString, PathBuf> = BTreeMap::new();
    for entry in folders.iter().filter_map(|folder| fs::read_dir(folder).ok()).flatten().flatten() {
        let path = entry.path();
        if path.extension().is_some_and(|extension| extension == "json") {
            files.insert(entry.file_name(), path);
        }
    }
    let texts = files.values().filter_map(|path| fs::read_to_string(path).ok());
    texts.filter_map(|text| parse(&text)).filter(is_there).collect()
}

fn is_there(firmware: &FirmwareFile) -> bool {
    firmware.code.is_file() && firmware.variables.is_file()
}

/// Parses a descriptor; `None` if it is not UEFI firmware for a PC in two flash devices.
fn parse(text: &str) -> Option<FirmwareFile> {
    let descriptor: Descriptor = serde_json::from_str(text).ok()?;
    let has = |feature: &str| descriptor.features.iter().any(|word| word == feature);
    let mapping = descriptor.mapping;
    let split = mapping.device == "flash" && mapping.mode.as_deref().is_none_or(|mode| mode == "split");
    let uefi = descriptor.interface_types.iter().any(|kind| kind == "uefi");
    let ours = descriptor.targets.into_iter().filter(|target| target.architecture == "x86_64");
    let machines: Vec<String> = ours.flat_map(|target| target.machines).collect();
    (split && uefi && !machines.is_empty()).then_some(())?;
    Some(FirmwareFile {
        secure_boot: has("secure-boot"),
        enrolled_keys: has("enrolled-keys"),
        requires_smm: has("requires-smm"),
        code: mapping.executable?.filename,
        variables: mapping.nvram_template?.filename,
        machines,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fmt::Write;

    const DEBIAN_SECURE: &str = include_str!("firmware/debian-secure.json");

    fn show(found: &[FirmwareFile]) -> String {
        let mut text = String::new();
        for file in found {
            let FirmwareFile { code, variables, secure_boot, enrolled_keys, requires_smm, machines } = file;
            let name = |path: &Path| path.file_name().unwrap_or_default().display().to_string();
            let words =
                [(secure_boot, "secure-boot"), (enrolled_keys, "enrolled-keys"), (requires_smm, "smm")];
            let words: Vec<&str> = words.iter().filter(|(has, _)| **has).map(|(_, word)| *word).collect();
            writeln!(text, "{} {} {words:?} {machines:?}", name(code), name(variables)).unwrap();
        }
        text
    }

    #[test]
    fn a_descriptor_of_debian_is_read() {
        insta::assert_snapshot!(show(&[parse(DEBIAN_SECURE).unwrap()]), @r#"OVMF_CODE_4M.ms.fd OVMF_VARS_4M.ms.fd ["secure-boot", "enrolled-keys", "smm"] ["pc-q35-*"]"#);
    }

    #[test]
    fn firmware_that_is_not_for_our_machines_is_left_out() {
        let changes: [(&str, &str); 7] = [
            ("\"x86_64\"", "\"aarch64\""),
            ("\"uefi\"", "\"bios\""),
            ("\"flash\"", "\"memory\""),
            ("\"device\": \"flash\"", "\"device\": \"flash\", \"mode\": \"stateless\""),
            ("\"nvram-template\"", "\"something-else\""),
            ("\"targets\"", "\"tags\""),
            ("}", ""),
        ];
        for (from, to) in changes {
            let changed = DEBIAN_SECURE.replace(from, to);
            assert_ne!(changed, DEBIAN_SECURE, "{from}");
            assert_eq!(parse(&changed), None, "{from} -> {to}");
        }
        let split =
            DEBIAN_SECURE.replace("\"device\": \"flash\"", "\"device\": \"flash\", \"mode\": \"split\"");
        assert!(parse(&split).is_some());
    }

    #[test]
    fn later_folders_mask_earlier_ones_and_an_empty_file_removes() {
        let root = tempfile::tempdir().unwrap();
        let folders = ["system", "site", "user", "missing"].map(|name| root.path().join(name));
        for name in ["a.fd", "b.fd", "c.fd", "vars.fd"] {
            fs::write(root.path().join(name), "").unwrap();
        }
        let put = |folder: usize, name: &str, code: &str| {
            fs::create_dir_all(&folders[folder]).unwrap();
            let at = |file: &str| root.path().join(file).display().to_string();
            let text = DEBIAN_SECURE
                .replace("/usr/share/OVMF/OVMF_CODE_4M.ms.fd", &at(code))
                .replace("/usr/share/OVMF/OVMF_VARS_4M.ms.fd", &at("vars.fd"));
            fs::write(folders[folder].join(name), if code.is_empty() { "" } else { &text }).unwrap();
        };
        put(0, "60-plain.json", "a.fd");
        put(0, "50-secure.json", "b.fd");
        put(0, "70-gone.json", "a.fd");
        put(0, "80-without-its-file.json", "absent.fd");
        put(0, "README", "a.fd");
        put(1, "70-gone.json", "");
        put(1, "60-plain.json", "b.fd");
        put(2, "60-plain.json", "c.fd");
        put(2, "10-first.json", "a.fd");
        let found: Vec<String> =
            find(&folders).iter().map(|file| file.code.file_name().unwrap().display().to_string()).collect();
        assert_eq!(found, ["a.fd", "b.fd", "c.fd"]);
    }
}
