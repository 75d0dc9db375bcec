//! The characters of a YAML text: UTF-8, or UTF-16 behind a byte order mark.

use super::YamlError;

/// Decodes a text without its byte order mark, or names the first byte that is not allowed.
pub(super) fn decode(bytes: &[u8]) -> Result<String, YamlError> {
    let text = match bytes {
        [0xff, 0xfe, rest @ ..] => utf16(rest, u16::from_le_bytes)?,
        [0xfe, 0xff, rest @ ..] => utf16(rest, u16::from_be_bytes)?,
        [0xef, 0xbb, 0xbf, rest @ ..] => utf8(rest)?,
        rest => utf8(rest)?,
    };
    match text.char_indices().find(|(_, letter)| !allowed(*letter)) {
        None => Ok(text),
        Some((at, letter)) => Err(YamlError {
            line: line(&text.as_bytes()[..at]),
            message: format!("the control character U+{:04X} is not allowed", u32::from(letter)),
        }),
    }
}

fn utf8(bytes: &[u8]) -> Result<String, YamlError> {
    str::from_utf8(bytes).map(str::to_owned).map_err(|error| YamlError {
        line: line(&bytes[..error.valid_up_to()]),
        message: "YAML is UTF-8, and this is not".to_owned(),
    })
}

fn utf16(bytes: &[u8], unit: fn([u8; 2]) -> u16) -> Result<String, YamlError> {
    let (pairs, rest) = bytes.as_chunks::<2>();
    let wrong = |text: &str| YamlError {
        line: line(text.as_bytes()),
        message: "YAML with this byte order mark is UTF-16, and this is not".to_owned(),
    };
    let mut text = String::with_capacity(bytes.len());
    for letter in char::decode_utf16(pairs.iter().map(|pair| unit(*pair))) {
        text.push(letter.map_err(|_| wrong(&text))?);
    }
    if rest.is_empty() { Ok(text) } else { Err(wrong(&text)) }
}

fn line(before: &[u8]) -> usize {
    before.iter().filter(|byte| **byte == b'\n').count() + 1
}

fn allowed(letter: char) -> bool {
    matches!(letter,
        '\t' | '\n' | '\r' | ' '..='~' | '\u{85}' | '\u{a0}'..='\u{d7ff}' | '\u{e000}'..='\u{fffd}'
        | '\u{10000}'..)
}
