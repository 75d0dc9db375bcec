//! The state of one expectation for one node (or for several together, or for the lab).

use super::count::{self, CountStatus};
use super::describe::describe;
use super::{Evidence, Outcome, Verdict};
use crate::event::{Ago, BootServers, RunTime};
use crate::lab::{Check, Expectation, ObservedCheck, Polarity};
use crate::name::NodeName;
use crate::observe::{NodeView, Power};

/// The state of one expectation for one node.
#[derive(Debug, Clone)]
pub(super) struct Subject {
    /// The node; `None` for several together, or for the lab.
    pub(super) node: Option<NodeName>,
    /// Since when the check has been true without interruption, and the evidence.
    holding: Option<(RunTime, String)>,
    /// Whether it was true once and is no longer.
    broken: bool,
    /// The count of a counted check.
    count: u32,
    /// The last result of its probe.
    probe: Option<(RunTime, String)>,
    /// Lines of that result that show why it failed.
    proof: Vec<String>,
    /// How many nodes of several meet the check, and which.
    summary: Option<String>,
    /// The outcome, once decided.
    outcome: Option<Outcome>,
    /// Whether the outcome was returned.
    announced: bool,
}

impl Subject {
    pub(super) fn new(node: Option<NodeName>) -> Self {
        Self {
            node,
            holding: None,
            broken: false,
            count: 0,
            probe: None,
            proof: Vec::new(),
            summary: None,
            outcome: None,
            announced: false,
        }
    }

    pub(super) fn outcome(&self) -> Option<&Outcome> {
        self.outcome.as_ref()
    }

    /// Returns the outcome on the first call after the decision.
    pub(super) fn announce(&mut self) -> Option<Outcome> {
        let outcome = self.outcome.clone().filter(|_| !self.announced)?;
        self.announced = true;
        Some(outcome)
    }

    pub(super) fn is_open(&self) -> bool {
        self.outcome.is_none()
    }

    /// Records that the check is true at an instant. Once it has held long enough, [`Subject::on_time`] decides.
    pub(super) fn on_true(&mut self, at: RunTime, seen: &str) {
        self.holding.get_or_insert_with(|| (at, seen.to_owned()));
    }

    /// Records that the check is not true.
    pub(super) fn on_false(&mut self) {
        self.broken |= self.holding.take().is_some();
    }

    /// Records how many nodes of several meet the check.
    pub(super) fn summarize(&mut self, summary: String) {
        self.summary = Some(summary);
    }

    /// Returns when its probe was last heard of.
    pub(super) fn probed_at(&self) -> Option<RunTime> {
        self.probe.as_ref().map(|(at, _)| *at)
    }

    /// Returns why it does not meet the check, as far as known.
    pub(super) fn last_reason(&self) -> Option<&str> {
        match (&self.outcome, &self.probe) {
            (Some(Outcome::Missed { why, .. }), _) => Some(why),
            (_, probe) => probe.as_ref().map(|(_, seen)| seen.as_str()),
        }
    }

    /// Records one more occurrence of what is counted.
    pub(super) fn count(&mut self) {
        self.count = self.count.saturating_add(1);
    }

    /// Compares the state of the node with the expected one, for checks that need nothing else.
    pub(super) fn compare(&mut self, of: &Expectation, at: RunTime, node: &NodeView) {
        let Check::Observed(check) = &of.check else { return };
        let standing = match check {
            ObservedCheck::Stage(stage) if node.is_at(*stage) => {
                CountStatus::So(format!("stage {}", node.stage))
            }
            ObservedCheck::Stage(_) => CountStatus::NotYet,
            ObservedCheck::Boots(boots) => count::boots(boots, &node.boot_sources()),
            ObservedCheck::Fetched(fetched) => count::fetched(fetched, self.count),
            ObservedCheck::Leased(_) => count::leased(self.count),
            ObservedCheck::Finding(id) => match node.findings.iter().find(|finding| finding.id == *id) {
                Some(finding) => CountStatus::So(finding.to_string()),
                None => CountStatus::NotYet,
            },
            // These are about an instant: a line, an end.
            ObservedCheck::Console(_) | ObservedCheck::Process { .. } => return,
        };
        match standing {
            CountStatus::So(seen) => self.on_true(at, &seen),
            CountStatus::NotYet => self.on_false(),
            // A check that can no longer become true is missed at once.
            CountStatus::NeverAgain(why) if of.sense == Polarity::Must => self.miss(of, at, why, Some(node)),
            CountStatus::NeverAgain(_) => self.on_false(),
        }
    }

