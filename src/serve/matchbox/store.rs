//! A data directory with the lab file's overlay: always current, read only when it has changed.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::watch::{Change, Looked, State, Watcher, read};
use crate::matchbox::content::{Content, Kind};
use crate::matchbox::ignition::Version;
use crate::matchbox::labels::Labels;
use crate::matchbox::model::{Group, ModelError, Profile};
use crate::matchbox::render::{Failure, Source};
use crate::matchbox::select::{Groups, Named};
use crate::plan::DataEntry;

/// Folders of a data directory, by their index in the watch list.
const FOLDERS: [&str; 5] = ["groups", "profiles", "ignition", "cloud", "generic"];
const GROUPS: usize = 0;
const PROFILES: usize = 1;

fn position(kind: Kind) -> usize {
    match kind {
        Kind::Ignition => 2,
        Kind::Cloud => 3,
        Kind::Generic => 4,
    }
}

/// Groups, profiles and configs, always current.
pub struct Store {
    newest: Version,
    disk: Mutex<Disk>,
}

struct Disk {
    folder: Option<PathBuf>,
    /// Entries of the lab file by path; they take precedence over the folder.
    entries: BTreeMap<String, DataEntry>,
    watcher: Watcher,
    groups: Groups,
    /// The files of the groups by name, also invalid ones.
    group_files: HashMap<String, Known<()>>,
    /// Names of those that may change without an event.
    elsewhere: BTreeSet<String>,
    profiles: HashMap<String, Known<Arc<Profile>>>,
    contents: [HashMap<String, Known<Arc<Content>>>; 3],
    warnings: Vec<Failure>,
}

/// The parsed content of a file.
#[derive(Clone)]
struct Known<T> {
    made: Result<T, Failure>,
    /// Its state when it was read; `None` for an entry in memory.
    state: Option<State>,
    /// Whether it must be checked on each request.
    elsewhere: bool,
}

impl std::fmt::Debug for Store {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Store")
    }
}

impl Store {
    /// Opens a data directory, which may be missing, with its overlay. Every group is read.
    pub fn open(folder: Option<PathBuf>, entries: BTreeMap<String, DataEntry>, newest: Version) -> Self {
        let folders = FOLDERS.iter().filter_map(|name| Some(folder.as_ref()?.join(name)));
        let mut disk = Disk {
            watcher: Watcher::new(folders),
            folder,
            entries,
            groups: Groups::default(),
            group_files: HashMap::new(),
            elsewhere: BTreeSet::new(),
            profiles: HashMap::new(),
            contents: Default::default(),
            warnings: Vec::new(),
        };
        disk.load_laid_groups();
        disk.refresh_groups();
        Self { newest, disk: Mutex::new(disk) }
    }

    /// Returns the groups that could not be read since the last call, and other problems that belong to no request.
    pub fn take_warnings(&self) -> Vec<Failure> {
        let mut disk = self.disk();
        let unwatched = disk.watcher.take_warning().map(|failure| Failure::of("", failure));
        unwatched.into_iter().chain(std::mem::take(&mut disk.warnings)).collect()
    }

    fn disk(&self) -> MutexGuard<'_, Disk> {
        self.disk.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Source for Store {
    fn select(&self, labels: &Labels) -> Option<Arc<Named>> {
        let mut disk = self.disk();
        disk.refresh_groups();
        disk.groups.select(labels).cloned()
    }

    fn groups(&self) -> Vec<Arc<Named>> {
        let mut disk = self.disk();
        disk.refresh_groups();
        disk.groups.all().cloned().collect()
    }

    fn profile(&self, id: &str) -> Result<Arc<Profile>, Failure> {
        let mut disk = self.disk();
        let Disk { folder, entries, watcher, profiles, .. } = &mut *disk;
        let files = Files { folder: folder.as_deref(), entries, at: PROFILES };
        files.find(watcher, profiles, &format!("{id}.json"), |file, bytes| {
            Profile::read(bytes).map(Arc::new).map_err(|error| unreadable(file, error))
        })
    }

    fn content(&self, kind: Kind, name: &str) -> Result<Arc<Content>, Failure> {
        let mut disk = self.disk();
        let at = position(kind);
        let Disk { folder, entries, watcher, contents, .. } = &mut *disk;
        let files = Files { folder: folder.as_deref(), entries, at };
        files.find(watcher, &mut contents[at - 2], name, |file, bytes| {
            Ok(Arc::new(Content::new(file, bytes.to_vec())))
        })
    }

    fn newest_ignition(&self) -> Version {
        self.newest
    }
}

fn unreadable(file: &str, error: ModelError) -> Failure {
    Failure { file: file.to_owned(), line: error.line, reason: error.message }
}

/// Describes why a file cannot be read, without its path, which is reported anyway.
fn unopened(file: &str, error: &io::Error) -> Failure {
    let reason = match error.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => "not found".to_owned(),
        io::ErrorKind::IsADirectory => "is a folder".to_owned(),
        _ => error.to_string(),
    };
    Failure::of(file, reason)
}

