//! The subject of a certificate, as people write it: `CN=terraform,O=Example`.

/// Tags of DER (X.690) that lead to a subject.
const SEQUENCE: u8 = 0x30;
const SET: u8 = 0x31;
const OID: u8 = 0x06;
const VERSION: u8 = 0xa0;

/// The attributes that have short names (RFC 4514, section 3), by the last byte of 2.5.4.x.
const NAMES: &[(u8, &str)] =
    &[(3, "CN"), (5, "SERIALNUMBER"), (6, "C"), (7, "L"), (8, "ST"), (9, "STREET"), (10, "O"), (11, "OU")];

/// Returns the subject of a certificate in DER, its last attribute first (RFC 4514); empty where it has none.
pub(super) fn subject(certificate: &[u8]) -> Option<String> {
    let (certificate, _) = element(certificate, SEQUENCE)?;
    let (mut rest, _) = element(certificate, SEQUENCE)?;
    if let Some((_, after)) = element(rest, VERSION) {
        rest = after;
    }
    // Serial number, algorithm, issuer and validity stand before it.
    for _ in 0..4 {
        rest = any(rest)?.2;
    }
    let (mut name, _) = element(rest, SEQUENCE)?;
    let mut said = Vec::new();
    while !name.is_empty() {
        let (set, after) = element(name, SET)?;
        name = after;
        let (pair, _) = element(set, SEQUENCE)?;
        let (kind, value) = element(pair, OID)?;
        let (_, value, _) = any(value)?;
        let kind = match kind {
            [0x55, 0x04, last] => NAMES.iter().find(|(known, _)| known == last).map(|(_, name)| *name),
            _ => None,
        };
        if let Some(kind) = kind {
            said.push(format!("{kind}={}", String::from_utf8_lossy(value)));
        }
    }
    said.reverse();
    Some(said.join(","))
}

/// Takes an element with a tag: returns its contents and what follows it.
fn element(bytes: &[u8], tag: u8) -> Option<(&[u8], &[u8])> {
    let (found, contents, rest) = any(bytes)?;
    (found == tag).then_some((contents, rest))
}

/// Takes an element: returns its tag, its contents and what follows it.
fn any(bytes: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let [tag, length, rest @ ..] = bytes else { return None };
    let (length, rest) = match length {
        0..=0x7f => (usize::from(*length), rest),
        // No certificate is longer than what three bytes can say.
        0x81..=0x83 => {
            let (digits, rest) = rest.split_at_checked(usize::from(length & 0x7f))?;
            (digits.iter().fold(0, |length, digit| length << 8 | usize::from(*digit)), rest)
        }
        _ => return None,
    };
    let (contents, rest) = rest.split_at_checked(length)?;
    Some((*tag, contents, rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn der(tag: u8, contents: &[u8]) -> Vec<u8> {
        let length = u16::try_from(contents.len()).unwrap().to_be_bytes();
        [&[tag, 0x82], &length[..], contents].concat()
    }

    fn certificate(version: bool, attributes: &[(&[u8], &str)]) -> Vec<u8> {
        let attribute = |(kind, value): &(&[u8], &str)| {
            der(SET, &der(SEQUENCE, &[der(OID, kind), der(0x0c, value.as_bytes())].concat()))
        };
        let name: Vec<u8> = attributes.iter().flat_map(attribute).collect();
        let version = if version { der(VERSION, &der(2, &[2])) } else { Vec::new() };
        let before = [der(2, &[1]), der(SEQUENCE, &[]), der(SEQUENCE, &[]), der(SEQUENCE, &[])].concat();
        der(SEQUENCE, &der(SEQUENCE, &[version, before, der(SEQUENCE, &name)].concat()))
    }

    #[test]
    fn subjects_read_as_people_write_them() {
        let of = |version| {
            certificate(
                version,
                &[(&[0x55, 4, 10], "Example"), (&[0x2a, 3], "?"), (&[0x55, 4, 3], "terraform")],
            )
        };
        assert_eq!(subject(&of(true)).unwrap(), "CN=terraform,O=Example");
        assert_eq!(subject(&of(false)).unwrap(), "CN=terraform,O=Example");
        assert_eq!(subject(&certificate(true, &[])).unwrap(), "");
    }

    #[test]
    fn what_is_cut_off_has_no_subject() {
        let whole = certificate(true, &[(&[0x55, 4, 3], "terraform")]);
        for length in 0..whole.len() {
            assert_eq!(subject(&whole[..length]), None, "{length}");
        }
    }
}
