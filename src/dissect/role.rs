//! The role of a file for the machine that fetches it, from its first bytes and its name.

use crate::event::FileRole;

/// How many first bytes are looked at: the marks of a Linux kernel are within the second block of 512.
pub(super) const HEAD: usize = 1024;

/// Where a kernel for x86 has its mark (Documentation/arch/x86/boot.rst).
const X86_MARK: std::ops::Range<usize> = 0x202..0x206;
/// Where the images of kernels for Arm and RISC-V have theirs (Documentation/arch/arm64/booting.rst).
const IMAGE_MARK: std::ops::Range<usize> = 0x38..0x3c;
/// Where kernels for EFI that unpack themselves have theirs.
const ZIMAGE_MARK: std::ops::Range<usize> = 4..8;
/// Where 32-bit Arm has it.
const ARM_MARK: std::ops::Range<usize> = 0x24..0x28;

/// Returns the role of a file. `path` is its path or that of a URL, `head` its first bytes.
pub(super) fn of(path: &str, head: &[u8]) -> FileRole {
    let path = path.split(['?', '#']).next().unwrap_or_default().to_ascii_lowercase();
    let name = path.rsplit('/').next().unwrap_or_default();
    let named = |parts: &[&str]| parts.iter().any(|part| name.contains(part));
    let ends = |ends: &[&str]| ends.iter().any(|end| name.ends_with(end));
    let at = |range: std::ops::Range<usize>, mark: &[u8]| head.get(range) == Some(mark);
    let begins = |mark: &[u8]| head.starts_with(mark);
    let is_initrd = named(&["initr", "ramdisk", "rootfs", "root.img", "rescue.img", "modloop", ".cpio"]);
    let is_kernel =
        named(&["vmlinu", "linux", "kernel", "bzimage", "zimage"]) || matches!(name, "image" | "vmlinuz");

    if ends(&[".sig", ".asc", ".sign", ".gpg"]) || begins(b"-----BEGIN PGP SIGNATURE") {
        return FileRole::Signature;
    }
    if begins(b"-----BEGIN CERTIFICATE") || ends(&[".crt", ".cer", ".der"]) {
        return FileRole::Certificate;
    }
    if begins(b"#!ipxe") || begins(b"#!gpxe") {
        return FileRole::Script;
    }
    // iPXE and memtest have the mark, too, so that other loaders can start them.
    let is_x86 = at(X86_MARK, b"HdrS") && !ends(&[".lkrn"]) && !named(&["memtest"]);
    let is_image = at(IMAGE_MARK, b"ARM\x64") || at(IMAGE_MARK, b"RSC\x05") || at(ZIMAGE_MARK, b"zimg");
    let is_unified = head.windows(6).any(|name| name == b".linux");
    if is_x86 || is_image || is_unified || at(ARM_MARK, b"\x18\x28\x6f\x01") {
        return FileRole::Kernel;
    }
    if begins(b"MZ") {
        return FileRole::Loader;
    }
    if begins(b"\x7fELF") {
        return if is_kernel && !ends(&[".c32", ".mod"]) { FileRole::Kernel } else { FileRole::Loader };
    }
    if is_archive(head) {
        return match (is_initrd, is_kernel) {
            (true, _) => FileRole::Initrd,
            (false, true) => FileRole::Kernel,
            // Other archives are data of an operating system or an installer.
            (false, false)
                if begins(b"0707")
                    || ends(&[".img", ".gz", ".xz", ".lz", ".zst"]) && !named(&[".tar", ".raw", "disk"]) =>
            {
                FileRole::Initrd
            }
            (false, false) => FileRole::File,
        };
    }
    if is_seed(&path, name, head) {
        return FileRole::Seed;
    }
    if ends(&[".ipxe", ".cfg", ".conf", ".pxe.txt"]) || path.contains("pxelinux.cfg/") || is_menu(head) {
        return FileRole::Script;
    }
    // Bootstraps of BIOS machines have no mark.
    let is_part = path.contains("grub/") && ends(&[".mod", ".lst", ".pf2", ".img"]);
    if ends(&[
        ".0", ".kpxe", ".kkpxe", ".pxe", ".efi", ".c32", ".lkrn", ".i386", ".bios", ".bs", ".dtb", ".bin",
    ]) || is_part
    {
        return FileRole::Loader;
    }
    if is_initrd {
        return FileRole::Initrd;
    }
    if is_kernel && !ends(&[".iso", ".txt", ".tar", ".deb", ".rpm"]) {
        return FileRole::Kernel;
    }
    FileRole::File
}

