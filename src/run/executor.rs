//! Carries the steps of a plan out, and back.
//!
//! Every effect has its undo in the journal before it is tried. Undo runs in
//! reverse, takes what is already gone for success and never stops half way.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::future::Future;
use std::sync::Arc;

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::journal::Journal;
use crate::event::{Emitter, Known};
use crate::hint::{Hint, chain};
use crate::name::{ExpectName, NodeName};
use crate::node::Node;
use crate::plan::{Plan, Step, Undo};
use crate::report::Leak;
use crate::system::MAKE_ROOM;

/// Why an effect did not happen.
#[derive(Debug)]
pub struct Failure {
    /// What, with its causes and what would help.
    pub error: Box<dyn Hint + Send + Sync>,
}

impl Failure {
    /// Makes a failure of an error.
    pub fn new(error: impl Hint + Send + Sync + 'static) -> Self {
        Self { error: Box::new(error) }
    }
}

/// What steps have their effects on: the kernel and QEMU, or a pretence of them in tests.
pub trait Host: Sync {
    /// Brings a step about.
    fn apply(&self, step: &Step) -> impl Future<Output = Result<(), Failure>> + Send;

    /// Reverses an effect; one that is already gone is a success.
    fn undo(&self, undo: &Undo) -> impl Future<Output = Result<(), Failure>> + Send;
}

/// A host with what a run has on it beside the effects of steps: nodes and services.
pub trait Site: Host + Send {
    /// Returns a node that was started.
    fn node(&self, node: &NodeName) -> Option<Arc<dyn Node>>;

    /// Ends the boot services, before what they stand on is taken away.
    fn end_services(&self) -> impl Future<Output = ()> + Send;
}

/// What the power-on of a node may wait for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Progress {
    /// How many nodes have come as far on their way up as they will.
    pub settled: usize,
    /// The expectations that are met, for all their nodes.
    pub met: BTreeSet<ExpectName>,
}

/// Why not every step was executed.
#[derive(Debug)]
pub enum UpError {
    /// A step failed.
    Step {
        /// The step, as people read it.
        text: String,
        /// Why.
        failure: Failure,
    },
    /// Somebody wants the lab down before it was up.
    Stopped,
}

/// Carries out every step in order, until one fails or `stop` is cancelled. Says when the lab is up.
///
/// Where only so many nodes may be on their way up at once, or some wait for an expectation, the lab is up before the
/// rest of them is powered on.
///
/// Undoes nothing by itself: that is for [`down`], with the same journal.
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
        // Those that wait come last, and whichever may is first among them.
        let ready = |progress: &Progress| {
            let on_their_way = powered_on - progress.settled.min(powered_on);
            let room = plan.parallel_boots.is_none_or(|most| on_their_way < most);
            steps.iter().position(|(_, step)| may(step, progress, room))
        };
        let mut next = ready(&progress.borrow());
        if next.is_none() {
            if !std::mem::replace(&mut up, true) {
                events.emit(Known::LabUp {});
            }
            // Who counts is gone only where nobody waits for the lab any more.
            let turn =
                stop.run_until_cancelled(progress.wait_for(|progress| ready(progress).is_some())).await;
            let progress = turn.ok_or(UpError::Stopped)?.map_err(|_| UpError::Stopped)?;
            next = ready(&progress);
        }
        let (index, step) = steps.remove(next.expect("it was waited until there is one"));
        powered_on += usize::from(matches!(step, Step::PowerOn { .. }));
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
fn may(step: &Step, progress: &Progress, room: bool) -> bool {
    let met = |after: &Option<ExpectName>| after.as_ref().is_none_or(|expect| progress.met.contains(expect));
    match step {
        Step::PowerOn { node: _, after } => room && met(after),
        Step::Process(process) => met(&process.after),
        _ => true,
    }
}

fn failed(events: &Emitter, step: usize, text: String, failure: Failure) -> UpError {
    let error = chain(&*failure.error);
    events.emit(Known::StepFailed { step, text: text.clone(), error });
    UpError::Step { text, failure }
}

/// Tells whether a step ends with whoever waits for it. These are the ones that take long on a busy host.
///
/// Others are brief, and some have a program at work that nobody could call back.
fn may_be_broken_off(step: &Step) -> bool {
    match step {
        Step::Machine { .. } | Step::Disk(_) => true,
        // It waits for a cable, when all else is done.
        Step::Port(_) => true,
        // It may first look for another DHCP server, and has begun nothing before.
        Step::Serve(service) => service.dhcp.as_ref().is_some_and(|dhcp| dhcp.probe),
        _ => false,
    }
}

/// Reverses every effect, newest first, and returns what is left over.
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
