//! Decodes a tree to a config: names, types and Go's behaviour for wrong types.

use super::node::{Node, What};
use super::report::{JsonPath, Language, Report};
use super::schema::{Field, Kind, Nil, Side, Type};
use super::value::{Content, Record, Value};

/// Decodes a record of a minor version. Wrong types are reported; unknown keys are not, as Go ignores them.
pub(crate) fn record(node: &Node, kind: &'static Type, minor: u8, report: &mut Report) -> Record {
    let mut record = Record::new(kind);
    let decoder = Decoder { minor };
    decoder.record(node, &mut record, &JsonPath::root(), report);
    record
}

struct Decoder {
    minor: u8,
}

impl Decoder {
    fn record(&self, node: &Node, record: &mut Record, path: &JsonPath<'_>, report: &mut Report) {
        let kind = record.kind;
        match &node.what {
            // Null counts as absent.
            What::Null => {}
            What::Map(pairs) => {
                for (index, (key, node)) in pairs.iter().enumerate() {
                    if report.language == Language::Yaml
                        && pairs[..index].iter().any(|(other, _)| other == key)
                    {
                        report.add(node.line, path, format!("`{key}` is a duplicate key"));
                    }
                    let Some((index, field)) = self.field(kind, key, report.language) else { continue };
                    self.value(node, field, record.slot(index), &path.field(field), report);
                }
            }
            other => unfit(node.line, other, "an object", path, report),
        }
        for (index, field) in kind.fields.iter().enumerate() {
            // In Go these are always present.
            if field.nil_in(self.minor) == Nil::Written
                && field.since <= self.minor
                && matches!(field.kind, Kind::Text)
                && record.slot(index).is_none()
            {
                *record.slot(index) = Some(Value::new(node.line, ""));
            }
        }
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
        &self,
        node: &Node,
        field: &'static Field,
        slot: &mut Option<Value>,
        path: &JsonPath<'_>,
        report: &mut Report,
    ) {
        if let What::Null = node.what {
            // Go sets pointers to nil and leaves other values unchanged.
            let pointer = field.nil_in(self.minor) == Nil::Omitted || field.nil_in(self.minor) == Nil::Null;
            if pointer && !matches!(field.kind, Kind::Record(_)) {
                *slot = None;
            }
            return;
        }
        // A repeated record is decoded into the existing one.
        let before = match slot.take() {
            Some(Value { content: Content::Record(record), .. }) => Some(record),
            _ => None,
        };
        *slot = self
            .content(node, &field.kind, before, path, report)
            .map(|content| Value::new(node.line, content));
    }

    fn content(
        &self,
        node: &Node,
        kind: &Kind,
        before: Option<Record>,
        path: &JsonPath<'_>,
        report: &mut Report,
    ) -> Option<Content> {
        match (kind, &node.what) {
            (Kind::Record(kind), _) => {
                let mut record = before.unwrap_or_else(|| Record::new(kind));
                self.record(node, &mut record, path, report);
                Some(Content::Record(record))
            }
            (Kind::Texts, What::List(nodes)) => Some(self.list(nodes, &Kind::Text, path, report)),
            (Kind::Records(kind), What::List(nodes)) => {
                Some(self.list(nodes, &Kind::Record(kind), path, report))
            }
            (Kind::Texts | Kind::Records(_), other) => {
                unfit(node.line, other, "a list", path, report);
                None
            }
            (Kind::Text, What::Text(text) | What::Plain(text)) => Some(Content::from(text.as_str())),
            (Kind::Text, other) => {
                unfit(node.line, other, "a string", path, report);
                None
            }
            (Kind::Number, What::Number(number)) if let Ok(number) = number.parse() => {
                Some(Content::Number(number))
            }
            (Kind::Number, What::Plain(plain)) if let Some(number) = yaml_number(plain) => {
                Some(Content::Number(number))
            }
            (Kind::Number, other) => {
                unfit(node.line, other, "a whole number", path, report);
                None
            }
            (Kind::Flag, What::Flag(flag)) => Some(Content::Flag(*flag)),
            (Kind::Flag, What::Plain(plain)) if let Some(flag) = yaml_flag(plain) => {
                Some(Content::Flag(flag))
            }
            // For booleans, the words of YAML 1.1 count, quoted or not.
            (Kind::Flag, What::Text(text))
                if report.language == Language::Yaml
                    && let Some(flag) = old_flag(text) =>
            {
                Some(Content::Flag(flag))
            }
            (Kind::Flag, other) => {
                unfit(node.line, other, "a boolean", path, report);
                None
            }
        }
    }
}

impl Decoder {
    fn list(&self, nodes: &[Node], kind: &Kind, path: &JsonPath<'_>, report: &mut Report) -> Content {
        let items = nodes.iter().enumerate().filter_map(|(index, node)| {
            let path = path.item(index);
            let content = match (&node.what, kind) {
                // A null in a list is the zero value in JSON, and nothing in YAML.
                (What::Null, _) if report.language == Language::Yaml => None,
                (What::Null, Kind::Text) => Some(Content::from("")),
                _ => self.content(node, kind, None, &path, report),
            };
            content.map(|content| Value::new(node.line, content))
        });
        Content::List(items.collect())
    }
}

fn unfit(line: usize, what: &What, wanted: &str, path: &JsonPath<'_>, report: &mut Report) {
    let is = match what {
        What::Plain(text) | What::Number(text) => format!("`{text}`"),
        other => other.called().to_owned(),
    };
    report.add(line, path, format!("must be {wanted}, not {is}"));
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

/// Parses an integer of YAML: decimal, `0644`, `0o644`, `0x1a4`, `0b1`, with underscores; and the integer part of a
/// float.
fn yaml_number(plain: &str) -> Option<i64> {
    let plain = plain.replace('_', "");
    let (sign, digits) = match plain.as_bytes().first()? {
        b'-' => (-1, &plain[1..]),
        b'+' => (1, &plain[1..]),
        _ => (1, plain.as_str()),
    };
    if !digits.starts_with(|first: char| first.is_ascii_digit() || first == '.') {
        return None;
    }
    let based = |prefix: [&str; 2], radix| {
        let digits = digits.strip_prefix(prefix[0]).or_else(|| digits.strip_prefix(prefix[1]))?;
        if digits.starts_with(['-', '+']) { None } else { i128::from_str_radix(digits, radix).ok() }
    };
    let whole = based(["0x", "0X"], 16).or_else(|| based(["0o", "0O"], 8)).or_else(|| based(["0b", "0B"], 2));
    let whole = whole.or_else(|| match digits.strip_prefix('0') {
        Some(octal) if !octal.is_empty() => i128::from_str_radix(octal, 8).ok(),
        _ => digits.parse().ok(),
    });
    if let Some(whole) = whole {
        return i64::try_from(sign * whole).ok();
    }
    let float = digits.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'.' | b'e' | b'E' | b'+' | b'-'));
    let float: f64 = digits.parse().ok().filter(|_| float)?;
    // Far below the precision limit of an f64; no number in a config is that large.
    if float < 9e15 { i64::try_from(sign * float as i128).ok() } else { None }
}

fn yaml_flag(plain: &str) -> Option<bool> {
    match plain {
        "true" | "True" | "TRUE" => Some(true),
        "false" | "False" | "FALSE" => Some(false),
        other => old_flag(other),
    }
}

fn old_flag(text: &str) -> Option<bool> {
    match text {
        "y" | "Y" | "yes" | "on" => Some(true),
        "n" | "N" | "no" | "off" => Some(false),
        _ => None,
    }
}
