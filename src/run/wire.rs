//! Frames of the lab's networks: which of them are recorded, and what they tell.

use std::collections::BTreeSet;
use std::path::Path;

use crate::capture::{
    CaptureError, FrameObserver, RecordedNetwork, Recording, RecordingNotes, RecordingPlan, SeenFrame,
    Trouble,
};
use crate::event::{Emitter, Known, Service, Source};
use crate::name::Mac;
use crate::plan::{CapturePlan, CapturedNetwork};

/// Of longer frames only the beginning is read, unless the contents of files are kept: they are parts of transfers.
const LONGEST: u32 = 4096;

/// Longer than any frame.
const WHOLE: u32 = 256 << 10;

/// Observes the frames of a lab.
pub(super) struct Wire {
    networks: Vec<CapturedNetwork>,
    payload: bool,
    events: Emitter,
    /// The last problem, which is reported once.
    problem: Option<String>,
}

impl Wire {
    /// Creates the observer of a capture.
    pub(super) fn new(plan: &CapturePlan, events: &Emitter) -> Self {
        let events = events.of(Source::Wire);
        Self { networks: plan.networks.clone(), payload: plan.payload, events, problem: None }
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
        Some(if self.payload { usize::MAX } else { worth(frame.data) })
    }

    fn time(&mut self, _now: std::time::Duration) {}

    fn trouble(&mut self, trouble: Trouble) {
        match trouble {
            Trouble::NoRing { interface, error } => self.fail(format!(
                "the kernel has no ring for frames of {interface} ({error}): they are read one by one, and some may be lost under load"
            )),
            Trouble::Lost(count) => self.events.emit(Known::Omitted { service: Service::Capture, count }),
            Trouble::Full(size) => self.fail(format!("the file has reached its size, {size}: later frames are not kept")),
            Trouble::Unwritten(error) => {
                self.fail(format!("cannot write the file: {error}: later frames are not kept"));
            }
            Trouble::Unread(error) => self.fail(format!("cannot read frames: {error}")),
        }
    }
}

/// Returns how many bytes of a frame are no contents of a file: all of them, except in TCP and in UDP of unknown ports.
fn worth(frame: &[u8]) -> usize {
    /// The headers of a frame, and the beginning of what is in it.
    const HEADERS: usize = 192;
    /// DNS, DHCP, NTP, syslog, DHCPv6, proxyDHCP.
    const MESSAGES: [u16; 9] = [53, 67, 68, 123, 514, 546, 547, 4011, 5353];
    const UDP: u8 = 17;
    const TCP: u8 = 6;
    let short = |at: usize| frame.get(at..at + 2).map(|short| u16::from_be_bytes([short[0], short[1]]));
    let tag = if short(12) == Some(0x8100) { 4 } else { 0 };
    let ip = 14 + tag;
    let (protocol, header) = match (short(12 + tag), frame.get(ip)) {
        (Some(0x0800), Some(first)) => (frame.get(ip + 9), usize::from(first & 15) * 4),
        (Some(0x86dd), Some(_)) => (frame.get(ip + 6), 40),
        _ => return frame.len(),
    };
    let is_message = || {
        let ports = [short(ip + header), short(ip + header + 2)];
        ports.into_iter().flatten().any(|port| MESSAGES.contains(&port))
    };
    match protocol {
        Some(&TCP) => HEADERS,
        Some(&UDP) if !is_message() => HEADERS,
        _ => frame.len(),
    }
}

/// Tells whether a frame is from or to one of the stations, or to several.
fn concerns(stations: &BTreeSet<Mac>, frame: &[u8]) -> bool {
    let Some((to, rest)) = frame.split_first_chunk() else { return false };
    let Some((from, _)) = rest.split_first_chunk() else { return false };
    let is_group = to[0] & 1 != 0;
    is_group || stations.contains(&Mac(*to)) || stations.contains(&Mac(*from))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_kept_whole_and_files_are_not() {
        let frame = |tag: &[u8], protocol: u8, port: u16| {
            let ip = [&[0x45, 0, 0, 0, 0, 0, 0, 0, 64, protocol][..], &[0; 10]].concat();
            [&[2; 12][..], tag, &[8, 0], &ip, &[0x10, 0], &port.to_be_bytes(), &[0; 500]].concat()
        };
        assert_eq!(worth(&frame(&[], 17, 67)), 538);
        assert_eq!(worth(&frame(&[0x81, 0, 0, 5], 17, 67)), 542);
        assert_eq!(worth(&frame(&[], 17, 2070)), 192);
        assert_eq!(worth(&frame(&[], 6, 80)), 192);
        assert_eq!(worth(&frame(&[], 1, 0)), 538, "ICMP");
        assert_eq!(worth(&[2; 13]), 13);
    }

    #[test]
    fn of_a_real_segment_only_frames_of_the_lab_and_to_all_are_taken() {
        let (node, bridge, stranger) =
            (Mac([2, 0, 0, 0, 0, 1]), Mac([2, 0, 0, 0, 0, 9]), Mac([2, 7, 7, 7, 7, 7]));
        let stations = BTreeSet::from([node, bridge]);
        let frame = |to: Mac, from: Mac| [&to.0[..], &from.0, &[8, 0, 1]].concat();
        assert!(concerns(&stations, &frame(node, stranger)));
        assert!(concerns(&stations, &frame(stranger, bridge)));
        assert!(concerns(&stations, &frame(Mac([0xff; 6]), stranger)));
        assert!(concerns(&stations, &frame(Mac([0x33, 0x33, 0, 0, 0, 1]), stranger)));
        assert!(!concerns(&stations, &frame(Mac([2, 8, 8, 8, 8, 8]), stranger)));
        assert!(!concerns(&stations, &[0xff; 11]));
    }
}
