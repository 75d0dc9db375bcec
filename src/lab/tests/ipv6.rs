//! IPv6: the addresses of networks and nodes, and their errors.

use std::fmt::Write;

use insta::assert_snapshot;

use super::{check, check_more, lab};

/// Returns the IPv6 addresses of a lab.
fn addresses(text: &str) -> String {
    let lab = lab(&format!("dryrack = 1\nprofile.p.kernel = \"image:tiny/kernel\"\n{text}"));
    let mut lines = String::new();
    for node in lab.nodes.values() {
        for nic in &node.nics {
            let ipv4 = nic.address.map_or("-".into(), |address| address.to_string());
            let ipv6 = nic.ipv6.map_or("-".into(), |address| address.to_string());
            writeln!(lines, "{} {} {ipv4} {ipv6}", node.name, nic.name).unwrap();
        }
    }
    lines
}

#[test]
fn addresses_follow_from_ipv4_or_from_the_card() {
    let text = addresses(
        r#"
[network.lan]
address = "10.0.0.1/24"
ipv6 = "fd00:83::1/64"
dhcp = { server = { pool = ["10.0.0.100", "10.0.0.199"] } }

[network.old]
address = "10.0.1.1/24"

[network.quiet]
address = "10.0.2.1/24"
ipv6 = "2001:db8::1/64"
dhcp = "off"

[node]
a = { profile = "p", nic.lan = { address = "10.0.0.20" }, nic.old = {}, nic.quiet = {} }
b = { profile = "p", nic.lan = { ipv6 = "fd00:83::b" }, nic.quiet = { ipv6 = "2001:db8::b" } }
c = { profile = "p", nic.lan = { address = "pool", mac = "52:54:00:12:34:56" } }
# Takes what d would have had.
d = { profile = "p", nic.lan = { address = "10.0.0.22" } }
e = { profile = "p", nic.lan = { ipv6 = "fd00:83::1:16" } }
"#,
    );
    assert_snapshot!(text, @"
    a lan 10.0.0.20 fd00:83::1:14
    a old 10.0.1.10 -
    a quiet - -
    b lan 10.0.0.10 fd00:83::b
    b quiet - 2001:db8::b
    c lan - fd00:83::2:12:3456
    d lan 10.0.0.22 fd00:83::1:17
    e lan 10.0.0.11 fd00:83::1:16
    ");
}

#[test]
fn no_address_for_a_bridge() {
    let lab = r#"dryrack = 1
network.a = { address = "10.0.0.1/24", ipv6 = "fe80::1/64" }
network.b = { address = "10.0.1.1/24", ipv6 = "ff02::1/64" }
network.c = { address = "10.0.2.1/24", ipv6 = "fd00:83::1/56" }
network.d = { address = "10.0.3.1/24", ipv6 = "fd00:83::/64" }
network.e = { address = "10.0.4.1/24", ipv6 = "::1/64" }
network.f = { address = "10.0.5.1/24", ipv6 = "fd00:83::1" }
network.g = { address = "10.0.6.1/24", ipv6 = "::ffff:10.0.6.1/64" }
"#;
    assert_snapshot!(check(lab), @r#"
    error[L101]: fe80::1 cannot be the address of a bridge
     --> lab.toml:2:47
      |
    2 | network.a = { address = "10.0.0.1/24", ipv6 = "fe80::1/64" }
      |                                               ^^^^^^^^^^^^
      |
      = help: use a private prefix, such as "fd00:2::1/64"

    error[L101]: ff02::1 cannot be the address of a bridge
     --> lab.toml:3:47
      |
    3 | network.b = { address = "10.0.1.1/24", ipv6 = "ff02::1/64" }
      |                                               ^^^^^^^^^^^^
      |
      = help: use a private prefix, such as "fd00:2::1/64"

    error[L101]: nodes cannot get addresses with a prefix length of 56
     --> lab.toml:4:47
      |
    4 | network.c = { address = "10.0.2.1/24", ipv6 = "fd00:83::1/56" }
      |                                               ^^^^^^^^^^^^^^^
      |
      = help: use 64: "fd00:83::1/64"

    error[L101]: fd00:83:: is the network address, not a host address
     --> lab.toml:5:47
      |
    5 | network.d = { address = "10.0.3.1/24", ipv6 = "fd00:83::/64" }
      |                                               ^^^^^^^^^^^^^^
      |
      = help: use a host address, such as "fd00:83::1/64"

    error[L101]: ::1 cannot be the address of a bridge
     --> lab.toml:6:47
      |
    6 | network.e = { address = "10.0.4.1/24", ipv6 = "::1/64" }
      |                                               ^^^^^^^^
      |
      = help: use a private prefix, such as "fd00:2::1/64"

    error[L009]: `ipv6` must be an IPv6 address with its prefix length like "fd00:2::1/64", not the string "fd00:83::1"
     --> lab.toml:7:47
      |
    7 | network.f = { address = "10.0.5.1/24", ipv6 = "fd00:83::1" }
      |                                               ^^^^^^^^^^^^

    error[L101]: ::ffff:10.0.6.1 cannot be the address of a bridge
     --> lab.toml:8:47
      |
    8 | network.g = { address = "10.0.6.1/24", ipv6 = "::ffff:10.0.6.1/64" }
      |                                               ^^^^^^^^^^^^^^^^^^^^
      |
      = help: use a private prefix, such as "fd00:2::1/64"

    7 errors; for more, run `dryrack explain L101`
    "#);
}

#[test]
fn networks_overlap() {
    let lab = r#"dryrack = 1
network.a = { address = "10.0.0.1/24", ipv6 = "fd00:83::1/64" }
network.b = { address = "10.0.1.1/24", ipv6 = "fd00:83::2/64" }
network.c = { address = "10.0.2.1/24", ipv6 = "fd00:84::1/64" }
"#;
    assert_snapshot!(check(lab), @r#"
    error[L102]: fd00:83::/64 overlaps with fd00:83::/64 of network `a`
     --> lab.toml:3:47
      |
    2 | network.a = { address = "10.0.0.1/24", ipv6 = "fd00:83::1/64" }
      |                                               --------------- `a` is here
    3 | network.b = { address = "10.0.1.1/24", ipv6 = "fd00:83::2/64" }
      |                                               ^^^^^^^^^^^^^^^
      |
      = help: give each network its own subnet

    1 error; for more, run `dryrack explain L102`
    "#);
}

#[test]
fn addresses_that_are_not_for_nodes() {
    let more = r#"
network.six = { address = "10.6.0.1/24", ipv6 = "fd00:83::1/64" }
node.b = { profile = "tiny", nic.six = { ipv6 = "fd00:84::5" } }
node.c = { profile = "tiny", nic.six = { ipv6 = "fd00:83::1" } }
node.d = { profile = "tiny", nic.six = { ipv6 = "fd00:83::" } }
node.e = { profile = "tiny", nic.lan = { ipv6 = "fd00:85::5" } }
node.f = { profile = "tiny", nic.six = { ipv6 = "10.6.0.5" } }
node.a.nic.lan = {}
"#;
    assert_snapshot!(check_more(more), @r#"
    error[L103]: fd00:84::5 lies outside network `six`, fd00:83::/64
     --> lab.toml:7:49
      |
    6 | network.six = { address = "10.6.0.1/24", ipv6 = "fd00:83::1/64" }
      |                                                 --------------- the network
    7 | node.b = { profile = "tiny", nic.six = { ipv6 = "fd00:84::5" } }
      |                                                 ^^^^^^^^^^^^
      |
      = help: use another address, such as fd00:83::10

    error[L104]: fd00:83::1 is the bridge's own address on network `six`
     --> lab.toml:8:49
      |
    6 | network.six = { address = "10.6.0.1/24", ipv6 = "fd00:83::1/64" }
      |                                                 --------------- the network
    7 | node.b = { profile = "tiny", nic.six = { ipv6 = "fd00:84::5" } }
    8 | node.c = { profile = "tiny", nic.six = { ipv6 = "fd00:83::1" } }
      |                                                 ^^^^^^^^^^^^
      |
      = help: use another address, such as fd00:83::10

    error[L104]: fd00:83:: is the subnet-router anycast address of fd00:83::/64
     --> lab.toml:9:49
      |
    6 | network.six = { address = "10.6.0.1/24", ipv6 = "fd00:83::1/64" }
      |                                                 --------------- the network
    ...
    9 | node.d = { profile = "tiny", nic.six = { ipv6 = "fd00:83::" } }
      |                                                 ^^^^^^^^^^^
      |
      = help: use another address, such as fd00:83::10

    error[L103]: fd00:85::5 is not in network `lan`, which has no IPv6
      --> lab.toml:10:49
       |
    10 | node.e = { profile = "tiny", nic.lan = { ipv6 = "fd00:85::5" } }
       |                                                 ^^^^^^^^^^^^
       |
       = help: add an IPv6 address to the network: network.lan.ipv6 = "fd00:85::1/64"

    error[L009]: `ipv6` must be an IPv6 address like "fd00:2::15", not the string "10.6.0.5"
      --> lab.toml:11:49
       |
    11 | node.f = { profile = "tiny", nic.six = { ipv6 = "10.6.0.5" } }
       |                                                 ^^^^^^^^^^

    5 errors; for more, run `dryrack explain L103`
    "#);
}

#[test]
fn an_address_is_taken() {
    let more = r#"
network.six = { address = "10.6.0.1/24", ipv6 = "fd00:83::1/64" }
node.a.nic.lan = {}
node.b = { profile = "tiny", nic.six = { ipv6 = "fd00:83::5" } }
node.c = { profile = "tiny", nic.six = { ipv6 = "fd00:83::5" } }
node.d = { count = 2, profile = "tiny", nic.six = { ipv6 = "fd00:83::6" } }
"#;
    assert_snapshot!(check_more(more), @r#"
    error[L105]: fd00:83::5 is already the address of `b`
     --> lab.toml:9:49
      |
    8 | node.b = { profile = "tiny", nic.six = { ipv6 = "fd00:83::5" } }
      |                                                 ------------ first used here
    9 | node.c = { profile = "tiny", nic.six = { ipv6 = "fd00:83::5" } }
      |                                                 ^^^^^^^^^^^^
      |
      = help: give each NIC its own address, or remove `ipv6`

    error[L105]: fd00:83::6 is already the address of `d-1`
      --> lab.toml:10:60
       |
    10 | node.d = { count = 2, profile = "tiny", nic.six = { ipv6 = "fd00:83::6" } }
       |                                                            ^^^^^^^^^^^^
       |
       = help: the nodes of a group cannot share one `ipv6`: remove it, or set one for each node, as in [node.NAME-2]

    2 errors; for more, run `dryrack explain L105`
    "#);
}

#[test]
fn an_ipv4_address_below_its_network_breaks_nothing_here() {
    assert_snapshot!(check_more("network.lan.ipv6 = \"fd00:83::1/64\"\nnode.a.nic.lan.address = \"1.2.3.4\"\n"), @r#"
    error[L103]: 1.2.3.4 lies outside network `lan`, 10.0.0.0/24
     --> lab.toml:6:26
      |
    2 | network.lan.address = "10.0.0.1/24"
      |                       ------------- the network
    ...
    6 | node.a.nic.lan.address = "1.2.3.4"
      |                          ^^^^^^^^^
      |
      = help: its host addresses are 10.0.0.1 to 10.0.0.254

    1 error; for more, run `dryrack explain L103`
    "#);
}

#[test]
fn netboots_over_ipv6_where_there_is_none() {
    let more = r#"
profile.six = { kernel = "image:tiny/kernel", loader = "chainload", via = "http6" }
network.quiet = { address = "10.6.0.1/24", ipv6 = "fd00:83::1/64", dhcp = "proxy" }
network.six = { address = "10.7.0.1/24", ipv6 = "fd00:84::1/64" }
node.a.nic.lan = {}
node.b = { firmware = "uefi", profile = "six", nic.lan = {} }
node.c = { firmware = "uefi", profile = "six", nic.quiet = {} }
node.d = { firmware = "uefi", profile = "six", nic = { lan = {}, six = {} } }
"#;
    assert_snapshot!(check_more(more), @r#"
    warning[L145]: nobody assigns addresses on network `quiet` with `dhcp = "proxy"`
     --> lab.toml:7:75
      |
    7 | network.quiet = { address = "10.6.0.1/24", ipv6 = "fd00:83::1/64", dhcp = "proxy" }
      |                                                                           ^^^^^^^
      |
      = help: use `dhcp = "server"`, or start the other DHCP server in the lab, as in `[process.NAME]`

    error[L309]: `b` netboots over IPv6, but none of its networks assigns IPv6 addresses
      --> lab.toml:10:41
       |
    10 | node.b = { firmware = "uefi", profile = "six", nic.lan = {} }
       |                                         ^^^^^
       |
       = help: add network.lan.ipv6 = "fd00:2::1/64"

    error[L309]: `c` netboots over IPv6, but none of its networks assigns IPv6 addresses
      --> lab.toml:11:41
       |
    11 | node.c = { firmware = "uefi", profile = "six", nic.quiet = {} }
       |                                         ^^^^^
       |
       = help: use the built-in server: network.quiet.dhcp = { server = {} }

    2 errors, 1 warning; for more, run `dryrack explain L145`
    "#);
    // A process may be the server, but it needs the prefix, too.
    let process = format!("{more}process.dnsmasq.run = \"exec dnsmasq\"\n");
    let said = check_more(&process);
    assert!(said.contains("`b` netboots over IPv6") && !said.contains("`c` netboots over IPv6"), "{said}");
}
