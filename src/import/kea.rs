//! The configuration of Kea: JSON with comments.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};

use ipnet::Ipv4Net;

use super::boot::{BootRule, Test};
use super::document::{Document, ItemId};
use super::expression;
use super::files::{Files, folder, locate};
use super::option::translate;
use super::setup::{
    DhcpMode, Machine, Network, Nic, Note, Program, Sent, Server, Serves, Setup, Sourced, VENDOR_CLASS,
    VENDOR_OPTIONS,
};
use crate::diag::{Code, Diagnostic, Sources};
use crate::matchbox::ignition::json;

/// How long a lease is without `valid-lifetime`: two hours.
const LEASE: u64 = 7200;

/// The most files that are included, and the longest text of all of them.
const MOST_FILES: usize = 200;
const LONGEST: usize = 4 << 20;

/// The text of a file with those of the files that it includes.
#[derive(Debug, Default)]
struct Whole {
    text: String,
    /// File and line that each line comes from.
    lines: Vec<(usize, usize)>,
    /// Where the server has the files, and where they are here.
    included: Vec<(String, PathBuf)>,
    /// Files that are not there: the file and line that names it, and its name.
    missing: Vec<(usize, usize, String)>,
}

/// What the file says, with the files that it includes.
#[derive(Debug)]
pub(super) struct Parsed {
    pub(super) document: Document,
    pub(super) included: Vec<(String, PathBuf)>,
}

/// Parses the text.
pub(super) fn parse(
    path: &Path,
    file: usize,
    sources: &mut Sources,
    files: &dyn Files,
) -> Result<Parsed, Diagnostic> {
    let mut whole = Whole::default();
    whole.add(file, sources, files, &folder(path), &mut vec![path.to_owned()]);
    let Whole { text, lines, included, missing } = whole;
    let place = |line: usize| {
        let (file, line) = lines.get(line.saturating_sub(1)).or(lines.last()).copied().unwrap_or((file, 1));
        sources.line(file, line)
    };
    let wrong = |line: usize, message: String| {
        Diagnostic::new(Code::ForeignSyntax, place(line), message).help("`kea-dhcp4 -t FILE` says more")
    };
    if let Some((file, line, name)) = missing.into_iter().next() {
        let what = format!("the included file `{name}` is not there, or includes itself");
        let help = "put it beside the file, or below its folder with the path that it has on the server";
        return Err(Diagnostic::new(Code::ForeignFile, sources.line(file, line), what).help(help));
    }
    let tree = json::read(text.as_bytes()).map_err(|error| wrong(error.line, error.message))?;
    let mut document = Document::new(file);
    let added = document.add_tree(&tree, &place);
    added.map_err(|line| wrong(line, "it is nested too deep".into()))?;
    Ok(Parsed { document, included })
}

impl Whole {
    /// Adds a file without its comments, with the files that it includes in their places.
    fn add(
        &mut self,
        file: usize,
        sources: &mut Sources,
        files: &dyn Files,
        folder: &Path,
        reading: &mut Vec<PathBuf>,
    ) {
        let text = without_comments(sources.text(file));
        let mut line = 1;
        let mut rest = text.as_str();
        while let Some((start, end, name)) = include(rest) {
            self.push(&rest[..start], file, &mut line);
            line += rest[start..end].matches('\n').count();
            rest = &rest[end..];
            let full = self.included.len() >= MOST_FILES || self.text.len() > LONGEST;
            let found = locate(files, folder, &name)
                .filter(|path| !full && !reading.contains(path))
                .and_then(|path| Some((files.read(&path)?, path)));
            let Some((bytes, path)) = found else {
                self.missing.push((file, line, name));
                continue;
            };
            let text = String::from_utf8_lossy(&bytes).into_owned();
            let inner = sources.add(path.display().to_string(), text);
            let target = if name.starts_with('/') { name } else { format!("/{name}") };
            self.included.push((target, path.clone()));
            reading.push(path);
            self.add(inner, sources, files, folder, reading);
            reading.pop();
        }
        self.push(rest, file, &mut line);
    }

