//! HTTP with curl.

use std::io::{Read, Write};
use std::net::{TcpStream, UdpSocket};
use std::path::Path;
use std::time::{Duration, Instant};

use dryrack::event::{FileRole, Known, TftpOutcome};
use nix::sys::socket::setsockopt;
use nix::sys::socket::sockopt::RcvBuf;

use crate::rack::{Client, Rack, alone, program};
use crate::{LAB, kernel, numbers};

pub(crate) const KERNEL: &str = "http://10.0.0.1/profile/install/kernel";

#[test]
fn curl_fetches_whole_in_pieces_and_on() {
    alone(async || {
        let rack = Rack::of(LAB, kernel).await;
        let one = rack.client(rack.mac("one")).with_address("10.0.0.11/24");
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("out");
        let curl = |options: &[&str]| {
            let output = one.run_in(folder.path(), "curl", &[&["-sS", "-m", "20"], options].concat());
            assert!(output.status.success(), "{options:?}: {}", String::from_utf8_lossy(&output.stderr));
            output.stdout
        };
        let all = numbers(1 << 20);

        curl(&["-o", "out", KERNEL]);
        assert_eq!(std::fs::read(&file).unwrap(), all);
        // Exactly this spelling: GRUB accepts no other.
        let head = String::from_utf8(curl(&["-I", KERNEL])).unwrap();
        assert!(head.starts_with("HTTP/1.1 200 OK\r\n"), "{head}");
        assert!(
            head.contains("Content-Length: 1048576\r\n") && head.contains("Accept-Ranges: bytes\r\n"),
            "{head}"
        );
        assert_eq!(curl(&["-r", "1000-1999", KERNEL]), all[1000..2000]);
        assert_eq!(curl(&["-r", "-10", KERNEL]), all[(1 << 20) - 10..]);
        assert_eq!(curl(&["-o", "/dev/null", "-w", "%{http_code}", "-r", "2000000-", KERNEL]), b"416");

        let pieces = curl(&["-r", "0-9,1000-1009", KERNEL]);
        let has = |piece: &[u8]| pieces.windows(piece.len()).any(|window| window == piece);
        assert!(has(&all[..10]) && has(&all[1000..1010]) && has(b"Content-Range: bytes 1000-1009/1048576"));
        let newer = ["-z", "kernel", "-o", "out", "-w", "%{http_code}", KERNEL];
        std::fs::copy(rack.folder.path().join("kernel"), folder.path().join("kernel")).unwrap();
        assert_eq!(curl(&newer), b"304");

        // An interrupted download is resumed.
        std::fs::write(&file, &all[..300_000]).unwrap();
        curl(&["-C", "-", "-o", "out", KERNEL]);
        assert_eq!(std::fs::read(&file).unwrap(), all);
        let resumed = |known: &Known| {
            matches!(known, Known::HttpServed { status: 206, bytes: 748_576, complete: true, .. })
        };
        rack.log.until("the rest in the log", 5, resumed).await;

        // Two requests on one connection, as firmware does.
        let script = "http://10.0.0.1/boot/one.ipxe";
        let both = String::from_utf8(curl(&[script, script, "-w", "%{num_connects}\n"])).unwrap();
        assert!(both.starts_with("#!ipxe\nkernel /profile/install/kernel"), "{both}");
        assert!(both.contains("boot\n1\n#!ipxe") && both.ends_with("boot\n0\n"), "{both}");
        for (path, status) in [("/../../etc/passwd", "403"), ("/%2e%2e/etc/passwd", "403"), ("/", "404")] {
            let url = format!("http://10.0.0.1{path}");
            let text = curl(&["--path-as-is", "-o", "/dev/null", "-w", "%{http_code}", &url]);
            assert_eq!(String::from_utf8(text).unwrap(), status, "{path}");
        }
        assert_eq!(curl(&["-X", "PUT", "-d", "x", "-o", "/dev/null", "-w", "%{http_code}", KERNEL]), b"405");

        // An aborted download is reported as such, and others are not affected. Socket buffers hold megabytes.
        let big = std::fs::File::options().write(true).open(rack.folder.path().join("kernel")).unwrap();
        big.set_len(64 << 20).unwrap();
        let output = one.run_in(
            folder.path(),
            "curl",
            &["-sS", "--limit-rate", "100K", "-m", "1", "-o", "cut", KERNEL],
        );
        assert!(!output.status.success());
        rack.log
            .until("the broken download", 5, |known| {
                matches!(known, Known::HttpServed { status: 200, complete: false, role, .. } if *role == Some(FileRole::Kernel))
            })
            .await;
        assert_eq!(curl(&["-r", "0-3", KERNEL]), all[..4]);
    });
}

