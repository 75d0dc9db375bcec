//! What comes after what in the life of a lab: the gates of expectations and actions open and close.

use std::time::Duration;

use super::Outcome;
use super::gate::{ActionState, Gate, Gone};
use super::judge::{Item, Judge};
use super::subject::Subject;
use crate::event::RunTime;
use crate::lab::Action;
use crate::name::{ExpectName, ProcessName, Trigger};
use crate::observe::Snapshot;

/// How long a process may take until it is ready, if something waits for that.
const READY_WITHIN: Duration = Duration::from_secs(120);

impl Judge {
    /// Returns the actions whose time has come. Each is returned once, and is started then.
    pub fn due(&mut self, now: RunTime, present: &Snapshot) -> Vec<Action> {
        let mut due: Vec<(RunTime, Action)> = Vec::new();
        for item in &mut self.actions {
            if let Some(at) = item.due(present.up).filter(|at| *at <= now) {
                item.state = ActionState::Started;
                due.push((at, item.action.clone()));
            }
        }
        due.sort_by_key(|(at, _)| *at);
        due.into_iter().map(|(_, action)| action).collect()
    }

    /// Returns the actions whose time will not come, with the reason.
    pub fn barred(&self) -> impl Iterator<Item = (&Action, &str)> {
        self.actions.iter().filter_map(|item| match &item.state {
            ActionState::Barred(_, why) => Some((&item.action, why.as_str())),
            ActionState::Waiting | ActionState::Started | ActionState::Ended => None,
        })
    }

    /// Starts what waited for something that came, and cancels what waited for something that will not come.
    pub(super) fn open_gates(&mut self, present: &Snapshot) -> bool {
        let mut changed = false;
        for item in &mut self.actions {
            let has_ended = present.actions.get(&item.action.name).is_some_and(|view| view.ended.is_some());
            if has_ended && item.is_open() {
                item.state = ActionState::Ended;
                changed = true;
            }
        }
        for index in 0..self.actions.len() {
            let item = &self.actions[index];
            let Gate::After(trigger) = &item.gate else { continue };
            if item.state != ActionState::Waiting {
                continue;
            }
            match self.passed(trigger, present) {
                Gone::NotYet => continue,
                Gone::At(at) => self.actions[index].gate = Gate::Since(at),
                Gone::Never(at, why) => self.actions[index].state = ActionState::Barred(at, why),
            }
            changed = true;
        }
        for index in 0..self.items.len() {
            let Gate::After(trigger) = &self.items[index].gate else { continue };
            match self.passed(trigger, present) {
                Gone::NotYet => {}
                Gone::At(at) => {
                    self.items[index].gate = Gate::Since(at);
                    changed = true;
                }
                Gone::Never(at, why) => {
                    for subject in self.items[index].subjects.iter_mut().filter(|subject| subject.is_open()) {
                        subject.bar(at, why.clone());
                        changed = true;
                    }
                }
            }
        }
        changed
    }

    /// Tells whether a trigger has come.
    pub(super) fn passed(&self, trigger: &Trigger, present: &Snapshot) -> Gone {
        match trigger {
            Trigger::Expect(name) => {
                let Some(item) = self.item(name) else { return Gone::NotYet };
                let outcomes = || item.subjects.iter().map(Subject::outcome);
                let missed = outcomes().flatten().find(|outcome| !outcome.is_met());
                if let Some(at) = missed.and_then(Outcome::at) {
                    Gone::Never(at, format!("`{name}` was missed"))
                } else if outcomes().all(|outcome| outcome.is_some()) {
                    Gone::At(outcomes().flatten().filter_map(Outcome::at).max().unwrap_or(self.now))
                } else {
                    Gone::NotYet
                }
            }
            Trigger::Action(name) => {
                let view = present.actions.get(name);
                let state =
                    self.actions.iter().find(|item| item.action.name == *name).map(|item| &item.state);
                match (view.and_then(|view| Some((view.ended?, view.failed.is_some()))), state) {
                    (Some((at, false)), _) => Gone::At(at),
                    (Some((at, true)), _) => Gone::Never(at, format!("action `{name}` failed")),
                    (None, Some(ActionState::Barred(at, _))) => {
                        Gone::Never(*at, format!("action `{name}` was not started"))
                    }
                    (None, _) => Gone::NotYet,
                }
            }
            Trigger::Process(name) => self.process_ready(name, present),
        }
    }

    fn process_ready(&self, name: &ProcessName, present: &Snapshot) -> Gone {
        let Some(view) = present.processes.get(name) else {
            let after = self.prospects.as_ref().and_then(|prospects| prospects.after(name));
            return match after.map(|after| self.passed(after, present)) {
                Some(Gone::Never(at, _)) => Gone::Never(at, format!("process `{name}` was not started")),
                Some(Gone::NotYet | Gone::At(_)) | None => Gone::NotYet,
            };
        };
        if let Some(at) = view.ready {
            return Gone::At(at);
        }
        let restarts = self.prospects.as_ref().is_none_or(|prospects| prospects.restarts(name));
        match view.started.map(|started| started + READY_WITHIN) {
            _ if view.ended.is_some() && !restarts => {
                Gone::Never(self.now, format!("process `{name}` ended before it was ready"))
            }
            Some(over) if over <= self.now => {
                let why = format!("process `{name}` was not ready within {} s", READY_WITHIN.as_secs());
                Gone::Never(over, why)
            }
            Some(_) | None => Gone::NotYet,
        }
    }

    /// Returns when processes that something waits for should be ready.
    pub(super) fn ready_deadlines<'a>(&'a self, present: &'a Snapshot) -> impl Iterator<Item = RunTime> + 'a {
        let gates = self.items.iter().filter(|item| item.is_open()).map(|item| &item.gate);
        let actions = self.actions.iter().filter(|item| item.is_open()).map(|item| &item.gate);
        gates.chain(actions).filter_map(|gate| {
            let Gate::After(Trigger::Process(name)) = gate else { return None };
            let view = present.processes.get(name).filter(|view| view.ready.is_none())?;
            Some(view.started? + READY_WITHIN)
        })
    }

    /// Tells whether a trigger waits for another one, directly or not, or is it.
    pub(super) fn waits_for(&self, trigger: &Trigger, other: &Trigger) -> bool {
        self.chain(trigger).any(|at| at == *other)
    }

    /// Returns a trigger and everything that it still waits for.
    pub(super) fn chain(&self, trigger: &Trigger) -> impl Iterator<Item = Trigger> {
        // A lab has no cycles; the number only ends the walk for sure.
        let most = self.items.len() + self.actions.len() + 100;
        std::iter::successors(Some(trigger.clone()), |at| self.gate_before(at)).take(most)
    }

    /// Tells whether a trigger waits for a cycle.
    pub(super) fn is_ring(&self, trigger: &Trigger) -> bool {
        self.chain(trigger).last().is_some_and(|last| self.gate_before(&last).is_some())
    }

    /// Returns what a trigger still waits for.
    fn gate_before(&self, trigger: &Trigger) -> Option<Trigger> {
        let gate = match trigger {
            Trigger::Expect(name) => &self.item(name)?.gate,
            Trigger::Action(name) => &self.actions.iter().find(|item| item.action.name == *name)?.gate,
            Trigger::Process(name) => return self.prospects.as_ref()?.after(name).cloned(),
        };
        match gate {
            Gate::After(trigger) => Some(trigger.clone()),
            Gate::WithLab | Gate::Since(_) => None,
        }
    }

    pub(super) fn item(&self, name: &ExpectName) -> Option<&Item> {
        self.items.iter().find(|item| item.expectation.name == *name)
    }
}
