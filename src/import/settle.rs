//! One description out of those of several files, with everything decided that no file says.

use std::collections::BTreeSet;
use std::net::Ipv4Addr;
use std::ops::RangeInclusive;

use ipnet::Ipv4Net;

use super::boot::{http, is_url};
use super::option::SERVER;
use super::setup::{DhcpMode, Machine, Network, Nic, Note, Setup, Sourced};
use crate::diag::Span;
use crate::name::{NetworkName, NodeName, slug};

/// The most machines of a lab; clients beyond are reservations.
pub(super) const MOST_MACHINES: usize = 16;

/// A network of which everything is known.
#[derive(Debug, Clone)]
pub(super) struct SettledNetwork {
    pub(super) name: String,
    pub(super) server: Sourced<Ipv4Addr>,
    pub(super) subnet: Sourced<Ipv4Net>,
    pub(super) pool: Option<Sourced<(Ipv4Addr, Ipv4Addr)>>,
    /// How many machines without an address of their own have room beside it.
    pub(super) room: usize,
    /// An address that nobody else has.
    pub(super) spare: Ipv4Addr,
    pub(super) network: Network,
}

/// A machine of which everything is known.
#[derive(Debug, Clone)]
pub(super) struct SettledMachine {
    pub(super) name: String,
    pub(super) machine: Machine,
    /// NICs with the index of their network.
    pub(super) nics: Vec<(usize, Nic)>,
    pub(super) from: Option<Span>,
}

/// What becomes a lab.
#[derive(Debug, Clone)]
pub(super) struct Settled {
    pub(super) networks: Vec<SettledNetwork>,
    pub(super) machines: Vec<SettledMachine>,
    pub(super) reservations: Vec<SettledMachine>,
    pub(super) notes: Vec<Note>,
}

/// Unites descriptions: what several files say of one network is said of it by all of them.
pub(super) fn unite(setups: Vec<Setup>) -> Setup {
    let mut all = Setup::default();
    let mut networks = Vec::new();
    for setup in setups {
        all.notes.extend(setup.notes);
        networks.extend(setup.networks);
        all.servers.extend(setup.servers);
        for machine in setup.machines {
            match all.machines.iter_mut().find(|known| is_same_machine(known, &machine)) {
                Some(known) => merge_machine(known, machine),
                None => all.machines.push(machine),
            }
        }
    }
    // Those that say who they are come first, so that the others can be added to them.
    networks.sort_by_key(|network| (network.name.is_none(), network.subnet.is_none()));
    for network in networks {
        match all.networks.iter_mut().find(|known| is_same_network(known, &network)) {
            Some(known) => merge(known, network),
            None => all.networks.push(network),
        }
    }
    all
}

fn is_same_network(a: &Network, b: &Network) -> bool {
    let address = |network: &Network| network.server.as_ref().map(|server| server.value);
    match (&a.name, &b.name, &a.subnet, &b.subnet) {
        (Some(a), Some(b), ..) => a.value == b.value,
        (_, _, Some(a), Some(b)) => a.value.contains(&b.value) || b.value.contains(&a.value),
        (_, _, Some(net), None) if address(b).is_some() => address(b).is_some_and(|b| net.value.contains(&b)),
        (_, _, None, Some(net)) if address(a).is_some() => address(a).is_some_and(|a| net.value.contains(&a)),
        // What says nothing of itself is about the network that there is.
        _ => true,
    }
}

/// Returns the value that a file gives; what is only assumed counts less.
fn said<T>(known: Option<Sourced<T>>, other: Option<Sourced<T>>) -> Option<Sourced<T>> {
    let given = |value: &Option<Sourced<T>>| value.as_ref().is_some_and(|value| value.from.is_some());
    match given(&known) || !given(&other) {
        true => known.or(other),
        false => other,
    }
}

