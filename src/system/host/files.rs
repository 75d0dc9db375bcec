//! Files and folders of the user's machine, at other paths.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::mounts::{MountPoints, Point, bind, copy_all, make_read_only};
use crate::lab::Access;
use crate::system::namespace::NamespaceError;

/// A file or folder of the user's machine that a process is given.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GivenFile {
    /// The file or folder, absolute.
    pub source: PathBuf,
    /// What becomes of changes.
    pub access: Access,
}

/// Shows files and folders at the paths at which a process sees them.
///
/// `original` is where the root of the user's machine is; `copies` is the folder for copies, as seen from there.
pub(super) fn give(
    files: &BTreeMap<PathBuf, GivenFile>,
    original: &Path,
    copies: &Path,
    points: &mut MountPoints,
) -> Result<(), NamespaceError> {
    // In the order of paths, so that folders come before what is in them.
    for (index, (to, GivenFile { source, access })) in files.iter().enumerate() {
        let there = |path: &Path| original.join(path.strip_prefix("/").unwrap_or(path));
        let failed = |source| NamespaceError::new(format!("cannot show a file at {}", to.display()), source);
        let mut from = there(source);
        if *access == Access::Copy {
            let copies = there(copies);
            let name = source.file_name().unwrap_or_default().to_string_lossy();
            let copy = copies.join(format!("{index}-{name}"));
            // A process that is started again finds what it changed.
            if !copy.exists() {
                fs::create_dir_all(&copies).and_then(|()| copy_all(&from, &copy)).map_err(failed)?;
            }
            from = copy;
        }
        let is_folder = fs::metadata(&from).map_err(failed)?.is_dir();
        points.make(to, if is_folder { Point::Folder } else { Point::File }).map_err(failed)?;
        bind(&from, to).map_err(failed)?;
        // The mount covers a link, if there was one.
        let at = fs::canonicalize(to).map_err(failed)?;
        match access {
            Access::ReadOnly => make_read_only(&at).map_err(failed)?,
            // What is given below is then in the folder itself, as new files are.
            Access::Copy | Access::Write => points.allow(at),
        }
    }
    Ok(())
}
