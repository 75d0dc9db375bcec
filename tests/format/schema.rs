//! The subset of JSON Schema that the schema of the lab file uses.

use regex::Regex;
use serde_json::Value;

/// Resolves a reference within the schema.
pub(crate) fn follow<'a>(root: &'a Value, schema: &'a Value) -> &'a Value {
    match schema["$ref"].as_str() {
        Some(link) => {
            let pointer = link.strip_prefix('#').expect("a reference inside the schema");
            root.pointer(pointer).unwrap_or_else(|| panic!("{link} leads nowhere"))
        }
        None => schema,
    }
}

/// Returns the alternatives of a schema; itself if there are none.
pub(crate) fn choices(schema: &Value) -> Vec<&Value> {
    let choices = schema["anyOf"].as_array().or(schema["oneOf"].as_array());
    choices.map_or(vec![schema], |choices| choices.iter().collect())
}

/// Returns the location and reason of everything in a value that does not match.
pub(crate) fn misfits(root: &Value, value: &Value) -> Vec<String> {
    let mut found = Vec::new();
    check(root, root, value, "", &mut found);
    found
}

fn check(root: &Value, schema: &Value, value: &Value, at: &str, found: &mut Vec<String>) {
    let target = follow(root, schema);
    if !std::ptr::eq(target, schema) {
        check(root, target, value, at, found);
    }
    for (word, given) in schema.as_object().expect("a schema is an object") {
        let complaint = match word.as_str() {
            "$ref" | "$defs" | "$schema" | "title" | "description" | "default" | "examples" | "format" => {
                None
            }
            "type" => (!is_type(value, given.as_str().expect("one type"))).then(|| format!("is no {given}")),
            "const" => (value != given).then(|| format!("is not {given}")),
            "enum" => {
                (!given.as_array().expect("a list").contains(value)).then(|| format!("is none of {given}"))
            }
            "minimum" => {
                value.as_i64().filter(|n| *n < number(given)).map(|n| format!("{n} is less than {given}"))
            }
            "maximum" => {
                value.as_i64().filter(|n| *n > number(given)).map(|n| format!("{n} is more than {given}"))
            }
            "minLength" | "minItems" => {
                length(value).filter(|n| *n < number(given)).map(|_| "is too short".to_owned())
            }
            "maxLength" | "maxItems" => {
                length(value).filter(|n| *n > number(given)).map(|_| "is too long".to_owned())
            }
            "pattern" => {
                let regex = Regex::new(given.as_str().expect("a pattern")).expect("a regular expression");
                value
                    .as_str()
                    .filter(|text| !regex.is_match(text))
                    .map(|text| format!("{text:?} does not match {given}"))
            }
            "anyOf" | "oneOf" => {
                let fits = |choice: &&Value| {
                    let mut wrong = Vec::new();
                    check(root, choice, value, at, &mut wrong);
                    wrong.is_empty()
                };
                let fitting = given.as_array().expect("a list").iter().filter(fits).count();
                let good = if word == "oneOf" { fitting == 1 } else { fitting > 0 };
                (!good).then(|| format!("fits {fitting} of the choices"))
            }
            "required" => {
                let missing = given.as_array().expect("a list").iter().filter_map(Value::as_str);
                let missing: Vec<_> =
                    missing.filter(|key| value.is_object() && value.get(key).is_none()).collect();
                (!missing.is_empty()).then(|| format!("lacks {}", missing.join(", ")))
            }
            "items" => {
                for (index, item) in value.as_array().into_iter().flatten().enumerate() {
                    check(root, given, item, &format!("{at}/{index}"), found);
                }
                None
            }
            "properties" => {
                for (key, value) in value.as_object().into_iter().flatten() {
                    if let Some(schema) = given.get(key) {
                        check(root, schema, value, &format!("{at}/{key}"), found);
                    }
                }
                None
            }
            "propertyNames" => {
                for key in value.as_object().into_iter().flat_map(|table| table.keys()) {
                    check(root, given, &key.as_str().into(), &format!("{at}/{key}"), found);
                }
                None
            }
            "additionalProperties" => {
                for (key, value) in value.as_object().into_iter().flatten() {
                    match given {
                        _ if schema["properties"].get(key).is_some() => {}
                        Value::Bool(false) => found.push(format!("{at}/{key} is not known")),
                        given => check(root, given, value, &format!("{at}/{key}"), found),
                    }
                }
                None
            }
            other => panic!("`{other}` is more of JSON Schema than this knows"),
        };
        found.extend(complaint.map(|what| format!("{at} {what}")));
    }
}

fn number(value: &Value) -> i64 {
    value.as_i64().expect("a whole number")
}

fn length(value: &Value) -> Option<i64> {
    let length = match value {
        Value::String(text) => text.chars().count(),
        Value::Array(items) => items.len(),
        _ => return None,
    };
    i64::try_from(length).ok()
}

fn is_type(value: &Value, kind: &str) -> bool {
    match kind {
        "object" => value.is_object(),
        "array" => value.is_array(),
        "string" => value.is_string(),
        "integer" => value.is_i64() || value.is_u64(),
        "boolean" => value.is_boolean(),
        other => panic!("`{other}` is no type of the lab file"),
    }
}

/// Returns the path of every key, with a name for each placeholder.
pub(crate) fn paths(root: &Value) -> Vec<String> {
    let mut paths = Vec::new();
    walk(root, root, "", &mut |path, _| paths.push(path.to_owned()));
    paths
}

/// Returns the path of every key without a description.
pub(crate) fn undescribed(root: &Value) -> Vec<String> {
    let mut paths = Vec::new();
    walk(root, root, "", &mut |path, schema| {
        let described = |schema: &Value| schema["description"].as_str().is_some_and(|text| text.len() > 5);
        if !described(schema) && !described(follow(root, schema)) {
            paths.push(path.to_owned());
        }
    });
    paths
}

fn walk(root: &Value, schema: &Value, path: &str, seen: &mut impl FnMut(&str, &Value)) {
    let schema = follow(root, schema);
    let below = |key: &str| if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") };
    for choice in choices(schema) {
        let tagged = !std::ptr::eq(choice, schema);
        let choice = follow(root, choice);
        for (key, inner) in choice["properties"].as_object().into_iter().flatten() {
            // The description of a choice is at the choice.
            seen(&below(key), if tagged && choice["description"].is_string() { choice } else { inner });
            walk(root, inner, &below(key), seen);
        }
        if choice["additionalProperties"].is_object() {
            // Names in the lab with every key.
            let name = match path {
                "network" => "boot",
                "profile" => "linux",
                "node" => "big",
                "publish" => "\"2222\"",
                "expect" => "http",
                "network.boot.options" => "interface-mtu",
                "network.boot.dhcp.server.reservations" => "\"52:54:00:00:00:09\"",
                "node.big.options" => "root-path",
                _ => "data",
            };
            walk(root, &choice["additionalProperties"], &below(name), seen);
        }
    }
}
