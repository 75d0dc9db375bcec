//! JSON as package `encoding/json` parses and writes it.

mod read;
mod record;

use serde_json::Value;

pub use read::read;
pub use record::{Record, member, unknown};

use crate::matchbox::go::float;

/// Why a text is not valid JSON, or has the wrong type; the message is Go's.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct JsonError {
    /// The line, counted from 1.
    ///
    /// It is 1 if a [`Record`] has a member of the wrong type.
    pub line: usize,
    /// Go's message.
    pub message: String,
}

/// Writes a value as `json.Marshal` does: compact, with sorted keys, HTML characters escaped.
pub fn write(value: &Value) -> String {
    let mut text = String::new();
    push(&mut text, value);
    text
}

/// Writes a JSON string as Go does.
pub fn quote(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len() + 2);
    push_quoted(&mut quoted, text);
    quoted
}

fn push(text: &mut String, value: &Value) {
    match value {
        Value::Null => text.push_str("null"),
        Value::Bool(true) => text.push_str("true"),
        Value::Bool(false) => text.push_str("false"),
        Value::Number(number) => match number.as_f64() {
            Some(value) if number.is_f64() => text.push_str(&float::json(value)),
            _ => text.push_str(&number.to_string()),
        },
        Value::String(string) => push_quoted(text, string),
        Value::Array(list) => {
            text.push('[');
            for (index, item) in list.iter().enumerate() {
                if index > 0 {
                    text.push(',');
                }
                push(text, item);
            }
            text.push(']');
        }
        Value::Object(map) => {
            let mut members: Vec<(&String, &Value)> = map.iter().collect();
            members.sort_unstable_by_key(|(key, _)| *key);
            text.push('{');
            for (index, (key, value)) in members.into_iter().enumerate() {
                if index > 0 {
                    text.push(',');
                }
                push_quoted(text, key);
                text.push(':');
                push(text, value);
            }
            text.push('}');
        }
    }
}

fn push_quoted(quoted: &mut String, text: &str) {
    let hex = |value: u32| char::from_digit(value & 15, 16).expect("four bits are a digit");
    quoted.push('"');
    for char in text.chars() {
        match char {
            '"' | '\\' => quoted.extend(['\\', char]),
            '\x08' => quoted.push_str("\\b"),
            '\x0c' => quoted.push_str("\\f"),
            '\n' => quoted.push_str("\\n"),
            '\r' => quoted.push_str("\\r"),
            '\t' => quoted.push_str("\\t"),
            '\0'..='\x1f' | '<' | '>' | '&' | '\u{2028}' | '\u{2029}' => {
                let code = u32::from(char);
                quoted.extend(['\\', 'u', hex(code >> 12), hex(code >> 8), hex(code >> 4), hex(code)]);
            }
            other => quoted.push(other),
        }
    }
    quoted.push('"');
}
