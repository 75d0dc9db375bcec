//! A BMC as its clients see it, over IPMI and by Redfish, with what its maker does differently and what is wrong with it.

mod faults;
mod personalities;

use std::net::SocketAddr;
use std::time::Duration;

use http::Method;
use serde_json::Value;

use super::fault::Fault;
use super::inventory::FirmwareKind;
use super::ipmi::client::{self, Client, Event, Progress};
use super::ipmi::command::{Command, NetFn};
use super::ipmi::message::Answer;
use super::ipmi::privilege::Privilege;
use super::ipmi::server::Server;
use super::lan::OverLan;
use super::personality::Personality;
use super::redfish::tests::{PASSWORD, basic, bmc_with, counted, request};
use super::redfish::{self, Reply};
use super::{Bmc, Now, Order};

/// A BMC with its server of IPMI, as the shell has them.
struct Rig {
    bmc: Bmc,
    server: Server,
    up: Duration,
}

fn fill(bytes: &mut [u8]) {
    // Numbers of sessions must differ.
    use std::sync::atomic::{AtomicU8, Ordering};
    static NEXT: AtomicU8 = AtomicU8::new(1);
    bytes.fill_with(|| NEXT.fetch_add(1, Ordering::Relaxed));
}

impl Rig {
    /// A BMC of a machine that is on.
    fn new(personality: Personality, firmware: FirmwareKind) -> Self {
        let mut bmc = bmc_with(firmware).made_as(personality);
        bmc.orders();
        let server = Server::new(bmc.ipmi_settings());
        Self { bmc, server, up: Duration::from_secs(10) }
    }

    fn own() -> Self {
        Self::new(Personality::Dryrack, FirmwareKind::Uefi)
    }

    /// Tells the BMC what is wrong with it.
    fn fail(&mut self, faults: &[Fault]) {
        self.bmc.set_faults(faults.to_vec());
        for user in self.bmc.take_ended() {
            self.server.end_sessions_of(user);
        }
        self.server.configure(self.bmc.ipmi_settings());
    }

    fn now(&self) -> Now {
        Now { up: self.up, unix: 1_700_000_000 }
    }

    /// Lets time pass; returns what the machine was told.
    fn wait(&mut self, seconds: u64) -> Vec<Order> {
        self.up += Duration::from_secs(seconds);
        self.bmc.tick(self.now());
        self.bmc.orders()
    }

    /// Passes datagrams on until both ends are silent.
    fn exchange(&mut self, client: &mut Client, mut progress: Progress) -> Vec<Event> {
        let from = SocketAddr::from(([10, 0, 3, 1], 40_000));
        let mut events = Vec::new();
        loop {
            events.append(&mut progress.events);
            let mut back = Vec::new();
            let now = self.now();
            for packet in std::mem::take(&mut progress.send) {
                let mut view = OverLan::new(&mut self.bmc, now);
                back.extend(self.server.receive(now.up, from, &packet, &mut view, &mut fill));
            }
            let mut view = OverLan::new(&mut self.bmc, now);
            back.extend(self.server.tick(now.up, &mut view, &mut fill).0);
            if back.is_empty() {
                return events;
            }
            for out in back {
                let next = client.receive(now.up, &out.bytes, &mut fill);
                progress.send.extend(next.send);
                progress.events.extend(next.events);
            }
        }
    }

    fn log_in_as(&mut self, settings: client::Settings) -> (Client, Vec<Event>) {
        let mut client = Client::new(settings);
        let progress = client.start(self.up, &mut fill);
        let events = self.exchange(&mut client, progress);
        (client, events)
    }

    #[track_caller]
    fn log_in(&mut self) -> Client {
        let (client, events) = self.log_in_as(admin());
        assert!(matches!(events[..], [Event::Connected { .. }]), "{events:?}");
        client
    }

    /// Goes on with what a client has queued.
    fn go_on(&mut self, client: &mut Client) -> Vec<Event> {
        let (progress, _) = client.tick(self.up, &mut fill);
        self.exchange(client, progress)
    }

