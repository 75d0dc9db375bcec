//! The loop with fake nodes: commands to them, and other inputs meanwhile.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{Notify, oneshot};

use super::*;
use crate::event::examples::event;
use crate::event::{Header, Instant, PowerCause, SCHEMA};
use crate::fault::Faults;
use crate::lab::Firmware;
use crate::name::DiskName;
use crate::node::file_system::FileSought;
use crate::node::screen::ScreenReading;
use crate::node::{
    Attachment, Block, BootOverride, Capabilities, Device, DiskContents, FirmwareVariables, InspectError,
    MediaCommand, Node, Power, Work,
};
use crate::observe::LabState;
use crate::plan::{BootTarget, Step, Undo};
use crate::run::executor::{Failure, Host};
use crate::run::plug::Plug;
use crate::run::probe::{Machines, ProbeContext};
use crate::run::reach::Reaching;
use crate::system::impaired_link::Impairment;
use crate::system::process::Spawner;

const LAB: &str = r#"dryrack = 1
network.lan.address = "10.0.2.1/24"
profile.p.kernel = "files/k"
[node.a]
profile = "p"
[node.b]
profile = "p"
start = "manual"
"#;

/// A fake node that records its commands.
struct FakeNode {
    name: NodeName,
    events: Emitter,
    is_on: Mutex<bool>,
    /// Lets a guest shut down.
    shut_down: Notify,
    /// The commands it received.
    commands: Mutex<Vec<String>>,
}

impl FakeNode {
    fn emit(&self, known: Known) {
        self.events.emit_of(&self.name, known);
    }

    fn switch(&self, on: bool) {
        *self.is_on.lock().unwrap_or_else(PoisonError::into_inner) = on;
        self.emit(if on { Known::PoweredOn {} } else { Known::PoweredOff { why: PowerCause::Power } });
    }
}

impl Node for FakeNode {
    fn name(&self) -> &NodeName {
        &self.name
    }

    /// It supports everything but a drive and a setup menu.
    fn capabilities(&self) -> Capabilities {
        Capabilities {
            power: BTreeSet::from(Power::ALL),
            boot: BTreeSet::from([BootTarget::Network, BootTarget::Disk]),
            console: true,
            ..Capabilities::default()
        }
    }

    fn carry_out(&self, command: NodeCommand) -> Work<'_, Effect> {
        self.commands.lock().unwrap().push(command.to_string());
        Box::pin(async move {
            let is_on = *self.is_on.lock().unwrap();
            match command {
                NodeCommand::Power(Power::On) if !is_on => self.switch(true),
                NodeCommand::Power(Power::Off) if is_on => {
                    self.shut_down.notified().await;
                    self.switch(false);
                }
                NodeCommand::Power(Power::ForceOff) if is_on => self.switch(false),
                NodeCommand::Power(Power::Cycle) if is_on => {
                    self.switch(false);
                    self.switch(true);
                }
                NodeCommand::Power(Power::On | Power::Off | Power::ForceOff) => {}
                NodeCommand::Power(Power::Reset) if is_on => {
                    *self.is_on.lock().unwrap() = false;
                    self.emit(Known::MachineDied { status: "killed".to_owned(), stderr: Vec::new() });
                    return Err(NodeError::failed("reset", &self.name, io::Error::other("it died")));
                }
                NodeCommand::Power(_) => return Err(NodeError::Off { node: self.name.clone() }),
                NodeCommand::Boot(_) => return Ok(Effect::NextStart),
                NodeCommand::Media(_)
                | NodeCommand::Link { .. }
                | NodeCommand::Keys(_)
                | NodeCommand::Firmware(_)
                | NodeCommand::Break => {
                    panic!("it has none")
                }
            }
            Ok(Effect::Now)
        })
    }

    fn boot_override(&self) -> watch::Receiver<BootOverride> {
        watch::Sender::default().subscribe()
    }

    fn firmware_variables(&self) -> Work<'_, Option<FirmwareVariables>> {
        Box::pin(async { Ok(None) })
    }

    fn console(&self) -> Result<Attachment, NodeError> {
        Err(NodeError::Off { node: self.name.clone() })
    }

    fn screenshot(&self) -> Work<'_, Vec<u8>> {
        Box::pin(async { Ok(Vec::new()) })
    }

    fn screen(&self) -> Work<'_, ScreenReading> {
        Box::pin(async { Err(NodeError::Off { node: self.name.clone() }) })
    }

    fn devices(&self) -> Work<'_, Vec<Device>> {
        Box::pin(async { Ok(Vec::new()) })
    }

    fn blocks(&self) -> Work<'_, Vec<Block>> {
        Box::pin(async { Ok(Vec::new()) })
    }

    fn inspect(&self, disk: DiskName, _: Firmware) -> Work<'_, Result<DiskContents, String>, InspectError> {
        Box::pin(async { Err(InspectError::NoDisk(disk)) })
    }

    fn find_file(&self, disk: DiskName, _: PathBuf) -> Work<'_, FileSought, InspectError> {
        Box::pin(async { Err(InspectError::NoDisk(disk)) })
    }

    fn end(&self) -> Pin<Box<dyn Future<Output = ()> + Send + '_>> {
        Box::pin(async {
            if *self.is_on.lock().unwrap() {
                self.switch(false);
            }
        })
    }
}

