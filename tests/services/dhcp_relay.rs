//! DHCP over relays: ours and that of ISC, to our server and to somebody else's.

use std::time::Duration;

use dryrack::event::{DhcpMessage, Known};
use dryrack::name::Mac;

use super::dhcp::{DNSMASQ, Lease, Running};
use super::dhcp_clients::perfdhcp;
use super::firmware::{Boots, Firmware};
use crate::rack::{Client, Rack, alone};
use crate::{STRANGER, kernel};

/// A server on one network, and clients on another.
const LAB: &str = r#"
[network.servers]
address = "10.0.0.1/24"
dhcp.server.pool = ["10.0.0.30", "10.0.0.32"]

[network.other]
address = "10.2.0.1/24"
dhcp.server.pool = ["10.2.0.30", "10.2.0.32"]

[network.rack]
address = "10.1.0.1/24"
mtu = 1400
options.time-offset = 3600

[network.rack.dhcp.relay]
to = "servers"
server = { pool = ["10.1.0.100", "10.1.0.250"], lease-time = "10s" }

[profile.install]
kernel = "kernel"

[node.one]
firmware = "uefi"
profile = "install"
nic.rack = { mac = "52:54:00:00:00:01", address = "10.1.0.11", rom = false }

[node.two]
nic.servers = { mac = "52:54:00:00:00:02" }
nic.other = {}
profile = "install"
"#;

/// The address of a relay of somebody else.
const RELAY: Mac = Mac([2, 0, 0, 0, 0, 7]);

fn is_ack(known: &Known, network: &str) -> bool {
    matches!(known, Known::DhcpReplied { network: of, reply, .. }
        if of.as_str() == network && *reply == DhcpMessage::Ack)
}

fn assert_told(lease: &Lease, server: &str) {
    for (name, value) in [
        ("ip", "10.1.0.11"),
        ("mask", "24"),
        ("broadcast", "10.1.0.255"),
        ("router", "10.1.0.1"),
        ("dns", "10.1.0.1"),
        ("ntpsrv", "10.1.0.1"),
        ("timezone", "3600"),
        ("mtu", "1400"),
        ("hostname", "one"),
        ("serverid", server),
        ("lease", "10"),
    ] {
        assert_eq!(lease.get(name), value, "{name}");
    }
}

const ASK: [&str; 6] = ["-O", "mtu", "-O", "ntpsrv", "-O", "timezone"];

#[test]
fn our_relay_carries_requests_to_our_server() {
    alone(async || {
        let rack = Rack::of(LAB, kernel).await;
        let one = rack.client_on("rack", rack.mac("one"));
        let lease = Lease::ask(&rack, &one, &ASK).expect("a lease");
        assert_told(&lease, "10.0.0.1");
        assert!(rack.log.has(|known| is_ack(known, "rack")), "{}", rack.log.text());
        let leases = |network: &str| rack.folder.path().join("network").join(network).join("leases.jsonl");
        assert!(std::fs::read_to_string(leases("rack")).unwrap().contains("10.1.0.11"));
        assert!(!std::fs::read_to_string(leases("servers")).unwrap().contains("10.1.0.11"));
        // The boot files are on the network of the client.
        let (server, own) = ([10, 1, 0, 1].into(), [10, 1, 0, 11].into());
        let boots = |firmware: Firmware| firmware.boots(&one, rack.mac("one"), own);
        assert_eq!(boots(Firmware::Uefi), Some(Boots::Tftp { server, file: "ipxe/snponly.efi".to_owned() }));
        assert_eq!(boots(Firmware::Http), Some(Boots::Url("http://10.1.0.1/ipxe/snponly.efi".to_owned())));
        assert_eq!(boots(Firmware::Ipxe), Some(Boots::Url("http://10.1.0.1/boot/one.ipxe".to_owned())));
        // An unknown client gets an address of the pool of its network, also on the network of the server.
        let stranger = Lease::ask(&rack, &rack.client_on("rack", STRANGER), &[]).expect("a lease");
        assert_eq!(stranger.get("ip"), "10.1.0.100");
        let stranger = Lease::ask(&rack, &rack.client_on("servers", STRANGER), &[]).expect("a lease");
        assert_eq!((stranger.get("ip"), stranger.get("router")), ("10.0.0.30", "-"));
        // A network that has nothing to do with relays.
        let stranger = Lease::ask(&rack, &rack.client_on("other", STRANGER), &[]).expect("a lease");
        assert_eq!((stranger.get("ip"), stranger.get("serverid")), ("10.2.0.30", "10.2.0.1"));
        // An address of another network is refused.
        let lease = Lease::ask(&rack, &one, &["-r", "10.0.0.31"]).expect("a lease");
        assert_eq!(lease.get("ip"), "10.1.0.11");
    });
}

