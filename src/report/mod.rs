//! The report of a run, and its output formats.
//!
//! Never looks anything up: a report is made from the events of a run, and every format from the report alone.

mod bmc_list;
mod critical_path;
mod diff;
mod event_list;
#[cfg(test)]
mod examples;
pub mod exit;
mod explained;
mod finding;
mod junit;
mod life;
mod markdown;
mod paragraph;
mod perfetto;
mod text;
mod told;
mod trace;

pub use bmc_list::{BmcFormat, bmc_list};
pub use critical_path::{CriticalPath, Link, LinkKind, critical_path};
pub use diff::{DiffLine, NodeDiff, RunDiff, RunSide, diff};
pub use event_list::{EventList, event_list};
pub use explained::{CaptureSummary, EXPLAINED_SCHEMA, Explained, Explainer, Machine, Served, Server};
pub use finding::finding;
pub use junit::junit;
pub use markdown::markdown;
pub use paragraph::paragraph;
pub use perfetto::perfetto;
pub use text::{WIDTH, tally, text, verdicts};
pub use told::{Difference, Told};
pub use trace::{Follower, Line, Tone, trace};

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;
use std::path::PathBuf;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::event::{Finding, RunTime, Stage};
use crate::expect::Verdict;
use crate::hint::{Hint, causes};
use crate::name::{ActionName, LabName, NodeName};
use crate::observe::{Booted, FaultView, NodeView, ScreenShown, Sighting};
use crate::plan::Accel;

/// The version of the format of `report.json`.
pub const SCHEMA: u32 = 1;

/// The report of a run: `report.json` in the run folder.
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
    /// The accelerator of its machines.
    pub accel: Accel,
    /// Wall-clock time of the start.
    pub started: Timestamp,
    /// Wall-clock time of the end.
    pub ended: RunTime,
    /// Its exit code, one of [`exit`].
    pub exit: u8,
    /// The result of each expectation.
    pub verdicts: Vec<Verdict>,
    /// The result of each node.
    pub nodes: BTreeMap<NodeName, NodeReport>,
    /// The result of each action.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub actions: Vec<ActionReport>,
    /// What went wrong on purpose.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub injected: Vec<FaultView>,
    /// Errors of the run itself.
    #[serde(rename = "errors", alias = "faults")]
    pub run_errors: Vec<RunError>,
    /// What the cleanup could not remove.
    pub leaks: Vec<Leak>,
    /// Versions and digests of the software and images used.
    pub parts: BTreeMap<String, String>,
}

/// The result of a node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeReport {
    /// Its network boot path as text; `None` if it does not boot from the network.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub way: Option<String>,
    /// What the lab file asked of QEMU beyond the format, as arguments.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub qemu: Option<String>,
    /// The stage reached when the lab was torn down.
    pub stage: Stage,
    /// How often its firmware started.
    pub boots: u32,
    /// The most recent known address at which it is reachable.
    pub address: Option<IpAddr>,
    /// Every stage it reached, with its time.
    pub timeline: Vec<(Stage, RunTime)>,
    /// The boot source of each boot.
    #[serde(default)]
    pub booted: Vec<Booted>,
    /// The last observation.
    pub last: Option<Sighting>,
    /// What was last on its screen, if it failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub screen: Option<ScreenShown>,
    /// Why it did not come further, the surest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub findings: Vec<Finding>,
}

impl NodeReport {
    /// Creates the report of a node from its state and its network boot path, if it has one.
    pub fn new(view: &NodeView, way: Option<String>) -> Self {
        Self {
            way,
            qemu: None,
            stage: view.stage,
            boots: view.boots,
            address: view.address,
            timeline: view.timeline.clone(),
            booted: view.booted.clone(),
            last: view.last.clone(),
            screen: None,
            findings: view.findings.clone(),
        }
    }

    /// Adds what the lab file asked of QEMU beyond the format.
    #[must_use]
    pub fn with_qemu(self, qemu: Option<String>) -> Self {
        Self { qemu, ..self }
    }

    /// Adds what was last on the screen.
    #[must_use]
    pub fn with_screen(self, view: &NodeView) -> Self {
        Self { screen: view.screen.shown().cloned(), ..self }
    }
}

/// The result of an action.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ActionReport {
    /// The action.
    pub action: ActionName,
    /// The action as text.
    pub what: String,
    /// The nodes to which it was done.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub nodes: Vec<NodeName>,
    /// When it was started, if it was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started: Option<RunTime>,
    /// When it ended, if it did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended: Option<RunTime>,
    /// Why it failed, if it did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failed: Option<String>,
    /// Why it was not started, if that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub barred: Option<String>,
}

/// Who has to fix a run error.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Whose {
    /// The user: the lab file asks for something impossible.
    Lab,
    /// A machine or a process: it ended unexpectedly.
    Machine,
    /// The host: it lacks something, or refused something.
    Host,
    /// Dryrack: an internal error.
    Ours,
}

impl Whose {
    /// Returns the exit code of a run that ended with such an error.
    pub fn exit(self) -> u8 {
        match self {
            Self::Lab => exit::WRONG,
            Self::Machine => exit::MISSED,
            Self::Host => exit::UNFIT,
            Self::Ours => exit::BUG,
        }
    }
}

/// An error of the run itself: a step that failed, a crash.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunError {
    /// Who has to fix it.
    pub whose: Whose,
    /// What went wrong, on what.
    pub what: String,
    /// The causes, the nearest first.
    pub causes: Vec<String>,
    /// What to do next.
    pub hint: Option<String>,
    /// The last lines of the process that failed, if it is about one.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub output: Vec<String>,
}

impl RunError {
    /// Creates a run error from an error, its causes and its hint.
    pub fn new(whose: Whose, error: &dyn Hint) -> Self {
        let hint = error.hint().map(Cow::into_owned);
        Self { whose, what: error.to_string(), causes: causes(error), hint, output: Vec::new() }
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
    /// What could not be done, in the imperative: `delete link drb5d68a62a`.
    pub what: String,
    /// The error.
    pub why: String,
}

impl fmt::Display for Leak {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "cannot {}: {}", self.what, self.why)
    }
}

/// Why a text cannot be read as a report.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// It is not JSON, or not a report.
    #[error("not a report")]
    NoReport(#[source] serde_json::Error),
    /// It has another format version.
    #[error("the report has format {found}, but this version of dryrack reads format {SCHEMA}")]
    OtherSchema {
        /// The format of the text.
        found: u32,
    },
}

impl Report {
    /// Returns the report as JSON, as it is stored in the run folder.
    pub fn to_json(&self) -> String {
        let text =
            serde_json::to_string_pretty(self).expect("a report has only texts, numbers and texts as keys");
        text + "\n"
    }

    /// Parses a report from JSON.
    pub fn from_json(text: &[u8]) -> Result<Self, ReadError> {
        /// The field that every format has.
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

    /// Tells whether every expectation was met. An undecided one counts as missed.
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
