//! Services that are off or moved, and what then lacks them.

use insta::assert_snapshot;

use super::{BASE, check, lab};
use crate::lab::{Dhcp, TftpBackend};

/// The services of the only network of a lab, one letter each; an upper one runs.
fn services(text: &str) -> String {
    let lab = lab(&format!("dryrack = 1\nnetwork.lan.address = \"10.0.0.1/24\"\n{text}"));
    let network = lab.networks.values().next().unwrap();
    let port = |name: &str, port: Option<u16>| port.map(|port| format!("{name} {port}"));
    let if_on = |name: &str, on: bool| on.then(|| name.to_owned());
    let running = [
        if_on("dhcp", network.dhcp != Dhcp::Off),
        if_on("tftp", network.tftp != TftpBackend::Off),
        port("http", network.http),
        if_on("https", network.https),
        port("matchbox", network.matchbox.as_ref().map(|matchbox| matchbox.port)),
        port("dns", network.dns.port),
        if_on("ntp", network.ntp),
        if_on("syslog", network.syslog),
        if_on("ra", network.ra),
    ];
    running.into_iter().flatten().collect::<Vec<_>>().join(", ")
}

#[test]
fn services_are_on_until_they_are_switched_off() {
    let all = "dhcp, tftp, http 80, dns 53, ntp, syslog, ra";
    assert_eq!(services(""), all);
    assert_eq!(services("network.lan.services = \"on\"\n"), all);
    assert_eq!(services("network.lan.services = \"off\"\n"), "");
    for (key, off) in [
        ("dhcp", "dhcp, "),
        ("tftp", "tftp, "),
        ("http", "http 80, "),
        ("dns", "dns 53, "),
        ("ntp", "ntp, "),
        ("syslog", "syslog, "),
        ("ra", ", ra"),
    ] {
        assert_eq!(services(&format!("network.lan.{key} = \"off\"\n")), all.replace(off, ""), "{key}");
    }
    // A key of its own switches a service on again.
    for (key, on) in [
        ("dhcp = \"server\"", "dhcp"),
        ("dhcp.server.pool = [\"10.0.0.50\", \"10.0.0.60\"]", "dhcp"),
        ("tftp = \"builtin\"", "tftp"),
        ("http = \"on\"", "http 80"),
        ("http = {}", "http 80"),
        ("http.port = 8080", "http 8080"),
        ("https = true", "https"),
        ("matchbox.data = \"files\"", "matchbox 80"),
        ("dns = { port = 5353, domain = \"test\" }", "dns 5353"),
        ("dns.domain = \"test\"", "dns 53"),
        ("ntp = \"on\"", "ntp"),
        ("syslog = \"on\"", "syslog"),
        ("ra = \"on\"", "ra"),
    ] {
        assert_eq!(services(&format!("network.lan.services = \"off\"\nnetwork.lan.{key}\n")), on);
    }
    assert_eq!(
        services("network.lan.http.port = 8080\nnetwork.lan.matchbox.data = \"files\"\n"),
        "dhcp, tftp, http 8080, matchbox 8080, dns 53, ntp, syslog, ra",
        "matchbox is where HTTP is"
    );
}

/// The diagnostics of [`BASE`] with keys of its network, and more.
fn check_with(keys: &[&str], more: &str) -> String {
    let keys: String = keys.iter().map(|key| format!("network.lan.{key}\n")).collect();
    check(&format!("{BASE}{keys}{more}"))
}

