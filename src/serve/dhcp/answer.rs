//! All decisions of DHCP: takes a request, the leases and the time, and returns a reply.

use std::borrow::Cow;
use std::net::Ipv4Addr;
use std::time::Duration;

use dhcproto::v4::{Flags, MessageType};

use super::boot::{self, BootFile, BootReply, Site};
use super::server::{FixedReply, Host, KnownBy, OF_A_LEASE, Server, find, written_first};
use super::state::{Change, Holder, Lease, Lessee, State};
use crate::event::{DhcpClient, UnixSeconds};
use crate::lab::UnknownClients;
use crate::plan::DhcpRole;
use crate::wire::dhcp::{Client, Destination, PXE, Reply, Request, Tlv, code};

/// How long an offered address is reserved.
const OFFER: Duration = Duration::from_secs(60);
/// Seconds for which an address in conflict is not leased.
const SET_ASIDE: Duration = Duration::from_secs(600);
/// The shortest lease time in seconds.
const SHORTEST: u32 = 10;

/// The port that a request came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::serve) enum Arrival {
    /// 67.
    Server,
    /// 4011, from that address.
    Proxy(Ipv4Addr),
}

/// The decision about a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::serve) struct Decision {
    /// `None`: the request is ignored.
    pub(in crate::serve) reply: Option<Reply>,
    pub(in crate::serve) change: Change,
    /// The kind of client.
    pub(in crate::serve) client: DhcpClient,
    /// The address that the client will use, from any server.
    pub(in crate::serve) uses: Option<Ipv4Addr>,
    /// The boot file of the reply.
    pub(in crate::serve) boot_file: Option<String>,
    /// The rule that decided.
    pub(in crate::serve) rule: Cow<'static, str>,
}

/// Decides about a request. `runs_program`: the client has fetched its boot program, which now sends the request.
pub(in crate::serve) fn answer(
    server: &Server,
    state: &State,
    request: &Request,
    arrival: Arrival,
    runs_program: bool,
    now: UnixSeconds,
) -> Decision {
    let case = Case::new(server, state, request, runs_program, now);
    if let Some(link) = request.link()
        && !server.address.contains(&link)
    {
        return case.ignore(format!("relayed from another subnet, {link}"));
    }
    if !request.giaddr.is_unspecified() && !server.may_relay(request.giaddr) {
        return case.ignore(format!("relay {} is not a host of this network", request.giaddr));
    }
    if request.server.is_some_and(|chosen| chosen != server.identifier) {
        return case.chose_another();
    }
    if let Arrival::Proxy(from) = arrival {
        return match case.is_host_here(from) {
            true => case.beside_another_server(Arrival::Proxy(from)),
            false => case.ignore(format!("{from} is not a host of this network")),
        };
    }
    if server.role == DhcpRole::Proxy {
        return case.beside_another_server(arrival);
    }
    if server.unknown_clients == UnknownClients::Ignore && !case.is_known() {
        return case.ignore("unknown client, and `unknown-clients` is \"ignore\"");
    }
    match request.kind {
        Some(MessageType::Discover) => case.discover(),
        Some(MessageType::Request) => case.request(),
        Some(MessageType::Decline) => case.decline(),
        Some(MessageType::Release) => case.release(),
        Some(MessageType::Inform) => case.inform(),
        None => case.bootp(),
        Some(_) => case.ignore("unexpected message type"),
    }
}

/// Returns the refusal of a request for an address (DHCPNAK).
pub(in crate::serve) fn refusal(
    server: &Server,
    state: &State,
    request: &Request,
    now: UnixSeconds,
) -> Decision {
    Case::new(server, state, request, false, now).refuse("refused")
}

/// A request with everything that an answer needs.
struct Case<'a> {
    server: &'a Server,
    state: &'a State,
    request: &'a Request,
    now: UnixSeconds,
    client: Client,
    lessee: Lessee,
    host: Option<&'a Host>,
    known_by: KnownBy,
    boot: BootReply,
}

