//! The variables of Secure Boot (UEFI 2.10, section 32.3).

use super::{ADDED, DELETED, GLOBAL, VariableError, append, set, store, text, utf16, variable};
use crate::bmc::secure_boot::{KeyMode, KeyReset, SecureBootChange};

/// The vendor GUID of the databases of signatures: d719b2cb-3d3a-4596-a3bc-dad00e67656f.
const DATABASES: [u8; 16] =
    [0xcb, 0xb2, 0x19, 0xd7, 0x3a, 0x3d, 0x96, 0x45, 0xa3, 0xbc, 0xda, 0xd0, 0x0e, 0x67, 0x65, 0x6f];
/// The vendor GUID of edk2's switch: f0a30bc7-af08-4556-99c4-001009c93a44.
const SWITCH: [u8; 16] =
    [0xc7, 0x0b, 0xa3, 0xf0, 0x08, 0xaf, 0x56, 0x45, 0x99, 0xc4, 0x00, 0x10, 0x09, 0xc9, 0x3a, 0x44];
/// Edk2's switch of Secure Boot.
const ENABLE: &str = "SecureBootEnable";
/// Attributes of the switch: non-volatile, and invisible to the running system.
const ENABLE_ATTRIBUTES: u32 = 3;
/// The platform key.
const PK: ([u8; 16], &str) = (GLOBAL, "PK");
/// All keys.
const KEYS: [([u8; 16], &str); 4] = [PK, (GLOBAL, "KEK"), (DATABASES, "db"), (DATABASES, "dbx")];

/// Changes what a BMC wants to be changed; `template` is the store of a new machine.
pub(in crate::node::qemu) fn change(
    flash: &mut [u8],
    template: &mut [u8],
    change: SecureBootChange,
) -> Result<(), VariableError> {
    match change.keys {
        None => {}
        Some(KeyReset::DeletePlatformKey) => remove(flash, &[PK])?,
        Some(KeyReset::Delete) => remove(flash, &KEYS)?,
        Some(KeyReset::Default) => {
            remove(flash, &KEYS)?;
            for record in records(template)? {
                append(flash, &record)?;
            }
        }
    }
    // Without a platform key edk2 removes the switch by itself.
    set(flash, SWITCH, ENABLE, ENABLE_ATTRIBUTES, &[u8::from(change.enable)])
}

/// Returns whether signatures are to be checked, and whether there is a platform key.
pub(in crate::node::qemu) fn read(flash: &mut [u8]) -> Option<(bool, KeyMode)> {
    let store = store(flash)?;
    let (mut at, mut enabled, mut mode) = (0, None, KeyMode::Setup);
    while let Some(variable) = variable(&store[at..]) {
        at += variable.length;
        if variable.state != ADDED {
            continue;
        }
        match (variable.vendor, text(variable.name).as_str()) {
            (vendor, ENABLE) if vendor == SWITCH => enabled = variable.data.first().map(|on| *on == 1),
            (vendor, "PK") if vendor == GLOBAL => mode = KeyMode::User,
            _ => {}
        }
    }
    // A firmware that has never run has no switch yet, and begins with one that is on.
    Some((enabled.unwrap_or(mode == KeyMode::User), mode))
}

fn remove(flash: &mut [u8], keys: &[([u8; 16], &str)]) -> Result<(), VariableError> {
    let store = store(flash).ok_or(VariableError::Malformed)?;
    let mut at = 0;
    while let Some(variable) = variable(&store[at..]) {
        let length = variable.length;
        if keys.iter().any(|(vendor, name)| variable.vendor == vendor && variable.name == utf16(name)) {
            store[at + 2] &= !DELETED;
        }
        at += length;
    }
    Ok(())
}

/// Returns the keys of a store, each with its header.
fn records(flash: &mut [u8]) -> Result<Vec<Vec<u8>>, VariableError> {
    let store = store(flash).ok_or(VariableError::Malformed)?;
    let (mut at, mut records) = (0, Vec::new());
    while let Some(variable) = variable(&store[at..]) {
        let is_key =
            KEYS.iter().any(|(vendor, name)| variable.vendor == vendor && variable.name == utf16(name));
        if is_key && variable.state == ADDED {
            records.push(store[at..at + variable.length].to_vec());
        }
        at += variable.length;
    }
    Ok(records)
}
