//! `dryrack runs`: lists and prunes runs.

use super::output::{self, Stop};
use super::table::Table;
use crate::event::Size;
use crate::report::exit;
use crate::run::Locations;
use crate::run::store::{self, Run, StoreError};

/// List runs, or remove old ones
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(subcommand)]
    verb: Option<Verb>,
    /// Print a JSON list of objects with `id`, `path`, `lab`, `up`, `exit` and `size`
    #[arg(long, global = true)]
    json: bool,
}

#[derive(Debug, clap::Subcommand)]
enum Verb {
    /// List runs, oldest first
    List,
    /// Remove all but the newest runs; runs that are up are kept
    Prune {
        /// Number of runs to keep
        #[arg(long, default_value_t = 10, value_name = "COUNT")]
        keep: usize,
    },
}

/// Runs the command.
pub(super) fn run(args: &Args, locations: &Locations) -> Result<u8, Stop> {
    let failed = |error: StoreError| Stop::host(&error);
    match args.verb {
        None | Some(Verb::List) => {
            let runs = store::list(locations).map_err(failed)?;
            match args.json {
                true => output::json(&runs)?,
                false => output::data(&table(&runs)),
            }
        }
        Some(Verb::Prune { keep }) => {
            let gone = store::prune(locations, keep).map_err(failed)?;
            match args.json {
                true => output::json(&gone)?,
                false => {
                    let size = Size(gone.iter().map(|run| run.size).sum());
                    output::note(&format!("removed {} runs, {size}", gone.len()));
                }
            }
        }
    }
    Ok(exit::MET)
}

fn table(runs: &[Run]) -> String {
    let mut table = Table::new(["run", "lab", "ended", "size"]);
    for run in runs {
        let ended = match (run.up, run.exit) {
            (true, _) => "is up".to_owned(),
            (false, Some(code)) => format!("exit code {code}"),
            (false, None) => "killed".to_owned(),
        };
        table.row([run.id.clone(), run.lab.clone(), ended, Size(run.size).to_string()]);
    }
    table.to_string()
}
