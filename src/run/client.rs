//! The client of a run's control socket.

use std::borrow::Cow;
use std::io;
use std::os::unix::net::UnixStream as StdUnixStream;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::client::conn::http1::{self, SendRequest};
use hyper::header::{CONNECTION, CONTENT_TYPE, HOST, UPGRADE};
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::UnixStream;
use tokio::task::JoinSet;

use super::control::{DownRequest, Refused, UrlMedia};
use super::fault::FaultOrder;
use crate::event::Event;
use crate::hint::Hint;
use crate::name::{DiskName, ExpectName, FaultName, NicName, NodeName};
use crate::node::screen::ScreenReading;
use crate::node::{Block, BootOverride, Device, Effect, MediaCommand, Power};

pub use super::status::{NetworkServices, Published, Status};

/// Tells whether a process listens on a control socket.
pub(super) fn answers(socket: &Path) -> bool {
    StdUnixStream::connect(socket).is_ok()
}

/// The client of one run.
#[derive(Debug, Clone)]
pub struct Client {
    socket: PathBuf,
}

/// Why a request to a run failed.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// The run does not answer.
    #[error("the lab does not answer on {}", socket.display())]
    Silent {
        /// Its control socket.
        socket: PathBuf,
        /// The error.
        #[source]
        source: io::Error,
    },
    /// The connection was closed.
    #[error("the lab closed the connection before the end of its answer")]
    Broken(#[source] hyper::Error),
    /// The answer is invalid.
    #[error("the lab answered what this version of dryrack does not understand")]
    Strange(#[source] serde_json::Error),
    /// The run refused the request.
    #[error("{error}")]
    Refused {
        /// The reason.
        error: String,
        /// The hint, if any.
        hint: Option<String>,
    },
}

impl Hint for ClientError {
    fn hint(&self) -> Option<Cow<'static, str>> {
        match self {
            Self::Silent { .. } => Some("`dryrack status` lists the labs that are up".into()),
            Self::Broken(_) => Some("it was perhaps just taken down: `dryrack runs` tells".into()),
            Self::Strange(_) => Some("take it down with the version that brought it up".into()),
            Self::Refused { hint, .. } => hint.clone().map(Cow::Owned),
        }
    }
}

/// A connection for a single request.
struct Connection {
    sender: SendRequest<Full<Bytes>>,
    // Transfers the bytes as long as it lives.
    task: JoinSet<()>,
}

/// The answer to a request, with its connection.
struct Answer {
    response: Response<Incoming>,
    task: JoinSet<()>,
}

impl Client {
    /// Creates the client of a control socket.
    pub fn new(socket: impl Into<PathBuf>) -> Self {
        Self { socket: socket.into() }
    }

    /// Requests the status of the run.
    pub async fn status(&self) -> Result<Status, ClientError> {
        self.get("/v1/status").await
    }

    /// Requests the end of the run; returns when the run has accepted it, not when it has ended.
    pub async fn down(&self, why: &str, interrupted: bool) -> Result<(), ClientError> {
        let request = DownRequest { why: why.to_owned(), interrupted };
        let body = serde_json::to_vec(&request).map_err(ClientError::Strange)?;
        self.ask(Method::POST, "/v1/down", body).await.map(drop)
    }

    /// Executes a power action on a machine; returns when it is complete.
    pub async fn power(&self, node: &NodeName, action: Power) -> Result<(), ClientError> {
        self.post(&format!("/v1/node/{node}/power/{}", action.as_str())).await
    }

    /// Sets the boot override of a node.
    pub async fn boot(&self, node: &NodeName, boot: BootOverride) -> Result<Effect, ClientError> {
        self.submit(&format!("/v1/node/{node}/boot"), &boot).await
    }

    /// Inserts or ejects a medium of a node.
    pub async fn media(&self, node: &NodeName, media: &MediaCommand) -> Result<Effect, ClientError> {
        self.submit(&format!("/v1/node/{node}/media"), media).await
    }

