//! `dryrack man`: the manual pages.

mod lab_file;

use std::io;
use std::path::{Path, PathBuf};

use clap_mangen::Man;

use super::output::{self, Stop};
use crate::report::exit;

/// Print a manual page, or write all of them into a folder
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Page: dryrack(1), or dryrack-lab(5) with every key of the lab file
    #[arg(value_name = "PAGE", default_value = "dryrack", conflicts_with = "into")]
    page: Page,
    /// Write `dryrack.1`, a page for each command and `dryrack-lab.5` into this folder, created if needed
    #[arg(long, value_name = "DIR")]
    into: Option<PathBuf>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Page {
    /// The program
    Dryrack,
    /// The lab file
    Lab,
}

/// Runs the command.
pub(super) fn run(args: &Args, mut command: clap::Command) -> Result<u8, Stop> {
    command.build();
    match &args.into {
        None if args.page == Page::Lab => output::data(&lab_file::page()),
        None => {
            let mut page = Vec::new();
            Man::new(command).render(&mut page).map_err(|error| Stop::host(&error))?;
            output::bytes(&page);
        }
        Some(folder) => {
            let written = write_all(&command, folder).map_err(|error| {
                let what = format!("cannot write manual pages into {}: {error}", folder.display());
                Stop::new(exit::UNFIT, what, Some("choose a writable folder"))
            })?;
            output::note(&format!("wrote {written} pages into {}", folder.display()));
        }
    }
    Ok(exit::MET)
}

fn write_all(command: &clap::Command, folder: &Path) -> io::Result<usize> {
    let written = write(command, folder)?;
    std::fs::write(folder.join("dryrack-lab.5"), lab_file::page())?;
    Ok(written + 1)
}

/// Writes the page of a command and those of its visible subcommands; returns their number.
fn write(command: &clap::Command, folder: &Path) -> io::Result<usize> {
    std::fs::create_dir_all(folder)?;
    let name = command.get_display_name().unwrap_or(command.get_name()).to_owned();
    let mut page = Vec::new();
    Man::new(command.clone().name(name.clone())).render(&mut page)?;
    std::fs::write(folder.join(format!("{name}.1")), page)?;
    let mut written = 1;
    for verb in command.get_subcommands().filter(|verb| !verb.is_hide_set()) {
        written += write(verb, folder)?;
    }
    Ok(written)
}
