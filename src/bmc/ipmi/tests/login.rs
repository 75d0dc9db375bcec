//! Logins that fail, and sessions that end.

use std::time::Duration;

use super::super::client::{Error, Event, Settings, Step};
use super::super::command;
use super::super::completion::Completion;
use super::super::handshake::{OpenRequest, OpenResponse, Rakp1, Rakp2, Rakp3, Rakp4, Reply, Role, Status};
use super::super::message::{Answer, Request, Response};
use super::super::packet::{self, Packet, PayloadType};
use super::super::privilege::Privilege;
use super::super::rmcp::Datagram;
use super::super::server::{self, HighestPrivilege, UnknownUser};
use super::super::suite::{Cipher, SUITES};
use super::channel::{Channel, Faults, MARK, here};

const HONEST: Faults = Faults { loss: 0, repeats: 0, delay: Duration::from_millis(1) };

/// Logs in and returns what the client says last, and after which time.
fn check(server: server::Settings, client: Settings) -> (Event, Duration) {
    let mut channel = Channel::new(3, HONEST, server, client);
    let events = channel.run(Duration::from_secs(100), |event| matches!(event, Event::Connected { .. }));
    (events.last().cloned().expect("a client says how it went"), channel.now)
}

fn admin() -> Settings {
    Settings::new("admin", "password", Privilege::Administrator)
}

fn honest() -> server::Settings {
    server::Settings::default()
}

#[test]
fn the_best_suite_that_the_bmc_accepts() {
    let connected = |cipher| Event::Connected { cipher, privilege: Privilege::Administrator };
    assert_eq!(check(honest(), admin()).0, connected(Cipher::Sha256));
    let old = server::Settings { accepted: vec![Cipher::Sha1], ..honest() };
    assert_eq!(check(old.clone(), admin()).0, connected(Cipher::Sha1));
    let strict = Settings { suites: vec![Cipher::Sha256], ..admin() };
    assert_eq!(check(old, strict).0, Event::Failed(Error::NoSuite { tried: vec![17] }));
}

#[test]
fn failures_are_told_at_once() {
    let failed = |user: &str, password: &str, privilege| match check(
        honest(),
        Settings::new(user, password, privilege),
    ) {
        (Event::Failed(error), after) if after < Duration::from_secs(1) => error,
        other => panic!("{other:?}"),
    };
    assert_eq!(failed("admin", "wrong", Privilege::Administrator), Error::WrongPassword);
    assert_eq!(failed("nobody", "password", Privilege::Administrator), Error::UnknownUser);
    assert_eq!(failed("off", "password", Privilege::Administrator), Error::UnknownUser);
    let wanted = Privilege::Administrator;
    assert_eq!(failed("operator", "password", wanted), Error::Privilege { wanted });
}

#[test]
fn errors_say_what_to_do() {
    let check = |error: Error| format!("{error}: {}", error.hint());
    assert_eq!(
        check(Error::WrongPassword),
        "wrong password: the HMAC of RAKP message 2 does not match: check the password; the BMC uses at most 20 bytes of it"
    );
    assert_eq!(
        check(Error::NoSuite { tried: vec![17, 3] }),
        "the BMC does not accept cipher suite 17 or 3: enable cipher suite 17 or 3 in the settings of the BMC, or update its firmware"
    );
}

#[test]
fn silence_has_an_end() {
    let silent = Faults { loss: 100, ..HONEST };
    let mut channel = Channel::new(3, silent, honest(), admin());
    let events = channel.run(Duration::from_secs(100), |_| false);
    assert_eq!(events, [Event::Failed(Error::Silent { step: Step::Open })]);
    assert_eq!(channel.now, Duration::from_millis(5500));

    let quiet = server::Settings { unknown_user: UnknownUser::Ignored, ..honest() };
    let (event, _) = check(quiet, Settings::new("nobody", "", Privilege::User));
    assert_eq!(event, Event::Failed(Error::Silent { step: Step::Rakp2 }));
}

/// Sends one payload outside of a session from a port, and returns the payload that comes back.
fn exchange(channel: &mut Channel, port: u16, kind: PayloadType, payload: &[u8]) -> Option<Vec<u8>> {
    let mut from = here();
    from.set_port(port);
    let outs = channel.ask_server(from, &packet::plain(kind, payload));
    let [out] = &outs[..] else { return None };
    let Some(Datagram::Ipmi(body)) = Datagram::parse(&out.bytes) else { panic!("not IPMI") };
    let Some(Packet::Plus(plus)) = Packet::parse(body) else { panic!("not RMCP+") };
    Some(plus.payload.to_vec())
}

fn open(channel: &mut Channel, port: u16, request: &OpenRequest) -> Reply<OpenResponse> {
    let answer = exchange(channel, port, PayloadType::OpenRequest, &request.encode());
    OpenResponse::parse(&answer.expect("Open Session is always answered")).expect("well-formed")
}

