//! Addresses: pools, reservations, and who assigns them.

use std::collections::BTreeMap;

use super::Case;
use crate::diag::{Code, Diagnostic, Span};
use crate::import::Kind;
use crate::import::setup::{DhcpMode, Network};

/// Checks pools and reservations of one file.
pub(super) fn check(case: &Case, found: &mut Vec<Diagnostic>) {
    for network in &case.setup.networks {
        pool(case, network, found);
    }
    hosts(case, found);
    let only_known = case.setup.networks.iter().find_map(|network| network.only_known.as_ref());
    if let Some(known) = only_known.filter(|known| known.value && case.setup.machines.is_empty()) {
        found.push(
            Diagnostic::new(
                Code::NobodyKnown,
                known.from.clone(),
                "unknown clients are ignored, and no client is known",
            )
            .help("add the machines with their MAC addresses"),
        );
    }
}

fn pool(case: &Case, network: &Network, found: &mut Vec<Diagnostic>) {
    let Some(pool) = &network.pool else { return };
    let (first, last) = pool.value;
    let at = pool.from.clone();
    if first > last {
        let what = format!("the pool ends before it begins: {first} to {last}");
        found.push(Diagnostic::new(Code::ForeignPool, at, what).help("exchange the addresses"));
        return;
    }
    if let Some(subnet) = network.subnet.as_ref().filter(|subnet| subnet.from.is_some()) {
        let outside = [first, last].into_iter().find(|address| !subnet.value.contains(address));
        if let Some(address) = outside {
            let what = format!("{address} of the pool is outside of {}", subnet.value);
            let mut diagnostic = Diagnostic::new(Code::ForeignPool, at.clone(), what)
                .help("choose addresses of the subnet, or correct its mask");
            if let Some(from) = subnet.from.clone().filter(|from| Some(from) != at.as_ref()) {
                diagnostic = diagnostic.related(from, "the subnet");
            }
            found.push(diagnostic);
        }
    }
    // Only dhcpd of ISC gives a reserved address of a pool to somebody else.
    if case.kind == Kind::Isc {
        let nics = case.setup.machines.iter().flat_map(|machine| &machine.nics);
        for address in nics.filter_map(|nic| nic.address.as_ref()) {
            if (first..=last).contains(&address.value) {
                let what =
                    format!("{} is in the pool, so dhcpd may give it to another client", address.value);
                let mut diagnostic = Diagnostic::new(Code::HostInPool, address.from.clone(), what)
                    .help("reserve an address outside of `range`");
                if let Some(at) = at.clone() {
                    diagnostic = diagnostic.related(at, "the pool");
                }
                found.push(diagnostic);
            }
        }
    }
}

fn hosts(case: &Case, found: &mut Vec<Diagnostic>) {
    let (mut macs, mut addresses) = (BTreeMap::new(), BTreeMap::<_, Option<Span>>::new());
    let subnets: Vec<_> = case
        .setup
        .networks
        .iter()
        .filter_map(|network| network.subnet.as_ref())
        .filter(|subnet| subnet.from.is_some())
        .collect();
    // A network whose size nobody gives may hold any address.
    let all_known = subnets.len() == case.setup.networks.len();
    let again = |code, what: String, at: &Option<Span>, before: Option<Span>, help: &str| {
        let diagnostic = Diagnostic::new(code, at.clone(), what).help(help);
        match before {
            Some(before) => diagnostic.related(before, "used here"),
            None => diagnostic,
        }
    };
    for nic in case.setup.machines.iter().flat_map(|machine| &machine.nics) {
        if let Some(mac) = &nic.mac {
            if mac.value.is_group() {
                let what = format!("{} is a multicast address, which no NIC has", mac.value);
                found.push(
                    Diagnostic::new(Code::ForeignMac, mac.from.clone(), what)
                        .help("check the first byte: its lowest bit must be 0"),
                );
            }
            if let Some(before) = macs.insert(mac.value, mac.from.clone()) {
                let what = format!("the MAC address {} is that of two machines", mac.value);
                found.push(again(
                    Code::ForeignMacTwice,
                    what,
                    &mac.from,
                    before,
                    "remove one, or correct it",
                ));
            }
        }
        if let Some(address) = &nic.address {
            if let Some(before) = addresses.insert(address.value, address.from.clone()) {
                let what = format!("the address {} is that of two machines", address.value);
                found.push(again(
                    Code::ForeignAddressTwice,
                    what,
                    &address.from,
                    before,
                    "give each machine its own",
                ));
            }
            if all_known
                && !subnets.is_empty()
                && !subnets.iter().any(|subnet| subnet.value.contains(&address.value))
            {
                let nets: Vec<_> = subnets.iter().map(|subnet| subnet.value.to_string()).collect();
                let what = format!("the address {} is outside of {}", address.value, nets.join(" and "));
                found.push(
                    Diagnostic::new(Code::ForeignHost, address.from.clone(), what)
                        .help("choose an address of the subnet, or the machine gets another one or none"),
                );
            }
        }
    }
}

/// Checks that one server assigns the addresses of a network.
pub(super) fn servers(cases: &[Case], found: &mut Vec<Diagnostic>) {
    let mut seen: Vec<(&Network, Span)> = Vec::new();
    for (index, case) in cases.iter().enumerate() {
        // Hardware of Tinkerbell does not run a server, it is what one knows.
        if matches!(case.kind, Kind::Tinkerbell | Kind::Placemat | Kind::Vagrant | Kind::Matchbox) {
            continue;
        }
        let mut own = Vec::new();
        for network in &case.setup.networks {
            let mode = network.dhcp.as_ref().filter(|mode| mode.value == DhcpMode::Server);
            let pool = network.pool.as_ref().and_then(|pool| pool.from.clone());
            let at = mode.and_then(|mode| mode.from.clone().or(pool));
            let Some(at) = at else { continue };
            let same = |(other, _): &&(&Network, Span)| match (&other.subnet, &network.subnet) {
                (Some(a), Some(b)) => a.value.contains(&b.value) || b.value.contains(&a.value),
                _ => false,
            };
            if index > 0
                && let Some((_, before)) = seen.iter().find(same)
            {
                let what = "two DHCP servers assign addresses of one network";
                found.push(
                    Diagnostic::new(Code::TwoDhcpServers, at.clone(), what)
                        .related(before.clone(), "the other one")
                        .help("switch one of them off, or let it only tell boot files (ProxyDHCP)"),
                );
            }
            own.push((network, at));
        }
        seen.extend(own);
    }
}
