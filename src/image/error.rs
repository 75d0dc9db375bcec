//! Why an image cannot be found, built or pruned.

use std::borrow::Cow;
use std::io;
use std::path::PathBuf;

use crate::config::recipe::RecipeError;
use crate::hint::Hint;
use crate::name::ImageName;

/// Why an image was not built.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// No folder and no embedded recipe has the name.
    #[error("no recipe makes an image `{image}`")]
    NoRecipe {
        /// The name that was asked for.
        image: ImageName,
        /// The names that there are.
        known: Vec<ImageName>,
    },
    /// The recipe is not one.
    #[error("cannot read the recipe {}", path.display())]
    Recipe {
        /// The recipe file.
        path: PathBuf,
        /// What is wrong in it.
        source: RecipeError,
    },
    /// A recipe extends itself, directly or through others.
    #[error("the recipe of image `{image}` extends itself")]
    Circle {
        /// The image.
        image: ImageName,
    },
    /// The build script needs a program that the host lacks.
    #[error("image `{image}` needs the program `{tool}`")]
    NoTool {
        /// The image.
        image: ImageName,
        /// The missing program.
        tool: String,
        /// The Debian package that holds it.
        package: String,
    },
    /// The recipe names Debian packages and there is no apt.
    #[error("image `{image}` is made of Debian packages and this host has no apt-get")]
    NoApt {
        /// The image.
        image: ImageName,
        /// The files to provide instead.
        files: Vec<String>,
    },
    /// Apt does not know a package.
    #[error("apt knows no package `{package}`")]
    NoPackage {
        /// The package.
        package: String,
    },
    /// A child process failed.
    #[error("cannot {doing} ({status}):\n{output}")]
    Child {
        /// What it was started for.
        doing: String,
        /// How it ended.
        status: String,
        /// Its last lines.
        output: String,
    },
    /// What was downloaded is not what was promised.
    #[error("{what} has the wrong digest: {found} in place of {expected}")]
    Digest {
        /// A URL or a package.
        what: String,
        /// The digest that the recipe or the package index names.
        expected: String,
        /// The digest of what came.
        found: String,
    },
    /// A download failed.
    #[error("cannot download {url}")]
    Download {
        /// The address.
        url: String,
        /// Why.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The build script ended well and left a file out.
    #[error("the build of image `{image}` made no file `{file}`")]
    NoFile {
        /// The image.
        image: ImageName,
        /// The missing file.
        file: String,
    },
    /// The file system refused something.
    #[error("cannot {doing} {}", path.display())]
    Io {
        /// What was tried.
        doing: &'static str,
        /// On what.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
}

impl Hint for BuildError {
    fn hint(&self) -> Option<Cow<'static, str>> {
        match self {
            Self::NoRecipe { image, known } => {
                let known = known.iter().map(ImageName::as_str);
                let near = known.clone().max_by(|a, b| {
                    strsim::jaro(a, image.as_str()).total_cmp(&strsim::jaro(b, image.as_str()))
                });
                let near = near.filter(|near| strsim::jaro(near, image.as_str()) > 0.7);
                let hint = near.map_or_else(
                    || format!("there are: {}", known.collect::<Vec<_>>().join(", ")),
                    |near| format!("did you mean `{near}`?"),
                );
                Some(hint.into())
            }
            Self::NoTool { image: _, tool: _, package } => Some(format!("install it: apt install {package}").into()),
            Self::NoApt { image, files } => {
                let mut hint = format!(
                    "provide the files: write images/{image}/recipe.toml beside the lab\n  about = \"my own {image}\""
                );
                for file in files {
                    hint.extend(["\n  files.", file, ".path = \"/path/to/", file, "\""]);
                }
                Some(hint.into())
            }
            Self::NoPackage { package: _ } => {
                Some("the packages come from the sources of this host's apt: is one of its release's main archives in them?".into())
            }
            Self::Digest { what: _, expected: _, found: _ } => {
                Some("nothing was kept; if the file has changed on purpose, correct the recipe's sha256".into())
            }
            Self::Download { url: _, source: _ } => Some("what came so far is kept: try again to go on from there".into()),
            Self::Io { doing: _, path: _, source } if source.kind() == io::ErrorKind::StorageFull => {
                Some("free some space: `dryrack image prune` removes what no recipe asks for".into())
            }
            Self::Io { doing: _, path: _, source }
                if matches!(source.kind(), io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem) =>
            {
                Some("set DRYRACK_CACHE to a folder that you may write to".into())
            }
            Self::Recipe { .. } | Self::Circle { .. } | Self::Child { .. } | Self::NoFile { .. } | Self::Io { .. } => None,
        }
    }
}

/// Makes an `io::Error` say what was tried on what.
pub(super) trait Doing<T> {
    fn doing(self, doing: &'static str, path: &std::path::Path) -> Result<T, BuildError>;
}

impl<T> Doing<T> for io::Result<T> {
    fn doing(self, doing: &'static str, path: &std::path::Path) -> Result<T, BuildError> {
        self.map_err(|source| BuildError::Io { doing, path: path.to_owned(), source })
    }
}
