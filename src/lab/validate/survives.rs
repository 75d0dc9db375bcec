//! `survives`: an expectation that must be true again without each of its nodes, and then with it again.

use std::collections::BTreeMap;
use std::time::Duration;

use super::{Check, Span};
use crate::config::{Located, RawSurvives};
use crate::lab::{
    Action, Check as Checked, Chosen, Deed, Expectation, Host, Node, Polarity, PowerAction, ProbedCheck,
    Process, Start,
};
use crate::name::{ActionName, ExpectName, NodeName, ProcessName, Trigger};

/// The nodes of the expectation.
const EACH: &str = "each";

/// What comes one after the other in a lab.
pub(super) struct Life<'a> {
    pub nodes: &'a mut BTreeMap<NodeName, Node>,
    pub hosts: &'a mut BTreeMap<NodeName, Host>,
    pub processes: &'a mut BTreeMap<ProcessName, Process>,
    pub expectations: &'a mut BTreeMap<ExpectName, Expectation>,
    pub actions: &'a mut BTreeMap<ActionName, Action>,
}

impl Life<'_> {
    /// Lets what comes after an expectation come after another trigger.
    fn postpone(&mut self, expectation: &ExpectName, to: &Trigger) {
        let is_it = |after: &&mut Trigger| matches!(after, Trigger::Expect(name) if name == expectation);
        let starts = self.nodes.values_mut().map(|node| &mut node.start);
        let starts = starts.chain(self.hosts.values_mut().map(|host| &mut host.start));
        let starts = starts.filter_map(|start| match start {
            Start::After(after) => Some(after),
            Start::WithLab | Start::Manual => None,
        });
        let processes = self.processes.values_mut().filter_map(|process| process.after.as_mut());
        let expectations = self.expectations.values_mut().filter_map(|expect| expect.after.as_mut());
        let actions = self.actions.values_mut().filter_map(|action| action.after.as_mut());
        for after in starts.chain(processes).chain(expectations).chain(actions).filter(is_it) {
            *after = to.clone();
        }
    }
}

/// The actions and expectations of losses and returns.
#[derive(Default)]
struct Losses {
    expectations: BTreeMap<ExpectName, Expectation>,
    actions: BTreeMap<ActionName, Action>,
}

