//! A body of parts in memory and of files.

use std::collections::VecDeque;
use std::io;
use std::os::unix::fs::FileExt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::{Bytes, BytesMut};
use hyper::body::{Body, Frame, SizeHint};

use super::disk::Ahead;
use super::fault::Flow;
use super::reply::Piece;
use super::response_event::ResponseEvent;
use super::wire::Pipe;

/// How much of a file is read at a time with HTTPS: large enough for speed, small enough for many clients.
const CHUNK: usize = 128 << 10;

/// How the bytes of a file reach the connection.
pub(super) enum Way {
    /// The kernel sends them from the file.
    Pipe(Pipe),
    /// They are read into memory, to be encrypted.
    Memory,
}

/// A body that is being sent.
pub(super) struct Outgoing {
    pieces: VecDeque<Piece>,
    left: u64,
    way: Way,
    /// How much of the current file is in the page cache.
    ahead: Ahead,
    flow: Flow,
    response_event: Arc<ResponseEvent>,
}

impl Outgoing {
    /// Creates a body from pieces.
    pub(super) fn new(pieces: Vec<Piece>, way: Way, flow: Flow, response_event: ResponseEvent) -> Self {
        let pieces: VecDeque<Piece> = pieces.into_iter().filter(|piece| piece.length() > 0).collect();
        let left = pieces.iter().map(Piece::length).sum();
        Self { pieces, left, way, ahead: Ahead::default(), flow, response_event: Arc::new(response_event) }
    }

    fn next(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Option<Bytes>>> {
        let Some(piece) = self.pieces.front_mut() else { return Poll::Ready(Ok(None)) };
        let most = ready!(self.flow.poll(cx))?;
        let bytes = match (piece, &self.way) {
            (Piece::Bytes(bytes), _) => {
                let now = bytes.split_to(bytes.len().min(usize::try_from(most).unwrap_or(usize::MAX)));
                self.response_event.add(now.len() as u64);
                now
            }
            (Piece::File { file, at, left }, Way::Pipe(pipe)) => {
                let hole = pipe.placeholder(file, *at, (*left).min(most), &self.response_event);
                *at += hole.len() as u64;
                *left -= hole.len() as u64;
                hole
            }
            (Piece::File { file, at, left }, Way::Memory) => {
                let available = ready!(self.ahead.poll(cx, file, *at, *left)).min(most);
                let mut chunk = BytesMut::zeroed(CHUNK.min(usize::try_from(available).unwrap_or(CHUNK)));
                file.read_exact_at(&mut chunk, *at)?;
                *at += chunk.len() as u64;
                *left -= chunk.len() as u64;
                self.response_event.add(chunk.len() as u64);
                chunk.freeze()
            }
        };
        if self.pieces.front().is_some_and(|piece| piece.length() == 0) {
            self.pieces.pop_front();
            self.ahead = Ahead::default();
        }
        self.left -= bytes.len() as u64;
        self.flow.sent(bytes.len() as u64);
        Poll::Ready(Ok(Some(bytes)))
    }
}

impl Body for Outgoing {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        self.next(cx).map(|next| next.map(|bytes| bytes.map(Frame::data)).transpose())
    }

    fn is_end_stream(&self) -> bool {
        self.left == 0
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left)
    }
}
