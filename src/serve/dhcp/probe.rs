//! Probes for another DHCP server before ours starts to answer.

use std::borrow::Cow;
use std::io;
use std::net::Ipv4Addr;
use std::os::fd::OwnedFd;
use std::time::Duration;

use dhcproto::v4::{Flags, Message, MessageType, Opcode};
use dhcproto::{Encodable, Encoder};
use etherparse::{NetSlice, PacketBuilder, SlicedPacket, TransportSlice};
use socket2::Socket;

use super::{CLIENT_PORT, HOPS, PACKET, SERVER_PORT};
use crate::hint::Hint;
use crate::name::{Mac, NetworkName};
use crate::plan::ServicePlan;
use crate::system::process::watch;
use crate::wire::dhcp::{Options, Tlv, code};

/// Timeout for an answer. dnsmasq first checks for three seconds whether the address is in use.
const PATIENCE: Duration = Duration::from_secs(5);
/// Interval of the probes: a port may not forward in its first second.
const AGAIN: Duration = Duration::from_secs(1);

/// Another DHCP server is active on a network.
#[derive(Debug, thiserror::Error)]
#[error("another DHCP server is active on network `{network}`: {server}")]
pub struct OtherServer {
    network: NetworkName,
    server: Ipv4Addr,
}

impl Hint for OtherServer {
    fn hint(&self) -> Option<Cow<'static, str>> {
        let hint = format!(
            "leave the addresses to it (network.{0}.dhcp = \"proxy\"), or, where there may be two, say so \
             (network.{0}.dhcp.server.authoritative = true)",
            self.network
        );
        Some(hint.into())
    }
}

/// Why the probe did not succeed.
#[derive(Debug, thiserror::Error)]
pub enum LookError {
    /// Another server answered.
    #[error(transparent)]
    Other(OtherServer),
    /// The probe could not be sent.
    #[error("cannot probe for other DHCP servers")]
    Io(#[source] io::Error),
}

impl Hint for LookError {
    fn hint(&self) -> Option<Cow<'static, str>> {
        match self {
            Self::Other(other) => other.hint(),
            Self::Io(_) => None,
        }
    }
}

/// Asks for an address as an unknown client, and fails if one is offered.
pub(in crate::serve) async fn look_for_others(socket: Socket, plan: &ServicePlan) -> Result<(), LookError> {
    let random = uuid::Uuid::new_v4().into_bytes();
    let found = tokio::time::timeout(PATIENCE, ask(socket, Probe::new(random))).await;
    match found {
        Err(_) => Ok(()),
        Ok(Err(error)) => Err(LookError::Io(error)),
        Ok(Ok(server)) => Err(LookError::Other(OtherServer { network: plan.network.clone(), server })),
    }
}

async fn ask(socket: Socket, probe: Probe) -> io::Result<Ipv4Addr> {
    let question = probe.frame().map_err(io::Error::other)?;
    let socket = watch(OwnedFd::from(socket))?;
    let mut frame = [0; PACKET + 14];
    let mut again = tokio::time::interval(AGAIN);
    loop {
        let mut ready = tokio::select! {
            _ = again.tick() => {
                nix::unistd::write(socket.get_ref(), &question)?;
                continue;
            }
            ready = socket.readable() => ready?,
        };
        let read = ready.try_io(|socket| Ok(nix::unistd::read(socket.get_ref(), &mut frame)?));
        let Ok(length) = read else { continue };
        if let Some(server) = probe.answered_by(&frame[..length?]) {
            return Ok(server);
        }
    }
}

/// A client that does not exist.
#[derive(Debug, Clone, Copy)]
pub(super) struct Probe {
    mac: Mac,
    xid: u32,
}

impl Probe {
    /// Creates a client with a random identity.
    pub(super) fn new(random: [u8; 16]) -> Self {
        let [a, b, c, d, e, f, g, h, i, ..] = random;
        // Locally administered, unlike the address of any card.
        Self { mac: Mac([2, a, b, c, d, e]), xid: u32::from_be_bytes([f, g, h, i]) }
    }

