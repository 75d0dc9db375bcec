//! Upstream name servers: the order in which they are queried, and their answers.
//!
//! A silent server must not delay every query. So the server that answered last is
//! queried first, after a moment the next one is queried as well, and a silent server
//! is retried in parallel with one that answers.
//!
//! Old servers and some middleboxes reject or drop queries with EDNS. Such a server is
//! queried again without it (RFC 6891, section 6.2.2). One that rejected EDNS is queried
//! only without it from then on; one that was silent for a while, because it may only
//! have been slow, and answers without EDNS have no DNSSEC records.

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use hickory_proto::op::{Edns, Header, Message, MessageType, Query, ResponseCode};
use hickory_proto::rr::{Name, Record};
use hickory_proto::serialize::binary::{BinDecodable, BinDecoder};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UdpSocket};
use tokio::sync::oneshot;
use tokio::time::timeout;

use super::cache::{Cache, Question};
use super::message::{OwnAnswer, PAYLOAD};
use super::rule::Rule;
use crate::event::Emitter;

/// Time without an answer after which the next server is queried as well.
const NEXT: Duration = Duration::from_millis(400);
/// Timeout of a query over all servers. Clients wait 5 s.
const PATIENCE: Duration = Duration::from_secs(4);
/// How often each server is queried within that time.
const ROUNDS: usize = 3;
/// How long a silent server is skipped at first, in nanoseconds.
const REST: u64 = 5_000_000_000;
const LONGEST_REST: u64 = 60_000_000_000;
/// Maximum number of open queries, and of clients that wait for them.
const OPEN: usize = 512;
const WAITING: usize = 2048;

/// Queries upstream servers and caches their answers.
#[derive(Debug)]
pub(super) struct Upstream {
    servers: Vec<SocketAddr>,
    events: Emitter,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    health: Health,
    cache: Cache,
    /// Clients that wait for an answer that was already requested.
    open: HashMap<Question, Vec<oneshot::Sender<OwnAnswer>>>,
    waiting: usize,
}

impl Upstream {
    /// Creates the resolver; `None` without servers.
    pub(super) fn new(servers: &[SocketAddr], events: Emitter) -> Option<Self> {
        let health = Health::new(servers.len());
        let state = State { health, cache: Cache::default(), open: HashMap::new(), waiting: 0 };
        (!servers.is_empty()).then(|| Self { servers: servers.to_owned(), events, state: Mutex::new(state) })
    }

    /// Returns a cached answer that is still valid, and until when its TTLs stay the same.
    pub(super) fn known(&self, question: &Question) -> Option<(OwnAnswer, u64)> {
        self.lock().cache.get(question, self.events.now().at.as_nanos())
    }

    /// Queries the servers. Concurrent calls for the same question share one answer.
    pub(super) async fn ask(&self, question: &Question) -> OwnAnswer {
        let wait = {
            let mut state = self.lock();
            if state.open.len() >= OPEN || state.waiting >= WAITING {
                return OwnAnswer::bare(ResponseCode::ServFail, Rule::Silence);
            }
            let (sender, answer) = oneshot::channel();
            match state.open.get_mut(question) {
                Some(others) => {
                    others.push(sender);
                    state.waiting += 1;
                    Some(answer)
                }
                None => {
                    state.open.insert(question.clone(), Vec::new());
                    None
                }
            }
        };
        if let Some(answer) = wait {
            return answer.await.unwrap_or_else(|_| OwnAnswer::bare(ResponseCode::ServFail, Rule::Silence));
        }
        let closes = OpenQuestion { upstream: self, question };
        let own = self.ask_servers(question).await;
        let others = closes.others();
        self.lock().cache.put(question.clone(), &own, self.events.now().at.as_nanos());
        for other in others {
            // The receiver may be gone.
            other.send(own.clone()).ok();
        }
        own
    }

