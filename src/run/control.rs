//! The control API: HTTP and JSON under `/v1`, used by all other commands.
//!
//! A router that is independent of its listener: the server decides who may connect, so there is no authentication
//! here. `exec` is not part of it: it joins namespaces instead.

use std::convert::Infallible;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use axum::body::{Body, Bytes};
use axum::extract::{Path, Query, Request as HttpRequest, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use futures_util::Stream;
use futures_util::future::{Either, select};
use hyper_util::rt::TokioIo;
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncReadExt, AsyncSeekExt, AsyncWriteExt};
use tokio::sync::{broadcast, mpsc, oneshot, watch};

use super::bmc::MediaError;
use super::capture_points::CapturePoints;
use super::command::RunCommand;
use super::executor::Site;
use super::fault::FaultOrder;
use super::rack::Rack;
use super::record;
use crate::bmc::media::{Image, Slot};
use crate::bmc::redfish::url;
use crate::capture::Capture;
use crate::event::{Emitter, Known, RunTime, Source};
use crate::hint::{Hint, chain};
use crate::name::{DiskName, ExpectName, NicName, NodeName};
use crate::node::keys;
use crate::node::{Attachment, BootOverride, Effect, MediaCommand, Node, NodeCommand, NodeError, Power};

/// A refusal of a run, with its reason.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Refused {
    pub(super) error: String,
    pub(super) hint: Option<String>,
}

/// The body of a request to take the lab down.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct DownRequest {
    pub(super) why: String,
    pub(super) interrupted: bool,
}

/// The body of a request to insert an image by its URL.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct UrlMedia {
    pub(super) drive: Option<DiskName>,
    /// It may contain user and password.
    pub(super) url: String,
    pub(super) verifies_certificate: bool,
}

/// The state of every request.
#[derive(Clone)]
pub(super) struct ControlHandler {
    pub(super) commands: mpsc::Sender<RunCommand>,
    pub(super) rack: Arc<Rack>,
    pub(super) events: Emitter,
    pub(super) run_dir: PathBuf,
    pub(super) progress: watch::Receiver<u64>,
    pub(super) capture: Arc<CapturePoints>,
}

type Answer = Result<Response, Response>;

/// Returns the router of the API, for any listener.
pub(super) fn router(handler: ControlHandler) -> Router {
    Router::new()
        .route("/v1/status", get(status))
        .route("/v1/events", get(events))
        .route("/v1/down", post(down))
        .route("/v1/kubeconfig", get(kubeconfig))
        .route("/v1/capture/{name}", get(capture))
        .route("/v1/node/{node}/power/{action}", post(power))
        .route("/v1/node/{node}/boot", post(boot))
        .route("/v1/node/{node}/media", post(media))
        .route("/v1/node/{node}/media/url", post(media_by_url))
        .route("/v1/node/{node}/link/{nic}/{state}", post(link))
        .route("/v1/node/{node}/fault", post(fault))
        .route("/v1/node/{node}/keys", post(press))
        .route("/v1/node/{node}/screenshot", get(screenshot))
        .route("/v1/node/{node}/screen", get(screen))
        .route("/v1/node/{node}/devices", get(devices))
        .route("/v1/node/{node}/blocks", get(blocks))
        .route("/v1/node/{node}/console", get(console))
        .with_state(handler)
}

fn refuse(status: StatusCode, error: impl Into<String>, hint: Option<&str>) -> Response {
    let refused = Refused { error: error.into(), hint: hint.map(str::to_owned) };
    (status, Json(refused)).into_response()
}

fn ending() -> Response {
    refuse(StatusCode::SERVICE_UNAVAILABLE, "the lab is being taken down", None)
}

async fn status(State(handler): State<ControlHandler>) -> Answer {
    let (reply, answer) = oneshot::channel();
    handler.commands.send(RunCommand::Status(reply)).await.map_err(|_| ending())?;
    let status = answer.await.map_err(|_| ending())?;
    Ok(Json(status).into_response())
}

async fn down(State(handler): State<ControlHandler>, Json(request): Json<DownRequest>) -> Answer {
    let DownRequest { why, interrupted } = request;
    handler.events.of(Source::User).emit(Known::Commanded { what: format!("down: {why}") });
    handler.commands.send(RunCommand::Down { why, interrupted }).await.map_err(|_| ending())?;
    Ok(StatusCode::ACCEPTED.into_response())
}

/// Which kubeconfig is requested.
#[derive(Debug, Deserialize)]
struct Wanted {
    /// The expectation that says where it is; the only one if left out.
    expect: Option<ExpectName>,
}