/// A host that creates only nodes.
struct FakeSite {
    events: Emitter,
    nodes: Mutex<BTreeMap<NodeName, Arc<FakeNode>>>,
}

impl FakeSite {
    fn fake(&self, node: &str) -> Arc<FakeNode> {
        Arc::clone(&self.nodes.lock().unwrap()[&NodeName::new(node).unwrap()])
    }
}

impl Host for FakeSite {
    async fn apply(&self, step: &Step) -> Result<(), Failure> {
        match step {
            Step::Machine { node } => {
                let fake = FakeNode {
                    name: node.clone(),
                    events: self.events.clone(),
                    is_on: Mutex::new(false),
                    shut_down: Notify::new(),
                    commands: Mutex::default(),
                };
                self.nodes.lock().unwrap().insert(node.clone(), Arc::new(fake));
                Ok(())
            }
            Step::PowerOn { node, .. } => {
                self.fake(node.as_str()).switch(true);
                Ok(())
            }
            _ => Ok(()),
        }
    }

    async fn undo(&self, undo: &Undo) -> Result<(), Failure> {
        if let Undo::EndMachine(node) = undo {
            let node = self.nodes.lock().unwrap().remove(node);
            if let Some(node) = node {
                node.end().await;
            }
        }
        Ok(())
    }
}

impl Site for FakeSite {
    fn node(&self, node: &NodeName) -> Option<Arc<dyn Node>> {
        Some(Arc::clone(self.nodes.lock().unwrap().get(node)?) as Arc<dyn Node>)
    }

    async fn end_services(&self) {}

    async fn impair(&self, _: &NodeName, _: &[Plug], _: Option<Impairment>) -> Result<(), String> {
        Ok(())
    }

    fn note(&self, _: &Event) {}
}

/// A client that sends commands to the run.
struct Client {
    commands: mpsc::Sender<RunCommand>,
    site: Arc<FakeSite>,
}

impl Client {
    /// Sends a command, and does not wait for its result.
    async fn begin(&self, node: &str, command: NodeCommand) -> oneshot::Receiver<Result<Effect, NodeError>> {
        let (reply, answer) = oneshot::channel();
        let node = NodeName::new(node).unwrap();
        self.commands.send(RunCommand::Node { node, command, by: Source::User, reply }).await.unwrap();
        answer
    }

    async fn command(&self, node: &str, command: NodeCommand) -> String {
        match self.begin(node, command).await.await.unwrap() {
            Ok(effect) => format!("{effect:?}"),
            Err(error) => crate::hint::chain(&error),
        }
    }

    async fn power(&self, node: &str, power: Power) -> String {
        self.command(node, NodeCommand::Power(power)).await
    }

    async fn status(&self) -> Status {
        let (reply, answer) = oneshot::channel();
        self.commands.send(RunCommand::Status(reply)).await.unwrap();
        answer.await.unwrap()
    }

    async fn until_up(&self) {
        while self.status().await.snapshot.lab != LabState::Up {
            tokio::task::yield_now().await;
        }
    }

    async fn down(&self) {
        let why = "enough".to_owned();
        self.commands.send(RunCommand::Down { why, interrupted: false }).await.unwrap();
    }
}

/// Runs a lab of two nodes with a client; returns the exit code and the events of nodes.
async fn run<F: Future<Output = ()>>(client: impl FnOnce(Client) -> F) -> (u8, Vec<String>) {
    run_lab(LAB, client).await
}

