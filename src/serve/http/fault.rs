//! What faults make of responses.

use std::io;
use std::os::fd::OwnedFd;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use bytes::Bytes;
use nix::libc;
use nix::sys::socket::setsockopt;
use nix::sys::socket::sockopt::Linger;
use tokio::time::Sleep;

use super::reply::{Piece, Reply};
use crate::lab::HttpFault;

/// How often a slow body goes on.
const TICK: Duration = Duration::from_millis(100);

/// Tells whether a fault can happen to the response to a request.
pub(super) fn applies(fault: &HttpFault, headers: &HeaderMap, is_tls: bool) -> bool {
    match fault {
        HttpFault::ToHttps => !is_tls,
        HttpFault::NoRanges => headers.contains_key(header::RANGE),
        HttpFault::Status(_)
        | HttpFault::Short
        | HttpFault::Slow(_)
        | HttpFault::Reset
        | HttpFault::Silent
        | HttpFault::WrongLength => true,
    }
}

/// Changes the response to a request for a path with its query. Returns what happens to its body.
pub(super) fn spoil(
    fault: &HttpFault,
    path: &str,
    asked: &HeaderMap,
    reply: &mut Reply,
    socket: Option<Arc<OwnedFd>>,
) -> Flow {
    let length = |reply: &Reply| reply.body.iter().map(Piece::length).sum::<u64>();
    match fault {
        HttpFault::Status(status) => {
            let status = StatusCode::from_u16(*status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
            *reply = error(status, &format!("{status}\n"));
        }
        HttpFault::ToHttps => {
            let host = asked.get(header::HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
            let (name, port) = host.rsplit_once(':').unwrap_or((host, ""));
            let host = if port.parse::<u16>().is_ok() { name } else { host };
            *reply = error(StatusCode::MOVED_PERMANENTLY, "moved\n");
            if let Ok(location) = HeaderValue::try_from(format!("https://{host}{path}")) {
                reply.headers.insert(header::LOCATION, location);
            }
        }
        HttpFault::WrongLength => {
            // A response to HEAD has the length, and no body.
            let said =
                reply.headers.get(header::CONTENT_LENGTH).and_then(|said| said.to_str().ok()?.parse().ok());
            let half = said.unwrap_or_else(|| length(reply)) / 2;
            cut(&mut reply.body, half);
            reply.headers.insert(header::CONTENT_LENGTH, half.into());
        }
        // The request was read without its range.
        HttpFault::NoRanges => drop(reply.headers.remove(header::ACCEPT_RANGES)),
        HttpFault::Short => {
            let half = length(reply) / 2;
            return Flow {
                breaks: (half > 0).then_some(Break { after: half, reset: None, rest: None }),
                pace: None,
            };
        }
        HttpFault::Reset => {
            let half = length(reply) / 2;
            return Flow { breaks: Some(Break { after: half, reset: socket, rest: None }), pace: None };
        }
        HttpFault::Slow(rate) => return Flow { breaks: None, pace: Some(Pace::new(rate.0.0)) },
        // There is no response.
        HttpFault::Silent => {}
    }
    Flow::default()
}

fn error(status: StatusCode, text: &str) -> Reply {
    let mut headers = HeaderMap::new();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    headers.insert(header::CONTENT_LENGTH, text.len().into());
    let body = vec![Piece::Bytes(Bytes::copy_from_slice(text.as_bytes()))];
    Reply { status, headers, body, role: None, rule: String::new(), range: None }
}

/// Cuts a body after so many bytes.
fn cut(body: &mut Vec<Piece>, mut left: u64) {
    body.retain_mut(|piece| {
        let kept = piece.length().min(left);
        left -= kept;
        piece.limit(kept);
        kept > 0
    });
}

/// What happens to a body while it is sent.
#[derive(Debug, Default)]
pub(super) struct Flow {
    breaks: Option<Break>,
    pace: Option<Pace>,
}

#[derive(Debug)]
struct Break {
    /// After so many bytes.
    after: u64,
    /// The socket, if the connection is reset and not closed.
    reset: Option<Arc<OwnedFd>>,
    /// What came before is on its way until then.
    rest: Option<Pin<Box<Sleep>>>,
}

/// The pace of a slow body.
#[derive(Debug)]
struct Pace {
    /// Bytes of each tick.
    share: u64,
    /// How long a tick is.
    tick: Duration,
    next: Option<Pin<Box<Sleep>>>,
}

impl Pace {
    fn new(rate: u64) -> Self {
        let ticks = u64::try_from(Duration::from_secs(1).as_millis() / TICK.as_millis()).unwrap_or(1);
        match rate / ticks {
            // A byte at a time.
            0 => Self {
                share: 1,
                tick: Duration::from_secs(1) / u32::try_from(rate).unwrap_or(1).max(1),
                next: None,
            },
            share => Self { share, tick: TICK, next: None },
        }
    }
}

impl Flow {
    /// Returns how many of the next bytes are sent now; everything if nothing is wrong.
    #[expect(clippy::disallowed_methods, reason = "what is waited for is that time passes")]
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<u64>> {
        let mut most = u64::MAX;
        if let Some(pace) = &mut self.pace {
            if let Some(next) = &mut pace.next {
                ready!(next.as_mut().poll(cx));
            }
            pace.next = Some(Box::pin(tokio::time::sleep(pace.tick)));
            most = pace.share;
        }
        if let Some(breaks) = &mut self.breaks {
            if breaks.after == 0 {
                let rest = breaks.rest.get_or_insert_with(|| Box::pin(tokio::time::sleep(TICK)));
                ready!(rest.as_mut().poll(cx));
                if let Some(socket) = &breaks.reset {
                    let at_once = libc::linger { l_onoff: 1, l_linger: 0 };
                    // The connection is closed in any case.
                    setsockopt(socket, Linger, &at_once).ok();
                }
                return Poll::Ready(Err(io::Error::other("the connection breaks here")));
            }
            most = most.min(breaks.after);
        }
        Poll::Ready(Ok(most))
    }

    /// Counts bytes that were handed on.
    pub(super) fn sent(&mut self, bytes: u64) {
        if let Some(breaks) = &mut self.breaks {
            breaks.after = breaks.after.saturating_sub(bytes);
        }
    }
}
