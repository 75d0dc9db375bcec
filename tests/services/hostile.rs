//! Attacks: spoofed sources, floods, connections that are held open. Each limit is tested such that the test can
//! fail.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream, UdpSocket};
use std::sync::mpsc::{TryRecvError, channel};
use std::time::{Duration, Instant};

use dryrack::event::{FileRole, Known};
use dryrack::name::Mac;

use super::dhcp::Lease;
use super::dhcp_leases::Server;
use super::dns::dig;
use super::http::KERNEL;
use crate::rack::{Client, Rack, alone};
use crate::{LAB, STRANGER, kernel};

const SERVER: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 1);
/// An address outside of all networks here.
const FOREIGN: &str = "203.0.113.9";
/// How long to wait for an answer that must not arrive. A real answer takes less than a tenth of it.
const MOMENT: Duration = Duration::from_millis(500);
/// Timeout for an answer that must arrive, on a busy host.
const PATIENCE: Duration = Duration::from_secs(60);

/// Binds a socket in a client's namespace.
fn socket(client: &Client, address: &str) -> UdpSocket {
    let socket = client.within(|| UdpSocket::bind(address).unwrap());
    socket.set_read_timeout(Some(MOMENT)).unwrap();
    socket
}

/// Sends a packet to a port of the server; returns the length of the answer.
fn ask(socket: &UdpSocket, port: u16, packet: &[u8]) -> Option<usize> {
    socket.send_to(packet, (SERVER, port)).unwrap();
    socket.recv_from(&mut [0; 65_535]).ok().map(|(length, _)| length)
}

/// An A query, with EDNS if there is a payload size.
fn question(name: &str, payload: Option<u16>) -> Vec<u8> {
    let mut packet = vec![0x12, 0x34, 1, 0, 0, 1, 0, 0, 0, 0, 0, u8::from(payload.is_some())];
    for label in name.split('.') {
        packet.push(u8::try_from(label.len()).unwrap());
        packet.extend(label.bytes());
    }
    packet.extend([0, 0, 1, 0, 1]);
    if let Some(payload) = payload {
        packet.extend([0, 0, 41]);
        packet.extend(payload.to_be_bytes());
        packet.extend([0; 6]);
    }
    packet
}

/// A DHCP request of a type, with changes of its header as (offset, bytes).
fn request(mac: Mac, kind: u8, header: &[(usize, [u8; 4])]) -> Vec<u8> {
    let mut packet = vec![0; 240];
    packet[..3].copy_from_slice(&[1, 1, 6]);
    packet[28..34].copy_from_slice(&mac.0);
    packet[236..].copy_from_slice(&[99, 130, 83, 99]);
    for (at, bytes) in header {
        packet[*at..at + 4].copy_from_slice(bytes);
    }
    packet.extend([53, 1, kind, 255]);
    packet
}

const CIADDR: usize = 12;
const GIADDR: usize = 24;

/// A spoofed source address of another network gets no answer from any service.
#[test]
fn nobody_of_another_network_is_answered() {
    alone(async || {
        let rack = Rack::of(LAB, kernel).await;
        // There is a route back, so that it is not the kernel that drops the answer.
        let bridge = rack.service().interface.to_string();
        let route = ["route", "add", "203.0.113.0/24", "dev", &bridge];
        let ip = std::process::Command::new(crate::rack::program("ip")).args(route).status();
        assert!(ip.unwrap().success());
        let client = rack.client(STRANGER).with_address("10.0.0.50/24").with_address("203.0.113.9/32");
        let read = b"\0\x01profile/install/kernel\0octet\0".as_slice();
        let time = [&[4 << 3 | 3][..], &[0; 47]].concat();
        let packets: [(u16, &str, Vec<u8>); 7] = [
            (123, "a question for the time", time),
            (53, "a question", question("one.lab.test", None)),
            (53, "no question", vec![0, 1, 8, 0, 0, 0, 0, 0, 0, 0, 0, 0]),
            (69, "a read request", read.to_vec()),
            (69, "a write request", b"\0\x02x\0octet\0".to_vec()),
            (69, "a stray block", vec![0, 3, 0, 1, 7]),
            (69, "nonsense", vec![0, 9]),
        ];
        for (port, what, packet) in &packets {
            let (here, there) = (socket(&client, "10.0.0.50:0"), socket(&client, &format!("{FOREIGN}:0")));
            here.set_read_timeout(Some(PATIENCE)).unwrap();
            assert!(ask(&here, *port, packet).is_some(), "{what} of the network to port {port}");
            assert_eq!(ask(&there, *port, packet), None, "{what} of another network to port {port}");
        }
        // No file was opened, and no acknowledgement is awaited.
        let served = |known: &Known| matches!(known, Known::TftpServed { .. });
        rack.log.until_now("what the neighbour asked", || rack.log.count(served) >= 2).await;
        assert_eq!(rack.log.count(served), 2, "{}", rack.log.text());
    });
}

