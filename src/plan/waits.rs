//! What waits for what, for the record of a run.

use super::{Plan, Step};
use crate::event::Waits;

impl Plan {
    /// Returns what does not start with the lab.
    pub fn waits(&self) -> Waits {
        let mut waits = Waits {
            parallel_boots: self.parallel_boots,
            nodes: self.nodes.keys().map(|node| (node.clone(), None)).collect(),
            ..Waits::default()
        };
        for step in &self.steps {
            match step {
                Step::PowerOn { node, after: Some(after) } => {
                    waits.nodes.insert(node.clone(), Some(after.clone()));
                }
                Step::PowerOn { node, after: None } => {
                    waits.nodes.remove(node);
                }
                Step::Process(process) => {
                    let after = process.after.iter();
                    waits.processes.extend(after.map(|after| (process.process.clone(), after.clone())));
                }
                _ => {}
            }
        }
        let after = |(name, expectation): (&_, &crate::lab::Expectation)| {
            Some((Clone::clone(name), expectation.after.clone()?))
        };
        waits.expectations = self.expectations.iter().filter_map(after).collect();
        let after =
            |(name, action): (&_, &crate::lab::Action)| Some((Clone::clone(name), action.after.clone()?));
        waits.actions = self.actions.iter().filter_map(after).collect();
        waits
    }
}
