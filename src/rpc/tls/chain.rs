//! Certificate chains, judged as Go's crypto/x509 judges them, which matchbox and Terraform use.
//!
//! webpki is stricter: it refuses certificates of version 1, CA certificates of clients and servers, and a purpose of
//! "any". Like Go, this looks for a chain of signatures to a certificate of the CA file, and accepts the certificates
//! of that file themselves. Name constraints are left to webpki, see [`Chain::Constrained`].

use rustls::CertificateError;
use rustls::pki_types::{CertificateDer, UnixTime};
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::{ExtendedKeyUsage, GeneralName, ParsedExtension, X509Extension};
use x509_parser::parse_x509_certificate;
use x509_parser::time::ASN1Time;
use x509_parser::x509::X509Version;

use super::public_key::{PublicKey, Signing};

/// How many signatures are checked before a chain is given up, as in Go.
const MOST_SIGNATURES: usize = 100;

/// What a certificate is shown for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Purpose {
    Client,
    Server,
}

/// A valid chain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Chain {
    Valid,
    /// A CA certificate of it restricts names, which webpki must check.
    Constrained,
}

/// Why a certificate is refused, where rustls has no word for it.
#[derive(Debug, thiserror::Error)]
pub(super) enum Refusal {
    #[error("signed by `{0}`, which is not a CA certificate")]
    NotAnAuthority(String),
    #[error("signed by `{0}`, whose key usage does not permit it to sign certificates")]
    MayNotSign(String),
    #[error("signed by `{0}`, whose path length permits no further CA certificate")]
    PathTooLong(String),
    #[error("signed with an algorithm that is not supported: {0}")]
    Algorithm(String),
    #[error("its key type is not supported")]
    Key,
}

impl Refusal {
    /// Returns what to do.
    pub(super) fn advice(&self) -> &'static str {
        match self {
            Self::NotAnAuthority(_) => "sign it with a CA certificate (basicConstraints CA:TRUE)",
            Self::MayNotSign(_) => {
                "add keyCertSign to the key usage of that certificate, or remove the key usage"
            }
            Self::PathTooLong(_) => "sign it with that certificate itself, or remove its path length",
            Self::Algorithm(_) => "sign it with SHA-256, SHA-384 or SHA-512",
            Self::Key => "use P-256, P-384, P-521, Ed25519, or RSA with 1024 to 8192 bits",
        }
    }
}

impl From<Refusal> for CertificateError {
    fn from(refusal: Refusal) -> Self {
        Self::Other(rustls::OtherError(std::sync::Arc::new(refusal)))
    }
}

/// Finds a chain from a certificate to one of the CA file.
pub(super) fn find(
    roots: &[CertificateDer<'_>],
    leaf: &CertificateDer<'_>,
    intermediates: &[CertificateDer<'_>],
    now: UnixTime,
    purpose: Purpose,
) -> Result<Chain, CertificateError> {
    let now = i64::try_from(now.as_secs()).ok().and_then(|now| ASN1Time::from_timestamp(now).ok());
    let now = now.ok_or(CertificateError::NotValidYet)?;
    let leaf = parse(leaf)?;
    // One that cannot be parsed is not the other's problem.
    let roots: Vec<_> = roots.iter().filter_map(|root| parse(root).ok()).collect();
    let intermediates: Vec<_> = intermediates.iter().filter_map(|other| parse(other).ok()).collect();
    if PublicKey::of(leaf.public_key()).is_none() {
        return Err(Refusal::Key.into());
    }
    is_valid(&leaf, Place::Leaf, &[], now)?;
    let mut search = Search {
        roots: &roots,
        intermediates: &intermediates,
        now,
        purpose,
        signatures: 0,
        found: None,
        refusal: None,
    };
    if roots.iter().any(|root| root.as_raw() == leaf.as_raw()) {
        search.accept(&[&leaf]);
    } else {
        search.extend(&mut vec![&leaf]);
    }
    search.found.ok_or_else(|| search.refusal.unwrap_or(CertificateError::UnknownIssuer))
}

fn parse<'a>(certificate: &'a CertificateDer<'_>) -> Result<X509Certificate<'a>, CertificateError> {
    let parsed = parse_x509_certificate(certificate).ok().filter(|(rest, _)| rest.is_empty());
    let (_, parsed) = parsed.ok_or(CertificateError::BadEncoding)?;
    let is_broken = |extension: &X509Extension<'_>| {
        matches!(extension.parsed_extension(), ParsedExtension::ParseError { .. })
    };
    let is_consistent = parsed.signature_algorithm == parsed.tbs_certificate.signature
        && parsed.extensions_map().is_ok()
        && !parsed.extensions().iter().any(is_broken);
    is_consistent.then_some(parsed).ok_or(CertificateError::BadEncoding)
}

/// The place of a certificate in a chain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    Leaf,
    Intermediate,
    Root,
}

/// A search for a chain, depth first.
struct Search<'a> {
    roots: &'a [X509Certificate<'a>],
    intermediates: &'a [X509Certificate<'a>],
    now: ASN1Time,
    purpose: Purpose,
    signatures: usize,
    found: Option<Chain>,
    /// Why the first candidate was refused.
    refusal: Option<CertificateError>,
}