#[test]
fn services_are_words() {
    let keys = ["http = false", "dns = \"of\"", "ntp = false", "ra = false", "services = \"none\""];
    assert_snapshot!(check_with(&keys, ""), @r#"
    error[L008]: `http` must be "on", "off", or a table like { port = 8080 }, not the boolean `false`
     --> lab.toml:5:20
      |
    5 | network.lan.http = false
      |                    ^^^^^
      |
      = help: write "off"

    error[L009]: `dns` must be "on", "off", or a table like { domain = "lab" }, not the string "of"
     --> lab.toml:6:19
      |
    6 | network.lan.dns = "of"
      |                   ^^^^

    error[L008]: `ntp` must be one of `on`, `off`, not the boolean `false`
     --> lab.toml:7:19
      |
    7 | network.lan.ntp = false
      |                   ^^^^^
      |
      = help: write "off"

    error[L010]: `ra` cannot be `false`
     --> lab.toml:8:18
      |
    8 | network.lan.ra = false
      |                  ^^^^^
      |
      = help: `false` was renamed to `off`

    error[L010]: `services` cannot be `none`
     --> lab.toml:9:24
      |
    9 | network.lan.services = "none"
      |                        ^^^^^^
      |
      = help: expected one of `on`, `off`

    5 errors; for more, run `dryrack explain L008`
    "#);
}

#[test]
fn a_port_of_another_service() {
    assert_snapshot!(check_with(&["https = true", "http.port = 443", "dns.port = 69"], ""), @"
    error[L143]: port 443 is used by HTTPS
     --> lab.toml:6:25
      |
    6 | network.lan.http.port = 443
      |                         ^^^
      |
      = help: remove it to use port 80, or use another one

    error[L143]: port 69 is used by TFTP
     --> lab.toml:7:24
      |
    7 | network.lan.dns.port = 69
      |                        ^^
      |
      = help: remove it to use port 53, or use another one

    2 errors; for more, run `dryrack explain L143`
    ");
    assert_snapshot!(check_with(&["http.port = 53", "dns.port = 0"], ""), @"
    error[L143]: port 53 is used by DNS
     --> lab.toml:5:25
      |
    5 | network.lan.http.port = 53
      |                         ^^
      |
      = help: remove it to use port 80, or use another one

    error[L009]: 0 is not a valid port
     --> lab.toml:6:24
      |
    6 | network.lan.dns.port = 0
      |                        ^
      |
      = help: use a port from 1 to 65535

    2 errors; for more, run `dryrack explain L143`
    ");
    assert_snapshot!(check_with(&["http.port = 8081", "matchbox.rpc.tls = \"files/tls\"", "dns.port = 8000"], ""), @r#"
    error[L143]: port 8081 is used by HTTP
     --> lab.toml:6:22
      |
    6 | network.lan.matchbox.rpc.tls = "files/tls"
      |                      ^^^
      |
      = help: give each its own port

    1 error; for more, run `dryrack explain L143`
    "#);
    let keys = ["matchbox = { data = \"files\", port = 5353 }", "dns.port = 5353"];
    assert_snapshot!(check_with(&keys, ""), @r#"
    error[L143]: port 5353 is used by DNS
     --> lab.toml:5:49
      |
    5 | network.lan.matchbox = { data = "files", port = 5353 }
      |                                                 ^^^^
      |
      = help: remove it to use port 80

    1 error; for more, run `dryrack explain L143`
    "#);
}

#[test]
fn a_node_that_needs_http() {
    let off = ["http = \"off\""];
    assert_snapshot!(check_with(&off, ""), @r#"
    error[L160]: `a` boots by iPXE, which fetches its script over HTTP, but HTTP is off on network `lan`
     --> lab.toml:4:18
      |
    4 | node.a.profile = "tiny"
      |                  ^^^^^^
      |
      = help: add network.lan.http = "on", or remove `profile` if another server says what it boots

    1 error; for more, run `dryrack explain L160`
    "#);
    let by_http =
        "profile.tiny.loader = \"kernel\"\nprofile.tiny.via = \"http\"\nnode.a.firmware = \"uefi\"\n";
    assert_snapshot!(check_with(&off, by_http), @r#"
    error[L160]: `a` fetches its boot program over HTTP, but HTTP is off on network `lan`
     --> lab.toml:4:18
      |
    4 | node.a.profile = "tiny"
      |                  ^^^^^^
      |
      = help: add network.lan.http = "on", or remove `profile` if another server says what it boots

    1 error; for more, run `dryrack explain L160`
    "#);
    // Matchbox serves the files of the lab, too.
    assert_eq!(check_with(&["http = \"off\"", "matchbox.port = 8080"], ""), "");
    // Another boot file is named.
    let named = "options.boot-file-name = \"http://10.0.0.5/boot.ipxe\"";
    assert_eq!(check_with(&["http = \"off\"", named], ""), "");
    // PXELINUX gets everything over TFTP.
    assert_eq!(check_with(&off, "profile.tiny.loader = \"pxelinux\"\n"), "");
    // Another network has it.
    let two = "network.other.address = \"10.0.1.1/24\"\nnode.a.nic = { lan = {}, other = {} }\n";
    assert_eq!(check_with(&off, two), "");
}

#[test]
fn a_node_that_needs_tftp() {
    let (off, grub) = (["tftp = \"off\""], "profile.tiny.loader = \"grub\"\n");
    assert_snapshot!(check_with(&off, grub), @r#"
    warning[L161]: `a` fetches its boot program over TFTP, but TFTP is off on network `lan`, and no process of the lab can serve it
     --> lab.toml:4:18
      |
    4 | node.a.profile = "tiny"
      |                  ^^^^^^
      |
      = help: add network.lan.tftp = "builtin", or start the other TFTP server in the lab, as in `[process.NAME]`

    1 warning; for more, run `dryrack explain L161`
    "#);
    // iPXE is in the ROM, UEFI may use HTTP, or a process serves the files.
    assert_eq!(check_with(&off, ""), "");
    assert_eq!(check_with(&off, &format!("{grub}node.a.firmware = \"uefi\"\n")), "");
    assert_eq!(check_with(&off, &format!("{grub}process.tftpd.run = \"in.tftpd\"\n")), "");
}

#[test]
fn a_profile_that_nobody_serves() {
    let process = "process.dnsmasq.run = \"dnsmasq\"\n";
    assert_snapshot!(check_with(&["services = \"off\""], process), @r#"
    error[L160]: nothing of the profile of `a` is served: DHCP, TFTP and HTTP of network `lan` are off
     --> lab.toml:4:18
      |
    4 | node.a.profile = "tiny"
      |                  ^^^^^^
      |
      = help: remove `profile`: the servers that answer on this network say what it boots

    1 error; for more, run `dryrack explain L160`
    "#);
    // Another DHCP server may name files of ours.
    assert_eq!(check_with(&["services = \"off\"", "http = \"on\""], process), "");
}

#[test]
fn files_that_nobody_serves() {
    let lab = |more: &str| {
        let lan = "address = \"10.0.0.1/24\"\nhttp = \"off\"\ntftp = \"off\"";
        check(&format!("dryrack = 1\n[network.lan]\n{lan}\n{more}\n"))
    };
    assert_snapshot!(lab("root = \"files\""), @r#"
    error[L160]: `root` has no effect: HTTP and TFTP of this network are off
     --> lab.toml:6:8
      |
    6 | root = "files"
      |        ^^^^^^^
      |
      = help: add http = "on", or remove `root`

    1 error; for more, run `dryrack explain L160`
    "#);
    assert_snapshot!(lab("files.\"/a\" = \"files/a.txt\""), @r#"
    error[L160]: `files` has no effect: HTTP and TFTP of this network are off
     --> lab.toml:6:7
      |
    6 | files."/a" = "files/a.txt"
      |       ^^^^
      |
      = help: add http = "on", or remove `files`

    1 error; for more, run `dryrack explain L160`
    "#);
    assert_eq!(lab("root = \"files\"\nhttps = true"), "");
}

#[test]
fn a_name_that_nobody_resolves() {
    let ask = "expect.name.that = \"dns\"\n";
    assert_snapshot!(check_with(&["dns = \"off\""], ask), @r#"
    error[L160]: this asks the lab's DNS server, which is off on every network
     --> lab.toml:6:20
      |
    6 | expect.name.that = "dns"
      |                    ^^^^^
      |
      = help: add network.lan.dns = "on", or name the server to ask, as in `dns = { name = "…", server = "10.0.0.2" }`

    1 error; for more, run `dryrack explain L160`
    "#);
    let other = "network.other.address = \"10.0.1.1/24\"\nnode.a.nic.lan = {}\n";
    assert_eq!(check_with(&["dns = \"off\""], &format!("{other}{ask}")), "");
}
