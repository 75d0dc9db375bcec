//! One thing that happened, in the past tense, at one instant.
//!
//! The timeline, the expectations, the terminal and the report are all folds over the one stream of events of a run. An
//! event never contains a secret.

mod emitter;
#[cfg(test)]
pub(crate) mod examples;
mod exchange;
mod finding;
mod kinds;
mod rate_limit;
mod read;
mod stage;
mod text;
mod time;
mod waits;
mod words;

pub use emitter::{Emitter, Instant};
pub use exchange::Exchange;
pub use finding::{Finding, FindingEvidence};
pub use kinds::{Delivery, Known, LearnedFrom, Protocol, RouterSeen};
pub(crate) use rate_limit::RateLimit;
pub use read::{ReadError, Recorded, read};
pub use stage::{BootServers, BootSources, BootedFrom, Stage};
pub use text::{Ago, Size};
pub use time::{RunTime, UnixSeconds};
pub use waits::Waits;
pub use words::{
    Certainty, Channel, DhcpClient, DhcpMessage, DnsCode, Facility, FileFormat, FileRole, LearnedBy,
    PowerCause, RpcCode, ScreenMode, Service, Severity, Source, StopState, TftpMode, TftpOutcome, Transport,
    UnreachableCause,
};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::name::NodeName;

/// The version of the format of `events.jsonl`. Format 1, which is still read, has an empty `role` instead of none, and
/// no `nospace`.
pub const SCHEMA: u32 = 2;

/// The first line of `events.jsonl`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Header {
    /// [`SCHEMA`] of the writer.
    pub dryrack_events: u32,
    /// Version of the program that wrote the file.
    pub version: String,
    /// Wall-clock time of nanosecond 0.
    pub started: Timestamp,
}

/// One thing that happened.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(from = "RecordedEvent")]
pub struct Event {
    /// When, on the clock of the run.
    pub at: RunTime,
    /// The same instant on the wall clock.
    pub wall: Timestamp,
    /// Who reports it.
    pub source: Source,
    /// The node that it concerns, if any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub node: Option<NodeName>,
    /// The exchange that it is part of, if any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exchange: Option<Exchange>,
    /// The number of the frame in the capture that shows it, counted from 1, if a frame does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub frame: Option<u64>,
    /// What happened.
    #[serde(flatten)]
    pub kind: Kind,
}

/// A recorded event, possibly of an earlier version.
#[derive(Deserialize)]
struct RecordedEvent {
    at: RunTime,
    wall: Timestamp,
    source: Option<Source>,
    node: Option<NodeName>,
    exchange: Option<Exchange>,
    frame: Option<u64>,
    #[serde(flatten)]
    kind: Kind,
}

impl From<RecordedEvent> for Event {
    fn from(recorded: RecordedEvent) -> Self {
        let RecordedEvent { at, wall, source, node, exchange, frame, kind } = recorded;
        // Format 1 has no source.
        let source = source.unwrap_or_else(|| match &kind {
            Kind::Known(known) => known.usual_source(),
            Kind::Unknown { .. } => Source::Run,
        });
        Self { at, wall, source, node, exchange, frame, kind }
    }
}

impl Event {
    /// Creates an event of the run itself.
    pub fn of_run(now: Instant, node: Option<NodeName>, known: Known) -> Self {
        let Instant { at, wall } = now;
        Self { at, wall, source: Source::Run, node, exchange: None, frame: None, kind: known.into() }
    }
}

/// What happened. Serialised as `"kind": "dhcp-replied", "fields": {…}`.
#[derive(Debug, Clone, PartialEq)]
pub enum Kind {
    /// A kind that this version knows.
    Known(Known),
    /// A kind of another version, kept unchanged.
    Unknown {
        /// Its name.
        kind: String,
        /// Its fields.
        fields: Map<String, Value>,
    },
}

impl From<Known> for Kind {
    fn from(known: Known) -> Self {
        Self::Known(known)
    }
}

impl Serialize for Kind {
    fn serialize<S: serde::Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct Other<'a> {
            kind: &'a str,
            fields: &'a Map<String, Value>,
        }
        match self {
            Self::Known(known) => known.serialize(to),
            Self::Unknown { kind, fields } => Other { kind, fields }.serialize(to),
        }
    }
}

impl<'de> Deserialize<'de> for Kind {
    fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        struct Other {
            kind: String,
            #[serde(default)]
            fields: Map<String, Value>,
        }
        // Deserialised to a value first, so that fields that do not fit a known kind are kept.
        let value = Value::deserialize(from)?;
        if let Ok(known) = Known::deserialize(&value) {
            return Ok(Self::Known(known));
        }
        let Other { kind, fields } = Other::deserialize(value).map_err(serde::de::Error::custom)?;
        Ok(Self::Unknown { kind, fields })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(kind: &str) -> String {
        format!(r#"{{"at":5,"wall":"2026-11-20T00:00:00Z","source":"wire","node":"a",{kind}}}"#)
    }

    #[test]
    fn known_and_unknown_kinds_survive_a_round_trip() {
        for text in [
            line(r#""kind":"console-line","fields":{"text":"hello"}"#),
            line(r#""kind":"lab-up","fields":{}"#),
            line(r#""kind":"from-the-future","fields":{"x":[1,2]}"#),
            line(r#""exchange":"dhcp 52:54:00:00:00:01 1a2b3c4d","kind":"lab-up","fields":{}"#),
        ] {
            let event: Event = serde_json::from_str(&text).unwrap();
            assert_eq!(serde_json::to_string(&event).unwrap(), text);
        }
    }

    #[test]
    fn an_event_of_format_1_has_the_source_that_tells_of_its_kind() {
        for (kind, source) in [
            (r#""kind":"console-line","fields":{"text":"hello"}"#, Source::Console),
            (r#""kind":"lab-up","fields":{}"#, Source::Run),
            (r#""kind":"powered-on","fields":{}"#, Source::Qmp),
            (r#""kind":"router-advertised","fields":{"network":"lan"}"#, Source::Service),
            (r#""kind":"from-the-past","fields":{}"#, Source::Run),
        ] {
            let text = line(kind).replace(r#""source":"wire","#, "");
            assert_eq!(serde_json::from_str::<Event>(&text).unwrap().source, source, "{kind}");
        }
    }
}