    /// Adds a part of a file; its last line ends, because another file may follow.
    fn push(&mut self, part: &str, file: usize, line: &mut usize) {
        for text in part.split_inclusive('\n') {
            self.text.push_str(text);
            self.lines.push((file, *line));
            *line += usize::from(text.ends_with('\n'));
        }
        if !part.ends_with('\n') && !part.is_empty() {
            self.text.push('\n');
        }
    }
}

/// Finds the first `<?include "FILE"?>` outside of strings: its begin, its end, and the name of the file.
fn include(text: &str) -> Option<(usize, usize, String)> {
    let mut quoted = false;
    let mut escaped = false;
    for (at, c) in text.char_indices() {
        match c {
            _ if escaped => escaped = false,
            '\\' if quoted => escaped = true,
            '"' => quoted = !quoted,
            '<' if !quoted => {
                let Some(inner) = text[at..].strip_prefix("<?include") else { continue };
                let end = at + "<?include".len() + inner.find("?>")? + 2;
                let name = text[at + "<?include".len()..end - 2].trim().trim_matches('"').to_owned();
                return Some((at, end, name));
            }
            _ => {}
        }
    }
    None
}

/// Replaces comments by blanks, and commas in front of a closing bracket. Every other byte stays where it is.
pub(super) fn without_comments(text: &str) -> String {
    let mut bytes = text.as_bytes().to_vec();
    let mut at = 0;
    let mut comma = None;
    let blank = |bytes: &mut [u8], from: usize, to: usize| {
        bytes[from..to].iter_mut().filter(|byte| **byte != b'\n').for_each(|byte| *byte = b' ');
    };
    while at < bytes.len() {
        let rest = &bytes[at..];
        let end_of_line = |rest: &[u8]| rest.iter().position(|byte| *byte == b'\n').unwrap_or(rest.len());
        match rest[0] {
            b'"' => {
                comma = None;
                at += 1;
                while at < bytes.len() && bytes[at] != b'"' {
                    at += if bytes[at] == b'\\' { 2 } else { 1 };
                }
                at += 1;
            }
            b'#' => {
                let end = at + end_of_line(rest);
                blank(&mut bytes, at, end);
                at = end;
            }
            b'/' if rest.starts_with(b"//") => {
                let end = at + end_of_line(rest);
                blank(&mut bytes, at, end);
                at = end;
            }
            b'/' if rest.starts_with(b"/*") => {
                let end = rest
                    .windows(2)
                    .skip(2)
                    .position(|pair| pair == b"*/")
                    .map_or(bytes.len(), |end| at + end + 4);
                blank(&mut bytes, at, end);
                at = end;
            }
            b',' => {
                comma = Some(at);
                at += 1;
            }
            b']' | b'}' => {
                if let Some(comma) = comma.take() {
                    bytes[comma] = b' ';
                }
                at += 1;
            }
            byte => {
                if !byte.is_ascii_whitespace() {
                    comma = None;
                }
                at += 1;
            }
        }
    }
    // Only ASCII was replaced by ASCII, but a comment may have held other letters.
    String::from_utf8(bytes).unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned())
}

/// Why a part of the file is not carried over.
pub(super) fn reason(path: &str, name: &str) -> String {
    let why = match name {
        "Control-agent" => "the control agent is an interface to Kea; a lab has its own control socket",
        "DhcpDdns" => "names of a lab do not come from clients",
        "Dhcp6" => "IPv6 is not carried over: give the network `ipv6`",
        "Logging" | "loggers" => "every exchange is an event of the run, which `dryrack trace` shows",
        "lease-database" | "expired-leases-processing" => "leases are in the folder of the run",
        "control-socket" | "control-sockets" => "a lab has its own control socket",
        "hooks-libraries" => "no library of Kea is loaded",
        "id" => "a network has a name and no number",
        "renew-timer" | "rebind-timer" | "min-valid-lifetime" | "max-valid-lifetime" => {
            "every client gets the lease time of the network"
        }
        "server-hostname" => "the server has no name in DHCP",
        "interfaces-config" => "the services of a network listen on its address and on no other",
        "dhcp-ddns" => "names of a lab do not come from clients",
        "multi-threading" | "dhcp-queue-control" | "sanity-checks" => {
            "the DHCP server of Dryrack has no such setting"
        }
        _ => return format!("nothing in a lab corresponds to `{path}`"),
    };
    why.to_owned()
}

