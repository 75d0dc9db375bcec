//! What every plan promises: the same each time, with an undo for every step, without a secret; or a refusal.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

use insta::assert_snapshot;

use super::{
    Accel, BootPlan, FirmwareFile, ForwardDrop, HostFacts, HostLink, Plan, PlanError, Qemu, Refusal, Step,
    Undo, check_host, plan, read, way,
};
use crate::config::Source;
use crate::lab::{Lab, LabEnvironment, Origins, resolve};
use crate::name::{Bytes, IfName, ImageName, NodeName};

/// A host with everything.
pub(crate) fn facts() -> HostFacts {
    HostFacts {
        root: false,
        cpus: 2,
        free_memory: Bytes::mebi(8192),
        qemu: Some(Qemu { program: "/usr/bin/qemu-system-x86_64".into(), version: (7, 2, 22) }),
        firmware: vec![ovmf(".ms", true), ovmf("", false)],
        accel: Accel::Tcg,
        pasta: Some("/usr/bin/pasta".into()),
        nft: Some("/usr/sbin/nft".into()),
        qemu_img: Some("/usr/bin/qemu-img".into()),
        ip_forward: false,
        subnets: vec!["192.168.1.0/24".parse().unwrap(), "0.0.0.0/0".parse().unwrap()],
        links: vec![link("eth0"), link("eth1")],
        resolvers: vec!["192.168.1.1".parse().unwrap()],
        forward_drops: Vec::new(),
        built: Vec::new(),
    }
}

/// An interface that nobody uses.
fn link(name: &str) -> HostLink {
    HostLink { name: IfName::new(name).unwrap(), up: false, mtu: 1500, master: None, addresses: Vec::new() }
}

/// A UEFI firmware of Debian.
pub(super) fn ovmf(code: &str, secure: bool) -> FirmwareFile {
    let machines: &[&str] = if secure { &["pc-q35-*"] } else { &["pc-i440fx-*", "pc-q35-*"] };
    FirmwareFile {
        code: format!("/usr/share/OVMF/OVMF_CODE_4M{code}.fd").into(),
        variables: format!("/usr/share/OVMF/OVMF_VARS_4M{code}.fd").into(),
        secure_boot: secure,
        enrolled_keys: secure,
        requires_smm: secure,
        machines: machines.iter().map(|machine| (*machine).to_owned()).collect(),
    }
}

/// The one place that knows how a lab is made from a text.
pub(super) fn lab(text: &str) -> Lab {
    let image = |name: &str, files: &[&str]| {
        let files: BTreeSet<String> = files.iter().map(|file| (*file).to_owned()).collect();
        (ImageName::new(name).unwrap(), files)
    };
    let around = LabEnvironment {
        file: "/labs/typhoon/lab.toml".into(),
        folder: "/labs/typhoon".into(),
        images: BTreeMap::from([image("tiny", &["kernel", "initrd"]), image("debian", &["disk"])]),
        existing: &|path| path.starts_with("/labs/typhoon/files"),
        free_memory: None,
    };
    let outcome = resolve(&Source::new("lab.toml", text), &[], &[], &around);
    assert_eq!(outcome.diagnostics, []);
    outcome.lab.unwrap()
}

fn refused(text: &str, facts: &HostFacts) -> String {
    let refusal: Refusal = plan(&lab(text), facts).unwrap_err();
    refusal.to_string()
}

/// Has every kind of step in a private place.
const PRIVATE: &str = r#"dryrack = 1
[network.lan]
address = "10.0.2.1/24"
nat = true
dhcp.server.pool = ["10.0.2.100", "10.0.2.199"]
dns.records = { "registry.example" = ["10.0.2.1", "fd00::1"] }

[network.storage]
address = "10.0.3.1/24"
mtu = 9000
dhcp = "off"

[profile.tiny]
kernel = "image:tiny/kernel"
initrd = ["image:tiny/initrd", "files/extra.img"]
args = ["console=ttyS0"]

[node.a]
profile = "tiny"
nic = { lan = {}, storage = {} }
disk.root = { size = "1GiB" }

[node.b]
firmware = "uefi"
profile = "tiny"
start = "manual"
nic.lan.rom = false

[node.c]
firmware = "uefi-secure"
disk.root = { size = "4GiB", source = "image:debian/disk" }
nic.lan.address = "10.0.2.5"
seed.nocloud.user-data = "files/user-data"

[process.apply]
run = "terraform apply"
network = "lan"

[publish]
"2222" = "c:22"

[expect.in]
nodes = ["c"]
that.ssh = { user = "debian", key = { env = "TYPHOON_KEY" } }

[expect.in-too]
nodes = ["c"]
that.ssh = { user = "root", key = { file = "files/rack.key" } }
"#;

/// The same in the host's own network.
fn in_host() -> String {
    let (head, tail) = PRIVATE.split_once("[publish]").unwrap();
    let (_, tail) = tail.split_once("[expect.in]").unwrap();
    let head = head.replace("dryrack = 1", "dryrack = 1\nisolation = \"none\"");
    head.replace("mtu = 9000", "interface = \"eth1\"") + "[expect.in]" + tail
}

/// A host on which Docker and a firewall drop what is forwarded.
fn guarded() -> HostFacts {
    let drop = |owner: &str, table: &str, chain: &str, user_chain: Option<&str>| ForwardDrop {
        owner: owner.into(),
        family: "ip".into(),
        table: table.into(),
        chain: chain.into(),
        user_chain: user_chain.map(Into::into),
    };
    let forward_drops = vec![
        drop("docker", "filter", "FORWARD", Some("DOCKER-USER")),
        drop("fence", "fence", "forward", None),
    ];
    HostFacts { forward_drops, ..facts() }
}

/// Writes the steps with what reverses each.
fn undone(plan: &Plan) -> String {
    let mut text = String::new();
    for step in &plan.steps {
        let undo: Vec<_> = step.undo().iter().map(ToString::to_string).collect();
        let undo = if undo.is_empty() { "nothing".to_owned() } else { undo.join(", ") };
        writeln!(text, "{}\n    undo: {undo}", step.title()).unwrap();
    }
    text
}

