//! The catalogue of failures: one TOML file for each part of a boot.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use regex::{Regex, RegexSet};
use serde::{Deserialize, Deserializer, de};

use super::sign::{MachineSign, NetworkSign, Sign};
use crate::event::Stage;

/// The files, in the order of a boot.
const FILES: &[(&str, &str)] = &[
    ("link", include_str!("catalogue/link.toml")),
    ("dhcp", include_str!("catalogue/dhcp.toml")),
    ("tftp", include_str!("catalogue/tftp.toml")),
    ("secure-boot", include_str!("catalogue/secure-boot.toml")),
    ("http", include_str!("catalogue/http.toml")),
    ("ipxe", include_str!("catalogue/ipxe.toml")),
    ("loader", include_str!("catalogue/loader.toml")),
    ("kernel", include_str!("catalogue/kernel.toml")),
    ("provisioning", include_str!("catalogue/provisioning.toml")),
    ("after-install", include_str!("catalogue/after-install.toml")),
];

/// A failure that the catalogue knows.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Entry {
    /// Its name.
    #[serde(skip)]
    pub id: String,
    /// What is wrong, in a few words.
    pub title: String,
    /// How far a machine comes that has this failure.
    pub stage: Stage,
    /// The programs that show it.
    #[serde(default)]
    pub family: Vec<String>,
    /// What is wrong, in sentences, with placeholders.
    pub cause: String,
    /// What would help.
    pub fix: Fix,
    /// What is asked and answered on the network, in this order.
    #[serde(default)]
    pub(super) network: Vec<NetworkSign>,
    /// Lines of the serial console or the screen; one of them.
    #[serde(default, deserialize_with = "patterns")]
    pub(super) screen: Vec<Regex>,
    /// What happens to the machine, and what it is made of; all of it.
    #[serde(default)]
    pub(super) machine: Vec<MachineSign>,
    /// Lines that a server prints; one of them.
    #[serde(default, deserialize_with = "patterns")]
    pub(super) log: Vec<Regex>,
    /// What shows that it is another failure.
    #[serde(default)]
    pub(super) without: Vec<Sign>,
    /// Lines that show the same.
    #[serde(default, deserialize_with = "patterns")]
    pub(super) without_screen: Vec<Regex>,
    /// How many channels are needed to make it possible.
    #[serde(default = "one")]
    pub(super) needs: usize,
    /// Whether what is seen on the network shows it alone: if not, it only supports what is seen elsewhere.
    #[serde(default = "yes")]
    pub(super) network_alone: bool,
    /// Whether what is on the screen shows it alone.
    #[serde(default = "yes")]
    pub(super) screen_alone: bool,
    /// Whether a line counts only after all that is seen on the network.
    #[serde(default)]
    pub(super) screen_last: bool,
    /// Whether its signs are searched in all boots of a machine together.
    #[serde(default)]
    pub(super) across_boots: bool,
    /// More general failures, which are not reported beside it.
    #[serde(default)]
    pub(super) instead_of: Vec<String>,
    /// Standards and sources.
    #[serde(default)]
    pub reference: Vec<String>,
    /// The fault that reproduces it.
    #[serde(default)]
    pub fault: Option<String>,
}

/// What helps against a failure.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Fix {
    /// In the lab file.
    #[serde(default)]
    pub lab: Vec<String>,
    /// The key of the lab file that it concerns.
    #[serde(default)]
    pub at: Option<String>,
    /// At a server that is not the lab's.
    #[serde(default)]
    pub other: Vec<String>,
}

fn one() -> usize {
    1
}

fn yes() -> bool {
    true
}

/// Reads regular expressions.
fn patterns<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<Regex>, D::Error> {
    let texts = Vec::<String>::deserialize(from)?;
    texts.iter().map(|text| Regex::new(text).map_err(de::Error::custom)).collect()
}

/// The catalogue, ready to be searched.
#[derive(Debug)]
pub(super) struct Catalogue {
    pub(super) entries: Vec<Entry>,
    pub(super) screen: Lines,
    pub(super) log: Lines,
    pub(super) without_screen: Lines,
}

/// The regular expressions of all entries about one kind of lines, searched together.
#[derive(Debug)]
pub(super) struct Lines {
    set: RegexSet,
    /// The entry of each, and its place there.
    of: Vec<(usize, usize)>,
}

impl Lines {
    fn new(entries: &[Entry], patterns: impl Fn(&Entry) -> &[Regex]) -> Self {
        let of: Vec<(usize, usize)> = entries
            .iter()
            .enumerate()
            .flat_map(|(index, entry)| (0..patterns(entry).len()).map(move |place| (index, place)))
            .collect();
        let texts = of.iter().map(|(index, place)| patterns(&entries[*index])[*place].as_str());
        Self { set: RegexSet::new(texts).expect("each compiles alone"), of }
    }

    /// Returns the entries that know a line, with the place of the regular expression.
    pub(super) fn of(&self, line: &str) -> impl Iterator<Item = (usize, usize)> {
        self.set.matches(line).into_iter().map(|index| self.of[index])
    }
}

pub(super) static CATALOGUE: LazyLock<Catalogue> = LazyLock::new(|| {
    let read = |(file, text): &(&str, &str)| -> Vec<Entry> {
        let table: toml::Table = toml::from_str(text).unwrap_or_else(|error| panic!("{file}.toml: {error}"));
        let entry = |(id, value): (String, toml::Value)| {
            let entry: Entry = value.try_into().unwrap_or_else(|error| panic!("{file}.toml: {id}: {error}"));
            Entry { id, ..entry }
        };
        table.into_iter().map(entry).collect()
    };
    let entries: Vec<Entry> = FILES.iter().flat_map(read).collect();
    let screen = Lines::new(&entries, |entry| &entry.screen);
    let log = Lines::new(&entries, |entry| &entry.log);
    let without_screen = Lines::new(&entries, |entry| &entry.without_screen);
    Catalogue { entries, screen, log, without_screen }
});

static BY_ID: LazyLock<BTreeMap<&str, &Entry>> =
    LazyLock::new(|| CATALOGUE.entries.iter().map(|entry| (entry.id.as_str(), entry)).collect());

/// Returns all failures that are known, in the order of a boot.
pub fn entries() -> &'static [Entry] {
    &CATALOGUE.entries
}

/// Returns a failure by its name.
pub fn entry(id: &str) -> Option<&'static Entry> {
    BY_ID.get(id).copied()
}

impl Entry {
    /// Tells whether a line of a console or screen is a sign of it.
    pub fn knows_line(&self, line: &str) -> bool {
        self.screen.iter().chain(&self.log).any(|pattern| pattern.is_match(line))
    }

    /// The number of channels in which it can be seen.
    #[cfg(test)]
    pub(super) fn channels(&self) -> usize {
        [self.network.is_empty(), self.screen.is_empty(), self.machine.is_empty(), self.log.is_empty()]
            .into_iter()
            .filter(|is_empty| !is_empty)
            .count()
    }
}
