//! Plans a lab: every effect in order, its undo, QEMU command lines, boot decisions.
//!
//! Pure: the same lab and host facts result in the same plan, byte for byte. Nothing is left to decide during its
//! execution.

mod bmc;
mod boot;
mod dhcp;
mod host;
mod hosts;
pub mod lint;
mod loader;
mod matchbox;
mod model;
mod network;
mod node;
mod process;
pub mod qemu;
mod read;
mod refusal;
mod text;
mod undo;
mod waits;

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

pub use crate::lab::BootTarget;
pub use bmc::BmcPlan;
pub use boot::{Netboots, SSH_KEY};
pub use host::check_host;
pub use matchbox::matchbox;
pub use model::*;
pub use network::bearer;
pub use node::{
    FirmwareSettings, LinkPlan, Medium, NicPlan, NodeDisk, NodeKind, NodePlan, OrderBy, StartOptions,
};
pub use qemu::QemuPlan;
pub use read::{PlanError, read};
pub use refusal::Refusal;
pub use undo::Undo;

use crate::lab::{self, AccelChoice, CdDrive, Lab, Node, Start};
use crate::name::{Bytes, ImageName, NetworkName, NodeName};
use network::Wiring;
use qemu::{QemuFirmware, VARIABLES};

/// Decides every effect of the lab on this host, in order, or returns why this host cannot run it.
pub fn plan(lab: &Lab, facts: &HostFacts) -> Result<Plan, Refusal> {
    let netboots = Netboots::new(lab);
    let wiring = Wiring::new(&netboots, facts)?;
    let accel = accel(lab.accel, facts.accel)?;
    let started = lab.nodes.values().filter(|node| node.start != Start::Manual);
    host::check_memory(started.map(|node| node.memory), facts.free_memory)?;

    let mut steps = Vec::new();
    if lab.isolation == crate::lab::Isolation::Private {
        steps.push(Step::MakeNamespaces { uplink: wiring.uplink() });
        steps.push(wiring.name_files());
    }
    steps.extend(lab.publish.iter().map(|publish| Step::Publish {
        listen: SocketAddr::from((Ipv4Addr::LOCALHOST, publish.port)),
        node: publish.node.clone(),
        to: SocketAddr::from((publish.address, publish.to)),
    }));
    steps.extend(lab.networks.values().map(|network| Step::Bridge(wiring.bridge(network))));
    steps.extend(lab.capture.map(|capture| Step::Capture(wiring.capture(capture))));
    steps.extend(lab.networks.values().filter_map(|network| wiring.port(network)).map(Step::Port));
    steps.extend(wiring.nat());
    steps.extend(lab.networks.values().map(|network| Step::Serve(Box::new(wiring.services(network)))));
    let mut nodes = BTreeMap::new();
    for node in lab.nodes.values() {
        let taps = wiring.taps(node);
        let plan = qemu::machine_plan(&netboots, node, facts, accel, &taps)?;
        let plan = NodePlan { bmc: wiring.bmc(node), ..plan };
        steps.extend(machine_steps(node, &plan, taps));
        nodes.insert(node.name.clone(), plan);
    }
    let hosts = wiring.hosts();
    steps.extend(hosts.values().map(|host| Step::Host {
        host: host.host.clone(),
        ports: host.nics.iter().map(|nic| nic.port.clone()).collect(),
    }));
    let (mut at_start, mut later) = (Vec::new(), Vec::new());
    for host in lab.hosts.values() {
        let power_on = |after| Step::PowerOn { node: host.name.clone(), after };
        match &host.start {
            Start::WithLab => at_start.push(power_on(None)),
            Start::After(trigger) => later.push(power_on(Some(trigger.clone()))),
            Start::Manual => {}
        }
    }
    let mut awaited = Vec::new();
    for process in process::processes(lab) {
        let host = process.host.as_ref().and_then(|host| lab.hosts.get(host));
        match process.after {
            Some(_) => later.push(Step::Process(process)),
            None => {
                let starts_now = host.is_none_or(|host| host.start == Start::WithLab);
                awaited.extend(process::ready(&process).filter(|_| starts_now));
                at_start.push(Step::Process(process));
            }
        }
    }
    // All of them are started first: one may need another to get ready.
    at_start.append(&mut awaited);
    for Node { name, start, .. } in lab.nodes.values() {
        match start {
            Start::WithLab => at_start.push(Step::PowerOn { node: name.clone(), after: None }),
            Start::After(trigger) => {
                later.push(Step::PowerOn { node: name.clone(), after: Some(trigger.clone()) });
            }
            Start::Manual => {}
        }
    }
    steps.extend(at_start.into_iter().chain(later));

    let mut plan = Plan {
        dryrack_plan: SCHEMA,
        version: env!("CARGO_PKG_VERSION").to_owned(),
        lab: lab.name.clone(),
        file: lab.file.clone(),
        recipes: Vec::new(),
        isolation: lab.isolation,
        accel,
        parallel_boots: lab.parallel_boots,
        networks: lab
            .networks
            .values()
            .map(|network| (network.name.clone(), node::network(network)))
            .collect(),
        nodes,
        hosts,
        processes: lab.processes.keys().cloned().collect(),
        expectations: lab.expectations.clone(),
        actions: lab.actions.clone(),
        faults: lab.faults.clone(),
        steps,
        origins: lab.origins.clone(),
        host: facts.clone(),
    };
    let unbuilt = plan.images().into_iter().filter(|image| !facts.built.contains(image));
    let build: Vec<Step> = unbuilt.map(|image| Step::BuildImage { image }).collect();
    let download = |(sha256, url)| Step::Download { url, sha256 };
    let build: Vec<Step> = build.into_iter().chain(plan.downloads().into_iter().map(download)).collect();
    plan.steps.splice(0..0, build);
    Ok(plan)
}

