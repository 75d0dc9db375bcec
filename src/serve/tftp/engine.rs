//! Our own engine: one thread, one socket for each transfer, one [`Machine`] for each that decides.
//!
//! Packets are passed to the machine and its actions are carried out; nothing is
//! decided here. A transfer's socket is not connected, so that packets from other
//! addresses can be answered with an error (RFC 1350) without disturbing the transfer.

use std::collections::HashMap;
use std::io::{self, IoSlice};
use std::net::{SocketAddr, UdpSocket};
use std::os::fd::AsRawFd;
use std::sync::Arc;

use nix::errno::Errno;
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};
use nix::sys::eventfd::{EfdFlags, EventFd};
use nix::sys::socket::{MsgFlags, SockaddrStorage, sendmsg};
use tokio::runtime::Handle;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::handler::{Delivery, Opened, TftpHandler};
use super::machine::{Action, End, Machine, agree};
use super::packet::{self, HEAD, Packet, Request};
use super::source::Source;
use super::{Listener, refusal};
use crate::event::TftpOutcome;
use crate::lab::TftpFault;
use crate::serve::segments::Segments;
use crate::system::sockets::beside;

/// Maximum number of concurrent transfers, more than a rack has machines.
const MOST_TRANSFERS: usize = 4096;
/// Largest packet that is accepted. Requests have at most 512 bytes (RFC 2347).
const LARGEST: usize = 2048;
/// Maximum number of packets read from one socket before the next socket is served.
const TURN: usize = 64;
/// Maximum number of epoll events per call.
const EVENTS: usize = 256;

/// Up to this many transfers, the engine polls for a reply instead of sleeping.
const FEW: usize = 2;
/// Maximum time of such polling in nanoseconds. For slower clients, the kernel's wake-up latency does not matter.
const SPIN: u64 = 50_000;

const STOP: u64 = u64::MAX;
/// Tokens of listeners start here, those of transfers at 0.
const LISTENERS: u64 = 1 << 63;

/// Answers requests on these sockets until `stop` is cancelled. Blocks its thread.
pub(super) fn serve(
    listeners: Vec<Listener>,
    handler: TftpHandler,
    stop: CancellationToken,
) -> io::Result<()> {
    let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?;
    let wake = Arc::new(EventFd::from_flags(EfdFlags::EFD_CLOEXEC | EfdFlags::EFD_NONBLOCK)?);
    epoll.add(&*wake, EpollEvent::new(EpollFlags::EPOLLIN, STOP))?;
    for (index, listener) in listeners.iter().enumerate() {
        epoll.add(&listener.socket, EpollEvent::new(EpollFlags::EPOLLIN, LISTENERS + index as u64))?;
    }
    let mut waiting = JoinSet::new();
    let ring = EngineWaker(Arc::clone(&wake));
    waiting.spawn_on(
        async move {
            stop.cancelled().await;
            drop(ring);
        },
        &Handle::current(),
    );
    let workbench = Buffers { content: Vec::new(), segments: Segments::new() };
    let transfers = HashMap::new();
    let engine = Engine {
        epoll,
        listeners,
        handler,
        transfers,
        by_client: HashMap::new(),
        next: 0,
        expires: u64::MAX,
        workbench,
        _wake: wake,
    };
    engine.run()
}

/// Wakes the engine when it is dropped, also when the runtime shuts down.
struct EngineWaker(Arc<EventFd>);

impl Drop for EngineWaker {
    fn drop(&mut self) {
        // The counter is far from its maximum, so the write cannot fail.
        self.0.write(1).ok();
    }
}

struct Engine {
    epoll: Epoll,
    listeners: Vec<Listener>,
    handler: TftpHandler,
    transfers: HashMap<u64, Outgoing>,
    /// Transfers by the listener and client address of their request.
    by_client: HashMap<(usize, SocketAddr), u64>,
    /// The token of the next transfer.
    next: u64,
    /// The earliest deadline of all transfers.
    expires: u64,
    workbench: Buffers,
    /// Keeps the eventfd open: epoll forgets a closed descriptor.
    _wake: Arc<EventFd>,
}

/// One transfer with its socket and source.
struct Outgoing {
    socket: UdpSocket,
    client: SocketAddr,
    listener: usize,
    request: Request,
    began: u64,
    machine: Machine,
    source: Source,
    delivery: Delivery,
    /// The transfer of the same request that it ends when the client acknowledges this one.
    replaces: Option<u64>,
    /// The first block that a fault loses, with all that follow; 0 is the OACK.
    stall: Option<u64>,
}

