//! What a network's services hand out, by path. Nothing else on the host can be named.
//!
//! The plan's own names come first; below them lies the folder that a lab serves, if it does.

mod folder;
mod path;

use std::collections::BTreeMap;
use std::fs::{File, Metadata};
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

pub(super) use self::path::decode;
use super::Resources;
use crate::event::FileRole;
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

/// Something that is handed out.
#[derive(Debug)]
pub(super) struct Item {
    /// What it is made of.
    pub(super) content: Content,
    /// What it is to the node.
    pub(super) role: FileRole,
    /// What decided that this is handed out: `plan`, `text`, `root`, `default`.
    pub(super) rule: &'static str,
}

/// What an item is made of.
#[derive(Debug)]
pub(super) enum Content {
    /// A file on the host, open.
    File(File, Metadata),
    /// A text of the plan, filled in.
    Text(String),
    /// The names in a folder, where a lab lists them.
    Folder(Vec<String>),
}

/// Why nothing is handed out.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum Missing {
    /// There is no such path.
    #[error("nothing is served under this path")]
    Unknown,
    /// The path leads out of what is served, or is none.
    #[error("refused: {0}")]
    Refused(&'static str),
    /// The plan names it, but it is not there.
    #[error("`{0}` does not exist")]
    Gone(String),
}

impl ContentStore {
    /// Takes from a plan what it serves.
    pub(super) fn new(plan: &ServicePlan, resources: Resources) -> Self {
        let ServicePlan { files, texts, root, .. } = plan.clone();
        let (root, listing) = root.map_or((None, false), |root| (Some(root.folder), root.listing));
        Self(Arc::new(Inner { files, texts, root, listing, resources }))
    }

    /// Makes one that has nothing.
    pub(super) fn empty() -> Self {
        let resources = Resources {
            resolve: Arc::new(|_| None),
            ssh_public_key: String::new(),
            addresses: super::Addresses::default(),
            folder: PathBuf::new(),
            boots: super::Boots::default(),
            identity: None,
            key_ring: None,
        };
        let (files, texts) = (BTreeMap::new(), BTreeMap::new());
        Self(Arc::new(Inner { files, texts, root: None, listing: false, resources }))
    }

    /// Finds what the path of a URL names.
    pub(super) fn find_url(&self, path: &str) -> Result<Item, Missing> {
        self.find(&path::decode(path).map_err(Missing::Refused)?)
    }

    /// Finds what a client asks for. A path may have any number of leading slashes, or backslashes for slashes.
    pub(super) fn find(&self, asked: &[u8]) -> Result<Item, Missing> {
        let asked = path::simplify(asked).map_err(Missing::Refused)?;
        let Inner { files, texts, resources, .. } = &*self.0;
        if let Some(ServedText { body, role }) = texts.get(&asked.path).filter(|_| !asked.folder) {
            let body = body.replace(SSH_KEY, &resources.ssh_public_key);
            return Ok(Item { content: Content::Text(body), role: role.clone(), rule: "text" });
        }
        if let Some(ServedFile { source, role }) = files.get(&asked.path).filter(|_| !asked.folder) {
            let gone = || Missing::Gone(source.to_string());
            let path = (resources.resolve)(source).filter(|path| path.is_file()).ok_or_else(gone)?;
            let open = || File::open(&path).and_then(|file| file.metadata().map(|data| (file, data)));
            let (file, metadata) = open().map_err(|_| gone())?;
            return Ok(Item { content: Content::File(file, metadata), role: role.clone(), rule: "plan" });
        }
        match self.find_below_root(&asked) {
            // cloud-init asks for these in vain once a second, ten times, unless they are there.
            Err(Missing::Unknown)
                if asked.path.starts_with("nocloud/")
                    && (asked.path.ends_with("/vendor-data") || asked.path.ends_with("/network-config")) =>
            {
                Ok(Item { content: Content::Text(String::new()), role: FileRole::Seed, rule: "default" })
            }
            found => found,
        }
    }

    fn find_below_root(&self, asked: &path::RequestPath) -> Result<Item, Missing> {
        let Some(root) = &self.0.root else { return Err(Missing::Unknown) };
        match folder::open(root, &asked.path) {
            Ok((folder, metadata)) if metadata.is_dir() => {
                let names =
                    if self.0.listing { folder::names(folder) } else { return Err(Missing::Unknown) };
                let names = names.map_err(|_| Missing::Gone(asked.path.clone()))?;
                Ok(Item { content: Content::Folder(names), role: FileRole::Listing, rule: "root" })
            }
            Ok((file, metadata)) if !asked.folder => {
                Ok(Item { content: Content::File(file, metadata), role: FileRole::File, rule: "root" })
            }
            Ok(_) => Err(Missing::Unknown),
            Err(error) => Err(match error.kind() {
                io::ErrorKind::NotFound | io::ErrorKind::NotADirectory | io::ErrorKind::InvalidFilename => {
                    Missing::Unknown
                }
                io::ErrorKind::PermissionDenied => {
                    Missing::Refused("it leads out of the served folder, or may not be read")
                }
                _ => Missing::Gone(asked.path.clone()),
            }),
        }
    }
}

#[cfg(any(test, fuzzing))]
pub(in crate::serve) mod fuzz;

#[cfg(test)]
mod tests;
