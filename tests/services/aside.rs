//! Services that are switched off or moved: who has the ports, and who answers.

use std::process::Command;

use dryrack::event::Known;

use super::dhcp::{DNSMASQ, Lease, Running};
use super::firmware::{Boots, Firmware};
use crate::rack::{Rack, alone, program};
use crate::{LAB, STRANGER, kernel};

/// Returns the ports that are bound on the bridges' side, without loopback: `udp 67 tcp 80`.
fn ports() -> String {
    let of = |kind: &str, option: &str| {
        let output = Command::new(program("ss")).args(["-H", "-l", "-n", option]).output().unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        let local = |line: &str| line.split_whitespace().nth(3)?.rsplit_once(':')?.1.parse::<u16>().ok();
        let mut ports: Vec<u16> = text.lines().filter_map(local).collect();
        ports.sort_unstable();
        ports.dedup();
        ports.into_iter().map(|port| format!("{kind} {port}")).collect::<Vec<_>>().join(", ")
    };
    [of("udp", "-u"), of("tcp", "-t")]
        .into_iter()
        .filter(|ports| !ports.is_empty())
        .collect::<Vec<_>>()
        .join(", ")
}

/// A network on which nothing of ours runs.
const OFF: &str = r#"
[network.lan]
address = "10.0.0.1/24"
services = "off"

[node.one]
nic.lan = { mac = "52:54:00:00:00:01" }

[process.dnsmasq]
run = "dnsmasq"
"#;

#[test]
fn what_is_off_is_bound_by_nobody_and_another_server_has_the_ports() {
    alone(async || {
        let rack = Rack::of(OFF, |_| {}).await;
        assert_eq!(ports(), "");
        let bridge = rack.service().interface.to_string();
        let served = rack.folder.path().join("served");
        std::fs::create_dir(&served).unwrap();
        std::fs::write(served.join("hello"), "theirs\n").unwrap();
        let dnsmasq = Command::new(program("dnsmasq"))
            .args(["--no-daemon", "--user=", "--conf-file=/dev/null", "--pid-file=", "--bind-interfaces"])
            .args(["--leasefile-ro", "--no-ping", "--no-resolv", "--no-hosts", "--enable-tftp"])
            .arg(format!("--interface={bridge}"))
            .arg(format!("--tftp-root={}", served.display()))
            .args(["--dhcp-range=10.0.0.50,10.0.0.59,1h", "--address=/theirs.test/10.0.0.77"])
            .stdout(std::process::Stdio::null())
            .stderr(std::process::Stdio::null())
            .spawn();
        let _dnsmasq = Running(dnsmasq.unwrap());
        rack.log.until_now("dnsmasq", || ports() == "udp 53, udp 67, udp 69, tcp 53").await;

        let one = rack.client(rack.mac("one"));
        let lease = Lease::ask(&rack, &one, &[]).expect("a lease of dnsmasq");
        assert_eq!(lease.get("serverid"), "10.0.0.1");
        assert!(lease.get("ip").starts_with("10.0.0.5"), "{}", lease.get("ip"));
        let dig = one.run("dig", &["+short", "theirs.test", "@10.0.0.1"]);
        assert_eq!(dig.trim(), "10.0.0.77");
        let fetched = one.run_in(
            rack.folder.path(),
            "busybox",
            &["tftp", "-g", "-r", "hello", "-l", "got", "10.0.0.1"],
        );
        assert!(fetched.status.success(), "{fetched:?}");
        assert_eq!(std::fs::read_to_string(rack.folder.path().join("got")).unwrap(), "theirs\n");
        // Ours said nothing; the address is learned nevertheless.
        let learned = |known: &Known| matches!(known, Known::AddressLearned { .. });
        rack.log.until("the address of `one`", 10, learned).await;
        let ours = |known: &Known| {
            matches!(
                known,
                Known::DhcpReplied { .. }
                    | Known::DhcpIgnored { .. }
                    | Known::TftpServed { .. }
                    | Known::DnsAnswered { .. }
                    | Known::ServiceFailed { .. }
            )
        };
        assert_eq!(rack.log.count(ours), 0, "{}", rack.log.text());
    });
}