    /// Returns a frame with its DHCPDISCOVER.
    fn frame(self) -> Result<Vec<u8>, Box<dyn std::error::Error + Send + Sync>> {
        let nowhere = Ipv4Addr::UNSPECIFIED;
        let mut header = Message::new_with_id(self.xid, nowhere, nowhere, nowhere, nowhere, &self.mac.0);
        header.set_opcode(Opcode::BootRequest).set_flags(Flags::default().set_broadcast());
        let mut packet = Vec::new();
        header.encode(&mut Encoder::new(&mut packet))?;
        for option in [
            Tlv::new(code::MESSAGE_TYPE, &[MessageType::Discover.into()]),
            Tlv::new(code::WANTED, &[code::SUBNET_MASK, 3, 6]),
        ] {
            option.write(&mut packet);
        }
        packet.push(255);
        packet.resize(packet.len().max(300), 0);
        let builder = PacketBuilder::ethernet2(self.mac.0, [0xff; 6])
            .ipv4(nowhere.octets(), Ipv4Addr::BROADCAST.octets(), HOPS)
            .udp(CLIENT_PORT, SERVER_PORT);
        let mut frame = Vec::with_capacity(builder.size(packet.len()));
        builder.write(&mut frame, &packet)?;
        Ok(frame)
    }

    /// Returns the server that offers it an address in a frame.
    pub(super) fn answered_by(self, frame: &[u8]) -> Option<Ipv4Addr> {
        let sliced = SlicedPacket::from_ethernet(frame).ok()?;
        let (Some(NetSlice::Ipv4(ip)), Some(TransportSlice::Udp(udp))) = (sliced.net, sliced.transport)
        else {
            return None;
        };
        let packet = udp.payload();
        let header = packet.get(..240)?;
        let to_us = udp.destination_port() == CLIENT_PORT
            && header[0] == 2
            && header[4..8] == self.xid.to_be_bytes()
            && header[28..34] == self.mac.0;
        let options = Options::split(packet);
        let offer = options.get(code::MESSAGE_TYPE) == Some(&[MessageType::Offer.into()]);
        // A ProxyDHCP server may answer as well; it offers no address.
        let address = header[16..20] != [0; 4];
        let named = options.get(code::SERVER).and_then(|server| <[u8; 4]>::try_from(server).ok());
        (to_us && offer && address).then(|| named.map_or(ip.header().source_addr(), Ipv4Addr::from))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::UnixSeconds;
    use crate::serve::dhcp::answer::{Arrival, answer};
    use crate::serve::dhcp::server::Server;
    use crate::serve::example::plan;
    use crate::wire::dhcp::Request;

    /// The answer of our own server to a probe, as a frame.
    fn offer(probe: Probe, plan: &ServicePlan) -> Vec<u8> {
        let frame = probe.frame().unwrap();
        let request = Request::decode(&frame[42..]).expect("a request");
        let server = Server::new(plan).unwrap();
        let decision = answer(&server, &server.state(), &request, Arrival::Server, false, UnixSeconds(0));
        let mut packet = Vec::new();
        decision.reply.expect("an offer").encode(&mut packet).unwrap();
        let builder = PacketBuilder::ethernet2([2; 6], [0xff; 6])
            .ipv4([192, 0, 2, 1], [255; 4], HOPS)
            .udp(SERVER_PORT, CLIENT_PORT);
        let mut frame = Vec::new();
        builder.write(&mut frame, &packet).unwrap();
        frame
    }

    #[test]
    fn an_offer_to_the_probe_names_its_server() {
        let (probe, other) = (Probe::new([7; 16]), Probe::new([8; 16]));
        assert_eq!(probe.mac.0[0] & 3, 2, "locally administered, and of nobody's group");
        let offer = offer(probe, &plan());
        assert_eq!(probe.answered_by(&offer), Some(Ipv4Addr::new(10, 0, 0, 1)));
        assert_eq!(other.answered_by(&offer), None, "somebody else's offer");
        assert_eq!(probe.answered_by(&probe.frame().unwrap()), None, "its own words");
        for end in 0..offer.len() {
            // A truncated frame is not an offer, or an offer without a server identifier.
            probe.answered_by(&offer[..end]);
        }
        let mut of_boot_files = offer.clone();
        of_boot_files[42 + 16..42 + 20].fill(0);
        assert_eq!(probe.answered_by(&of_boot_files), None);
    }
}
