//! Which URLs the service may use: HTTP and HTTPS to addresses that are neither the host's own nor without a route.
//!
//! A URL is checked when a client gives it ([`check`]), each address that its name resolves to before the connection
//! ([`check_address`]), and each redirect before it is followed ([`check_redirect`]).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use http::Uri;

use crate::bmc::media::{Credentials, Secret};

/// The longest URL.
const LONGEST: usize = 2048;

/// Why a URL or an address is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// It cannot be parsed, or has no host.
    #[error("it is not a URL with a scheme and a host")]
    Syntax,
    /// It is neither HTTP nor HTTPS.
    #[error("its scheme is neither http nor https")]
    Scheme,
    /// It leads from HTTPS to HTTP.
    #[error("it leads from HTTPS to HTTP")]
    Downgrade,
    /// Its address is that of the host itself.
    #[error("it is a loopback address")]
    Loopback,
    /// Its address is link-local.
    #[error("it is a link-local address")]
    LinkLocal,
    /// Its address is unspecified.
    #[error("it is an unspecified address")]
    Unspecified,
    /// Its address is that of a group, or broadcast.
    #[error("it is a multicast or broadcast address")]
    Group,
}

/// A URL that passed, without its user and password.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Url {
    /// The URL.
    pub text: String,
    /// Whether it is HTTPS.
    pub is_https: bool,
    /// The host: a name, or an address without brackets.
    pub host: String,
    /// User and password that it had.
    pub credentials: Option<Credentials>,
}

/// Returns a refused URL as a message may show it: without user and password, and not too long.
pub(super) fn shown(text: &str) -> String {
    let begin = text.find("://").map_or(0, |at| at + 3);
    let end = text[begin..].find('/').map_or(text.len(), |at| begin + at);
    let host = text[begin..end].rfind('@').map_or(begin, |at| begin + at + 1);
    text[..begin].chars().chain(text[host..].chars()).take(256).collect()
}

/// Checks a URL that a client gives.
pub fn check(text: &str) -> Result<Url, Refused> {
    let text = text.trim();
    // The parser of URIs takes neither non-ASCII characters nor spaces; others would be fetched differently by others.
    if text.len() > LONGEST || !text.bytes().all(|byte| byte.is_ascii_graphic()) || text.contains('\\') {
        return Err(Refused::Syntax);
    }
    let scheme = text.split(':').next().unwrap_or_default();
    let is_https = scheme.eq_ignore_ascii_case("https");
    if !is_https && !scheme.eq_ignore_ascii_case("http") {
        return Err(if text.contains(':') { Refused::Scheme } else { Refused::Syntax });
    }
    // Without the slashes, what looks like a scheme would be taken for a host.
    if !text.get(scheme.len()..).is_some_and(|rest| rest.starts_with("://")) {
        return Err(Refused::Syntax);
    }
    let uri: Uri = text.parse().map_err(|_| Refused::Syntax)?;
    let authority = uri.authority().ok_or(Refused::Syntax)?;
    let (user, place) = match authority.as_str().rsplit_once('@') {
        Some((user, place)) => (Some(user), place),
        None => (None, authority.as_str()),
    };
    let host = authority.host().trim_start_matches('[').trim_end_matches(']').to_owned();
    if host.is_empty() {
        return Err(Refused::Syntax);
    }
    check_host(&host)?;
    let scheme = if is_https { "https" } else { "http" };
    let path = uri.path_and_query().map_or("/", |path| path.as_str());
    Ok(Url { text: format!("{scheme}://{place}{path}"), is_https, host, credentials: user.map(credentials) })
}

fn credentials(text: &str) -> Credentials {
    let (user, password) = text.split_once(':').unwrap_or((text, ""));
    let decode = |text: &str| percent_encoding::percent_decode_str(text).decode_utf8_lossy().into_owned();
    Credentials { user: decode(user), password: Secret::new(&decode(password)) }
}

