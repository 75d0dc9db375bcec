//! A session as the console sees it: one command at a time, repeated until it is answered.

use std::time::Duration;

use super::super::command::Command;
use super::super::crypto::{BLOCK, Keys};
use super::super::message::{Answer, Request, Response};
use super::super::packet::{self, PayloadType, Plus};
use super::super::window::{Inbound, Outbound};
use super::retry::{Due, Retry};
use super::settings::Settings;

/// Random bytes.
pub(super) type Random<'a> = &'a mut dyn FnMut(&mut [u8]);

/// The established session. `P` says what a command is for.
#[derive(Debug)]
pub(super) struct Session<P> {
    console: u32,
    /// The session id that the BMC chose.
    pub(super) bmc: u32,
    keys: Keys,
    inbound: Inbound,
    outbound: Outbound,
    /// The number of the last request, 0 to 63.
    sequence: u8,
    exchange: Option<Exchange<P>>,
    /// When a packet was sent last.
    pub(super) sent: Duration,
}

#[derive(Debug)]
struct Exchange<P> {
    purpose: P,
    command: Command,
    sequence: u8,
    message: Vec<u8>,
    retry: Retry,
}

/// A payload from the BMC.
#[derive(Debug)]
pub(super) enum Received<P> {
    /// The answer to the command under way.
    Answer(P, Answer),
    /// Serial over LAN, with the sequence number of the session.
    Sol(u32, Vec<u8>),
}

/// The BMC did not answer the command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Silent<P>(pub(super) P);

impl<P: Copy> Session<P> {
    pub(super) fn new(now: Duration, console: u32, bmc: u32, keys: Keys) -> Self {
        Self {
            console,
            bmc,
            keys,
            inbound: Inbound::from_any(),
            outbound: Outbound::new(),
            sequence: 0,
            exchange: None,
            sent: now,
        }
    }

    /// Tells whether a command waits for its answer.
    pub(super) fn is_busy(&self) -> bool {
        self.exchange.is_some()
    }

    /// Returns when to poll.
    pub(super) fn due(&self) -> Option<Duration> {
        self.exchange.as_ref().map(|exchange| exchange.retry.due)
    }

    /// Asks a command; returns the datagram. Only while no other one is under way.
    pub(super) fn ask(
        &mut self,
        now: Duration,
        settings: &Settings,
        purpose: P,
        command: Command,
        data: &[u8],
        random: Random<'_>,
    ) -> Vec<u8> {
        self.sequence = (self.sequence + 1) & 0x3f;
        let message = Request::new(command, self.sequence, data).encode();
        let datagram = self.seal(now, PayloadType::Ipmi, &message, random);
        let retry = Retry::new(now, settings);
        self.exchange = Some(Exchange { purpose, command, sequence: self.sequence, message, retry });
        datagram
    }

    /// Seals a payload.
    pub(super) fn seal(
        &mut self,
        now: Duration,
        kind: PayloadType,
        payload: &[u8],
        random: Random<'_>,
    ) -> Vec<u8> {
        let mut vector = [0; BLOCK];
        random(&mut vector);
        self.sent = now;
        packet::seal(&self.keys, self.bmc, self.outbound.take(), kind, payload, &vector)
    }

    /// Returns the datagram that repeats the command under way, if it is due.
    ///
    /// # Errors
    ///
    /// [`Silent`] if it was repeated often enough; the command is forgotten.
    pub(super) fn poll(&mut self, now: Duration, random: Random<'_>) -> Result<Option<Vec<u8>>, Silent<P>> {
        let Some(exchange) = &mut self.exchange else { return Ok(None) };
        match exchange.retry.poll(now) {
            Due::Nothing => Ok(None),
            Due::Again => {
                let message = exchange.message.clone();
                Ok(Some(self.seal(now, PayloadType::Ipmi, &message, random)))
            }
            Due::GiveUp => {
                let purpose = exchange.purpose;
                self.exchange = None;
                Err(Silent(purpose))
            }
        }
    }

    /// Takes a packet of the session; `None` if it is foreign, repeated, or answers nothing that was asked.
    pub(super) fn receive(&mut self, plus: &Plus<'_>) -> Option<Received<P>> {
        if plus.session != self.console {
            return None;
        }
        let payload = packet::open(&self.keys, plus)?;
        if !self.inbound.accept(plus.sequence) {
            return None;
        }
        match plus.kind {
            PayloadType::Sol => Some(Received::Sol(plus.sequence, payload)),
            PayloadType::Ipmi => {
                let response = Response::parse(&payload)?;
                let exchange = self.exchange.take_if(|exchange| {
                    exchange.sequence == response.sequence && exchange.command == response.command
                })?;
                let answer = Answer { completion: response.completion, data: response.data.to_vec() };
                Some(Received::Answer(exchange.purpose, answer))
            }
            PayloadType::OpenRequest
            | PayloadType::OpenResponse
            | PayloadType::Rakp1
            | PayloadType::Rakp2
            | PayloadType::Rakp3
            | PayloadType::Rakp4
            | PayloadType::Other(_) => None,
        }
    }
}
