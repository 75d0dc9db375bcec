//! A lab in which the servers of the files run themselves, on one host.

use std::collections::{BTreeMap, BTreeSet};

use super::option::quote;
use super::settle::{Settled, SettledNetwork};
use super::setup::{DhcpMode, Network, Note, Program, Server, Serves, Setup, Sourced};
use super::write::{self, Writer};

/// The host on which the servers run.
const HOST: &str = "deploy";

/// Where matchbox listens if no boot file says so.
const MATCHBOX_PORT: u16 = 8080;

/// Returns why a server cannot run beside others of the same program, on one host.
pub(super) fn hindrance(server: &Server, others: &[&Server]) -> Option<String> {
    // Each takes its ports at its own interfaces, and has its own files.
    let apart = |other: &&Server| {
        let interfaces = !server.interfaces.is_empty()
            && !other.interfaces.is_empty()
            && !server.interfaces.iter().any(|name| other.interfaces.contains(name));
        let mut files = server.files.iter().skip(1);
        let files = files.all(|(target, here)| {
            other.files.iter().skip(1).all(|(known, there)| known != target || there == here)
        });
        !server.alone && !other.alone && interfaces && files
    };
    let fine = server.program == Program::Dnsmasq && others.iter().all(apart);
    (!others.is_empty() && !fine).then(|| {
        let name = name(server.program);
        format!("the lab runs one {name}, with the file before: join the two, or give each a lab of its own")
    })
}

/// Returns the interfaces that the files name.
fn wanted(servers: &[Server]) -> Vec<String> {
    let mut wanted = Vec::new();
    for name in servers.iter().flat_map(|server| &server.interfaces) {
        if is_interface(name) && !wanted.contains(name) {
            wanted.push(name.clone());
        }
    }
    wanted
}

/// Adds a network for each interface that the servers want and that is at none of their networks.
pub(super) fn prepare(setup: &mut Setup, servers: &[Server]) {
    if setup.networks.is_empty() {
        setup.networks.push(Network::default());
    }
    let wanted = wanted(servers);
    let named = |network: &&Network| network.name.as_ref().is_some_and(|name| wanted.contains(&name.value));
    let free = setup.networks.iter().filter(|network| !named(network)).count();
    let taken: Vec<&String> =
        setup.networks.iter().filter_map(|network| network.name.as_ref()).map(|name| &name.value).collect();
    let left: Vec<String> = wanted.iter().filter(|name| !taken.contains(name)).skip(free).cloned().collect();
    for name in left {
        setup.networks.push(Network { name: Some(Sourced::assumed(name)), ..Network::default() });
    }
}

/// Writes networks without our services, a host with the servers, and the machines.
pub(super) fn processes(writer: &mut Writer<'_>, settled: &Settled, servers: &[Server]) {
    for network in &settled.networks {
        let SettledNetwork { name, subnet, network, .. } = network;
        writer.table(&format!("network.{name}"), network.name.as_ref().and_then(|name| name.from.as_ref()));
        writer.key("subnet", &quote(&subnet.value.trunc().to_string()), subnet.from.as_ref());
        writer.key("probe-from", &quote(HOST), None);
        if let Some(mtu) = &network.mtu {
            writer.key("mtu", &mtu.value.to_string(), mtu.from.as_ref());
        }
    }
    writer.text.push_str("\n# The servers run with their own files, on a machine of their own.\n");
    writer.line(&format!("[host.{HOST}]"), None);
    let interfaces = interfaces(settled, servers);
    for (network, interface) in settled.networks.iter().zip(&interfaces) {
        let SettledNetwork { name, server, subnet, .. } = network;
        let mut parts = vec![format!("address = \"{}/{}\"", server.value, subnet.value.prefix_len())];
        // The files name the interface.
        if interface != name {
            parts.push(format!("interface = {}", quote(interface)));
        }
        writer.key(&format!("nic.{name}"), &format!("{{ {} }}", parts.join(", ")), server.from.as_ref());
    }
    let mut counts = BTreeMap::new();
    for server in servers {
        let count = counts.entry(server.program).or_insert(0);
        *count += 1;
        process(writer, settled, server, *count, &interfaces);
    }
    for network in settled.networks.iter().map(|network| &network.network) {
        let proxy = network.dhcp.as_ref().filter(|mode| mode.value == DhcpMode::Proxy);
        if let Some(at) = proxy.and_then(|mode| mode.from.clone()) {
            let text = "nobody in the lab assigns addresses: give the file of that server as well, or import with `--as services`";
            writer.notes.push(Note { at, text: text.to_owned() });
        }
    }
    let matchboxes = settled.networks.iter().filter_map(|network| network.network.matchbox.as_ref());
    for asset in matchboxes.flat_map(|matchbox| &matchbox.value.missing) {
        if let Some(at) = asset.from.clone() {
            writer
                .notes
                .push(Note { at, text: format!("`{}` is not in the data directory", asset.value.path) });
        }
    }
    let profiled = vec![false; settled.networks.len()];
    write::machines(writer, settled, &profiled);
    write::expectations(writer);
}

