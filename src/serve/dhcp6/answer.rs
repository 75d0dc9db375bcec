//! All decisions of DHCPv6: takes a request, the leases and the time, and returns a reply (RFC 8415, section 18.3).

use std::collections::{HashMap, HashSet};
use std::net::Ipv6Addr;
use std::time::Duration;

use dhcproto::v6::{
    DhcpOption, DhcpOptions, IAAddr, IANA, IAPD, IATA, MessageType, NtpSuboption, OptionCode, Status,
    StatusCode, UnknownOption,
};
use ipnet::Ipv6Net;

use super::boot::{self, BootReply};
use super::state::{Change, LeaseKey, State};
use crate::event::{DhcpClient, RunTime};
use crate::lab::{self, UnknownClients};
use crate::name::Mac;
use crate::plan::{Dhcp6Plan, HostPlan, ServicePlan};
use crate::serve::labels;
use crate::wire::dhcp6::{Association, Client, Reply, Request};

/// Seconds for which an address in conflict is not leased.
const SET_ASIDE: Duration = Duration::from_secs(600);
/// "Use this server without waiting for others" (RFC 8415, section 18.2.1).
const PREFERENCE: u8 = 255;
/// The minimum information refresh time (RFC 8415, section 7.6: IRT_MINIMUM).
const REFRESH: u32 = 600;

/// The constant part of a server.
#[derive(Debug, Clone)]
pub(in crate::serve) struct Server {
    net: Ipv6Net,
    duid: Vec<u8>,
    dhcp: Dhcp6Plan,
    unknown_clients: UnknownClients,
    identity: Option<lab::Identity>,
    hosts: HashMap<Mac, HostPlan>,
    /// NICs of nodes that have no other NIC here, by the DUIDs of the node.
    by_duid: HashMap<Vec<u8>, Mac>,
    reserved: HashSet<Ipv6Addr>,
    /// The port on which HTTP serves the lab's files, if it does.
    files_port: Option<u16>,
}

/// How a request arrived.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::serve) struct Arrival {
    /// The sender: the client, or the nearest relay.
    pub(in crate::serve) from: Ipv6Addr,
    /// The hardware address that the frame was sent from, if a client sent it.
    pub(in crate::serve) mac: Option<Mac>,
    /// Whether it was multicast to all servers.
    pub(in crate::serve) multicast: bool,
}

/// The decision about a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::serve) struct Decision {
    /// `None`: the request is ignored.
    pub(in crate::serve) reply: Option<Reply>,
    pub(in crate::serve) changes: Vec<Change>,
    /// Addresses that the client has given up.
    pub(in crate::serve) given_up: Vec<Ipv6Addr>,
    /// Whether it is a firmware whose waits are cut short, and which has its address now.
    pub(in crate::serve) hurries: bool,
    /// The client's hardware address, as far as it is known.
    pub(in crate::serve) mac: Mac,
    /// The kind of client.
    pub(in crate::serve) client: DhcpClient,
    /// The address in the reply.
    pub(in crate::serve) address: Option<Ipv6Addr>,
    /// The boot file of the reply.
    pub(in crate::serve) boot_file: Option<String>,
    /// The rule that decided.
    pub(in crate::serve) rule: String,
}

impl Server {
    /// Takes from a plan what answers need; `None` if the network has no DHCPv6.
    pub(in crate::serve) fn new(plan: &ServicePlan) -> Option<Self> {
        let (net, dhcp) = (plan.ipv6?, plan.dhcp6.clone()?);
        let reserved = plan.hosts.iter().filter_map(|host| host.ipv6).chain([net.addr(), net.network()]);
        let mut by_duid = HashMap::new();
        for host in &plan.hosts {
            let alone = plan.hosts.iter().filter(|other| other.uuid == host.uuid).count() == 1;
            // Firmware sends the bytes of its SMBIOS table, in which the first three fields are little-endian.
            let uuids =
                [host.uuid.as_bytes(), &host.uuid.to_bytes_le()].map(|uuid| [&UUID[..], uuid].concat());
            by_duid.extend(uuids.into_iter().filter(|_| alone).map(|duid| (duid, host.mac)));
        }
        Some(Self {
            net,
            unknown_clients: plan.ipv6_unknown_clients,
            identity: plan.dhcp.as_ref().and_then(|dhcp| dhcp.identity),
            by_duid,
            duid: [&LINK_LAYER[..], &plan.mac.0].concat(),
            dhcp,
            hosts: plan.hosts.iter().map(|host| (host.mac, host.clone())).collect(),
            reserved: reserved.collect(),
            files_port: plan.files_port(),
        })
    }

