//! Logins: Open Session and RAKP until a session begins.
//!
//! ```text
//!                 RAKP 1                    RAKP 3
//! Open ──▶ Pending ─────▶ Pending + Challenge ────▶ Established
//!             │ silence: forgotten   │ wrong proof: counted, forgotten
//! ```
//!
//! A repeated message gets the same answer again, for networks lose and repeat packets.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use super::super::crypto;
use super::super::handshake::{OpenRequest, OpenResponse, Rakp1, Rakp2, Rakp3, Rakp4, Reply, Status};
use super::super::privilege::Privilege;
use super::super::rakp::{Facts, LONGEST_NAME};
use super::super::suite::Cipher;
use super::lockout::Lockout;
use super::settings::{HighestPrivilege, Settings, UnknownUser};
use super::world::{User, World};

/// Random bytes.
type Random<'a> = &'a mut dyn FnMut(&mut [u8]);

/// The logins under way, by the session id that the BMC chose.
#[derive(Debug)]
pub(super) struct Logins {
    pending: BTreeMap<u32, Pending>,
    lockout: Lockout,
}

#[derive(Debug)]
struct Pending {
    from: SocketAddr,
    /// When it last made progress.
    moved: Duration,
    request: OpenRequest,
    response: OpenResponse,
    cipher: Cipher,
    challenge: Option<Challenge>,
}

#[derive(Debug)]
struct Challenge {
    facts: Facts,
    user: User,
    limit: Privilege,
}

/// A login that succeeded.
#[derive(Debug)]
pub(super) struct Established {
    pub(super) facts: Facts,
    pub(super) user: User,
    /// The highest privilege of the session.
    pub(super) limit: Privilege,
    /// The session integrity key.
    pub(super) integrity_key: Vec<u8>,
    /// The proof of RAKP 3.
    pub(super) proof: Vec<u8>,
    /// The answer.
    pub(super) rakp4: Rakp4,
}

/// What RAKP 3 leads to.
#[derive(Debug)]
pub(super) enum Verdict {
    /// A session, unless there is no room.
    Established(Box<Established>),
    /// An answer that refuses.
    Refused(Reply<Rakp4>),
    /// No answer.
    Silence,
}

impl Logins {
    pub(super) fn new(settings: &Settings) -> Self {
        Self { pending: BTreeMap::new(), lockout: Lockout::new(settings.lockout) }
    }

    /// Answers Open Session. `is_taken` tells which session ids exist.
    pub(super) fn open(
        &mut self,
        now: Duration,
        from: SocketAddr,
        request: OpenRequest,
        settings: &Settings,
        is_taken: &dyn Fn(u32) -> bool,
        random: Random<'_>,
    ) -> Reply<OpenResponse> {
        let same = |pending: &&Pending| pending.from == from && pending.request == request;
        if let Some(pending) = self.pending.values().rev().find(same).filter(|same| same.challenge.is_none())
        {
            return Reply::Accepted(pending.response.clone());
        }
        let refused = |status| Reply::Refused { tag: request.tag, status, console: request.console };
        let Some(cipher) = settings.accepted.iter().copied().find(|cipher| request.admits(cipher.suite()))
        else {
            return refused(Status::NoSuite);
        };
        if request.console == 0 {
            return refused(Status::InvalidSession);
        }
        let of_source = self.pending.values().filter(|pending| pending.from.ip() == from.ip()).count();
        if of_source >= settings.half_open_per_source || self.pending.len() >= settings.half_open {
            return refused(Status::NoResources);
        }
        let free = |id: &u32| *id != 0 && !self.pending.contains_key(id) && !is_taken(*id);
        // 16 random numbers that are all taken: then there is no room.
        let Some(bmc) = (0..16).map(|_| random_number(random)).find(free) else {
            return refused(Status::NoResources);
        };
        let privilege = match (request.privilege, settings.highest_privilege) {
            (Some(privilege), _) => Some(privilege.min(settings.privilege_limit)),
            (None, HighestPrivilege::Resolved) => Some(settings.privilege_limit),
            (None, HighestPrivilege::Echoed) => None,
        };
        let suite = cipher.suite();
        let response = OpenResponse {
            tag: request.tag,
            privilege,
            console: request.console,
            bmc,
            authentication: suite.authentication,
            integrity: suite.integrity,
            confidentiality: suite.confidentiality,
        };
        let reply = Reply::Accepted(response.clone());
        self.pending.insert(bmc, Pending { from, moved: now, request, response, cipher, challenge: None });
        reply
    }

