//! Secrets as written in the lab file.

use schemars::JsonSchema;
use serde::Deserialize;

use super::value::Located;

/// Where to find a secret; never the secret itself.
#[derive(Clone, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", rename = "secret")]
pub enum RawSecret {
    /// In an environment variable.
    Env(Located<String>),
    /// In a file, a path relative to the lab's folder.
    File(Located<String>),
}

impl std::fmt::Debug for RawSecret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Secret")
    }
}
