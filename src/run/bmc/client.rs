//! The HTTP client of a BMC: it fetches parts of images, and sends events.
//!
//! It speaks from the network of the BMC, and goes nowhere that [`url`] refuses: a name is resolved once for each
//! connection, and the addresses that were checked are those that are connected to.

use std::future::Future;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::header::{self, HeaderName, HeaderValue};
use hyper::{Method, Request, Response, StatusCode, Uri};
use tokio::net::TcpStream;

use crate::bmc::media::{Credentials, Image, Secret};
use crate::bmc::redfish::Outcome;
use crate::bmc::redfish::url::{self, Refused, Url};
use crate::hint::{Hint, chain};
use crate::rpc::{TlsError, Trusted, connect_to_server};
use crate::run::dns::{Dns, resolve};
use crate::run::http_connection::HttpConnection;
use crate::system::host::EnteredNetwork;

/// How long a connection may take to be made.
const CONNECT: Duration = Duration::from_secs(5);
/// How long the head of an answer may take, and each piece of its body.
const ANSWER: Duration = Duration::from_secs(15);
/// How long the first bytes of an image may take with all redirects, and the rest of an answer to a pushed event.
const WHOLE: Duration = Duration::from_secs(20);
/// How many redirects are followed.
const REDIRECTS: usize = 5;
/// How many bytes a check of an image asks for.
const FIRST: u64 = 512;
/// How much of an answer to a pushed event is read, so that the receiver can end it.
const REST: usize = 64 << 10;

const AGENT: &str = concat!("Dryrack/", env!("CARGO_PKG_VERSION"));

/// Why something could not be fetched or sent.
#[derive(Debug, thiserror::Error)]
pub(in crate::run) enum FetchError {
    /// It leads where it must not.
    #[error("it leads to an address that a BMC does not use")]
    Forbidden(#[source] Refused),
    /// Its server cannot be reached, or its name not be resolved.
    #[error("its server cannot be reached: {0}")]
    Unreachable(String),
    /// The certificate of its server is not valid.
    #[error("the certificate of its server is refused")]
    Certificate(#[source] TlsError),
    /// Its server wants another user or password.
    #[error("its server refuses user and password, or wants them (status {0})")]
    Unauthorized(u16),
    /// Its server answers with another status.
    #[error("its server answers with status {0}")]
    Status(u16),
    /// Its server sends no parts of it.
    #[error("its server does not send parts of it (range requests)")]
    NoRanges,
    /// The connection was cut, or nothing came over it.
    #[error("the connection to its server broke: {0}")]
    Broken(String),
    /// There is no file for what is fetched.
    #[error("cannot create a file in {} for what is fetched", .0.display())]
    Keep(PathBuf, #[source] std::io::Error),
    /// A header cannot be sent.
    #[error("the header `{0}` cannot be sent")]
    Header(String),
    /// It is no longer what it was.
    #[error("it was changed on its server since it was inserted")]
    Changed,
}

impl Hint for FetchError {
    fn hint(&self) -> Option<std::borrow::Cow<'static, str>> {
        let hint = match self {
            Self::Forbidden(_) => "loopback, unspecified, link-local and multicast addresses are refused",
            Self::Certificate(_) => "it must be signed by the CA of the lab; `--insecure` takes any",
            Self::NoRanges => {
                "serve it with a server that supports range requests, such as the one of the lab"
            }
            Self::Unauthorized(_) => {
                "user and password are written into the URL: https://USER:PASSWORD@HOST/…"
            }
            Self::Changed => "eject it, and insert it again",
            Self::Unreachable(_) | Self::Status(_) | Self::Broken(_) | Self::Header(_) | Self::Keep(..) => {
                return None;
            }
        };
        Some(hint.into())
    }
}

impl FetchError {
    /// Returns whether another attempt may succeed.
    pub(super) fn is_passing(&self) -> bool {
        match self {
            Self::Unreachable(_) | Self::Broken(_) => true,
            Self::Status(status) => *status == 429 || *status >= 500,
            Self::Forbidden(_)
            | Self::Certificate(_)
            | Self::Unauthorized(_)
            | Self::NoRanges
            | Self::Header(_)
            | Self::Keep(..)
            | Self::Changed => false,
        }
    }

    /// Returns it as the service of the BMC tells it.
    pub(super) fn outcome(&self) -> Outcome {
        match self {
            Self::Forbidden(_) => Outcome::Forbidden,
            Self::Unreachable(_) | Self::Broken(_) | Self::Changed | Self::Header(_) | Self::Keep(..) => {
                Outcome::Unreachable
            }
            Self::Certificate(_) => Outcome::Certificate,
            Self::Unauthorized(_) => Outcome::Unauthorized,
            Self::Status(status) => Outcome::Status(*status),
            Self::NoRanges => Outcome::NoRanges,
        }
    }
}

/// A client in the network of a BMC.
#[derive(Debug, Clone)]
pub(in crate::run) struct BmcClient {
    /// The network; that of this thread if `None`.
    pub(super) network: Option<EnteredNetwork>,
    /// The server that resolves names.
    pub(super) dns: Option<Dns>,
    /// The certificate of the authority that servers are trusted by, in PEM.
    pub(super) authority: PathBuf,
    /// Checks an address before it is connected to.
    pub(super) allows: fn(IpAddr) -> Result<(), Refused>,
}

/// What tells one version of an image from another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Version {
    /// Its size in bytes.
    pub(super) size: u64,
    tag: Option<HeaderValue>,
    modified: Option<HeaderValue>,
}

/// A connection to the server that has an image, at the end of all redirects.
pub(super) struct Link {
    url: Url,
    connection: HttpConnection,
}

/// A part of an image that is arriving.
pub(super) struct Part {
    /// The version that it is of.
    pub(super) version: Version,
    /// How many bytes are still to come.
    left: u64,
    body: Incoming,
    link: Link,
}

impl Part {
    /// Returns the next piece; `None` at the end.
    pub(super) async fn next(&mut self) -> Result<Option<Bytes>, FetchError> {
        while self.left > 0 {
            let frame = in_time("nothing came for a while", self.body.frame()).await?;
            let frame = frame.ok_or_else(|| FetchError::Broken("it ended too early".to_owned()))?;
            let Ok(data) = frame.map_err(|error| broken(&error))?.into_data() else { continue };
            let taken = self.left.min(data.len() as u64);
            self.left -= taken;
            if taken > 0 {
                return Ok(Some(data.slice(..usize::try_from(taken).unwrap_or(data.len()))));
            }
        }
        Ok(None)
    }

