//! What the machines of a run were told by its servers, and where two runs differ in it.
//!
//! It is read from the frames of a capture, so it does not matter whose servers answered: the first offer and the first
//! acknowledgement that each kind of client got, the files that were delivered, and the answers of DNS.

use std::collections::BTreeMap;
use std::fmt;
use std::net::Ipv4Addr;

use serde::Serialize;

use crate::event::{DhcpMessage, Event, Kind, Known, Protocol, Stage};
use crate::lab::options::{OPTIONS, Octets, OptionType};
use crate::name::{Mac, NodeName};
use crate::wire::dhcp::{Client, Options, Request, ServerReply, code};

/// The ports of DHCP.
const PORTS: [u16; 2] = [67, 68];
/// Options that describe the exchange or the server, and tell a client nothing to act on.
const OF_THE_EXCHANGE: &[u8] = &[
    code::OVERLOAD,
    code::MESSAGE_TYPE,
    code::SERVER,
    code::LARGEST,
    code::RENEWAL_TIME,
    code::REBINDING_TIME,
    code::CLIENT_ID,
    code::BOOT_SERVER,
    code::BOOT_FILE,
    code::RELAY,
    code::MACHINE_ID,
    code::IPXE,
];
/// Options that a server may add without changing a boot: name, MTU, broadcast, vendor options that say "use the boot
/// file", log and time servers, search list.
const COURTESY: &[u8] = &[7, 12, 26, 28, 42, code::VENDOR_OPTIONS, code::VENDOR_CLASS, 119];

/// What machines were told.
#[derive(Debug, Clone, Default)]
pub struct Told {
    /// The kind of client of each transaction.
    asked: BTreeMap<(Mac, u32), &'static str>,
    /// The first answer of each kind to each kind of client.
    dhcp: BTreeMap<Mac, BTreeMap<(&'static str, &'static str), Answer>>,
    /// Files that were delivered up to the system, in order.
    files: BTreeMap<NodeName, Vec<String>>,
    /// Names with their answers.
    dns: BTreeMap<NodeName, BTreeMap<String, Vec<String>>>,
    /// Nodes whose system is up.
    up: Vec<NodeName>,
}

/// An answer of DHCP: the fields of its header, and its options.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Answer {
    fields: BTreeMap<&'static str, String>,
    options: BTreeMap<u8, Vec<u8>>,
}

/// A difference in what a machine was told.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Difference {
    /// The machine: a node, or the MAC address of another client.
    pub machine: String,
    /// What it is about: `offer to ipxe: routers`.
    pub what: String,
    /// What the first run told; nothing if it did not.
    pub first: Option<String>,
    /// What the second run told.
    pub second: Option<String>,
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = |value: &Option<String>| value.clone().unwrap_or_else(|| "nothing".to_owned());
        let (first, second) = (shown(&self.first), shown(&self.second));
        write!(f, "{}: {}: {first} or {second}", self.machine, self.what)
    }
}

impl Told {
    /// Adds a frame of Ethernet. All but DHCP over IPv4 is skipped.
    pub fn frame(&mut self, data: &[u8]) {
        let Some(payload) = dhcp_payload(data) else { return };
        if let Some(request) = Request::decode(payload) {
            let kind = match Client::of(&request, &[]) {
                Client::Ipxe => "ipxe",
                Client::Firmware(_) => "firmware",
                Client::HttpFirmware(_) => "http firmware",
                Client::Os => "system",
            };
            self.asked.insert((request.mac, request.xid), kind);
        } else if let Some(reply) = ServerReply::decode(payload) {
            let message = match reply.message {
                DhcpMessage::Offer => "offer",
                DhcpMessage::Ack => "ack",
                _ => return,
            };
            let Some(kind) = self.asked.get(&(reply.mac, reply.xid)).copied() else { return };
            let answers = self.dhcp.entry(reply.mac).or_default();
            answers.entry((kind, message)).or_insert_with(|| Answer::of(&reply, payload));
        }
    }

