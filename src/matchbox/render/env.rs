//! Template variables in a format for shells: `KEY=value`.

use serde_json::{Map, Value};

use super::super::go::float;

/// Writes data, sorted by key. The real server's order is random.
pub(super) fn write(data: &Value) -> String {
    let mut text = String::new();
    if let Value::Object(members) = data {
        write_below("", members, &mut text);
    }
    text
}

fn write_below(prefix: &str, members: &Map<String, Value>, text: &mut String) {
    let mut sorted: Vec<_> = members.iter().collect();
    sorted.sort_by_key(|(key, _)| *key);
    for (key, value) in sorted {
        let name = format!("{prefix}{key}");
        let value = match value {
            Value::Object(members) => {
                write_below(&format!("{name}_"), members, text);
                continue;
            }
            Value::String(value) => value.clone(),
            Value::Bool(value) => value.to_string(),
            Value::Number(value) => float::format(value.as_f64().unwrap_or_default(), 'g', None),
            // The real server omits them.
            Value::Null | Value::Array(_) => continue,
        };
        text.extend([mapped(&name, char::to_uppercase).as_str(), "=", &value, "\n"]);
    }
}

/// Maps each letter to its other case as Go does, where one letter never becomes two.
pub(super) fn mapped<I: Iterator<Item = char>>(text: &str, case: impl Fn(char) -> I) -> String {
    let one = |letter| {
        let mut mapped = case(letter);
        match (mapped.next(), mapped.next()) {
            (Some(other), None) => other,
            _ => letter,
        }
    };
    text.chars().map(one).collect()
}
