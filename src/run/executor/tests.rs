use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::sync::Mutex;

use super::*;
use crate::event::{Instant, RunTime};
use crate::lab::FileRef;
use crate::lab::Isolation;
use crate::name::{IfName, LabName, NodeName};
use crate::plan::Accel;

/// When an injected error occurs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum RunError {
    None,
    BeforeEffect(usize),
    AfterEffect(usize),
    /// An undo fails.
    Undo(usize),
}

/// A fake host that records its live effects.
struct Pretence {
    live: Mutex<BTreeSet<String>>,
    run_error: RunError,
    applied: Mutex<usize>,
    undone: Mutex<usize>,
}

impl Pretence {
    fn new(run_error: RunError) -> Self {
        Self { live: Mutex::default(), run_error, applied: Mutex::default(), undone: Mutex::default() }
    }

    fn live(&self) -> BTreeSet<String> {
        self.live.lock().unwrap().clone()
    }
}

fn broken() -> Failure {
    Failure::new(io::Error::other("a failure"))
}

fn next(counter: &Mutex<usize>) -> usize {
    let mut counter = counter.lock().unwrap();
    *counter += 1;
    *counter - 1
}

impl Host for Pretence {
    async fn apply(&self, step: &Step) -> Result<(), Failure> {
        let index = next(&self.applied);
        if self.run_error == RunError::BeforeEffect(index) {
            return Err(broken());
        }
        // An effect is identified by its undo.
        self.live.lock().unwrap().extend(step.undo().iter().map(Undo::to_string));
        if self.run_error == RunError::AfterEffect(index) { Err(broken()) } else { Ok(()) }
    }

    async fn undo(&self, undo: &Undo) -> Result<(), Failure> {
        if self.run_error == RunError::Undo(next(&self.undone)) {
            return Err(broken());
        }
        // An absent effect is fine.
        self.live.lock().unwrap().remove(&undo.to_string());
        Ok(())
    }
}

fn plan() -> Plan {
    let node = NodeName::new("a").unwrap();
    let tap = |name: &str| {
        Step::Tap(crate::plan::TapPlan {
            node: node.clone(),
            nic: crate::name::NicName::new("lan").unwrap(),
            interface: IfName::new(name).unwrap(),
            alias: String::new(),
            bridge: IfName::new("br").unwrap(),
            mtu: 1500,
        })
    };
    let disk = Step::Disk(crate::plan::DiskPlan {
        node: node.clone(),
        disk: crate::name::DiskName::new("root").unwrap(),
        path: "node/a/root.qcow2".into(),
        size: crate::name::Bytes(1),
        backing: Some(FileRef::Path("/x".into())),
        keep: false,
    });
    let steps = vec![
        Step::MakeNamespaces { uplink: None },
        Step::Forward { was: false },
        disk,
        tap("t0"),
        tap("t1"),
        Step::PowerOn { node: node.clone(), after: None },
    ];
    Plan {
        dryrack_plan: crate::plan::SCHEMA,
        version: "0".to_owned(),
        lab: LabName::new("test").unwrap(),
        file: "/lab.toml".into(),
        recipes: Vec::new(),
        isolation: Isolation::Private,
        accel: Accel::Tcg,
        parallel_boots: None,
        networks: BTreeMap::new(),
        nodes: BTreeMap::new(),
        hosts: BTreeMap::new(),
        processes: BTreeSet::new(),
        expectations: BTreeMap::new(),
        actions: BTreeMap::new(),
        faults: BTreeMap::new(),
        steps,
        origins: crate::lab::Origins::default(),
        host: crate::plan::tests::facts(),
    }
}

/// Conditions under which no node has booted yet.
fn nobody() -> watch::Receiver<Progress> {
    watch::Sender::default().subscribe()
}

struct Outcome {
    up: Result<(), UpError>,
    before: BTreeSet<String>,
    left: BTreeSet<String>,
    leaks: Vec<Leak>,
    closed: bool,
}

async fn check(run_error: RunError) -> Outcome {
    let dir = tempfile::tempdir().unwrap();
    let host = Pretence::new(run_error);
    let mut journal = Journal::open(dir.path()).unwrap();
    let events = Emitter::new(|| Instant { at: RunTime::START, wall: jiff::Timestamp::UNIX_EPOCH }, |_| {});
    let up = up(&host, &plan(), &mut journal, &events, &mut nobody(), &CancellationToken::new()).await;
    let before = host.live();
    let leaks = down(&host, &mut journal).await;
    let closed = Journal::open(dir.path()).unwrap().is_closed();
    Outcome { up, before, left: host.live(), leaks, closed }
}

#[tokio::test]
async fn what_is_up_comes_down() {
    let outcome = check(RunError::None).await;
    assert!(outcome.up.is_ok() && outcome.leaks.is_empty() && outcome.closed);
    assert_eq!(outcome.before.len(), 4, "{:?}", outcome.before);
    assert_eq!(outcome.left, BTreeSet::new());
}