fn merge(known: &mut Network, other: Network) {
    known.name = known.name.take().or(other.name);
    known.server = known.server.take().or(other.server);
    if known.subnet.as_ref().is_none_or(|subnet| subnet.from.is_none()) && other.subnet.is_some() {
        known.subnet = other.subnet;
    }
    // Who assigns addresses counts more than who only tells boot files.
    let assigns = |dhcp: &Option<Sourced<DhcpMode>>| {
        dhcp.as_ref().is_some_and(|dhcp| dhcp.value == DhcpMode::Server && dhcp.from.is_some())
    };
    if known.dhcp.is_none() || !assigns(&known.dhcp) && assigns(&other.dhcp) {
        known.dhcp = other.dhcp;
    }
    known.pool = known.pool.take().or(other.pool);
    known.lease = said(known.lease.take(), other.lease);
    known.only_known = known.only_known.take().or(other.only_known);
    known.authoritative = said(known.authoritative.take(), other.authoritative);
    known.options.extend(other.options);
    known.boots.extend(other.boots);
    known.next_server = known.next_server.take().or(other.next_server);
    known.root = known.root.take().or(other.root);
    known.nat = known.nat.take().or(other.nat);
    known.mtu = known.mtu.take().or(other.mtu);
    known.matchbox = known.matchbox.take().or(other.matchbox);
    let dns = &mut known.dns;
    dns.off = dns.off.take().or(other.dns.off);
    dns.served |= other.dns.served;
    dns.domain = dns.domain.take().or(other.dns.domain);
    dns.records.extend(other.dns.records);
    dns.aliases.extend(other.dns.aliases);
    dns.services.extend(other.dns.services);
    dns.texts.extend(other.dns.texts);
    dns.upstream.extend(other.dns.upstream);
    dns.no_upstream = dns.no_upstream.take().or(other.dns.no_upstream);
}

fn is_same_machine(a: &Machine, b: &Machine) -> bool {
    let macs = |machine: &Machine| -> BTreeSet<_> {
        machine.nics.iter().filter_map(|nic| Some(nic.mac.as_ref()?.value)).collect()
    };
    !macs(a).is_disjoint(&macs(b))
}

fn merge_machine(known: &mut Machine, other: Machine) {
    for nic in other.nics {
        let mac = |nic: &Nic| nic.mac.as_ref().map(|mac| mac.value);
        match known.nics.iter_mut().find(|known| mac(known).is_some() && mac(known) == mac(&nic)) {
            Some(known) => {
                known.address = known.address.take().or(nic.address);
                known.network = known.network.take().or(nic.network);
                known.model = known.model.take().or(nic.model);
                known.client_id = known.client_id.take().or(nic.client_id);
            }
            None => known.nics.push(nic),
        }
    }
    known.name = known.name.take().or(other.name);
    known.firmware = known.firmware.take().or(other.firmware);
    known.cpus = known.cpus.take().or(other.cpus);
    known.memory = known.memory.take().or(other.memory);
    known.boot = known.boot.take().or(other.boot);
    known.uuid = known.uuid.take().or(other.uuid);
    known.serial = known.serial.take().or(other.serial);
    if known.disks.is_empty() {
        known.disks = other.disks;
    }
    known.options.extend(other.options);
}

