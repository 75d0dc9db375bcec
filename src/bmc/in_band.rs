//! A BMC as the system of its machine sees it: IPMI without a network, without a session and without a password.
//!
//! The system writes to the KCS interface of the machine (IPMI 2.0, section 9). QEMU implements that interface and
//! passes the messages on, in the serial protocol of OpenIPMI's `ipmi_sim`:
//!
//! ```text
//! request    number  netFn|lun  command  data …              checksum  A0
//! response   number  netFn|lun  command  completion  data …  checksum  A0
//! control    code  parameter …                                         A1
//! ```
//!
//! With its checksum a message adds up to 0. In a message the bytes A0h, A1h and AAh are sent as AAh and the byte with
//! bit 4 set.
//!
//! Of the controls QEMU sends its version and its capabilities, which need no answer. None is sent to it: power is
//! switched by QMP, on one path for every way in.

use super::command::{Asker, Channel};
use super::ipmi::command::{self, Command, NetFn};
use super::ipmi::completion::Completion;
use super::ipmi::message::{Answer, Request};
use super::ipmi::privilege::Privilege;
use super::ipmi::server::Server;
use super::lan::OverLan;
use super::{Bmc, Now};

/// Ends a message.
const MESSAGE: u8 = 0xA0;
/// Ends a control.
const CONTROL: u8 = 0xA1;
/// Comes before a byte that was changed.
const ESCAPE: u8 = 0xAA;
/// The bit that differs in such a byte.
const CHANGED: u8 = 0x10;

/// The longest message of QEMU: 300 bytes, its number and its checksum.
const LONGEST: usize = 302;

/// The end of the BMC of the interface to the system of its machine.
///
/// It stays when QEMU ends. A new QEMU begins with a control, which ends whatever its predecessor left incomplete.
#[derive(Debug, Clone, Default)]
pub struct InBand {
    framing: Framing,
}

impl InBand {
    /// Answers bytes of QEMU; returns the bytes for QEMU. `server` is that of the network of the same BMC.
    pub fn receive(&mut self, server: &Server, bmc: &mut Bmc, now: Now, bytes: &[u8]) -> Vec<u8> {
        let mut sent = Vec::new();
        for byte in bytes {
            let Some(frame) = self.framing.push(*byte) else { continue };
            let Some(message) = Message::parse(&frame) else { continue };
            let answer = match frame.is_whole {
                true => message.answer(server, bmc, now),
                false => Completion::RequestTruncated.into(),
            };
            sent.extend(message.respond(&answer));
        }
        sent
    }
}

/// The bytes before the end of a message.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Frame {
    bytes: Vec<u8>,
    /// Whether all of them are here: what is too long loses its tail.
    is_whole: bool,
}

/// Divides a stream of bytes into messages.
#[derive(Debug, Clone, Default)]
struct Framing {
    bytes: Vec<u8>,
    is_escaped: bool,
    is_too_long: bool,
}

impl Framing {
    /// Takes a byte; returns the message that it ends. Controls are passed over.
    fn push(&mut self, byte: u8) -> Option<Frame> {
        match byte {
            MESSAGE | CONTROL => {
                let Self { bytes, is_escaped, is_too_long } = std::mem::take(self);
                // An escape without its byte: something is missing.
                (byte == MESSAGE && !is_escaped).then_some(Frame { bytes, is_whole: !is_too_long })
            }
            ESCAPE => {
                self.is_escaped = true;
                None
            }
            byte => {
                let changed = if std::mem::take(&mut self.is_escaped) { CHANGED } else { 0 };
                match self.bytes.len() < LONGEST {
                    true => self.bytes.push(byte & !changed),
                    false => self.is_too_long = true,
                }
                None
            }
        }
    }
}

/// A message of the system.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Message<'a> {
    /// QEMU's number, which the response repeats.
    number: u8,
    /// The network function, odd for what should be a response.
    function: u8,
    /// The logical unit that is asked, 0 to 3.
    lun: u8,
    code: u8,
    data: &'a [u8],
}

