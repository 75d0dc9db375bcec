//! `dryrack check`: says everything that is wrong with a lab file, at its place.

mod matchbox;

use super::lab::LabArgs;
use super::output::{self, Stop};
use crate::diag::{self, Diagnostic};
use crate::lab::Isolation;
use crate::report::exit;
use crate::run::Locations;
use crate::system::facts;

/// Say everything that is wrong with a lab file, at its place
///
/// With matchbox, every group is rendered at every endpoint, and what is known to kill installs is looked for.
/// Exit code 0 if the lab can be used, 2 if it cannot.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    lab: LabArgs,
    /// Print a JSON list of objects with `code`, `severity`, `file`, `line`, `column`, `end_line`, `end_column`,
    /// `message`, `help` and `related`
    #[arg(long)]
    json: bool,
}

/// Runs the verb.
pub(super) fn run(args: &Args, locations: &Locations) -> Result<u8, Stop> {
    let texts = args.lab.read()?;
    // Only memory matters here, which is the same in both places.
    let free = facts::gather(Isolation::Private).free_memory;
    let mut outcome = texts.resolve(&texts.library(&locations.cache), Some(free));
    if let Some(lab) = &outcome.lab {
        let found = matchbox::look(lab, &mut outcome.sources);
        outcome.diagnostics.extend(found);
    }
    if args.json {
        output::json(&diag::to_json(&outcome.diagnostics, &outcome.sources))?;
    } else {
        output::data(&diag::render(&outcome.diagnostics, &outcome.sources, true));
        if outcome.diagnostics.is_empty() {
            output::note(&format!("{}: nothing is wrong", texts.file.display()));
        }
    }
    let usable = !outcome.diagnostics.iter().any(Diagnostic::is_error);
    Ok(if usable { exit::MET } else { exit::WRONG })
}