/// Decides everything that no file says, for a lab whose machines our services answer, or the servers of the files.
pub(super) fn settle(mut setup: Setup, services: bool) -> Settled {
    let mut notes = std::mem::take(&mut setup.notes);
    if setup.networks.is_empty() {
        setup.networks.push(Network::default());
    }
    // Later networks with the subnet of an earlier one would overlap.
    let mut networks: Vec<SettledNetwork> = Vec::new();
    let count = setup.networks.len();
    for (index, network) in setup.networks.into_iter().enumerate() {
        let taken: Vec<Ipv4Net> = networks.iter().map(|network| network.subnet.value).collect();
        let subnet = subnet(&network, &setup.machines, count == 1, &taken, index, &mut notes);
        let mut network = network;
        // A lease of zero seconds is none.
        network.lease = network.lease.filter(|lease| lease.value > 0);
        // Their server has the leases of its file.
        if services {
            limit(&mut network.lease, LEASE, |seconds| format!("leases of {seconds} s"), &mut notes);
        }
        let names: Vec<&str> = networks.iter().map(|network| network.name.as_str()).collect();
        let wanted = network.name.as_ref().map(|name| name.value.as_str()).unwrap_or("lan");
        let name = free_name(wanted, "lan", &names, |name| NetworkName::new(name).is_ok());
        networks.push(SettledNetwork {
            name,
            server: Sourced::assumed(Ipv4Addr::UNSPECIFIED),
            subnet,
            pool: network.pool.clone(),
            room: 0,
            spare: Ipv4Addr::UNSPECIFIED,
            network,
        });
    }
    let reserved: Vec<BTreeSet<Ipv4Addr>> = networks
        .iter()
        .map(|network| {
            let nics = setup.machines.iter().flat_map(|machine| &machine.nics);
            nics.filter_map(|nic| Some(nic.address.as_ref()?.value))
                .filter(|address| network.subnet.value.contains(address))
                .collect()
        })
        .collect();
    for (network, reserved) in networks.iter_mut().zip(&reserved) {
        network.server = server(network, reserved);
        other_servers(network, &mut notes);
        let mut lost = Vec::new();
        network.pool = pool(network, reserved, &mut lost);
        // Their server has the pool of its file.
        notes.extend(lost.into_iter().filter(|_| services));
        let hosts = network.subnet.value.hosts().take(1 << 16).count();
        // The server has one of them.
        network.room = hosts.saturating_sub(1 + reserved.len());
        network.spare = spare(network, reserved);
    }
    let mut machines = machines(setup.machines, &networks, &mut notes);
    for (index, network) in networks.iter().enumerate().filter(|(_, network)| network.pool.is_none()) {
        let mut room = network.room;
        for machine in &mut machines {
            let from = machine.from.clone();
            machine.nics.retain(|(of, nic)| {
                if *of != index || nic.address.is_some() {
                    return true;
                }
                let fits = room > 0;
                room = room.saturating_sub(1);
                if let (Some(at), false) = (from.clone(), fits) {
                    notes.push(Note { at, text: format!("{} has no address left", network.subnet.value) });
                }
                fits
            });
        }
    }
    machines.retain(|machine| !machine.nics.is_empty());
    let reservations =
        if machines.len() > MOST_MACHINES { machines.split_off(MOST_MACHINES) } else { Vec::new() };
    for machine in &reservations {
        if let Some(at) = machine.from.clone() {
            let what = if services { "a reservation, not a node" } else { "no node" };
            let text = format!("it is {what}: a lab begins with {MOST_MACHINES} nodes");
            notes.push(Note { at, text });
        }
    }
    Settled { networks, machines, reservations, notes }
}

/// Returns a name that is valid and not taken.
fn free_name(wanted: &str, otherwise: &str, taken: &[&str], valid: impl Fn(&str) -> bool) -> String {
    let plain = slug(wanted.split('.').next().unwrap_or_default());
    let plain = if valid(&plain) { plain } else { otherwise.to_owned() };
    let mut name = plain.clone();
    let mut number = 2;
    while taken.contains(&name.as_str()) {
        name = format!("{}-{number}", &plain[..plain.len().min(50)]);
        number += 1;
    }
    name
}

