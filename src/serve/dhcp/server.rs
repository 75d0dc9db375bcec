//! The constant part of a DHCP server: its plan in the form that answers need.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};

use dhcproto::v4::DhcpOption;
use ipnet::Ipv4Net;

use super::free::Free;
use super::state::{Lessee, State};
use crate::lab::{DhcpOptions, Identity, TftpBackend, UnknownClients};
use crate::name::Mac;
use crate::plan::{DhcpPlan, DhcpRole, DnsPlan, HostPlan, ServicePlan};
use crate::wire::dhcp::{Client, Request, Tlv, code};

/// The constant part of a DHCP server.
#[derive(Debug, Clone)]
pub(in crate::serve) struct Server {
    /// The network of the clients, with the address of its boot services.
    pub(super) address: Ipv4Net,
    /// The address that identifies the server.
    pub(super) identifier: Ipv4Addr,
    /// The subnets of which a relay may be.
    relays: Vec<Ipv4Net>,
    pub(super) role: DhcpRole,
    pub(super) authoritative: bool,
    pub(super) unknown_clients: UnknownClients,
    pub(super) identity: Option<Identity>,
    pub(super) lease_seconds: u32,
    pub(super) ipxe_classes: Vec<String>,
    /// The port on which HTTP serves the lab's files, if it does.
    pub(super) files_port: Option<u16>,
    hosts: BTreeMap<Mac, Host>,
    by_client_id: BTreeMap<Vec<u8>, Mac>,
    by_uuid: BTreeMap<[u8; 16], Mac>,
    reserve: BTreeMap<Mac, Ipv4Addr>,
    pool: Option<Free>,
    for_unknown: FixedReply,
}

/// A NIC with the options that its clients always get.
#[derive(Debug, Clone)]
pub(super) struct Host {
    pub(super) plan: HostPlan,
    fixed_reply: FixedReply,
}

/// The part of a reply that is the same in every reply to a client.
#[derive(Debug, Clone)]
pub(super) struct FixedReply {
    pub(super) options: Vec<Tlv>,
    /// The server of the boot files, for `siaddr`.
    pub(super) next_server: Option<Ipv4Addr>,
    /// The name of that server if the lab file sets it, for `sname`.
    pub(super) server_name: Option<String>,
}

/// How a client was identified as a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum KnownBy {
    Mac,
    ClientId,
    Uuid,
}

impl Server {
    /// Takes from a plan what answers need; `None` if the network has no DHCP.
    pub(in crate::serve) fn new(plan: &ServicePlan) -> Option<Self> {
        let own = plan.address?;
        let relays = plan.relayed.iter().filter_map(|other| other.address);
        Self::at(plan, own.addr(), std::iter::once(own).chain(relays).collect())
    }

    /// Returns the servers for the networks that relays connect to the one of a plan.
    pub(in crate::serve) fn behind_relays(plan: &ServicePlan) -> impl Iterator<Item = (&ServicePlan, Self)> {
        let nets = plan.address.into_iter().chain(plan.relayed.iter().filter_map(|other| other.address));
        let nets: Vec<Ipv4Net> = nets.collect();
        let identifier = plan.server();
        plan.relayed
            .iter()
            .filter_map(move |other| Some((other, Self::at(other, identifier?, nets.clone())?)))
    }

