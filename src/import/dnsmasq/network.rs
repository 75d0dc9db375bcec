//! What the directives of dnsmasq.conf mean for networks and machines.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};

use ipnet::Ipv4Net;

use super::Included;
use super::keys;
use super::syntax::{fields, seconds};
use super::tags::{self, Tagged, Tags, tagged};
use crate::import::boot::{BootRule, Test};
use crate::import::document::{Document, ItemId};
use crate::import::option::{SERVER, quote, translate};
use crate::import::setup::{DhcpMode, Machine, Network, Nic, Setup, Sourced};
use crate::lab::options;

/// What `dhcp-range` says.
#[derive(Debug)]
struct Range {
    item: ItemId,
    /// Tags that a client must have.
    wanted: Vec<String>,
    /// Tags that its clients get.
    set: Vec<String>,
    start: Ipv4Addr,
    end: Option<Ipv4Addr>,
    mask: Option<u8>,
    proxy: bool,
    lease: Option<u64>,
}

impl Range {
    /// Returns its subnet: of the size that the file gives, else the usual one.
    fn subnet(&self) -> Ipv4Net {
        let length = self.mask.unwrap_or(24);
        Ipv4Net::new(self.start, length).map(|net| net.trunc()).unwrap_or_default()
    }
}

/// Parses `dhcp-range`; an error is the reason why it is not carried over.
fn range(item: ItemId, value: &str) -> Result<Range, String> {
    let Tagged { mut wanted, mut rest, set } = tagged(value);
    // An older file has a bare tag, and an interface may be named.
    if rest.first().is_some_and(|first| first.parse::<IpAddr>().is_err()) && rest.len() > 1 {
        let first = rest.remove(0);
        wanted.push(first.strip_prefix("interface:").unwrap_or(&first).to_owned());
    }
    let mut rest = rest.into_iter().peekable();
    let start = rest.next().unwrap_or_default();
    if start.contains(':') || start.starts_with("constructor") {
        return Err("IPv6 is not carried over: give the network `ipv6`".into());
    }
    let start: Ipv4Addr = start.parse().map_err(|_| format!("`{start}` is no IPv4 address"))?;
    let mut found = Range { item, wanted, set, start, end: None, mask: None, proxy: false, lease: None };
    match rest.peek().map(String::as_str) {
        Some("proxy") => found.proxy = true,
        Some("static") => {}
        Some(word) => {
            if let Ok(end) = word.parse() {
                found.end = Some(end);
            }
        }
        None => {}
    }
    if found.proxy || found.end.is_some() || rest.peek().is_some_and(|word| word == "static") {
        rest.next();
    }
    for word in rest {
        if let Ok(address) = word.parse::<Ipv4Addr>() {
            // The second one is the broadcast address.
            found.mask = found.mask.or_else(|| mask_length(address));
        } else if let Some(lease) = seconds(&word) {
            found.lease = Some(lease);
        }
    }
    Ok(found)
}

/// Returns what is wrong with the value of a directive, and the fix.
pub(in crate::import) fn wrong(name: &str, text: &str) -> Option<(String, &'static str)> {
    let parts = fields(text);
    match name {
        "dhcp-range" => match range(ItemId::default(), text) {
            Err(why) if !why.starts_with("IPv6") => {
                Some((why, "write `dhcp-range=FIRST,LAST[,MASK][,LEASE]`"))
            }
            _ => None,
        },
        "dhcp-host" => {
            let is_mac =
                |part: &&String| part.contains(':') && !part.contains("::") && part.split(':').count() > 3;
            let mac = parts.iter().find(|part| {
                let known = part.starts_with("set:") || part.starts_with("tag:") || part.starts_with("id:");
                is_mac(part)
                    && !known
                    && !part.contains('*')
                    && part.rsplit('-').next().is_some_and(|part| part.parse::<crate::name::Mac>().is_err())
            });
            let mac = mac.map(|mac| {
                (format!("`{mac}` is no MAC address"), "write six bytes, such as 52:54:00:12:34:56")
            });
            let octets = |part: &&String| {
                part.split('.').count() == 4 && part.chars().all(|c| c.is_ascii_digit() || c == '.')
            };
            let address = parts.iter().filter(octets).find(|part| part.parse::<Ipv4Addr>().is_err());
            mac.or_else(|| {
                address
                    .map(|address| (format!("`{address}` is no address"), "write four numbers from 0 to 255"))
            })
        }
        "dhcp-boot" => {
            let rest = tagged(text).rest;
            rest.first()
                .is_none_or(String::is_empty)
                .then(|| ("it names no boot file".to_owned(), "write `dhcp-boot=FILE`"))
        }
        "pxe-service" => {
            let rest = tagged(text).rest;
            let csa = rest.first().cloned().unwrap_or_default();
            csa_number(&csa).is_none().then(|| {
                (
                    format!("`{csa}` is no client system architecture"),
                    "write x86PC for BIOS, x86-64_EFI for UEFI",
                )
            })
        }
        "port" => text
            .parse::<u16>()
            .is_err()
            .then(|| (format!("`{text}` is no port"), "write 0 for no DNS, else 53")),
        "listen-address" => {
            let bad = parts.iter().find(|part| part.parse::<IpAddr>().is_err());
            bad.map(|bad| {
                (format!("`{bad}` is no address"), "write an address of an interface of the server")
            })
        }
        _ => None,
    }
}

