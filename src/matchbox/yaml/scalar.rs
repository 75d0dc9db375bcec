//! The types of scalars, as yaml.v3 resolves them.

use std::sync::LazyLock;

use jiff::civil::Date;
use regex::Regex;

use crate::matchbox::go::standard_base64;
use crate::matchbox::tree::Scalar;

/// The value of a scalar without regard to what it is used as.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Resolved {
    /// Nothing.
    Null,
    /// A boolean of YAML 1.2.
    Flag(bool),
    /// An integer, as wide as Go's `uint64` and `int64` together.
    Integer(i128),
    /// A floating-point number.
    Float(f64),
    /// A point in time.
    Time,
    /// A text.
    Text,
    /// The bytes of `!!binary`.
    Bytes(Vec<u8>),
}

impl Resolved {
    /// Returns the tag of the type.
    fn tag(&self) -> &'static str {
        match self {
            Self::Null => "!!null",
            Self::Flag(_) => "!!bool",
            Self::Integer(_) => "!!int",
            Self::Float(_) => "!!float",
            Self::Time => "!!timestamp",
            Self::Text => "!!str",
            Self::Bytes(_) => "!!binary",
        }
    }
}

/// Resolves a scalar, or returns why its tag does not fit it.
pub(crate) fn resolve(scalar: &Scalar) -> Result<Resolved, String> {
    let Scalar { text, tag, quoted } = scalar;
    let tag = tag.as_deref();
    match tag {
        None if *quoted => return Ok(Resolved::Text),
        None => {}
        Some("!!bool" | "!!int" | "!!float" | "!!null" | "!!timestamp") => {}
        Some("!!binary") => {
            let bytes = standard_base64::decode(text).ok_or("`!!binary` is followed by no base64")?;
            return Ok(Resolved::Bytes(bytes));
        }
        Some(_) => return Ok(Resolved::Text),
    }
    let resolved = plain(text, tag.is_none_or(|tag| tag == "!!timestamp"));
    match (tag, resolved) {
        (Some("!!float"), Resolved::Integer(number)) => {
            #[expect(clippy::cast_precision_loss, reason = "Go rounds it as well")]
            let number = number as f64;
            Ok(Resolved::Float(number))
        }
        (Some(tag), resolved) if resolved.tag() != tag => {
            Err(format!("`{text}` is {} and no {tag}", resolved.tag()))
        }
        (_, resolved) => Ok(resolved),
    }
}

/// Resolves a plain scalar without a tag.
fn plain(text: &str, times: bool) -> Resolved {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => return Resolved::Null,
        "true" | "True" | "TRUE" => return Resolved::Flag(true),
        "false" | "False" | "FALSE" => return Resolved::Flag(false),
        ".nan" | ".NaN" | ".NAN" => return Resolved::Float(f64::NAN),
        ".inf" | ".Inf" | ".INF" | "+.inf" | "+.Inf" | "+.INF" => return Resolved::Float(f64::INFINITY),
        "-.inf" | "-.Inf" | "-.INF" => return Resolved::Float(f64::NEG_INFINITY),
        _ => {}
    }
    if text.starts_with('.') {
        return float(text).map_or(Resolved::Text, Resolved::Float);
    }
    if !text.starts_with(|first: char| first.is_ascii_digit() || matches!(first, '+' | '-')) {
        return Resolved::Text;
    }
    if times && is_time(text) {
        return Resolved::Time;
    }
    let digits = text.replace('_', "");
    if let Some(number) = with_prefix(&digits) {
        return Resolved::Integer(number);
    }
    if let Some(number) = float(&digits) {
        return Resolved::Float(number);
    }
    // Octal and binary numbers may have their sign behind the prefix.
    let (sign, unsigned) = digits.strip_prefix('-').map_or((1, digits.as_str()), |rest| (-1, rest));
    let based = unsigned.strip_prefix("0b").map(|rest| (2, rest));
    let based = based.or_else(|| unsigned.strip_prefix("0o").map(|rest| (8, rest)));
    match based.and_then(|(radix, rest)| i128::from_str_radix(rest, radix).ok()) {
        Some(number) if sign == 1 || number >= 0 => {
            in_range(sign * number).map_or(Resolved::Text, Resolved::Integer)
        }
        _ => Resolved::Text,
    }
}

