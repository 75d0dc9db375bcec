//! The sockets of a network's boot services, bound in the caller's namespace.
//!
//! They are bound before any service runs, so that a port in use is an error of the
//! plan's step and not of a service. Nothing here parses or answers a packet.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, UdpSocket};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};

use nix::ifaddrs::getifaddrs;
use nix::libc;
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::sys::socket::{NetlinkAddr, setsockopt, sockopt};
use socket2::{Domain, Protocol, SockFilter, SockRef, Socket, Type};

use crate::hint::Hint;
use crate::lab::TftpBackend;
use crate::name::IfName;
use crate::plan::{RelayTarget, ServicePlan};
use crate::system::sys;

const DHCP: u16 = 67;
const PROXY_DHCP: u16 = 4011;
const TFTP: u16 = 69;
const HTTPS: u16 = 443;
const DHCP6: u16 = 547;
const NTP: u16 = 123;
const SYSLOG: u16 = 514;

/// The multicast address of all routers on the link (RFC 4291, section 2.7.1), for router solicitations.
const ALL_ROUTERS: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 2);
/// The multicast address of all DHCP servers on the link (RFC 8415, section 7.1).
const ALL_SERVERS: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 1, 2);
/// The notifications of the neighbour table (`RTMGRP_NEIGH`).
const NEIGHBOURS: u32 = 4;
const BACKLOG: i32 = 1024;
/// EtherTypes: none of them, all of them (`ETH_P_ALL`), IPv4, IPv6, and ARP.
const NOTHING: u16 = 0;
const EVERYTHING: u16 = 3;
const IPV4: u16 = 0x0800;
const IPV6: u16 = 0x86dd;
const ARP: u16 = 0x0806;
/// EtherTypes of protocols between a station and a port: slow protocols (LACP), EAPOL, LLDP.
const LINK_LOCAL: [u16; 3] = [0x8809, 0x888e, 0x88cc];
/// Receive buffer for requests in bytes, including the kernel's overhead.
const STORM: usize = 8 << 20;

/// The sockets of one network's boot services, bound and non-blocking.
#[derive(Debug)]
pub struct Sockets {
    /// DHCP; `None` when the network has none.
    pub dhcp: Option<DhcpSockets>,
    /// The DHCP relay agent; `None` when the network has none.
    pub relay: Option<RelaySockets>,
    /// DHCPv6; `None` when the network has none.
    pub dhcp6: Option<Dhcp6Sockets>,
    /// TFTP, one socket for each address of the bridge; empty if it is off. So are the next ones.
    pub tftp: Vec<UdpSocket>,
    /// HTTP.
    pub http: Vec<TcpListener>,
    /// HTTPS.
    pub https: Vec<TcpListener>,
    /// matchbox's gRPC.
    pub rpc: Vec<TcpListener>,
    /// HTTP of matchbox, if it has its own port.
    pub matchbox: Vec<TcpListener>,
    /// DNS over UDP.
    pub dns: Vec<UdpSocket>,
    /// DNS over TCP.
    pub dns_tcp: Vec<TcpListener>,
    /// Router solicitations; `None` if nothing is advertised, or if the kernel has no IPv6.
    pub solicitations: Option<LinkSocket>,
    /// What shows addresses of nodes that no server of ours gave.
    pub neighbours: NeighbourSockets,
    /// NTP; empty if it is off, or if a daemon of the host uses the port.
    pub ntp: Vec<UdpSocket>,
    /// Syslog; empty if it is off, or if a daemon of the host uses the port.
    pub syslog: Vec<UdpSocket>,
    /// Services that are omitted because of an error: no machine needs them to boot.
    pub missing: Vec<BindError>,
}

/// The sockets of a DHCP server.
#[derive(Debug)]
pub struct DhcpSockets {
    /// Port 67 on the network's bridge.
    pub server: UdpSocket,
    /// Port 4011, where firmware requests boot files only.
    pub proxy: UdpSocket,
    /// Whole Ethernet frames, for clients that have no address yet.
    pub frames: Socket,
    /// Whole Ethernet frames in both directions, to probe for another server.
    pub probe: Option<Socket>,
    /// Port 67 of the bridge's address on any interface, for relays of other networks and their clients; `None` if there
    /// are none.
    pub routed: Option<UdpSocket>,
}