async fn kubeconfig(
    State(handler): State<ControlHandler>,
    Query(Wanted { expect }): Query<Wanted>,
) -> Answer {
    let (reply, answer) = oneshot::channel();
    handler.commands.send(RunCommand::Kubeconfig { expect, reply }).await.map_err(|_| ending())?;
    let text = answer.await.map_err(|_| ending())?;
    let text = text.map_err(|error| refuse(StatusCode::CONFLICT, chain(&error), error.hint().as_deref()))?;
    Ok(([(header::CONTENT_TYPE, "application/yaml")], text).into_response())
}

/// The start of a stream of events.
#[derive(Debug, Deserialize)]
struct From {
    /// Only events after that instant.
    after: Option<RunTime>,
}

/// Streams the events from the beginning and then as they happen: the lines of `events.jsonl` after its header.
async fn events(State(handler): State<ControlHandler>, Query(From { after }): Query<From>) -> Answer {
    let path = record::path(&handler.run_dir);
    let file = tokio::fs::File::open(&path).await.map_err(|error| {
        refuse(StatusCode::INTERNAL_SERVER_ERROR, format!("cannot read {}: {error}", path.display()), None)
    })?;
    let follower = Follower { file, at: 0, progress: handler.progress, after, header: true };
    let stream = futures_util::stream::unfold(follower, |mut follower| async {
        let lines = follower.next().await?;
        Some((Ok::<_, Infallible>(Bytes::from(lines)), follower))
    });
    Ok(([(header::CONTENT_TYPE, "application/jsonl")], Body::from_stream(stream)).into_response())
}

/// Streams the frames of a network or a node as a pcapng file, until the lab is torn down or the client goes.
async fn capture(State(handler): State<ControlHandler>, Path(name): Path<String>) -> Answer {
    let ports = handler.capture.find(&name).ok_or_else(|| {
        refuse(
            StatusCode::NOT_FOUND,
            format!("there is no network with frames, and no node with a NIC, `{name}`"),
            None,
        )
    })?;
    let capture = Capture::open(ports)
        .map_err(|error| refuse(StatusCode::CONFLICT, chain(&error), error.hint().as_deref()))?;
    let stream = captured(capture, handler.progress);
    Ok(([(header::CONTENT_TYPE, "application/x-pcapng")], Body::from_stream(stream)).into_response())
}

/// Returns the bytes of a capture until the record of the run ends. An error breaks the connection, so that the client
/// does not take the file for complete.
fn captured(
    capture: Capture,
    progress: watch::Receiver<u64>,
) -> impl Stream<Item = io::Result<Bytes>> + Send + 'static {
    futures_util::stream::try_unfold((capture, progress), |(mut capture, mut progress)| async {
        let next = {
            let next = std::pin::pin!(capture.next());
            let end = std::pin::pin!(async { while progress.changed().await.is_ok() {} });
            match select(next, end).await {
                Either::Left((next, _)) => next,
                Either::Right(_) => return Ok(None),
            }
        };
        let bytes = next.inspect_err(|error| tracing::warn!(%error, "a capture broke off"))?;
        Ok(Some((Bytes::from(bytes), (capture, progress))))
    })
}

/// Reads the record as it grows.
struct Follower {
    file: tokio::fs::File,
    at: u64,
    progress: watch::Receiver<u64>,
    after: Option<RunTime>,
    header: bool,
}

impl Follower {
    /// Returns the next lines; `None` when the record is complete and was read.
    async fn next(&mut self) -> Option<Vec<u8>> {
        loop {
            let written = *self.progress.borrow_and_update();
            if written <= self.at {
                self.progress.changed().await.ok()?;
                continue;
            }
            // In chunks, so that a long record is never in memory as a whole.
            let most = (written - self.at).min(256 << 10);
            let mut lines = vec![0; usize::try_from(most).ok()?];
            self.file.seek(io::SeekFrom::Start(self.at)).await.ok()?;
            self.file.read_exact(&mut lines).await.ok()?;
            let whole = lines.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
            if whole == 0 {
                // No line is longer than a chunk: console lines are bounded.
                return None;
            }
            lines.truncate(whole);
            self.at += whole as u64;
            let lines = self.wanted(lines);
            if !lines.is_empty() {
                return Some(lines);
            }
        }
    }

    fn wanted(&mut self, lines: Vec<u8>) -> Vec<u8> {
        /// The field of an event that is needed.
        #[derive(Deserialize)]
        struct At {
            at: RunTime,
        }
        let mut wanted = Vec::new();
        for line in lines.split_inclusive(|byte| *byte == b'\n') {
            if std::mem::take(&mut self.header) {
                continue;
            }
            let old =
                |after: RunTime| serde_json::from_slice::<At>(line).is_ok_and(|event| event.at <= after);
            if !self.after.is_some_and(old) {
                wanted.extend_from_slice(line);
            }
        }
        wanted
    }
}

