//! The project's own labs, one test for each.
//!
//! Labs that take minutes without KVM are ignored here and run by `ci/nightly labs`.

use std::collections::BTreeSet;
use std::fs;
use std::process::Command;

use crate::common::{Home, labs, run, stderr, stdout};
use crate::path;

/// Defines a test for each lab, and a list of their folders.
macro_rules! gallery {
    ($($(#[$attribute:meta])* $test:ident $folder:literal)*) => {
        const LABS: &[&str] = &[$($folder),*];
        $(
            #[test]
            $(#[$attribute])*
            fn $test() {
                passes($folder);
            }
        )*
    };
}

gallery! {
    quickstart "quickstart"
    etcd "etcd"
    https "https"
    walkthrough "walkthrough"
    #[ignore = "takes minutes: ci/nightly labs/bmc"]
    bmc "bmc"
    #[ignore = "takes minutes: ci/nightly labs/cloud-init"]
    cloud_init "cloud-init"
    #[ignore = "takes minutes: ci/nightly labs/container"]
    container "container"
    #[ignore = "takes minutes: ci/nightly labs/disk"]
    disk "disk"
    #[ignore = "takes minutes: ci/nightly labs/dnsmasq"]
    dnsmasq "dnsmasq"
    #[ignore = "takes minutes: ci/nightly labs/gateway"]
    gateway "gateway"
    #[ignore = "takes minutes: ci/nightly labs/fai"]
    fai "fai"
    #[ignore = "takes minutes: ci/nightly labs/grub"]
    grub "grub"
    #[ignore = "takes minutes: ci/nightly labs/image"]
    image "image"
    #[ignore = "takes minutes: ci/nightly labs/isc"]
    isc "isc"
    #[ignore = "takes minutes: ci/nightly labs/kea"]
    kea "kea"
    #[ignore = "takes minutes: ci/nightly labs/kubernetes"]
    kubernetes "kubernetes"
    #[ignore = "takes minutes: ci/nightly labs/macvlan"]
    macvlan "macvlan"
    #[ignore = "takes minutes: ci/nightly labs/media"]
    media "media"
    #[ignore = "takes minutes: ci/nightly labs/paths"]
    paths "paths"
    #[ignore = "takes minutes: ci/nightly labs/preseed"]
    preseed "preseed"
    #[ignore = "takes minutes: ci/nightly labs/typhoon"]
    typhoon "typhoon"
}

/// Runs a lab, which builds its images first, and checks its verdict and artifacts.
fn passes(name: &str) {
    let home = Home::new();
    let junit = home.path().join("out.xml");
    let artifacts = home.path().join("artifacts");
    let mut command = home.dryrack(["test", "--junit"]);
    let tried = run(command.arg(&junit).arg("--artifacts").arg(&artifacts).arg(labs().join(name)));
    assert_eq!(tried.status.code(), Some(0), "{}\n{}", stdout(&tried), stderr(&tried));
    home.assert_clean(name);

    let schema = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/junit.xsd");
    let valid = run(Command::new("xmllint").args(["--noout", "--schema", schema, path(&junit)]));
    assert!(valid.status.success(), "{}", stderr(&valid));
    let xml = fs::read_to_string(&junit).expect("JUnit");
    assert!(xml.contains(&format!("<testsuite name=\"{name}\"")), "{name} is missing in {xml}");
    let kept: Vec<_> =
        fs::read_dir(&artifacts).expect("artifacts").flatten().map(|entry| entry.path()).collect();
    let [run_dir] = &kept[..] else { panic!("one run, not {kept:?}") };
    assert!(run_dir.join("events.jsonl").is_file() && run_dir.join("report.json").is_file());
    assert!(!run_dir.join("ssh").exists(), "private keys are not kept");
}

#[test]
fn every_lab_has_a_test() {
    let folders = fs::read_dir(labs()).expect("labs").flatten().map(|entry| entry.path());
    let names = folders.filter(|folder| folder.join("lab.toml").is_file());
    let names: BTreeSet<_> =
        names.map(|folder| folder.file_name().expect("a name").to_string_lossy().into_owned()).collect();
    assert_eq!(names, LABS.iter().map(ToString::to_string).collect());
}

/// Runs a lab with some of its nodes and the expectations for these; returns its events.
fn passes_with(name: &str, nodes: &[&str]) -> String {
    ends_with(name, &part_of(name, nodes), 0)
}

fn read(name: &str) -> toml::Table {
    let text = fs::read_to_string(labs().join(name).join("lab.toml")).expect("a lab");
    text.parse().expect("TOML")
}

/// Returns a lab with some of its nodes and the expectations for these.
fn part_of(name: &str, nodes: &[&str]) -> toml::Table {
    let mut lab = read(name);
    let all = lab["node"].as_table_mut().expect("nodes");
    all.retain(|node, _| nodes.contains(&node));
    assert_eq!(all.len(), nodes.len(), "the lab has other nodes: {all:?}");
    for kind in ["expect", "action"] {
        let Some(entries) = lab.get_mut(kind).and_then(toml::Value::as_table_mut) else { continue };
        for entry in entries.iter_mut().filter_map(|(_, value)| value.as_table_mut()) {
            if let Some(of) = entry.get_mut("nodes").and_then(toml::Value::as_array_mut) {
                of.retain(|node| nodes.iter().any(|kept| node.as_str() == Some(kept)));
            }
        }
        let nobody = |value: &toml::Value| {
            value.get("nodes").is_some_and(|of| of.as_array().is_some_and(Vec::is_empty))
        };
        entries.retain(|_, value| !nobody(value));
    }
    // What comes after something that is gone goes, too.
    let names = |lab: &toml::Table| -> BTreeSet<String> {
        let of = |kind: &str| {
            lab.get(kind).and_then(toml::Value::as_table).into_iter().flat_map(toml::Table::keys)
        };
        let actions = of("action").map(|name| format!("action.{name}"));
        of("expect").cloned().chain(actions).collect()
    };
    loop {
        let left = names(&lab);
        for kind in ["expect", "action"] {
            if let Some(entries) = lab.get_mut(kind).and_then(toml::Value::as_table_mut) {
                let remains = |value: &toml::Value| {
                    value.get("after").and_then(toml::Value::as_str).is_none_or(|after| left.contains(after))
                };
                entries.retain(|_, value| remains(value));
            }
        }
        if names(&lab) == left {
            break;
        }
    }
    lab
}

/// Runs a lab, which must end with an exit code; returns its events.
fn ends_with(name: &str, lab: &toml::Table, code: i32) -> String {
    let home = Home::new();
    let lab = home.lab(name, &lab.to_string());
    let tried = run(&mut home.dryrack(["test", path(&lab)]));
    assert_eq!(tried.status.code(), Some(code), "{}\n{}", stdout(&tried), stderr(&tried));
    home.assert_clean(name);
    fs::read_to_string(home.run_dir().join("events.jsonl")).expect("the events of the run")
}

/// Runs a lab with one of its nodes and without some of its servers, and checks that it notices that nobody answers.
fn fails_without(name: &str, node: &str, servers: &[&str]) {
    let lab = read(name);
    let processes = lab["process"].as_table().expect("processes");
    assert!(servers.iter().all(|server| processes.contains_key(*server)), "the lab has other processes");
    let stopped: Vec<String> = servers.iter().map(|server| format!("process.{server}")).collect();
    misses_its_lease(name, node, &stopped, "");
}

/// Runs a lab with one of its nodes and with changes that stop its server.
fn misses_its_lease(name: &str, node: &str, stopped: &[String], changes: &str) {
    let lab = read(name);
    let removed = |kind: &str, kept: &str| -> Vec<String> {
        let entries = lab[kind].as_table().expect("a table").keys();
        entries.filter(|entry| *entry != kept).map(|entry| format!("{kind}.{entry}")).collect()
    };
    let mut remove = [stopped, &removed("node", node), &removed("expect", "lease")].concat();
    if lab["expect"]["lease"].get("after").is_some() {
        remove.push("expect.lease.after".to_owned());
    }
    let home = Home::new();
    let overlay = home.path().join("stopped.toml");
    let text =
        format!("remove = {remove:?}\n{changes}[expect.lease]\nnodes = [{node:?}]\nwithin = \"25s\"\n");
    fs::write(&overlay, text).expect("an overlay");
    let tried = run(home.dryrack(["test", "--on", path(&overlay)]).arg(labs().join(name)));
    assert_eq!(tried.status.code(), Some(1), "{}\n{}", stdout(&tried), stderr(&tried));
    let said = stdout(&tried) + &stderr(&tried);
    assert!(said.contains("no such lease was seen within 25s"), "{said}");
    home.assert_clean(name);
}

#[test]
fn the_walkthrough_fails_without_its_dhcp_server() {
    fails_without("walkthrough", "node1", &["udhcpd"]);
}

#[test]
#[ignore = "takes minutes: ci/nightly slow/labs_fail_without_their_servers"]
fn labs_fail_without_their_servers() {
    fails_without("container", "bios", &["dnsmasq"]);
    fails_without("dnsmasq", "bios", &["dnsmasq"]);
    fails_without("kea", "bios", &["kea"]);
    fails_without("isc", "bios", &["dhcpd"]);
    // The relay, too, is somebody's server.
    fails_without("isc", "bios", &["dhcrelay"]);
    fails_without("macvlan", "one", &["container"]);
    // Other servers of the host need the files of this one.
    let ready = ["process.dnsmasq.ready".to_owned()];
    misses_its_lease("fai", "demohost", &ready, "[process.dnsmasq]\nrun = \"exec sleep 1000\"\n");
    // The server of this one is a machine.
    let mut lab = read("gateway");
    for (kind, kept) in [("node", "ipxe"), ("network", "rack"), ("expect", "lease")] {
        lab[kind].as_table_mut().expect("a table").retain(|name, _| name == kept);
    }
    lab["node"]["ipxe"].as_table_mut().expect("a node").remove("start").expect("it waits for the server");
    let lease = lab["expect"]["lease"].as_table_mut().expect("an expectation");
    lease.remove("after").expect("it waits for the server");
    lease.insert("nodes".into(), vec!["ipxe"].into());
    lease.insert("within".into(), "25s".into());
    ends_with("gateway", &lab, 1);
}

/// Boot paths that the netboots of tests/services do not cover; the rest of labs/paths is run by `ci/nightly`.
#[test]
fn every_loader_boots() {
    let nodes = [
        "bios-undionly",
        "bios-pxelinux",
        "bios-grub",
        "uefi-grub",
        "uefi-unified",
        "secure-shim",
        "secure-unsigned",
    ];
    passes_with("paths", &nodes);
}

#[test]
fn a_blank_disk_is_installed_and_starts() {
    let events = passes_with("image", &["raw", "gz"]);
    // Its writes are progress.
    assert!(events.contains("\"disk-written\""), "{events}");
}

/// A system starts from a CD, and does not if the drive is empty.
#[test]
fn a_cd_boots() {
    let mut lab = part_of("media", &["bios"]);
    ends_with("media", &lab, 0);
    lab["node"]["bios"]["cd"]["live"] = toml::Value::Table(toml::Table::new());
    lab["expect"]["started"]["within"] = "15s".into();
    ends_with("media", &lab, 1);
}

/// A script provisions one server of `labs/bmc`; the lab notices a BMC that ignores the script.
#[test]
fn a_script_provisions_a_server_by_its_bmc() {
    let home = Home::new();
    let folder = labs().join("bmc");
    let one = folder.join("one.toml");
    let tried = run(&mut home.dryrack(["test", path(&folder), "--on", path(&one)]));
    assert_eq!(tried.status.code(), Some(0), "{}\n{}", stdout(&tried), stderr(&tried));
    home.assert_clean("bmc");

    let ignores = home.path().join("ignores.toml");
    // The script waits for the CD until the run ends.
    let text = "fault.ignores.do.bmc = \"ignore-boot-once\"\n\
                expect.installed = { within = \"20s\", progress = \"10s\" }\n\
                expect.operator.within = \"30s\"\n";
    fs::write(&ignores, text).expect("an overlay");
    let tried = run(&mut home.dryrack(["test", path(&folder), "--on", path(&one), "--on", path(&ignores)]));
    assert_eq!(tried.status.code(), Some(1), "{}\n{}", stdout(&tried), stderr(&tried));
    let said = stdout(&tried) + &stderr(&tried);
    assert!(said.contains("way on bios: it booted from disk"), "{said}");
    home.assert_clean("a BMC that ignores orders");
}
