//! Random labs.

use proptest::prelude::*;
use serde_json::{Map, Value, json};

use super::schema::{choices, follow};

/// Few names, so that references often match.
const NAMES: [&str; 8] = ["a", "lan", "p", "up", "boot", "worker", "worker-1", "worker-2"];

/// Texts that are valid for some key.
const TEXTS: &[&str] = &[
    "",
    " ",
    "x",
    "os",
    "disk",
    "network",
    "nic.lan",
    "disk.root",
    "nvram",
    "server",
    "off",
    "proxy",
    "none",
    "host",
    "10.0.0.1",
    "10.0.0.5",
    "10.0.0.255",
    "10.0.1.1",
    "255.255.255.255",
    "0.0.0.0",
    "::1",
    "pool",
    "10.0.0.1/24",
    "10.0.1.1/30",
    "10.0.0.1/8",
    "0.0.0.0/0",
    "52:54:00:00:00:01",
    "52:54:00:00:00:02",
    "ff:ff:ff:ff:ff:ff",
    "512MiB",
    "1GiB",
    "0B",
    "17179869183GiB",
    "10s",
    "0s",
    "30d",
    "1h30m",
    "image:tiny/kernel",
    "image:tiny/initrd",
    "image:debian/disk",
    "image:",
    "image:tiny",
    "files/vmlinuz",
    "../x",
    "/",
    "a:22",
    "worker-1:80",
    ":",
    "^login:",
    "(",
    "\\w+",
    "lab",
    "a.b.c",
    "6e4f0d2c-8f4d-5a0e-9b1c-0123456789ab",
    "S1",
    "true",
    "{{ssh-key}}",
    "${net0/mac}",
    "ä€😀",
    "\u{0}",
    "\u{1b}[31m",
    "a,b=c",
    "%s\n",
];

const NUMBERS: [i64; 14] = [0, 1, 2, 3, 22, 80, 250, 1280, 1500, 65535, 65536, -1, i64::MAX, i64::MIN];

/// Returns a strategy for dice rolls.
pub(crate) fn dice() -> impl Strategy<Value = Vec<u16>> {
    prop::collection::vec(any::<u16>(), 0..400)
}

/// Predetermined dice rolls; after the last one it returns zero, which selects the simplest choice.
pub(crate) struct Dice(std::vec::IntoIter<u16>);

impl Dice {
    pub(crate) fn new(rolls: Vec<u16>) -> Self {
        Self(rolls.into_iter())
    }

    /// Rolls a number below `sides`.
    pub(crate) fn roll(&mut self, sides: usize) -> usize {
        usize::from(self.0.next().unwrap_or(0)) % sides.max(1)
    }

    /// Returns true once in `times` on average.
    fn once_in(&mut self, times: usize) -> bool {
        self.roll(times) == times - 1
    }

    pub(crate) fn pick<'a, T>(&mut self, from: &'a [T]) -> &'a T {
        &from[self.roll(from.len())]
    }
}

/// Generates a lab.
pub(crate) fn lab(schema: &Value, dice: &mut Dice) -> String {
    let mut lab = object(schema, schema, dice, 4);
    lab.entry("dryrack").or_insert(json!(1));
    file(&lab)
}

/// Generates an overlay.
pub(crate) fn overlay(schema: &Value, dice: &mut Dice) -> String {
    file(&object(schema, schema, dice, 8))
}

/// Generates an argument of `--set`.
pub(crate) fn set(schema: &Value, dice: &mut Dice) -> String {
    let mut at = Value::Object(object(schema, schema, dice, 3));
    let mut path = Vec::new();
    while let Value::Object(table) = &at {
        let Some((key, value)) = table.iter().nth(dice.roll(table.len())) else { break };
        path.push(key_of(key));
        at = value.clone();
        if dice.once_in(6) {
            break;
        }
    }
    format!("{}={}", path.join("."), inline(&at))
}

fn value(root: &Value, schema: &Value, key: &str, dice: &mut Dice) -> Value {
    if dice.once_in(40) {
        return anything(dice, 3);
    }
    let schema = follow(root, schema);
    let choices = choices(schema);
    let schema = follow(root, choices[dice.roll(choices.len())]);
    if let Some(word) = schema.get("const") {
        return word.clone();
    }
    match schema["type"].as_str() {
        Some("object") => Value::Object(object(root, schema, dice, 3)),
        Some("array") => (0..dice.roll(4)).map(|_| value(root, &schema["items"], key, dice)).collect(),
        Some("integer") => match schema["default"].as_i64().or(schema["minimum"].as_i64()) {
            Some(number) if !dice.once_in(4) => number.into(),
            _ => (*dice.pick(&NUMBERS)).into(),
        },
        Some("boolean") => dice.once_in(2).into(),
        _ => text(schema, key, dice).into(),
    }
}

