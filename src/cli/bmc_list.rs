//! `dryrack bmc-list`: tells other programs the BMCs of a lab.

use std::path::PathBuf;

use clap::ValueEnum;

use super::lab::{Layers, valid};
use super::output::{self, Stop};
use super::prepare::{self, Loudness};
use crate::report::{BmcFormat, bmc_list, exit};
use crate::run::Locations;

/// Print the BMCs of a lab for a program that uses them
///
/// A password is not printed; where it is stands in its place.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Lab file, or folder with a `lab.toml`
    #[arg(default_value = ".")]
    lab: PathBuf,
    #[command(flatten)]
    layers: Layers,
    /// Format
    #[arg(long, value_enum, default_value_t = Format::Csv)]
    format: Format,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    /// Comma-separated values
    Csv,
    /// Metal3: BareMetalHost objects
    Baremetalhost,
    /// MAAS: commands that create the machines
    Maas,
    /// Tinkerbell: Machine objects of Rufio
    Tinkerbell,
}

/// Runs the command.
pub(super) fn run(args: &Args, locations: &Locations) -> Result<u8, Stop> {
    let valid = valid(args.layers.read(&args.lab)?, locations, None)?;
    let plan = prepare::decide(&valid, locations, Loudness::Quiet)?;
    let format = match args.format {
        Format::Csv => BmcFormat::Csv,
        Format::Baremetalhost => BmcFormat::BareMetalHost,
        Format::Maas => BmcFormat::Maas,
        Format::Tinkerbell => BmcFormat::Tinkerbell,
    };
    let list = bmc_list(&plan, format);
    if list.is_empty() {
        let hint = "give nodes one: `bmc = {}` in `[network.NAME]` or `[node.NAME]`";
        return Err(Stop::new(exit::WRONG, format!("no node of {} has a BMC", plan.lab), Some(hint)));
    }
    output::data(&list);
    Ok(exit::MET)
}
