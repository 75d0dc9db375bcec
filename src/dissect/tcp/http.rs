//! HTTP/1 (RFC 9112): requests with the heads of their responses. Bodies are counted.

use std::collections::VecDeque;
use std::time::Duration;

use super::{Ends, Side};
use crate::dissect::Context;
use crate::dissect::news::Topic;
use crate::dissect::role;
use crate::event::{Known, RunTime, Service};
use crate::wire::format;

/// Methods with the space that follows.
const METHODS: &[&[u8]] = &[
    b"GET ",
    b"HEAD ",
    b"POST ",
    b"PUT ",
    b"DELETE ",
    b"OPTIONS ",
    b"PATCH ",
    b"CONNECT ",
    b"PROPFIND ",
    b"TRACE ",
];
pub(super) const LONGEST_METHOD: usize = 9;
/// The largest head that is read.
const LARGEST_HEAD: usize = 32 << 10;
/// The longest line between chunks.
const LONGEST_LINE: usize = 256;
/// Requests that wait, and responses that wait for their acknowledgement.
const MOST_PIPELINED: usize = 64;
/// Time between two reports of a transfer's progress.
const REPORT: Duration = Duration::from_secs(1);
const LONGEST_PATH: usize = 1024;

/// Tells whether bytes begin with a method; `None` if they are too few.
pub(super) fn is_request(bytes: &[u8]) -> Option<bool> {
    if METHODS.iter().any(|method| bytes.starts_with(method)) {
        return Some(true);
    }
    let may_become = METHODS.iter().any(|method| method.starts_with(bytes));
    (!may_become).then_some(false)
}

/// A connection that speaks HTTP.
#[derive(Debug, Default)]
pub(super) struct Http {
    client: Reader,
    server: Reader,
    requests: VecDeque<Request>,
    response: Option<Response>,
    /// Whole responses that the client has not acknowledged yet.
    sent: VecDeque<Response>,
    /// Whether both sides speak something else by now.
    is_tunnel: bool,
}

#[derive(Debug)]
struct Request {
    method: String,
    path: String,
    at: RunTime,
    /// Whether it was reported as unanswered.
    told: bool,
}

#[derive(Debug)]
struct Response {
    request: Request,
    status: u16,
    bytes: u64,
    total: Option<u64>,
    range: Option<String>,
    head: Vec<u8>,
    /// Whether `head` can still grow.
    is_continuous: bool,
    /// Where it ends, in bytes of the server since the beginning.
    end: u64,
    reported: RunTime,
    /// When its last bytes came.
    last: RunTime,
}

/// What comes next from a side.
#[derive(Debug)]
enum Reader {
    /// A head, of which this is known.
    Head(Vec<u8>),
    /// This many bytes of a body.
    Body(u64),
    /// A chunk's size, of which this is known.
    ChunkSize(Vec<u8>),
    /// This many bytes of a chunk.
    Chunk(u64),
    /// The end of the line after a chunk.
    ChunkEnd,
    /// Lines after the last chunk, of which this is known.
    Trailer(Vec<u8>),
    /// A body that ends with the connection.
    UntilClose,
    /// Nothing that can be told apart.
    Lost,
}

impl Reader {
    fn memory(&self) -> usize {
        match self {
            Self::Head(known) | Self::ChunkSize(known) | Self::Trailer(known) => known.capacity(),
            Self::Body(_) | Self::Chunk(_) | Self::ChunkEnd | Self::UntilClose | Self::Lost => 0,
        }
    }
}

impl Default for Reader {
    fn default() -> Self {
        Self::Head(Vec::new())
    }
}

/// How a body ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Framing {
    Length(u64),
    Chunked,
    UntilClose,
}

impl Http {
    /// Returns how many bytes are kept.
    pub(super) fn memory(&self) -> usize {
        let waiting: usize = self.requests.iter().map(Request::memory).sum();
        let answered: usize = self.response.iter().chain(&self.sent).map(Response::memory).sum();
        self.client.memory() + self.server.memory() + waiting + answered
    }

    /// Returns how many of the next bytes of a side are only counted.
    pub(super) fn uninteresting(&self, side: Side) -> u64 {
        let reader = match side {
            Side::Client => &self.client,
            Side::Server => &self.server,
        };
        match reader {
            Reader::Body(left) | Reader::Chunk(left) => *left,
            Reader::UntilClose | Reader::Lost => u64::MAX,
            Reader::Head(_) | Reader::ChunkSize(_) | Reader::ChunkEnd | Reader::Trailer(_) => 0,
        }
    }

