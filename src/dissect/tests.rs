mod boots;
mod dhcp;
mod dns;
mod files;
mod network;

use std::net::{IpAddr, SocketAddr};

use etherparse::{IpHeaders, IpNumber, PacketBuilder, PacketBuilderStep, TcpHeader};
use insta::assert_snapshot;

use super::*;
use crate::event::Service;

const NODE: Mac = Mac([0x52, 0x54, 0, 0, 0, 1]);
const SERVER: Mac = Mac([2, 0, 0, 0, 0, 5]);
/// A boot and some failures, recorded between udhcpc, curl and dig on one side and dnsmasq and Python's HTTP server on
/// the other: link type, milliseconds since the last frame, length, frame.
const DNSMASQ: &[u8] = include_bytes!("../../tests/fuzz/seeds/frames/dnsmasq");

fn name(text: &str) -> NetworkName {
    NetworkName::new(text).unwrap()
}

/// The frames of a recording, with their times in nanoseconds.
fn frames(recording: &[u8]) -> Vec<(u64, Vec<u8>)> {
    let (mut rest, mut at, mut frames) = (recording, 0, Vec::new());
    while let Some(([_, pause, high, low], tail)) = rest.split_first_chunk() {
        let (frame, tail) = tail.split_at(usize::from(u16::from_be_bytes([*high, *low])));
        at += u64::from(*pause) * 1_000_000;
        frames.push((at, frame.to_vec()));
        rest = tail;
    }
    frames
}

/// A network on which nothing is ours.
fn foreign() -> Dissector {
    Dissector::new(vec![Segment::foreign(name("lan"))], Machines::Any)
}

/// A lab with one node, and our services at 10.0.0.5.
fn lab() -> Dissector {
    let services =
        OwnServices { dhcp: true, dhcp6: true, tftp: true, dns: true, advertisements: true, http: vec![80] };
    let segment = Segment {
        ipv4: Some("10.0.0.5/24".parse().unwrap()),
        ipv6: Some("fd00:83::5/64".parse().unwrap()),
        own: Some(SERVER),
        services,
        ..Segment::foreign(name("lan"))
    };
    let nodes = HashMap::from([(NODE, NodeName::new("a").unwrap())]);
    Dissector::new(vec![segment], Machines::Named(nodes))
}

fn line(seen: &Seen) -> String {
    let node = seen.node.as_ref().map_or("-", |node| node.as_str());
    // Times differ by microseconds.
    format!("{node}: {}", seen.known)
}

fn lines(seen: &[Seen]) -> String {
    seen.iter().map(line).collect::<Vec<_>>().join("\n")
}

/// Reads frames, then lets five minutes pass.
fn read<'a>(
    mut dissector: Dissector,
    link: Link,
    frames: impl IntoIterator<Item = &'a (u64, Vec<u8>)>,
) -> Vec<Seen> {
    let (mut seen, mut last) = (Vec::new(), 0);
    for (at, bytes) in frames {
        let frame = Frame {
            at: RunTime::from_nanos(*at),
            number: None,
            segment: 0,
            link,
            bytes,
            length: bytes.len(),
        };
        assert!(dissector.frame(frame, &mut seen) <= bytes.len());
        last = *at;
    }
    dissector.pass(RunTime::from_nanos(last + 300_000_000_000), &mut seen);
    seen
}

#[test]
fn a_dialogue_becomes_events() {
    assert_snapshot!(lines(&read(foreign(), Link::Ethernet, &frames(DNSMASQ))));
}

#[test]
fn our_own_services_are_no_other_servers_and_have_the_same_facts() {
    let seen = read(lab(), Link::Ethernet, &frames(DNSMASQ));
    let facts: Vec<String> = seen
        .iter()
        .filter_map(|seen| Some(format!("{}: {}", seen.exchange.as_ref()?, seen.known.fact()?)))
        .collect();
    assert_snapshot!(facts.join("\n"));
    assert!(!seen.iter().any(|seen| matches!(
        &seen.known,
        Known::DhcpReplied { server: Some(_), .. }
            | Known::TftpServed { server: Some(_), .. }
            | Known::HttpServed { server: Some(_), .. }
            | Known::DnsAnswered { server: Some(_), .. }
            | Known::RouterAdvertised { .. }
    )));
}

