//! Hardware of Tinkerbell: a list of objects, several documents, or the older map by MAC address.

use std::net::Ipv4Addr;

use ipnet::Ipv4Net;

use super::document::{Document, ItemId};
use super::option::translate;
use super::setup::{DhcpMode, Disk, FirmwareKind, Machine, Network, Nic, Setup, Sourced};
use crate::diag::{Code, Diagnostic, Sources};
use crate::matchbox::yaml;
use crate::name::Mac;

/// Parses all documents of a text of YAML.
pub(super) fn parse(text: &str, file: usize, sources: &Sources, problems: &mut Vec<Diagnostic>) -> Document {
    let mut document = Document::new(file);
    for (first_line, text) in documents(text) {
        let wrong = |line: usize, message: String| {
            Diagnostic::new(Code::ForeignSyntax, sources.line(file, line), message)
                .help("check the indentation of the line")
        };
        match yaml::read(text.as_bytes()) {
            Ok(tree) => {
                let place = |line: usize| sources.line(file, first_line + line - 1);
                if let Err(line) = document.add_tree(&tree, &place) {
                    problems.push(wrong(first_line + line - 1, "it is nested too deep".into()));
                }
            }
            Err(error) => problems.push(wrong(first_line + error.line.max(1) - 1, error.message)),
        }
    }
    document
}

/// Splits a text at the lines that begin a document; each part has the number of its first line.
fn documents(text: &str) -> Vec<(usize, String)> {
    let mut parts: Vec<(usize, String)> = vec![(1, String::new())];
    for (index, line) in text.split_inclusive('\n').enumerate() {
        let begins = line
            .strip_prefix("---")
            .is_some_and(|rest| rest.is_empty() || rest.starts_with(char::is_whitespace));
        if begins {
            parts.push((index + 1, String::new()));
        }
        if let Some((_, part)) = parts.last_mut() {
            part.push_str(line);
        }
    }
    let says = |part: &str| {
        part.lines().any(|line| {
            let line = line.trim();
            !line.is_empty() && !line.starts_with('#') && line != "---" && line != "..."
        })
    };
    parts.retain(|(_, part)| says(part));
    parts
}

/// Returns every object of hardware: with the items of its interfaces.
pub(super) fn objects(document: &Document) -> Vec<ItemId> {
    let mut found = Vec::new();
    for top in document.children(Document::ROOT) {
        let is_object = |item: ItemId| document.get(item, "spec").is_some();
        if is_object(top) {
            found.push(top);
        } else {
            let inner = document.get(top, "items").unwrap_or(top);
            found.extend(document.children(inner).into_iter().filter(|item| is_object(*item)));
        }
    }
    found
}

/// Returns the annotation by which an object is disabled.
pub(super) fn disabled(document: &Document, object: ItemId) -> Option<ItemId> {
    let item = document.at(object, &["metadata", "annotations", "tinkerbell.org/disabled"])?;
    (document.text(item) != "false").then_some(item)
}

/// Returns the entries of the older map by MAC address.
pub(super) fn older(document: &Document) -> Vec<(ItemId, Mac)> {
    let tops = document.children(Document::ROOT).into_iter();
    let entries = tops.flat_map(|top| document.children(top));
    entries.filter_map(|item| Some((item, document.name(item).parse().ok()?))).collect()
}

/// Returns whether a text is hardware.
pub(super) fn is_hardware(document: &Document) -> bool {
    let is = |item: &ItemId| {
        let kind = document.get(*item, "kind").map(|kind| document.text(kind) == "Hardware");
        kind.unwrap_or_else(|| document.at(*item, &["spec", "interfaces"]).is_some())
    };
    let older = older(document);
    let boots = |(item, _): &(ItemId, Mac)| {
        ["netboot", "ipAddress"].iter().any(|name| document.get(*item, name).is_some())
    };
    objects(document).iter().any(is) || older.iter().any(boots)
}

