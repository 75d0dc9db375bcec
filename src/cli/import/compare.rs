//! `dryrack import --compare`: boots the machines with both kinds of servers, and compares what they were told.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::{Path, PathBuf};

use clap::Parser;
use serde_json::json;

use super::{Args, Disk, create, failed, relative};
use crate::capture::read::Reader;
use crate::cli::Cli;
use crate::cli::events::recorded;
use crate::cli::output::{self, Stop};
use crate::event::{Kind, Known};
use crate::hint::chain;
use crate::import::{self, Choices, Mode};
use crate::name::{LabName, Mac, NodeName};
use crate::report::{Told, exit};
use crate::run::{Locations, store};

/// The frames of Ethernet in captures.
const ETHERNET: u32 = 1;

/// Runs both labs, one after the other, and compares what the machines were told.
pub(super) fn run(args: &Args, folder: &Path, locations: &Locations) -> Result<u8, Stop> {
    let mut code = exit::MET;
    let mut runs = Vec::new();
    for (mode, word) in [(Mode::Process, "process"), (Mode::Services, "services")] {
        let lab = write(args, folder, mode, word)?;
        output::note(&format!("\n{}", lab.display()));
        code = exit::worst([code, test(&lab, locations)?]);
        let name = lab_name(folder);
        let run = store::find(locations, Some(&name)).map_err(|error| Stop::wrong(&error))?;
        runs.push(told(&run)?);
    }
    let [(theirs, mut names), (ours, more)] =
        runs.try_into().map_err(|_| Stop::new(exit::BUG, "there are two runs", None::<String>))?;
    names.extend(more);
    let differences = theirs.differences(&ours, &names);
    if args.json {
        output::json(&json!({ "same": differences.is_empty(), "differences": differences }))?;
    } else if differences.is_empty() {
        output::data("the machines were told the same\n");
    } else {
        let lines = differences.iter().take(1).map(|difference| format!("first difference: {difference}\n"));
        let rest = differences.iter().skip(1).map(|difference| format!("then: {difference}\n"));
        output::data(&lines.chain(rest).collect::<String>());
    }
    let differs = if differences.is_empty() { exit::MET } else { exit::MISSED };
    Ok(exit::worst([code, differs]))
}

/// Returns the name of both labs: from it come the UUIDs and serial numbers that machines tell.
fn lab_name(folder: &Path) -> String {
    let of = std::fs::canonicalize(folder).unwrap_or_else(|_| folder.to_owned());
    LabName::of_folder(&of).as_str().to_owned()
}

/// Writes the lab of one mode.
fn write(args: &Args, folder: &Path, mode: Mode, word: &str) -> Result<PathBuf, Stop> {
    let file = folder.join(format!("{word}.toml"));
    let name = lab_name(folder);
    let given = args.kind.given(&args.files);
    let relative = |path: &Path| relative(path, folder);
    let choices = Choices { mode: Some(mode), name: Some(&name) };
    let imported =
        import::import(&given, &Disk, &choices, &relative).map_err(|refusal| Stop::wrong(&refusal))?;
    output::diagnostics(&imported.diagnostics, &imported.sources);
    let Some(lab) = &imported.lab else { return Err(Stop::silent(exit::WRONG)) };
    create(&file, lab).map_err(|error| failed(&file, &error))?;
    Ok(file)
}

/// Tests a lab as `dryrack test` does.
fn test(lab: &Path, locations: &Locations) -> Result<u8, Stop> {
    let words = ["dryrack".into(), "test".into(), lab.as_os_str().to_owned()];
    let cli = Cli::try_parse_from(words).map_err(|error| {
        Stop::new(exit::BUG, format!("cannot test {}: {error}", lab.display()), None::<String>)
    })?;
    crate::cli::run(cli.verb, locations)
}

/// Reads what the machines of a run were told.
fn told(run: &Path) -> Result<(Told, BTreeMap<Mac, NodeName>), Stop> {
    let mut told = Told::default();
    let mut names = BTreeMap::new();
    for event in recorded(run)?.events {
        told.event(&event);
        if let (Some(node), Kind::Known(Known::DhcpReplied { mac, .. })) = (&event.node, &event.kind) {
            names.insert(*mac, node.clone());
        }
    }
    let path = run.join("capture.pcapng");
    let unreadable =
        |error: String| Stop::new(exit::UNFIT, format!("{}: {error}", path.display()), None::<String>);
    let file = File::open(&path).map_err(|error| unreadable(error.to_string()))?;
    let mut reader = Reader::open(file).map_err(|error| unreadable(chain(&error)))?;
    while let Some(frame) = reader.next_frame().map_err(|error| unreadable(chain(&error)))? {
        if frame.link == ETHERNET {
            told.frame(frame.data);
        }
    }
    Ok((told, names))
}
