//! Commands that run in the lab's network namespace.

use std::collections::BTreeMap;

use super::Check;
use crate::config::{Field, RawProcess};
use crate::diag::{Code, Diagnostic, Span};
use crate::lab::{Check as Checked, Expectation, Network, ObservedCheck, Process};
use crate::name::{ExpectName, NetworkName, ProcessName};

/// More than a hand-written file needs.
const MOST_PROCESSES: usize = 100;

impl Check<'_> {
    /// Checks the processes of the lab.
    pub(super) fn processes(
        &mut self,
        networks: &BTreeMap<NetworkName, Network>,
        expectations: &BTreeMap<ExpectName, Expectation>,
    ) -> BTreeMap<ProcessName, Process> {
        let raw = self.raw;
        let mut processes = BTreeMap::new();
        if self.too_many("the lab", &raw.process, MOST_PROCESSES, "processes") {
            return processes;
        }
        for (key, process) in &raw.process.entries {
            let name = self.name::<ProcessName>(key);
            let Some(process) = process else { continue };
            if let Some(process) = self.process(name, process, &key.span, networks, expectations) {
                processes.insert(process.name.clone(), process);
            }
        }
        processes
    }

    fn process(
        &mut self,
        name: Option<ProcessName>,
        raw: &RawProcess,
        home: &Span,
        networks: &BTreeMap<NetworkName, Network>,
        expectations: &BTreeMap<ExpectName, Expectation>,
    ) -> Option<Process> {
        let run = self.needed(&raw.run, "run = \"terraform apply -auto-approve\"", home);
        let run = run.filter(|run| {
            let empty = run.value.trim().is_empty() || run.value.contains('\0');
            if empty {
                self.malformed(&run.span, "the command is empty".into(), "set a shell command");
            }
            !empty
        });
        let network = match &raw.network {
            Field::Given(word) => Some(self.network_named(&word.value, &word.span)?),
            Field::Missing => networks.keys().next().filter(|_| networks.len() == 1).cloned(),
            Field::Bad => None,
        };
        let name = name?;
        let after = match raw.after.given() {
            Some(word) => Some(self.process_after(&name, &word.value, &word.span, expectations)?),
            None => None,
        };
        Some(Process { name, run: run?.value.clone(), network, after })
    }

    /// Resolves the expectation that a process waits for, unless that one waits for the process.
    fn process_after(
        &mut self,
        process: &ProcessName,
        word: &str,
        span: &Span,
        expectations: &BTreeMap<ExpectName, Expectation>,
    ) -> Option<ExpectName> {
        let name = self.expect_named(word, span)?;
        let mut at = expectations.get(&name);
        // Cycles of expectations are reported elsewhere; the loop must only terminate.
        for _ in 0..expectations.len() {
            let Some(expectation) = at else { break };
            if matches!(&expectation.check, Checked::Observed(ObservedCheck::Process { process: other, .. }) if other == process)
            {
                let what = format!("`{process}` is started after `{name}`, which waits for it to exit");
                let diagnostic = Diagnostic::new(Code::AfterCycle, span.clone(), what);
                self.report(diagnostic.help("use another expectation"));
                return None;
            }
            at = expectation.after.as_ref().and_then(|name| expectations.get(name));
        }
        Some(name)
    }
}
