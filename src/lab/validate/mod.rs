//! Checks a lab as written, and reports all errors.
//!
//! Must never stop at the first problem, and must never report consequences of
//! another problem: a reference to an entry that is itself invalid is ignored.

mod action;
mod address;
mod bmc;
mod boot;
mod certificate;
mod dhcp;
mod expect;
mod fault;
mod files;
mod host;
mod ipv6;
mod kubernetes;
mod machine;
mod matchbox;
mod media;
mod names;
mod network;
mod node;
mod on_node;
mod process;
mod publish;
mod qemu;
mod reach;
mod service;
mod share;
mod survives;
mod trigger;
mod zone;

use std::collections::BTreeMap;

use self::survives::Life;
use super::{Capture, Check as Checked, Lab, LabEnvironment, ObservedCheck, Origins};
use crate::config::{Field, Located, RawCapture, RawLab, Text};
use crate::diag::{Code, Diagnostic, Span};
use crate::name::{Bytes, LabName};

/// Checks a lab as a whole. There is a lab if, and only if, no diagnostic is an error.
pub fn validate(raw: &RawLab, around: &LabEnvironment<'_>) -> (Option<Lab>, Vec<Diagnostic>) {
    let mut check = Check { raw, around, lab: LabName::new("lab").ok(), found: Vec::new() };
    let lab = check.lab();
    let lab = lab.filter(|_| !check.found.iter().any(Diagnostic::is_error));
    (lab, check.found)
}

/// The context of every check: the lab as written, the facts about the host, and the diagnostics.
struct Check<'a> {
    raw: &'a RawLab,
    around: &'a LabEnvironment<'a>,
    /// The lab's name, from which MACs and serial numbers are derived.
    lab: Option<LabName>,
    found: Vec<Diagnostic>,
}

impl Check<'_> {
    fn lab(&mut self) -> Option<Lab> {
        let raw = self.raw;
        self.lab = match &raw.name {
            Field::Given(name) => self.name(name),
            Field::Missing | Field::Bad => Some(LabName::of_folder(&self.around.folder)),
        };
        let isolation = raw.isolation.value().copied().unwrap_or_default();
        let accel = raw.accel.value().copied().unwrap_or_default();
        let parallel_boots = self.parallel_boots();
        let capture = self.capture();
        let offset = raw.clock.value().and_then(|clock| clock.offset.value());
        let clock = offset.map_or(0, |offset| offset.0.millis);
        let mut networks = self.networks(isolation);
        let profiles = self.profiles();
        let groups = self.groups(&networks);
        let drafts = self.nodes(&networks);
        self.zones(&networks, &drafts);
        let mut expectations = self.expectations();
        let mut nodes: BTreeMap<_, _> = drafts
            .into_iter()
            .map(|draft| self.finish(draft, &profiles, &expectations))
            .map(|node| (node.name.clone(), node))
            .collect();
        self.memory_of_all(&nodes);
        let mut hosts = self.hosts(&networks, &nodes, &expectations);
        self.reserve_for_hosts(&hosts, &nodes, &mut networks);
        self.bmcs(&mut nodes, &hosts, &networks);
        self.probed_from(&mut networks, &hosts);
        let mut processes = self.processes(&networks, &expectations);
        let mut actions = self.actions(action::Machines { nodes: &nodes, hosts: &hosts }, &expectations);
        let faults = self.faults(action::Machines { nodes: &nodes, hosts: &hosts }, &networks);
        self.survived(&mut Life {
            nodes: &mut nodes,
            hosts: &mut hosts,
            processes: &mut processes,
            expectations: &mut expectations,
            actions: &mut actions,
        });
        self.cycles();
        // The exit of a process cannot be awaited before its start.
        for expectation in expectations.values_mut() {
            if let Checked::Observed(ObservedCheck::Process { process, .. }) = &expectation.check
                && let Some(process) = processes.get(process)
            {
                expectation.after = expectation.after.take().or_else(|| process.after.clone());
            }
        }
        self.probes_reach(&networks, &nodes, &hosts, &expectations);
        self.nics_are_there(&nodes, &hosts, &expectations);
        self.names_are_served(&networks, &expectations);
        self.profiles_are_served(&networks, &nodes, &profiles, &processes);
        self.nobody_leases(&networks, &nodes, &hosts, &processes);
        let publish = self.published(&nodes, &hosts, &networks);
        Some(Lab {
            name: self.lab.clone()?,
            file: self.around.file.clone(),
            folder: self.around.folder.clone(),
            isolation,
            accel,
            parallel_boots,
            capture,
            clock,
            networks,
            profiles,
            groups,
            nodes,
            hosts,
            processes,
            publish,
            expectations,
            actions,
            faults,
            // Set by `resolve`, which has the sources.
            origins: Origins::default(),
        })
    }

    fn parallel_boots(&mut self) -> Option<usize> {
        let given = self.raw.parallel_boots.given()?;
        match usize::try_from(given.value) {
            Ok(number @ 1..=1000) => Some(number),
            _ => {
                let what = format!("{} is not a valid number of parallel boots", given.value);
                self.malformed(
                    &given.span,
                    what,
                    "use 1 to 1000, or remove it to boot all nodes in parallel",
                );
                None
            }
        }
    }

    fn capture(&mut self) -> Option<Capture> {
        const SMALLEST: Bytes = Bytes::mebi(1);
        let raw = self.raw;
        let file = match raw.capture.value() {
            Some(RawCapture::Off) => return None,
            Some(RawCapture::On(file)) => Some(file),
            None => None,
        };
        let size = file.and_then(|file| file.size.given());
        if let Some(Located { value: Text(small), span }) = size.filter(|size| size.value.0 < SMALLEST) {
            let what = format!("{small} is too small for a capture");
            self.malformed(span, what, "use 1MiB or more, or set `capture = \"off\"`");
        }
        Some(Capture {
            size: size.map_or(Bytes::mebi(64), |size| size.value.0),
            payload: file.and_then(|file| file.payload.value().copied()).unwrap_or(false),
        })
    }

    fn report(&mut self, diagnostic: Diagnostic) {
        self.found.push(diagnostic);
    }

    /// Reports an invalid value.
    fn malformed(&mut self, span: &Span, message: String, help: &str) {
        self.report(crate::config::malformed(span.clone(), message).help(help));
    }

    /// Returns a field that has no default, and reports it if it was left out of the table at `home`.
    ///
    /// `example` is the key with a value.
    fn needed<'f, T>(&mut self, field: &'f Field<T>, example: &str, home: &Span) -> Option<&'f Located<T>> {
        if field.is_missing() {
            let key = example.split(' ').next().unwrap_or(example);
            self.report(
                Diagnostic::new(Code::MissingKey, home.clone(), format!("`{key}` is missing here"))
                    .help(format!("it has no default: add {example}")),
            );
        }
        field.given()
    }
}
