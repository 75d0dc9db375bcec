//! Where the files are that a file names: on the machine of the server, and here.

use std::path::{Path, PathBuf};

/// What is at a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PathKind {
    /// A file.
    File,
    /// A folder.
    Folder,
}

/// Gives access to files. Files outside of the project are none of ours, so only what is named is read.
pub trait Files {
    /// Returns what is at a path, if anything.
    fn kind(&self, path: &Path) -> Option<PathKind>;
    /// Returns the contents of a file.
    fn read(&self, path: &Path) -> Option<Vec<u8>>;
    /// Returns the names in a folder, sorted.
    fn list(&self, path: &Path) -> Option<Vec<String>>;
}

/// Finds a file that another one names.
///
/// An absolute path is one of the machine of the server: here the file is below the folder of the other one with the
/// same path, or beside it. Only files of this machine itself name others of this machine.
pub(super) fn locate(files: &dyn Files, folder: &Path, written: &str) -> Option<PathBuf> {
    let path = Path::new(written);
    let mut candidates = Vec::new();
    match path.strip_prefix("/") {
        Ok(below) => {
            candidates.push(folder.join(below));
            candidates.extend(path.file_name().map(|name| folder.join(name)));
            if folder.starts_with("/etc") {
                candidates.push(path.to_owned());
            }
        }
        Err(_) => candidates.push(folder.join(path)),
    }
    candidates.into_iter().find(|candidate| files.kind(candidate).is_some())
}

/// Returns the folder of a file.
pub(super) fn folder(path: &Path) -> PathBuf {
    path.parent().map(Path::to_owned).unwrap_or_default()
}

/// Files in memory.
#[cfg(any(test, fuzzing))]
#[derive(Debug, Default)]
pub(super) struct InMemory(pub(super) std::collections::BTreeMap<PathBuf, Vec<u8>>);

#[cfg(any(test, fuzzing))]
impl Files for InMemory {
    fn kind(&self, path: &Path) -> Option<PathKind> {
        if self.0.contains_key(path) {
            return Some(PathKind::File);
        }
        self.0.keys().any(|file| file != path && file.starts_with(path)).then_some(PathKind::Folder)
    }

    fn read(&self, path: &Path) -> Option<Vec<u8>> {
        self.0.get(path).cloned()
    }

    fn list(&self, path: &Path) -> Option<Vec<String>> {
        self.kind(path).filter(|kind| *kind == PathKind::Folder)?;
        let names = self.0.keys().filter_map(|file| {
            Some(file.strip_prefix(path).ok()?.iter().next()?.to_string_lossy().into_owned())
        });
        let names: std::collections::BTreeSet<_> = names.collect();
        Some(names.into_iter().collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_found_beside_the_one_that_names_them() {
        let names = ["conf/dnsmasq.conf", "conf/srv/tftp/a", "conf/hosts", "/etc/ethers"];
        let files = InMemory(names.iter().map(|name| (PathBuf::from(name), Vec::new())).collect());
        let at = |folder: &str, written: &str| locate(&files, Path::new(folder), written);
        assert_eq!(at("conf", "/srv/tftp"), Some("conf/srv/tftp".into()));
        assert_eq!(at("conf", "/etc/hosts"), Some("conf/hosts".into()));
        assert_eq!(at("conf", "hosts"), Some("conf/hosts".into()));
        assert_eq!(at("conf", "/etc/ethers"), None, "a file of this machine is none of the project");
        assert_eq!(at("/etc", "/etc/ethers"), Some("/etc/ethers".into()));
        assert_eq!(
            files.list(Path::new("conf")),
            Some(vec!["dnsmasq.conf".into(), "hosts".into(), "srv".into()])
        );
    }
}
