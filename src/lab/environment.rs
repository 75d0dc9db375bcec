//! The facts about the host that checking a lab needs.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use crate::name::{Bytes, ImageName};

/// The facts about the host that checking a lab needs: an argument, so that checking stays pure.
pub struct LabEnvironment<'a> {
    /// The canonical path of the lab file.
    pub file: PathBuf,
    /// The folder that relative paths are relative to, absolute.
    pub folder: PathBuf,
    /// The images that have a recipe, with the names of their files.
    pub images: BTreeMap<ImageName, BTreeSet<String>>,
    /// Returns whether a file exists.
    pub existing: &'a dyn Fn(&Path) -> bool,
    /// Free memory of the host; `None` if memory is not checked.
    pub free_memory: Option<Bytes>,
    /// Whether programs of the lab can become other users than the one who starts it.
    pub other_ids: bool,
}
