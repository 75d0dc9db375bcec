//! Bridges, TAPs, addresses and neighbours in the network namespace in which the socket was opened.

use std::borrow::Cow;
use std::fmt;
use std::fs::File;
use std::io;
use std::net::IpAddr;
use std::time::Duration;

use futures_util::TryStreamExt;
use ipnet::Ipv4Net;
use nix::errno::Errno;
use rtnetlink::packet_core::{NetlinkMessage, NetlinkPayload};
use rtnetlink::packet_route::RouteNetlinkMessage;
use rtnetlink::packet_route::address::{AddressAttribute, AddressFlags, AddressMessage};
use rtnetlink::packet_route::link::{
    AfSpecInet6, AfSpecUnspec, BridgeStpState, In6AddrGenMode, InfoData, InfoVeth, LinkAttribute, LinkFlags,
    LinkMessage, State,
};
use rtnetlink::packet_route::neighbour::{
    NeighbourAddress, NeighbourAttribute, NeighbourMessage, NeighbourState,
};
use rtnetlink::{AddressMessageBuilder, Handle, LinkBridge, LinkUnspec, LinkVeth, RouteMessageBuilder};
use std::net::{Ipv4Addr, Ipv6Addr};
use tokio::task::JoinSet;

use super::{sys, sysctl};
use crate::hint::Hint;
use crate::name::{IfName, Mac};
use crate::plan::{BridgePlan, HostNicPlan, PortPlan, TapPlan};

/// How often the carrier is polled.
const LOOK: Duration = Duration::from_millis(50);

/// The smallest MTU of a bridge.
const SMALLEST_MTU: u32 = 68;

/// How many frames wait for the reader of a TAP; by default, a thousand.
const LONG_QUEUE: u32 = 8192;

/// A change of the network that the kernel refused.
#[derive(Debug, thiserror::Error)]
#[error("cannot {what} `{on}`")]
pub struct NetlinkError {
    what: &'static str,
    on: String,
    /// The cause.
    #[source]
    pub source: io::Error,
}

impl NetlinkError {
    fn new(what: &'static str, on: impl fmt::Display, source: io::Error) -> Self {
        Self { what, on: on.to_string(), source }
    }
}

impl Hint for NetlinkError {
    fn hint(&self) -> Option<Cow<'static, str>> {
        let code = self.source.raw_os_error().map(Errno::from_raw);
        let hint = match code {
            Some(Errno::EBUSY) if self.what == "plug in" => {
                Some("it is a port of another bridge or bond: remove it there, or use another interface")
            }
            Some(Errno::EOPNOTSUPP | Errno::EINVAL | Errno::ELOOP) if self.what == "plug in" => Some(
                "loopback, bridges and most wireless interfaces cannot be bridge ports: use another interface",
            ),
            Some(Errno::EEXIST | Errno::EBUSY) => Some("it remains from an earlier run: run `dryrack down`"),
            Some(Errno::EPERM | Errno::EACCES) if self.what == "make TAP" => Some(
                "check that you may read and write /dev/net/tun (`dryrack doctor`); with `isolation = \"none\"` this needs root",
            ),
            Some(Errno::EPERM | Errno::EACCES) => Some(
                "with `isolation = \"none\"` this needs root (CAP_NET_ADMIN); in user namespaces some distributions \
                 (Ubuntu 24.04) require an AppArmor profile: `dryrack doctor` prints it",
            ),
            Some(Errno::EROFS) => Some("if this is a container, start it with a writable /proc/sys"),
            Some(Errno::EAFNOSUPPORT) => Some(
                "the kernel has no IPv6: boot it without `ipv6.disable=1`, or remove `ipv6` from the network",
            ),
            Some(Errno::ENOENT | Errno::ENODEV) if self.what == "make TAP" => {
                Some("the kernel has no TUN/TAP driver: `modprobe tun`")
            }
            Some(Errno::EOPNOTSUPP) if self.what == "make bridge" => {
                Some("the kernel has no bridge driver: `modprobe bridge`")
            }
            _ => None,
        };
        hint.map(Cow::Borrowed)
    }
}

/// The begin of the alias of every interface that a plan makes.
const ALIAS: &str = "dryrack ";

