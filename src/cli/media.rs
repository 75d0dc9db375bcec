//! `dryrack media`: the images in the drives of a node.

use std::path::PathBuf;

use clap::ValueEnum;

use super::completions;
use super::lab::UpWithArgs;
use super::output::{self, Stop};
use super::runtime::block_on;
use crate::name::{DiskName, NodeName};
use crate::node::{Effect, MediaCommand};
use crate::report::exit;
use crate::run::Locations;
use crate::run::client::Client;

/// Insert an image into a drive of a node, or eject it
///
/// Drives are the CD drives (`cd.NAME`) and the USB sticks (`disk.NAME` with `bus = "usb"`) of the node. While the node
/// runs, an image is there at once, and a stick is plugged in or unplugged. A node without a drive gets a CD drive at
/// its next start. `dryrack boot-next NODE cd` boots from it. Action and node may be given in either order.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// `insert` (replaces an image that is in the drive) or `eject`
    action: String,
    /// Node
    #[arg(add = completions::nodes())]
    node: String,
    /// ISO file or other raw image [default: the one in the lab file]
    file: Option<PathBuf>,
    /// Name of the drive [default: the only one]
    #[arg(long)]
    drive: Option<DiskName>,
    #[command(flatten)]
    lab: UpWithArgs,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Action {
    Insert,
    Eject,
}

/// Runs the command.
pub(super) fn run(args: &Args, locations: &Locations) -> Result<u8, Stop> {
    let action = |word: &str| Action::from_str(word, false).ok();
    let wrong =
        |what: String| Stop::new(exit::WRONG, what, Some("dryrack media insert NODE FILE, or eject NODE"));
    let (action, node) = match (action(&args.action), action(&args.node)) {
        (Some(action), _) => (action, &args.node),
        (None, Some(action)) => (action, &args.action),
        (None, None) => return Err(wrong(format!("`{}` is neither `insert` nor `eject`", args.action))),
    };
    let node = NodeName::new(node).map_err(|error| wrong(format!("`{node}` is not a node: {error}")))?;
    let drive = args.drive.clone();
    let command = match (action, &args.file) {
        (Action::Insert, Some(file)) => {
            let file = file.canonicalize().map_err(|error| {
                let what = format!("cannot find {}: {error}", file.display());
                Stop::new(exit::WRONG, what, None::<String>)
            })?;
            MediaCommand::Insert { drive, file: Some(file) }
        }
        (Action::Insert, None) => MediaCommand::Insert { drive, file: None },
        (Action::Eject, None) => MediaCommand::Eject { drive },
        (Action::Eject, Some(file)) => {
            return Err(wrong(format!("`eject` takes no file, but got {}", file.display())));
        }
    };
    let up = args.lab.find_with(std::slice::from_ref(&node), locations)?;
    let client = Client::new(&up.socket);
    let effect = block_on(client.media(&node, &command))?.map_err(|error| Stop::host(&error))?;
    let drive = args.drive.as_ref().map_or("the drive".to_owned(), |drive| format!("drive {drive}"));
    let image = args.file.as_ref().and_then(|file| file.canonicalize().ok());
    let image = image.map_or("the image of the lab file".to_owned(), |file| file.display().to_string());
    output::note(&match (action, effect) {
        (Action::Insert, Effect::Now) => format!("{image} is in {drive} of {node}"),
        (Action::Insert, Effect::NextStart) => {
            format!("{image} is in {drive} of {node} from its next start on")
        }
        (Action::Eject, _) => format!("{drive} of {node} is empty"),
    });
    Ok(exit::MET)
}