    /// Reads bytes of a side; `length - bytes.len()` of them are missing at the end. `passed` is how many bytes of this
    /// side have come with them. Returns how many of the bytes are no contents of files.
    #[expect(clippy::too_many_arguments, reason = "bytes and where they stand in the stream")]
    pub(super) fn read(
        &mut self,
        context: &mut Context<'_>,
        ends: &Ends,
        at: RunTime,
        side: Side,
        bytes: &[u8],
        length: u64,
        passed: u64,
    ) -> usize {
        let (mut rest, mut left) = (bytes, length);
        let mut kept = 0;
        while left > 0 {
            let used = self.step(ends, at, side, rest, left, passed - left);
            if used.is_text {
                kept = bytes.len()
                    - rest.len().saturating_sub(usize::try_from(used.length).unwrap_or(usize::MAX));
            }
            left -= used.length.min(left);
            rest = rest.get(usize::try_from(used.length).unwrap_or(usize::MAX)..).unwrap_or_default();
            self.whole_response(side, passed - left);
        }
        if side == Side::Server {
            self.report(context, ends, at);
        }
        kept
    }

    /// Reads the next part. `begin` is where it begins in the stream.
    fn step(&mut self, ends: &Ends, at: RunTime, side: Side, rest: &[u8], left: u64, begin: u64) -> Used {
        let reader = match side {
            Side::Client => &mut self.client,
            Side::Server => &mut self.server,
        };
        match reader {
            Reader::Head(head) => {
                let before = head.len();
                head.extend_from_slice(&rest[..rest.len().min(LARGEST_HEAD.saturating_sub(before))]);
                // Empty lines between messages are allowed.
                let blank = if head.starts_with(b"\r\n") { 2 } else { 0 };
                if blank > 0 && before < 2 {
                    head.clear();
                    return Used::text((2 - before) as u64);
                }
                match end_of_head(head) {
                    Some(end) => {
                        let head = std::mem::take(head);
                        self.head(ends, at, side, &head[..end], begin);
                        Used::text((end - before) as u64)
                    }
                    // Something is missing, or it is no head.
                    None if (rest.len() as u64) < left || head.len() >= LARGEST_HEAD => {
                        self.lose(side);
                        Used::content(left)
                    }
                    None => Used::text(left),
                }
            }
            Reader::Body(more) | Reader::Chunk(more) => {
                let length = left.min(*more);
                *more -= length;
                let is_over = *more == 0;
                let is_chunk = matches!(reader, Reader::Chunk(_));
                if is_over {
                    *reader = if is_chunk { Reader::ChunkEnd } else { Reader::default() };
                }
                self.content(at, side, rest, length);
                Used::content(length)
            }
            Reader::UntilClose => {
                self.content(at, side, rest, left);
                Used::content(left)
            }
            Reader::ChunkEnd => {
                let length = left.min(2);
                match rest {
                    [b'\r', b'\n', ..] | [b'\n', ..] => {
                        let length = if rest[0] == b'\n' { 1 } else { 2 };
                        *reader = Reader::ChunkSize(Vec::new());
                        Used::text(length)
                    }
                    // The line ends in the next segment.
                    [b'\r'] if left == 1 => Used::text(1),
                    _ if rest.is_empty() && left <= 2 => {
                        *reader = Reader::ChunkSize(Vec::new());
                        Used::content(length)
                    }
                    _ => {
                        self.lose(side);
                        Used::content(left)
                    }
                }
            }
            Reader::ChunkSize(line) => {
                let (used, is_whole) = take_line(line, rest);
                if !is_whole {
                    if used == 0 || line.len() > LONGEST_LINE || (used as u64) < left {
                        self.lose(side);
                        return Used::content(left);
                    }
                    return Used::text(used as u64);
                }
                let digits =
                    line.split(|byte| matches!(byte, b';' | b'\r' | b'\n' | b' ')).next().unwrap_or_default();
                let size =
                    std::str::from_utf8(digits).ok().and_then(|digits| u64::from_str_radix(digits, 16).ok());
                match size {
                    Some(0) => *reader = Reader::Trailer(Vec::new()),
                    Some(size) => *reader = Reader::Chunk(size),
                    None => {
                        self.lose(side);
                        return Used::content(left);
                    }
                }
                Used::text(used as u64)
            }
            Reader::Trailer(line) => {
                let (used, is_whole) = take_line(line, rest);
                if !is_whole && (used == 0 || line.len() > LONGEST_LINE || (used as u64) < left) {
                    self.lose(side);
                    return Used::content(left);
                }
                if is_whole {
                    let is_last = matches!(line.as_slice(), b"\r\n" | b"\n");
                    *reader = if is_last { Reader::default() } else { Reader::Trailer(Vec::new()) };
                }
                Used::text(used as u64)
            }
            Reader::Lost => {
                // A new response shows where the last one ended.
                if side == Side::Server && rest.starts_with(b"HTTP/1.") && !self.requests.is_empty() {
                    if let Some(mut response) = self.response.take() {
                        response.end = begin;
                        self.sent.push_back(response);
                    }
                    self.server = Reader::default();
                    return Used::text(0);
                }
                self.content(at, side, rest, left);
                Used::content(left)
            }
        }
    }

