//! DHCP and DHCPv6 beside each other, through relays, and of several servers.

use super::*;

const NOBODY: &str = "0.0.0.0:68";
const ALL: &str = "255.255.255.255:67";

/// A message of DHCP between the node and a server, which offers 10.0.0.`address`, or no address if that is 0.
pub(super) fn message(op: u8, kind: u8, xid: u8, server: [u8; 4], address: u8, options: &[u8]) -> Vec<u8> {
    let mut packet = vec![0; 240];
    packet[..8].copy_from_slice(&[op, 1, 6, 0, 0, 0, 0, xid]);
    packet[28..34].copy_from_slice(&NODE.0);
    packet[236..].copy_from_slice(&[99, 130, 83, 99]);
    if address > 0 {
        packet[16..20].copy_from_slice(&[10, 0, 0, address]);
    }
    packet.extend([53, 1, kind]);
    if server != [0; 4] {
        packet.extend([54, 4]);
        packet.extend(server);
    }
    packet.extend(options);
    packet.push(255);
    packet
}

const FIRMWARE: &[u8] = b"\x3c\x14PXEClient:Arch:00007";

fn ask(kind: u8, xid: u8, server: [u8; 4]) -> Vec<u8> {
    message(1, kind, xid, server, 0, FIRMWARE)
}