/// The sockets of a DHCP relay agent.
#[derive(Debug)]
pub struct RelaySockets {
    /// Port 67 on the network's bridge, where clients ask.
    pub clients: UdpSocket,
    /// Port 67 of the bridge's address, where servers answer.
    pub server: UdpSocket,
    /// A socket on the bridge of the servers, if requests are broadcast there.
    pub broadcast: Option<UdpSocket>,
    /// Whole Ethernet frames, for clients that have no address yet.
    pub frames: Socket,
}

/// The sockets of a DHCPv6 server.
#[derive(Debug)]
pub struct Dhcp6Sockets {
    /// Port 547 on the network's bridge.
    pub link: LinkSocket,
    /// The same requests as whole Ethernet frames.
    pub frames: Socket,
}

/// Sockets that tell who has which address on a network.
#[derive(Debug)]
pub struct NeighbourSockets {
    /// Changes of the kernel's neighbour table, of all interfaces.
    pub table: Socket,
    /// ARP on the network's bridge, whole Ethernet frames.
    pub arp: Socket,
    /// Index of the bridge.
    pub interface: u32,
}

/// A socket on one link: for ICMPv6 or for DHCPv6.
#[derive(Debug)]
pub struct LinkSocket {
    /// The socket. The standard library has no type for raw ones; a datagram socket does the same.
    pub socket: UdpSocket,
    /// Index of its interface, the scope of link-local addresses.
    pub interface: u32,
}

/// A socket of a boot service could not be opened.
#[derive(Debug, thiserror::Error)]
#[error("cannot open {port} for {service} on {interface}")]
pub struct BindError {
    service: &'static str,
    port: Port,
    interface: IfName,
    /// The process that uses the port, if known.
    holder: Option<String>,
    #[source]
    source: io::Error,
}

impl BindError {
    /// Returns the service without a socket.
    pub fn service(&self) -> &'static str {
        self.service
    }

    /// Returns what failed, why, and which process uses the port, in one line.
    pub fn in_full(&self) -> String {
        let holder = self.holder.as_ref().map(|holder| format!(", used by {holder}")).unwrap_or_default();
        format!("{self}: {}{holder}", self.source)
    }
}

impl Hint for BindError {
    fn hint(&self) -> Option<Cow<'static, str>> {
        match self.source.kind() {
            io::ErrorKind::AddrInUse => {
                let holder = self.holder.as_deref().unwrap_or("another program");
                Some(format!("stop {holder}, or use `isolation = \"private\"`").into())
            }
            io::ErrorKind::PermissionDenied => {
                Some("run as root, or use `isolation = \"private\"`, which needs no root".into())
            }
            io::ErrorKind::AddrNotAvailable => Some("the network's bridge does not have its address".into()),
            _ => None,
        }
    }
}

/// The protocol of a port.
#[derive(Debug, Clone, Copy)]
enum Port {
    Udp(u16),
    Tcp(u16),
    Frames,
    Icmp6,
}

impl std::fmt::Display for Port {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Udp(port) => write!(f, "UDP port {port}"),
            Self::Tcp(port) => write!(f, "TCP port {port}"),
            Self::Frames => f.write_str("a packet socket"),
            Self::Icmp6 => f.write_str("an ICMPv6 socket"),
        }
    }
}

/// Opens another UDP socket on the address and device of a socket, with a new port.
pub fn beside(socket: &UdpSocket) -> io::Result<UdpSocket> {
    let known = SockRef::from(socket);
    let mut address = socket.local_addr()?;
    address.set_port(0);
    let beside = Socket::new(Domain::for_address(address), Type::DGRAM, Some(Protocol::UDP))?;
    if let Some(device) = known.device()? {
        beside.bind_device(Some(&device))?;
    }
    beside.bind(&address.into())?;
    beside.set_nonblocking(true)?;
    Ok(beside.into())
}

/// Raises the limit of open files to its maximum: each transfer and connection takes one.
fn make_room() -> io::Result<()> {
    let (now, most) = getrlimit(Resource::RLIMIT_NOFILE)?;
    if now < most {
        setrlimit(Resource::RLIMIT_NOFILE, most, most)?;
    }
    Ok(())
}