/// Returns what is wrong with the value of a key, and the fix.
pub(super) fn wrong(document: &Document, item: ItemId) -> Option<(String, &'static str)> {
    let text = document.text(item);
    let around = document.parent(item).map(|around| document.name(around)).unwrap_or_default();
    let mac = (around, document.name(item)) == ("dhcp", "mac");
    let address = matches!(
        (around, document.name(item)),
        ("ip", "address" | "gateway" | "netmask") | (_, "ipAddress" | "subnetMask" | "defaultGateway")
    );
    if mac && text.parse::<Mac>().is_err() {
        return Some((format!("`{text}` is no MAC address"), "write six bytes, such as 52:54:00:12:34:56"));
    }
    let invalid = address && !text.is_empty() && text.parse::<std::net::IpAddr>().is_err();
    invalid.then(|| (format!("`{text}` is no address"), "write four numbers from 0 to 255"))
}

/// Returns what the file describes, and notes what became of each part.
pub(super) fn understand(document: &mut Document) -> Setup {
    let mut reading = Reading { document, setup: Setup::default() };
    for object in objects(reading.document) {
        reading.object(object);
    }
    for (item, mac) in older(reading.document) {
        reading.older(item, mac);
    }
    reading.setup
}

struct Reading<'a> {
    document: &'a mut Document,
    setup: Setup,
}

