//! Files of every kind become labs that are valid, and every directive has a fate.

mod lint;
mod scopes;
mod values;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use insta::assert_snapshot;

use super::files::InMemory;
use super::{Choices, Fate, Given, Imported, Kind, Mode, import};
use crate::config::Source;
use crate::diag::render;
use crate::lab::{LabEnvironment, resolve};
use crate::name::ImageName;

/// Imports files in memory: name and text.
fn imported(files: &[(&str, &str)], given: &[&str], mode: Option<Mode>) -> Imported {
    let files = files.iter().map(|(name, text)| (PathBuf::from(name), text.as_bytes().to_vec())).collect();
    let given: Vec<Given> = given.iter().map(|name| Given { path: name.into(), kind: None }).collect();
    import(&given, &InMemory(files), &Choices { mode, ..Choices::default() }, &|path| {
        path.display().to_string()
    })
    .expect("known kinds")
}

/// Returns what is wrong with a lab file, as if all files existed.
pub(super) fn problems(lab: &str) -> String {
    let files = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
    let environment = LabEnvironment {
        file: "/labs/imported/lab.toml".into(),
        folder: "/labs/imported".into(),
        images: BTreeMap::from([(ImageName::new("tiny").expect("a name"), files(&["kernel", "initrd"]))]),
        existing: &|_: &Path| true,
        free_memory: None,
        other_ids: true,
    };
    let outcome = resolve(&Source::new("lab.toml", lab), &[], &[], &environment);
    render(&outcome.diagnostics, &outcome.sources, false)
}

/// Returns the lab, and what was not carried over.
fn check(files: &[(&str, &str)], mode: Option<Mode>) -> String {
    let given: Vec<&str> = files.iter().map(|(name, _)| *name).filter(|name| !name.contains('/')).collect();
    shown(&imported(files, &given, mode))
}

fn shown(imported: &Imported) -> String {
    let lab = imported.lab.clone().unwrap_or_else(|| render(&imported.diagnostics, &imported.sources, false));
    let wrong = problems(&lab);
    assert!(wrong.is_empty(), "{lab}\n{wrong}");
    let mut text = lab;
    for directive in &imported.directives {
        let (line, _) = imported.sources.position(directive.span.file, directive.span.start);
        let file = imported.sources.name(directive.span.file);
        match &directive.fate {
            Fate::Carried(_) => {}
            Fate::Partly(_, why) => write!(text, "\n{file}:{line}: {}: partly: {why}", directive.name)
                .expect("writing to a string cannot fail"),
            Fate::Left(why) => write!(text, "\n{file}:{line}: {}: {why}", directive.name)
                .expect("writing to a string cannot fail"),
        }
    }
    text
}

/// Asserts that each line with a directive has a fate.
fn every_line_has_a_fate(files: &[(&str, &str)]) {
    let given: Vec<&str> = files.iter().map(|(name, _)| *name).filter(|name| !name.contains('/')).collect();
    let imported = imported(files, &given, Some(Mode::Services));
    for (name, text) in files {
        for (index, line) in text.lines().enumerate() {
            let line = line.split('#').next().unwrap_or_default().trim();
            let at = |directive: &&super::Directive| {
                let span = &directive.span;
                imported.sources.name(span.file) == *name
                    && imported.sources.position(span.file, span.start).0 == index + 1
            };
            assert!(
                line.is_empty() || line == "}" || imported.directives.iter().any(|one| at(&one)),
                "{name}:{}: {line}",
                index + 1
            );
        }
    }
}

const RACK: &str = "\
port=0
interface=rack0
bind-interfaces
dhcp-range=192.0.2.50,192.0.2.99,255.255.255.0,1h
dhcp-range=192.0.2.150,192.0.2.199,255.255.255.0,1h
dhcp-option=option:router,192.0.2.1
dhcp-option=option:ntp-server,0.0.0.0
dhcp-host=52:54:00:aa:bb:cc,192.0.2.51,node1,1h
dhcp-host=52:54:00:aa:bb:cd,set:fast,192.0.2.22
dhcp-option=tag:fast,option:mtu,9000
enable-tftp
tftp-root=/srv/tftp
dhcp-match=set:bios,option:client-arch,0
dhcp-boot=tag:bios,undionly.kpxe
dhcp-match=set:efi64,option:client-arch,7
dhcp-boot=tag:efi64,ipxe.efi
dhcp-userclass=set:ipxe,iPXE
dhcp-boot=tag:ipxe,http://matchbox.example.com:8080/boot.ipxe
log-dhcp
no-such-option=5
";

#[test]
fn a_dnsmasq_with_dhcp_becomes_a_lab() {
    let files = [("dnsmasq.conf", RACK), ("srv/tftp/undionly.kpxe", "x")];
    assert_snapshot!(check(&files, Some(Mode::Services)));
    every_line_has_a_fate(&files[..1]);
}

