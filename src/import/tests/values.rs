//! Tags, conditions, addresses and defaults are those of the program that reads the file.

use insta::assert_snapshot;

use super::lint::linted;
use super::{check, shown};
use crate::diag::render;
use crate::import::Mode;

fn lint(name: &str, text: &str) -> String {
    let found = linted(&[(name, text), ("srv/tftp/pxelinux.0", "x"), ("srv/eth1/pxelinux.0", "x")], &[name]);
    render(&found.diagnostics, &found.sources, false)
}

const TAGS: &str = "\
interface=eth0
interface=eth1
dhcp-range=set:a,interface:eth0,10.0.0.10,10.0.0.99,255.255.255.0
dhcp-range=set:b,interface:eth1,10.1.0.10,10.1.0.99,255.255.255.0
dhcp-option=tag:a,option:ntp-server,10.0.0.5
dhcp-option=option:ntp-server,10.9.0.5
dhcp-option=tag:eth1,option:router,10.1.0.254
dhcp-option=tag:a,3
dhcp-boot=tag:a,pxelinux.0
dhcp-match=set:efi,option:client-arch,7
dhcp-match=set:efi,option:client-arch,9
dhcp-boot=tag:b,tag:efi,grubx64.efi
dhcp-boot=tag:b,tag:!efi,pxelinux.0
enable-tftp
tftp-root=/srv/tftp
tftp-root=/srv/eth1,eth1
tftp-root=/srv/tftp,eth7
";

#[test]
fn tags_of_networks_are_about_their_clients() {
    let files = [("dnsmasq.conf", TAGS), ("srv/tftp/pxelinux.0", "x"), ("srv/eth1/pxelinux.0", "x")];
    assert_snapshot!(check(&files, Some(Mode::Services)));
    super::every_line_has_a_fate(&files[..1]);
    // Only the network `a` has a BIOS program for everybody.
    assert_snapshot!("lint-tags", lint("dnsmasq.conf", TAGS));
}

#[test]
fn defaults_are_those_of_the_program() {
    let mut text = String::new();
    for file in [
        ("dnsmasq.conf", "port=0\ndomain=rack.example\ndhcp-range=10.0.0.10,10.0.0.99,255.255.255.0\n"),
        ("dnsmasq.conf", "dhcp-range=10.0.0.10,10.0.0.99,255.255.255.0,2h\ndhcp-option=3\n"),
        (
            "dhcpd.conf",
            "subnet 10.0.0.0 netmask 255.255.255.0 { next-server 10.7.0.1; filename \"a.efi\"; }\n",
        ),
        ("kea.conf", "{ \"Dhcp4\": { \"subnet4\": [ { \"subnet\": \"10.0.0.0/24\" } ] } }\n"),
    ] {
        let lab = check(&[file], Some(Mode::Services));
        let networks = lab.find("[network.").expect("a network");
        let rest = lab.find("# The small system").expect("a profile");
        let notes = lab.rfind("\"Kernel panic\" }").expect("an expectation");
        text.extend([file.0, ":\n", file.1, "\n", &lab[networks..rest], "…", &lab[notes + 16..], "\n"]);
    }
    assert_snapshot!(text);
}

const CLASSES: &str = r#"{ "Dhcp4": {
  "client-classes": [
    { "name": "uefi", "test": "option[93].hex == 0x0007 or option[93].hex == 0x0009",
      "option-data": [
        { "name": "boot-file-name", "data": "a.efi" },
        { "name": "tftp-server-name", "data": "10.0.0.1" },
        { "name": "routers", "data": "10.0.0.1" }
      ] },
    { "name": "never", "test": "option[60].hex == 'PXEClient'", "boot-file-name": "a.0" }
  ],
  "subnet4": [ {
    "subnet": "10.0.0.0/24",
    "reservations": [
      { "hw-address": "52:54:00:00:00:01",
        "ip-address": "10.0.1.300" },
      { "hw-address": "52:54:00",
        "ip-address": "10.0.0.7" }
    ]
  } ]
} }"#;