    /// Returns the connection for the next part, once all of this one has arrived.
    pub(super) async fn finish(mut self) -> Option<Link> {
        // What is after the last byte is the end of the body.
        let end = tokio::time::timeout(ANSWER, self.body.frame()).await;
        matches!(end, Ok(None)).then_some(self.link)
    }
}

impl BmcClient {
    /// Looks whether an image is there, and whether parts of it can be fetched.
    pub(in crate::run) async fn check(&self, image: &Image) -> Outcome {
        match self.first(image).await {
            Ok(_) => Outcome::Found,
            Err(error) => {
                tracing::debug!(error = chain(&error), "an image for a BMC cannot be fetched");
                error.outcome()
            }
        }
    }

    /// Fetches the first bytes of an image; returns its version, and the connection if it can be used further.
    pub(super) async fn first(&self, image: &Image) -> Result<(Version, Option<Link>), FetchError> {
        let asking = async {
            let mut part = self.range(image, None, 0, FIRST - 1).await?;
            while part.next().await?.is_some() {}
            Ok((part.version.clone(), part.finish().await))
        };
        let late = || FetchError::Unreachable("it does not send the first bytes in time".to_owned());
        tokio::time::timeout(WHOLE, asking).await.map_err(|_| late())?
    }

    /// Asks for a range of an image, up to the byte `last` or its end, over a connection that is there or a new one.
    pub(super) async fn range(
        &self,
        image: &Image,
        link: Option<Link>,
        first: u64,
        last: u64,
    ) -> Result<Part, FetchError> {
        let start = url::check(&image.url).map_err(FetchError::Forbidden)?;
        let mut followed = link.as_ref().is_some_and(|link| link.url != start);
        let mut link = match link {
            Some(link) => link,
            None => self.link(start.clone(), image.verifies_certificate).await?,
        };
        let mut redirects = 0;
        loop {
            let sends_password = same_origin(&start, &link.url);
            let credentials = image.credentials.as_ref().filter(|_| sends_password);
            let request = get(&link.url, credentials, first, last)?;
            let response = ask(&mut link.connection, request).await?;
            let status = response.status();
            if status == StatusCode::PARTIAL_CONTENT {
                return part(response, link, first, last);
            }
            if followed && status.is_client_error() {
                // What it was redirected to may be valid for a time only.
                followed = false;
                link = self.link(start.clone(), image.verifies_certificate).await?;
                continue;
            }
            let to = response.headers().get(header::LOCATION).and_then(|to| to.to_str().ok());
            match (status.as_u16(), to) {
                (301 | 302 | 303 | 307 | 308, Some(to)) if redirects < REDIRECTS => {
                    redirects += 1;
                    let to = url::check_redirect(&link.url, to).map_err(FetchError::Forbidden)?;
                    link = self.link(to, image.verifies_certificate).await?;
                }
                (200..=299, _) => return Err(FetchError::NoRanges),
                (status @ (401 | 403), _) => return Err(FetchError::Unauthorized(status)),
                (status, _) => return Err(FetchError::Status(status)),
            }
        }
    }