    /// Inserts an image that the BMC of a node fetches. The URL may contain user and password.
    pub async fn media_by_url(
        &self,
        node: &NodeName,
        drive: Option<&DiskName>,
        url: &str,
        verifies_certificate: bool,
    ) -> Result<Effect, ClientError> {
        let media = UrlMedia { drive: drive.cloned(), url: url.to_owned(), verifies_certificate };
        self.submit(&format!("/v1/node/{node}/media/url"), &media).await
    }

    /// Sets the link state of a NIC.
    pub async fn link(&self, node: &NodeName, nic: &NicName, up: bool) -> Result<(), ClientError> {
        self.post(&format!("/v1/node/{node}/link/{nic}/{}", if up { "up" } else { "down" })).await
    }

    /// Begins or ends faults of a node. Returns their names.
    pub async fn fault(&self, node: &NodeName, order: &FaultOrder) -> Result<Vec<FaultName>, ClientError> {
        self.submit(&format!("/v1/node/{node}/fault"), order).await
    }

    /// Presses keys of a machine, given as text; returns when all were pressed.
    pub async fn press(&self, node: &NodeName, keys: &str) -> Result<(), ClientError> {
        let body = serde_json::to_vec(keys).map_err(ClientError::Strange)?;
        self.ask(Method::POST, &format!("/v1/node/{node}/keys"), body).await.map(drop)
    }

    /// Fetches the screen of a machine as PNG.
    pub async fn screenshot(&self, node: &NodeName) -> Result<Vec<u8>, ClientError> {
        let path = format!("/v1/node/{node}/screenshot");
        let answer = self.ask(Method::GET, &path, Vec::new()).await?;
        Ok(collect(answer).await?.to_vec())
    }

    /// Reads the text on the screen of a machine; that of the last look if it is off.
    pub async fn screen(&self, node: &NodeName) -> Result<ScreenReading, ClientError> {
        self.get(&format!("/v1/node/{node}/screen")).await
    }

    /// Lists the PCI devices of a machine.
    pub async fn devices(&self, node: &NodeName) -> Result<Vec<Device>, ClientError> {
        self.get(&format!("/v1/node/{node}/devices")).await
    }

    /// Lists the disks of a machine.
    pub async fn blocks(&self, node: &NodeName) -> Result<Vec<Block>, ClientError> {
        self.get(&format!("/v1/node/{node}/blocks")).await
    }

    /// Follows the events of the run: all from its start, or only those after an instant.
    pub async fn events(&self, after: Option<u64>) -> Result<Events, ClientError> {
        let path = match after {
            Some(after) => format!("/v1/events?after={after}"),
            None => "/v1/events".to_owned(),
        };
        let Answer { response, task } = self.ask(Method::GET, &path, Vec::new()).await?;
        Ok(Events { body: response.into_body(), _task: task, pending: Vec::new() })
    }

    /// Fetches a kubeconfig that works on this machine.
    pub async fn kubeconfig(&self, expect: Option<&ExpectName>) -> Result<String, ClientError> {
        let query = expect.map(|name| format!("?expect={name}")).unwrap_or_default();
        let answer = self.ask(Method::GET, &format!("/v1/kubeconfig{query}"), Vec::new()).await?;
        Ok(String::from_utf8_lossy(&collect(answer).await?).into_owned())
    }

    /// Captures the frames of a network or a node.
    pub async fn capture(&self, name: &NodeName) -> Result<Capture, ClientError> {
        let path = format!("/v1/capture/{name}");
        let Answer { response, task } = self.ask(Method::GET, &path, Vec::new()).await?;
        Ok(Capture { body: response.into_body(), _task: task })
    }

    /// Attaches to the serial console of a machine.
    pub async fn console(&self, node: &NodeName) -> Result<Console, ClientError> {
        let path = format!("/v1/node/{node}/console");
        let Answer { response, task } = self.ask(Method::GET, &path, Vec::new()).await?;
        let stream = hyper::upgrade::on(response).await.map_err(ClientError::Broken)?;
        Ok(Console { stream: Box::new(TokioIo::new(stream)), _task: task })
    }

    async fn get<T: serde::de::DeserializeOwned>(&self, path: &str) -> Result<T, ClientError> {
        let answer = self.ask(Method::GET, path, Vec::new()).await?;
        serde_json::from_slice(&collect(answer).await?).map_err(ClientError::Strange)
    }

