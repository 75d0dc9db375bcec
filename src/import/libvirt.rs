//! Domains and networks of libvirt.

use std::net::Ipv4Addr;

use ipnet::Ipv4Net;

use super::boot::{BootRule, Test};
use super::document::{Document, ItemId};
use super::placemat::mebibytes;
use super::setup::{DhcpMode, Disk, FirmwareKind, Machine, Network, Nic, Setup, Sourced, is_serial};

/// Returns why an element is not carried over.
pub(super) fn reason(document: &Document, item: ItemId) -> &'static str {
    let mut around = Some(item);
    while let Some(within) = around {
        match document.name(within) {
            "dnsmasq:options" => return "libvirt hands it to its dnsmasq: import it as a dnsmasq.conf",
            "network" if document.get(within, "name").is_some() => {
                return "a network of a lab has no such setting; see `dryrack guide networks`";
            }
            _ => around = document.parent(within),
        }
    }
    "the virtual hardware of a node is what the lab file says, and nothing else"
}

/// Returns every domain, or every network: also several in one file.
pub(super) fn elements(document: &Document, name: &str) -> Vec<ItemId> {
    let mut found = document.all(Document::ROOT, name);
    for around in document.children(Document::ROOT) {
        found.extend(
            document.all(around, name).into_iter().filter(|item| document.get(*item, "name").is_some()),
        );
    }
    found
}

/// Returns whether a text is of libvirt.
pub(super) fn is_one(document: &Document) -> bool {
    !elements(document, "domain").is_empty() || !elements(document, "network").is_empty()
}

/// Returns what the file describes, and notes what became of each element.
pub(super) fn understand(document: &mut Document) -> Setup {
    let mut setup = Setup::default();
    for item in elements(document, "network") {
        let network = network(document, item, &mut setup.machines);
        setup.networks.push(network);
    }
    for item in elements(document, "domain") {
        setup.machines.push(domain(document, item));
    }
    // Networks that only machines name exist, too.
    let named: Vec<Sourced<String>> = setup
        .machines
        .iter()
        .flat_map(|machine| &machine.nics)
        .filter_map(|nic| nic.network.clone())
        .collect();
    for name in named {
        let is = |network: &Network| network.name.as_ref().is_some_and(|known| known.value == name.value);
        if !setup.networks.iter().any(is) {
            setup.networks.push(Network { name: Some(name), ..Network::default() });
        }
    }
    setup
}

/// Returns the text of what is at a path, and notes that it is in the lab.
fn take(document: &mut Document, item: ItemId, path: &[&str], to: &str) -> Option<(ItemId, String)> {
    let found = document.at(item, path)?;
    document.carry(found, to);
    let text = document.text(found).trim().to_owned();
    (!text.is_empty()).then_some((found, text))
}

/// Parses a value, or notes that it is none.
fn valid<T: std::str::FromStr>(document: &mut Document, item: ItemId, text: &str, what: &str) -> Option<T> {
    let parsed = text.parse().ok();
    if parsed.is_none() {
        document.leave(item, format!("`{text}` is no {what}"));
    }
    parsed
}

/// Returns what is wrong with the value of an attribute, and the fix.
pub(super) fn wrong(document: &Document, item: ItemId) -> Option<(String, &'static str)> {
    let text = document.text(item).trim();
    let around = document.parent(item).map(|around| document.name(around)).unwrap_or_default();
    let mac = matches!((around, document.name(item)), ("mac", "@address") | ("host", "@mac"));
    let address = matches!((around, document.name(item)), ("host", "@ip") | ("range", "@start" | "@end"))
        || (around, document.name(item)) == ("ip", "@address");
    if mac && text.parse::<crate::name::Mac>().is_err() {
        return Some((format!("`{text}` is no MAC address"), "write six bytes, such as 52:54:00:12:34:56"));
    }
    let invalid = address && text.parse::<std::net::IpAddr>().is_err();
    invalid.then(|| (format!("`{text}` is no address"), "write four numbers from 0 to 255"))
}

