//! `dryrack media`: the images in the drives of a node.

use std::path::{Path, PathBuf};

use clap::ValueEnum;

use super::completions;
use super::lab::UpWithArgs;
use super::output::{self, Stop};
use super::runtime::block_on;
use crate::bmc::redfish::url::{self, Url};
use crate::name::{DiskName, NodeName};
use crate::node::{Effect, MediaCommand, MediaImage};
use crate::report::exit;
use crate::run::Locations;
use crate::run::client::Client;

/// Insert an image into a drive of a node, or eject it
///
/// Drives are the CD drives (`cd.NAME`) and the USB sticks (`disk.NAME` with `bus = "usb"`) of the node. While the node
/// runs, an image is there at once, and a stick is plugged in or unplugged. A node without a drive gets a CD drive at
/// its next start; one with a BMC always has a CD drive and a USB stick, which take URLs. `dryrack boot-next NODE cd`
/// boots from the CD drive. Action and node may be given in either order.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// `insert` (replaces an image that is in the drive) or `eject`
    action: String,
    /// Node
    #[arg(add = completions::nodes())]
    node: String,
    /// ISO file or other raw image, or its URL (HTTP or HTTPS) [default: the one in the lab file]
    ///
    /// The BMC of the node fetches what is read of a URL, from its own network. User and password may be in the URL.
    #[arg(value_name = "FILE|URL", value_hint = clap::ValueHint::FilePath)]
    image: Option<String>,
    /// Accept any certificate from the server of a URL, not only those that the CA of the lab has signed
    #[arg(long)]
    insecure: bool,
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

/// An image that is given.
enum Given {
    File(PathBuf),
    /// Without user and password.
    Url(Url),
}

impl Given {
    fn of(text: &str) -> Result<Self, Stop> {
        if text.contains("://") {
            return url::check(text).map(Self::Url).map_err(|refused| {
                let what = format!("the URL cannot be used: {refused}");
                Stop::new(
                    exit::WRONG,
                    what,
                    Some("http://HOST/PATH or https://HOST/PATH, as the node sees it"),
                )
            });
        }
        let found = Path::new(text)
            .canonicalize()
            .map_err(|error| Stop::new(exit::WRONG, format!("cannot find {text}: {error}"), None::<String>));
        found.map(Self::File)
    }
}

/// Runs the command.
pub(super) fn run(args: &Args, locations: &Locations) -> Result<u8, Stop> {
    let action = |word: &str| Action::from_str(word, false).ok();
    let wrong = |what: String| {
        Stop::new(exit::WRONG, what, Some("dryrack media insert NODE FILE|URL, or eject NODE"))
    };
    let (action, node) = match (action(&args.action), action(&args.node)) {
        (Some(action), _) => (action, &args.node),
        (None, Some(action)) => (action, &args.action),
        (None, None) => return Err(wrong(format!("`{}` is neither `insert` nor `eject`", args.action))),
    };
    let node = NodeName::new(node).map_err(|error| wrong(format!("`{node}` is not a node: {error}")))?;
    let image = match (action, args.image.as_deref()) {
        (Action::Insert, Some(text)) => Some(Given::of(text)?),
        (Action::Insert, None) => None,
        (Action::Eject, None) => None,
        (Action::Eject, Some(text)) => return Err(wrong(format!("`eject` takes no image, but got {text}"))),
    };
    if args.insecure && !matches!(image, Some(Given::Url(_))) {
        return Err(wrong("`--insecure` is only for URLs".to_owned()));
    }
    let up = args.lab.find_with(std::slice::from_ref(&node), locations)?;
    let client = Client::new(&up.socket);
    let drive = args.drive.clone();
    let (name, effect) = match (action, image) {
        (Action::Insert, Some(Given::Url(url))) => {
            let text = args.image.as_deref().unwrap_or_default();
            let inserting = client.media_by_url(&node, drive.as_ref(), text, !args.insecure);
            (url.text, block_on(inserting)?)
        }
        (Action::Insert, Some(Given::File(file))) => {
            let name = file.display().to_string();
            let image = Some(MediaImage::File(file));
            (name, block_on(client.media(&node, &MediaCommand::Insert { drive, image }))?)
        }
        (Action::Insert, None) => {
            let command = MediaCommand::Insert { drive, image: None };
            ("the image of the lab file".to_owned(), block_on(client.media(&node, &command))?)
        }
        (Action::Eject, _) => (String::new(), block_on(client.media(&node, &MediaCommand::Eject { drive }))?),
    };
    let effect = effect.map_err(|error| Stop::host(&error))?;
    let drive = args.drive.as_ref().map_or("the drive".to_owned(), |drive| format!("drive {drive}"));
    output::note(&match (action, effect) {
        (Action::Insert, Effect::Now) => format!("{name} is in {drive} of {node}"),
        (Action::Insert, Effect::NextStart) => {
            format!("{name} is in {drive} of {node} from its next start on")
        }
        (Action::Eject, _) => format!("{drive} of {node} is empty"),
    });
    Ok(exit::MET)
}