#[test]
fn values_that_are_none_are_reported() {
    let libvirt = "<network>
  <name>a</name>
  <ip address='10.0.0.1' netmask='255.255.255.0'>
    <dhcp>
      <range start='10.0.0.400' end='10.0.0.9'/>
      <host mac='52:54:00' ip='10.0.0.5'/>
      <host mac='52:54:00:00:00:01' ip='10.0.0.500'/>
    </dhcp>
  </ip>
</network>
";
    let hardware = "kind: Hardware
apiVersion: tinkerbell.org/v1alpha1
metadata:
  name: a
spec:
  interfaces:
    - netboot: { allowPXE: true }
      dhcp:
        mac: 52:54:00
        lease_time: soon
        ip:
          address: 10.0.0.300
          netmask: 255.255.0.255
";
    let mut text = String::new();
    for (name, file) in [("kea.conf", CLASSES), ("a.xml", libvirt), ("a.yaml", hardware)] {
        text.push_str(&check(&[(name, file)], Some(Mode::Services)));
        text.extend(["\n\n", &lint(name, file), "\n"]);
    }
    assert_snapshot!(text);
}

#[test]
fn what_dhcpd_takes_has_no_problem() {
    // `tests/import.rs` shows that the real one takes it.
    let files = super::example("isc-classes");
    let files: Vec<(&str, &str)> = files.iter().map(|(name, text)| (name.as_str(), text.as_str())).collect();
    let found = linted(&files, &["dhcpd.conf"]);
    assert_eq!(render(&found.diagnostics, &found.sources, false), "");
    let renamed: Vec<(&str, &str)> =
        files.iter().map(|(name, text)| (if *name == "dhcpd.conf" { "rack" } else { name }, *text)).collect();
    let found = super::imported(&renamed, &["rack"], Some(Mode::Services));
    assert!(shown(&found).contains("[node.alpha]"), "the kind is recognised");
    // A `;` that ends nothing is an error elsewhere.
    assert_snapshot!(lint("dhcpd.conf", "subnet 10.0.0.0 netmask 255.255.255.0 { };\n"));
}

#[test]
fn a_data_directory_is_checked_and_imported_with_its_faults() {
    let files = [
        (
            "m/profiles/p1.json",
            "{\"id\":\"p1\",\"ignition_id\":\"p1.ign\",\"cloud_id\":\"c1.yaml\",\"generic_id\":\"gone\",\n\"boot\":{\"kernel\":\"/assets/k\",\n\"initrd\":[\"--name main http://10.0.0.1/assets/i\"],\n\"args\":[\"console=ttyS0\"]}}",
        ),
        (
            "m/profiles/p2.json",
            "{\"id\":\"p2\",\"boot\":{\"kernel\":\"/assets/k\",\"initrd\":[\"/assets/i\"],\"args\":[\"initrd=i\"]}}",
        ),
        ("m/profiles/bad.json", "{\"id\":\"bad\",\n"),
        ("m/groups/a.json", "{\"id\":\"a\",\"profile\":\"p1\",\"selector\":{\"mac\":\"52:54:00:00:00:01\"}}"),
        ("m/groups/b.json", "{\"id\":\"b\",\"profile\":\"bad\",\"selector\":{\"mac\":\"52:54:00\"}}"),
        ("m/ignition/p1.ign", "{}"),
        ("m/assets/k", "x"),
    ];
    let mut text = String::new();
    for mode in [Mode::Services, Mode::Process] {
        let shown = shown(&super::imported(&files, &["m"], Some(mode)));
        let notes = shown.rfind("\"Kernel panic\" }").expect("an expectation");
        text.push_str(&shown[notes + 16..]);
    }
    let found = linted(&files, &["m"]);
    text.extend(["\n\n", &render(&found.diagnostics, &found.sources, false)]);
    assert_snapshot!(text);
}