#[test]
fn services_move_and_clients_are_told() {
    alone(async || {
        let lab = LAB
            .replace(
                "mtu = 1400",
                "mtu = 1400\nhttp.port = 8080\nntp = \"off\"\ntftp = \"off\"\nra = \"off\"",
            )
            .replace("domain = \"lab.test\"", "port = 5353, domain = \"lab.test\"")
            .replace(
                "address = \"10.0.0.11\" }",
                "address = \"10.0.0.11\", rom = false }\nfirmware = \"uefi\"",
            );
        let rack = Rack::of(&lab, kernel).await;
        assert_eq!(ports(), "udp 67, udp 514, udp 4011, udp 5353, tcp 5353, tcp 8080");
        let one = rack.client(rack.mac("one")).with_address("10.0.0.11/24");
        let own = [10, 0, 0, 11].into();
        let url = |path: &str| Some(Boots::Url(format!("http://10.0.0.1:8080/{path}")));
        assert_eq!(Firmware::Http.boots(&one, rack.mac("one"), own), url("ipxe/snponly.efi"));
        assert_eq!(Firmware::Ipxe.boots(&one, rack.mac("one"), own), url("boot/one.ipxe"));
        let script = one.run("curl", &["-sf", "http://10.0.0.1:8080/boot/one.ipxe"]);
        assert!(script.starts_with("#!ipxe\nkernel /profile/install/kernel"), "{script}");
        let dig = one.run("dig", &["+short", "-p", "5353", "two.lab.test", "@10.0.0.1"]);
        assert_eq!(dig.trim(), "10.0.0.12");
        // A client cannot be told of a port of DNS, and there is no NTP.
        let stranger = rack.client(STRANGER);
        let lease = Lease::ask(&rack, &stranger, &["-O", "ntpsrv", "-O", "7"]).expect("a lease");
        assert_eq!((lease.get("dns"), lease.get("ntpsrv")), ("-", "-"));
        assert_eq!((lease.get("domain"), lease.get("opt7")), ("lab.test", "0a000001"));
    });
}

#[test]
fn a_switch_carries_frames_and_answers_nobody() {
    alone(async || {
        let lab = "network.far.subnet = \"10.5.0.0/24\"\nnetwork.near.address = \"10.6.0.1/24\"\n\
                   node.one.nic.far.mac = \"52:54:00:00:00:01\"\nprocess.dnsmasq.run = \"dnsmasq\"\n";
        let rack = Rack::of(lab, |_| {}).await;
        assert_eq!(
            ports(),
            "udp 53, udp 67, udp 69, udp 123, udp 514, udp 4011, tcp 53, tcp 80",
            "of `near`"
        );
        let addresses =
            Command::new(program("ip")).args(["-o", "address", "show", "dev", "far"]).output().unwrap();
        assert_eq!(String::from_utf8(addresses.stdout).unwrap(), "");
        // Another machine on the switch is the server.
        let server = rack.client_on("far", STRANGER).with_address("10.5.0.2/24");
        let dnsmasq = [&DNSMASQ, ["--dhcp-range=10.5.0.50,10.5.0.59,1h"].as_slice()].concat();
        let _dnsmasq = Running(server.start("dnsmasq", &dnsmasq));
        let one = rack.client_on("far", rack.mac("one"));
        let lease = Lease::ask(&rack, &one, &[]).expect("a lease of dnsmasq");
        assert_eq!(lease.get("serverid"), "10.5.0.2");
        one.run("busybox", &["ping", "-c", "1", "-W", "2", "10.5.0.2"]);
        let learned = |known: &Known| matches!(known, Known::AddressLearned { network, .. } if network.as_str() == "far");
        rack.log.until("the address of `one`", 10, learned).await;
        // The kernel knows the address of the other network, and says nothing.
        let asked = one.try_run("busybox", &["arping", "-c", "2", "-w", "2", "-I", "eth0", "10.6.0.1"]);
        assert!(!asked.status.success(), "{}", String::from_utf8_lossy(&asked.stdout));
    });
}
