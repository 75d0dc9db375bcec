//! `dryrack screen`: the keyboard and the screen of a node.

use std::path::Path;

use super::completions;
use super::lab::UpWithArgs;
use super::output::{self, Stop};
use super::runtime::block_on;
use crate::name::NodeName;
use crate::node::keys;
use crate::report::exit;
use crate::run::Locations;
use crate::run::client::Client;

/// The longest path of a Unix socket.
const LONGEST: usize = 107;

/// Type on the keyboard of a node, or print where a VNC viewer connects
///
/// Keys are those of a US keyboard: characters, and names as in `<enter>`, `<f2>`, `<ctrl-alt-delete>`; `<lt>` is the
/// character `<`. `dryrack screenshot` shows the result.
#[derive(Debug, clap::Args)]
#[command(group = clap::ArgGroup::new("what").required(true).multiple(true))]
pub(super) struct Args {
    /// Node
    #[arg(add = completions::nodes())]
    node: NodeName,
    /// Keys to press, as in `root<enter>`
    #[arg(long, group = "what", value_name = "KEYS")]
    keys: Option<String>,
    /// Print the Unix socket of the screen, for VNC viewers
    #[arg(long, group = "what")]
    vnc: bool,
    #[command(flatten)]
    lab: UpWithArgs,
}

/// Runs the command.
pub(super) fn run(args: &Args, locations: &Locations) -> Result<u8, Stop> {
    if let Some(text) = &args.keys {
        keys::parse(text).map_err(|error| Stop::new(exit::WRONG, error.0, None::<String>))?;
    }
    let up = args.lab.find_with(std::slice::from_ref(&args.node), locations)?;
    if let Some(text) = &args.keys {
        let pressed = block_on(Client::new(&up.socket).press(&args.node, text))?;
        pressed.map_err(|error| Stop::host(&error))?;
    }
    if args.vnc {
        let socket = up.run_dir.join("node").join(args.node.as_str()).join("vnc.sock");
        output::data(&format!("{}\n", socket.display()));
        if socket.as_os_str().len() > LONGEST {
            let folder = socket.parent().unwrap_or(Path::new("/")).display();
            output::note(&format!(
                "this path is longer than that of a socket may be: start the viewer in {folder} with `./vnc.sock`"
            ));
        }
    }
    Ok(exit::MET)
}