#[test]
fn two_servers_answer_one_request() {
    let (one, other) = ([10, 0, 0, 9], [10, 0, 0, 8]);
    let mut script = Script::default();
    script.datagram(NOBODY, ALL, &ask(1, 1, [0; 4]));
    script.datagram("10.0.0.9:67", "255.255.255.255:68", &message(2, 2, 1, one, 30, b"\x43\x05a.efi"));
    script.datagram("10.0.0.8:67", "255.255.255.255:68", &message(2, 2, 1, other, 31, b"\x43\x05b.efi"));
    script.datagram(NOBODY, ALL, &ask(3, 1, one));
    script.datagram("10.0.0.8:67", "255.255.255.255:68", &message(2, 6, 1, other, 0, b""));
    script.datagram("10.0.0.9:67", "255.255.255.255:68", &message(2, 5, 1, one, 30, b"\x43\x05a.efi"));
    assert_snapshot!(script.told(), @r"
    a: sent discover as firmware 52:54:00:00:00:01
    a: 10.0.0.9 offered 10.0.0.30 to firmware 52:54:00:00:00:01, boot file a.efi (discover)
    a: 10.0.0.8 offered 10.0.0.31 to firmware 52:54:00:00:00:01, boot file b.efi (discover)
    a: sent request as firmware 52:54:00:00:00:01
    a: 10.0.0.8 sent nak to firmware 52:54:00:00:00:01 (request)
    a: 10.0.0.9 leased 10.0.0.30 to firmware 52:54:00:00:00:01, boot file a.efi (request)
    a: has address 10.0.0.30 on lan (dhcp, leased by 10.0.0.9)
    ");
}

#[test]
fn a_proxy_answers_beside_the_server_of_addresses() {
    let (server, proxy) = ([10, 0, 0, 9], [10, 0, 0, 8]);
    let pxe = b"\x3c\x09PXEClient";
    let named = b"\x3c\x09PXEClient\x43\x08snponly\0";
    let mut script = Script::default();
    script.datagram(NOBODY, ALL, &ask(1, 1, [0; 4]));
    script.datagram("10.0.0.8:67", "255.255.255.255:68", &message(2, 2, 1, proxy, 0, pxe));
    script.datagram("10.0.0.9:67", "255.255.255.255:68", &message(2, 2, 1, server, 30, b""));
    script.datagram(NOBODY, ALL, &ask(3, 1, server));
    script.datagram("10.0.0.9:67", "255.255.255.255:68", &message(2, 5, 1, server, 30, b""));
    // The firmware asks the proxy for the file with the same number; only the second time does it answer.
    script.datagram("10.0.0.30:68", "10.0.0.8:4011", &ask(3, 1, [0; 4])).wait(1000);
    script.datagram("10.0.0.30:68", "10.0.0.8:4011", &ask(3, 1, [0; 4]));
    script.datagram("10.0.0.8:4011", "10.0.0.30:68", &message(2, 5, 1, proxy, 0, named));
    // To this one it does not.
    script.datagram("10.0.0.30:68", "10.0.0.8:4011", &ask(3, 2, [0; 4]));
    assert_snapshot!(script.told(), @r"
    a: sent discover as firmware 52:54:00:00:00:01
    a: 10.0.0.8 sent offer to firmware 52:54:00:00:00:01 (discover)
    a: 10.0.0.9 offered 10.0.0.30 to firmware 52:54:00:00:00:01 (discover)
    a: sent request as firmware 52:54:00:00:00:01
    a: 10.0.0.9 leased 10.0.0.30 to firmware 52:54:00:00:00:01 (request)
    a: has address 10.0.0.30 on lan (dhcp, leased by 10.0.0.9)
    a: sent request as firmware 52:54:00:00:00:01
    a: 10.0.0.8 sent ack to firmware 52:54:00:00:00:01, boot file snponly (request)
    a: sent request as firmware 52:54:00:00:00:01
    a: dhcp request was not answered by 10.0.0.8
    ");
}

#[test]
fn who_requests_an_address_was_offered_it() {
    let server = [10, 0, 0, 9];
    let mut script = Script::default();
    // The offer was not captured, and the request names who made it.
    script.datagram(NOBODY, ALL, &ask(1, 1, [0; 4])).datagram(NOBODY, ALL, &ask(3, 2, server));
    script.datagram("10.0.0.9:67", "255.255.255.255:68", &message(2, 5, 2, server, 30, b""));
    // Who asks for its last address has no offer.
    script.wait(60_000).datagram(NOBODY, ALL, &ask(1, 3, [0; 4])).datagram(NOBODY, ALL, &ask(3, 4, [0; 4]));
    assert_snapshot!(script.told(), @r"
    a: sent discover as firmware 52:54:00:00:00:01
    a: sent request as firmware 52:54:00:00:00:01
    a: 10.0.0.9 leased 10.0.0.30 to firmware 52:54:00:00:00:01 (request)
    a: has address 10.0.0.30 on lan (dhcp, leased by 10.0.0.9)
    a: sent discover as firmware 52:54:00:00:00:01
    a: sent request as firmware 52:54:00:00:00:01
    a: dhcp discover was not answered
    a: dhcp request was not answered
    ");
}

fn option(code: u16, value: &[u8]) -> Vec<u8> {
    [&code.to_be_bytes(), &(value.len() as u16).to_be_bytes(), value].concat()
}

/// A request of the node's firmware by DHCPv6.
pub(super) fn ask6(kind: u8, xid: u8) -> Vec<u8> {
    let client = option(1, &[&[0, 3, 0, 1][..], &NODE.0].concat());
    let class = option(16, b"\0\0\x01\x57\0\x14PXEClient:Arch:00007");
    [vec![kind, 0, 0, xid], client, option(3, &[0; 12]), class, option(61, &[0, 7])].concat()
}

/// A reply with the address fd00:83::30 and the URL of a boot file.
pub(super) fn reply6(kind: u8, xid: u8, url: &[u8]) -> Vec<u8> {
    let address = "fd00:83::30".parse::<std::net::Ipv6Addr>().unwrap().octets();
    let address = option(5, &[&address[..], &[0; 8]].concat());
    let association = option(3, &[&[0; 12][..], &address].concat());
    [vec![kind, 0, 0, xid], option(2, &[0, 3, 0, 1, 2, 0, 0, 0, 0, 9]), association, option(59, url)].concat()
}

/// A message of DHCPv6 as a relay forwards it for the node.
fn relayed6(kind: u8, inner: &[u8]) -> Vec<u8> {
    let address = |text: &str| text.parse::<std::net::Ipv6Addr>().unwrap().octets();
    [&[kind, 0][..], &address("fd00:83::7"), &address("fe80::30"), &option(9, inner)].concat()
}

const CLIENT6: &str = "[fe80::30]:546";
const ALL6: &str = "[ff02::1:2]:547";
const SERVER6: &str = "[fe80::9]:547";

#[test]
fn dhcpv6_servers_name_a_boot_file_whatever_it_is() {
    let mut script = Script::default();
    for (xid, url) in [(1, &b"tftp://[fd00:83::9]/a.efi"[..]), (3, b"no\x1burl\xff"), (5, b"")] {
        script.datagram(CLIENT6, ALL6, &ask6(1, xid)).datagram(SERVER6, CLIENT6, &reply6(2, xid, url));
        script.datagram(CLIENT6, ALL6, &ask6(3, xid + 1));
        script.datagram(SERVER6, CLIENT6, &reply6(7, xid + 1, url)).wait(1000);
    }
    // This one is repeated in vain.
    script.datagram(CLIENT6, ALL6, &ask6(1, 9)).wait(1000).datagram(CLIENT6, ALL6, &ask6(1, 9));
    assert_snapshot!(script.told(), @r"
    a: sent solicit as firmware 52:54:00:00:00:01, architecture 7
    a: has address fe80::30 on lan (ndp)
    a: fe80::9 offered fd00:83::30 to firmware 52:54:00:00:00:01, boot file tftp://[fd00:83::9]/a.efi (solicit)
    a: sent request as firmware 52:54:00:00:00:01, architecture 7
    a: fe80::9 leased fd00:83::30 to firmware 52:54:00:00:00:01, boot file tftp://[fd00:83::9]/a.efi (request)
    a: has address fd00:83::30 on lan (dhcpv6, leased by fe80::9)
    a: sent solicit as firmware 52:54:00:00:00:01, architecture 7
    a: fe80::9 offered fd00:83::30 to firmware 52:54:00:00:00:01, boot file no�url� (solicit)
    a: sent request as firmware 52:54:00:00:00:01, architecture 7
    a: fe80::9 leased fd00:83::30 to firmware 52:54:00:00:00:01, boot file no�url� (request)
    a: sent solicit as firmware 52:54:00:00:00:01, architecture 7
    a: fe80::9 offered fd00:83::30 to firmware 52:54:00:00:00:01 (solicit)
    a: sent request as firmware 52:54:00:00:00:01, architecture 7
    a: fe80::9 leased fd00:83::30 to firmware 52:54:00:00:00:01 (request)
    a: sent solicit as firmware 52:54:00:00:00:01, architecture 7
    a: dhcpv6 solicit was not answered, sent 2 times
    ");
}

#[test]
fn what_a_relay_of_dhcpv6_forwards_happened_once() {
    let (relay, server) = ("[fd00:83::7]:547", "[fd00:99::9]:547");
    let url = b"http://[fd00:99::9]/a.efi";
    let mut both = Script::default();
    let mut behind = Script::default();
    for (request, reply, xid) in [(1, 2, 1), (3, 7, 2)] {
        both.datagram(CLIENT6, ALL6, &ask6(request, xid));
        for script in [&mut both, &mut behind] {
            script.datagram(relay, server, &relayed6(12, &ask6(request, xid)));
            script.datagram(server, relay, &relayed6(13, &reply6(reply, xid, url)));
        }
        both.datagram("[fe80::7]:547", CLIENT6, &reply6(reply, xid, url));
    }
    assert_snapshot!(behind.told(), @r"
    a: sent solicit as firmware 52:54:00:00:00:01, architecture 7, through relay agent fd00:83::7
    a: fd00:99::9 offered fd00:83::30 to firmware 52:54:00:00:00:01, boot file http://[fd00:99::9]/a.efi (solicit)
    a: sent request as firmware 52:54:00:00:00:01, architecture 7, through relay agent fd00:83::7
    a: fd00:99::9 leased fd00:83::30 to firmware 52:54:00:00:00:01, boot file http://[fd00:99::9]/a.efi (request)
    a: has address fd00:83::30 on lan (dhcpv6, leased by fd00:99::9)
    ");
    assert_snapshot!(both.told(), @r"
    a: sent solicit as firmware 52:54:00:00:00:01, architecture 7
    a: has address fe80::30 on lan (ndp)
    a: fd00:99::9 offered fd00:83::30 to firmware 52:54:00:00:00:01, boot file http://[fd00:99::9]/a.efi (solicit)
    a: sent request as firmware 52:54:00:00:00:01, architecture 7
    a: fd00:99::9 leased fd00:83::30 to firmware 52:54:00:00:00:01, boot file http://[fd00:99::9]/a.efi (request)
    a: has address fd00:83::30 on lan (dhcpv6, leased by fd00:99::9)
    ");
    // Both sides name the exchange of the client.
    let exchanges = |script: &Script| -> Vec<String> {
        script.seen().iter().filter_map(|seen| Some(seen.exchange.as_ref()?.to_string())).collect()
    };
    assert_eq!(exchanges(&both), exchanges(&behind));
    assert_eq!(exchanges(&both)[0], "dhcpv6 fe80::30 000001");
}

#[test]
fn who_requests_an_address_by_dhcpv6_was_offered_it() {
    let mut script = Script::default();
    script.datagram(CLIENT6, ALL6, &ask6(1, 1)).datagram(CLIENT6, ALL6, &ask6(3, 2));
    script.datagram(SERVER6, CLIENT6, &reply6(7, 2, b"a"));
    let told = script.told();
    assert!(told.contains("leased fd00:83::30") && !told.contains("not answered"), "{told}");
}

#[test]
fn frames_with_a_vlan_tag_are_read() {
    let mut script = Script::default();
    let link = || PacketBuilder::ethernet2(NODE.0, [0xff; 6]);
    let mut frame = Vec::new();
    let tagged = link().single_vlan(100.try_into().unwrap()).ipv4([0; 4], [255; 4], 64).udp(68, 67);
    tagged.write(&mut frame, &ask(1, 1, [0; 4])).unwrap();
    script.frame(frame);
    // Switches tag what has a priority, too: the reply comes with the VLAN 0 within another one.
    let mut frame = Vec::new();
    let tagged = link().double_vlan(7.try_into().unwrap(), 0.try_into().unwrap());
    let tagged = tagged.ipv4([10, 0, 0, 9], [255; 4], 64).udp(67, 68);
    tagged.write(&mut frame, &message(2, 2, 1, [10, 0, 0, 9], 30, b"")).unwrap();
    script.frame(frame);
    let untagged = arp(1, NODE, [10, 0, 0, 30], [10, 0, 0, 9]);
    script.frame([&untagged[..12], &[0x81, 0, 0xa0, 100], &untagged[12..]].concat());
    assert_snapshot!(script.told(), @r"
    a: sent discover as firmware 52:54:00:00:00:01
    a: 10.0.0.9 offered 10.0.0.30 to firmware 52:54:00:00:00:01 (discover)
    a: has address 10.0.0.30 on lan (arp)
    ");
}