    /// Sends JSON by POST with further headers, and returns the status of the answer. No redirect is followed.
    pub(in crate::run) async fn post(
        &self,
        to: &str,
        headers: &[(String, Secret)],
        body: Vec<u8>,
        verifies_certificate: bool,
    ) -> Result<u16, FetchError> {
        let to = url::check(to).map_err(FetchError::Forbidden)?;
        let mut request = request(Method::POST, &to, Bytes::from(body))?;
        let all = request.headers_mut();
        all.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        for (name, value) in headers {
            let unusable = || FetchError::Header(name.clone());
            let name = HeaderName::try_from(name.as_str()).map_err(|_| unusable())?;
            let mut value = HeaderValue::try_from(value.reveal()).map_err(|_| unusable())?;
            value.set_sensitive(true);
            all.insert(name, value);
        }
        let mut link = self.link(to, verifies_certificate).await?;
        let response = ask(&mut link.connection, request).await?;
        let status = response.status().as_u16();
        // The status says what became of it; the rest is read only for the server to end in peace.
        let (mut body, mut left) = (response.into_body(), REST);
        let reading = async {
            while left > 0
                && let Some(Ok(frame)) = body.frame().await
            {
                left = left.saturating_sub(frame.data_ref().map_or(1, Bytes::len).max(1));
            }
        };
        // One that does not end has told its status all the same.
        tokio::time::timeout(WHOLE, reading).await.ok();
        Ok(status)
    }

    /// Connects to the server of a URL.
    async fn link(&self, url: Url, verifies_certificate: bool) -> Result<Link, FetchError> {
        let uri: Uri = url.text.parse().map_err(|_| FetchError::Forbidden(Refused::Syntax))?;
        let port = uri.port_u16().unwrap_or(if url.is_https { 443 } else { 80 });
        let stream = self.connect(&url.host, port).await?;
        let speaks = |error: hyper::Error| broken(&error);
        let connection = match url.is_https {
            false => HttpConnection::over(stream).await.map_err(speaks)?,
            true => {
                let trusted = match verifies_certificate {
                    true => Trusted::File(&self.authority),
                    false => Trusted::Anybody,
                };
                let shaking = connect_to_server(stream, None, &url.host, trusted, None);
                let shaken = tokio::time::timeout(CONNECT, shaking).await;
                let shaken =
                    shaken.map_err(|_| FetchError::Unreachable("it does not answer by TLS".to_owned()))?;
                let stream = shaken.map_err(|error| match error.is_of_certificate() {
                    true => FetchError::Certificate(error),
                    false => FetchError::Unreachable(error.to_string()),
                })?;
                HttpConnection::over(stream).await.map_err(speaks)?
            }
        };
        Ok(Link { url, connection })
    }

    async fn connect(&self, host: &str, port: u16) -> Result<TcpStream, FetchError> {
        let addresses = self.addresses(host).await?;
        for address in &addresses {
            // One that is refused among others is no accident.
            (self.allows)(*address).map_err(FetchError::Forbidden)?;
        }
        let mut why = format!("`{host}` has no address");
        for address in addresses {
            let to = SocketAddr::from((address, port));
            let connecting = async {
                match &self.network {
                    Some(network) => network.connect(to).await,
                    None => TcpStream::connect(to).await,
                }
            };
            match tokio::time::timeout(CONNECT, connecting).await {
                Ok(Ok(stream)) => return Ok(stream),
                Ok(Err(error)) => why = format!("{to}: {error}"),
                Err(_) => why = format!("{to} does not answer"),
            }
        }
        Err(FetchError::Unreachable(why))
    }

