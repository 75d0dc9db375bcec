//! The current state of a lab and its nodes, folded from events.
//!
//! The fold reads causes (power, boot services, consoles) and ignores recorded [`Known::StageReached`] events, which
//! are its own conclusions. So replaying a run results in the same stages, and a late conclusion in the stream cannot
//! move a node back.
//!
//! ```text
//! off ─PoweredOn─▶ firmware ─lease─▶ dhcp ─loader─▶ nbp ─script─▶ loader ─kernel─▶ kernel ─login, lease─▶ os
//!  ▲                  ▲  (a boot only goes forward; steps may be left out, as a boot from disk does)      │
//!  └── PoweredOff ────┴────────────────────────── Reset ──────────────────────────────────────────────────┘
//! ```

mod addresses;
mod boots;
mod exchanges;
mod progress;
mod screen;
mod stage;
mod timeline;

pub use self::addresses::AddressBook;
pub use self::boots::BootClues;
pub use self::exchanges::Telling;
pub use self::progress::Progress;
pub use self::screen::{ScreenShown, ScreenView};
pub use self::timeline::{
    Answer, Boot, BootCause, Decided, DecidedBy, Entries, ExchangeOutcome, Happened, Mark, MarkKind,
    NodeTimeline, ProcessSpan, SeenExchange, StageSpan, StepSpan, TearDown, Timeline, TimelineFold, Took,
};

use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::net::IpAddr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use self::exchanges::Exchanges;
use self::stage::Clue;
use crate::event::{
    Ago, BootSources, BootedFrom, Event, Finding, Kind, Known, PowerCause, RunTime, Size, Source, Stage,
    StopState,
};
use crate::name::{ActionName, ExpectName, FaultName, NodeName, ProcessName};

/// The state of the lab as a whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LabState {
    /// Its steps are being executed.
    Starting,
    /// Every step took effect.
    Up,
    /// It is being torn down.
    TearingDown,
    /// It has ended.
    Ended,
}

/// Whether a machine has power.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Power {
    /// It was never powered on, or is off again.
    Off,
    /// It is running.
    On,
    /// QEMU paused it, for example because a disk was full.
    Stopped,
    /// It ended unexpectedly.
    Died,
}

/// An observation of a node, with its instant.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sighting {
    /// When.
    pub at: RunTime,
    /// The text that follows "last seen:".
    pub what: String,
}

/// A line of a serial console, with its instant.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConsoleLine {
    /// When.
    pub at: RunTime,
    /// The line.
    pub text: String,
}

/// A download in progress.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fetch {
    /// The file.
    pub path: String,
    /// Bytes sent so far.
    pub bytes: u64,
    /// Size of the whole file in bytes, if known.
    pub total: Option<u64>,
}

impl fmt::Display for Fetch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = self.path.rsplit('/').next().unwrap_or(&self.path);
        match self.total {
            Some(total) => write!(f, "{name} {} of {}", Size(self.bytes), Size(total)),
            None => write!(f, "{name} {}", Size(self.bytes)),
        }
    }
}

/// One boot of a node, with its source once known.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Booted {
    /// When it began.
    pub began: RunTime,
    /// The boot source; `None` until a kernel starts.
    pub from: Option<BootedFrom>,
    /// The evidence.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub by: String,
    /// What was seen of it before its source was known.
    #[serde(skip)]
    pub clues: BootClues,
}

/// A conclusion from an event.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Concluded {
    /// The stage that its node reached.
    pub stage: Option<Stage>,
    /// The boot source of its node, and the evidence.
    pub booted: Option<(BootedFrom, String)>,
    /// Whether it was reported before.
    pub telling: Telling,
}

impl Concluded {
    /// Returns the conclusions as events.
    pub fn events(self) -> impl Iterator<Item = Known> {
        let stage = self.stage.map(|stage| Known::StageReached { stage });
        stage.into_iter().chain(self.booted.map(|(from, by)| Known::Booted { from, by }))
    }
}

