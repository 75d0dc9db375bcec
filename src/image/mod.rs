//! Images: recipes built or downloaded into a cache of boot files.
//!
//! Must never install anything on the host, need root, or leave an incomplete image:
//! an image in the cache under its key is complete.
//!
//! ```text
//! CACHE/images/NAME/KEY/{FILE..., image.json}    a built image
//! CACHE/images/NAME/recipes/DIGEST               the key for a recipe
//! CACHE/images/NAME/.build-*                     a running build, or the leftover of a kill -9
//! CACHE/oci                                      container images, see `oci`
//! CACHE/{apt, packages, downloads}               the inputs of images
//! ```

mod apt;
mod build;
mod cache;
mod digest;
mod error;
mod fetch;
mod oci;
mod process;
mod recipes;

use std::path::PathBuf;

pub use apt::Package;
pub use cache::{Built, BuiltFile, Listed, PruneRule, Pruned, State};
pub(crate) use digest::of_file;
pub use error::BuildError;
pub use oci::{Reference, UnpackedImage};

use crate::config::recipe::Recipe;
use crate::lab::ContainerImage;
use crate::name::ImageName;
use oci::ContainerCache;
use recipes::Source;

/// All recipes, and the cache of images built from them.
#[derive(Debug, Clone)]
pub struct Library {
    cache: PathBuf,
    folders: Vec<PathBuf>,
}

/// The progress of a build.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Progress {
    /// A new step began.
    Step(String),
    /// Progress of the step.
    Percent(u8),
    /// The build script printed a line.
    Line(String),
}

/// Whether a build uses an existing image.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Freshness {
    /// An image built from the same recipe is used as is, without network access.
    Reuse,
    /// The packages are resolved again, and an image of the newest ones is built.
    Renew,
}

impl Library {
    /// Creates a library; earlier folders take precedence over later ones, all of them over the binary.
    pub fn new(cache: PathBuf, folders: Vec<PathBuf>) -> Self {
        Self { cache, folders }
    }

    /// Returns every recipe by name, in order.
    pub fn recipes(&self) -> impl Iterator<Item = (ImageName, Result<Recipe, BuildError>)> {
        recipes::names(&self.folders).into_iter().map(|name| {
            let recipe = self.recipe(&name);
            (name, recipe)
        })
    }

    /// Returns one recipe.
    pub fn recipe(&self, image: &ImageName) -> Result<Recipe, BuildError> {
        self.source(image).map(|source| source.recipe)
    }

    /// Returns the image that was built from the current recipe.
    pub fn built(&self, image: &ImageName) -> Option<Built> {
        let source = self.source(image).ok()?;
        self.folder(image).by_recipe(source.digest())
    }

    /// Builds an image, or waits for a build of it by another process.
    pub fn build(
        &self,
        image: &ImageName,
        freshness: Freshness,
        progress: &mut dyn FnMut(Progress),
    ) -> Result<Built, BuildError> {
        build::build(&self.cache, image, &self.source(image)?, freshness, progress)
    }

    /// Returns the container image that was fetched for a reference.
    pub fn fetched(&self, image: &ContainerImage) -> Option<UnpackedImage> {
        ContainerCache::of(&self.cache).fetched(image)
    }

    /// Returns the references of container images that were fetched.
    pub fn references(&self) -> Vec<Reference> {
        ContainerCache::of(&self.cache).list()
    }

    /// Fetches and unpacks a container image, or waits for a fetch by another process.
    pub fn fetch(
        &self,
        image: &ContainerImage,
        freshness: Freshness,
        progress: &mut dyn FnMut(Progress),
    ) -> Result<UnpackedImage, BuildError> {
        ContainerCache::of(&self.cache).fetch(image, freshness, progress)
    }

    /// Downloads a file into the cache unless it is there, and returns its path.
    pub fn download(
        &self,
        url: &str,
        sha256: &str,
        progress: &mut dyn FnMut(Progress),
    ) -> Result<PathBuf, BuildError> {
        fetch::fetch(url, sha256, &self.cache.join("downloads"), progress)
    }

    /// Returns every image with its state, in order of name.
    pub fn list(&self) -> Vec<Listed> {
        let listed = recipes::names(&self.folders).into_iter().map(|image| {
            let (about, state) = match self.source(&image) {
                Ok(source) => {
                    let built = self.folder(&image).by_recipe(source.digest());
                    (source.recipe.about, built.map_or(State::Unbuilt, State::Built))
                }
                Err(error) => (String::new(), State::Broken(error)),
            };
            Listed { image, about, state }
        });
        listed.collect()
    }

    /// Removes images from the cache, with the downloads that only they use.
    pub fn prune(&self, rule: PruneRule) -> Result<Vec<Pruned>, BuildError> {
        let mut gone = cache::prune(&self.cache, rule, |image| {
            self.source(image).ok().map(|source| source.digest().to_owned())
        })?;
        ContainerCache::of(&self.cache).prune(rule, &mut gone)?;
        Ok(gone)
    }

    fn source(&self, image: &ImageName) -> Result<Source, BuildError> {
        Source::load(image, &self.folders)
    }

    fn folder(&self, image: &ImageName) -> cache::ImageFolder {
        cache::ImageFolder::of(&self.cache, image)
    }
}

#[cfg(test)]
mod tests;
