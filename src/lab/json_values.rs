//! Values that a JSON document must have, each at a JSON Pointer or a JSONPath.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use serde_json::Value;
use serde_json_path::JsonPath;

/// Where in a JSON document a value is: a JSON Pointer (RFC 6901), or a JSONPath (RFC 9535) if it begins with `$`.
#[derive(Clone)]
pub struct JsonLocation {
    text: String,
    /// `None` for a JSON Pointer, which needs no preparation.
    path: Option<JsonPath>,
}

/// Why a text is no location in a JSON document.
#[derive(Debug, thiserror::Error)]
pub enum JsonLocationError {
    /// It begins neither with `$` nor with a slash.
    #[error("`{0}` is neither a JSON Pointer nor a JSONPath")]
    Neither(String),
    /// It begins with `$`, but has no valid syntax.
    #[error("`{text}` is not a JSONPath: {source}")]
    Path {
        /// The text.
        text: String,
        /// What is wrong, and where.
        source: serde_json_path::ParseError,
    },
}

impl JsonLocation {
    /// Reads a location.
    pub fn new(text: &str) -> Result<Self, JsonLocationError> {
        let path = match text.chars().next() {
            Some('$') => {
                let parsed = JsonPath::parse(text);
                Some(parsed.map_err(|source| JsonLocationError::Path { text: text.to_owned(), source })?)
            }
            Some('/') | None => None,
            Some(_) => return Err(JsonLocationError::Neither(text.to_owned())),
        };
        Ok(Self { text: text.to_owned(), path })
    }

    /// Returns the values there, each with its own location.
    fn values<'a>(&self, of: &'a Value) -> Vec<(String, &'a Value)> {
        match &self.path {
            None => of.pointer(&self.text).map(|value| (self.text.clone(), value)).into_iter().collect(),
            Some(path) => {
                let nodes = path.query_located(of);
                nodes.iter().map(|node| (node.location().to_string(), node.node())).collect()
            }
        }
    }
}

impl fmt::Debug for JsonLocation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.text, f)
    }
}

impl fmt::Display for JsonLocation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl PartialEq for JsonLocation {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl Eq for JsonLocation {}

impl PartialOrd for JsonLocation {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for JsonLocation {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.text.cmp(&other.text)
    }
}

impl Serialize for JsonLocation {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(&self.text)
    }
}

impl<'de> Deserialize<'de> for JsonLocation {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        Self::new(&String::deserialize(from)?).map_err(de::Error::custom)
    }
}

/// The values that a JSON document must have.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct JsonValues(pub BTreeMap<JsonLocation, Value>);

impl JsonValues {
    /// Tells whether nothing is expected, so that the document need not be JSON.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Returns how a document differs from what is expected.
    ///
    /// A JSONPath may find several values: each of them must be the expected one, and there must be at least one, so
    /// that an empty list meets nothing.
    pub fn difference(&self, document: &[u8]) -> Option<String> {
        if self.is_empty() {
            return None;
        }
        let document: Value = match serde_json::from_slice(document) {
            Ok(document) => document,
            Err(error) => return Some(format!("is not JSON: {error}")),
        };
        self.0.iter().find_map(|(location, wanted)| {
            let values = location.values(&document);
            if values.is_empty() {
                return Some(format!("has no {location}"));
            }
            let (at, is) = values.into_iter().find(|(_, is)| !same(is, wanted))?;
            Some(format!("has {is} at {at}, not {wanted}"))
        })
    }
}

impl fmt::Display for JsonValues {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|(location, value)| write!(f, ", {location} = {value}"))
    }
}

/// Tells whether two values are equal. Numbers are compared by value: `1` and `1.0` are one number in JSON.
fn same(is: &Value, wanted: &Value) -> bool {
    match (is, wanted) {
        // Not two integers: large ones differ that are one float.
        (Value::Number(one), Value::Number(other)) if one.is_f64() || other.is_f64() => {
            one.as_f64() == other.as_f64()
        }
        _ => is == wanted,
    }
}

#[cfg(test)]
mod tests {
    use insta::assert_snapshot;

    use super::*;

    fn check(location: &str, wanted: &str, document: &str) -> String {
        let location = match JsonLocation::new(location) {
            Ok(location) => location,
            Err(error) => return error.to_string(),
        };
        let values = JsonValues([(location, serde_json::from_str(wanted).unwrap())].into());
        values.difference(document.as_bytes()).unwrap_or_else(|| "met".to_owned())
    }

    #[test]
    fn every_value_that_a_path_finds_must_be_the_expected_one() {
        let health = r#"{"members": [{"name": "a", "health": true}, {"name": "b", "health": false}]}"#;
        assert_snapshot!(check("$.members[*].health", "true", health), @"has false at $['members'][1]['health'], not true");
        assert_snapshot!(check("$.members[?@.name == 'a'].health", "true", health), @"met");
        assert_snapshot!(check("$.members[?@.name == 'c'].health", "true", health), @"has no $.members[?@.name == 'c'].health");
        assert_snapshot!(check("$..health", "true", r#"{"health": true, "leader": {"health": true}}"#), @"met");
        assert_snapshot!(check("$.members[*].health", "true", r#"{"members": []}"#), @"has no $.members[*].health");
        assert_snapshot!(check("/members/0/health", "true", health), @"met");
        assert_snapshot!(check("/members/1/health", "true", health), @"has false at /members/1/health, not true");
        assert_snapshot!(check("/members/2/health", "true", health), @"has no /members/2/health");
        assert_snapshot!(check("$.n", "1.0", r#"{"n": 1}"#), @"met");
        assert_snapshot!(check("$.health", "true", "ok"), @"is not JSON: expected value at line 1 column 1");
    }

    #[test]
    fn a_wrong_location_is_refused_when_it_is_read() {
        assert_snapshot!(check("$.members[", "true", "{}"), @"`$.members[` is not a JSONPath: at position 9, parser error");
        assert_snapshot!(check("members", "true", "{}"), @"`members` is neither a JSON Pointer nor a JSONPath");
        assert!(serde_json::from_str::<JsonValues>(r#"{"members": true}"#).is_err());
        let values: JsonValues = serde_json::from_str(r#"{"$.a": 1, "/a": 1}"#).unwrap();
        assert_eq!(serde_json::to_string(&values).unwrap(), r#"{"$.a":1,"/a":1}"#);
    }
}