/// The current state of one node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeView {
    /// The stage reached since it was last powered on or reset.
    pub stage: Stage,
    /// When it reached that stage.
    pub since: RunTime,
    /// Whether it has power.
    pub power: Power,
    /// How often its firmware started: power-ons and resets.
    pub boots: u32,
    /// The most recent known address at which it is reachable.
    pub address: Option<IpAddr>,
    /// The last non-blank line of its serial console.
    pub console: Option<ConsoleLine>,
    /// Its current download.
    pub fetching: Option<Fetch>,
    /// What was last seen of it.
    pub last: Option<Sighting>,
    /// Whether the links of its NICs are up, of those that were set.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub links: BTreeMap<String, bool>,
    /// What is in its drives for media, of those that were changed; `None` if a drive is empty.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub media: BTreeMap<String, Option<String>>,
    /// Every stage it reached, in order, in all its boots.
    pub timeline: Vec<(Stage, RunTime)>,
    /// All its boots, in order.
    #[serde(default)]
    pub booted: Vec<Booted>,
    /// Why its expectations can no longer be met: its machine ended unexpectedly, or QEMU stopped it for good.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dead: Option<String>,
    /// Why it did not come further, the surest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub findings: Vec<Finding>,
    /// What it can boot from.
    #[serde(skip)]
    pub boot_sources: BootSources,
    /// Its screen.
    #[serde(skip)]
    pub screen: ScreenView,
    /// Whether a kernel printed to its console in its current boot.
    #[serde(skip)]
    pub kernel_spoke: bool,
    /// What last moved it on.
    #[serde(skip)]
    pub progress: Progress,
}

/// The current state of one process of the lab.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProcessView {
    /// The last non-blank line that it printed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub printed: Option<String>,
    /// The last lines that it printed, at most [`ProcessView::KEPT`].
    #[serde(default, skip_serializing_if = "VecDeque::is_empty")]
    pub output: VecDeque<String>,
    /// When it was started.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started: Option<RunTime>,
    /// When it was ready, if it has `ready`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ready: Option<RunTime>,
    /// How it ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended: Option<ProcessEnd>,
}

impl ProcessView {
    /// The number of lines of output that are kept.
    pub const KEPT: usize = 20;

    fn print(&mut self, text: &str) {
        if !text.trim().is_empty() {
            self.printed = Some(text.trim().to_owned());
        }
        if self.output.len() == Self::KEPT {
            self.output.pop_front();
        }
        self.output.push_back(text.trim_end().to_owned());
    }
}

/// The current state of one action that was started.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ActionView {
    /// When it was started.
    pub started: RunTime,
    /// What is done.
    pub what: String,
    /// The nodes to which it is done.
    pub nodes: Vec<NodeName>,
    /// When it ended, if it did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended: Option<RunTime>,
    /// Why it failed, if it did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failed: Option<String>,
}

/// A fault of one node that has begun.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FaultView {
    /// The fault.
    pub fault: FaultName,
    /// The node or host.
    pub node: NodeName,
    /// What goes wrong.
    pub what: String,
    /// When it began.
    pub began: RunTime,
    /// How often it happened; never if it lasts.
    pub struck: u64,
    /// When it was over.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended: Option<RunTime>,
}

impl fmt::Display for FaultView {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} on {}: {}", self.fault, self.node, self.what)?;
        match self.struck {
            0 => Ok(()),
            1 => f.write_str(", once"),
            times => write!(f, ", {times} times"),
        }
    }
}

/// The current state of one host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HostView {
    /// Whether it is on.
    pub power: Power,
    /// Since when.
    pub since: RunTime,
    /// The most recent known address that a DHCP server assigned.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address: Option<IpAddr>,
    /// The last line that was logged on it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub logged: Option<ConsoleLine>,
    /// Whether the links of its NICs are up, of those that were set.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub links: BTreeMap<String, bool>,
}

impl HostView {
    fn new() -> Self {
        Self { power: Power::Off, since: RunTime::START, address: None, logged: None, links: BTreeMap::new() }
    }

    fn see(&mut self, at: RunTime, known: &Known) {
        let power = match known {
            Known::PoweredOn {} => Power::On,
            Known::PoweredOff { .. } => Power::Off,
            Known::MachineDied { .. } => Power::Died,
            Known::ConsoleLine { text } => {
                self.logged = Some(ConsoleLine { at, text: text.clone() });
                return;
            }
            Known::LinkSet { nic, up } => {
                self.links.insert(nic.clone(), *up);
                return;
            }
            // What else happens on a host is told of its processes.
            _ => return,
        };
        (self.power, self.since) = (power, at);
    }
}

/// How a process ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProcessEnd {
    /// Its exit code; `None` if a signal ended it.
    pub exit: Option<i32>,
    /// As text, with its last line of output.
    pub how: String,
}

