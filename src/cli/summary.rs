//! Reports for labs whose run wrote none, so that JUnit lists every lab.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::BufReader;
use std::path::{Path, PathBuf};

use jiff::Timestamp;

use super::blueprint::Blueprint;
use super::output::Stop;
use crate::event;
use crate::name::LabName;
use crate::plan::Accel;
use crate::report::{self, NodeReport, Report, RunError, Whose, exit};
use crate::run::client::Status;

/// The contents of a report that do not depend on the result of the run.
#[derive(Debug, Clone)]
pub(super) struct LabSummary {
    lab: LabName,
    file: PathBuf,
    accel: Accel,
    began: Timestamp,
}

impl LabSummary {
    /// Starts the summary of a lab.
    pub(super) fn open(blueprint: &Blueprint) -> Self {
        #[expect(clippy::disallowed_methods, reason = "there is no run yet whose clock could be used")]
        let began = Timestamp::now();
        Self { lab: blueprint.lab().clone(), file: blueprint.file().clone(), accel: blueprint.accel(), began }
    }

    /// Creates the report of a lab that was never started.
    pub(super) fn of_stop(&self, stop: &Stop) -> Report {
        let whose = match stop.code {
            exit::WRONG => Whose::Lab,
            exit::BUG => Whose::Ours,
            _ => Whose::Host,
        };
        let what = stop.what.clone().unwrap_or_else(|| "the lab could not be brought up".to_owned());
        self.of_run_error(
            RunError { whose, what, causes: Vec::new(), hint: stop.hint.clone(), output: Vec::new() },
            stop.code,
            None,
        )
    }

    /// Creates the report of a run that wrote none.
    pub(super) fn of_run_error(&self, run_error: RunError, exit: u8, run_dir: Option<&Path>) -> Report {
        Report { exit, run_errors: vec![run_error], ..self.blank(run_dir) }
    }

    /// Creates the report of a lab that was left up.
    pub(super) fn of_status(&self, status: Status, run_dir: &Path) -> Report {
        let nodes = status.snapshot.nodes.iter();
        let injected = status.snapshot.faults.clone();
        Report {
            accel: status.accel,
            ended: status.snapshot.now,
            exit: exit::MISSED,
            verdicts: status.verdicts,
            nodes: nodes.map(|(node, view)| (node.clone(), NodeReport::new(view, None))).collect(),
            injected,
            ..self.blank(Some(run_dir))
        }
    }

    fn blank(&self, run_dir: Option<&Path>) -> Report {
        Report {
            schema: report::SCHEMA,
            version: env!("CARGO_PKG_VERSION").to_owned(),
            run: run_dir.and_then(Path::file_name).unwrap_or_default().to_string_lossy().into_owned(),
            lab: self.lab.clone(),
            file: self.file.clone(),
            accel: self.accel,
            started: run_dir.and_then(started).unwrap_or(self.began),
            ended: event::RunTime::START,
            exit: exit::MET,
            verdicts: Vec::new(),
            nodes: BTreeMap::new(),
            actions: Vec::new(),
            injected: Vec::new(),
            run_errors: Vec::new(),
            leaks: Vec::new(),
            parts: BTreeMap::from([("dryrack".to_owned(), env!("CARGO_PKG_VERSION").to_owned())]),
        }
    }
}

/// Returns the start time of a run from its record.
fn started(run_dir: &Path) -> Option<Timestamp> {
    let file = File::open(run_dir.join("events.jsonl")).ok()?;
    Some(event::read(BufReader::new(file)).ok()?.header.started)
}
