//! The server end: answers datagrams as a BMC does.
//!
//! ```text
//! datagram ─┬─ ping ─────────────────────────────▶ pong
//!           ├─ no session ─┬─ Open, RAKP ────────▶ login ──▶ sessions
//!           │              └─ command ───────────▶ discovery
//!           └─ session ────┬─ command ─┬─────────▶ session_commands
//!                          │           └─────────▶ World
//!                          └─ SOL ───────────────▶ World
//! ```
//!
//! It must never send more to an unknown peer than the protocol demands: outside of sessions there are answers only
//! to logins, to the four commands of discovery, and refusals that are no longer than what is refused.

mod discovery;
mod lockout;
mod login;
mod payloads;
mod replies;
mod session_commands;
mod sessions;
mod settings;
mod world;

use std::net::SocketAddr;
use std::time::Duration;

use self::login::{Established, Logins, Verdict};
use self::payloads::Line;
use self::replies::Replies;
use self::sessions::{Session, Sessions};
use super::command;
use super::completion::Completion;
use super::handshake::{OpenRequest, OpenResponse, Rakp1, Rakp2, Rakp3, Rakp4, Reply, Status};
use super::message::{Answer, Request};
use super::packet::{self, Packet, PayloadType, Plus};
use super::privilege::Privilege;
use super::rmcp::Datagram;
use super::sol::bmc::BmcEnd;
use super::window::{Inbound, Outbound};

pub use settings::{HighestPrivilege, LockoutRule, Settings, SolSizes, UnknownUser};
pub use world::{Asker, SolTerms, User, World};

/// A datagram to send.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Out {
    /// Where to.
    pub to: SocketAddr,
    /// The whole datagram.
    pub bytes: Vec<u8>,
}

/// The server end of IPMI over LAN.
#[derive(Debug)]
pub struct Server {
    settings: Settings,
    logins: Logins,
    sessions: Sessions,
    /// Serial over LAN, while it is active.
    line: Option<Line>,
}

/// What comes along with a datagram.
struct Call<'a> {
    now: Duration,
    from: SocketAddr,
    world: &'a mut dyn World,
    random: &'a mut dyn FnMut(&mut [u8]),
}

impl Server {
    /// Makes a server without sessions.
    pub fn new(settings: Settings) -> Self {
        Self {
            logins: Logins::new(&settings),
            sessions: Sessions::new(settings.sessions),
            line: None,
            settings,
        }
    }

    /// Changes the settings. Logins and sessions go on; those that no longer fit end with their next command.
    pub fn configure(&mut self, settings: Settings) {
        self.settings = settings;
    }

    /// Takes a datagram and returns those to send, in their order.
    ///
    /// `now` is the time since any fixed start, and never goes back. `random` fills a slice with random bytes.
    /// What cannot be answered is ignored.
    pub fn receive(
        &mut self,
        now: Duration,
        from: SocketAddr,
        packet: &[u8],
        world: &mut dyn World,
        random: &mut dyn FnMut(&mut [u8]),
    ) -> Vec<Out> {
        self.expire(now);
        let mut call = Call { now, from, world, random };
        let out = |bytes| Out { to: from, bytes };
        match Datagram::parse(packet) {
            Some(Datagram::Ping { tag }) => vec![out(Datagram::Pong { tag, ipmi: true }.encode())],
            Some(Datagram::Ipmi(body)) => match Packet::parse(body) {
                Some(Packet::Legacy(message)) => {
                    let answer = self.discover(&call, message);
                    answer.map(|answer| out(packet::legacy(&answer))).into_iter().collect()
                }
                Some(Packet::Plus(plus)) if plus.session == 0 => {
                    let answer = self.log_in(&mut call, &plus);
                    answer.map(|(kind, payload)| out(packet::plain(kind, &payload))).into_iter().collect()
                }
                Some(Packet::Plus(plus)) => self.in_session(&mut call, &plus),
                None => Vec::new(),
            },
            Some(Datagram::Pong { .. }) | None => Vec::new(),
        }
    }

