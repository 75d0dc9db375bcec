//! Parses JSON, with the errors of Go's scanner.

use std::mem;

use serde_json::{Map, Number, Value};

use crate::matchbox::go::json::JsonError;
use crate::matchbox::go::{push_lossy, quote};

/// The maximum nesting depth.
///
/// Go allows 10,000, and grows its stacks. Here, recursion over a value (to write, clone or drop it) would exhaust
/// the stack of a thread.
pub(super) const MOST_DEPTH: usize = 1_000;

/// Parses JSON as `json.Unmarshal` into an `interface{}`: each number is an f64.
///
/// The last of several members with one key counts. Invalid UTF-8 and lone
/// surrogates become U+FFFD.
///
/// # Errors
///
/// Go would reject it; the message is Go's.
pub fn read(text: &[u8]) -> Result<Value, JsonError> {
    let mut reader = Reader { text, at: 0, open: Vec::new(), out_of_range: None };
    let value = reader.document()?;
    reader.out_of_range.map_or(Ok(value), Err)
}

/// Parses from the first byte to the last, without recursion.
struct Reader<'a> {
    text: &'a [u8],
    at: usize,
    /// The incomplete lists and objects, outermost first.
    open: Vec<Open>,
    /// Go reports a number out of range only after the whole text was valid.
    out_of_range: Option<JsonError>,
}

enum Open {
    List(Vec<Value>),
    Object { members: Map<String, Value>, key: String },
}

