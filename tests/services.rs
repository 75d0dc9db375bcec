//! The boot services as real clients meet them: each test in namespaces of its own, nothing simulated.

#![expect(clippy::disallowed_methods, reason = "a test waits on the clock and starts what it needs")]

mod rack;

use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpStream, UdpSocket};
use std::path::Path;
use std::process::{Child, Output};
use std::time::{Duration, Instant};

use dryrack::event::{Kind, Known};
use dryrack::name::Mac;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use rack::{Client, Rack, alone, alone_with};

const STRANGER: Mac = Mac([2, 0, 0, 0, 0, 9]);

/// Two nodes and a pool of three addresses. The kernel is a mebibyte of numbers, so that what arrives can be checked.
const LAB: &str = r#"
[network.lan]
address = "10.0.0.1/24"
mtu = 1400
dhcp = { server = { pool = ["10.0.0.30", "10.0.0.32"], lease = "1h" } }
dns = { domain = "lab.test", records = { "matchbox.local" = "10.0.0.1" } }

[profile.install]
kernel = "kernel"

[node.one]
nic.lan = { mac = "52:54:00:00:00:01", address = "10.0.0.11" }
memory = "256MiB"
profile = "install"

[node.two]
nic.lan = { mac = "52:54:00:00:00:02", address = "10.0.0.12" }
memory = "256MiB"
profile = "install"
"#;

fn kernel(folder: &Path) {
    std::fs::write(folder.join("kernel"), numbers(1 << 20)).unwrap();
}

/// Bytes that are nowhere alike, so that a piece at a wrong place shows.
fn numbers(length: usize) -> Vec<u8> {
    (0_u32..).flat_map(|number| number.wrapping_mul(2_654_435_761).to_le_bytes()).take(length).collect()
}

/// What udhcpc told its script about a lease, by name.
struct Lease(Vec<(String, String)>);

/// A script for udhcpc that uses the address and prints what it was told.
fn script(rack: &Rack) -> String {
    let script = rack.folder.path().join("udhcpc.sh");
    let text = "#!/bin/sh\ncase $1 in bound | renew) ;; *) exit 0 ;; esac\n\
                ip address replace $ip/$mask dev $interface\nexport -p\n";
    std::fs::write(&script, text).unwrap();
    std::fs::set_permissions(&script, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    script.to_str().unwrap().to_owned()
}

impl Lease {
    /// Asks for an address with udhcpc and takes it.
    fn ask(rack: &Rack, client: &Client, options: &[&str]) -> Option<Self> {
        let script = script(rack);
        let always = ["-i", "eth0", "-f", "-n", "-q", "-t", "2", "-T", "1", "-s", &script];
        let output = client.try_run("udhcpc", &[&always, options].concat());
        let text = String::from_utf8(output.stdout).unwrap();
        let value = |line: &str| {
            let (name, value) = line.strip_prefix("export ")?.split_once('=')?;
            Some((name.to_owned(), value.trim_matches('\'').to_owned()))
        };
        output.status.success().then(|| Self(text.lines().filter_map(value).collect()))
    }

    fn get(&self, name: &str) -> &str {
        self.0.iter().find(|(known, _)| known == name).map_or("-", |(_, value)| value)
    }
}

#[test]
fn udhcpc_is_given_an_address() {
    alone(async || {
        let rack = Rack::of(LAB, kernel).await;
        let one = rack.client(rack.mac("one"));
        let lease = Lease::ask(&rack, &one, &["-O", "mtu", "-O", "bootfile"]).expect("a lease");
        for (name, value) in [
            ("ip", "10.0.0.11"),
            ("mask", "24"),
            ("broadcast", "10.0.0.255"),
            ("dns", "10.0.0.1"),
            ("router", "-"),
            ("hostname", "one"),
            ("domain", "lab.test"),
            ("serverid", "10.0.0.1"),
            ("lease", "3600"),
            ("mtu", "1400"),
            ("bootfile", "-"),
        ] {
            assert_eq!(lease.get(name), value, "{name}");
        }
        one.run("busybox", &["ping", "-c", "1", "-W", "2", "10.0.0.1"]);
        // Asks for an address of before, which it may not have here, and is told so.
        let lease = Lease::ask(&rack, &one, &["-r", "192.168.1.5"]).expect("a lease");
        assert_eq!(lease.get("ip"), "10.0.0.11");

        let stranger = rack.client(STRANGER);
        let lease = Lease::ask(&rack, &stranger, &["-B"]).expect("a lease");
        assert_eq!((lease.get("ip"), lease.get("hostname")), ("10.0.0.30", "-"));
        assert!(rack.log.has(|known| matches!(known, Known::DhcpReplied { mac, request, reply, client, .. }
            if *mac == STRANGER && request == "request" && reply == "ack" && client == "os")));
    });
}

#[test]
fn firmware_is_told_what_to_load() {
    alone(async || {
        let rack = Rack::of(LAB, kernel).await;
        let one = rack.client(rack.mac("one"));
        for (class, option, file, server) in [
            ("PXEClient:Arch:00000:UNDI:002001", "0x5d:0000", "ipxe/undionly.kpxe", "10.0.0.1"),
            ("PXEClient:Arch:00007:UNDI:003001", "0x5d:0007", "ipxe/snponly.efi", "10.0.0.1"),
            ("PXEClient:Arch:00000:UNDI:002001", "0x4d:69505845", "http://10.0.0.1/boot/one.ipxe", "-"),
            ("PXEClient:Arch:00007:UNDI:003001", "0x4d:0469505845", "http://10.0.0.1/boot/one.ipxe", "-"),
        ] {
            let lease = Lease::ask(&rack, &one, &["-V", class, "-x", option, "-O", "bootfile", "-O", "tftp"]);
            let lease = lease.expect("a lease");
            assert_eq!((lease.get("bootfile"), lease.get("boot_file")), (file, file), "{class} {option}");
            assert_eq!((lease.get("tftp"), lease.get("siaddr")), (server, server), "{class} {option}");
        }
    });
}

/// A udhcpc that goes on running.
struct Running(Child);

impl Running {
    fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(i32::try_from(self.0.id()).unwrap()), signal).unwrap();
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.0.kill().ok();
        self.0.wait().ok();
    }
}

