//! TOML syntax errors, in terms of lab files.

use super::Source;
use crate::diag::{Code, Diagnostic, Span};

/// A file with more syntax errors is probably not a lab file.
const SHOWN: usize = 10;

/// Decodes a file as text, or reports why it cannot.
pub(super) fn text(source: &Source) -> Result<&str, Diagnostic> {
    let name = &source.name;
    let refused = |what: String, help: &str| Diagnostic::new(Code::NotText, None, what).help(help);
    if source.bytes.starts_with(&[0xff, 0xfe]) || source.bytes.starts_with(&[0xfe, 0xff]) {
        return Err(refused(format!("`{name}` is UTF-16"), "save it as UTF-8"));
    }
    let (byte, what) = match std::str::from_utf8(&source.bytes) {
        Ok(text) => match text.find('\0') {
            Some(byte) => (byte, "a zero byte"),
            None => return Ok(text),
        },
        Err(error) => (error.valid_up_to(), "a byte that is not UTF-8"),
    };
    let before = &source.bytes[..byte];
    let line = before.iter().filter(|byte| **byte == b'\n').count() + 1;
    let in_line = before.iter().rev().take_while(|byte| **byte != b'\n').count() + 1;
    Err(refused(
        format!("`{name}` is not text: line {line} has {what} (byte {in_line} of the line)"),
        "a lab file is TOML in UTF-8; is this the right file?",
    ))
}

/// Reports the first syntax error of each line; the others are usually consequences.
pub(super) fn report(file: usize, text: &str, errors: &[toml::de::Error], found: &mut Vec<Diagnostic>) {
    let mut shown = 0;
    let mut end_of_line = None;
    // The parser reports errors of values after those of lines.
    let mut errors: Vec<_> = errors.iter().map(|error| (error.span().unwrap_or(0..0), error)).collect();
    errors.sort_by_key(|(range, _)| range.start);
    let all = errors.len();
    for (index, (range, error)) in errors.into_iter().enumerate() {
        let start = text.floor_char_boundary(range.start);
        if end_of_line.is_some_and(|end| start <= end) {
            continue;
        }
        end_of_line = Some(text[start..].find('\n').map_or(text.len(), |at| start + at));
        let span = Span::new(file, range);
        if shown == SHOWN {
            let more = all - index;
            found.push(
                Diagnostic::new(Code::Syntax, span, format!("{more} more errors from here on are not shown"))
                    .help("is this the right file?"),
            );
            return;
        }
        shown += 1;
        found.push(one(file, text, start, span, error.message()));
    }
}

/// Reports tables or arrays nested too deep.
pub(super) fn too_deep(span: Span) -> Diagnostic {
    Diagnostic::new(Code::TooDeep, span, "tables or arrays are nested too deep here")
        .help("a lab file needs at most ten levels")
}

fn one(file: usize, text: &str, start: usize, span: Span, said: &str) -> Diagnostic {
    if said.contains("recurs") {
        return too_deep(span);
    }
    if said.contains("duplicate key") {
        let name = text.get(span.range()).unwrap_or_default();
        return Diagnostic::new(Code::Syntax, span, format!("`{name}` is defined twice")).help(
            "a key or table can be defined only once, and an inline table { … } cannot be extended: merge the two",
        );
    }
    let line_start = text[..start].rfind('\n').map_or(0, |at| at + 1);
    let line = text[line_start..].lines().next().unwrap_or("");
    if let Some((key, value)) = unquoted(line)
        && line_start + line.find('=').unwrap_or(0) < start
    {
        let at = line_start + value.as_ptr().addr() - line.as_ptr().addr();
        let position = Span::new(file, at..at + value.len());
        return Diagnostic::new(
            Code::Syntax,
            position,
            format!("`{value}` is neither a number nor a quoted string"),
        )
        .help(format!("strings are quoted: {key} = \"{value}\""));
    }
    // The parser reports what it found and what it expected on separate lines.
    let said: Vec<_> = said.lines().collect();
    let diagnostic = Diagnostic::new(Code::Syntax, span, said.join(", "));
    match help(line, &said) {
        Some(help) => diagnostic.help(help),
        None => diagnostic,
    }
}

/// Splits a line that has a value without quotes.
fn unquoted(line: &str) -> Option<(&str, &str)> {
    let (key, value) = line.split_once('=')?;
    let value = value.split('#').next()?.trim();
    let plain = |c: char| !c.is_control() && !"\"'[]{}=,".contains(c);
    let is_text = !value.is_empty() && value.len() < 80 && value.chars().all(plain);
    is_text.then(|| (key.trim(), value))
}

/// Returns the fix for YAML syntax, and for brackets and quotes that are not closed.
fn help(line: &str, said: &[&str]) -> Option<String> {
    if let Some((key, value)) = line.split_once(':')
        && key.trim().chars().all(|c| c.is_ascii_alphanumeric() || "-_".contains(c))
        && !key.trim().is_empty()
    {
        let (key, value) = (key.trim(), value.trim());
        let bare = value.parse::<i64>().is_ok() || matches!(value, "true" | "false");
        return Some(match value.is_empty() {
            true => format!("this looks like YAML; in TOML: [{key}]"),
            false if bare => format!("this looks like YAML; in TOML: {key} = {value}"),
            false => {
                format!("this looks like YAML; in TOML: {key} = \"{}\"", value.trim_matches(['"', '\'']))
            }
        });
    }
    let said = said.first()?;
    let help = match *said {
        said if said.contains("unclosed table") => "a table header ends with `]` on the same line",
        said if said.contains("unclosed array") => "a list ends with `]`",
        said if said.contains("unclosed inline table") => "an inline table ends with `}`",
        said if said.contains("basic string") || said.contains("literal string") => {
            "a string ends on the same line with the quote that it begins with; \"\"\" begins a multi-line string"
        }
        said if said.contains("missing comma") => {
            "a comma is missing, or the list or table above is not closed"
        }
        said if said.contains("key with no value") => "a key is followed by `=` and its value",
        _ => "a lab file is TOML: lines like key = \"value\" below [table] lines",
    };
    Some(help.to_owned())
}