/// The files of one folder of a data directory.
struct Files<'a> {
    folder: Option<&'a Path>,
    entries: &'a BTreeMap<String, DataEntry>,
    at: usize,
}

impl Files<'_> {
    /// Returns the parsed file, read again if it has changed.
    fn find<T: Clone>(
        &self,
        watcher: &mut Watcher,
        known: &mut HashMap<String, Known<T>>,
        name: &str,
        make: impl Fn(&str, &[u8]) -> Result<T, Failure>,
    ) -> Result<T, Failure> {
        let file = format!("{}/{name}", FOLDERS[self.at]);
        // The real server lets a name point to other folders; that is never intended.
        if name.contains('\0') || name.split('/').any(|part| part == "..") {
            return Err(Failure::of(file, "invalid file name"));
        }
        let laid = self.entries.get(&file);
        let mut each = false;
        if laid.is_none() && self.folder.is_some() {
            match watcher.look(self.at) {
                Change::None => {}
                Change::Names(names) => {
                    for name in names.iter().filter_map(|name| name.to_str()) {
                        known.remove(name);
                    }
                }
                Change::All => known.clear(),
                Change::Unknown => each = true,
            }
        }
        let path = match (laid, self.folder) {
            (Some(DataEntry::Text(text)), _) => {
                let made = || Known { made: make(&file, text.as_bytes()), state: None, elsewhere: false };
                return known.entry(name.to_owned()).or_insert_with(made).made.clone();
            }
            (Some(DataEntry::File(path)), _) => path.clone(),
            (None, Some(folder)) => folder.join(&file),
            (None, None) => return Err(unopened(&file, &io::ErrorKind::NotFound.into())),
        };
        if let Some(known) = known.get(name)
            && known.is_good(each, &path)
        {
            return known.made.clone();
        }
        let Looked { bytes, state, elsewhere } = read(&path);
        let file = if laid.is_some() { path.display().to_string() } else { file };
        let made = match bytes {
            Ok(bytes) => make(&file, &bytes),
            Err(error) => Err(unopened(&file, &error)),
        };
        // Subfolders are not watched.
        let elsewhere = elsewhere || laid.is_some() || name.contains('/');
        known.insert(name.to_owned(), Known { made: made.clone(), state: Some(state), elsewhere });
        made
    }
}

impl<T> Known<T> {
    /// Tells whether the file is unchanged since it was read.
    fn is_good(&self, each: bool, path: &Path) -> bool {
        match &self.state {
            Some(state) if each || self.elsewhere => state.is_still(path),
            _ => true,
        }
    }
}

impl Disk {
    /// Reads the groups of the overlay.
    fn load_laid_groups(&mut self) {
        let prefix = format!("{}/", FOLDERS[GROUPS]);
        let laid: Vec<String> =
            self.entries.keys().filter_map(|path| path.strip_prefix(&prefix)).map(str::to_owned).collect();
        for name in laid {
            self.load_group(&name);
        }
    }