/// Returns what the file describes, and notes what became of each part.
pub(super) fn understand(document: &mut Document, path: &Path, included: &[(String, PathBuf)]) -> Setup {
    let mut files = vec![("/etc/kea/kea-dhcp4.conf".to_owned(), path.display().to_string())];
    files.extend(included.iter().map(|(target, path)| (target.clone(), path.display().to_string())));
    let mut server = Server {
        program: Program::Kea,
        files,
        port: None,
        from: document.span(Document::ROOT),
        folders: vec!["/var/lib/kea".to_owned(), "/run/kea".to_owned()],
        interfaces: Vec::new(),
        alone: true,
        serves: Serves { dhcp: true, ..Serves::default() },
    };
    let top = document.children(Document::ROOT).first().copied();
    let Some(dhcp) = top.and_then(|top| document.get(top, "Dhcp4")) else {
        return Setup::default();
    };
    let mut reading = Reading {
        document,
        setup: Setup::default(),
        classes: BTreeMap::new(),
        rules: Vec::new(),
        interfaces: Vec::new(),
    };
    reading.read(dhcp);
    server.interfaces = std::mem::take(&mut reading.interfaces);
    let mut setup = reading.setup;
    setup.servers.push(server);
    setup
}

struct Reading<'a> {
    document: &'a mut Document,
    setup: Setup,
    /// The conditions of classes.
    classes: BTreeMap<String, Test>,
    /// Rules of classes, which come before those of networks.
    rules: Vec<BootRule>,
    /// The interfaces that the file names.
    interfaces: Vec<String>,
}

