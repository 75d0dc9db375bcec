//! `dryrack completions`: shell completions, which ask the program for nodes, labs, runs, images, codes and keys.

use std::ffi::OsStr;
use std::path::Path;

use clap::Parser;
use clap_complete::Shell;
use clap_complete::engine::{
    ArgValueCandidates, ArgValueCompleter, CompletionCandidate, PathCompleter, ValueCompleter,
};
use clap_complete::env::{CompleteEnv, Shells};

use super::Cli;
use super::output::{self, Stop};
use crate::config::keys;
use crate::diag::Code;
use crate::diagnose;
use crate::image::Library;
use crate::plan::Plan;
use crate::report::exit;
use crate::run::{Locations, Request, lab_argument, registered, store};

/// By this variable the shell asks for completions.
const ASKED: &str = "_DRYRACK_COMPLETE";

/// Print the completion script of a shell
///
/// bash: `dryrack completions bash > ~/.local/share/bash-completion/completions/dryrack`.
/// zsh: save it as `_dryrack` in a folder of `$fpath`. fish: `~/.config/fish/completions/dryrack.fish`.
///
/// The script calls `dryrack`, so it also completes nodes, labs, runs, images, codes and keys.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The shell
    shell: Shell,
}

/// Runs the command.
pub(super) fn run(args: &Args) -> Result<u8, Stop> {
    let name = args.shell.to_string();
    let shells = Shells::builtins();
    let unknown = || Stop::new(exit::BUG, format!("there is no completion for {name}"), None::<String>);
    let shell = shells.completer(&name).ok_or_else(unknown)?;
    let mut script = Vec::new();
    let written = shell.write_registration(ASKED, "dryrack", "dryrack", "dryrack", &mut script);
    written.map_err(|error| Stop::host(&error))?;
    output::bytes(&script);
    Ok(exit::MET)
}

/// Answers a shell that asks for completions, and returns the exit code; `None` if none asks.
pub(super) fn answer() -> Option<u8> {
    let here = std::env::current_dir().ok();
    match CompleteEnv::with_factory(super::command)
        .var(ASKED)
        .try_complete(std::env::args_os(), here.as_deref())
    {
        Ok(false) => None,
        Ok(true) => Some(exit::MET),
        Err(error) => Some(output::usage(&error)),
    }
}

/// Returns the folders as the environment names them: a shell does not hand over earlier arguments.
fn locations() -> Option<Locations> {
    Cli::try_parse_from(["dryrack", "status"]).ok()?.locations.locations().ok()
}

/// Returns the plans of all labs that are up.
fn plans() -> Vec<Plan> {
    let labs = locations().map(|locations| registered(&locations)).unwrap_or_default();
    labs.iter().filter_map(|up| Some(Request::read(&up.run_dir).ok()?.plan)).collect()
}

fn candidates(words: impl IntoIterator<Item = String>) -> Vec<CompletionCandidate> {
    words.into_iter().map(CompletionCandidate::new).collect()
}

/// Completes nodes of labs that are up.
pub(super) fn nodes() -> ArgValueCandidates {
    ArgValueCandidates::new(|| {
        let names = |plan: &Plan| {
            plan.nodes.keys().chain(plan.hosts.keys()).map(ToString::to_string).collect::<Vec<_>>()
        };
        candidates(plans().iter().flat_map(names))
    })
}

/// Completes hosts of labs that are up.
pub(super) fn hosts() -> ArgValueCandidates {
    ArgValueCandidates::new(|| {
        candidates(plans().iter().flat_map(|plan| plan.hosts.keys().map(ToString::to_string)))
    })
}

/// Completes nodes and processes of labs that are up.
pub(super) fn nodes_and_processes() -> ArgValueCandidates {
    ArgValueCandidates::new(|| {
        let names = |plan: &Plan| {
            let processes = plan.processes.iter().map(ToString::to_string);
            let machines = plan.nodes.keys().chain(plan.hosts.keys()).map(ToString::to_string);
            machines.chain(processes).collect::<Vec<_>>()
        };
        candidates(plans().iter().flat_map(names))
    })
}

/// Completes networks and nodes of labs that are up.
pub(super) fn networks_and_nodes() -> ArgValueCandidates {
    ArgValueCandidates::new(|| {
        let names = |plan: &Plan| {
            let networks = plan.networks.keys().map(ToString::to_string);
            networks.chain(plan.nodes.keys().map(ToString::to_string)).collect::<Vec<_>>()
        };
        candidates(plans().iter().flat_map(names))
    })
}

/// Completes expectations of labs that are up.
pub(super) fn expectations() -> ArgValueCandidates {
    ArgValueCandidates::new(|| {
        candidates(plans().iter().flat_map(|plan| plan.expectations.keys().map(ToString::to_string)))
    })
}

/// Completes runs by their names, and labs that have runs.
pub(super) fn runs() -> ArgValueCandidates {
    ArgValueCandidates::new(|| {
        let runs = locations().and_then(|locations| store::list(&locations).ok()).unwrap_or_default();
        let words = runs.iter().rev().flat_map(|run| [run.id.clone(), run.lab.clone()]);
        let mut known = std::collections::BTreeSet::new();
        candidates(words.filter(|word| known.insert(word.clone())).collect::<Vec<_>>())
    })
}

/// Completes images.
pub(super) fn images() -> ArgValueCandidates {
    ArgValueCandidates::new(|| {
        let library = locations().map(|locations| Library::new(locations.cache, Vec::new()));
        let names = library.iter().flat_map(|library| library.recipes().map(|(name, _)| name.to_string()));
        candidates(names.collect::<Vec<_>>())
    })
}

/// Completes codes of diagnostics, and keys of the lab file.
pub(super) fn codes_and_keys() -> ArgValueCandidates {
    ArgValueCandidates::new(|| {
        let about =
            |word: String, about: &str| CompletionCandidate::new(word).help(Some(about.to_owned().into()));
        let codes = Code::ALL.iter().map(|code| about(code.number().to_owned(), code.title()));
        let keys = keys::keys().into_iter().map(|key| about(key.path, &key.about));
        let findings = diagnose::entries().iter().map(|entry| about(entry.id.clone(), &entry.title));
        codes.chain(keys).chain(findings).collect()
    })
}

/// Completes labs that are up, by name, or by path if a name is not unique, and paths.
pub(super) fn labs() -> ArgValueCompleter {
    ArgValueCompleter::new(|current: &OsStr| {
        let up = locations().map(|locations| registered(&locations)).unwrap_or_default();
        let word = |lab: &crate::run::RegisteredLab| {
            let is_unique = up.iter().filter(|other| other.lab == lab.lab).count() == 1;
            if is_unique { lab.lab.to_string() } else { lab_argument(&lab.file).display().to_string() }
        };
        let words =
            up.iter().map(word).filter(|word| word.as_bytes().starts_with(current.as_encoded_bytes()));
        let mut all = candidates(words.collect::<Vec<_>>());
        all.extend(PathCompleter::any().filter(is_lab).complete(current));
        all
    })
}

/// Tells whether a path may lead to a lab.
fn is_lab(path: &Path) -> bool {
    path.is_dir() || path.extension().is_some_and(|extension| extension == "toml")
}
