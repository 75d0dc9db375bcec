//! Reads the partition table from the first sectors of a disk, and whether a firmware can start from it.
//!
//! Pure: takes bytes, returns text.

use std::io::Cursor;

use gpt::disk::LogicalBlockSize;
use gpt::header::{HeaderError, read_header_from_arbitrary_device};
use gpt::partition::file_read_partitions;
use gpt::partition_types;

use crate::lab::{Firmware, TableKind};

/// Bytes of a sector.
pub const SECTOR: u64 = 512;
/// The size of the partition tables at the start of a disk: MBR, GPT header, 128 entries.
pub const HEAD: u32 = 34 * 512;

/// Bytes of a GPT entry; no program writes any other size.
const ENTRY: u32 = 128;
/// MBR partition type: a GPT follows.
const PROTECTIVE: u8 = 0xee;
/// MBR partition type: an EFI system partition.
const EFI: u8 = 0xef;

/// The purpose of a partition, as far as it matters for booting.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// EFI system partition.
    Esp,
    /// BIOS boot partition, with the core of GRUB.
    BiosBoot,
    /// Marked as active.
    Active,
    /// Anything else.
    Other,
}

/// One partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Partition {
    /// Its first sector.
    pub first: u64,
    /// Its last sector.
    pub last: u64,
    /// Its purpose.
    pub role: Role,
}

/// The partition table of a disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Layout {
    /// Its kind.
    pub table: TableKind,
    /// Whether the first sector contains boot code.
    pub boot_code: bool,
    /// Whether that is GRUB's, which loads the rest from behind it and needs no active partition.
    pub is_grub: bool,
    /// Its partitions.
    pub partitions: Vec<Partition>,
}

/// Reads the partition table of a disk, or returns as text why there is none.
pub fn layout(head: &[u8], size: u64) -> Result<Layout, String> {
    let Some(sector) = head.get(..512) else { return Err("smaller than a sector".to_owned()) };
    if head.iter().all(|byte| *byte == 0) {
        return Err("blank: no partition table".to_owned());
    }
    if sector[510..] != [0x55, 0xaa] {
        return Err("no partition table: its first sector is not signed".to_owned());
    }
    let boot_code = sector[..440].iter().any(|byte| *byte != 0);
    // Its messages are in the sector.
    let is_grub = sector[..440].windows(5).any(|text| text == b"GRUB ");
    let entries = sector[446..510].chunks_exact(16);
    if entries.clone().any(|entry| entry[4] == PROTECTIVE) {
        let partitions = gpt(head, size / SECTOR)?;
        return Ok(Layout { table: TableKind::Gpt, boot_code, is_grub, partitions });
    }
    let partitions = entries.filter(|entry| entry[4] != 0).map(|entry| {
        let (first, count) = (u64::from(le32(entry, 8)), u64::from(le32(entry, 12)));
        let role = match entry[4] {
            EFI => Role::Esp,
            _ if entry[0] == 0x80 => Role::Active,
            _ => Role::Other,
        };
        Partition { first, last: (first + count).saturating_sub(1), role }
    });
    Ok(Layout { table: TableKind::Mbr, boot_code, is_grub, partitions: partitions.collect() })
}

