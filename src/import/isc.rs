//! dhcpd.conf of ISC.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::path::Path;

use ipnet::Ipv4Net;

use super::boot::{BootRule, Test};
use super::document::{DEEPEST, Document, ItemId};
use super::expression;
use super::option::translate;
use super::setup::{DhcpMode, Machine, Network, Nic, Program, Server, Serves, Setup, Sourced};
use crate::diag::{Code, Diagnostic, Span};
use crate::lab::options;

/// Why a statement is not carried over.
const LEFT: &[(&str, &str)] = &[
    ("adaptive-lease-time-threshold", SETTING),
    ("always-broadcast", "answers are sent as the client asks"),
    ("always-reply-rfc1048", SETTING),
    ("boot-unknown-clients", SETTING),
    ("ddns-domainname", DDNS),
    ("ddns-hostname", DDNS),
    ("ddns-rev-domainname", DDNS),
    ("ddns-update-style", DDNS),
    ("ddns-updates", DDNS),
    ("do-forward-updates", DDNS),
    ("dynamic-bootp-lease-length", "clients of BOOTP without DHCP are not answered"),
    ("execute", SCRIPT),
    ("failover", "a lab has one DHCP server"),
    ("get-lease-hostnames", DDNS),
    ("ignore-client-uids", "nodes are known by their MAC addresses; see `identity` of the DHCP server"),
    ("include", "the file is not read: give it to `dryrack import` as well"),
    ("key", DDNS),
    ("lease-file-name", "leases are in the folder of the run"),
    ("local-address", "the services of a network listen on its address and on no other"),
    ("log", SCRIPT),
    ("log-facility", "every exchange is an event of the run, which `dryrack trace` shows"),
    ("max-lease-time", "every client gets the lease time of the network"),
    ("min-lease-time", "every client gets the lease time of the network"),
    ("min-secs", SETTING),
    ("omapi-port", SETTING),
    ("omapi-key", SETTING),
    ("one-lease-per-client", SETTING),
    ("pid-file-name", "services of a lab are no daemons"),
    ("ping-check", "`dhcp.server.authoritative` of a lab does the same"),
    ("ping-timeout", "`dhcp.server.authoritative` of a lab does the same"),
    ("server-identifier", "the identifier of the server is its address"),
    ("server-name", "the server has no name in DHCP"),
    ("set", SCRIPT),
    ("site-option-space", SETTING),
    ("spawn", "classes are not spawned"),
    ("stash-agent-options", SETTING),
    ("subclass", "classes are not told apart by values"),
    ("subnet6", "IPv6 is not carried over: give the network `ipv6`"),
    ("update-optimization", DDNS),
    ("update-static-leases", DDNS),
    ("use-host-decl-names", "every node gets its name"),
    ("vendor-option-space", "options within other options are not carried over"),
    ("zone", DDNS),
];

/// The statements that are carried over, in full or in part.
const CARRIED: &[&str] = &[
    "allow",
    "authoritative",
    "class",
    "default-lease-time",
    "deny",
    "else",
    "elsif",
    "filename",
    "fixed-address",
    "group",
    "hardware",
    "host",
    "if",
    "ignore",
    "interface",
    "match",
    "next-server",
    "not",
    "option",
    "pool",
    "range",
    "shared-network",
    "subnet",
];

const DDNS: &str = "names of a lab do not come from clients";
const SCRIPT: &str = "no program is run at a lease; `dryrack logs --events` shows each one";
const SETTING: &str = "the DHCP server of Dryrack has no such setting";

/// Returns whether dhcpd has a statement of this name.
pub(super) fn is_known(name: &str) -> bool {
    CARRIED.contains(&name) || LEFT.iter().any(|(known, _)| *known == name)
}

/// Returns the names of all statements.
pub(super) fn all_names() -> impl Iterator<Item = &'static str> {
    CARRIED.iter().copied().chain(LEFT.iter().map(|(name, _)| *name))
}

