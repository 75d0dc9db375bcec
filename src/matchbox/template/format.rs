//! Formats single values with flags, width and precision, as Go's package `fmt`.

use crate::matchbox::go::float;
use crate::matchbox::go::quote::{self, Keep};

/// A buffer with a limit. Bytes beyond it are dropped, which is recorded.
#[derive(Debug)]
pub(super) struct Buffer {
    bytes: Vec<u8>,
    most: usize,
    full: bool,
}

impl Buffer {
    pub(super) fn new(most: usize) -> Self {
        Self { bytes: Vec::new(), most, full: false }
    }

    pub(super) fn push(&mut self, bytes: &[u8]) {
        if bytes.len() > self.most - self.bytes.len() {
            self.full = true;
        } else {
            self.bytes.extend_from_slice(bytes);
        }
    }

    fn push_times(&mut self, byte: u8, times: usize) {
        if times > self.most - self.bytes.len() {
            self.full = true;
        } else {
            self.bytes.resize(self.bytes.len() + times, byte);
        }
    }

    pub(super) fn push_char(&mut self, char: char) {
        self.push(char.encode_utf8(&mut [0; 4]).as_bytes());
    }

    /// Tells whether bytes were dropped.
    pub(super) fn is_full(&self) -> bool {
        self.full
    }

    pub(super) fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }
}

/// The flags, width and precision of a verb.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Flags {
    pub(super) width: Option<usize>,
    pub(super) precision: Option<usize>,
    pub(super) minus: bool,
    pub(super) plus: bool,
    pub(super) sharp: bool,
    pub(super) space: bool,
    pub(super) zero: bool,
    /// `%+v`, where the plus is not about signs.
    pub(super) plus_v: bool,
    /// `%#v`: Go syntax.
    pub(super) sharp_v: bool,
}

/// The base and digits of an integer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Base {
    Binary,
    Octal,
    /// Octal with the prefix `0o`.
    PrefixedOctal,
    Decimal,
    LowerHex,
    UpperHex,
}

const LOWER: &[u8; 16] = b"0123456789abcdef";
const UPPER: &[u8; 16] = b"0123456789ABCDEF";

impl Flags {
    fn push_padding(self, buffer: &mut Buffer, times: usize) {
        // Zeros are padded on the left only.
        buffer.push_times(if self.zero && !self.minus { b'0' } else { b' ' }, times);
    }

    /// Writes a text padded to the width.
    pub(super) fn pad(self, buffer: &mut Buffer, text: &[u8]) {
        let missing = self.width.map_or(0, |width| width.saturating_sub(count_runes(text)));
        if !self.minus {
            self.push_padding(buffer, missing);
        }
        buffer.push(text);
        if self.minus {
            self.push_padding(buffer, missing);
        }
    }

    fn pad_with_spaces(self, buffer: &mut Buffer, text: &[u8]) {
        Self { zero: false, ..self }.pad(buffer, text);
    }

    /// Truncates a text to the precision in characters.
    fn truncate(self, text: &[u8]) -> &[u8] {
        let Some(most) = self.precision else { return text };
        let mut end = 0;
        for _ in 0..most {
            match quote::decode(&text[end..]) {
                Some((_, width)) => end += width,
                None => break,
            }
        }
        &text[..end]
    }

    pub(super) fn push_text(self, buffer: &mut Buffer, text: &[u8]) {
        self.pad(buffer, self.truncate(text));
    }

    pub(super) fn push_quoted(self, buffer: &mut Buffer, text: &[u8]) {
        let text = self.truncate(text);
        if self.sharp && quote::can_backquote(text) {
            return self.pad(buffer, &[b"`", text, b"`"].concat());
        }
        self.pad(buffer, quote::text(text, self.keep()).as_bytes());
    }

    fn keep(self) -> Keep {
        if self.plus { Keep::Ascii } else { Keep::Printable }
    }

    /// Writes the bytes of a text in hexadecimal.
    pub(super) fn push_hex_text(self, buffer: &mut Buffer, text: &[u8], upper: bool) {
        let text = &text[..self.precision.map_or(text.len(), |most| most.min(text.len()))];
        let prefix = if upper { "0X" } else { "0x" };
        let mut digits = String::with_capacity(text.len() * 2);
        for (index, byte) in text.iter().enumerate() {
            if self.space && index > 0 {
                digits.push(' ');
            }
            if self.sharp && (self.space || index == 0) {
                digits.push_str(prefix);
            }
            let digit = |value: u8| char::from(if upper { UPPER } else { LOWER }[usize::from(value)]);
            digits.extend([digit(byte >> 4), digit(byte & 15)]);
        }
        self.pad(buffer, digits.as_bytes());
    }

