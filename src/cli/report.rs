//! `dryrack report`: how runs turned out.

use std::io;

use super::output::{self, Stop};
use crate::report::{self, Report, exit};
use crate::run::{Locations, store};

/// Show how a run turned out
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The runs: by name, by folder, or a lab's name for its latest; the latest of all where left out
    #[arg(value_name = "RUN")]
    runs: Vec<String>,
    /// Print the report as JSON: `schema`, `lab`, `run`, `exit`, `verdicts`, `nodes`, `errors`, `leaks`, `parts` and
    /// more; of several runs, a list
    #[arg(long)]
    json: bool,
    /// Print JUnit, a suite for each run
    #[arg(long, conflicts_with = "json")]
    junit: bool,
    /// Print Markdown, for the page of a run in a CI system
    #[arg(long, conflicts_with_all = ["json", "junit"])]
    markdown: bool,
}

/// Runs the verb.
pub(super) fn run(args: &Args, locations: &Locations) -> Result<u8, Stop> {
    let reports = if args.runs.is_empty() {
        vec![read(locations, None)?]
    } else {
        args.runs.iter().map(|run| read(locations, Some(run))).collect::<Result<Vec<_>, _>>()?
    };
    if args.markdown {
        output::data(&report::markdown(&reports));
        return Ok(exit::MET);
    }
    match (&reports[..], args.json, args.junit) {
        ([report], true, _) => output::json(report)?,
        (reports, true, _) => output::json(&reports)?,
        (reports, _, true) => output::data(&report::junit(reports)),
        (reports, _, _) => {
            for (index, report) in reports.iter().enumerate() {
                if index > 0 {
                    output::data("\n");
                }
                output::report(report);
            }
        }
    }
    Ok(exit::MET)
}

fn read(locations: &Locations, run: Option<&str>) -> Result<Report, Stop> {
    let folder = store::find(locations, run).map_err(|error| Stop::wrong(&error))?;
    store::report(&folder).map_err(|error| {
        let run = folder.file_name().unwrap_or(folder.as_os_str()).display();
        match error.kind() {
            io::ErrorKind::NotFound => {
                let hint = "it is still up (`dryrack status`), or it was killed (`dryrack trace` shows how far it came)";
                Stop::new(exit::WRONG, format!("run {run} has no report"), Some(hint))
            }
            _ => Stop::new(exit::WRONG, format!("cannot read the report of run {run}: {error}"), None::<String>),
        }
    })
}
