//! A lab attached to an interface of the host, with other hosts on its segment.

use std::path::Path;
use std::process::{Command, Output};

use super::dhcp::{Lease, Running};
use crate::STRANGER;
use crate::rack::{Client, Log, alone, program};
use dryrack::name::Mac;

/// A simulated physical machine.
const METAL: Mac = Mac([0x52, 0x54, 0, 0, 7, 7]);

/// Interface `eth1` of this host is connected to it.
const LAB: &str = r#"
dryrack = 1
name = "segment"
isolation = "none"
accel = "tcg"

[network.lan]
address = "192.168.77.200/24"
interface = "eth1"

[network.lan.dhcp.server]
pool = ["192.168.77.210", "192.168.77.220"]
reservations = { "52:54:00:00:07:07" = "192.168.77.7" }
"#;

/// Runs a command on the lab of a folder.
fn dryrack(folder: &Path, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_dryrack"));
    command.env("DRYRACK_STATE", folder.join("state")).env("DRYRACK_RUNTIME", folder.join("run"));
    command.args(arguments).arg(folder.join("lab.toml")).output().unwrap()
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&[output.stdout.as_slice(), &output.stderr].concat()).into_owned()
}

fn prepare(folder: &Path) {
    std::fs::write(folder.join("lab.toml"), LAB).unwrap();
}

/// Returns the bridge and the state of the interface.
fn cable() -> String {
    let output = Command::new(program("ip")).args(["-o", "link", "show", "dev", "eth1"]).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let up = if text.split(['<', ',', '>']).any(|flag| flag == "UP") { "up" } else { "down" };
    let bridge = if text.contains(" master dr") { "in the lab" } else { "nobody's" };
    format!("{up}, {bridge}")
}

#[test]
fn another_server_is_found_before_anybody_is_answered() {
    alone(async || {
        let folder = tempfile::tempdir().unwrap();
        prepare(folder.path());
        let there = Client::across("eth1", 1500, Mac([2, 0, 0, 0, 7, 1])).with_address("192.168.77.1/24");
        // With its defaults: it checks for some seconds whether the address is in use before it offers it.
        let dnsmasq = [
            "--no-daemon",
            "--conf-file=/dev/null",
            "--pid-file=",
            "--port=0",
            "--interface=eth0",
            "--bind-interfaces",
            "--leasefile-ro",
            "--dhcp-range=192.168.77.50,192.168.77.99,1h",
        ];
        let dnsmasq = Running(there.start("dnsmasq", &dnsmasq));
        // Port 67, in hexadecimal.
        let table = format!("/proc/{}/net/udp", dnsmasq.0.id());
        let listens = || std::fs::read_to_string(&table).unwrap().contains(":0043 ");
        Log::default().until_now("dnsmasq", listens).await;
        assert_eq!(cable(), "down, nobody's");
        let up = dryrack(folder.path(), &["up", "--detach"]);
        assert_eq!(up.status.code(), Some(3), "{}", said(&up));
        for words in [
            "another DHCP server is active on network `lan`: 192.168.77.1",
            "network.lan.dhcp = \"proxy\"",
            "network.lan.dhcp.server.authoritative = true",
        ] {
            assert!(said(&up).contains(words), "{words:?} is not in\n{}", said(&up));
        }
        assert_eq!(cable(), "down, nobody's", "everything is as it was");

        // If configured, our server runs in parallel, or leaves addresses to it.
        for set in ["network.lan.dhcp.server.authoritative=true", "network.lan.dhcp=\"proxy\""] {
            let up = dryrack(folder.path(), &["up", "--detach", "--set", set]);
            assert!(up.status.success(), "{set}: {}", said(&up));
            assert_eq!(cable(), "up, in the lab");
            let down = dryrack(folder.path(), &["down"]);
            assert!(down.status.success(), "{set}: {}", said(&down));
        }
        drop(dnsmasq);
        assert_eq!(cable(), "down, nobody's");
    });
}

#[test]
fn only_who_is_known_is_answered_on_a_segment_of_others() {
    alone(async || {
        let folder = tempfile::tempdir().unwrap();
        prepare(folder.path());
        let metal = Client::across("eth1", 1500, METAL);
        let up = dryrack(folder.path(), &["up", "--detach"]);
        assert!(up.status.success(), "{}", said(&up));
        let lease = Lease::ask_in(folder.path(), &metal, &[]).expect("a lease");
        assert_eq!((lease.get("ip"), lease.get("serverid")), ("192.168.77.7", "192.168.77.200"));
        metal.run("ip", &["link", "set", "eth0", "address", &STRANGER.to_string()]);
        // Nobody of the lab.
        Lease::none(folder.path(), &metal);
        let down = dryrack(folder.path(), &["down"]);
        assert!(down.status.success(), "{}", said(&down));

        let answer = ["up", "--detach", "--set", "network.lan.dhcp.server.unknown-clients=\"answer\""];
        let up = dryrack(folder.path(), &answer);
        assert!(up.status.success(), "{}", said(&up));
        let lease = Lease::ask_in(folder.path(), &metal, &[]).expect("a lease");
        assert_eq!(lease.get("ip"), "192.168.77.210");
        let down = dryrack(folder.path(), &["down"]);
        assert!(down.status.success(), "{}", said(&down));
        assert_eq!(cable(), "down, nobody's");
    });
}