#[expect(clippy::result_large_err, reason = "what failed is the answer, and axum wants it whole")]
fn node_name(node: &str) -> Result<NodeName, Response> {
    NodeName::new(node).map_err(|_| {
        let hint = "`dryrack status` lists the nodes";
        refuse(StatusCode::NOT_FOUND, format!("there is no node `{node}`"), Some(hint))
    })
}

#[expect(clippy::result_large_err, reason = "what failed is the answer, and axum wants it whole")]
fn machine(handler: &ControlHandler, node: &str) -> Result<Arc<dyn Node>, Response> {
    let node = node_name(node)?;
    handler.rack.node(&node).ok_or_else(|| failed(&NodeError::Unknown { node }))
}

fn failed(error: &NodeError) -> Response {
    let status = match error {
        NodeError::Unknown { .. } => StatusCode::NOT_FOUND,
        NodeError::Unsupported { .. }
        | NodeError::Off { .. }
        | NodeError::StillOn { .. }
        | NodeError::NoSuchNic { .. }
        | NodeError::NoSuchDrive { .. }
        | NodeError::NoMedium { .. }
        | NodeError::Failed { .. } => StatusCode::CONFLICT,
    };
    refuse(status, chain(error), error.hint().as_deref())
}

/// Executes a command on a node, and answers when it is complete.
async fn command(handler: ControlHandler, node: &str, command: NodeCommand) -> Result<Effect, Response> {
    let node = node_name(node)?;
    let (reply, answer) = oneshot::channel();
    handler
        .commands
        .send(RunCommand::Node { node, command, by: Source::User, reply })
        .await
        .map_err(|_| ending())?;
    answer.await.map_err(|_| ending())?.map_err(|error| failed(&error))
}