/// Unknown relays, clients that claim to be elsewhere, and packets that are not for us.
#[test]
fn forged_dhcp_requests_are_not_answered() {
    alone(async || {
        let rack = Rack::of(LAB, kernel).await;
        let client = rack.client(STRANGER).with_address("10.0.0.50/24").with_address("203.0.113.9/32");
        let foreign: Ipv4Addr = FOREIGN.parse().unwrap();
        let one = rack.mac("one");
        // As a relay, as a client, and at the port of boot servers.
        let (relay, elsewhere) = (socket(&client, "10.0.0.50:67"), socket(&client, &format!("{FOREIGN}:67")));
        let proxy = socket(&client, &format!("{FOREIGN}:68"));
        let neighbour = [10, 0, 0, 50];
        relay.set_read_timeout(Some(PATIENCE)).unwrap();
        assert!(
            ask(&relay, 67, &request(one, 1, &[(GIADDR, neighbour)])).is_some(),
            "a relay of the network"
        );
        relay.set_read_timeout(Some(MOMENT)).unwrap();
        for (socket, port, packet, rule) in [
            (&elsewhere, 67, request(one, 1, &[(GIADDR, foreign.octets())]), "relayed from another subnet"),
            (&relay, 67, request(one, 1, &[(GIADDR, foreign.octets())]), "relayed from another subnet"),
            (&relay, 67, request(one, 1, &[(GIADDR, SERVER.octets())]), "is not a host of this network"),
            (&elsewhere, 67, request(one, 8, &[(CIADDR, foreign.octets())]), "is not a host of this network"),
            (&proxy, 4011, request(one, 3, &[(CIADDR, foreign.octets())]), "is not a host of this network"),
            (&relay, 67, request(one, 2, &[(GIADDR, neighbour)]), "unexpected message type"),
        ] {
            let ignored =
                |known: &Known| matches!(known, Known::DhcpIgnored { rule: is, .. } if is.contains(rule));
            let before = rack.log.count(ignored);
            assert_eq!(ask(socket, port, &packet), None, "{rule}");
            rack.log.until_now(rule, || rack.log.count(ignored) == before + 1).await;
        }
        // A server's reply is not a request.
        let mut reply = request(one, 1, &[(GIADDR, neighbour)]);
        reply[0] = 2;
        assert_eq!(ask(&relay, 67, &reply), None);
    });
}

/// For any query, a UDP answer does not exceed the client's payload size, and is never fragmented.
#[test]
fn dns_amplifies_no_more_than_it_has_to() {
    alone(async || {
        let many: Vec<String> = (1..=200).map(|last| format!("\"10.0.0.{last}\"")).collect();
        let records = format!("\"many.lab.test\" = [{}], \"matchbox.local\"", many.join(", "));
        let lab = LAB.replace("\"matchbox.local\"", &records);
        let rack = Rack::of(&lab, kernel).await;
        let client = rack.client(STRANGER).with_address("10.0.0.50/24");
        let socket = socket(&client, "10.0.0.50:0");
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        for (payload, most) in [
            (None, 512),
            (Some(0), 512),
            (Some(512), 512),
            (Some(1000), 1000),
            (Some(1232), 1232),
            (Some(4096), 1232),
            (Some(u16::MAX), 1232),
        ] {
            let question = question("many.lab.test", payload);
            let length = ask(&socket, 53, &question).expect("an answer");
            assert!(length <= most, "{length} bytes to who takes {payload:?}");
            // 200 addresses take 3.2 kB: none of them may be sent over UDP, where the source may be spoofed.
            assert!(length <= question.len() + 11, "{length} bytes for {}", question.len());
        }
        let whole = dig(&client, "many.lab.test A +tcp");
        assert_eq!(whole.matches("10.0.0.").count(), 200, "{whole}");
    });
}

