//! Router advertisements that say: there is no router here, and no IPv6 beyond this link.
//!
//! iPXE configures IPv4 and IPv6 together and waits 13 s for an advertisement that
//! never comes. One with lifetime 0 and no prefix (RFC 4861, section 4.2) ends that
//! wait and gives nobody an address.

use std::io::{self, IoSliceMut};
use std::net::{Ipv6Addr, SocketAddrV6};
use std::os::fd::AsRawFd;

use nix::sys::socket::{ControlMessageOwned, MsgFlags, SockaddrIn6, recvmsg};
use tokio::io::Interest;
use tokio::net::UdpSocket;

use super::trouble::{Trouble, failed};
use crate::event::{Emitter, Known};
use crate::host::sockets::LinkSocket;
use crate::name::{Mac, NetworkName, NodeName};
use crate::plan::ServicePlan;

const SOLICITATION: u8 = 133;
const ADVERTISEMENT: u8 = 134;
const SOURCE_ADDRESS: u8 = 1;
const MTU: u8 = 5;
const USUAL_MTU: u16 = 1500;
/// What a packet has that crossed no router (RFC 4861, section 6.1.1).
const HOP_LIMIT: i32 = 255;
const ALL_NODES: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1);

/// What answers to solicitations are made of.
#[derive(Debug, Clone)]
pub(super) struct Router {
    network: NetworkName,
    mac: Mac,
    mtu: u16,
    hosts: Vec<Host>,
}

#[derive(Debug, Clone)]
struct Host {
    node: NodeName,
    mac: Mac,
    cut_waits: bool,
}

impl Router {
    /// Takes from a plan what answers need.
    pub(super) fn new(plan: &ServicePlan) -> Self {
        let host = |host: &crate::plan::HostPlan| Host {
            node: host.node.clone(),
            mac: host.mac,
            cut_waits: host.cut_waits,
        };
        Self {
            network: plan.network.clone(),
            mac: plan.mac,
            mtu: plan.mtu,
            hosts: plan.hosts.iter().map(host).collect(),
        }
    }

    /// Returns the advertisement, its checksum left to the kernel.
    fn advertisement(&self) -> Vec<u8> {
        // Type, code, checksum, hop limit unspecified, no flags, lifetime 0, no reachable and retransmission times.
        let mut packet = vec![ADVERTISEMENT, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
        packet.extend([SOURCE_ADDRESS, 1]);
        packet.extend(self.mac.0);
        if self.mtu != USUAL_MTU {
            packet.extend([MTU, 1, 0, 0]);
            packet.extend(u32::from(self.mtu).to_be_bytes());
        }
        packet
    }
}

/// A packet as it came.
#[derive(Debug, Clone, Copy)]
struct Received<'a> {
    packet: &'a [u8],
    from: Ipv6Addr,
    hop_limit: Option<i32>,
}

/// An answer to a solicitation.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Answer {
    packet: Vec<u8>,
    to: Ipv6Addr,
    node: Option<NodeName>,
}

/// Answers a packet, if it is a solicitation that is to be answered.
fn answer(router: &Router, received: Received<'_>) -> Option<Answer> {
    let Received { packet, from, hop_limit } = received;
    let solicitation = packet.len() >= 8 && packet[0] == SOLICITATION && packet[1] == 0;
    let on_link = from.is_unspecified() || from.is_unicast_link_local();
    if !solicitation || hop_limit != Some(HOP_LIMIT) || !on_link {
        return None;
    }
    let mac = source_address(&packet[8..])?;
    let is_it = |host: &&Host| mac == Some(host.mac) || host.mac.link_local() == from;
    let host = router.hosts.iter().find(is_it);
    let waits = |host: &Host| !host.cut_waits;
    // A sender without address might be any of them, and all would hear the answer.
    let may_wait = from.is_unspecified() && router.hosts.iter().any(waits);
    if host.is_some_and(waits) || may_wait {
        return None;
    }
    let to = if from.is_unspecified() { ALL_NODES } else { from };
    Some(Answer { packet: router.advertisement(), to, node: host.map(|host| host.node.clone()) })
}

/// Reads the source link-layer address option; `None` if the options are malformed.
fn source_address(mut options: &[u8]) -> Option<Option<Mac>> {
    let mut found = None;
    while !options.is_empty() {
        let length = usize::from(*options.get(1)?) * 8;
        if length == 0 {
            return None;
        }
        let (option, rest) = options.split_at_checked(length)?;
        if option[0] == SOURCE_ADDRESS && length == 8 {
            found = option[2..8].try_into().ok().map(Mac);
        }
        options = rest;
    }
    Some(found)
}

