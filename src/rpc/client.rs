//! Calls methods of a server, ours or the real one.

use std::borrow::Cow;
use std::io;
use std::task::{Context, Poll};
use std::time::Duration;

use hyper::body::Incoming;
use hyper::client::conn::http2::{self, SendRequest};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tonic::body::Body;
use tonic::codegen::http::uri::PathAndQuery;
use tonic::codegen::http::{self, Uri};
use tonic::codegen::{BoxFuture, Service};
use tonic::{Code, Status};
use tonic_prost::ProstCodec;

use super::error::code_name;
use super::message::Request;
use super::tls::{self, Certificates, CertificatesError, ClientStream};
use crate::event::RpcCode;
use crate::hint::Hint;

/// Timeout for connecting, and for an answer.
const PATIENCE: Duration = Duration::from_secs(25);
/// The maximum size of an answer in bytes: a list of many groups is long.
const LARGEST: usize = 256 << 20;

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// The endpoint is malformed.
    #[error("invalid endpoint `{endpoint}`")]
    Endpoint {
        /// The given endpoint.
        endpoint: String,
    },
    /// The certificates of the client cannot be used.
    #[error(transparent)]
    Certificates(#[from] CertificatesError),
    /// The server does not answer or does not serve gRPC.
    #[error("cannot connect to {endpoint}")]
    Connect {
        /// The endpoint.
        endpoint: String,
        /// The cause.
        #[source]
        source: io::Error,
    },
    /// The TLS handshake failed.
    #[error("untrusted certificate in the connection to {endpoint}")]
    Handshake {
        /// The endpoint.
        endpoint: String,
        /// The cause.
        #[source]
        source: io::Error,
    },
}

impl Hint for ConnectError {
    fn hint(&self) -> Option<Cow<'static, str>> {
        let hint = match self {
            Self::Endpoint { .. } => Some("write it as HOST:PORT, as in 127.0.0.1:8081"),
            Self::Certificates(error) => return error.hint(),
            Self::Connect { .. } => {
                Some("check that the server runs with `-rpc-address` or, in a lab, with `rpc`")
            }
            Self::Handshake { .. } => Some(
                "both certificates must be signed by the CA in `--ca-file`, and the server certificate must contain the name or address in `--endpoint`",
            ),
        };
        hint.map(Cow::Borrowed)
    }
}

/// A failed call.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub struct CallError {
    /// The code, such as `NOT_FOUND`.
    pub code: RpcCode,
    /// The message of the server, or the cause of a broken connection.
    pub message: String,
    /// Whether the server closed the connection instead of answering.
    pub closed: bool,
}

impl Hint for CallError {
    fn hint(&self) -> Option<Cow<'static, str>> {
        let hint = "the client certificate must be signed by the CA in the server's `-ca-file`";
        self.closed.then_some(hint.into())
    }
}

impl From<Status> for CallError {
    fn from(status: Status) -> Self {
        let message = match status.message() {
            "" => status.code().description().to_owned(),
            message => message.to_owned(),
        };
        Self { code: code_name(status.code()), message, closed: false }
    }
}

/// A connection to a server.
pub struct Client {
    sender: SendRequest<Body>,
    origin: Uri,
    // Drives the connection until it breaks; ends when this is dropped.
    connection: JoinSet<hyper::Result<()>>,
}

impl std::fmt::Debug for Client {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Client of {}", self.origin)
    }
}

impl Client {
    /// Connects to `HOST:PORT`.
    pub async fn connect(endpoint: &str, certificates: &Certificates) -> Result<Self, ConnectError> {
        let wrong = || ConnectError::Endpoint { endpoint: endpoint.to_owned() };
        let (host, port) = endpoint.rsplit_once(':').ok_or_else(wrong)?;
        let port: u16 = port.parse().map_err(|_| wrong())?;
        let host = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
        let name = tls::server_name(host).map_err(|_| wrong())?;
        let connector = tls::connector(certificates)?;

        let late = || io::Error::new(io::ErrorKind::TimedOut, "timed out");
        let failed = |source| ConnectError::Connect { endpoint: endpoint.to_owned(), source };
        let connecting = tokio::time::timeout(PATIENCE, TcpStream::connect((host, port))).await;
        let stream = connecting.map_err(|_| failed(late()))?.map_err(failed)?;
        drop(stream.set_nodelay(true));
        let refused = |source| ConnectError::Handshake { endpoint: endpoint.to_owned(), source };
        let shaking = tokio::time::timeout(PATIENCE, connector.connect(name, stream)).await;
        let stream: ClientStream<TcpStream> = shaking.map_err(|_| refused(late()))?.map_err(refused)?;
        let speaking = http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await;
        let (sender, connection) = speaking.map_err(|error| refused(io::Error::other(error)))?;
        let mut moving = JoinSet::new();
        moving.spawn(connection);
        let origin = Uri::builder().scheme("https").authority(endpoint).path_and_query("/").build();
        Ok(Self { sender, origin: origin.map_err(|_| wrong())?, connection: moving })
    }

    /// Calls the method of a request.
    pub async fn call<R: Request>(&mut self, request: R) -> Result<R::Answer, CallError> {
        let wire = Wire(self.sender.clone());
        let mut grpc = tonic::client::Grpc::with_origin(wire, self.origin.clone());
        grpc = grpc.max_decoding_message_size(LARGEST);
        let calling = async {
            grpc.ready().await.map_err(|error| Status::unavailable(error.to_string()))?;
            let path = PathAndQuery::from_static(R::PATH);
            let codec = ProstCodec::<R, R::Answer>::default();
            grpc.unary(tonic::Request::new(request), path, codec).await
        };
        let answered = tokio::time::timeout(PATIENCE, calling).await;
        let late = |_| Status::deadline_exceeded("the server does not answer");
        match answered.map_err(late)? {
            Ok(answer) => Ok(answer.into_inner()),
            Err(status) => Err(self.broken().await.unwrap_or_else(|| status.into())),
        }
    }

    /// Returns why the connection is broken, if it is. With TLS 1.3, the server rejects our certificate only after
    /// the handshake.
    async fn broken(&mut self) -> Option<CallError> {
        if !self.sender.is_closed() {
            return None;
        }
        let ended = tokio::time::timeout(Duration::from_secs(1), self.connection.join_next()).await;
        let error = ended.ok()??.ok()?.err()?;
        let mut cause: &dyn std::error::Error = &error;
        while let Some(next) = cause.source() {
            cause = next;
        }
        Some(CallError {
            code: code_name(Code::Unavailable),
            message: format!("connection closed by the server: {cause}"),
            closed: true,
        })
    }
}

/// Adapts the connection to tonic.
struct Wire(SendRequest<Body>);

impl Service<http::Request<Body>> for Wire {
    type Response = http::Response<Incoming>;
    type Error = hyper::Error;
    type Future = BoxFuture<Self::Response, Self::Error>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.0.poll_ready(context)
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        Box::pin(self.0.send_request(request))
    }
}
