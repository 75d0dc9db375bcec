//! Learns addresses that nodes use on the wire and that were not assigned by our DHCP servers.
//!
//! Beside another DHCP server, or without any, there are two sources. The kernel adds clients to its neighbour table
//! when they request the bridge's address, or when a DHCP server in the lab (dnsmasq) answers them. ARP that a node
//! broadcasts for others (its gateway, itself) never gets there, so it is read from the bridge. Nothing is sent, and
//! only hardware addresses of nodes count.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr};
use std::os::fd::OwnedFd;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;
use std::{io, iter};

use ipnet::{Ipv4Net, Ipv6Net};
use tokio::io::Interest;

use super::context::Context;
use super::failure::FailureLog;
use crate::event::RateLimit;
use crate::event::{LearnedBy, LearnedFrom, RunTime, Service};
use crate::name::{Mac, NodeName};
use crate::plan::ServicePlan;
use crate::system::netlink::{Neighbour, neighbours};
use crate::system::process::watch;
use crate::system::sockets::NeighbourSockets;

/// The maximum size of a kernel notification; several may arrive as one.
const BUFFER: usize = 16 << 10;
/// How many new addresses of a node are learned within [`SPAN`]: a node with more makes addresses up.
const MOST: u64 = 16;
const SPAN: Duration = Duration::from_secs(10);

/// Learns addresses of the nodes of one network.
#[derive(Debug)]
pub(super) struct Watch {
    nodes: HashMap<Mac, NodeName>,
    /// The subnet, with our own address if we have one.
    ipv4: Ipv4Net,
    ipv6: Option<Ipv6Net>,
    context: Context,
    /// The number of new addresses of each node, since an instant.
    limit: Mutex<(RunTime, RateLimit<NodeName>)>,
}

impl Watch {
    /// Starts with the network's nodes in the plan.
    pub(super) fn new(plan: &ServicePlan, context: Context) -> Self {
        let nodes = plan.hosts.iter().map(|host| (host.mac, host.node.clone())).collect();
        let (ipv4, ipv6) = (plan.address.unwrap_or(plan.subnet), plan.ipv6);
        let limit = Mutex::new((RunTime::START, RateLimit::new(u64::MAX, 0).of_each(MOST)));
        Self { nodes, ipv4, ipv6, context, limit }
    }

    /// Records an address that a hardware address uses.
    fn see(&self, mac: Mac, address: IpAddr, by: LearnedBy) {
        let Some(node) = self.nodes.get(&mac) else { return };
        if !self.is_here(address) {
            return;
        }
        if self.context.clients.knows(address, node, &by) || !self.is_believable(node) {
            return;
        }
        if let Some(learned) = self.context.clients.learn(address, node, by, LearnedFrom::Node) {
            self.context.events.emit_of(node, learned);
        }
    }

    /// Tells whether a node can have the address on this network.
    fn is_here(&self, address: IpAddr) -> bool {
        match address {
            IpAddr::V4(v4) => {
                let special = [self.ipv4.addr(), self.ipv4.network(), self.ipv4.broadcast()];
                self.ipv4.contains(&v4) && !special.contains(&v4)
            }
            IpAddr::V6(v6) => self.ipv6.is_some_and(|net| net.contains(&v6) && net.addr() != v6),
        }
    }

    /// Counts a new address of a node.
    fn is_believable(&self, node: &NodeName) -> bool {
        let now = self.context.events.now().at;
        let mut limit = self.limit.lock().unwrap_or_else(PoisonError::into_inner);
        let (since, counts) = &mut *limit;
        if now.since(*since) >= SPAN {
            *since = now;
            // Made-up addresses are not reported.
            drop(counts.next_window());
        }
        counts.admit(node.clone())
    }
}

/// Learns addresses as long as it is polled.
pub(super) async fn run(sockets: NeighbourSockets, nodes: Watch) {
    let NeighbourSockets { table, arp, interface } = sockets;
    let mut table_failure = FailureLog::new(Service::Neighbours, &nodes.context.events);
    let mut arp_failure = FailureLog::new(Service::Neighbours, &nodes.context.events);
    let from_table = each_datagram(table.into(), &mut table_failure, |datagram| {
        for Neighbour { mac, address, .. } in neighbours(datagram).filter(|of| of.interface == interface) {
            nodes.see(mac, address, LearnedBy::Neighbour);
        }
    });
    let from_arp = each_datagram(arp.into(), &mut arp_failure, |frame| {
        for (mac, address) in iter::once(frame).filter_map(arp_sender) {
            nodes.see(mac, address.into(), LearnedBy::Arp);
        }
    });
    tokio::join!(from_table, from_arp);
}