#[test]
fn udhcpc_renews_declines_and_releases() {
    alone(async || {
        let rack = Rack::of(LAB, kernel).await;
        // Somebody took the pool's first address without asking.
        let _squatter = rack.client(Mac([2, 0, 0, 0, 0, 8])).with_address("10.0.0.30/24");
        let client = rack.client(STRANGER);
        let script = script(&rack);
        let arguments = ["-i", "eth0", "-f", "-a", "-A", "1", "-t", "3", "-T", "1", "-s", &script];
        let udhcpc = Running(client.start("udhcpc", &arguments));

        rack.log
            .until("a decline", 20, |known| {
                matches!(known, Known::DhcpIgnored { request, rule, .. }
            if request == "decline" && rule.contains("set aside"))
            })
            .await;
        let is_ack = |known: &Known, wanted: &str| {
            matches!(known, Known::DhcpReplied { reply, address, .. }
            if reply == "ack" && address.is_some_and(|address| address.to_string() == wanted))
        };
        rack.log.until("another address", 20, |known| is_ack(known, "10.0.0.31")).await;

        let acks = || rack.log.count(|known| is_ack(known, "10.0.0.31"));
        rack.log
            .until_now("the address in use", || client.run("ip", &["address"]).contains("10.0.0.31/"))
            .await;
        udhcpc.signal(Signal::SIGUSR1);
        rack.log.until_now("a renewal", || acks() == 2).await;
        udhcpc.signal(Signal::SIGUSR2);
        rack.log
            .until("a release", 10, |known| {
                matches!(known, Known::DhcpIgnored { request, rule, .. }
            if request == "release" && rule == "released")
            })
            .await;
    });
}

/// Asks with dig and returns status, flags of note and data in one line.
fn dig(client: &Client, question: &str) -> String {
    let always = ["@10.0.0.1", "+tries=1", "+time=5", "+noall", "+comments", "+answer"];
    let words: Vec<&str> = always.into_iter().chain(question.split(' ')).collect();
    let text = client.run("dig", &words);
    let header = text.lines().find(|line| line.contains("status: ")).unwrap_or(&text);
    let status = header.split("status: ").nth(1).unwrap().split(',').next().unwrap();
    let flags = text.lines().find(|line| line.starts_with(";; flags:")).unwrap();
    let flag = |flag: &'static str| {
        if flags.split(';').nth(2).unwrap().contains(&format!(" {flag}")) { flag } else { "--" }
    };
    let data = text.lines().filter(|line| !line.starts_with(';') && !line.is_empty());
    let data: Vec<&str> = data.map(|line| line.split_whitespace().nth(4).unwrap()).collect();
    format!("{status} {} {} {}", flag("aa"), flag("ra"), data.join(" ")).trim_end().to_owned()
}

