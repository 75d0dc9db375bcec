//! What is below the services: fragments, ICMPv6, switches.

use std::net::Ipv6Addr;

use etherparse::IpFragOffset;

use super::*;

/// Cuts the payload of IP into fragments of `size` bytes, for either version.
fn fragments(from: &str, to: &str, payload: &[u8], size: usize) -> Vec<Vec<u8>> {
    let (from, to): (IpAddr, IpAddr) = (from.parse().unwrap(), to.parse().unwrap());
    let count = payload.len().div_ceil(size);
    let parts = payload.chunks(size).enumerate();
    parts
        .map(|(index, part)| {
            let (offset, more) = (index * size, index + 1 < count);
            let mut frame = Vec::new();
            match (from, to) {
                (IpAddr::V4(_), IpAddr::V4(_)) => {
                    ethernet(from, to).write(&mut frame, IpNumber::UDP, part).unwrap();
                    // Behind the header of Ethernet: identification, flags and offset.
                    let place = (offset / 8) as u16 | u16::from(more) << 13;
                    frame[18..20].copy_from_slice(&77u16.to_be_bytes());
                    frame[20..22].copy_from_slice(&place.to_be_bytes());
                }
                _ => {
                    let place =
                        IpFragOffset::try_new((offset / 8) as u16).unwrap().value() << 3 | u16::from(more);
                    let header = [&[17, 0][..], &place.to_be_bytes(), &77u32.to_be_bytes()].concat();
                    let number = IpNumber::IPV6_FRAGMENTATION_HEADER;
                    ethernet(from, to).write(&mut frame, number, &[&header, part].concat()).unwrap();
                }
            }
            frame
        })
        .collect()
}

/// A datagram of UDP.
fn udp(from: u16, to: u16, payload: &[u8]) -> Vec<u8> {
    let length = (payload.len() + 8) as u16;
    [&from.to_be_bytes()[..], &to.to_be_bytes(), &length.to_be_bytes(), &[0, 0], payload].concat()
}

/// Reads a request, then the fragments of its reply in this order.
fn told(request: (&str, &str, &[u8]), parts: &[Vec<u8>], order: &[usize]) -> String {
    let (from, to, payload) = request;
    let mut script = Script::default();
    script.datagram(from, to, payload);
    assert_eq!(parts.len(), order.len());
    for index in order {
        script.frame(parts[*index].clone());
    }
    script.told()
}

const ORDERS: [&[usize]; 8] =
    [&[0, 1], &[1, 0], &[0, 1, 2], &[0, 2, 1], &[1, 0, 2], &[1, 2, 0], &[2, 0, 1], &[2, 1, 0]];

#[test]
fn messages_in_fragments_are_put_together_in_any_order() {
    // The boot file is in the last fragment.
    let vendor = [&[43, 200][..], &[1; 200]].concat().repeat(3);
    let reply = dhcp::message(2, 2, 1, [10, 0, 0, 9], 30, &[&vendor, &b"\x43\x05a.efi"[..]].concat());
    let request = dhcp::message(1, 1, 1, [0; 4], 0, b"");
    let request = ("0.0.0.0:68", "255.255.255.255:67", &request[..]);
    for order in ORDERS {
        let size = if order.len() == 2 { 480 } else { 320 };
        let parts = fragments("10.0.0.9", "10.0.0.30", &udp(67, 68, &reply), size);
        let told = told(request, &parts, order);
        let wanted = "a: 10.0.0.9 offered 10.0.0.30 to os 52:54:00:00:00:01, boot file a.efi (discover)";
        assert!(told.contains(wanted) && !told.contains("not answered"), "{order:?}: {told}");
    }
}

