//! TCP connections: what both sides say, in order, as far as anybody needs to read it.
//!
//! Bodies are counted by sequence numbers. What an acknowledgement covers has arrived, even if the capture missed it.

mod dns;
mod http;
mod tls;

use std::net::SocketAddr;
use std::time::Duration;

use etherparse::TcpHeaderSlice;

use self::dns::DnsStream;
use self::http::Http;
use self::tls::Tls;
use super::asks::{Ask, Waiting};
use super::bounded::Bounded;
use super::dns::{Dns, PORT as DNS_PORT};
use super::link::Ip;
use super::{Context, Hop};
use crate::event::{Exchange, RunTime, Service, Transport, UnreachableCause};
use crate::name::NodeName;

/// Connections at the same time.
const MOST: usize = 4096;
/// Bytes out of order that are kept, of one direction of one connection.
const MOST_HELD: usize = 32 << 10;
/// Bytes that are kept of all connections.
const MOST_MEMORY: usize = 4 << 20;
/// A gap that nobody will fill.
const WIDEST_GAP: u32 = 4 << 20;
/// After this time of silence, a connection is forgotten.
const IDLE: Duration = Duration::from_secs(120);
/// How long a server may take for the head of a response.
const SILENCE: Duration = Duration::from_secs(15);
/// How long a host may take to accept a connection.
const PATIENCE: Duration = Duration::from_secs(10);

/// Both ends of a connection, the lower one first.
type Key = (SocketAddr, SocketAddr);

/// The connections.
#[derive(Debug)]
pub(super) struct Tcp {
    flows: Bounded<Key, Flow>,
    earliest: RunTime,
    /// Bytes that are kept of all connections.
    memory: usize,
}

impl Default for Tcp {
    fn default() -> Self {
        Self { flows: Bounded::new(MOST), earliest: RunTime::NEVER, memory: 0 }
    }
}

/// A side of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Side {
    Client,
    Server,
}

/// The two ends of a connection, for whoever reads what they say.
#[derive(Debug, Clone)]
struct Ends {
    segment: usize,
    node: Option<NodeName>,
    client: SocketAddr,
    server: SocketAddr,
    /// Whether one of the lab's own services serves it.
    is_own: bool,
}

impl Ends {
    fn exchange(&self) -> Exchange {
        Exchange::http(self.client)
    }
}

#[derive(Debug)]
struct Flow {
    ends: Ends,
    /// The sequence number of the client's SYN.
    syn: Option<u32>,
    is_established: bool,
    last: RunTime,
    client: Stream,
    server: Stream,
    talk: Talk,
    /// The bytes kept of it that count in the sum of all.
    counted: usize,
}

/// What both sides speak.
#[derive(Debug)]
enum Talk {
    /// Nothing was said yet, or only a few bytes of the client.
    Unknown(Vec<u8>),
    Http(Box<Http>),
    Tls(Box<Tls>),
    Dns(Box<DnsStream>),
    /// Nothing that is read here.
    Opaque,
}

/// The bytes of one side.
#[derive(Debug, Default)]
struct Stream {
    /// The sequence number of the next byte, if known.
    next: Option<u32>,
    /// How many bytes were passed on.
    passed: u64,
    /// Segments behind a gap, with their length on the wire.
    held: Vec<(u32, Vec<u8>, u32)>,
    held_bytes: usize,
    /// The sequence number after the last byte.
    end: Option<u32>,
}

/// A TCP segment.
#[derive(Debug, Clone, Copy)]
struct Segment<'a> {
    sequence: u32,
    bytes: &'a [u8],
    /// On the wire.
    length: u32,
}

/// Returns how far a sequence number is ahead of another.
fn ahead(number: u32, of: u32) -> i32 {
    number.wrapping_sub(of) as i32
}

