//! The report of a run, and its output formats.
//!
//! Must never look anything up: a report is made from the events of a run, and every
//! format is made from the report alone.

#[cfg(test)]
mod examples;
pub mod exit;
mod junit;
mod markdown;
mod text;
mod trace;

pub use junit::junit;
pub use markdown::markdown;
pub use text::{text, verdicts};
pub use trace::trace;

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;
use std::path::PathBuf;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::event::{RunTime, Stage};
use crate::expect::Verdict;
use crate::hint::{Hint, causes};
use crate::name::{LabName, NodeName};
use crate::observe::{Booted, NodeView, Sighting};
use crate::plan::Accel;

/// The version of the format of `report.json`.
pub const SCHEMA: u32 = 1;

/// The report of a run: `report.json` in the run's folder.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// [`SCHEMA`] of the writer.
    pub schema: u32,
    /// Version of the program that wrote it.
    pub version: String,
    /// The run.
    pub run: String,
    /// The lab.
    pub lab: LabName,
    /// The lab's file.
    pub file: PathBuf,
    /// What its machines ran under.
    pub accel: Accel,
    /// Wall-clock time of its start.
    pub started: Timestamp,
    /// When it ended.
    pub ended: RunTime,
    /// Its exit code, one of [`exit`].
    pub exit: u8,
    /// The result of each expectation.
    pub verdicts: Vec<Verdict>,
    /// The result of each node.
    pub nodes: BTreeMap<NodeName, NodeReport>,
    /// What went wrong with the run itself.
    #[serde(rename = "errors", alias = "faults")]
    pub run_errors: Vec<RunError>,
    /// What the cleanup could not remove.
    pub leaks: Vec<Leak>,
    /// Versions and digests of everything that took part.
    pub parts: BTreeMap<String, String>,
}

/// The result of a node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeReport {
    /// Its network boot path in words; `None` if it does not boot from the network.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub way: Option<String>,
    /// The stage reached when the lab was torn down.
    pub stage: Stage,
    /// How often its firmware began.
    pub boots: u32,
    /// The address where it is reached, the newest that is known.
    pub address: Option<IpAddr>,
    /// Every stage it reached and when.
    pub timeline: Vec<(Stage, RunTime)>,
    /// What each of its boots came from.
    #[serde(default)]
    pub booted: Vec<Booted>,
    /// What was last seen of it.
    pub last: Option<Sighting>,
}

impl NodeReport {
    /// Makes the report of a node from what was seen of it, and from its way over the network if it has one.
    pub fn new(view: &NodeView, way: Option<String>) -> Self {
        Self {
            way,
            stage: view.stage,
            boots: view.boots,
            address: view.address,
            timeline: view.timeline.clone(),
            booted: view.booted.clone(),
            last: view.last.clone(),
        }
    }
}

/// Whose problem a run error is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Whose {
    /// The lab's: its file asks for what cannot be.
    Lab,
    /// A machine's or a process's: it died on the way.
    Machine,
    /// The host's: it lacks something, or refused something.
    Host,
    /// Ours: an internal error.
    Ours,
}

impl Whose {
    /// Returns the exit code of a run that such an error ended.
    pub fn exit(self) -> u8 {
        match self {
            Self::Lab => exit::WRONG,
            Self::Machine => exit::MISSED,
            Self::Host => exit::UNFIT,
            Self::Ours => exit::BUG,
        }
    }
}

/// Something that went wrong with the run itself: a step that failed, a crash.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunError {
    /// Whose problem it is.
    pub whose: Whose,
    /// What went wrong, on what.
    pub what: String,
    /// Why, and why that.
    pub causes: Vec<String>,
    /// What to do next.
    pub hint: Option<String>,
}

impl RunError {
    /// Makes a run error from an error, its causes and its hint.
    pub fn new(whose: Whose, error: &dyn Hint) -> Self {
        let hint = error.hint().map(Cow::into_owned);
        Self { whose, what: error.to_string(), causes: causes(error), hint }
    }
}

impl fmt::Display for RunError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.what)?;
        self.causes.iter().try_for_each(|cause| write!(f, ": {cause}"))
    }
}

/// Something that the cleanup could not remove.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Leak {
    /// What could not be done about it, as an order: `delete link drb5d68a62a`.
    pub what: String,
    /// Why not.
    pub why: String,
}

impl fmt::Display for Leak {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "cannot {}: {}", self.what, self.why)
    }
}

/// Why a text is not a report.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// It is not JSON, or not a report.
    #[error("not a report")]
    NoReport(#[source] serde_json::Error),
    /// It was written in another format.
    #[error("the report has format {found}, but this version of dryrack reads format {SCHEMA}")]
    OtherSchema {
        /// The format of the text.
        found: u32,
    },
}

impl Report {
    /// Returns the report as JSON, as it lies in the run's folder.
    pub fn to_json(&self) -> String {
        let text =
            serde_json::to_string_pretty(self).expect("a report has only texts, numbers and texts as keys");
        text + "\n"
    }

    /// Reads a report back from JSON.
    pub fn from_json(text: &[u8]) -> Result<Self, ReadError> {
        /// What every format shares.
        #[derive(Deserialize)]
        struct Any {
            schema: u32,
        }
        let Any { schema } = serde_json::from_slice(text).map_err(ReadError::NoReport)?;
        if schema != SCHEMA {
            return Err(ReadError::OtherSchema { found: schema });
        }
        serde_json::from_slice(text).map_err(ReadError::NoReport)
    }

    /// Tells whether every expectation was met. One that could still have been decided counts as missed.
    pub fn is_met(&self) -> bool {
        self.verdicts.iter().all(|verdict| verdict.outcome.is_met())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_survives_a_round_trip() {
        for report in [examples::met(), examples::missed(), examples::broken()] {
            assert_eq!(Report::from_json(report.to_json().as_bytes()).unwrap(), report);
        }
    }

    #[test]
    fn another_format_is_refused() {
        let error = |text: &str| Report::from_json(text.as_bytes()).unwrap_err().to_string();
        let later = "the report has format 2, but this version of dryrack reads format 1";
        assert_eq!(error(r#"{"schema": 2}"#), later);
        assert_eq!(error("[]"), "not a report");
    }

    #[test]
    fn the_json_form_is_stable() {
        insta::assert_snapshot!(examples::missed().to_json());
    }

    #[test]
    fn earlier_reports_called_errors_faults() {
        let report = examples::missed();
        let earlier = report.to_json().replace("\"errors\"", "\"faults\"");
        assert_eq!(Report::from_json(earlier.as_bytes()).unwrap(), report);
    }
}
