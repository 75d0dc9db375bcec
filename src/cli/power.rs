//! `dryrack power`: the power of nodes.

use clap::ValueEnum;

use super::lab::NodesArgs;
use super::output::{self, Stop};
use super::runtime::block_on;
use crate::node::Power;
use crate::report::exit;
use crate::run::Locations;
use crate::run::client::Client;

/// Power nodes on or off, cycle or reset them
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Action
    action: Action,
    #[command(flatten)]
    nodes: NodesArgs,
    /// Hard power-off instead of a shutdown (with `off`)
    #[arg(long, short)]
    force: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Action {
    /// Power on
    On,
    /// Press the power button (soft off, ACPI), and wait up to 60 s for the system to shut down
    Off,
    /// Power off at once and on again
    Cycle,
    /// Reset
    Reset,
    /// Send a non-maskable interrupt (NMI)
    Nmi,
}

/// Runs the command.
pub(super) fn run(args: &Args, locations: &Locations) -> Result<u8, Stop> {
    let power = match (args.action, args.force) {
        (Action::Off, true) => Power::ForceOff,
        (Action::Off, false) => Power::Off,
        (_, true) => {
            let what = "`--force` is only for `off`";
            return Err(Stop::new(exit::WRONG, what, None::<String>));
        }
        (Action::On, false) => Power::On,
        (Action::Cycle, false) => Power::Cycle,
        (Action::Reset, false) => Power::Reset,
        (Action::Nmi, false) => Power::Nmi,
    };
    let (up, nodes) = args.nodes.find(locations)?;
    let client = Client::new(&up.socket);
    let said = match power {
        Power::On => "is on",
        Power::Off | Power::ForceOff => "is off",
        Power::Cycle => "was power-cycled",
        Power::Reset => "was reset",
        Power::Nmi => "was interrupted",
    };
    // A failure of one machine does not affect the others.
    let (mut code, mut refused) = (exit::MET, None);
    for node in &nodes {
        match block_on(client.power(node, power))? {
            Ok(()) => output::note(&format!("{node} {said}")),
            Err(error) => {
                let stop = Stop::host(&error);
                code = stop.code;
                if let Some(before) = refused.replace(stop) {
                    output::stop(&before);
                }
            }
        }
    }
    refused.map_or(Ok(code), Err)
}