impl Tcp {
    /// Reads a segment. Returns how many bytes of the frame are no contents of files.
    pub(super) fn read(&mut self, context: &mut Context<'_>, dns: &mut Dns, hop: Hop, ip: &Ip<'_>) -> usize {
        let Ok(header) = TcpHeaderSlice::from_slice(ip.payload) else { return ip.start + ip.payload.len() };
        let size = header.slice().len();
        let start = ip.start + size;
        let source = SocketAddr::new(ip.source, header.source_port());
        let destination = SocketAddr::new(ip.destination, header.destination_port());
        let segment = Segment {
            sequence: header.sequence_number(),
            bytes: &ip.payload[size..],
            length: u32::try_from(ip.length.saturating_sub(size)).unwrap_or(u32::MAX >> 2).min(u32::MAX >> 2),
        };
        let key = if source <= destination { (source, destination) } else { (destination, source) };
        if header.syn() && !header.ack() {
            self.begin(context, hop, key, source, destination, segment.sequence);
            return start;
        }
        if header.syn() {
            if let Some(flow) = self.flows.get_mut(&key).filter(|flow| flow.ends.server == source) {
                flow.accepted(context, segment.sequence);
            }
            return start;
        }
        if header.rst() {
            if header.ack()
                && let Some(flow) = self.flows.get_mut(&key)
            {
                let side = if flow.ends.client == source { Side::Client } else { Side::Server };
                flow.acknowledge(context, hop, side, header.acknowledgment_number());
            }
            if let Some(flow) = self.remove(&key) {
                flow.reset(context, hop, source);
            }
            return start;
        }
        let flow = match self.flows.get_mut(&key) {
            Some(flow) => flow,
            // A connection from before the capture.
            None if segment.length > 0 && is_request(segment.bytes, destination.port()) => {
                self.adopt(context, hop, key, source, destination);
                match self.flows.get_mut(&key) {
                    Some(flow) => flow,
                    None => return start,
                }
            }
            None => return start,
        };
        flow.last = hop.at;
        flow.establish(context);
        let side = if flow.ends.client == source { Side::Client } else { Side::Server };
        if header.ack() {
            flow.acknowledge(context, hop, side, header.acknowledgment_number());
        }
        if header.fin() {
            flow.stream(side).end = Some(segment.sequence.wrapping_add(segment.length));
        }
        let kept = if segment.length > 0 { flow.segment(context, hop, side, segment) } else { 0 };
        flow.close(context, hop, side);
        if let Talk::Dns(stream) = &mut flow.talk {
            stream.pass_on(context, dns, &flow.ends, hop);
        }
        self.memory -= flow.counted;
        flow.counted = flow.memory();
        if self.memory + flow.counted > MOST_MEMORY {
            flow.give_up();
        }
        self.memory += flow.counted;
        if side == Side::Client && segment.length > 0 {
            self.earliest = self.earliest.min(hop.at + SILENCE);
        }
        let is_over = flow.client.is_over() && flow.server.is_over();
        if is_over && let Some(flow) = self.remove(&key) {
            flow.finish(context, hop.at, true);
        }
        start + kept.min(segment.bytes.len())
    }

    fn begin(
        &mut self,
        context: &mut Context<'_>,
        hop: Hop,
        key: Key,
        client: SocketAddr,
        server: SocketAddr,
        sequence: u32,
    ) {
        if let Some(flow) = self.flows.get_mut(&key) {
            if flow.syn == Some(sequence) && !flow.is_established {
                flow.last = hop.at;
                if flow.ends.segment == hop.segment {
                    flow.ask(context, hop.at);
                }
                return;
            }
            if flow.syn == Some(sequence) {
                return;
            }
            if let Some(before) = self.remove(&key) {
                before.finish(context, hop.at, false);
            }
        }
        let flow = self.adopt(context, hop, key, client, server);
        flow.syn = Some(sequence);
        flow.is_established = false;
        flow.client.next = Some(sequence.wrapping_add(1));
        flow.ask(context, hop.at);
    }

