//! `dryrack plan`: shows the steps to bring a lab up.

use std::path::PathBuf;

use super::lab::{LabsArgs, valid};
use super::output::{self, Stop};
use super::prepare::{self, Loudness};
use crate::report::exit;
use crate::run::Locations;

/// Show the steps to bring labs up on this host, without changing anything
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    labs: LabsArgs,
    /// Print the plan as JSON, for `dryrack up --plan` and `dryrack test --plan`; for several labs, a list
    #[arg(long)]
    json: bool,
}

/// Runs the command.
pub(super) fn run(args: &Args, locations: &Locations) -> Result<u8, Stop> {
    let LabsArgs { labs, layers } = &args.labs;
    let loudness = if args.json { Loudness::Quiet } else { Loudness::Loud };
    let decide = |lab: &PathBuf| {
        let valid = valid(layers.read(lab)?, locations, None)?;
        prepare::decide(&valid, locations, loudness)
    };
    let mut plans = Vec::new();
    let mut codes = Vec::new();
    for lab in labs {
        match decide(lab) {
            Ok(plan) => plans.push(plan),
            // The errors of all labs are printed.
            Err(stop) => {
                output::stop(&stop);
                codes.push(stop.code);
            }
        }
    }
    match (&plans[..], args.json) {
        ([plan], true) if labs.len() == 1 => output::json(plan)?,
        (plans, true) if codes.is_empty() => output::json(&plans)?,
        // A list that lacks a lab would be misleading.
        (_, true) => {}
        (plans, false) => {
            let texts: Vec<String> = plans.iter().map(ToString::to_string).collect();
            output::data(&texts.join("\n"));
        }
    }
    Ok(exit::worst(codes))
}
