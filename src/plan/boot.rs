//! Network boot of nodes: boot programs, scripts, seeds.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::rc::Rc;

use super::loader::{self, ServedProfile};
use super::{BootPlan, SeedPlan, ServedFile, ServedText};
use crate::event::FileRole;
use crate::lab::{
    Boot, BootDevice, Dhcp, FileRef, Firmware, Lab, LabFile, Loader, Network, Node, Profile, Seed, Via,
};
use crate::name::{Mac, NodeName, ProfileName};

const USER_DATA: &str = "user-data";
const NETWORK_CONFIG: &str = "network-config";

/// Placeholder in seeds and texts for the public SSH key of the run, which no plan contains.
pub const SSH_KEY: &str = "{{ssh-key}}";

/// Returns whether a node's firmware boots from the network.
pub(super) fn boots_from_network(node: &Node) -> bool {
    match &node.boot {
        Boot::Nvram => node.profile.is_some(),
        Boot::Order(devices) => devices.iter().any(|device| match device {
            BootDevice::Network | BootDevice::OneNic(_) => true,
            BootDevice::Disk
            | BootDevice::Cd
            | BootDevice::Usb
            | BootDevice::OneDisk(_)
            | BootDevice::OneCd(_) => false,
        }),
    }
}

/// The network boot of all nodes of a lab, resolved once.
#[derive(Debug)]
pub struct Netboots<'a> {
    pub(super) lab: &'a Lab,
    /// Every profile of the lab.
    pub(super) profiles: BTreeMap<&'a ProfileName, Rc<ServedProfile<'a>>>,
    /// The nodes that boot from the network.
    nodes: BTreeMap<&'a NodeName, Netboot<'a>>,
}

/// The network boot of a node.
#[derive(Debug)]
struct Netboot<'a> {
    /// The node's profile, or one that asks matchbox.
    served: Rc<ServedProfile<'a>>,
    /// Whether the firmware fetches a loader, instead of running the iPXE in its ROM.
    fetches_loader: bool,
}

impl<'a> Netboots<'a> {
    /// Resolves the profile of each node of a lab: its own, or the one that asks matchbox if a network of the node has
    /// it.
    pub fn new(lab: &'a Lab) -> Self {
        let served = |profile| Rc::new(ServedProfile::new(profile));
        let profiles: BTreeMap<_, _> =
            lab.profiles.iter().map(|(name, profile)| (name, served(Cow::Borrowed(profile)))).collect();
        let asking = served(Cow::Owned(Profile::asking()));
        let mut nodes = BTreeMap::new();
        for node in lab.nodes.values().filter(|node| boots_from_network(node)) {
            let mut networks = node.nics.iter().filter_map(|nic| lab.networks.get(&nic.network));
            let served = match &node.profile {
                Some(name) => &profiles[name],
                None if networks.any(|network| network.matchbox.is_some()) => &asking,
                None => continue,
            };
            let fetches_loader = served.profile.loader != Loader::Ipxe
                || !served.profile.programs.is_empty()
                || node.nics.iter().any(|nic| !nic.rom);
            nodes.insert(&node.name, Netboot { served: Rc::clone(served), fetches_loader });
        }
        Self { lab, profiles, nodes }
    }

    /// Returns the boot profile of a node: its own, or one without a kernel that asks matchbox.
    pub(super) fn profile(&self, node: &NodeName) -> Option<&Profile> {
        Some(&self.nodes.get(node)?.served.profile)
    }

    /// Returns whether the profile of a node has its own program for the node's firmware.
    pub(super) fn has_own_program(&self, node: &Node) -> bool {
        let bios = node.firmware == Firmware::Bios;
        self.nodes.get(&node.name).is_some_and(|netboot| netboot.served.has_own_program(bios))
    }

