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

/// The diagnostics of a lab with a network `lan`.
fn check_lan(keys: &[&str], more: &str) -> String {
    let keys: String = keys.iter().map(|key| format!("network.lan.{key}\n")).collect();
    check(&format!("dryrack = 1\n{keys}{more}"))
}

#[test]
fn a_network_without_an_address_is_a_switch() {
    let lab =
        lab("dryrack = 1\nnetwork.lan.subnet = \"10.0.0.0/24\"\nnode.a.nic.lan.address = \"10.0.0.5\"\n\
                   node.b = {}\nprocess.p.run = \"dnsmasq\"\n");
    let network = lab.networks.values().next().unwrap();
    assert_eq!((network.address, network.subnet.to_string().as_str()), (None, "10.0.0.0/24"));
    assert_eq!(
        (network.dhcp.clone(), network.tftp, network.http, network.dns.port),
        (Dhcp::Off, TftpBackend::Off, None, None)
    );
    assert!(!network.ntp && !network.syslog && !network.ra && !network.is_reachable());
    let addresses: Vec<_> = lab.nodes.values().map(|node| node.nics[0].address).collect();
    assert_eq!(addresses, [Some("10.0.0.5".parse().unwrap()), None], "nothing is assigned");
}

#[test]
fn a_switch_is_reached_from_a_host_on_it() {
    let from = |host: &str, keys: &str| {
        format!(
            "dryrack = 1\nnetwork.lan.probe-from = \"{host}\"\n{keys}node.a.nic.lan.address = \"10.0.0.5\"\n\
             process.p.run = \"dnsmasq\"\n\
             expect.open.that.tcp = 22\npublish.\"2222\" = \"a:22\"\n"
        )
    };
    let switch = "network.lan.subnet = \"10.0.0.0/24\"\n";
    let deploy = "host.deploy.nic.lan.address = \"10.0.0.2\"\n";
    let lab = lab(&from("deploy", &format!("{switch}{deploy}")));
    let network = lab.networks.values().next().unwrap();
    assert_eq!((network.probe_from.as_ref().unwrap().as_str(), network.is_reachable()), ("deploy", true));
    assert_eq!((lab.publish.len(), lab.expectations.len()), (1, 1));
    // A host of the lab is reached in the same way, so it needs the same.
    let hosts =
        format!("dryrack = 1\n{switch}{deploy}expect.open = {{ nodes = [\"deploy\"], that.tcp = 22 }}\n");
    assert_snapshot!(check(&hosts), @r#"
    error[L165]: `tcp` cannot reach `deploy`: network `lan` has no address
     --> lab.toml:4:37
      |
    4 | expect.open = { nodes = ["deploy"], that.tcp = 22 }
      |                                     ^^^^
      |
      = help: name a host of the lab that is on it, as in network.lan.probe-from = "deploy", or give the network an address: network.lan.address = "10.0.0.1/24" in place of `subnet`

    1 error; for more, run `dryrack explain L165`
    "#);
    let server = format!(
        "dryrack = 1\n{switch}process.p.run = \"dnsmasq\"\n\
         expect.name.that.dns = {{ name = \"a.lan\", server = \"10.0.0.2\" }}\n"
    );
    assert_snapshot!(check(&server), @r#"
    error[L406]: this expectation applies to no node
     --> lab.toml:4:8
      |
    4 | expect.name.that.dns = { name = "a.lan", server = "10.0.0.2" }
      |        ^^^^
      |
      = help: list nodes in `nodes`, or remove it to apply to all nodes (the lab needs at least one)

    error[L165]: `dns` cannot reach `10.0.0.2`: network `lan` has no address
     --> lab.toml:4:13
      |
    4 | expect.name.that.dns = { name = "a.lan", server = "10.0.0.2" }
      |             ^^^^
      |
      = help: name a host of the lab that is on it, as in network.lan.probe-from = "deploy", or give the network an address: network.lan.address = "10.0.0.1/24" in place of `subnet`

    2 errors; for more, run `dryrack explain L406`
    "#);
    assert_snapshot!(check(&from("deplyo", &format!("{switch}{deploy}"))), @r#"
    error[L022]: there is no host `deplyo`
     --> lab.toml:2:26
      |
    2 | network.lan.probe-from = "deplyo"
      |                          ^^^^^^^^
      |
      = help: did you mean `deploy`?

    1 error; for more, run `dryrack explain L022`
    "#);
    let elsewhere = "network.other.address = \"10.0.1.1/24\"\nhost.deploy.nic.other.address = \"10.0.1.2\"\n";
    assert_snapshot!(check(&from("deploy", &format!("{switch}{elsewhere}"))), @r#"
    error[L165]: host `deploy` has no NIC on network `lan`
     --> lab.toml:2:26
      |
    2 | network.lan.probe-from = "deploy"
      |                          ^^^^^^^^
      |
      = help: add one, as in host.deploy.nic.lan.address = "dhcp"

    1 error; for more, run `dryrack explain L165`
    "#);
    assert_snapshot!(check(&from("deploy", &format!("network.lan.address = \"10.0.0.1/24\"\n{deploy}"))), @r#"
    error[L163]: `probe-from` is for networks without `address`: others are reached from the bridge
     --> lab.toml:2:26
      |
    2 | network.lan.probe-from = "deploy"
      |                          ^^^^^^^^
      |
      = help: remove it, or write `subnet` in place of `address`

    error[L301]: `a` boots from the network but has no profile
     --> lab.toml:5:6
      |
    5 | node.a.nic.lan.address = "10.0.0.5"
      |      ^
      |
      = help: give it a `profile`, or a disk to boot from

    2 errors; for more, run `dryrack explain L163`
    "#);
}

#[test]
fn a_switch_has_no_services() {
    assert_snapshot!(check_lan(&[
        "subnet = \"10.0.0.0/24\"",
        "dhcp = \"server\"",
        "tftp = \"off\"",
        "dns.domain = \"test\"",
        "nat = true",
        "ntp = \"off\"",
        "root = \"files\"",
        "ipv6 = \"fd00::1/64\"",
    ], ""), @r#"
    error[L162]: `dhcp` needs an address of the network, and this one has only a `subnet`
     --> lab.toml:3:20
      |
    3 | network.lan.dhcp = "server"
      |                    ^^^^^^^^
      |
      = help: give the network an `address` in place of `subnet`, or remove `dhcp`

    error[L162]: `dns` needs an address of the network, and this one has only a `subnet`
     --> lab.toml:5:13
      |
    5 | network.lan.dns.domain = "test"
      |             ^^^
      |
      = help: give the network an `address` in place of `subnet`, or remove `dns`

    error[L162]: `nat` needs an address of the network, and this one has only a `subnet`
     --> lab.toml:6:19
      |
    6 | network.lan.nat = true
      |                   ^^^^
      |
      = help: give the network an `address` in place of `subnet`, or remove `nat`

    error[L162]: `root` needs an address of the network, and this one has only a `subnet`
     --> lab.toml:8:20
      |
    8 | network.lan.root = "files"
      |                    ^^^^^^^
      |
      = help: give the network an `address` in place of `subnet`, or remove `root`

    error[L162]: `ipv6` needs an address of the network, and this one has only a `subnet`
     --> lab.toml:9:20
      |
    9 | network.lan.ipv6 = "fd00::1/64"
      |                    ^^^^^^^^^^^^
      |
      = help: give the network an `address` in place of `subnet`, or remove `ipv6`

    5 errors; for more, run `dryrack explain L162`
    "#);
}

#[test]
fn subnets_that_are_none() {
    assert_snapshot!(check_lan(&["subnet = \"10.0.0.1/24\""], ""), @r#"
    error[L163]: 10.0.0.1 is a host of the subnet 10.0.0.0/24, not a subnet
     --> lab.toml:2:22
      |
    2 | network.lan.subnet = "10.0.0.1/24"
      |                      ^^^^^^^^^^^^^
      |
      = help: write "10.0.0.0/24"; for an address of the bridge use `address`

    1 error; for more, run `dryrack explain L163`
    "#);
    assert_snapshot!(check_lan(&["subnet = \"10.0.0.0/31\""], ""), @r#"
    error[L163]: the prefix length 31 is out of range (8 to 30)
     --> lab.toml:2:22
      |
    2 | network.lan.subnet = "10.0.0.0/31"
      |                      ^^^^^^^^^^^^^
      |
      = help: use a private subnet, such as "10.0.2.0/24"

    1 error; for more, run `dryrack explain L163`
    "#);
    assert_snapshot!(check_lan(&["subnet = \"224.0.0.0/8\""], ""), @r#"
    error[L163]: 224.0.0.0/8 is no subnet for hosts
     --> lab.toml:2:22
      |
    2 | network.lan.subnet = "224.0.0.0/8"
      |                      ^^^^^^^^^^^^^
      |
      = help: use a private subnet, such as "10.0.2.0/24"

    1 error; for more, run `dryrack explain L163`
    "#);
    assert_snapshot!(check_lan(&["subnet = \"10.0.0.0/24\"", "address = \"10.0.0.1/24\""], ""), @r#"
    error[L163]: `subnet` is for networks without `address`, from which it follows
     --> lab.toml:2:22
      |
    2 | network.lan.subnet = "10.0.0.0/24"
      |                      ^^^^^^^^^^^^^
      |
      = help: remove one of them

    1 error; for more, run `dryrack explain L163`
    "#);
    assert_snapshot!(check_lan(&["mtu = 1500"], ""), @r#"
    error[L011]: `address` is missing here
     --> lab.toml:2:9
      |
    2 | network.lan.mtu = 1500
      |         ^^^
      |
      = help: it has no default: add address = "10.0.2.1/24"

    1 error; for more, run `dryrack explain L011`
    "#);
}

#[test]
fn addresses_on_a_switch_are_of_its_subnet() {
    let switch = ["subnet = \"10.0.0.0/24\""];
    assert_snapshot!(check_lan(&switch, "node.a.nic.lan.address = \"10.0.1.5\"\n"), @r#"
    warning[L145]: nobody assigns addresses on network `lan` where nobody of Dryrack is
     --> lab.toml:2:22
      |
    2 | network.lan.subnet = "10.0.0.0/24"
      |                      ^^^^^^^^^^^^^
      |
      = help: use `dhcp = "server"`, or start the other DHCP server in the lab, as in `[process.NAME]`

    error[L103]: 10.0.1.5 lies outside network `lan`, 10.0.0.0/24
     --> lab.toml:3:26
      |
    2 | network.lan.subnet = "10.0.0.0/24"
      |                      ------------- the network
    3 | node.a.nic.lan.address = "10.0.1.5"
      |                          ^^^^^^^^^^
      |
      = help: its host addresses are 10.0.0.1 to 10.0.0.254

    1 error, 1 warning; for more, run `dryrack explain L145`
    "#);
    // Its first address is not taken.
    assert_eq!(check_lan(&switch, "node.a.nic.lan.address = \"10.0.0.1\"\nprocess.p.run = \"x\"\n"), "");
    assert_snapshot!(check_lan(&switch, "node.a.nic.lan.address = \"pool\"\nprocess.p.run = \"x\"\n"), @r#"
    error[L111]: network `lan` has no pool to take an address from
     --> lab.toml:3:26
      |
    3 | node.a.nic.lan.address = "pool"
      |                          ^^^^^^
      |
      = help: its addresses come from another server: remove `address`

    1 error; for more, run `dryrack explain L111`
    "#);
}

#[test]
fn nothing_reaches_a_switch() {
    let switch = ["subnet = \"10.0.0.0/24\""];
    let node = "node.a.nic.lan.address = \"10.0.0.5\"\nprocess.p.run = \"x\"\n";
    assert_snapshot!(check_lan(&switch, &format!(
        "{node}expect.port.that.tcp = 22\nexpect.login.that.ssh.user = \"root\"\nexpect.os.that.stage = \"os\"\n\
         publish = {{ 2222 = \"a:22\", 8080 = \"lan:80\" }}\n"
    )), @r#"
    error[L165]: `tcp` cannot reach `a`: network `lan` has no address
     --> lab.toml:5:13
      |
    5 | expect.port.that.tcp = 22
      |             ^^^^
      |
      = help: name a host of the lab that is on it, as in network.lan.probe-from = "deploy", or give the network an address: network.lan.address = "10.0.0.1/24" in place of `subnet`

    error[L165]: `ssh` cannot reach `a`: network `lan` has no address
     --> lab.toml:6:14
      |
    6 | expect.login.that.ssh.user = "root"
      |              ^^^^
      |
      = help: name a host of the lab that is on it, as in network.lan.probe-from = "deploy", or give the network an address: network.lan.address = "10.0.0.1/24" in place of `subnet`

    error[L165]: nothing of the lab reaches `a`: its network `lan` has no address
     --> lab.toml:8:20
      |
    8 | publish = { 2222 = "a:22", 8080 = "lan:80" }
      |                    ^^^^^^
      |
      = help: name a host of the lab that is on it, as in network.lan.probe-from = "deploy", or give the network an address: network.lan.address = "10.0.0.1/24" in place of `subnet`

    error[L165]: nobody of Dryrack is on network `lan`, so it has no port to publish
     --> lab.toml:8:35
      |
    8 | publish = { 2222 = "a:22", 8080 = "lan:80" }
      |                                   ^^^^^^^^
      |
      = help: name a host of the lab that is on it, as in network.lan.probe-from = "deploy", or give the network an address: network.lan.address = "10.0.0.1/24" in place of `subnet`

    4 errors; for more, run `dryrack explain L165`
    "#);
    // A second NIC is reached.
    let two =
        "network.other.address = \"10.0.1.1/24\"\nnode.a.nic.other = {}\npublish = { 2222 = \"a:22\" }\n";
    assert_eq!(check_lan(&switch, &format!("{node}{two}expect.port.that.tcp = 22\n")), "");
}

#[test]
fn nobody_answers_on_a_switch() {
    assert_snapshot!(check_lan(&["subnet = \"10.0.0.0/24\""], "node.a = {}\nnode.b = {}\n"), @r#"
    warning[L145]: nobody assigns addresses on network `lan` where nobody of Dryrack is
     --> lab.toml:2:22
      |
    2 | network.lan.subnet = "10.0.0.0/24"
      |                      ^^^^^^^^^^^^^
      |
      = help: use `dhcp = "server"`, or start the other DHCP server in the lab, as in `[process.NAME]`

    1 warning; for more, run `dryrack explain L145`
    "#);
}

#[test]
fn bridges_are_called_what_their_networks_are_called() {
    let names = |text: &str| {
        let lab = lab(&format!("dryrack = 1\n{text}"));
        let name = |bridge: Option<crate::name::IfName>| {
            bridge.map_or("derived".to_owned(), |name| name.to_string())
        };
        lab.networks.values().map(|network| name(network.bridge.clone())).collect::<Vec<_>>().join(" ")
    };
    assert_eq!(names("network.matchbox.address = \"10.0.0.1/24\"\n"), "matchbox");
    assert_eq!(names("network.fifteen-letters.address = \"10.0.0.1/24\"\n"), "fifteen-letters");
    assert_eq!(
        names("network.sixteen-letters-.address = \"10.0.0.1/24\"\n".replace("s-", "s1").as_str()),
        "derived"
    );
    assert_eq!(names("network.lan = { address = \"10.0.0.1/24\", bridge = \"br0\" }\n"), "br0");
    assert_eq!(names("network.wan.address = \"10.0.0.1/24\"\n"), "wan", "no uplink");
    let host = "isolation = \"none\"\nnetwork.lan.address = \"10.0.0.1/24\"\n";
    assert_eq!(names(host), "derived");
    assert_eq!(names(&format!("{host}network.lan.bridge = \"br0\"\n")), "br0");
}

#[test]
fn bridges_with_a_taken_name() {
    assert_snapshot!(check("dryrack = 1\nnetwork.lo.address = \"10.0.0.1/24\"\n"), @r#"
    error[L164]: the bridge of network `lo` cannot be called lo: that is the loopback interface
     --> lab.toml:2:9
      |
    2 | network.lo.address = "10.0.0.1/24"
      |         ^^
      |
      = help: set network.lo.bridge = "br0"

    1 error; for more, run `dryrack explain L164`
    "#);
    assert_snapshot!(check("dryrack = 1\nnetwork.wan = { address = \"10.0.0.1/24\", nat = true }\n"), @r#"
    error[L164]: the bridge of network `wan` cannot be called wan: that is the lab's uplink, which `nat = true` needs
     --> lab.toml:2:9
      |
    2 | network.wan = { address = "10.0.0.1/24", nat = true }
      |         ^^^
      |
      = help: set network.wan.bridge = "br0"

    1 error; for more, run `dryrack explain L164`
    "#);
    assert_snapshot!(check(
        "dryrack = 1\nnetwork.a = { address = \"10.0.0.1/24\", bridge = \"br0\" }\n\
         network.b = { address = \"10.0.1.1/24\", bridge = \"br0\" }\n\
         network.c = { address = \"10.0.2.1/24\", bridge = \"br%d\" }\n\
         network.all.address = \"10.0.3.1/24\"\n"
    ), @r#"
    error[L164]: the bridge of network `b` cannot be called br0: that is the bridge of network `a`
     --> lab.toml:3:49
      |
    2 | network.a = { address = "10.0.0.1/24", bridge = "br0" }
      |                                                 ----- the other bridge
    3 | network.b = { address = "10.0.1.1/24", bridge = "br0" }
      |                                                 ^^^^^
      |
      = help: set network.b.bridge = "br1"

    error[L009]: `br%d` is not a name for a bridge
     --> lab.toml:4:49
      |
    4 | network.c = { address = "10.0.2.1/24", bridge = "br%d" }
      |                                                 ^^^^^^
      |
      = help: use letters, digits, dots, dashes and underscores, as in "br0"

    error[L164]: the bridge of network `all` cannot be called all: that is all interfaces
     --> lab.toml:5:9
      |
    5 | network.all.address = "10.0.3.1/24"
      |         ^^^
      |
      = help: set network.all.bridge = "br1"

    3 errors; for more, run `dryrack explain L164`
    "#);
}

#[test]
fn what_is_left_to_others_is_said() {
    let said = |text: &str| crate::lab::expected_of_others(&lab(&format!("dryrack = 1\n{text}"))).join("\n");
    let lan = "network.lan.address = \"10.0.0.1/24\"\n";
    let process = "process.dnsmasq.run = \"dnsmasq\"\n";
    assert_eq!(said(&format!("{lan}node.a.disk.root.size = \"1GiB\"\n")), "");
    assert_snapshot!(said(&format!("{lan}network.lan.services = \"off\"\nnode.a = {{}}\nnode.b = {{}}\n{process}")), @"network `lan`: 2 nodes boot over it and DHCP is off; addresses and boot files are expected from process `dnsmasq`");
    assert_snapshot!(said(&format!("{lan}network.lan.dhcp = \"off\"\nnode.a = {{}}\n{process}")), @"network `lan`: one node boots over it and DHCP is off; addresses are expected from process `dnsmasq`");
    assert_snapshot!(said(&format!("{lan}network.lan.dhcp = \"proxy\"\nnode.a = {{}}\n{process}")), @"network `lan`: one node boots over it and DHCP is only about boot files; addresses are expected from process `dnsmasq`");
    assert_snapshot!(said(
        "network.lan.subnet = \"10.0.0.0/24\"\nnode.a = {}\nnode.gateway.disk.root = { size = \"4GiB\", source = \"image:debian/disk\" }\n\
         node.gateway.boot = [\"disk\"]\n"
    ), @"network `lan`: one node boots over it and DHCP is not answered by Dryrack; addresses and boot files are expected from node `gateway`");
    assert_snapshot!(said(&format!(
        "{lan}network.lan.dhcp = \"off\"\nnetwork.rack = {{ address = \"10.1.0.1/24\", dhcp.relay = \"lan\" }}\n\
         node.a.nic.rack = {{}}\nprocess.dnsmasq = {{ run = \"dnsmasq\", network = \"lan\" }}\n"
    )), @"network `rack`: one node boots over it and DHCP is relayed to network `lan`; addresses are expected from process `dnsmasq`");
}