impl NodeView {
    fn new() -> Self {
        Self {
            stage: Stage::Off,
            since: RunTime::START,
            power: Power::Off,
            boots: 0,
            address: None,
            console: None,
            fetching: None,
            last: None,
            links: BTreeMap::new(),
            media: BTreeMap::new(),
            timeline: Vec::new(),
            booted: Vec::new(),
            dead: None,
            findings: Vec::new(),
            boot_sources: BootSources::default(),
            screen: ScreenView::default(),
            kernel_spoke: false,
            progress: Progress::default(),
        }
    }

    /// Tells whether the node has reached a stage. `off` holds only for a node that was on before.
    pub fn is_at(&self, stage: Stage) -> bool {
        match stage {
            Stage::Off => self.stage == Stage::Off && self.boots > 0,
            _ => self.stage >= stage,
        }
    }

    /// Returns the boot source of each boot in which a kernel started.
    pub fn boot_sources(&self) -> Vec<BootedFrom> {
        self.booted.iter().filter_map(|boot| boot.from).collect()
    }

    /// Returns what was last seen of the node and how long before `now`: `last seen: leased 10.0.0.10, 41s ago`.
    pub fn last_seen(&self, now: RunTime) -> String {
        match &self.last {
            Some(Sighting { at, what }) => {
                format!("last seen: {what}, {} ago", Ago(now.since(*at)))
            }
            None => "nothing seen of it yet".to_owned(),
        }
    }

    fn see(&mut self, at: RunTime, known: &Known) {
        match known {
            Known::PoweredOn {} | Known::BootSeen {} => {
                (self.power, self.dead) = (Power::On, None);
                self.boots = self.boots.saturating_add(1);
                self.fetching = None;
            }
            Known::Reset { .. } => {
                self.boots = self.boots.saturating_add(1);
                self.fetching = None;
            }
            Known::PoweredOff { .. } => (self.power, self.fetching) = (Power::Off, None),
            Known::MachineDied { .. } => {
                (self.power, self.fetching) = (Power::Died, None);
                self.dead = Some(format!("the machine {known}"));
            }
            Known::MachineStopped { state, .. } => {
                self.power = Power::Stopped;
                // QEMU never resumes after an internal error, but may resume after a full disk.
                if *state == StopState::InternalError {
                    self.dead = Some(format!("the machine was {known}"));
                }
            }
            Known::ConsoleLine { text } if !text.trim().is_empty() => {
                self.console = Some(ConsoleLine { at, text: text.clone() });
            }
            Known::LinkSet { nic, up } => {
                self.links.insert(nic.clone(), *up);
            }
            Known::MediumSet { drive, medium } => {
                self.media.insert(drive.clone(), medium.clone());
            }
            Known::Fetching { path, bytes, total } => {
                self.fetching = Some(Fetch { path: path.clone(), bytes: *bytes, total: *total });
            }
            Known::TftpServed { path, .. } | Known::HttpServed { path, .. }
                if self.fetching.as_ref().is_some_and(|fetch| fetch.path == *path) =>
            {
                self.fetching = None;
            }
            Known::Diagnosed { finding } => {
                self.findings.retain(|known| known.id != finding.id);
                self.findings.push(Finding::clone(finding));
                self.findings.sort_by_key(|finding| finding.certainty.clone());
            }
            Known::RunStarted { .. }
            | Known::StepDone { .. }
            | Known::StepFailed { .. }
            | Known::LabUp {}
            | Known::TearDownStarted { .. }
            | Known::RunEnded { .. }
            | Known::GuestPanicked {}
            | Known::ConsoleLine { .. }
            | Known::BannerSkipped {}
            | Known::DiskWritten { .. }
            | Known::DhcpReplied { .. }
            | Known::DhcpIgnored { .. }
            | Known::DhcpOmitted { .. }
            | Known::AddressLearned { .. }
            | Known::RouterAdvertised { .. }
            | Known::TftpServed { .. }
            | Known::HttpServed { .. }
            | Known::MatchboxFailed { .. }
            | Known::HttpsFailed { .. }
            | Known::RpcServed { .. }
            | Known::RpcRefused { .. }
            | Known::DnsAnswered { .. }
            | Known::NtpAnswered { .. }
            | Known::SyslogLine { .. }
            | Known::Omitted { .. }
            | Known::CaptureIncomplete { .. }
            | Known::ServiceFailed { .. }
            | Known::DhcpAsked { .. }
            | Known::RouterSolicited { .. }
            | Known::Unanswered { .. }
            | Known::Unreachable { .. }
            | Known::TlsOffered { .. }
            | Known::TlsAlerted { .. }
            | Known::StpSeen { .. }
            | Known::LacpSeen { .. }
            | Known::ScreenShown { .. }
            | Known::ProcessStarted { .. }
            | Known::ProcessReady { .. }
            | Known::ProcessPrinted { .. }
            | Known::ProcessEnded { .. }
            | Known::StageReached { .. }
            | Known::Booted { .. }
            | Known::Probed { .. }
            | Known::ExpectationDecided { .. }
            | Known::Judged { .. }
            | Known::ActionStarted { .. }
            | Known::ActionDone { .. }
            | Known::ActionFailed { .. }
            | Known::FaultBegan { .. }
            | Known::FaultStruck { .. }
            | Known::FaultEnded { .. }
            | Known::BmcLogged { .. }
            | Known::Commanded { .. } => {}
        }
    }
}

