//! Fuzzes a BMC with arbitrary datagrams and commands.

use std::net::SocketAddr;
use std::time::Duration;

use super::boot::BootDevice;
use super::command::{Asker, Channel};
use super::identity::{Identity, Lan};
use super::in_band::{self, InBand};
use super::inventory::Inventory;
use super::ipmi::client::{self, Client};
use super::ipmi::privilege::Privilege;
use super::ipmi::server::{Server, Settings};
use super::lan::OverLan;
use super::users::Users;
use super::{Bmc, Now};
use crate::name::Mac;

/// The longest answer that fits in a session of any client.
const LONGEST: usize = 255;

/// Returns a BMC whose machine was never on.
pub(crate) fn bmc() -> Bmc {
    let identity = Identity {
        node: "a".to_owned(),
        manufacturer: "Dryrack".to_owned(),
        product: "lab".to_owned(),
        serial: "S1".to_owned(),
        asset_tag: "A".to_owned(),
        uuid: [7; 16],
        version: (0, 1),
        lan: Lan {
            mac: Mac([0x52, 0x54, 0, 0, 0, 1]),
            address: [10, 0, 3, 11].into(),
            mask: [255, 255, 255, 0].into(),
            gateway: [10, 0, 3, 1].into(),
        },
        has_fans: true,
        inventory: Inventory::default(),
        devices: [BootDevice::Pxe, BootDevice::Disk].into(),
    };
    Bmc::new(identity, Users::new("admin", b"secret"))
}

/// Splits an input into pieces, each with its length before it.
fn pieces(mut data: &[u8]) -> impl Iterator<Item = &[u8]> {
    std::iter::from_fn(move || {
        let (length, rest) = data.split_first()?;
        let (piece, rest) = rest.split_at(usize::from(*length).min(rest.len()));
        data = rest;
        Some(piece)
    })
}

/// Gives datagrams to a BMC and to a client. Nobody who has not logged in gets more than was sent.
pub(crate) fn datagrams(data: &[u8]) {
    let (mut bmc, mut server) = (bmc(), Server::new(Settings::default()));
    let mut client = Client::new(client::Settings::new("admin", "secret", Privilege::Administrator));
    let mut random = |bytes: &mut [u8]| bytes.fill(1);
    client.start(Duration::ZERO, &mut random);
    let from = SocketAddr::from(([10, 0, 3, 1], 40_000));
    for (second, piece) in (0..).zip(pieces(data)) {
        let now = Now { up: Duration::from_secs(second), unix: 0 };
        let mut view = OverLan::new(&mut bmc, now);
        let outs = server.receive(now.up, from, piece, &mut view, &mut random);
        let sent: usize = outs.iter().map(|out| out.bytes.len()).sum();
        assert!(sent <= piece.len() + 128, "{sent} bytes for {}", piece.len());
        server.tick(now.up, &mut view, &mut random);
        client.receive(now.up, piece, &mut random);
        client.tick(now.up, &mut random);
        bmc.tick(now);
    }
    assert!(!bmc.power().is_on(), "nobody logged in");
}

/// Gives commands to a BMC: level, function, command, data.
pub(crate) fn commands(data: &[u8]) {
    let mut bmc = bmc();
    for (second, piece) in (0..).zip(pieces(data)) {
        let [level, function, command, data @ ..] = piece else { continue };
        let now = Now { up: Duration::from_secs(second), unix: 0 };
        let level = Privilege::parse(level % 6).unwrap_or(Privilege::User);
        let asker = Asker { channel: Channel::Lan, level };
        if let Ok(answer) = bmc.answer(now, asker, function & 0x3E, *command, data) {
            assert!(answer.len() <= LONGEST, "{} bytes", answer.len());
        }
        bmc.tick(now);
        bmc.orders();
    }
}

/// Gives bytes to a BMC as from the system of its machine.
pub(crate) fn in_band(data: &[u8]) {
    let (mut bmc, server) = (bmc(), Server::new(Settings::default()));
    let mut in_band = InBand::default();
    for (second, piece) in (0..).zip(pieces(data)) {
        let now = Now { up: Duration::from_secs(second), unix: 0 };
        in_band::fuzz(&server, &mut bmc, &mut in_band, now, piece);
        bmc.tick(now);
        bmc.orders();
    }
}
