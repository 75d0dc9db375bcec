use std::collections::BTreeMap;

use insta::assert_snapshot;

use super::*;
use crate::config::Source;
use crate::event::examples::{console, event, lease};
use crate::lab::{LabEnvironment, resolve};
use crate::plan::plan;
use crate::plan::tests::facts;

/// A lab of two nodes with an expectation of each kind.
const LAB: &str = r#"
    dryrack = 1
    name = "fold"
    network.lan.address = "10.0.0.1/24"
    profile.p.kernel = "/kernel"
    [node.a]
    profile = "p"
    [node.b]
    profile = "p"
    start = "manual"
    [expect.up]
    nodes = ["a"]
    within = "60s"
    that = { stage = "os" }
    [expect.quiet]
    nodes = ["a"]
    never = { console = "panic" }
"#;

/// Folds events and returns all results, one line each.
fn check(events: impl IntoIterator<Item = (u64, Option<&'static str>, Known)>) -> String {
    let around = LabEnvironment {
        file: "/lab.toml".into(),
        folder: "/".into(),
        images: BTreeMap::new(),
        existing: &|_| true,
        free_memory: None,
    };
    let outcome = resolve(&Source::new("lab.toml", LAB), &[], &[], &around);
    let lab = outcome.lab.unwrap_or_else(|| panic!("{:#?}", outcome.diagnostics));
    let mut fold = Fold::new(&plan(&lab, &facts()).unwrap());
    let mut lines = Vec::new();
    for (ms, node, known) in events {
        let now = event(ms, node, known);
        // Decisions by time come first, as in the loop.
        let instant = Instant { at: now.at, wall: now.wall };
        for event in fold.at(instant).into_iter().chain(fold.take(now)) {
            let node = event.node.map(|node| format!(" {node}")).unwrap_or_default();
            lines.push(format!(
                "{}{node} {} {}",
                event.at.elapsed().as_millis(),
                event.kind.topic(),
                event.kind
            ));
        }
    }
    lines.push(format!("judged {:?}, died {}", fold.judged(), fold.died().len()));
    lines.join("\n")
}

#[test]
fn what_follows_from_an_event_comes_right_after_it() {
    let events = [
        (0, Some("a"), Known::PoweredOn {}),
        (1, None, Known::LabUp {}),
        (900, Some("a"), lease("ipxe", "ack")),
        (2000, Some("a"), console("Linux version 6.1")),
        (3000, Some("a"), lease("os", "ack")),
    ];
    assert_snapshot!(check(events), @"
    0 a power powered on
    0 a stage reached firmware
    1 run lab is up
    900 a dhcp leased 10.0.0.10 to ipxe 52:54:00:00:00:01 (request, reservation)
    900 a stage reached dhcp
    2000 a console Linux version 6.1
    2000 a stage reached kernel
    2000 a boot booted from its disk: `Linux version 6.1`
    3000 a dhcp leased 10.0.0.10 to os 52:54:00:00:00:01 (request, reservation)
    3000 a stage reached os
    3000 a expect up: met: stage os
    3000 expect every expectation was met
    judged Some(true), died 0
    ");
}

#[test]
fn time_alone_decides_and_a_missed_trial_is_judged() {
    let events = [
        (0, Some("a"), Known::PoweredOn {}),
        (1, None, Known::LabUp {}),
        (61_000, Some("b"), console("late")),
    ];
    assert_snapshot!(check(events), @"
    0 a power powered on
    0 a stage reached firmware
    1 run lab is up
    61000 a expect up: missed: os was not reached within 1m (it is at firmware)
    61000 expect an expectation was missed
    61000 b console late
    judged Some(false), died 0
    ");
}

#[test]
fn a_machine_that_died_is_remembered_and_breaks_what_needs_it() {
    let events = [
        (0, Some("a"), Known::PoweredOn {}),
        (1, None, Known::LabUp {}),
        (500, Some("a"), Known::MachineDied { status: "killed by signal 11".to_owned(), stderr: vec![] }),
    ];
    assert_snapshot!(check(events), @r"
    0 a power powered on
    0 a stage reached firmware
    1 run lab is up
    500 a machine died: killed by signal 11
    500 a stage reached off
    500 a expect up: missed: the machine died: killed by signal 11
    500 expect an expectation was missed
    judged Some(false), died 1
    ");
}

#[test]
fn nothing_is_judged_before_the_lab_is_up() {
    let events = [(0, Some("a"), Known::PoweredOn {}), (5, Some("a"), console("a login:"))];
    assert_snapshot!(check(events), @r"
    0 a power powered on
    0 a stage reached firmware
    5 a console a login:
    5 a stage reached os
    5 a expect up: met: stage os
    judged None, died 0
    ");
}
