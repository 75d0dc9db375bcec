//! Range requests (RFC 9110, section 14): pure.

/// More ranges than any legitimate client requests at once.
const MOST: usize = 16;

/// The result of a range request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Wanted {
    /// The whole file: no range was requested, or too many.
    Whole,
    /// Ranges as offset and length; at least one, none of them empty.
    Pieces(Vec<(u64, u64)>),
    /// All ranges are beyond the end (416).
    Beyond,
    /// The header is malformed.
    Nonsense,
}

/// Parses a `Range` header for a file of `size` bytes.
pub(super) fn wanted(header: &str, size: u64) -> Wanted {
    let Some(specs) = header.split_once('=').filter(|(unit, _)| unit.trim().eq_ignore_ascii_case("bytes"))
    else {
        return Wanted::Nonsense;
    };
    let mut pieces = Vec::new();
    let mut requested = 0;
    for spec in specs.1.split(',').map(|spec| spec.trim_matches([' ', '\t'])).filter(|spec| !spec.is_empty())
    {
        requested += 1;
        match piece(spec, size) {
            None => return Wanted::Nonsense,
            Some(None) => {}
            Some(Some(piece)) => pieces.push(piece),
        }
    }
    // If the ranges add up to more than the file, or are too many, send the file once.
    let total = pieces.iter().fold(0_u64, |total, (_, length)| total.saturating_add(*length));
    match pieces.len() {
        _ if requested == 0 || requested > MOST => Wanted::Whole,
        0 => Wanted::Beyond,
        1 => Wanted::Pieces(pieces),
        _ if total > size => Wanted::Whole,
        _ => Wanted::Pieces(pieces),
    }
}

/// Parses `first-last`, `first-` or `-length`. `None` if malformed, `Some(None)` if it is beyond the end.
fn piece(spec: &str, size: u64) -> Option<Option<(u64, u64)>> {
    let (first, last) = spec.split_once('-')?;
    if first.is_empty() {
        let length = number(last)?.min(size);
        return Some((length > 0).then(|| (size - length, length)));
    }
    let first = number(first)?;
    let last = if last.is_empty() { u64::MAX } else { number(last)? };
    if last < first {
        return None;
    }
    Some((first < size).then(|| (first, last.min(size - 1) - first + 1)))
}

/// Parses a number; one that is too long counts as the largest.
fn number(digits: &str) -> Option<u64> {
    let is_number = !digits.is_empty() && digits.bytes().all(|digit| digit.is_ascii_digit());
    is_number.then(|| digits.parse().unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn ranges_and_what_is_none() {
        let table = [
            "bytes=2-4",
            "bytes=2-",
            "bytes=-3",
            "bytes=8-99",
            "bytes=0-0",
            "bytes=-99",
            "BYTES = 2-4",
            "bytes=0-1,4-5",
            "bytes= 0-1 , , 4-5,",
            "bytes=0-1,99-",
            "bytes=0-5,3-9",
            "bytes=0-,0-,0-",
            "bytes=4-5,0-1",
            "bytes=99-",
            "bytes=-0",
            "bytes=10-10",
            "bytes=99-,-0",
            "bytes=99999999999999999999-",
            "bytes=0-99999999999999999999",
            "nonsense",
            "bytes=",
            "bytes",
            "bytes=4-2",
            "bytes=a-b",
            "bytes=1",
            "bytes=--1",
            "bytes=+1-2",
            "bytes=1-2-3",
            "items=0-1",
            "bytes=0-1;4-5",
            "bytes=0-0,1-1,2-2,3-3,4-4,5-5,6-6,7-7,8-8,9-9,0-0,0-0,0-0,0-0,0-0,0-0,0-0",
        ];
        let lines: Vec<String> = table
            .iter()
            .map(|header| {
                let brief: String = header.chars().take(36).collect();
                format!("{brief:36} {:?}", wanted(header, 10))
            })
            .collect();
        insta::assert_snapshot!(lines.join("\n"), @"
        bytes=2-4                            Pieces([(2, 3)])
        bytes=2-                             Pieces([(2, 8)])
        bytes=-3                             Pieces([(7, 3)])
        bytes=8-99                           Pieces([(8, 2)])
        bytes=0-0                            Pieces([(0, 1)])
        bytes=-99                            Pieces([(0, 10)])
        BYTES = 2-4                          Pieces([(2, 3)])
        bytes=0-1,4-5                        Pieces([(0, 2), (4, 2)])
        bytes= 0-1 , , 4-5,                  Pieces([(0, 2), (4, 2)])
        bytes=0-1,99-                        Pieces([(0, 2)])
        bytes=0-5,3-9                        Whole
        bytes=0-,0-,0-                       Whole
        bytes=4-5,0-1                        Pieces([(4, 2), (0, 2)])
        bytes=99-                            Beyond
        bytes=-0                             Beyond
        bytes=10-10                          Beyond
        bytes=99-,-0                         Beyond
        bytes=99999999999999999999-          Beyond
        bytes=0-99999999999999999999         Pieces([(0, 10)])
        nonsense                             Nonsense
        bytes=                               Whole
        bytes                                Nonsense
        bytes=4-2                            Nonsense
        bytes=a-b                            Nonsense
        bytes=1                              Nonsense
        bytes=--1                            Nonsense
        bytes=+1-2                           Nonsense
        bytes=1-2-3                          Nonsense
        items=0-1                            Nonsense
        bytes=0-1;4-5                        Nonsense
        bytes=0-0,1-1,2-2,3-3,4-4,5-5,6-6,7- Whole
        ");
        assert_eq!(wanted("bytes=0-", 0), Wanted::Beyond);
        assert_eq!(wanted("bytes=-5", 0), Wanted::Beyond);
    }

    proptest! {
        #[test]
        fn pieces_lie_within(header in r"bytes=([0-9]{0,21}|-|,| |=|\PC){0,30}", size in any::<u64>()) {
            if let Wanted::Pieces(pieces) = wanted(&header, size) {
                prop_assert!((1..=MOST).contains(&pieces.len()));
                for (first, length) in &pieces {
                    prop_assert!(*length > 0 && first.checked_add(*length).is_some_and(|end| end <= size));
                }
                let total: u128 = pieces.iter().map(|(_, length)| u128::from(*length)).sum();
                prop_assert!(total <= u128::from(size));
            }
        }
    }
}
