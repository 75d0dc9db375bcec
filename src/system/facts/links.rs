//! The interfaces of this host, and what uses them.

use std::net::IpAddr;

use nix::ifaddrs::getifaddrs;

use crate::name::IfName;
use crate::plan::HostLink;
use crate::system::netlink::{Link, Netlink};

/// Lists the interfaces of the caller's network namespace.
pub(super) fn links() -> Vec<HostLink> {
    let links = all();
    let named = |index: u32| links.iter().find(|link| link.index == index);
    let host_link = |link: &Link| {
        let name = IfName::new(&link.name).ok()?;
        let master = link.bridge.and_then(named).and_then(|master| IfName::new(&master.name).ok());
        Some(HostLink { addresses: addresses(&name), name, up: link.up, mtu: link.mtu, master })
    };
    links.iter().filter_map(host_link).collect()
}

fn all() -> Vec<Link> {
    let ask = || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().ok()?;
        runtime.block_on(async { Netlink::open().ok()?.links().await.ok() })
    };
    // On its own thread, because the caller may be inside a runtime.
    std::thread::scope(|scope| scope.spawn(ask).join().ok().flatten()).unwrap_or_default()
}

fn addresses(interface: &IfName) -> Vec<IpAddr> {
    let of_interface =
        getifaddrs().into_iter().flatten().filter(|entry| entry.interface_name == interface.as_str());
    let address = |entry: nix::ifaddrs::InterfaceAddress| {
        let address = entry.address?;
        let ipv4 = address.as_sockaddr_in().map(|address| IpAddr::from(address.ip()));
        ipv4.or_else(|| address.as_sockaddr_in6().map(|address| IpAddr::from(address.ip())))
    };
    // Every interface that is up has a link-local address; it does not show that the interface is used.
    let of_the_link = |address: &IpAddr| matches!(address, IpAddr::V6(ipv6) if ipv6.is_unicast_link_local());
    of_interface.filter_map(address).filter(|address| !of_the_link(address)).collect()
}