#[test]
fn dig_is_answered() {
    alone(async || {
        let rack = Rack::of(LAB, kernel).await;
        let one = rack.client(rack.mac("one")).with_address("10.0.0.11/24");
        for (question, answer) in [
            ("one.lab.test A", "NOERROR aa -- 10.0.0.11"),
            ("ONE.Lab.Test A", "NOERROR aa -- 10.0.0.11"),
            ("one.lab.test A +tcp", "NOERROR aa -- 10.0.0.11"),
            ("one.lab.test A +noedns", "NOERROR aa -- 10.0.0.11"),
            ("one.lab.test AAAA", "NOERROR aa --"),
            ("three.lab.test A", "NXDOMAIN aa --"),
            ("matchbox.local A", "NOERROR aa -- 10.0.0.1"),
            ("-x 10.0.0.12", "NOERROR aa -- two.lab.test."),
            ("-x 10.0.0.99", "NXDOMAIN aa --"),
            ("example.com A", "NXDOMAIN -- --"),
            ("lab.test AXFR +noidnin", "REFUSED"),
            ("version.bind TXT CH", "REFUSED -- --"),
            ("one.lab.test A +edns=1 +noednsnegotiation", "BADVERS -- --"),
        ] {
            if question.contains("AXFR") {
                let text = one.run("dig", &["@10.0.0.1", "lab.test", "AXFR"]);
                assert!(text.contains("Transfer failed"), "{text}");
                continue;
            }
            assert_eq!(dig(&one, question), answer, "{question}");
        }
        let Known::DnsAnswered { code, rule, record, .. } = rack
            .log
            .until(
                "the question in the log",
                5,
                |known| matches!(known, Known::DnsAnswered { name, .. } if name.starts_with("three")),
            )
            .await
        else {
            unreachable!()
        };
        assert_eq!((code.as_str(), rule.as_str(), record.as_str()), ("NXDOMAIN", "lab", "A"));
    });
}

/// A name server that knows one thing: everything is at 192.0.2.7.
fn upstream(socket: &UdpSocket, questions: usize) {
    let mut packet = [0; 1500];
    for _ in 0..questions {
        let (length, from) = socket.recv_from(&mut packet).unwrap();
        let name = packet[12..length].iter().position(|byte| *byte == 0).unwrap();
        let end = 12 + name + 5;
        let record = [packet[end - 4], packet[end - 3]];
        let mut reply = packet[..end].to_vec();
        reply[2..12].copy_from_slice(&[0x81, 0x80, 0, 1, 0, 0, 0, 0, 0, 0]);
        if record == [0, 1] {
            reply[7] = 1;
            reply.extend([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4, 192, 0, 2, 7]);
        }
        socket.send_to(&reply, from).unwrap();
    }
}

#[test]
fn other_names_are_asked_of_others() {
    alone(async || {
        let lab = LAB.replace("domain = \"lab.test\"", "domain = \"lab.test\", upstream = [\"10.0.0.200\"]");
        let rack = Rack::of(&lab, kernel).await;
        let one = rack.client(rack.mac("one")).with_address("10.0.0.11/24");
        assert_eq!(dig(&one, "example.com A +tries=1 +time=9"), "SERVFAIL -- ra", "nobody is there yet");

        let other = rack.client(STRANGER).with_address("10.0.0.200/24");
        let socket = other.within(|| UdpSocket::bind("10.0.0.200:53").unwrap());
        let server = std::thread::spawn(move || upstream(&socket, 2));
        assert_eq!(dig(&one, "example.com A"), "NOERROR -- ra 192.0.2.7");
        assert_eq!(dig(&one, "www.example.com AAAA"), "NOERROR -- ra");
        server.join().unwrap();
        assert_eq!(dig(&one, "one.lab.test A"), "NOERROR aa ra 10.0.0.11");
        assert_eq!(
            dig(&one, "nobody.lab.test A"),
            "NXDOMAIN aa ra",
            "our own zone is never asked for elsewhere"
        );
        assert!(rack.log.has(|known| matches!(known, Known::DnsAnswered { rule, code, .. }
            if rule == "upstream" && code == "NOERROR")));
    });
}