#[test]
fn tags_and_cooked_captures_tell_the_same() {
    let plain = frames(DNSMASQ);
    let wanted = lines(&read(foreign(), Link::Ethernet, &plain));
    let change = |change: &dyn Fn(&[u8]) -> Vec<u8>| -> Vec<(u64, Vec<u8>)> {
        plain.iter().map(|(at, frame)| (*at, change(frame))).collect()
    };
    let tagged = change(&|frame| [&frame[..12], &[0x88, 0xa8, 0, 7, 0x81, 0, 0, 9], &frame[12..]].concat());
    assert_eq!(lines(&read(foreign(), Link::Ethernet, &tagged)), wanted);
    let cooked = change(&|frame| [&[0, 0, 0, 1, 0, 6], &frame[6..12], &[0, 0], &frame[12..]].concat());
    assert_eq!(lines(&read(foreign(), Link::LinuxSll, &cooked)), wanted);
    let cooked = change(&|frame| {
        [&frame[12..14], &[0, 0, 0, 0, 0, 3, 0, 1, 0, 6], &frame[6..12], &[0, 0], &frame[14..]].concat()
    });
    assert_eq!(lines(&read(foreign(), Link::LinuxSll2, &cooked)), wanted);
}

#[test]
fn heads_are_kept_and_contents_are_not() {
    let mut dissector = foreign();
    let (mut all, mut kept) = (0, 0);
    for (at, bytes) in frames(DNSMASQ) {
        let at = RunTime::from_nanos(at);
        let frame =
            Frame { at, number: None, segment: 0, link: Link::Ethernet, bytes: &bytes, length: bytes.len() };
        let keep = dissector.frame(frame, &mut Vec::new());
        all += bytes.len();
        kept += keep;
        let text = String::from_utf8_lossy(&bytes[..keep]).into_owned();
        assert!(!text.contains("HdrS") && !text.contains("#!ipxe"), "{text}");
    }
    assert!(kept * 2 < all, "{kept} of {all} bytes");
}

#[test]
fn cut_off_frames_cost_only_what_they_lack() {
    for length in [0, 14, 40, 60, 96, 200] {
        let cut: Vec<_> = frames(DNSMASQ)
            .into_iter()
            .map(|(at, mut frame)| {
                frame.truncate(length);
                (at, frame)
            })
            .collect();
        read(foreign(), Link::Ethernet, &cut);
    }
}

/// Builds frames between the node, 10.0.0.30, and a server, 10.0.0.9.
#[derive(Default)]
struct Script {
    at: u64,
    frames: Vec<(u64, Vec<u8>)>,
}

impl Script {
    fn wait(&mut self, ms: u64) -> &mut Self {
        self.at += ms * 1_000_000;
        self
    }

    fn frame(&mut self, frame: Vec<u8>) -> &mut Self {
        self.frames.push((self.at, frame));
        self.at += 10_000;
        self
    }

    fn ip(from_node: bool) -> PacketBuilderStep<IpHeaders> {
        let (node, server) = ([10, 0, 0, 30], [10, 0, 0, 9]);
        if from_node {
            PacketBuilder::ethernet2(NODE.0, SERVER.0).ipv4(node, server, 64)
        } else {
            PacketBuilder::ethernet2(SERVER.0, NODE.0).ipv4(server, node, 64)
        }
    }

    fn udp(&mut self, from: u16, to: u16, payload: &[u8]) -> &mut Self {
        let mut frame = Vec::new();
        Self::ip(from > 1023 && from < 50_000).udp(from, to).write(&mut frame, payload).unwrap();
        self.frame(frame)
    }

