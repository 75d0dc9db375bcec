//! Floating-point numbers as `strconv.FormatFloat` formats them.

use std::fmt::Write as _;

/// Formats a number in one of Go's formats: `e`, `E`, `f`, `g`, `G`, `b`, `x` or `X`.
///
/// Without a precision, the shortest representation that parses to the same number is used.
pub fn format(value: f64, verb: char, precision: Option<usize>) -> String {
    if value.is_nan() {
        return "NaN".to_owned();
    }
    if value.is_infinite() {
        return if value < 0.0 { "-Inf" } else { "+Inf" }.to_owned();
    }
    let mut text = if value.is_sign_negative() { "-".to_owned() } else { String::new() };
    let value = value.abs();
    match verb {
        'e' | 'E' => push_scientific(
            &mut text,
            &Digits::new(value, precision.map(|digits| digits + 1)),
            precision,
            verb,
        ),
        'g' | 'G' => push_general(&mut text, value, precision, verb),
        'b' => push_binary(&mut text, value),
        'x' | 'X' => push_hexadecimal(&mut text, value, precision, verb),
        _ => push_fixed(&mut text, value, precision),
    }
    text
}

/// Formats a number as `json.Marshal` does, which follows ECMAScript.
pub fn json(value: f64) -> String {
    let size = value.abs();
    if size == 0.0 || (1e-6..1e21).contains(&size) {
        return format(value, 'f', None);
    }
    let text = format(value, 'e', None);
    text.replace("e-0", "e-")
}

/// No number has more digits than this before or after its point, and Rust accepts no more than 65,535.
const MOST_DIGITS: usize = 1_100;

fn push_fixed(text: &mut String, value: f64, precision: Option<usize>) {
    let Some(precision) = precision else { return push(text, format_args!("{value}")) };
    push(text, format_args!("{value:.*}", precision.min(MOST_DIGITS)));
    push_zeros(text, precision.saturating_sub(MOST_DIGITS));
}

fn push_zeros(text: &mut String, many: usize) {
    text.extend(std::iter::repeat_n('0', many));
}

fn push(text: &mut String, what: std::fmt::Arguments<'_>) {
    text.write_fmt(what).expect("a String takes everything");
}

/// The digits of a non-negative number, without trailing zeros.
struct Digits {
    /// Empty for zero.
    digits: String,
    /// The power of ten of the first digit.
    exponent: i32,
}

impl Digits {
    /// Returns `many` digits, or the shortest representation.
    fn new(value: f64, many: Option<usize>) -> Self {
        let text = match many {
            Some(many) => format!("{value:.*e}", many.saturating_sub(1).min(MOST_DIGITS)),
            None => format!("{value:e}"),
        };
        let (digits, exponent) = text.split_once('e').expect("`e` is in the format");
        let digits = digits.replace('.', "").trim_end_matches('0').to_owned();
        let exponent = exponent.parse().expect("an exponent is a number");
        Self { digits, exponent }
    }
}

fn push_scientific(text: &mut String, digits: &Digits, precision: Option<usize>, verb: char) {
    let many = digits.digits.len();
    let precision = precision.unwrap_or(many.saturating_sub(1));
    text.push_str(digits.digits.get(..1).unwrap_or("0"));
    if precision > 0 {
        let fraction = digits.digits.get(1..).unwrap_or_default();
        let fraction = &fraction[..precision.min(fraction.len())];
        text.push('.');
        text.push_str(fraction);
        push_zeros(text, precision - fraction.len());
    }
    let exponent = if many == 0 { 0 } else { digits.exponent };
    let sign = if exponent < 0 { '-' } else { '+' };
    push(text, format_args!("{verb}{sign}{:02}", exponent.abs()));
}

fn push_general(text: &mut String, value: f64, precision: Option<usize>, verb: char) {
    let digits = Digits::new(value, precision.map(|digits| digits.max(1)));
    let many = digits.digits.len();
    let point = if many == 0 { 0 } else { i64::from(digits.exponent) + 1 };
    let wanted = precision.map_or(many, |digits| digits.max(1));
    let size = |number: usize| i64::try_from(number).unwrap_or(i64::MAX);
    let limit = match precision {
        None => 6,
        Some(_) if wanted > many && size(many) >= point => size(many),
        Some(_) => size(wanted),
    };
    let exponent = point - 1;
    if exponent < -4 || exponent >= limit {
        let verb = if verb == 'G' { 'E' } else { 'e' };
        return push_scientific(text, &digits, Some(wanted.min(many).saturating_sub(1)), verb);
    }
    let wanted = if size(wanted) > point { many } else { wanted };
    let fraction = usize::try_from(size(wanted) - point).unwrap_or(0);
    push_plain(text, &digits.digits, point, fraction);
}

/// Writes digits with the point at a position.
fn push_plain(text: &mut String, digits: &str, point: i64, fraction: usize) {
    let whole = usize::try_from(point).unwrap_or(0);
    if whole == 0 {
        text.push('0');
    } else {
        let known = &digits[..whole.min(digits.len())];
        text.push_str(known);
        push_zeros(text, whole - known.len());
    }
    if fraction > 0 {
        let before = usize::try_from(-point).unwrap_or(0).min(fraction);
        let known = digits.get(whole..).unwrap_or_default();
        let after = fraction - before;
        let known = &known[..known.len().min(after)];
        text.push('.');
        push_zeros(text, before);
        text.push_str(known);
        push_zeros(text, after - known.len());
    }
}

/// Returns the mantissa as an integer, and its power of two.
fn parts(value: f64) -> (u64, i32) {
    let bits = value.to_bits();
    let fraction = bits & ((1 << 52) - 1);
    let exponent = i32::try_from(bits >> 52 & 0x7ff).expect("11 bits fit");
    if exponent == 0 { (fraction, -1022) } else { (fraction | 1 << 52, exponent - 1023) }
}

fn push_binary(text: &mut String, value: f64) {
    let (fraction, exponent) = parts(value);
    push(text, format_args!("{fraction}p{:+}", exponent - 52));
}

fn push_hexadecimal(text: &mut String, value: f64, precision: Option<usize>, verb: char) {
    let (fraction, exponent) = parts(value);
    let mut exponent = if fraction == 0 { 0 } else { exponent };
    let mut fraction = fraction << 8;
    while fraction != 0 && fraction & 1 << 60 == 0 {
        fraction <<= 1;
        exponent -= 1;
    }
    if let Some(precision @ ..15) = precision {
        let kept = 4 * precision;
        let extra = fraction << kept & ((1 << 60) - 1);
        fraction >>= 60 - kept;
        if extra | fraction & 1 > 1 << 59 {
            fraction += 1;
        }
        fraction <<= 60 - kept;
        if fraction & 1 << 61 != 0 {
            fraction >>= 1;
            exponent += 1;
        }
    }
    push(text, format_args!("0{verb}{}", fraction >> 60 & 1));
    fraction <<= 4;
    let digits = precision.unwrap_or_else(|| (64 - fraction.trailing_zeros() as usize).div_ceil(4));
    if digits > 0 {
        text.push('.');
    }
    for _ in 0..digits {
        let digit = fraction >> 60;
        if verb == 'x' {
            push(text, format_args!("{digit:x}"))
        } else {
            push(text, format_args!("{digit:X}"))
        }
        fraction <<= 4;
    }
    let (power, sign) = (if verb == 'x' { 'p' } else { 'P' }, if exponent < 0 { '-' } else { '+' });
    push(text, format_args!("{power}{sign}{:02}", exponent.abs()));
}
