//! Sends files with `sendfile`, below hyper, which does not know about it.
//!
//! hyper takes bodies as bytes in memory. So a body that is a file yields slices
//! of a *hole*: memory that is never written or read, of the length of the data.
//! hyper frames it, counts it and writes it; here, where it would be written, the
//! hole is recognised by its address, and `sendfile` sends the bytes that it
//! represents: the next [`FileRange`] of the [`Pipe`] that body and connection
//! share. Both have the same order, because HTTP/1.1 sends one response after
//! the other.
//!
//! Stalled connections are closed here as well.

use std::collections::VecDeque;
use std::fs::File;
use std::future::Future;
use std::io::{self, IoSlice};
use std::os::fd::{AsFd, AsRawFd};
use std::pin::Pin;
use std::sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use hyper::rt::{Read, ReadBufCursor, Write};
use hyper_util::rt::TokioIo;
use nix::sys::sendfile::sendfile64;
use nix::sys::socket::{MsgFlags, sendmsg};
use tokio::io::{AsyncRead, AsyncWrite, Interest, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::Sleep;

use super::disk::Ahead;
use super::response_event::ResponseEvent;
use crate::system::unacknowledged;

/// The largest slice of the hole, and therefore the most that one call sends.
const LARGEST: usize = 4 << 20;

/// The hole. It takes no memory, because its pages are never touched.
static HOLE: LazyLock<&'static [u8]> = LazyLock::new(|| Box::leak(vec![0; LARGEST].into_boxed_slice()));

fn is_hole(slice: &[u8]) -> bool {
    HOLE.as_ptr_range().contains(&slice.as_ptr())
}

/// The bytes of a file that a slice of the hole represents.
struct FileRange {
    file: Arc<File>,
    at: u64,
    left: u64,
    ahead: Ahead,
    response_event: Arc<ResponseEvent>,
}

/// The file ranges that one connection still has to send, in order.
#[derive(Clone, Default)]
pub(super) struct Pipe(Arc<Mutex<VecDeque<FileRange>>>);

impl Pipe {
    /// Returns a slice of the hole for the next bytes of a file, as many as fit.
    pub(super) fn placeholder(
        &self,
        file: &Arc<File>,
        at: u64,
        left: u64,
        response_event: &Arc<ResponseEvent>,
    ) -> Bytes {
        let length = left.min(LARGEST as u64);
        let (file, response_event) = (Arc::clone(file), Arc::clone(response_event));
        let stretch = FileRange { file, at, left: length, ahead: Ahead::default(), response_event };
        self.lock().push_back(stretch);
        Bytes::from_static(&HOLE[..length as usize])
    }

    fn lock(&self) -> MutexGuard<'_, VecDeque<FileRange>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What a client must read within the timeout, in bytes; far below the rate of any link.
const LEAST: u64 = 64 << 10;

/// A TCP connection that is closed when its client stalls for too long.
///
/// Progress is measured by acknowledgements: the kernel buffers megabytes that the client has yet to receive.
pub(super) struct StallGuard {
    stream: TcpStream,
    patience: Duration,
    written: u64,
    /// Set while a write is pending.
    waiting: Option<Waiting>,
}

struct Waiting {
    end: Pin<Box<Sleep>>,
    /// What the client had acknowledged when it started.
    taken: u64,
}

impl StallGuard {
    /// Guards a connection.
    pub(super) fn new(stream: TcpStream, patience: Duration) -> Self {
        Self { stream, patience, written: 0, waiting: None }
    }

    /// Passes on the result of a write, unless the client has acknowledged too little for too long.
    #[expect(clippy::disallowed_methods, reason = "what is waited for is that nothing happens")]
    fn watch(&mut self, cx: &mut Context<'_>, written: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        if let Poll::Ready(written) = written {
            self.written += *written.as_ref().unwrap_or(&0) as u64;
            return Poll::Ready(written);
        }
        loop {
            let (patience, taken) = (self.patience, self.taken()?);
            let waiting = self
                .waiting
                .get_or_insert_with(|| Waiting { end: Box::pin(tokio::time::sleep(patience)), taken });
            ready!(waiting.end.as_mut().poll(cx));
            if taken < waiting.taken + LEAST {
                return Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, "client stalled")));
            }
            self.waiting = None;
        }
    }

    /// Tells whether anything was sent to the client.
    pub(super) fn has_written(&self) -> bool {
        self.written > 0
    }

    /// Returns how many bytes the client has acknowledged.
    fn taken(&self) -> io::Result<u64> {
        Ok(self.written.saturating_sub(unacknowledged(self.stream.as_fd())?))
    }

    /// Sends as much of a file range as the socket accepts.
    fn poll_send(
        &mut self,
        cx: &mut Context<'_>,
        stretch: &FileRange,
        most: usize,
    ) -> Poll<io::Result<usize>> {
        let mut at = i64::try_from(stretch.at).map_err(io::Error::other)?;
        let sent = loop {
            match self.stream.poll_write_ready(cx) {
                Poll::Ready(Ok(())) => {}
                Poll::Ready(Err(error)) => break Poll::Ready(Err(error)),
                Poll::Pending => break Poll::Pending,
            }
            let send = || Ok(sendfile64(&self.stream, &stretch.file, Some(&mut at), most)?);
            match self.stream.try_io(Interest::WRITABLE, send) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                // The file was truncated: the announced length cannot be sent any more.
                Ok(0) => {
                    break Poll::Ready(Err(io::Error::new(
                        io::ErrorKind::UnexpectedEof,
                        "file truncated while sending",
                    )));
                }
                other => break Poll::Ready(other),
            }
        };
        self.watch(cx, sent)
    }

    /// Writes slices that will be followed by more, so that the kernel does not send them in a packet of their own.
    fn poll_write_before(&mut self, cx: &mut Context<'_>, slices: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
        let sent = loop {
            match self.stream.poll_write_ready(cx) {
                Poll::Ready(Ok(())) => {}
                Poll::Ready(Err(error)) => break Poll::Ready(Err(error)),
                Poll::Pending => break Poll::Pending,
            }
            let more = MsgFlags::from_bits_retain(nix::libc::MSG_MORE);
            let send = || Ok(sendmsg::<()>(self.stream.as_raw_fd(), slices, &[], more, None)?);
            match self.stream.try_io(Interest::WRITABLE, send) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                other => break Poll::Ready(other),
            }
        };
        self.watch(cx, sent)
    }
}