    /// Asks a command; `None` if there is no answer.
    fn ask(&mut self, client: &mut Client, netfn: u8, code: u8, data: &[u8]) -> Option<Answer> {
        client.command(Command::new(NetFn::parse(netfn), code), data);
        self.go_on(client).into_iter().find_map(|event| match event {
            Event::Answered { answer, .. } => Some(answer),
            _ => None,
        })
    }

    /// Asks a command that succeeds.
    #[track_caller]
    fn done(&mut self, client: &mut Client, netfn: u8, code: u8, data: &[u8]) -> Vec<u8> {
        let answer = self.ask(client, netfn, code, data).expect("an answer");
        assert_eq!(answer.completion, super::ipmi::completion::Completion::Ok);
        answer.data
    }

    /// Sends a request of Redfish; returns whatever comes back.
    fn send(
        &mut self,
        method: Method,
        target: &str,
        headers: &[(&str, &str)],
        body: &Value,
    ) -> redfish::Answer {
        let authorization = basic("admin", PASSWORD);
        let is_logged_in = headers.iter().any(|(name, _)| *name == "x-auth-token");
        let own = [("authorization", authorization.as_str())];
        let own: &[_] = if is_logged_in { &[] } else { &own };
        let headers: Vec<_> = own.iter().chain(headers).copied().collect();
        let text = if body.is_null() { String::new() } else { body.to_string() };
        let request = request(method, target, &headers, &text);
        let now = self.now();
        redfish::answer(&mut self.bmc, now, &mut counted(), &request)
    }

    #[track_caller]
    fn reply(&mut self, method: Method, target: &str, headers: &[(&str, &str)], body: &Value) -> Reply {
        match self.send(method, target, headers, body) {
            redfish::Answer::Done(reply) => reply,
            other => panic!("not done: {other:?}"),
        }
    }

    #[track_caller]
    fn write(&mut self, method: Method, target: &str, body: &Value) -> (u16, Value) {
        let reply = self.reply(method, target, &[], body);
        (reply.status.as_u16(), serde_json::from_slice(&reply.body).unwrap_or_default())
    }

    #[track_caller]
    fn patch(&mut self, target: &str, body: &Value) -> (u16, Value) {
        self.write(Method::PATCH, target, body)
    }

    #[track_caller]
    fn post(&mut self, target: &str, body: &Value) -> (u16, Value) {
        self.write(Method::POST, target, body)
    }

    #[track_caller]
    fn get(&mut self, target: &str) -> Value {
        let (status, body) = self.write(Method::GET, target, &Value::Null);
        assert_eq!(status, 200, "{target}: {body}");
        body
    }
}

fn admin() -> client::Settings {
    client::Settings::new("admin", PASSWORD, Privilege::Administrator)
}

/// The identifier of the first message of an answer.
fn message(body: &Value) -> &str {
    body["error"]["@Message.ExtendedInfo"][0]["MessageId"].as_str().unwrap_or_default()
}

#[test]
fn serial_over_lan_reports_the_port_that_was_set() {
    let mut rig = Rig::own();
    let mut client = rig.log_in();
    let mut reported = |rig: &mut Rig| {
        let answer = rig.done(&mut client, 0x06, 0x48, &[1, 1, 0xC0, 0, 0, 0]);
        rig.done(&mut client, 0x06, 0x49, &[1, 1, 0, 0, 0, 0]);
        let parameter = rig.done(&mut client, 0x0C, 0x22, &[1, 8, 0, 0]);
        assert_eq!(answer[8..10], parameter[1..]);
        u16::from_le_bytes([answer[8], answer[9]])
    };
    assert_eq!(reported(&mut rig), 623);
    let mut other = rig.log_in();
    // Of a forward that leads to the BMC.
    rig.done(&mut other, 0x0C, 0x21, &[1, 8, 0x56, 0x18]);
    assert_eq!(reported(&mut rig), 6230);
    let none = rig.ask(&mut other, 0x0C, 0x21, &[1, 8, 0, 0]).map(|answer| answer.completion);
    assert_eq!(none, Some(super::ipmi::completion::Completion::InvalidField));
    assert_eq!(reported(&mut rig), 6230);
}
