//! The record and the report of a run that did not start, so that commands for runs show why.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;

use jiff::Timestamp;

use super::fold::Fold;
use super::record::Recorder;
use super::store;
use crate::event::{Event, Header, Instant, Known, RunTime, SCHEMA};
use crate::hint::{Hint, chain};
use crate::plan::{Plan, Step};
use crate::report::{self, Report, RunError, Whose};

/// Records why a run of a plan did not start, and returns its exit code.
pub(super) fn record(run_dir: &Path, plan: &Plan, started: Timestamp, error: &dyn Hint) -> u8 {
    let run_error = RunError::new(Whose::Host, error);
    let exit = run_error.whose.exit();
    // The user sees the error itself in any case.
    if let Err(unwritten) = write_events(run_dir, plan, started, error, exit) {
        tracing::error!("cannot write the events of the run: {unwritten}");
    }
    let fold = Fold::new(plan);
    let report = Report {
        schema: report::SCHEMA,
        version: env!("CARGO_PKG_VERSION").to_owned(),
        run: store::run_id(run_dir),
        lab: plan.lab.clone(),
        file: plan.file.clone(),
        accel: plan.accel,
        started,
        ended: RunTime::START,
        exit,
        verdicts: fold.verdicts(),
        nodes: fold.node_reports(plan),
        run_errors: vec![run_error],
        leaks: Vec::new(),
        parts: [("dryrack".to_owned(), env!("CARGO_PKG_VERSION").to_owned())].into(),
    };
    if let Err(unwritten) = store::write_report(run_dir, &report) {
        tracing::error!("cannot write the report of the run: {unwritten}");
    }
    exit
}

fn write_events(
    run_dir: &Path,
    plan: &Plan,
    started: Timestamp,
    error: &dyn Hint,
    exit: u8,
) -> io::Result<()> {
    let header = Header { dryrack_events: SCHEMA, version: env!("CARGO_PKG_VERSION").to_owned(), started };
    // The supervisor may have begun the record, without any event.
    let mut recorder = Recorder::restart(run_dir, &header)?;
    let step = plan.steps.iter().position(|step| matches!(step, Step::MakeNamespaces { .. }));
    let now = Instant { at: RunTime::START, wall: started };
    for known in [
        Known::RunStarted {
            lab: plan.lab.to_string(),
            accel: plan.accel.as_str().to_owned(),
            nodes: BTreeMap::new(),
            waits: Box::default(),
        },
        Known::StepFailed {
            step: step.unwrap_or_default(),
            text: "start the supervisor".to_owned(),
            error: chain(error),
        },
        Known::RunEnded { exit },
    ] {
        recorder.record(&Event::of_run(now, None, known))?;
    }
    Ok(())
}