    /// Returns the NIC with a hardware address.
    pub(in crate::serve) fn host(&self, mac: Mac) -> Option<&HostPlan> {
        self.hosts.get(&mac)
    }

    /// Determines the client's hardware address: from the relay (RFC 6939) or the frame, from the sender's address,
    /// from the client identifier. A node with several NICs sends the same identifier on all of them, so that comes
    /// last.
    ///
    /// If client identifiers tell clients apart, the frame does not count: others share it.
    pub(in crate::serve) fn identify(&self, request: &Request, arrival: Arrival) -> Mac {
        let relay = request.relays.last();
        let peer = relay.map_or(arrival.from, |relay| relay.peer);
        let of_frame = arrival.mac.filter(|_| self.identity != Some(lab::Identity::ClientId));
        let said = [
            relay.map_or(of_frame, |relay| relay.hardware),
            mac_of_address(peer),
            request.client.as_deref().and_then(mac_of_duid),
            request.client.as_ref().and_then(|duid| self.by_duid.get(duid).copied()),
        ];
        let known = |mac: &&Mac| self.hosts.contains_key(mac);
        let mut said = said.iter().flatten();
        said.clone().find(known).or_else(|| said.next()).copied().unwrap_or(Mac([0; 6]))
    }
}

/// Prefix of a DUID-LL of Ethernet.
const LINK_LAYER: [u8; 4] = [0, 3, 0, 1];
/// Prefix of a DUID-UUID (RFC 6355).
const UUID: [u8; 2] = [0, 4];
/// Prefix of a DUID-LLT, which also has a timestamp.
const LINK_LAYER_TIME: [u8; 4] = [0, 1, 0, 1];

fn mac_of_duid(duid: &[u8]) -> Option<Mac> {
    let timed = || duid.strip_prefix(&LINK_LAYER_TIME)?.get(4..);
    duid.strip_prefix(&LINK_LAYER).or_else(timed)?.try_into().ok().map(Mac)
}

/// Extracts the hardware address from an interface identifier in EUI-64 format (RFC 4291, appendix A).
fn mac_of_address(address: Ipv6Addr) -> Option<Mac> {
    let [.., a, b, c, 0xff, 0xfe, d, e, f] = address.octets() else { return None };
    let mac = Mac([a ^ 2, b, c, d, e, f]);
    Some(mac).filter(|mac| !mac.is_group())
}

/// Decides about a request. `runs_program`: the client has fetched its boot program, which now sends the request.
pub(in crate::serve) fn answer(
    server: &Server,
    state: &State,
    request: &Request,
    arrival: Arrival,
    runs_program: bool,
    now: RunTime,
) -> Decision {
    let mac = server.identify(request, arrival);
    let host = server.host(mac);
    let client = Client::of(request, &server.dhcp.ipxe_classes);
    let site = boot::Site { address: server.net.addr(), files_port: server.files_port };
    let boot = boot::tell(client, host, site, runs_program);
    let case = Case { server, state, request, now, mac, host, client, boot };
    match case.refusal(arrival) {
        Some(Dhcp6Refusal::Silence(rule)) => case.ignore(rule),
        Some(Dhcp6Refusal::UseMulticast) => {
            case.reply(MessageType::Reply, vec![status(Status::UseMulticast)], "sent by unicast")
        }
        None => match request.kind {
            MessageType::Solicit => case.solicit(),
            MessageType::Request => case.request(),
            MessageType::Renew | MessageType::Rebind => case.extend(),
            MessageType::Confirm => case.confirm(),
            MessageType::Release => case.release(),
            MessageType::Decline => case.decline(),
            MessageType::InformationRequest => case.inform(),
            _ => case.ignore("unexpected message type"),
        },
    }
}

/// Why a request is ignored.
enum Dhcp6Refusal {
    Silence(&'static str),
    UseMulticast,
}

/// A request with everything that an answer needs.
struct Case<'a> {
    server: &'a Server,
    state: &'a State,
    request: &'a Request,
    now: RunTime,
    mac: Mac,
    host: Option<&'a HostPlan>,
    client: Client,
    boot: BootReply,
}

/// The address for one association.
struct Assignment {
    address: Ipv6Addr,
    /// `None`: it is reserved.
    leased_to: Option<LeaseKey>,
}