    async fn addresses(&self, host: &str) -> Result<Vec<IpAddr>, FetchError> {
        if let Ok(address) = host.parse() {
            return Ok(vec![address]);
        }
        let none = || format!("there is no DNS server for `{host}` in the network of the BMC");
        let dns = self.dns.as_ref().ok_or_else(|| FetchError::Unreachable(none()))?;
        let found = resolve(dns, self.network.as_ref(), host).await.map_err(FetchError::Unreachable)?;
        Ok(found.into_iter().collect())
    }
}

/// Returns whether two URLs are of the same server: what a password is for.
fn same_origin(a: &Url, b: &Url) -> bool {
    let origin = |url: &Url| url.text.split('/').nth(2).map(str::to_ascii_lowercase);
    a.is_https == b.is_https && origin(a) == origin(b)
}

fn request(method: Method, url: &Url, body: Bytes) -> Result<Request<Full<Bytes>>, FetchError> {
    let syntax = |_| FetchError::Forbidden(Refused::Syntax);
    let uri: Uri = url.text.parse().map_err(|_| FetchError::Forbidden(Refused::Syntax))?;
    let host = uri.authority().map(|authority| authority.as_str()).unwrap_or_default();
    let path = uri.path_and_query().map_or("/", |path| path.as_str());
    let request = Request::builder().method(method).uri(path);
    let request = request.header(header::HOST, host).header(header::USER_AGENT, AGENT);
    request.body(Full::new(body)).map_err(syntax)
}

fn get(
    url: &Url,
    credentials: Option<&Credentials>,
    first: u64,
    last: u64,
) -> Result<Request<Full<Bytes>>, FetchError> {
    let mut request = request(Method::GET, url, Bytes::new())?;
    let range = HeaderValue::try_from(format!("bytes={first}-{last}"));
    request.headers_mut().insert(header::RANGE, range.expect("digits and a dash are visible ASCII"));
    request.headers_mut().insert(header::ACCEPT_ENCODING, HeaderValue::from_static("identity"));
    if let Some(credentials) = credentials {
        request.headers_mut().insert(header::AUTHORIZATION, basic(credentials)?);
    }
    Ok(request)
}

fn basic(Credentials { user, password }: &Credentials) -> Result<HeaderValue, FetchError> {
    let encoded = STANDARD.encode(format!("{user}:{}", password.reveal()));
    let value = HeaderValue::try_from(format!("Basic {encoded}"));
    let mut value = value.map_err(|_| FetchError::Unauthorized(401))?;
    value.set_sensitive(true);
    Ok(value)
}

async fn ask(
    connection: &mut HttpConnection,
    request: Request<Full<Bytes>>,
) -> Result<Response<Incoming>, FetchError> {
    let sent = in_time("it does not answer", connection.send(request)).await?;
    sent.map_err(|error| broken(&error))
}

/// Reads the head of an answer with a part.
fn part(response: Response<Incoming>, link: Link, first: u64, last: u64) -> Result<Part, FetchError> {
    let header = |name: HeaderName| response.headers().get(name).cloned();
    let encoding = header(header::CONTENT_ENCODING);
    if encoding.is_some_and(|encoding| encoding != "identity") {
        return Err(FetchError::NoRanges);
    }
    let range = header(header::CONTENT_RANGE).ok_or(FetchError::NoRanges)?;
    let (begin, end, size) = range.to_str().ok().and_then(content_range).ok_or(FetchError::NoRanges)?;
    // Fewer bytes than were asked for are only right at the end.
    if begin != first || end != last.min(size - 1) {
        return Err(FetchError::NoRanges);
    }
    let version = Version { size, tag: header(header::ETAG), modified: header(header::LAST_MODIFIED) };
    Ok(Part { version, left: end - begin + 1, body: response.into_body(), link })
}

/// Parses a header `Content-Range` with a known size: the first byte, the last one and the size.
fn content_range(text: &str) -> Option<(u64, u64, u64)> {
    let number = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok())?;
    let (range, size) = text.trim().strip_prefix("bytes ")?.trim_start().split_once('/')?;
    let (begin, end) = range.split_once('-')?;
    let (begin, end, size): (u64, u64, u64) = (number(begin)?, number(end)?, number(size)?);
    // A disk has at most 2^63 bytes.
    (begin <= end && end < size && size <= i64::MAX as u64).then_some((begin, end, size))
}

async fn in_time<T>(what: &str, wait: impl Future<Output = T>) -> Result<T, FetchError> {
    tokio::time::timeout(ANSWER, wait).await.map_err(|_| FetchError::Broken(what.to_owned()))
}

fn broken(error: &hyper::Error) -> FetchError {
    FetchError::Broken(chain(error))
}

#[cfg(test)]
mod tests;