/// Binds every socket of a network's boot services in the caller's network namespace.
pub fn bind(plan: &ServicePlan) -> Result<Sockets, BindError> {
    // With a lower limit fewer clients are served at once; nothing fails.
    make_room().ok();
    let addresses = [plan.server().map(IpAddr::from), plan.ipv6.map(|net| net.addr().into())];
    let addresses: Vec<IpAddr> = addresses.into_iter().flatten().collect();
    let failed = |service, port| {
        move |source: io::Error| BindError {
            service,
            port,
            interface: plan.interface.clone(),
            holder: (source.kind() == io::ErrorKind::AddrInUse).then(|| holder(port)).flatten(),
            source,
        }
    };
    let udp = |service, port| {
        let sockets = addresses.iter().map(|address| udp(*address, port));
        sockets.collect::<io::Result<_>>().map_err(failed(service, Port::Udp(port)))
    };
    let tcp = |service, port| {
        let sockets = addresses.iter().map(|address| tcp(*address, port));
        sockets.collect::<io::Result<_>>().map_err(failed(service, Port::Tcp(port)))
    };
    // A socket of a device and one of an address can have the same port only if both permit it.
    let beside = match plan.beside_relays {
        true => Reuse::Yes,
        false => Reuse::No,
    };
    let on_device =
        |service, port| on_device(&plan.interface, port, beside).map_err(failed(service, Port::Udp(port)));
    let of_address =
        |service, address: Ipv4Addr| shared(address.into(), DHCP).map_err(failed(service, Port::Udp(DHCP)));

    let dhcp = match &plan.dhcp {
        None => None,
        Some(dhcp) => Some(DhcpSockets {
            server: on_device("DHCP", DHCP)?,
            proxy: on_device("ProxyDHCP", PROXY_DHCP)?,
            frames: frames(&plan.interface, NOTHING).map_err(failed("DHCP", Port::Frames))?,
            probe: match dhcp.probe {
                true => Some(frames(&plan.interface, IPV4).map_err(failed("DHCP", Port::Frames))?),
                false => None,
            },
            routed: match plan.server().filter(|_| !plan.relayed.is_empty()) {
                Some(address) => Some(of_address("DHCP", address)?),
                None => None,
            },
        }),
    };
    let relay = match plan.relay.as_ref().zip(plan.server()) {
        None => None,
        Some((relay, address)) => Some(RelaySockets {
            clients: on_device("DHCP relay", DHCP)?,
            server: of_address("DHCP relay", address)?,
            broadcast: match &relay.to {
                RelayTarget::Server(_) => None,
                RelayTarget::Broadcast { network: _, interface, address } => {
                    Some(broadcasting(interface, *address).map_err(failed("DHCP relay", Port::Udp(0)))?)
                }
            },
            frames: frames(&plan.interface, NOTHING).map_err(failed("DHCP relay", Port::Frames))?,
        }),
    };
    let mut missing = Vec::new();
    let mut optional = |service, port, on: bool| {
        if !on {
            return Vec::new();
        }
        let sockets: io::Result<Vec<_>> = addresses.iter().map(|address| shared(*address, port)).collect();
        sockets.map_err(failed(service, Port::Udp(port))).unwrap_or_else(|error| {
            missing.push(error);
            Vec::new()
        })
    };
    let (ntp, syslog) = (optional("NTP", NTP, plan.ntp), optional("syslog", SYSLOG, plan.syslog));

    let dhcp6 = plan.dhcp6.as_ref().map(|_| dhcp6(&plan.interface)).transpose();
    Ok(Sockets {
        dhcp,
        relay,
        dhcp6: dhcp6.map_err(failed("DHCPv6", Port::Udp(DHCP6)))?,
        tftp: match plan.tftp {
            TftpBackend::Off => Vec::new(),
            TftpBackend::Builtin | TftpBackend::AsyncTftp => udp("TFTP", TFTP)?,
        },
        http: plan.http.map_or(Ok(Vec::new()), |port| tcp("HTTP", port))?,
        https: match plan.https {
            Some(_) => tcp("HTTPS", HTTPS)?,
            None => Vec::new(),
        },
        rpc: match plan.matchbox.as_ref().and_then(|matchbox| matchbox.rpc.as_ref()) {
            Some(rpc) => tcp("gRPC", rpc.port)?,
            None => Vec::new(),
        },
        matchbox: match &plan.matchbox {
            Some(matchbox) if Some(matchbox.port) != plan.http => tcp("matchbox", matchbox.port)?,
            _ => Vec::new(),
        },
        dns: plan.dns.port.map_or(Ok(Vec::new()), |port| udp("DNS", port))?,
        dns_tcp: plan.dns.port.map_or(Ok(Vec::new()), |port| tcp("DNS", port))?,
        solicitations: match plan.ra.then(|| solicitations(&plan.interface)).transpose() {
            Err(error) if error.raw_os_error() == Some(nix::libc::EAFNOSUPPORT) => None,
            other => other.map_err(failed("router advertisements", Port::Icmp6))?,
        },
        neighbours: neighbours(&plan.interface).map_err(failed("addresses of neighbours", Port::Frames))?,
        ntp,
        syslog,
        missing,
    })
}

