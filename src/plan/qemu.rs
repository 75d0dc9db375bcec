//! The QEMU machine of a node, for QEMU 7.2 or later.
//!
//! A plan describes the machine; its arguments are rendered last, at each start, because the boot target of the
//! firmware and the CD in the drive may change from start to start.

mod render;

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::{
    Accel, FirmwareFile, HostFacts, NodeKind, NodePlan, Qemu, Refusal, TapPlan,
    boot::{Netboots, boots_from_network},
    node::{NodeDisk, node as plan_node},
};
use crate::lab::{
    Boot, BootDevice, Bus, CdDrive, Chipset, Disk, FaultKind, Firmware, FirmwareDelays, MachineFault, Nic,
    NicModel, Node, Seed, Share, Tpm, Via,
};
use crate::name::{Bytes, DiskName, LabName, NicName};

pub use render::{CD, below, cd_id, disk_id, flash_format, nic_id, processor};

/// The oldest supported QEMU.
pub(crate) const OLDEST: (u32, u32, u32) = (7, 2, 0);

/// The path of the lab's CA certificate in the run folder, in the format of EDK2.
pub const CACERTS: &str = "authority/cacerts";

/// Slots of the root bus reserved for the chipset and its functions.
const SLOTS: usize = 26;

/// Bytes of the port number of COM1 (0x3f8, little-endian): SeaBIOS mirrors its screen to it.
const SERCON_PORT: [u8; 2] = [0xf8, 0x03];

/// The manufacturer of a machine in SMBIOS, and in what its BMC tells.
pub const MANUFACTURER: &str = "Dryrack";

/// The name of the USB stick that a BMC plugs in, and its serial number.
const BMC_STICK: &str = "usb";
const BMC_STICK_SERIAL: &str = "virtual-media";

/// The file in `node/NAME` with the variables of a UEFI firmware.
pub const VARIABLES: &str = "vars.fd";

/// The folder in `node/NAME` with the copies of shares.
pub const SHARES: &str = "share";

/// The socket in `node/NAME` on which swtpm listens, and the folder with the contents of the TPM.
pub const TPM: (&str, &str) = ("tpm.sock", "tpm");

/// The socket in `node/NAME` on which QEMU serves the screen while it runs.
pub const SCREEN_SOCKET: &str = "qemu-vnc.sock";

/// The socket in `node/NAME` on which QEMU serves the interface to the BMC while it runs.
pub const BMC_SOCKET: &str = "bmc.sock";

/// The ID of the character device of the serial console. Its files are set before each start by QMP.
pub const CONSOLE: &str = "console";

/// A QEMU machine.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct QemuPlan {
    /// The QEMU program.
    pub program: PathBuf,
    /// What executes guest code.
    pub accel: Accel,
    /// Its chipset.
    pub chipset: Chipset,
    /// Its identity in SMBIOS tables.
    pub identity: Identity,
    /// Its firmware.
    pub firmware: QemuFirmware,
    /// The firmware that it has while a fault lasts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wrong_firmware: Option<QemuFirmware>,
    /// What decides the boot order.
    pub boot_order: BootOrder,
    /// The devices behind its NICs.
    pub nics: BTreeMap<NicName, NicDevice>,
    /// The devices behind its disks.
    pub disks: BTreeMap<DiskName, DiskDevice>,
    /// The devices behind its CD drives.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub cds: BTreeMap<DiskName, CdDevice>,
    /// The USB stick that its BMC plugs in, if it has one. Its BMC always has a CD drive as well.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bmc_stick: Option<NodeDisk>,
    /// Whether its system has no interface to its BMC, because this QEMU has no such device.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub lacks_ipmi: bool,
    /// Whether it has a volume with the cloud-init seed.
    pub seed: bool,
    /// The kernel that it boots directly, without a boot loader.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kernel: Option<DirectKernel>,
    /// Small files that it reads, by path relative to `node/NAME`.
    pub files: BTreeMap<String, Vec<u8>>,
    /// Whether a key press skips the banner of iPXE.
    pub skip_banner: bool,
    /// Whether it is reported how much it writes to its disks.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub watch_writes: bool,
    /// Folders of the host that it mounts.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub shares: Vec<Share>,
    /// Its TPM.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tpm: Option<TpmDevice>,
    /// Its CPU, if not the one that suits the accelerator.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cpu: Option<String>,
    /// Further arguments, from the lab file.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub further: Vec<String>,
}

