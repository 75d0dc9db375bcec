//! The lab file: what is settled, with the lines that it comes from.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::net::IpAddr;

use super::boot::{self, FileKind};
use super::option::{SERVER, quote, quote_many};
use super::settle::{Settled, SettledMachine, SettledNetwork};
use super::setup::{DhcpMode, FirmwareKind, Note, Sourced};
use crate::diag::{Sources, Span};
use crate::name::{DiskName, NicName, slug};

/// The column of comments.
const COLUMN: usize = 36;

/// A lab file that grows.
pub(super) struct Writer<'a> {
    pub(super) sources: &'a Sources,
    pub(super) text: String,
    pub(super) notes: Vec<Note>,
    /// Whether our services answer the machines.
    pub(super) services: bool,
}

impl Writer<'_> {
    /// Adds a line, with the line of a file that it comes from.
    pub(super) fn line(&mut self, line: &str, from: Option<&Span>) {
        match from.map(|span| origin(self.sources, span)) {
            Some(origin) => {
                let _infallible = writeln!(self.text, "{line:<COLUMN$} # {origin}");
            }
            None => self.text.extend([line, "\n"]),
        }
    }

    /// Adds a key.
    pub(super) fn key(&mut self, key: &str, value: &str, from: Option<&Span>) {
        self.line(&format!("{key} = {value}"), from);
    }

    /// Adds a key with a value of a file.
    fn sourced<T>(&mut self, key: &str, value: Option<&Sourced<T>>, show: impl Fn(&T) -> String) {
        if let Some(value) = value {
            self.key(key, &show(&value.value), value.from.as_ref());
        }
    }

    /// Adds a table, behind an empty line.
    pub(super) fn table(&mut self, name: &str, from: Option<&Span>) {
        self.text.push('\n');
        self.line(&format!("[{name}]"), from);
    }

    fn note(&mut self, at: Option<&Span>, text: impl Into<String>) {
        if let Some(at) = at.cloned() {
            self.notes.push(Note { at, text: text.into() });
        }
    }
}

/// Returns file and line of a place.
pub(super) fn origin(sources: &Sources, span: &Span) -> String {
    let name: String =
        sources.name(span.file).chars().map(|c| if c.is_control() { '?' } else { c }).collect();
    format!("{name}:{}", sources.position(span.file, span.start).0)
}

/// Returns a key as TOML: bare if it can be.
fn bare(key: &str) -> String {
    let plain = !key.is_empty() && key.bytes().all(|c| c.is_ascii_alphanumeric() || c == b'-' || c == b'_');
    if plain { key.to_owned() } else { quote(key) }
}

/// Writes networks with our services, and what the nodes boot.
pub(super) fn services(writer: &mut Writer<'_>, settled: &Settled) {
    for network in &settled.networks {
        self::network(writer, network, &settled.reservations);
    }
    let profiled: Vec<bool> =
        settled.networks.iter().map(|network| network.network.matchbox.is_none()).collect();
    if profiled.contains(&true) {
        profile(writer, settled);
    }
    machines(writer, settled, &profiled);
    expectations(writer);
}

