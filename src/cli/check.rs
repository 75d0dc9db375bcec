//! `dryrack check`: reports all errors in a lab file, with line numbers.

mod matchbox;

use super::lab::LabArgs;
use super::output::{self, Stop};
use crate::diag::{self, Diagnostic};
use crate::lab::Isolation;
use crate::report::exit;
use crate::run::Locations;
use crate::system::facts;

/// Report all errors in a lab file, with line numbers
///
/// With matchbox, every group is rendered at every endpoint and checked for mistakes that are known to break installs.
/// Exit code 0 if the lab is valid, 2 if it is not.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    lab: LabArgs,
    /// Print a JSON list of objects with `code`, `severity`, `file`, `line`, `column`, `end_line`, `end_column`,
    /// `message`, `help` and `related`
    #[arg(long)]
    json: bool,
}

/// Runs the command.
pub(super) fn run(args: &Args, locations: &Locations) -> Result<u8, Stop> {
    let texts = args.lab.read()?;
    // Only memory matters here, which does not depend on isolation.
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
            output::note(&format!("{}: no problems found", texts.file.display()));
        }
    }
    let usable = !outcome.diagnostics.iter().any(Diagnostic::is_error);
    Ok(if usable { exit::MET } else { exit::WRONG })
}
