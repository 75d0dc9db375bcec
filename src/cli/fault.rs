//! `dryrack fault`: things that go wrong on purpose.

use super::completions;
use super::lab::UpWithArgs;
use super::output::{self, Stop};
use super::runtime::block_on;
use crate::config;
use crate::name::{NodeName, Trigger};
use crate::report::exit;
use crate::run::client::Client;
use crate::run::{FaultOrder, Locations};

/// Let something go wrong with nodes on purpose
///
/// What goes wrong is written as after `do` in a `[fault.NAME]` of the lab file: `dhcp=drop`, `http.status=404`,
/// `link.silence=30s`, `machine.memory=64MiB`. `dryrack guide faults` lists everything.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Nodes, or `all`, and what goes wrong, as KIND=VALUE
    #[arg(required = true, value_name = "NODE|KIND=VALUE", add = completions::nodes())]
    words: Vec<String>,
    /// What it comes after: an expectation, `action.NAME` or `process.NAME` [default: now]
    #[arg(long, conflicts_with = "end")]
    after: Option<Trigger>,
    /// How often it happens to each node [default: every time]
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..), conflicts_with = "end")]
    times: Option<u32>,
    /// End all faults of the nodes, also those of the lab file
    #[arg(long)]
    end: bool,
    #[command(flatten)]
    lab: UpWithArgs,
}

/// Runs the command.
pub(super) fn run(args: &Args, locations: &Locations) -> Result<u8, Stop> {
    let wrong = |what: &str| {
        let hint =
            "write the nodes and KIND=VALUE, as in `dryrack fault NODE dhcp=drop`, or the nodes and --end";
        Stop::new(exit::WRONG, what, Some(hint))
    };
    let (faults, nodes): (Vec<&str>, Vec<&str>) =
        args.words.iter().map(String::as_str).partition(|word| word.contains('='));
    let nodes =
        nodes.into_iter().map(|node| node.parse::<NodeName>().map_err(|error| wrong(&error.to_string())));
    let nodes = nodes.collect::<Result<Vec<_>, _>>()?;
    if nodes.is_empty() {
        return Err(wrong("no node is named"));
    }
    let order = match &faults[..] {
        [fault] if !args.end => match config::fault_kind(fault) {
            Ok(kind) => FaultOrder::Begin { kind, after: args.after.clone(), times: args.times },
            Err((diagnostics, sources)) => {
                output::diagnostics(&diagnostics, &sources);
                return Ok(exit::WRONG);
            }
        },
        [] if args.end => FaultOrder::End,
        [] => return Err(wrong("it is not said what goes wrong")),
        [_, ..] if args.end => return Err(wrong("faults end all together")),
        [_, ..] => return Err(wrong("one thing goes wrong at a time")),
    };
    let (up, nodes) = args.lab.find_nodes(&nodes, locations)?;
    let client = Client::new(&up.socket);
    for node in nodes {
        let done = block_on(client.fault(&node, &order))?;
        let names = done.map_err(|error| Stop::host(&error))?;
        let names: Vec<&str> = names.iter().map(|name| name.as_str()).collect();
        let names = names.join(", ");
        output::note(&match &order {
            FaultOrder::Begin { kind, after: None, .. } => format!("{node}: {kind} from now on ({names})"),
            FaultOrder::Begin { kind, after: Some(after), .. } => {
                format!("{node}: {kind} after {after} ({names})")
            }
            FaultOrder::End if names.is_empty() => format!("{node} has no fault"),
            FaultOrder::End => format!("{node}: over: {names}"),
        });
    }
    Ok(exit::MET)
}
