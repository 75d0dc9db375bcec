//! The boot services with real clients: each test has its own namespaces, nothing is simulated.

#![expect(clippy::disallowed_methods, reason = "a test waits on the clock and starts what it needs")]

mod rack;
mod services {
    mod aside;
    mod dhcp;
    mod dhcp6;
    mod dhcp_clients;
    mod dhcp_leases;
    mod dhcp_peers;
    mod dhcp_relay;
    mod dhcp_segment;
    mod dns;
    mod faults;
    mod firmware;
    mod grpc;
    mod hostile;
    mod http;
    mod https;
    mod matchbox;
    mod neighbours;
    mod netboot;
    mod netboot6;
    mod noise;
    mod ntp;
    mod routers;
    mod syslog;
    mod tftp;
}

use std::path::Path;

use dryrack::name::Mac;

/// Not a node of the lab.
const STRANGER: Mac = Mac([2, 0, 0, 0, 0, 9]);

/// Two nodes and a pool of three addresses. The kernel is a mebibyte of numbers, so that the received bytes can be
/// checked.
const LAB: &str = r#"
[network.lan]
address = "10.0.0.1/24"
mtu = 1400
dhcp = { server = { pool = ["10.0.0.30", "10.0.0.32"], lease-time = "1h" } }
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

/// Bytes without repetition, so that misplaced data is detected.
fn numbers(length: usize) -> Vec<u8> {
    (0_u32..).flat_map(|number| number.wrapping_mul(2_654_435_761).to_le_bytes()).take(length).collect()
}
