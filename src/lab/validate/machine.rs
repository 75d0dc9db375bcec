//! Machine properties: memory, CPUs, disks, SMBIOS strings.

use std::collections::BTreeMap;

use super::node::{Draft, firmware, memory, uuid};
use super::{Check, Span};
use crate::config::{Located, RawNode, RawStart};
use crate::diag::{Code, Diagnostic};
use crate::lab::Chipset;
use crate::lab::{Firmware, Node, Start};
use crate::name::{Bytes, LabName, NodeName};

/// SeaBIOS and iPXE need a few megabytes; a kernel needs this much to unpack its initramfs.
const LEAST_BIOS: Bytes = Bytes::mebi(64);

/// OVMF reserves most of 128 MiB for itself.
const LEAST_UEFI: Bytes = Bytes::mebi(256);

const MOST_CPUS: i64 = 64;

impl Check<'_> {
    pub(super) fn machine(&mut self, raw: &RawNode, node: &str, home: &Span) {
        let firmware = firmware(raw);
        let least = match firmware {
            Firmware::Bios => LEAST_BIOS,
            Firmware::Uefi | Firmware::UefiSecure => LEAST_UEFI,
        };
        let size = memory(raw);
        if size < least {
            let span = raw.memory.span().unwrap_or(home);
            let kind = if firmware == Firmware::Bios { "BIOS" } else { "UEFI" };
            self.report(
                Diagnostic::new(
                    Code::MemoryTooSmall,
                    span.clone(),
                    format!("`{node}` cannot boot with {size}"),
                )
                .help(format!("a {kind} node needs at least {least}")),
            );
        }
        if let Some(cpus) = raw.cpus.given().filter(|cpus| !(1..=MOST_CPUS).contains(&cpus.value)) {
            self.report(
                Diagnostic::new(
                    Code::CpuCount,
                    cpus.span.clone(),
                    format!("a node cannot have {} CPUs", cpus.value),
                )
                .help(format!("a node has 1 to {MOST_CPUS} CPUs")),
            );
        }
        if let Some(machine) = raw.machine.given().filter(|machine| machine.value == Chipset::Pc)
            && firmware == Firmware::UefiSecure
        {
            let what = format!("`{node}` has Secure Boot, which the pc machine type does not support");
            let diagnostic = Diagnostic::new(Code::SecureNeedsQ35, machine.span.clone(), what)
                .help("remove `machine`; the default is q35");
            self.report(match raw.firmware.span() {
                Some(position) => diagnostic.related(position.clone(), "set here"),
                None => diagnostic,
            });
        }
    }

    /// Reports nodes that together need more memory than the host has free.
    pub(super) fn memory_of_all(&mut self, nodes: &BTreeMap<NodeName, Node>) {
        let Some(free) = self.around.free_memory else { return };
        let running = || nodes.values().filter(|node| node.start != Start::Manual);
        let sum = running().fold(0u64, |sum, node| sum.saturating_add(node.memory.0));
        if sum <= free.0 {
            return;
        }
        // Nodes of a group share a line, so lines are compared, not nodes.
        let mut positions: BTreeMap<&Span, u64> = BTreeMap::new();
        for (key, node) in &self.raw.node.entries {
            if let Some(node) =
                node.as_ref().filter(|node| !matches!(node.start.value(), Some(RawStart::Manual)))
            {
                let sum = positions.entry(node.memory.span().unwrap_or(&key.span)).or_default();
                *sum = sum.saturating_add(memory(node).0);
            }
        }
        let largest = positions.into_iter().max_by_key(|(_, sum)| *sum).map(|(span, _)| span.clone());
        let who = match running().map(|node| &node.name).collect::<Vec<_>>().as_slice() {
            [one] => format!("`{one}` needs"),
            more => format!("the {} nodes that start with the lab need", more.len()),
        };
        let what = format!("{who} {} of memory, but the host has {} free", mebibytes(sum), mebibytes(free.0));
        self.report(
            Diagnostic::new(Code::MemoryTooMuch, largest, what)
                .help("reduce the `memory` of nodes, or set `start = \"manual\"` for some"),
        );
    }

    pub(super) fn disk_size(&mut self, size: Bytes, span: &Span) {
        if size < Bytes::mebi(1) {
            self.report(
                Diagnostic::new(Code::DiskTooSmall, span.clone(), format!("a disk of {size} is too small"))
                    .help("the minimum is 1MiB"),
            );
        }
    }

    /// Checks the serial number of a disk.
    pub(super) fn disk_serial(&mut self, serial: &Located<String>) {
        self.serial(serial, "serial number", 20, "virtio and ATA disks allow");
    }

    /// Checks a string of the SMBIOS tables and returns it.
    pub(super) fn smbios(&mut self, text: &Located<String>, of: &str) -> String {
        self.serial(text, of, 64, "firmware shows at most");
        text.value.clone()
    }

    fn serial(&mut self, text: &Located<String>, of: &str, most: usize, why: &str) {
        let printable = text.value.chars().all(|c| c == ' ' || c.is_ascii_graphic());
        let length = text.value.chars().count();
        let what = match length {
            0 => format!("this {of} is empty"),
            length if length > most => format!("this {of} has {length} characters, and {why} {most}"),
            _ if !printable => format!("this {of} has characters other than printable ASCII"),
            _ => return,
        };
        self.report(
            Diagnostic::new(Code::BadSerial, text.span.clone(), what)
                .help("remove it: the default is derived from the names, the same in every run"),
        );
    }

    /// Reports two disks of the lab with one serial number.
    pub(super) fn serials(&mut self, drafts: &[Draft<'_>]) {
        let mut seen: BTreeMap<&str, (&Span, String)> = BTreeMap::new();
        for draft in drafts {
            for (key, disk) in &draft.raw.disk.entries {
                let Some(serial) = disk.as_ref().and_then(|disk| disk.serial.given()) else { continue };
                let name = format!("disk.{} of `{}`", key.value, draft.key);
                // Nodes of a group share the line of the serial number.
                if let Some((first, whose)) = seen.get(serial.value.as_str()) {
                    let what = format!("\"{}\" is already the serial number of {whose}", serial.value);
                    let diagnostic = Diagnostic::new(Code::SerialTaken, serial.span.clone(), what)
                        .help("remove `serial`: each disk then gets its own, the same in every run");
                    self.report(if *first == &serial.span {
                        diagnostic
                    } else {
                        diagnostic.related((*first).clone(), "first used here")
                    });
                } else {
                    seen.insert(&serial.value, (&serial.span, name));
                }
            }
        }
    }

    /// Reports two nodes with one UUID.
    pub(super) fn uuids(&mut self, drafts: &[Draft<'_>]) {
        let lab = self.lab.clone();
        let lab = lab.as_ref().map_or("", LabName::as_str);
        let mut seen: BTreeMap<uuid::Uuid, (&Span, &str)> = BTreeMap::new();
        for draft in drafts {
            let Some(written) = draft.raw.uuid.span() else { continue };
            let uuid = uuid(draft.raw, &[lab, draft.key]);
            if let Some((first, whose)) = seen.get(&uuid) {
                let diagnostic = Diagnostic::new(
                    Code::UuidTaken,
                    written.clone(),
                    format!("{uuid} is already the UUID of `{whose}`"),
                )
                .help("remove `uuid`: each node then gets its own, the same in every run");
                self.report(if *first == written {
                    diagnostic
                } else {
                    diagnostic.related((*first).clone(), "first used here")
                });
            } else {
                seen.insert(uuid, (written, draft.key));
            }
        }
    }
}

/// Formats a size for messages, rounded to mebibytes.
fn mebibytes(bytes: u64) -> Bytes {
    Bytes(bytes >> 20 << 20)
}