/// Returns the options in a condition that nothing declares.
pub(super) fn undeclared(condition: &str, defined: &BTreeMap<String, u8>) -> Vec<String> {
    let names = expression::names(condition).into_iter();
    let known = |name: &String| {
        let built_in = [
            "user-class",
            "pxe-system-type",
            "pxe-interface-id",
            "pxe-client-id",
            "agent",
            "dhcp-client-identifier",
        ];
        defined.contains_key(name)
            || name.contains('.')
            || built_in.contains(&name.as_str())
            || !matches!(options::find(name), Err(options::NoOption::Unknown))
                && !["client-arch", "client-ndi", "client-machine-id"].contains(&name.as_str())
    };
    names.filter(|name| !known(name)).collect()
}

/// Returns what is wrong with a statement, and the fix.
pub(super) fn wrong(name: &str, text: &str) -> Option<(String, &'static str)> {
    match name {
        "hardware" => {
            let mac = text.split_whitespace().last().unwrap_or_default();
            mac.parse::<crate::name::Mac>()
                .is_err()
                .then(|| (format!("`{mac}` is no MAC address"), "write six bytes, such as 52:54:00:12:34:56"))
        }
        "range" => {
            let bad = text
                .split_whitespace()
                .find(|word| *word != "dynamic-bootp" && word.parse::<Ipv4Addr>().is_err());
            bad.map(|bad| (format!("`{bad}` is no address"), "write `range FIRST LAST;`"))
        }
        "filename" => (!text.starts_with('"'))
            .then(|| ("the name of a file is a string".to_owned(), "write it in quotes")),
        _ => None,
    }
}

/// Splits the text into statements and blocks.
pub(super) fn parse(text: &str, file: usize) -> (Document, Vec<Diagnostic>) {
    let mut document = Document::new(file);
    let mut problems = Vec::new();
    let mut open = vec![Document::ROOT];
    let (mut statement, mut start, mut quoted) = (String::new(), 0, false);
    let mut letters = text.char_indices().peekable();
    while let Some((at, c)) = letters.next() {
        match c {
            '\\' if quoted => {
                statement.push(c);
                statement.extend(letters.next().map(|(_, c)| c));
            }
            '"' => {
                if statement.trim().is_empty() {
                    start = at;
                }
                quoted = !quoted;
                statement.push(c);
            }
            _ if quoted => statement.push(c),
            '#' => while letters.next_if(|(_, c)| *c != '\n').is_some() {},
            ';' | '{' => {
                let parent = open.last().copied().unwrap_or(Document::ROOT);
                let begin = if statement.trim().is_empty() { at } else { start };
                let item = add(&mut document, parent, &statement, Span::new(file, begin..at + 1));
                statement.clear();
                if c == '{' {
                    if open.len() > DEEPEST {
                        let span = Span::new(file, at..at + 1);
                        problems.push(Diagnostic::new(
                            Code::ForeignSyntax,
                            span,
                            "blocks are nested too deep",
                        ));
                        return (document, problems);
                    }
                    open.push(item);
                }
            }
            '}' => {
                if !statement.trim().is_empty() {
                    let span = Span::new(file, start..at);
                    problems.push(
                        Diagnostic::new(Code::ForeignSyntax, span, "a statement has no `;` at its end")
                            .help("end each statement by `;`"),
                    );
                    statement.clear();
                }
                match open.pop().filter(|item| *item != Document::ROOT) {
                    Some(item) => document.extend(item, at + 1),
                    None => {
                        let span = Span::new(file, at..at + 1);
                        problems.push(
                            Diagnostic::new(Code::ForeignSyntax, span, "`}` closes no block")
                                .help("remove it"),
                        );
                        open = vec![Document::ROOT];
                    }
                }
            }
            c => {
                if statement.trim().is_empty() && !c.is_whitespace() {
                    start = at;
                }
                statement.push(c);
            }
        }
    }
    if open.len() > 1 || quoted {
        let item = open.last().copied().unwrap_or(Document::ROOT);
        problems.push(
            Diagnostic::new(Code::ForeignSyntax, document.span(item), "the block is not closed")
                .help("close it by `}`, and each string by `\"`"),
        );
    } else if !statement.trim().is_empty() {
        let span = Span::new(file, start..text.trim_end().len().max(start));
        problems.push(
            Diagnostic::new(Code::ForeignSyntax, span, "the statement has no `;` at its end")
                .help("end each statement by `;`"),
        );
    }
    (document, problems)
}