fn network(writer: &mut Writer<'_>, settled: &SettledNetwork, reservations: &[SettledMachine]) {
    let SettledNetwork { name, server, subnet, pool, network, room: _, spare: _ } = settled;
    writer.table(&format!("network.{name}"), network.name.as_ref().and_then(|name| name.from.as_ref()));
    let address = quote(&format!("{}/{}", server.value, subnet.value.prefix_len()));
    writer.key("address", &address, server.from.as_ref().or(subnet.from.as_ref()));
    writer.sourced("nat", network.nat.as_ref(), bool::to_string);
    writer.sourced("mtu", network.mtu.as_ref(), u64::to_string);
    writer.sourced("root", network.root.as_ref(), |root| quote(root));
    let dns_off = is_dns_off(network);
    writer.sourced("dns", network.dns.off.as_ref().filter(|_| dns_off), |()| quote("off"));
    if network.dhcp.as_ref().is_some_and(|mode| mode.value == DhcpMode::Proxy) {
        // No file says who assigns the addresses, and without them nobody boots.
        let from = network.dhcp.as_ref().and_then(|mode| mode.from.clone());
        writer.note(
            from.as_ref(),
            "the DHCP server of the lab assigns the addresses, too, in place of the server that the file counts on",
        );
    }
    writer.table(
        &format!("network.{name}.dhcp.server"),
        network.dhcp.as_ref().and_then(|mode| mode.from.as_ref()),
    );
    writer.sourced("pool", pool.as_ref(), |(first, last)| format!("[\"{first}\", \"{last}\"]"));
    writer.sourced("lease-time", network.lease.as_ref(), |seconds| lease_time(*seconds));
    writer.sourced("authoritative", network.authoritative.as_ref(), bool::to_string);
    let ignore = network.only_known.as_ref().filter(|known| known.value);
    writer.sourced("unknown-clients", ignore, |_| quote("ignore"));
    let mut seen = BTreeSet::new();
    for machine in reservations {
        for (_, nic) in &machine.nics {
            let (Some(mac), Some(address)) = (&nic.mac, &nic.address) else { continue };
            if subnet.value.contains(&address.value) && seen.insert(mac.value) {
                let key = format!("reservations.{}", quote(&mac.value.to_string()));
                writer.key(&key, &quote(&address.value.to_string()), address.from.as_ref());
            }
        }
    }
    options(writer, &format!("network.{name}.options"), settled, boot_file(network));
    if !dns_off {
        dns(writer, settled);
    }
    if let Some(matchbox) = &network.matchbox {
        writer.table(&format!("network.{name}.matchbox"), matchbox.from.as_ref());
        writer.key("data", &quote(&matchbox.value.data), None);
        let port = matchbox_port(settled);
        if port != 80 {
            writer.key("port", &port.to_string(), None);
        }
        let mut missing: Vec<_> = matchbox.value.missing.iter().collect();
        missing.dedup_by(|a, b| a.value.path == b.value.path);
        if !missing.is_empty() {
            writer.text.push_str("\n# Not in the data directory: the small system of Dryrack stands in.\n");
            writer.line(&format!("[network.{name}.files]"), None);
            let mut seen = BTreeSet::new();
            for asset in missing.into_iter().filter(|asset| seen.insert(asset.value.path.clone())) {
                let image = if asset.value.kernel { "image:tiny/kernel" } else { "image:tiny/initrd" };
                writer.key(&quote(&asset.value.path), &quote(image), asset.from.as_ref());
                writer.note(
                    asset.from.as_ref(),
                    format!("`{}` is not in the data directory: {image} stands in", asset.value.path),
                );
            }
        }
    }
}

/// Returns whether a network has no DNS: a file switches it off, and no other has something for it.
fn is_dns_off(network: &super::setup::Network) -> bool {
    let dns = &network.dns;
    dns.off.is_some() && !dns.served && dns.records.is_empty() && dns.upstream.is_empty()
}

/// Returns the port of matchbox, from the URL that clients are told.
pub(super) fn matchbox_port(settled: &SettledNetwork) -> u16 {
    let own = settled.network.matchbox.as_ref().and_then(|matchbox| matchbox.value.port);
    let of_rule = || {
        let ports = settled.network.boots.iter().filter_map(|rule| boot::http(&rule.file));
        ports.filter(|(.., path)| path.contains("boot.ipxe")).map(|(_, port, _)| port).next()
    };
    own.or_else(of_rule).unwrap_or(80)
}

/// Returns the boot file that every client is told, if it is one for all.
fn boot_file(network: &super::setup::Network) -> Option<Sourced<String>> {
    let rule = network.boots.first()?;
    let all = network.boots.len() == 1 && rule.when == boot::Test::Always && boot::is_url(&rule.file);
    all.then(|| Sourced::new(rule.file.clone(), rule.from.clone()))
}

fn options(writer: &mut Writer<'_>, table: &str, settled: &SettledNetwork, file: Option<Sourced<String>>) {
    let mut options: BTreeMap<&str, &Sourced<(String, String)>> = BTreeMap::new();
    for option in &settled.network.options {
        // Of several lines with one option the last counts.
        options.insert(&option.value.0, option);
    }
    let domain = settled.network.dns.domain.as_ref().filter(|_| is_dns_off(&settled.network));
    if options.is_empty() && file.is_none() && domain.is_none() {
        return;
    }
    writer.table(table, None);
    // Without DNS it is an option of DHCP and nothing else.
    writer.sourced("domain-name", domain, |domain| quote(domain));
    let server = settled.server.value.to_string();
    for (key, option) in options {
        let value = option.value.1.replace(SERVER, &server);
        writer.key(&bare(key), &value, option.from.as_ref());
    }
    if let Some(file) = file {
        writer.key("boot-file-name", &quote(&file.value), file.from.as_ref());
    }
}

