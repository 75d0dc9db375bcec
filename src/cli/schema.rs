//! `dryrack schema`: prints the JSON Schema of the lab file.

use super::output::{self, Stop};
use crate::config;
use crate::report::exit;

/// Print the JSON Schema of the lab file, with every key and its default
///
/// Editors use it to complete and check lab files. With taplo, start the lab file with `#:schema lab.schema.json`, and
/// an overlay with `#:schema overlay.schema.json`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Print the schema of overlays (`--on`), in which nothing is required
    #[arg(long)]
    overlay: bool,
}

/// Runs the command.
pub(super) fn run(args: &Args) -> Result<u8, Stop> {
    output::json(&if args.overlay { config::overlay_schema() } else { config::schema() })?;
    Ok(exit::MET)
}
