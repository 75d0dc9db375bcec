//! URLs as parsed by Go's net/url, as far as Ignition checks them: validity and scheme.

use super::data;

/// A parsed URL.
struct Parsed<'a> {
    /// In lower case; empty if there is none.
    scheme: String,
    /// What follows the scheme if that is not a path.
    opaque: &'a str,
    query: &'a str,
}

/// Returns the scheme of a URL, empty if it has none; `None` if Go rejects the URL.
pub(crate) fn scheme(text: &str) -> Option<String> {
    parse(text).map(|url| url.scheme)
}

/// Returns why Ignition of a minor version cannot fetch from a URL, if it cannot.
pub(crate) fn unusable(text: &str, minor: u8) -> Option<String> {
    let Some(url) = parse(text) else { return Some(format!("`{text}` is not a URL")) };
    match url.scheme.as_str() {
        "http" | "https" | "tftp" => None,
        "gs" if minor >= 2 => None,
        "s3" => unversioned(url.query),
        "arn" if minor >= 4 => arn(url.opaque)
            .map_or_else(|| Some("names no object in S3".to_owned()), |()| unversioned(url.query)),
        "data" => data::unreadable(text).map(|why| format!("is not a data URL: {why}")),
        "" => Some(format!("`{text}` has no scheme")),
        scheme @ ("gs" | "arn") => {
            Some(format!("the scheme `{scheme}` needs Ignition 3.{}.0", if scheme == "gs" { 2 } else { 4 }))
        }
        scheme => Some(format!("the scheme `{scheme}` cannot be fetched from")),
    }
}

/// Checks that the version of an S3 object is not empty.
fn unversioned(query: &str) -> Option<String> {
    let first = query.split('&').filter(|pair| !pair.contains(';')).find_map(|pair| {
        let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
        (percent(key, Part::Query)? == b"versionId")
            .then_some(value)
            .filter(|_| percent(value, Part::Query).is_some())
    });
    (first == Some("")).then(|| "`versionId` is empty".to_owned())
}

fn arn(opaque: &str) -> Option<()> {
    let mut parts = opaque.splitn(5, ':');
    let service = parts.nth(1)?;
    let resource = parts.nth(2)?;
    let slashes = opaque.matches('/').count();
    let enough = if resource.starts_with("accesspoint/") { slashes >= 2 } else { slashes >= 1 };
    (service == "s3" && enough).then_some(())
}

fn parse(text: &str) -> Option<Parsed<'_>> {
    let (text, fragment) = text.split_once('#').unwrap_or((text, ""));
    percent(fragment, Part::Path)?;
    if text.bytes().any(|byte| byte < 0x20 || byte == 0x7f) {
        return None;
    }
    let (scheme, rest) = split_scheme(text)?;
    let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
    let mut parsed = Parsed { scheme: scheme.to_ascii_lowercase(), opaque: "", query };
    let mut path = rest;
    if !rest.starts_with('/') {
        if !scheme.is_empty() {
            parsed.opaque = rest;
            return Some(parsed);
        }
        // Before a colon, the first segment would be a scheme.
        if rest.split('/').next().is_some_and(|segment| segment.contains(':')) {
            return None;
        }
    }
    if let Some(after) = rest.strip_prefix("//")
        && (!scheme.is_empty() || !rest.starts_with("///"))
    {
        let end = after.find('/').unwrap_or(after.len());
        authority(&after[..end])?;
        path = &after[end..];
    }
    percent(path, Part::Path)?;
    Some(parsed)
}

/// Splits off the scheme; `None` if there is only a colon.
fn split_scheme(text: &str) -> Option<(&str, &str)> {
    for (index, byte) in text.bytes().enumerate() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' => {}
            b'0'..=b'9' | b'+' | b'-' | b'.' if index > 0 => {}
            b':' => return (index > 0).then(|| (&text[..index], &text[index + 1..])),
            _ => return Some(("", text)),
        }
    }
    Some(("", text))
}

