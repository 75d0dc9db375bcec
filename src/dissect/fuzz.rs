//! Fuzzes the dissector with frames of every link type, as captures have them.

use super::{Dissector, Frame, Link, Machines, OwnServices, Segment};
use crate::event::RunTime;
use crate::name::{Mac, NetworkName};

const LINKS: [Link; 5] = [Link::Ethernet, Link::LinuxSll, Link::LinuxSll2, Link::RawIp, Link::Null];
/// More than any input can cause.
const MOST_EVENTS: usize = 20_000;

/// Reads frames, each with a header: link type and network, milliseconds since the last one, length (2 bytes).
pub(crate) fn frames(data: &[u8]) {
    let lan = Segment {
        ipv4: "10.0.0.1/24".parse().ok(),
        ipv6: "fd00:83::1/64".parse().ok(),
        own: Some(Mac([2, 0, 0, 0, 0, 1])),
        services: OwnServices { dhcp: true, tftp: true, dns: true, http: vec![80], ..OwnServices::default() },
        ..Segment::foreign(NetworkName::new("lan").expect("a name"))
    };
    let other = Segment::foreign(NetworkName::new("other").expect("a name"));
    let mut dissector = Dissector::new(vec![lan, other], Machines::Any);
    let mut seen = Vec::new();
    let (mut at, mut rest) = (0, data);
    while let Some(([kind, pause, high, low], tail)) = rest.split_first_chunk() {
        let length = usize::from(u16::from_be_bytes([*high, *low]));
        let bytes = &tail[..tail.len().min(length)];
        rest = &tail[bytes.len()..];
        at += u64::from(*pause) * 1_000_000;
        let frame = Frame {
            number: None,
            at: RunTime::from_nanos(at),
            segment: usize::from(kind >> 7),
            link: LINKS[usize::from(*kind & 0x7f) % LINKS.len()],
            bytes,
            length,
        };
        let kept = dissector.frame(frame, &mut seen);
        assert!(kept <= bytes.len(), "more is kept than there is");
    }
    let end = RunTime::from_nanos(at + 600_000_000_000);
    dissector.pass(end, &mut seen);
    assert!(dissector.next_deadline().is_none_or(|deadline| deadline > end), "nothing waits for ever");
    assert!(seen.len() <= MOST_EVENTS);
    assert!(seen.iter().all(|seen| seen.at <= end), "nothing is later than the last frame and its silence");
}
