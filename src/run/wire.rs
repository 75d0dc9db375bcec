//! Frames of the lab's networks: which of them are recorded, and what they tell.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::{Duration, SystemTime};

use crate::capture::{
    CaptureError, FrameObserver, RecordedNetwork, Recording, RecordingNotes, RecordingPlan, SeenFrame,
    Trouble,
};
use crate::dissect::{Dissector, Frame, Link, Machines, OwnServices, Seen, Segment};
use crate::event::{Emitter, Known, RunTime, Service, Source};
use crate::lab::TftpBackend;
use crate::name::{Mac, NodeName};
use crate::plan::{CapturePlan, CapturedNetwork, NodePlan, Plan, ServicePlan, Step};
use crate::serve::Addresses;

/// Of longer frames only the beginning is read, unless the contents of files are kept: they are parts of transfers.
const LONGEST: u32 = 4096;

/// Longer than any frame.
const WHOLE: u32 = 256 << 10;

/// Observes the frames of a lab.
pub(super) struct Wire {
    networks: Vec<CapturedNetwork>,
    payload: bool,
    dissector: Dissector,
    addresses: Addresses,
    events: Emitter,
    /// When the clock of the run began, since 1970.
    began: Duration,
    /// What the frames have shown, until it is reported.
    seen: Vec<Seen>,
    /// The last problem, which is reported once.
    problem: Option<String>,
}

/// Returns what a dissector needs to know of the networks of a plan, in the order of its capture.
pub(super) fn segments(plan: &Plan) -> Vec<Segment> {
    let services = |captured: &CapturedNetwork| {
        plan.steps.iter().find_map(|step| match step {
            Step::Serve(service) if service.network == captured.network => Some(segment(service)),
            _ => None,
        })
    };
    let captures = plan.steps.iter().filter_map(|step| match step {
        Step::Capture(capture) => Some(&capture.networks),
        _ => None,
    });
    let unserved = |captured: &CapturedNetwork| Segment::foreign(captured.network.clone());
    captures.flatten().map(|captured| services(captured).unwrap_or_else(|| unserved(captured))).collect()
}

fn segment(service: &ServicePlan) -> Segment {
    let https = service.https.is_some().then_some(443);
    let matchbox = service.matchbox.as_ref();
    Segment {
        network: service.network.clone(),
        ipv4: service.address.or(Some(service.subnet)),
        ipv6: service.ipv6,
        own: service.address.map(|_| service.mac),
        services: OwnServices {
            dhcp: service.dhcp.is_some(),
            dhcp6: service.dhcp6.is_some(),
            tftp: service.tftp != TftpBackend::Off,
            dns: service.is_name_server(),
            advertisements: service.ra,
            http: service
                .http
                .into_iter()
                .chain(https)
                .chain(matchbox.map(|matchbox| matchbox.port))
                .collect(),
        },
    }
}

impl Wire {
    /// Creates the observer of a capture.
    pub(super) fn new<'a>(
        plan: &CapturePlan,
        segments: Vec<Segment>,
        nodes: impl Iterator<Item = &'a NodePlan>,
        addresses: Addresses,
        events: &Emitter,
    ) -> Self {
        let macs = |node: &'a NodePlan| node.nics.iter().map(|nic| (nic.mac, node.node.clone()));
        let machines = Machines::Named(nodes.flat_map(macs).collect());
        let mut wire = Self {
            networks: plan.networks.clone(),
            payload: plan.payload,
            dissector: Dissector::new(segments, machines),
            addresses,
            events: events.of(Source::Wire),
            began: Duration::ZERO,
            seen: Vec::new(),
            problem: None,
        };
        wire.set_clock();
        wire
    }

    /// Starts to record frames in the network namespace of this thread.
    pub(super) fn record(
        self,
        plan: &CapturePlan,
        run_dir: &Path,
        notes: RecordingNotes,
    ) -> Result<Recording, CaptureError> {
        let network = |network: &CapturedNetwork| RecordedNetwork {
            interface: network.interface.clone(),
            ports: network.ports.clone(),
            title: network.network.to_string(),
        };
        let recording = RecordingPlan {
            path: run_dir.join(&plan.path),
            size: plan.size,
            longest: if plan.payload { WHOLE } else { LONGEST },
            networks: plan.networks.iter().map(network).collect(),
        };
        Recording::start(&recording, notes, self)
    }

    /// Compares the clock of the frames with that of the run. The first one may be set meanwhile.
    #[expect(clippy::disallowed_methods, reason = "frames have the time of this clock")]
    fn set_clock(&mut self) {
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        self.began = now.saturating_sub(self.events.now().at.elapsed());
    }

    /// Returns an instant of the frames' clock on the clock of the run.
    fn at(&self, since_1970: Duration) -> RunTime {
        since_1970.saturating_sub(self.began).into()
    }

    /// Reports what the frames have shown.
    fn tell(&mut self) {
        for Seen { at, node, exchange, frame, known } in std::mem::take(&mut self.seen) {
            if is_answer_of_lab(&known) || !self.is_news(node.as_ref(), &known) {
                continue;
            }
            self.events.emit_at(at, frame, exchange, node.as_ref(), known);
        }
    }

    /// Records the address that an event is about. Tells whether the event has something that no service has reported.
    fn is_news(&self, node: Option<&NodeName>, known: &Known) -> bool {
        match (node, known) {
            (Some(node), Known::AddressLearned { network, address, by, from: _ }) => {
                self.addresses.learn(network, node, *address, by.clone())
            }
            _ => true,
        }
    }

    /// Reports a problem, unless it is the last one again.
    fn fail(&mut self, error: String) {
        if self.problem.as_ref() != Some(&error) {
            self.events.emit(Known::ServiceFailed { service: Service::Capture, error: error.clone() });
            self.problem = Some(error);
        }
    }
}

