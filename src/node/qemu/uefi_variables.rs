//! The variables of a UEFI firmware in its flash (edk2's store of authenticated variables).
//!
//! Pure: reads and changes the bytes of the flash. The firmware must not run meanwhile.

use crate::plan::BootTarget;

/// The vendor GUID of variables of the UEFI specification.
pub(super) const GLOBAL: [u8; 16] =
    [0x61, 0xdf, 0xe4, 0x8b, 0xca, 0x93, 0xd2, 0x11, 0xaa, 0x0d, 0x00, 0xe0, 0x98, 0x03, 0x2b, 0x8c];

/// Requests of an operating system to the firmware for its next start.
pub(super) const OS_INDICATIONS: &str = "OsIndications";

/// The boot entry that is tried first at the next start, once.
pub(super) const BOOT_NEXT: &str = "BootNext";

/// The order in which boot entries are tried.
const BOOT_ORDER: &str = "BootOrder";

/// Flag in [`OS_INDICATIONS`]: open the setup menu.
pub(super) const BOOT_TO_SETUP: u64 = 1;

/// The signature of the store: aaf32c78-947b-439a-a180-2e144ec37792.
const STORE: [u8; 16] =
    [0x78, 0x2c, 0xf3, 0xaa, 0x7b, 0x94, 0x9a, 0x43, 0xa1, 0x80, 0x2e, 0x14, 0x4e, 0xc3, 0x77, 0x92];
/// Size of the header of the store.
const STORE_HEADER: usize = 28;
/// The start marker of a variable.
const VARIABLE: [u8; 2] = [0xaa, 0x55];
/// Size of the header of a variable.
const HEADER: usize = 60;
/// The state of a completely written variable.
const ADDED: u8 = 0x3f;
/// The bit of the state that is cleared when a variable is deleted.
const DELETED: u8 = 0x02;
/// Attributes: non-volatile, readable by boot services and by the running system.
const ATTRIBUTES: u32 = 7;

/// Why a variable was not set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum VariableError {
    /// The bytes are not a variable store.
    #[error("unknown format of the UEFI variable store")]
    Malformed,
    /// There is no room for another variable.
    #[error("the UEFI variable store is full")]
    Full,
}

/// Sets a variable, and deletes its previous value.
pub(super) fn set(flash: &mut [u8], vendor: [u8; 16], name: &str, data: &[u8]) -> Result<(), VariableError> {
    let name: Vec<u8> = name.encode_utf16().chain([0]).flat_map(u16::to_le_bytes).collect();
    let store = store(flash).ok_or(VariableError::Malformed)?;
    let (mut at, mut replaced) = (0, Vec::new());
    while let Some(variable) = variable(&store[at..]) {
        if variable.vendor == vendor && variable.name == name && variable.state & DELETED != 0 {
            replaced.push(at);
        }
        at += variable.length;
    }
    let length = (HEADER + name.len() + data.len()).next_multiple_of(4);
    let room = store.get_mut(at..at + length).ok_or(VariableError::Full)?;
    if room.iter().any(|byte| *byte != 0xff) {
        return Err(VariableError::Malformed);
    }
    let size = |bytes: &[u8]| u32::try_from(bytes.len()).map_err(|_| VariableError::Full);
    let mut bytes = Vec::with_capacity(length);
    bytes.extend(VARIABLE);
    bytes.extend([ADDED, 0]);
    bytes.extend(ATTRIBUTES.to_le_bytes());
    // Only authenticated variables have a count, a time and a key.
    bytes.extend([0; 8 + 16 + 4]);
    bytes.extend(size(&name)?.to_le_bytes());
    bytes.extend(size(data)?.to_le_bytes());
    bytes.extend(vendor);
    bytes.extend(name);
    bytes.extend(data);
    room[..bytes.len()].copy_from_slice(&bytes);
    for old in replaced {
        store[old + 2] &= !DELETED;
    }
    Ok(())
}

/// Deletes a variable, if it is there.
pub(super) fn delete(flash: &mut [u8], vendor: [u8; 16], name: &str) -> Result<(), VariableError> {
    let name: Vec<u8> = name.encode_utf16().chain([0]).flat_map(u16::to_le_bytes).collect();
    let store = store(flash).ok_or(VariableError::Malformed)?;
    let mut at = 0;
    while let Some(variable) = variable(&store[at..]) {
        let length = variable.length;
        if variable.vendor == vendor && variable.name == name {
            store[at + 2] &= !DELETED;
        }
        at += length;
    }
    Ok(())
}

