//! Boots of a machine that nobody powers on under our eyes.

use super::*;
use crate::event::examples::event;
use crate::event::{Event, Source};
use crate::observe::Snapshot;

/// What a machine does in its boot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Does {
    /// Its firmware asks for an address and fetches iPXE.
    Firmware,
    /// iPXE asks for an address and fetches its script.
    Ipxe,
    /// It fetches a kernel.
    Kernel,
    /// The client of its system asks for an address.
    System,
}

fn lease(script: &mut Script, xid: u8, options: &[u8]) {
    let server = [10, 0, 0, 9];
    for (request, reply) in [(1, 2), (3, 5)] {
        let asked = dhcp::message(1, request, xid, if request == 3 { server } else { [0; 4] }, 0, options);
        script.datagram("0.0.0.0:68", "255.255.255.255:67", &asked);
        let replied = dhcp::message(2, reply, xid, server, 30, b"\x43\x05a.efi");
        script.datagram("10.0.0.9:67", "255.255.255.255:68", &replied);
    }
}

fn fetch(script: &mut Script, port: u16, path: &str, body: &[u8]) {
    let mut connection = Connection::open(script, port, 80);
    connection.client(format!("GET {path} HTTP/1.1\r\n\r\n").as_bytes());
    connection.server(format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", body.len()).as_bytes());
    connection.server(body).close();
}

/// Boots one after the other, a minute apart.
fn boots(each: &[&[Does]]) -> Vec<Seen> {
    let mut script = Script::default();
    let mut number = 0;
    for boot in each {
        for does in *boot {
            number += 1;
            let port = 2000 + u16::from(number);
            match does {
                Does::Firmware => {
                    lease(&mut script, number, b"\x3c\x14PXEClient:Arch:00007");
                    script.udp(port, 69, b"\0\x01ipxe.efi\0octet\0");
                    script.udp(51_000, port, &block(1, 500)).udp(port, 51_000, &ack(1));
                }
                Does::Ipxe => {
                    lease(&mut script, number, b"\x3c\x14PXEClient:Arch:00007\x4d\x04iPXE");
                    fetch(&mut script, port, "/boot.ipxe", b"#!ipxe\nboot");
                }
                Does::Kernel => fetch(&mut script, port, "/vmlinuz", &[b'x'; 1000]),
                Does::System => lease(&mut script, number, b"\x3c\x05udhcp"),
            }
        }
        script.wait(60_000);
    }
    read(foreign(), Link::Ethernet, &script.frames)
}

#[test]
fn a_second_boot_begins_anew() {
    let boot: &[Does] = &[Does::Firmware, Does::Ipxe, Does::Kernel, Does::System];
    let mut snapshot = Snapshot::new([]);
    let mut stages = Vec::new();
    for Seen { at, node, exchange, known, .. } in boots(&[boot, boot]) {
        let ms = at.elapsed().as_millis() as u64;
        let event = event(ms, node.as_ref().map(NodeName::as_str), known);
        let concluded = snapshot.apply(&Event { source: Source::Wire, exchange, at, ..event });
        stages.extend(concluded.stage.map(|stage| format!("{}s {stage}", ms / 1000)));
    }
    assert_eq!(
        stages.join(", "),
        "0s firmware, 0s dhcp, 0s nbp, 0s loader, 0s kernel, 0s os, \
         60s firmware, 60s dhcp, 60s nbp, 60s loader, 60s kernel, 60s os"
    );
    let view = &snapshot.nodes[&NodeName::new(&NODE.hyphenated()).unwrap()];
    assert_eq!(view.boots, 2);
    let from: Vec<_> = view.booted.iter().map(|boot| boot.by.as_str()).collect();
    assert_eq!(from, ["`/vmlinuz` by HTTP from 10.0.0.9"; 2]);
}

#[test]
fn a_boot_begins_where_an_earlier_program_asks_again() {
    use Does::{Firmware, Ipxe, Kernel, System};
    let begun =
        |each: &[&[Does]]| boots(each).iter().filter(|seen| matches!(seen.known, Known::BootSeen {})).count();
    // The firmware came no further than to iPXE, or not even there.
    assert_eq!(begun(&[&[Firmware, Ipxe], &[Firmware, Ipxe]]), 2);
    assert_eq!(begun(&[&[Firmware], &[Firmware]]), 1, "it may only repeat itself");
    // iPXE is in the ROM: after a kernel, it is another boot.
    assert_eq!(begun(&[&[Ipxe, Kernel], &[Ipxe]]), 2);
    assert_eq!(begun(&[&[Ipxe], &[Ipxe, Kernel]]), 1);
    // What a system asks begins no boot.
    assert_eq!(begun(&[&[System], &[System]]), 0);
    assert_eq!(begun(&[&[Firmware, System], &[System], &[Firmware]]), 2);
}
