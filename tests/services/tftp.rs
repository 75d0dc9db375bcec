//! TFTP with four clients, and with one that behaves like UEFI.

use std::net::UdpSocket;
use std::path::Path;
use std::process::Output;
use std::time::Duration;

use dryrack::event::{FileRole, Known, TftpOutcome};

use crate::rack::{Client, Rack, alone};
use crate::{LAB, kernel, numbers};

/// Fetches `profile/install/kernel` with a TFTP client into `out`.
pub(crate) fn tftp(client: &Client, folder: &Path, name: &str) -> Output {
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
        // More than 65535 blocks: block numbers wrap.
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
            // A multiple of the block size ends with an empty block, any other length with a short one.
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
                if *outcome == TftpOutcome::Sent && *role == Some(FileRole::Kernel))
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
                    matches!(known, Known::TftpServed { path: requested, outcome: told, .. }
                if requested == path && told.as_str() == outcome)
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

/// A read request for the kernel with options, as UEFI sends it.
fn read_request(options: &str) -> Vec<u8> {
    [&[0, 1], "profile/install/kernel\0octet\0".as_bytes(), options.replace(' ', "\0").as_bytes(), &[0]]
        .concat()
}

/// UEFI requests the size, aborts, and sends another request from the same port.
#[test]
fn a_client_that_only_wants_the_size_gets_it() {
    alone(async || {
        let rack = Rack::of(LAB, kernel).await;
        let one = rack.client(rack.mac("one")).with_address("10.0.0.11/24");
        let socket = one.within(|| UdpSocket::bind("10.0.0.11:0").unwrap());
        socket.set_read_timeout(Some(Duration::from_secs(3))).unwrap();
        let mut packet = [0; 1500];
        socket.send_to(&read_request("tsize 0 blksize 1468 windowsize 4"), "10.0.0.1:69").unwrap();
        let (length, from) = socket.recv_from(&mut packet).unwrap();
        let said = String::from_utf8_lossy(&packet[2..length]).replace('\0', " ");
        // The network's MTU is 1400.
        assert_eq!(said, "tsize 1048576 blksize 1368 windowsize 4 ");
        socket.send_to(b"\0\x05\0\x08User aborted the transfer\0", from).unwrap();
        let probed = |known: &Known| {
            matches!(known, Known::TftpServed { outcome, bytes: 0, blksize: Some(1368), windowsize: Some(4), .. }
                if *outcome == TftpOutcome::Probed)
        };
        rack.log.until("the end of it", 5, probed).await;

        socket.send_to(&read_request("blksize 1468 windowsize 4"), "10.0.0.1:69").unwrap();
        let (_, from) = socket.recv_from(&mut packet).unwrap();
        socket.send_to(&[0, 4, 0, 0], from).unwrap();
        for block in 1..=4 {
            let (length, _) = socket.recv_from(&mut packet).unwrap();
            assert_eq!((&packet[..4], length), (&[0, 3, 0, block][..], 1372));
        }
    });
}

#[test]
fn a_thousand_clients_are_served_at_once() {
    const CLIENTS: usize = 1000;
    alone(async || {
        let rack =
            Rack::of(LAB, |folder| std::fs::write(folder.join("kernel"), numbers(20_000)).unwrap()).await;
        let one = rack.client(rack.mac("one")).with_address("10.0.0.11/24");
        let expected = numbers(20_000);
        one.within(|| {
            let open = |_| {
                let socket = UdpSocket::bind("10.0.0.11:0").unwrap();
                socket.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
                socket
            };
            // All of them have started before the first continues.
            let sockets: Vec<UdpSocket> = (0..CLIENTS).map(open).collect();
            let mut packet = [0; 1500];
            for batch in sockets.chunks(100) {
                for socket in batch {
                    socket.send_to(&read_request("blksize 1368"), "10.0.0.1:69").unwrap();
                }
                for socket in batch {
                    socket.peek_from(&mut packet).unwrap();
                }
            }
            for socket in &sockets {
                let (_, from) = socket.recv_from(&mut packet).unwrap();
                assert_eq!(packet[..2], [0, 6]);
                socket.send_to(&[0, 4, 0, 0], from).unwrap();
            }
            for (block, content) in expected.chunks(1368).enumerate() {
                for socket in &sockets {
                    // On a busy host, the server sends what was not acknowledged within a second once more.
                    let (length, from) = loop {
                        let (length, from) = socket.recv_from(&mut packet).unwrap();
                        let is_repeated = match packet[1] {
                            6 => true,
                            3 => usize::from(packet[3]) <= block,
                            other => panic!("packet {other}: {:?}", &packet[..length]),
                        };
                        if !is_repeated {
                            break (length, from);
                        }
                    };
                    assert!(packet[4..length] == *content);
                    socket.send_to(&[0, 4, 0, block as u8 + 1], from).unwrap();
                }
            }
        });
        let sent = |known: &Known| matches!(known, Known::TftpServed { outcome, .. } if *outcome == TftpOutcome::Sent);
        rack.log.until_now("all of them in the log", || rack.log.count(sent) == CLIENTS).await;
        assert!(!rack.log.has(|known| matches!(known, Known::ServiceFailed { .. })), "{}", rack.log.text());
    });
}

