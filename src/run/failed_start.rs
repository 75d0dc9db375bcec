//! The record and the report of a run that did not start, so that commands for runs show why.

use std::io;
use std::path::Path;

use jiff::Timestamp;

use super::fold::Fold;
use super::record::{Recorder, run_started};
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
        actions: fold.action_reports(plan),
        injected: Vec::new(),
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
        run_started(plan),
        Known::StepFailed { step, text: "start the supervisor".to_owned(), error: chain(error) },
        Known::RunEnded { exit },
    ] {
        recorder.record(&Event::of_run(now, None, known))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::store::StoreError;
    use super::*;
    use crate::event::Kind;
    use crate::plan::tests::{facts, lab};

    #[test]
    fn a_failed_start_blames_no_step_that_the_plan_does_not_have() {
        let text = r#"
            dryrack = 1
            network.lan.address = "10.0.2.1/24"
            node.a.disk.root = { size = "4GiB", source = "image:debian/disk" }
        "#;
        let plan = crate::plan::plan(&lab(text), &facts()).unwrap();
        let error = StoreError::NoRun { folder: "/runs".into() };
        let events = |plan: &Plan| {
            let run_dir = tempfile::tempdir().unwrap();
            record(run_dir.path(), plan, Timestamp::UNIX_EPOCH, &error);
            let text = std::fs::read_to_string(run_dir.path().join("events.jsonl")).unwrap();
            let lines = text.lines().skip(1).map(|line| serde_json::from_str::<Event>(line).unwrap().kind);
            lines.collect::<Vec<_>>()
        };
        let step = |events: &[Kind]| match events {
            [
                Kind::Known(started),
                Kind::Known(Known::StepFailed { step, .. }),
                Kind::Known(Known::RunEnded { .. }),
            ] => {
                assert_eq!(started, &run_started(&plan));
                *step
            }
            _ => panic!("{events:#?}"),
        };
        let blamed = step(&events(&plan)).map(|step| &plan.steps[step]);
        assert!(matches!(blamed, Some(Step::MakeNamespaces { .. })), "{blamed:?}");
        let mut without = plan.clone();
        without.steps.retain(|step| !matches!(step, Step::MakeNamespaces { .. }));
        assert_eq!(step(&events(&without)), None);
    }
}
