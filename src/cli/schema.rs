//! `dryrack schema`: prints the JSON Schema of the lab file.

use super::output::{self, Stop};
use crate::config;
use crate::report::exit;

/// Print the JSON Schema of the lab file, with every key and its default
///
/// Editors use it to complete and check lab files. With taplo, start the lab file with `#:schema lab.schema.json`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {}

/// Runs the command.
pub(super) fn run(Args {}: &Args) -> Result<u8, Stop> {
    output::json(&config::schema())?;
    Ok(exit::MET)
}
