//! HTTPS with curl, wget and real firmware.

use std::path::Path;

use dryrack::event::{FileRole, Known};
use dryrack::run::authority::Authority;

use crate::rack::{Client, Rack, alone, alone_with};
use crate::{LAB, kernel, numbers};

const KERNEL: &str = "https://10.0.0.1/profile/install/kernel";

fn lab() -> String {
    let alias = "cname = { mirror = \"matchbox.local\" }, records = {";
    LAB.replace("mtu = 1400", "mtu = 1400\nhttps = true").replace("records = {", alias)
}

async fn rack() -> (Rack, Client) {
    let rack = Rack::of(&lab(), kernel).await;
    let one = rack.client(rack.mac("one")).with_address("10.0.0.11/24");
    (rack, one)
}

/// Runs a client in a folder with the lab's certificate; returns exit code and output.
fn run(client: &Client, folder: &Path, program: &str, arguments: &[&str]) -> (i32, Vec<u8>) {
    let output = client.run_in(folder, program, arguments);
    (output.status.code().unwrap(), output.stdout)
}

#[test]
fn curl_and_wget_believe_the_labs_authority() {
    alone(async || {
        let (rack, one) = rack().await;
        let folder = tempfile::tempdir().unwrap();
        let curl = |options: &[&str]| {
            let (code, out) = run(&one, folder.path(), "curl", &[&["-sS", "-m", "20"], options].concat());
            assert_eq!(code, 0, "{options:?}\n{}", rack.log.text());
            out
        };
        curl(&["-O", "http://10.0.0.1/ca.pem", "-O", "http://10.0.0.1/ca.der"]);
        let all = numbers(1 << 20);
        let ca = ["--cacert", "ca.pem"];
        assert_eq!(curl(&[&ca[..], &[KERNEL]].concat()), all);
        assert_eq!(curl(&[&ca[..], &["-r", "1000-1999", KERNEL]].concat()), all[1000..2000]);
        // By each name of the server: its own, a record of the lab file, and an alias of that.
        for name in ["lab.test", "ns.lab.test", "matchbox.local", "mirror.lab.test"] {
            let resolve = format!("{name}:443:10.0.0.1");
            let url = format!("https://{name}/boot/one.ipxe");
            let script = curl(&[&ca[..], &["--resolve", &resolve, &url]].concat());
            assert!(script.starts_with(b"#!ipxe"), "{name}");
        }
        let modern = |known: &Known| match known {
            Known::HttpServed { tls: Some(tls), complete: true, role, .. } => {
                *role == Some(FileRole::Kernel) && tls.starts_with("TLSv1_3 TLS13_")
            }
            _ => false,
        };
        rack.log.until("what was agreed on", 5, modern).await;

        // As old firmware: no elliptic curves, and no named finite-field groups either.
        for (suite, name) in [
            ("DHE-RSA-AES128-GCM-SHA256", "TLSv1_2 TLS_DHE_RSA_WITH_AES_128_GCM_SHA256"),
            ("DHE-RSA-AES256-GCM-SHA384", "TLSv1_2 TLS_DHE_RSA_WITH_AES_256_GCM_SHA384"),
        ] {
            let old = ["--tls-max", "1.2", "--ciphers", suite, KERNEL];
            for _ in 0..3 {
                assert_eq!(curl(&[&ca[..], &old].concat()), all);
            }
            let told =
                |known: &Known| matches!(known, Known::HttpServed { tls: Some(tls), .. } if tls == name);
            rack.log.until(suite, 5, told).await;
        }

        // As iPXE 1.21.1, which has only RSA key exchange: the event says what is needed.
        let older = [
            "-m",
            "20",
            "-sS",
            "--cacert",
            "ca.pem",
            "--tls-max",
            "1.2",
            "--ciphers",
            "AES256-SHA256",
            KERNEL,
        ];
        let (code, _) = run(&one, folder.path(), "curl", &older);
        assert_eq!(code, 35, "no handshake");
        let outdated = |known: &Known| matches!(known, Known::HttpsFailed { error } if error.contains("newer than release 1.21.1"));
        rack.log.until("a client that is too old", 5, outdated).await;

        // wget resumes the download.
        let file = folder.path().join("kernel");
        std::fs::write(&file, &all[..300_000]).unwrap();
        let wget = |options: &[&str]| {
            run(&one, folder.path(), "wget", &[&["-q", "-t1", "-T20"], options].concat()).0
        };
        assert_eq!(wget(&["--ca-certificate=ca.pem", "-c", KERNEL]), 0);
        assert!(std::fs::read(&file).unwrap() == all);

        // A client without the CA certificate rejects ours, and we get an event.
        let (code, _) = run(&one, folder.path(), "curl", &["-sS", "-m", "20", "-o", "out", KERNEL]);
        assert_eq!((code, wget(&["-O", "out", KERNEL])), (60, 5));
        let unknown =
            |known: &Known| matches!(known, Known::HttpsFailed { error } if error.contains("UnknownCA"));
        rack.log.until("a client that does not know us", 5, unknown).await;
        // HTTP at the HTTPS port fails, too.
        let (code, _) = run(&one, folder.path(), "curl", &["-sS", "-m", "20", "http://10.0.0.1:443/"]);
        assert_ne!(code, 0);
        rack.log
            .until(
                "HTTP in the wrong place",
                5,
                |known| matches!(known, Known::HttpsFailed { error } if !error.contains("UnknownCA")),
            )
            .await;
    });
}

