//! The sources of a lab: read once, for a check or a plan.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::config::Source;
use crate::hint::Hint;
use crate::image::Library;
use crate::lab::{self, LabEnvironment};
use crate::name::Bytes;
use crate::system::namespace::may_have_other_ids;

/// The largest lab file that is read; the format has far lower limits.
const MOST: u64 = 64 << 20;

/// The sources of a lab, with everything that decides their meaning except the host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LabSources {
    /// The canonical path of the lab file: with the user, the identity of the lab.
    pub file: PathBuf,
    /// The lab file.
    lab: Text,
    /// The overlays.
    overlays: Vec<Text>,
    /// Values of single keys.
    sets: Vec<String>,
    /// Folders of recipes, searched in order.
    pub recipes: Vec<PathBuf>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Text {
    name: String,
    bytes: Vec<u8>,
}

/// Why the sources of a lab could not be read.
#[derive(Debug, thiserror::Error)]
#[error("cannot read {}", path.display())]
pub struct LabSourcesError {
    path: PathBuf,
    #[source]
    source: io::Error,
}

impl Hint for LabSourcesError {
    fn hint(&self) -> Option<Cow<'static, str>> {
        match self.source.kind() {
            io::ErrorKind::NotFound => {
                Some("name a lab file, or a folder with a `lab.toml`; `dryrack init` writes one".into())
            }
            io::ErrorKind::FileTooLarge => Some("a lab file is a page or two of text".into()),
            _ => None,
        }
    }
}

impl LabSources {
    /// Reads a lab (a file, or a folder with `lab.toml`) and its overlays.
    ///
    /// `recipes` are folders named by the user; the folder `images` beside the lab comes after them.
    pub fn read(
        lab: &Path,
        overlays: &[PathBuf],
        sets: Vec<String>,
        mut recipes: Vec<PathBuf>,
    ) -> Result<Self, LabSourcesError> {
        let path = if lab.is_dir() { lab.join("lab.toml") } else { lab.to_owned() };
        let failed = |path: &Path| {
            let path = path.to_owned();
            move |source| LabSourcesError { path, source }
        };
        let file = fs::canonicalize(&path).map_err(failed(&path))?;
        let text = read(&path).map_err(failed(&path))?;
        let overlays = overlays.iter().map(|path| read(path).map_err(failed(path)));
        let overlays = overlays.collect::<Result<_, _>>()?;
        let beside = file.parent().unwrap_or(Path::new("/")).join("images");
        for folder in &mut recipes {
            *folder = fs::canonicalize(&*folder).map_err(failed(folder))?;
        }
        if beside.is_dir() {
            recipes.push(beside);
        }
        Ok(Self { file, lab: text, overlays, sets, recipes })
    }

    /// Returns the recipes and images that the lab can use.
    pub fn library(&self, cache: &Path) -> Library {
        Library::new(cache.to_owned(), self.recipes.clone())
    }

    /// Resolves the sources. Memory is not checked if `free_memory` is `None`.
    pub fn resolve(&self, library: &Library, free_memory: Option<Bytes>) -> lab::Outcome {
        self.resolve_among(library, free_memory, &|path| path.exists())
    }

    /// Resolves the sources as if all files that they refer to existed.
    pub fn resolve_ahead(&self, library: &Library) -> lab::Outcome {
        self.resolve_among(library, None, &|_| true)
    }

    fn resolve_among(
        &self,
        library: &Library,
        free_memory: Option<Bytes>,
        existing: &dyn Fn(&Path) -> bool,
    ) -> lab::Outcome {
        let images = library.recipes().filter_map(|(name, recipe)| {
            let files: BTreeSet<String> = recipe.ok()?.files.into_keys().collect();
            Some((name, files))
        });
        let around = LabEnvironment {
            file: self.file.clone(),
            folder: self.file.parent().unwrap_or(Path::new("/")).to_owned(),
            images: images.collect(),
            existing,
            free_memory,
            other_ids: may_have_other_ids(),
        };
        let source = |text: &Text| Source::new(text.name.clone(), text.bytes.clone());
        let overlays: Vec<Source> = self.overlays.iter().map(source).collect();
        lab::resolve(&source(&self.lab), &overlays, &self.sets, &around)
    }
}

fn read(path: &Path) -> io::Result<Text> {
    let size = fs::metadata(path)?.len();
    if size > MOST {
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, format!("it has {size} bytes")));
    }
    Ok(Text { name: path.display().to_string(), bytes: fs::read(path)? })
}