#[test]
fn wget_fetches_and_goes_on() {
    alone(async || {
        let rack = Rack::of(LAB, kernel).await;
        let one = rack.client(rack.mac("one")).with_address("10.0.0.11/24");
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("kernel");
        let all = numbers(1 << 20);
        let wget = |options: &[&str]| {
            let output = one.run_in(folder.path(), "wget", &[&["-nv", "-T", "20"], options].concat());
            assert!(output.status.success(), "{options:?}: {}", String::from_utf8_lossy(&output.stderr));
        };
        wget(&[KERNEL]);
        assert!(std::fs::read(&file).unwrap() == all);
        std::fs::write(&file, &all[..300_000]).unwrap();
        wget(&["-c", KERNEL]);
        assert!(std::fs::read(&file).unwrap() == all);
        wget(&["-N", KERNEL]);
    });
}

/// A lab with a served folder, and a secret beside it that a link in the folder points to.
fn with_folder(folder: &Path) {
    kernel(folder);
    std::fs::write(folder.join("secret"), "secret").unwrap();
    let root = folder.join("www");
    std::fs::create_dir_all(root.join("grub")).unwrap();
    std::fs::write(root.join("grub/grub.cfg"), "timeout 0\n").unwrap();
    std::fs::write(root.join("BOOTX64.EFI"), "MZ").unwrap();
    std::fs::write(root.join("with space & more"), "x").unwrap();
    for (link, to) in
        [("out", "../secret"), ("above", ".."), ("root", "/"), ("etc", "/etc/passwd"), ("circle", "circle")]
    {
        std::os::unix::fs::symlink(to, root.join(link)).unwrap();
    }
}

fn lab_with_folder(listing: bool) -> String {
    LAB.replace("mtu = 1400", &format!("mtu = 1400\nroot = \"www\"\nlisting = {listing}"))
}

#[test]
fn a_labs_folder_is_served_by_http_and_tftp() {
    alone(async || {
        let rack = Rack::of(&lab_with_folder(true), with_folder).await;
        let one = rack.client(rack.mac("one")).with_address("10.0.0.11/24");
        let curl = |url: &str| one.run("curl", &["-sS", "-m", "20", url]);
        for url in [
            "http://10.0.0.1/grub/grub.cfg",
            "http://10.0.0.1//grub/grub.cfg",
            "tftp://10.0.0.1//grub/grub.cfg",
        ] {
            assert_eq!(curl(url), "timeout 0\n", "{url}");
        }
        assert!(one.run("curl", &["-sSI", "http://10.0.0.1/BOOTX64.EFI"]).contains("application/efi"));
        let page = curl("http://10.0.0.1/");
        for part in [
            "<a href=\"/grub/\">grub/</a>",
            "<a href=\"/with%20space%20%26%20more\">with space &amp; more</a>",
        ] {
            assert!(page.contains(part), "{page}");
        }
        assert_eq!(curl("http://10.0.0.1/with%20space%20%26%20more"), "x");
        let by_root = |known: &Known| matches!(known, Known::HttpServed { rule, .. } if rule == "root");
        rack.log.until("what decided", 5, by_root).await;
    });
}

