//! dhcpd.conf of ISC: what its statements are called, and what becomes of them.

mod reading;
mod syntax;

use std::collections::BTreeMap;
use std::net::Ipv4Addr;

use super::document::{Document, ItemId};
use super::expression;
use super::setup::{Sent, VENDOR_CLASS, VENDOR_OPTIONS};
use crate::lab::options;

pub(super) use reading::understand;
pub(super) use syntax::parse;

/// Why a statement is not carried over.
const LEFT: &[(&str, &str)] = &[
    ("abandon-lease-time", SETTING),
    ("adaptive-lease-time-threshold", SETTING),
    ("add", "classes are not told apart by values"),
    ("allow-booting", SETTING),
    ("allow-bootp", SETTING),
    ("always-broadcast", "answers are sent as the client asks"),
    ("always-reply-rfc1048", SETTING),
    ("append", SETTING),
    ("bind-local-address6", IPV6),
    ("boot-unknown-clients", SETTING),
    ("break", SCRIPT),
    ("case", SCRIPT),
    ("check-secs-byte-order", SETTING),
    ("client-updates", DDNS),
    ("db-time-format", "leases are in the folder of the run"),
    ("ddns-domainname", DDNS),
    ("ddns-dual-stack-mixed-mode", DDNS),
    ("ddns-guard-id-must-match", DDNS),
    ("ddns-hostname", DDNS),
    ("ddns-local-address4", DDNS),
    ("ddns-local-address6", DDNS),
    ("ddns-other-guard-is-dynamic", DDNS),
    ("ddns-rev-domainname", DDNS),
    ("ddns-ttl", DDNS),
    ("ddns-update-style", DDNS),
    ("ddns-updates", DDNS),
    ("declines", SETTING),
    ("default", SETTING),
    ("define", SCRIPT),
    ("delayed-ack", SETTING),
    ("dhcp-cache-threshold", SETTING),
    ("dhcpv6-lease-file-name", IPV6),
    ("dhcpv6-pid-file-name", IPV6),
    ("dhcpv6-set-tee-times", IPV6),
    ("do-forward-updates", DDNS),
    ("do-reverse-updates", DDNS),
    ("dont-use-fsync", "leases are in the folder of the run"),
    ("duplicates", SETTING),
    ("dynamic", SETTING),
    ("dynamic-bootp", BOOTP),
    ("dynamic-bootp-lease-cutoff", BOOTP),
    ("dynamic-bootp-lease-length", BOOTP),
    ("echo-client-id", SETTING),
    ("eval", SCRIPT),
    ("execute", SCRIPT),
    ("failover", "a lab has one DHCP server"),
    ("fixed-address6", IPV6),
    ("fixed-prefix6", IPV6),
    ("fqdn-reply", DDNS),
    ("function", SCRIPT),
    ("get-lease-hostnames", DDNS),
    ("host-identifier", "nodes are known by their MAC addresses"),
    ("ignore-client-uids", "nodes are known by their MAC addresses; see `identity` of the DHCP server"),
    ("infinite-is-reserved", SETTING),
    ("key", "nobody changes leases or names of a lab with a key"),
    ("lease", "classes have no limit of leases"),
    ("lease-file-name", "leases are in the folder of the run"),
    ("lease-id-format", "leases are in the folder of the run"),
    ("leasequery", SETTING),
    ("limit-addrs-per-ia", IPV6),
    ("limit-prefs-per-ia", IPV6),
    ("limited-broadcast-address", "answers are sent as the client asks"),
    ("local-address6", IPV6),
    ("local-port", "DHCP is at its own ports"),
    ("log-threshold-high", LOGS),
    ("log-threshold-low", LOGS),
    ("max-ack-delay", SETTING),
    ("local-address", "the services of a network listen on its address and on no other"),
    ("log", SCRIPT),
    ("log-facility", LOGS),
    ("max-lease-time", "every client gets the lease time of the network"),
    ("min-lease-time", "every client gets the lease time of the network"),
    ("min-secs", SETTING),
    ("omapi-port", SETTING),
    ("on", SCRIPT),
    ("omapi-key", SETTING),
    ("one-lease-per-client", SETTING),
    ("pid-file-name", "services of a lab are no daemons"),
    ("ping-check", "`dhcp.server.authoritative` of a lab does the same"),
    ("ping-cltt-secs", "`dhcp.server.authoritative` of a lab does the same"),
    ("ping-timeout", "`dhcp.server.authoritative` of a lab does the same"),
    ("ping-timeout-ms", "`dhcp.server.authoritative` of a lab does the same"),
    ("pool6", IPV6),
    ("preferred-lifetime", IPV6),
    ("prefix-length-mode", IPV6),
    ("prefix6", IPV6),
    ("prepend", SETTING),
    ("range6", IPV6),
    ("release-on-roam", SETTING),
    ("remote-port", "DHCP is at its own ports"),
    ("return", SCRIPT),
    ("send", SETTING),
    ("server-duid", IPV6),
    ("server-id-check", SETTING),
    ("server-identifier", "the identifier of the server is its address"),
    ("server-name", "the server has no name in DHCP"),
    ("set", SCRIPT),
    ("site-option-space", SETTING),
    ("spawn", "classes are not spawned"),
    ("stash-agent-options", SETTING),
    ("subclass", "classes are not told apart by values"),
    ("subnet6", IPV6),
    ("supersede", SETTING),
    ("switch", SCRIPT),
    ("unset", SCRIPT),
    ("update-conflict-detection", DDNS),
    ("use-eui-64", IPV6),
    ("use-lease-addr-for-default-route", SETTING),
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
    "include",
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

/// Blocks whose lines are not statements of DHCP.
const OPAQUE: &[&str] = &["failover", "key", "on", "zone"];

const BOOTP: &str = "clients of BOOTP without DHCP are not answered";
const DDNS: &str = "names of a lab do not come from clients";
const IPV6: &str = "IPv6 is not carried over: give the network `ipv6`";
const LOGS: &str = "every exchange is an event of the run, which `dryrack trace` shows";
const ONE_MACHINE: &str = "what one machine boots is its profile: give the node one of its own";
const SCRIPT: &str = "no program is run at a lease; `dryrack logs --events` shows each one";
const SETTING: &str = "the DHCP server of Dryrack has no such setting";

/// Returns whether dhcpd has a statement of this name.
pub(super) fn is_known(name: &str) -> bool {
    CARRIED.contains(&name) || LEFT.iter().any(|(known, _)| *known == name)
}

/// Returns whether an item is within a block whose lines are not statements of DHCP, or names what a `switch` tells apart.
pub(super) fn is_within_opaque(document: &Document, item: ItemId) -> bool {
    let mut around = document.parent(item);
    while let Some(block) = around {
        if OPAQUE.contains(&document.name(block)) {
            return true;
        }
        around = document.parent(block);
    }
    false
}

/// Returns the names of all statements.
pub(super) fn all_names() -> impl Iterator<Item = &'static str> {
    CARRIED.iter().copied().chain(LEFT.iter().map(|(name, _)| *name))
}

/// Returns the vendor classes and options of vendors that clients are sent.
pub(super) fn sent(document: &Document) -> Vec<Sent> {
    let items = document.every().filter(|item| document.name(*item) == "option");
    let sent = items.filter_map(|item| {
        let (key, values) = option(document.text(item));
        let code = match key.as_str() {
            "vendor-class-identifier" | "dhcp-class-identifier" => VENDOR_CLASS,
            "vendor-encapsulated-options" => VENDOR_OPTIONS,
            key if key.starts_with("PXE.") && !values.is_empty() => VENDOR_OPTIONS,
            _ => return None,
        };
        let mut around = std::iter::successors(document.parent(item), |block| document.parent(*block));
        let scoped = key.starts_with("PXE.")
            || around.any(|block| {
                ["class", "if", "elsif", "else", "host", "subclass"].contains(&document.name(block))
            });
        Some(Sent { item, code, value: values.join(","), scoped })
    });
    sent.collect()
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
