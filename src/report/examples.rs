//! Reports for tests: one run that met everything, one that missed an expectation, one that failed.

use std::collections::BTreeMap;

use super::{Leak, NodeReport, Report, RunError, SCHEMA, Whose, exit};
use crate::event::examples::finding;
use crate::event::{BootedFrom, RunTime, ScreenMode, Stage};
use crate::expect::{Evidence, Outcome, Verdict};
use crate::name::{ExpectName, LabName, NodeName};
use crate::observe::{BootClues, Booted, ScreenShown, Sighting};
use crate::plan::Accel;

const fn seconds(tenths: u64) -> RunTime {
    RunTime::from_nanos(tenths * 100_000_000)
}

fn verdict(expect: &str, node: Option<&str>, what: &str, outcome: Outcome) -> Verdict {
    Verdict {
        expect: ExpectName::new(expect).unwrap(),
        node: node.map(|name| NodeName::new(name).unwrap()),
        what: what.to_owned(),
        since: (!matches!(outcome, Outcome::NotReached { .. })).then_some(seconds(4)),
        outcome,
        because: None,
    }
}

fn met_at(tenths: u64, why: &str) -> Outcome {
    Outcome::Met { at: seconds(tenths), why: why.to_owned() }
}

fn node(last: &str, timeline: &[(Stage, u64)], address: Option<[u8; 4]>) -> NodeReport {
    let starts = timeline.iter().filter(|(stage, _)| *stage == Stage::Firmware).count();
    NodeReport {
        way: Some("BIOS, iPXE in the NIC's ROM".to_owned()),
        qemu: None,
        stage: timeline.last().map_or(Stage::Off, |(stage, _)| *stage),
        boots: u32::try_from(starts).unwrap(),
        address: address.map(Into::into),
        timeline: timeline.iter().map(|(stage, tenths)| (*stage, seconds(*tenths))).collect(),
        booted: booted(timeline),
        last: Some(Sighting { at: seconds(95), what: last.to_owned() }),
        screen: None,
        findings: Vec::new(),
    }
}

/// The first boot of each node that got so far is from the network, the second from its disk.
fn booted(timeline: &[(Stage, u64)]) -> Vec<Booted> {
    let boots = timeline.chunk_by(|_, (next, _)| *next != Stage::Firmware);
    let boots = boots.zip([BootedFrom::Network, BootedFrom::Disk]);
    let boot = |(stages, from): (&[(Stage, u64)], BootedFrom)| {
        let kernel = stages.iter().any(|(stage, _)| *stage == Stage::Kernel);
        let by = match from {
            _ if !kernel => "",
            BootedFrom::Network => "`/profile/etcd/kernel` by HTTP",
            BootedFrom::Disk | BootedFrom::Unknown => "`Linux version 6.1.0`",
        };
        Booted {
            began: seconds(stages[0].1),
            from: kernel.then_some(from),
            by: by.to_owned(),
            clues: BootClues::default(),
        }
    };
    boots.map(boot).collect()
}

/// Every expectation was met.
pub(crate) fn met() -> Report {
    let way =
        [(Stage::Firmware, 5), (Stage::Dhcp, 17), (Stage::Loader, 18), (Stage::Kernel, 21), (Stage::Os, 64)];
    let nodes = ["node1", "node2"].into_iter().zip([11, 12]).map(|(name, ip)| {
        (NodeName::new(name).unwrap(), node("console line `node login:`", &way, Some([10, 0, 0, ip])))
    });
    let os = "stage os within 2m";
    Report {
        schema: SCHEMA,
        version: "0.1.0".to_owned(),
        run: "20261121-093403-etcd".to_owned(),
        lab: LabName::new("etcd").unwrap(),
        file: "/labs/etcd/lab.toml".into(),
        accel: Accel::Tcg,
        started: "2026-11-21T09:34:03.25Z".parse().unwrap(),
        ended: seconds(98),
        exit: exit::MET,
        verdicts: vec![
            verdict("up", Some("node1"), os, met_at(64, "stage os")),
            verdict("up", Some("node2"), os, met_at(64, "stage os")),
            verdict(
                "no-panic",
                Some("node1"),
                "never console /Kernel panic/",
                met_at(98, "it did not happen"),
            ),
        ],
        nodes: nodes.collect(),
        actions: Vec::new(),
        injected: Vec::new(),
        run_errors: Vec::new(),
        leaks: Vec::new(),
        parts: BTreeMap::from([
            ("qemu".to_owned(), "7.2.22".to_owned()),
            ("image tiny".to_owned(), "1f0c7d2a9b3e4f56".to_owned()),
        ]),
    }
}

