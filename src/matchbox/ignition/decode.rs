//! Decodes a tree to a config: names, types, and Go's behaviour for wrong types and repeated keys.

use std::collections::{HashMap, HashSet};

use super::report::{JsonPath, Language, Report};
use super::schema::{Field, Kind, Nil, Side, Type};
use super::value::{Content, Record, Value};
use crate::matchbox::go::push_lossy;
use crate::matchbox::tree::{NodeId, Scalar, Tree, What};
use crate::matchbox::yaml::{self, Resolved};

/// The maximum depth of merges within merges. No config needs three.
const DEEPEST_MERGE: usize = 100;
/// The maximum size of all texts that aliases repeat, in bytes.
const MOST_REPEATED: usize = 16 << 20;

/// Decodes a record of a minor version. Wrong types are reported; Go ignores unknown keys, so they are only warned of.
pub(crate) fn record(tree: &Tree, kind: &'static Type, minor: u8, report: &mut Report) -> Record {
    let mut record = Record::new(kind);
    let mut decoder = Decoder { tree, minor, aliases: Aliases::default(), duplicates: HashMap::new() };
    decoder.record(tree.root(), &mut record, &JsonPath::root(), report);
    record
}

struct Decoder<'a> {
    tree: &'a Tree,
    minor: u8,
    aliases: Aliases,
    /// The maps whose keys were checked, and whether any is repeated. A map that many aliases use is checked once.
    duplicates: HashMap<NodeId, bool>,
}

/// What yaml.v3 counts so that aliases make no bombs.
#[derive(Default)]
struct Aliases {
    /// The aliases that are being decoded.
    open: HashSet<NodeId>,
    /// All values that were decoded.
    decoded: u32,
    /// Those below an alias.
    repeated: u32,
    /// The size of the texts below aliases.
    size: usize,
    /// Whether it was too much.
    refused: bool,
}

impl Aliases {
    /// Counts a value; whether there are too many below aliases.
    fn too_much(&mut self, size: usize) -> bool {
        self.decoded += 1;
        if !self.open.is_empty() {
            self.repeated += 1;
            self.size += size;
        }
        let allowed = match self.decoded {
            ..=400_000 => 0.99,
            4_000_000.. => 0.10,
            decoded => 0.99 - 0.89 * (f64::from(decoded - 400_000) / 3_600_000.0),
        };
        let ratio = f64::from(self.repeated) / f64::from(self.decoded);
        self.size > MOST_REPEATED || (self.repeated > 100 && self.decoded > 1_000 && ratio > allowed)
    }
}

