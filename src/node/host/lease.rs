//! The DHCP client of a host's NIC.

use std::io;
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::sync::Arc;
use std::time::Duration;

use nix::sys::socket::{setsockopt, sockopt};
use tokio::time::timeout;

use super::Space;
use crate::event::{Emitter, Known, LearnedBy, LearnedFrom, Service};
use crate::name::NodeName;
use crate::plan::HostNicPlan;
use crate::wire::dhcp::{Asked, Asking, Lease, Told};

/// The ports of servers and clients.
const SERVER: u16 = 67;
const CLIENT: u16 = 68;
/// How long an answer is awaited first, and at most: dnsmasq looks for three seconds whether an address is in use.
const PATIENCE: Duration = Duration::from_secs(2);
const LONGEST_PATIENCE: Duration = Duration::from_secs(8);
/// A packet of DHCP is smaller.
const PACKET: usize = 1500;

/// Keeps the address of a NIC leased, as long as it is polled.
pub(super) async fn keep(host: NodeName, nic: HostNicPlan, space: Arc<Space>, events: Emitter) {
    let socket = match open(&nic, &space).await {
        Ok(socket) => socket,
        Err(error) => {
            let error = format!("DHCP client of {host}, {}: {error}", nic.nic);
            events.emit_of(&host, Known::ServiceFailed { service: Service::Dhcp, error });
            return;
        }
    };
    let mut current: Option<Lease> = None;
    loop {
        let leased = lease(&host, &nic, &socket, current.as_ref()).await;
        if let (Some(before), false) = (&current, leased.as_ref().is_some_and(|lease| keeps(&current, lease)))
        {
            space.take_address(&nic, before).await;
            current = None;
        }
        let Some(lease) = leased else { continue };
        if current.is_none() {
            if let Err(error) = space.set_address(&nic, &lease).await {
                let error = format!("cannot set the address that {host} leased: {error}");
                events.emit_of(&host, Known::ServiceFailed { service: Service::Dhcp, error });
            }
            let (network, address) = (nic.network.clone(), lease.address.addr().into());
            let from = LearnedFrom::AnotherServer(lease.server.map(Into::into));
            events.emit_of(&host, Known::AddressLearned { network, address, by: LearnedBy::Dhcp, from });
        }
        // Half of its time, as RFC 2131 says.
        let pause = lease.holds.map(|holds| (holds / 2).max(Duration::from_secs(1)));
        current = Some(lease);
        match pause {
            Some(pause) => {
                timeout(pause, std::future::pending::<()>()).await.ok();
            }
            None => return,
        }
    }
}

/// Tells whether a new lease is of the same address.
fn keeps(current: &Option<Lease>, lease: &Lease) -> bool {
    current.as_ref().is_some_and(|current| current.address == lease.address)
}

/// Opens the socket of a client, which has no address yet.
async fn open(nic: &HostNicPlan, space: &Space) -> io::Result<tokio::net::UdpSocket> {
    let interface = nic.interface.to_string();
    space
        .network()
        .run(move || {
            let socket = nix::sys::socket::socket(
                nix::sys::socket::AddressFamily::Inet,
                nix::sys::socket::SockType::Datagram,
                nix::sys::socket::SockFlag::SOCK_CLOEXEC | nix::sys::socket::SockFlag::SOCK_NONBLOCK,
                None,
            )?;
            setsockopt(&socket, sockopt::Broadcast, &true)?;
            setsockopt(&socket, sockopt::ReuseAddr, &true)?;
            // Without an address there is no route; the interface tells the way.
            setsockopt(&socket, sockopt::BindToDevice, &interface.into())?;
            let any = nix::sys::socket::SockaddrIn::new(0, 0, 0, 0, CLIENT);
            nix::sys::socket::bind(std::os::fd::AsRawFd::as_raw_fd(&socket), &any)?;
            tokio::net::UdpSocket::from_std(UdpSocket::from(socket))
        })
        .await
}

/// Gets a lease, or a longer one. `None` if nobody answered, or the address was refused.
async fn lease(
    host: &NodeName,
    nic: &HostNicPlan,
    socket: &tokio::net::UdpSocket,
    current: Option<&Lease>,
) -> Option<Lease> {
    let random = uuid::Uuid::new_v4().into_bytes();
    let xid = u32::from_be_bytes([random[0], random[1], random[2], random[3]]);
    let asking = Asking { mac: nic.mac, xid, name: host.as_str() };
    let mut asked = match current {
        Some(lease) => Asked::Renewal { address: lease.address.addr() },
        None => Asked::Discover,
    };
    let mut patience = PATIENCE;
    // What is not answered is asked again some times; then everything begins anew.
    for _ in 0..4 {
        let to = SocketAddr::from((Ipv4Addr::BROADCAST, SERVER));
        // Its network may be down for a while.
        if let Err(error) = socket.send_to(&asking.packet(asked), to).await {
            tracing::debug!(%host, %error, "a DHCP request was not sent");
        }
        match timeout(patience, answer(&asking, socket)).await {
            Ok(Told::Offer { address, server }) => asked = Asked::Offered { address, server },
            Ok(Told::Lease(lease)) => return Some(lease),
            Ok(Told::Refused) => return None,
            Err(_) => patience = (patience * 2).min(LONGEST_PATIENCE),
        }
    }
    None
}

/// Waits for an answer to a client.
async fn answer(asking: &Asking<'_>, socket: &tokio::net::UdpSocket) -> Told {
    let mut packet = [0; PACKET];
    loop {
        if let Ok(length) = socket.recv(&mut packet).await
            && let Some(told) = asking.told(&packet[..length])
        {
            return told;
        }
    }
}
