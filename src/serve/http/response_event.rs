//! The event of a response, emitted when it was sent or aborted.

use std::sync::{Arc, Mutex, PoisonError};

use super::super::clients::Clients;
use super::super::transfer::Transfer;
use crate::event::{FileFormat, FileRole, Known};

/// A response being sent. Every part of the body holds a reference; dropping the last one emits the event.
pub(super) struct ResponseEvent {
    pub(super) transfer: Mutex<Transfer>,
    pub(super) clients: Clients,
    pub(super) method: String,
    pub(super) status: u16,
    pub(super) role: Option<FileRole>,
    pub(super) format: Option<FileFormat>,
    pub(super) rule: String,
    pub(super) range: Option<String>,
    /// The TLS version and cipher suite.
    pub(super) tls: Option<Arc<str>>,
    /// The length of the body.
    pub(super) expected: u64,
}

impl ResponseEvent {
    /// Counts bytes that were sent.
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
            server: None,
            method: std::mem::take(&mut self.method),
            path: transfer.path.clone(),
            status: self.status,
            bytes: transfer.sent,
            complete,
            ms: transfer.ms(),
            role: self.role.take(),
            format: self.format.take(),
            rule: std::mem::take(&mut self.rule),
            range: self.range.take(),
            tls: self.tls.take().map(|tls| tls.to_string()),
        };
        transfer.emit(served);
    }
}
