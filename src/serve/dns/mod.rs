//! DNS: the lab's own names, forward and reverse; other names are forwarded or refused.
//!
//! ```text
//! packet ─▶ wire cache ──────────────────────────▶ reply ─▶ rate limit ─▶ events
//!            └▶ answer ── zones ──────────────────▶│
//!                  └▶ ask ── cache, upstream ──────┘
//! ```

mod answer;
mod batch;
mod cache;
#[cfg(any(test, fuzzing))]
pub(in crate::serve) mod fuzz;
mod message;
mod rule;
mod summary;
mod upstream;
mod wire_cache;
mod zones;

use std::io;
use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::os::fd::AsRawFd;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::future::join_all;
use tokio::io::{AsyncReadExt, AsyncWriteExt, Interest};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::timeout;

use self::answer::{Ask, Outcome, Reply, answer};
use self::batch::Batch;
use self::message::Transport;
use self::summary::AnswerSummary;
use self::upstream::Upstream;
use self::wire_cache::WireCache;
pub(super) use self::zones::Zones;
use super::connection_limit::ConnectionLimit;
use super::context::Context;
use super::failure::{FailureLog, failed};
use super::repeats::{Asker, Repeats};
use crate::event::{RunTime, Service};
use crate::lab::FaultKind;

/// How long a TCP connection may be idle, or sending an answer may take.
const IDLE: Duration = Duration::from_secs(10);
/// Maximum number of pending upstream queries, more than [`Upstream`] keeps open.
const PENDING: usize = 4096;

/// What answering a query needs.
struct Names {
    zones: Zones,
    upstream: Option<Upstream>,
    wire_cache: Mutex<WireCache>,
    repeats: Repeats<AnswerSummary>,
    context: Context,
}

/// Answers queries for as long as it is polled.
pub(super) async fn run(udp: Vec<UdpSocket>, tcp: Vec<TcpListener>, zones: Zones, context: Context) {
    let udp: io::Result<Vec<_>> = udp.into_iter().map(tokio::net::UdpSocket::from_std).collect();
    let tcp: io::Result<Vec<_>> = tcp.into_iter().map(tokio::net::TcpListener::from_std).collect();
    let (udp, tcp) = match (udp, tcp) {
        (Ok(udp), Ok(tcp)) => (udp, tcp),
        (Err(error), _) | (_, Err(error)) => {
            return failed(&context.events, Service::Dns, &error.to_string());
        }
    };
    let names = Arc::new(Names {
        upstream: Upstream::new(&zones.upstream, context.events.clone()),
        zones,
        wire_cache: Mutex::default(),
        repeats: Repeats::new(Service::Dns, context.clone()),
        context,
    });
    let datagrams = join_all(udp.into_iter().map(|socket| names.datagrams(Arc::new(socket))));
    let connections = join_all(tcp.iter().map(|listener| names.connections(listener)));
    tokio::join!(datagrams, connections, names.repeats.run());
}

impl Names {
    /// Answers queries over UDP.
    async fn datagrams(self: &Arc<Self>, socket: Arc<tokio::net::UdpSocket>) {
        let mut failure = FailureLog::new(Service::Dns, &self.context.events);
        let mut batch = Batch::new();
        let mut pending = JoinSet::new();
        let mut summary: Vec<(Asker, AnswerSummary)> = Vec::new();
        loop {
            while pending.try_join_next().is_some() {}
            // The error of an earlier datagram (ICMP) is returned by the next call.
            socket.readable().await.ok();
            let fd = socket.as_raw_fd();
            match socket.try_io(Interest::READABLE, || batch.receive(fd)) {
                Ok(()) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => continue,
                Err(error) => {
                    failure.pause(&error).await;
                    continue;
                }
            }
            let begun = self.context.events.now().at;
            for index in 0..batch.len() {
                let (from, packet, room) = batch.datagram(index);
                match self.answer_into(packet, from, begun.as_nanos(), room) {
                    Taken::Silence => {}
                    Taken::Reply(words) => {
                        summary.push((asker(from, packet), words));
                        batch.keep();
                    }
                    Taken::Ask(ask) if pending.len() < PENDING => {
                        let (names, socket) = (Arc::clone(self), Arc::clone(&socket));
                        let asker = asker(from, packet);
                        pending.spawn(async move {
                            let Reply { bytes, summary, until: _ } = names.ask(&ask).await;
                            // It is not an error of the service if the client is gone.
                            socket.send_to(&bytes, from).await.ok();
                            names.tell(asker, &summary, begun);
                        });
                    }
                    // The client will retry.
                    Taken::Ask(_) => {}
                }
            }
            failure.note(batch.send(fd));
            let us = self.context.events.now().at.micros_since(begun);
            self.repeats.note(summary.iter().map(|(asker, summary)| (*asker, summary, us)));
            summary.clear();
            // Under a flood, other tasks and processes still get CPU time: packets that arrive meanwhile form a
            // larger batch, which costs less.
            tokio::task::yield_now().await;
            if batch.len() > 1 {
                std::thread::yield_now();
            }
        }
    }

