//! What goes wrong on purpose, begun and ended while clients use the BMC.

use serde_json::json;

use super::super::boot::{BootDevice, Override};
use super::super::ipmi::client::Error;
use super::super::ipmi::client::WhenTaken;
use super::super::ipmi::completion::Completion;
use super::super::ipmi::handshake::{OpenRequest, OpenResponse, Reply as Opened};
use super::super::ipmi::packet::Packet;
use super::super::ipmi::packet::{self, PayloadType};
use super::super::ipmi::rmcp::Datagram;
use super::super::ipmi::suite::Cipher;
use super::super::power::{Control, Happening, RestartCause};
use super::super::redfish::{Request, Transport};
use super::*;

const SYSTEM: &str = "/redfish/v1/Systems/1";
const RESET: &str = "/redfish/v1/Systems/1/Actions/ComputerSystem.Reset";
const SESSIONS: &str = "/redfish/v1/SessionService/Sessions";
const PXE: Override = Override { device: BootDevice::Pxe, is_persistent: false };

#[test]
fn a_boot_device_for_once_is_claimed_and_ignored() {
    let mut rig = Rig::own();
    rig.fail(&[Fault::IgnoresBootOnce]);
    let mut client = rig.log_in();
    let pxe = json!({ "Boot": { "BootSourceOverrideTarget": "Pxe", "BootSourceOverrideEnabled": "Once" } });
    assert_eq!(rig.patch(SYSTEM, &pxe).0, 200);
    assert_eq!(rig.done(&mut client, 0x00, 0x09, &[5, 0, 0])[2..4], [0x80, 0x04]);
    assert_eq!(rig.post(RESET, &json!({ "ResetType": "ForceRestart" })).0, 204);
    assert_eq!(rig.bmc.orders(), [Order::Power(Control::Reset)], "the machine is not told");
    rig.bmc.happened(rig.now(), Happening::Reset { by_guest: false });
    assert_eq!(rig.get(SYSTEM)["Boot"]["BootSourceOverrideEnabled"], "Disabled", "as if it had been used");
    // What is for every start is heeded, and so is everything once the fault is over.
    let always =
        json!({ "Boot": { "BootSourceOverrideTarget": "Pxe", "BootSourceOverrideEnabled": "Continuous" } });
    assert_eq!(rig.patch(SYSTEM, &always).0, 200);
    assert_eq!(rig.bmc.orders(), [Order::Boot(Some(Override { is_persistent: true, ..PXE }))]);
    rig.patch(SYSTEM, &pxe);
    assert_eq!(rig.bmc.orders(), [Order::Boot(None)], "it boots as always");
    rig.bmc.overridden(rig.now(), None);
    assert_eq!(rig.bmc.boot_override(), Some(PXE), "the machine has no override, and the BMC claims one");
    rig.fail(&[]);
    rig.patch(SYSTEM, &pxe);
    assert_eq!(rig.bmc.orders(), [Order::Boot(Some(PXE))], "one that was lost can be set again");
}

#[test]
fn power_commands_have_their_effect_later() {
    let mut rig = Rig::own();
    rig.fail(&[Fault::SlowPower(Duration::from_secs(20))]);
    let mut client = rig.log_in();
    rig.done(&mut client, 0x00, 0x02, &[0]);
    assert_eq!(rig.wait(19), []);
    assert_eq!(rig.get(SYSTEM)["PowerState"], "On");
    assert_eq!(rig.post(RESET, &json!({ "ResetType": "On" })).0, 204);
    assert_eq!(rig.bmc.tick(rig.now()), Some(Duration::from_secs(30)), "it wants to be asked in a second");
    assert_eq!(rig.wait(1), [Order::Power(Control::Off)]);
    assert_eq!(rig.done(&mut client, 0x00, 0x01, &[])[0] & 1, 0);
    let refused = rig.ask(&mut client, 0x00, 0x02, &[3]).map(|answer| answer.completion);
    assert_eq!(refused, Some(Completion::WrongState), "what is refused is refused at once");
    assert_eq!(rig.post(RESET, &json!({ "ResetType": "On" })).0, 204);
    rig.fail(&[]);
    assert_eq!(rig.wait(20), [Order::Power(Control::On)], "what was taken before is still slow");
    rig.done(&mut client, 0x00, 0x02, &[0]);
    assert_eq!(rig.bmc.orders(), [Order::Power(Control::Off)]);
}