    /// Applies the result of a probe.
    pub(super) fn on_probe(
        &mut self,
        of: &Expectation,
        at: RunTime,
        ok: bool,
        seen: &str,
        evidence: &[String],
    ) {
        self.probe = Some((at, seen.to_owned()));
        self.proof = evidence.to_vec();
        if !ok {
            return self.on_false();
        }
        self.on_true(at, seen);
        // Time alone does not show that a probe would still succeed, so a success has to complete the hold.
        if self.confirm_at(of).is_some_and(|confirm| confirm <= at) {
            self.held(of, at, seen);
        }
    }

    /// Returns the instant from which a success completes the hold.
    pub(super) fn confirm_at(&self, of: &Expectation) -> Option<RunTime> {
        let (since, _) = self.holding.as_ref()?;
        Some(*since + of.holds)
    }

    /// Returns the next instant at which time alone may decide.
    pub(super) fn deadline(&self, of: &Expectation, from: Option<RunTime>) -> Option<RunTime> {
        let held = if is_probed(&of.check) { None } else { self.confirm_at(of) };
        // A check that holds has met its time limit: only the hold decides then.
        let over = match of.sense {
            Polarity::Must if self.holding.is_some() => None,
            Polarity::Must | Polarity::Never => time_over(of, from),
        };
        held.into_iter().chain(over).min()
    }

    /// Decides by the time alone.
    pub(super) fn on_time(
        &mut self,
        of: &Expectation,
        from: Option<RunTime>,
        now: RunTime,
        node: Option<&NodeView>,
    ) {
        if !is_probed(&of.check)
            && let Some((since, seen)) = self.holding.clone()
        {
            let held = since + of.holds;
            if held <= now {
                return self.held(of, held, &seen);
            }
        }
        let Some(over) = time_over(of, from).filter(|over| *over <= now) else { return };
        let within = of.within.map(|within| format!("within {}", Ago(within))).unwrap_or_default();
        match of.sense {
            Polarity::Never => {
                self.outcome = Some(Outcome::Met { at: over, why: format!("it did not happen {within}") });
            }
            Polarity::Must if self.holding.is_some() => {}
            Polarity::Must => self.miss(of, now, self.failing(of, &within, node), node),
        }
    }

    /// Returns when the node has made no progress for too long, if nothing more comes.
    pub(super) fn stalls_at(
        &self,
        of: &Expectation,
        from: Option<RunTime>,
        node: Option<&NodeView>,
    ) -> Option<RunTime> {
        let (limit, from, node) = (of.progress?, from?, node?);
        // One that is off waits for somebody.
        let is_on = matches!(node.power, Power::On | Power::Stopped);
        let moved = node.progress.last().map_or(from, |last| last.at.max(from));
        (is_on && self.holding.is_none()).then(|| moved + limit)
    }

    /// Decides by a lack of progress.
    pub(super) fn on_stall(
        &mut self,
        of: &Expectation,
        from: Option<RunTime>,
        now: RunTime,
        node: Option<&NodeView>,
    ) {
        let due = self.stalls_at(of, from, node).is_some_and(|at| at <= now);
        let (Some(limit), Some(view), true) = (of.progress, node, due) else { return };
        let moved =
            view.progress.last().map(|last| format!("; it last moved on at {}: {}", last.at, last.what));
        let why = format!("no progress for {} at {}{}", Ago(limit), view.stage, moved.unwrap_or_default());
        self.miss(of, now, why, node);
    }

    /// Decides that it is missed.
    pub(super) fn miss(&mut self, of: &Expectation, at: RunTime, why: String, node: Option<&NodeView>) {
        let (seen, output) = (self.evidence(of, node), self.proof.clone());
        self.outcome = Some(Outcome::Missed { at, why, seen, output });
    }

    /// Decides by the end of its process that it is missed.
    pub(super) fn miss_by_process(&mut self, at: RunTime, why: String, output: Vec<String>) {
        self.outcome = Some(Outcome::Missed { at, why, seen: Vec::new(), output });
    }

    /// Decides that its check can no longer become true.
    pub(super) fn give_up(&mut self, of: &Expectation, at: RunTime, why: String, node: Option<&NodeView>) {
        match of.sense {
            Polarity::Must => self.miss(of, at, why, node),
            Polarity::Never => {
                self.outcome = Some(Outcome::Met { at, why: format!("it cannot happen: {why}") })
            }
        }
    }

    /// Tells whether the check is true at present.
    pub(super) fn is_holding(&self) -> bool {
        self.holding.is_some()
    }

