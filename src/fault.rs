//! Faults: decides what goes wrong now. Whoever owns an effect asks, and performs it.
//!
//! A rule is a fault of the lab file or of `dryrack fault`: nodes, what goes wrong, how often. It stands once its time
//! has come, for each of its nodes until it happened to it as often as it may. [`Faults::strike`] is asked where
//! something could go wrong once: a request is answered, a machine starts. [`Faults::standing`] tells what is wrong all
//! the time, as with a link.
//!
//! The diagnosis never sees a fault: it is to find the cause by what is seen of a machine.

mod rules;

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use self::rules::Rules;
use crate::event::{Emitter, Known, Source};
use crate::lab::{Fault, FaultKind};
use crate::name::{NodeName, Trigger};

/// The faults of a lab. Clones share their state.
#[derive(Debug, Clone)]
pub struct Faults {
    /// Whether there are any, so that servers of labs without faults need no lock.
    any: Arc<AtomicBool>,
    rules: Arc<Mutex<Rules>>,
    events: Option<Emitter>,
}

impl Faults {
    /// Starts with faults whose time has not come. Their events go to an emitter.
    pub fn new<'a>(faults: impl IntoIterator<Item = &'a Fault>, events: &Emitter) -> Self {
        let rules = Rules::new(faults.into_iter().cloned());
        Self {
            any: Arc::new(AtomicBool::new(!rules.is_empty())),
            rules: Arc::new(Mutex::new(rules)),
            events: Some(events.of(Source::Run)),
        }
    }

    /// Nothing goes wrong.
    pub fn none() -> Self {
        Self { any: Arc::default(), rules: Arc::default(), events: None }
    }

    /// Tells whether anything may go wrong now or later.
    pub fn any(&self) -> bool {
        self.any.load(Ordering::Acquire)
    }

    /// Starts the faults that come after what has happened so far. Returns those that begin now.
    pub fn begin(&self, happened: &BTreeSet<Trigger>) -> Vec<Fault> {
        let begun = self.rules().begin(happened);
        begun.iter().for_each(|fault| self.tell_beginning(fault));
        begun
    }

    /// Adds a fault that begins now, or after something, under a name of its own.
    pub fn add(
        &self,
        nodes: Vec<NodeName>,
        after: Option<Trigger>,
        times: Option<u32>,
        kind: FaultKind,
    ) -> Fault {
        let fault = self.rules().add(nodes, after, times, kind);
        self.any.store(true, Ordering::Release);
        if fault.after.is_none() {
            self.tell_beginning(&fault);
        }
        fault
    }

    /// Ends all faults of a node, also those that were to come. Returns those that stood.
    pub fn end(&self, node: &NodeName) -> Vec<Fault> {
        let ended = self.rules().end(node);
        for fault in &ended {
            self.emit(node, Known::FaultEnded { fault: fault.name.clone() });
        }
        ended
    }

    /// Decides whether something goes wrong with a node now, which counts: `what` returns the fault of a kind that
    /// applies here.
    pub fn strike<T>(&self, node: Option<&NodeName>, what: impl Fn(&FaultKind) -> Option<T>) -> Option<T> {
        let node = node.filter(|_| self.any())?;
        let (fault, what, last) = self.rules().strike(node, what)?;
        self.emit(node, Known::FaultStruck { fault: fault.name.clone(), what: fault.kind.text() });
        if last {
            self.emit(node, Known::FaultEnded { fault: fault.name.clone() });
        }
        Some(what)
    }

    /// Counts everything of a kind that is wrong with a node now.
    pub fn strike_all<T: PartialEq>(&self, node: &NodeName, what: impl Fn(&FaultKind) -> Option<T>) {
        for wanted in self.standing(node, &what) {
            self.strike(Some(node), |kind| what(kind).filter(|what| *what == wanted));
        }
    }

    /// Returns everything of a kind that is wrong with a node, without counting it.
    pub fn standing<T>(&self, node: &NodeName, what: impl Fn(&FaultKind) -> Option<T>) -> Vec<T> {
        if !self.any() {
            return Vec::new();
        }
        self.rules().standing(node).filter_map(|fault| what(&fault.kind)).collect()
    }

    fn tell_beginning(&self, fault: &Fault) {
        for node in &fault.nodes {
            self.emit(node, Known::FaultBegan { fault: fault.name.clone(), what: fault.kind.text() });
        }
    }

    fn emit(&self, node: &NodeName, known: Known) {
        if let Some(events) = &self.events {
            events.emit_of(node, known);
        }
    }

    fn rules(&self) -> MutexGuard<'_, Rules> {
        // After a panic the rules are still consistent: each change is a single assignment.
        self.rules.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
