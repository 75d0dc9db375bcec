//! Signs of failures in single events.

use std::net::IpAddr;

use regex::Regex;
use serde::{Deserialize, Deserializer, de};

use super::template::Values;
use super::{Firmware, MachineFacts};
use crate::event::{FileRole, Known, LearnedFrom};
use crate::name::Bytes;

/// A sign that is seen on the network.
#[derive(Debug, Deserialize)]
#[serde(try_from = "RawNetworkSign")]
pub(super) struct NetworkSign {
    pub(super) kinds: Vec<NetworkKind>,
    /// How many events must show it.
    pub(super) times: usize,
    /// The value in which they must differ.
    pub(super) different: Option<String>,
    /// The value that they must share.
    pub(super) same: Option<String>,
}

/// A sign that is seen anywhere.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
pub(super) enum Sign {
    Network(NetworkSign),
    Machine(MachineSign),
}

impl Sign {
    /// Tells whether an event shows it.
    pub(super) fn is_seen(&self, known: &Known) -> bool {
        match self {
            Self::Network(sign) => sign.of(known).is_some(),
            Self::Machine(sign) => sign.is_seen(known),
        }
    }

    /// Tells whether a machine is made like this.
    pub(super) fn is_made(&self, machine: &MachineFacts, values: &Values) -> bool {
        match self {
            Self::Network(_) => false,
            Self::Machine(sign) => sign.is_made(machine, values) == Some(true) || sign.is_given(machine),
        }
    }
}

/// A sign that is seen at the machine.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(super) enum MachineSign {
    /// It restarted.
    Reset {
        #[serde(default)]
        by: Words,
    },
    /// It was powered off, or powered itself off.
    PoweredOff {
        #[serde(default)]
        by: Words,
    },
    /// Its process ended.
    Died { text: Option<Text> },
    /// QEMU paused it.
    Stopped {
        #[serde(default)]
        state: Words,
        nospace: Option<bool>,
    },
    /// Its kernel reported a panic.
    Panicked {},
    /// A link changed.
    Link { up: Option<bool> },
    /// What it is made of.
    #[serde(rename_all = "kebab-case")]
    Node {
        #[serde(default)]
        firmware: Vec<Firmware>,
        #[serde(default, deserialize_with = "size")]
        memory_below: Option<Bytes>,
        rng: Option<bool>,
        #[serde(default)]
        disk_bus: Vec<String>,
        #[serde(default)]
        no_disk_bus: Vec<String>,
        diskless: Option<bool>,
        /// The value with the name of a device that none of its disks has.
        lacks_disk: Option<String>,
    },
}

/// Returns the role of a file, by its name if nothing more is known: of one that does not exist, nothing is.
fn role_of<'a>(role: Option<&'a FileRole>, path: &str) -> Option<&'a str> {
    if let Some(role) = role {
        return Some(role.as_str());
    }
    let path = path.split(['?', '#']).next().unwrap_or_default().to_ascii_lowercase();
    let name = path.rsplit(['/', '\\']).next().unwrap_or_default();
    let has = |parts: &[&str]| parts.iter().any(|part| name.contains(part));
    let ends = |ends: &[&str]| ends.iter().any(|end| name.ends_with(end));
    if has(&["initr", ".cpio", "rootfs"]) {
        Some("initrd")
    } else if has(&["vmlinu", "bzimage", "linux", "kernel"]) && !ends(&[".c32", ".0"]) {
        Some("kernel")
    } else if ends(&[".ipxe"]) {
        Some("script")
    } else if ends(&[".efi", ".kpxe", ".pxe", ".0"]) {
        Some("loader")
    } else {
        None
    }
}

/// Returns the buses whose disks Linux gives such a name.
fn buses(device: &str) -> Option<&'static [&'static str]> {
    let name = device.strip_prefix("/dev/").unwrap_or(device);
    match name.get(..2)? {
        "vd" => Some(&["virtio"]),
        "sd" => Some(&["sata", "scsi", "usb"]),
        "nv" => Some(&["nvme"]),
        "hd" | "xv" | "mm" => Some(&[]),
        _ => None,
    }
}

