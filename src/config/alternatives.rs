//! Enumerated values of the lab file, the same types from the file to the plan.

use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Network isolation of a lab.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", rename = "isolation")]
pub enum Isolation {
    /// In namespaces of its own; needs no root.
    #[default]
    Private,
    /// In the host's network namespace; needs root.
    None,
}

/// The accelerator of the machines.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", rename = "accel")]
pub enum AccelChoice {
    /// KVM if it passes the self-test, else TCG.
    #[default]
    Auto,
    /// KVM only.
    Kvm,
    /// Emulation (TCG).
    Tcg,
}

/// Whether a service runs.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", rename = "switch")]
pub enum Switch {
    /// On.
    #[default]
    On,
    /// Off.
    Off,
}

/// The TFTP server of a network.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", rename = "tftp")]
pub enum TftpBackend {
    /// The built-in server.
    #[default]
    Builtin,
    /// The library async-tftp.
    AsyncTftp,
    /// Off.
    Off,
}

/// What becomes of changes to a file or folder of the host that a process is given.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", rename = "access")]
pub enum Access {
    /// It cannot be changed.
    #[default]
    ReadOnly,
    /// A copy is changed, which is in the run folder.
    Copy,
    /// The original is changed.
    Write,
}

/// When a process that ended is started again.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", rename = "restart")]
pub enum Restart {
    /// Never.
    #[default]
    Never,
    /// If its exit code is not 0, or a signal ended it.
    OnFailure,
    /// Always.
    Always,
}

/// The DHCP relay agent of a network.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", rename = "relay-agent")]
pub enum RelayAgent {
    /// The built-in agent.
    #[default]
    Builtin,
    /// None of the lab's own.
    Off,
}

/// How unknown DHCP clients, which are not nodes of the lab, are treated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", rename = "unknown-clients")]
pub enum UnknownClients {
    /// They get addresses from the pool.
    Answer,
    /// They are ignored.
    Ignore,
}

/// What tells DHCP clients apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", rename = "identity")]
pub enum Identity {
    /// The MAC address: everything behind it is one client.
    Mac,
    /// The MAC address and the client identifier (option 61).
    ClientId,
}

/// The program that fetches and starts a kernel.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", rename = "loader")]
pub enum Loader {
    /// iPXE from the NIC's ROM if there is one, else fetched by the firmware.
    #[default]
    Ipxe,
    /// iPXE, fetched by the firmware even if the NIC's ROM has it: undionly.kpxe or snponly.efi.
    Chainload,
    /// PXELINUX; for BIOS.
    Pxelinux,
    /// GRUB.
    Grub,
    /// shim and GRUB, both signed, for Secure Boot; for UEFI.
    Shim,
    /// No loader: the firmware starts the kernel itself, a unified kernel image or another EFI program; for UEFI.
    Kernel,
}

/// How a firmware fetches a boot program.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", rename = "via")]
pub enum Via {
    /// PXE over IPv4: DHCP and TFTP.
    Pxe,
    /// UEFI HTTP Boot over IPv4.
    Http,
    /// PXE over IPv6: DHCPv6 and TFTP.
    Pxe6,
    /// UEFI HTTP Boot over IPv6.
    Http6,
    /// UEFI HTTP Boot over IPv4 with HTTPS; the network needs `https = true`.
    Https,
}

impl Via {
    /// Returns the word of the lab file.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pxe => "pxe",
            Self::Http => "http",
            Self::Pxe6 => "pxe6",
            Self::Http6 => "http6",
            Self::Https => "https",
        }
    }

    /// Returns whether it uses IPv6.
    pub fn is_ipv6(self) -> bool {
        matches!(self, Self::Pxe6 | Self::Http6)
    }
}

/// The firmware of a node.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", rename = "firmware")]
pub enum Firmware {
    /// SeaBIOS.
    #[default]
    Bios,
    /// OVMF.
    Uefi,
    /// OVMF with Secure Boot enabled and the usual keys enrolled.
    UefiSecure,
}

