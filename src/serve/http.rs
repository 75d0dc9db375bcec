//! HTTP: scripts, seeds, kernels, a lab's own folder and other content of the plan. GET and HEAD only.
//!
//! [`mod@reply`] decides the response and sends nothing; [`wire`] sends files
//! without copying them; hyper implements the rest of the protocol. With HTTPS, files
//! are read in chunks, because they must be encrypted.

mod body;
mod condition;
mod disk;
mod fault;
#[cfg(any(test, fuzzing))]
pub(in crate::serve) mod fuzz;
mod range;
mod reply;
mod response_event;
mod wire;

use std::borrow::Cow;
use std::convert::Infallible;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::os::fd::{AsFd, OwnedFd};
use std::pin::pin;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::http::{HeaderMap, Request, Response, header};
use futures_util::future::{Either, select};
use hyper::rt::{Read, Write};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use nix::sys::socket::setsockopt;
use nix::sys::socket::sockopt::TcpUserTimeout;
use tokio::net::TcpStream;
use tokio_util::sync::CancellationToken;

use self::body::{Outgoing, Way};
use self::reply::{Reply, reply};
use self::response_event::ResponseEvent;
use self::wire::{Pipe, StallGuard, Wire};
use super::connection_limit::ConnectionLimit;
use super::content::{ContentStore, Missing};
use super::context::Context;
use super::failure::{FailureLog, failed};
use super::matchbox::{self, Matchbox, MatchboxRequest};
use super::tls::{self, Acceptors};
use super::transfer::Transfer;
use crate::event::{Exchange, Known, Service};
use crate::lab::{FaultKind, HttpFault, TlsFault};

/// Timeout for the head of a request, for an idle connection, and for a client that reads next to nothing or
/// acknowledges nothing.
pub(super) const PATIENCE: Duration = Duration::from_secs(60);

/// Grace period for running responses when the service ends.
const LEAVE: Duration = Duration::from_secs(8);

/// What every connection needs.
#[derive(Clone)]
pub(super) struct HttpHandler {
    pub(super) content: ContentStore,
    pub(super) context: Context,
    /// Is consulted before the content store.
    pub(super) matchbox: Option<Matchbox>,
    /// Once it is cancelled, connections close after their current responses.
    pub(super) ending: CancellationToken,
    /// [`PATIENCE`], or less in tests.
    pub(super) patience: Duration,
}

/// The other end of a connection.
#[derive(Debug, Clone)]
struct Peer {
    from: SocketAddr,
    /// The negotiated version and suite of TLS.
    agreed: Option<Arc<str>>,
    /// The socket, if a fault may reset the connection.
    socket: Option<Arc<OwnedFd>>,
}

/// Answers requests for as long as it is polled.
///
/// With `tls` it serves HTTPS.
pub(super) async fn run(listener: TcpListener, handler: HttpHandler, tls: Option<Acceptors>) {
    let events = handler.context.events.clone();
    let listener = match tokio::net::TcpListener::from_std(listener) {
        Ok(listener) => listener,
        Err(error) => return failed(&events, Service::Http, &error.to_string()),
    };
    let mut failure = FailureLog::new(Service::Http, &events);
    let mut connections = ConnectionLimit::new(handler.context.limits.http);
    loop {
        let Some(accepted) = handler.ending.run_until_cancelled(listener.accept()).await else {
            break;
        };
        let (stream, from) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                failure.pause(&error).await;
                continue;
            }
        };
        // Beyond the limit, the connection is closed at once.
        connections.take_in(from.ip(), converse(stream, from, handler.clone(), tls.clone()));
    }
    drop(listener);
    connections.leave(LEAVE).await;
}

