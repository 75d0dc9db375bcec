//! What a lab must know of the host to be checked.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use crate::name::{Bytes, ImageName};

/// What a lab must know of the host to be checked: an argument, so that checking stays pure.
pub struct LabEnvironment<'a> {
    /// The canonical path of the lab file.
    pub file: PathBuf,
    /// The folder that relative paths start from, absolute.
    pub folder: PathBuf,
    /// The images that recipes make, with the names of their files.
    pub images: BTreeMap<ImageName, BTreeSet<String>>,
    /// Tells whether a file exists.
    pub existing: &'a dyn Fn(&Path) -> bool,
    /// Memory that is free for machines; `None` if that is not to be checked.
    pub free_memory: Option<Bytes>,
}
