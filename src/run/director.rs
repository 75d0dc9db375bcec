//! The one event loop of a run: folds every input, and acts on the result.
//!
//! ```text
//! starting ── every step took effect ──▶ up ── stopped, judged, interrupted ▶ ending ──▶ ended
//!     └───────────── a step failed, stopped, interrupted ───────────────────────▲
//! ```

use std::io;
use std::os::fd::OwnedFd;
use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt as _;
use tokio::io::unix::AsyncFd;
use tokio::signal::unix::Signal;
use tokio::sync::{mpsc, watch};
use tokio::task::{JoinError, JoinSet};
use tokio_util::sync::CancellationToken;

use super::action;
use super::command::{FaultReply, NodeReply, RunCommand};
use super::executor::{self, Progress, Site, UpError};
use super::fault::{FaultHandler, FaultOrder, FaultRefusal, FaultWork};
use super::fold::Fold;
use super::journal::Journal;
use super::probe::Prober;
use super::record::{Recorder, run_started};
use super::request::{Request, Until};
use super::status::Status;
use crate::event::{Emitter, Event, Kind, Known, RunTime, Source, StopState};
use crate::name::{ActionName, NodeName};
use crate::node::{Effect, NodeCommand, NodeError};
use crate::observe::{Power, Snapshot};
use crate::plan::Plan;
use crate::report::{Leak, RunError, Whose, exit};
use crate::system::MAKE_ROOM;

/// Where inputs come from.
pub(super) struct Inputs {
    pub(super) events: mpsc::UnboundedReceiver<Event>,
    pub(super) commands: mpsc::Receiver<RunCommand>,
    /// SIGTERM, SIGINT and SIGHUP.
    pub(super) signals: [Signal; 3],
    /// Readable when the owner of the run is gone, or has released it; `None` after a release.
    pub(super) parent: Option<AsyncFd<OwnedFd>>,
}

/// An input of the run.
enum Input {
    Event(Box<Event>),
    RunCommand(RunCommand),
    Executed(Result<(), UpError>),
    WorkDone(Result<Done, JoinError>),
    Signal,
    Lost,
    Due,
}

/// The result of work that took some time.
pub(super) enum Done {
    /// A client's command to a node.
    Node(NodeDone),
    /// An action of the lab.
    Action(ActionName, Result<(), String>),
    /// Something was done to a node because of a fault.
    Fault(Result<(), String>),
}

/// The result of a command to a node.
pub(super) struct NodeDone {
    result: Result<Effect, NodeError>,
    reply: NodeReply,
}

/// What the loop does next.
enum Next {
    GoOn,
    End(Reason),
}

/// Why a run ends.
struct Reason {
    why: String,
    interrupted: bool,
}

impl Reason {
    fn new(why: impl Into<String>) -> Self {
        Self { why: why.into(), interrupted: false }
    }

    fn interrupted(why: impl Into<String>) -> Self {
        Self { why: why.into(), interrupted: true }
    }
}

/// How a run ended.
pub(super) struct Ending {
    pub(super) exit: u8,
    pub(super) run_errors: Vec<RunError>,
    pub(super) leaks: Vec<Leak>,
    pub(super) ended: RunTime,
    pub(super) fold: Fold,
}

/// The state of the loop.
pub(super) struct Director<'a, S> {
    pub(super) request: &'a Request,
    pub(super) fold: Fold,
    pub(super) recorder: Recorder,
    pub(super) prober: Prober,
    pub(super) site: Arc<S>,
    /// Commands in progress on nodes, and actions.
    pub(super) work: JoinSet<Done>,
    pub(super) events: Emitter,
    pub(super) faults: FaultHandler,
    pub(super) run_errors: Vec<RunError>,
    /// The conditions for power-ons.
    pub(super) progress: watch::Sender<Progress>,
}

