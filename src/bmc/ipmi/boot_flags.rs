//! Parameter 5 of the boot options: what a machine boots (section 28.13, table 28-14).

/// What parameter 5 of the boot options selects (table 28-14).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BootSelector {
    /// The order of the firmware.
    None = 0x0,
    /// The network.
    Pxe = 0x1,
    /// The disk.
    Disk = 0x2,
    /// The disk, in safe mode.
    DiskSafe = 0x3,
    /// The diagnostic partition.
    Diagnostic = 0x4,
    /// CD or DVD.
    Cd = 0x5,
    /// The setup of the firmware.
    Setup = 0x6,
    /// A remote floppy or removable medium.
    RemoteFloppy = 0x7,
    /// A remote CD or DVD.
    RemoteCd = 0x8,
    /// The primary remote medium.
    RemotePrimary = 0x9,
    /// A remote disk.
    RemoteDisk = 0xb,
    /// A floppy or removable medium.
    Floppy = 0xf,
}

impl BootSelector {
    /// Returns the device of a number, 0 to 15.
    pub fn parse(number: u8) -> Option<Self> {
        [
            Self::None,
            Self::Pxe,
            Self::Disk,
            Self::DiskSafe,
            Self::Diagnostic,
            Self::Cd,
            Self::Setup,
            Self::RemoteFloppy,
            Self::RemoteCd,
            Self::RemotePrimary,
            Self::RemoteDisk,
            Self::Floppy,
        ]
        .into_iter()
        .find(|device| *device as u8 == number)
    }
}

/// How the machine boots from the device.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BootMode {
    /// As a PC with BIOS.
    Legacy,
    /// By UEFI.
    Efi,
}

/// For how many boots the device counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lifetime {
    /// The next.
    Once,
    /// All from now on.
    Persistent,
}

/// The boot flags.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BootFlags {
    /// Whether the firmware heeds them.
    pub valid: bool,
    /// The device; `None` for numbers without a name.
    pub device: Option<BootSelector>,
    /// How it boots.
    pub mode: BootMode,
    /// For how many boots.
    pub lifetime: Lifetime,
}

impl BootFlags {
    /// Returns valid flags.
    pub fn new(device: BootSelector, mode: BootMode, lifetime: Lifetime) -> Self {
        Self { valid: true, device: Some(device), mode, lifetime }
    }

    /// Parses the first two of the five bytes; the others are about locks, consoles and verbosity.
    pub fn parse([first, second]: [u8; 2]) -> Self {
        Self {
            valid: first & 0x80 != 0,
            device: BootSelector::parse(second >> 2 & 0x0f),
            mode: if first & 0x20 != 0 { BootMode::Efi } else { BootMode::Legacy },
            lifetime: if first & 0x40 != 0 { Lifetime::Persistent } else { Lifetime::Once },
        }
    }

    /// Returns the five bytes.
    pub fn bytes(&self) -> [u8; 5] {
        let first = u8::from(self.valid) << 7
            | u8::from(self.lifetime == Lifetime::Persistent) << 6
            | u8::from(self.mode == BootMode::Efi) << 5;
        let device = self.device.map_or(0, |device| device as u8) << 2;
        [first, device, 0, 0, 0]
    }
}