    fn at(plan: &ServicePlan, identifier: Ipv4Addr, relays: Vec<Ipv4Net>) -> Option<Self> {
        let (dhcp, address) = (plan.dhcp.as_ref()?, plan.address?);
        let host = |host: &HostPlan| {
            let fixed_reply = FixedReply::new(plan, address, options(plan, address, dhcp, Some(host)));
            (host.mac, Host { plan: host.clone(), fixed_reply })
        };
        // If two share one, as the NICs of a node share its UUID, the first wins.
        let by_client_id = plan.hosts.iter().rev().flat_map(|host| {
            let id = host.client_id.iter().map(|id| id.0.clone());
            // Some clients send text with a type of 0, others without a type (RFC 2132, section 9.14).
            id.flat_map(|id| [[&[0], id.as_slice()].concat(), id]).map(|id| (id, host.mac))
        });
        let by_uuid = plan.hosts.iter().rev().flat_map(|host| {
            // SMBIOS has the first three fields in little-endian order, but not all firmware follows it.
            [host.uuid.into_bytes(), host.uuid.to_bytes_le()].map(|uuid| (uuid, host.mac))
        });
        Some(Self {
            address,
            identifier,
            relays,
            role: dhcp.role,
            authoritative: dhcp.authoritative,
            unknown_clients: dhcp.unknown_clients,
            identity: dhcp.identity,
            lease_seconds: dhcp.lease_seconds,
            ipxe_classes: dhcp.ipxe_classes.clone(),
            files_port: plan.files_port(),
            hosts: plan.hosts.iter().map(host).collect(),
            by_client_id: by_client_id.collect(),
            by_uuid: by_uuid.collect(),
            reserve: dhcp.reserve.clone(),
            pool: pool(plan, address, dhcp),
            for_unknown: FixedReply::new(plan, address, options(plan, address, dhcp, None)),
        })
    }

    /// Returns the leases of a network before any request.
    pub(in crate::serve) fn state(&self) -> State {
        State::new(self.pool.clone().unwrap_or_default())
    }

    /// Tells whether clients are on another network than the server.
    pub(super) fn is_remote(&self) -> bool {
        !self.address.contains(&self.identifier)
    }

    /// Tells whether an address can be that of a relay: a host of the networks that it connects.
    pub(super) fn may_relay(&self, relay: Ipv4Addr) -> bool {
        let is_host =
            |net: &Ipv4Net| net.contains(&relay) && relay != net.network() && relay != net.broadcast();
        relay != self.identifier && self.relays.iter().any(is_host)
    }

    /// Tells whether there is a pool, even if exhausted.
    pub(super) fn has_pool(&self) -> bool {
        self.pool.is_some()
    }

    /// Returns the NIC of a client: by its hardware address, client ID or UUID.
    pub(super) fn host(&self, request: &Request) -> Option<(&Host, KnownBy)> {
        let by_id = || self.by_client_id.get(request.client_id.as_ref()?);
        let by_uuid = || {
            let (0, uuid) = request.machine_id.as_ref()?.split_first()? else { return None };
            self.by_uuid.get(uuid)
        };
        let by_mac = self.hosts.get(&request.mac).map(|host| (host, KnownBy::Mac));
        by_mac
            .or_else(|| Some((self.hosts.get(by_id()?)?, KnownBy::ClientId)))
            .or_else(|| Some((self.hosts.get(by_uuid()?)?, KnownBy::Uuid)))
    }

    /// Tells whether a hardware address is that of a node's NIC.
    pub(super) fn is_of_a_node(&self, mac: Mac) -> bool {
        self.hosts.contains_key(&mac)
    }

    /// Returns the address that is reserved for a client that is not a node.
    pub(super) fn reserved_for_stranger(&self, mac: Mac) -> Option<Ipv4Addr> {
        self.reserve.get(&mac).copied()
    }

    /// Returns the part of a reply that is the same in every reply to a client.
    pub(super) fn fixed_reply<'a>(&'a self, host: Option<&'a Host>) -> &'a FixedReply {
        host.map_or(&self.for_unknown, |host| &host.fixed_reply)
    }

    /// Returns the client that leases an address with a request.
    ///
    /// A firmware is always its machine: it sends identifiers of its own, and is gone when the system runs.
    pub(super) fn lessee(&self, request: &Request, client: Client, known_by: Option<KnownBy>) -> Lessee {
        let is_reserved = || self.reserve.contains_key(&request.mac);
        let by_id = match (known_by, self.identity) {
            (Some(KnownBy::ClientId), _) => true,
            (_, Some(Identity::Mac)) => false,
            (_, Some(Identity::ClientId)) => client == Client::Os,
            (known_by, None) => client == Client::Os && known_by.is_none() && !is_reserved(),
        };
        let id = || request.client_id.as_deref().unwrap_or_default().into();
        match by_id {
            true => Lessee { mac: request.mac, client_id: Some(id()) },
            false => Lessee::machine(request.mac),
        }
    }

