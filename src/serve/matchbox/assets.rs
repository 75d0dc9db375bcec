//! `/assets/`, as Go's `http.FileServer` serves a folder. Symbolic links are followed anywhere, as by the real
//! server.

use std::ffi::OsStr;
use std::fs::{self, File, Metadata};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::Path;

use super::{Answer, Body, HTML};
use crate::matchbox::go::{html_escape, path, sniff};

/// The index page of a folder.
const INDEX: &str = "index.html";

/// Finds the file of an unescaped path below `/assets/`.
pub(super) fn find(folder: &Path, below: &[u8], query: &str) -> Answer {
    let found = look(folder, below, query);
    let rule = |answer: &Answer| if answer.status < 400 { "assets" } else { "asset not found" };
    match found {
        Ok(answer) => Answer { rule: rule(&answer).to_owned(), ..answer },
        Err(error) => failure(&error),
    }
}

/// Returns an error as Go does.
fn failure(error: &io::Error) -> Answer {
    let rule = error.to_string();
    match error.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => Answer::not_found("asset not found"),
        io::ErrorKind::PermissionDenied => Answer { rule, ..Answer::error(403, "403 Forbidden") },
        _ => Answer { rule, ..Answer::error(500, "500 Internal Server Error") },
    }
}

fn look(folder: &Path, below: &[u8], query: &str) -> io::Result<Answer> {
    // Go's server sees the rest of the path as an absolute one.
    let url = [b"/", below].concat();
    if url.ends_with(b"/index.html") {
        return Ok(elsewhere("./", query));
    }
    let clean = clean(&url);
    let path = folder.join(OsStr::from_bytes(&clean));
    let (mut file, mut data) = open(&path)?;
    let base = clean.rsplit(|byte| *byte == b'/').next().unwrap_or_default();
    let base = String::from_utf8_lossy(base);
    if !data.is_dir() && url.ends_with(b"/") {
        return Ok(elsewhere(&format!("../{base}"), query));
    }
    let mut name = base.into_owned();
    if data.is_dir() {
        if !url.ends_with(b"/") {
            return Ok(elsewhere(&format!("{name}/"), query));
        }
        match open(&path.join(INDEX)) {
            Ok((index, of_index)) if !of_index.is_dir() => {
                (file, data) = (index, of_index);
                INDEX.clone_into(&mut name);
            }
            _ => return listing(&path, &data),
        }
    }
    let mut answer = Answer::new(200, media_type(&name, &file)?, Body::Whole(Vec::new()));
    answer.modified = data.modified().ok();
    Ok(Answer { body: Body::File(file, data), ..answer })
}

/// Opens a file or folder. Does not block on a FIFO without a writer.
fn open(path: &Path) -> io::Result<(File, Metadata)> {
    let file = File::options().read(true).custom_flags(nix::libc::O_NONBLOCK).open(path)?;
    let data = file.metadata()?;
    match data.is_file() || data.is_dir() {
        true => Ok((file, data)),
        false => Err(io::ErrorKind::PermissionDenied.into()),
    }
}

/// Returns a normalised path, which never leaves the folder.
fn clean(url: &[u8]) -> Vec<u8> {
    let mut parts: Vec<&[u8]> = Vec::new();
    for part in url.split(|byte| *byte == b'/') {
        match part {
            b"" | b"." => {}
            b".." => drop(parts.pop()),
            part => parts.push(part),
        }
    }
    parts.join(&b'/')
}

/// Redirects a client to a sibling path, with its query.
fn elsewhere(to: &str, query: &str) -> Answer {
    let query = if query.is_empty() { String::new() } else { format!("?{query}") };
    let answer = Answer::new(301, HTML, Body::Whole(Vec::new()));
    Answer { media_type: None, location: Some(format!("{to}{query}")), ..answer }
}

fn listing(path: &Path, data: &Metadata) -> io::Result<Answer> {
    let mut names = Vec::new();
    for entry in fs::read_dir(path)? {
        let entry = entry?;
        let is_dir = entry.file_type().is_ok_and(|kind| kind.is_dir());
        names.push((entry.file_name(), is_dir));
    }
    names.sort();
    let mut page =
        "<!doctype html>\n<meta name=\"viewport\" content=\"width=device-width\">\n<pre>\n".to_owned();
    for (name, is_dir) in names {
        let name = format!("{}{}", name.to_string_lossy(), if is_dir { "/" } else { "" });
        page.extend(["<a href=\"", &path::href(&name), "\">", &html_escape(&name), "</a>\n"]);
    }
    page.push_str("</pre>\n");
    let mut answer = Answer::new(200, HTML, Body::Whole(page.into_bytes()));
    answer.modified = data.modified().ok();
    Ok(answer)
}

/// Returns the media type of a file by its extension, otherwise by its first bytes.
fn media_type(name: &str, file: &File) -> io::Result<&'static str> {
    let extension = name.rsplit_once('.').map(|(_, extension)| extension.to_ascii_lowercase());
    let known = match extension.as_deref() {
        Some("css") => "text/css; charset=utf-8",
        Some("csv") => "text/csv; charset=utf-8",
        Some("gif") => "image/gif",
        Some("gz") => "application/gzip",
        Some("htm" | "html") => HTML,
        Some("jpeg" | "jpg") => "image/jpeg",
        Some("js" | "mjs") => "text/javascript; charset=utf-8",
        Some("json") => "application/json",
        Some("pdf") => "application/pdf",
        Some("png") => "image/png",
        Some("svg") => "image/svg+xml",
        Some("txt") => "text/plain; charset=utf-8",
        Some("wasm") => "application/wasm",
        Some("webp") => "image/webp",
        Some("xml") => "text/xml; charset=utf-8",
        Some("zip") => "application/zip",
        _ => {
            let mut first = [0; 512];
            let length = file.read_at(&mut first, 0)?;
            sniff::media_type(&first[..length])
        }
    };
    Ok(known)
}