impl Reading<'_> {
    fn sourced<T>(&self, value: T, item: ItemId) -> Sourced<T> {
        Sourced::new(value, self.document.span(item))
    }

    /// Returns the text of an item, and notes that it is in the lab.
    fn take(&mut self, item: ItemId, name: &str, to: &str) -> Option<(ItemId, String)> {
        let found = self.document.get(item, name)?;
        let text = self.document.text(found).to_owned();
        self.document.carry(found, to);
        (!text.is_empty()).then_some((found, text))
    }

    fn object(&mut self, object: ItemId) {
        let kind = self.document.get(object, "kind");
        if kind.is_some_and(|kind| self.document.text(kind) != "Hardware") {
            let kind = kind.map(|kind| self.document.text(kind).to_owned()).unwrap_or_default();
            self.document.leave(object, format!("only Hardware describes machines, not `{kind}`"));
            return;
        }
        for name in ["apiVersion", "kind"] {
            self.take(object, name, "node");
        }
        if disabled(self.document, object).is_some() {
            let why = "it is disabled, so Tinkerbell does not answer the machine: no node is made of it";
            self.document.leave(object, why);
            return;
        }
        let mut machine = Machine::default();
        if let Some(metadata) = self.document.get(object, "metadata") {
            if let Some((item, name)) = self.take(metadata, "name", "node") {
                machine.name = Some(self.sourced(name, item));
            }
            let why = "a lab has no names of Kubernetes";
            for name in ["namespace", "labels", "annotations"] {
                if let Some(item) = self.document.get(metadata, name) {
                    self.document.leave(item, why);
                }
            }
        }
        let Some(spec) = self.document.get(object, "spec") else { return };
        let interfaces = self.document.get(spec, "interfaces").map(|list| self.document.children(list));
        for interface in interfaces.unwrap_or_default() {
            self.interface(interface, &mut machine);
        }
        let disks = self.document.get(spec, "disks").map(|list| self.document.children(list));
        for disk in disks.unwrap_or_default() {
            if let Some((item, device)) = self.take(disk, "device", "disk") {
                self.disk(item, &device, &mut machine);
            }
        }
        let reasons = [
            ("userData", "cloud-init is seeded by `seed` of a node"),
            ("vendorData", "cloud-init is seeded by `seed` of a node"),
            ("bmcRef", "a node is switched on and off by `dryrack power`"),
            ("metadata", "the metadata service of Tinkerbell is not part of a lab"),
            ("tinkVersion", "the workflows of Tinkerbell are not part of a lab"),
            ("agentID", "the workflows of Tinkerbell are not part of a lab"),
            ("auto", "the workflows of Tinkerbell are not part of a lab"),
            ("references", "the workflows of Tinkerbell are not part of a lab"),
            ("resources", "the size of a node is `cpus` and `memory`"),
        ];
        for (name, why) in reasons {
            if let Some(item) = self.document.get(spec, name) {
                self.document.leave(item, why);
            }
        }
        if !machine.nics.is_empty() {
            self.setup.machines.push(machine);
        }
    }

    fn interface(&mut self, interface: ItemId, machine: &mut Machine) {
        let Some(dhcp) = self.document.get(interface, "dhcp") else {
            self.document.leave(interface, "it has no `dhcp`, so Tinkerbell does not answer it");
            return;
        };
        let mut nic = Nic::default();
        let mut network = Network::default();
        if let Some((item, mac)) = self.take(dhcp, "mac", "nic") {
            match mac.parse() {
                Ok(mac) => nic.mac = Some(self.sourced(mac, item)),
                Err(_) => self.document.leave(item, format!("`{mac}` is no MAC address")),
            }
        }
        if let Some((item, name)) = self.take(dhcp, "hostname", "node") {
            machine.name = Some(self.sourced(name, item));
        }
        if let Some((item, uefi)) = self.take(dhcp, "uefi", "firmware") {
            let kind = if uefi == "true" { FirmwareKind::Uefi } else { FirmwareKind::Bios };
            machine.firmware = Some(self.sourced(kind, item));
        }
        if let Some((item, arch)) = self.take(dhcp, "arch", "node")
            && arch != "x86_64"
        {
            self.document.leave(item, format!("a node is a PC; there is none of the architecture {arch}"));
        }
        if let Some((item, lease)) = self.take(dhcp, "lease_time", "dhcp.server.lease-time") {
            match lease.parse() {
                Ok(lease) => network.lease = Some(self.sourced(lease, item)),
                Err(_) => self.document.leave(item, format!("`{lease}` is no time")),
            }
        }
        if let Some((item, domain)) = self.take(dhcp, "domain_name", "dns.domain") {
            network.dns.domain = Some(self.sourced(domain, item));
        }
        if let Some((item, server)) = self.take(dhcp, "tftp_server_name", "the server of boot files") {
            network.next_server = Some(self.sourced(server, item));
        }
        if let Some(ip) = self.document.get(dhcp, "ip") {
            self.address(ip, &mut nic, &mut network);
        }
        if let Some(item) = self.document.get(dhcp, "boot_file_name") {
            self.document.leave(item, "what one machine boots is its profile: give the node one of its own");
        }
        if let Some(item) = self.document.get(interface, "disableDhcp") {
            match self.document.text(item) == "true" {
                true => self.document.leave(item, "the lab assigns an address to the node all the same"),
                false => self.document.carry(item, "dhcp.server"),
            }
        }
        for (name, key) in [("name_servers", "6"), ("time_servers", "42")] {
            self.servers(dhcp, name, key, &mut network);
        }
        if let Some(netboot) = self.document.get(interface, "netboot") {
            self.netboot(netboot);
        }
        network.dhcp = Some(Sourced::assumed(DhcpMode::Server));
        self.add(network);
        machine.nics.push(nic);
    }

    /// Reads address, netmask and gateway.
    fn address(&mut self, ip: ItemId, nic: &mut Nic, network: &mut Network) {
        let address = self.take(ip, "address", "nic");
        let mask = self.take(ip, "netmask", "the prefix length of the network");
        let gateway = self.take(ip, "gateway", "options");
        self.take(ip, "family", "nic");
        self.placed(address, mask, gateway, nic, network);
    }

    fn placed(
        &mut self,
        address: Option<(ItemId, String)>,
        mask: Option<(ItemId, String)>,
        gateway: Option<(ItemId, String)>,
        nic: &mut Nic,
        network: &mut Network,
    ) {
        let parsed = address.as_ref().and_then(|(_, text)| text.parse::<Ipv4Addr>().ok());
        match (&address, parsed) {
            (Some((item, _)), Some(parsed)) => {
                nic.address = Some(self.sourced(parsed, *item));
                if mask.is_none() {
                    self.document.qualify(*item, "the size of its network is assumed: it has no netmask");
                }
            }
            (Some((item, _)), None) => self.document.leave(*item, "it is no IPv4 address"),
            (None, _) => {}
        }
        let length = mask.as_ref().and_then(|(_, text)| ipnet::ipv4_mask_to_prefix(text.parse().ok()?).ok());
        if let (Some((item, text)), None) = (&mask, length) {
            self.document.leave(*item, format!("`{text}` is no netmask"));
        }
        if let (Some((item, _)), Some(length), Some(parsed)) = (&mask, length, parsed) {
            network.subnet = Ipv4Net::new(parsed, length).ok().map(|net| self.sourced(net.trunc(), *item));
        }
        if let Some((item, gateway)) = gateway {
            match translate("routers", &[gateway]) {
                Ok(option) => network.options.push(self.sourced(option, item)),
                Err(why) => self.document.leave(item, why),
            }
        }
    }

    fn servers(&mut self, around: ItemId, name: &str, key: &str, network: &mut Network) {
        let Some(list) = self.document.get(around, name) else { return };
        let items = self.document.children(list);
        let values: Vec<String> = items.iter().map(|item| self.document.text(*item).to_owned()).collect();
        if values.is_empty() {
            return;
        }
        match translate(key, &values) {
            Ok(option) => {
                network.options.push(self.sourced(option, list));
                self.document.carry_whole(list, "options");
            }
            Err(why) => self.document.leave(list, why),
        }
    }

    fn netboot(&mut self, netboot: ItemId) {
        let allowed =
            self.document.get(netboot, "allowPXE").or_else(|| self.document.get(netboot, "allowPxe"));
        if let Some(item) = allowed {
            match self.document.text(item) == "true" {
                true => self.document.carry(item, "boot"),
                false => self
                    .document
                    .leave(item, "the node boots from the network all the same: a lab is there to try it"),
            }
        }
        let profile = "what the machine boots is its profile: write the kernel there";
        for name in ["ipxe", "osie", "pxelinux", "rpi", "ipxeScriptUrl", "ipxeScript", "console"] {
            if let Some(item) = self.document.get(netboot, name) {
                self.document.leave(item, profile);
            }
        }
        if let Some(item) = self.document.get(netboot, "allowWorkflow") {
            self.document.leave(item, "the workflows of Tinkerbell are not part of a lab");
        }
    }

    fn disk(&mut self, item: ItemId, device: &str, machine: &mut Machine) {
        let name = device.rsplit('/').next().unwrap_or_default().to_owned();
        let bus = match name.as_str() {
            name if name.starts_with("nvme") => Some("nvme"),
            name if name.starts_with("sd") => Some("sata"),
            name if name.starts_with("vd") => Some("virtio"),
            _ => None,
        };
        let disk = Disk { name, size: None, bus, serial: None };
        machine.disks.push(self.sourced(disk, item));
    }

    /// Adds what is said of a network; the first one says it of all interfaces of one subnet.
    fn add(&mut self, network: Network) {
        let net = |network: &Network| network.subnet.as_ref().map(|subnet| subnet.value);
        match self.setup.networks.iter_mut().find(|known| net(known) == net(&network)) {
            Some(known) => {
                known.lease = known.lease.take().or(network.lease);
                known.dns.domain = known.dns.domain.take().or(network.dns.domain);
                let has =
                    |key: &str, known: &Network| known.options.iter().any(|option| option.value.0 == key);
                for option in network.options {
                    if !has(&option.value.0, known) {
                        known.options.push(option);
                    }
                }
            }
            None => self.setup.networks.push(network),
        }
    }

    /// Reads an entry of the older map.
    fn older(&mut self, item: ItemId, mac: Mac) {
        let mut nic = Nic { mac: Some(self.sourced(mac, item)), ..Nic::default() };
        let mut network = Network { dhcp: Some(Sourced::assumed(DhcpMode::Server)), ..Network::default() };
        let mut machine = Machine::default();
        self.document.carry(item, "nic");
        let address = self.take(item, "ipAddress", "nic");
        let mask = self.take(item, "subnetMask", "the prefix length of the network");
        let gateway = self.take(item, "defaultGateway", "options");
        self.placed(address, mask, gateway, &mut nic, &mut network);
        if let Some((item, name)) = self.take(item, "hostname", "node") {
            machine.name = Some(self.sourced(name, item));
        }
        if let Some((item, domain)) = self.take(item, "domainName", "dns.domain") {
            network.dns.domain = Some(self.sourced(domain, item));
        }
        if let Some((item, lease)) = self.take(item, "leaseTime", "dhcp.server.lease-time") {
            match lease.parse() {
                Ok(lease) => network.lease = Some(self.sourced(lease, item)),
                Err(_) => self.document.leave(item, format!("`{lease}` is no time")),
            }
        }
        for (name, key) in [("nameServers", "6"), ("ntpServers", "42"), ("domainSearch", "119")] {
            self.servers(item, name, key, &mut network);
        }
        if let Some(netboot) = self.document.get(item, "netboot") {
            self.netboot(netboot);
        }
        self.add(network);
        machine.nics.push(nic);
        self.setup.machines.push(machine);
    }
}
