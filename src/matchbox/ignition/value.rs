//! A config whose fields have the types of the [schema](super::schema), each with its line.

use super::schema::{Field, Key, Nil, Repeats, Side, Type};

/// The value of a field, and its line in the text.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Value {
    /// The line, from 1; 0 for a generated value.
    pub(crate) line: usize,
    /// The value.
    pub(crate) content: Content,
}

/// The types of values.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Content {
    /// A string.
    Text(String),
    /// Inline contents that are not UTF-8.
    Bytes(Vec<u8>),
    /// An integer.
    Number(i64),
    /// A boolean.
    Flag(bool),
    /// A list of one type.
    List(Vec<Value>),
    /// A record.
    Record(Record),
}

/// The fields of a record, each set or not.
#[derive(Debug, Clone)]
pub(crate) struct Record {
    /// Its type.
    pub(crate) kind: &'static Type,
    // Invariant: as many as `kind` has, in the same order.
    fields: Vec<Option<Value>>,
}

impl PartialEq for Record {
    fn eq(&self, other: &Self) -> bool {
        std::ptr::eq(self.kind, other.kind) && self.fields == other.fields
    }
}

impl From<&str> for Content {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl From<String> for Content {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}

impl From<i64> for Content {
    fn from(number: i64) -> Self {
        Self::Number(number)
    }
}

impl From<bool> for Content {
    fn from(flag: bool) -> Self {
        Self::Flag(flag)
    }
}

impl From<Record> for Content {
    fn from(record: Record) -> Self {
        Self::Record(record)
    }
}

impl From<Vec<Value>> for Content {
    fn from(list: Vec<Value>) -> Self {
        Self::List(list)
    }
}

impl Value {
    /// Creates a value.
    pub(crate) fn new(line: usize, content: impl Into<Content>) -> Self {
        Self { line, content: content.into() }
    }

    /// Returns the string, if it is one.
    pub(crate) fn as_text(&self) -> Option<&str> {
        if let Content::Text(text) = &self.content { Some(text) } else { None }
    }

    /// Returns the record, if it is one.
    pub(crate) fn as_record(&self) -> Option<&Record> {
        if let Content::Record(record) = &self.content { Some(record) } else { None }
    }

    /// Whether it is the zero value in Go; a pointer to zero is not.
    fn is_zero(&self) -> bool {
        match &self.content {
            Content::List(list) => list.is_empty(),
            Content::Record(record) => record.is_zero(),
            Content::Text(_) | Content::Bytes(_) | Content::Number(_) | Content::Flag(_) => false,
        }
    }

    /// Returns the key that identifies it in its list.
    pub(crate) fn key(&self) -> String {
        match &self.content {
            Content::Text(text) => text.clone(),
            Content::Record(record) => record.key(),
            Content::Bytes(_) | Content::Number(_) | Content::Flag(_) | Content::List(_) => String::new(),
        }
    }
}

impl Record {
    /// Creates a record without values.
    pub(crate) fn new(kind: &'static Type) -> Self {
        Self { kind, fields: vec![None; kind.fields.len()] }
    }

    /// Sets a field of a generated record.
    pub(crate) fn with(mut self, name: &str, content: impl Into<Content>) -> Self {
        self.set(name, Value::new(0, content));
        self
    }

    /// Sets the line of all values that have none.
    pub(crate) fn at(mut self, line: usize) -> Self {
        for value in self.fields.iter_mut().flatten() {
            stamp(value, line);
        }
        self
    }

    fn index(&self, name: &str) -> Option<usize> {
        let index = self.kind.fields.iter().position(|field| field.name == name);
        debug_assert!(index.is_some(), "`{name}` is no field of the schema there");
        index
    }

    /// Returns the fields with their values.
    pub(crate) fn fields(&self) -> impl Iterator<Item = (&'static Field, Option<&Value>)> {
        self.kind.fields.iter().zip(self.fields.iter().map(Option::as_ref))
    }

    /// Returns the slot of the field with this index.
    pub(crate) fn slot(&mut self, index: usize) -> &mut Option<Value> {
        &mut self.fields[index]
    }

    /// Returns the value of a field.
    pub(crate) fn get(&self, name: &str) -> Option<&Value> {
        self.fields[self.index(name)?].as_ref()
    }

    /// Returns the value of a field mutably.
    pub(crate) fn get_mut(&mut self, name: &str) -> Option<&mut Value> {
        let index = self.index(name)?;
        self.fields[index].as_mut()
    }

    /// Unsets a field and returns its value.
    pub(crate) fn take(&mut self, name: &str) -> Option<Value> {
        let index = self.index(name)?;
        self.fields[index].take()
    }

    /// Sets a field.
    pub(crate) fn set(&mut self, name: &str, value: Value) {
        if let Some(index) = self.index(name) {
            self.fields[index] = Some(value);
        }
    }

    /// Returns a string that is set, even if empty.
    pub(crate) fn text(&self, name: &str) -> Option<&str> {
        self.get(name)?.as_text()
    }

    /// Returns a string that is set and not empty.
    pub(crate) fn filled(&self, name: &str) -> Option<&str> {
        self.text(name).filter(|text| !text.is_empty())
    }

    /// Returns a number that is set.
    pub(crate) fn number(&self, name: &str) -> Option<i64> {
        if let Content::Number(number) = self.get(name)?.content { Some(number) } else { None }
    }

    /// Returns a flag that is set.
    pub(crate) fn flag(&self, name: &str) -> Option<bool> {
        if let Content::Flag(flag) = self.get(name)?.content { Some(flag) } else { None }
    }

