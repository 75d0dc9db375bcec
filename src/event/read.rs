//! Reads the record of a run from `events.jsonl`.

use std::borrow::Cow;
use std::io::{self, BufRead};

use serde::Deserialize;

use super::{Event, Header, SCHEMA};
use crate::hint::Hint;

/// The oldest format that is read.
const FIRST: u32 = 1;

/// A recorded run.
#[derive(Debug, Clone, PartialEq)]
pub struct Recorded {
    /// The first line.
    pub header: Header,
    /// The events, in the order of the file.
    pub events: Vec<Event>,
    /// Whether the last line is incomplete because the writer was killed. It is left out.
    pub torn: bool,
}

/// Why a recorded run cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The file could not be read.
    #[error("cannot read the events")]
    Read(#[source] io::Error),
    /// The header is missing.
    #[error("the first line is not the header of a record of events")]
    NoHeader(#[source] Option<serde_json::Error>),
    /// The file was written in another format.
    #[error("the events are in format {found}, this version of dryrack reads formats {FIRST} to {SCHEMA}")]
    OtherSchema {
        /// The format of the file.
        found: u32,
        /// The version that wrote it.
        version: String,
    },
    /// A line in the middle is damaged.
    #[error("line {line} is not an event")]
    Damaged {
        /// Its number, from 1.
        line: usize,
        /// The problem.
        #[source]
        source: serde_json::Error,
    },
}

impl Hint for ReadError {
    fn hint(&self) -> Option<Cow<'static, str>> {
        match self {
            Self::OtherSchema { version, .. } => {
                Some(format!("it was written by dryrack {version}: use that version").into())
            }
            Self::NoHeader(_) => Some("name a run folder, or its `events.jsonl`".into()),
            Self::Read(_) | Self::Damaged { .. } => None,
        }
    }
}

/// Reads a record: a header, then one event per line.
///
/// An incomplete last line is left out and reported; unknown kinds are kept unchanged.
pub fn read(mut from: impl BufRead) -> Result<Recorded, ReadError> {
    let mut line = Vec::new();
    from.read_until(b'\n', &mut line).map_err(ReadError::Read)?;
    let header = header(&line)?;
    let (mut events, mut torn) = (Vec::new(), false);
    for number in 2.. {
        line.clear();
        if from.read_until(b'\n', &mut line).map_err(ReadError::Read)? == 0 {
            break;
        }
        match serde_json::from_slice(&line) {
            Ok(event) => events.push(event),
            // The writer appends the newline last, so a line without one is incomplete.
            Err(_) if line.last() != Some(&b'\n') => torn = true,
            Err(source) => return Err(ReadError::Damaged { line: number, source }),
        }
    }
    // Events that were read are in the current format.
    let header = Header { dryrack_events: SCHEMA, ..header };
    Ok(Recorded { header, events, torn })
}

fn header(line: &[u8]) -> Result<Header, ReadError> {
    /// The fields that every format has.
    #[derive(Deserialize)]
    struct Any {
        dryrack_events: u32,
        #[serde(default)]
        version: String,
    }
    if line.is_empty() {
        return Err(ReadError::NoHeader(None));
    }
    let Any { dryrack_events: found, version } =
        serde_json::from_slice(line).map_err(|source| ReadError::NoHeader(Some(source)))?;
    if !(FIRST..=SCHEMA).contains(&found) {
        return Err(ReadError::OtherSchema { found, version });
    }
    serde_json::from_slice(line).map_err(|source| ReadError::NoHeader(Some(source)))
}

#[cfg(test)]
mod tests {
    use insta::assert_snapshot;

    use super::*;
    use crate::event::Kind;

    const HEADER: &str = r#"{"dryrack_events":2,"version":"0.1.0","started":"2026-11-20T00:00:00Z"}"#;
    const UP: &str = r#"{"at":1,"wall":"2026-11-20T00:00:00Z","kind":"lab-up","fields":{}}"#;

    fn check(text: &str) -> String {
        match read(text.as_bytes()) {
            Ok(Recorded { events, torn, .. }) => format!("{} events, torn: {torn}", events.len()),
            Err(error) => format!("{error}\n{}", error.hint().unwrap_or_default()).trim_end().to_owned(),
        }
    }

    #[test]
    fn a_torn_last_line_is_left_out() {
        assert_snapshot!(check(&format!("{HEADER}\n{UP}\n{}", &UP[..30])), @"1 events, torn: true");
        assert_snapshot!(check(&format!("{HEADER}\n{UP}\n{UP}")), @"2 events, torn: false");
        assert_snapshot!(check(&format!("{HEADER}\n")), @"0 events, torn: false");
        assert_snapshot!(check(HEADER), @"0 events, torn: false");
    }

    #[test]
    fn a_line_torn_within_a_character_is_left_out() {
        let mut bytes = format!("{HEADER}\n").into_bytes();
        bytes.extend(br#"{"at":1,"wall":"#);
        bytes.push(0xc3);
        assert!(read(bytes.as_slice()).unwrap().torn);
    }

    #[test]
    fn a_damaged_line_is_named() {
        assert_snapshot!(check(&format!("{HEADER}\n{UP}\nnonsense\n{UP}\n")), @"line 3 is not an event");
    }

    #[test]
    fn another_format_is_refused() {
        assert_snapshot!(check(&HEADER.replace(":2,", ":9,")), @r"
        the events are in format 9, this version of dryrack reads formats 1 to 2
        it was written by dryrack 0.1.0: use that version
        ");
        assert_snapshot!(check(""), @r"
        the first line is not the header of a record of events
        name a run folder, or its `events.jsonl`
        ");
        assert_snapshot!(check("hello\n"), @r"
        the first line is not the header of a record of events
        name a run folder, or its `events.jsonl`
        ");
    }

    #[test]
    fn unknown_kinds_are_kept() {
        let text = format!("{HEADER}\n{}\n", UP.replace("lab-up", "lab-flew"));
        let recorded = read(text.as_bytes()).unwrap();
        assert!(matches!(&recorded.events[0].kind, Kind::Unknown { kind, .. } if kind == "lab-flew"));
    }
}