fn authority(text: &str) -> Option<()> {
    let host = match text.rsplit_once('@') {
        None => text,
        Some((user, host)) => {
            let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"-._:~!$&'()*+,;=%@".contains(&byte);
            if !user.bytes().all(allowed) {
                return None;
            }
            percent(user, Part::Path)?;
            host
        }
    };
    if let Some(bracketed) = host.strip_prefix('[') {
        let (address, port) = bracketed.rsplit_once(']')?;
        port_of(port)?;
        let (address, zone) = address.split_once("%25").unwrap_or((address, ""));
        percent(zone, Part::Path)?;
        address.parse::<std::net::Ipv6Addr>().ok()?;
        return Some(());
    }
    if let Some(colon) = host.rfind(':') {
        // Up to Go 1.25, only what follows the last colon is a port.
        port_of(&host[colon..])?;
    }
    percent(host, Part::Host)?;
    Some(())
}

/// Accepts nothing, or a colon and digits.
fn port_of(text: &str) -> Option<()> {
    let digits = if text.is_empty() { text } else { text.strip_prefix(':')? };
    digits.bytes().all(|byte| byte.is_ascii_digit()).then_some(())
}

#[derive(Clone, Copy, PartialEq)]
enum Part {
    Host,
    Path,
    Query,
}

/// Decodes `%` escapes; `None` if one is invalid or not allowed there.
fn percent(text: &str, part: Part) -> Option<Vec<u8>> {
    let mut bytes = text.bytes();
    let mut decoded = Vec::with_capacity(text.len());
    while let Some(byte) = bytes.next() {
        match byte {
            b'%' => {
                let digit = |byte: Option<u8>| char::from(byte?).to_digit(16);
                let value = u8::try_from(digit(bytes.next())? * 16 + digit(bytes.next())?).ok()?;
                // A host name may only escape non-ASCII characters.
                if part == Part::Host && value < 0x80 && value != b'%' {
                    return None;
                }
                decoded.push(value);
            }
            b'+' if part == Part::Query => decoded.push(b' '),
            byte if part == Part::Host && byte < 0x80 && !host_may_hold(byte) => return None,
            byte => decoded.push(byte),
        }
    }
    Some(decoded)
}

fn host_may_hold(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!$&'()*+,;=:[]<>\"-_.~".contains(&byte)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn go_takes_for_urls_what_it_can_split() {
        for good in [
            "http://h/p?q#f",
            "HTTP://h",
            "http:opaque",
            "http://h:80/",
            "http://h:/",
            "http://a:1:2/",
            "http://a:x:2/",
            "http://u:p@h/%41",
            "http://[::1]:80/",
            "//h/p",
            "/p",
            "",
            "p/a:b",
            "http://h/ü b",
            "1a",
        ] {
            assert!(scheme(good).is_some(), "{good}");
        }
        for bad in [
            ":",
            "://h",
            "a b:c",
            "http://h:x/",
            "http://a:1:x/",
            "http://[::1",
            "http://[x]/",
            "http://h/%4",
            "http://h/%zz",
            "http://h h/",
            "http://h%41/",
            "http://a\tb",
            "http://u r@h/",
            "1:b",
        ] {
            assert!(scheme(bad).is_none(), "{bad}");
        }
    }

    #[test]
    fn versions_of_ignition_fetch_from_more_and_more() {
        assert_eq!(unusable("gs://b/o", 1).as_deref(), Some("the scheme `gs` needs Ignition 3.2.0"));
        assert_eq!(unusable("gs://b/o", 2), None);
        assert_eq!(unusable("s3://b/o?versionId=", 0).as_deref(), Some("`versionId` is empty"));
        assert_eq!(unusable("s3://b/o?versionId=x", 0), None);
        assert_eq!(unusable("arn:aws:s3:::bucket/key", 4), None);
        assert_eq!(unusable("arn:aws:s3:::bucket", 4).as_deref(), Some("names no object in S3"));
        assert_eq!(
            unusable("arn:aws:s3:::bucket/key", 3).as_deref(),
            Some("the scheme `arn` needs Ignition 3.4.0")
        );
        assert_eq!(unusable("arn:aws:s3:us:1:accesspoint/a", 4).as_deref(), Some("names no object in S3"));
        assert_eq!(unusable("oem:///x", 4).as_deref(), Some("the scheme `oem` cannot be fetched from"));
        assert_eq!(unusable("x", 4).as_deref(), Some("`x` has no scheme"));
    }
}
