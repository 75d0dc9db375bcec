//! What a diagnosis knows of the machines of a plan.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use crate::diagnose::{Firmware, MachineFacts};
use crate::lab::{self, Bus};
use crate::name::NodeName;
use crate::plan::{NodeKind, NodePlan, Plan, Step};

/// Returns what the machines of a plan are made of, and where their values were written.
pub(super) fn machines(plan: &Plan) -> BTreeMap<NodeName, MachineFacts> {
    plan.nodes.iter().map(|(name, node)| (name.clone(), machine(plan, node))).collect()
}

/// Returns the addresses of the lab's own services.
pub(super) fn own_addresses(plan: &Plan) -> BTreeSet<IpAddr> {
    let services = plan.steps.iter().filter_map(|step| match step {
        Step::Serve(service) => Some(service),
        _ => None,
    });
    let addresses = services.flat_map(|service| {
        let v4 = service.address.map(|net| IpAddr::from(net.addr()));
        v4.into_iter().chain(service.ipv6.map(|net| IpAddr::from(net.addr())))
    });
    addresses.collect()
}

fn machine(plan: &Plan, node: &NodePlan) -> MachineFacts {
    let NodeKind::Qemu(qemu) = &node.kind;
    let disks: BTreeSet<String> = qemu.disks.values().map(|disk| bus(disk.bus).to_owned()).collect();
    // What the lab does on purpose, and what it expects, is none of the diagnosis's business.
    let is_told = |path: &str| !["fault.", "expect.", "action."].iter().any(|part| path.starts_with(part));
    let places = plan.origins.0.iter().filter(|(path, _)| is_told(path));
    MachineFacts {
        firmware: match node.firmware {
            lab::Firmware::Bios => Firmware::Bios,
            lab::Firmware::Uefi => Firmware::Uefi,
            lab::Firmware::UefiSecure => Firmware::UefiSecure,
        },
        memory: node.memory,
        // Every QEMU machine has one.
        rng: true,
        disks,
        link_down: node.nics.iter().any(|nic| !nic.link_up),
        macs: node.nics.iter().map(|nic| nic.mac).collect(),
        places: places.map(|(path, origin)| (path.clone(), origin.to_string())).collect(),
    }
}

/// Returns a bus as the lab file names it.
fn bus(bus: Bus) -> &'static str {
    match bus {
        Bus::Virtio => "virtio",
        Bus::Sata => "sata",
        Bus::Scsi => "scsi",
        Bus::Nvme => "nvme",
        Bus::Usb => "usb",
    }
}
