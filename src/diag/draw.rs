//! Diagnostics as text and as JSON.

use std::borrow::Cow;

use annotate_snippets::{AnnotationKind, Group, Level, Renderer, Snippet};
use serde_json::{Map, Value};

use super::{Diagnostic, MOST, Severity, Sources, Span};

/// Maximum number of diagnostics shown; the rest is only counted.
const SHOWN: usize = 100;

/// Longest excerpt of one line, so that a file without line breaks stays readable.
const WIDEST: usize = 200;

/// Renders diagnostics below the lines they point at, followed by their number and a hint to `dryrack explain`.
pub fn render(diagnostics: &[Diagnostic], sources: &Sources, color: bool) -> String {
    if diagnostics.is_empty() {
        return String::new();
    }
    let mut blocks: Vec<_> =
        diagnostics.iter().take(SHOWN).map(|diagnostic| draw(diagnostic, sources, color)).collect();
    blocks.push(summary(diagnostics));
    blocks.join("\n\n") + "\n"
}

fn draw(diagnostic: &Diagnostic, sources: &Sources, color: bool) -> String {
    let level = match diagnostic.code.severity() {
        Severity::Error => Level::ERROR,
        Severity::Warning => Level::WARNING,
    };
    let mut group =
        Group::with_title(level.primary_title(plain(&diagnostic.message)).id(diagnostic.code.number()));
    if let Some(span) = &diagnostic.span {
        // Labels of one file are drawn in one excerpt; those of other files follow.
        let here = diagnostic.related.iter().filter(|related| related.span.file == span.file);
        let elsewhere = diagnostic.related.iter().filter(|related| related.span.file != span.file);
        let mut marks = vec![Mark { kind: AnnotationKind::Primary, span, label: None }];
        marks.extend(here.map(|related| Mark {
            kind: AnnotationKind::Context,
            span: &related.span,
            label: Some(&related.label),
        }));
        group = group.elements(excerpts(&marks, sources));
        for related in elsewhere {
            let mark =
                Mark { kind: AnnotationKind::Context, span: &related.span, label: Some(&related.label) };
            group = group.elements(excerpts(&[mark], sources));
        }
    }
    if let Some(help) = &diagnostic.help {
        group = group.element(Level::HELP.message(plain(help)));
    }
    let renderer = if color { Renderer::styled() } else { Renderer::plain() };
    renderer.render(&[group])
}

struct Mark<'a> {
    kind: AnnotationKind,
    span: &'a Span,
    label: Option<&'a str>,
}

/// Extracts the marked lines of a text: one excerpt if they are close together, else one for each.
fn excerpts<'a>(
    marks: &[Mark<'_>],
    sources: &'a Sources,
) -> Vec<Snippet<'a, annotate_snippets::Annotation<'a>>> {
    let Some(first) = marks.first() else { return Vec::new() };
    let file = first.span.file;
    let text = sources.text(file);
    let windows: Vec<_> = marks.iter().map(|mark| window(text, mark.span)).collect();
    let start = windows.iter().map(|window| window.cut.start).min().unwrap_or(0);
    let end = windows.iter().map(|window| window.cut.end).max().unwrap_or(0);
    let whole_lines = windows.iter().all(|window| window.whole);
    if marks.len() > 1 && (!whole_lines || end - start > 64 * WIDEST) {
        return marks.iter().flat_map(|mark| excerpts(std::slice::from_ref(mark), sources)).collect();
    }
    let mut snippet = Snippet::source(visible(&text[start..end]))
        .path(sources.name(file))
        .line_start(sources.position(file, start).0)
        .fold(true);
    for (mark, window) in marks.iter().zip(&windows) {
        let mut annotation = mark.kind.span(window.mark.start - start..window.mark.end - start);
        if let Some(label) = mark.label {
            annotation = annotation.label(plain(label));
        }
        snippet = snippet.annotation(annotation);
    }
    vec![snippet]
}

struct Window {
    /// The text shown.
    cut: std::ops::Range<usize>,
    /// The marked range inside `cut`.
    mark: std::ops::Range<usize>,
    /// Whether `cut` starts and ends at line breaks.
    whole: bool,
}

/// Extracts the first line of a span; of a very long line only the part around it.
fn window(text: &str, span: &Span) -> Window {
    let start = text.floor_char_boundary(span.start);
    let line_start = text[..start].rfind('\n').map_or(0, |at| at + 1);
    let line_end = text[start..].find('\n').map_or(text.len(), |at| start + at);
    let line_end = line_end - usize::from(text[line_start..line_end].ends_with('\r'));
    let start = start.min(line_end);
    let end = text.ceil_char_boundary(span.end).clamp(start, line_end);
    if line_end - line_start <= WIDEST {
        return Window { cut: line_start..line_end, mark: start..end, whole: true };
    }
    let from = text.floor_char_boundary(start.saturating_sub(WIDEST / 4)).max(line_start);
    let to = text.floor_char_boundary(from + WIDEST).min(line_end);
    Window { cut: from..to, mark: start.min(to)..end.min(to), whole: false }
}

fn summary(diagnostics: &[Diagnostic]) -> String {
    let errors = diagnostics.iter().filter(|diagnostic| diagnostic.is_error()).count();
    let warnings = diagnostics.len() - errors;
    let count = |number: usize, word: &str| match number {
        0 => None,
        1 => Some(format!("1 {word}")),
        more => Some(format!("{more} {word}s")),
    };
    let counts: Vec<_> = [count(errors, "error"), count(warnings, "warning")].into_iter().flatten().collect();
    let hidden = match diagnostics.len().saturating_sub(SHOWN) {
        0 => String::new(),
        hidden => format!(" ({hidden} of them not shown)"),
    };
    let code = diagnostics[0].code.number();
    let least = if diagnostics.len() < MOST { "" } else { "at least " };
    format!("{least}{}{hidden}; for more, run `dryrack explain {code}`", counts.join(", "))
}