    /// A datagram of UDP, over either version of IP.
    fn datagram(&mut self, from: &str, to: &str, payload: &[u8]) -> &mut Self {
        let (from, to): (SocketAddr, SocketAddr) = (from.parse().unwrap(), to.parse().unwrap());
        let mut frame = Vec::new();
        ethernet(from.ip(), to.ip()).udp(from.port(), to.port()).write(&mut frame, payload).unwrap();
        self.frame(frame)
    }

    /// A TCP segment: `flags` of S, A, F, R.
    fn tcp(&mut self, from_node: bool, flags: &str, sequence: u32, ack: u32, payload: &[u8]) -> &mut Self {
        let (from, to) = if from_node { (40_000, 8080) } else { (8080, 40_000) };
        let step = Self::ip(from_node).tcp(from, to, sequence, 1000);
        let mut frame = Vec::new();
        flagged(step, flags, ack).write(&mut frame, payload).unwrap();
        self.frame(frame)
    }

    /// Opens a connection: the next bytes have the numbers 101 and 501.
    fn open(&mut self) -> &mut Self {
        self.tcp(true, "S", 100, 0, b"").tcp(false, "SA", 500, 101, b"").tcp(true, "A", 101, 501, b"")
    }

    fn told(&self) -> String {
        lines(&self.seen())
    }

    fn seen(&self) -> Vec<Seen> {
        let segment = Segment { ipv4: Some("10.0.0.0/24".parse().unwrap()), ..Segment::foreign(name("lan")) };
        let nodes = HashMap::from([(NODE, NodeName::new("a").unwrap())]);
        let dissector = Dissector::new(vec![segment], Machines::Named(nodes));
        read(dissector, Link::Ethernet, &self.frames)
    }
}

/// The hardware address of a host: those of the node end with 30, or are unknown yet.
fn hardware(address: IpAddr) -> Mac {
    let last = match address {
        IpAddr::V4(address) => address.octets()[3],
        IpAddr::V6(address) => address.octets()[15],
    };
    if address.is_unspecified() || matches!(last, 30 | 0x30) { NODE } else { Mac([2, 0, 0, 0, 0, last]) }
}

/// Begins a frame from a host to another.
fn ethernet(from: IpAddr, to: IpAddr) -> PacketBuilderStep<IpHeaders> {
    let link = PacketBuilder::ethernet2(hardware(from).0, hardware(to).0);
    match (from, to) {
        (IpAddr::V4(from), IpAddr::V4(to)) => link.ipv4(from.octets(), to.octets(), 64),
        (IpAddr::V6(from), IpAddr::V6(to)) => link.ipv6(from.octets(), to.octets(), 64),
        _ => panic!("both have the same version"),
    }
}

/// Sets the flags of a TCP segment: S, A, F, R.
fn flagged(mut step: PacketBuilderStep<TcpHeader>, flags: &str, ack: u32) -> PacketBuilderStep<TcpHeader> {
    for flag in flags.chars() {
        step = match flag {
            'S' => step.syn(),
            'A' => step.ack(ack),
            'F' => step.fin(),
            _ => step.rst(),
        };
    }
    step
}

/// A connection between the node and a server, 10.0.0.9, that counts what both have sent.
struct Connection<'a> {
    script: &'a mut Script,
    client: SocketAddr,
    server: SocketAddr,
    /// The sequence numbers of the next bytes.
    sent: u32,
    received: u32,
}

impl<'a> Connection<'a> {
    fn open(script: &'a mut Script, client: u16, server: u16) -> Self {
        let mut connection = Self::unseen(script, client, server);
        connection.segment(true, "S", 100, 0, b"");
        connection.segment(false, "SA", 500, 101, b"");
        connection.ack();
        connection
    }

    /// A connection from before the capture.
    fn unseen(script: &'a mut Script, client: u16, server: u16) -> Self {
        let (client, server) = (([10, 0, 0, 30], client).into(), ([10, 0, 0, 9], server).into());
        Self { script, client, server, sent: 101, received: 501 }
    }

