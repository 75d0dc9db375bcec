//! `dryrack exec`: runs a command in a lab's network.

use std::ffi::OsString;
use std::os::unix::process::ExitStatusExt;

use super::lab::UpArgs;
use super::output::Stop;
use crate::run::Locations;
use crate::system::namespace::run_inside;

/// Run a command in the network of a lab
///
/// Options of `exec` itself come before the command, as in `dryrack exec --lab first ip -br address`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    lab: UpArgs,
    /// Command and its arguments
    #[arg(trailing_var_arg = true, required = true, value_name = "CMD")]
    command: Vec<OsString>,
}

/// Runs the command. The exit code is that of the user's command.
pub(super) fn run(args: Args, locations: &Locations) -> Result<u8, Stop> {
    let up = args.lab.find(locations)?;
    inside(&up.run_dir, &args.command)
}

/// Runs a command in the namespaces of a run and returns its exit code, 128 + n for a signal n.
pub(super) fn inside(run_dir: &std::path::Path, command: &[OsString]) -> Result<u8, Stop> {
    let status = run_inside(run_dir, command).map_err(|error| Stop::host(&error))?;
    let code = status.code().or_else(|| status.signal().map(|signal| 128 + signal)).unwrap_or_default();
    Ok(u8::try_from(code).unwrap_or(u8::MAX))
}
