//! Executes the steps of a plan, and undoes them.
//!
//! The undo of every effect is in the journal before its step is tried. Undo runs in reverse order, treats what is
//! already gone as success and never stops half way.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::future::Future;
use std::sync::Arc;

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::journal::Journal;
use super::plug::Plug;
use crate::event::{Emitter, Event, Known};
use crate::hint::{Hint, chain};
use crate::name::{NodeName, Trigger};
use crate::node::Node;
use crate::plan::{HostMachinePlan, Plan, Step, Undo};
use crate::report::{Leak, Whose};
use crate::system::MAKE_ROOM;
use crate::system::impaired_link::Impairment;

/// Why an effect failed.
#[derive(Debug)]
pub struct Failure {
    /// The error, with its causes and its hint.
    pub error: Box<dyn Hint + Send + Sync>,
    /// Whose problem it is.
    pub whose: Whose,
    /// The last lines of the program that caused it.
    pub output: Vec<String>,
}

impl Failure {
    /// Creates a failure from an error.
    pub fn new(error: impl Hint + Send + Sync + 'static) -> Self {
        Self { error: Box::new(error), whose: Whose::Host, output: Vec::new() }
    }

    /// Blames a program of the lab, with its last lines.
    pub fn of_machine(self, output: Vec<String>) -> Self {
        Self { whose: Whose::Machine, output, ..self }
    }
}

/// The target of steps: the kernel and QEMU, or a fake in tests.
pub trait Host: Sync {
    /// Executes a step.
    fn apply(&self, step: &Step) -> impl Future<Output = Result<(), Failure>> + Send;

    /// Reverses an effect; an effect that is already gone is a success.
    fn undo(&self, undo: &Undo) -> impl Future<Output = Result<(), Failure>> + Send;
}

/// A host with the nodes and services of a run.
pub trait Site: Host + Send + 'static {
    /// Returns a started node.
    fn node(&self, node: &NodeName) -> Option<Arc<dyn Node>>;

    /// Stops the boot services and the capture, before the interfaces they use are removed.
    fn end_services(&self) -> impl Future<Output = ()> + Send;

    /// Impairs the links of a node, or repairs them.
    fn impair(
        &self,
        node: &NodeName,
        plugs: &[Plug],
        impairment: Option<Impairment>,
    ) -> impl Future<Output = Result<(), String>> + Send;

    /// Learns of an event that was recorded, also of conclusions.
    fn note(&self, event: &Event);
}

/// The conditions for the power-on of a node.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Progress {
    /// The number of nodes that have finished booting.
    pub settled: usize,
    /// The expectations that are met for all their nodes, the actions that are done, the processes that are ready.
    pub fired: BTreeSet<Trigger>,
}

/// Why not all steps were executed.
#[derive(Debug)]
pub enum UpError {
    /// A step failed.
    Step {
        /// The step as text.
        text: String,
        /// The error.
        failure: Failure,
    },
    /// The lab is to be taken down before it was up.
    Stopped,
}

