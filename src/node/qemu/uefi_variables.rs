//! The variables of a UEFI firmware in its flash (edk2's store of authenticated variables).
//!
//! Pure: reads and changes the bytes of the flash. The firmware must not run meanwhile.

pub(super) mod keys;

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
/// The number of the boot entry that is made for HTTP boot from a URL; firmware counts from 0.
const HTTP_ENTRY: u16 = 0x4854;
/// Attribute of a boot entry: it may be booted.
const ACTIVE: u32 = 1;

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
fn set(
    flash: &mut [u8],
    vendor: [u8; 16],
    name: &str,
    attributes: u32,
    data: &[u8],
) -> Result<(), VariableError> {
    let size = |bytes: &[u8]| u32::try_from(bytes.len()).map_err(|_| VariableError::Full);
    let encoded = utf16(name);
    let mut bytes = Vec::with_capacity(HEADER + encoded.len() + data.len());
    bytes.extend(VARIABLE);
    bytes.extend([ADDED, 0]);
    bytes.extend(attributes.to_le_bytes());
    // Only authenticated variables have a count, a time and a key.
    bytes.extend([0; 8 + 16 + 4]);
    bytes.extend(size(&encoded)?.to_le_bytes());
    bytes.extend(size(data)?.to_le_bytes());
    bytes.extend(vendor);
    bytes.extend(encoded);
    bytes.extend(data);
    delete(flash, vendor, name)?;
    append(flash, &bytes)
}

/// Sets a variable of the UEFI specification.
pub(super) fn set_global(flash: &mut [u8], name: &str, data: &[u8]) -> Result<(), VariableError> {
    set(flash, GLOBAL, name, ATTRIBUTES, data)
}

/// Appends a variable; makes room first if there is none.
fn append(flash: &mut [u8], record: &[u8]) -> Result<(), VariableError> {
    let store = store(flash).ok_or(VariableError::Malformed)?;
    let length = record.len().next_multiple_of(4);
    let mut end = used(store);
    if store.len() - end < length {
        end = compact(store);
    }
    let room = store.get_mut(end..end + length).ok_or(VariableError::Full)?;
    if room.iter().any(|byte| *byte != 0xff) {
        return Err(VariableError::Malformed);
    }
    room[..record.len()].copy_from_slice(record);
    Ok(())
}

/// Returns where the free space begins.
fn used(store: &[u8]) -> usize {
    let mut at = 0;
    while let Some(variable) = variable(&store[at..]) {
        at += variable.length;
    }
    at
}

/// Removes what is deleted, as the firmware does when it runs out of space; returns where the free space begins.
fn compact(store: &mut [u8]) -> usize {
    let (mut at, mut end) = (0, 0);
    while let Some(variable) = variable(&store[at..]) {
        let (length, is_there) = (variable.length, variable.state == ADDED);
        if is_there {
            store.copy_within(at..at + length, end);
            end += length;
        }
        at += length;
    }
    store[end..at].fill(0xff);
    end
}

/// Deletes a variable, if it is there.
pub(super) fn delete(flash: &mut [u8], vendor: [u8; 16], name: &str) -> Result<(), VariableError> {
    let name = utf16(name);
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
    let BootEntries { order, entries } = BootEntries::read(store(flash).ok_or(VariableError::Malformed)?);
    let (added, rest): (Vec<u16>, Vec<u16>) = order.iter().partition(|entry| {
        !saved.contains(entry) && !entries.iter().any(|other| other.number == **entry && other.is(target))
    });
    let kept = saved.iter().filter(|entry| rest.contains(entry));
    let of_target = rest.iter().filter(|entry| !saved.contains(entry));
    let restored = added.iter().chain(kept).chain(of_target).flat_map(|entry| entry.to_le_bytes());
    set_global(flash, BOOT_ORDER, &restored.collect::<Vec<_>>())
}

