//! Mutual TLS as in matchbox: one CA signs the certificates of both sides.
//!
//! Files are read once, at the start. A client with any certificate of the
//! CA has full access: the names in it are not checked. Certificates are
//! accepted and refused as by Go, which matchbox and Terraform are written in.

mod chain;
mod private_key;
mod public_key;
mod shown;
mod verifier;

use std::borrow::Cow;
use std::io;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, InvalidDnsNameError, PrivateKeyDer, ServerName};
use rustls::sign::SingleCertAndKey;
use rustls::{CertificateError, CipherSuite, ClientConfig, OtherError, RootCertStore, ServerConfig};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio_rustls::{TlsAcceptor, TlsConnector};
pub(super) use tokio_rustls::{client::TlsStream as ClientStream, server::TlsStream as ServerStream};

use self::chain::Refusal;
pub(crate) use self::shown::ShownCertificate;
use self::verifier::{Authorities, ClientVerifier, ServerVerifier};
use super::subject::subject;
use crate::hint::{Hint, chain};

/// HTTP/2, as gRPC requires.
const ALPN: &[u8] = b"h2";
/// How long a refused client may take to read the alert.
const PARTING: Duration = Duration::from_secs(2);

/// The PEM files of one side of a connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Certificates {
    /// The certificate, followed by intermediate certificates.
    pub certificate: PathBuf,
    /// Its private key.
    pub key: PathBuf,
    /// The CA certificate of the other side.
    pub authority: PathBuf,
}

/// Why files cannot be used for TLS.
#[derive(Debug, thiserror::Error)]
pub enum CertificatesError {
    /// A file cannot be read.
    #[error("cannot read {}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// The cause.
        #[source]
        source: io::Error,
    },
    /// A file has no such PEM block.
    #[error("{} contains no {what} in PEM format", path.display())]
    Nothing {
        /// The file.
        path: PathBuf,
        /// `certificate` or `private key`.
        what: &'static str,
        /// The parse error.
        #[source]
        source: pem::Error,
    },
    /// Certificate and key do not match, or cannot be used.
    #[error("cannot use {} with {}", certificate.display(), key.display())]
    KeyMismatch {
        /// The certificate.
        certificate: PathBuf,
        /// The key.
        key: PathBuf,
        /// The cause.
        #[source]
        source: rustls::Error,
    },
    /// The CA certificate cannot be used.
    #[error("cannot use {} as a CA certificate", path.display())]
    NoAuthority {
        /// The file.
        path: PathBuf,
        /// The cause.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

impl Hint for CertificatesError {
    fn hint(&self) -> Option<Cow<'static, str>> {
        let hint = match self {
            Self::Unreadable { source, .. } if source.kind() == io::ErrorKind::NotFound => {
                Some("`dryrack tls init` creates a CA and certificates for both sides")
            }
            Self::KeyMismatch { .. } => Some("the key must match the certificate"),
            Self::Unreadable { .. } | Self::Nothing { .. } | Self::NoAuthority { .. } => None,
        };
        hint.map(Cow::Borrowed)
    }
}

/// The contents of [`Certificates`].
struct Contents {
    own: Arc<SingleCertAndKey>,
    authorities: Authorities,
}

impl Certificates {
    fn read(&self) -> Result<Contents, CertificatesError> {
        let own = Identity { certificate: &bytes(&self.certificate)?, key: &bytes(&self.key)? };
        let own = own.certified(&self.certificate, &self.key)?;
        Ok(Contents { own, authorities: authorities(&self.authority)? })
    }

    fn no_authority(&self, source: impl std::error::Error + Send + Sync + 'static) -> CertificatesError {
        no_authority(&self.authority, source)
    }

    fn key_mismatch(&self, source: rustls::Error) -> CertificatesError {
        CertificatesError::KeyMismatch {
            certificate: self.certificate.clone(),
            key: self.key.clone(),
            source,
        }
    }
}

/// A certificate, followed by intermediate certificates, and its private key, in PEM.
#[derive(Clone, Copy)]
pub(crate) struct Identity<'a> {
    pub(crate) certificate: &'a [u8],
    pub(crate) key: &'a [u8],
}

impl Identity<'_> {
    /// Reads it. Errors name the places that it is from.
    fn certified(self, certificate: &Path, key: &Path) -> Result<Arc<SingleCertAndKey>, CertificatesError> {
        let chain = certificates_in(self.certificate, certificate)?;
        let private = PrivateKeyDer::from_pem_slice(self.key).map_err(|source| {
            CertificatesError::Nothing { path: key.to_owned(), what: "private key", source }
        })?;
        let own =
            private_key::certified(chain, private).map_err(|source| CertificatesError::KeyMismatch {
                certificate: certificate.to_owned(),
                key: key.to_owned(),
                source,
            })?;
        Ok(Arc::new(own.into()))
    }
}