    fn adopt(
        &mut self,
        context: &mut Context<'_>,
        hop: Hop,
        key: Key,
        client: SocketAddr,
        server: SocketAddr,
    ) -> &mut Flow {
        let world = &mut *context.world;
        // What we ask ourselves, such as probes, is nobody's boot.
        let is_ours = world.is_ours(client.ip());
        let ends = Ends {
            segment: hop.segment,
            node: if is_ours { None } else { world.asker(hop, client.ip()) },
            client,
            server,
            is_own: world.is_own(server.ip(), |services| services.http.contains(&server.port())),
        };
        let talk = match server.port() {
            _ if is_ours => Talk::Opaque,
            DNS_PORT => Talk::Dns(Box::default()),
            _ => Talk::Unknown(Vec::new()),
        };
        let flow = Flow {
            ends,
            syn: None,
            is_established: true,
            last: hop.at,
            client: Stream::default(),
            server: Stream::default(),
            talk,
            counted: 0,
        };
        self.earliest = self.earliest.min(hop.at + IDLE);
        if let Some(oldest) = self.flows.insert(key, flow) {
            self.memory -= oldest.counted;
            oldest.finish(context, hop.at, false);
        }
        self.flows.get_mut(&key).expect("it was just added")
    }

    fn remove(&mut self, key: &Key) -> Option<Flow> {
        let flow = self.flows.remove(key)?;
        self.memory -= flow.counted;
        Some(flow)
    }

    /// Forgets connections that are silent.
    pub(super) fn expire(&mut self, context: &mut Context<'_>, now: RunTime) {
        if now < self.earliest {
            return;
        }
        let is_idle = |flow: &Flow| now.since(flow.last) >= IDLE;
        let mut idle: Vec<Key> =
            self.flows.iter().filter(|(_, flow)| is_idle(flow)).map(|(key, _)| *key).collect();
        idle.sort();
        for key in idle {
            if let Some(flow) = self.remove(&key) {
                flow.finish(context, now, false);
            }
        }
        let waiting = |flow: &Flow| match &flow.talk {
            Talk::Http(http) => http.waits_since().map(|since| since + SILENCE),
            _ => None,
        };
        let is_silent = |flow: &Flow| waiting(flow).is_some_and(|until| now >= until);
        let mut silent: Vec<Key> =
            self.flows.iter().filter(|(_, flow)| is_silent(flow)).map(|(key, _)| *key).collect();
        silent.sort();
        for key in silent {
            if let Some(Flow { talk: Talk::Http(http), ends, .. }) = self.flows.get_mut(&key) {
                http.silent(context, ends, now);
            }
        }
        let ends = self.flows.iter().map(|(_, flow)| flow.last + IDLE);
        let next = ends.chain(self.flows.iter().filter_map(|(_, flow)| waiting(flow))).min();
        self.earliest = next.unwrap_or(RunTime::NEVER);
    }

    pub(super) fn deadline(&self) -> RunTime {
        self.earliest
    }
}

/// Tells whether bytes to a port begin a request that is read here.
fn is_request(bytes: &[u8], port: u16) -> bool {
    match port {
        DNS_PORT => dns::is_query(bytes),
        _ => http::is_request(bytes) == Some(true) || tls::is_hello(bytes) == Some(true),
    }
}

impl Flow {
    fn stream(&mut self, side: Side) -> &mut Stream {
        match side {
            Side::Client => &mut self.client,
            Side::Server => &mut self.server,
        }
    }

    /// Returns how many bytes are kept.
    fn memory(&self) -> usize {
        let talk = match &self.talk {
            Talk::Unknown(begun) => begun.capacity(),
            Talk::Http(http) => http.memory(),
            Talk::Tls(tls) => tls.memory(),
            Talk::Dns(stream) => stream.memory(),
            Talk::Opaque => 0,
        };
        self.client.held_bytes + self.server.held_bytes + talk
    }