#[test]
fn no_power_command_overtakes_one_that_waits() {
    let mut rig = Rig::own();
    rig.fail(&[Fault::SlowPower(Duration::from_secs(20))]);
    assert_eq!(rig.post(RESET, &json!({ "ResetType": "ForceOff" })).0, 204);
    rig.fail(&[]);
    assert_eq!(rig.post(RESET, &json!({ "ResetType": "On" })).0, 204);
    assert_eq!(rig.wait(19), []);
    assert_eq!(rig.wait(1), [Order::Power(Control::Off), Order::Power(Control::On)]);
}

#[test]
fn boot_flags_wait_for_a_slow_command() {
    let mut rig = Rig::own();
    rig.fail(&[Fault::SlowPower(Duration::from_secs(90))]);
    let mut client = rig.log_in();
    rig.done(&mut client, 0x00, 0x08, &[5, 0x80, 0x04, 0, 0, 0]);
    rig.bmc.orders();
    rig.done(&mut client, 0x00, 0x02, &[2]);
    assert_eq!(rig.wait(90), [Order::Power(Control::Cycle)], "the flags are still there");
}

#[test]
fn a_graceful_restart_waits_too() {
    let mut rig = Rig::own();
    rig.fail(&[Fault::SlowPower(Duration::from_secs(20))]);
    assert_eq!(rig.post(RESET, &json!({ "ResetType": "GracefulRestart" })).0, 204);
    assert_eq!(rig.wait(19), []);
    assert_eq!(rig.wait(1), [Order::Power(Control::Soft)]);
    rig.bmc.happened(rig.now(), Happening::PoweredOff { by_guest: true });
    assert_eq!(rig.bmc.orders(), [Order::Power(Control::On)]);
}

#[test]
fn sessions_are_dropped() {
    let mut rig = Rig::own();
    rig.fail(&[Fault::DropsSessions(3)]);
    // The first command of the client sets its privilege.
    let mut client = rig.log_in();
    assert!(rig.ask(&mut client, 0x06, 0x01, &[]).is_some());
    assert!(rig.ask(&mut client, 0x06, 0x01, &[]).is_some());
    assert_eq!(rig.ask(&mut client, 0x06, 0x01, &[]), None, "the session is gone");
    let login = json!({ "UserName": "admin", "Password": PASSWORD });
    let token = rig.reply(Method::POST, SESSIONS, &[], &login).headers["x-auth-token"].clone();
    let head = [("x-auth-token", token.to_str().unwrap())];
    assert_eq!(rig.reply(Method::GET, SYSTEM, &head, &Value::Null).status, 200);
    assert_eq!(rig.reply(Method::GET, SYSTEM, &head, &Value::Null).status, 401);
    rig.fail(&[]);
    let mut client = rig.log_in();
    for _ in 0..10 {
        assert!(rig.ask(&mut client, 0x06, 0x01, &[]).is_some());
    }
}

#[test]
fn a_busy_service_says_when_to_come_again() {
    let mut rig = Rig::own();
    rig.fail(&[Fault::Busy(Duration::from_secs(15))]);
    let reply = rig.reply(Method::GET, SYSTEM, &[], &Value::Null);
    assert_eq!((reply.status.as_u16(), &reply.headers["retry-after"]), (503, &"15".parse().unwrap()));
    rig.log_in();
    rig.fail(&[]);
    rig.get(SYSTEM);
}

#[test]
fn the_shell_learns_of_certificates_and_ports() {
    let mut rig = Rig::own();
    assert!(rig.bmc.has_tls() && !rig.bmc.has_wrong_certificate_name() && !rig.bmc.serves_plain());
    rig.fail(&[Fault::WrongCertificateName]);
    assert!(rig.bmc.has_tls() && rig.bmc.has_wrong_certificate_name());
    rig.fail(&[Fault::HttpOnly]);
    assert!(!rig.bmc.has_tls() && !rig.bmc.has_wrong_certificate_name() && rig.bmc.serves_plain());
    rig.fail(&[]);
    assert!(rig.bmc.has_tls());
}

