//! ARP (RFC 826): who has which IPv4 address, and who asks in vain.

use std::net::Ipv4Addr;
use std::time::Duration;

use etherparse::{ArpOperation, ArpPacketSlice};

use super::asks::{Ask, Waiting};
use super::news::Topic;
use super::{Context, Hop};
use crate::event::{Known, LearnedBy, LearnedFrom, Service};
use crate::name::Mac;

/// Within this time, a host that is up answers.
const PATIENCE: Duration = Duration::from_secs(3);
/// Firmware asks once or twice for addresses that it does not need.
const LEAST: u64 = 3;

/// Reads a packet of ARP.
pub(super) fn read(context: &mut Context<'_>, hop: Hop, packet: &[u8]) {
    let Ok(arp) = ArpPacketSlice::from_slice(packet) else { return };
    let (Some(sender), Some(address), Some(target)) = (
        arp.sender_hw_addr().try_into().ok().map(Mac),
        ipv4(arp.sender_protocol_addr()),
        ipv4(arp.target_protocol_addr()),
    ) else {
        return;
    };
    // A frame whose senders differ was forged, or is a router's answer for others.
    if sender.is_group() || hop.from.is_some_and(|from| from != sender) {
        return;
    }
    // An ARP probe has no sender address (RFC 5227).
    if !address.is_unspecified() {
        context.asks.answered(&Ask::Neighbour(hop.segment, address.into()));
        context.learn(hop, sender, address.into(), LearnedBy::Arp);
    }
    let asks = arp.operation() == ArpOperation::REQUEST && target != address && !address.is_unspecified();
    if !asks {
        return;
    }
    let Some(node) = context.world.named(sender).cloned() else { return };
    context.ask(Ask::Neighbour(hop.segment, target.into()), hop.at, || Waiting {
        segment: hop.segment,
        node: Some(node),
        exchange: None,
        service: Service::Arp,
        what: target.to_string(),
        server: None,
        patience: PATIENCE,
        least: LEAST,
    });
}

fn ipv4(bytes: &[u8]) -> Option<Ipv4Addr> {
    <[u8; 4]>::try_from(bytes).ok().map(Ipv4Addr::from)
}

impl Context<'_> {
    /// Records an address that a machine uses, and reports it if it is news for a node.
    pub(super) fn learn(&mut self, hop: Hop, mac: Mac, address: std::net::IpAddr, by: LearnedBy) {
        if let Some(node) = self.world.learn(hop.at, hop.segment, mac, address, &by) {
            let network = self.world.network(hop.segment).clone();
            let known = Known::AddressLearned { network, address, by, from: LearnedFrom::Node };
            self.tell(hop.at, Topic::Address, Some(node), None, known);
        }
    }
}
