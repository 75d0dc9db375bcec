//! A TOML document as a tree in which every key and value knows its place.
//!
//! The nesting is limited, so that everything after may recurse.

use toml::de::{DeTable, DeValue};
use toml::map::Map;

use super::Source;
use crate::diag::{Code, Diagnostic, Sources, Span};

/// A lab is written by hand; a megabyte of it is an accident.
pub(super) const LARGEST: usize = 1 << 20;

/// The deepest place of the format is half of this.
const DEEPEST: usize = 24;

/// More syntax errors than that come from a file that is something else.
const SYNTAX_ERRORS: usize = 20;

/// A value and its place.
#[derive(Debug, Clone)]
pub(super) struct Tree {
    pub(super) span: Span,
    pub(super) value: Value,
}

/// A value.
#[derive(Debug, Clone)]
pub(super) enum Value {
    String(String),
    Integer(i64),
    Float(f64),
    Boolean(bool),
    Datetime,
    Array(Vec<Tree>),
    Table(Table),
    /// Something that was reported already.
    Broken,
}

/// Entries in the order of the file.
pub(super) type Table = Map<String, Entry>;

/// One entry of a table.
#[derive(Debug, Clone)]
pub(super) struct Entry {
    /// Place of the key.
    pub(super) key: Span,
    pub(super) tree: Tree,
}

impl Tree {
    /// Returns the table, if it is one.
    pub(super) fn table(&self) -> Option<&Table> {
        match &self.value {
            Value::Table(table) => Some(table),
            _ => None,
        }
    }

    /// Returns the table, if it is one.
    pub(super) fn table_mut(&mut self) -> Option<&mut Table> {
        match &mut self.value {
            Value::Table(table) => Some(table),
            _ => None,
        }
    }

    /// Returns an empty table at a place.
    pub(super) fn empty(span: Span) -> Self {
        Self { span, value: Value::Table(Table::new()) }
    }
}

/// What became of one text.
pub(super) struct Parsed {
    pub(super) root: Tree,
    /// Whether the tree is all there.
    pub(super) sound: bool,
}

/// Reads one file into a tree. Whatever can be read is returned, whatever cannot is reported.
pub(super) fn parse(text: &Source, sources: &mut Sources, found: &mut Vec<Diagnostic>) -> Parsed {
    let nothing = |file: usize| Parsed { root: Tree::empty(Span::new(file, 0..0)), sound: false };
    if text.bytes.len() > LARGEST {
        let file = sources.add(&text.name, "");
        let size = text.bytes.len();
        found.push(
            Diagnostic::new(Code::TooLarge, None, format!("`{}` has {size} bytes", text.name))
                .help("a lab file has at most 1 MiB; is this the right file?"),
        );
        return nothing(file);
    }
    let content = match std::str::from_utf8(&text.bytes) {
        Ok(content) if !content.contains('\0') => content,
        other => {
            let byte = other.map_or_else(|e| e.valid_up_to(), |content| content.find('\0').unwrap_or(0));
            let file = sources.add(&text.name, "");
            let what = format!("`{}` is not a text: byte {byte} is not UTF-8 or is zero", text.name);
            found.push(
                Diagnostic::new(Code::NotText, None, what)
                    .help("a lab file is TOML, a text in UTF-8; is this the right file?"),
            );
            return nothing(file);
        }
    };
    let file = sources.add(&text.name, content);
    // Parsers differ on whether a byte order mark counts; ours sees none, at the same offsets.
    let visible = content.replacen('\u{feff}', "   ", usize::from(content.starts_with('\u{feff}')));
    let (document, errors) = DeTable::parse_recoverable(&visible);
    let sound = errors.is_empty();
    report(file, content, &errors, found);
    let mut builder = Builder { file, found, trash: Vec::new(), too_deep: false };
    let span = Span::new(file, document.span());
    let root = builder.table(document.into_inner(), span, 0);
    let sound = sound && !builder.too_deep;
    builder.discard();
    Parsed { root, sound }
}

