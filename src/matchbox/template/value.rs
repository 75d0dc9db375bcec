//! The values of a template, with their Go types as far as they are visible.

use std::rc::Rc;

use serde_json::{Map, Value as Json};

/// A value, and whether Go holds it in an `interface{}`, as it does for items of lists and maps.
#[derive(Debug, Clone)]
pub(super) struct Value<'a> {
    pub(super) boxed: bool,
    pub(super) thing: Thing<'a>,
}

/// A value without its `interface{}`.
#[derive(Debug, Clone)]
pub(super) enum Thing<'a> {
    /// No value, or a nil `interface{}`.
    Nil,
    Bool(bool),
    Int(i64),
    /// A `uint8`, the result of indexing a string.
    Byte(u8),
    Float(f64),
    Complex(f64, f64),
    Text(Text<'a>),
    List(&'a [Json]),
    Map(&'a Map<String, Json>),
    /// A `map[string]string`.
    Labels(&'a Map<String, Json>),
}

/// A string, possibly invalid UTF-8. Cheap to clone.
#[derive(Debug, Clone)]
pub(super) enum Text<'a> {
    Lasting(&'a [u8]),
    Made(Rc<[u8]>),
}

impl Text<'_> {
    pub(super) fn bytes(&self) -> &[u8] {
        match self {
            Self::Lasting(bytes) => bytes,
            Self::Made(bytes) => bytes,
        }
    }
}

/// The data of a rendering: the JSON, and which of its maps is a `map[string]string`.
#[derive(Debug, Clone, Copy)]
pub(super) struct Data<'a> {
    pub(super) root: &'a Json,
    labels: Option<&'a Map<String, Json>>,
}

impl<'a> Data<'a> {
    pub(super) fn new(root: &'a Json) -> Self {
        let labels = root.get("request").and_then(|request| request.get("query")).and_then(Json::as_object);
        Self { root, labels }
    }

    /// Returns a JSON value without an `interface{}`.
    pub(super) fn thing(&self, json: &'a Json) -> Thing<'a> {
        match json {
            Json::Null => Thing::Nil,
            Json::Bool(value) => Thing::Bool(*value),
            Json::Number(number) => Thing::Float(number.as_f64().unwrap_or(f64::NAN)),
            Json::String(text) => Thing::Text(Text::Lasting(text.as_bytes())),
            Json::Array(items) => Thing::List(items),
            Json::Object(map) if self.labels.is_some_and(|labels| std::ptr::eq(labels, map)) => {
                Thing::Labels(map)
            }
            Json::Object(map) => Thing::Map(map),
        }
    }

    /// Returns a JSON value as an item of a list or map.
    pub(super) fn boxed(&self, json: &'a Json) -> Value<'a> {
        Value { boxed: true, thing: self.thing(json) }
    }
}

/// The members of a map in the order in which Go prints and iterates them.
pub(super) fn sorted(map: &Map<String, Json>) -> Vec<(&String, &Json)> {
    let mut members: Vec<_> = map.iter().collect();
    members.sort_unstable_by_key(|(key, _)| *key);
    members
}

impl<'a> From<Thing<'a>> for Value<'a> {
    fn from(thing: Thing<'a>) -> Self {
        Self { boxed: false, thing }
    }
}

impl Value<'_> {
    /// No value; Go's `reflect.Value` is invalid.
    pub(super) const NONE: Self = Self { boxed: false, thing: Thing::Nil };

    /// Returns the name of its type.
    pub(super) fn type_name(&self) -> &'static str {
        if self.boxed { "interface {}" } else { self.thing.type_name() }
    }

    /// Returns the value without its `interface{}`.
    pub(super) fn unboxed(self) -> Self {
        Self { boxed: false, ..self }
    }
}

impl Thing<'_> {
    pub(super) fn is_nil(&self) -> bool {
        matches!(self, Self::Nil)
    }

    /// Returns the name of its type.
    pub(super) fn type_name(&self) -> &'static str {
        match self {
            Self::Nil => "<nil>",
            Self::Bool(_) => "bool",
            Self::Int(_) => "int",
            Self::Byte(_) => "uint8",
            Self::Float(_) => "float64",
            Self::Complex(..) => "complex128",
            Self::Text(_) => "string",
            Self::List(_) => "[]interface {}",
            Self::Map(_) => "map[string]interface {}",
            Self::Labels(_) => "map[string]string",
        }
    }

    /// Tells whether `if` takes it for true: it is neither zero nor empty.
    pub(super) fn is_true(&self) -> bool {
        match self {
            Self::Nil => false,
            Self::Bool(value) => *value,
            Self::Int(value) => *value != 0,
            Self::Byte(value) => *value != 0,
            Self::Float(value) => *value != 0.0,
            Self::Complex(real, imaginary) => *real != 0.0 || *imaginary != 0.0,
            Self::Text(text) => !text.bytes().is_empty(),
            Self::List(items) => !items.is_empty(),
            Self::Map(map) | Self::Labels(map) => !map.is_empty(),
        }
    }
}
