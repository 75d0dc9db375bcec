//! `dryrack ssh` and `dryrack ssh-config`: ssh to nodes from the host.

use std::ffi::OsString;
use std::fmt::Write;
use std::net::IpAddr;
use std::path::Path;

use super::completions;
use super::exec::{ended, inside};
use super::lab::{UpArgs, UpWithArgs, status};
use super::output::{self, Stop};
use crate::lab::{Isolation, Secret};
use crate::name::{ExpectName, NodeName};
use crate::plan::{Plan, Reach};
use crate::report::exit;
use crate::run::client::Status;
use crate::run::ssh::KeyFile;
use crate::run::{Locations, RegisteredLab, Request, ssh};
use crate::system::namespace::run_here;

/// Log in to a node over ssh
///
/// Uses the keys of the node's ssh expectations and the key of the run. Host keys of nodes are kept apart from yours.
/// `--lab` and other options of Dryrack come before the node; everything after it is for ssh.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Node, optionally with a user [default user: as in the lab file]
    #[arg(value_name = "[USER@]NODE", add = completions::nodes())]
    whom: String,
    /// Options for ssh, then a command to run instead of a shell
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, value_name = "ARG")]
    rest: Vec<OsString>,
    #[command(flatten)]
    lab: UpWithArgs,
}

/// Print an ssh configuration for ssh, scp and rsync to the nodes of a lab
///
/// Example: `dryrack ssh-config > lab.ssh; scp -F lab.ssh file node1:`.
#[derive(Debug, clap::Args)]
pub(super) struct ConfigArgs {
    #[command(flatten)]
    lab: UpArgs,
}

/// Runs `dryrack ssh`: the exit code is that of ssh.
pub(super) fn run(args: &Args, locations: &Locations) -> Result<u8, Stop> {
    let (user, node) = match args.whom.split_once('@') {
        Some((user, node)) => (Some(user.to_owned()), node),
        None => (None, args.whom.as_str()),
    };
    let node = &NodeName::new(node).map_err(|error| Stop::new(exit::WRONG, error.0, None::<String>))?;
    let up = args.lab.find_with(std::slice::from_ref(node), locations)?;
    let address = address(&status(&up)?, node)?;
    let plan = plan(&up);
    let from = plan.as_ref().map_or(Ok(None), |plan| reached_from(plan, node, address))?.cloned();
    let user = user.or_else(|| plan.as_ref().and_then(|plan| usual_user(plan, node)));
    // Copies are deleted when ssh has ended.
    let keys =
        plan.map(|plan| key_files(&plan, &locations.runtime, node, user.as_deref())).unwrap_or_default();
    let paths: Vec<&Path> = keys.iter().map(KeyFile::path).collect();
    let mut command: Vec<OsString> = vec!["ssh".into()];
    let mut options = ssh::options(&up.run_dir, node.as_str(), address, &paths);
    if from.is_some() {
        let program = std::env::current_exe().map_err(|error| Stop::host(&error))?;
        options.push(("ProxyCommand", proxy(&program, &locations.runtime, &up.file, from.as_ref())));
    }
    for (key, value) in options {
        command.extend(["-o".into(), format!("{key}={value}").into()]);
    }
    if let Some(user) = user {
        command.extend(["-l".into(), user.into()]);
    }
    // ssh accepts options after the node, too, as long as they precede the command.
    command.push(node.as_str().into());
    command.extend_from_slice(&args.rest);
    match from {
        // Only from outside the lab can its hosts be entered.
        Some(_) => ended(run_here(&up.run_dir, &command, &[])),
        None => inside(&up.run_dir, &command),
    }
}

/// Returns the host from which a node is reached, if it is not from the bridges.
fn reached_from<'p>(plan: &'p Plan, node: &NodeName, address: IpAddr) -> Result<Option<&'p NodeName>, Stop> {
    match plan.reach(address) {
        Reach::Bridge => Ok(None),
        Reach::Host(host) => Ok(Some(host)),
        Reach::Nobody(network) => Err(Stop::new(
            exit::WRONG,
            format!("nothing of the lab reaches {node} at {address}: network {network} has no address"),
            Some(format!(
                "name a host of the lab that is on it: network.{network}.probe-from; or give it an address: \
                 network.{network}.address in place of `subnet`"
            )),
        )),
    }
}

