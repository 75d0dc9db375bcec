//! The boot order of a node, and whether the node can boot.

use std::collections::BTreeMap;

use super::Check;
use super::node::{Draft, firmware};
use crate::config::{Field, Located, RawBoot, RawDisk, RawNic, RawNode};
use crate::diag::{Code, Diagnostic, HELPED, enumerate, nearest};
use crate::lab::{Boot, BootDevice, Bus, Firmware, Loader, Network, Profile, Via};
use crate::name::{DiskName, NetworkName, NicName};

impl Check<'_> {
    pub(super) fn boot(&mut self, raw: &RawNode, key: &Located<String>) -> Boot {
        match raw.boot.given() {
            None => {
                let (sticks, disks) =
                    (raw.disk.entries.iter()).partition::<Vec<_>, _>(|entry| is_stick(entry));
                let given = [
                    (!disks.is_empty(), BootDevice::Disk),
                    (!raw.cd.entries.is_empty(), BootDevice::Cd),
                    (!sticks.is_empty(), BootDevice::Usb),
                    (true, BootDevice::Network),
                ];
                Boot::Order(given.into_iter().filter_map(|(has, device)| has.then_some(device)).collect())
            }
            Some(Located { value: RawBoot::Nvram, span }) => {
                if firmware(raw) == Firmware::Bios && !matches!(raw.firmware, Field::Bad) {
                    self.report(
                        Diagnostic::new(
                            Code::NvramNeedsUefi,
                            span.clone(),
                            format!("`{}` has a BIOS, which stores no boot order", key.value),
                        )
                        .help("add firmware = \"uefi\", or set an order such as [\"disk\", \"network\"]"),
                    );
                }
                Boot::Nvram
            }
            Some(Located { value: RawBoot::Order(list), .. }) => {
                Boot::Order(list.items.iter().filter_map(|word| self.device(raw, &key.value, word)).collect())
            }
        }
    }

    fn device(&mut self, raw: &RawNode, node: &str, word: &Located<String>) -> Option<BootDevice> {
        let (known, bad): (Vec<&str>, bool) = match word.value.split_once('.') {
            None if word.value == "disk" => return Some(BootDevice::Disk),
            None if word.value == "network" => return Some(BootDevice::Network),
            None if word.value == "cd" => return Some(BootDevice::Cd),
            None if word.value == "usb" => return Some(BootDevice::Usb),
            Some(("cd", name)) if raw.cd.names().any(|known| known == name) => {
                return DiskName::new(name).ok().map(BootDevice::OneCd);
            }
            Some(("disk", name)) if raw.disk.names().any(|known| known == name) => {
                return DiskName::new(name).ok().map(BootDevice::OneDisk);
            }
            Some(("nic", name)) if raw.nic.names().any(|known| known == name) => {
                return NicName::new(name).ok().map(BootDevice::OneNic);
            }
            // The default NIC can be named as well.
            Some(("nic", name)) if raw.nic.entries.is_empty() && self.raw.network.names().eq([name]) => {
                return NicName::new(name).ok().map(BootDevice::OneNic);
            }
            Some(("disk", _)) => (raw.disk.names().collect(), raw.disk.bad),
            Some(("cd", _)) => (raw.cd.names().collect(), raw.cd.bad),
            Some(("nic", _)) => (raw.nic.names().collect(), raw.nic.bad),
            _ => (Vec::new(), false),
        };
        if !bad {
            let kind = word.value.split_once('.').map_or("", |(kind, _)| kind);
            let mut all: Vec<String> = vec!["disk".into(), "cd".into(), "usb".into(), "network".into()];
            all.extend(raw.disk.names().map(|name| format!("disk.{name}")));
            all.extend(raw.cd.names().map(|name| format!("cd.{name}")));
            match raw.nic.entries.is_empty() {
                true => all.extend(self.raw.network.names().map(|name| format!("nic.{name}"))),
                false => all.extend(raw.nic.names().map(|name| format!("nic.{name}"))),
            }
            let all = all.iter().map(String::as_str);
            let meant = (self.found.len() < HELPED).then(|| nearest(&word.value, all.clone())).flatten();
            let help = match meant {
                Some(meant) => format!("did you mean \"{meant}\"?"),
                None if !known.is_empty() => {
                    let names: Vec<_> = known.iter().map(|name| format!("{kind}.{name}")).collect();
                    format!("it has {}", enumerate(names.iter().map(String::as_str)))
                }
                None => format!("expected one of {}", enumerate(all)),
            };
            self.report(
                Diagnostic::new(
                    Code::UnknownBootDevice,
                    word.span.clone(),
                    format!("`{node}` has no `{}` to boot from", word.value),
                )
                .help(help),
            );
        }
        None
    }

    /// Reports a profile with a loader, or a way to fetch it, that a node's firmware does not support.
    pub(super) fn loader_runs(&mut self, raw: &RawNode, profile: &Profile) {
        let Some(position) = raw.profile.span() else { return };
        if matches!(raw.firmware, Field::Bad) {
            return;
        }
        let bios = firmware(raw) == Firmware::Bios;
        let what = match (profile.loader, profile.via, bios) {
            (Loader::Shim | Loader::Kernel, _, true) => "a BIOS cannot run EFI programs",
            (_, Some(Via::Http | Via::Http6 | Via::Https), true) => "a BIOS does not support HTTP Boot",
            (_, Some(Via::Pxe6), true) => "a BIOS does not support netboot over IPv6",
            (Loader::Pxelinux, _, false) => "PXELINUX runs on BIOS only",
            _ => return,
        };
        let help = match bios {
            true => {
                "give the node firmware = \"uefi\", or a profile with loader = \"ipxe\", \"grub\" or \"pxelinux\""
            }
            false => "give the node a profile with loader = \"ipxe\", \"grub\" or \"shim\"",
        };
        self.report(Diagnostic::new(Code::LoaderFirmware, position.clone(), what).help(help));
    }

    /// Reports nodes that netboot over HTTPS on networks without it.
    pub(super) fn https_boots(&mut self, drafts: &[Draft<'_>], networks: &BTreeMap<NetworkName, Network>) {
        for Draft { key, raw, nics, profile, .. } in drafts {
            let profile = profile.as_ref().and_then(|name| self.raw.profile.get(name.as_str())?.1.as_ref());
            let by_https = profile.and_then(|profile| profile.via.value()) == Some(&Via::Https);
            let (true, Some(span)) = (by_https && firmware(raw) != Firmware::Bios, raw.profile.span()) else {
                continue;
            };
            let on: Option<Vec<&Network>> =
                nics.iter().map(|nic| networks.get(nic.network.as_ref()?)).collect();
            // An invalid network is reported elsewhere.
            let Some([first, ..]) = on.as_deref() else { continue };
            if !on.iter().flatten().any(|network| network.https) {
                let what = format!("`{key}` netboots over HTTPS, but none of its networks has HTTPS");
                let help = format!("add network.{}.https = true", first.name);
                self.report(Diagnostic::new(Code::NoHttps, span.clone(), what).help(help));
            }
        }
    }

    /// Reports nodes that cannot boot.
    pub(super) fn can_boot(&mut self, draft: &Draft<'_>, networks: &BTreeMap<NetworkName, Network>) {
        let Boot::Order(order) = &draft.boot else { return };
        let raw = draft.raw;
        // After other errors, nothing is certain.
        let complete = match raw.boot.given() {
            Some(Located { value: RawBoot::Order(list), .. }) => !list.bad && list.items.len() == order.len(),
            _ => raw.boot.is_missing(),
        };
        if !complete || raw.disk.bad || raw.cd.bad || raw.nic.bad || self.raw.network.bad {
            return;
        }
        let span = raw.boot.span().unwrap_or(draft.home);
        let is_local = |device: &BootDevice| match device {
            BootDevice::Disk
            | BootDevice::Cd
            | BootDevice::Usb
            | BootDevice::OneDisk(_)
            | BootDevice::OneCd(_) => true,
            BootDevice::Network | BootDevice::OneNic(_) => false,
        };
        let disks = order.iter().any(is_local);
        let from_net = |device: &BootDevice| matches!(device, BootDevice::Network | BootDevice::OneNic(_));
        let network = order.iter().any(from_net);
        let has_nic = !raw.nic.entries.is_empty() || !self.raw.network.entries.is_empty();
        let has_disk = order.iter().any(|device| match device {
            BootDevice::Disk => raw.disk.entries.iter().any(|entry| !is_stick(entry)),
            BootDevice::Usb => raw.disk.entries.iter().any(is_stick),
            BootDevice::Cd => !raw.cd.entries.is_empty(),
            BootDevice::OneDisk(_) | BootDevice::OneCd(_) => true,
            BootDevice::Network | BootDevice::OneNic(_) => false,
        });
        // SeaBIOS has no network boot of its own: the ROM on a NIC does it.
        let has_rom = firmware(raw) != Firmware::Bios
            || matches!(raw.firmware, Field::Bad)
            || raw.nic.entries.is_empty()
            || order.iter().any(|device| match device {
                BootDevice::Network => raw.nic.entries.iter().any(|(_, nic)| rom(nic.as_ref())),
                BootDevice::OneNic(name) => {
                    raw.nic.entries.iter().any(|(key, nic)| key.value == name.as_str() && rom(nic.as_ref()))
                }
                BootDevice::Disk
                | BootDevice::Cd
                | BootDevice::Usb
                | BootDevice::OneDisk(_)
                | BootDevice::OneCd(_) => false,
            });
        if !(disks && has_disk || network && has_nic && has_rom) {
            let what = format!("`{}` has nothing to boot from", draft.key);
            let help = match (disks, network, has_nic) {
                (false, false, _) => "set a boot order, such as [\"disk\", \"network\"]",
                (true, false, _) if !raw.disk.entries.is_empty() || !raw.cd.entries.is_empty() => {
                    "its boot order names no drive that it has: `disk` means disks, `usb` USB sticks, `cd` CD drives"
                }
                (true, false, _) => {
                    "it boots from disk but has none: add disk.root = { size = \"10GiB\", source = \"…\" }"
                }
                (_, true, true) => {
                    "a BIOS needs the ROM of a NIC to boot from the network: remove rom = false"
                }
                (_, true, false) => "it boots from the network but the lab has none: add [network.lan]",
            };
            self.report(Diagnostic::new(Code::NothingToBoot, span.clone(), what).help(help));
            return;
        }
        if raw.profile.is_missing() {
            let ours = |network: &Network| network.leases().is_some() && network.matchbox.is_none();
            let known: Option<Vec<_>> =
                draft.nics.iter().map(|nic| networks.get(nic.network.as_ref()?)).collect();
            let alone = known.is_some_and(|networks| networks.iter().all(|network| ours(network)));
            if order.first().is_some_and(from_net) && !disks && alone {
                self.report(
                    Diagnostic::new(
                        Code::NoProfile,
                        span.clone(),
                        format!("`{}` boots from the network but has no profile", draft.key),
                    )
                    .help(match self.raw.profile.names().next() {
                        Some(name) => {
                            format!("give it a profile, such as profile = \"{name}\", or a disk to boot from")
                        }
                        None => "give it a `profile`, or a disk to boot from".into(),
                    }),
                );
            }
        } else if let Some(profile) = raw.profile.given().filter(|_| !network) {
            let diagnostic = Diagnostic::new(
                Code::ProfileUnused,
                profile.span.clone(),
                format!("`{}` never boots from the network, so its profile is never used", draft.key),
            )
            .help("add \"network\" to its boot order, or remove the profile");
            self.report(match raw.boot.span() {
                Some(position) => diagnostic.related(position.clone(), "its boot order"),
                None => diagnostic,
            });
        }
    }
}

/// Returns whether a disk is a USB stick.
pub(super) fn is_stick((_, disk): &(Located<String>, Option<RawDisk>)) -> bool {
    disk.as_ref().is_some_and(|disk| disk.bus.value() == Some(&Bus::Usb))
}

/// Returns whether a NIC may have a ROM; an invalid value counts as unknown.
fn rom(nic: Option<&RawNic>) -> bool {
    nic.is_none_or(|nic| nic.rom.value() != Some(&false))
}