impl Reading<'_> {
    fn sourced<T>(&self, value: T, item: ItemId) -> Sourced<T> {
        Sourced::new(value, self.document.span(item))
    }

    fn read(&mut self, dhcp: ItemId) {
        self.classes(dhcp);
        let mut global = Network {
            dhcp: Some(self.sourced(DhcpMode::Server, dhcp)),
            lease: Some(Sourced::assumed(LEASE)),
            authoritative: Some(Sourced::assumed(false)),
            ..Network::default()
        };
        self.common(dhcp, &mut global);
        let interfaces = self.document.at(dhcp, &["interfaces-config", "interfaces"]);
        let interfaces = interfaces.map(|list| self.document.children(list)).unwrap_or_default();
        let plain =
            |item: &ItemId| self.document.text(*item).split('/').next().unwrap_or_default().to_owned();
        self.interfaces = interfaces.iter().map(plain).collect();
        if let [only] = interfaces.as_slice() {
            let name = self.interfaces[0].clone();
            if name != "*" && !name.is_empty() {
                global.name = Some(self.sourced(name, *only));
                self.document.carry(*only, "the name of the network");
            }
        }
        let mut subnets = Vec::new();
        for shared in self.list(dhcp, "shared-networks") {
            let mut around = global.clone();
            self.common(shared, &mut around);
            if self.list(shared, "subnet4").len() > 1 {
                let text = "each of its subnets is a network of its own: a network of a lab has one subnet";
                let at = self.document.get(shared, "name").unwrap_or(shared);
                self.document.carry(at, "network");
                self.setup.notes.push(Note { at: self.document.span(at), text: text.to_owned() });
            }
            subnets.extend(self.list(shared, "subnet4").into_iter().map(|subnet| (subnet, around.clone())));
        }
        subnets.extend(self.list(dhcp, "subnet4").into_iter().map(|subnet| (subnet, global.clone())));
        let several = subnets.len() > 1;
        for (subnet, around) in subnets {
            let mut around = around;
            if several {
                // One interface for all of them says nothing of each.
                around.name = None;
            }
            self.subnet(subnet, around);
        }
        self.hosts(dhcp);
        if self.setup.networks.is_empty() {
            self.setup.networks.push(global);
        }
        for network in &mut self.setup.networks {
            network.boots = [self.rules.clone(), std::mem::take(&mut network.boots)].concat();
        }
    }

    fn list(&self, item: ItemId, name: &str) -> Vec<ItemId> {
        self.document.get(item, name).map(|list| self.document.children(list)).unwrap_or_default()
    }

    fn classes(&mut self, dhcp: ItemId) {
        for class in self.list(dhcp, "client-classes") {
            let text = |name: &str| {
                let item = self.document.get(class, name)?;
                Some((item, self.document.text(item).to_owned()))
            };
            let (name, test) = (text("name"), text("test"));
            let (file, server) = (text("boot-file-name"), text("next-server"));
            let condition = match &test {
                Some((_, test)) => {
                    expression::parse(test, &|_| None, &|class| self.classes.get(class).cloned())
                }
                None => Test::Unclear(format!("the class `{}`", name.as_ref().map_or("", |(_, name)| name))),
            };
            if let Some((item, name)) = &name {
                self.classes.insert(name.clone(), condition.clone());
                self.document.carry(*item, "the loader of the profile");
            }
            if let Some((item, _)) = &test {
                match condition.hindrance() {
                    Some(why) => self.document.leave(*item, why),
                    None => self.document.carry(*item, "the loader of the profile"),
                }
            }
            if let Some((item, _)) = &server {
                self.document.carry(*item, "the server of boot files");
            }
            let (mut file, mut server) = (file.filter(|(_, file)| !file.is_empty()), server);
            for option in self.list(class, "option-data") {
                let text = |name: &str| {
                    self.document.get(option, name).map(|item| self.document.text(item).to_owned())
                };
                let data = text("data").unwrap_or_default();
                let of = match text("name").or_else(|| text("code")).as_deref() {
                    Some("boot-file-name" | "67") => &mut file,
                    Some("tftp-server-name" | "66") => &mut server,
                    _ => {
                        self.document.leave(option, "only boot files can depend on the client");
                        continue;
                    }
                };
                of.get_or_insert((option, data));
                self.document.carry_whole(option, "the loader of the profile");
            }
            if let Some((item, file)) = file {
                let server = server.map(|(_, server)| server).filter(|server| server != "0.0.0.0");
                if let Some(why) = condition.hindrance() {
                    self.document.leave(item, why);
                    self.rules.push(BootRule {
                        when: condition,
                        file,
                        server,
                        from: self.document.span(item),
                    });
                    continue;
                }
                self.rules.push(BootRule { when: condition, file, server, from: self.document.span(item) });
                self.document.carry(item, "the loader of the profile");
            }
        }
    }

    /// Reads what can be said of all networks and of each.
    fn common(&mut self, item: ItemId, network: &mut Network) {
        for inner in self.document.children(item) {
            let text = self.document.text(inner).to_owned();
            match self.document.name(inner) {
                "valid-lifetime" => match text.parse() {
                    Ok(lease) => {
                        network.lease = Some(self.sourced(lease, inner));
                        self.document.carry(inner, "dhcp.server.lease-time");
                    }
                    Err(_) => self.document.leave(inner, format!("`{text}` is no time")),
                },
                "authoritative" => {
                    network.authoritative = Some(self.sourced(text == "true", inner));
                    self.document.carry(inner, "dhcp.server.authoritative");
                }
                "next-server" => {
                    if text != "0.0.0.0" {
                        network.next_server = Some(self.sourced(text, inner));
                    }
                    self.document.carry(inner, "the server of boot files");
                }
                "boot-file-name" if !text.is_empty() => {
                    let rule = BootRule {
                        when: Test::Always,
                        file: text,
                        server: None,
                        from: self.document.span(inner),
                    };
                    // The nearer one counts.
                    network.boots.insert(0, rule);
                    self.document.carry(inner, "the loader of the profile");
                }
                "interface" => {
                    network.name = Some(self.sourced(text, inner));
                    self.document.carry(inner, "the name of the network");
                }
                "option-data" => {
                    for option in self.document.children(inner) {
                        self.option(option, network);
                    }
                }
                _ => {}
            }
        }
    }

    /// Reads one entry of `option-data`.
    fn option(&mut self, option: ItemId, network: &mut Network) {
        let text =
            |name: &str| self.document.get(option, name).map(|item| self.document.text(item).to_owned());
        if text("space").is_some_and(|space| space != "dhcp4") {
            self.document.leave(option, "options within other options are not carried over");
            return;
        }
        let Some(key) = text("name").or_else(|| text("code")) else {
            self.document.leave(option, "it has neither name nor code");
            return;
        };
        let data = text("data").unwrap_or_default();
        let values: Vec<String> = data.split(',').map(|value| value.trim().to_owned()).collect();
        let span = self.document.span(option);
        let first = values.first().cloned().unwrap_or_default();
        match key.as_str() {
            "domain-name" | "15" => network.dns.domain = Some(Sourced::new(first, span)),
            "tftp-server-name" | "66" => network.next_server = Some(Sourced::new(first, span)),
            "boot-file-name" | "67" => {
                network.boots.push(BootRule { when: Test::Always, file: first, server: None, from: span });
            }
            _ => match translate(&key, &values) {
                Ok(value) => network.options.push(Sourced::new(value, span)),
                Err(why) => {
                    self.document.leave(option, why);
                    return;
                }
            },
        }
        self.document.carry_whole(option, "options");
    }

    fn subnet(&mut self, item: ItemId, mut network: Network) {
        let subnet = self.document.get(item, "subnet");
        let net = subnet.and_then(|subnet| self.document.text(subnet).parse::<Ipv4Net>().ok());
        let (Some(subnet), Some(net)) = (subnet, net) else {
            self.document.leave(item, "its `subnet` is none");
            return;
        };
        network.subnet = Some(self.sourced(net.trunc(), subnet));
        self.document.carry(subnet, "network");
        self.common(item, &mut network);
        for (index, pool) in self.list(item, "pools").into_iter().enumerate() {
            let Some(range) = self.document.get(pool, "pool") else { continue };
            let text = self.document.text(range).to_owned();
            let ends = ends(&text);
            match ends {
                Some(ends) if index == 0 => {
                    network.pool = Some(self.sourced(ends, range));
                    self.document.carry(range, "dhcp.server.pool");
                }
                Some(_) => {
                    self.document
                        .leave(pool, "the network of a lab has one pool, and an earlier line gives it");
                }
                None => self.document.leave(pool, format!("`{text}` is no pool")),
            }
        }
        self.setup.networks.push(network);
        self.hosts(item);
    }

    fn hosts(&mut self, item: ItemId) {
        for host in self.list(item, "reservations") {
            let mut nic = Nic::default();
            let mut machine = Machine::default();
            for inner in self.document.children(host) {
                let text = self.document.text(inner).to_owned();
                match self.document.name(inner) {
                    "hw-address" => match text.parse() {
                        Ok(mac) => {
                            nic.mac = Some(self.sourced(mac, inner));
                            self.document.carry(inner, "nic");
                        }
                        Err(_) => self.document.leave(inner, format!("`{text}` is no MAC address")),
                    },
                    "ip-address" => match text.parse() {
                        Ok(address) => {
                            nic.address = Some(self.sourced(address, inner));
                            self.document.carry(inner, "nic");
                        }
                        Err(_) => self.document.leave(inner, format!("`{text}` is no IPv4 address")),
                    },
                    "client-id" => {
                        nic.client_id = Some(self.sourced(text, inner));
                        self.document.carry(inner, "nic");
                    }
                    "hostname" if !text.is_empty() => {
                        machine.name = Some(self.sourced(text, inner));
                        self.document.carry(inner, "node");
                    }
                    "boot-file-name" | "next-server" => {
                        let why = "what one machine boots is its profile: give the node one of its own";
                        self.document.leave(inner, why);
                    }
                    "option-data" => {
                        let mut network = Network::default();
                        for option in self.document.children(inner) {
                            self.option(option, &mut network);
                        }
                        machine.options.extend(network.options);
                    }
                    _ => {}
                }
            }
            if nic.mac.is_none() && nic.client_id.is_none() {
                let invalid =
                    self.document.get(host, "hw-address").map(|mac| self.document.text(mac).to_owned());
                let why = match invalid {
                    Some(mac) => format!("`{mac}` is no MAC address"),
                    None => "a machine needs a MAC address or a client identifier".to_owned(),
                };
                self.document.leave(host, why);
                continue;
            }
            machine.nics.push(nic);
            self.setup.machines.push(machine);
        }
    }
}