/// Reads a size such as `512MiB`.
fn size<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Bytes>, D::Error> {
    String::deserialize(from)?.parse().map(Some).map_err(de::Error::custom)
}

/// One of these words; any if empty.
#[derive(Debug, Default, Deserialize)]
#[serde(transparent)]
pub(super) struct Words(Vec<String>);

impl Words {
    fn has(&self, word: &str) -> bool {
        self.0.is_empty() || self.0.iter().any(|known| known == word)
    }

    fn has_any(&self, word: Option<&str>) -> bool {
        self.0.is_empty() || word.is_some_and(|word| self.has(word))
    }
}

/// A regular expression on a text.
#[derive(Debug)]
pub(super) struct Text(Regex);

impl<'de> Deserialize<'de> for Text {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        Regex::new(&String::deserialize(from)?).map(Self).map_err(de::Error::custom)
    }
}

fn fits(text: &Option<Text>, value: &str) -> bool {
    text.as_ref().is_none_or(|Text(pattern)| pattern.is_match(value))
}

fn fits_any(text: &Option<Text>, value: Option<&str>) -> bool {
    text.as_ref().is_none_or(|Text(pattern)| value.is_some_and(|value| pattern.is_match(value)))
}

fn is(wanted: Option<bool>, value: bool) -> bool {
    wanted.is_none_or(|wanted| wanted == value)
}

/// Whose server it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum By {
    /// The lab's.
    Lab,
    /// Somebody else's.
    Other,
}

fn whose(by: Option<By>, server: bool) -> bool {
    by.is_none_or(|by| (by == By::Other) == server)
}

/// Status codes of HTTP: numbers, or a regular expression.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
pub(super) enum Status {
    Numbers(Vec<u16>),
    Text(Text),
}

impl Status {
    fn has(&self, status: u16) -> bool {
        match self {
            Self::Numbers(numbers) => numbers.contains(&status),
            Self::Text(Text(pattern)) => pattern.is_match(&status.to_string()),
        }
    }
}

