//! What a netbooting node is told and handed: boot programs, scripts, seeds.

use std::borrow::Cow;
use std::collections::BTreeMap;

use super::{BootPlan, SeedPlan, ServedFile, ServedText, loader, matchbox};
use crate::event::FileRole;
use crate::lab::{
    Boot, BootDevice, Dhcp, FileRef, Firmware, Lab, LabFile, Loader, Network, Node, Profile, Seed, Via,
};
use crate::name::Mac;

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

/// Returns the profile that a node is handed over the network; without one it asks matchbox, where there is that.
pub(super) fn profile<'a>(lab: &'a Lab, node: &Node) -> Option<Cow<'a, Profile>> {
    let asks = || {
        let mut networks = node.nics.iter().filter_map(|nic| lab.networks.get(&nic.network));
        networks.any(|network| network.matchbox.is_some())
    };
    match &node.profile {
        _ if !netboots(node) => None,
        Some(name) => Some(Cow::Borrowed(&lab.profiles[name])),
        None => asks().then(|| Cow::Owned(Profile::asking())),
    }
}

/// Tells whether a node's firmware fetches a loader, rather than run the iPXE of its ROM.
fn fetches_loader(node: &Node, profile: &Profile) -> bool {
    profile.loader != Loader::Ipxe || !profile.programs.is_empty() || node.nics.iter().any(|nic| !nic.rom)
}

/// Returns what a node's firmware is told, if it is handed a profile.
pub(super) fn boot_plan(lab: &Lab, node: &Node, network: &Network) -> Option<BootPlan> {
    let profile = &*profile(lab, node)?;
    let server = network.address.addr();
    // Whoever asks matchbox boots from the networks that have it.
    let script = match (&profile.kernel, matchbox::url(network)) {
        (Some(_), _) => format!("http://{server}/{}", loader::script_path(&node.name)),
        (None, url) => format!("{}/boot.ipxe", url?),
    };
    // Of a node's networks one may do without HTTPS: it does not boot from that one.
    let told = fetches_loader(node, profile) && (profile.via != Some(Via::Https) || network.https);
    let by_ipxe = matches!(profile.loader, Loader::Ipxe | Loader::Chainload);
    Some(BootPlan {
        script: by_ipxe.then_some(script),
        rom_chains: profile.loader != Loader::Ipxe,
        via: profile.via,
        programs: match told {
            true => loader::programs(profile),
            false => BTreeMap::new(),
        },
    })
}

/// Returns how a node's firmware comes to a kernel over the network, as people read it; `None` if it does not.
pub fn way(lab: &Lab, node: &Node) -> Option<String> {
    let profile = &*profile(lab, node)?;
    let bios = node.firmware == Firmware::Bios;
    let firmware = match node.firmware {
        Firmware::Bios => "BIOS",
        Firmware::Uefi => "UEFI",
        Firmware::UefiSecure => "UEFI with Secure Boot",
    };
    let asks = match profile.via {
        _ if !fetches_loader(node, profile) => "iPXE in the NIC's ROM",
        None | Some(Via::Pxe) => "PXE",
        Some(Via::Http) => "HTTP Boot",
        Some(Via::Pxe6) => "PXE over IPv6",
        Some(Via::Http6) => "HTTP Boot over IPv6",
        Some(Via::Https) => "HTTP Boot by HTTPS",
    };
    let loads = match profile.loader {
        _ if !fetches_loader(node, profile) => "",
        _ if loader::own_program(profile, bios).is_some() => ", a program of its own",
        Loader::Ipxe | Loader::Chainload if bios => ", undionly.kpxe",
        Loader::Ipxe | Loader::Chainload => ", snponly.efi",
        Loader::Pxelinux => ", PXELINUX",
        Loader::Grub => ", GRUB",
        Loader::Shim => ", shim and GRUB, signed",
        Loader::Kernel => ", the kernel itself",
    };
    let beside = node.nics.iter().all(|nic| lab.networks[&nic.network].dhcp == Dhcp::Proxy);
    let beside = if beside { ", beside another DHCP server" } else { "" };
    Some(format!("{firmware}, {asks}{loads}{beside}"))
}

