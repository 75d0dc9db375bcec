//! How firmware interprets DHCP replies, by the rules of the PXE specification, EDK2 and iPXE.

use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::os::fd::AsRawFd;
use std::time::{Duration, Instant};

use dryrack::name::Mac;
use etherparse::{NetSlice, PacketBuilder, SlicedPacket, TransportSlice};
use nix::ifaddrs::getifaddrs;
use socket2::{Domain, Protocol, Socket, Type};

use crate::rack::Client;

const XID: [u8; 4] = [0xde, 0xad, 0xbe, 0xef];
const UUID: [u8; 17] = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16];

/// A booting machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Firmware {
    Bios,
    Uefi,
    /// iPXE as a ROM of a BIOS machine.
    Ipxe,
    Http,
}

/// The source and file of a boot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Boots {
    Tftp { server: Ipv4Addr, file: String },
    Url(String),
}

impl Firmware {
    pub(crate) const ALL: [Self; 4] = [Self::Bios, Self::Uefi, Self::Ipxe, Self::Http];

    fn options(self) -> Vec<(u8, Vec<u8>)> {
        let (class, architecture): (&[u8], u8) = match self {
            Self::Bios | Self::Ipxe => (b"PXEClient:Arch:00000:UNDI:002001", 0),
            Self::Uefi => (b"PXEClient:Arch:00007:UNDI:003016", 7),
            Self::Http => (b"HTTPClient:Arch:00016:UNDI:003001", 16),
        };
        let mut options = vec![
            (55, vec![1, 3, 6, 12, 15, 28, 43, 54, 60, 66, 67, 97]),
            (57, vec![5, 192]),
            (60, class.to_vec()),
            (93, vec![0, architecture]),
            (94, vec![1, 3, 0]),
            (97, UUID.to_vec()),
        ];
        if self == Self::Ipxe {
            options.extend([(77, b"iPXE".to_vec()), (175, vec![177, 5, 1, 26, 244, 16, 0])]);
        }
        options
    }

    /// Broadcasts as the firmware of a machine with a previous address; returns what it boots.
    pub(crate) fn boots(self, client: &Client, mac: Mac, own: Ipv4Addr) -> Option<Boots> {
        let discover = packet(mac, 1, Ipv4Addr::UNSPECIFIED, &self.options());
        let offers: Vec<Reply> = client.within(|| broadcast(mac, &discover));
        // A ProxyDHCP offer takes precedence over one with an address, whichever arrives first.
        let of_address = offers.iter().filter(|offer| !offer.yiaddr().is_unspecified());
        let of_files = offers.iter().filter(|offer| offer.yiaddr().is_unspecified());
        of_files.chain(of_address).find_map(|offer| self.boots_from(client, mac, own, offer))
    }

    /// Returns what the firmware boots after an offer.
    pub(crate) fn boots_from(self, client: &Client, mac: Mac, own: Ipv4Addr, offer: &Reply) -> Option<Boots> {
        let class = offer.text(60).unwrap_or_default();
        if self == Self::Http {
            return class.starts_with("HTTPClient").then(|| offer.boots()).flatten();
        }
        let ask_again = |server: Ipv4Addr, item: Option<&[u8]>| {
            let mut options = self.options();
            options.extend(item.map(|item| (43, [&[71, 4], item, &[255]].concat())));
            let request = packet(mac, 3, own, &options);
            client.within(|| unicast(own, server, &request))?.boots()
        };
        match (class.starts_with("PXEClient"), offer.option(43).map(vendor_options)) {
            (false, _) => offer.boots(),
            // BINL: boot files are offered at port 4011.
            (true, None) => match (self, offer.boots()) {
                // iPXE boots what it is told and sends no further request.
                (Self::Ipxe, told @ Some(_)) => told,
                _ => ask_again(offer.server()?, None),
            },
            (true, Some(vendor)) => {
                let vendor =
                    |code: u8| vendor.iter().find(|(known, _)| *known == code).map(|(_, value)| &value[..]);
                let control = vendor(6).and_then(|value| value.first()).copied().unwrap_or(0);
                if control & 8 != 0 {
                    return offer.boots();
                }
                // The first item of the menu, from the first server that has it.
                let menu = vendor(9)?;
                let servers = vendor(8)?;
                let (item, server) = (&menu[..2], &servers[3..7]);
                assert_eq!(item, &servers[..2], "the list begins with the servers of the first item");
                let server = Ipv4Addr::from(<[u8; 4]>::try_from(server).unwrap());
                ask_again(server, Some(&[item, &[0, 0]].concat()))
            }
        }
    }
}

fn vendor_options(mut field: &[u8]) -> Vec<(u8, Vec<u8>)> {
    let mut options = Vec::new();
    while let [code, length, rest @ ..] = field {
        if *code == 255 {
            break;
        }
        let (value, tail) = rest.split_at(usize::from(*length).min(rest.len()));
        options.push((*code, value.to_vec()));
        field = tail;
    }
    options
}

/// A reply of a server.
#[derive(Debug, Clone)]
pub(crate) struct Reply(pub(crate) Vec<u8>);

impl Reply {
    /// Creates a recorded reply.
    pub(crate) fn captured(yiaddr: [u8; 4], siaddr: [u8; 4], file: &[u8], options: &[(u8, &[u8])]) -> Self {
        let options: Vec<(u8, Vec<u8>)> =
            options.iter().map(|(code, value)| (*code, value.to_vec())).collect();
        let mut bytes = packet(Mac([2; 6]), 2, Ipv4Addr::UNSPECIFIED, &options);
        bytes[0] = 2;
        bytes[16..20].copy_from_slice(&yiaddr);
        bytes[20..24].copy_from_slice(&siaddr);
        bytes[108..108 + file.len()].copy_from_slice(file);
        Self(bytes)
    }

