//! `dryrack ignition`: the Ignition configs and Butane templates of a matchbox, over gRPC, which cannot list them.

use super::config::{self, Verb};
use super::output::Stop;
use super::rpc::ServerArgs;
use crate::rpc::message::{IgnitionDeleteRequest, IgnitionGetRequest, IgnitionPutRequest};
use crate::run::Locations;

/// Show, create or delete the Ignition configs and Butane templates of a matchbox
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    server: ServerArgs,
    #[command(subcommand)]
    verb: Verb,
}

/// Runs the command.
pub(super) fn run(args: &Args, locations: &Locations) -> Result<u8, Stop> {
    let Args { server, verb } = args;
    match verb {
        Verb::Describe { name } => {
            let answer = server.call(IgnitionGetRequest { name: name.clone() }, locations)?;
            config::show(server, name, answer.config)
        }
        Verb::Create { file } => {
            let (name, config) = config::load(file)?;
            server.call(IgnitionPutRequest { name: name.clone(), config }, locations)?;
            server.done("created", "ignition", &name)
        }
        Verb::Delete { name } => {
            server.call(IgnitionDeleteRequest { name: name.clone() }, locations)?;
            server.done("deleted", "ignition", name)
        }
    }
}
