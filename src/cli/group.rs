//! `dryrack group`: the groups of a matchbox, over gRPC.

use serde_json::{Value, json};

use super::output::{self, Stop};
use super::record::{self, Verb};
use super::rpc::ServerArgs;
use super::table::Table;
use crate::matchbox::labels;
use crate::matchbox::model;
use crate::report::exit;
use crate::rpc::message::{Group, GroupDeleteRequest, GroupGetRequest, GroupListRequest, GroupPutRequest};
use crate::run::Locations;

/// List, show, create or delete the groups of a matchbox
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
        Verb::List => {
            let groups = server.call(GroupListRequest {}, locations)?.groups;
            if server.json {
                output::json(&groups.iter().map(in_json).collect::<Vec<_>>())?;
            } else {
                let mut table = Table::new(["ID", "GROUP NAME", "SELECTORS", "PROFILE"]);
                for group in groups {
                    let selectors = labels::words(&group.selector);
                    table.row([group.id, group.name, selectors, group.profile]);
                }
                output::data(&table.to_string());
            }
        }
        Verb::Describe { id } => {
            let group = server.call(GroupGetRequest { id: id.clone() }, locations)?.group.unwrap_or_default();
            if server.json {
                output::json(&in_json(&group))?;
            } else {
                let mut table = Table::new(["ID", "NAME", "SELECTORS", "PROFILE", "METADATA"]);
                let selectors = labels::words(&group.selector);
                let metadata = String::from_utf8_lossy(&group.metadata).into_owned();
                table.row([group.id, group.name, selectors, group.profile, metadata]);
                output::data(&table.to_string());
            }
        }
        Verb::Create { file } => {
            let group = record::load(file, model::Group::read)?;
            let group = Group::from(group);
            let id = group.id.clone();
            server.call(GroupPutRequest { group: Some(group) }, locations)?;
            return server.done("created", "group", &id);
        }
        Verb::Delete { id } => {
            server.call(GroupDeleteRequest { id: id.clone() }, locations)?;
            return server.done("deleted", "group", id);
        }
    }
    Ok(exit::MET)
}

fn in_json(group: &Group) -> Value {
    let Group { id, name, profile, selector, metadata } = group;
    let metadata: Value = serde_json::from_slice(metadata).unwrap_or_default();
    json!({ "id": id, "name": name, "profile": profile, "selector": selector, "metadata": metadata })
}