/// Spoofed answers to upstream queries: from another address, another port, with another ID, to another question.
#[test]
fn only_the_server_that_was_asked_is_believed() {
    alone(async || {
        let lab = LAB.replace("domain = \"lab.test\"", "domain = \"lab.test\", upstream = [\"10.0.0.200\"]");
        let rack = Rack::of(&lab, kernel).await;
        let one = rack.client(rack.mac("one")).with_address("10.0.0.11/24");
        let other = rack.client(STRANGER).with_address("10.0.0.200/24");
        let attacker = rack.client(Mac([2, 0, 0, 0, 0, 66])).with_address("10.0.0.66/24");
        let (right, port) = (socket(&other, "10.0.0.200:53"), socket(&other, "10.0.0.200:5353"));
        let wrong = socket(&attacker, "10.0.0.66:53");
        right.set_read_timeout(Some(PATIENCE)).unwrap();
        let (answers, answered) = channel::<()>();
        let upstream = std::thread::spawn(move || {
            let mut requested = [0; 1500];
            let (length, from) = right.recv_from(&mut requested).unwrap();
            let requested = &requested[..length];
            let end = 12 + requested[12..].iter().position(|byte| *byte == 0).unwrap() + 5;
            let answer = |id: u16, last: u8, question: &[u8]| {
                let head = [&id.to_be_bytes()[..], &[0x81, 0x80, 0, 1, 0, 1, 0, 0, 0, 0]].concat();
                [&head, question, &[0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4, 192, 0, 2, last]].concat()
            };
            let (id, question) = (u16::from_be_bytes([requested[0], requested[1]]), &requested[12..end]);
            wrong.send_to(&answer(id, 66, question), from).unwrap();
            port.send_to(&answer(id, 67, question), from).unwrap();
            for forged in 1..=2000 {
                right.send_to(&answer(id.wrapping_add(forged), 68, question), from).unwrap();
            }
            let mut elsewhere = question.to_vec();
            elsewhere[1] ^= 1;
            right.send_to(&answer(id, 69, &elsewhere), from).unwrap();
            let mut query = answer(id, 70, question);
            query[2] &= 0x7f;
            right.send_to(&query, from).unwrap();
            // Again and again: what was forged may fill the buffer of whoever is not scheduled meanwhile.
            while answered.try_recv() == Err(TryRecvError::Empty) {
                std::thread::sleep(Duration::from_millis(100));
                right.send_to(&answer(id, 7, question), from).unwrap();
            }
        });
        assert_eq!(dig(&one, "www.example.com A"), "NOERROR -- ra 192.0.2.7");
        drop(answers);
        upstream.join().unwrap();
        // Spoofed answers are not cached either.
        assert_eq!(dig(&one, "www.example.com A"), "NOERROR -- ra 192.0.2.7");
    });
}

/// Waits until the server closes a connection; returns the elapsed time.
fn closed_after(mut stream: TcpStream, begin: Instant) -> Duration {
    stream.set_read_timeout(Some(Duration::from_secs(90))).unwrap();
    let mut heard = [0; 4096];
    loop {
        match stream.read(&mut heard) {
            Ok(0) => return begin.elapsed(),
            Ok(_) => {}
            Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => return begin.elapsed(),
            Err(error) => panic!("still open after {:?}: {error}", begin.elapsed()),
        }
    }
}