/// The same for another lab.
async fn run_lab<F: Future<Output = ()>>(lab: &str, client: impl FnOnce(Client) -> F) -> (u8, Vec<String>) {
    let dir = tempfile::tempdir().unwrap();
    let (sender, events) = mpsc::unbounded_channel();
    let seen = Arc::new(Mutex::new(Vec::new()));
    let log = Arc::clone(&seen);
    let clock = || Instant { at: RunTime::START, wall: jiff::Timestamp::UNIX_EPOCH };
    let emitter = Emitter::new(clock, move |event: Event| {
        if let (Some(node), Kind::Known(known)) = (&event.node, &event.kind) {
            log.lock().unwrap().push(format!("{node}: {known}"));
        }
        sender.send(event).unwrap();
    });
    let plan = crate::plan::plan(&crate::plan::tests::lab(lab), &crate::plan::tests::facts()).unwrap();
    let request = Request {
        plan,
        images: BTreeMap::new(),
        containers: BTreeMap::new(),
        downloads: BTreeMap::new(),
        kept: dir.path().to_owned(),
        socket: dir.path().join("control"),
        until: Until::Stopped,
    };
    let header =
        Header { dryrack_events: SCHEMA, version: "0".to_owned(), started: jiff::Timestamp::UNIX_EPOCH };
    let site = Arc::new(FakeSite { events: emitter.clone(), nodes: Mutex::default() });
    let context = ProbeContext::new(
        &request.plan,
        Machines::new(|_| None),
        Reaching::default(),
        dir.path().to_owned(),
        dir.path().to_owned(),
        Spawner::start().unwrap(),
        emitter.clone(),
    );
    let director = Director {
        request: &request,
        fold: Fold::new(&request.plan),
        recorder: Recorder::start(dir.path(), &header).unwrap(),
        prober: Prober::new(context),
        site: Arc::clone(&site),
        work: JoinSet::new(),
        events: emitter.clone(),
        faults: FaultHandler::new(Faults::new(request.plan.faults.values(), &emitter)),
        run_errors: Vec::new(),
        progress: watch::Sender::default(),
    };
    let (commands_sender, commands) = mpsc::channel(16);
    let signals = [SignalKind::terminate(), SignalKind::interrupt(), SignalKind::hangup()];
    let signals = signals.map(|kind| signal(kind).unwrap());
    let inputs = Inputs { events, commands, signals, parent: None };
    let journal = Journal::open(dir.path()).unwrap();
    let client = client(Client { commands: commands_sender, site });
    let (ending, ()) = tokio::join!(director.run(inputs, journal), client);
    let seen = seen.lock().unwrap().clone();
    (ending.exit, seen)
}