const KERNEL: &str = "http://10.0.0.1/profile/install/kernel";

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
        let head = String::from_utf8(curl(&["-I", KERNEL])).unwrap().to_lowercase();
        assert!(head.starts_with("http/1.1 200 ok\r\n"), "{head}");
        assert!(
            head.contains("content-length: 1048576\r\n") && head.contains("accept-ranges: bytes\r\n"),
            "{head}"
        );
        assert_eq!(curl(&["-r", "1000-1999", KERNEL]), all[1000..2000]);
        assert_eq!(curl(&["-r", "-10", KERNEL]), all[(1 << 20) - 10..]);
        assert_eq!(curl(&["-o", "/dev/null", "-w", "%{http_code}", "-r", "2000000-", KERNEL]), b"416");

        // A download that broke off goes on where it ended.
        std::fs::write(&file, &all[..300_000]).unwrap();
        curl(&["-C", "-", "-o", "out", KERNEL]);
        assert_eq!(std::fs::read(&file).unwrap(), all);
        let resumed = |known: &Known| {
            matches!(known, Known::HttpServed { status: 206, bytes: 748_576, complete: true, .. })
        };
        rack.log.until("the rest in the log", 5, resumed).await;

        // Two on one connection, as firmware does.
        let script = "http://10.0.0.1/boot/one.ipxe";
        let both = String::from_utf8(curl(&[script, script, "-w", "%{num_connects}\n"])).unwrap();
        assert!(both.starts_with("#!ipxe\nkernel http://10.0.0.1/profile/install/kernel"), "{both}");
        assert!(both.contains("boot\n1\n#!ipxe") && both.ends_with("boot\n0\n"), "{both}");
        for (path, status) in [("/../../etc/passwd", "404"), ("/%2e%2e/etc/passwd", "404"), ("/", "404")] {
            let url = format!("http://10.0.0.1{path}");
            let text = curl(&["--path-as-is", "-o", "/dev/null", "-w", "%{http_code}", &url]);
            assert_eq!(String::from_utf8(text).unwrap(), status, "{path}");
        }
        assert_eq!(curl(&["-X", "PUT", "-d", "x", "-o", "/dev/null", "-w", "%{http_code}", KERNEL]), b"405");

        // One that leaves in the middle is told as such, and nobody else notices. Socket buffers take megabytes.
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
                matches!(known, Known::HttpServed { status: 200, complete: false, role, .. } if role == "kernel")
            })
            .await;
        assert_eq!(curl(&["-r", "0-3", KERNEL]), all[..4]);
    });
}

/// Fetches `profile/install/kernel` with a TFTP client into `out`.
fn tftp(client: &Client, folder: &Path, name: &str) -> Output {
    let path = "profile/install/kernel";
    let url = "tftp://10.0.0.1/profile/install/kernel";
    match name {
        "tftp" => client.run_in(folder, name, &["-m", "binary", "10.0.0.1", "-c", "get", path, "out"]),
        "atftp" => {
            let options = ["--option", "blksize 1428", "--option", "windowsize 16", "--option", "tsize"];
            let get = ["-g", "-r", path, "-l", "out", "10.0.0.1"];
            client.run_in(folder, name, &[&options[..], &get].concat())
        }
        "busybox" => {
            client.run_in(folder, name, &["tftp", "-g", "-b", "1400", "-r", path, "-l", "out", "10.0.0.1"])
        }
        // More than 65535 blocks: their numbers begin anew.
        "curl" => client.run_in(folder, name, &["-sS", "-m", "60", "--tftp-blksize", "8", "-o", "out", url]),
        other => panic!("{other} is no TFTP client"),
    }
}

#[test]
fn tftp_clients_fetch() {
    alone(async || {
        let rack = Rack::of(LAB, kernel).await;
        let one = rack.client(rack.mac("one")).with_address("10.0.0.11/24");
        let all = numbers(1 << 20);
        for (name, length) in [("tftp", 1 << 20), ("atftp", 1 << 20), ("busybox", 1 << 20), ("curl", 600_000)]
        {
            // A multiple of the block size ends with an empty block, anything else with a short one.
            std::fs::write(rack.folder.path().join("kernel"), &all[..length]).unwrap();
            let folder = tempfile::tempdir().unwrap();
            let output = tftp(&one, folder.path(), name);
            let complaints = String::from_utf8_lossy(&output.stderr).into_owned();
            assert!(output.status.success(), "{name}: {complaints}");
            assert!(
                std::fs::read(folder.path().join("out")).unwrap() == all[..length],
                "{name}: {complaints}"
            );
        }
        rack.log
            .until_now("four transfers in the log", || {
                rack.log.count(|known| {
                    matches!(known, Known::TftpServed { outcome, role, .. }
                if outcome == "sent" && role == "kernel")
                }) == 4
            })
            .await;

        let folder = tempfile::tempdir().unwrap();
        for (path, outcome) in
            [("nothing", "not-found"), ("../../etc/passwd", "refused"), ("/etc/passwd", "not-found")]
        {
            let output = one.run_in(folder.path(), "tftp", &["10.0.0.1", "-c", "get", path, "out"]);
            let text = String::from_utf8_lossy(&output.stdout).into_owned();
            assert!(text.contains("Error code"), "{path}: {text}");
            rack.log
                .until(outcome, 5, |known| {
                    matches!(known, Known::TftpServed { path: asked, outcome: told, .. }
                if asked == path && told == outcome)
                })
                .await;
        }
        std::fs::write(folder.path().join("out"), "x").unwrap();
        let output =
            one.run_in(folder.path(), "tftp", &["10.0.0.1", "-c", "put", "out", "profile/install/kernel"]);
        assert!(String::from_utf8_lossy(&output.stdout).contains("Error code 2"));
        assert!(
            std::fs::read(rack.folder.path().join("kernel")).unwrap() == all[..600_000],
            "nothing is written"
        );
    });
}