#[test]
fn hardware_is_checked_and_imported_with_its_faults() {
    let objects = "kind: Hardware
metadata:
  name: off
  annotations: { tinkerbell.org/disabled: \"true\" }
spec:
  interfaces:
    - dhcp: { mac: \"52:54:00:00:00:01\" }
---
kind: Hardware
metadata: { name: on }
spec:
  interfaces:
    - netboot: { allowPXE: true }
      disableDhcp: true
      dhcp:
        mac: \"52:54:00:00:00:02\"
        boot_file_name: a.efi
        ip:
          address: 10.0.0.5
";
    let older = "52:54:00:00:00:03:
  ipAddress: 10.0.0.6
  subnetMask: 255.255.255.0
  netboot:
    allowPxe: false
\"52:54:00:00:00:AB\":
  ipAddress: 10.0.0.7
  leaseTime: 86400
  netboot: { allowPxe: true }
";
    let mut text = String::new();
    for file in [("objects.yaml", objects), ("older.yaml", older)] {
        text.push_str(&check(&[file], Some(Mode::Services)));
        text.extend(["\n\n", &lint(file.0, file.1), "\n"]);
    }
    assert_snapshot!(text);
}

#[test]
fn what_a_lab_cannot_have_is_noted() {
    let network = "<network xmlns:dnsmasq='http://libvirt.org/schemas/network/dnsmasq/1.0'>
  <name>rack</name>
  <bridge name='virbr7'/>
  <dns>
    <forwarder domain='corp.example' addr='10.9.9.9'/>
    <forwarder addr='10.9.9.1'/>
  </dns>
  <ip address='10.3.0.1' netmask='255.255.255.0'>
    <dhcp><range start='10.3.0.10' end='10.3.0.99'/></dhcp>
  </ip>
  <dnsmasq:options>
    <dnsmasq:option value='dhcp-match=set:efi,option:client-arch,7'/>
  </dnsmasq:options>
</network>
";
    let domain = "<domain type='kvm'>
  <name>big</name>
  <memory unit='bytes'>4294967296</memory>
  <vcpu>96</vcpu>
  <devices>
    <interface type='network'><mac address='52:54:00:00:00:01'/><source network='rack'/></interface>
    <interface type='direct'><mac address='52:54:00:00:00:02'/><source dev='eth0'/></interface>
    <interface type='user'><mac address='52:54:00:00:00:03'/></interface>
  </devices>
</domain>
";
    let vagrant = "Vagrant.configure('2') do |c|
  c.vm.hostname = 'one'
  c.vm.network :private_network, ip: '10.4.0.5', netmask: '255.255.0.0', auto_config: false
  c.vm.provider :libvirt do |lv|
    lv.loader = '/usr/share/OVMF/OVMF_CODE.fd'
    lv.memory = 256
  end
end
";
    assert_snapshot!(
        "limits-libvirt",
        check(&[("rack.xml", network), ("big.xml", domain)], Some(Mode::Services))
    );
    assert_snapshot!("limits-vagrant", check(&[("Vagrantfile", vagrant)], Some(Mode::Services)));
    let leases =
        "subnet 10.0.0.0 netmask 255.255.255.0 { range 10.0.0.10 10.0.0.99; default-lease-time 30; }\n";
    let lab = check(&[("dhcpd.conf", leases)], Some(Mode::Services));
    assert!(lab.contains("lease-time = \"1m\"") && lab.contains("the lab has leases of 60 s"), "{lab}");
}

#[test]
fn options_of_udhcpd_are_those_that_it_sends() {
    let text = "interface lan\nstart 10.0.0.20\nend 10.0.0.29\nopt vlanid 5\nopt vlanpriority 3\nopt reboottime 7\n\
                opt message hello world\nopt rootpath /srv/nfs,v3\nopt dns 10.0.0.2 10.0.0.3\n";
    assert_snapshot!(check(&[("udhcpd.conf", text)], Some(Mode::Services)));
}