/// Buffers that all transfers share.
struct Buffers {
    /// Holds one window, with room before it for the header of its first block.
    content: Vec<u8>,
    segments: Segments,
}

impl Engine {
    fn run(mut self) -> io::Result<()> {
        let mut events = vec![EpollEvent::empty(); EVENTS];
        loop {
            let timeout = match self.expires.checked_sub(self.handler.now()) {
                _ if self.transfers.is_empty() => EpollTimeout::NONE,
                Some(left) => EpollTimeout::try_from(left.div_ceil(1_000_000)).unwrap_or(EpollTimeout::MAX),
                None => EpollTimeout::ZERO,
            };
            let count = match self.epoll.wait(&mut events, timeout) {
                Ok(count) => count,
                Err(Errno::EINTR) => 0,
                Err(error) => return Err(error.into()),
            };
            for event in &events[..count] {
                match event.data() {
                    STOP => return Ok(()),
                    listener if listener >= LISTENERS => self.listen((listener - LISTENERS) as usize),
                    transfer => drop(self.receive(transfer)),
                }
            }
            self.spin();
            let now = self.handler.now();
            if now >= self.expires {
                self.expire(now);
            }
        }
    }

    /// Handles the deadlines that have passed, and finds the next one.
    fn expire(&mut self, now: u64) {
        let late: Vec<u64> = self
            .transfers
            .iter()
            .filter(|(_, transfer)| transfer.machine.deadline() <= now)
            .map(|(name, _)| *name)
            .collect();
        for name in late {
            self.with(name, |transfer| transfer.machine.on_time(now));
        }
        let deadlines = self.transfers.values().map(|transfer| transfer.machine.deadline());
        self.expires = deadlines.min().unwrap_or(u64::MAX);
    }

    /// Polls without sleeping while few transfers have fast clients: the kernel takes longer to wake this thread than
    /// they take to answer.
    fn spin(&mut self) {
        let quick = |transfer: &Outgoing| (1..SPIN).contains(&transfer.machine.answers_in());
        if self.transfers.len() > FEW || !self.transfers.values().any(quick) {
            return;
        }
        let names: Vec<u64> = self.transfers.keys().copied().collect();
        let mut until = self.handler.now() + SPIN;
        for _ in 0..TURN {
            while !names.iter().any(|name| self.receive(*name)) {
                std::hint::spin_loop();
                if self.handler.now() >= until {
                    return;
                }
            }
            until = self.handler.now() + SPIN;
        }
    }

    /// Reads the packets of a listener.
    fn listen(&mut self, listener: usize) {
        let mut buffer = [0; LARGEST];
        for _ in 0..TURN {
            let (length, from) = match self.listeners[listener].socket.recv_from(&mut buffer) {
                Ok(received) => received,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                Err(error) => return self.handler.note(&error),
            };
            if !self.handler.may_ask(from) {
                continue;
            }
            let answer = match packet::parse(&buffer[..length]) {
                Ok(Packet::Read(request)) => self.read_request(listener, from, request).err(),
                Ok(Packet::Write(name)) => {
                    self.handler.refuse_write(from, &name);
                    Some(packet::error(packet::ACCESS, "read-only server"))
                }
                Ok(Packet::Ack(_) | Packet::Stray) => Some(unknown_id()),
                // Never answer an error with an error: two servers would do so forever.
                Ok(Packet::Error { .. }) | Err(packet::Malformed::Short) => None,
                Err(malformed) => Some(packet::error(packet::ILLEGAL, &malformed.to_string())),
            };
            if let Some(answer) = answer {
                // If this packet is lost, the client repeats its request.
                self.listeners[listener].socket.send_to(&answer, from).ok();
            }
        }
    }

