//! TFTP (RFC 1350, 2347, 2348, 7440): who fetched which file, and how it ended.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use super::bounded::Bounded;
use super::link::Datagram;
use super::news::Topic;
use super::role;
use super::{Context, Hop};
use crate::event::{Exchange, Known, RunTime, Service, TftpMode, TftpOutcome};
use crate::name::NodeName;
use crate::wire::format;

const PORT: u16 = 69;
/// Opcode and block number.
const HEADER: usize = 4;
/// Transfers at the same time.
const MOST: usize = 4096;
/// How long a client may be silent: servers retransmit for about ten seconds.
const PATIENCE: Duration = Duration::from_secs(12);
/// Time between two reports of a transfer's progress.
const REPORT: Duration = Duration::from_secs(1);
const LONGEST_PATH: usize = 512;
/// An acknowledgement that is further ahead of what was captured repeats an old one.
const MOST_MISSED: u64 = 1024;

mod opcode {
    pub(super) const READ: u16 = 1;
    pub(super) const WRITE: u16 = 2;
    pub(super) const DATA: u16 = 3;
    pub(super) const ACK: u16 = 4;
    pub(super) const ERROR: u16 = 5;
    pub(super) const OACK: u16 = 6;
}

/// A client and the server that it asked.
type Key = (SocketAddr, IpAddr);

/// The transfers.
#[derive(Debug)]
pub(super) struct Tftp {
    transfers: Bounded<Key, Transfer>,
    /// Not later than the end of anybody's patience.
    earliest: RunTime,
}

impl Default for Tftp {
    fn default() -> Self {
        Self { transfers: Bounded::new(MOST), earliest: RunTime::NEVER }
    }
}

#[derive(Debug)]
struct Transfer {
    segment: usize,
    node: Option<NodeName>,
    client: SocketAddr,
    server: IpAddr,
    is_own: bool,
    path: String,
    mode: TftpMode,
    /// Whether the client wants to write.
    writes: bool,
    started: RunTime,
    /// When the client was last heard.
    last: RunTime,
    /// How often it asked.
    requests: u64,
    /// The port that the server chose.
    port: Option<u16>,
    /// Whether the client acknowledges what the capture has not.
    is_answered: bool,
    block: u64,
    window: u16,
    total: Option<u64>,
    /// Whether options with the size wait for their acknowledgement.
    offered_size: bool,
    /// Blocks, counted from 1 without wrapping.
    sent: u64,
    acked: u64,
    /// What the numbers on the wire are ahead: some servers continue after 65,535 with 1.
    ahead: u64,
    /// The last block, and how long it is.
    end: Option<(u64, u64)>,
    retransmits: u32,
    head: Vec<u8>,
    /// The block that continues `head`.
    head_block: u64,
    reported: RunTime,
}

/// How a packet continues a transfer.
enum Next {
    GoesOn,
    Ends(TftpOutcome, String),
    Forgotten,
}

impl Tftp {
    /// Reads a datagram. Returns how many bytes of its payload are no contents of files; `None` if it is not TFTP's.
    pub(super) fn read(
        &mut self,
        context: &mut Context<'_>,
        hop: Hop,
        datagram: &Datagram<'_>,
    ) -> Option<usize> {
        let (head, _) = datagram.payload.split_first_chunk::<2>()?;
        let opcode = u16::from_be_bytes(*head);
        if datagram.destination.port() == PORT && matches!(opcode, opcode::READ | opcode::WRITE) {
            self.request(context, hop, datagram, opcode == opcode::WRITE);
            return Some(datagram.payload.len());
        }
        if !(opcode::DATA..=opcode::OACK).contains(&opcode) {
            return None;
        }
        let from_server = (datagram.destination, datagram.source.ip());
        let from_client = (datagram.source, datagram.destination.ip());
        let (key, next) = if let Some(transfer) = self.transfers.get_mut(&from_server) {
            (from_server, transfer.on_server(hop, datagram, opcode))
        } else if let Some(transfer) = self.transfers.get_mut(&from_client) {
            let next = transfer.on_client(hop, datagram, opcode);
            transfer.report(context, hop.at);
            (from_client, next)
        } else {
            return None;
        };
        match next {
            Next::GoesOn => {}
            Next::Ends(outcome, rule) => {
                if let Some(transfer) = self.transfers.remove(&key) {
                    transfer.tell(context, hop.at, outcome, rule);
                }
            }
            Next::Forgotten => drop(self.transfers.remove(&key)),
        }
        Some(if opcode == opcode::DATA { HEADER.min(datagram.payload.len()) } else { datagram.payload.len() })
    }