fn add(document: &mut Document, parent: ItemId, statement: &str, span: Span) -> ItemId {
    let words = statement.trim();
    let (name, rest) = words.split_once(char::is_whitespace).unwrap_or((words, ""));
    let rest = rest.trim();
    // `else if` is `elsif`, and a condition may begin without a blank.
    let (name, rest) = match (name, rest.split_once(|c: char| c.is_whitespace() || c == '(')) {
        ("else", Some(("if", _))) => ("elsif", rest["if".len()..].trim_start()),
        _ => match name.split_once('(') {
            Some((name, _)) if matches!(name, "if" | "elsif") => (name, &words[name.len()..]),
            _ => (name, rest),
        },
    };
    document.add(parent, name.to_ascii_lowercase(), Some(rest.to_owned()), span)
}

/// What applies within a block.
#[derive(Debug, Clone, Default)]
struct Scope {
    /// The network of a `subnet` block.
    network: Option<usize>,
    /// The conditions around.
    tests: Vec<Test>,
    /// How near to the client: the rules of a nearer block come first.
    depth: usize,
}

struct Reading<'a> {
    document: &'a mut Document,
    setup: Setup,
    /// Options that the file defines, with their codes.
    defined: BTreeMap<String, u8>,
    /// Rules with their order.
    rules: Vec<(usize, Option<usize>, BootRule)>,
    /// What holds for all networks.
    global: Network,
    next_servers: Vec<(usize, Option<usize>, Test, Sourced<String>)>,
}

/// Returns what the file describes, and notes what became of each statement.
pub(super) fn understand(document: &mut Document, path: &Path) -> Setup {
    let mut reading = Reading {
        document,
        setup: Setup::default(),
        defined: BTreeMap::new(),
        rules: Vec::new(),
        global: Network::default(),
        next_servers: Vec::new(),
    };
    reading.definitions();
    reading.block(Document::ROOT, &Scope::default());
    reading.finish();
    let Reading { mut setup, .. } = reading;
    setup.servers.push(Server {
        program: Program::IscDhcpd,
        files: vec![("/etc/dhcp/dhcpd.conf".to_owned(), path.display().to_string())],
        port: None,
        from: document.span(Document::ROOT),
        folders: vec!["/var/lib/dhcp".to_owned()],
        interfaces: Vec::new(),
        serves: Serves { dhcp: true, ..Serves::default() },
    });
    setup
}

/// Returns the options that a file defines: `option NAME code N = TYPE`.
pub(super) fn definitions(document: &Document) -> BTreeMap<String, u8> {
    let mut defined = BTreeMap::new();
    for item in document.every().filter(|item| document.name(*item) == "option") {
        let words: Vec<&str> = document.text(item).split_whitespace().collect();
        if let [name, "code", number, ..] = words.as_slice()
            && let Ok(number) = number.parse()
        {
            defined.insert((*name).to_owned(), number);
        }
    }
    defined
}

