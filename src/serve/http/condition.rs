//! Conditional requests (RFC 9110, section 13): pure.

use std::time::{Duration, SystemTime};

use axum::http::{HeaderMap, HeaderName, header};

/// The validators of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Version {
    /// Its strong entity tag, with the quotes.
    pub(super) tag: String,
    /// When it was last modified, if known.
    pub(super) modified: Option<SystemTime>,
}

/// The result of a request's conditions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Follows {
    /// Answer as if there were none.
    Answer,
    /// The client has this version already (304).
    NotModified,
    /// A precondition failed (412).
    Failed,
}

/// Evaluates the conditions of a GET or HEAD, in the order that section 13.2.2 prescribes.
pub(super) fn follows(headers: &HeaderMap, version: &Version) -> Follows {
    let tags = |name: HeaderName| headers.contains_key(&name).then(|| headers.get_all(name));
    if let Some(tags) = tags(header::IF_MATCH) {
        let any = |value: &str| matches(value, |tag| tag == version.tag);
        if !tags.iter().filter_map(|value| value.to_str().ok()).any(any) {
            return Follows::Failed;
        }
    } else if let (Some(since), Some(modified)) =
        (date(headers, header::IF_UNMODIFIED_SINCE), version.modified)
        && seconds(modified) > seconds(since)
    {
        return Follows::Failed;
    }
    if let Some(tags) = tags(header::IF_NONE_MATCH) {
        // Weak comparison (section 8.8.3.2).
        let any = |value: &str| matches(value, |tag| tag.trim_start_matches("W/") == version.tag);
        if tags.iter().filter_map(|value| value.to_str().ok()).any(any) {
            return Follows::NotModified;
        }
    } else if let (Some(since), Some(modified)) = (date(headers, header::IF_MODIFIED_SINCE), version.modified)
        && seconds(modified) <= seconds(since)
    {
        return Follows::NotModified;
    }
    Follows::Answer
}

/// Tells whether `If-Range` matches, so that ranges may be sent.
pub(super) fn same_file(headers: &HeaderMap, version: &Version) -> bool {
    let Some(value) = headers.get(header::IF_RANGE) else { return true };
    match date(headers, header::IF_RANGE) {
        Some(since) => version.modified.is_some_and(|modified| seconds(modified) == seconds(since)),
        None => value.as_bytes() == version.tag.as_bytes(),
    }
}

/// Tells whether a list of entity tags is `*` or has a match.
fn matches(list: &str, is_it: impl Fn(&str) -> bool) -> bool {
    list.trim() == "*" || list.split(',').any(|tag| is_it(tag.trim()))
}

/// Parses a date in any of the three formats; an invalid one is ignored.
fn date(headers: &HeaderMap, name: HeaderName) -> Option<SystemTime> {
    httpdate::parse_http_date(headers.get(name)?.to_str().ok()?).ok()
}

/// Returns a time in whole seconds, as HTTP dates have it.
fn seconds(time: SystemTime) -> u64 {
    time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or(Duration::ZERO).as_secs()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Half a second after Sun, 06 Nov 1994 08:49:37 GMT.
    fn version() -> Version {
        let modified = SystemTime::UNIX_EPOCH + Duration::from_millis(784_111_777_500);
        Version { tag: "\"a1\"".to_owned(), modified: Some(modified) }
    }

    fn headers(lines: &[(&str, &str)]) -> HeaderMap {
        let header =
            |(name, value): &(&str, &str)| (name.parse::<HeaderName>().unwrap(), value.parse().unwrap());
        let mut headers = HeaderMap::new();
        for (name, value) in lines.iter().map(header) {
            headers.append(name, value);
        }
        headers
    }

    #[test]
    fn conditions_and_what_follows() {
        let same = "Sun, 06 Nov 1994 08:49:37 GMT";
        let before = "Sun, 06 Nov 1994 08:49:36 GMT";
        let after = "Sunday, 06-Nov-94 08:49:38 GMT";
        let table: &[&[(&str, &str)]] = &[
            &[],
            &[("if-none-match", "\"a1\"")],
            &[("if-none-match", "W/\"a1\"")],
            &[("if-none-match", "\"b\", \"a1\"")],
            &[("if-none-match", "\"b\""), ("if-none-match", "\"a1\"")],
            &[("if-none-match", "*")],
            &[("if-none-match", "\"b\"")],
            &[("if-none-match", "a1")],
            &[("if-none-match", "\"b\""), ("if-modified-since", after)],
            &[("if-modified-since", same)],
            &[("if-modified-since", after)],
            &[("if-modified-since", before)],
            &[("if-modified-since", "Sun Nov  6 08:49:37 1994")],
            &[("if-modified-since", "yesterday")],
            &[("if-match", "\"a1\"")],
            &[("if-match", "*")],
            &[("if-match", "\"b\"")],
            &[("if-match", "W/\"a1\"")],
            &[("if-unmodified-since", same)],
            &[("if-unmodified-since", before)],
            &[("if-match", "\"a1\""), ("if-unmodified-since", before)],
        ];
        let lines: Vec<String> = table
            .iter()
            .map(|lines| {
                let said: Vec<String> =
                    lines.iter().map(|(name, value)| format!("{name}: {value}")).collect();
                format!("{:?} after {}", follows(&headers(lines), &version()), said.join(", "))
            })
            .collect();
        insta::assert_snapshot!(lines.join("\n"), @r#"
        Answer after 
        NotModified after if-none-match: "a1"
        NotModified after if-none-match: W/"a1"
        NotModified after if-none-match: "b", "a1"
        NotModified after if-none-match: "b", if-none-match: "a1"
        NotModified after if-none-match: *
        Answer after if-none-match: "b"
        Answer after if-none-match: a1
        Answer after if-none-match: "b", if-modified-since: Sunday, 06-Nov-94 08:49:38 GMT
        NotModified after if-modified-since: Sun, 06 Nov 1994 08:49:37 GMT
        NotModified after if-modified-since: Sunday, 06-Nov-94 08:49:38 GMT
        Answer after if-modified-since: Sun, 06 Nov 1994 08:49:36 GMT
        NotModified after if-modified-since: Sun Nov  6 08:49:37 1994
        Answer after if-modified-since: yesterday
        Answer after if-match: "a1"
        Answer after if-match: *
        Failed after if-match: "b"
        Failed after if-match: W/"a1"
        Answer after if-unmodified-since: Sun, 06 Nov 1994 08:49:37 GMT
        Failed after if-unmodified-since: Sun, 06 Nov 1994 08:49:36 GMT
        Answer after if-match: "a1", if-unmodified-since: Sun, 06 Nov 1994 08:49:36 GMT
        "#);
    }

    #[test]
    fn pieces_are_of_one_file() {
        let check = |value| same_file(&headers(&[("if-range", value)]), &version());
        assert!(same_file(&headers(&[]), &version()));
        assert!(check("\"a1\""));
        assert!(check("Sun, 06 Nov 1994 08:49:37 GMT"));
        assert!(!check("W/\"a1\""), "a weak tag does not tell whether the bytes are the same");
        assert!(!check("\"b\""));
        assert!(!check("Sun, 06 Nov 1994 08:49:38 GMT"));
        assert!(!check("nonsense"));
    }
}
