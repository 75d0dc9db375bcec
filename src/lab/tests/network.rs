//! Errors in networks: addresses, pools, names, published ports.

use insta::assert_snapshot;

use super::{check, check_more};

#[test]
fn what_is_served_is_a_folder() {
    assert_snapshot!(check_more("network.lan.root = \"files/kernel.efi\"\n"), @r#"
    error[L140]: `files/kernel.efi` is not a folder
     --> lab.toml:5:20
      |
    5 | network.lan.root = "files/kernel.efi"
      |                    ^^^^^^^^^^^^^^^^^^
      |
      = help: use the folder that contains the file

    1 error; for more, run `dryrack explain L140`
    "#);
    assert_snapshot!(check_more("network.lan.root = \"www\"\n"), @r#"
    error[L017]: there is no file `www`
     --> lab.toml:5:20
      |
    5 | network.lan.root = "www"
      |                    ^^^^^
      |
      = help: paths are relative to `/labs/my-lab`

    1 error; for more, run `dryrack explain L017`
    "#);
    assert_snapshot!(check_more("network.lan.listing = true\n"), @r#"
    error[L141]: `listing` has no effect without `root`
     --> lab.toml:5:23
      |
    5 | network.lan.listing = true
      |                       ^^^^
      |
      = help: set a folder, such as root = "www", or remove `listing`

    1 error; for more, run `dryrack explain L141`
    "#);
}

#[test]
fn no_address_for_a_bridge() {
    let lab = r#"dryrack = 1
network.a.address = "10.0.0.0/24"
network.b.address = "10.0.1.255/24"
network.c.address = "10.0.2.1/32"
network.d.address = "127.0.0.1/8"
network.e.address = "224.0.0.1/24"
network.f.address = "0.0.0.0/0"
"#;
    assert_snapshot!(check(lab), @r#"
    error[L101]: 10.0.0.0 is the network address, not a host address
     --> lab.toml:2:21
      |
    2 | network.a.address = "10.0.0.0/24"
      |                     ^^^^^^^^^^^^^
      |
      = help: use a host address, such as "10.0.0.1/24"

    error[L101]: 10.0.1.255 is the broadcast address of its subnet
     --> lab.toml:3:21
      |
    3 | network.b.address = "10.0.1.255/24"
      |                     ^^^^^^^^^^^^^^^
      |
      = help: use a host address, such as "10.0.1.1/24"

    error[L101]: the prefix length 32 is out of range (8 to 30)
     --> lab.toml:4:21
      |
    4 | network.c.address = "10.0.2.1/32"
      |                     ^^^^^^^^^^^^^
      |
      = help: use a private subnet, such as "10.0.2.1/24"

    error[L101]: 127.0.0.1 cannot be the address of a bridge
     --> lab.toml:5:21
      |
    5 | network.d.address = "127.0.0.1/8"
      |                     ^^^^^^^^^^^^^
      |
      = help: use a private subnet, such as "10.0.2.1/24"

    error[L101]: 224.0.0.1 cannot be the address of a bridge
     --> lab.toml:6:21
      |
    6 | network.e.address = "224.0.0.1/24"
      |                     ^^^^^^^^^^^^^^
      |
      = help: use a private subnet, such as "10.0.2.1/24"

    error[L101]: 0.0.0.0 cannot be the address of a bridge
     --> lab.toml:7:21
      |
    7 | network.f.address = "0.0.0.0/0"
      |                     ^^^^^^^^^^^
      |
      = help: use a private subnet, such as "10.0.2.1/24"

    6 errors; for more, run `dryrack explain L101`
    "#);
}

#[test]
fn networks_overlap() {
    let lab = r#"dryrack = 1
network.a.address = "10.0.0.1/24"
network.b.address = "10.0.0.129/25"
network.c.address = "10.1.0.1/8"
network.d.address = "192.168.0.1/24"
"#;
    assert_snapshot!(check(lab), @r#"
    error[L102]: 10.0.0.128/25 overlaps with 10.0.0.0/24 of network `a`
     --> lab.toml:3:21
      |
    2 | network.a.address = "10.0.0.1/24"
      |                     ------------- `a` is here
    3 | network.b.address = "10.0.0.129/25"
      |                     ^^^^^^^^^^^^^^^
      |
      = help: give each network its own subnet

    error[L102]: 10.0.0.0/8 overlaps with 10.0.0.0/24 of network `a` and 10.0.0.128/25 of network `b`
     --> lab.toml:4:21
      |
    2 | network.a.address = "10.0.0.1/24"
      |                     ------------- `a` is here
    3 | network.b.address = "10.0.0.129/25"
      |                     --------------- `b` is here
    4 | network.c.address = "10.1.0.1/8"
      |                     ^^^^^^^^^^^^
      |
      = help: give each network its own subnet

    2 errors; for more, run `dryrack explain L102`
    "#);
}

#[test]
fn an_address_outside_its_network() {
    assert_snapshot!(check_more("node.a.nic.lan = { address = \"10.0.1.5\" }\n"), @r#"
    error[L103]: 10.0.1.5 lies outside network `lan`, 10.0.0.0/24
     --> lab.toml:5:30
      |
    2 | network.lan.address = "10.0.0.1/24"
      |                       ------------- the network
    ...
    5 | node.a.nic.lan = { address = "10.0.1.5" }
      |                              ^^^^^^^^^^
      |
      = help: its host addresses are 10.0.0.1 to 10.0.0.254

    1 error; for more, run `dryrack explain L103`
    "#);
}

#[test]
fn addresses_that_are_not_for_nodes() {
    let more = r#"
node.a.nic.lan = { address = "10.0.0.1" }
node.b = { profile = "tiny", nic.lan = { address = "10.0.0.0" } }
node.c = { profile = "tiny", nic.lan = { address = "10.0.0.255" } }
"#;
    assert_snapshot!(check_more(more), @r#"
    error[L104]: 10.0.0.1 is the bridge's own address on network `lan`
     --> lab.toml:6:30
      |
    2 | network.lan.address = "10.0.0.1/24"
      |                       ------------- the network
    ...
    6 | node.a.nic.lan = { address = "10.0.0.1" }
      |                              ^^^^^^^^^^
      |
      = help: its host addresses are 10.0.0.1 to 10.0.0.254

    error[L104]: 10.0.0.0 is the network or broadcast address of 10.0.0.0/24
     --> lab.toml:7:52
      |
    2 | network.lan.address = "10.0.0.1/24"
      |                       ------------- the network
    ...
    7 | node.b = { profile = "tiny", nic.lan = { address = "10.0.0.0" } }
      |                                                    ^^^^^^^^^^
      |
      = help: its host addresses are 10.0.0.1 to 10.0.0.254

    error[L104]: 10.0.0.255 is the network or broadcast address of 10.0.0.0/24
     --> lab.toml:8:52
      |
    2 | network.lan.address = "10.0.0.1/24"
      |                       ------------- the network
    ...
    8 | node.c = { profile = "tiny", nic.lan = { address = "10.0.0.255" } }
      |                                                    ^^^^^^^^^^^^
      |
      = help: its host addresses are 10.0.0.1 to 10.0.0.254

    3 errors; for more, run `dryrack explain L104`
    "#);
}

#[test]
fn two_nodes_with_one_address() {
    let more = r#"
node.a.nic.lan = { address = "10.0.0.5" }
node.b = { profile = "tiny", nic.lan = { address = "10.0.0.5" } }
node.c = { profile = "tiny", nic.lan = { address = "10.0.0.5" } }
"#;
    assert_snapshot!(check_more(more), @r#"
    error[L105]: 10.0.0.5 is already the address of `a`
     --> lab.toml:7:52
      |
    6 | node.a.nic.lan = { address = "10.0.0.5" }
      |                              ---------- first used here
    7 | node.b = { profile = "tiny", nic.lan = { address = "10.0.0.5" } }
      |                                                    ^^^^^^^^^^
      |
      = help: give each NIC its own address, or remove `address`

    error[L105]: 10.0.0.5 is already the address of `a`
     --> lab.toml:8:52
      |
    6 | node.a.nic.lan = { address = "10.0.0.5" }
      |                              ---------- first used here
    7 | node.b = { profile = "tiny", nic.lan = { address = "10.0.0.5" } }
    8 | node.c = { profile = "tiny", nic.lan = { address = "10.0.0.5" } }
      |                                                    ^^^^^^^^^^
      |
      = help: give each NIC its own address, or remove `address`

    2 errors; for more, run `dryrack explain L105`
    "#);
}

#[test]
fn a_group_with_one_address() {
    let more = r#"
node.worker = { count = 3, profile = "tiny", nic.lan = { address = "10.0.0.5" } }
"#;
    assert_snapshot!(check_more(more), @r#"
    error[L105]: 10.0.0.5 is already the address of `worker-1`
     --> lab.toml:6:68
      |
    6 | node.worker = { count = 3, profile = "tiny", nic.lan = { address = "10.0.0.5" } }
      |                                                                    ^^^^^^^^^^
      |
      = help: the nodes of a group cannot share one `address`: remove it, or set one for each node, as in [node.NAME-2]

    1 error; for more, run `dryrack explain L105`
    "#);
}

#[test]
fn one_node_with_one_address_twice() {
    let more = r#"
node.a.nic.x = { network = "lan", address = "10.0.0.5" }
node.a.nic.y = { network = "lan", address = "10.0.0.5" }
"#;
    assert_snapshot!(check_more(more), @r#"
    error[L105]: 10.0.0.5 is already the address of NIC `x` of the same node
     --> lab.toml:7:45
      |
    6 | node.a.nic.x = { network = "lan", address = "10.0.0.5" }
      |                                             ---------- first used here
    7 | node.a.nic.y = { network = "lan", address = "10.0.0.5" }
      |                                             ^^^^^^^^^^
      |
      = help: give each NIC its own address, or remove `address`

    1 error; for more, run `dryrack explain L105`
    "#);
}

#[test]
fn two_nodes_with_one_mac() {
    let more = r#"
node.a.nic.lan = { mac = "52:54:00:12:34:56" }
node.b = { profile = "tiny", nic.lan = { mac = "52-54-00-12-34-56" } }
"#;
    assert_snapshot!(check_more(more), @r#"
    error[L106]: 52:54:00:12:34:56 is already the MAC address of `a`
     --> lab.toml:7:48
      |
    6 | node.a.nic.lan = { mac = "52:54:00:12:34:56" }
      |                          ------------------- first used here
    7 | node.b = { profile = "tiny", nic.lan = { mac = "52-54-00-12-34-56" } }
      |                                                ^^^^^^^^^^^^^^^^^^^
      |
      = help: remove `mac`: each NIC then gets its own, the same in every run

    1 error; for more, run `dryrack explain L106`
    "#);
}

#[test]
fn a_group_with_one_mac() {
    let more = r#"
node.worker = { count = 3, profile = "tiny", nic.lan = { mac = "52:54:00:12:34:56" } }
"#;
    assert_snapshot!(check_more(more), @r#"
    error[L106]: 52:54:00:12:34:56 is already the MAC address of `worker-1`
     --> lab.toml:6:64
      |
    6 | node.worker = { count = 3, profile = "tiny", nic.lan = { mac = "52:54:00:12:34:56" } }
      |                                                                ^^^^^^^^^^^^^^^^^^^
      |
      = help: the nodes of a group cannot share one `mac`: remove it, or set one for each node, as in [node.NAME-2]

    1 error; for more, run `dryrack explain L106`
    "#);
}

#[test]
fn one_node_with_one_mac_twice() {
    let more = r#"
node.a.nic.x = { network = "lan", mac = "52:54:00:12:34:56" }
node.a.nic.y = { network = "lan", mac = "52:54:00:12:34:56" }
"#;
    assert_snapshot!(check_more(more), @r#"
    error[L106]: 52:54:00:12:34:56 is already the MAC address of NIC `x` of the same node
     --> lab.toml:7:41
      |
    6 | node.a.nic.x = { network = "lan", mac = "52:54:00:12:34:56" }
      |                                         ------------------- first used here
    7 | node.a.nic.y = { network = "lan", mac = "52:54:00:12:34:56" }
      |                                         ^^^^^^^^^^^^^^^^^^^
      |
      = help: remove `mac`: each NIC then gets its own, the same in every run

    1 error; for more, run `dryrack explain L106`
    "#);
}

#[test]
fn the_mac_of_a_group() {
    let more = r#"
node.a.nic.lan = { mac = "01:00:5e:00:00:01" }
node.b = { profile = "tiny", nic.lan = { mac = "00:00:00:00:00:00" } }
node.c = { profile = "tiny", nic.lan = { mac = "ff:ff:ff:ff:ff:ff" } }
"#;
    assert_snapshot!(check_more(more), @r#"
    error[L107]: 01:00:5e:00:00:01 is a multicast address, not the address of a NIC
     --> lab.toml:6:26
      |
    6 | node.a.nic.lan = { mac = "01:00:5e:00:00:01" }
      |                          ^^^^^^^^^^^^^^^^^^^
      |
      = help: the first byte of a NIC's address is even, as in 52:54:00:12:34:56

    error[L107]: 00:00:00:00:00:00 is not a valid address
     --> lab.toml:7:48
      |
    7 | node.b = { profile = "tiny", nic.lan = { mac = "00:00:00:00:00:00" } }
      |                                                ^^^^^^^^^^^^^^^^^^^
      |
      = help: remove `mac`: each NIC then gets its own, the same in every run

    error[L107]: ff:ff:ff:ff:ff:ff is a multicast address, not the address of a NIC
     --> lab.toml:8:48
      |
    8 | node.c = { profile = "tiny", nic.lan = { mac = "ff:ff:ff:ff:ff:ff" } }
      |                                                ^^^^^^^^^^^^^^^^^^^
      |
      = help: the first byte of a NIC's address is even, as in 52:54:00:12:34:56

    3 errors; for more, run `dryrack explain L107`
    "#);
}

#[test]
fn a_pool_outside_its_network() {
    assert_snapshot!(check_more("network.lan.dhcp.server.pool = [\"10.0.0.100\", \"10.0.1.20\"]\n"), @r#"
    error[L108]: 10.0.1.20 is not a host address of 10.0.0.0/24
     --> lab.toml:5:47
      |
    5 | network.lan.dhcp.server.pool = ["10.0.0.100", "10.0.1.20"]
      |                                               ^^^^^^^^^^^
      |
      = help: its host addresses are 10.0.0.1 to 10.0.0.254

    1 error; for more, run `dryrack explain L108`
    "#);
}

#[test]
fn a_pool_with_the_broadcast_address() {
    assert_snapshot!(check_more("network.lan.dhcp.server.pool = [\"10.0.0.100\", \"10.0.0.255\"]\n"), @r#"
    error[L108]: 10.0.0.255 is not a host address of 10.0.0.0/24
     --> lab.toml:5:47
      |
    5 | network.lan.dhcp.server.pool = ["10.0.0.100", "10.0.0.255"]
      |                                               ^^^^^^^^^^^^
      |
      = help: its host addresses are 10.0.0.1 to 10.0.0.254

    1 error; for more, run `dryrack explain L108`
    "#);
}

#[test]
fn a_pool_backwards() {
    assert_snapshot!(check_more("network.lan.dhcp.server.pool = [\"10.0.0.200\", \"10.0.0.100\"]\n"), @r#"
    error[L109]: this pool begins at 10.0.0.200 and ends at 10.0.0.100
     --> lab.toml:5:32
      |
    5 | network.lan.dhcp.server.pool = ["10.0.0.200", "10.0.0.100"]
      |                                ^^^^^^^^^^^^^^^^^^^^^^^^^^^^
      |
      = help: write the lower address first

    1 error; for more, run `dryrack explain L109`
    "#);
}

#[test]
fn a_pool_with_three_ends() {
    let more = "network.lan.dhcp.server = { pool = [\"10.0.0.100\", \"10.0.0.120\", \"10.0.0.140\"] }\n";
    assert_snapshot!(check_more(more), @r#"
    error[L009]: a pool is a list of its first and last address
     --> lab.toml:5:36
      |
    5 | network.lan.dhcp.server = { pool = ["10.0.0.100", "10.0.0.120", "10.0.0.140"] }
      |                                    ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
      |
      = help: write ["10.0.2.100", "10.0.2.199"]

    1 error; for more, run `dryrack explain L009`
    "#);
}

#[test]
fn a_pool_that_holds_a_reservation() {
    let more = r#"
network.lan.dhcp.server.pool = ["10.0.0.2", "10.0.0.50"]
node.a.nic.lan = { address = "10.0.0.20" }
"#;
    assert_snapshot!(check_more(more), @r#"
    error[L110]: the pool contains 10.0.0.20, which is the address of `a`
     --> lab.toml:7:30
      |
    6 | network.lan.dhcp.server.pool = ["10.0.0.2", "10.0.0.50"]
      |                                ------------------------- the pool
    7 | node.a.nic.lan = { address = "10.0.0.20" }
      |                              ^^^^^^^^^^^
      |
      = help: exclude every other address from the pool

    1 error; for more, run `dryrack explain L110`
    "#);
}

#[test]
fn a_pool_that_holds_the_bridge() {
    assert_snapshot!(check_more("network.lan.dhcp.server.pool = [\"10.0.0.1\", \"10.0.0.50\"]\n"), @r#"
    error[L110]: the pool contains 10.0.0.1, which is the network's own address
     --> lab.toml:5:32
      |
    5 | network.lan.dhcp.server.pool = ["10.0.0.1", "10.0.0.50"]
      |                                ^^^^^^^^^^^^^^^^^^^^^^^^^
      |
      = help: exclude every other address from the pool

    1 error; for more, run `dryrack explain L110`
    "#);
}

#[test]
fn no_pool() {
    let more = r#"
node.a.nic.lan = { address = "pool" }
node.b = { profile = "tiny", nic.other = { address = "pool" } }
network.other = { address = "10.0.1.1/24", dhcp = "proxy" }
"#;
    assert_snapshot!(check_more(more), @r#"
    error[L111]: network `lan` has no pool to take an address from
     --> lab.toml:6:30
      |
    6 | node.a.nic.lan = { address = "pool" }
      |                              ^^^^^^
      |
      = help: add one: network.lan.dhcp.server.pool = ["10.0.0.128", "10.0.0.254"]

    error[L111]: network `other` has no pool to take an address from
     --> lab.toml:7:54
      |
    7 | node.b = { profile = "tiny", nic.other = { address = "pool" } }
      |                                                      ^^^^^^
      |
      = help: its addresses come from another server: remove `address`

    warning[L145]: nobody assigns addresses on network `other` with `dhcp = "proxy"`
     --> lab.toml:8:51
      |
    8 | network.other = { address = "10.0.1.1/24", dhcp = "proxy" }
      |                                                   ^^^^^^^
      |
      = help: use `dhcp = "server"`, or start the other DHCP server in the lab, as in `[process.NAME]`

    2 errors, 1 warning; for more, run `dryrack explain L111`
    "#);
}

#[test]
fn a_network_too_small() {
    let lab = r#"dryrack = 1
network.lan.address = "10.0.0.1/29"
profile.tiny.kernel = "image:tiny/kernel"
node.a = { count = 8, profile = "tiny" }
"#;
    assert_snapshot!(check(lab), @r#"
    error[L112]: network `lan` has no free address for 3 NICs
     --> lab.toml:2:9
      |
    2 | network.lan.address = "10.0.0.1/29"
      |         ^^^
      |
      = help: use a shorter prefix or a smaller pool, or let nodes get their addresses from the pool

    1 error; for more, run `dryrack explain L112`
    "#);
}

#[test]
fn a_network_that_is_all_pool() {
    assert_snapshot!(check_more("network.lan.dhcp.server.pool = [\"10.0.0.2\", \"10.0.0.254\"]\n"), @r#"
    error[L112]: network `lan` has no free address for one NIC
     --> lab.toml:2:9
      |
    2 | network.lan.address = "10.0.0.1/24"
      |         ^^^
      |
      = help: use a shorter prefix or a smaller pool, or let nodes get their addresses from the pool

    1 error; for more, run `dryrack explain L112`
    "#);
}

#[test]
fn a_lease_too_short() {
    assert_snapshot!(check_more("network.lan.dhcp.server.lease-time = \"5s\"\n"), @r#"
    error[L009]: this lease time is shorter than a boot
     --> lab.toml:5:38
      |
    5 | network.lan.dhcp.server.lease-time = "5s"
      |                                      ^^^^
      |
      = help: use 10s or more

    1 error; for more, run `dryrack explain L009`
    "#);
}

#[test]
fn mtu_out_of_range() {
    let more = r#"
node.a.nic.lan = {}
network.lan.mtu = 1000
network.jumbo = { address = "10.0.1.1/24", mtu = 100000 }
"#;
    assert_snapshot!(check_more(more), @r#"
    error[L113]: the MTU 1000 is out of range
     --> lab.toml:7:19
      |
    7 | network.lan.mtu = 1000
      |                   ^^^^
      |
      = help: use 1280 (the IPv6 minimum) to 65535

    error[L113]: the MTU 100000 is out of range
     --> lab.toml:8:50
      |
    8 | network.jumbo = { address = "10.0.1.1/24", mtu = 100000 }
      |                                                  ^^^^^^
      |
      = help: use 1280 (the IPv6 minimum) to 65535

    2 errors; for more, run `dryrack explain L113`
    "#);
}

#[test]
fn unknown_networks() {
    let more = r#"
node.a.nic.eth0 = {}
node.b = { profile = "tiny", nic.eth0 = { network = "lam" } }
"#;
    assert_snapshot!(check_more(more), @r#"
    error[L114]: there is no network `eth0`
     --> lab.toml:6:12
      |
    6 | node.a.nic.eth0 = {}
      |            ^^^^
      |
      = help: the lab has `lan`

    error[L114]: there is no network `lam`
     --> lab.toml:7:53
      |
    7 | node.b = { profile = "tiny", nic.eth0 = { network = "lam" } }
      |                                                     ^^^^^
      |
      = help: did you mean `lan`?

    2 errors; for more, run `dryrack explain L114`
    "#);
}

#[test]
fn no_network_at_all() {
    assert_snapshot!(check("dryrack = 1\nnode.a = { nic.lan = {}, disk.root.size = \"1GiB\" }\n"), @r#"
    error[L114]: there is no network `lan`
     --> lab.toml:2:16
      |
    2 | node.a = { nic.lan = {}, disk.root.size = "1GiB" }
      |                ^^^
      |
      = help: the lab has no network

    1 error; for more, run `dryrack explain L114`
    "#);
}

#[test]
fn which_network() {
    let more = r#"
network.storage.address = "10.0.1.1/24"
node.b = { profile = "tiny", nic.storage = {} }
"#;
    assert_snapshot!(check_more(more), @r#"
    error[L115]: `a` has no `nic`, and the lab has several networks
     --> lab.toml:4:6
      |
    4 | node.a.profile = "tiny"
      |      ^
      |
      = help: choose one of `lan`, `storage`: nic.lan = {}

    1 error; for more, run `dryrack explain L115`
    "#);
}

#[test]
fn domains_that_are_none() {
    let more = r#"
network.lan.dns = { domain = "my lab", records = { "a..b" = "10.0.0.2", "ok" = [] } }
expect.name.that.dns = { name = "-x.lab" }
"#;
    assert_snapshot!(check_more(more), @r#"
    error[L116]: `my lab` is not a domain name
     --> lab.toml:6:30
      |
    6 | network.lan.dns = { domain = "my lab", records = { "a..b" = "10.0.0.2", "ok" = [] } }
      |                              ^^^^^^^^
      |
      = help: use labels of letters, digits and inner dashes, separated by dots

    error[L116]: `a..b` is not a domain name
     --> lab.toml:6:52
      |
    6 | network.lan.dns = { domain = "my lab", records = { "a..b" = "10.0.0.2", "ok" = [] } }
      |                                                    ^^^^^^
      |
      = help: use labels of letters, digits and inner dashes, separated by dots

    error[L009]: `ok.lab` has no address
     --> lab.toml:6:73
      |
    6 | network.lan.dns = { domain = "my lab", records = { "a..b" = "10.0.0.2", "ok" = [] } }
      |                                                                         ^^^^
      |
      = help: add one or more addresses

    error[L116]: `-x.lab` is not a domain name
     --> lab.toml:7:33
      |
    7 | expect.name.that.dns = { name = "-x.lab" }
      |                                 ^^^^^^^^
      |
      = help: use labels of letters, digits and inner dashes, separated by dots

    4 errors; for more, run `dryrack explain L116`
    "#);
}

#[test]
fn ports_that_do_not_read() {
    let more = r#"
node.a.nic.lan = { address = "10.0.0.5" }
[publish]
ssh = "a:22"
"70000" = "a:22"
"0" = "a:22"
"+80" = "a:80"
"2222" = "a"
"2223" = "a:ssh"
"2224" = "a:0"
"#;
    assert_snapshot!(check_more(more), @r#"
    error[L117]: `ssh` is not a port
     --> lab.toml:8:1
      |
    8 | ssh = "a:22"
      | ^^^
      |
      = help: use the form "2222" = "node1:22": the port of the host, then node and port

    error[L117]: `70000` is not a port
     --> lab.toml:9:1
      |
    9 | "70000" = "a:22"
      | ^^^^^^^
      |
      = help: use the form "2222" = "node1:22": the port of the host, then node and port

    error[L117]: `0` is not a port
      --> lab.toml:10:1
       |
    10 | "0" = "a:22"
       | ^^^
       |
       = help: use the form "2222" = "node1:22": the port of the host, then node and port

    error[L117]: `+80` is not a port
      --> lab.toml:11:1
       |
    11 | "+80" = "a:80"
       | ^^^^^
       |
       = help: use the form "2222" = "node1:22": the port of the host, then node and port

    error[L117]: `a` is not NODE:PORT
      --> lab.toml:12:10
       |
    12 | "2222" = "a"
       |          ^^^
       |
       = help: use the form "2222" = "node1:22": the port of the host, then node and port

    error[L117]: `ssh` is not a port
      --> lab.toml:13:10
       |
    13 | "2223" = "a:ssh"
       |          ^^^^^^^
       |
       = help: use the form "2222" = "node1:22": the port of the host, then node and port

    error[L117]: `0` is not a port
      --> lab.toml:14:10
       |
    14 | "2224" = "a:0"
       |          ^^^^^
       |
       = help: use the form "2222" = "node1:22": the port of the host, then node and port

    7 errors; for more, run `dryrack explain L117`
    "#);
}

#[test]
fn a_port_published_twice() {
    let more = r#"
[publish]
"2222" = "a:22"
"02222" = "a:80"
"#;
    assert_snapshot!(check_more(more), @r#"
    error[L118]: port 2222 of the host is already published
     --> lab.toml:8:1
      |
    7 | "2222" = "a:22"
      | ------ first here
    8 | "02222" = "a:80"
      | ^^^^^^^
      |
      = help: use another port

    1 error; for more, run `dryrack explain L118`
    "#);
}

#[test]
fn a_port_that_leads_nowhere() {
    let more = r#"
network.lan.dhcp.server.pool = ["10.0.0.100", "10.0.0.199"]
node.a.nic.lan = { address = "pool" }
publish.2222 = "a:22"
"#;
    assert_snapshot!(check_more(more), @r#"
    error[L119]: `a` has no fixed address, so its port cannot be published
     --> lab.toml:8:16
      |
    8 | publish.2222 = "a:22"
      |                ^^^^^^
      |
      = help: add one: node.a.nic.lan.address = "…"

    1 error; for more, run `dryrack explain L119`
    "#);
}

#[test]
fn ports_of_a_lab_in_the_hosts_network() {
    let more = r#"
isolation = "none"
publish.2222 = "a:22"
publish.8080 = "a:80"
"#;
    assert_snapshot!(check_more(more), @r#"
    error[L120]: ports cannot be published with isolation = "none"
     --> lab.toml:7:9
      |
    6 | isolation = "none"
      |             ------ `isolation` is set here
    7 | publish.2222 = "a:22"
      |         ^^^^
      |
      = help: the host reaches the nodes directly: remove [publish], or remove `isolation`

    1 error; for more, run `dryrack explain L120`
    "#);
}

#[test]
fn the_mac_of_a_bridge() {
    assert_snapshot!(check_more("node.a.nic.lan = { mac = \"52:54:00:18:10:e9\" }\n"), @r#"
    error[L106]: 52:54:00:18:10:e9 is already the MAC address of the bridge of network `lan`
     --> lab.toml:5:26
      |
    5 | node.a.nic.lan = { mac = "52:54:00:18:10:e9" }
      |                          ^^^^^^^^^^^^^^^^^^^
      |
      = help: remove `mac`: each NIC then gets its own, the same in every run

    1 error; for more, run `dryrack explain L106`
    "#);
}

#[test]
fn too_many_networks() {
    let networks: String =
        (0..300).map(|n| format!("network.n{n}.address = \"10.{}.{}.1/24\"\n", n / 200, n % 200)).collect();
    assert_snapshot!(check(&format!("dryrack = 1\n{networks}")), @r#"
    error[L013]: the lab has 300 networks
       --> lab.toml:252:9
        |
    252 | network.n250.address = "10.1.50.1/24"
        |         ^^^^
        |
        = help: the maximum is 250

    1 error; for more, run `dryrack explain L013`
    "#);
}

#[test]
fn an_interface_of_the_host_for_one_network_of_a_lab_that_sees_it() {
    let lab = r#"dryrack = 1
network.a = { address = "10.0.0.1/24", interface = "eth1" }
network.b = { address = "10.0.1.1/24", interface = "eth1" }
network.c = { address = "10.0.2.1/24", interface = "my interface" }
"#;
    assert_snapshot!(check(lab), @r#"
    error[L130]: eth1 is an interface of the host, but this lab has its own network namespace (isolation = "private")
     --> lab.toml:2:52
      |
    2 | network.a = { address = "10.0.0.1/24", interface = "eth1" }
      |                                                    ^^^^^^
      |
      = help: set `isolation = "none"`, or remove `interface`

    error[L130]: eth1 is an interface of the host, but this lab has its own network namespace (isolation = "private")
     --> lab.toml:3:52
      |
    3 | network.b = { address = "10.0.1.1/24", interface = "eth1" }
      |                                                    ^^^^^^
      |
      = help: set `isolation = "none"`, or remove `interface`

    error[L131]: eth1 is already attached to another network
     --> lab.toml:3:52
      |
    2 | network.a = { address = "10.0.0.1/24", interface = "eth1" }
      |                                                    ------ first used here
    3 | network.b = { address = "10.0.1.1/24", interface = "eth1" }
      |                                                    ^^^^^^
      |
      = help: give each network its own interface

    error[L009]: `interface` must be a network interface name like "eth1", not the string "my interface"
     --> lab.toml:4:52
      |
    4 | network.c = { address = "10.0.2.1/24", interface = "my interface" }
      |                                                    ^^^^^^^^^^^^^^

    4 errors; for more, run `dryrack explain L130`
    "#);
    let host =
        lab.replace("dryrack = 1", "dryrack = 1\nisolation = \"none\"").replace("my interface", "eth2");
    assert_snapshot!(check(&host), @r#"
    error[L131]: eth1 is already attached to another network
     --> lab.toml:4:52
      |
    3 | network.a = { address = "10.0.0.1/24", interface = "eth1" }
      |                                                    ------ first used here
    4 | network.b = { address = "10.0.1.1/24", interface = "eth1" }
      |                                                    ^^^^^^
      |
      = help: give each network its own interface

    1 error; for more, run `dryrack explain L131`
    "#);
}
