//! Where a system came from, by what its firmware said and what the run concludes.
//!
//! The run knows whether a kernel was fetched. Whether another one came from a disk or from a CD is known only if the
//! firmware said so on the console, as SeaBIOS and OVMF do before they hand over.

use crate::bmc::log::Loaded;
use crate::event::{BootedFrom, Known};

/// What a firmware said last that it boots.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Device {
    Cd,
    Other,
}

/// What was seen of the boot of a machine.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct BootWatch {
    /// The device that the firmware took last; one that it could not boot is followed by another.
    taken: Option<Device>,
}

impl BootWatch {
    /// Applies an event; returns where a system came from if the event tells.
    pub(super) fn note(&mut self, known: &Known) -> Option<Loaded> {
        match known {
            // Not at a reset, which is told beside the console, maybe later than the first lines after it.
            Known::PoweredOn {} => self.taken = None,
            Known::ConsoleLine { text } => self.taken = Device::taken(text).or(self.taken),
            Known::Booted { from, .. } => {
                let loaded = self.loaded(*from);
                self.taken = None;
                return Some(loaded);
            }
            _ => {}
        }
        None
    }

    fn loaded(self, from: BootedFrom) -> Loaded {
        match (from, self.taken) {
            (BootedFrom::Network, _) => Loaded::Network,
            (BootedFrom::Disk | BootedFrom::Unknown, Some(Device::Cd)) => Loaded::Cd,
            (BootedFrom::Disk, Some(Device::Other) | None) => Loaded::Disk,
            (BootedFrom::Unknown, Some(Device::Other) | None) => Loaded::Unspecified,
        }
    }
}

impl Device {
    /// Returns the device that a firmware boots, from a line of the console.
    fn taken(line: &str) -> Option<Self> {
        if let Some((_, entry)) = line.split_once("BdsDxe: starting Boot") {
            // The name of an entry begins with the model of its device, such as `UEFI QEMU DVD-ROM QM00003`.
            let name = entry.split('"').nth(1)?;
            let is_cd = ["DVD-ROM", "CD-ROM"].iter().any(|model| name.contains(model));
            return Some(if is_cd { Self::Cd } else { Self::Other });
        }
        match line.trim().strip_prefix("Booting from ")? {
            "DVD/CD..." => Some(Self::Cd),
            "Hard Disk..." | "Floppy..." | "ROM..." => Some(Self::Other),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::PowerCause;

    /// Returns where the system came from that the last event tells of.
    fn check(lines: &[&str], from: BootedFrom) -> Loaded {
        let mut watch = BootWatch::default();
        for line in lines {
            let known = match *line {
                "reset" => Known::Reset { why: PowerCause::Guest },
                line => Known::ConsoleLine { text: line.to_owned() },
            };
            assert_eq!(watch.note(&known), None);
        }
        watch.note(&Known::Booted { from, by: "`Linux version 6.1.0`".to_owned() }).unwrap()
    }

    const DVD: &str = r#"BdsDxe: starting Boot0003 "UEFI QEMU DVD-ROM QM00005 " from PciRoot(0x0)/Pci(0x1F,0x2)/Sata(0x2,0xFFFF,0x0)"#;
    const DISK: &str = r#"BdsDxe: starting Boot0001 "UEFI Misc Device" from PciRoot(0x0)/Pci(0x3,0x0)"#;
    const DEBIAN: &str = r#"BdsDxe: starting Boot0006 "debian" from HD(1,GPT,0B2C)/\EFI\debian\shimx64.efi"#;

    #[test]
    fn a_cd_is_one_if_the_firmware_says_so() {
        use BootedFrom::{Disk, Network, Unknown};
        let bios = ["SeaBIOS (version 1.16.2-debian-1.16.2-1)", "Booting from DVD/CD..."];
        for from in [Disk, Unknown] {
            assert_eq!(check(&bios, from), Loaded::Cd);
            assert_eq!(check(&[DVD], from), Loaded::Cd);
        }
        // A loader on the CD may fetch the kernel.
        assert_eq!(check(&bios, Network), Loaded::Network);
        for disk in ["Booting from Hard Disk...", DISK, DEBIAN] {
            assert_eq!(check(&[disk], Disk), Loaded::Disk);
            assert_eq!(check(&[disk], Unknown), Loaded::Unspecified);
            // The CD was empty.
            assert_eq!(check(&["Booting from DVD/CD...", DVD, "Boot failed: ", disk], Disk), Loaded::Disk);
            // It was booted before.
            assert_eq!(check(&["Booting from DVD/CD...", "reset", disk], Disk), Loaded::Disk);
        }
        // A reset may be told late.
        assert_eq!(check(&["Booting from DVD/CD...", "reset"], Disk), Loaded::Cd);
        // What a loader says of its menu is nothing that a firmware says.
        assert_eq!(
            check(&["Booting from local disk...", "Booting from DVD/CD"], Unknown),
            Loaded::Unspecified
        );
        assert_eq!(check(&["BdsDxe: starting Boot0001"], Disk), Loaded::Disk);
    }
}
