//! Formats of Go: how matchbox parses what clients and files contain, and how it writes answers.
//!
//! Clients see Go's behaviour in the real server's answers: which MAC addresses are
//! valid, how a number is formatted, how an invalid query is treated. It is
//! reproduced here as in Go 1.27, with which the real server was recorded, and
//! tested with vectors that Go itself has created.

pub mod float;
pub mod json;
pub mod mac;
pub mod path;
pub mod query;
pub mod quote;
pub mod sniff;
pub(crate) mod standard_base64;

/// Escapes a text as `html.EscapeString` and folder listings do.
pub fn html_escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for char in text.chars() {
        match char {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&#34;"),
            '\'' => escaped.push_str("&#39;"),
            other => escaped.push(other),
        }
    }
    escaped
}

/// Appends bytes to a text as Go decodes them: each invalid byte is U+FFFD.
///
/// [`String::from_utf8_lossy`] replaces a truncated character as a whole.
pub fn push_lossy(text: &mut String, bytes: &[u8]) {
    for chunk in bytes.utf8_chunks() {
        text.push_str(chunk.valid());
        text.extend(chunk.invalid().iter().map(|_| char::REPLACEMENT_CHARACTER));
    }
}

#[cfg(test)]
mod tests;
