//! One certificate in the formats that its readers need: pure.

/// EFI_CERT_X509_GUID (UEFI 2.10, section 32.4.1), in the byte order on disk.
const X509: [u8; 16] =
    [0xa1, 0x59, 0xc0, 0xa5, 0xe4, 0x94, 0xa7, 0x4a, 0x87, 0xb5, 0xab, 0x15, 0x5c, 0x2b, 0xf0, 0x72];

/// The owner of the certificate: an arbitrary GUID, which nothing evaluates.
const OWNER: [u8; 16] = *b"dryrack lab CA\0\0";

/// The path of the certificate in an initial RAM disk of Linux.
const FOLDERS: [&str; 3] = ["etc", "etc/ssl", "etc/ssl/certs"];
const FILE: &str = "etc/ssl/certs/lab-ca.pem";

/// Returns a certificate as a signature list (EFI_SIGNATURE_LIST), the format of EDK2's `TlsCaCertificate`.
pub(super) fn signature_list(der: &[u8]) -> Vec<u8> {
    let signature = 16 + der.len() as u32;
    let mut list = X509.to_vec();
    for number in [28 + signature, 0, signature] {
        list.extend(number.to_le_bytes());
    }
    list.extend(OWNER);
    list.extend(der);
    list
}

/// Returns an initial RAM disk with the certificate, to be appended to another one: a cpio archive (newc).
pub(super) fn initrd(pem: &str) -> Vec<u8> {
    let mut archive = Vec::new();
    for folder in FOLDERS {
        entry(&mut archive, folder, 0o040_755, &[]);
    }
    entry(&mut archive, FILE, 0o100_644, pem.as_bytes());
    entry(&mut archive, "TRAILER!!!", 0, &[]);
    archive
}

fn entry(archive: &mut Vec<u8>, name: &str, mode: u32, content: &[u8]) {
    archive.extend(b"070701");
    let links = 1;
    let size = content.len() as u32;
    let name_size = name.len() as u32 + 1;
    for number in [0, mode, 0, 0, links, 0, size, 0, 0, 0, 0, name_size, 0] {
        archive.extend(format!("{number:08x}").into_bytes());
    }
    archive.extend(name.as_bytes());
    archive.push(0);
    pad(archive);
    archive.extend(content);
    pad(archive);
}

fn pad(archive: &mut Vec<u8>) {
    archive.resize(archive.len().next_multiple_of(4), 0);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_have_one_certificate() {
        let list = signature_list(b"DER");
        assert_eq!(list.len(), 28 + 16 + 3);
        insta::assert_snapshot!(uuid::Uuid::from_slice_le(&list[..16]).unwrap(), @"a5c059a1-94e4-4aa7-87b5-ab155c2bf072");
        assert_eq!(list[16..28], [47, 0, 0, 0, 0, 0, 0, 0, 19, 0, 0, 0]);
        assert_eq!(list[44..], *b"DER");
    }

    #[test]
    fn archives_have_folders_before_what_is_in_them() {
        let archive = initrd("text");
        assert_eq!(archive.len() % 4, 0);
        let text = String::from_utf8(archive).unwrap();
        let entries: Vec<&str> =
            text.split("070701").skip(1).map(|entry| entry[104..].trim_matches('\0')).collect();
        assert_eq!(
            entries,
            ["etc", "etc/ssl", "etc/ssl/certs", "etc/ssl/certs/lab-ca.pem\0\0text", "TRAILER!!!"]
        );
    }
}