    /// Returns the boot settings for a node's firmware on a network, if the node boots from it.
    pub(super) fn plan(&self, node: &NodeName, network: &Network) -> Option<BootPlan> {
        let Netboot { served, fetches_loader } = self.nodes.get(node)?;
        let profile = &served.profile;
        let server = network.server()?;
        // A node that asks matchbox boots from the networks that have it.
        let script = match (&profile.kernel, loader::matchbox_url(network)) {
            (Some(_), _) => network
                .files_port()
                .map(|port| format!("{}/{}", loader::http_url(server, port), loader::script_path(node))),
            (None, url) => Some(format!("{}/boot.ipxe", url?)),
        };
        // A node with HTTPS boot may be on a network without HTTPS: it does not boot from that one.
        let offers = *fetches_loader && (profile.via != Some(Via::Https) || network.https);
        let by_ipxe = matches!(profile.loader, Loader::Ipxe | Loader::Chainload);
        Some(BootPlan {
            script: script.filter(|_| by_ipxe),
            rom_chains: profile.loader != Loader::Ipxe,
            via: profile.via,
            programs: match offers {
                true => served.programs(),
                false => BTreeMap::new(),
            },
        })
    }

    /// Describes how a node's firmware gets a kernel over the network; `None` if it does not.
    pub fn way(&self, node: &Node) -> Option<String> {
        let Netboot { served, fetches_loader } = self.nodes.get(&node.name)?;
        let bios = node.firmware == Firmware::Bios;
        let firmware = match node.firmware {
            Firmware::Bios => "BIOS",
            Firmware::Uefi => "UEFI",
            Firmware::UefiSecure => "UEFI with Secure Boot",
        };
        let asks = match served.profile.via {
            _ if !fetches_loader => "iPXE in the NIC's ROM",
            None | Some(Via::Pxe) => "PXE",
            Some(Via::Http) => "HTTP Boot",
            Some(Via::Pxe6) => "PXE over IPv6",
            Some(Via::Http6) => "HTTP Boot over IPv6",
            Some(Via::Https) => "HTTP Boot over HTTPS",
        };
        let loads = match served.profile.loader {
            _ if !fetches_loader => "",
            _ if served.has_own_program(bios) => ", custom program",
            Loader::Ipxe | Loader::Chainload if bios => ", undionly.kpxe",
            Loader::Ipxe | Loader::Chainload => ", snponly.efi",
            Loader::Pxelinux => ", PXELINUX",
            Loader::Grub => ", GRUB",
            Loader::Shim => ", shim and GRUB, signed",
            Loader::Kernel => ", no loader",
        };
        let beside = node.nics.iter().all(|nic| self.lab.networks[&nic.network].dhcp == Dhcp::Proxy);
        let beside = if beside { ", beside another DHCP server" } else { "" };
        Some(format!("{firmware}, {asks}{loads}{beside}"))
    }

    /// Returns the files that a network serves: those of its nodes' profiles, loaders if needed, and with HTTPS the CA
    /// certificate.
    pub(super) fn files(&self, network: &Network, nodes: &[&Node]) -> BTreeMap<String, ServedFile> {
        let mut files = BTreeMap::new();
        if network.https {
            for file in [LabFile::CaPem, LabFile::CaDer] {
                let served = ServedFile { source: FileRef::Lab(file), role: FileRole::Certificate };
                files.insert(file.as_str().to_owned(), served);
            }
        }
        // A matchbox group may assign any profile to any machine.
        if network.matchbox.is_some() {
            files.extend(self.profiles.values().flat_map(|served| served.boot_files()));
        }
        for node in nodes {
            if let Some(Netboot { served, fetches_loader }) = self.nodes.get(&node.name) {
                files.extend(served.boot_files());
                if *fetches_loader {
                    files.extend(served.loader_files());
                }
            }
            for (file, path) in seed_copies(node) {
                let served = ServedFile { source: FileRef::Path(path), role: FileRole::Seed };
                files.insert(format!("nocloud/{}/{file}", node.name), served);
            }
        }
        for (path, source) in &network.files {
            let served = ServedFile { source: source.clone(), role: FileRole::File };
            // Generated files take precedence.
            files.entry(path.clone()).or_insert(served);
        }
        files
    }

