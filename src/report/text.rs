//! The report as text. The most important part comes last, where a terminal shows it.

use std::fmt::Display;

use super::finding::finding;
use super::life::life;
use super::paragraph::{paragraph, quoted, tame};
use super::{NodeReport, Report, RunError, exit};
use crate::event::{Ago, Certainty, RunTime, Stage};
use crate::expect::{Outcome, Verdict};
use crate::observe::{ScreenShown, Sighting};

/// The width of text that is not for a terminal.
pub const WIDTH: usize = 96;

/// Returns the report as text in a number of columns: the nodes, the verdicts, the errors, and the outcome in one line.
pub fn text(report: &Report, width: usize) -> String {
    let run_errors = report.run_errors.iter().map(|error| run_error(error, width));
    let leaks = report.leaks.iter().map(|leak| paragraph("cleanup incomplete: ", "  ", leak, width));
    let parts = [
        nodes(report, width),
        findings(report, width),
        life(report, width),
        verdicts(&report.verdicts, report.ended, width),
    ];
    let parts = parts.into_iter().chain(run_errors).chain(leaks).chain([summary(report, width)]);
    let parts: Vec<String> = parts.filter(|part| !part.is_empty()).collect();
    tame(&parts.join("\n"))
}

/// Returns the outcome of a run in one line.
fn summary(report: &Report, width: usize) -> String {
    paragraph(&format!("{}: ", report.lab), "  ", &summary_line(report), width)
}

/// Returns the outcome of a run, without the name of its lab.
pub(super) fn summary_line(report: &Report) -> String {
    let all = report.verdicts.len();
    let met = report.verdicts.iter().filter(|verdict| verdict.outcome.is_met()).count();
    let judged = match all {
        0 => "no expectations".to_owned(),
        1 if met == 1 => "the expectation was met".to_owned(),
        _ if met == all => format!("all {all} expectations met"),
        _ => tally(&report.verdicts, "expectations met"),
    };
    let Report { ended, accel, run, exit, .. } = report;
    format!("{judged}; {} under {} (run {run}, exit code {exit})", ended, accel.as_str())
}

/// Counts outcomes in a few words, of which `met` names the first: `2 of 4 met, 1 missed, 1 pending`.
pub fn tally(verdicts: &[Verdict], met: &str) -> String {
    let count = |word: &str| verdicts.iter().filter(|verdict| verdict.outcome.word() == word).count();
    if verdicts.is_empty() {
        return "none".to_owned();
    }
    let rest = ["missed", "not reached", "pending"].map(|word| (count(word), word));
    let rest = rest.into_iter().filter(|(count, _)| *count > 0);
    let rest: String = rest.map(|(count, word)| format!(", {count} {word}")).collect();
    format!("{} of {} {met}{rest}", count("met"), verdicts.len())
}

/// Returns verdicts as text in a number of columns, with the reason why some are not decided at `now`.
pub fn verdicts(verdicts: &[Verdict], now: RunTime, width: usize) -> String {
    let mut lines = String::new();
    for verdict in verdicts {
        let Verdict { expect, node, what, since: _, outcome, because } = verdict;
        let of = node.as_ref().map(|node| format!(" on {node}")).unwrap_or_default();
        let at = outcome.at().unwrap_or(now);
        let when = outcome.at().map(|at| at.to_string()).unwrap_or_default();
        let head = format!("  {:<11} {when:>7}  ", outcome.word());
        let indent = " ".repeat(head.len());
        lines += &paragraph(&head, &indent, &format!("{expect}{of}: {what}"), width);
        let why = match outcome {
            // A met expectation needs no details.
            Outcome::Met { .. } => continue,
            outcome => outcome.explain(at),
        };
        if !why.is_empty() {
            lines += &paragraph(&indent, &indent, &why, width);
        }
        if let Some(because) = because {
            lines += &paragraph(&indent, &indent, &format!("because: {because}"), width);
        }
        lines += &quoted(&indent, outcome.output(), width);
    }
    tame(&lines)
}

