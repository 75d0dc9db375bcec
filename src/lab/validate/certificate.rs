//! The check of a server's certificate.

use std::net::IpAddr;
use std::time::Duration;

use super::{Check, names};
use crate::config::{Lasting, RawCertificate, Text};
use crate::lab::{CertificateCheck, Check as Checked, ProbedCheck};

/// The port of HTTPS.
const HTTPS: u16 = 443;

impl Check<'_> {
    pub(super) fn certificate(&mut self, raw: &RawCertificate) -> Option<Checked> {
        let port = self.port_or(&raw.port, HTTPS);
        let ca = raw.ca.given().and_then(|path| self.path(path));
        for name in &raw.names.0.items {
            if name.value.parse::<IpAddr>().is_err() && names::domain(&name.value).is_none() {
                let what = format!("`{}` is neither a DNS name nor an address", name.value);
                self.bad_check(&name.span, what, "use a name such as \"node.example\", or an address");
            }
        }
        let valid_for = raw.valid_for.value().map_or(Duration::ZERO, |Text(Lasting(lasting))| *lasting);
        let issuer = self.maybe_regex(&raw.issuer);
        let names = raw.names.0.values().cloned().collect();
        let check = CertificateCheck { port: port?, ca, names, valid_for, issuer: issuer? };
        Some(ProbedCheck::Certificate(Box::new(check)).into())
    }
}
