//! `dryrack init`: writes a small lab to start from.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use super::output::{self, Stop};
use crate::config;
use crate::name::LabName;
use crate::report::exit;

/// Write a small commented lab to start from
///
/// Writes `lab.toml` into the folder, and its JSON Schema for editors, `lab.schema.json`; creates the folder if needed.
/// The lab is named after the folder. Never overwrites a file.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Folder
    #[arg(default_value = ".", value_name = "DIR")]
    folder: PathBuf,
}

/// Runs the command.
pub(super) fn run(args: &Args) -> Result<u8, Stop> {
    let path = args.folder.join("lab.toml");
    let schema = args.folder.join("lab.schema.json");
    let written = write(&args.folder, &path).map_err(|error| (&path, error)).and_then(|()| {
        let text = format!("{:#}\n", config::schema());
        match create(&schema, &text) {
            // One that is there already is used.
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
            written => written,
        }
        .map_err(|error| (&schema, error))
    });
    written.map_err(|(path, error)| {
        let (code, hint) = match error.kind() {
            io::ErrorKind::AlreadyExists => (exit::WRONG, "choose another folder, or edit the existing file"),
            _ => (exit::UNFIT, "choose a writable folder"),
        };
        Stop::new(code, format!("cannot write {}: {error}", path.display()), Some(hint))
    })?;
    let folder = args.folder.display();
    output::note(&format!("wrote {}, and lab.schema.json for editors", path.display()));
    output::note(&format!("\nnext: `dryrack check {folder}`, then `dryrack up {folder}`"));
    Ok(exit::MET)
}

fn write(folder: &Path, path: &Path) -> io::Result<()> {
    fs::create_dir_all(folder)?;
    // `.` has no name, and a link may have another one.
    let name = LabName::of_folder(&fs::canonicalize(folder)?);
    create(path, &config::init(&name))
}

fn create(path: &Path, text: &str) -> io::Result<()> {
    File::create_new(path)?.write_all(text.as_bytes())
}
