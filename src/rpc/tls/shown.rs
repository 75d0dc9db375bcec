//! What the certificate that a server shows says.

use jiff::Timestamp;
use rustls::client::verify_server_name;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::server::ParsedCertificate;
use x509_parser::extensions::GeneralName;
use x509_parser::parse_x509_certificate;
use x509_parser::time::ASN1Time;

use super::super::subject::text;

/// A certificate that a server has shown.
#[derive(Debug, Clone)]
pub(crate) struct ShownCertificate {
    der: CertificateDer<'static>,
    /// Its subject, as in `CN=terraform,O=Example`.
    pub(crate) subject: String,
    /// Its issuer.
    pub(crate) issuer: String,
    /// The DNS names and addresses that it is for.
    pub(crate) names: Vec<String>,
    /// From when it is valid.
    pub(crate) from: Timestamp,
    /// Until when it is valid.
    pub(crate) until: Timestamp,
}

impl ShownCertificate {
    /// Reads a certificate; `None` if it is none.
    pub(super) fn read(der: &CertificateDer<'_>) -> Option<Self> {
        let (_, parsed) = parse_x509_certificate(der).ok()?;
        let moment = |time: ASN1Time| Timestamp::from_second(time.timestamp()).ok();
        let named = parsed.subject_alternative_name().ok()?;
        let names = named.into_iter().flat_map(|extension| &extension.value.general_names);
        let names = names.filter_map(|name| match name {
            GeneralName::DNSName(name) => Some((*name).to_owned()),
            GeneralName::IPAddress(bytes) => address(bytes),
            _ => None,
        });
        Some(Self {
            subject: text(parsed.subject()),
            issuer: text(parsed.issuer()),
            names: names.collect(),
            from: moment(parsed.validity().not_before)?,
            until: moment(parsed.validity().not_after)?,
            der: der.clone().into_owned(),
        })
    }

    /// Tells whether it is for a DNS name or an address.
    pub(crate) fn is_for(&self, name: &str) -> bool {
        let (Ok(certificate), Ok(name)) =
            (ParsedCertificate::try_from(&self.der), ServerName::try_from(name))
        else {
            return false;
        };
        verify_server_name(&certificate, &name).is_ok()
    }
}

/// Returns the text of an address in a certificate (RFC 5280, section 4.2.1.6).
fn address(bytes: &[u8]) -> Option<String> {
    let v4 = <[u8; 4]>::try_from(bytes).map(std::net::IpAddr::from);
    v4.or_else(|_| <[u8; 16]>::try_from(bytes).map(Into::into)).ok().map(|address| address.to_string())
}
