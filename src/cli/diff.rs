//! `dryrack diff`: where the dialogues of two runs part.

use serde::Serialize;

use super::completions;
use super::events::recorded;
use super::output::{self, Stop};
use crate::observe::Timeline;
use crate::report::{self, RunDiff, exit};
use crate::run::{Locations, store};

/// Compare what the nodes of two runs asked and what was answered
///
/// Shows the first difference of each node. Times, durations, sizes, ports, identifiers, repetitions and addresses that
/// a server chose do not count. The exit code is 0 if all dialogues are the same, and 1 if one differs.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Run name, run folder, `events.jsonl`, or lab name for its latest run
    #[arg(value_name = "RUN_A", add = completions::runs())]
    first: String,
    /// The same, of the other run
    #[arg(value_name = "RUN_B", add = completions::runs())]
    second: String,
    /// Print JSON: `runs`, `same` and `nodes`; of each node `same` and its `first` difference, a list of lines with
    /// `of` (`both`, `first`, `second`) and `text`
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct Json<'a> {
    runs: [&'a str; 2],
    #[serde(flatten)]
    diff: &'a RunDiff,
}

/// Runs the command.
pub(super) fn run(args: &Args, locations: &Locations) -> Result<u8, Stop> {
    let timeline = |run: &str| {
        let folder = store::find(locations, Some(run)).map_err(|error| Stop::wrong(&error))?;
        let name = folder.file_name().unwrap_or(folder.as_os_str()).to_string_lossy().into_owned();
        Ok::<_, Stop>((name, Timeline::new(&recorded(&folder)?.events)))
    };
    let (first, second) = (timeline(&args.first)?, timeline(&args.second)?);
    let diff = report::diff(&first.1, &second.1);
    match args.json {
        true => output::json(&Json { runs: [&first.0, &second.0], diff: &diff })?,
        false => output::lines(&diff.lines(&first.0, &second.0)),
    }
    Ok(if diff.same { exit::MET } else { exit::MISSED })
}
