//! TFTP, read-only: loaders for firmware that knows nothing better.
//!
//! What is opened for whom is decided here, in terms of files and bytes; the
//! engine that speaks the protocol (async-tftp) is behind [`run`] and knows
//! nothing of nodes or events.

use std::fs::File;
use std::io::{self, BufReader, Cursor, Read};
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::path::Path;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use async_tftp::packet;
use async_tftp::server::{Handler, TftpServerBuilder};
use futures_util::io::{AsyncRead, Sink};
use tokio_util::sync::CancellationToken;

use super::clients::Clients;
use super::shelf::{Item, Missing, Shelf};
use super::transfer::Transfer;
use super::trouble::failed;
use crate::event::{Emitter, Known};

/// How long an acknowledgement is waited for before the same is sent again.
const PATIENCE: Duration = Duration::from_secs(1);
const RETRIES: u32 = 5;
/// What fits an Ethernet frame: 1500 less the headers of IP, UDP and TFTP.
const BLOCK: u16 = 1468;
const WINDOW: u16 = 64;
/// How much of a file is read at a time.
const BUFFER: usize = 64 << 10;

/// Opens what clients ask for.
struct Counter {
    shelf: Shelf,
    clients: Clients,
    events: Emitter,
}

/// A file or text on its way to a client. Tells how it went when it is dropped.
struct Outgoing {
    source: Box<dyn Read + Send>,
    transfer: Transfer,
    role: String,
    clients: Clients,
    /// When something was read last, in nanoseconds on the run's clock.
    read: u64,
}

impl Counter {
    /// Opens a path for a client. A failure is told at once, a success when the transfer ends.
    fn open(&self, from: IpAddr, path: &str) -> Result<(Outgoing, u64), Missing> {
        let mut transfer = Transfer::new(&self.events, self.clients.node(from), path.to_owned(), None);
        match self.take(path) {
            Ok((source, size, role)) => {
                transfer.total = Some(size);
                let read = self.events.now().at;
                Ok((Outgoing { source, transfer, role, clients: self.clients.clone(), read }, size))
            }
            Err(missing) => {
                if let Missing::Gone(_) = &missing {
                    failed(&self.events, "tftp", &format!("{path}: {missing}"));
                }
                let outcome = if missing == Missing::Refused { "refused" } else { "not-found" };
                tell(&transfer, outcome, "");
                Err(missing)
            }
        }
    }

    fn take(&self, path: &str) -> Result<(Box<dyn Read + Send>, u64, String), Missing> {
        match self.shelf.find(path)? {
            Item::Text { body, role } => {
                let size = body.len() as u64;
                Ok((Box::new(Cursor::new(body)), size, role))
            }
            Item::File { path, role } => {
                let gone = |_| Missing::Gone(path.display().to_string());
                let file = File::open(&path).map_err(gone)?;
                let size = file.metadata().map_err(gone)?.len();
                Ok((Box::new(BufReader::with_capacity(BUFFER, file)), size, role))
            }
        }
    }
}

fn tell(transfer: &Transfer, outcome: &str, role: &str) {
    let served = Known::TftpServed {
        path: transfer.path.clone(),
        outcome: outcome.to_owned(),
        bytes: transfer.sent,
        ms: transfer.ms(),
        role: role.to_owned(),
    };
    transfer.events.emit_maybe(transfer.node.as_ref(), served);
}

impl Drop for Outgoing {
    fn drop(&mut self) {
        // The engine drops what was acknowledged at once, and what was not after all its retries.
        let waited = Duration::from_nanos(self.transfer.events.now().at.saturating_sub(self.read));
        let whole = self.transfer.total == Some(self.transfer.sent);
        let sent = whole && waited < PATIENCE * RETRIES;
        tell(&self.transfer, if sent { "sent" } else { "aborted" }, &self.role);
        if let (true, Some(node)) = (sent, &self.transfer.node) {
            self.clients.fetched(node, &self.role);
        }
    }
}

impl AsyncRead for Outgoing {
    fn poll_read(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        // Blocks, which is why the engine has a thread of its own.
        let read = self.source.read(buffer)?;
        self.transfer.add(read as u64);
        if read > 0 {
            self.read = self.transfer.events.now().at;
        }
        Poll::Ready(Ok(read))
    }
}

impl Handler for Counter {
    type Reader = Outgoing;
    type Writer = Sink;

    async fn read_req_open(
        &mut self,
        client: &SocketAddr,
        path: &Path,
    ) -> Result<(Outgoing, Option<u64>), packet::Error> {
        let path = path.to_string_lossy();
        match self.open(client.ip(), &path) {
            Ok((outgoing, size)) => Ok((outgoing, Some(size))),
            Err(Missing::Refused) => Err(packet::Error::PermissionDenied),
            Err(Missing::Unknown | Missing::Gone(_)) => Err(packet::Error::FileNotFound),
        }
    }

    async fn write_req_open(
        &mut self,
        client: &SocketAddr,
        path: &Path,
        _size: Option<u64>,
    ) -> Result<Sink, packet::Error> {
        let node = self.clients.node(client.ip());
        let transfer = Transfer::new(&self.events, node, path.to_string_lossy().into_owned(), None);
        tell(&transfer, "refused", "");
        Err(packet::Error::PermissionDenied)
    }
}

/// Answers requests until `stop` is cancelled. Blocks while it reads files.
pub(super) async fn run(
    socket: UdpSocket,
    shelf: Shelf,
    clients: Clients,
    events: Emitter,
    stop: CancellationToken,
) {
    let counter = Counter { shelf, clients, events: events.clone() };
    let server = TftpServerBuilder::with_handler(counter).std_socket(socket).map(|builder| {
        builder.timeout(PATIENCE).max_send_retries(RETRIES).block_size_limit(BLOCK).window_size_limit(WINDOW)
    });
    let ended = async {
        match server {
            Ok(server) => server.build().await?.serve().await,
            Err(error) => Err(error),
        }
    };
    if let Some(Err(error)) = stop.run_until_cancelled(ended).await {
        failed(&events, "tftp", &error.to_string());
    }
}

#[cfg(test)]
mod tests;
