//! A lab in which the servers of the files run themselves, on one host.

use std::collections::BTreeSet;

use super::option::quote;
use super::settle::{Note, Settled, SettledNetwork};
use super::setup::{Program, Server};
use super::write::{self, Writer};

/// The host on which the servers run.
const HOST: &str = "deploy";

/// Where matchbox listens if no boot file says so.
const MATCHBOX_PORT: u16 = 8080;

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
    for (index, network) in settled.networks.iter().enumerate() {
        let SettledNetwork { name, server, subnet, .. } = network;
        let mut parts = vec![format!("address = \"{}/{}\"", server.value, subnet.value.prefix_len())];
        // The files name the interface.
        let interface = interface(index, network);
        if interface != *name {
            parts.push(format!("interface = {}", quote(&interface)));
        }
        writer.key(&format!("nic.{name}"), &format!("{{ {} }}", parts.join(", ")), server.from.as_ref());
    }
    let mut names = BTreeSet::new();
    for server in servers {
        if names.insert(server.program) {
            process(writer, settled, server);
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

/// Returns the name of the host's interface on a network: that of the files, that of the network, or a usual one.
fn interface(index: usize, network: &SettledNetwork) -> String {
    let own = network.network.name.as_ref().map(|name| &name.value);
    let named =
        own.filter(|name| is_interface(name)).or(Some(&network.name).filter(|name| is_interface(name)));
    named.cloned().unwrap_or_else(|| format!("eth{index}"))
}

/// Returns whether an interface can be called so.
fn is_interface(name: &str) -> bool {
    (1..=15).contains(&name.len())
        && name.bytes().all(|c| c.is_ascii_alphanumeric() || b"-_.".contains(&c))
        && name != "lo"
}

fn process(writer: &mut Writer<'_>, settled: &Settled, server: &Server) {
    let name = name(server.program);
    writer.table(&format!("process.{name}"), None);
    writer.key("host", &quote(HOST), None);
    let port = settled.networks.iter().map(write::matchbox_port).find(|port| *port != 80);
    let port = server.port.or(port).or_else(|| tells_port_80(settled).then_some(80)).unwrap_or(MATCHBOX_PORT);
    writer.key("run", &quote(&run(server, settled, port)), None);
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
    let ready = match server.program {
        Program::Matchbox => format!("tcp = {port}"),
        _ if server.serves.dhcp => "udp = 67".to_owned(),
        _ => "udp = 53".to_owned(),
    };
    writer.key("ready", &format!("{{ {ready} }}"), None);
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
fn run(server: &Server, settled: &Settled, port: u16) -> String {
    let folders: BTreeSet<&str> =
        server.folders.iter().map(String::as_str).filter(|folder| is_plain(folder)).collect();
    let make: Vec<&str> = folders.into_iter().collect();
    let make = if make.is_empty() { String::new() } else { format!("mkdir -p {} && ", make.join(" ")) };
    let target = server.files.first().map_or("", |(target, _)| target.as_str());
    match server.program {
        Program::Dnsmasq => format!("{make}exec dnsmasq -k --log-dhcp"),
        Program::Udhcpd => format!("{make}exec busybox udhcpd -f {target}"),
        Program::IscDhcpd => {
            let networks = settled.networks.iter().enumerate();
            let interfaces: Vec<String> =
                networks.map(|(index, network)| interface(index, network)).collect();
            format!(
                "{make}touch /var/lib/dhcp/dhcpd.leases && exec dhcpd -4 -f --no-pid -cf {target} {}",
                interfaces.join(" ")
            )
        }
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
