//! Every key of the lab file with type, default, example and description: the schema in the form of a reference.

use std::collections::BTreeSet;

use serde_json::Value;

use super::schema;

/// A lab that has every key, as far as they do not exclude each other.
pub const EVERYTHING: &str = include_str!("everything.toml");
/// Examples of the others.
const EXAMPLES: &str = include_str!("examples.toml");

/// The placeholder of a name in a path.
pub const NAME: &str = "NAME";

/// A key of the lab file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Key {
    /// Its path, with a placeholder for each name: `node.NAME.memory`.
    pub path: String,
    /// Its type, in words.
    pub kind: String,
    /// Its default in words; `None` if it has none.
    pub default: Option<String>,
    /// Whether it must be given wherever its table is.
    pub required: bool,
    /// A line of a lab file with it.
    pub example: Option<String>,
    /// What it is.
    pub about: String,
    /// The words that it can be, with their meaning.
    pub choices: Vec<(String, String)>,
}

impl Key {
    /// Tells whether this is a key of a table, not one of a table in it: `node.NAME` has `node.NAME.memory`.
    pub fn is_in(&self, table: &str) -> bool {
        self.path.strip_prefix(table).and_then(|rest| rest.strip_prefix('.')).is_some_and(|key| {
            let key = key.strip_prefix("NAME.").unwrap_or(key);
            key != NAME && !key.contains('.')
        })
    }
}

/// Returns every key, in the order of the schema.
pub fn keys() -> Vec<Key> {
    let root = schema();
    let examples = [EVERYTHING, EXAMPLES].map(|text| toml::from_str(text).expect("TOML, as tests ensure"));
    let mut keys = Vec::new();
    Walk { root: &root, examples: &examples, keys: &mut keys }.table(&root, &[]);
    let mut known = BTreeSet::new();
    // A choice may have a key that another choice has, too.
    keys.retain(|key| known.insert(key.path.clone()));
    keys
}

/// Finds the key that a user means: names may be left out or be real ones, as in `node.disk` or `node.db.memory`.
pub fn find<'a>(keys: &'a [Key], wanted: &str) -> Option<&'a Key> {
    let wanted: Vec<&str> =
        wanted.split('.').map(|part| if part == "never" { "that" } else { part }).collect();
    let is_literal = |key: &&Key| key.path == wanted.join(".");
    let fitting = keys.iter().filter_map(|key| {
        let path: Vec<&str> = key.path.split('.').collect();
        Some((literals(&path, &wanted)?, std::cmp::Reverse(path.len()), key))
    });
    let exact = keys.iter().find(is_literal);
    exact.or_else(|| fitting.max_by_key(|(literal, length, _)| (*literal, *length)).map(|(.., key)| key))
}

/// Returns how many parts of a path are given literally; `None` if it is another path.
fn literals(path: &[&str], wanted: &[&str]) -> Option<usize> {
    match (path, wanted) {
        ([], []) => Some(0),
        ([], _) => None,
        ([NAME, rest @ ..], [_, others @ ..]) => literals(rest, wanted).max(literals(rest, others)),
        ([NAME, rest @ ..], []) => literals(rest, wanted),
        ([part, rest @ ..], [other, others @ ..]) if part == other => literals(rest, others).map(|n| n + 1),
        ([_, ..], _) => None,
    }
}

struct Walk<'a> {
    root: &'a Value,
    examples: &'a [toml::Value],
    keys: &'a mut Vec<Key>,
}

impl Walk<'_> {
    /// Walks through the keys of a schema, if it is a table or may be one.
    fn table(&mut self, schema: &Value, path: &[&str]) {
        // The checks of `never` are those of `that`.
        if path.last() == Some(&"never") {
            return;
        }
        let schema = self.follow(schema);
        let all = choices(&schema);
        for choice in &all {
            // A choice that is written in place has one key, which stands for the choice.
            let is_tagged = choice != &schema && choice.get("$ref").is_none();
            let choice = self.follow(choice);
            if all.len() > 1 && choices(&choice).len() > 1 {
                self.table(&choice, path);
                continue;
            }
            let required = choice["required"].as_array().cloned().unwrap_or_default();
            for (key, inner) in choice["properties"].as_object().into_iter().flatten() {
                let described = Some(&choice["description"]).filter(|text| is_tagged && text.is_string());
                let is_required = !is_tagged && required.contains(&key.as_str().into());
                self.key(inner, &[path, &[key]].concat(), is_required, described);
            }
            if choice["additionalProperties"].is_object() {
                self.key(&choice["additionalProperties"], &[path, &[NAME]].concat(), false, None);
            }
        }
    }

    fn key(&mut self, schema: &Value, path: &[&str], required: bool, described: Option<&Value>) {
        let full = self.follow(schema);
        let text = described.and_then(Value::as_str).or(full["description"].as_str()).unwrap_or_default();
        let (about, default) = about(text);
        let default = default.or_else(|| full.get("default").map(written));
        let key = Key {
            path: path.join("."),
            kind: self.kind(&full),
            default: default.filter(|_| !required),
            required,
            example: self.example(&full, path),
            about,
            choices: words(&full),
        };
        self.keys.push(key);
        self.table(schema, path);
    }

    /// Resolves a reference; what stands beside it wins.
    fn follow(&self, schema: &Value) -> Value {
        let mut found = schema.clone();
        while let Some(target) = found["$ref"].as_str() {
            let mut next = self.root.pointer(target.trim_start_matches('#')).cloned().unwrap_or_default();
            let beside = found.as_object().into_iter().flatten().filter(|(key, _)| *key != "$ref");
            for (key, value) in beside {
                next[key] = value.clone();
            }
            found = next;
        }
        found
    }

    fn kind(&self, schema: &Value) -> String {
        let mut kinds: Vec<String> = Vec::new();
        for choice in choices(schema) {
            let choice = self.follow(&choice);
            if choices(&choice).len() > 1 {
                kinds.push(self.kind(&choice));
                continue;
            }
            kinds.push(match (choice.get("const"), choice["type"].as_str()) {
                (Some(word), _) => written(word),
                (None, Some("object")) => "table".to_owned(),
                (None, Some("array")) => format!("list of {}", plural(&self.kind(&choice["items"]))),
                (None, Some("integer")) => match (choice["minimum"].as_i64(), choice["maximum"].as_i64()) {
                    (Some(least), Some(most)) => format!("integer, {least} to {most}"),
                    _ => "integer".to_owned(),
                },
                (None, Some(kind)) => kind.to_owned(),
                (None, None) => "any value".to_owned(),
            });
        }
        kinds.dedup();
        match kinds.split_last() {
            Some((last, [])) => last.clone(),
            Some((last, others)) => format!("{} or {last}", others.join(", ")),
            None => "any value".to_owned(),
        }
    }

    /// Returns a line with a key of this path, from an example or from the schema.
    fn example(&self, schema: &Value, path: &[&str]) -> Option<String> {
        let found = self.examples.iter().find_map(|lab| value_at(lab, path, Vec::new()));
        if let Some((names, value)) = found {
            return Some(format!("{} = {value}", names.join(".")));
        }
        let value = match (schema["examples"].get(0), schema["type"].as_str()) {
            (Some(example), _) => written(example),
            (None, Some("boolean")) => (schema["default"] != true).to_string(),
            (None, _) => words(schema).first()?.0.clone(),
        };
        Some(format!("{} = {value}", path.join(".")))
    }
}