fn network(document: &mut Document, item: ItemId, machines: &mut Vec<Machine>) -> Network {
    let mut network = Network::default();
    if let Some((at, name)) = take(document, item, &["name"], "network") {
        network.name = Some(Sourced::new(name, document.span(at)));
    }
    if let Some((at, mode)) = take(document, item, &["forward", "@mode"], "nat") {
        match mode.as_str() {
            "nat" => network.nat = Some(Sourced::new(true, document.span(at))),
            "route" | "open" => network.nat = Some(Sourced::new(false, document.span(at))),
            other => document.leave(
                at,
                format!("the mode `{other}` needs an interface of the host: see `interface` of a network"),
            ),
        }
    } else if document.get(item, "forward").is_some() {
        let forward = document.get(item, "forward");
        network.nat = forward.map(|forward| Sourced::new(true, document.span(forward)));
        if let Some(forward) = forward {
            document.carry(forward, "nat");
        }
    }
    if let Some((at, mtu)) = take(document, item, &["mtu", "@size"], "mtu") {
        network.mtu = mtu
            .parse()
            .ok()
            .filter(|mtu| (1280..=65535).contains(mtu))
            .map(|mtu| Sourced::new(mtu, document.span(at)));
    }
    if let Some((at, domain)) = take(document, item, &["domain", "@name"], "dns.domain") {
        network.dns.domain = Some(Sourced::new(domain, document.span(at)));
    }
    if let Some(dns) = document.get(item, "dns") {
        for host in document.all(dns, "host") {
            let address = take(document, host, &["@ip"], "dns.records");
            let address = address.and_then(|(at, ip)| valid(document, at, &ip, "address"));
            for name in document.all(host, "hostname") {
                let Some(address) = address else { continue };
                let text = document.text(name).trim().to_owned();
                let text = if text.contains('.') { text } else { format!("{text}.") };
                network.dns.records.push(Sourced::new((text, address), document.span(name)));
                document.carry(name, "dns.records");
            }
        }
        for forwarder in document.all(dns, "forwarder") {
            if document.get(forwarder, "@domain").is_some() {
                document.leave(forwarder, "names of one domain are not asked for elsewhere than all others");
                continue;
            }
            if let Some((at, address)) = take(document, forwarder, &["@addr"], "dns.upstream")
                && address.parse::<std::net::IpAddr>().is_ok()
            {
                network.dns.upstream.push(Sourced::new(address, document.span(at)));
            }
        }
    }
    let ips = document.all(item, "ip");
    for ip in ips {
        let family = document.get(ip, "@family").map(|item| document.text(item).to_owned());
        if family.as_deref() == Some("ipv6") {
            document.leave(ip, "IPv6 is not carried over: give the network `ipv6`");
        } else if network.server.is_some() {
            document.leave(ip, "a network has one address");
        } else {
            address(document, ip, &mut network, machines);
        }
    }
    network
}

fn address(document: &mut Document, ip: ItemId, network: &mut Network, machines: &mut Vec<Machine>) {
    let own = take(document, ip, &["@address"], "network");
    let mask = take(document, ip, &["@netmask"], "network")
        .and_then(|(_, mask)| ipnet::ipv4_mask_to_prefix(mask.parse().ok()?).ok());
    let prefix =
        take(document, ip, &["@prefix"], "network").and_then(|(_, prefix)| prefix.parse::<u8>().ok());
    take(document, ip, &["@family"], "network");
    if let Some((at, text)) = own {
        match text.parse::<Ipv4Addr>() {
            Ok(address) => {
                let span = document.span(at);
                network.server = Some(Sourced::new(address, span.clone()));
                let net = Ipv4Net::new(address, mask.or(prefix).unwrap_or(24)).ok();
                network.subnet = net.map(|net| Sourced::new(net.trunc(), span));
            }
            Err(_) => document.leave(at, format!("`{text}` is no IPv4 address")),
        }
    }
    if let Some((at, root)) = take(document, ip, &["tftp", "@root"], "root") {
        document.leave(
            at,
            format!("the folder `{root}` is one of the machine of libvirt: name it as `root` of the network"),
        );
    }
    let Some(dhcp) = document.get(ip, "dhcp") else { return };
    network.dhcp = Some(Sourced::new(DhcpMode::Server, document.span(dhcp)));
    for (index, range) in document.all(dhcp, "range").into_iter().enumerate() {
        let ends = (
            take(document, range, &["@start"], "dhcp.server.pool"),
            take(document, range, &["@end"], "dhcp.server.pool"),
        );
        let (Some((_, first)), Some((_, last))) = ends else { continue };
        match (first.parse::<Ipv4Addr>(), last.parse::<Ipv4Addr>(), index) {
            (Ok(first), Ok(last), 0) => {
                network.pool = Some(Sourced::new((first, last), document.span(range)))
            }
            (Ok(_), Ok(_), _) => {
                document.leave(range, "the network of a lab has one pool, and an earlier line gives it");
            }
            _ => document.leave(range, format!("`{first}` to `{last}` is no range of addresses")),
        }
    }
    for host in document.all(dhcp, "host") {
        let mac = take(document, host, &["@mac"], "node");
        let mac = mac.and_then(|(at, mac)| valid(document, at, &mac, "MAC address"));
        let address = take(document, host, &["@ip"], "node");
        let address = address.and_then(|(at, ip)| valid(document, at, &ip, "IPv4 address"));
        let name = take(document, host, &["@name"], "node");
        let Some(mac) = mac else {
            // An invalid one is reported itself.
            if document.get(host, "@mac").is_none() {
                document.leave(host, "a machine needs a MAC address");
            }
            continue;
        };
        let span = document.span(host);
        let nic = Nic {
            mac: Some(Sourced::new(mac, span.clone())),
            address: address.map(|address| Sourced::new(address, span.clone())),
            ..Nic::default()
        };
        let name = name.map(|(_, name)| Sourced::new(name, span));
        machines.push(Machine { name, nics: vec![nic], ..Machine::default() });
    }
    if let Some(bootp) = document.get(dhcp, "bootp") {
        let server =
            take(document, bootp, &["@server"], "the server of boot files").map(|(_, server)| server);
        if let Some((at, file)) = take(document, bootp, &["@file"], "the loader of the profile") {
            network.boots.push(BootRule { when: Test::Always, file, server, from: document.span(at) });
        }
    }
}

