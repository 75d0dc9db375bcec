//! The only module that prints: data to standard output, everything else to standard error.
//!
//! Colour and weight are only for terminals ([`anstream`] strips them elsewhere), and never carry meaning alone.

use std::io::Write;

use anstyle::{AnsiColor, Style};

use crate::diag::{self, Diagnostic, Sources};
use crate::hint::{Hint, chain};
use crate::report::{self, Line, Report, Tone, exit};

const BAD: Style = AnsiColor::Red.on_default().bold();
const GOOD: Style = AnsiColor::Green.on_default();
const DOUBTFUL: Style = AnsiColor::Yellow.on_default();
const BOLD: Style = Style::new().bold();

/// Ends a command early: its message and exit code.
#[derive(Debug)]
pub(super) struct Stop {
    /// The exit code.
    pub(super) code: u8,
    /// The error message; `None` if it was already printed.
    pub(super) what: Option<String>,
    /// The hint.
    pub(super) hint: Option<String>,
}

impl Stop {
    /// Creates a stop with a message.
    pub(super) fn new(code: u8, what: impl Into<String>, hint: Option<impl Into<String>>) -> Self {
        Self { code, what: Some(what.into()), hint: hint.map(Into::into) }
    }

    /// Creates a stop from an error and its causes: a problem of the host.
    pub(super) fn host(error: &dyn Hint) -> Self {
        Self::new(exit::UNFIT, chain(error), error.hint())
    }

    /// Creates a stop from an error and its causes: a problem of the command line or the lab.
    pub(super) fn wrong(error: &dyn Hint) -> Self {
        Self::new(exit::WRONG, chain(error), error.hint())
    }

    /// Ends with an exit code after everything was printed.
    pub(super) fn silent(code: u8) -> Self {
        Self { code, what: None, hint: None }
    }
}

/// Prints the error that ended a command.
pub(super) fn stop(stop: &Stop) {
    if let Some(what) = &stop.what {
        error(what, stop.hint.as_deref());
    }
}

/// Prints an error with its hint.
pub(super) fn error(what: &str, hint: Option<&str>) {
    say(&format!("{BAD}error{BAD:#}{BOLD}:{BOLD:#} {what}\n"));
    if let Some(hint) = hint {
        say(&format!("\n{BOLD}hint:{BOLD:#} {hint}\n"));
    }
}

/// Prints a note, outside any progress display.
pub(super) fn note(text: &str) {
    say(&format!("{text}\n"));
}

fn say(text: &str) {
    // A closed pipe is not an error and must not end a lab.
    anstream::stderr().lock().write_all(text.as_bytes()).ok();
}

/// Writes data.
pub(super) fn data(text: &str) {
    let mut out = anstream::stdout().lock();
    // A closed pipe is not an error.
    out.write_all(text.as_bytes()).and_then(|()| out.flush()).ok();
}

/// Writes the report of a run.
pub(super) fn report(report: &Report) {
    data(&painted(&report::text(report, width())));
}

/// Writes lines, coloured by their roles.
pub(super) fn lines(lines: &[Line]) {
    let text: String = lines.iter().map(painted_line).collect();
    data(&text);
}

fn painted_line(Line { tone, text }: &Line) -> String {
    let style = match tone {
        Tone::Heading | Tone::Stage => BOLD,
        Tone::Plain => return text.clone(),
        Tone::Met => GOOD,
        Tone::Trouble => BAD,
    };
    let paint = |line: &str| {
        let words = line.trim_start();
        let (indent, words) = (&line[..line.len() - words.len()], words.trim_end());
        if words.is_empty() { line.to_owned() } else { format!("{indent}{style}{words}{style:#}\n") }
    };
    text.split_inclusive('\n').map(paint).collect()
}

/// Returns the width of text on standard output: that of the terminal, if it is one.
pub(super) fn width() -> usize {
    let terminal = terminal_size::terminal_size_of(std::io::stdout());
    terminal.map_or(report::WIDTH, |(columns, _)| columns.0.into())
}

/// Colours the outcome at the start of a line.
pub(super) fn painted(text: &str) -> String {
    let words = [
        ("  met ", GOOD),
        ("  missed ", BAD),
        ("  not reached ", DOUBTFUL),
        ("  pending ", DOUBTFUL),
        ("error:", BAD),
        ("hint:", BOLD),
        ("cleanup incomplete:", BAD),
        ("ok ", GOOD),
        ("warn ", DOUBTFUL),
        ("fail ", BAD),
    ];
    let mut painted = String::new();
    for line in text.split_inclusive('\n') {
        match words.iter().find(|(word, _)| line.starts_with(word)) {
            Some((word, style)) => {
                let rest = &line[word.len()..];
                painted.extend([&format!("{style}{word}{style:#}"), rest]);
            }
            None => painted.push_str(line),
        }
    }
    painted
}

/// Writes bytes unchanged.
pub(super) fn bytes(bytes: &[u8]) {
    let mut out = std::io::stdout().lock();
    // A closed pipe is not an error.
    out.write_all(bytes).and_then(|()| out.flush()).ok();
}

/// Writes a value as JSON.
pub(super) fn json(value: &impl serde::Serialize) -> Result<(), Stop> {
    let text = serde_json::to_string_pretty(value).map_err(no_json)?;
    bytes(format!("{text}\n").as_bytes());
    Ok(())
}

/// Returns a value as JSON on one line.
pub(super) fn json_line(value: &impl serde::Serialize) -> Result<String, Stop> {
    serde_json::to_string(value).map(|text| text + "\n").map_err(no_json)
}

fn no_json(error: serde_json::Error) -> Stop {
    Stop::new(exit::BUG, format!("cannot write JSON: {error}"), None::<String>)
}

/// Prints the diagnostics of a lab.
pub(super) fn diagnostics(diagnostics: &[Diagnostic], sources: &Sources) {
    say(&diag::render(diagnostics, sources, true));
}

/// Prints clap's output (help, version, command line errors) and returns the exit code.
pub(super) fn usage(error: &clap::Error) -> u8 {
    // A closed pipe is not an error.
    error.print().ok();
    if error.use_stderr() { exit::WRONG } else { exit::MET }
}

/// Writes developer logs to standard error, filtered by `DRYRACK_LOG`.
pub(super) fn log_to_stderr() {
    let filter = tracing_subscriber::EnvFilter::try_from_env("DRYRACK_LOG")
        .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new("warn"));
    // It is an error if a logger is already set; that one stays.
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).try_init().ok();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paint_changes_no_word() {
        let text = "  met   x\nerror: a\n\nhint: met\n  missed\nplain";
        let painted = painted(text);
        assert_eq!(anstream::adapter::strip_str(&painted).to_string(), text);
        assert!(painted.starts_with("\u{1b}[32m  met \u{1b}[0m"), "{painted:?}");
        for tone in [Tone::Heading, Tone::Stage, Tone::Plain, Tone::Met, Tone::Trouble] {
            let line = Line { tone, text: "\n  one\n    two\n".to_owned() };
            assert_eq!(anstream::adapter::strip_str(&painted_line(&line)).to_string(), line.text);
        }
    }
}