/// A network interface.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Link {
    /// Its index.
    pub index: u32,
    /// Its name.
    pub name: String,
    /// Its alias.
    pub alias: Option<String>,
    /// Its hardware address.
    pub mac: Option<Mac>,
    /// Its MTU.
    pub mtu: u32,
    /// Whether it is administratively up.
    pub up: bool,
    /// Whether it has a carrier, so that frames pass.
    pub carries: bool,
    /// The index of its bridge.
    pub bridge: Option<u32>,
}

/// A netlink socket. It belongs to the namespace of the thread that opened it, wherever it is used.
pub struct Netlink {
    handle: Handle,
    // The connection's task ends with this value.
    _connection: JoinSet<()>,
}

impl fmt::Debug for Netlink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Netlink")
    }
}

impl Netlink {
    /// Opens a socket in the network namespace of this thread. Must be called inside a tokio runtime.
    pub fn open() -> Result<Self, NetlinkError> {
        let (connection, handle, _) = rtnetlink::new_connection()
            .map_err(|source| NetlinkError::new("open a netlink socket in", "this namespace", source))?;
        let mut tasks = JoinSet::new();
        tasks.spawn(connection);
        Ok(Self { handle, _connection: tasks })
    }

    /// Creates a bridge without forwarding delay, adds its addresses, if any, and brings it up.
    pub async fn bridge(&self, plan: &BridgePlan) -> Result<(), NetlinkError> {
        let name = plan.interface.as_str();
        let make = LinkBridge::new(name)
            .stp_state(BridgeStpState::Disabled)
            .forward_delay(0)
            .mcast_snooping(false)
            .address(plan.mac.0.to_vec())
            .mtu(plan.mtu.into())
            .build();
        self.handle.link().add(make).execute().await.map_err(failed("make bridge", name))?;
        let index = self.index(name).await?.ok_or_else(|| vanished(name))?;
        // The kernel ignores an alias in the message that makes a link; by it the undo knows ours.
        let dress = LinkUnspec::new_with_index(index).alias(plan.alias.as_str()).build();
        self.set(dress, "set the alias of", name).await?;
        let has_ipv6 = self.no_automatic_address(index, name).await?;

        let Some(ipv4) = plan.address else {
            // Without this the kernel would answer ARP for addresses of the lab's other networks.
            let silent = LinkUnspec::new_with_index(index).arp(false).up();
            return self.set(silent.build(), "bring up", name).await;
        };
        let message =
            AddressMessageBuilder::<Ipv4Addr>::new().index(index).address(ipv4.addr(), ipv4.prefix_len());
        self.address(message.build(), name).await?;
        if plan.ipv6.is_some() {
            if !has_ipv6 {
                return Err(NetlinkError::new("give an IPv6 address to", name, Errno::EAFNOSUPPORT.into()));
            }
            sysctl::ignore_routers(&plan.interface)
                .map_err(|error| NetlinkError::new("switch off routers of others on", name, error.source))?;
        }
        for ipv6 in [Some(plan.link_local), plan.ipv6].into_iter().flatten().filter(|_| has_ipv6) {
            let message =
                AddressMessageBuilder::<Ipv6Addr>::new().index(index).address(ipv6.addr(), ipv6.prefix_len());
            let mut message = message.build();
            // Skip duplicate address detection: the address is needed at once and is unique on our own bridge.
            message.attributes.push(AddressAttribute::Flags(AddressFlags::Nodad));
            self.address(message, name).await?;
        }
        self.set(LinkUnspec::new_with_index(index).up().build(), "bring up", name).await
    }

    /// Creates a bridge that only connects its ports: it forwards each frame to all others, and its own interface has no
    /// addresses and answers no ARP.
    pub async fn hub(&self, bridge: &IfName, alias: &str) -> Result<(), NetlinkError> {
        let name = bridge.as_str();
        let make = LinkBridge::new(name)
            .stp_state(BridgeStpState::Disabled)
            .forward_delay(0)
            .ageing_time(0)
            .mcast_snooping(false)
            .build();
        self.handle.link().add(make).execute().await.map_err(failed("make bridge", name))?;
        let index = self.index(name).await?.ok_or_else(|| vanished(name))?;
        // With this MTU the bridge's own interface has no IPv6, whose router advertisements would set routes. It does
        // not limit what passes from port to port.
        let dress = LinkUnspec::new_with_index(index).alias(alias).mtu(SMALLEST_MTU).arp(false).up();
        let dressed = self.set(dress.build(), "bring up", name).await;
        if dressed.is_err() {
            self.handle.link().del(index).execute().await.ok();
        }
        dressed
    }