    fn segment(&mut self, from_client: bool, flags: &str, sequence: u32, ack: u32, payload: &[u8]) {
        let (from, to) = if from_client { (self.client, self.server) } else { (self.server, self.client) };
        let step = ethernet(from.ip(), to.ip()).tcp(from.port(), to.port(), sequence, 1000);
        let mut frame = Vec::new();
        flagged(step, flags, ack).write(&mut frame, payload).unwrap();
        self.script.frame(frame);
    }

    fn ack(&mut self) -> &mut Self {
        self.segment(true, "A", self.sent, self.received, b"");
        self
    }

    fn client(&mut self, payload: &[u8]) -> &mut Self {
        self.segment(true, "A", self.sent, self.received, payload);
        self.sent += payload.len() as u32;
        self
    }

    /// The server sends a segment, which the client acknowledges.
    fn server(&mut self, payload: &[u8]) -> &mut Self {
        self.segment(false, "A", self.received, self.sent, payload);
        self.missed(payload.len())
    }

    /// The server sends so many bytes, which the capture misses, and the client acknowledges them.
    fn missed(&mut self, length: usize) -> &mut Self {
        self.received += length as u32;
        self.ack()
    }

    fn close(&mut self) {
        self.segment(true, "FA", self.sent, self.received, b"");
        self.segment(false, "FA", self.received, self.sent + 1, b"");
    }
}

const GET: &[u8] = b"GET /vmlinuz HTTP/1.1\r\nHost: x\r\n\r\n";
const OK: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 3000\r\n\r\n";

#[test]
fn segments_may_be_lost_repeated_and_out_of_order() {
    let (get, ok) = (GET.len() as u32, OK.len() as u32);
    let body = [b'x'; 1000];
    let next = 101 + get;
    let start = 501 + ok;
    let mut script = Script::default();
    script.open();
    // The head of the request comes in two parts, the second one first, and one of them twice.
    script.tcp(true, "A", 111, 501, &GET[10..]).tcp(true, "A", 101, 501, &GET[..10]).tcp(
        true,
        "A",
        101,
        501,
        &GET[..10],
    );
    script.tcp(false, "A", 501, next, OK);
    // The second part of the body was not captured, and the third comes first.
    script.tcp(false, "A", start + 2000, next, &body).tcp(false, "A", start, next, &body);
    script.tcp(true, "A", next, start + 3000, b"");
    // The connection goes on.
    let head = b"HEAD /next HTTP/1.1\r\n\r\n";
    script.tcp(true, "A", next, start + 3000, head);
    script.tcp(
        false,
        "A",
        start + 3000,
        next + head.len() as u32,
        b"HTTP/1.1 404 No\r\nContent-Length: 9\r\n\r\n",
    );
    script.tcp(true, "FA", next + head.len() as u32, start + 3037, b"");
    script.tcp(false, "FA", start + 3037, next + head.len() as u32 + 1, b"");
    assert_snapshot!(script.told());
}

#[test]
fn bodies_end_in_chunks_or_with_the_connection_or_early() {
    let mut chunked = Script::default();
    chunked.open().tcp(true, "A", 101, 501, b"GET /boot HTTP/1.1\r\n\r\n");
    let body =
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n7\r\n#!ipxe\n\r\n5;x=1\r\nboot\n\r\n0\r\n\r\n";
    chunked.tcp(false, "A", 501, 123, &body[..60]).tcp(false, "A", 561, 123, &body[60..]);
    chunked.tcp(true, "A", 123, 501 + body.len() as u32, b"");
    let mut closed = Script::default();
    closed.open().tcp(true, "A", 101, 501, b"GET /old HTTP/1.0\r\n\r\n");
    closed.tcp(false, "A", 501, 122, b"HTTP/1.0 200 OK\r\n\r\nall").tcp(false, "FA", 523, 122, b"");
    let mut early = Script::default();
    early.open().tcp(true, "A", 101, 501, GET).tcp(false, "A", 501, 101 + GET.len() as u32, OK);
    early.tcp(true, "R", 101 + GET.len() as u32, 0, b"");
    let mut silent = Script::default();
    silent.open().tcp(true, "A", 101, 501, GET).tcp(true, "R", 101 + GET.len() as u32, 0, b"");
    let told = [chunked, closed, early, silent].map(|script| script.told());
    assert_snapshot!(told.join("\n--\n"));
}

