//! The cache of built images: complete images by key, and keys by recipe.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use nix::fcntl::Flock;
use serde::{Deserialize, Serialize};

use super::apt::Package;
use super::digest::lock;
use super::error::{BuildError, Doing};
use crate::name::ImageName;

/// An image in the cache.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Built {
    /// The folder of its files.
    pub dir: PathBuf,
    /// The key: a hash of everything the image was built from, as 16 hexadecimal digits.
    pub key: String,
    /// Its boot files.
    pub files: BTreeMap<String, BuiltFile>,
}

/// One boot file of a built image.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BuiltFile {
    /// Its path.
    pub path: PathBuf,
    /// Its size in bytes.
    pub size: u64,
    /// Its digest.
    pub sha256: String,
}

/// One line of `dryrack image list`.
#[derive(Debug)]
pub struct Listed {
    /// The image.
    pub image: ImageName,
    /// The description in its recipe.
    pub about: String,
    /// Whether it is built.
    pub state: State,
}

/// Whether an image is built.
#[derive(Debug)]
pub enum State {
    /// It is in the cache.
    Built(Built),
    /// It is not.
    Unbuilt,
    /// Its recipe cannot be read.
    Broken(BuildError),
}

/// Which entries a prune removes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PruneRule {
    /// Images that no current recipe produces, and leftovers of interrupted builds.
    Stale,
    /// Everything, downloads and package lists included.
    All,
}

/// An entry that a prune removed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pruned {
    /// Its path.
    pub path: PathBuf,
    /// The bytes freed.
    pub size: u64,
}

/// The record of an image, `image.json`.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Record {
    pub(super) schema: u32,
    pub(super) image: String,
    pub(super) key: String,
    pub(super) recipe: String,
    pub(super) built: String,
    pub(super) seconds: f64,
    pub(super) packages: Vec<Package>,
    /// Packages that the build script installed itself: lines `name version architecture`.
    pub(super) installed: Vec<String>,
    pub(super) files: BTreeMap<String, RecordFile>,
}

/// A file in a [`Record`].
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct RecordFile {
    pub(super) size: u64,
    pub(super) sha256: String,
}

/// The part of the cache that belongs to one image.
pub(super) struct ImageFolder {
    dir: PathBuf,
}

impl ImageFolder {
    pub(super) fn of(cache: &Path, image: &ImageName) -> Self {
        Self { dir: cache.join("images").join(image.as_str()) }
    }

    /// Waits for the lock under which the image is built or pruned.
    pub(super) fn lock(&self, waiting: &mut dyn FnMut()) -> Result<Flock<File>, BuildError> {
        fs::create_dir_all(&self.dir).doing("create", &self.dir)?;
        lock(&self.dir.join(".lock"), waiting)
    }

    pub(super) fn log(&self) -> PathBuf {
        self.dir.join("build.log")
    }

    /// Returns the complete image under a key.
    pub(super) fn by_key(&self, key: &str) -> Option<Built> {
        let dir = self.dir.join(key);
        let record: Record = serde_json::from_slice(&fs::read(dir.join("image.json")).ok()?).ok()?;
        let files = record.files.into_iter().map(|(name, file)| {
            let path = dir.join(&name);
            // Files may have been deleted by hand: an incomplete image does not count.
            let whole = fs::metadata(&path).is_ok_and(|found| found.len() == file.size);
            whole.then_some((name, BuiltFile { path, size: file.size, sha256: file.sha256 }))
        });
        let files = files.collect::<Option<_>>()?;
        Some(Built { key: key.to_owned(), files, dir })
    }

    /// Returns the image that was built from a recipe.
    pub(super) fn by_recipe(&self, digest: &str) -> Option<Built> {
        self.by_key(&self.key_of(digest)?)
    }

    /// Stores the key of the image built from a recipe.
    pub(super) fn point(&self, digest: &str, key: &str) -> Result<(), BuildError> {
        let folder = self.dir.join("recipes");
        fs::create_dir_all(&folder).doing("create", &folder)?;
        let temporary = folder.join(".new");
        fs::write(&temporary, key).doing("write", &temporary)?;
        fs::rename(&temporary, folder.join(digest)).doing("move", &temporary)
    }

    /// Removes leftovers of interrupted builds, and creates a new build folder.
    ///
    /// Only for the holder of the lock: then no such build is running.
    pub(super) fn scratch(&self) -> Result<PathBuf, BuildError> {
        for left in self.leftovers()? {
            fs::remove_dir_all(&left).doing("remove", &left)?;
        }
        let scratch = self.dir.join(format!(".build-{}", std::process::id()));
        fs::create_dir(&scratch).doing("create", &scratch)?;
        Ok(scratch)
    }

