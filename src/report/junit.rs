//! Reports as JUnit: a suite for each lab, a case for each verdict, run error and leak.

use std::time::Duration;

use quick_junit::{NonSuccessKind, Property, TestCase, TestCaseStatus, TestSuite};

use super::{ActionReport, Report, RunError};
use crate::expect::{Outcome, Verdict};

/// Returns the reports as one JUnit document for Jenkins, GitLab and similar systems.
pub fn junit(reports: &[Report]) -> String {
    let mut document = quick_junit::Report::new("dryrack");
    document.set_time(reports.iter().map(|report| report.ended.elapsed()).sum());
    document.add_test_suites(reports.iter().map(suite));
    let xml = document.to_string().expect("every text of a document is made XML before it is written");
    // The JUnit schema of Jenkins does not allow this attribute on the root element, which is written first.
    xml.replacen(&format!(" skipped=\"{}\"", document.skipped), "", 1)
}

fn suite(report: &Report) -> TestSuite {
    let lab = report.lab.as_str();
    let mut suite = TestSuite::new(lab);
    suite.set_time(report.ended.elapsed());
    suite.extra.insert("timestamp".into(), timestamp(report).into());
    let mut property = |name: &str, value: &str| {
        suite.add_property(Property::new(name, value));
    };
    property("run", &report.run);
    property("file", &report.file.display().to_string());
    property("dryrack", &report.version);
    property("accel", report.accel.as_str());
    // Dryrack is one of the parts, too.
    for (part, version) in report.parts.iter().filter(|(part, _)| *part != "dryrack") {
        property(part, version);
    }
    suite.add_test_cases(report.verdicts.iter().map(|verdict| judged(verdict, report)));
    suite.add_test_cases(report.actions.iter().map(|action| acted(action, report)));
    suite.add_test_cases(
        report.run_errors.iter().enumerate().map(|(index, run_error)| faulty(run_error, index, lab)),
    );
    suite.add_test_cases(report.leaks.iter().map(|leak| {
        let status = status(NonSuccessKind::Error, "leak", &leak.why, None);
        let mut case = TestCase::new(format!("cannot {}", leak.what), status);
        case.set_classname(lab).set_time(Duration::ZERO);
        case
    }));
    suite
}

/// The start time without a time zone, as the format requires: `2026-11-21T09:34:03`.
fn timestamp(report: &Report) -> String {
    report.started.strftime("%Y-%m-%dT%H:%M:%S").to_string()
}

fn judged(verdict: &Verdict, report: &Report) -> TestCase {
    let Verdict { expect, node, what, since, outcome, because } = verdict;
    let decided = outcome.at().unwrap_or(report.ended);
    // The details of a test case: the expectation, and what was seen.
    let mut full = match outcome.explain(decided) {
        answer if answer.is_empty() => what.clone(),
        answer => format!("{what}\n{answer}"),
    };
    if let Some(because) = because {
        full.extend(["\nbecause: ", because]);
        let findings = node.iter().filter_map(|node| report.nodes.get(node)).flat_map(|node| &node.findings);
        for finding in findings {
            full.extend(["\n\n", &super::finding(finding, super::WIDTH)]);
        }
    }
    let missed = |ty: &str, why: &str| {
        status(NonSuccessKind::Failure, ty, &format!("{what}: {why}"), Some(full.clone()))
    };
    let status = match outcome {
        Outcome::Met { .. } => TestCaseStatus::success(),
        Outcome::Missed { why, .. } => missed("missed", why),
        Outcome::Pending { .. } => missed("pending", "the run ended before the result was known"),
        // Only the missed expectation fails; this one was never evaluated.
        Outcome::NotReached { why, .. } => {
            let mut skipped = TestCaseStatus::skipped();
            skipped.set_type("not reached").set_message(why.as_str());
            skipped
        }
    };
    let name = match node {
        Some(node) => format!("{expect} on {node}"),
        None => expect.to_string(),
    };
    let mut case = TestCase::new(name, status);
    let took = since.map_or(Duration::ZERO, |since| decided.since(since));
    case.set_classname(report.lab.as_str()).set_time(took);
    if outcome.is_met() {
        case.set_system_out(full);
    } else if !outcome.output().is_empty() {
        case.set_system_out(outcome.output().join("\n"));
    }
    case
}

