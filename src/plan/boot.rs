//! What a netbooting node is told and handed: boot files, scripts, seeds.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;

use super::{BootPlan, SeedPlan, ServedFile, ServedText};
use crate::lab::{Boot, BootDevice, FileRef, Lab, Node, Profile, Seed};
use crate::name::ImageName;

/// The image that holds iPXE for firmware that is not iPXE itself.
const LOADERS: &str = "ipxe";
const BIOS_LOADER: &str = "undionly.kpxe";
const UEFI_LOADER: &str = "snponly.efi";

const USER_DATA: &str = "user-data";

/// Stands in seeds and texts for the run's public ssh key, which no plan holds.
pub const SSH_KEY: &str = "{{ssh-key}}";

/// Tells whether a node's firmware tries the network.
pub(super) fn netboots(node: &Node) -> bool {
    match &node.boot {
        Boot::Nvram => node.profile.is_some(),
        Boot::Order(devices) => devices.iter().any(|device| match device {
            BootDevice::Network | BootDevice::OneNic(_) => true,
            BootDevice::Disk | BootDevice::OneDisk(_) => false,
        }),
    }
}

/// Tells whether a node asks for a boot program before it runs iPXE.
pub(super) fn needs_loader(node: &Node) -> bool {
    netboots(node) && node.nics.iter().any(|nic| !nic.rom)
}

fn loader(file: &str) -> FileRef {
    let image = ImageName::new(LOADERS).expect("`ipxe` is a name");
    FileRef::Image { image, file: file.to_owned() }
}

/// Returns what a node's firmware is told, if it is handed a profile.
pub(super) fn boot_plan(node: &Node, server: Ipv4Addr) -> Option<BootPlan> {
    node.profile.as_ref().filter(|_| netboots(node)).map(|_| BootPlan {
        script: format!("http://{server}/boot/{}.ipxe", node.name),
        bios: format!("{LOADERS}/{BIOS_LOADER}"),
        uefi: format!("{LOADERS}/{UEFI_LOADER}"),
    })
}

/// Returns the iPXE script of a node.
///
/// Every initrd is named on the kernel's command line: a kernel started as an EFI
/// stub finds it by that name only, and one started by BIOS does not mind.
fn script(profile: &Profile, server: Ipv4Addr) -> String {
    let base = format!("http://{server}/profile/{}", profile.name);
    let names: Vec<String> = (0..profile.initrd.len()).map(|index| format!("initrd{index}")).collect();
    let mut script = format!("#!ipxe\nkernel {base}/kernel");
    for name in &names {
        script.extend([" initrd=", name]);
    }
    for argument in &profile.args {
        script.extend([" ", argument]);
    }
    for name in &names {
        script.extend(["\ninitrd --name ", name, " ", &base, "/", name]);
    }
    script + "\nboot\n"
}

/// Returns the files that a network serves: those of the profiles of its nodes, and loaders where they are needed.
pub(super) fn files(lab: &Lab, nodes: &[&Node]) -> BTreeMap<String, ServedFile> {
    let mut files = BTreeMap::new();
    for profile in profiles(lab, nodes) {
        let base = format!("profile/{}", profile.name);
        let kernel = ServedFile { source: profile.kernel.clone(), role: "kernel".to_owned() };
        files.insert(format!("{base}/kernel"), kernel);
        for (index, initrd) in profile.initrd.iter().enumerate() {
            let initrd = ServedFile { source: initrd.clone(), role: "initrd".to_owned() };
            files.insert(format!("{base}/initrd{index}"), initrd);
        }
    }
    for node in nodes {
        if let Seed::NoCloud { user_data: Some(path), users: _ } = &node.seed {
            let served = ServedFile { source: FileRef::Path(path.clone()), role: "seed".to_owned() };
            files.insert(format!("nocloud/{}/{USER_DATA}", node.name), served);
        }
    }
    if nodes.iter().any(|node| needs_loader(node)) {
        for file in [BIOS_LOADER, UEFI_LOADER] {
            let served = ServedFile { source: loader(file), role: "loader".to_owned() };
            files.insert(format!("{LOADERS}/{file}"), served);
        }
    }
    files
}

/// Returns the texts that a network serves: a script for each node that netboots, cloud-init seeds.
pub(super) fn texts(lab: &Lab, nodes: &[&Node], server: Ipv4Addr) -> BTreeMap<String, ServedText> {
    let mut texts = BTreeMap::new();
    for node in nodes {
        if let Some(profile) = node.profile.as_ref().filter(|_| netboots(node)) {
            let body = script(&lab.profiles[profile], server);
            let path = format!("boot/{}.ipxe", node.name);
            texts.insert(path, ServedText { body, role: "script".to_owned() });
        }
        for (file, body) in seed_texts(node) {
            let path = format!("nocloud/{}/{file}", node.name);
            texts.insert(path, ServedText { body, role: "seed".to_owned() });
        }
    }
    texts
}

fn profiles<'a>(lab: &'a Lab, nodes: &[&Node]) -> Vec<&'a Profile> {
    let used = |profile: &&Profile| {
        nodes.iter().any(|node| netboots(node) && node.profile.as_ref() == Some(&profile.name))
    };
    lab.profiles.values().filter(used).collect()
}

/// Returns the seed volume of a node that boots with cloud-init from a disk.
pub(super) fn seed(node: &Node) -> Option<SeedPlan> {
    let Seed::NoCloud { user_data, users: _ } = &node.seed else {
        return None;
    };
    let copies = user_data.iter().map(|path| (USER_DATA.to_owned(), path.clone())).collect();
    let path = format!("node/{}/seed.img", node.name).into();
    Some(SeedPlan { node: node.name.clone(), path, files: seed_texts(node), copies })
}

/// Returns the NoCloud files of a node that we write ourselves, by name.
fn seed_texts(node: &Node) -> BTreeMap<String, String> {
    let Seed::NoCloud { user_data, users } = &node.seed else {
        return BTreeMap::new();
    };
    let meta = format!("instance-id: {}\nlocal-hostname: {}\n", node.uuid, node.name);
    let mut files = BTreeMap::from([("meta-data".to_owned(), meta)]);
    if user_data.is_none() {
        files.insert(USER_DATA.to_owned(), user_data_for(users));
    }
    files
}

fn user_data_for(users: &[String]) -> String {
    let mut text = "#cloud-config\nusers:\n  - default\n".to_owned();
    for user in users {
        text.extend([
            "  - name: ",
            user,
            "\n    shell: /bin/bash\n    sudo: ALL=(ALL) NOPASSWD:ALL\n    ssh_authorized_keys:\n      - ",
            SSH_KEY,
            "\n",
        ]);
    }
    text
}
