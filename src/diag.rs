//! A diagnostic: the problem in a lab file, its position, and the fix.
//!
//! Every diagnostic has a [`Code`], and every code has a page for `dryrack explain`. Never prints: [`render`] returns
//! text.

mod code;
mod draw;

use std::ops::Range;

pub use code::{Code, Severity, explain};
pub use draw::{render, to_json};

/// A range in one of the [`Sources`].
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Span {
    /// Index of the text in [`Sources`].
    pub file: usize,
    /// First byte.
    pub start: usize,
    /// The byte after the last.
    pub end: usize,
}

impl Span {
    /// Creates a span from a byte range.
    pub fn new(file: usize, range: Range<usize>) -> Self {
        Self { file, start: range.start, end: range.end }
    }

    /// Returns the byte range.
    pub fn range(&self) -> Range<usize> {
        self.start..self.end
    }
}

/// A further range that a diagnostic points at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Related {
    /// The range.
    pub span: Span,
    /// Its label.
    pub label: String,
}

/// One problem.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Diagnostic {
    /// The kind of problem.
    pub code: Code,
    /// Its position; `None` if it concerns the whole lab.
    pub span: Option<Span>,
    /// The message, in one line.
    pub message: String,
    /// The fix.
    pub help: Option<String>,
    /// Further relevant ranges, such as the first use of an address that is used twice.
    pub related: Vec<Related>,
    /// Whether the range may contain a secret, which must not be shown.
    pub secret: bool,
}

impl Diagnostic {
    /// Creates a diagnostic without help and further ranges.
    pub fn new(code: Code, span: impl Into<Option<Span>>, message: impl Into<String>) -> Self {
        let message = shorten(message.into());
        Self { code, span: span.into(), message, help: None, related: Vec::new(), secret: false }
    }

    /// Adds the fix.
    #[must_use]
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(shorten(help.into()));
        self
    }

    /// Adds a further range.
    #[must_use]
    pub fn related(mut self, span: Span, label: impl Into<String>) -> Self {
        self.related.push(Related { span, label: label.into() });
        self
    }

    /// Marks the range as a possible secret.
    #[must_use]
    pub fn secret(mut self) -> Self {
        self.secret = true;
        self
    }

    /// Tells whether a lab with it can still be used.
    pub fn is_error(&self) -> bool {
        self.code.severity() == Severity::Error
    }
}

/// Maximum number of diagnostics of one lab: a file with more is something else.
pub const MOST: usize = 1000;

/// After this many diagnostics, no corrections of typos are suggested: finding them takes time.
pub const HELPED: usize = 200;

/// The texts that diagnostics point into: the lab file, its overlays, and each `--set`.
#[derive(Debug, Clone, Default)]
pub struct Sources {
    texts: Vec<Named>,
}

#[derive(Debug, Clone)]
struct Named {
    name: String,
    text: String,
    /// The first byte of each line.
    lines: Vec<usize>,
}

impl Sources {
    /// Adds a text under its display name, and returns its index.
    pub fn add(&mut self, name: impl Into<String>, text: impl Into<String>) -> usize {
        let text = text.into();
        let lines = std::iter::once(0).chain(text.match_indices('\n').map(|(at, _)| at + 1)).collect();
        self.texts.push(Named { name: name.into(), text, lines });
        self.texts.len() - 1
    }

    /// Overwrites a range with asterisks.
    pub fn mask(&mut self, span: &Span) {
        let Some(Named { text, .. }) = self.texts.get_mut(span.file) else { return };
        let (start, end) = (text.floor_char_boundary(span.start), text.ceil_char_boundary(span.end));
        // Byte for byte, so that all other positions stay the same; line breaks stay, too.
        let masked: String =
            text[start..end.max(start)].bytes().map(|byte| if byte == b'\n' { '\n' } else { '*' }).collect();
        text.replace_range(start..end.max(start), &masked);
    }

    /// Returns the name of a text.
    pub fn name(&self, file: usize) -> &str {
        self.texts.get(file).map_or("", |named| &named.name)
    }

    /// Returns a text.
    pub fn text(&self, file: usize) -> &str {
        self.texts.get(file).map_or("", |named| &named.text)
    }

    /// Returns the range of a line, counted from 1, without blanks at its ends.
    pub fn line(&self, file: usize, line: usize) -> Span {
        let Some(Named { text, lines, .. }) = self.texts.get(file) else { return Span::new(file, 0..0) };
        let begin = |line: usize| lines.get(line).copied().unwrap_or(text.len());
        let start = begin(line.saturating_sub(1));
        let words = text[start..begin(line)].trim_end();
        let blank = words.len() - words.trim_start().len();
        Span::new(file, start + blank..start + words.len())
    }

