//! The usual dialogues, as data.
//!
//! Sources: PXE 2.1; RFC 2131, 4578, 5970, 8415; EDK2 (`UefiPxeBcDxe`, `HttpBootDxe`); iPXE (`dhcp.c`, `autoboot.c`);
//! SYSLINUX (`pxe.c`); GRUB (`net.c`); U-Boot (`distro_bootcmd`, `pxe_utils.c`); the boot ROM of Raspberry Pis as their
//! documentation describes it.

use super::facts::{Client, Version};

/// A usual dialogue.
#[derive(Debug)]
pub(super) struct Usual {
    /// Whose it is.
    pub(super) name: &'static str,
    /// What comes in it, in this order.
    pub(super) steps: &'static [Step],
}

/// A step of a dialogue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Step {
    /// A router tells of itself, if the machine asked for one.
    Router,
    /// An offer of an address.
    Offer,
    /// A file to boot in one of the replies.
    BootFile,
    /// The assignment of an address.
    Lease,
    /// The file that a reply named.
    Program,
    /// A file whose name contains one of these; there may be several attempts.
    File {
        /// What it is.
        what: &'static str,
        /// Parts of its name.
        names: &'static [&'static str],
    },
    /// A file of this kind, if the machine asks for one.
    FileIfAsked {
        /// What it is.
        what: &'static str,
        /// Parts of its name.
        names: &'static [&'static str],
    },
    /// The DHCP dialogue of iPXE, which begins anew.
    IpxeAsks,
    /// All that is asked from here on is answered, except for what is often absent.
    Rest,
}

/// A client of DHCP, and its usual dialogue.
pub(super) const CLIENTS: &[(Client, Version, Usual)] = &[
    (Client::BiosPxe, Version::V4, Usual { name: "BIOS PXE", steps: PXE }),
    (Client::Pxe, Version::V4, Usual { name: "UEFI PXE over IPv4", steps: PXE }),
    (Client::BiosPxe, Version::V6, Usual { name: "UEFI PXE over IPv6", steps: PXE6 }),
    (Client::Pxe, Version::V6, Usual { name: "UEFI PXE over IPv6", steps: PXE6 }),
    (Client::HttpBoot, Version::V4, Usual { name: "UEFI HTTP boot over IPv4", steps: PXE }),
    (Client::HttpBoot, Version::V6, Usual { name: "UEFI HTTP boot over IPv6", steps: PXE6 }),
    (Client::RaspberryPi, Version::V4, Usual { name: "Raspberry Pi", steps: RASPBERRY_PI }),
    (Client::UBoot, Version::V4, Usual { name: "U-Boot", steps: U_BOOT }),
    (Client::Ipxe, Version::V4, Usual { name: "iPXE", steps: IPXE }),
    (Client::Ipxe, Version::V6, Usual { name: "iPXE over IPv6", steps: PXE6 }),
    (Client::System, Version::V4, Usual { name: "operating system", steps: SYSTEM }),
    (Client::System, Version::V6, Usual { name: "operating system, IPv6", steps: SYSTEM6 }),
];

/// Offers without a boot file are told before that none was taken: EDK2 takes none.
const PXE: &[Step] = &[Step::Offer, Step::BootFile, Step::Lease, Step::Program];
const PXE6: &[Step] = &[Step::Router, Step::Offer, Step::BootFile, Step::Lease, Step::Program];
const IPXE: &[Step] = &[Step::Offer, Step::Lease, Step::BootFile, Step::Program];
const SYSTEM: &[Step] = &[Step::Offer, Step::Lease, Step::Rest];
const SYSTEM6: &[Step] = &[Step::Router, Step::Offer, Step::Lease, Step::Rest];
/// It needs no boot file: its environment may name one.
const U_BOOT: &[Step] = &[
    Step::Offer,
    Step::Lease,
    Step::File {
        what: "a boot script or a configuration",
        names: &[
            "boot.scr",
            ".scr",
            "pxelinux.cfg/",
            "extlinux.conf",
            ".efi",
            ".img",
            "uimage",
            "image",
            ".itb",
        ],
    },
    Step::Rest,
];
/// It takes a reply with "Raspberry Pi Boot" in option 43, and knows itself which files it wants.
const RASPBERRY_PI: &[Step] = &[
    Step::Offer,
    Step::Lease,
    Step::File {
        what: "its firmware",
        names: &["bootcode.bin", "start.elf", "start4.elf", "start4cd.elf", "config.txt"],
    },
    Step::FileIfAsked {
        what: "the rest of its firmware",
        names: &["start.elf", "start4.elf", "start4cd.elf"],
    },
    Step::FileIfAsked { what: "its kernel", names: &["kernel"] },
    Step::Rest,
];

/// A boot program by parts of its name, and what it does once it runs. The first that fits counts.
pub(super) const PROGRAMS: &[(&[&str], Usual)] = &[
    (&["pxelinux", "syslinux.efi", "gpxelinux"], Usual { name: "PXELINUX", steps: PXELINUX }),
    (&["grub", "shim", "bootx64", "bootaa64", "core.0"], Usual { name: "GRUB", steps: GRUB }),
    (&["ipxe", "undionly", "snponly", ".kpxe", ".kkpxe"], Usual { name: "iPXE", steps: &[Step::IpxeAsks] }),
];

const PXELINUX: &[Step] = &[
    Step::FileIfAsked { what: "its core module", names: &["ldlinux."] },
    Step::File { what: "a configuration", names: &["pxelinux.cfg/", "syslinux.cfg"] },
    Step::Rest,
];
const GRUB: &[Step] = &[
    Step::FileIfAsked { what: "its second stage", names: &["grubx64", "grubaa64", "grubia32", "mmx64"] },
    Step::File { what: "a configuration", names: &["grub.cfg"] },
    Step::Rest,
];

/// Files that loaders and systems look for and do without.
pub(super) const OFTEN_ABSENT: &[&str] = &[
    "autoexec.ipxe",
    ".lst",
    "pxelinux.cfg/",
    "grub.cfg-",
    "grubenv",
    "/fonts/",
    ".mo",
    "revocations",
    "ldlinux.e",
    "vendor-data",
    "network-config",
    "/meta-data/",
    "recovery.elf",
    "recover",
    "dt-blob.bin",
    "bootcfg",
    "pieeprom",
    "vl805",
    "overlays/",
    "armstub",
    "cmdline.txt",
    "start.elf",
    "fixup",
    "InRelease",
    ".sig",
    ".asc",
];
