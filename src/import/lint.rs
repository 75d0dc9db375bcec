//! What is known to break boots in configuration files of other programs.

mod addresses;
mod boots;
mod directives;
mod machines;
mod sent;

use super::document::Document;
use super::files::Files;
use super::setup::Setup;
use super::{Given, Kind, Reader, Refusal, isc, settle};
use crate::diag::{Diagnostic, Sources};

/// What was found in files.
#[derive(Debug)]
pub struct Linted {
    /// The problems, in the order of the files.
    pub diagnostics: Vec<Diagnostic>,
    /// The texts of the files.
    pub sources: Sources,
}

/// One file with what it describes.
struct Case {
    kind: Kind,
    document: Document,
    setup: Setup,
}

/// Checks files. Those that are given together are about one rack.
///
/// # Errors
///
/// A file does not exist, or is of no known kind.
pub fn lint(given: &[Given], files: &dyn Files) -> Result<Linted, Refusal> {
    let mut reader = Reader { files, sources: Sources::default(), diagnostics: Vec::new() };
    let mut cases = Vec::new();
    let mut skipped = Vec::new();
    for read in reader.read_all(given)? {
        skipped.extend(read.skipped);
        cases.push(Case { kind: read.kind, document: read.document, setup: read.setup });
    }
    let Reader { sources, diagnostics: mut found, .. } = reader;
    found.extend(skipped);
    let of_isc = cases.iter().filter(|case| case.kind == Kind::Isc);
    let defined = of_isc.flat_map(|case| isc::definitions(&case.document)).collect();
    for case in &cases {
        directives::check(case, &defined, &mut found);
        addresses::check(case, &mut found);
        machines::check(case, &mut found);
    }
    addresses::servers(&cases, &mut found);
    sent::check(&cases, &mut found);
    let kinds: Vec<Kind> = cases.iter().map(|case| case.kind).collect();
    let setup = settle::unite(cases.iter().map(|case| case.setup.clone()).collect());
    for network in &setup.networks {
        boots::check(network, &setup, &kinds, files, &mut found);
    }
    found.sort_by(|a, b| a.span.cmp(&b.span));
    found.dedup();
    Ok(Linted { diagnostics: found, sources })
}