/// A request for the kernel with options, as UEFI sends it.
fn read_request(options: &str) -> Vec<u8> {
    [&[0, 1], "profile/install/kernel\0octet\0".as_bytes(), options.replace(' ', "\0").as_bytes(), &[0]]
        .concat()
}

/// UEFI asks for the size, breaks off, and asks again. The engine does not hear that it broke off, and repeats itself;
/// but not for long, and it does not keep the client waiting.
#[test]
fn a_client_that_only_wants_the_size_is_soon_forgotten() {
    alone(async || {
        let rack = Rack::of(LAB, kernel).await;
        let one = rack.client(rack.mac("one")).with_address("10.0.0.11/24");
        let open = || {
            let socket = one.within(|| UdpSocket::bind("10.0.0.11:0").unwrap());
            socket.set_read_timeout(Some(Duration::from_secs(3))).unwrap();
            socket
        };
        let mut packet = [0; 1500];
        let first = open();
        first.send_to(&read_request("tsize 0 blksize 1468 windowsize 4"), "10.0.0.1:69").unwrap();
        let (length, from) = first.recv_from(&mut packet).unwrap();
        let said = String::from_utf8_lossy(&packet[2..length]).replace('\0', " ");
        assert_eq!(packet[..2], [0, 6], "{said}");
        assert!(said.contains("tsize 1048576"), "{said}");
        first.send_to(b"\0\x05\0\x08no need\0", from).unwrap();

        let begin = Instant::now();
        let second = open();
        second.send_to(&read_request("blksize 1468"), "10.0.0.1:69").unwrap();
        let (_, from) = second.recv_from(&mut packet).unwrap();
        second.send_to(&[0, 4, 0, 0], from).unwrap();
        let (length, _) = second.recv_from(&mut packet).unwrap();
        assert_eq!((&packet[..4], length), (&[0, 3, 0, 1][..], 1472));
        assert!(begin.elapsed() < Duration::from_millis(500), "{:?}", begin.elapsed());

        let mut repeated = 0;
        while first.recv_from(&mut packet).is_ok() {
            repeated += 1;
        }
        assert!(repeated <= 6, "the options came {repeated} times more");
        assert!(begin.elapsed() < Duration::from_secs(12), "{:?}", begin.elapsed());
        rack.log
            .until(
                "the end of it",
                5,
                |known| matches!(known, Known::TftpServed { outcome, .. } if outcome == "aborted"),
            )
            .await;
    });
}

#[test]
fn linux_hears_that_there_is_no_router() {
    alone(async || {
        let rack = Rack::of(LAB, kernel).await;
        // The kernel of a client with a link asks for routers by itself.
        let one = rack.client(rack.mac("one"));
        rack.log.until("an advertisement", 15, |known| matches!(known, Known::RouterAdvertised { .. })).await;
        let event =
            rack.log.events().into_iter().find(|event| event.kind.to_string().contains("router")).unwrap();
        assert_eq!(event.node.map(|node| node.to_string()).as_deref(), Some("one"));
        assert_eq!(one.run("ip", &["-6", "route", "show", "default"]), "", "no default route came of it");
        assert_eq!(one.run("ip", &["-6", "address", "show", "scope", "global"]), "", "and no address");
    });
}

/// Numbers that look random and are the same in every run.
struct Noise(u64);

impl Noise {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn packet(&mut self, head: &[u8]) -> Vec<u8> {
        let length = self.next() % 400;
        let noise = (0..length).map(|_| self.next().to_le_bytes()[0]);
        head.iter().copied().chain(noise).collect()
    }
}

/// The beginning of a DHCP request up to its options.
fn dhcp_head(mac: Mac) -> Vec<u8> {
    let mut head = vec![0; 240];
    head[..3].copy_from_slice(&[1, 1, 6]);
    head[28..34].copy_from_slice(&mac.0);
    head[236..].copy_from_slice(&[99, 130, 83, 99]);
    head
}

