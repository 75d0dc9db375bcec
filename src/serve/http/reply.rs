//! The response to a request: status, headers and the parts of the body. Sends nothing.

use std::fs::{File, Metadata};
use std::os::unix::fs::MetadataExt;
use std::sync::Arc;

use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use bytes::Bytes;
use sha2::{Digest, Sha256};

use super::super::content::{Content, Item, Missing};
use super::super::format::format_of;
use super::super::matchbox::{Answer, Body as MatchboxBody};
use super::condition::{Follows, Version, follows, same_file};
use super::range::{Wanted, wanted};
use crate::event::{FileFormat, FileRole};
use crate::wire::format;

/// A part of a body.
#[derive(Debug, Clone)]
pub(super) enum Piece {
    /// Bytes in memory.
    Bytes(Bytes),
    /// Bytes of a file.
    File {
        /// The file.
        file: Arc<File>,
        /// Offset of the first byte.
        at: u64,
        /// Number of bytes left.
        left: u64,
    },
}

impl Piece {
    /// Returns its length in bytes.
    pub(super) fn length(&self) -> u64 {
        match self {
            Self::Bytes(bytes) => bytes.len() as u64,
            Self::File { left, .. } => *left,
        }
    }

    /// Shortens it.
    pub(super) fn limit(&mut self, length: u64) {
        match self {
            Self::Bytes(bytes) => bytes.truncate(usize::try_from(length).unwrap_or(usize::MAX)),
            Self::File { left, .. } => *left = length.min(*left),
        }
    }

    /// Returns what the body is that it begins; nothing if it begins in the middle of a file.
    pub(super) fn format(&self) -> Option<FileFormat> {
        match self {
            Self::Bytes(bytes) => Some(format::of(&bytes[..bytes.len().min(format::HEAD)])),
            Self::File { file, at: 0, .. } => format_of(file),
            Self::File { .. } => None,
        }
    }
}

/// A response.
#[derive(Debug)]
pub(super) struct Reply {
    /// The status.
    pub(super) status: StatusCode,
    /// The headers, without those that hyper adds.
    pub(super) headers: HeaderMap,
    /// The body; empty for HEAD, whatever `Content-Length` says.
    pub(super) body: Vec<Piece>,
    /// The role of the file for the node.
    pub(super) role: Option<FileRole>,
    /// The rule that decided.
    pub(super) rule: String,
    /// The ranges that are sent.
    pub(super) range: Option<String>,
}

/// Content with its metadata.
struct Page {
    manners: HttpDialect,
    kind: &'static str,
    version: Version,
    body: Body,
}

/// The behaviour where the protocol leaves a choice.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum HttpDialect {
    /// Dryrack's own.
    Own,
    /// That of Go's `http.ServeContent`.
    Go,
}

enum Body {
    Bytes(Bytes),
    File(Arc<File>, u64),
}

impl Body {
    fn length(&self) -> u64 {
        match self {
            Self::Bytes(bytes) => bytes.len() as u64,
            Self::File(_, length) => *length,
        }
    }

    /// Returns a range of bytes.
    fn piece(&self, at: u64, length: u64) -> Piece {
        match self {
            Self::Bytes(bytes) => Piece::Bytes(bytes.slice(at as usize..(at + length) as usize)),
            Self::File(file, _) => Piece::File { file: Arc::clone(file), at, left: length },
        }
    }
}

