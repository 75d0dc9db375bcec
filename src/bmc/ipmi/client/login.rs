//! One login: Open Session and RAKP as the console does it.

use std::time::Duration;

use super::super::crypto::{self, Keys};
use super::super::handshake::{OpenRequest, OpenResponse, Rakp1, Rakp2, Rakp3, Rakp4, Reply, Role, Status};
use super::super::packet::{self, PayloadType, Plus};
use super::super::rakp::Facts;
use super::super::suite::Cipher;
use super::error::{Error, Step};
use super::retry::{Due, Retry};
use super::settings::Settings;

/// Random bytes.
type Random<'a> = &'a mut dyn FnMut(&mut [u8]);

/// A login under way.
#[derive(Debug)]
pub(super) struct Login {
    pub(super) cipher: Cipher,
    console: u32,
    stage: Stage,
    /// The datagram that waits for its answer.
    packet: Vec<u8>,
    retry: Retry,
}

/// Which answer is awaited.
#[derive(Debug)]
enum Stage {
    Open,
    Rakp2 { bmc: u32, random: [u8; 16] },
    Rakp4 { facts: Box<Facts>, integrity_key: Vec<u8> },
}

/// Each message has its tag, so that late answers to earlier ones are told apart.
const OPEN_TAG: u8 = 1;
const RAKP1_TAG: u8 = 2;
const RAKP3_TAG: u8 = 3;

/// What an answer leads to.
#[derive(Debug)]
pub(super) enum Verdict {
    /// Nothing: it was not the answer.
    Wait,
    /// The next message.
    Send(Vec<u8>),
    /// A session.
    Established { console: u32, bmc: u32, keys: Keys },
    /// Another suite may do.
    OtherSuite,
    /// The BMC forgot the login: start again.
    Again(Error),
    /// The end, and a last datagram.
    Failed(Error, Option<Vec<u8>>),
}

impl Login {
    /// Begins; returns the first datagram.
    pub(super) fn start(
        now: Duration,
        settings: &Settings,
        cipher: Cipher,
        random: Random<'_>,
    ) -> (Self, Vec<u8>) {
        let mut console = [0; 4];
        random(&mut console);
        let console = u32::from_le_bytes(console).max(1);
        let request = OpenRequest::new(OPEN_TAG, Some(settings.privilege), console, cipher.suite());
        let packet = packet::plain(PayloadType::OpenRequest, &request.encode());
        let retry = Retry::new(now, settings);
        (Self { cipher, console, stage: Stage::Open, packet: packet.clone(), retry }, packet)
    }

    /// Returns when to poll.
    pub(super) fn due(&self) -> Duration {
        self.retry.due
    }

    /// Returns the datagram to repeat.
    ///
    /// # Errors
    ///
    /// What the BMC did not answer to.
    pub(super) fn poll(&mut self, now: Duration) -> Result<Option<Vec<u8>>, Step> {
        match self.retry.poll(now) {
            Due::Nothing => Ok(None),
            Due::Again => Ok(Some(self.packet.clone())),
            Due::GiveUp => Err(self.step()),
        }
    }

    fn step(&self) -> Step {
        match self.stage {
            Stage::Open => Step::Open,
            Stage::Rakp2 { .. } => Step::Rakp2,
            Stage::Rakp4 { .. } => Step::Rakp4,
        }
    }

    /// Takes a packet outside of sessions.
    pub(super) fn receive(
        &mut self,
        now: Duration,
        plus: &Plus<'_>,
        settings: &Settings,
        random: Random<'_>,
    ) -> Verdict {
        let verdict = match (&self.stage, plus.kind) {
            (Stage::Open, PayloadType::OpenResponse) => {
                OpenResponse::parse(plus.payload).map(|reply| self.opened(reply, settings, random))
            }
            (Stage::Rakp2 { bmc, random }, PayloadType::Rakp2) => {
                Rakp2::parse(plus.payload).map(|reply| self.challenged(reply, *bmc, *random, settings))
            }
            (Stage::Rakp4 { facts, integrity_key }, PayloadType::Rakp4) => {
                Rakp4::parse(plus.payload).map(|reply| self.proved(reply, facts, integrity_key, settings))
            }
            (Stage::Open | Stage::Rakp2 { .. } | Stage::Rakp4 { .. }, _) => None,
        };
        match verdict {
            None | Some((_, Verdict::Wait)) => Verdict::Wait,
            Some((stage, verdict)) => {
                if let Verdict::Send(packet) = &verdict {
                    self.packet.clone_from(packet);
                    self.retry = Retry::new(now, settings);
                }
                self.stage = stage.unwrap_or(Stage::Open);
                verdict
            }
        }
    }