fn accel(choice: AccelChoice, tested: Accel) -> Result<Accel, Refusal> {
    match (choice, tested) {
        (AccelChoice::Tcg, _) => Ok(Accel::Tcg),
        (AccelChoice::Auto, tested) => Ok(tested),
        (AccelChoice::Kvm, Accel::Kvm) => Ok(Accel::Kvm),
        (AccelChoice::Kvm, Accel::Tcg) => Err(Refusal::new(
            "the lab requires `accel = \"kvm\"`, but KVM cannot boot a machine on this host",
            "run `dryrack doctor` to see why, or set `accel = \"auto\"`",
        )),
    }
}

fn mebibytes(bytes: u64) -> Bytes {
    Bytes(bytes >> 20 << 20)
}

fn machine_steps(node: &Node, plan: &NodePlan, taps: Vec<TapPlan>) -> Vec<Step> {
    let folder = format!("node/{}", node.name);
    let mut steps: Vec<Step> = Vec::new();
    for disk in &node.disks {
        steps.push(Step::Disk(DiskPlan {
            node: node.name.clone(),
            disk: disk.name.clone(),
            path: format!("{folder}/{}.qcow2", disk.name).into(),
            size: disk.size,
            backing: disk.source.clone(),
            keep: disk.keep,
        }));
    }
    for CdDrive { name, medium } in &node.cds {
        steps.extend(medium.as_ref().map(|source| {
            let (node, cd, source) = (node.name.clone(), name.clone(), source.clone());
            Step::Medium(MediumPlan { node, cd, source })
        }));
    }
    let NodeKind::Qemu(qemu) = &plan.kind;
    // Of the two, one at most is UEFI.
    for firmware in std::iter::once(&qemu.firmware).chain(&qemu.wrong_firmware) {
        match firmware {
            QemuFirmware::Uefi { file, .. } => {
                let (template, path) = (file.variables.clone(), format!("{folder}/{VARIABLES}").into());
                steps.push(Step::Variables { node: node.name.clone(), template, path });
            }
            QemuFirmware::Bios => {}
        }
    }
    steps.extend(boot::seed(node).map(Step::Seed));
    steps.extend(taps.into_iter().map(Step::Tap));
    // It is there before the machine, and after it.
    steps.extend(plan.bmc.as_ref().map(|bmc| Step::Bmc {
        node: node.name.clone(),
        network: bmc.nic.network.clone(),
        address: bmc.address.addr(),
        port: bmc.nic.port.clone(),
    }));
    steps.push(Step::Machine { node: node.name.clone() });
    steps
}

