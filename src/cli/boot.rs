//! `dryrack boot`: what nodes boot from.

use clap::ValueEnum;

use super::lab::NodesArgs;
use super::output::{self, Stop};
use super::runtime::block_on;
use crate::node::{BootOverride, Effect};
use crate::plan::BootTarget;
use crate::report::exit;
use crate::run::Locations;
use crate::run::client::Client;

/// Override what nodes boot from, once or at every start
///
/// An override for the next start takes effect when a node is powered on, cycled or reset with `dryrack power`, not
/// when its system reboots. If the device cannot be booted, the firmware continues with its boot order.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Boot device
    target: Target,
    #[command(flatten)]
    nodes: NodesArgs,
    /// For the next start only (the default)
    #[arg(long, conflicts_with = "always")]
    once: bool,
    /// For every start, until it is changed
    #[arg(long)]
    always: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Target {
    /// NICs
    Network,
    /// Disks, without USB sticks
    Disk,
    /// CD drives
    Cd,
    /// USB sticks
    Usb,
    /// Setup menu of the firmware
    Setup,
    /// No override: the boot order of the node
    Default,
}

/// Runs the command.
pub(super) fn run(args: &Args, locations: &Locations) -> Result<u8, Stop> {
    let target = match args.target {
        Target::Network => Some(BootTarget::Network),
        Target::Disk => Some(BootTarget::Disk),
        Target::Cd => Some(BootTarget::Cd),
        Target::Usb => Some(BootTarget::Usb),
        Target::Setup => Some(BootTarget::Setup),
        Target::Default => None,
    };
    let boot = match (target, args.always) {
        (None, true) => {
            let what = "`--always` needs a boot device";
            return Err(Stop::new(exit::WRONG, what, None::<String>));
        }
        (None, false) => BootOverride::Default,
        (Some(target), false) => BootOverride::Once(target),
        (Some(target), true) => BootOverride::Always(target),
    };
    let (up, nodes) = args.nodes.find(locations)?;
    let client = Client::new(&up.socket);
    for node in &nodes {
        let effect = block_on(client.boot(node, boot))?.map_err(|error| Stop::host(&error))?;
        let what = match target {
            Some(target) => format!("boots from {}", target.as_str()),
            None => "follows its boot order".to_owned(),
        };
        let when = match (effect, boot) {
            (Effect::Now, _) => "",
            (Effect::NextStart, BootOverride::Once(_)) => " at its next start",
            (Effect::NextStart, BootOverride::Always(_) | BootOverride::Default) => " from its next start on",
        };
        output::note(&format!("{node} {what}{when}"));
    }
    Ok(exit::MET)
}