fn dns(writer: &mut Writer<'_>, settled: &SettledNetwork) {
    let dns = &settled.network.dns;
    let name = &settled.name;
    let domain = dns.domain.as_ref().map(|domain| domain.value.trim_matches('.').to_ascii_lowercase());
    let domain = domain.filter(|domain| is_domain(domain));
    if domain.is_none() && dns.domain.is_some() {
        writer.note(
            dns.domain.as_ref().and_then(|domain| domain.from.as_ref()),
            "it is no domain for a network",
        );
    }
    let mut records: BTreeMap<String, (Vec<IpAddr>, Option<Span>)> = BTreeMap::new();
    for record in &dns.records {
        let (key, address) = &record.value;
        let key = key.to_ascii_lowercase();
        if !is_record(&key) {
            writer.note(record.from.as_ref(), format!("`{key}` is no name for a record"));
            continue;
        }
        let entry = records.entry(key).or_insert_with(|| (Vec::new(), record.from.clone()));
        if !entry.0.contains(address) {
            entry.0.push(*address);
        }
    }
    let upstream: Vec<&Sourced<String>> = dns.upstream.iter().collect();
    if domain.is_none()
        && records.is_empty()
        && upstream.is_empty()
        && dns.no_upstream.is_none()
        && dns.aliases.is_empty()
        && dns.services.is_empty()
        && dns.texts.is_empty()
    {
        return;
    }
    writer.table(&format!("network.{name}.dns"), None);
    if let Some(domain) = domain {
        writer.key("domain", &quote(&domain), dns.domain.as_ref().and_then(|domain| domain.from.as_ref()));
    }
    match upstream.first() {
        Some(first) => {
            let mut servers: Vec<&str> = upstream.iter().map(|server| server.value.as_str()).collect();
            servers.dedup();
            let list: Vec<_> = servers.into_iter().map(quote).collect();
            writer.key("upstream", &format!("[{}]", list.join(", ")), first.from.as_ref());
        }
        None => {
            let none = dns.no_upstream.as_ref();
            writer.sourced("upstream", none, |()| quote("none"));
        }
    }
    let names: BTreeSet<String> = records.keys().cloned().collect();
    for (key, (addresses, from)) in &records {
        let texts: Vec<String> = addresses.iter().map(IpAddr::to_string).collect();
        writer.key(
            &format!("records.{}", quote(key)),
            &quote_many(texts.iter().map(String::as_str)),
            from.as_ref(),
        );
    }
    let mut aliases = BTreeSet::new();
    for alias in &dns.aliases {
        let (from, to) = &alias.value;
        let (from, to) = (from.to_ascii_lowercase(), to.trim_end_matches('.').to_ascii_lowercase());
        let target = [to.clone(), format!("{to}.")].into_iter().find(|to| names.contains(to));
        match target.filter(|_| is_record(&from) && !names.contains(&from) && aliases.insert(from.clone())) {
            Some(target) => {
                writer.key(&format!("cname.{}", quote(&from)), &quote(&target), alias.from.as_ref())
            }
            None => writer.note(alias.from.as_ref(), format!("`{to}` is no record of the lab")),
        }
    }
    let mut services: BTreeMap<String, (Vec<String>, Option<Span>)> = BTreeMap::new();
    for service in &dns.services {
        let (key, value) = &service.value;
        let key = key.to_ascii_lowercase();
        let (numbers, to) = value.rsplit_once(' ').unwrap_or(("", value));
        let fine = numbers.split(' ').filter(|number| number.parse::<u16>().is_ok()).count() == 3;
        let to = to.trim_end_matches('.').to_ascii_lowercase();
        let target = [to.clone(), format!("{to}.")].into_iter().find(|to| names.contains(to));
        match target.filter(|_| fine && is_record(&key)) {
            Some(target) => {
                let entry = services.entry(key).or_insert_with(|| (Vec::new(), service.from.clone()));
                entry.0.push(format!("{numbers} {target}"));
            }
            None => writer.note(service.from.as_ref(), format!("`{to}` is no record of the lab")),
        }
    }
    for (key, (values, from)) in &services {
        writer.key(
            &format!("srv.{}", quote(key)),
            &quote_many(values.iter().map(String::as_str)),
            from.as_ref(),
        );
    }
    let mut texts: BTreeMap<String, (Vec<String>, Option<Span>)> = BTreeMap::new();
    for text in &dns.texts {
        let (key, value) = &text.value;
        let key = key.to_ascii_lowercase();
        let fine = is_record(&key) && !value.is_empty() && value.len() < 256 && !aliases.contains(&key);
        match fine {
            true => {
                let entry = texts.entry(key).or_insert_with(|| (Vec::new(), text.from.clone()));
                entry.0.push(value.clone());
            }
            false => writer.note(text.from.as_ref(), format!("`{key}` cannot have this text")),
        }
    }
    for (key, (values, from)) in &texts {
        writer.key(
            &format!("txt.{}", quote(key)),
            &quote_many(values.iter().map(String::as_str)),
            from.as_ref(),
        );
    }
}