/// Returns the order in which the firmware tries its boot entries, once it has written one.
pub(super) fn boot_order(flash: &mut [u8]) -> Option<Vec<u16>> {
    Some(BootEntries::read(store(flash)?).order).filter(|order| !order.is_empty())
}

/// Gives the firmware back a boot order that one start from another target has displaced.
///
/// Entries that were added meanwhile stay first, where an installer puts them; only those of the target, which the
/// firmware added itself, go to the end.
pub(super) fn restore_boot_order(
    flash: &mut [u8],
    saved: &[u16],
    target: BootTarget,
) -> Result<(), VariableError> {
    let BootEntries { order, targets } = BootEntries::read(store(flash).ok_or(VariableError::Malformed)?);
    let (added, rest): (Vec<u16>, Vec<u16>) = order.iter().partition(|entry| {
        !saved.contains(entry) && !targets.iter().any(|(number, of)| number == *entry && *of == target)
    });
    let kept = saved.iter().filter(|entry| rest.contains(entry));
    let of_target = rest.iter().filter(|entry| !saved.contains(entry));
    let restored = added.iter().chain(kept).chain(of_target).flat_map(|entry| entry.to_le_bytes());
    set(flash, GLOBAL, BOOT_ORDER, &restored.collect::<Vec<_>>())
}

/// Returns the boot entry for a target that the firmware would try first, if it has one.
pub(super) fn boot_entry(flash: &mut [u8], target: BootTarget) -> Option<u16> {
    let BootEntries { order, targets } = BootEntries::read(store(flash)?);
    let entries = targets.into_iter().filter(|(_, of)| *of == target).map(|(entry, _)| entry);
    entries.min_by_key(|entry| (order.iter().position(|other| other == entry).unwrap_or(order.len()), *entry))
}

/// The boot entries of a store, and their order.
struct BootEntries {
    order: Vec<u16>,
    /// Those that boot from something, in no order.
    targets: Vec<(u16, BootTarget)>,
}

impl BootEntries {
    fn read(store: &[u8]) -> Self {
        let mut entries = Self { order: Vec::new(), targets: Vec::new() };
        let mut at = 0;
        while let Some(variable) = variable(&store[at..]) {
            at += variable.length;
            // The state of a variable that is there and was not replaced.
            if variable.vendor != GLOBAL || variable.state != ADDED {
                continue;
            }
            let name = utf16(variable.name);
            if name == BOOT_ORDER {
                let numbers = variable.data.chunks_exact(2);
                entries.order = numbers.map(|pair| u16::from_le_bytes([pair[0], pair[1]])).collect();
            } else if let Some(number) = name.strip_prefix("Boot").filter(|number| number.len() == 4)
                && let Ok(number) = u16::from_str_radix(number, 16)
                && let Some(target) = load_option(variable.data)
            {
                entries.targets.push((number, target));
            }
        }
        entries
    }
}

/// Returns what a boot entry (`EFI_LOAD_OPTION`) boots from; `None` for programs of the firmware.
fn load_option(data: &[u8]) -> Option<BootTarget> {
    let path_length = usize::from(u16::from_le_bytes(data.get(4..6)?.try_into().ok()?));
    let rest = data.get(6..)?;
    let end = rest.chunks_exact(2).position(|pair| pair == [0, 0])? * 2;
    let description = utf16(&rest[..end]);
    let mut path = rest.get(end + 2..)?.get(..path_length)?;
    let mut nodes = Vec::new();
    while let [kind, sub, low, high, ..] = path {
        if *kind == END {
            break;
        }
        nodes.push((*kind, *sub));
        let length = usize::from(u16::from_le_bytes([*low, *high]));
        path = path.get(length..).filter(|_| length >= 4)?;
    }
    let has = |wanted: &[(u8, u8)]| nodes.iter().any(|node| wanted.contains(node));
    let is_cd = ["CD-ROM", "DVD-ROM"].iter().any(|words| description.contains(words));
    if has(NETWORK) {
        Some(BootTarget::Network)
    } else if is_cd || has(CD) {
        Some(BootTarget::Cd)
    } else if has(USB) {
        Some(BootTarget::Usb)
    } else if has(DISKS) || nodes.last() == Some(&PCI) {
        Some(BootTarget::Disk)
    } else {
        None
    }
}

