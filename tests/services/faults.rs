//! What goes wrong on purpose, as real clients see it: udhcpc, curl, dig, atftp.

use std::path::Path;
use std::time::{Duration, Instant};

use dryrack::config::fault_kind;
use dryrack::event::{DhcpMessage, Known, TftpOutcome};
use dryrack::name::NodeName;

use super::dhcp::Lease;
use super::dns::dig;
use super::http::KERNEL;
use crate::rack::{Client, Rack, alone};
use crate::{LAB, kernel, numbers};

/// Lets something go wrong with node `one`, as `dryrack fault` does, and ends it after what is done meanwhile.
fn with_fault<T>(rack: &Rack, fault: &str, times: Option<u32>, meanwhile: impl FnOnce() -> T) -> T {
    let one = NodeName::new("one").unwrap();
    let kind = fault_kind(fault).unwrap_or_else(|(found, _)| panic!("{fault}: {found:?}"));
    rack.faults.add(vec![one.clone()], None, times, kind);
    let result = meanwhile();
    rack.faults.end(&one);
    result
}

const BIOS: [&str; 6] = ["-V", "PXEClient:Arch:00000:UNDI:002001", "-x", "0x5d:0000", "-O", "bootfile"];

#[test]
fn udhcpc_is_answered_wrongly() {
    alone(async || {
        let bare = LAB.replace(
            "address = \"10.0.0.11\" }",
            "address = \"10.0.0.11\", rom = false }\nfirmware = \"uefi\"",
        );
        let rack = Rack::of(&bare, kernel).await;
        let one = rack.client(rack.mac("one"));
        let ask = |fault: &str, times, options: &[&str]| {
            with_fault(&rack, fault, times, || Lease::ask(&rack, &one, options))
        };
        let told = |lease: Option<Lease>| {
            let lease = lease.expect("a lease");
            [lease.get("ip"), lease.get("serverid"), lease.get("bootfile")].map(str::to_owned)
        };
        let nothing = |fault: &str| with_fault(&rack, fault, None, || Lease::none(rack.folder.path(), &one));
        nothing("dhcp=drop");
        // The second request of udhcpc is answered.
        assert_eq!(told(ask("dhcp=drop", Some(1), &[])), ["10.0.0.11", "10.0.0.1", "-"]);
        // udhcpc begins anew after each refusal.
        assert_eq!(told(ask("dhcp=nak", Some(1), &[])), ["10.0.0.11", "10.0.0.1", "-"]);
        assert!(
            rack.log
                .has(|known| matches!(known, Known::DhcpReplied { reply, .. } if *reply == DhcpMessage::Nak))
        );
        nothing("dhcp=pool-empty");
        let loader = "ipxe/undionly.kpxe";
        assert_eq!(told(ask("dhcp.delay=1500ms", Some(1), &BIOS)), ["10.0.0.11", "10.0.0.1", loader]);
        assert_eq!(told(ask("dhcp=no-boot-file", None, &BIOS)), ["10.0.0.11", "10.0.0.1", "-"]);
        assert_eq!(told(ask("dhcp.boot-file=x.efi", None, &BIOS)), ["10.0.0.11", "10.0.0.1", "x.efi"]);
        assert_eq!(
            told(ask("dhcp.architecture=7", None, &BIOS)),
            ["10.0.0.11", "10.0.0.1", "ipxe/snponly.efi"]
        );
        let ipxe = [&BIOS[..], &["-x", "0x4d:69505845"]].concat();
        let script = "http://10.0.0.1/boot/one.ipxe";
        assert_eq!(told(ask("dhcp=drop", Some(1), &ipxe)), ["10.0.0.11", "10.0.0.1", script]);
        assert_eq!(told(ask("dhcp=no-user-class", None, &ipxe)), ["10.0.0.11", "10.0.0.1", loader]);
        // udhcpc takes the first offer.
        assert_eq!(told(ask("dhcp=second-server", None, &BIOS)), ["10.0.0.11", "10.0.0.254", "-"]);
        assert_eq!(told(Lease::ask(&rack, &one, &BIOS)), ["10.0.0.11", "10.0.0.1", loader]);
        // The other node never noticed anything.
        let two = rack.client(rack.mac("two"));
        let lease = with_fault(&rack, "dhcp=drop", None, || Lease::ask(&rack, &two, &[]));
        assert_eq!(told(lease), ["10.0.0.12", "10.0.0.1", "-"]);
        let struck = |known: &Known| matches!(known, Known::FaultStruck { .. });
        assert!(rack.log.has(struck));
    });
}

/// Runs curl; returns its exit code, the status of the response, and the size of what came.
fn curl(client: &Client, folder: &Path, options: &[&str]) -> (i32, String, usize) {
    let always = ["-sS", "-m", "60", "-o", "out", "-w", "%{http_code}"];
    std::fs::remove_file(folder.join("out")).ok();
    let output = client.run_in(folder, "curl", &[&always[..], options].concat());
    let size = std::fs::metadata(folder.join("out")).map_or(0, |out| out.len() as usize);
    (output.status.code().unwrap(), String::from_utf8(output.stdout).unwrap(), size)
}