/// Returns the subnet: as the files have it, around the addresses that they name, or any.
fn subnet(
    network: &Network,
    machines: &[Machine],
    only: bool,
    taken: &[Ipv4Net],
    index: usize,
    notes: &mut Vec<Note>,
) -> Sourced<Ipv4Net> {
    let overlaps = |net: &Ipv4Net| taken.iter().any(|taken| taken.contains(net) || net.contains(taken));
    let usable = |net: &Ipv4Net| {
        (8..=29).contains(&net.prefix_len()) && !net.addr().is_loopback() && is_usable(net.addr())
    };
    if let Some(subnet) = &network.subnet {
        let mut net = subnet.value.trunc();
        if subnet.from.is_none() {
            // An assumed size grows until all addresses of the pool are in it.
            let ends = network.pool.as_ref().map(|pool| pool.value);
            let holds =
                |net: &Ipv4Net| ends.is_none_or(|(first, last)| net.contains(&first) && net.contains(&last));
            while !holds(&net) && net.prefix_len() > 8 {
                net = Ipv4Net::new(net.addr(), net.prefix_len() - 1).map(|net| net.trunc()).unwrap_or(net);
            }
        }
        if usable(&net) && !overlaps(&net) {
            return Sourced { value: net, from: subnet.from.clone() };
        }
        if let Some(at) = subnet.from.clone() {
            notes.push(Note { at, text: format!("{net} cannot be the subnet of a network of the lab") });
        }
    }
    let named = network.server.as_ref().map(|server| server.value);
    let of_machine = || {
        let mut nics = machines.iter().flat_map(|machine| &machine.nics);
        nics.find_map(|nic| Some(nic.address.as_ref()?.value)).filter(|_| only)
    };
    let around =
        named.or_else(of_machine).and_then(|address| Ipv4Net::new(address, 24).ok()).map(|net| net.trunc());
    if let Some(net) = around.filter(|net| usable(net) && !overlaps(net)) {
        return Sourced::assumed(net);
    }
    let octet = |index: usize| u8::try_from(77 + index % 100).unwrap_or(77);
    let mut value = Ipv4Net::default();
    for step in 0..100 {
        value = Ipv4Net::new_assert(Ipv4Addr::new(10, octet(index + step), 0, 0), 24);
        if !overlaps(&value) {
            break;
        }
    }
    Sourced::assumed(value)
}

/// Returns whether an address can be that of a machine.
fn is_usable(address: Ipv4Addr) -> bool {
    let first = address.octets()[0];
    first != 0 && first != 127 && first < 224 && !address.is_link_local()
}

/// Returns whether an address can be used within a subnet.
fn is_host(net: &Ipv4Net, address: Ipv4Addr) -> bool {
    net.contains(&address) && address != net.network() && address != net.broadcast()
}

/// Returns the address of the server: what a file says, else what it must be, else the first free one.
fn server(settled: &SettledNetwork, reserved: &BTreeSet<Ipv4Addr>) -> Sourced<Ipv4Addr> {
    let SettledNetwork { network, subnet, .. } = settled;
    let fits = |address: &Ipv4Addr| is_host(&subnet.value, *address) && !reserved.contains(address);
    if let Some(server) = network.server.as_ref().filter(|server| fits(&server.value)) {
        return server.clone();
    }
    let mut candidates: Vec<(String, Option<Span>)> = Vec::new();
    candidates.extend(network.next_server.iter().map(|server| (server.value.clone(), server.from.clone())));
    for rule in &network.boots {
        candidates.extend(rule.server.iter().map(|server| (server.clone(), Some(rule.from.clone()))));
        if is_url(&rule.file) {
            candidates.extend(http(&rule.file).map(|(host, ..)| (host.to_owned(), Some(rule.from.clone()))));
        }
    }
    for option in &network.options {
        if matches!(option.value.0.as_str(), "routers" | "domain-name-servers") {
            candidates.push((option.value.1.trim_matches('"').to_owned(), option.from.clone()));
        }
    }
    for (text, from) in candidates {
        // A name may be one of the records.
        let record = network.dns.records.iter().find(|record| record.value.0.trim_end_matches('.') == text);
        let text = record.map_or(text, |record| record.value.1.to_string());
        if let Some(address) = text.parse().ok().filter(fits) {
            return Sourced { value: address, from };
        }
    }
    let in_pool = |address: &Ipv4Addr| {
        network.pool.as_ref().is_some_and(|pool| (pool.value.0..=pool.value.1).contains(address))
    };
    let mut hosts = subnet.value.hosts().take(1 << 16).filter(fits);
    let first = hosts.clone().find(|address| !in_pool(address)).or_else(|| hosts.next());
    Sourced::assumed(first.unwrap_or_else(|| subnet.value.network()))
}

