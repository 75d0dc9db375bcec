//! udhcpd.conf, as busybox reads it.

use std::net::Ipv4Addr;
use std::path::Path;

use ipnet::Ipv4Net;

use super::boot::{BootRule, Test};
use super::document::{Document, ItemId};
use super::option::translate;
use super::setup::{
    DhcpMode, Machine, Network, Nic, Note, Program, Sent, Server, Serves, Setup, Sourced, VENDOR_CLASS,
    VENDOR_OPTIONS,
};
use crate::diag::Span;

/// Every keyword.
pub(super) const KEYWORDS: &[&str] = &[
    "start",
    "end",
    "interface",
    "max_leases",
    "auto_time",
    "decline_time",
    "conflict_time",
    "offer_time",
    "min_lease",
    "lease_file",
    "pidfile",
    "notify_file",
    "remaining",
    "siaddr",
    "sname",
    "boot_file",
    "static_lease",
    "option",
    "opt",
];

/// The names of options, with their codes.
pub(super) const OPTIONS: &[(&str, &str)] = &[
    ("subnet", "1"),
    ("timezone", "2"),
    ("router", "3"),
    ("timesrv", "4"),
    ("namesrv", "5"),
    ("dns", "6"),
    ("logsrv", "7"),
    ("cookiesrv", "8"),
    ("lprsrv", "9"),
    ("hostname", "12"),
    ("bootsize", "13"),
    ("domain", "15"),
    ("swapsrv", "16"),
    ("rootpath", "17"),
    ("ipttl", "23"),
    ("mtu", "26"),
    ("broadcast", "28"),
    ("routes", "33"),
    ("nisdomain", "40"),
    ("nissrv", "41"),
    ("ntpsrv", "42"),
    ("wins", "44"),
    ("lease", "51"),
    ("serverid", "54"),
    ("message", "56"),
    ("vendor", "60"),
    ("tftp", "66"),
    ("bootfile", "67"),
    ("tzstr", "100"),
    ("tzdbstr", "101"),
    ("search", "119"),
    ("staticroutes", "121"),
    ("vlanid", "132"),
    ("vlanpriority", "133"),
    ("pxeconffile", "209"),
    ("pxepathprefix", "210"),
    ("reboottime", "211"),
    ("ip6rd", "212"),
    ("msstaticroutes", "249"),
    ("wpad", "252"),
];

/// Options that are texts, of which udhcpd sends the first word.
const TEXTS: &[&str] = &["12", "17", "40", "56", "60", "100", "101", "209", "210"];
/// Options that are numbers of so many bytes, and have no type in a lab file.
const NUMBERS: &[(&str, usize)] = &[("132", 2), ("133", 1)];

/// Why a keyword is not carried over.
const LEFT: &[(&str, &str)] = &[
    ("max_leases", "a lab has no limit of leases but its pool"),
    ("auto_time", "leases are in the folder of the run"),
    ("decline_time", "the DHCP server of Dryrack has no such setting"),
    ("conflict_time", "the DHCP server of Dryrack has no such setting"),
    ("offer_time", "the DHCP server of Dryrack has no such setting"),
    ("min_lease", "the DHCP server of Dryrack has no such setting"),
    ("lease_file", "leases are in the folder of the run"),
    ("pidfile", "services of a lab are no daemons"),
    ("notify_file", "no program is run at a lease; `dryrack logs --events` shows each one"),
    ("remaining", "leases are in the folder of the run"),
    ("sname", "the server has no name in DHCP"),
];

/// How long a lease is without `opt lease`: ten days.
const LEASE: u64 = 864_000;

/// Returns what is wrong with the value of a directive, and the fix.
pub(super) fn wrong(name: &str, text: &str) -> Option<(String, &'static str)> {
    let mut words = text.split_whitespace();
    let first = words.next().unwrap_or_default();
    let address = |word: &str| word.parse::<Ipv4Addr>().is_err();
    match name {
        "start" | "end" | "siaddr" if address(first) => {
            Some((format!("`{first}` is no address, so udhcpd takes its default"), "write an IPv4 address"))
        }
        "static_lease" => {
            let mac = first.parse::<crate::name::Mac>().is_err();
            let ip = words.next().unwrap_or_default();
            let help = "write `static_lease 52:54:00:12:34:56 10.0.0.21`";
            match (mac, address(ip)) {
                (true, _) => Some((format!("`{first}` is no MAC address"), help)),
                (_, true) => Some((format!("`{ip}` is no address"), help)),
                _ => None,
            }
        }
        "max_leases" | "auto_time" | "decline_time" | "conflict_time" | "offer_time" | "min_lease"
            if first.parse::<u32>().is_err() =>
        {
            Some((format!("`{first}` is no number"), "write a number"))
        }
        "option" | "opt" => {
            let known = OPTIONS.iter().any(|(known, _)| known.eq_ignore_ascii_case(first));
            let number = first
                .strip_prefix("0x")
                .map_or_else(|| first.parse::<u8>().is_ok(), |hex| u8::from_str_radix(hex, 16).is_ok());
            (!known && !number).then(|| {
                (
                    format!("`{first}` is no option that udhcpd knows"),
                    "write its number, and the value in hexadecimal",
                )
            })
        }
        _ => None,
    }
}

