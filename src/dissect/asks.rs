//! Requests that wait for their answer.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use super::news::{News, Topic};
use super::world::World;
use super::{Context, Seen};
use crate::event::{Exchange, Known, RunTime, Service};
use crate::name::{Mac, NodeName};
use crate::wire::dns::Query;

/// How many requests may wait.
const MOST: usize = 4096;

/// What identifies a request and its repetitions.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) enum Ask {
    /// For the hardware address of an address, on a network.
    Neighbour(usize, IpAddr),
    /// A message type of DHCP, to a boot server or not.
    Dhcp(Mac, u8, bool),
    /// A message type of DHCPv6.
    Dhcp6(Mac, String),
    /// For a router, on a network.
    Router(usize, Ipv6Addr),
    /// To open a connection.
    Connection(SocketAddr, SocketAddr),
    /// For a name: client, server, question.
    Name(IpAddr, IpAddr, Query),
}

/// A request that waits.
#[derive(Debug)]
pub(super) struct Waiting {
    pub(super) segment: usize,
    pub(super) node: Option<NodeName>,
    pub(super) exchange: Option<Exchange>,
    pub(super) service: Service,
    pub(super) what: String,
    pub(super) server: Option<IpAddr>,
    /// How long an answer may take at least. Clients that wait longer between repetitions get as long as they wait.
    pub(super) patience: Duration,
    /// How often it must be sent until it counts as unanswered.
    pub(super) least: u64,
}

#[derive(Debug)]
struct Entry {
    waiting: Waiting,
    last: RunTime,
    deadline: RunTime,
    times: u64,
}

/// The requests that wait.
#[derive(Debug)]
pub(super) struct Asks {
    entries: HashMap<Ask, Entry>,
    /// Not later than any deadline.
    earliest: RunTime,
}

impl Default for Asks {
    fn default() -> Self {
        Self { entries: HashMap::new(), earliest: RunTime::NEVER }
    }
}

impl Asks {
    /// Counts a request.
    pub(super) fn ask(&mut self, ask: Ask, at: RunTime, waiting: impl FnOnce() -> Waiting) {
        if let Some(entry) = self.entries.get_mut(&ask) {
            // Twice the last pause, and half of it again: clients double their pauses.
            let pause = at.since(entry.last) * 5 / 2;
            entry.times += 1;
            entry.last = at;
            entry.deadline = at + entry.waiting.patience.max(pause);
            self.earliest = self.earliest.min(entry.deadline);
        } else if self.entries.len() < MOST {
            let waiting = waiting();
            let deadline = at + waiting.patience;
            self.earliest = self.earliest.min(deadline);
            self.entries.insert(ask, Entry { waiting, last: at, deadline, times: 1 });
        }
    }

    /// Ends a request: it was answered.
    pub(super) fn answered(&mut self, ask: &Ask) {
        self.entries.remove(ask);
    }

    /// Ends requests: they were answered together. Tells whether there was one.
    pub(super) fn answered_all(&mut self, are: impl Fn(&Ask) -> bool) -> bool {
        let before = self.entries.len();
        self.entries.retain(|ask, _| !are(ask));
        self.entries.len() < before
    }

    /// Reports requests that were not answered in time.
    pub(super) fn expire(&mut self, now: RunTime, world: &World, news: &mut News, seen: &mut Vec<Seen>) {
        if now < self.earliest {
            return;
        }
        let mut expired: Vec<Entry> =
            self.entries.extract_if(|_, entry| entry.deadline <= now).map(|(_, entry)| entry).collect();
        self.earliest = self.entries.values().map(|entry| entry.deadline).min().unwrap_or(RunTime::NEVER);
        expired.sort_by(|one, other| {
            (one.deadline, &one.waiting.what).cmp(&(other.deadline, &other.waiting.what))
        });
        for Entry { waiting, deadline, times, .. } in expired {
            if times < waiting.least {
                continue;
            }
            let Waiting { segment, node, exchange, service, what, server, .. } = waiting;
            let network = world.network(segment).clone();
            let known = Known::Unanswered { network, service, what, server, times };
            news.tell(seen, deadline.min(now), Topic::Unanswered, node, exchange, known);
        }
    }

    pub(super) fn deadline(&self) -> RunTime {
        self.earliest
    }
}

impl Context<'_> {
    /// Counts a request.
    pub(super) fn ask(&mut self, ask: Ask, at: RunTime, waiting: impl FnOnce() -> Waiting) {
        self.asks.ask(ask, at, waiting);
    }

    /// Reports what was not answered in time, and what was omitted.
    pub(super) fn expire(&mut self, now: RunTime) {
        self.asks.expire(now, self.world, self.news, self.seen);
        self.news.pass(now, self.seen);
    }

    /// Passes an event on.
    pub(super) fn tell(
        &mut self,
        at: RunTime,
        topic: Topic,
        node: Option<NodeName>,
        exchange: Option<Exchange>,
        known: Known,
    ) {
        self.news.tell(self.seen, at, topic, node, exchange, known);
    }
}