    /// Bytes are missing, so that what follows cannot be told apart.
    fn lose(&mut self, side: Side) {
        match side {
            Side::Client => self.client = Reader::Lost,
            Side::Server => self.server = Reader::Lost,
        }
    }

    /// Counts contents.
    fn content(&mut self, at: RunTime, side: Side, rest: &[u8], length: u64) {
        let (Side::Server, Some(response)) = (side, &mut self.response) else { return };
        response.bytes += length;
        response.last = at;
        if response.is_continuous && response.head.len() < role::HEAD {
            let here = rest.len().min(usize::try_from(length).unwrap_or(usize::MAX));
            response.head.extend_from_slice(&rest[..here.min(role::HEAD - response.head.len())]);
            response.is_continuous = here as u64 == length;
        }
    }

    /// Reads a head.
    fn head(&mut self, ends: &Ends, at: RunTime, side: Side, head: &[u8], begin: u64) {
        match side {
            Side::Client => self.request(at, head),
            Side::Server => self.answer(ends, at, head, begin),
        }
    }

    fn request(&mut self, at: RunTime, head: &[u8]) {
        let mut words = first_line(head).split(' ');
        let (Some(method), Some(target), Some(version)) = (words.next(), words.next(), words.next()) else {
            return self.lose(Side::Client);
        };
        if !version.starts_with("HTTP/1.") {
            return self.lose(Side::Client);
        }
        self.client = match framing(head, None) {
            Framing::Length(0) | Framing::UntilClose => Reader::default(),
            Framing::Length(length) => Reader::Body(length),
            Framing::Chunked => Reader::ChunkSize(Vec::new()),
        };
        // A client that asks again has the answer to its last request, of which the capture missed something.
        if matches!(self.server, Reader::Lost) && !self.is_tunnel {
            self.requests.clear();
            self.sent.extend(self.response.take());
            self.server = Reader::default();
        }
        if self.requests.len() < MOST_PIPELINED {
            self.requests.push_back(Request {
                method: method.to_owned(),
                path: path(target),
                at,
                told: false,
            });
        }
    }

    fn answer(&mut self, ends: &Ends, at: RunTime, head: &[u8], begin: u64) {
        let mut words = first_line(head).splitn(3, ' ');
        let version = words.next().unwrap_or_default();
        let status = words.next().and_then(|status| status.parse::<u16>().ok());
        let (true, Some(status)) = (version.starts_with("HTTP/1."), status) else {
            return self.lose(Side::Server);
        };
        // A head before the actual one.
        if (100..200).contains(&status) && status != 101 {
            return;
        }
        let unknown = || Request { method: "?".to_owned(), path: "?".to_owned(), at, told: false };
        let request = self.requests.pop_front().unwrap_or_else(unknown);
        let has_no_body = request.method == "HEAD" || matches!(status, 204 | 304);
        let is_tunnel = status == 101 || (request.method == "CONNECT" && (200..300).contains(&status));
        let framing = if has_no_body || is_tunnel { Framing::Length(0) } else { framing(head, Some(ends)) };
        let total = match framing {
            Framing::Length(length) => Some(length),
            Framing::Chunked | Framing::UntilClose => None,
        };
        self.server = match framing {
            _ if is_tunnel => Reader::Lost,
            Framing::Length(0) => Reader::default(),
            Framing::Length(length) => Reader::Body(length),
            Framing::Chunked => Reader::ChunkSize(Vec::new()),
            Framing::UntilClose => Reader::UntilClose,
        };
        let response = Response {
            request,
            status,
            bytes: 0,
            total,
            range: (status == 206).then(|| header(head, "content-range").map(str::to_owned)).flatten(),
            head: Vec::new(),
            is_continuous: true,
            end: begin + head.len() as u64,
            reported: at,
            last: at,
        };
        self.response = Some(response);
        self.is_tunnel = is_tunnel;
        if is_tunnel && let Some(response) = self.response.take() {
            self.sent.push_back(response);
        }
    }

