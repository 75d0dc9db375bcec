//! `dryrack trace`: the timeline of a run, from its recorded events alone.

use std::fs::File;
use std::io::BufReader;

use super::completions;
use super::output::{self, Stop};
use crate::event::{self, Recorded};
use crate::hint::{Hint, chain};
use crate::report::{self, exit};
use crate::run::{Locations, store};

/// Show the timeline of a run, from its recorded events alone
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Run name, run folder, `events.jsonl`, or lab name for its latest run [default: the latest run]
    #[arg(add = completions::runs())]
    run: Option<String>,
    /// Print JSON, one event per line (`at` in nanoseconds, `wall`, `source`, `node`, `exchange`, `kind`, `fields`), after a header
    #[arg(long)]
    json: bool,
}

/// Runs the command.
pub(super) fn run(args: &Args, locations: &Locations) -> Result<u8, Stop> {
    let folder = store::find(locations, args.run.as_deref()).map_err(|error| Stop::wrong(&error))?;
    let path = folder.join("events.jsonl");
    let of_path = |error: &dyn Hint| {
        Stop::new(exit::WRONG, format!("{}: {}", path.display(), chain(error)), error.hint())
    };
    let file = File::open(&path).map_err(|error| of_path(&error))?;
    let recorded = event::read(BufReader::new(file)).map_err(|error| of_path(&error))?;
    match args.json {
        true => output::data(&lines(&recorded)?),
        false => output::data(&report::trace(&recorded)),
    }
    Ok(exit::MET)
}

fn lines(recorded: &Recorded) -> Result<String, Stop> {
    let mut text = output::json_line(&recorded.header)?;
    for event in &recorded.events {
        text += &output::json_line(event)?;
    }
    Ok(text)
}