impl Decoder<'_> {
    /// Counts a value, and follows its alias; returns nothing if that cannot be decoded.
    ///
    /// The second result is the alias, which [`leave`](Self::leave) closes.
    fn enter(
        &mut self,
        id: NodeId,
        path: &JsonPath<'_>,
        report: &mut Report,
    ) -> Option<(NodeId, Option<NodeId>)> {
        let node = self.tree.node(id);
        let size = match &node.what {
            What::Scalar(scalar) => scalar.text.len(),
            _ => 0,
        };
        if self.aliases.refused {
            return None;
        }
        if report.language == Language::Yaml && self.aliases.too_much(size) {
            self.aliases.refused = true;
            report.add(node.line, path, "aliases expand to too much data");
            return None;
        }
        let What::Alias { name, to } = &node.what else { return Some((id, None)) };
        if !self.aliases.open.insert(id) {
            report.add(
                node.line,
                path,
                format!("the value of the anchor `{name}` contains an alias of itself"),
            );
            return None;
        }
        match self.enter(*to, path, report) {
            Some((to, _)) => Some((to, Some(id))),
            None => {
                self.aliases.open.remove(&id);
                None
            }
        }
    }

    fn leave(&mut self, alias: Option<NodeId>) {
        if let Some(alias) = alias {
            self.aliases.open.remove(&alias);
        }
    }

    fn record(&mut self, id: NodeId, record: &mut Record, path: &JsonPath<'_>, report: &mut Report) {
        let kind = record.kind;
        let line = self.tree.node(id).line;
        if let Some((id, alias)) = self.enter(id, path, report) {
            match &self.tree.node(id).what {
                What::Map(pairs) => self.map(id, pairs, record, None, path, report),
                // Null counts as absent.
                _ if self.is_null(id, path, report) => {}
                _ => self.unfit(id, "an object", path, report),
            }
            self.leave(alias);
        }
        for (index, field) in kind.fields.iter().enumerate() {
            // In Go these are always present.
            if field.nil_in(self.minor) == Nil::Written
                && field.since <= self.minor
                && matches!(field.kind, Kind::Text)
                && record.slot(index).is_none()
            {
                *record.slot(index) = Some(Value::new(line, ""));
            }
        }
    }

    /// Decodes the pairs of a map; `taken` are the keys of the maps that it is merged into.
    fn map(
        &mut self,
        id: NodeId,
        pairs: &[(NodeId, NodeId)],
        record: &mut Record,
        mut taken: Option<&mut Taken>,
        path: &JsonPath<'_>,
        report: &mut Report,
    ) {
        if report.language == Language::Yaml && self.has_duplicates(id, pairs, path, report) {
            return;
        }
        let mut merged = None;
        for (key, value) in pairs {
            if self.is_merge(*key, report.language) {
                merged = Some(*value);
                continue;
            }
            let Some(name) = self.key(*key, path, report) else { continue };
            if taken.as_mut().is_some_and(|taken| !taken.keys.insert(name.clone())) {
                continue;
            }
            let Some((index, field)) = self.field(record.kind, &name, report.language) else {
                let line = self.tree.node(*key).line;
                report.warn(line, path, format!("the key `{name}` is unknown here, and ignored"));
                continue;
            };
            self.value(*value, field, record.slot(index), &path.field(field), report);
        }
        let Some(merged) = merged else { return };
        match taken {
            Some(taken) => self.merge(merged, record, taken, path, report),
            None => {
                let keys =
                    pairs.iter().filter_map(|(key, _)| self.key_text(*key).map(str::to_owned)).collect();
                self.merge(merged, record, &mut Taken { keys, depth: 0 }, path, report);
            }
        }
    }

    /// Reports keys that are repeated in a map of YAML, whatever they are; returns whether there are any.
    fn has_duplicates(
        &mut self,
        id: NodeId,
        pairs: &[(NodeId, NodeId)],
        path: &JsonPath<'_>,
        report: &mut Report,
    ) -> bool {
        if let Some(any) = self.duplicates.get(&id) {
            return *any;
        }
        let mut known = HashSet::new();
        let mut any = false;
        for (key, _) in pairs {
            let node = self.tree.node(*key);
            let written = match &node.what {
                What::Scalar(scalar) => (0, scalar.text.as_str()),
                What::Alias { name, .. } => (1, name.as_str()),
                What::List(_) => (2, ""),
                _ => (3, ""),
            };
            if !known.insert(written) {
                any = true;
                report.add(node.line, path, format!("`{}` is a duplicate key", written.1));
            }
        }
        self.duplicates.insert(id, any);
        any
    }

    /// Merges the maps behind `<<` into a record.
    fn merge(
        &mut self,
        id: NodeId,
        record: &mut Record,
        taken: &mut Taken,
        path: &JsonPath<'_>,
        report: &mut Report,
    ) {
        let line = self.tree.node(id).line;
        if taken.depth == DEEPEST_MERGE {
            report.add(line, path, "`<<` merges maps within maps too deep");
            return;
        }
        let sources = match &self.tree.node(id).what {
            What::List(sources) => sources.as_slice(),
            _ => &[id],
        };
        for source in sources {
            if !matches!(self.tree.resolved(*source).what, What::Map(_)) {
                report.add(line, path, "only maps can be merged into a map");
                return;
            }
            let Some((source, alias)) = self.enter(*source, path, report) else { return };
            if let What::Map(pairs) = &self.tree.node(source).what {
                taken.depth += 1;
                self.map(source, pairs, record, Some(taken), path, report);
                taken.depth -= 1;
            }
            self.leave(alias);
        }
    }

    fn is_merge(&self, key: NodeId, language: Language) -> bool {
        match &self.tree.node(key).what {
            What::Scalar(Scalar { text, tag, quoted }) if language == Language::Yaml && text == "<<" => {
                tag.as_ref().map_or(!quoted, |tag| tag == "!!merge")
            }
            _ => false,
        }
    }

    fn key_text(&self, key: NodeId) -> Option<&str> {
        match &self.tree.resolved(key).what {
            What::Text(text) | What::Scalar(Scalar { text, .. }) => Some(text),
            _ => None,
        }
    }

    /// Returns the text of a key; null is none.
    fn key(&mut self, id: NodeId, path: &JsonPath<'_>, report: &mut Report) -> Option<String> {
        let (key, alias) = self.enter(id, path, report)?;
        self.leave(alias);
        if self.is_null(key, path, report) {
            return None;
        }
        let text = self.key_text(key).map(str::to_owned);
        if text.is_none() {
            report.add(self.tree.node(key).line, path, "a key must be a scalar");
        }
        text
    }

    fn field(&self, kind: &'static Type, key: &str, language: Language) -> Option<(usize, &'static Field)> {
        let known = kind.fields.iter().enumerate().filter(|(_, field)| field.since <= self.minor);
        match language {
            Language::Json => {
                let mut known = known.filter(|(_, field)| field.side != Side::Butane);
                known
                    .clone()
                    .find(|(_, field)| field.name == key)
                    .or_else(|| known.find(|(_, field)| folds(field.name, key)))
            }
            Language::Yaml => {
                known.filter(|(_, field)| field.side != Side::Ignition).find(|(_, field)| field.yaml == key)
            }
        }
    }

    fn value(
        &mut self,
        id: NodeId,
        field: &'static Field,
        slot: &mut Option<Value>,
        path: &JsonPath<'_>,
        report: &mut Report,
    ) {
        if let Kind::Record(kind) = field.kind {
            if self.resolved_null(id) {
                return;
            }
            // A repeated record is decoded into the existing one.
            let mut record = match slot.take() {
                Some(Value { content: Content::Record(record), .. }) => record,
                _ => Record::new(kind),
            };
            self.record(id, &mut record, path, report);
            *slot = Some(Value::new(self.tree.node(id).line, record));
            return;
        }
        let Some((to, alias)) = self.enter(id, path, report) else { return };
        if self.is_null(to, path, report) {
            // Go sets pointers to nil and leaves other values unchanged.
            if matches!(field.nil_in(self.minor), Nil::Omitted | Nil::Null) {
                *slot = None;
            }
        } else {
            let content = self.content(to, field, &field.kind, path, report);
            *slot = content.map(|content| Value::new(self.tree.node(id).line, content));
        }
        self.leave(alias);
    }

    /// Whether a value is null, without a report of a tag that does not fit.
    fn resolved_null(&self, id: NodeId) -> bool {
        match &self.tree.resolved(id).what {
            What::Null => true,
            What::Scalar(scalar) => yaml::resolve(scalar) == Ok(Resolved::Null),
            _ => false,
        }
    }

    /// Whether a value is null. A tag that does not fit is reported, and the value counts as null.
    fn is_null(&self, id: NodeId, path: &JsonPath<'_>, report: &mut Report) -> bool {
        let node = self.tree.node(id);
        match &node.what {
            What::Null => true,
            What::Scalar(scalar) => match yaml::resolve(scalar) {
                Ok(resolved) => resolved == Resolved::Null,
                Err(why) => {
                    report.add(node.line, path, why);
                    true
                }
            },
            _ => false,
        }
    }

    fn content(
        &mut self,
        id: NodeId,
        field: &'static Field,
        kind: &Kind,
        path: &JsonPath<'_>,
        report: &mut Report,
    ) -> Option<Content> {
        let tree = self.tree;
        let resolved = match &tree.node(id).what {
            What::Scalar(scalar) => yaml::resolve(scalar).ok(),
            _ => None,
        };
        let content = match (kind, &tree.node(id).what) {
            (Kind::Record(kind), _) => {
                let mut record = Record::new(kind);
                self.record(id, &mut record, path, report);
                return Some(Content::Record(record));
            }
            (Kind::Texts, What::List(items)) => Some(self.list(items, field, &Kind::Text, path, report)),
            (Kind::Records(kind), What::List(items)) => {
                Some(self.list(items, field, &Kind::Record(kind), path, report))
            }
            (Kind::Text, What::Text(text)) => Some(Content::from(text.as_str())),
            (Kind::Text, What::Scalar(Scalar { text, .. })) => Some(match resolved {
                Some(Resolved::Bytes(bytes)) => bytes_of(bytes, field),
                _ => Content::from(text.as_str()),
            }),
            (Kind::Number, What::Number(number)) => number.parse().ok().map(Content::Number),
            (Kind::Number, What::Scalar(_)) => {
                resolved.and_then(|resolved| yaml::integer(&resolved)).map(Content::Number)
            }
            (Kind::Flag, What::Flag(flag)) => Some(Content::Flag(*flag)),
            (Kind::Flag, What::Scalar(Scalar { text, .. })) => {
                resolved.and_then(|resolved| yaml::flag(&resolved, text)).map(Content::Flag)
            }
            _ => None,
        };
        if content.is_none() {
            let wanted = match kind {
                Kind::Record(_) => "an object",
                Kind::Texts | Kind::Records(_) => "a list",
                Kind::Text => "a string",
                Kind::Number => "a whole number",
                Kind::Flag => "a boolean",
            };
            self.unfit(id, wanted, path, report);
        }
        content
    }

    fn list(
        &mut self,
        items: &[NodeId],
        field: &'static Field,
        kind: &Kind,
        path: &JsonPath<'_>,
        report: &mut Report,
    ) -> Content {
        let mut list = Vec::new();
        for (index, id) in items.iter().enumerate() {
            let path = path.item(index);
            let line = self.tree.node(*id).line;
            let content = if let Kind::Record(_) = kind {
                // A null in a list is the zero value in JSON, and nothing in YAML.
                let nothing = report.language == Language::Yaml && self.resolved_null(*id);
                if nothing { None } else { self.content(*id, field, kind, &path, report) }
            } else {
                let Some((to, alias)) = self.enter(*id, &path, report) else { continue };
                let content = if !self.is_null(to, &path, report) {
                    self.content(to, field, kind, &path, report)
                } else if report.language == Language::Json {
                    Some(Content::from(""))
                } else {
                    None
                };
                self.leave(alias);
                content
            };
            list.extend(content.map(|content| Value::new(line, content)));
        }
        Content::List(list)
    }

    fn unfit(&self, id: NodeId, wanted: &str, path: &JsonPath<'_>, report: &mut Report) {
        let node = self.tree.node(id);
        let is = match &node.what {
            What::Scalar(Scalar { text, quoted: false, .. }) | What::Number(text) => format!("`{text}`"),
            other => other.called().to_owned(),
        };
        report.add(node.line, path, format!("must be {wanted}, not {is}"));
    }
}

/// The keys that maps have which others are merged into.
struct Taken {
    keys: HashSet<String>,
    depth: usize,
}

/// Returns the content of `!!binary`: bytes that are no text are kept only where contents are written.
fn bytes_of(bytes: Vec<u8>, field: &Field) -> Content {
    match String::from_utf8(bytes) {
        Ok(text) => Content::Text(text),
        Err(error) if field.name == "inline" => Content::Bytes(error.into_bytes()),
        Err(error) => {
            let mut text = String::new();
            push_lossy(&mut text, error.as_bytes());
            Content::Text(text)
        }
    }
}

/// Whether Go's encoding/json accepts a key for a field: case-insensitively, including the two
/// letters outside of ASCII that fold to ASCII.
fn folds(name: &str, key: &str) -> bool {
    let fold = |letter: char| match letter {
        '\u{212a}' => 'k',
        '\u{17f}' => 's',
        letter => letter.to_ascii_lowercase(),
    };
    name.chars().map(fold).eq(key.chars().map(fold))
}