fn check_host(host: &str) -> Result<(), Refused> {
    if let Ok(address) = host.parse() {
        return check_address(address);
    }
    // Other spellings of IPv4 addresses, such as 0x7f.1 and 2130706433, which some resolvers take.
    let last = host.trim_end_matches('.').rsplit('.').next().unwrap_or_default();
    let is_numeric = !last.is_empty()
        && (last.bytes().all(|byte| byte.is_ascii_digit()) || last.to_ascii_lowercase().starts_with("0x"));
    if is_numeric {
        return Err(Refused::Syntax);
    }
    let name = host.trim_end_matches('.').to_ascii_lowercase();
    if name == "localhost" || name.ends_with(".localhost") {
        return Err(Refused::Loopback);
    }
    Ok(())
}

/// Checks an address that a name resolved to.
pub fn check_address(address: IpAddr) -> Result<(), Refused> {
    match address {
        IpAddr::V4(address) => check_v4(address),
        IpAddr::V6(address) => check_v6(address),
    }
}

fn check_v4(address: Ipv4Addr) -> Result<(), Refused> {
    if address.is_loopback() {
        return Err(Refused::Loopback);
    }
    if address.is_link_local() {
        return Err(Refused::LinkLocal);
    }
    // All of 0.0.0.0/8 is "this host" (RFC 1122, section 3.2.1.3).
    if address.octets()[0] == 0 {
        return Err(Refused::Unspecified);
    }
    if address.is_multicast() || address.octets()[0] >= 240 {
        return Err(Refused::Group);
    }
    Ok(())
}

fn check_v6(address: Ipv6Addr) -> Result<(), Refused> {
    if address.is_unspecified() {
        return Err(Refused::Unspecified);
    }
    if address.is_loopback() {
        return Err(Refused::Loopback);
    }
    if address.is_multicast() {
        return Err(Refused::Group);
    }
    if address.segments()[0] & 0xFFC0 == 0xFE80 {
        return Err(Refused::LinkLocal);
    }
    // Addresses that carry one of IPv4: mapped and compatible ones, NAT64 (RFC 6052), 6to4 (RFC 3056).
    let [a, b, c, d, e, f, g, h] = address.segments();
    let inner = |high: u16, low: u16| Ipv4Addr::from_bits(u32::from(high) << 16 | u32::from(low));
    match (a, b, c, d, e, f) {
        (0, 0, 0, 0, 0, 0 | 0xFFFF) | (0x64, 0xFF9B, 0, 0, 0, 0) => check_v4(inner(g, h)),
        (0x2002, ..) => check_v4(inner(b, c)),
        _ => Ok(()),
    }
}

