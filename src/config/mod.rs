//! The lab file as written: TOML, its overlays, the position of every value.
//!
//! Must never decide what a value means beyond its own type; that is the task of
//! [`crate::lab`]. Reports every problem it finds and goes on.
//!
//! ```text
//! texts ── tree ── set ── overlay ── read ──► RawLab, diagnostics
//! ```

mod action;
mod alternatives;
mod architecture;
mod bmc;
mod certificate;
mod choice;
mod expect;
mod fault;
pub mod keys;
mod kubernetes;
mod login;
mod overlay;
mod parents;
mod raw;
mod read;
pub mod recipe;
mod rejection;
mod renamed;
mod secret;
mod set;
mod syntax;
mod tree;
mod value;
mod word;

use crate::diag::{Code, Diagnostic, Sources, Span};
use crate::name::LabName;
use overlay::{Kind, Layer};

pub use action::*;
pub use alternatives::*;
pub use architecture::{ARCHITECTURES, Architecture, architecture, architecture_names};
pub use bmc::{RawBmc, RawBmcSettings, RawNetworkBmcs};
pub use certificate::RawCertificate;
pub use expect::*;
pub use fault::*;
pub use kubernetes::*;
pub use login::*;
pub use raw::*;
pub use secret::RawSecret;
pub use value::{Field, Keyed, List, Located, Many, RawJson, Short, Shorthand, Text, Word};
pub use word::{Offset, RawAddress, RawHostAddress, Server, Service, Span as Lasting};

/// The lab file that `dryrack init` writes, except for the name of the lab.
pub const INIT: &str = include_str!("init.toml");

/// Returns the lab file that `dryrack init` writes for a lab.
pub fn init(lab: &LabName) -> String {
    let (before, after) = INIT.split_once("\"first\"").expect("the file names the lab");
    let (blank, rest) = after.split_at(after.find('#').expect("the name has a comment"));
    // The comment stays in its column, if the name leaves room.
    let room = ("first".len() + blank.len()).saturating_sub(lab.as_str().len()).max(1);
    format!("{before}\"{lab}\"{:room$}{rest}", "")
}

/// The format version that this crate reads.
pub const FORMAT: i64 = 1;

/// The maximum number of nodes in a lab: more than one host can run.
pub(crate) const MOST_NODES: usize = 1000;

/// Returns the diagnostic for a malformed value.
pub(crate) fn malformed(span: Span, message: impl Into<String>) -> Diagnostic {
    Diagnostic::new(Code::Malformed, span, message)
}

/// One source file, valid UTF-8 or not.
#[derive(Debug, Clone)]
pub struct Source {
    /// The name shown in messages.
    pub name: String,
    /// Its content.
    pub bytes: Vec<u8>,
}

impl Source {
    /// Creates a source.
    pub fn new(name: impl Into<String>, bytes: impl Into<Vec<u8>>) -> Self {
        Self { name: name.into(), bytes: bytes.into() }
    }
}

/// The result of reading the files of a lab.
#[derive(Debug)]
pub struct Reading {
    /// The lab as written; `None` if nothing of it can be used.
    pub raw: Option<RawLab>,
    /// Whether every file was valid TOML, so that a missing key was really omitted.
    pub whole: bool,
    /// The problems found.
    pub diagnostics: Vec<Diagnostic>,
    /// The sources, for the diagnostics.
    pub sources: Sources,
    /// The position of every key by its path in the lab file, with the nodes of a `count` one by one; empty if there
    /// are errors.
    pub positions: Vec<(String, Span)>,
}

/// What `--set` is called and looks like in messages.
const SET: (&str, &str) = ("--set", "node.a.memory=2GiB");
/// The same for an argument with a fault.
const FAULT: (&str, &str) = ("the fault", "dhcp=drop or http.status=404");

/// Reads what goes wrong from an argument, written as after `do` in the lab file: `dhcp=drop`, `http.status=404`.
pub fn fault_kind(argument: &str) -> Result<FaultKind, (Vec<Diagnostic>, Sources)> {
    let (mut sources, mut found) = (Sources::default(), Vec::new());
    let tree = set::read(argument, FAULT, &mut sources, &mut found);
    let kind = tree.and_then(|tree| read::read::<FaultKind>(&tree, &mut found));
    kind.filter(|_| found.is_empty()).ok_or((found, sources))
}