impl Case<'_> {
    /// Returns why a server must not answer (RFC 8415, section 16): the request is invalid or meant for another
    /// server.
    fn refusal(&self, arrival: Arrival) -> Option<Dhcp6Refusal> {
        let Request { kind, client, server, relays, .. } = self.request;
        let on_link =
            |address: Ipv6Addr| address.is_unicast_link_local() || self.server.net.contains(&address);
        let of_link = |link: Ipv6Addr| link.is_unspecified() || on_link(link);
        let (to_one, to_all) = match kind {
            MessageType::Request | MessageType::Renew | MessageType::Release | MessageType::Decline => {
                (true, false)
            }
            MessageType::Solicit | MessageType::Confirm | MessageType::Rebind => (false, true),
            _ => (false, false),
        };
        if !on_link(arrival.from) {
            Some(Dhcp6Refusal::Silence("not from this link"))
        } else if relays.iter().any(|relay| !of_link(relay.link)) {
            Some(Dhcp6Refusal::Silence("relayed from another link"))
        } else if client.is_none() && *kind != MessageType::InformationRequest {
            Some(Dhcp6Refusal::Silence("no client identifier"))
        } else if to_one && server.is_none() {
            Some(Dhcp6Refusal::Silence("no server identifier"))
        } else if to_all && server.is_some() {
            Some(Dhcp6Refusal::Silence("unexpected server identifier"))
        } else if server.as_ref().is_some_and(|server| *server != self.server.duid) {
            Some(Dhcp6Refusal::Silence("client chose another server"))
        } else if relays.is_empty() && !arrival.multicast {
            Some(if to_one {
                Dhcp6Refusal::UseMulticast
            } else {
                Dhcp6Refusal::Silence("sent by unicast, but must be multicast")
            })
        } else if self.server.unknown_clients == UnknownClients::Ignore && self.host.is_none() {
            Some(Dhcp6Refusal::Silence("unknown client, and `unknown-clients` is \"ignore\""))
        } else {
            None
        }
    }

    fn solicit(self) -> Decision {
        if self.address_of(0).is_none() && self.host.is_none() {
            return self.ignore(self.stranger());
        }
        if self.request.rapid_commit {
            let mut decision = self.give(MessageType::Reply);
            if let Some(reply) = &mut decision.reply {
                reply.options.push(DhcpOption::RapidCommit);
            }
            return decision;
        }
        let mut decision = self.give(MessageType::Advertise);
        if let Some(reply) = &mut decision.reply {
            reply.options.push(DhcpOption::Preference(PREFERENCE));
        }
        // Addresses are derived from identities: advertisements need no lease.
        decision.changes.clear();
        decision
    }

    fn request(self) -> Decision {
        self.give(MessageType::Reply)
    }

    /// Renew and Rebind. An unknown client gets an answer only if no other server is asked (Renew).
    fn extend(self) -> Decision {
        if self.address_of(0).is_some() || self.host.is_some() {
            return self.give(MessageType::Reply);
        }
        if self.request.kind == MessageType::Rebind {
            return self.ignore(self.stranger());
        }
        let none =
            |association: &Association| in_association(association.id, None, vec![status(Status::NoBinding)]);
        let options = self.request.addresses.iter().map(none).collect();
        self.reply(MessageType::Reply, options, self.stranger())
    }

    fn confirm(self) -> Decision {
        let mut addresses =
            self.request.addresses.iter().flat_map(|association| &association.addresses).peekable();
        if addresses.peek().is_none() {
            return self.ignore("no address requested");
        }
        let (code, rule) = match addresses.all(|address| self.server.net.contains(address)) {
            true => (Status::Success, "addresses are on this link"),
            false => (Status::NotOnLink, "addresses are on another link"),
        };
        self.reply(MessageType::Reply, vec![status(code)], rule)
    }

    fn release(self) -> Decision {
        let mut changes = Vec::new();
        let options = self.bindings(|address| changes.push(Change::Free(address)));
        let given_up = self.given_up();
        Decision { changes, given_up, ..self.reply(MessageType::Reply, options, "released") }
    }

    fn decline(self) -> Decision {
        let until = self.now + SET_ASIDE;
        let mut changes = Vec::new();
        let options = self.bindings(|address| changes.push(Change::SetAside { address, until }));
        let rule = match changes.is_empty() {
            true => "address conflict on a reserved address",
            false => "address conflict, address set aside",
        };
        let given_up = self.given_up();
        Decision { changes, given_up, ..self.reply(MessageType::Reply, options, rule) }
    }

    /// Returns the addresses that a client gives up, as far as they are its own.
    fn given_up(&self) -> Vec<Ipv6Addr> {
        let own = self.host.and_then(|host| host.ipv6);
        let named = self.request.addresses.iter().flat_map(|association| &association.addresses);
        named.filter(|address| Some(**address) == own).copied().collect()
    }

    /// Handles the associations that a client gives up: calls `lent` for each leased address, and returns the options
    /// of the reply.
    fn bindings(&self, mut lent: impl FnMut(Ipv6Addr)) -> Vec<DhcpOption> {
        let mut options = vec![status(Status::Success)];
        for association in &self.request.addresses {
            let reserved = self.host.and_then(|host| host.ipv6);
            match self.held(association) {
                Some(address) => lent(address),
                None if reserved.is_some_and(|reserved| association.addresses.contains(&reserved)) => {}
                None => {
                    options.push(in_association(association.id, None, vec![status(Status::NoBinding)]));
                }
            }
        }
        options
    }

    fn inform(self) -> Decision {
        let Request { addresses, temporary, prefixes, .. } = self.request;
        if !(addresses.is_empty() && temporary.is_empty() && prefixes.is_empty()) {
            // RFC 8415, section 16.12.
            return self.ignore("addresses requested");
        }
        let mut options = Vec::new();
        if self.request.wants(OptionCode::InformationRefreshTime) {
            options.push(DhcpOption::InformationRefreshTime(self.server.dhcp.lease_seconds.max(REFRESH)));
        }
        options.extend(self.configuration());
        let decision = self.reply(MessageType::Reply, options, "inform");
        self.with_boot(decision)
    }

    fn stranger(&self) -> &'static str {
        match self.server.dhcp.pool {
            None => "unknown client",
            Some(_) if self.request.addresses.is_empty() => "no address requested",
            Some(_) => "too many leases",
        }
    }

    /// Returns what the address of the client's `index`th association is leased to.
    ///
    /// A node is its NIC, whatever its firmware and its system call themselves and their associations.
    fn lease_key(&self, index: usize, association: &Association) -> Option<LeaseKey> {
        if self.is_by_mac() {
            let client = [&LINK_LAYER[..], &self.mac.0].concat();
            return Some(LeaseKey { client, association: u32::try_from(index).ok()? });
        }
        Some(LeaseKey { client: self.request.client.clone()?, association: association.id })
    }

    /// Tells whether the client is identified by its hardware address alone.
    fn is_by_mac(&self) -> bool {
        let by_mac = self.server.identity == Some(lab::Identity::Mac) && self.mac != Mac([0; 6]);
        self.host.is_some() || by_mac
    }

    /// Returns the address among those of an association that the client has leased.
    fn held(&self, association: &Association) -> Option<Ipv6Addr> {
        let own = self.lease_key(0, association)?;
        let is_own = |holder: &LeaseKey| match self.is_by_mac() {
            true => holder.client == own.client,
            false => *holder == own,
        };
        let mut addresses = association.addresses.iter().copied();
        addresses.find(|address| self.state.holder(*address).is_some_and(is_own))
    }

    /// Returns the address for the client's `index`th association.
    fn address_of(&self, index: usize) -> Option<Assignment> {
        if let Some(address) = self.host.and_then(|host| host.ipv6) {
            // A NIC has one reservation.
            return (index == 0).then_some(Assignment { address, leased_to: None });
        }
        let association = self.request.addresses.get(index)?;
        let (pool, identity) = (self.server.dhcp.pool?, self.lease_key(index, association)?);
        let Server { reserved, .. } = self.server;
        let address = self.state.address_for(&identity, pool.network(), reserved, self.now)?;
        Some(Assignment { address, leased_to: Some(identity) })
    }

    /// Assigns an address to each association, as far as addresses are available.
    fn give(&self, kind: MessageType) -> Decision {
        let (mut options, mut changes, mut first) = (Vec::new(), Vec::new(), None);
        let until = self.now + Duration::from_secs(self.server.dhcp.lease_seconds.into());
        let mut lent = HashSet::new();
        for (index, association) in self.request.addresses.iter().enumerate() {
            let given = self.address_of(index).filter(|given| lent.insert(given.address));
            let Some(Assignment { address, leased_to }) = given else {
                let none = vec![status(Status::NoAddrsAvail)];
                options.push(in_association(association.id, None, none));
                continue;
            };
            first.get_or_insert((address, if leased_to.is_some() { "pool" } else { "reserved" }));
            changes.extend(leased_to.map(|to| Change::Lend { address, to, until }));
            let seconds = self.server.dhcp.lease_seconds;
            let given = std::iter::once(lifetime(address, seconds));
            // Lifetime 0 for its other addresses, and for those of another link.
            let extends = matches!(self.request.kind, MessageType::Renew | MessageType::Rebind);
            let others = association.addresses.iter().filter(|other| extends && **other != address);
            let addresses = given.chain(others.map(|other| lifetime(*other, 0))).collect();
            options.push(in_association(association.id, Some(seconds), addresses));
        }
        // There are no temporary addresses or prefixes; a client that requests both expects a status.
        for id in &self.request.temporary {
            let opts = [status(Status::NoAddrsAvail)].into_iter().collect();
            options.push(DhcpOption::IATA(IATA { id: *id, opts }));
        }
        for id in &self.request.prefixes {
            let opts = [status(Status::NoPrefixAvail)].into_iter().collect();
            options.push(DhcpOption::IAPD(IAPD { id: *id, t1: 0, t2: 0, opts }));
        }
        options.extend(self.configuration());
        let rule = first.map_or("no address requested", |(_, rule)| rule);
        let address = first.map(|(address, _)| address);
        let firmware = matches!(self.client, Client::Firmware(_) | Client::HttpFirmware(_));
        let hurries =
            firmware && kind == MessageType::Reply && self.host.is_some_and(|host| host.skip_delays);
        let decision = Decision { changes, address, hurries, ..self.reply(kind, options, rule) };
        self.with_boot(decision)
    }

    /// Returns the other requested options.
    fn configuration(&self) -> Vec<DhcpOption> {
        let Dhcp6Plan { nameserver, domain, ntp, .. } = &self.server.dhcp;
        // A client without an option request gets the name servers.
        let wants = |code| self.request.wanted.is_empty() || self.request.wants(code);
        let mut options = Vec::new();
        if let (Some(nameserver), true) = (nameserver, wants(OptionCode::DomainNameServers)) {
            options.push(DhcpOption::DomainNameServers(vec![*nameserver]));
        }
        if let (Some(domain), true) = (domain, wants(OptionCode::DomainSearchList)) {
            let list = UnknownOption::new(OptionCode::DomainSearchList, labels::encode(domain));
            options.push(DhcpOption::Unknown(list));
        }
        if *ntp && self.request.wants(OptionCode::NtpServer) {
            let here = NtpSuboption::ServerAddress(self.server.net.addr());
            options.push(DhcpOption::NtpServer(vec![here]));
        }
        options
    }

    /// Adds the boot options.
    fn with_boot(&self, mut decision: Decision) -> Decision {
        if let Some(reply) = &mut decision.reply {
            reply.options.extend(self.boot.options.iter().cloned());
        }
        if !self.boot.rule.is_empty() {
            decision.rule = format!("{}, {}", decision.rule, self.boot.rule);
        }
        Decision { boot_file: self.boot.file.clone(), ..decision }
    }

    fn ignore(&self, rule: &str) -> Decision {
        Decision {
            reply: None,
            changes: Vec::new(),
            given_up: Vec::new(),
            hurries: false,
            mac: self.mac,
            client: self.client.word(),
            address: None,
            boot_file: None,
            rule: rule.to_owned(),
        }
    }

    fn reply(&self, kind: MessageType, mut options: Vec<DhcpOption>, rule: &str) -> Decision {
        let client = self.request.client.clone().map(DhcpOption::ClientId);
        let names = [Some(DhcpOption::ServerId(self.server.duid.clone())), client];
        options.splice(0..0, names.into_iter().flatten());
        let reply = Reply { kind, xid: self.request.xid, options };
        Decision { reply: Some(reply), ..self.ignore(rule) }
    }
}

fn status(code: Status) -> DhcpOption {
    DhcpOption::StatusCode(StatusCode { status: code, msg: String::new() })
}

/// An association of a reply; without `seconds` it has nothing to renew.
fn in_association(id: u32, seconds: Option<u32>, options: Vec<DhcpOption>) -> DhcpOption {
    let share =
        |tenths: u64| u32::try_from(u64::from(seconds.unwrap_or(0)) * tenths / 10).unwrap_or(u32::MAX);
    let opts: DhcpOptions = options.into_iter().collect();
    DhcpOption::IANA(IANA { id, t1: share(5), t2: share(8), opts })
}

fn lifetime(addr: Ipv6Addr, seconds: u32) -> DhcpOption {
    let opts = DhcpOptions::new();
    DhcpOption::IAAddr(IAAddr { addr, preferred_life: seconds, valid_life: seconds, opts })
}

#[cfg(test)]
mod tests;