    fn address(&self, at: usize) -> Ipv4Addr {
        Ipv4Addr::from(<[u8; 4]>::try_from(&self.0[at..at + 4]).unwrap())
    }

    fn yiaddr(&self) -> Ipv4Addr {
        self.address(16)
    }

    fn option(&self, code: u8) -> Option<&[u8]> {
        let mut rest = &self.0[240..];
        while let Some((&found, tail)) = rest.split_first() {
            match found {
                0 => rest = tail,
                255 => return None,
                _ => {
                    let (value, tail) = tail[1..].split_at(usize::from(tail[0]));
                    if found == code {
                        return Some(value);
                    }
                    rest = tail;
                }
            }
        }
        None
    }

    fn text(&self, code: u8) -> Option<String> {
        let text = String::from_utf8_lossy(self.option(code)?).into_owned();
        Some(text.trim_end_matches('\0').to_owned())
    }

    /// The next server: from the header, otherwise from option 66, otherwise the server itself.
    fn server(&self) -> Option<Ipv4Addr> {
        let header = Some(self.address(20)).filter(|server| !server.is_unspecified());
        let itself = || Some(Ipv4Addr::from(<[u8; 4]>::try_from(self.option(54)?).ok()?));
        header.or_else(|| self.text(66)?.parse().ok()).or_else(itself)
    }

    /// The boot file: option 67 takes precedence over the header.
    fn boots(&self) -> Option<Boots> {
        let header = || {
            let field = &self.0[108..236];
            let end = field.iter().position(|byte| *byte == 0).unwrap_or(field.len());
            Some(String::from_utf8_lossy(&field[..end]).into_owned()).filter(|file| !file.is_empty())
        };
        let file = self.text(67).filter(|file| !file.is_empty()).or_else(header)?;
        match file.contains("://") {
            true => Some(Boots::Url(file)),
            false => Some(Boots::Tftp { server: self.server()?, file }),
        }
    }
}

fn packet(mac: Mac, kind: u8, ciaddr: Ipv4Addr, options: &[(u8, Vec<u8>)]) -> Vec<u8> {
    let mut packet = vec![0; 240];
    packet[..4].copy_from_slice(&[1, 1, 6, 0]);
    packet[4..8].copy_from_slice(&XID);
    packet[10] = 0x80;
    packet[12..16].copy_from_slice(&ciaddr.octets());
    packet[28..34].copy_from_slice(&mac.0);
    packet[236..240].copy_from_slice(&[99, 130, 83, 99]);
    packet.extend([53, 1, kind]);
    for (code, value) in options {
        packet.extend([*code, u8::try_from(value.len()).unwrap()]);
        packet.extend(value);
    }
    packet.push(255);
    packet
}

/// Broadcasts a packet; returns the replies until no more arrive.
fn broadcast(mac: Mac, packet: &[u8]) -> Vec<Reply> {
    const IPV4: i32 = 0x0008;
    let socket = Socket::new(Domain::PACKET, Type::RAW, Some(Protocol::from(IPV4))).unwrap();
    let link = getifaddrs().unwrap().filter(|entry| entry.interface_name == "eth0");
    let link = link.filter_map(|entry| entry.address?.as_link_addr().copied()).next().unwrap();
    nix::sys::socket::bind(socket.as_raw_fd(), &link).unwrap();
    socket.set_read_timeout(Some(Duration::from_millis(200))).unwrap();
    let builder = PacketBuilder::ethernet2(mac.0, [0xff; 6]).ipv4([0; 4], [255; 4], 64).udp(68, 67);
    let mut frame = Vec::new();
    builder.write(&mut frame, packet).unwrap();
    socket.send(&frame).unwrap();
    let begin = Instant::now();
    let mut replies = Vec::new();
    let mut buffer = [0; 2000];
    // Until there was a reply and no further ones arrive.
    while begin.elapsed() < Duration::from_secs(5) {
        match std::io::Read::read(&mut &socket, &mut buffer) {
            Ok(length) => replies.extend(reply(&buffer[..length])),
            Err(_) if !replies.is_empty() => break,
            Err(_) => {}
        }
    }
    replies
}

fn reply(frame: &[u8]) -> Option<Reply> {
    let sliced = SlicedPacket::from_ethernet(frame).ok()?;
    let (Some(NetSlice::Ipv4(_)), Some(TransportSlice::Udp(udp))) = (sliced.net, sliced.transport) else {
        return None;
    };
    let payload = udp.payload();
    let ours = udp.destination_port() == 68 && payload.len() > 240 && payload[0] == 2 && payload[4..8] == XID;
    ours.then(|| Reply(payload.to_vec()))
}

/// Sends a request to port 4011 of one server.
fn unicast(own: Ipv4Addr, server: Ipv4Addr, packet: &[u8]) -> Option<Reply> {
    let socket = UdpSocket::bind(SocketAddr::from((own, 68))).unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(3))).unwrap();
    socket.send_to(packet, (server, 4011)).unwrap();
    let mut buffer = [0; 2000];
    let (length, _) = socket.recv_from(&mut buffer).ok()?;
    Some(Reply(buffer[..length].to_vec())).filter(|reply| reply.0.len() > 240 && reply.0[4..8] == XID)
}
