//! Datagrams in several fragments: messages are put together, of others the first fragment is read.

use std::net::IpAddr;
use std::time::Duration;

use super::bounded::Bounded;
use super::link::{Fragment, Ip, UDP_NUMBER};
use crate::event::RunTime;

/// Datagrams that are put together at the same time.
const MOST: usize = 64;
/// The largest that is put together.
const LARGEST: usize = 16 << 10;
/// How long the rest may take.
const PATIENCE: Duration = Duration::from_secs(2);

type Key = (IpAddr, IpAddr, u32);

/// Datagrams of which parts are missing.
#[derive(Debug)]
pub(super) struct Fragments {
    datagrams: Bounded<Key, Partial>,
}

impl Default for Fragments {
    fn default() -> Self {
        Self { datagrams: Bounded::new(MOST) }
    }
}

#[derive(Debug)]
struct Partial {
    begun: RunTime,
    /// Whether nothing more of it is needed: its first fragment was read, or it is not put together.
    is_done: bool,
    bytes: Vec<u8>,
    parts: Vec<(usize, usize)>,
    length: Option<usize>,
}

/// What becomes of a fragment.
pub(super) enum Whole<'a> {
    /// It is read now; what follows is not needed.
    Now(Ip<'a>),
    /// All parts of the datagram are here.
    Together(Vec<u8>),
    /// Others are missing, or it is not needed.
    Later,
}

/// The ports of protocols whose messages are read as a whole.
fn is_message(payload: &[u8]) -> bool {
    let port = |at: usize| payload.get(at..at + 2).map_or(0, |port| u16::from_be_bytes([port[0], port[1]]));
    [port(0), port(2)].iter().any(|port| matches!(*port, 53 | 67 | 68 | 546 | 547 | 4011))
}

impl Fragments {
    /// Takes a fragment.
    pub(super) fn take<'a>(&mut self, now: RunTime, ip: Ip<'a>, fragment: Fragment) -> Whole<'a> {
        let key = (ip.source, ip.destination, fragment.id);
        let is_new = self.datagrams.get(&key).is_none_or(|known| now.since(known.begun) > PATIENCE);
        if fragment.offset == 0 && (ip.protocol != UDP_NUMBER || !is_message(ip.payload)) {
            self.datagrams.insert(key, Partial::new(now, true));
            return Whole::Now(ip);
        }
        // Some senders begin with the last fragment, and networks may change the order.
        if is_new {
            self.datagrams.insert(key, Partial::new(now, false));
        }
        let Some(partial) = self.datagrams.get_mut(&key).filter(|partial| !partial.is_done) else {
            return Whole::Later;
        };
        let end = fragment.offset + ip.payload.len();
        if end > LARGEST || ip.payload.len() < ip.length {
            *partial = Partial::new(partial.begun, true);
            return Whole::Later;
        }
        if partial.bytes.len() < end {
            partial.bytes.resize(end, 0);
        }
        partial.bytes[fragment.offset..end].copy_from_slice(ip.payload);
        partial.parts.push((fragment.offset, end));
        if !fragment.more {
            partial.length = Some(end);
        }
        if partial.parts.len() > LARGEST / 8 {
            self.datagrams.remove(&key);
            return Whole::Later;
        }
        if !partial.is_whole() {
            return Whole::Later;
        }
        match self.datagrams.remove(&key) {
            Some(partial) => Whole::Together(partial.bytes),
            None => Whole::Later,
        }
    }
}

impl Partial {
    fn new(begun: RunTime, is_done: bool) -> Self {
        Self { begun, is_done, bytes: Vec::new(), parts: Vec::new(), length: None }
    }

    fn is_whole(&mut self) -> bool {
        let Some(length) = self.length else { return false };
        self.parts.sort_unstable();
        let covered = self.parts.iter().fold(
            0,
            |covered, (begin, end)| {
                if *begin <= covered { covered.max(*end) } else { covered }
            },
        );
        covered >= length
    }
}