/// Executes every step in order, until one fails or `stop` is cancelled. Reports when the lab is up.
///
/// If the number of parallel boots is limited, or nodes wait for an expectation, the lab is up before the remaining
/// nodes are powered on.
///
/// Undoes nothing itself: see [`down`], with the same journal.
pub async fn up(
    host: &impl Host,
    plan: &Plan,
    journal: &mut Journal,
    events: &Emitter,
    progress: &mut watch::Receiver<Progress>,
    stop: &CancellationToken,
) -> Result<(), UpError> {
    let (mut powered_on, mut up) = (0, false);
    let mut steps: Vec<(usize, &Step)> = plan.steps.iter().enumerate().collect();
    while !steps.is_empty() {
        if stop.is_cancelled() {
            return Err(UpError::Stopped);
        }
        // Steps with a condition come last; the first that may run is next.
        let ready = |progress: &Progress| {
            let on_their_way = powered_on - progress.settled.min(powered_on);
            let room = plan.parallel_boots.is_none_or(|most| on_their_way < most);
            steps.iter().position(|(_, step)| may(step, progress, room, &plan.hosts))
        };
        let mut next = ready(&progress.borrow());
        if next.is_none() {
            if !std::mem::replace(&mut up, true) {
                events.emit(Known::LabUp {});
            }
            // The sender is gone only when nothing waits for the lab any more.
            let turn =
                stop.run_until_cancelled(progress.wait_for(|progress| ready(progress).is_some())).await;
            let progress = turn.ok_or(UpError::Stopped)?.map_err(|_| UpError::Stopped)?;
            next = ready(&progress);
        }
        let (index, step) = steps.remove(next.expect("it was waited until there is one"));
        // Hosts do not boot.
        powered_on +=
            usize::from(matches!(step, Step::PowerOn { node, .. } if !plan.hosts.contains_key(node)));
        let text = step.title();
        if let Err(error) = journal.intend(index, step.undo()) {
            return Err(failed(events, index, text, Failure::new(JournalError(error))));
        }
        let done = if may_be_broken_off(step) {
            stop.run_until_cancelled(host.apply(step)).await.ok_or(UpError::Stopped)?
        } else {
            host.apply(step).await
        };
        match done {
            Ok(()) => events.emit(Known::StepDone { step: index, text }),
            Err(failure) => return Err(failed(events, index, text, failure)),
        }
    }
    if !up {
        events.emit(Known::LabUp {});
    }
    Ok(())
}

/// Tells whether a step may be executed now. `room` tells whether another node may boot.
fn may(step: &Step, progress: &Progress, room: bool, hosts: &BTreeMap<NodeName, HostMachinePlan>) -> bool {
    let fired = |after: &Option<Trigger>| after.as_ref().is_none_or(|after| progress.fired.contains(after));
    match step {
        Step::PowerOn { node, after } => (room || hosts.contains_key(node)) && fired(after),
        Step::Process(process) => fired(&process.after),
        _ => true,
    }
}

fn failed(events: &Emitter, step: usize, text: String, failure: Failure) -> UpError {
    let error = chain(&*failure.error);
    events.emit(Known::StepFailed { step: Some(step), text: text.clone(), error });
    UpError::Step { text, failure }
}

/// Tells whether a step can be cancelled by dropping it. These are the steps that take long on a busy host.
///
/// Others are brief, and some have started a program that cannot be called back.
fn may_be_broken_off(step: &Step) -> bool {
    match step {
        Step::Machine { .. } | Step::Disk(_) => true,
        // It has no effect.
        Step::Ready { .. } => true,
        // It waits for a link, after its effect is complete.
        Step::Port(_) => true,
        // It may first look for another DHCP server, and has no effect before.
        Step::Serve(service) => service.dhcp.as_ref().is_some_and(|dhcp| dhcp.probe),
        _ => false,
    }
}

/// Reverses every effect, newest first, and returns the leaks.
pub async fn down(host: &impl Host, journal: &mut Journal) -> Vec<Leak> {
    let mut leaks = Vec::new();
    for undo in journal.undos() {
        if let Err(failure) = host.undo(&undo).await {
            leaks.push(Leak { what: undo.to_string(), why: chain(&*failure.error) });
        }
    }
    // With a leak the journal stays open, so that the next command tries again.
    if leaks.is_empty()
        && let Err(error) = journal.close()
    {
        leaks.push(Leak { what: "close the journal".to_owned(), why: error.to_string() });
    }
    leaks
}

#[derive(Debug, thiserror::Error)]
#[error("cannot write the journal of the run")]
struct JournalError(#[source] std::io::Error);

impl Hint for JournalError {
    fn hint(&self) -> Option<Cow<'static, str>> {
        (self.0.kind() == std::io::ErrorKind::StorageFull).then_some(MAKE_ROOM.into())
    }
}

#[cfg(test)]
mod tests;