impl FrameObserver for Wire {
    fn frame(&mut self, frame: &SeenFrame<'_>) -> Option<usize> {
        let network = self.networks.get(frame.network)?;
        if let Some(stations) = &network.stations
            && !concerns(stations, frame.data)
        {
            return None;
        }
        let &SeenFrame { network, at, number, data, length } = frame;
        let frame =
            Frame { at: self.at(at), number, segment: network, link: Link::Ethernet, bytes: data, length };
        let worth = self.dissector.frame(frame, &mut self.seen);
        self.tell();
        Some(if self.payload { usize::MAX } else { worth })
    }

    fn time(&mut self, now: Duration) {
        self.set_clock();
        let now = self.at(now);
        self.dissector.pass(now, &mut self.seen);
        self.tell();
    }

    fn trouble(&mut self, trouble: Trouble) {
        match trouble {
            Trouble::NoRing { interface, error } => {
                let why = format!(
                    "the kernel has no ring for frames of {interface} ({error}), so they are read one by one, and some may \
                     be lost under load"
                );
                self.events.emit(Known::CaptureIncomplete { why, lost: None });
            }
            Trouble::Lost(count) => {
                let why = format!("{count} frames were lost before they could be read");
                self.events.emit(Known::CaptureIncomplete { why, lost: Some(count) });
            }
            Trouble::Full(size) => {
                let why = format!("the file has its full size, {size}, so later frames are not kept");
                self.events.emit(Known::CaptureIncomplete { why, lost: None });
            }
            Trouble::Unwritten(error) => {
                self.fail(format!("cannot write the file: {error}: later frames are not kept"));
            }
            Trouble::Unread(error) => self.fail(format!("cannot read frames: {error}")),
        }
    }
}

impl Drop for Wire {
    fn drop(&mut self) {
        // The thread that has it is gone, and the run goes on.
        if std::thread::panicking() {
            self.fail("the thread that reads frames has panicked: later frames are not seen".to_owned());
        }
    }
}

/// Tells whether an event is an answer of the lab's own services, which report it themselves, and know more of it: the
/// rule, the role of a file.
fn is_answer_of_lab(known: &Known) -> bool {
    matches!(
        known,
        Known::DhcpReplied { server: None, .. }
            | Known::TftpServed { server: None, .. }
            | Known::HttpServed { server: None, .. }
            | Known::DnsAnswered { server: None, .. }
            | Known::RouterAdvertised { router: None, .. }
    )
}

/// Tells whether a frame is from or to one of the stations, or to several.
fn concerns(stations: &BTreeSet<Mac>, frame: &[u8]) -> bool {
    let Some((to, rest)) = frame.split_first_chunk() else { return false };
    let Some((from, _)) = rest.split_first_chunk() else { return false };
    let is_group = to[0] & 1 != 0;
    is_group || stations.contains(&Mac(*to)) || stations.contains(&Mac(*from))
}

#[cfg(test)]
mod tests;
