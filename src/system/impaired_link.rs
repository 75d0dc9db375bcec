//! A link that loses, delays and reorders frames, and drops long ones.
//!
//! It does in user space what the kernel's `netem` does, which many kernels are built without. The port of a machine
//! moves to a bridge of its own, and a thread passes frames between that bridge and the one of the network, through a
//! TAP on each:
//!
//! ```text
//! port ── inner bridge ── inner TAP ⇄ thread ⇄ outer TAP ── bridge of the network
//! ```
//!
//! A packet socket on the port would need only one TAP, but receives frames before the kernel divides them into TCP
//! segments, so that a lost one would be up to 64 KiB. The port would also be an interface outside of any bridge, on
//! which the kernel answers ARP. What the kernel hands to a TAP are frames as on a wire, with checksums and VLAN tags.
//! Must never interpret a frame beyond its length.

mod fate;
mod transit;

use std::borrow::Cow;
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::AsFd;
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, ppoll};
use nix::sys::eventfd::{EfdFlags, EventFd};

use self::fate::{Fate, Fates, packet_length};
use self::transit::Transit;
use super::netlink::{Netlink, NetlinkError};
use crate::hint::Hint;
use crate::name::IfName;

/// More than the longest frame: the largest MTU, with header and tags.
const LONGEST: usize = 66 << 10;

/// How many frames of one direction are read before those of the other, and before those that arrive meanwhile.
const BATCH: usize = 64;

/// What a link does to the frames that pass it, to those of each direction by itself.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Impairment {
    /// Of a hundred frames, how many are lost.
    pub loss: u8,
    /// The largest IP packet that passes, in bytes; longer ones are lost.
    ///
    /// Nobody is told, as behind a link with a smaller MTU whose router sends no ICMP.
    pub largest: Option<u16>,
    /// How long each frame takes.
    pub delay: Duration,
    /// Of a hundred frames, how many arrive 20 ms later than the others, after those sent meanwhile.
    pub reorder: u8,
    /// No frame passes until the link exists for so long.
    pub silence: Duration,
}

/// The interfaces of an impaired link. The last three exist only as long as the link.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LinkInterfaces {
    /// The port of the machine: its TAP, or our end of a veth pair.
    pub port: IfName,
    /// The bridge of the network, on which the port is.
    pub bridge: IfName,
    /// The MTU of the network.
    pub mtu: u16,
    /// The bridge on which the port is meanwhile.
    pub inner_bridge: IfName,
    /// The TAP beside the port there.
    pub inner_tap: IfName,
    /// The TAP that is on the bridge of the network in place of the port.
    pub outer_tap: IfName,
}

/// A link that could not be impaired.
#[derive(Debug, thiserror::Error)]
pub enum ImpairedLinkError {
    /// Its interfaces could not be changed.
    #[error("cannot impair the link of `{port}`")]
    Interfaces {
        /// The port.
        port: IfName,
        /// The cause.
        #[source]
        source: NetlinkError,
    },
    /// The port is elsewhere already.
    #[error("cannot impair the link of `{port}`: it is not on bridge `{bridge}`")]
    NotOnBridge {
        /// The port.
        port: IfName,
        /// The bridge.
        bridge: IfName,
    },
    /// The thread could not be started.
    #[error("cannot start the thread that passes the frames of `{port}`")]
    Thread {
        /// The port.
        port: IfName,
        /// The cause.
        #[source]
        source: io::Error,
    },
}

impl Hint for ImpairedLinkError {
    fn hint(&self) -> Option<Cow<'static, str>> {
        match self {
            Self::Interfaces { source, .. } => source.hint(),
            Self::NotOnBridge { .. } | Self::Thread { .. } => None,
        }
    }
}

/// An impaired link. Dropping it ends the traffic; [`ImpairedLink::end`] puts the port back, too.
///
/// The TAPs vanish with their descriptors, at the latest with this process. The inner bridge stays until
/// [`ImpairedLink::restore`], or until the network namespace ends.
#[derive(Debug)]
pub struct ImpairedLink {
    interfaces: LinkInterfaces,
    stop: Arc<EventFd>,
    // Is there until the drop.
    thread: Option<JoinHandle<()>>,
}