#[test]
fn includes_are_read() {
    let files = [
        (
            "dnsmasq.conf",
            "conf-dir=/etc/dnsmasq.d,*.conf\ndhcp-hostsfile=/etc/hosts.d\naddn-hosts=/etc/names\nread-ethers\nresolv-file=/etc/upstream.conf\nconf-file=/etc/gone\nlisten-address=127.0.0.1,10.9.0.1\n",
        ),
        (
            "etc/dnsmasq.d/10-net.conf",
            "dhcp-range=set:lan,10.9.0.100,10.9.0.150\ndhcp-option=tag:lan,6,10.9.0.1\n",
        ),
        ("etc/dnsmasq.d/README", "nonsense\n"),
        ("etc/hosts.d", "52:54:00:00:00:01,alpha,10.9.0.11\n"),
        ("etc/names", "10.9.0.5 registry registry.example.org\n127.0.0.1 localhost\n"),
        ("etc/ethers", "52:54:00:00:00:02 10.9.0.12\n"),
        ("etc/upstream.conf", "nameserver 9.9.9.9\noptions edns0\n"),
    ];
    assert_snapshot!(check(&files, Some(Mode::Services)));
}

#[test]
fn dns_of_dnsmasq_becomes_records() {
    let text = "\
interface=lan
domain=rack.example.org,192.168.7.0/24
dhcp-range=192.168.7.20,192.168.7.90,12h
address=/matchbox.example.com/192.168.7.1
address=/node1/192.168.7.2
address=/#/1.2.3.4
host-record=registry.example.com,reg,192.168.7.5,fd00::5
cname=www.example.com,registry.example.com
cname=dead.example.com,nowhere.example.com
srv-host=_etcd-server-ssl._tcp.example.com,registry.example.com,2380
txt-record=note.example.com,\"rack 7, left\"
no-resolv
server=8.8.8.8
server=8.8.4.4#5353@eth1
server=/corp.example/10.1.1.1
local=/rack.example.org/
dhcp-ignore=tag:!known
dhcp-authoritative
";
    let files = [("dnsmasq.conf", text)];
    assert_snapshot!(check(&files, Some(Mode::Services)));
    every_line_has_a_fate(&files);
}

#[test]
fn a_proxy_of_dnsmasq_becomes_a_lab() {
    let text = "\
port=0
dhcp-range=192.0.2.0,proxy,255.255.255.0
pxe-service=tag:#ipxe,x86PC,\"PXE chainload to iPXE\",undionly.kpxe
pxe-service=tag:ipxe,x86PC,\"iPXE\",http://matchbox.example.com:8080/boot.ipxe
dhcp-userclass=set:ipxe,iPXE
";
    assert_snapshot!(check(&[("dnsmasq.conf", text)], Some(Mode::Services)));
}

const WALKTHROUGH_DHCP: &str = "\
start 10.0.2.30
end 10.0.2.90
interface matchbox
siaddr 10.0.2.1
boot_file http://matchbox.local/boot.ipxe
opt dns 10.0.2.1
opt dns 8.8.8.8
option subnet 255.255.255.0
opt router 10.0.2.1
opt domain local
option lease 86400 # a day
opt 0x2b 060108
static_lease 52:54:00:12:34:56 10.0.2.31 node1
static_lease 52:54:00:12:34:57 10.0.2.22
max_leases 60
frobnicate yes
";

#[test]
fn a_udhcpd_becomes_a_lab() {
    let files = [("udhcpd.conf", WALKTHROUGH_DHCP)];
    assert_snapshot!(check(&files, Some(Mode::Services)));
    every_line_has_a_fate(&files);
}

#[test]
fn two_files_describe_one_network() {
    let dns = "address=/matchbox.local/10.0.2.1\nresolv-file=/etc/upstream.conf\nno-hosts\n";
    let files = [
        ("dnsmasq.conf", dns),
        ("udhcpd.conf", WALKTHROUGH_DHCP),
        ("etc/upstream.conf", "nameserver 8.8.8.8\n"),
    ];
    let text = check(&files, Some(Mode::Services));
    assert_eq!(text.matches("[network.").count() - text.matches("[network.matchbox.").count(), 1, "{text}");
    assert!(text.contains("records.\"matchbox.local\" = \"10.0.2.1\""), "{text}");
}

#[test]
fn kinds_are_recognised_and_others_refused() {
    let kind = |name: &str, text: &str| {
        let files = InMemory(BTreeMap::from([(PathBuf::from(name), text.as_bytes().to_vec())]));
        let given = [Given { path: name.into(), kind: None }];
        let imported = import(&given, &files, &Choices::default(), &|path| path.display().to_string());
        imported
            .map(|imported| imported.lab.is_some())
            .map_err(|refusal| format!("{refusal}: {}", refusal.hint))
    };
    assert_eq!(kind("rack.conf", "dhcp-range=10.0.0.2,10.0.0.9\nenable-tftp\n"), Ok(true));
    assert_eq!(kind("rack.conf", "start 10.0.0.2\nend 10.0.0.9\n"), Ok(true));
    assert_snapshot!(kind("rack.conf", "hello world\n").unwrap_err());
    assert_snapshot!(kind("lab.toml", "dryrack = 1\n").unwrap_err(), @"lab.toml is a lab file: use `dryrack check`");
    assert_eq!("dnsmasq".parse(), Ok(Kind::Dnsmasq));
}

