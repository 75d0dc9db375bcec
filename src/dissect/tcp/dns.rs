//! DNS over TCP (RFC 1035, section 4.2.2): messages, each with its length in front.

use super::{Ends, Side};
use crate::dissect::dns::{Asked, Carrier, Dns};
use crate::dissect::{Context, Hop};
use crate::wire::dns::Message;

/// The largest message that is read. Larger ones transfer a zone.
const LARGEST: usize = 16 << 10;

/// Tells whether bytes begin with a whole query and its length.
pub(super) fn is_query(bytes: &[u8]) -> bool {
    matches!(first(bytes), Some(Message::Query { .. }))
}

/// Returns the message that bytes begin with, if it is whole.
fn first(bytes: &[u8]) -> Option<Message> {
    let (length, rest) = bytes.split_first_chunk()?;
    Message::decode(rest.get(..usize::from(u16::from_be_bytes(*length)))?)
}

/// A connection that speaks DNS.
#[derive(Debug, Default)]
pub(super) struct DnsStream {
    client: Messages,
    server: Messages,
    /// Messages that are complete.
    whole: Vec<(Side, Vec<u8>)>,
}

/// What comes next from a side.
#[derive(Debug)]
enum Messages {
    /// The length of a message, of which this byte is known.
    Length(Option<u8>),
    /// This many bytes of a message, after those that are known.
    Message(Vec<u8>, usize),
    /// This many bytes of a message that is too large, or was not captured completely.
    Unread(usize),
    /// Nothing that can be told apart.
    Lost,
}

impl Default for Messages {
    fn default() -> Self {
        Self::Length(None)
    }
}

impl DnsStream {
    /// Returns how many bytes are kept.
    pub(super) fn memory(&self) -> usize {
        let whole: usize = self.whole.iter().map(|(_, message)| message.capacity()).sum();
        self.client.memory() + self.server.memory() + whole
    }

    /// Returns how many of the next bytes of a side are only counted.
    pub(super) fn uninteresting(&self, side: Side) -> u64 {
        match self.side(side) {
            Messages::Unread(left) => *left as u64,
            Messages::Lost => u64::MAX,
            Messages::Length(_) | Messages::Message(..) => 0,
        }
    }

    fn side(&self, side: Side) -> &Messages {
        match side {
            Side::Client => &self.client,
            Side::Server => &self.server,
        }
    }

    /// Reads bytes of a side; `length - bytes.len()` of them are missing at the end. Returns how many of the bytes
    /// are no contents of files: all.
    pub(super) fn read(&mut self, side: Side, bytes: &[u8], length: usize) -> usize {
        let messages = match side {
            Side::Client => &mut self.client,
            Side::Server => &mut self.server,
        };
        // After a gap, servers and clients begin a segment with the next message.
        if matches!(messages, Messages::Lost) && first(bytes).is_some() {
            *messages = Messages::default();
        }
        let (mut rest, mut left) = (bytes, length);
        while left > 0 {
            let used = match messages {
                Messages::Length(known) => {
                    let (next, used) = match (*known, rest) {
                        (None, [high, ..]) => (Messages::Length(Some(*high)), 1),
                        (Some(high), [low, ..]) => {
                            (Messages::of_length(u16::from_be_bytes([high, *low]).into()), 1)
                        }
                        (_, []) => (Messages::Lost, left),
                    };
                    *messages = next;
                    used
                }
                Messages::Message(known, more) => {
                    let used = left.min(*more);
                    let more = *more - used;
                    if rest.len() < used {
                        *messages = Messages::after(more);
                    } else {
                        known.extend_from_slice(&rest[..used]);
                        let known = std::mem::take(known);
                        if more == 0 {
                            self.whole.push((side, known));
                            *messages = Messages::default();
                        } else {
                            *messages = Messages::Message(known, more);
                        }
                    }
                    used
                }
                Messages::Unread(more) => {
                    let used = left.min(*more);
                    *messages = Messages::after(*more - used);
                    used
                }
                Messages::Lost => left,
            };
            rest = rest.get(used..).unwrap_or_default();
            left -= used;
        }
        bytes.len()
    }

    /// Passes complete messages on.
    pub(super) fn pass_on(&mut self, context: &mut Context<'_>, dns: &mut Dns, ends: &Ends, hop: Hop) {
        for (side, bytes) in self.whole.drain(..) {
            let asked =
                |id| Asked { carrier: Carrier::Tcp, client: ends.client, server: ends.server.ip(), id };
            match (side, Message::decode(&bytes), &ends.node) {
                (Side::Client, Some(Message::Query { id, query }), Some(node)) => {
                    dns.query(context, hop, asked(id), node.clone(), query);
                }
                (Side::Server, Some(Message::Answer { id, answer }), _) => {
                    dns.answer(context, hop, asked(id), answer, bytes.len());
                }
                _ => {}
            }
        }
    }
}

impl Messages {
    fn of_length(length: usize) -> Self {
        match length {
            0 => Self::default(),
            1..=LARGEST => Self::Message(Vec::new(), length),
            _ => Self::Unread(length),
        }
    }

    /// What follows if this many bytes of a message that is not read are left.
    fn after(left: usize) -> Self {
        if left == 0 { Self::default() } else { Self::Unread(left) }
    }

    fn memory(&self) -> usize {
        match self {
            Self::Message(known, _) => known.capacity(),
            Self::Length(_) | Self::Unread(_) | Self::Lost => 0,
        }
    }
}
