//! `dryrack screenshot`: a picture of a node's screen.

use std::path::{Path, PathBuf};

use super::completions;
use super::lab::UpWithArgs;
use super::output::{self, Stop};
use super::runtime::block_on;
use crate::name::NodeName;
use crate::report::exit;
use crate::run::Locations;
use crate::run::client::Client;

/// Save a screenshot of a node as PNG
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Node
    #[arg(add = completions::nodes())]
    node: NodeName,
    /// Output file, `-` for standard output [default: NODE.png]
    file: Option<PathBuf>,
    #[command(flatten)]
    lab: UpWithArgs,
}

/// Runs the command.
pub(super) fn run(args: &Args, locations: &Locations) -> Result<u8, Stop> {
    let up = args.lab.find_with(std::slice::from_ref(&args.node), locations)?;
    let client = Client::new(&up.socket);
    let picture = block_on(client.screenshot(&args.node))?;
    let picture = picture.map_err(|error| Stop::host(&error))?;
    let file = args.file.clone().unwrap_or_else(|| format!("{}.png", args.node).into());
    if file == Path::new("-") {
        output::bytes(&picture);
        return Ok(exit::MET);
    }
    std::fs::write(&file, picture).map_err(|error| {
        let what = format!("cannot write {}: {error}", file.display());
        Stop::new(exit::UNFIT, what, Some("choose a writable file, or `-`"))
    })?;
    output::note(&format!("wrote {}", file.display()));
    Ok(exit::MET)
}
