//! Requests and what becomes of them, on one machine with UEFI.

mod access;
mod arbitrary;
mod boot;
mod events;
mod media;
mod personality;
mod shared;
mod walk;
mod writes;

use std::collections::BTreeSet;
use std::time::Duration;

use base64::Engine;
use http::{HeaderMap, HeaderName, HeaderValue, Method};
use serde_json::{Value, json};

use super::{Answer, Reply, Request, Transport};
use crate::bmc::boot::BootDevice;
use crate::bmc::identity::{Identity, Lan};
use crate::bmc::inventory::{
    Architecture, BootOption, Disk, DiskBus, FirmwareKind, Inventory, Link, MemoryModule, Nic, Processor,
    SecureBootStart,
};
use crate::bmc::power::{Control, RestartCause};
use crate::bmc::users::Users;
use crate::bmc::{Bmc, Now, Order};
use crate::name::Mac;

const SYSTEM: &str = "/redfish/v1/Systems/1";
pub(in crate::bmc) const PASSWORD: &str = "Geheim-77";

pub(in crate::bmc) fn at(seconds: u32) -> Now {
    Now { up: Duration::from_secs(seconds.into()), unix: 1_700_000_000 + seconds }
}

fn inventory(firmware: FirmwareKind) -> Inventory {
    Inventory {
        firmware,
        firmware_version: "1.0".to_owned(),
        secure_boot: (firmware == FirmwareKind::Uefi).then_some(SecureBootStart::Enabled),
        has_tpm: true,
        architecture: Architecture::X86,
        processors: vec![Processor { model: "CPU".to_owned(), cores: 2, threads: 4 }],
        memory: vec![MemoryModule { mebibytes: 1536 }],
        disks: vec![Disk {
            name: "root".to_owned(),
            model: "disk".to_owned(),
            serial: "s1".to_owned(),
            bytes: 8 << 30,
            bus: DiskBus::Virtio,
        }],
        nics: vec![Nic {
            name: "eth0".to_owned(),
            mac: Mac([0x52, 0x54, 0, 1, 2, 3]),
            mbps: 1000,
            link: Link::Up,
        }],
        boot_options: vec![BootOption {
            number: 0x1A,
            name: "PXE".to_owned(),
            path: "Pci(0x0,0x0)".to_owned(),
            device: BootDevice::Pxe,
        }],
    }
}

pub(in crate::bmc) fn bmc_with(firmware: FirmwareKind) -> Bmc {
    let mut devices = BTreeSet::from([
        BootDevice::Pxe,
        BootDevice::Disk,
        BootDevice::Cd,
        BootDevice::Usb,
        BootDevice::Setup,
    ]);
    if firmware == FirmwareKind::Uefi {
        devices.insert(BootDevice::Http);
    }
    let identity = Identity {
        node: "a".to_owned(),
        manufacturer: "Dryrack".to_owned(),
        product: "Virtual machine".to_owned(),
        serial: "DR0001".to_owned(),
        asset_tag: "tag".to_owned(),
        uuid: [7; 16],
        version: (2, 21),
        lan: Lan {
            mac: Mac([0x52, 0x54, 0, 1, 2, 4]),
            address: [10, 0, 3, 11].into(),
            mask: [255, 255, 255, 0].into(),
            gateway: [0, 0, 0, 0].into(),
        },
        has_fans: true,
        inventory: inventory(firmware),
        devices,
    };
    let mut bmc = Bmc::new(identity, Users::new("admin", PASSWORD.as_bytes()));
    bmc.control(at(0), Control::On, RestartCause::Button).unwrap();
    bmc.orders();
    bmc
}

fn bmc() -> Bmc {
    bmc_with(FirmwareKind::Uefi)
}

pub(in crate::bmc) fn request(method: Method, target: &str, headers: &[(&str, &str)], body: &str) -> Request {
    let mut map = HeaderMap::new();
    for (name, value) in headers {
        let name: HeaderName = name.parse().unwrap();
        map.append(name, HeaderValue::from_str(value).unwrap());
    }
    Request {
        method,
        target: target.to_owned(),
        headers: map,
        body: body.as_bytes().to_vec(),
        transport: Transport::Tls,
        from: None,
    }
}

pub(in crate::bmc) fn basic(user: &str, password: &str) -> String {
    format!("Basic {}", base64::engine::general_purpose::STANDARD.encode(format!("{user}:{password}")))
}

pub(in crate::bmc) fn counted() -> impl FnMut(&mut [u8]) {
    let mut count = 0;
    move |bytes: &mut [u8]| {
        for byte in bytes {
            count += 1;
            *byte = count;
        }
    }
}

fn answer(bmc: &mut Bmc, request: &Request) -> Answer {
    super::answer(bmc, at(10), &mut counted(), request)
}

#[track_caller]
fn done(answer: Answer) -> Reply {
    match answer {
        Answer::Done(reply) => reply,
        other => panic!("not done: {other:?}"),
    }
}

/// Asks as the administrator.
#[track_caller]
fn ask(bmc: &mut Bmc, method: Method, target: &str, body: &Value) -> (u16, Value) {
    ask_as(bmc, ("admin", PASSWORD), method, target, body)
}

#[track_caller]
fn ask_as(bmc: &mut Bmc, who: (&str, &str), method: Method, target: &str, body: &Value) -> (u16, Value) {
    let text = if body.is_null() { String::new() } else { body.to_string() };
    let request = request(method, target, &[("authorization", &basic(who.0, who.1))], &text);
    let reply = done(answer(bmc, &request));
    (reply.status.as_u16(), serde_json::from_slice(&reply.body).unwrap_or_default())
}

#[track_caller]
fn get(bmc: &mut Bmc, target: &str) -> Value {
    let (status, body) = ask(bmc, Method::GET, target, &Value::Null);
    assert_eq!(status, 200, "{target}: {body}");
    body
}

#[track_caller]
fn patch(bmc: &mut Bmc, target: &str, body: &Value) -> (u16, Value) {
    ask(bmc, Method::PATCH, target, body)
}

#[track_caller]
fn post(bmc: &mut Bmc, target: &str, body: &Value) -> (u16, Value) {
    ask(bmc, Method::POST, target, body)
}

/// Resets the system.
#[track_caller]
fn reset(bmc: &mut Bmc, kind: &str) -> u16 {
    post(bmc, &format!("{SYSTEM}/Actions/ComputerSystem.Reset"), &json!({ "ResetType": kind })).0
}

/// The identifiers of the messages of an answer.
fn messages(body: &Value) -> Vec<String> {
    let info = body.pointer("/error/@Message.ExtendedInfo").or(body.get("@Message.ExtendedInfo"));
    let ids = info.and_then(Value::as_array).into_iter().flatten();
    ids.map(|message| message["MessageId"].as_str().unwrap_or_default().replace("Base.1.21.", "")).collect()
}

fn orders(bmc: &mut Bmc) -> Vec<Order> {
    bmc.orders()
}
