//! What a block of a file says is for its networks and machines, and for no others.

use insta::assert_snapshot;

use super::{check, imported, shown};
use crate::import::Mode;

const SHARED: &str = r#"deny unknown-clients;
shared-network A {
  option domain-name "a.example";
  subnet 10.1.0.0 netmask 255.255.255.0 { option routers 10.1.0.1; }
  subnet 10.2.0.0 netmask 255.255.255.0 {
    allow unknown-clients;
    pool { deny unknown-clients; range 10.2.0.10 10.2.0.19; }
    pool { range 10.2.0.100 10.2.0.200; }
  }
  pool {
    default-lease-time 900;
    range 10.1.0.100 10.1.0.200;
  }
  pool { range 10.9.0.1 10.9.0.9; }
}
shared-network B {
  option domain-name "b.example";
  subnet 10.3.0.0 netmask 255.255.255.0 { range 10.3.0.100 10.3.0.200; }
}
group {
  next-server 10.1.0.9;
  filename "pxelinux.0";
  option ntp-servers 10.1.0.7;
  host web1 {
    hardware ethernet 52:54:00:00:01:01;
    fixed-address 10.1.0.11;
  }
}
host web2 {
  hardware ethernet 52:54:00:00:01:02;
  fixed-address 10.3.0.11;
}
"#;

#[test]
fn blocks_of_isc_are_about_their_own_networks() {
    let files = [("dhcpd.conf", SHARED)];
    assert_snapshot!(check(&files, Some(Mode::Services)));
    super::every_line_has_a_fate(&files);
    let text = check(&files, Some(Mode::Process));
    let note = "each of its subnets is a network of its own";
    assert!(text.contains(note), "{text}");
}

#[test]
fn shared_networks_of_kea_are_noted() {
    let text = r#"{ "Dhcp4": {
  "shared-networks": [ {
    "name": "floor",
    "subnet4": [
      { "id": 1, "subnet": "10.1.0.0/24" },
      { "id": 2, "subnet": "10.2.0.0/24" }
    ]
  } ]
} }"#;
    assert_snapshot!(check(&[("kea.conf", text)], Some(Mode::Services)));
}

#[test]
fn included_files_of_isc_are_read() {
    let files = [
        (
            "dhcpd.conf",
            "include \"/etc/dhcp/options.conf\";\ninclude \"gone.conf\";\nsubnet 10.0.0.0 netmask 255.255.255.0 {\n  include \"hosts.conf\";\n  if option arch = 00:07 { filename \"a.efi\"; }\n}\n",
        ),
        ("etc/dhcp/options.conf", "option arch code 93 = unsigned integer 16;\ninclude \"options.conf\";\n"),
        ("options.conf", "option domain-name \"rack.example\";\n"),
        ("hosts.conf", "host inc { hardware ethernet 52:54:00:00:00:01; fixed-address 10.0.0.5; }\n"),
    ];
    // A file that another one includes is no server of its own.
    for mode in [Mode::Services, Mode::Process] {
        let imported = imported(&files, &["hosts.conf", "dhcpd.conf"], Some(mode));
        assert_snapshot!(format!("isc-includes-{mode:?}"), shown(&imported));
    }
}

#[test]
fn a_second_server_of_one_program_runs_too_or_is_left() {
    let one = "interface=eth0\nbind-interfaces\ndhcp-range=10.0.0.10,10.0.0.99\n";
    let two = "interface=eth1\nbind-interfaces\ndhcp-range=10.1.0.10,10.1.0.99\n";
    let beside = [("a-dnsmasq.conf", one), ("b-dnsmasq.conf", two)];
    let isc = "subnet 10.2.0.0 netmask 255.255.255.0 { range 10.2.0.10 10.2.0.99; }\n";
    let other =
        [("a-dhcpd.conf", isc), ("b-dhcpd.conf", "host b { hardware ethernet 52:54:00:00:00:01; }\n")];
    let mut text = check(&beside, Some(Mode::Process));
    text.push_str(&check(&other, Some(Mode::Process)));
    assert_snapshot!(text);
}

#[test]
fn included_files_of_kea_are_read() {
    let files = [
        (
            "kea.conf",
            "{ \"Dhcp4\": {\n  \"subnet4\": [ { \"id\": 1, \"subnet\": \"10.0.0.0/24\",\n    <?include \"/etc/kea/hosts.json\"?>\n  } ],\n  \"valid-lifetime\": 600\n} }\n",
        ),
        (
            "etc/kea/hosts.json",
            "// hosts\n\"reservations\": [\n  { \"hw-address\": \"52:54:00:00:00:01\", \"ip-address\": \"10.0.0.5\" }\n]\n",
        ),
    ];
    let mut text = check(&files, Some(Mode::Services));
    text.push_str(&check(&files, Some(Mode::Process)));
    assert_snapshot!(text);
}

#[test]
fn a_host_has_the_interfaces_that_its_servers_want() {
    let kea = r#"{ "Dhcp4": { "interfaces-config": { "interfaces": [ "eth0", "eth1" ] },
  "subnet4": [ { "id": 1, "subnet": "10.0.0.0/24" }, { "id": 2, "subnet": "10.1.0.0/24", "interface": "eth0" } ] } }"#;
    let mut text = String::new();
    for file in [
        ("kea.conf", kea),
        ("udhcpd.conf", "start 10.0.0.10\nend 10.0.0.99\n"),
        ("dnsmasq.conf", "interface=eth0\ninterface=eth1\nbind-interfaces\ndhcp-range=10.0.0.10,10.0.0.99\n"),
        ("dnsmasq.conf", "interface=eth0,eth1\nbind-interfaces\ndhcp-range=10.0.0.10,10.0.0.99\n"),
        ("dnsmasq.conf", "port=0\nenable-tftp\ntftp-root=/srv/tftp\n"),
        ("dnsmasq.conf", "port=5353\n"),
        ("dnsmasq.conf", "port=0\n"),
        ("dnsmasq.conf", "port=0\ndhcp-range=10.0.0.0,proxy\n"),
    ] {
        let lab = check(&[file, ("srv/tftp/a", "x")], Some(Mode::Process));
        let nodes = lab.find("[node.bios]").expect("one of each kind");
        let rest = lab.find("never = ").expect("an expectation");
        text.extend([file.0, ":\n", file.1, "\n", lab[..nodes].split_once("dryrack = 1").expect("a head").1]);
        text.extend(["…\n", lab[rest..].split_once('\n').expect("a line").1, "\n"]);
    }
    assert_snapshot!(text);
}
