//! The last answers of a session, so that a repeated request runs no command twice.

use std::collections::VecDeque;
use std::time::Duration;

use super::super::command::Command;
use super::super::message::Request;

/// Request numbers come again after 64 requests, long after their answers left this list.
const MOST: usize = 16;

/// The last answers.
#[derive(Debug, Default)]
pub(super) struct Replies {
    replies: VecDeque<Reply>,
}

#[derive(Debug)]
struct Reply {
    at: Duration,
    sequence: u8,
    command: Command,
    data: Vec<u8>,
    /// The encoded response.
    response: Vec<u8>,
}

impl Replies {
    /// Returns the response to a request that was answered within the time `kept`.
    pub(super) fn find(&mut self, now: Duration, kept: Duration, request: &Request<'_>) -> Option<Vec<u8>> {
        self.replies.retain(|reply| now.saturating_sub(reply.at) < kept);
        let reply = self.replies.iter_mut().find(|reply| {
            reply.sequence == request.sequence
                && reply.command == request.command
                && reply.data == request.data
        })?;
        reply.at = now;
        Some(reply.response.clone())
    }

    /// Keeps a response. It replaces the one whose request had the same number.
    pub(super) fn keep(&mut self, now: Duration, request: &Request<'_>, response: Vec<u8>) {
        self.replies.retain(|reply| reply.sequence != request.sequence);
        if self.replies.len() == MOST {
            self.replies.pop_front();
        }
        self.replies.push_back(Reply {
            at: now,
            sequence: request.sequence,
            command: request.command,
            data: request.data.to_vec(),
            response,
        });
    }
}