/// The last lines of a process.
fn apply() -> Vec<String> {
    let long = format!("  {}", "wide ".repeat(30));
    ["\u{1b}[31mError: no such profile", "", "  on main.tf line 3", &long].map(str::to_owned).into()
}

/// An expectation was missed, and one that depends on it was not reached.
pub(crate) fn missed() -> Report {
    let seen = vec![
        Evidence {
            of: "last probe saw".to_owned(),
            what: "2 of 3 members healthy, node3: no route to host".to_owned(),
            at: seconds(1800),
        },
        Evidence {
            of: "node3: last seen:".to_owned(),
            what: "console line `etcd: cannot resolve \u{1b}[31mnode4.lan\u{1b}[0m & <retry>`".to_owned(),
            at: seconds(120),
        },
    ];
    let mut report = met();
    report.verdicts.extend([
        verdict(
            "healthy",
            None,
            "etcd with 3 healthy members and one leader within 3m",
            Outcome::Missed {
                at: seconds(1864),
                why: "not met within 3m".to_owned(),
                seen: seen.clone(),
                output: Vec::new(),
            },
        ),
        verdict(
            "stays",
            None,
            "command etcdctl endpoint health for 10s",
            Outcome::NotReached { at: seconds(1864), why: "`healthy` was missed".to_owned() },
        ),
        verdict(
            "applied",
            None,
            "process apply",
            Outcome::Missed {
                at: seconds(300),
                why: "`apply` ended: exit code 1, `  on main.tf line 3`".to_owned(),
                seen: Vec::new(),
                output: apply(),
            },
        ),
        verdict("later", None, "tcp 22", Outcome::Pending { seen }),
    ]);
    let found = finding("No DHCP server answered");
    let because = Some(found.to_string());
    let why = "os was not reached within 2m (it is at firmware)".to_owned();
    let outcome = Outcome::Missed { at: seconds(1200), why, seen: Vec::new(), output: Vec::new() };
    report.verdicts.push(Verdict { because, ..verdict("up", Some("node4"), "stage os within 2m", outcome) });
    let mut silent = node("sent discover as firmware 52:54:00:00:00:01", &[(Stage::Firmware, 5)], None);
    silent.findings.push(found);
    report.nodes.insert(NodeName::new("node4").unwrap(), silent);
    let restarted = [
        (Stage::Firmware, 5),
        (Stage::Dhcp, 17),
        (Stage::Nbp, 18),
        (Stage::Loader, 21),
        (Stage::Kernel, 25),
        (Stage::Firmware, 200),
        (Stage::Kernel, 215),
        (Stage::Os, 900),
    ];
    report.nodes.insert(
        NodeName::new("node3").unwrap(),
        node("console line `etcd: cannot resolve node4.lan`", &restarted, Some([10, 0, 0, 13])),
    );
    report.ended = seconds(1870);
    report.exit = exit::MISSED;
    report
}

/// A step failed, and the cleanup is incomplete.
pub(crate) fn broken() -> Report {
    let mut report = met();
    report.verdicts.clear();
    let mut idle = node("", &[], None);
    idle.last = None;
    let mut silent = node("leased 10.0.0.11 (ipxe)", &[(Stage::Firmware, 5), (Stage::Dhcp, 95)], None);
    let lines = ["PXELINUX 6.04 PXE", "", "Failed to load ldlinux.c32", "Boot failed: press a key to retry"];
    let lines = lines.map(str::to_owned).into();
    silent.screen = Some(ScreenShown { at: seconds(96), mode: ScreenMode::Text, lines, picture: None });
    report.nodes =
        BTreeMap::from([(NodeName::new("node1").unwrap(), silent), (NodeName::new("node2").unwrap(), idle)]);
    report.run_errors = vec![
        RunError {
            whose: Whose::Host,
            what: "cannot start machine `node1`".to_owned(),
            causes: vec![
                "qemu-system-x86_64 ended with exit status 1:\n  could not open '/run/x': No space left on device"
                    .to_owned(),
            ],
            hint: Some("free some disk space, or set DRYRACK_STATE to a folder on another disk".to_owned()),
            output: Vec::new(),
        },
        RunError {
            whose: Whose::Machine,
            what: "process `apply` failed".to_owned(),
            causes: vec!["apply ended: exit code 1".to_owned()],
            hint: Some("`dryrack trace` shows everything that it printed".to_owned()),
            output: apply(),
        },
        RunError {
            whose: Whose::Ours,
            what: "a service ended".to_owned(),
            causes: Vec::new(),
            hint: None,
            output: Vec::new(),
        },
    ];
    report.leaks = vec![Leak {
        what: "delete link drt1f0c7d2a".to_owned(),
        why: "Device or resource busy (os error 16)".to_owned(),
    }];
    report.exit = exit::LEFT;
    report
}