/// Parses an integer in the base of its prefix, as Go does with base 0.
fn with_prefix(text: &str) -> Option<i128> {
    let (sign, digits) = match text.as_bytes().first()? {
        b'-' => (-1, &text[1..]),
        b'+' => (1, &text[1..]),
        _ => (1, text),
    };
    if !digits.starts_with(|first: char| first.is_ascii_digit()) {
        return None;
    }
    let prefixes = [("0x", 16), ("0X", 16), ("0o", 8), ("0O", 8), ("0b", 2), ("0B", 2)];
    let based = prefixes.iter().find_map(|(prefix, radix)| Some((*radix, digits.strip_prefix(prefix)?)));
    let (radix, digits) = based.unwrap_or(match digits.strip_prefix('0') {
        Some(octal) if !octal.is_empty() => (8, octal),
        _ => (10, digits),
    });
    if digits.starts_with(['+', '-']) {
        return None;
    }
    let number = sign * i128::from_str_radix(digits, radix).ok()?;
    // An unsigned number has no sign.
    if text.starts_with(['+', '-']) { i64::try_from(number).ok().map(i128::from) } else { in_range(number) }
}

fn in_range(number: i128) -> Option<i128> {
    (i128::from(i64::MIN)..=i128::from(u64::MAX)).contains(&number).then_some(number)
}

fn float(text: &str) -> Option<f64> {
    static FLOAT: LazyLock<Regex> = LazyLock::new(|| {
        Regex::new(r"^[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?$").expect("it is a pattern")
    });
    // Go refuses what is out of range.
    text.parse().ok().filter(|number: &f64| FLOAT.is_match(text) && number.is_finite())
}

/// Whether it is a time in one of the forms of yaml.v3.
fn is_time(text: &str) -> bool {
    static TIME: LazyLock<Regex> = LazyLock::new(|| {
        let clock = r"[0-9]{1,2}:[0-5]?[0-9]:[0-5]?[0-9](?:[.,][0-9]+)?";
        let zone = "(?:Z|[+-](?:[01][0-9]|2[0-4]):[0-5][0-9])";
        let pattern =
            format!("^([0-9]{{4}})-([0-9]{{1,2}})-([0-9]{{1,2}})(?:[Tt]({clock}){zone}| ({clock}))?$");
        Regex::new(&pattern).expect("it is a pattern")
    });
    let Some(parts) = TIME.captures(text) else { return false };
    let number = |index: usize| parts.get(index).and_then(|part| part.as_str().parse::<i16>().ok());
    let small = |index| number(index).and_then(|number| i8::try_from(number).ok());
    let (Some(year), Some(month), Some(day)) = (number(1), small(2), small(3)) else { return false };
    let hour = parts.get(4).or_else(|| parts.get(5)).and_then(|clock| clock.as_str().split(':').next());
    let hour = hour.is_none_or(|hour| hour.parse::<u8>().is_ok_and(|hour| hour < 24));
    hour && Date::new(year, month, day).is_ok()
}

/// Returns the boolean where one is wanted: the words of YAML 1.1 count as well, quoted or not.
pub(crate) fn flag(resolved: &Resolved, text: &str) -> Option<bool> {
    match (resolved, text) {
        (Resolved::Flag(flag), _) => Some(*flag),
        (Resolved::Text, "y" | "Y" | "yes" | "Yes" | "YES" | "on" | "On" | "ON") => Some(true),
        (Resolved::Text, "n" | "N" | "no" | "No" | "NO" | "off" | "Off" | "OFF") => Some(false),
        _ => None,
    }
}

