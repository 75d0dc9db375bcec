//! What was seen of one boot of one machine, held against the catalogue.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use super::catalogue::{CATALOGUE, Entry};
use super::sign::{MachineSign, NetworkSign, Told};
use super::template::{Values, fill};
use super::{Firmware, MachineFacts};
use crate::event::{
    Certainty, Channel, Event, Finding, FindingEvidence, Kind, Known, RunTime, Source, Stage,
};
use crate::name::{Mac, NodeName};

/// How long a line is at least that may go on in the next: the BIOS console of iPXE has 80 columns, and the last one may
/// be a space.
const NARROWEST: usize = 79;

/// How many addresses of a machine, and how much of repeated signs, is kept.
const MOST: usize = 64;
/// More answers than a service gives before the wire shows what it was asked.
const MOST_AHEAD: usize = 8;

/// What is known beside the events.
#[derive(Debug, Clone, Copy)]
pub(super) struct Around<'a> {
    /// The machine; nothing is known of those of a foreign capture.
    pub(super) machine: Option<&'a MachineFacts>,
    /// The addresses of the lab's own services; none outside of a lab.
    pub(super) own: Option<&'a BTreeSet<IpAddr>>,
}

/// The boots of a machine.
#[derive(Debug)]
pub(super) struct Case {
    node: NodeName,
    boot: Boot,
    /// What explained the boot before this one, until this one is explained.
    before: Vec<Finding>,
    /// The addresses that it had.
    addresses: BTreeSet<IpAddr>,
    /// The findings that were reported as sure.
    reported: BTreeSet<&'static str>,
}

/// A boot.
#[derive(Debug, Default)]
struct Boot {
    began: RunTime,
    /// How far it came.
    stage: Option<Stage>,
    /// The last line, if it fills a screen.
    full: Option<String>,
    /// Entries of which something was seen, by their index in the catalogue.
    suspects: BTreeMap<usize, Suspect>,
}

/// An entry of which something was seen.
#[derive(Debug, Default)]
struct Suspect {
    /// How many signs of the network were seen, and those of the next one.
    network: usize,
    next: Repeats,
    /// Answers of the lab's services to what the wire has not shown yet: frames are read a moment later.
    ahead: Vec<Event>,
    /// Which signs of the machine were seen.
    machine: BTreeSet<usize>,
    screen: bool,
    log: bool,
    /// Whether something shows that it is another failure.
    barred: bool,
    /// Whether the server that is to blame is somebody else's.
    other: Option<bool>,
    values: Values,
    evidence: Vec<FindingEvidence>,
}

/// Events that show one sign, of which several are needed.
#[derive(Debug, Default)]
struct Repeats {
    count: usize,
    values: BTreeMap<String, usize>,
    evidence: Vec<FindingEvidence>,
}

impl Repeats {
    /// Adds an event, and tells whether they are enough.
    fn add(&mut self, sign: &NetworkSign, told: &Told, evidence: FindingEvidence) -> bool {
        self.count += 1;
        if self.evidence.len() < MOST {
            self.evidence.push(evidence);
        }
        let value = |name: &Option<String>| {
            let name = name.as_deref()?;
            Some(told.values.get(name).cloned().unwrap_or_default())
        };
        if let Some(value) = value(&sign.different).or_else(|| value(&sign.same))
            && (self.values.len() < MOST || self.values.contains_key(&value))
        {
            *self.values.entry(value).or_default() += 1;
        }
        match (&sign.different, &sign.same) {
            (Some(_), _) => self.values.len() >= sign.times,
            (None, Some(_)) => self.values.values().any(|count| *count >= sign.times),
            (None, None) => self.count >= sign.times,
        }
    }
}

impl Case {
    pub(super) fn new(node: NodeName) -> Self {
        Self {
            node,
            boot: Boot::default(),
            before: Vec::new(),
            addresses: BTreeSet::new(),
            reported: BTreeSet::new(),
        }
    }

