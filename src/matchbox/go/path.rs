//! Paths as package `path` and `http.ServeMux` clean them, and as `url.URL` escapes them.

use crate::matchbox::go::query::{is_unreserved, push_escape};

/// Returns the shortest equivalent path, as `path.Clean`.
pub fn clean(path: &str) -> String {
    let rooted = path.starts_with('/');
    let mut kept: Vec<&str> = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." if kept.last().is_some_and(|&last| last != "..") => {
                kept.pop();
            }
            ".." if rooted => {}
            other => kept.push(other),
        }
    }
    match (rooted, kept.is_empty()) {
        (true, _) => format!("/{}", kept.join("/")),
        (false, true) => ".".to_owned(),
        (false, false) => kept.join("/"),
    }
}

/// Returns the path to which `http.ServeMux` redirects a client whose path is not clean.
///
/// `raw_path` is still escaped and has no query. Go escapes it once more, so that `//a%20b` is redirected to
/// `/a%2520b`.
pub fn redirect(raw_path: &str) -> Option<String> {
    let cleaned = clean_request(raw_path);
    (cleaned != raw_path).then(|| href(&cleaned))
}

fn clean_request(path: &str) -> String {
    let rooted = if path.starts_with('/') { path.to_owned() } else { format!("/{path}") };
    let mut cleaned = clean(&rooted);
    if rooted.ends_with('/') && cleaned != "/" {
        cleaned.push('/');
    }
    cleaned
}

/// Escapes a path for a link, as `url.URL{Path: path}.String()`.
pub fn href(path: &str) -> String {
    if path == "*" {
        return "*".to_owned();
    }
    let mut escaped = String::with_capacity(path.len());
    // A colon in the first segment would make it a scheme (RFC 3986, section 4.2).
    if path.split('/').next().is_some_and(|first| first.contains(':')) {
        escaped.push_str("./");
    }
    for byte in path.bytes() {
        match byte {
            b'$' | b'&' | b'+' | b',' | b'/' | b':' | b';' | b'=' | b'@' => escaped.push(char::from(byte)),
            _ if is_unreserved(byte) => escaped.push(char::from(byte)),
            _ => push_escape(&mut escaped, byte),
        }
    }
    escaped
}
