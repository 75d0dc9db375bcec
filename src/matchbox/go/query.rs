//! Queries as `url.ParseQuery` parses them, and the escapes of `net/url`.

use crate::matchbox::go::push_lossy;

/// The maximum number of pairs in Go. A query with more is ignored.
const MOST_PAIRS: usize = 10_000;

/// Returns the first value of each key, in order of appearance.
///
/// A pair with `;` or an invalid escape is ignored, as are further values of a key:
/// a Go server that calls `Get` sees nothing else.
pub fn parse(raw: &str) -> Vec<(String, String)> {
    if raw.matches('&').count() >= MOST_PAIRS {
        return Vec::new();
    }
    let mut seen = std::collections::HashSet::new();
    raw.split('&')
        .filter(|pair| !pair.is_empty() && !pair.contains(';'))
        .filter_map(|pair| {
            let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
            Some((unescape(key)?, unescape(value)?))
        })
        .filter(|(key, _)| seen.insert(key.clone()))
        .collect()
}

/// Decodes a part of a query as `url.QueryUnescape`; `None` for an invalid escape.
fn unescape(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'%' => {
                let mut digit = || char::from(rest.next()?).to_digit(16);
                u8::try_from(digit()? << 4 | digit()?).ok()?
            }
            b'+' => b' ',
            other => other,
        });
    }
    let mut unescaped = String::with_capacity(bytes.len());
    push_lossy(&mut unescaped, &bytes);
    Some(unescaped)
}

/// Escapes bytes as `url.QueryEscape` does.
pub fn escape(bytes: &[u8]) -> String {
    let mut escaped = String::with_capacity(bytes.len());
    for &byte in bytes {
        match byte {
            b' ' => escaped.push('+'),
            _ if is_unreserved(byte) => escaped.push(char::from(byte)),
            _ => push_escape(&mut escaped, byte),
        }
    }
    escaped
}

/// Tells whether a byte is never escaped (RFC 3986, section 2.3).
pub(super) fn is_unreserved(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b'~')
}

pub(super) fn push_escape(escaped: &mut String, byte: u8) {
    let digit = |value: u8| char::from(b"0123456789ABCDEF"[usize::from(value)]);
    escaped.extend(['%', digit(byte >> 4), digit(byte & 15)]);
}
