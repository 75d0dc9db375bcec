//! The frames of every network of a run, in one file, by one thread.
//!
//! ```text
//! bridges ──▶ rings ──▶ in the order of their times ──▶ observer ──▶ what is worth keeping ──▶ file
//! ```
//!
//! The thread waits for nobody: it has the rings to itself, and neither the event loop nor a service sees a frame.

use std::collections::VecDeque;
use std::fs::File;
use std::io;
use std::os::fd::AsFd;
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, SystemTime};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::eventfd::{EfdFlags, EventFd};
use nix::sys::socket::{getsockopt, sockopt};

use super::CaptureError;
use super::file::{CaptureFile, Kept};
use super::pcapng::{Packet, Statistics};
use super::source::Source;
use crate::name::{Bytes, IfName};
use crate::system::ring::LAG;

/// The memory of all rings together.
const MEMORY: usize = 8 << 20;

/// How often the counters of the kernel are read, and the file is written at least.
const SPAN: Duration = Duration::from_secs(1);

/// How many frames are read before the file and the clock are looked after again.
const BATCH: usize = 4096;

/// How many batches are read at the end at most.
const LAST_BATCHES: usize = 64;

/// How many notes wait for a frame.
const NOTES: usize = 256;

/// What a recording is about.
#[derive(Debug, Clone)]
pub struct RecordingPlan {
    /// The file, which is created.
    pub path: PathBuf,
    /// The size of the file at most.
    pub size: Bytes,
    /// Of longer frames only the beginning is read.
    pub longest: u32,
    /// The networks, each with its bridge.
    pub networks: Vec<RecordedNetwork>,
}

/// A network that is recorded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecordedNetwork {
    /// Its bridge.
    pub interface: IfName,
    /// The ports of the bridge, some of which may not exist yet.
    pub ports: Vec<IfName>,
    /// Its name in the file.
    pub title: String,
}

/// A frame on a network.
#[derive(Debug, Clone, Copy)]
pub struct SeenFrame<'a> {
    /// The number of the network in the plan.
    pub network: usize,
    /// When, since 1970.
    pub at: Duration,
    /// The number that it has in the file, counted from 1, if it is kept.
    pub number: Option<u64>,
    /// Its bytes from the Ethernet header on, as far as they were read.
    pub data: &'a [u8],
    /// Its length on the wire.
    pub length: usize,
}

/// What went wrong in a recording that goes on.
#[derive(Debug)]
pub enum Trouble {
    /// The kernel has no ring for an interface, so frames are read one by one.
    NoRing {
        /// The interface.
        interface: IfName,
        /// The reason.
        error: io::Error,
    },
    /// Frames were lost before they could be read.
    Lost(u64),
    /// The file has reached its size. Frames are still observed.
    Full(Bytes),
    /// The file cannot be written. Frames are still observed.
    Unwritten(io::Error),
    /// An interface cannot be read.
    Unread(io::Error),
}

/// Sees every frame of a recording, in the order of their times, on the thread of the recording.
pub trait FrameObserver: Send + 'static {
    /// Sees a frame. Returns how many of its bytes are worth keeping; `None` if it does not belong into the file.
    fn frame(&mut self, frame: &SeenFrame<'_>) -> Option<usize>;

    /// Learns the time, since 1970: there will be no frame from before.
    fn time(&mut self, now: Duration);

    /// Learns what went wrong.
    fn trouble(&mut self, trouble: Trouble);
}

/// Comments on the next frame.
#[derive(Debug, Clone, Default)]
pub struct RecordingNotes(Arc<Mutex<VecDeque<(Duration, String)>>>);

impl RecordingNotes {
    /// Adds a comment to the first frame after an instant, in the time since 1970.
    pub fn add(&self, at: Duration, text: String) {
        let mut notes = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if notes.len() == NOTES {
            notes.pop_front();
        }
        notes.push_back((at, text));
    }

    /// Returns the comments on a frame.
    fn take(&self, at: Duration) -> Vec<String> {
        let mut notes = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut texts = Vec::new();
        while notes.front().is_some_and(|(since, _)| *since <= at) {
            texts.extend(notes.pop_front().map(|(_, text)| text));
        }
        texts
    }
}

/// A recording in progress.
#[derive(Debug)]
pub struct Recording {
    stop: Arc<EventFd>,
    thread: JoinHandle<()>,
}

