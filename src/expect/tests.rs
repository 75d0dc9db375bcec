//! Lists of events, and the resulting decisions.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::Duration;

use insta::assert_snapshot;
use proptest::prelude::*;

use super::*;
use crate::event::DhcpMessage;
use crate::event::examples::{any_event, console, event, http, lease, millis, probed, screen, tftp};
use crate::event::{BootedFrom, Event, Exchange, Kind, Known, PowerCause, RunTime, Source, Stage, StopState};
use crate::lab::{
    Boots, Check, Count, Expectation, Fetched, Leased, ObservedCheck, Pattern, Polarity, ProbedCheck,
    WantedServer,
};
use crate::name::ProcessName;
use crate::observe::{BootClues, Booted, Snapshot};

/// An expectation of node `a`.
fn expect(name: &str, check: impl Into<Check>) -> Expectation {
    Expectation {
        name: ExpectName::new(name).unwrap(),
        nodes: nodes(&["a"]),
        after: None,
        within: None,
        holds: Duration::ZERO,
        progress: None,
        quorum: None,
        sense: Polarity::Must,
        check: check.into(),
    }
}

fn nodes(names: &[&str]) -> Vec<NodeName> {
    names.iter().map(|name| NodeName::new(name).unwrap()).collect()
}

fn line(pattern: &str) -> ObservedCheck {
    ObservedCheck::Console(Pattern::new(pattern).unwrap())
}

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

trait Wording {
    fn of(self, names: &[&str]) -> Self;
    fn within(self, time: u64) -> Self;
    fn holds(self, time: u64) -> Self;
    fn after(self, name: &str) -> Self;
    fn never(self) -> Self;
    fn quorum(self, needed: usize) -> Self;
}

impl Wording for Expectation {
    fn of(self, names: &[&str]) -> Self {
        Self { nodes: nodes(names), ..self }
    }
    fn within(self, time: u64) -> Self {
        Self { within: Some(seconds(time)), ..self }
    }
    fn holds(self, time: u64) -> Self {
        Self { holds: seconds(time), ..self }
    }
    fn after(self, name: &str) -> Self {
        Self { after: Some(name.parse().unwrap()), ..self }
    }
    fn never(self) -> Self {
        Self { sense: Polarity::Never, ..self }
    }
    fn quorum(self, needed: usize) -> Self {
        Self { quorum: Some(needed), ..self }
    }
}

/// A judge with the snapshot that it reads.
struct Trial {
    judge: Judge,
    present: Snapshot,
}

/// Creates a judge of these expectations, in the order of their names.
fn judge(expectations: impl IntoIterator<Item = Expectation>) -> Trial {
    let expectations = expectations.into_iter().map(|expect| (expect.name.clone(), expect)).collect();
    Trial { judge: Judge::new(&expectations), present: Snapshot::new([]) }
}

impl Trial {
    /// Applies an event. A stage or a boot counts as if its causes had been seen.
    fn apply(&mut self, event: &Event) {
        let Self { judge, present } = self;
        judge.pass(event.at, present);
        let telling = present.apply(event).telling;
        if let (Kind::Known(known), Some(node)) = (&event.kind, &event.node)
            && let Some(view) = present.nodes.get_mut(node)
        {
            match known {
                Known::StageReached { stage } => view.stage = *stage,
                Known::Booted { from, by } => {
                    let (began, from, by) = (event.at, Some(*from), by.clone());
                    view.booted.push(Booted { began, from, by, clues: BootClues::default() });
                }
                _ => {}
            }
        }
        judge.apply(event, telling, present);
    }

    fn at(&mut self, now: RunTime) -> Vec<Decision> {
        self.judge.at(now, &self.present)
    }

    fn finish(&mut self, now: RunTime) {
        self.judge.finish(now, &self.present);
    }

    fn verdicts(&self) -> Vec<Verdict> {
        self.judge.verdicts(&self.present)
    }
}

