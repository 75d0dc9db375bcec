use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use proptest::prelude::*;
use tokio::runtime::Runtime;

use super::super::example::{Log, content, plan};
use super::*;
use crate::event::Known;
use crate::serve::clients::Clients;
use crate::serve::context::Context;

/// The MTU of the tests' network.
const MTU: u16 = 1500;

/// A server on the loopback interface. It stops when it is dropped.
struct Server {
    at: SocketAddr,
    log: Log,
    folder: tempfile::TempDir,
    stop: CancellationToken,
    _runtime: Runtime,
}

impl Server {
    fn start(backend: TftpBackend) -> Self {
        Self::at("127.0.0.1:0", backend)
    }

    fn at(address: &str, backend: TftpBackend) -> Self {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("kernel"), "0123456789").unwrap();
        let (log, stop) = (Log::default(), CancellationToken::new());
        let socket = UdpSocket::bind(address).unwrap();
        socket.set_nonblocking(true).unwrap();
        let at = socket.local_addr().unwrap();
        let (content, ends) = (content(folder.path()), stop.clone());
        let context = Context::new(Clients::new(&plan()), log.ticking());
        let runtime = Runtime::new().unwrap();
        runtime.spawn_blocking(move || run(vec![socket], backend, MTU, content, context, ends));
        Self { at, log, folder, stop, _runtime: runtime }
    }

    fn kernel(&self, content: &[u8]) {
        std::fs::write(self.folder.path().join("kernel"), content).unwrap();
    }

    /// Waits for an event and returns it.
    fn reported(&self) -> String {
        let begin = Instant::now();
        loop {
            let lines: Vec<String> = self.log.take().into_iter().map(|(_, known)| line(&known)).collect();
            if !lines.is_empty() {
                return lines.join("\n");
            }
            assert!(begin.elapsed() < Duration::from_secs(20), "nothing was told");
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

fn line(known: &Known) -> String {
    match known {
        Known::TftpServed { path, outcome, bytes, role, rule, mode, blksize, windowsize, .. } => {
            let terms = blksize.map(|size| format!(" in blocks of {size} × {}", windowsize.unwrap_or(0)));
            let role = role.as_ref().map(|role| format!(" of {role}")).unwrap_or_default();
            format!("{outcome} {path}: {bytes} bytes{role} as {mode}{} [{rule}]", terms.unwrap_or_default())
        }
        Known::ServiceFailed { service, error } => format!("{service} failed: {error}"),
        other => panic!("{other:?}"),
    }
}

/// A client with its own socket.
struct Client {
    socket: UdpSocket,
    server: SocketAddr,
}

/// What a client received.
#[derive(Debug, PartialEq)]
struct Given {
    options: BTreeMap<String, String>,
    content: Vec<u8>,
    error: Option<u16>,
}

impl Client {
    fn of(server: &Server) -> Self {
        Self::at("127.0.0.1:0", server)
    }

    fn at(address: &str, server: &Server) -> Self {
        let socket = UdpSocket::bind(address).unwrap();
        socket.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
        Self { socket, server: server.at }
    }

    fn ask(&self, path: &[u8], mode: &str, options: &[(&str, String)]) {
        let mut packet = [b"\0\x01", path, b"\0", mode.as_bytes(), b"\0"].concat();
        for (name, value) in options {
            packet.extend([name.as_bytes(), b"\0", value.as_bytes(), b"\0"].concat());
        }
        self.socket.send_to(&packet, self.server).unwrap();
    }

    fn hear(&self) -> (Vec<u8>, SocketAddr) {
        let mut packet = vec![0; 70_000];
        let (length, from) = self.socket.recv_from(&mut packet).expect("an answer");
        packet.truncate(length);
        (packet, from)
    }

    fn say(&self, packet: &[u8], to: SocketAddr) {
        self.socket.send_to(packet, to).unwrap();
    }

    fn ack(&self, block: u64, to: SocketAddr) {
        self.say(&[[0, 4], (block as u16).to_be_bytes()].concat(), to);
    }

    /// Asserts that nothing is received for a while.
    fn hears_nothing(&self) {
        self.socket.set_read_timeout(Some(Duration::from_millis(100))).unwrap();
        let mut packet = [0; 2000];
        if let Ok((length, from)) = self.socket.recv_from(&mut packet) {
            panic!("{from} said {:?}", &packet[..length.min(40)]);
        }
        self.socket.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
    }

    /// Fetches a file without packet loss.
    fn fetch(&self, path: &[u8], mode: &str, options: &[(&str, String)]) -> Given {
        self.ask(path, mode, options);
        let mut given = Given { options: BTreeMap::new(), content: Vec::new(), error: None };
        let (mut block, mut window, mut heard) = (512, 1, 0_u64);
        loop {
            let (packet, from) = self.hear();
            match packet[1] {
                6 => {
                    let text = String::from_utf8(packet[2..].to_vec()).unwrap();
                    let fields: Vec<&str> = text.split_terminator('\0').collect();
                    for pair in fields.chunks(2) {
                        given.options.insert(pair[0].to_owned(), pair[1].to_owned());
                    }
                    let agreed = |name: &str| given.options.get(name).map(|value| value.parse().unwrap());
                    block = agreed("blksize").unwrap_or(block);
                    window = agreed("windowsize").map_or(window, |window| window as u64);
                    self.ack(0, from);
                }
                3 => {
                    heard += 1;
                    assert_eq!(packet[2..4], (heard as u16).to_be_bytes());
                    given.content.extend_from_slice(&packet[4..]);
                    let last = packet.len() - 4 < block;
                    if last || heard.is_multiple_of(window) {
                        self.ack(heard, from);
                    }
                    if last {
                        return given;
                    }
                }
                5 => {
                    given.error = Some(u16::from_be_bytes([packet[2], packet[3]]));
                    return given;
                }
                other => panic!("operation {other}"),
            }
        }
    }
}

#[test]
fn requests_and_answers() {
    let server = Server::start(TftpBackend::Builtin);
    let table: &[(&[u8], &str)] = &[
        (b"profile/tiny/kernel", "octet"),
        (b"/profile/tiny/kernel", "octet"),
        (br"\profile\tiny\kernel", "octet"),
        (b"profile/tiny/kernel\xff", "octet"),
        (b"profile/tiny/kernel\0", "octet"),
        (b"boot/fast.ipxe", "octet"),
        (b"boot/fast.ipxe", "NetASCII"),
        (b"profile/tiny/initrd0", "octet"),
        (b"revocations_sku.efi", "octet"),
        (b"../../etc/passwd", "octet"),
        (b"/etc/passwd", "octet"),
    ];
    let mut lines = Vec::new();
    for (path, mode) in table {
        let Given { content, error, .. } = Client::of(&server).fetch(path, mode, &[]);
        let got = error.map_or_else(
            || format!("{:?}", String::from_utf8_lossy(&content)),
            |code| format!("error {code}"),
        );
        lines.push(format!("{got}\n  {}", server.reported()));
    }
    insta::assert_snapshot!(lines.join("\n"), @r##"
    "0123456789"
      sent profile/tiny/kernel: 10 bytes of kernel as octet in blocks of 512 × 1 [plan]
    "0123456789"
      sent /profile/tiny/kernel: 10 bytes of kernel as octet in blocks of 512 × 1 [plan]
    "0123456789"
      sent \profile\tiny\kernel: 10 bytes of kernel as octet in blocks of 512 × 1 [plan]
    "0123456789"
      sent profile/tiny/kernel: 10 bytes of kernel as octet in blocks of 512 × 1 [plan]
    "0123456789"
      sent profile/tiny/kernel: 10 bytes of kernel as octet in blocks of 512 × 1 [plan]
    "#!ipxe\nboot\n"
      sent boot/fast.ipxe: 12 bytes of script as octet in blocks of 512 × 1 [text]
    "#!ipxe\r\nboot\r\n"
      sent boot/fast.ipxe: 14 bytes of script as netascii in blocks of 512 × 1 [text]
    error 1
      tftp failed: profile/tiny/initrd0: `image:tiny/initrd` does not exist
    not-found profile/tiny/initrd0: 0 bytes as octet [`image:tiny/initrd` does not exist]
    error 1
      not-found revocations_sku.efi: 0 bytes as octet [not found]
    error 2
      refused ../../etc/passwd: 0 bytes as octet [refused: the path leaves the served folder]
    error 1
      not-found /etc/passwd: 0 bytes as octet [not found]
    "##);
}

#[test]
fn what_is_agreed_on_is_told() {
    let server = Server::start(TftpBackend::Builtin);
    server.kernel(&[7; 5000]);
    let options = [("blksize", "8192".to_owned()), ("tsize", "0".to_owned()), ("windowsize", "2".to_owned())];
    let given = Client::of(&server).fetch(b"profile/tiny/kernel", "octet", &options);
    assert_eq!(given.content, [7; 5000]);
    insta::assert_debug_snapshot!(given.options, @r#"
    {
        "blksize": "1468",
        "tsize": "5000",
        "windowsize": "2",
    }
    "#);
    insta::assert_snapshot!(server.reported(), @"sent profile/tiny/kernel: 5000 bytes of kernel as octet in blocks of 1468 × 2 [plan]");
}

#[test]
fn who_only_wants_the_size_is_told_it_and_no_more() {
    let server = Server::start(TftpBackend::Builtin);
    let client = Client::of(&server);
    client.ask(b"profile/tiny/kernel", "octet", &[("tsize", "0".to_owned()), ("blksize", "1468".to_owned())]);
    let (offer, from) = client.hear();
    assert_eq!(offer, b"\0\x06tsize\x0010\0blksize\x001468\0");
    client.say(b"\0\x05\0\x08User aborted the transfer\0", from);
    insta::assert_snapshot!(server.reported(), @"probed profile/tiny/kernel: 0 bytes of kernel as octet in blocks of 1468 × 1 [plan]");
    // From the same source port, as some firmware does.
    let given = client.fetch(b"profile/tiny/kernel", "octet", &[("blksize", "1468".to_owned())]);
    assert_eq!(given.content, b"0123456789");
    assert!(server.reported().starts_with("sent "));
    client.hears_nothing();
}

#[test]
fn an_error_of_the_client_ends_its_transfer() {
    let server = Server::start(TftpBackend::Builtin);
    server.kernel(&[7; 5000]);
    let client = Client::of(&server);
    client.ask(b"profile/tiny/kernel", "octet", &[]);
    let (_, from) = client.hear();
    client.ack(1, from);
    assert_eq!(client.hear().0[..4], *b"\0\x03\0\x02");
    client.say(b"\0\x05\0\x03disk full\0", from);
    insta::assert_snapshot!(server.reported(), @"aborted profile/tiny/kernel: 512 bytes of kernel as octet in blocks of 512 × 1 [plan]");
    client.ack(2, from);
    client.hears_nothing();
}

#[test]
fn a_client_that_forgot_asks_again_from_the_same_port() {
    let server = Server::start(TftpBackend::Builtin);
    server.kernel(&[7; 5000]);
    let client = Client::of(&server);
    client.ask(b"profile/tiny/kernel", "octet", &[]);
    let (_, first) = client.hear();
    client.ack(1, first);
    assert_eq!(client.hear().0[..4], *b"\0\x03\0\x02");
    client.ask(b"boot/fast.ipxe", "octet", &[]);
    let (script, second) = client.hear();
    assert_eq!(&script[4..], b"#!ipxe\nboot\n");
    assert_ne!(first, second);
    insta::assert_snapshot!(server.reported(), @"aborted profile/tiny/kernel: 512 bytes of kernel as octet in blocks of 512 × 1 [plan]");
    client.ack(1, second);
    assert!(server.reported().starts_with("sent boot/fast.ipxe"));
}

#[test]
fn a_request_that_the_network_doubles_starts_one_transfer() {
    let server = Server::start(TftpBackend::Builtin);
    server.kernel(&[7; 5000]);
    let client = Client::of(&server);
    for _ in 0..3 {
        client.ask(b"profile/tiny/kernel", "octet", &[]);
    }
    let (_, from) = client.hear();
    client.hears_nothing();
    client.ack(1, from);
    assert_eq!(client.hear().0[..4], *b"\0\x03\0\x02");
    // The last datagram was delayed in the network. The client rejects the answer (RFC 1350, section 4).
    client.ask(b"profile/tiny/kernel", "octet", &[]);
    let (_, doubled) = client.hear();
    assert_ne!(doubled, from);
    client.say(b"\0\x05\0\x05unknown transfer ID\0", doubled);
    client.ack(2, from);
    assert_eq!(client.hear(), ([&b"\0\x03\0\x03"[..], &[7; 512]].concat(), from));
    assert_eq!(
        server.reported(),
        "aborted profile/tiny/kernel: 0 bytes of kernel as octet in blocks of 512 × 1 [plan]"
    );
    // It is known as before: another request from its port ends it.
    client.ask(b"boot/fast.ipxe", "octet", &[]);
    let (_, second) = client.hear();
    assert!(server.reported().starts_with("aborted profile/tiny/kernel: 1024 bytes"));
    client.ack(1, second);
    assert!(server.reported().starts_with("sent boot/fast.ipxe"));
}

#[test]
fn another_request_ends_all_that_its_port_has_open() {
    let server = Server::start(TftpBackend::Builtin);
    server.kernel(&[7; 5000]);
    let client = Client::of(&server);
    client.ask(b"profile/tiny/kernel", "octet", &[]);
    let (_, first) = client.hear();
    client.ack(1, first);
    assert_eq!(client.hear().0[..4], *b"\0\x03\0\x02");
    client.ask(b"profile/tiny/kernel", "octet", &[]);
    client.hear();
    client.ask(b"boot/fast.ipxe", "octet", &[]);
    let (_, last) = client.hear();
    let mut aborted = server.reported();
    while aborted.matches("aborted profile/tiny/kernel").count() < 2 {
        aborted += &server.reported();
    }
    client.ack(1, last);
    assert!(server.reported().starts_with("sent boot/fast.ipxe"));
}

/// As U-Boot and lwIP do, which use one port for all requests and abandon a transfer without an error.
#[test]
fn a_client_that_always_uses_one_port_asks_again_and_starts_anew() {
    let server = Server::start(TftpBackend::Builtin);
    server.kernel(&[7; 1200]);
    let client = Client::of(&server);
    client.ask(b"profile/tiny/kernel", "octet", &[]);
    let (_, abandoned) = client.hear();
    client.ack(1, abandoned);
    assert_eq!(client.hear().0[..4], *b"\0\x03\0\x02");

    client.ask(b"profile/tiny/kernel", "octet", &[]);
    let (_, from) = client.hear();
    assert_ne!(from, abandoned);
    client.ack(1, from);
    assert_eq!(client.hear(), ([&b"\0\x03\0\x02"[..], &[7; 512]].concat(), from));
    assert!(server.reported().starts_with("aborted profile/tiny/kernel: 512 bytes"));
    client.ack(2, from);
    assert_eq!(client.hear(), ([&b"\0\x03\0\x03"[..], &[7; 176]].concat(), from));
    client.ack(3, from);
    assert!(server.reported().starts_with("sent profile/tiny/kernel: 1200 bytes"));
}

#[test]
fn strangers_are_told_so_and_disturb_nobody() {
    let server = Server::start(TftpBackend::Builtin);
    server.kernel(&[7; 5000]);
    let (client, stranger) = (Client::of(&server), Client::of(&server));
    client.ask(b"profile/tiny/kernel", "octet", &[]);
    let (_, from) = client.hear();
    for packet in [&b"\0\x04\0\x01"[..], b"\0\x03\0\x01x", b"\0\x09", b"garbage", b"\0\x01a\0octet\0"] {
        stranger.say(packet, from);
        let (answer, reported_by) = stranger.hear();
        assert_eq!((&answer[..4], reported_by), (&b"\0\x05\0\x05"[..], from), "{packet:?}");
    }
    // An ERROR is not answered, and an ERROR from another address does not end the transfer.
    stranger.say(b"\0\x05\0\0go away\0", from);
    stranger.hears_nothing();
    client.hears_nothing();
    client.ack(1, from);
    assert_eq!(client.hear().0[..4], *b"\0\x03\0\x02");
    // A malformed packet from the client does not end the transfer either.
    client.say(b"\0\x09what?", from);
    assert_eq!(client.hear().0[..4], *b"\0\x05\0\x05");
    client.ack(2, from);
    assert_eq!(client.hear().0[..4], *b"\0\x03\0\x03");
}

#[test]
fn what_is_no_request_is_refused() {
    let server = Server::start(TftpBackend::Builtin);
    let client = Client::of(&server);
    for (packet, code) in [
        (&b"\0\x02profile/tiny/kernel\0octet\0"[..], 2),
        (b"\0\x03\0\x01data", 5),
        (b"\0\x04\0\x01", 5),
        (b"\0\x06blksize\x008\0", 5),
        (b"\0\x07", 4),
        (b"garbage", 4),
        (b"\0\x01profile/tiny/kernel\0mail\0", 4),
        (b"\0\x01profile/tiny/kernel", 4),
    ] {
        client.say(packet, server.at);
        assert_eq!(client.hear().0[..4], [0, 5, 0, code], "{packet:?}");
    }
    insta::assert_snapshot!(server.reported(), @"refused profile/tiny/kernel: 0 bytes as octet [read-only]");
    for packet in [&b"\0\x05\0\0go away\0"[..], b"\0", b""] {
        client.say(packet, server.at);
    }
    client.hears_nothing();
}

#[test]
fn a_silent_client_hears_the_same_again_and_is_forgotten() {
    let server = Server::start(TftpBackend::Builtin);
    server.kernel(&[7; 5000]);
    let client = Client::of(&server);
    let begin = Instant::now();
    client.ask(b"profile/tiny/kernel", "octet", &[]);
    let (_, from) = client.hear();
    client.ack(1, from);
    let mut heard = Vec::new();
    for _ in 0..3 {
        assert_eq!(client.hear().0[..4], *b"\0\x03\0\x02");
        heard.push(begin.elapsed());
    }
    assert!(heard[1] - heard[0] >= Duration::from_millis(200), "{heard:?}");
    assert!(heard[2] - heard[1] > heard[1] - heard[0], "{heard:?}");
    let reported = server.reported();
    assert!(reported.starts_with("vanished profile/tiny/kernel: 512 bytes"), "{reported}");
    assert!(begin.elapsed() < Duration::from_secs(12), "{:?}", begin.elapsed());
    client.ack(2, from);
    client.socket.set_read_timeout(Some(Duration::from_millis(100))).unwrap();
    while client.socket.recv_from(&mut [0; 2000]).is_ok_and(|(length, _)| length > 500) {}
}

#[test]
fn numbers_begin_anew_in_large_files() {
    let server = Server::start(TftpBackend::Builtin);
    let content: Vec<u8> = (0..600_001_u32).map(|number| (number ^ number >> 8) as u8).collect();
    server.kernel(&content);
    for window in [1, 64] {
        let options = [("blksize", "8".to_owned()), ("windowsize", window.to_string())];
        let given = Client::of(&server).fetch(b"profile/tiny/kernel", "octet", &options);
        assert!(given.content == content, "window {window}");
    }
}

#[test]
fn a_file_that_shrinks_is_sent_as_it_is() {
    let server = Server::start(TftpBackend::Builtin);
    server.kernel(&[7; 40_000]);
    let client = Client::of(&server);
    client.ask(b"profile/tiny/kernel", "octet", &[]);
    let (_, from) = client.hear();
    // As much as the read-ahead.
    for block in 1..32 {
        client.ack(block, from);
        assert_eq!(client.hear().0.len(), 4 + 512);
    }
    server.kernel(&[7; 16_384 + 88]);
    client.ack(32, from);
    assert_eq!(client.hear().0.len(), 4 + 88);
    client.ack(33, from);
    assert!(server.reported().starts_with("sent profile/tiny/kernel: 16472 bytes"));
}

#[test]
fn ipv6_is_served_too() {
    for backend in [TftpBackend::Builtin, TftpBackend::AsyncTftp] {
        let server = Server::at("[::1]:0", backend);
        server.kernel(&[7; 5000]);
        let client = Client::at("[::1]:0", &server);
        let options = [("blksize", "1468".to_owned())];
        let given = client.fetch(b"profile/tiny/kernel", "octet", &options);
        assert_eq!(given.content, [7; 5000]);
        assert_eq!(given.options["blksize"], "1448", "what the larger head leaves");
    }
}

/// Sends the same requests to both backends, as far as the library conforms: it does not implement netascii and
/// ignores what it cannot parse.
#[test]
fn both_backends_give_the_same() {
    let (own, library) = (Server::start(TftpBackend::Builtin), Server::start(TftpBackend::AsyncTftp));
    let ask = |server: &Server, path: &str, options: &[(&str, String)]| {
        Client::of(server).fetch(path.as_bytes(), "octet", options)
    };
    let size = prop_oneof![0..3_u64, 500..530_u64, 0..60_000_u64];
    let option = |name: &'static str, values: std::ops::Range<u32>| {
        prop::option::of(values.prop_map(move |value| (name, value.to_string())))
    };
    let options = (
        option("blksize", 8..3000),
        option("tsize", 0..1),
        option("windowsize", 1..100),
        option("timeout", 1..256),
    );
    let requests = (size, options, 0..24_usize, any::<bool>());
    let mut runner = proptest::test_runner::TestRunner::new(ProptestConfig::with_cases(100));
    runner
        .run(&requests, |(size, (blksize, tsize, windowsize, timeout), order, upper)| {
            let content: Vec<u8> = (0..size).map(|number| (number ^ number >> 8) as u8).collect();
            own.kernel(&content);
            library.kernel(&content);
            let upper_case = ["BLKSIZE", "TSIZE", "WINDOWSIZE", "TIMEOUT"];
            let mut options: Vec<(&str, String)> = [blksize, tsize, windowsize, timeout]
                .into_iter()
                .zip(upper_case)
                .filter_map(|(option, name)| {
                    option.map(|(lower, value)| (if upper { name } else { lower }, value))
                })
                .collect();
            let places = options.len().max(1);
            options.rotate_left(order % places);
            let ours = ask(&own, "profile/tiny/kernel", &options);
            prop_assert!(ours.content == content);
            prop_assert_eq!(&ours, &ask(&library, "profile/tiny/kernel", &options));
            Ok(())
        })
        .unwrap();
    for path in ["boot/fast.ipxe", "/boot/fast.ipxe", "nothing", "../../etc/passwd", "profile/tiny/initrd0"] {
        assert_eq!(ask(&own, path, &[]), ask(&library, path, &[]), "{path}");
    }
    for server in [&own, &library] {
        let client = Client::of(server);
        client.say(b"\0\x02a\0octet\0", server.at);
        assert_eq!(client.hear().0[..4], *b"\0\x05\0\x02");
    }
}

#[test]
fn a_long_transfer_tells_how_far_it_is() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("kernel"), "0123456789").unwrap();
    let log = Log::default();
    let mut handler =
        TftpHandler::new(content(folder.path()), Context::new(Clients::new(&plan()), log.emitter()));
    let from = "10.0.0.11:1234".parse().unwrap();
    let mut opened = handler.open(from, b"profile/tiny/kernel", packet::Mode::Octet).unwrap();
    for bytes in [4, 4, 8] {
        log.pass(1);
        opened.delivery.came_to(bytes);
    }
    drop(opened);
    let reported: Vec<String> = log
        .take()
        .into_iter()
        .map(|(node, known)| {
            assert_eq!(node.as_deref(), Some("fast"));
            match known {
                Known::Fetching { bytes, total: Some(10), .. } => format!("fetching, {bytes}"),
                Known::TftpServed { outcome, bytes, ms, .. } => format!("{outcome}, {bytes} in {ms} ms"),
                other => panic!("{other:?}"),
            }
        })
        .collect();
    assert_eq!(reported, ["fetching, 4", "fetching, 8", "aborted, 8 in 3000 ms"]);
}

#[test]
fn a_folder_of_paths_is_not_a_file() {
    let server = Server::start(TftpBackend::Builtin);
    std::fs::remove_file(server.folder.path().join("kernel")).unwrap();
    std::fs::create_dir(server.folder.path().join("kernel")).unwrap();
    let given = Client::of(&server).fetch(b"profile/tiny/kernel", "octet", &[]);
    assert_eq!(given.error, Some(1));
}
