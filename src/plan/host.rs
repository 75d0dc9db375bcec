//! Checks that a plan still fits the host.

use std::collections::BTreeSet;
use std::path::PathBuf;

use super::{Accel, HostFacts, NodeKind, NodePlan, Plan, Refusal, Step, mebibytes};
use crate::lab::Isolation;
use crate::name::{Bytes, IfName};

/// Checks the facts that a plan depends on again. A change since then is refused, with the reason.
///
/// Images that are not built yet do not count as a change: they are built.
pub fn check_host(plan: &Plan, now: &HostFacts) -> Result<(), Refusal> {
    let mut changes = programs(plan, now);
    if plan.accel == Accel::Kvm && now.accel != Accel::Kvm {
        changes.push("KVM does not boot a machine on this host".to_owned());
    }
    changes.extend(firmware(plan, now));
    if plan.isolation == Isolation::None {
        changes.extend(network(plan, now));
    }
    changes.extend(subnets(plan, now));
    if asks_host_resolvers(plan) && plan.host.resolvers != now.resolvers {
        changes.push("the name servers of this host are others".to_owned());
    }
    if !changes.is_empty() {
        return Err(Refusal::new(
            format!("this host is not as it was when the plan was made: {}", changes.join("; ")),
            "make the plan again: `dryrack plan LAB --json > FILE`",
        ));
    }
    let started = plan.nodes.values().filter(|node| node.starts());
    check_memory(started.map(|node| node.memory), now.free_memory)
}

/// Checks that there is enough memory for the nodes that the lab starts.
pub(super) fn check_memory(nodes: impl Iterator<Item = Bytes>, free: Bytes) -> Result<(), Refusal> {
    let wanted = nodes.fold(0_u64, |sum, memory| sum.saturating_add(memory.0));
    if wanted <= free.0 {
        return Ok(());
    }
    Err(Refusal::new(
        format!(
            "the nodes need {} of memory, but this host has {} free",
            mebibytes(wanted),
            mebibytes(free.0)
        ),
        "reduce the memory of nodes, set `start = \"manual\"` for some, or stop other labs",
    ))
}

fn programs(plan: &Plan, now: &HostFacts) -> Vec<String> {
    let then = &plan.host;
    let uses = |wanted: fn(&Step) -> bool| plan.steps.iter().any(wanted);
    let mut changes = Vec::new();
    if uses(|step| matches!(step, Step::Machine { .. })) && then.qemu != now.qemu {
        let version = |facts: &HostFacts| {
            facts.qemu.as_ref().map(|qemu| {
                let (major, minor, micro) = qemu.version;
                let lack = if qemu.lacks_ipmi { ", without IPMI" } else { "" };
                format!("{} ({major}.{minor}.{micro}{lack})", qemu.program.display())
            })
        };
        changes.push(match (version(then), version(now)) {
            (_, None) => "QEMU is not installed".to_owned(),
            (None, Some(now)) => format!("QEMU is {now}"),
            (Some(then), Some(now)) => format!("QEMU is {now}, it was {then}"),
        });
    }
    let needs = [
        ("pasta", uses(|step| matches!(step, Step::MakeNamespaces { uplink: Some(_) })), now.pasta.is_some()),
        ("nft", uses(|step| matches!(step, Step::Firewall(_))), now.nft.is_some()),
        ("qemu-img", uses(|step| matches!(step, Step::Disk(_))), now.qemu_img.is_some()),
        ("swtpm", plan.nodes.values().any(has_tpm), now.swtpm.is_some()),
    ];
    let missing = needs.into_iter().filter(|(_, needed, there)| *needed && !there);
    changes.extend(missing.map(|(program, ..)| format!("the program `{program}` is not installed")));
    changes
}

fn has_tpm(node: &NodePlan) -> bool {
    let NodeKind::Qemu(qemu) = &node.kind;
    qemu.tpm.is_some()
}