impl QemuPlan {
    /// Returns what the lab file asks of QEMU beyond the format, as arguments; `None` if nothing.
    pub fn extras(&self) -> Option<String> {
        let cpu = self.cpu.iter().map(|cpu| format!("-cpu {cpu}"));
        let all: Vec<_> = cpu.chain(self.further.iter().cloned()).collect();
        (!all.is_empty()).then(|| all.join(" "))
    }
}

/// The identity of a machine in SMBIOS tables.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identity {
    /// The product: the name of the lab.
    pub product: LabName,
    /// The UUID.
    pub uuid: uuid::Uuid,
    /// The serial number.
    pub serial: String,
    /// The asset tag.
    pub asset_tag: String,
}

/// The firmware of a QEMU machine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum QemuFirmware {
    /// SeaBIOS.
    Bios,
    /// OVMF.
    Uefi {
        /// The code, the format of the variable store and its requirements.
        file: Box<FirmwareFile>,
        /// IP versions for which its own PXE is hidden.
        hidden_pxe: Vec<IpVersion>,
        /// Whether it trusts the CA of the lab for HTTPS boot.
        trusts_lab: bool,
    },
}

/// A version of IP.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum IpVersion {
    /// IPv4.
    Ipv4,
    /// IPv6.
    Ipv6,
}

/// What decides the boot order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum BootOrder {
    /// QEMU passes it to the firmware by the boot indices of the devices: to a BIOS at each start, to UEFI while its
    /// variables are new.
    Devices,
    /// The firmware keeps it in its variables.
    Variables,
}

/// The device behind a NIC.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct NicDevice {
    /// Its model.
    pub model: NicModel,
    /// Whether it has an option ROM with iPXE.
    pub rom: bool,
    /// Its position in the boot order, counted from 1 over all devices; never booted if `None`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub boot_index: Option<usize>,
}

/// The device behind a disk.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DiskDevice {
    /// How it is attached.
    pub bus: Bus,
    /// Its position in the boot order, counted from 1 over all devices; never booted if `None`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub boot_index: Option<usize>,
}

/// A TPM, emulated by a program of its own.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TpmDevice {
    /// The swtpm program.
    pub program: PathBuf,
    /// Its version.
    pub version: Tpm,
}

/// The device behind a CD drive.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CdDevice {
    /// Its position in the boot order, counted from 1 over all devices; never booted if `None`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub boot_index: Option<usize>,
}

/// A kernel that a machine boots without a boot loader.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DirectKernel {
    /// The file; a relative path is relative to `node/NAME`.
    pub file: PathBuf,
    /// Its command line.
    pub arguments: String,
}

