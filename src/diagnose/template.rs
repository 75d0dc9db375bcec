//! Texts with placeholders: `{server}`, or `{server|the server}` with the words for a value that is not known.

use std::collections::BTreeMap;

/// Values by the name of their placeholder.
pub(super) type Values = BTreeMap<String, String>;

/// Fills in the values; a placeholder without value and words becomes its own name in capitals.
pub(super) fn fill(text: &str, values: &Values) -> String {
    let mut filled = String::new();
    for part in parts(text) {
        match part {
            Part::Text(text) => filled += text,
            Part::Value { name, otherwise } => {
                match (values.get(name).filter(|value| !value.is_empty()), otherwise) {
                    (Some(value), _) => filled += value,
                    (None, Some(words)) => filled += words,
                    (None, None) => filled += &name.to_ascii_uppercase(),
                }
            }
        }
    }
    let mut letters = filled.chars();
    match letters.next() {
        // A sentence may begin with a value such as "the lab's server", but a name stays as it is.
        Some(first) if text.starts_with('{') && !text.starts_with("{node}") => {
            first.to_uppercase().chain(letters).collect()
        }
        _ => filled,
    }
}

/// Returns a text without values: the words for each, or its name.
pub fn plain(text: &str) -> String {
    fill(text, &Values::new())
}

#[cfg(test)]
pub(super) fn placeholders(text: &str) -> impl Iterator<Item = (&str, bool)> {
    parts(text).filter_map(|part| match part {
        Part::Value { name, otherwise } => Some((name, otherwise.is_some())),
        Part::Text(_) => None,
    })
}

enum Part<'a> {
    Text(&'a str),
    Value { name: &'a str, otherwise: Option<&'a str> },
}

fn parts(text: &str) -> impl Iterator<Item = Part<'_>> {
    let mut rest = text;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let placeholder = |open: usize| {
            let close = rest[open..].find('}')? + open;
            let inside = &rest[open + 1..close];
            let (name, otherwise) = match inside.split_once('|') {
                Some((name, words)) => (name, Some(words)),
                None => (inside, None),
            };
            let is_name =
                !name.is_empty() && name.chars().all(|c| c.is_ascii_lowercase() || c == '-' || c == '_');
            is_name.then_some((close, name, otherwise))
        };
        // Braces that hold no name, as in `${net0/mac}`, are text.
        let found = rest.match_indices('{').find_map(|(open, _)| Some((open, placeholder(open)?)));
        match found {
            Some((0, (close, name, otherwise))) => {
                rest = &rest[close + 1..];
                Some(Part::Value { name, otherwise })
            }
            Some((open, _)) => {
                let text = &rest[..open];
                rest = &rest[open..];
                Some(Part::Text(text))
            }
            None => Some(Part::Text(std::mem::take(&mut rest))),
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_and_words_are_filled_in() {
        let values = Values::from([("server".to_owned(), "10.0.0.2".to_owned())]);
        assert_eq!(fill("{server} gave {file|a file}.", &values), "10.0.0.2 gave a file.");
        assert_eq!(fill("{who|the server} gave {what}", &values), "The server gave WHAT");
        assert_eq!(fill("use ${net0/mac} or {}", &values), "use ${net0/mac} or {}");
    }
}