impl Recording {
    /// Opens the interfaces in the network namespace of this thread. Every frame from then on is recorded.
    pub fn start(
        plan: &RecordingPlan,
        notes: RecordingNotes,
        mut observer: impl FrameObserver,
    ) -> Result<Self, CaptureError> {
        let RecordingPlan { path, size, longest, networks } = plan;
        let of_file = |source| CaptureError { of: path.display().to_string(), source };
        let file = File::options().write(true).create_new(true).mode(0o600).open(path).map_err(of_file)?;
        let mut file = CaptureFile::new(file, size.0);
        let mut sources = Vec::new();
        for RecordedNetwork { interface, ports: _, title } in networks {
            let failed = |source| CaptureError { of: interface.to_string(), source };
            let (source, without_ring) =
                Source::open(interface, MEMORY / networks.len(), *longest).map_err(failed)?;
            if let Some(error) = without_ring {
                observer.trouble(Trouble::NoRing { interface: interface.clone(), error });
            }
            file.interface(title, *longest);
            sources.push((source, Statistics::default()));
        }
        let failed = |source| CaptureError { of: "the links".to_owned(), source };
        let link_local = Source::link_local().map_err(failed)?;
        sources.extend(link_local.into_iter().map(|source| (source, Statistics::default())));
        file.flush().map_err(of_file)?;
        let failed = |source| CaptureError { of: "the networks".to_owned(), source };
        let flags = EfdFlags::EFD_CLOEXEC | EfdFlags::EFD_NONBLOCK;
        let stop = EventFd::from_flags(flags).map(Arc::new).map_err(|error| failed(error.into()))?;
        let recorder = Recorder {
            ports: networks.iter().map(|network| network.ports.clone()).collect(),
            sources,
            file,
            size: *size,
            notes,
            observer,
            stop: Arc::clone(&stop),
            looked: Duration::ZERO,
        };
        let thread = thread::Builder::new().name("capture".to_owned()).spawn(move || recorder.run());
        Ok(Self { stop, thread: thread.map_err(failed)? })
    }

    /// Ends the recording: what the rings still have is written, then the statistics.
    pub fn end(self) {
        let Self { stop, thread } = self;
        // The counter of a new eventfd cannot overflow by one.
        if stop.write(1).is_ok() && thread.join().is_err() {
            tracing::error!("the thread of the capture has panicked");
        }
    }
}

/// The state of the thread.
struct Recorder<O> {
    /// The ports of each network.
    ports: Vec<Vec<IfName>>,
    /// One for each network, in the same order, and those of all together.
    sources: Vec<(Source, Statistics)>,
    file: CaptureFile,
    size: Bytes,
    notes: RecordingNotes,
    observer: O,
    stop: Arc<EventFd>,
    /// When the counters were read.
    looked: Duration,
}

impl<O: FrameObserver> Recorder<O> {
    fn run(mut self) {
        let mut is_busy = false;
        while !self.wait(is_busy) {
            // Until then every frame was read, even if it is the last one of its ring for a long time.
            let horizon = now().saturating_sub(LAG);
            is_busy = self.read(horizon);
            if !is_busy {
                self.observer.time(horizon);
                self.flush();
            }
            self.look();
        }
        // What is in the rings now, whatever comes meanwhile.
        for _ in 0..LAST_BATCHES {
            if !self.read(Duration::MAX) {
                break;
            }
        }
        self.observer.time(now());
        self.end();
    }

    /// Waits for frames, or for what was left because frames of another interface may be older; not if there are more
    /// frames anyway. Tells whether the recording is to end.
    fn wait(&mut self, is_busy: bool) -> bool {
        let is_held = self.sources.iter_mut().any(|(source, _)| matches!(source.peek(), Ok(Some(_))));
        let timeout = match (is_busy, is_held) {
            (true, _) => Duration::ZERO,
            (false, true) => LAG / 2,
            (false, false) => SPAN,
        };
        let timeout = PollTimeout::try_from(timeout).unwrap_or(PollTimeout::MAX);
        let mut fds = vec![PollFd::new(self.stop.as_fd(), PollFlags::POLLIN)];
        // Held frames would make their interface ready all the time.
        if !is_held {
            fds.extend(self.sources.iter().map(|(source, _)| PollFd::new(source.as_fd(), PollFlags::POLLIN)));
        }
        // An interrupted wait is a short one.
        poll(&mut fds, timeout).ok();
        let is = |fd: &PollFd<'_>, flag| fd.revents().is_some_and(|events| events.contains(flag));
        let is_over = is(&fds[0], PollFlags::POLLIN);
        for (fd, (source, _)) in fds[1..].iter().zip(&self.sources) {
            if is(fd, PollFlags::POLLERR) {
                // The interface is down for now, or gone. Reading the error clears it.
                getsockopt(&source.as_fd(), sockopt::SocketError).ok();
            }
        }
        let ready: Vec<bool> = fds[1..].iter().map(|fd| is(fd, PollFlags::POLLIN)).collect();
        for (index, (source, _)) in self.sources.iter_mut().enumerate() {
            if ready.get(index).copied().unwrap_or(true) {
                source.wake();
            }
        }
        is_over
    }