/// Returns the files that a network serves: those of the profiles of its nodes, and loaders where they are needed; with
/// HTTPS also whom to believe.
pub(super) fn files(lab: &Lab, network: &Network, nodes: &[&Node]) -> BTreeMap<String, ServedFile> {
    let mut files = BTreeMap::new();
    if network.https {
        for file in [LabFile::CaPem, LabFile::CaDer] {
            let served = ServedFile { source: FileRef::Lab(file), role: FileRole::Certificate };
            files.insert(file.as_str().to_owned(), served);
        }
    }
    // A group of matchbox may hand any profile to any machine.
    if network.matchbox.is_some() {
        files.extend(lab.profiles.values().flat_map(handed));
    }
    for node in nodes {
        if let Some(profile) = profile(lab, node).as_deref() {
            files.extend(handed(profile));
            if fetches_loader(node, profile) {
                files.extend(loader::files(profile));
            }
        }
        if let Seed::NoCloud { user_data: Some(path), .. } = &node.seed {
            let served = ServedFile { source: FileRef::Path(path.clone()), role: FileRole::Seed };
            files.insert(format!("nocloud/{}/{USER_DATA}", node.name), served);
        }
    }
    for (path, source) in &network.files {
        let served = ServedFile { source: source.clone(), role: FileRole::File };
        // What a lab makes of itself comes first.
        files.entry(path.clone()).or_insert(served);
    }
    files
}

/// Returns what a profile boots, by path.
fn handed(profile: &Profile) -> Vec<(String, ServedFile)> {
    let served = |source: &FileRef, role| ServedFile { source: source.clone(), role };
    let kernel =
        profile.kernel.iter().map(|kernel| (loader::kernel_path(profile), served(kernel, FileRole::Kernel)));
    let initrds = profile.initrd.iter().enumerate();
    let initrds = initrds
        .map(|(index, initrd)| (loader::initrd_path(&profile.name, index), served(initrd, FileRole::Initrd)));
    kernel.chain(initrds).collect()
}

/// Returns the texts that a network serves: what loaders read, cloud-init seeds.
pub(super) fn texts(lab: &Lab, nodes: &[&Node], network: &Network) -> BTreeMap<String, ServedText> {
    let mut texts = BTreeMap::new();
    for node in nodes {
        if let Some(profile) = profile(lab, node) {
            let here = node.nics.iter().filter(|nic| nic.network == network.name);
            let macs: Vec<Mac> = here.map(|nic| nic.mac).collect();
            texts.extend(match profile.kernel {
                Some(_) => loader::texts(&node.name, &profile, &macs),
                None => loader::asking_texts(&profile, &macs, network),
            });
        }
        for (file, body) in seed_texts(node) {
            let path = format!("nocloud/{}/{file}", node.name);
            texts.insert(path, ServedText { body, role: FileRole::Seed });
        }
    }
    texts
}

/// Returns the seed volume of a node that boots with cloud-init from a disk.
pub(super) fn seed(node: &Node) -> Option<SeedPlan> {
    let Seed::NoCloud { user_data, users: _, volume: true } = &node.seed else {
        return None;
    };
    let copies = user_data.iter().map(|path| (USER_DATA.to_owned(), path.clone())).collect();
    let path = format!("node/{}/seed.img", node.name).into();
    Some(SeedPlan { node: node.name.clone(), path, files: seed_texts(node), copies })
}

/// Returns the NoCloud files of a node that we write ourselves, by name.
fn seed_texts(node: &Node) -> BTreeMap<String, String> {
    let Seed::NoCloud { user_data, users, volume: _ } = &node.seed else {
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