    /// Applies an event, and returns the findings that are sure by it.
    pub(super) fn apply(
        &mut self,
        event: &Event,
        known: &Known,
        stage: Stage,
        appeared: &[String],
        around: Around<'_>,
    ) -> Vec<Finding> {
        // Frames are read a moment after they were sent: this one was sent before the machine restarted.
        if event.source == Source::Wire && event.at < self.boot.began {
            return Vec::new();
        }
        match known {
            Known::AddressLearned { address, .. } | Known::DhcpReplied { address: Some(address), .. }
                if self.addresses.len() < MOST =>
            {
                self.addresses.insert(*address);
            }
            _ => {}
        }
        let begins = matches!(known, Known::PoweredOn {} | Known::Reset { .. } | Known::BootSeen {});
        if begins {
            let explained = self.boot.findings(&self.node, around);
            if !explained.is_empty() {
                self.before = explained;
            }
            self.boot.begin(event.at);
        }
        // A machine that ends has come as far as it was.
        if stage != Stage::Off {
            self.boot.stage = self.boot.stage.max(Some(stage));
        }
        let touched = self.boot.apply(event, known, appeared, around.own);
        self.sure(touched, around)
    }

    /// Tells whether a text names an address that the machine had.
    pub(super) fn has_address(&self, text: &str) -> bool {
        let mut words = super::addresses_in(text);
        words.any(|word| word.parse().is_ok_and(|address: IpAddr| self.addresses.contains(&address)))
    }

    /// Applies a line that a server printed.
    pub(super) fn log(&mut self, event: &Event, line: &str, around: Around<'_>) -> Vec<Finding> {
        let mut touched = BTreeSet::new();
        for (index, pattern) in CATALOGUE.log.of(line) {
            let suspect = self.boot.suspects.entry(index).or_default();
            if !suspect.log {
                suspect.log = true;
                suspect.captured(&CATALOGUE.entries[index].log[pattern], line);
                suspect.evidence.push(evidence(event, Channel::Log, line));
                touched.insert(index);
            }
        }
        self.sure(touched, around)
    }

    /// Returns what explains the latest boot that can be explained, the best first.
    pub(super) fn findings(&self, around: Around<'_>) -> Vec<Finding> {
        let findings = self.boot.findings(&self.node, around);
        let is_stuck = self.boot.stage.is_none_or(|stage| stage < Stage::Os);
        match findings.is_empty() && is_stuck {
            true => {
                let reached = |finding: &&Finding| self.boot.stage.is_none_or(|stage| stage <= finding.stage);
                self.before.iter().filter(reached).cloned().collect()
            }
            false => findings,
        }
    }

    fn sure(&mut self, touched: BTreeSet<usize>, around: Around<'_>) -> Vec<Finding> {
        if touched.is_empty() {
            return Vec::new();
        }
        let mut findings = self.boot.findings(&self.node, around);
        findings.retain(|finding| {
            let entry = CATALOGUE.entries.iter().position(|entry| entry.id == finding.id);
            finding.certainty == Certainty::Sure && entry.is_some_and(|entry| touched.contains(&entry))
        });
        let id = |finding: &Finding| CATALOGUE.entries.iter().find(|entry| entry.id == finding.id);
        findings.retain(|finding| id(finding).is_some_and(|entry| self.reported.insert(&entry.id)));
        findings
    }
}

impl Boot {
    /// Begins anew; what is searched in all boots together stays.
    fn begin(&mut self, at: RunTime) {
        self.began = at;
        (self.stage, self.full) = (None, None);
        self.suspects.retain(|index, _| CATALOGUE.entries[*index].across_boots);
    }