    /// Adds an event: deliveries and answers of DNS.
    pub fn event(&mut self, event: &Event) {
        let (Some(node), Kind::Known(known)) = (&event.node, &event.kind) else { return };
        if matches!(known, Known::StageReached { stage: Stage::Os, .. }) {
            self.up.push(node.clone());
        }
        // What a system does once it is up is its own affair.
        if self.up.contains(node) {
            return;
        }
        if let Some(delivery) = known.delivery() {
            let by = match delivery.by {
                Protocol::Tftp => "TFTP".to_owned(),
                Protocol::Http { method, status } => format!("HTTP {method} {status}"),
            };
            let path = delivery.path.trim_start_matches('/');
            let files = self.files.entry(node.clone()).or_default();
            let line = format!("/{path} by {by}");
            if !files.contains(&line) {
                files.push(line);
            }
        }
        if let Known::DnsAnswered { name, record, answer, .. } = known {
            let mut answer = answer.clone();
            answer.sort();
            self.dns.entry(node.clone()).or_default().entry(format!("{name} {record}")).or_insert(answer);
        }
    }

    /// Returns in what a second run differs: DHCP by client and message, then files, then names.
    ///
    /// `names` are the nodes by their MAC addresses.
    pub fn differences(&self, second: &Self, names: &BTreeMap<Mac, NodeName>) -> Vec<Difference> {
        let mut found = Vec::new();
        let macs = self.dhcp.keys().chain(second.dhcp.keys()).collect::<std::collections::BTreeSet<_>>();
        for mac in macs {
            let machine = names.get(mac).map_or_else(|| mac.to_string(), NodeName::to_string);
            let none = BTreeMap::new();
            let (a, b) = (self.dhcp.get(mac).unwrap_or(&none), second.dhcp.get(mac).unwrap_or(&none));
            let keys = a.keys().chain(b.keys()).collect::<std::collections::BTreeSet<_>>();
            for (kind, message) in keys {
                let about = format!("{message} to {kind}");
                match (a.get(&(*kind, *message)), b.get(&(*kind, *message))) {
                    (Some(first), Some(second)) => first.compare(second, &machine, &about, &mut found),
                    (first, second) => found.push(Difference {
                        machine: machine.clone(),
                        what: about,
                        first: first.map(|_| "an answer".to_owned()),
                        second: second.map(|_| "an answer".to_owned()),
                    }),
                }
            }
        }
        let nodes = self.files.keys().chain(second.files.keys()).collect::<std::collections::BTreeSet<_>>();
        for node in nodes {
            let none = Vec::new();
            let (a, b) = (self.files.get(node).unwrap_or(&none), second.files.get(node).unwrap_or(&none));
            let longest = a.len().max(b.len());
            let differs = (0..longest).find(|at| a.get(*at) != b.get(*at));
            if let Some(at) = differs {
                found.push(Difference {
                    machine: node.to_string(),
                    what: format!("file {}", at + 1),
                    first: a.get(at).cloned(),
                    second: b.get(at).cloned(),
                });
            }
        }
        for (node, answers) in &self.dns {
            let Some(others) = second.dns.get(node) else { continue };
            for (name, answer) in answers {
                if let Some(other) = others.get(name).filter(|other| *other != answer) {
                    found.push(Difference {
                        machine: node.to_string(),
                        what: format!("DNS {name}"),
                        first: Some(answer.join(", ")),
                        second: Some(other.join(", ")),
                    });
                }
            }
        }
        found
    }
}

