//! Go's quoted texts and characters: package `strconv` writing and reading them.

use std::fmt::Write as _;

use crate::matchbox::go::push_lossy;

/// What is not escaped in a quoted text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Keep {
    /// Whatever can be printed, as `strconv.Quote`.
    Printable,
    /// What is ASCII and can be printed, as `strconv.QuoteToASCII`.
    Ascii,
}

/// Returns a text in double quotes, as `strconv.Quote`.
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

/// Returns a character in single quotes, as `strconv.QuoteRune`.
pub fn rune(char: char, keep: Keep) -> String {
    let mut quoted = "'".to_owned();
    push_escaped(&mut quoted, char, '\'', keep);
    quoted.push('\'');
    quoted
}

/// Tells whether a text can be written in backquotes.
pub fn can_backquote(text: &[u8]) -> bool {
    std::str::from_utf8(text).is_ok_and(|text| {
        text.chars().all(|char| char == '\t' || !matches!(char, '\0'..='\x1f' | '`' | '\x7f' | '\u{feff}'))
    })
}

/// Tells whether a character can be printed, as `unicode.IsPrint`: it is no control, gap or unknown one.
pub fn is_printable(char: char) -> bool {
    if char.is_ascii() {
        return matches!(char, ' '..='~');
    }
    // After another one, `escape_debug` escapes exactly what Unicode says cannot be printed.
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

/// Returns what a quoted text stands for, as `strconv.Unquote`, where it is one.
///
/// A text may stand for bytes that are no UTF-8: each of them is U+FFFD.
pub fn unquote(quoted: &str) -> Option<String> {
    let (quote, inner) = (quoted.chars().next()?, quoted.get(1..)?);
    let inner = inner.strip_suffix(quote)?;
    match quote {
        '`' if !inner.contains('`') => Some(inner.replace('\r', "")),
        '"' => {
            let mut bytes = Vec::with_capacity(inner.len());
            let mut rest = inner;
            while !rest.is_empty() {
                let (unit, after) = unquote_unit(rest, '"')?;
                match unit {
                    Unit::Char(char) => bytes.extend_from_slice(char.encode_utf8(&mut [0; 4]).as_bytes()),
                    Unit::Byte(byte) => bytes.push(byte),
                }
                rest = after;
            }
            let mut text = String::with_capacity(bytes.len());
            push_lossy(&mut text, &bytes);
            Some(text)
        }
        _ => None,
    }
}

/// What one escape stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unit {
    /// A character.
    Char(char),
    /// A byte, which may be none of UTF-8.
    Byte(u8),
}

/// Returns what a quoted text begins with and what follows, as `strconv.UnquoteChar`.
pub fn unquote_unit(text: &str, quote: char) -> Option<(Unit, &str)> {
    let mut chars = text.chars();
    let first = chars.next()?;
    if first == quote || first == '\n' {
        return None;
    }
    if first != '\\' {
        return Some((Unit::Char(first), chars.as_str()));
    }
    let escape = chars.next()?;
    let rest = chars.as_str();
    let char = |char| Some((Unit::Char(char), rest));
    match escape {
        'a' => char('\x07'),
        'b' => char('\x08'),
        'f' => char('\x0c'),
        'n' => char('\n'),
        'r' => char('\r'),
        't' => char('\t'),
        'v' => char('\x0b'),
        '\\' => char('\\'),
        '\'' | '"' if escape == quote => char(quote),
        'x' => {
            let (code, rest) = digits(rest, 2, 16)?;
            Some((Unit::Byte(u8::try_from(code).ok()?), rest))
        }
        'u' | 'U' => {
            let (code, rest) = digits(rest, if escape == 'u' { 4 } else { 8 }, 16)?;
            Some((Unit::Char(char::from_u32(code)?), rest))
        }
        '0'..='7' => {
            let (code, rest) = digits(&text[1..], 3, 8)?;
            Some((Unit::Byte(u8::try_from(code).ok()?), rest))
        }
        _ => None,
    }
}

fn digits(text: &str, many: usize, base: u32) -> Option<(u32, &str)> {
    let (digits, rest) = text.split_at_checked(many)?;
    // `from_str_radix` takes a sign.
    let code = digits
        .chars()
        .all(|digit| digit.is_digit(base))
        .then(|| u32::from_str_radix(digits, base).ok())??;
    Some((code, rest))
}