    /// Creates a TAP, attaches it to its bridge and brings it up. QEMU opens it later.
    pub async fn tap(&self, plan: &TapPlan) -> Result<(), NetlinkError> {
        let TapPlan { interface, bridge, alias, mtu, node: _, nic: _ } = plan;
        self.attached_tap(interface, bridge, alias, *mtu, sys::make_tap).await
    }

    /// Creates a TAP that exists until the descriptor is closed, attaches it to a bridge and brings it up. Each read of
    /// the descriptor takes a frame off it, each write puts one on it; neither blocks.
    pub async fn transient_tap(
        &self,
        tap: &IfName,
        bridge: &IfName,
        alias: &str,
        mtu: u16,
    ) -> Result<File, NetlinkError> {
        let descriptor = self.attached_tap(tap, bridge, alias, mtu, sys::transient_tap).await?;
        let name = tap.as_str();
        // The reader is a thread that may have to wait for a processor while frames arrive.
        let queue = LinkUnspec::new_with_name(name).txqueuelen(LONG_QUEUE).build();
        self.set(queue, "set the queue of", name).await?;
        Ok(descriptor)
    }

    async fn attached_tap<T>(
        &self,
        tap: &IfName,
        bridge: &IfName,
        alias: &str,
        mtu: u16,
        make: impl FnOnce(&IfName) -> io::Result<T>,
    ) -> Result<T, NetlinkError> {
        let name = tap.as_str();
        let controller = self
            .index(bridge.as_str())
            .await?
            .ok_or_else(|| NetlinkError::new("put a TAP on", bridge, Errno::ENODEV.into()))?;
        let made = make(tap).map_err(|source| NetlinkError::new("make TAP", name, source))?;
        let index = self.index(name).await?.ok_or_else(|| vanished(name))?;
        let dress = LinkUnspec::new_with_index(index).alias(alias).mtu(mtu.into()).build();
        self.set(dress, "set MTU and alias of", name).await?;
        self.no_automatic_address(index, name).await?;
        let join = LinkUnspec::new_with_index(index).controller(controller).up().build();
        self.set(join, "put on its bridge", name).await?;
        Ok(made)
    }

    /// Connects a NIC of a host, whose first process is `pid`, to its bridge.
    pub async fn cable(&self, plan: &HostNicPlan, pid: i32, up: bool) -> Result<(), NetlinkError> {
        let (name, what) = (plan.port.as_str(), "make port");
        let bridge = self
            .index(plan.bridge.as_str())
            .await?
            .ok_or_else(|| NetlinkError::new("put a port on", &plan.bridge, Errno::ENODEV.into()))?;
        let pid = u32::try_from(pid).map_err(|e| NetlinkError::new(what, name, io::Error::other(e)))?;
        let peer = LinkUnspec::new_with_name(plan.interface.as_str())
            .address(plan.mac.0.to_vec())
            .mtu(plan.mtu.into())
            .setns_by_pid(pid)
            .build();
        let pair = LinkVeth::new(name, plan.interface.as_str())
            .set_info_data(InfoData::Veth(InfoVeth::Peer(peer)))
            .mtu(plan.mtu.into())
            .build();
        self.handle.link().add(pair).execute().await.map_err(failed(what, name))?;
        let index = self.index(name).await?.ok_or_else(|| vanished(name))?;
        let dress = LinkUnspec::new_with_index(index).alias(plan.alias.as_str()).build();
        self.set(dress, "set the alias of", name).await?;
        self.no_automatic_address(index, name).await?;
        let join = LinkUnspec::new_with_index(index).controller(bridge);
        let join = if up { join.up() } else { join };
        self.set(join.build(), "put on its bridge", name).await
    }

    /// Brings an interface up.
    pub async fn bring_up(&self, interface: &IfName) -> Result<(), NetlinkError> {
        self.set_up(interface, true).await
    }