    /// Queries one server after the other until one has answered or the timeout has passed.
    async fn ask_servers(&self, question: &Question) -> OwnAnswer {
        let silence = OwnAnswer::bare(ResponseCode::ServFail, Rule::Silence);
        timeout(PATIENCE, self.ask_in_turn(question)).await.unwrap_or(silence)
    }

    async fn ask_in_turn(&self, question: &Question) -> OwnAnswer {
        let attempt = |(round, server): (usize, usize)| {
            // A server that was silent twice may drop queries with EDNS.
            let now = self.events.now().at.as_nanos();
            let plain = self.lock().health.is_plain(server, now) || round + 1 == ROUNDS;
            let edns = if plain { EdnsUse::Without } else { EdnsUse::With };
            async move { (server, ask_server(self.servers[server], question, edns).await) }
        };
        let ServerOrder { order, beside } = self.lock().health.turns(self.events.now().at.as_nanos());
        let rounds = (0..ROUNDS).flat_map(|round| std::iter::repeat_n(round, order.len()));
        let turns: Vec<(usize, usize)> = rounds.zip(order.iter().copied().cycle()).collect();
        let mut turns = turns.into_iter();
        let mut attempts = FuturesUnordered::new();
        let first: Vec<(usize, usize)> =
            turns.next().into_iter().chain(beside.map(|server| (0, server))).collect();
        let mut open: Vec<usize> = first.iter().map(|(_, server)| *server).collect();
        attempts.extend(first.into_iter().map(attempt));
        let mut refused = Vec::new();
        let mut last = OwnAnswer::bare(ResponseCode::ServFail, Rule::Silence);
        loop {
            let came = timeout(NEXT, attempts.next()).await;
            let now = self.events.now().at.as_nanos();
            match came {
                Ok(Some((server, answer))) => {
                    if let Some(at) = open.iter().position(|other| *other == server) {
                        open.swap_remove(at);
                    }
                    match answer {
                        Ok((own, edns)) if is_answer(own.code) => {
                            self.lock().health.answered(server, edns, now);
                            return own;
                        }
                        // The client's query was well-formed, and another server may support it.
                        Ok((own, _)) if is_unsupported(own.code) => {
                            refused.push(server);
                            last = OwnAnswer::bare(ResponseCode::ServFail, own.rule);
                        }
                        // Another server may know the name.
                        Ok((own, _)) => {
                            refused.push(server);
                            last = own;
                        }
                        Err(_) => self.lock().health.silent(server, now),
                    }
                }
                Ok(None) => {}
                Err(_) => open.iter().for_each(|server| self.lock().health.silent(*server, now)),
            }
            match turns.find(|(_, server)| !refused.contains(server)) {
                Some((round, server)) => {
                    open.push(server);
                    attempts.push(attempt((round, server)));
                }
                None if attempts.is_empty() => return last,
                None => {}
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Removes a question from the open ones when it is dropped, also if the task is cancelled.
struct OpenQuestion<'a> {
    upstream: &'a Upstream,
    question: &'a Question,
}

impl OpenQuestion<'_> {
    fn others(&self) -> Vec<oneshot::Sender<OwnAnswer>> {
        let mut state = self.upstream.lock();
        let others = state.open.remove(self.question).unwrap_or_default();
        state.waiting -= others.len();
        others
    }
}

impl Drop for OpenQuestion<'_> {
    fn drop(&mut self) {
        self.others();
    }
}

/// Which servers answer. Times are nanoseconds.
#[derive(Debug, Clone)]
struct Health {
    servers: Vec<Server>,
    /// The server that answered last.
    first: usize,
}

#[derive(Debug, Clone, Default)]
struct Server {
    /// How long it is skipped; 0 while it answers.
    rest: u64,
    /// When it is retried.
    until: u64,
    /// Until when it is queried without EDNS: for good if it rejected EDNS, for a while if it was silent.
    plain_until: u64,
}

/// The servers for one query.
#[derive(Debug, PartialEq, Eq)]
struct ServerOrder {
    /// Queried one after the other.
    order: Vec<usize>,
    /// Queried in parallel with the first one, to see whether it answers again.
    beside: Option<usize>,
}

impl Health {
    fn new(servers: usize) -> Self {
        Self { servers: vec![Server::default(); servers], first: 0 }
    }