/// Defines the kinds of signs of the network with their fields, and the table in which they are written.
macro_rules! network_kinds {
    ($($name:ident $key:ident { $($field:ident: $type:ty,)* })+) => {
        $(#[derive(Debug, Default, Deserialize)]
        #[serde(rename_all = "kebab-case", deny_unknown_fields)]
        pub(super) struct $name { $(#[serde(default)] $field: $type,)* })+

        #[derive(Debug)]
        pub(super) enum NetworkKind { $($name($name),)+ }

        #[derive(Debug, Deserialize)]
        #[serde(rename_all = "kebab-case", deny_unknown_fields)]
        struct RawNetworkSign {
            $(#[serde(default)] $key: Option<$name>,)+
            #[serde(default)] any: Option<Vec<RawNetworkSign>>,
            #[serde(default)] times: Option<usize>,
            #[serde(default)] different: Option<String>,
            #[serde(default)] same: Option<String>,
        }

        impl RawNetworkSign {
            fn kinds(self) -> Result<Vec<NetworkKind>, String> {
                let mut kinds = Vec::new();
                $(kinds.extend(self.$key.map(NetworkKind::$name));)+
                match (kinds.len(), self.any) {
                    (1, None) => Ok(kinds),
                    (0, Some(any)) => {
                        let mut all = Vec::new();
                        for sign in any {
                            if sign.times.is_some() || sign.same.is_some() || sign.different.is_some() {
                                return Err("repetitions are counted beside `any`, not in it".to_owned());
                            }
                            all.extend(sign.kinds()?);
                        }
                        Ok(all)
                    }
                    _ => Err("a sign has exactly one kind, or `any`".to_owned()),
                }
            }
        }
    };
}

network_kinds! {
    Asked asked { client: Words, request: Words, architecture: Vec<u16>, vendor_class: Option<Text>, relayed: Option<bool>, }
    Replied replied {
        client: Words, request: Words, reply: Words, boot_file: Option<Text>, no_boot_file: Option<bool>,
        address: Option<bool>, rule: Option<Text>, by: Option<By>,
    }
    Ignored ignored { request: Words, rule: Option<Text>, }
    Unanswered unanswered { service: Words, what: Option<Text>, }
    Unreachable unreachable { port: Vec<u16>, protocol: Words, why: Words, }
    Tftp tftp {
        path: Option<Text>, outcome: Words, role: Words, by: Option<By>, empty: Option<bool>, format: Words,
    }
    Http http {
        method: Option<Text>, path: Option<Text>, status: Option<Status>, complete: Option<bool>, role: Words,
        by: Option<By>, empty: Option<bool>, format: Words, tls: Option<bool>,
    }
    DnsReply dns { name: Option<Text>, record: Option<Text>, code: Words, empty: Option<bool>, by: Option<By>, }
    TlsOffered tls_offered { to_lab: Option<bool>, version: Option<Text>, }
    TlsAlert tls_alert { alert: Option<Text>, by_client: Option<bool>, }
    HttpsFailed https_failed { error: Option<Text>, }
    MatchboxFailed matchbox_failed { reason: Option<Text>, path: Option<Text>, }
    Stp stp { state: Option<Text>, }
    Lacp lacp { answered: Option<bool>, }
    RouterAdvertised router_advertised {}
    RouterSolicited router_solicited {}
    AddressLearned address_learned {}
    Ntp ntp {}
    Syslog syslog { text: Option<Text>, }
}

impl TryFrom<RawNetworkSign> for NetworkSign {
    type Error = String;

    fn try_from(mut raw: RawNetworkSign) -> Result<Self, String> {
        let (times, different, same) = (raw.times.take().unwrap_or(1), raw.different.take(), raw.same.take());
        Ok(Self { kinds: raw.kinds()?, times, different, same })
    }
}

/// Names of the values that a sign gives.
#[cfg(test)]
pub(super) const VALUES: &[&str] = &[
    "server",
    "servers",
    "network",
    "boot-file",
    "path",
    "name",
    "what",
    "status",
    "architecture",
    "vendor-class",
    "times",
    "rule",
    "line",
    "destination",
    "alert",
    "reason",
    "mtu",
    "node",
];

/// What the signs of an event tell.
#[derive(Debug, Default)]
pub(super) struct Told {
    pub(super) values: Values,
    /// Whether the server is somebody else's, if one is named.
    pub(super) other: Option<bool>,
    /// The address that was asked in vain.
    pub(super) asked: Option<IpAddr>,
}

impl Told {
    fn with(mut self, name: &str, value: impl ToString) -> Self {
        self.values.insert(name.to_owned(), value.to_string());
        self
    }

    /// A server that answered: the lab's has no address here.
    fn by(self, server: Option<impl ToString>) -> Self {
        let other = server.is_some();
        let server = server.map_or_else(|| "the lab's server".to_owned(), |server| server.to_string());
        Self { other: Some(other), ..self.with("server", server) }
    }
}

impl NetworkSign {
    /// Returns what an event tells, if it shows this sign.
    pub(super) fn of(&self, known: &Known) -> Option<Told> {
        self.kinds.iter().find_map(|kind| kind.of(known))
    }
}

impl NetworkKind {
    fn of(&self, known: &Known) -> Option<Told> {
        let told = Told::default;
        match (self, known) {
            (
                Self::Asked(sign),
                Known::DhcpAsked { network, request, client, architecture, vendor_class, relay, .. },
            ) => {
                let number = architecture.is_some_and(|number| sign.architecture.contains(&number));
                let fits = sign.client.has(client.as_str())
                    && sign.request.has(request.as_str())
                    && (sign.architecture.is_empty() || number)
                    && fits_any(&sign.vendor_class, vendor_class.as_deref())
                    && is(sign.relayed, relay.is_some());
                let mut told = told().with("network", network);
                if let Some(number) = architecture {
                    told = told.with("architecture", number);
                }
                if let Some(class) = vendor_class {
                    told = told.with("vendor-class", class);
                }
                fits.then_some(told)
            }
            (
                Self::Replied(sign),
                Known::DhcpReplied { request, reply, address, boot_file, client, rule, server, .. },
            ) => {
                let boot_file = boot_file.as_deref().filter(|file| !file.is_empty());
                let fits = sign.client.has(client.as_str())
                    && sign.request.has(request.as_str())
                    && sign.reply.has(reply.as_str())
                    && fits_any(&sign.boot_file, boot_file)
                    && is(sign.no_boot_file, boot_file.is_none())
                    && is(sign.address, address.is_some_and(|address| !address.is_unspecified()))
                    && fits(&sign.rule, rule)
                    && whose(sign.by, server.is_some());
                let mut told = told().by(server.as_ref()).with("rule", rule);
                if let Some(file) = boot_file {
                    told = told.with("boot-file", file);
                }
                fits.then_some(told)
            }
            (Self::Ignored(sign), Known::DhcpIgnored { request, rule, .. }) => {
                let fits = sign.request.has(request.as_str()) && fits(&sign.rule, rule);
                fits.then(|| told().by(None::<IpAddr>).with("rule", rule))
            }
            (Self::Unanswered(sign), Known::Unanswered { service, what, server, times, .. }) => {
                let fits = sign.service.has(service.as_str()) && fits(&sign.what, what);
                let mut told = told().with("what", what).with("times", times);
                if let Some(server) = server {
                    told = Told { asked: Some(*server), ..told.with("server", server) };
                }
                fits.then_some(told)
            }
            (Self::Unreachable(sign), Known::Unreachable { protocol, destination, by, why, mtu, .. }) => {
                let fits = (sign.port.is_empty() || sign.port.contains(&destination.port()))
                    && sign.protocol.has(protocol.as_str())
                    && sign.why.has(why.as_str());
                let told = Told { asked: Some(destination.ip()), ..told() };
                let mut told = told.with("destination", destination).with("server", by).with("reason", why);
                if let Some(mtu) = mtu {
                    told = told.with("mtu", mtu);
                }
                fits.then_some(told)
            }
            (
                Self::Tftp(sign),
                Known::TftpServed { path, outcome, bytes, role, rule, server, format, .. },
            ) => {
                let fits = fits(&sign.path, path)
                    && sign.outcome.has(outcome.as_str())
                    && sign.role.has_any(role_of(role.as_ref(), path))
                    && is(sign.empty, *bytes == 0)
                    && sign.format.has_any(format.as_ref().map(|format| format.as_str()))
                    && whose(sign.by, server.is_some());
                fits.then(|| told().by(server.as_ref()).with("path", path).with("rule", rule))
            }
            (
                Self::Http(sign),
                Known::HttpServed {
                    method,
                    path,
                    status,
                    bytes,
                    complete,
                    role,
                    rule,
                    tls,
                    server,
                    format,
                    ..
                },
            ) => {
                let fits = fits(&sign.method, method)
                    && fits(&sign.path, path)
                    && sign.status.as_ref().is_none_or(|wanted| wanted.has(*status))
                    && is(sign.complete, *complete)
                    && sign.role.has_any(role_of(role.as_ref(), path))
                    && is(sign.empty, *bytes == 0)
                    && sign.format.has_any(format.as_ref().map(|format| format.as_str()))
                    && is(sign.tls, tls.is_some())
                    && whose(sign.by, server.is_some());
                let told = told().by(server.as_ref()).with("path", path).with("status", status);
                fits.then(|| told.with("rule", rule))
            }
            (Self::DnsReply(sign), Known::DnsAnswered { name, record, code, answer, server, .. }) => {
                let fits = fits(&sign.name, name)
                    && fits(&sign.record, record)
                    && sign.code.has(code.as_str())
                    && is(sign.empty, answer.is_empty())
                    && whose(sign.by, server.is_some());
                fits.then(|| told().by(server.as_ref()).with("name", name.trim_end_matches('.')))
            }
            (Self::TlsOffered(sign), Known::TlsOffered { server, to_lab, name, version, .. }) => {
                let mut told = Told { other: Some(!to_lab), ..told().with("server", server) };
                if let Some(name) = name {
                    told = told.with("name", name);
                }
                (is(sign.to_lab, *to_lab) && fits(&sign.version, version)).then_some(told)
            }
            (Self::TlsAlert(sign), Known::TlsAlerted { server, by_client, alert }) => {
                let fits = fits(&sign.alert, alert) && is(sign.by_client, *by_client);
                fits.then(|| told().with("server", server).with("alert", alert))
            }
            (Self::HttpsFailed(sign), Known::HttpsFailed { error }) => {
                fits(&sign.error, error).then(|| told().by(None::<IpAddr>).with("reason", error))
            }
            (Self::MatchboxFailed(sign), Known::MatchboxFailed { path, file, reason, .. }) => {
                let fits = fits(&sign.reason, reason) && fits(&sign.path, path);
                let told = told().by(None::<IpAddr>).with("reason", reason).with("path", path);
                fits.then(|| told.with("name", file))
            }
            (Self::Stp(sign), Known::StpSeen { state, .. }) => {
                fits_any(&sign.state, state.as_deref()).then(told)
            }
            (Self::Lacp(sign), Known::LacpSeen { partner, .. }) => {
                is(sign.answered, partner.is_some()).then(told)
            }
            (Self::RouterAdvertised(_), Known::RouterAdvertised { .. })
            | (Self::RouterSolicited(_), Known::RouterSolicited { .. })
            | (Self::Ntp(_), Known::NtpAnswered { .. }) => Some(told()),
            // What the plan gives says nothing about the machine.
            (Self::AddressLearned(_), Known::AddressLearned { from, .. }) => {
                (*from != LearnedFrom::ThisServer).then(told)
            }
            (Self::Syslog(sign), Known::SyslogLine { text, .. }) => {
                fits(&sign.text, text).then(|| told().with("line", text))
            }
            _ => None,
        }
    }
}

impl MachineSign {
    /// Tells whether an event shows it.
    pub(super) fn is_seen(&self, known: &Known) -> bool {
        match (self, known) {
            (Self::Reset { by }, Known::Reset { why }) => by.has(why.as_str()),
            (Self::PoweredOff { by }, Known::PoweredOff { why }) => by.has(why.as_str()),
            (Self::Died { text }, Known::MachineDied { status, stderr }) => {
                fits(text, &format!("{status}\n{}", stderr.join("\n")))
            }
            (
                Self::Stopped { state: states, nospace: full },
                Known::MachineStopped { state, nospace, .. },
            ) => states.has(state.as_str()) && is(*full, *nospace),
            (Self::Panicked {}, Known::GuestPanicked {}) => true,
            (Self::Link { up: wanted }, Known::LinkSet { up, .. }) => is(*wanted, *up),
            _ => false,
        }
    }

    /// Tells whether a machine shows it from its start.
    pub(super) fn is_given(&self, machine: &MachineFacts) -> bool {
        matches!(self, Self::Link { up: Some(false) }) && machine.link_down
    }

    /// Tells whether a machine is made like this; `None` if it says nothing about that.
    pub(super) fn is_made(&self, machine: &MachineFacts, values: &Values) -> Option<bool> {
        let Self::Node { firmware, memory_below, rng, disk_bus, no_disk_bus, diskless, lacks_disk } = self
        else {
            return None;
        };
        let has = |bus: &String| machine.disks.contains(bus);
        // A name that tells nothing about the controller is no evidence.
        let lacks = match lacks_disk {
            Some(name) => {
                let buses = buses(values.get(name)?)?;
                !buses.iter().any(|bus| machine.disks.contains(*bus))
            }
            None => true,
        };
        Some(
            (firmware.is_empty() || firmware.contains(&machine.firmware))
                && memory_below.is_none_or(|limit| machine.memory < limit)
                && is(*rng, machine.rng)
                && (disk_bus.is_empty() || disk_bus.iter().any(has))
                && !no_disk_bus.iter().any(has)
                && is(*diskless, machine.disks.is_empty())
                && lacks,
        )
    }
}
