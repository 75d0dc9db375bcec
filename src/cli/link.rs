//! `dryrack link`: the network links of nodes.

use clap::ValueEnum;

use super::completions;
use super::lab::{self, UpWithArgs};
use super::output::{self, Stop};
use super::runtime::block_on;
use crate::name::{NicName, NodeName};
use crate::report::exit;
use crate::run::client::Client;
use crate::run::{Locations, RegisteredLab};

/// Set the link of a node's NIC up or down
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Link state
    state: State,
    /// Node
    #[arg(add = completions::nodes())]
    node: NodeName,
    /// NIC [default: the only NIC of the node]
    nic: Option<NicName>,
    #[command(flatten)]
    lab: UpWithArgs,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum State {
    /// Connect the cable
    Up,
    /// Disconnect the cable
    Down,
}

/// Runs the command.
pub(super) fn run(args: &Args, locations: &Locations) -> Result<u8, Stop> {
    let up = args.lab.find_with(std::slice::from_ref(&args.node), locations)?;
    let nic = match &args.nic {
        Some(nic) => nic.clone(),
        None => only_nic(&up, &args.node)?,
    };
    let client = Client::new(&up.socket);
    let plugged = args.state == State::Up;
    let done = block_on(client.link(&args.node, &nic, plugged))?;
    done.map_err(|error| Stop::host(&error))?;
    let state = if plugged { "up" } else { "down" };
    output::note(&format!("{nic} of {} is {state}", args.node));
    Ok(exit::MET)
}

/// Returns the only NIC of a node.
fn only_nic(up: &RegisteredLab, node: &NodeName) -> Result<NicName, Stop> {
    let request = lab::request(up, "name the NIC")?;
    let of_node = request.plan.nodes.get(node);
    let of_node = of_node.map(|plan| plan.nics.iter().map(|nic| &nic.nic).collect::<Vec<_>>());
    let of_host = request.plan.hosts.get(node);
    let of_host = of_host.map(|plan| plan.nics.iter().map(|nic| &nic.nic).collect::<Vec<_>>());
    let Some(nics) = of_node.or(of_host) else {
        let hint = Some("`dryrack status` lists the nodes");
        return Err(Stop::new(exit::WRONG, format!("unknown node `{node}`"), hint));
    };
    match &nics[..] {
        [nic] => Ok((*nic).clone()),
        nics => {
            let names: Vec<&str> = nics.iter().map(|nic| nic.as_str()).collect();
            let what = format!("node `{node}` has {} NICs: {}", nics.len(), names.join(", "));
            Err(Stop::new(exit::WRONG, what, Some("name the NIC")))
        }
    }
}
