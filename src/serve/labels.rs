//! Domain names in wire format: labels with their lengths (RFC 1035, section 3.1), never compressed.

/// Encodes a domain name. An invalid one is encoded as the root.
pub(super) fn encode(domain: &str) -> Vec<u8> {
    let labels = || domain.trim_end_matches('.').split('.');
    let mut bytes = Vec::with_capacity(domain.len() + 2);
    if labels().all(|label| (1..=63).contains(&label.len())) && domain.len() <= 253 {
        for label in labels() {
            bytes.extend(u8::try_from(label.len()).ok());
            bytes.extend(label.as_bytes());
        }
    }
    bytes.push(0);
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_labels_with_their_lengths() {
        assert_eq!(encode("lab.test"), b"\x03lab\x04test\0");
        assert_eq!(encode("lab."), b"\x03lab\0");
        for impossible in ["", "a..b", &"a".repeat(64), &"abc.".repeat(70)] {
            assert_eq!(encode(impossible), [0], "{impossible}");
        }
    }
}
