//! What a capture of somebody else's network shows: machines with their boots, servers, and what did not come.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use jiff::Timestamp;
use serde::Serialize;

use super::finding::finding;
use super::paragraph::paragraph;
use super::trace::{Line, Tone, nodes};
use crate::diagnose::Diagnosis;
use crate::dialogue::{Dialogue, Divergence};
use crate::event::{DhcpMessage, Event, Finding, Kind, Known, Service, TftpOutcome};
use crate::name::NodeName;
use crate::observe::{NodeTimeline, Timeline, TimelineFold};

/// The version of the format of `dryrack explain-pcap --json`.
pub const EXPLAINED_SCHEMA: u32 = 1;

/// How many events of one machine, and how many machines, are considered, so that memory is constant.
const EVENTS_OF_EACH: usize = 3_000;
const EVENTS: usize = 60_000;
/// How many servers are counted.
const SERVERS: usize = 1_000;
/// How many findings of a machine are shown.
const SHOWN_FINDINGS: usize = 3;

/// What a capture shows.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Explained {
    /// [`EXPLAINED_SCHEMA`] of the writer.
    pub schema: u32,
    /// Version of the program that wrote it.
    pub version: &'static str,
    /// The capture itself.
    pub capture: CaptureSummary,
    /// The machines that used DHCP or fetched something, by hardware address.
    pub machines: BTreeMap<String, Machine>,
    /// The servers that answered.
    pub servers: Vec<Server>,
}

/// A capture in numbers.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct CaptureSummary {
    /// Its name.
    pub file: String,
    /// When the first frame was captured; `None` if there is none, or if it has no time.
    pub started: Option<Timestamp>,
    /// Seconds from the first frame to the last.
    pub seconds: f64,
    /// Its frames.
    pub frames: u64,
    /// Frames of which only the beginning was captured.
    pub cut: u64,
    /// Frames that came twice and count once.
    pub repeated: u64,
    /// Frames of link types that are not read, by number of the type.
    pub skipped: BTreeMap<u32, u64>,
    /// Further events that are not considered.
    pub omitted: u64,
    /// Why it was not read to its end.
    pub error: Option<String>,
}

/// A machine.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Machine {
    /// Its boots.
    #[serde(flatten)]
    pub timeline: NodeTimeline,
    /// The first step of a usual dialogue that did not come, for each boot; for a machine without boots, one.
    pub first_missing: Vec<Option<Divergence>>,
    /// Why its latest boot did not go on, the best explanation first.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub findings: Vec<Finding>,
}

/// A server that answered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Server {
    /// Its address.
    pub address: IpAddr,
    /// What it answered, by protocol.
    pub services: BTreeMap<String, Served>,
}

/// What a server answered by one protocol.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Served {
    /// How often, by kind of answer: `offer`, `file`, `404`, `NXDOMAIN`.
    pub answers: BTreeMap<String, u64>,
    /// The boot files that it named, if it is a DHCP server.
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    pub boot_files: BTreeSet<String>,
}

/// Reads the events of a capture.
#[derive(Debug, Default)]
pub struct Explainer {
    fold: TimelineFold,
    dialogues: BTreeMap<NodeName, Vec<Dialogue>>,
    diagnosis: Diagnosis,
    counts: BTreeMap<NodeName, usize>,
    events: usize,
    omitted: u64,
    servers: BTreeMap<IpAddr, BTreeMap<String, Served>>,
}

impl Explainer {
    /// Reads an event.
    pub fn apply(&mut self, event: &Event) {
        let Kind::Known(known) = &event.kind else { return };
        self.serve(known);
        if matches!(known, Known::RouterAdvertised { .. }) && self.events < EVENTS {
            // It is for all machines.
            self.events += 1;
            self.fold.apply(event);
            let latest = self.dialogues.values_mut().filter_map(|dialogues| dialogues.last_mut());
            latest.for_each(|dialogue| dialogue.apply(event));
        }
        let Some(node) = &event.node else { return };
        let new = !self.counts.contains_key(node);
        let count = self.counts.get(node).copied().unwrap_or(0);
        if self.events >= EVENTS || count >= EVENTS_OF_EACH {
            self.omitted += 1;
            return;
        }
        self.events += 1;
        if new {
            self.counts.insert(node.clone(), 0);
        }
        self.counts.entry(node.clone()).and_modify(|count| *count += 1);
        self.fold.apply(event);
        self.diagnosis.apply(event, self.fold.stage(node), &[]);
        let dialogues = self.dialogues.entry(node.clone()).or_insert_with(|| vec![Dialogue::default()]);
        if matches!(known, Known::BootSeen {}) {
            dialogues.push(Dialogue::default());
        }
        if let Some(dialogue) = dialogues.last_mut() {
            dialogue.apply(event);
        }
    }