    /// Returns a list, empty if not set.
    pub(crate) fn list(&self, name: &str) -> &[Value] {
        match self.get(name).map(|value| &value.content) {
            Some(Content::List(list)) => list,
            _ => &[],
        }
    }

    /// Returns the records of a list.
    pub(crate) fn records(&self, name: &str) -> impl Iterator<Item = &Record> {
        self.list(name).iter().filter_map(Value::as_record)
    }

    /// Returns a record that is set.
    pub(crate) fn record(&self, name: &str) -> Option<&Record> {
        self.get(name)?.as_record()
    }

    /// Whether no field of Ignition is set.
    pub(crate) fn is_zero(&self) -> bool {
        self.fields().all(|(field, value)| match value {
            None => true,
            Some(_) if field.side == Side::Butane => true,
            Some(value) => match (field.nil, &value.content) {
                (Nil::Written | Nil::Empty, Content::Text(text)) => text.is_empty(),
                (Nil::Written | Nil::Empty, Content::Number(number)) => *number == 0,
                _ => value.is_zero(),
            },
        })
    }

    /// Returns the key that identifies it in its list.
    pub(crate) fn key(&self) -> String {
        match self.kind.key {
            Key::None => String::new(),
            Key::Field(name) => self.text(name).unwrap_or_default().to_owned(),
            Key::Partition => match (self.number("number").unwrap_or(0), self.text("label")) {
                (0, Some(label)) => format!("label:{label}"),
                (0, None) => String::new(),
                (number, _) => format!("number:{number}"),
            },
        }
    }

    /// Calls `change` on this record and every nested one.
    pub(crate) fn each(&mut self, change: &mut impl FnMut(&mut Record)) {
        change(self);
        for value in self.fields.iter_mut().flatten() {
            each_value(value, change);
        }
    }
}

fn each_value(value: &mut Value, change: &mut impl FnMut(&mut Record)) {
    match &mut value.content {
        Content::Record(record) => record.each(change),
        Content::List(list) => list.iter_mut().for_each(|item| each_value(item, change)),
        Content::Text(_) | Content::Bytes(_) | Content::Number(_) | Content::Flag(_) => {}
    }
}

fn stamp(value: &mut Value, line: usize) {
    if value.line == 0 {
        value.line = line;
    }
    match &mut value.content {
        Content::Record(record) => record.fields.iter_mut().flatten().for_each(|value| stamp(value, line)),
        Content::List(list) => list.iter_mut().for_each(|item| stamp(item, line)),
        Content::Text(_) | Content::Bytes(_) | Content::Number(_) | Content::Flag(_) => {}
    }
}

/// Merges `child` into `parent`, as Ignition does.
///
/// Values of the child take precedence, lists are joined by the keys of their
/// items, and the parent's items come first.
pub(crate) fn merge(parent: Record, mut child: Record) -> Record {
    let mut merged = Record::new(parent.kind);
    let together: Vec<String> = nodes(&child).collect();
    for (index, (field, old)) in parent.kind.fields.iter().zip(parent.fields).enumerate() {
        let new = child.fields[index].take();
        merged.fields[index] = match (old, new) {
            (None, new) => new,
            (old, None) if field.kind.is_list() => join(field, old, Value::new(0, Vec::new()), &together),
            (old, None) => old,
            (Some(old), Some(new)) => merge_values(field, old, new, &together),
        };
    }
    merged
}

/// Returns the keys of lists that must not share items.
fn nodes(record: &Record) -> impl Iterator<Item = String> {
    let lists = record.fields().filter(|(field, _)| field.repeats == Repeats::RefusedTogether);
    lists.flat_map(|(field, _)| record.list(field.name).iter().map(Value::key))
}

fn merge_values(field: &Field, old: Value, new: Value, together: &[String]) -> Option<Value> {
    match (old, new) {
        (old, new) if field.kind.is_list() => join(field, Some(old), new, together),
        (old, new) if new.is_zero() => Some(old),
        (Value { line, content: Content::Record(parent) }, Value { content: Content::Record(child), .. }) => {
            Some(Value::new(line, merge(parent, child)))
        }
        (_, new) => Some(new),
    }
}

fn join(field: &Field, old: Option<Value>, new: Value, together: &[String]) -> Option<Value> {
    let line = old.as_ref().map_or(new.line, |old| if new.line == 0 { old.line } else { new.line });
    let (Some(Value { content: Content::List(parents), .. }), Content::List(mut children)) =
        (old, new.content)
    else {
        return None;
    };
    if field.repeats == Repeats::Allowed {
        let joined: Vec<Value> = parents.into_iter().chain(children).collect();
        return Some(Value::new(line, joined));
    }
    let mut joined = Vec::new();
    for parent in parents {
        let key = parent.key();
        // Among children with one key the last counts, as in a Go map.
        let same = children.iter().rposition(|child| child.key() == key);
        match same {
            Some(index) => {
                let child = children[index].clone();
                children.retain(|child| child.key() != key);
                joined.push(match (parent, child) {
                    (
                        Value { content: Content::Record(parent), .. },
                        Value { line, content: Content::Record(child) },
                    ) => Value::new(line, merge(parent, child)),
                    (_, child) => child,
                });
            }
            // A path that the child uses for something else.
            None if field.repeats == Repeats::RefusedTogether && together.contains(&key) => {}
            None => joined.push(parent),
        }
    }
    joined.append(&mut children);
    Some(Value::new(line, joined))
}