/// Tells whether a file is an archive of cpio, or compressed.
fn is_archive(head: &[u8]) -> bool {
    const MARKS: &[&[u8]] = &[
        b"\x1f\x8b",
        b"\xfd7zXZ\0",
        b"\x28\xb5\x2f\xfd",
        b"070701",
        b"070702",
        b"070707",
        b"BZh",
        b"\x5d\0\0",
        b"\x02\x21\x4c\x18",
        b"\x04\x22\x4d\x18",
        b"LZIP",
    ];
    MARKS.iter().any(|mark| head.starts_with(mark))
}

/// Tells whether a file configures an operating system or an installer.
fn is_seed(path: &str, name: &str, head: &[u8]) -> bool {
    const NAMES: &[&str] =
        &["user-data", "meta-data", "vendor-data", "network-config", "ks.cfg", "autoinst.xml"];
    const ENDS: &[&str] = &[".ign", ".ks", ".preseed", "preseed.cfg", ".butane"];
    let is_ignition = head.starts_with(b"{") && contains(head, b"\"ignition\"");
    is_ignition
        || head.starts_with(b"#cloud-config")
        || head.starts_with(b"#cloud-boothook")
        || (head.starts_with(b"Content-Type: multipart") && contains(head, b"cloud"))
        || NAMES.contains(&name)
        || ENDS.iter().any(|end| name.ends_with(end))
        || path.ends_with("/ignition")
}

/// Tells whether a text is the menu of a loader.
fn is_menu(head: &[u8]) -> bool {
    std::str::from_utf8(&head[..head.len().min(512)]).is_ok_and(|text| {
        text.lines().any(|line| {
            let line = line.trim_start().to_ascii_lowercase();
            line.starts_with("menuentry ") || line.starts_with("default ") || line.starts_with("label ")
        })
    })
}

fn contains(bytes: &[u8], wanted: &[u8]) -> bool {
    bytes.windows(wanted.len()).any(|window| window == wanted)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head(marks: &[(usize, &[u8])]) -> Vec<u8> {
        let mut head = vec![0; HEAD];
        for (at, mark) in marks {
            head[*at..*at + mark.len()].copy_from_slice(mark);
        }
        head
    }

    #[test]
    fn content_decides_and_names_help() {
        for (path, head, role) in [
            ("/x/anything", head(&[(0, b"MZ"), (0x202, b"HdrS")]), FileRole::Kernel),
            ("bzImage", head(&[(0x202, b"HdrS")]), FileRole::Kernel),
            ("Image", head(&[(0, b"MZ"), (0x38, b"ARM\x64")]), FileRole::Kernel),
            ("linux.efi", head(&[(0, b"MZ\0\0zimg")]), FileRole::Kernel),
            ("uki", head(&[(0, b"MZ"), (0x200, b".linux\0\0")]), FileRole::Kernel),
            ("vmlinuz", b"\x1f\x8b\x08".to_vec(), FileRole::Kernel),
            ("grubx64.efi", head(&[(0, b"MZ")]), FileRole::Loader),
            ("undionly.kpxe", head(&[]), FileRole::Loader),
            ("pxelinux.0", head(&[]), FileRole::Loader),
            ("ldlinux.c32", head(&[(0, b"\x7fELF")]), FileRole::Loader),
            ("boot/grub/x86_64-efi/normal.mod", head(&[(0, b"\x7fELF")]), FileRole::Loader),
            ("initrd.gz", b"\x1f\x8b\x08".to_vec(), FileRole::Initrd),
            ("casper/initrd", b"070701".to_vec(), FileRole::Initrd),
            ("flatcar_production_pxe_image.cpio.gz", b"\x1f\x8b\x08".to_vec(), FileRole::Initrd),
            ("disk.raw.xz", b"\xfd7zXZ\0".to_vec(), FileRole::File),
            ("/boot?mac=1", b"#!ipxe\nboot".to_vec(), FileRole::Script),
            ("pxelinux.cfg/01-52-54-00", b"DEFAULT linux\n".to_vec(), FileRole::Script),
            ("pxelinux.cfg/default", b"# nothing\n".to_vec(), FileRole::Script),
            ("grub/grub.cfg", b"menuentry 'a' {".to_vec(), FileRole::Script),
            ("/ignition?os=x", b"{\"ignition\":{}}".to_vec(), FileRole::Seed),
            ("/user-data", b"#cloud-config\n".to_vec(), FileRole::Seed),
            ("/a.sig", b"x".to_vec(), FileRole::Signature),
            ("/ca.pem", b"-----BEGIN CERTIFICATE-----".to_vec(), FileRole::Certificate),
            ("/index.html", b"<html>".to_vec(), FileRole::File),
            ("", Vec::new(), FileRole::File),
        ] {
            assert_eq!(of(path, &head), role, "{path}");
        }
    }
}