fn gpt(head: &[u8], sectors: u64) -> Result<Vec<Partition>, String> {
    let broken = |what: &str| format!("broken GPT: {what}");
    let mut head = Cursor::new(head);
    let header = read_header_from_arbitrary_device(&mut head, LogicalBlockSize::Lb512);
    let header = header.map_err(|error| match error {
        HeaderError::InvalidGptSignature => broken("a protective MBR, but no header"),
        HeaderError::InvalidCRC32Checksum => broken("the checksum of its header is wrong"),
        other => broken(&other.to_string()),
    })?;
    let entries = u64::from(header.num_parts) * u64::from(ENTRY);
    let end = header.part_start.checked_mul(SECTOR).and_then(|start| start.checked_add(entries));
    // The library trusts the header's size and number of entries.
    if header.part_size != ENTRY || end.is_none_or(|end| end > head.get_ref().len() as u64) {
        return Err(broken("its entries lie elsewhere"));
    }
    let partitions = file_read_partitions(&mut head, &header, LogicalBlockSize::Lb512)
        .map_err(|_| broken("the checksum of its entries is wrong"))?;
    if header.backup_lba >= sectors {
        return Err(broken("its copy lies behind the end of the disk"));
    }
    let used = partitions.into_values().filter(gpt::partition::Partition::is_used);
    let partitions = used.map(|partition| {
        let role = match partition.part_type_guid {
            partition_types::EFI => Role::Esp,
            partition_types::BIOS => Role::BiosBoot,
            _ => Role::Other,
        };
        Partition { first: partition.first_lba, last: partition.last_lba, role }
    });
    Ok(partitions.collect())
}

impl Layout {
    /// Returns the partition that a firmware starts from; its first sector is the argument of [`Layout::bootable`].
    pub fn starts_from(&self, firmware: Firmware) -> Option<Partition> {
        let wanted: &[Role] = match (firmware, self.table) {
            (Firmware::Uefi | Firmware::UefiSecure, _) => &[Role::Esp],
            (Firmware::Bios, TableKind::Gpt) => &[Role::BiosBoot],
            (Firmware::Bios, TableKind::Mbr) => &[Role::Active],
        };
        self.partitions.iter().copied().find(|partition| wanted.contains(&partition.role))
    }

    /// Returns what a firmware finds, or as text what is missing. `first` is the first sector of
    /// [`Layout::starts_from`], if any.
    pub fn bootable(&self, firmware: Firmware, first: Option<&[u8]>) -> Result<String, String> {
        let so_far = self.words();
        let filled = first.map(|sector| sector.iter().any(|byte| *byte != 0));
        let missing = match (firmware, self.table, filled) {
            (Firmware::Uefi | Firmware::UefiSecure, _, None) => Some("no EFI system partition"),
            (Firmware::Uefi | Firmware::UefiSecure, _, Some(_)) if !first.is_some_and(is_file_system) => {
                Some("the EFI system partition holds no FAT file system")
            }
            (Firmware::Uefi | Firmware::UefiSecure, _, Some(_)) => None,
            (Firmware::Bios, _, _) if !self.boot_code => Some("no program in the first sector"),
            (Firmware::Bios, TableKind::Gpt, None) => Some("no BIOS boot partition"),
            (Firmware::Bios, TableKind::Gpt, Some(false)) => Some("the BIOS boot partition is empty"),
            (Firmware::Bios, TableKind::Mbr, _) if self.is_grub => None,
            (Firmware::Bios, TableKind::Mbr, None) => Some("no active partition"),
            (Firmware::Bios, TableKind::Mbr, Some(false)) => Some("the active partition is empty"),
            (Firmware::Bios, _, Some(true)) => None,
        };
        match missing {
            Some(missing) => Err(format!("{so_far}, but {missing}")),
            None => Ok(so_far),
        }
    }

    fn words(&self) -> String {
        let table = match self.table {
            TableKind::Gpt => "GPT",
            TableKind::Mbr => "MBR",
        };
        let roles = self.partitions.iter().filter_map(|partition| match partition.role {
            Role::Esp => Some("EFI system"),
            Role::BiosBoot => Some("BIOS boot"),
            Role::Active => Some("active"),
            Role::Other => None,
        });
        let roles: Vec<_> = roles.collect();
        let roles = if roles.is_empty() { String::new() } else { format!(" ({})", roles.join(", ")) };
        let count = self.partitions.len();
        format!("{table} with {count} partition{}{roles}", if count == 1 { "" } else { "s" })
    }
}

/// Tells whether a sector is the start of a FAT file system.
fn is_file_system(sector: &[u8]) -> bool {
    sector.get(510..512) == Some(&[0x55, 0xaa])
        && (sector.get(54..57) == Some(b"FAT") || sector.get(82..85) == Some(b"FAT"))
}