/// The current state of a lab and its nodes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Snapshot {
    /// The state of the lab.
    pub lab: LabState,
    /// The exit code, once the run ended.
    pub exit: Option<u8>,
    /// The instant of the latest event.
    pub now: RunTime,
    /// Its nodes.
    pub nodes: BTreeMap<NodeName, NodeView>,
    /// The known addresses of its nodes.
    #[serde(skip)]
    pub addresses: AddressBook,
    /// When the last step of the plan took effect.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub up: Option<RunTime>,
    /// Its processes, once started.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub processes: BTreeMap<ProcessName, ProcessView>,
    /// Its hosts.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub hosts: BTreeMap<NodeName, HostView>,
    /// Its actions, once started.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub actions: BTreeMap<ActionName, ActionView>,
    /// What goes or went wrong on purpose, in the order in which it began.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub faults: Vec<FaultView>,
    /// The node that each expectation last saw as the leader of its cluster.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub leaders: BTreeMap<ExpectName, NodeName>,
    #[serde(skip)]
    exchanges: Exchanges,
}

impl Snapshot {
    /// Creates the snapshot of a lab whose nodes are all off. A node not named here appears with its first event.
    pub fn new(nodes: impl IntoIterator<Item = NodeName>) -> Self {
        let nodes = nodes.into_iter().map(|node| (node, NodeView::new())).collect();
        Self {
            lab: LabState::Starting,
            exit: None,
            now: RunTime::START,
            nodes,
            addresses: AddressBook::default(),
            up: None,
            processes: BTreeMap::new(),
            hosts: BTreeMap::new(),
            actions: BTreeMap::new(),
            faults: Vec::new(),
            leaders: BTreeMap::new(),
            exchanges: Exchanges::default(),
        }
    }

    /// Adds hosts, which are all off.
    pub fn with_hosts(mut self, hosts: impl IntoIterator<Item = NodeName>) -> Self {
        self.hosts.extend(hosts.into_iter().map(|host| (host, HostView::new())));
        self
    }

    /// Applies one event, and returns the conclusions.
    pub fn apply(&mut self, event: &Event) -> Concluded {
        self.now = self.now.max(event.at);
        let telling = self.exchanges.see(event);
        let nothing = Concluded { telling, ..Concluded::default() };
        let Kind::Known(known) = &event.kind else { return nothing };
        if telling == Telling::Again {
            return nothing;
        }
        self.see(event.at, known);
        let Some(node) = &event.node else { return nothing };
        self.see_fault(event.at, node, known);
        if let Some(host) = self.hosts.get_mut(node) {
            host.see(event.at, known);
            if self.addresses.apply(node, known) {
                host.address = self.addresses.reach(None, node);
            }
            return nothing;
        }
        let view = self.nodes.entry(node.clone()).or_insert_with(NodeView::new);
        if let Known::PoweredOff { why: PowerCause::Down } = known {
            // After the end of a lab, the last stages and observations of its nodes stay available.
            view.see(event.at, known);
            return nothing;
        }
        if is_echo(view, event.at, known) {
            return nothing;
        }
        // Frames are read a moment after they were sent: this one was sent before the machine restarted.
        let is_earlier = view.booted.last().is_some_and(|boot| event.at < boot.began);
        if event.source == Source::Wire && is_earlier {
            if self.addresses.apply(node, known) {
                view.address = self.addresses.reach(None, node);
            }
            return nothing;
        }
        view.screen.see(event.at, known);
        // What is on its serial console, too, was seen there.
        let is_screen = matches!(known, Known::ScreenShown { .. });
        let is_seen = !is_screen || !view.screen.appeared().is_empty();
        let sighting = event.kind.sighting().filter(|_| is_seen);
        if let Some(what) = sighting {
            view.last = Some(Sighting { at: event.at, what });
        }
        view.see(event.at, known);
        if self.addresses.apply(node, known) {
            view.address = self.addresses.reach(None, node);
        }
        let booted = view.boot(event.at, known);
        let clue = stage::Clue::from_event(known);
        match clue {
            Some(Clue::PoweredOn | Clue::PoweredOff | Clue::Reset) => view.kernel_spoke = false,
            Some(Clue::KernelSpoke) => view.kernel_spoke = true,
            _ => {}
        }
        let stage = clue.map_or(view.stage, |clue| stage::next(view.stage, view.kernel_spoke, clue));
        let from = view.booted.last().and_then(|boot| boot.from);
        view.progress.see(event.at, known, view.screen.appeared(), stage, from);
        // A reset in the firmware stage starts a new boot although the stage is the same.
        let begins = matches!(known, Known::PoweredOn {} | Known::BootSeen {} | Known::Reset { .. });
        if stage == view.stage && !(begins && stage == Stage::Firmware) {
            return Concluded { stage: None, booted, telling };
        }
        (view.stage, view.since) = (stage, event.at);
        // What it has overcome explains nothing any more.
        view.findings.retain(|finding| stage <= finding.stage);
        view.timeline.push((stage, event.at));
        Concluded { stage: Some(stage), booted, telling }
    }

