//! The sessions that are logged in.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use super::super::crypto::{BLOCK, Keys};
use super::super::packet::{self, PayloadType};
use super::super::privilege::Privilege;
use super::super::window::{Inbound, Outbound};
use super::replies::Replies;
use super::world::{Asker, User};

/// A session.
#[derive(Debug)]
pub(super) struct Session {
    /// The session id that the console chose.
    pub(super) console: u32,
    /// The session id that the BMC chose.
    pub(super) bmc: u32,
    /// The number of the session's slot, from 1.
    pub(super) handle: u8,
    pub(super) user: User,
    pub(super) name: Vec<u8>,
    /// The highest privilege that the login asked for and the user may have.
    pub(super) limit: Privilege,
    /// The present privilege.
    // Invariant: privilege <= limit.
    pub(super) privilege: Privilege,
    /// Where the last packet came from.
    pub(super) peer: SocketAddr,
    /// When the last packet came.
    pub(super) heard: Duration,
    /// How many commands were run.
    pub(super) commands: u32,
    pub(super) replies: Replies,
    /// The proof of RAKP 3 and the check value of RAKP 4, in case that RAKP 4 was lost.
    pub(super) login: (Vec<u8>, Vec<u8>),
    pub(super) keys: Keys,
    pub(super) inbound: Inbound,
    pub(super) outbound: Outbound,
}

impl Session {
    /// Seals a payload to the console with the next sequence number.
    pub(super) fn seal(
        &mut self,
        kind: PayloadType,
        payload: &[u8],
        random: &mut dyn FnMut(&mut [u8]),
    ) -> Vec<u8> {
        let mut vector = [0; BLOCK];
        random(&mut vector);
        packet::seal(&self.keys, self.console, self.outbound.take(), kind, payload, &vector)
    }

    /// Says who asks.
    pub(super) fn asker(&self, channel: u8) -> Asker {
        Asker {
            user: self.user.id,
            name: self.name.clone(),
            privilege: self.privilege,
            session: self.bmc,
            channel,
            from: self.peer,
        }
    }
}

/// The sessions by the id that the BMC chose.
#[derive(Debug)]
pub(super) struct Sessions {
    slots: usize,
    sessions: BTreeMap<u32, Session>,
}

impl Sessions {
    /// Makes room for a number of sessions.
    pub(super) fn new(slots: usize) -> Self {
        Self { slots: slots.clamp(1, 63), sessions: BTreeMap::new() }
    }

    pub(super) fn slots(&self) -> usize {
        self.slots
    }

    pub(super) fn count(&self) -> usize {
        self.sessions.len()
    }

    pub(super) fn get(&self, id: u32) -> Option<&Session> {
        self.sessions.get(&id)
    }

    pub(super) fn get_mut(&mut self, id: u32) -> Option<&mut Session> {
        self.sessions.get_mut(&id)
    }

    /// Iterates in the order of their slots.
    pub(super) fn by_handle(&self) -> Vec<&Session> {
        let mut sessions: Vec<_> = self.sessions.values().collect();
        sessions.sort_by_key(|session| session.handle);
        sessions
    }

    /// Returns the lowest free slot.
    pub(super) fn free_handle(&self) -> Option<u8> {
        (1..=self.slots as u8).find(|handle| self.sessions.values().all(|session| session.handle != *handle))
    }

    pub(super) fn insert(&mut self, session: Session) {
        self.sessions.insert(session.bmc, session);
    }

    pub(super) fn remove(&mut self, id: u32) {
        self.sessions.remove(&id);
    }

    /// Drops the sessions of a user.
    pub(super) fn remove_user(&mut self, user: u8) {
        self.sessions.retain(|_, session| session.user.id != user);
    }

    /// Drops the sessions that were silent for too long.
    pub(super) fn expire(&mut self, now: Duration, timeout: Duration) {
        self.sessions.retain(|_, session| now < session.heard + timeout);
    }

    /// Returns when the first session ends unless it is heard.
    pub(super) fn deadline(&self, timeout: Duration) -> Option<Duration> {
        self.sessions.values().map(|session| session.heard + timeout).min()
    }
}
