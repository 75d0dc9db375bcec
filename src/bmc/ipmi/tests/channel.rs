//! A client, a server and a network between them, with a clock that jumps from event to event.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use super::super::client::{Client, Event, Progress, Settings};
use super::super::command::{self, Command, NetFn};
use super::super::completion::Completion;
use super::super::message::{Answer, Request};
use super::super::privilege::Privilege;
use super::super::server::{self, Asker, Out, Server, SolTerms, User, World};

/// A command whose runs are counted.
pub(super) const MARK: Command = Command::new(NetFn::Other(0x30), 0x01);

/// Where the client is.
pub(super) fn here() -> SocketAddr {
    SocketAddr::new(Ipv4Addr::new(192, 0, 2, 7).into(), 40_000)
}

/// What the network does to packets.
#[derive(Debug, Clone, Copy)]
pub(super) struct Faults {
    /// Per cent that are lost.
    pub(super) loss: u32,
    /// Per cent that are repeated.
    pub(super) repeats: u32,
    /// The longest delay.
    pub(super) delay: Duration,
}

/// The rest of the BMC.
#[derive(Debug, Default)]
pub(super) struct Machine {
    /// The marks that commands left.
    pub(super) marks: Vec<u32>,
    pub(super) typed: Vec<u8>,
    pub(super) breaks: u32,
    pub(super) sol_disabled: bool,
}

impl World for Machine {
    fn guid(&self) -> [u8; 16] {
        [7; 16]
    }

    fn user(&self, name: &[u8]) -> Option<User> {
        let (id, limit, enabled) = match name {
            b"admin" => (2, Privilege::Administrator, true),
            b"operator" => (3, Privilege::Operator, true),
            b"off" => (4, Privilege::Administrator, false),
            _ => return None,
        };
        Some(User { id, password: b"password".to_vec(), limit, enabled })
    }

    fn needs(&self, request: &Request<'_>) -> Privilege {
        match request.command {
            command::SET_BOOT_OPTIONS => Privilege::Administrator,
            _ => Privilege::User,
        }
    }

    fn command(&mut self, _now: Duration, _asker: &Asker, request: &Request<'_>) -> Answer {
        match (request.command, request.data) {
            (MARK, [a, b, c, d]) => {
                self.marks.push(u32::from_le_bytes([*a, *b, *c, *d]));
                Answer::ok(request.data)
            }
            (command::GET_DEVICE_ID, []) => Answer::ok([0x20]),
            _ => Completion::InvalidCommand.into(),
        }
    }

    fn sol(&self) -> SolTerms {
        SolTerms { enabled: !self.sol_disabled, retries: 20, ..SolTerms::default() }
    }

    fn typed(&mut self, bytes: &[u8]) {
        self.typed.extend_from_slice(bytes);
    }

    fn send_break(&mut self) {
        self.breaks += 1;
    }
}

/// To whom a packet travels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    Client,
    Server,
}

/// The whole arrangement.
#[derive(Debug)]
pub(super) struct Channel {
    pub(super) now: Duration,
    pub(super) client: Client,
    pub(super) server: Server,
    pub(super) world: Machine,
    faults: Faults,
    dice: u64,
    /// What travels, by the time of arrival.
    travelling: BTreeMap<(Duration, u64), (End, Vec<u8>)>,
    count: u64,
    /// What the server got, if it is recorded.
    recorded: Option<Vec<Vec<u8>>>,
}

impl Channel {
    pub(super) fn new(seed: u64, faults: Faults, server: server::Settings, client: Settings) -> Self {
        let (server, client) = (Server::new(server), Client::new(client));
        let mut channel = Self {
            now: Duration::ZERO,
            client,
            server,
            world: Machine::default(),
            faults,
            dice: seed | 1,
            travelling: BTreeMap::new(),
            count: 0,
            recorded: None,
        };
        let mut dice = channel.dice;
        let progress = channel.client.start(channel.now, &mut |bytes| fill(&mut dice, bytes));
        channel.dice = dice;
        channel.send(End::Server, progress.send);
        channel
    }

    /// Makes one without faults.
    pub(super) fn honest(seed: u64) -> Self {
        let faults = Faults { loss: 0, repeats: 0, delay: Duration::from_millis(1) };
        let client = Settings::new("admin", "password", Privilege::Administrator);
        Self::new(seed, faults, server::Settings::default(), client)
    }

    /// Runs until an event that ends it, the client is over, or the time is.
    pub(super) fn run(&mut self, time: Duration, ends: impl Fn(&Event) -> bool) -> Vec<Event> {
        let until = self.now + time;
        let mut events = Vec::new();
        loop {
            let (progress, client) = self.with_client(|client, now, random| client.tick(now, random));
            events.extend(self.take(progress));
            let (outs, server) =
                self.with_server(|server, now, world, random| server.tick(now, world, random));
            self.deliver(outs);
            let over = |event: &Event| ends(event) || matches!(event, Event::Failed(_) | Event::Closed);
            if events.iter().any(over) {
                return events;
            }
            let arrival = self.travelling.first_key_value().map(|((at, _), _)| *at);
            let Some(next) = [arrival, client, server].into_iter().flatten().min() else { return events };
            if next > until {
                self.now = until;
                return events;
            }
            self.now = self.now.max(next);
            while let Some(entry) = self.travelling.first_entry().filter(|entry| entry.key().0 <= self.now) {
                match entry.remove() {
                    (End::Client, packet) => events.extend(self.give_client(&packet)),
                    (End::Server, packet) => self.give_server(&packet),
                }
            }
        }
    }