    fn request(&mut self, context: &mut Context<'_>, hop: Hop, datagram: &Datagram<'_>, writes: bool) {
        let Some((path, mode)) = names(&datagram.payload[2..]) else { return };
        let key = (datagram.source, datagram.destination.ip());
        if let Some(transfer) = self.transfers.get_mut(&key) {
            if transfer.path == path && transfer.acked == 0 {
                // The same packet on another network is no repetition.
                transfer.requests += u64::from(transfer.segment == hop.segment);
                transfer.last = hop.at;
                return;
            }
            if let Some(before) = self.transfers.remove(&key) {
                before.tell(context, hop.at, TftpOutcome::Aborted, String::new());
            }
        }
        let server = datagram.destination.ip();
        let transfer = Transfer {
            segment: hop.segment,
            node: context.world.asker(hop, datagram.source.ip()),
            client: datagram.source,
            server,
            is_own: context.world.is_own(server, |services| services.tftp),
            path,
            mode,
            writes,
            started: hop.at,
            last: hop.at,
            requests: 1,
            port: None,
            is_answered: false,
            block: 512,
            window: 1,
            total: None,
            offered_size: false,
            sent: 0,
            acked: 0,
            ahead: 0,
            end: None,
            retransmits: 0,
            head: Vec::new(),
            head_block: 1,
            reported: hop.at,
        };
        self.earliest = self.earliest.min(hop.at + PATIENCE);
        if let Some(oldest) = self.transfers.insert(key, transfer) {
            oldest.tell(context, hop.at, TftpOutcome::Vanished, String::new());
        }
    }

    /// Forgets a request: a host or router says that it cannot be delivered.
    pub(super) fn refused(&mut self, client: SocketAddr, server: IpAddr) {
        let key = (client, server);
        if self.transfers.get(&key).is_some_and(|transfer| transfer.port.is_none()) {
            self.transfers.remove(&key);
        }
    }

    /// Reports requests without an answer and clients that are gone.
    pub(super) fn expire(&mut self, context: &mut Context<'_>, now: RunTime) {
        if now < self.earliest {
            return;
        }
        let is_over = |transfer: &Transfer| now.since(transfer.last) >= PATIENCE;
        let mut over: Vec<Key> =
            self.transfers.iter().filter(|(_, transfer)| is_over(transfer)).map(|(key, _)| *key).collect();
        over.sort();
        for key in over {
            let Some(transfer) = self.transfers.remove(&key) else { continue };
            match transfer.port {
                Some(_) if transfer.writes => {}
                // What the server said was not captured.
                None if transfer.is_answered => {}
                // It ended when nothing came any more, not when that is certain.
                Some(_) => {
                    let last = transfer.last;
                    transfer.tell(context, last, TftpOutcome::Vanished, String::new());
                }
                None => {
                    let known = Known::Unanswered {
                        network: context.world.network(transfer.segment).clone(),
                        service: Service::Tftp,
                        what: transfer.path,
                        server: Some(transfer.server),
                        times: transfer.requests,
                    };
                    let exchange = Exchange::tftp(transfer.client);
                    context.tell(now, Topic::Unanswered, transfer.node, Some(exchange), known);
                }
            }
        }
        let next = self.transfers.iter().map(|(_, transfer)| transfer.last + PATIENCE).min();
        self.earliest = next.unwrap_or(RunTime::NEVER);
    }

