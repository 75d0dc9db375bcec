//! The text of steps, one line each.

use std::collections::BTreeSet;
use std::fmt::{self, Write as _};

use super::{
    DiskPlan, HostMachinePlan, HostNicPlan, MediumPlan, NodeKind, NodePlan, Plan, StartOptions, Step,
};
use crate::lab::Access;
use crate::name::{IfName, NodeName, Trigger};

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::BuildImage { image } => write!(f, "build image {image}"),
            Self::Download { url, sha256 } => {
                write!(f, "download {url} unless the cache has it, sha256 {sha256}")
            }
            Self::MakeNamespaces { uplink: None } => write!(f, "create namespaces, without uplink"),
            Self::MakeNamespaces { uplink: Some(way) } => {
                write!(f, "create namespaces, with uplink {} {} (pasta)", way.interface, way.address)
            }
            Self::Publish { listen, node, to } => {
                let what = node.as_ref().map_or("boot services", NodeName::as_str);
                write!(f, "publish {what}: {listen} to {to}")
            }
            Self::NameFiles { nameserver, .. } => match nameserver {
                Some(server) => write!(f, "write hosts and resolv.conf, name server {server}"),
                None => write!(f, "write hosts and resolv.conf, no name server"),
            },
            Self::Bridge(bridge) => write!(
                f,
                "create bridge {} for network {}: {}{}, {}, mtu {}",
                bridge.interface,
                bridge.network,
                bridge.address.map_or("no address".to_owned(), |address| address.to_string()),
                bridge.ipv6.map(|ipv6| format!(", {ipv6}")).unwrap_or_default(),
                bridge.mac,
                bridge.mtu
            ),
            Self::Capture(capture) => {
                let networks: Vec<_> =
                    capture.networks.iter().map(|captured| captured.network.as_str()).collect();
                write!(
                    f,
                    "capture frames of {} into {}: up to {}, {} file contents",
                    networks.join(", "),
                    capture.path.display(),
                    capture.size,
                    if capture.payload { "with" } else { "without" }
                )
            }
            Self::Port(port) => {
                write!(
                    f,
                    "attach host interface {} to network {}, bridge {}",
                    port.interface, port.network, port.bridge
                )
            }
            Self::Forward { .. } => write!(f, "forward IPv4"),
            Self::Firewall(firewall) => {
                let subnets: Vec<_> = firewall.masquerade.iter().map(|m| m.subnet.to_string()).collect();
                write!(f, "load nftables table ip {}: masquerade {}", firewall.table, subnets.join(", "))
            }
            Self::ForeignAccept(rule) => write!(
                f,
                "accept traffic of {} in {}'s nftables chain {} {} {}",
                rule.bridge, rule.owner, rule.family, rule.table, rule.chain
            ),
            Self::Serve(service) => {
                let Some(server) = service.server() else {
                    write!(
                        f,
                        "watch network {}, {}: nobody of Dryrack is on it",
                        service.network, service.subnet
                    )?;
                    return match &service.probe_from {
                        Some(host) => write!(f, ", nodes are reached from host {host}"),
                        None => Ok(()),
                    };
                };
                let services = match service.services().0 {
                    services if services.is_empty() => "nothing".to_owned(),
                    services => services.join(", "),
                };
                write!(
                    f,
                    "serve network {} at {}{}: {}; {}, {}",
                    service.network,
                    server,
                    service.ipv6.map(|ipv6| format!(" and {}", ipv6.addr())).unwrap_or_default(),
                    services,
                    count(service.files.len(), "file"),
                    count(service.texts.len(), "text")
                )
            }
            Self::Disk(disk) => {
                let DiskPlan { disk: name, node, size, backing, keep, path: _ } = disk;
                match (backing, keep) {
                    (Some(backing), false) => {
                        write!(f, "create disk {name} of {node}: {size} over {backing}")
                    }
                    (None, false) => write!(f, "create disk {name} of {node}: {size}, blank"),
                    (Some(backing), true) => {
                        write!(
                            f,
                            "use the kept disk {name} of {node}, or create it: {size}, a copy of {backing}"
                        )
                    }
                    (None, true) => {
                        write!(f, "use the kept disk {name} of {node}, or create it: {size}, blank")
                    }
                }
            }
            Self::Medium(MediumPlan { node, cd, source }) => {
                write!(f, "insert {source} into CD drive {cd} of {node}")
            }
            Self::Variables { node, template, .. } => {
                write!(f, "copy firmware variables of {node} from {}", template.display())
            }
            Self::Seed(seed) => {
                let files: BTreeSet<_> =
                    seed.files.keys().chain(seed.copies.keys()).map(String::as_str).collect();
                let files: Vec<_> = files.into_iter().collect();
                write!(f, "write cloud-init seed of {}: {}", seed.node, files.join(", "))
            }
            Self::Tap(tap) => {
                write!(f, "create tap {} for {}'s {} on {}", tap.interface, tap.node, tap.nic, tap.bridge)
            }
            Self::Bmc { node, network, address, port } => {
                write!(f, "start the BMC of {node}: {address} on {network}, port {port}")
            }
            Self::Machine { node } => write!(f, "start machine {node}, paused"),
            Self::Host { host, ports } if ports.is_empty() => write!(f, "prepare host {host}"),
            Self::Host { host, ports } => {
                let ports: Vec<_> = ports.iter().map(IfName::as_str).collect();
                write!(f, "prepare host {host}, with {}", ports.join(", "))
            }
            Self::Process(process) => {
                let on = process.host.as_ref().map(|host| format!(" on {host}")).unwrap_or_default();
                let once = process.after.as_ref().map(|after| match after {
                    Trigger::Expect(after) => format!(" once `{after}` is met"),
                    Trigger::Action(after) => format!(" once action `{after}` is done"),
                    Trigger::Process(after) => format!(" once process `{after}` is ready"),
                });
                let (name, once) = (&process.process, once.unwrap_or_default());
                let of = process.image.as_ref().map(|image| format!(" from {image}")).unwrap_or_default();
                let run = process.run.as_ref().map(|run| format!(": {}", run.trim())).unwrap_or_default();
                write!(f, "start process {name}{of}{on}{once}{run}")
            }
            Self::Ready { process, by, seconds } => {
                write!(f, "wait until process {process} is ready, at most {seconds} s: {by}")
            }
            Self::PowerOn { node, after: None } => write!(f, "power on {node}"),
            Self::PowerOn { node, after: Some(after) } => write!(f, "power on {node} after {after}"),
        }
    }
}