    /// Brings an interface up or down.
    pub async fn set_up(&self, interface: &IfName, up: bool) -> Result<(), NetlinkError> {
        let name = interface.as_str();
        let index = self.index(name).await?.ok_or_else(|| vanished(name))?;
        let link = LinkUnspec::new_with_index(index);
        let link = if up { link.up() } else { link.down() };
        self.set(link.build(), if up { "bring up" } else { "bring down" }, name).await
    }

    /// Adds an IPv4 address to an interface, unless it has it.
    pub async fn add_address(&self, interface: &IfName, address: Ipv4Net) -> Result<(), NetlinkError> {
        let (name, what) = (interface.as_str(), "give an address to");
        let index = self.index(name).await?.ok_or_else(|| vanished(name))?;
        let add = self.handle.address().add(index, address.addr().into(), address.prefix_len());
        match add.execute().await {
            Err(error) if errno(&error) == Some(Errno::EEXIST) => Ok(()),
            done => done.map_err(failed(what, name)),
        }
    }

    /// Takes an IPv4 address from an interface.
    pub async fn delete_address(&self, interface: &IfName, address: Ipv4Net) -> Result<(), NetlinkError> {
        let (name, what) = (interface.as_str(), "take an address from");
        let index = self.index(name).await?.ok_or_else(|| vanished(name))?;
        let mut message = AddressMessageBuilder::<Ipv4Addr>::new()
            .index(index)
            .address(address.addr(), address.prefix_len())
            .build();
        message.header.index = index;
        self.handle.address().del(message).execute().await.map_err(failed(what, name))
    }

    /// Sets the IPv4 default route.
    pub async fn default_route(&self, gateway: Ipv4Addr) -> Result<(), NetlinkError> {
        let route = RouteMessageBuilder::<Ipv4Addr>::new().gateway(gateway).build();
        let add = self.handle.route().add(route).replace();
        add.execute().await.map_err(failed("set the default route by", &gateway.to_string()))
    }

    /// Attaches an interface of the host to a bridge and brings it up, unless it is used otherwise.
    pub async fn plug(&self, plan: &PortPlan) -> Result<(), NetlinkError> {
        let (name, what) = (plan.interface.as_str(), "plug in");
        let link = self.link(name).await?.ok_or_else(|| vanished(name))?;
        // The kernel would silently detach it from the other bridge.
        if link.bridge.is_some() {
            return Err(NetlinkError::new(what, name, Errno::EBUSY.into()));
        }
        let bridge = self.index(plan.bridge.as_str()).await?.ok_or_else(|| vanished(plan.bridge.as_str()))?;
        self.set(LinkUnspec::new_with_index(link.index).controller(bridge).up().build(), what, name).await
    }

    /// Waits until an interface has a carrier, which takes some seconds after a cable was plugged in. Returns false
    /// after `patience`.
    pub async fn carries(&self, interface: &IfName, patience: Duration) -> Result<bool, NetlinkError> {
        let name = interface.as_str();
        let mut look = tokio::time::interval(LOOK);
        let carries = async {
            loop {
                look.tick().await;
                match self.link(name).await? {
                    Some(link) if !link.carries => {}
                    found => return Ok(found.is_some()),
                }
            }
        };
        tokio::time::timeout(patience, carries).await.unwrap_or(Ok(false))
    }

    /// Detaches an interface from a bridge, and brings it down unless `up`. Does nothing if it is not attached to
    /// that bridge.
    pub async fn unplug(&self, interface: &IfName, bridge: &IfName, up: bool) -> Result<(), NetlinkError> {
        let name = interface.as_str();
        let (Some(link), Some(bridge)) = (self.link(name).await?, self.index(bridge.as_str()).await?) else {
            return Ok(());
        };
        if link.bridge != Some(bridge) {
            return Ok(());
        }
        let leave = LinkUnspec::new_with_index(link.index).nocontroller();
        let leave = if up { leave } else { leave.down() };
        self.set(leave.build(), "unplug", name).await
    }

