//! The variables of a UEFI firmware in its flash (edk2's store of authenticated variables).
//!
//! Pure: changes the bytes of the flash. The firmware must not run meanwhile.

/// The vendor GUID of variables of the UEFI specification.
pub(super) const GLOBAL: [u8; 16] =
    [0x61, 0xdf, 0xe4, 0x8b, 0xca, 0x93, 0xd2, 0x11, 0xaa, 0x0d, 0x00, 0xe0, 0x98, 0x03, 0x2b, 0x8c];

/// Requests of an operating system to the firmware for its next start.
pub(super) const OS_INDICATIONS: &str = "OsIndications";

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
    Some(Variable { state: header[2], vendor: &header[44..60], name: &bytes[HEADER..HEADER + name], length })
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
