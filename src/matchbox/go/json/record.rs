//! Decodes objects into structs, as Go does.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use crate::matchbox::go::json::JsonError;

/// Returns the member of an object that Go would decode into a field of that name.
///
/// Keys are case-insensitive. The last one that is not null counts.
pub fn member<'a>(object: &'a Value, name: &str) -> Option<&'a Value> {
    object.as_object().and_then(|members| members_named(members, name).last())
}

/// Returns the keys of an object that Go would decode into none of these fields.
pub fn unknown(object: &Value, names: &[&str]) -> Vec<String> {
    let members = object.as_object().into_iter().flatten();
    let unknown = members.filter(|(key, _)| !names.iter().any(|name| same_name(key, name)));
    unknown.map(|(key, _)| key.clone()).collect()
}

fn members_named<'a>(members: &'a Map<String, Value>, name: &str) -> impl Iterator<Item = &'a Value> {
    members
        .iter()
        .filter(move |(key, value)| same_name(key, name) && !value.is_null())
        .map(|(_, value)| value)
}

/// Compares a key and a name case-insensitively.
fn same_name(key: &str, name: &str) -> bool {
    // The two characters outside of ASCII that fold to ASCII letters.
    let fold = |char| match char {
        'ſ' => 's',
        '\u{212a}' => 'k',
        other => other.to_ascii_lowercase(),
    };
    key == name || key.chars().map(fold).eq(name.chars().map(fold))
}

/// An object that is decoded into a Go struct, with Go's errors for members of the wrong type.
#[derive(Debug, Clone)]
pub struct Record<'a> {
    /// The name of the struct in errors.
    name: &'static str,
    /// The path of field names to it, each followed by a dot.
    path: String,
    members: Option<&'a Map<String, Value>>,
}

impl<'a> Record<'a> {
    /// Wraps the value for a struct with a name.
    ///
    /// Null counts as an empty object.
    ///
    /// # Errors
    ///
    /// The value is not an object. `package` and `name` are Go's name of the type.
    pub fn new(package: &str, name: &'static str, value: &'a Value) -> Result<Self, JsonError> {
        match value {
            Value::Object(members) => Ok(Self { name, path: String::new(), members: Some(members) }),
            Value::Null => Ok(Self { name, path: String::new(), members: None }),
            other => Err(error(format!(
                "json: cannot unmarshal {} into Go value of type {package}.{name}",
                kind(other)
            ))),
        }
    }

    /// Returns a `string`, empty if absent.
    ///
    /// # Errors
    ///
    /// It has another type.
    pub fn string(&self, field: &str) -> Result<String, JsonError> {
        let mut string = String::new();
        for value in self.values(field) {
            string = self.text(value, field)?;
        }
        Ok(string)
    }

    /// Returns a `map[string]string`, empty if absent.
    ///
    /// # Errors
    ///
    /// It, or one of its members, has another type.
    pub fn strings(&self, field: &str) -> Result<BTreeMap<String, String>, JsonError> {
        let mut strings = BTreeMap::new();
        for value in self.values(field) {
            let Value::Object(members) = value else {
                return Err(self.mismatch(value, field, "map[string]string"));
            };
            for (key, value) in members {
                // Null sets a key to the empty string.
                let value = if value.is_null() { String::new() } else { self.text(value, field)? };
                strings.insert(key.clone(), value);
            }
        }
        Ok(strings)
    }

    /// Returns a `[]string`, empty if absent.
    ///
    /// # Errors
    ///
    /// It, or one of its items, has another type.
    pub fn list(&self, field: &str) -> Result<Vec<String>, JsonError> {
        let mut list = Vec::new();
        for value in self.values(field) {
            let Value::Array(items) = value else { return Err(self.mismatch(value, field, "[]string")) };
            let text = |item: &Value| if item.is_null() { Ok(String::new()) } else { self.text(item, field) };
            list = items.iter().map(text).collect::<Result<_, _>>()?;
        }
        Ok(list)
    }

    /// Returns a `map[string]interface{}`; `None` if absent.
    ///
    /// # Errors
    ///
    /// It has another type.
    pub fn object(&self, field: &str) -> Result<Option<Map<String, Value>>, JsonError> {
        let mut object: Option<Map<String, Value>> = None;
        for value in self.values(field) {
            let Value::Object(members) = value else {
                return Err(self.mismatch(value, field, "map[string]interface {}"));
            };
            object.get_or_insert_default().extend(members.clone());
        }
        Ok(object)
    }

    /// Returns a pointer to another struct; `None` if absent.
    ///
    /// # Errors
    ///
    /// It has another type.
    pub fn record(&self, field: &str, package: &str, name: &'static str) -> Result<Option<Self>, JsonError> {
        let mut record = None;
        for value in self.values(field) {
            let Value::Object(members) = value else {
                return Err(self.mismatch(value, field, &format!("{package}.{name}")));
            };
            record = Some(Self { name, path: format!("{}{field}.", self.path), members: Some(members) });
        }
        Ok(record)
    }

    fn values(&self, field: &str) -> impl Iterator<Item = &'a Value> {
        self.members.into_iter().flat_map(move |members| members_named(members, field))
    }

    fn text(&self, value: &Value, field: &str) -> Result<String, JsonError> {
        match value {
            Value::String(text) => Ok(text.clone()),
            other => Err(self.mismatch(other, field, "string")),
        }
    }

    fn mismatch(&self, value: &Value, field: &str, wanted: &str) -> JsonError {
        error(format!(
            "json: cannot unmarshal {} into Go struct field {}.{}{field} of type {wanted}",
            kind(value),
            self.name,
            self.path
        ))
    }
}

fn error(message: String) -> JsonError {
    JsonError { line: 1, message }
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "bool",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}