    fn turns(&mut self, now: u64) -> ServerOrder {
        let mut order: Vec<usize> = (0..self.servers.len()).collect();
        order.sort_by_key(|server| (self.servers[*server].rest > 0, *server != self.first));
        let rested = |server: &usize| self.servers[*server].rest > 0 && self.servers[*server].until <= now;
        let beside = order.iter().copied().skip(1).find(rested);
        if let Some(server) = beside {
            // One query at a time is enough to find out.
            self.servers[server].until = now + self.servers[server].rest;
        }
        ServerOrder { order, beside }
    }

    fn answered(&mut self, server: usize, edns: AnsweredEdns, now: u64) {
        let plain_until = match edns {
            AnsweredEdns::With => 0,
            AnsweredEdns::Rejected => u64::MAX,
            AnsweredEdns::Without => self.servers[server].plain_until.max(now + LONGEST_REST),
        };
        self.servers[server] = Server { plain_until, ..Server::default() };
        self.first = server;
    }

    fn is_plain(&self, server: usize, now: u64) -> bool {
        now < self.servers[server].plain_until
    }

    fn silent(&mut self, server: usize, now: u64) {
        let Server { rest, until, .. } = &mut self.servers[server];
        if *rest == 0 || *until <= now {
            *rest = (*rest * 2).clamp(REST, LONGEST_REST);
            *until = now + *rest;
        }
    }
}

/// Tells whether a response code is an answer, not a server failure.
fn is_answer(code: ResponseCode) -> bool {
    matches!(code, ResponseCode::NoError | ResponseCode::NXDomain)
}

/// Tells whether a response code rejects the form of a query.
fn is_unsupported(code: ResponseCode) -> bool {
    matches!(code, ResponseCode::FormErr | ResponseCode::NotImp)
}

/// Whether a query has an OPT record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum EdnsUse {
    With,
    Without,
}

/// How a server that answered treats EDNS.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum AnsweredEdns {
    /// It answered a query with EDNS.
    With,
    /// It rejected EDNS, and answered without.
    Rejected,
    /// It was only queried without.
    Without,
}

/// Queries one server, again without EDNS if it rejects that.
async fn ask_server(
    server: SocketAddr,
    question: &Question,
    edns: EdnsUse,
) -> io::Result<(OwnAnswer, AnsweredEdns)> {
    let own = ask_once(server, question, edns).await?;
    match edns {
        EdnsUse::With if is_unsupported(own.code) => {
            Ok((ask_once(server, question, EdnsUse::Without).await?, AnsweredEdns::Rejected))
        }
        EdnsUse::With => Ok((own, AnsweredEdns::With)),
        EdnsUse::Without => Ok((own, AnsweredEdns::Without)),
    }
}

/// Queries one server by UDP and, if the answer is truncated, by TCP.
async fn ask_once(server: SocketAddr, question: &Question, edns: EdnsUse) -> io::Result<OwnAnswer> {
    let packet = write(question, edns);
    let bytes = packet.to_vec().map_err(io::Error::other)?;
    let local = match server {
        SocketAddr::V4(_) => IpAddr::from(Ipv4Addr::UNSPECIFIED),
        SocketAddr::V6(_) => IpAddr::from(Ipv6Addr::UNSPECIFIED),
    };
    // A new source port for each query, so that the port cannot be guessed for spoofed answers.
    let socket = UdpSocket::bind((local, 0)).await?;
    socket.connect(server).await?;
    socket.send(&bytes).await?;
    let mut buffer = [0; 4096];
    loop {
        let length = socket.recv(&mut buffer).await?;
        match read(&buffer[..length], &packet) {
            None => {}
            Some(reply) if reply.metadata.truncation => return ask_by_tcp(server, &packet, &bytes).await,
            Some(reply) => return Ok(own(reply, server)),
        }
    }
}

