//! `dryrack test`: runs labs and checks their expectations.

use std::collections::VecDeque;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use clap::ValueEnum;
use tokio::task::JoinSet;

use super::artifacts;
use super::blueprint::{Blueprint, Needs};
use super::foreground::{Detach, ForegroundEnd, foreground};
use super::lab::Layers;
use super::output::{self, Stop};
use super::progress::RunProgress;
use super::runtime::block_on;
use super::summary::LabSummary;
use super::up::start;
use crate::lab::Isolation;
use crate::report::{self, Report, exit};
use crate::run::client::Client;
use crate::run::{Locations, Until, forget_ended, lab_argument};
use crate::system::facts;

/// Bring labs up, check their expectations, tear them down
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Lab files, or folders with a `lab.toml`
    #[arg(default_value = ".")]
    labs: Vec<PathBuf>,
    #[command(flatten)]
    layers: Layers,
    /// Run a plan printed by `dryrack plan --json` instead of a lab file; its commands run as you (repeatable)
    #[arg(long = "plan", value_name = "FILE", conflicts_with_all = ["labs", "on", "set", "images"])]
    plans: Vec<PathBuf>,
    /// Write the results as JUnit XML
    #[arg(long, value_name = "FILE")]
    junit: Option<PathBuf>,
    /// Copy the run folders (events, consoles, plans, reports) to this folder
    #[arg(long, value_name = "DIR")]
    artifacts: Option<PathBuf>,
    /// Leave a lab up if it missed an expectation
    #[arg(long, value_name = "WHEN")]
    keep: Option<Keep>,
    /// Number of labs to run in parallel, as far as memory and cores suffice
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..))]
    jobs: u16,
    /// Print the reports as a JSON list, each as in its run folder
    #[arg(long)]
    json: bool,
}

/// When a lab is left up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Keep {
    /// If it missed an expectation
    OnFailure,
}

/// A lab that is queued.
struct Trial {
    blueprint: Blueprint,
    /// Its name on the command line.
    name: String,
    needs: Needs,
}

impl Needs {
    fn plus(self, other: Self) -> Self {
        Self { memory: self.memory + other.memory, cpus: self.cpus + other.cpus }
    }

    fn minus(self, other: Self) -> Self {
        Self { memory: self.memory - other.memory, cpus: self.cpus - other.cpus }
    }

    fn fits(self, most: Self) -> bool {
        self.memory <= most.memory && self.cpus <= most.cpus
    }
}

/// The result of running a lab.
struct Tried {
    name: String,
    needs: Needs,
    code: u8,
    report: Option<Report>,
    /// Whether the report was already printed to standard error.
    printed: bool,
    run_dir: Option<PathBuf>,
}

/// Runs the command.
pub(super) fn run(args: Args, locations: &Locations) -> Result<u8, Stop> {
    // Errors in any of them are reported before the first one is built.
    let from_plans = !args.plans.is_empty();
    let sounds: Vec<_> = if from_plans { &args.plans } else { &args.labs }
        .iter()
        .map(|file| {
            let blueprint = match from_plans {
                true => Blueprint::of_plan(file)?,
                false => Blueprint::of_lab(file, &args.layers, locations)?,
            };
            if !blueprint.expects() {
                let what = format!("{} has no expectation to test", blueprint.file().display());
                let hint = "add `[expect.NAME]`, or bring the lab up with `dryrack up`";
                return Err(Stop::new(exit::WRONG, what, Some(hint)));
            }
            let needs = blueprint.needs();
            Ok(Trial { blueprint, name: file.display().to_string(), needs })
        })
        .map(|trial: Result<Trial, Stop>| trial.inspect_err(output::stop))
        .collect();
    if sounds.iter().any(Result::is_err) {
        return Err(Stop::silent(exit::worst(
            sounds.iter().filter_map(|trial| trial.as_ref().err().map(|s| s.code)),
        )));
    }
    let mut waiting: VecDeque<Trial> = sounds.into_iter().flatten().collect();
    let host = facts::gather(Isolation::Private, facts::QemuDevices::NotAsked);
    let most = Needs { memory: host.free_memory.0, cpus: host.cpus };
    let jobs = usize::from(args.jobs).min(waiting.len());
    let keep = args.keep == Some(Keep::OnFailure);

    let tried = block_on(async {
        let mut running = JoinSet::new();
        let (mut taken, mut tried) = (Needs::default(), Vec::new());
        while !waiting.is_empty() || !running.is_empty() {
            let next = waiting.front().map(|trial| taken.plus(trial.needs));
            // A lab that is too large by itself is started anyway: its plan reports the error.
            let room =
                running.is_empty() || (running.len() < jobs && next.is_some_and(|next| next.fits(most)));
            if let Some(trial) = waiting.pop_front_if(|_| room) {
                taken = taken.plus(trial.needs);
                let locations = locations.clone();
                let several = jobs > 1;
                running.spawn(async move { attempt(trial, &locations, keep, several).await });
                continue;
            }
            if let Some(joined) = running.join_next().await {
                // A panic is an internal error.
                let ended: Tried =
                    joined.unwrap_or_else(|error| std::panic::resume_unwind(error.into_panic()));
                taken = taken.minus(ended.needs);
                let interrupted = ended.code == exit::INTERRUPTED;
                if !args.json {
                    show(&ended);
                }
                tried.push(ended);
                if interrupted {
                    // After Ctrl-C, no further lab is started.
                    waiting.clear();
                }
            }
        }
        tried
    })?;
    forget_ended(locations);
    let reports: Vec<Report> = tried.iter().filter_map(|tried| tried.report.clone()).collect();
    if args.json {
        output::json(&reports)?;
    }
    if let Some(path) = &args.junit {
        let written = fs::write(path, report::junit(&reports));
        written.map_err(|error| file_stop("write", path, &error))?;
    }
    if let Some(folder) = &args.artifacts {
        for run_dir in tried.iter().filter_map(|tried| tried.run_dir.as_ref()) {
            artifacts::keep(run_dir, folder).map_err(|error| file_stop("copy a run into", folder, &error))?;
        }
    }
    Ok(exit::worst(tried.iter().map(|tried| tried.code)))
}