impl Reading<'_> {
    fn definitions(&mut self) {
        self.defined = definitions(self.document);
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

    fn sourced<T>(&self, value: T, item: ItemId) -> Sourced<T> {
        Sourced::new(value, self.document.span(item))
    }

    /// Returns the network of a scope, or what holds for all.
    fn network(&mut self, scope: &Scope) -> &mut Network {
        match scope.network {
            Some(index) => &mut self.setup.networks[index],
            None => &mut self.global,
        }
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
                "subnet" => self.subnet(item, &text, &inner),
                "shared-network" | "group" | "pool" => {
                    self.block(item, &inner);
                    self.document.carry(item, "network");
                }
                "class" => {
                    let matches = self.document.get(item, "match");
                    let test = matches.map(|matches| {
                        let text = self.document.text(matches).to_owned();
                        (matches, self.condition(text.strip_prefix("if").unwrap_or(&text)))
                    });
                    if let Some((matches, test)) = test {
                        self.document.carry(matches, "the loader of the profile");
                        // Classes count before networks.
                        let tests = [scope.tests.clone(), vec![test]].concat();
                        self.block(item, &Scope { tests, depth: 100, network: None });
                        self.document.carry(item, "the loader of the profile");
                    } else {
                        self.document.leave(item, "the class says of no client that it is in it");
                    }
                }
                "if" | "elsif" | "else" => {
                    let mut tests = scope.tests.clone();
                    tests.extend(before.iter().map(|test| Test::Not(Box::new(test.clone()))));
                    if name != "else" {
                        let test = self.condition(&text);
                        before.push(test.clone());
                        tests.push(test);
                    }
                    self.block(item, &Scope { tests, ..inner });
                    self.document.carry(item, "the loader of the profile");
                }
                "host" => self.host(item, &text),
                _ => self.statement(item, &name, &text, scope),
            }
        }
    }

    fn subnet(&mut self, item: ItemId, text: &str, inner: &Scope) {
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
            return;
        };
        let network = Network {
            subnet: Some(self.sourced(net.trunc(), item)),
            dhcp: Some(self.sourced(DhcpMode::Server, item)),
            ..Network::default()
        };
        self.setup.networks.push(network);
        let index = self.setup.networks.len() - 1;
        self.block(item, &Scope { network: Some(index), ..inner.clone() });
        self.document.carry(item, "network");
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
                    self.document
                        .leave(inner, "what one machine boots is its profile: give the node one of its own");
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
            "filename" => {
                let rule = BootRule { when, file: plain, server: None, from: self.document.span(item) };
                match rule.when.unclear() {
                    Some(what) => {
                        self.document.leave(item, format!("it depends on {what}, which no node has"))
                    }
                    None => self.document.carry(item, "the loader of the profile"),
                }
                self.rules.push((scope.depth, scope.network, rule));
            }
            "next-server" => {
                let server = self.sourced(plain, item);
                self.next_servers.push((scope.depth, scope.network, when, server));
                self.document.carry(item, "the server of boot files");
            }
            "range" => {
                let mut words = text.split_whitespace().filter(|word| *word != "dynamic-bootp");
                let first = words.next().and_then(|word| word.parse().ok());
                let last = words.next().map_or(first, |word| word.parse().ok());
                let (Some(first), Some(last)) = (first, last) else {
                    self.document.leave(item, "it is no range of addresses");
                    return;
                };
                let pool = self.sourced((first, last), item);
                let network = self.network(scope);
                if network.pool.is_some() {
                    self.document
                        .leave(item, "the network of a lab has one pool, and an earlier line gives it");
                    return;
                }
                network.pool = Some(pool);
                self.document.carry(item, "dhcp.server.pool");
            }
            _ if !scope.tests.is_empty() && name != "match" => self.document.leave(item, clients),
            "default-lease-time" => match plain.parse() {
                Ok(lease) => {
                    let lease = Some(self.sourced(lease, item));
                    self.network(scope).lease = lease;
                    self.document.carry(item, "dhcp.server.lease-time");
                }
                Err(_) => self.document.leave(item, format!("`{plain}` is no time")),
            },
            "authoritative" => {
                let value = Some(self.sourced(true, item));
                self.network(scope).authoritative = value;
                self.document.carry(item, "dhcp.server.authoritative");
            }
            "not" if plain == "authoritative" => {
                let value = Some(self.sourced(false, item));
                self.network(scope).authoritative = value;
                self.document.carry(item, "dhcp.server.authoritative");
            }
            "deny" | "ignore" if plain == "unknown-clients" => {
                let value = Some(self.sourced(true, item));
                self.network(scope).only_known = value;
                self.document.carry(item, "dhcp.server.unknown-clients");
            }
            "allow" | "deny" | "ignore" => match plain.as_str() {
                "booting" | "bootp" | "unknown-clients" | "known-clients" if name == "allow" => {
                    self.document.carry(item, "dhcp.server");
                }
                _ => self.document.leave(item, "the DHCP server of Dryrack has no such setting"),
            },
            "interface" => {
                let value = Some(self.sourced(plain, item));
                self.network(scope).name = value;
                self.document.carry(item, "the name of the network");
            }
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
            "domain-name" => {
                let value = Some(self.sourced(first, item));
                self.network(scope).dns.domain = value;
                self.document.carry(item, "dns.domain");
            }
            "tftp-server-name" => {
                let value = self.sourced(first, item);
                self.next_servers.push((scope.depth, scope.network, Test::Always, value));
                self.document.carry(item, "the server of boot files");
            }
            "bootfile-name" => {
                let rule = BootRule {
                    when: Test::Always,
                    file: first,
                    server: None,
                    from: self.document.span(item),
                };
                self.rules.push((scope.depth, scope.network, rule));
                self.document.carry(item, "the loader of the profile");
            }
            "subnet-mask" => self.document.leave(item, "the mask follows from the address of the network"),
            _ if key.contains('.') => {
                self.document.leave(item, "options within other options are not carried over");
            }
            _ => {
                let known = self.defined.get(&key).map_or_else(|| key.clone(), u8::to_string);
                match translate(&known, &values) {
                    Ok(option) => {
                        let option = self.sourced(option, item);
                        self.network(scope).options.push(option);
                        self.document.carry(item, "options");
                    }
                    Err(why) => self.document.leave(item, why),
                }
            }
        }
    }

    /// Puts together what holds for all networks, and the rules in their order.
    fn finish(&mut self) {
        if self.setup.networks.is_empty() {
            self.setup
                .networks
                .push(Network { dhcp: Some(Sourced::assumed(DhcpMode::Server)), ..Network::default() });
        }
        // A nearer block counts first, and of one block the last statement.
        self.rules.reverse();
        self.rules.sort_by_key(|(depth, ..)| std::cmp::Reverse(*depth));
        self.next_servers.reverse();
        self.next_servers.sort_by_key(|(depth, ..)| std::cmp::Reverse(*depth));
        for (index, network) in self.setup.networks.iter_mut().enumerate() {
            let here = |of: &Option<usize>| of.is_none_or(|of| of == index);
            for (_, of, rule) in &self.rules {
                if !here(of) {
                    continue;
                }
                let server = self.next_servers.iter().find(|(_, of, when, _)| here(of) && *when == rule.when);
                let mut rule = rule.clone();
                rule.server = server
                    .filter(|(.., when, _)| *when != Test::Always)
                    .map(|(.., server)| server.value.clone());
                network.boots.push(rule);
            }
            let plain = self.next_servers.iter().find(|(_, of, when, _)| here(of) && *when == Test::Always);
            network.next_server = plain
                .or_else(|| self.next_servers.iter().find(|(_, of, ..)| here(of)))
                .map(|(.., server)| server.clone());
            let global = self.global.clone();
            network.lease = network.lease.take().or(global.lease);
            network.authoritative = network.authoritative.take().or(global.authoritative);
            network.only_known = network.only_known.take().or(global.only_known);
            network.name = network.name.take().or(global.name);
            network.dns.domain = network.dns.domain.take().or(global.dns.domain);
            // Those of the network itself come last, because the last one counts.
            network.options = [global.options, std::mem::take(&mut network.options)].concat();
        }
    }
}

/// Splits an option into its name and values.
fn option(text: &str) -> (String, Vec<String>) {
    let (name, rest) = text.split_once(char::is_whitespace).unwrap_or((text, ""));
    let mut values = vec![String::new()];
    let mut quoted = false;
    for c in rest.trim().chars() {
        match c {
            '"' => quoted = !quoted,
            ',' if !quoted => values.push(String::new()),
            c => {
                if let Some(value) = values.last_mut() {
                    value.push(c);
                }
            }
        }
    }
    (name.to_owned(), values.iter().map(|value| value.trim().to_owned()).collect())
}
