//! NTP: serves the host's time, plus the offset that the lab sets (SNTP as in RFC 5905).

use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::time::{SystemTime, UNIX_EPOCH};

use futures_util::future::join_all;

use super::context::Context;
use super::failure::{FailureLog, failed};
use super::repeats::{Asker, Fact, Repeats};
use crate::event::{Known, Service};

/// Length of a packet without extensions. A reply is no longer than the shortest request, so nothing is amplified.
const PACKET: usize = 48;
/// Longer than any request; only the first [`PACKET`] bytes are parsed.
const LONGEST: usize = 1024;
/// Seconds from 1900, the epoch of NTP, to 1970.
const EPOCH: i128 = 2_208_988_800;
const NANOS: i128 = 1_000_000_000;

/// The modes of a client and of a server, and those of symmetric peers, which Windows uses to set its clock
/// (RFC 5905, section 3).
const CLIENT: u8 = 3;
const SERVER: u8 = 4;
const SYMMETRIC_ACTIVE: u8 = 1;
const SYMMETRIC_PASSIVE: u8 = 2;
/// The stratum: low enough to be accepted, high enough that clients prefer real servers.
const STRATUM: u8 = 3;
/// The precision as a power of two, in seconds: a microsecond.
const PRECISION: i8 = -20;
/// The root dispersion in units of 2^-16 s: a millisecond.
const DISPERSION: u32 = 66;
/// The reference identifier: an uncorrected local clock.
const REFERENCE: [u8; 4] = *b"LOCL";

/// Clients send from this port or from an unprivileged one.
const PORT: u16 = 123;
const FIRST_CLIENT_PORT: u16 = 1024;

/// A reply, for its event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct NtpReply {
    version: u8,
    /// Offset from the host's clock in milliseconds.
    offset: i64,
}

impl Fact for NtpReply {
    fn key(&self) -> u64 {
        self.version.into()
    }

    fn known(&self, us: u64, count: Option<u64>) -> Known {
        Known::NtpAnswered { version: self.version, offset: self.offset, us, count }
    }
}

/// Answers requests for as long as it is polled. `offset` is in milliseconds.
pub(super) async fn run(sockets: Vec<UdpSocket>, offset: i64, context: Context) {
    let repeats = Repeats::new(Service::Ntp, context.clone());
    let listen = join_all(sockets.into_iter().map(|socket| listen(socket, offset, &context, &repeats)));
    tokio::join!(listen, repeats.run());
}

async fn listen(
    socket: UdpSocket,
    offset: i64,
    Context { clients, events, .. }: &Context,
    repeats: &Repeats<NtpReply>,
) {
    let socket = match tokio::net::UdpSocket::from_std(socket) {
        Ok(socket) => socket,
        Err(error) => return failed(events, Service::Ntp, &error.to_string()),
    };
    let mut failure = FailureLog::new(Service::Ntp, events);
    let mut packet = [0; LONGEST];
    loop {
        let (length, from) = match socket.recv_from(&mut packet).await {
            Ok(received) => received,
            Err(error) => {
                failure.pause(&error).await;
                continue;
            }
        };
        if !clients.may_ask(from.ip()) {
            continue;
        }
        let (begun, now) = (events.now().at, timestamp(host_clock(), offset));
        let Some((version, reply)) = answer(&packet[..length], from, now) else { continue };
        failure.note(socket.send_to(&reply, from).await.map(drop));
        let us = events.now().at.micros_since(begun);
        let client: IpAddr = from.ip();
        repeats.note([(Asker::Client(client), &NtpReply { version, offset }, us)]);
    }
}

/// Returns the reply to a packet; `None` if it is not a client's request. `now` is an NTP timestamp.
fn answer(packet: &[u8], from: SocketAddr, now: u64) -> Option<(u8, [u8; PACKET])> {
    if from.port() != PORT && from.port() < FIRST_CLIENT_PORT {
        // A service on such a port would answer the reply.
        return None;
    }
    let requested = packet.first_chunk::<PACKET>()?;
    let (version, mode) = (requested[0] >> 3 & 7, requested[0] & 7);
    // Version 1 has no modes and leaves them zero.
    let answered_as = match mode {
        CLIENT => SERVER,
        // The peer stays unknown: no state is kept, as ntpd and chrony do for peers that are not configured.
        SYMMETRIC_ACTIVE => SYMMETRIC_PASSIVE,
        0 if version == 1 => SERVER,
        _ => return None,
    };
    if !(1..=4).contains(&version) {
        return None;
    }
    let mut reply = [0; PACKET];
    // No leap second is announced.
    reply[0] = version << 3 | answered_as;
    reply[1] = STRATUM;
    reply[2] = requested[2];
    reply[3] = PRECISION.to_be_bytes()[0];
    reply[8..12].copy_from_slice(&DISPERSION.to_be_bytes());
    reply[12..16].copy_from_slice(&REFERENCE);
    // Reference timestamp: the last whole second.
    reply[16..24].copy_from_slice(&(now & !u64::from(u32::MAX)).to_be_bytes());
    // Origin timestamp: the client matches replies by it.
    reply[24..32].copy_from_slice(&requested[40..48]);
    reply[32..40].copy_from_slice(&now.to_be_bytes());
    reply[40..48].copy_from_slice(&now.to_be_bytes());
    Some((version, reply))
}