impl<'a> Search<'a> {
    /// Extends a chain by every certificate that can have signed its last one.
    fn extend(&mut self, chain: &mut Vec<&'a X509Certificate<'a>>) {
        let Some(child) = chain.last().copied() else { return };
        let roots = self.roots.iter().map(|root| (Place::Root, root));
        let intermediates = self.intermediates.iter().map(|other| (Place::Intermediate, other));
        for (place, candidate) in roots.chain(intermediates) {
            let is_there = chain.iter().any(|link| is_same(link, candidate));
            if candidate.subject().as_raw() != child.issuer().as_raw() || is_there {
                continue;
            }
            self.signatures += 1;
            if self.signatures > MOST_SIGNATURES || self.found == Some(Chain::Valid) {
                return;
            }
            let valid =
                is_signed_by(child, candidate).and_then(|()| is_valid(candidate, place, chain, self.now));
            if let Err(refusal) = valid {
                self.refusal.get_or_insert(refusal);
                continue;
            }
            chain.push(candidate);
            match place {
                Place::Root => self.accept(chain),
                Place::Intermediate | Place::Leaf => self.extend(chain),
            }
            chain.pop();
        }
    }

    /// Accepts a complete chain, if its purposes permit it.
    fn accept(&mut self, chain: &[&X509Certificate<'_>]) {
        if !chain.iter().all(|certificate| has_purpose(certificate, self.purpose)) {
            self.refusal.get_or_insert(CertificateError::InvalidPurpose);
        } else if chain.iter().skip(1).any(|authority| restricts_names(authority)) {
            self.found.get_or_insert(Chain::Constrained);
        } else {
            self.found = Some(Chain::Valid);
        }
    }
}

fn is_same(one: &X509Certificate<'_>, other: &X509Certificate<'_>) -> bool {
    one.subject().as_raw() == other.subject().as_raw() && one.public_key().raw == other.public_key().raw
}

fn restricts_names(authority: &X509Certificate<'_>) -> bool {
    !matches!(authority.name_constraints(), Ok(None))
}

/// Checks that a certificate signed another one, and that it may.
fn is_signed_by(child: &X509Certificate<'_>, parent: &X509Certificate<'_>) -> Result<(), CertificateError> {
    let name = || parent.subject().to_string();
    let constraints = parent.basic_constraints().map_err(|_| CertificateError::BadEncoding)?;
    let is_authority = match constraints {
        Some(constraints) => constraints.value.ca,
        // Older versions have no extensions that could say so.
        None => parent.version() != X509Version::V3,
    };
    if !is_authority {
        return Err(Refusal::NotAnAuthority(name()).into());
    }
    let usage = parent.key_usage().map_err(|_| CertificateError::BadEncoding)?;
    if usage.is_some_and(|usage| usage.value.flags != 0 && !usage.value.key_cert_sign()) {
        return Err(Refusal::MayNotSign(name()).into());
    }
    let signing = Signing::of_certificate(&child.signature_algorithm)
        .ok_or_else(|| Refusal::Algorithm(child.signature_algorithm.algorithm.to_id_string()))?;
    let key = PublicKey::of(parent.public_key()).ok_or(Refusal::Key)?;
    let signed = key.has_signed(signing, child.tbs_certificate.as_ref(), &child.signature_value.data);
    signed.then_some(()).ok_or(CertificateError::BadSignature)
}

/// Checks a certificate itself. `below` are the certificates that it signs, directly or not.
fn is_valid(
    certificate: &X509Certificate<'_>,
    place: Place,
    below: &[&X509Certificate<'_>],
    now: ASN1Time,
) -> Result<(), CertificateError> {
    let mut critical = certificate.extensions().iter().filter(|extension| extension.critical);
    if !critical.all(|extension| is_known(extension.parsed_extension())) {
        return Err(CertificateError::UnhandledCriticalExtension);
    }
    let validity = certificate.validity();
    if now < validity.not_before {
        return Err(CertificateError::NotValidYet);
    }
    if now > validity.not_after {
        return Err(CertificateError::Expired);
    }
    let constraints = certificate.basic_constraints().map_err(|_| CertificateError::BadEncoding)?;
    let name = || certificate.subject().to_string();
    if place == Place::Intermediate && !constraints.as_ref().is_some_and(|constraints| constraints.value.ca) {
        return Err(Refusal::NotAnAuthority(name()).into());
    }
    let most = constraints.and_then(|constraints| constraints.value.path_len_constraint);
    let between = below.len().saturating_sub(1);
    match most.and_then(|most| usize::try_from(most).ok()) {
        Some(most) if between > most => Err(Refusal::PathTooLong(name()).into()),
        _ => Ok(()),
    }
}

/// Tells whether an extension is understood, so that it may be critical.
fn is_known(extension: &ParsedExtension<'_>) -> bool {
    match extension {
        ParsedExtension::SubjectAlternativeName(names) => names.general_names.iter().any(|name| {
            matches!(
                name,
                GeneralName::DNSName(_)
                    | GeneralName::IPAddress(_)
                    | GeneralName::RFC822Name(_)
                    | GeneralName::URI(_)
            )
        }),
        ParsedExtension::KeyUsage(_)
        | ParsedExtension::BasicConstraints(_)
        | ParsedExtension::NameConstraints(_)
        | ParsedExtension::ExtendedKeyUsage(_)
        | ParsedExtension::CertificatePolicies(_)
        | ParsedExtension::AuthorityKeyIdentifier(_)
        | ParsedExtension::SubjectKeyIdentifier(_)
        | ParsedExtension::CRLDistributionPoints(_) => true,
        _ => false,
    }
}

/// Tells whether a certificate may be used for a purpose: those of CA certificates count too.
fn has_purpose(certificate: &X509Certificate<'_>, purpose: Purpose) -> bool {
    let permits = |usage: &ExtendedKeyUsage<'_>| {
        usage.any
            || match purpose {
                Purpose::Client => usage.client_auth,
                Purpose::Server => usage.server_auth,
            }
    };
    match certificate.extended_key_usage() {
        Ok(Some(usage)) => permits(usage.value),
        Ok(None) => true,
        Err(_) => false,
    }
}