/// Notes which boot files are those of servers that are not in the lab.
fn other_servers(settled: &SettledNetwork, notes: &mut Vec<Note>) {
    let SettledNetwork { network, server, .. } = settled;
    let rules = network.boots.iter().filter_map(|rule| Some((rule.server.clone()?, Some(rule.from.clone()))));
    let next = network.next_server.iter().map(|next| (next.value.clone(), next.from.clone()));
    for (text, from) in rules.chain(next) {
        let record = network.dns.records.iter().find(|record| record.value.0.trim_end_matches('.') == text);
        let address = record.map_or(text.clone(), |record| record.value.1.to_string());
        let own = address == server.value.to_string() || address == "0.0.0.0" || address.contains(SERVER);
        if let (false, Some(at)) = (own, from) {
            let text = format!("`{text}` is not in the lab, whose server is {}", server.value);
            notes.push(Note { at, text });
        }
    }
}

/// Returns an address that neither the server nor a machine has, if possible outside of the pool: the last one.
fn spare(settled: &SettledNetwork, reserved: &BTreeSet<Ipv4Addr>) -> Ipv4Addr {
    let net = settled.subnet.value;
    let is_free = |address: &Ipv4Addr| *address != settled.server.value && !reserved.contains(address);
    let pool = settled.network.pool.as_ref().map(|pool| pool.value);
    let in_pool = |address: &Ipv4Addr| pool.is_some_and(|(first, last)| (first..=last).contains(address));
    let last = net.broadcast().to_bits().saturating_sub(1);
    let first = last.saturating_sub(1 << 12).max(net.network().to_bits() + 1);
    let mut free = (first..=last).rev().map(Ipv4Addr::from_bits).filter(is_free);
    let outside = free.clone().find(|address| !in_pool(address));
    outside.or_else(|| free.next()).unwrap_or(settled.server.value)
}

/// Returns the pool without the addresses that are used otherwise: its longest free part.
fn pool(
    settled: &SettledNetwork,
    reserved: &BTreeSet<Ipv4Addr>,
    notes: &mut Vec<Note>,
) -> Option<Sourced<(Ipv4Addr, Ipv4Addr)>> {
    let pool = settled.pool.as_ref()?;
    let net = settled.subnet.value;
    let (first, last) = pool.value;
    let note = |notes: &mut Vec<Note>, text: String| {
        if let Some(at) = pool.from.clone() {
            notes.push(Note { at, text });
        }
    };
    let low = first.max(Ipv4Addr::from_bits(net.network().to_bits() + 1));
    let high = last.min(Ipv4Addr::from_bits(net.broadcast().to_bits() - 1));
    if low > high {
        note(notes, format!("the pool {first} to {last} is outside of {net}"));
        return None;
    }
    let mut used: Vec<u32> = reserved.iter().map(|address| address.to_bits()).collect();
    used.push(settled.server.value.to_bits());
    used.retain(|address| (low.to_bits()..=high.to_bits()).contains(address));
    used.sort_unstable();
    let mut best = (0, 0, 0);
    let mut begin = low.to_bits();
    for end in used.iter().copied().chain([high.to_bits() + 1]) {
        if end > begin && end - begin > best.0 {
            best = (end - begin, begin, end - 1);
        }
        begin = end + 1;
    }
    if best.0 == 0 {
        note(notes, format!("every address from {first} to {last} is used otherwise"));
        return None;
    }
    let found = (Ipv4Addr::from_bits(best.1), Ipv4Addr::from_bits(best.2));
    if found != (first, last) {
        note(
            notes,
            format!("the pool is {} to {}, without addresses that are used otherwise", found.0, found.1),
        );
    }
    Some(Sourced { value: found, from: pool.from.clone() })
}