/// Reads a lab file, the files laid over it, and `--set` arguments, in this order.
pub fn read(lab: &Source, overlays: &[Source], sets: &[String]) -> Reading {
    let mut sources = Sources::default();
    let mut found = Vec::new();
    let mut whole = true;
    let mut layers = Vec::new();
    for (index, source) in std::iter::once(lab).chain(overlays).enumerate() {
        let kind = if index == 0 { Kind::Base } else { Kind::Overlay };
        let parsed = tree::parse(source, &mut sources, &mut found);
        whole &= parsed.sound;
        if parsed.sound && kind == Kind::Base && parsed.root.table().is_some_and(|table| table.is_empty()) {
            found.push(empty(&source.name));
            whole = false;
        }
        layers.push(Layer { tree: parsed.root, kind });
    }
    for set in sets {
        match set::read(set, SET, &mut sources, &mut found) {
            Some(tree) => layers.push(Layer { tree, kind: Kind::Set }),
            None => whole = false,
        }
    }
    let broken: Vec<_> = found
        .iter()
        .filter(|diagnostic| matches!(diagnostic.code, Code::Syntax | Code::TooDeep))
        .filter_map(|diagnostic| Some(line(&sources, diagnostic.span.as_ref()?)))
        .collect();
    let merged = overlay::merge(layers, &mut found);
    let mut fitting = Vec::new();
    let raw = read::read::<RawLab>(&merged, &mut fitting);
    // Errors on a line with a syntax error are consequences of it.
    fitting.retain(|new| {
        new.span.as_ref().is_none_or(|new| {
            !broken.iter().any(|line| line.file == new.file && line.range().contains(&new.start))
        })
    });
    found.append(&mut fitting);
    match raw.as_ref().map(|raw| &raw.dryrack) {
        Some(Field::Given(version)) if version.value != FORMAT => {
            let what = format!("format version {} is not supported, only version {FORMAT} is", version.value);
            let unknown = version_problem(Some(version.span.clone()), what);
            // A file of another version may be valid otherwise.
            let diagnostics = if whole { vec![unknown] } else { found };
            return Reading { raw: None, whole, diagnostics, sources, positions: Vec::new() };
        }
        Some(Field::Missing) if whole => {
            let beginning = Span::new(0, 0..0);
            found.push(version_problem(Some(beginning), "the format version is missing".into()));
        }
        _ => {}
    }
    let wrong = found.iter().any(Diagnostic::is_error);
    let positions = if wrong { Vec::new() } else { merged.positions() };
    Reading { raw, whole, diagnostics: found, sources, positions }
}

/// Returns the line on which a span begins, with the line break.
fn line(sources: &Sources, span: &Span) -> Span {
    let text = sources.text(span.file);
    let at = text.floor_char_boundary(span.start);
    let start = text[..at].rfind('\n').map_or(0, |at| at + 1);
    let end = text[at..].find('\n').map_or(text.len(), |found| at + found) + 1;
    Span::new(span.file, start..end)
}

fn version_problem(span: Option<Span>, what: String) -> Diagnostic {
    Diagnostic::new(Code::FormatVersion, span, what).help(format!("begin the file with `dryrack = {FORMAT}`"))
}

fn empty(name: &str) -> Diagnostic {
    Diagnostic::new(Code::Empty, None, format!("`{name}` is empty"))
        .help("run `dryrack init` to write a small lab to start from")
}

/// Returns the JSON Schema of an overlay: nothing is required that the lab file may have.
pub fn overlay_schema() -> serde_json::Value {
    let mut schema = schema();
    let mut waiting = vec![String::new()];
    let mut done = std::collections::BTreeSet::new();
    while let Some(pointer) = waiting.pop() {
        let Some(serde_json::Value::Object(here)) = schema.pointer_mut(&pointer) else { continue };
        // A choice replaces the one of the lab file as a whole.
        if here.contains_key("anyOf") || here.contains_key("oneOf") || !done.insert(pointer.clone()) {
            continue;
        }
        here.remove("required");
        if let Some(serde_json::Value::String(target)) = here.get("$ref") {
            waiting.extend(target.strip_prefix('#').map(str::to_owned));
        }
        if let Some(serde_json::Value::Object(keys)) = here.get("properties") {
            waiting.extend(keys.keys().map(|key| format!("{pointer}/properties/{key}")));
        }
        waiting.push(format!("{pointer}/additionalProperties"));
    }
    if let Some(schema) = schema.as_object_mut() {
        schema.insert("title".into(), "Overlay of a Dryrack lab".into());
    }
    schema
}

/// Returns the JSON Schema of the lab file.
pub fn schema() -> serde_json::Value {
    let mut schema = schemars::schema_for!(RawLab);
    schema.insert("title".into(), "Dryrack lab".into());
    schema.to_value()
}
