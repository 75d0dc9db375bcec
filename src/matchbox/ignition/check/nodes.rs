//! Rules about files, directories and links.

use std::collections::HashSet;

use super::{Scope, bad_path};
use crate::matchbox::go::path::clean;
use crate::matchbox::ignition::value::Record;

const NODES: [&str; 3] = ["files", "directories", "links"];

/// Files, directories and links must not use the paths of systemd units.
pub(super) fn config(scope: &mut Scope<'_>) {
    let record = scope.record;
    let Some(storage) = record.record("storage") else { return };
    let units = record.record("systemd").map(written).unwrap_or_default();
    if units.is_empty() {
        return;
    }
    for list in NODES {
        for (index, node) in storage.records(list).enumerate() {
            if units.contains(node.text("path").unwrap_or_default()) {
                let line = node.get("path").map_or(0, |path| path.line);
                scope.report.add(
                    line,
                    &scope.path,
                    format!("storage.{list}[{index}].path: a unit of systemd is written there"),
                );
            }
        }
    }
}

/// Returns the paths of units with contents.
fn written(systemd: &Record) -> HashSet<String> {
    let mut paths = HashSet::new();
    for unit in systemd.records("units") {
        let path = format!("/etc/systemd/system/{}", unit.text("name").unwrap_or_default());
        for dropin in unit.records("dropins").filter(|dropin| dropin.filled("contents").is_some()) {
            paths.insert(format!("{path}.d/{}", dropin.text("name").unwrap_or_default()));
        }
        if unit.filled("contents").is_some() {
            paths.insert(path);
        }
    }
    paths
}

/// No path may be below a link, and the target of a hard link must not be a directory.
pub(super) fn storage(scope: &mut Scope<'_>) {
    let record = scope.record;
    fn path(node: &Record) -> &str {
        node.text("path").unwrap_or_default()
    }
    let links: HashSet<&str> = record.records("links").map(path).collect();
    if links.is_empty() {
        return;
    }
    for list in NODES {
        for (index, node) in record.records(list).enumerate() {
            let path = path(node);
            if path.match_indices('/').any(|(slash, _)| links.contains(&path[..slash])) {
                scope.wrong_item(list, index, Some("path"), "it stands below a link");
            }
        }
    }
    let directories: HashSet<&str> = record.records("directories").map(path).collect();
    for (index, link) in record.records("links").enumerate() {
        let target = link.text("target").unwrap_or_default();
        if scope.minor >= 3 && target.is_empty() {
            scope.wrong_item("links", index, Some("target"), "a link must have a target");
        } else if link.flag("hard") == Some(true) {
            let cleaned = clean(target);
            // In Ignition, a relative target starts at the link itself.
            let target =
                if cleaned.starts_with('/') { cleaned } else { clean(&format!("{}/{target}", path(link))) };
            if directories.contains(target.as_str()) {
                scope.wrong_item("links", index, Some("target"), "a hard link cannot lead to a directory");
            }
        }
    }
}

/// A path must be absolute and clean.
pub(super) fn node(scope: &mut Scope<'_>) {
    if let Some(why) = bad_path(scope.record.text("path").unwrap_or_default()) {
        scope.wrong_field("path", why);
    }
}

fn mode(scope: &mut Scope<'_>) {
    if scope.record.number("mode").is_some_and(|mode| !(0..=0o7777).contains(&mode)) {
        scope.wrong_field("mode", "is none of 0 to 0o7777, which is 4095");
    }
}

/// The rules of a node, and a valid mode.
pub(super) fn directory(scope: &mut Scope<'_>) {
    node(scope);
    mode(scope);
}

/// The rules of a node, a valid mode, and contents if it does not overwrite.
pub(super) fn file(scope: &mut Scope<'_>) {
    node(scope);
    mode(scope);
    let contents = scope.record.record("contents");
    if scope.record.flag("overwrite") == Some(true)
        && contents.is_none_or(|contents| contents.get("source").is_none())
    {
        scope.wrong_field("overwrite", "needs contents that have a source");
    }
}

/// An owner is either a name or a number.
pub(super) fn owner(scope: &mut Scope<'_>) {
    if scope.record.get("id").is_some() && scope.record.filled("name").is_some() {
        scope.wrong("either `id` or `name`, not both");
    }
}
