//! `dryrack import`: makes a lab of the configuration files of other programs.

mod compare;

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::output::{self, Stop};
use crate::import::{self, Choices, Directive, Fate, Files, Given, Imported, Kind, Mode, PathKind};
use crate::report::exit;
use crate::run::Locations;

/// Make a lab of configuration files of other programs
///
/// Reads dnsmasq.conf (with the files that it includes), udhcpd.conf, dhcpd.conf of ISC, the JSON of Kea, data
/// directories of matchbox, Hardware of Tinkerbell, XML of libvirt, YAML of placemat and Vagrantfiles. Files that are
/// given together describe one lab.
///
/// The lab file goes to standard output, or with `--output` into a folder. Each directive that is not in the lab, or
/// only in part, is reported on standard error with file, line and reason. Exit code 2 if a file cannot be read.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Files
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// Write `lab.toml` into this folder instead of standard output; never overwrites a file
    #[arg(long, short, value_name = "DIR")]
    output: Option<PathBuf>,
    /// Who answers the machines: the servers of the files (`process`), which run with their own files on a host of the
    /// lab, or the services of Dryrack [default: process, or services where no file is for a server]
    #[arg(long = "as", value_name = "MODE", value_parser = ["process", "services"])]
    mode: Option<String>,
    /// Write a lab of each mode into the folder of `--output`, test one after the other, and show the first difference in
    /// what the machines were told: options of DHCP by client and message, files, answers of DNS. Exit code 1 if there is
    /// one
    #[arg(long, requires = "output", conflicts_with = "mode")]
    compare: bool,
    #[command(flatten)]
    kind: KindArgs,
    /// Print JSON: the lab file as `lab`, and `directives`, a list of objects with `file`, `line`, `directive`, `fate`
    /// (`carried`, `partly`, `left`), `to` and `reason`
    #[arg(long)]
    json: bool,
}

/// The kind of the files.
#[derive(Debug, clap::Args)]
pub(super) struct KindArgs {
    /// What the files are, if it cannot be told from them
    #[arg(long, value_name = "KIND", value_parser = Kind::ALL.iter().map(|kind| kind.as_str()).collect::<Vec<_>>())]
    kind: Option<String>,
}

impl KindArgs {
    /// Returns the files with their kind.
    pub(super) fn given(&self, files: &[PathBuf]) -> Vec<Given> {
        let kind = self.kind.as_deref().and_then(|kind| kind.parse().ok());
        files.iter().map(|path| Given { path: path.clone(), kind }).collect()
    }
}

/// The files of this machine.
pub(super) struct Disk;

impl Files for Disk {
    fn kind(&self, path: &Path) -> Option<PathKind> {
        let metadata = fs::metadata(path).ok()?;
        Some(if metadata.is_dir() { PathKind::Folder } else { PathKind::File })
    }

    fn read(&self, path: &Path) -> Option<Vec<u8>> {
        /// More is no configuration.
        const MOST: u64 = 16 << 20;
        let metadata = fs::metadata(path).ok()?;
        (metadata.is_file() && metadata.len() <= MOST).then(|| fs::read(path).ok()).flatten()
    }

    fn list(&self, path: &Path) -> Option<Vec<String>> {
        let entries = fs::read_dir(path).ok()?;
        let names = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
        let mut names: Vec<String> = names.collect();
        names.sort();
        Some(names)
    }
}

/// Runs the command.
pub(super) fn run(args: &Args, locations: &Locations) -> Result<u8, Stop> {
    let mode = args.mode.as_deref().map(|mode| match mode {
        "process" => Mode::Process,
        _ => Mode::Services,
    });
    let folder = match &args.output {
        Some(folder) => {
            fs::create_dir_all(folder).map_err(|error| failed(&folder.join("lab.toml"), &error))?;
            folder.clone()
        }
        None => PathBuf::from("."),
    };
    if args.compare {
        return compare::run(args, &folder, locations);
    }
    let relative = |path: &Path| relative(path, &folder);
    let choices = Choices { mode, name: None };
    let imported = import::import(&args.kind.given(&args.files), &Disk, &choices, &relative)
        .map_err(|refusal| Stop::wrong(&refusal))?;
    output::diagnostics(&imported.diagnostics, &imported.sources);
    let Some(lab) = &imported.lab else { return Err(Stop::silent(exit::WRONG)) };
    if let Some(folder) = &args.output {
        let path = folder.join("lab.toml");
        create(&path, lab).map_err(|error| failed(&path, &error))?;
        output::note(&format!("wrote {}", path.display()));
    }
    if args.json {
        let directives = imported.directives.iter().map(|directive| entry(directive, &imported));
        output::json(&json!({ "lab": lab, "directives": directives.collect::<Vec<_>>() }))?;
        return Ok(exit::MET);
    }
    if args.output.is_none() {
        output::data(lab);
    }
    output::note(&summary(&imported));
    Ok(exit::MET)
}