#[test]
fn every_step_in_a_private_place_has_its_undo() {
    assert_snapshot!(undone(&plan(&lab(PRIVATE), &facts()).unwrap()), @"
    build image debian
        undo: nothing
    build image ipxe
        undo: nothing
    build image tiny
        undo: nothing
    create namespaces, with uplink wan 192.0.2.2/24 (pasta)
        undo: nothing
    write hosts and resolv.conf, name server 10.0.2.1
        undo: nothing
    publish c: 127.0.0.1:2222 to 10.0.2.5:22
        undo: nothing
    create bridge drbb8d05f36 for network lan: 10.0.2.1/24, 52:54:00:91:a2:f6, mtu 1500
        undo: delete link drbb8d05f36
    create bridge drb7a2e9e50 for network storage: 10.0.3.1/24, 52:54:00:b2:40:30, mtu 9000
        undo: delete link drb7a2e9e50
    forward IPv4
        undo: set IPv4 forwarding off
    load nftables table ip dryrack_c3672989: masquerade 10.0.2.0/24
        undo: delete nftables table ip dryrack_c3672989
    serve network lan at 10.0.2.1: dhcp, tftp, http, dns, ntp, syslog, router advertisements; 6 files, 3 texts
        undo: nothing
    serve network storage at 10.0.3.1: tftp, http, dns, ntp, syslog, router advertisements; 3 files, 1 text
        undo: nothing
    create disk root of a: 1GiB, blank
        undo: delete node/a/root.qcow2
    create tap drtdf201528 for a's lan on drbb8d05f36
        undo: delete link drtdf201528
    create tap drtd2f95d3e for a's storage on drb7a2e9e50
        undo: delete link drtd2f95d3e
    start machine a, paused
        undo: stop machine a
    copy firmware variables of b from /usr/share/OVMF/OVMF_VARS_4M.fd
        undo: delete node/b/vars.fd
    create tap drt5121e257 for b's lan on drbb8d05f36
        undo: delete link drt5121e257
    start machine b, paused
        undo: stop machine b
    create disk root of c: 4GiB over image:debian/disk
        undo: delete node/c/root.qcow2
    copy firmware variables of c from /usr/share/OVMF/OVMF_VARS_4M.ms.fd
        undo: delete node/c/vars.fd
    write cloud-init seed of c: meta-data, user-data
        undo: delete node/c/seed.img
    create tap drta155eb92 for c's lan on drbb8d05f36
        undo: delete link drta155eb92
    start machine c, paused
        undo: stop machine c
    start process apply: terraform apply
        undo: stop process apply
    power on a
        undo: nothing
    power on c
        undo: nothing
    ");
}

#[test]
fn every_step_in_the_hosts_network_has_its_undo() {
    assert_snapshot!(undone(&plan(&lab(&in_host()), &guarded()).unwrap()), @"
    build image debian
        undo: nothing
    build image ipxe
        undo: nothing
    build image tiny
        undo: nothing
    create bridge drb35e0fe84 for network lan: 10.0.2.1/24, 52:54:00:91:a2:f6, mtu 1500
        undo: delete link drb35e0fe84
    create bridge drbc432bc5e for network storage: 10.0.3.1/24, 52:54:00:b2:40:30, mtu 1500
        undo: delete link drbc432bc5e
    attach host interface eth1 to network storage, bridge drbc432bc5e
        undo: detach eth1 from drbc432bc5e, set it down
    forward IPv4
        undo: set IPv4 forwarding off
    load nftables table ip dryrack_01bb8843: masquerade 10.0.2.0/24
        undo: delete nftables table ip dryrack_01bb8843
    accept traffic of drb35e0fe84 in docker's nftables chain ip filter DOCKER-USER
        undo: delete the rule of the lab from nftables chain ip filter DOCKER-USER
    accept traffic of drb35e0fe84 in fence's nftables chain ip fence forward
        undo: delete the rule of the lab from nftables chain ip fence forward
    serve network lan at 10.0.2.1: dhcp, tftp, http, dns, ntp, syslog, router advertisements; 6 files, 3 texts
        undo: nothing
    serve network storage at 10.0.3.1: tftp, http, dns, ntp, syslog, router advertisements; 3 files, 1 text
        undo: nothing
    create disk root of a: 1GiB, blank
        undo: delete node/a/root.qcow2
    create tap drtdf851e1e for a's lan on drb35e0fe84
        undo: delete link drtdf851e1e
    create tap drtd4981464 for a's storage on drbc432bc5e
        undo: delete link drtd4981464
    start machine a, paused
        undo: stop machine a
    copy firmware variables of b from /usr/share/OVMF/OVMF_VARS_4M.fd
        undo: delete node/b/vars.fd
    create tap drt498a4527 for b's lan on drb35e0fe84
        undo: delete link drt498a4527
    start machine b, paused
        undo: stop machine b
    create disk root of c: 4GiB over image:debian/disk
        undo: delete node/c/root.qcow2
    copy firmware variables of c from /usr/share/OVMF/OVMF_VARS_4M.ms.fd
        undo: delete node/c/vars.fd
    write cloud-init seed of c: meta-data, user-data
        undo: delete node/c/seed.img
    create tap drte05ad932 for c's lan on drb35e0fe84
        undo: delete link drte05ad932
    start machine c, paused
        undo: stop machine c
    start process apply: terraform apply
        undo: stop process apply
    power on a
        undo: nothing
    power on c
        undo: nothing
    ");
}

#[test]
fn an_undo_reverses_what_its_step_made_and_nothing_else() {
    for text in [PRIVATE, &in_host()] {
        for step in plan(&lab(text), &guarded()).unwrap().steps {
            let wanted = match &step {
                Step::Bridge(bridge) => vec![Undo::DeleteLink(bridge.interface.clone())],
                Step::Tap(tap) => vec![Undo::DeleteLink(tap.interface.clone())],
                Step::Port(port) => {
                    let (interface, bridge) = (port.interface.clone(), port.bridge.clone());
                    vec![Undo::Unplug { interface, bridge, up: port.was_up }]
                }
                Step::Forward { was } => vec![Undo::SetForwarding(*was)],
                Step::Firewall(firewall) => vec![Undo::DeleteTable(firewall.table.clone())],
                Step::ForeignAccept(accept) => vec![Undo::DeleteForeignRule(accept.clone())],
                Step::Disk(disk) => vec![Undo::DeleteFile(disk.path.clone())],
                Step::Variables { path, .. } => vec![Undo::DeleteFile(path.clone())],
                Step::Seed(seed) => vec![Undo::DeleteFile(seed.path.clone())],
                Step::Machine(machine) => vec![Undo::EndMachine(machine.node.clone())],
                Step::Process(process) => vec![Undo::EndProcess(process.process.clone())],
                // Their effect ends with the processes of the lab, or is meant to stay (an image).
                Step::BuildImage { .. }
                | Step::MakeNamespaces { .. }
                | Step::Publish { .. }
                | Step::NameFiles { .. }
                | Step::Serve(_)
                | Step::PowerOn { .. } => Vec::new(),
            };
            assert_eq!(step.undo(), wanted, "{}", step.title());
        }
    }
}

#[test]
fn what_is_made_has_names_of_its_own() {
    for text in [PRIVATE, &in_host()] {
        let plan = plan(&lab(text), &guarded()).unwrap();
        let undos: Vec<Undo> = plan.steps.iter().flat_map(Step::undo).collect();
        for (index, undo) in undos.iter().enumerate() {
            assert!(!undos[..index].contains(undo), "{undo} is there twice");
        }
    }
}

#[test]
fn nothing_is_used_before_it_is_made() {
    for text in [PRIVATE, &in_host()] {
        let (mut bridges, mut taps, mut files, mut machines) = (vec![], vec![], vec![], vec![]);
        for step in plan(&lab(text), &facts()).unwrap().steps {
            match step {
                Step::Bridge(bridge) => bridges.push(bridge.interface),
                Step::Port(port) => assert!(bridges.contains(&port.bridge)),
                Step::Serve(service) => assert!(bridges.contains(&service.interface)),
                Step::Tap(tap) => {
                    assert!(bridges.contains(&tap.bridge));
                    taps.push(tap.interface);
                }
                Step::Disk(disk) => files.push(disk.path),
                Step::Variables { path, .. } => files.push(path),
                Step::Seed(seed) => files.push(seed.path),
                Step::Machine(machine) => {
                    assert!(machine.nics.iter().all(|nic| taps.contains(&nic.interface)));
                    let folder = format!("node/{}", machine.node);
                    for file in files.iter().filter(|file| file.starts_with(&folder)) {
                        let name = file.file_name().unwrap().to_string_lossy();
                        let named = machine.argv.iter().any(|argument| argument.contains(&*name));
                        assert!(named, "{} is made for {} and not used", file.display(), machine.node);
                    }
                    machines.push(machine.node);
                }
                Step::PowerOn { node, after: _ } => assert!(machines.contains(&node)),
                Step::BuildImage { .. }
                | Step::MakeNamespaces { .. }
                | Step::Publish { .. }
                | Step::NameFiles { .. }
                | Step::Forward { .. }
                | Step::Process(_)
                | Step::Firewall(_)
                | Step::ForeignAccept(_) => {}
            }
        }
    }
}

#[test]
fn the_same_lab_on_the_same_host_gives_the_same_plan_to_the_byte() {
    for text in [PRIVATE.to_owned(), in_host()] {
        let made = |text: &str| plan(&lab(text), &guarded()).unwrap();
        let json = |plan: Plan| serde_json::to_string(&plan).unwrap();
        assert_eq!(json(made(&text)), json(made(&text)));
        // The order of tables in the file does not matter either.
        let mut tables: Vec<&str> = text.split("\n[").collect();
        tables[1..].reverse();
        let apart_from_lines = |text: &str| json(Plan { origins: Origins::default(), ..made(text) });
        assert_eq!(apart_from_lines(&text), apart_from_lines(&tables.join("\n[")));
    }
}

#[test]
fn a_plan_survives_json() {
    for text in [PRIVATE, &in_host()] {
        let plan = plan(&lab(text), &guarded()).unwrap();
        assert_eq!(serde_json::from_str::<Plan>(&serde_json::to_string(&plan).unwrap()).unwrap(), plan);
    }
}

#[test]
fn a_plan_as_json_names_where_a_secret_is_and_nothing_else_does() {
    let lab = lab(PRIVATE);
    let plan = plan(&lab, &facts()).unwrap();
    for text in [format!("{lab:?}"), format!("{plan:?}"), plan.to_string()] {
        assert!(!text.contains("TYPHOON_KEY") && !text.contains("rack.key"), "{text}");
    }
    let json = serde_json::to_value(&plan).unwrap();
    let key = |expect: &str| json["expectations"][expect]["check"]["ssh"]["key"].to_string();
    assert_eq!(key("in"), r#"{"env":"TYPHOON_KEY"}"#);
    assert_eq!(key("in-too"), r#"{"file":"/labs/typhoon/files/rack.key"}"#);
}

#[test]
fn a_plan_says_where_each_value_was_written() {
    let overlay = Source::new("more.toml", "[node.a]\nmemory = \"1GiB\"\n");
    let around = LabEnvironment {
        file: "/labs/origin/lab.toml".into(),
        folder: "/labs/origin".into(),
        images: BTreeMap::new(),
        existing: &|_| true,
        free_memory: None,
    };
    let text = "dryrack = 1\nnetwork.lan.address = \"10.0.2.1/24\"\nprofile.p.kernel = \"k\"\n[node.a]\nprofile = \"p\"\n\
                [node.w]\ncount = 2\nprofile = \"p\"\n[expect.up]\nnodes = [\"a\", \"w-1\"]\nthat = { stage = \"os\" }\n";
    let sets = ["node.w-2.cpus=2".to_owned()];
    let outcome = resolve(&Source::new("lab.toml", text), &[overlay], &sets, &around);
    assert_eq!(outcome.diagnostics, []);
    let origins = plan(&outcome.lab.unwrap(), &facts()).unwrap().origins;
    let paths = [
        "network.lan.address",
        "profile.p.kernel",
        "node.a.memory",
        "node.a.profile",
        "node.w-1.profile",
        "node.w-2.cpus",
        "expect.up.nodes.1",
        "expect.up.that.stage",
        "expect.up.within",
    ];
    let found = paths.map(|path| format!("{path} {}", origins.get(path).unwrap()));
    assert_snapshot!(found.join("\n"), @"
    network.lan.address lab.toml:2
    profile.p.kernel lab.toml:3
    node.a.memory more.toml:2
    node.a.profile lab.toml:5
    node.w-1.profile lab.toml:8
    node.w-2.cpus --set:1
    expect.up.nodes.1 lab.toml:10
    expect.up.that.stage lab.toml:11
    expect.up.within lab.toml:9
    ");
}

#[test]
fn a_plan_of_another_format_or_version_is_refused() {
    let plan = plan(&lab(PRIVATE), &facts()).unwrap();
    let mut json = serde_json::to_value(&plan).unwrap();
    let read = |json: &serde_json::Value| read(json.to_string().as_bytes());
    assert_eq!(read(&json).unwrap(), plan);
    json["version"] = "0.0.1".into();
    assert!(matches!(read(&json), Err(PlanError::Version { found }) if found == "0.0.1"));
    // Whatever else such a plan holds.
    let future = serde_json::json!({ "dryrack_plan": 2, "version": "9.0.0", "steps": "none" });
    assert_eq!(
        read(&future).unwrap_err().to_string(),
        "the plan has schema 2; this version of Dryrack reads schema 1"
    );
    json["version"] = env!("CARGO_PKG_VERSION").into();
    json["expectations"]["in"]["check"] = serde_json::json!({ "console": "(" });
    assert!(matches!(read(&json), Err(PlanError::Malformed(_))));
    assert!(matches!(read(&serde_json::json!({ "lab": "x" })), Err(PlanError::Malformed(_))));
}

#[test]
fn a_plan_is_refused_where_the_host_has_changed() {
    let refused = |text: &str, then: &HostFacts, now: &HostFacts| {
        let plan = plan(&lab(text), then).unwrap();
        check_host(&plan, then).unwrap();
        let why = check_host(&plan, now).unwrap_err().why;
        why.strip_prefix("this host is not as it was when the plan was made: ").unwrap_or(&why).to_owned()
    };
    let kvm = HostFacts { accel: Accel::Kvm, ..facts() };
    let other = |change: fn(&mut HostFacts)| {
        let mut now = guarded();
        change(&mut now);
        now
    };
    let private = |change: fn(&mut HostFacts)| refused(PRIVATE, &guarded(), &other(change));
    let in_host = |change: fn(&mut HostFacts)| refused(&in_host(), &guarded(), &other(change));
    let all = [
        refused(PRIVATE, &kvm, &facts()),
        private(|now| now.qemu = None),
        private(|now| now.qemu.as_mut().unwrap().version = (9, 0, 0)),
        private(|now| (now.pasta, now.nft, now.qemu_img) = (None, None, None)),
        private(|now| now.firmware.clear()),
        private(|now| now.free_memory = Bytes::mebi(1)),
        private(|now| now.subnets.push("192.0.2.0/25".parse().unwrap())),
        in_host(|now| now.links.retain(|link| link.name.as_str() != "eth1")),
        in_host(|now| now.links[1].up = true),
        in_host(|now| now.links[1].master = Some(IfName::new("br0").unwrap())),
        in_host(|now| now.links[1].addresses = vec!["10.9.0.1".parse().unwrap()]),
        in_host(|now| now.links[1].mtu = 1400),
        in_host(|now| now.subnets.push("10.0.3.0/25".parse().unwrap())),
        in_host(|now| now.ip_forward = true),
        in_host(|now| now.forward_drops.clear()),
    ];
    assert_snapshot!(all.join("\n"), @"
    KVM does not boot a machine on this host
    QEMU is not installed
    QEMU is /usr/bin/qemu-system-x86_64 (9.0.0), it was /usr/bin/qemu-system-x86_64 (7.2.22)
    the program `pasta` is not installed; the program `nft` is not installed; the program `qemu-img` is not installed
    the UEFI firmware with /usr/share/OVMF/OVMF_VARS_4M.fd is not as it was; the UEFI firmware with /usr/share/OVMF/OVMF_VARS_4M.ms.fd is not as it was
    the nodes need 1GiB of memory, but this host has 1MiB free
    this host uses 192.0.2.0/25, which the lab uses too
    interface eth1 does not exist
    interface eth1 is up
    interface eth1 is a port of br0
    interface eth1 has the address 10.9.0.1
    interface eth1 has MTU 1400, it was 1500
    this host uses 10.0.3.0/25, which the lab uses too
    IPv4 forwarding is on
    other firewall chains drop forwarded traffic
    ");
    // What a private lab does not touch may change, and an image that is not built is built.
    let plan = plan(&lab(PRIVATE), &guarded()).unwrap();
    check_host(
        &plan,
        &HostFacts { links: Vec::new(), forward_drops: Vec::new(), built: Vec::new(), ..guarded() },
    )
    .unwrap();
}

#[test]
fn what_is_built_is_not_built_again() {
    let built = HostFacts { built: vec![ImageName::new("tiny").unwrap()], ..facts() };
    let plan = plan(&lab(PRIVATE), &built).unwrap();
    let builds = |step: &Step| matches!(step, Step::BuildImage { .. });
    assert_eq!(
        plan.steps.iter().filter(|step| builds(step)).map(Step::title).collect::<Vec<_>>(),
        ["build image debian", "build image ipxe"]
    );
}

#[test]
fn the_uplink_gets_an_unused_subnet() {
    let way = |facts: &HostFacts| {
        let plan = plan(&lab(PRIVATE), facts)?;
        Ok::<_, Refusal>(plan.steps.into_iter().find_map(|step| match step {
            Step::MakeNamespaces { uplink } => uplink.map(|way| way.address.to_string()),
            _ => None,
        }))
    };
    let taken = |nets: &[&str]| HostFacts {
        subnets: nets.iter().map(|net| net.parse().unwrap()).collect(),
        ..facts()
    };
    assert_eq!(way(&facts()).unwrap().unwrap(), "192.0.2.2/24");
    assert_eq!(way(&taken(&["192.0.2.128/25"])).unwrap().unwrap(), "198.51.100.2/24");
    let everywhere = taken(&["192.0.2.0/24", "198.51.100.0/24", "203.0.113.0/24", "198.18.0.0/15"]);
    assert_snapshot!(way(&everywhere).unwrap_err(), @"
    every subnet for the uplink is in use by the lab or the host

    hint: free one of 192.0.2.0/24, 198.51.100.0/24, 203.0.113.0/24 and 198.18.0.0/24
    ");
}

#[test]
fn forwarding_that_is_on_stays_on() {
    let forwards = |facts: &HostFacts| {
        let plan = plan(&lab(&in_host()), facts).unwrap();
        plan.steps.iter().any(|step| matches!(step, Step::Forward { .. }))
    };
    assert!(forwards(&facts()));
    assert!(!forwards(&HostFacts { ip_forward: true, ..facts() }));
}

#[test]
fn an_interface_that_cannot_be_plugged_in() {
    let with = |change: fn(&mut HostLink)| {
        let mut facts = facts();
        facts.links.retain_mut(|link| {
            change(link);
            link.name.as_str() != "gone"
        });
        refused(&in_host(), &facts)
    };
    assert_snapshot!(with(|link| link.name = IfName::new("gone").unwrap()), @"
    network storage uses the interface eth1, which this host does not have

    hint: use one listed by `ip link`, or remove `interface`
    ");
    assert_snapshot!(with(|link| link.addresses.push("192.168.7.2".parse().unwrap())), @"
    network storage uses the interface eth1, so this host would lose its address 192.168.7.2

    hint: take its addresses away (`ip address flush dev eth1`), or name an interface that this host does not need
    ");
    assert_snapshot!(with(|link| link.master = Some(IfName::new("br0").unwrap())), @"
    network storage uses the interface eth1, which is already a port of br0

    hint: detach it (`ip link set eth1 nomaster`), or use another
    ");
    assert_snapshot!(with(|link| link.mtu = 1400), @"
    network storage has an MTU of 1500, but eth1 has an MTU of 1400

    hint: raise it (`ip link set eth1 mtu 1500`), or lower the network's `mtu`
    ");
}

#[test]
fn no_qemu() {
    assert_snapshot!(refused(PRIVATE, &HostFacts { qemu: None, ..facts() }), @"
    this host has no `qemu-system-x86_64`

    hint: install QEMU 7.2 or later (Debian, Ubuntu: `qemu-system-x86 qemu-utils`, in one command; Fedora: `qemu-system-x86-core qemu-img`; Arch: `qemu-base`)
    ");
}

#[test]
fn an_old_qemu() {
    let old = Qemu { program: "/usr/bin/qemu-system-x86_64".into(), version: (6, 2, 0) };
    assert_snapshot!(refused(PRIVATE, &HostFacts { qemu: Some(old), ..facts() }), @"
    /usr/bin/qemu-system-x86_64 is QEMU 6.2.0; 7.2 or later is required

    hint: install QEMU 7.2 or later (Debian, Ubuntu: `qemu-system-x86 qemu-utils`, in one command; Fedora: `qemu-system-x86-core qemu-img`; Arch: `qemu-base`)
    ");
}

#[test]
fn no_uefi_firmware() {
    assert_snapshot!(refused(PRIVATE, &HostFacts { firmware: Vec::new(), ..facts() }), @"
    node `b` needs UEFI firmware without enrolled keys for pc-q35-7.2, which this host does not have

    hint: install OVMF (Debian, Ubuntu: `ovmf`; Fedora: `edk2-ovmf`; Arch: `edk2-ovmf`; openSUSE: `qemu-ovmf-x86_64`)
    ");
}

#[test]
fn no_firmware_with_secure_boot() {
    assert_snapshot!(refused(PRIVATE, &HostFacts { firmware: vec![ovmf("", false)], ..facts() }), @"
    node `c` needs UEFI firmware with Secure Boot and enrolled keys for pc-q35-7.2, which this host does not have

    hint: install OVMF (Debian, Ubuntu: `ovmf`; Fedora: `edk2-ovmf`; Arch: `edk2-ovmf`; openSUSE: `qemu-ovmf-x86_64`)
    ");
}

#[test]
fn no_pasta_for_nat() {
    assert_snapshot!(refused(PRIVATE, &HostFacts { pasta: None, ..facts() }), @r#"
    `nat = true` with `isolation = "private"` needs the program `pasta`, which this host does not have

    hint: install the package `passt`, or set `nat = false`
    "#);
}

#[test]
fn no_nft_for_nat() {
    assert_snapshot!(refused(PRIVATE, &HostFacts { nft: None, ..facts() }), @"
    `nat = true` needs the program `nft`, which this host does not have

    hint: install the package `nftables`, or set `nat = false`
    ");
}

#[test]
fn pasta_and_nft_are_for_nat_only() {
    let bare = HostFacts { pasta: None, nft: None, ..facts() };
    plan(&lab(&PRIVATE.replace("nat = true", "nat = false")), &bare).unwrap();
}

#[test]
fn a_subnet_of_the_host() {
    let facts = HostFacts { subnets: vec!["10.0.0.0/16".parse().unwrap()], ..facts() };
    assert_snapshot!(refused(&in_host(), &facts), @r#"
    network lan (10.0.2.1/24) overlaps with 10.0.0.0/16, which this host uses

    hint: give the network another address, or remove `isolation = "none"`
    "#);
    plan(&lab(PRIVATE), &facts).unwrap();
}

#[test]
fn a_prefix_of_the_host() {
    let facts = HostFacts { subnets: vec!["fd00:83::/48".parse().unwrap()], ..facts() };
    let with_ipv6 =
        |lab: &str| lab.replacen("[network.lan]", "[network.lan]\nipv6 = \"fd00:83:0:7::1/64\"", 1);
    assert_snapshot!(refused(&with_ipv6(&in_host()), &facts), @r#"
    network lan (fd00:83:0:7::1/64) overlaps with fd00:83::/48, which this host uses

    hint: give the network another address, or remove `isolation = "none"`
    "#);
    plan(&lab(&in_host()), &facts).unwrap();
    plan(&lab(&with_ipv6(PRIVATE)), &facts).unwrap();
}

#[test]
fn too_little_memory() {
    assert_snapshot!(refused(PRIVATE, &HostFacts { free_memory: Bytes::mebi(600), ..facts() }), @r#"
    the nodes need 1GiB of memory, but this host has 600MiB free

    hint: reduce the memory of nodes, set `start = "manual"` for some, or stop other labs
    "#);
}

#[test]
fn what_starts_by_hand_needs_no_memory_yet() {
    plan(&lab(PRIVATE), &HostFacts { free_memory: Bytes::mebi(1024), ..facts() }).unwrap();
}

#[test]
fn kvm_that_does_not_work() {
    let wants = |accel: &str| PRIVATE.replace("dryrack = 1", &format!("dryrack = 1\naccel = \"{accel}\""));
    assert_snapshot!(refused(&wants("kvm"), &facts()), @r#"
    the lab requires `accel = "kvm"`, but KVM cannot boot a machine on this host

    hint: run `dryrack doctor` to see why, or set `accel = "auto"`
    "#);
    let kvm = HostFacts { accel: Accel::Kvm, ..facts() };
    let accel = |wish: &str, facts: &HostFacts| plan(&lab(&wants(wish)), facts).unwrap().accel;
    assert_eq!(
        (accel("auto", &kvm), accel("kvm", &kvm), accel("tcg", &kvm)),
        (Accel::Kvm, Accel::Kvm, Accel::Tcg)
    );
    assert_eq!((accel("auto", &facts()), accel("tcg", &facts())), (Accel::Tcg, Accel::Tcg));
}

#[test]
fn a_network_with_ipv6_has_names_for_it_and_no_uplink() {
    let plan =
        plan(&lab(&PRIVATE.replace("nat = true", "nat = true\nipv6 = \"fd00:83::1/64\"")), &facts()).unwrap();
    let mut text = String::new();
    for step in &plan.steps {
        match step {
            Step::Bridge(_) => writeln!(text, "{}", step.title()).unwrap(),
            Step::NameFiles { hosts, .. } => {
                let hosts: Vec<String> =
                    hosts.iter().map(|(address, name)| format!("{name} {address}")).collect();
                writeln!(text, "hosts: {}", hosts.join(", ")).unwrap();
            }
            Step::Firewall(firewall) => {
                writeln!(text, "masquerade: {:?}", firewall.masquerade[0].subnet).unwrap()
            }
            Step::Serve(service) => {
                let addresses = service.hosts.iter().filter_map(|host| host.ipv6);
                let addresses: Vec<String> = addresses.map(|address| address.to_string()).collect();
                writeln!(text, "{}\n  addresses: {}", step.title(), addresses.join(", ")).unwrap();
                writeln!(text, "  reverse: {:?}", service.dns.reverse).unwrap();
            }
            _ => {}
        }
    }
    assert_snapshot!(text, @"
    hosts: localhost 127.0.0.1, a.lab 10.0.2.10, b.lab 10.0.2.11, c.lab 10.0.2.5, registry.example 10.0.2.1, registry.example fd00::1
    create bridge drbb8d05f36 for network lan: 10.0.2.1/24, fd00:83::1/64, 52:54:00:91:a2:f6, mtu 1500
    create bridge drb7a2e9e50 for network storage: 10.0.3.1/24, 52:54:00:b2:40:30, mtu 9000
    masquerade: 10.0.2.0/24
    serve network lan at 10.0.2.1 and fd00:83::1: dhcp, dhcpv6, tftp, http, dns, ntp, syslog, router advertisements; 6 files, 3 texts
      addresses: fd00:83::1:a, fd00:83::1:b, fd00:83::1:5
      reverse: [10.0.2.0/24, fd00:83::/64, 10.0.3.0/24]
    serve network storage at 10.0.3.1: tftp, http, dns, ntp, syslog, router advertisements; 3 files, 1 text
      addresses: 
      reverse: [10.0.2.0/24, fd00:83::/64, 10.0.3.0/24]
    ");
}

/// What matchbox answers on the first network of a lab, and what its first node is told.
fn matchbox(text: &str) -> String {
    let lab = lab(&format!("dryrack = 1\nnetwork.lan.address = \"10.0.2.1/24\"\n{text}"));
    let plan = plan(&lab, &facts()).unwrap();
    let service = plan.steps.iter().find_map(|step| match step {
        Step::Serve(service) => Some(service),
        _ => None,
    });
    let service = service.unwrap();
    let matchbox = service.matchbox.as_ref().unwrap();
    let mut lines: Vec<String> =
        service.hosts.iter().map(|host| format!("{}: {:?}", host.node, host.boot)).collect();
    lines.extend(matchbox.entries.iter().map(|(path, entry)| format!("{path}: {entry:?}")));
    lines.extend(service.texts.iter().map(|(path, text)| format!("{path}:\n{}", text.body)));
    lines.extend(service.files.keys().cloned());
    lines.join("\n")
}

#[test]
fn profiles_and_groups_are_entries_of_a_data_directory() {
    assert_snapshot!(
        matchbox(
            r#"
            network.lan.matchbox.port = 8080
            profile.install = { kernel = "files/linux", initrd = ["files/a", "files/b"], args = ["quiet"], metadata = { a = 1, b = 2 } }
            profile.done = { ignition = "files/done.ign", cloud = "files/cloud", generic = "files/x.tmpl" }
            group.a = { profile = "install", metadata = { b = [true] } }
            group.b = { profile = "done", selector = { mac = "52:54:00:00:00:01", os = "installed" } }
            node.n = { profile = "install", nic.lan.mac = "52:54:00:00:00:01" }
            "#
        ),
        @r#"
    n: Some(BootPlan { script: Some("http://10.0.2.1/boot/n.ipxe"), rom_chains: false, via: None, programs: {} })
    cloud/done: File("/labs/typhoon/files/cloud")
    generic/done.tmpl: File("/labs/typhoon/files/x.tmpl")
    groups/a.json: Text("{\"id\":\"a\",\"profile\":\"install\",\"selector\":{},\"metadata\":{\"a\":1,\"b\":[true]}}")
    groups/b.json: Text("{\"id\":\"b\",\"profile\":\"done\",\"selector\":{\"mac\":\"52:54:00:00:00:01\",\"os\":\"installed\"},\"metadata\":{}}")
    groups/n.lan.json: Text("{\"id\":\"n.lan\",\"profile\":\"install\",\"selector\":{\"mac\":\"52:54:00:00:00:01\"},\"metadata\":{\"a\":1,\"b\":2}}")
    ignition/done.ign: File("/labs/typhoon/files/done.ign")
    profiles/done.json: Text("{\"id\":\"done\",\"boot\":{},\"ignition_id\":\"done.ign\",\"cloud_id\":\"done\",\"generic_id\":\"done.tmpl\"}")
    profiles/install.json: Text("{\"id\":\"install\",\"boot\":{\"kernel\":\"/profile/install/kernel\",\"initrd\":[\"/profile/install/initrd0\",\"/profile/install/initrd1\"],\"args\":[\"initrd=initrd0\",\"initrd=initrd1\",\"quiet\"]}}")
    boot/n.ipxe:
    #!ipxe
    kernel /profile/install/kernel initrd=initrd0 initrd=initrd1 quiet
    initrd --name initrd0 /profile/install/initrd0
    initrd --name initrd1 /profile/install/initrd1
    boot

    profile/install/initrd0
    profile/install/initrd1
    profile/install/kernel
    "#
    );
}

#[test]
fn who_has_no_kernel_asks_matchbox() {
    assert_snapshot!(
        matchbox(
            r#"
            network.lan.matchbox = { data = "files/", port = 8080 }
            profile.menu.loader = "grub"
            node.by-grub = { profile = "menu", nic.lan.mac = "52:54:00:00:00:01" }
            node.by-ipxe = { firmware = "uefi" }
            "#
        ),
        @r#"
    by-grub: Some(BootPlan { script: None, rom_chains: true, via: None, programs: {0: "grub/core.0", 7: "grub/core.efi"} })
    by-ipxe: Some(BootPlan { script: Some("http://10.0.2.1:8080/boot.ipxe"), rom_chains: false, via: None, programs: {} })
    profiles/menu.json: Text("{\"id\":\"menu\",\"boot\":{}}")
    grub/52:54:00:00:00:01.cfg:
    insmod http
    set net_efinet0_dhcp_mac=$net_default_mac
    export net_efinet0_dhcp_mac
    set root=http,10.0.2.1:8080
    configfile /grub?mac=$net_default_mac

    grub/grub.cfg:
    configfile /grub/$net_default_mac.cfg

    grub/core.0
    grub/core.efi
    "#
    );
}

/// What a node is told and what its network serves because of its profile.
fn handed(node: &str, profile: &str) -> String {
    let text = format!(
        "dryrack = 1\n[network.lan]\naddress = \"10.0.2.1/24\"\nipv6 = \"fd00:2::1/64\"\n\
         [profile.p]\nkernel = \"files/linux\"\n{profile}\n[node.n]\nprofile = \"p\"\n{node}\n"
    );
    let lab = lab(&text);
    let plan = plan(&lab, &facts()).unwrap();
    let service = plan.steps.iter().find_map(|step| match step {
        Step::Serve(service) => Some(service),
        _ => None,
    });
    let service = service.unwrap();
    let BootPlan { script, rom_chains, via: _, programs } = service.hosts[0].boot.clone().unwrap();
    let mut lines = vec![way(&lab, &lab.nodes[&NodeName::new("n").unwrap()]).unwrap()];
    lines.extend(script.map(|script| format!("script {script}")));
    lines.extend(rom_chains.then(|| "a ROM chains".to_owned()));
    lines.extend(programs.iter().map(|(number, path)| format!("program {number} {path}")));
    lines.extend(
        service.files.iter().map(|(path, file)| format!("{path} is {} ({})", file.source, file.role)),
    );
    lines.extend(service.texts.iter().map(|(path, text)| format!("{path}:\n{}", text.body)));
    lines.join("\n")
}

#[test]
fn a_loader_brings_everything_that_it_reads() {
    let initrds = "initrd = [\"files/a\", \"files/b\"]\nargs = [\"quiet\", 'say=\"x\"']";
    let loader = |word: &str| format!("{initrds}\nloader = \"{word}\"");
    insta::assert_snapshot!(handed("", initrds), @r#"
    BIOS, iPXE in the NIC's ROM
    script http://10.0.2.1/boot/n.ipxe
    profile/p/initrd0 is /labs/typhoon/files/a (initrd)
    profile/p/initrd1 is /labs/typhoon/files/b (initrd)
    profile/p/kernel is /labs/typhoon/files/linux (kernel)
    boot/n.ipxe:
    #!ipxe
    kernel /profile/p/kernel initrd=initrd0 initrd=initrd1 quiet say="x"
    initrd --name initrd0 /profile/p/initrd0
    initrd --name initrd1 /profile/p/initrd1
    boot
    "#);
    insta::assert_snapshot!(handed("", &loader("chainload")), @r#"
    BIOS, PXE, undionly.kpxe
    script http://10.0.2.1/boot/n.ipxe
    a ROM chains
    program 0 ipxe/undionly.kpxe
    program 7 ipxe/snponly.efi
    ipxe/snponly.efi is image:ipxe/snponly.efi (loader)
    ipxe/undionly.kpxe is image:ipxe/undionly.kpxe (loader)
    profile/p/initrd0 is /labs/typhoon/files/a (initrd)
    profile/p/initrd1 is /labs/typhoon/files/b (initrd)
    profile/p/kernel is /labs/typhoon/files/linux (kernel)
    boot/n.ipxe:
    #!ipxe
    kernel /profile/p/kernel initrd=initrd0 initrd=initrd1 quiet say="x"
    initrd --name initrd0 /profile/p/initrd0
    initrd --name initrd1 /profile/p/initrd1
    boot
    "#);
    insta::assert_snapshot!(handed("", &loader("pxelinux")), @r#"
    BIOS, PXE, PXELINUX
    a ROM chains
    program 0 pxelinux/pxelinux.0
    profile/p/initrd0 is /labs/typhoon/files/a (initrd)
    profile/p/initrd1 is /labs/typhoon/files/b (initrd)
    profile/p/kernel is /labs/typhoon/files/linux (kernel)
    pxelinux/ldlinux.c32 is image:pxelinux/ldlinux.c32 (loader)
    pxelinux/pxelinux.0 is image:pxelinux/pxelinux.0 (loader)
    pxelinux/pxelinux.cfg/01-52-54-00-d9-a0-1e:
    DEFAULT p
    PROMPT 0
    LABEL p
      KERNEL ::profile/p/kernel
      INITRD ::profile/p/initrd0,::profile/p/initrd1
      APPEND quiet say="x"
    "#);
    insta::assert_snapshot!(handed("firmware = \"uefi\"", &loader("grub")), @r#"
    UEFI, PXE, GRUB
    a ROM chains
    program 0 grub/core.0
    program 7 grub/core.efi
    grub/core.0 is image:grub/core.0 (loader)
    grub/core.efi is image:grub/core.efi (loader)
    profile/p/initrd0 is /labs/typhoon/files/a (initrd)
    profile/p/initrd1 is /labs/typhoon/files/b (initrd)
    profile/p/kernel is /labs/typhoon/files/linux (kernel)
    grub/52:54:00:d9:a0:1e.cfg:
    linux /profile/p/kernel "quiet" "say=\"x\""
    initrd /profile/p/initrd0 /profile/p/initrd1
    boot

    grub/grub.cfg:
    configfile /grub/$net_default_mac.cfg
    "#);
    insta::assert_snapshot!(handed("firmware = \"uefi-secure\"", &loader("shim")), @r#"
    UEFI with Secure Boot, PXE, shim and GRUB, signed
    a ROM chains
    program 7 shim/shimx64.efi
    profile/p/initrd0 is /labs/typhoon/files/a (initrd)
    profile/p/initrd1 is /labs/typhoon/files/b (initrd)
    profile/p/kernel is /labs/typhoon/files/linux (kernel)
    shim/grubx64.efi is image:shim/grubx64.efi (loader)
    shim/shimx64.efi is image:shim/shimx64.efi (loader)
    grub/52:54:00:d9:a0:1e.cfg:
    linux /profile/p/kernel "quiet" "say=\"x\""
    initrd /profile/p/initrd0 /profile/p/initrd1
    boot

    grub/grub.cfg:
    configfile /grub/$net_default_mac.cfg
    "#);
    insta::assert_snapshot!(handed("firmware = \"uefi\"", "loader = \"kernel\"\nvia = \"http6\""), @"
    UEFI, HTTP Boot over IPv6, no loader
    a ROM chains
    program 7 profile/p/kernel.efi
    profile/p/kernel.efi is /labs/typhoon/files/linux (kernel)
    ");
    let own = "programs = { uefi-x64 = \"files/my boot.efi\", uefi-arm64 = \"image:tiny/kernel\" }";
    insta::assert_snapshot!(handed("firmware = \"uefi\"", own), @"
    UEFI, PXE, custom program
    script http://10.0.2.1/boot/n.ipxe
    program 0 ipxe/undionly.kpxe
    program 7 profile/p/program-7/my_boot.efi
    program 11 profile/p/program-11/kernel
    ipxe/undionly.kpxe is image:ipxe/undionly.kpxe (loader)
    profile/p/kernel is /labs/typhoon/files/linux (kernel)
    profile/p/program-11/kernel is image:tiny/kernel (loader)
    profile/p/program-7/my_boot.efi is /labs/typhoon/files/my boot.efi (loader)
    boot/n.ipxe:
    #!ipxe
    kernel /profile/p/kernel
    boot
    ");
}

#[test]
fn a_certificate_is_for_every_name_of_the_server() {
    let lab = lab(r#"dryrack = 1
name = "names"
[network.lan]
address = "10.0.2.1/24"
ipv6 = "fd00:2::1/64"
https = true
dns.domain = "lan.lab"
dns.records = { "matchbox.local" = "10.0.2.1", "*.apps" = ["10.0.2.9", "fd00:2::1"], other = "10.0.2.7" }
dns.cname = { www = "web", web = "matchbox.local", elsewhere = "other" }
[network.plain]
address = "10.0.3.1/24"
dns.domain = "plain.lab"
dns.cname = { far = "ns.lan.lab" }
[profile.p]
kernel = "files/linux"
loader = "chainload"
via = "https"
[node.n]
firmware = "uefi"
profile = "p"
nic.lan = {}
nic.plain = {}
"#);
    let plan = plan(&lab, &facts()).unwrap();
    let services = plan.steps.iter().filter_map(|step| match step {
        Step::Serve(service) => Some(service),
        _ => None,
    });
    let lines: Vec<String> = services
        .map(|service| {
            let boot = service.hosts[0].boot.as_ref().unwrap();
            let files: Vec<&String> = service.files.keys().filter(|path| path.starts_with("ca.")).collect();
            format!("{}: {:?}\n{files:?} {:?}", service.network, service.https, boot.programs)
        })
        .collect();
    insta::assert_snapshot!(lines.join("\n"), @r#"
    lan: Some(HttpsPlan { addresses: [10.0.2.1, fd00:2::1], names: ["*.apps.lan.lab", "far.plain.lab", "lan.lab", "matchbox.local", "ns.lan.lab", "web.lan.lab", "www.lan.lab"] })
    ["ca.der", "ca.pem"] {0: "ipxe/undionly.kpxe", 7: "ipxe/snponly.efi"}
    plain: None
    [] {}
    "#);
}
