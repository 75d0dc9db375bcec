//! `dryrack lint`: finds in configuration files of other programs what is known to break boots.

use std::path::PathBuf;

use super::import::{Disk, KindArgs};
use super::output::{self, Stop};
use crate::diag::{self, Diagnostic};
use crate::import;
use crate::report::exit;

/// Find in configuration files of other programs what is known to break boots
///
/// Reads the same files as `dryrack import`, and needs no lab. Files that are given together are about one rack. For
/// lab files there is `dryrack check`. Exit code 0 without errors, 2 with one.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Files
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    #[command(flatten)]
    kind: KindArgs,
    /// Print a JSON list of objects with `code`, `severity`, `file`, `line`, `column`, `end_line`, `end_column`,
    /// `message`, `help` and `related`
    #[arg(long)]
    json: bool,
}

/// Runs the command.
pub(super) fn run(args: &Args) -> Result<u8, Stop> {
    let given = args.kind.given(&args.files);
    let linted = import::lint(&given, &Disk).map_err(|refusal| Stop::wrong(&refusal))?;
    let import::Linted { diagnostics, sources } = &linted;
    if args.json {
        output::json(&diag::to_json(diagnostics, sources))?;
    } else if diagnostics.is_empty() {
        output::note("no problems found");
    } else {
        output::data(&diag::render(diagnostics, sources, true));
    }
    Ok(if diagnostics.iter().any(Diagnostic::is_error) { exit::WRONG } else { exit::MET })
}