/// After a client vanishes, its transfer continues for some seconds; other clients are not affected.
#[test]
fn vanished_clients_are_forgotten() {
    alone(async || {
        let rack = Rack::of(LAB, kernel).await;
        let one = rack.client(rack.mac("one")).with_address("10.0.0.11/24");
        let gone = one.within(|| UdpSocket::bind("10.0.0.11:0").unwrap());
        gone.send_to(&read_request("windowsize 8"), "10.0.0.1:69").unwrap();
        let mut packet = [0; 1500];
        let (_, from) = gone.recv_from(&mut packet).unwrap();
        gone.send_to(&[0, 4, 0, 0], from).unwrap();
        drop(gone);
        let folder = tempfile::tempdir().unwrap();
        assert!(tftp(&one, folder.path(), "atftp").status.success());
        let vanished = |known: &Known| matches!(known, Known::TftpServed { outcome, retransmits: 1.., .. } if *outcome == TftpOutcome::Vanished);
        rack.log.until("the one that left", 60, vanished).await;
    });
}

/// More than 65,535 blocks, and more than 100 MB.
#[test]
fn large_files_arrive_whole() {
    alone(async || {
        let rack = Rack::of(LAB, |folder| {
            // Zeros, with numbers at both ends and in the middle.
            use std::os::unix::fs::FileExt;
            let file = std::fs::File::create(folder.join("kernel")).unwrap();
            for at in [0, 65_536 * 1368 - 2000, 120_000_000] {
                file.write_all_at(&numbers(4000), at).unwrap();
            }
        })
        .await;
        let one = rack.client(rack.mac("one")).with_address("10.0.0.11/24");
        let folder = tempfile::tempdir().unwrap();
        for options in ["blksize 1368", "blksize 1368 windowsize 32"] {
            let words: Vec<&str> = options.split(' ').collect();
            let mut arguments = Vec::new();
            let pairs: Vec<String> = words.chunks(2).map(|pair| pair.join(" ")).collect();
            for pair in &pairs {
                arguments.extend(["--option", pair]);
            }
            arguments.extend(["-g", "-r", "profile/install/kernel", "-l", "out", "10.0.0.1"]);
            let output = one.run_in(folder.path(), "atftp", &arguments);
            assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
            let same = one.run_in(
                folder.path(),
                "cmp",
                &["out", rack.folder.path().join("kernel").to_str().unwrap()],
            );
            assert!(same.status.success(), "{options}: {}", String::from_utf8_lossy(&same.stdout));
        }
    });
}

#[test]
fn another_backend_is_a_word_in_the_lab_file() {
    alone(async || {
        let lab = LAB.replace("mtu = 1400", "mtu = 1400\ntftp = \"async-tftp\"");
        let rack = Rack::of(&lab, kernel).await;
        let one = rack.client(rack.mac("one")).with_address("10.0.0.11/24");
        let folder = tempfile::tempdir().unwrap();
        for name in ["tftp", "atftp", "busybox"] {
            let output = tftp(&one, folder.path(), name);
            assert!(output.status.success(), "{name}: {}", String::from_utf8_lossy(&output.stderr));
            assert!(std::fs::read(folder.path().join("out")).unwrap() == numbers(1 << 20), "{name}");
        }
    });
}

#[test]
fn somebody_else_may_speak_tftp() {
    alone(async || {
        let lab = LAB.replace("mtu = 1400", "mtu = 1400\ntftp = \"off\"");
        let rack = Rack::of(&lab, kernel).await;
        let taken = UdpSocket::bind("10.0.0.1:69");
        assert!(taken.is_ok(), "{taken:?}");
        rack.end().await;
    });
}