    /// Returns the line and the column (in characters) of a byte, both from 1.
    pub fn position(&self, file: usize, byte: usize) -> (usize, usize) {
        let Some(Named { text, lines, .. }) = self.texts.get(file) else { return (1, 1) };
        let byte = text.floor_char_boundary(byte);
        let line = lines.partition_point(|start| *start <= byte);
        let start = line.checked_sub(1).and_then(|line| lines.get(line)).copied().unwrap_or(0);
        (line, text[start..byte].chars().count() + 1)
    }
}

/// Shortens a long quotation of a file.
fn shorten(mut text: String) -> String {
    const LONGEST: usize = 600;
    if text.len() > LONGEST {
        text.truncate(text.floor_char_boundary(LONGEST));
        text.push('…');
    }
    text
}

/// Returns the candidate that was most likely meant by `word`: a typo of it, or its beginning.
pub fn nearest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let candidates: Vec<_> = candidates.into_iter().collect();
    let begins = |candidate: &&str| word.len() >= 3 && candidate.starts_with(word);
    typo(word, candidates.iter().copied()).or_else(|| candidates.iter().copied().filter(begins).min())
}

/// Returns the candidate of which `word` is most likely a typo.
pub fn typo<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let limit = (word.chars().count() / 3).clamp(1, 4);
    candidates
        .into_iter()
        .filter(|candidate| candidate.len().abs_diff(word.len()) <= limit + word.len() / 2)
        .map(|candidate| (distance(word, candidate), candidate))
        .filter(|(distance, _)| *distance <= limit)
        .min()
        .map(|(_, candidate)| candidate)
}

fn distance(word: &str, candidate: &str) -> usize {
    // Case and the kind of dash are rarely significant, so differences in them cost nothing.
    let plain = |text: &str| text.to_lowercase().replace('_', "-");
    strsim::damerau_levenshtein(&plain(word), &plain(candidate))
}

/// Lists all candidates as text: keys and words of the format, of which a user must see every one.
pub fn enumerate_all<'a>(candidates: impl IntoIterator<Item = &'a str>) -> String {
    let all: Vec<_> = candidates.into_iter().map(|candidate| format!("`{candidate}`")).collect();
    all.join(", ")
}

/// Lists at most ten candidates as text: names, of which a lab may have thousands.
pub fn enumerate<'a>(candidates: impl IntoIterator<Item = &'a str>) -> String {
    let all: Vec<_> = candidates.into_iter().map(|candidate| format!("`{candidate}`")).collect();
    match all.len() {
        0..=10 => all.join(", "),
        more => format!("{} and {} more", all[..8].join(", "), more - 8),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_count_characters() {
        let mut sources = Sources::default();
        let file = sources.add("lab.toml", "a\nä = 1\n");
        assert_eq!(sources.position(file, 0), (1, 1));
        assert_eq!(sources.position(file, 5), (2, 3));
        assert_eq!(sources.position(file, 999), (3, 1));
    }

    #[test]
    fn lines_are_ranges_without_blanks() {
        let mut sources = Sources::default();
        let file = sources.add("dnsmasq.conf", "a\n  b c \r\n\n");
        let line = |line: usize| &sources.text(file)[sources.line(file, line).range()];
        assert_eq!([0, 1, 2, 3, 4, 9].map(line), ["", "a", "b c", "", "", ""]);
    }

    #[test]
    fn masks_keep_every_place() {
        let mut sources = Sources::default();
        let file = sources.add("lab.toml", "key = \"ä\nb\"\nnext");
        sources.mask(&Span::new(file, 7..11));
        assert_eq!(sources.text(file), "key = \"**\n*\"\nnext");
        sources.mask(&Span::new(file, 14..999));
        assert_eq!(sources.text(file), "key = \"**\n*\"\nn***");
        sources.mask(&Span::new(9, 0..1));
    }

    #[test]
    fn nearest_finds_typos_only() {
        let keys = ["memory", "firmware", "nic", "count"];
        assert_eq!(nearest("memroy", keys), Some("memory"));
        assert_eq!(nearest("Memory", keys), Some("memory"));
        assert_eq!(nearest("firmwares", keys), Some("firmware"));
        assert_eq!(nearest("mem", keys), Some("memory"));
        assert_eq!(nearest("bandwidth", keys), None);
        assert_eq!(nearest("", keys), None);
    }
}