    /// Applies an event, and returns the entries of which something new was seen.
    fn apply(
        &mut self,
        event: &Event,
        known: &Known,
        appeared: &[String],
        own: Option<&BTreeSet<IpAddr>>,
    ) -> BTreeSet<usize> {
        let mut touched = BTreeSet::new();
        match known {
            Known::ConsoleLine { text } => self.line(event, text, &mut touched),
            Known::ScreenShown { .. } => {
                for line in appeared {
                    self.line(event, line, &mut touched);
                }
            }
            Known::PoweredOn {} | Known::BootSeen {} => {}
            _ => self.signs(event, known, own, &mut touched),
        }
        touched
    }

    /// Reads a line. One that fills the screen goes on in the next, cut anywhere or at a space.
    fn line(&mut self, event: &Event, line: &str, touched: &mut BTreeSet<usize>) {
        let is_full = line.chars().count() >= NARROWEST;
        let before = std::mem::replace(&mut self.full, is_full.then(|| line.to_owned()));
        self.one_line(event, line, touched);
        if let Some(before) = before {
            self.one_line(event, &format!("{before}{line}"), touched);
            self.one_line(event, &format!("{before} {line}"), touched);
        }
    }

    fn one_line(&mut self, event: &Event, line: &str, touched: &mut BTreeSet<usize>) {
        // Statistics of iPXE count errors that stopped nothing.
        if line.trim_start().starts_with("[TXE:") || line.trim_start().starts_with("[RXE:") {
            return;
        }
        for (index, _) in CATALOGUE.without_screen.of(line) {
            self.suspects.entry(index).or_default().barred = true;
        }
        for (index, pattern) in CATALOGUE.screen.of(line) {
            let entry = &CATALOGUE.entries[index];
            let suspect = self.suspects.entry(index).or_default();
            let is_early = entry.screen_last && suspect.network < entry.network.len();
            if !suspect.screen && !is_early {
                suspect.screen = true;
                suspect.captured(&entry.screen[pattern], line);
                suspect.evidence.push(evidence(event, Channel::Screen, line.trim()));
                touched.insert(index);
            }
        }
    }

    fn signs(
        &mut self,
        event: &Event,
        known: &Known,
        own: Option<&BTreeSet<IpAddr>>,
        touched: &mut BTreeSet<usize>,
    ) {
        for (index, entry) in CATALOGUE.entries.iter().enumerate() {
            if entry.without.iter().any(|sign| sign.is_seen(known)) {
                self.suspects.entry(index).or_default().barred = true;
            }
            if self.step(index, event, known, own) {
                touched.insert(index);
                let ahead = self.suspects.get_mut(&index).map(|suspect| std::mem::take(&mut suspect.ahead));
                for later in ahead.unwrap_or_default() {
                    if let Kind::Known(known) = &later.kind
                        && later.at >= event.at
                    {
                        self.step(index, &later, known, own);
                    }
                }
            } else if event.source == Source::Service {
                let place = self.suspects.get(&index).map_or(0, |suspect| suspect.network);
                let next = entry.network.get(place + 1).filter(|next| next.of(known).is_some());
                if next.is_some() {
                    let ahead = &mut self.suspects.entry(index).or_default().ahead;
                    if ahead.len() == MOST_AHEAD {
                        ahead.remove(0);
                    }
                    ahead.push(event.clone());
                }
            }
            for (place, sign) in entry.machine.iter().enumerate() {
                if sign.is_seen(known) && self.suspects.entry(index).or_default().machine.insert(place) {
                    let shown = evidence(event, Channel::Machine, &known.to_string());
                    self.suspects.entry(index).or_default().evidence.push(shown);
                    touched.insert(index);
                }
            }
        }
    }