fn le32(bytes: &[u8], at: usize) -> u32 {
    bytes.get(at..at + 4).and_then(|bytes| bytes.try_into().ok()).map_or(0, u32::from_le_bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SIZE: u64 = 1 << 30;
    /// `C12A7328-F81F-11D2-BA4B-00A0C93EC93B`, in the byte order on disk.
    const ESP: [u8; 16] =
        [0x28, 0x73, 0x2a, 0xc1, 0x1f, 0xf8, 0xd2, 0x11, 0xba, 0x4b, 0x00, 0xa0, 0xc9, 0x3e, 0xc9, 0x3b];
    /// `21686148-6449-6E6F-744E-656564454649`, in the byte order on disk.
    const BIOS_BOOT: [u8; 16] = *b"Hah!IdontNeedEFI";

    /// The checksum of a GPT: CRC-32 as in Ethernet.
    fn crc32(bytes: &[u8]) -> u32 {
        let mut crc = u32::MAX;
        for byte in bytes {
            crc ^= u32::from(*byte);
            for _ in 0..8 {
                crc = (crc >> 1) ^ (0xedb8_8320 & (crc & 1).wrapping_neg());
            }
        }
        !crc
    }

    /// Updates the checksum of a header.
    fn sum_header(head: &mut [u8]) {
        let header = &mut head[512..512 + 92];
        header[16..20].fill(0);
        let sum = crc32(header);
        header[16..20].copy_from_slice(&sum.to_le_bytes());
    }

    /// Creates a disk with a protective MBR and a GPT with partitions of these kinds, 2048 sectors each.
    fn disk(kinds: &[[u8; 16]]) -> Vec<u8> {
        let mut head = vec![0; HEAD as usize];
        head[446 + 4] = PROTECTIVE;
        head[510..512].copy_from_slice(&[0x55, 0xaa]);
        for (index, kind) in kinds.iter().enumerate() {
            let at = 1024 + index * 128;
            let first = 2048 * (index as u64 + 1);
            head[at..at + 16].copy_from_slice(kind);
            head[at + 32..at + 40].copy_from_slice(&first.to_le_bytes());
            head[at + 40..at + 48].copy_from_slice(&(first + 2047).to_le_bytes());
        }
        let entries = crc32(&head[1024..]);
        let header = &mut head[512..1024];
        header[..8].copy_from_slice(b"EFI PART");
        header[12..16].copy_from_slice(&92_u32.to_le_bytes());
        header[32..40].copy_from_slice(&(SIZE / SECTOR - 1).to_le_bytes());
        header[72..80].copy_from_slice(&2_u64.to_le_bytes());
        header[80..84].copy_from_slice(&128_u32.to_le_bytes());
        header[84..88].copy_from_slice(&128_u32.to_le_bytes());
        header[88..92].copy_from_slice(&entries.to_le_bytes());
        sum_header(&mut head);
        head
    }

    fn fat() -> Vec<u8> {
        let mut sector = vec![0; 512];
        sector[54..57].copy_from_slice(b"FAT");
        sector[510..].copy_from_slice(&[0x55, 0xaa]);
        sector
    }

    /// Returns what a firmware finds on a disk.
    fn check(head: &[u8], firmware: Firmware, first: &[u8]) -> String {
        let found = layout(head, SIZE)
            .and_then(|layout| layout.bootable(firmware, layout.starts_from(firmware).map(|_| first)));
        found.unwrap_or_else(|why| format!("no: {why}"))
    }

    #[test]
    fn a_disk_says_what_it_holds() {
        let (bios, uefi) = (Firmware::Bios, Firmware::Uefi);
        let both = disk(&[BIOS_BOOT, ESP, [7; 16]]);
        let mut code = both.clone();
        code[0] = 0xeb;
        let seen = [
            check(&vec![0; HEAD as usize], bios, &[]),
            check(&vec![1; HEAD as usize], bios, &[]),
            check(&both, uefi, &fat()),
            check(&both, uefi, &[0; 512]),
            check(&both, bios, &[1; 512]),
            check(&code, bios, &[1; 512]),
            check(&code, bios, &[0; 512]),
            check(&disk(&[[7; 16]]), uefi, &fat()),
        ];
        insta::assert_snapshot!(seen.join("\n"), @"
        no: blank: no partition table
        no: no partition table: its first sector is not signed
        GPT with 3 partitions (BIOS boot, EFI system)
        no: GPT with 3 partitions (BIOS boot, EFI system), but the EFI system partition holds no FAT file system
        no: GPT with 3 partitions (BIOS boot, EFI system), but no program in the first sector
        GPT with 3 partitions (BIOS boot, EFI system)
        no: GPT with 3 partitions (BIOS boot, EFI system), but the BIOS boot partition is empty
        no: GPT with 1 partition, but no EFI system partition
        ");
    }

    #[test]
    fn a_table_that_was_cut_off_or_damaged_is_told() {
        let good = disk(&[ESP]);
        let mut no_header = good.clone();
        no_header[512..1024].fill(0);
        let mut header = good.clone();
        header[512 + 40] ^= 1;
        let mut entries = good.clone();
        entries[1024 + 200] ^= 1;
        let seen = [&no_header, &header, &entries].map(|head| check(head, Firmware::Uefi, &fat()));
        let larger = layout(&good, SIZE / 2).unwrap_err();
        insta::assert_snapshot!(seen.join("\n") + "\n" + &larger, @"
        no: broken GPT: a protective MBR, but no header
        no: broken GPT: the checksum of its header is wrong
        no: broken GPT: the checksum of its entries is wrong
        broken GPT: its copy lies behind the end of the disk
        ");
    }

    #[test]
    fn a_header_that_claims_absurd_entries_is_refused() {
        for (field, value) in
            [(72, u32::MAX), (76, u32::MAX), (80, u32::MAX), (80, 129), (84, 0), (84, 256), (84, u32::MAX)]
        {
            let mut head = disk(&[ESP]);
            head[512 + field..512 + field + 4].copy_from_slice(&value.to_le_bytes());
            sum_header(&mut head);
            assert_eq!(
                layout(&head, SIZE),
                Err("broken GPT: its entries lie elsewhere".to_owned()),
                "{field}"
            );
        }
    }

    #[test]
    fn an_old_table_has_an_active_partition() {
        let mut head = vec![0; HEAD as usize];
        head[510..512].copy_from_slice(&[0x55, 0xaa]);
        head[446 + 4] = 0x83;
        head[446 + 8] = 1;
        head[446 + 12] = 9;
        let passive = check(&head, Firmware::Bios, &[1; 512]);
        head[0] = 0xeb;
        let code = check(&head, Firmware::Bios, &[1; 512]);
        head[0x180..0x185].copy_from_slice(b"GRUB ");
        let grub = check(&head, Firmware::Bios, &[0; 512]);
        head[0x180..0x185].fill(0);
        head[446] = 0x80;
        let seen = [passive, code, grub, check(&head, Firmware::Bios, &[1; 512])];
        insta::assert_snapshot!(seen.join("\n"), @"
        no: MBR with 1 partition, but no program in the first sector
        no: MBR with 1 partition, but no active partition
        MBR with 1 partition
        MBR with 1 partition (active)
        ");
    }

    #[test]
    fn nothing_on_a_disk_is_too_odd() {
        let good = disk(&[ESP, BIOS_BOOT]);
        // Every byte of the headers, and some of the many blank entries.
        for at in (0..2048).chain((2048..good.len()).step_by(61)) {
            for value in [0, 0x7f, 0xff] {
                let mut head = good.clone();
                head[at] = value;
                if let Ok(layout) = layout(&head, SIZE) {
                    assert!(layout.partitions.len() <= 128);
                }
            }
        }
        assert!(layout(&good[..600], SIZE).is_err());
        assert!(layout(&[], 0).is_err());
    }
}