/// Device path nodes, as type and subtype: the end of a path, a PCI device (also a virtio disk), MAC address, IPv4, IPv6
/// and URI, a bootable part of a CD, USB, and disks by partition, ATAPI, SCSI, SATA and NVMe.
const END: u8 = 0x7f;
const PCI: (u8, u8) = (1, 1);
const NETWORK: &[(u8, u8)] = &[(3, 11), (3, 12), (3, 13), (3, 24)];
const CD: &[(u8, u8)] = &[(4, 2)];
const USB: &[(u8, u8)] = &[(3, 5), (3, 15), (3, 16)];
const DISKS: &[(u8, u8)] = &[(4, 1), (3, 1), (3, 2), (3, 18), (3, 23)];

/// Decodes a text, without the zero at its end.
fn utf16(bytes: &[u8]) -> String {
    let units = bytes.chunks_exact(2).map(|pair| u16::from_le_bytes([pair[0], pair[1]]));
    char::decode_utf16(units.take_while(|unit| *unit != 0)).map(|c| c.unwrap_or('?')).collect()
}

/// Returns the variables of the store and the free space after them.
fn store(flash: &mut [u8]) -> Option<&mut [u8]> {
    if flash.get(0x28..0x2c)? != b"_FVH" {
        return None;
    }
    let begin = usize::from(u16::from_le_bytes(flash.get(0x30..0x32)?.try_into().ok()?));
    let header = flash.get(begin..begin + STORE_HEADER)?;
    if header[..16] != STORE {
        return None;
    }
    let size = number(header, 16)?;
    flash.get_mut(begin + STORE_HEADER..begin.checked_add(size)?)
}

struct Variable<'a> {
    state: u8,
    vendor: &'a [u8],
    name: &'a [u8],
    data: &'a [u8],
    length: usize,
}

/// Returns the variable at the start of the bytes, if any.
fn variable(bytes: &[u8]) -> Option<Variable<'_>> {
    let header = bytes.get(..HEADER)?;
    if header[..2] != VARIABLE {
        return None;
    }
    let (name, data) = (number(header, 36)?, number(header, 40)?);
    let length = HEADER.checked_add(name)?.checked_add(data)?.checked_next_multiple_of(4)?;
    bytes.get(..length)?;
    let (name, data) = bytes[HEADER..HEADER + name + data].split_at(name);
    Some(Variable { state: header[2], vendor: &header[44..60], name, data, length })
}

