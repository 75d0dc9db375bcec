//! Shared by `dryrack ignition` and `dryrack generic`: a name and bytes.

use std::path::{Path, PathBuf};

use super::output::{self, Stop};
use super::rpc::{self, ServerArgs};
use crate::report::exit;

#[derive(Debug, clap::Subcommand)]
pub(super) enum Verb {
    /// Print one unchanged
    Describe {
        /// Name
        name: String,
    },
    /// Create or replace one, named after the file
    Create {
        /// File to upload
        #[arg(long, short, alias = "filename", value_name = "FILE")]
        file: PathBuf,
    },
    /// Delete one
    Delete {
        /// Name
        name: String,
    },
}

/// Reads the file to upload, and derives its name.
pub(super) fn load(file: &Path) -> Result<(String, Vec<u8>), Stop> {
    let name = file.file_name().and_then(|name| name.to_str()).ok_or_else(|| {
        Stop::new(exit::WRONG, format!("the file name of {} cannot be used", file.display()), None::<String>)
    })?;
    Ok((name.to_owned(), rpc::read(file)?))
}

/// Prints one.
pub(super) fn show(server: &ServerArgs, name: &str, config: Vec<u8>) -> Result<u8, Stop> {
    match server.json {
        false => output::bytes(&config),
        true => {
            let text = String::from_utf8(config).map_err(|_| {
                let hint = Some("without `--json` it is printed unchanged");
                Stop::new(exit::WRONG, format!("{name} is not UTF-8 and cannot be printed as JSON"), hint)
            })?;
            output::json(&serde_json::json!({ "name": name, "config": text }))?;
        }
    }
    Ok(exit::MET)
}
