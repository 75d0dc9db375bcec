//! Machines of libvirt, Hardware of Tinkerbell, groups of matchbox.

use super::Case;
use crate::diag::{Code, Diagnostic, nearest};
use crate::import::document::{Document, ItemId};
use crate::import::{Kind, data_directory, libvirt, tinkerbell};

/// Checks the machines of one file.
pub(super) fn check(case: &Case, found: &mut Vec<Diagnostic>) {
    match case.kind {
        Kind::Libvirt => domains(&case.document, found),
        Kind::Tinkerbell => {
            hardware(&case.document, found);
            older(&case.document, found);
        }
        Kind::Matchbox => {
            groups(&case.document, found);
            profiles(case, found);
        }
        _ => {}
    }
}

fn domains(document: &Document, found: &mut Vec<Diagnostic>) {
    for domain in libvirt::elements(document, "domain") {
        let Some(devices) = document.get(domain, "devices") else { continue };
        let interfaces = document.all(devices, "interface");
        if libvirt::is_uefi(document, domain)
            && !interfaces.is_empty()
            && document.get(devices, "rng").is_none()
        {
            let os = document.get(domain, "os").unwrap_or(domain);
            let what = "the machine has UEFI and no `<rng>`: newer OVMF then has no network boot";
            found.push(
                Diagnostic::new(Code::NoRandomness, document.span(os), what)
                    .help("add `<rng model='virtio'><backend model='random'>/dev/urandom</backend></rng>` to `<devices>`"),
            );
        }
        let order = libvirt::boot_order(document, domain);
        let by_network = |item: &ItemId| document.text(*item) == "network";
        let os = document.get(domain, "os");
        let boots = os.map(|os| document.all(os, "boot")).unwrap_or_default();
        let device = boots.iter().filter_map(|boot| document.get(*boot, "@dev")).find(by_network);
        if let (Some(device), true, true) = (device, interfaces.len() > 1, order.is_empty()) {
            let what = format!(
                "the machine has {} NICs, and which one boots is up to their order on the bus",
                interfaces.len()
            );
            found.push(Diagnostic::new(Code::NicOrder, document.span(device), what).help(
                "replace `<boot dev='network'/>` by `<boot order='1'/>` in the `<interface>` that boots",
            ));
        }
    }
}

fn hardware(document: &Document, found: &mut Vec<Diagnostic>) {
    let mut check = |interface: ItemId| {
        let netboot = document.get(interface, "netboot");
        if let Some(dhcp) = document.get(interface, "dhcp") {
            if let Some(mac) = document.get(dhcp, "mac")
                && document.text(mac).chars().any(|c| c.is_ascii_uppercase())
            {
                found.push(
                    Diagnostic::new(
                        Code::UpperCaseHardware,
                        document.span(mac),
                        "the MAC address is in upper case, and Tinkerbell does not find it",
                    )
                    .help(format!("write `{}`", document.text(mac).to_ascii_lowercase())),
                );
            }
            let disabled =
                document.get(interface, "disableDhcp").is_some_and(|item| document.text(item) == "true");
            let ip = document.get(dhcp, "ip");
            let address = ip.and_then(|ip| document.get(ip, "address"));
            let mask = ip.and_then(|ip| document.get(ip, "netmask"));
            if let Some(address) = address
                .filter(|item| mask.is_none() && document.text(*item).parse::<std::net::Ipv4Addr>().is_ok())
            {
                found.push(
                    Diagnostic::new(
                        Code::ForeignValue,
                        document.span(address),
                        "the address has no `netmask`, so Tinkerbell does not answer the machine",
                    )
                    .help("add `netmask: 255.255.255.0`"),
                );
            }
            let lease = document.get(dhcp, "lease_time").map(|item| document.text(item).to_owned());
            if !disabled && lease.is_none_or(|lease| lease == "0") {
                let item = document.get(dhcp, "lease_time").unwrap_or(dhcp);
                found.push(
                    Diagnostic::new(
                        Code::NoLeaseTime,
                        document.span(item),
                        "without `lease_time` Tinkerbell gives leases of zero seconds",
                    )
                    .help("add `lease_time: 86400`"),
                );
            }
        }
        let Some(netboot) = netboot else {
            found.push(
                Diagnostic::new(
                    Code::PxeForbidden,
                    document.span(interface),
                    "the interface has no `netboot`, so Tinkerbell does not answer it",
                )
                .help("add `netboot: { allowPXE: true }`"),
            );
            return;
        };
        let allowed = document.get(netboot, "allowPXE");
        if allowed.is_none_or(|item| document.text(item) != "true") {
            let item = allowed.unwrap_or(netboot);
            found.push(
                Diagnostic::new(
                    Code::PxeForbidden,
                    document.span(item),
                    "the machine may not boot from the network: it is told `netboot-not-allowed`",
                )
                .help("set `allowPXE: true`"),
            );
        }
    };
    for object in tinkerbell::objects(document) {
        if tinkerbell::disabled(document, object).is_some() {
            continue;
        }
        let interfaces = document.at(object, &["spec", "interfaces"]);
        interfaces.map(|list| document.children(list)).unwrap_or_default().into_iter().for_each(&mut check);
    }
}