    /// Writes an integer, given by its absolute value and sign.
    pub(super) fn push_integer(self, buffer: &mut Buffer, size: u64, negative: bool, base: Base) {
        if self.precision == Some(0) && size == 0 {
            return Self { minus: false, ..self }.pad_with_spaces(buffer, b"");
        }
        let least = match (self.precision, self.width) {
            (Some(precision), _) => precision,
            (None, Some(width)) if self.zero && !self.minus => {
                width.saturating_sub(usize::from(negative || self.plus || self.space))
            }
            (None, _) => 0,
        };
        let digits = match base {
            Base::Binary => format!("{size:b}"),
            Base::Octal | Base::PrefixedOctal => format!("{size:o}"),
            Base::Decimal => size.to_string(),
            Base::LowerHex => format!("{size:x}"),
            Base::UpperHex => format!("{size:X}"),
        };
        let mut number = String::new();
        if negative {
            number.push('-');
        } else if self.plus {
            number.push('+');
        } else if self.space {
            number.push(' ');
        }
        let zeros = least.saturating_sub(digits.len());
        let prefix = match base {
            Base::PrefixedOctal if self.sharp && zeros == 0 && size != 0 => "0o0",
            Base::PrefixedOctal => "0o",
            _ if !self.sharp => "",
            Base::Binary => "0b",
            Base::Octal if zeros == 0 && size != 0 => "0",
            Base::LowerHex => "0x",
            Base::UpperHex => "0X",
            Base::Octal | Base::Decimal => "",
        };
        number.push_str(prefix);
        number.extend(std::iter::repeat_n('0', zeros));
        number.push_str(&digits);
        self.pad_with_spaces(buffer, number.as_bytes());
    }

    /// Writes the character of a code point.
    pub(super) fn push_rune(self, buffer: &mut Buffer, code: u64) {
        self.pad(buffer, rune(code).encode_utf8(&mut [0; 4]).as_bytes());
    }

    /// Writes the character of a code point in single quotes.
    pub(super) fn push_quoted_rune(self, buffer: &mut Buffer, code: u64) {
        self.pad(buffer, quote::rune(rune(code), self.keep()).as_bytes());
    }

    /// Writes a code point as `U+0040`, followed by the character with `#`.
    pub(super) fn push_unicode(self, buffer: &mut Buffer, code: u64) {
        let digits = format!("{code:X}");
        let zeros = self.precision.unwrap_or(0).max(4).saturating_sub(digits.len());
        let mut text = "U+".to_owned();
        text.extend(std::iter::repeat_n('0', zeros));
        text.push_str(&digits);
        let char = u32::try_from(code).ok().and_then(char::from_u32);
        if let Some(char) = char.filter(|&char| self.sharp && quote::is_printable(char)) {
            text.extend([' ', '\'', char, '\'']);
        }
        self.pad_with_spaces(buffer, text.as_bytes());
    }

    /// Writes a floating-point number; `precision` is the default of the verb.
    pub(super) fn push_float(self, buffer: &mut Buffer, value: f64, verb: char, precision: Option<usize>) {
        let precision = self.precision.or(precision);
        let number = float::format(value, verb, precision);
        let (sign, digits) = match number.strip_prefix(['-', '+']) {
            Some(digits) => (number.as_bytes()[0], digits),
            None => (b'+', number.as_str()),
        };
        let sign = if self.space && sign == b'+' && !self.plus { b' ' } else { sign };
        let signed = |digits: &str| [&[sign], digits.as_bytes()].concat();
        if !value.is_finite() {
            let bare = value.is_nan() && !self.space && !self.plus;
            let shown = if bare || (sign == b'+' && !self.plus) {
                digits.as_bytes().to_vec()
            } else {
                signed(digits)
            };
            // Go keeps the plus of an infinity even without the flag.
            let shown = if value.is_nan() || !shown.starts_with(b"I") { shown } else { signed(digits) };
            return self.pad_with_spaces(buffer, &shown);
        }
        let digits =
            if self.sharp && verb != 'b' { with_point(digits, verb, precision) } else { digits.to_owned() };
        if !self.plus && sign == b'+' {
            return self.pad(buffer, digits.as_bytes());
        }
        let length = digits.len() + 1;
        match self.width {
            Some(width) if self.zero && !self.minus && width > length => {
                buffer.push(&[sign]);
                self.push_padding(buffer, width - length);
                buffer.push(digits.as_bytes());
            }
            _ => self.pad(buffer, &signed(&digits)),
        }
    }
}

/// Adds the decimal point and the trailing zeros that `#` requires.
fn with_point(digits: &str, verb: char, precision: Option<usize>) -> String {
    let hex = matches!(verb, 'x' | 'X');
    let tail =
        digits.find(if hex { &['p', 'P'][..] } else { &['p', 'P', 'e', 'E'][..] }).unwrap_or(digits.len());
    let (digits, tail) = digits.split_at(tail);
    let significant = digits.chars().filter(|&char| char != '.').skip_while(|&char| char == '0').count();
    let mut wanted = match verb {
        'g' | 'G' | 'x' => precision.unwrap_or(6),
        _ => 0,
    };
    wanted = wanted.saturating_sub(significant);
    let mut number = digits.to_owned();
    if !digits.contains('.') {
        // A single zero counts as a digit.
        wanted = wanted.saturating_sub(usize::from(digits == "0"));
        number.push('.');
    }
    number.extend(std::iter::repeat_n('0', wanted));
    number.push_str(tail);
    number
}

/// Returns the character of a code point, U+FFFD if there is none.
fn rune(code: u64) -> char {
    u32::try_from(code).ok().and_then(char::from_u32).unwrap_or(char::REPLACEMENT_CHARACTER)
}

fn count_runes(text: &[u8]) -> usize {
    text.utf8_chunks().map(|chunk| chunk.valid().chars().count() + chunk.invalid().len()).sum()
}

/// Formats a character for errors: `U+0040 '@'`.
pub(super) fn unicode(code: u32) -> String {
    let mut buffer = Buffer::new(64);
    Flags { sharp: true, ..Flags::default() }.push_unicode(&mut buffer, u64::from(code));
    String::from_utf8_lossy(&buffer.into_bytes()).into_owned()
}
