//! The web service of a BMC: Redfish over HTTPS and HTTP.
//!
//! It reads requests, has them answered by the loop that owns the state of the BMC, and sends the replies.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http_body_util::{BodyExt as _, Either, Full};
use hyper::body::{Body, Frame, Incoming, SizeHint};
use hyper::rt::{Read, Write};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, oneshot, watch};

use crate::bmc::Bmc;
use crate::bmc::redfish::request::LONGEST_BODY;
use crate::bmc::redfish::{self, Reply, Transport};
use crate::event::{Emitter, Service};
use crate::lab::TlsFault;
use crate::serve::connection_limit::{ConnectionLimit, ConnectionLimits};
use crate::serve::failure::FailureLog;
use crate::serve::tls::{Acceptor, Acceptors};

/// How many connections there can be.
const LIMITS: ConnectionLimits = ConnectionLimits { all: 128, each: 64 };
/// How long a client may take for the handshake of TLS, for the head and for the body of a request.
const PATIENCE: Duration = Duration::from_secs(60);

/// What a connection asks of the BMC.
#[derive(Debug)]
pub(super) enum Call {
    /// A request is to be answered.
    Request(Box<redfish::Request>, oneshot::Sender<Answered>),
    /// The client has closed the stream of a subscription.
    Closed(u32),
}

/// What becomes of a request.
#[derive(Debug)]
pub(super) enum Answered {
    /// The whole reply.
    Reply(Reply),
    /// The head of a stream of events, and what comes.
    Stream(Reply, mpsc::Receiver<Bytes>, u32),
}

/// What new connections of HTTPS find.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Door {
    /// Whether somebody answers.
    is_open: bool,
    /// What is wrong with the certificate.
    fault: Option<TlsFault>,
}

impl Door {
    /// Returns that of a BMC.
    pub(super) fn of(bmc: &Bmc) -> Self {
        let fault = bmc.has_wrong_certificate_name().then_some(TlsFault::WrongName);
        Self { is_open: bmc.has_tls(), fault }
    }
}

/// Serves a port as long as it is polled; without `tls` by HTTP.
pub(super) async fn run(
    listener: TcpListener,
    tls: Option<(Acceptors, watch::Receiver<Door>)>,
    calls: mpsc::UnboundedSender<Call>,
    events: Emitter,
) {
    let mut failure = FailureLog::new(Service::Bmc, &events);
    let mut connections = ConnectionLimit::new(LIMITS);
    loop {
        match listener.accept().await {
            // As if nobody listened.
            Ok((stream, _)) if tls.as_ref().is_some_and(|(_, door)| !door.borrow().is_open) => drop(stream),
            Ok((stream, from)) => {
                let tls = tls.as_ref().map(|(tls, door)| tls.of(door.borrow().fault).clone());
                // Beyond the limit, the connection is closed at once.
                connections.take_in(from.ip(), converse(stream, from, tls, calls.clone()));
            }
            Err(error) => failure.pause(&error).await,
        }
    }
}

async fn converse(
    stream: TcpStream,
    from: SocketAddr,
    tls: Option<Acceptor>,
    calls: mpsc::UnboundedSender<Call>,
) {
    // Without it, small replies are delayed; large ones are not affected.
    drop(stream.set_nodelay(true));
    let Some(tls) = tls else { return speak(TokioIo::new(stream), from, Transport::Plain, calls).await };
    match tokio::time::timeout(PATIENCE, tls.accept(stream)).await {
        Ok(Ok(stream)) => speak(TokioIo::new(stream), from, Transport::Tls, calls).await,
        Ok(Err(error)) => tracing::debug!(%from, %error, "no TLS with a client of a BMC"),
        Err(_) => tracing::debug!(%from, "a client of a BMC did not finish the handshake of TLS"),
    }
}

async fn speak<I: Read + Write + Unpin>(
    io: I,
    from: SocketAddr,
    transport: Transport,
    calls: mpsc::UnboundedSender<Call>,
) {
    let mut protocol = http1::Builder::new();
    protocol.timer(TokioTimer::new()).header_read_timeout(PATIENCE);
    let service = service_fn(|request: Request<Incoming>| {
        let calls = calls.clone();
        async move { Ok::<_, Infallible>(answer(request, from, transport, calls).await) }
    });
    // The client has gone, or does not speak HTTP, which hyper has told it.
    if let Err(error) = protocol.serve_connection(io, service).await {
        tracing::debug!(%from, %error, "a connection to a BMC broke");
    }
}

async fn answer(
    request: Request<Incoming>,
    from: SocketAddr,
    transport: Transport,
    calls: mpsc::UnboundedSender<Call>,
) -> Response<Outgoing> {
    let (head, body) = request.into_parts();
    let Ok(Some(body)) = tokio::time::timeout(PATIENCE, read(body)).await else {
        return refused(hyper::StatusCode::REQUEST_TIMEOUT);
    };
    let request = redfish::Request {
        method: head.method,
        target: head.uri.path_and_query().map_or_else(|| "/".to_owned(), ToString::to_string),
        headers: head.headers,
        body,
        transport,
        from: Some(from.ip()),
    };
    let (reply, answered) = oneshot::channel();
    // Without an answer the lab is being torn down.
    calls.send(Call::Request(Box::new(request), reply)).ok();
    match answered.await {
        Ok(Answered::Reply(mut reply)) => {
            let body = Bytes::from(std::mem::take(&mut reply.body));
            response(reply, Either::Left(Full::new(body)))
        }
        Ok(Answered::Stream(head, lines, subscription)) => {
            response(head, Either::Right(EventStream { lines, subscription, calls }))
        }
        Err(_) => refused(hyper::StatusCode::SERVICE_UNAVAILABLE),
    }
}

type Outgoing = Either<Full<Bytes>, EventStream>;

fn response(reply: Reply, body: Outgoing) -> Response<Outgoing> {
    let mut response = Response::new(body);
    *response.status_mut() = reply.status;
    *response.headers_mut() = reply.headers;
    response
}

fn refused(status: hyper::StatusCode) -> Response<Outgoing> {
    let mut response = Response::new(Either::Left(Full::default()));
    *response.status_mut() = status;
    response
}

/// Reads a body up to one byte more than the longest, which the service refuses; `None` if the client breaks it off.
async fn read(mut body: Incoming) -> Option<Vec<u8>> {
    let mut collected = BytesMut::new();
    while collected.len() <= LONGEST_BODY
        && let Some(frame) = body.frame().await
    {
        if let Some(data) = frame.ok()?.data_ref() {
            collected.extend_from_slice(data);
        }
    }
    collected.truncate(LONGEST_BODY + 1);
    Some(collected.to_vec())
}

/// A body of server-sent events. The subscription ends with it.
#[derive(Debug)]
struct EventStream {
    lines: mpsc::Receiver<Bytes>,
    subscription: u32,
    calls: mpsc::UnboundedSender<Call>,
}

impl Drop for EventStream {
    fn drop(&mut self) {
        // The BMC is gone when the lab is.
        self.calls.send(Call::Closed(self.subscription)).ok();
    }
}

impl Body for EventStream {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        self.lines.poll_recv(context).map(|line| line.map(|line| Ok(Frame::data(line))))
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::default()
    }
}