/// Returns the boot entry for a target that the firmware would try first, if it has one.
pub(super) fn boot_entry(flash: &mut [u8], target: BootTarget) -> Option<u16> {
    let BootEntries { order, entries } = BootEntries::read(store(flash)?);
    let of_target = entries.iter().filter(|entry| entry.number != HTTP_ENTRY && entry.is(target));
    let position = |entry: u16| order.iter().position(|other| *other == entry).unwrap_or(order.len());
    of_target.map(|entry| entry.number).min_by_key(|entry| (position(*entry), *entry))
}

/// Returns the boot entries in their order, then those that are in none, with their names.
pub(super) fn boot_entries(flash: &mut [u8]) -> Vec<BootEntry> {
    let Some(store) = store(flash) else { return Vec::new() };
    let BootEntries { order, mut entries } = BootEntries::read(store);
    entries.retain(|entry| entry.number != HTTP_ENTRY);
    let position = |entry: u16| order.iter().position(|other| *other == entry).unwrap_or(order.len());
    entries.sort_by_key(|entry| (position(entry.number), entry.number));
    entries
}

/// A NIC on the root bus, by its PCI slot and function.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct PciNic {
    pub(super) slot: u8,
    pub(super) function: u8,
    pub(super) mac: [u8; 6],
}

impl PciNic {
    /// Returns its device path for IPv4 (UEFI 2.10, section 10.3), without an end.
    fn path(&self) -> Vec<u8> {
        // ACPI: PNP0A03, the first root bridge.
        let mut path = vec![2, 1, 12, 0, 0xd0, 0x41, 0x03, 0x0a, 0, 0, 0, 0];
        path.extend([PCI.0, PCI.1, 6, 0, self.function, self.slot]);
        // A MAC address in a field of 32 bytes, of Ethernet.
        path.extend([3, 11, 37, 0]);
        path.extend(self.mac);
        path.extend([0; 26]);
        path.push(1);
        // IPv4: no addresses, ports and protocol, all of them from DHCP.
        path.extend([3, 12, 27, 0]);
        path.extend([0; 23]);
        path
    }
}

/// Makes a boot entry for HTTP boot from a URL, in the way of an entry that asks DHCP for one; returns its number.
///
/// Without such an entry it is for a NIC. A URL alone would do by the specification (UEFI 2.10, section 3.1.2), but edk2
/// then loads by whatever it finds on a NIC, such as iPXE in an option ROM, which takes no URL.
pub(super) fn set_http_entry(
    flash: &mut [u8],
    nic: Option<&PciNic>,
    url: &str,
) -> Result<u16, VariableError> {
    let size = |length: usize| u16::try_from(length).map_err(|_| VariableError::Full);
    let asks = boot_entry(flash, BootTarget::Http);
    let entries = BootEntries::read(store(flash).ok_or(VariableError::Malformed)?).entries;
    let asks = entries.into_iter().find(|entry| Some(entry.number) == asks);
    let asks = asks.map(|entry| entry.path).or_else(|| nic.map(PciNic::path));
    let mut path = asks.unwrap_or_default();
    let before = nodes(&path).take_while(|node| (node.kind, node.sub) != URI && node.kind != END);
    let before = before.map(|node| node.bytes.len()).sum();
    path.truncate(before);
    path.extend([URI.0, URI.1]);
    path.extend(size(4 + url.len())?.to_le_bytes());
    path.extend(url.as_bytes());
    path.extend([END, 0xff, 4, 0]);
    let mut option = ACTIVE.to_le_bytes().to_vec();
    option.extend(size(path.len())?.to_le_bytes());
    option.extend(utf16("HTTP boot of the BMC"));
    option.extend(path);
    set_global(flash, &format!("Boot{HTTP_ENTRY:04X}"), &option)?;
    Ok(HTTP_ENTRY)
}

/// A boot entry of the firmware.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct BootEntry {
    /// Its number.
    pub(super) number: u16,
    /// Its name.
    pub(super) name: String,
    /// What it boots from; `None` for programs of the firmware.
    pub(super) target: Option<BootTarget>,
    /// Its device path.
    path: Vec<u8>,
}

impl BootEntry {
    /// Returns whether it boots from a target. HTTP boot is one by the network, too.
    fn is(&self, target: BootTarget) -> bool {
        self.target == Some(target)
            || (target == BootTarget::Network && self.target == Some(BootTarget::Http))
    }
}

