//! The only place that prints: data to standard output, everything else to standard error.

use std::error::Error;
use std::io::{IsTerminal, Write};

use crate::diag::{self, Diagnostic, Sources};
use crate::report::exit;

/// Why a verb ends early: what is said, and the exit code.
#[derive(Debug)]
pub(super) struct Stop {
    /// The exit code.
    pub(super) code: u8,
    /// What went wrong; `None` if that was said already.
    pub(super) what: Option<String>,
    /// What to do next.
    pub(super) hint: Option<String>,
}

impl Stop {
    /// Makes a stop of a text.
    pub(super) fn new(code: u8, what: impl Into<String>, hint: Option<impl Into<String>>) -> Self {
        Self { code, what: Some(what.into()), hint: hint.map(Into::into) }
    }

    /// Makes a stop of an error with its causes: this host's problem.
    pub(super) fn host(error: &(dyn Error + 'static), hint: Option<impl Into<String>>) -> Self {
        Self::new(exit::UNFIT, crate::run::chain(error), hint)
    }

    /// Makes a stop of an error with its causes: the command line's or the lab's problem.
    pub(super) fn wrong(error: &(dyn Error + 'static), hint: Option<impl Into<String>>) -> Self {
        Self::new(exit::WRONG, crate::run::chain(error), hint)
    }

    /// Ends with a code when everything was said already.
    pub(super) fn silent(code: u8) -> Self {
        Self { code, what: None, hint: None }
    }
}

/// Says why a verb ended early.
pub(super) fn stop(stop: &Stop) {
    if let Some(what) = &stop.what {
        error(what, stop.hint.as_deref());
    }
}

/// Says what is wrong and what would help.
pub(super) fn error(what: &str, hint: Option<&str>) {
    let (red, bold, plain) = ("\x1b[1;31m", "\x1b[1m", "\x1b[0m");
    anstream::eprintln!("{red}error{plain}{bold}:{plain} {what}");
    if let Some(hint) = hint {
        anstream::eprintln!("\n{bold}hint:{plain} {hint}");
    }
}

/// Says something that is worth knowing, outside any progress display.
pub(super) fn note(text: &str) {
    anstream::eprintln!("{text}");
}

/// Writes data.
pub(super) fn data(text: &str) {
    let mut out = anstream::stdout().lock();
    // Whoever closed the pipe has seen enough.
    out.write_all(text.as_bytes()).and_then(|()| out.flush()).ok();
}

/// Writes bytes as they are.
pub(super) fn bytes(bytes: &[u8]) {
    let mut out = std::io::stdout().lock();
    // Whoever closed the pipe has seen enough.
    out.write_all(bytes).and_then(|()| out.flush()).ok();
}

/// Writes a value as JSON.
pub(super) fn json(value: &impl serde::Serialize) -> Result<(), Stop> {
    let text = serde_json::to_string_pretty(value).map_err(no_json)?;
    data(&format!("{text}\n"));
    Ok(())
}

/// Returns a value as JSON on one line.
pub(super) fn json_line(value: &impl serde::Serialize) -> Result<String, Stop> {
    serde_json::to_string(value).map(|text| text + "\n").map_err(no_json)
}

fn no_json(error: serde_json::Error) -> Stop {
    Stop::new(exit::BUG, format!("cannot write JSON: {error}"), None::<String>)
}

/// Draws what is wrong in a lab.
pub(super) fn diagnostics(diagnostics: &[Diagnostic], sources: &Sources) {
    anstream::eprint!("{}", diag::render(diagnostics, sources, std::io::stderr().is_terminal()));
}

/// Shows clap's own words (help, version, what is wrong with the command line) and returns the exit code.
pub(super) fn usage(error: &clap::Error) -> u8 {
    // Whoever closed the pipe has seen enough.
    error.print().ok();
    if error.use_stderr() { exit::WRONG } else { exit::MET }
}

/// Has what developers log go to standard error, as `DRYRACK_LOG` asks.
pub(super) fn log_to_stderr() {
    let filter = tracing_subscriber::EnvFilter::try_from_env("DRYRACK_LOG")
        .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new("warn"));
    // A second call finds the first one's, which does.
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).try_init().ok();
}