/// Who may have signed the certificate of a server.
#[derive(Clone, Copy)]
pub(crate) enum Trusted<'a> {
    /// Anybody.
    Anybody,
    /// The authorities in a file.
    File(&'a Path),
    /// These authorities, in PEM, which errors call by a name.
    Pem(&'a [u8], &'a str),
}

/// Why a client has no connection by TLS.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TlsError {
    /// Certificates cannot be used.
    #[error("{}", chain(.0))]
    Certificates(#[from] CertificatesError),
    /// The library refuses its settings.
    #[error("{0}")]
    Settings(#[from] rustls::Error),
    /// The handshake failed.
    #[error("TLS failed: {0}")]
    Handshake(#[source] io::Error),
}

impl TlsError {
    /// Tells whether the certificate of the server is why, or who may have signed it is not known.
    pub(crate) fn is_of_certificate(&self) -> bool {
        match self {
            Self::Certificates(_) => true,
            Self::Settings(_) => false,
            Self::Handshake(error) => {
                let error = error.get_ref().and_then(|error| error.downcast_ref::<rustls::Error>());
                matches!(error, Some(rustls::Error::InvalidCertificate(_)))
            }
        }
    }

    /// Returns what is wrong with the certificate of the server, if that is why.
    pub(crate) fn certificate(&self) -> Option<&'static str> {
        let Self::Handshake(error) = self else { return None };
        let rustls::Error::InvalidCertificate(error) = error.get_ref()?.downcast_ref::<rustls::Error>()?
        else {
            return None;
        };
        match error {
            CertificateError::UnknownIssuer | CertificateError::BadSignature => {
                Some("its certificate is signed by another authority")
            }
            CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
                Some("its certificate has expired")
            }
            CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
                Some("its certificate is not valid yet")
            }
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
                Some("its certificate is for other names")
            }
            _ => None,
        }
    }
}

fn authorities(path: &Path) -> Result<Authorities, CertificatesError> {
    authorities_in(&bytes(path)?, path)
}

fn authorities_in(pem: &[u8], path: &Path) -> Result<Authorities, CertificatesError> {
    let roots = certificates_in(pem, path)?;
    let mut store = RootCertStore::empty();
    for root in &roots {
        store.add(root.clone()).map_err(|source| no_authority(path, source))?;
    }
    Ok(Authorities { certificates: roots, store: Arc::new(store) })
}

fn no_authority(path: &Path, source: impl std::error::Error + Send + Sync + 'static) -> CertificatesError {
    CertificatesError::NoAuthority { path: path.to_owned(), source: Box::new(source) }
}

fn bytes(path: &Path) -> Result<Vec<u8>, CertificatesError> {
    std::fs::read(path).map_err(|source| CertificatesError::Unreadable { path: path.to_owned(), source })
}

fn certificates_in(pem: &[u8], path: &Path) -> Result<Vec<CertificateDer<'static>>, CertificatesError> {
    let nothing = |source| CertificatesError::Nothing { path: path.to_owned(), what: "certificate", source };
    let found: Vec<_> = CertificateDer::pem_slice_iter(pem).collect::<Result<_, _>>().map_err(nothing)?;
    match found.is_empty() {
        true => Err(nothing(pem::Error::NoItemsFound)),
        false => Ok(found),
    }
}

/// Returns the supported versions and suites: TLS 1.3, or 1.2 with the four suites of matchbox.
fn provider() -> Arc<CryptoProvider> {
    let mut provider = ring::default_provider();
    provider.cipher_suites.retain(|suite| {
        !matches!(
            suite.suite(),
            CipherSuite::TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256
                | CipherSuite::TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256
        )
    });
    Arc::new(provider)
}

/// The TLS configuration of a server.
#[derive(Clone)]
pub struct Tls {
    acceptor: TlsAcceptor,
}

impl std::fmt::Debug for Tls {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Tls")
    }
}

impl Tls {
    /// Reads the files of a server.
    pub fn read(certificates: &Certificates) -> Result<Self, CertificatesError> {
        let Contents { own, authorities } = certificates.read()?;
        let provider = provider();
        let verifier = ClientVerifier::new(authorities, Arc::clone(&provider));
        let verifier = verifier.map_err(|source| certificates.no_authority(source))?;
        let config = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
        let config = config.map_err(|source| certificates.key_mismatch(source))?;
        let mut config = config.with_client_cert_verifier(Arc::new(verifier)).with_cert_resolver(own);
        config.alpn_protocols = vec![ALPN.to_vec()];
        Ok(Self { acceptor: TlsAcceptor::from(Arc::new(config)) })
    }

    /// Performs the handshake with a client; returns the subject of its certificate too.
    pub(super) async fn accept(&self, stream: TcpStream) -> io::Result<(ServerStream<TcpStream>, String)> {
        let stream = match self.acceptor.accept(stream).into_fallible().await {
            Ok(stream) => stream,
            Err((error, stream)) => {
                part(stream).await;
                return Err(error);
            }
        };
        let shown = stream.get_ref().1.peer_certificates().and_then(<[_]>::first);
        let subject = shown.and_then(|certificate| subject(certificate)).unwrap_or_default();
        Ok((stream, subject))
    }
}