/// The CPUs, the memory in MiB, and the seconds of a lease that a lab can have.
const CPUS: RangeInclusive<u64> = 1..=64;
/// Less starts no installer.
const MEMORY: RangeInclusive<u64> = 512..=1 << 20;
const LEASE: RangeInclusive<u64> = 60..=31_536_000;

/// Brings a value into a range, and notes it.
fn limit(
    value: &mut Option<Sourced<u64>>,
    range: RangeInclusive<u64>,
    words: impl Fn(u64) -> String,
    notes: &mut Vec<Note>,
) {
    let Some(Sourced { value, from }) = value else { return };
    let possible = (*value).clamp(*range.start(), *range.end());
    if let (Some(at), true) = (from.clone(), possible != *value) {
        notes.push(Note { at, text: format!("the lab has {}", words(possible)) });
    }
    *value = possible;
}

/// Settles names, networks and addresses of machines.
fn machines(
    machines: Vec<Machine>,
    networks: &[SettledNetwork],
    notes: &mut Vec<Note>,
) -> Vec<SettledMachine> {
    let mut settled: Vec<SettledMachine> = Vec::new();
    let (mut macs, mut addresses) = (BTreeSet::new(), BTreeSet::new());
    addresses.extend(networks.iter().map(|network| network.server.value));
    for machine in machines {
        let mut nics: Vec<(usize, Nic)> = Vec::new();
        let mut from = machine.name.as_ref().and_then(|name| name.from.clone());
        for nic in &machine.nics {
            let mut nic = nic.clone();
            from = from.or_else(|| nic.mac.as_ref()?.from.clone());
            let by_address = nic.address.as_ref().and_then(|address| {
                networks.iter().position(|network| network.subnet.value.contains(&address.value))
            });
            let by_name = nic.network.as_ref().and_then(|wanted| {
                let named = |network: &SettledNetwork| {
                    network.network.name.as_ref().is_some_and(|name| name.value == wanted.value)
                };
                networks.iter().position(named)
            });
            let index = by_name.or(by_address).unwrap_or(0);
            let note = |notes: &mut Vec<Note>, from: &Option<Span>, text: String| {
                if let Some(at) = from.clone() {
                    notes.push(Note { at, text });
                }
            };
            if let Some(mac) = nic.mac.clone() {
                let why = match (mac.value.is_group() || mac.value.0 == [0; 6], macs.insert(mac.value)) {
                    (true, _) => Some("is no address of one machine"),
                    (false, false) => Some("is that of another machine already"),
                    (false, true) => None,
                };
                if let Some(why) = why {
                    note(notes, &mac.from, format!("the MAC address {} {why}", mac.value));
                    nic.mac = None;
                }
            }
            if let Some(address) = nic.address.clone() {
                let net = &networks[index].subnet.value;
                let why = match (is_host(net, address.value), addresses.insert(address.value)) {
                    (false, _) => Some(format!("is no address for a machine of {net}")),
                    (true, false) => Some("is used already".to_owned()),
                    (true, true) => None,
                };
                if let Some(why) = why {
                    note(notes, &address.from, format!("{} {why}", address.value));
                    nic.address = None;
                }
            }
            nics.push((index, nic));
        }
        if nics.is_empty() {
            nics.push((0, Nic::default()));
        }
        let mut machine = machine;
        limit(&mut machine.cpus, CPUS, |count| format!("{count} CPUs"), notes);
        limit(&mut machine.memory, MEMORY, |size| format!("{size} MiB of memory"), notes);
        let names: Vec<&str> = settled.iter().map(|machine| machine.name.as_str()).collect();
        let wanted = machine.name.as_ref().map(|name| name.value.clone());
        let numbered = format!("node-{}", settled.len() + 1);
        let wanted = wanted.unwrap_or_else(|| numbered.clone());
        let name = free_name(&wanted, &numbered, &names, |name| NodeName::new(name).is_ok());
        settled.push(SettledMachine { name, machine, nics, from });
    }
    settled
}
