//! Nodes, their NICs and their disks.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, Ipv6Addr};

use super::{Check, Span};
use crate::config::{
    Field, Located, MOST_NODES, RawAddress, RawLink, RawNic, RawNode, RawSeed, RawStart, Text,
};
use crate::diag::{Code, Diagnostic, enumerate};
use crate::lab::{
    Boot, Bus, CdDrive, Check as Checked, Disk, Expectation, Firmware, Loader, Login, Network, Nic, Node,
    Profile, Seed, Start,
};
use crate::name::{Bytes, DiskName, ExpectName, LabName, Mac, NetworkName, NicName, NodeName, ProfileName};

/// The maximum of NICs on a machine's bus.
const MOST_NICS: usize = 32;

/// The maximum of disks on a SCSI bus; other buses have fewer.
const MOST_DISKS: usize = 250;

/// A node whose addresses are not assigned yet.
pub(super) struct Draft<'a> {
    /// The name as written, for messages.
    pub(super) key: &'a str,
    /// The position of the name.
    pub(super) home: &'a Span,
    pub(super) name: NodeName,
    pub(super) raw: &'a RawNode,
    pub(super) nics: Vec<NicDraft<'a>>,
    pub(super) disks: Vec<Disk>,
    pub(super) cds: Vec<CdDrive>,
    pub(super) boot: Boot,
    pub(super) profile: Option<ProfileName>,
}

/// A NIC whose address is not assigned yet.
pub(super) struct NicDraft<'a> {
    pub(super) name: NicName,
    pub(super) home: &'a Span,
    pub(super) raw: Option<&'a RawNic>,
    pub(super) network: Option<NetworkName>,
    pub(super) mac: Option<Mac>,
    pub(super) address: Option<Ipv4Addr>,
    /// Whether the lab file has an invalid address for it.
    pub(super) written: bool,
    pub(super) from_pool: bool,
    pub(super) ipv6: Option<Ipv6Addr>,
}

