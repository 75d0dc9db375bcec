//! IPMI messages as they travel on a LAN (section 13.8).
//!
//! ```text
//! request   rsAddr  netFn|lun  checksum  rqAddr  rqSeq|lun  command  data …              checksum
//! response  rqAddr  netFn|lun  checksum  rsAddr  rqSeq|lun  command  completion  data …  checksum
//! ```

use super::command::{Command, NetFn};
use super::completion::Completion;

/// The address of a BMC.
pub const BMC_ADDRESS: u8 = 0x20;
/// The address that remote consoles use.
pub const CONSOLE_ADDRESS: u8 = 0x81;

/// Bytes around the data of a request.
const AROUND: usize = 7;

/// A request. In the data of a request multi-byte fields are little-endian.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Request<'a> {
    /// The address of the one that is asked, normally [`BMC_ADDRESS`].
    pub responder: u8,
    /// The logical unit that is asked, 0 to 3.
    pub lun: u8,
    /// The address of the asker.
    pub requester: u8,
    /// The logical unit of the asker, 0 to 3.
    pub requester_lun: u8,
    /// The number of the request, 0 to 63, that its response repeats.
    pub sequence: u8,
    /// The command.
    pub command: Command,
    /// Its data.
    pub data: &'a [u8],
}

impl<'a> Request<'a> {
    /// Makes a request from a remote console to a BMC.
    pub fn new(command: Command, sequence: u8, data: &'a [u8]) -> Self {
        Self {
            responder: BMC_ADDRESS,
            lun: 0,
            requester: CONSOLE_ADDRESS,
            requester_lun: 0,
            sequence,
            command,
            data,
        }
    }

    /// Parses a request; `None` if it is too short, a response, or a checksum is wrong.
    pub fn parse(bytes: &'a [u8]) -> Option<Self> {
        let (parts, data) = parse(bytes)?;
        (parts.function & 1 == 0).then_some(Self {
            responder: parts.to,
            lun: parts.lun,
            requester: parts.from,
            requester_lun: parts.sequence & 3,
            sequence: parts.sequence >> 2,
            command: parts.command,
            data,
        })
    }

    /// Encodes the request.
    pub fn encode(&self) -> Vec<u8> {
        let parts = Parts {
            to: self.responder,
            function: self.command.netfn.number(),
            lun: self.lun,
            from: self.requester,
            sequence: self.sequence << 2 | self.requester_lun & 3,
            command: self.command,
        };
        encode(&parts, &[self.data])
    }
}

/// What a command answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// How the command ended.
    pub completion: Completion,
    /// The data after the completion code.
    pub data: Vec<u8>,
}

impl Answer {
    /// Makes the answer of a command that was done.
    pub fn ok(data: impl Into<Vec<u8>>) -> Self {
        Self { completion: Completion::Ok, data: data.into() }
    }

    /// Encodes it as the response to `request`.
    pub fn encode(&self, request: &Request<'_>) -> Vec<u8> {
        let parts = Parts {
            to: request.requester,
            function: request.command.netfn.number() | 1,
            lun: request.requester_lun,
            from: request.responder,
            sequence: request.sequence << 2 | request.lun & 3,
            command: request.command,
        };
        encode(&parts, &[&[self.completion.code()], &self.data])
    }
}

impl From<Completion> for Answer {
    fn from(completion: Completion) -> Self {
        Self { completion, data: Vec::new() }
    }
}

/// A response.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Response<'a> {
    /// The number of the request, 0 to 63.
    pub sequence: u8,
    /// The command that was asked.
    pub command: Command,
    /// How it ended.
    pub completion: Completion,
    /// The data after the completion code.
    pub data: &'a [u8],
}

impl<'a> Response<'a> {
    /// Parses a response; `None` if it is too short, a request, or a checksum is wrong.
    pub fn parse(bytes: &'a [u8]) -> Option<Self> {
        let (parts, data) = parse(bytes)?;
        let (completion, data) = data.split_first()?;
        (parts.function & 1 == 1).then_some(Self {
            sequence: parts.sequence >> 2,
            command: parts.command,
            completion: Completion::parse(*completion),
            data,
        })
    }
}

/// The fields around the data.
struct Parts {
    to: u8,
    /// The network function, odd for a response.
    function: u8,
    lun: u8,
    from: u8,
    /// The sequence number and the logical unit of the sender.
    sequence: u8,
    command: Command,
}

fn parse(bytes: &[u8]) -> Option<(Parts, &[u8])> {
    let ([to, function, _, from, sequence, code], rest) = bytes.split_first_chunk::<6>()?;
    let (_, data) = rest.split_last()?;
    if sum(bytes.get(..3)?) != 0 || sum(bytes.get(3..)?) != 0 {
        return None;
    }
    let command = Command::new(NetFn::parse(function >> 2), *code);
    let parts = Parts {
        to: *to,
        function: function >> 2,
        lun: function & 3,
        from: *from,
        sequence: *sequence,
        command,
    };
    Some((parts, data))
}

fn encode(parts: &Parts, data: &[&[u8]]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(AROUND + data.iter().map(|part| part.len()).sum::<usize>());
    let head = [parts.to, parts.function << 2 | parts.lun & 3];
    bytes.extend_from_slice(&head);
    bytes.push(sum(&head).wrapping_neg());
    let body = [&[parts.from, parts.sequence, parts.command.code][..], &data.concat()].concat();
    bytes.extend_from_slice(&body);
    bytes.push(sum(&body).wrapping_neg());
    bytes
}

/// Adds bytes; a part with its checksum adds up to 0.
fn sum(bytes: &[u8]) -> u8 {
    bytes.iter().copied().fold(0, u8::wrapping_add)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::command::{self, Command, NetFn};
    use super::super::completion::Completion;
    use super::{Answer, Request, Response};

    #[test]
    fn channel_authentication_as_ipmitool_sends_it() {
        let bytes = [0x20, 0x18, 0xc8, 0x81, 0x00, 0x38, 0x8e, 0x04, 0xb5];
        let request = Request::new(command::GET_CHANNEL_AUTHENTICATION, 0, &[0x8e, 0x04]);
        assert_eq!(request.encode(), bytes);
        assert_eq!(Request::parse(&bytes), Some(request));
        assert_eq!(Response::parse(&bytes), None);
    }

    #[test]
    fn wrong_checksums_are_refused() {
        let mut bytes = Request::new(command::GET_DEVICE_ID, 1, &[]).encode();
        bytes[2] ^= 1;
        assert_eq!(Request::parse(&bytes), None);
    }

    proptest! {
        #[test]
        fn messages_survive(
            netfn in 0u8..0x40, code: u8, lun in 0u8..4, sequence in 0u8..64, completion: u8, data: Vec<u8>,
        ) {
            let command = Command::new(NetFn::parse(netfn), code);
            let request = Request { lun, ..Request::new(command, sequence, &data) };
            let encoded = request.encode();
            prop_assert_eq!(Request::parse(&encoded), Some(request));
            let answer = Answer { completion: Completion::parse(completion), data: data.clone() };
            let bytes = answer.encode(&request);
            let response = Response { sequence, command, completion: answer.completion, data: &data };
            prop_assert_eq!(Response::parse(&bytes), Some(response));
            prop_assert_eq!(Request::parse(&bytes), None);
        }

        #[test]
        fn any_bytes(bytes: Vec<u8>) {
            let _ = (Request::parse(&bytes), Response::parse(&bytes));
        }
    }
}