/// Returns the vendor classes and options of vendors that clients are sent.
pub(super) fn sent(document: &Document) -> Vec<Sent> {
    let lists = document.every().filter(|item| document.name(*item) == "option-data");
    let options = lists.flat_map(|list| document.children(list));
    let sent = options.filter_map(|item| {
        let text = |name: &str| document.get(item, name).map(|item| document.text(item).to_owned());
        let code = match text("name").or_else(|| text("code"))?.as_str() {
            "vendor-class-identifier" | "60" => VENDOR_CLASS,
            "vendor-encapsulated-options" | "43" => VENDOR_OPTIONS,
            _ => return None,
        };
        let path = document.path(item);
        let scoped = ["client-classes", "reservations"].iter().any(|part| path.contains(part));
        Some(Sent { item, code, value: text("data").unwrap_or_default(), scoped })
    });
    sent.collect()
}

/// Returns what is wrong with the value of a parameter, and the fix.
pub(super) fn wrong(document: &Document, item: ItemId) -> Option<(String, &'static str)> {
    let text = document.text(item);
    let v4 = document.path(item).contains("Dhcp4");
    match document.name(item) {
        "ip-address" | "next-server" if v4 && text.parse::<Ipv4Addr>().is_err() => {
            Some((format!("`{text}` is no IPv4 address"), "write four numbers from 0 to 255"))
        }
        "hw-address" if text.parse::<crate::name::Mac>().is_err() => {
            Some((format!("`{text}` is no MAC address"), "write six bytes, such as 52:54:00:12:34:56"))
        }
        "subnet" if v4 && text.parse::<Ipv4Net>().is_err() => {
            Some((format!("`{text}` is no subnet"), "write it as 10.0.0.0/24"))
        }
        "pool" if v4 && ends(text).is_none() => {
            Some((format!("`{text}` is no pool"), "write `FIRST - LAST`, or a subnet"))
        }
        _ => None,
    }
}

