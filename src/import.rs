//! Configuration files of other programs: what they describe, as a lab, and what is known to break boots in them.
//!
//! Must never access files itself: they come in by [`Files`].
//!
//! ```text
//! file ── Document ──► Setup ──┐
//! file ── Document ──► Setup ──┴─ unite ── settle ──► lab file, and what became of each directive
//! ```

mod boot;
mod data_directory;
mod dnsmasq;
mod document;
mod expression;
mod files;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzz;
mod isc;
mod kea;
mod kind;
mod libvirt;
mod lint;
mod option;
mod placemat;
mod process;
mod settle;
mod setup;
mod tinkerbell;
mod udhcpd;
mod vagrant;
mod write;
mod xml;

use std::path::{Path, PathBuf};

use crate::diag::{Diagnostic, Sources};
use document::{Document, ItemId};
use setup::{Server, Setup};
use write::Writer;

pub use document::{Directive, Fate};
pub use files::{Files, PathKind};
pub use kind::Kind;
pub use lint::{Linted, lint};

#[cfg(test)]
mod tests;

/// How a lab answers its machines.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// The servers of the files run themselves.
    Process,
    /// The services of Dryrack give the answers of the file.
    Services,
}

/// What the user chooses for a lab.
#[derive(Debug, Clone, Copy, Default)]
pub struct Choices<'a> {
    /// Who answers; by default the servers of the files, or where no file is for a server the services of Dryrack.
    pub mode: Option<Mode>,
    /// The name of the lab; by default that of its folder.
    pub name: Option<&'a str>,
}

/// A file to import.
#[derive(Debug, Clone)]
pub struct Given {
    /// Its path.
    pub path: PathBuf,
    /// Its kind, if the user says so.
    pub kind: Option<Kind>,
}

/// A file that is none of the known kinds, or cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{what}")]
pub struct Refusal {
    /// The problem.
    pub what: String,
    /// What would help.
    pub hint: String,
}

impl crate::hint::Hint for Refusal {
    fn hint(&self) -> Option<std::borrow::Cow<'static, str>> {
        Some(self.hint.clone().into())
    }
}

/// What files became.
#[derive(Debug)]
pub struct Imported {
    /// The lab file; `None` if a file cannot be parsed.
    pub lab: Option<String>,
    /// Every directive, in the order of the files, and what became of it.
    pub directives: Vec<Directive>,
    /// Why files cannot be parsed.
    pub diagnostics: Vec<Diagnostic>,
    /// The texts of the files.
    pub sources: Sources,
}

/// One file that was read.
#[derive(Debug)]
struct Read {
    kind: Kind,
    /// The file that was given.
    path: PathBuf,
    document: Document,
    setup: Setup,
    /// The files that it includes: where the server has them, and where they are here.
    included: Vec<(String, PathBuf)>,
    /// Why a part of it cannot be parsed.
    problems: Vec<Diagnostic>,
    /// Why its program skips a part of it.
    skipped: Vec<Diagnostic>,
}

/// Reads files, with what they include.
struct Reader<'a> {
    files: &'a dyn Files,
    sources: Sources,
    diagnostics: Vec<Diagnostic>,
}

