//! The constants of a template: numbers and characters.

use crate::matchbox::go::quote::{self, Keep, Unit};

/// The value of an untyped constant.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Number {
    Int(i64),
    Float(f64),
    Complex(f64, f64),
    /// It fits a `uint64`, but not an `int`.
    TooLarge,
}

/// Returns the value of a character in single quotes.
pub(super) fn character(text: &[u8]) -> Result<Number, String> {
    let (unit, rest) = quote::unquote_unit(&text[1..], b'\'').ok_or("invalid syntax")?;
    if rest != b"'" {
        return Err(format!("malformed character constant: {}", String::from_utf8_lossy(text)));
    }
    Ok(Number::Int(match unit {
        Unit::Char(char) => i64::from(u32::from(char)),
        Unit::Byte(byte) => i64::from(byte),
    }))
}

/// Parses a complex number.
pub(super) fn complex(text: &str) -> Result<Number, String> {
    const ERROR: &str = "syntax error scanning complex number";
    let (real, rest) = split_float(text);
    if !rest.starts_with(['+', '-']) {
        return Err(ERROR.to_owned());
    }
    let (imaginary, rest) = split_float(rest);
    if !rest.starts_with('i') {
        return Err(ERROR.to_owned());
    }
    let value =
        |text: &str| float(text).map_err(|reason| format!("strconv.ParseFloat: parsing {text:?}: {reason}"));
    Ok(Number::Complex(value(real)?, value(imaginary)?))
}

/// Splits off a prefix that may be a floating-point number.
fn split_float(text: &str) -> (&str, &str) {
    let bytes = text.as_bytes();
    let run = |at: usize, wanted: &dyn Fn(u8) -> bool| {
        at + bytes[at..].iter().take_while(|&&byte| wanted(byte)).count()
    };
    let one =
        |at: usize, wanted: &[u8]| at + usize::from(bytes.get(at).is_some_and(|byte| wanted.contains(byte)));
    let mut at = one(0, b"+-");
    // Go tries `Inf` first and does not give back the `i`.
    at = one(at, b"iI");
    let hex = bytes.get(at) == Some(&b'0') && matches!(bytes.get(at + 1), Some(b'x' | b'X'));
    if hex {
        at += 2;
    }
    let digit = |byte: u8| byte == b'_' || byte.is_ascii_digit() || (hex && byte.is_ascii_hexdigit());
    at = run(at, &digit);
    let point = one(at, b".");
    at = if point > at { run(point, &digit) } else { at };
    let exponent = one(at, if hex { b"pP" } else { b"eEpP" });
    if exponent > at {
        at = run(one(exponent, b"+-"), &|byte: u8| byte == b'_' || byte.is_ascii_digit());
    }
    text.split_at(at)
}

/// Parses a number.
pub(super) fn number(text: &str) -> Result<Number, String> {
    if let Some(Ok(imaginary)) = text.strip_suffix('i').map(float) {
        return Ok(Number::Complex(0.0, imaginary));
    }
    let has_point = text.contains(['.', 'e', 'E', 'p', 'P']);
    let hex =
        text.len() > 2 && (text.starts_with("0x") || text.starts_with("0X")) && !text.contains(['p', 'P']);
    let illegal = || format!("illegal number syntax: {}", quote::text(text.as_bytes(), Keep::Printable));
    match integer(text) {
        // Go looks at the digits again: `-0x1e` has an `e`, and does not begin with `0x`.
        Some(value) if has_point && !hex => Ok(Number::Float(value as f64)),
        Some(value) => Ok(i64::try_from(value).map_or(Number::TooLarge, Number::Int)),
        None => match float(text) {
            Ok(value) if has_point => Ok(Number::Float(value)),
            Ok(_) => Err(format!("integer overflow: {}", quote::text(text.as_bytes(), Keep::Printable))),
            Err(_) => Err(illegal()),
        },
    }
}

/// Parses an integer of 64 bits, signed or unsigned.
fn integer(text: &str) -> Option<i128> {
    let (negative, signed, digits) = match text.as_bytes().first()? {
        b'-' => (true, true, &text[1..]),
        b'+' => (false, true, &text[1..]),
        _ => (false, false, text),
    };
    let lower = digits.get(..2).map(str::to_ascii_lowercase);
    let (base, digits) = match lower.as_deref() {
        Some("0x") => (16, &digits[2..]),
        Some("0o") => (8, &digits[2..]),
        Some("0b") => (2, &digits[2..]),
        _ if digits.starts_with('0') && digits.len() > 1 => (8, &digits[1..]),
        _ => (10, digits),
    };
    if digits.is_empty() || !are_underscores_right(text) {
        return None;
    }
    let mut value: i128 = 0;
    for digit in digits.chars().filter(|&char| char != '_') {
        value = value * base + i128::from(digit.to_digit(u32::try_from(base).ok()?)?);
        if value > i128::from(u64::MAX) {
            return None;
        }
    }
    let value = if negative { -value } else { value };
    (!signed || i64::try_from(value).is_ok()).then_some(value)
}