    /// Reads frames in the order of their times. Tells whether there may be more.
    ///
    /// A frame later than the horizon is only read if every ring has a later one.
    fn read(&mut self, horizon: Duration) -> bool {
        for _ in 0..BATCH {
            let (mut next, mut is_complete): (Option<(usize, Duration)>, bool) = (None, true);
            for (index, (source, _)) in self.sources.iter_mut().enumerate() {
                match source.peek() {
                    Ok(Some(at)) if next.is_none_or(|(_, first)| at < first) => next = Some((index, at)),
                    Ok(Some(_)) => {}
                    Ok(None) => is_complete &= !source.holds_back(),
                    Err(error) => self.observer.trouble(Trouble::Unread(error)),
                }
            }
            let Some((index, at)) = next else { return false };
            // A time in the future is from before the clock was set back.
            if !is_complete && at > horizon && at <= now() {
                return false;
            }
            self.take(index);
        }
        true
    }

    /// Takes the next frame of an interface.
    fn take(&mut self, index: usize) {
        let Self { ports, sources, file, size, notes, observer, .. } = self;
        let Some(frame) = sources[index].0.next() else { return };
        let (at, length) = (frame.at, frame.length);
        // Of all interfaces of the host, only ports of the lab count.
        let network = if index < ports.len() { Some(index) } else { network_of(ports, frame.interface) };
        let Some(network) = network else { return };
        let seen = SeenFrame { network, at, number: file.next_number(), data: &frame.data, length };
        let Some(worth) = observer.frame(&seen) else { return };
        let comments = notes.take(at);
        let data = &frame.data[..frame.data.len().min(worth)];
        let packet = Packet { interface: network, at, direction: None, length, data, comments: &comments };
        match file.packet(&packet) {
            Ok(Kept::Yes | Kept::No) => {}
            Ok(Kept::Last) => observer.trouble(Trouble::Full(*size)),
            Err(error) => observer.trouble(Trouble::Unwritten(error)),
        }
    }

    fn flush(&mut self) {
        if self.file.is_dirty()
            && let Err(error) = self.file.flush()
        {
            self.observer.trouble(Trouble::Unwritten(error));
        }
    }

    /// Reads the counters of the kernel and writes the file, once in a while.
    fn look(&mut self) {
        let now = now();
        if now.saturating_sub(self.looked) >= SPAN || now < self.looked {
            self.looked = now;
            self.count();
            self.flush();
        }
    }

    /// Reads the counters of the kernel.
    fn count(&mut self) {
        let mut lost = 0;
        for (source, statistics) in &mut self.sources {
            match source.statistics() {
                Ok((received, dropped)) => {
                    statistics.received += received;
                    statistics.dropped += dropped;
                    lost += dropped;
                }
                Err(error) => self.observer.trouble(Trouble::Unread(error)),
            }
        }
        if lost > 0 {
            self.observer.trouble(Trouble::Lost(lost));
        }
    }

    fn end(mut self) {
        self.count();
        let of_networks = self.sources.iter().take(self.ports.len());
        let all: Vec<Statistics> = of_networks.map(|(_, statistics)| *statistics).collect();
        if let Err(error) = self.file.end(now(), &all) {
            self.observer.trouble(Trouble::Unwritten(error));
        }
    }
}

/// Returns the network with a port, by the index of its interface.
fn network_of(ports: &[Vec<IfName>], interface: Option<usize>) -> Option<usize> {
    let index = u32::try_from(interface?).ok()?;
    // An interface that is gone has no name.
    let name = nix::net::if_::if_indextoname(index).ok()?.into_string().ok()?;
    ports.iter().position(|ports| ports.iter().any(|port| port.as_str() == name))
}

/// Returns the time since 1970, on the clock of the kernel's timestamps.
#[expect(clippy::disallowed_methods, reason = "frames have the time of this clock")]
fn now() -> Duration {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_of_a_port_belongs_to_its_network() {
        let port = |name: &str| IfName::new(name).unwrap();
        let ports = [vec![port("eth7")], vec![port("eth8"), port("lo")]];
        let index = nix::net::if_::if_nametoindex("lo").unwrap() as usize;
        assert_eq!(network_of(&ports, Some(index)), Some(1));
        assert_eq!(network_of(&ports[..1], Some(index)), None, "an interface of somebody else");
        assert_eq!(network_of(&ports, Some(999_999)), None);
    }

    #[test]
    fn a_comment_is_on_the_first_frame_after_its_instant() {
        let notes = RecordingNotes::default();
        let at = Duration::from_millis;
        notes.add(at(10), "a reached stage dhcp".to_owned());
        notes.add(at(20), "a reached stage nbp".to_owned());
        assert_eq!(notes.take(at(9)), [""; 0]);
        assert_eq!(notes.take(at(15)), ["a reached stage dhcp"]);
        assert_eq!(notes.take(at(25)), ["a reached stage nbp"]);
        for number in 0..1000 {
            notes.add(at(number), number.to_string());
        }
        assert_eq!(notes.take(at(1000)).len(), NOTES, "what waits is bounded");
    }
}
