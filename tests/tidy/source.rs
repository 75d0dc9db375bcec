//! Source files as paths and tokens, without comments and test code.

use std::collections::BTreeSet;
use std::path::Path;
use std::{fs, io};

use proc_macro2::{Delimiter, TokenStream, TokenTree};

/// A token with its line.
#[derive(Debug, Clone)]
pub(crate) struct Token {
    pub(crate) text: String,
    pub(crate) line: usize,
}

/// A path as the compiler resolves it, with `use` groups expanded: `use a::{b, c::d}` is `a::b` and `a::c::d`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Named {
    pub(crate) segments: Vec<String>,
    pub(crate) line: usize,
}

impl Named {
    /// Tells whether it begins with these segments: `std::fs` is a prefix of `std::fs::read`.
    pub(crate) fn begins(&self, path: &str) -> bool {
        let wanted: Vec<_> = path.split("::").collect();
        self.segments.len() >= wanted.len() && self.segments.iter().zip(wanted).all(|(a, b)| a == b)
    }

    /// Tells whether it ends with these segments: `Timestamp::now` is a suffix of `jiff::Timestamp::now`.
    pub(crate) fn ends(&self, path: &str) -> bool {
        let wanted: Vec<_> = path.split("::").collect();
        let start = self.segments.len().checked_sub(wanted.len());
        start.is_some_and(|start| self.segments[start..].iter().zip(wanted).all(|(a, b)| a == b))
    }
}

/// One file below `src/`.
#[derive(Debug)]
pub(crate) struct Source {
    /// Its name below `src/`: `plan/mod.rs`.
    pub(crate) file: String,
    /// Its text.
    pub(crate) text: String,
    /// The tokens that are compiled into the program.
    pub(crate) tokens: Vec<Token>,
    /// The paths among these.
    pub(crate) paths: Vec<Named>,
}

impl Source {
    /// Returns its module path: `plan/qemu.rs` is `["plan", "qemu"]`.
    pub(crate) fn module(&self) -> Vec<&str> {
        let name = self.file.strip_suffix(".rs").unwrap_or(&self.file);
        let name = name.strip_suffix("/mod").unwrap_or(name);
        if matches!(name, "lib" | "main") { Vec::new() } else { name.split('/').collect() }
    }

    /// Returns its top-level module: `plan`; `main` and `lib` for themselves.
    pub(crate) fn top(&self) -> &str {
        self.file.split(['/', '.']).next().unwrap_or_default()
    }

    /// Formats a violation in one of its lines.
    pub(crate) fn at(&self, line: usize, what: &str) -> String {
        format!("src/{}:{line}: {what}", self.file)
    }
}

/// All files below `src/`.
#[derive(Debug)]
pub(crate) struct Tree {
    /// Files that are compiled into the program, by name.
    pub(crate) sources: Vec<Source>,
    /// Files that only tests compile.
    pub(crate) tests: Vec<(String, String)>,
    /// Files without a `mod` line: never compiled, never tested.
    pub(crate) orphans: Vec<String>,
}

impl Tree {
    /// Reads the project's files.
    pub(crate) fn read() -> Self {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
        let mut files = Vec::new();
        walk(&root, &mut |path| {
            if path.extension().is_some_and(|extension| extension == "rs") {
                let name = path.strip_prefix(&root).expect("it was found there").display().to_string();
                files.push((name, fs::read_to_string(path).expect("source is text")));
            }
        })
        .expect("src can be read");
        Self::new(files)
    }

    /// Creates a tree from names below `src/` and texts.
    pub(crate) fn new(files: Vec<(String, String)>) -> Self {
        let mut compiled = BTreeSet::new();
        let mut testing = BTreeSet::new();
        let mut queue: Vec<(String, bool)> =
            vec![("lib.rs".to_owned(), false), ("main.rs".to_owned(), false)];
        let find = |name: &str| files.iter().find(|(file, _)| file == name);
        while let Some((name, test)) = queue.pop() {
            let Some((_, text)) = find(&name) else { continue };
            if !if test { &mut testing } else { &mut compiled }.insert(name.clone()) {
                continue;
            }
            let folder = match name.strip_suffix(".rs").unwrap_or(&name) {
                "lib" | "main" => String::new(),
                other => format!("{}/", other.strip_suffix("/mod").unwrap_or(other)),
            };
            for (module, only_tests) in modules(stream(text, &name), test) {
                for file in [format!("{folder}{module}.rs"), format!("{folder}{module}/mod.rs")] {
                    if find(&file).is_some() {
                        queue.push((file, only_tests));
                    }
                }
            }
        }
        let mut tree = Self { sources: Vec::new(), tests: Vec::new(), orphans: Vec::new() };
        for (file, text) in files {
            if compiled.contains(&file) {
                let mut tokens = Vec::new();
                flatten(without_tests(stream(&text, &file)), &mut tokens);
                let paths = paths(&tokens);
                tree.sources.push(Source { file, text, tokens, paths });
            } else if testing.contains(&file) {
                tree.tests.push((file, text));
            } else {
                tree.orphans.push(file);
            }
        }
        tree.sources.sort_by(|a, b| a.file.cmp(&b.file));
        tree
    }