/// Tells whether each underscore is between digits, or between a prefix and a digit.
fn are_underscores_right(text: &str) -> bool {
    let text = text.strip_prefix(['+', '-']).unwrap_or(text);
    let prefix = text.get(..2).map(str::to_ascii_lowercase);
    let prefixed = matches!(prefix.as_deref(), Some("0x" | "0o" | "0b"));
    let hex = prefix.as_deref() == Some("0x");
    let mut last_was_digit = prefixed;
    let mut last_was_underscore = false;
    for char in text.chars().skip(if prefixed { 2 } else { 0 }) {
        let digit = char.is_ascii_digit() || (hex && char.is_ascii_hexdigit());
        if char == '_' && !last_was_digit || !digit && char != '_' && last_was_underscore {
            return false;
        }
        last_was_digit = digit;
        last_was_underscore = char == '_';
    }
    !last_was_underscore
}

/// Parses a floating-point number as `strconv.ParseFloat` does.
fn float(text: &str) -> Result<f64, &'static str> {
    const SYNTAX: &str = "invalid syntax";
    if text.contains('_') && !are_underscores_right(text) {
        return Err(SYNTAX);
    }
    let plain = text.replace('_', "");
    let unsigned = plain.strip_prefix(['+', '-']).unwrap_or(&plain);
    let value = if unsigned.starts_with("0x") || unsigned.starts_with("0X") {
        let value = hexadecimal(&unsigned[2..]).ok_or(SYNTAX)?;
        if plain.starts_with('-') { -value } else { value }
    } else if unsigned.starts_with(|first: char| first.is_ascii_digit() || first == '.') {
        plain.parse().map_err(|_| SYNTAX)?
    } else {
        return Err(SYNTAX);
    };
    if value.is_infinite() { Err("value out of range") } else { Ok(value) }
}

/// Parses hexadecimal digits with a binary exponent.
fn hexadecimal(text: &str) -> Option<f64> {
    let (digits, exponent) = text.split_once(['p', 'P'])?;
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    if whole.is_empty() && fraction.is_empty() {
        return None;
    }
    let exponent_digits = exponent.strip_prefix(['+', '-']).unwrap_or(exponent);
    if exponent_digits.is_empty() || !exponent_digits.bytes().all(|digit| digit.is_ascii_digit()) {
        return None;
    }
    // More digits make no difference: the number is infinite or zero.
    let size: i64 = if exponent_digits.len() > 9 { 1_000_000_000 } else { exponent_digits.parse().ok()? };
    let mut exponent = if exponent.starts_with('-') { -size } else { size };
    let mut value: u128 = 0;
    for (digits, fraction) in [(whole, false), (fraction, true)] {
        for digit in digits.chars() {
            let digit = u128::from(digit.to_digit(16)?);
            let full = value >> 120 != 0;
            // Further digits only affect the rounding of the last bit.
            value = if full { value | u128::from(digit != 0) } else { value << 4 | digit };
            exponent += match (full, fraction) {
                (true, false) => 4,
                (false, true) => -4,
                (true, true) | (false, false) => 0,
            };
        }
    }
    Some(scale(value, exponent))
}

/// Multiplies a number by a power of two, rounded once, half to even.
fn scale(value: u128, exponent: i64) -> f64 {
    if value == 0 {
        return 0.0;
    }
    let top = i64::from(127 - value.leading_zeros()) + exponent;
    if top > 1023 {
        return f64::INFINITY;
    }
    // The exponent of the last bit that is kept.
    let last = (top - 52).max(-1074);
    let dropped = last - exponent;
    let kept = if dropped <= 0 {
        value << -dropped
    } else if dropped > 127 {
        0
    } else {
        let half = 1u128 << (dropped - 1);
        let rest = value & ((half << 1) - 1);
        let kept = value >> dropped;
        kept + u128::from(rest > half || (rest == half && kept & 1 == 1))
    };
    // Both factors and their product are exact: at most 53 bits, and a power in two steps.
    let (first, second) = (last / 2, last - last / 2);
    let power = |exponent: i64| 2f64.powi(i32::try_from(exponent).unwrap_or(0));
    kept as f64 * power(first) * power(second)
}