/// Returns why a client was refused and what it needs, as far as an error tells.
pub(super) fn explained(error: &io::Error) -> String {
    use rustls::Error::{InvalidCertificate, NoCertificatesPresented};
    let advice = match error.get_ref().and_then(|error| error.downcast_ref::<rustls::Error>()) {
        Some(NoCertificatesPresented) => {
            "give it a client certificate and its key (`client_cert`, `client_key`)"
        }
        Some(InvalidCertificate(CertificateError::Other(OtherError(other)))) => {
            return match other.downcast_ref::<Refusal>() {
                Some(refusal) => format!("invalid peer certificate: {refusal}: {}", refusal.advice()),
                None => format!("invalid peer certificate: {other}"),
            };
        }
        Some(InvalidCertificate(CertificateError::UnknownIssuer | CertificateError::BadSignature)) => {
            "it must be signed by the CA certificate of this server"
        }
        Some(InvalidCertificate(CertificateError::Expired | CertificateError::NotValidYet)) => {
            "renew it or its CA certificate, and check the clocks of both sides"
        }
        Some(InvalidCertificate(CertificateError::InvalidPurpose)) => {
            "its extended key usage, and that of its CA certificates, must contain clientAuth if there is one"
        }
        _ => return error.to_string(),
    };
    format!("{error}: {advice}")
}

/// Closes a connection so that the client can read the alert: unread input would make the kernel reset the
/// connection.
async fn part(mut stream: TcpStream) {
    let leave = async {
        stream.shutdown().await?;
        tokio::io::copy(&mut stream, &mut tokio::io::sink()).await
    };
    // The client may not read it; that does not matter.
    drop(tokio::time::timeout(PARTING, leave).await);
}

/// Returns the TLS configuration of a client.
pub(super) fn connector(certificates: &Certificates) -> Result<TlsConnector, CertificatesError> {
    let Contents { own, authorities } = certificates.read()?;
    let provider = provider();
    let verifier = ServerVerifier::new(authorities, Arc::clone(&provider));
    let verifier = verifier.map_err(|source| certificates.no_authority(source))?;
    let config = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    let config = config.map_err(|source| certificates.key_mismatch(source))?;
    let config = config.dangerous().with_custom_certificate_verifier(Arc::new(verifier));
    let mut config = config.with_client_cert_resolver(own);
    config.alpn_protocols = vec![ALPN.to_vec()];
    Ok(TlsConnector::from(Arc::new(config)))
}

/// Connects to a server that is known by a name, an address, or both.
///
/// Its certificate must have one of them, and is checked as by Go.
pub(crate) async fn connect_to_server(
    stream: TcpStream,
    address: Option<IpAddr>,
    name: &str,
    trusted: Trusted<'_>,
    own: Option<Identity<'_>>,
) -> Result<ClientStream<TcpStream>, TlsError> {
    let provider = Arc::new(ring::default_provider());
    let names = [ServerName::try_from(name.to_owned()).ok(), address.map(ServerName::from)];
    let names: Vec<_> = names.into_iter().flatten().collect();
    // A name that is none of TLS, such as one with `_`, has no certificate.
    let peer = stream.peer_addr().map_err(TlsError::Handshake)?.ip();
    let requested = names.first().cloned().unwrap_or_else(|| ServerName::from(peer));
    let trust = match trusted {
        Trusted::Anybody => None,
        Trusted::File(path) => Some((authorities(path)?, path)),
        Trusted::Pem(pem, place) => Some((authorities_in(pem, Path::new(place))?, Path::new(place))),
    };
    let verifier = match trust {
        None => ServerVerifier::of_anybody(),
        Some((authorities, place)) => ServerVerifier::new(authorities, Arc::clone(&provider))
            .map_err(|source| no_authority(place, source))?
            .of_names(names),
    };
    let config = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?;
    let config = config.dangerous().with_custom_certificate_verifier(Arc::new(verifier));
    let config = match own {
        None => config.with_no_client_auth(),
        Some(own) => config.with_client_cert_resolver(
            own.certified(Path::new("the client certificate"), Path::new("the client key"))?,
        ),
    };
    TlsConnector::from(Arc::new(config)).connect(requested, stream).await.map_err(TlsError::Handshake)
}

/// Returns the certificate that the server of a connection has shown; `None` if it cannot be read.
pub(crate) fn shown_certificate(stream: &ClientStream<TcpStream>) -> Option<ShownCertificate> {
    let shown = stream.get_ref().1.peer_certificates().and_then(<[_]>::first)?;
    ShownCertificate::read(shown)
}

/// Returns the name that a server's certificate must contain.
pub(super) fn server_name(host: &str) -> Result<ServerName<'static>, InvalidDnsNameError> {
    ServerName::try_from(host.to_owned())
}
