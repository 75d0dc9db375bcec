//! Quoted strings and characters of Go: quoting and unquoting as in package `strconv`.

use std::fmt::Write as _;

/// Which characters are not escaped in a quoted string.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Keep {
    /// Printable characters, as in `strconv.Quote`.
    Printable,
    /// Printable ASCII characters, as in `strconv.QuoteToASCII`.
    Ascii,
}

/// Quotes a string in double quotes, as `strconv.Quote`.
pub fn text(text: &[u8], keep: Keep) -> String {
    let mut quoted = String::with_capacity(text.len() + 2);
    quoted.push('"');
    for chunk in text.utf8_chunks() {
        for char in chunk.valid().chars() {
            push_escaped(&mut quoted, char, '"', keep);
        }
        for byte in chunk.invalid() {
            write!(quoted, "\\x{byte:02x}").expect("a String takes everything");
        }
    }
    quoted.push('"');
    quoted
}

/// Quotes a character in single quotes, as `strconv.QuoteRune`.
pub fn rune(char: char, keep: Keep) -> String {
    let mut quoted = "'".to_owned();
    push_escaped(&mut quoted, char, '\'', keep);
    quoted.push('\'');
    quoted
}

/// Tells whether a string can be written in backquotes.
pub fn can_backquote(text: &[u8]) -> bool {
    std::str::from_utf8(text).is_ok_and(|text| {
        text.chars().all(|char| char == '\t' || !matches!(char, '\0'..='\x1f' | '`' | '\x7f' | '\u{feff}'))
    })
}

/// Tells whether a character is printable, as `unicode.IsPrint`.
pub fn is_printable(char: char) -> bool {
    if char.is_ascii() {
        return matches!(char, ' '..='~');
    }
    // After another character, `escape_debug` escapes exactly the characters that are not printable.
    let mut buffer = [0; 5];
    buffer[0] = b'a';
    let length = 1 + char.encode_utf8(&mut buffer[1..]).len();
    std::str::from_utf8(&buffer[..length]).is_ok_and(|text| text.escape_debug().nth(1) != Some('\\'))
}

fn push_escaped(quoted: &mut String, char: char, quote: char, keep: Keep) {
    if char == quote || char == '\\' {
        quoted.extend(['\\', char]);
        return;
    }
    if (char.is_ascii() || keep == Keep::Printable) && is_printable(char) {
        quoted.push(char);
        return;
    }
    let code = u32::from(char);
    let written = match char {
        '\x07' => quoted.write_str("\\a"),
        '\x08' => quoted.write_str("\\b"),
        '\x0c' => quoted.write_str("\\f"),
        '\n' => quoted.write_str("\\n"),
        '\r' => quoted.write_str("\\r"),
        '\t' => quoted.write_str("\\t"),
        '\x0b' => quoted.write_str("\\v"),
        '\0'..='\x1f' | '\x7f' => write!(quoted, "\\x{code:02x}"),
        '\0'..='\u{ffff}' => write!(quoted, "\\u{code:04x}"),
        _ => write!(quoted, "\\U{code:08x}"),
    };
    written.expect("a String takes everything");
}

/// Unquotes a string in double quotes or backquotes, as `strconv.Unquote`; `None` if it is invalid.
///
/// The result may be invalid UTF-8.
pub fn unquote(quoted: &[u8]) -> Option<Vec<u8>> {
    let (quote, inner) = quoted.split_first()?;
    let inner = inner.strip_suffix(&[*quote])?;
    match quote {
        b'`' if !inner.contains(&b'`') => Some(inner.iter().copied().filter(|&byte| byte != b'\r').collect()),
        b'"' if !inner.contains(&b'\n') => {
            let mut bytes = Vec::with_capacity(inner.len());
            let mut rest = inner;
            while !rest.is_empty() {
                let (unit, after) = unquote_unit(rest, b'"')?;
                match unit {
                    Unit::Char(char) => bytes.extend_from_slice(char.encode_utf8(&mut [0; 4]).as_bytes()),
                    Unit::Byte(byte) => bytes.push(byte),
                }
                rest = after;
            }
            Some(bytes)
        }
        _ => None,
    }
}

/// The value of one character or escape in a quoted string.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unit {
    /// A character.
    Char(char),
    /// A byte, which may be invalid UTF-8.
    Byte(u8),
}

/// Returns the first value of a quoted string and the rest, as `strconv.UnquoteChar`.
pub fn unquote_unit(text: &[u8], quote: u8) -> Option<(Unit, &[u8])> {
    let (first, width) = decode(text)?;
    let rest = &text[width..];
    if text[0] == quote {
        return None;
    }
    if first != '\\' {
        return Some((Unit::Char(first), rest));
    }
    let (escape, rest) = rest.split_first()?;
    let char = |char| Some((Unit::Char(char), rest));
    match escape {
        b'a' => char('\x07'),
        b'b' => char('\x08'),
        b'f' => char('\x0c'),
        b'n' => char('\n'),
        b'r' => char('\r'),
        b't' => char('\t'),
        b'v' => char('\x0b'),
        b'\\' => char('\\'),
        b'\'' | b'"' if *escape == quote => char(char::from(quote)),
        b'x' => {
            let (code, rest) = digits(rest, 2, 16)?;
            Some((Unit::Byte(u8::try_from(code).ok()?), rest))
        }
        b'u' | b'U' => {
            let (code, rest) = digits(rest, if *escape == b'u' { 4 } else { 8 }, 16)?;
            Some((Unit::Char(char::from_u32(code)?), rest))
        }
        b'0'..=b'7' => {
            let (code, rest) = digits(&text[1..], 3, 8)?;
            Some((Unit::Byte(u8::try_from(code).ok()?), rest))
        }
        _ => None,
    }
}

fn digits(text: &[u8], many: usize, base: u32) -> Option<(u32, &[u8])> {
    let (digits, rest) = text.split_at_checked(many)?;
    let code = digits.iter().try_fold(0u32, |code, &digit| {
        code.checked_mul(base)?.checked_add(char::from(digit).to_digit(base)?)
    })?;
    Some((code, rest))
}

/// Returns the first character of a string and its length in bytes, as `utf8.DecodeRune`.
///
/// An invalid byte is U+FFFD.
pub fn decode(text: &[u8]) -> Option<(char, usize)> {
    let first = *text.first()?;
    if first.is_ascii() {
        return Some((char::from(first), 1));
    }
    let start = &text[..text.len().min(4)];
    let valid = start.utf8_chunks().next().map_or("", |chunk| chunk.valid());
    Some(valid.chars().next().map_or((char::REPLACEMENT_CHARACTER, 1), |char| (char, char.len_utf8())))
}