impl<'a> Check<'a> {
    pub(super) fn nodes(&mut self, networks: &BTreeMap<NetworkName, Network>) -> Vec<Draft<'a>> {
        let raw = self.raw;
        let mut drafts = Vec::new();
        if self.too_many("the lab", &raw.node, MOST_NODES, "nodes") {
            return drafts;
        }
        for (key, node) in &raw.node.entries {
            let name = self.name::<NodeName>(key);
            let Some(node) = node else { continue };
            self.machine(node, &key.value, &key.span);
            let nics = self.nics(node, key);
            let disks = self.disks(name.as_ref(), node, &key.value);
            let cds = self.cds(node, &key.value);
            let profile = node.profile.given().and_then(|word| self.profile_named(&word.value, &word.span));
            let boot = self.boot(node, key);
            // A placeholder keeps a node with an invalid name in the checks that follow.
            let name = name.unwrap_or_else(|| NodeName::new("bad").expect("`bad` is a DNS label"));
            let draft =
                Draft { key: &key.value, home: &key.span, name, raw: node, nics, disks, cds, boot, profile };
            self.can_boot(&draft, networks);
            drafts.push(draft);
        }
        self.macs(&mut drafts, networks);
        self.addresses(&mut drafts, networks);
        self.ipv6_addresses(&mut drafts, networks);
        self.ipv6_boots(&drafts, networks);
        self.https_boots(&drafts, networks);
        self.serials(&drafts);
        self.uuids(&drafts);
        self.client_ids(&drafts);
        drafts
    }

    fn nics(&mut self, raw: &'a RawNode, key: &'a Located<String>) -> Vec<NicDraft<'a>> {
        if raw.nic.bad {
            return Vec::new();
        }
        if raw.nic.entries.is_empty() {
            return self.default_nic(key).into_iter().collect();
        }
        let mut nics = Vec::new();
        if self.too_many(&format!("`{}`", key.value), &raw.nic, MOST_NICS, "NICs") {
            return nics;
        }
        for (nic_key, nic) in &raw.nic.entries {
            let name = self.name::<NicName>(nic_key);
            let Some(nic) = nic else { continue };
            let network = match &nic.network {
                Field::Given(word) => self.network_named(&word.value, &word.span),
                Field::Missing => self.network_named(&nic_key.value, &nic_key.span),
                Field::Bad => None,
            };
            let Some(name) = name else { continue };
            let (address, from_pool) = written(nic.address.value().map(|Text(address)| address));
            nics.push(NicDraft {
                name,
                home: &nic_key.span,
                raw: Some(nic),
                network,
                mac: nic.mac.value().map(|Text(mac)| *mac),
                address,
                written: !nic.address.is_missing(),
                from_pool,
                ipv6: nic.ipv6.value().map(|Text(address)| *address),
            });
        }
        nics
    }

    /// Connects a node without `nic` to the only network.
    fn default_nic(&mut self, key: &'a Located<String>) -> Option<NicDraft<'a>> {
        let networks = &self.raw.network;
        let (network, _) = match networks.entries.as_slice() {
            [one] => one,
            [] => return None,
            [first, ..] => {
                let names = enumerate(networks.names());
                self.report(
                    Diagnostic::new(
                        Code::WhichNetwork,
                        key.span.clone(),
                        format!("`{}` has no `nic`, and the lab has several networks", key.value),
                    )
                    .help(format!("choose one of {names}: nic.{} = {{}}", first.0.value)),
                );
                return None;
            }
        };
        // An invalid name is reported where the network is defined.
        let name = NicName::new(&network.value).ok()?;
        Some(NicDraft {
            mac: None,
            name,
            home: &key.span,
            raw: None,
            network: NetworkName::new(&network.value).ok(),
            address: None,
            written: false,
            from_pool: false,
            ipv6: None,
        })
    }

    fn disks(&mut self, node: Option<&NodeName>, raw: &RawNode, node_key: &str) -> Vec<Disk> {
        let mut disks = Vec::new();
        if self.too_many(&format!("`{node_key}`"), &raw.disk, MOST_DISKS, "disks") {
            return disks;
        }
        for (key, disk) in &raw.disk.entries {
            let name = self.name::<DiskName>(key);
            let Some(disk) = disk else { continue };
            let size =
                self.needed(&disk.size, "size = \"10GiB\"", &key.span).map(|size| (size.value.0, &size.span));
            if let Some((size, span)) = size {
                self.disk_size(size, span);
            }
            let source = disk.source.given().map(|source| self.file(source));
            let serial = disk.serial.given().map(|serial| (self.disk_serial(serial), &serial.value));
            let (Some(name), Some(lab)) = (name, &self.lab) else { continue };
            let serial = match serial {
                Some((_, serial)) => serial.clone(),
                None => derive_serial(lab, &[node.map_or(node_key, NodeName::as_str), name.as_str()]),
            };
            let bus = disk.bus.value().copied().unwrap_or_default();
            // A missing size was reported, so the lab is invalid anyway.
            let size = size.map_or(Bytes(0), |(size, _)| size);
            let keep = disk.keep.value().copied().unwrap_or_default();
            disks.push(Disk { name, size, bus, serial, source: source.flatten(), keep });
        }
        disks
    }

    /// Turns a draft into a node, once its addresses and expectations are known.
    pub(super) fn finish(
        &mut self,
        draft: Draft<'_>,
        profiles: &BTreeMap<ProfileName, Profile>,
        expectations: &BTreeMap<ExpectName, Expectation>,
    ) -> Node {
        let raw = draft.raw;
        let profile = draft.profile.as_ref().and_then(|name| profiles.get(name));
        if let Some(profile) = profile {
            self.loader_runs(raw, profile);
        }
        let rom = rom_by_default(firmware(raw), profile);
        let lab = self.lab.clone();
        let lab = lab.as_ref().map_or("", LabName::as_str);
        let names = [lab, draft.name.as_str()];
        let serial = match raw.serial.given() {
            Some(serial) => self.smbios(serial, "serial number"),
            None => derive_text(&names),
        };
        let asset_tag = match raw.asset_tag.given() {
            Some(asset) => self.smbios(asset, "asset tag"),
            None => draft.name.to_string(),
        };
        Node {
            firmware: firmware(raw),
            machine: raw.machine.value().copied().unwrap_or_default(),
            cpus: raw.cpus.value().and_then(|cpus| u8::try_from(*cpus).ok()).unwrap_or(1),
            memory: memory(raw),
            nics: draft.nics.into_iter().filter_map(|nic| self.finish_nic(nic, rom)).collect(),
            boot: draft.boot,
            profile: draft.profile,
            start: match raw.start.value() {
                Some(RawStart::Manual) => Start::Manual,
                Some(RawStart::After(Field::Given(word))) => {
                    self.starts_after(&draft.name, word, expectations).map_or(Start::Manual, Start::After)
                }
                Some(RawStart::After(Field::Missing | Field::Bad) | RawStart::Auto) | None => Start::WithLab,
            },
            firmware_delays: raw.firmware_delays.value().copied().unwrap_or_default(),
            uuid: uuid(raw, &names),
            serial,
            asset_tag,
            shares: self.shares(raw),
            tpm: raw.tpm.value().copied(),
            qemu: self.qemu_extras(raw),
            seed: self.seed(raw, &draft.name, &draft.disks, expectations),
            disks: draft.disks,
            cds: draft.cds,
            options: self.options(&raw.options),
            // They need the addresses of everybody else.
            bmc: None,
            name: draft.name,
        }
    }

    fn finish_nic(&mut self, draft: NicDraft<'_>, rom: bool) -> Option<Nic> {
        let raw = draft.raw;
        Some(Nic {
            client_id: raw.and_then(|raw| self.client_id(&raw.client_id)),
            name: draft.name,
            network: draft.network?,
            mac: draft.mac?,
            address: draft.address,
            ipv6: draft.ipv6,
            model: raw.and_then(|raw| raw.model.value().copied()).unwrap_or_default(),
            rom: raw.and_then(|raw| raw.rom.value().copied()).unwrap_or(rom),
            link_up: raw.and_then(|raw| raw.link.value()) != Some(&RawLink::Down),
        })
    }

    fn seed(
        &mut self,
        raw: &RawNode,
        node: &NodeName,
        disks: &[Disk],
        expectations: &BTreeMap<ExpectName, Expectation>,
    ) -> Seed {
        let wanted = || {
            let mut users: Vec<String> = Vec::new();
            for expectation in expectations.values().filter(|expectation| expectation.nodes.contains(node)) {
                if let Checked::Probed(check) = &expectation.check
                    && let Some(Login { user, key: None, .. }) = check.login()
                    && !users.contains(user)
                {
                    users.push(user.clone());
                }
            }
            for user in self.users_of_actions(node) {
                if !users.contains(&user) {
                    users.push(user);
                }
            }
            users
        };
        match raw.seed.value() {
            Some(RawSeed::None) => Seed::None,
            Some(RawSeed::Nocloud(settings)) => {
                let settings = settings.value();
                let user_data = settings.and_then(|settings| settings.user_data.given());
                let users = settings.map(|settings| &settings.users).filter(|users| !users.is_missing());
                let users = match users {
                    Some(users) => users
                        .items
                        .iter()
                        .filter(|user| self.user(user))
                        .map(|user| user.value.clone())
                        .collect(),
                    None => wanted(),
                };
                let volume = settings.and_then(|settings| settings.volume.value()).copied().unwrap_or(true);
                let network_config = settings.and_then(|settings| settings.network_config.given());
                Seed::NoCloud {
                    user_data: user_data.and_then(|path| self.path(path)),
                    network_config: network_config.and_then(|path| self.path(path)),
                    users,
                    volume,
                }
            }
            None if disks.iter().any(|disk| disk.source.is_some() && disk.bus != Bus::Usb) => {
                Seed::NoCloud { user_data: None, network_config: None, users: wanted(), volume: true }
            }
            None => Seed::None,
        }
    }

    /// Returns whether a user name is valid, and reports it otherwise.
    pub(super) fn user(&mut self, word: &Located<String>) -> bool {
        let name = &word.value;
        let plain = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
        let good = (1..=32).contains(&name.len()) && name.chars().all(plain) && !name.starts_with('-');
        if !good {
            let what = format!("`{name}` is not a valid user name");
            self.malformed(&word.span, what, "use at most 32 letters, digits, dots, dashes and underscores");
        }
        good
    }
}