async fn power(
    State(handler): State<ControlHandler>,
    Path((node, action)): Path<(String, String)>,
) -> Answer {
    let action: Power = serde_json::from_value(action.clone().into()).map_err(|_| {
        let known: Vec<&str> = Power::ALL.iter().map(|power| power.as_str()).collect();
        let hint = format!("known actions: {}", known.join(", "));
        refuse(StatusCode::NOT_FOUND, format!("there is no power action `{action}`"), Some(&hint))
    })?;
    command(handler, &node, NodeCommand::Power(action)).await?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

async fn boot(
    State(handler): State<ControlHandler>,
    Path(node): Path<String>,
    Json(boot): Json<BootOverride>,
) -> Answer {
    Ok(Json(command(handler, &node, NodeCommand::Boot(boot)).await?).into_response())
}

async fn media(
    State(handler): State<ControlHandler>,
    Path(node): Path<String>,
    Json(media): Json<MediaCommand>,
) -> Answer {
    Ok(Json(command(handler, &node, NodeCommand::Media(media)).await?).into_response())
}

/// Inserts an image that the BMC of a node fetches.
async fn media_by_url(
    State(handler): State<ControlHandler>,
    Path(node): Path<String>,
    Json(UrlMedia { drive, url, verifies_certificate }): Json<UrlMedia>,
) -> Answer {
    let node = node_name(&node)?;
    let media = handler.rack.virtual_media(&node).ok_or_else(|| {
        let hint = "download it and insert the file, or give the node a `bmc`";
        let why = format!("`{node}` has no BMC, which would fetch the image");
        refuse(StatusCode::CONFLICT, why, Some(hint))
    })?;
    let slot = media.slot(drive.as_ref()).ok_or_else(|| {
        let hint = "name one of them with `--drive`";
        let why = format!("the BMC of `{node}` inserts images into {}", media.drives());
        refuse(StatusCode::CONFLICT, why, Some(hint))
    })?;
    let found = url::check(&url).map_err(|refused| {
        refuse(StatusCode::BAD_REQUEST, format!("the URL cannot be used: {refused}"), None)
    })?;
    let image = Image {
        url: found.text,
        credentials: found.credentials,
        verifies_certificate,
        is_write_protected: slot == Slot::Cd,
    };
    let effect = media.insert(slot, image, Source::User).await.map_err(|error| no_medium(&error))?;
    Ok(Json(effect).into_response())
}

fn no_medium(error: &MediaError) -> Response {
    match error {
        MediaError::Ending => ending(),
        MediaError::Node(error) => failed(error),
        MediaError::Fetch { .. } | MediaError::NoSlot(_) | MediaError::Listen { .. } => {
            refuse(StatusCode::CONFLICT, chain(error), error.hint().as_deref())
        }
    }
}

async fn link(
    State(handler): State<ControlHandler>,
    Path((node, nic, state)): Path<(String, String, String)>,
) -> Answer {
    let up = match state.as_str() {
        "up" => true,
        "down" => false,
        _ => {
            return Err(refuse(
                StatusCode::NOT_FOUND,
                format!("a link is `up` or `down`, not `{state}`"),
                None,
            ));
        }
    };
    let nic = NicName::new(&nic)
        .map_err(|error| refuse(StatusCode::NOT_FOUND, format!("there is no NIC: {error}"), None))?;
    command(handler, &node, NodeCommand::Link { nic, up }).await?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

/// Begins or ends faults of a node, and answers with their names.
async fn fault(
    State(handler): State<ControlHandler>,
    Path(node): Path<String>,
    Json(order): Json<FaultOrder>,
) -> Answer {
    let node = node_name(&node)?;
    let (reply, answer) = oneshot::channel();
    handler.commands.send(RunCommand::Fault { node, order, reply }).await.map_err(|_| ending())?;
    let done = answer.await.map_err(|_| ending())?;
    let names = done.map_err(|refusal| refuse(StatusCode::CONFLICT, refusal.what, Some(refusal.hint)))?;
    Ok(Json(names).into_response())
}

async fn press(
    State(handler): State<ControlHandler>,
    Path(node): Path<String>,
    Json(text): Json<String>,
) -> Answer {
    let chords = keys::parse(&text).map_err(|error| refuse(StatusCode::BAD_REQUEST, error.0, None))?;
    command(handler, &node, NodeCommand::Keys(chords)).await?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

async fn screenshot(State(handler): State<ControlHandler>, Path(node): Path<String>) -> Answer {
    let picture = machine(&handler, &node)?.screenshot().await.map_err(|error| failed(&error))?;
    Ok(([(header::CONTENT_TYPE, "image/png")], picture).into_response())
}

async fn screen(State(handler): State<ControlHandler>, Path(node): Path<String>) -> Answer {
    let reading = machine(&handler, &node)?.screen().await.map_err(|error| failed(&error))?;
    Ok(Json(reading).into_response())
}

async fn devices(State(handler): State<ControlHandler>, Path(node): Path<String>) -> Answer {
    let devices = machine(&handler, &node)?.devices().await.map_err(|error| failed(&error))?;
    Ok(Json(devices).into_response())
}

async fn blocks(State(handler): State<ControlHandler>, Path(node): Path<String>) -> Answer {
    let blocks = machine(&handler, &node)?.blocks().await.map_err(|error| failed(&error))?;
    Ok(Json(blocks).into_response())
}

/// Attaches to a console: after the upgrade, bytes in both directions.
async fn console(
    State(handler): State<ControlHandler>,
    Path(node): Path<String>,
    request: HttpRequest,
) -> Answer {
    let machine = machine(&handler, &node)?;
    let upgrade = hyper::upgrade::on(request);
    let attachment = machine.console().map_err(|error| failed(&error))?;
    // Ends with the connection, which owns it, or with the process.
    #[expect(
        clippy::disallowed_methods,
        reason = "hyper hands over the stream only after this handler has answered"
    )]
    tokio::spawn(async move {
        if let Ok(stream) = upgrade.await {
            talk(TokioIo::new(stream), attachment).await;
        }
    });
    let head = [(header::UPGRADE, "dryrack-console"), (header::CONNECTION, "upgrade")];
    Ok((StatusCode::SWITCHING_PROTOCOLS, head).into_response())
}

async fn talk(stream: impl tokio::io::AsyncRead + tokio::io::AsyncWrite, attachment: Attachment) {
    let Attachment { replay, mut output, input } = attachment;
    let (mut reader, mut writer) = tokio::io::split(stream);
    let say = async {
        writer.write_all(&replay).await.ok()?;
        loop {
            match output.recv().await {
                Ok(bytes) => writer.write_all(&bytes).await.ok()?,
                Err(broadcast::error::RecvError::Lagged(_) | broadcast::error::RecvError::Closed) => {
                    return None;
                }
            }
        }
    };
    let listen = async {
        let mut buffer = [0; 4096];
        loop {
            match reader.read(&mut buffer).await {
                Ok(count @ 1..) => input.send(Bytes::copy_from_slice(&buffer[..count])).await.ok()?,
                Ok(0) | Err(_) => return None::<()>,
            }
        }
    };
    let (say, listen) = (std::pin::pin!(say), std::pin::pin!(listen));
    let _: futures_util::future::Either<(Option<()>, _), (Option<()>, _)> =
        futures_util::future::select(say, listen).await;
}

#[cfg(test)]
mod tests;