    /// Holds an event against the next sign on the network of an entry. Tells whether that sign is complete now.
    fn step(&mut self, index: usize, event: &Event, known: &Known, own: Option<&BTreeSet<IpAddr>>) -> bool {
        let entry = &CATALOGUE.entries[index];
        let place = self.suspects.get(&index).map_or(0, |suspect| suspect.network);
        let Some(sign) = entry.network.get(place) else { return false };
        let Some(told) = sign.of(known) else { return false };
        let suspect = self.suspects.entry(index).or_default();
        let shown = evidence(event, Channel::Network, &known.to_string());
        let is_enough = suspect.next.add(sign, &told, shown);
        suspect.tell(told, own);
        if is_enough {
            let seen = std::mem::take(&mut suspect.next);
            if sign.different.as_deref() == Some("server") {
                let servers: Vec<&str> = seen.values.keys().map(String::as_str).collect();
                suspect.values.insert("servers".to_owned(), servers.join(" and "));
            }
            suspect.evidence.extend(seen.evidence.into_iter().take(3));
            suspect.network += 1;
        }
        is_enough
    }

    /// Returns the findings, the best first.
    fn findings(&self, node: &NodeName, around: Around<'_>) -> Vec<Finding> {
        let machine = around.machine;
        let mut found: Vec<(usize, usize, Finding)> = Vec::new();
        for (index, suspect) in &self.suspects {
            let entry = &CATALOGUE.entries[*index];
            let went_on = self.stage.is_some_and(|stage| stage > entry.stage) && !entry.across_boots;
            if suspect.barred || went_on {
                continue;
            }
            let Some((channels, made)) = suspect.channels(entry, machine) else { continue };
            let signs = suspect.network + suspect.machine.len() + usize::from(suspect.screen);
            let finding = suspect.finding(node, entry, channels, around, made.then_some(self.began));
            found.push((channels, signs, finding));
        }
        let hidden: BTreeSet<&str> = found
            .iter()
            .filter_map(|(.., finding)| super::entry(&finding.id))
            .flat_map(|entry| entry.instead_of.iter().map(String::as_str))
            .collect();
        found.retain(|(.., finding)| !hidden.contains(finding.id.as_str()));
        // Entries are in the order of a boot: of two that are equally sure, the later one is closer to the end.
        found.sort_by_key(|(channels, signs, finding)| {
            std::cmp::Reverse((finding.certainty == Certainty::Sure, *channels, *signs, finding.stage))
        });
        found.into_iter().map(|(.., finding)| finding).collect()
    }
}

impl Suspect {
    /// Takes over what an event tells; what was told first counts.
    fn tell(&mut self, told: Told, own: Option<&BTreeSet<IpAddr>>) {
        let is_other = |address: IpAddr| own.is_none_or(|own| !own.contains(&address));
        self.other = self.other.or(told.other).or(told.asked.map(is_other));
        for (name, value) in told.values {
            self.values.entry(name).or_insert(value);
        }
    }

    /// Takes over the named groups of a regular expression.
    fn captured(&mut self, pattern: &regex::Regex, line: &str) {
        if let Some(captures) = pattern.captures(line) {
            for name in pattern.capture_names().flatten() {
                if let Some(value) = captures.name(name) {
                    self.values.entry(name.to_owned()).or_insert_with(|| value.as_str().to_owned());
                }
            }
        }
        self.values.entry("line".to_owned()).or_insert_with(|| line.trim().to_owned());
    }

    /// Returns in how many channels it was seen, and whether the machine itself is one; nothing if that is not enough.
    fn channels(&self, entry: &Entry, machine: Option<&MachineFacts>) -> Option<(usize, bool)> {
        let made = machine
            .map(|machine| entry.machine.iter().filter_map(|sign| sign.is_made(machine, &self.values)));
        let is_made: Vec<bool> = made.into_iter().flatten().collect();
        let is_other = |machine| entry.without.iter().any(|sign| sign.is_made(machine, &self.values));
        if is_made.contains(&false) || machine.is_some_and(is_other) {
            return None;
        }
        let events = entry.machine.iter().filter(|sign| !matches!(sign, MachineSign::Node { .. })).count();
        let is_given = |sign: &MachineSign| machine.is_some_and(|machine| sign.is_given(machine));
        let is_seen = |(place, sign): (usize, &MachineSign)| self.machine.contains(&place) || is_given(sign);
        let seen_events = entry.machine.iter().enumerate().filter(|sign| is_seen(*sign)).count();
        let network = !entry.network.is_empty() && self.network == entry.network.len();
        let happened = events > 0 && seen_events == events;
        let seen = [network, self.screen, self.log, happened].into_iter().filter(|seen| *seen).count();
        // What a machine is made of shows nothing alone.
        let made = !is_made.is_empty() && events == seen_events && !happened && seen > 0;
        let channels = seen + usize::from(made);
        let is_alone = seen == 1;
        if is_alone && (network && !entry.network_alone || self.screen && !entry.screen_alone) {
            return None;
        }
        (seen > 0 && channels >= entry.needs).then_some((channels, made))
    }