    /// Lets time pass. Returns the nodes whose boot source is known by that, with the evidence.
    pub fn pass(&mut self, now: RunTime) -> Vec<(NodeName, BootedFrom, String)> {
        self.now = self.now.max(now);
        let settle = |(node, view): (&NodeName, &mut NodeView)| {
            let (from, by) = view.settle_boot(now)?;
            Some((node.clone(), from, by))
        };
        self.nodes.iter_mut().filter_map(settle).collect()
    }

    /// Returns the next instant at which time alone shows something.
    pub fn next_deadline(&self) -> Option<RunTime> {
        self.nodes.values().filter_map(NodeView::boot_settles).min()
    }

    /// Applies an event of a fault.
    fn see_fault(&mut self, at: RunTime, of: &NodeName, known: &Known) {
        match known {
            Known::FaultBegan { fault, what } => {
                let (fault, node, what) = (fault.clone(), of.clone(), what.clone());
                self.faults.push(FaultView { fault, node, what, began: at, struck: 0, ended: None });
            }
            Known::FaultStruck { fault, .. } | Known::FaultEnded { fault } => {
                let is_it = |view: &&mut FaultView| view.fault == *fault && view.node == *of;
                let mut standing = self.faults.iter_mut().rev().filter(|view| view.ended.is_none());
                match (standing.find(is_it), known) {
                    (Some(view), Known::FaultStruck { .. }) => view.struck += 1,
                    (Some(view), _) => view.ended = Some(at),
                    (None, _) => {}
                }
            }
            _ => {}
        }
    }

