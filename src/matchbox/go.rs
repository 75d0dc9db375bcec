//! How Go reads and writes what matchbox gets from its clients and its files.
//!
//! Clients see Go's own choices in the real server's answers: which MAC address
//! is one, how a number is written, what a query with an error in it says. They
//! are made here once, as the version that the real server was captured with
//! makes them (1.27), and tested with vectors that Go itself has made.

pub mod float;
pub mod json;
pub mod mac;
pub mod path;
pub mod query;
pub mod quote;
pub mod sniff;

/// Returns a text as `html.EscapeString` and the listing of a folder write it.
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

/// Appends bytes to a text as Go reads them: each byte that is no part of a character is U+FFFD.
///
/// [`String::from_utf8_lossy`] takes the bytes of a broken character together.
pub fn push_lossy(text: &mut String, bytes: &[u8]) {
    for chunk in bytes.utf8_chunks() {
        text.push_str(chunk.valid());
        text.extend(chunk.invalid().iter().map(|_| char::REPLACEMENT_CHARACTER));
    }
}

#[cfg(test)]
mod tests;
