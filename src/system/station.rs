//! A station on a network without a machine: a network namespace with one NIC.

use std::borrow::Cow;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};

use tokio::net::{TcpListener, UdpSocket};

use super::host::EnteredNetwork;
use super::netlink::{Netlink, NetlinkError};
use super::sockets;
use crate::hint::Hint;
use crate::plan::BmcPlan;

/// A station. It ends when all clones are dropped, and its sockets are.
#[derive(Debug, Clone)]
pub struct Station {
    network: EnteredNetwork,
    address: Ipv4Addr,
}

/// Why a station could not be created.
#[derive(Debug, thiserror::Error)]
pub enum StationError {
    /// There is no network namespace for it.
    #[error("cannot make the network of a station")]
    Namespace(#[source] io::Error),
    /// Its NIC cannot be set up.
    #[error("cannot set up the network of a station")]
    Nic(#[source] NetlinkError),
}

impl Hint for StationError {
    fn hint(&self) -> Option<Cow<'static, str>> {
        match self {
            Self::Namespace(error) => error.hint(),
            Self::Nic(error) => error.hint(),
        }
    }
}

impl Station {
    /// Plugs a BMC into the bridge of its network; `bridges` is in the network namespace of that.
    pub async fn plug(bridges: &Netlink, plan: &BmcPlan) -> Result<Self, StationError> {
        let (of_system, of_netlink) = (StationError::Namespace, StationError::Nic);
        let creating = tokio::task::spawn_blocking(EnteredNetwork::create);
        let (network, thread) =
            creating.await.map_err(|error| of_system(io::Error::other(error)))?.map_err(of_system)?;
        let inside = network.run(|| Ok(Netlink::open())).await.map_err(of_system)?.map_err(of_netlink)?;
        inside.loopback_up().await.map_err(of_netlink)?;
        bridges.cable(&plan.nic, thread, true).await.map_err(of_netlink)?;
        inside.bring_up(&plan.nic.interface).await.map_err(of_netlink)?;
        inside.add_address(&plan.nic.interface, plan.address).await.map_err(of_netlink)?;
        if let Some(gateway) = plan.gateway {
            inside.default_route(gateway).await.map_err(of_netlink)?;
        }
        Ok(Self { network, address: plan.address.addr() })
    }

    /// Listens on a TCP port.
    pub async fn listen(&self, port: u16) -> io::Result<TcpListener> {
        let address = SocketAddr::from((self.address, port));
        self.network.run(move || TcpListener::from_std(sockets::listen(address)?)).await
    }

    /// Returns its network, from which sockets are opened.
    pub fn network(&self) -> &EnteredNetwork {
        &self.network
    }

    /// Opens a UDP port.
    pub async fn udp(&self, port: u16) -> io::Result<UdpSocket> {
        let address = SocketAddr::from((self.address, port));
        self.network
            .run(move || {
                let socket = std::net::UdpSocket::bind(address)?;
                socket.set_nonblocking(true)?;
                UdpSocket::from_std(socket)
            })
            .await
    }
}