    /// Moves an interface from one bridge to another. Returns false if one of the three is gone, or if the interface is
    /// not attached to the first bridge.
    ///
    /// It is attached to one of them all the time: outside of a bridge it would answer ARP for the addresses of this
    /// namespace.
    pub async fn replug(&self, interface: &IfName, from: &IfName, to: &IfName) -> Result<bool, NetlinkError> {
        let name = interface.as_str();
        let (link, from, to) =
            (self.link(name).await?, self.index(from.as_str()).await?, self.index(to.as_str()).await?);
        let (Some(link), Some(from), Some(to)) = (link, from, to) else { return Ok(false) };
        if link.bridge != Some(from) {
            return Ok(false);
        }
        let message = LinkUnspec::new_with_index(link.index).controller(to).build();
        match self.handle.link().set(message).execute().await {
            Err(error) if errno(&error) == Some(Errno::ENODEV) => Ok(false),
            done => done.map_err(failed("move to another bridge", name)).map(|()| true),
        }
    }

    /// Deletes an interface of ours; succeeds if it does not exist.
    ///
    /// A bridge can have any name, so that of another owner may have been made just before ours. Ours has an alias.
    pub async fn delete(&self, interface: &IfName) -> Result<(), NetlinkError> {
        let name = interface.as_str();
        let Some(link) = self.link(name).await? else { return Ok(()) };
        let is_ours = link.alias.is_some_and(|alias| alias.starts_with(ALIAS));
        if !is_ours && !interface.is_derived() {
            return Ok(());
        }
        match self.handle.link().del(link.index).execute().await {
            Err(error) if errno(&error) == Some(Errno::ENODEV) => Ok(()),
            done => done.map_err(failed("delete", name)),
        }
    }

    /// Tells whether an interface of this name exists.
    pub async fn exists(&self, interface: &IfName) -> Result<bool, NetlinkError> {
        Ok(self.index(interface.as_str()).await?.is_some())
    }

    /// Brings up the loopback interface.
    pub async fn loopback_up(&self) -> Result<(), NetlinkError> {
        self.set(LinkUnspec::new_with_name("lo").up().build(), "bring up", "lo").await
    }

    /// Sets the hardware address of a neighbour, so that the kernel does not need to resolve it.
    ///
    /// A DHCP client that has no address yet cannot answer ARP.
    pub async fn neighbour_replace(
        &self,
        interface: &IfName,
        address: IpAddr,
        mac: Mac,
    ) -> Result<(), NetlinkError> {
        let what = "set a neighbour on";
        let index = self
            .index(interface.as_str())
            .await?
            .ok_or_else(|| NetlinkError::new(what, interface, Errno::ENODEV.into()))?;
        let request = self.handle.neighbours().add(index, address).link_layer_address(&mac.0);
        // Not permanent: the client may return with another card at the same address.
        let request = request.state(NeighbourState::Reachable);
        request.replace().execute().await.map_err(failed(what, interface.as_str()))
    }

    /// Lists the interfaces of the namespace.
    pub async fn links(&self) -> Result<Vec<Link>, NetlinkError> {
        let messages: Vec<LinkMessage> = self
            .handle
            .link()
            .get()
            .execute()
            .try_collect()
            .await
            .map_err(failed("list the interfaces of", "this namespace"))?;
        Ok(messages.iter().map(link).collect())
    }

    /// Disables automatic IPv6 addresses on an interface. Returns `false` if there is no IPv6.
    async fn no_automatic_address(&self, index: u32, name: &str) -> Result<bool, NetlinkError> {
        let none = AfSpecUnspec::Inet6(vec![AfSpecInet6::AddrGenMode(In6AddrGenMode::None)]);
        let message = LinkUnspec::new_with_index(index)
            .append_extra_attribute(LinkAttribute::AfSpecUnspec(vec![none]))
            .build();
        match self.handle.link().set(message).execute().await {
            // The host was booted with ipv6.disable=1, or the MTU is below IPv6's 1280.
            Err(error) if errno(&error) == Some(Errno::EAFNOSUPPORT) => Ok(false),
            done => {
                done.map_err(failed("switch off automatic addresses of", name))?;
                Ok(true)
            }
        }
    }

    async fn address(&self, message: AddressMessage, name: &str) -> Result<(), NetlinkError> {
        let mut request = self.handle.address().add(0, IpAddr::V4(Ipv4Addr::UNSPECIFIED), 32);
        *request.message_mut() = message;
        request.execute().await.map_err(failed("give an address to", name))
    }