impl<S: Site> Director<'_, S> {
    /// Executes the plan, runs the lab, and takes everything down again.
    pub(super) async fn run(mut self, mut inputs: Inputs, mut journal: Journal) -> Ending {
        let plan = &self.request.plan;
        self.emit(run_started(plan));
        let reason = self.live(plan, &mut inputs, &mut journal).await;

        let Reason { why, interrupted } = reason;
        self.emit(Known::TearDownStarted { why });
        self.prober.set_wanted(Vec::new());
        // Commands in progress are dropped, which clients see as the lab being taken down.
        self.work.shutdown().await;
        let site = Arc::clone(&self.site);
        let down = async {
            site.end_services().await;
            executor::down(&*site, &mut journal).await
        };
        let leaks = self.while_listening(&mut inputs, down).await;
        while let Ok(event) = inputs.events.try_recv() {
            self.take(event);
        }
        let ended = self.events.now().at;
        let exit = self.exit(interrupted, &leaks);
        self.emit(Known::RunEnded { exit });
        let Self { fold, run_errors, .. } = self;
        Ending { exit, run_errors, leaks, ended, fold }
    }

    /// Starts the lab and runs it until there is a reason to end.
    async fn live(&mut self, plan: &Plan, inputs: &mut Inputs, journal: &mut Journal) -> Reason {
        let stop = CancellationToken::new();
        let (site, events) = (Arc::clone(&self.site), self.events.clone());
        let mut progress = self.progress.subscribe();
        let mut executor = std::pin::pin!(executor::up(&*site, plan, journal, &events, &mut progress, &stop));
        let mut executed = false;
        let reason = loop {
            let input = self.next(inputs, executor.as_mut(), executed).await;
            executed |= matches!(input, Input::Executed(_));
            if let Next::End(reason) = self.handle(input) {
                break reason;
            }
        };
        if !executed {
            // A step is never interrupted: its undo expects it before or after its effect.
            stop.cancel();
            if let Err(UpError::Step { text, failure }) = self.while_listening(inputs, executor).await {
                self.run_errors.push(step_error(text, failure));
            }
        }
        reason
    }

    /// Waits for the next input.
    #[expect(clippy::disallowed_methods, reason = "this is the director")]
    async fn next(
        &mut self,
        inputs: &mut Inputs,
        executor: Pin<&mut impl Future<Output = Result<(), UpError>>>,
        executed: bool,
    ) -> Input {
        let Inputs { events, commands, signals: [terminate, interrupt, hang_up], parent } = inputs;
        let due = self.fold.deadline().map(|at| {
            // Slightly late, never early: otherwise nothing would be decided and the loop would spin.
            at.since(self.events.now().at) + Duration::from_millis(1)
        });
        tokio::select! {
            biased;
            Some(event) = events.recv() => Input::Event(Box::new(event)),
            Some(command) = commands.recv() => Input::RunCommand(command),
            _ = terminate.recv() => Input::Signal,
            _ = interrupt.recv() => Input::Signal,
            _ = hang_up.recv() => Input::Signal,
            () = lost(parent) => Input::Lost,
            Some(done) = self.work.join_next() => Input::WorkDone(done),
            done = executor, if !executed => Input::Executed(done),
            () = tokio::time::sleep(due.unwrap_or_default()), if due.is_some() => Input::Due,
        }
    }

    /// Handles an input.
    fn handle(&mut self, input: Input) -> Next {
        match input {
            Input::Event(event) => {
                let failure = host_failure(&event);
                self.take(*event);
                if let Some(run_error) = failure {
                    let why = run_error.what.clone();
                    self.run_errors.push(run_error);
                    // In a terminal, the user may free space and power the node on again.
                    if self.request.until != Until::Stopped {
                        return Next::End(Reason::new(why));
                    }
                }
            }
            Input::RunCommand(RunCommand::Status(reply)) => {
                // The requester may be gone.
                reply.send(self.status()).ok();
            }
            Input::RunCommand(RunCommand::Node { node, command, by, reply }) => {
                self.command(&node, command, by, reply)
            }
            Input::RunCommand(RunCommand::Fault { node, order, reply }) => self.fault(&node, order, reply),
            Input::RunCommand(RunCommand::Kubeconfig { expect, reply }) => {
                self.prober.kubeconfig(expect, &self.request.plan, reply);
            }
            Input::WorkDone(done) => self.work_done(done),
            Input::RunCommand(RunCommand::Down { why, interrupted }) => {
                return Next::End(Reason { why, interrupted });
            }
            Input::Executed(Ok(()) | Err(UpError::Stopped)) => {}
            Input::Executed(Err(UpError::Step { text, failure })) => {
                let why = format!("cannot {text}");
                self.run_errors.push(step_error(text, failure));
                return Next::End(Reason::new(why));
            }
            Input::Signal => return Next::End(Reason::interrupted("stopped by a signal")),
            Input::Lost => return Next::End(Reason::interrupted("the parent command has ended")),
            Input::Due => {
                let decided = self.fold.at(self.events.now());
                self.write(decided);
            }
        }
        if self
            .run_errors
            .iter()
            .any(|run_error| run_error.whose == Whose::Host && run_error.what == RECORD_FAILED)
        {
            return Next::End(Reason::new(RECORD_FAILED));
        }
        // In a terminal, the user may go on with what is left.
        if let Some((action, _)) = self.fold.failed_action()
            && self.request.until != Until::Stopped
        {
            return Next::End(Reason::new(format!("action `{action}` failed")));
        }
        match (self.request.until, self.fold.judged()) {
            (Until::Judged, Some(_)) | (Until::Met, Some(true)) => {
                Next::End(Reason::new("every expectation is decided"))
            }
            (Until::Stopped, _) | (_, None) | (Until::Met, Some(false)) => Next::GoOn,
        }
    }

    /// Waits for a future while events are recorded and requests answered.
    async fn while_listening<T>(&mut self, inputs: &mut Inputs, work: impl Future<Output = T>) -> T {
        let mut work = std::pin::pin!(work);
        loop {
            tokio::select! {
                biased;
                Some(event) = inputs.events.recv() => self.take(event),
                Some(command) = inputs.commands.recv() => match command {
                    RunCommand::Status(reply) => drop(reply.send(self.status())),
                    // The run is ending already; dropping the reply reports that.
                    RunCommand::Down { .. }
                    | RunCommand::Node { .. }
                    | RunCommand::Fault { .. }
                    | RunCommand::Kubeconfig { .. } => {}
                },
                Some(done) = self.work.join_next() => self.work_done(done),
                done = &mut work => return done,
            }
        }
    }

    /// Starts a command on a node, which may take long: its result is another input.
    fn command(&mut self, name: &NodeName, command: NodeCommand, by: Source, reply: NodeReply) {
        let Some(node) = self.site.node(name) else {
            return NodeDone { result: Err(NodeError::Unknown { node: name.clone() }), reply }.tell();
        };
        match &command {
            NodeCommand::Power(_)
            | NodeCommand::Boot(_)
            | NodeCommand::Media(_)
            | NodeCommand::Keys(_)
            | NodeCommand::Firmware(_)
            | NodeCommand::Break => {
                self.events.of(by).emit_of(name, Known::Commanded { what: command.to_string() });
            }
            // Its effect is another event.
            NodeCommand::Link { .. } => {}
        }
        if let Err(error) = node.capabilities().check(name, &command) {
            return NodeDone { result: Err(error), reply }.tell();
        }
        self.work.spawn(async move { Done::Node(NodeDone { result: node.carry_out(command).await, reply }) });
    }

    /// Starts an action on its nodes: its end is another input.
    fn act(&mut self, name: &ActionName, nodes: &[NodeName]) {
        let Some(action) = self.request.plan.actions.get(name) else { return };
        let work = action::work(&self.request.plan, &action.deed, nodes, &self.site, &self.prober);
        let name = name.clone();
        self.work.spawn(async move {
            // What comes after it must not wait forever.
            let broke_off = |_| Err("internal error: it panicked".to_owned());
            Done::Action(name, AssertUnwindSafe(work).catch_unwind().await.unwrap_or_else(broke_off))
        });
    }

    /// Executes an order about faults of a node.
    fn fault(&mut self, node: &NodeName, order: FaultOrder, reply: FaultReply) {
        let plan = &self.request.plan;
        let answer = if plan.nodes.contains_key(node) || plan.hosts.contains_key(node) {
            let snapshot = self.fold.snapshot();
            self.faults.order(node, order, plan, |node| is_on(snapshot, node))
        } else {
            let what = format!("there is no node `{node}`");
            Err(FaultRefusal { what, hint: "`dryrack status` lists the nodes" })
        };
        let answer = answer.map(|(faults, work)| {
            self.perform(work);
            // What it comes after may have happened already.
            self.begin_faults();
            faults.into_iter().map(|fault| fault.name).collect()
        });
        // The requester may be gone.
        reply.send(answer).ok();
    }

    /// Starts the faults whose time has come.
    fn begin_faults(&mut self) {
        let (happened, snapshot) = (&self.fold.progress().fired, self.fold.snapshot());
        let work = self.faults.begin(happened, &self.request.plan, |node| is_on(snapshot, node));
        self.perform(work);
    }

    /// Starts what is done because of faults.
    fn perform(&mut self, all: Vec<FaultWork>) {
        for work in all {
            let work = self.faults.carry_out(work, &self.request.plan, &self.site);
            self.work.spawn(async move { Done::Fault(work.await) });
        }
    }

    fn work_done(&mut self, done: Result<Done, JoinError>) {
        match done {
            Ok(Done::Node(done)) => done.tell(),
            Ok(Done::Action(action, Ok(()))) => self.emit(Known::ActionDone { action }),
            Ok(Done::Action(action, Err(why))) => self.emit(Known::ActionFailed { action, why }),
            Ok(Done::Fault(Ok(()))) => {}
            Ok(Done::Fault(Err(why))) => self.run_errors.push(RunError {
                whose: Whose::Host,
                what: "cannot perform a fault".to_owned(),
                causes: vec![why],
                hint: None,
                output: Vec::new(),
            }),
            Err(error) => tracing::error!(%error, "a command to a node broke off"),
        }
    }

    fn status(&self) -> Status {
        let plan = &self.request.plan;
        let nodes = plan.nodes.keys().chain(plan.hosts.keys());
        let capabilities =
            nodes.filter_map(|name| Some((name.clone(), self.site.node(name)?.capabilities()))).collect();
        Status::new(self.request, &self.fold, capabilities, self.events.now().at)
    }

    /// Stamps an event of the run itself, and applies it.
    fn emit(&mut self, known: Known) {
        let now = self.events.now();
        self.take(Event::of_run(now, None, known));
    }

    /// Applies an event and its conclusions.
    fn take(&mut self, event: Event) {
        let all = self.fold.take(event);
        self.write(all);
    }

    fn write(&mut self, all: Vec<Event>) {
        for event in &all {
            if let Err(error) = self.recorder.record(event)
                && !self.run_errors.iter().any(|run_error| run_error.what == RECORD_FAILED)
            {
                self.run_errors.push(record_error(&error));
            }
            // A BMC answers its client only when it hears that its entry is in the record.
            self.site.note(event);
            if let Some(node) = &event.node {
                self.prober.learn(&self.fold.snapshot().addresses, node);
            }
        }
        let plan = &self.request.plan;
        for event in &all {
            match (&event.kind, &event.node) {
                (Kind::Known(Known::ActionStarted { action, nodes, .. }), _) => self.act(action, nodes),
                (Kind::Known(Known::PoweredOn {}), Some(node)) => {
                    let work = self.faults.powered_on(node, plan);
                    self.perform(work);
                }
                _ => {}
            }
        }
        self.begin_faults();
        self.prober.set_wanted(self.fold.wanted());
        if self.fold.progress() != &*self.progress.borrow() {
            self.progress.send_replace(self.fold.progress().clone());
        }
    }

    fn exit(&self, interrupted: bool, leaks: &[Leak]) -> u8 {
        let missed = self.fold.verdicts().iter().any(|verdict| !verdict.outcome.is_met());
        let codes = self.run_errors.iter().map(|run_error| run_error.whose.exit());
        let codes = codes.chain((!leaks.is_empty()).then_some(exit::LEFT));
        // An interrupted trial decides nothing that was still open.
        let missed = !interrupted
            && (missed
                || !self.fold.died().is_empty()
                || !self.fold.failed().is_empty()
                || self.fold.failed_action().is_some());
        let codes = codes.chain(missed.then_some(exit::MISSED));
        exit::worst(codes.chain(interrupted.then_some(exit::INTERRUPTED)))
    }
}

