//! The target disks of installers, compared with the disks of nodes.

use std::sync::LazyLock;

use regex::Regex;

use super::arguments;
use crate::lab::{Bus, Node};
use crate::matchbox::model::NetBoot;

/// Kernel arguments that start an installer.
const INSTALLER_ARGUMENTS: [&str; 6] =
    ["coreos.inst", "preseed/url=", "url=", "auto=true", "autoinstall", "inst.ks="];

/// Programs that write a disk, as named in configs.
const INSTALLER_PROGRAMS: [&str; 4] =
    ["flatcar-install", "coreos-installer", "coreos-install", "/opt/installer"];

/// Patterns that name the target disk in a config.
static TARGET: LazyLock<Regex> = LazyLock::new(|| {
    let pattern = r"(?:install_dev=|-install -d |-install --device |installer install |of=|-d )(/dev/(?:sd[a-z]|vd[a-z]|hd[a-z]|nvme[0-9]+n[0-9]+))\b";
    Regex::new(pattern).expect("it is a regular expression")
});

/// Returns whether a boot config starts an installer.
pub(super) fn installs(boot: &NetBoot, config: &str) -> bool {
    let by_argument = |word: &str| INSTALLER_ARGUMENTS.iter().any(|start| word.starts_with(start));
    arguments(boot).any(by_argument) || INSTALLER_PROGRAMS.iter().any(|program| config.contains(program))
}

/// Returns each target disk that a node does not have, with the disks that it has.
pub(super) fn missing<'a>(
    node: &Node,
    boot: &'a NetBoot,
    config: &'a str,
) -> impl Iterator<Item = (String, String)> + use<'a> {
    let there = devices(node);
    let words = there.join(", ");
    let texts = arguments(boot).chain([config]);
    let targets = texts.flat_map(|text| TARGET.captures_iter(text)).map(|found| found[1].to_owned());
    targets.filter(move |target| !there.contains(target)).map(move |target| (target, words.clone()))
}

/// Returns the names that Linux gives the disks of a node.
fn devices(node: &Node) -> Vec<String> {
    let (mut virtio, mut scsi, mut nvme) = (("vd", 0), ("sd", 0), 0);
    node.disks
        .iter()
        .map(|disk| {
            let lettered = |kind: &mut (&str, u8)| {
                let name = format!("/dev/{}{}", kind.0, char::from(b'a' + kind.1.min(25)));
                kind.1 += 1;
                name
            };
            match disk.bus {
                Bus::Virtio => lettered(&mut virtio),
                Bus::Sata | Bus::Scsi | Bus::Usb => lettered(&mut scsi),
                Bus::Nvme => {
                    nvme += 1;
                    format!("/dev/nvme{}n1", nvme - 1)
                }
            }
        })
        .collect()
}