    /// Reads it no further: too much is kept of all connections.
    fn give_up(&mut self) {
        self.talk = Talk::Opaque;
        (self.client.held, self.server.held) = (Vec::new(), Vec::new());
        (self.client.held_bytes, self.server.held_bytes) = (0, 0);
        self.counted = 0;
    }

    /// Counts an attempt of a node to connect.
    fn ask(&self, context: &mut Context<'_>, at: RunTime) {
        let Ends { segment, node: Some(node), client, server, .. } = &self.ends else { return };
        context.ask(Ask::Connection(*client, *server), at, || Waiting {
            segment: *segment,
            node: Some(node.clone()),
            exchange: None,
            service: Service::Tcp,
            what: format!("port {}", server.port()),
            server: Some(server.ip()),
            patience: PATIENCE,
            least: 1,
        });
    }

    fn accepted(&mut self, context: &mut Context<'_>, sequence: u32) {
        self.server.next.get_or_insert(sequence.wrapping_add(1));
        self.establish(context);
    }

    /// Records that the server accepted it, which any further segment shows if the capture missed the answer.
    fn establish(&mut self, context: &mut Context<'_>) {
        if !self.is_established {
            self.is_established = true;
            context.asks.answered(&Ask::Connection(self.ends.client, self.ends.server));
        }
    }

    fn reset(self, context: &mut Context<'_>, hop: Hop, by: SocketAddr) {
        let Ends { client, server, node, .. } = &self.ends;
        if !self.is_established && by == *server {
            context.asks.answered(&Ask::Connection(*client, *server));
            if node.is_some() {
                let why = UnreachableCause::Reset;
                context.unreachable(hop, node.clone(), Transport::Tcp, *server, by.ip(), why, None);
            }
        }
        self.finish(context, hop.at, false);
    }

    /// Passes a segment on, and those behind it. Returns how many of its bytes are no contents of files.
    fn segment(
        &mut self,
        context: &mut Context<'_>,
        hop: Hop,
        side: Side,
        mut segment: Segment<'_>,
    ) -> usize {
        if matches!(self.talk, Talk::Opaque) {
            return 0;
        }
        let next = *self.stream(side).next.get_or_insert(segment.sequence);
        let offset = ahead(segment.sequence, next);
        let before = offset.min(0).unsigned_abs();
        if before >= segment.length {
            return 0;
        }
        if offset > 0 {
            return self.hold(context, hop, side, segment, offset.unsigned_abs());
        }
        // The beginning was seen already.
        segment.sequence = next;
        segment.length -= before;
        segment.bytes = segment.bytes.get(before as usize..).unwrap_or_default();
        let kept = self.pass(context, hop, side, segment.bytes, segment.length);
        self.pass_held(context, hop, side);
        before as usize + kept
    }

    /// Keeps a segment behind a gap, if it may have to be read.
    fn hold(
        &mut self,
        context: &mut Context<'_>,
        hop: Hop,
        side: Side,
        segment: Segment<'_>,
        gap: u32,
    ) -> usize {
        if gap > WIDEST_GAP {
            self.skip_to(context, hop, side, segment.sequence);
            let kept = self.pass(context, hop, side, segment.bytes, segment.length);
            self.pass_held(context, hop, side);
            return kept;
        }
        // Within a body that is only counted, the acknowledgement tells that it arrived.
        if self.uninteresting(side) >= u64::from(gap) + u64::from(segment.length) {
            return 0;
        }
        let stream = self.stream(side);
        if stream.held_bytes + segment.bytes.len() <= MOST_HELD && stream.held.len() < 64 {
            stream.held_bytes += segment.bytes.len();
            stream.held.push((segment.sequence, segment.bytes.to_vec(), segment.length));
        }
        segment.bytes.len()
    }

