//! `dryrack fault`: things that go wrong on purpose.

use super::completions;
use super::lab::UpWithArgs;
use super::output::{self, Stop};
use super::runtime::block_on;
use crate::config;
use crate::name::NodeName;
use crate::report::exit;
use crate::run::client::Client;
use crate::run::{FaultOrder, Locations};

/// Let something go wrong with a node on purpose
///
/// What goes wrong is written as after `do` in a `[fault.NAME]` of the lab file: `dhcp=drop`, `http.status=404`,
/// `link.silence=30s`, `machine.memory=64MiB`. `dryrack guide faults` lists everything.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Node
    #[arg(add = completions::nodes())]
    node: NodeName,
    /// What goes wrong, as KIND=VALUE
    #[arg(required_unless_present = "end", conflicts_with = "end")]
    fault: Option<String>,
    /// How often it happens [default: every time]
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..), conflicts_with = "end")]
    times: Option<u32>,
    /// End all faults of the node, also those of the lab file
    #[arg(long)]
    end: bool,
    #[command(flatten)]
    lab: UpWithArgs,
}

/// Runs the command.
pub(super) fn run(args: &Args, locations: &Locations) -> Result<u8, Stop> {
    let order = match &args.fault {
        Some(fault) => match config::fault_kind(fault) {
            Ok(kind) => FaultOrder::Begin { kind, times: args.times },
            Err((diagnostics, sources)) => {
                output::diagnostics(&diagnostics, &sources);
                return Ok(exit::WRONG);
            }
        },
        None => FaultOrder::End,
    };
    let up = args.lab.find_with(std::slice::from_ref(&args.node), locations)?;
    let done = block_on(Client::new(&up.socket).fault(&args.node, &order))?;
    let names = done.map_err(|error| Stop::host(&error))?;
    let names: Vec<&str> = names.iter().map(|name| name.as_str()).collect();
    output::note(&match &order {
        FaultOrder::Begin { kind, .. } => format!("{}: {kind} from now on ({})", args.node, names.join(", ")),
        FaultOrder::End if names.is_empty() => format!("{} has no fault", args.node),
        FaultOrder::End => format!("{}: over: {}", args.node, names.join(", ")),
    });
    Ok(exit::MET)
}