    fn refresh_groups(&mut self) {
        match self.folder.as_ref().map_or(Change::None, |_| self.watcher.look(GROUPS)) {
            Change::None => {}
            Change::Names(names) => {
                for name in names.iter().filter_map(|name| name.to_str()) {
                    self.load_group(name);
                }
            }
            Change::All => self.list_groups(false),
            Change::Unknown => return self.list_groups(true),
        }
        for name in self.elsewhere.clone() {
            let path = self.group_path(&name);
            if !self.group_files.get(&name).is_some_and(|known| known.is_good(true, &path)) {
                self.load_group(&name);
            }
        }
    }

    /// Updates the groups from the folder.
    fn list_groups(&mut self, looking: bool) {
        let Some(folder) = &self.folder else { return };
        let mut names: BTreeSet<String> = match fs::read_dir(folder.join(FOLDERS[GROUPS])) {
            Ok(entries) => entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok()).collect(),
            Err(_) => BTreeSet::new(),
        };
        names.extend(self.laid(GROUPS).map(str::to_owned));
        let gone: Vec<String> =
            self.group_files.keys().filter(|name| !names.contains(*name)).cloned().collect();
        for name in gone {
            self.forget_group(&name);
        }
        for name in names {
            let good = looking
                && self
                    .group_files
                    .get(&name)
                    .is_some_and(|known| known.is_good(true, &self.group_path(&name)));
            if !good {
                self.load_group(&name);
            }
        }
    }

    /// Reads the file of a group. Other files are ignored, as by the real server.
    fn load_group(&mut self, name: &str) {
        // The real server strips any extension and then reads `.json`, so this finds the same files.
        let Some(stem) = name.strip_suffix(".json") else { return };
        let file = format!("{}/{name}", FOLDERS[GROUPS]);
        let laid = self.entries.get(&file);
        let path = self.group_path(name);
        let Looked { bytes, state, elsewhere } = match laid {
            Some(DataEntry::Text(text)) => {
                let group = Group::read(text.as_bytes()).map_err(|error| unreadable(&file, error));
                return self.set_group(name, stem, group, None, false);
            }
            _ => read(&path),
        };
        let elsewhere = elsewhere || laid.is_some();
        match bytes {
            Err(error) if error.kind() == io::ErrorKind::NotFound && !elsewhere => self.forget_group(name),
            Err(error) => {
                self.set_group(name, stem, Err(unopened(&file, &error)), Some(state), elsewhere);
            }
            Ok(bytes) => {
                let group = Group::read(&bytes).map_err(|error| unreadable(&file, error));
                self.set_group(name, stem, group, Some(state), elsewhere);
            }
        }
    }

    fn set_group(
        &mut self,
        name: &str,
        stem: &str,
        group: Result<Group, Failure>,
        state: Option<State>,
        elsewhere: bool,
    ) {
        let made = match group {
            Ok(group) => {
                self.groups.insert(Named::new(stem, group));
                Ok(())
            }
            Err(failure) => {
                self.groups.remove(stem);
                let reported =
                    self.group_files.get(name).is_some_and(|known| known.made.as_ref() == Err(&failure));
                if !reported {
                    self.warnings.push(failure.clone());
                }
                Err(failure)
            }
        };
        match elsewhere {
            true => self.elsewhere.insert(name.to_owned()),
            false => self.elsewhere.remove(name),
        };
        self.group_files.insert(name.to_owned(), Known { made, state, elsewhere });
    }

    fn forget_group(&mut self, name: &str) {
        self.groups.remove(name.strip_suffix(".json").unwrap_or(name));
        self.group_files.remove(name);
        self.elsewhere.remove(name);
    }

    fn group_path(&self, name: &str) -> PathBuf {
        let file = format!("{}/{name}", FOLDERS[GROUPS]);
        match (self.entries.get(&file), &self.folder) {
            (Some(DataEntry::File(path)), _) => path.clone(),
            (_, Some(folder)) => folder.join(file),
            (_, None) => file.into(),
        }
    }

    /// Returns the names of the overlay's entries in a folder.
    fn laid(&self, at: usize) -> impl Iterator<Item = &str> {
        self.entries.keys().filter_map(move |path| path.strip_prefix(FOLDERS[at])?.strip_prefix('/'))
    }
}