/// Idle connections: DNS closes them after ten seconds, HTTP after a minute.
#[test]
fn connections_that_nobody_uses_are_closed() {
    alone(async || {
        let rack = Rack::of(LAB, kernel).await;
        let big = std::fs::File::options().write(true).open(rack.folder.path().join("kernel")).unwrap();
        big.set_len(256 << 20).unwrap();
        let client = rack.client(STRANGER).with_address("10.0.0.50/24");
        let script = b"GET /boot/one.ipxe HTTP/1.1\r\nHost: x\r\n\r\n";
        let (dns, http) = (5..=15, 55..=75);
        let cases: [(u16, &str, &[u8], _); 7] = [
            (53, "says nothing", b"", &dns),
            (53, "says half a length", b"\0", &dns),
            (53, "says half a question", b"\0\x40\x12\x34", &dns),
            (80, "says nothing", b"", &http),
            (80, "says half a head", b"GET /boot/one.ip", &http),
            (80, "asks once and stays", script, &http),
            (
                80,
                "writes what nobody reads",
                b"PUT / HTTP/1.1\r\nHost: x\r\nContent-Length: 9999\r\n\r\nx",
                &(0..=75),
            ),
        ];
        let begin = Instant::now();
        let waiting: Vec<_> = cases
            .iter()
            .map(|(port, _, said, _)| {
                let mut stream = client.within(|| TcpStream::connect((SERVER, *port)).unwrap());
                stream.write_all(said).unwrap();
                std::thread::spawn(move || closed_after(stream, begin))
            })
            .collect();
        // A client that does not read a file that exceeds all buffers.
        let mut slow = client.within(|| TcpStream::connect((SERVER, 80)).unwrap());
        let get = "GET /profile/install/kernel HTTP/1.1\r\nHost: x\r\n\r\n";
        slow.write_all(get.as_bytes()).unwrap();
        for (waiting, (port, what, _, bound)) in waiting.into_iter().zip(&cases) {
            let after = waiting.join().unwrap().as_secs();
            assert!(bound.contains(&after), "who {what} at port {port} is hung up on after {after} s");
        }
        let given_up = |known: &Known| matches!(known, Known::HttpServed { complete: false, role, .. } if *role == Some(FileRole::Kernel));
        rack.log.until("the one who reads nothing to be given up", 20, given_up).await;
        let after = rack.log.time(given_up).unwrap();
        assert!((55..=80).contains(&after.as_secs()), "{after:?}");
        drop(slow);
    });
}

/// The number of connections per client is limited; other clients are not affected.
#[test]
fn one_client_does_not_take_all_connections() {
    alone(async || {
        let rack = Rack::of(LAB, kernel).await;
        let greedy = rack.client(STRANGER).with_address("10.0.0.50/24");
        let one = rack.client(rack.mac("one")).with_address("10.0.0.11/24");
        for (port, most) in [(80, 256), (53, 32)] {
            let open = greedy.within(|| {
                let connect = |_| TcpStream::connect((SERVER, port)).unwrap();
                (0..most + 40).map(connect).collect::<Vec<_>>()
            });
            let is_closed = |mut stream: &TcpStream| {
                stream.set_nonblocking(true).unwrap();
                !matches!(stream.read(&mut [0; 1]), Err(error) if error.kind() == std::io::ErrorKind::WouldBlock)
            };
            let closed = || open.iter().filter(|stream| is_closed(stream)).count();
            rack.log.until_now("those beyond to be closed", || closed() == 40).await;
            let folder = tempfile::tempdir().unwrap();
            assert!(
                one.run_in(folder.path(), "curl", &["-fsS", "-m", "5", "-o", "out", KERNEL]).status.success()
            );
            assert_eq!(dig(&one, "one.lab.test A +tcp"), "NOERROR aa -- 10.0.0.11");
            assert_eq!(closed(), 40, "the others stay");
        }
    });
}

