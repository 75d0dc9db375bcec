//! Paths as package `path` and `http.ServeMux` clean them, and as `url.URL` writes them.

use crate::matchbox::go::query::{is_unreserved, push_escape};

/// Returns the shortest path that is the same one by its text alone, as `path.Clean`.
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

/// Returns where `http.ServeMux` sends a client whose path is not clean.
///
/// The path comes as the request has it, with its escapes, and without its query. Go escapes it once
/// more, so that `//a%20b` is sent to `/a%2520b`.
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

/// Returns a path as a link to it has it, as `url.URL{Path: path}.String()`.
pub fn href(path: &str) -> String {
    if path == "*" {
        return "*".to_owned();
    }
    let mut escaped = String::with_capacity(path.len());
    // A colon in the first part would make it a scheme (RFC 3986, section 4.2).
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