/// Returns the disks and interfaces of a domain with their place in its boot order.
pub(super) fn boot_order(document: &Document, domain: ItemId) -> Vec<(u32, ItemId)> {
    let Some(devices) = document.get(domain, "devices") else { return Vec::new() };
    let mut order: Vec<(u32, ItemId)> = document
        .children(devices)
        .into_iter()
        .filter_map(|device| {
            let order = document.at(device, &["boot", "@order"])?;
            Some((document.text(order).parse().ok()?, device))
        })
        .collect();
    order.sort();
    order
}

/// Returns whether a domain has UEFI firmware.
pub(super) fn is_uefi(document: &Document, domain: ItemId) -> bool {
    let efi = document.at(domain, &["os", "@firmware"]).is_some_and(|item| document.text(item) == "efi");
    let pflash =
        document.at(domain, &["os", "loader", "@type"]).is_some_and(|item| document.text(item) == "pflash");
    efi || pflash
}

fn domain(document: &mut Document, item: ItemId) -> Machine {
    let mut machine = Machine::default();
    if let Some((at, name)) = take(document, item, &["name"], "node") {
        machine.name = Some(Sourced::new(name, document.span(at)));
    }
    if let Some((at, uuid)) = take(document, item, &["uuid"], "uuid") {
        match uuid::Uuid::parse_str(&uuid) {
            Ok(uuid) => machine.uuid = Some(Sourced::new(uuid.to_string(), document.span(at))),
            Err(_) => document.leave(at, "it is no UUID"),
        }
    }
    if let Some((at, cpus)) = take(document, item, &["vcpu"], "cpus") {
        machine.cpus = cpus.parse().ok().map(|cpus| Sourced::new(cpus, document.span(at)));
    }
    if let Some((at, memory)) = take(document, item, &["memory"], "memory") {
        let unit = take(document, item, &["memory", "@unit"], "memory")
            .map_or_else(|| "KiB".to_owned(), |(_, unit)| unit);
        machine.memory =
            mebibytes(&format!("{memory}{unit}")).map(|memory| Sourced::new(memory, document.span(at)));
    }
    for name in ["currentMemory"] {
        if let Some(found) = document.get(item, name) {
            document.leave(found, "a node keeps its memory");
        }
    }
    firmware(document, item, &mut machine);
    if let Some(devices) = document.get(item, "devices") {
        for interface in document.all(devices, "interface") {
            let nic = interface_of(document, interface);
            machine.nics.push(nic);
        }
        for disk in document.all(devices, "disk") {
            machine.disks.extend(disk_of(document, disk));
        }
    }
    order(document, item, &mut machine);
    machine
}

