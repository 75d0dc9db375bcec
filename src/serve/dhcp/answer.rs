//! All of DHCP's decisions: a request, the leases and the time in, a reply out.

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;

use dhcproto::v4::{DhcpOption, Flags, MessageType};

use super::boot::{self, BootFile, Client, Told};
use super::state::{Change, Holder, Lease, State};
use super::wire::{Destination, Reply, Request};
use crate::name::Mac;
use crate::plan::{DhcpPlan, HostPlan, ServicePlan};

/// Seconds for which an address is kept for a client that was offered it.
const OFFER: u64 = 60;
/// Seconds for which an address that somebody else uses is not lent.
const SET_ASIDE: u64 = 600;

/// What a server knows that never changes.
#[derive(Debug, Clone)]
pub(in crate::serve) struct Server {
    address: ipnet::Ipv4Net,
    mtu: u16,
    dhcp: DhcpPlan,
    hosts: BTreeMap<Mac, HostPlan>,
    reserved: BTreeSet<Ipv4Addr>,
}

/// The port that a request came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::serve) enum Arrival {
    /// 67.
    Server,
    /// 4011.
    Proxy,
}

/// What is done about a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::serve) struct Decision {
    /// `None`: it is left without an answer.
    pub(in crate::serve) reply: Option<Reply>,
    pub(in crate::serve) change: Change,
    /// Who asked.
    pub(in crate::serve) client: &'static str,
    /// The address that the client is about to use, whoever gives it.
    pub(in crate::serve) uses: Option<Ipv4Addr>,
    /// Boot file that the reply names.
    pub(in crate::serve) boot_file: Option<String>,
    /// The rule that decided.
    pub(in crate::serve) rule: String,
}

impl Server {
    /// Takes from a plan what answers need; `None` when the network has no DHCP.
    pub(in crate::serve) fn new(plan: &ServicePlan) -> Option<Self> {
        Some(Self {
            address: plan.address,
            mtu: plan.mtu,
            dhcp: plan.dhcp.clone()?,
            hosts: plan.hosts.iter().map(|host| (host.mac, host.clone())).collect(),
            reserved: plan
                .hosts
                .iter()
                .filter_map(|host| host.address)
                .chain([plan.address.addr()])
                .collect(),
        })
    }

    /// Returns the NIC that a hardware address belongs to.
    pub(in crate::serve) fn host(&self, mac: Mac) -> Option<&HostPlan> {
        self.hosts.get(&mac)
    }

    fn in_pool(&self, address: Ipv4Addr) -> bool {
        let within = |(first, last)| (first..=last).contains(&address);
        self.dhcp.pool.is_some_and(within) && !self.reserved.contains(&address)
    }

    /// Returns the address that a client is given, and the rule that decided.
    fn address_for(
        &self,
        state: &State,
        mac: Mac,
        wanted: Option<Ipv4Addr>,
        now: u64,
    ) -> Result<(Ipv4Addr, &'static str), &'static str> {
        if let Some(address) = self.hosts.get(&mac).and_then(|host| host.address) {
            return Ok((address, "reserved"));
        }
        let Some((first, last)) = self.dhcp.pool else {
            return Err(match self.hosts.get(&mac) {
                Some(_) => "the node has no address here and the network no pool",
                None => "the MAC address is nobody's and the network has no pool",
            });
        };
        let usable = |address: &Ipv4Addr| self.in_pool(*address) && state.is_free_for(*address, mac, now);
        let held = state.of(mac).filter(usable);
        let asked = || wanted.filter(usable);
        let free = || (u32::from(first)..=u32::from(last)).map(Ipv4Addr::from).find(usable);
        held.or_else(asked).or_else(free).map(|address| (address, "pool")).ok_or("the pool is used up")
    }
}

/// Decides what is done about a request. `runs_program`: the client has fetched its boot program, and that is what asks.
/// `now` is in seconds on the run's clock.
pub(in crate::serve) fn answer(
    server: &Server,
    state: &State,
    request: &Request,
    arrival: Arrival,
    runs_program: bool,
    now: u64,
) -> Decision {
    let client = Client::of(request);
    let host = server.host(request.mac);
    let told = boot::tell(client, host, request, server.address.addr(), runs_program);
    let case = Case { server, state, request, now, client, told };
    if !request.giaddr.is_unspecified() {
        return case.ignore("it came by a relay");
    }
    if request.server.is_some_and(|chosen| chosen != server.address.addr()) {
        return case.chose_another();
    }
    if !server.dhcp.authoritative {
        return case.beside_another_server(arrival);
    }
    match request.kind {
        Some(MessageType::Discover) => case.discover(),
        Some(MessageType::Request) => case.request(),
        Some(MessageType::Decline) => case.decline(),
        Some(MessageType::Release) => case.release(),
        Some(MessageType::Inform) => case.inform(),
        None => case.bootp(),
        Some(_) => case.ignore("servers do not get this message"),
    }
}

/// One request with all that an answer needs.
struct Case<'a> {
    server: &'a Server,
    state: &'a State,
    request: &'a Request,
    now: u64,
    client: Client,
    told: Told,
}