/// Returns the response for the content of a path, or for its absence.
pub(super) fn reply(method: &Method, path: &str, headers: &HeaderMap, found: Result<Item, Missing>) -> Reply {
    let mut reply = if !matches!(*method, Method::GET | Method::HEAD) {
        let mut reply = plain(StatusCode::METHOD_NOT_ALLOWED, "only GET and HEAD\n");
        reply.headers.insert(header::ALLOW, HeaderValue::from_static("GET, HEAD"));
        reply.rule = "read-only".to_owned();
        reply
    } else {
        match found {
            Ok(item) => {
                let (role, rule) = (Some(item.role.clone()), item.rule.to_owned());
                let page = page(path, item);
                Reply { role, rule, ..answer(method, headers, &page) }
            }
            Err(missing) => {
                let reply = match missing {
                    Missing::Refused(_) => plain(StatusCode::FORBIDDEN, "refused\n"),
                    Missing::Unknown | Missing::Gone(_) => plain(StatusCode::NOT_FOUND, "not found\n"),
                };
                Reply { rule: missing.to_string(), ..reply }
            }
        }
    };
    if *method == Method::HEAD {
        reply.body.clear();
    }
    reply
}

/// Responds as Go's server does, whatever the method.
pub(super) fn as_go(method: &Method, headers: &HeaderMap, requested: Answer) -> Reply {
    let is_error = requested.is_error();
    let Answer { status, media_type, location, modified, body, role, rule, failures: _, warnings: _ } =
        requested;
    let kind = media_type.unwrap_or_default();
    let page = |body| {
        // Go compares versions by time only; no client can send this tag.
        let version = Version { tag: "\0".to_owned(), modified };
        Page { manners: HttpDialect::Go, kind, version, body }
    };
    let mut reply = match body {
        MatchboxBody::Text(bytes) => answer(method, headers, &page(Body::Bytes(bytes.into()))),
        MatchboxBody::File(file, data) => {
            answer(method, headers, &page(Body::File(Arc::new(file), data.len())))
        }
        MatchboxBody::Whole(bytes) => {
            let whole = page(Body::Bytes(bytes.into()));
            match modified.map_or(Follows::Answer, |_| follows(headers, &whole.version)) {
                Follows::NotModified => answer(method, headers, &whole),
                Follows::Answer | Follows::Failed => whole_as_go(status, &whole),
            }
        }
    };
    if let Some(location) = &location {
        set(&mut reply, header::LOCATION, location);
    }
    if media_type.is_none() {
        reply.headers.remove(header::CONTENT_TYPE);
    }
    if is_error {
        reply.headers.insert(header::X_CONTENT_TYPE_OPTIONS, NOSNIFF);
    }
    if *method == Method::HEAD {
        reply.body.clear();
    }
    Reply { role, rule, ..reply }
}

/// Sends a page without conditions and ranges.
fn whole_as_go(status: u16, page: &Page) -> Reply {
    let mut reply = bare(StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR));
    describe(&mut reply, page);
    reply.headers.remove(header::ACCEPT_RANGES);
    fill(&mut reply, vec![page.body.piece(0, page.body.length())]);
    reply
}

const NOSNIFF: HeaderValue = HeaderValue::from_static("nosniff");

fn plain(status: StatusCode, text: &'static str) -> Reply {
    let mut reply = bare(status);
    reply.headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    fill(&mut reply, vec![Piece::Bytes(Bytes::from_static(text.as_bytes()))]);
    reply
}

fn bare(status: StatusCode) -> Reply {
    let (headers, body) = (HeaderMap::new(), Vec::new());
    Reply { status, headers, body, role: None, rule: String::new(), range: None }
}

/// Sets the body and its length: firmware requires `Content-Length`.
fn fill(reply: &mut Reply, body: Vec<Piece>) {
    let length: u64 = body.iter().map(Piece::length).sum();
    reply.headers.insert(header::CONTENT_LENGTH, length.into());
    reply.body = body;
}

fn page(path: &str, item: Item) -> Page {
    match item.content {
        Content::File(file, metadata) => Page {
            manners: HttpDialect::Own,
            kind: media_type(path, &item.role),
            version: Version { tag: file_tag(&metadata), modified: metadata.modified().ok() },
            body: Body::File(Arc::new(file), metadata.len()),
        },
        Content::Text(text) => text_page("text/plain; charset=utf-8", text),
        Content::Folder(names) => text_page("text/html; charset=utf-8", listing(path, &names)),
    }
}

