//! Frames into events; works on a foreign capture, too.
//!
//! Must never trust a length in a packet, keep the contents of files, or grow without limit. Checksums are not looked
//! at: the kernel leaves them to the hardware.

mod arp;
mod asks;
mod boots;
mod bounded;
mod dhcp;
mod dhcp6;
mod dns;
mod fragments;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzz;
mod icmp;
mod link;
mod news;
mod role;
mod switches;
mod tcp;
mod tftp;
mod world;

use std::collections::HashMap;

use ipnet::{Ipv4Net, Ipv6Net};

use self::asks::Asks;
use self::boots::Boots;
use self::fragments::{Fragments, Whole};
use self::icmp::Refusals;
use self::link::{Datagram, Inside, Ip};
use self::news::News;
use self::world::World;
use crate::event::{Exchange, Known, RunTime};
use crate::name::{Mac, NetworkName, NodeName};

/// A network that frames come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Segment {
    /// Its name.
    pub network: NetworkName,
    /// Its IPv4 network, with our own address in it; the address of the network itself if we have none.
    pub ipv4: Option<Ipv4Net>,
    /// Its IPv6 network, likewise.
    pub ipv6: Option<Ipv6Net>,
    /// The hardware address of the interface of our own services, if we have one.
    pub own: Option<Mac>,
    /// Which of the services at our own addresses are the lab's. What other programs answer there has a server.
    pub services: OwnServices,
}

impl Segment {
    /// Creates a network of which nothing is known.
    pub fn foreign(network: NetworkName) -> Self {
        Self { network, ipv4: None, ipv6: None, own: None, services: OwnServices::default() }
    }
}

/// The services of the lab on one network.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct OwnServices {
    /// DHCP, and ProxyDHCP.
    pub dhcp: bool,
    /// DHCPv6.
    pub dhcp6: bool,
    /// TFTP.
    pub tftp: bool,
    /// DNS.
    pub dns: bool,
    /// Router advertisements.
    pub advertisements: bool,
    /// The ports of HTTP and HTTPS.
    pub http: Vec<u16>,
}

/// Who counts as a node.
#[derive(Debug, Clone)]
pub enum Machines {
    /// The nodes of a lab, by hardware address.
    Named(HashMap<Mac, NodeName>),
    /// Every client, named after its hardware address: `52-54-00-12-34-56`.
    Any,
}

/// What a frame begins with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Link {
    /// Ethernet.
    Ethernet,
    /// The header of Linux for captures on any interface.
    LinuxSll,
    /// Its second version.
    LinuxSll2,
    /// IPv4 or IPv6.
    RawIp,
    /// The address family of BSD's loopback interface, in either byte order.
    Null,
}

impl Link {
    /// Returns the link type with a number in pcap files (LINKTYPE_…).
    pub fn of_number(number: u32) -> Option<Self> {
        match number {
            1 => Some(Self::Ethernet),
            113 => Some(Self::LinuxSll),
            276 => Some(Self::LinuxSll2),
            // 12 and 14 are what some systems call it in their files; 228 and 229 tell the version.
            12 | 14 | 101 | 228 | 229 => Some(Self::RawIp),
            // 108 has the same header in network byte order.
            0 | 108 => Some(Self::Null),
            _ => None,
        }
    }
}

/// A captured frame.
#[derive(Debug, Clone, Copy)]
pub struct Frame<'a> {
    /// When it was captured.
    pub at: RunTime,
    /// Its number in the capture, counted from 1, if it has one.
    pub number: Option<u64>,
    /// Index of the network.
    pub segment: usize,
    /// What it begins with.
    pub link: Link,
    /// The captured bytes.
    pub bytes: &'a [u8],
    /// How many bytes it had on the wire.
    pub length: usize,
}

/// Something that frames showed.
#[derive(Debug, Clone, PartialEq)]
pub struct Seen {
    /// When.
    pub at: RunTime,
    /// The node that it concerns, if any.
    pub node: Option<NodeName>,
    /// The exchange that it is part of, if any.
    pub exchange: Option<Exchange>,
    /// The number of the frame that showed it; none where only the time passed.
    pub frame: Option<u64>,
    /// What happened.
    pub known: Known,
}

/// Where and when a packet was seen.
#[derive(Debug, Clone, Copy)]
struct Hop {
    at: RunTime,
    segment: usize,
    /// The sender of the frame, if it has one.
    from: Option<Mac>,
}

/// What every protocol needs.
struct Context<'a> {
    world: &'a mut World,
    news: &'a mut News,
    asks: &'a mut Asks,
    boots: &'a mut Boots,
    refusals: &'a mut Refusals,
    seen: &'a mut Vec<Seen>,
}

/// Turns frames into events. Frames come in the order of their times.
#[derive(Debug)]
pub struct Dissector {
    world: World,
    news: News,
    asks: Asks,
    boots: Boots,
    refusals: Refusals,
    protocols: Protocols,
}

/// What is known of the dialogues of each protocol.
#[derive(Debug, Default)]
struct Protocols {
    fragments: Fragments,
    dhcp: dhcp::Dhcp,
    dhcp6: dhcp6::Dhcp6,
    dns: dns::Dns,
    tftp: tftp::Tftp,
    tcp: tcp::Tcp,
    icmp: icmp::Icmp,
    switches: switches::Switches,
}