    fn pass_held(&mut self, context: &mut Context<'_>, hop: Hop, side: Side) {
        while let stream = self.stream(side)
            && let Some(next) = stream.next
            && let Some(index) = stream.held.iter().position(|(sequence, _, _)| ahead(*sequence, next) <= 0)
        {
            let (sequence, bytes, length) = stream.held.swap_remove(index);
            stream.held_bytes -= bytes.len();
            let before = ahead(next, sequence).unsigned_abs();
            if before < length {
                let rest = bytes.get(before as usize..).unwrap_or_default();
                self.pass(context, hop, side, rest, length - before);
            }
        }
    }

    /// Passes over bytes that were not captured.
    fn skip_to(&mut self, context: &mut Context<'_>, hop: Hop, side: Side, sequence: u32) {
        loop {
            self.pass_held(context, hop, side);
            let stream = self.stream(side);
            let Some(next) = stream.next else { return };
            let held = stream.held.iter().map(|(held, _, _)| ahead(*held, next)).min();
            let gap = ahead(sequence, next).min(held.unwrap_or(i32::MAX));
            if gap <= 0 {
                return;
            }
            self.pass(context, hop, side, &[], gap.unsigned_abs());
        }
    }

    /// Handles an acknowledgement: what it covers has arrived.
    fn acknowledge(&mut self, context: &mut Context<'_>, hop: Hop, by: Side, number: u32) {
        let other = match by {
            Side::Client => Side::Server,
            Side::Server => Side::Client,
        };
        if matches!(self.talk, Talk::Opaque) {
            return;
        }
        let stream = self.stream(other);
        // A FIN counts as one byte.
        let number = if stream.end.is_some_and(|end| number == end.wrapping_add(1)) {
            number.wrapping_sub(1)
        } else {
            number
        };
        let Some(next) = stream.next else {
            stream.next = Some(number);
            return;
        };
        let further = ahead(number, next);
        if further > 0 && further.unsigned_abs() <= WIDEST_GAP {
            self.skip_to(context, hop, other, number);
        }
        if by == Side::Client
            && let Talk::Http(http) = &mut self.talk
        {
            let stream = &self.server;
            let open = stream.next.map_or(0, |next| ahead(next, number).max(0));
            http.acknowledged(
                context,
                &self.ends,
                hop.at,
                stream.passed.saturating_sub(u64::from(open.unsigned_abs())),
            );
        }
    }

    /// Returns how many of the next bytes of a side are only counted.
    fn uninteresting(&self, side: Side) -> u64 {
        match &self.talk {
            Talk::Unknown(_) => 0,
            Talk::Http(http) => http.uninteresting(side),
            Talk::Tls(tls) => tls.uninteresting(side),
            Talk::Dns(stream) => stream.uninteresting(side),
            Talk::Opaque => u64::MAX,
        }
    }

    /// Passes bytes on to whoever reads them; those that were not captured are missing at the end.
    fn pass(&mut self, context: &mut Context<'_>, hop: Hop, side: Side, bytes: &[u8], length: u32) -> usize {
        let stream = self.stream(side);
        stream.next = stream.next.map(|next| next.wrapping_add(length));
        stream.passed += u64::from(length);
        let bytes = &bytes[..bytes.len().min(length as usize)];
        if let Talk::Unknown(begun) = &mut self.talk {
            let is_whole = bytes.len() == length as usize;
            if side == Side::Server || !is_whole || begun.len() > http::LONGEST_METHOD {
                self.talk = Talk::Opaque;
                return 0;
            }
            let known = begun.len();
            begun.extend_from_slice(bytes);
            match (http::is_request(begun), tls::is_hello(begun)) {
                (Some(true), _) => {
                    let begun = std::mem::take(begun);
                    let mut http = Http::default();
                    let kept = http.read(
                        context,
                        &self.ends,
                        hop.at,
                        side,
                        &begun,
                        begun.len() as u64,
                        begun.len() as u64,
                    );
                    self.talk = Talk::Http(Box::new(http));
                    return kept.saturating_sub(known);
                }
                (_, Some(true)) => {
                    let begun = std::mem::take(begun);
                    let mut tls = Tls::default();
                    let kept = tls.read(context, &self.ends, hop.at, side, &begun, begun.len() as u64);
                    self.talk = Talk::Tls(Box::new(tls));
                    return kept.saturating_sub(known);
                }
                (Some(false), Some(false)) => self.talk = Talk::Opaque,
                _ => return bytes.len(),
            }
            return 0;
        }
        let passed = self.stream(side).passed;
        match &mut self.talk {
            Talk::Unknown(_) | Talk::Opaque => 0,
            Talk::Http(http) => http.read(context, &self.ends, hop.at, side, bytes, length.into(), passed),
            Talk::Tls(tls) => tls.read(context, &self.ends, hop.at, side, bytes, length.into()),
            Talk::Dns(stream) => stream.read(side, bytes, length as usize),
        }
    }