fn text_page(kind: &'static str, text: String) -> Page {
    let digest = hex(&Sha256::digest(text.as_bytes())[..8]);
    let version = Version { tag: format!("\"{digest}\""), modified: None };
    Page { manners: HttpDialect::Own, kind, version, body: Body::Bytes(text.into()) }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |text, byte| text + &format!("{byte:02x}"))
}

/// A modified file has another size or time, a replaced one another inode.
fn file_tag(metadata: &Metadata) -> String {
    let (seconds, nanoseconds) = (metadata.mtime(), metadata.mtime_nsec());
    format!("\"{:x}-{:x}-{seconds:x}.{nanoseconds:x}\"", metadata.ino(), metadata.len())
}

fn answer(method: &Method, headers: &HeaderMap, page: &Page) -> Reply {
    match follows(headers, &page.version) {
        Follows::Failed if page.manners == HttpDialect::Go => {
            let mut reply = bare(StatusCode::PRECONDITION_FAILED);
            fill(&mut reply, Vec::new());
            return reply;
        }
        Follows::Failed => return plain(StatusCode::PRECONDITION_FAILED, "this is another version\n"),
        Follows::NotModified => {
            let mut reply = bare(StatusCode::NOT_MODIFIED);
            describe(&mut reply, page);
            if page.manners == HttpDialect::Go {
                reply.headers.remove(header::CONTENT_TYPE);
                reply.headers.remove(header::ACCEPT_RANGES);
            }
            return reply;
        }
        Follows::Answer => {}
    }
    let length = page.body.length();
    let range = headers.get(header::RANGE).and_then(|range| range.to_str().ok());
    // Go does not check the method.
    let may = *method == Method::GET || page.manners == HttpDialect::Go;
    let range = range.filter(|_| may && same_file(headers, &page.version));
    let mut reply = bare(StatusCode::OK);
    match (range.map_or(Wanted::Whole, |range| wanted(range, length)), page.manners) {
        (Wanted::Nonsense, HttpDialect::Go) => {
            reply = plain(StatusCode::RANGE_NOT_SATISFIABLE, "invalid range\n");
            reply.headers.insert(header::X_CONTENT_TYPE_OPTIONS, NOSNIFF);
        }
        (Wanted::Beyond, HttpDialect::Go) if length > 0 => {
            reply = plain(StatusCode::RANGE_NOT_SATISFIABLE, "invalid range: failed to overlap\n");
            reply.headers.insert(header::X_CONTENT_TYPE_OPTIONS, NOSNIFF);
            set(&mut reply, header::CONTENT_RANGE, &format!("bytes */{length}"));
        }
        (Wanted::Whole, _) | (Wanted::Nonsense, HttpDialect::Own) | (Wanted::Beyond, HttpDialect::Go) => {
            describe(&mut reply, page);
            fill(&mut reply, vec![page.body.piece(0, length)]);
        }
        (Wanted::Pieces(pieces), _) => {
            reply.status = StatusCode::PARTIAL_CONTENT;
            describe(&mut reply, page);
            send_pieces(&mut reply, page, &pieces);
        }
        (Wanted::Beyond, HttpDialect::Own) => {
            reply = plain(StatusCode::RANGE_NOT_SATISFIABLE, "the file is shorter\n");
            set(&mut reply, header::CONTENT_RANGE, &format!("bytes */{length}"));
        }
    }
    reply
}

fn set(reply: &mut Reply, name: HeaderName, value: &str) {
    // Our tags, dates, ranges and types contain only valid header characters.
    if let Ok(value) = HeaderValue::try_from(value) {
        reply.headers.insert(name, value);
    }
}

fn describe(reply: &mut Reply, page: &Page) {
    reply.headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(page.kind));
    reply.headers.insert(header::ACCEPT_RANGES, HeaderValue::from_static("bytes"));
    if page.manners == HttpDialect::Own {
        set(reply, header::ETAG, &page.version.tag);
    }
    if let Some(modified) = page.version.modified {
        set(reply, header::LAST_MODIFIED, &httpdate::fmt_http_date(modified));
    }
}

