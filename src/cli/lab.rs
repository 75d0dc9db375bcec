//! Finds the lab of a command: a lab file to read, or a lab that is up.

use std::path::{Path, PathBuf};

use super::completions;
use super::output::{self, Stop};
use super::runtime::block_on;
use crate::diag::{enumerate, nearest};
use crate::image::Library;
use crate::lab::Lab;
use crate::name::{Bytes, NodeName};
use crate::observe::Snapshot;
use crate::report::exit;
use crate::run::client::{Client, Status};
use crate::run::{LabSources, Locations, RegisteredLab, Request, registered};
use crate::system::namespace;

/// Overrides of a lab file.
#[derive(Debug, Clone, Default, clap::Args)]
pub(super) struct Layers {
    /// Merge another file of the same format over the lab file (repeatable)
    #[arg(long = "on", value_name = "FILE")]
    on: Vec<PathBuf>,
    /// Set one key, as in `node.node1.memory=2GiB` (repeatable)
    #[arg(long = "set", value_name = "KEY=VALUE")]
    set: Vec<String>,
    /// Search this folder for image recipes first (repeatable)
    #[arg(long = "images", value_name = "DIR")]
    images: Vec<PathBuf>,
}

/// One lab with its overrides.
#[derive(Debug, clap::Args)]
pub(super) struct LabArgs {
    /// Lab file, or folder with a `lab.toml`
    #[arg(default_value = ".")]
    pub(super) lab: PathBuf,
    #[command(flatten)]
    pub(super) layers: Layers,
}

/// Several labs with the same overrides.
#[derive(Debug, clap::Args)]
pub(super) struct LabsArgs {
    /// Lab files, or folders with a `lab.toml`
    #[arg(value_name = "LAB", default_value = ".")]
    pub(super) labs: Vec<PathBuf>,
    #[command(flatten)]
    pub(super) layers: Layers,
}

/// A valid lab.
pub(super) struct ValidLab {
    pub(super) texts: LabSources,
    pub(super) lab: Lab,
    pub(super) library: Library,
}

impl Layers {
    /// Reads a lab file with these overrides.
    pub(super) fn read(&self, lab: &Path) -> Result<LabSources, Stop> {
        LabSources::read(lab, &self.on, self.set.clone(), self.images.clone())
            .map_err(|error| Stop::wrong(&error))
    }
}

/// Validates a lab, or prints all its errors.
pub(super) fn valid(texts: LabSources, locations: &Locations, free: Option<Bytes>) -> Result<ValidLab, Stop> {
    let library = texts.library(&locations.cache);
    let outcome = texts.resolve(&library, free);
    output::diagnostics(&outcome.diagnostics, &outcome.sources);
    match outcome.lab {
        Some(lab) => Ok(ValidLab { texts, lab, library }),
        None => Err(Stop::silent(exit::WRONG)),
    }
}

/// Validates a lab as if all its files existed, or prints all other errors.
pub(super) fn ahead(texts: &LabSources, locations: &Locations) -> Result<Lab, Stop> {
    let outcome = texts.resolve_ahead(&texts.library(&locations.cache));
    output::diagnostics(&outcome.diagnostics, &outcome.sources);
    outcome.lab.ok_or_else(|| Stop::silent(exit::WRONG))
}

/// The lab of a command that names no part of it.
#[derive(Debug, clap::Args)]
pub(super) struct UpArgs {
    /// Lab file, its folder or its name [default: the only lab that is up]
    #[arg(long = "lab", short = 'l', value_name = "LAB", add = completions::labs())]
    lab: Option<PathBuf>,
}

/// The lab of a command that names parts of it, such as nodes.
#[derive(Debug, clap::Args)]
pub(super) struct UpWithArgs {
    /// Lab file, its folder or its name [default: the only lab that is up, or the only one that has what is named]
    #[arg(long = "lab", short = 'l', value_name = "LAB", add = completions::labs())]
    lab: Option<PathBuf>,
}

/// A lab that is up, named with or without `--lab`.
#[derive(Debug, clap::Args)]
pub(super) struct NamedUpArgs {
    /// Lab file, its folder or its name [default: the only lab that is up]
    #[arg(value_name = "LAB", add = completions::labs())]
    name: Option<PathBuf>,
    /// The same as an option, as other commands have it
    #[arg(long = "lab", short = 'l', value_name = "LAB", conflicts_with = "name", add = completions::labs())]
    lab: Option<PathBuf>,
}

