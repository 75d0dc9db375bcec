//! `dryrack up`: brings a lab up and follows it, or leaves it running.

use std::path::PathBuf;

use super::blueprint::Blueprint;
use super::foreground::{Detach, ForegroundEnd, foreground};
use super::lab::LabArgs;
use super::output::{self, Stop};
use super::prepare;
use super::progress::RunProgress;
use super::runtime::block_on;
use super::wait;
use crate::report::{self, exit};
use crate::run::client::Client;
use crate::run::{LabLockError, Launched, Locations, Until, forget_ended, lab_lock, launch, recover};

/// Bring a lab up; Ctrl-C tears it down
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    lab: LabArgs,
    /// Run a plan printed by `dryrack plan --json` instead of a lab file; its commands run as you
    #[arg(long, value_name = "FILE", conflicts_with_all = ["lab", "on", "set", "images"])]
    plan: Option<PathBuf>,
    /// Keep all disks of the lab when it is torn down, and use those that were kept before
    #[arg(long, conflicts_with = "plan")]
    keep_disks: bool,
    /// Detach as soon as the lab is up, and leave it running
    #[arg(long, short)]
    detach: bool,
    /// Detach when every expectation is decided that can be before the lab is torn down, and leave it running; exit
    /// code 1 if one is missed
    #[arg(long)]
    wait: bool,
}

/// Runs the command.
pub(super) fn run(args: Args, locations: &Locations) -> Result<u8, Stop> {
    let mut blueprint = match &args.plan {
        Some(file) => Blueprint::of_plan(file)?,
        None => Blueprint::of_lab(&args.lab.lab, &args.lab.layers, locations)?,
    };
    if args.keep_disks {
        blueprint.keep_disks();
    }
    let nodes = blueprint.nodes();
    let launched = start(blueprint, locations, Until::Stopped)?;
    let run_dir = launched.run_dir.clone();
    let leave = match (args.wait, args.detach) {
        (true, _) => Detach::WhenDecided,
        (false, true) => Detach::WhenUp,
        (false, false) => Detach::Never,
    };
    let client = Client::new(&launched.socket);
    let mut progress = RunProgress::new(nodes, None);
    let end = block_on(foreground(launched, leave, &mut progress))??;
    progress.end();
    forget_ended(locations);
    let ended = match end {
        ForegroundEnd::Left => {
            let code = if args.wait { judge(&client)? } else { exit::MET };
            output::note("the lab is up; `dryrack status` shows its state, `dryrack down` tears it down");
            return Ok(code);
        }
        ForegroundEnd::Ended(ended) => ended,
    };
    match (&ended.report, ended.silence(&run_dir)) {
        (Some(report), _) => output::report(report),
        (None, Some(run_error)) => output::error(&run_error.what, run_error.hint.as_deref()),
        (None, None) => {}
    }
    Ok(ended.code)
}

/// Prints the verdicts on all expectations of a lab that is up, and returns the exit code for them.
fn judge(client: &Client) -> Result<u8, Stop> {
    let status = block_on(client.status())?.map_err(|error| Stop::host(&error))?;
    let text = report::verdicts(&status.verdicts, status.snapshot.now, output::width());
    output::data(&output::painted(&text));
    Ok(wait::code(&status.verdicts))
}

/// Plans a lab, or checks its plan, builds missing images and starts its run.
pub(super) fn start(blueprint: Blueprint, locations: &Locations, until: Until) -> Result<Launched, Stop> {
    let lab_lock = lab_lock(locations, blueprint.file()).map_err(|error| match error {
        LabLockError::Up(_) => Stop::wrong(&error),
        LabLockError::Busy { .. } | LabLockError::Foreign { .. } | LabLockError::Files { .. } => {
            Stop::host(&error)
        }
    })?;
    for leak in recover(locations) {
        output::note(&format!("incomplete cleanup of an earlier run: {leak}"));
    }
    let (plan, library) = blueprint.decide(locations)?;
    let images = prepare::build_images(&plan, &library)?;
    let downloads = prepare::download(&plan, &library)?;
    launch(locations, lab_lock, plan, (images, downloads), until).map_err(|error| {
        forget_ended(locations);
        Stop::host(&error)
    })
}