/// The firmware code is an argument of QEMU, the template of its variables is copied.
fn firmware(plan: &Plan, now: &HostFacts) -> Vec<String> {
    let templates: BTreeSet<_> = plan
        .steps
        .iter()
        .filter_map(|step| match step {
            Step::Variables { template, .. } => Some(template),
            _ => None,
        })
        .collect();
    let of = |facts: &HostFacts, template: &PathBuf| {
        facts.firmware.iter().find(|file| file.variables == *template).cloned()
    };
    let changed = templates.into_iter().filter(|template| match of(now, template) {
        None => true,
        is => is != of(&plan.host, template),
    });
    changed
        .map(|template| format!("the UEFI firmware with {} is not as it was", template.display()))
        .collect()
}

/// Compares the host settings that a lab in the host's own network changes and later restores.
fn network(plan: &Plan, now: &HostFacts) -> Vec<String> {
    let link = |facts: &HostFacts, name: &IfName| facts.links.iter().find(|link| link.name == *name).cloned();
    let mut changes = Vec::new();
    for step in &plan.steps {
        if let Step::Bridge(bridge) = step
            && link(now, &bridge.interface).is_some()
        {
            changes.push(format!("interface {} exists, whose name a bridge would have", bridge.interface));
        }
        let Step::Port(port) = step else { continue };
        let interface = &port.interface;
        let Some(is) = link(now, interface) else {
            changes.push(format!("interface {interface} does not exist"));
            continue;
        };
        let Some(was) = link(&plan.host, interface) else {
            changes.push(format!("interface {interface} is new"));
            continue;
        };
        if is.up != port.was_up {
            changes.push(format!("interface {interface} is {}", if is.up { "up" } else { "down" }));
        }
        if is.master != was.master {
            changes.push(match &is.master {
                Some(master) => format!("interface {interface} is a port of {master}"),
                None => format!("interface {interface} is no port any more"),
            });
        }
        if is.addresses != was.addresses {
            let addresses: Vec<_> = is.addresses.iter().map(ToString::to_string).collect();
            changes.push(match addresses.as_slice() {
                [] => format!("interface {interface} has no address"),
                addresses => format!("interface {interface} has the address {}", addresses.join(", ")),
            });
        }
        if is.mtu != was.mtu {
            changes.push(format!("interface {interface} has MTU {}, it was {}", is.mtu, was.mtu));
        }
    }
    if plan.steps.iter().any(|step| matches!(step, Step::Firewall(_))) {
        if plan.host.ip_forward != now.ip_forward {
            let is = if now.ip_forward { "on" } else { "off" };
            changes.push(format!("IPv4 forwarding is {is}"));
        }
        if plan.host.forward_drops != now.forward_drops {
            changes.push("other firewall chains drop forwarded traffic".to_owned());
        }
    }
    changes
}

/// A new subnet on the host may overlap with one of the lab.
fn subnets(plan: &Plan, now: &HostFacts) -> Vec<String> {
    let own = plan.steps.iter().flat_map(|step| match step {
        Step::Bridge(bridge) if plan.isolation == Isolation::None => {
            [bridge.address.map(Into::into), bridge.ipv6.map(Into::into)]
        }
        Step::MakeNamespaces { uplink: Some(way) } => [Some(way.address.into()), None],
        _ => [None, None],
    });
    let own: Vec<ipnet::IpNet> = own.flatten().collect();
    let fresh = now.subnets.iter().filter(|net| net.prefix_len() > 0 && !plan.host.subnets.contains(net));
    let clash = fresh.filter(|net| own.iter().any(|own| super::network::overlap(**net, *own)));
    clash.map(|net| format!("this host uses {net}, which the lab uses too")).collect()
}

/// Tells whether the DNS of a network forwards to the name servers of the host.
fn asks_host_resolvers(plan: &Plan) -> bool {
    let of_host = |address: std::net::SocketAddr| plan.host.resolvers.contains(&address.ip());
    plan.isolation == Isolation::None
        && plan.steps.iter().any(|step| match step {
            Step::Serve(service) => service.dns.upstream.iter().copied().any(of_host),
            _ => false,
        })
}
