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
    document: Document,
    setup: Setup,
}

/// Reads files, with what they include.
struct Reader<'a> {
    files: &'a dyn Files,
    sources: Sources,
    diagnostics: Vec<Diagnostic>,
}

impl Reader<'_> {
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
        Ok(match kind {
            Kind::Dnsmasq => {
                let dnsmasq::Read { document, setup } =
                    dnsmasq::read(path, file, &mut self.sources, self.files);
                vec![Read { kind, document, setup }]
            }
            Kind::Udhcpd => {
                let mut document = udhcpd::parse(&text, file);
                let setup = udhcpd::understand(&mut document, path);
                vec![Read { kind, document, setup }]
            }
            Kind::Isc => {
                let (mut document, problems) = isc::parse(&text, file);
                self.diagnostics.extend(problems);
                let setup = isc::understand(&mut document, path);
                vec![Read { kind, document, setup }]
            }
            Kind::Kea => self.parsed(kea::parse(&text, file, &self.sources), |document| Read {
                kind,
                setup: kea::understand(document, path),
                document: document.clone(),
            }),
            Kind::Matchbox => {
                let (files, problems) = (self.files, &mut self.diagnostics);
                let mut document = data_directory::parse(path, file, &mut self.sources, files, problems);
                let setup = data_directory::understand(&mut document, path, files);
                vec![Read { kind, document, setup }]
            }
            Kind::Tinkerbell => {
                let mut document = tinkerbell::parse(&text, file, &self.sources, &mut self.diagnostics);
                let setup = tinkerbell::understand(&mut document);
                vec![Read { kind, document, setup }]
            }
            Kind::Placemat => {
                let mut document = tinkerbell::parse(&text, file, &self.sources, &mut self.diagnostics);
                let setup = placemat::understand(&mut document);
                vec![Read { kind, document, setup }]
            }
            Kind::Libvirt => self.parsed(xml::parse(&text, file), |document| Read {
                kind,
                setup: libvirt::understand(document),
                document: document.clone(),
            }),
            Kind::Vagrant => {
                let mut document = vagrant::parse(&text, file);
                let setup = vagrant::understand(&mut document);
                vec![Read { kind, document, setup }]
            }
        })
    }

    /// Reads on if a text could be parsed.
    fn parsed(
        &mut self,
        parsed: Result<Document, Diagnostic>,
        read: impl FnOnce(&mut Document) -> Read,
    ) -> Vec<Read> {
        match parsed {
            Ok(mut document) => vec![read(&mut document)],
            Err(diagnostic) => {
                self.diagnostics.push(diagnostic);
                Vec::new()
            }
        }
    }
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
    let mut reads = Vec::new();
    for given in given {
        reads.extend(reader.read(given)?);
    }
    let Reader { sources, diagnostics, .. } = reader;
    let has_server = reads.iter().any(|read| !read.setup.servers.is_empty());
    let mode = mode.unwrap_or(if has_server { Mode::Process } else { Mode::Services });
    if mode == Mode::Process && !has_server {
        return Err(Refusal {
            what: "none of the files is for a server that could run".to_owned(),
            hint: "use `--as services`".to_owned(),
        });
    }
    let (mut setups, mut documents) = (Vec::new(), Vec::new());
    for Read { kind, mut document, setup } in reads {
        if let (Mode::Process, Some(server)) = (mode, setup.servers.first()) {
            document.carry_all(&format!("process.{}", process::name(server.program)));
        }
        setups.push(setup);
        documents.push((kind, document));
    }
    let mut setup = settle::unite(setups);
    place(&mut setup, relative);
    let servers = std::mem::take(&mut setup.servers);
    let settled = settle::settle(setup);
    let services = mode == Mode::Services;
    let mut writer = Writer { sources: &sources, text: head(given, name), notes: Vec::new(), services };
    match mode {
        Mode::Services => {
            writer.notes.clone_from(&settled.notes);
            write::services(&mut writer, &settled);
        }
        // The server does what its file says, whatever a lab file could say.
        Mode::Process => process::processes(&mut writer, &settled, &servers),
    }
    let Writer { text, notes, .. } = writer;
    let mut directives: Vec<Directive> = Vec::new();
    for (kind, document) in &documents {
        let why = |document: &Document, item: ItemId| match kind {
            Kind::Kea => kea::reason(&document.path(item), document.name(item)),
            Kind::Vagrant => vagrant::REASON.to_owned(),
            Kind::Libvirt => libvirt::REASON.to_owned(),
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