    /// Applies an event of the lab as a whole.
    fn see(&mut self, at: RunTime, known: &Known) {
        match known {
            Known::LabUp {} => {
                self.up.get_or_insert(at);
                if self.lab == LabState::Starting {
                    self.lab = LabState::Up;
                }
            }
            Known::TearDownStarted { .. } => {
                if self.lab != LabState::Ended {
                    self.lab = LabState::TearingDown;
                }
            }
            Known::RunStarted { nodes, hosts, .. } => {
                for host in hosts {
                    self.hosts.entry(host.clone()).or_insert_with(HostView::new);
                }
                for (node, sources) in nodes {
                    self.nodes.entry(node.clone()).or_insert_with(NodeView::new).boot_sources = *sources;
                }
            }
            Known::RunEnded { exit } => (self.lab, self.exit) = (LabState::Ended, Some(*exit)),
            Known::ProcessStarted { process } => {
                let view = ProcessView { started: Some(at), ..ProcessView::default() };
                self.processes.insert(process.clone(), view);
            }
            Known::ProcessReady { process, by: _ } => {
                self.processes.entry(process.clone()).or_default().ready = Some(at);
            }
            Known::ProcessPrinted { process, text } => {
                self.processes.entry(process.clone()).or_default().print(text);
            }
            Known::ProcessEnded { process, exit, status } => {
                let view = self.processes.entry(process.clone()).or_default();
                let words = view.printed.as_ref().map(|words| format!(", `{words}`")).unwrap_or_default();
                let how = format!("`{process}` ended: {status}{words}");
                view.ended = Some(ProcessEnd { exit: *exit, how });
            }
            Known::ActionStarted { action, what, nodes } => {
                let view = ActionView {
                    started: at,
                    what: what.clone(),
                    nodes: nodes.clone(),
                    ended: None,
                    failed: None,
                };
                self.actions.insert(action.clone(), view);
            }
            Known::ActionDone { action } => {
                if let Some(view) = self.actions.get_mut(action) {
                    view.ended = Some(at);
                }
            }
            Known::ActionFailed { action, why } => {
                // One whose nodes could not be chosen was not started.
                let view = self.actions.entry(action.clone()).or_insert_with(|| ActionView {
                    started: at,
                    what: String::new(),
                    nodes: Vec::new(),
                    ended: None,
                    failed: None,
                });
                (view.ended, view.failed) = (Some(at), Some(why.clone()));
            }
            Known::Probed { expect, leader: Some(leader), .. } => {
                self.leaders.insert(expect.clone(), leader.clone());
            }
            Known::StepDone { .. }
            | Known::StepFailed { .. }
            | Known::PoweredOn {}
            | Known::PoweredOff { .. }
            | Known::Reset { .. }
            | Known::MachineDied { .. }
            | Known::MachineStopped { .. }
            | Known::GuestPanicked {}
            | Known::ConsoleLine { .. }
            | Known::BannerSkipped {}
            | Known::DiskWritten { .. }
            | Known::LinkSet { .. }
            | Known::MediumSet { .. }
            | Known::DhcpReplied { .. }
            | Known::DhcpIgnored { .. }
            | Known::DhcpOmitted { .. }
            | Known::AddressLearned { .. }
            | Known::RouterAdvertised { .. }
            | Known::TftpServed { .. }
            | Known::Fetching { .. }
            | Known::HttpServed { .. }
            | Known::MatchboxFailed { .. }
            | Known::HttpsFailed { .. }
            | Known::RpcServed { .. }
            | Known::RpcRefused { .. }
            | Known::DnsAnswered { .. }
            | Known::NtpAnswered { .. }
            | Known::SyslogLine { .. }
            | Known::Omitted { .. }
            | Known::CaptureIncomplete { .. }
            | Known::ServiceFailed { .. }
            | Known::BootSeen {}
            | Known::DhcpAsked { .. }
            | Known::RouterSolicited { .. }
            | Known::Unanswered { .. }
            | Known::Unreachable { .. }
            | Known::TlsOffered { .. }
            | Known::TlsAlerted { .. }
            | Known::StpSeen { .. }
            | Known::LacpSeen { .. }
            | Known::ScreenShown { .. }
            | Known::StageReached { .. }
            | Known::Booted { .. }
            | Known::Probed { .. }
            | Known::ExpectationDecided { .. }
            | Known::Diagnosed { .. }
            | Known::Judged { .. }
            | Known::FaultBegan { .. }
            | Known::FaultStruck { .. }
            | Known::FaultEnded { .. }
            | Known::BmcLogged { .. }
            | Known::Commanded { .. } => {}
        }
    }

    /// Returns the stage of a node; an unknown node is off.
    pub fn stage(&self, node: &NodeName) -> Stage {
        self.nodes.get(node).map_or(Stage::Off, |view| view.stage)
    }
}

/// How soon after a reset a firmware resets the machine by itself: 40 ms measured, more than 500 ms on a busy host.
const ECHO: Duration = Duration::from_secs(2);

/// How long after a reset the last line of what ran before may come, which was not complete.
const LAST_LINE: Duration = Duration::from_millis(500);

/// Tells whether a reset only completes the previous one: SeaBIOS detects a warm start and resets the machine again, up
/// to twice, before it starts and prints its first line.
fn is_echo(view: &NodeView, at: RunTime, known: &Known) -> bool {
    let has_printed = view.console.as_ref().is_some_and(|line| line.at.since(view.since) >= LAST_LINE);
    matches!(known, Known::Reset { why: PowerCause::Guest })
        && view.boots > 1
        && view.stage == Stage::Firmware
        && !has_printed
        && at.since(view.since) < ECHO
}

impl fmt::Display for Snapshot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, (node, view)) in self.nodes.iter().enumerate() {
            if index > 0 {
                f.write_str("; ")?;
            }
            write!(f, "{node}: {}, {}", view.stage, view.last_seen(self.now))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
