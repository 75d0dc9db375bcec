//! The certificate that a TLS server shows.

use std::net::SocketAddr;

use jiff::{SignedDuration, Timestamp};

use super::{Answer, connect};
use crate::event::Ago;
use crate::lab::CertificateCheck;
use crate::rpc::{ShownCertificate, Trusted, connect_to_server, shown_certificate};
use crate::system::host::EnteredNetwork;

/// Asks a server for its certificate, and compares it with the expected one. `name` is that of the node.
pub(super) async fn probe(
    to: SocketAddr,
    from: Option<&EnteredNetwork>,
    name: &str,
    check: &CertificateCheck,
    now: Timestamp,
) -> Answer {
    let port = check.port;
    let stream = match connect(to, from).await {
        Ok(stream) => stream,
        Err(why) => return Answer::no(format!("port {port} {why}")),
    };
    let trusted = check.ca.as_deref().map_or(Trusted::Anybody, Trusted::File);
    let asked = check.names.first().map_or((Some(to.ip()), name), |name| (None, name.as_str()));
    let stream = match connect_to_server(stream, asked.0, asked.1, trusted, None).await {
        Ok(stream) => stream,
        Err(error) => {
            let why = error.certificate().map_or_else(|| error.to_string(), str::to_owned);
            return Answer::no(format!("port {port}: {why}"));
        }
    };
    let Some(shown) = shown_certificate(&stream) else {
        return Answer::no(format!("port {port}: its certificate cannot be read"));
    };
    match compare(&shown, check, now) {
        Ok(words) => Answer::yes(format!("port {port}: {words}")),
        Err(words) => Answer::no(format!("port {port}: {words}")),
    }
}

/// Compares a certificate with the expected one; returns what it is, or how it differs.
fn compare(shown: &ShownCertificate, check: &CertificateCheck, now: Timestamp) -> Result<String, String> {
    let ShownCertificate { subject, issuer, names, from, until, .. } = shown;
    let day = |time: &Timestamp| time.strftime("%Y-%m-%d").to_string();
    if let Some(missing) = check.names.iter().find(|name| !shown.is_for(name)) {
        let names = if names.is_empty() { "nobody".to_owned() } else { names.join(", ") };
        return Err(format!("its certificate is not for {missing}, but for {names}"));
    }
    if let Some(pattern) = &check.issuer
        && !pattern.is_match(issuer)
    {
        return Err(format!("the issuer of its certificate is `{issuer}`, which does not match /{pattern}/"));
    }
    if *from > now {
        return Err(format!("its certificate is not valid before {}", day(from)));
    }
    let left = until.duration_since(now);
    if left < SignedDuration::ZERO {
        return Err(format!("its certificate has expired on {}", day(until)));
    }
    if left.unsigned_abs() < check.valid_for {
        let (until, wanted) = (day(until), Ago(check.valid_for));
        return Err(format!("its certificate is valid until {until}, which is less than {wanted}"));
    }
    let who = [subject, issuer].map(|name| if name.is_empty() { "nobody" } else { name });
    Ok(format!("certificate of {} by {}, valid until {}", who[0], who[1], day(until)))
}
