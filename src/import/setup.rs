//! What files of any format describe: networks, servers and machines, each value with its place.

use std::net::{IpAddr, Ipv4Addr};

use ipnet::Ipv4Net;

use super::boot::BootRule;
use super::document::ItemId;
use crate::diag::Span;
use crate::name::Mac;

/// A value, and where it comes from; nothing if it is assumed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Sourced<T> {
    pub(super) value: T,
    pub(super) from: Option<Span>,
}

impl<T> Sourced<T> {
    pub(super) fn new(value: T, from: Span) -> Self {
        Self { value, from: Some(from) }
    }

    /// Creates a value that no file gives.
    pub(super) fn assumed(value: T) -> Self {
        Self { value, from: None }
    }
}

/// Something that a lab cannot have as the file has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Note {
    /// The directive.
    pub(super) at: Span,
    /// What is lost.
    pub(super) text: String,
}

/// Everything that the files describe.
#[derive(Debug, Clone, Default)]
pub(super) struct Setup {
    pub(super) networks: Vec<Network>,
    pub(super) machines: Vec<Machine>,
    pub(super) servers: Vec<Server>,
    /// What is lost, whoever answers the machines.
    pub(super) notes: Vec<Note>,
}

/// One Ethernet segment, as far as it is known.
#[derive(Debug, Clone, Default)]
pub(super) struct Network {
    /// The interface of the server, or the name of the network.
    pub(super) name: Option<Sourced<String>>,
    /// The address of the server.
    pub(super) server: Option<Sourced<Ipv4Addr>>,
    pub(super) subnet: Option<Sourced<Ipv4Net>>,
    pub(super) dhcp: Option<Sourced<DhcpMode>>,
    /// First and last address for clients without a reservation.
    pub(super) pool: Option<Sourced<(Ipv4Addr, Ipv4Addr)>>,
    /// Lease time in seconds.
    pub(super) lease: Option<Sourced<u64>>,
    /// Whether clients without a reservation are ignored.
    pub(super) only_known: Option<Sourced<bool>>,
    pub(super) authoritative: Option<Sourced<bool>>,
    /// Options of DHCP by the name that lab files use, with values as TOML.
    pub(super) options: Vec<Sourced<(String, String)>>,
    /// What clients boot; the first rule that applies counts.
    pub(super) boots: Vec<BootRule>,
    /// Where boot files are, if the boot rules do not say.
    pub(super) next_server: Option<Sourced<String>>,
    /// The folder that TFTP serves, as written.
    pub(super) root: Option<Sourced<String>>,
    pub(super) dns: Dns,
    pub(super) nat: Option<Sourced<bool>>,
    pub(super) mtu: Option<Sourced<u64>>,
    pub(super) matchbox: Option<Sourced<Matchbox>>,
}

/// How DHCP works on a network.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum DhcpMode {
    /// Addresses and boot files.
    Server,
    /// Only boot files.
    Proxy,
}

/// DNS of a network.
#[derive(Debug, Clone, Default)]
pub(super) struct Dns {
    /// Whether a file says that there is none.
    pub(super) off: Option<Sourced<()>>,
    /// Whether a file is about DNS.
    pub(super) served: bool,
    pub(super) domain: Option<Sourced<String>>,
    pub(super) records: Vec<Sourced<(String, IpAddr)>>,
    /// Names with their targets.
    pub(super) aliases: Vec<Sourced<(String, String)>>,
    /// Names with `priority weight port target`.
    pub(super) services: Vec<Sourced<(String, String)>>,
    pub(super) texts: Vec<Sourced<(String, String)>>,
    /// Servers for other names.
    pub(super) upstream: Vec<Sourced<String>>,
    /// Whether other names are not asked for anywhere.
    pub(super) no_upstream: Option<Sourced<()>>,
}

/// A data directory of matchbox.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Matchbox {
    /// The folder, as the user named it.
    pub(super) data: String,
    /// Its port, if a boot rule says so.
    pub(super) port: Option<u16>,
    /// Kernels and initial RAM disks below `/assets/` that are not in the folder.
    pub(super) missing: Vec<Sourced<Asset>>,
}

/// A file below `/assets/` that a profile names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Asset {
    pub(super) path: String,
    pub(super) kernel: bool,
}

/// Firmware of a machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum FirmwareKind {
    Bios,
    Uefi,
    Secure,
}

/// One machine.
#[derive(Debug, Clone, Default)]
pub(super) struct Machine {
    pub(super) name: Option<Sourced<String>>,
    pub(super) nics: Vec<Nic>,
    pub(super) firmware: Option<Sourced<FirmwareKind>>,
    pub(super) cpus: Option<Sourced<u64>>,
    /// Memory in MiB.
    pub(super) memory: Option<Sourced<u64>>,
    pub(super) disks: Vec<Sourced<Disk>>,
    /// Boot order: `disk` and `network`.
    pub(super) boot: Option<Sourced<Vec<&'static str>>>,
    pub(super) uuid: Option<Sourced<String>>,
    pub(super) serial: Option<Sourced<String>>,
    /// Options of DHCP for this machine alone.
    pub(super) options: Vec<Sourced<(String, String)>>,
}

/// A NIC of a machine.
#[derive(Debug, Clone, Default)]
pub(super) struct Nic {
    /// The name of its network, if the file gives one.
    pub(super) network: Option<Sourced<String>>,
    pub(super) mac: Option<Sourced<Mac>>,
    pub(super) address: Option<Sourced<Ipv4Addr>>,
    pub(super) model: Option<Sourced<&'static str>>,
    pub(super) client_id: Option<Sourced<String>>,
}

/// A disk of a machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Disk {
    pub(super) name: String,
    /// Size in MiB.
    pub(super) size: Option<u64>,
    pub(super) bus: Option<&'static str>,
    pub(super) serial: Option<String>,
}

/// The vendor class.
pub(super) const VENDOR_CLASS: u8 = 60;

/// Options of a vendor.
pub(super) const VENDOR_OPTIONS: u8 = 43;

/// An option of DHCP as a file has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Sent {
    pub(super) item: ItemId,
    pub(super) code: u8,
    pub(super) value: String,
    /// Whether only some clients get it.
    pub(super) scoped: bool,
}

/// A server that runs with a file of the user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Server {
    pub(super) program: Program,
    /// Where the server has its files, and where they are here.
    pub(super) files: Vec<(String, String)>,
    /// The port of matchbox, or of the DNS of dnsmasq.
    pub(super) port: Option<u16>,
    pub(super) from: Span,
    /// Folders that the server wants to exist.
    pub(super) folders: Vec<String>,
    /// The interfaces that the file names.
    pub(super) interfaces: Vec<String>,
    /// Whether it takes its ports at all addresses of its host.
    pub(super) alone: bool,
    pub(super) serves: Serves,
}

/// What a server does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Serves {
    pub(super) dhcp: bool,
    pub(super) dns: bool,
    pub(super) tftp: bool,
}

/// A program that runs with a file of the user.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Program {
    Dnsmasq,
    Udhcpd,
    IscDhcpd,
    Kea,
    Matchbox,
}

/// Returns whether a lab file takes a serial number of at most so many characters.
pub(super) fn is_serial(serial: &str, most: usize) -> bool {
    (1..=most).contains(&serial.len()) && serial.bytes().all(|byte| byte == b' ' || byte.is_ascii_graphic())
}
