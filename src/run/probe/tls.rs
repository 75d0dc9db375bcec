//! TLS to the server of a node, for HTTP checks.

use std::fs;
use std::net::IpAddr;
use std::path::Path;
use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{WebPkiServerVerifier, verify_server_name};
use rustls::crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{CertificateError, ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

/// Connects to the server of a node, which is known by a name and an address. `ca` are the certificate authorities;
/// without them, any certificate is accepted.
pub(super) async fn connect(
    stream: TcpStream,
    address: IpAddr,
    name: &str,
    ca: Option<&Path>,
) -> Result<TlsStream<TcpStream>, String> {
    let provider = Arc::new(ring::default_provider());
    let authorities = ca.map(|path| Authorities::read(path, &provider)).transpose()?;
    let names = [ServerName::try_from(name.to_owned()).ok(), Some(ServerName::from(address))];
    let verifier = Verifier { authorities, names: names.into_iter().flatten().collect(), provider };
    let config = ClientConfig::builder_with_provider(Arc::clone(&verifier.provider))
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?;
    let requested = verifier.names.first().cloned().unwrap_or_else(|| ServerName::from(address));
    let config = config.dangerous().with_custom_certificate_verifier(Arc::new(verifier));
    let connector = TlsConnector::from(Arc::new(config.with_no_client_auth()));
    connector.connect(requested, stream).await.map_err(|error| format!("TLS failed: {error}"))
}

/// The certificates of a `ca` file.
#[derive(Debug)]
struct Authorities {
    certificates: Vec<CertificateDer<'static>>,
    verifier: Arc<WebPkiServerVerifier>,
}

impl Authorities {
    fn read(path: &Path, provider: &Arc<CryptoProvider>) -> Result<Self, String> {
        let shown = path.display();
        let pem = fs::read(path).map_err(|error| format!("cannot read {shown}: {error}"))?;
        let certificates: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&pem).collect();
        let certificates = certificates.map_err(|error| format!("{shown} is not PEM: {error}"))?;
        let mut roots = RootCertStore::empty();
        for certificate in &certificates {
            let added = roots.add(certificate.clone());
            added.map_err(|error| format!("a certificate in {shown} is invalid: {error}"))?;
        }
        let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), Arc::clone(provider));
        let verifier = verifier.build().map_err(|_| format!("{shown} contains no certificate"))?;
        Ok(Self { certificates, verifier })
    }

    fn verify(
        &self,
        certificate: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        // A self-signed certificate is its own authority. WebPKI would refuse it as that of a server.
        if self.certificates.iter().any(|known| known == certificate) {
            verify_server_name(&ParsedCertificate::try_from(certificate)?, name)?;
            return Ok(ServerCertVerified::assertion());
        }
        self.verifier.verify_server_cert(certificate, intermediates, name, ocsp, now)
    }
}

/// Accepts a certificate of the authorities for one of the names of a node.
#[derive(Debug)]
struct Verifier {
    authorities: Option<Authorities>,
    names: Vec<ServerName<'static>>,
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        certificate: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let Some(authorities) = &self.authorities else { return Ok(ServerCertVerified::assertion()) };
        let mut last = Error::InvalidCertificate(CertificateError::NotValidForName);
        for name in &self.names {
            match authorities.verify(certificate, intermediates, name, ocsp, now) {
                Ok(verified) => return Ok(verified),
                Err(error) => last = error,
            }
        }
        Err(last)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(
            message,
            certificate,
            signature,
            &self.provider.signature_verification_algorithms,
        )
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(
            message,
            certificate,
            signature,
            &self.provider.signature_verification_algorithms,
        )
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}
