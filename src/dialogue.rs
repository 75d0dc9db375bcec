//! The usual dialogues of firmware, boot programs and systems, as data, and the first step of one that did not come.
//!
//! Says what did not come, never why: causes are for a diagnosis.

mod catalogue;
mod facts;
mod follow;

use serde::Serialize;

use self::facts::Fact;
use crate::event::{Event, RunTime};

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

/// Reads the events of one boot of one machine.
#[derive(Debug, Default)]
pub struct Dialogue {
    facts: Vec<Fact>,
}

impl Dialogue {
    /// Reads an event.
    pub fn apply(&mut self, event: &Event) {
        if self.facts.len() < MOST {
            self.facts.extend(Fact::of(event));
        }
    }

    /// Returns the first step that did not come; nothing if all came, or if no dialogue is known that begins like this.
    pub fn first_missing(&self) -> Option<Divergence> {
        follow::first_missing(&self.facts)
    }
}

#[cfg(test)]
mod tests;
