//! One HTTP request.

use std::net::SocketAddr;

use bytes::{Bytes, BytesMut};
use http_body_util::{BodyExt as _, Full};
use hyper::{Method, Request, Response, body::Incoming, header};
use tokio::io::{AsyncRead, AsyncWrite};

use super::{Answer, connect};
use crate::event::Size;
use crate::lab::HttpCheck;
use crate::rpc::{Trusted, connect_to_server};
use crate::run::http_connection::HttpConnection;
use crate::system::host::EnteredNetwork;

/// Maximum size of a body.
const BODY_LIMIT: usize = 1 << 20;

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

    /// Returns the whole answer as text.
    fn text(&self) -> String {
        let mut text = format!("{:?} {}\n", self.head.version(), self.head.status());
        for (name, value) in self.head.headers() {
            text.extend([name.as_str(), ": ", &String::from_utf8_lossy(value.as_bytes()), "\n"]);
        }
        text + "\n" + &String::from_utf8_lossy(&self.body)
    }
}

/// Sends a request to a node and compares the response.
pub(super) async fn probe(
    to: SocketAddr,
    from: Option<&EnteredNetwork>,
    name: &str,
    check: &HttpCheck,
) -> Answer {
    let answered = match ask(to, from, name, check).await {
        Ok(answered) => answered,
        Err(why) => return Answer::no(why),
    };
    let status = answered.status();
    match compare(&answered, check) {
        Ok(()) => Answer::yes(format!("status {status}")),
        Err(why) => Answer::no(format!("status {status}{why}")).with_output(answered.text()),
    }
}

/// Compares a response with the expected one, and returns how it differs.
fn compare(answered: &HttpResponse, check: &HttpCheck) -> Result<(), String> {
    if answered.status() != check.status {
        return Err(String::new());
    }
    for (name, pattern) in &check.headers {
        let values = answered.head.headers().get_all(name);
        let mut values = values.iter().map(|value| String::from_utf8_lossy(value.as_bytes())).peekable();
        if values.peek().is_none() {
            return Err(format!(" without a header {name}"));
        }
        if !values.any(|value| pattern.is_match(&value)) {
            return Err(format!(", but header {name} does not match /{pattern}/"));
        }
    }
    if let Some(pattern) = &check.body
        && !pattern.is_match(&String::from_utf8_lossy(&answered.body))
    {
        let size = Size(answered.body.len() as u64);
        return Err(format!(", but {size} of body do not match /{pattern}/"));
    }
    match check.json.difference(&answered.body) {
        Some(difference) => Err(format!(", but the body {difference}")),
        None => Ok(()),
    }
}

async fn ask(
    to: SocketAddr,
    from: Option<&EnteredNetwork>,
    name: &str,
    check: &HttpCheck,
) -> Result<HttpResponse, String> {
    let unusable = |error: hyper::http::Error| format!("`{}` cannot be requested: {error}", check.path);
    let method = Method::from_bytes(check.method.as_bytes()).map_err(|error| unusable(error.into()))?;
    let mut request = Request::builder().method(method).uri(&check.path);
    if !check.request_headers.keys().any(|name| name.eq_ignore_ascii_case("host")) {
        request = request.header(header::HOST, to.to_string());
    }
    for (name, value) in &check.request_headers {
        request = request.header(name, value);
    }
    let body = Bytes::from(check.request_body.clone().unwrap_or_default());
    let request = request.body(Full::new(body)).map_err(unusable)?;
    let stream = connect(to, from).await.map_err(|why| format!("port {} {why}", to.port()))?;
    match &check.tls {
        None => send(stream, to.port(), request).await,
        Some(settings) => {
            let trusted = settings.ca.as_deref().map_or(Trusted::Anybody, Trusted::File);
            let stream = connect_to_server(stream, Some(to.ip()), name, trusted, None).await;
            send(stream.map_err(|why| format!("port {}: {why}", to.port()))?, to.port(), request).await
        }
    }
}

/// Sends one request (a POST of JSON if there is a body) and reads the answer.
pub(super) async fn request(
    to: SocketAddr,
    from: Option<&EnteredNetwork>,
    method: Method,
    path: &str,
    json: Option<&'static str>,
) -> Result<HttpResponse, String> {
    let stream = connect(to, from).await.map_err(|why| format!("port {} {why}", to.port()))?;
    let mut request = Request::builder().method(method).uri(path).header(header::HOST, to.to_string());
    if json.is_some() {
        request = request.header(header::CONTENT_TYPE, "application/json");
    }
    let body = Full::new(Bytes::from_static(json.unwrap_or_default().as_bytes()));
    let request = request.body(body).map_err(|error| format!("`{path}` cannot be requested: {error}"))?;
    send(stream, to.port(), request).await
}

async fn send(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    port: u16,
    request: Request<Full<Bytes>>,
) -> Result<HttpResponse, String> {
    let broken = |_| format!("port {port} does not speak HTTP");
    let mut connection = HttpConnection::over(stream).await.map_err(broken)?;
    let response = connection.send(request).await.map_err(|error| match error {
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