/// Advertises once, then answers solicitations for as long as it is polled.
pub(super) async fn run(socket: Option<LinkSocket>, router: Router, events: Emitter) {
    let Some(LinkSocket { socket, interface }) = socket else {
        failed(&events, "ra", "this kernel has no IPv6: iPXE will wait for router advertisements");
        return;
    };
    let socket = match UdpSocket::from_std(socket) {
        Ok(socket) => socket,
        Err(error) => return failed(&events, "ra", &error.to_string()),
    };
    let mut trouble = Trouble::new("ra", &events);
    trouble.note(send(&socket, &router.advertisement(), ALL_NODES, interface).await);
    let mut buffer = [0; 1500];
    loop {
        let received = socket.async_io(Interest::READABLE, || receive(&socket, &mut buffer)).await;
        let (length, from, hop_limit) = match received {
            Ok(received) => received,
            Err(error) => {
                trouble.pause(&error).await;
                continue;
            }
        };
        let received = Received { packet: &buffer[..length], from, hop_limit };
        if let Some(Answer { packet, to, node }) = answer(&router, received) {
            trouble.note(send(&socket, &packet, to, interface).await);
            events.emit_maybe(node.as_ref(), Known::RouterAdvertised { network: router.network.clone() });
        }
    }
}

fn receive(socket: &UdpSocket, buffer: &mut [u8]) -> io::Result<(usize, Ipv6Addr, Option<i32>)> {
    let mut control = nix::cmsg_space!(nix::libc::c_int);
    let mut parts = [IoSliceMut::new(buffer)];
    let message =
        recvmsg::<SockaddrIn6>(socket.as_raw_fd(), &mut parts, Some(&mut control), MsgFlags::empty())?;
    let hop_limit = message.cmsgs()?.find_map(|control| match control {
        ControlMessageOwned::Ipv6HopLimit(limit) => Some(limit),
        _ => None,
    });
    let from = message.address.map_or(Ipv6Addr::UNSPECIFIED, |address| address.ip());
    Ok((message.bytes, from, hop_limit))
}

async fn send(socket: &UdpSocket, packet: &[u8], to: Ipv6Addr, interface: u32) -> io::Result<()> {
    socket.send_to(packet, SocketAddrV6::new(to, 0, 0, interface)).await.map(drop)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const NODE: Mac = Mac([0x52, 0x54, 0, 1, 2, 3]);

    fn router(mtu: u16, cut_waits: bool) -> Router {
        Router {
            network: NetworkName::new("lan").unwrap(),
            mac: Mac([2, 0, 0, 0, 0, 1]),
            mtu,
            hosts: vec![Host { node: NodeName::new("a").unwrap(), mac: NODE, cut_waits }],
        }
    }

    /// The solicitation of iPXE 2019-01 as `virtio-net-pci` ROM.
    fn solicitation() -> Vec<u8> {
        let mut packet = vec![SOLICITATION, 0, 0x12, 0x34, 0, 0, 0, 0, SOURCE_ADDRESS, 1];
        packet.extend(NODE.0);
        packet
    }

    #[test]
    fn a_solicitation_is_answered_to_its_sender() {
        let packet = solicitation();
        let received = Received { packet: &packet, from: NODE.link_local(), hop_limit: Some(255) };
        let reply = answer(&router(1500, true), received).unwrap();
        assert_eq!(reply.to, NODE.link_local());
        assert_eq!(reply.node, Some(NodeName::new("a").unwrap()));
        assert_eq!(reply.packet, [134, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 2, 0, 0, 0, 0, 1]);
        let small = answer(&router(1400, true), received).unwrap();
        assert_eq!(small.packet[24..], [5, 1, 0, 0, 0, 0, 5, 120]);
        let unnamed = Received { from: Ipv6Addr::UNSPECIFIED, packet: &packet[..8], ..received };
        assert_eq!(answer(&router(1500, true), unnamed).unwrap().to, ALL_NODES);
    }

    #[test]
    fn some_solicitations_are_left_unanswered() {
        let packet = solicitation();
        let received = Received { packet: &packet, from: NODE.link_local(), hop_limit: Some(255) };
        assert_eq!(answer(&router(1500, false), received), None, "a node at real pace");
        let unnamed = Received { packet: &packet[..8], from: Ipv6Addr::UNSPECIFIED, ..received };
        assert_eq!(answer(&router(1500, false), unnamed), None, "it may be that node, which would hear it");
        let stranger =
            Received { packet: &packet[..8], from: Mac([2, 0, 0, 0, 0, 9]).link_local(), ..received };
        assert!(answer(&router(1500, false), stranger).is_some(), "nobody else hears this one");
        let router = router(1500, true);
        assert_eq!(answer(&router, Received { hop_limit: Some(64), ..received }), None, "crossed a router");
        assert_eq!(answer(&router, Received { from: "2001:db8::1".parse().unwrap(), ..received }), None);
        let mut endless = packet.clone();
        endless[9] = 0;
        assert_eq!(answer(&router, Received { packet: &endless, ..received }), None);
    }

    proptest! {
        #[test]
        fn no_packet_panics(packet in proptest::collection::vec(any::<u8>(), 0..64), head in any::<bool>()) {
            let packet = if head { [&[SOLICITATION, 0, 0, 0, 0, 0, 0, 0], packet.as_slice()].concat() } else { packet };
            let received = Received { packet: &packet, from: NODE.link_local(), hop_limit: Some(255) };
            let _answer = answer(&router(1500, true), received);
        }
    }
}
