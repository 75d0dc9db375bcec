//! Rules about disks and their contents.

use std::collections::HashSet;

use super::{Scope, bad_path};
use crate::matchbox::ignition::url;
use crate::matchbox::ignition::value::Record;

/// Partitions must not overlap, or share numbers or labels.
pub(super) fn disk(scope: &mut Scope<'_>) {
    let record = scope.record;
    let Some(device) = record.filled("device") else {
        return scope.wrong_field("device", "a device is required");
    };
    if let Some(why) = bad_path(device) {
        scope.wrong_field("device", why);
    }
    let partitions: Vec<&Record> = record.records("partitions").collect();
    let mut numbers = HashSet::new();
    let mut labels = HashSet::new();
    for (index, partition) in partitions.iter().enumerate() {
        let number = partition.number("number").unwrap_or(0);
        if number != 0 && !numbers.insert(number) {
            scope.wrong_item(
                "partitions",
                index,
                Some("number"),
                format!("{number} is another partition's number"),
            );
        }
        if let Some(label) = partition.text("label")
            && !labels.insert(label)
        {
            scope.wrong_item(
                "partitions",
                index,
                Some("label"),
                format!("`{label}` is another partition's label"),
            );
        }
    }
    if let Some(index) = overlap(&partitions) {
        scope.wrong_item("partitions", index, None, "it overlaps another partition");
    }
    let gone = partitions.iter().any(|partition| partition.flag("shouldExist") == Some(false));
    if gone && partitions.iter().any(|partition| partition.number("number").unwrap_or(0) == 0) {
        scope.wrong_field("partitions", "where one should not exist, all must have a number");
    }
}

/// Returns the first partition that overlaps another one.
fn overlap(partitions: &[&Record]) -> Option<usize> {
    let extent = |(index, partition): (usize, &&Record)| {
        let start = partition.number("startMiB").filter(|start| *start != 0)?;
        let size = partition.number("sizeMiB")?;
        // A size of zero means the remaining space.
        Some((index, start, if size == 0 { start } else { start.wrapping_add(size).wrapping_sub(1) }))
    };
    let mut extents: Vec<(usize, i64, i64)> = partitions.iter().enumerate().filter_map(extent).collect();
    let backwards = extents.iter().any(|(_, start, end)| end < start);
    if !backwards {
        // After sorting, only neighbours need to be compared, however many there are.
        extents.sort_by_key(|(_, start, _)| *start);
        let mut furthest: Option<i64> = None;
        for (index, start, end) in extents {
            if furthest.is_some_and(|furthest| start <= furthest) {
                return Some(index);
            }
            furthest = furthest.max(Some(end));
        }
        return None;
    }
    // Negative sizes are compared as in Ignition, which does not reject them.
    let meets = |(at, start, end): &(usize, i64, i64)| {
        extents.iter().take(4096).find(|(other, from, to)| {
            other != at
                && ((from..=to).contains(&start) || (from..=to).contains(&end) || (start < from && end > to))
        })
    };
    extents.iter().take(4096).find_map(meets).map(|(index, _, _)| *index)
}

/// A partition needs a number or label.
pub(super) fn partition(scope: &mut Scope<'_>) {
    let record = scope.record;
    let (number, label) = (record.number("number").unwrap_or(0), record.text("label"));
    let guids = ["guid", "typeGuid"];
    if record.flag("shouldExist") == Some(false)
        && (label.is_some()
            || guids.iter().any(|name| record.filled(name).is_some())
            || record.get("startMiB").is_some()
            || record.get("sizeMiB").is_some())
    {
        scope.wrong("what should not exist has nothing but a number");
    }
    if number == 0 && label.is_none() {
        scope.wrong("a partition must have a number or a label");
    }
    match label {
        Some(label) if label.len() > 36 => scope.wrong_field("label", "must not be longer than 36 bytes"),
        Some(label) if label.contains(':') => scope.wrong_field("label", "must have no colon"),
        _ => {}
    }
    for name in guids {
        if record.filled(name).is_some_and(|guid| !is_guid(guid)) {
            scope.wrong_field(name, "is not of the form 01234567-89AB-CDEF-EDCB-A98765432101");
        }
    }
}