impl Reader<'_> {
    /// Reads files. One that another one includes is read there, and nowhere else.
    fn read_all(&mut self, given: &[Given]) -> Result<Vec<Read>, Refusal> {
        let mut reads = Vec::new();
        for given in given {
            reads.extend(self.read(given)?);
        }
        let included: Vec<PathBuf> =
            reads.iter().flat_map(|read| &read.included).map(|(_, path)| plain(path)).collect();
        reads.retain(|read| !included.contains(&plain(&read.path)));
        // What one file of dhcpd defines is known in all of them.
        let of_isc = reads.iter().filter(|read| read.kind == Kind::Isc);
        let defined = of_isc.flat_map(|read| isc::definitions(&read.document)).collect();
        for read in reads.iter_mut().filter(|read| read.kind == Kind::Isc) {
            read.setup = isc::understand(&mut read.document, &read.path, &read.included, &defined);
        }
        for read in &mut reads {
            self.diagnostics.append(&mut read.problems);
        }
        Ok(reads)
    }

    /// Reads one file.
    fn read(&mut self, given: &Given) -> Result<Vec<Read>, Refusal> {
        let path = &given.path;
        let refused = |what: String, hint: &str| Refusal { what, hint: hint.to_owned() };
        if self.files.kind(path).is_none() {
            return Err(refused(format!("{} does not exist", path.display()), "name a file that is there"));
        }
        let bytes = self.files.read(path).unwrap_or_default();
        let text = String::from_utf8_lossy(&bytes).into_owned();
        let kind = given.kind.or_else(|| kind::recognise(path, &text, self.files));
        let is_folder = self.files.kind(path) == Some(PathKind::Folder);
        if is_folder && kind.is_some_and(|kind| kind != Kind::Matchbox) {
            return Err(refused(format!("{} is a folder", path.display()), "name a file in it"));
        }
        let Some(kind) = kind else {
            let known: Vec<_> =
                Kind::ALL.iter().map(|kind| format!("{} ({})", kind.as_str(), kind.about())).collect();
            let lab = text
                .lines()
                .any(|line| line.trim_start().starts_with("dryrack =") || line.trim() == "dryrack=1");
            return Err(match lab {
                true => refused(format!("{} is a lab file", path.display()), "use `dryrack check`"),
                false => Refusal {
                    what: format!("{} is of no known kind", path.display()),
                    hint: format!("say what it is by `--kind`: {}", known.join(", ")),
                },
            });
        };
        let file = self.sources.add(path.display().to_string(), text.clone());
        let (mut included, mut problems, mut skipped) = (Vec::new(), Vec::new(), Vec::new());
        let read = match kind {
            Kind::Dnsmasq => {
                let read = dnsmasq::read(path, file, &mut self.sources, self.files);
                included = read.included;
                Ok((read.document, read.setup))
            }
            Kind::Udhcpd => {
                let mut document = udhcpd::parse(&text, file);
                let setup = udhcpd::understand(&mut document, path);
                Ok((document, setup))
            }
            Kind::Isc => {
                let parsed = isc::parse(path, file, &mut self.sources, self.files);
                (included, problems) = (parsed.included, parsed.problems);
                // It is understood when all files are there.
                Ok((parsed.document, Setup::default()))
            }
            Kind::Kea => kea::parse(path, file, &mut self.sources, self.files).map(|mut parsed| {
                let setup = kea::understand(&mut parsed.document, path, &parsed.included);
                included = parsed.included;
                (parsed.document, setup)
            }),
            Kind::Matchbox => {
                let files = self.files;
                let mut document = data_directory::parse(path, file, &mut self.sources, files, &mut skipped);
                let setup = data_directory::understand(&mut document, path, files);
                Ok((document, setup))
            }
            Kind::Tinkerbell => {
                let mut document = tinkerbell::parse(&text, file, &self.sources, &mut problems);
                let setup = tinkerbell::understand(&mut document);
                Ok((document, setup))
            }
            Kind::Placemat => {
                let mut document = tinkerbell::parse(&text, file, &self.sources, &mut problems);
                let setup = placemat::understand(&mut document);
                Ok((document, setup))
            }
            Kind::Libvirt => xml::parse(&text, file).map(|mut document| {
                let setup = libvirt::understand(&mut document);
                (document, setup)
            }),
            Kind::Vagrant => {
                let mut document = vagrant::parse(&text, file);
                let setup = vagrant::understand(&mut document);
                Ok((document, setup))
            }
        };
        match read {
            Ok((document, setup)) => {
                Ok(vec![Read { kind, path: path.clone(), document, setup, included, problems, skipped }])
            }
            Err(diagnostic) => {
                self.diagnostics.push(diagnostic);
                Ok(Vec::new())
            }
        }
    }
}

/// Returns a path without `.` in it.
fn plain(path: &Path) -> PathBuf {
    path.components().filter(|part| *part != std::path::Component::CurDir).collect()
}

