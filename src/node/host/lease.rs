//! The DHCP client of a host's NIC.

use std::io;
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::sync::Arc;
use std::time::Duration;

use nix::sys::socket::{setsockopt, sockopt};
use tokio::time::timeout;

use super::Space;
use crate::event::{Emitter, Known, LearnedBy, LearnedFrom, RunTime, Service};
use crate::name::NodeName;
use crate::plan::HostNicPlan;
use crate::wire::dhcp::{Asked, Asking, Lease, Told};

/// The ports of servers and clients.
const SERVER: u16 = 67;
const CLIENT: u16 = 68;
/// How long an answer is awaited first, and at most: dnsmasq looks for three seconds whether an address is in use.
const PATIENCE: Duration = Duration::from_secs(2);
const LONGEST_PATIENCE: Duration = Duration::from_secs(8);
/// How long an address that could not be set is not asked for again.
const RETRY: Duration = Duration::from_secs(10);
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
    // When the current lease ends.
    let mut end: Option<RunTime> = None;
    loop {
        let asked = events.now().at;
        let answer = lease(&host, &nic, &socket, current.as_ref());
        let leased = match end {
            Some(end) => timeout(end.since(asked), answer).await.unwrap_or(Answered::Nothing),
            None => answer.await,
        };
        let is_over = end.is_some_and(|end| events.now().at >= end);
        let goes_on = match (&current, &leased) {
            (Some(current), Answered::Lease(lease)) => current.address == lease.address,
            // Until its end it is kept, even if nobody answers.
            (Some(_), Answered::Nothing) => !is_over,
            (Some(_), Answered::Refused) | (None, _) => false,
        };
        if let Some(before) = current.take_if(|_| !goes_on) {
            space.take_address(&nic, &before).await;
            end = None;
        }
        let Answered::Lease(lease) = leased else { continue };
        if current.is_none() {
            if let Err(error) = space.set_address(&nic, &lease).await {
                let error = format!("cannot set the address that {host} leased: {error}");
                events.emit_of(&host, Known::ServiceFailed { service: Service::Dhcp, error });
                space.take_address(&nic, &lease).await;
                timeout(RETRY, std::future::pending::<()>()).await.ok();
                continue;
            }
            let (network, address) = (nic.network.clone(), lease.address.addr().into());
            let from = LearnedFrom::AnotherServer(lease.server.map(Into::into));
            events.emit_of(&host, Known::AddressLearned { network, address, by: LearnedBy::Dhcp, from });
        }
        // Half of its time, as RFC 2131 says.
        let pause = lease.holds.map(|holds| (holds / 2).max(Duration::from_secs(1)));
        end = lease.holds.map(|holds| asked + holds);
        current = Some(lease);
        match pause {
            Some(pause) => {
                timeout(pause, std::future::pending::<()>()).await.ok();
            }
            None => return,
        }
    }
}

/// What became of a request.
enum Answered {
    Lease(Lease),
    Refused,
    Nothing,
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

/// Gets a lease, or a longer one.
async fn lease(
    host: &NodeName,
    nic: &HostNicPlan,
    socket: &tokio::net::UdpSocket,
    current: Option<&Lease>,
) -> Answered {
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
            Ok(Told::Lease(lease)) => return Answered::Lease(lease),
            Ok(Told::Refused) => return Answered::Refused,
            Err(_) => patience = (patience * 2).min(LONGEST_PATIENCE),
        }
    }
    Answered::Nothing
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