/// Runs `dryrack ssh-config`.
pub(super) fn config(args: &ConfigArgs, locations: &Locations) -> Result<u8, Stop> {
    let up = args.lab.find(locations)?;
    let status = status(&up)?;
    let plan = plan(&up);
    let program = std::env::current_exe().map_err(|error| Stop::host(&error))?;
    let mut text = String::new();
    for (node, addresses) in &status.addresses {
        let Some(address) = addresses.first() else { continue };
        let host = match plan.as_ref().map(|plan| plan.reach(*address)) {
            Some(Reach::Host(host)) => Some(host),
            _ => None,
        };
        let proxy = (status.isolation == Isolation::Private || host.is_some())
            .then(|| proxy(&program, &locations.runtime, &up.file, host));
        let user = plan.as_ref().and_then(|plan| usual_user(plan, node));
        let keys = plan.as_ref().map(|plan| ssh::expected_keys(plan, node, user.as_deref()));
        let (user, keys) = (user.as_deref(), keys.unwrap_or_default());
        text += &block(&up.run_dir, node, *address, user, &keys, proxy.as_deref());
    }
    output::data(&text);
    Ok(exit::MET)
}

/// Returns files with the keys with which expectations log in to a node.
fn key_files(plan: &Plan, runtime: &Path, node: &NodeName, user: Option<&str>) -> Vec<KeyFile> {
    let mut files = Vec::new();
    for (expectation, key) in ssh::expected_keys(plan, node, user) {
        match KeyFile::of(key, runtime) {
            Ok(file) => files.push(file),
            Err(why) => output::note(&format!("the key of `expect.{expectation}` is not offered: {why}")),
        }
    }
    files
}

fn block(
    run_dir: &Path,
    node: &NodeName,
    address: IpAddr,
    user: Option<&str>,
    keys: &[(&ExpectName, &Secret)],
    proxy: Option<&str>,
) -> String {
    let mut text = format!("Host {node}\n");
    let mut files = Vec::new();
    for (expectation, key) in keys {
        match key {
            Secret::File(path) => files.push(path.as_path()),
            Secret::Env(name) => {
                let where_it_is = format!("the key of `expect.{expectation}` is in the variable {name}");
                writeln!(text, "  # {where_it_is}").expect("a string takes everything");
            }
        }
    }
    let further = [("User", user), ("ProxyCommand", proxy)];
    let further = further.into_iter().filter_map(|(key, value)| Some((key, value?.to_owned())));
    for (key, value) in ssh::options(run_dir, node.as_str(), address, &files).into_iter().chain(further) {
        writeln!(text, "  {key} {value}").expect("a string takes everything");
    }
    text
}

/// Returns the ProxyCommand that connects ssh on the user's machine to a node, from a host of the lab if one is given.
fn proxy(program: &Path, runtime: &Path, file: &Path, from: Option<&NodeName>) -> String {
    let [program, runtime, file] = [program, runtime, file].map(quoted);
    // Where a host has no file of this program, the process that enters it still has.
    let (place, inside) = match from {
        Some(host) => (format!(" --in {host}"), "/proc/self/exe"),
        None => (String::new(), program.as_str()),
    };
    format!("{program} --runtime {runtime} exec --lab {file}{place} -- {inside} @pipe %h:%p")
}

/// Quotes a path for the shell that runs the ProxyCommand, and for ssh itself.
fn quoted(path: &Path) -> String {
    format!("'{}'", path.display().to_string().replace('%', "%%").replace('\'', r"'\''"))
}

/// Returns the plan of a run.
fn plan(up: &RegisteredLab) -> Option<Plan> {
    Some(Request::read(&up.run_dir).ok()?.plan)
}

fn address(status: &Status, node: &NodeName) -> Result<IpAddr, Stop> {
    let first = status.addresses.get(node).and_then(|addresses| addresses.first()).copied();
    first.ok_or_else(|| {
        let hint = Some("`dryrack status` shows its stage; `dryrack console` needs no address");
        Stop::new(exit::UNFIT, format!("node `{node}` has no address yet"), hint)
    })
}

/// Returns the login user of a node.
fn usual_user(plan: &Plan, node: &NodeName) -> Option<String> {
    plan.nodes.get(node)?.user.clone()
}