/// Returns first and last address of a pool: `A - B`, or a subnet.
fn ends(text: &str) -> Option<(Ipv4Addr, Ipv4Addr)> {
    if let Some((first, last)) = text.split_once('-') {
        return Some((first.trim().parse().ok()?, last.trim().parse().ok()?));
    }
    let net: Ipv4Net = text.trim().parse().ok()?;
    Some((net.network(), net.broadcast()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comments_and_spare_commas_are_no_json() {
        let text = "{ // a\n \"b\": \"x // y, }\", # c\n /* d\n */ \"e\": [1, 2, ],\n}";
        let plain = without_comments(text);
        assert_eq!(plain.len(), text.len());
        assert_eq!(plain.lines().count(), text.lines().count());
        let value: serde_json::Value = serde_json::from_str(&plain).unwrap();
        assert_eq!(value, serde_json::json!({ "b": "x // y, }", "e": [1, 2] }));
    }

    #[test]
    fn pools_have_ends() {
        assert_eq!(ends("10.0.0.2-10.0.0.9"), Some(([10, 0, 0, 2].into(), [10, 0, 0, 9].into())));
        assert_eq!(ends("10.0.0.0/30"), Some(([10, 0, 0, 0].into(), [10, 0, 0, 3].into())));
        assert_eq!(ends("x"), None);
    }
}
