//! `dryrack up`: brings a lab up and stays with it, or leaves it running.

use super::foreground::{Detach, ForegroundEnd, foreground};
use super::lab::{LabArgs, ValidLab, valid};
use super::output::{self, Stop};
use super::prepare::{self, Loudness};
use super::progress::RunProgress;
use super::runtime::block_on;
use crate::report::exit;
use crate::run::{LabLockError, Launched, Locations, Until, lab_lock, launch, recover};

/// Bring a lab up, and take it down again with Ctrl-C
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    lab: LabArgs,
    /// Detach the lab running as soon as it is up
    #[arg(long, short)]
    detach: bool,
}

/// Runs the verb.
pub(super) fn run(args: Args, locations: &Locations) -> Result<u8, Stop> {
    let valid = valid(args.lab.read()?, locations, None)?;
    let nodes: Vec<_> = valid.lab.nodes.keys().cloned().collect();
    let launched = start(valid, locations, Until::Told)?;
    let run_dir = launched.run_dir.clone();
    let leave = if args.detach { Detach::WhenUp } else { Detach::Never };
    let mut progress = RunProgress::new(nodes, None);
    let attended = block_on(foreground(launched, leave, &mut progress))??;
    progress.end();
    let ended = match attended {
        ForegroundEnd::Left => {
            output::note("the lab is up; `dryrack status` shows it, `dryrack down` takes it down");
            return Ok(exit::MET);
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

/// Plans a lab, builds what it needs and starts its run.
pub(super) fn start(valid: ValidLab, locations: &Locations, until: Until) -> Result<Launched, Stop> {
    let lab_lock = lab_lock(locations, &valid.texts.file).map_err(|error| match error {
        LabLockError::Up(_) => Stop::wrong(&error),
        LabLockError::Busy { .. } | LabLockError::Foreign { .. } | LabLockError::Files { .. } => {
            Stop::host(&error)
        }
    })?;
    for leak in recover(locations) {
        output::note(&format!("an earlier run left something behind: {leak}"));
    }
    let facts = prepare::facts(&valid.lab, &valid.library, locations, Loudness::Loud);
    let plan = prepare::decide(&valid, &facts)?;
    prepare::build_images(&plan, &valid.library)?;
    launch(locations, lab_lock, valid.texts, plan, facts, until).map_err(|error| Stop::host(&error))
}
