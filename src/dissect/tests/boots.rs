//! Boots of a machine that nobody powers on under our eyes.

use super::*;
use crate::event::examples::event;
use crate::event::{Event, Source};
use crate::observe::Snapshot;

/// Adds a boot from the network: firmware, loader, iPXE and kernel, then the client of the system.
fn boot(script: &mut Script, number: u8) {
    let ports = 2000 + u16::from(number) * 10;
    let lease = |script: &mut Script, xid: u8, options: &[u8]| {
        for (request, reply) in [(1, 2), (3, 5)] {
            let mut asked = dhcp(1, request, xid, false);
            // Without the class of a firmware.
            asked.truncate(243);
            asked.extend(options);
            asked.push(255);
            script.datagram("0.0.0.0:68", "255.255.255.255:67", &asked);
            script.datagram("10.0.0.9:67", "255.255.255.255:68", &dhcp(2, reply, xid, false));
        }
    };
    lease(script, number * 10, b"\x3c\x14PXEClient:Arch:00007");
    script.udp(ports, 69, b"\0\x01ipxe.efi\0octet\0").udp(51_000, ports, &block(1, 500)).udp(
        ports,
        51_000,
        &ack(1),
    );
    lease(script, number * 10 + 1, b"\x3c\x14PXEClient:Arch:00007\x4d\x04iPXE");
    let body = [b'x'; 2000];
    for (path, body) in [("boot.ipxe", &b"#!ipxe\nboot"[..]), ("vmlinuz", &body)] {
        let mut connection = Connection::open(script, ports + body.len() as u16, 80);
        connection.client(format!("GET /{path} HTTP/1.1\r\n\r\n").as_bytes());
        connection.server(format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", body.len()).as_bytes());
        connection.server(body).close();
    }
    lease(script, number * 10 + 2, b"\x3c\x05udhcp");
    script.wait(60_000);
}

#[test]
fn a_second_boot_begins_anew() {
    let mut script = Script::default();
    boot(&mut script, 1);
    boot(&mut script, 2);
    let seen = read(foreign(), Link::Ethernet, &script.frames);
    let node = NodeName::new(&NODE.hyphenated()).unwrap();
    let mut snapshot = Snapshot::new([]);
    let mut stages = Vec::new();
    for Seen { at, node, exchange, known } in seen {
        let ms = at.elapsed().as_millis() as u64;
        let event = event(ms, node.as_ref().map(NodeName::as_str), known);
        let concluded = snapshot.apply(&Event { source: Source::Wire, exchange, at, ..event });
        stages.extend(concluded.stage.map(|stage| format!("{}s {stage}", ms / 1000)));
    }
    assert_snapshot!(stages.join(", "), @"0s firmware, 0s dhcp, 0s nbp, 0s loader, 0s kernel, 0s os, 60s firmware, 60s dhcp, 60s nbp, 60s loader, 60s kernel, 60s os");
    let view = &snapshot.nodes[&node];
    assert_eq!(view.boots, 2);
    let from: Vec<_> = view.booted.iter().map(|boot| boot.by.as_str()).collect();
    assert_eq!(from, ["`/vmlinuz` by HTTP from 10.0.0.9"; 2]);
}
