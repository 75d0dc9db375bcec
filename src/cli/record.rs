//! Shared by `dryrack group` and `dryrack profile`: an ID, and a JSON file.

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

/// Parses a JSON file; errors have its position.
pub(super) fn load<T>(file: &Path, parse: impl Fn(&[u8]) -> Result<T, ModelError>) -> Result<T, Stop> {
    parse(&rpc::read(file)?).map_err(|error| {
        let line = error.line.map(|line| format!(":{line}")).unwrap_or_default();
        Stop::new(exit::WRONG, format!("{}{line}: {error}", file.display()), None::<String>)
    })
}
