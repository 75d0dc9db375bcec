//! What a BMC knows of itself and of its machine, from the plan.

use std::collections::BTreeSet;
use std::net::Ipv4Addr;

use super::boot::BootDevice;
use super::inventory::Inventory;
use crate::name::Mac;

/// What a BMC is, and what it manages.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// Name of the node.
    pub node: String,
    /// Manufacturer in SMBIOS.
    pub manufacturer: String,
    /// Product name in SMBIOS.
    pub product: String,
    /// Serial number in SMBIOS.
    pub serial: String,
    /// Asset tag in SMBIOS.
    pub asset_tag: String,
    /// The machine's UUID, in the order in which it is written.
    pub uuid: [u8; 16],
    /// The firmware of the BMC: major and minor version.
    pub version: (u8, u8),
    /// Its own place on the network.
    pub lan: Lan,
    /// Whether the machine has fans.
    pub has_fans: bool,
    /// What the machine consists of.
    pub inventory: Inventory,
    /// What the machine can be told to boot.
    pub devices: BTreeSet<BootDevice>,
}

/// The place of a BMC on its network.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lan {
    /// MAC address.
    pub mac: Mac,
    /// Address.
    pub address: Ipv4Addr,
    /// Netmask.
    pub mask: Ipv4Addr,
    /// Default gateway; unspecified if there is none.
    pub gateway: Ipv4Addr,
}

impl Identity {
    /// Returns the UUID as text.
    pub fn uuid_text(&self) -> String {
        uuid::Uuid::from_bytes(self.uuid).hyphenated().to_string()
    }

    /// Returns the UUID in the byte order of SMBIOS 2.6 and later (section 7.2.1), in which IPMI carries it, too.
    pub fn guid(&self) -> [u8; 16] {
        let mut guid = self.uuid;
        guid[0..4].reverse();
        guid[4..6].reverse();
        guid[6..8].reverse();
        guid
    }
}
