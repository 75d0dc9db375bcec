//! TFTP, asked by four clients, and by one that behaves as UEFI does.

use std::net::UdpSocket;
use std::path::Path;
use std::process::Output;
use std::time::{Duration, Instant};

use dryrack::event::Known;

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
        assert!(begin.elapsed() < Duration::from_secs(1), "{:?}", begin.elapsed());

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