    /// Returns what the capture shows, and the timeline of its machines.
    pub fn end(self, capture: CaptureSummary) -> (Explained, Timeline) {
        let mut timeline = self.fold.timeline();
        timeline.nodes.retain(|_, node| is_of_interest(node));
        let mut machines = BTreeMap::new();
        for (name, node) in &timeline.nodes {
            let dialogues = self.dialogues.get(name).map(Vec::as_slice).unwrap_or_default();
            // What came before the first boot is a dialogue of its own only if there is no boot.
            let boots =
                if node.boots.is_empty() { dialogues } else { dialogues.get(1..).unwrap_or_default() };
            let first_missing = boots.iter().map(Dialogue::first_missing).collect();
            // Of a capture of one direction, nothing can be said.
            let is_whole = !boots.last().is_some_and(Dialogue::is_one_direction);
            let findings = if is_whole { self.diagnosis.findings(name) } else { Vec::new() };
            machines.insert(shown(name), Machine { timeline: node.clone(), first_missing, findings });
        }
        let servers = self.servers.into_iter().map(|(address, services)| Server { address, services });
        let explained = Explained {
            schema: EXPLAINED_SCHEMA,
            version: env!("CARGO_PKG_VERSION"),
            capture: CaptureSummary { omitted: self.omitted, ..capture },
            machines,
            servers: servers.collect(),
        };
        (explained, timeline)
    }

    /// Counts the answer of a server.
    fn serve(&mut self, known: &Known) {
        let (server, service, answer, file) = match known {
            Known::DhcpReplied { server: Some(server), reply, boot_file, request, .. } => {
                let service = if is_dhcp6(request, reply, *server) { Service::Dhcpv6 } else { Service::Dhcp };
                (*server, service, reply.as_str().to_owned(), boot_file.clone())
            }
            Known::TftpServed { server: Some(server), outcome, .. } => {
                let answer = match outcome {
                    TftpOutcome::Sent => "file",
                    other => other.as_str(),
                };
                (*server, Service::Tftp, answer.to_owned(), None)
            }
            Known::HttpServed { server: Some(server), status, .. } => {
                (server.ip(), Service::Http, status.to_string(), None)
            }
            Known::DnsAnswered { server: Some(server), code, .. } => {
                (*server, Service::Dns, code.as_str().to_owned(), None)
            }
            Known::RouterAdvertised { router: Some(router), .. } => {
                (router.address.into(), Service::Ra, "advertisement".to_owned(), None)
            }
            _ => return,
        };
        if self.servers.len() >= SERVERS && !self.servers.contains_key(&server) {
            return;
        }
        let services = self.servers.entry(server).or_default();
        let served = services.entry(service.as_str().to_owned()).or_default();
        if served.answers.len() < 32 || served.answers.contains_key(&answer) {
            *served.answers.entry(answer).or_default() += 1;
        }
        if served.boot_files.len() < 32 {
            served.boot_files.extend(file.filter(|file| !file.is_empty()));
        }
    }
}

fn is_dhcp6(request: &DhcpMessage, reply: &DhcpMessage, server: IpAddr) -> bool {
    let only6 = |message: &DhcpMessage| {
        matches!(
            message,
            DhcpMessage::Solicit | DhcpMessage::Advertise | DhcpMessage::Reply | DhcpMessage::Confirm
        )
    };
    server.is_ipv6() || only6(request) || only6(reply)
}

/// Tells whether a machine booted or asked for something; stations that only use the network are not shown.
fn is_of_interest(node: &NodeTimeline) -> bool {
    !node.boots.is_empty()
        || node.before.exchanges.iter().any(|exchange| {
            matches!(
                exchange.service,
                Service::Dhcp | Service::Dhcpv6 | Service::Tftp | Service::Http | Service::Https
            )
        })
}

/// Returns the name of a machine as people write hardware addresses.
fn shown(name: &NodeName) -> String {
    name.as_str().replace('-', ":")
}

