//! `dryrack profile`: the profiles of a matchbox, over gRPC.

use serde_json::{Value, json};

use super::output::{self, Stop};
use super::record::{self, Verb};
use super::rpc::ServerArgs;
use super::table::Table;
use crate::matchbox::model;
use crate::report::exit;
use crate::rpc::message::{
    NetBoot, Profile, ProfileDeleteRequest, ProfileGetRequest, ProfileListRequest, ProfilePutRequest,
};
use crate::run::Locations;

/// List, show, create or delete the profiles of a matchbox
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
            let profiles = server.call(ProfileListRequest {}, locations)?.profiles;
            if server.json {
                output::json(&profiles.iter().map(in_json).collect::<Vec<_>>())?;
            } else {
                let mut table = Table::new(["ID", "PROFILE NAME", "IGNITION", "CLOUD"]);
                for Profile { id, name, ignition_id, cloud_id, boot: _, generic_id: _ } in profiles {
                    table.row([id, name, ignition_id, cloud_id]);
                }
                output::data(&table.to_string());
            }
        }
        Verb::Describe { id } => {
            let answer = server.call(ProfileGetRequest { id: id.clone() }, locations)?;
            let profile = answer.profile.unwrap_or_default();
            if server.json {
                output::json(&in_json(&profile))?;
            } else {
                let mut table = Table::new(["ID", "NAME", "IGNITION", "CLOUD", "KERNEL", "INITRD", "ARGS"]);
                let Profile { id, name, ignition_id, cloud_id, boot, generic_id: _ } = profile;
                let NetBoot { kernel, initrd, args } = boot.unwrap_or_default();
                table.row([id, name, ignition_id, cloud_id, kernel, initrd.join(" "), args.join(" ")]);
                output::data(&table.to_string());
            }
        }
        Verb::Create { file } => {
            let profile = record::load(file, model::Profile::read)?;
            let boots = profile.boot.is_some();
            let mut profile = Profile::from(profile);
            // A file without `boot` means that nothing is booted; keep it that way.
            profile.boot = profile.boot.filter(|_| boots);
            let id = profile.id.clone();
            server.call(ProfilePutRequest { profile: Some(profile) }, locations)?;
            return server.done("created", "profile", &id);
        }
        Verb::Delete { id } => {
            server.call(ProfileDeleteRequest { id: id.clone() }, locations)?;
            return server.done("deleted", "profile", id);
        }
    }
    Ok(exit::MET)
}

fn in_json(profile: &Profile) -> Value {
    let Profile { id, name, ignition_id, cloud_id, boot, generic_id } = profile;
    let NetBoot { kernel, initrd, args } = boot.clone().unwrap_or_default();
    json!({
        "id": id,
        "name": name,
        "ignition_id": ignition_id,
        "cloud_id": cloud_id,
        "boot": { "kernel": kernel, "initrd": initrd, "args": args },
        "generic_id": generic_id,
    })
}