/// Plans a node that is a QEMU machine, or returns what is missing on this host.
///
/// `taps` are those of the node.
pub(super) fn machine_plan(
    netboots: &Netboots<'_>,
    node: &Node,
    facts: &HostFacts,
    accel: Accel,
    taps: &[TapPlan],
) -> Result<NodePlan, Refusal> {
    let lab = netboots.lab;
    let program = qemu(facts)?.program.clone();
    has_nics(node, qemu(facts)?)?;
    let (order, boot_order) = match &node.boot {
        Boot::Order(devices) => (BootIndices::of(node, devices), BootOrder::Devices),
        Boot::Nvram => (BootIndices::default(), BootOrder::Variables),
    };
    let nic = |nic: &Nic| {
        let boot_index = order.nics.get(&nic.name).copied();
        (nic.name.clone(), NicDevice { model: nic.model, rom: nic.rom, boot_index })
    };
    let disk = |disk: &Disk| {
        let boot_index = order.disks.get(&disk.name).copied();
        (disk.name.clone(), DiskDevice { bus: disk.bus, boot_index })
    };
    let cd = |cd: &CdDrive| (cd.name.clone(), CdDevice { boot_index: order.cds.get(&cd.name).copied() });
    let wrong = lab.faults.values().find_map(|fault| match fault.kind {
        FaultKind::Machine(MachineFault::Firmware(wrong)) => {
            fault.nodes.contains(&node.name).then_some(wrong)
        }
        _ => None,
    });
    let firmware = qemu_firmware(netboots, node, facts)?;
    let wrong = wrong.map(|firmware| qemu_firmware(netboots, &Node { firmware, ..node.clone() }, facts));
    let wrong_firmware = wrong.transpose()?;
    let files = match [Some(&firmware), wrong_firmware.as_ref()].contains(&Some(&QemuFirmware::Bios)) {
        true => BTreeMap::from([(render::SERCON_FILE.to_owned(), SERCON_PORT.to_vec())]),
        false => BTreeMap::new(),
    };
    let qemu = QemuPlan {
        program,
        accel,
        chipset: node.machine,
        identity: Identity {
            product: lab.name.clone(),
            uuid: node.uuid,
            serial: node.serial.clone(),
            asset_tag: node.asset_tag.clone(),
        },
        firmware,
        wrong_firmware,
        boot_order,
        nics: node.nics.iter().map(nic).collect(),
        disks: node.disks.iter().map(disk).collect(),
        cds: node.cds.iter().map(cd).collect(),
        bmc_stick: node.bmc.as_ref().map(|_| bmc_stick(node)),
        lacks_ipmi: node.bmc.is_some() && qemu(facts)?.lacks_ipmi,
        seed: matches!(node.seed, Seed::NoCloud { volume: true, .. }),
        kernel: None,
        files,
        skip_banner: node.firmware_delays == FirmwareDelays::Skip && boots_from_network(node),
        watch_writes: lab
            .expectations
            .values()
            .any(|expect| expect.progress.is_some() && expect.nodes.contains(&node.name)),
        shares: node.shares.clone(),
        tpm: tpm(node, facts)?,
        cpu: node.qemu.cpu.clone(),
        further: node.qemu.args.clone(),
    };
    let plan = plan_node(netboots, node, NodeKind::Qemu(Box::new(qemu)), taps);
    let NodeKind::Qemu(qemu) = &plan.kind;
    let slots = qemu.slots(&plan);
    if slots > SLOTS {
        return Err(Refusal::new(
            format!("node `{}` has {slots} PCI devices, but its root bus has room for {SLOTS}", node.name),
            "put disks on `bus = \"scsi\"`, which share one slot, or give the node fewer NICs or shares",
        ));
    }
    Ok(plan)
}

fn qemu_firmware(netboots: &Netboots<'_>, node: &Node, facts: &HostFacts) -> Result<QemuFirmware, Refusal> {
    if node.firmware == Firmware::Bios {
        return Ok(QemuFirmware::Bios);
    }
    let https = |nic: &Nic| netboots.lab.networks.get(&nic.network).is_some_and(|net| net.https);
    Ok(QemuFirmware::Uefi {
        file: Box::new(firmware(node, facts)?.clone()),
        hidden_pxe: hidden_pxe(netboots, node).to_vec(),
        trusts_lab: node.nics.iter().any(https),
    })
}