async fn ask_by_tcp(server: SocketAddr, packet: &Message, bytes: &[u8]) -> io::Result<OwnAnswer> {
    let mut stream = TcpStream::connect(server).await?;
    let length = u16::try_from(bytes.len()).map_err(io::Error::other)?;
    stream.write_all(&[&length.to_be_bytes(), bytes].concat()).await?;
    let length = stream.read_u16().await?;
    let mut buffer = vec![0; usize::from(length)];
    stream.read_exact(&mut buffer).await?;
    let reply = read(&buffer, packet).ok_or(io::ErrorKind::InvalidData)?;
    Ok(own(reply, server))
}

pub(super) fn write(question: &Question, edns: EdnsUse) -> Message {
    let mut packet = Message::query();
    packet.metadata.recursion_desired = true;
    packet.metadata.checking_disabled = question.checking_disabled;
    // Without DO, AD asks whether signatures were validated (RFC 6840, section 5.7).
    packet.metadata.authentic_data = true;
    let mut query = Query::query(question.name.clone(), question.record);
    query.set_query_class(question.class);
    packet.add_query(query);
    if edns == EdnsUse::With {
        let mut edns = Edns::new();
        edns.set_max_payload(PAYLOAD).set_dnssec_ok(question.dnssec);
        packet.edns = Some(edns);
    }
    packet
}

/// Parses the answer to a query; `None` for any other packet.
pub(super) fn read(reply: &[u8], to: &Message) -> Option<Message> {
    let reply = Message::from_vec(reply).ok().or_else(|| without_unreadable(reply))?;
    // Servers that cannot parse a query may leave it out of their answer.
    let is_bare = reply.queries.is_empty() && is_unsupported(reply.metadata.response_code);
    let fits = reply.metadata.message_type == MessageType::Response
        && reply.metadata.id == to.metadata.id
        && (reply.queries == to.queries || is_bare);
    fits.then_some(reply)
}

/// Parses an answer without the records that cannot be parsed; `None` if none is left of its answers.
fn without_unreadable(reply: &[u8]) -> Option<Message> {
    let mut decoder = BinDecoder::new(reply);
    let Header { metadata, counts } = Header::read(&mut decoder).ok()?;
    let mut message = Message::query();
    message.metadata = metadata;
    message.queries = Message::read_queries(&mut decoder, counts.queries.into()).ok()?;
    message.answers = readable(&mut decoder, counts.answers)?;
    message.authorities = readable(&mut decoder, counts.authorities)?;
    (counts.answers == 0 || !message.answers.is_empty()).then_some(message)
}

/// Reads the records of a section, without those that cannot be parsed; `None` if their lengths are wrong.
fn readable(decoder: &mut BinDecoder<'_>, count: u16) -> Option<Vec<Record>> {
    let mut records = Vec::new();
    for _ in 0..count {
        let mut record = decoder.clone(u16::try_from(decoder.index()).ok()?);
        Name::read(decoder).ok()?;
        // Type, class and TTL.
        decoder.read_slice(8).ok()?;
        let length = decoder.read_u16().ok()?.unverified();
        decoder.read_slice(length.into()).ok()?;
        records.extend(Record::read(&mut record).ok());
    }
    Some(records)
}

pub(super) fn own(reply: Message, server: SocketAddr) -> OwnAnswer {
    OwnAnswer {
        code: reply.metadata.response_code,
        authoritative: false,
        authentic: reply.metadata.authentic_data,
        answers: reply.answers,
        authorities: reply.authorities,
        rule: Rule::Upstream(server),
    }
}

#[cfg(test)]
mod tests;