fn udp(address: IpAddr, port: u16) -> io::Result<UdpSocket> {
    let socket = Socket::new(Domain::for_address((address, port).into()), Type::DGRAM, Some(Protocol::UDP))?;
    socket.bind(&SocketAddr::from((address, port)).into())?;
    socket.set_nonblocking(true)?;
    Ok(socket.into())
}

/// A UDP socket that shares a port with a wildcard socket, if that one permits it: packets to our address come to us.
/// Daemons of the host that do not serve our bridge permit it.
fn shared(address: IpAddr, port: u16) -> io::Result<UdpSocket> {
    let socket = Socket::new(Domain::for_address((address, port).into()), Type::DGRAM, Some(Protocol::UDP))?;
    socket.set_reuse_address(true)?;
    enlarge_receive_buffer(&socket)?;
    socket.bind(&SocketAddr::from((address, port)).into())?;
    socket.set_nonblocking(true)?;
    Ok(socket.into())
}

/// Listens on a TCP address, also on the wildcard address for IPv4 and IPv6, with a large backlog.
pub fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    // With a lower limit fewer clients are served at once; nothing fails.
    make_room().ok();
    tcp(address.ip(), address.port())
}

fn tcp(address: IpAddr, port: u16) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address((address, port).into()), Type::STREAM, Some(Protocol::TCP))?;
    // Connections of an earlier run may still linger in TIME_WAIT.
    socket.set_reuse_address(true)?;
    socket.bind(&SocketAddr::from((address, port)).into())?;
    socket.listen(BACKLOG)?;
    socket.set_nonblocking(true)?;
    Ok(socket.into())
}

/// Whether another socket may have the same port, if it is for other packets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Reuse {
    Yes,
    No,
}

/// A UDP socket that sends broadcasts to the hosts of one interface. It has a port of its own, so that it takes no
/// packets from servers there.
fn broadcasting(interface: &IfName, address: Ipv4Addr) -> io::Result<UdpSocket> {
    let socket = Socket::new(Domain::IPV4, Type::DGRAM, Some(Protocol::UDP))?;
    socket.bind_device(Some(interface.as_str().as_bytes()))?;
    socket.set_broadcast(true)?;
    socket.bind(&SocketAddr::from((address, 0)).into())?;
    socket.set_nonblocking(true)?;
    Ok(socket.into())
}

/// A UDP socket that receives broadcasts of one interface only.
fn on_device(interface: &IfName, port: u16, reuse: Reuse) -> io::Result<UdpSocket> {
    let socket = Socket::new(Domain::IPV4, Type::DGRAM, Some(Protocol::UDP))?;
    socket.set_reuse_address(reuse == Reuse::Yes)?;
    // Before the address, so that two networks can use the same port.
    socket.bind_device(Some(interface.as_str().as_bytes()))?;
    socket.set_broadcast(true)?;
    enlarge_receive_buffer(&socket)?;
    socket.bind(&SocketAddr::from((Ipv4Addr::UNSPECIFIED, port)).into())?;
    socket.set_nonblocking(true)?;
    Ok(socket.into())
}

/// Enlarges the receive buffer for bursts, as when a whole rack is switched on.
fn enlarge_receive_buffer(socket: &Socket) -> io::Result<()> {
    // Beyond the host's limit where permitted, as it is in our own network namespace.
    if nix::sys::socket::setsockopt(socket, nix::sys::socket::sockopt::RcvBufForce, &STORM).is_err() {
        socket.set_recv_buffer_size(STORM)?;
    }
    Ok(())
}

/// Opens a socket that receives every frame of an interface, in both directions, with its time and its auxiliary data.
pub fn capture(interface: &IfName) -> io::Result<OwnedFd> {
    let socket = frames(interface, EVERYTHING)?;
    enlarge_receive_buffer(&socket)?;
    setsockopt(&socket, sockopt::ReceiveTimestampns, &true)?;
    sys::receive_auxiliary_data(socket.as_fd())?;
    Ok(socket.into())
}

