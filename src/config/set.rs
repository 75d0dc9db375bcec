//! Reads `--set KEY=VALUE`, and the paths that `remove` names.

use toml::de::{DeTable, DeValue};

use super::Source;
use super::tree::{Entry, Table, Tree, Value, parse};
use crate::diag::{Code, Diagnostic, Sources, Span};

/// A path through tables: `node.a.memory`.
pub(super) struct Path(Vec<(String, std::ops::Range<usize>)>);

impl Path {
    /// Reads a path written as a dotted key of TOML.
    pub(super) fn parse(text: &str) -> Option<Self> {
        if text.contains(['\n', '\r', '#', '=']) {
            return None;
        }
        // The value makes sure that the text is one key and nothing else.
        let document = format!("{text}=true");
        let mut names = Vec::new();
        let mut table = DeTable::parse(&document).ok()?.into_inner();
        loop {
            let (key, value) = table.into_iter().next()?;
            let range = key.span();
            names.push((key.into_inner().into_owned(), range));
            match value.into_inner() {
                DeValue::Table(inner) => table = inner,
                DeValue::Boolean(true) => return Some(Self(names)),
                _ => return None,
            }
        }
    }

    /// Returns the names of the path.
    pub(super) fn names(self) -> Vec<String> {
        self.0.into_iter().map(|(name, _)| name).collect()
    }
}

/// Reads one argument into a tree with one leaf; `None` if it was reported. `name` is that of the argument, for
/// messages, and `example` what is expected.
pub(super) fn read(
    argument: &str,
    (name, example): (&str, &str),
    sources: &mut Sources,
    found: &mut Vec<Diagnostic>,
) -> Option<Tree> {
    let mut split = argument.char_indices().filter(|(_, c)| *c == '=').map(|(at, _)| at);
    // A quoted key may contain an equals sign, so the first one with a valid key on its left counts.
    let path = split.find_map(|at| Path::parse(&argument[..at]).map(|path| (path, at)));
    let Some((Path(names), at)) = path else {
        let file = sources.add(name, argument);
        found.push(
            Diagnostic::new(Code::BadSet, Span::new(file, 0..argument.len()), "this is not KEY=VALUE")
                .help(format!("expected a path and a value, such as {example}")),
        );
        return None;
    };
    let mut tree = value(argument, at + 1, name, sources, found)?;
    let file = tree.span.file;
    for (name, range) in names.into_iter().rev() {
        let span = Span::new(file, range.clone());
        let mut table = Table::new();
        table.insert(name, Entry { key: Span::new(file, range), tree });
        tree = Tree { span, value: Value::Table(table) };
    }
    Some(tree)
}

/// Reads the value: as TOML if it is valid TOML, else as a string.
fn value(
    argument: &str,
    from: usize,
    name: &str,
    sources: &mut Sources,
    found: &mut Vec<Diagnostic>,
) -> Option<Tree> {
    let text = argument[from..].trim();
    // Blanks in place of the key preserve all offsets.
    let document = format!("{}v={}", " ".repeat(from - 2), &argument[from..]);
    let written_as_toml = text.starts_with(['[', '{', '"', '\'']);
    let source = Source { name: name.into(), bytes: document.into_bytes() };
    let mut attempt = Vec::new();
    let mut parsed = parse(&source, &mut Sources::default(), &mut attempt);
    let file = sources.add(name, argument);
    let entry = parsed.root.table_mut().filter(|table| table.len() == 1).and_then(|table| table.remove("v"));
    match entry {
        // Dates are written as strings.
        Some(mut entry) if attempt.is_empty() && !matches!(entry.tree.value, Value::Datetime) => {
            relocate(&mut entry.tree, file);
            Some(entry.tree)
        }
        _ if written_as_toml => {
            for mut diagnostic in attempt {
                if let Some(span) = &mut diagnostic.span {
                    span.file = file;
                }
                found.push(diagnostic);
            }
            None
        }
        _ => Some(Tree { span: Span::new(file, from..argument.len()), value: Value::String(text.into()) }),
    }
}

fn relocate(tree: &mut Tree, file: usize) {
    tree.span.file = file;
    match &mut tree.value {
        Value::Array(items) => items.iter_mut().for_each(|item| relocate(item, file)),
        Value::Table(table) => {
            for (_, entry) in table.iter_mut() {
                entry.key.file = file;
                relocate(&mut entry.tree, file);
            }
        }
        Value::String(_)
        | Value::Integer(_)
        | Value::Float(_)
        | Value::Boolean(_)
        | Value::Datetime
        | Value::Broken => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths() {
        let names = |text: &str| Path::parse(text).map(Path::names);
        assert_eq!(names("node.a.memory"), Some(vec!["node".into(), "a".into(), "memory".into()]));
        assert_eq!(names("publish.\"22\""), Some(vec!["publish".into(), "22".into()]));
        for bad in ["", "a.", ".a", "a b", "a = 1", "[a]", "a=1\nb", "\"", "a.[b]"] {
            assert_eq!(names(bad), None, "{bad}");
        }
    }
}