/// One input of the judge, at a time in seconds.
enum Input {
    Lab(Known),
    Of(&'static str, Known),
    Clock,
    End,
}

use Input::{Clock, End, Lab as OfLab, Of};

fn up() -> Input {
    OfLab(Known::LabUp {})
}

fn stage(stage: Stage) -> Known {
    Known::StageReached { stage }
}

fn booted(from: BootedFrom) -> Known {
    Known::Booted { from, by: "`/boot/kernel` by HTTP".to_owned() }
}

fn boots(order: &[BootedFrom]) -> ObservedCheck {
    ObservedCheck::Boots(Boots { order: Some(order.to_vec()), ..Boots::default() })
}

fn fetched(path: &str, often: Count) -> ObservedCheck {
    ObservedCheck::Fetched(Fetched {
        path: Pattern::new(path).unwrap(),
        often,
        method: None,
        status: None,
        server: None,
    })
}

/// Applies the inputs, and returns the decisions with their times.
fn check(
    expectations: impl IntoIterator<Item = Expectation>,
    inputs: impl IntoIterator<Item = (u64, Input)>,
) -> String {
    let mut judge = judge(expectations);
    let mut said = String::new();
    for (time, inputs) in inputs {
        let ms = time * 1000;
        match inputs {
            OfLab(known) => judge.apply(&event(ms, None, known)),
            Of(node, known) => judge.apply(&event(ms, Some(node), known)),
            Clock => {}
            End => judge.finish(millis(ms)),
        }
        for Decision { expect, node, met, seen } in judge.at(millis(ms)) {
            let node = node.map(|node| format!(" of {node}")).unwrap_or_default();
            let word = if met { "met" } else { "missed" };
            writeln!(said, "{time}s {expect}{node} {word}: {seen}").unwrap();
        }
    }
    if !judge.judge.done() {
        said.push_str("waiting");
        if let Some(next) = judge.judge.next_deadline(&judge.present) {
            write!(said, ", next at {next}").unwrap();
        }
    }
    said.trim_end().to_owned()
}

#[test]
fn a_node_without_progress_has_missed_at_once() {
    let stuck = Expectation { progress: Some(seconds(10)), ..expect("up", line("ready$")).within(60) };
    let inputs = |more: Vec<(u64, Input)>| {
        let first = [
            (1, up()),
            (2, Of("a", Known::PoweredOn {})),
            (5, Of("a", console("[    1.0] waiting"))),
            (9, Of("a", console("[    5.0] waiting"))),
        ];
        first.into_iter().chain(more)
    };
    assert_snapshot!(check([stuck.clone()], inputs(vec![(14, Clock)])), @"waiting, next at 15s");
    assert_snapshot!(check([stuck.clone()], inputs(vec![(15, Clock)])), @"15s up of a missed: no progress for 10s at firmware; it last moved on at 5s: console line `[    1.0] waiting`; last seen: console line `[    5.0] waiting`, 6s ago");
    // What is off waits for somebody.
    let off = Of("a", Known::PoweredOff { why: PowerCause::Power });
    assert_snapshot!(check([stuck.clone()], inputs(vec![(12, off), (30, Clock)])), @"waiting, next at 1m 01s");
    let went_on = vec![(14, Of("a", console("further"))), (16, Clock), (20, Of("a", console("ready")))];
    assert_snapshot!(check([stuck], inputs(went_on)), @"20s up of a met: console line `ready`");
}

#[test]
fn a_line_of_the_console_meets() {
    let inputs = [
        (1, up()),
        (2, Of("a", console("nothing"))),
        (3, Of("b", console("ready"))),
        (4, Of("a", console("etcd ready"))),
    ];
    assert_snapshot!(check([expect("up", line("ready$")).within(60)], inputs), @"4s up of a met: console line `etcd ready`");
}

#[test]
fn a_line_before_the_lab_is_up_counts() {
    assert_snapshot!(check([expect("up", line("ready"))], [(1, Of("a", console("ready"))), (2, up())]), @"1s up of a met: console line `ready`");
}

#[test]
fn time_runs_out_and_says_what_was_seen() {
    let inputs = [(1, up()), (20, Of("a", lease("ipxe", "ack"))), (60, Clock), (61, Clock)];
    assert_snapshot!(check([expect("up", line("ready")).within(60)], inputs), @"61s up of a missed: no line matched /ready/ within 1m; last seen: leased 10.0.0.10 (ipxe), 41s ago");
}

#[test]
fn what_was_due_before_an_event_is_decided_before_it() {
    assert_snapshot!(check([expect("up", line("ready")).within(60)], [(1, up()), (61, Of("a", console("ready")))]), @"61s up of a missed: no line matched /ready/ within 1m");
}

#[test]
fn time_begins_when_the_lab_is_up() {
    let inputs = [(100, Of("a", Known::PoweredOn {})), (200, up()), (259, Clock)];
    assert_snapshot!(check([expect("up", line("ready")).within(60)], inputs), @"waiting, next at 4m 20s");
}

#[test]
fn a_stage_is_met_by_a_later_one() {
    let inputs = [(1, up()), (2, Of("a", stage(Stage::Kernel))), (3, Of("a", stage(Stage::Os)))];
    assert_snapshot!(check([expect("dhcp", ObservedCheck::Stage(Stage::Dhcp)), expect("os", ObservedCheck::Stage(Stage::Os))], inputs), @r"
    2s dhcp of a met: stage kernel
    3s os of a met: stage os
    ");
}

#[test]
fn a_stage_that_was_not_reached_names_the_one_that_was() {
    let inputs = [
        (0, up()),
        (2, Of("a", stage(Stage::Loader))),
        (15, Of("a", console("Could not boot"))),
        (90, Clock),
    ];
    assert_snapshot!(check([expect("os", ObservedCheck::Stage(Stage::Os)).within(90)], inputs), @"90s os of a missed: os was not reached within 1m 30s (it is at loader); last seen: console line `Could not boot`, 1m 15s ago");
}

#[test]
fn a_stage_has_to_hold() {
    let inputs = [
        (0, up()),
        (2, Of("a", stage(Stage::Os))),
        (8, Of("a", stage(Stage::Firmware))),
        (20, Of("a", stage(Stage::Os))),
        (29, Clock),
        (40, Clock),
    ];
    assert_snapshot!(check([expect("os", ObservedCheck::Stage(Stage::Os)).within(25).holds(10)], inputs), @"40s os of a met: stage os");
}

#[test]
fn a_hold_that_breaks_after_the_time_is_over_is_missed() {
    let inputs = [(0, up()), (20, Of("a", stage(Stage::Os))), (26, Of("a", stage(Stage::Firmware)))];
    assert_snapshot!(check([expect("os", ObservedCheck::Stage(Stage::Os)).within(25).holds(10)], inputs), @"26s os of a missed: os did not last for 10s within 25s (it is at firmware)");
}

#[test]
fn off_is_a_stage_of_what_was_on() {
    let inputs = [
        (0, up()),
        (1, Of("a", stage(Stage::Off))),
        (2, Of("a", Known::PoweredOn {})),
        (2, Of("a", stage(Stage::Firmware))),
        (9, Of("a", stage(Stage::Off))),
    ];
    assert_snapshot!(check([expect("installed", ObservedCheck::Stage(Stage::Off))], inputs), @"9s installed of a met: stage off");
}

#[test]
fn every_node_is_judged_by_itself() {
    let inputs = [(0, up()), (2, Of("b", console("ready"))), (10, Clock)];
    assert_snapshot!(check([expect("up", line("ready")).of(&["a", "b"]).within(10)], inputs), @r"
    2s up of b met: console line `ready`
    10s up of a missed: no line matched /ready/ within 10s
    ");
}

#[test]
fn the_next_begins_when_all_nodes_met_the_one_before() {
    let list =
        || [expect("up", line("ready")).of(&["a", "b"]), expect("z", line("joined")).after("up").within(10)];
    let inputs = [
        (0, up()),
        (1, Of("a", console("ready, joined too early"))),
        (50, Of("b", console("ready"))),
        (55, Of("a", console("joined"))),
    ];
    assert_snapshot!(check(list(), inputs), @r"
    1s up of a met: console line `ready, joined too early`
    50s up of b met: console line `ready`
    55s z of a met: console line `joined`
    ");
    let inputs = [
        (0, up()),
        (1, Of("a", console("ready"))),
        (50, Of("b", console("ready"))),
        (59, Clock),
        (60, Clock),
    ];
    assert_snapshot!(check(list(), inputs), @r"
    1s up of a met: console line `ready`
    50s up of b met: console line `ready`
    60s z of a missed: no line matched /joined/ within 10s; last seen: console line `ready`, 59s ago
    ");
}

#[test]
fn what_waits_for_something_missed_is_not_reached() {
    let list = [
        expect("a", line("ready")).within(10),
        expect("b", line("x")).after("a"),
        expect("c", line("x")).after("b").never(),
    ];
    assert_snapshot!(check(list, [(0, up()), (10, Clock)]), @r"
    10s a of a missed: no line matched /ready/ within 10s
    10s b of a missed: `a` was missed
    10s c of a missed: `b` was missed
    ");
}

#[test]
fn a_machine_that_died_meets_nothing_any_more() {
    let died = Known::MachineDied {
        status: "signal 6".to_owned(),
        stderr: vec!["qemu: assertion failed".to_owned(), String::new()],
    };
    let list = [
        expect("os", ObservedCheck::Stage(Stage::Os)).of(&["a", "b"]).within(60),
        expect("panic", line("panic")).never(),
        expect("etcd", ProbedCheck::Etcd { port: 2379, members: 2, healthy: None })
            .of(&["a", "b"])
            .after("os"),
    ];
    assert_snapshot!(check(list, [(0, up()), (5, Of("a", died))]), @r"
    5s etcd missed: a: the machine died: signal 6: qemu: assertion failed
    5s os of a missed: the machine died: signal 6: qemu: assertion failed
    waiting, next at 1m
    ");
}

#[test]
fn a_cluster_that_may_lose_a_member_outlives_a_machine() {
    let died = || Known::MachineDied { status: "signal 9".to_owned(), stderr: Vec::new() };
    let etcd = ProbedCheck::Etcd { port: 2379, members: 3, healthy: Some(2) };
    let list = [expect("two", etcd).of(&["a", "b", "c"]).within(60)];
    assert_snapshot!(check(list, [(0, up()), (5, Of("a", died())), (6, Of("b", died()))]), @"6s two missed: a: the machine died: signal 9");
}

#[test]
fn an_internal_error_of_qemu_is_a_death() {
    let stopped = Known::MachineStopped {
        state: StopState::InternalError,
        detail: "Suberror: 1".to_owned(),
        nospace: false,
    };
    assert_snapshot!(check([expect("os", ObservedCheck::Stage(Stage::Os))], [(0, up()), (5, Of("a", stopped))]), @"5s os of a missed: the machine was stopped by QEMU: internal-error: Suberror: 1");
}

#[test]
fn a_machine_that_switches_itself_off_may_come_back() {
    let off = Known::PoweredOff { why: PowerCause::Guest };
    let inputs =
        [(0, up()), (5, Of("a", off)), (6, Of("a", stage(Stage::Off))), (30, Of("a", stage(Stage::Os)))];
    assert_snapshot!(check([expect("os", ObservedCheck::Stage(Stage::Os)).within(60)], inputs), @"30s os of a met: stage os");
}

#[test]
fn never_is_broken_at_once() {
    let inputs = [(0, Of("a", console("Kernel panic - not syncing"))), (1, up())];
    assert_snapshot!(check([expect("panic", line("Kernel panic")).never()], inputs), @"0s panic of a missed: it happened: console line `Kernel panic - not syncing`");
}

#[test]
fn never_has_a_window_or_lasts_to_the_end() {
    let list = || {
        [
            expect("panic", line("Kernel panic")).never(),
            expect("reset", ObservedCheck::Stage(Stage::Os)).never().within(30),
        ]
    };
    assert_snapshot!(check(list(), [(0, up()), (29, Clock), (30, Clock)]), @"30s reset of a met: it did not happen within 30s");
    assert_snapshot!(check(list(), [(0, up()), (40, End)]), @r"
    40s reset of a met: it did not happen within 30s
    40s panic of a met: it did not happen to the end of the run
    ");
}

#[test]
fn a_probe_has_to_hold_and_a_success_completes_it() {
    let inputs = [
        (0, up()),
        (1, Of("a", probed("ssh", true, "logged in"))),
        (4, Of("a", probed("ssh", false, "connection refused"))),
        (5, Of("a", probed("ssh", true, "logged in"))),
        (16, Clock),
        (17, Of("a", probed("ssh", true, "logged in, active"))),
    ];
    assert_snapshot!(check([expect("ssh", ProbedCheck::Tcp { port: 22 }).within(10).holds(10)], inputs), @"17s ssh of a met: logged in, active");
}

#[test]
fn a_missed_probe_says_what_it_saw() {
    let inputs = [
        (0, up()),
        (1, Of("a", console("hello"))),
        (4, Of("a", probed("ssh", false, "connection refused"))),
        (10, Clock),
    ];
    assert_snapshot!(check([expect("ssh", ProbedCheck::Tcp { port: 22 }).within(10)], inputs), @"10s ssh of a missed: not met within 10s; last probe saw connection refused, 6s ago; last seen: console line `hello`, 9s ago");
}

#[test]
fn probes_are_wanted_while_they_can_decide() {
    let mut judge = judge([
        expect("one", ProbedCheck::Tcp { port: 22 }).of(&["a", "b"]).holds(5),
        expect("two", ProbedCheck::Etcd { port: 2379, members: 2, healthy: None })
            .of(&["a", "b"])
            .after("one"),
        expect("three", line("x")),
    ]);
    let wanted = |judge: &Trial| {
        let wanted = judge.judge.wanted(&judge.present).into_iter().map(|wanted| {
            let node = wanted.node.map_or("lab".to_owned(), |node| node.to_string());
            let confirm = wanted.confirm_at.map(|at| format!(" by {at}")).unwrap_or_default();
            format!("{} of {node}{confirm}", wanted.expect)
        });
        wanted.collect::<Vec<_>>().join(", ")
    };
    assert_snapshot!(wanted(&judge), @"");
    judge.apply(&event(0, None, Known::LabUp {}));
    judge.apply(&event(1000, Some("a"), probed("one", true, "open")));
    assert_snapshot!(wanted(&judge), @"one of a by 6s, one of b");
    judge.apply(&event(7000, Some("a"), probed("one", true, "open")));
    judge.apply(&event(8000, Some("b"), probed("one", true, "open")));
    judge.apply(&event(13_000, Some("b"), probed("one", true, "open")));
    assert_snapshot!(wanted(&judge), @"two of lab");
    judge.apply(&event(14_000, None, Known::TearDownStarted { why: "test".to_owned() }));
    assert_snapshot!(wanted(&judge), @"");
}

#[test]
fn the_end_of_the_run_decides_the_rest() {
    let list = [
        expect("os", ObservedCheck::Stage(Stage::Os)),
        expect("ssh", ProbedCheck::Tcp { port: 22 }).after("os"),
        expect("panic", line("panic")).never(),
    ];
    let inputs = [
        (0, up()),
        (4, Of("a", stage(Stage::Dhcp))),
        (9, OfLab(Known::TearDownStarted { why: "interrupt".to_owned() })),
        (10, Of("a", Known::MachineDied { status: "signal 9".to_owned(), stderr: vec![] })),
    ];
    assert_snapshot!(check(list, inputs), @r"
    9s os of a missed: os was not reached before the run ended (it is at dhcp)
    9s panic of a met: it did not happen to the end of the run
    9s ssh of a missed: the run ended before `os` was met
    ");
}

#[test]
fn a_ring_of_afters_ends_all_the_same() {
    let list = [expect("a", line("x")).after("b"), expect("b", line("x")).after("a")];
    assert_snapshot!(check(list, [(0, up()), (9, Of("a", console("x")))]), @"");
}

/// What a probe found out stays with the verdict, for reports of every kind.
#[test]
fn a_missed_check_has_the_evidence_of_its_last_probe() {
    let probed = |second: u64, proof: &str| {
        let mut known = probed("ready", false, "nodes: `b` is not ready");
        if let Known::Probed { evidence, .. } = &mut known {
            evidence.push(proof.to_owned());
        }
        event(second * 1000, Some("a"), known)
    };
    let mut judge = judge([expect("ready", ProbedCheck::Tcp { port: 6443 }).within(9)]);
    judge.apply(&event(0, None, Known::LabUp {}));
    judge.apply(&probed(2, "node b: Ready is False: CNI is missing"));
    judge.apply(&probed(5, "node b: Ready is Unknown: kubelet stopped"));
    judge.at(millis(9000));
    let verdicts = judge.verdicts();
    let of_a = verdicts.iter().find(|verdict| verdict.node.as_ref().is_some_and(|node| node.as_str() == "a"));
    assert_eq!(of_a.unwrap().outcome.output(), ["node b: Ready is Unknown: kubelet stopped"]);
    let json = serde_json::to_string(&verdicts).unwrap();
    assert!(json.contains(r#""output":["node b: Ready is Unknown: kubelet stopped"]"#), "{json}");
}

#[test]
fn verdicts_survive_a_round_trip() {
    let mut judge = judge([expect("os", ObservedCheck::Stage(Stage::Os)).within(5), expect("up", line("x"))]);
    judge.apply(&event(0, None, Known::LabUp {}));
    judge.apply(&event(6000, Some("a"), console("hello")));
    let verdicts = judge.verdicts();
    let json = serde_json::to_string_pretty(&verdicts).unwrap();
    assert_eq!(serde_json::from_str::<Vec<Verdict>>(&json).unwrap(), verdicts);
    assert_snapshot!(json, @r#"
    [
      {
        "expect": "os",
        "node": "a",
        "what": "stage os within 5s",
        "since": 0,
        "outcome": "missed",
        "at": 6000000000,
        "why": "os was not reached within 5s",
        "seen": []
      },
      {
        "expect": "up",
        "node": "a",
        "what": "console /x/",
        "since": 0,
        "outcome": "pending",
        "seen": [
          {
            "of": "last seen:",
            "what": "console line `hello`",
            "at": 6000000000
          }
        ]
      }
    ]
    "#);
}

proptest! {
    #[test]
    fn no_list_of_events_is_too_odd(events in prop::collection::vec(any_event(), 0..60), end in any::<u64>()) {
        let mut judge = judge([
            expect("one", line("o")).of(&["a", "b"]).holds(7),
            expect("two", ObservedCheck::Stage(Stage::Kernel)).of(&["a", "b"]).within(20).after("one"),
            expect("three", ProbedCheck::Tcp { port: 22 }).holds(3).within(50),
            expect("four", line("a")).never().of(&["c"]).within(30),
            expect("five", ProbedCheck::Etcd { port: 2379, members: 2, healthy: None }).of(&["a", "b"]).after("three"),
        ]);
        let mut decided = BTreeMap::new();
        let mut note = |decisions: Vec<Decision>| {
            for decision in decisions {
                let earlier = decided.insert((decision.expect.clone(), decision.node.clone()), decision.met);
                assert_eq!(earlier, None, "decided twice");
            }
        };
        for event in &events {
            judge.apply(event);
            note(judge.at(event.at));
            drop((judge.judge.wanted(&judge.present), judge.judge.next_deadline(&judge.present), judge.judge.done()));
        }
        let end = RunTime::from_nanos(end);
            judge.finish(end);
        note(judge.at(end));
        let verdicts = judge.verdicts();
        prop_assert!(judge.judge.done());
        prop_assert_eq!(verdicts.len(), decided.len());
        prop_assert!(verdicts.iter().all(|verdict| verdict.outcome.at().is_some()));
    }
}

#[test]
fn boots_are_compared_as_they_come() {
    use BootedFrom::{Disk, Network};
    let lists =
        || [expect("installed", boots(&[Network, Disk])), expect("stays", boots(&[Network, Disk, Disk]))];
    let inputs = [
        (0, up()),
        (5, Of("a", booted(Network))),
        (60, Of("a", booted(Disk))),
        (70, Of("b", booted(Disk))),
        (90, Of("a", booted(Disk))),
    ];
    assert_snapshot!(check(lists(), inputs), @"
    60s installed of a met: it booted from network, disk
    90s stays of a met: it booted from network, disk, disk
    ");
    // A check that can no longer become true is missed at once: a reinstall loop.
    let inputs = [(0, up()), (5, Of("a", booted(Network))), (60, Of("a", booted(Network)))];
    assert_snapshot!(check([expect("installed", boots(&[Network, Disk])).within(600)], inputs), @"60s installed of a missed: it booted from network, network");
}

#[test]
fn boots_are_counted_also_before_their_time() {
    use BootedFrom::{Disk, Network};
    let count = |network, disk| ObservedCheck::Boots(Boots { network, disk, ..Boots::default() });
    let list = || {
        let three = ObservedCheck::Boots(Boots { times: Some(3), ..Boots::default() });
        [
            expect("up", line("ready")),
            expect("once", count(Some(1), Some(2))).after("up").within(60),
            expect("three", three).after("up").within(60),
            expect("no-loop", count(Some(2), None)).never(),
        ]
    };
    let first = || vec![(0, up()), (5, Of("a", booted(Network))), (6, Of("a", console("ready")))];
    let good = [(60, Of("a", booted(Disk))), (65, Of("a", booted(Disk))), (70, End)];
    assert_snapshot!(check(list(), first().into_iter().chain(good)), @"
    6s up of a met: console line `ready`
    65s once of a met: it booted from network, disk, disk
    65s three of a met: it booted from network, disk, disk
    70s no-loop of a met: it did not happen to the end of the run
    ");
    let bad = [(60, Of("a", booted(Network)))];
    assert_snapshot!(check(list(), first().into_iter().chain(bad)), @"
    6s up of a met: console line `ready`
    60s no-loop of a missed: it happened: it booted from network, network
    60s once of a missed: it booted from network, network; last seen: console line `ready`, 54s ago
    waiting, next at 1m 06s
    ");
}

#[test]
fn what_was_fetched_is_counted_to_the_end() {
    let list = || {
        [
            expect("script", fetched("script$", Count::AtLeast(2))).within(60),
            expect("loader", fetched("kpxe", Count::Exactly(1))).within(60),
            expect("once", fetched("kernel", Count::Exactly(1))).after("script").within(60),
            expect("never", fetched("initrd", Count::AtLeast(1))).never(),
        ]
    };
    let http = |role| Of("a", http(role, 200, true));
    let inputs = || {
        vec![
            (0, up()),
            (1, Of("a", tftp("undionly.kpxe", "probed"))),
            (2, Of("a", tftp("undionly.kpxe", "sent"))),
            (3, http("script")),
            (4, http("kernel")),
            (5, Of("b", crate::event::examples::http("script", 200, true))),
            (5, Of("a", crate::event::examples::http("script", 404, true))),
            (6, Of("a", crate::event::examples::http("initrd", 200, false))),
        ]
    };
    assert_snapshot!(check(list(), inputs().into_iter().chain([(7, http("script")), (9, End)])), @"
    2s loader of a met: it was fetched once
    7s once of a met: it was fetched once
    7s script of a met: it was fetched 2 times
    9s never of a met: it did not happen to the end of the run
    ");
    let again = [(7, http("kernel")), (8, http("script")), (9, http("initrd"))];
    assert_snapshot!(check(list(), inputs().into_iter().chain(again)), @"
    2s loader of a met: it was fetched once
    8s once of a missed: it was fetched 2 times; last seen: served GET /boot/script (200, 6.1 MB in 40 ms), 0s ago
    8s script of a met: it was fetched 2 times
    9s never of a missed: it happened: it was fetched once
    ");
    assert_snapshot!(check(list(), [(0, up()), (60, Clock)]), @"
    60s loader of a missed: it was not fetched within 1m
    60s once of a missed: `script` was missed
    60s script of a missed: it was not fetched within 1m
    ");
}

#[test]
fn the_server_of_a_lease_and_of_a_file_is_told_apart() {
    let server = |address: &str, is_ours| WantedServer { address: address.parse().unwrap(), is_ours };
    let leased = |server, address: Option<&str>| {
        ObservedCheck::Leased(Leased { server, address: address.map(|address| address.parse().unwrap()) })
    };
    let from = |server| {
        ObservedCheck::Fetched(Fetched {
            path: Pattern::new("script").unwrap(),
            often: Count::AtLeast(1),
            method: None,
            status: None,
            server: Some(server),
        })
    };
    let (ours, theirs) = (server("10.0.0.1", true), server("10.0.0.5", false));
    let list = || {
        [
            expect("ours", leased(ours, None)).within(60),
            expect("theirs", leased(theirs, None)).within(60),
            expect("address", leased(theirs, Some("10.0.0.21"))).within(60),
            expect("file", from(theirs)).within(60),
            expect("own-file", from(ours)).within(60),
        ]
    };
    let lease = |reply, address: &str, server: Option<&str>| {
        let mut known = crate::event::examples::lease("ipxe", "ack");
        if let Known::DhcpReplied { reply: of, address: to, server: by, .. } = &mut known {
            *of = reply;
            *to = Some(address.parse().unwrap());
            *by = server.map(|server| server.parse().unwrap());
        }
        Of("a", known)
    };
    let file = |server: Option<&str>| {
        let mut known = crate::event::examples::http("script", 200, true);
        if let Known::HttpServed { server: by, .. } = &mut known {
            *by = server.map(|server| server.parse().unwrap());
        }
        Of("a", known)
    };
    let inputs = [
        (0, up()),
        (1, lease(DhcpMessage::Offer, "10.0.0.21", Some("10.0.0.5"))),
        (2, lease(DhcpMessage::Ack, "10.0.0.22", Some("10.0.0.5"))),
        (3, file(Some("10.0.0.5:80"))),
        (4, lease(DhcpMessage::Ack, "10.0.0.21", Some("10.0.0.5"))),
        (5, file(None)),
        (6, lease(DhcpMessage::Ack, "10.0.0.21", None)),
    ];
    assert_snapshot!(check(list(), inputs), @"
    2s theirs of a met: it was leased
    3s file of a met: it was fetched once
    4s address of a met: it was leased
    5s own-file of a met: it was fetched once
    6s ours of a met: it was leased
    ");
    assert_snapshot!(check(list(), [(0, up()), (1, file(Some("10.0.0.9:80"))), (60, Clock)]), @"
    60s address of a missed: no such lease was seen within 1m; last seen: 10.0.0.9:80 served GET /boot/script (200, 6.1 MB in 40 ms), 59s ago
    60s file of a missed: it was not fetched within 1m; last seen: 10.0.0.9:80 served GET /boot/script (200, 6.1 MB in 40 ms), 59s ago
    60s ours of a missed: no such lease was seen within 1m; last seen: 10.0.0.9:80 served GET /boot/script (200, 6.1 MB in 40 ms), 59s ago
    60s own-file of a missed: it was not fetched within 1m; last seen: 10.0.0.9:80 served GET /boot/script (200, 6.1 MB in 40 ms), 59s ago
    60s theirs of a missed: no such lease was seen within 1m; last seen: 10.0.0.9:80 served GET /boot/script (200, 6.1 MB in 40 ms), 59s ago
    ");
    let words = list().map(|expectation| describe(&expectation));
    assert_snapshot!(words.join("\n"), @"
    leased by 10.0.0.1 within 1m
    leased by 10.0.0.5 within 1m
    leased 10.0.0.21 by 10.0.0.5 within 1m
    fetched /script/ from 10.0.0.5 within 1m
    fetched /script/ from 10.0.0.1 within 1m
    ");
}

#[test]
fn what_is_expected_of_counts_can_be_read() {
    let counts = |times, network, disk| ObservedCheck::Boots(Boots { order: None, times, network, disk });
    let checks = [
        boots(&[BootedFrom::Network, BootedFrom::Disk]),
        counts(Some(3), None, Some(2)),
        counts(None, Some(1), None),
        fetched("^/assets/", Count::AtLeast(1)),
        fetched("disk", Count::Exactly(2)),
        ObservedCheck::Fetched(Fetched {
            path: Pattern::new("x").unwrap(),
            often: Count::AtLeast(2),
            method: Some("HEAD".to_owned()),
            status: Some(404),
            server: None,
        }),
    ];
    let words = checks.map(|check| describe(&expect("a", check)));
    assert_snapshot!(words.join("\n"), @"
    boots from network, disk
    3 boots, 2 from disk
    boots: 1 from the network
    fetched /^/assets//
    fetched /disk/ 2 times
    fetched HEAD /x/ with 404 at least 2 times
    ");
}

fn process(exit: i32) -> ObservedCheck {
    ObservedCheck::Process { process: ProcessName::new("apply").unwrap(), exit }
}

fn ended(exit: Option<i32>) -> Input {
    let status = exit.map_or("killed by signal 9".to_owned(), |code| format!("exit code {code}"));
    OfLab(Known::ProcessEnded { process: ProcessName::new("apply").unwrap(), exit, status })
}

fn printed(text: &str) -> Input {
    OfLab(Known::ProcessPrinted { process: ProcessName::new("apply").unwrap(), text: text.to_owned() })
}

#[test]
fn a_process_is_judged_by_its_end() {
    let expected = || [expect("applied", process(0)).of(&[])];
    assert_snapshot!(check(expected(), [(1, up()), (2, printed("Apply complete!")), (3, ended(Some(0)))]), @"3s applied met: `apply` ended: exit code 0, `Apply complete!`");
    assert_snapshot!(check(expected(), [(1, up()), (2, printed("Error: x")), (2, printed(" ")), (3, ended(Some(1)))]), @"3s applied missed: `apply` ended: exit code 1, `Error: x`");
    assert_snapshot!(check(expected(), [(1, up()), (3, ended(None))]), @"3s applied missed: `apply` ended: killed by signal 9");
    assert_snapshot!(check([expect("applied", process(0)).of(&[]).within(60)], [(1, up()), (61, Clock)]), @"61s applied missed: not met within 1m");
    // Its end may come before its time starts.
    assert_snapshot!(check([expect("up", line("ready")), expect("applied", process(0)).of(&[]).after("up")], [(1, up()), (2, ended(Some(0))), (3, Of("a", console("ready")))]), @"
    3s applied met: `apply` ended: exit code 0
    3s up of a met: console line `ready`
    ");
    assert_snapshot!(check([expect("broken", process(1)).of(&[]).never().within(9)], [(1, up()), (2, ended(Some(1)))]), @"2s broken missed: it happened: `apply` ended: exit code 1");
}

#[test]
fn a_fetch_that_the_wire_shows_too_is_counted_once() {
    let fetch = |path: &str, source: Source, second: u64, port: u16| {
        let exchange = Exchange::http((std::net::Ipv4Addr::new(10, 0, 0, 11), port).into());
        let event = event(second * 1000, Some("a"), http(path, 200, true));
        Event { source, exchange: Some(exchange), ..event }
    };
    let of = |events: &[Event]| {
        let mut judge = judge([
            expect("once", fetched("kernel", Count::Exactly(1))).holds(30),
            expect("never", fetched("initrd", Count::AtLeast(2))).never().within(30),
        ]);
        judge.apply(&event(0, None, Known::LabUp {}));
        events.iter().for_each(|event| judge.apply(event));
        let decisions = judge.at(millis(60_000)).into_iter();
        let decisions =
            decisions.map(|decision| format!("{} {}: {}", decision.expect, decision.met, decision.seen));
        decisions.collect::<Vec<_>>().join("\n")
    };
    use Source::{Service, Wire};
    let both = "never true: it did not happen within 30s\nonce true: it was fetched once";
    for order in [[Service, Wire], [Wire, Service]] {
        let events = order
            .clone()
            .into_iter()
            .flat_map(|source| ["kernel", "initrd"].map(|path| fetch(path, source.clone(), 5, 40_000)));
        assert_eq!(of(&events.collect::<Vec<_>>()), both, "{order:?}");
    }
    // A second one counts as a second one, whichever source reports it.
    let twice = [fetch("kernel", Service, 5, 40_000), fetch("kernel", Wire, 6, 40_001)];
    assert!(of(&twice).contains("once false: it was fetched 2 times"));
}

#[test]
fn a_line_of_the_screen_meets_where_the_console_has_none() {
    let checked = |kinds: Vec<Known>| {
        let events = kinds.into_iter().enumerate().map(|(at, kind)| event(at as u64 * 1000, Some("a"), kind));
        let expectation = expect("prompt", line("^boot:$"));
        let mut judge = Judge::new(&BTreeMap::from([(expectation.name.clone(), expectation)]));
        let mut present = Snapshot::new([]);
        for event in events {
            let telling = present.apply(&event).telling;
            judge.apply(&event, telling, &present);
        }
        judge.at(RunTime::START, &present).into_iter().map(|decision| decision.seen).collect::<Vec<_>>()
    };
    let only = screen(&["PXELINUX 6.04", "boot:"]);
    assert_eq!(checked(vec![only.clone()]), ["screen line `boot:`"]);
    assert_eq!(checked(vec![console("boot:"), only.clone()]), ["console line `boot:`"]);
    // It stays there, and begins a line by itself.
    assert_eq!(checked(vec![screen(&["boot: linux"]), only]), ["screen line `boot:`"]);
    assert_eq!(checked(vec![screen(&["no boot:"])]), [""; 0]);
}

#[test]
fn a_quorum_is_met_by_enough_nodes_at_the_same_time() {
    let three = || expect("port", ProbedCheck::Tcp { port: 22 }).of(&["a", "b", "c"]).quorum(2).within(20);
    let say = |time, node, ok, seen| (time, Of(node, probed("port", ok, seen)));
    // Two were up, but one after the other.
    let inputs = vec![
        (0, up()),
        say(1, "a", true, "port 22 open"),
        say(3, "a", false, "port 22 refuses connections"),
        say(4, "b", true, "port 22 open"),
        say(5, "c", false, "no address yet"),
        (20, Clock),
    ];
    assert_snapshot!(check([three()], inputs), @"20s port missed: 1 of 3 nodes met it (b; not a: port 22 refuses connections; not c: no address yet) within 20s");
    // The first one has to be seen again once there are enough.
    let inputs = vec![
        (0, up()),
        say(1, "a", true, "port 22 open"),
        say(4, "c", true, "port 22 open"),
        say(5, "a", true, "port 22 open"),
    ];
    assert_snapshot!(check([three()], inputs), @"5s port met: 2 of 3 nodes met it (a, c; not b)");
    // The nodes may change, as long as there are always two.
    let inputs = vec![
        (0, up()),
        say(1, "a", true, "open"),
        say(1, "b", true, "open"),
        say(3, "c", true, "open"),
        say(4, "a", false, "refused"),
        say(7, "b", true, "open"),
        say(7, "c", true, "open"),
    ];
    assert_snapshot!(check([three().holds(5)], inputs), @"7s port met: 2 of 3 nodes met it (b, c; not a: refused)");
    // It was not true for five seconds.
    let inputs = vec![
        (0, up()),
        say(1, "a", true, "open"),
        say(1, "b", true, "open"),
        say(4, "a", false, "refused"),
        (20, Clock),
    ];
    assert_snapshot!(check([three().holds(5)], inputs), @"20s port missed: it did not stay true for 5s; 1 of 3 nodes met it (b; not a: refused; not c) within 20s");
}

#[test]
fn a_quorum_bears_the_loss_of_as_many_nodes_as_it_does_not_need() {
    let os = || expect("os", ObservedCheck::Stage(Stage::Os)).of(&["a", "b", "c"]).quorum(2).within(60);
    let dies = || Known::MachineDied { status: "signal 9".to_owned(), stderr: vec![] };
    let inputs =
        vec![(0, up()), (1, Of("a", dies())), (2, Of("b", stage(Stage::Os))), (3, Of("c", stage(Stage::Os)))];
    assert_snapshot!(check([os()], inputs), @"3s os met: 2 of 3 nodes met it (b, c; not a: the machine died: signal 9)");
    let inputs = vec![(0, up()), (1, Of("a", dies())), (2, Of("b", stage(Stage::Os))), (3, Of("c", dies()))];
    assert_snapshot!(check([os()], inputs), @"3s os missed: 1 of 3 nodes met it (b; not a: the machine died: signal 9; not c: the machine died: signal 9)");
    // It must never happen that two of three are lost: one may be.
    let inputs =
        vec![(0, up()), (1, Of("a", console("Kernel panic"))), (2, Of("b", console("Kernel panic")))];
    let panics = || expect("panics", line("panic")).of(&["a", "b", "c"]).quorum(2).never();
    assert_snapshot!(check([panics()], inputs), @"2s panics missed: it happened: 2 of 3 nodes met it (a, b; not c)");
    let inputs = vec![(0, up()), (1, Of("a", console("Kernel panic"))), (2, End)];
    assert_snapshot!(check([panics()], inputs), @"2s panics met: it did not happen to the end of the run");
}