/// Spellings of paths that leave the served folder, percent-encoded for URLs; decoded for TFTP.
const ESCAPES: &[&str] = &[
    "/../secret",
    "/grub/../../secret",
    "/grub/../../../../../../etc/passwd",
    "//../secret",
    "/./../secret",
    "/%2e%2e/secret",
    "/%2E%2E/secret",
    "/.%2e/secret",
    "/%2e./secret",
    "/%2e%2e%2fsecret",
    "/..%2fsecret",
    "/grub%2f..%2f..%2fsecret",
    "/..%5csecret",
    "/..\\secret",
    "/\\..\\secret",
    "/grub\\..\\..\\secret",
    "/%252e%252e/secret",
    "/%252e%252e%252fsecret",
    "/..%252fsecret",
    "/..%255csecret",
    "/%25252e%25252e/secret",
    "/%u002e%u002e/secret",
    "/%c0%ae%c0%ae/secret",
    "/..%c0%afsecret",
    "/%e0%80%ae%e0%80%ae/secret",
    "/..%c1%9csecret",
    "/grub/grub.cfg%00/../../../secret",
    "/out%00.txt",
    "/..;/secret",
    "/..%20/secret",
    "/.../secret",
    "/out",
    "/above/secret",
    "/root/etc/passwd",
    "/etc",
    "/circle",
    "/C:/secret",
    "/C:%5csecret",
    "/file:///etc/passwd",
    "/grub/%2e%2e/%2e%2e/secret",
];

/// The same as raw bytes that are not valid in URLs.
const RAW_ESCAPES: &[&[u8]] = &[
    b"../secret",
    b"/../secret",
    b"\\..\\secret",
    b"grub/../../secret",
    b"\xc0\xae\xc0\xae/secret",
    b"..\xc0\xafsecret",
    b"\xff\xfe/secret",
    b"grub/\x01/secret",
    b"%2e%2e/secret",
    b"..%2fsecret",
    b"out",
    b"above/secret",
    b"root/etc/passwd",
    b"etc",
    b"C:\\secret",
    b"..;/secret",
    b"../\xff",
];

#[test]
fn no_spelling_leads_out_of_what_is_served() {
    alone(async || {
        let rack = Rack::of(&lab_with_folder(true), with_folder).await;
        let one = rack.client(rack.mac("one")).with_address("10.0.0.11/24");
        let refused = |known: &Known| match known {
            Known::HttpServed { rule, .. } => rule.starts_with("refused"),
            Known::TftpServed { outcome, .. } => *outcome == TftpOutcome::Refused,
            _ => false,
        };
        let refusals = || rack.log.count(refused);
        let by_http = |request: &[u8]| {
            one.within(|| {
                let mut stream = TcpStream::connect("10.0.0.1:80").unwrap();
                stream.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
                stream.write_all(request).unwrap();
                let mut answer = Vec::new();
                stream.read_to_end(&mut answer).unwrap();
                String::from_utf8_lossy(&answer).into_owned()
            })
        };
        let request = |path: &[u8]| {
            [b"GET ", path, b" HTTP/1.1\r\nHost: 10.0.0.1\r\nConnection: close\r\n\r\n"].concat()
        };
        let mut expected = 0;
        for path in ESCAPES {
            for target in [(*path).to_owned(), format!("http://10.0.0.1{path}")] {
                let answer = by_http(&request(target.as_bytes()));
                assert!(answer.starts_with("HTTP/1.1 40"), "{target}: {answer}");
                assert!(!answer.contains("root:") && !answer.ends_with("secret"), "{target}: {answer}");
                expected += 1;
                rack.log.until_now(&target, || refusals() == expected).await;
            }
        }
        for path in [&b"/a\0b"[..], b"/\x01", b"/\xc0\xae\xc0\xae/secret", b"../secret"] {
            let answer = by_http(&request(path));
            assert!(answer.starts_with("HTTP/1.1 40"), "{path:?}: {answer}");
            expected += 1;
            rack.log.until_now(&format!("{path:?}"), || refusals() == expected).await;
        }
        let socket = one.within(|| UdpSocket::bind("10.0.0.11:0").unwrap());
        socket.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
        // A NUL terminates a name, so it cannot be part of one.
        let encoded = ESCAPES.iter().map(|path| path.as_bytes());
        let paths = encoded.filter(|path| *path != b"/out%00.txt").chain(RAW_ESCAPES.iter().copied());
        for path in paths {
            let mut packet = [0; 1500];
            socket.send_to(&[b"\0\x01", path, b"\0octet\0"].concat(), "10.0.0.1:69").unwrap();
            let (length, _) = socket.recv_from(&mut packet).unwrap();
            let name = String::from_utf8_lossy(path).into_owned();
            assert_eq!(packet[..4], [0, 5, 0, 2], "{name}: {:?}", String::from_utf8_lossy(&packet[..length]));
            expected += 1;
            rack.log.until_now(&name, || refusals() == expected).await;
        }
        // Missing paths are not found; nothing above was confused with them.
        for path in ["/etc/passwd", "/secret"] {
            assert!(by_http(&request(path.as_bytes())).starts_with("HTTP/1.1 40"), "{path}");
        }
        assert!(!rack.log.has(|known| matches!(known, Known::ServiceFailed { .. })), "{}", rack.log.text());
    });
}