/// Returns what was not carried over, line by line, and how much it is.
fn summary(imported: &Imported) -> String {
    let mut text = String::new();
    let (mut carried, mut partly, mut left) = (0, 0, 0);
    for directive in &imported.directives {
        let (line, _) = imported.sources.position(directive.span.file, directive.span.start);
        let at = format!("{}:{line}: {}", imported.sources.name(directive.span.file), directive.name);
        match &directive.fate {
            Fate::Carried(_) => carried += 1,
            Fate::Partly(_, why) => {
                partly += 1;
                text.extend([&at, ": in part: ", why, "\n"]);
            }
            Fate::Left(why) => {
                left += 1;
                text.extend([&at, ": ", why, "\n"]);
            }
        }
    }
    format!("{text}\n{carried} directives are in the lab, {partly} in part, {left} are not")
}

fn entry(directive: &Directive, imported: &Imported) -> Value {
    let (fate, to, reason) = match &directive.fate {
        Fate::Carried(to) => ("carried", Some(to), None),
        Fate::Partly(to, why) => ("partly", Some(to), Some(why)),
        Fate::Left(why) => ("left", None, Some(why)),
    };
    json!({
        "file": imported.sources.name(directive.span.file),
        "line": imported.sources.position(directive.span.file, directive.span.start).0,
        "directive": directive.name,
        "fate": fate,
        "to": to,
        "reason": reason,
    })
}

fn create(path: &Path, text: &str) -> io::Result<()> {
    let mut file = File::create_new(path)?;
    // A part of it would pass for an existing file; the error of the write is the one to report.
    file.write_all(text.as_bytes()).inspect_err(|_| drop(fs::remove_file(path)))
}

fn failed(path: &Path, error: &io::Error) -> Stop {
    let (code, hint) = match error.kind() {
        io::ErrorKind::AlreadyExists => (exit::WRONG, "choose another folder, or remove the existing file"),
        _ => (exit::UNFIT, "choose a writable folder"),
    };
    Stop::new(code, format!("cannot write {}: {error}", path.display()), Some(hint))
}

/// Returns a path as it is relative to a folder.
fn relative(path: &Path, folder: &Path) -> String {
    let real = |path: &Path| fs::canonicalize(path).ok();
    let (Some(to), Some(from)) = (real(path), real(folder)) else { return path.display().to_string() };
    let shared = to.iter().zip(from.iter()).take_while(|(a, b)| a == b).count();
    // Nothing in common but the root: the path itself is shorter.
    if shared <= 1 {
        return to.display().to_string();
    }
    let up = from.iter().skip(shared).map(|_| "..");
    let parts: Vec<String> = up
        .map(str::to_owned)
        .chain(to.iter().skip(shared).map(|part| part.to_string_lossy().into_owned()))
        .collect();
    if parts.is_empty() { ".".to_owned() } else { parts.join("/") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_relative_to_the_lab() {
        let folder = tempfile::tempdir().unwrap();
        let at = |path: &str| folder.path().join(path);
        fs::create_dir_all(at("conf/tftp")).unwrap();
        fs::create_dir_all(at("lab")).unwrap();
        assert_eq!(relative(&at("conf/tftp"), &at("lab")), "../conf/tftp");
        assert_eq!(relative(&at("conf/tftp"), &at("conf")), "tftp");
        assert_eq!(relative(&at("conf"), &at("conf")), ".");
        assert_eq!(relative(Path::new("/etc"), &at("lab")), "/etc");
    }
}