#[test]
fn messages_in_fragments_of_ipv6_are_put_together_in_any_order() {
    let reply = dhcp::reply6(2, 1, &[b'a'; 500]);
    let request = dhcp::ask6(1, 1);
    let request = ("[fe80::30]:546", "[ff02::1:2]:547", &request[..]);
    for order in ORDERS {
        let size = if order.len() == 2 { 320 } else { 200 };
        let parts = fragments("fe80::9", "fe80::30", &udp(547, 546, &reply), size);
        let told = told(request, &parts, order);
        let wanted = format!("offered fd00:83::30 to firmware {NODE}, boot file {} (", "a".repeat(500));
        assert!(told.contains(&wanted) && !told.contains("not answered"), "{order:?}: {told}");
    }
}

#[test]
fn a_fragment_that_is_missing_costs_its_message() {
    let reply = dhcp::message(2, 2, 1, [10, 0, 0, 9], 30, &[&[43, 200][..], &[1; 200]].concat());
    let request = dhcp::message(1, 1, 1, [0; 4], 0, b"");
    let request = ("0.0.0.0:68", "255.255.255.255:67", &request[..]);
    let parts = fragments("10.0.0.9", "10.0.0.30", &udp(67, 68, &reply), 200);
    for missing in 0..parts.len() {
        let mut parts = parts.clone();
        parts.remove(missing);
        let order: Vec<_> = (0..parts.len()).collect();
        assert!(told(request, &parts, &order).contains("discover was not answered"), "{missing}");
    }
    // Long after the others, it belongs to another datagram with the same number.
    let mut script = Script::default();
    script.datagram(request.0, request.1, request.2).frame(parts[0].clone()).frame(parts[2].clone());
    script.wait(5000).frame(parts[1].clone());
    assert!(script.told().contains("discover was not answered"));
}

#[test]
fn blocks_in_fragments_count_and_are_not_kept() {
    for order in [[0, 1, 2], [2, 1, 0], [1, 2, 0]] {
        let mut script = Script::default();
        script.udp(2000, 69, b"\0\x01kernel\0octet\0blksize\x003000\0");
        script.udp(51_000, 2000, b"\0\x06blksize\x003000\0").udp(2000, 51_000, &ack(0));
        for (number, length) in [(1, 3000), (2, 2900)] {
            let parts = fragments("10.0.0.9", "10.0.0.30", &udp(51_000, 2000, &block(number, length)), 1480);
            for index in order.into_iter().filter(|index| *index < parts.len()) {
                script.frame(parts[index].clone());
            }
            script.udp(2000, 51_000, &ack(number));
        }
        assert_eq!(script.told(), "a: 10.0.0.9 served kernel (5.9 kB in 0 ms)", "{order:?}");
    }
}

/// A message of ICMPv6 to the node.
fn icmp6(from: &str, message: &[u8]) -> Vec<u8> {
    let (from, to) = (from.parse().unwrap(), "fd00:83::30".parse().unwrap());
    let mut frame = Vec::new();
    ethernet(from, to).write(&mut frame, IpNumber::IPV6_ICMP, message).unwrap();
    frame
}