/// From where an address of the lab is reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reach<'a> {
    /// From the namespace with the bridges.
    Bridge,
    /// From a host, because nobody of ours is on the network.
    Host(&'a NodeName),
    /// Not at all: nobody of ours, and no such host, is on this network.
    Nobody(&'a NetworkName),
}

impl Plan {
    /// Returns from where an address is reached.
    pub fn reach(&self, address: IpAddr) -> Reach<'_> {
        let IpAddr::V4(address) = address else { return Reach::Bridge };
        let mut services = self.steps.iter().filter_map(|step| match step {
            Step::Serve(service) => Some(service),
            _ => None,
        });
        let network = services.find(|service| service.address.is_none() && service.subnet.contains(&address));
        match network {
            None => Reach::Bridge,
            Some(network) => match &network.probe_from {
                Some(host) => Reach::Host(host),
                None => Reach::Nobody(&network.network),
            },
        }
    }

    /// Returns the images that the steps need, each once, ordered by name.
    pub fn images(&self) -> BTreeSet<ImageName> {
        let of = |file: &lab::FileRef| match file {
            lab::FileRef::Image { image, file: _ } => Some(image.clone()),
            lab::FileRef::Path(_) | lab::FileRef::Lab(_) | lab::FileRef::Url { .. } => None,
        };
        let containers = self.containers();
        let archives = containers.iter().filter_map(|container| match container {
            lab::ContainerImage::Built { image, file: _ } => Some(image.clone()),
            lab::ContainerImage::Local { .. } | lab::ContainerImage::Registry(_) => None,
        });
        self.files().filter_map(of).chain(archives).collect()
    }

    /// Returns the container images that processes need, each once.
    pub fn containers(&self) -> BTreeSet<lab::ContainerImage> {
        let of = |step: &Step| match step {
            Step::Process(process) => process.image.clone(),
            _ => None,
        };
        self.steps.iter().filter_map(of).collect()
    }

    /// Returns the URLs of the files that are downloaded, by their digests.
    pub fn downloads(&self) -> BTreeMap<String, String> {
        let of = |file: &lab::FileRef| match file {
            lab::FileRef::Url { url, sha256 } => Some((sha256.clone(), url.clone())),
            lab::FileRef::Image { .. } | lab::FileRef::Path(_) | lab::FileRef::Lab(_) => None,
        };
        self.files().filter_map(of).collect()
    }

    /// Returns the files that the steps need.
    fn files(&self) -> impl Iterator<Item = &lab::FileRef> {
        let of_hosts = self.hosts.values().flat_map(|host| host.files.values().map(|file| &file.source));
        let of_steps = self.steps.iter().flat_map(|step| -> Vec<&lab::FileRef> {
            match step {
                Step::Serve(service) => service.files.values().map(|file| &file.source).collect(),
                Step::Disk(disk) => disk.backing.iter().collect(),
                Step::Medium(medium) => vec![&medium.source],
                Step::Process(process) => process.files.values().map(|file| &file.source).collect(),
                Step::BuildImage { .. }
                | Step::Download { .. }
                | Step::MakeNamespaces { .. }
                | Step::Publish { .. }
                | Step::NameFiles { .. }
                | Step::Bridge(_)
                | Step::Capture(_)
                | Step::Port(_)
                | Step::Forward { .. }
                | Step::Firewall(_)
                | Step::ForeignAccept(_)
                | Step::Variables { .. }
                | Step::Seed(_)
                | Step::Tap(_)
                | Step::Machine { .. }
                | Step::Bmc { .. }
                | Step::Host { .. }
                | Step::Ready { .. }
                | Step::PowerOn { .. } => Vec::new(),
            }
        });
        of_steps.chain(of_hosts)
    }
}

#[cfg(test)]
pub(crate) mod tests;
