//! A reply, and what has to happen before there can be one.

use http::header::{self, HeaderName, HeaderValue};
use http::{HeaderMap, StatusCode};
use serde_json::{Value, json};

use super::message::{Key, Message};
use crate::bmc::Bmc;
use crate::bmc::media::{Image, Slot, Ticket};

/// A reply.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reply {
    /// The status.
    pub status: StatusCode,
    /// The headers; the length of the body is for the sender.
    pub headers: HeaderMap,
    /// The body.
    pub body: Vec<u8>,
}

/// What becomes of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// It is answered.
    Done(Reply),
    /// Something has to be found out first; [`super::finish`] answers then.
    Pending(Pending),
    /// It is answered, and something goes on: [`super::finish`] is told how that ended, and its reply is not sent.
    Background(Reply, Pending),
    /// The head of a stream of events; the subscription with this number ends with the stream.
    Stream(Reply, u32),
}

/// What has to be found out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pending {
    /// The image to be fetched: one request for its first bytes.
    pub image: Image,
    /// The slot that it goes to.
    pub slot: Slot,
    /// The right to put it there.
    pub(super) ticket: Ticket,
    /// The task that this is.
    pub(super) task: Option<u32>,
}

impl Pending {
    /// Returns whether the slot still waits for the image. Afterwards nothing has to be found out.
    pub fn is_wanted(&self, bmc: &Bmc) -> bool {
        bmc.media().is_reserved(self.slot, self.ticket)
    }
}

/// What was found out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// The image is there, and parts of it can be fetched.
    Found,
    /// Its server cannot be reached, or its name not be resolved.
    Unreachable,
    /// The certificate of its server is not valid.
    Certificate,
    /// User and password are wrong or missing (401, 403).
    Unauthorized,
    /// It is not there, or its server failed; with the status.
    Status(u16),
    /// Its server cannot send parts of it.
    NoRanges,
    /// An address of its server, or a redirect, leads where it must not.
    Forbidden,
}

impl Reply {
    /// Makes a reply with a JSON body.
    pub(super) fn json(status: u16, body: &Value) -> Self {
        let mut reply = Self::empty(status);
        reply.body = body.to_string().into_bytes();
        reply.set(header::CONTENT_TYPE, "application/json;charset=utf-8");
        reply
    }

    /// Makes a reply without a body.
    pub(super) fn empty(status: u16) -> Self {
        let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        Self { status, headers: HeaderMap::new(), body: Vec::new() }
    }

    /// Makes a refusal with its reason.
    pub(super) fn refuse(status: u16, why: Message) -> Box<Self> {
        Self::refuse_all(status, &[why])
    }

    /// Makes a refusal with its reasons.
    pub(super) fn refuse_all(status: u16, why: &[Message]) -> Box<Self> {
        let body = match why {
            [one] => error(&one.id(), &one.text(), why),
            _ => {
                let general = Message::new(Key::GeneralError, &[]);
                error(&general.id(), &general.text(), why)
            }
        };
        Box::new(Self::json(status, &body))
    }

    /// Sets a header; values that no header can hold are left out.
    pub(super) fn set(&mut self, name: HeaderName, value: &str) {
        if let Ok(value) = HeaderValue::from_str(value) {
            self.headers.insert(name, value);
        }
    }

    /// Returns the reply with a header.
    pub(super) fn with(mut self, name: HeaderName, value: &str) -> Self {
        self.set(name, value);
        self
    }
}

/// Makes the object of an answer that consists of messages.
pub(super) fn error(code: &str, text: &str, why: &[Message]) -> Value {
    let info: Vec<Value> = why.iter().map(Message::json).collect();
    json!({ "error": { "code": code, "message": text, "@Message.ExtendedInfo": info } })
}