#[test]
fn noise_ends_no_service() {
    alone(async || {
        let rack = Rack::of(LAB, kernel).await;
        let noisy = rack.client(STRANGER).with_address("10.0.0.50/24");
        noisy.within(|| {
            let socket = UdpSocket::bind("0.0.0.0:0").unwrap();
            let mut noise = Noise(0x9e37_79b9_7f4a_7c15);
            let heads = [
                (67, dhcp_head(STRANGER)),
                // A discover whose next option is one on which the decoder asserts.
                (67, [dhcp_head(STRANGER), vec![53, 1, 1, 94, 1, 0, 80, 1, 1, 81, 1, 0]].concat()),
                (53, vec![0, 1, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0]),
                (53, vec![0, 1, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0xc0, 12, 0, 1, 0, 1]),
                (69, b"\0\x01".to_vec()),
                (69, b"\0\x01profile/install/kernel\0octet\0blksize\0".to_vec()),
                (69, b"\0\x02x\0octet\0".to_vec()),
            ];
            for round in 0..300 {
                for port in [53, 67, 69] {
                    socket.send_to(&noise.packet(&[]), (Ipv4Addr::new(10, 0, 0, 1), port)).unwrap();
                }
                let (port, head) = &heads[round % heads.len()];
                socket.send_to(&noise.packet(head), (Ipv4Addr::new(10, 0, 0, 1), *port)).unwrap();
                socket.send_to(&[], (Ipv4Addr::new(10, 0, 0, 1), *port)).unwrap();
            }
            for port in [53, 80] {
                for head in [&[][..], &[0xff, 0xff], b"GET / HTTP/1.1\r\n", b"GET \0"] {
                    let mut stream = TcpStream::connect((Ipv4Addr::new(10, 0, 0, 1), port)).unwrap();
                    stream.set_read_timeout(Some(Duration::from_millis(200))).unwrap();
                    stream.write_all(&noise.packet(head)).unwrap();
                    // Whatever it says, and whether it hangs up.
                    stream.read_to_end(&mut Vec::new()).ok();
                }
            }
            solicit(&mut noise);
        });

        let advertised = || rack.log.count(|known| matches!(known, Known::RouterAdvertised { .. }));
        let before = advertised();
        let one = rack.client(rack.mac("one"));
        assert_eq!(Lease::ask(&rack, &one, &[]).expect("a lease").get("ip"), "10.0.0.11");
        assert_eq!(dig(&one, "one.lab.test A"), "NOERROR aa -- 10.0.0.11");
        assert_eq!(dig(&one, "one.lab.test A +tcp"), "NOERROR aa -- 10.0.0.11");
        let folder = tempfile::tempdir().unwrap();
        assert!(one.run_in(folder.path(), "curl", &["-fsS", "-o", "out", KERNEL]).status.success());
        assert!(tftp(&one, folder.path(), "busybox").status.success());
        rack.log.until_now("an advertisement", || advertised() > before).await;
        assert!(!rack.log.has(|known| matches!(known, Known::ServiceFailed { .. })), "{}", rack.log.text());
        // None has ended by itself, and all end when they are told to.
        rack.end().await;
    });
}

/// Sends solicitations of noise.
fn solicit(noise: &mut Noise) {
    use socket2::{Domain, Protocol, Socket, Type};
    let socket = Socket::new(Domain::IPV6, Type::RAW, Some(Protocol::ICMPV6)).unwrap();
    let index = nix::net::if_::if_nametoindex("eth0").unwrap();
    socket.set_multicast_if_v6(index).unwrap();
    socket.set_multicast_hops_v6(255).unwrap();
    let routers = std::net::SocketAddrV6::new("ff02::2".parse().unwrap(), 0, 0, index);
    let begin = Instant::now();
    for round in 0..300 {
        let head: &[u8] = if round % 2 == 0 { &[133, 0, 0, 0, 0, 0, 0, 0] } else { &[133] };
        // Its own address has to be settled first.
        while let Err(error) = socket.send_to(&noise.packet(head), &routers.into()) {
            assert!(begin.elapsed() < Duration::from_secs(10), "{error}");
            std::thread::sleep(Duration::from_millis(50));
        }
    }
}

#[test]
fn two_networks_keep_to_themselves() {
    alone(async || {
        let lab = format!(
            "{LAB}{}",
            r#"
[network.store]
address = "10.7.0.1/24"
dhcp = { server = { pool = ["10.7.0.50", "10.7.0.60"] } }
dns = { domain = "store.test" }
"#
        );
        let rack = Rack::of(&lab, kernel).await;
        let (here, there) = (rack.client(STRANGER), rack.client_on("store", STRANGER));
        let lease = Lease::ask(&rack, &here, &[]).expect("a lease");
        assert_eq!((lease.get("ip"), lease.get("domain")), ("10.0.0.30", "lab.test"));
        let lease = Lease::ask(&rack, &there, &[]).expect("a lease");
        assert_eq!((lease.get("ip"), lease.get("domain")), ("10.7.0.50", "store.test"));
        // A node of one network is a stranger in the other.
        let astray = rack.client_on("store", rack.mac("one"));
        assert_eq!(Lease::ask(&rack, &astray, &[]).expect("a lease").get("ip"), "10.7.0.51");
    });
}

#[test]
fn a_port_that_somebody_holds_is_told_with_its_holder() {
    alone(async || {
        let rack = Rack::of(LAB, kernel).await;
        let error = dryrack::host::sockets::bind(rack.service()).expect_err("the services hold the ports");
        let bridge = &rack.service().interface;
        assert_eq!(error.to_string(), format!("cannot open UDP port 67 for DHCP on {bridge}"));
        let hint = error.hint().expect("a hint");
        assert!(hint.contains(&format!("(pid {}) holds it", std::process::id())), "{hint}");

        let mut elsewhere = rack.service().clone();
        elsewhere.dhcp = None;
        elsewhere.address = "10.9.9.1/24".parse().unwrap();
        let error = dryrack::host::sockets::bind(&elsewhere).expect_err("nobody has this address");
        assert_eq!(error.hint().as_deref(), Some("the network's bridge does not have its address"));
    });
}

