//! Scripts for boot loaders. Nothing is quoted or escaped: profiles are written for their loader.

use super::super::model::NetBoot;

/// Writes an iPXE script.
pub(super) fn ipxe(boot: &NetBoot) -> String {
    let NetBoot { kernel, initrd, args } = boot;
    let mut text = format!("#!ipxe\nkernel {kernel}");
    for arg in args {
        text.extend([" ", arg]);
    }
    for initrd in initrd {
        text.extend(["\ninitrd ", initrd]);
    }
    text + "\nboot\n"
}

/// Writes a GRUB menu, first for UEFI, then for BIOS.
pub(super) fn grub(boot: &NetBoot) -> String {
    let mut text = "default=0\nfallback=1\ntimeout=1\n".to_owned();
    for (title, suffix) in [("EFI", "efi"), ("BIOS", "")] {
        let NetBoot { kernel, initrd, args } = boot;
        text.extend(["menuentry \"CoreOS (", title, ")\" {\necho \"Loading kernel\"\nlinux", suffix]);
        text.extend([" \"", kernel, "\""]);
        for arg in args {
            text.extend([" ", arg]);
        }
        text.extend(["\necho \"Loading initrd\"\ninitrd", suffix, " "]);
        for initrd in initrd {
            text.extend([" \"", initrd, "\""]);
        }
        text.push_str("\n}\n");
    }
    text
}
