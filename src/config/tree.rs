//! A TOML document as a tree in which every key and value has its position.
//!
//! The nesting is limited, so that later code may recurse.

use toml::de::{DeTable, DeValue};
use toml::map::Map;

use super::{Source, malformed, syntax};
use crate::diag::{Code, Diagnostic, Sources, Span};

/// A lab file is written by hand; a larger one is a mistake.
pub(super) const LARGEST: usize = 1 << 20;

/// The format itself needs half of this.
const DEEPEST: usize = 24;

/// Keys below a longer path get the position of their table, which limits the size of the index.
const LONGEST_PATH: usize = 255;

/// A value and its position.
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

impl Value {
    /// Returns the kind of the value, for messages.
    pub(super) fn kind(&self) -> &'static str {
        match self {
            Self::String(_) => "a string",
            Self::Integer(_) | Self::Float(_) => "a number",
            Self::Boolean(_) => "a boolean",
            Self::Datetime => "a date",
            Self::Array(_) => "a list",
            Self::Table(_) => "a table",
            Self::Broken => "something broken",
        }
    }
}

/// Entries in the order of the file.
pub(super) type Table = Map<String, Entry>;

/// One entry of a table.
#[derive(Debug, Clone)]
pub(super) struct Entry {
    /// Position of the key.
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

    /// Returns the position of every key below, by path; items of a list are numbered.
    pub(super) fn positions(&self) -> Vec<(String, Span)> {
        let mut found = Vec::new();
        self.collect_positions("", &mut found);
        found
    }

    fn collect_positions(&self, path: &str, found: &mut Vec<(String, Span)>) {
        if path.len() > LONGEST_PATH {
            return;
        }
        let below = |key: &str| if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") };
        match &self.value {
            Value::Table(table) => {
                for (key, entry) in table {
                    let path = below(key);
                    entry.tree.collect_positions(&path, found);
                    found.push((path, entry.key.clone()));
                }
            }
            Value::Array(items) => {
                for (index, item) in items.iter().enumerate() {
                    let path = below(&index.to_string());
                    item.collect_positions(&path, found);
                    found.push((path, item.span.clone()));
                }
            }
            _ => {}
        }
    }

    /// Returns an empty table at a span.
    pub(super) fn empty(span: Span) -> Self {
        Self { span, value: Value::Table(Table::new()) }
    }
}

/// The result of reading one file.
pub(super) struct Parsed {
    pub(super) root: Tree,
    /// Whether the tree is complete.
    pub(super) sound: bool,
}

/// Reads one file into a tree. Returns what can be read, and reports what cannot.
pub(super) fn parse(text: &Source, sources: &mut Sources, found: &mut Vec<Diagnostic>) -> Parsed {
    let nothing = |file: usize| Parsed { root: Tree::empty(Span::new(file, 0..0)), sound: false };
    if text.bytes.len() > LARGEST {
        let file = sources.add(&text.name, "");
        let size = text.bytes.len();
        found.push(
            Diagnostic::new(Code::TooLarge, None, format!("`{}` is too large: {size} bytes", text.name))
                .help("a lab file has at most 1 MiB; is this the right file?"),
        );
        return nothing(file);
    }
    let content = match syntax::text(text) {
        Ok(content) => content,
        Err(diagnostic) => {
            let file = sources.add(&text.name, "");
            found.push(diagnostic);
            return nothing(file);
        }
    };
    let file = sources.add(&text.name, content);
    // Parsers differ on whether a byte order mark counts; ours sees spaces instead, at the same offsets.
    let visible = content.replacen('\u{feff}', "   ", usize::from(content.starts_with('\u{feff}')));
    let (document, errors) = DeTable::parse_recoverable(&visible);
    let sound = errors.is_empty();
    syntax::report(file, content, &errors, found);
    let mut builder = Builder { file, found, trash: Vec::new(), too_deep: false };
    let span = Span::new(file, document.span());
    let root = builder.table(document.into_inner(), span, 0);
    let sound = sound && !builder.too_deep;
    builder.discard();
    Parsed { root, sound }
}

struct Builder<'f, 'i> {
    file: usize,
    found: &'f mut Vec<Diagnostic>,
    /// Values nested too deep, to be dropped without recursion.
    trash: Vec<DeValue<'i>>,
    too_deep: bool,
}

impl<'i> Builder<'_, 'i> {
    fn table(&mut self, from: DeTable<'i>, span: Span, depth: usize) -> Tree {
        let mut table = Table::new();
        for (key, value) in from {
            let position = Span::new(self.file, key.span());
            let tree = self.value(value, depth + 1);
            table.insert(key.into_inner().into_owned(), Entry { key: position, tree });
        }
        Tree { span, value: Value::Table(table) }
    }

    fn value(&mut self, from: toml::Spanned<DeValue<'i>>, depth: usize) -> Tree {
        let span = Span::new(self.file, from.span());
        let nested = matches!(from.get_ref(), DeValue::Array(_) | DeValue::Table(_));
        if nested && depth > DEEPEST {
            if !self.too_deep {
                self.found.push(syntax::too_deep(span.clone()));
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
                    self.found.push(
                        malformed(span.clone(), message)
                            .help("integers range from -9223372036854775808 to 9223372036854775807"),
                    );
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

    /// Drops values nested too deep level by level: a plain drop would recurse.
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