/// Returns the vendor classes and options of vendors that clients are sent.
pub(super) fn sent(document: &Document) -> Vec<Sent> {
    let items = document.children(Document::ROOT).into_iter();
    let items = items.filter(|item| matches!(document.name(*item), "opt" | "option"));
    let sent = items.filter_map(|item| {
        let (name, value) = document.text(item).split_once(char::is_whitespace)?;
        let code = match code(&name.to_ascii_lowercase()).as_str() {
            "60" => VENDOR_CLASS,
            "43" => VENDOR_OPTIONS,
            _ => return None,
        };
        Some(Sent { item, code, value: value.trim().to_owned(), scoped: false })
    });
    sent.collect()
}

/// Splits the text into directives.
pub(super) fn parse(text: &str, file: usize) -> Document {
    let mut document = Document::new(file);
    let mut start = 0;
    for line in text.split_inclusive('\n') {
        let words = line.split('#').next().unwrap_or_default();
        let blank = words.len() - words.trim_start().len();
        let words = words.trim();
        if !words.is_empty() {
            let span = Span::new(file, start + blank..start + blank + words.len());
            let (key, value) = words.split_once(char::is_whitespace).unwrap_or((words, ""));
            document.add(Document::ROOT, key.to_ascii_lowercase(), Some(value.trim().to_owned()), span);
        }
        start += line.len();
    }
    document
}

/// Returns what the file describes, and notes what became of each directive.
pub(super) fn understand(document: &mut Document, path: &Path) -> Setup {
    let mut network = Network::default();
    let mut machines = Vec::new();
    let (mut first, mut last, mut lists) = (None, None, Vec::<(String, ItemId, Vec<String>)>::new());
    let mut mask = None;
    let mut interface = None;
    network.dhcp = Some(Sourced::assumed(DhcpMode::Server));
    network.lease = Some(Sourced::assumed(LEASE));
    for item in document.children(Document::ROOT) {
        let (key, value) = (document.name(item).to_owned(), document.text(item).to_owned());
        let span = document.span(item);
        match key.as_str() {
            "start" | "end" => match value.parse::<Ipv4Addr>() {
                Ok(address) => {
                    *if key == "start" { &mut first } else { &mut last } = Some(Sourced::new(address, span));
                    document.carry(item, "dhcp.server.pool");
                }
                Err(_) => document.leave(item, format!("`{value}` is no address")),
            },
            "interface" => {
                interface = Some(value.clone());
                network.name = Some(Sourced::new(value, span));
                document.carry(item, "the name of the network");
            }
            "siaddr" => {
                network.next_server = Some(Sourced::new(value, span));
                document.carry(item, "the server of boot files");
            }
            "boot_file" => {
                network.boots.push(BootRule { when: Test::Always, file: value, server: None, from: span });
                document.carry(item, "the loader of the profile");
            }
            "static_lease" => machines.extend(static_lease(document, item)),
            "option" | "opt" => {
                let (name, rest) = value.split_once(char::is_whitespace).unwrap_or((&value, ""));
                let name = name.to_ascii_lowercase();
                let values = rest.split([' ', '\t', ',']).filter(|word| !word.is_empty()).map(str::to_owned);
                let values: Vec<String> = values.map(|word| word.trim_matches('"').to_owned()).collect();
                let listed = ["dns", "router", "ntpsrv", "wins", "search"].contains(&name.as_str());
                let code = code(&name);
                match lists.iter_mut().find(|(known, ..)| listed && *known == code) {
                    Some((_, _, known)) => {
                        known.extend(values);
                        document.carry(item, "options");
                    }
                    None => lists.push((code, item, values)),
                }
            }
            key => match LEFT.iter().find(|(name, _)| *name == key) {
                Some((_, why)) => document.leave(item, *why),
                None => {
                    document.leave(item, format!("`{key}` is no keyword of udhcpd, which ignores the line"))
                }
            },
        }
    }
    let mut notes = Vec::new();
    for (code, item, values) in lists {
        option(document, &mut network, &mut mask, item, &code, &values, &mut notes);
    }
    let length = mask.as_ref().map_or(24, |mask: &Sourced<u8>| mask.value);
    let from = mask.and_then(|mask| mask.from);
    let begin = first.as_ref().or(last.as_ref()).map(|address| address.value);
    let begin = begin.or_else(|| machines.iter().find_map(address));
    network.subnet =
        begin.and_then(|begin| Some(Sourced { value: Ipv4Net::new(begin, length).ok()?.trunc(), from }));
    // udhcpd has a default of its own for what is left out.
    let begin = first.unwrap_or_else(|| Sourced::assumed(Ipv4Addr::new(192, 168, 0, 20)));
    let end = last.unwrap_or_else(|| Sourced::assumed(Ipv4Addr::new(192, 168, 0, 254)));
    network.pool = Some(Sourced { value: (begin.value, end.value), from: begin.from });
    let target = "/etc/udhcpd.conf".to_owned();
    let lease_file = document.get(Document::ROOT, "lease_file").map(|item| document.text(item).to_owned());
    let folder = lease_file.and_then(|file| Some(file.rsplit_once('/')?.0.to_owned()));
    let server = Server {
        program: Program::Udhcpd,
        files: vec![(target, path.display().to_string())],
        port: None,
        from: document.span(Document::ROOT),
        folders: vec![folder.unwrap_or_else(|| "/var/lib/misc".to_owned())],
        interfaces: interfaces(interface),
        alone: true,
        serves: Serves { dhcp: true, ..Serves::default() },
    };
    Setup { networks: vec![network], machines, servers: vec![server], notes }
}