/// The chip set of a node.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", rename = "machine")]
pub enum Chipset {
    /// ICH9 with PCI Express.
    #[default]
    Q35,
    /// i440FX with PCI.
    Pc,
}

/// Whether the delays of a firmware are skipped.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", rename = "firmware-delays")]
pub enum FirmwareDelays {
    /// They are skipped.
    #[default]
    Skip,
    /// They are kept, as on a physical machine.
    Keep,
}

/// The version of a TPM.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename = "tpm")]
pub enum Tpm {
    /// Version 2.0, emulated by swtpm.
    #[serde(rename = "2.0")]
    Two,
}

/// The model of a NIC.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", rename = "nic-model")]
pub enum NicModel {
    /// virtio-net-pci.
    #[default]
    Virtio,
    /// Intel 82540EM.
    E1000,
    /// Intel 82574L.
    E1000e,
    /// Intel 82545EM, the older card for servers.
    #[serde(rename = "e1000-82545em")]
    E1000Server,
    /// Intel 82576; needs QEMU 8.0.
    Igb,
    /// Intel 82559C, a card of 100 Mbit/s.
    I82559c,
    /// AMD PCnet.
    Pcnet,
    /// Realtek 8139.
    Rtl8139,
    /// VMware vmxnet3.
    Vmxnet3,
}

/// How a disk is attached.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", rename = "bus")]
pub enum Bus {
    /// virtio-blk.
    #[default]
    Virtio,
    /// AHCI.
    Sata,
    /// virtio-scsi.
    Scsi,
    /// NVMe.
    Nvme,
    /// A USB stick, which can be unplugged.
    Usb,
}

/// The kind of a partition table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", rename = "table")]
pub enum TableKind {
    /// GUID partition table.
    Gpt,
    /// Master boot record, with up to four partitions.
    Mbr,
}

impl TableKind {
    /// Returns the word of the lab file.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Gpt => "gpt",
            Self::Mbr => "mbr",
        }
    }
}

/// A power action.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", rename = "power")]
pub enum PowerAction {
    /// Power on.
    On,
    /// Press the power button and wait until the guest has shut down (soft off, ACPI).
    Off,
    /// Power off at once.
    ForceOff,
    /// Power off at once and on again.
    Cycle,
    /// Reset.
    Reset,
    /// Raise a non-maskable interrupt.
    Nmi,
}

impl PowerAction {
    /// Every action.
    pub const ALL: [Self; 6] = [Self::On, Self::Off, Self::ForceOff, Self::Cycle, Self::Reset, Self::Nmi];

    /// How long a guest may take to shut down after its power button was pressed.
    pub const SHUTDOWN: Duration = Duration::from_secs(60);

    /// Returns its name in the path of the API.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::On => "on",
            Self::Off => "off",
            Self::ForceOff => "force-off",
            Self::Cycle => "cycle",
            Self::Reset => "reset",
            Self::Nmi => "nmi",
        }
    }
}

/// A boot target that overrides the boot order of a firmware.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", rename = "boot-target")]
pub enum BootTarget {
    /// Its NICs.
    Network,
    /// Its disks, without USB sticks.
    Disk,
    /// Its CD drives.
    Cd,
    /// Its USB sticks.
    Usb,
    /// The setup menu of the firmware.
    Setup,
    /// HTTP boot of the firmware, of UEFI only.
    Http,
}

impl BootTarget {
    /// Returns its name in the API.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Network => "network",
            Self::Disk => "disk",
            Self::Cd => "cd",
            Self::Usb => "usb",
            Self::Setup => "setup",
            Self::Http => "http",
        }
    }
}

/// Link state.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", rename = "link")]
pub enum RawLink {
    /// Connected.
    Up,
    /// Disconnected.
    Down,
}
