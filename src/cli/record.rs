//! What `dryrack group` and `dryrack profile` have in common: an id, and a file of JSON.

use std::path::{Path, PathBuf};

use super::output::Stop;
use super::rpc;
use crate::matchbox::model::ModelError;
use crate::report::exit;

#[derive(Debug, clap::Subcommand)]
pub(super) enum Verb {
    /// List all
    List,
    /// Show one
    Describe {
        /// Id
        id: String,
    },
    /// Create or replace one
    Create {
        /// JSON file, as in the data directory
        #[arg(long, short, alias = "filename", value_name = "FILE")]
        file: PathBuf,
    },
    /// Delete one
    Delete {
        /// Id
        id: String,
    },
}

/// Reads a record with `parse`, and reports where it is wrong.
pub(super) fn load<T>(file: &Path, parse: impl Fn(&[u8]) -> Result<T, ModelError>) -> Result<T, Stop> {
    parse(&rpc::read(file)?).map_err(|error| {
        let line = error.line.map(|line| format!(":{line}")).unwrap_or_default();
        Stop::new(exit::WRONG, format!("{}{line}: {error}", file.display()), None::<String>)
    })
}