impl Dissector {
    /// Starts without any knowledge of the networks' past.
    pub fn new(segments: Vec<Segment>, machines: Machines) -> Self {
        Self {
            world: World::new(segments, machines),
            news: News::default(),
            asks: Asks::default(),
            boots: Boots::default(),
            refusals: icmp::refusals(),
            protocols: Protocols::default(),
        }
    }

    /// Reads a frame. Returns how many of its bytes a capture without the contents of files keeps.
    pub fn frame(&mut self, frame: Frame<'_>, seen: &mut Vec<Seen>) -> usize {
        // Silence ends when it is certain, not with the next frame.
        while let deadline = self.deadline()
            && deadline <= frame.at
        {
            self.pass(deadline, seen);
        }
        if frame.segment >= self.world.segments() {
            return frame.bytes.len();
        }
        self.news.frame = frame.number;
        let opened = link::open(&frame);
        let hop = Hop { at: frame.at, segment: frame.segment, from: opened.from };
        let (mut context, protocols) = self.split(seen);
        let kept = match opened.inside {
            Inside::Arp(packet) => {
                arp::read(&mut context, hop, packet);
                frame.bytes.len()
            }
            Inside::Ip(ip) => {
                context.world.sends(hop, ip.source);
                protocols.ip(&mut context, hop, ip)
            }
            Inside::Bpdu(bytes) => {
                protocols.switches.bpdu(&mut context, hop, bytes);
                frame.bytes.len()
            }
            Inside::Slow(bytes) => {
                protocols.switches.slow(&mut context, hop, bytes);
                frame.bytes.len()
            }
            Inside::Other => frame.bytes.len().min(UNKNOWN),
        };
        kept.min(frame.bytes.len())
    }

    /// Lets time pass: requests turn out to be unanswered, transfers to have stopped.
    pub fn pass(&mut self, now: RunTime, seen: &mut Vec<Seen>) {
        self.news.frame = None;
        let (mut context, protocols) = self.split(seen);
        protocols.tftp.expire(&mut context, now);
        protocols.tcp.expire(&mut context, now);
        context.expire(now);
    }

    /// Returns when [`Dissector::pass`] has something to say at the earliest.
    pub fn next_deadline(&self) -> Option<RunTime> {
        Some(self.deadline()).filter(|deadline| *deadline != RunTime::NEVER)
    }

    fn deadline(&self) -> RunTime {
        let Protocols { tftp, tcp, .. } = &self.protocols;
        self.asks.deadline().min(self.news.deadline()).min(tftp.deadline()).min(tcp.deadline())
    }

    fn split<'a>(&'a mut self, seen: &'a mut Vec<Seen>) -> (Context<'a>, &'a mut Protocols) {
        let Self { world, news, asks, boots, refusals, protocols } = self;
        (Context { world, news, asks, boots, refusals, seen }, protocols)
    }
}

/// How many bytes are kept of a frame of an unknown protocol.
const UNKNOWN: usize = 128;

impl Protocols {
    /// Reads a packet of IP. Returns how many bytes of the frame are no contents of files.
    fn ip(&mut self, context: &mut Context<'_>, hop: Hop, ip: Ip<'_>) -> usize {
        let ip = match ip.fragment {
            None => ip,
            Some(fragment) => match self.fragments.take(hop.at, ip, fragment) {
                Whole::Now(ip) => ip,
                Whole::Together(bytes) => {
                    let length = bytes.len();
                    let whole = Ip { payload: &bytes, length, fragment: None, ..ip };
                    self.packet(context, hop, &whole);
                    return ip.start + ip.payload.len();
                }
                Whole::Later if fragment.offset == 0 => return ip.start + ip.payload.len(),
                // It may be the contents of a file.
                Whole::Later => return ip.start,
            },
        };
        self.packet(context, hop, &ip)
    }

    fn packet(&mut self, context: &mut Context<'_>, hop: Hop, ip: &Ip<'_>) -> usize {
        let whole = ip.start + ip.payload.len();
        match ip.protocol {
            icmp::TCP => self.tcp.read(context, &mut self.dns, hop, ip),
            link::UDP_NUMBER => match ip.udp() {
                Some(datagram) => self.datagram(context, hop, &datagram),
                None => whole,
            },
            icmp::ICMP => {
                icmp::Icmp::read(context, &mut self.tftp, hop, ip);
                whole
            }
            icmp::ICMPV6 => {
                self.icmp.read_v6(context, &mut self.tftp, hop, ip);
                whole
            }
            _ => ip.start,
        }
    }

    fn datagram(&mut self, context: &mut Context<'_>, hop: Hop, datagram: &Datagram<'_>) -> usize {
        let whole = datagram.start + datagram.payload.len();
        if dhcp::Dhcp::is_for(datagram) {
            self.dhcp.read(context, hop, datagram);
            whole
        } else if dhcp6::Dhcp6::is_for(datagram) {
            self.dhcp6.read(context, hop, datagram);
            whole
        } else if dns::Dns::is_for(datagram) {
            self.dns.read(context, hop, datagram);
            whole
        } else {
            datagram.start + self.tftp.read(context, hop, datagram).unwrap_or(0)
        }
    }
}

#[cfg(test)]
mod tests;
