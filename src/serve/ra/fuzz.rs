//! Fuzzes the router advertisement service with arbitrary packets.

use std::net::Ipv6Addr;
use std::sync::LazyLock;

use super::{HOP_LIMIT, Received, Router, SOLICITATION, Solicitation, requested};
use crate::fuzz::script::Script;
use crate::lab::UnknownClients;
use crate::serve::example::{FAST, REAL, STRANGER, plan};

/// Without IPv6, with it, and for nodes only.
static ROUTERS: LazyLock<[Router; 3]> = LazyLock::new(|| {
    let mut plan = plan();
    let without = Router::new(&plan);
    plan.ipv6 = Some("fd00:83::1/64".parse().expect("an address"));
    let with = Router::new(&plan);
    plan.ipv6_unknown_clients = UnknownClients::Ignore;
    [without, with, Router::new(&plan)]
});

/// Handles one packet. Only a solicitation from this link that crossed no router is answered.
pub(crate) fn solicitation(data: &[u8]) {
    let mut script = Script::new(data);
    let how = script.byte();
    let which = usize::from(how) % ROUTERS.len();
    let router = &ROUTERS[which];
    let from = match how >> 4 {
        0..=2 => FAST.link_local(),
        3 | 4 => STRANGER.link_local(),
        5 => REAL.link_local(),
        6..=8 => Ipv6Addr::UNSPECIFIED,
        9 => Ipv6Addr::new(0xfd00, 0x83, 0, 0, 0, 0, 0, 9),
        _ => Ipv6Addr::from(script.array::<16>()),
    };
    let hop_limit = if how & 8 == 0 { Some(HOP_LIMIT) } else { Some(i32::from(script.byte())) };
    let packet = script.piece();
    let Some(Solicitation { by, node }) = requested(router, Received { packet, from, hop_limit }) else {
        return;
    };
    assert!(packet.len() >= 8 && packet[0] == SOLICITATION && hop_limit == Some(HOP_LIMIT));
    assert!(by.is_none_or(|by| by == from && (by.is_unicast_link_local() || by.segments()[0] == 0xfd00)));
    assert!(which != 2 || node.is_some(), "nobody else is told");
    // A spoofed solicitation triggers one small packet.
    assert!(router.advertisement().len() <= 160);
}