    /// Decides an open expectation at the end of the run.
    pub(super) fn finish(&mut self, of: &Expectation, at: RunTime, node: Option<&NodeView>) {
        match of.sense {
            Polarity::Never => {
                self.outcome =
                    Some(Outcome::Met { at, why: "it did not happen to the end of the run".to_owned() });
            }
            Polarity::Must => self.miss(of, at, self.failing(of, "before the run ended", node), node),
        }
    }

    /// Decides that its time never started.
    pub(super) fn bar(&mut self, at: RunTime, why: String) {
        self.outcome = Some(Outcome::NotReached { at, why });
    }

    pub(super) fn verdict(
        &self,
        of: &Expectation,
        since: Option<RunTime>,
        node: Option<&NodeView>,
    ) -> Verdict {
        Verdict {
            expect: of.name.clone(),
            node: self.node.clone(),
            what: describe(of),
            since,
            outcome: self
                .outcome
                .clone()
                .unwrap_or_else(|| Outcome::Pending { seen: self.evidence(of, node) }),
            because: None,
        }
    }

    /// Decides that the check has been true for long enough.
    pub(super) fn held(&mut self, of: &Expectation, at: RunTime, seen: &str) {
        self.outcome = Some(match of.sense {
            Polarity::Must => Outcome::Met { at, why: seen.to_owned() },
            Polarity::Never => {
                let (why, seen, output) = (format!("it happened: {seen}"), Vec::new(), Vec::new());
                Outcome::Missed { at, why, seen, output }
            }
        });
    }

    /// Returns the text of what did not happen by `when`.
    fn failing(&self, of: &Expectation, when: &str, node: Option<&NodeView>) -> String {
        let unseen = |node: &NodeView| match node.boot_sources.network {
            BootServers::Lab | BootServers::Captured => "",
            BootServers::LabAndOthers | BootServers::Others => ", as far as is seen beside other servers",
        };
        if let Some(summary) = &self.summary {
            let held = if self.broken {
                format!("it did not stay true for {}; ", Ago(of.holds))
            } else {
                String::new()
            };
            return format!("{held}{summary} {when}");
        }
        let at = node.map(|node| format!(" (it is at {}{})", node.stage, unseen(node))).unwrap_or_default();
        match &of.check {
            Check::Observed(ObservedCheck::Stage(stage)) if self.broken => {
                format!("{stage} did not last for {} {when}{at}", Ago(of.holds))
            }
            Check::Observed(ObservedCheck::Stage(stage)) => format!("{stage} was not reached {when}{at}"),
            Check::Observed(ObservedCheck::Console(regex)) => format!("no line matched /{regex}/ {when}"),
            Check::Observed(ObservedCheck::Boots(_)) => {
                let boots = node.map(NodeView::boot_sources).unwrap_or_default();
                format!("{} {when}", count::boots_so_far(&boots))
            }
            Check::Observed(ObservedCheck::Fetched(_)) => {
                format!("{} {when}", count::fetched_so_far(self.count))
            }
            Check::Observed(ObservedCheck::Leased(_)) => format!("no such lease was seen {when}"),
            Check::Observed(ObservedCheck::Finding(_)) => {
                let found = node.map(|node| node.findings.iter().map(|finding| finding.id.as_str()));
                let found: Vec<&str> = found.into_iter().flatten().collect();
                match found.is_empty() {
                    true => format!("nothing was found {when}{at}"),
                    false => format!("{} was found {when}{at}", found.join(", ")),
                }
            }
            Check::Observed(ObservedCheck::Process { .. }) | Check::Probed(_) if self.broken => {
                format!("it did not stay true for {} {when}", Ago(of.holds))
            }
            Check::Observed(ObservedCheck::Process { .. }) | Check::Probed(_) => format!("not met {when}"),
        }
    }

    fn evidence(&self, of: &Expectation, node: Option<&NodeView>) -> Vec<Evidence> {
        let probe = self.probe.as_ref().filter(|_| is_probed(&of.check));
        let probe = probe.map(|(at, what)| ("last probe saw", *at, what));
        let last = node.and_then(|node| node.last.as_ref()).map(|last| ("last seen:", last.at, &last.what));
        let evidence =
            |(of, at, what): (&str, RunTime, &String)| Evidence { of: of.to_owned(), what: what.clone(), at };
        probe.into_iter().chain(last).map(evidence).collect()
    }
}

/// Tells whether a check needs a probe, rather than events.
pub(super) fn is_probed(check: &Check) -> bool {
    match check {
        Check::Observed(_) => false,
        Check::Probed(_) => true,
    }
}

fn time_over(of: &Expectation, from: Option<RunTime>) -> Option<RunTime> {
    Some(from? + of.within?)
}