fn is_guid(text: &str) -> bool {
    let parts: Vec<&str> = text.split('-').collect();
    let lengths = [8, 4, 4, 4, 12];
    parts.len() == lengths.len()
        && parts
            .iter()
            .zip(lengths)
            .all(|(part, length)| part.len() == length && part.bytes().all(|byte| byte.is_ascii_hexdigit()))
}

/// A filesystem must have a supported format and a label that fits.
pub(super) fn filesystem(scope: &mut Scope<'_>) {
    let record = scope.record;
    if let Some(why) = record.filled("path").and_then(bad_path) {
        scope.wrong_field("path", why);
    }
    if let Some(why) = bad_path(record.text("device").unwrap_or_default()) {
        scope.wrong_field("device", why);
    }
    let label = record.filled("label");
    let longest = match record.filled("format") {
        None => {
            let texts = ["path", "label", "uuid"].iter().any(|name| record.filled(name).is_some());
            let lists = !record.list("options").is_empty()
                || (scope.minor >= 1 && !record.list("mountOptions").is_empty());
            if texts || lists || record.flag("wipeFilesystem") == Some(true) {
                scope.wrong_field("format", "a filesystem that is more than a device must have a format");
            }
            return;
        }
        Some("ext4") => 16,
        Some("btrfs") => 256,
        Some("xfs") => 12,
        Some("swap") => 15,
        Some("vfat") => 11,
        Some("none") if scope.minor >= 3 => return,
        Some(other) => {
            let more = if other == "none" { ": it needs Ignition 3.3.0" } else { "" };
            return scope.wrong_field("format", format!("`{other}` is not a format of filesystems{more}"));
        }
    };
    if label.is_some_and(|label| label.len() > longest) {
        scope.wrong_field("label", format!("must not be longer than {longest} bytes in this format"));
    }
}

/// An encrypted device needs a device, and one method to unlock it.
pub(super) fn luks(scope: &mut Scope<'_>) {
    let record = scope.record;
    if record.text("name").is_some_and(|name| name.contains('/')) {
        scope.wrong_field("name", "must have no `/`");
    }
    if record.text("label").is_some_and(|label| label.len() > 47) {
        scope.wrong_field("label", "must not be longer than 47 bytes");
    }
    match record.filled("device") {
        None => scope.wrong_field("device", "a device is required"),
        Some(device) => {
            if let Some(why) = bad_path(device) {
                scope.wrong_field("device", why);
            }
        }
    }
    if let Some(clevis) = record.record("clevis") {
        let custom = clevis.record("custom");
        let custom = if scope.minor >= 3 {
            custom.and_then(|custom| custom.filled("pin")).is_some()
        } else {
            custom.is_some()
        };
        let others = !clevis.list("tang").is_empty()
            || clevis.flag("tpm2") == Some(true)
            || clevis.number("threshold").is_some_and(|threshold| threshold != 0);
        if custom && others {
            scope.wrong_field("clevis", "either `custom` or any of `tang`, `tpm2` and `threshold`");
        }
    }
    let key = record.record("keyFile").and_then(|key| key.filled("source"));
    if key.is_some_and(|source| url::unusable(source, scope.minor).is_some()) {
        scope.wrong_field("keyFile", "its source cannot be fetched");
    }
}

/// An array needs a level and devices.
pub(super) fn raid(scope: &mut Scope<'_>) {
    let record = scope.record;
    match record.filled("level") {
        None => scope.wrong_field("level", "a level is required"),
        Some("linear" | "raid0" | "0" | "stripe") => {
            if record.number("spares").is_some_and(|spares| spares != 0) {
                scope.wrong_field("spares", "this level has no spares");
            }
        }
        Some("raid1" | "1" | "mirror" | "raid4" | "4" | "raid5" | "5" | "raid6" | "6" | "raid10" | "10") => {}
        Some(other) => scope.wrong_field("level", format!("`{other}` is not a level of RAID")),
    }
    let devices = record.list("devices");
    if devices.is_empty() {
        scope.wrong_field("devices", "an array must have devices");
    }
    for (index, device) in devices.iter().enumerate() {
        if let Some(why) = bad_path(device.as_text().unwrap_or_default()) {
            scope.wrong_item("devices", index, None, why);
        }
    }
}
