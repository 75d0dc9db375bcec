//! HTTP: scripts, seeds, kernels and whatever else the plan names. GET and HEAD only.

use std::convert::Infallible;
use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes, HttpBody};
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::response::Response;
use hyper::body::{Frame, SizeHint};
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use sha2::{Digest, Sha256};
use tokio::task::JoinSet;
use tower::ServiceExt;
use tower_http::services::ServeFile;

use super::clients::Clients;
use super::shelf::{Item, Missing, Shelf};
use super::transfer::Transfer;
use super::trouble::{Trouble, failed};
use crate::event::{Emitter, Known};

/// How much of a file is read at a time: large enough for speed, small enough for many clients at once.
const CHUNK: usize = 256 << 10;
/// How long a client may take for the head of a request, and may keep an idle connection.
const PATIENCE: Duration = Duration::from_secs(60);

/// What every request needs.
#[derive(Clone)]
struct Desk {
    shelf: Shelf,
    clients: Clients,
    events: Emitter,
    from: SocketAddr,
}

/// Answers requests for as long as it is polled.
pub(super) async fn run(listener: TcpListener, shelf: Shelf, clients: Clients, events: Emitter) {
    let listener = match tokio::net::TcpListener::from_std(listener) {
        Ok(listener) => listener,
        Err(error) => return failed(&events, "http", &error.to_string()),
    };
    let mut trouble = Trouble::new("http", &events);
    let mut connections = JoinSet::new();
    loop {
        let (stream, from) = match listener.accept().await {
            Ok(accepted) => accepted,
            Err(error) => {
                trouble.pause(&error).await;
                continue;
            }
        };
        // Reap what has ended, so that the set does not grow with every client.
        while connections.try_join_next().is_some() {}
        let desk = Desk { shelf: shelf.clone(), clients: clients.clone(), events: events.clone(), from };
        let service = TowerToHyperService::new(Router::new().fallback(handle).with_state(desk));
        connections.spawn(async move {
            // What breaks a connection shows in the event of the body that it broke.
            drop(stream.set_nodelay(true));
            let mut protocol = http1::Builder::new();
            protocol.timer(TokioTimer::new()).header_read_timeout(PATIENCE);
            drop(protocol.serve_connection(TokioIo::new(stream), service).await);
        });
    }
}

async fn handle(State(desk): State<Desk>, request: Request) -> Response {
    let Desk { shelf, clients, events, from } = desk;
    let method = request.method().clone();
    let path = request.uri().path_and_query().map_or_else(|| "/".to_owned(), ToString::to_string);
    let node = clients.node(from.ip());
    let mut transfer = Transfer::new(&events, node, path, None);

    let found = shelf.find(request.uri().path());
    let role = found.as_ref().map_or("", Item::role).to_owned();
    let response = match (&method, found) {
        (&Method::GET | &Method::HEAD, Ok(Item::Text { body, role: _ })) => text(body, request.headers()),
        (&Method::GET | &Method::HEAD, Ok(Item::File { path, role: _ })) => file(&path, request).await,
        (&Method::GET | &Method::HEAD, Err(missing)) => {
            if let Missing::Gone(_) = &missing {
                failed(&events, "http", &format!("{}: {missing}", transfer.path));
            }
            plain(StatusCode::NOT_FOUND, "not found\n")
        }
        _ => {
            let mut response = plain(StatusCode::METHOD_NOT_ALLOWED, "only GET and HEAD\n");
            response.headers_mut().insert(header::ALLOW, HeaderValue::from_static("GET, HEAD"));
            response
        }
    };
    let status = response.status().as_u16();
    let announced = announced(response.headers());
    response.map(|body| {
        // A file's body does not know its length, and nobody asks it for more than was announced.
        let expected = if method == Method::HEAD { Some(0) } else { body.size_hint().exact().or(announced) };
        transfer.total = expected;
        Body::new(Counted {
            body,
            transfer,
            method: method.to_string(),
            status,
            role,
            clients,
            ended: expected == Some(0),
        })
    })
}

/// Returns the length that a response's head announces.
fn announced(headers: &HeaderMap) -> Option<u64> {
    headers.get(header::CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

fn plain(status: StatusCode, text: &'static str) -> Response {
    let mut response = Response::new(Body::from(text));
    *response.status_mut() = status;
    response
        .headers_mut()
        .insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    response
}

fn text(body: String, headers: &HeaderMap) -> Response {
    let digest = Sha256::digest(body.as_bytes());
    let tag = digest[..8].iter().fold(String::new(), |tag, byte| tag + &format!("{byte:02x}"));
    let tag = HeaderValue::try_from(format!("\"{tag}\"")).expect("hex digits fit a header");
    let known = headers.get(header::IF_NONE_MATCH).is_some_and(|value| *value == tag);
    let mut response = Response::new(if known { Body::empty() } else { Body::from(body) });
    if known {
        *response.status_mut() = StatusCode::NOT_MODIFIED;
    }
    let kind = HeaderValue::from_static("text/plain; charset=utf-8");
    response.headers_mut().insert(header::CONTENT_TYPE, kind);
    response.headers_mut().insert(header::ETAG, tag);
    response
}

async fn file(path: &Path, request: Request) -> Response {
    let kind = media_type(request.uri().path());
    let served: Result<_, Infallible> =
        ServeFile::new(path).with_buf_chunk_size(CHUNK).oneshot(request).await;
    let Ok(response) = served;
    let mut response = response.map(Body::new);
    if response.status().is_success() {
        response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    }
    response
}

/// Returns the media type of a path. UEFI's HTTP boot looks at it to tell a program from a disk.
fn media_type(path: &str) -> &'static str {
    match path.rsplit_once('.').map(|(_, extension)| extension.to_ascii_lowercase()).as_deref() {
        Some("efi") => "application/efi",
        Some("iso") => "application/vnd.efi-iso",
        Some("img") => "application/vnd.efi-img",
        Some("json" | "ign") => "application/json",
        Some("txt" | "cfg" | "ipxe" | "yaml" | "yml") => "text/plain; charset=utf-8",
        _ => "application/octet-stream",
    }
}

/// A body that tells how much of it went out, once it has ended or was given up.
struct Counted {
    body: Body,
    transfer: Transfer,
    method: String,
    status: u16,
    role: String,
    clients: Clients,
    /// Whether the body has shown its end.
    ended: bool,
}

impl HttpBody for Counted {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let frame = ready!(Pin::new(&mut self.body).poll_frame(cx));
        match &frame {
            None => self.ended = true,
            Some(Ok(frame)) => {
                let bytes = frame.data_ref().map_or(0, Bytes::len);
                self.transfer.add(bytes as u64);
            }
            Some(Err(_)) => {}
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        let Self { body: _, transfer, method, status, role, clients, ended } = self;
        let complete = *ended || transfer.total == Some(transfer.sent);
        if let (Some(node), true, "GET", 200) = (&transfer.node, complete, method.as_str(), *status) {
            clients.fetched(node, role);
        }
        let served = Known::HttpServed {
            method: std::mem::take(method),
            path: transfer.path.clone(),
            status: *status,
            bytes: transfer.sent,
            complete,
            ms: transfer.ms(),
            role: std::mem::take(role),
        };
        transfer.events.emit_maybe(transfer.node.as_ref(), served);
    }
}

#[cfg(test)]
mod tests;