    /// Starts a transfer, or returns the error for the client.
    fn read_request(&mut self, listener: usize, from: SocketAddr, request: Request) -> Result<(), Vec<u8>> {
        let now = self.handler.now();
        let mut replaces = None;
        if let Some(name) = self.by_client.get(&(listener, from)).copied() {
            let known = &self.transfers[&name];
            if known.request == request && !known.machine.confirmed() {
                self.with(name, |transfer| transfer.machine.on_same_request(now));
                return Ok(());
            }
            match known.request == request {
                // A client that always uses the same port asks again, or the network has duplicated its request. Only
                // the client's answer tells: it acknowledges the new transfer or rejects it (RFC 1350, section 4).
                true => replaces = Some(name),
                // The client has abandoned its earlier request, and one that this was to replace.
                false => {
                    let replaced = known.replaces;
                    self.finish(name, TftpOutcome::Aborted);
                    replaced.into_iter().for_each(|replaced| self.finish(replaced, TftpOutcome::Aborted));
                }
            }
        }
        let fault = self.handler.fault(from);
        if let Some(TftpFault::Error(code)) = fault {
            self.handler.refuse(from, &request.name, request.mode, code);
            return Err(packet::error(code, "request failed"));
        }
        let opened = match fault {
            Some(TftpFault::Missing) => self.handler.miss(from, &request.name, request.mode),
            _ => self.handler.open(from, &request.name, request.mode),
        };
        let Opened { source, size, mut delivery } = opened.map_err(|missing| refusal(&missing))?;
        if self.transfers.len() >= MOST_TRANSFERS {
            let unsure = self.transfers.iter().filter(|(_, transfer)| !transfer.machine.confirmed());
            // Drop the oldest transfer without an answer: its source address is the most likely to be spoofed.
            let oldest = unsure.min_by_key(|(_, transfer)| transfer.began).map(|(name, _)| *name);
            let busy = || packet::error(0, "too many transfers; try again later");
            self.finish(oldest.ok_or_else(busy)?, TftpOutcome::Vanished);
        }
        let terms = {
            let largest = self.listeners[listener].largest;
            match &fault {
                Some(TftpFault::Size(said)) => agree(&request, largest, Some(said.0.0)),
                Some(TftpFault::NoOptions) => {
                    agree(&Request { options: Vec::new(), ..request.clone() }, largest, Some(size))
                }
                _ => agree(&request, largest, Some(size)),
            }
        };
        let stall = match fault {
            Some(TftpFault::Stall(block)) => Some(u64::from(block)),
            _ => None,
        };
        let socket = beside(&self.listeners[listener].socket).and_then(|socket| {
            self.epoll.add(&socket, EpollEvent::new(EpollFlags::EPOLLIN, self.next))?;
            Ok(socket)
        });
        let socket = socket.map_err(|error| {
            self.handler.note(&error);
            packet::error(0, "server is out of resources; try again later")
        })?;
        delivery.blksize = u32::try_from(terms.block).ok();
        delivery.windowsize = Some(terms.window);
        let (machine, first) = Machine::start(terms, now);
        let transfer = Outgoing {
            socket,
            client: from,
            listener,
            request,
            began: now,
            machine,
            source,
            delivery,
            replaces,
            stall,
        };
        self.transfers.insert(self.next, transfer);
        self.by_client.insert((listener, from), self.next);
        self.with(self.next, |_| first);
        self.next += 1;
        Ok(())
    }

    /// Receives one packet of a transfer; returns whether there was one.
    fn receive(&mut self, name: u64) -> bool {
        let Some(transfer) = self.transfers.get_mut(&name) else { return false };
        let mut buffer = [0; LARGEST];
        let (length, from) = match transfer.socket.recv_from(&mut buffer) {
            Ok(received) => received,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return false,
            Err(error) => {
                self.handler.note(&error);
                return false;
            }
        };
        let said = packet::parse(&buffer[..length]);
        if from != transfer.client {
            if !matches!(said, Ok(Packet::Error { .. })) && self.handler.may_ask(from) {
                transfer.socket.send_to(&unknown_id(), from).ok();
            }
            return true;
        }
        let now = self.handler.now();
        match said {
            Ok(Packet::Ack(number)) => {
                if let Some(replaced) = transfer.replaces.take() {
                    self.finish(replaced, TftpOutcome::Aborted);
                }
                self.with(name, |transfer| {
                    let follows = transfer.machine.on_ack(number, now);
                    transfer.delivery.came_to(transfer.machine.bytes());
                    follows
                });
            }
            Ok(Packet::Error { .. }) => self.with(name, |transfer| transfer.machine.on_error()),
            // Not valid in a running transfer: answer with an error, but do not end the transfer.
            Ok(Packet::Read(_) | Packet::Write(_) | Packet::Stray) | Err(_) => {
                transfer.socket.send_to(&unknown_id(), from).ok();
            }
        }
        true
    }