/// One node of each kind of firmware; they boot tiny, which says what it found and powers off.
const NETBOOT: &str = r#"
[network.lan]
address = "10.0.0.1/24"
dns = { domain = "lab.test" }

[profile.tiny]
kernel = "image:tiny/kernel"
initrd = "image:tiny/initrd"
args = ["console=ttyS0", "quiet", "dryrack.poweroff"]

[node.bios]
memory = "256MiB"
profile = "tiny"
nic.lan = { address = "10.0.0.11" }

[node.uefi]
firmware = "uefi"
memory = "512MiB"
profile = "tiny"
nic.lan = { address = "10.0.0.12" }

[node.native]
firmware = "uefi"
memory = "512MiB"
profile = "tiny"
nic.lan = { address = "10.0.0.13", rom = false }

[node.real]
memory = "256MiB"
profile = "tiny"
nic.lan = { address = "10.0.0.14" }
pace = "real"
"#;

/// Boots a node until it has powered itself off, and returns what happened in the order of a boot, each thing once.
async fn netboot(rack: &Rack, node: &str) -> Vec<String> {
    let machine = rack.boot(node).await;
    rack.log
        .until("the end of the boot", 90, |known| {
            matches!(known, Known::PoweredOff { .. } | Known::MachineDied { .. })
        })
        .await;
    machine.stop().await;
    let mut steps: Vec<String> = Vec::new();
    for event in rack.log.events() {
        let Kind::Known(known) = event.kind else { continue };
        let step = match known {
            // A client in a namespace of ours asks for routers too.
            Known::RouterAdvertised { .. } if event.node.is_none() => continue,
            Known::DhcpReplied { request, reply, client, .. } => format!("{client} {request} {reply}"),
            Known::RouterAdvertised { .. } => "router".to_owned(),
            Known::BannerSkipped {} => "key".to_owned(),
            Known::TftpServed { path, outcome, .. } => format!("tftp {path} {outcome}"),
            Known::HttpServed { path, status, complete, .. } => format!("http {path} {status} {complete}"),
            Known::ConsoleLine { text } if text.starts_with("DRYRACK ") => text,
            Known::PoweredOff { why } => format!("off: {why}"),
            Known::DhcpIgnored { request, rule, .. } => format!("ignored {request}: {rule}"),
            Known::MachineDied { .. } | Known::ServiceFailed { .. } => {
                panic!("{}", rack.log.text())
            }
            _ => continue,
        };
        assert!(event.node.is_some_and(|of| of.as_str() == node), "{step} is nobody's\n{}", rack.log.text());
        if !steps.contains(&step) {
            steps.push(step);
        }
    }
    steps
}

/// What every netboot ends with, once iPXE knows where its script is.
const FROM_SCRIPT: [&str; 3] = [
    "http /boot/NODE.ipxe 200 true",
    "http /profile/tiny/kernel 200 true",
    "http /profile/tiny/initrd0 200 true",
];

/// Boots a node and compares what happened: `first`, then what iPXE fetches, then `last`, then what the system found.
async fn check_netboot(rack: Rack, node: &str, first: &[&str], last: &[&str], found: &[&str]) {
    let mut steps = netboot(&rack, node).await;
    let text = rack.log.text();
    // iPXE asks for routers while it asks for an address: which is answered first is chance.
    let router = steps.iter().position(|step| step == "router").expect("a router advertisement");
    steps.remove(router);
    // What UEFI asked only the size of is given up some seconds later, whatever else happens then.
    steps.retain(|step| step != "tftp ipxe/snponly.efi aborted");
    let off = steps.pop().unwrap();
    let facts = steps.pop().unwrap();
    let expected: Vec<String> =
        first.iter().chain(&FROM_SCRIPT).chain(last).map(|step| step.replace("NODE", node)).collect();
    assert_eq!(steps, expected, "{text}");
    for word in found {
        assert!(facts.split(' ').any(|fact| fact == *word), "{word} is not in {facts}");
    }
    assert_eq!(off, "off: guest");
    rack.end().await;
}

const OS: [&str; 2] = ["os discover offer", "os request ack"];

#[test]
fn bios_boots_by_its_rom() {
    alone_with(&["tiny"], async || {
        let rack = Rack::of(NETBOOT, |_| ()).await;
        let first = ["key", "ipxe discover offer", "ipxe request ack"];
        let found = ["node=bios", "address=10.0.0.11", "firmware=bios", "domain=lab.test"];
        check_netboot(rack, "bios", &first, &OS, &found).await;
    });
}

