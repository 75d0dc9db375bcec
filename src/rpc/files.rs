//! The files of a data directory and of the lab file: their paths, and how they are read, written and removed.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::{fs, io};

use super::draft;
use super::error::RpcError;
use crate::plan::DataEntry;

/// A kind of object; each has a folder in the data directory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Collection {
    /// `groups/ID.json`.
    Groups,
    /// `profiles/ID.json`.
    Profiles,
    /// `ignition/NAME`.
    Ignition,
    /// `generic/NAME`.
    Generic,
}

impl Collection {
    /// Every folder that can be written.
    pub(super) const ALL: [Self; 4] = [Self::Groups, Self::Profiles, Self::Ignition, Self::Generic];

    fn folder(self) -> &'static str {
        match self {
            Self::Groups => "groups",
            Self::Profiles => "profiles",
            Self::Ignition => "ignition",
            Self::Generic => "generic",
        }
    }

    fn extension(self) -> &'static str {
        match self {
            Self::Groups | Self::Profiles => ".json",
            Self::Ignition | Self::Generic => "",
        }
    }

    /// Returns the path of an object, relative to the data directory.
    ///
    /// As in matchbox, a name may have slashes for subfolders, but it cannot leave its folder.
    pub(super) fn entry(self, name: &str) -> Result<String, RpcError> {
        if name.contains('\0') {
            return Err(RpcError::unknown("invalid character in file path"));
        }
        let folder = self.folder();
        let file = format!("{name}{}", self.extension());
        let mut entry = folder.to_owned();
        for part in file.split('/') {
            match part {
                ".." => return Err(RpcError::invalid(format!("`{name}` leads out of {folder}/"))),
                _ if draft::is_draft(part) => {
                    return Err(RpcError::invalid(format!(
                        "`{name}`: names that begin so are kept for drafts"
                    )));
                }
                "" | "." => {}
                part => entry.extend(["/", part]),
            }
        }
        match name.starts_with('/') {
            true => Err(RpcError::invalid(format!("`{name}` leads out of {folder}/"))),
            false => Ok(entry),
        }
    }
}

/// A data directory with the lab file's entries.
#[derive(Debug)]
pub(super) struct Files {
    root: PathBuf,
    /// By path relative to the data directory. These take precedence.
    added: BTreeMap<String, DataEntry>,
}

impl Files {
    /// Opens a data directory and removes files that a killed process left incomplete.
    pub(super) fn open(root: &Path, added: BTreeMap<String, DataEntry>) -> io::Result<Self> {
        for collection in Collection::ALL {
            draft::sweep(&root.join(collection.folder()))?;
        }
        Ok(Self { root: root.to_owned(), added })
    }

    /// Reads a file.
    pub(super) fn read(&self, collection: Collection, name: &str) -> Result<Vec<u8>, RpcError> {
        let entry = collection.entry(name)?;
        let path = match self.added.get(&entry) {
            Some(DataEntry::Text(text)) => return Ok(text.clone().into_bytes()),
            Some(DataEntry::File(path)) => path.clone(),
            None => self.root.join(entry),
        };
        fs::read(&path).map_err(|error| match error.kind() {
            // Go can open a folder like a file, but not read it.
            io::ErrorKind::IsADirectory => RpcError::file("read", &path, &error),
            _ => RpcError::file("open", &path, &error),
        })
    }

    /// Returns the path of a file that may be changed by the operation that Go calls `verb`.
    fn changeable(&self, verb: &str, collection: Collection, name: &str) -> Result<PathBuf, RpcError> {
        let entry = collection.entry(name)?;
        if self.added.contains_key(&entry) {
            return Err(RpcError::not_ours(format!("{entry} is defined in the lab file: change it there")));
        }
        let path = self.root.join(&entry);
        match entry == collection.folder() {
            // Also if the folder does not exist yet.
            true => Err(RpcError::file(verb, &path, &io::Error::from_raw_os_error(nix::libc::EISDIR))),
            false => Ok(path),
        }
    }

    /// Writes a file atomically.
    pub(super) fn write(&self, collection: Collection, name: &str, bytes: &[u8]) -> Result<(), RpcError> {
        let path = self.changeable("open", collection, name)?;
        draft::write(&path, bytes).map_err(|failed| RpcError::file(failed.verb, &failed.path, &failed.source))
    }

    /// Removes a file.
    pub(super) fn remove(&self, collection: Collection, name: &str) -> Result<(), RpcError> {
        let path = self.changeable("remove", collection, name)?;
        fs::remove_file(&path).map_err(|error| RpcError::file("remove", &path, &error))
    }

    /// Returns the names in a folder, sorted, without their extensions, as in matchbox.
    pub(super) fn names(&self, collection: Collection) -> Result<Vec<String>, RpcError> {
        let within = format!("{}/", collection.folder());
        let added = self.added.keys().filter_map(|entry| entry.strip_prefix(&within));
        let mut names: BTreeSet<String> = added.map(str::to_owned).collect();
        match self.on_disk(collection) {
            // The folder may be missing if the lab file adds entries.
            Err(_) if !names.is_empty() => {}
            on_disk => names.extend(on_disk?),
        }
        let stem = |name: &String| name.rsplit_once('.').map_or(name.as_str(), |(stem, _)| stem).to_owned();
        Ok(names.iter().map(stem).collect())
    }