    /// Moves a response that is whole to those that wait for their acknowledgement.
    fn whole_response(&mut self, side: Side, end: u64) {
        if side == Side::Server
            && let Reader::Head(head) = &self.server
            && head.is_empty()
            && let Some(mut response) = self.response.take()
        {
            response.end = end;
            self.sent.push_back(response);
        }
    }

    /// Handles the client's acknowledgement of the bytes before `until`.
    pub(super) fn acknowledged(&mut self, context: &mut Context<'_>, ends: &Ends, at: RunTime, until: u64) {
        while self.sent.front().is_some_and(|response| response.end <= until)
            || self.sent.len() > MOST_PIPELINED
        {
            if let Some(response) = self.sent.pop_front() {
                response.tell(context, ends, at, true);
            }
        }
    }

    /// Handles the end of what the server says; `in_order` if it said so itself.
    pub(super) fn ended(&mut self, context: &mut Context<'_>, ends: &Ends, at: RunTime, in_order: bool) {
        // If the client's packets are not captured, nothing is acknowledged.
        while let Some(response) = self.sent.pop_front() {
            response.tell(context, ends, at, in_order);
        }
        if let Some(response) = self.response.take() {
            // Of chunks, the capture may lack some bytes.
            let complete = in_order && matches!(self.server, Reader::UntilClose | Reader::Lost);
            response.tell(context, ends, at, complete);
        }
    }

    /// Reports requests of a connection that ended without a response.
    pub(super) fn unanswered(&mut self, context: &mut Context<'_>, ends: &Ends, at: RunTime) {
        // The server said something that was not captured or is no response.
        if matches!(self.server, Reader::Lost) {
            return;
        }
        for request in self.requests.drain(..).filter(|request| !request.told) {
            request.unanswered(context, ends, at);
        }
    }

    /// Returns since when a request waits for its response that was not reported yet.
    pub(super) fn waits_since(&self) -> Option<RunTime> {
        let first = self.requests.front().filter(|request| !request.told)?;
        (self.response.is_none() && !matches!(self.server, Reader::Lost)).then_some(first.at)
    }

    /// Reports a request that has waited for its response for too long.
    pub(super) fn silent(&mut self, context: &mut Context<'_>, ends: &Ends, now: RunTime) {
        if let Some(request) = self.requests.front_mut() {
            request.told = true;
            request.unanswered(context, ends, now);
        }
    }

    /// Reports the progress of a response from another server than the lab's.
    fn report(&mut self, context: &mut Context<'_>, ends: &Ends, at: RunTime) {
        let Some(response) = self.response.as_mut().filter(|response| at.since(response.reported) >= REPORT)
        else {
            return;
        };
        response.reported = at;
        if !ends.is_own {
            let known = Known::Fetching {
                path: response.request.path.clone(),
                bytes: response.bytes,
                total: response.total,
            };
            context.tell(at, Topic::Fetching, ends.node.clone(), Some(ends.exchange()), known);
        }
    }
}

impl Request {
    fn unanswered(&self, context: &mut Context<'_>, ends: &Ends, at: RunTime) {
        let known = Known::Unanswered {
            network: context.world.network(ends.segment).clone(),
            service: Service::Http,
            what: format!("{} {}", self.method, self.path),
            server: Some(ends.server.ip()),
            times: 1,
        };
        context.tell(at, Topic::Unanswered, ends.node.clone(), Some(ends.exchange()), known);
    }

