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
    /// As in matchbox, a name may have slashes for subfolders, and is cleaned like a path. Unlike there, it cannot lead
    /// out of its folder.
    pub(super) fn entry(self, name: &str) -> Result<String, RpcError> {
        if name.contains('\0') {
            return Err(RpcError::unknown("invalid character in file path"));
        }
        let folder = self.folder();
        let file = format!("{name}{}", self.extension());
        let mut parts = vec![folder];
        for part in file.split('/') {
            match part {
                "" | "." => {}
                // The data directory has no parent.
                ".." => drop(parts.pop()),
                part => parts.push(part),
            }
        }
        if parts.first() != Some(&folder) {
            return Err(RpcError::invalid(format!("`{name}` leads out of {folder}/")));
        }
        if parts.iter().any(|part| draft::is_draft(part)) {
            return Err(RpcError::invalid(format!("`{name}`: names that begin so are kept for drafts")));
        }
        Ok(parts.join("/"))
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

    /// Returns the path of a file that may be changed.
    fn changeable(&self, collection: Collection, name: &str) -> Result<PathBuf, RpcError> {
        let entry = collection.entry(name)?;
        if self.added.contains_key(&entry) {
            return Err(RpcError::not_ours(format!("{entry} is defined in the lab file: change it there")));
        }
        Ok(self.root.join(&entry))
    }

    /// Writes a file atomically.
    pub(super) fn write(&self, collection: Collection, name: &str, bytes: &[u8]) -> Result<(), RpcError> {
        let path = self.changeable(collection, name)?;
        // Under the name of a folder that is missing, matchbox would write a file that is in the way from then on.
        let folder = self.root.join(collection.folder());
        let written = draft::make_folder(&folder).and_then(|()| draft::write(&path, bytes));
        written.map_err(|failed| RpcError::file(failed.verb, &failed.path, &failed.source))
    }

    /// Removes a file, or like Go an empty folder.
    pub(super) fn remove(&self, collection: Collection, name: &str) -> Result<(), RpcError> {
        let path = self.changeable(collection, name)?;
        let Err(of_file) = fs::remove_file(&path) else { return Ok(()) };
        let Err(of_folder) = fs::remove_dir(&path) else { return Ok(()) };
        let error = if of_folder.kind() == io::ErrorKind::NotADirectory { of_file } else { of_folder };
        Err(RpcError::file("remove", &path, &error))
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
            ("../../profiles/p1", "`../../profiles/p1` leads out of groups/"),
            ("a/../../profiles/b", "`a/../../profiles/b` leads out of groups/"),
            ("a/../b", "groups/b.json"),
            ("../groups/b", "groups/b.json"),
            ("../../groups/b", "groups/b.json"),
            ("/etc/passwd", "groups/etc/passwd.json"),
            ("a\0b", "invalid character in file path"),
            ("a/../.dryrack-1", "`a/../.dryrack-1`: names that begin so are kept for drafts"),
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
    fn a_file_in_the_place_of_a_folder_is_told() {
        let root = tempfile::tempdir().unwrap();
        fs::write(root.path().join("groups"), "").unwrap();
        let files = Files::open(root.path(), BTreeMap::new()).unwrap();
        let groups = format!("{}/groups", root.path().display());
        for (error, expected) in [
            (files.names(Collection::Groups).unwrap_err(), format!("open {groups}: not a directory")),
            (
                files.read(Collection::Groups, "a").unwrap_err(),
                format!("open {groups}/a.json: not a directory"),
            ),
            (
                files.write(Collection::Groups, "a", b"").unwrap_err(),
                format!("mkdir {groups}: not a directory"),
            ),
            (
                files.remove(Collection::Groups, "a").unwrap_err(),
                format!("remove {groups}/a.json: not a directory"),
            ),
        ] {
            assert_eq!(error.to_string(), expected);
        }
        files.write(Collection::Profiles, "a", b"").unwrap();
    }

    #[test]
    fn an_empty_folder_is_removed_like_a_file() {
        let root = tempfile::tempdir().unwrap();
        let files = Files::open(root.path(), BTreeMap::new()).unwrap();
        files.write(Collection::Ignition, "sub/a", b"").unwrap();
        files.remove(Collection::Ignition, "sub/a").unwrap();
        files.remove(Collection::Ignition, "sub").unwrap();
        files.remove(Collection::Ignition, ".").unwrap();
        assert!(!root.path().join("ignition").exists());
        files.write(Collection::Ignition, "a", b"").unwrap();
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
                format!("remove {at}/ignition: directory not empty"),
            ),
            (
                files.remove(Collection::Ignition, "b").unwrap_err(),
                format!("remove {at}/ignition/b: no such file or directory"),
            ),
            (
                files.remove(Collection::Generic, ".").unwrap_err(),
                format!("remove {at}/generic: no such file or directory"),
            ),
            (
                files.write(Collection::Generic, ".", b"").unwrap_err(),
                format!("open {at}/generic: is a directory"),
            ),
            (
                files.write(Collection::Ignition, "a/b", b"").unwrap_err(),
                format!("mkdir {at}/ignition/a: not a directory"),
            ),
            (
                files.write(Collection::Ignition, "a/b/c", b"").unwrap_err(),
                format!("mkdir {at}/ignition/a: not a directory"),
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
