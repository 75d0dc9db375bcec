//! Queries as `url.ParseQuery` reads them, and the escapes of `net/url`.

use crate::matchbox::go::push_lossy;

/// How many pairs Go reads. A query with more of them says nothing at all.
const MOST_PAIRS: usize = 10_000;

/// Returns the first value of each key, in order of appearance.
///
/// A pair that holds `;` or an escape that is none is left out, and so are the
/// values after a key's first: that is all that a server gets that asks for `Get`.
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

/// Returns what a part of a query stands for, as `url.QueryUnescape`, where each of its escapes is one.
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

/// Returns bytes as `url.QueryEscape` writes them.
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
