//! What a machine consists of, from the plan: firmware, processors, memory, disks, NICs.

use crate::name::Mac;

/// The parts of a machine.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Inventory {
    /// Its firmware.
    pub firmware: FirmwareKind,
    /// The version of the firmware, as SMBIOS shows it.
    pub firmware_version: String,
    /// Whether its firmware can check signatures of what it loads, and whether it does at the first start.
    pub secure_boot: Option<SecureBootStart>,
    /// Whether it has a TPM 2.0.
    pub has_tpm: bool,
    /// Its instruction set.
    pub architecture: Architecture,
    /// Its processors, by socket.
    pub processors: Vec<Processor>,
    /// Its memory modules, by slot.
    pub memory: Vec<MemoryModule>,
    /// Its disks.
    pub disks: Vec<Disk>,
    /// Its NICs.
    pub nics: Vec<Nic>,
    /// The boot options of its firmware, in their order.
    pub boot_options: Vec<BootOption>,
}

/// The kind of a firmware.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum FirmwareKind {
    /// A BIOS.
    #[default]
    Bios,
    /// UEFI.
    Uefi,
}

/// The state of Secure Boot before anybody changes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SecureBootStart {
    /// Keys are enrolled, and signatures are checked.
    Enabled,
    /// Keys are enrolled, but nothing is checked.
    Disabled,
    /// No keys are enrolled.
    Setup,
}

/// An instruction set.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Architecture {
    /// x86-64.
    #[default]
    X86,
    /// AArch64.
    Arm,
}

/// A processor.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Processor {
    /// Its model, as the machine sees it.
    pub model: String,
    /// The number of cores.
    pub cores: u32,
    /// The number of threads, at least that of the cores.
    pub threads: u32,
}

/// A memory module.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MemoryModule {
    /// Its size in MiB.
    pub mebibytes: u32,
}

/// A disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Disk {
    /// The name in the lab.
    pub name: String,
    /// The model, as the machine sees it.
    pub model: String,
    /// The serial number.
    pub serial: String,
    /// The size in bytes.
    pub bytes: u64,
    /// How it is attached.
    pub bus: DiskBus,
}

/// How a disk is attached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DiskBus {
    /// AHCI.
    Sata,
    /// NVMe.
    Nvme,
    /// SCSI, also virtio-scsi.
    Scsi,
    /// virtio-blk.
    Virtio,
}

/// A NIC.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Nic {
    /// The name in the lab.
    pub name: String,
    /// Its MAC address.
    pub mac: Mac,
    /// Its speed in Mbit/s.
    pub mbps: u32,
    /// The state of its link.
    pub link: Link,
}

/// The state of a link.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Link {
    /// There is a carrier.
    Up,
    /// There is none.
    Down,
}

/// A boot option of UEFI (`Boot####`, UEFI 2.10, section 3.1).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BootOption {
    /// Its number.
    pub number: u16,
    /// Its name, as the boot menu shows it.
    pub name: String,
    /// Its device path as text; empty if it is not known.
    pub path: String,
    /// What it boots from.
    pub device: super::boot::BootDevice,
}

impl Inventory {
    /// Returns the size of all memory in MiB.
    pub fn mebibytes(&self) -> u64 {
        self.memory.iter().map(|module| u64::from(module.mebibytes)).sum()
    }

    /// Returns whether the firmware is UEFI.
    pub fn is_uefi(&self) -> bool {
        self.firmware == FirmwareKind::Uefi
    }
}