    /// Passes an input to a transfer's machine and carries out its action.
    fn with(&mut self, name: u64, ask: impl FnOnce(&mut Outgoing) -> Action) {
        let Some(transfer) = self.transfers.get_mut(&name) else { return };
        let ended = match ask(transfer) {
            Action::Nothing => return,
            Action::Offer => {
                transfer.offer();
                self.expires = self.expires.min(transfer.machine.deadline());
                return;
            }
            Action::Send { first, most } => match transfer.send(first, most, &mut self.workbench) {
                Ok(()) => {
                    self.expires = self.expires.min(transfer.machine.deadline());
                    return;
                }
                Err(error) => {
                    self.handler.note(&error);
                    transfer.socket.send_to(&packet::error(0, "cannot read the file"), transfer.client).ok();
                    TftpOutcome::Failed
                }
            },
            Action::Finish(end) => match end {
                End::Sent => TftpOutcome::Sent,
                End::Probed => TftpOutcome::Probed,
                End::Aborted => TftpOutcome::Aborted,
                End::Vanished => TftpOutcome::Vanished,
            },
        };
        self.finish(name, ended);
    }

    fn finish(&mut self, name: u64, outcome: TftpOutcome) {
        if let Some(mut transfer) = self.transfers.remove(&name) {
            let client = (transfer.listener, transfer.client);
            if self.by_client.get(&client) == Some(&name) {
                match transfer.replaces.filter(|replaced| self.transfers.contains_key(replaced)) {
                    // The duplicate of a request was rejected; its transfer goes on.
                    Some(replaced) => self.by_client.insert(client, replaced),
                    None => self.by_client.remove(&client),
                };
            }
            transfer.delivery.retransmits = transfer.machine.retransmits();
            transfer.delivery.tell(outcome);
        }
    }
}

impl Drop for Outgoing {
    fn drop(&mut self) {
        self.delivery.retransmits = self.machine.retransmits();
    }
}

impl Outgoing {
    fn offer(&self) {
        if self.stall == Some(0) {
            return;
        }
        // A lost packet is sent again.
        self.socket.send_to(&packet::options(&self.machine.terms().answer), self.client).ok();
    }

    /// Sends blocks starting with `first`. Fails only if they cannot be read.
    fn send(&mut self, first: u64, most: u16, workbench: &mut Buffers) -> io::Result<()> {
        let block = self.machine.terms().block;
        let wanted = block * usize::from(most);
        if workbench.content.len() < HEAD + wanted {
            workbench.content.resize(HEAD + wanted, 0);
        }
        let at = (first - 1) * block as u64;
        let read = self.source.read(at, &mut workbench.content[HEAD..HEAD + wanted])?;
        let (blocks, end) =
            if read == wanted { (most, None) } else { ((read / block) as u16 + 1, Some(at + read as u64)) };
        let kept = self.stall.map_or(u64::from(blocks), |stall| stall.saturating_sub(first));
        match usize::try_from(kept).unwrap_or(usize::MAX) {
            0 => {}
            kept if kept < usize::from(blocks) => {
                workbench.send(&self.socket, self.client, first, kept, block, kept * block);
            }
            _ => workbench.send(&self.socket, self.client, first, usize::from(blocks), block, read),
        }
        self.machine.went(first, blocks, end);
        Ok(())
    }
}

impl Buffers {
    /// Sends the first `length` bytes of the content as blocks. A send error counts as a lost packet.
    fn send(
        &mut self,
        socket: &UdpSocket,
        to: SocketAddr,
        first: u64,
        blocks: usize,
        block: usize,
        length: usize,
    ) {
        if blocks == 1 {
            self.content[..HEAD].copy_from_slice(&packet::head(first));
            socket.send_to(&self.content[..HEAD + length], to).ok();
            return;
        }
        let content = &self.content[HEAD..HEAD + length];
        let heads: Vec<[u8; HEAD]> = (first..first + blocks as u64).map(packet::head).collect();
        let pieces: Vec<IoSlice<'_>> = heads
            .iter()
            .enumerate()
            .flat_map(|(index, head)| {
                let start = index * block;
                let piece = &content[start..content.len().min(start + block)];
                [IoSlice::new(head), IoSlice::new(piece)]
            })
            .collect();
        let size = HEAD + block;
        let to = SockaddrStorage::from(to);
        for packets in pieces.chunks(2 * Segments::most(size)) {
            if packets.len() > 2 && self.segments.send(socket.as_raw_fd(), packets, size, &to) {
                continue;
            }
            for packet in packets.chunks(2) {
                sendmsg(socket.as_raw_fd(), packet, &[], MsgFlags::empty(), Some(&to)).ok();
            }
        }
    }
}

fn unknown_id() -> Vec<u8> {
    packet::error(packet::UNKNOWN_ID, "unknown transfer ID")
}