/// Tells whether a node or host is on.
fn is_on(snapshot: &Snapshot, node: &NodeName) -> bool {
    let node_is_on = snapshot.nodes.get(node).map(|view| view.power == Power::On);
    node_is_on.or_else(|| Some(snapshot.hosts.get(node)?.power == Power::On)).unwrap_or(false)
}

/// Returns the run error in an event: the host has no space left for a disk of a machine.
fn host_failure(event: &Event) -> Option<RunError> {
    let Kind::Known(Known::MachineStopped { state: StopState::IoError, detail, nospace: true }) = &event.kind
    else {
        return None;
    };
    let node = event.node.as_ref()?;
    Some(RunError {
        whose: Whose::Host,
        what: format!("the host's disk is full, and the machine of `{node}` was stopped"),
        causes: vec![detail.clone()],
        hint: Some(MAKE_ROOM.to_owned()),
        output: Vec::new(),
    })
}

impl NodeDone {
    fn tell(self) {
        // The requester may be gone.
        self.reply.send(self.result).ok();
    }
}

const RECORD_FAILED: &str = "cannot write the event log";

fn record_error(error: &io::Error) -> RunError {
    let full = error.kind() == io::ErrorKind::StorageFull;
    RunError {
        whose: Whose::Host,
        what: RECORD_FAILED.to_owned(),
        causes: vec![error.to_string()],
        hint: full.then(|| MAKE_ROOM.to_owned()),
        output: Vec::new(),
    }
}

fn step_error(text: String, failure: executor::Failure) -> RunError {
    let mut error = RunError::new(failure.whose, &*failure.error);
    error.output = failure.output;
    error.causes.insert(0, std::mem::replace(&mut error.what, format!("cannot {text}")));
    error
}

/// Returns when the owner of the run is gone. If the owner only releases the run, this never returns.
async fn lost(parent: &mut Option<AsyncFd<OwnedFd>>) {
    while let Some(fd) = parent {
        let Ok(mut ready) = fd.readable().await else { return };
        match ready.try_io(|fd| Ok(nix::unistd::read(fd.get_ref(), &mut [0])?)) {
            Ok(Ok(1)) => *parent = None,
            Ok(Ok(_) | Err(_)) => return,
            Err(_) => {}
        }
    }
    std::future::pending().await
}

#[cfg(test)]
mod tests;
