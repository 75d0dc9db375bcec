//! `dryrack exec`: runs a command in a lab's network.

use std::ffi::OsString;
use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;

use super::completions;
use super::lab::{self, UpArgs};
use super::output::Stop;
use crate::diag::{enumerate, nearest};
use crate::name::NodeName;
use crate::report::exit;
use crate::run::{Locations, variables};
use crate::system::namespace::{NamespaceError, run_inside, run_on_host};

/// Run a command in the network of a lab
///
/// Options of `exec` itself come before the command, as in `dryrack exec --lab first ip -br address`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    lab: UpArgs,
    /// Run it on this host of the lab, as root there, instead of in the lab's network
    #[arg(long = "in", value_name = "HOST", add = completions::hosts())]
    on: Option<NodeName>,
    /// Command and its arguments
    #[arg(trailing_var_arg = true, required = true, value_name = "CMD")]
    command: Vec<OsString>,
}

/// Runs the command. The exit code is that of the user's command.
pub(super) fn run(args: Args, locations: &Locations) -> Result<u8, Stop> {
    let up = args.lab.find(locations)?;
    let Some(host) = &args.on else { return inside(&up.run_dir, &args.command) };
    let request = lab::request(&up, "run it without `--in`")?;
    if !request.plan.hosts.contains_key(host) {
        let hosts = || request.plan.hosts.keys().map(NodeName::as_str);
        let hint = match nearest(host.as_str(), hosts()) {
            Some(near) => format!("did you mean `{near}`?"),
            None if request.plan.hosts.is_empty() => "its lab file has no [host.NAME]".to_owned(),
            None => format!("hosts of the lab: {}", enumerate(hosts())),
        };
        let what = format!("lab {} has no host `{host}`", request.plan.lab);
        return Err(Stop::new(exit::WRONG, what, Some(hint)));
    }
    ended(run_on_host(&up.run_dir, host, &args.command, &variables(&up.run_dir, true)))
}

/// Runs a command in the namespaces of a run and returns its exit code, 128 + n for a signal n.
pub(super) fn inside(run_dir: &std::path::Path, command: &[OsString]) -> Result<u8, Stop> {
    ended(run_inside(run_dir, command, &variables(run_dir, false)))
}

/// Returns the exit code of a command that ended, 128 + n for a signal n.
pub(super) fn ended(status: Result<ExitStatus, NamespaceError>) -> Result<u8, Stop> {
    let status = status.map_err(|error| Stop::host(&error))?;
    let code = status.code().or_else(|| status.signal().map(|signal| 128 + signal)).unwrap_or_default();
    Ok(u8::try_from(code).unwrap_or(u8::MAX))
}