/// Checks a redirect; `to` is the header `Location`.
pub fn check_redirect(from: &Url, to: &str) -> Result<Url, Refused> {
    let scheme = if from.is_https { "https" } else { "http" };
    let authority = from.text.split('/').nth(2).unwrap_or_default();
    let to = match to {
        to if to.starts_with("//") => format!("{scheme}:{to}"),
        to if to.starts_with('/') => format!("{scheme}://{authority}{to}"),
        to if !to.split(['/', '?', '#']).next().unwrap_or_default().contains(':') => {
            let path = from.text.split(['?', '#']).next().unwrap_or_default();
            let base = path.rsplit_once('/').map_or(path, |(base, _)| base);
            format!("{base}/{to}")
        }
        to => to.to_owned(),
    };
    let to = check(&to)?;
    if from.is_https && !to.is_https {
        return Err(Refused::Downgrade);
    }
    Ok(to)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn refused(url: &str) -> Refused {
        check(url).expect_err(url)
    }

    #[test]
    fn urls_that_lead_elsewhere_are_refused() {
        for url in ["file:///etc/passwd", "ftp://10.0.0.1/a", "nfs://10.0.0.1/a", "javascript:1", "c:/x"] {
            assert_eq!(refused(url), Refused::Scheme, "{url}");
        }
        for url in [
            "",
            "/a",
            "http:",
            "http://",
            "http:///a",
            "http://a b/",
            "http://a\\b/",
            "https://ä/",
            "http://[::1/",
        ] {
            assert_eq!(refused(url), Refused::Syntax, "{url}");
        }
        for url in [
            "http://127.0.0.1/",
            "http://127.9.9.9:80/x",
            "http://localhost/",
            "http://LOCALHOST./",
            "http://a.localhost/",
            "https://[::1]/",
            "http://[::ffff:127.0.0.1]/",
            "http://[64:ff9b::7f00:1]/",
            "http://[2002:7f00:1::]/",
            "http://user:x@127.0.0.1/",
            "http://10.0.0.1@127.0.0.1/",
        ] {
            assert_eq!(refused(url), Refused::Loopback, "{url}");
        }
        for url in ["http://2130706433/", "http://0x7f.1/", "http://127.1/", "http://0177.0.0.1./"] {
            assert_eq!(refused(url), Refused::Syntax, "{url}");
        }
        assert_eq!(refused("http://169.254.169.254/latest"), Refused::LinkLocal);
        assert_eq!(refused("http://[fe80::1]/"), Refused::LinkLocal);
        assert_eq!(refused("http://0.0.0.0/"), Refused::Unspecified);
        assert_eq!(refused("http://[::]/"), Refused::Unspecified);
        assert_eq!(refused("http://224.0.0.1/"), Refused::Group);
        assert_eq!(refused("http://255.255.255.255/"), Refused::Group);
        assert_eq!(refused("http://[ff02::1]/"), Refused::Group);
    }

    #[test]
    fn a_refused_url_is_shown_without_its_password() {
        for (url, text) in [
            ("http://u:p@ss@127.0.0.1/a@b", "http://127.0.0.1/a@b"),
            ("u:secret@host", "host"),
            ("file:///etc/passwd", "file:///etc/passwd"),
            ("", ""),
        ] {
            assert_eq!(shown(url), text);
        }
        assert_eq!(shown(&"a".repeat(300)).len(), 256);
    }

    #[test]
    fn urls_of_the_lab_pass_without_their_password() {
        let url = check("HTTPS://me:p%40ss@10.0.0.1:8443/a.iso?b=c").unwrap();
        assert_eq!(url.text, "https://10.0.0.1:8443/a.iso?b=c");
        assert_eq!(url.host, "10.0.0.1");
        let credentials = url.credentials.unwrap();
        assert_eq!((credentials.user.as_str(), credentials.password.reveal()), ("me", "p@ss"));
        assert_eq!(check("http://images.lab/a.iso").unwrap().host, "images.lab");
        assert_eq!(check("http://[fd00::1]:80/a").unwrap().host, "fd00::1");
    }

    #[test]
    fn redirects_are_resolved_and_checked() {
        let from = check("https://10.0.0.1/images/a.iso?x").unwrap();
        let to = |to: &str| check_redirect(&from, to).map(|url| url.text);
        assert_eq!(to("/b.iso"), Ok("https://10.0.0.1/b.iso".to_owned()));
        assert_eq!(to("b.iso?c:d"), Ok("https://10.0.0.1/images/b.iso?c:d".to_owned()));
        assert_eq!(to("//10.0.0.2/b"), Ok("https://10.0.0.2/b".to_owned()));
        assert_eq!(to("http://10.0.0.2/b"), Err(Refused::Downgrade));
        assert_eq!(to("//127.0.0.1/b"), Err(Refused::Loopback));
        assert_eq!(to("file:///b"), Err(Refused::Scheme));
    }

    proptest::proptest! {
        #[test]
        fn any_text_is_checked(text: String, other: String) {
            if let Ok(url) = check(&text) {
                check_redirect(&url, &other).ok();
            }
            check(&format!("http://{text}/{other}")).ok();
        }
    }
}