impl AsyncRead for StallGuard {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buffer)
    }
}

impl AsyncWrite for StallGuard {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(cx, bytes);
        self.watch(cx, written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(cx, slices);
        self.watch(cx, written)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        // No write is pending.
        self.waiting = None;
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

/// A connection as hyper sees it.
pub(super) struct Wire {
    io: TokioIo<StallGuard>,
    pipe: Pipe,
}

impl Wire {
    /// Creates a connection whose file bodies come through a pipe.
    pub(super) fn new(stream: StallGuard, pipe: Pipe) -> Self {
        Self { io: TokioIo::new(stream), pipe }
    }

    /// Sends the file range that the first bytes of the hole represent.
    fn poll_hole(&mut self, cx: &mut Context<'_>, most: usize) -> Poll<io::Result<usize>> {
        let mut stretches = self.pipe.lock();
        let Some(stretch) = stretches.front_mut() else {
            return Poll::Ready(Err(io::Error::other("a hole that stands for nothing")));
        };
        let available = ready!(stretch.ahead.poll(cx, &stretch.file, stretch.at, stretch.left));
        let most = most.min(usize::try_from(available).unwrap_or(usize::MAX));
        let sent = ready!(self.io.inner_mut().poll_send(cx, stretch, most))?;
        stretch.at += sent as u64;
        stretch.left -= sent as u64;
        stretch.response_event.add(sent as u64);
        if stretch.left == 0 {
            let done = stretches.pop_front();
            drop(stretches);
            drop(done);
        }
        Poll::Ready(Ok(sent))
    }
}

impl Read for Wire {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_read(cx, buffer)
    }
}

impl Write for Wire {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        if is_hole(bytes) {
            self.poll_hole(cx, bytes.len())
        } else {
            Pin::new(&mut self.io).poll_write(cx, bytes)
        }
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let filled = slices.iter().position(|slice| !slice.is_empty()).unwrap_or(0);
        let slices = &slices[filled..];
        match slices.iter().position(|slice| is_hole(slice)) {
            None => Pin::new(&mut self.io).poll_write_vectored(cx, slices),
            Some(0) => self.poll_hole(cx, slices[0].len()),
            Some(hole) => self.io.inner_mut().poll_write_before(cx, &slices[..hole]),
        }
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}
