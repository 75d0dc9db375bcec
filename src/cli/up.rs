//! `dryrack up`: brings a lab up and stays with it, or leaves it running.

use super::attend::{Attended, Leave, attend};
use super::lab::{LabArgs, Sound, sound};
use super::output::{self, Stop};
use super::prepare::{self, Loudness};
use super::progress::RunProgress;
use crate::report::exit;
use crate::run::{ClaimError, Launched, Locations, Until, claim, launch, mend};

/// Bring a lab up, and take it down again with Ctrl-C
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    lab: LabArgs,
    /// Leave the lab running as soon as it is up
    #[arg(long, short)]
    detach: bool,
}

/// Runs the verb.
pub(super) fn run(args: Args, locations: &Locations) -> Result<u8, Stop> {
    let sound = sound(args.lab.read()?, locations, None)?;
    let nodes: Vec<_> = sound.lab.nodes.keys().cloned().collect();
    let launched = start(sound, locations, Until::Told)?;
    let run_dir = launched.run_dir.clone();
    let leave = if args.detach { Leave::WhenUp } else { Leave::Never };
    let mut progress = RunProgress::new(nodes, None);
    let attended = block_on(attend(launched, leave, &mut progress))??;
    progress.end();
    let ended = match attended {
        Attended::Left => {
            output::note("the lab is up; `dryrack status` shows it, `dryrack down` takes it down");
            return Ok(exit::MET);
        }
        Attended::Ended(ended) => ended,
    };
    match (&ended.report, ended.silence(&run_dir)) {
        (Some(report), _) => output::report(report),
        (None, Some(fault)) => output::error(&fault.what, fault.hint.as_deref()),
        (None, None) => {}
    }
    Ok(ended.code)
}

/// Plans a lab, builds what it needs and starts its run.
pub(super) fn start(sound: Sound, locations: &Locations, until: Until) -> Result<Launched, Stop> {
    let claim = claim(locations, &sound.texts.file).map_err(|error| match error {
        ClaimError::Up(_) => Stop::wrong(&error, Some(error.hint())),
        ClaimError::Busy { .. } | ClaimError::Foreign { .. } | ClaimError::Files { .. } => {
            Stop::host(&error, Some(error.hint()))
        }
    })?;
    for leak in mend(locations) {
        output::note(&format!("an earlier run left something behind: {leak}"));
    }
    let facts = prepare::facts(&sound.lab, &sound.library, locations, Loudness::Loud);
    let plan = prepare::decide(&sound, &facts)?;
    prepare::build_images(&plan, &sound.library)?;
    launch(locations, claim, sound.texts, plan, facts, until)
        .map_err(|error| Stop::host(&error, error.hint()))
}

/// Runs the asynchronous part of a verb.
pub(super) fn block_on<T>(work: impl Future<Output = T>) -> Result<T, Stop> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| Stop::host(&error, None::<String>))?;
    let done = runtime.block_on(work);
    // Standard input may be read by a thread that cannot be stopped.
    runtime.shutdown_background();
    Ok(done)
}
