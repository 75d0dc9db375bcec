//! Finds the lab of a command: a lab file to read, or a lab that is up.

use std::path::{Path, PathBuf};

use super::output::{self, Stop};
use super::runtime::block_on;
use crate::diag::{enumerate, nearest};
use crate::image::Library;
use crate::lab::Lab;
use crate::name::{Bytes, NodeName};
use crate::report::exit;
use crate::run::client::Client;
use crate::run::{LabSources, Locations, RegisteredLab, registered};

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

/// A valid lab.
pub(super) struct ValidLab {
    pub(super) texts: LabSources,
    pub(super) lab: Lab,
    pub(super) library: Library,
}

impl LabArgs {
    /// Reads the lab file with its overrides.
    pub(super) fn read(&self) -> Result<LabSources, Stop> {
        self.layers.read(&self.lab)
    }
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

/// A lab that is up.
#[derive(Debug, clap::Args)]
pub(super) struct UpArgs {
    /// Lab file, or its folder [default: the only lab that is up]
    #[arg(long = "lab", short = 'l', value_name = "LAB")]
    lab: Option<PathBuf>,
}

impl UpArgs {
    /// Finds the lab.
    pub(super) fn find(&self, locations: &Locations) -> Result<RegisteredLab, Stop> {
        find(locations, self.lab.as_deref())
    }

    /// Finds the lab, and checks that it has these nodes: a wrong name is a command line error.
    pub(super) fn find_with(&self, nodes: &[NodeName], locations: &Locations) -> Result<RegisteredLab, Stop> {
        let up = self.find(locations)?;
        let status = block_on(async { Client::new(&up.socket).status().await })?;
        let status = status.map_err(|error| Stop::host(&error))?;
        let names = || status.snapshot.nodes.keys().map(NodeName::as_str);
        match nodes.iter().find(|node| !status.snapshot.nodes.contains_key(*node)) {
            None => Ok(up),
            Some(stranger) => {
                let hint = match nearest(stranger.as_str(), names()) {
                    Some(near) => format!("did you mean `{near}`?"),
                    None => format!("nodes of the lab: {}", enumerate(names())),
                };
                Err(Stop::new(exit::WRONG, format!("lab {} has no node `{stranger}`", up.lab), Some(hint)))
            }
        }
    }
}

/// Finds a lab that is up: by its file, folder or name, or the only one.
pub(super) fn find(locations: &Locations, lab: Option<&Path>) -> Result<RegisteredLab, Stop> {
    let mut up = registered(locations);
    let down = |what: String| Stop::new(exit::WRONG, what, Some("start it with `dryrack up LAB`"));
    let Some(lab) = lab else {
        return match up.len() {
            0 => Err(down("no lab is up".to_owned())),
            1 => Ok(up.remove(0)),
            _ => {
                let labs: Vec<String> = up.iter().map(|up| up.file.display().to_string()).collect();
                let what = format!("{} labs are up: {}", up.len(), labs.join(", "));
                Err(Stop::new(exit::WRONG, what, Some("name the lab")))
            }
        };
    };
    let file = if lab.is_dir() { lab.join("lab.toml") } else { lab.to_owned() };
    let file = std::fs::canonicalize(&file).unwrap_or(file);
    let is_it = |up: &RegisteredLab| up.file == file || lab.as_os_str() == up.lab.as_str();
    match up.into_iter().find(is_it) {
        Some(up) => Ok(up),
        None => Err(down(format!("lab {} is not up", lab.display()))),
    }
}
