//! `dryrack runs`: lists and prunes runs.

use super::output::{self, Stop};
use super::table::Table;
use crate::event::Size;
use crate::hint::chain;
use crate::report::exit;
use crate::run::Locations;
use crate::run::kept_disks::{self, KeptDisk};
use crate::run::store::{self, Pruned, Run, StoreError};

/// List runs, or remove old ones
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(subcommand)]
    verb: Option<Verb>,
    /// Print a JSON list of objects with `id`, `path`, `lab`, `up`, `exit` and `size`; of disks with `lab`, `node`,
    /// `disk`, `path`, `used` and `size`
    #[arg(long, global = true)]
    json: bool,
}

#[derive(Debug, clap::Subcommand)]
enum Verb {
    /// List runs, oldest first
    List,
    /// List the disks that labs keep between runs, the one that was used longest ago first
    Disks,
    /// Remove all but the newest runs; runs that are up are kept
    Prune {
        /// Number of runs to keep; with `--disks`, of labs
        #[arg(long, default_value_t = 10, value_name = "COUNT")]
        keep: usize,
        /// Remove kept disks instead, of all but the labs that used theirs last; labs that are up keep them
        #[arg(long)]
        disks: bool,
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
        Some(Verb::Disks) => {
            let disks = kept_disks::list(locations).map_err(failed)?;
            match args.json {
                true => output::json(&disks)?,
                false => output::data(&disk_table(&disks)),
            }
        }
        Some(Verb::Prune { keep, disks: true }) => {
            let pruned = kept_disks::prune(locations, keep).map_err(failed)?;
            return removal(&pruned, "kept disks", |disk| disk.size, args.json);
        }
        Some(Verb::Prune { keep, disks: false }) => {
            let pruned = store::prune(locations, keep).map_err(failed)?;
            return removal(&pruned, "runs", |run| run.size, args.json);
        }
    }
    Ok(exit::MET)
}

/// Prints what was removed, and what could not be. Returns the exit code.
fn removal<T: serde::Serialize>(
    pruned: &Pruned<T>,
    what: &str,
    size: impl Fn(&T) -> u64,
    json: bool,
) -> Result<u8, Stop> {
    let Pruned { removed, failed } = pruned;
    match json {
        true => output::json(removed)?,
        false => {
            let size = Size(removed.iter().map(size).sum());
            output::note(&format!("removed {} {what}, {size}", removed.len()));
        }
    }
    for error in failed {
        output::error(&chain(error), None);
    }
    Ok(if failed.is_empty() { exit::MET } else { exit::UNFIT })
}

fn disk_table(disks: &[KeptDisk]) -> String {
    let mut table = Table::new(["lab", "node", "disk", "used", "size"]);
    for disk in disks {
        let used = disk.used.strftime("%Y-%m-%d %H:%M:%S UTC").to_string();
        let lab = disk.lab.display().to_string();
        table.row([lab, disk.node.clone(), disk.disk.clone(), used, Size(disk.size).to_string()]);
    }
    table.to_string()
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