#[test]
fn curl_is_answered_wrongly() {
    alone(async || {
        let lab = LAB.replace("mtu = 1400", "mtu = 1400\nhttps = true");
        let rack = Rack::of(&lab, kernel).await;
        let one = rack.client(rack.mac("one")).with_address("10.0.0.11/24");
        let folder = tempfile::tempdir().unwrap();
        let get = |fault: &str, times, options: &[&str]| {
            let (code, status, size) = with_fault(&rack, fault, times, || curl(&one, folder.path(), options));
            format!("{code} {status} {size}")
        };
        let all = 1 << 20;
        assert_eq!(get("http.status=503", None, &[KERNEL]), "0 503 24");
        assert_eq!(get("http.status=503", Some(1), &["--retry", "1", KERNEL]), format!("0 200 {all}"));
        // 18: the transfer ended early; 56: the connection was reset; 28: timed out.
        assert_eq!(get("http=short", None, &[KERNEL]), format!("18 200 {}", all / 2));
        let reset = get("http=reset", None, &[KERNEL]);
        assert!(reset.starts_with("56 200 "), "{reset}");
        assert_eq!(get("http=silent", None, &["-m", "3", KERNEL]), "28 000 0");
        assert_eq!(get("http=wrong-length", None, &[KERNEL]), format!("0 200 {}", all / 2));
        let head = with_fault(&rack, "http=wrong-length", None, || one.run("curl", &["-sS", "-I", KERNEL]));
        assert!(head.contains(&format!("Content-Length: {}\r\n", all / 2)), "{head}");
        assert_eq!(get("http=no-ranges", None, &["-r", "0-99", KERNEL]), format!("0 200 {all}"));
        assert_eq!(get("http=no-ranges", None, &[KERNEL]), format!("0 200 {all}"));
        let slow = get("http.slow=100kB", None, &["-m", "3", KERNEL]);
        let (code, size) = (&slow[..7], slow[7..].parse::<usize>().unwrap());
        assert!(code == "28 200 " && (1..all).contains(&size), "{slow}");
        let moved = with_fault(&rack, "http=to-https", None, || {
            let words = ["-sS", "-o", "out", "-w", "%{http_code} %{redirect_url}", KERNEL];
            String::from_utf8(one.run_in(folder.path(), "curl", &words).stdout).unwrap()
        });
        assert_eq!(moved, format!("301 {}", KERNEL.replace("http:", "https:")));

        // Certificates: 60 says that it cannot be verified, 35 that both have nothing in common.
        assert_eq!(get("http=silent", Some(1), &["-m", "1", "http://10.0.0.1/ca.pem"]), "28 000 0");
        let ca = one.run_in(folder.path(), "curl", &["-sS", "-O", "http://10.0.0.1/ca.pem"]);
        assert!(ca.status.success());
        let secure = KERNEL.replace("http:", "https:");
        let ask = |fault: &str, further: &[&str]| {
            let words =
                [&["-sS", "-m", "60", "--cacert", "ca.pem", "-o", "out"], further, &[&secure]].concat();
            let output = with_fault(&rack, fault, None, || one.run_in(folder.path(), "curl", &words));
            (output.status.code().unwrap(), String::from_utf8_lossy(&output.stderr).into_owned())
        };
        for (fault, code, why) in [
            ("tls=expired", 60, "expired"),
            ("tls=not-yet-valid", 60, "not yet valid"),
            ("tls=unknown-authority", 60, "issuer"),
            ("tls=wrong-name", 60, "10.0.0.1"),
            ("tls=only-tls13", 0, ""),
        ] {
            let (seen, said) = ask(fault, &[]);
            assert!(seen == code && said.contains(why), "{fault}: {seen} {said}");
        }
        assert_eq!(ask("tls=only-tls13", &["--tls-max", "1.2"]).0, 35);
        assert_eq!(ask("dns=silent", &["--tls-max", "1.2"]).0, 0);
    });
}