async fn converse(stream: TcpStream, from: SocketAddr, handler: HttpHandler, tls: Option<Acceptors>) {
    // Without it, small responses are delayed; large ones are not affected.
    drop(stream.set_nodelay(true));
    // The kernel drops vanished clients as well; by default it retries for a quarter of an hour.
    let patience = u32::try_from(handler.patience.as_millis()).unwrap_or(u32::MAX);
    setsockopt(&stream, TcpUserTimeout, &patience).ok();
    let socket = handler.socket_to_reset(from, &stream);
    let stream = StallGuard::new(stream, handler.patience);
    let Some(tls) = tls else {
        let pipe = Pipe::default();
        let wire = Wire::new(stream, pipe.clone());
        let peer = Peer { from, agreed: None, socket };
        return speak(wire, peer, &handler, || Way::Pipe(pipe.clone())).await;
    };
    let stream = match tokio::time::timeout(
        handler.patience,
        tls.of(handler.tls_fault(from)).accept(stream).into_fallible(),
    )
    .await
    {
        Ok(Ok(stream)) => stream,
        Ok(Err((error, stream))) => return handler.tell_disagreement(from, disagreement(&error, &stream)),
        Err(_) => return handler.tell_disagreement(from, "timed out waiting for the client".to_owned()),
    };
    let agreed = Arc::from(tls::agreed(&stream));
    let peer = Peer { from, agreed: Some(agreed), socket };
    speak(TokioIo::new(stream), peer, &handler, || Way::Memory).await;
}

/// Returns why a TLS handshake failed. OVMF gives no reason if it does not trust the certificate.
fn disagreement(error: &io::Error, stream: &StallGuard) -> String {
    let broke_off = matches!(error.kind(), io::ErrorKind::ConnectionReset | io::ErrorKind::UnexpectedEof);
    match broke_off && stream.has_written() {
        true => "client closed the connection after receiving the certificate".to_owned(),
        false if tls::has_no_common_cipher_suite(error) => {
            format!("{error}: if the client is iPXE, it must be newer than release 1.21.1")
        }
        false => error.to_string(),
    }
}