/// Returns the value at a path, with the names that stand for the placeholders.
fn value_at<'a>(
    value: &'a toml::Value,
    path: &[&str],
    names: Vec<String>,
) -> Option<(Vec<String>, &'a toml::Value)> {
    let Some((first, rest)) = path.split_first() else { return Some((names, value)) };
    let table = value.as_table()?;
    let below = |(name, value): (&String, &'a toml::Value)| {
        let bare = name.chars().all(|c| c.is_ascii_alphanumeric() || "-_".contains(c));
        let name = if bare { name.clone() } else { written(&name.as_str().into()) };
        value_at(value, rest, [names.clone(), vec![name]].concat())
    };
    match *first {
        NAME => table.iter().find_map(below),
        key => table.get_key_value(key).and_then(below),
    }
}

/// Returns the alternatives of a schema; itself if there are none.
fn choices(schema: &Value) -> Vec<Value> {
    let choices = schema["anyOf"].as_array().or(schema["oneOf"].as_array());
    choices.cloned().unwrap_or_else(|| vec![schema.clone()])
}

/// Returns the words that a value can be, with their meaning.
fn words(schema: &Value) -> Vec<(String, String)> {
    let word = |choice: &Value| {
        let about = choice["description"].as_str().unwrap_or_default();
        Some((written(choice.get("const")?), about.replace('\n', " ")))
    };
    choices(schema).iter().filter_map(word).collect()
}

/// Splits a description into what the key is and its default.
fn about(text: &str) -> (String, Option<String>) {
    let text = text.replace('\n', " ");
    match text.split_once("Default: ") {
        Some((about, default)) => {
            (about.trim_end().to_owned(), Some(default.trim_end().trim_end_matches('.').to_owned()))
        }
        None => (text, None),
    }
}

/// Returns a value as it is written in a lab file.
fn written(value: &Value) -> String {
    toml::Value::try_from(value).map_or_else(|_| value.to_string(), |value| value.to_string())
}

fn plural(kind: &str) -> String {
    match kind {
        "string" | "integer" | "boolean" | "table" => format!("{kind}s"),
        _ => kind.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_key_has_a_type_a_description_and_an_example() {
        let keys = keys();
        assert!(keys.len() > 150);
        let without = keys.iter().filter(|key| key.example.is_none()).map(|key| &key.path);
        assert_eq!(without.collect::<Vec<_>>(), [""; 0], "src/config/examples.toml has none");
        for key in &keys {
            let Key { path, kind, about, example, .. } = key;
            let is_entry = path.ends_with(".NAME");
            assert!(!kind.is_empty() && (about.len() > 5 || is_entry), "{key:?}");
            let example = example.as_ref().expect(path);
            let parsed: toml::Value = toml::from_str(example).expect(example);
            let path: Vec<&str> = path.split('.').collect();
            assert!(value_at(&parsed, &path, Vec::new()).is_some(), "{path:?}: {example}");
        }
    }

    #[test]
    fn keys_are_found_without_names_and_with_real_ones() {
        let keys = keys();
        let path = |wanted: &str| find(&keys, wanted).map(|key| key.path.as_str());
        assert_eq!(path("node"), Some("node"));
        assert_eq!(path("node.disk"), Some("node.NAME.disk"));
        assert_eq!(path("node.db"), Some("node.NAME"));
        assert_eq!(path("node.disk.size"), Some("node.NAME.disk.NAME.size"));
        assert_eq!(path("node.db.disk.root.size"), Some("node.NAME.disk.NAME.size"));
        assert_eq!(path("expect.never.http"), Some("expect.NAME.that.http"));
        assert_eq!(path("node.disc"), Some("node.NAME"));
        assert_eq!(path("nodes"), None);
    }
}