    /// Returns the texts that a network serves: loader configurations, cloud-init seeds.
    pub(super) fn texts(&self, network: &Network, nodes: &[&Node]) -> BTreeMap<String, ServedText> {
        let mut texts = BTreeMap::new();
        for node in nodes {
            if let Some(Netboot { served, .. }) = self.nodes.get(&node.name) {
                let here = node.nics.iter().filter(|nic| nic.network == network.name);
                let macs: Vec<Mac> = here.map(|nic| nic.mac).collect();
                texts.extend(served.texts(&node.name, &macs, network));
            }
            for (file, body) in seed_texts(node) {
                let path = format!("nocloud/{}/{file}", node.name);
                texts.insert(path, ServedText { body, role: FileRole::Seed });
            }
        }
        texts
    }
}

/// Returns the seed volume of a node that boots with cloud-init from a disk.
pub(super) fn seed(node: &Node) -> Option<SeedPlan> {
    let Seed::NoCloud { volume: true, .. } = &node.seed else {
        return None;
    };
    let path = format!("node/{}/seed.img", node.name).into();
    Some(SeedPlan { node: node.name.clone(), path, files: seed_texts(node), copies: seed_copies(node) })
}

/// Returns the NoCloud files of a node that the user wrote, by name.
fn seed_copies(node: &Node) -> BTreeMap<String, PathBuf> {
    let Seed::NoCloud { user_data, network_config, .. } = &node.seed else {
        return BTreeMap::new();
    };
    let files = [(USER_DATA, user_data), (NETWORK_CONFIG, network_config)];
    files.into_iter().filter_map(|(name, path)| Some((name.to_owned(), path.clone()?))).collect()
}

/// Returns the generated NoCloud files of a node, by name.
fn seed_texts(node: &Node) -> BTreeMap<String, String> {
    let Seed::NoCloud { user_data, users, .. } = &node.seed else {
        return BTreeMap::new();
    };
    // The default user of the system gets the key, whatever the user-data contains.
    let meta =
        format!("instance-id: {}\nlocal-hostname: {}\npublic-keys:\n  - {SSH_KEY}\n", node.uuid, node.name);
    let mut files = BTreeMap::from([("meta-data".to_owned(), meta)]);
    match user_data {
        None => files.insert(USER_DATA.to_owned(), cloud_config_for(users)),
        Some(_) if !users.is_empty() => files.insert("vendor-data".to_owned(), vendor_data_for(users)),
        Some(_) => None,
    };
    files
}

/// Returns vendor-data that gives users the key of the run, beside a user-data file of the lab.
///
/// Its cloud-config creates them early, but is ignored if the user-data has `users` of its own (cloud-init, "Vendor-data").
/// Its script runs at the end of the first boot in any case, and adds what is missing.
fn vendor_data_for(users: &[String]) -> String {
    let part = |kind: &str, body: &str| format!("--dryrack\nContent-Type: text/{kind}\n\n{body}\n");
    let script = format!(
        r#"#!/bin/sh
for user in {}; do
    if ! id -u "$user" >/dev/null 2>&1; then
        useradd -m -s /bin/bash "$user"
        echo "$user ALL=(ALL) NOPASSWD:ALL" >"/etc/sudoers.d/90-dryrack-$(echo "$user" | tr . _)"
    fi
    folder=$(getent passwd "$user" | cut -d: -f6)/.ssh
    if ! grep -qsF '{SSH_KEY}' "$folder/authorized_keys"; then
        mkdir -p -m 700 "$folder"
        echo '{SSH_KEY}' >>"$folder/authorized_keys"
        chmod 600 "$folder/authorized_keys"
        chown -R "$user:" "$folder"
        if command -v restorecon >/dev/null; then restorecon -R "$folder"; fi
    fi
done
"#,
        users.join(" ")
    );
    [
        "MIME-Version: 1.0\nContent-Type: multipart/mixed; boundary=\"dryrack\"\n\n",
        &part("cloud-config", &cloud_config_for(users)),
        &part("x-shellscript", &script),
        "--dryrack--\n",
    ]
    .concat()
}

/// Returns a cloud-config that creates users with the key of the run.
fn cloud_config_for(users: &[String]) -> String {
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