fn is_label(label: &str) -> bool {
    let inner = |c: u8| c.is_ascii_lowercase() || c.is_ascii_digit() || c == b'-' || c == b'_';
    (1..=63).contains(&label.len())
        && label.bytes().all(inner)
        && !label.starts_with('-')
        && !label.ends_with('-')
}

fn is_domain(name: &str) -> bool {
    name.len() < 200 && !name.contains('_') && name.split('.').all(is_label)
}

fn is_record(name: &str) -> bool {
    let plain = name.strip_suffix('.').unwrap_or(name);
    let plain = plain.strip_prefix("*.").unwrap_or(plain);
    plain.len() < 200 && plain.split('.').all(is_label)
}

/// Returns a time as lab files have it.
fn lease_time(seconds: u64) -> String {
    let units = [(86400, "d"), (3600, "h"), (60, "m")];
    let unit = units.iter().find(|(size, _)| seconds.is_multiple_of(*size));
    quote(&unit.map_or_else(|| format!("{seconds}s"), |(size, unit)| format!("{}{unit}", seconds / size)))
}

/// Writes what nodes boot that do not ask matchbox.
fn profile(writer: &mut Writer<'_>, settled: &Settled) {
    let rules: Vec<_> = settled.networks.iter().flat_map(|network| &network.network.boots).collect();
    let from = rules.first().map(|rule| &rule.from);
    writer.text.push_str("\n# The small system of Dryrack stands in for what the machines boot.\n");
    writer.line("[profile.netboot]", from);
    writer.key("kernel", "\"image:tiny/kernel\"", None);
    writer.key("initrd", "\"image:tiny/initrd\"", None);
    writer.key("args", "[\"console=ttyS0\"]", None);
    for rule in rules {
        let what = match boot::kind(&rule.file) {
            FileKind::Script => "the script",
            FileKind::IpxeBios | FileKind::IpxeUefi => "iPXE",
            FileKind::Bios | FileKind::Uefi | FileKind::Unknown => "the boot program",
        };
        writer.notes.push(Note {
            at: rule.from.clone(),
            text: format!("{what} of Dryrack stands in for `{}`, and boots image:tiny", rule.file),
        });
    }
}

pub(super) fn machines(writer: &mut Writer<'_>, settled: &Settled, profiled: &[bool]) {
    if settled.machines.is_empty() {
        let network = &settled.networks[0];
        writer.text.push_str("\n# No file names a machine: one of each kind.\n");
        let room = if network.pool.is_some() || !writer.services { 2 } else { network.room };
        for (index, (name, firmware)) in
            [("bios", "bios"), ("uefi", "uefi")].into_iter().take(room).enumerate()
        {
            if index > 0 {
                writer.text.push('\n');
            }
            writer.line(&format!("[node.{name}]"), None);
            writer.key("firmware", &quote(firmware), None);
            writer.key("memory", "\"512MiB\"", None);
            if profiled[0] {
                writer.key("profile", "\"netboot\"", None);
            }
            let pooled = writer.services && network.pool.is_some();
            let nic = if pooled { "{ address = \"pool\" }" } else { "{}" };
            writer.key(&format!("nic.{}", network.name), nic, None);
        }
        return;
    }
    for settled_machine in &settled.machines {
        machine(writer, settled, settled_machine, profiled);
    }
}