    /// Moves a finished folder to its key, and replaces an existing one.
    pub(super) fn publish(&self, finished: &Path, key: &str) -> Result<(), BuildError> {
        let target = self.dir.join(key);
        let old = self.dir.join(format!(".build-old-{key}"));
        match fs::rename(&target, &old) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(error).doing("move", &target);
            }
            Ok(()) | Err(_) => {}
        }
        fs::rename(finished, &target).doing("move", finished)?;
        remove(&old).doing("remove", &old)
    }

    fn key_of(&self, digest: &str) -> Option<String> {
        fs::read_to_string(self.dir.join("recipes").join(digest)).ok()
    }

    fn leftovers(&self) -> Result<Vec<PathBuf>, BuildError> {
        Ok(entries(&self.dir)?.into_iter().filter(|path| file_name(path).starts_with(".build-")).collect())
    }
}

/// Removes the entries of a rule; `recipe` returns the digest of an image's recipe, if it has one.
pub(super) fn prune(
    cache: &Path,
    rule: PruneRule,
    recipe: impl Fn(&ImageName) -> Option<String>,
) -> Result<Vec<Pruned>, BuildError> {
    let mut gone = Vec::new();
    let mut used = BTreeSet::new();
    let images = cache.join("images");
    for dir in entries(&images)? {
        let Ok(image) = ImageName::new(&file_name(&dir)) else { continue };
        let folder = ImageFolder::of(cache, &image);
        let _lock = folder.lock(&mut || {})?;
        let digest = recipe(&image).filter(|_| rule == PruneRule::Stale);
        let kept = digest.as_deref().and_then(|digest| folder.by_recipe(digest));
        for path in entries(&dir)? {
            let name = file_name(&path);
            let keep = matches!(name.as_str(), ".lock" | "recipes")
                || kept.as_ref().is_some_and(|kept| kept.key == name);
            if !keep {
                take(path, &mut gone)?;
            }
        }
        for pointer in entries(&dir.join("recipes"))? {
            if kept.is_none() || digest.as_deref() != Some(&file_name(&pointer)) {
                take(pointer, &mut gone)?;
            }
        }
        if let Some(kept) = kept {
            let record = fs::read(kept.dir.join("image.json"))
                .ok()
                .and_then(|text| serde_json::from_slice::<Record>(&text).ok());
            used.extend(
                record
                    .into_iter()
                    .flat_map(|record| record.packages)
                    .map(|package| format!("{}.deb", package.sha256)),
            );
        }
    }
    for path in entries(&cache.join("packages"))? {
        if !used.contains(&file_name(&path)) {
            take(path, &mut gone)?;
        }
    }
    for path in entries(&cache.join("downloads"))? {
        // A finished download was copied into its image; a partial one may be resumed.
        let part = file_name(&path).ends_with(".part");
        if file_name(&path) != "lock" && (rule == PruneRule::All || !part) {
            take(path, &mut gone)?;
        }
    }
    if rule == PruneRule::All && cache.join("apt").exists() {
        take(cache.join("apt"), &mut gone)?;
    }
    Ok(gone)
}

pub(super) fn take(path: PathBuf, gone: &mut Vec<Pruned>) -> Result<(), BuildError> {
    let size = size(&path);
    remove(&path).doing("remove", &path)?;
    gone.push(Pruned { path, size });
    Ok(())
}

fn remove(path: &Path) -> io::Result<()> {
    let removed = if path.is_dir() { fs::remove_dir_all(path) } else { fs::remove_file(path) };
    match removed {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        removed => removed,
    }
}

fn size(path: &Path) -> u64 {
    match fs::symlink_metadata(path) {
        Ok(found) if found.is_dir() => {
            entries(path).map_or(0, |entries| entries.iter().map(|entry| size(entry)).sum())
        }
        Ok(found) => found.len(),
        Err(_) => 0,
    }
}

/// Returns the entries of a folder, in order; none if there is no folder.
pub(super) fn entries(folder: &Path) -> Result<Vec<PathBuf>, BuildError> {
    let found = match fs::read_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        found => found.doing("read", folder)?,
    };
    let mut found: Vec<_> = found.filter_map(Result::ok).map(|entry| entry.path()).collect();
    found.sort();
    Ok(found)
}

pub(super) fn file_name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}