    /// Creates a tree with a single file and a `lib.rs`, for the tests of the checks.
    pub(crate) fn of(file: &str, text: &str) -> Self {
        let mut files = vec![(file.to_owned(), text.to_owned())];
        let mut name = file.strip_suffix(".rs").unwrap_or(file);
        name = name.strip_suffix("/mod").unwrap_or(name);
        while let Some((parent, child)) = name.rsplit_once('/') {
            files.push((format!("{parent}.rs"), format!("mod {child};")));
            name = parent;
        }
        if !matches!(name, "lib" | "main") {
            files.push(("lib.rs".to_owned(), format!("mod {name};")));
        }
        Self::new(files)
    }
}

/// Calls `found` for every file below a folder.
pub(crate) fn walk(folder: &Path, found: &mut dyn FnMut(&Path)) -> io::Result<()> {
    let mut entries = fs::read_dir(folder)?.collect::<Result<Vec<_>, _>>()?;
    entries.sort_by_key(fs::DirEntry::path);
    for entry in entries {
        if entry.file_type()?.is_dir() {
            walk(&entry.path(), found)?;
        } else {
            found(&entry.path());
        }
    }
    Ok(())
}

/// Parses a text, which may have a shebang or inner attributes, to tokens.
pub(crate) fn stream(text: &str, file: &str) -> TokenStream {
    text.parse().unwrap_or_else(|error| panic!("{file} does not lex: {error}"))
}

/// Returns the modules with their own files, and whether only tests compile them.
fn modules(stream: TokenStream, test: bool) -> Vec<(String, bool)> {
    let mut found = Vec::new();
    let trees: Vec<TokenTree> = stream.into_iter().collect();
    let mut only_tests = test;
    for (index, tree) in trees.iter().enumerate() {
        match tree {
            TokenTree::Group(group) if is_cfg_test(&trees, index) => {
                debug_assert_eq!(group.delimiter(), Delimiter::Bracket);
                only_tests = true;
            }
            TokenTree::Punct(punct) if punct.as_char() == ';' => only_tests = test,
            TokenTree::Group(group) if group.delimiter() == Delimiter::Brace => only_tests = test,
            TokenTree::Ident(ident) if ident == "mod" => {
                let name = trees.get(index + 1).map(ToString::to_string);
                let ends =
                    matches!(trees.get(index + 2), Some(TokenTree::Punct(punct)) if punct.as_char() == ';');
                if let (Some(name), true) = (name, ends) {
                    found.push((name, only_tests));
                }
            }
            _ => {}
        }
    }
    found
}

/// The attributes of test and fuzzing code.
const CFG_TEST: &[&str] = &["[cfg(test)]", "[cfg(any(test,fuzzing))]"];

/// Tells whether the tree at `index` is the `[cfg(test)]` of an attribute.
fn is_cfg_test(trees: &[TokenTree], index: usize) -> bool {
    let TokenTree::Group(group) = &trees[index] else { return false };
    let hash = index
        .checked_sub(1)
        .is_some_and(|before| matches!(&trees[before], TokenTree::Punct(punct) if punct.as_char() == '#'));
    hash && CFG_TEST.contains(&group.to_string().replace(' ', "").as_str())
}

/// Removes every item with `#[cfg(test)]`.
fn without_tests(stream: TokenStream) -> Vec<TokenTree> {
    let trees: Vec<TokenTree> = stream.into_iter().collect();
    let mut kept = Vec::new();
    let mut skipping = false;
    for index in 0..trees.len() {
        let tree = &trees[index];
        if skipping {
            let ends = match tree {
                TokenTree::Punct(punct) => punct.as_char() == ';',
                TokenTree::Group(group) => group.delimiter() == Delimiter::Brace,
                _ => false,
            };
            skipping = !ends;
        } else if is_cfg_test(&trees, index) {
            kept.pop();
            skipping = true;
        } else {
            kept.push(tree.clone());
        }
    }
    kept
}