    fn on_disk(&self, collection: Collection) -> Result<Vec<String>, RpcError> {
        let folder = self.root.join(collection.folder());
        let failed = |error: io::Error| RpcError::file("open", &folder, &error);
        let names = fs::read_dir(&folder)
            .map_err(failed)?
            .map(|entry| Ok(entry.map_err(failed)?.file_name().to_string_lossy().into_owned()));
        let names: Vec<String> = names.collect::<Result<_, RpcError>>()?;
        Ok(names.into_iter().filter(|name| !draft::is_draft(name)).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(collection: Collection, name: &str) -> String {
        match collection.entry(name) {
            Ok(entry) => entry,
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn names_stay_in_their_folder() {
        for (name, expected) in [
            ("node1", "groups/node1.json"),
            ("", "groups/.json"),
            ("rack1/node1", "groups/rack1/node1.json"),
            ("a//./b", "groups/a/b.json"),
            ("..", "groups/...json"),
            ("../profiles/p1", "`../profiles/p1` leads out of groups/"),
            ("a/../b", "`a/../b` leads out of groups/"),
            ("/etc/passwd", "`/etc/passwd` leads out of groups/"),
            ("a\0b", "invalid character in file path"),
            (".dryrack-1", "`.dryrack-1`: names that begin so are kept for drafts"),
            ("sub/.dryrack-1", "`sub/.dryrack-1`: names that begin so are kept for drafts"),
        ] {
            assert_eq!(entry(Collection::Groups, name), expected, "{name}");
        }
        assert_eq!(entry(Collection::Ignition, ""), "ignition");
        assert_eq!(entry(Collection::Ignition, ".."), "`..` leads out of ignition/");
        assert_eq!(entry(Collection::Generic, "a.yaml.tmpl"), "generic/a.yaml.tmpl");
    }

    #[test]
    fn a_folder_lists_names_and_no_drafts() {
        let root = tempfile::tempdir().unwrap();
        let files = Files::open(root.path(), BTreeMap::new()).unwrap();
        files.write(Collection::Groups, "b", b"{}").unwrap();
        files.write(Collection::Groups, "a.b", b"{}").unwrap();
        fs::write(root.path().join("groups/.dryrack-1"), "{").unwrap();
        assert_eq!(files.names(Collection::Groups).unwrap(), ["a.b", "b"]);
        let none = files.names(Collection::Profiles).unwrap_err().to_string();
        assert_eq!(none, format!("open {}/profiles: no such file or directory", root.path().display()));
    }

    #[test]
    fn what_the_lab_file_adds_is_seen_and_stays() {
        let root = tempfile::tempdir().unwrap();
        let config = root.path().join("config.ign");
        fs::write(&config, "{}").unwrap();
        let added = [
            ("groups/lab.json".to_owned(), DataEntry::Text("{}".to_owned())),
            ("ignition/lab.ign".to_owned(), DataEntry::File(config)),
        ];
        let files = Files::open(root.path(), added.into()).unwrap();
        assert_eq!(files.names(Collection::Groups).unwrap(), ["lab"]);
        files.write(Collection::Groups, "disk", b"{ }").unwrap();
        assert_eq!(files.names(Collection::Groups).unwrap(), ["disk", "lab"]);
        assert_eq!(files.read(Collection::Groups, "lab").unwrap(), b"{}");
        assert_eq!(files.read(Collection::Ignition, "lab.ign").unwrap(), b"{}");
        for refused in [
            files.write(Collection::Groups, "./lab", b"").unwrap_err(),
            files.remove(Collection::Groups, "lab").unwrap_err(),
        ] {
            assert_eq!(refused.to_string(), "groups/lab.json is defined in the lab file: change it there");
        }
    }

    #[test]
    fn what_the_system_refuses_is_said_as_go_says_it() {
        let root = tempfile::tempdir().unwrap();
        let files = Files::open(root.path(), BTreeMap::new()).unwrap();
        let at = root.path().display();
        files.write(Collection::Ignition, "a", b"").unwrap();
        for (seen, expected) in [
            (
                files.read(Collection::Ignition, "").unwrap_err(),
                format!("read {at}/ignition: is a directory"),
            ),
            (
                files.read(Collection::Ignition, "b").unwrap_err(),
                format!("open {at}/ignition/b: no such file or directory"),
            ),
            (
                files.read(Collection::Ignition, "a/b").unwrap_err(),
                format!("open {at}/ignition/a/b: not a directory"),
            ),
            (
                files.write(Collection::Ignition, "", b"").unwrap_err(),
                format!("open {at}/ignition: is a directory"),
            ),
            (
                files.remove(Collection::Ignition, "").unwrap_err(),
                format!("remove {at}/ignition: is a directory"),
            ),
            (
                files.write(Collection::Ignition, &"x".repeat(300), b"").unwrap_err(),
                format!("open {at}/ignition/{}: file name too long", "x".repeat(300)),
            ),
        ] {
            assert_eq!(seen.to_string(), expected);
        }
    }
}
