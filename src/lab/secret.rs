//! Where to find a secret; never the secret itself.

use std::ffi::OsString;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::hint::Hint;

/// Where to find a secret.
///
/// A plan names the variable or the file. It has no `Display`, and its `Debug`
/// prints nothing, so that neither is printed by accident. The secret itself is
/// never serialised.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Secret {
    /// In an environment variable of the caller.
    Env(String),
    /// In a file, an absolute path.
    File(PathBuf),
}

impl Secret {
    /// Fetches the secret. The environment and the file system are arguments.
    pub fn fetch(
        &self,
        env: impl FnOnce(&str) -> Option<OsString>,
        file: impl FnOnce(&Path) -> io::Result<Vec<u8>>,
    ) -> Result<Revealed, SecretError> {
        match self {
            Self::Env(name) => match env(name) {
                Some(value) => Ok(Revealed(value.into_encoded_bytes())),
                None => Err(SecretError::NoVariable { name: name.clone() }),
            },
            Self::File(path) => match file(path) {
                Ok(content) => Ok(Revealed(content)),
                Err(source) => Err(SecretError::Unreadable { path: path.clone(), source }),
            },
        }
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret")
    }
}

/// The value of a secret. It cannot be printed, serialised or cloned by accident.
pub struct Revealed(Vec<u8>);

impl Revealed {
    /// Returns the bytes, for the one caller that needs them.
    pub fn expose(&self) -> &[u8] {
        &self.0
    }
}

/// Why a secret could not be fetched.
#[derive(Debug, thiserror::Error)]
pub enum SecretError {
    /// The environment variable is not set.
    #[error("the environment variable `{name}` is not set")]
    NoVariable {
        /// Its name.
        name: String,
    },
    /// The file cannot be read.
    #[error("cannot read the secret in `{}`", path.display())]
    Unreadable {
        /// Its path.
        path: PathBuf,
        /// The cause.
        #[source]
        source: io::Error,
    },
}

impl Hint for SecretError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_says_nothing() {
        assert_eq!(format!("{:?}", Secret::Env("hunter2".into())), "Secret");
    }

    #[test]
    fn fetches_from_both_places() {
        let env = |name: &str| (name == "KEY").then(|| OsString::from("k"));
        let file = |_: &Path| Err(io::Error::from(io::ErrorKind::NotFound));
        assert_eq!(Secret::Env("KEY".into()).fetch(env, file).unwrap_or_else(|_| panic!()).expose(), b"k");
        assert!(Secret::Env("NO".into()).fetch(env, file).is_err());
        assert!(Secret::File("/k".into()).fetch(env, file).is_err());
    }
}
