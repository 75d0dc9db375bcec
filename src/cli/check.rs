//! `dryrack check`: reports all errors in a lab file, with line numbers.

mod matchbox;

use super::lab::LabsArgs;
use super::output::{self, Stop};
use crate::diag::{self, Diagnostic};
use crate::lab::{Isolation, expected_of_others};
use crate::report::exit;
use crate::run::Locations;
use crate::system::facts;

/// Report all errors in lab files, with line numbers
///
/// With matchbox, every group is rendered at every endpoint and checked for mistakes that are known to break installs.
/// Exit code 0 if every lab is valid, 2 if one is not.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    labs: LabsArgs,
    /// Print a JSON list of objects with `code`, `severity`, `file`, `line`, `column`, `end_line`, `end_column`,
    /// `message`, `help` and `related`
    #[arg(long)]
    json: bool,
}

/// Runs the command.
pub(super) fn run(args: &Args, locations: &Locations) -> Result<u8, Stop> {
    let LabsArgs { labs, layers } = &args.labs;
    // Only memory matters here, which does not depend on isolation.
    let free = facts::gather(Isolation::Private, facts::QemuDevices::NotAsked).free_memory;
    let (mut code, mut list, mut complete) = (exit::MET, Vec::new(), true);
    let mut text = String::new();
    for lab in labs {
        let texts = match layers.read(lab) {
            Ok(texts) => texts,
            // The others are checked, too.
            Err(stop) if labs.len() > 1 => {
                output::stop(&stop);
                code = exit::worst([code, stop.code]);
                complete = false;
                continue;
            }
            Err(stop) => return Err(stop),
        };
        let mut outcome = texts.resolve(&texts.library(&locations.cache), Some(free));
        if let Some(lab) = &outcome.lab {
            for sentence in expected_of_others(lab) {
                output::note(&sentence);
            }
            let found = matchbox::look(lab, &mut outcome.sources);
            outcome.diagnostics.extend(found);
        }
        if outcome.diagnostics.iter().any(Diagnostic::is_error) {
            code = exit::worst([code, exit::WRONG]);
        }
        if args.json {
            let found = diag::to_json(&outcome.diagnostics, &outcome.sources);
            list.extend(found.as_array().cloned().unwrap_or_default());
        } else if outcome.diagnostics.is_empty() {
            output::note(&format!("{}: no problems found", texts.file.display()));
        } else {
            let between = if text.is_empty() { "" } else { "\n" };
            text = diag::render(&outcome.diagnostics, &outcome.sources, true);
            output::data(&format!("{between}{text}"));
        }
    }
    // A list that lacks a lab would be misleading.
    if args.json && complete {
        output::json(&list)?;
    }
    Ok(code)
}
