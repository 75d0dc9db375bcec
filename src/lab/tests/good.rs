//! Valid labs, and their defaults.

use std::fmt::Write;

use insta::{assert_debug_snapshot, assert_snapshot};

use super::{BASE, lab};
use crate::lab::{Boot, BootDevice, Check, Dhcp, DhcpServer, Lab, ProbedCheck, Seed, Upstream};

/// The addresses of all NICs.
fn addresses(lab: &Lab) -> String {
    let mut text = String::new();
    for node in lab.nodes.values() {
        for nic in &node.nics {
            let address = nic.address.map_or("-".into(), |address| address.to_string());
            writeln!(text, "{} {} {} {} {address}", node.name, nic.name, nic.network, nic.mac).unwrap();
        }
    }
    text
}

#[test]
fn shipped_labs_make_sense() {
    for text in [
        crate::config::INIT,
        include_str!("../../../labs/quickstart/lab.toml"),
        include_str!("../../../labs/etcd/lab.toml"),
    ] {
        lab(text);
    }
}

#[test]
fn everything_has_a_default() {
    assert_debug_snapshot!(lab(BASE), @r#"
    Lab {
        name: LabName(
            "my-lab",
        ),
        file: "/labs/my-lab/lab.toml",
        folder: "/labs/my-lab",
        isolation: Private,
        accel: Auto,
        parallel_boots: None,
        capture: Some(
            Capture {
                size: Bytes(
                    67108864,
                ),
                payload: false,
            },
        ),
        clock: 0,
        networks: {
            NetworkName(
                "lan",
            ): Network {
                name: NetworkName(
                    "lan",
                ),
                address: Some(
                    10.0.0.1/24,
                ),
                subnet: 10.0.0.0/24,
                probe_from: None,
                bridge: Some(
                    IfName(
                        "lan",
                    ),
                ),
                ipv6: None,
                mac: Mac(
                    [
                        82,
                        84,
                        0,
                        24,
                        16,
                        233,
                    ],
                ),
                interface: None,
                mtu: 1500,
                nat: false,
                dhcp: Server(
                    DhcpServer {
                        pool: None,
                        lease_time: 3600s,
                        authoritative: true,
                        unknown_clients: Answer,
                        identity: None,
                        ipxe_classes: [],
                        reservations: {},
                    },
                ),
                tftp: Builtin,
                options: {},
                root: None,
                files: {},
                listing: false,
                http: Some(
                    80,
                ),
                ntp: true,
                syslog: true,
                ra: true,
                https: false,
                matchbox: None,
                dns: Dns {
                    port: Some(
                        53,
                    ),
                    domain: "lab",
                    records: {},
                    aliases: {},
                    services: {},
                    texts: {},
                    upstream: None,
                },
            },
        },
        profiles: {
            ProfileName(
                "tiny",
            ): Profile {
                name: ProfileName(
                    "tiny",
                ),
                kernel: Some(
                    Image {
                        image: ImageName(
                            "tiny",
                        ),
                        file: "kernel",
                    },
                ),
                initrd: [],
                args: [],
                loader: Ipxe,
                via: None,
                programs: {},
                ignition: None,
                cloud: None,
                generic: None,
                metadata: {},
            },
        },
        groups: {},
        nodes: {
            NodeName(
                "a",
            ): Node {
                name: NodeName(
                    "a",
                ),
                firmware: Bios,
                machine: Q35,
                cpus: 1,
                memory: Bytes(
                    536870912,
                ),
                nics: [
                    Nic {
                        name: NicName(
                            "lan",
                        ),
                        network: NetworkName(
                            "lan",
                        ),
                        mac: Mac(
                            [
                                82,
                                84,
                                0,
                                47,
                                211,
                                66,
                            ],
                        ),
                        client_id: None,
                        address: Some(
                            10.0.0.10,
                        ),
                        ipv6: None,
                        model: Virtio,
                        rom: true,
                        link_up: true,
                    },
                ],
                disks: [],
                cds: [],
                boot: Order(
                    [
                        Network,
                    ],
                ),
                profile: Some(
                    ProfileName(
                        "tiny",
                    ),
                ),
                start: WithLab,
                firmware_delays: Skip,
                uuid: ebba3ee9-99d8-569f-a391-2682a11f30f2,
                serial: "DR648F1B422316",
                asset_tag: "a",
                shares: [],
                tpm: None,
                qemu: QemuExtras {
                    args: [],
                    cpu: None,
                },
                seed: None,
                options: {},
                bmc: None,
            },
        },
        hosts: {},
        processes: {},
        publish: [],
        expectations: {},
        actions: {},
        faults: {},
        origins: Origins(10),
    }
    "#);
}

#[test]
fn everything_can_be_written() {
    let lab = lab(EVERYTHING);
    assert_debug_snapshot!(lab);
}

/// Every key of the format.
pub(super) use crate::config::keys::EVERYTHING;

#[test]
fn addresses_follow_the_order_of_names() {
    let lab = lab(r#"
dryrack = 1
[network.lan]
address = "10.0.0.11/24"
dhcp = { server = { pool = ["10.0.0.13", "10.0.0.20"] } }
[profile.p]
kernel = "image:tiny/kernel"
[node]
b = { profile = "p" }
a = { profile = "p" }
fixed = { profile = "p", nic.lan = { address = "10.0.0.12" } }
pooled = { profile = "p", nic.lan = { address = "pool" } }
two = { profile = "p", nic = { y = { network = "lan" }, x = { network = "lan" } } }
"#);
    assert_snapshot!(addresses(&lab), @"
    a lan lan 52:54:00:2f:d3:42 10.0.0.10
    b lan lan 52:54:00:e9:78:42 10.0.0.21
    fixed lan lan 52:54:00:3f:66:e8 10.0.0.12
    pooled lan lan 52:54:00:ee:f2:98 -
    two y lan 52:54:00:b6:c1:e2 10.0.0.22
    two x lan 52:54:00:38:6a:0c 10.0.0.23
    ");
}

#[test]
fn a_derived_mac_makes_way_for_one_that_was_written() {
    let lab = lab(&format!(
        "{BASE}node.b = {{ profile = \"tiny\", nic.lan = {{ mac = \"52:54:00:2f:d3:42\" }} }}\n"
    ));
    assert_snapshot!(addresses(&lab), @"
    a lan lan 52:54:00:c8:2d:8c 10.0.0.10
    b lan lan 52:54:00:2f:d3:42 10.0.0.11
    ");
}

#[test]
fn small_networks_are_filled_from_below() {
    let lab = lab(r#"
dryrack = 1
network.lan.address = "10.0.0.2/29"
profile.p.kernel = "image:tiny/kernel"
node.n = { count = 5, profile = "p" }
"#);
    assert_snapshot!(addresses(&lab), @"
    n-1 lan lan 52:54:00:58:16:eb 10.0.0.1
    n-2 lan lan 52:54:00:bd:fa:3a 10.0.0.3
    n-3 lan lan 52:54:00:8e:68:e7 10.0.0.4
    n-4 lan lan 52:54:00:fa:5d:d8 10.0.0.5
    n-5 lan lan 52:54:00:59:e7:c0 10.0.0.6
    ");
}

#[test]
fn only_our_own_server_reserves() {
    let lab = lab(r#"
dryrack = 1
network.lan = { address = "10.0.0.1/24", dhcp = "proxy" }
process.dnsmasq.run = "dnsmasq"
profile.p.kernel = "image:tiny/kernel"
node.a = { profile = "p" }
node.b = { profile = "p", nic.lan = { address = "10.0.0.5" } }
"#);
    assert_snapshot!(addresses(&lab), @"
    a lan lan 52:54:00:2f:d3:42 -
    b lan lan 52:54:00:e9:78:42 10.0.0.5
    ");
}

#[test]
fn what_is_derived_never_changes() {
    let one = &lab(BASE).nodes.into_values().next().unwrap();
    assert_eq!(
        (one.nics[0].mac.to_string(), one.uuid.to_string(), one.serial.as_str(), one.asset_tag.as_str()),
        ("52:54:00:2f:d3:42".into(), "ebba3ee9-99d8-569f-a391-2682a11f30f2".into(), "DR648F1B422316", "a")
    );
}

#[test]
fn a_node_with_a_disk_boots_from_it_first() {
    let lab = lab(r#"
dryrack = 1
network.lan.address = "10.0.0.1/24"
node.a.disk.root = { size = "4GiB", source = "image:debian/disk" }
node.b.disk.root = { size = "4GiB" }
expect.in = { nodes = ["a"], that.ssh = { user = "debian" } }
expect.in-again = { that.ssh = { user = "debian", run = "true" } }
"#);
    let [a, b] = lab.nodes.values().collect::<Vec<_>>().try_into().unwrap();
    assert_eq!(a.boot, Boot::Order(vec![BootDevice::Disk, BootDevice::Network]));
    assert_eq!(
        a.seed,
        Seed::NoCloud { user_data: None, network_config: None, users: vec!["debian".into()], volume: true }
    );
    assert_eq!(b.seed, Seed::None);
}

#[test]
fn nat_brings_the_hosts_resolver() {
    let lab = lab(r#"
dryrack = 1
network.lan = { address = "10.0.0.1/24", nat = true, dhcp = "server" }
"#);
    let network = lab.networks.values().next().unwrap();
    assert_eq!(network.dns.upstream, Upstream::Host);
    assert!(matches!(network.dhcp, Dhcp::Server(DhcpServer { pool: None, .. })));
}

#[test]
fn a_lab_has_the_name_of_its_folder() {
    assert_eq!(lab(BASE).name.as_str(), "my-lab");
}

#[test]
fn a_command_is_about_no_node() {
    let lab = lab(&format!("{BASE}expect.c.that.command = \"true\""));
    let expectation = lab.expectations.values().next().unwrap();
    assert!(
        expectation.nodes.is_empty()
            && matches!(expectation.check, Check::Probed(ProbedCheck::Command { exit: 0, .. }))
    );
}
