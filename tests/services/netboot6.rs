//! Complete boots of real firmware over IPv6, under emulation.

use dryrack::event::{DhcpClient, Kind, Known};

use super::netboot::netboot;
use crate::rack::{Rack, alone_with};

/// One node for each IPv6 netboot method; they boot tiny, which prints what it found and powers off.
const NETBOOT: &str = r#"
[network.lan]
address = "10.0.0.1/24"
ipv6 = "fd00:83::1/64"
dns = { domain = "lab.test" }

[profile.pxe6]
kernel = "image:tiny/kernel"
initrd = "image:tiny/initrd"
args = ["console=ttyS0", "no_timer_check", "quiet", "dryrack.poweroff"]
loader = "chainload"
via = "pxe6"

[profile.http6]
kernel = "image:tiny/kernel"
initrd = "image:tiny/initrd"
args = ["console=ttyS0", "no_timer_check", "quiet", "dryrack.poweroff"]
loader = "chainload"
via = "http6"

[node.pxe6]
firmware = "uefi"
memory = "512MiB"
profile = "pxe6"

[node.http6]
firmware = "uefi"
memory = "512MiB"
profile = "http6"
"#;

/// Boots a node, compares its requests, and checks that nothing was fetched over IPv4.
async fn check(node: &str, expected: &[&str]) {
    let rack = Rack::of(NETBOOT, |_| ()).await;
    let steps = netboot(&rack, node).await;
    let text = rack.log.text();
    let requested =
        |step: &&String| step.starts_with("tftp") || step.starts_with("http") || step.starts_with("firmware");
    assert_eq!(steps.iter().filter(requested).collect::<Vec<_>>(), expected, "{text}");
    for word in ["ipxe solicit advertise", "ipxe request reply", "off: guest"] {
        assert!(steps.iter().any(|step| step == word), "{word} is not in\n{text}");
    }
    let script = format!("http://[fd00:83::1]/boot/{node}.ipxe");
    let told = |known: &Known| {
        matches!(known, Known::DhcpReplied { client, boot_file: Some(file), .. }
        if *client == DhcpClient::Ipxe && *file == script)
    };
    assert!(rack.log.has(told), "{text}");
    let over_ipv4 = |known: &Known| {
        matches!(known, Known::DhcpReplied { client, address: Some(address), boot_file: Some(_), .. }
        if *client == DhcpClient::Ipxe && address.is_ipv4())
    };
    assert!(!rack.log.has(over_ipv4), "{text}");
    // EDK2 waits ten seconds for a route unless it gets an advertisement before it fetches anything.
    let position = |is_it: &dyn Fn(&Known) -> bool| {
        let events = rack.log.events();
        events.iter().position(|event| {
            event.node.is_some() && matches!(&event.kind, Kind::Known(known) if is_it(known))
        })
    };
    let routed = position(&|known| matches!(known, Known::RouterAdvertised { .. }));
    let fetched = position(&|known| match known {
        Known::TftpServed { path, .. } | Known::HttpServed { path, .. } => path.ends_with("snponly.efi"),
        _ => false,
    });
    assert!(routed.is_some() && routed < fetched, "{text}");
    rack.end().await;
}

#[test]
fn uefi_boots_by_pxe() {
    alone_with(&["tiny", "ipxe"], async || {
        let steps = [
            "firmware solicit advertise",
            "firmware request reply",
            "tftp ipxe/snponly.efi probed",
            "tftp ipxe/snponly.efi sent",
            "http /boot/pxe6.ipxe 200 true",
            "http /profile/pxe6/kernel 200 true",
            "http /profile/pxe6/initrd0 200 true",
        ];
        check("pxe6", &steps).await;
    });
}

#[test]
fn uefi_boots_by_http() {
    alone_with(&["tiny", "ipxe"], async || {
        let steps = [
            // HTTP Boot tries IPv4 first, and is redirected at once.
            "firmware discover offer",
            "firmware request ack",
            "http / 404 true",
            "firmware solicit advertise",
            "firmware request reply",
            "http /ipxe/snponly.efi 200 true",
            "http /boot/http6.ipxe 200 true",
            "http /profile/http6/kernel 200 true",
            "http /profile/http6/initrd0 200 true",
        ];
        check("http6", &steps).await;
    });
}
