//! Why a boot stopped: findings, from a catalogue of failures.
//!
//! A fold over events. It sees what anybody sees at a machine and on its network; what the lab does on purpose and what
//! it expects is no input of it.

mod case;
mod catalogue;
mod codes;
mod sign;
mod template;

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

pub use self::catalogue::{Entry, entries, entry};
pub use self::codes::{Meaning, PrintedCode, decode};

pub use self::template::plain;

use self::case::{Around, Case};
use crate::event::{Certainty, Event, Finding, Kind, Known, Stage};
use crate::name::{Bytes, Mac, NodeName};

/// What a machine is made of, as far as failures depend on it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MachineFacts {
    /// Its firmware.
    pub firmware: Firmware,
    /// Its memory.
    pub memory: Bytes,
    /// Whether it has a source of random numbers.
    pub rng: bool,
    /// The buses of its disks, as the lab file names them.
    pub disks: BTreeSet<String>,
    /// Whether a link of it is down from the start.
    pub link_down: bool,
    /// The hardware addresses of its NICs.
    pub macs: Vec<Mac>,
    /// Where values of the lab file were written, by path: `node.a.memory`.
    pub places: BTreeMap<String, String>,
}

/// The firmware of a machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Firmware {
    /// BIOS.
    Bios,
    /// UEFI.
    Uefi,
    /// UEFI with Secure Boot.
    UefiSecure,
}

/// Folds the events of machines into findings.
#[derive(Debug, Default)]
pub struct Diagnosis {
    machines: BTreeMap<NodeName, MachineFacts>,
    /// The addresses of the lab's own services; `None` outside of a lab.
    own: Option<BTreeSet<IpAddr>>,
    cases: BTreeMap<NodeName, Case>,
}

impl Diagnosis {
    /// Starts with what is known of a lab: its machines, and the addresses of its own services. The default is for captures
    /// of other networks.
    pub fn new(machines: BTreeMap<NodeName, MachineFacts>, own: BTreeSet<IpAddr>) -> Self {
        Self { machines, own: Some(own), cases: BTreeMap::new() }
    }

    fn around(&self, node: &NodeName) -> Around<'_> {
        Around { machine: self.machines.get(node), own: self.own.as_ref() }
    }

    /// Applies an event, after which its node is at a stage and new lines are on its screen; returns the findings that
    /// are sure by it, each once.
    pub fn apply(&mut self, event: &Event, stage: Stage, appeared: &[String]) -> Vec<(NodeName, Finding)> {
        let Kind::Known(known) = &event.kind else { return Vec::new() };
        if let Known::ProcessPrinted { text, .. } = known {
            return self.printed(event, text);
        }
        let Some(node) = &event.node else { return Vec::new() };
        let around = Around { machine: self.machines.get(node), own: self.own.as_ref() };
        let case = self.cases.entry(node.clone()).or_insert_with(|| Case::new(node.clone()));
        let found = case.apply(event, known, stage, appeared, around);
        found.into_iter().map(|finding| (node.clone(), finding)).collect()
    }

    /// Applies a line of a server, which concerns the machine that it names; one that names none may concern all.
    fn printed(&mut self, event: &Event, line: &str) -> Vec<(NodeName, Finding)> {
        let named = line.to_ascii_lowercase();
        let is_of_all = !addresses_in(&named).any(|_| true);
        let (machines, own) = (&self.machines, self.own.as_ref());
        let concerned = self.cases.iter_mut().filter(|(node, case)| {
            let macs = machines.get(node).map(|machine| &machine.macs[..]).unwrap_or_default();
            is_of_all || macs.iter().any(|mac| named.contains(&mac.to_string())) || case.has_address(&named)
        });
        let found = concerned.flat_map(|(node, case)| {
            let found = case.log(event, line, Around { machine: machines.get(node), own });
            found.into_iter().map(|finding| (node.clone(), finding))
        });
        found.collect()
    }

    /// Returns what explains why a node did not come further, the best first; sure ones hide those that are only
    /// possible.
    pub fn findings(&self, node: &NodeName) -> Vec<Finding> {
        let findings = self.cases.get(node).map(|case| case.findings(self.around(node))).unwrap_or_default();
        match findings.iter().any(|finding| finding.certainty == Certainty::Sure) {
            true => findings.into_iter().filter(|finding| finding.certainty == Certainty::Sure).collect(),
            false => findings,
        }
    }
}

/// Returns the words of a text that are addresses of IP or hardware.
fn addresses_in(text: &str) -> impl Iterator<Item = &str> {
    let words = text.split(|c: char| !(c.is_ascii_hexdigit() || c == '.' || c == ':'));
    words.filter(|word| word.parse::<IpAddr>().is_ok() || word.parse::<Mac>().is_ok())
}

#[cfg(test)]
mod tests;