impl Reader<'_> {
    fn document(&mut self) -> Result<Value, JsonError> {
        loop {
            let Some(mut value) = self.begin()? else { continue };
            // After a value, lists and objects may end, which are values too.
            loop {
                match self.end(value)? {
                    After::Next => break,
                    After::Closed(outer) => value = outer,
                    After::Document(value) => return Ok(value),
                }
            }
        }
    }

    /// Parses a scalar, or opens a list or object.
    fn begin(&mut self) -> Result<Option<Value>, JsonError> {
        self.skip_space();
        let begin = self.at;
        let value = match self.required()? {
            b'{' => {
                self.nest(Open::Object { members: Map::new(), key: String::new() })?;
                self.skip_space();
                if self.peek() == Some(b'}') {
                    self.at += 1;
                    self.open.pop();
                    return Ok(Some(Value::Object(Map::new())));
                }
                self.key()?;
                return Ok(None);
            }
            b'[' => {
                self.nest(Open::List(Vec::new()))?;
                self.skip_space();
                if self.peek() == Some(b']') {
                    self.at += 1;
                    self.open.pop();
                    return Ok(Some(Value::Array(Vec::new())));
                }
                return Ok(None);
            }
            b'"' => Value::String(self.string()?),
            b't' => self.literal("true", Value::Bool(true))?,
            b'f' => self.literal("false", Value::Bool(false))?,
            b'n' => self.literal("null", Value::Null)?,
            first @ (b'-' | b'0'..=b'9') => {
                self.number(first)?;
                self.value_of_number(begin)
            }
            _ => return Err(self.unexpected("looking for beginning of value")),
        };
        Ok(Some(value))
    }

    /// Parses what follows a value.
    fn end(&mut self, value: Value) -> Result<After, JsonError> {
        self.skip_space();
        let Some(open) = self.open.last_mut() else {
            return match self.next() {
                None => Ok(After::Document(value)),
                Some(_) => Err(self.unexpected("after top-level value")),
            };
        };
        let position = match open {
            Open::List(items) => {
                items.push(value);
                "after array element"
            }
            Open::Object { members, key } => {
                members.insert(mem::take(key), value);
                "after object key:value pair"
            }
        };
        let list = matches!(open, Open::List(_));
        match self.required()? {
            b',' if list => Ok(After::Next),
            b',' => {
                self.skip_space();
                self.key()?;
                Ok(After::Next)
            }
            b']' if list => Ok(self.close()),
            b'}' if !list => Ok(self.close()),
            _ => Err(self.unexpected(position)),
        }
    }

    fn close(&mut self) -> After {
        match self.open.pop() {
            Some(Open::List(items)) => After::Closed(Value::Array(items)),
            Some(Open::Object { members, key: _ }) => After::Closed(Value::Object(members)),
            None => unreachable!("only what is open is closed"),
        }
    }

    fn nest(&mut self, open: Open) -> Result<(), JsonError> {
        self.open.push(open);
        if self.open.len() > MOST_DEPTH { Err(self.unexpected("exceeded max depth")) } else { Ok(()) }
    }

    /// Parses the key of a member and the colon.
    fn key(&mut self) -> Result<(), JsonError> {
        if self.required()? != b'"' {
            return Err(self.unexpected("looking for beginning of object key string"));
        }
        let read = self.string()?;
        self.skip_space();
        if self.required()? != b':' {
            return Err(self.unexpected("after object key"));
        }
        if let Some(Open::Object { key, .. }) = self.open.last_mut() {
            *key = read;
        }
        Ok(())
    }

    /// Parses a string after its opening quote.
    fn string(&mut self) -> Result<String, JsonError> {
        let mut string = String::new();
        loop {
            let plain = self.text[self.at..].iter();
            let plain = plain.take_while(|&&byte| !matches!(byte, b'"' | b'\\' | 0..=0x1f)).count();
            push_lossy(&mut string, &self.text[self.at..self.at + plain]);
            self.at += plain;
            match self.required()? {
                b'"' => return Ok(string),
                b'\\' => string.push(self.escape()?),
                _ => return Err(self.unexpected("in string literal")),
            }
        }
    }

    /// Parses an escape after its backslash.
    fn escape(&mut self) -> Result<char, JsonError> {
        Ok(match self.next_or_space() {
            b'b' => '\x08',
            b'f' => '\x0c',
            b'n' => '\n',
            b'r' => '\r',
            b't' => '\t',
            plain @ (b'\\' | b'/' | b'"') => char::from(plain),
            b'u' => {
                let first = self.unit()?;
                if let Some(char) = char::from_u32(first) {
                    return Ok(char);
                }
                self.low_surrogate(first)
            }
            _ => return Err(self.unexpected("in string escape code")),
        })
    }

    /// Parses the four digits of an escape.
    fn unit(&mut self) -> Result<u32, JsonError> {
        (0..4).try_fold(0, |unit, _| match char::from(self.next_or_space()).to_digit(16) {
            Some(digit) => Ok(unit << 4 | digit),
            None => Err(self.unexpected("in \\u hexadecimal character escape")),
        })
    }

    /// Parses the second half of a surrogate pair, if there is one.
    fn low_surrogate(&mut self, high: u32) -> char {
        let pair = self.text.get(self.at..self.at + 6).and_then(|escape| {
            let digits = std::str::from_utf8(escape.strip_prefix(b"\\u")?).ok()?;
            let low = digits
                .bytes()
                .all(|digit| digit.is_ascii_hexdigit())
                .then(|| u32::from_str_radix(digits, 16));
            let low = low?.ok().filter(|low| (0xdc00..0xe000).contains(low))?;
            let high = high.checked_sub(0xd800).filter(|high| *high < 0x400)?;
            char::from_u32(0x10000 + (high << 10 | (low - 0xdc00)))
        });
        if pair.is_some() {
            self.at += 6;
        }
        pair.unwrap_or(char::REPLACEMENT_CHARACTER)
    }

    /// Parses the rest of a literal.
    fn literal(&mut self, word: &str, value: Value) -> Result<Value, JsonError> {
        for expected in word.bytes().skip(1) {
            if self.next_or_space() != expected {
                let position = format!("in literal {word} (expecting '{}')", char::from(expected));
                return Err(self.unexpected(&position));
            }
        }
        Ok(value)
    }

    /// Parses the rest of a number.
    fn number(&mut self, mut first: u8) -> Result<(), JsonError> {
        if first == b'-' {
            first = self.next_or_space();
            if !first.is_ascii_digit() {
                return Err(self.unexpected("in numeric literal"));
            }
        }
        if first != b'0' {
            self.skip_digits();
        }
        if self.peek() == Some(b'.') {
            self.at += 1;
            if !self.next_or_space().is_ascii_digit() {
                return Err(self.unexpected("after decimal point in numeric literal"));
            }
            self.skip_digits();
        }
        if matches!(self.peek(), Some(b'e' | b'E')) {
            self.at += 1;
            if matches!(self.peek(), Some(b'+' | b'-')) {
                self.at += 1;
            }
            if !self.next_or_space().is_ascii_digit() {
                return Err(self.unexpected("in exponent of numeric literal"));
            }
            self.skip_digits();
        }
        Ok(())
    }

    fn value_of_number(&mut self, begin: usize) -> Value {
        let digits = std::str::from_utf8(&self.text[begin..self.at]).unwrap_or_default();
        // Rust parses as infinite what Go reports as out of range.
        let number = digits.parse().ok().and_then(Number::from_f64);
        if number.is_none() && self.out_of_range.is_none() {
            let message = format!("json: cannot unmarshal number {digits} into Go value of type float64");
            self.out_of_range = Some(self.error(begin, message));
        }
        number.map_or(Value::Null, Value::Number)
    }

    fn skip_digits(&mut self) {
        self.at += self.text[self.at..].iter().take_while(|byte| byte.is_ascii_digit()).count();
    }

    fn skip_space(&mut self) {
        let space = |byte: &&u8| matches!(byte, b' ' | b'\t' | b'\r' | b'\n');
        self.at += self.text[self.at..].iter().take_while(space).count();
    }

    fn peek(&self) -> Option<u8> {
        self.text.get(self.at).copied()
    }

    fn next(&mut self) -> Option<u8> {
        let next = self.peek();
        self.at += 1;
        next
    }

    /// Returns the next byte, or a space at the end, as Go's scanner does within a literal.
    fn next_or_space(&mut self) -> u8 {
        self.next().unwrap_or(b' ')
    }

    fn required(&mut self) -> Result<u8, JsonError> {
        self.next().ok_or_else(|| self.error(self.text.len(), "unexpected end of JSON input".to_owned()))
    }

    /// Returns Go's error for the last byte.
    fn unexpected(&self, position: &str) -> JsonError {
        let at = self.at.saturating_sub(1);
        let byte = self.text.get(at).copied().unwrap_or(b' ');
        // Go puts single quotes around a character that is escaped for double quotes.
        let quoted = match byte {
            b'"' => "'\"'".to_owned(),
            _ => quote::rune(char::from(byte), quote::Keep::Printable),
        };
        self.error(at, format!("invalid character {quoted} {position}"))
    }

    fn error(&self, at: usize, message: String) -> JsonError {
        let before = &self.text[..at.min(self.text.len())];
        JsonError { line: 1 + before.iter().filter(|&&byte| byte == b'\n').count(), message }
    }
}

/// The token after a value.
enum After {
    /// A comma: another value follows.
    Next,
    /// The enclosing list or object is complete.
    Closed(Value),
    /// The text is complete.
    Document(Value),
}