    fn finding(
        &self,
        node: &NodeName,
        entry: &Entry,
        channels: usize,
        around: Around<'_>,
        made: Option<RunTime>,
    ) -> Finding {
        let machine = around.machine;
        let mut values = self.values.clone();
        values.insert("node".to_owned(), shown(node));
        let text = |text: &String| fill(text, &values);
        // Without a lab, every server is somebody else's.
        let fixes = match self.other.unwrap_or(around.own.is_none()) {
            true if !entry.fix.other.is_empty() => &entry.fix.other,
            _ if entry.fix.lab.is_empty() => &entry.fix.other,
            _ => &entry.fix.lab,
        };
        let in_lab = std::ptr::eq(fixes, &entry.fix.lab);
        let place = entry.fix.at.as_ref().filter(|_| in_lab).map(|at| fill(at, &values));
        let place = place.and_then(|path| {
            let place = machine?.place(&path)?;
            Some(format!("{place} ({path})"))
        });
        let mut evidence = self.evidence.clone();
        if let (Some(machine), Some(began)) = (machine, made) {
            evidence.push(FindingEvidence {
                at: began,
                channel: Channel::Machine,
                text: machine.to_string(),
                frame: None,
            });
        }
        evidence.sort_by_key(|evidence| evidence.at);
        Finding {
            id: entry.id.clone(),
            title: fill(&entry.title, &values),
            certainty: if channels > 1 { Certainty::Sure } else { Certainty::Possible },
            stage: entry.stage,
            cause: text(&entry.cause),
            fix: fixes.iter().map(text).collect(),
            place,
            evidence,
            reference: entry.reference.clone(),
        }
    }
}

impl MachineFacts {
    /// Returns where a value of the lab file was written, or the nearest table around it.
    fn place(&self, path: &str) -> Option<&str> {
        let mut path = path;
        loop {
            if let Some(place) = self.places.get(path) {
                return Some(place);
            }
            path = path.rsplit_once('.')?.0;
        }
    }
}

impl std::fmt::Display for MachineFacts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let firmware = match self.firmware {
            Firmware::Bios => "BIOS",
            Firmware::Uefi => "UEFI",
            Firmware::UefiSecure => "UEFI with Secure Boot",
        };
        write!(f, "{firmware}, {} of memory", self.memory)?;
        match self.disks.is_empty() {
            true => f.write_str(", no disk")?,
            false => write!(f, ", disks: {}", self.disks.iter().cloned().collect::<Vec<_>>().join(", "))?,
        }
        if !self.rng {
            f.write_str(", no source of random numbers")?;
        }
        Ok(())
    }
}

/// Returns the name of a machine; one that is named after its hardware address is shown as people write it.
fn shown(node: &NodeName) -> String {
    let mac = node.as_str().replace('-', ":").parse::<Mac>();
    mac.map_or_else(|_| node.to_string(), |mac| mac.to_string())
}

fn evidence(event: &Event, channel: Channel, text: &str) -> FindingEvidence {
    FindingEvidence { at: event.at, channel, text: text.to_owned(), frame: event.frame }
}