    /// Does what is due and returns the datagrams to send, and when to call next, as a time like `now`.
    pub fn tick(
        &mut self,
        now: Duration,
        world: &mut dyn World,
        random: &mut dyn FnMut(&mut [u8]),
    ) -> (Vec<Out>, Option<Duration>) {
        self.expire(now);
        let mut outs = self.send_output(now, random);
        if let Some(line) = self.line.take_if(|_| !world.sol().enabled) {
            outs.extend(self.tell_inactive(line.session, random));
        }
        let logins = self.logins.deadline(self.settings.half_open_timeout);
        let sessions = self.sessions.deadline(self.settings.session_timeout);
        let line = self.line.as_ref().and_then(|line| line.end.due());
        (outs, [logins, sessions, line].into_iter().flatten().min())
    }

    /// Takes output of the machine for Serial over LAN. Call [`Server::tick`] then, which sends it.
    ///
    /// While nobody listens it is dropped.
    pub fn output(&mut self, now: Duration, characters: &[u8]) {
        if let Some(line) = &mut self.line {
            line.end.output(now, characters);
        }
    }

    /// Returns how much output may come before some is lost; `None` while nobody listens.
    pub fn output_room(&self) -> Option<usize> {
        self.line.as_ref().map(|line| line.end.room())
    }

    /// Ends all sessions of a user, for one that was disabled or got another password.
    pub fn end_sessions_of(&mut self, user: u8) {
        self.sessions.remove_user(user);
        self.line.take_if(|line| self.sessions.get(line.session).is_none());
    }

    /// Forgets logins and sessions that are over, and Serial over LAN with its session.
    fn expire(&mut self, now: Duration) {
        self.logins.expire(now, self.settings.half_open_timeout);
        self.sessions.expire(now, self.settings.session_timeout);
        self.line.take_if(|line| self.sessions.get(line.session).is_none());
    }

    /// Sends output of the machine that is due.
    fn send_output(&mut self, now: Duration, random: &mut dyn FnMut(&mut [u8])) -> Vec<Out> {
        let Some(line) = &mut self.line else { return Vec::new() };
        let Some(session) = self.sessions.get_mut(line.session) else { return Vec::new() };
        let mut outs = Vec::new();
        while let Some(payload) = line.end.poll(now) {
            outs.push(Out { to: session.peer, bytes: session.seal(PayloadType::Sol, &payload, random) });
        }
        outs
    }

    /// Answers a question about logins that was asked on another channel; `None` for any other command.
    pub fn discovery(&self, world: &dyn World, request: &Request<'_>) -> Option<Answer> {
        discovery::answer(&self.settings, world, request)
    }

    /// Answers a command outside of a session.
    fn discover(&self, call: &Call<'_>, message: &[u8]) -> Option<Vec<u8>> {
        let request = Request::parse(message)?;
        if let Some(answer) = discovery::answer(&self.settings, call.world, &request) {
            return Some(answer.encode(&request));
        }
        let refusal = Answer::from(Completion::InsufficientPrivilege).encode(&request);
        (refusal.len() <= message.len()).then_some(refusal)
    }

    /// Answers a packet of RMCP+ outside of a session.
    fn log_in(&mut self, call: &mut Call<'_>, plus: &Plus<'_>) -> Option<(PayloadType, Vec<u8>)> {
        if plus.encrypted || plus.authenticated {
            return None;
        }
        let Call { now, from, world, random } = call;
        match plus.kind {
            PayloadType::Ipmi => Some((PayloadType::Ipmi, self.discover(call, plus.payload)?)),
            PayloadType::OpenRequest => {
                let request = OpenRequest::parse(plus.payload)?;
                let is_taken = |id| self.sessions.get(id).is_some();
                let reply = self.logins.open(*now, *from, request, &self.settings, &is_taken, *random);
                Some((PayloadType::OpenResponse, OpenResponse::encode(&reply)))
            }
            PayloadType::Rakp1 => {
                let message = Rakp1::parse(plus.payload)?;
                let reply = self.logins.rakp1(*now, *from, message, &self.settings, *world, *random)?;
                Some((PayloadType::Rakp2, Rakp2::encode(&reply)))
            }
            PayloadType::Rakp3 => {
                let message = Rakp3::parse(plus.payload)?;
                let reply = self.finish_login(call, &message)?;
                Some((PayloadType::Rakp4, Rakp4::encode(&reply)))
            }
            PayloadType::Sol
            | PayloadType::OpenResponse
            | PayloadType::Rakp2
            | PayloadType::Rakp4
            | PayloadType::Other(_) => None,
        }
    }

