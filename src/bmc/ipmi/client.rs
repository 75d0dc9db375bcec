//! The client end: logs in, asks commands and carries a console.
//!
//! ```text
//! start ──▶ LoggingIn ──▶ Open (commands, Serial over LAN) ──▶ Over
//!             │  ▲ another suite, or the BMC forgot the login     ▲
//!             └──┴────────────────── Failed ──────────────────────┘
//! ```
//!
//! Calls only note what to do; [`Client::tick`] returns the datagrams. Call it after each call, and when it says.

pub mod chassis;
mod error;
mod event;
mod login;
mod retry;
mod session;
mod settings;

use std::collections::VecDeque;
use std::time::Duration;

use self::login::{Login, Verdict};
use self::session::{Random, Received, Session, Silent};
use super::command::{self, Command};
use super::completion::Completion;
use super::message::Answer;
use super::packet::{Packet, PayloadType};
use super::privilege::Privilege;
use super::rmcp::Datagram;
use super::sol::Refusal;
use super::sol::console::{ConsoleEnd, Rules};
use super::sol::packet::{HEADER, Status};

pub use error::{Error, Step};
pub use event::{Event, Progress, Ticket, WhenTaken};
pub use settings::Settings;

/// How often the whole login is tried if the BMC is silent or forgets it half-way.
const LOGINS: u8 = 2;
/// What Activate Payload asks for: the only instance, encrypted and authenticated.
const ACTIVATE: [u8; 6] = [1, 1, 0xc0, 0, 0, 0];
const DEACTIVATE: [u8; 6] = [1, 1, 0, 0, 0, 0];
/// How many typed characters may wait.
const TYPED: usize = 1 << 16;

/// A client of one BMC.
#[derive(Debug)]
pub struct Client {
    settings: Settings,
    state: State,
    /// The position of the suite that is tried.
    suite: usize,
    /// How many logins were started with this suite.
    logins: u8,
    queue: VecDeque<Job>,
    tickets: u64,
    console: Option<ConsoleEnd>,
}

#[derive(Debug)]
enum State {
    Idle,
    LoggingIn(Box<Login>),
    Open(Box<Session<Purpose>>),
    Over,
}

/// A command that waits.
#[derive(Debug)]
struct Job {
    purpose: Purpose,
    command: Command,
    data: Vec<u8>,
}

/// What a command is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Purpose {
    Privilege,
    User(Ticket),
    KeepAlive,
    Activate(WhenTaken),
    /// Deactivate in another session, to activate then.
    TakeOver,
    Deactivate,
    Close,
}

impl Client {
    /// Makes a client that does nothing yet.
    pub fn new(settings: Settings) -> Self {
        Self {
            settings,
            state: State::Idle,
            suite: 0,
            logins: 0,
            queue: VecDeque::new(),
            tickets: 0,
            console: None,
        }
    }

    /// Begins to log in. `now` is the time since any fixed start; `random` fills a slice with random bytes.
    pub fn start(&mut self, now: Duration, random: &mut dyn FnMut(&mut [u8])) -> Progress {
        let mut progress = Progress::default();
        self.suite = 0;
        self.logins = 0;
        self.log_in(now, &mut progress, random);
        progress
    }

    /// Queues a command; its answer comes as [`Event::Answered`] with the ticket.
    pub fn command(&mut self, command: Command, data: &[u8]) -> Ticket {
        self.tickets += 1;
        let ticket = Ticket(self.tickets);
        self.push(Purpose::User(ticket), command, data);
        ticket
    }

    /// Queues the activation of Serial over LAN.
    pub fn activate_sol(&mut self, when_taken: WhenTaken) {
        self.push(Purpose::Activate(when_taken), command::ACTIVATE_PAYLOAD, &ACTIVATE);
    }

    /// Queues the deactivation of Serial over LAN.
    pub fn deactivate_sol(&mut self) {
        self.push(Purpose::Deactivate, command::DEACTIVATE_PAYLOAD, &DEACTIVATE);
    }

    /// Types in Serial over LAN; returns how many characters did not fit, all while it is not active.
    pub fn type_in(&mut self, now: Duration, characters: &[u8]) -> usize {
        match &mut self.console {
            Some(console) => console.type_in(now, characters),
            None => characters.len(),
        }
    }

    /// Sends a break in Serial over LAN.
    pub fn send_break(&mut self) {
        if let Some(console) = &mut self.console {
            console.send_break();
        }
    }

    /// Tells whether the BMC has acknowledged everything that was typed.
    pub fn has_typed_all(&self) -> bool {
        self.console.as_ref().is_none_or(ConsoleEnd::is_idle)
    }

    /// Queues the end of the session; [`Event::Closed`] comes in any case.
    pub fn close(&mut self) {
        self.push(Purpose::Close, command::CLOSE_SESSION, &[]);
    }