#[test]
fn large_files_pass_through_little_memory() {
    alone(async || {
        let (rack, one) = rack().await;
        let big = std::fs::File::options().write(true).open(rack.folder.path().join("kernel")).unwrap();
        big.set_len(300 << 20).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let fetch = |url: &str| {
            let options = ["-sS", "-m", "60", "-k", "-o", "/dev/null", "-w", "%{size_download}", url];
            let (code, size) = run(&one, folder.path(), "curl", &options);
            assert_eq!((code, String::from_utf8(size).unwrap()), (0, (300_u64 << 20).to_string()));
        };
        let most = || {
            let status = std::fs::read_to_string("/proc/self/status").unwrap();
            let line = status.lines().find(|line| line.starts_with("VmHWM:")).unwrap();
            line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap()
        };
        let before = most();
        fetch(KERNEL);
        let more = most() - before;
        assert!(more < 16 << 10, "{more} KiB more than before");
    });
}

/// One node whose firmware boots by HTTPS; iPXE continues by HTTP.
const NETBOOT: &str = r#"
[network.lan]
address = "10.0.0.1/24"
https = true
dns = { domain = "lab.test" }

[profile.https]
kernel = "image:tiny/kernel"
initrd = ["image:tiny/initrd", "lab:ca.cpio"]
args = ["console=ttyS0", "quiet", "rdinit=/bin/busybox", "--", "cat", "/etc/ssl/certs/lab-ca.pem", "-"]
loader = "chainload"
via = "https"

[node.https]
firmware = "uefi"
memory = "512MiB"
profile = "https"

[profile.unified]
kernel = "image:uki/tiny.efi"
loader = "kernel"
via = "https"

[node.unified]
firmware = "uefi"
memory = "768MiB"
profile = "unified"
"#;

/// Returns what a node fetched, and by which protocol.
fn fetched(rack: &Rack) -> Vec<String> {
    let events = rack.log.events();
    let served = events.iter().filter_map(|event| match &event.kind {
        dryrack::event::Kind::Known(Known::HttpServed { method, path, complete: true, tls, .. }) => {
            Some(format!("{method} {path} {}", tls.as_deref().unwrap_or("in the clear")))
        }
        _ => None,
    });
    served.collect()
}

/// The version and suite that Debian's OVMF negotiates.
const OVMF: &str = "TLSv1_2 TLS_DHE_RSA_WITH_AES_256_GCM_SHA384";

#[test]
fn uefi_boots_by_https_and_what_it_boots_knows_the_authority() {
    alone_with(&["tiny", "ipxe"], async || {
        let rack = Rack::of(NETBOOT, |_| ()).await;
        let machine = rack.boot("https").await;
        let line = |line: &str| {
            let line = line.to_owned();
            move |known: &Known| matches!(known, Known::ConsoleLine { text } if *text == line)
        };
        rack.log.until("the certificate", 480, line("-----END CERTIFICATE-----")).await;
        machine.stop().await;
        let expected = [
            format!("HEAD /ipxe/snponly.efi {OVMF}"),
            format!("GET /ipxe/snponly.efi {OVMF}"),
            "GET /boot/https.ipxe in the clear".to_owned(),
            "GET /profile/https/kernel in the clear".to_owned(),
            "GET /profile/https/initrd0 in the clear".to_owned(),
            "GET /profile/https/initrd1 in the clear".to_owned(),
        ];
        assert_eq!(fetched(&rack), expected, "{}", rack.log.text());
        let pem = std::fs::read_to_string(rack.folder.path().join("authority/ca.pem")).unwrap();
        for text in pem.lines() {
            assert!(rack.log.has(line(text)), "{text}\n{}", rack.log.text());
        }
        rack.end().await;
    });
}

#[test]
fn uefi_boots_a_kernel_by_https_alone() {
    alone_with(&["uki"], async || {
        let rack = Rack::of(NETBOOT, |_| ()).await;
        let machine = rack.boot("unified").await;
        let up = |known: &Known| matches!(known, Known::ConsoleLine { text } if text.starts_with("DRYRACK "));
        rack.log.until("the system", 480, up).await;
        machine.stop().await;
        let path = "/profile/unified/kernel.efi";
        assert_eq!(fetched(&rack), [format!("HEAD {path} {OVMF}"), format!("GET {path} {OVMF}")]);
        rack.end().await;
    });
}

/// The control: firmware accepts only trusted certificates.
#[test]
fn uefi_that_knows_another_authority_boots_nothing() {
    alone_with(&["ipxe"], async || {
        let rack = Rack::of(NETBOOT, |_| ()).await;
        let folder = rack.folder.path();
        let other = Authority::open(&folder.join("other"), &folder.join("lab.toml")).unwrap();
        other.lay_out(folder).unwrap();
        let machine = rack.boot("https").await;
        let refused = |known: &Known| matches!(known, Known::HttpsFailed { error } if error.contains("after receiving the certificate"));
        rack.log.until("the firmware's refusal", 480, refused).await;
        machine.stop().await;
        assert_eq!(fetched(&rack), [""; 0], "{}", rack.log.text());
        rack.end().await;
    });
}
