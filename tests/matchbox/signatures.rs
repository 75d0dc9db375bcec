//! Signatures, verified by gpg.

use std::fs;
use std::path::Path;
use std::process::Command;

use super::server::{DRYRACK, Server, fixtures};
use crate::gpg::Gpg;

const RSA: &str = "Key-Type: RSA\nKey-Length: 2048\nKey-Usage: sign,cert\nName-Real: m\nName-Email: m@lab.test\nExpire-Date: 0";

fn start(ring: &Path, passphrase: &str) -> Server {
    let mut command = Command::new(DRYRACK);
    command.args(["matchbox", "-address", "127.0.0.1:0", "-key-ring-path"]).arg(ring).arg("-data-path");
    command.arg(fixtures().join("data")).arg("-assets-path").arg(fixtures().join("data/assets"));
    Server::of(command.env("MATCHBOX_PASSPHRASE", passphrase))
}

/// Returns the packets of a signature.
fn packets(gpg: &Gpg, signature: &[u8]) -> String {
    let file = gpg.path("signature");
    fs::write(&file, signature).expect("a file");
    String::from_utf8(gpg.run(&["--list-packets".as_ref(), file.as_os_str()]).1).expect("a text")
}

#[test]
fn everything_but_assets_is_signed_and_gpg_believes_it() {
    let gpg = Gpg::make(RSA);
    let server = start(&gpg.key_ring(), "");
    for path in [
        "/boot.ipxe",
        "/boot.ipxe.0",
        "/ipxe?rack=r1",
        "/ipxe",
        "/grub?rack=r1",
        "/ignition?mac=52:54:00:aa:bb:cc",
        "/ignition?rack=r9",
        "/cloud?mac=52:54:00:aa:bb:cc",
        "/generic?mac=52:54:00:aa:bb:cc",
        "/metadata?zone=z1",
    ] {
        let plain = server.ask(&[], path);
        for suffix in [".sig", ".asc"] {
            let (name, query) = path
                .split_once('?')
                .map_or((path, String::new()), |(name, query)| (name, format!("?{query}")));
            let signed = server.ask(&[], &format!("{name}{suffix}{query}"));
            let kind =
                if suffix == ".sig" { "application/octet-stream" } else { "text/plain; charset=utf-8" };
            assert_eq!((signed.status, signed.header("content-type")), (plain.status, Some(kind)), "{path}");
            let names: Vec<&str> = signed.headers.iter().map(|(name, _)| name.as_str()).collect();
            assert_eq!(names, ["content-length", "content-type", "date"], "{path}{suffix}");
            let said = gpg.verify(&signed.body, &plain.body);
            assert!(said.contains("textmode signature, digest algorithm SHA256"), "{said}");
            if suffix == ".asc" {
                let text = String::from_utf8(signed.body).expect("a text");
                assert!(text.starts_with("-----BEGIN PGP SIGNATURE-----\n\n"), "{text}");
                assert!(text.ends_with("\n-----END PGP SIGNATURE-----"), "{text}");
                assert!(text.lines().rev().nth(1).is_some_and(|line| line.starts_with('=')), "{text}");
            } else {
                let packets = packets(&gpg, &signed.body);
                let lines: Vec<&str> = packets.lines().filter(|line| line.contains("subpkt")).collect();
                assert!(packets.contains("version 4") && packets.contains("sigclass 0x01"), "{packets}");
                assert!(packets.contains("digest algo 8,"), "{packets}");
                assert_eq!(lines.len(), 2, "{packets}");
                assert!(
                    lines[0].contains("hashed subpkt 2 len 4") && lines[1].contains("hashed subpkt 16 len 8")
                );
            }
        }
    }
    for path in ["/assets/k.sig", "/.sig", "/healthz.asc", "/ipxe.sig.sig"] {
        assert_eq!(server.get(path), "404 404 page not found\n", "{path}");
    }
    assert_eq!(server.get("/assets/k"), "200 KERNEL\n");
}

#[test]
fn a_passphrase_unlocks_the_key_ring_and_a_subkey_signs() {
    let locked = RSA.replace("sign,cert", "cert").replace(
        "Name-Real",
        "Subkey-Type: RSA\nSubkey-Length: 2048\nSubkey-Usage: sign\nPassphrase: secret words\nName-Real",
    );
    let gpg = Gpg::make(&locked);
    let ring = gpg.key_ring();
    let server = start(&ring, "secret words");
    let (plain, signed) = (server.ask(&[], "/boot.ipxe"), server.ask(&[], "/boot.ipxe.asc"));
    gpg.verify(&signed.body, &plain.body);
    for (passphrase, words) in [("wrong", "does not unlock"), ("", "does not unlock")] {
        let mut command = Command::new(DRYRACK);
        command.args(["matchbox", "-assets-path=", "-key-ring-path"]).arg(&ring).arg("-data-path");
        command.arg(fixtures().join("data")).env("MATCHBOX_PASSPHRASE", passphrase);
        let output = command.output().expect("it starts");
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.code() == Some(1) && said.contains(words), "{said}");
    }
}

#[test]
fn keys_of_other_kinds_sign_too() {
    let gpg = Gpg::make(
        "Key-Type: EDDSA\nKey-Curve: ed25519\nKey-Usage: sign\nName-Real: m\nName-Email: m@lab.test\nExpire-Date: 0",
    );
    let server = start(&gpg.key_ring(), "");
    let (plain, signed) = (server.ask(&[], "/ipxe?rack=r1"), server.ask(&[], "/ipxe.sig?rack=r1"));
    gpg.verify(&signed.body, &plain.body);
}