fn count(number: usize, of: &str) -> String {
    format!("{number} {of}{}", if number == 1 { "" } else { "s" })
}

/// Formats what a host is made of, one part per line.
fn parts(host: &HostMachinePlan) -> String {
    let mut text = String::new();
    for nic in &host.nics {
        let address = nic.address.map_or_else(|| "address by DHCP".to_owned(), |address| address.to_string());
        let HostNicPlan { interface, network, mac, .. } = nic;
        write!(text, "\n  {interface} on network {network}: {mac}, {address}")
            .expect("writing to a string cannot fail");
    }
    if let Some(gateway) = host.gateway {
        write!(text, "\n  default route by {gateway}").expect("writing to a string cannot fail");
    }
    if host.router {
        text += "\n  forwards IPv4";
        let out: Vec<_> = host.masquerade.iter().map(IfName::as_str).collect();
        if !out.is_empty() {
            write!(text, ", masquerades on {}", out.join(", ")).expect("writing to a string cannot fail");
        }
    }
    for (path, file) in &host.files {
        let access = match file.access {
            Access::ReadOnly => "read-only",
            Access::Copy => "a copy",
            Access::Write => "writable",
        };
        write!(text, "\n  {} is {}, {access}", path.display(), file.source)
            .expect("writing to a string cannot fail");
    }
    text
}

/// Formats the start command of a node, one option with its value per line.
fn command(node: &NodePlan) -> String {
    let NodeKind::Qemu(qemu) = &node.kind;
    let mut text = format!(":\n{}", qemu.program.display());
    for argument in qemu.arguments(node, &StartOptions::default()) {
        text += if argument.starts_with('-') { "\n  " } else { " " };
        text += &argument;
    }
    text
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "lab {}, {} steps, machines under {}", self.lab, self.steps.len(), self.accel.as_str())?;
        for (index, step) in self.steps.iter().enumerate() {
            let mut text = step.to_string();
            if let Step::Host { host, .. } = step
                && let Some(plan) = self.hosts.get(host)
            {
                text.push_str(&parts(plan));
            }
            if let Step::Machine { node } = step
                && let Some(plan) = self.nodes.get(node)
            {
                text.push_str(&command(plan));
            }
            for (line, part) in text.lines().enumerate() {
                match line {
                    0 => writeln!(f, "{:>4}  {part}", index + 1)?,
                    _ => writeln!(f, "      {part}")?,
                }
            }
        }
        Ok(())
    }
}

impl Step {
    /// Returns the first line of the step's text, for events and progress.
    pub fn title(&self) -> String {
        let text = self.to_string();
        text.lines().next().unwrap_or_default().to_owned()
    }
}