/// Without `interface`, udhcpd takes eth0.
fn interfaces(named: Option<String>) -> Vec<String> {
    vec![named.unwrap_or_else(|| "eth0".to_owned())]
}

fn address(machine: &Machine) -> Option<Ipv4Addr> {
    machine.nics.first()?.address.as_ref().map(|address| address.value)
}

/// Returns the code of an option, or its name if it has none.
pub(super) fn code(name: &str) -> String {
    let known = OPTIONS.iter().find(|(known, _)| *known == name).map(|(_, code)| (*code).to_owned());
    let hex = name.strip_prefix("0x").and_then(|hex| u8::from_str_radix(hex, 16).ok());
    known.or_else(|| hex.map(|code| code.to_string())).unwrap_or_else(|| name.to_owned())
}

/// Reads `static_lease MAC ADDRESS [NAME]`.
fn static_lease(document: &mut Document, item: ItemId) -> Option<Machine> {
    let words: Vec<String> = document.text(item).split_whitespace().map(str::to_owned).collect();
    let span = document.span(item);
    let mac = words.first().and_then(|word| word.parse().ok());
    let address = words.get(1).and_then(|word| word.parse().ok());
    let (Some(mac), Some(address)) = (mac, address) else {
        document.leave(item, "it is no MAC address and address");
        return None;
    };
    document.carry(item, "node");
    let nic = Nic {
        mac: Some(Sourced::new(mac, span.clone())),
        address: Some(Sourced::new(address, span.clone())),
        ..Nic::default()
    };
    let name = words.get(2).map(|name| Sourced::new(name.clone(), span));
    Some(Machine { name, nics: vec![nic], ..Machine::default() })
}

/// Returns the values of an option that udhcpd sends.
fn sent_as(code: &str, values: &[String]) -> Vec<String> {
    let first = values.first().map_or("", String::as_str);
    let width = NUMBERS.iter().find(|(number, _)| *number == code).map(|(_, bytes)| bytes * 2);
    match (width, first.parse::<u32>()) {
        (Some(width), Ok(number)) => vec![format!("0x{number:0width$x}")],
        _ if TEXTS.contains(&code) => vec![first.to_owned()],
        _ => values.to_vec(),
    }
}

/// Reads an option with all its values.
fn option(
    document: &mut Document,
    network: &mut Network,
    mask: &mut Option<Sourced<u8>>,
    item: ItemId,
    code: &str,
    values: &[String],
    notes: &mut Vec<Note>,
) {
    let span = document.span(item);
    let first = values.first().cloned().unwrap_or_default();
    match code {
        "1" => match first.parse().ok().and_then(|mask| ipnet::ipv4_mask_to_prefix(mask).ok()) {
            Some(length) => {
                *mask = Some(Sourced::new(length, span));
                document.carry(item, "the prefix length of the network");
            }
            None => document.leave(item, format!("`{first}` is no netmask")),
        },
        "51" => match first.parse() {
            Ok(lease) => {
                network.lease = Some(Sourced::new(lease, span));
                document.carry(item, "dhcp.server.lease-time");
            }
            Err(_) => document.leave(item, format!("`{first}` is no time")),
        },
        "15" => {
            network.dns.domain = Some(Sourced::new(first, span));
            document.carry(item, "dns.domain");
        }
        "54" => {
            network.server = first.parse().ok().map(|address| Sourced::new(address, span));
            document.carry(item, "the address of the network");
        }
        "66" => {
            network.next_server.get_or_insert_with(|| Sourced::new(first, span));
            document.carry(item, "the server of boot files");
        }
        "67" => {
            network.boots.push(BootRule { when: Test::Always, file: first, server: None, from: span });
            document.carry(item, "the loader of the profile");
        }
        code => match translate(code, &sent_as(code, values)) {
            Ok(option) => {
                if let ([first, _, ..], true) = (values, TEXTS.contains(&code)) {
                    let text = format!("udhcpd sends only the first word, `{first}`");
                    notes.push(Note { at: span.clone(), text });
                }
                network.options.push(Sourced::new(option, span));
                document.carry(item, "options");
            }
            Err(why) => document.leave(item, why),
        },
    }
}
