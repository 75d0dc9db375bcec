//! Fuzzes the NTP service with arbitrary packets.

use std::net::SocketAddr;

use super::{CLIENT, FIRST_CLIENT_PORT, PORT, SERVER, SYMMETRIC_ACTIVE, SYMMETRIC_PASSIVE, answer};
use crate::fuzz::script::Script;

/// Answers one packet. Only client requests get a reply; it is no longer than the request and gets no reply itself.
pub(crate) fn question(data: &[u8]) {
    let mut script = Script::new(data);
    let now = u64::from_be_bytes(script.array());
    let from = SocketAddr::from(([10, 0, 0, 11], script.number()));
    let packet = script.piece();
    let Some((version, reply)) = answer(packet, from, now) else { return };
    assert!(packet.len() >= reply.len(), "nothing is amplified");
    let mode = packet[0] & 7;
    assert!(matches!(mode, CLIENT | SYMMETRIC_ACTIVE) || packet[0] & 0x3f == 1 << 3);
    let answered_as = if mode == SYMMETRIC_ACTIVE { SYMMETRIC_PASSIVE } else { SERVER };
    assert!(from.port() == PORT || from.port() >= FIRST_CLIENT_PORT);
    assert_eq!((reply[0], &reply[24..32]), (version << 3 | answered_as, &packet[40..48]));
    assert_eq!(answer(&reply, from, now), None, "an answer is not answered");
}