fn nodes(report: &Report, width: usize) -> String {
    let widest = |least: usize, words: &mut dyn Iterator<Item = usize>| words.fold(least, usize::max);
    let address = |node: &NodeReport| node.address.map(|ip| ip.to_string()).unwrap_or_default();
    let name_width = widest("node".len(), &mut report.nodes.keys().map(|name| name.as_str().len()));
    let address_width = widest("address".len(), &mut report.nodes.values().map(|node| address(node).len()));
    let row = |name: &dyn Display, stage: &dyn Display, boots: &dyn Display, address: &str| {
        format!("  {name:<name_width$}  {stage:<8}  {boots:>5}  {address:<address_width$}  ")
    };
    if report.nodes.is_empty() {
        return String::new();
    }
    let mut lines = row(&"node", &"stage", &"boots", "address") + "stages\n";
    for (name, node) in &report.nodes {
        let head = row(name, &node.stage, &node.boots, &address(node));
        let indent = " ".repeat(head.chars().count());
        // Each boot starts on its own line: a machine that was installed has at least two.
        let mut head = head.as_str();
        for boot in boots(node) {
            lines += &paragraph(head, &indent, &boot, width);
            head = &indent;
        }
        if let Some(qemu) = &node.qemu {
            lines += &paragraph(&indent, &indent, &format!("QEMU with {qemu}"), width);
        }
        // For a node that did not reach the final stage, the last observation is the most useful.
        if report.exit != exit::MET
            && node.stage != Stage::Os
            && let Some(Sighting { at, what }) = &node.last
        {
            let before = Ago(report.ended.since(*at));
            let seen = format!("last seen: {what}, {before} before the end");
            lines += &paragraph(&indent, &indent, &seen, width);
        }
        // A sure finding quotes what matters of it.
        let is_explained = node.findings.iter().any(|finding| finding.certainty == Certainty::Sure);
        if report.exit != exit::MET
            && !is_explained
            && let Some(shown) = &node.screen
        {
            lines += &paragraph("    ", "    ", &on_screen(shown), width);
            lines += &quoted("    ", &shown.lines, width);
        }
    }
    lines
}

/// Returns why nodes did not come further; those with the same best finding together.
fn findings(report: &Report, width: usize) -> String {
    let found = report.nodes.iter().filter(|(_, node)| !node.findings.is_empty());
    let of_node = found.map(|(name, node)| {
        let all: String = node.findings.iter().map(|found| finding(found, width)).collect();
        format!("{name}:\n{all}")
    });
    of_node.collect()
}

/// Introduces the lines of a screen: `on its screen at 12s:`.
pub(super) fn on_screen(shown: &ScreenShown) -> String {
    let ScreenShown { at, mode: _, lines, picture } = shown;
    match picture {
        Some(picture) if lines.is_empty() => {
            format!("on its screen at {at}: graphics, kept as {} in the run folder", picture.display())
        }
        _ => format!("on its screen at {at}:"),
    }
}

/// Returns the stages of a node in order, separated by boot.
pub(super) fn way_up(node: &NodeReport) -> String {
    boots(node).join("; then ")
}

/// Returns the stages of each boot of a node, after what it booted from.
fn boots(node: &NodeReport) -> Vec<String> {
    if node.timeline.is_empty() {
        return vec!["never powered on".to_owned()];
    }
    let begins = |stage: Stage| stage == Stage::Firmware;
    let boots = node.timeline.chunk_by(|_, (next, _)| !begins(*next));
    let line = |stages: &[(Stage, RunTime)]| {
        let began = stages.first().filter(|(stage, _)| begins(*stage)).map(|(_, at)| *at);
        let from = node.booted.iter().find(|boot| Some(boot.began) == began).and_then(|boot| boot.from);
        let from = from.map(|from| format!("{from}: ")).unwrap_or_default();
        let stages: Vec<_> = stages.iter().map(|(stage, at)| format!("{stage} {at}")).collect();
        from + &stages.join(", ")
    };
    boots.map(line).collect()
}

fn run_error(run_error: &RunError, width: usize) -> String {
    let error = paragraph("error: ", "  ", run_error, width) + &quoted("  ", &run_error.output, width);
    match &run_error.hint {
        Some(hint) => error + "\n" + &paragraph("hint: ", "  ", hint, width),
        None => error,
    }
}

#[cfg(test)]
mod tests {
    use insta::assert_snapshot;

    use super::*;
    use crate::report::examples;

    #[test]
    fn a_run_that_met_everything() {
        assert_snapshot!(text(&examples::met(), WIDTH));
    }

    #[test]
    fn a_run_that_missed_something() {
        assert_snapshot!(text(&examples::missed(), WIDTH));
    }

    #[test]
    fn a_run_that_broke() {
        assert_snapshot!(text(&examples::broken(), WIDTH));
    }

    #[test]
    fn no_line_is_wider_than_a_terminal_and_nothing_steers_it() {
        for report in [examples::met(), examples::missed(), examples::broken()] {
            for width in [72, WIDTH, 200] {
                let text = text(&report, width);
                assert!(text.lines().all(|line| line.chars().count() <= width), "{text}");
                assert!(text.chars().all(|c| c == '\n' || !c.is_control()));
            }
            // No narrower than some words beside each other.
            assert!(text(&report, 0).lines().count() < 110);
        }
    }
}
