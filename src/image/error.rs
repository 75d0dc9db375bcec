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
    #[error("there is no image `{image}`")]
    NoRecipe {
        /// The requested name.
        image: ImageName,
        /// The existing names.
        known: Vec<ImageName>,
    },
    /// The recipe is invalid.
    #[error("cannot read the recipe {}", path.display())]
    Recipe {
        /// The recipe file.
        path: PathBuf,
        /// The problem.
        source: RecipeError,
    },
    /// A recipe extends itself, directly or through others.
    #[error("the recipe of image `{image}` extends itself")]
    Circle {
        /// The image.
        image: ImageName,
    },
    /// The build, or the fetch of a container image, needs a program that the host lacks.
    #[error("image `{image}` needs the program `{tool}`")]
    NoTool {
        /// The image.
        image: String,
        /// The missing program.
        tool: String,
        /// The Debian package that contains it.
        package: String,
    },
    /// The recipe names Debian packages and there is no apt.
    #[error("image `{image}` is built from Debian packages, but this host has no apt-get")]
    NoApt {
        /// The image.
        image: ImageName,
        /// The files to provide instead.
        files: Vec<String>,
    },
    /// Apt has no such package.
    #[error("apt has no package `{package}`")]
    NoPackage {
        /// The package.
        package: String,
    },
    /// A child process failed.
    #[error("cannot {doing} ({status}):\n{output}")]
    Child {
        /// Its purpose.
        doing: String,
        /// Its exit status.
        status: String,
        /// Its last lines.
        output: String,
    },
    /// A download has the wrong digest.
    #[error("{what} has the wrong digest: expected {expected}, found {found}")]
    Digest {
        /// A URL or a package.
        what: String,
        /// The digest in the recipe or the package index.
        expected: String,
        /// The digest of the download.
        found: String,
    },
    /// A download failed.
    #[error("cannot download {url}")]
    Download {
        /// The URL.
        url: String,
        /// The cause.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The build script succeeded but did not create a file.
    #[error("the build of image `{image}` did not create the file `{file}`")]
    NoFile {
        /// The image.
        image: ImageName,
        /// The missing file.
        file: String,
    },
    /// A file operation failed.
    #[error("cannot {doing} {}", path.display())]
    Io {
        /// The operation.
        doing: &'static str,
        /// Its path.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
}

impl BuildError {
    /// Names a file as the user knows it, in the output of a child that knew it by another path.
    pub(super) fn with_path(self, known_as: &str, path: &std::path::Path) -> Self {
        match self {
            Self::Child { doing, status, output } => {
                let output = output.replace(known_as, &path.display().to_string());
                Self::Child { doing, status, output }
            }
            other => other,
        }
    }
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
                    || format!("the images are {}", known.collect::<Vec<_>>().join(", ")),
                    |near| format!("did you mean `{near}`?"),
                );
                Some(hint.into())
            }
            Self::NoTool { image: _, tool: _, package } => Some(format!("install it: apt install {package}").into()),
            Self::NoApt { image, files } => {
                let mut hint = format!(
                    "provide the files: write images/{image}/recipe.toml beside the lab file\n  about = \"my own {image}\""
                );
                for file in files {
                    hint.extend(["\n  files.", file, ".path = \"/path/to/", file, "\""]);
                }
                Some(hint.into())
            }
            Self::NoPackage { package: _ } => {
                Some("packages come from the apt sources of this host: do they include the main archive of its release?".into())
            }
            Self::Digest { what: _, expected: _, found: _ } => {
                Some("the download was discarded; if the file has changed on purpose, update the sha256 in the recipe".into())
            }
            Self::Download { url: _, source: _ } => Some("the partial download is kept: try again to resume it".into()),
            Self::Io { doing: _, path: _, source } if source.kind() == io::ErrorKind::StorageFull => {
                Some("free some space: `dryrack image prune` removes images that no recipe produces".into())
            }
            Self::Io { doing: _, path: _, source }
                if matches!(source.kind(), io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem) =>
            {
                Some("set DRYRACK_CACHE to a writable folder".into())
            }
            // As Go's HTTP client says it, which skopeo uses.
            Self::Child { doing: _, status: _, output } if output.contains("server gave HTTP response to HTTPS client") => {
                Some("the registry has no TLS: allow that by an entry with `insecure = true` in ~/.config/containers/registries.conf".into())
            }
            Self::Recipe { .. } | Self::Circle { .. } | Self::Child { .. } | Self::NoFile { .. } | Self::Io { .. } => None,
        }
    }
}

/// Adds operation and path to an `io::Error`.
pub(super) trait Doing<T> {
    fn doing(self, doing: &'static str, path: &std::path::Path) -> Result<T, BuildError>;
}

impl<T> Doing<T> for io::Result<T> {
    fn doing(self, doing: &'static str, path: &std::path::Path) -> Result<T, BuildError> {
        self.map_err(|source| BuildError::Io { doing, path: path.to_owned(), source })
    }
}