/// The boot entries of a store, and their order.
struct BootEntries {
    order: Vec<u16>,
    /// In no order.
    entries: Vec<BootEntry>,
}

impl BootEntries {
    fn read(store: &[u8]) -> Self {
        let mut found = Self { order: Vec::new(), entries: Vec::new() };
        let mut at = 0;
        while let Some(variable) = variable(&store[at..]) {
            at += variable.length;
            // The state of a variable that is there and was not replaced.
            if variable.vendor != GLOBAL || variable.state != ADDED {
                continue;
            }
            let name = text(variable.name);
            if name == BOOT_ORDER {
                let numbers = variable.data.chunks_exact(2);
                found.order = numbers.map(|pair| u16::from_le_bytes([pair[0], pair[1]])).collect();
            } else if let Some(number) = name.strip_prefix("Boot").filter(|number| number.len() == 4)
                && let Ok(number) = u16::from_str_radix(number, 16)
                && let Some(entry) = load_option(number, variable.data)
            {
                found.entries.push(entry);
            }
        }
        found
    }
}

/// Reads a boot entry (`EFI_LOAD_OPTION`).
fn load_option(number: u16, data: &[u8]) -> Option<BootEntry> {
    let path_length = usize::from(u16::from_le_bytes(data.get(4..6)?.try_into().ok()?));
    let rest = data.get(6..)?;
    let end = rest.chunks_exact(2).position(|pair| pair == [0, 0])? * 2;
    let name = text(&rest[..end]);
    let path = rest.get(end + 2..)?.get(..path_length)?.to_vec();
    let kinds: Vec<(u8, u8)> =
        nodes(&path).take_while(|node| node.kind != END).map(|node| (node.kind, node.sub)).collect();
    let has = |wanted: &[(u8, u8)]| kinds.iter().any(|node| wanted.contains(node));
    let is_cd = ["CD-ROM", "DVD-ROM"].iter().any(|words| name.contains(words));
    let target = if has(&[URI]) {
        Some(BootTarget::Http)
    } else if has(NETWORK) {
        Some(BootTarget::Network)
    } else if is_cd || has(CD) {
        Some(BootTarget::Cd)
    } else if has(USB) {
        Some(BootTarget::Usb)
    } else if has(DISKS) || kinds.last() == Some(&PCI) {
        Some(BootTarget::Disk)
    } else {
        None
    };
    Some(BootEntry { number, name, target, path })
}

/// A node of a device path.
struct PathNode<'a> {
    kind: u8,
    sub: u8,
    bytes: &'a [u8],
}

/// Returns the nodes of a device path, up to one that is broken off.
fn nodes(mut path: &[u8]) -> impl Iterator<Item = PathNode<'_>> {
    std::iter::from_fn(move || {
        let [kind, sub, low, high, ..] = path else { return None };
        let length = usize::from(u16::from_le_bytes([*low, *high]));
        let (bytes, rest) = path.split_at_checked(length).filter(|_| length >= 4)?;
        path = rest;
        Some(PathNode { kind: *kind, sub: *sub, bytes })
    })
}

/// Device path nodes, as type and subtype: the end of a path, a PCI device (also a virtio disk), a URI, MAC address, IPv4
/// and IPv6, a bootable part of a CD, USB, and disks by partition, ATAPI, SCSI, SATA and NVMe.
const END: u8 = 0x7f;
const PCI: (u8, u8) = (1, 1);
const URI: (u8, u8) = (3, 24);
const NETWORK: &[(u8, u8)] = &[(3, 11), (3, 12), (3, 13)];
const CD: &[(u8, u8)] = &[(4, 2)];
const USB: &[(u8, u8)] = &[(3, 5), (3, 15), (3, 16)];
const DISKS: &[(u8, u8)] = &[(4, 1), (3, 1), (3, 2), (3, 18), (3, 23)];

/// Encodes a text, with a zero at its end.
fn utf16(text: &str) -> Vec<u8> {
    text.encode_utf16().chain([0]).flat_map(u16::to_le_bytes).collect()
}