    fn memory(&self) -> usize {
        size_of::<Self>() + self.method.capacity() + self.path.capacity()
    }
}

impl Response {
    fn memory(&self) -> usize {
        let range = self.range.as_ref().map_or(0, String::capacity);
        size_of::<Self>() + self.request.memory() + self.head.capacity() + range
    }

    fn tell(self, context: &mut Context<'_>, ends: &Ends, at: RunTime, complete: bool) {
        let Self {
            request: Request { method, path, at: began, told: _ },
            status,
            bytes,
            range,
            head,
            last,
            ..
        } = self;
        // One that was given up ended when nothing came any more, not when that was certain.
        let at = if complete { at } else { last };
        let is_file = (200..300).contains(&status) && bytes > 0;
        let role = is_file.then(|| role::of(&path, &head));
        if complete {
            context.fetched(ends.node.as_ref(), role.as_ref());
        }
        let known = Known::HttpServed {
            role,
            format: (bytes > 0 && !head.is_empty()).then(|| format::of(&head)),
            method,
            path,
            status,
            bytes,
            complete,
            ms: at.micros_since(began) / 1_000,
            rule: String::new(),
            range,
            tls: None,
            server: Some(ends.server).filter(|_| !ends.is_own),
        };
        context.tell(at, Topic::Http, ends.node.clone(), Some(ends.exchange()), known);
    }
}

/// How many bytes a step has used, and whether they are text of the protocol.
struct Used {
    length: u64,
    is_text: bool,
}

impl Used {
    fn text(length: u64) -> Self {
        Self { length, is_text: true }
    }

    fn content(length: u64) -> Self {
        Self { length, is_text: false }
    }
}

/// Appends bytes to a line up to its end. Returns how many, and whether the line is whole.
fn take_line(line: &mut Vec<u8>, rest: &[u8]) -> (usize, bool) {
    let window = &rest[..rest.len().min(LONGEST_LINE + 1)];
    let (used, is_whole) = match window.iter().position(|byte| *byte == b'\n') {
        Some(end) => (end + 1, true),
        None => (window.len(), false),
    };
    line.extend_from_slice(&window[..used]);
    (used, is_whole)
}

/// Returns where a head ends: after its empty line.
fn end_of_head(head: &[u8]) -> Option<usize> {
    let mut start = 0;
    while let Some(at) = head[start..].iter().position(|byte| *byte == b'\n') {
        let next = start + at + 1;
        match head.get(next..) {
            Some([b'\n', ..]) => return Some(next + 1),
            Some([b'\r', b'\n', ..]) => return Some(next + 2),
            _ => start = next,
        }
    }
    None
}

fn first_line(head: &[u8]) -> &str {
    let line = head.split(|byte| matches!(byte, b'\r' | b'\n')).next().unwrap_or_default();
    std::str::from_utf8(line).unwrap_or_default()
}

/// Returns the value of a header.
fn header<'a>(head: &'a [u8], name: &str) -> Option<&'a str> {
    head.split(|byte| *byte == b'\n').skip(1).find_map(|line| {
        let (known, value) = std::str::from_utf8(line).ok()?.split_once(':')?;
        known.eq_ignore_ascii_case(name).then(|| value.trim())
    })
}

/// Returns how the body of a message ends; only that of a response may end with the connection.
fn framing(head: &[u8], response: Option<&Ends>) -> Framing {
    let is_chunked = header(head, "transfer-encoding").is_some_and(|codings| {
        codings.rsplit(',').next().is_some_and(|last| last.trim().eq_ignore_ascii_case("chunked"))
    });
    if is_chunked {
        return Framing::Chunked;
    }
    match header(head, "content-length").and_then(|length| length.parse().ok()) {
        Some(length) => Framing::Length(length),
        None if response.is_some() => Framing::UntilClose,
        None => Framing::Length(0),
    }
}

/// Returns the path and the query of a request's target.
fn path(target: &str) -> String {
    let path = match target.split_once("://") {
        Some(("http" | "https", rest)) => rest.find(['/', '?']).map_or("/", |at| &rest[at..]),
        _ => target,
    };
    let end = path.char_indices().nth(LONGEST_PATH).map_or(path.len(), |(at, _)| at);
    path[..end].to_owned()
}
