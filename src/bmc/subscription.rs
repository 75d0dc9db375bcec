//! Who is told of events, and the events that nobody was told of yet.

use std::collections::VecDeque;

use super::media::Secret;

/// How many subscriptions there can be.
pub const MOST: usize = 32;

/// How many events wait to be told; the oldest makes room.
const WAITING: usize = 256;

/// How a subscriber is reached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Destination {
    /// By POST to a URL.
    Push {
        /// The URL.
        url: String,
        /// Headers that the subscriber wants.
        headers: Vec<(String, Secret)>,
        /// Whether the certificate is verified.
        verifies_certificate: bool,
    },
    /// By a stream that it keeps open.
    Stream,
}

/// A subscription.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subscription {
    /// Its number.
    pub id: u32,
    /// How the subscriber is reached.
    pub destination: Destination,
    /// What the subscriber wants to find in each event.
    pub context: Option<String>,
    /// Which registries it wants messages of; empty for all.
    pub prefixes: Vec<String>,
    /// Which kinds of resources it wants events of; empty for all.
    pub resources: Vec<String>,
}

/// A change that is an event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Happened {
    /// When, in seconds since 1970.
    pub at: u32,
    /// The message: registry and key.
    pub message: (&'static str, &'static str),
    /// Its arguments.
    pub arguments: Vec<String>,
    /// The resource that changed.
    pub origin: String,
    /// The kind of that resource.
    pub resource: &'static str,
}

/// The subscriptions of a BMC.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Subscriptions {
    all: Vec<Subscription>,
    last: u32,
    waiting: VecDeque<Happened>,
    /// The number of the last event that was told.
    told: u64,
}

impl Subscriptions {
    /// Adds a subscription; returns its number, or `None` if there are too many.
    pub fn add(&mut self, make: impl FnOnce(u32) -> Subscription) -> Option<u32> {
        if self.all.len() >= MOST {
            return None;
        }
        self.last = self.last.wrapping_add(1);
        self.all.push(make(self.last));
        Some(self.last)
    }

    /// Returns a subscription by number.
    pub fn get(&self, id: u32) -> Option<&Subscription> {
        self.all.iter().find(|subscription| subscription.id == id)
    }

    /// Returns a subscription by number, to be changed.
    pub fn get_mut(&mut self, id: u32) -> Option<&mut Subscription> {
        self.all.iter_mut().find(|subscription| subscription.id == id)
    }

    /// Returns the subscriptions, oldest first.
    pub fn iter(&self) -> impl Iterator<Item = &Subscription> {
        self.all.iter()
    }

    /// Removes a subscription: its subscriber asked for that, or its stream was closed.
    pub fn remove(&mut self, id: u32) -> Option<Subscription> {
        let index = self.all.iter().position(|subscription| subscription.id == id)?;
        Some(self.all.remove(index))
    }

    /// Removes the subscriptions that end with the BMC's web service: the streams.
    pub fn end_streams(&mut self) {
        self.all.retain(|subscription| subscription.destination != Destination::Stream);
    }

    /// Adds an event.
    pub fn add_event(&mut self, event: Happened) {
        // Nobody listens: nobody will ever be told.
        if self.all.is_empty() {
            return;
        }
        if self.waiting.len() == WAITING {
            self.waiting.pop_front();
        }
        self.waiting.push_back(event);
    }

    /// Takes the events that nobody was told of yet, each with its number.
    pub fn take(&mut self) -> Vec<(u64, Happened)> {
        let first = self.told + 1;
        let waiting: Vec<_> = (first..).zip(self.waiting.drain(..)).collect();
        self.told += waiting.len() as u64;
        waiting
    }
}
