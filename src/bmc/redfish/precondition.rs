//! Conditional requests: `If-Match` for PATCH, `If-None-Match` for GET (RFC 9110, section 13).

use super::message::{Key, Message};
use super::reply::Reply;
use super::request::Request;
use super::settings::IfMatch;

/// Returns whether a list of ETags has this one, or is `*`. Weak ones match, and so do those that a proxy marked.
fn matches(list: &str, etag: &str) -> bool {
    list.split(',').map(str::trim).any(|given| {
        let given = given.strip_prefix("W/").unwrap_or(given);
        let given = given.trim_matches('"').trim_end_matches("-gzip");
        given == "*" || !etag.is_empty() && given == etag.trim_matches('"')
    })
}

/// Checks the condition of a PATCH.
pub(super) fn write(rule: IfMatch, request: &Request, etag: &str) -> Result<(), Box<Reply>> {
    let given = request.headers.get("if-match").map(|value| value.to_str().unwrap_or_default());
    let failed = || Err(Reply::refuse(412, Message::new(Key::PreconditionFailed, &[])));
    match (rule, given) {
        (IfMatch::Optional | IfMatch::NotAny, None) => Ok(()),
        (IfMatch::Expected, None) => failed(),
        (IfMatch::OnlyAny, None) => Err(Reply::refuse(428, Message::new(Key::PreconditionRequired, &[]))),
        (IfMatch::OnlyAny, Some(given)) => {
            if given.trim() == "*" {
                Ok(())
            } else {
                failed()
            }
        }
        (IfMatch::NotAny, Some(given)) if given.trim() == "*" => failed(),
        (IfMatch::Optional | IfMatch::NotAny | IfMatch::Expected, Some(given)) => {
            if matches(given, etag) {
                Ok(())
            } else {
                failed()
            }
        }
    }
}

/// Returns whether the client has the resource as it is.
pub(super) fn is_known(request: &Request, etag: &str) -> bool {
    request.header("if-none-match").is_some_and(|given| matches(given, etag))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn etags_match_weakly_and_with_the_mark_of_a_proxy() {
        for given in ["*", "\"a\"", "W/\"a\"", "\"b\", \"a\"", "\"a-gzip\"", "a"] {
            assert!(matches(given, "\"a\""), "{given}");
        }
        for given in ["", "\"afoobar\"", "\"a\"foobar", "\"b\""] {
            assert!(!matches(given, "\"a\""), "{given}");
        }
    }
}