impl Check<'_> {
    /// Adds the actions and expectations for which `survives` is short: node after node loses its power, what is left
    /// meets the expectation, the node comes back, and all meet it. What comes after the expectation waits for all of
    /// that: it would meet a lab with a node less.
    pub(super) fn survived(&mut self, life: &mut Life<'_>) {
        for (key, raw) in &self.raw.expect.entries {
            let Some(Located { value: survives, span }) = raw.as_ref().and_then(|raw| raw.survives.given())
            else {
                continue;
            };
            let name = key.value.parse::<ExpectName>().ok();
            // One that is wrong has been reported.
            let Some(of) = name.and_then(|name| life.expectations.get(&name).cloned()) else { continue };
            let Some(lost) = self.lost(survives, span, &of, life.nodes) else { continue };
            let mut losses = Losses::default();
            let last = lost.iter().try_fold(Trigger::Expect(of.name.clone()), |after, node| {
                let part = self.without(&of, node, span)?;
                self.lose(&of, part, node, after, span, life, &mut losses)
            });
            let Some(last) = last else { continue };
            life.postpone(&of.name, &last);
            life.expectations.append(&mut losses.expectations);
            life.actions.append(&mut losses.actions);
        }
    }

    /// Returns the nodes that lose their power, one after the other.
    fn lost(
        &mut self,
        raw: &RawSurvives,
        span: &Span,
        of: &Expectation,
        nodes: &BTreeMap<NodeName, Node>,
    ) -> Option<Vec<NodeName>> {
        if of.sense == Polarity::Never {
            self.idle(span, "`survives` has no effect with `never`", "remove `survives`");
            return None;
        }
        match &of.check {
            Checked::Probed(
                ProbedCheck::Kubernetes(_) | ProbedCheck::Installed(_) | ProbedCheck::DiskFile(_),
            )
            | Checked::Observed(_) => {
                let what = "this check does not tell whether the rest goes on without a node";
                self.bad_check(
                    span,
                    what,
                    "use `etcd`, `http`, `tcp`, `dns`, `ssh` or `command`, or write actions",
                );
                return None;
            }
            Checked::Probed(_) => {}
        }
        let list = &raw.power_off.0;
        let lost = match &list.items[..] {
            [Located { value, .. }] if value == EACH => match of.nodes.is_empty() {
                true => nodes.keys().cloned().collect(),
                false => of.nodes.clone(),
            },
            words => {
                let named: Option<Vec<_>> =
                    words.iter().map(|word| self.subject_named(&word.value, &word.span)).collect();
                let mut lost: Vec<NodeName> = Vec::new();
                for node in named? {
                    if !lost.contains(&node) {
                        lost.push(node);
                    }
                }
                lost
            }
        };
        if lost.is_empty() {
            self.bad_check(span, "no node loses its power", "set power-off = \"each\", or list nodes");
            return None;
        }
        Some(lost)
    }

    /// Returns what must be true without a node.
    fn without(&mut self, of: &Expectation, lost: &NodeName, span: &Span) -> Option<Expectation> {
        let mut part = of.clone();
        if let Checked::Probed(ProbedCheck::Etcd { members, healthy, .. }) = &mut part.check {
            // It is still a member.
            *healthy = Some(healthy.unwrap_or(*members).min(members.saturating_sub(1)));
            return Some(part);
        }
        part.nodes.retain(|node| node != lost);
        if part.nodes.is_empty() && !of.nodes.is_empty() {
            let what = format!("without `{lost}` no node is left that could meet it");
            self.bad_check(span, what, "add nodes to the expectation, or remove `survives`");
            return None;
        }
        part.quorum = part.quorum.map(|needed| needed.min(part.nodes.len()));
        Some(part)
    }

    /// Adds the loss and the return of a node; returns what comes last.
    #[expect(clippy::too_many_arguments, reason = "all of it is one step of one loop")]
    fn lose(
        &mut self,
        of: &Expectation,
        part: Expectation,
        lost: &NodeName,
        after: Trigger,
        span: &Span,
        life: &Life<'_>,
        losses: &mut Losses,
    ) -> Option<Trigger> {
        let [off, on] = [format!("{}-without-{lost}", of.name), format!("{}-with-{lost}", of.name)];
        let action = |name: &str, after, power| {
            let (delay, nodes, deed) =
                (Duration::ZERO, Chosen::Nodes(vec![lost.clone()]), Deed::Power(power));
            Some(Action { name: name.parse().ok()?, after: Some(after), delay, nodes, deed })
        };
        let expect = |name: &str, after: &Action, like: Expectation| {
            let after = Some(Trigger::Action(after.name.clone()));
            Some(Expectation { name: name.parse().ok()?, after, ..like })
        };
        let made = action(&off, after, PowerAction::ForceOff).and_then(|off_action| {
            let without = expect(&off, &off_action, part)?;
            let on_action = action(&on, Trigger::Expect(without.name.clone()), PowerAction::On)?;
            let with = expect(&on, &on_action, of.clone())?;
            Some((off_action, without, on_action, with))
        });
        let Some((off_action, without, on_action, with)) = made else {
            self.bad_check(
                span,
                format!("`{off}` is too long for a name"),
                "shorten the name of the expectation",
            );
            return None;
        };
        let is_taken = [&without, &with].iter().any(|expect| life.expectations.contains_key(&expect.name))
            || [&off_action, &on_action].iter().any(|action| life.actions.contains_key(&action.name));
        if is_taken {
            let what = format!("`survives` adds `{off}` and `{on}`, and the lab has one of them already");
            self.bad_check(span, what, "rename it");
            return None;
        }
        let last = Trigger::Expect(with.name.clone());
        losses.expectations.extend([without, with].map(|expect| (expect.name.clone(), expect)));
        losses.actions.extend([off_action, on_action].map(|action| (action.name.clone(), action)));
        Some(last)
    }
}