#[test]
fn errors_of_icmpv6_name_the_packet() {
    let node = "fd00:83::30".parse::<Ipv6Addr>().unwrap();
    let server = "fd00:99::9".parse::<Ipv6Addr>().unwrap();
    let quoted = |number: IpNumber, payload: &[u8]| {
        let mut packet = Vec::new();
        let builder = PacketBuilder::ipv6(node.octets(), server.octets(), 64);
        builder.write(&mut packet, number, payload).unwrap();
        packet
    };
    let request = b"\0\x01kernel\0octet\0";
    let tftp = quoted(IpNumber::UDP, &udp(2000, 69, request));
    let error = |kind: u8, code: u8, word: u32, quoted: &[u8]| {
        [&[kind, code, 0, 0][..], &word.to_be_bytes(), quoted].concat()
    };
    let mut script = Script::default();
    // The node has the address, and asks; nobody listens.
    let solicitation = [&[135, 0, 0, 0, 0, 0, 0, 0][..], &server.octets(), &[1, 1], &NODE.0].concat();
    let mut frame = Vec::new();
    let to = "ff02::1:ff00:9".parse().unwrap();
    ethernet(node.into(), to).write(&mut frame, IpNumber::IPV6_ICMP, &solicitation).unwrap();
    script.frame(frame);
    script.datagram("[fd00:83::30]:2000", "[fd00:99::9]:69", request);
    script.frame(icmp6("fd00:99::9", &error(1, 4, 0, &tftp)));
    script.frame(icmp6("fd00:99::9", &error(1, 4, 0, &tftp)));
    // A router has a link that is too small for a segment, of which it quotes the beginning.
    let segment = [&40_000u16.to_be_bytes()[..], &80u16.to_be_bytes(), &[0; 16], &[b'x'; 1000]].concat();
    let large = quoted(IpNumber::TCP, &segment);
    script.frame(icmp6("fd00:83::1", &error(2, 0, 1280, &large)));
    for (kind, code) in [(1, 0), (1, 1), (1, 3), (3, 0), (1, 7)] {
        script.frame(icmp6("fd00:83::1", &error(kind, code, 0, &large[..60])));
    }
    script.frame(icmp6("fd00:83::1", &error(1, 0, 0, &quoted(IpNumber::IPV6_ICMP, &[128, 0, 0, 0]))));
    // What is quoted is cut off within the header, or another machine sent it.
    script.frame(icmp6("fd00:83::1", &error(1, 4, 0, &large[..39])));
    let mut other = tftp.clone();
    other[23] = 0x31;
    script.frame(icmp6("fd00:99::9", &error(1, 4, 0, &other)));
    assert_snapshot!(script.told(), @r"
    a: has address fd00:83::30 on lan (ndp)
    a: udp to [fd00:99::9]:69: port unreachable
    a: tcp to [fd00:99::9]:80: packet too big (at most 1280 bytes), says fd00:83::1
    a: tcp to [fd00:99::9]:80: network unreachable, says fd00:83::1
    a: tcp to [fd00:99::9]:80: administratively prohibited, says fd00:83::1
    a: tcp to [fd00:99::9]:80: host unreachable, says fd00:83::1
    a: tcp to [fd00:99::9]:80: time exceeded, says fd00:83::1
    a: tcp to [fd00:99::9]:80: type 1 code 7, says fd00:83::1
    a: icmp to fd00:99::9: network unreachable, says fd00:83::1
    ");
}

/// The priority and the hardware address of a bridge or root.
fn bridge(priority: u16, last: u8) -> Vec<u8> {
    [&priority.to_be_bytes()[..], &[2, 0, 0, 0, 0, last]].concat()
}

/// A frame of IEEE 802.3 to `to`, with a length and behind it `inside`.
fn with_length(to: [u8; 6], inside: &[u8]) -> Vec<u8> {
    [&to[..], &[2, 0, 0, 0, 0, 8], &(inside.len() as u16).to_be_bytes(), inside].concat()
}

/// What is in every BPDU up to the timers.
fn bpdu(version: u8, kind: u8, flags: u8, root: &[u8], bridge: &[u8]) -> Vec<u8> {
    [&[0, 0, version, kind, flags][..], root, &[0, 0, 0, 4], bridge, &[0x80, 1], &[0; 8]].concat()
}

const BRIDGES: [u8; 6] = [1, 0x80, 0xc2, 0, 0, 0];
const LLC: &[u8] = &[0x42, 0x42, 3];

#[test]
fn bridges_speak_stp_and_its_relatives() {
    let mut script = Script::default();
    let (root, own) = (bridge(32768, 7), bridge(32769, 8));
    let classic = bpdu(0, 0, 0, &root, &own);
    script.frame(with_length(BRIDGES, &[LLC, &classic].concat()));
    // A notification of a change names nobody.
    script.frame(with_length(BRIDGES, &[LLC, &[0, 0, 0, 0x80]].concat()));
    // PVST+: for each VLAN a bridge of its own, tagged but for the first one.
    let cisco = [1, 0, 0x0c, 0xcc, 0xcc, 0xcd];
    for vlan in [1u8, 20] {
        let (root, own) = (bridge(32768 + u16::from(vlan), 7), bridge(32768 + u16::from(vlan), 6));
        let snap = [0xaa, 0xaa, 3, 0, 0, 0x0c, 1, 0x0b];
        let inside = [&snap[..], &bpdu(0, 0, 0, &root, &own), &[0, 0, 0, 0, 2, 0, vlan]].concat();
        let frame = with_length(cisco, &inside);
        let tag = [0x81, 0, 0xe0, vlan];
        let tag: &[u8] = if vlan == 1 { &[] } else { &tag };
        script.frame([&frame[..12], tag, &frame[12..]].concat());
    }
    // MSTP: where others name themselves, it names the root of its region.
    let (region, mst) = (bridge(4096, 9), bridge(32768, 5));
    let configuration = [&[0, 0, 64, 0][..], &[b'r'; 32], &[0; 18]].concat();
    let rest = [&configuration[..], &[0; 4], &mst, &[20]].concat();
    let mstp = [&bpdu(3, 2, 0x7c, &root, &region)[..], &rest].concat();
    script.frame(with_length(BRIDGES, &[LLC, &mstp].concat()));
    script.frame(with_length(BRIDGES, &[LLC, &mstp].concat()));
    // A switch that is newer than MSTP but has no regions.
    script.frame(with_length(BRIDGES, &[LLC, &bpdu(3, 2, 0x0c, &root, &bridge(32768, 4)), &[0]].concat()));
    assert_snapshot!(script.told(), @r"
    -: bridge 32769 02:00:00:00:00:08 speaks STP on lan, root 32768 02:00:00:00:00:07
    -: bridge 32769 02:00:00:00:00:06 speaks STP on lan, root 32769 02:00:00:00:00:07
    -: bridge 32788 02:00:00:00:00:06 speaks STP on lan, root 32788 02:00:00:00:00:07
    -: bridge 32768 02:00:00:00:00:05 speaks MSTP on lan, root 32768 02:00:00:00:00:07, forwarding
    -: bridge 32768 02:00:00:00:00:04 speaks RSTP on lan, root 32768 02:00:00:00:00:07, discarding
    ");
}

#[test]
fn systems_that_aggregate_links_are_told_once_per_partner() {
    let lacp = |system: u8, port: u16, partner: Option<u8>| {
        let mac = |last: u8| [2, 0, 0, 0, 0, last];
        let information = |mac: [u8; 6], port: u16| {
            [&[0x80, 0][..], &mac, &[0, 1, 0x80, 0], &port.to_be_bytes(), &[0x3d, 0, 0, 0]].concat()
        };
        let partner = information(partner.map_or([0; 6], mac), 1);
        let slow = [1, 0x80, 0xc2, 0, 0, 2];
        let body =
            [&[1, 1, 1, 20][..], &information(mac(system), port), &[2, 20], &partner, &[3, 16]].concat();
        [&slow[..], &mac(system), &[0x88, 9], &body, &[0; 66]].concat()
    };
    let mut script = Script::default();
    // Two ports of one switch, of which one finds its partner.
    script.frame(lacp(8, 1, None)).frame(lacp(8, 2, None)).wait(1000);
    script.frame(lacp(8, 1, Some(9))).frame(lacp(8, 2, None)).frame(lacp(9, 1, Some(8)));
    // It loses it again.
    script.wait(1000).frame(lacp(8, 1, None));
    // A marker is another protocol with the same type.
    let mut marker = lacp(7, 1, None);
    marker[14] = 2;
    script.frame(marker);
    assert_snapshot!(script.told(), @r"
    -: 02:00:00:00:00:08 offers LACP on lan and has no partner
    -: 02:00:00:00:00:08 offers LACP on lan and has no partner
    -: 02:00:00:00:00:08 offers LACP on lan with 02:00:00:00:00:09
    -: 02:00:00:00:00:09 offers LACP on lan with 02:00:00:00:00:08
    -: 02:00:00:00:00:08 offers LACP on lan and has no partner
    ");
}
