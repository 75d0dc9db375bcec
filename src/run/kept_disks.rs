//! Disks that labs keep between runs: their list and retention.
//!
//! ```text
//! STATE/labs/ID/
//!   file                     the lab file, for users
//!   disks/NODE/DISK.qcow2    a disk with `keep = true`
//!   disks/NODE/DISK.new      a draft of one
//! ```
//!
//! The name of the folder identifies the lab; what is in `file` is only shown.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use serde::Serialize;

use super::Locations;
use super::lab_lock::{make_runtime, try_lab_lock};
use super::store::{Pruned, StoreError, failed};

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
    let draft = kept.join("file.new");
    fs::write(&draft, format!("{}\n", lab.display()))?;
    fs::rename(draft, kept.join("file"))
}

/// Lists the kept disks, the one that was used longest ago first.
pub fn list(locations: &Locations) -> Result<Vec<KeptDisk>, StoreError> {
    let mut disks = Vec::new();
    for lab in folders(&locations.state.join("labs"))? {
        disks.extend(disks_of(&lab)?);
    }
    disks.sort_by(|a, b| (a.used, &a.path).cmp(&(b.used, &b.path)));
    Ok(disks)
}

/// Removes the kept disks of all but the labs that used theirs last, and the drafts of all labs. Labs that are up keep
/// theirs.
pub fn prune(locations: &Locations, keep: usize) -> Result<Pruned<KeptDisk>, StoreError> {
    let (mut labs, mut pruned) = (Vec::new(), Pruned::default());
    for lab in folders(&locations.state.join("labs"))? {
        match disks_of(&lab) {
            Ok(disks) => labs.push((disks.iter().map(|disk| disk.used).max(), lab, disks)),
            Err(error) => pruned.failed.push(error),
        }
    }
    // Labs without disks come last, so that none counts.
    labs.sort_by(|a, b| (b.0, &b.1).cmp(&(a.0, &a.1)));
    let runtime = &locations.runtime;
    make_runtime(runtime).map_err(|error| failed("create", runtime)(io::Error::other(error)))?;
    for (index, (_, lab, disks)) in labs.into_iter().enumerate() {
        let identity = lab.file_name().unwrap_or_default().to_string_lossy();
        // While the lock is held, the lab does not start.
        let Some(_lab_lock) = try_lab_lock(locations, &identity) else { continue };
        for disk in disks.into_iter().filter(|_| index >= keep) {
            pruned.add(fs::remove_file(&disk.path).map_err(failed("remove", &disk.path)).map(|()| disk));
        }
        pruned.failed.extend(remove_drafts(&lab).err());
    }
    Ok(pruned)
}

/// Removes the drafts of disks in the folder of a lab, and the folders that are then empty.
fn remove_drafts(lab: &Path) -> Result<(), StoreError> {
    let disks = lab.join("disks");
    for node in folders(&disks)? {
        for entry in fs::read_dir(&node).map_err(failed("read", &node))?.flatten() {
            let path = entry.path();
            if path.extension().is_some_and(|extension| extension == "new") {
                fs::remove_file(&path).map_err(failed("remove", &path))?;
            }
        }
        remove_if_empty(&node)?;
    }
    remove_if_empty(&disks)
}

fn remove_if_empty(folder: &Path) -> Result<(), StoreError> {
    match fs::remove_dir(folder) {
        Err(error) if !matches!(error.kind(), io::ErrorKind::DirectoryNotEmpty | io::ErrorKind::NotFound) => {
            Err(failed("remove", folder)(error))
        }
        Ok(()) | Err(_) => Ok(()),
    }
}

/// Returns the disks in the folder of a lab.
fn disks_of(lab: &Path) -> Result<Vec<KeptDisk>, StoreError> {
    let file = fs::read_to_string(lab.join("file"));
    // Without a readable name, its folder says which lab it is.
    let name = file.map_or_else(|_| lab.to_owned(), |file| PathBuf::from(file.trim_end()));
    let mut disks = Vec::new();
    for node in folders(&lab.join("disks"))? {
        let entries = fs::read_dir(&node).map_err(failed("read", &node))?.flatten();
        disks.extend(entries.filter_map(|entry| describe(&name, &node, entry.path())));
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
        let prune = |keep| {
            let Pruned { removed, failed } = prune(&locations, keep).unwrap();
            assert!(failed.is_empty(), "{failed:?}");
            names(removed)
        };
        let lock = lab_lock(&locations, Path::new("/up.toml")).unwrap();
        assert_eq!(prune(1), ["/old.toml a root"]);
        let folder = |lab: &str| dir.path().join("labs").join(identity(Path::new(lab)));
        assert!(!folder("/old.toml").join("disks").exists());
        assert!(!folder("/new.toml").join("disks/a/root.new").exists());
        assert!(folder("/up.toml").join("disks/a/root.new").exists(), "it may be in use");
        drop(lock);
        assert_eq!(prune(1), ["/up.toml a root"]);
        assert_eq!(prune(0).len(), 2);
    }

    #[test]
    fn a_lab_is_locked_by_its_folder_whatever_its_file_says() {
        let dir = tempfile::tempdir().unwrap();
        let locations = Locations {
            state: dir.path().to_owned(),
            cache: dir.path().join("cache"),
            runtime: dir.path().join("runtime"),
        };
        let lab = Path::new("/up.toml");
        let kept = dir.path().join("labs").join(identity(lab));
        fs::create_dir_all(kept.join("disks/a")).unwrap();
        fs::write(kept.join("disks/a/root.qcow2"), "").unwrap();
        for content in [None, Some(""), Some("/other.toml\n"), Some("\u{0}")] {
            if let Some(content) = content {
                fs::write(kept.join("file"), content).unwrap();
            }
            let _lock = lab_lock(&locations, lab).unwrap();
            assert_eq!(prune(&locations, 0).unwrap().removed, [], "{content:?}");
        }
        assert_eq!(prune(&locations, 0).unwrap().removed.len(), 1);
    }
}