/// Returns the bytes queued at the DHCP port of a process, and the number of dropped packets.
fn backlog(process: u32) -> (u64, u64) {
    let table = std::fs::read_to_string(format!("/proc/{process}/net/udp")).unwrap();
    let line = table.lines().find(|line| line.contains(" 00000000:0043 ")).expect("port 67 is open");
    let fields: Vec<&str> = line.split_whitespace().collect();
    let waiting = fields[4].split_once(':').map(|(_, bytes)| u64::from_str_radix(bytes, 16).unwrap());
    (waiting.unwrap(), fields.last().unwrap().parse().unwrap())
}

/// Returns the number of datagrams that the services of a process have received.
fn taken_in(process: u32) -> u64 {
    let table = std::fs::read_to_string(format!("/proc/{process}/net/snmp")).unwrap();
    let line = table.lines().filter(|line| line.starts_with("Udp: ")).nth(1).unwrap();
    line.split(' ').nth(1).unwrap().parse().unwrap()
}

fn resident_kib(process: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").trim().parse().unwrap()
}

/// 50,000 unknown clients as fast as they can be received: all are processed, memory does not grow permanently, and
/// nodes get their addresses meanwhile.
#[test]
fn fifty_thousand_strangers_leave_no_trace() {
    const STRANGERS: u32 = 50_000;
    alone(async || {
        let lab = LAB.replace(", address = \"10.0.0.12\" }", ", address = \"pool\" }");
        let rack = Rack::of(&lab, kernel).await;
        let (one, two) = (rack.mac("one"), rack.mac("two"));
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("plan.json"), serde_json::to_vec(rack.service()).unwrap()).unwrap();
        let rack = rack.without_services().await;
        let server = Server::start(folder.path());
        let process = server.process();
        let flood = rack.client(Mac([2, 0, 0, 0, 9, 9])).with_address("10.0.0.99/24");
        // A first lease shows that the server is ready; its memory is then measured.
        let first = rack.client(STRANGER);
        assert_eq!(Lease::ask(&rack, &first, &[]).expect("a lease").get("ip"), "10.0.0.30");
        let (before, heard) = (resident_kib(process), taken_in(process));
        let socket = flood.within(|| UdpSocket::bind("10.0.0.99:0").unwrap());
        let (served, still) = channel::<()>();
        let sending = std::thread::spawn(move || {
            let (mut most, begin) = (0, Instant::now());
            let to = SocketAddr::from((SERVER, 67));
            let drain = || {
                while backlog(process).0 > 0 {
                    std::thread::yield_now();
                }
            };
            let mut sent = 0;
            // The flood continues until the nodes have their addresses.
            while sent < STRANGERS || still.try_recv() == Err(TryRecvError::Empty) {
                let number = sent;
                sent += 1;
                let [a, b, c, d] = number.wrapping_mul(2_654_435_761).to_be_bytes();
                socket.send_to(&request(Mac([2, 7, a, b, c, d]), 1, &[]), to).unwrap();
                if number % 200 == 199 {
                    drain();
                    most = most.max(resident_kib(process));
                }
            }
            drain();
            (sent, most, begin.elapsed())
        });
        let (one, two) = (rack.client(one), rack.client(two));
        assert_eq!(Lease::ask(&rack, &one, &[]).expect("a lease").get("ip"), "10.0.0.11");
        let lease = Lease::ask(&rack, &two, &[]).expect("a lease");
        assert!(["10.0.0.31", "10.0.0.32"].contains(&lease.get("ip")), "{}", lease.get("ip"));
        drop(served);
        let (sent, most, took) = sending.join().unwrap();
        assert_eq!(backlog(process), (0, 0), "nothing waits, nothing was lost");
        let heard = taken_in(process) - heard;
        assert!(sent >= STRANGERS && heard >= sent.into(), "{heard} of {sent} were heard");
        // A thousand events per second are emitted, and the test stores all of them.
        let allowed = 4096 + 1024 * (took.as_secs() + 1);
        let grown = most.saturating_sub(before);
        assert!(grown <= allowed, "{sent} in {took:?}: {before} KiB before, {most} KiB at most");
        // An existing lease is kept although all other addresses are taken.
        assert_eq!(Lease::ask(&rack, &first, &[]).expect("a lease").get("ip"), "10.0.0.30");
    });
}
