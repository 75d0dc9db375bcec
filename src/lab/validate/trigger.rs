//! What comes after what: expectations, actions, processes and nodes.

use std::collections::{BTreeMap, BTreeSet};

use super::{Check, Span};
use crate::config::{Field, Located, RawCheck, Short};
use crate::diag::{Code, Diagnostic};
use crate::lab::{Check as Checked, Expectation, ObservedCheck};
use crate::name::{ExpectName, NodeName, ProcessName, Trigger};

/// More of a kind than any lab has.
const MOST: usize = 1000;

impl Check<'_> {
    /// Resolves what something comes after.
    pub(super) fn after(&mut self, word: &Located<String>) -> Option<Trigger> {
        let Located { value, span } = word;
        match value.split_once('.') {
            Some(("action", name)) => self.action_named(name, span).map(Trigger::Action),
            Some(("process", name)) => self.after_process(name, span).map(Trigger::Process),
            Some(("expect", name)) => self.after_expect(name, span).map(Trigger::Expect),
            Some(_) | None => self.after_expect(value, span).map(Trigger::Expect),
        }
    }

    fn after_expect(&mut self, name: &str, span: &Span) -> Option<ExpectName> {
        let raw = self.raw;
        let found = self.expect_named(name, span)?;
        if let Some((_, Some(target))) = raw.expect.get(name)
            && let Field::Given(never) = &target.never
            && target.that.is_missing()
        {
            self.report(
                Diagnostic::new(
                    Code::AfterNever,
                    span.clone(),
                    format!("`{name}` has `never`, so nothing can come after it"),
                )
                .related(never.span.clone(), "it has `never`")
                .help("use an expectation with `that`"),
            );
        }
        Some(found)
    }

    fn after_process(&mut self, name: &str, span: &Span) -> Option<ProcessName> {
        let raw = self.raw;
        let found = self.process_named(name, span)?;
        if let Some((key, Some(target))) = raw.process.get(name)
            && target.ready.is_missing()
        {
            let what = format!("nothing shows that process `{name}` is ready, so nothing can come after it");
            self.report(
                Diagnostic::new(Code::NeverReady, span.clone(), what)
                    .related(key.span.clone(), "it has no `ready`")
                    .help("add `ready` to the process, or wait for an expectation with `that.process` to its end"),
            );
        }
        Some(found)
    }

    /// Returns what a node is powered on after, or reports that it needs the node itself.
    pub(super) fn starts_after(
        &mut self,
        node: &NodeName,
        word: &Located<String>,
        expectations: &BTreeMap<ExpectName, Expectation>,
    ) -> Option<Trigger> {
        let trigger = self.after(word)?;
        let waits = |at: &Trigger| match at {
            Trigger::Expect(name) => expectations.get(name).is_some_and(|it| it.nodes.contains(node)),
            Trigger::Action(_) | Trigger::Process(_) => false,
        };
        if self.chain(&trigger).any(|at| waits(&at)) {
            let what = format!("`{node}` is powered on after `{trigger}`, which waits for `{node}`");
            self.report(
                Diagnostic::new(Code::AfterCycle, word.span.clone(), what)
                    .help("use an expectation of other nodes, or remove this node from its `nodes`"),
            );
            return None;
        }
        Some(trigger)
    }

    /// Resolves what a process waits for, unless that waits for the end of the process.
    pub(super) fn process_after(
        &mut self,
        process: &ProcessName,
        word: &Located<String>,
        expectations: &BTreeMap<ExpectName, Expectation>,
    ) -> Option<Trigger> {
        let trigger = self.after(word)?;
        let waits = |at: &Trigger| {
            let Trigger::Expect(name) = at else { return false };
            let check = expectations.get(name).map(|expectation| &expectation.check);
            matches!(check, Some(Checked::Observed(ObservedCheck::Process { process: other, .. })) if other == process)
        };
        if self.chain(&trigger).any(|at| waits(&at)) {
            let what = format!("`{process}` is started after `{trigger}`, which waits for it to exit");
            let diagnostic = Diagnostic::new(Code::AfterCycle, word.span.clone(), what);
            self.report(diagnostic.help("use another expectation"));
            return None;
        }
        Some(trigger)
    }

    /// Returns a trigger and everything before it. Cycles are reported elsewhere; this only ends.
    fn chain(&self, trigger: &Trigger) -> impl Iterator<Item = Trigger> {
        let most =
            self.raw.expect.entries.len() + self.raw.action.entries.len() + self.raw.process.entries.len();
        std::iter::successors(Some(trigger.clone()), |at| self.before(at).map(|(_, before)| before))
            .take(most)
    }

    /// Returns what a trigger itself comes after, with its place.
    fn before(&self, trigger: &Trigger) -> Option<(Span, Trigger)> {
        let raw = self.raw;
        let after_of_process = |name: &str| raw.process.get(name)?.1.as_ref()?.after.given();
        let word = match trigger {
            Trigger::Expect(name) => {
                let expect = raw.expect.get(name.as_str())?.1.as_ref()?;
                match (expect.after.given(), expect.that.value()) {
                    (Some(after), _) => after,
                    // The exit of a process cannot be awaited before its start.
                    (None, Some(RawCheck::Process(Short(ended)))) => after_of_process(ended.name.value()?)?,
                    (None, _) => return None,
                }
            }
            Trigger::Action(name) => raw.action.get(name.as_str())?.1.as_ref()?.after.given()?,
            Trigger::Process(name) => after_of_process(name.as_str())?,
        };
        Some((word.span.clone(), word.value.parse().ok()?))
    }

    /// Reports what waits for each other, once for each cycle.
    pub(super) fn cycles(&mut self) {
        let raw = self.raw;
        // More than a lab can have is reported elsewhere.
        if raw.expect.entries.len() > MOST
            || raw.action.entries.len() > MOST
            || raw.process.entries.len() > MOST
        {
            return;
        }
        let expectations = raw.expect.names().filter_map(|name| name.parse().ok().map(Trigger::Expect));
        let actions = raw.action.names().filter_map(|name| name.parse().ok().map(Trigger::Action));
        let processes = raw.process.names().filter_map(|name| name.parse().ok().map(Trigger::Process));
        let given = |trigger: Trigger| {
            let is_given = match &trigger {
                // What it inherits from a process is reported at the process.
                Trigger::Expect(name) => raw.expect.get(name.as_str())?.1.as_ref()?.after.given().is_some(),
                Trigger::Action(_) | Trigger::Process(_) => true,
            };
            let before = self.before(&trigger).filter(|_| is_given)?;
            Some((trigger, before))
        };
        let after: BTreeMap<Trigger, (Span, Trigger)> =
            expectations.chain(actions).chain(processes).filter_map(given).collect();
        // Each has at most one predecessor: walk back until there is none, or the walk meets itself.
        let mut done: BTreeSet<&Trigger> = BTreeSet::new();
        let mut circles = Vec::new();
        for start in after.keys() {
            let mut way: Vec<&Trigger> = Vec::new();
            let mut at = start;
            while let Some((_, next)) = after.get(at) {
                if done.contains(at) {
                    break;
                }
                if let Some(from) = way.iter().position(|name| *name == at) {
                    circles.push(way[from..].to_vec());
                    break;
                }
                way.push(at);
                at = next;
            }
            done.extend(way);
        }
        for circle in circles {
            let positions: Vec<_> = circle.iter().map(|name| after[*name].0.clone()).collect();
            let what = match circle.as_slice() {
                [one] => format!("`{one}` waits for itself"),
                [first, rest @ ..] => {
                    let rest: Vec<_> = rest.iter().chain([first]).map(|name| format!("`{name}`")).collect();
                    format!("`{first}` waits for {}", rest.join(", which waits for "))
                }
                [] => continue,
            };
            let mut diagnostic =
                Diagnostic::new(Code::AfterCycle, positions[0].clone(), what).help("remove one `after`");
            for (position, name) in positions.into_iter().zip(&circle).skip(1) {
                diagnostic = diagnostic.related(position, format!("`{name}` waits"));
            }
            self.report(diagnostic);
        }
    }
}
