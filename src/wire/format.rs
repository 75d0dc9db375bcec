//! What a file is, by its first bytes.

use crate::event::FileFormat;

/// How many first bytes are looked at: the header of a program of UEFI is behind a stub of DOS.
pub(crate) const HEAD: usize = 1024;

/// Returns what a file is. `head`: its first bytes, all if it has fewer than [`HEAD`].
pub(crate) fn of(head: &[u8]) -> FileFormat {
    let begins = |marks: &[&[u8]]| marks.iter().any(|mark| head.starts_with(mark));
    if head.is_empty() {
        return FileFormat::Empty;
    }
    if begins(&[b"#!ipxe", b"#!gpxe"]) {
        return FileFormat::Script;
    }
    // Documentation/arch/x86/boot.rst of Linux; such a kernel may be a program of UEFI as well.
    if head.get(0x202..0x206) == Some(b"HdrS") {
        return FileFormat::Linux;
    }
    if head.starts_with(b"MZ") {
        return program(head).unwrap_or(FileFormat::Unknown);
    }
    if begins(&[
        b"\x1f\x8b",
        b"\xfd7zXZ\0",
        b"\x28\xb5\x2f\xfd",
        b"BZh",
        b"\x02\x21\x4c\x18",
        b"\x04\x22\x4d\x18",
    ]) {
        return FileFormat::Compressed;
    }
    if begins(&[b"070701", b"070702", b"070707"]) {
        return FileFormat::Cpio;
    }
    if head.starts_with(b"\x7fELF") {
        return FileFormat::Elf;
    }
    let is_text = |byte: &u8| matches!(byte, b'\t' | b'\n' | b'\r' | 0x20..=0x7e | 0x80..);
    match std::str::from_utf8(head) {
        // The last character may be cut.
        Err(error) if error.error_len().is_some() => return FileFormat::Unknown,
        _ if !head.iter().all(is_text) => return FileFormat::Unknown,
        _ => {}
    }
    let text = String::from_utf8_lossy(head).trim_start_matches('\u{feff}').trim_start().to_ascii_lowercase();
    if text.starts_with("<!doctype html") || text.starts_with("<html") {
        FileFormat::Html
    } else {
        FileFormat::Text
    }
}

/// Returns the architecture of a program of UEFI (Microsoft PE and COFF specification, sections 2 and 3.3.1).
fn program(head: &[u8]) -> Option<FileFormat> {
    let offset = head.get(0x3c..0x40)?;
    let offset = u32::from_le_bytes(offset.try_into().ok()?) as usize;
    let header = head.get(offset..offset.checked_add(6)?)?;
    let machine = header.strip_prefix(b"PE\0\0")?;
    match u16::from_le_bytes(machine.try_into().ok()?) {
        0x8664 => Some(FileFormat::PeX64),
        0x014c => Some(FileFormat::PeIa32),
        0xaa64 => Some(FileFormat::PeArm64),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_known_by_their_first_bytes() {
        let mut efi = vec![0; 0x100];
        efi[..2].copy_from_slice(b"MZ");
        efi[0x3c] = 0x80;
        efi[0x80..0x86].copy_from_slice(b"PE\0\0\x64\xaa");
        let mut kernel = vec![0; 0x210];
        kernel[0x202..0x206].copy_from_slice(b"HdrS");
        for (head, content) in [
            (&b""[..], FileFormat::Empty),
            (b"#!ipxe\n", FileFormat::Script),
            (b"\xef\xbb\xbf#!ipxe\n", FileFormat::Text),
            (b"<!DOCTYPE html>\n<title>404", FileFormat::Html),
            (b"404 page not found\n", FileFormat::Text),
            ("käse\n".as_bytes().split_at(2).0, FileFormat::Text),
            (b"\x1f\x8b\x08", FileFormat::Compressed),
            (b"0707010000", FileFormat::Cpio),
            (b"\x7fELF\x02", FileFormat::Elf),
            (b"\xfa\xea\x05\x00", FileFormat::Unknown),
            (b"MZ", FileFormat::Unknown),
            (&efi, FileFormat::PeArm64),
            (&kernel, FileFormat::Linux),
        ] {
            assert_eq!(of(head), content, "{head:?}");
        }
    }
}