/// Opens a socket for each protocol that a bridge keeps from other ports (IEEE 802.1Q, table 8-1), and therefore from
/// its own interface: LACP, authentication, LLDP. It receives frames of every interface, with their times.
pub fn link_local_frames() -> io::Result<Vec<OwnedFd>> {
    let open = |protocol: u16| {
        let protocol = Protocol::from(i32::from(protocol.to_be()));
        let socket = Socket::new(Domain::PACKET, Type::RAW, Some(protocol))?;
        socket.set_nonblocking(true)?;
        setsockopt(&socket, sockopt::ReceiveTimestampns, &true)?;
        Ok(socket.into())
    };
    LINK_LOCAL.into_iter().map(open).collect()
}

/// Opens a packet socket that receives nothing until it is bound, and then of longer frames only the beginning.
pub(crate) fn unbound_frames(longest: u32) -> io::Result<OwnedFd> {
    let socket = Socket::new(Domain::PACKET, Type::RAW, None)?;
    socket.attach_filter(&[word(libc::BPF_RET | libc::BPF_K, 0, longest)])?;
    socket.set_nonblocking(true)?;
    Ok(socket.into())
}

/// Makes the interface of such a socket receive frames for other stations, too, until the socket is closed.
pub fn receive_for_all(socket: &OwnedFd, interface: &IfName) -> io::Result<()> {
    sys::receive_for_all(socket.as_fd(), nix::net::if_::if_nametoindex(interface.as_str())?)
}

/// Returns the frames that such a socket received and those of them that were lost since the last call.
pub fn statistics(socket: &OwnedFd) -> io::Result<(u64, u64)> {
    sys::packet_statistics(socket.as_fd())
}

/// A packet socket that sends on one interface and receives frames of a protocol there.
fn frames(interface: &IfName, protocol: u16) -> io::Result<Socket> {
    let protocol = Protocol::from(i32::from(protocol.to_be()));
    let socket = Socket::new(Domain::PACKET, Type::RAW, Some(protocol))?;
    let link = getifaddrs()?
        .filter(|entry| entry.interface_name == interface.as_str())
        .find_map(|entry| entry.address?.as_link_addr().copied())
        .ok_or(io::ErrorKind::NotFound)?;
    nix::sys::socket::bind(socket.as_raw_fd(), &link)?;
    socket.set_nonblocking(true)?;
    Ok(socket)
}

fn solicitations(interface: &IfName) -> io::Result<LinkSocket> {
    let socket = Socket::new(Domain::IPV6, Type::RAW, Some(Protocol::ICMPV6))?;
    let index = nix::net::if_::if_nametoindex(interface.as_str())?;
    socket.bind_device(Some(interface.as_str().as_bytes()))?;
    // Neighbour discovery is valid only from the link itself (RFC 4861, section 6.1.2).
    socket.set_unicast_hops_v6(255)?;
    socket.set_multicast_hops_v6(255)?;
    socket.set_multicast_loop_v6(false)?;
    socket.set_recv_hoplimit_v6(true)?;
    socket.set_multicast_if_v6(index)?;
    socket.join_multicast_v6(&ALL_ROUTERS, index)?;
    socket.set_nonblocking(true)?;
    Ok(LinkSocket { socket: socket.into(), interface: index })
}

fn neighbours(interface: &IfName) -> io::Result<NeighbourSockets> {
    let route = Protocol::from(libc::NETLINK_ROUTE);
    let table = Socket::new(Domain::from(libc::AF_NETLINK), Type::RAW, Some(route))?;
    nix::sys::socket::bind(table.as_raw_fd(), &NetlinkAddr::new(0, NEIGHBOURS))?;
    table.set_nonblocking(true)?;
    let interface_index = nix::net::if_::if_nametoindex(interface.as_str())?;
    Ok(NeighbourSockets { table, arp: frames(interface, ARP)?, interface: interface_index })
}

