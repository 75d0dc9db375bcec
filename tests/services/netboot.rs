//! Complete boots of real firmware, under emulation.

use dryrack::event::{Kind, Known};
use dryrack::name::Mac;

use super::dhcp::Running;
use crate::rack::{Client, Rack, alone_with};

/// One node for each kind of firmware; they boot tiny, which prints what it found and powers off.
const NETBOOT: &str = r#"
[network.lan]
address = "10.0.0.1/24"
dns = { domain = "lab.test" }

[profile.tiny]
kernel = "image:tiny/kernel"
initrd = "image:tiny/initrd"
args = ["console=ttyS0", "no_timer_check", "quiet", "dryrack.poweroff"]

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
firmware-delays = "keep"
"#;

/// Boots a node until it powers off; returns the events of the boot in order, each once.
pub(crate) async fn netboot(rack: &Rack, node: &str) -> Vec<String> {
    let machine = rack.boot(node).await;
    rack.log
        .until("the end of the boot", 480, |known| {
            matches!(known, Known::PoweredOff { .. } | Known::MachineDied { .. })
        })
        .await;
    machine.stop().await;
    let mut steps: Vec<String> = Vec::new();
    for event in rack.log.events() {
        let Kind::Known(known) = event.kind else { continue };
        let step = match known {
            // A client in one of our namespaces solicits routers too.
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

/// The end of every netboot, once iPXE has the URL of its script.
const FROM_SCRIPT: [&str; 3] = [
    "http /boot/NODE.ipxe 200 true",
    "http /profile/tiny/kernel 200 true",
    "http /profile/tiny/initrd0 200 true",
];

/// Boots a node and compares the events: `first`, then what iPXE fetches, then `last`, then what the system found.
async fn check_netboot(rack: Rack, node: &str, first: &[&str], last: &[&str], found: &[&str]) {
    let mut steps = netboot(&rack, node).await;
    let text = rack.log.text();
    // iPXE solicits routers while it requests an address; which is answered first is random.
    let router = steps.iter().position(|step| step == "router").expect("a router advertisement");
    steps.remove(router);
    // iPXE shows its banner to the console while it opens the NIC, so neither waits for the other.
    let pressed = |steps: &mut Vec<String>| steps.extract_if(.., |step| step == "key").count();
    let off = steps.pop().unwrap();
    let facts = steps.pop().unwrap();
    let mut expected: Vec<String> =
        first.iter().chain(&FROM_SCRIPT).chain(last).map(|step| step.replace("NODE", node)).collect();
    assert_eq!(pressed(&mut steps), pressed(&mut expected), "{text}");
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
            "tftp ipxe/snponly.efi probed",
            "tftp ipxe/snponly.efi sent",
            "key",
            "ipxe discover offer",
            "ipxe request ack",
        ];
        let found = ["node=native", "address=10.0.0.13", "firmware=uefi"];
        check_netboot(rack, "native", &first, &OS, &found).await;
    });
}

/// Another DHCP server, busybox's udhcpd, without boot files.
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

/// Boots a node with an address from another server and boot files from ours.
async fn check_proxy(node: &str, first: &[&str]) {
    let proxied = "address = \"10.0.0.1/24\"\ndhcp = \"proxy\"";
    let rack = Rack::of(&NETBOOT.replace("address = \"10.0.0.1/24\"", proxied), |_| ()).await;
    let _other = other_dhcp_server(&rack);
    let last = ["ignored discover: no boot file for this client"];
    // The other server does not know the node's name.
    check_netboot(rack, node, first, &last, &["node=localhost"]).await;
}

const ELSEWHERE: &str = "ignored request: client chose another server";

#[test]
fn bios_boots_beside_another_dhcp_server() {
    alone_with(&["tiny"], async || {
        check_proxy("bios", &["key", "ipxe discover offer", ELSEWHERE]).await;
    });
}

#[test]
fn uefi_boots_beside_another_dhcp_server() {
    alone_with(&["tiny", "ipxe"], async || {
        let native = [
            "firmware discover offer",
            ELSEWHERE,
            "tftp ipxe/snponly.efi probed",
            "tftp ipxe/snponly.efi sent",
            "key",
        ];
        check_proxy("native", &[&native[..], &["ipxe discover offer"]].concat()).await;
    });
}

/// iPXE with the delays of real hardware: its banner, ProxyDHCP offers, and router advertisements that never arrive.
#[test]
fn a_node_at_real_pace_waits() {
    alone_with(&["tiny"], async || {
        let rack = Rack::of(NETBOOT, |_| ()).await;
        let machine = rack.boot("real").await;
        let line = |known: &Known, wanted: &str| matches!(known, Known::ConsoleLine { text } if text.contains(wanted));
        let reply = |known: &Known, wanted: &str| matches!(known, Known::DhcpReplied { reply, .. } if reply.as_str() == wanted);
        rack.log.until("its lease", 480, |known| reply(known, "ack")).await;
        // One dot per second. The screen shows them while it waits, the console's line ends when it no longer does.
        rack.log
            .until("it to wait for routers", 480, |known| {
                matches!(known, Known::ScreenShown { lines, .. } if lines.iter().any(|line| {
                    line.starts_with("Configuring (net0") && line.contains("........")
                }))
            })
            .await;
        machine.stop().await;

        // It has sent another request while it waited for other offers, which is skipped without delays.
        let offers = rack.log.count(|known| reply(known, "offer"));
        assert!(offers > 1, "{}", rack.log.text());
        assert!(rack.log.has(|known| line(known, "Press Ctrl-B")), "{}", rack.log.text());
        for never in [
            |known: &Known| matches!(known, Known::BannerSkipped {}),
            |known: &Known| matches!(known, Known::RouterAdvertised { .. }),
            |known: &Known| matches!(known, Known::HttpServed { .. }),
        ] {
            assert!(!rack.log.has(never), "{}", rack.log.text());
        }
    });
}
