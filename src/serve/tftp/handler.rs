//! Opens files for clients and emits the events of transfers; handles no packets.

use std::collections::HashMap;
use std::fs::File;
use std::io;
use std::net::SocketAddr;
use std::os::unix::fs::MetadataExt;
use std::sync::{Arc, Weak};

use nix::fcntl::{PosixFadviseAdvice, posix_fadvise};

use super::super::clients::Clients;
use super::super::content::{Content, ContentStore, Item, Missing};
use super::super::context::Context;
use super::super::failure::failed;
use super::super::format::format_of;
use super::super::transfer::Transfer;
use super::packet::{ACCESS, Mode, NOT_FOUND};
use super::source::Source;
use crate::event::{Exchange, FileFormat, FileRole, Known, Service, TftpOutcome};
use crate::lab::{FaultKind, TftpFault};
use crate::name::NodeName;
use crate::wire::format;

/// Opens files for clients.
#[derive(Clone)]
pub(super) struct TftpHandler {
    content: ContentStore,
    context: Context,
    /// Open files by device and inode: a thousand clients of one file share a descriptor.
    open: HashMap<(u64, u64), Weak<File>>,
    /// The last internal error, reported once.
    failure: String,
}

/// An opened file or text.
pub(super) struct Opened {
    /// Its content.
    pub(super) source: Source,
    /// Its size as stored.
    pub(super) size: u64,
    /// Emits the event of the transfer.
    pub(super) delivery: Delivery,
}

impl TftpHandler {
    /// Serves content to clients, known or unknown.
    pub(super) fn new(content: ContentStore, context: Context) -> Self {
        Self { content, context, open: HashMap::new(), failure: String::new() }
    }

    /// Returns nanoseconds on the run's clock.
    pub(super) fn now(&self) -> u64 {
        self.context.events.now().at.as_nanos()
    }

    /// Tells whether a datagram from an address may be answered.
    pub(super) fn may_ask(&self, from: SocketAddr) -> bool {
        self.context.clients.may_ask(from.ip())
    }

    /// Opens a path for a client. A failure is reported at once, a success when the delivery ends.
    pub(super) fn open(&mut self, from: SocketAddr, path: &[u8], mode: Mode) -> Result<Opened, Missing> {
        let mut delivery = self.delivery(from, path, mode);
        let node = delivery.transfer.node.clone();
        match self.take(node.as_ref(), path, mode) {
            Ok(Taken { source, size, role, format, rule }) => {
                delivery.role = Some(role);
                delivery.format = format;
                delivery.rule = rule.to_owned();
                delivery.transfer.total = Some(size);
                Ok(Opened { source, size, delivery })
            }
            Err(missing) => {
                if let Missing::Gone(_) = &missing {
                    failed(
                        &self.context.events,
                        Service::Tftp,
                        &format!("{}: {missing}", delivery.transfer.path),
                    );
                }
                delivery.rule = missing.to_string();
                delivery.tell(match &missing {
                    Missing::Refused(_) => TftpOutcome::Refused,
                    Missing::Unknown | Missing::Gone(_) => TftpOutcome::NotFound,
                });
                Err(missing)
            }
        }
    }

    /// Returns what goes wrong with a request of a client, which counts.
    pub(super) fn fault(&self, from: SocketAddr) -> Option<TftpFault> {
        let node = self.context.clients.node(from.ip());
        self.context.faults.strike(node.as_ref(), |kind| match kind {
            FaultKind::Tftp(fault) => Some(fault.clone()),
            _ => None,
        })
    }

    /// Tells a client that there is no such file.
    pub(super) fn miss(&mut self, from: SocketAddr, path: &[u8], mode: Mode) -> Result<Opened, Missing> {
        let mut delivery = self.delivery(from, path, mode);
        delivery.rule = Missing::Unknown.to_string();
        delivery.tell(TftpOutcome::NotFound);
        Err(Missing::Unknown)
    }

    /// Emits the event of a request that is answered with an error.
    pub(super) fn refuse(&mut self, from: SocketAddr, path: &[u8], mode: Mode, code: u16) {
        self.delivery(from, path, mode).tell(match code {
            NOT_FOUND => TftpOutcome::NotFound,
            ACCESS => TftpOutcome::Refused,
            _ => TftpOutcome::Failed,
        });
    }

    /// Returns a function that reads the run's clock in nanoseconds.
    pub(super) fn clock(&self) -> Box<dyn Fn() -> u64 + Send> {
        let events = self.context.events.clone();
        Box::new(move || events.now().at.as_nanos())
    }

