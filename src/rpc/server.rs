//! Serves gRPC over HTTP/2 over TLS.

use std::convert::Infallible;
use std::future::Future;
use std::net::{SocketAddr, TcpListener};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use hyper::body::Incoming;
use hyper::server::conn::http2;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tonic::body::Body;
use tonic::codegen::http::{self, Method, StatusCode, header};
use tonic::server::{Grpc, UnaryService};
use tonic::{Code, Status};
use tonic_prost::ProstCodec;

use super::error::{RpcError, code_name};
use super::message::{
    GenericDeleteRequest, GenericGetRequest, GenericPutRequest, GroupDeleteRequest, GroupGetRequest,
    GroupListRequest, GroupPutRequest, IgnitionDeleteRequest, IgnitionGetRequest, IgnitionPutRequest,
    METHODS, ProfileDeleteRequest, ProfileGetRequest, ProfileListRequest, ProfilePutRequest, Request,
    SelectGroupRequest, SelectProfileRequest,
};
use super::store::{Answer, Store};
use super::tls::{self, Tls};
use crate::event::{Emitter, Instant, Known, Service};

/// The timeout of the TLS handshake.
const HANDSHAKE: Duration = Duration::from_secs(20);
/// Interval and timeout of HTTP/2 keep-alive pings.
const KEEP_ALIVE: (Duration, Duration) = (Duration::from_secs(120), Duration::from_secs(20));
/// Maximum number of connections. Terraform uses one.
const CONNECTIONS: usize = 1024;
/// Maximum number of concurrent requests per connection.
const STREAMS: u32 = 1024;
/// Maximum number of requests that are cancelled before they are handled.
const CANCELLED: usize = 4096;
/// Flow-control window in bytes.
const WINDOW: u32 = 1 << 20;
/// The maximum size of a message in bytes, as in Go.
const LARGEST: usize = 4 << 20;
/// Pause after a failed accept, which may fail again at once.
const REST: Duration = Duration::from_millis(100);

/// Answers requests for as long as it is polled.
pub async fn serve(listener: TcpListener, tls: Tls, store: Arc<Store>, events: Emitter) {
    let failed = |error: &std::io::Error| {
        events.emit(Known::ServiceFailed { service: Service::Grpc, error: error.to_string() });
    };
    let listener = listener.set_nonblocking(true).and_then(|()| tokio::net::TcpListener::from_std(listener));
    let listener = match listener {
        Ok(listener) => listener,
        Err(error) => return failed(&error),
    };
    let mut connections = JoinSet::new();
    loop {
        while connections.try_join_next().is_some() {}
        if connections.len() >= CONNECTIONS {
            connections.join_next().await;
        }
        match listener.accept().await {
            Ok((stream, from)) => {
                let handler = RpcHandler {
                    store: Arc::clone(&store),
                    events: events.clone(),
                    from,
                    client: Arc::from(""),
                };
                connections.spawn(converse(stream, tls.clone(), handler));
            }
            Err(error) => {
                failed(&error);
                rest().await;
            }
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "a socket that keeps failing would otherwise keep a core busy")]
async fn rest() {
    tokio::time::sleep(REST).await;
}

/// Does the TLS handshake with a client and answers its requests.
async fn converse(stream: TcpStream, tls: Tls, mut handler: RpcHandler) {
    // Without it, small messages are delayed.
    drop(stream.set_nodelay(true));
    let shaken = match tokio::time::timeout(HANDSHAKE, tls.accept(stream)).await {
        Ok(shaken) => shaken.map_err(|error| tls::explained(&error)),
        Err(_) => Err("timed out waiting for the client".to_owned()),
    };
    let (stream, client) = match shaken {
        Ok(shaken) => shaken,
        Err(error) => {
            return handler.events.emit(Known::RpcRefused { from: handler.from.ip(), error });
        }
    };
    handler.client = Arc::from(client);
    let mut protocol = http2::Builder::new(Tasks::default());
    protocol.timer(TokioTimer::new());
    protocol.keep_alive_interval(KEEP_ALIVE.0).keep_alive_timeout(KEEP_ALIVE.1);
    protocol.max_concurrent_streams(STREAMS);
    // A client that cancels many requests is not an attacker: it has been authenticated.
    protocol.max_pending_accept_reset_streams(CANCELLED);
    // The same applies to requests beyond `STREAMS`, which h2 refuses and counts as long as the connection lasts.
    protocol.max_local_error_reset_streams(None);
    protocol.initial_stream_window_size(WINDOW).initial_connection_window_size(WINDOW);
    let service = service_fn(|request| {
        let handler = handler.clone();
        async move { Ok::<_, Infallible>(handler.answer(request).await) }
    });
    if let Err(error) = protocol.serve_connection(TokioIo::new(stream), service).await {
        tracing::debug!(%error, from = %handler.from, "a gRPC connection broke");
    }
}

/// The tasks of a connection. They end with it.
#[derive(Clone, Default)]
struct Tasks(Arc<Mutex<JoinSet<()>>>);

impl<F: Future<Output = ()> + Send + 'static> hyper::rt::Executor<F> for Tasks {
    fn execute(&self, task: F) {
        let mut tasks = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        while tasks.try_join_next().is_some() {}
        tasks.spawn(task);
    }
}

