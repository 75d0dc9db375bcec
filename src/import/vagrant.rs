//! The machines of a Vagrantfile, as far as its text says: no Ruby is run.

use std::sync::LazyLock;

use regex::Regex;

use super::document::{Document, ItemId};
use super::placemat::mebibytes;
use super::setup::{Disk, FirmwareKind, Machine, Network, Nic, Note, Setup, Sourced};
use crate::diag::Span;

/// Compiles a pattern of this file.
fn pattern(text: &str) -> Regex {
    Regex::new(text).expect("the pattern is a constant")
}

static DEFINE: LazyLock<Regex> =
    LazyLock::new(|| pattern(r#"^\w+\.vm\.define\s*\(?\s*:?["']?([\w.-]+)["']?"#));
static HOSTNAME: LazyLock<Regex> =
    LazyLock::new(|| pattern(r#"^\w+\.vm\.hostname\s*=\s*["']([\w.-]+)["']$"#));
static NETWORK: LazyLock<Regex> = LazyLock::new(|| {
    pattern(r#"^\w+\.vm\.network\s*\(?\s*:?["']?(private_network|public_network|forwarded_port)\b(.*)$"#)
});
static SETTING: LazyLock<Regex> = LazyLock::new(|| pattern(r#"^(\w+)\.(\w+)\s*=\s*["']?([\w./-]+)["']?$"#));
static STORAGE: LazyLock<Regex> = LazyLock::new(|| pattern(r"^\w+\.storage\s*\(?\s*:file\b(.*)$"));
static BOOT: LazyLock<Regex> = LazyLock::new(|| pattern(r#"^\w+\.boot\s*\(?\s*["'](\w+)["']"#));
static PAIR: LazyLock<Regex> =
    LazyLock::new(|| pattern(r#":?(\w+)\s*(?:=>|:)\s*(?:["']([^"']*)["']|:?([\w.]+))"#));

/// Why a statement is not carried over.
pub(super) const REASON: &str = "only what the text says of machines is read; no Ruby is run";

/// Returns whether a text is a Vagrantfile.
pub(super) fn is_one(text: &str) -> bool {
    text.contains("Vagrant.configure")
}

/// Splits the text into statements, one a line; blocks hold what is in them.
pub(super) fn parse(text: &str, file: usize) -> Document {
    let mut document = Document::new(file);
    let mut open = vec![Document::ROOT];
    let mut start = 0;
    for line in text.split_inclusive('\n') {
        let words = without_comment(line);
        let blank = words.len() - words.trim_start().len();
        let words = words.trim();
        let span = Span::new(file, start + blank..start + blank + words.len());
        start += line.len();
        if words.is_empty() {
            continue;
        }
        if words == "end" {
            // It belongs to the block.
            if open.len() > 1 {
                open.pop();
            }
            continue;
        }
        let parent = open.last().copied().unwrap_or(Document::ROOT);
        let name = words.split([' ', '(', '=']).next().unwrap_or_default().to_owned();
        let item = document.add(parent, name, Some(words.to_owned()), span);
        let opens = words.split_whitespace().any(|word| word == "do")
            || ["if ", "unless ", "def ", "case ", "while ", "begin"]
                .iter()
                .any(|word| words.starts_with(word));
        let closes = words.ends_with(" end");
        if opens && !closes && open.len() < super::document::DEEPEST {
            open.push(item);
        }
    }
    document
}

fn without_comment(line: &str) -> &str {
    let mut quote = None;
    for (at, c) in line.char_indices() {
        match (quote, c) {
            (None, '"' | '\'') => quote = Some(c),
            (Some(open), c) if open == c => quote = None,
            (None, '#') => return &line[..at],
            _ => {}
        }
    }
    line
}

/// Returns what the file describes, and notes what became of each statement.
pub(super) fn understand(document: &mut Document) -> Setup {
    let mut setup = Setup::default();
    let mut common = Machine::default();
    let machines = block(document, Document::ROOT, &mut common, &mut setup.notes);
    setup.machines = machines;
    if setup.machines.is_empty() && (common.name.is_some() || !common.nics.is_empty()) {
        setup.machines.push(common);
    } else {
        for machine in &mut setup.machines {
            machine.cpus = machine.cpus.take().or_else(|| common.cpus.clone());
            machine.memory = machine.memory.take().or_else(|| common.memory.clone());
            machine.firmware = machine.firmware.take().or_else(|| common.firmware.clone());
            if machine.nics.is_empty() {
                machine.nics.clone_from(&common.nics);
            }
        }
    }
    setup.networks.push(Network::default());
    setup
}

/// Reads a block, and returns the machines that it defines.
fn block(
    document: &mut Document,
    around: ItemId,
    machine: &mut Machine,
    notes: &mut Vec<Note>,
) -> Vec<Machine> {
    let mut machines = Vec::new();
    for item in document.children(around) {
        let text = document.text(item).to_owned();
        let span = document.span(item);
        if let Some(found) = DEFINE.captures(&text) {
            let name = Some(Sourced::new(found[1].to_owned(), span));
            let mut own = Machine { name, ..Machine::default() };
            machines.extend(block(document, item, &mut own, notes));
            machines.push(own);
            document.carry(item, "node");
            continue;
        }
        let block_of_settings = ["provider", "configure"].iter().any(|word| text.contains(word));
        if block_of_settings && !document.children(item).is_empty() {
            machines.extend(block(document, item, machine, notes));
            document.carry(item, "node");
            continue;
        }
        if !document.children(item).is_empty() {
            document.leave(item, REASON);
            continue;
        }
        statement(document, item, &text, machine, notes);
    }
    machines
}

fn statement(
    document: &mut Document,
    item: ItemId,
    text: &str,
    machine: &mut Machine,
    notes: &mut Vec<Note>,
) {
    let span = document.span(item);
    if let Some(found) = HOSTNAME.captures(text) {
        machine.name = Some(Sourced::new(found[1].to_owned(), span));
        document.carry(item, "node");
    } else if let Some(found) = NETWORK.captures(text) {
        if &found[1] == "forwarded_port" {
            document.leave(item, "ports are published by `[publish]`");
            return;
        }
        let mut nic = Nic::default();
        for pair in PAIR.captures_iter(&found[2]) {
            let value = pair.get(2).or(pair.get(3)).map_or("", |value| value.as_str());
            match &pair[1] {
                "ip" => nic.address = value.parse().ok().map(|address| Sourced::new(address, span.clone())),
                "mac" => nic.mac = mac(value).map(|mac| Sourced::new(mac, span.clone())),
                "type" if value == "dhcp" => {}
                key => notes.push(Note { at: span.clone(), text: format!("`{key}` has no place in a lab") }),
            }
        }
        machine.nics.push(nic);
        document.carry(item, "nic");
    } else if let Some(found) = STORAGE.captures(text) {
        let mut disk =
            Disk { name: format!("disk-{}", machine.disks.len() + 1), size: None, bus: None, serial: None };
        for pair in PAIR.captures_iter(&found[1]) {
            let value = pair.get(2).or(pair.get(3)).map_or("", |value| value.as_str());
            match (&pair[1], value) {
                ("size", size) => disk.size = mebibytes(size),
                ("bus", "sata") => disk.bus = Some("sata"),
                ("bus", "scsi") => disk.bus = Some("scsi"),
                ("device", device) => device.clone_into(&mut disk.name),
                _ => {}
            }
        }
        machine.disks.push(Sourced::new(disk, span));
        document.carry(item, "disk");
    } else if let Some(found) = BOOT.captures(text) {
        let device = match &found[1] {
            "network" => "network",
            "hd" => "disk",
            other => {
                document.leave(item, format!("a node has no `{other}` to begin with"));
                return;
            }
        };
        machine.boot.get_or_insert_with(|| Sourced::new(Vec::new(), span)).value.push(device);
        document.carry(item, "boot");
    } else if let Some(found) = SETTING.captures(text) {
        let value = &found[3];
        match &found[2] {
            "memory" => machine.memory = value.parse().ok().map(|memory| Sourced::new(memory, span)),
            "cpus" => machine.cpus = value.parse().ok().map(|cpus| Sourced::new(cpus, span)),
            "loader" => machine.firmware = Some(Sourced::new(FirmwareKind::Uefi, span)),
            _ => return,
        }
        document.carry(item, "node");
    }
}

/// Parses a MAC address, which Vagrant writes without colons.
fn mac(text: &str) -> Option<crate::name::Mac> {
    if text.len() == 12 && text.is_ascii() {
        let pairs: Vec<&str> = (0..12).step_by(2).map(|at| &text[at..at + 2]).collect();
        return pairs.join(":").parse().ok();
    }
    text.parse().ok()
}