impl<'a> Case<'a> {
    fn new(
        server: &'a Server,
        state: &'a State,
        request: &'a Request,
        runs_program: bool,
        now: UnixSeconds,
    ) -> Self {
        let client = Client::of(request, &server.ipxe_classes);
        let (host, known_by) = server.host(request).unzip();
        let lessee = server.lessee(request, client, known_by);
        let known_by = known_by.unwrap_or(KnownBy::Mac);
        let site = Site { address: server.address.addr(), files_port: server.files_port };
        let boot = boot::tell(client, host.map(|host| &host.plan), request, site, runs_program);
        Self { server, state, request, now, client, lessee, host, known_by, boot }
    }

    fn discover(self) -> Decision {
        match self.address(self.request.requested) {
            Err(rule) => self.ignore(rule),
            Ok((address, rule)) => {
                let change = self.offer(address);
                self.give(MessageType::Offer, address, change, rule)
            }
        }
    }

    /// SELECTING, INIT-REBOOT, RENEWING and REBINDING: all request the use of an address (RFC 2131, section 4.3.2).
    fn request(self) -> Decision {
        let using = Some(self.request.ciaddr).filter(|address| !address.is_unspecified());
        let Some(wanted) = self.request.requested.or(using) else {
            return self.ignore("no address requested");
        };
        let chose_us = self.request.server.is_some();
        let holds = |address| self.holds(address) || self.state.inherited_by(&self.lessee) == Some(address);
        let ours = chose_us || self.server.authoritative || self.is_known() || holds(wanted);
        match self.address(Some(wanted)) {
            Ok((address, rule)) if address == wanted && ours => {
                let change = self.lend(address);
                self.give(MessageType::Ack, address, change, rule)
            }
            Ok((address, _)) if ours => {
                self.refuse(format!("{wanted} is not this client's address, {address} is"))
            }
            Ok(_) => self.ignore("the address was not leased by this server"),
            // Unknown client: stay silent, so that another server can answer.
            Err(rule) if !chose_us => self.ignore(rule),
            Err(rule) => self.refuse(rule),
        }
    }

    fn decline(self) -> Decision {
        let Some(address) = self.request.requested else {
            return self.ignore("no address requested");
        };
        if !self.holds(address) {
            return self.ignore("declined an address that it was not offered");
        }
        let until = self.now + SET_ASIDE;
        let change = Change::Hold(Lease { address, holder: Holder::InUse, until });
        Decision { change, ..self.ignore("address conflict, address set aside") }
    }

    fn release(self) -> Decision {
        let address = self.request.ciaddr;
        if !self.holds(address) {
            return self.ignore("nothing to release");
        }
        Decision { change: Change::Free(address), ..self.ignore("released") }
    }

    fn inform(self) -> Decision {
        match self.request.ciaddr {
            address if address.is_unspecified() => self.ignore("no address requested"),
            // Not a host here: the reply would hit a victim of a spoofed address.
            address if !self.is_host_here(address) => {
                self.ignore(format!("{address} is not a host of this network"))
            }
            _ => self.give(MessageType::Inform, Ipv4Addr::UNSPECIFIED, Change::None, "inform"),
        }
    }

    fn bootp(self) -> Decision {
        // Such an answer has no end, so an address of the pool is never one.
        let (address, rule) = match self.reserved() {
            Some(Ok(reserved)) => reserved,
            Some(Err(why)) => return self.ignore(why),
            None => return self.ignore("BOOTP clients need a reservation"),
        };
        let mut decision = self.give(MessageType::Inform, address, Change::None, rule);
        if let Some(reply) = &mut decision.reply {
            reply.kind = None;
        }
        decision
    }

    fn chose_another(self) -> Decision {
        let offered = self.state.of(&self.lessee).filter(|_| self.request.kind == Some(MessageType::Request));
        let change = offered.map_or(Change::None, Change::Free);
        let uses = self.request.requested;
        Decision { change, uses, ..self.ignore("client chose another server") }
    }

