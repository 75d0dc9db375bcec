//! The usual dialogues of firmware, boot programs and systems, as data, and the first step of one that did not come.
//!
//! Says what did not come, never why: causes are for a diagnosis.

mod catalogue;
mod facts;
mod follow;

use serde::Serialize;

use self::facts::Fact;
use crate::event::{Certainty, Event, Finding, RunTime, Stage};

/// How many events of a boot are considered.
const MOST: usize = 4096;

/// The first step of a usual dialogue that did not come.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Divergence {
    /// When the last step before it came; the dialogue went wrong after that.
    pub after: RunTime,
    /// Whose dialogue it is: `UEFI PXE over IPv4`.
    pub dialogue: &'static str,
    /// What did not come, with the evidence.
    pub missing: String,
}

/// The name of the finding that says what did not come, where no failure is known that explains it.
pub const FIRST_MISSING: &str = "first-missing";

impl Divergence {
    /// Tells whether it is of the dialogue of an operating system.
    pub fn is_of_system(&self) -> bool {
        self.dialogue.starts_with("operating system")
    }

    /// Returns it as a finding of a machine that is at a stage.
    pub fn finding(&self, stage: Stage) -> Finding {
        Finding {
            id: FIRST_MISSING.to_owned(),
            title: format!("the usual dialogue of {} stopped", self.dialogue),
            certainty: Certainty::Unexplained,
            stage,
            cause: format!("After {} the first step that did not come: {}.", self.after, self.missing),
            fix: Vec::new(),
            place: None,
            evidence: Vec::new(),
            reference: Vec::new(),
        }
    }
}

/// Reads the events of one boot of one machine.
#[derive(Debug, Default)]
pub struct Dialogue {
    facts: Vec<Fact>,
}

impl Dialogue {
    /// Reads an event.
    pub fn apply(&mut self, event: &Event) {
        if self.facts.len() < MOST {
            // A frame is read a moment after what services tell of the same time.
            if let Some(fact) = Fact::of(event) {
                let place = self.facts.partition_point(|other| other.at <= fact.at);
                self.facts.insert(place, fact);
            }
        }
    }

    /// Tells whether only what the machine sent was captured.
    pub fn is_one_direction(&self) -> bool {
        follow::one_direction(&self.facts).is_some()
    }

    /// Returns the first step that did not come; nothing if all came, or if no dialogue is known that begins like this.
    pub fn first_missing(&self) -> Option<Divergence> {
        follow::first_missing(&self.facts)
    }
}

#[cfg(test)]
mod tests;
