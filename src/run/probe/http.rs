//! One HTTP request.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use bytes::{Bytes, BytesMut};
use http_body_util::{BodyExt as _, Full};
use hyper::client::conn::http1;
use hyper::{Method, Request, Response, body::Incoming, header};
use hyper_util::rt::TokioIo;
use regex::Regex;
use tokio::task::JoinSet;

use super::{Answer, connect};
use crate::event::Size;
use crate::lab::Pattern;

/// Maximum size of a body.
const BODY_LIMIT: usize = 1 << 20;

/// The expected answer.
#[derive(Debug, Clone, Copy)]
pub(super) struct Expected<'a> {
    pub(super) status: u16,
    pub(super) body: Option<&'a Regex>,
    pub(super) headers: &'a BTreeMap<String, Pattern>,
}

/// An answer: status, headers, the first mebibyte of the body.
#[derive(Debug)]
pub(super) struct HttpResponse {
    head: Response<()>,
    pub(super) body: Bytes,
}

impl HttpResponse {
    pub(super) fn status(&self) -> u16 {
        self.head.status().as_u16()
    }
}

/// Requests a page and compares it.
pub(super) async fn probe(to: SocketAddr, path: &str, wanted: Expected<'_>) -> Answer {
    let answered = match request(to, Method::GET, path, None).await {
        Ok(answered) => answered,
        Err(why) => return Answer::no(why),
    };
    let status = answered.status();
    if status != wanted.status {
        return Answer::no(format!("status {status}"));
    }
    for (name, pattern) in wanted.headers {
        let values = answered.head.headers().get_all(name);
        let mut values = values.iter().map(|value| String::from_utf8_lossy(value.as_bytes())).peekable();
        if values.peek().is_none() {
            return Answer::no(format!("status {status} without a header {name}"));
        }
        if !values.any(|value| pattern.is_match(&value)) {
            return Answer::no(format!("status {status}, but header {name} does not match /{pattern}/"));
        }
    }
    if let Some(pattern) = wanted.body
        && !pattern.is_match(&String::from_utf8_lossy(&answered.body))
    {
        return Answer::no(format!(
            "status {status}, but {} of body do not match /{pattern}/",
            Size(answered.body.len() as u64)
        ));
    }
    Answer::yes(format!("status {status}"))
}

/// Sends one request (a POST of JSON if there is a body) and reads the answer.
pub(super) async fn request(
    to: SocketAddr,
    method: Method,
    path: &str,
    json: Option<&'static str>,
) -> Result<HttpResponse, String> {
    let port = to.port();
    let stream = connect(to).await.map_err(|why| format!("port {port} {why}"))?;
    let broken = |_| format!("port {port} does not speak HTTP");
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(broken)?;
    // Dropped with its set at the end of this function, as soon as the answer was read.
    let mut driver = JoinSet::new();
    driver.spawn(async move { drop(connection.await) });
    let mut request = Request::builder().method(method).uri(path).header(header::HOST, to.to_string());
    if json.is_some() {
        request = request.header(header::CONTENT_TYPE, "application/json");
    }
    let body = Full::new(Bytes::from_static(json.unwrap_or_default().as_bytes()));
    let request = request.body(body).map_err(|error| format!("`{path}` cannot be asked for: {error}"))?;
    let response = sender.send_request(request).await.map_err(|error| match error {
        error if error.is_incomplete_message() => format!("port {port} closes the connection"),
        error if error.is_parse() => format!("port {port} does not speak HTTP"),
        _ => format!("port {port} breaks the connection"),
    })?;
    let (parts, body) = response.into_parts();
    let body = first(body).await.map_err(|_| format!("port {port} breaks the body off"))?;
    Ok(HttpResponse { head: Response::from_parts(parts, ()), body })
}

async fn first(mut body: Incoming) -> Result<Bytes, hyper::Error> {
    let mut collected = BytesMut::new();
    while collected.len() < BODY_LIMIT
        && let Some(frame) = body.frame().await
    {
        if let Some(data) = frame?.data_ref() {
            collected.extend_from_slice(data);
        }
    }
    collected.truncate(BODY_LIMIT);
    Ok(collected.freeze())
}
