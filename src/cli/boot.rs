//! `dryrack boot`: what nodes boot from.

use clap::ValueEnum;

use super::completions;
use super::lab::{NodesArgs, UpWithArgs};
use super::output::{self, Stop};
use super::runtime::block_on;
use crate::name::NodeName;
use crate::node::{BootOverride, Effect};
use crate::plan::BootTarget;
use crate::report::exit;
use crate::run::Locations;
use crate::run::client::Client;

/// Override what nodes boot from, once or at every start
///
/// An override takes effect at the next start or reset of a node, also when its system reboots. If the device cannot be
/// booted, the firmware continues with its boot order.
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
    /// HTTP boot of the firmware, of UEFI only
    Http,
    /// No override: the boot order of the node
    Default,
}

/// Override what a node boots from at its next start
///
/// The same as `dryrack boot TARGET NODE`: the next start or reset of the node, whoever causes it, is from there, then its
/// boot order applies again. A UEFI node is told by the variable BootNext, so its boot order stays as its system has
/// set it.
#[derive(Debug, clap::Args)]
pub(super) struct NextArgs {
    /// Node
    #[arg(add = completions::nodes())]
    node: NodeName,
    /// Boot device
    target: Target,
    #[command(flatten)]
    lab: UpWithArgs,
}

/// Runs `dryrack boot-next`.
pub(super) fn run_next(args: &NextArgs, locations: &Locations) -> Result<u8, Stop> {
    let nodes = std::slice::from_ref(&args.node);
    let up = args.lab.find_with(nodes, locations)?;
    apply(&Client::new(&up.socket), nodes, args.target.once())
}

/// Runs `dryrack boot`.
pub(super) fn run(args: &Args, locations: &Locations) -> Result<u8, Stop> {
    let boot = match (args.target.once(), args.always) {
        (BootOverride::Default, true) => {
            let what = "`--always` needs a boot device";
            return Err(Stop::new(exit::WRONG, what, None::<String>));
        }
        (BootOverride::Once(target), true) => BootOverride::Always(target),
        (boot, _) => boot,
    };
    let (up, nodes) = args.nodes.find(locations)?;
    apply(&Client::new(&up.socket), &nodes, boot)
}

impl Target {
    /// Returns the override for the next start.
    fn once(self) -> BootOverride {
        BootOverride::Once(match self {
            Self::Network => BootTarget::Network,
            Self::Disk => BootTarget::Disk,
            Self::Cd => BootTarget::Cd,
            Self::Usb => BootTarget::Usb,
            Self::Setup => BootTarget::Setup,
            Self::Http => BootTarget::Http,
            Self::Default => return BootOverride::Default,
        })
    }
}

fn apply(client: &Client, nodes: &[NodeName], boot: BootOverride) -> Result<u8, Stop> {
    for node in nodes {
        let effect = block_on(client.boot(node, boot))?.map_err(|error| Stop::host(&error))?;
        let what = match (boot, boot.target()) {
            (BootOverride::Entry(number), _) => format!("boots the entry Boot{number:04X}"),
            (_, Some(target)) => format!("boots from {}", target.as_str()),
            (_, None) => "follows its boot order".to_owned(),
        };
        let when = match (effect, boot) {
            (Effect::Now, _) => "",
            (Effect::NextStart, BootOverride::Once(_) | BootOverride::Entry(_)) => " at its next start",
            (Effect::NextStart, BootOverride::Always(_) | BootOverride::Default) => " from its next start on",
        };
        output::note(&format!("{node} {what}{when}"));
    }
    Ok(exit::MET)
}