    pub(super) fn deadline(&self) -> RunTime {
        self.earliest
    }
}

impl Transfer {
    fn on_server(&mut self, hop: Hop, datagram: &Datagram<'_>, opcode: u16) -> Next {
        let port = datagram.source.port();
        if *self.port.get_or_insert(port) != port {
            // A late answer to an earlier request.
            return Next::GoesOn;
        }
        let number = datagram.payload.get(2..HEADER).map(|bytes| u16::from_be_bytes([bytes[0], bytes[1]]));
        match (opcode, number) {
            (opcode::OACK, _) => {
                if self.offered_size {
                    self.retransmits += 1;
                }
                self.agree(&datagram.payload[2..]);
            }
            (opcode::DATA, Some(number)) => self.block(number, datagram),
            (opcode::ERROR, code) => {
                let outcome = match code {
                    Some(1) => TftpOutcome::NotFound,
                    Some(2) => TftpOutcome::Refused,
                    _ => TftpOutcome::Failed,
                };
                return Next::Ends(outcome, message(&datagram.payload[2..]));
            }
            // The server takes what the client writes.
            (opcode::ACK, _) if self.writes => return Next::Forgotten,
            _ => {}
        }
        if self.acked == 0 && self.sent <= 1 {
            // The server's repetitions give the client time, too.
            self.last = hop.at;
        }
        Next::GoesOn
    }

    fn block(&mut self, number: u16, datagram: &Datagram<'_>) {
        self.offered_size = false;
        let last = (self.sent + self.ahead) as u16;
        if self.window == 1 && last == u16::MAX && number == 1 {
            self.ahead += 1;
        }
        let further = number.wrapping_sub((self.sent + self.ahead) as u16) as i16;
        let block = if further > 0 {
            self.sent += further as u64;
            self.sent
        } else {
            self.retransmits += 1;
            self.sent.saturating_sub(u64::from(further.unsigned_abs()))
        };
        let length = datagram.length.saturating_sub(HEADER) as u64;
        if length < self.block && block == self.sent {
            self.end = Some((block, length));
        }
        if block == self.head_block && self.head.len() < role::HEAD {
            let content = datagram.payload.get(HEADER..).unwrap_or_default();
            self.head.extend_from_slice(&content[..content.len().min(role::HEAD - self.head.len())]);
            self.head_block += 1;
        }
    }

    fn on_client(&mut self, hop: Hop, datagram: &Datagram<'_>, opcode: u16) -> Next {
        let number = datagram.payload.get(2..HEADER).map(|bytes| u16::from_be_bytes([bytes[0], bytes[1]]));
        match (opcode, number) {
            (opcode::ACK, Some(number)) => {
                self.offered_size = false;
                let further = u64::from(number.wrapping_sub((self.acked + self.ahead) as u16));
                // Before the numbers wrapped to 1, they were one less.
                let further =
                    if self.acked + further > self.sent && self.ahead > 0 { further + 1 } else { further };
                if self.port.is_none() {
                    self.is_answered = true;
                    self.last = hop.at;
                } else if self.acked + further <= self.sent {
                    self.acked += further;
                    self.last = hop.at;
                } else if self.ahead == 0 && further <= MOST_MISSED {
                    self.missed(further);
                    self.last = hop.at;
                }
                match self.end {
                    Some((block, _)) if block == self.acked => Next::Ends(TftpOutcome::Sent, String::new()),
                    _ => Next::GoesOn,
                }
            }
            // The answer to a request to write was not captured.
            (opcode::DATA, _) if self.writes => Next::Forgotten,
            (opcode::ERROR, _) => {
                let outcome = if self.offered_size { TftpOutcome::Probed } else { TftpOutcome::Aborted };
                Next::Ends(outcome, message(&datagram.payload[2..]))
            }
            _ => Next::GoesOn,
        }
    }