async fn attempt(trial: Trial, locations: &Locations, keep: bool, several: bool) -> Tried {
    let Trial { blueprint, name, needs } = trial;
    let nodes = blueprint.nodes();
    let lab = blueprint.lab().to_string();
    let path = lab_argument(blueprint.file()).display().to_string();
    let (until, leave) = if keep { (Until::Met, Detach::WhenMissed) } else { (Until::Judged, Detach::Never) };
    let summary = LabSummary::open(&blueprint);
    let ended =
        |code, report, run_dir| Tried { name: name.clone(), needs, code, report, printed: false, run_dir };
    let printed = |code, report, run_dir| Tried { printed: true, ..ended(code, Some(report), run_dir) };
    let locations = locations.clone();
    // On a blocking thread: it may test the accelerator and build images.
    let started = tokio::task::spawn_blocking(move || start(blueprint, &locations, until)).await;
    let bug = |error| Stop::new(exit::BUG, format!("cannot start the lab: {error}"), None::<String>);
    let launched = match started.map_err(bug).flatten() {
        Ok(launched) => launched,
        Err(stop) => {
            output::stop(&stop);
            return printed(stop.code, summary.of_stop(&stop), None);
        }
    };
    let (run_dir, client) = (launched.run_dir.clone(), Client::new(&launched.socket));
    let mut progress = RunProgress::new(nodes, several.then_some(lab.as_str()));
    match foreground(launched, leave, &mut progress).await {
        Ok(ForegroundEnd::Ended(over)) => {
            let Some(run_error) = over.silence(&run_dir) else {
                return ended(over.code, over.report, Some(run_dir));
            };
            output::error(&run_error.to_string(), run_error.hint.as_deref());
            printed(over.code, summary.of_run_error(run_error, over.code, Some(&run_dir)), Some(run_dir))
        }
        Ok(ForegroundEnd::Left) => {
            progress.end();
            // Without an answer the run has ended meanwhile; nothing more is known.
            let report = client.status().await.ok().map(|status| summary.of_status(status, &run_dir));
            output::note(&format!(
                "{lab} missed an expectation and is left up: `dryrack status {path}` shows its state, `dryrack down {path}` tears it down"
            ));
            ended(exit::MISSED, report, Some(run_dir))
        }
        Err(stop) => {
            output::stop(&stop);
            printed(stop.code, summary.of_stop(&stop), Some(run_dir))
        }
    }
}

fn show(tried: &Tried) {
    match &tried.report {
        Some(report) if !tried.printed => output::report(report),
        Some(_) | None => output::note(&format!("{}: exit code {}", tried.name, tried.code)),
    }
}

fn file_stop(verb: &str, path: &Path, error: &io::Error) -> Stop {
    Stop::new(exit::UNFIT, format!("cannot {verb} {}: {error}", path.display()), None::<String>)
}