/// Open connections of the server, from ss.
fn connections() -> String {
    let ports = ["-Htn", "sport = :80 or sport = :443"];
    let output = std::process::Command::new(program("ss")).args(ports).output().unwrap();
    assert!(output.status.success());
    String::from_utf8(output.stdout).unwrap()
}

/// The server closes stalled connections after a minute, and not much later.
#[test]
fn clients_that_hang_or_vanish_are_dropped_within_a_bound() {
    alone(async || {
        let rack = Rack::of(&LAB.replace("mtu = 1400", "mtu = 1400\nhttps = true"), kernel).await;
        let big = std::fs::File::options().write(true).open(rack.folder.path().join("kernel")).unwrap();
        big.set_len(64 << 20).unwrap();
        let one = rack.client(rack.mac("one")).with_address("10.0.0.11/24");
        let two = rack.client(rack.mac("two")).with_address("10.0.0.12/24");
        let say = |client: &Client, port: u16, words: &str| {
            client.within(|| {
                let mut stream = TcpStream::connect(("10.0.0.1", port)).unwrap();
                // Otherwise the client's kernel would buffer the data.
                setsockopt(&stream, RcvBuf, &8192).unwrap();
                stream.write_all(words.as_bytes()).unwrap();
                stream
            })
        };
        const GET: &str = "GET /profile/install/kernel HTTP/1.1\r\nHost: x\r\n\r\n";
        let begin = Instant::now();
        // A legitimate slow client, which finishes after the others are gone.
        let part = "Range: bytes=0-4194303\r\nConnection: close\r\n\r\n";
        let mut honest = say(&one, 80, &GET.replace("\r\n\r\n", &format!("\r\n{part}")));
        let eating_well = std::thread::spawn(move || {
            let mut heard = Vec::new();
            for _ in 0..64 {
                (&mut honest).take(64 << 10).read_to_end(&mut heard).unwrap();
                std::thread::sleep(Duration::from_secs(1));
            }
            honest.read_to_end(&mut heard).unwrap();
            heard.len()
        });
        let hanging = [
            say(&one, 80, ""),
            say(&one, 443, ""),
            say(&one, 80, "GET /profile/inst"),
            say(&one, 443, "\x16\x03\x01\x02\0\x01"),
            // One request is answered, then the connection is idle.
            say(&one, 80, "GET /boot/one.ipxe HTTP/1.1\r\nHost: x\r\n\r\n"),
            // It reads nothing of the response.
            say(&one, 80, GET),
        ];
        // It reads a few bytes now and then.
        let mut crumbs = say(&one, 80, GET);
        let eating = std::thread::spawn(move || {
            while crumbs.read_exact(&mut [0; 1024]).is_ok() {
                std::thread::sleep(Duration::from_secs(2));
            }
        });
        // Two that vanish: one idle, one during a transfer.
        let vanished = [say(&two, 80, ""), say(&two, 80, GET)];
        two.run("ip", &["link", "set", "eth0", "down"]);
        rack.log.until_now("all of them", || connections().lines().count() == 10).await;

        let heard = tokio::task::spawn_blocking(|| eating_well.join().unwrap()).await.unwrap();
        assert!(heard > 4 << 20, "{heard}\n{}", rack.log.text());
        // Closed sockets are left to the kernel.
        let gone = || !connections().contains("ESTAB");
        rack.log.until_now("the end of every connection", gone).await;
        let took = begin.elapsed();
        assert!(took < Duration::from_secs(100), "{took:?}");
        let cut = |known: &Known| matches!(known, Known::HttpServed { status: 200, complete: false, .. });
        assert_eq!(rack.log.count(cut), 3, "{}", rack.log.text());
        let silent =
            |known: &Known| matches!(known, Known::HttpsFailed { error } if error.contains("timed out"));
        assert_eq!(rack.log.count(silent), 2, "{}", rack.log.text());
        drop((hanging, vanished));
        drop(eating.join());
    });
}