    /// Counts blocks that the client has and the capture has not. Their lengths follow from the size of the file.
    fn missed(&mut self, further: u64) {
        self.acked += further;
        self.sent = self.acked;
        let before = self.acked.saturating_sub(1) * self.block;
        if let Some(length) = self.total.and_then(|total| total.checked_sub(before))
            && length < self.block
            && self.mode == TftpMode::Octet
        {
            self.end = Some((self.acked, length));
        }
    }

    /// Reads the options that the server agrees to.
    fn agree(&mut self, options: &[u8]) {
        let mut texts = options.split(|byte| *byte == 0);
        while let (Some(name), Some(value)) = (texts.next(), texts.next()) {
            let Some(value) = std::str::from_utf8(value).ok().and_then(|value| value.parse::<u64>().ok())
            else {
                continue;
            };
            if name.eq_ignore_ascii_case(b"blksize") && value > 0 {
                self.block = value.min(65_535);
            } else if name.eq_ignore_ascii_case(b"windowsize") {
                self.window = u16::try_from(value).unwrap_or(u16::MAX).max(1);
            } else if name.eq_ignore_ascii_case(b"tsize") {
                self.total = Some(value);
                self.offered_size = self.sent == 0;
            }
        }
    }

    /// Returns how many bytes the client has acknowledged.
    fn bytes(&self) -> u64 {
        match self.end {
            Some((block, length)) if block == self.acked => (block.saturating_sub(1)) * self.block + length,
            _ => self.acked * self.block,
        }
    }

    /// Reports the progress of a transfer from another server than the lab's.
    fn report(&mut self, context: &mut Context<'_>, now: RunTime) {
        if self.is_own || now.since(self.reported) < REPORT || self.end.is_some() {
            return;
        }
        self.reported = now;
        let known = Known::Fetching { path: self.path.clone(), bytes: self.bytes(), total: self.total };
        let exchange = Exchange::tftp(self.client);
        context.tell(now, Topic::Fetching, self.node.clone(), Some(exchange), known);
    }

    fn tell(self, context: &mut Context<'_>, now: RunTime, outcome: TftpOutcome, rule: String) {
        let has_sent = self.sent > 0;
        let role = match outcome {
            TftpOutcome::Sent | TftpOutcome::Probed | TftpOutcome::Aborted | TftpOutcome::Vanished => {
                Some(role::of(&self.path, &self.head))
            }
            TftpOutcome::Failed | TftpOutcome::NotFound | TftpOutcome::Refused | TftpOutcome::Other(_) => {
                None
            }
        };
        if outcome == TftpOutcome::Sent {
            context.fetched(self.node.as_ref(), role.as_ref());
        }
        let known = Known::TftpServed {
            bytes: self.bytes(),
            path: self.path,
            outcome,
            ms: now.micros_since(self.started) / 1_000,
            role,
            // A capture without contents has only the lengths.
            format: (!self.head.is_empty() || self.end == Some((1, 0))).then(|| format::of(&self.head)),
            rule,
            mode: self.mode,
            blksize: has_sent.then(|| u32::try_from(self.block).unwrap_or(u32::MAX)),
            windowsize: has_sent.then_some(self.window),
            retransmits: self.retransmits,
            server: Some(self.server).filter(|_| !self.is_own),
        };
        context.tell(now, Topic::Tftp, self.node, Some(Exchange::tftp(self.client)), known);
    }
}

/// Returns the path and the mode of a request.
fn names(bytes: &[u8]) -> Option<(String, TftpMode)> {
    let mut texts = bytes.split(|byte| *byte == 0);
    let path = texts.next()?;
    let mode = texts.next().unwrap_or_default();
    let path = String::from_utf8_lossy(&path[..path.len().min(LONGEST_PATH)]).into_owned();
    let mode = String::from_utf8_lossy(&mode[..mode.len().min(16)]).to_ascii_lowercase();
    Some((path, mode.as_str().into()))
}

/// Returns the message of an error.
fn message(bytes: &[u8]) -> String {
    let text = bytes.get(2..).unwrap_or_default();
    let text = text.split(|byte| *byte == 0).next().unwrap_or_default();
    String::from_utf8_lossy(&text[..text.len().min(128)]).into_owned()
}