/// Returns the UEFI firmware for a node, if the host has it.
pub(super) fn firmware<'a>(node: &Node, facts: &'a HostFacts) -> Result<&'a FirmwareFile, Refusal> {
    let machine = versioned(node.machine, qemu(facts)?);
    let runs = |file: &&FirmwareFile| file.machines.iter().any(|pattern| matches(pattern, &machine));
    let mut candidates = facts.firmware.iter().filter(runs);
    let (found, kind) = match node.firmware {
        Firmware::UefiSecure => (
            candidates.find(|file| file.secure_boot && file.enrolled_keys),
            "with Secure Boot and enrolled keys",
        ),
        Firmware::Bios | Firmware::Uefi => {
            // Firmware with Secure Boot but without keys boots unsigned code too, only slower.
            let open = |file: &&FirmwareFile| !file.enrolled_keys;
            let plain = candidates.clone().filter(open).find(|file| !file.secure_boot);
            (plain.or_else(|| candidates.find(open)), "without enrolled keys")
        }
    };
    found.ok_or_else(|| {
        let hint = match (node.machine, node.firmware) {
            (Chipset::Pc, Firmware::UefiSecure) => "Secure Boot needs `machine = \"q35\"`",
            (Chipset::Pc | Chipset::Q35, Firmware::Bios | Firmware::Uefi | Firmware::UefiSecure) => {
                "install OVMF (Debian, Ubuntu: `ovmf`; Fedora: `edk2-ovmf`; Arch: `edk2-ovmf`; openSUSE: `qemu-ovmf-x86_64`)"
            }
        };
        Refusal::new(format!("node `{}` needs UEFI firmware {kind} for {machine}, which this host does not have", node.name), hint)
    })
}

fn qemu(facts: &HostFacts) -> Result<&Qemu, Refusal> {
    let install = "install QEMU 7.2 or later (Debian, Ubuntu: `qemu-system-x86 qemu-utils`, in one command; \
                   Fedora: `qemu-system-x86-core qemu-img`; Arch: `qemu-base`)";
    let Some(qemu) = &facts.qemu else {
        return Err(Refusal::new("this host has no `qemu-system-x86_64`", install));
    };
    if qemu.version < OLDEST {
        let (major, minor, micro) = qemu.version;
        let why =
            format!("{} is QEMU {major}.{minor}.{micro}; 7.2 or later is required", qemu.program.display());
        return Err(Refusal::new(why, install));
    }
    Ok(qemu)
}

/// Plans the USB stick of a BMC, with a name that nothing in the lab file has.
fn bmc_stick(node: &Node) -> NodeDisk {
    let is_taken = |name: &DiskName| {
        node.disks.iter().any(|disk| disk.name == *name) || node.cds.iter().any(|cd| cd.name == *name)
    };
    let further = (2..).map(|number| format!("{BMC_STICK}{number}"));
    let names = std::iter::once(BMC_STICK.to_owned()).chain(further);
    let free = names.filter_map(|name| DiskName::new(&name).ok()).find(|name| !is_taken(name));
    NodeDisk { disk: free.expect("numbers do not end"), serial: BMC_STICK_SERIAL.to_owned(), size: Bytes(0) }
}

/// Plans the TPM of a node, if this host has what emulates it.
fn tpm(node: &Node, facts: &HostFacts) -> Result<Option<TpmDevice>, Refusal> {
    let Some(version) = node.tpm else { return Ok(None) };
    let Some(program) = facts.swtpm.clone() else {
        let what = format!("node `{}` has a TPM, and this host has no `swtpm`", node.name);
        return Err(Refusal::new(what, "install swtpm (the package is called so everywhere)"));
    };
    Ok(Some(TpmDevice { program, version }))
}

/// Refuses models of NICs that a QEMU does not have.
fn has_nics(node: &Node, qemu: &Qemu) -> Result<(), Refusal> {
    match node.nics.iter().find(|nic| nic.model == NicModel::Igb) {
        Some(nic) if qemu.version < (8, 0, 0) => {
            let (major, minor, micro) = qemu.version;
            let what = format!(
                "NIC `{}` of node `{}` is an igb, which QEMU {major}.{minor}.{micro} does not have",
                nic.name, node.name
            );
            Err(Refusal::new(what, "use QEMU 8.0 or later, or `model = \"e1000e\"`"))
        }
        _ => Ok(()),
    }
}

