//! Lines as the real server logs them, to standard error.

use std::io::Write;

use crate::event::{Emitter, Event, Instant, Kind, Known};

/// The log level.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Level {
    Fatal,
    Error,
    Warning,
    Info,
    Debug,
}

impl Level {
    /// Parses a level, case-insensitively.
    pub(super) fn read(text: &str) -> Option<Self> {
        Some(match text.to_ascii_lowercase().as_str() {
            "panic" | "fatal" => Self::Fatal,
            "error" => Self::Error,
            "warn" | "warning" => Self::Warning,
            "info" => Self::Info,
            "debug" | "trace" => Self::Debug,
            _ => return None,
        })
    }

    fn as_str(self) -> &'static str {
        match self {
            Self::Fatal => "fatal",
            Self::Error => "error",
            Self::Warning => "warning",
            Self::Info => "info",
            Self::Debug => "debug",
        }
    }
}

/// Logs a line now.
#[expect(
    clippy::disallowed_methods,
    reason = "a log has the time of the wall, and there is no run that has another"
)]
pub(super) fn log(most: Level, level: Level, message: &str) {
    if level <= most {
        write(jiff::Timestamp::now(), level, message);
    }
}

fn write(now: jiff::Timestamp, level: Level, message: &str) {
    // A closed pipe is not an error.
    std::io::stderr().lock().write_all(line(now, level, message).as_bytes()).ok();
}

fn line(now: jiff::Timestamp, level: Level, message: &str) -> String {
    let seconds = jiff::Timestamp::from_second(now.as_second()).unwrap_or(now);
    format!("time=\"{seconds}\" level={} msg={message:?}\n", level.as_str())
}

/// Returns an emitter that logs events of interest to users.
#[expect(
    clippy::disallowed_methods,
    reason = "a log has the time of the wall, and there is no run that has another"
)]
pub(super) fn emitter(most: Level) -> Emitter {
    let begin = std::time::Instant::now();
    let clock = move || Instant { at: begin.elapsed().into(), wall: jiff::Timestamp::now() };
    Emitter::new(clock, move |event: Event| {
        let Kind::Known(known) = &event.kind else { return };
        let (level, message) = words(known);
        if level <= most {
            write(event.wall, level, &message);
        }
    })
}

fn words(known: &Known) -> (Level, String) {
    match known {
        Known::HttpServed { method, path, .. } => (Level::Info, format!("HTTP {method} {path}")),
        Known::MatchboxFailed { .. } | Known::HttpsFailed { .. } => (Level::Warning, known.to_string()),
        Known::RpcRefused { .. } => (Level::Info, known.to_string()),
        Known::ServiceFailed { .. } => (Level::Error, known.to_string()),
        other => (Level::Debug, other.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_those_of_the_real_server() {
        let now = jiff::Timestamp::from_millisecond(1_795_179_619_250).unwrap();
        let said = line(now, Level::Info, "HTTP GET /ipxe?a=\"b\"");
        assert_eq!(said, "time=\"2026-11-20T13:00:19Z\" level=info msg=\"HTTP GET /ipxe?a=\\\"b\\\"\"\n");
    }

    #[test]
    fn levels_are_in_order() {
        assert!(Level::read("PANIC") < Level::read("error"));
        assert!(Level::read("warn") == Level::read("warning") && Level::read("warn") < Level::read("Info"));
        assert_eq!(Level::read("loud"), None);
    }
}
