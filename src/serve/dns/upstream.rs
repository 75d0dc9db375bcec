//! Upstream name servers: in which order they are asked, and what they answer.
//!
//! A server that does not answer must not delay every query. So the server that
//! answered last is asked first, the next one is asked as well after a moment,
//! and a silent server is retried in parallel with one that answers.

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use hickory_proto::op::{Edns, Message, MessageType, Query, ResponseCode};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UdpSocket};
use tokio::sync::oneshot;
use tokio::time::timeout;

use super::cache::{Cache, Question};
use super::message::{OwnAnswer, PAYLOAD};
use super::rule::Rule;
use crate::event::Emitter;

/// After which time without an answer the next server is asked as well.
const NEXT: Duration = Duration::from_millis(400);
/// How long all of them together may take. Clients wait 5 s.
const PATIENCE: Duration = Duration::from_secs(4);
/// How often each server is asked within that time.
const ROUNDS: usize = 3;
/// How long a silent server is left alone, at first and at most, in nanoseconds.
const REST: u64 = 5_000_000_000;
const LONGEST_REST: u64 = 60_000_000_000;
/// How many questions may be open at once, and how many clients may wait for answers to them.
const OPEN: usize = 512;
const WAITING: usize = 2048;

/// Asks other name servers, and remembers what they said.
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
    /// Who waits for an answer that somebody else has asked for.
    open: HashMap<Question, Vec<oneshot::Sender<OwnAnswer>>>,
    waiting: usize,
}

impl Upstream {
    /// Makes the asker of servers; `None` without any.
    pub(super) fn new(servers: &[SocketAddr], events: Emitter) -> Option<Self> {
        let health = Health::new(servers.len());
        let state = State { health, cache: Cache::default(), open: HashMap::new(), waiting: 0 };
        (!servers.is_empty()).then(|| Self { servers: servers.to_owned(), events, state: Mutex::new(state) })
    }

    /// Returns what others answered before, if it still holds, and until when it is the same to the second.
    pub(super) fn known(&self, question: &Question) -> Option<(OwnAnswer, u64)> {
        self.lock().cache.get(question, self.events.now().at)
    }

    /// Asks for something that is not known. Who asks for the same meanwhile gets the same answer.
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
        self.lock().cache.put(question.clone(), &own, self.events.now().at);
        for other in others {
            // Whoever has gone meanwhile needs no answer.
            other.send(own.clone()).ok();
        }
        own
    }

    /// Asks one server after the other until one has answered, or nobody would wait any longer.
    async fn ask_servers(&self, question: &Question) -> OwnAnswer {
        let silence = OwnAnswer::bare(ResponseCode::ServFail, Rule::Silence);
        timeout(PATIENCE, self.ask_in_turn(question)).await.unwrap_or(silence)
    }

    async fn ask_in_turn(&self, question: &Question) -> OwnAnswer {
        let attempt =
            |server: usize| async move { (server, ask_server(self.servers[server], question).await) };
        let ServerOrder { order, beside } = self.lock().health.turns(self.events.now().at);
        let mut turns = order.repeat(ROUNDS).into_iter();
        let mut attempts = FuturesUnordered::new();
        let mut open: Vec<usize> = turns.next().into_iter().chain(beside).collect();
        attempts.extend(open.iter().copied().map(attempt));
        let mut refused = Vec::new();
        let mut last = OwnAnswer::bare(ResponseCode::ServFail, Rule::Silence);
        loop {
            let came = timeout(NEXT, attempts.next()).await;
            let now = self.events.now().at;
            match came {
                Ok(Some((server, answer))) => {
                    if let Some(at) = open.iter().position(|other| *other == server) {
                        open.swap_remove(at);
                    }
                    match answer {
                        Ok(own) if is_answer(own.code) => {
                            self.lock().health.answered(server);
                            return own;
                        }
                        // Perhaps another one knows more.
                        Ok(own) => {
                            refused.push(server);
                            last = own;
                        }
                        Err(_) => self.lock().health.silent(server, now),
                    }
                }
                Ok(None) => {}
                Err(_) => open.iter().for_each(|server| self.lock().health.silent(*server, now)),
            }
            match turns.find(|server| !refused.contains(server)) {
                Some(server) => {
                    open.push(server);
                    attempts.push(attempt(server));
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

/// Takes a question off the list of open ones, also where nobody waits for its end.
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

/// Who answers and who does not. Time is in nanoseconds.
#[derive(Debug, Clone)]
struct Health {
    servers: Vec<Server>,
    /// Who answered last.
    first: usize,
}

#[derive(Debug, Clone, Default)]
struct Server {
    /// How long it is left alone; 0 as long as it answers.
    rest: u64,
    /// When it may be tried again.
    until: u64,
}

/// Who is asked for one question.
#[derive(Debug, PartialEq, Eq)]
struct ServerOrder {
    /// One after the other.
    order: Vec<usize>,
    /// Beside the first one, to see whether it answers again.
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
            // One question is enough to find out.
            self.servers[server].until = now + self.servers[server].rest;
        }
        ServerOrder { order, beside }
    }

    fn answered(&mut self, server: usize) {
        self.servers[server] = Server::default();
        self.first = server;
    }

    fn silent(&mut self, server: usize, now: u64) {
        let Server { rest, until } = &mut self.servers[server];
        if *rest == 0 || *until <= now {
            *rest = (*rest * 2).clamp(REST, LONGEST_REST);
            *until = now + *rest;
        }
    }
}

/// Tells whether a server has answered a question, rather than failed.
fn is_answer(code: ResponseCode) -> bool {
    matches!(code, ResponseCode::NoError | ResponseCode::NXDomain)
}

/// Asks one server, by UDP and, where the answer is too large for that, by TCP.
async fn ask_server(server: SocketAddr, question: &Question) -> io::Result<OwnAnswer> {
    let packet = write(question);
    let bytes = packet.to_vec().map_err(io::Error::other)?;
    let local = match server {
        SocketAddr::V4(_) => IpAddr::from(Ipv4Addr::UNSPECIFIED),
        SocketAddr::V6(_) => IpAddr::from(Ipv6Addr::UNSPECIFIED),
    };
    // A port of its own for each question, so that nobody can guess where an answer would be believed.
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

pub(super) fn write(question: &Question) -> Message {
    let mut packet = Message::query();
    packet.metadata.recursion_desired = true;
    packet.metadata.checking_disabled = question.checking_disabled;
    // Without DO it asks whether signatures were checked (RFC 6840, section 5.7).
    packet.metadata.authentic_data = true;
    let mut query = Query::query(question.name.clone(), question.record);
    query.set_query_class(question.class);
    packet.add_query(query);
    let mut edns = Edns::new();
    edns.set_max_payload(PAYLOAD).set_dnssec_ok(question.dnssec);
    packet.edns = Some(edns);
    packet
}

/// Reads what is an answer to a question; `None` for everything else.
pub(super) fn read(reply: &[u8], to: &Message) -> Option<Message> {
    let reply = Message::from_vec(reply).ok()?;
    let fits = reply.metadata.message_type == MessageType::Response
        && reply.metadata.id == to.metadata.id
        && reply.queries == to.queries;
    fits.then_some(reply)
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