async fn each_datagram(socket: OwnedFd, failure: &mut FailureLog<'_>, take: impl Fn(&[u8])) {
    let socket = match watch(socket) {
        Ok(socket) => socket,
        Err(error) => return failure.note(Err(error)),
    };
    let mut buffer = vec![0; BUFFER];
    loop {
        let receive = socket.async_io(Interest::READABLE, |socket| {
            nix::unistd::read(socket, &mut buffer).map_err(io::Error::from)
        });
        match receive.await {
            Ok(length) => {
                failure.note(Ok(()));
                take(&buffer[..length]);
            }
            Err(error) => failure.pause(&error).await,
        }
    }
}

/// Returns the sender of an Ethernet frame with ARP, and its claimed address (RFC 826).
fn arp_sender(frame: &[u8]) -> Option<(Mac, Ipv4Addr)> {
    /// ARP for Ethernet and IPv4, with addresses of 6 and 4 bytes.
    const HEAD: [u8; 8] = [0x08, 0x06, 0, 1, 0x08, 0, 6, 4];
    let (ethernet, arp) = frame.split_at_checked(12)?;
    let rest = arp.strip_prefix(&HEAD)?.get(2..)?;
    let (sender, rest) = rest.split_first_chunk::<6>()?;
    let (address, _) = rest.split_first_chunk::<4>()?;
    let address = Ipv4Addr::from(*address);
    // An ARP probe has no sender address (RFC 5227), and a frame whose senders differ is ignored.
    let is_own = ethernet[6..] == sender[..] && !address.is_unspecified();
    is_own.then_some((Mac(*sender), address))
}

#[cfg(any(test, fuzzing))]
pub(in crate::serve) mod fuzz;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::serve::boots::Boots;
    use crate::serve::clients::Addresses;
    use crate::serve::clients::Clients;
    use crate::serve::example::{self, DISK, Log, REAL, STRANGER};

    fn frame(from: Mac, sender: Mac, address: [u8; 4]) -> Vec<u8> {
        let head = [0x08, 0x06, 0, 1, 0x08, 0, 6, 4, 0, 1];
        [&[0xff; 6][..], &from.0, &head, &sender.0, &address, &[0; 6], &[10, 0, 0, 9], &[0; 18]].concat()
    }

    #[test]
    fn arp_says_who_has_which_address() {
        let own = frame(REAL, REAL, [10, 0, 0, 50]);
        assert_eq!(arp_sender(&own), Some((REAL, [10, 0, 0, 50].into())));
        assert_eq!(arp_sender(&frame(REAL, REAL, [0; 4])), None, "a probe");
        assert_eq!(arp_sender(&frame(STRANGER, REAL, [10, 0, 0, 50])), None, "in the name of another one");
        let mut ipv4 = own.clone();
        ipv4[13] = 0;
        assert_eq!(arp_sender(&ipv4), None);
        assert!((0..32).all(|length| arp_sender(&own[..length]).is_none()));
    }

    #[test]
    fn addresses_of_nodes_are_learned_and_told_once() {
        let (plan, log, addresses) = (example::plan(), Log::default(), Addresses::default());
        let clients = Clients::among(&plan, addresses.clone(), Boots::default());
        let watch = Watch::new(&plan, Context::new(clients, log.emitter()));
        let reported = || {
            let reported = log.take().into_iter().map(|(node, known)| format!("{}: {known}", node.unwrap()));
            reported.collect::<Vec<_>>().join("\n")
        };
        watch.see(REAL, [10, 0, 0, 50].into(), LearnedBy::Neighbour);
        watch.see(REAL, [10, 0, 0, 50].into(), LearnedBy::Arp);
        watch.see(STRANGER, [10, 0, 0, 51].into(), LearnedBy::Arp);
        // Addresses of another network, of the bridge, and beside the reserved one.
        watch.see(REAL, [10, 9, 0, 50].into(), LearnedBy::Arp);
        watch.see(REAL, plan.server().unwrap().into(), LearnedBy::Arp);
        watch.see(DISK, [10, 0, 0, 52].into(), LearnedBy::Arp);
        assert_eq!(reported(), "real: has address 10.0.0.50 on lan (neighbour-table)");
        let real = NodeName::new("real").unwrap();
        assert_eq!(addresses.of(&plan.network, &real), [IpAddr::from([10, 0, 0, 50])]);
        // A node that makes addresses up is not reported without limit.
        for last in 60..200 {
            watch.see(REAL, [10, 0, 0, last].into(), LearnedBy::Arp);
        }
        assert_eq!(reported().lines().count(), 15);
    }
}