/// Returns the host's clock in nanoseconds since 1970.
#[expect(
    clippy::disallowed_methods,
    reason = "the host's clock is what NTP tells; the run's clock is not set again"
)]
fn host_clock() -> i128 {
    let nanos = |span: std::time::Duration| i128::try_from(span.as_nanos()).unwrap_or(i128::MAX);
    match SystemTime::now().duration_since(UNIX_EPOCH) {
        Ok(since) => nanos(since),
        Err(before) => -nanos(before.duration()),
    }
}

/// Returns an NTP timestamp: seconds since 1900 and fractions of 2^-32 s. It wraps every 136 years.
fn timestamp(clock: i128, offset: i64) -> u64 {
    let nanos = clock + i128::from(offset) * 1_000_000 + EPOCH * NANOS;
    let (seconds, rest) = (nanos.div_euclid(NANOS), nanos.rem_euclid(NANOS));
    let fraction = (rest << 32) / NANOS;
    let wrapped = (seconds << 32 | fraction) & i128::from(u64::MAX);
    u64::try_from(wrapped).expect("64 bits are left")
}

#[cfg(any(test, fuzzing))]
pub(in crate::serve) mod fuzz;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const FROM: &str = "10.0.0.11:40000";

    fn question(first: u8) -> [u8; PACKET] {
        let mut packet = [0; PACKET];
        packet[0] = first;
        packet[2] = 6;
        packet[40..].copy_from_slice(b"question");
        packet
    }

    fn check(packet: &[u8], from: &str) -> Option<(u8, [u8; PACKET])> {
        answer(packet, from.parse().unwrap(), 0x1122_3344_5566_7788)
    }

    #[test]
    fn the_time_is_told_in_the_version_of_the_question() {
        for version in 1..=4 {
            let (reported, reply) = check(&question(version << 3 | CLIENT), FROM).unwrap();
            assert_eq!((reported, reply[0]), (version, version << 3 | SERVER));
            assert_eq!((reply[1], reply[2], reply[3], &reply[12..16]), (3, 6, 236, &b"LOCL"[..]));
            assert_eq!(&reply[24..32], b"question");
            assert_eq!(reply[32..40], 0x1122_3344_5566_7788_u64.to_be_bytes());
            assert_eq!(reply[32..40], reply[40..48]);
        }
        assert!(check(&question(1 << 3), FROM).is_some(), "the first version knew no modes");
    }

    #[test]
    fn a_symmetric_peer_is_answered_as_a_passive_one() {
        // Version 3, and version 4 with a clock that is not set.
        for first in [0x19, 0xe1] {
            let (version, reply) = check(&question(first), "10.0.0.11:123").unwrap();
            assert_eq!(reply[0], version << 3 | SYMMETRIC_PASSIVE);
            assert_eq!(check(&reply, "10.0.0.11:123"), None, "no dialogue between two servers");
        }
    }

    #[test]
    fn only_clients_are_answered() {
        // Passive, server, broadcast, control and private: the last two are used for amplification attacks.
        for mode in [0, 2, 4, 5, 6, 7] {
            assert_eq!(check(&question(4 << 3 | mode), FROM), None, "mode {mode}");
        }
        for version in [0, 5, 6, 7] {
            assert_eq!(check(&question(version << 3 | CLIENT), FROM), None, "version {version}");
        }
        assert_eq!(check(&question(4 << 3 | CLIENT)[..47], FROM), None);
        for (port, answered) in
            [(0, false), (7, false), (53, false), (123, true), (1023, false), (1024, true)]
        {
            let from = format!("10.0.0.11:{port}");
            assert_eq!(check(&question(4 << 3 | CLIENT), &from).is_some(), answered, "port {port}");
        }
    }

    #[test]
    fn timestamps_count_from_1900_and_wrap() {
        let second = |nanos: i128, offset| timestamp(nanos, offset) >> 32;
        assert_eq!(second(0, 0), 2_208_988_800);
        assert_eq!(timestamp(NANOS / 2, 0) & 0xffff_ffff, 1 << 31);
        assert_eq!(second(0, -7_200_000), 2_208_988_800 - 7200);
        assert_eq!(timestamp(0, -500) & 0xffff_ffff, 1 << 31);
        // Era 1 begins in 2036.
        let wrap = (1_i128 << 32) - EPOCH;
        assert_eq!(second((wrap - 1) * NANOS, 0), u64::from(u32::MAX));
        assert_eq!(second(wrap * NANOS, 0), 0);
        assert_eq!(second(-(EPOCH + 1) * NANOS, 0), u64::from(u32::MAX));
    }

    proptest! {
        #[test]
        fn no_bytes_do_harm(packet in prop::collection::vec(any::<u8>(), 0..200), port in any::<u16>(), now in any::<u64>()) {
            let from = SocketAddr::from(([10, 0, 0, 11], port));
            if let Some((version, reply)) = answer(&packet, from, now) {
                prop_assert!(packet.len() >= reply.len(), "nothing is amplified");
                prop_assert!((1..=4).contains(&version));
                prop_assert_eq!(answer(&reply, from, now), None, "an answer is not answered");
            }
        }

        #[test]
        fn every_clock_has_a_timestamp(clock in any::<i64>(), offset in any::<i64>()) {
            let (one, next) = (timestamp(clock.into(), offset), timestamp(i128::from(clock) + NANOS, offset));
            prop_assert_eq!(next.wrapping_sub(one), 1 << 32);
        }
    }
}