/// Handles the requests of one connection.
#[derive(Clone)]
struct RpcHandler {
    store: Arc<Store>,
    events: Emitter,
    from: SocketAddr,
    /// The subject of the client's certificate.
    client: Arc<str>,
}

impl RpcHandler {
    async fn answer(&self, request: http::Request<Incoming>) -> http::Response<Body> {
        if let Err(status) = is_grpc(&request) {
            let mut response = http::Response::new(Body::empty());
            *response.status_mut() = status;
            return response;
        }
        let path = request.uri().path().to_owned();
        match path.as_str() {
            GroupPutRequest::PATH => self.unary::<GroupPutRequest>(request).await,
            GroupGetRequest::PATH => self.unary::<GroupGetRequest>(request).await,
            GroupDeleteRequest::PATH => self.unary::<GroupDeleteRequest>(request).await,
            GroupListRequest::PATH => self.unary::<GroupListRequest>(request).await,
            ProfilePutRequest::PATH => self.unary::<ProfilePutRequest>(request).await,
            ProfileGetRequest::PATH => self.unary::<ProfileGetRequest>(request).await,
            ProfileDeleteRequest::PATH => self.unary::<ProfileDeleteRequest>(request).await,
            ProfileListRequest::PATH => self.unary::<ProfileListRequest>(request).await,
            IgnitionPutRequest::PATH => self.unary::<IgnitionPutRequest>(request).await,
            IgnitionGetRequest::PATH => self.unary::<IgnitionGetRequest>(request).await,
            IgnitionDeleteRequest::PATH => self.unary::<IgnitionDeleteRequest>(request).await,
            GenericPutRequest::PATH => self.unary::<GenericPutRequest>(request).await,
            GenericGetRequest::PATH => self.unary::<GenericGetRequest>(request).await,
            GenericDeleteRequest::PATH => self.unary::<GenericDeleteRequest>(request).await,
            SelectGroupRequest::PATH => self.unary::<SelectGroupRequest>(request).await,
            SelectProfileRequest::PATH => self.unary::<SelectProfileRequest>(request).await,
            _ => {
                let status = Status::unimplemented(unknown(&path));
                self.tell(&path, self.events.now(), status.code(), status.message());
                status.into_http()
            }
        }
    }

    async fn unary<R: Answer>(&self, request: http::Request<Incoming>) -> http::Response<Body> {
        let began = self.events.now();
        let call = Call { handler: self.clone(), began, reported: Arc::new(AtomicBool::new(false)) };
        let reported = Arc::clone(&call.reported);
        let mut grpc = Grpc::new(ProstCodec::default()).max_decoding_message_size(LARGEST);
        let mut response = grpc.unary(Unary::<R>(call, std::marker::PhantomData), request).await;
        // A request that could not be parsed has not been emitted yet.
        if !reported.load(Ordering::Acquire)
            && let Some(status) = Status::from_header_map(response.headers())
        {
            let status = as_in_go(status);
            self.tell(R::PATH, began, status.code(), status.message());
            response = status.into_http();
        }
        response
    }

    fn tell(&self, path: &str, began: Instant, code: Code, message: &str) {
        self.events.emit(Known::RpcServed {
            method: path.trim_start_matches('/').to_owned(),
            code: code_name(code),
            message: message.to_owned(),
            client: self.client.to_string(),
            from: self.from.ip(),
            us: self.events.now().at.micros_since(began.at),
        });
    }
}

/// A request in progress.
struct Call {
    handler: RpcHandler,
    began: Instant,
    reported: Arc<AtomicBool>,
}