fn text(schema: &Value, key: &str, dice: &mut Dice) -> String {
    let fitting: &[&str] = match key {
        "kernel" | "initrd" | "source" | "file" => {
            &["image:tiny/kernel", "image:tiny/initrd", "image:debian/disk", "files/vmlinuz"]
        }
        "network" | "profile" | "after" | "nodes" | "name" => &NAMES,
        "boot" => &["disk", "network", "disk.boot", "nic.lan"],
        "user" | "users" => &["root", "debian"],
        "path" => &["/", "/health"],
        "console" | "body" | "output" => &["login:", "^x$"],
        _ => &[],
    };
    let examples: Vec<_> =
        schema["examples"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    match (fitting, examples.as_slice()) {
        _ if dice.once_in(8) => *dice.pick(TEXTS),
        ([], []) => *dice.pick(TEXTS),
        ([], examples) => *dice.pick(examples),
        (fitting, _) => *dice.pick(fitting),
    }
    .to_owned()
}

/// Generates a table with the required keys and one in `sparse` of the others.
fn object(root: &Value, schema: &Value, dice: &mut Dice, sparse: usize) -> Map<String, Value> {
    let mut table = Map::new();
    let required = schema["required"].as_array().cloned().unwrap_or_default();
    for (key, inner) in schema["properties"].as_object().into_iter().flatten() {
        let wanted = match required.contains(&json!(key)) {
            true => !dice.once_in(30),
            false => dice.once_in(sparse),
        };
        if wanted {
            table.insert(key.clone(), value(root, inner, key, dice));
        }
    }
    if schema["additionalProperties"].is_object() {
        for _ in 0..dice.roll(4) {
            let name = if dice.once_in(30) { dice.pick(TEXTS) } else { dice.pick(&NAMES) };
            table.insert((*name).to_owned(), value(root, &schema["additionalProperties"], name, dice));
        }
    }
    if dice.once_in(40) {
        table.insert((*dice.pick(TEXTS)).to_owned(), anything(dice, 3));
    }
    table
}

fn anything(dice: &mut Dice, depth: usize) -> Value {
    match dice.roll(if depth == 0 { 4 } else { 6 }) {
        0 => (*dice.pick(TEXTS)).into(),
        1 => (*dice.pick(&NUMBERS)).into(),
        2 => dice.once_in(2).into(),
        3 => 1.5.into(),
        4 => (0..dice.roll(3)).map(|_| anything(dice, depth - 1)).collect(),
        _ => {
            let entry = |dice: &mut Dice| ((*dice.pick(&NAMES)).to_owned(), anything(dice, depth - 1));
            Value::Object((0..dice.roll(3)).map(|_| entry(dice)).collect())
        }
    }
}

fn file(table: &Map<String, Value>) -> String {
    table.iter().map(|(key, value)| format!("{} = {}\n", key_of(key), inline(value))).collect()
}

/// Formats a value as one line of TOML with JSON strings.
fn inline(value: &Value) -> String {
    match value {
        Value::Object(table) => {
            let entries: Vec<_> =
                table.iter().map(|(key, value)| format!("{} = {}", key_of(key), inline(value))).collect();
            format!("{{ {} }}", entries.join(", "))
        }
        Value::Array(items) => format!("[{}]", items.iter().map(inline).collect::<Vec<_>>().join(", ")),
        other => other.to_string(),
    }
}

fn key_of(key: &str) -> String {
    Value::from(key).to_string()
}

/// Corrupts a text in a few positions.
pub(crate) fn mutated(text: &[u8], dice: &mut Dice) -> Vec<u8> {
    let mut bytes = text.to_vec();
    for _ in 0..=dice.roll(5) {
        let at = (dice.roll(usize::from(u16::MAX)) * 7 + dice.roll(7)) % (bytes.len() + 1);
        let end = (at + 1 + dice.roll(40)).min(bytes.len());
        let from = at.min(end);
        match dice.roll(8) {
            0 => drop(bytes.drain(from..end)),
            1 => bytes.truncate(at),
            2 => {
                let copy = bytes[from..end].to_vec();
                let to = dice.roll(bytes.len() + 1);
                drop(bytes.splice(to..to, copy));
            }
            3 => {
                let broken = *dice.pick(&[
                    b"\0".as_slice(),
                    b"\xff",
                    b"\r",
                    b"\xef\xbb\xbf",
                    b"\"",
                    b"[",
                    b"}",
                    b"=",
                    b"\n",
                    b"'''",
                ]);
                drop(bytes.splice(at..at, broken.iter().copied()));
            }
            4 => {
                let other = format!("\"{}\"", dice.pick(TEXTS));
                replace_value(&mut bytes, at, &other);
            }
            5 => {
                let other = dice.pick(&NUMBERS).to_string();
                replace_value(&mut bytes, at, &other);
            }
            6 => {
                // Move a line.
                let start = bytes[..at].iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
                let end = bytes[start..]
                    .iter()
                    .position(|byte| *byte == b'\n')
                    .map_or(bytes.len(), |at| start + at + 1);
                let line: Vec<u8> = bytes.drain(start..end).collect();
                let to = bytes.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
                drop(bytes.splice(to..to, line));
            }
            _ => {
                if let Some(byte) = bytes.get_mut(at) {
                    *byte ^= 1 << dice.roll(8);
                }
            }
        }
    }
    bytes
}

/// Replaces the value after the next equals sign.
fn replace_value(bytes: &mut Vec<u8>, at: usize, value: &str) {
    let Some(equals) = bytes[at..].iter().position(|byte| *byte == b'=') else { return };
    let start = at + equals + 1;
    let end = bytes[start..].iter().position(|byte| *byte == b'\n').map_or(bytes.len(), |at| start + at);
    drop(bytes.splice(start..end, format!(" {value}").into_bytes()));
}