#[test]
fn a_client_behind_a_relay_renews_at_the_server_itself() {
    alone(async || {
        let rack = Rack::of(LAB, kernel).await;
        let one = rack.client_on("rack", rack.mac("one"));
        let lease = Lease::ask(&rack, &one, &ASK).expect("a lease");
        one.run("ip", &["route", "add", "default", "via", lease.get("router")]);
        // Its own request, from its own address: a relay has no part in it.
        let reply = |ciaddr: [u8; 4]| {
            let mut request = vec![0; 240];
            request[..8].copy_from_slice(&[1, 1, 6, 0, 7, 7, 7, 7]);
            request[12..16].copy_from_slice(&ciaddr);
            request[28..34].copy_from_slice(&rack.mac("one").0);
            request[236..].copy_from_slice(&[99, 130, 83, 99]);
            request.extend([53, 1, 3, 255]);
            one.within(|| {
                let socket = std::net::UdpSocket::bind("0.0.0.0:68").unwrap();
                socket.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
                socket.send_to(&request, "10.0.0.1:67").unwrap();
                let mut reply = [0; 1500];
                let (length, from) = socket.recv_from(&mut reply).expect("a reply");
                assert_eq!(from.to_string(), "10.0.0.1:67");
                let kind = reply[..length].windows(3).find(|option| option[..2] == [53, 1]).unwrap()[2];
                (kind, [reply[16], reply[17], reply[18], reply[19]], reply[24..28].to_vec())
            })
        };
        let acks = || rack.log.count(|known| is_ack(known, "rack"));
        let before = acks();
        // DHCPACK, without a relay.
        assert_eq!(reply([10, 1, 0, 11]), (5, [10, 1, 0, 11], vec![0; 4]));
        // DHCPNAK: another client's address, to which nobody may reply by broadcast from afar.
        one.run("ip", &["address", "add", "10.1.0.12/24", "dev", "eth0"]);
        assert_eq!(reply([10, 1, 0, 12]).0, 6);
        assert!(acks() > before, "{}", rack.log.text());
    });
}

#[test]
fn every_request_of_a_relay_is_answered() {
    alone(async || {
        let rack = Rack::of(LAB, kernel).await;
        // perfdhcp is a relay itself, on the network of its clients.
        let relay = rack.client_on("rack", RELAY).with_address("10.1.0.99/24");
        relay.run("ip", &["route", "add", "default", "via", "10.1.0.1"]);
        let (exchanges, drops) = perfdhcp(&relay, &["-4", "-r", "100", "-n", "200", "-R", "100", "10.0.0.1"]);
        assert!(exchanges >= 200 && drops == 0, "{exchanges} exchanges, {drops} drops");
        assert!(rack.log.count(|known| is_ack(known, "rack")) >= 200);
    });
}

#[test]
fn the_relay_of_isc_carries_requests_to_our_server() {
    alone(async || {
        let rack =
            Rack::of(&LAB.replace("to = \"servers\"", "to = \"servers\"\nagent = \"off\""), kernel).await;
        let relay = rack.client_on("rack", RELAY).with_address("10.1.0.2/24");
        let servers = rack.bridge("servers");
        relay.plug_also(&servers.interface, servers.mtu, Mac([2, 0, 0, 0, 0, 8]));
        relay.run("ip", &["address", "add", "10.0.0.2/24", "dev", "eth1"]);
        let one = rack.client_on("rack", rack.mac("one"));
        // Nobody relays yet.
        Lease::none(rack.folder.path(), &one);
        // With the circuit (option 82), which it wants back.
        let _dhcrelay =
            Running(relay.start("dhcrelay", &["-4", "-d", "-a", "-i", "eth0", "-i", "eth1", "10.0.0.1"]));
        let lease = Lease::ask(&rack, &one, &ASK).expect("a lease");
        assert_told(&lease, "10.0.0.1");
    });
}

/// Starts dnsmasq on a network as a machine of its own.
fn dnsmasq(rack: &Rack, ranges: &[&str]) -> (Client, Running) {
    let server = rack.client_on("servers", STRANGER).with_address("10.0.0.2/24");
    server.run("ip", &["route", "add", "default", "via", "10.0.0.1"]);
    let tells = ["--dhcp-circuitid=set:rack,rack", "--dhcp-option=tag:rack,224,here"];
    let running = Running(server.start("dnsmasq", &[&DNSMASQ, tells.as_slice(), ranges].concat()));
    (server, running)
}

#[test]
fn our_relay_carries_requests_to_somebody_elses_server() {
    alone(async || {
        let lab = LAB
            .replace("dhcp.server.pool = [\"10.0.0.30\", \"10.0.0.32\"]", "dhcp = \"off\"")
            .replace("server = { pool = [\"10.1.0.100\", \"10.1.0.250\"], lease-time = \"10s\" }", "");
        let rack = Rack::of(&lab, kernel).await;
        let ranges =
            ["--dhcp-range=10.0.0.50,10.0.0.59,1h", "--dhcp-range=10.1.0.50,10.1.0.59,255.255.255.0,1h"];
        let _dnsmasq = dnsmasq(&rack, &ranges);
        let one = rack.client_on("rack", rack.mac("one"));
        let lease = Lease::ask(&rack, &one, &["-O", "224"]).expect("a lease of dnsmasq");
        assert_eq!(lease.get("serverid"), "10.0.0.2");
        assert!(lease.get("ip").starts_with("10.1.0.5"), "{}", lease.get("ip"));
        assert_eq!(lease.get("opt224"), "68657265", "it was told the circuit");
        let ours = |known: &Known| matches!(known, Known::DhcpReplied { .. });
        assert_eq!(rack.log.count(ours), 0, "{}", rack.log.text());
    });
}

#[test]
fn our_relay_reaches_a_server_by_its_address() {
    alone(async || {
        let lab = LAB
            .replace("dhcp.server.pool = [\"10.0.0.30\", \"10.0.0.32\"]", "dhcp = \"off\"")
            .replace("to = \"servers\"", "to = \"10.0.0.2\"")
            .replace("server = { pool = [\"10.1.0.100\", \"10.1.0.250\"], lease-time = \"10s\" }", "");
        let rack = Rack::of(&lab, kernel).await;
        let _dnsmasq = dnsmasq(&rack, &["--dhcp-range=10.1.0.50,10.1.0.59,255.255.255.0,1h"]);
        let one = rack.client_on("rack", rack.mac("one"));
        let lease = Lease::ask(&rack, &one, &[]).expect("a lease of dnsmasq");
        assert_eq!(lease.get("serverid"), "10.0.0.2");
    });
}