impl Case<'_> {
    fn discover(self) -> Decision {
        let wanted = self.request.requested;
        match self.server.address_for(self.state, self.request.mac, wanted, self.now) {
            Err(rule) => self.ignore(rule),
            Ok((address, rule)) => {
                let change = self.hold(address, Holder::Offered(self.request.mac), OFFER);
                self.give(MessageType::Offer, address, change, rule)
            }
        }
    }

    /// Selecting, init-reboot, renewing and rebinding: all ask to use one address (RFC 2131, section 4.3.2).
    fn request(self) -> Decision {
        let using = Some(self.request.ciaddr).filter(|address| !address.is_unspecified());
        let Some(wanted) = self.request.requested.or(using) else {
            return self.ignore("it names no address");
        };
        match self.server.address_for(self.state, self.request.mac, Some(wanted), self.now) {
            Ok((address, rule)) if address == wanted => {
                let lease = u64::from(self.server.dhcp.lease_seconds);
                let change = self.hold(address, Holder::Lent(self.request.mac), lease);
                self.give(MessageType::Ack, address, change, rule)
            }
            Ok((address, _)) => self.refuse(format!("{wanted} is not this client's address, {address} is")),
            // Somebody else's client, as far as we know: silence, so that another server may answer.
            Err(rule) if self.request.server.is_none() => self.ignore(rule),
            Err(rule) => self.refuse(rule.to_owned()),
        }
    }

    fn decline(self) -> Decision {
        let Some(address) = self.request.requested else {
            return self.ignore("it names no address");
        };
        if self.state.of(self.request.mac) != Some(address) {
            return self.ignore("it declines an address that it was not given from the pool");
        }
        let change = self.hold(address, Holder::InUse, SET_ASIDE);
        Decision { change, ..self.ignore("the address is in use by somebody else and set aside") }
    }

    fn release(self) -> Decision {
        let address = self.request.ciaddr;
        if self.state.of(self.request.mac) != Some(address) {
            return self.ignore("nothing to release");
        }
        Decision { change: Change::Free(address), ..self.ignore("released") }
    }

    fn inform(self) -> Decision {
        if self.request.ciaddr.is_unspecified() {
            return self.ignore("it names no address");
        }
        let mut decision = self.give(MessageType::Ack, Ipv4Addr::UNSPECIFIED, Change::None, "inform");
        if let Some(reply) = &mut decision.reply {
            // RFC 2131, section 4.3.5: no lease is told.
            reply.options.retain(|option| {
                !matches!(
                    option,
                    DhcpOption::AddressLeaseTime(_) | DhcpOption::Renewal(_) | DhcpOption::Rebinding(_)
                )
            });
        }
        decision
    }

    fn bootp(self) -> Decision {
        let Some(address) = self.server.host(self.request.mac).and_then(|host| host.address) else {
            return self.ignore("BOOTP clients need a reservation");
        };
        let mut decision = self.give(MessageType::Ack, address, Change::None, "reserved");
        if let Some(reply) = &mut decision.reply {
            reply.kind = None;
        }
        decision
    }

    fn chose_another(self) -> Decision {
        let offered =
            self.state.of(self.request.mac).filter(|_| self.request.kind == Some(MessageType::Request));
        let change = offered.map_or(Change::None, Change::Free);
        let uses = self.request.requested;
        Decision { change, uses, ..self.ignore("the client chose another server") }
    }

    /// ProxyDHCP: boot files for our nodes, addresses for nobody.
    fn beside_another_server(self, arrival: Arrival) -> Decision {
        let kind = match (arrival, self.request.kind) {
            (Arrival::Server, Some(MessageType::Discover)) => MessageType::Offer,
            (Arrival::Proxy, Some(MessageType::Request | MessageType::Discover | MessageType::Inform)) => {
                MessageType::Ack
            }
            _ => return self.ignore("another server gives addresses here"),
        };
        if self.told.file.is_none() {
            return self.ignore("no boot file for this client");
        }
        let mut decision = self.give(kind, Ipv4Addr::UNSPECIFIED, Change::None, "proxy");
        if let Some(reply) = &mut decision.reply {
            let own = |option: &DhcpOption| {
                matches!(option, DhcpOption::ServerIdentifier(_) | DhcpOption::ClassIdentifier(_))
            };
            let told = |option: &DhcpOption| self.told.options.contains(option);
            reply.options.retain(|option| own(option) || told(option));
            // Without it iPXE asks for the boot file again and again, and believes no answer.
            reply.siaddr = self.server.address.addr();
            // How a client tells a ProxyDHCP offer from others.
            let is_class = |option: &DhcpOption| matches!(option, DhcpOption::ClassIdentifier(_));
            if !reply.options.iter().any(is_class) {
                reply.options.push(DhcpOption::ClassIdentifier(b"PXEClient".to_vec()));
            }
            reply.to = match arrival {
                Arrival::Server => Destination::Broadcast,
                Arrival::Proxy => Destination::Source,
            };
        }
        decision
    }

    fn hold(&self, address: Ipv4Addr, holder: Holder, seconds: u64) -> Change {
        if !self.server.in_pool(address) {
            return Change::None;
        }
        let held = self.state.of(self.request.mac) == Some(address);
        let offer = matches!(holder, Holder::Offered(_));
        if offer && held {
            // A client that starts anew keeps its lease until it takes the offer.
            return Change::None;
        }
        Change::Hold(Lease { address, holder, until: self.now.saturating_add(seconds) })
    }

    fn ignore(&self, rule: &str) -> Decision {
        Decision {
            reply: None,
            change: Change::None,
            client: self.client.as_str(),
            uses: None,
            boot_file: None,
            rule: rule.to_owned(),
        }
    }

    fn refuse(&self, rule: String) -> Decision {
        let reply = Reply {
            options: vec![DhcpOption::ServerIdentifier(self.server.address.addr())],
            // RFC 2131, section 4.3.2: a client that is told no may not use its address any more.
            to: Destination::Broadcast,
            flags: Flags::default().set_broadcast(),
            ..self.reply(MessageType::Nak)
        };
        Decision { reply: Some(reply), rule, ..self.ignore("") }
    }

    fn give(&self, kind: MessageType, address: Ipv4Addr, change: Change, rule: &str) -> Decision {
        let request = self.request;
        let siaddr = match &self.told.file {
            Some(BootFile::Tftp(_)) => self.server.address.addr(),
            Some(BootFile::Url(_) | BootFile::Http(_)) | None => Ipv4Addr::UNSPECIFIED,
        };
        let file = self.told.file.as_ref().map(|file| file.as_str().to_owned());
        let to = if !request.ciaddr.is_unspecified() {
            Destination::Address(request.ciaddr)
        } else if request.flags.broadcast() || address.is_unspecified() {
            Destination::Broadcast
        } else {
            Destination::Hardware(address)
        };
        let reply = Reply {
            yiaddr: address,
            siaddr,
            file: file.clone(),
            options: self.options(),
            to,
            ..self.reply(kind)
        };
        let rule = match self.told.rule.as_str() {
            "" => rule.to_owned(),
            told => format!("{rule}, {told}"),
        };
        let uses = [address, request.ciaddr].into_iter().find(|address| !address.is_unspecified());
        Decision { reply: Some(reply), change, client: self.client.as_str(), uses, boot_file: file, rule }
    }

    /// An empty reply to the request.
    fn reply(&self, kind: MessageType) -> Reply {
        let request = self.request;
        let ciaddr = match kind {
            MessageType::Ack => request.ciaddr,
            _ => Ipv4Addr::UNSPECIFIED,
        };
        Reply {
            kind: Some(kind),
            xid: request.xid,
            secs: 0,
            flags: request.flags,
            mac: request.mac,
            ciaddr,
            yiaddr: Ipv4Addr::UNSPECIFIED,
            siaddr: Ipv4Addr::UNSPECIFIED,
            file: None,
            options: Vec::new(),
            to: Destination::Broadcast,
        }
    }

    fn options(&self) -> Vec<DhcpOption> {
        let Server { address, mtu, dhcp, hosts, reserved: _ } = self.server;
        let lease = dhcp.lease_seconds;
        let share = |eighths: u64| u32::try_from(u64::from(lease) * eighths / 8).unwrap_or(u32::MAX);
        let mut options = vec![
            DhcpOption::ServerIdentifier(address.addr()),
            DhcpOption::AddressLeaseTime(lease),
            DhcpOption::Renewal(share(4)),
            DhcpOption::Rebinding(share(7)),
            DhcpOption::SubnetMask(address.netmask()),
            DhcpOption::BroadcastAddr(address.broadcast()),
        ];
        options.extend(dhcp.router.map(|router| DhcpOption::Router(vec![router])));
        options.push(DhcpOption::DomainNameServer(vec![dhcp.nameserver]));
        options.extend(hosts.get(&self.request.mac).map(|host| DhcpOption::Hostname(host.node.to_string())));
        options.push(DhcpOption::DomainName(dhcp.domain.clone()));
        options.push(DhcpOption::InterfaceMtu(*mtu));
        options.extend(self.told.options.iter().cloned());
        options
    }
}

#[cfg(test)]
mod tests;