/// Makes a lab of files.
///
/// `relative` returns a path of a file as the lab file has it.
///
/// # Errors
///
/// A file does not exist, or is of no known kind.
pub fn import(
    given: &[Given],
    files: &dyn Files,
    choices: &Choices<'_>,
    relative: &dyn Fn(&Path) -> String,
) -> Result<Imported, Refusal> {
    let Choices { mode, name } = *choices;
    let mut reader = Reader { files, sources: Sources::default(), diagnostics: Vec::new() };
    let reads = reader.read_all(given)?;
    let Reader { sources, diagnostics, .. } = reader;
    let has_server = reads.iter().any(|read| !read.setup.servers.is_empty());
    let mode = mode.unwrap_or(if has_server { Mode::Process } else { Mode::Services });
    if mode == Mode::Process && !has_server {
        return Err(Refusal {
            what: "none of the files is for a server that could run".to_owned(),
            hint: "use `--as services`".to_owned(),
        });
    }
    let (mut setups, mut documents) = (Vec::<Setup>::new(), Vec::new());
    for Read { kind, mut document, setup, .. } in reads {
        if let (Mode::Process, Some(server)) = (mode, setup.servers.first()) {
            let before = setups.iter().flat_map(|setup| &setup.servers);
            let same = before.filter(|other| other.program == server.program);
            match process::hindrance(server, &same.collect::<Vec<_>>()) {
                None => document.carry_all(&format!("process.{}", process::name(server.program))),
                Some(why) => {
                    document.leave_all(&why);
                    documents.push((kind, document));
                    continue;
                }
            }
        }
        setups.push(setup);
        documents.push((kind, document));
    }
    let mut setup = settle::unite(setups);
    place(&mut setup, relative);
    let servers = std::mem::take(&mut setup.servers);
    if mode == Mode::Process {
        process::prepare(&mut setup, &servers);
    }
    let services = mode == Mode::Services;
    let settled = settle::settle(setup, services);
    let notes = settled.notes.clone();
    let mut writer = Writer { sources: &sources, text: head(given, name), notes, services };
    match mode {
        Mode::Services => write::services(&mut writer, &settled),
        // The server does what its file says, whatever a lab file could say.
        Mode::Process => process::processes(&mut writer, &settled, &servers),
    }
    let Writer { text, notes, .. } = writer;
    let mut directives: Vec<Directive> = Vec::new();
    for (kind, document) in &documents {
        let why = |document: &Document, item: ItemId| match kind {
            Kind::Kea => kea::reason(&document.path(item), document.name(item)),
            Kind::Vagrant => vagrant::REASON.to_owned(),
            Kind::Libvirt => libvirt::reason(document, item).to_owned(),
            _ => format!("nothing in a lab corresponds to `{}`", document.path(item)),
        };
        directives.extend(document.directives(&why));
    }
    for note in notes {
        let of_line = |directive: &&mut Directive| {
            directive.span == note.at && !matches!(directive.fate, Fate::Left(_))
        };
        // Of several on one line, the last one is what the others lead to.
        let Some(directive) = directives.iter_mut().rev().find(of_line) else { continue };
        directive.fate = match &directive.fate {
            Fate::Carried(to) => Fate::Partly(to.clone(), note.text.clone()),
            Fate::Partly(to, rest) if !rest.contains(&note.text) => {
                Fate::Partly(to.clone(), format!("{rest}; {}", note.text))
            }
            other => other.clone(),
        };
    }
    let lab = diagnostics.is_empty().then_some(text);
    Ok(Imported { lab, directives, diagnostics, sources })
}

/// Turns the paths of files into those of the lab file.
fn place(setup: &mut Setup, relative: &dyn Fn(&Path) -> String) {
    for network in &mut setup.networks {
        if let Some(root) = &mut network.root {
            root.value = relative(Path::new(&root.value));
        }
        if let Some(matchbox) = &mut network.matchbox {
            matchbox.value.data = relative(Path::new(&matchbox.value.data));
        }
    }
    for Server { files, .. } in &mut setup.servers {
        for (_, here) in files {
            *here = relative(Path::new(here));
        }
    }
}

/// Returns the beginning of the lab file.
fn head(given: &[Given], name: Option<&str>) -> String {
    let plain = |path: &Path| path.display().to_string().replace(char::is_control, "?");
    let names: Vec<_> = given.iter().map(|given| plain(&given.path)).collect();
    let name = name.map(|name| format!("name = {}\n", option::quote(name))).unwrap_or_default();
    let names = names.join(", ");
    format!("# Made by `dryrack import` of {names}; comments name the lines.\n\ndryrack = 1\n{name}")
}