#[test]
fn uefi_boots_by_its_rom() {
    alone_with(&["tiny"], async || {
        let rack = Rack::of(NETBOOT, |_| ()).await;
        let first = ["key", "ipxe discover offer", "ipxe request ack"];
        let found = ["node=uefi", "address=10.0.0.12", "firmware=uefi", "secureboot=off"];
        check_netboot(rack, "uefi", &first, &OS, &found).await;
    });
}

#[test]
fn uefi_boots_by_itself() {
    alone_with(&["tiny", "ipxe"], async || {
        let rack = Rack::of(NETBOOT, |_| ()).await;
        let first = [
            "firmware discover offer",
            "firmware request ack",
            "tftp ipxe/snponly.efi sent",
            "key",
            "ipxe discover offer",
            "ipxe request ack",
        ];
        let found = ["node=native", "address=10.0.0.13", "firmware=uefi"];
        check_netboot(rack, "native", &first, &OS, &found).await;
    });
}

/// A DHCP server of somebody else, busybox's udhcpd, which knows nothing of boot files.
fn other_dhcp_server(rack: &Rack) -> (Client, Running) {
    let client = rack.client(Mac([2, 0, 0, 0, 0, 7])).with_address("10.0.0.200/24");
    let config = rack.folder.path().join("udhcpd.conf");
    let leases = rack.folder.path().join("leases");
    let text = format!(
        "interface eth0\nstart 10.0.0.100\nend 10.0.0.110\noption subnet 255.255.255.0\nlease_file {}\n\
         pidfile {}\n",
        leases.display(),
        rack.folder.path().join("udhcpd.pid").display(),
    );
    std::fs::write(&config, text).unwrap();
    std::fs::write(leases, "").unwrap();
    let server = client.start("busybox", &["udhcpd", "-f", config.to_str().unwrap()]);
    (client, Running(server))
}

/// Boots a node whose address comes from another server and whose boot files come from us.
async fn check_proxy(node: &str, first: &[&str]) {
    let proxied = "address = \"10.0.0.1/24\"\ndhcp = \"proxy\"";
    let rack = Rack::of(&NETBOOT.replace("address = \"10.0.0.1/24\"", proxied), |_| ()).await;
    let _other = other_dhcp_server(&rack);
    let last = ["ignored discover: no boot file for this client"];
    // The other server does not know its name.
    check_netboot(rack, node, first, &last, &["node=localhost"]).await;
}

const ELSEWHERE: &str = "ignored request: the client chose another server";

#[test]
fn bios_boots_beside_another_dhcp_server() {
    alone_with(&["tiny"], async || {
        check_proxy("bios", &["key", "ipxe discover offer", ELSEWHERE]).await;
    });
}

#[test]
fn uefi_boots_beside_another_dhcp_server() {
    alone_with(&["tiny", "ipxe"], async || {
        let native = ["firmware discover offer", ELSEWHERE, "tftp ipxe/snponly.efi sent", "key"];
        check_proxy("native", &[&native[..], &["ipxe discover offer"]].concat()).await;
    });
}

/// iPXE as on metal: it shows its banner, waits for ProxyDHCP offers, and waits for routers that there are not.
#[test]
fn a_node_at_real_pace_waits() {
    alone_with(&["tiny"], async || {
        let rack = Rack::of(NETBOOT, |_| ()).await;
        let machine = rack.boot("real").await;
        let line = |known: &Known, wanted: &str| matches!(known, Known::ConsoleLine { text } if text.contains(wanted));
        let reply = |known: &Known, wanted: &str| matches!(known, Known::DhcpReplied { reply, .. } if reply == wanted);
        rack.log.until("its lease", 60, |known| reply(known, "ack")).await;
        // A dot a second.
        rack.log
            .until("it to wait for routers", 60, |known| {
                line(known, "Configuring (net0") && line(known, "........")
            })
            .await;
        machine.stop().await;

        let time = |what: &dyn Fn(&Known) -> bool| rack.log.time(what).expect("it happened");
        let banner = time(&|known| line(known, "Press Ctrl-B"));
        let offer = time(&|known| reply(known, "offer"));
        let ack = time(&|known| reply(known, "ack"));
        assert!(offer - banner > Duration::from_millis(1200), "{}", rack.log.text());
        assert!(ack - offer > Duration::from_millis(1800), "{}", rack.log.text());
        for never in [
            |known: &Known| matches!(known, Known::BannerSkipped {}),
            |known: &Known| matches!(known, Known::RouterAdvertised { .. }),
            |known: &Known| matches!(known, Known::HttpServed { .. }),
        ] {
            assert!(!rack.log.has(never), "{}", rack.log.text());
        }
    });
}