    fn finish_login(&mut self, call: &Call<'_>, message: &Rakp3) -> Option<Reply<Rakp4>> {
        if let Some(session) = self.sessions.get(message.bmc) {
            // RAKP 4 was lost, or RAKP 3 came twice.
            let (proof, check_value) = &session.login;
            let again =
                Rakp4 { tag: message.tag, console: session.console, check_value: check_value.clone() };
            return (*proof == message.proof).then_some(Reply::Accepted(again));
        }
        match self.logins.rakp3(call.now, call.from, message, call.world) {
            Verdict::Established(established) => Some(self.begin(call, *established)),
            Verdict::Refused(reply) => Some(reply),
            Verdict::Silence => None,
        }
    }

    /// Begins a session, if there is room.
    fn begin(&mut self, call: &Call<'_>, established: Established) -> Reply<Rakp4> {
        let Established { facts, user, limit, integrity_key, proof, rakp4 } = established;
        let Some(handle) = self.sessions.free_handle() else {
            return Reply::Refused { tag: rakp4.tag, status: Status::NoResources, console: facts.console };
        };
        self.sessions.insert(Session {
            console: facts.console,
            bmc: facts.bmc,
            handle,
            user,
            limit,
            privilege: limit.min(Privilege::User),
            peer: call.from,
            heard: call.now,
            commands: 0,
            replies: Replies::default(),
            login: (proof, rakp4.check_value.clone()),
            keys: facts.keys(&integrity_key),
            name: facts.name,
            inbound: Inbound::new(),
            outbound: Outbound::starting_at(self.settings.first_sequence),
        });
        Reply::Accepted(rakp4)
    }

    /// Answers a packet of a session. A packet that is not its client's is ignored.
    fn in_session(&mut self, call: &mut Call<'_>, plus: &Plus<'_>) -> Vec<Out> {
        let Some(session) = self.sessions.get_mut(plus.session) else { return Vec::new() };
        let Some(payload) = packet::open(&session.keys, plus) else { return Vec::new() };
        if !session.inbound.accept(plus.sequence) {
            return Vec::new();
        }
        session.peer = call.from;
        session.heard = call.now;
        match plus.kind {
            PayloadType::Ipmi => self.command(call, plus.session, &payload),
            PayloadType::Sol => self.typed(call, plus, &payload),
            PayloadType::OpenRequest
            | PayloadType::OpenResponse
            | PayloadType::Rakp1
            | PayloadType::Rakp2
            | PayloadType::Rakp3
            | PayloadType::Rakp4
            | PayloadType::Other(_) => Vec::new(),
        }
    }

    /// Tells a session that its Serial over LAN ended.
    fn tell_inactive(&mut self, id: u32, random: &mut dyn FnMut(&mut [u8])) -> Option<Out> {
        let session = self.sessions.get_mut(id)?;
        Some(Out { to: session.peer, bytes: session.seal(PayloadType::Sol, &BmcEnd::inactive(), random) })
    }

    /// Takes a packet of Serial over LAN.
    fn typed(&mut self, call: &mut Call<'_>, plus: &Plus<'_>, payload: &[u8]) -> Vec<Out> {
        let Some(session) = self.sessions.get_mut(plus.session) else { return Vec::new() };
        let Some(line) = self.line.as_mut().filter(|line| line.session == plus.session) else {
            return self.tell_inactive(plus.session, call.random).into_iter().collect();
        };
        let heard = line.end.receive(call.now, plus.sequence, payload);
        let sealed = heard.reply.map(|reply| session.seal(PayloadType::Sol, &reply, call.random));
        if heard.send_break {
            call.world.send_break();
        }
        if !heard.typed.is_empty() {
            call.world.typed(&heard.typed);
        }
        let mut outs: Vec<_> = sealed.map(|bytes| Out { to: call.from, bytes }).into_iter().collect();
        outs.extend(self.send_output(call.now, call.random));
        outs
    }

