//! What the machine consists of: processors, memory, disks, NICs.

use serde_json::{Value, json};

use super::odata::{healthy, link, links, powered, resource};
use super::system::architecture;
use crate::bmc::Bmc;
use crate::bmc::inventory::{DiskBus, Link};

/// Returns a processor.
pub(super) fn processor(bmc: &Bmc, index: usize) -> Option<Value> {
    let inventory = &bmc.identity.inventory;
    let processor = inventory.processors.get(index)?;
    let (architecture, instructions) = architecture(inventory.architecture);
    let id = (index + 1).to_string();
    let uri = format!("{}/Processors/{id}", bmc.redfish.settings.system_uri());
    Some(resource(
        "Processor",
        &uri,
        &id,
        &format!("Processor {id}"),
        json!({
            "Socket": format!("CPU {index}"),
            "ProcessorType": "CPU",
            "ProcessorArchitecture": architecture,
            "InstructionSet": instructions,
            "Manufacturer": bmc.identity.manufacturer,
            "Model": processor.model,
            "TotalCores": processor.cores,
            "TotalThreads": processor.threads,
            "Status": powered(bmc.power().is_on()),
        }),
    ))
}

/// Returns a memory module.
pub(super) fn memory(bmc: &Bmc, index: usize) -> Option<Value> {
    let module = bmc.identity.inventory.memory.get(index)?;
    let id = (index + 1).to_string();
    let uri = format!("{}/Memory/{id}", bmc.redfish.settings.system_uri());
    Some(resource(
        "Memory",
        &uri,
        &id,
        &format!("DIMM {index}"),
        json!({
            "DeviceLocator": format!("DIMM {index}"),
            "MemoryType": "DRAM",
            "MemoryDeviceType": "DDR4",
            "BaseModuleType": "RDIMM",
            "CapacityMiB": module.mebibytes,
            "Manufacturer": bmc.identity.manufacturer,
            "Status": powered(bmc.power().is_on()),
        }),
    ))
}

/// Returns the storage: one controller for all disks.
pub(super) fn storage(bmc: &Bmc) -> Value {
    let uri = format!("{}/Storage/1", bmc.redfish.settings.system_uri());
    let drives: Vec<String> =
        (1..=bmc.identity.inventory.disks.len()).map(|id| format!("{uri}/Drives/{id}")).collect();
    resource(
        "Storage",
        &uri,
        "1",
        "Storage",
        json!({
            "Status": powered(bmc.power().is_on()),
            "Drives": links(drives.iter().map(String::as_str)),
            "Drives@odata.count": drives.len(),
            "Controllers": link(&format!("{uri}/Controllers")),
            "Volumes": link(&format!("{uri}/Volumes")),
            "Links": { "Enclosures": links([bmc.redfish.settings.chassis_uri().as_str()]) },
        }),
    )
}

/// Returns the controller of the disks.
pub(super) fn controller(bmc: &Bmc) -> Value {
    let uri = format!("{}/Storage/1/Controllers/1", bmc.redfish.settings.system_uri());
    let mut protocols: Vec<&str> =
        bmc.identity.inventory.disks.iter().map(|disk| protocol(disk.bus)).collect();
    protocols.sort_unstable();
    protocols.dedup();
    resource(
        "StorageController",
        &uri,
        "1",
        "Storage controller",
        json!({
            "Manufacturer": bmc.identity.manufacturer,
            "Model": "Virtual storage controller",
            "SupportedControllerProtocols": ["PCIe"],
            "SupportedDeviceProtocols": protocols,
            "Status": powered(bmc.power().is_on()),
        }),
    )
}

fn protocol(bus: DiskBus) -> &'static str {
    match bus {
        DiskBus::Sata => "SATA",
        DiskBus::Nvme => "NVMe",
        // The schema has no name for virtio-blk.
        DiskBus::Scsi | DiskBus::Virtio => "SAS",
    }
}

/// Returns a disk.
pub(super) fn drive(bmc: &Bmc, index: usize) -> Option<Value> {
    let disk = bmc.identity.inventory.disks.get(index)?;
    let id = (index + 1).to_string();
    let uri = format!("{}/Storage/1/Drives/{id}", bmc.redfish.settings.system_uri());
    Some(resource(
        "Drive",
        &uri,
        &id,
        &disk.name,
        json!({
            "Manufacturer": bmc.identity.manufacturer,
            "Model": disk.model,
            "SerialNumber": disk.serial,
            "CapacityBytes": disk.bytes,
            "BlockSizeBytes": 512,
            "MediaType": "SSD",
            "Protocol": protocol(disk.bus),
            "Status": powered(bmc.power().is_on()),
            "Links": { "Chassis": link(&bmc.redfish.settings.chassis_uri()) },
        }),
    ))
}

/// Returns the disks as simple storage.
pub(super) fn simple_storage(bmc: &Bmc) -> Value {
    let system = bmc.redfish.settings.system_uri();
    let status = powered(bmc.power().is_on());
    let devices: Vec<Value> = bmc
        .identity
        .inventory
        .disks
        .iter()
        .map(|disk| {
            json!({
                "Name": disk.name,
                "Manufacturer": bmc.identity.manufacturer,
                "Model": disk.model,
                "CapacityBytes": disk.bytes,
                "Status": status,
            })
        })
        .collect();
    resource(
        "SimpleStorage",
        &format!("{system}/SimpleStorage/1"),
        "1",
        "Disks",
        json!({
            "Status": status,
            "Devices": devices,
            "Links": { "Storage": link(&format!("{system}/Storage/1")) },
        }),
    )
}

/// Returns a NIC.
pub(super) fn nic(bmc: &Bmc, index: usize) -> Option<Value> {
    let nic = bmc.identity.inventory.nics.get(index)?;
    let id = (index + 1).to_string();
    let uri = format!("{}/EthernetInterfaces/{id}", bmc.redfish.settings.system_uri());
    let mac = nic.mac.to_string();
    Some(resource(
        "EthernetInterface",
        &uri,
        &id,
        &nic.name,
        json!({
            "Description": format!("NIC {}", nic.name),
            "MACAddress": mac,
            "PermanentMACAddress": mac,
            "EthernetInterfaceType": "Physical",
            "SpeedMbps": nic.mbps,
            "FullDuplex": true,
            "InterfaceEnabled": true,
            "LinkStatus": match nic.link {
                Link::Up => "LinkUp",
                Link::Down => "LinkDown",
            },
            "Status": healthy(),
            "Links": { "Chassis": link(&bmc.redfish.settings.chassis_uri()) },
        }),
    ))
}