    fn opened(
        &self,
        reply: Reply<OpenResponse>,
        settings: &Settings,
        random: Random<'_>,
    ) -> (Option<Stage>, Verdict) {
        let response = match self.accepted(reply, OPEN_TAG, Step::Open, settings, |it| (it.tag, it.console)) {
            Ok(response) => response,
            Err(verdict) => return (None, verdict),
        };
        if !response.chose(self.cipher.suite()) {
            // pyghmi's server answers with suite 3, whatever it was asked for.
            return (None, Verdict::OtherSuite);
        }
        // No level is the classic fault of echoing 0: RAKP will show whether the privilege is granted.
        if response.privilege.is_some_and(|granted| granted < settings.privilege) {
            return (None, Verdict::Failed(Error::Privilege { wanted: settings.privilege }, None));
        }
        let mut console_random = [0; 16];
        random(&mut console_random);
        let message = Rakp1 {
            tag: RAKP1_TAG,
            bmc: response.bmc,
            random: console_random,
            role: Role::new(settings.privilege),
            name: settings.user.clone(),
        };
        let stage = Stage::Rakp2 { bmc: response.bmc, random: console_random };
        (Some(stage), Verdict::Send(packet::plain(PayloadType::Rakp1, &message.encode())))
    }

    fn challenged(
        &self,
        reply: Reply<Rakp2>,
        bmc: u32,
        random: [u8; 16],
        settings: &Settings,
    ) -> (Option<Stage>, Verdict) {
        let message = match self.accepted(reply, RAKP1_TAG, Step::Rakp2, settings, |it| (it.tag, it.console))
        {
            Ok(message) => message,
            Err(verdict) => return (None, verdict),
        };
        let facts = Facts {
            cipher: self.cipher,
            console: self.console,
            bmc,
            console_random: random,
            bmc_random: message.random,
            guid: message.guid,
            role: Role::new(settings.privilege).0,
            name: settings.user.clone(),
        };
        let answer = |status, proof| {
            let message = Rakp3 { tag: RAKP3_TAG, status, bmc, proof };
            packet::plain(PayloadType::Rakp3, &message.encode())
        };
        if !crypto::equal(&facts.bmc_proof(&settings.password), &message.proof) {
            // So that the BMC forgets the login at once.
            let last = answer(Status::InvalidCheckValue, Vec::new());
            return (None, Verdict::Failed(Error::WrongPassword, Some(last)));
        }
        let k_g = settings.k_g.as_ref().map(<[u8; 20]>::as_slice);
        let integrity_key = facts.integrity_key(&settings.password, k_g);
        let packet = answer(Status::Ok, facts.console_proof(&settings.password));
        (Some(Stage::Rakp4 { facts: Box::new(facts), integrity_key }), Verdict::Send(packet))
    }

    fn proved(
        &self,
        reply: Reply<Rakp4>,
        facts: &Facts,
        integrity_key: &[u8],
        settings: &Settings,
    ) -> (Option<Stage>, Verdict) {
        let message = match self.accepted(reply, RAKP3_TAG, Step::Rakp4, settings, |it| (it.tag, it.console))
        {
            Ok(message) => message,
            Err(verdict) => return (None, verdict),
        };
        if !crypto::equal(&facts.check_value(integrity_key), &message.check_value) {
            return (None, Verdict::Failed(Error::WrongKey, None));
        }
        let (console, bmc, keys) = (self.console, facts.bmc, facts.keys(integrity_key));
        (None, Verdict::Established { console, bmc, keys })
    }

    /// Returns the message if it answers ours, or what its refusal leads to.
    fn accepted<T>(
        &self,
        reply: Reply<T>,
        tag: u8,
        step: Step,
        settings: &Settings,
        address: impl FnOnce(&T) -> (u8, u32),
    ) -> Result<T, Verdict> {
        let (status, console) = match reply {
            Reply::Accepted(message) => {
                let ours = address(&message) == (tag, self.console);
                return if ours { Ok(message) } else { Err(Verdict::Wait) };
            }
            Reply::Refused { tag: found, .. } if found != tag => return Err(Verdict::Wait),
            Reply::Refused { status, console, .. } => (status, console),
        };
        // A BMC that does not know the login does not know our id either.
        if console != 0 && console != self.console {
            return Err(Verdict::Wait);
        }
        Err(match status {
            Status::InvalidSession | Status::InactiveSession => {
                Verdict::Again(Error::Refused { step, status })
            }
            Status::NoResources | Status::NoResourcesForRole => Verdict::Failed(Error::NoResources, None),
            Status::UnauthorisedName | Status::InvalidNameLength => Verdict::Failed(Error::UnknownUser, None),
            Status::InvalidRole | Status::UnauthorisedRole => {
                Verdict::Failed(Error::Privilege { wanted: settings.privilege }, None)
            }
            status if status.is_about_suites() => Verdict::OtherSuite,
            status => Verdict::Failed(Error::Refused { step, status }, None),
        })
    }
}