#[tokio::test]
async fn a_fault_at_any_step_leaves_nothing() {
    for index in 0..plan().steps.len() {
        for run_error in [RunError::BeforeEffect(index), RunError::AfterEffect(index)] {
            let outcome = check(run_error).await;
            assert!(matches!(outcome.up, Err(UpError::Step { .. })), "{run_error:?}");
            assert_eq!(outcome.left, BTreeSet::new(), "{run_error:?}");
            assert!(outcome.closed, "{run_error:?}");
        }
    }
}

#[tokio::test]
async fn an_undo_that_fails_is_a_leak_and_does_not_stop_the_others() {
    for index in 0..4 {
        let outcome = check(RunError::Undo(index)).await;
        assert_eq!(outcome.left.len(), 1, "{index}");
        assert_eq!(outcome.leaks.len(), 1, "{index}");
        assert!(outcome.left.contains(&outcome.leaks[0].what));
        assert!(!outcome.closed, "the next command has to try again");
    }
}

#[tokio::test]
async fn a_lab_that_nobody_wants_any_more_is_not_built_further() {
    let dir = tempfile::tempdir().unwrap();
    let (host, stop) = (Pretence::new(RunError::None), CancellationToken::new());
    let mut journal = Journal::open(dir.path()).unwrap();
    stop.cancel();
    let events = Emitter::new(|| Instant { at: RunTime::START, wall: jiff::Timestamp::UNIX_EPOCH }, |_| {});
    let up = up(&host, &plan(), &mut journal, &events, &mut nobody(), &stop).await;
    assert!(matches!(up, Err(UpError::Stopped)));
    assert_eq!(host.live(), BTreeSet::new());
}

#[tokio::test]
async fn only_so_many_nodes_are_on_their_way_up() {
    let dir = tempfile::tempdir().unwrap();
    let host = Pretence::new(RunError::None);
    let node = |name: &str| Step::PowerOn { node: NodeName::new(name).unwrap(), after: None };
    let steps = ["a", "b", "c", "d"].map(node).to_vec();
    let plan = Plan { parallel_boots: Some(2), steps, ..plan() };
    let mut journal = Journal::open(dir.path()).unwrap();
    let said = std::sync::Arc::new(Mutex::new(Vec::new()));
    let sink = std::sync::Arc::clone(&said);
    let events = Emitter::new(
        || Instant { at: RunTime::START, wall: jiff::Timestamp::UNIX_EPOCH },
        move |event| sink.lock().unwrap().push(event.kind.to_string()),
    );
    let (up_to_now, mut progress) = watch::channel(Progress::default());
    let stop = CancellationToken::new();
    let mut executor = std::pin::pin!(up(&host, &plan, &mut journal, &events, &mut progress, &stop));
    let mut seen = Vec::new();
    for settled in [0, 0, 1, 1, 3] {
        up_to_now.send_replace(Progress { settled, ..Progress::default() });
        let done = futures_util::poll!(executor.as_mut()).is_ready();
        seen.push((settled, *host.applied.lock().unwrap(), done));
    }
    assert_eq!(seen, [(0, 2, false), (0, 2, false), (1, 3, false), (1, 3, false), (3, 4, true)]);
    let said = said.lock().unwrap();
    let up = said.iter().filter(|text| **text == Known::LabUp {}.to_string()).count();
    assert_eq!(up, 1, "{said:?}");
}

#[tokio::test]
async fn a_node_waits_for_an_expectation() {
    let dir = tempfile::tempdir().unwrap();
    let host = Pretence::new(RunError::None);
    let expect: Trigger = "served".parse().unwrap();
    let node = |name: &str, after| Step::PowerOn { node: NodeName::new(name).unwrap(), after };
    let plan = Plan { steps: vec![node("a", None), node("b", Some(expect.clone()))], ..plan() };
    let mut journal = Journal::open(dir.path()).unwrap();
    let events = Emitter::new(|| Instant { at: RunTime::START, wall: jiff::Timestamp::UNIX_EPOCH }, |_| {});
    let (up_to_now, mut progress) = watch::channel(Progress::default());
    let stop = CancellationToken::new();
    let mut executor = std::pin::pin!(up(&host, &plan, &mut journal, &events, &mut progress, &stop));
    assert!(futures_util::poll!(executor.as_mut()).is_pending());
    assert_eq!(*host.applied.lock().unwrap(), 1);
    up_to_now.send_replace(Progress { settled: 1, fired: BTreeSet::from([expect]) });
    assert!(futures_util::poll!(executor.as_mut()).is_ready());
    assert_eq!(*host.applied.lock().unwrap(), 2);
}