/// An action is a case that is skipped if it was not started.
fn acted(action: &ActionReport, report: &Report) -> TestCase {
    let ActionReport { action: name, what, nodes: _, started, ended, failed, barred } = action;
    let result = match (started, failed) {
        (Some(_), None) => TestCaseStatus::success(),
        (_, Some(why)) => status(NonSuccessKind::Failure, "failed", &format!("{what}: {why}"), None),
        (None, None) => {
            let mut skipped = TestCaseStatus::skipped();
            let why = barred.as_deref().unwrap_or("its time did not come");
            skipped.set_type("not started").set_message(why);
            skipped
        }
    };
    let took = started.map(|started| ended.unwrap_or(report.ended).since(started)).unwrap_or_default();
    let mut case = TestCase::new(format!("action {name}"), result);
    case.set_classname(report.lab.as_str()).set_time(took);
    if failed.is_none() && started.is_some() {
        case.set_system_out(what.clone());
    }
    case
}

fn faulty(run_error: &RunError, index: usize, lab: &str) -> TestCase {
    let kind = match run_error.whose {
        super::Whose::Lab => "lab",
        super::Whose::Machine => "machine",
        super::Whose::Host => "host",
        super::Whose::Ours => "bug",
    };
    let hint = run_error.hint.as_ref().map(|hint| format!("hint: {hint}"));
    let mut case = TestCase::new(
        format!("error {}", index + 1),
        status(NonSuccessKind::Error, kind, &run_error.to_string(), hint),
    );
    case.set_classname(lab).set_time(Duration::ZERO);
    if !run_error.output.is_empty() {
        case.set_system_out(run_error.output.join("\n"));
    }
    case
}

fn status(kind: NonSuccessKind, ty: &str, message: &str, description: Option<String>) -> TestCaseStatus {
    let mut status = TestCaseStatus::non_success(kind);
    status.set_type(ty).set_message(message);
    if let Some(description) = description {
        status.set_description(description);
    }
    status
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::process::{Command, Stdio};

    use insta::assert_snapshot;

    use super::*;
    use crate::report::examples;

    fn all() -> Vec<Report> {
        vec![examples::met(), examples::missed(), examples::broken()]
    }

    #[test]
    fn labs_are_suites_and_verdicts_are_cases() {
        assert_snapshot!(junit(&all()));
    }

    #[test]
    fn the_evidence_of_a_missed_check_is_in_its_case() {
        let mut report = examples::missed();
        let missed = report.verdicts.iter_mut().find_map(|verdict| match &mut verdict.outcome {
            Outcome::Missed { output, .. } => Some(output),
            _ => None,
        });
        *missed.unwrap() = vec!["node b: Ready is Unknown: kubelet stopped".to_owned()];
        let xml = junit(&[report]);
        let case = xml.split("<testcase ").find(|case| case.contains("kubelet stopped")).unwrap();
        assert!(
            case.contains("<failure ") && case.contains("<system-out>node b: Ready is Unknown"),
            "{case}"
        );
    }

    #[test]
    fn a_property_has_one_value() {
        let mut report = examples::met();
        report.parts.insert("dryrack".to_owned(), report.version.clone());
        let xml = junit(&[report]);
        assert_eq!(xml.matches("<property name=\"dryrack\" ").count(), 1, "{xml}");
    }

    #[test]
    fn no_lab_is_a_document_too() {
        assert_snapshot!(junit(&[]), @r#"
        <?xml version="1.0" encoding="UTF-8"?>
        <testsuites name="dryrack" tests="0" failures="0" errors="0" time="0.000">
        </testsuites>
        "#);
    }

    /// Returns the complaints of `xmllint` about a document.
    fn invalid(xml: &str) -> Option<String> {
        let mut lint = Command::new("xmllint")
            .args([
                "--noout",
                "--nonet",
                "--schema",
                concat!(env!("CARGO_MANIFEST_DIR"), "/tests/junit.xsd"),
                "-",
            ])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("xmllint is in the package libxml2-utils");
        lint.stdin.take().unwrap().write_all(xml.as_bytes()).unwrap();
        let output = lint.wait_with_output().unwrap();
        (!output.status.success()).then(|| String::from_utf8_lossy(&output.stderr).into_owned())
    }

    #[test]
    fn jenkins_takes_it() {
        assert_eq!(invalid(&junit(&all())), None);
        assert_eq!(invalid(&junit(&[])), None);
    }

    #[test]
    fn the_schema_notices_what_is_wrong() {
        let xml = junit(&all());
        for (right, wrong) in [
            ("<testcase name=", "<testcase title="),
            (" time=\"9.800\"", " time=\"long\""),
            ("<skipped ", "<ignored "),
            (" failures=", " skipped=\"1\" failures="),
            (" errors=\"0\"", ""),
        ] {
            let xml = xml.replacen(right, wrong, 1);
            assert!(invalid(&xml).is_some(), "{right} became {wrong}");
        }
    }
}