    /// Answers a command of a session, which is not run again if it is a repetition.
    fn command(&mut self, call: &mut Call<'_>, id: u32, message: &[u8]) -> Vec<Out> {
        let Some(request) = Request::parse(message) else { return Vec::new() };
        let Some(session) = self.sessions.get_mut(id) else { return Vec::new() };
        let kept = session.replies.find(call.now, self.settings.answers_kept, &request);
        let repeated = kept.is_some();
        let (response, after) = match kept {
            Some(response) => (response, After::Nothing),
            None => {
                let (answer, after) = self.answer(call, id, &request);
                (answer.encode(&request), after)
            }
        };
        let Some(session) = self.sessions.get_mut(id) else { return Vec::new() };
        let mut outs =
            vec![Out { to: call.from, bytes: session.seal(PayloadType::Ipmi, &response, call.random) }];
        if !repeated {
            session.replies.keep(call.now, &request, response);
            session.commands += 1;
        }
        let worn = self.settings.commands_per_session.is_some_and(|most| session.commands >= most);
        match after {
            After::Nothing => {}
            After::Close(closed) => self.sessions.remove(closed),
            After::Tell(owner) => {
                outs.extend(self.tell_inactive(owner, call.random));
            }
        }
        if worn {
            self.sessions.remove(id);
        }
        self.expire(call.now);
        outs
    }

    /// Runs a command; also returns what to do after the answer.
    fn answer(&mut self, call: &mut Call<'_>, id: u32, request: &Request<'_>) -> (Answer, After) {
        let Some(session) = self.sessions.get_mut(id) else {
            return (Completion::Unspecified.into(), After::Nothing);
        };
        let (settings, data) = (&self.settings, request.data);
        if let Some(answer) = discovery::answer(settings, call.world, request) {
            return (answer, After::Nothing);
        }
        if session.privilege < needed(call.world, request) {
            return (Completion::InsufficientPrivilege.into(), After::Nothing);
        }
        let answer = match request.command {
            command::SET_SESSION_PRIVILEGE => session_commands::set_privilege(session, data),
            command::CLOSE_SESSION => {
                let (answer, closed) = session_commands::close(&self.sessions, id, data);
                return (answer, closed.map_or(After::Nothing, After::Close));
            }
            command::GET_SESSION_INFO => session_commands::info(&self.sessions, settings, id, data),
            command::GET_SESSION_CHALLENGE | command::ACTIVATE_SESSION => Completion::InvalidCommand.into(),
            command::ACTIVATE_PAYLOAD => {
                if !call.world.may_use_sol(session.user.id) {
                    return (payloads::DISABLED.into(), After::Nothing);
                }
                let asker = (id, session.privilege);
                payloads::activate(&mut self.line, call.now, asker, settings, &call.world.sol(), data)
            }
            command::DEACTIVATE_PAYLOAD => {
                let (answer, ended) = payloads::deactivate(&mut self.line, settings, data);
                let other = ended.filter(|line| line.session != id);
                return (answer, other.map_or(After::Nothing, |line| After::Tell(line.session)));
            }
            command::GET_PAYLOAD_STATUS => payloads::status(self.line.as_ref(), settings, data),
            command::GET_PAYLOAD_INSTANCE => payloads::instance(self.line.as_ref(), data),
            command::GET_CHANNEL_PAYLOADS => payloads::support(settings, data),
            command::GET_PAYLOAD_VERSION => payloads::version(settings, data),
            _ => call.world.command(call.now, &session.asker(settings.channel), request),
        };
        (answer, After::Nothing)
    }
}

/// What to do once an answer was sent.
enum After {
    Nothing,
    /// Close this session.
    Close(u32),
    /// Tell this session that another one deactivated its Serial over LAN.
    Tell(u32),
}

/// Returns the privilege that a command needs within a session.
fn needed(world: &dyn World, request: &Request<'_>) -> Privilege {
    match request.command {
        command::SET_SESSION_PRIVILEGE | command::CLOSE_SESSION => Privilege::Callback,
        command::GET_SESSION_INFO
        | command::GET_SESSION_CHALLENGE
        | command::ACTIVATE_SESSION
        | command::ACTIVATE_PAYLOAD
        | command::DEACTIVATE_PAYLOAD
        | command::GET_PAYLOAD_STATUS
        | command::GET_PAYLOAD_INSTANCE
        | command::GET_CHANNEL_PAYLOADS
        | command::GET_PAYLOAD_VERSION => Privilege::User,
        _ => world.needs(request),
    }
}