impl<'a> Message<'a> {
    /// Parses a message; `None` if it is too short or its checksum is wrong. Then QEMU tells the system after some
    /// seconds that its BMC did not answer.
    fn parse(frame: &'a Frame) -> Option<Self> {
        let ([number, function, code], rest) = frame.bytes.split_first_chunk()?;
        let (_, data) = rest.split_last()?;
        // The checksum of a message that is too long has been cut off.
        let is_intact = !frame.is_whole || sum(&frame.bytes) == 0;
        let (function, lun) = (function >> 2, function & 3);
        is_intact.then_some(Self { number: *number, function, lun, code: *code, data })
    }

    fn answer(&self, server: &Server, bmc: &mut Bmc, now: Now) -> Answer {
        if self.function & 1 != 0 {
            return Completion::InvalidCommand.into();
        }
        if self.lun != 0 {
            return Completion::InvalidForLun.into();
        }
        let command = Command::new(NetFn::parse(self.function), self.code);
        if let command::GET_CHANNEL_AUTHENTICATION | command::GET_CIPHER_SUITES = command {
            // Logins are a matter of the network. Eh would be this channel, which has none.
            let is_lan = self.data.first().is_none_or(|byte| byte & 0x0F == Channel::Lan.number());
            let request = Request::new(command, 0, self.data);
            let found = is_lan.then(|| server.discovery(&OverLan::new(bmc, now), &request)).flatten();
            return found.unwrap_or(Completion::InvalidField.into());
        }
        let asker = Asker { channel: Channel::System, level: Privilege::Administrator };
        match bmc.answer(now, asker, self.function, self.code, self.data) {
            Ok(data) => Answer::ok(data),
            Err(completion) => completion.into(),
        }
    }

    /// Encodes the response to it.
    fn respond(&self, answer: &Answer) -> Vec<u8> {
        let mut bytes = vec![self.number, (self.function | 1) << 2 | self.lun, self.code];
        bytes.push(answer.completion.code());
        bytes.extend(&answer.data);
        encode(bytes)
    }
}

/// Adds the checksum and the end to a message, and escapes it.
fn encode(mut bytes: Vec<u8>) -> Vec<u8> {
    bytes.push(sum(&bytes).wrapping_neg());
    let mut encoded = Vec::with_capacity(bytes.len() + 1);
    for byte in bytes {
        match byte {
            MESSAGE | CONTROL | ESCAPE => encoded.extend([ESCAPE, byte | CHANGED]),
            byte => encoded.push(byte),
        }
    }
    encoded.push(MESSAGE);
    encoded
}

fn sum(bytes: &[u8]) -> u8 {
    bytes.iter().copied().fold(0, u8::wrapping_add)
}

/// Gives bytes to a BMC as QEMU would; whatever comes, QEMU can read what it gets, and gets no more than it asked for.
#[cfg(any(test, fuzzing))]
pub(super) fn fuzz(server: &Server, bmc: &mut Bmc, in_band: &mut InBand, now: Now, bytes: &[u8]) {
    let sent = in_band.receive(server, bmc, now, bytes);
    let ends = bytes.iter().filter(|byte| **byte == MESSAGE).count();
    let mut framing = Framing::default();
    let frames: Vec<Frame> = sent.iter().filter_map(|byte| framing.push(*byte)).collect();
    assert!(frames.len() <= ends, "{} responses to {ends} messages", frames.len());
    assert!(framing.bytes.is_empty() && !framing.is_escaped, "a response without an end");
    for frame in frames {
        assert!(frame.is_whole, "a response that is too long");
        let response = Message::parse(&frame).expect("a response with its checksum");
        assert!(response.function & 1 == 1 && !response.data.is_empty(), "{response:?}");
    }
}

#[cfg(test)]
mod tests;