/// Returns the versioned machine type of a chipset name of QEMU.
fn versioned(chipset: Chipset, qemu: &Qemu) -> String {
    let (major, minor, _) = qemu.version;
    match chipset {
        Chipset::Q35 => format!("pc-q35-{major}.{minor}"),
        Chipset::Pc => format!("pc-i440fx-{major}.{minor}"),
    }
}

/// Returns whether a machine type matches a pattern of a firmware descriptor, whose only wildcard is `*`.
fn matches(pattern: &str, machine: &str) -> bool {
    match pattern.split_once('*') {
        None => pattern == machine,
        Some((head, rest)) => machine.strip_prefix(head).is_some_and(|tail| {
            (0..=tail.len()).any(|at| tail.get(at..).is_some_and(|tail| matches(rest, tail)))
        }),
    }
}

/// Returns the IP versions for which a UEFI firmware's own PXE is hidden.
///
/// HTTP boot comes after PXE in OVMF's order and cannot be hidden, so it is selected by hiding the entries before it.
/// If the ROM of iPXE boots, hiding them saves half a second under emulation, for entries after those of the ROM.
fn hidden_pxe(netboots: &Netboots<'_>, node: &Node) -> &'static [IpVersion] {
    if boots_by_ipxe_alone(node) {
        return &[IpVersion::Ipv4, IpVersion::Ipv6];
    }
    let via = netboots.profile(&node.name).and_then(|profile| profile.via);
    match (&node.boot, via) {
        // A firmware that keeps boot entries in variables has to list all of them.
        (Boot::Nvram, _) | (Boot::Order(_), None) => &[],
        (Boot::Order(_), Some(Via::Pxe)) => &[IpVersion::Ipv6],
        (Boot::Order(_), Some(Via::Pxe6)) => &[IpVersion::Ipv4],
        (Boot::Order(_), Some(Via::Http | Via::Http6 | Via::Https)) => &[IpVersion::Ipv4, IpVersion::Ipv6],
    }
}

/// Returns whether a node would use UEFI's own PXE only after iPXE's ROM has failed.
///
/// Not so with Secure Boot, which rejects the ROM, or if boot entries are kept in variables, which must list all of
/// them.
fn boots_by_ipxe_alone(node: &Node) -> bool {
    node.firmware_delays == FirmwareDelays::Skip
        && node.firmware == Firmware::Uefi
        && matches!(node.boot, Boot::Order(_))
        && node.nics.iter().all(|nic| nic.rom)
}

/// The position of each device in the boot order, counted from 1 over all devices.
#[derive(Default)]
struct BootIndices {
    disks: BTreeMap<DiskName, usize>,
    cds: BTreeMap<DiskName, usize>,
    nics: BTreeMap<NicName, usize>,
}

impl BootIndices {
    fn of(node: &Node, devices: &[BootDevice]) -> Self {
        let mut order = Self::default();
        let mut next = 1..;
        let mut index = || next.next().expect("a counter without end");
        for device in devices {
            let (mut disks, mut cds, mut nics) = (Vec::new(), Vec::new(), Vec::new());
            let on = |is_usb: bool| node.disks.iter().filter(move |disk| (disk.bus == Bus::Usb) == is_usb);
            match device {
                BootDevice::Disk => disks.extend(on(false).map(|disk| &disk.name)),
                BootDevice::Usb => disks.extend(on(true).map(|disk| &disk.name)),
                BootDevice::Cd => cds.extend(node.cds.iter().map(|cd| &cd.name)),
                BootDevice::Network => nics.extend(node.nics.iter().map(|nic| &nic.name)),
                BootDevice::OneDisk(name) => disks.push(name),
                BootDevice::OneCd(name) => cds.push(name),
                BootDevice::OneNic(name) => nics.push(name),
            }
            for disk in disks {
                order.disks.entry(disk.clone()).or_insert_with(&mut index);
            }
            for cd in cds {
                order.cds.entry(cd.clone()).or_insert_with(&mut index);
            }
            for nic in nics {
                order.nics.entry(nic.clone()).or_insert_with(&mut index);
            }
        }
        order
    }
}

#[cfg(test)]
mod tests;