fn send_pieces(reply: &mut Reply, page: &Page, pieces: &[(u64, u64)]) {
    let whole = page.body.length();
    let words = |first: u64, length: u64| format!("bytes {first}-{}/{whole}", first + length - 1);
    let said: Vec<String> =
        pieces.iter().map(|(first, length)| format!("{first}-{}", first + length - 1)).collect();
    reply.range = Some(format!("bytes {}/{whole}", said.join(",")));
    if let [(first, length)] = pieces {
        set(reply, header::CONTENT_RANGE, &words(*first, *length));
        return fill(reply, vec![page.body.piece(*first, *length)]);
    }
    let boundary =
        hex(&Sha256::digest([page.version.tag.as_bytes(), said.join(",").as_bytes()].concat())[..12]);
    let mut body = Vec::new();
    for (first, length) in pieces {
        let head = format!(
            "\r\n--{boundary}\r\nContent-Type: {}\r\nContent-Range: {}\r\n\r\n",
            page.kind,
            words(*first, *length)
        );
        body.push(Piece::Bytes(head.into()));
        body.push(page.body.piece(*first, *length));
    }
    body.push(Piece::Bytes(format!("\r\n--{boundary}--\r\n").into()));
    set(reply, header::CONTENT_TYPE, &format!("multipart/byteranges; boundary={boundary}"));
    fill(reply, body);
}

/// Returns the media type of a path. UEFI HTTP Boot uses it to tell a program from a disk image.
pub(super) fn media_type(path: &str, role: &FileRole) -> &'static str {
    let name = path.rsplit('/').next().unwrap_or_default();
    match name.rsplit_once('.').map(|(_, extension)| extension.to_ascii_lowercase()).as_deref() {
        Some("efi") => "application/efi",
        Some("iso") => "application/vnd.efi-iso",
        Some("img") => "application/vnd.efi-img",
        Some("kpxe" | "kkpxe" | "pxe" | "lkrn" | "0" | "der" | "gz" | "xz" | "zst") => {
            "application/octet-stream"
        }
        Some("json" | "ign") => "application/json",
        Some("txt" | "cfg" | "conf" | "ipxe" | "yaml" | "yml" | "pem" | "ks" | "sh") => {
            "text/plain; charset=utf-8"
        }
        Some("html" | "htm") => "text/html; charset=utf-8",
        _ if *role == FileRole::Loader => "application/efi",
        _ => "application/octet-stream",
    }
}

/// Writes the index page of a folder. Links are absolute paths, so that a trailing slash does not matter.
fn listing(path: &str, names: &[String]) -> String {
    let folder = path.trim_matches('/');
    let base = if folder.is_empty() { "/".to_owned() } else { format!("/{folder}/") };
    let title = escape(&base);
    let mut page = format!("<!DOCTYPE html>\n<title>{title}</title>\n<h1>{title}</h1>\n<ul>\n");
    if let Some((above, _)) = base.trim_end_matches('/').rsplit_once('/') {
        page.extend(["<li><a href=\"", &escape(above), "/\">..</a></li>\n"]);
    }
    for name in names {
        page.extend(["<li><a href=\"", &escape(&base), &encode(name), "\">", &escape(name), "</a></li>\n"]);
    }
    page + "</ul>\n"
}

fn escape(text: &str) -> String {
    let of = |letter| match letter {
        '&' => "&amp;".to_owned(),
        '<' => "&lt;".to_owned(),
        '>' => "&gt;".to_owned(),
        '"' => "&quot;".to_owned(),
        other => other.to_string(),
    };
    text.chars().map(of).collect()
}

fn encode(name: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~/".contains(&byte);
    name.bytes().fold(String::new(), |text, byte| {
        text + &if plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") }
    })
}
