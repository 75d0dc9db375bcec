//! Reads and checks a lab in one call.

use super::{Lab, LabEnvironment, Origin, Origins, validate};
use crate::config::{self, Source};
use crate::diag::{Diagnostic, MOST, Related, Sources, Span};

/// The result of reading and checking a lab.
#[derive(Debug)]
pub struct Outcome {
    /// The lab, if there are no errors; there may be warnings.
    pub lab: Option<Lab>,
    /// The diagnostics, in the order of the files.
    pub diagnostics: Vec<Diagnostic>,
    /// The sources, for drawing the diagnostics.
    pub sources: Sources,
}

/// Reads a lab file, its overlays (`--on`) and single keys (`--set`), and checks the whole.
pub fn resolve(lab: &Source, overlays: &[Source], sets: &[String], around: &LabEnvironment<'_>) -> Outcome {
    let reading = config::read(lab, overlays, sets);
    let mut diagnostics = reading.diagnostics;
    // Keys after a syntax error may not really be missing.
    let lab = match reading.raw {
        Some(raw) if reading.whole => {
            let (lab, mut found) = validate(&raw, around);
            diagnostics.append(&mut found);
            lab
        }
        _ => None,
    };
    diagnostics.sort_by_key(|diagnostic| {
        let position = diagnostic.span.as_ref().map(|span| (span.file, span.start));
        (position.is_some(), position)
    });
    let lab = lab.filter(|_| !diagnostics.iter().any(Diagnostic::is_error));
    let mut sources = reading.sources;
    let lab = lab.map(|lab| {
        let origin = |span: &Span| Origin {
            file: sources.name(span.file).to_owned(),
            line: sources.position(span.file, span.start).0,
        };
        let origins = reading.positions.iter().map(|(path, span)| (path.clone(), origin(span)));
        Lab { origins: Origins(origins.collect()), ..lab }
    });
    for span in diagnostics.iter().filter(|diagnostic| diagnostic.secret).filter_map(|d| d.span.as_ref()) {
        sources.mask(span);
    }
    let mut diagnostics = unite(diagnostics);
    if diagnostics.len() > MOST {
        // Errors come first: diagnostics that are left out must not include the errors.
        diagnostics.sort_by_key(|diagnostic| !diagnostic.is_error());
        diagnostics.truncate(MOST);
    }
    Outcome { lab, diagnostics, sources }
}

/// Merges equal diagnostics for one position, which each node of a group repeats.
fn unite(all: Vec<Diagnostic>) -> Vec<Diagnostic> {
    let mut united: Vec<Diagnostic> = Vec::new();
    for diagnostic in all {
        // They are sorted, so those of one position are neighbours.
        let position = |other: &&mut Diagnostic| other.span.is_some() && other.span == diagnostic.span;
        let same = |other: &&mut Diagnostic| other.code == diagnostic.code;
        match united.iter_mut().rev().take_while(position).find(same) {
            Some(first) => {
                let new = |related: &Related| !first.related.contains(related);
                let further: Vec<_> = diagnostic.related.into_iter().filter(new).collect();
                first.related.extend(further);
            }
            None => united.push(diagnostic),
        }
    }
    united
}
