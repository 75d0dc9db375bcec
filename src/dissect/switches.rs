//! What switches say: spanning trees (IEEE 802.1D, 802.1Q) and link aggregation (IEEE 802.1AX).

use super::bounded::Bounded;
use super::news::Topic;
use super::{Context, Hop};
use crate::event::Known;
use crate::name::Mac;

/// How many bridges and systems are remembered.
const MOST: usize = 256;
/// Where MSTP names the bridge, after the flags (IEEE 802.1Q, 14.4).
const MSTP_BRIDGE: usize = 88;

/// The root that a bridge tells on a port, and the state of the port.
type PortState = ([u8; 8], Option<&'static str>);

/// What was reported already.
#[derive(Debug)]
pub(super) struct Switches {
    /// By network, bridge and port.
    bridges: Bounded<(usize, [u8; 8], u16), PortState>,
    /// By network, system and port.
    systems: Bounded<(usize, Mac, u16), Option<Mac>>,
}

impl Default for Switches {
    fn default() -> Self {
        Self { bridges: Bounded::new(MOST), systems: Bounded::new(MOST) }
    }
}

impl Switches {
    /// Reads a BPDU: root and bridge, and the state of the port.
    pub(super) fn bpdu(&mut self, context: &mut Context<'_>, hop: Hop, bytes: &[u8]) {
        let [0, 0, version, kind, flags, rest @ ..] = bytes else { return };
        let protocol = match (*version, *kind) {
            (0, 0) => "STP",
            (2, 2) => "RSTP",
            (3.., 2) => "MSTP",
            // Notifications of changes name no bridge.
            _ => return,
        };
        // MSTP has the root of the region where others have the bridge, which follows the region's configuration.
        // What is too short for that is read as RSTP (IEEE 802.1Q, 14.4).
        let (protocol, bridge) = match (protocol, identifier(rest, MSTP_BRIDGE)) {
            ("MSTP", Some(bridge)) => (protocol, Some(bridge)),
            ("MSTP", None) => ("RSTP", identifier(rest, 12)),
            _ => (protocol, identifier(rest, 12)),
        };
        let (Some(root), Some(bridge), Some(port)) =
            (identifier(rest, 0), bridge, rest.get(20..22).map(|port| [port[0], port[1]]))
        else {
            return;
        };
        let state = match (protocol, flags & 0x20, flags & 0x10) {
            ("STP", _, _) => None,
            (_, 0x20, _) => Some("forwarding"),
            (_, _, 0x10) => Some("learning"),
            _ => Some("discarding"),
        };
        let key = (hop.segment, bridge, u16::from_be_bytes(port));
        let now = (root, state);
        if self.bridges.get(&key) == Some(&now) {
            return;
        }
        self.bridges.insert(key, now);
        let known = Known::StpSeen {
            network: context.world.network(hop.segment).clone(),
            protocol: protocol.to_owned(),
            root: named(root),
            bridge: named(bridge),
            state: state.map(str::to_owned),
        };
        context.tell(hop.at, Topic::Switch, None, None, known);
    }

    /// Reads a frame of a slow protocol: LACP names both systems.
    pub(super) fn slow(&mut self, context: &mut Context<'_>, hop: Hop, bytes: &[u8]) {
        // The actor comes first, then the partner; both have a length of 20.
        let [1, 1, 1, 20, actor @ ..] = bytes else { return };
        let mac = |at: usize| Some(Mac(*actor.get(at..)?.first_chunk()?));
        let (Some(system), Some(port)) = (mac(2), actor.get(12..14)) else { return };
        let partner = match actor.get(18..20) {
            Some([2, 20]) => mac(22).filter(|partner| partner.0 != [0; 6]),
            _ => None,
        };
        let key = (hop.segment, system, u16::from_be_bytes([port[0], port[1]]));
        if self.systems.get(&key) == Some(&partner) {
            return;
        }
        self.systems.insert(key, partner);
        let network = context.world.network(hop.segment).clone();
        context.tell(hop.at, Topic::Switch, None, None, Known::LacpSeen { network, system, partner });
    }
}

fn identifier(bytes: &[u8], at: usize) -> Option<[u8; 8]> {
    bytes.get(at..)?.first_chunk().copied()
}

/// Writes a bridge: priority and hardware address.
fn named([high, low, mac @ ..]: [u8; 8]) -> String {
    format!("{} {}", u16::from_be_bytes([high, low]), Mac(mac))
}