#[test]
fn connections_are_refused_or_ignored() {
    let mut refused = Script::default();
    refused.tcp(true, "S", 100, 0, b"").tcp(false, "RA", 0, 101, b"");
    let mut ignored = Script::default();
    ignored
        .tcp(true, "S", 100, 0, b"")
        .wait(1000)
        .tcp(true, "S", 100, 0, b"")
        .wait(2000)
        .tcp(true, "S", 100, 0, b"");
    assert_snapshot!([refused, ignored].map(|script| script.told()).join("\n--\n"));
}

fn block(number: u16, length: usize) -> Vec<u8> {
    [&[0, 3][..], &number.to_be_bytes(), &vec![7; length]].concat()
}

fn ack(number: u16) -> Vec<u8> {
    [&[0, 4][..], &number.to_be_bytes()].concat()
}

#[test]
fn transfers_end_in_each_way() {
    let mut script = Script::default();
    // EDK2 asks for the size first.
    script.udp(2000, 69, b"\0\x01loader.efi\0octet\0tsize\x000\0");
    script.udp(51_000, 2000, b"\0\x06tsize\x001234\0").udp(2000, 51_000, b"\0\x05\0\x08User aborted\0");
    // More blocks than there are numbers, one of them repeated.
    script.udp(2001, 69, b"\0\x01large\0octet\0blksize\x008\0");
    script.udp(51_001, 2001, b"\0\x06blksize\x008\0").udp(2001, 51_001, &ack(0));
    for number in 1..=70_000u32 {
        let number = number as u16;
        script.udp(51_001, 2001, &block(number, 8)).udp(2001, 51_001, &ack(number));
    }
    let last = 70_001u32 as u16;
    script.udp(51_001, 2001, &block(last, 3)).udp(51_001, 2001, &block(last, 3)).udp(
        2001,
        51_001,
        &ack(last),
    );
    script.udp(2002, 69, b"\0\x01missing\0octet\0").udp(51_002, 2002, b"\0\x05\0\x01no such file\0");
    script.udp(2003, 69, b"\0\x01secret\0octet\0").udp(51_003, 2003, b"\0\x05\0\x02no\0");
    script.udp(2004, 69, b"\0\x01half\0netascii\0").udp(51_004, 2004, &block(1, 512)).udp(
        2004,
        51_004,
        &ack(1),
    );
    script.wait(20_000);
    script.udp(2005, 69, b"\0\x01nobody\0octet\0").wait(1000).udp(2005, 69, b"\0\x01nobody\0octet\0");
    // The same port again (RFC 1350 wants another one).
    script.udp(2006, 69, b"\0\x01one\0octet\0").udp(51_006, 2006, &block(1, 5)).udp(2006, 51_006, &ack(1));
    script.udp(2006, 69, b"\0\x01two\0octet\0").udp(51_007, 2006, &block(1, 6)).udp(2006, 51_007, &ack(1));
    assert_snapshot!(script.told());
}

#[test]
fn numbers_may_continue_with_one() {
    let mut script = Script::default();
    script.udp(2001, 69, b"\0\x01large\0octet\0blksize\x008\0").udp(51_001, 2001, b"\0\x06blksize\x008\0");
    for number in (1..=65_535).chain(1..=10) {
        script.udp(51_001, 2001, &block(number, 8)).udp(2001, 51_001, &ack(number));
    }
    script.udp(51_001, 2001, &block(11, 0)).udp(2001, 51_001, &ack(11));
    let told = script.told();
    assert!(told.contains(&format!("{}", crate::event::Size(65_545 * 8))), "{told}");
}

