//! Data URLs, as Ignition parses and Butane writes them.

use crate::matchbox::go::quote::unquote;
use crate::matchbox::go::standard_base64;

/// Returns why a text that begins with `data:` cannot be decoded, if it cannot.
pub(crate) fn unreadable(text: &str) -> Option<&'static str> {
    decode(text).err()
}

/// Returns the contents of a data URL.
pub(crate) fn decode(text: &str) -> Result<Vec<u8>, &'static str> {
    let head = text.strip_prefix("data:").ok_or("it does not begin with `data:`")?;
    let (base64, data) = media_type(head)?;
    if base64 { standard_base64::decode(data).ok_or("it is no base64") } else { unescape(data) }
}

/// Escapes all bytes except the unreserved ones.
pub(crate) fn escape(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789ABCDEF";
    let mut text = String::with_capacity(bytes.len() * 2);
    for byte in bytes {
        if byte.is_ascii_alphanumeric() || b"-_.!~*'()".contains(byte) {
            text.push(char::from(*byte));
        } else {
            text.push('%');
            text.push(char::from(DIGITS[usize::from(byte >> 4)]));
            text.push(char::from(DIGITS[usize::from(byte & 15)]));
        }
    }
    text
}

fn token(letter: char) -> bool {
    letter.is_ascii_graphic() && !"()<>@,;:\\\"/[]?=".contains(letter)
}

const NO_COMMA: &str = "it has no comma before its data";

/// Parses the media type and its parameters; returns whether base64 follows, and the data.
fn media_type(text: &str) -> Result<(bool, &str), &'static str> {
    let mut rest = text;
    if !rest.starts_with([';', ',']) {
        let (kind, after) = rest.split_once('/').ok_or("its media type has no slash")?;
        let known = ["text", "image", "audio", "video", "application", "message", "multipart"];
        let extension = kind.starts_with("x-") || kind.starts_with("X-");
        if !kind.chars().all(token) || !(extension || known.iter().any(|known| kind.starts_with(known))) {
            return Err("its media type is unknown");
        }
        let end = after.find([';', ',']).ok_or(NO_COMMA)?;
        if !after[..end].chars().all(token) {
            return Err("its media type is unknown");
        }
        rest = &after[end..];
    }
    while let Some(parameter) = rest.strip_prefix(';') {
        let end = parameter.find(['=', ',']).ok_or(NO_COMMA)?;
        let (name, after) = parameter.split_at(end);
        if name.is_empty() || !name.chars().all(token) {
            return Err("a parameter of its media type has no name");
        }
        if let Some(data) = after.strip_prefix(',') {
            return if name == "base64" {
                Ok((true, data))
            } else {
                Err("it is encoded in another way than base64")
            };
        }
        rest = value(&after[1..])?;
    }
    let data = rest.strip_prefix(',').ok_or(NO_COMMA)?;
    let allowed = |letter: char| letter.is_ascii_graphic() && !"<>#\"{}|\\^[]`".contains(letter);
    if data.chars().all(allowed) {
        Ok((false, data))
    } else {
        Err("a character of its data wants to be escaped")
    }
}

/// Parses the value of a parameter; returns the rest.
fn value(text: &str) -> Result<&str, &'static str> {
    const BAD: &str = "a parameter of its media type has no value";
    if let Some(quoted) = text.strip_prefix('"') {
        let mut escaped = false;
        let end = quoted.char_indices().find(|(_, letter)| {
            let ends = *letter == '"' && !escaped;
            escaped = *letter == '\\' && !escaped;
            ends || !letter.is_ascii()
        });
        let end = end.map(|(end, _)| end).filter(|end| quoted[*end..].starts_with('"')).ok_or(BAD)?;
        unquote(&text.as_bytes()[..end + 2]).ok_or(BAD)?;
        return Ok(&quoted[end + 1..]);
    }
    let end = text.find([';', ',']).ok_or(NO_COMMA)?;
    let plain = &text[..end];
    if plain.is_empty() || !plain.chars().all(token) || unescape(plain).is_err() {
        return Err(BAD);
    }
    Ok(&text[end..])
}

fn unescape(text: &str) -> Result<Vec<u8>, &'static str> {
    let mut bytes = text.bytes();
    let mut decoded = Vec::with_capacity(text.len());
    while let Some(byte) = bytes.next() {
        decoded.push(match byte {
            b'%' => {
                let digit = |byte: Option<u8>| char::from(byte?).to_digit(16);
                let value = digit(bytes.next()).zip(digit(bytes.next())).map(|(high, low)| high * 16 + low);
                value
                    .and_then(|value| u8::try_from(value).ok())
                    .ok_or("a `%` in it is followed by no two digits")?
            }
            byte => byte,
        });
    }
    Ok(decoded)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        for bytes in [&b""[..], b"hello, world\n", &[0, 255, 7], "ü%".as_bytes()] {
            assert_eq!(decode(&format!("data:,{}", escape(bytes))).as_deref(), Ok(bytes));
            assert_eq!(
                decode(&format!("data:;base64,{}", standard_base64::encode(bytes))).as_deref(),
                Ok(bytes)
            );
        }
    }

    #[test]
    fn media_types_are_taken_and_left() {
        for good in [
            "data:,",
            "data:text/plain,a",
            "data:text/plain;charset=utf-8,a",
            "data:;charset=utf-8;base64,aGk=",
            "data:x-y/z,a",
            "data:application/json;a=\"b;\\\"c,\",{",
            "data:;base64,",
            "data:textual/a,b",
        ] {
            let good = good.replace(",{", ",%7b");
            assert_eq!(unreadable(&good), None, "{good}");
        }
        for bad in [
            "data:",
            "data:a",
            "data:a/b,c",
            "data:text,c",
            "data:text/plain",
            "data:;base64",
            "data:;,x",
            "data:;a=,x",
            "data:;gzip,x",
            "data:;base64,a",
            "data:;base64,aGk",
            "data:,a b",
            "data:,{",
            "data:,%4",
            "data:,%zz",
            "data:text/plain;a,b",
            "data:,ü",
        ] {
            assert!(unreadable(bad).is_some(), "{bad}");
        }
    }
}