/// The files of `tests/import` in a folder of it, with their names.
fn example(name: &str) -> Vec<(String, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/import").join(name);
    let mut found = Vec::new();
    let mut folders = vec![root.clone()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            let text = std::fs::read_to_string(&path).unwrap();
            found.push((path.strip_prefix(&root).unwrap().display().to_string(), text));
        }
    }
    found.sort();
    found
}

/// Imports an example: all its files, and its data directory of matchbox.
fn check_example(name: &str, mode: Option<Mode>) -> String {
    let files = example(name);
    let files: Vec<(&str, &str)> = files.iter().map(|(name, text)| (name.as_str(), text.as_str())).collect();
    let mut given: Vec<&str> =
        files.iter().map(|(name, _)| *name).filter(|name| !name.contains('/')).collect();
    given.retain(|name| *name != "upstream.conf");
    if files.iter().any(|(name, _)| name.starts_with("matchbox/")) {
        given.push("matchbox");
    }
    shown(&imported(&files, &given, mode))
}

const EXAMPLES: &[&str] = &[
    "dnsmasq",
    "isc",
    "isc-classes",
    "kea",
    "libvirt",
    "placemat",
    "tinkerbell",
    "tinkerbell-map",
    "udhcpd",
    "vagrant",
    "walkthrough",
];

#[test]
fn every_example_becomes_a_lab_with_services() {
    let folders = std::fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/import")).unwrap();
    assert_eq!(folders.count(), EXAMPLES.len(), "every example is tried");
    for name in EXAMPLES {
        assert_snapshot!(format!("services-{name}"), check_example(name, Some(Mode::Services)));
    }
}

#[test]
fn servers_run_with_their_own_files() {
    for name in ["dnsmasq", "isc", "kea", "udhcpd", "walkthrough"] {
        assert_snapshot!(format!("process-{name}"), check_example(name, Some(Mode::Process)));
    }
    let files = InMemory(BTreeMap::from([("a.xml".into(), b"<domain><name>a</name></domain>".to_vec())]));
    let given = [Given { path: "a.xml".into(), kind: None }];
    let refused =
        import(&given, &files, &Choices { mode: Some(Mode::Process), ..Choices::default() }, &|path| {
            path.display().to_string()
        });
    assert_eq!(refused.unwrap_err().hint, "use `--as services`");
}

#[test]
fn what_cannot_be_parsed_has_a_place() {
    let check = |name: &str, text: &str| {
        let imported = imported(&[(name, text)], &[name], None);
        assert_eq!(imported.lab, None, "{name}");
        render(&imported.diagnostics, &imported.sources, false)
    };
    assert_snapshot!(
        ["{ \"Dhcp4\": {\n  \"a\" 1 } }", "{ \"Dhcp4\": [1, 2 }"]
            .map(|text| check("kea.conf", text))
            .join("\n")
            + &check("a.xml", "<domain>\n  <name>a</nam>\n</domain>\n")
            + &check(
                "dhcpd.conf",
                "subnet 10.0.0.0 netmask 255.255.255.0 {\n  range 10.0.0.5 10.0.0.9\n}\n}\n"
            )
            + &check("h.yaml", "kind: Hardware\nspec: [tinkerbell.org\n")
    );
}

#[test]
fn odd_files_become_labs_too() {
    // No network, no address, everything twice, and names that are none.
    for (name, text) in [
        ("dnsmasq.conf", "log-queries\n"),
        ("dnsmasq.conf", "interface=\u{e9}th!\ndhcp-range=0.0.0.0,255.255.255.255,0.0.0.0\n"),
        (
            "dnsmasq.conf",
            "dhcp-range=10.0.0.9,10.0.0.2\ndhcp-host=52:54:00:00:00:01,10.0.0.1,-x-\ndhcp-host=52:54:00:00:00:01,10.0.0.1,-x-\n",
        ),
        (
            "dnsmasq.conf",
            "interface=a\ninterface=b\ndhcp-range=10.1.0.2,10.1.0.9\ndhcp-range=10.2.0.2,10.2.0.9\n",
        ),
        ("dnsmasq.conf", "address=/a..b/1.2.3.4\ntxt-record=x\ncname=a,a\nsrv-host=_x,y,99999\ndomain=-\n"),
        ("udhcpd.conf", "start x\nopt lease 0\nopt dns a b\n"),
        ("udhcpd.conf", "start 10.0.0.1\nend 10.9.0.1\nopt subnet 255.255.255.255\n"),
        ("dhcpd.conf", "subnet 10.0.0.0 netmask 255.0.0.0 { } subnet 10.1.0.0 netmask 255.255.0.0 { }\n"),
        ("kea.conf", "{ \"Dhcp6\": {} }"),
        ("Vagrantfile", "Vagrant.configure('2') do |c|\nend\n"),
        ("a.xml", "<network><name>a</name><ip address='300.0.0.1'/></network>"),
    ] {
        check(&[(name, text)], Some(Mode::Services));
    }
}