#[tokio::test]
async fn power_commands_reach_a_node_and_are_answered() {
    let (exit, seen) = run(|client| async move {
        client.until_up().await;
        assert_eq!(client.power("a", Power::Cycle).await, "Now");
        assert_eq!(client.power("a", Power::ForceOff).await, "Now");
        assert_eq!(client.power("a", Power::Cycle).await, "`a` is off");
        assert_eq!(client.power("b", Power::On).await, "Now");
        assert_eq!(client.power("c", Power::On).await, "there is no node `c`");
        let once = NodeCommand::Boot(BootOverride::Once(BootTarget::Network));
        assert_eq!(client.command("b", once).await, "NextStart");
        client.down().await;
    })
    .await;
    assert_eq!(exit, 0);
    insta::assert_snapshot!(seen.join("\n"), @"
    a: powered on
    a: power cycle
    a: powered off (by us)
    a: powered on
    a: power force-off
    a: powered off (by us)
    a: power cycle
    b: power on
    b: powered on
    b: boot network once
    b: powered off (by us)
    ");
}

#[tokio::test]
async fn what_a_node_cannot_do_is_refused_before_it_is_told() {
    let (exit, _) = run(|client| async move {
        client.until_up().await;
        let eject = NodeCommand::Media(MediaCommand::Eject { drive: None });
        assert_eq!(client.command("a", eject).await, "`a` does not support `eject`");
        let setup = NodeCommand::Boot(BootOverride::Once(BootTarget::Setup));
        assert_eq!(client.command("a", setup).await, "`a` does not support `boot setup once`");
        let link = NodeCommand::Link { nic: "lan".parse().unwrap(), up: false };
        assert_eq!(client.command("a", link).await, "`a` does not support `link lan down`");
        assert_eq!(*client.site.fake("a").commands.lock().unwrap(), [""; 0]);
        let capabilities = client.status().await.capabilities;
        assert_eq!(capabilities[&NodeName::new("a").unwrap()], client.site.fake("a").capabilities());
        client.down().await;
    })
    .await;
    assert_eq!(exit, 0);
}

#[tokio::test]
async fn a_node_that_dies_of_a_command_is_reported() {
    let (exit, seen) = run(|client| async move {
        client.until_up().await;
        assert_eq!(client.power("a", Power::Reset).await, "cannot reset `a`: it died");
        assert_eq!(client.power("a", Power::Nmi).await, "`a` is off");
        client.down().await;
    })
    .await;
    assert_eq!(exit, exit::MISSED);
    assert!(seen.iter().any(|event| event == "a: died: killed"), "{seen:?}");
}

#[tokio::test]
async fn a_slow_shutdown_holds_nothing_up() {
    let (exit, seen) = run(|client| async move {
        client.until_up().await;
        let mut off = client.begin("a", NodeCommand::Power(Power::Off)).await;
        // Meanwhile requests are answered, and other commands executed.
        assert_eq!(client.power("b", Power::On).await, "Now");
        let status = client.status().await;
        assert_eq!(status.snapshot.nodes[&NodeName::new("b").unwrap()].boots, 1);
        assert!(off.try_recv().is_err(), "its guest still shuts down");
        client.site.fake("a").shut_down.notify_one();
        assert!(matches!(off.await, Ok(Ok(Effect::Now))));
        client.down().await;
    })
    .await;
    assert_eq!(exit, 0);
    insta::assert_snapshot!(seen.join("\n"), @"
    a: powered on
    a: power off
    b: power on
    b: powered on
    a: powered off (by us)
    b: powered off (by us)
    ");
}

#[tokio::test]
async fn a_shutdown_that_never_ends_does_not_keep_the_lab_up() {
    let (exit, seen) = run(|client| async move {
        client.until_up().await;
        let off = client.begin("a", NodeCommand::Power(Power::Off)).await;
        client.down().await;
        // There is no answer, which the control API reports as the lab being taken down.
        assert!(off.await.is_err());
    })
    .await;
    assert_eq!(exit, 0);
    assert_eq!(seen.last().map(String::as_str), Some("a: powered off (by us)"), "{seen:?}");
}

fn stopped(state: StopState, detail: &str, nospace: bool) -> Option<RunError> {
    let stopped = Known::MachineStopped { state, detail: detail.to_owned(), nospace };
    host_failure(&event(0, Some("a"), stopped))
}

#[test]
fn a_full_disk_of_the_host_is_told_by_qmp_and_not_by_words() {
    let failed = stopped(StopState::IoError, "disk `root`: write failed: Kein Platz", true).unwrap();
    assert_eq!(failed.what, "the host's disk is full, and the machine of `a` was stopped");
    assert_eq!(failed.causes, ["disk `root`: write failed: Kein Platz"]);
    assert_eq!(stopped(StopState::IoError, "disk `No space`: read failed: EIO", false), None);
    assert_eq!(stopped(StopState::InternalError, "No space", true), None);
}

#[tokio::test]
async fn actions_are_commands_to_nodes() {
    let lab = format!(
        "{LAB}\
         [action.again]\nnodes = [\"a\"]\ndo = {{ reinstall = {{ wipe = true }} }}\n\
         [action.on]\nafter = \"action.again\"\nnodes = [\"b\"]\ndo = {{ power = \"on\" }}\n"
    );
    let (exit, _) = run_lab(&lab, |client| async move {
        while client.status().await.snapshot.actions.values().filter(|view| view.ended.is_some()).count() < 2
        {
            tokio::task::yield_now().await;
        }
        let commands = client.site.fake("a").commands.lock().unwrap().clone();
        assert_eq!(commands, ["power force-off", "boot network once", "power on"]);
        assert_eq!(*client.site.fake("b").commands.lock().unwrap(), ["power on"]);
        client.down().await;
    })
    .await;
    assert_eq!(exit, 0);
}

#[tokio::test]
async fn an_action_that_a_node_cannot_do_fails() {
    let lab = format!("{LAB}[action.setup]\nnodes = [\"a\"]\ndo = {{ boot-next = \"setup\" }}\n");
    let (exit, seen) = run_lab(&lab, |client| async move {
        while client.status().await.snapshot.actions.values().all(|view| view.failed.is_none()) {
            tokio::task::yield_now().await;
        }
        client.down().await;
    })
    .await;
    assert_eq!(exit, 1, "{seen:?}");
}