/// Nodes of a lab that is up.
#[derive(Debug, clap::Args)]
pub(super) struct NodesArgs {
    /// Nodes, or `all` (unless a node has this name)
    #[arg(required = true, value_name = "NODE", add = completions::nodes())]
    nodes: Vec<NodeName>,
    #[command(flatten)]
    lab: UpWithArgs,
}

impl NamedUpArgs {
    /// Returns the lab as named, if it is.
    pub(super) fn named(&self) -> Option<&Path> {
        self.name.as_deref().or(self.lab.as_deref())
    }

    /// Finds the lab.
    pub(super) fn find(&self, locations: &Locations) -> Result<RegisteredLab, Stop> {
        find(locations, self.named())
    }
}

impl UpArgs {
    /// Finds the lab.
    pub(super) fn find(&self, locations: &Locations) -> Result<RegisteredLab, Stop> {
        find(locations, self.lab.as_deref())
    }
}

impl UpWithArgs {
    /// Finds the lab if nothing of it is named.
    pub(super) fn find(&self, locations: &Locations) -> Result<RegisteredLab, Stop> {
        find(locations, self.lab.as_deref())
    }

    /// Finds the lab that has nodes, and returns them; `all` stands for all of its nodes.
    pub(super) fn find_nodes(
        &self,
        nodes: &[NodeName],
        locations: &Locations,
    ) -> Result<(RegisteredLab, Vec<NodeName>), Stop> {
        let meant = |status: &Status| match (nodes, missing(nodes, status)) {
            (_, None) => Ok(nodes.to_vec()),
            ([all], Some(_)) if all.as_str() == ALL => Ok(status.snapshot.nodes.keys().cloned().collect()),
            (_, Some(stranger)) => Err(no_such_node(stranger, status)),
        };
        let names = title(nodes);
        let what = match nodes {
            [all] if all.as_str() == ALL => None,
            _ => Some(names.as_str()),
        };
        self.find_where(what, meant, locations)
    }

    /// Finds the lab that has these nodes: a wrong name is a command line error.
    pub(super) fn find_with(&self, nodes: &[NodeName], locations: &Locations) -> Result<RegisteredLab, Stop> {
        let has = |status: &Status| match missing(nodes, status) {
            Some(stranger) => Err(no_such_node(stranger, status)),
            None => Ok(()),
        };
        if nodes.is_empty() {
            return self.find(locations);
        }
        self.find_where(Some(&title(nodes)), has, locations).map(|(up, ())| up)
    }

    /// Finds the lab that satisfies a condition: the named or only lab, which must satisfy it, or the only one that
    /// does. It is that the lab has `what`, or `None` if every lab satisfies it.
    pub(super) fn find_where<T>(
        &self,
        what: Option<&str>,
        has: impl Fn(&Status) -> Result<T, Stop>,
        locations: &Locations,
    ) -> Result<(RegisteredLab, T), Stop> {
        let mut up = match &self.lab {
            Some(lab) => vec![find(locations, Some(lab))?],
            None => possible(locations),
        };
        if up.len() < 2 {
            let only = up.pop().map_or_else(|| find(locations, None), Ok)?;
            let found = has(&status(&only)?)?;
            return Ok((only, found));
        }
        let everywhere = files(&up);
        let mut with = Vec::new();
        for lab in up {
            match status(&lab) {
                Ok(status) => with.extend(has(&status).ok().map(|found| (lab, found))),
                // Another lab may still be the one.
                Err(stop) => output::stop(&stop),
            }
        }
        match with.len() {
            0 => {
                let what = match what {
                    Some(what) => format!("no lab that is up has {what}"),
                    None => "no lab that is up answers".to_owned(),
                };
                Err(Stop::new(exit::WRONG, what, Some(format!("labs that are up: {everywhere}"))))
            }
            1 => Ok(with.remove(0)),
            count => {
                let labs: Vec<RegisteredLab> = with.into_iter().map(|(lab, _)| lab).collect();
                let what = match what {
                    Some(what) => format!("{count} labs that are up have {what}"),
                    None => format!("{count} labs are up"),
                };
                Err(ambiguous(what, &labs))
            }
        }
    }
}

impl NodesArgs {
    /// Finds the lab that has the nodes, and returns them; `all` stands for all of its nodes.
    pub(super) fn find(&self, locations: &Locations) -> Result<(RegisteredLab, Vec<NodeName>), Stop> {
        self.lab.find_nodes(&self.nodes, locations)
    }
}

/// Stands for all nodes of a lab.
const ALL: &str = "all";

/// Returns nodes for messages.
fn title(nodes: &[NodeName]) -> String {
    let names = enumerate(nodes.iter().map(NodeName::as_str));
    if nodes.len() == 1 { format!("node {names}") } else { format!("nodes {names}") }
}