    /// Hands a packet to the client.
    pub(super) fn give_client(&mut self, packet: &[u8]) -> Vec<Event> {
        let progress = self.with_client(|client, now, random| client.receive(now, packet, random));
        self.take(progress)
    }

    /// Records what the server gets from now on.
    pub(super) fn record(&mut self) {
        self.recorded = Some(Vec::new());
    }

    /// Returns what the server got.
    pub(super) fn recorded(&mut self) -> Vec<Vec<u8>> {
        self.recorded.take().unwrap_or_default()
    }

    /// Hands a packet to the server.
    pub(super) fn give_server(&mut self, packet: &[u8]) {
        if let Some(recorded) = &mut self.recorded {
            recorded.push(packet.to_vec());
        }
        let outs = self.ask_server(here(), packet);
        self.deliver(outs);
    }

    /// Makes a second client, at another port.
    pub(super) fn other_client(&self) -> Client {
        Client::new(Settings::new("admin", "password", Privilege::Administrator))
    }

    /// Runs a second client without faults and without passing of time, until an event.
    pub(super) fn run_other(&mut self, client: &mut Client, ends: impl Fn(&Event) -> bool) -> Vec<Event> {
        let mut other = here();
        other.set_port(40_001);
        let mut events = Vec::new();
        let mut dice = self.dice;
        let mut random = |bytes: &mut [u8]| fill(&mut dice, bytes);
        let (mut progress, _) = client.tick(self.now, &mut random);
        if progress == Progress::default() {
            progress = client.start(self.now, &mut random);
        }
        while !events.iter().any(&ends) {
            events.append(&mut progress.events);
            let mut back = Vec::new();
            for packet in std::mem::take(&mut progress.send) {
                let outs = self.server.receive(self.now, other, &packet, &mut self.world, &mut random);
                let (ours, theirs) = outs.into_iter().partition(|out| out.to == here());
                back.extend::<Vec<Out>>(theirs);
                let ours: Vec<Out> = ours;
                for out in ours {
                    self.count += 1;
                    self.travelling.insert((self.now, self.count), (End::Client, out.bytes));
                }
            }
            for out in back {
                let next = client.receive(self.now, &out.bytes, &mut random);
                progress.send.extend(next.send);
                progress.events.extend(next.events);
            }
            if progress == Progress::default() && !events.iter().any(&ends) {
                return events;
            }
        }
        self.dice = dice;
        events
    }

    /// Hands a packet to the server and returns what it sends.
    pub(super) fn ask_server(&mut self, from: SocketAddr, packet: &[u8]) -> Vec<Out> {
        self.with_server(|server, now, world, random| server.receive(now, from, packet, world, random))
    }

    fn with_client<T>(&mut self, f: impl FnOnce(&mut Client, Duration, &mut dyn FnMut(&mut [u8])) -> T) -> T {
        f(&mut self.client, self.now, &mut |bytes| fill(&mut self.dice, bytes))
    }

    fn with_server<T>(
        &mut self,
        f: impl FnOnce(&mut Server, Duration, &mut dyn World, &mut dyn FnMut(&mut [u8])) -> T,
    ) -> T {
        f(&mut self.server, self.now, &mut self.world, &mut |bytes| fill(&mut self.dice, bytes))
    }

    fn take(&mut self, progress: Progress) -> Vec<Event> {
        self.send(End::Server, progress.send);
        progress.events
    }

    fn deliver(&mut self, outs: Vec<Out>) {
        assert!(outs.iter().all(|out| out.to == here()));
        self.send(End::Client, outs.into_iter().map(|out| out.bytes).collect());
    }

    fn send(&mut self, to: End, packets: Vec<Vec<u8>>) {
        for packet in packets {
            let copies = if self.chance(self.faults.repeats) { 2 } else { 1 };
            for _ in 0..copies {
                if self.chance(self.faults.loss) {
                    continue;
                }
                let delay = next(&mut self.dice) % (self.faults.delay.as_micros() as u64).max(1);
                self.count += 1;
                let at = (self.now + Duration::from_micros(delay), self.count);
                self.travelling.insert(at, (to, packet.clone()));
            }
        }
    }

    fn chance(&mut self, percent: u32) -> bool {
        next(&mut self.dice) % 100 < u64::from(percent)
    }
}

fn fill(dice: &mut u64, bytes: &mut [u8]) {
    for byte in bytes {
        *byte = next(dice) as u8;
    }
}

/// Xorshift, with the better upper bits.
fn next(dice: &mut u64) -> u64 {
    *dice ^= *dice << 13;
    *dice ^= *dice >> 7;
    *dice ^= *dice << 17;
    *dice >> 20
}
