//! Machines and networks of placemat: several documents of YAML.

use ipnet::Ipv4Net;

use super::document::{Document, ItemId};
use super::setup::{Disk, FirmwareKind, Machine, Network, Nic, Setup, Sourced, is_serial};

/// Returns whether a text is for placemat.
pub(super) fn is_one(document: &Document) -> bool {
    let kinds = ["Node", "Network", "NetworkNamespace", "Image", "DeviceClass"];
    let tops = document.children(Document::ROOT);
    let kind = |top: &ItemId| document.get(*top, "kind").map(|kind| document.text(kind).to_owned());
    let foreign = |top: &ItemId| document.get(*top, "apiVersion").is_some();
    !tops.is_empty()
        && !tops.iter().any(foreign)
        && tops.iter().all(|top| kind(top).is_some_and(|kind| kinds.contains(&kind.as_str())))
}

/// Returns what the file describes, and notes what became of each part.
pub(super) fn understand(document: &mut Document) -> Setup {
    let mut setup = Setup::default();
    for top in document.children(Document::ROOT) {
        let kind = document.get(top, "kind").map(|kind| document.text(kind).to_owned()).unwrap_or_default();
        document.rename(top, kind.clone());
        match kind.as_str() {
            "Network" => setup.networks.push(network(document, top)),
            "Node" => setup.machines.push(node(document, top)),
            "Image" => document.leave(top, "an image is a recipe: see `dryrack guide images`"),
            "NetworkNamespace" => document.leave(
                top,
                "programs in namespaces of their own are hosts of a lab: write them as `[host.NAME]`",
            ),
            "DeviceClass" => document.leave(top, "the folders of disks are those of the run"),
            other => document.leave(top, format!("`{other}` is nothing that placemat has")),
        }
    }
    setup
}

fn take(document: &mut Document, item: ItemId, name: &str, to: &str) -> Option<(ItemId, String)> {
    let found = document.get(item, name)?;
    let text = document.text(found).to_owned();
    document.carry(found, to);
    (!text.is_empty()).then_some((found, text))
}

fn network(document: &mut Document, item: ItemId) -> Network {
    let mut network = Network::default();
    take(document, item, "kind", "network");
    if let Some((at, name)) = take(document, item, "name", "network") {
        network.name = Some(Sourced::new(name, document.span(at)));
    }
    if let Some((at, address)) = take(document, item, "address", "network") {
        match address.parse::<Ipv4Net>() {
            Ok(net) => {
                network.subnet = Some(Sourced::new(net.trunc(), document.span(at)));
                network.server = Some(Sourced::new(net.addr(), document.span(at)));
            }
            Err(_) => document.leave(at, format!("`{address}` is no address with a prefix length")),
        }
    }
    if let Some((at, nat)) = take(document, item, "use-nat", "nat") {
        network.nat = Some(Sourced::new(nat == "true", document.span(at)));
    }
    if let Some((at, kind)) = take(document, item, "type", "network")
        && kind == "bmc"
    {
        document.leave(at, "nodes have no BMC: they are switched on and off by `dryrack power`");
    }
    network
}

fn node(document: &mut Document, item: ItemId) -> Machine {
    let mut machine = Machine::default();
    take(document, item, "kind", "node");
    if let Some((at, name)) = take(document, item, "name", "node") {
        machine.name = Some(Sourced::new(name, document.span(at)));
    }
    if let Some((at, cpus)) = take(document, item, "cpu", "cpus") {
        machine.cpus = cpus.parse().ok().map(|cpus| Sourced::new(cpus, document.span(at)));
    }
    if let Some((at, memory)) = take(document, item, "memory", "memory") {
        machine.memory = mebibytes(&memory).map(|memory| Sourced::new(memory, document.span(at)));
    }
    if let Some((at, uefi)) = take(document, item, "uefi", "firmware") {
        let kind = if uefi == "true" { FirmwareKind::Uefi } else { FirmwareKind::Bios };
        machine.firmware = Some(Sourced::new(kind, document.span(at)));
    }
    if let Some(smbios) = document.get(item, "smbios")
        && let Some((at, serial)) = take(document, smbios, "serial", "serial")
    {
        match is_serial(&serial, 64) {
            true => machine.serial = Some(Sourced::new(serial, document.span(at))),
            false => document.leave(at, "a serial number has 1 to 64 characters of printable ASCII"),
        }
    }
    let interfaces = document.get(item, "interfaces").map(|list| document.children(list)).unwrap_or_default();
    for interface in interfaces {
        let name = document.text(interface).to_owned();
        document.carry(interface, "nic");
        let network = Some(Sourced::new(name, document.span(interface)));
        machine.nics.push(Nic { network, ..Nic::default() });
    }
    let volumes = document.get(item, "volumes").map(|list| document.children(list)).unwrap_or_default();
    for (index, volume) in volumes.into_iter().enumerate() {
        let kind = take(document, volume, "kind", "disk").map(|(_, kind)| kind).unwrap_or_default();
        if !matches!(kind.as_str(), "raw" | "image" | "lvm") {
            document.leave(volume, "only disks are carried over: cloud-init is seeded by `seed` of a node");
            continue;
        }
        let name = take(document, volume, "name", "disk")
            .map_or_else(|| format!("disk-{}", index + 1), |(_, name)| name);
        let size = take(document, volume, "size", "disk").and_then(|(_, size)| mebibytes(&size));
        if let Some(image) = document.get(volume, "image") {
            document.leave(image, "the disk is blank: give it a `source`");
        }
        let disk = Disk { name, size, bus: None, serial: None };
        machine.disks.push(Sourced::new(disk, document.span(volume)));
    }
    for (name, why) in [
        ("ignition", "Ignition configs are served by a profile"),
        ("tpm", "the lab file has `tpm` for it"),
        ("network-device-queue", "a NIC has one queue"),
    ] {
        if let Some(item) = document.get(item, name) {
            document.leave(item, why);
        }
    }
    machine
}

/// Parses a size: `2G`, `512M`, or bytes.
pub(super) fn mebibytes(text: &str) -> Option<u64> {
    let text = text.trim();
    let (number, unit) = text.split_at(text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len()));
    let number: u64 = number.parse().ok()?;
    match unit.trim().trim_end_matches("iB").trim_end_matches('B') {
        "" | "b" | "bytes" => Some(number >> 20),
        "K" | "k" => Some(number >> 10),
        "M" => Some(number),
        "G" => number.checked_mul(1 << 10),
        "T" => number.checked_mul(1 << 20),
        _ => None,
    }
}