    /// Emits the event of a write request.
    pub(super) fn refuse_write(&self, from: SocketAddr, path: &[u8]) {
        let mut delivery = self.delivery(from, path, Mode::Octet);
        delivery.rule = "read-only".to_owned();
        delivery.tell(TftpOutcome::Refused);
    }

    /// Emits an event for an internal error, unless it is the same as the last one.
    pub(super) fn note(&mut self, error: &io::Error) {
        let error = error.to_string();
        if error != self.failure {
            failed(&self.context.events, Service::Tftp, &error);
            self.failure = error;
        }
    }

    fn delivery(&self, from: SocketAddr, path: &[u8], mode: Mode) -> Delivery {
        let path = String::from_utf8_lossy(path).into_owned();
        let transfer = Transfer::new(
            &self.context.events,
            Exchange::tftp(from),
            self.context.clients.node(from.ip()),
            path,
        );
        Delivery {
            transfer,
            clients: self.context.clients.clone(),
            role: None,
            format: None,
            rule: String::new(),
            mode,
            blksize: None,
            windowsize: None,
            retransmits: 0,
            reported: false,
        }
    }

    fn take(&mut self, node: Option<&NodeName>, path: &[u8], mode: Mode) -> Result<Taken, Missing> {
        let found = self.content.find(path);
        let Item { content, role, rule } = self.content.spoil(node, &self.context.faults, found)?;
        match content {
            Content::Text(body) => {
                let size = body.len() as u64;
                let format = Some(format::of(&body.as_bytes()[..body.len().min(format::HEAD)]));
                Ok(Taken { source: Source::text(body, mode), size, role, format, rule })
            }
            Content::File(file, metadata) => {
                let format = format_of(&file);
                let file = self.share((metadata.dev(), metadata.ino()), file);
                Ok(Taken { source: Source::file(file, mode), size: metadata.len(), role, format, rule })
            }
            Content::Folder(_) => Err(Missing::Unknown),
        }
    }

    fn share(&mut self, identity: (u64, u64), file: File) -> Arc<File> {
        if let Some(file) = self.open.get(&identity).and_then(Weak::upgrade) {
            return file;
        }
        self.open.retain(|_, file| file.strong_count() > 0);
        // If the disk is slow, the kernel can read ahead.
        posix_fadvise(&file, 0, 0, PosixFadviseAdvice::POSIX_FADV_SEQUENTIAL).ok();
        let file = Arc::new(file);
        self.open.insert(identity, Arc::downgrade(&file));
        file
    }
}

/// What a path leads to.
struct Taken {
    source: Source,
    size: u64,
    role: FileRole,
    format: Option<FileFormat>,
    rule: &'static str,
}

/// The event of a request, emitted when it ends; if dropped early, the transfer was aborted.
pub(super) struct Delivery {
    transfer: Transfer,
    clients: Clients,
    role: Option<FileRole>,
    format: Option<FileFormat>,
    rule: String,
    mode: Mode,
    /// The negotiated block size.
    pub(super) blksize: Option<u32>,
    /// The negotiated window size.
    pub(super) windowsize: Option<u16>,
    /// Retransmitted packets.
    pub(super) retransmits: u32,
    reported: bool,
}

impl Delivery {
    /// Records how many bytes the client has received.
    pub(super) fn came_to(&mut self, bytes: u64) {
        let more = bytes.saturating_sub(self.transfer.sent);
        if more > 0 {
            self.transfer.add(more);
        }
    }

    /// Emits the event.
    pub(super) fn tell(&mut self, outcome: TftpOutcome) {
        self.reported = true;
        let Self {
            transfer,
            clients,
            role,
            format,
            rule,
            mode,
            blksize,
            windowsize,
            retransmits,
            reported: _,
        } = self;
        if let (Some(node), TftpOutcome::Sent, Some(role)) = (&transfer.node, &outcome, &*role) {
            clients.fetched(node, role);
        }
        let served = Known::TftpServed {
            server: None,
            path: transfer.path.clone(),
            outcome,
            bytes: transfer.sent,
            ms: transfer.ms(),
            role: role.clone(),
            format: format.clone(),
            rule: rule.clone(),
            mode: mode.word(),
            blksize: *blksize,
            windowsize: *windowsize,
            retransmits: *retransmits,
        };
        transfer.emit(served);
    }
}

impl Drop for Delivery {
    fn drop(&mut self) {
        if !self.reported {
            self.tell(TftpOutcome::Aborted);
        }
    }
}
