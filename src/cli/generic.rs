//! `dryrack generic`: the generic templates of a matchbox, over gRPC, which cannot list them.

use super::config::{self, Verb};
use super::output::Stop;
use super::rpc::ServerArgs;
use crate::rpc::message::{GenericDeleteRequest, GenericGetRequest, GenericPutRequest};
use crate::run::Locations;

/// Show, create or delete the generic templates of a matchbox
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
            let answer = server.call(GenericGetRequest { name: name.clone() }, locations)?;
            config::show(server, name, answer.config)
        }
        Verb::Create { file } => {
            let (name, config) = config::load(file)?;
            server.call(GenericPutRequest { name: name.clone(), config }, locations)?;
            server.done("created", "generic", &name)
        }
        Verb::Delete { name } => {
            server.call(GenericDeleteRequest { name: name.clone() }, locations)?;
            server.done("deleted", "generic", name)
        }
    }
}