    /// Tells whether the reserved address of a NIC is for a client behind it: where client identifiers tell clients
    /// apart, one that the NIC sets counts.
    pub(super) fn is_reserved_for(&self, host: &Host, client: &Lessee) -> bool {
        let is_apart = self.identity == Some(Identity::ClientId) && host.plan.client_id.is_some();
        let is_own = |id: &[u8]| self.by_client_id.get(id) == Some(&host.plan.mac);
        !is_apart || client.client_id.as_deref().is_none_or(is_own)
    }
}

impl FixedReply {
    /// Takes the boot server from option 66, which is a name or an address; else it is the lab's own.
    fn new(plan: &ServicePlan, address: Ipv4Net, options: Vec<Tlv>) -> Self {
        let written =
            find(&options, code::BOOT_SERVER).map(|name| String::from_utf8_lossy(name).into_owned());
        let own = (plan.tftp != TftpBackend::Off).then(|| address.addr());
        let next_server = written.as_ref().map_or(own, |name| resolve(&plan.dns, name));
        Self { options, next_server, server_name: written }
    }
}

/// Returns the address of a boot server, if its name is an address or one of the lab.
fn resolve(dns: &DnsPlan, name: &str) -> Option<Ipv4Addr> {
    let name = name.trim_end_matches('.').to_lowercase();
    let address = |name: &str| {
        let records = dns.records.get(name).into_iter().flatten();
        let nodes = dns.nodes.iter().filter(|node| node.name == name).flat_map(|node| &node.addresses);
        records.chain(nodes).find_map(|address| match address {
            IpAddr::V4(address) => Some(*address),
            IpAddr::V6(_) => None,
        })
    };
    let within = || address(&format!("{name}.{}", dns.domain));
    name.parse().ok().or_else(|| address(&name)).or_else(within)
}

/// Returns the addresses for clients without a reservation.
fn pool(plan: &ServicePlan, own: Ipv4Net, dhcp: &DhcpPlan) -> Option<Free> {
    let (first, last) = dhcp.pool?;
    let mut pool = Free::new(first, last);
    let reserved = plan.hosts.iter().filter_map(|host| host.address);
    for address in reserved.chain(dhcp.reserve.values().copied()).chain([own.addr()]) {
        pool.remove(address);
    }
    Some(pool)
}

/// Returns the options that do not depend on a request, in the order of sending.
fn options(plan: &ServicePlan, address: Ipv4Net, dhcp: &DhcpPlan, host: Option<&HostPlan>) -> Vec<Tlv> {
    let ours = [
        Some(DhcpOption::SubnetMask(address.netmask())),
        Some(DhcpOption::BroadcastAddr(address.broadcast())),
        dhcp.router.map(|router| DhcpOption::Router(vec![router])),
        dhcp.nameserver.map(|server| DhcpOption::DomainNameServer(vec![server])),
        host.map(|host| DhcpOption::Hostname(host.node.to_string())),
        dhcp.domain.clone().map(DhcpOption::DomainName),
        Some(DhcpOption::InterfaceMtu(plan.mtu)),
    ];
    let mut all: Vec<Tlv> = ours.iter().flatten().map(Tlv::of).collect();
    overlay(&mut all, &dhcp.options);
    if let Some(host) = host {
        overlay(&mut all, &host.options);
    }
    all
}

/// Replaces options of the same code and appends the others.
fn overlay(all: &mut Vec<Tlv>, over: &DhcpOptions) {
    for (code, value) in over {
        let option = Tlv::new(*code, &value.0);
        match all.iter_mut().find(|before| before.code == *code) {
            Some(before) => *before = option,
            None => all.push(option),
        }
    }
}

/// Replaces options of an answer by those that the lab file sets explicitly.
pub(super) fn written_first(answer: &mut Vec<Tlv>, written: &[Tlv]) {
    answer.retain(|option| !written.iter().any(|written| written.code == option.code));
}

/// Returns the value of an option.
pub(super) fn find(options: &[Tlv], code: u8) -> Option<&[u8]> {
    options.iter().find(|option| option.code == code).map(|option| &*option.value)
}

/// Codes of options that are sent only with a lease.
pub(super) const OF_A_LEASE: [u8; 3] = [code::LEASE_TIME, code::RENEWAL_TIME, code::REBINDING_TIME];