fn report(file: usize, text: &str, errors: &[toml::de::Error], found: &mut Vec<Diagnostic>) {
    for error in errors.iter().take(SYNTAX_ERRORS) {
        let span = error.span().map(|range| Span::new(file, range));
        if error.message().contains("recursion limit") {
            found.push(too_deep(span));
            continue;
        }
        let message = error.message().lines().collect::<Vec<_>>().join(", ");
        let mut diagnostic = Diagnostic::new(Code::Syntax, span.clone(), message);
        if let Some(help) = span.and_then(|span| syntax_help(text, &span, error.message())) {
            diagnostic = diagnostic.help(help);
        }
        found.push(diagnostic);
    }
    if let Some(more) = errors.len().checked_sub(SYNTAX_ERRORS).filter(|more| *more > 0) {
        let help = "is this the right file?";
        found.push(
            Diagnostic::new(Code::Syntax, None, format!("{more} more syntax errors are not shown"))
                .help(help),
        );
    }
}

/// What people who know YAML, shells or units write first.
fn syntax_help(text: &str, span: &Span, message: &str) -> Option<String> {
    let start = text.floor_char_boundary(span.start);
    let line_start = text[..start].rfind('\n').map_or(0, |at| at + 1);
    let line = text[line_start..].lines().next().unwrap_or("");
    if message.contains("duplicate key") {
        return Some("every key and every table is written once; merge the two".into());
    }
    let (key, value) = line.split_once('=')?;
    let value = value.trim();
    let bare = !value.is_empty() && !value.starts_with(['"', '\'', '[', '{']) && !value.contains('"');
    (bare && value.len() < 80).then(|| format!("texts are quoted: {} = \"{value}\"", key.trim()))
}

fn too_deep(span: Option<Span>) -> Diagnostic {
    Diagnostic::new(Code::TooDeep, span, "tables or arrays are nested too deep here")
        .help("nothing in a lab file needs more than ten levels")
}

struct Builder<'f, 'i> {
    file: usize,
    found: &'f mut Vec<Diagnostic>,
    /// What lies too deep, to be taken apart without recursion.
    trash: Vec<DeValue<'i>>,
    too_deep: bool,
}

impl<'i> Builder<'_, 'i> {
    fn table(&mut self, from: DeTable<'i>, span: Span, depth: usize) -> Tree {
        let mut table = Table::new();
        for (key, value) in from {
            let place = Span::new(self.file, key.span());
            let tree = self.value(value, depth + 1);
            table.insert(key.into_inner().into_owned(), Entry { key: place, tree });
        }
        Tree { span, value: Value::Table(table) }
    }

    fn value(&mut self, from: toml::Spanned<DeValue<'i>>, depth: usize) -> Tree {
        let span = Span::new(self.file, from.span());
        let nested = matches!(from.get_ref(), DeValue::Array(_) | DeValue::Table(_));
        if nested && depth > DEEPEST {
            if !self.too_deep {
                self.found.push(too_deep(Some(span.clone())));
            }
            self.too_deep = true;
            self.trash.push(from.into_inner());
            return Tree { span, value: Value::Broken };
        }
        let value = match from.into_inner() {
            DeValue::String(text) => Value::String(text.into_owned()),
            DeValue::Integer(number) => match i64::from_str_radix(number.as_str(), number.radix()) {
                Ok(number) => Value::Integer(number),
                Err(_) => {
                    let message = format!("the number {number} is too large");
                    self.found.push(super::read::malformed(span.clone(), message));
                    Value::Broken
                }
            },
            DeValue::Float(number) => Value::Float(number.as_str().parse().unwrap_or(f64::NAN)),
            DeValue::Boolean(truth) => Value::Boolean(truth),
            DeValue::Datetime(_) => Value::Datetime,
            DeValue::Array(items) => {
                Value::Array(items.into_iter().map(|item| self.value(item, depth + 1)).collect())
            }
            DeValue::Table(table) => return self.table(table, span, depth),
        };
        Tree { span, value }
    }

    /// Takes apart what lies too deep: dropping it as it is would recurse as deep as it is.
    fn discard(mut self) {
        while let Some(value) = self.trash.pop() {
            match value {
                DeValue::Array(items) => self.trash.extend(items.into_iter().map(toml::Spanned::into_inner)),
                DeValue::Table(table) => {
                    self.trash.extend(table.into_iter().map(|(_, value)| value.into_inner()));
                }
                DeValue::String(_)
                | DeValue::Integer(_)
                | DeValue::Float(_)
                | DeValue::Boolean(_)
                | DeValue::Datetime(_) => {}
            }
        }
    }
}