/// Answers the requests of one connection.
async fn speak<I: Read + Write + Unpin>(io: I, peer: Peer, handler: &HttpHandler, way: impl Fn() -> Way) {
    let mut protocol = http1::Builder::new();
    protocol.timer(TokioTimer::new()).header_read_timeout(handler.patience);
    // GRUB searches for `Content-Length: ` case-sensitively, and takes the file for empty without it.
    protocol.title_case_headers(true);
    // The placeholder must reach the wire as its own slice, and not be copied together with other bytes.
    protocol.writev(true);
    let service = service_fn(|request: Request<hyper::body::Incoming>| {
        let response = handler.answer(&peer, &request, way());
        async {
            match response {
                Some(response) => Ok::<_, Infallible>(response),
                None => std::future::pending().await,
            }
        }
    });
    // A broken connection shows in the event of the response that it interrupted.
    let connection = pin!(protocol.serve_connection(io, service));
    let ended = match select(connection, pin!(handler.ending.cancelled())).await {
        Either::Left((ended, _)) => ended,
        Either::Right(((), mut connection)) => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended
        && error.is_parse()
    {
        handler.tell_nonsense(peer.from, peer.agreed);
    }
}

impl HttpHandler {
    /// Returns what is wrong with the certificate for a client, which counts.
    fn tls_fault(&self, from: SocketAddr) -> Option<TlsFault> {
        let node = self.context.clients.node(from.ip());
        self.context.faults.strike(node.as_ref(), |kind| match kind {
            FaultKind::Tls(fault) => Some(*fault),
            _ => None,
        })
    }

    /// Returns the socket of a connection if a fault may reset it.
    fn socket_to_reset(&self, from: SocketAddr, stream: &impl AsFd) -> Option<Arc<OwnedFd>> {
        let node = self.context.clients.node(from.ip())?;
        let reset = |kind: &FaultKind| matches!(kind, FaultKind::Http(HttpFault::Reset)).then_some(());
        let may_be = !self.context.faults.standing(&node, reset).is_empty();
        may_be.then(|| stream.as_fd().try_clone_to_owned().ok().map(Arc::new)).flatten()
    }

    /// Answers a request; its event is emitted when the response has been sent. `None`: a fault keeps it silent.
    fn answer<B>(&self, peer: &Peer, request: &Request<B>, way: Way) -> Option<Response<Outgoing>> {
        let Peer { from, agreed, socket } = peer.clone();
        let uri = request.uri();
        let node = self.context.clients.node(from.ip());
        let is_tls = agreed.is_some();
        let fault = self.context.faults.strike(node.as_ref(), |kind| match kind {
            FaultKind::Http(fault) => fault::applies(fault, request.headers(), is_tls).then(|| fault.clone()),
            _ => None,
        });
        if fault == Some(HttpFault::Silent) {
            return None;
        }
        let mut headers = Cow::Borrowed(request.headers());
        if fault == Some(HttpFault::NoRanges) {
            headers.to_mut().remove(header::RANGE);
        }
        let requested = uri.path_and_query().map_or_else(|| "/".to_owned(), ToString::to_string);
        let mut transfer =
            Transfer::new(&self.context.events, Exchange::http(from), node.clone(), requested.clone());
        let mut reply = match self.ask_matchbox(request, &headers, &transfer) {
            Some(reply) => reply,
            None => {
                let found = self.content.find_url(uri.path());
                let found = self.content.spoil(node.as_ref(), &self.context.faults, found);
                if let Err(Missing::Gone(_)) = &found {
                    let error = found.as_ref().err().map(ToString::to_string).unwrap_or_default();
                    failed(&self.context.events, Service::Http, &format!("{}: {error}", transfer.path));
                }
                reply(request.method(), uri.path(), &headers, found)
            }
        };
        let flow = fault.map(|fault| fault::spoil(&fault, &requested, &headers, &mut reply, socket));
        let expected = reply.body.iter().map(reply::Piece::length).sum();
        transfer.total = Some(expected);
        let response_event = ResponseEvent {
            transfer: Mutex::new(transfer),
            clients: self.context.clients.clone(),
            method: request.method().to_string(),
            status: reply.status.as_u16(),
            role: reply.role,
            format: reply.body.first().and_then(reply::Piece::format),
            rule: reply.rule,
            range: reply.range,
            tls: agreed,
            expected,
        };
        let mut response =
            Response::new(Outgoing::new(reply.body, way, flow.unwrap_or_default(), response_event));
        *response.status_mut() = reply.status;
        *response.headers_mut() = reply.headers;
        Some(response)
    }

    /// Answers a request as matchbox, if there is one and the path belongs to it.
    fn ask_matchbox<B>(
        &self,
        request: &Request<B>,
        headers: &HeaderMap,
        transfer: &Transfer,
    ) -> Option<Reply> {
        let uri = request.uri();
        let query = uri.query().unwrap_or_default();
        let requested = MatchboxRequest { method: request.method().as_str(), path: uri.path(), query };
        let mut answer = self.matchbox.as_ref()?.answer(requested)?;
        matchbox::tell(&self.context.events, None, "", std::mem::take(&mut answer.warnings));
        let failures = std::mem::take(&mut answer.failures);
        matchbox::tell(&self.context.events, transfer.node.as_ref(), &transfer.path, failures);
        let folder = self.content.folder();
        let answer = match answer.spoil(&self.context.faults, transfer.node.as_ref(), folder) {
            Ok(answer) => answer,
            Err(error) => {
                failed(&self.context.events, Service::Http, &format!("{}: {error}", transfer.path));
                return None;
            }
        };
        Some(reply::as_go(request.method(), headers, answer))
    }

    /// Emits the event of a malformed request, which hyper has answered.
    fn tell_nonsense(&self, from: SocketAddr, agreed: Option<Arc<str>>) {
        let served = Known::HttpServed {
            server: None,
            method: "?".to_owned(),
            path: "?".to_owned(),
            status: 400,
            bytes: 0,
            complete: true,
            ms: 0,
            role: None,
            format: None,
            rule: "refused: malformed request".to_owned(),
            range: None,
            tls: agreed.map(|agreed| agreed.to_string()),
        };
        self.context.events.emit_in(
            Exchange::http(from),
            self.context.clients.node(from.ip()).as_ref(),
            served,
        );
    }

    /// Emits the event of a failed TLS handshake.
    fn tell_disagreement(&self, from: SocketAddr, error: String) {
        self.context
            .events
            .emit_maybe(self.context.clients.node(from.ip()).as_ref(), Known::HttpsFailed { error });
    }
}

#[cfg(test)]
mod tests;
