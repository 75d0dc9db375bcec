//! What rustls asks about the certificates of the other side.

use std::sync::Arc;

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::verify_server_name;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::server::{ParsedCertificate, VerifierBuilderError, WebPkiClientVerifier};
use rustls::{
    CertificateError, DigitallySignedStruct, DistinguishedName, Error, RootCertStore, SignatureScheme,
};
use x509_parser::parse_x509_certificate;

use super::chain::{self, Chain, Purpose};
use super::public_key::{PublicKey, SCHEMES};

/// The CA certificates of a file.
#[derive(Debug)]
pub(super) struct Authorities {
    pub(super) certificates: Vec<CertificateDer<'static>>,
    pub(super) store: Arc<RootCertStore>,
}

/// Checks the certificates of clients.
#[derive(Debug)]
pub(super) struct ClientVerifier {
    authorities: Authorities,
    strict: Arc<dyn ClientCertVerifier>,
}

impl ClientVerifier {
    pub(super) fn new(
        authorities: Authorities,
        provider: Arc<CryptoProvider>,
    ) -> Result<Self, VerifierBuilderError> {
        let store = Arc::clone(&authorities.store);
        let strict = WebPkiClientVerifier::builder_with_provider(store, provider).build()?;
        Ok(Self { authorities, strict })
    }
}

impl ClientCertVerifier for ClientVerifier {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        self.strict.root_hint_subjects()
    }

    fn verify_client_cert(
        &self,
        leaf: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        match chain::find(&self.authorities.certificates, leaf, intermediates, now, Purpose::Client)? {
            Chain::Valid => Ok(ClientCertVerified::assertion()),
            Chain::Constrained => self.strict.verify_client_cert(leaf, intermediates, now),
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_handshake(message, certificate, signed, false)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_handshake(message, certificate, signed, true)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        SCHEMES.iter().map(|(scheme, _)| *scheme).collect()
    }
}

/// Checks the certificates of servers.
#[derive(Debug)]
pub(super) struct ServerVerifier {
    /// Who may sign them; anybody if `None`.
    trust: Option<ServerTrust>,
    /// The names of which a certificate must have one; if empty, it must have the requested name.
    names: Vec<ServerName<'static>>,
}

/// The authorities of servers.
#[derive(Debug)]
struct ServerTrust {
    authorities: Authorities,
    strict: Arc<dyn ServerCertVerifier>,
}

impl ServerVerifier {
    pub(super) fn new(
        authorities: Authorities,
        provider: Arc<CryptoProvider>,
    ) -> Result<Self, VerifierBuilderError> {
        let store = Arc::clone(&authorities.store);
        let strict = WebPkiServerVerifier::builder_with_provider(store, provider).build()?;
        Ok(Self { trust: Some(ServerTrust { authorities, strict }), names: Vec::new() })
    }

    /// Accepts any certificate.
    pub(super) fn of_anybody() -> Self {
        Self { trust: None, names: Vec::new() }
    }

    /// Accepts certificates for one of several names.
    pub(super) fn of_names(self, names: Vec<ServerName<'static>>) -> Self {
        Self { names, ..self }
    }
}

impl ServerTrust {
    fn verify(
        &self,
        leaf: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        match chain::find(&self.authorities.certificates, leaf, intermediates, now, Purpose::Server)? {
            Chain::Constrained => {
                self.strict.verify_server_cert(leaf, intermediates, name, ocsp_response, now)
            }
            Chain::Valid => {
                // Go, too, reads no names but those of the extension, so that version 1 has none.
                let leaf =
                    ParsedCertificate::try_from(leaf).map_err(|_| CertificateError::NotValidForName)?;
                verify_server_name(&leaf, name)?;
                Ok(ServerCertVerified::assertion())
            }
        }
    }
}

impl ServerCertVerifier for ServerVerifier {
    fn verify_server_cert(
        &self,
        leaf: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let Some(trust) = &self.trust else { return Ok(ServerCertVerified::assertion()) };
        let mut verified = Err(CertificateError::NotValidForName.into());
        let requested = [name.clone()];
        let names = if self.names.is_empty() { &requested[..] } else { &self.names };
        for name in names {
            verified = trust.verify(leaf, intermediates, name, ocsp_response, now);
            if verified.is_ok() {
                break;
            }
        }
        verified
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_handshake(message, certificate, signed, false)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_handshake(message, certificate, signed, true)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        SCHEMES.iter().map(|(scheme, _)| *scheme).collect()
    }
}

fn verify_handshake(
    message: &[u8],
    certificate: &CertificateDer<'_>,
    signed: &DigitallySignedStruct,
    is_tls13: bool,
) -> Result<HandshakeSignatureValid, Error> {
    let (_, parsed) = parse_x509_certificate(certificate).map_err(|_| CertificateError::BadEncoding)?;
    let key = PublicKey::of(parsed.public_key()).ok_or(CertificateError::BadEncoding)?;
    match key.has_signed_handshake(signed.scheme, is_tls13, message, signed.signature()) {
        true => Ok(HandshakeSignatureValid::assertion()),
        false => Err(CertificateError::BadSignature.into()),
    }
}
