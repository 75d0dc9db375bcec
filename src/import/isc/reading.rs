//! What the statements of dhcpd.conf are about: networks, machines and boot files, each within its block.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};

use ipnet::Ipv4Net;

use super::{LEFT, ONE_MACHINE, SETTING, is_known, option};
use crate::import::boot::{BootRule, Test};
use crate::import::document::{Document, ItemId};
use crate::import::expression;
use crate::import::option::translate;
use crate::import::setup::{DhcpMode, Machine, Network, Nic, Note, Program, Server, Serves, Setup, Sourced};

/// How long a lease is without `default-lease-time`: twelve hours.
const LEASE: u64 = 43_200;

/// What applies within a block.
#[derive(Debug, Clone, Default)]
struct Scope {
    /// The networks that it is about; without a list all of them.
    networks: Option<Vec<usize>>,
    /// Whether it is about the hosts of a group.
    hosts: bool,
    /// Whether it is about the clients of a pool.
    pool: bool,
    /// The conditions around.
    tests: Vec<Test>,
    /// How near to the client: the rules of a nearer block come first.
    depth: usize,
}

/// What a block says of its networks.
#[derive(Debug, Clone)]
enum Setting {
    Lease(u64),
    Authoritative(bool),
    OnlyKnown(bool),
    Name(String),
    Domain(String),
    Option((String, String)),
}

/// A value of a block: how near the block is, and its networks.
#[derive(Debug)]
struct Scoped<T> {
    depth: usize,
    networks: Option<Vec<usize>>,
    value: T,
}

impl<T> Scoped<T> {
    fn new(scope: &Scope, value: T) -> Self {
        Self { depth: scope.depth, networks: scope.networks.clone(), value }
    }

    /// Returns whether it holds for a network.
    fn is_for(&self, index: usize) -> bool {
        self.networks.as_ref().is_none_or(|networks| networks.contains(&index))
    }
}

/// A `range`.
#[derive(Debug)]
struct Range {
    item: ItemId,
    network: Option<usize>,
    ends: (Ipv4Addr, Ipv4Addr),
    /// Whether clients without a reservation get addresses of it.
    open: bool,
    /// Whether it is the one that the network of the lab has.
    chosen: bool,
}

struct Reading<'a> {
    document: &'a mut Document,
    setup: Setup,
    /// Options that the files define, with their codes.
    defined: &'a BTreeMap<String, u8>,
    /// Networks of the `subnet` blocks.
    subnets: BTreeMap<ItemId, usize>,
    ranges: Vec<Range>,
    settings: Vec<Scoped<Sourced<Setting>>>,
    /// Options of the groups around, for their hosts.
    groups: Vec<Vec<Sourced<(String, String)>>>,
    /// Rules with their order.
    rules: Vec<Scoped<BootRule>>,
    next_servers: Vec<Scoped<(Test, Sourced<String>)>>,
}

/// Returns what the file describes, and notes what became of each statement.
pub(in crate::import) fn understand(
    document: &mut Document,
    path: &Path,
    included: &[(String, PathBuf)],
    defined: &BTreeMap<String, u8>,
) -> Setup {
    let mut reading = Reading {
        document,
        setup: Setup::default(),
        defined,
        subnets: BTreeMap::new(),
        ranges: Vec::new(),
        settings: Vec::new(),
        groups: Vec::new(),
        rules: Vec::new(),
        next_servers: Vec::new(),
    };
    reading.definitions();
    reading.subnets();
    reading.ranges();
    reading.block(Document::ROOT, &Scope::default());
    reading.finish();
    let Reading { mut setup, .. } = reading;
    let mut files = vec![("/etc/dhcp/dhcpd.conf".to_owned(), path.display().to_string())];
    files.extend(included.iter().map(|(target, path)| (target.clone(), path.display().to_string())));
    setup.servers.push(Server {
        program: Program::IscDhcpd,
        files,
        port: None,
        from: document.span(Document::ROOT),
        folders: vec!["/var/lib/dhcp".to_owned()],
        interfaces: Vec::new(),
        alone: true,
        serves: Serves { dhcp: true, ..Serves::default() },
    });
    setup
}