/// A UDP socket that receives multicast and unicast requests of one link and can tell them apart.
fn dhcp6(interface: &IfName) -> io::Result<Dhcp6Sockets> {
    let socket = Socket::new(Domain::IPV6, Type::DGRAM, Some(Protocol::UDP))?;
    let index = nix::net::if_::if_nametoindex(interface.as_str())?;
    socket.bind_device(Some(interface.as_str().as_bytes()))?;
    socket.set_only_v6(true)?;
    setsockopt(&socket, sockopt::Ipv6RecvPacketInfo, &true)?;
    socket.bind(&SocketAddr::from((Ipv6Addr::UNSPECIFIED, DHCP6)).into())?;
    socket.join_multicast_v6(&ALL_SERVERS, index)?;
    socket.set_nonblocking(true)?;
    let link = LinkSocket { socket: socket.into(), interface: index };
    let frames = frames(interface, IPV6)?;
    frames.attach_filter(&dhcp6_filter())?;
    Ok(Dhcp6Sockets { link, frames })
}

/// A filter of frames with IPv6: only UDP to the port of DHCPv6 servers, without extension headers.
fn dhcp6_filter() -> [SockFilter; 6] {
    const NEXT_HEADER: u32 = 14 + 6;
    const TO_PORT: u32 = 14 + 40 + 2;
    let load = |size: u32, at: u32| word(libc::BPF_LD | size | libc::BPF_ABS, 0, at);
    // The second argument is how many instructions are skipped if it differs.
    let equals = |skip: u8, value: u32| word(libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K, skip, value);
    let give = |bytes: u32| word(libc::BPF_RET | libc::BPF_K, 0, bytes);
    [
        load(libc::BPF_B, NEXT_HEADER),
        equals(3, libc::IPPROTO_UDP.unsigned_abs()),
        load(libc::BPF_H, TO_PORT),
        equals(1, DHCP6.into()),
        give(u32::MAX),
        give(0),
    ]
}

fn word(code: u32, otherwise: u8, value: u32) -> SockFilter {
    SockFilter::new(u16::try_from(code).unwrap_or(u16::MAX), 0, otherwise, value)
}

/// Finds the process that uses a port, as far as `/proc` is readable.
fn holder(port: Port) -> Option<String> {
    let (tables, port) = match port {
        Port::Udp(port) => (["/proc/net/udp", "/proc/net/udp6"], port),
        Port::Tcp(port) => (["/proc/net/tcp", "/proc/net/tcp6"], port),
        Port::Frames | Port::Icmp6 => return None,
    };
    let inodes: BTreeSet<String> = tables
        .iter()
        .filter_map(|table| fs::read_to_string(table).ok())
        .flat_map(|table| holding(&table, port))
        .map(|inode| format!("socket:[{inode}]"))
        .collect();
    let processes = fs::read_dir("/proc").ok()?.flatten();
    for process in processes.filter(|entry| entry.file_name().as_encoded_bytes()[0].is_ascii_digit()) {
        let descriptors = fs::read_dir(process.path().join("fd")).into_iter().flatten().flatten();
        let mut targets = descriptors.filter_map(|descriptor| fs::read_link(descriptor.path()).ok());
        if targets.any(|target| inodes.contains(&*target.to_string_lossy())) {
            let name = fs::read_to_string(process.path().join("comm")).ok()?;
            return Some(format!("`{}` (pid {})", name.trim(), process.file_name().display()));
        }
    }
    None
}

/// Returns the inodes of sockets in a table of `/proc/net` that are bound to a port.
fn holding(table: &str, port: u16) -> Vec<String> {
    let wanted = format!(":{port:04X}");
    let inode = |line: &str| {
        let mut fields = line.split_whitespace();
        let local = fields.nth(1)?;
        local.ends_with(&wanted).then(|| fields.nth(7).map(str::to_owned)).flatten()
    };
    table.lines().skip(1).filter_map(inode).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sockets_of_a_port_are_found_in_the_kernels_tables() {
        let table = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode ref pointer drops
  408: 0100007F:0035 00000000:0000 07 00000000:00000000 00:00000000 00000000   101        0 1193 2 0000000000000000 0
  424: 00000000:0045 00000000:0000 07 00000000:00000000 00:00000000 00000000     0        0 2204 2 0000000000000000 0
";
        assert_eq!(holding(table, 69), ["2204"]);
        assert_eq!(holding(table, 53), ["1193"]);
        assert!(holding(table, 67).is_empty());
    }

    #[test]
    fn the_holder_of_a_port_is_named() {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        let port = socket.local_addr().unwrap().port();
        let error = super::udp(Ipv4Addr::LOCALHOST.into(), port).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::AddrInUse);
        let holder = holder(Port::Udp(port)).unwrap();
        assert!(holder.contains(&format!("pid {}", std::process::id())), "{holder}");
    }
}
