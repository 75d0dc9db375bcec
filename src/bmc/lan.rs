//! A BMC as its sessions over LAN see it.

use std::time::Duration;

use super::command::{Asker, Channel, level};
use super::ipmi::message::{Answer, Request};
use super::ipmi::privilege::Privilege;
use super::ipmi::server::{self, SolTerms, World};
use super::{Bmc, Now};

/// A BMC while it takes one datagram.
#[derive(Debug)]
pub struct OverLan<'a> {
    bmc: &'a mut Bmc,
    now: Now,
    /// What a client typed on the serial console.
    pub typed: Vec<u8>,
    /// How many breaks a client sent on the serial console.
    pub breaks: usize,
}

impl<'a> OverLan<'a> {
    /// Shows a BMC at an instant.
    pub fn new(bmc: &'a mut Bmc, now: Now) -> Self {
        Self { bmc, now, typed: Vec::new(), breaks: 0 }
    }
}

impl World for OverLan<'_> {
    fn guid(&self) -> [u8; 16] {
        self.bmc.identity.guid()
    }

    fn user(&self, name: &[u8]) -> Option<server::User> {
        let (id, user) = self.bmc.users.named(name)?;
        Some(server::User {
            id,
            password: user.password.bytes().to_vec(),
            limit: user.level?,
            enabled: user.is_enabled && user.has_messaging,
        })
    }

    fn needs(&self, request: &Request<'_>) -> Privilege {
        level(request.command.netfn.number(), request.command.code)
    }

    fn command(&mut self, _: Duration, asker: &server::Asker, request: &Request<'_>) -> Answer {
        let asker = Asker { channel: Channel::Lan, level: asker.privilege };
        let (netfn, code) = (request.command.netfn.number(), request.command.code);
        match self.bmc.answer(self.now, asker, netfn, code, request.data) {
            Ok(data) => Answer::ok(data),
            Err(completion) => completion.into(),
        }
    }

    fn sol(&self) -> SolTerms {
        self.bmc.sol()
    }

    fn may_use_sol(&self, user: u8) -> bool {
        self.bmc.users.get(user).is_some_and(|user| user.has_sol)
    }

    fn typed(&mut self, bytes: &[u8]) {
        self.typed.extend(bytes);
    }

    fn send_break(&mut self) {
        self.breaks += 1;
    }
}