    /// Handles the end of what a side says.
    fn close(&mut self, context: &mut Context<'_>, hop: Hop, side: Side) {
        if side == Side::Server
            && self.server.is_over()
            && let Talk::Http(http) = &mut self.talk
        {
            http.ended(context, &self.ends, hop.at, true);
        }
    }

    fn finish(self, context: &mut Context<'_>, at: RunTime, in_order: bool) {
        if let Talk::Http(mut http) = self.talk {
            http.ended(context, &self.ends, at, in_order);
            http.unanswered(context, &self.ends, at);
        }
    }
}

impl Stream {
    /// Tells whether everything up to the FIN was passed on.
    fn is_over(&self) -> bool {
        match (self.end, self.next) {
            (Some(end), Some(next)) => ahead(next, end) >= 0,
            (Some(_), None) => true,
            (None, _) => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use etherparse::PacketBuilder;

    use super::*;
    use crate::dissect::{Dissector, Frame, Link, Machines, Segment as Network};
    use crate::name::NetworkName;

    #[test]
    fn what_is_kept_of_all_connections_is_bounded() {
        let network = Network::foreign(NetworkName::new("lan").unwrap());
        let mut dissector = Dissector::new(vec![network], Machines::Any);
        let mut most = 0;
        // Of each message, and each head, the end is missing.
        let message = [&16_000_u16.to_be_bytes()[..], &[7; 15_000]].concat();
        let head = [&b"GET / HTTP/1.1\r\nX: "[..], &[b'x'; 15_000]].concat();
        for (begun, to) in [(&message, DNS_PORT), (&head, 80)] {
            for from in 10_000..10_500 {
                for (flags, sequence, payload) in [(true, 1, &[][..]), (false, 2, begun)] {
                    let step = PacketBuilder::ethernet2([2, 0, 0, 0, 0, 1], [2, 0, 0, 0, 0, 2])
                        .ipv4([10, 0, 0, 1], [10, 0, 0, 2], 64)
                        .tcp(from, to, sequence, 1000);
                    let mut bytes = Vec::new();
                    if flags { step.syn() } else { step.ack(1) }.write(&mut bytes, payload).unwrap();
                    let length = bytes.len();
                    let frame = Frame {
                        at: RunTime::START,
                        number: None,
                        segment: 0,
                        link: Link::Ethernet,
                        bytes: &bytes,
                        length,
                    };
                    dissector.frame(frame, &mut Vec::new());
                    most = most.max(dissector.protocols.tcp.memory);
                }
            }
            let flows = &dissector.protocols.tcp.flows;
            let kept: usize = flows.iter().map(|(_, flow)| flow.memory()).sum();
            assert_eq!(kept, dissector.protocols.tcp.memory);
            let given_up = flows.iter().filter(|(_, flow)| matches!(flow.talk, Talk::Opaque)).count();
            assert!(given_up > 200, "{given_up}");
        }
        assert!(most > MOST_MEMORY / 2 && most <= MOST_MEMORY, "{most}");
    }
}
