//! Router advertisements, asked for by Linux.

use dryrack::event::Known;

use crate::rack::{Rack, alone};
use crate::{LAB, kernel};

#[test]
fn linux_hears_that_there_is_no_router() {
    alone(async || {
        let rack = Rack::of(LAB, kernel).await;
        // The kernel of a client with a link asks for routers by itself.
        let one = rack.client(rack.mac("one"));
        rack.log.until("an advertisement", 15, |known| matches!(known, Known::RouterAdvertised { .. })).await;
        let event =
            rack.log.events().into_iter().find(|event| event.kind.to_string().contains("router")).unwrap();
        assert_eq!(event.node.map(|node| node.to_string()).as_deref(), Some("one"));
        assert_eq!(one.run("ip", &["-6", "route", "show", "default"]), "", "no default route came of it");
        assert_eq!(one.run("ip", &["-6", "address", "show", "scope", "global"]), "", "and no address");
    });
}
