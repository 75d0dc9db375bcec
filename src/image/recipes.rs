//! Recipes: from the user's folders first, then those embedded in the binary.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use include_dir::{Dir, include_dir};
use sha2::{Digest, Sha256};

use super::digest::{self, hex};
use super::error::{BuildError, Doing};
use crate::config::recipe::{self, Recipe};
use crate::name::ImageName;

static EMBEDDED: Dir<'_> = include_dir!("$CARGO_MANIFEST_DIR/images");

/// A recipe with all inputs of its result except packages.
#[derive(Debug, Clone)]
pub(super) struct Source {
    pub(super) recipe: Recipe,
    /// The recipe that this one extends.
    pub(super) base: Option<Box<Source>>,
    contents: BTreeMap<String, Content>,
    folder: Option<PathBuf>,
    digest: String,
}

#[derive(Debug, Clone)]
enum Content {
    Embedded(&'static [u8]),
    File(PathBuf),
}

/// Returns the names of all recipes, embedded ones included.
pub(super) fn names(folders: &[PathBuf]) -> Vec<ImageName> {
    let embedded = EMBEDDED.dirs().map(|dir| dir.path().to_owned());
    let own = folders.iter().filter_map(|folder| fs::read_dir(folder).ok()).flatten().filter_map(Result::ok);
    let own = own.map(|entry| entry.path()).filter(|path| path.join("recipe.toml").is_file());
    let names = embedded.chain(own).filter_map(|path| ImageName::new(path.file_name()?.to_str()?).ok());
    names.collect::<std::collections::BTreeSet<_>>().into_iter().collect()
}

impl Source {
    /// Reads a recipe: the first folder that has it takes precedence.
    pub(super) fn load(image: &ImageName, folders: &[PathBuf]) -> Result<Self, BuildError> {
        Self::load_below(image, folders, &mut Vec::new())
    }

    fn load_below(
        image: &ImageName,
        folders: &[PathBuf],
        above: &mut Vec<ImageName>,
    ) -> Result<Self, BuildError> {
        if above.contains(image) {
            return Err(BuildError::Circle { image: image.clone() });
        }
        let folder = folders
            .iter()
            .map(|folder| folder.join(image.as_str()))
            .find(|folder| folder.join("recipe.toml").is_file());
        let mut contents = BTreeMap::new();
        match (&folder, EMBEDDED.get_dir(image.as_str())) {
            (Some(folder), _) => collect_folder(folder, folder, &mut contents)?,
            (None, Some(dir)) => collect_embedded(dir, dir.path(), &mut contents),
            (None, None) => return Err(BuildError::NoRecipe { image: image.clone(), known: names(folders) }),
        }

        let path = folder
            .clone()
            .unwrap_or_else(|| PathBuf::from(format!("<embedded>/{image}")))
            .join("recipe.toml");
        let text = match contents.get("recipe.toml") {
            Some(Content::Embedded(bytes)) => String::from_utf8_lossy(bytes).into_owned(),
            Some(Content::File(file)) => fs::read_to_string(file).doing("read", file)?,
            None => return Err(BuildError::NoRecipe { image: image.clone(), known: names(folders) }),
        };
        let recipe = recipe::parse(&text).map_err(|source| BuildError::Recipe { path, source })?;
        above.push(image.clone());
        let base = recipe.extends.as_ref().map(|base| Self::load_below(base, folders, above)).transpose()?;
        let mut source = Self { recipe, base: base.map(Box::new), contents, folder, digest: String::new() };
        source.digest = source.compute_digest()?;
        Ok(source)
    }

    /// Returns the digest over the recipe, all files of its folder, and the recipe that it extends.
    pub(super) fn digest(&self) -> &str {
        &self.digest
    }

    /// Returns the packages of the recipe and of the one that it extends.
    pub(super) fn packages(&self) -> (Vec<String>, Vec<String>) {
        let (mut packages, mut meta) = self.base.as_ref().map(|base| base.packages()).unwrap_or_default();
        packages.extend(self.recipe.packages.iter().cloned());
        meta.extend(self.recipe.meta.iter().cloned());
        (packages, meta)
    }

    /// Returns the path of a file that the user provides.
    pub(super) fn provided(&self, path: &str) -> PathBuf {
        self.folder.as_deref().unwrap_or(Path::new("/")).join(path)
    }

    /// Writes the folder of the recipe to `to`, where the build script finds it.
    ///
    /// Files that the user provides are left out: they are used in place.
    pub(super) fn extract(&self, to: &Path) -> Result<(), BuildError> {
        for (name, content) in &self.contents {
            if self.recipe.files.values().any(|file| file.path.as_ref() == Some(name)) {
                continue;
            }
            let path = to.join(name);
            let folder = path.parent().unwrap_or(to);
            fs::create_dir_all(folder).doing("create", folder)?;
            match content {
                Content::Embedded(bytes) => fs::write(&path, bytes).doing("write", &path)?,
                Content::File(from) => drop(fs::copy(from, &path).doing("copy", from)?),
            }
        }
        Ok(())
    }

    fn compute_digest(&self) -> Result<String, BuildError> {
        let mut all = Sha256::new();
        for (name, content) in &self.contents {
            let digest = match content {
                Content::Embedded(bytes) => hex(&Sha256::digest(bytes)),
                Content::File(path) => digest::of_file(path).doing("read", path)?.1,
            };
            all.update(format!("{name}\0{digest}\n"));
        }
        // Files from outside the folder count as well.
        for path in self.recipe.files.values().filter_map(|file| file.path.as_ref()) {
            if !self.contents.contains_key(path) {
                let path = self.provided(path);
                all.update(digest::of_file(&path).doing("read", &path)?.1);
            }
        }
        if let Some(base) = &self.base {
            all.update(format!("extends {}\n", base.digest));
        }
        Ok(hex(&all.finalize()))
    }
}

fn collect_embedded(dir: &Dir<'static>, root: &Path, into: &mut BTreeMap<String, Content>) {
    for file in dir.files() {
        let name = file.path().strip_prefix(root).unwrap_or(file.path());
        into.insert(name.to_string_lossy().into_owned(), Content::Embedded(file.contents()));
    }
    for below in dir.dirs() {
        collect_embedded(below, root, into);
    }
}

fn collect_folder(
    folder: &Path,
    root: &Path,
    into: &mut BTreeMap<String, Content>,
) -> Result<(), BuildError> {
    for entry in fs::read_dir(folder).doing("read", folder)? {
        let path = entry.doing("read", folder)?.path();
        if path.is_dir() {
            collect_folder(&path, root, into)?;
        } else {
            let name = path.strip_prefix(root).unwrap_or(&path).to_string_lossy().into_owned();
            into.insert(name, Content::File(path));
        }
    }
    Ok(())
}
