//! Parses requested paths: pure, and rejects every spelling that leaves the served folder.

/// A normalised path below the served folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct RequestPath {
    /// Its components with single slashes between them, none of them `.` or `..`; empty for the root.
    pub(super) path: String,
    /// Whether it ends with a slash, as the path of a folder.
    pub(super) folder: bool,
}

/// Normalises a path. The error says what is wrong with it.
///
/// Leading and repeated slashes are ignored, and backslashes count as slashes, as firmware writes them. A path that
/// still has an encoded dot or slash after one decoding is refused: no legitimate client sends it, and a file system
/// might decode it again.
pub(super) fn simplify(requested: &[u8]) -> Result<RequestPath, &'static str> {
    let text = std::str::from_utf8(requested).map_err(|_| "the path is not UTF-8")?;
    if text.chars().any(char::is_control) {
        return Err("the path has control characters");
    }
    if hides(text) {
        return Err("the path is percent-encoded twice");
    }
    let mut parts = Vec::new();
    let mut folder = true;
    for part in text.split(['/', '\\']) {
        folder = part.is_empty() || part == ".";
        if folder {
            continue;
        }
        if climbs(part) {
            return Err("the path leaves the served folder");
        }
        // A drive letter or URL scheme: `C:`, `file:`.
        if parts.is_empty() && part.ends_with(':') {
            return Err("the path has a scheme or drive");
        }
        parts.push(part);
    }
    Ok(RequestPath { path: parts.join("/"), folder })
}

/// Tells whether a component is the parent folder, also for programs that ignore what follows the dots.
fn climbs(part: &str) -> bool {
    part.strip_prefix("..").is_some_and(|rest| {
        let named = |letter: char| letter.is_alphanumeric() || matches!(letter, '_' | '-');
        !rest.trim_start_matches('.').starts_with(named)
    })
}

/// Tells whether a text has percent-encoded dots, slashes, percent signs or non-ASCII characters.
fn hides(text: &str) -> bool {
    text.split('%').skip(1).any(|rest| {
        let digits = rest.get(..2).and_then(|digits| u8::from_str_radix(digits, 16).ok());
        digits.is_some_and(|byte| matches!(byte, b'.' | b'/' | b'\\' | b'%' | ..0x20 | 0x7f..))
            || rest.starts_with(['u', 'U'])
    })
}

/// Decodes the percent-encoding of a URL path once. The error says what is wrong with it.
pub(in crate::serve) fn decode(path: &str) -> Result<Vec<u8>, &'static str> {
    let mut decoded = Vec::with_capacity(path.len());
    let mut pieces = path.split('%');
    decoded.extend_from_slice(pieces.next().unwrap_or_default().as_bytes());
    for piece in pieces {
        let digits = piece.get(..2).filter(|digits| digits.bytes().all(|digit| digit.is_ascii_hexdigit()));
        let byte = digits.and_then(|digits| u8::from_str_radix(digits, 16).ok());
        decoded.push(byte.ok_or("invalid percent-encoding")?);
        decoded.extend_from_slice(&piece.as_bytes()[2..]);
    }
    Ok(decoded)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn check(url: &str) -> String {
        match decode(url).and_then(|path| simplify(&path)) {
            Ok(RequestPath { path, folder }) => format!("{path}{}", if folder { " (folder)" } else { "" }),
            Err(why) => format!("refused: {why}"),
        }
    }

    #[test]
    fn paths_and_what_is_no_path() {
        let table = [
            "/a/b",
            "a/b",
            "//a///b",
            r"\a\b",
            "/a/./b/",
            "/",
            "",
            "/a%20b",
            "/a%2fb",
            "/..a/b..c/d...",
            "/a/...hidden",
            "/a/..",
            "/../a",
            "/%2e%2e/a",
            "/.%2e/a",
            "/..%2fa",
            "/..%5ca",
            r"/..\a",
            "/a/..;/b",
            "/a/.. /b",
            "/a/.../b",
            "/%252e%252e/a",
            "/..%252fa",
            "/%25252e/a",
            "/%u002e%u002e/a",
            "/%c0%ae%c0%ae/a",
            "/%e0%80%ae/a",
            "/%fe%ff",
            "/a%00.efi",
            "/a%0d%0ab",
            "/a%",
            "/a%2",
            "/a%zz",
            "/a%+1",
            "/C:/windows",
            "/file:///etc/passwd",
        ];
        let lines: Vec<String> = table.iter().map(|url| format!("{url:24} {}", check(url))).collect();
        insta::assert_snapshot!(lines.join("\n"), @r"
        /a/b                     a/b
        a/b                      a/b
        //a///b                  a/b
        \a\b                     a/b
        /a/./b/                  a/b (folder)
        /                         (folder)
                                  (folder)
        /a%20b                   a b
        /a%2fb                   a/b
        /..a/b..c/d...           ..a/b..c/d...
        /a/...hidden             a/...hidden
        /a/..                    refused: the path leaves the served folder
        /../a                    refused: the path leaves the served folder
        /%2e%2e/a                refused: the path leaves the served folder
        /.%2e/a                  refused: the path leaves the served folder
        /..%2fa                  refused: the path leaves the served folder
        /..%5ca                  refused: the path leaves the served folder
        /..\a                    refused: the path leaves the served folder
        /a/..;/b                 refused: the path leaves the served folder
        /a/.. /b                 refused: the path leaves the served folder
        /a/.../b                 refused: the path leaves the served folder
        /%252e%252e/a            refused: the path is percent-encoded twice
        /..%252fa                refused: the path is percent-encoded twice
        /%25252e/a               refused: the path is percent-encoded twice
        /%u002e%u002e/a          refused: invalid percent-encoding
        /%c0%ae%c0%ae/a          refused: the path is not UTF-8
        /%e0%80%ae/a             refused: the path is not UTF-8
        /%fe%ff                  refused: the path is not UTF-8
        /a%00.efi                refused: the path has control characters
        /a%0d%0ab                refused: the path has control characters
        /a%                      refused: invalid percent-encoding
        /a%2                     refused: invalid percent-encoding
        /a%zz                    refused: invalid percent-encoding
        /a%+1                    refused: invalid percent-encoding
        /C:/windows              refused: the path has a scheme or drive
        /file:///etc/passwd      refused: the path has a scheme or drive
        ");
    }

    proptest! {
        #[test]
        fn no_path_climbs(url in r"(/|\\|\.|\.\.|%2e|%2f|%5c|%25|%00|%c0%ae|;| |:|a|b|\PC){0,16}") {
            if let Ok(RequestPath { path, folder: _ }) = decode(&url).and_then(|path| simplify(&path)) {
                prop_assert!(!path.starts_with('/') && !path.contains("//") && !path.contains('\0'));
                prop_assert!(path.split('/').all(|part| part != ".." && part != "."), "{path}");
                let again = decode(&path).ok().and_then(|path| simplify(&path).ok());
                prop_assert!(again.is_none_or(|again| !again.path.contains("..") || path.contains("..")));
            }
        }

        #[test]
        fn any_bytes_are_taken(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            if let Ok(RequestPath { path, folder: _ }) = simplify(&bytes) {
                prop_assert_eq!(simplify(path.as_bytes()).map(|requested| requested.path), Ok(path));
            }
        }
    }
}
