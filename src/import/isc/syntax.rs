//! The statements and blocks of dhcpd.conf, with those of the files that it includes.

use std::path::{Path, PathBuf};

use crate::diag::{Code, Diagnostic, Sources, Span};
use crate::import::document::{DEEPEST, Document, ItemId};
use crate::import::files::{Files, folder, locate};

/// The most files that are included.
const MOST_FILES: usize = 200;

/// What dhcpd.conf says, with the files that it includes.
#[derive(Debug)]
pub(in crate::import) struct Parsed {
    pub(in crate::import) document: Document,
    pub(in crate::import) problems: Vec<Diagnostic>,
    /// The files that it includes: where the server has them, and where they are here.
    pub(in crate::import) included: Vec<(String, PathBuf)>,
}

/// Splits the text into statements and blocks.
pub(in crate::import) fn parse(path: &Path, file: usize, sources: &mut Sources, files: &dyn Files) -> Parsed {
    let mut parser = Parser {
        parsed: Parsed { document: Document::new(file), problems: Vec::new(), included: Vec::new() },
        sources,
        files,
        folder: folder(path),
        reading: vec![path.to_owned()],
    };
    parser.text(file, Document::ROOT, 0);
    parser.parsed
}

struct Parser<'a> {
    parsed: Parsed,
    sources: &'a mut Sources,
    files: &'a dyn Files,
    folder: PathBuf,
    /// The files that are open, each of which includes the next one.
    reading: Vec<PathBuf>,
}

impl Parser<'_> {
    /// Adds the statements of a text to a block that is so deep.
    fn text(&mut self, file: usize, block: ItemId, depth: usize) {
        let text = self.sources.text(file).to_owned();
        let mut open = vec![block];
        let (mut statement, mut start, mut quoted) = (String::new(), 0, false);
        let mut closed = false;
        let mut letters = text.char_indices().peekable();
        while let Some((at, c)) = letters.next() {
            match c {
                '\\' if quoted => {
                    statement.push(c);
                    statement.extend(letters.next().map(|(_, c)| c));
                }
                '"' => {
                    if statement.trim().is_empty() {
                        start = at;
                    }
                    quoted = !quoted;
                    statement.push(c);
                }
                _ if quoted => statement.push(c),
                '#' => while letters.next_if(|(_, c)| *c != '\n').is_some() {},
                // Only behind a key dhcpd takes a `;` that ends nothing.
                ';' if statement.trim().is_empty() && closed => {
                    closed = false;
                    statement.clear();
                }
                ';' if statement.trim().is_empty() => {
                    self.problem(file, at..at + 1, "`;` ends no statement", Some("remove it"));
                }
                ';' | '{' => {
                    let parent = open.last().copied().unwrap_or(block);
                    let begin = if statement.trim().is_empty() { at } else { start };
                    let span = Span::new(file, begin..at + 1);
                    let item = add(&mut self.parsed.document, parent, &statement, span);
                    statement.clear();
                    if c == '{' {
                        if depth + open.len() > DEEPEST {
                            self.problem(file, at..at + 1, "blocks are nested too deep", None);
                            return;
                        }
                        open.push(item);
                    } else if self.parsed.document.name(item) == "include" {
                        self.include(item, parent, depth + open.len());
                    }
                }
                '}' => {
                    if !statement.trim().is_empty() {
                        let help = Some("end each statement by `;`");
                        self.problem(file, start..at, "a statement has no `;` at its end", help);
                        statement.clear();
                    }
                    match open.pop().filter(|_| !open.is_empty()) {
                        Some(item) => {
                            self.parsed.document.extend(item, at + 1);
                            closed = self.parsed.document.name(item) == "key";
                        }
                        None => {
                            self.problem(file, at..at + 1, "`}` closes no block", Some("remove it"));
                            open = vec![block];
                        }
                    }
                }
                c => {
                    if statement.trim().is_empty() && !c.is_whitespace() {
                        start = at;
                        closed = false;
                    }
                    statement.push(c);
                }
            }
        }
        if open.len() > 1 || quoted {
            let item = open.last().copied().filter(|item| *item != block);
            let span = item.map_or(start..text.trim_end().len().max(start), |item| {
                self.parsed.document.span(item).range()
            });
            let help = Some("close it by `}`, and each string by `\"`");
            self.problem(file, span, "the block is not closed", help);
        } else if !statement.trim().is_empty() {
            let help = Some("end each statement by `;`");
            let span = start..text.trim_end().len().max(start);
            self.problem(file, span, "the statement has no `;` at its end", help);
        }
    }

    fn problem(&mut self, file: usize, at: std::ops::Range<usize>, what: &str, help: Option<&str>) {
        let mut problem = Diagnostic::new(Code::ForeignSyntax, Span::new(file, at), what);
        if let Some(help) = help {
            problem = problem.help(help);
        }
        self.parsed.problems.push(problem);
    }

    /// Reads the file that `include` names; its statements belong to the same block.
    fn include(&mut self, item: ItemId, block: ItemId, depth: usize) {
        let written = self.parsed.document.text(item).trim_matches('"').to_owned();
        let Some(path) = locate(self.files, &self.folder, &written) else {
            let why = format!("`{written}` is not there: put it beside the file");
            self.parsed.document.miss(item, why);
            return;
        };
        if self.reading.contains(&path) {
            self.parsed.document.leave(item, "the file includes itself");
            return;
        }
        let full = self.parsed.included.len() >= MOST_FILES || depth > DEEPEST;
        let Some(bytes) = self.files.read(&path).filter(|_| !full) else {
            self.parsed.document.miss(item, format!("`{written}` cannot be read"));
            return;
        };
        let name = path.display().to_string();
        let file = self.sources.add(name, String::from_utf8_lossy(&bytes).into_owned());
        self.parsed.document.carry(item, "its lines");
        let target = if written.starts_with('/') { written } else { format!("/{written}") };
        self.parsed.included.push((target, path.clone()));
        self.reading.push(path);
        self.text(file, block, depth);
        self.reading.pop();
    }
}

fn add(document: &mut Document, parent: ItemId, statement: &str, span: Span) -> ItemId {
    let words = statement.trim();
    // An argument may follow without a blank, as in `log(info, "x")`.
    let end = words.find(|c: char| c.is_whitespace() || c == '(').unwrap_or(words.len());
    let (name, rest) = words.split_at(end);
    let rest = rest.trim();
    // `else if` is `elsif`.
    let (name, rest) = match (name, rest.strip_prefix("if")) {
        ("else", Some(condition)) if condition.starts_with(|c: char| c.is_whitespace() || c == '(') => {
            ("elsif", condition.trim_start())
        }
        _ => (name, rest),
    };
    // The alternatives of `switch` end by a colon.
    let name = name.trim_end_matches(':').to_ascii_lowercase();
    document.add(parent, name, Some(rest.to_owned()), span)
}