/// Returns the integer where one is wanted: a float counts without its fraction.
pub(crate) fn integer(resolved: &Resolved) -> Option<i64> {
    /// The first float behind the range of an `i64`.
    const BEYOND: f64 = 9_223_372_036_854_775_808.0;
    match resolved {
        Resolved::Integer(number) => i64::try_from(*number).ok(),
        Resolved::Float(number) if *number == BEYOND => Some(i64::MIN),
        #[expect(
            clippy::cast_possible_truncation,
            reason = "the fraction is cut off, and the range is checked"
        )]
        Resolved::Float(number) if *number < BEYOND => Some(*number as i64),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &str, tag: Option<&str>) -> Result<Resolved, String> {
        resolve(&Scalar { text: text.to_owned(), tag: tag.map(str::to_owned), quoted: false })
    }

    #[test]
    fn scalars_have_the_types_of_yaml_v3() {
        for (text, resolved) in [
            ("", Resolved::Null),
            ("Null", Resolved::Null),
            ("True", Resolved::Flag(true)),
            ("tRUE", Resolved::Text),
            ("yes", Resolved::Text),
            ("0644", Resolved::Integer(0o644)),
            ("0o644", Resolved::Integer(0o644)),
            ("0o-7", Resolved::Integer(-7)),
            ("-0o7", Resolved::Integer(-7)),
            ("0b1_0", Resolved::Integer(2)),
            ("0x_1", Resolved::Integer(1)),
            ("0x-1", Resolved::Text),
            ("0b", Resolved::Text),
            ("0o8", Resolved::Text),
            ("08", Resolved::Float(8.0)),
            ("1_", Resolved::Integer(1)),
            ("_1", Resolved::Text),
            ("--1", Resolved::Text),
            ("1.", Resolved::Float(1.0)),
            ("+.5", Resolved::Float(0.5)),
            ("1e3", Resolved::Float(1000.0)),
            ("1e400", Resolved::Text),
            ("-.inf", Resolved::Float(f64::NEG_INFINITY)),
            ("18446744073709551615", Resolved::Integer(u64::MAX.into())),
            ("18446744073709551616", Resolved::Float(18_446_744_073_709_551_616.0)),
            ("2020-01-01", Resolved::Time),
            ("2020-1-1", Resolved::Time),
            ("2020-02-30", Resolved::Text),
            ("2020-01-01T10:00:00Z", Resolved::Time),
            ("2020-01-01 10:00:00", Resolved::Time),
            ("2020-01-01 24:00:00", Resolved::Text),
        ] {
            assert_eq!(of(text, None), Ok(resolved), "{text}");
        }
    }

    #[test]
    fn tags_must_fit() {
        assert_eq!(of("5", Some("!!float")), Ok(Resolved::Float(5.0)));
        assert_eq!(of("5", Some("!!str")), Ok(Resolved::Text));
        assert_eq!(of("5", Some("!own")), Ok(Resolved::Text));
        assert_eq!(of("/w==", Some("!!binary")), Ok(Resolved::Bytes(vec![255])));
        for (text, tag) in
            [("yes", "!!bool"), ("", "!!bool"), ("1", "!!bool"), ("x", "!!null"), ("a", "!!binary")]
        {
            assert!(of(text, Some(tag)).is_err(), "{tag} {text}");
        }
    }

    #[test]
    fn booleans_and_integers_are_taken_where_they_are_wanted() {
        let flag_of = |text| flag(&of(text, None).expect("no tag"), text);
        assert_eq!(
            [flag_of("On"), flag_of("NO"), flag_of("f"), flag_of("0")],
            [Some(true), Some(false), None, None]
        );
        let integer_of = |text| integer(&of(text, None).expect("no tag"));
        assert_eq!(integer_of("-1.9"), Some(-1));
        assert_eq!(integer_of("9223372036854775808"), None);
        assert_eq!(integer_of(".nan"), None);
    }
}