    /// Writes the answer to a UDP packet into `room`, if the lab has it.
    fn answer_into(&self, packet: &[u8], from: SocketAddr, now: u64, room: &mut Vec<u8>) -> Taken {
        match self.spoilt(packet, from, Transport::Udp) {
            None => {}
            Some(Outcome::Silence) => return Taken::Silence,
            Some(Outcome::Reply(reply)) => {
                *room = reply.bytes;
                return Taken::Reply(reply.summary);
            }
            Some(Outcome::Ask(ask)) => return Taken::Ask(ask),
        }
        let mut wire_cache = self.wire_cache.lock().unwrap_or_else(PoisonError::into_inner);
        // Read the version before the zones: an answer that became outdated meanwhile is not cached for long.
        let changes = self.zones.changes();
        if self.zones.may_answer(from)
            && let Some(summary) = wire_cache.get(packet, changes, now, room)
        {
            return Taken::Reply(summary.clone());
        }
        let Reply { bytes, summary, until } = match answer(&self.zones, packet, from, Transport::Udp) {
            Outcome::Silence => return Taken::Silence,
            Outcome::Reply(reply) => reply,
            Outcome::Ask(ask) => match self.known(&ask) {
                Some(reply) => reply,
                None => return Taken::Ask(ask),
            },
        };
        if now < until {
            wire_cache.put(packet, changes, until, &bytes, &summary);
        }
        *room = bytes;
        Taken::Reply(summary)
    }

    /// Answers queries over TCP.
    async fn connections(self: &Arc<Self>, listener: &tokio::net::TcpListener) {
        let mut failure = FailureLog::new(Service::Dns, &self.context.events);
        let mut connections = ConnectionLimit::new(self.context.limits.dns);
        loop {
            let (stream, from) = match listener.accept().await {
                Ok(accepted) => accepted,
                Err(error) => {
                    failure.pause(&error).await;
                    continue;
                }
            };
            // Connections are short-lived.
            connections.room().await;
            let names = Arc::clone(self);
            connections.take_in(from.ip(), async move {
                // After any error, the client must reconnect.
                names.converse(stream, from).await.ok();
            });
        }
    }

    /// Answers queries of a connection until the client closes it.
    async fn converse(&self, mut stream: TcpStream, from: SocketAddr) -> io::Result<()> {
        loop {
            let length = timeout(IDLE, stream.read_u16()).await??;
            let mut packet = vec![0; usize::from(length)];
            timeout(IDLE, stream.read_exact(&mut packet)).await??;
            let begun = self.context.events.now().at;
            let spoilt = self.spoilt(&packet, from, Transport::Tcp);
            let outcome = spoilt.unwrap_or_else(|| answer(&self.zones, &packet, from, Transport::Tcp));
            let Reply { bytes, summary, until: _ } = match outcome {
                Outcome::Silence => return Ok(()),
                Outcome::Reply(reply) => reply,
                Outcome::Ask(ask) => match self.known(&ask) {
                    Some(reply) => reply,
                    None => self.ask(&ask).await,
                },
            };
            let length = u16::try_from(bytes.len()).map_err(io::Error::other)?;
            let whole = [&length.to_be_bytes(), bytes.as_slice()].concat();
            timeout(IDLE, stream.write_all(&whole)).await??;
            self.tell(asker(from, &packet), &summary, begun);
        }
    }

    /// Returns what a node gets instead of the answer, if something is to go wrong.
    fn spoilt(&self, packet: &[u8], from: SocketAddr, transport: Transport) -> Option<Outcome> {
        let faults = &self.context.faults;
        if !faults.any() {
            return None;
        }
        let node = self.context.clients.node(from.ip())?;
        answer::spoilt(packet, transport, |changes| {
            faults.strike(Some(&node), |kind| match kind {
                FaultKind::Dns(fault) => Some(*fault).filter(|fault| changes(*fault)),
                _ => None,
            })
        })
    }

    /// Returns the answer from the cache of upstream answers.
    fn known(&self, ask: &Ask) -> Option<Reply> {
        let (own, until) = self.upstream.as_ref()?.known(&ask.question)?;
        Some(ask.finish(own, until))
    }

    async fn ask(&self, ask: &Ask) -> Reply {
        match &self.upstream {
            Some(upstream) => ask.finish(upstream.ask(&ask.question).await, 0),
            // `answer` returns no upstream query if there are no upstream servers.
            None => {
                let nobody = message::OwnAnswer::bare(
                    hickory_proto::op::ResponseCode::ServFail,
                    rule::Rule::NoUpstream,
                );
                ask.finish(nobody, 0)
            }
        }
    }

    fn tell(&self, asker: Asker, summary: &AnswerSummary, begun: RunTime) {
        let us = self.context.events.now().at.micros_since(begun);
        self.repeats.note([(asker, summary, us)]);
    }
}

/// Returns who asked, with the ID of its query.
fn asker(from: SocketAddr, packet: &[u8]) -> Asker {
    match packet.first_chunk() {
        Some(id) => Asker::Resolver(from, u16::from_be_bytes(*id)),
        None => Asker::Client(from.ip()),
    }
}

/// What to do with a datagram.
enum Taken {
    Silence,
    /// The answer was written.
    Reply(AnswerSummary),
    Ask(Box<Ask>),
}
