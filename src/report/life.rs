//! The life of a lab: expectations, actions and faults in the order of their times.

use super::paragraph::paragraph;
use super::{ActionReport, Report};
use crate::event::{Ago, RunTime};
use crate::expect::{Outcome, Verdict};

/// One entry, with its instant.
type Entry = (RunTime, &'static str, String);

/// Returns the life of a lab as text in a number of columns; empty if it has neither actions nor faults.
pub(super) fn life(report: &Report, width: usize) -> String {
    if report.actions.is_empty() && report.injected.is_empty() {
        return String::new();
    }
    let verdicts = report.verdicts.chunk_by(|one, next| one.expect == next.expect);
    let mut entries: Vec<Entry> = verdicts.flat_map(decided).collect();
    entries.extend(report.actions.iter().flat_map(acted));
    entries.extend(report.injected.iter().map(|fault| (fault.began, "fault", fault.to_string())));
    entries.sort_by_key(|(at, ..)| *at);
    let mut lines = "  the life of the lab\n".to_owned();
    for (at, word, text) in &entries {
        let when = at.to_string();
        let head = format!("  {when:>7}  {word:<11}  ");
        lines += &paragraph(&head, &" ".repeat(head.len()), text, width);
    }
    for ActionReport { action, barred, started, .. } in &report.actions {
        if started.is_none() {
            let head = format!("  {:>7}  {:<11}  ", "", "not started");
            let why = barred.as_deref().unwrap_or("its time did not come");
            lines += &paragraph(&head, &" ".repeat(head.len()), &format!("action {action}: {why}"), width);
        }
    }
    lines
}

/// Returns when an expectation was decided: once if it was met for all its nodes, else for each of them.
fn decided(of: &[Verdict]) -> Vec<Entry> {
    let entry = |verdict: &Verdict, on: String| {
        let at = verdict.outcome.at()?;
        let why = match &verdict.outcome {
            Outcome::Met { why, .. } | Outcome::Missed { why, .. } | Outcome::NotReached { why, .. } => why,
            Outcome::Pending { .. } => return None,
        };
        let took = verdict.since.map(|since| at.since(since)).filter(|took| !took.is_zero());
        let took = took.map(|took| format!(", after {}", Ago(took))).unwrap_or_default();
        let text = format!("{}{on}: {why}{took}", verdict.expect);
        Some((at, verdict.outcome.word(), text))
    };
    let is_met = of.iter().all(|verdict| verdict.outcome.is_met());
    match of {
        [_, _, ..] if is_met => {
            let last = of.iter().max_by_key(|verdict| verdict.outcome.at());
            last.and_then(|last| entry(last, format!(" on {} nodes", of.len()))).into_iter().collect()
        }
        _ => {
            let on = |verdict: &Verdict| {
                verdict.node.as_ref().map(|node| format!(" on {node}")).unwrap_or_default()
            };
            of.iter().filter_map(|verdict| entry(verdict, on(verdict))).collect()
        }
    }
}

/// Returns when an action was started, and when it ended.
fn acted(action: &ActionReport) -> Vec<Entry> {
    let ActionReport { action, what, nodes, started, ended, failed, barred: _ } = action;
    let nodes: Vec<_> = nodes.iter().map(|node| node.as_str()).collect();
    let to = if nodes.is_empty() { String::new() } else { format!(" → {}", nodes.join(", ")) };
    let mut entries: Vec<Entry> = Vec::new();
    entries.extend(started.map(|at| (at, "action", format!("{action}: {what}{to}"))));
    entries.extend(ended.map(|at| match failed {
        Some(why) => (at, "failed", format!("action {action}: {why}")),
        None => {
            let took = started.map(|started| at.since(started)).unwrap_or_default();
            (at, "done", format!("action {action}, after {}", Ago(took)))
        }
    }));
    entries
}
