//! Receives and sends many datagrams with one system call.

use std::io::{self, IoSlice, IoSliceMut};
use std::net::{IpAddr, SocketAddr};
use std::os::fd::RawFd;

use nix::errno::Errno;
use nix::sys::socket::{MsgFlags, MultiHeaders, SockaddrStorage, recvmmsg, sendmmsg};

use crate::serve::segments::Segments;

/// Maximum number of datagrams per call.
const MOST: usize = 64;
/// Number of receive buffers if the last batch was small: each buffer costs time.
const FEW: usize = 8;
/// The longest query; anything longer is truncated and therefore rejected.
const QUESTION: usize = 1500;

/// Datagrams that were received together, and the answers to them.
pub(super) struct Batch {
    headers: MultiHeaders<SockaddrStorage>,
    buffers: Vec<[u8; QUESTION]>,
    /// Length and sender of each datagram.
    came: Vec<(usize, SocketAddr)>,
    answers: Vec<(SocketAddr, Vec<u8>)>,
    /// How many of the answers belong to this batch; the others are spare buffers.
    used: usize,
    segments: Segments,
}

impl Batch {
    /// Creates an empty batch.
    pub(super) fn new() -> Self {
        Self {
            headers: MultiHeaders::preallocate(MOST, None),
            buffers: vec![[0; QUESTION]; MOST],
            came: Vec::with_capacity(MOST),
            answers: Vec::new(),
            used: 0,
            segments: Segments::new(),
        }
    }

    /// Receives the datagrams that are available, without waiting.
    pub(super) fn receive(&mut self, socket: RawFd) -> io::Result<()> {
        let most = (2 * self.came.len()).clamp(FEW, MOST);
        self.used = 0;
        self.came.clear();
        let mut slices: Vec<[IoSliceMut<'_>; 1]> =
            self.buffers.iter_mut().take(most).map(|buffer| [IoSliceMut::new(buffer)]).collect();
        let came = recvmmsg(socket, &mut self.headers, slices.iter_mut(), MsgFlags::MSG_DONTWAIT, None)?;
        // A datagram without a sender keeps its slot, or the indices of those behind it would shift.
        let nobody = SocketAddr::from(([0, 0, 0, 0], 0));
        self.came
            .extend(came.map(|message| (message.bytes, message.address.and_then(plain).unwrap_or(nobody))));
        Ok(())
    }

    /// Returns the number of received datagrams.
    pub(super) fn len(&self) -> usize {
        self.came.len()
    }

    /// Returns the sender of a datagram, the datagram, and a buffer for its answer. The answer is sent only after
    /// `keep`.
    pub(super) fn datagram(&mut self, index: usize) -> (SocketAddr, &[u8], &mut Vec<u8>) {
        let (length, from) = self.came[index];
        if self.used == self.answers.len() {
            self.answers.push((from, Vec::new()));
        }
        let (to, room) = &mut self.answers[self.used];
        *to = from;
        (from, &self.buffers[index][..length], room)
    }

    /// Marks the last answer to be sent.
    pub(super) fn keep(&mut self) {
        self.used += 1;
    }

    /// Sends the answers. If the kernel's buffer is full, they are lost, as on any network.
    pub(super) fn send(&mut self, socket: RawFd) -> io::Result<()> {
        let answers = &mut self.answers[..self.used];
        // Answers of one length to one client are sent with one call. Their order does not matter.
        answers.sort_unstable_by_key(|(to, bytes)| (*to, bytes.len()));
        let mut alone: Vec<&(SocketAddr, Vec<u8>)> = Vec::new();
        for alike in answers.chunk_by(|one, next| one.0 == next.0 && one.1.len() == next.1.len()) {
            let (to, size) = (SockaddrStorage::from(alike[0].0), alike[0].1.len());
            for some in alike.chunks(Segments::most(size)) {
                let pieces: Vec<IoSlice<'_>> = some.iter().map(|(_, bytes)| IoSlice::new(bytes)).collect();
                if some.len() == 1 || !self.segments.send(socket, &pieces, size, &to) {
                    alone.extend(some);
                }
            }
        }
        one_by_one(socket, &alone)
    }
}

fn one_by_one(socket: RawFd, answers: &[&(SocketAddr, Vec<u8>)]) -> io::Result<()> {
    let slices: Vec<[IoSlice<'_>; 1]> = answers.iter().map(|(_, bytes)| [IoSlice::new(bytes)]).collect();
    let to: Vec<Option<SockaddrStorage>> = answers.iter().map(|(to, _)| Some((*to).into())).collect();
    let (mut sent, mut result) = (0, Ok(()));
    while sent < slices.len() {
        let (slices, to) = (slices[sent..].iter(), &to[sent..]);
        let mut headers = MultiHeaders::preallocate(to.len(), None);
        match sendmmsg(socket, &mut headers, slices, to, [], MsgFlags::MSG_DONTWAIT) {
            Ok(all) => sent += all.count().max(1),
            Err(Errno::EINTR) => {}
            Err(Errno::EAGAIN) => break,
            // An unreachable client must not delay the others.
            Err(error) => (sent, result) = (sent + 1, Err(error.into())),
        }
    }
    result
}

fn plain(address: SockaddrStorage) -> Option<SocketAddr> {
    if let Some(v4) = address.as_sockaddr_in() {
        return Some(SocketAddr::from((IpAddr::from(v4.ip()), v4.port())));
    }
    address.as_sockaddr_in6().map(|v6| SocketAddr::from(std::net::SocketAddrV6::from(*v6)))
}
