//! Properties of every plan: deterministic, an undo for every step, no secrets; or a refusal.

mod boot;
mod host;
mod json;
mod network;
mod steps;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

use insta::assert_snapshot;

use super::{
    Accel, BootPlan, Dhcp6Plan, FirmwareFile, ForwardDrop, HostFacts, HostLink, LinkPlan, Netboots, NicPlan,
    NodeKind, Plan, PlanError, Qemu, Refusal, StartOptions, Step, Undo, check_host, plan, read,
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
        qemu: Some(Qemu {
            program: "/usr/bin/qemu-system-x86_64".into(),
            version: (7, 2, 22),
            lacks_ipmi: false,
        }),
        firmware: vec![ovmf(".ms", true), ovmf("", false)],
        accel: Accel::Tcg,
        pasta: Some("/usr/bin/pasta".into()),
        nft: Some("/usr/sbin/nft".into()),
        qemu_img: Some("/usr/bin/qemu-img".into()),
        swtpm: Some("/usr/bin/swtpm".into()),
        ip_forward: false,
        subnets: vec!["192.168.1.0/24".parse().unwrap(), "0.0.0.0/0".parse().unwrap()],
        links: vec![link("eth0"), link("eth1")],
        resolvers: vec!["192.168.1.1".parse().unwrap()],
        forward_drops: Vec::new(),
        built: Vec::new(),
    }
}

/// An unused interface.
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

/// The single function that creates a lab from a text.
pub(crate) fn lab(text: &str) -> Lab {
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
        other_ids: true,
    };
    let outcome = resolve(&Source::new("lab.toml", text), &[], &[], &around);
    assert_eq!(outcome.diagnostics, []);
    outcome.lab.unwrap()
}

fn refused(text: &str, facts: &HostFacts) -> String {
    let refusal: Refusal = plan(&lab(text), facts).unwrap_err();
    refusal.to_string()
}

/// Has every kind of step of a private lab.
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

/// The same in the network namespace of the host.
fn in_host() -> String {
    let (head, tail) = PRIVATE.split_once("[publish]").unwrap();
    let (_, tail) = tail.split_once("[expect.in]").unwrap();
    let head = head.replace("dryrack = 1", "dryrack = 1\nisolation = \"none\"");
    head.replace("mtu = 9000", "interface = \"eth1\"") + "[expect.in]" + tail
}

/// A host on which Docker and a firewall drop forwarded traffic.
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