impl Explained {
    /// Returns what it shows as text in a number of columns.
    pub fn lines(&self, timeline: &Timeline, width: usize) -> Vec<Line> {
        let mut page = Page { lines: Vec::new(), width };
        page.heading(&self.capture.heading());
        for (name, node) in &timeline.nodes {
            let shown = shown(name);
            page.lines.extend(nodes([(shown.as_str(), node)], timeline.end(), width));
            if let Some(machine) = self.machines.get(&shown) {
                page.missing(&machine.first_missing, self.capture.error.is_some());
                page.findings(&machine.findings);
            }
        }
        if self.machines.is_empty() {
            page.blank();
            page.say(
                Tone::Plain,
                "no machine that asks for an address or fetches anything is seen in this capture",
            );
        }
        page.servers(&self.servers);
        page.notes(&self.capture);
        page.lines
    }
}

impl CaptureSummary {
    fn heading(&self) -> String {
        let Self { file, started, seconds, frames, .. } = self;
        let frames = format!("{frames} frame{}", if *frames == 1 { "" } else { "s" });
        match started {
            Some(started) => {
                let started = started.strftime("%Y-%m-%d %H:%M:%S UTC");
                format!("{file}: {frames} in {seconds:.1} s, from {started}")
            }
            None => format!("{file}: {frames}"),
        }
    }
}

struct Page {
    lines: Vec<Line>,
    width: usize,
}

impl Page {
    fn say(&mut self, tone: Tone, text: &str) {
        let tame: String = text.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect();
        self.lines.push(Line { tone, text: paragraph("", "  ", &tame, self.width) });
    }

    fn heading(&mut self, text: &str) {
        self.say(Tone::Heading, text);
    }

    fn blank(&mut self) {
        self.lines.push(Line { tone: Tone::Plain, text: "\n".to_owned() });
    }

    /// Says for each boot what did not come.
    fn missing(&mut self, missing: &[Option<Divergence>], broken: bool) {
        for (index, divergence) in missing.iter().enumerate() {
            let Some(Divergence { after, dialogue, missing: what }) = divergence else { continue };
            let boot = if missing.len() > 1 { format!(" of boot {}", index + 1) } else { String::new() };
            // What is behind the end of a broken capture may have come.
            let so_far = if broken { " in what could be read" } else { "" };
            self.say(
                Tone::Trouble,
                &format!("first missing{boot}{so_far} ({dialogue}, after {after}): {what}"),
            );
        }
    }

    fn findings(&mut self, findings: &[Finding]) {
        for found in findings.iter().take(SHOWN_FINDINGS) {
            self.lines.push(Line { tone: Tone::Trouble, text: finding(found, self.width) });
        }
    }

    fn servers(&mut self, servers: &[Server]) {
        if servers.is_empty() {
            return;
        }
        self.blank();
        self.heading("servers");
        let addresses = servers.iter().map(|server| server.address.to_string().len());
        let wide = addresses.max().unwrap_or(0);
        for Server { address, services } in servers {
            let services: Vec<String> =
                services.iter().map(|(service, served)| served.text(service)).collect();
            let text = format!("  {:<wide$}  {}", address.to_string(), services.join("; "));
            self.say(Tone::Plain, &text);
        }
    }

    fn notes(&mut self, capture: &CaptureSummary) {
        let mut notes = Vec::new();
        let CaptureSummary { cut, repeated, skipped, omitted, frames, .. } = capture;
        if *cut > 0 {
            let are = if *cut == 1 { "is" } else { "are" };
            notes
                .push(format!("{cut} of {frames} frames {are} cut off; what is behind the cut is not known"));
        }
        if *repeated > 0 {
            let (repeat, does) = if *repeated == 1 { ("repeats", "does") } else { ("repeat", "do") };
            notes.push(format!(
                "{repeated} of {frames} frames {repeat} one just before, and {does} not count"
            ));
        }
        notes.extend(
            skipped.iter().map(|(link, count)| format!("{count} frames of link type {link} are not read")),
        );
        if *omitted > 0 {
            notes.push(format!(
                "{omitted} further events are not shown; cut the capture by `editcap -A` and `-B`"
            ));
        }
        if !notes.is_empty() {
            self.blank();
        }
        notes.iter().for_each(|note| self.say(Tone::Plain, &format!("note: {note}")));
    }
}

impl Served {
    fn text(&self, service: &str) -> String {
        let answers: Vec<String> =
            self.answers.iter().map(|(answer, count)| format!("{count} × {answer}")).collect();
        let files: Vec<String> = self.boot_files.iter().map(|file| format!("`{file}`")).collect();
        let service = match service {
            "dhcpv6" => "DHCPv6".to_owned(),
            other => other.to_ascii_uppercase(),
        };
        match files.is_empty() {
            true => format!("{service} ({})", answers.join(", ")),
            false => format!("{service} ({}, boot file {})", answers.join(", "), files.join(", ")),
        }
    }
}
