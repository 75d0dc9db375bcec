//! `dryrack report`: shows the reports of runs.

use std::io;

use super::completions;
use super::output::{self, Stop};
use crate::report::{self, Report, exit};
use crate::run::{Locations, store};

/// Show the report of a run
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Runs: run name, run folder, or lab name for its latest run [default: the latest run]
    #[arg(value_name = "RUN", add = completions::runs())]
    runs: Vec<String>,
    /// Print the report as JSON: `schema`, `lab`, `run`, `exit`, `verdicts`, `nodes`, `errors`, `leaks`, `parts` and
    /// more; for several runs, a list
    #[arg(long)]
    json: bool,
    /// Print JUnit XML, a suite for each run
    #[arg(long, conflicts_with = "json")]
    junit: bool,
    /// Print Markdown, for the summary page of a CI system
    #[arg(long, conflicts_with_all = ["json", "junit"])]
    markdown: bool,
}

/// Runs the command.
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
                let hint = "it is still up (`dryrack status`), or it was killed (`dryrack trace` shows the stages reached)";
                Stop::new(exit::WRONG, format!("run {run} has no report"), Some(hint))
            }
            _ => Stop::new(exit::WRONG, format!("cannot read the report of run {run}: {error}"), None::<String>),
        }
    })
}