/// A DHCP message of the node: `kind`, and whether a relay forwards it.
fn dhcp(op: u8, kind: u8, xid: u8, relay: bool) -> Vec<u8> {
    let mut packet = vec![0; 240];
    packet[..8].copy_from_slice(&[op, 1, 6, 0, 0, 0, 0, xid]);
    packet[28..34].copy_from_slice(&NODE.0);
    packet[236..].copy_from_slice(&[99, 130, 83, 99]);
    if relay {
        packet[24..28].copy_from_slice(&[10, 0, 0, 254]);
    }
    packet.extend([53, 1, kind]);
    if op == 2 {
        packet[16..20].copy_from_slice(&[10, 0, 0, 30]);
        packet[20..24].copy_from_slice(&[10, 9, 0, 8]);
        packet[108..112].copy_from_slice(b"old\0");
        packet.extend([54, 4, 10, 9, 0, 9]);
        packet.extend(b"\x43\x05a.efi\x42\x05boot\0");
    } else {
        packet.extend(b"\x3c\x14PXEClient:Arch:00007");
    }
    packet.push(255);
    packet
}

#[test]
fn what_a_relay_forwards_happened_once() {
    let mut script = Script::default();
    let mut send = |from: ([u8; 4], u16), to: ([u8; 4], u16), payload: &[u8]| {
        let mut frame = Vec::new();
        let builder = PacketBuilder::ethernet2(NODE.0, [0xff; 6]).ipv4(from.0, to.0, 64).udp(from.1, to.1);
        builder.write(&mut frame, payload).unwrap();
        script.frame(frame);
    };
    let (nobody, all, relay, server) = ([0; 4], [255; 4], [10, 0, 0, 254], [10, 9, 0, 9]);
    for (request, reply) in [(1, 2), (3, 5)] {
        send((nobody, 68), (all, 67), &dhcp(1, request, 1, false));
        send((relay, 67), (server, 67), &dhcp(1, request, 1, true));
        send((server, 67), (relay, 67), &dhcp(2, reply, 1, true));
        send((relay, 67), (all, 68), &dhcp(2, reply, 1, true));
    }
    // The reply to this one does not come; it is repeated with another number.
    send((nobody, 68), (all, 67), &dhcp(1, 1, 2, false));
    send((nobody, 68), (all, 67), &dhcp(1, 1, 3, false));
    assert_snapshot!(script.told());
}

fn arp(operation: u8, sender: Mac, from: [u8; 4], target: [u8; 4]) -> Vec<u8> {
    let head = [&[0xff; 6][..], &sender.0, &[8, 6, 0, 1, 8, 0, 6, 4, 0, operation]].concat();
    [&head[..], &sender.0, &from, &[0; 6], &target].concat()
}

#[test]
fn addresses_are_learned_once_and_missing_neighbours_are_told() {
    let mut script = Script::default();
    for _ in 0..3 {
        script.frame(arp(1, NODE, [10, 0, 0, 30], [10, 0, 0, 9])).wait(1000);
    }
    script.frame(arp(2, SERVER, [10, 0, 0, 9], [10, 0, 0, 30]));
    for _ in 0..4 {
        script.frame(arp(1, NODE, [10, 0, 0, 30], [10, 0, 0, 1])).wait(1000);
    }
    script.frame(arp(1, NODE, [192, 168, 7, 7], [10, 0, 0, 1]));
    assert_snapshot!(script.told());
}

