//! The files that a network's services serve, by path. No other file of the host can be reached.
//!
//! Paths of the plan come first, then the folder that the lab serves, if any.

mod folder;
mod path;

use std::collections::BTreeMap;
use std::fs::{File, Metadata};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

pub(super) use self::path::decode;
use super::Resources;
use super::payload::{self, Sound, Spoilt};
use crate::event::FileRole;
use crate::fault::Faults;
use crate::name::NodeName;
use crate::plan::{SSH_KEY, ServedFile, ServedText, ServicePlan};

/// The files and texts of a network.
#[derive(Clone)]
pub(super) struct ContentStore(Arc<Inner>);

struct Inner {
    files: BTreeMap<String, ServedFile>,
    texts: BTreeMap<String, ServedText>,
    root: Option<PathBuf>,
    listing: bool,
    resources: Resources,
}

/// A file or text to serve.
#[derive(Debug)]
pub(super) struct Item {
    /// Its content.
    pub(super) content: Content,
    /// Its role for the node.
    pub(super) role: FileRole,
    /// The rule that decided: `plan`, `text`, `root`, `default`.
    pub(super) rule: &'static str,
}

/// The content of an item.
#[derive(Debug)]
pub(super) enum Content {
    /// An open file of the host.
    File(File, Metadata),
    /// A text of the plan after substitution.
    Text(String),
    /// The names in a folder, if the lab enables listings.
    Folder(Vec<String>),
}

/// Why nothing is served.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum Missing {
    /// There is no such path.
    #[error("not found")]
    Unknown,
    /// The path leaves the served folder, or is invalid.
    #[error("refused: {0}")]
    Refused(&'static str),
    /// The plan names the file, but it does not exist.
    #[error("`{0}` does not exist")]
    Gone(String),
}

impl ContentStore {
    /// Creates the content of a plan.
    pub(super) fn new(plan: &ServicePlan, resources: Resources) -> Self {
        let ServicePlan { files, texts, root, .. } = plan.clone();
        let (root, listing) = root.map_or((None, false), |root| (Some(root.folder), root.listing));
        Self(Arc::new(Inner { files, texts, root, listing, resources }))
    }

    /// Creates an empty store.
    pub(super) fn empty() -> Self {
        let resources = Resources {
            resolve: Arc::new(|_| None),
            ssh_public_key: String::new(),
            addresses: super::Addresses::default(),
            folder: PathBuf::new(),
            boots: super::Boots::default(),
            faults: super::Faults::none(),
            identity: None,
            key_ring: None,
        };
        let (files, texts) = (BTreeMap::new(), BTreeMap::new());
        Self(Arc::new(Inner { files, texts, root: None, listing: false, resources }))
    }

    /// Finds the item of a URL path.
    pub(super) fn find_url(&self, path: &str) -> Result<Item, Missing> {
        self.find(&path::decode(path).map_err(Missing::Refused)?)
    }

    /// Finds the item that a client requests. A path may have any number of leading slashes, or backslashes instead
    /// of slashes.
    pub(super) fn find(&self, requested: &[u8]) -> Result<Item, Missing> {
        let requested = path::simplify(requested).map_err(Missing::Refused)?;
        let Inner { files, texts, resources, .. } = &*self.0;
        if let Some(ServedText { body, role }) = texts.get(&requested.path).filter(|_| !requested.folder) {
            let body = body.replace(SSH_KEY, &resources.ssh_public_key);
            return Ok(Item { content: Content::Text(body), role: role.clone(), rule: "text" });
        }
        if let Some(ServedFile { source, role }) = files.get(&requested.path).filter(|_| !requested.folder) {
            let gone = || Missing::Gone(source.to_string());
            let path = (resources.resolve)(source).filter(|path| path.is_file()).ok_or_else(gone)?;
            let open = || File::open(&path).and_then(|file| file.metadata().map(|data| (file, data)));
            let (file, metadata) = open().map_err(|_| gone())?;
            return Ok(Item { content: Content::File(file, metadata), role: role.clone(), rule: "plan" });
        }
        match self.find_below_root(&requested) {
            // If these are missing, cloud-init retries ten times, once a second.
            Err(Missing::Unknown)
                if requested.path.starts_with("nocloud/")
                    && (requested.path.ends_with("/vendor-data")
                        || requested.path.ends_with("/network-config")) =>
            {
                Ok(Item { content: Content::Text(String::new()), role: FileRole::Seed, rule: "default" })
            }
            found => found,
        }
    }

    /// Returns what a node is sent instead of what was found, if something is to go wrong.
    pub(super) fn spoil(
        &self,
        node: Option<&NodeName>,
        faults: &Faults,
        found: Result<Item, Missing>,
    ) -> Result<Item, Missing> {
        let item = found?;
        let sound = match &item.content {
            Content::File(file, metadata) => Sound::File(file, metadata),
            Content::Text(text) => Sound::Bytes(text.as_bytes()),
            Content::Folder(_) => return Ok(item),
        };
        let spoilt = payload::spoil(faults, node, Some(&item.role), sound, &self.0.resources.folder);
        let spoilt = spoilt.map_err(|error| Missing::Gone(format!("a copy for a fault: {error}")))?;
        let content = match spoilt {
            None => return Ok(item),
            Some(Spoilt::Missing) => return Err(Missing::Unknown),
            Some(Spoilt::Bytes(bytes)) => Content::Text(String::from_utf8_lossy(&bytes).into_owned()),
            Some(Spoilt::File(file, metadata)) => Content::File(file, metadata),
        };
        Ok(Item { content, ..item })
    }

    /// Returns the run folder.
    pub(super) fn folder(&self) -> &Path {
        &self.0.resources.folder
    }

    fn find_below_root(&self, requested: &path::RequestPath) -> Result<Item, Missing> {
        let Some(root) = &self.0.root else { return Err(Missing::Unknown) };
        match folder::open(root, &requested.path) {
            Ok((folder, metadata)) if metadata.is_dir() => {
                let names =
                    if self.0.listing { folder::names(folder) } else { return Err(Missing::Unknown) };
                let names = names.map_err(|_| Missing::Gone(requested.path.clone()))?;
                Ok(Item { content: Content::Folder(names), role: FileRole::Listing, rule: "root" })
            }
            Ok((file, metadata)) if !requested.folder => {
                Ok(Item { content: Content::File(file, metadata), role: FileRole::File, rule: "root" })
            }
            Ok(_) => Err(Missing::Unknown),
            Err(error) => Err(match error.kind() {
                io::ErrorKind::NotFound | io::ErrorKind::NotADirectory | io::ErrorKind::InvalidFilename => {
                    Missing::Unknown
                }
                io::ErrorKind::PermissionDenied => {
                    Missing::Refused("outside the served folder, or not readable")
                }
                _ => Missing::Gone(requested.path.clone()),
            }),
        }
    }
}

#[cfg(any(test, fuzzing))]
pub(in crate::serve) mod fuzz;

#[cfg(test)]
mod tests;