    /// Answers RAKP 1; `None` if an unknown user gets no answer.
    pub(super) fn rakp1(
        &mut self,
        now: Duration,
        from: SocketAddr,
        message: Rakp1,
        settings: &Settings,
        world: &dyn World,
        random: Random<'_>,
    ) -> Option<Reply<Rakp2>> {
        let Rakp1 { tag, bmc, random: console_random, role, name } = message;
        let Some(pending) = self.pending.get_mut(&bmc).filter(|pending| pending.from.ip() == from.ip())
        else {
            return Some(Reply::Refused { tag, status: Status::InvalidSession, console: 0 });
        };
        let console = pending.request.console;
        let refused = |status| Some(Reply::Refused { tag, status, console });
        if name.len() > LONGEST_NAME {
            return refused(Status::InvalidNameLength);
        }
        let user = world.user(&name).filter(|user| user.enabled);
        let locked = self.lockout.is_locked(now, &name, from.ip());
        let Some(user) = user.filter(|_| !locked) else {
            return match settings.unknown_user {
                UnknownUser::Refused => refused(Status::UnauthorisedName),
                UnknownUser::Ignored => None,
            };
        };
        let opened = pending.response.privilege.unwrap_or(settings.privilege_limit);
        let limit = match (role.level(), Privilege::parse(role.level())) {
            (0, _) => user.limit.min(opened),
            (_, None) => return refused(Status::InvalidRole),
            (_, Some(privilege)) if privilege > user.limit => return refused(Status::UnauthorisedRole),
            (_, Some(privilege)) if privilege > opened => return refused(Status::InvalidRole),
            (_, Some(privilege)) => privilege,
        };
        let facts = match &pending.challenge {
            // Only the answer was lost: the proof in it must stay the same.
            Some(Challenge { facts, .. })
                if facts.console_random == console_random && facts.role == role.0 && facts.name == name =>
            {
                facts.clone()
            }
            Some(_) | None => {
                let mut bmc_random = [0; 16];
                random(&mut bmc_random);
                Facts {
                    cipher: pending.cipher,
                    console,
                    bmc,
                    console_random,
                    bmc_random,
                    guid: world.guid(),
                    role: role.0,
                    name,
                }
            }
        };
        let reply = Rakp2 {
            tag,
            console,
            random: facts.bmc_random,
            guid: facts.guid,
            proof: facts.bmc_proof(&user.password),
        };
        pending.moved = now;
        pending.challenge = Some(Challenge { facts, user, limit });
        Some(Reply::Accepted(reply))
    }

    /// Judges RAKP 3. The login is over with any verdict but [`Verdict::Silence`].
    pub(super) fn rakp3(
        &mut self,
        now: Duration,
        from: SocketAddr,
        message: &Rakp3,
        world: &dyn World,
    ) -> Verdict {
        let Rakp3 { tag, status, bmc, proof } = message;
        let known = self.pending.get(bmc).is_some_and(|pending| pending.from.ip() == from.ip());
        if *status != Status::Ok {
            // The console gave up, and wants no answer.
            if known {
                self.pending.remove(bmc);
            }
            return Verdict::Silence;
        }
        let refused = |status, console| Verdict::Refused(Reply::Refused { tag: *tag, status, console });
        if !known {
            return refused(Status::InvalidSession, 0);
        }
        let Some(Pending { challenge, request, .. }) = self.pending.remove(bmc) else {
            return Verdict::Silence;
        };
        let Some(Challenge { facts, user, limit }) = challenge else {
            return refused(Status::InactiveSession, request.console);
        };
        if !crypto::equal(&facts.console_proof(&user.password), proof) {
            self.lockout.failed(now, &facts.name, from.ip());
            return refused(Status::InvalidCheckValue, request.console);
        }
        self.lockout.succeeded(&facts.name, from.ip());
        let k_g = world.k_g();
        let integrity_key = facts.integrity_key(&user.password, k_g.as_ref().map(<[u8; 20]>::as_slice));
        let check_value = facts.check_value(&integrity_key);
        let rakp4 = Rakp4 { tag: *tag, console: request.console, check_value };
        Verdict::Established(Box::new(Established {
            facts,
            user,
            limit,
            integrity_key,
            proof: proof.clone(),
            rakp4,
        }))
    }

    /// Forgets logins that rest for too long.
    pub(super) fn expire(&mut self, now: Duration, timeout: Duration) {
        self.pending.retain(|_, pending| now < pending.moved + timeout);
    }

    /// Returns when the first login is forgotten.
    pub(super) fn deadline(&self, timeout: Duration) -> Option<Duration> {
        self.pending.values().map(|pending| pending.moved + timeout).min()
    }
}

fn random_number(random: Random<'_>) -> u32 {
    let mut number = [0; 4];
    random(&mut number);
    u32::from_le_bytes(number)
}
