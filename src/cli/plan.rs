//! `dryrack plan`: shows the steps to bring a lab up.

use super::lab::{LabArgs, valid};
use super::output::{self, Stop};
use super::prepare::{self, Loudness};
use crate::report::exit;
use crate::run::Locations;

/// Show the steps to bring a lab up on this host, without changing anything
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    lab: LabArgs,
    /// Print the plan as JSON, for `dryrack up --plan` and `dryrack test --plan`
    #[arg(long)]
    json: bool,
}

/// Runs the command.
pub(super) fn run(args: &Args, locations: &Locations) -> Result<u8, Stop> {
    let valid = valid(args.lab.read()?, locations, None)?;
    let loudness = if args.json { Loudness::Quiet } else { Loudness::Loud };
    let plan = prepare::decide(&valid, locations, loudness)?;
    match args.json {
        true => output::json(&plan)?,
        false => output::data(&plan.to_string()),
    }
    Ok(exit::MET)
}
