//! Disks that labs keep between runs: their list and retention.
//!
//! ```text
//! STATE/labs/ID/
//!   file                     the lab file, for users
//!   disks/NODE/DISK.qcow2    a disk with `keep = true`
//! ```

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use serde::Serialize;

use super::Locations;
use super::lab_lock::{make_runtime, try_lab_lock};
use super::store::{StoreError, failed};

/// One kept disk in the list.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct KeptDisk {
    /// The file of its lab.
    pub lab: PathBuf,
    /// The node.
    pub node: String,
    /// The disk.
    pub disk: String,
    /// Its file.
    pub path: PathBuf,
    /// When it was last written to.
    pub used: Timestamp,
    /// Bytes on disk.
    pub size: u64,
}

/// Records the file of a lab in the folder that it keeps.
pub(super) fn sign(kept: &Path, lab: &Path) -> io::Result<()> {
    fs::create_dir_all(kept)?;
    fs::write(kept.join("file"), format!("{}\n", lab.display()))
}

/// Lists the kept disks, the one that was used longest ago first.
pub fn list(locations: &Locations) -> Result<Vec<KeptDisk>, StoreError> {
    let mut disks = Vec::new();
    for lab in folders(&locations.state.join("labs"))? {
        let file = fs::read_to_string(lab.join("file")).unwrap_or_default();
        for node in folders(&lab.join("disks"))? {
            let entries = fs::read_dir(&node).map_err(failed("read", &node))?.flatten();
            disks.extend(
                entries.filter_map(|entry| describe(Path::new(file.trim_end()), &node, entry.path())),
            );
        }
    }
    disks.sort_by(|a, b| (a.used, &a.path).cmp(&(b.used, &b.path)));
    Ok(disks)
}

/// Removes the kept disks of all but the labs that used theirs last, and returns those removed. Labs that are up keep
/// theirs.
pub fn prune(locations: &Locations, keep: usize) -> Result<Vec<KeptDisk>, StoreError> {
    let mut disks = list(locations)?;
    let mut labs: Vec<PathBuf> = Vec::new();
    for disk in disks.iter().rev() {
        if !labs.contains(&disk.lab) {
            labs.push(disk.lab.clone());
        }
    }
    let gone = labs.split_off(keep.min(labs.len()));
    let runtime = &locations.runtime;
    make_runtime(runtime).map_err(|error| failed("create", runtime)(io::Error::other(error)))?;
    // While the locks are held, none of these labs starts.
    let locks: Vec<_> = gone.iter().filter_map(|lab| Some((lab, try_lab_lock(locations, lab)?))).collect();
    disks.retain(|disk| locks.iter().any(|(lab, _)| **lab == disk.lab));
    for disk in &disks {
        fs::remove_file(&disk.path).map_err(failed("remove", &disk.path))?;
    }
    Ok(disks)
}

fn folders(path: &Path) -> Result<Vec<PathBuf>, StoreError> {
    match fs::read_dir(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        entries => {
            let entries = entries.map_err(failed("read", path))?.flatten().map(|entry| entry.path());
            Ok(entries.filter(|path| path.is_dir()).collect())
        }
    }
}

fn describe(lab: &Path, node: &Path, path: PathBuf) -> Option<KeptDisk> {
    let disk = path.file_name()?.to_str()?.strip_suffix(".qcow2")?.to_owned();
    let metadata = fs::metadata(&path).ok()?;
    Some(KeptDisk {
        lab: lab.to_owned(),
        node: node.file_name()?.to_str()?.to_owned(),
        disk,
        used: Timestamp::try_from(metadata.modified().ok()?).ok()?,
        // The allocated size.
        size: metadata.blocks() * 512,
        path,
    })
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, UNIX_EPOCH};

    use super::super::lab_lock::{identity, lab_lock};
    use super::*;

    #[test]
    fn disks_are_listed_and_pruned_by_lab_and_age() {
        let dir = tempfile::tempdir().unwrap();
        let locations = Locations {
            state: dir.path().to_owned(),
            cache: dir.path().join("cache"),
            runtime: dir.path().join("runtime"),
        };
        assert_eq!(list(&locations).unwrap(), []);
        let make = |lab: &str, node: &str, seconds: u64| {
            let kept = dir.path().join("labs").join(identity(Path::new(lab)));
            sign(&kept, Path::new(lab)).unwrap();
            let folder = kept.join("disks").join(node);
            fs::create_dir_all(&folder).unwrap();
            fs::write(folder.join("root.new"), "a draft").unwrap();
            let file = fs::File::create(folder.join("root.qcow2")).unwrap();
            file.set_modified(UNIX_EPOCH + Duration::from_secs(seconds)).unwrap();
        };
        make("/new.toml", "a", 1);
        make("/new.toml", "b", 300);
        make("/old.toml", "a", 100);
        make("/up.toml", "a", 50);
        let names = |disks: Vec<KeptDisk>| -> Vec<String> {
            disks.iter().map(|disk| format!("{} {} {}", disk.lab.display(), disk.node, disk.disk)).collect()
        };
        let all = names(list(&locations).unwrap());
        assert_eq!(all, ["/new.toml a root", "/up.toml a root", "/old.toml a root", "/new.toml b root"]);
        let lock = lab_lock(&locations, Path::new("/up.toml")).unwrap();
        assert_eq!(names(prune(&locations, 1).unwrap()), ["/old.toml a root"]);
        drop(lock);
        assert_eq!(names(prune(&locations, 1).unwrap()), ["/up.toml a root"]);
        assert_eq!(names(prune(&locations, 0).unwrap()).len(), 2);
    }
}