    /// ProxyDHCP: boot files for nodes of the lab, no addresses.
    fn beside_another_server(self, arrival: Arrival) -> Decision {
        let kind = match (arrival, self.request.kind) {
            (Arrival::Server, Some(MessageType::Discover)) => MessageType::Offer,
            (Arrival::Proxy(_), Some(MessageType::Request | MessageType::Discover | MessageType::Inform)) => {
                MessageType::Ack
            }
            _ => return self.ignore("another server assigns addresses"),
        };
        if self.boot.file.is_none() && !self.boot.boots_without_file {
            let why = match self.boot.rule.as_ref() {
                "" => "no boot file for this client".into(),
                rule => format!("no boot file for this client: {rule}"),
            };
            return self.ignore(why);
        }
        let mut decision = self.give(kind, Ipv4Addr::UNSPECIFIED, Change::None, "proxy");
        if let Some(reply) = &mut decision.reply {
            reply.options = vec![self.server_id()];
            let always = &self.server.fixed_reply(self.host).options;
            let written = |option: &Tlv| always.iter().find(|written| written.code == option.code).cloned();
            let boot = self.boot.options.iter();
            reply.options.extend(boot.map(|option| written(option).unwrap_or_else(|| option.clone())));
            reply.options.extend(self.client_id());
            // This identifies a ProxyDHCP offer.
            if find(&reply.options, code::VENDOR_CLASS).is_none() {
                reply.options.push(Tlv::new(code::VENDOR_CLASS, b"PXEClient"));
            }
            // Without it iPXE requests the boot file repeatedly and accepts no answer.
            if reply.siaddr.is_unspecified() {
                reply.siaddr = self.server.address.addr();
            }
            reply.to = match arrival {
                Arrival::Server if reply.giaddr.is_unspecified() => Destination::Broadcast,
                Arrival::Server => Destination::Relay(reply.giaddr),
                Arrival::Proxy(_) => Destination::Source,
            };
        }
        decision
    }

