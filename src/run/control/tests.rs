use std::collections::BTreeMap;

use http_body_util::BodyExt;
use hyper::service::Service;
use hyper_util::service::TowerToHyperService;

use super::*;
use crate::event::Instant;
use crate::run::rack::RackParts;
use crate::system::process::Spawner;

/// Answers a request without a socket: the status and the body.
async fn ask(router: &Router, method: &str, path: &str, body: &str) -> String {
    let request = HttpRequest::builder().method(method).uri(path).header("content-type", "application/json");
    let request = request.body(Body::from(body.to_owned())).unwrap();
    let response = TowerToHyperService::new(router.clone()).call(request).await.unwrap();
    let status = response.status();
    let body = response.into_body().collect().await.unwrap().to_bytes();
    format!("{status} {}", String::from_utf8_lossy(&body)).trim_end().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_router_answers_whoever_listens() {
    let run_dir = tempfile::tempdir().unwrap();
    let events = Emitter::new(|| Instant { at: RunTime::START, wall: jiff::Timestamp::UNIX_EPOCH }, |_| ());
    let (commands, mut received) = mpsc::channel(1);
    let rack = Rack::new(RackParts {
        run_dir: run_dir.path().to_owned(),
        kept: run_dir.path().join("kept"),
        spawner: Spawner::start().unwrap(),
        events: events.clone(),
        faults: crate::fault::Faults::none(),
        resolve: Arc::new(|_| None),
        ssh_public_key: String::new(),
        authority: None,
        passphrases: BTreeMap::new(),
        nodes: BTreeMap::new(),
        hosts: BTreeMap::new(),
        reaching: crate::run::reach::Reaching::default(),
        images: BTreeMap::new(),
        ask_http: crate::run::probe::ask_http(),
        segments: Vec::new(),
        published: Vec::new(),
    });
    let (_progress, progress) = watch::channel(0);
    let rack = Arc::new(rack.unwrap());
    let router = router(ControlHandler {
        commands,
        rack,
        events,
        run_dir: run_dir.path().to_owned(),
        progress,
        capture: Arc::default(),
    });
    let down = ask(&router, "POST", "/v1/down", r#"{"why": "enough", "interrupted": false}"#).await;
    let command = received.try_recv().unwrap();
    assert!(matches!(command, RunCommand::Down { why, interrupted: false } if why == "enough"));
    drop(received);
    let seen = [
        down,
        ask(&router, "GET", "/v1/node/a/screenshot", "").await,
        ask(&router, "POST", "/v1/node/a/power/on", "").await,
        ask(&router, "POST", "/v1/node/a/power/off-and-on", "").await,
        ask(&router, "POST", "/v1/node/a/boot", r#"{"once": "tape"}"#).await,
        ask(&router, "GET", "/v1/status", "").await,
        ask(&router, "GET", "/v2", "").await,
    ];
    insta::assert_snapshot!(seen.join("\n"), @r#"
    202 Accepted
    404 Not Found {"error":"there is no node `a`","hint":"`dryrack status` lists the nodes"}
    503 Service Unavailable {"error":"the lab is being taken down","hint":null}
    404 Not Found {"error":"there is no power action `off-and-on`","hint":"known actions: on, off, force-off, cycle, reset, nmi"}
    422 Unprocessable Entity Failed to deserialize the JSON body into the target type: once: unknown variant `tape`, expected one of `network`, `disk`, `cd`, `usb`, `setup`, `http` at line 1 column 15
    503 Service Unavailable {"error":"the lab is being taken down","hint":null}
    404 Not Found
    "#);
}

#[tokio::test]
async fn a_capture_that_fails_breaks_its_stream() {
    use futures_util::TryStreamExt;
    // A file that can be read at once, but not as a socket.
    let (reader, writer) = nix::unistd::pipe().unwrap();
    drop(writer);
    let (_progress, progress) = watch::channel(0);
    let stream = captured(Capture::of_sockets([reader]), progress);
    let error = stream.try_collect::<Vec<_>>().await.unwrap_err();
    assert_eq!(error.raw_os_error(), Some(nix::libc::ENOTSOCK));
}

#[tokio::test]
async fn a_capture_ends_with_the_run() {
    use futures_util::TryStreamExt;
    let (_node, socket) = std::os::unix::net::UnixDatagram::pair().unwrap();
    let (progress, receiver) = watch::channel(0);
    drop(progress);
    let stream = captured(Capture::of_sockets([socket.into()]), receiver);
    assert_eq!(stream.try_collect::<Vec<_>>().await.unwrap(), Vec::<Bytes>::new());
}