/// Adapts a method to tonic.
struct Unary<R>(Call, std::marker::PhantomData<fn(R)>);

impl<R: Answer> UnaryService<R> for Unary<R> {
    type Response = R::Answer;
    type Future = tonic::codegen::BoxFuture<tonic::Response<R::Answer>, Status>;

    fn call(&mut self, request: tonic::Request<R>) -> Self::Future {
        let Call { handler, began, reported } = &self.0;
        let (handler, began, reported) = (handler.clone(), *began, Arc::clone(reported));
        Box::pin(async move {
            // On a blocking thread, for disk I/O. It runs to the end even if the client disconnects.
            let answering = tokio::task::spawn_blocking(move || {
                let answer = request.into_inner().answer(&handler.store);
                let answer: Result<_, Status> = answer.map_err(RpcError::into);
                reported.store(true, Ordering::Release);
                match &answer {
                    Ok(_) => handler.tell(R::PATH, began, Code::Ok, ""),
                    Err(status) => handler.tell(R::PATH, began, status.code(), status.message()),
                }
                answer
            });
            let answer = answering.await.map_err(|error| Status::internal(error.to_string()))?;
            answer.map(tonic::Response::new)
        })
    }
}

/// Checks that a request is gRPC; otherwise returns the status that Go has for it.
fn is_grpc<B>(request: &http::Request<B>) -> Result<(), StatusCode> {
    let kind = request.headers().get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
    let kind = kind.and_then(|kind| kind.strip_prefix("application/grpc"));
    match kind.and_then(|kind| kind.bytes().next()) {
        _ if request.method() != Method::POST => Err(StatusCode::METHOD_NOT_ALLOWED),
        None if kind.is_some() => Ok(()),
        Some(b'+' | b';') => Ok(()),
        _ => Err(StatusCode::UNSUPPORTED_MEDIA_TYPE),
    }
}

/// Returns Go's message for an unknown path.
fn unknown(path: &str) -> String {
    let path = path.strip_prefix('/').unwrap_or(path);
    let Some((service, method)) = path.rsplit_once('/') else {
        return format!("malformed method name: \"/{path}\"");
    };
    let known =
        METHODS.iter().any(|known| known[1..].split_once('/').is_some_and(|(known, _)| known == service));
    match known {
        true => format!("unknown method {method} for service {service}"),
        false => format!("unknown service {service}"),
    }
}

/// Replaces the message for a request that is too large by Go's.
fn as_in_go(status: Status) -> Status {
    match (status.code(), status.message().split_once("found ")) {
        (Code::OutOfRange, Some((_, size))) => {
            let size = size.split(' ').next().unwrap_or_default();
            Status::resource_exhausted(format!(
                "grpc: received message larger than max ({size} vs. {LARGEST})"
            ))
        }
        _ => status,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_unknown_is_said_as_go_says_it() {
        for (path, expected) in [
            ("/rpcpb.Nope/X", "unknown service rpcpb.Nope"),
            ("/grpc.health.v1.Health/Check", "unknown service grpc.health.v1.Health"),
            ("/rpcpb.Groups/Nope", "unknown method Nope for service rpcpb.Groups"),
            ("/Groups", "malformed method name: \"/Groups\""),
        ] {
            assert_eq!(unknown(path), expected);
        }
    }

    #[test]
    fn only_grpc_is_answered() {
        let refusal = |method: &str, kind: &str| {
            let request = http::Request::builder().method(method).header("content-type", kind);
            is_grpc(&request.body(()).unwrap()).err()
        };
        assert_eq!(refusal("POST", "application/grpc"), None);
        assert_eq!(refusal("POST", "application/grpc+proto"), None);
        assert_eq!(refusal("POST", "application/grpc-web"), Some(StatusCode::UNSUPPORTED_MEDIA_TYPE));
        assert_eq!(refusal("POST", "application/json"), Some(StatusCode::UNSUPPORTED_MEDIA_TYPE));
        assert_eq!(refusal("GET", "application/grpc"), Some(StatusCode::METHOD_NOT_ALLOWED));
    }

    #[test]
    fn a_message_that_is_too_large_is_said_as_go_says_it() {
        let status = Status::out_of_range(
            "Error, decoded message length too large: found 5000000 bytes, the limit is: 4194304 bytes",
        );
        let status = as_in_go(status);
        assert_eq!(
            (status.code(), status.message()),
            (Code::ResourceExhausted, "grpc: received message larger than max (5000000 vs. 4194304)")
        );
    }
}
