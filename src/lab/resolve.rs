//! From texts to a lab, in one call.

use super::{Lab, Surroundings, validate};
use crate::config::{self, Source};
use crate::diag::{Diagnostic, Sources};

/// What became of the texts of a lab.
#[derive(Debug)]
pub struct Outcome {
    /// The lab, if nothing is wrong but what is a warning.
    pub lab: Option<Lab>,
    /// What is wrong, in the order of the files.
    pub diagnostics: Vec<Diagnostic>,
    /// The texts, for drawing the diagnostics.
    pub sources: Sources,
}

/// Reads a lab file, the files laid over it (`--on`) and single keys (`--set`), and checks the whole.
pub fn resolve(lab: &Source, overlays: &[Source], sets: &[String], around: &Surroundings<'_>) -> Outcome {
    let reading = config::read(lab, overlays, sets);
    let mut diagnostics = reading.diagnostics;
    // What a text that is not TOML leaves out was perhaps not left out.
    let lab = match reading.raw {
        Some(raw) if reading.whole => {
            let (lab, mut found) = validate(&raw, around);
            diagnostics.append(&mut found);
            lab
        }
        _ => None,
    };
    diagnostics.sort_by_key(|diagnostic| {
        let place = diagnostic.span.as_ref().map(|span| (span.file, span.start));
        (place.is_some(), place)
    });
    let lab = lab.filter(|_| !diagnostics.iter().any(Diagnostic::is_error));
    Outcome { lab, diagnostics, sources: reading.sources }
}