impl Reading<'_> {
    fn definitions(&mut self) {
        for item in self.document.every().collect::<Vec<_>>() {
            let text = self.document.text(item).to_owned();
            let mut words = text.split_whitespace();
            let defines =
                matches!((words.next(), words.next()), (Some(_), Some("code")) | (Some("space"), _));
            if self.document.name(item) == "option" && defines {
                self.document.carry(item, "the conditions that name it");
            }
        }
    }

    /// Finds the networks, because a line of a block may be about those that come later.
    fn subnets(&mut self) {
        for item in self.document.every().collect::<Vec<_>>() {
            if self.document.name(item) != "subnet" {
                continue;
            }
            let text = self.document.text(item).to_owned();
            let words: Vec<&str> = text.split_whitespace().collect();
            let net = match words.as_slice() {
                [address, "netmask", mask] => {
                    let length = mask.parse().ok().and_then(|mask| ipnet::ipv4_mask_to_prefix(mask).ok());
                    let address = address.parse::<Ipv4Addr>().ok();
                    address.zip(length).and_then(|(address, length)| Ipv4Net::new(address, length).ok())
                }
                _ => None,
            };
            let Some(net) = net else {
                self.document.leave(item, "it is no `subnet ADDRESS netmask MASK`");
                continue;
            };
            self.subnets.insert(item, self.setup.networks.len());
            self.setup.networks.push(Network {
                subnet: Some(self.sourced(net.trunc(), item)),
                dhcp: Some(self.sourced(DhcpMode::Server, item)),
                ..Network::default()
            });
        }
    }

    /// Finds the ranges and their networks, and chooses one for each network: one for all clients if there is one.
    fn ranges(&mut self) {
        for item in self.document.every().collect::<Vec<_>>() {
            if self.document.name(item) != "range" {
                continue;
            }
            let text = self.document.text(item);
            let mut words = text.split_whitespace().filter(|word| *word != "dynamic-bootp");
            let first = words.next().and_then(|word| word.parse().ok());
            let last = words.next().map_or(first, |word| word.parse().ok());
            let (Some(first), Some(last)) = (first, last) else {
                self.document.leave(item, "it is no range of addresses");
                continue;
            };
            let around = self.around(item);
            let own = around.iter().find_map(|block| self.subnets.get(block).copied());
            let shared = around.iter().find(|block| self.document.name(**block) == "shared-network");
            let candidates = match shared {
                Some(shared) => self.networks_within(*shared),
                None => (0..self.setup.networks.len()).collect(),
            };
            let holds = |index: &usize| {
                let subnet = self.setup.networks[*index].subnet.as_ref();
                subnet.is_some_and(|subnet| subnet.value.contains(&first))
            };
            let network = own.or_else(|| candidates.into_iter().find(holds));
            let pool = around.into_iter().find(|block| self.document.name(*block) == "pool");
            let open = pool.is_none_or(|pool| self.is_open(pool));
            self.ranges.push(Range { item, network, ends: (first, last), open, chosen: false });
        }
        for network in 0..self.setup.networks.len() {
            let mut own: Vec<&mut Range> =
                self.ranges.iter_mut().filter(|range| range.network == Some(network)).collect();
            let best = own.iter().position(|range| range.open).unwrap_or(0);
            if let Some(range) = own.get_mut(best) {
                range.chosen = true;
            }
        }
    }

    /// Returns whether clients without a reservation get addresses of a pool.
    fn is_open(&self, pool: ItemId) -> bool {
        let of = |name: &str| -> Vec<String> {
            let items = self.document.all(pool, name).into_iter();
            items.map(|item| self.document.text(item).to_owned()).collect()
        };
        let (allowed, denied) = (of("allow"), of("deny"));
        let all =
            |word: &String| matches!(word.as_str(), "unknown-clients" | "unknown clients" | "all clients");
        (allowed.is_empty() || allowed.iter().any(all)) && !denied.iter().any(all)
    }

    /// Returns the blocks around an item, the nearest first.
    fn around(&self, item: ItemId) -> Vec<ItemId> {
        std::iter::successors(self.document.parent(item), |block| self.document.parent(*block)).collect()
    }

    /// Returns the networks whose subnets are within a block.
    fn networks_within(&self, block: ItemId) -> Vec<usize> {
        let within = self.subnets.iter().filter(|(subnet, _)| self.around(**subnet).contains(&block));
        within.map(|(_, index)| *index).collect()
    }

    fn sourced<T>(&self, value: T, item: ItemId) -> Sourced<T> {
        Sourced::new(value, self.document.span(item))
    }

    fn condition(&self, text: &str) -> Test {
        expression::parse(text, &|name| self.defined.get(name).copied(), &|_| None)
    }

    fn block(&mut self, block: ItemId, scope: &Scope) {
        // Of several conditions in a row the first one counts.
        let mut before: Vec<Test> = Vec::new();
        for item in self.document.children(block) {
            let (name, text) = (self.document.name(item).to_owned(), self.document.text(item).to_owned());
            if !matches!(name.as_str(), "elsif" | "else") {
                before.clear();
            }
            let inner = Scope { depth: scope.depth + 1, ..scope.clone() };
            match name.as_str() {
                "subnet" => {
                    if let Some(index) = self.subnets.get(&item).copied() {
                        self.block(item, &Scope { networks: Some(vec![index]), hosts: false, ..inner });
                        self.document.carry(item, "network");
                    }
                }
                "shared-network" => self.shared(item, inner),
                "group" => self.group(item, inner),
                "pool" => self.pool(item, inner),
                "class" => self.class(item, scope),
                "if" | "elsif" | "else" => {
                    let mut tests = scope.tests.clone();
                    tests.extend(before.iter().map(|test| Test::Not(Box::new(test.clone()))));
                    if name != "else" {
                        let test = self.condition(&text);
                        before.push(test.clone());
                        tests.push(test);
                    }
                    let unclear = tests.iter().find_map(Test::hindrance);
                    self.block(item, &Scope { tests, ..inner });
                    match unclear {
                        None => self.document.carry(item, "the loader of the profile"),
                        Some(why) => self.document.leave(item, why),
                    }
                }
                "host" => self.host(item, &text),
                _ => {
                    self.statement(item, &name, &text, scope);
                    if scope.pool && !matches!(name.as_str(), "range" | "allow" | "deny" | "ignore") {
                        let rest = "it is for all clients of the network, not only for those of the pool";
                        self.document.qualify(item, rest);
                    }
                }
            }
        }
    }

    fn shared(&mut self, item: ItemId, inner: Scope) {
        let networks = self.networks_within(item);
        let several = networks.len() > 1;
        self.block(item, &Scope { networks: Some(networks), hosts: false, ..inner });
        self.document.carry(item, "network");
        if several {
            let text =
                "each of its subnets is a network of its own: a network of a lab has one subnet".to_owned();
            self.setup.notes.push(Note { at: self.document.span(item), text });
        }
    }

    fn group(&mut self, item: ItemId, inner: Scope) {
        let hosts = self
            .document
            .every()
            .any(|host| self.document.name(host) == "host" && self.around(host).contains(&item));
        let networks = Some(self.networks_within(item));
        let first = self.setup.machines.len();
        self.groups.push(Vec::new());
        self.block(item, &Scope { networks, hosts, ..inner });
        let options = self.groups.pop().unwrap_or_default();
        for machine in &mut self.setup.machines[first..] {
            // The nearer one comes last, because the last one counts.
            machine.options = [options.clone(), std::mem::take(&mut machine.options)].concat();
        }
        self.document.carry(item, "nodes");
    }

    fn pool(&mut self, item: ItemId, inner: Scope) {
        let own: Vec<&Range> =
            self.ranges.iter().filter(|range| self.around(range.item).contains(&item)).collect();
        let networks: Vec<usize> =
            own.iter().filter(|range| range.chosen).filter_map(|range| range.network).collect();
        let is_used = !networks.is_empty();
        self.block(item, &Scope { networks: Some(networks), hosts: false, pool: true, ..inner });
        if is_used {
            self.document.carry(item, "dhcp.server.pool");
        }
    }

    fn class(&mut self, item: ItemId, scope: &Scope) {
        let matches = self.document.get(item, "match");
        let test = matches.and_then(|matches| {
            let text = self.document.text(matches).to_owned();
            let condition =
                text.strip_prefix("if").filter(|rest| !rest.starts_with(char::is_alphanumeric))?;
            Some((matches, self.condition(condition)))
        });
        let Some((matches, test)) = test else {
            self.document.leave(item, "classes are not told apart by values");
            return;
        };
        match test.hindrance() {
            None => {
                self.document.carry(matches, "the loader of the profile");
                self.document.carry(item, "the loader of the profile");
            }
            Some(why) => self.document.leave(item, why),
        }
        // Classes count before networks.
        let tests = [scope.tests.clone(), vec![test]].concat();
        self.block(item, &Scope { tests, depth: 100, ..Scope::default() });
    }

    fn host(&mut self, item: ItemId, name: &str) {
        let mut nic = Nic::default();
        let mut machine = Machine {
            name: Some(self.sourced(name.trim_matches('"').to_owned(), item)),
            ..Machine::default()
        };
        for inner in self.document.children(item) {
            let text = self.document.text(inner).to_owned();
            match self.document.name(inner) {
                "hardware" => match text.split_whitespace().last().and_then(|mac| mac.parse().ok()) {
                    Some(mac) => {
                        nic.mac = Some(self.sourced(mac, inner));
                        self.document.carry(inner, "nic");
                    }
                    None => self.document.leave(inner, "it is no MAC address"),
                },
                "fixed-address" => {
                    match text.split(',').next().and_then(|address| address.trim().parse().ok()) {
                        Some(address) => {
                            nic.address = Some(self.sourced(address, inner));
                            match text.contains(',') {
                                false => self.document.carry(inner, "nic"),
                                true => self.document.carry_partly(inner, "nic", "a NIC has one address"),
                            }
                        }
                        None => self.document.leave(inner, "it is no address"),
                    }
                }
                "option" => {
                    let (key, values) = option(&text);
                    match (key.as_str(), translate(&key, &values)) {
                        ("host-name", _) => {
                            machine.name = values.first().map(|name| self.sourced(name.clone(), inner));
                            self.document.carry(inner, "node");
                        }
                        (_, Ok(option)) => {
                            machine.options.push(self.sourced(option, inner));
                            self.document.carry(inner, "options");
                        }
                        (_, Err(why)) => self.document.leave(inner, why),
                    }
                }
                "filename" | "next-server" => {
                    self.document.leave(inner, ONE_MACHINE);
                }
                _ => {}
            }
        }
        if nic.mac.is_none() {
            self.document.leave(item, "a machine needs a MAC address");
            return;
        }
        machine.nics.push(nic);
        self.setup.machines.push(machine);
        self.document.carry(item, "node");
    }

    /// Notes why a block is about no network, if it is about none.
    fn leave_nowhere(&mut self, item: ItemId, scope: &Scope) -> bool {
        if scope.networks.as_ref().is_none_or(|networks| !networks.is_empty()) {
            return false;
        }
        let why = match (scope.pool, scope.hosts) {
            (true, _) => "the network of a lab has one pool, and this is another one",
            (_, true) => "nodes have no setting of their own for it",
            _ => "no subnet is in the block",
        };
        self.document.leave(item, why);
        true
    }

    /// Notes that something is in the lab. The hosts of a group have no such setting.
    fn carry(&mut self, item: ItemId, scope: &Scope, to: &str) {
        match scope.hosts {
            true => self.document.carry_partly(item, to, "not for the hosts of the group"),
            false => self.document.carry(item, to),
        }
    }

    /// Leaves what one machine, or no network, boots.
    fn leave_of_no_network(&mut self, item: ItemId, scope: &Scope) -> bool {
        if scope.hosts && scope.networks.as_ref().is_some_and(Vec::is_empty) {
            self.document.leave(item, ONE_MACHINE);
            return true;
        }
        self.leave_nowhere(item, scope)
    }

    /// Notes a setting of a block.
    fn set(&mut self, item: ItemId, scope: &Scope, setting: Setting, to: &str) {
        if self.leave_nowhere(item, scope) {
            return;
        }
        let setting = self.sourced(setting, item);
        self.settings.push(Scoped::new(scope, setting));
        self.carry(item, scope, to);
    }

    /// Reads what a rule of boot files says, if nodes can have it.
    fn boots(&mut self, item: ItemId, scope: &Scope, file: String, when: Test) {
        if self.leave_of_no_network(item, scope) {
            return;
        }
        let rule = BootRule { when, file, server: None, from: self.document.span(item) };
        match rule.when.hindrance() {
            Some(why) => self.document.leave(item, why),
            None => self.carry(item, scope, "the loader of the profile"),
        }
        self.rules.push(Scoped::new(scope, rule));
    }

    fn next_server(&mut self, item: ItemId, scope: &Scope, server: String, when: Test) {
        if self.leave_of_no_network(item, scope) {
            return;
        }
        let server = self.sourced(server, item);
        self.next_servers.push(Scoped::new(scope, (when, server)));
        self.carry(item, scope, "the server of boot files");
    }

    fn range(&mut self, item: ItemId) {
        let Some(range) = self.ranges.iter().find(|range| range.item == item) else { return };
        let Some(network) = range.network else {
            self.document.leave(item, "no subnet of the file holds it");
            return;
        };
        if range.chosen {
            self.setup.networks[network].pool = Some(self.sourced(range.ends, item));
            self.document.carry(item, "dhcp.server.pool");
            return;
        }
        let why = match range.open {
            true => "the network of a lab has one pool, and another line gives it",
            false => "the network of a lab has one pool, and this one is not for all clients",
        };
        self.document.leave(item, why);
    }

    /// Reads `allow`, `deny` and `ignore`.
    fn permission(&mut self, item: ItemId, name: &str, text: &str, scope: &Scope) {
        if scope.pool {
            let around = self.document.parent(item);
            let own: Vec<usize> = self
                .ranges
                .iter()
                .filter(|range| around.is_some_and(|pool| self.around(range.item).contains(&pool)))
                .filter_map(|range| range.network)
                .collect();
            // A network whose pools are all for known clients has no address for others.
            let closed = |network: &usize| {
                self.ranges.iter().all(|range| range.network != Some(*network) || !range.open)
            };
            let closed: Vec<usize> = own.into_iter().filter(closed).collect();
            let about_known = matches!(
                (name, text),
                ("deny", "unknown-clients" | "unknown clients")
                    | ("allow", "known-clients" | "known clients")
            );
            match (name, text) {
                _ if about_known && !closed.is_empty() => {
                    let scope = Scope { networks: Some(closed), ..scope.clone() };
                    self.set(item, &scope, Setting::OnlyKnown(true), "dhcp.server.unknown-clients");
                }
                ("allow", "unknown-clients" | "unknown clients" | "all clients") => {
                    self.document.carry(item, "dhcp.server.pool");
                }
                _ => self.document.leave(item, "the pool of a lab is for all clients"),
            }
            return;
        }
        match (name, text) {
            ("deny" | "ignore", "unknown-clients") => {
                self.set(item, scope, Setting::OnlyKnown(true), "dhcp.server.unknown-clients");
            }
            ("allow", "unknown-clients") => {
                self.set(item, scope, Setting::OnlyKnown(false), "dhcp.server.unknown-clients");
            }
            ("allow", "booting" | "bootp" | "known-clients") => self.document.carry(item, "dhcp.server"),
            _ => self.document.leave(item, SETTING),
        }
    }

    fn statement(&mut self, item: ItemId, name: &str, text: &str, scope: &Scope) {
        if self.document.is_settled(item) {
            return;
        }
        let plain = text.trim().trim_matches('"').to_owned();
        let when = match scope.tests.as_slice() {
            [] => Test::Always,
            [test] => test.clone(),
            tests => Test::All(tests.to_vec()),
        };
        let clients = "only boot files can depend on the client";
        match name {
            "filename" => self.boots(item, scope, plain, when),
            "next-server" => self.next_server(item, scope, plain, when),
            "range" => self.range(item),
            _ if !scope.tests.is_empty() && name != "match" => self.document.leave(item, clients),
            "default-lease-time" => match plain.parse() {
                Ok(lease) => self.set(item, scope, Setting::Lease(lease), "dhcp.server.lease-time"),
                Err(_) => self.document.leave(item, format!("`{plain}` is no time")),
            },
            "authoritative" => {
                self.set(item, scope, Setting::Authoritative(true), "dhcp.server.authoritative");
            }
            "not" if plain == "authoritative" => {
                self.set(item, scope, Setting::Authoritative(false), "dhcp.server.authoritative");
            }
            "allow" | "deny" | "ignore" => self.permission(item, name, &plain, scope),
            "interface" => self.set(item, scope, Setting::Name(plain), "the name of the network"),
            "option" => self.option(item, text, scope),
            _ => {
                let why = LEFT.iter().find(|(known, _)| *known == name).map(|(_, why)| (*why).to_owned());
                let why = why.unwrap_or_else(|| match is_known(name) {
                    true => "nothing else of the file makes use of it".to_owned(),
                    false => format!("`{name}` is no statement of dhcpd"),
                });
                self.document.leave(item, why);
            }
        }
    }

    fn option(&mut self, item: ItemId, text: &str, scope: &Scope) {
        if self.document.is_settled(item) {
            return;
        }
        let (key, values) = option(text);
        let first = values.first().cloned().unwrap_or_default();
        match key.as_str() {
            "domain-name" if !scope.hosts => self.set(item, scope, Setting::Domain(first), "dns.domain"),
            "tftp-server-name" => self.next_server(item, scope, first, Test::Always),
            "bootfile-name" => self.boots(item, scope, first, Test::Always),
            "subnet-mask" => self.document.leave(item, "the mask follows from the address of the network"),
            _ if key.contains('.') => {
                self.document.leave(item, "options within other options are not carried over");
            }
            _ => {
                let known = self.defined.get(&key).map_or_else(|| key.clone(), u8::to_string);
                match translate(&known, &values) {
                    Ok(option) => {
                        let here = scope.networks.as_ref().is_none_or(|networks| !networks.is_empty());
                        if scope.hosts {
                            let option = self.sourced(option.clone(), item);
                            self.groups.last_mut().into_iter().for_each(|group| group.push(option.clone()));
                            self.document.carry(item, "options");
                        }
                        if !scope.hosts || here {
                            let of_networks = Scope { hosts: false, ..scope.clone() };
                            self.set(item, &of_networks, Setting::Option(option), "options");
                        }
                    }
                    Err(why) => self.document.leave(item, why),
                }
            }
        }
    }

    /// Puts together what holds for each network, and the rules in their order.
    fn finish(&mut self) {
        if self.setup.networks.is_empty() {
            self.setup
                .networks
                .push(Network { dhcp: Some(Sourced::assumed(DhcpMode::Server)), ..Network::default() });
        }
        for network in &mut self.setup.networks {
            network.lease = Some(Sourced::assumed(LEASE));
            network.authoritative = Some(Sourced::assumed(false));
        }
        // A nearer block counts first, and of one block the last statement.
        self.rules.reverse();
        self.rules.sort_by_key(|rule| std::cmp::Reverse(rule.depth));
        self.next_servers.reverse();
        self.next_servers.sort_by_key(|server| std::cmp::Reverse(server.depth));
        // Of settings the last one counts.
        self.settings.sort_by_key(|setting| setting.depth);
        for (index, network) in self.setup.networks.iter_mut().enumerate() {
            let next_servers: Vec<&(Test, Sourced<String>)> =
                self.next_servers.iter().filter(|one| one.is_for(index)).map(|one| &one.value).collect();
            for rule in self.rules.iter().filter(|rule| rule.is_for(index)) {
                let mut rule = rule.value.clone();
                let server = next_servers.iter().find(|(when, _)| *when == rule.when);
                rule.server =
                    server.filter(|(when, _)| *when != Test::Always).map(|(_, server)| server.value.clone());
                network.boots.push(rule);
            }
            let plain = next_servers.iter().find(|(when, _)| *when == Test::Always);
            network.next_server = plain.or(next_servers.first()).map(|(_, server)| server.clone());
            for Sourced { value, from } in
                self.settings.iter().filter(|one| one.is_for(index)).map(|one| one.value.clone())
            {
                match value {
                    Setting::Lease(value) => network.lease = Some(Sourced { value, from }),
                    Setting::Authoritative(value) => network.authoritative = Some(Sourced { value, from }),
                    Setting::OnlyKnown(value) => network.only_known = Some(Sourced { value, from }),
                    Setting::Name(value) => network.name = Some(Sourced { value, from }),
                    Setting::Domain(value) => network.dns.domain = Some(Sourced { value, from }),
                    Setting::Option(value) => network.options.push(Sourced { value, from }),
                }
            }
        }
    }
}