/// Checks the entries of the older map.
fn older(document: &Document, found: &mut Vec<Diagnostic>) {
    for (entry, _) in tinkerbell::older(document) {
        let name = document.name(entry);
        if name.chars().any(|c| c.is_ascii_uppercase()) {
            let what = "the MAC address is in upper case, and Tinkerbell does not find it";
            found.push(
                Diagnostic::new(Code::UpperCaseHardware, document.span(entry), what)
                    .help(format!("write `{}`", name.to_ascii_lowercase())),
            );
        }
        let lease = document.get(entry, "leaseTime");
        if lease.is_none_or(|item| document.text(item) == "0") {
            let what = "without `leaseTime` Tinkerbell gives leases of zero seconds";
            found.push(
                Diagnostic::new(Code::NoLeaseTime, document.span(lease.unwrap_or(entry)), what)
                    .help("add `leaseTime: 86400`"),
            );
        }
        let netboot = document.get(entry, "netboot");
        let allowed = netboot.and_then(|netboot| document.get(netboot, "allowPxe"));
        if allowed.is_none_or(|item| document.text(item) != "true") {
            let at = allowed.or(netboot).unwrap_or(entry);
            let what = "the machine may not boot from the network: it is told `netboot-not-allowed`";
            found.push(
                Diagnostic::new(Code::PxeForbidden, document.span(at), what)
                    .help("set `allowPxe: true` in `netboot`"),
            );
        }
    }
}

/// Checks what the profiles of matchbox name.
fn profiles(case: &Case, found: &mut Vec<Diagnostic>) {
    let matchboxes = case.setup.networks.iter().filter_map(|network| network.matchbox.as_ref());
    for asset in matchboxes.flat_map(|matchbox| &matchbox.value.missing) {
        let what = format!("`{}` is not in the data directory", asset.value.path);
        found.push(
            Diagnostic::new(Code::ForeignFile, asset.from.clone(), what)
                .help("put it there, or correct the path"),
        );
    }
    let document = &case.document;
    for (profile, _) in data_directory::of_folder(document, "profiles") {
        if let Some((at, initrd)) = data_directory::unnamed_initrd(document, profile) {
            let what = format!("the kernel has no argument `initrd={initrd}`, and panics under UEFI");
            found.push(
                Diagnostic::new(Code::ForeignInitrd, document.span(at), what)
                    .help(format!("add \"initrd={initrd}\" to `args`; a BIOS ignores it")),
            );
        }
    }
}

fn groups(document: &Document, found: &mut Vec<Diagnostic>) {
    let profiles: Vec<String> =
        data_directory::of_folder(document, "profiles").into_iter().map(|(_, name)| name).collect();
    for (group, name) in data_directory::of_folder(document, "groups") {
        let Some(profile) = document.get(group, "profile") else {
            found.push(
                Diagnostic::new(
                    Code::GroupWithoutProfile,
                    document.span(group),
                    format!("the group `{name}` names no profile"),
                )
                .help("add `\"profile\": \"NAME\"`"),
            );
            continue;
        };
        let wanted = document.text(profile);
        if profiles.iter().any(|known| known == wanted) {
            continue;
        }
        let help = match nearest(wanted, profiles.iter().map(String::as_str)) {
            Some(near) => format!("did you mean `{near}`?"),
            None => format!("add profiles/{wanted}.json"),
        };
        let what = format!(
            "there is no profile `{wanted}`, so matchbox answers machines of the group `{name}` with 404"
        );
        found.push(Diagnostic::new(Code::GroupWithoutProfile, document.span(profile), what).help(help));
    }
}