    /// Returns the address for the client, and the rule that decided.
    fn address(&self, wanted: Option<Ipv4Addr>) -> Result<(Ipv4Addr, &'static str), &'static str> {
        let &Self { server, state, request, now, ref lessee, host, .. } = self;
        let instead = match self.reserved() {
            Some(Ok(reserved)) => return Ok(reserved),
            Some(Err(why)) => Some(why),
            None => None,
        };
        if !server.has_pool() {
            return Err(instead.unwrap_or(match host {
                Some(_) => "no address for this node, and no pool",
                None => "unknown MAC address, and no pool",
            }));
        }
        let usable = |address: &Ipv4Addr| state.is_free_for(*address, lessee, now);
        let inherited = || state.inherited_by(lessee).filter(usable);
        let held = state.of(lessee).filter(usable).or_else(inherited);
        let requested = || wanted.filter(usable);
        // Nodes of the lab boot even if unknown clients have exhausted the pool.
        let before_strangers =
            || host.and_then(|_| state.oldest_offer(|mac| !server.is_of_a_node(mac) && mac != request.mac));
        let address = held.or_else(requested).or_else(|| state.next_free(now)).or_else(before_strangers);
        address.map(|address| (address, instead.unwrap_or("pool"))).ok_or("pool exhausted")
    }

    /// Returns the address that is reserved for the client and the rule, or why it does not get it.
    fn reserved(&self) -> Option<Result<(Ipv4Addr, &'static str), &'static str>> {
        let &Self { server, state, request, now, ref lessee, host, known_by, .. } = self;
        let set_aside = |address| {
            let lease = state.lease(address).filter(|lease| lease.until > now);
            lease.is_some_and(|lease| lease.holder == Holder::InUse)
        };
        // An offer to another client does not bind the owner of the MAC address.
        let taken = |address| {
            let lease = state.lease(address).filter(|lease| lease.until > now);
            lease.is_some_and(|lease| match &lease.holder {
                // The firmware of an undeclared NIC of the same machine, known by its UUID, is gone.
                Holder::Lent(other) if known_by == KnownBy::Mac && other.client_id.is_none() => false,
                Holder::Lent(other) => !other.hands_over_to(lessee),
                Holder::Offered(other) => known_by != KnownBy::Mac && !other.hands_over_to(lessee),
                Holder::InUse => false,
            })
        };
        if let Some((host, address)) = host.and_then(|host| Some((host, host.plan.address?))) {
            return Some(if set_aside(address) {
                Err("address conflict on the reserved address")
            } else if taken(address) {
                Err("another client uses the address of this NIC")
            } else if !server.is_reserved_for(host, lessee) {
                Err("the address of this NIC is for another client id")
            } else {
                let rule = match known_by {
                    KnownBy::Mac => "reserved",
                    KnownBy::ClientId => "reserved by client id",
                    KnownBy::Uuid => "reserved by UUID",
                };
                Ok((address, rule))
            });
        }
        let address = server.reserved_for_stranger(request.mac)?;
        Some(if set_aside(address) {
            Err("address conflict on the reserved address")
        } else if taken(address) {
            Err("another client uses the reserved address")
        } else {
            Ok((address, "reserved"))
        })
    }

    /// Tells whether the client has leased an address.
    fn holds(&self, address: Ipv4Addr) -> bool {
        self.state.of(&self.lessee) == Some(address)
    }

    /// Tells whether the lab knows the client.
    fn is_known(&self) -> bool {
        self.host.is_some() || self.server.reserved_for_stranger(self.request.mac).is_some()
    }

    /// Tells whether an address can belong to a host on this network.
    fn is_host_here(&self, address: Ipv4Addr) -> bool {
        let net = self.server.address;
        let special = [net.addr(), net.network(), net.broadcast()];
        net.contains(&address) && !special.contains(&address)
    }

    fn offer(&self, address: Ipv4Addr) -> Change {
        let lease = self.state.lease(address);
        let is_lent = |holder: &Holder| match holder {
            Holder::Lent(client) => client.hands_over_to(&self.lessee),
            Holder::Offered(_) | Holder::InUse => false,
        };
        if lease.is_some_and(|lease| is_lent(&lease.holder) && lease.until > self.now) {
            // A restarting client, or its firmware, keeps the lease until the offer is requested.
            return Change::None;
        }
        let holder = Holder::Offered(self.lessee.clone());
        Change::Hold(Lease { address, holder, until: self.now + OFFER })
    }

    fn lend(&self, address: Ipv4Addr) -> Change {
        let until = self.now + Duration::from_secs(self.lease().into());
        Change::Hold(Lease { address, holder: Holder::Lent(self.lessee.clone()), until })
    }

    /// Returns the lease time in seconds: as requested, within the limits of the lab.
    fn lease(&self) -> u32 {
        let most = self.server.lease_seconds;
        self.request.lease.unwrap_or(most).clamp(SHORTEST.min(most), most)
    }

    fn ignore(&self, rule: impl Into<Cow<'static, str>>) -> Decision {
        Decision {
            reply: None,
            change: Change::None,
            client: self.client.word(),
            uses: None,
            boot_file: None,
            rule: rule.into(),
        }
    }

    fn refuse(&self, rule: impl Into<Cow<'static, str>>) -> Decision {
        let reply = self.reply(MessageType::Nak);
        let reply = Reply {
            options: std::iter::once(self.server_id()).chain(self.client_id()).collect(),
            // RFC 2131, section 4.3.2: a client that gets a DHCPNAK must stop using its address.
            to: match reply.giaddr.is_unspecified() {
                // A client that renews from another network; a broadcast would not reach it.
                true if self.server.is_remote() => Destination::Address(self.request.ciaddr),
                true => Destination::Broadcast,
                false => Destination::Relay(reply.giaddr),
            },
            flags: Flags::default().set_broadcast(),
            ..reply
        };
        Decision { reply: Some(reply), ..self.ignore(rule) }
    }

    /// Replies with an address, or without one if it is unspecified. `Inform` means an answer without a lease.
    fn give(&self, kind: MessageType, address: Ipv4Addr, change: Change, rule: &'static str) -> Decision {
        let request = self.request;
        let leases = kind != MessageType::Inform;
        let options = self.options(leases);
        let FixedReply { options: always, next_server, server_name } = self.server.fixed_reply(self.host);
        let written = find(always, code::BOOT_FILE).map(|file| String::from_utf8_lossy(file).into_owned());
        let file = written.or_else(|| self.boot.file.as_ref().map(|file| file.as_str().to_owned()));
        // Boards ask the server for files that only they know, so it is named even without a boot file.
        // A boot file of ours is there even where the lab's own TFTP is off: a process of the lab may serve it.
        let has_file = matches!(self.boot.file, Some(BootFile::Tftp(_)));
        let own = (has_file && server_name.is_none()).then(|| self.server.address.addr());
        let siaddr = next_server.or(own).unwrap_or(Ipv4Addr::UNSPECIFIED);
        let sname = server_name.clone().or_else(|| own.map(|_| siaddr.to_string()));
        let to = if !request.giaddr.is_unspecified() {
            Destination::Relay(request.giaddr)
        } else if self.is_host_here(request.ciaddr) {
            Destination::Address(request.ciaddr)
        } else if request.flags.broadcast() || address.is_unspecified() {
            Destination::Broadcast
        } else {
            Destination::Hardware(address)
        };
        let kind = if leases { kind } else { MessageType::Ack };
        let reply =
            Reply { yiaddr: address, siaddr, sname, file: file.clone(), options, to, ..self.reply(kind) };
        let rule = match self.boot.rule.as_ref() {
            "" => Cow::Borrowed(rule),
            boot => format!("{rule}, {boot}").into(),
        };
        // An offer may be left for another server's.
        let used = [address, request.ciaddr].into_iter().find(|address| !address.is_unspecified());
        let uses = used.filter(|_| kind != MessageType::Offer);
        Decision { reply: Some(reply), change, client: self.client.word(), uses, boot_file: file, rule }
    }

    /// Creates an empty reply to the request.
    fn reply(&self, kind: MessageType) -> Reply {
        let request = self.request;
        let ciaddr = match kind {
            MessageType::Ack => request.ciaddr,
            _ => Ipv4Addr::UNSPECIFIED,
        };
        Reply {
            kind: Some(kind),
            xid: request.xid,
            flags: request.flags,
            mac: request.mac,
            ciaddr,
            yiaddr: Ipv4Addr::UNSPECIFIED,
            siaddr: Ipv4Addr::UNSPECIFIED,
            sname: None,
            giaddr: request.giaddr,
            file: None,
            options: Vec::new(),
            relay: request.relay.as_ref().map(|relay| Tlv::new(code::RELAY, relay)),
            wanted: request.wanted.clone(),
            room: request.room,
            // Boot ROMs do not read options there.
            overload: self.client == Client::Os && request.kind.is_some(),
            to: Destination::Broadcast,
        }
    }

    fn server_id(&self) -> Tlv {
        Tlv::new(code::SERVER, &self.server.identifier.octets())
    }

    /// Repeats the client identifier: a client with several learns which one a reply is for (RFC 6842).
    fn client_id(&self) -> Option<Tlv> {
        self.request.client_id.as_ref().map(|id| Tlv::new(code::CLIENT_ID, id))
    }

    fn options(&self, leases: bool) -> Vec<Tlv> {
        let always = &self.server.fixed_reply(self.host).options;
        let mut options = vec![self.server_id()];
        if leases {
            let lease = self.lease();
            let share = |eighths: u64| u32::try_from(u64::from(lease) * eighths / 8).unwrap_or(u32::MAX);
            let times = [lease, share(4), share(7)];
            let times = OF_A_LEASE.iter().zip(times);
            options.extend(times.map(|(code, seconds)| Tlv::new(*code, &seconds.to_be_bytes())));
        }
        let mut boot = self.boot.options.clone();
        boot.extend(self.client_id());
        let is_pxe = self.request.vendor_class.starts_with(PXE);
        if is_pxe && find(always, code::VENDOR_OPTIONS).is_some() && find(&boot, code::VENDOR_CLASS).is_none()
        {
            // A PXE client reads vendor options only beside its own vendor class (PXE 2.1, section 2.2.2).
            boot.push(Tlv::new(code::VENDOR_CLASS, PXE));
        }
        // Options of the lab file override these.
        written_first(&mut options, always);
        written_first(&mut boot, always);
        let of_a_lease = |option: &&Tlv| OF_A_LEASE.contains(&option.code);
        options.extend(always.iter().filter(|option| leases || !of_a_lease(option)).cloned());
        options.extend(boot);
        options
    }
}

#[cfg(test)]
mod tests;