    async fn post(&self, path: &str) -> Result<(), ClientError> {
        self.ask(Method::POST, path, Vec::new()).await.map(drop)
    }

    async fn submit<T: serde::de::DeserializeOwned>(
        &self,
        path: &str,
        body: &impl serde::Serialize,
    ) -> Result<T, ClientError> {
        let body = serde_json::to_vec(body).map_err(ClientError::Strange)?;
        let answer = self.ask(Method::POST, path, body).await?;
        serde_json::from_slice(&collect(answer).await?).map_err(ClientError::Strange)
    }

    async fn ask(&self, method: Method, path: &str, body: Vec<u8>) -> Result<Answer, ClientError> {
        let Connection { mut sender, task } = self.connect().await?;
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header(HOST, "dryrack")
            .header(CONTENT_TYPE, "application/json");
        let request = match path.ends_with("/console") {
            true => request.header(CONNECTION, "upgrade").header(UPGRADE, "dryrack-console"),
            false => request,
        };
        let request = request.body(Full::new(Bytes::from(body))).expect("names of nodes are safe in a path");
        let response = sender.send_request(request).await.map_err(ClientError::Broken)?;
        let answer = Answer { response, task };
        let status = answer.response.status();
        if status.is_success() || status == StatusCode::SWITCHING_PROTOCOLS {
            return Ok(answer);
        }
        let body = collect(answer).await?;
        match serde_json::from_slice(&body) {
            Ok(Refused { error, hint }) => Err(ClientError::Refused { error, hint }),
            Err(_) => {
                let error = format!("the lab answers {status}: {}", String::from_utf8_lossy(&body));
                Err(ClientError::Refused { error, hint: None })
            }
        }
    }

    async fn connect(&self) -> Result<Connection, ClientError> {
        let stream = UnixStream::connect(&self.socket)
            .await
            .map_err(|source| ClientError::Silent { socket: self.socket.clone(), source })?;
        let (sender, connection) =
            http1::handshake(TokioIo::new(stream)).await.map_err(ClientError::Broken)?;
        let mut task = JoinSet::new();
        // Its errors are reported by the request, too.
        task.spawn(async move { drop(connection.with_upgrades().await) });
        Ok(Connection { sender, task })
    }
}

async fn collect(answer: Answer) -> Result<Bytes, ClientError> {
    let Answer { response, task: _task } = answer;
    Ok(response.into_body().collect().await.map_err(ClientError::Broken)?.to_bytes())
}

/// The events of a run as they happen.
#[derive(Debug)]
pub struct Events {
    body: Incoming,
    _task: JoinSet<()>,
    pending: Vec<u8>,
}

impl Events {
    /// Returns the next event; `None` when the run has ended.
    ///
    /// Cancel safe.
    pub async fn next(&mut self) -> Option<Event> {
        loop {
            if let Some(end) = self.pending.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = self.pending.drain(..=end).collect();
                // Lines of another version that do not parse are skipped.
                if let Ok(event) = serde_json::from_slice(&line) {
                    return Some(event);
                }
                continue;
            }
            // A run that is killed breaks the stream, which counts as its end.
            let frame = self.body.frame().await?.ok()?;
            if let Ok(data) = frame.into_data() {
                self.pending.extend_from_slice(&data);
            }
        }
    }
}

/// A capture in progress, a pcapng file.
#[derive(Debug)]
pub struct Capture {
    body: Incoming,
    _task: JoinSet<()>,
}

impl Capture {
    /// Returns the next bytes of the file; `None` when the lab is torn down.
    ///
    /// Cancel safe.
    pub async fn next(&mut self) -> Result<Option<Bytes>, ClientError> {
        while let Some(frame) = self.body.frame().await {
            if let Ok(data) = frame.map_err(ClientError::Broken)?.into_data() {
                return Ok(Some(data));
            }
        }
        Ok(None)
    }
}

/// A byte stream of a serial console, in both directions.
pub struct Console {
    /// The stream.
    pub stream: Box<dyn Stream>,
    _task: JoinSet<()>,
}

/// A readable and writable stream.
pub trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}

impl<T: AsyncRead + AsyncWrite + Unpin + Send> Stream for T {}