    async fn set(&self, message: LinkMessage, what: &'static str, name: &str) -> Result<(), NetlinkError> {
        self.handle.link().set(message).execute().await.map_err(failed(what, name))
    }

    async fn index(&self, name: &str) -> Result<Option<u32>, NetlinkError> {
        Ok(self.link(name).await?.map(|link| link.index))
    }

    async fn link(&self, name: &str) -> Result<Option<Link>, NetlinkError> {
        let mut found = self.handle.link().get().match_name(name).execute();
        match found.try_next().await {
            Ok(message) => Ok(message.as_ref().map(link)),
            Err(error) if errno(&error) == Some(Errno::ENODEV) => Ok(None),
            Err(error) => Err(failed("look up", name)(error)),
        }
    }
}

fn link(message: &LinkMessage) -> Link {
    let mut link = Link {
        index: message.header.index,
        name: String::new(),
        alias: None,
        mac: None,
        mtu: 0,
        up: message.header.flags.contains(LinkFlags::Up),
        carries: false,
        bridge: None,
    };
    for attribute in &message.attributes {
        match attribute {
            LinkAttribute::IfName(name) => link.name.clone_from(name),
            LinkAttribute::IfAlias(alias) => link.alias = Some(alias.clone()),
            LinkAttribute::Address(bytes) => link.mac = bytes.as_slice().try_into().ok().map(Mac),
            LinkAttribute::Mtu(mtu) => link.mtu = *mtu,
            LinkAttribute::OperState(state) => link.carries = matches!(state, State::Up | State::Unknown),
            LinkAttribute::Controller(index) => link.bridge = Some(*index),
            _ => {}
        }
    }
    link
}

/// An entry of the kernel's neighbour table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Neighbour {
    /// The number of the interface that it is on.
    pub interface: u32,
    /// Its hardware address.
    pub mac: Mac,
    /// Its address.
    pub address: IpAddr,
}

/// Reads what the kernel says of new entries of its neighbour table, without those that nobody answered for.
pub fn neighbours(datagram: &[u8]) -> impl Iterator<Item = Neighbour> {
    let mut rest = datagram;
    let messages = std::iter::from_fn(move || {
        let length = u32::from_ne_bytes(*rest.first_chunk()?) as usize;
        let message = NetlinkMessage::<RouteNetlinkMessage>::deserialize(rest).ok()?;
        // The next one is aligned.
        rest = rest.get(length.next_multiple_of(4)..).unwrap_or_default();
        Some(message)
    });
    messages.filter_map(|message| match message.payload {
        NetlinkPayload::InnerMessage(RouteNetlinkMessage::NewNeighbour(message)) => neighbour(&message),
        _ => None,
    })
}

fn neighbour(message: &NeighbourMessage) -> Option<Neighbour> {
    use NeighbourState::{Delay, Permanent, Probe, Reachable, Stale};
    let is_there = matches!(message.header.state, Reachable | Stale | Delay | Probe | Permanent);
    let (mut mac, mut address) = (None, None);
    for attribute in &message.attributes {
        match attribute {
            NeighbourAttribute::LinkLayerAddress(bytes) => mac = bytes.as_slice().try_into().ok().map(Mac),
            NeighbourAttribute::Destination(NeighbourAddress::Inet(v4)) => address = Some(IpAddr::V4(*v4)),
            NeighbourAttribute::Destination(NeighbourAddress::Inet6(v6)) => address = Some(IpAddr::V6(*v6)),
            _ => {}
        }
    }
    let (mac, address) = (mac.filter(|_| is_there)?, address?);
    Some(Neighbour { interface: message.header.ifindex, mac, address })
}

fn vanished(name: &str) -> NetlinkError {
    NetlinkError::new("look up", name, Errno::ENODEV.into())
}

fn failed(what: &'static str, on: &str) -> impl FnOnce(rtnetlink::Error) -> NetlinkError {
    move |error| {
        let source = errno(&error).map_or_else(|| io::Error::other(error.to_string()), io::Error::from);
        NetlinkError::new(what, on, source)
    }
}

fn errno(error: &rtnetlink::Error) -> Option<Errno> {
    match error {
        rtnetlink::Error::NetlinkError(message) => message.code.map(|code| Errno::from_raw(-code.get())),
        _ => None,
    }
}
