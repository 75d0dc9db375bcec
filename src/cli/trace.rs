//! `dryrack trace`: the timeline of a run, from its recorded events alone.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use super::completions;
use super::events::{self, header, recorded};
use super::output::{self, Stop};
use super::runtime::block_on;
use crate::event::{Event, Kind, Known, Recorded};
use crate::observe::{Timeline, TimelineFold};
use crate::report::{self, EventList, Follower, exit};
use crate::run::{Locations, RegisteredLab, registered, store};

/// Show the timeline of a run: stages, and what was asked and answered
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Run name, run folder, `events.jsonl`, or lab name for its latest run [default: the latest run]
    #[arg(add = completions::runs())]
    run: Option<String>,
    /// List every event instead, in the order of the record
    #[arg(long, short)]
    events: bool,
    /// Show what the run waited for: the chain of stages, transfers and waits up to the last decided expectation
    #[arg(long, conflicts_with = "events")]
    critical_path: bool,
    /// Follow a run that is up, line by line, until it ends
    #[arg(long, short, conflicts_with_all = ["critical_path", "perfetto"])]
    follow: bool,
    /// Print JSON: the timeline, with `--critical-path` its `links`, and with `--events` one event per line (`at` in
    /// nanoseconds, `wall`, `source`, `node`, `exchange`, `kind`, `fields`), after a header
    #[arg(long)]
    json: bool,
    /// Write the timeline in the Trace Event Format, for ui.perfetto.dev; `-` is standard output
    #[arg(long, value_name = "FILE", conflicts_with_all = ["events", "critical_path", "json"])]
    perfetto: Option<PathBuf>,
}

/// Runs the command.
pub(super) fn run(args: &Args, locations: &Locations) -> Result<u8, Stop> {
    let folder = store::find(locations, args.run.as_deref()).map_err(|error| Stop::wrong(&error))?;
    if args.follow {
        return follow(args, &folder, locations);
    }
    let recorded = recorded(&folder)?;
    if args.events {
        match args.json {
            true => output::data(&lines(&recorded)?),
            false => output::data(&report::event_list(&recorded)),
        }
        return Ok(exit::MET);
    }
    let Recorded { header, events, torn } = recorded;
    let timeline = Timeline::new(&events);
    match (&args.perfetto, args.critical_path, args.json) {
        (Some(file), _, _) => write_perfetto(file, &report::perfetto(&header, &timeline))?,
        (None, true, true) => output::json(&report::critical_path(&timeline))?,
        (None, true, false) => {
            output::lines(&report::critical_path(&timeline).lines(output::width()));
        }
        (None, false, true) => output::json(&timeline)?,
        (None, false, false) => {
            output::lines(&report::trace(&header, &timeline, torn, output::width()));
        }
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

/// Writes a trace for a viewer, `-` to standard output.
pub(super) fn write_perfetto(file: &Path, text: &str) -> Result<(), Stop> {
    if file == Path::new("-") {
        output::data(text);
        return Ok(());
    }
    std::fs::write(file, text).map_err(|error| {
        let what = format!("cannot write {}: {error}", file.display());
        let hint = match error.kind() {
            ErrorKind::NotFound => Some("the folder does not exist"),
            _ => None,
        };
        Stop::new(exit::WRONG, what, hint)
    })?;
    output::note(&format!("wrote {}: open it at https://ui.perfetto.dev", file.display()));
    Ok(())
}

/// How the events of a run that is up are shown.
enum View {
    Json,
    Events(Box<EventList>),
    Timeline(Box<TimelineFold>, Follower),
}

fn follow(args: &Args, folder: &Path, locations: &Locations) -> Result<u8, Stop> {
    let mut view = match (args.events, args.json) {
        (true, true) => {
            output::data(&output::json_line(&header(folder)?)?);
            View::Json
        }
        (true, false) => View::Events(Box::new(EventList::new(&recorded(folder)?.events))),
        (false, false) => View::Timeline(Box::default(), Follower::new(output::width())),
        (false, true) => {
            let what = "a timeline is JSON only as a whole";
            return Err(Stop::new(
                exit::WRONG,
                what,
                Some("`--follow --events --json` prints events as JSON"),
            ));
        }
    };
    let of_run = |lab: &RegisteredLab| {
        let same = |path: &Path| path.canonicalize().ok();
        lab.run_dir == folder || same(&lab.run_dir).is_some_and(|path| same(folder) == Some(path))
    };
    let Some(up) = registered(locations).into_iter().find(of_run) else {
        // It has ended: its record is all that there is.
        recorded(folder)?.events.iter().try_for_each(|event| view.show(event))?;
        return Ok(exit::MET);
    };
    block_on(events::follow(&up, |event| view.show(event)))??;
    Ok(exit::MET)
}

impl View {
    fn show(&mut self, event: &Event) -> Result<(), Stop> {
        match self {
            Self::Json => output::data(&output::json_line(event)?),
            Self::Events(list) => output::data(&list.lines(event)),
            Self::Timeline(fold, follower) => {
                if let Kind::Known(Known::RunStarted { nodes, .. }) = &event.kind {
                    follower.expect(nodes.keys());
                }
                for happened in fold.apply(event) {
                    output::lines(follower.line(&happened).as_slice());
                }
            }
        }
        Ok(())
    }
}