/// Returns the length of a netmask.
pub(super) fn mask_length(mask: Ipv4Addr) -> Option<u8> {
    ipnet::ipv4_mask_to_prefix(mask).ok()
}

/// Returns what a file describes, and notes what became of each directive.
pub(super) fn understand(document: &mut Document, included: &Included) -> Setup {
    let tags = Tags::collect(document);
    let mut reading = Reading {
        document,
        included,
        tags,
        used: Vec::new(),
        routerless: Vec::new(),
        setup: Setup::default(),
    };
    reading.networks();
    reading.hosts();
    reading.boots();
    reading.options();
    reading.tftp();
    reading.dns();
    reading.defaults();
    reading.rest();
    reading.setup
}

/// A boot file, for clients with tags and perhaps of one architecture.
struct Boot {
    item: ItemId,
    wanted: Vec<String>,
    arch: Option<u16>,
    file: String,
    server: Option<String>,
}

struct Reading<'a> {
    document: &'a mut Document,
    included: &'a Included,
    tags: Tags,
    /// Tags that rules ask for.
    used: Vec<String>,
    /// Networks whose clients are told of no router.
    routerless: Vec<usize>,
    setup: Setup,
}

impl Reading<'_> {
    fn all(&self, key: &str) -> Vec<ItemId> {
        self.document.all(Document::ROOT, key)
    }

    fn sourced<T>(&self, value: T, item: ItemId) -> Sourced<T> {
        Sourced::new(value, self.document.span(item))
    }

    /// Returns whether the file has a directive.
    fn has(&self, key: &str) -> bool {
        self.document.get(Document::ROOT, key).is_some()
    }

    /// Finds networks: interfaces, addresses, and ranges of DHCP.
    fn networks(&mut self) {
        let mut ranges = Vec::new();
        for item in self.all("dhcp-range") {
            match range(item, self.document.text(item)) {
                Ok(range) => ranges.push(range),
                Err(why) => self.document.leave(item, why),
            }
        }
        let interfaces: Vec<(ItemId, String)> = self
            .all("interface")
            .into_iter()
            .flat_map(|item| fields(self.document.text(item)).into_iter().map(move |name| (item, name)))
            .filter(|(_, name)| name != "lo")
            .collect();
        let mut order: Vec<Ipv4Net> = Vec::new();
        for subnet in ranges.iter().map(Range::subnet) {
            if !order.contains(&subnet) {
                order.push(subnet);
            }
        }
        let count = order.len().max(1);
        self.setup.networks = vec![Network::default(); count];
        for (index, subnet) in order.iter().enumerate() {
            let own: Vec<&Range> = ranges.iter().filter(|range| range.subnet() == *subnet).collect();
            self.ranges(index, &own);
        }
        for (index, (item, name)) in interfaces.iter().enumerate() {
            let name = name.clone();
            let asked = |range: &&Range| range.wanted.contains(&name);
            let by_tag = ranges
                .iter()
                .find(asked)
                .and_then(|range| order.iter().position(|net| *net == range.subnet()));
            let at = by_tag.or_else(|| (interfaces.len() == count).then_some(index));
            match at {
                Some(at) if self.setup.networks[at].name.is_none() => {
                    self.tags.place(name.clone(), Some(at));
                    self.setup.networks[at].name = Some(self.sourced(name, *item));
                    self.document.carry(*item, format!("network {}", at + 1));
                }
                _ => {
                    // The one network may be at any of the interfaces.
                    let only = (count == 1).then_some(0);
                    self.tags.place(name, only);
                    let why = "the file does not say which of its networks is at it";
                    match self.document.is_settled(*item) {
                        true => self.document.qualify(*item, why),
                        false => self.document.leave(*item, why),
                    }
                }
            }
        }
        for item in self.all("interface") {
            if self.document.text(item) == "lo" {
                self.document.leave(item, "the services of a network listen on its address and on no other");
            }
        }
        for item in self.all("listen-address") {
            for text in fields(self.document.text(item)) {
                let Ok(address) = text.parse::<Ipv4Addr>() else {
                    self.document.leave(item, format!("`{text}` is no IPv4 address"));
                    continue;
                };
                if address.is_loopback() {
                    if !self.document.is_settled(item) {
                        self.document
                            .leave(item, "the services of a network listen on its address and on no other");
                    }
                    continue;
                }
                let at = order.iter().position(|net| net.contains(&address)).unwrap_or(0);
                self.setup.networks[at].server = Some(self.sourced(address, item));
                self.document.carry(item, "the address of the network");
            }
        }
    }

    /// Reads the ranges of one network.
    fn ranges(&mut self, index: usize, ranges: &[&Range]) {
        for range in ranges {
            let item = range.item;
            let subnet =
                Sourced { value: range.subnet(), from: range.mask.map(|_| self.document.span(item)) };
            let mode = if range.proxy { DhcpMode::Proxy } else { DhcpMode::Server };
            let mode = self.sourced(mode, item);
            let lease = range.lease.map(|lease| self.sourced(lease, item));
            let pool = range.end.map(|end| self.sourced((range.start, end), item));
            let network = &mut self.setup.networks[index];
            if network.subnet.as_ref().is_none_or(|old| old.from.is_none()) {
                network.subnet = Some(subnet);
            }
            if network.dhcp.is_none() {
                network.dhcp = Some(mode);
            }
            network.lease = network.lease.take().or(lease);
            match (&network.pool, pool) {
                (Some(_), Some(_)) => {
                    self.document
                        .leave(item, "the network of a lab has one pool, and an earlier line gives it");
                    continue;
                }
                (None, Some(pool)) => network.pool = Some(pool),
                (_, None) => {}
            }
            for tag in &range.set {
                self.tags.place(tag.clone(), Some(index));
            }
            let used_tags = range.wanted.iter().filter(|tag| !self.has_interface(tag)).count();
            match used_tags {
                0 => self.document.carry(item, "dhcp"),
                _ => self.document.carry_partly(
                    item,
                    "dhcp",
                    "the pool of a lab is for all clients, not for those with a tag",
                ),
            }
        }
    }

    fn has_interface(&self, name: &str) -> bool {
        self.all("interface")
            .iter()
            .any(|item| fields(self.document.text(*item)).iter().any(|one| one == name))
    }

    /// Reads hosts: machines, or clients that are ignored.
    fn hosts(&mut self) {
        for item in self.all("dhcp-host") {
            let parts = fields(self.document.text(item));
            let mut machine = Machine::default();
            let (mut macs, mut rest, mut address, mut lost) = (Vec::new(), None, None, Vec::new());
            let mut ignored = false;
            for part in &parts {
                if let Ok(mac) = part.trim_start_matches("06-").trim_start_matches("01-").parse() {
                    macs.push(mac);
                } else if let Ok(found) = part.parse::<Ipv4Addr>() {
                    address = Some(found);
                } else if part.starts_with('[') {
                    lost.push("its IPv6 address");
                } else if let Some(id) = part.strip_prefix("id:") {
                    rest = (id != "*").then(|| id.to_owned());
                } else if part == "ignore" {
                    ignored = true;
                } else if part.starts_with("set:") || part.starts_with("net:") {
                    // The tag is a condition of other rules.
                } else if part.starts_with("tag:") {
                    lost.push("its tags");
                } else if seconds(part).is_some() {
                    lost.push("a lease time of its own");
                } else if !part.is_empty() && !part.contains('*') {
                    machine.name = Some(self.sourced(part.clone(), item));
                } else if part.contains('*') {
                    lost.push("MAC addresses by a pattern");
                }
            }
            if ignored {
                self.document.leave(
                    item,
                    "clients cannot be ignored one by one; see `unknown-clients` of the DHCP server",
                );
                continue;
            }
            if macs.is_empty() && rest.is_none() {
                self.document.leave(item, "a machine needs a MAC address or a client identifier");
                continue;
            }
            if macs.len() > 1 {
                lost.push("its other MAC addresses: one NIC has one");
            }
            let nic = Nic {
                mac: macs.first().map(|mac| self.sourced(*mac, item)),
                address: address.map(|address| self.sourced(address, item)),
                client_id: rest.map(|id| self.sourced(id, item)),
                ..Nic::default()
            };
            machine.nics.push(nic);
            self.setup.machines.push(machine);
            match lost.is_empty() {
                true => self.document.carry(item, "node"),
                false => {
                    self.document.carry_partly(item, "node", format!("not carried over: {}", lost.join(", ")))
                }
            }
        }
        for item in self.all("dhcp-ignore") {
            let wanted = tagged(self.document.text(item)).wanted;
            match wanted.as_slice() {
                [tag] if tag == "!known" => {
                    let value = Some(self.sourced(true, item));
                    self.setup.networks.iter_mut().for_each(|network| network.only_known.clone_from(&value));
                    self.document.carry(item, "dhcp.server.unknown-clients");
                }
                _ => self.document.leave(
                    item,
                    "only clients that are no nodes can be ignored, by `dhcp-ignore=tag:!known`",
                ),
            }
        }
        if let Some(item) = self.all("dhcp-authoritative").first().copied() {
            let value = Some(self.sourced(true, item));
            self.setup.networks.iter_mut().for_each(|network| network.authoritative.clone_from(&value));
            self.document.carry(item, "dhcp.server.authoritative");
        }
    }

    /// Reads what clients boot.
    fn boots(&mut self) {
        let mut rules: Vec<Boot> = Vec::new();
        for item in self.all("pxe-service") {
            let Tagged { wanted, rest, .. } = tagged(self.document.text(item));
            let Some(arch) = rest.first().and_then(|csa| csa_number(csa)) else {
                self.document.leave(item, "its client system architecture is unknown");
                continue;
            };
            let file = rest.get(2).filter(|file| file.parse::<u16>().is_err() && !file.is_empty());
            let Some(file) = file else {
                self.document
                    .leave(item, "a menu of PXE has no counterpart: `boot` of a node is its boot order");
                continue;
            };
            let last = file.rsplit('/').next().unwrap_or_default();
            let file = if last.contains('.') { file.clone() } else { format!("{file}.0") };
            rules.push(Boot { item, wanted, arch: Some(arch), file, server: rest.get(3).cloned() });
        }
        let mut tagged_rules = Vec::new();
        let mut plain = Vec::new();
        // The last of several rules counts, and one without tags only if no other does.
        for item in self.all("dhcp-boot").into_iter().rev() {
            let Tagged { wanted, rest, .. } = tagged(self.document.text(item));
            let Some(file) = rest.first().filter(|file| !file.is_empty()).cloned() else {
                self.document.leave(item, "it names no file");
                continue;
            };
            let server = rest.get(2).or(rest.get(1)).filter(|server| !server.is_empty()).cloned();
            let of = if wanted.is_empty() { &mut plain } else { &mut tagged_rules };
            of.push(Boot { item, wanted, arch: None, file, server });
        }
        rules.extend(tagged_rules);
        rules.extend(plain);
        for rule in rules {
            self.used.extend(rule.wanted.iter().map(|tag| tag.trim_start_matches('!').to_owned()));
            self.boot(rule);
        }
        for item in self.all("pxe-prompt") {
            self.document.leave(item, "no menu is shown: every node boots at once");
        }
        let used = self.used.clone();
        tags::carry(self.document, &used);
    }

    /// Adds a rule to the networks whose clients can have its tags.
    fn boot(&mut self, rule: Boot) {
        let Boot { item, wanted, arch, file, server } = rule;
        let from = self.document.span(item);
        let mut hindrance = Some("no client can have its tags".to_owned());
        for (index, network) in self.setup.networks.iter_mut().enumerate() {
            let test = self.tags.test(&wanted, index);
            if test.is_never() {
                continue;
            }
            let when = match (arch, test.is_always()) {
                (None, true) => Test::Always,
                (None, false) => test,
                (Some(arch), true) => Test::Arch(arch),
                (Some(arch), false) => Test::All(vec![Test::Arch(arch), test]),
            };
            hindrance = when.hindrance();
            network.boots.push(BootRule {
                when,
                file: file.clone(),
                server: server.clone(),
                from: from.clone(),
            });
        }
        match hindrance {
            Some(why) => self.document.leave(item, why),
            None => self.document.carry(item, "the loader of the profile"),
        }
    }

    /// Reads options of DHCP.
    fn options(&mut self) {
        let mut items =
            ["dhcp-option", "dhcp-option-force", "dhcp-option-pxe"].map(|key| self.all(key)).concat();
        // One with tags counts more, wherever it is; the last one counts.
        items.sort_by_key(|item| !tagged(self.document.text(*item)).wanted.is_empty());
        for item in items {
            let Tagged { wanted, rest, .. } = tagged(self.document.text(item));
            let Some((key, values)) = rest.split_first() else { continue };
            if key.contains("encap:") || key.starts_with("vendor:") || key.starts_with("option6:") {
                self.document
                    .leave(item, "options within other options, and those of IPv6, are not carried over");
                continue;
            }
            let key = key.strip_prefix("option:").unwrap_or(key);
            let values: Vec<String> = values
                .iter()
                .map(|value| if value == "0.0.0.0" { SERVER.to_owned() } else { value.clone() })
                .collect();
            let tests: Vec<Test> =
                (0..self.setup.networks.len()).map(|index| self.tags.test(&wanted, index)).collect();
            let machine = tests.iter().find_map(|test| self.machine_of(test));
            let networks: Vec<usize> = (0..tests.len()).filter(|index| tests[*index].is_always()).collect();
            if networks.is_empty() && machine.is_none() {
                self.document.leave(
                    item,
                    format!(
                        "options are for a network or a node, not for clients with `{}`",
                        wanted.join(",")
                    ),
                );
                continue;
            }
            if values.iter().all(String::is_empty) {
                if matches!(key, "3" | "router") && machine.is_none() {
                    networks.iter().for_each(|index| self.routerless.push(*index));
                    self.document.carry(item, "options");
                } else {
                    self.document.leave(item, "an option cannot be withheld that the server sends");
                }
                continue;
            }
            self.option(item, key, &values, machine, &networks);
        }
    }

    /// Reads one option of a machine or of networks.
    fn option(
        &mut self,
        item: ItemId,
        key: &str,
        values: &[String],
        machine: Option<usize>,
        networks: &[usize],
    ) {
        let code = match key {
            "netmask" => Some(1),
            "lease-time" => Some(51),
            "server-ip-address" | "255" => Some(255),
            "server-identifier" => Some(54),
            _ => key.parse().ok().or_else(|| options::find(key).ok().map(|known| known.code)),
        };
        let first = values.first().cloned().unwrap_or_default();
        let from = Some(self.document.span(item));
        let all = &mut self.setup.networks;
        let mut each = |set: &dyn Fn(&mut Network)| networks.iter().for_each(|index| set(&mut all[*index]));
        match code {
            Some(51 | 66 | 67 | 150 | 255) if machine.is_some() => {
                self.document
                    .leave(item, "it is the same for all clients of a network, or that of a profile");
            }
            Some(1) => match first.parse().ok().and_then(mask_length) {
                Some(length) if machine.is_none() => {
                    each(&|network| {
                        if let Some(subnet) = network.subnet.as_mut().filter(|subnet| subnet.from.is_none()) {
                            let net = Ipv4Net::new(subnet.value.addr(), length).map(|net| net.trunc());
                            *subnet = Sourced { value: net.unwrap_or(subnet.value), from: from.clone() };
                        }
                    });
                    self.document.carry(item, "the prefix length of the network");
                }
                _ => self.document.leave(item, "the mask follows from the address of the network"),
            },
            Some(51) => match seconds(&first) {
                Some(value) => {
                    each(&|network| network.lease = Some(Sourced { value, from: from.clone() }));
                    self.document.carry(item, "dhcp.server.lease-time");
                }
                None => self.document.leave(item, format!("`{first}` is no time")),
            },
            Some(66 | 150 | 255) => {
                let server = Some(Sourced { value: first, from });
                each(&|network| network.next_server.clone_from(&server));
                self.document.carry(item, "the TFTP server");
            }
            Some(67) => {
                let rule = BootRule {
                    when: Test::Always,
                    file: first,
                    server: None,
                    from: self.document.span(item),
                };
                each(&|network| network.boots.push(rule.clone()));
                self.document.carry(item, "the loader of the profile");
            }
            Some(15) if machine.is_none() => {
                let domain = Some(Sourced { value: first, from });
                each(&|network| network.dns.domain.clone_from(&domain));
                self.document.carry(item, "dns.domain");
            }
            Some(54) => self.document.leave(item, "the identifier of the server is its address"),
            _ => match translate(key, values) {
                Ok(value) => {
                    let option = Sourced { value, from };
                    match machine {
                        Some(machine) => self.setup.machines[machine].options.push(option),
                        None => each(&|network| network.options.push(option.clone())),
                    }
                    self.document.carry(item, "options");
                }
                Err(why) => self.document.leave(item, why),
            },
        }
    }

    /// Returns the machine that alone fulfils a condition.
    fn machine_of(&self, test: &Test) -> Option<usize> {
        let Test::Mac(mac) = test else { return None };
        let has = |machine: &Machine| {
            machine.nics.iter().any(|nic| nic.mac.as_ref().is_some_and(|of| of.value == *mac))
        };
        self.setup.machines.iter().position(has)
    }

    fn tftp(&mut self) {
        let enabled = self.has("enable-tftp");
        for item in self.all("enable-tftp") {
            self.document.carry(item, "the TFTP server");
        }
        let mut items = self.all("tftp-root");
        // A folder of one interface counts more than one of all.
        items.sort_by_key(|item| fields(self.document.text(*item)).len());
        for item in items {
            if self.document.is_missing(item) {
                continue;
            }
            let root = self.included.roots.iter().find(|(of, _)| *of == item).map(|(_, root)| root);
            let Some(root) = root.filter(|_| enabled) else {
                self.document.leave(item, "`enable-tftp` is missing, so nobody serves the folder");
                continue;
            };
            let root = Some(self.sourced(root.display().to_string(), item));
            let interface = fields(self.document.text(item)).get(1).cloned();
            let networks: Vec<usize> = match &interface {
                Some(name) => self.tags.networks_of(name).collect(),
                None => (0..self.setup.networks.len()).collect(),
            };
            match (networks.as_slice(), interface) {
                ([], Some(name)) => {
                    self.document.leave(item, format!("the file does not say which network is at `{name}`"));
                }
                _ => self.document.carry(item, "root"),
            }
            networks.into_iter().for_each(|index| self.setup.networks[index].root.clone_from(&root));
        }
    }

    fn dns(&mut self) {
        let off = self.all("port").last().is_some_and(|item| self.document.text(*item) == "0");
        for item in self.all("port") {
            match self.document.text(item) {
                "53" => self.document.carry(item, "DNS"),
                "0" => self.document.carry(item, "dns"),
                _ => self.document.leave(item, "DNS of a network is at port 53"),
            }
        }
        if off {
            // The domain is an option of DHCP all the same.
            self.domain();
            let from = self.all("port").last().map(|item| self.document.span(*item));
            for network in &mut self.setup.networks {
                network.dns.off = Some(Sourced { value: (), from: from.clone() });
            }
            return;
        }
        let expand = self.has("expand-hosts");
        self.domain();
        self.records();
        self.upstream();
        let mut hosts: BTreeMap<ItemId, bool> = BTreeMap::new();
        let included = self.included;
        for (item, address, names) in &included.hosts {
            let fine = hosts.entry(*item).or_insert(true);
            let Ok(address) = address.parse::<IpAddr>() else {
                *fine = false;
                continue;
            };
            if address.is_loopback() {
                continue;
            }
            for name in names {
                let local = expand && !name.contains('.');
                let record =
                    self.sourced((if local { name.clone() } else { absolute(name) }, address), *item);
                self.setup.networks.iter_mut().for_each(|network| network.dns.records.push(record.clone()));
            }
        }
        for (item, fine) in hosts {
            match fine {
                true => self.document.carry(item, "dns.records"),
                false => self.document.carry_partly(item, "dns.records", "a line of it has no address"),
            }
        }
        if let Some(item) = self.all("expand-hosts").first().copied() {
            self.document.carry(item, "dns.domain");
        }
        self.setup.networks.iter_mut().for_each(|network| network.dns.served = true);
    }

    /// Adds what dnsmasq does if its file does not say otherwise.
    fn defaults(&mut self) {
        for (index, network) in self.setup.networks.iter_mut().enumerate() {
            if network.dhcp.as_ref().is_none_or(|mode| mode.value != DhcpMode::Server) {
                continue;
            }
            network.authoritative = network.authoritative.take().or(Some(Sourced::assumed(false)));
            let routed = network.options.iter().any(|option| option.value.0 == "routers");
            if !routed && !self.routerless.contains(&index) {
                let own = ("routers".to_owned(), quote(SERVER));
                network.options.push(Sourced::assumed(own));
            }
        }
    }

    fn domain(&mut self) {
        for item in self.all("domain") {
            let parts = fields(self.document.text(item));
            if parts[0] == "#" || parts[0].is_empty() {
                self.document.leave(item, "the domain of the lab is that of the file, not of this machine");
                continue;
            }
            // `domain=NAME,SUBNET` is that of one network.
            let subnet = parts.get(1).and_then(|subnet| subnet.parse::<Ipv4Net>().ok());
            let domain = Some(self.sourced(parts[0].clone(), item));
            for network in &mut self.setup.networks {
                let own = network.subnet.as_ref().is_none_or(|net| subnet.is_none_or(|of| net.value == of));
                if own {
                    network.dns.domain.clone_from(&domain);
                }
            }
            self.document.carry(item, "dns.domain");
        }
        for item in self.all("local") {
            self.document.carry(item, "dns.domain");
        }
    }

    fn records(&mut self) {
        for item in self.all("address") {
            let value = self.document.text(item).to_owned();
            let parts: Vec<&str> = value.split('/').collect();
            let (names, address) = match parts.as_slice() {
                ["", names @ .., address] if !names.is_empty() => (names, *address),
                _ => {
                    self.document.leave(item, "a record for every name has no counterpart");
                    continue;
                }
            };
            let Ok(address) = address.parse::<IpAddr>() else {
                self.document.leave(item, "names that nobody has are answered so anyway: they do not exist");
                continue;
            };
            if names.contains(&"#") {
                self.document.leave(item, "a record for every name has no counterpart");
                continue;
            }
            for name in names.iter().filter(|name| !name.is_empty()) {
                let name = name.trim_start_matches('*').trim_start_matches('.');
                for name in [absolute(name), format!("*.{}", absolute(name))] {
                    self.record(item, name, address);
                }
            }
            self.document.carry(item, "dns.records");
        }
        for item in self.all("host-record") {
            let parts = fields(self.document.text(item));
            let addresses: Vec<IpAddr> = parts.iter().filter_map(|part| part.parse().ok()).collect();
            let names =
                parts.iter().filter(|part| part.parse::<IpAddr>().is_err() && part.parse::<u32>().is_err());
            for name in names.filter(|name| !name.is_empty()) {
                for address in &addresses {
                    self.record(item, absolute(name), *address);
                }
            }
            match addresses.is_empty() {
                true => self.document.leave(item, "it has no address"),
                false => self.document.carry(item, "dns.records"),
            }
        }
        for item in self.all("cname") {
            let mut parts = fields(self.document.text(item));
            parts.retain(|part| part.parse::<u32>().is_err());
            let Some(target) = parts.pop().filter(|target| !target.is_empty() && !parts.is_empty()) else {
                self.document.leave(item, "it has no target");
                continue;
            };
            for name in parts {
                let alias = self.sourced((absolute(&name), target.clone()), item);
                self.setup.networks.iter_mut().for_each(|network| network.dns.aliases.push(alias.clone()));
            }
            self.document.carry(item, "dns.cname");
        }
        for item in self.all("srv-host") {
            let parts = fields(self.document.text(item));
            let part = |at: usize| parts.get(at).map(String::as_str).filter(|part| !part.is_empty());
            let Some(target) = part(1) else {
                self.document.leave(item, "it has no target");
                continue;
            };
            let service = format!(
                "{} {} {} {target}",
                part(3).unwrap_or("0"),
                part(4).unwrap_or("0"),
                part(2).unwrap_or("1")
            );
            let service = self.sourced((parts[0].clone(), service), item);
            self.setup.networks.iter_mut().for_each(|network| network.dns.services.push(service.clone()));
            self.document.carry(item, "dns.srv");
        }
        for item in self.all("txt-record") {
            let mut parts = fields(self.document.text(item));
            let name = absolute(&parts.remove(0));
            if parts.is_empty() || name.is_empty() {
                self.document.leave(item, "it has no text");
                continue;
            }
            for text in parts {
                let text = self.sourced((name.clone(), text), item);
                self.setup.networks.iter_mut().for_each(|network| network.dns.texts.push(text.clone()));
            }
            self.document.carry(item, "dns.txt");
        }
    }

    fn record(&mut self, item: ItemId, name: String, address: IpAddr) {
        let record = self.sourced((name, address), item);
        self.setup.networks.iter_mut().for_each(|network| network.dns.records.push(record.clone()));
    }

    fn upstream(&mut self) {
        let no_resolv = self.all("no-resolv").first().copied();
        for item in self.all("server") {
            let text = self.document.text(item).to_owned();
            if text.starts_with('/') {
                let local = text.ends_with('/');
                match local {
                    true => self.document.carry(item, "dns"),
                    false => self.document.leave(item, "one set of DNS servers answers all other names"),
                }
                continue;
            }
            self.server(item, &text);
        }
        let included = self.included;
        for (item, address) in &included.resolvers {
            match no_resolv {
                Some(_) => self.document.leave(*item, "`no-resolv` is set, so nobody reads it"),
                None => self.server(*item, address),
            }
        }
        for item in self.all("resolv-file") {
            if !self.document.is_settled(item) {
                self.document.leave(item, "no name server is in it");
            }
        }
        if let Some(item) = no_resolv {
            self.document.carry(item, "dns.upstream");
            let none = Some(self.sourced((), item));
            self.setup.networks.iter_mut().for_each(|network| network.dns.no_upstream.clone_from(&none));
        }
    }

    /// Reads a server for other names: `ADDRESS[#PORT][@SOURCE]`.
    fn server(&mut self, item: ItemId, text: &str) {
        let (text, source) = text.split_once('@').map_or((text, None), |(text, source)| (text, Some(source)));
        let (address, port) = text.split_once('#').unwrap_or((text, "53"));
        let (Ok(address), Ok(port)) = (address.parse::<IpAddr>(), port.parse::<u16>()) else {
            self.document.leave(item, format!("`{text}` is no address"));
            return;
        };
        let written = match (address, port) {
            (address, 53) => address.to_string(),
            (address, port) => std::net::SocketAddr::new(address, port).to_string(),
        };
        let server = self.sourced(written, item);
        self.setup.networks.iter_mut().for_each(|network| network.dns.upstream.push(server.clone()));
        match source {
            None => self.document.carry(item, "dns.upstream"),
            Some(_) => self.document.carry_partly(item, "dns.upstream", "its interface or source address"),
        }
    }

    /// Notes why all other directives are not carried over.
    fn rest(&mut self) {
        for item in self.document.children(Document::ROOT) {
            if self.document.is_settled(item) {
                continue;
            }
            let key = self.document.name(item).to_owned();
            let why = match keys::reason(&key) {
                Some(why) => why.to_owned(),
                None if keys::is_known(&key) => "nothing else of the file makes use of it".to_owned(),
                None => format!("`{key}` is no option of dnsmasq 2.90, which refuses the file"),
            };
            self.document.leave(item, why);
        }
    }
}

/// Returns the first address of a range.
pub(super) fn range_of(document: &Document, item: ItemId) -> Option<Ipv4Addr> {
    range(item, document.text(item)).ok().map(|range| range.start)
}

/// Returns a name of DNS as a lab file has it: a name without an inner dot would belong to the domain.
fn absolute(name: &str) -> String {
    let plain = name.trim_end_matches('.').trim_start_matches("*.");
    if plain.is_empty() || plain.contains('.') {
        name.trim_end_matches('.').to_owned()
    } else {
        format!("{}.", name.trim_end_matches('.'))
    }
}

/// Returns the number of a client system architecture.
fn csa_number(name: &str) -> Option<u16> {
    let names = [
        "x86pc",
        "pc98",
        "ia64_efi",
        "alpha",
        "arc_x86",
        "intel_lean_client",
        "ia32_efi",
        "x86-64_efi",
        "xscale_efi",
        "bc_efi",
        "arm32_efi",
        "arm64_efi",
    ];
    let plain = name.to_ascii_lowercase();
    let at = names.iter().position(|known| *known == plain);
    at.and_then(|at| u16::try_from(at).ok()).or_else(|| plain.parse().ok())
}
