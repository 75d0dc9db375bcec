//! Writes a config in a version of Ignition.

use super::schema::{Field, Kind, Nil, Side, Type};
use super::value::{Content, Record, Value};
use crate::matchbox::go::json::quote;

/// Returns the JSON of a config: compact, in the order of the schema, and only fields that a minor version has.
pub(crate) fn write(config: &Record, minor: u8) -> String {
    let mut text = String::with_capacity(1024);
    record(config.kind, Some(config), minor, &mut text);
    text
}

fn record(kind: &'static Type, record: Option<&Record>, minor: u8, out: &mut String) {
    out.push('{');
    let mut first = true;
    for (index, known) in kind.fields.iter().enumerate() {
        if known.since > minor || known.side == Side::Butane {
            continue;
        }
        let value = record.and_then(|record| record.fields().nth(index)).and_then(|(_, value)| value);
        if omitted(known, value, minor) {
            continue;
        }
        if !first {
            out.push(',');
        }
        first = false;
        out.push('"');
        out.push_str(known.name);
        out.push_str("\":");
        content(&known.kind, value.map(|value| &value.content), known.nil_in(minor), minor, out);
    }
    out.push('}');
}

fn omitted(field: &Field, value: Option<&Value>, minor: u8) -> bool {
    let content = value.map(|value| &value.content);
    match (field.nil_in(minor), field.kind, content) {
        // Structs are never omitted, but pointers to them are.
        (Nil::Empty, Kind::Record(_), Some(Content::Record(record))) => record.is_zero(),
        (Nil::Empty, Kind::Record(_), _) => true,
        (_, Kind::Record(_), _) | (Nil::Written | Nil::Null, _, _) => false,
        (_, _, None) => true,
        (_, _, Some(Content::List(list))) => list.is_empty(),
        (Nil::Empty, _, Some(Content::Text(text))) => text.is_empty(),
        (Nil::Empty, _, Some(Content::Number(number))) => *number == 0,
        (_, _, Some(_)) => false,
    }
}

fn content(kind: &Kind, value: Option<&Content>, nil: Nil, minor: u8, out: &mut String) {
    match (kind, value) {
        (Kind::Record(kind), Some(Content::Record(value))) => record(kind, Some(value), minor, out),
        (Kind::Record(kind), _) => record(kind, None, minor, out),
        (_, Some(Content::List(list))) => {
            let kind = if let Kind::Records(kind) = kind { Kind::Record(kind) } else { Kind::Text };
            out.push('[');
            for (index, item) in list.iter().enumerate() {
                if index > 0 {
                    out.push(',');
                }
                content(&kind, Some(&item.content), Nil::Omitted, minor, out);
            }
            out.push(']');
        }
        (_, Some(Content::Text(text))) => out.push_str(&quote(text)),
        (_, Some(Content::Number(number))) => out.push_str(&number.to_string()),
        (_, Some(Content::Flag(flag))) => out.push_str(if *flag { "true" } else { "false" }),
        (_, _) if nil == Nil::Null => out.push_str("null"),
        (Kind::Text, _) => out.push_str("\"\""),
        (_, _) => out.push_str("null"),
    }
}