/// The renderer escapes all control characters except C1 ones, which some terminals interpret, too.
///
/// Each is replaced by another two-byte character, so that every mark keeps its position.
fn visible(text: &str) -> Cow<'_, str> {
    let upper = |c: char| matches!(c, '\u{80}'..='\u{9f}');
    match text.contains(upper) {
        true => text.replace(upper, "·").into(),
        false => text.into(),
    }
}

/// Messages quote the file, which may contain control characters that must not reach the terminal.
fn plain(text: &str) -> String {
    text.chars().map(|c| if c.is_control() && c != '\n' { '\u{fffd}' } else { c }).collect()
}

/// Returns the diagnostics as JSON: a list of objects with `code`, `severity`, `message`, `help`, `related` and, if
/// there is a position, `file`, `line`, `column`, `end_line`, `end_column`, counted from 1.
pub fn to_json(diagnostics: &[Diagnostic], sources: &Sources) -> Value {
    diagnostics.iter().map(|diagnostic| one(diagnostic, sources)).collect()
}

fn one(diagnostic: &Diagnostic, sources: &Sources) -> Value {
    let mut fields = Map::new();
    fields.insert("code".into(), diagnostic.code.number().into());
    fields.insert("severity".into(), diagnostic.code.severity().as_str().into());
    if let Some(span) = &diagnostic.span {
        position(span, sources, &mut fields);
    }
    fields.insert("message".into(), diagnostic.message.as_str().into());
    fields.insert("help".into(), diagnostic.help.as_deref().into());
    let related = diagnostic.related.iter().map(|related| {
        let mut fields = Map::new();
        position(&related.span, sources, &mut fields);
        fields.insert("label".into(), related.label.as_str().into());
        Value::Object(fields)
    });
    fields.insert("related".into(), related.collect());
    Value::Object(fields)
}

fn position(span: &Span, sources: &Sources, fields: &mut Map<String, Value>) {
    let (line, column) = sources.position(span.file, span.start);
    let (end_line, end_column) = sources.position(span.file, span.end);
    fields.insert("file".into(), sources.name(span.file).into());
    fields.insert("line".into(), line.into());
    fields.insert("column".into(), column.into());
    fields.insert("end_line".into(), end_line.into());
    fields.insert("end_column".into(), end_column.into());
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diag::Code;
    use insta::{assert_json_snapshot, assert_snapshot};

    fn two_files() -> (Vec<Diagnostic>, Sources) {
        let mut sources = Sources::default();
        let lab = sources.add("lab.toml", "a = \"10.0.0.11\"\n\n\n\n\nb = \"10.0.0.11\"\n");
        let set = sources.add("--set", "c=10.0.0.11");
        let diagnostic =
            Diagnostic::new(Code::AddressTaken, Span::new(lab, 24..35), "10.0.0.11 is already taken")
                .related(Span::new(lab, 4..15), "by `a`")
                .related(Span::new(set, 2..11), "and by `c`")
                .help("give each machine its own address");
        (vec![diagnostic], sources)
    }

    #[test]
    fn marks_every_place() {
        let (diagnostics, sources) = two_files();
        assert_snapshot!(render(&diagnostics, &sources, false), @r#"
        error[L105]: 10.0.0.11 is already taken
         --> lab.toml:6:5
          |
        1 | a = "10.0.0.11"
          |     ----------- by `a`
        ...
        6 | b = "10.0.0.11"
          |     ^^^^^^^^^^^
          |
         ::: --set:1:3
          |
        1 | c=10.0.0.11
          |   --------- and by `c`
          |
          = help: give each machine its own address

        1 error; for more, run `dryrack explain L105`
        "#);
        assert!(render(&diagnostics, &sources, true).contains("\u{1b}["));
    }

    #[test]
    fn json_has_places() {
        let (diagnostics, sources) = two_files();
        assert_json_snapshot!(to_json(&diagnostics, &sources), @r#"
        [
          {
            "code": "L105",
            "severity": "error",
            "file": "lab.toml",
            "line": 6,
            "column": 5,
            "end_line": 6,
            "end_column": 16,
            "message": "10.0.0.11 is already taken",
            "help": "give each machine its own address",
            "related": [
              {
                "file": "lab.toml",
                "line": 1,
                "column": 5,
                "end_line": 1,
                "end_column": 16,
                "label": "by `a`"
              },
              {
                "file": "--set",
                "line": 1,
                "column": 3,
                "end_line": 1,
                "end_column": 12,
                "label": "and by `c`"
              }
            ]
          }
        ]
        "#);
    }

    #[test]
    fn long_lines_and_odd_spans_are_cut() {
        let mut sources = Sources::default();
        let text = format!("{}ä\u{1b}[31m = 5\n", "x".repeat(100_000));
        let file = sources.add("lab.toml", text.clone());
        for (start, end) in [(0, 1), (100_001, 100_002), (5, 100_004), (100_000, 999_999), (999, 3)] {
            let diagnostic = Diagnostic::new(Code::Syntax, Span { file, start, end }, "odd \u{1b}[31m");
            let drawn = render(&[diagnostic], &sources, false);
            assert!(drawn.len() < 2_000 && !drawn.contains('\u{1b}'), "{drawn}");
        }
    }
}