    /// Takes a datagram from the BMC. What is malformed, foreign or repeated is ignored.
    pub fn receive(&mut self, now: Duration, datagram: &[u8], random: &mut dyn FnMut(&mut [u8])) -> Progress {
        let mut progress = Progress::default();
        let Some(Datagram::Ipmi(body)) = Datagram::parse(datagram) else { return progress };
        let Some(Packet::Plus(plus)) = Packet::parse(body) else { return progress };
        match &mut self.state {
            State::LoggingIn(login) if plus.session == 0 => {
                let verdict = login.receive(now, &plus, &self.settings, random);
                self.judge(now, verdict, &mut progress, random);
            }
            State::Open(session) if plus.session != 0 => match session.receive(&plus) {
                Some(Received::Answer(purpose, answer)) => self.answered(purpose, answer, &mut progress),
                Some(Received::Sol(number, payload)) => {
                    self.shown(now, number, &payload, &mut progress, random);
                }
                None => {}
            },
            State::Idle | State::LoggingIn(_) | State::Open(_) | State::Over => {}
        }
        self.pump(now, &mut progress, random);
        progress
    }

    /// Does what is due; also returns when to call next, as a time like `now`.
    pub fn tick(&mut self, now: Duration, random: &mut dyn FnMut(&mut [u8])) -> (Progress, Option<Duration>) {
        let mut progress = Progress::default();
        self.pump(now, &mut progress, random);
        let next = match &self.state {
            State::Idle | State::Over => None,
            State::LoggingIn(login) => Some(login.due()),
            State::Open(session) => {
                let command = session.due().unwrap_or(session.sent + self.settings.keepalive);
                let console = self.console.as_ref().and_then(ConsoleEnd::due);
                Some(console.map_or(command, |console| console.min(command)))
            }
        };
        (progress, next)
    }

    fn push(&mut self, purpose: Purpose, command: Command, data: &[u8]) {
        self.queue.push_back(Job { purpose, command, data: data.to_vec() });
    }

    /// Starts a login with the present suite.
    fn log_in(&mut self, now: Duration, progress: &mut Progress, random: Random<'_>) {
        let Some(cipher) = self.settings.suites.get(self.suite) else {
            let tried = self.settings.suites.iter().map(|cipher| cipher.suite().id).collect();
            return self.fail(Error::NoSuite { tried }, progress);
        };
        self.logins += 1;
        let (login, packet) = Login::start(now, &self.settings, *cipher, random);
        self.state = State::LoggingIn(Box::new(login));
        progress.send.push(packet);
    }

    /// Starts the login again, or fails with the error after too many.
    fn log_in_again(&mut self, now: Duration, error: Error, progress: &mut Progress, random: Random<'_>) {
        if self.logins < LOGINS {
            self.log_in(now, progress, random);
        } else {
            self.fail(error, progress);
        }
    }

    fn fail(&mut self, error: Error, progress: &mut Progress) {
        self.over();
        progress.events.push(Event::Failed(error));
    }

    fn over(&mut self) {
        self.state = State::Over;
        self.console = None;
        self.queue.clear();
    }

    fn judge(&mut self, now: Duration, verdict: Verdict, progress: &mut Progress, random: Random<'_>) {
        match verdict {
            Verdict::Wait => {}
            Verdict::Send(packet) => progress.send.push(packet),
            Verdict::Established { console, bmc, keys } => {
                self.state = State::Open(Box::new(Session::new(now, console, bmc, keys)));
                // Commands may wait already.
                let level = self.settings.privilege;
                let command = command::SET_SESSION_PRIVILEGE;
                self.queue.push_front(Job {
                    purpose: Purpose::Privilege,
                    command,
                    data: vec![level.level()],
                });
            }
            Verdict::OtherSuite => {
                self.suite += 1;
                self.logins = 0;
                self.log_in(now, progress, random);
            }
            Verdict::Again(error) => self.log_in_again(now, error, progress, random),
            Verdict::Failed(error, last) => {
                progress.send.extend(last);
                self.fail(error, progress);
            }
        }
    }

