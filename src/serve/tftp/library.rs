//! The async-tftp backend, behind the same interface.
//!
//! It does not notice that a client aborts, waits for a whole timeout if the first
//! block of a window is lost, and does not report the negotiated options. That is why
//! our own [`engine`](super::engine) is the default. Everything else is compared with it in tests.

use std::io;
use std::net::SocketAddr;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use async_tftp::packet;
use async_tftp::server::{Handler, TftpServerBuilder};
use futures_util::future::try_join_all;
use futures_util::io::{AsyncRead, Sink};
use tokio::runtime::Handle;
use tokio_util::sync::CancellationToken;

use super::handler::{Delivery, Opened, TftpHandler};
use super::packet::Mode;
use super::source::Source;
use super::{Listener, Missing};
use crate::event::TftpOutcome;

/// The retransmission timeout.
const PATIENCE: Duration = Duration::from_secs(1);
const RETRIES: u32 = 5;
const WINDOW: u16 = 64;

/// Answers requests on these sockets until `stop` is cancelled. Blocks its thread.
///
/// The library has one task for all transfers of a socket and reads files as it sends, so it has its own thread.
pub(super) fn serve(
    listeners: Vec<Listener>,
    handler: TftpHandler,
    stop: CancellationToken,
) -> io::Result<()> {
    let ended = try_join_all(listeners.into_iter().map(|listener| answer(listener, handler.clone())));
    let ended = async { ended.await.map(drop).map_err(io::Error::other) };
    Handle::current().block_on(stop.run_until_cancelled(ended)).unwrap_or(Ok(()))
}

async fn answer(listener: Listener, handler: TftpHandler) -> Result<(), async_tftp::Error> {
    let server = TftpServerBuilder::with_handler(Counter { handler })
        .std_socket(listener.socket)?
        .timeout(PATIENCE)
        .max_send_retries(RETRIES)
        .block_size_limit(u16::try_from(listener.largest).unwrap_or(u16::MAX))
        .window_size_limit(WINDOW);
    server.build().await?.serve().await
}

/// Opens files for clients.
struct Counter {
    handler: TftpHandler,
}

/// A file or text that is sent to a client. Emits its event when it is dropped.
struct Outgoing {
    source: Source,
    delivery: Delivery,
    at: u64,
    size: u64,
    /// When it was last read.
    read: u64,
    now: Box<dyn Fn() -> u64 + Send>,
}

impl Drop for Outgoing {
    fn drop(&mut self) {
        // The library drops an acknowledged transfer at once, an unacknowledged one after all retries.
        let waited = Duration::from_nanos((self.now)().saturating_sub(self.read));
        let sent = self.at == self.size && waited < PATIENCE * RETRIES;
        self.delivery.tell(if sent { TftpOutcome::Sent } else { TftpOutcome::Aborted });
    }
}

impl AsyncRead for Outgoing {
    fn poll_read(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        let this = &mut *self;
        let read = this.source.read(this.at, buffer)?;
        this.at += read as u64;
        this.delivery.came_to(this.at);
        if read > 0 {
            this.read = (this.now)();
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
        if !self.handler.may_ask(*client) {
            // The library replies in any case; this reply is shorter than the request.
            return Err(packet::Error::PermissionDenied);
        }
        match self.handler.open(*client, path.as_os_str().as_bytes(), Mode::Octet) {
            Ok(Opened { source, size, delivery }) => {
                let now = self.handler.clock();
                let read = now();
                Ok((Outgoing { source, delivery, at: 0, size, read, now }, Some(size)))
            }
            Err(Missing::Refused(_)) => Err(packet::Error::PermissionDenied),
            Err(Missing::Unknown | Missing::Gone(_)) => Err(packet::Error::FileNotFound),
        }
    }

    async fn write_req_open(
        &mut self,
        client: &SocketAddr,
        path: &Path,
        _size: Option<u64>,
    ) -> Result<Sink, packet::Error> {
        self.handler.refuse_write(*client, path.as_os_str().as_bytes());
        Err(packet::Error::PermissionDenied)
    }
}
