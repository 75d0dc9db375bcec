//! `dryrack media`: the image in the CD drive of a node.

use std::path::PathBuf;

use clap::Subcommand;

use super::completions;
use super::lab::UpWithArgs;
use super::output::{self, Stop};
use super::runtime::block_on;
use crate::name::NodeName;
use crate::node::{Effect, MediaCommand};
use crate::report::exit;
use crate::run::Locations;
use crate::run::client::Client;

/// Insert an image into the CD drive of a node, or eject it
///
/// A node has a CD drive only if it was started with an image in it. An image that is inserted while such a node runs
/// is there at once; otherwise it is there from the next start of the node. `dryrack boot cd NODE` boots from it.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Insert an image, replacing one that is in the drive
    Insert {
        /// Node
        #[arg(add = completions::nodes())]
        node: NodeName,
        /// ISO file or other raw image
        file: PathBuf,
        #[command(flatten)]
        lab: UpWithArgs,
    },
    /// Eject the image
    Eject {
        /// Node
        #[arg(add = completions::nodes())]
        node: NodeName,
        #[command(flatten)]
        lab: UpWithArgs,
    },
}

/// Runs the command.
pub(super) fn run(args: &Args, locations: &Locations) -> Result<u8, Stop> {
    let (node, command, lab) = match &args.action {
        Action::Insert { node, file, lab } => {
            let file = file.canonicalize().map_err(|error| {
                let what = format!("cannot find {}: {error}", file.display());
                Stop::new(exit::WRONG, what, None::<String>)
            })?;
            (node, MediaCommand::Insert(file), lab)
        }
        Action::Eject { node, lab } => (node, MediaCommand::Eject, lab),
    };
    let up = lab.find_with(std::slice::from_ref(node), locations)?;
    let client = Client::new(&up.socket);
    let effect = block_on(client.media(node, &command))?.map_err(|error| Stop::host(&error))?;
    output::note(&match (&command, effect) {
        (MediaCommand::Insert(file), Effect::Now) => format!("{} is in the drive of {node}", file.display()),
        (MediaCommand::Insert(file), Effect::NextStart) => {
            format!("{} is in the drive of {node} from its next start on", file.display())
        }
        (MediaCommand::Eject, _) => format!("the drive of {node} is empty"),
    });
    Ok(exit::MET)
}
