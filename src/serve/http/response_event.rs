//! What is told of an answer, once all of it went out or was given up.

use std::sync::{Arc, Mutex, PoisonError};

use super::super::clients::Clients;
use super::super::transfer::Transfer;
use crate::event::{FileRole, Known};

/// An answer on its way. Whoever has a part of it to send holds on to this; when the last lets go, it is told.
pub(super) struct ResponseEvent {
    pub(super) transfer: Mutex<Transfer>,
    pub(super) clients: Clients,
    pub(super) method: String,
    pub(super) status: u16,
    pub(super) role: Option<FileRole>,
    pub(super) rule: String,
    pub(super) range: Option<String>,
    /// What was agreed on by HTTPS.
    pub(super) tls: Option<Arc<str>>,
    /// Bytes of the body that are to be sent.
    pub(super) expected: u64,
}

impl ResponseEvent {
    /// Counts bytes that went out.
    pub(super) fn add(&self, bytes: u64) {
        self.transfer.lock().unwrap_or_else(PoisonError::into_inner).add(bytes);
    }
}

impl Drop for ResponseEvent {
    fn drop(&mut self) {
        let transfer = self.transfer.get_mut().unwrap_or_else(PoisonError::into_inner);
        let complete = transfer.sent == self.expected;
        if let (Some(node), true, 200 | 206, "GET", Some(role)) =
            (&transfer.node, complete, self.status, self.method.as_str(), &self.role)
        {
            self.clients.fetched(node, role);
        }
        let served = Known::HttpServed {
            method: std::mem::take(&mut self.method),
            path: transfer.path.clone(),
            status: self.status,
            bytes: transfer.sent,
            complete,
            ms: transfer.ms(),
            role: self.role.take(),
            rule: std::mem::take(&mut self.rule),
            range: self.range.take(),
            tls: self.tls.take().map(|tls| tls.to_string()),
        };
        transfer.events.emit_maybe(transfer.node.as_ref(), served);
    }
}
