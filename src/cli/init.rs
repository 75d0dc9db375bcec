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
    let failed = |path: &Path, error: io::Error| {
        let (code, hint) = match error.kind() {
            io::ErrorKind::AlreadyExists => (exit::WRONG, "choose another folder, or edit the existing file"),
            _ => (exit::UNFIT, "choose a writable folder"),
        };
        Stop::new(code, format!("cannot write {}: {error}", path.display()), Some(hint))
    };
    fs::create_dir_all(&args.folder).map_err(|error| failed(&path, error))?;
    // The lab file is last, so that the command can be repeated if one cannot be written.
    let kept = match create(&schema, &format!("{:#}\n", config::schema())) {
        Ok(()) => false,
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => true,
        Err(error) => return Err(failed(&schema, error)),
    };
    if let Err(error) = write(&args.folder, &path) {
        if !kept {
            // The error of the lab file is the one to report.
            fs::remove_file(&schema).ok();
        }
        return Err(failed(&path, error));
    }
    let folder = args.folder.display();
    let also = if kept { "; kept the existing lab.schema.json" } else { ", and lab.schema.json for editors" };
    output::note(&format!("wrote {}{also}", path.display()));
    output::note(&format!("\nnext: `dryrack check {folder}`, then `dryrack up {folder}`"));
    Ok(exit::MET)
}

fn write(folder: &Path, path: &Path) -> io::Result<()> {
    // `.` has no name, and a link may have another one.
    let name = LabName::of_folder(&fs::canonicalize(folder)?);
    create(path, &config::init(&name))
}

fn create(path: &Path, text: &str) -> io::Result<()> {
    let mut file = File::create_new(path)?;
    // A part of it would pass for an existing file; the error of the write is the one to report.
    file.write_all(text.as_bytes()).inspect_err(|_| drop(fs::remove_file(path)))
}