#[test]
fn tftp_clients_are_answered_wrongly() {
    alone(async || {
        let rack = Rack::of(LAB, kernel).await;
        let one = rack.client(rack.mac("one")).with_address("10.0.0.11/24");
        let folder = tempfile::tempdir().unwrap();
        let get = |fault: &str, most: &str| {
            std::fs::remove_file(folder.path().join("out")).ok();
            let words = ["-sS", "-m", most, "-o", "out", "tftp://10.0.0.1/profile/install/kernel"];
            let output = with_fault(&rack, fault, None, || one.run_in(folder.path(), "curl", &words));
            let size = std::fs::metadata(folder.path().join("out")).map_or(0, |out| out.len());
            format!("{} {size}", output.status.code().unwrap())
        };
        // 68: not found; 69: access violation; 71: an undefined error; 28: timed out.
        assert_eq!(get("tftp=missing", "60"), "68 0");
        assert_eq!(get("tftp.error=2", "60"), "69 0");
        assert_eq!(get("tftp.stall=0", "3"), "28 0");
        // curl asks for blocks of 512 bytes.
        assert_eq!(get("tftp.stall=21", "5"), format!("28 {}", 20 * 512));
        assert_eq!(get("dns=silent", "60"), format!("0 {}", 1 << 20));
        let busy = |known: &Known| matches!(known, Known::TftpServed { outcome, .. } if *outcome == TftpOutcome::Refused);
        assert!(rack.log.has(busy));

        // atftp shows what was agreed on.
        let trace = |fault: &str| {
            let words = ["--trace", "--option", "blksize 1428", "--option", "tsize", "-g", "-r"];
            let rest = ["profile/install/kernel", "-l", "out", "10.0.0.1"];
            let output = with_fault(&rack, fault, None, || {
                one.run_in(folder.path(), "atftp", &[&words[..], &rest].concat())
            });
            String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned()
        };
        let said = trace("tftp.size=7B");
        assert!(said.contains("tsize: 7") && said.contains("blksize: 1428"), "{said}");
        let plain = trace("tftp=no-options");
        assert!(!plain.contains("OACK"), "{plain}");
        assert_eq!(std::fs::read(folder.path().join("out")).unwrap(), numbers(1 << 20));
    });
}

#[test]
fn dig_is_answered_wrongly() {
    alone(async || {
        let rack = Rack::of(LAB, kernel).await;
        let one = rack.client(rack.mac("one")).with_address("10.0.0.11/24");
        let ask = |fault: &str, question: &str| with_fault(&rack, fault, None, || dig(&one, question));
        assert_eq!(ask("dns=no-such-name", "one.lab.test A"), "NXDOMAIN -- ra");
        assert_eq!(ask("dns=no-such-name", "one.lab.test A +tcp"), "NXDOMAIN -- ra");
        assert_eq!(ask("dns=wrong-address", "one.lab.test A"), "NOERROR -- ra 192.0.2.1");
        assert_eq!(ask("dns=ipv6-only", "one.lab.test A"), "NOERROR -- ra");
        assert_eq!(ask("tftp=missing", "one.lab.test A"), "NOERROR aa -- 10.0.0.11");
        let silent = with_fault(&rack, "dns=silent", None, || {
            let words = ["@10.0.0.1", "+tries=1", "+time=1", "one.lab.test"];
            one.try_run("dig", &words).status.code()
        });
        assert_eq!(silent, Some(9), "dig says that no server could be reached");
    });
}

#[test]
fn files_are_spoilt_for_one_node() {
    alone(async || {
        let rack = Rack::of(LAB, |folder| {
            kernel(folder);
            let mut kernel = numbers(1 << 20);
            kernel[0x202..0x206].copy_from_slice(b"HdrS");
            std::fs::write(folder.join("kernel"), kernel).unwrap();
        })
        .await;
        let one = rack.client(rack.mac("one")).with_address("10.0.0.11/24");
        let two = rack.client(rack.mac("two")).with_address("10.0.0.12/24");
        let folder = tempfile::tempdir().unwrap();
        let whole = |client: &Client, fault: &str, url: &str| {
            with_fault(&rack, fault, None, || {
                client.run_in(folder.path(), "curl", &["-sS", "-m", "5", url]).stdout
            })
        };
        let sound = whole(&one, "dns=silent", KERNEL);
        assert_eq!(whole(&one, "payload=truncated", KERNEL), sound[..sound.len() / 2]);
        assert_eq!(whole(&two, "payload=truncated", KERNEL), sound);
        let arm = whole(&one, "payload=wrong-architecture", KERNEL);
        assert_eq!((arm.len(), &arm[0x38..0x3c]), (sound.len(), &b"ARM\x64"[..]));
        let script = "http://10.0.0.1/boot/one.ipxe";
        let text = String::from_utf8(whole(&one, "payload=wrong-root", script)).unwrap();
        assert!(text.contains(" root=/dev/nowhere"), "{text}");
        let same = |path: &str| whole(&one, "payload=truncated", path) == whole(&one, "dns=silent", path);
        assert!(same(script), "only kernels and initrds are cut off");
        let left: Vec<_> = std::fs::read_dir(rack.folder.path()).unwrap().flatten().collect();
        assert!(
            !left.iter().any(|entry| entry.file_name().to_string_lossy().starts_with("copy-")),
            "{left:?}"
        );
    });
}

#[test]
fn a_delayed_answer_comes_later() {
    alone(async || {
        let rack = Rack::of(LAB, kernel).await;
        let one = rack.client(rack.mac("one"));
        let began = Instant::now();
        let lease = with_fault(&rack, "dhcp.delay=400ms", None, || Lease::ask(&rack, &one, &[]));
        assert!(lease.is_some());
        assert!(began.elapsed() >= Duration::from_millis(800), "offer and acknowledgement took their time");
    });
}
