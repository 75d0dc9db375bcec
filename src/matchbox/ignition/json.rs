//! JSON with line numbers, parsed as by Go's encoding/json.
//!
//! Unlike a tree of values it keeps repeated keys, which Go decodes one into the
//! other, and numbers as written, because for Go `1.0` is not an integer.

use crate::matchbox::go::push_lossy;
use crate::matchbox::tree::{Growing, NodeId, Tree, What};

/// The position and reason of a syntax error.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct JsonError {
    /// The line, from 1.
    pub(crate) line: usize,
    /// The reason.
    pub(crate) message: String,
}

/// The maximum nesting depth. No config needs ten.
const DEEPEST: usize = 200;

/// Parses a text as one JSON value.
pub(crate) fn read(text: &[u8]) -> Result<Tree, JsonError> {
    let mut reader = Reader { text, at: 0, line: 1, tree: Growing::default() };
    let root = reader.value(0)?;
    reader.space();
    match reader.peek() {
        None => Ok(reader.tree.finish(root)),
        Some(byte) => Err(reader.unexpected(byte, "after the value")),
    }
}

struct Reader<'a> {
    text: &'a [u8],
    at: usize,
    line: usize,
    tree: Growing,
}

impl Reader<'_> {
    fn peek(&self) -> Option<u8> {
        self.text.get(self.at).copied()
    }

    fn space(&mut self) {
        while let Some(byte @ (b' ' | b'\t' | b'\r' | b'\n')) = self.peek() {
            self.at += 1;
            self.line += usize::from(byte == b'\n');
        }
    }

    fn error(&self, message: impl Into<String>) -> JsonError {
        JsonError { line: self.line, message: message.into() }
    }

    fn unexpected(&self, byte: u8, path: &str) -> JsonError {
        self.error(format!("`{}` is unexpected {path}", byte.escape_ascii()))
    }

    fn ends(&self) -> JsonError {
        self.error("the text ends within a JSON value")
    }

    fn value(&mut self, depth: usize) -> Result<NodeId, JsonError> {
        self.space();
        if depth > DEEPEST {
            return Err(self.error("values stand too deep in each other"));
        }
        let line = self.line;
        let what = match self.peek() {
            None => return Err(self.ends()),
            Some(b'{') => self.map(depth)?,
            Some(b'[') => self.list(depth)?,
            Some(b'"') => What::Text(self.string()?),
            Some(b'-' | b'0'..=b'9') => What::Number(self.number()?),
            Some(b't') => self.word("true", What::Flag(true))?,
            Some(b'f') => self.word("false", What::Flag(false))?,
            Some(b'n') => self.word("null", What::Null)?,
            Some(byte) => return Err(self.unexpected(byte, "where a value begins")),
        };
        Ok(self.tree.add(line, what))
    }

    fn word(&mut self, word: &str, what: What) -> Result<What, JsonError> {
        for expected in word.bytes() {
            match self.peek() {
                Some(byte) if byte == expected => self.at += 1,
                Some(byte) => return Err(self.unexpected(byte, &format!("in `{word}`"))),
                None => return Err(self.ends()),
            }
        }
        Ok(what)
    }

    fn number(&mut self) -> Result<String, JsonError> {
        let start = self.at;
        if self.peek() == Some(b'-') {
            self.at += 1;
        }
        match self.peek() {
            Some(b'0') => self.at += 1,
            _ => self.digits()?,
        }
        if self.peek() == Some(b'.') {
            self.at += 1;
            self.digits()?;
        }
        if let Some(b'e' | b'E') = self.peek() {
            self.at += 1;
            if let Some(b'+' | b'-') = self.peek() {
                self.at += 1;
            }
            self.digits()?;
        }
        Ok(String::from_utf8_lossy(&self.text[start..self.at]).into_owned())
    }

    fn digits(&mut self) -> Result<(), JsonError> {
        let start = self.at;
        while let Some(b'0'..=b'9') = self.peek() {
            self.at += 1;
        }
        match self.peek() {
            _ if self.at > start => Ok(()),
            Some(byte) => Err(self.unexpected(byte, "in a number")),
            None => Err(self.ends()),
        }
    }

    fn string(&mut self) -> Result<String, JsonError> {
        self.at += 1;
        let mut text = String::new();
        loop {
            let rest = &self.text[self.at..];
            let plain = rest.iter().position(|byte| matches!(byte, b'"' | b'\\' | 0..=0x1f));
            let Some(plain) = plain else { return Err(self.ends()) };
            push_lossy(&mut text, &rest[..plain]);
            self.at += plain;
            match rest[plain] {
                b'"' => {
                    self.at += 1;
                    return Ok(text);
                }
                b'\\' => text.push(self.escape()?),
                byte => return Err(self.unexpected(byte, "in a string")),
            }
        }
    }

    fn escape(&mut self) -> Result<char, JsonError> {
        self.at += 1;
        let Some(byte) = self.peek() else { return Err(self.ends()) };
        self.at += 1;
        Ok(match byte {
            b'"' | b'\\' | b'/' => char::from(byte),
            b'b' => '\u{8}',
            b'f' => '\u{c}',
            b'n' => '\n',
            b'r' => '\r',
            b't' => '\t',
            b'u' => {
                let first = self.four()?;
                if (0xd800..0xdc00).contains(&first) && self.text[self.at..].starts_with(b"\\u") {
                    let back = self.at;
                    self.at += 2;
                    let second = self.four()?;
                    if (0xdc00..0xe000).contains(&second) {
                        let scalar = 0x10000 + ((first - 0xd800) << 10) + (second - 0xdc00);
                        return Ok(char::from_u32(scalar).unwrap_or(char::REPLACEMENT_CHARACTER));
                    }
                    self.at = back;
                }
                char::from_u32(first).unwrap_or(char::REPLACEMENT_CHARACTER)
            }
            byte => return Err(self.unexpected(byte, "in an escape of a string")),
        })
    }

    fn four(&mut self) -> Result<u32, JsonError> {
        let mut scalar = 0;
        for _ in 0..4 {
            let Some(byte) = self.peek() else { return Err(self.ends()) };
            let Some(digit) = char::from(byte).to_digit(16) else {
                return Err(self.unexpected(byte, "in an escape of a string"));
            };
            scalar = scalar * 16 + digit;
            self.at += 1;
        }
        Ok(scalar)
    }

    fn list(&mut self, depth: usize) -> Result<What, JsonError> {
        self.at += 1;
        let mut list = Vec::new();
        self.space();
        if self.peek() == Some(b']') {
            self.at += 1;
            return Ok(What::List(list));
        }
        loop {
            list.push(self.value(depth + 1)?);
            self.space();
            match self.peek() {
                Some(b',') => self.at += 1,
                Some(b']') => {
                    self.at += 1;
                    return Ok(What::List(list));
                }
                Some(byte) => return Err(self.unexpected(byte, "after an element of a list")),
                None => return Err(self.ends()),
            }
        }
    }

    fn map(&mut self, depth: usize) -> Result<What, JsonError> {
        self.at += 1;
        let mut pairs = Vec::new();
        self.space();
        if self.peek() == Some(b'}') {
            self.at += 1;
            return Ok(What::Map(pairs));
        }
        loop {
            self.space();
            match self.peek() {
                Some(b'"') => {}
                Some(byte) => return Err(self.unexpected(byte, "where a key begins")),
                None => return Err(self.ends()),
            }
            let line = self.line;
            let key = self.string()?;
            let key = self.tree.add(line, What::Text(key));
            self.space();
            match self.peek() {
                Some(b':') => self.at += 1,
                Some(byte) => return Err(self.unexpected(byte, "after a key")),
                None => return Err(self.ends()),
            }
            pairs.push((key, self.value(depth + 1)?));
            self.space();
            match self.peek() {
                Some(b',') => self.at += 1,
                Some(b'}') => {
                    self.at += 1;
                    return Ok(What::Map(pairs));
                }
                Some(byte) => return Err(self.unexpected(byte, "after a pair of an object")),
                None => return Err(self.ends()),
            }
        }
    }
}
