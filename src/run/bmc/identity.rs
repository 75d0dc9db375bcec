//! What a BMC knows of its machine and of itself, from the plan.

use std::collections::BTreeSet;
use std::net::Ipv4Addr;

use super::device;
use crate::bmc::identity::{Identity, Lan};
use crate::bmc::inventory::{
    Architecture, Disk, DiskBus, FirmwareKind, Inventory, Link, MemoryModule, Nic, Processor, SecureBootStart,
};
use crate::lab::{Bus, Firmware, NicModel};
use crate::plan::qemu::{MANUFACTURER, QemuFirmware, QemuPlan, flash_format, processor};
use crate::plan::{BmcPlan, BootTarget, NodeKind, NodePlan};

/// Returns what the BMC of a node knows.
pub(super) fn identity(node: &NodePlan, plan: &BmcPlan, devices: &BTreeSet<BootTarget>) -> Identity {
    let NodeKind::Qemu(qemu) = &node.kind;
    let parts: Vec<u8> = env!("CARGO_PKG_VERSION").split('.').filter_map(|part| part.parse().ok()).collect();
    let part = |index: usize| parts.get(index).copied().unwrap_or(0);
    Identity {
        node: node.node.to_string(),
        manufacturer: MANUFACTURER.to_owned(),
        product: qemu.identity.product.to_string(),
        serial: qemu.identity.serial.clone(),
        asset_tag: qemu.identity.asset_tag.clone(),
        uuid: qemu.identity.uuid.into_bytes(),
        version: (part(0), part(1)),
        lan: Lan {
            mac: plan.nic.mac,
            address: plan.address.addr(),
            mask: plan.address.netmask(),
            gateway: plan.gateway.unwrap_or(Ipv4Addr::UNSPECIFIED),
        },
        has_fans: true,
        inventory: inventory(node, qemu),
        devices: devices.iter().copied().map(device).collect(),
    }
}

fn inventory(node: &NodePlan, qemu: &QemuPlan) -> Inventory {
    let (firmware, firmware_version) = match node.firmware {
        Firmware::Bios => (FirmwareKind::Bios, "SeaBIOS"),
        Firmware::Uefi | Firmware::UefiSecure => (FirmwareKind::Uefi, "OVMF"),
    };
    // As QEMU tells it, without the features that are switched off.
    let cpu = qemu.cpu.as_deref().unwrap_or_else(|| processor(qemu.accel).1);
    let model = format!("QEMU {}", cpu.split(',').next().unwrap_or(cpu));
    let cores = u32::from(node.cpus);
    let disks = node.disks.iter().filter(|disk| !node.is_stick(&disk.disk));
    let disks = disks.map(|disk| {
        let bus = qemu.disks.get(&disk.disk).map(|device| device.bus).unwrap_or_default();
        let (bus, model) = match bus {
            Bus::Virtio => (DiskBus::Virtio, "virtio-blk"),
            Bus::Sata => (DiskBus::Sata, "QEMU HARDDISK"),
            Bus::Scsi => (DiskBus::Scsi, "QEMU HARDDISK"),
            Bus::Nvme => (DiskBus::Nvme, "QEMU NVMe Ctrl"),
            Bus::Usb => (DiskBus::Scsi, "QEMU USB HARDDRIVE"),
        };
        let (name, serial) = (disk.disk.to_string(), disk.serial.clone());
        Disk { name, model: model.to_owned(), serial, bytes: disk.size.0, bus }
    });
    let nics = node.nics.iter().map(|nic| Nic {
        name: nic.nic.to_string(),
        mac: nic.mac,
        mbps: qemu.nics.get(&nic.nic).map_or(1000, |device| speed(device.model)),
        link: if nic.link_up { Link::Up } else { Link::Down },
    });
    Inventory {
        firmware,
        firmware_version: firmware_version.to_owned(),
        secure_boot: match &qemu.firmware {
            // Only a raw image of variables can be changed.
            QemuFirmware::Uefi { file, .. }
                if node.firmware == Firmware::UefiSecure && flash_format(&file.variables) == "raw" =>
            {
                Some(SecureBootStart::Enabled)
            }
            QemuFirmware::Uefi { .. } | QemuFirmware::Bios => None,
        },
        has_tpm: qemu.tpm.is_some(),
        architecture: Architecture::X86,
        processors: vec![Processor { model, cores, threads: cores }],
        memory: vec![MemoryModule { mebibytes: u32::try_from(node.memory.0 >> 20).unwrap_or(u32::MAX) }],
        disks: disks.collect(),
        nics: nics.collect(),
        boot_options: Vec::new(),
    }
}

/// Returns the speed of a NIC in Mbit/s, as its data sheet has it.
fn speed(model: NicModel) -> u32 {
    match model {
        NicModel::E1000 | NicModel::E1000e | NicModel::E1000Server | NicModel::Igb | NicModel::Virtio => 1000,
        NicModel::I82559c | NicModel::Pcnet | NicModel::Rtl8139 => 100,
        NicModel::Vmxnet3 => 10_000,
    }
}