fn number(bytes: &[u8], at: usize) -> Option<usize> {
    usize::try_from(u32::from_le_bytes(bytes.get(at..at + 4)?.try_into().ok()?)).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Creates a flash with an empty store of a given size.
    fn flash(size: usize) -> Vec<u8> {
        let mut flash = vec![0xff; 0x1000];
        flash[0x28..0x2c].copy_from_slice(b"_FVH");
        flash[0x30..0x32].copy_from_slice(&72_u16.to_le_bytes());
        flash[72..88].copy_from_slice(&STORE);
        flash[88..92].copy_from_slice(&u32::try_from(size).unwrap().to_le_bytes());
        flash
    }

    /// Returns names, states and values.
    fn list(flash: &[u8]) -> Vec<String> {
        let mut flash = flash.to_vec();
        let store = store(&mut flash).unwrap();
        let (mut at, mut list) = (0, Vec::new());
        while let Some(variable) = variable(&store[at..]) {
            let name: Vec<u16> =
                variable.name.chunks(2).map(|pair| u16::from_le_bytes([pair[0], pair[1]])).collect();
            let name = String::from_utf16(&name).unwrap();
            let data = &store[at + HEADER + variable.name.len()..][..number(&store[at..], 40).unwrap()];
            list.push(format!("{} {:02x} {data:?}", name.trim_end_matches('\0'), variable.state));
            at += variable.length;
        }
        list
    }

    #[test]
    fn a_variable_is_set_and_its_old_value_deleted() {
        let mut flash = flash(0x400);
        set(&mut flash, GLOBAL, "Lang", b"eng").unwrap();
        set(&mut flash, GLOBAL, OS_INDICATIONS, &[0]).unwrap();
        set(&mut flash, [7; 16], OS_INDICATIONS, &[2]).unwrap();
        set(&mut flash, GLOBAL, OS_INDICATIONS, &[1]).unwrap();
        let all = [
            "Lang 3f [101, 110, 103]",
            "OsIndications 3d [0]",
            "OsIndications 3f [2]",
            "OsIndications 3f [1]",
        ];
        assert_eq!(list(&flash), all);
    }

    /// Makes a boot entry from its description and the nodes of its device path, as type, subtype and data in hex.
    fn entry(description: &str, path: &[(u8, u8, usize)]) -> Vec<u8> {
        let mut nodes = Vec::new();
        for (kind, sub, length) in path {
            nodes.extend([*kind, *sub]);
            nodes.extend(u16::try_from(length + 4).unwrap().to_le_bytes());
            nodes.extend(vec![0; *length]);
        }
        nodes.extend([END, 0xff, 4, 0]);
        let mut bytes = 1_u32.to_le_bytes().to_vec();
        bytes.extend(u16::try_from(nodes.len()).unwrap().to_le_bytes());
        bytes.extend(description.encode_utf16().chain([0]).flat_map(u16::to_le_bytes));
        bytes.extend(nodes);
        bytes.extend([0x4e, 0xac, 0x08, 0x81]);
        bytes
    }

    #[test]
    fn the_entry_for_a_target_is_the_one_that_would_be_tried_first() {
        let mut flash = flash(0xf00);
        let root = [(2, 1, 8), (1, 1, 2)];
        let below = |more: &[(u8, u8, usize)]| [&root, more].concat();
        // As OVMF writes them.
        for (number, description, path) in [
            (0, "UiApp", vec![(4, 7, 16), (4, 6, 16)]),
            (1, "UEFI Misc Device", root.to_vec()),
            (2, "UEFI PXEv4 (MAC:525400123456)", below(&[(3, 11, 33)])),
            (3, "UEFI HTTPv6 (MAC:525400123456)", below(&[(3, 11, 33), (3, 13, 56), (3, 24, 0)])),
            (6, "UEFI QEMU QEMU USB HARDDRIVE STHREE", below(&[(3, 5, 2)])),
            (7, "UEFI QEMU DVD-ROM QM00003 ", below(&[(3, 18, 6)])),
            (8, "UEFI QEMU HARDDISK STWO ", below(&[(3, 18, 6)])),
            (0xa, "debian", vec![(4, 1, 38), (4, 4, 40)]),
        ] {
            set(&mut flash, GLOBAL, &format!("Boot{number:04X}"), &entry(description, &path)).unwrap();
        }
        set(&mut flash, [9; 16], "Boot0009", &entry("of somebody else", &root)).unwrap();
        let all = [BootTarget::Network, BootTarget::Disk, BootTarget::Cd, BootTarget::Usb, BootTarget::Setup];
        let picked = |flash: &mut [u8]| all.map(|target| boot_entry(flash, target));
        assert_eq!(picked(&mut flash), [Some(2), Some(1), Some(7), Some(6), None]);
        let order: Vec<u8> = [3_u16, 0xa, 1].into_iter().flat_map(u16::to_le_bytes).collect();
        set(&mut flash, GLOBAL, BOOT_ORDER, &order).unwrap();
        assert_eq!(picked(&mut flash), [Some(3), Some(0xa), Some(7), Some(6), None]);
        assert_eq!(boot_order(&mut flash), Some(vec![3, 0xa, 1]));
        // One start from a CD that the firmware had not seen, from which an installer added an entry.
        let displaced: Vec<u8> = [0xb_u16, 7, 2, 0xa, 1].into_iter().flat_map(u16::to_le_bytes).collect();
        set(&mut flash, GLOBAL, BOOT_ORDER, &displaced).unwrap();
        restore_boot_order(&mut flash, &[2, 1, 0xa, 0x20], BootTarget::Cd).unwrap();
        assert_eq!(boot_order(&mut flash), Some(vec![0xb, 2, 1, 0xa, 7]));
        delete(&mut flash, GLOBAL, "Boot0007").unwrap();
        delete(&mut flash, GLOBAL, BOOT_NEXT).unwrap();
        assert_eq!(boot_entry(&mut flash, BootTarget::Cd), None);
    }

    #[test]
    fn what_is_no_store_and_a_full_one_are_left_alone() {
        let mut small = flash(STORE_HEADER + 100);
        set(&mut small, GLOBAL, OS_INDICATIONS, &[1]).unwrap();
        let before = small.clone();
        assert_eq!(set(&mut small, GLOBAL, "Lang", b"eng"), Err(VariableError::Full));
        assert_eq!(small, before);
        for mut other in [Vec::new(), vec![0; 0x1000], flash(0x10000), flash(5)] {
            assert_eq!(set(&mut other, GLOBAL, "Lang", b"eng"), Err(VariableError::Malformed));
        }
    }
}
