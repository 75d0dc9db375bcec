mod broken;

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
    check_lab(LAB, events)
}

/// The same for another lab, that nobody operates by hand.
fn check_lab(text: &str, events: impl IntoIterator<Item = (u64, Option<&'static str>, Known)>) -> String {
    let mut lines = Vec::new();
    let fold = fold(text, events, |event| {
        let node = event.node.map(|node| format!(" {node}")).unwrap_or_default();
        lines.push(format!("{}{node} {} {}", event.at.elapsed().as_millis(), event.kind.topic(), event.kind));
    });
    lines.push(format!("judged {:?}, died {}", fold.judged(), fold.died().len()));
    lines.join("\n")
}

fn folded(text: &str, events: Vec<(u64, Option<&'static str>, Known)>) -> Fold {
    fold(text, events, drop)
}

fn fold(
    text: &str,
    events: impl IntoIterator<Item = (u64, Option<&'static str>, Known)>,
    mut result: impl FnMut(Event),
) -> Fold {
    let around = LabEnvironment {
        file: "/lab.toml".into(),
        folder: "/".into(),
        images: BTreeMap::new(),
        existing: &|_| true,
        free_memory: None,
        other_ids: true,
    };
    let outcome = resolve(&Source::new("lab.toml", text), &[], &[], &around);
    let lab = outcome.lab.unwrap_or_else(|| panic!("{:#?}", outcome.diagnostics));
    let plan = plan(&lab, &facts()).unwrap();
    let mut fold = Fold::new(&plan).with_prospects(&plan);
    for (ms, node, known) in events {
        let now = event(ms, node, known);
        // Decisions by time come first, as in the loop.
        let instant = Instant { at: now.at, wall: now.wall };
        fold.at(instant).into_iter().chain(fold.take(now)).for_each(&mut result);
    }
    fold
}

/// A lab in which processes power nodes on.
const OPERATED: &str = r#"
    dryrack = 1
    network.lan.address = "10.0.0.1/24"
    profile.p.kernel = "files/kernel"
    [node.auto]
    profile = "p"
    [node.manual]
    profile = "p"
    start = "manual"
    [node.next]
    profile = "p"
    start = { after = "applied" }
    [process.apply]
    run = "terraform apply"
    [process.report]
    run = "report"
    after = "applied"
    [expect.applied]
    within = "10m"
    that = { process = "apply" }
    [expect.reported]
    within = "10m"
    that = { process = "report" }
    [expect.up]
    within = "20m"
    that = { stage = "os" }
    [expect.quiet]
    nodes = ["manual"]
    within = "20m"
    never = { console = "panic" }
    [expect.still-quiet]
    never = { console = "panic" }
"#;

fn process(name: &str) -> ProcessName {
    ProcessName::new(name).unwrap()
}

fn started(name: &str) -> Known {
    Known::ProcessStarted { process: process(name) }
}

fn ended(name: &str, exit: i32) -> Known {
    Known::ProcessEnded { process: process(name), exit: Some(exit), status: format!("exit code {exit}") }
}

#[test]
fn the_failure_of_a_process_ends_the_wait_for_what_only_it_could_start() {
    let events = [
        (0, Some("auto"), Known::PoweredOn {}),
        (1, None, started("apply")),
        (1, None, Known::LabUp {}),
        (900, None, ended("apply", 1)),
        (2000, Some("auto"), console("Linux version 6.1")),
        (3000, Some("auto"), lease("os", "ack")),
    ];
    assert_snapshot!(check_lab(OPERATED, events));
}

#[test]
fn as_long_as_a_process_may_power_a_node_on_it_is_waited_for() {
    let also = |text: &str| OPERATED.replace("[process.report]", &format!("{text}\n[process.report]"));
    let with_another = also("[process.another]\nrun = \"sleep 600\"");
    let events = |manual: bool| {
        let mut events = vec![
            (0, Some("auto"), Known::PoweredOn {}),
            (1, None, started("apply")),
            (1, None, started("another")),
            (1, None, Known::LabUp {}),
        ];
        events.extend(manual.then_some((800, Some("manual"), Known::PoweredOn {})));
        events.push((900, None, ended("apply", 1)));
        events
    };
    let decided = |text: &str, events| -> Vec<String> {
        let lines = check_lab(text, events);
        lines.lines().filter(|line| line.contains(" manual ")).map(str::to_owned).collect()
    };
    // Another process still runs; then it has failed, too.
    assert_eq!(decided(&with_another, events(false)), [""; 0]);
    let mut both = events(false);
    both.push((950, None, ended("another", 2)));
    assert_eq!(decided(&with_another, both).len(), 2);
    // It was powered on before.
    assert!(decided(OPERATED, events(true)).iter().all(|line| !line.contains("missed")));
    // Nothing has failed: somebody else may power it on.
    let mut well = events(false);
    well.pop();
    well.push((900, None, ended("apply", 0)));
    assert_eq!(decided(OPERATED, well), [""; 0]);
}

#[test]
fn what_waits_may_act_later_unless_it_waits_for_what_is_judged() {
    let decided = |further: &str| -> Vec<String> {
        let lan = "[expect.lan]\nnodes = [\"auto\"]\nwithin = \"30m\"\nthat = { stage = \"os\" }";
        let other = "[expect.other]\nafter = \"up\"\nwithin = \"30m\"\nthat = { process = \"report\" }";
        let events = [
            (0, Some("auto"), Known::PoweredOn {}),
            (1, None, started("apply")),
            (1, None, Known::LabUp {}),
            (900, None, ended("apply", 1)),
        ];
        let lines = check_lab(&format!("{OPERATED}\n{lan}\n{other}\n{further}"), events);
        lines.lines().filter(|line| line.contains(" manual expect up: ")).map(str::to_owned).collect()
    };
    let command = |after: &str| {
        decided(&format!(
            "[expect.operate]\nafter = \"{after}\"\nwithin = \"30m\"\nthat.command = \"operate\""
        ))
    };
    let process =
        |after: &str| decided(&format!("[process.operate]\nrun = \"operate\"\nafter = \"{after}\""));
    for act in [&command as &dyn Fn(&str) -> Vec<String>, &process] {
        assert_eq!(act("lan"), [""; 0]);
        // Directly, and not.
        assert_eq!(act("up").len(), 1);
        assert_eq!(act("other").len(), 1);
    }
}

#[test]
fn a_process_that_fails_leaves_its_last_lines() {
    let said = (1..=30).map(|line| {
        let text = format!("line {line}");
        (line, None, Known::ProcessPrinted { process: process("apply"), text })
    });
    let lab = OPERATED.replace("that = { process = \"apply\" }", "that = { command = \"true\" }");
    let events = [(0, None, started("apply")), (0, None, Known::LabUp {})].into_iter().chain(said);
    let events: Vec<_> = events.chain([(40, None, ended("apply", 1))]).collect();
    let lines: Vec<String> = (11..=30).map(|line| format!("line {line}")).collect();
    for (text, watched) in [(OPERATED, true), (&lab, false)] {
        let fold = folded(text, events.clone());
        match watched {
            true => {
                let applied =
                    fold.verdicts().into_iter().find(|verdict| verdict.expect.as_str() == "applied");
                assert_eq!(applied.unwrap().outcome.output(), lines);
                assert_eq!(fold.failed(), []);
            }
            false => assert_eq!(fold.failed()[0].output, lines),
        }
    }
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

/// A lab whose leader loses its power and comes back.
const LIFE: &str = r#"
    dryrack = 1
    network.lan.address = "10.0.0.1/24"
    profile.p.kernel = "files/kernel"
    [node.a]
    profile = "p"
    [node.b]
    profile = "p"
    [node.late]
    profile = "p"
    start = { after = "action.cut" }
    [process.web]
    run = "serve"
    after = "action.cut"
    ready = { tcp = 80 }
    [expect.two]
    nodes = ["a", "b"]
    that = { etcd = { members = 2 } }
    [action.cut]
    after = "expect.two"
    delay = "5s"
    nodes = { leader = "two" }
    do = { power = "force-off" }
    [expect.one]
    nodes = ["a", "b"]
    after = "action.cut"
    within = "1m"
    that = { etcd = { members = 2, healthy = 1 } }
    [expect.served]
    nodes = ["a"]
    after = "process.web"
    within = "1m"
    that = { tcp = 80 }
    [action.back]
    after = "one"
    nodes = ["b"]
    do = { power = "on" }
"#;

fn sees(expect: &str, leader: Option<&str>) -> Known {
    Known::Probed {
        expect: expect.parse().unwrap(),
        ok: true,
        seen: "it leads".to_owned(),
        output: None,
        evidence: Vec::new(),
        leader: leader.map(|leader| leader.parse().unwrap()),
    }
}

fn done(action: &str) -> Known {
    Known::ActionDone { action: action.parse().unwrap() }
}

#[test]
fn actions_come_after_expectations_and_expectations_after_actions() {
    let web = || ProcessName::new("web").unwrap();
    let events = vec![
        (0, Some("a"), Known::PoweredOn {}),
        (0, Some("b"), Known::PoweredOn {}),
        (1, None, Known::LabUp {}),
        (1000, None, sees("two", Some("b"))),
        (6000, None, Known::BootSeen {}),
        (6100, Some("b"), Known::PoweredOff { why: crate::event::PowerCause::Power }),
        (6200, None, done("cut")),
        (6300, None, Known::ProcessStarted { process: web() }),
        (
            6400,
            None,
            Known::ProcessReady { process: web(), by: "TCP port 80 accepts connections".to_owned() },
        ),
        (6500, None, sees("one", Some("a"))),
        (6600, Some("a"), sees("served", None)),
        (6700, Some("b"), Known::PoweredOn {}),
        (6800, None, done("back")),
    ];
    assert_snapshot!(check_lab(LIFE, events.clone()));
    let fold = folded(LIFE, events);
    let fired: Vec<_> = fold.progress().fired.iter().map(ToString::to_string).collect();
    assert_eq!(fired.join(" "), "one served two action.back action.cut process.web");
}

#[test]
fn what_comes_after_an_action_that_failed_is_not_reached() {
    let failed = Known::ActionFailed { action: "cut".parse().unwrap(), why: "b: it is on fire".to_owned() };
    let events = [
        (0, Some("a"), Known::PoweredOn {}),
        (0, Some("b"), Known::PoweredOn {}),
        (1, None, Known::LabUp {}),
        (1000, None, sees("two", Some("b"))),
        (6001, None, failed),
    ];
    assert_snapshot!(check_lab(LIFE, events));
}

#[test]
fn an_action_on_a_leader_that_nobody_saw_fails() {
    let events =
        [(1, None, Known::LabUp {}), (1000, None, sees("two", None)), (6001, None, Known::BootSeen {})];
    assert_snapshot!(check_lab(LIFE, events));
}

#[test]
fn a_missed_expectation_keeps_its_actions_from_starting() {
    let events = [(1, None, Known::LabUp {}), (400_000, None, Known::BootSeen {})];
    assert_snapshot!(check_lab(LIFE, events));
}

/// A lab in which nobody assigns addresses, and whose node is expected to boot, and not to find a server.
const SILENT: &str = r#"
    dryrack = 1
    name = "silent"
    network.lan.subnet = "10.0.0.0/24"
    [node.a]
    firmware = "uefi"
    [expect.up]
    within = "60s"
    that = { stage = "os" }
    [expect.silence]
    that = { finding = "no-dhcp-answer" }
"#;

fn asks() -> Known {
    Known::DhcpAsked {
        network: "lan".parse().unwrap(),
        mac: "52:54:00:00:00:01".parse().unwrap(),
        request: "discover".into(),
        client: "firmware".into(),
        architecture: Some(7),
        vendor_class: Some("PXEClient:Arch:00007".to_owned()),
        relay: None,
    }
}

fn unanswered() -> Known {
    let what = "discover".to_owned();
    Known::Unanswered {
        network: "lan".parse().unwrap(),
        service: "dhcp".into(),
        what,
        server: None,
        times: 4,
    }
}

#[test]
fn a_missed_expectation_is_explained() {
    let events = [
        (0, Some("a"), Known::PoweredOn {}),
        (1, None, Known::LabUp {}),
        (5000, Some("a"), asks()),
        (30_000, Some("a"), unanswered()),
        (31_000, Some("a"), console("  PXE-E16: No valid offer received.")),
        (61_000, None, Known::BootSeen {}),
    ];
    assert_snapshot!(check_lab(SILENT, events.clone()));
    let fold = folded(SILENT, events.to_vec());
    let because: Vec<_> = fold.verdicts().into_iter().map(|verdict| verdict.because).collect();
    assert_eq!(because, [None, Some("No DHCP server answered (no-dhcp-answer)".to_owned())]);
}

#[test]
fn what_may_explain_a_node_that_stands_still_is_reported_once() {
    let events = [
        (0, Some("a"), Known::PoweredOn {}),
        (1, None, Known::LabUp {}),
        (5000, Some("a"), asks()),
        // Nothing explains it yet.
        (21_000, None, Known::BootSeen {}),
        (30_000, Some("a"), unanswered()),
        (40_000, None, Known::BootSeen {}),
    ];
    assert_snapshot!(check_lab(SILENT, events));
}

#[test]
fn without_a_finding_the_first_missing_step_is_told() {
    let text = SILENT.replace("no-dhcp-answer", "http-not-found");
    let events = [
        (0, Some("a"), Known::PoweredOn {}),
        (1, None, Known::LabUp {}),
        (5000, Some("a"), asks()),
        (61_000, None, Known::BootSeen {}),
    ];
    assert_snapshot!(check_lab(&text, events));
}

#[test]
fn a_node_that_goes_on_has_no_finding() {
    let events = [
        (0, Some("a"), Known::PoweredOn {}),
        (1, None, Known::LabUp {}),
        (5000, Some("a"), asks()),
        (30_000, Some("a"), unanswered()),
        (31_000, Some("a"), console("  PXE-E16: No valid offer received.")),
        (40_000, Some("a"), console("Linux version 6.1")),
    ];
    let fold = folded(SILENT, events.to_vec());
    assert_eq!(fold.findings(&"a".parse().unwrap()), []);
    assert_eq!(fold.snapshot().nodes[&"a".parse().unwrap()].findings, []);
}