/// Decodes a text, without the zero at its end.
fn text(bytes: &[u8]) -> String {
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
    use crate::bmc::secure_boot::{KeyMode, KeyReset, SecureBootChange};

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
            list.push(format!("{} {:02x} {:?}", text(variable.name), variable.state, variable.data));
            at += variable.length;
        }
        list
    }

    #[test]
    fn a_variable_is_set_and_its_old_value_deleted() {
        let mut flash = flash(0x400);
        set(&mut flash, GLOBAL, "Lang", ATTRIBUTES, b"eng").unwrap();
        set(&mut flash, GLOBAL, OS_INDICATIONS, ATTRIBUTES, &[0]).unwrap();
        set(&mut flash, [7; 16], OS_INDICATIONS, ATTRIBUTES, &[2]).unwrap();
        set(&mut flash, GLOBAL, OS_INDICATIONS, ATTRIBUTES, &[1]).unwrap();
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
            set(&mut flash, GLOBAL, &format!("Boot{number:04X}"), ATTRIBUTES, &entry(description, &path))
                .unwrap();
        }
        set(&mut flash, [9; 16], "Boot0009", ATTRIBUTES, &entry("of somebody else", &root)).unwrap();
        let all = [BootTarget::Network, BootTarget::Disk, BootTarget::Cd, BootTarget::Usb, BootTarget::Http];
        let picked = |flash: &mut [u8]| all.map(|target| boot_entry(flash, target));
        assert_eq!(picked(&mut flash), [Some(2), Some(1), Some(7), Some(6), Some(3)]);
        let order: Vec<u8> = [3_u16, 0xa, 1].into_iter().flat_map(u16::to_le_bytes).collect();
        set(&mut flash, GLOBAL, BOOT_ORDER, ATTRIBUTES, &order).unwrap();
        assert_eq!(picked(&mut flash), [Some(3), Some(0xa), Some(7), Some(6), Some(3)]);
        assert_eq!(boot_order(&mut flash), Some(vec![3, 0xa, 1]));
        // One start from a CD that the firmware had not seen, from which an installer added an entry.
        let displaced: Vec<u8> = [0xb_u16, 7, 2, 0xa, 1].into_iter().flat_map(u16::to_le_bytes).collect();
        set(&mut flash, GLOBAL, BOOT_ORDER, ATTRIBUTES, &displaced).unwrap();
        restore_boot_order(&mut flash, &[2, 1, 0xa, 0x20], BootTarget::Cd).unwrap();
        assert_eq!(boot_order(&mut flash), Some(vec![0xb, 2, 1, 0xa, 7]));
        delete(&mut flash, GLOBAL, "Boot0007").unwrap();
        delete(&mut flash, GLOBAL, BOOT_NEXT).unwrap();
        assert_eq!(boot_entry(&mut flash, BootTarget::Cd), None);
    }

    #[test]
    fn http_boot_from_a_url_has_an_entry_in_the_way_of_the_one_that_asks_dhcp() {
        let mut flash = flash(0xf00);
        let url = |flash: &mut [u8]| {
            let entries = BootEntries::read(store(flash).unwrap()).entries;
            entries.into_iter().find(|entry| entry.number == HTTP_ENTRY).unwrap()
        };
        assert_eq!(set_http_entry(&mut flash, None, "http://a/b.efi"), Ok(HTTP_ENTRY));
        let alone = url(&mut flash);
        assert_eq!(alone.path, b"\x03\x18\x12\0http://a/b.efi\x7f\xff\x04\0");
        assert_eq!((alone.target, alone.name.as_str()), (Some(BootTarget::Http), "HTTP boot of the BMC"));
        let nic = PciNic { slot: 2, function: 0, mac: [0x52, 0x54, 0, 1, 2, 3] };
        assert_eq!(set_http_entry(&mut flash, Some(&nic), "http://a/b.efi"), Ok(HTTP_ENTRY));
        let kinds: Vec<(u8, usize)> =
            nodes(&url(&mut flash).path).map(|node| (node.sub, node.bytes.len())).collect();
        assert_eq!(kinds, [(1, 12), (1, 6), (11, 37), (12, 27), (24, 18), (0xff, 4)]);
        let asks =
            entry("UEFI HTTPv4 (MAC:525400123456)", &[(2, 1, 8), (3, 11, 33), (3, 12, 23), (3, 24, 0)]);
        set(&mut flash, GLOBAL, "Boot0004", ATTRIBUTES, &asks).unwrap();
        assert_eq!(set_http_entry(&mut flash, Some(&nic), "http://a/c.efi"), Ok(HTTP_ENTRY));
        let kinds: Vec<(u8, usize)> =
            nodes(&url(&mut flash).path).map(|node| (node.sub, node.bytes.len())).collect();
        assert_eq!(kinds, [(1, 12), (11, 37), (12, 27), (24, 18), (0xff, 4)]);
        // It is nobody's entry.
        assert_eq!(boot_entry(&mut flash, BootTarget::Http), Some(4));
        let listed: Vec<u16> = boot_entries(&mut flash).into_iter().map(|entry| entry.number).collect();
        assert_eq!(listed, [4]);
    }

    #[test]
    fn a_store_with_deleted_variables_has_room_again() {
        let mut flash = flash(STORE_HEADER + 200);
        for round in 0..10 {
            set(&mut flash, GLOBAL, "Lang", ATTRIBUTES, &[round]).unwrap();
        }
        assert_eq!(list(&flash).last().unwrap(), "Lang 3f [9]");
        assert_eq!(set(&mut flash, GLOBAL, "Big", ATTRIBUTES, &[0; 200]), Err(VariableError::Full));
        assert_eq!(list(&flash), ["Lang 3f [9]"]);
    }

    #[test]
    fn keys_are_removed_and_restored_with_their_headers() {
        let template = || {
            let mut flash = flash(0xf00);
            for (name, data) in [("PK", b"pk"), ("KEK", b"ke")] {
                set(&mut flash, GLOBAL, name, 0x27, data).unwrap();
            }
            flash
        };
        let change = |keys, enable| SecureBootChange { keys, enable };
        let mut flash = template();
        assert_eq!(keys::read(&mut flash), Some((true, KeyMode::User)));
        keys::change(&mut flash, &mut template(), change(None, false)).unwrap();
        assert_eq!(keys::read(&mut flash), Some((false, KeyMode::User)));
        let delete = change(Some(KeyReset::DeletePlatformKey), true);
        keys::change(&mut flash, &mut template(), delete).unwrap();
        assert_eq!(keys::read(&mut flash), Some((true, KeyMode::Setup)));
        let left: Vec<String> = list(&flash).into_iter().filter(|line| line.contains(" 3f ")).collect();
        assert_eq!(left, ["KEK 3f [107, 101]", "SecureBootEnable 3f [1]"]);
        keys::change(&mut flash, &mut template(), change(Some(KeyReset::Default), true)).unwrap();
        assert_eq!(keys::read(&mut flash), Some((true, KeyMode::User)));
        let variables = |flash: &mut [u8]| {
            let store = store(flash).unwrap();
            let (mut at, mut found) = (0, Vec::new());
            while let Some(variable) = variable(&store[at..]) {
                if text(variable.name) == "PK" && variable.state == ADDED {
                    found.push(store[at..at + variable.length].to_vec());
                }
                at += variable.length;
            }
            found
        };
        assert_eq!(variables(&mut flash), variables(&mut template()));
    }

    #[test]
    fn what_is_no_store_and_a_full_one_are_left_alone() {
        let mut small = flash(STORE_HEADER + 100);
        set(&mut small, GLOBAL, OS_INDICATIONS, ATTRIBUTES, &[1]).unwrap();
        let before = small.clone();
        assert_eq!(set(&mut small, GLOBAL, "Lang", ATTRIBUTES, b"eng"), Err(VariableError::Full));
        assert_eq!(small, before);
        for mut other in [Vec::new(), vec![0; 0x1000], flash(0x10000), flash(5)] {
            assert_eq!(set(&mut other, GLOBAL, "Lang", ATTRIBUTES, b"eng"), Err(VariableError::Malformed));
        }
    }
}