impl Answer {
    fn of(reply: &ServerReply, payload: &[u8]) -> Self {
        let mut fields = BTreeMap::new();
        fields.insert("address", reply.yiaddr.to_string());
        let file = reply.boot_file();
        // The server counts only for files that are fetched from it.
        if file.as_ref().is_some_and(|file| !file.contains("://")) {
            let named = reply.boot_server.as_ref().and_then(|name| name.parse().ok());
            let server = named.unwrap_or(reply.siaddr);
            fields.insert("server of the boot file", server.to_string());
        }
        if let Some(file) = file {
            fields.insert("boot file", file);
        }
        let options = Options::split(payload);
        let codes = (1..255).filter(|code| !OF_THE_EXCHANGE.contains(code));
        let options = codes.filter_map(|code| Some((code, options.get(code)?.to_vec()))).collect();
        Self { fields, options }
    }

    fn compare(&self, second: &Self, machine: &str, about: &str, found: &mut Vec<Difference>) {
        let mut differs = |what: &str, first: Option<String>, second: Option<String>| {
            let what = format!("{about}: {what}");
            found.push(Difference { machine: machine.to_owned(), what, first, second });
        };
        for field in ["address", "boot file", "server of the boot file"] {
            let (first, second) = (self.fields.get(field), second.fields.get(field));
            if first != second {
                differs(field, first.cloned(), second.cloned());
            }
        }
        let codes = self.options.keys().chain(second.options.keys());
        for code in codes.collect::<std::collections::BTreeSet<_>>() {
            let (first, second) = (self.options.get(code), second.options.get(code));
            let added = COURTESY.contains(code) && (first.is_none() || second.is_none());
            if first != second && !added {
                differs(
                    &title(*code),
                    first.map(|value| shown(*code, value)),
                    second.map(|value| shown(*code, value)),
                );
            }
        }
    }
}

/// Returns the name of an option.
fn title(code: u8) -> String {
    let own = match code {
        code::SUBNET_MASK => Some("subnet-mask"),
        code::LEASE_TIME => Some("lease-time"),
        _ => None,
    };
    let known = || OPTIONS.iter().find(|known| known.code == code)?.names.first().copied();
    own.or_else(known).map_or_else(|| format!("option {code}"), str::to_owned)
}

/// Returns the value of an option as text.
fn shown(code: u8, value: &[u8]) -> String {
    let holds = OPTIONS.iter().find(|known| known.code == code).map(|known| known.holds);
    let addresses =
        || value.chunks_exact(4).map(|part| Ipv4Addr::new(part[0], part[1], part[2], part[3]).to_string());
    match (code, holds) {
        (code::LEASE_TIME, _) if value.len() == 4 => {
            format!("{} s", value.iter().fold(0_u32, |sum, byte| sum << 8 | u32::from(*byte)))
        }
        (code::SUBNET_MASK, _) | (_, Some(OptionType::Address | OptionType::Addresses))
            if value.len() % 4 == 0 =>
        {
            addresses().collect::<Vec<_>>().join(", ")
        }
        (_, Some(OptionType::Text)) => String::from_utf8_lossy(value).into_owned(),
        _ => Octets(value.to_vec()).to_string(),
    }
}