/// Returns the names of the host's interfaces on the networks: those of the files, those of the networks, or usual ones.
fn interfaces(settled: &Settled, servers: &[Server]) -> Vec<String> {
    let mut left = wanted(servers);
    let own = |network: &SettledNetwork| network.network.name.as_ref().map(|name| name.value.clone());
    let named: Vec<Option<String>> = settled
        .networks
        .iter()
        .map(|network| {
            let at = left.iter().position(|name| Some(name) == own(network).as_ref())?;
            Some(left.remove(at))
        })
        .collect();
    let mut left = left.into_iter();
    let mut names: Vec<String> = Vec::new();
    for (index, (network, named)) in settled.networks.iter().zip(named).enumerate() {
        let usual = || {
            let candidates = own(network).into_iter().chain([network.name.clone()]);
            let candidates = candidates.filter(|name| is_interface(name));
            candidates
                .chain((index..).map(|number| format!("eth{number}")))
                .find(|name| !names.contains(name))
        };
        let name = named.or_else(|| left.next()).or_else(usual);
        names.push(name.unwrap_or_else(|| format!("eth{index}")));
    }
    names
}

/// Returns whether an interface can be called so.
fn is_interface(name: &str) -> bool {
    (1..=15).contains(&name.len())
        && name.bytes().all(|c| c.is_ascii_alphanumeric() || b"-_.".contains(&c))
        && name != "lo"
}

/// Writes a server; `count` says how many of its program there are up to it.
fn process(writer: &mut Writer<'_>, settled: &Settled, server: &Server, count: usize, interfaces: &[String]) {
    let mut server = server.clone();
    let mut name = name(server.program).to_owned();
    if count > 1 {
        name = format!("{name}-{count}");
        if let Some((target, _)) = server.files.first_mut() {
            *target = format!("/etc/{name}.conf");
        }
    }
    let server = &server;
    writer.table(&format!("process.{name}"), None);
    writer.key("host", &quote(HOST), None);
    let port = settled.networks.iter().map(write::matchbox_port).find(|port| *port != 80);
    let port = server.port.or(port).or_else(|| tells_port_80(settled).then_some(80)).unwrap_or(MATCHBOX_PORT);
    writer.key("run", &quote(&run(server, port, count, interfaces)), None);
    // Several directives may name one file.
    let mut seen = BTreeSet::new();
    let files = server.files.iter().filter(|(target, _)| is_plain(target) && seen.insert(target.clone()));
    let files = files.map(|(target, here)| match server.program {
        Program::Matchbox => {
            format!("{} = {{ path = {}, access = \"copy\" }}", quote(target), quote(here))
        }
        _ => format!("{} = {}", quote(target), quote(here)),
    });
    let files: Vec<String> = files.collect();
    writer.key("files", &format!("{{ {} }}", files.join(", ")), None);
    let Serves { dhcp, dns, tftp } = server.serves;
    let ready = match server.program {
        Program::Matchbox => Some(format!("tcp = {port}")),
        _ if dhcp => Some("udp = 67".to_owned()),
        _ if dns => Some(format!("udp = {}", server.port.unwrap_or(53))),
        _ if tftp => Some("udp = 69".to_owned()),
        // It has no port, so nobody can wait for it.
        _ => None,
    };
    if let Some(ready) = ready {
        writer.key("ready", &format!("{{ {ready} }}"), None);
    }
}

/// Returns whether a boot file is a URL of matchbox at the usual port.
fn tells_port_80(settled: &Settled) -> bool {
    let rules = settled.networks.iter().flat_map(|network| &network.network.boots);
    rules.filter_map(|rule| super::boot::http(&rule.file)).any(|(_, port, _)| port == 80)
}

pub(super) fn name(program: Program) -> &'static str {
    match program {
        Program::Dnsmasq => "dnsmasq",
        Program::Udhcpd => "udhcpd",
        Program::IscDhcpd => "dhcpd",
        Program::Kea => "kea",
        Program::Matchbox => "matchbox",
    }
}

/// Returns the command: the server in the foreground, in folders that are there.
fn run(server: &Server, port: u16, count: usize, interfaces: &[String]) -> String {
    let folders: BTreeSet<&str> =
        server.folders.iter().map(String::as_str).filter(|folder| is_plain(folder)).collect();
    let make: Vec<&str> = folders.into_iter().collect();
    let make = if make.is_empty() { String::new() } else { format!("mkdir -p {} && ", make.join(" ")) };
    let target = server.files.first().map_or("", |(target, _)| target.as_str());
    match server.program {
        // The first one has the usual files and the loopback interface.
        Program::Dnsmasq if count > 1 => format!(
            "{make}exec dnsmasq -k --log-dhcp -C {target} --except-interface=lo --dhcp-leasefile=/var/lib/misc/dnsmasq-{count}.leases"
        ),
        Program::Dnsmasq => format!("{make}exec dnsmasq -k --log-dhcp"),
        Program::Udhcpd => format!("{make}exec busybox udhcpd -f {target}"),
        Program::IscDhcpd => format!(
            "{make}touch /var/lib/dhcp/dhcpd.leases && exec dhcpd -4 -f --no-pid -cf {target} {}",
            interfaces.join(" ")
        ),
        Program::Kea => format!("{make}exec kea-dhcp4 -c {target}"),
        // It has the flags of the real one.
        Program::Matchbox => {
            format!("{make}exec dryrack matchbox -address=0.0.0.0:{port} -log-level=debug")
        }
    }
}

/// Returns whether a shell takes a path as it is.
fn is_plain(path: &str) -> bool {
    path.starts_with('/') && path.bytes().all(|c| c.is_ascii_alphanumeric() || b"/-_.".contains(&c))
}