impl ImpairedLink {
    /// Impairs the link of a port in the network namespace of this thread.
    ///
    /// The seed decides which frames are lost and which are overtaken.
    pub async fn start(
        netlink: &Netlink,
        interfaces: LinkInterfaces,
        impairment: Impairment,
        seed: u64,
    ) -> Result<Self, ImpairedLinkError> {
        let LinkInterfaces { port, inner_bridge, .. } = &interfaces;
        let failed = |source| ImpairedLinkError::Interfaces { port: port.clone(), source };
        // Nothing is to be restored if this fails: the bridge may be that of another impaired link of the port.
        netlink.hub(inner_bridge, &alias(port)).await.map_err(failed)?;
        let started = Self::start_on_hub(netlink, &interfaces, impairment, seed).await;
        if started.is_err() {
            // The first error is the one to report.
            Self::restore(netlink, &interfaces).await.ok();
        }
        started
    }

    async fn start_on_hub(
        netlink: &Netlink,
        interfaces: &LinkInterfaces,
        impairment: Impairment,
        seed: u64,
    ) -> Result<Self, ImpairedLinkError> {
        let LinkInterfaces { port, bridge, mtu, inner_bridge, inner_tap, outer_tap } = interfaces;
        let failed = |source| ImpairedLinkError::Interfaces { port: port.clone(), source };
        let alias = alias(port);
        let inner = netlink.transient_tap(inner_tap, inner_bridge, &alias, *mtu).await.map_err(failed)?;
        let outer = netlink.transient_tap(outer_tap, bridge, &alias, *mtu).await.map_err(failed)?;
        let link = Self::relay(interfaces, [inner, outer], impairment, seed)
            .map_err(|source| ImpairedLinkError::Thread { port: port.clone(), source })?;
        // Until here the port is connected by its bridge, and frames of the outer TAP end at the inner bridge.
        match netlink.replug(port, bridge, inner_bridge).await.map_err(failed)? {
            true => Ok(link),
            false => Err(ImpairedLinkError::NotOnBridge { port: port.clone(), bridge: bridge.clone() }),
        }
    }

    /// Starts the thread.
    fn relay(
        interfaces: &LinkInterfaces,
        [inner, outer]: [File; 2],
        impairment: Impairment,
        seed: u64,
    ) -> io::Result<Self> {
        let flags = EfdFlags::EFD_CLOEXEC | EfdFlags::EFD_NONBLOCK;
        let stop = Arc::new(EventFd::from_flags(flags)?);
        let relay = Relay {
            taps: [inner, outer],
            // Two directions with the same seed would lose the same frames.
            ways: [seed, !seed].map(|seed| Way::new(impairment, seed)),
            buffer: vec![0; LONGEST],
            stop: Arc::clone(&stop),
            start: now(),
        };
        let thread = thread::Builder::new().name("link".to_owned()).spawn(move || relay.run())?;
        Ok(Self { interfaces: interfaces.clone(), stop, thread: Some(thread) })
    }

    /// Connects the port to its bridge as before. Frames on their way are lost.
    pub async fn end(self, netlink: &Netlink) -> Result<(), ImpairedLinkError> {
        let interfaces = self.interfaces.clone();
        drop(self);
        Self::restore(netlink, &interfaces).await
    }

    /// Undoes what is left of an impaired link whose process may have been killed. Tolerates that some or all of it is
    /// gone, also the port.
    pub async fn restore(netlink: &Netlink, interfaces: &LinkInterfaces) -> Result<(), ImpairedLinkError> {
        let LinkInterfaces { port, bridge, inner_bridge, mtu: _, inner_tap: _, outer_tap: _ } = interfaces;
        let failed = |source| ImpairedLinkError::Interfaces { port: port.clone(), source };
        let moved = netlink.replug(port, inner_bridge, bridge).await.map_err(failed);
        netlink.delete(inner_bridge).await.map_err(failed)?;
        moved.map(|_| ())
    }
}