fn firmware(document: &mut Document, item: ItemId, machine: &mut Machine) {
    let secure =
        document.at(item, &["os", "loader", "@secure"]).is_some_and(|secure| document.text(secure) == "yes");
    let Some(os) = document.get(item, "os") else { return };
    let kind = match (is_uefi(document, item), secure) {
        (false, _) => FirmwareKind::Bios,
        (true, false) => FirmwareKind::Uefi,
        (true, true) => FirmwareKind::Secure,
    };
    machine.firmware = Some(Sourced::new(kind, document.span(os)));
    take(document, item, &["os", "@firmware"], "firmware");
    if let Some(loader) = document.get(os, "loader") {
        document.carry_whole(loader, "firmware");
    }
    if let Some(nvram) = document.get(os, "nvram") {
        document.leave(nvram, "the variables of a node's firmware are those of the run");
    }
    if let Some((at, arch)) = take(document, item, &["os", "type", "@arch"], "node")
        && arch != "x86_64"
    {
        document.leave(at, format!("a node is a PC; there is none of the architecture {arch}"));
    }
    for name in ["kernel", "initrd", "cmdline"] {
        if let Some(found) = document.get(os, name) {
            document.leave(found, "a node boots as metal does, not from files of the host: write a profile");
        }
    }
}

fn order(document: &mut Document, item: ItemId, machine: &mut Machine) {
    let mut devices = Vec::new();
    let mut from = None;
    for boot in document.get(item, "os").map(|os| document.all(os, "boot")).unwrap_or_default() {
        if let Some((at, device)) = take(document, boot, &["@dev"], "boot") {
            from = from.or_else(|| Some(document.span(at)));
            match device.as_str() {
                "hd" => devices.push("disk"),
                "network" => devices.push("network"),
                other => document.leave(at, format!("a node has no `{other}` to begin with")),
            }
        }
    }
    for (_, device) in boot_order(document, item) {
        if let Some((at, _)) = take(document, device, &["boot", "@order"], "boot") {
            from = from.or_else(|| Some(document.span(at)));
        }
        devices.push(if document.name(device) == "interface" { "network" } else { "disk" });
    }
    let mut once = Vec::new();
    for device in devices {
        if !once.contains(&device) {
            once.push(device);
        }
    }
    if let (Some(from), false) = (from, once.is_empty()) {
        machine.boot = Some(Sourced::new(once, from));
    }
}

fn interface_of(document: &mut Document, item: ItemId) -> Nic {
    let mut nic = Nic::default();
    let kind = take(document, item, &["@type"], "nic").map(|(_, kind)| kind);
    if let Some((at, mac)) = take(document, item, &["mac", "@address"], "nic") {
        nic.mac = valid(document, at, &mac, "MAC address").map(|mac| Sourced::new(mac, document.span(at)));
    }
    let network = take(document, item, &["source", "@network"], "nic");
    let network = network.or_else(|| take(document, item, &["source", "@bridge"], "nic"));
    // What is behind an interface of the machine of libvirt is none of the other networks.
    let network = network.or_else(|| take(document, item, &["source", "@dev"], "nic"));
    let network =
        network.or_else(|| Some((item, kind.filter(|kind| kind != "network" && kind != "bridge")?)));
    nic.network = network.map(|(at, name)| Sourced::new(name, document.span(at)));
    if let Some((at, model)) = take(document, item, &["model", "@type"], "nic") {
        let known = ["virtio", "e1000", "e1000e", "rtl8139", "vmxnet3"];
        match known.into_iter().find(|known| *known == model) {
            Some(model) => nic.model = Some(Sourced::new(model, document.span(at))),
            None => document.leave(at, format!("a node has no NIC of the model `{model}`")),
        }
    }
    nic
}

fn disk_of(document: &mut Document, item: ItemId) -> Option<Sourced<Disk>> {
    let kind = document.get(item, "@device").map(|device| document.text(device).to_owned());
    if kind.is_some_and(|kind| kind != "disk") {
        document.leave(item, "only disks are carried over: insert a CD by `dryrack media`");
        return None;
    }
    take(document, item, &["@device"], "disk");
    let span = document.span(item);
    let name =
        take(document, item, &["target", "@dev"], "disk").map_or_else(|| "disk".to_owned(), |(_, name)| name);
    let bus = take(document, item, &["target", "@bus"], "disk").and_then(|(at, bus)| {
        let known = ["virtio", "sata", "scsi", "nvme"].into_iter().find(|known| *known == bus);
        if known.is_none() {
            document.leave(at, format!("a disk of a node is not on the bus `{bus}`: it is on virtio"));
        }
        known
    });
    let serial = take(document, item, &["serial"], "disk").and_then(|(at, serial)| {
        if !is_serial(&serial, 20) {
            document.leave(at, "the serial number of a disk has 1 to 20 characters of printable ASCII");
            return None;
        }
        Some(serial)
    });
    if let Some(source) = document.get(item, "source") {
        document.leave(source, "the disk is blank and has 10 GiB, whatever the file of libvirt holds");
    }
    Some(Sourced::new(Disk { name, size: None, bus, serial }, span))
}
