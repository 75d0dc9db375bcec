//! The boot disk of Fedora CoreOS (mirrored, encrypted), and GRUB's users.

use super::sugar;
use crate::matchbox::ignition::report::{JsonPath, Report};
use crate::matchbox::ignition::schema::{self, Type};
use crate::matchbox::ignition::value::{Content, Record, Value};

const BIOS: &str = "21686148-6449-6E6F-744E-656564454649";
const PREP: &str = "9E1A2D38-C612-4316-AA26-8B49521E5A8B";
const ESP: &str = "C12A7328-F81F-11D2-BA4B-00A0C93EC93B";
const RESERVED: &str = "8DA63339-0007-60C0-C436-083AC8230908";

/// Reports errors in the sections `boot_device` and `grub`.
pub(crate) fn check(config: &Record, report: &mut Report) {
    let at = |name: &str| config.get(name).zip(config.kind.fields.iter().find(|field| field.name == name));
    let root = JsonPath::root();
    if let Some((value, field)) = at("bootDevice")
        && let Some(boot) = value.as_record()
    {
        let path = root.field(field);
        let of = |name: &str| boot.get(name).map_or(value.line, |value| value.line);
        if boot.text("layout").is_some_and(|layout| partitions(layout).is_none()) {
            report.add(of("layout"), &path, "its layout is one of `x86_64`, `aarch64` and `ppc64le`");
        }
        if boot.record("mirror").is_some_and(|mirror| mirror.list("devices").len() == 1) {
            report.add(of("mirror"), &path, "a mirror must have two devices or more");
        }
    }
    if let Some((value, field)) = at("grub")
        && let Some(grub) = value.as_record()
    {
        for user in grub.list("users") {
            let said = |name| user.as_record().and_then(|user| user.filled(name)).is_some();
            if !said("name") || !said("passwordHash") {
                report.add(user.line, &root.field(field), "a user must have a `name` and a `password_hash`");
            }
        }
    }
}

/// Returns the first two partitions of a layout: label, size and type.
fn partitions(layout: &str) -> Option<[(&'static str, i64, &'static str); 2]> {
    let (bios, esp) = (("bios", 1, BIOS), ("esp", 127, ESP));
    let (prep, reserved) = (("prep", 4, PREP), ("reserved", 1, RESERVED));
    match layout {
        "x86_64" => Some([bios, esp]),
        "aarch64" => Some([reserved, esp]),
        "ppc64le" => Some([prep, reserved]),
        _ => None,
    }
}

fn new(kind: &'static Type) -> Record {
    Record::new(kind)
}

fn list(records: impl IntoIterator<Item = Record>) -> Content {
    Content::List(records.into_iter().map(|record| Value::new(0, record)).collect())
}

fn filesystem(device: &str, format: &str, label: &str) -> Record {
    let filesystem = new(&schema::FILESYSTEM).with("device", device).with("format", format);
    filesystem.with("label", label).with("wipeFilesystem", true)
}

/// Returns the storage section for a boot device, if there is one.
pub(crate) fn storage(boot: &Record, line: usize) -> Option<Record> {
    let luks = boot.record("luks");
    let luks = luks.filter(|luks| luks.flag("tpm2") == Some(true) || !luks.list("tang").is_empty());
    let mirrored = boot.record("mirror").map_or(&[][..], |mirror| mirror.list("devices"));
    let mirrored: Vec<&str> = mirrored.iter().filter_map(Value::as_text).collect();
    if luks.is_none() && mirrored.is_empty() {
        return None;
    }
    let first_two = partitions(boot.text("layout").unwrap_or("x86_64"))?;
    let mut storage = new(&schema::STORAGE);
    let mut filesystems = Vec::new();
    let mut root = "/dev/disk/by-partlabel/root";
    if !mirrored.is_empty() {
        root = "/dev/md/md-root";
        let disks = mirrored.iter().zip(1..).map(|(device, number)| disk(device, number, first_two));
        storage = storage.with("disks", list(disks));
        for number in (1..=mirrored.len()).filter(|_| first_two[1].0 == "esp") {
            let label = format!("esp-{number}");
            filesystems.push(filesystem(&format!("/dev/disk/by-partlabel/{label}"), "vfat", &label));
        }
        // With the superblock at the end, GRUB for BIOS needs no RAID support.
        let boot = raid("boot", mirrored.len()).with("options", vec![Value::new(0, "--metadata=1.0")]);
        storage = storage.with("raid", list([boot, raid("root", mirrored.len())]));
        filesystems.push(filesystem("/dev/md/md-boot", "ext4", "boot"));
    }
    if let Some(luks) = luks {
        storage = storage.with("luks", list([encrypted(luks, root)]));
        root = "/dev/mapper/root";
    }
    filesystems.push(filesystem(root, "xfs", "root"));
    Some(storage.with("filesystems", list(filesystems)).at(line))
}

fn disk(device: &str, number: usize, first_two: [(&str, i64, &str); 2]) -> Record {
    let partition = |label: &str| new(&schema::PARTITION).with("label", format!("{label}-{number}"));
    let first =
        first_two.map(|(label, size, kind)| partition(label).with("sizeMiB", size).with("typeGuid", kind));
    let partitions = first.into_iter().chain([partition("boot").with("sizeMiB", 384), partition("root")]);
    new(&schema::DISK).with("device", device).with("partitions", list(partitions)).with("wipeTable", true)
}

fn raid(what: &str, members: usize) -> Record {
    let device = |number| Value::new(0, format!("/dev/disk/by-partlabel/{what}-{number}"));
    let devices: Vec<Value> = (1..=members).map(device).collect();
    new(&schema::RAID).with("devices", devices).with("level", "raid1").with("name", format!("md-{what}"))
}

fn encrypted(luks: &Record, device: &str) -> Record {
    let mut clevis = new(&schema::CLEVIS);
    for name in ["tang", "threshold", "tpm2"] {
        if let Some(value) = luks.get(name) {
            clevis.set(name, value.clone());
        }
    }
    let mut encrypted = new(&schema::LUKS).with("clevis", clevis).with("device", device);
    if let Some(discard) = luks.get("discard") {
        encrypted.set("discard", discard.clone());
    }
    encrypted.with("label", "luks-root").with("name", "root").with("wipeVolume", true)
}

/// Returns the storage section for GRUB's users, if there are any.
pub(crate) fn grub(grub: &Record, line: usize, minor: u8) -> Option<Record> {
    let users: Vec<(&str, &str)> = grub
        .records("users")
        .map(|user| (user.text("name").unwrap_or_default(), user.text("passwordHash").unwrap_or_default()))
        .collect();
    if users.is_empty() {
        return None;
    }
    let names: Vec<&str> = users.iter().map(|(name, _)| *name).collect();
    let passwords: Vec<String> =
        users.iter().map(|(name, hash)| format!("password_pbkdf2 {name} {hash}")).collect();
    let config = format!(
        "# Generated by Butane\n\nset superusers=\"{}\"\n{}\n",
        names.join(" "),
        passwords.join("\n")
    );
    let mut contents = new(&schema::RESOURCE);
    sugar::source(&mut contents, config.as_bytes(), line, minor);
    let file = new(&schema::FILE).with("path", "/boot/grub2/user.cfg").with("append", list([contents]));
    let boot = new(&schema::FILESYSTEM).with("device", "/dev/disk/by-label/boot");
    let boot = boot.with("format", "ext4").with("path", "/boot");
    Some(new(&schema::STORAGE).with("files", list([file])).with("filesystems", list([boot])).at(line))
}