/// Returns whether a NIC has a ROM by default. Its iPXE would boot before the firmware's own PXE and HTTP Boot, which
/// some profiles need. A BIOS always needs the ROM.
fn rom_by_default(firmware: Firmware, profile: Option<&Profile>) -> bool {
    firmware == Firmware::Bios
        || profile.is_none_or(|profile| {
            profile.loader == Loader::Ipxe && profile.via.is_none() && profile.programs.is_empty()
        })
}

pub(super) fn firmware(raw: &RawNode) -> Firmware {
    raw.firmware.value().copied().unwrap_or_default()
}

pub(super) fn memory(raw: &RawNode) -> Bytes {
    raw.memory.value().map_or(Bytes::mebi(512), |Text(memory)| *memory)
}

pub(super) fn uuid(raw: &RawNode, names: &[&str]) -> uuid::Uuid {
    /// The UUID namespace of `dryrack.node`. It must never change, or every node would get a new identity.
    const SPACE: uuid::Uuid = uuid::uuid!("0d8e4c52-6f6b-5c0e-8a53-6d1f0b8f3a11");
    raw.uuid
        .value()
        .map_or_else(|| uuid::Uuid::new_v5(&SPACE, names.join("/").as_bytes()), |Text(uuid)| *uuid)
}

fn derive_serial(lab: &LabName, of: &[&str]) -> String {
    let mut names = vec![lab.as_str()];
    names.extend(of);
    derive_text(&names)
}

/// Derives a serial number that is short enough for every kind of disk.
fn derive_text(of: &[&str]) -> String {
    let digest = crate::name::digest("serial", of);
    let hex: String = digest[..6].iter().map(|byte| format!("{byte:02X}")).collect();
    format!("DR{hex}")
}

/// Returns the address of a NIC as written.
fn written(address: Option<&RawAddress>) -> (Option<Ipv4Addr>, bool) {
    match address {
        Some(RawAddress::Fixed(address)) => (Some(*address), false),
        Some(RawAddress::Pool) => (None, true),
        None => (None, false),
    }
}