fn flatten(trees: Vec<TokenTree>, out: &mut Vec<Token>) {
    for tree in trees {
        let line = tree.span().start().line;
        match tree {
            TokenTree::Group(group) => {
                let (open, close) = match group.delimiter() {
                    Delimiter::Parenthesis => ("(", ")"),
                    Delimiter::Brace => ("{", "}"),
                    Delimiter::Bracket => ("[", "]"),
                    Delimiter::None => ("", ""),
                };
                out.push(Token { text: open.to_owned(), line });
                flatten(without_tests(group.stream()), out);
                out.push(Token { text: close.to_owned(), line: group.span_close().start().line });
            }
            TokenTree::Punct(punct) if punct.as_char() == ':' => match out.last_mut() {
                Some(last) if last.text == ":" => "::".clone_into(&mut last.text),
                _ => out.push(Token { text: ":".to_owned(), line }),
            },
            other => out.push(Token { text: other.to_string(), line }),
        }
    }
}

fn paths(tokens: &[Token]) -> Vec<Named> {
    let mut found = Vec::new();
    let mut index = 0;
    while index < tokens.len() {
        let continues = index > 0 && matches!(tokens[index - 1].text.as_str(), "." | "'");
        if is_word(&tokens[index].text) && !continues {
            index = path(tokens, index, &[], &mut found).max(index + 1);
        } else {
            index += 1;
        }
    }
    found.retain(|path| path.segments.len() > 1);
    found
}

/// Parses a path or an entry of a `use` group; returns its end.
fn path(tokens: &[Token], mut index: usize, before: &[String], found: &mut Vec<Named>) -> usize {
    let text = |index: usize| tokens.get(index).map_or("", |token: &Token| token.text.as_str());
    let line = tokens[index].line;
    let mut segments = before.to_vec();
    segments.push(tokens[index].text.clone());
    index += 1;
    while text(index) == "::" {
        index += 1;
        match text(index) {
            "{" => {
                index += 1;
                while !matches!(text(index), "}" | "") {
                    if is_word(text(index)) {
                        index = path(tokens, index, &segments, found);
                    } else {
                        index += 1;
                    }
                }
                return index + 1;
            }
            word if is_word(word) || word == "*" => {
                segments.push(word.to_owned());
                index += 1;
            }
            _ => break,
        }
    }
    found.push(Named { segments, line });
    // `use a::{b as c}`: the new name is not a path.
    if text(index) == "as" && !before.is_empty() { index + 2 } else { index }
}

fn is_word(text: &str) -> bool {
    text.starts_with(|first: char| first.is_alphabetic() || first == '_')
        && text.chars().all(|letter| letter.is_alphanumeric() || letter == '_')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Vec<String> {
        let tree = Tree::of("a.rs", text);
        let source = tree.sources.iter().find(|source| source.file == "a.rs").unwrap();
        source.paths.iter().map(|path| format!("{}:{}", path.line, path.segments.join("::"))).collect()
    }

    #[test]
    fn groups_are_taken_apart() {
        let text = "use a::{b, c::{self, d as e}, *};\nfn f() { std::fs::read(x::<T>::y()); z.w::<V>() }";
        assert_eq!(read(text), ["1:a::b", "1:a::c::self", "1:a::c::d", "2:std::fs::read"]);
    }

    #[test]
    fn comments_texts_and_tests_are_passed_over() {
        let text = "//! [`crate::a`]\n/* b::c */ const T: &str = \"d::e\";\n#[cfg(test)]\n#[path = \"x\"]\nmod tests { use f::g; }\n#[cfg(any(test, fuzzing))]\nuse h::i;\nuse j::k;";
        assert_eq!(read(text), ["8:j::k"]);
    }

    #[test]
    fn what_only_tests_compile_is_known() {
        let file = |name: &str, text: &str| (name.to_owned(), text.to_owned());
        let tree = Tree::new(vec![
            file("lib.rs", "pub mod a; #[cfg(test)] mod t; mod b; #[cfg(any(test, fuzzing))] pub mod f;"),
            file("a/mod.rs", "#[cfg(test)] mod tests;"),
            file("a/tests.rs", "mod deeper;"),
            file("a/tests/deeper.rs", ""),
            file("b.rs", ""),
            file("t.rs", ""),
            file("f.rs", ""),
            file("forgotten.rs", ""),
        ]);
        let names: Vec<_> = tree.sources.iter().map(|source| source.file.as_str()).collect();
        assert_eq!(names, ["a/mod.rs", "b.rs", "lib.rs"]);
        let tests: Vec<_> = tree.tests.iter().map(|(file, _)| file.as_str()).collect();
        assert_eq!(tests, ["a/tests.rs", "a/tests/deeper.rs", "t.rs", "f.rs"]);
        assert_eq!(tree.orphans, ["forgotten.rs"]);
    }
}