/// Returns what a frame carries if it is DHCP over UDP and IPv4.
fn dhcp_payload(data: &[u8]) -> Option<&[u8]> {
    let mut rest = data.get(12..)?;
    // Tags of VLANs.
    while matches!(rest.get(..2)?, [0x81, 0x00] | [0x88, 0xa8]) {
        rest = rest.get(4..)?;
    }
    let packet = rest.strip_prefix(&[0x08, 0x00])?;
    let first = *packet.first()?;
    let length = usize::from(first & 15) * 4;
    let is_fragment = u16::from_be_bytes([*packet.get(6)?, *packet.get(7)?]) & 0x1fff != 0;
    if first >> 4 != 4 || packet.get(9) != Some(&17) || is_fragment || length < 20 {
        return None;
    }
    let datagram = packet.get(length..)?;
    let port = |at: usize| Some(u16::from_be_bytes([*datagram.get(at)?, *datagram.get(at + 1)?]));
    (PORTS.contains(&port(0)?) && PORTS.contains(&port(2)?)).then(|| datagram.get(8..)).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    const MAC: Mac = Mac([0x52, 0x54, 0, 0x12, 0x34, 0x56]);

    /// A frame with a message of DHCP: request or reply, header, options.
    fn frame(kind: u8, address: [u8; 4], file: &str, options: &[(u8, &[u8])]) -> Vec<u8> {
        let mut message = vec![kind, 1, 6, 0, 0, 0, 0, 7];
        message.extend([0; 8]);
        message.extend(address);
        message.extend([10, 0, 2, 1, 0, 0, 0, 0]);
        message.extend(MAC.0);
        message.extend([0; 10 + 64]);
        message.extend(file.bytes());
        message.resize(236, 0);
        message.extend([99, 130, 83, 99]);
        for (code, value) in options {
            message.extend([*code, u8::try_from(value.len()).unwrap()]);
            message.extend(*value);
        }
        message.push(255);
        let (from, to) = if kind == 1 { (68_u16, 67_u16) } else { (67, 68) };
        let mut frame = vec![0; 12];
        frame.extend([8, 0, 0x45, 0, 0, 0, 0, 0, 0, 0, 64, 17, 0, 0]);
        frame.extend([0; 8]);
        frame.extend(from.to_be_bytes());
        frame.extend(to.to_be_bytes());
        frame.extend([0; 4]);
        frame.extend(message);
        frame
    }

    fn told(file: &str, options: &[(u8, &[u8])]) -> Told {
        let mut told = Told::default();
        told.frame(&frame(1, [0; 4], "", &[(53, &[1]), (77, b"iPXE"), (93, &[0, 0])]));
        told.frame(&frame(2, [10, 0, 2, 21], file, &[&[(53, &[2][..])], options].concat()));
        told
    }

    fn check(first: &Told, second: &Told) -> Vec<String> {
        let names = BTreeMap::from([(MAC, NodeName::new("node1").unwrap())]);
        first.differences(second, &names).iter().map(Difference::to_string).collect()
    }

    #[test]
    fn answers_are_compared_by_what_clients_act_on() {
        let router: (u8, &[u8]) = (3, &[10, 0, 2, 1]);
        let first = told("http://a/boot.ipxe", &[router, (51, &[0, 0, 14, 16]), (58, &[0, 0, 7, 8])]);
        let same = told("", &[(67, b"http://a/boot.ipxe"), router, (51, &[0, 0, 14, 16]), (12, b"node1")]);
        assert_eq!(check(&first, &same), [""; 0]);
        let other = told("http://b/boot.ipxe", &[(51, &[0, 0, 28, 32]), (6, &[10, 0, 2, 1])]);
        assert_eq!(
            check(&first, &other),
            [
                "node1: offer to ipxe: boot file: http://a/boot.ipxe or http://b/boot.ipxe",
                "node1: offer to ipxe: routers: 10.0.2.1 or nothing",
                "node1: offer to ipxe: domain-name-servers: nothing or 10.0.2.1",
                "node1: offer to ipxe: lease-time: 3600 s or 7200 s",
            ]
        );
        assert_eq!(check(&first, &Told::default()), ["node1: offer to ipxe: an answer or nothing"]);
    }

    #[test]
    fn the_server_counts_for_files_that_are_fetched_from_it() {
        let first = told("pxelinux.0", &[]);
        let other = told("pxelinux.0", &[(66, b"10.0.2.9")]);
        assert_eq!(
            check(&first, &other),
            ["node1: offer to ipxe: server of the boot file: 10.0.2.1 or 10.0.2.9"]
        );
    }

    #[test]
    fn foreign_frames_are_skipped() {
        let whole = frame(2, [10, 0, 2, 21], "x", &[(53, &[2])]);
        let mut told = Told::default();
        for end in 0..whole.len() {
            told.frame(&whole[..end]);
        }
        assert!(told.dhcp.is_empty(), "nobody asked");
    }
}