#[test]
fn errors_of_icmp_name_the_packet() {
    let mut script = Script::default();
    let mut quoted = Vec::new();
    PacketBuilder::ipv4([10, 0, 0, 30], [10, 9, 0, 9], 64)
        .udp(2000, 69)
        .write(&mut quoted, b"\0\x01x")
        .unwrap();
    script.frame(arp(1, NODE, [10, 0, 0, 30], [10, 0, 0, 9]));
    for (kind, code, mtu) in [(3, 3, 0), (3, 4, 1400), (3, 13, 0), (3, 3, 0)] {
        let icmp = [&[kind, code, 0, 0, 0, 0][..], &u16::to_be_bytes(mtu), &quoted].concat();
        let mut frame = Vec::new();
        Script::ip(false).write(&mut frame, IpNumber::ICMP, &icmp).unwrap();
        script.frame(frame);
    }
    assert_snapshot!(script.told());
}

#[test]
fn switches_are_told_once_per_change() {
    let mut script = Script::default();
    let bpdu = |flags: u8| {
        let mut frame =
            vec![1, 0x80, 0xc2, 0, 0, 0, 2, 0, 0, 0, 0, 8, 0, 39, 0x42, 0x42, 3, 0, 0, 2, 2, flags];
        frame.extend([0x80, 0, 2, 0, 0, 0, 0, 7, 0, 0, 0, 0, 0x80, 1, 2, 0, 0, 0, 0, 8, 0x80, 1]);
        frame.extend([0; 9]);
        frame
    };
    script.frame(bpdu(0x0e)).frame(bpdu(0x0e)).frame(bpdu(0x1e)).frame(bpdu(0x3e));
    let mut lacp =
        vec![1, 0x80, 0xc2, 0, 0, 2, 2, 0, 0, 0, 0, 8, 0x88, 9, 1, 1, 1, 20, 0x80, 0, 2, 0, 0, 0, 0, 8];
    lacp.extend([0; 10]);
    lacp.extend([2, 20]);
    lacp.extend([0; 60]);
    script.frame(lacp.clone()).frame(lacp.clone());
    lacp[14 + 4 + 18 + 2 + 2..][..6].copy_from_slice(&[2, 0, 0, 0, 0, 9]);
    script.frame(lacp);
    assert_snapshot!(script.told());
}

#[test]
fn a_flood_of_machines_is_bounded() {
    let mut dissector = foreign();
    let mut seen = Vec::new();
    for number in 0..50_000u32 {
        let [a, b, c, d] = number.to_be_bytes();
        let mac = Mac([2, 9, a, b, c, d]);
        let mut request = dhcp(1, 1, 1, false);
        request[28..34].copy_from_slice(&mac.0);
        let mut bytes = Vec::new();
        let builder = PacketBuilder::ethernet2(mac.0, [0xff; 6]).ipv4([0; 4], [255; 4], 64).udp(68, 67);
        builder.write(&mut bytes, &request).unwrap();
        let at = RunTime::from_nanos(u64::from(number) * 1000);
        dissector.frame(
            Frame { at, number: None, segment: 0, link: Link::Ethernet, bytes: &bytes, length: bytes.len() },
            &mut seen,
        );
    }
    dissector.pass(RunTime::from_nanos(60_000_000_000), &mut seen);
    let omitted: u64 = seen
        .iter()
        .map(|seen| match &seen.known {
            Known::Omitted { service: Service::Capture, count } => *count,
            _ => 0,
        })
        .sum();
    assert!(omitted > 40_000, "{omitted}");
    assert!(seen.len() < 20_000, "{}", seen.len());
}

#[test]
fn machines_are_known_by_their_addresses_behind_a_router() {
    let mut dissector = lab();
    let node = dissector.world.client(NODE);
    let hop = Hop { at: RunTime::START, segment: 0, from: Some(NODE) };
    let router = Hop { from: Some(Mac([2, 0, 0, 0, 0, 77])), ..hop };
    let address = IpAddr::from([10, 0, 0, 30]);
    assert_eq!(dissector.world.asker(hop, address), node);
    assert_eq!(dissector.world.asker(router, address), None);
    assert!(dissector.world.learn(hop.at, 0, NODE, address, &crate::event::LearnedBy::Arp).is_some());
    assert_eq!(dissector.world.asker(router, address), node);
}