impl Drop for ImpairedLink {
    fn drop(&mut self) {
        // The counter of a new eventfd cannot overflow by one, so the thread ends.
        self.stop.write(1).ok();
        if self.thread.take().is_some_and(|thread| thread.join().is_err()) {
            tracing::error!(port = %self.interfaces.port, "the thread of an impaired link has panicked");
        }
    }
}

/// The alias of all interfaces of the link.
fn alias(port: &IfName) -> String {
    format!("dryrack impaired link of {port}")
}

/// The state of the thread.
struct Relay {
    /// On the inner bridge, and on that of the network.
    taps: [File; 2],
    /// From the first TAP to the second, and back.
    ways: [Way; 2],
    buffer: Vec<u8>,
    stop: Arc<EventFd>,
    start: Instant,
}

/// One direction.
struct Way {
    fates: Fates,
    transit: Transit,
}

impl Relay {
    fn run(mut self) {
        loop {
            self.deliver();
            let ready = match self.wait() {
                Ok(Some(ready)) => ready,
                Ok(None) => return,
                Err(error) => return tracing::error!(%error, "an impaired link passes nothing any more"),
            };
            for from in (0..2).filter(|from| ready[*from]) {
                self.accept(from);
            }
        }
    }

    /// Waits for frames, or until one arrives. Returns which TAPs have frames; `None` if the link is to end.
    fn wait(&self) -> io::Result<Option<[bool; 2]>> {
        let next = self.ways.iter().filter_map(|way| way.transit.next()).min();
        let timeout = next.map(|next| next.saturating_sub(self.start.elapsed()).into());
        let fds = [self.stop.as_fd(), self.taps[0].as_fd(), self.taps[1].as_fd()];
        let mut fds = fds.map(|fd| PollFd::new(fd, PollFlags::POLLIN));
        match ppoll(&mut fds, timeout, None) {
            // An interrupted wait is a short one.
            Err(Errno::EINTR) => return Ok(Some([false; 2])),
            done => done?,
        };
        let [stop, taps @ ..] = fds.map(|fd| fd.revents().unwrap_or(PollFlags::empty()));
        // Somebody has deleted the interface. Its descriptor would be ready all the time.
        if taps.iter().any(|tap| tap.contains(PollFlags::POLLERR)) {
            return Err(Errno::ENODEV.into());
        }
        Ok(stop.is_empty().then(|| taps.map(|tap| tap.contains(PollFlags::POLLIN))))
    }

    /// Reads frames of a TAP, and decides about each.
    fn accept(&mut self, from: usize) {
        let Self { taps, ways, buffer, start, stop: _ } = self;
        let (mut source, mut target, way) = (&taps[from], &taps[1 - from], &mut ways[from]);
        for _ in 0..BATCH {
            // Nothing is left, or the wait finds out what is wrong.
            let Ok(length) = source.read(buffer) else { return };
            let frame = &buffer[..length];
            let now = start.elapsed();
            match way.fates.decide(now, packet_length(frame)) {
                Fate::Lost => {}
                // Only frames that it may overtake are on their way.
                Fate::Arrives(at) if at <= now => deliver(&mut target, frame),
                Fate::Arrives(at) => way.transit.send(frame, at),
            }
        }
    }

    /// Delivers the frames that have arrived.
    fn deliver(&mut self) {
        let now = self.start.elapsed();
        for (way, mut target) in self.ways.iter_mut().zip(self.taps.iter().rev()) {
            while let Some(frame) = way.transit.receive(now) {
                deliver(&mut target, &frame);
            }
        }
    }
}

impl Way {
    fn new(impairment: Impairment, seed: u64) -> Self {
        Self { fates: Fates::new(impairment, seed), transit: Transit::default() }
    }
}

/// Delivers a frame. An interface that is down, or gone, loses it, as a link would.
fn deliver(to: &mut impl Write, frame: &[u8]) {
    // A TAP takes a frame whole or not at all.
    to.write_all(frame).ok();
}

#[expect(
    clippy::disallowed_methods,
    reason = "frames are delayed by a clock of this thread; no result depends on it"
)]
fn now() -> Instant {
    Instant::now()
}