#[test]
fn only_supported_suites_are_accepted() {
    for suite in SUITES {
        let mut channel = Channel::honest(4);
        let reply = open(&mut channel, 1, &OpenRequest::new(9, None, 5, suite));
        match (Cipher::of(suite), reply) {
            (Some(_), Reply::Accepted(response)) => {
                assert!(response.chose(suite));
                assert_eq!((response.tag, response.privilege), (9, Some(Privilege::Administrator)));
            }
            (None, refused) => {
                assert_eq!(refused, Reply::Refused { tag: 9, status: Status::NoSuite, console: 5 });
            }
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn the_highest_privilege_is_resolved_or_echoed() {
    let granted = |highest_privilege, asked| {
        let server = server::Settings { highest_privilege, privilege_limit: Privilege::Operator, ..honest() };
        let mut channel = Channel::new(5, HONEST, server, admin());
        match open(&mut channel, 1, &OpenRequest::new(0, asked, 5, Cipher::Sha1.suite())) {
            Reply::Accepted(response) => response.privilege,
            refused => panic!("{refused:?}"),
        }
    };
    assert_eq!(granted(HighestPrivilege::Resolved, None), Some(Privilege::Operator));
    assert_eq!(granted(HighestPrivilege::Echoed, None), None);
    assert_eq!(granted(HighestPrivilege::Resolved, Some(Privilege::User)), Some(Privilege::User));
    assert_eq!(
        granted(HighestPrivilege::Resolved, Some(Privilege::Administrator)),
        Some(Privilege::Operator)
    );
}

#[test]
fn half_open_logins_are_limited_per_source_and_in_time() {
    let mut channel = Channel::honest(6);
    let request = |console| OpenRequest::new(0, None, console, Cipher::Sha256.suite());
    for console in 1..=8 {
        assert!(matches!(open(&mut channel, 1, &request(console)), Reply::Accepted(_)));
    }
    let full = Reply::Refused { tag: 0, status: Status::NoResources, console: 9 };
    assert_eq!(open(&mut channel, 1, &request(9)), full);
    // A repeated request is no other login.
    assert!(matches!(open(&mut channel, 1, &request(8)), Reply::Accepted(_)));
    channel.now = Duration::from_secs(10);
    assert!(matches!(open(&mut channel, 1, &request(9)), Reply::Accepted(_)));
}

/// Goes up to RAKP 3 with a wrong proof.
fn wrong_proof(channel: &mut Channel, console: u32) -> Status {
    let request = OpenRequest::new(0, None, console, Cipher::Sha256.suite());
    let Reply::Accepted(opened) = open(channel, 1, &request) else { panic!("refused") };
    let (bmc, name) = (opened.bmc, b"admin".to_vec());
    let first = Rakp1 { tag: 0, bmc, random: [1; 16], role: Role::new(Privilege::User), name };
    let second = exchange(channel, 1, PayloadType::Rakp1, &first.encode()).and_then(|it| Rakp2::parse(&it));
    match second {
        Some(Reply::Accepted(_)) => {}
        Some(Reply::Refused { status, .. }) => return status,
        None => panic!("no answer"),
    }
    let third = Rakp3 { tag: 0, status: Status::Ok, bmc, proof: vec![0; 32] };
    match exchange(channel, 1, PayloadType::Rakp3, &third.encode()).and_then(|it| Rakp4::parse(&it)) {
        Some(Reply::Refused { status, .. }) => status,
        other => panic!("{other:?}"),
    }
}

#[test]
fn wrong_proofs_lock_the_user_out() {
    let mut channel = Channel::honest(7);
    for console in 1..=5 {
        assert_eq!(wrong_proof(&mut channel, console), Status::InvalidCheckValue);
    }
    assert_eq!(wrong_proof(&mut channel, 6), Status::UnauthorisedName);
    // The client's own login comes from the same address.
    let events = channel.run(Duration::from_secs(5), |_| false);
    assert_eq!(events, [Event::Failed(Error::UnknownUser)]);
    channel.now += Duration::from_secs(60);
    assert_eq!(wrong_proof(&mut channel, 7), Status::InvalidCheckValue);
}

#[test]
fn outside_of_sessions_only_discovery_is_answered() {
    let mut channel = Channel::honest(8);
    let mut ask = |command, data: &[u8]| {
        let answer = exchange(&mut channel, 1, PayloadType::Ipmi, &Request::new(command, 5, data).encode())?;
        let response = Response::parse(&answer).expect("well-formed");
        assert_eq!(response.sequence, 5);
        Some(Answer { completion: response.completion, data: response.data.to_vec() })
    };
    let suites = [&[1], &Cipher::Sha1.suite().record()[..], &Cipher::Sha256.suite().record()].concat();
    assert_eq!(ask(command::GET_CIPHER_SUITES, &[0x0e, 0, 0x80]), Some(Answer::ok(suites)));
    assert_eq!(ask(command::GET_CIPHER_SUITES, &[0x0e, 0, 0x81]), Some(Answer::ok([1])));
    let capabilities = [1, 0x80, 0x04, 0x02, 0, 0, 0, 0];
    assert_eq!(ask(command::GET_CHANNEL_AUTHENTICATION, &[0x8e, 4]), Some(Answer::ok(capabilities)));
    assert_eq!(ask(command::GET_SYSTEM_GUID, &[]), Some(Answer::ok([7; 16])));
    // The refusal would be longer than what it refuses.
    assert_eq!(ask(command::GET_DEVICE_ID, &[]), None);
    assert_eq!(ask(command::CHASSIS_CONTROL, &[0]), Some(Completion::InsufficientPrivilege.into()));
    assert_eq!(ask(MARK, &[0; 4]), Some(Completion::InsufficientPrivilege.into()));
    assert!(channel.world.marks.is_empty());
}

#[test]
fn long_suite_lists_come_in_parts() {
    let server = server::Settings { offered: SUITES.to_vec(), ..honest() };
    let mut channel = Channel::new(9, HONEST, server, admin());
    let mut records = Vec::new();
    for index in 0x80.. {
        let request = Request::new(command::GET_CIPHER_SUITES, 0, &[0x0e, 0, index]).encode();
        let answer = exchange(&mut channel, 1, PayloadType::Ipmi, &request).expect("answered");
        let part = Response::parse(&answer).expect("well-formed").data[1..].to_vec();
        records.extend_from_slice(&part);
        if part.len() < 16 {
            break;
        }
    }
    assert_eq!(records, SUITES.iter().flat_map(|suite| suite.record()).collect::<Vec<_>>());
}

#[test]
fn privileges_bound_commands() {
    let mut channel =
        Channel::new(10, HONEST, honest(), Settings::new("operator", "password", Privilege::Operator));
    let mut ask = |command, data: &[u8]| {
        channel.client.command(command, data);
        match channel.run(Duration::from_secs(1), |event| matches!(event, Event::Answered { .. })).pop() {
            Some(Event::Answered { answer, .. }) => answer,
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(ask(command::SET_BOOT_OPTIONS, &[]).completion, Completion::InsufficientPrivilege);
    assert_eq!(ask(command::SET_SESSION_PRIVILEGE, &[0]), Answer::ok([3]));
    assert_eq!(ask(command::SET_SESSION_PRIVILEGE, &[4]).completion, Completion::Other(0x80));
    assert_eq!(ask(command::SET_SESSION_PRIVILEGE, &[2]), Answer::ok([2]));
    assert_eq!(ask(command::CLOSE_SESSION, &[9, 9, 9, 9]).completion, Completion::Other(0x87));
    assert_eq!(ask(command::GET_SESSION_CHALLENGE, &[]).completion, Completion::InvalidCommand);
    let info = ask(command::GET_SESSION_INFO, &[0]);
    let [low, high] = 40_000u16.to_le_bytes();
    assert_eq!(info, Answer::ok([1, 16, 1, 3, 2, 0x11, 192, 0, 2, 7, 0, 0, 0, 0, 0, 0, low, high]));
}

#[test]
fn sessions_end_by_silence_and_by_personality() {
    let mut channel =
        Channel::new(11, HONEST, honest(), Settings { keepalive: Duration::from_secs(90), ..admin() });
    channel.run(Duration::from_secs(59), |_| false);
    channel.now = Duration::from_secs(70);
    channel.client.command(MARK, &[0; 4]);
    let events = channel.run(Duration::from_secs(10), |_| false);
    assert_eq!(events.last(), Some(&Event::Failed(Error::Silent { step: Step::Command })));

    let server = server::Settings { commands_per_session: Some(3), ..honest() };
    let mut channel = Channel::new(11, HONEST, server, admin());
    for _ in 0..3 {
        channel.client.command(MARK, &[0; 4]);
    }
    // The first command sets the privilege.
    let events = channel.run(Duration::from_secs(10), |_| false);
    assert_eq!(events.iter().filter(|event| matches!(event, Event::Answered { .. })).count(), 2);
    assert_eq!(events.last(), Some(&Event::Failed(Error::Silent { step: Step::Command })));
}

#[test]
fn replayed_packets_run_nothing() {
    let mut channel = Channel::honest(13);
    channel.record();
    channel.client.command(MARK, &[0; 4]);
    channel.run(Duration::from_secs(30), |_| false);
    assert_eq!(channel.world.marks, [0]);
    for packet in channel.recorded() {
        channel.give_server(&packet);
    }
    assert_eq!(channel.world.marks, [0]);
}

#[test]
fn keepalive_keeps_the_session() {
    let mut channel = Channel::honest(12);
    assert!(channel.run(Duration::from_secs(600), |_| false).len() == 1);
    channel.client.command(MARK, &[0; 4]);
    let events = channel.run(Duration::from_secs(1), |_| false);
    assert!(matches!(events[..], [Event::Answered { .. }]));
}