fn machine(writer: &mut Writer<'_>, settled: &Settled, of: &SettledMachine, profiled: &[bool]) {
    let SettledMachine { name, machine, nics, from } = of;
    writer.table(&format!("node.{name}"), from.as_ref());
    writer.sourced("firmware", machine.firmware.as_ref(), |firmware| {
        quote(match firmware {
            FirmwareKind::Bios => "bios",
            FirmwareKind::Uefi => "uefi",
            FirmwareKind::Secure => "uefi-secure",
        })
    });
    writer.sourced("cpus", machine.cpus.as_ref(), |cpus| cpus.to_string());
    match &machine.memory {
        Some(memory) => {
            writer.key("memory", &quote(&format!("{}MiB", memory.value)), memory.from.as_ref());
        }
        None => writer.key("memory", "\"512MiB\"", None),
    }
    if profiled.get(nics[0].0).copied().unwrap_or(false) {
        writer.key("profile", "\"netboot\"", None);
    }
    let devices = machine.boot.as_ref().map(|boot| {
        let mut devices = boot.value.clone();
        devices.retain(|device| *device != "disk" || !machine.disks.is_empty());
        if !devices.contains(&"network") {
            devices.push("network");
        }
        Sourced { value: devices, from: boot.from.clone() }
    });
    writer.sourced("boot", devices.as_ref(), |devices| {
        let quoted: Vec<_> = devices.iter().map(|device| quote(device)).collect();
        format!("[{}]", quoted.join(", "))
    });
    writer.sourced("uuid", machine.uuid.as_ref(), |uuid| quote(uuid));
    writer.sourced("serial", machine.serial.as_ref(), |serial| quote(serial));
    let mut taken = BTreeSet::new();
    for (index, nic) in nics {
        let network = &settled.networks[*index].name;
        let mut key = network.clone();
        let mut number = 2;
        while !taken.insert(key.clone()) {
            key = format!("{}-{number}", &network[..network.len().min(50)]);
            number += 1;
        }
        if NicName::new(&key).is_err() {
            continue;
        }
        let mut parts = Vec::new();
        if key != *network {
            parts.push(format!("network = {}", quote(network)));
        }
        parts.extend(nic.mac.as_ref().map(|mac| format!("mac = \"{}\"", mac.value)));
        match &nic.address {
            Some(address) => parts.push(format!("address = \"{}\"", address.value)),
            // Their server takes one of its pool, too.
            None if writer.services && settled.networks[*index].pool.is_some() => {
                parts.push("address = \"pool\"".to_owned());
            }
            None => {}
        }
        parts.extend(nic.client_id.as_ref().map(|id| format!("client-id = {}", quote(&id.value))));
        parts.extend(nic.model.as_ref().map(|model| format!("model = {}", quote(model.value))));
        let value = if parts.is_empty() { "{}".to_owned() } else { format!("{{ {} }}", parts.join(", ")) };
        let from = nic.mac.as_ref().and_then(|mac| mac.from.as_ref());
        writer.key(&format!("nic.{key}"), &value, from);
    }
    let mut taken = BTreeSet::new();
    for (index, disk) in machine.disks.iter().enumerate() {
        let mut key = slug(&disk.value.name);
        if DiskName::new(&key).is_err() || !taken.insert(key.clone()) {
            key = format!("disk-{}", index + 1);
            taken.insert(key.clone());
        }
        let size = disk.value.size.unwrap_or(10 << 10).clamp(1, 16 << 20);
        let mut parts = vec![format!("size = \"{size}MiB\"")];
        if size.is_multiple_of(1024) {
            parts[0] = format!("size = \"{}GiB\"", size / 1024);
        }
        parts.extend(disk.value.bus.map(|bus| format!("bus = {}", quote(bus))));
        parts.extend(disk.value.serial.as_ref().map(|serial| format!("serial = {}", quote(serial))));
        writer.key(&format!("disk.{key}"), &format!("{{ {} }}", parts.join(", ")), disk.from.as_ref());
    }
    let mut options: BTreeMap<&str, &Sourced<(String, String)>> = BTreeMap::new();
    // Without our DHCP server they would have no effect.
    for option in machine.options.iter().filter(|_| writer.services) {
        options.insert(&option.value.0, option);
    }
    let server = settled.networks[nics[0].0].server.value.to_string();
    for (key, option) in options {
        let value = option.value.1.replace(SERVER, &server);
        writer.key(&format!("options.{}", bare(key)), &value, option.from.as_ref());
    }
}

pub(super) fn expectations(writer: &mut Writer<'_>) {
    writer.text.push_str(
        "\n[expect.up]\nwithin = \"10m\"\nthat = { stage = \"os\" }\n\n[expect.no-panic]\nnever = { console = \"Kernel panic\" }\n",
    );
}