#[test]
fn http_without_tls_is_served() {
    let mut rig = Rig::own();
    let authorization = basic("admin", PASSWORD);
    let plain = |rig: &mut Rig| {
        let head = [("authorization", authorization.as_str())];
        let get = request(Method::GET, "/redfish/v1/Managers/1/NetworkProtocol", &head, "");
        let now = rig.now();
        match redfish::answer(
            &mut rig.bmc,
            now,
            &mut counted(),
            &Request { transport: Transport::Plain, ..get },
        ) {
            redfish::Answer::Done(reply) => reply,
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(plain(&mut rig).status, 308);
    rig.fail(&[Fault::HttpOnly]);
    let reply = plain(&mut rig);
    let shown: Value = serde_json::from_slice(&reply.body).unwrap();
    let enabled = |name: &str| shown[name]["ProtocolEnabled"].clone();
    assert_eq!((reply.status.as_u16(), enabled("HTTP"), enabled("HTTPS")), (200, json!(true), json!(false)));
    rig.fail(&[]);
    assert_eq!(plain(&mut rig).status, 308);
}

#[test]
fn serial_over_lan_ends_and_comes_back() {
    let mut rig = Rig::own();
    let mut client = rig.log_in();
    client.activate_sol(WhenTaken::Refuse);
    assert_eq!(rig.go_on(&mut client), [Event::SolStarted]);
    rig.fail(&[Fault::NoSol]);
    assert_eq!(rig.exchange(&mut client, Progress::default()), [Event::SolEnded]);
    client.activate_sol(WhenTaken::Refuse);
    assert_eq!(rig.go_on(&mut client), [Event::SolRefused(Completion::Other(0x81))]);
    let answer = rig.ask(&mut client, 0x0C, 0x22, &[1, 1, 0, 0]).map(|answer| answer.completion);
    assert_eq!(answer, Some(Completion::InvalidCommand));
    assert_eq!(rig.done(&mut client, 0x06, 0x4E, &[0x0E])[0] & 0x02, 0, "no such payload");
    assert_eq!(rig.get(SYSTEM)["SerialConsole"]["IPMI"]["ServiceEnabled"], false);
    assert_eq!(rig.get("/redfish/v1/Managers/1")["SerialConsole"]["ConnectTypesSupported"], json!([]));
    rig.fail(&[]);
    client.activate_sol(WhenTaken::Refuse);
    assert_eq!(rig.go_on(&mut client), [Event::SolStarted]);
}

#[test]
fn suite_3_is_the_only_one() {
    let mut rig = Rig::own();
    rig.fail(&[Fault::OnlySuite3]);
    let strict = client::Settings { suites: vec![Cipher::Sha256], ..admin() };
    let (_, events) = rig.log_in_as(strict.clone());
    assert_eq!(events, [Event::Failed(Error::NoSuite { tried: vec![17] })]);
    let (mut client, events) = rig.log_in_as(admin());
    assert!(matches!(events[..], [Event::Connected { cipher: Cipher::Sha1, .. }]), "{events:?}");
    assert_eq!(rig.done(&mut client, 0x0C, 0x02, &[1, 23, 0, 0]), [0x11, 0, 3]);
    let suites = rig.done(&mut client, 0x06, 0x54, &[0x0E, 0, 0x80]);
    assert_eq!(suites, [&[1][..], &Cipher::Sha1.suite().record()].concat());
    rig.fail(&[]);
    assert!(matches!(rig.log_in_as(strict).1[..], [Event::Connected { .. }]));
    assert_eq!(rig.done(&mut client, 0x0C, 0x02, &[1, 22, 0, 0]), [0x11, 2]);
}

/// The privilege that Open Session grants to a client that asks for the highest.
fn granted(rig: &mut Rig) -> Option<Privilege> {
    let open = OpenRequest::new(1, None, 7, Cipher::Sha1.suite()).encode();
    let packet = packet::plain(PayloadType::OpenRequest, &open);
    let (now, from) = (rig.now(), SocketAddr::from(([10, 0, 3, 2], 40_000)));
    let outs = rig.server.receive(now.up, from, &packet, &mut OverLan::new(&mut rig.bmc, now), &mut fill);
    let Some(Datagram::Ipmi(body)) = Datagram::parse(&outs[0].bytes) else { panic!("not IPMI") };
    let Some(Packet::Plus(plus)) = Packet::parse(body) else { panic!("not RMCP+") };
    let Some(Opened::Accepted(opened)) = OpenResponse::parse(plus.payload) else { panic!("refused") };
    rig.up += Duration::from_secs(11);
    opened.privilege
}

#[test]
fn privilege_0_is_echoed() {
    let mut rig = Rig::own();
    assert_eq!(granted(&mut rig), Some(Privilege::Administrator));
    rig.fail(&[Fault::EchoesPrivilege]);
    assert_eq!(granted(&mut rig), None);
    rig.fail(&[]);
    assert_eq!(granted(&mut rig), Some(Privilege::Administrator));
}

#[test]
fn a_user_is_forgotten_and_remembered() {
    let mut rig = Rig::own();
    let mut admin_client = rig.log_in();
    let name = |name: &[u8]| [&[3][..], name, &vec![0; 16 - name.len()]].concat();
    rig.done(&mut admin_client, 0x06, 0x45, &name(b"ops"));
    rig.done(&mut admin_client, 0x06, 0x47, &[&[3, 2][..], b"secret", &[0; 10]].concat());
    rig.done(&mut admin_client, 0x06, 0x47, &[3, 1]);
    rig.done(&mut admin_client, 0x06, 0x43, &[0x91, 3, 4, 0]);
    let ops = || client::Settings::new("ops", "secret", Privilege::Operator);
    let (mut client, events) = rig.log_in_as(ops());
    assert!(matches!(events[..], [Event::Connected { .. }]), "{events:?}");
    let login = json!({ "UserName": "ops", "Password": "secret" });
    let token = rig.reply(Method::POST, SESSIONS, &[], &login).headers["x-auth-token"].clone();
    let head = [("x-auth-token", token.to_str().unwrap())];

    rig.fail(&[Fault::ForgetsUser("ops".to_owned())]);
    assert_eq!(rig.ask(&mut client, 0x06, 0x01, &[]), None, "its session is gone");
    assert_eq!(rig.log_in_as(ops()).1, [Event::Failed(Error::UnknownUser)]);
    assert_eq!(rig.reply(Method::GET, SYSTEM, &head, &Value::Null).status, 401);
    assert_eq!(rig.post(SESSIONS, &login).0, 401);
    assert!(rig.ask(&mut admin_client, 0x06, 0x01, &[]).is_some(), "others stay");
    // The fault is told again when another one begins: who was created meanwhile stays.
    rig.fail(&[Fault::ForgetsUser("ops".to_owned()), Fault::NoSol]);
    rig.fail(&[]);
    assert!(matches!(rig.log_in_as(ops()).1[..], [Event::Connected { .. }]), "it is back");
    assert_eq!(rig.reply(Method::GET, SYSTEM, &head, &Value::Null).status, 401, "and its session is not");
}

#[test]
fn who_was_created_again_stays() {
    let mut rig = Rig::own();
    let accounts = "/redfish/v1/AccountService/Accounts";
    let create = |password: &str| json!({ "UserName": "ops", "Password": password, "RoleId": "Operator" });
    assert_eq!(rig.post(accounts, &create("Erste-Ops-1")).0, 201);
    let fault = Fault::ForgetsUser("ops".to_owned());
    rig.fail(std::slice::from_ref(&fault));
    assert_eq!(rig.post(accounts, &create("Andere-Ops-2")).0, 201);
    rig.fail(&[fault, Fault::NoSol]);
    for faults in [&[Fault::NoSol][..], &[]] {
        rig.fail(faults);
        assert_eq!(rig.post(SESSIONS, &json!({ "UserName": "ops", "Password": "Andere-Ops-2" })).0, 201);
    }
}

#[test]
fn the_clock_began_in_1970() {
    let mut rig = Rig::own();
    rig.fail(&[Fault::Clock1970]);
    let mut client = rig.log_in();
    assert_eq!(rig.done(&mut client, 0x0A, 0x48, &[]), [10, 0, 0, 0]);
    rig.done(&mut client, 0x00, 0x02, &[0]);
    let entry = rig.bmc.log.entries().next_back().copied();
    assert_eq!(entry.map(|entry| entry.at), Some(10));
    rig.bmc.control(rig.now(), Control::On, RestartCause::Button).unwrap();
    rig.up += Duration::from_secs(1);
    rig.bmc.control(rig.now(), Control::Off, RestartCause::Button).unwrap();
    let entry = rig.bmc.log.entries().next_back().copied();
    assert_eq!(entry.map(|entry| entry.at), Some(11), "a command of Dryrack");
    let manager = rig.get("/redfish/v1/Managers/1");
    assert_eq!(manager["DateTime"], "1970-01-01T00:00:11Z");
    rig.fail(&[]);
    assert_eq!(rig.done(&mut client, 0x0A, 0x48, &[]), 1_700_000_000_u32.to_le_bytes());
}