fn missing<'a>(nodes: &'a [NodeName], status: &Status) -> Option<&'a NodeName> {
    let Snapshot { nodes: machines, hosts, .. } = &status.snapshot;
    nodes.iter().find(|node| !machines.contains_key(*node) && !hosts.contains_key(*node))
}

fn no_such_node(stranger: &NodeName, status: &Status) -> Stop {
    let Snapshot { nodes, hosts, .. } = &status.snapshot;
    let names = || nodes.keys().chain(hosts.keys()).map(NodeName::as_str);
    let hint = match nearest(stranger.as_str(), names()) {
        Some(near) => format!("did you mean `{near}`?"),
        None => format!("nodes of the lab: {}", enumerate(names())),
    };
    Stop::new(exit::WRONG, format!("lab {} has no node `{stranger}`", status.lab), Some(hint))
}

/// Requests the status of a lab.
pub(super) fn status(up: &RegisteredLab) -> Result<Status, Stop> {
    let status = block_on(async { Client::new(&up.socket).status().await })?;
    status.map_err(|error| Stop::host(&error))
}

/// Reads the request of a lab's run; without it, the command line needs what the hint says.
pub(super) fn request(up: &RegisteredLab, hint: &str) -> Result<Request, Stop> {
    Request::read(&up.run_dir).map_err(|error| {
        let what = format!("cannot read the request of the run {}: {error}", up.run_dir.display());
        Stop::new(exit::UNFIT, what, Some(hint))
    })
}

/// Returns the paths of labs, for messages.
fn files(labs: &[RegisteredLab]) -> String {
    labs.iter().map(|up| up.file.display().to_string()).collect::<Vec<_>>().join(", ")
}

pub(super) fn ambiguous(what: String, labs: &[RegisteredLab]) -> Stop {
    let hint = "name one by its path, as in `--lab PATH`";
    Stop::new(exit::WRONG, format!("{what}: {}", files(labs)), Some(hint))
}

/// Returns the labs that a command may mean that names none: in a process of a lab that lab, otherwise all.
#[expect(clippy::disallowed_methods, reason = "a process of a lab knows it by its environment")]
pub(super) fn possible(locations: &Locations) -> Vec<RegisteredLab> {
    let mut up = registered(locations);
    let run = std::env::var_os(namespace::RUN);
    if let Some(own) = run.and_then(|run| up.iter().position(|up| up.run_dir == run)) {
        return vec![up.swap_remove(own)];
    }
    up
}

/// Finds a lab that is up: by its file, folder or name, or the only one.
///
/// A path to a lab file never means another lab, whatever that is called.
pub(super) fn find(locations: &Locations, lab: Option<&Path>) -> Result<RegisteredLab, Stop> {
    const START: &str = "start it with `dryrack up LAB`";
    let Some(lab) = lab else {
        let mut up = possible(locations);
        return match up.len() {
            0 => Err(Stop::new(exit::WRONG, "no lab is up", Some(START))),
            1 => Ok(up.remove(0)),
            count => Err(ambiguous(format!("{count} labs are up"), &up)),
        };
    };
    let mut up = registered(locations);
    if let Some(up) = up_with_file(&up, lab) {
        return Ok(up.clone());
    }
    up.retain(|up| lab.as_os_str() == up.lab.as_str());
    match (up.len(), std::fs::canonicalize(file(lab))) {
        (1, Err(_)) => Ok(up.remove(0)),
        (2.., Err(_)) => {
            Err(ambiguous(format!("{} labs that are up are called `{}`", up.len(), lab.display()), &up))
        }
        (0, _) => Err(Stop::new(exit::WRONG, format!("lab {} is not up", lab.display()), Some(START))),
        (_, Ok(path)) => {
            let hint = format!("another lab of this name is up: {}", files(&up));
            Err(Stop::new(exit::WRONG, format!("lab {} is not up", path.display()), Some(hint)))
        }
    }
}

/// Returns the lab that is up with this file, or the file of this folder.
pub(super) fn up_with_file<'a>(up: &'a [RegisteredLab], lab: &Path) -> Option<&'a RegisteredLab> {
    let file = file(lab);
    // The file of a lab that is up may have been deleted.
    let path = std::fs::canonicalize(&file).unwrap_or(file);
    up.iter().find(|up| up.file == path)
}

fn file(lab: &Path) -> PathBuf {
    if lab.is_dir() { lab.join("lab.toml") } else { lab.to_owned() }
}