    fn answered(&mut self, purpose: Purpose, answer: Answer, progress: &mut Progress) {
        let done = answer.completion == Completion::Ok;
        match purpose {
            Purpose::User(ticket) => progress.events.push(Event::Answered { ticket, answer }),
            Purpose::KeepAlive => {}
            Purpose::Privilege => {
                let granted = answer.data.first().copied().and_then(Privilege::parse);
                match (granted, self.settings.suites.get(self.suite)) {
                    (Some(privilege), Some(cipher)) if done => {
                        progress.events.push(Event::Connected { cipher: *cipher, privilege });
                    }
                    _ => self.fail(Error::Privilege { wanted: self.settings.privilege }, progress),
                }
            }
            Purpose::Activate(_) if done => {
                self.console = Some(ConsoleEnd::new(rules(&answer.data)));
                progress.events.push(Event::SolStarted);
            }
            Purpose::Activate(WhenTaken::TakeOver) if answer.completion == Refusal::Active.completion() => {
                let job = |purpose, command, data: &[u8]| Job { purpose, command, data: data.to_vec() };
                let again = Purpose::Activate(WhenTaken::Refuse);
                self.queue.push_front(job(again, command::ACTIVATE_PAYLOAD, &ACTIVATE));
                self.queue.push_front(job(Purpose::TakeOver, command::DEACTIVATE_PAYLOAD, &DEACTIVATE));
            }
            Purpose::Activate(_) => progress.events.push(Event::SolRefused(answer.completion)),
            // Whether it was still active shows when it is activated here.
            Purpose::TakeOver => {}
            Purpose::Deactivate if self.console.take().is_some() => progress.events.push(Event::SolEnded),
            Purpose::Deactivate => progress.events.push(Event::SolRefused(answer.completion)),
            Purpose::Close => {
                self.over();
                progress.events.push(Event::Closed);
            }
        }
    }

    /// Takes a packet of Serial over LAN.
    fn shown(
        &mut self,
        now: Duration,
        number: u32,
        payload: &[u8],
        progress: &mut Progress,
        random: Random<'_>,
    ) {
        let (Some(console), State::Open(session)) = (&mut self.console, &mut self.state) else { return };
        let shown = console.receive(now, number, payload);
        if let Some(reply) = shown.reply {
            progress.send.push(session.seal(now, PayloadType::Sol, &reply, random));
        }
        if !shown.output.is_empty() {
            progress.events.push(Event::SolOutput(shown.output));
        }
        if shown.status.inactive {
            self.console = None;
            progress.events.push(Event::SolEnded);
        } else if shown.status != Status::default() {
            progress.events.push(Event::SolStatus(shown.status));
        }
    }

    /// Sends what is due and can be sent.
    fn pump(&mut self, now: Duration, progress: &mut Progress, random: Random<'_>) {
        match &mut self.state {
            State::Over | State::Idle => {
                if self.queue.iter().any(|job| job.purpose == Purpose::Close) {
                    self.over();
                    progress.events.push(Event::Closed);
                } else if matches!(self.state, State::Over) {
                    self.queue.clear();
                }
            }
            State::LoggingIn(login) => match login.poll(now) {
                Ok(packet) => progress.send.extend(packet),
                // Whoever is silent from the beginning is not there.
                Err(Step::Open) => self.fail(Error::Silent { step: Step::Open }, progress),
                Err(step) => self.log_in_again(now, Error::Silent { step }, progress, random),
            },
            State::Open(session) => {
                match session.poll(now, random) {
                    Ok(packet) => progress.send.extend(packet),
                    Err(Silent(Purpose::Close)) => {
                        self.over();
                        return progress.events.push(Event::Closed);
                    }
                    Err(Silent(_)) => return self.fail(Error::Silent { step: Step::Command }, progress),
                }
                if !session.is_busy() {
                    let idle = now >= session.sent + self.settings.keepalive;
                    let alive = || Job {
                        purpose: Purpose::KeepAlive,
                        command: command::GET_DEVICE_ID,
                        data: Vec::new(),
                    };
                    if let Some(job) = self.queue.pop_front().or_else(|| idle.then(alive)) {
                        let Job { purpose, command, mut data } = job;
                        if purpose == Purpose::Close {
                            data = session.bmc.to_le_bytes().to_vec();
                        }
                        progress.send.push(session.ask(now, &self.settings, purpose, command, &data, random));
                    }
                }
                self.pump_console(now, progress, random);
            }
        }
    }

    fn pump_console(&mut self, now: Duration, progress: &mut Progress, random: Random<'_>) {
        let (Some(console), State::Open(session)) = (&mut self.console, &mut self.state) else { return };
        loop {
            match console.poll(now) {
                Ok(Some(payload)) => {
                    progress.send.push(session.seal(now, PayloadType::Sol, &payload, random));
                }
                Ok(None) => return,
                Err(_) => return self.fail(Error::Silent { step: Step::Sol }, progress),
            }
        }
    }
}

/// Returns how to send, from the data of the answer to Activate Payload.
fn rules(data: &[u8]) -> Rules {
    let inbound = match data {
        [_, _, _, _, low, high, ..] => usize::from(u16::from_le_bytes([*low, *high])),
        _ => 0,
    };
    Rules {
        // Some BMCs tell one character.
        largest: inbound.saturating_sub(HEADER).max(1),
        accumulate: Duration::ZERO,
        threshold: 1,
        retries: 10,
        retry_interval: Duration::from_millis(500),
        buffer: TYPED,
    }
}
